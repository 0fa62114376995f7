"""The reply as it grows: in a notebook, or as text in a terminal.

In a notebook the answer is one output that is refreshed no sooner than `refresh_interval` after
the last time, so that traffic is linear in time and the browser keeps up (RENDERING.md §1). A
ticker thread does the refreshing: the thread that reads the events only folds them in.
"""

from __future__ import annotations

import contextvars
import html
import sys
import threading
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from . import record
from .accumulator import Accumulator
from .client import Wait
from .conversation import Block, Turn

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

REFRESH_SECONDS = 0.1
CHARACTERS_PER_SECOND = 25_000


def refresh_interval(length: int) -> float:
    """Seconds between two refreshes of an answer of so many characters."""
    return max(REFRESH_SECONDS, length / CHARACTERS_PER_SECOND)


class View(Protocol):
    """What watches a reply from its question to its record."""

    def begin(self, content: Sequence[Block], *, offline: bool) -> None:
        """A question is about to be sent."""

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Fold an event in, and show it when it is time to."""

    def wait(self, wait: Wait) -> None:
        """There is a pause before the next attempt."""

    def end(self, turn: Turn | None) -> None:
        """The reply has ended: with a turn, or with nothing to show."""


def view_for(shell: InteractiveShell) -> View:
    """A view for where this shell shows things: a kernel has a frontend, a terminal has itself."""
    return NotebookView(shell) if hasattr(shell, "kernel") else TerminalView()


class NotebookView:
    """Header, images and answer as outputs, each replaced in place by its `display_id`."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._header = _Output(shell)
        self._answer = _Output(shell)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._accumulator: Accumulator | None = None
        self._offline = False
        self._state = ""
        self._text = ""

    def begin(self, content: Sequence[Block], *, offline: bool) -> None:
        """Show the header, and the images that go along."""
        self._offline = offline
        self._say("waiting …")
        for image in record.images(content):
            _Output(self._shell).show(image)
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._tick,), name="claude_magic refresh", daemon=True).start()

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Fold an event in. The first text is shown at once, the rest by the ticker."""
        with self._lock:
            accumulator.add(event)
        self._accumulator = accumulator
        if not self._answer.shown and accumulator.phase == "writing" and accumulator.visible:
            self._refresh()

    def wait(self, wait: Wait) -> None:
        """Say why, and how long."""
        self._accumulator = None
        seconds = max(1, round(wait.seconds))
        self._say(f"{wait.reason}: attempt {wait.attempt + 1} of {wait.attempts + 1} in {seconds} s …")

    def end(self, turn: Turn | None) -> None:
        """Put the record in place."""
        self._ended.set()
        with self._lock:
            if turn is None:
                self._header.show({"text/html": "", "text/plain": ""})
                return
            self._header.show(*record.header(turn))
            bundle = record.answer(turn)
            if bundle or self._answer.shown:
                self._answer.show(bundle or {"text/markdown": "", "text/plain": ""})

    def _tick(self) -> None:
        while not self._ended.wait(refresh_interval(len(self._text))):
            self._refresh()

    def _refresh(self) -> None:
        """Show what has come since the last time."""
        with self._lock:
            accumulator = self._accumulator
            if accumulator is None or self._ended.is_set():
                return
            text = accumulator.text
            if text != self._text:
                self._text = text
                self._answer.show(record.growing(text))
            self._say(f"{accumulator.phase} …")

    def _say(self, state: str) -> None:
        if state != self._state:
            self._state = state
            marked = f"{state} · {record.OFFLINE}" if self._offline else state
            self._header.show({"text/html": f"<em>{html.escape(marked)}</em>", "text/plain": marked})


class _Output:
    """One output of the running cell: shown once, then replaced."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._id = uuid.uuid4().hex
        self.shown = False

    def show(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        self._shell.display_pub.publish(data, metadata or {}, transient={"display_id": self._id}, update=self.shown)
        self.shown = True


class TerminalView:
    """Plain text as it comes, and a footer."""

    def __init__(self) -> None:
        self._written = 0
        self._kind = ""

    def begin(self, content: Sequence[Block], *, offline: bool) -> None:
        """Name the images that go along."""
        for image in record.images(content):
            _write(image["text/plain"] + "\n")

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Fold an event in, and write its text."""
        accumulator.add(event)
        if event["type"] == "content_block_start":
            before, self._kind = self._kind, event["content_block"]["type"]
            if self._written and self._kind == "text" != before:
                _write("\n\n")
        elif event["type"] == "content_block_delta" and event["delta"].get("text"):
            self._written += 1
            _write(record.printable(event["delta"]["text"]))

    def wait(self, wait: Wait) -> None:
        """Say why, and how long."""
        _write(f"[{wait.reason}: attempt {wait.attempt + 1} of {wait.attempts + 1} in {wait.seconds:.0f} s]\n")

    def end(self, turn: Turn | None) -> None:
        """Write the footer; and the reply, if it came in one piece."""
        if turn is not None:
            text = "" if self._written else record.printable(record.reply_text(turn))
            _write(f"{text}\n\n[{record.footer(turn)}]\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
