"""Turns → their outputs: live while a reply streams, as a static record, and as exported files."""
