"""What a server writes to its standard error: kept out of the cell, its last line kept for when it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

KEPT_BYTES = 4_000


class StandardError:
    """A pipe that a thread empties, so that no server waits for a reader."""

    def __init__(self) -> None:
        self._kept = b""
        self._thread: threading.Thread | None = None

    @property
    def last_line(self) -> str:
        """The last line that is not blank; empty if there is none."""
        lines = self._kept.decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    @contextmanager
    def opened(self, at_end: Callable[[], None]) -> Iterator[TextIO]:
        """The file for a process to write to, which is to be started in the block; `at_end` is called when all who
        have it are gone."""
        reading, writing = os.pipe()
        self._thread = threading.Thread(target=self._read, args=(reading, at_end), name="claude_magic MCP", daemon=True)
        self._thread.start()
        with os.fdopen(writing, "w") as file:
            yield file

    def join(self, seconds: float) -> None:
        """Wait so long for the rest of what a process wrote that has ended."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _read(self, reading: int, at_end: Callable[[], None]) -> None:
        with os.fdopen(reading, "rb", buffering=0) as file:
            while part := file.read(65_536):
                self._kept = (self._kept + part)[-KEPT_BYTES:]
        at_end()
