"""What the turns in notebooks' files cost: as a table, as CSV and as JSON.

Each figure is the sum of what the cells' own footers say; nothing runs, and nothing is asked.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import pricing, record
from .conversation import Call, Turn
from .notebook import Shown
from .pricing import FREE, Cost, Tokens

NO_TOKENS = Tokens()
HEADS = ("", "model", "calls", "tokens in", "cached", "written", "out", "cost", "")
# Of the tokens in, some were read from the cache and some written to it; of those out, some were thought.
FIELDS = (
    "calls",
    "tokens_in",
    "of_which_cached",
    "of_which_written",
    "tokens_out",
    "of_which_thinking",
    "dollars",
    "lower_bound",
    "offline",
    "replayed",
)


@dataclass(frozen=True)
class Spending:
    """What some calls used and cost; `offline` and `replayed` say how many of them were so."""

    calls: int = 0
    tokens: Tokens = NO_TOKENS
    cost: Cost = FREE
    offline: int = 0
    replayed: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.cost + other.cost,
            self.offline + other.offline,
            self.replayed + other.replayed,
        )


@dataclass(frozen=True)
class CellSpending:
    """What one cell's turns cost, by model. `cell` is its number in the notebook, from 1."""

    cell: int
    models: Mapping[str, Spending]

    @property
    def total(self) -> Spending:
        """All models together."""
        return sum(self.models.values(), Spending())


@dataclass(frozen=True)
class NotebookSpending:
    """What one notebook's turns cost, by cell."""

    notebook: str
    cells: tuple[CellSpending, ...]

    @cached_property
    def models(self) -> dict[str, Spending]:
        """Each model's part."""
        return _by_model(cell.models for cell in self.cells)

    @property
    def total(self) -> Spending:
        """All cells together."""
        return sum(self.models.values(), Spending())


def of(notebook: str, shown: Iterable[Shown]) -> NotebookSpending:
    """What the turns cost that a notebook's file shows."""
    cells: dict[int, list[Turn]] = {}
    for each in shown:
        cells.setdefault(each.cell, []).append(each.turn)
    return NotebookSpending(notebook, tuple(_of_cell(number, turns) for number, turns in sorted(cells.items())))


def line(shown: Sequence[Shown]) -> str:
    """All of a notebook in one line: its replies, their tokens, and what they cost, or cost when recorded."""
    turns = [each.turn for each in shown]
    tokens = pricing.tokens(call for turn in turns for call in turn.calls)
    said = [
        _count(len(turns), "reply", "replies"),
        f"{tokens.all_input:,} tokens in",
        f"{tokens.output:,} out",
        str(pricing.total(map(pricing.turn_cost, turns))),
    ]
    replayed = len({each.cell for each in shown if each.turn.replayed})
    if replayed:
        said[0] = f"{_count(replayed, 'cell')} replayed: {said[0]}"
        said[-1] += f" now, {pricing.total(map(pricing.recorded_cost, turns))} when recorded"
    return ", ".join(said) + _offline(any(turn.offline for turn in turns))


def table(notebooks: Sequence[NotebookSpending], *, cells: bool) -> str:
    """The figures for people: of each cell or of each notebook, of each model, in total."""
    asked = [each for each in notebooks if each.cells]
    rows = [row for each in asked for row in (_cell_rows(each, len(notebooks) > 1) if cells else [_notebook_row(each)])]
    rows += [_row(f"all of {model}", "", spent) for model, spent in _by_model(each.models for each in asked).items()]
    total = _total(asked)
    rows.append(_row("total", "", total))
    of_what = notebooks[0].notebook if len(notebooks) == 1 else _count(len(notebooks), "notebook")
    without = len(notebooks) - len(asked)
    silent = f", {without:,} of them without replies" if without and len(notebooks) > 1 else ""
    caption = record.printable(f"Cost of {of_what}{silent}{_offline(total.offline > 0)}").replace("\n", " ")
    text: str = record.table(caption, HEADS, rows)["text/plain"]
    return text


def as_csv(notebooks: Iterable[NotebookSpending]) -> str:
    """A header line, and a line a cell; dollars with all their digits, `n/a` where no price is known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["notebook", "cell", "models", *FIELDS])
    for each in notebooks:
        for cell in each.cells:
            figures = _figures(cell.total)
            figures["dollars"] = "n/a" if figures["dollars"] is None else figures["dollars"]
            names = (_csv_text(each.notebook), cell.cell, _csv_text(" ".join(cell.models)))
            writer.writerow([*names, *(_csv_flag(value) for value in figures.values())])
    return out.getvalue()


def as_json(notebooks: Sequence[NotebookSpending]) -> str:
    """Notebooks with their cells and models, all models, and the total; dollars are strings, or null."""
    document = {
        "notebooks": [_notebook_data(each) for each in notebooks],
        "models": _models_data(_by_model(each.models for each in notebooks)),
        "total": _figures(_total(notebooks)),
    }
    return json.dumps(document, indent=2)


def _of_cell(number: int, turns: Iterable[Turn]) -> CellSpending:
    return CellSpending(number, _by_model({call.model: _of_call(call)} for turn in turns for call in turn.calls))


def _of_call(call: Call) -> Spending:
    offline = call.provider == "offline"
    return Spending(1, pricing.tokens([call]), pricing.call_cost(call), int(offline), int(call.replayed))


def _by_model(parts: Iterable[Mapping[str, Spending]]) -> dict[str, Spending]:
    """The sums of parts, each model in the order in which it comes first."""
    sums: dict[str, Spending] = {}
    for part in parts:
        for model, spent in part.items():
            sums[model] = sums.get(model, Spending()) + spent
    return sums


def _total(notebooks: Iterable[NotebookSpending]) -> Spending:
    return sum((each.total for each in notebooks), Spending())


def _cell_rows(each: NotebookSpending, named: bool) -> list[list[str]]:
    label = f"{each.notebook}: cell" if named else "cell"
    return [_row(f"{label} {cell.cell}", ", ".join(cell.models), cell.total) for cell in each.cells]


def _notebook_row(each: NotebookSpending) -> list[str]:
    models = ", ".join(each.models) if len(each.models) == 1 else f"{len(each.models)} models"
    return _row(each.notebook, models, each.total)


def _row(label: str, models: str, spent: Spending) -> list[str]:
    tokens = spent.tokens
    marks = [record.OFFLINE] if spent.offline else []
    if spent.replayed:
        marks.append("replayed" if spent.replayed == spent.calls else f"{spent.replayed:,} replayed")
    counts = [f"{count:,}" for count in (spent.calls, tokens.all_input, tokens.cached, tokens.written)]
    output = f"{'≥' if spent.cost.at_least else ''}{tokens.output:,}"
    return [label, models, *counts, output, str(spent.cost), ", ".join(marks)]


def _figures(spent: Spending) -> dict[str, Any]:
    tokens = spent.tokens
    counts = (spent.calls, tokens.all_input, tokens.cached, tokens.written, tokens.output, tokens.thinking)
    dollars = None if spent.cost.dollars is None else f"{spent.cost.dollars:f}"
    flags = (spent.cost.at_least, bool(spent.offline), bool(spent.replayed))
    return dict(zip(FIELDS, (*counts, dollars, *flags), strict=True))


def _models_data(models: Mapping[str, Spending]) -> list[dict[str, Any]]:
    return [{"model": model, **_figures(spent)} for model, spent in models.items()]


def _notebook_data(each: NotebookSpending) -> dict[str, Any]:
    return {
        "notebook": each.notebook,
        "cells": [{"cell": cell.cell, "models": list(cell.models), **_figures(cell.total)} for cell in each.cells],
        "models": _models_data(each.models),
        "total": _figures(each.total),
    }


def _csv_text(text: str) -> str:
    """Text that a spreadsheet takes for text: a name from a stranger's notebook can be written as a formula."""
    shown = record.printable(text).replace("\n", " ").replace("\t", " ")
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _csv_flag(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _offline(any_offline: bool) -> str:
    return f" ({record.OFFLINE}: what Claude would have cost)" if any_offline else ""


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
