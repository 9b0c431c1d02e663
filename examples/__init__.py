"""Applications on Ottla, to read and to run.

Must never be imported by Ottla: whatever an example needs, its users have as well.
"""
