"""Which notebook a cell belongs to, where one kernel serves several, and where its file is.

Frontends do not say it. They do say which page a cell runs on (its session, new with each reload)
and which cell it is: a page belongs to the notebook that knows its cells, in memory or in its file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .cell import Cell
from .lookup import holds, path_holding, told_path

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LOADS = re.compile(r"^\s*%(?:re)?load_ext\s+claude_magic\s*$", re.MULTILINE)


@dataclass(eq=False)
class Notebook:
    """A notebook whose cells have run in this kernel; `path` is its file, if that could be found."""

    path: Path | None = None
    cells: set[str] = field(default_factory=set)
    pages: set[str] = field(default_factory=set)


class Notebooks:
    """The notebooks of one kernel; `current` is the one that runs now."""

    def __init__(self) -> None:
        self.current = Notebook()
        self._all = [self.current]

    def turn_to(self, cell: Cell, shell: InteractiveShell) -> Notebook:
        """Make the notebook of this cell the current one."""
        if cell.id is not None:
            self.current = self._known(cell) or self._next(cell, shell)
            self.current.cells.add(cell.id)
            self.current.pages.add(cell.page)
        return self.current

    def find(self, cell: Cell, shell: InteractiveShell, configured: str) -> Path | None:
        """The current notebook's file: what was configured, else looked for anew where it is not where it was."""
        if configured:
            return Path(configured).expanduser()
        current, told = self.current, told_path(shell, cell)
        if told is not None and (current.path is None or not current.path.exists()):
            current.path = path_holding(told, current.cells) or self._only(told)
        return current.path

    def _only(self, told: Path) -> Path | None:
        """The file that was told, where there is no other notebook that it could be of."""
        return told if len(self._all) == 1 and told.exists() else None

    def _known(self, cell: Cell) -> Notebook | None:
        for each in self._all:
            if cell.page in each.pages or cell.id in each.cells:
                return each
        return next((each for each in self._all if each.path and holds(each.path, {cell.id or ""})), None)

    def _next(self, cell: Cell, shell: InteractiveShell) -> Notebook:
        """The notebook of a page that nobody knows: the only one so far, reloaded; or another, if the cell loads the
        extension anew or stands in another file."""
        told = told_path(shell, cell)
        elsewhere = told and path_holding(told, {cell.id or ""})
        if self.current.cells and (elsewhere or _LOADS.search(cell.source)):
            self._all.append(Notebook(elsewhere))
            return self._all[-1]
        return self.current
