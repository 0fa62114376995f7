"""How many requests go side by side: never more than the limit, and fewer where the API says that it is too much.

Additive increase, multiplicative decrease: an answer allows a little more, a 429 or 529 half as much; and where the
API's `anthropic-ratelimit-*` headers say that nothing is left, all wait until it is. None waits for what is further
off than the longest wait: the row that was told so fails, and the others find out for themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

from ..errors import APIError, ClaudeError, OverloadedError, RateLimitError

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
