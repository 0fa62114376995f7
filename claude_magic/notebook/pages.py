"""The notebooks of one kernel: which one a cell belongs to, and where its file is.

Frontends do not send the notebook. They send the page that a cell runs on (a session id, new with each reload)
and the cell's id: a page belongs to the notebook that has its cells, in memory or in its file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .cell import Cell
from .lookup import holds, names_cells, path_holding, reported_path

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LOADS = re.compile(r"^\s*%(?:re)?load_ext\s+claude_magic\s*$", re.MULTILINE)


@dataclass(eq=False)
class Notebook:
    """A notebook whose cells have run in this kernel; `path` is its file, `None` where it was not found."""

    path: Path | None = None
    cells: set[str] = field(default_factory=set)
    pages: set[str] = field(default_factory=set)


class Notebooks:
    """The notebooks of one kernel, `all` of them; `current` is that of the running cell."""

    def __init__(self) -> None:
        self.current = Notebook()
        self.all = [self.current]

    def turn_to(self, cell: Cell, shell: InteractiveShell) -> Notebook:
        """Make this cell's notebook the current one."""
        if cell.id is not None:
            self.current = self._known(cell) or self._next(cell, shell)
            self.current.cells.add(cell.id)
            self.current.pages.add(cell.page)
        return self.current

    def find(self, cell: Cell, shell: InteractiveShell, configured: str) -> Path | None:
        """The current notebook's file: the configured one, else the known one, searched again if it is gone."""
        if configured:
            return Path(configured).expanduser()
        current, reported = self.current, reported_path(shell, cell)
        if reported is not None and (current.path is None or not current.path.exists()):
            current.path = path_holding(reported, current.cells) or self._only(reported)
        return current.path

    def _only(self, reported: Path) -> Path | None:
        """The reported file, if this kernel has only one notebook and the file exists."""
        return reported if len(self.all) == 1 and reported.exists() else None

    def _known(self, cell: Cell) -> Notebook | None:
        for each in self.all:
            if cell.page in each.pages or cell.id in each.cells:
                return each
        return next((each for each in self.all if each.path and holds(each.path, {cell.id or ""})), None)

    def _next(self, cell: Cell, shell: InteractiveShell) -> Notebook:
        """The notebook of a new page: the current one, reloaded; or a new one, where the cell loads the extension again
        or stands in another file. Without cell ids in its file, one that is loaded again is the current one."""
        reported = reported_path(shell, cell)
        elsewhere = reported and path_holding(reported, {cell.id or ""})
        loads = _LOADS.search(cell.source) and (self.current.path is None or names_cells(self.current.path))
        if self.current.cells and (elsewhere or loads):
            self.all.append(Notebook(elsewhere))
            return self.all[-1]
        return self.current
