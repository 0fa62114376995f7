"""The columns of a comparison: several replies side by side, live and as a record; in a terminal one after the other.

The record is static HTML with inline styles, so that it looks the same in an untrusted notebook (RENDERING.md §3).
"""

from __future__ import annotations

import html
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...conversation.accumulator import Accumulator
from ...conversation.record import metadata
from ...conversation.turns import Block, Turn
from ...conversation.wait import Wait
from ...cost.pricing import exact_costs
from ..answer import GrowingAnswer, answer_outputs
from ..folds import fold
from ..markup import gate
from ..text import Bundle, printable
from ..turn import (
    OFFLINE,
    figures_of,
    folds_of,
    is_shown,
    line_as_html,
    line_of,
    marks,
    reply_text,
    sent_outputs,
    who_answers,
)
from .output import CHARACTERS_PER_SECOND, REFRESH_SECONDS, Output, interrupt_cell
from .panel import Panel
from .status import stay_busy

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

GOES_ON = "goes on in the conversation"
CHOOSE = "%claude_choose MODEL keeps another answer"


class Column:
    """The view of one model's reply. Once all replies are stopped, its next event or pause raises an interrupt."""

    def __init__(
        self, model: str, changed: threading.Event, stopped: threading.Event, *, offline: bool, began: float | None
    ) -> None:
        self.model = model
        self._offline = offline
        self._changed = changed
        self._stopped = stopped
        self._accumulator: Accumulator | None = None
        self._state = "waiting …"
        self._growing = GrowingAnswer()
        self._began = time.monotonic() if began is None else began
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
        """The state with its seconds, and the answer so far as sanitized HTML."""
        state = f"{self._state} {self._elapsed if self._seconds is None else self._seconds} s"
        if self._accumulator is None:
            return state, ""
        with self._accumulator.lock:
            content = self._accumulator.shown
        return state, "".join(part.html for part in self._growing.growing(content, offline=self._offline))

    @property
    def _elapsed(self) -> int:
        return int(time.monotonic() - self._began)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise KeyboardInterrupt


class Columns:
    """The replies of several models in one output of the running cell; the cell's own thread draws it."""

    REFRESH_SECONDS = 0.1

    def __init__(self, shell: InteractiveShell, *, panel: bool = False, began: float | None = None) -> None:
        self._shell = shell
        self._cell_began = began
        self._wants_panel = panel
        self._panel: Panel | None = None
        self._header, self._body = Output(shell.display_pub), Output(shell.display_pub)
        self._label = ""
        self._next = float("-inf")
        self._ended: dict[str, Turn | str] = {}
        self.changed = threading.Event()
        self._stopped = threading.Event()
        self.columns: list[Column] = []

    def begin(self, models: Sequence[str], content: Sequence[Block], *, provider: str | None) -> None:
        """Show the columns, before the questions are sent; without a `provider` the replies are recorded ones."""
        self._label = who_answers(provider)
        self._add_columns(models, provider)
        if self._wants_panel:
            stay_busy(self._shell)
            self._panel = Panel([block for block in content if is_shown(block)], interrupt_cell, self._shell)
            self._header.show(self._panel.bundle)
        self.draw()
        for image in sent_outputs(content):
            Output(self._shell.display_pub).show(*image)

    def _add_columns(self, models: Sequence[str], provider: str | None) -> None:
        facts: Any = {"offline": provider == "offline", "began": self._cell_began}
        self.columns = [Column(model, self.changed, self._stopped, **facts) for model in models]

    def stop(self) -> None:
        """Stop all replies in progress."""
        self._stopped.set()

    def draw(self) -> None:
        """Show the replies so far, if a refresh is due, so that the traffic stays linear in time."""
        if time.monotonic() < self._next:
            return
        states = [(column.model, *column.now()) for column in self.columns]
        if self._panel is not None:
            asked = ", ".join(column.model for column in self.columns)
            label = f" · {self._label}" if self._label else ""
            self._panel.say(f"asking {printable(asked)}{label}", stoppable=self._panel.clicks.arrive)
        self._body.show(_growing(states, "" if self._panel else self._label))
        drawn = sum(len(markup) for _, _, markup in states)
        self._next = time.monotonic() + max(REFRESH_SECONDS, drawn / CHARACTERS_PER_SECOND)

    def end(self, results: Mapping[str, Turn | str], chosen: Turn | None) -> None:
        """Show the record of all replies: by model, a turn or an error message. `chosen` stays in the conversation."""
        self._ended = dict(results)
        if any(isinstance(result, Turn) for result in results.values()):
            self._rest(chosen)
        else:
            for output in (self._header, self._body):
                output.show({"text/html": "", "text/plain": ""})
        if self._panel is not None:
            self._panel.close()

    def show(self, turn: Turn) -> None:
        """Show that another of the turns is kept in the conversation."""
        for model, result in self._ended.items():
            if isinstance(result, Turn) and result.calls == turn.calls:
                self._ended[model] = turn
        self._rest(turn)

    def _rest(self, chosen: Turn | None) -> None:
        self._header.show(header(self._ended, chosen))
        self._body.show(*at_rest(self._ended, chosen))


class TerminalColumns(Columns):
    """A comparison in a terminal: the replies as text, one after the other, when all have ended."""

    def begin(self, models: Sequence[str], content: Sequence[Block], *, provider: str | None) -> None:
        """Print which models are asked."""
        self._add_columns(models, provider)
        sys.stdout.write(f"Asking {', '.join(printable(model) for model in models)} …\n")

    def draw(self) -> None:
        """Print nothing: terminal output cannot be replaced, so the replies are printed when complete."""

    def end(self, results: Mapping[str, Turn | str], chosen: Turn | None) -> None:
        """Print all replies."""
        if any(isinstance(result, Turn) for result in results.values()):
            data, _ = at_rest(results, chosen)
            sys.stdout.write(f"{data['text/plain']}\n{header(results, chosen)['text/plain']}\n")
            sys.stdout.flush()

    def show(self, turn: Turn) -> None:
        """Print nothing: terminal output cannot be replaced."""


def columns_for(shell: InteractiveShell, *, panel: bool, began: float | None = None) -> Columns:
    """The columns for a shell: outputs in a kernel, text in a terminal. Seconds count from when the cell `began`."""
    return Columns(shell, panel=panel, began=began) if hasattr(shell, "kernel") else TerminalColumns(shell)


def header(results: Mapping[str, Turn | str], chosen: Turn | None) -> Bundle:
    """The line above a comparison: which answer goes on, how to keep another, and who answered if it is not Claude."""
    turns = [result for result in results.values() if isinstance(result, Turn)]
    goes_on = chosen is not None and not chosen.once
    model = next(
        (name for name, each in results.items() if chosen and isinstance(each, Turn) and each.id == chosen.id), ""
    )
    parts = [f"{printable(model)} {GOES_ON}"] if goes_on else []
    parts += [CHOOSE] if goes_on and len(turns) > 1 else []
    parts += [OFFLINE] if any(turn.offline for turn in turns) else []
    line = " · ".join(parts)
    markup = f'<div class="{gate.OURS}" style="{gate.HEADER}">{html.escape(line)}</div>'
    return {"text/html": gate.clean(markup) if line else "", "text/plain": line}


def at_rest(results: Mapping[str, Turn | str], chosen: Turn | None) -> tuple[Bundle, dict[str, Any]]:
    """The record of a comparison, data and metadata: the kept turn is the cell's own, with the others beside it."""
    turns = [result for result in results.values() if isinstance(result, Turn)]
    own = chosen or turns[0]
    others = [turn for turn in turns if turn.id != own.id]
    columns = "".join(_column(model, result) for model, result in results.items())
    plain = "\n\n".join(_plain(model, result) for model, result in results.items())
    return {"text/html": _columns(columns), "text/plain": plain}, metadata(own, others, exact_costs([own, *others]))


def _columns(boxes: str) -> str:
    return f'<div class="{gate.OURS}" style="{gate.COLUMNS}">{boxes}</div>'


def _growing(states: Sequence[tuple[str, str, str]], label: str) -> Bundle:
    suffix = f" · {label}" if label else ""
    columns = "".join(
        _boxed(model, f"<em>{_escaped(state + suffix)}</em>", _reply(markup)) for model, state, markup in states
    )
    plain = "\n\n".join(f"{printable(model)}: {state}{suffix}" for model, state, _ in states)
    return {"text/html": _columns(columns), "text/plain": plain}


def _column(model: str, result: Turn | str) -> str:
    if not isinstance(result, Turn):
        return _boxed(model, "<strong>failed</strong>", f'<div style="{gate.PLAIN_REPLY}">{_escaped(result)}</div>')
    line = gate.clean(line_as_html(_without_count(result), skip={line_of(result)[0], OFFLINE}))
    folded = "".join(fold(title, body) for title, body in folds_of(result))
    reply = "".join(bundle["text/html"] for bundle in answer_outputs(result))
    return _boxed(model, f"{line}{folded}", _reply(reply))


def _reply(markup: str) -> str:
    return f'<div style="{gate.REPLY}">{markup}</div>'


def _boxed(model: str, figures: str, body: str) -> str:
    head = f"<div><strong>{_escaped(model)}</strong></div>"
    return f'<div style="{gate.COLUMN}">{head}<div style="{gate.COLUMN_FIGURES}">{figures}</div>{body}</div>'


def _plain(model: str, result: Turn | str) -> str:
    head = f"── {printable(model)} ──"
    if not isinstance(result, Turn):
        return f"{head}\nfailed: {printable(result)}"
    text = printable(reply_text(result))
    return f"{head}\n{text}\n[{' · '.join([*_figures(result), *_marks(result)])}]"


def _figures(turn: Turn) -> list[str]:
    """A column's figures: tokens, cost and time, without the model above it and the count of earlier turns."""
    return figures_of(_without_count(turn))[1:]


def _without_count(turn: Turn) -> Turn:
    """A turn without its note of the count of earlier turns, which is the same in all columns."""
    return replace(turn, notes=tuple(n for n in turn.notes if not n.endswith(("earlier turn", "earlier turns"))))


def _marks(turn: Turn) -> list[str]:
    return [mark for mark in marks(turn) if mark != OFFLINE]


def _escaped(text: str) -> str:
    return html.escape(printable(text))
