"""When a failed request is sent again, after how long, and how many requests may run side by side."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from .. import errors
from ..errors import APIError, ClaudeError, OverloadedError, RateLimitError


def is_retryable(failure: errors.ClaudeError) -> bool:
    """Whether another attempt may help."""
    if isinstance(failure, errors.APIError):
        return failure.retryable
    return isinstance(failure, errors.ConnectionFailedError)


def delay_before(attempt: int, failure: errors.ClaudeError, max_wait: float) -> float:
    """Seconds until the next attempt: what the API asks for, else the SDK's own backoff (`_base_client.py`).

    `attempt` counts the retries so far. Raises the failure where that is longer than `max_wait` seconds.
    """
    asked = getattr(failure, "retry_after", None)
    delay = asked if asked is not None and asked > 0 else min(0.5 * 2.0**attempt, 8.0) * (1 - 0.25 * random.random())
    if delay > max_wait:
        form = "%H:%M:%S" if delay < 3600 else "%Y-%m-%d %H:%M"
        clock = time.strftime(form, time.localtime(time.time() + delay))
        failure.advice = f"It asks to come back in {delay:.0f} s, at {clock}; max_retry_wait is shorter than that."
        raise failure
    return float(delay)


def retry_reason(failure: errors.ClaudeError) -> str:
    """Why there is a pause, in two words."""
    reasons = {
        errors.RateLimitError: "rate limit",
        errors.OverloadedError: "overloaded",
        errors.ConnectionFailedError: "no connection",
    }
    return reasons.get(type(failure), "server error")


_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")


class Pace:
    """Who may ask now. Of one event loop, and of its thread.

    It begins with one request: what that writes to the cache, the others read. `longest_wait` is in seconds.
    """

    def __init__(self, limit: int, longest_wait: float) -> None:
        self.limit = limit
        self.allowed = 1.0
        self.running = 0
        self.peak = 0
        self._longest_wait = longest_wait
        self._opened = False
        self._not_before = 0.0
        self._slowed = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> float:
        """Wait until another request may go out. Returns when that was (`time.monotonic`)."""
        while True:
            pause = self._not_before - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            elif self.running < int(self.allowed):
                self.running += 1
                self.peak = max(self.peak, self.running)
                return time.monotonic()
            else:
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.append(waiter)
                await waiter

    def leave(self) -> None:
        """A request has ended."""
        self.running -= 1
        self._wake()

    def answered(self) -> None:
        """A reply came whole."""
        if not self._opened:
            self._opened, self.allowed = True, float(self.limit)
        else:
            self.allowed = min(float(self.limit), self.allowed + 1 / self.allowed)
        self._wake()

    def failed(self, failure: ClaudeError, entered: float) -> None:
        """A request that went out at `entered` failed: too much at once slows down, once for those of one moment."""
        if not isinstance(failure, RateLimitError | OverloadedError):
            return
        if entered >= self._slowed:
            self.allowed = max(1.0, self.allowed / 2)
            self._slowed = time.monotonic()
        if isinstance(failure, APIError) and failure.retry_after:
            self._pause(failure.retry_after)

    def heard(self, headers: Mapping[str, str]) -> None:
        """What an answer's headers say of the limits. Source: the API's page on rate limits."""
        for kind in _KINDS:
            name = f"anthropic-ratelimit-{kind}"
            with suppress(KeyError, ValueError, OverflowError):
                if int(headers[f"{name}-remaining"]) <= 0:
                    reset = datetime.fromisoformat(headers[f"{name}-reset"].replace("Z", "+00:00"))
                    self._pause(reset.timestamp() - time.time())

    def _pause(self, seconds: float) -> None:
        if seconds <= self._longest_wait:
            self._not_before = max(self._not_before, time.monotonic() + seconds)

    def _wake(self) -> None:
        free = int(self.allowed) - self.running
        while free > 0 and self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                free -= 1
