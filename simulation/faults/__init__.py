"""What a plan can break, one file for each subject."""
