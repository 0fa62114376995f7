"""A map that goes on while other cells run: asked in a thread of its own, concluded on the kernel's loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress

from ..errors import ClaudeError, UsageError

WAIT_SECONDS = 0.1


def kernel_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs the cells. Raises `UsageError` where none is there between two cells, as in a terminal."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    raise UsageError("--background needs a notebook: here, nothing runs between two cells.", advice="Leave it out.")


class Background:
    """`work` goes on in a thread and returns why it ended early, if it did; `conclude` is told so on the loop, once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], ClaudeError | None],
        conclude: Callable[[ClaudeError | None], None],
    ) -> None:
        self._loop = loop
        self._work = work
        self._conclude = conclude
        self._concluded = False
        self._failure: ClaudeError | None = None
        self._over = threading.Event()
        self._context = contextvars.copy_context()  # ipykernel's: what is shown goes to the cell that began it
        run = self._context.copy().run
        threading.Thread(target=run, args=(self._run,), daemon=True, name="claude_magic background").start()

    def wait(self) -> None:
        """Wait until it is concluded, in the cell that waits. An Interrupt ends the waiting, and not the map."""
        while not self._over.wait(WAIT_SECONDS):  # not Thread.join: interrupted, that takes a thread for ended
            pass
        self._end()

    def _run(self) -> None:
        try:
            self._failure = self._work()
        except ClaudeError as failure:
            self._failure = failure
        finally:
            self._over.set()
            with suppress(RuntimeError):  # the kernel ends, and its loop before this thread
                self._loop.call_soon_threadsafe(self._end, context=self._context)

    def _end(self) -> None:
        if not self._concluded:
            self._concluded = True
            self._conclude(self._failure)
