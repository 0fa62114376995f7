"""Turns, the record they are kept in, and the accumulator that folds events into a reply: values only."""
