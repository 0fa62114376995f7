"""The text of a cell and Python values → content blocks."""
