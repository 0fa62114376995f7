"""`Wait`: a pause before a request is retried, as the client reports it to a view."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """A pause between two attempts: its reason, the seconds left, which retry comes next, and the most retries."""

    reason: str
    seconds: float
    attempt: int
    attempts: int
