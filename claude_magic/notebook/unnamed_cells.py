"""Cells that have no id in the notebook's file: before nbformat 4.5 there are none, and Colab's are elsewhere.

Frontends give such cells new ids with each page. The file holds a cell while it holds the record of one of its turns.
A cell of a new page is known by its source, among equal ones by its place: behind the cell that ran last.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from ..conversation.turns import Turn
from .cell import Cell
from .reader import Saved


@dataclass(frozen=True)
class _Home:
    """The cell of a turn: its source, the page that it ran on (None if before this kernel), Colab's id of it."""

    source: str
    page: str | None = None
    other_id: str = ""


class UnnamedCells:
    """What is known of the cells of turns besides their ids."""

    def __init__(self) -> None:
        self._homes: dict[str, _Home] = {}  # by turn id
        self._recorded: set[str] = set()  # turns that were in the file at some time
        self._standing: Set[str] = frozenset()  # the ids in the file when it was last read: of cells, turns and others
        self._latest = ""  # the turn of the cell that ran last

    def note_saved(self, saved: Saved) -> None:
        """Note the cells of a file that was read."""
        self._recorded |= {turn.id for turn in saved.turns}
        for turn_id, cell in saved.unnamed.items():
            self._homes.setdefault(turn_id, _Home(cell.source.strip(), other_id=cell.other_id))

    def note_run(self, turn: Turn, cell: Cell) -> None:
        """Note the cell of a turn that was made now."""
        self._homes[turn.id] = _Home(cell.source.strip(), cell.page)
        self._latest = turn.id

    def note_file(self, standing: Set[str], turns: Iterable[Turn]) -> None:
        """Note the ids in the file, which was saved since."""
        self._standing = standing
        self._recorded |= {turn.id for turn in turns if turn.id in standing}

    def held(self, turns: Iterable[Turn]) -> set[str]:
        """The cells that the file holds without their id."""
        return {turn.cell_id for turn in turns if turn.cell_id and self._is_unnamed(turn)}

    def left(self, turns: Iterable[Turn], sources: Callable[[], Mapping[str, int]]) -> set[str]:
        """The cells whose turns the file held and no longer does.

        `sources` gives how often a source stands in a cell without id and record: a cell whose outputs were cleared.
        """
        of_cells = [turn for turn in turns if turn.cell_id and turn.cell_id not in self._standing]
        gone = [turn for turn in of_cells if turn.id in self._recorded and turn.id not in self._standing]
        left = {turn.cell_id for turn in gone if turn.cell_id}
        left -= {turn.cell_id for turn in of_cells if turn not in gone}
        if not left:
            return left
        standing = sources()
        return left - {turn.cell_id for turn in gone if standing.get(self._source(turn))}

    def former(self, cell: Cell, turns: Sequence[Turn]) -> list[Turn]:
        """The turns of the cell that is running now under another id; empty if it is a new cell."""
        if cell.id is None or any(turn.cell_id == cell.id for turn in turns):
            return []
        first = next((at for at, turn in enumerate(turns) if turn.id == self._latest), -1)
        ordered = [*turns[first + 1 :], *turns[: first + 1]]
        found = next((turn for turn in ordered if self._is_same(turn, cell)), None)
        return [] if found is None else [turn for turn in turns if turn is found or _is_beside(turn, found)]

    def claim(self, turns: Iterable[Turn], cell: Cell) -> None:
        """Note that these turns are of this cell."""
        for turn in turns:
            self._homes[turn.id] = _Home(self._source(turn), cell.page)
            self._latest = turn.id

    def _is_unnamed(self, turn: Turn) -> bool:
        return turn.id in self._standing and turn.cell_id not in self._standing

    def _is_same(self, turn: Turn, cell: Cell) -> bool:
        home = self._homes.get(turn.id)
        if home is None or not self._is_unnamed(turn) or home.page == cell.page:
            return False
        return home.source == cell.source.strip() or (home.other_id != "" and home.other_id == cell.id)

    def _source(self, turn: Turn) -> str:
        return self._homes[turn.id].source if turn.id in self._homes else ""


def with_cell_ids(saved: Saved) -> Saved:
    """The same records, with an id of ours for each cell that has none, in the file or recorded."""
    if not any(turn.cell_id is None for turn in saved.turns):
        return saved
    cells, turns = list(saved.cells), list[Turn]()
    for turn in saved.turns:
        if turn.cell_id is None:
            at = cells.index(turns[-1].cell_id or "") + 1 if turns and turns[-1].cell_id in cells else 0
            turn = dataclasses.replace(turn, cell_id=f"cell of {turn.id}")
            cells.insert(at, turn.cell_id or "")
        turns.append(turn)
    return dataclasses.replace(saved, turns=tuple(turns), cells=tuple(cells))


def _is_beside(turn: Turn, other: Turn) -> bool:
    return turn.cell_id is not None and turn.cell_id == other.cell_id
