"""The columns of a comparison: several replies side by side, live and as a record; in a terminal one after the other.

The record is static HTML with inline styles, so that it looks the same in an untrusted notebook (RENDERING.md §3).
"""

from __future__ import annotations

import html
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...conversation.accumulator import Accumulator
from ...conversation.record import metadata
from ...conversation.turns import Block, Turn
from ...conversation.wait import Wait
from ..text import Bundle, printable
from ..turn import answer_outputs, figures_of, fold, folds_of, image_outputs, marks, reply_text, who_answers

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

CHARACTERS_PER_SECOND = 25_000  # as in `live.py`: the rate that a browser keeps up with
GOES_ON = "goes on in the conversation"
# `tex2jax_ignore`: JupyterLab takes two dollar signs in HTML for a formula (RENDERING.md §3).
_BOX = (
    '<div class="tex2jax_ignore mathjax_ignore" '
    'style="display: flex; flex-wrap: wrap; gap: 0.8em; align-items: flex-start; line-height: 1.5">'
)
_COLUMN = (
    "flex: 1 1 16em; min-width: 0; max-width: 100%; box-sizing: border-box; overflow-wrap: anywhere; "
    "border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 4px; padding: 0.5em 0.8em; text-align: left"
)
_FIGURES = "font-size: 0.85em; opacity: 0.85; margin-bottom: 0.5em"
_PROSE = "white-space: pre-wrap; overflow-wrap: anywhere"
_REPLY = "overflow-x: auto"


class Column:
    """The view of one model's reply. Once all replies are stopped, its next event or pause raises an interrupt."""

    def __init__(self, model: str, changed: threading.Event, stopped: threading.Event) -> None:
        self.model = model
        self._changed = changed
        self._stopped = stopped
        self._accumulator: Accumulator | None = None
        self._state = "waiting …"
        self._began = time.monotonic()
        self._seconds: int | None = None  # how long the reply took, once it is done

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        """Nothing to do: the columns begin together."""

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        """Note the state of the reply. Raises `KeyboardInterrupt` if all replies are stopped."""
        self._check()
        self._accumulator = accumulator
        self._state = f"{accumulator.phase} …"

    def wait(self, wait: Wait) -> None:
        """Note the reason and length of a pause. Raises `KeyboardInterrupt` if all replies are stopped."""
        self._check()
        self._state = f"{wait.reason}: attempt {wait.attempt + 1} of {wait.attempts + 1} in {wait.seconds:.0f} s …"

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        """Nothing to do: the columns end together."""

    def show(self, turn: Turn) -> None:
        """Nothing to do: the columns show another turn together."""

    def finish(self) -> None:
        """Mark the reply as done while others go on."""
        self._seconds = self._elapsed
        self._state = "done, the others go on:"
        self._changed.set()

    def now(self) -> tuple[str, str]:
        """The state with its seconds, and the text so far."""
        state = f"{self._state} {self._elapsed if self._seconds is None else self._seconds} s"
        if self._accumulator is None:
            return state, ""
        with self._accumulator.lock:
            return state, self._accumulator.text

    @property
    def _elapsed(self) -> int:
        return int(time.monotonic() - self._began)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt


class Columns:
    """The replies of several models in one output of the running cell; the cell's own thread draws it."""

    REFRESH_SECONDS = 0.1

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._id = uuid.uuid4().hex
        self._shown: object = None
        self._label = ""
        self._next = float("-inf")
        self._ended: dict[str, Turn | str] = {}
        self.changed = threading.Event()
        self._stopped = threading.Event()
        self.columns: list[Column] = []

    def begin(self, models: Sequence[str], content: Sequence[Block], *, provider: str | None) -> None:
        """Show the columns, before the questions are sent; without a `provider` the replies are recorded ones."""
        self._label = who_answers(provider)
        self.columns = [Column(model, self.changed, self._stopped) for model in models]
        self.draw()
        for image in image_outputs(content):
            self._shell.display_pub.publish(image, {})

    def stop(self) -> None:
        """Stop all replies in progress."""
        self._stopped.set()

    def draw(self) -> None:
        """Show the replies so far, if a refresh is due, so that the traffic stays linear in time."""
        if time.monotonic() < self._next:
            return
        states = [(column.model, *column.now()) for column in self.columns]
        self._publish(_growing(states, self._label), {})
        drawn = sum(len(text) for _, _, text in states)
        self._next = time.monotonic() + max(self.REFRESH_SECONDS, drawn / CHARACTERS_PER_SECOND)

    def end(self, results: Mapping[str, Turn | str], chosen: Turn | None) -> None:
        """Show the record of all replies: by model, a turn or an error message. `chosen` stays in the conversation."""
        self._ended = dict(results)
        if not any(isinstance(result, Turn) for result in results.values()):
            self._publish({"text/html": "", "text/plain": ""}, {})
        else:
            self._publish(*at_rest(self._ended, chosen))

    def show(self, turn: Turn) -> None:
        """Show that another of the turns is kept in the conversation."""
        for model, result in self._ended.items():
            if isinstance(result, Turn) and result.calls == turn.calls:
                self._ended[model] = turn
        self._publish(*at_rest(self._ended, turn))

    def _publish(self, data: Bundle, found: dict[str, Any]) -> None:
        if (data, found) != self._shown:
            update, self._shown = self._shown is not None, (data, found)
            self._shell.display_pub.publish(data, found, transient={"display_id": self._id}, update=update)


class TerminalColumns(Columns):
    """A comparison in a terminal: the replies as text, one after the other, when all have ended."""

    def begin(self, models: Sequence[str], content: Sequence[Block], *, provider: str | None) -> None:
        """Print which models are asked."""
        self.columns = [Column(model, self.changed, self._stopped) for model in models]
        sys.stdout.write(f"Asking {', '.join(printable(model) for model in models)} …\n")

    def draw(self) -> None:
        """Print nothing: terminal output cannot be replaced, so the replies are printed when complete."""

    def _publish(self, data: Bundle, found: dict[str, Any]) -> None:
        sys.stdout.write(f"{data['text/plain']}\n")
        sys.stdout.flush()

    def show(self, turn: Turn) -> None:
        """Print nothing: terminal output cannot be replaced."""


def columns_for(shell: InteractiveShell) -> Columns:
    """The columns for a shell: outputs in a kernel, text in a terminal."""
    return Columns(shell) if hasattr(shell, "kernel") else TerminalColumns(shell)


def at_rest(results: Mapping[str, Turn | str], chosen: Turn | None) -> tuple[Bundle, dict[str, Any]]:
    """The record of a comparison, data and metadata: the kept turn is the cell's own, with the others beside it."""
    turns = [result for result in results.values() if isinstance(result, Turn)]
    own = chosen or turns[0]
    others = [turn for turn in turns if turn.id != own.id]
    columns = "".join(_column(model, result, chosen) for model, result in results.items())
    plain = "\n\n".join(_plain(model, result, chosen) for model, result in results.items())
    return {"text/html": f"{_BOX}{columns}</div>", "text/plain": plain}, metadata(own, others)


def _growing(states: Sequence[tuple[str, str, str]], label: str) -> Bundle:
    suffix = f" · {label}" if label else ""
    columns = "".join(
        _boxed(model, f"<em>{html.escape(state + suffix)}</em>", f'<div style="{_PROSE}">{_escaped(text)}</div>')
        for model, state, text in states
    )
    plain = "\n\n".join(f"{printable(model)}: {state}{suffix}" for model, state, _ in states)
    return {"text/html": f"{_BOX}{columns}</div>", "text/plain": plain}


def _column(model: str, result: Turn | str, chosen: Turn | None) -> str:
    if not isinstance(result, Turn):
        return _boxed(model, "<strong>failed</strong>", f'<div style="{_PROSE}">{_escaped(result)}</div>')
    from ..html import rendered

    shown = " · ".join(f'<span style="white-space: nowrap">{html.escape(part)}</span>' for part in _figures(result))
    marked = "".join(f" · <strong>{html.escape(mark)}</strong>" for mark in _marks(result, chosen))
    folded = "".join(fold(title, body) for title, body in folds_of(result))
    reply = "".join(rendered(bundle["text/markdown"]) for bundle in answer_outputs(result))
    return _boxed(model, f"{shown}{marked}", f'{folded}<div style="{_REPLY}">{reply}</div>')


def _boxed(model: str, figures: str, body: str) -> str:
    head = f"<div><strong>{_escaped(model)}</strong></div>"
    return f'<div style="{_COLUMN}">{head}<div style="{_FIGURES}">{figures}</div>{body}</div>'


def _plain(model: str, result: Turn | str, chosen: Turn | None) -> str:
    head = f"── {printable(model)} ──"
    if not isinstance(result, Turn):
        return f"{head}\nfailed: {printable(result)}"
    text = printable(reply_text(result))
    return f"{head}\n{text}\n[{' · '.join([*_figures(result), *_marks(result, chosen)])}]"


def _figures(turn: Turn) -> list[str]:
    """A column's figures: tokens, cost and time, without the model above it and the count of earlier turns."""
    notes = [note for note in turn.notes if not note.endswith(("earlier turn", "earlier turns"))]
    return figures_of(replace(turn, notes=tuple(notes)))[1:]


def _marks(turn: Turn, chosen: Turn | None) -> list[str]:
    goes_on = chosen is not None and turn.id == chosen.id and not turn.once
    return [*marks(turn), *([GOES_ON] if goes_on else [])]


def _escaped(text: str) -> str:
    return html.escape(printable(text))
