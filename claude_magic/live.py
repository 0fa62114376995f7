"""The reply as it grows: in a notebook, or as text in a terminal.

In a notebook the answer is one output that is refreshed no sooner than `refresh_interval` after
the last time, so that traffic is linear in time and the browser keeps up (RENDERING.md §1). A
ticker thread does the refreshing: the thread that reads the events only folds them in.
"""

from __future__ import annotations

import _thread
import contextvars
import html
import math
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from . import markdown, pricing, record
from .accumulator import Accumulator
from .client import Wait
from .conversation import Block, Call, Turn
from .panel import Panel, clicks_arrive

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

REFRESH_SECONDS = 0.1
CHARACTERS_PER_SECOND = 25_000
CHARACTERS_PER_TOKEN = 3.5  # of English text, roughly: for the estimate while a reply grows


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


def view_for(shell: InteractiveShell, *, panel: bool) -> View:
    """A view for where this shell shows things: a kernel has a frontend, a terminal has itself."""
    return NotebookView(shell, panel=panel) if hasattr(shell, "kernel") else TerminalView()


class NotebookView:
    """Header, images and answer as outputs, each replaced in place by its `display_id`."""

    def __init__(self, shell: InteractiveShell, *, panel: bool) -> None:
        self._shell = shell
        self._header = _Output(shell)
        self._answer: list[_Output] = []
        self._inert = markdown.Inert()
        self._wants_panel = panel
        self._panel: Panel | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._began = time.monotonic()
        self._accumulator: Accumulator | None = None
        self._wait: Wait | None = None
        self._offline = False
        self._said = ""
        self._text = ""
        self._thinking = ""
        self._redrawn = 0

    def begin(self, content: Sequence[Block], *, offline: bool) -> None:
        """Show the header, and the images that go along."""
        self._offline = offline
        if self._wants_panel:
            self._panel = Panel([block for block in content if block.get("type") == "image"], self._stop)
        self._say()
        if self._panel is not None:
            self._header.show(self._panel.bundle)
        for image in record.images(content):
            _Output(self._shell).show(image)
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._tick,), name="claude_magic refresh", daemon=True).start()

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Fold an event in. The first text is shown at once, the rest by the ticker."""
        with self._lock:
            accumulator.add(event)
        self._accumulator = accumulator
        self._wait = None
        if not self._answer and accumulator.phase == "writing" and accumulator.visible:
            self._refresh()

    def wait(self, wait: Wait) -> None:
        """Say why, and how long."""
        with self._lock:
            self._wait = wait
            self._say()

    def end(self, turn: Turn | None) -> None:
        """Put the record in place of the panel."""
        with self._lock:
            self._ended.set()
            if turn is None:
                self._header.show({"text/html": "", "text/plain": ""})
            else:
                self._header.show(*record.header(turn))
                self._show_answer(record.answer(turn))
            if self._panel is not None:
                self._panel.close()

    def _tick(self) -> None:
        while not self._ended.wait(refresh_interval(self._redrawn)):
            self._refresh()

    def _refresh(self) -> None:
        """Show what has come since the last time."""
        with self._lock:
            if self._ended.is_set():
                return
            self._say()
            accumulator = self._accumulator
            if accumulator is None:
                return
            self._redrawn = 0
            if (text := accumulator.text) != self._text:
                self._text = text
                parts = self._inert.parts(text)
                self._redrawn += len(parts[-1].markdown)
                self._show_answer([{"text/markdown": part.markdown} for part in parts])
            if self._panel is not None and (thinking := accumulator.thinking) != self._thinking:
                self._thinking = thinking
                self._redrawn += len(thinking)
                self._panel.think(record.printable(thinking))

    def _show_answer(self, bundles: list[record.Bundle]) -> None:
        """The answer's parts, of which only those that changed are sent."""
        while len(self._answer) < len(bundles):
            self._answer.append(_Output(self._shell))
        nothing = [{"text/markdown": "", "text/plain": ""}] * (len(self._answer) - len(bundles))
        for output, bundle in zip(self._answer, [*bundles, *nothing], strict=True):
            output.show(bundle)

    def _say(self) -> None:
        """Say what is happening now, if it is not said already."""
        if self._panel is not None:
            self._panel.say(self._state(figures=True), stoppable=clicks_arrive(self._shell))
        elif (state := self._state(figures=False)) != self._said:
            self._said = state
            self._header.show({"text/html": f"<em>{html.escape(state)}</em>", "text/plain": state})

    def _state(self, *, figures: bool) -> str:
        """The state of things; with figures, which change all the time, or without."""
        accumulator, wait = self._accumulator, self._wait
        if wait is not None:
            seconds = max(1, round(wait.seconds))
            parts = [f"{wait.reason}: attempt {wait.attempt + 1} of {wait.attempts + 1} in {seconds} s …"]
        else:
            parts = [f"{accumulator.phase if accumulator else 'waiting'} …"]
        if figures:
            parts.append(f"{time.monotonic() - self._began:.0f} s")
            parts += _so_far(accumulator, self._offline)
        if self._offline:
            parts.append(record.OFFLINE)
        return " · ".join(parts)

    def _stop(self) -> None:
        """The Stop button: the same as the kernel's own Interrupt, which also wakes a silent connection."""
        with self._lock:
            if self._ended.is_set():
                return
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:  # Windows
                _thread.interrupt_main()


def _so_far(accumulator: Accumulator | None, offline: bool) -> list[str]:
    """Tokens and dollars so far: those in are the API's figures, those out are estimated by length."""
    if accumulator is None or not accumulator.usage:
        return []
    written = len(accumulator.text) + len(accumulator.thinking)
    usage = {**accumulator.usage, "output_tokens": math.ceil(written / CHARACTERS_PER_TOKEN)}
    call = Call(accumulator.model, usage, stop_reason="end_turn", provider="offline" if offline else "anthropic")
    tokens = pricing.tokens([call])
    used = tokens.input + tokens.cached + tokens.written
    cost = pricing.call_cost(call)
    estimate = [] if cost.dollars is None else [f"≈{cost}"]
    return [f"{used:,} tokens in", f"≈{tokens.output:,} out", *estimate]


class _Output:
    """One output of the running cell: shown once, then replaced where it changes."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._id = uuid.uuid4().hex
        self._shown: object = None

    def show(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        if (data, metadata) != self._shown:
            update = self._shown is not None
            self._shell.display_pub.publish(data, metadata or {}, transient={"display_id": self._id}, update=update)
            self._shown = (data, metadata)


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
