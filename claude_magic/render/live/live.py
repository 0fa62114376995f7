"""Live views of a streaming reply: outputs in a notebook, text in a terminal.

In a notebook a ticker thread draws, at a rate that keeps the traffic linear in the reply's length and that the browser
keeps up with (RENDERING.md §1); the thread that reads the events draws nothing.
"""

from __future__ import annotations

import contextvars
import html
import math
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ...content.token_estimate import CHARACTERS_PER_TOKEN
from ...conversation.accumulator import TOOL_RESULT, Accumulator
from ...conversation.turns import Block, Call, Turn
from ...conversation.wait import Wait
from ...cost import pricing
from .. import citations, tool_calls
from ..answer import GrowingAnswer, answer_outputs, box
from ..text import Bundle, printable, visible
from ..turn import (
    footer,
    header_output,
    is_shown,
    made_outputs,
    reply_text,
    sent_outputs,
    who_answers,
)
from . import approval
from .clicks import clicks_arrive
from .output import CHARACTERS_PER_SECOND, REFRESH_SECONDS, Output, interrupt_cell
from .panel import Panel
from .status import stay_busy

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ...tools.approval import Answer

SLOWEST_REFRESH_SECONDS = 1.0
GROWTH = 30  # redraw after growth by 1/30, so that a slow reply is not sent over and over


class View(Protocol):
    """A view of a reply, from its question to its record."""

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        """Begin, before `provider` is sent the question; `None`: the reply is a recorded one."""

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Take note of an event that was added to the accumulator, which a view only reads."""

    def wait(self, wait: Wait) -> None:
        """Show that there is a pause before the next attempt."""

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        """Show the record of the ended reply; clear the view if there is no turn.

        `instead_of` are the ids of turns of another cell that this turn replaces.
        """

    def show(self, turn: Turn) -> None:
        """Show another turn in the same place."""


class ApprovingView(View, Protocol):
    """A view that can also ask the reader for approval."""

    def approve(self, name: str, given: Mapping[str, Any]) -> Answer | None:
        """Ask the reader whether a tool may run with these arguments; None if nobody can be asked."""

    @property
    def can_approve(self) -> bool:
        """Whether anybody can be asked."""


def view_for(shell: InteractiveShell, *, panel: bool, began: float | None = None) -> ApprovingView:
    """The view for a shell: outputs in a kernel, text in a terminal. Its seconds count from when the cell `began`."""
    return NotebookView(shell, panel=panel, began=began) if hasattr(shell, "kernel") else TerminalView()


class Unseen:
    """A view that shows nothing, for a request without a reply to show."""

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        """Nothing is shown."""

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Nothing is shown."""

    def wait(self, wait: Wait) -> None:
        """Nothing is shown."""

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        """Nothing is shown."""

    def show(self, turn: Turn) -> None:
        """Nothing is shown."""


class Silent(Unseen):
    """A view that shows nothing: in a notebook, the turn's record is in the metadata of an empty output."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._record = Output(shell.display_pub) if hasattr(shell, "kernel") else None

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        """Leave the record."""
        if turn is not None:
            self.show(turn)

    def show(self, turn: Turn) -> None:
        """Leave the record of another turn."""
        if self._record is not None:
            self._record.show({"text/plain": ""}, header_output(turn)[1])

    def approve(self, name: str, given: Mapping[str, Any]) -> Answer | None:
        """Ask by `input()`."""
        return approval.by_input(name, given) if self.can_approve else None

    @property
    def can_approve(self) -> bool:
        """Whether `input()` reaches a person."""
        return approval.can_input(self._shell)


class NotebookView:
    """Header, images and answer as outputs, each replaced in place by its `display_id`."""

    def __init__(self, shell: InteractiveShell, *, panel: bool, began: float | None = None) -> None:
        self._shell = shell
        self._publisher = shell.display_pub
        self._cell_began = time.monotonic() if began is None else began
        self._wants_panel = panel
        self._panel: Panel | None = None
        self._header = Output(shell.display_pub)
        self._answer: list[Output] = []
        self._made: list[Output] = []
        self._growing = GrowingAnswer()
        self._pace = _Pace()
        self._provider: str | None = None
        self._began = time.monotonic()
        self._accumulator: Accumulator | None = None
        self._wait: Wait | None = None
        self._drawing = threading.Lock()
        self._wake = threading.Event()
        self._ended = False
        self._phase = ""
        self._tools: list[tuple[Block, Block | None]] = []
        self._waiting = ""  # what is said while a call waits for approval
        self._shown_state: object = None
        self._shown_thinking = ""
        self._shown_calls = 0

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        """Show the header and the attached images, and start the ticker."""
        self._provider = provider
        if self._wants_panel:
            stay_busy(self._shell)
            self._panel = Panel([block for block in content if is_shown(block)], self._stop, self._shell)
            self._header.show(self._panel.bundle)
        self._show_state()
        for image in sent_outputs(content):
            Output(self._publisher).show(*image)
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._tick,), name="claude_magic ticker", daemon=True).start()

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Note the event; wake the ticker if a new phase or a tool result begins."""
        self._accumulator = accumulator
        self._wait = None
        if event["type"] == TOOL_RESULT:
            self._show_images(event["content"])
        if event["type"] in (TOOL_RESULT, "message_stop"):
            self._wake.set()
        if accumulator.phase != self._phase:
            self._phase = accumulator.phase
            self._wake.set()

    def wait(self, wait: Wait) -> None:
        """Show the reason and length of a pause."""
        self._wait = wait
        self._wake.set()

    def approve(self, name: str, given: Mapping[str, Any]) -> Answer | None:
        """Ask with buttons if the frontend's clicks arrive while the cell runs, else by `input()`."""
        try:
            self._say_waiting("waiting for the page …")
            buttons = self._panel is not None and self._panel.clicks.wait(self._began)
            self._say_waiting(f"waiting for you: may {visible(name)} run?")
            if self._panel is not None and buttons:
                return approval.by_buttons(self._panel, name, given)
            return approval.by_input(name, given)
        finally:
            self._waiting = ""

    def _say_waiting(self, state: str) -> None:
        """Show a state that lasts while the cell waits for somebody else than Claude."""
        self._waiting = state
        with self._drawing:
            self._show_state()

    @property
    def can_approve(self) -> bool:
        """Whether anybody can be asked."""
        return approval.can_input(self._shell) or (self._wants_panel and clicks_arrive(self._shell))

    def _show_images(self, result: Block) -> None:
        """Show the images in a tool's result."""
        content = result.get("content")
        for image in sent_outputs(content if isinstance(content, list) else ()):
            Output(self._publisher).show(*image)

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        """Replace the panel by the turn's record, or by nothing."""
        with self._drawing:
            self._ended = True
            self._wake.set()
            if turn is None:
                self._header.show({"text/html": "", "text/plain": ""})
            else:
                self._header.show(*header_output(turn, instead_of))
                self._draw(answer_outputs(turn, self._growing))
                self._show_made(turn)
            if self._panel is not None:
                self._panel.close()

    def show(self, turn: Turn) -> None:
        """Replace the outputs of this cell by a turn's record, wherever the cell is on the page."""
        with self._drawing:
            self._header.show(*header_output(turn))
            self._draw(answer_outputs(turn))
            self._show_made(turn)

    def _show_made(self, turn: Turn) -> None:
        """Show the images that Claude's code made, below the answer; clear the outputs that are left over."""
        images = made_outputs(turn)
        while len(self._made) < len(images):
            self._made.append(Output(self._publisher))
        for output, image in zip(self._made, [*images, *[{"text/plain": ""}] * len(self._made)], strict=False):
            output.show(image)

    def _tick(self) -> None:
        while not self._ended:
            self._refresh()
            self._wake.wait(REFRESH_SECONDS)
            self._wake.clear()

    def _refresh(self) -> None:
        """Show the state, and what has arrived since the last refresh if one is due."""
        content: Sequence[Block] = ()
        thinking = ""
        accumulator = self._accumulator
        if accumulator is not None:
            with accumulator.lock:
                content, thinking = accumulator.shown, accumulator.thinking
                self._tools = accumulator.tools
        length = sum(len(block.get("text", "")) for block in content) + len(thinking) + len(content)
        with self._drawing:
            if self._ended:
                return
            self._show_state()
            # A call and its result are shown as they come.
            calls = len(self._tools) + sum(result is not None for _, result in self._tools)
            if calls == self._shown_calls and not self._pace.is_due(length):
                return
            self._shown_calls = calls
            parts = self._growing.growing(content, offline=self._provider == "offline")
            settled = self._growing.bundles(parts[:-1])
            self._draw([*settled, *({"text/html": box(part.html)} for part in parts[-1:])])
            redrawn = len(parts[-1].html) if parts else 0
            if self._panel is not None and thinking != self._shown_thinking:
                self._shown_thinking = thinking
                self._panel.show_thinking(
                    printable(thinking), answering=any(block["type"] == "text" for block in content)
                )
                redrawn += len(thinking)
            self._pace.note(length, redrawn)

    def _draw(self, bundles: list[Bundle]) -> None:
        """Show the answer's parts; only those that changed are sent."""
        while len(self._answer) < len(bundles):
            self._answer.append(Output(self._publisher))
        nothing = [{"text/html": "", "text/plain": ""}] * (len(self._answer) - len(bundles))
        for output, data in zip(self._answer, [*bundles, *nothing], strict=True):
            output.show(data)

    def _show_state(self) -> None:
        """Show the state of the reply; the panel's figures are updated once a second."""
        state = self._state()
        seconds = int(time.monotonic() - self._cell_began)
        if self._panel is None:
            if state != self._shown_state:
                self._header.show({"text/html": f"<em>{html.escape(state)}</em>", "text/plain": state})
            self._shown_state = state
        elif (latest := (state, seconds, self._panel.clicks.arrive)) != self._shown_state:
            figures = " · ".join([f"{seconds} s", *_figures_so_far(self._accumulator, self._provider)])
            self._panel.say(f"{state} · {figures}", stoppable=latest[2])
            self._shown_state = latest

    def _state(self) -> str:
        wait, who = self._wait, who_answers(self._provider)
        label = f" · {who}" if who else ""
        if self._waiting:
            return f"{self._waiting}{label}"
        if wait is None:
            running = next((call.get("name") for call, result in self._tools if result is None), None)
            return f"{f'running {visible(str(running))}' if running else self._phase or 'waiting'} …{label}"
        seconds = max(1, round(wait.seconds))
        return f"{wait.reason}: attempt {wait.attempt + 1} of {wait.attempts + 1} in {seconds} s …{label}"

    def _stop(self) -> None:
        """Interrupt the cell, as the kernel's own Interrupt does, which also wakes a silent connection."""
        with self._drawing:
            if self._ended:
                return
            interrupt_cell()


class _Pace:
    """The schedule of refreshes: by the browser's time for the last one, and by the growth since."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._length = 0
        self._redrawn = 0

    def is_due(self, length: int) -> bool:
        """Whether a refresh is due, now that `length` characters have arrived."""
        if length == self._length:
            return False
        waited = time.monotonic() - self._at
        if waited < max(REFRESH_SECONDS, self._redrawn / CHARACTERS_PER_SECOND):
            return False
        return abs(length - self._length) * GROWTH >= self._redrawn or waited >= SLOWEST_REFRESH_SECONDS

    def note(self, length: int, redrawn: int) -> None:
        """Note a refresh: `length` characters have arrived in all, `redrawn` of them were drawn again."""
        self._at, self._length, self._redrawn = time.monotonic(), length, redrawn


def _figures_so_far(accumulator: Accumulator | None, provider: str | None) -> list[str]:
    """Tokens and cost so far: input tokens are the API's figures, output tokens are estimated by length."""
    if accumulator is None or not accumulator.usage or provider is None:
        return []
    written = len(accumulator.text) + len(accumulator.thinking)
    usage = {**accumulator.usage, "output_tokens": math.ceil(written / CHARACTERS_PER_TOKEN)}
    call = Call(accumulator.model, usage, stop_reason="end_turn", provider=provider)
    tokens = pricing.tokens([call])
    cost = pricing.call_cost(call)
    estimate = [] if cost.dollars is None else [f"≈{cost}"]
    return [f"{tokens.shown(tokens.all_input)} tokens in", f"≈{tokens.output:,} out", *estimate]


class TerminalView:
    """A view in a terminal: plain text as it arrives, and a footer."""

    def __init__(self) -> None:
        self._written = 0
        self._kind = ""

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        """Print a line for each attached image."""
        for image, _ in sent_outputs(content):
            _write(image["text/plain"] + "\n")

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Print the text of an event."""
        if event["type"] == "content_block_start":
            before, self._kind = self._kind, event["content_block"]["type"]
            if self._written and self._kind == "text" != before:
                _write("\n\n")
            _write(printable(event["content_block"].get("text") or "") if self._kind == "text" else "")
        elif (
            event["type"] == "content_block_delta" and event["delta"]["type"] == "text_delta" and event["delta"]["text"]
        ):
            self._written += 1
            _write(printable(event["delta"]["text"]))
        elif event["type"] == TOOL_RESULT:
            self._written += 1
            done = next(each for each in accumulator.tools if each[1] == event["content"])
            _write(printable("\n\n[{}]\n{}\n".format(*tool_calls.notebook_tool_call(*done))))

    def wait(self, wait: Wait) -> None:
        """Print the reason and length of a pause."""
        _write(f"[{wait.reason}: attempt {wait.attempt + 1} of {wait.attempts + 1} in {wait.seconds:.0f} s]\n")

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        """Print the footer, and before it the reply if it was not streamed."""
        if turn is not None:
            text = "" if self._written else printable(reply_text(turn))
            listed = printable(citations.sources_in_words(turn.reply))
            text += f"\n\n{listed}" if listed else ""
            made = "".join(f"\n{image['text/plain']}" for image in made_outputs(turn))
            _write(f"{text}{made}\n\n[{footer(turn)}]\n")

    def show(self, turn: Turn) -> None:
        """Print nothing: terminal output cannot be replaced."""

    def approve(self, name: str, given: Mapping[str, Any]) -> Answer | None:
        """Ask by `input()`."""
        return approval.by_input(name, given)

    @property
    def can_approve(self) -> bool:
        """Whether standard input is a terminal."""
        return approval.can_input(None)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
