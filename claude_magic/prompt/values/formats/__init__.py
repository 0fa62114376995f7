"""Formats of files: encodings of text, delimited text, and binary formats that Claude cannot read."""
