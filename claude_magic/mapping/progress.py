"""Progress output of a map: a line that is refreshed a few times a second, and then replaced by the record."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..render.live.panel import Panel
from ..render.live.status import stay_busy
from .answers import Tally

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

REFRESH_SECONDS = 0.25
BAR_CELLS = 20
# The rate is shown after so many seconds.
RATE_AFTER_SECONDS = 1.0
STOPPING = " · stopping: the replies under way are paid for, and waited for"

Bundle = Mapping[str, Any]


class Progress:
    """One map's output: a panel with Stop in a browser, a line of text in a terminal.

    `said` is the last line shown. With `background`, the map goes on after its cell has ended.
    """

    def __init__(self, shell: InteractiveShell, *, panel: bool, background: bool = False) -> None:
        self.stopped = threading.Event()
        self.said = ""
        self._background = background
        self._shell = shell
        self._id = uuid.uuid4().hex
        self._shown = False
        self._shown_at = time.monotonic()  # so that a map that ends at once shows no progress
        self._metadata: Mapping[str, Any] = {}
        if panel:
            stay_busy(shell)
        self._panel = Panel([], self.stopped.set, shell) if panel else None
        self._kernel = hasattr(shell, "kernel")

    def say(self, text: str, share: float | None = None, *, at_once: bool = False) -> None:
        """Show a line, unless the last one is younger than `REFRESH_SECONDS`. `share` is the part done, from 0 to 1."""
        now = time.monotonic()
        if not at_once and now - self._shown_at < REFRESH_SECONDS:
            return
        self._shown_at = now
        if self.stopped.is_set():
            text += STOPPING if self._background else f"{STOPPING}; Interrupt breaks them off"
        self.said = text
        if self._panel is not None:
            self._panel.say(text, stoppable=self._background or self._panel.clicks.arrive, share=share)
            if not self._shown:
                self._show(self._panel.bundle)
            return
        said = text if share is None else f"{bar(share)} {text}"
        if self._kernel:
            self._show({"text/plain": said})
        elif sys.stderr.isatty():
            print(f"\r\x1b[K{said}", end="", file=sys.stderr, flush=True)

    def note(self, metadata: Mapping[str, Any], line: str) -> None:
        """Put metadata that must not be lost (ids of batches) into the output now; `line` is shown if the map breaks
        off."""
        self._metadata = metadata
        if self._kernel:
            self._show(self._panel.bundle if self._panel is not None else {"text/plain": line})

    def rest(self, bundle: Bundle | None, metadata: Mapping[str, Any]) -> None:
        """Replace the progress by the record; `None` shows nothing."""
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
    """A line of progress: rows, rate, cost, failures, and the estimated time left."""
    done = tally.done
    parts = [f"{done:,} of {total:,} rows"]
    if seconds >= RATE_AFTER_SECONDS and done:
        parts.append(f"{done / seconds:,.1f}/s")
    parts.append(cost)
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if seconds >= RATE_AFTER_SECONDS and 0 < done < total:
        parts.append(f"{duration(seconds / done * (total - done))} left")
    return " · ".join(parts)


def bar(share: float) -> str:
    """A progress bar in characters, for a share from 0 to 1."""
    filled = int(BAR_CELLS * share)
    return "█" * filled + "░" * (BAR_CELLS - filled)


def duration(seconds: float) -> str:
    """A duration as text: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
