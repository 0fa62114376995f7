"""The Markdown cells of a notebook's file, by the code cells that they stand above.

The kernel never sees Markdown, so it is that of the notebook as it was last saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..notebook.executions import Executions, is_own_cell
from ..notebook.reader import source_of


class Prose:
    """The Markdown cells of one notebook, each given once. `running` is the id of the cell that asks."""

    def __init__(self, cells: Sequence[Mapping[str, Any]], executions: Executions, running: str | None) -> None:
        self._cells = cells
        self._executions = executions
        self._by_id = {cell["id"]: at for at, cell in enumerate(cells) if isinstance(cell.get("id"), str)}
        self._running = self._by_id.get(running) if running is not None else None
        self._given: set[int] = set()

    def above(self, number: int, *, goes_on: bool) -> list[str]:
        """The Markdown cells directly above the cell that ran as `In [number]`.

        With `goes_on`, those above questions to Claude that stand in between as well, as in the middle of a range.
        """
        at = self._place(number)
        return [] if at is None else self._before(at, goes_on=goes_on)

    def left(self, *, goes_on: bool) -> list[str]:
        """The Markdown cells above the cell that asks, up to the code cell before them; `goes_on` as in `above`."""
        return [] if self._running is None else self._before(self._running, goes_on=goes_on)

    def _before(self, end: int, *, goes_on: bool) -> list[str]:
        found = []
        for at in reversed(range(end)):
            cell = self._cells[at]
            if cell.get("cell_type") == "code" and not (goes_on and is_own_cell(source_of(cell))):
                break
            if cell.get("cell_type") == "markdown" and at not in self._given and source_of(cell).strip():
                self._given.add(at)
                found.append(source_of(cell).strip("\n"))
        return found[::-1]

    def _place(self, number: int) -> int | None:
        """The index of a cell in the file: by its id if it ran in this kernel, else by its number."""
        if self._executions.source(number) is not None:
            return self._by_id.get(self._executions.cell_id(number) or "")
        return next((at for at, cell in enumerate(self._cells) if cell.get("execution_count") == number), None)


def numbered(numbers: Iterable[int], prose: Prose, *, from_the_top: bool = False) -> dict[int, list[str]]:
    """The Markdown above each of the cells with these numbers, which follow each other; of the first, only directly
    above it, unless they are from the top of the notebook on."""
    return {number: prose.above(number, goes_on=from_the_top or at > 0) for at, number in enumerate(numbers)}
