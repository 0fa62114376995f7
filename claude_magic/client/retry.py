"""Retry rules (whether, after how long), and the pace of concurrent requests."""

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
    """Seconds until the next attempt: the API's `retry-after`, else the SDK's backoff (`_base_client.py`).

    `attempt` is the number of retries so far. Raises the failure if the delay is longer than `max_wait` seconds.
    """
    wait = getattr(failure, "retry_after", None)
    delay = wait if wait is not None and wait > 0 else min(0.5 * 2.0**attempt, 8.0) * (1 - 0.25 * random.random())
    if delay > max_wait:
        form = "%H:%M:%S" if delay < 3600 else "%Y-%m-%d %H:%M"
        clock = time.strftime(form, time.localtime(time.time() + delay))
        failure.advice = f"It asks to come back in {delay:.0f} s, at {clock}; max_retry_wait is shorter than that."
        raise failure
    return float(delay)


def retry_reason(failure: errors.ClaudeError) -> str:
    """The reason for a pause, in two words."""
    reasons = {
        errors.RateLimitError: "rate limit",
        errors.OverloadedError: "overloaded",
        errors.ConnectionFailedError: "no connection",
    }
    return reasons.get(type(failure), "server error")


_KINDS = ("requests", "tokens", "input-tokens", "output-tokens")


class Pace:
    """Adaptive limit on concurrent requests, for one event loop and its thread.

    It allows `limit`, halved after rate limits and overloads. With `shares_prefix`, it starts at one request: once that
    one's reply has begun, the prefix is in the prompt cache for the others. `longest_wait` is in seconds.
    """

    def __init__(self, limit: int, longest_wait: float, *, shares_prefix: bool = False) -> None:
        self.limit = limit
        self.allowed = 1.0 if shares_prefix else float(limit)
        self.running = 0
        self.peak = 0
        self._longest_wait = longest_wait
        self._opened = not shares_prefix
        self._not_before = 0.0
        self._slowed = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> float:
        """Wait until another request may be sent. Returns the time of that (`time.monotonic`)."""
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
        """Note that a request has ended."""
        self.running -= 1
        self._wake()

    def begun(self) -> None:
        """Note that a reply has begun: whatever the requests share is in the prompt cache."""
        if not self._opened:
            self._opened, self.allowed = True, float(self.limit)
            self._wake()

    def answered(self) -> None:
        """Note a complete reply: raise the limit."""
        self.begun()
        self.allowed = min(float(self.limit), self.allowed + 1 / self.allowed)
        self._wake()

    def failed(self, failure: ClaudeError, entered: float) -> None:
        """Note the failure of a request that was sent at `entered`.

        A rate limit or an overload halves the limit, once for all requests that were sent before it did; all wait as
        long as an error of the API asks for.
        """
        if isinstance(failure, RateLimitError | OverloadedError) and entered >= self._slowed:
            self.allowed = max(1.0, self.allowed / 2)
            self._slowed = time.monotonic()
        if isinstance(failure, APIError) and failure.retry_after:
            self._pause(failure.retry_after)

    def note_headers(self, headers: Mapping[str, str]) -> None:
        """Pause until a rate limit resets, if a response's headers say that it is used up.

        Source of the headers: the API's page on rate limits.
        """
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
