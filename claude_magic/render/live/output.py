"""What live views share: an output that is replaced in place, its pace, and the interrupt that a Stop button makes."""

from __future__ import annotations

import _thread
import signal
import threading
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.displaypub import DisplayPublisher

REFRESH_SECONDS = 0.1
CHARACTERS_PER_SECOND = 25_000  # the rate that a browser keeps up with (RENDERING.md §1)


def interrupt_cell() -> None:
    """Interrupt the running cell, as the kernel's own Interrupt does, which also wakes a silent connection."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:  # Windows
        _thread.interrupt_main()


class Output:
    """One output of the running cell: shown once, then replaced when it changes."""

    def __init__(self, publisher: DisplayPublisher) -> None:
        """`publisher` is the shell's from before a tool runs: a running tool's capture replaces it."""
        self._publisher = publisher
        self._id = uuid.uuid4().hex
        self._shown: object = None

    def show(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Show the data, in place of what this output showed; nothing is sent where it is the same."""
        if (data, metadata) != self._shown:
            update = self._shown is not None
            self._publisher.publish(data, metadata or {}, transient={"display_id": self._id}, update=update)
            self._shown = (data, metadata)
