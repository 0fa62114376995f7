"""The output of a map under way: a line of progress, a few times a second at most, then the record in its place."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..render.live.panel import Panel, clicks_arrive
from .answers import Tally

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

REFRESH_SECONDS = 0.25
BAR_CELLS = 20
# A rate is worth saying once so many seconds of it are known.
RATE_AFTER_SECONDS = 1.0
STOPPING = " · stopping: the replies under way are paid for, and waited for"

Bundle = Mapping[str, Any]


class Progress:
    """One map's output: a panel with Stop where a browser is, a line of text in a terminal. `said` is what it said
    last; in the `background` the cell has ended."""

    def __init__(self, shell: InteractiveShell, *, panel: bool, background: bool = False) -> None:
        self.stopped = threading.Event()
        self.said = ""
        self._background = background
        self._shell = shell
        self._id = uuid.uuid4().hex
        self._shown = False
        self._told = time.monotonic()  # what is over at once shows no progress
        self._metadata: Mapping[str, Any] = {}
        self._panel = Panel([], self.stopped.set) if panel else None
        self._kernel = hasattr(shell, "kernel")

    def say(self, text: str, share: float | None = None, *, at_once: bool = False) -> None:
        """Show a line, if the last one has stood long enough. `share`, from 0 to 1, is how much is done."""
        now = time.monotonic()
        if not at_once and now - self._told < REFRESH_SECONDS:
            return
        self._told = now
        if self.stopped.is_set():
            text += STOPPING if self._background else f"{STOPPING}; Interrupt breaks them off"
        self.said = text
        if self._panel is not None:
            self._panel.say(text, stoppable=self._background or clicks_arrive(self._shell), share=share)
            if not self._shown:
                self._show(self._panel.bundle)
            return
        said = text if share is None else f"{bar(share)} {text}"
        if self._kernel:
            self._show({"text/plain": said})
        elif sys.stderr.isatty():
            print(f"\r\x1b[K{said}", end="", file=sys.stderr, flush=True)

    def note(self, metadata: Mapping[str, Any], line: str) -> None:
        """Put what must not be lost into the notebook now, with a line that stands where the map was broken off."""
        self._metadata = metadata
        if self._kernel:
            self._show(self._panel.bundle if self._panel is not None else {"text/plain": line})

    def rest(self, bundle: Bundle | None, metadata: Mapping[str, Any]) -> None:
        """Put the record in place of the progress; `None` where there is nothing to show."""
        self._metadata = metadata
        if self._kernel:
            if bundle is not None or self._shown:
                self._show(bundle or {"text/plain": ""})
        else:
            if sys.stderr.isatty():
                print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            if bundle is not None:
                print(bundle["text/plain"])
        if self._panel is not None:
            self._panel.close()
            self._panel = None

    def _show(self, bundle: Bundle) -> None:
        self._shell.display_pub.publish(
            dict(bundle), dict(self._metadata), transient={"display_id": self._id}, update=self._shown
        )
        self._shown = True


def line(tally: Tally, total: int, cost: str, seconds: float) -> str:
    """How far a map is: rows, rate, dollars, what failed, and the time that is left."""
    done = tally.done
    said = [f"{done:,} of {total:,} rows"]
    if seconds >= RATE_AFTER_SECONDS and done:
        said.append(f"{done / seconds:,.1f}/s")
    said.append(cost)
    if tally.failed:
        said.append(f"{tally.failed:,} failed")
    if seconds >= RATE_AFTER_SECONDS and 0 < done < total:
        said.append(f"{duration(seconds / done * (total - done))} left")
    return " · ".join(said)


def bar(share: float) -> str:
    """How much is done, from 0 to 1, in characters."""
    filled = int(BAR_CELLS * share)
    return "█" * filled + "░" * (BAR_CELLS - filled)


def duration(seconds: float) -> str:
    """A time in words: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
