"""Readers of a request, for rules and replies: its blocks in order, signatures, tokens, the newest prompt."""
