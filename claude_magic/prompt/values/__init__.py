"""Python values → parts of a prompt: one module for each family of values; `kinds.py` selects by type."""
