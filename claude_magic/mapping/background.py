"""Maps in the background: the work in a thread, its end on the kernel's loop, and a word on it where the reader is."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..content.safely import one_line
from ..errors import ClaudeError, UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

WAIT_SECONDS = 0.1


def kernel_loop() -> asyncio.AbstractEventLoop:
    """The event loop that runs the cells. Raises `UsageError` if none runs between two cells, as in a terminal."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    raise UsageError("--background needs a notebook: here, nothing runs between two cells.", advice="Leave it out.")


class Background:
    """Runs `work` in a thread; then calls `conclude` once, on the loop, with the failure that `work` returned."""

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
        self._context = contextvars.copy_context()  # with it, ipykernel shows outputs in the cell that began the map
        run = self._context.copy().run
        threading.Thread(target=run, args=(self._run,), daemon=True, name="claude_magic background").start()

    def wait(self) -> None:
        """Wait until it is concluded. An Interrupt ends the waiting, not the map."""
        while not self._over.wait(WAIT_SECONDS):  # not Thread.join: interrupted, it would count the thread as ended
            pass
        self._end()

    def _run(self) -> None:
        try:
            self._failure = self._work()
        except ClaudeError as failure:
            self._failure = failure
        except Exception as error:  # nobody foresaw it: what is done is bound all the same
            self._failure = ClaudeError(f"The map broke off: {one_line(error)}.")
        finally:
            self._over.set()
            with suppress(RuntimeError):  # when the kernel exits, its loop may close before this thread ends
                self._loop.call_soon_threadsafe(self._end, context=self._context)

    def _end(self) -> None:
        if not self._concluded:
            self._concluded = True
            self._conclude(self._failure)


class Endings:
    """How maps in the background have ended, by the names of their results. Each is said once: by `--wait`; or, if it
    did not end well, in the next cell that runs, where the reader is."""

    def __init__(self) -> None:
        self._well: dict[str, str] = {}
        self._badly: dict[str, str] = {}

    def add(self, name: str, line: str, shell: InteractiveShell, *, well: bool) -> None:
        """Note how a map has ended, in a line, and whether it ended well."""

        def say(*_: Any) -> None:
            shell.events.unregister("pre_run_cell", say)
            if (said := self._badly.pop(name, None)) is not None:
                print(said)

        if well:
            self._well[name] = line
        else:
            self._badly[name] = line
            shell.events.register("pre_run_cell", say)

    def taken(self) -> list[str]:
        """The lines that nobody has said yet, to be said now."""
        lines = [*self._well.values(), *self._badly.values()]
        self._well.clear()
        self._badly.clear()
        return lines
