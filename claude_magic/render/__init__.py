"""Turns → what is shown: live, at rest, exported."""
