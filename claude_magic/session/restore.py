"""Restore a notebook's turns from its file, and find replies in the recovery journal that the file lacks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from ..conversation.turns import Turn, turns_of
from ..cost import pricing
from ..errors import UsageError
from ..notebook import journal, lookup, reader
from ..notebook.cell import Cell
from ..notebook.journal import Entry, Journal
from ..render import text
from ..render.turn import OFFLINE
from .session import Session

MAX_SKIPPED_LINES = 5


def come_back(session: Session, path: Path) -> Iterator[str]:
    """Restore the turns of the notebook's own file. Yields lines that say so."""
    try:
        saved = reader.read(path)
    except UsageError as error:
        yield f"No turns come back: {text.printable(str(error))}"
        return
    back = session.chats.restore(saved)
    if back:
        yield f"{summary(back)} came back from {text.printable(path.name)}."
    yield from skipped(saved.skipped)
    if saved.gone:
        named = ", ".join(text.printable(path) for path in saved.gone[:MAX_SKIPPED_LINES])
        yield f"No longer there, or changed since: {named}. Claude is told so; run the cell again to send it as it is."


def skipped(lines: Sequence[str]) -> Iterator[str]:
    """A line for each skipped record, up to `MAX_SKIPPED_LINES`, and one for the rest."""
    for line in lines[:MAX_SKIPPED_LINES]:
        yield f"Skipped a record in {text.printable(line)}."
    if len(lines) > MAX_SKIPPED_LINES:
        yield f"Skipped {len(lines) - MAX_SKIPPED_LINES} more records."


def notice(session: Session, path: Path, cell: Cell) -> Iterator[str]:
    """A line with the number of replies that the notebook lacks, without those of the running cell, which is about to
    get a new one."""
    count = sum(entry.cell_id != cell.id for entry in lost(session, path, cell.page))
    if count == 1:
        yield "1 reply is not in this notebook: %claude_recover shows it."
    elif count:
        yield f"{count} replies are not in this notebook: %claude_recover shows them."


def lost(session: Session, path: Path | None, page: str, cells: Set[str] = frozenset()) -> list[Entry]:
    """The replies in the journal that the notebook's file lacks.

    `cells` are ids of the notebook's cells that the kernel knows: with those in the file, they find replies of a
    notebook that was renamed.
    """
    standing = (lookup.ids_in(path) if path is not None else None) or set()
    entries = (session.journal or Journal()).entries(path, cells | standing)
    if not entries:
        return []
    saved = _saved(path)
    ids = {turn.id for turn in saved.recorded}
    newest: dict[str, float] = {}
    for turn in (each.turn for each in saved.shown):
        if turn.cell_id:
            newest[turn.cell_id] = max(turn.created, newest.get(turn.cell_id, 0))
    kernel = session.journal.kernel if session.journal else ""
    return journal.missing(entries, saved_ids=ids, saved_cells=newest, kernel=kernel, page=page)


def _saved(path: Path | None) -> reader.Saved:
    try:
        return reader.read(path) if path is not None and path.exists() else reader.Saved()
    except UsageError:
        return reader.Saved()


def summary(turns: Sequence[Turn]) -> str:
    """A phrase for turns: their number, dates, and recorded cost."""
    days = sorted({time.strftime("%Y-%m-%d", time.localtime(turn.created)) for turn in turns})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    cost = pricing.total(pricing.recorded_cost(turn) for turn in turns)
    offline = f", {OFFLINE}" if any(turn.offline for turn in turns) else ""
    return f"{turns_of(len(turns))} ({when}, {cost}{offline})"
