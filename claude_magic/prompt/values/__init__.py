"""Python values → parts of a prompt: one file a family of values, and `kinds.py`, which chooses."""
