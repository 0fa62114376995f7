"""A request as rules and replies read it: its messages in order, signatures, tokens, the newest prompt."""
