"""Replies of the stand-in: their content, their tokens, and what a server remembers between requests."""
