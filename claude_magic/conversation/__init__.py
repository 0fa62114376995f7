"""Turns, their record in the notebook's file, and the accumulator of a reply's events: pure values."""
