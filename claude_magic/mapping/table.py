"""The answers of a map as columns for its data, and its record: static tables of figures and errors."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..content.text import short
from ..conversation.map_run import Mapped, as_data
from ..conversation.record import VERSION
from ..cost import pricing
from ..cost.pricing import Cost
from ..render import table, text, turn
from ..tools.structured_output import Shape
from . import answers
from .answers import RowAnswer
from .job import Job
from .progress import duration
from .rows import Column

NOT_ASKED = "not asked yet: run the cell again"
# The columns of each result besides the reply, with their kinds.
_FIGURES = {"input_tokens": "count", "output_tokens": "count", "cost": "dollars", "error": "text"}
MAX_ERRORS_SHOWN = 8
MAX_ERROR_CHARACTERS = 160
_HEADS = ("model", "rows", "answered", "failed", "tokens in", "cached", "out", "cost", "time", "rate")


def columns(job: Job, taken: frozenset[str]) -> dict[str, Column]:
    """The new columns, one value per row, each under a name that the data does not have yet.

    Rows with the same request were sent once: the first of them has the tokens and the cost, the others have none.
    """
    found = [_answer(job, key) for key in job.surveyed.keys]
    own = [job.surveyed.first.get(key) == at for at, key in enumerate(job.surveyed.keys)]
    paid = [answer if mine else RowAnswer(answer.key) for answer, mine in zip(found, own, strict=True)]
    tokens = [pricing.tokens(each.calls) for each in paid]
    asked = [each.key in job.answers for each in found]
    costs = [pricing.total(map(pricing.call_cost, each.calls)).dollars for each in paid]
    dollars = [None if each is None or not was else float(each) for each, was in zip(costs, asked, strict=True)]
    replies = answers.schema_fields(job.shape)
    made = {name: _replies(job.shape, found, name) for name in replies}
    counted = [each if was and each.known else None for each, was in zip(tokens, asked, strict=True)]
    figures = {
        "input_tokens": Column([each and each.all_input for each in counted], "count"),
        "output_tokens": Column([each and each.output for each in counted], "count"),
        "cost": Column(dollars, "dollars"),
        "error": Column([each.error or None for each in found], "text"),
    }
    return _named(made, figures, taken)


def empty_columns(taken: frozenset[str], shape: Shape | None) -> dict[str, Column]:
    """The same columns, for no rows."""
    made = {name: _replies(shape, [], name) for name in answers.schema_fields(shape)}
    return _named(made, {name: Column([], kind) for name, kind in _FIGURES.items()}, taken)


def _replies(shape: Shape | None, found: Sequence[RowAnswer], name: str) -> Column:
    return Column([answers.field_of(shape, each, name) for each in found], "text" if shape is None else "any")


def _named(made: Mapping[str, Column], figures: Mapping[str, Column], taken: frozenset[str]) -> dict[str, Column]:
    named = {free_name(name, taken): column for name, column in made.items()}
    return {**named, **{free_name(name, taken | {*named}): column for name, column in figures.items()}}


def _answer(job: Job, key: str) -> RowAnswer:
    if key in job.surveyed.failures:
        return RowAnswer(key, error=job.surveyed.failures[key])
    return job.answers.get(key) or RowAnswer(key, error=job.pending.get(key, NOT_ASKED))


def free_name(name: str, taken: frozenset[str]) -> str:
    """A free column name: `name`, with prefixes `claude_` as long as the data has such a column."""
    while name in taken:
        name = f"claude_{name}"
    return name


def outcome(mapped: Mapped) -> str:
    """How a map ended, as a sentence without a subject."""
    left = mapped.rows - mapped.answered - mapped.failed
    parts = [f"{mapped.answered:,} of {mapped.rows:,} rows answered"]
    parts += [f"{mapped.failed:,} failed"] if mapped.failed else []
    parts += [f"{left:,} not asked"] if left else []
    return f"{', '.join(parts)}."


def bundle(mapped: Mapped, job: Job, notes: Sequence[str]) -> text.Bundle:
    """The record's output: figures, errors by frequency, and remarks."""
    cost = str(Cost(mapped.amount, mapped.at_least))
    tokens = pricing.tokens_of_map(mapped)
    rate = f"{mapped.calls / mapped.seconds:,.1f}/s" if mapped.seconds and mapped.calls else ""
    row = (
        mapped.model,
        f"{mapped.rows:,}",
        f"{mapped.answered:,}",
        f"{mapped.failed:,}",
        *map(tokens.shown, (tokens.all_input, tokens.cached, tokens.output)),
        cost,
        duration(mapped.seconds),
        rate,
    )
    offline = f" ({turn.OFFLINE})" if mapped.provider == "offline" else ""
    shown = [table.table_output(f"Mapped over {short(job.name, 60)}{offline}", _HEADS, [row])]
    if errors := _errors(job):
        shown.append(table.table_output("Rows without a whole answer", ("rows", "error"), errors))
    if notes:
        shown.append(_remarks(notes))
    return {kind: "\n".join(each[kind] for each in shown) for kind in ("text/html", "text/plain")}


def _remarks(notes: Sequence[str]) -> text.Bundle:
    lines = [text.printable(note) for note in notes]
    return {"text/html": f"{text.BOX}{'<br>'.join(map(html.escape, lines))}</div>", "text/plain": "\n".join(lines)}


def _errors(job: Job) -> list[tuple[str, str]]:
    counts = Counter(
        short(error.partition(" (request ")[0], MAX_ERROR_CHARACTERS)
        for error in (_answer(job, key).error for key in job.surveyed.keys)
        if error
    )
    most = counts.most_common(MAX_ERRORS_SHOWN)
    rest = sum(counts.values()) - sum(count for _, count in most)
    return [(f"{count:,}", error) for error, count in most] + ([(f"{rest:,}", "other errors")] if rest else [])


def metadata(mapped: Mapped) -> Mapping[str, Any]:
    """The record's metadata, from which a notebook's file is read again."""
    return {"claude_magic": {"version": VERSION, "map": as_data(mapped)}}
