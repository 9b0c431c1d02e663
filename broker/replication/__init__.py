"""Leaders and followers: progress and truncation as pure decisions, and the loops around them."""
