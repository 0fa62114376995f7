"""Cost reports: of notebook files as table, CSV and JSON; of a session as table and chart data.

Each figure is the sum of the figures in the cells' headers; nothing is run, and no request is sent.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from ..content.text import plural
from ..conversation.map_run import Mapped
from ..conversation.turns import DEFAULT_CHAT, Call, Turn
from ..cost import pricing
from ..cost.budget import Budget, amount
from ..cost.ledger import Entry, Standing
from ..cost.pricing import FREE, Cost, Tokens
from ..notebook.reader import Shown
from .cost_chart import Bar
from .table import table_output
from .text import Bundle, cell_number, excerpt, printable
from .turn import OFFLINE

NO_TOKENS = Tokens()
HEADS = ("", "model", "calls", "tokens in", "cached", "written", "out", "cost", "")
SESSION_HEADS = ("cell", "prompt", "model", "tokens in", "cached", "written", "out", "cost", "marks")
# If there are more cells, the earlier ones share a row; `%claude_cost --out` has a row for each call.
MAX_CELL_ROWS = 100
ELSEWHERE: dict[Standing, str] = {
    "warmed": "(the cache, filled ahead)",
    "asked once": "(asked once)",
    "failed": "(failed)",
    "left": "(replaced, deleted or reset)",
}
COMPARED = "(other models of comparisons)"
MAPPED_EARLIER = "(mapped by an earlier kernel)"
Run = tuple[str | None, int | None, str]
# The columns of CSV and JSON; tokens are counts, dollars and saved_by_caching are USD.
FIELDS = (
    "calls",
    "tokens_in",
    "of_which_cached",
    "of_which_written",
    "tokens_out",
    "of_which_thinking",
    "dollars",
    "saved_by_caching",
    "lower_bound",
    "offline",
    "replayed",
)


@dataclass(frozen=True)
class Spending:
    """The usage and cost of some calls; `offline` and `replayed` count those of the stand-in and the replays.

    `saved` is what caching saved, in USD: negative if it cost more, unknown without a known price.
    """

    calls: int = 0
    tokens: Tokens = NO_TOKENS
    cost: Cost = FREE
    offline: int = 0
    replayed: int = 0
    saved: Cost = FREE

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            self.calls + other.calls,
            self.tokens + other.tokens,
            self.cost + other.cost,
            self.offline + other.offline,
            self.replayed + other.replayed,
            self.saved + other.saved,
        )


@dataclass(frozen=True)
class CellSpending:
    """The cost of one cell's turns by model. `cell` is its position in the notebook, from 1."""

    cell: int
    models: Mapping[str, Spending]

    @property
    def total(self) -> Spending:
        """All models together."""
        return sum(self.models.values(), Spending())


@dataclass(frozen=True)
class NotebookSpending:
    """The cost of one notebook's turns by cell."""

    notebook: str
    cells: tuple[CellSpending, ...]

    @cached_property
    def models(self) -> dict[str, Spending]:
        """The sum for each model."""
        return _by_model(cell.models for cell in self.cells)

    @property
    def total(self) -> Spending:
        """All cells together."""
        return sum(self.models.values(), Spending())


def of(notebook: str, shown: Iterable[Shown], mapped: Iterable[tuple[int, Mapped]] = ()) -> NotebookSpending:
    """The cost of the turns and maps in a notebook's file; each map comes with the position of its cell."""
    cells: dict[int, list[dict[str, Spending]]] = {}
    for each in shown:
        cells.setdefault(each.cell, []).extend({call.model: _of_call(call)} for call in each.turn.calls)
    for number, run in mapped:
        cells.setdefault(number, []).append({run.model: _of_map(run)})
    return NotebookSpending(notebook, tuple(CellSpending(at, _by_model(parts)) for at, parts in sorted(cells.items())))


def line(shown: Sequence[Shown]) -> str:
    """A notebook's replies, tokens and cost on one line; for replays also the cost when recorded."""
    turns = [each.turn for each in shown]
    tokens = pricing.tokens(call for turn in turns for call in turn.calls)
    figures = [
        plural(len(turns), "reply", "replies"),
        f"{tokens.shown(tokens.all_input)} tokens in",
        f"{tokens.shown(tokens.output)} out",
        str(pricing.total(map(pricing.turn_cost, turns))),
    ]
    replayed = len({each.cell for each in shown if each.turn.replayed})
    if replayed:
        figures[0] = f"{plural(replayed, 'cell')} replayed: {figures[0]}"
        figures[-1] += f" now, {pricing.total(map(pricing.recorded_cost, turns))} when recorded"
    return ", ".join(figures) + _offline(any(turn.offline for turn in turns))


def table(notebooks: Sequence[NotebookSpending], *, cells: bool) -> str:
    """The text table for people: a row for each cell or each notebook, for each model, and the total."""
    used = [each for each in notebooks if each.cells]
    rows = [row for each in used for row in (_cell_rows(each, len(notebooks) > 1) if cells else [_notebook_row(each)])]
    rows += [_row(f"all of {model}", "", spent) for model, spent in _by_model(each.models for each in used).items()]
    total = _total(used)
    rows.append(_row("total", "", total))
    if total.saved.dollars != 0:
        label, saved = _of_caching(total.saved)
        rows.append([label, "", "", "", "", "", "", saved, ""])
    of_what = notebooks[0].notebook if len(notebooks) == 1 else plural(len(notebooks), "notebook")
    without = len(notebooks) - len(used)
    silent = f", {without:,} of them without replies" if without and len(notebooks) > 1 else ""
    caption = printable(f"Cost of {of_what}{silent}{_offline(total.offline > 0)}").replace("\n", " ")
    text: str = table_output(caption, HEADS, rows)["text/plain"]
    return text


def session_table(ledger: Sequence[Entry], budget: Budget | None = None, maps: Sequence[Mapped] = ()) -> Bundle:
    """The table of a session's cost: rows for each cell, for calls in no cell, for each model, for the total, for what
    caching saved, and for what is left of the budget. `maps` are those of the file, which other kernels have run."""
    cells = _by_cell(ledger)
    later = cells[-MAX_CELL_ROWS:]
    earlier = [each for cell in cells[: -len(later)] for each in cell]
    rows = [_session_row("", f"({plural(len(cells) - len(later), 'earlier cell')})", earlier)] if earlier else []
    rows += [_cell_row(cell) for cell in later]
    rows += [_session_row("", label, spent) for label, spent in _elsewhere(ledger).items() if spent]
    for model in dict.fromkeys(each.call.model for each in ledger):
        rows.append(_session_row("", f"all of {model}", [each for each in ledger if each.call.model == model]))
    mapped = sum(map(_of_map, maps), Spending())
    rows += [_spending_row(MAPPED_EARLIER, [run.model for run in maps], mapped)] if maps else []
    whole = sum((_of_call(each.call) for each in ledger), mapped)
    total = _spending_row("total", [*(each.call.model for each in ledger), *(run.model for run in maps)], whole)
    figure, of = (budget.left_in_words, f"of {amount(budget.total)}") if budget else ("", "")
    left = [["", "left of the budget", "", "", "", "", "", figure, of]] if budget else []
    return table_output(
        f"Cost of this session{_offline(whole.offline > 0)}", SESSION_HEADS, [*rows, total, *_cache_row(ledger), *left]
    )


def session_bars(ledger: Sequence[Entry]) -> tuple[str, list[Bar]]:
    """The title and bars of a session's chart: one bar for each cell, and for each run that is in no cell, in the order
    of their first calls."""
    title = "Cost per cell"
    if any(each.call.provider == "offline" for each in ledger):
        title += f" · {OFFLINE}: what Claude would have cost"
    if any(each.call.replayed for each in ledger):
        title += " · a replay costs nothing"
    standing = _standing_runs(ledger)
    bars: dict[tuple[object, ...], list[Call]] = {}
    labels: dict[tuple[object, ...], str] = {}
    for each in sorted(ledger, key=lambda each: each.call.started):
        what = _call_note(each, standing)
        key = (each.turn.cell_id or each.turn.id, what, each.standing in ELSEWHERE and each.turn.execution_count)
        bars.setdefault(key, []).append(each.call)
        labels.setdefault(key, _label(each.turn, what))
    return title, [_bar(labels[key], calls) for key, calls in bars.items()]


def _label(turn: Turn, what: str) -> str:
    """The label of a bar: a cell's number and what its calls were, or the start of its prompt."""
    number = cell_number(turn)
    return f"{number} {what}".strip() or excerpt(turn) or "(no number)"


def _elsewhere(ledger: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The calls that are in no cell's row, by the label of theirs."""
    standing = _standing_runs(ledger)
    rows: dict[str, list[Entry]] = {label: [] for label in (COMPARED, *ELSEWHERE.values())}
    for each in ledger:
        if each.standing in ELSEWHERE:
            rows[COMPARED if _is_compared(each, standing) else ELSEWHERE[each.standing]].append(each)
    return rows


def _call_note(entry: Entry, standing: Set[Run]) -> str:
    """What a call was, if it is not simply a cell's reply: `(replayed)`, `(failed)` and the like; else empty."""
    if entry.call.replayed:
        return "(replayed)"
    if entry.standing == "mapped":
        return excerpt(entry.turn)
    if _is_compared(entry, standing):
        return f"({entry.call.model}, compared)"
    return ELSEWHERE.get(entry.standing, "")


def _run(entry: Entry) -> Run:
    """The key of a cell's run in a chat: a comparison makes several turns in one run, of which one is kept."""
    return entry.turn.cell_id, entry.turn.execution_count, entry.turn.chat


def _standing_runs(ledger: Iterable[Entry]) -> set[Run]:
    return {_run(each) for each in ledger if each.standing == "stands"}


def _is_compared(entry: Entry, standing: Set[Run]) -> bool:
    """Whether a call is of a comparison's model that was not kept."""
    return entry.standing == "left" and entry.turn.execution_count is not None and _run(entry) in standing


def _by_cell(ledger: Iterable[Entry]) -> list[list[Entry]]:
    """The entries of the ledger that are in the notebook, by cell, and those of each run of a map."""
    cells: dict[str, list[Entry]] = {}
    for each in ledger:
        if each.standing in ("stands", "mapped"):
            cells.setdefault(each.turn.cell_id or each.turn.id, []).append(each)
    return list(cells.values())


def _cell_row(cell: Sequence[Entry]) -> list[str]:
    turns = {each.turn.id: each.turn for each in cell}
    first = cell[0].turn
    more = f" (and {len(turns) - 1:,} more)" if len(turns) > 1 else ""
    return _session_row(cell_number(first), excerpt(first) + more, cell)


def _session_row(cell: str, label: str, ledger: Sequence[Entry]) -> list[str]:
    spent = sum((_of_call(each.call) for each in ledger), Spending())
    chats = dict.fromkeys(each.turn.chat for each in ledger) if cell else {}
    of_chat = ", ".join(f"chat {chat}" for chat in chats if chat != DEFAULT_CHAT)
    _, *figures, marks = _spending_row(label, [each.call.model for each in ledger], spent)
    return [cell, *figures, ", ".join(filter(None, (of_chat, marks)))]


def _spending_row(label: str, models: Iterable[str], spent: Spending) -> list[str]:
    """A row without a cell's number."""
    names = list(dict.fromkeys(models))
    model = "".join(names) if len(names) < 2 else f"{len(names)} models"
    _, _, _, *figures, marks = _row("", "", spent)
    return ["", label, model, *figures, marks]


def _cache_row(ledger: Sequence[Entry]) -> list[list[str]]:
    """A row with what caching saved or cost; no row if there was no caching."""
    calls = [each.call for each in ledger if not each.call.replayed]
    tokens = pricing.tokens(calls)
    if not tokens.cached and not tokens.written:
        return []
    label, saved = _of_caching(Cost(pricing.saved_by_caching(calls)))
    counts = [tokens.shown(tokens.cached), tokens.shown(tokens.written)]
    return [["", label, "", "", *counts, "", saved, ""]]


def _of_caching(saved: Cost) -> tuple[str, str]:
    """The label and dollars of what caching saved, or of what it cost if writing cost more than reading saved."""
    amount = saved.dollars
    label = "caching cost" if amount is not None and amount < 0 else "caching saved"
    return label, pricing.dollars(amount and abs(amount))


def _bar(label: str, calls: Sequence[Call]) -> Bar:
    costs = [pricing.cost_by_kind(call) for call in calls]
    known = [cost for cost in costs if cost is not None]
    dollars = {kind: pricing.total(Cost(each[kind]) for each in known).dollars or Decimal(0) for kind in pricing.KINDS}
    billed = [call for call in calls if not call.replayed]
    at_least = any(pricing.call_cost(call).at_least for call in calls)
    return Bar(label, dollars if len(known) == len(costs) else None, pricing.counts_by_kind(billed), at_least)


def as_csv(notebooks: Iterable[NotebookSpending]) -> str:
    """CSV with a header and a line for each cell; dollars with all digits, `n/a` if no price is known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["notebook", "cell", "models", *FIELDS])
    for each in notebooks:
        for cell in each.cells:
            figures = _figures(cell.total)
            figures = {name: "n/a" if value is None else value for name, value in figures.items()}
            names = (_csv_text(each.notebook), cell.cell, _csv_text(" ".join(cell.models)))
            writer.writerow([*names, *(_csv_flag(value) for value in figures.values())])
    return out.getvalue()


def as_json(notebooks: Sequence[NotebookSpending]) -> str:
    """JSON of notebooks with their cells and models, all models, and the total; dollars are strings or null."""
    document = {
        "notebooks": [_notebook_data(each) for each in notebooks],
        "models": _models_data(_by_model(each.models for each in notebooks)),
        "total": _figures(_total(notebooks)),
    }
    return json.dumps(document, indent=2)


def _of_call(call: Call) -> Spending:
    offline = call.provider == "offline"
    saved = Cost(pricing.saved_by_caching([call]))
    return Spending(1, pricing.tokens([call]), pricing.call_cost(call), int(offline), int(call.replayed), saved)


def _of_map(run: Mapped) -> Spending:
    tokens = pricing.tokens_of_map(run)
    offline = run.calls if run.provider == "offline" else 0
    # The record of a map has only sums, and prices may depend on the size of each call: with cached tokens, the saving
    # is unknown.
    saved = FREE if not run.cached_tokens and not run.written_tokens else Cost(None)
    return Spending(run.calls, tokens, Cost(run.amount, run.at_least), offline, saved=saved)


def _by_model(parts: Iterable[Mapping[str, Spending]]) -> dict[str, Spending]:
    """The sums by model, in the order of first appearance."""
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
    marks = [OFFLINE] if spent.offline else []
    if spent.replayed:
        marks.append("replayed" if spent.replayed == spent.calls else f"{spent.replayed:,} replayed")
    counts = [tokens.shown(count) for count in (tokens.all_input, tokens.cached, tokens.written)]
    output = f"{'≥' if spent.cost.at_least and tokens.known else ''}{tokens.shown(tokens.output)}"
    return [label, models, f"{spent.calls:,}", *counts, output, str(spent.cost), ", ".join(marks)]


def _figures(spent: Spending) -> dict[str, Any]:
    tokens = spent.tokens
    known = (tokens.all_input, tokens.cached, tokens.written, tokens.output, tokens.thinking)
    counts = (spent.calls, *(count if tokens.known else None for count in known))
    dollars = [None if each.dollars is None else f"{each.dollars:f}" for each in (spent.cost, spent.saved)]
    flags = (spent.cost.at_least, bool(spent.offline), bool(spent.replayed))
    return dict(zip(FIELDS, (*counts, *dollars, *flags), strict=True))


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
    """Text that a spreadsheet does not run: a name in an untrusted notebook may begin like a formula."""
    shown = printable(text).replace("\n", " ").replace("\t", " ")
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def _csv_flag(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _offline(any_offline: bool) -> str:
    return f" ({OFFLINE}: what Claude would have cost)" if any_offline else ""
