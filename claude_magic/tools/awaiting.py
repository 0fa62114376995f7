"""Run coroutines from a cell, while the kernel's own event loop is blocked by that cell.

They run on a second event loop, in a thread of its own. It lives as long as the kernel, so that calls can share
connections. This loop is the module's one global.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable
from concurrent import futures
from typing import Any

# How long a cancelled coroutine may take to clean up.
GRACE_SECONDS = 2.0


def result(awaitable: Awaitable[Any]) -> Any:
    """Wait for an awaitable and return its result. An Interrupt cancels it and raises `KeyboardInterrupt`."""
    future = asyncio.run_coroutine_threadsafe(_as_coroutine(awaitable), _loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        futures.wait([future], GRACE_SECONDS)
        raise


async def _as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="claude_magic coroutines", daemon=True).start()
    return loop
