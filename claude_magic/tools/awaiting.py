"""Run a coroutine while the kernel's own event loop is busy with the cell that waits for it.

The kernel's loop cannot continue before the cell is done, so coroutines run on a loop of their own, in a thread. It
lives as long as the kernel: a connection that one call opened there serves the next. This is the module's one global.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable
from concurrent import futures
from typing import Any

# How long something that was interrupted may take to put itself in order.
GRACE_SECONDS = 2.0


def result(awaitable: Awaitable[Any]) -> Any:
    """What an awaitable comes to. An Interrupt cancels it, and is raised."""
    running = asyncio.run_coroutine_threadsafe(_ended(awaitable), _loop())
    try:
        return running.result()
    except KeyboardInterrupt:
        running.cancel()
        futures.wait([running], GRACE_SECONDS)
        raise


async def _ended(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="claude_magic coroutines", daemon=True).start()
    return loop
