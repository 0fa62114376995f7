"""A pause before the next attempt of a request: what the client tells a view."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """Why there is a pause, and how many seconds are left of it; `attempt` failed, of at most `attempts` more."""

    reason: str
    seconds: float
    attempt: int
    attempts: int
