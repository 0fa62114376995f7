"""The cell that is running, as the frontend describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .executions import number_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@dataclass(frozen=True)
class Cell:
    """One run of a cell. `id` is the frontend's; without one, each run is a cell of its own.

    `run` tells runs of the same cell apart; `source` is what stands in the cell, byte for byte;
    `page` is the frontend's session: a notebook that is opened or reloaded has a new one.
    """

    id: str | None = None
    run: str = ""
    source: str = ""
    execution_count: int | None = None
    page: str = ""


def current_cell(shell: InteractiveShell, source: str = "") -> Cell:
    """The cell that is running: JupyterLab, Notebook and VS Code send its id with each execution.

    `source` is what a terminal knows of it.
    """
    parent = _parent(shell)
    header = parent.get("header") or {}
    source = (parent.get("content") or {}).get("code") or source
    cell_id = (parent.get("metadata") or {}).get("cellId")
    run = header.get("msg_id") or str(number_of(shell))
    return Cell(cell_id, run, source, number_of(shell), header.get("session") or "")


def deleted_cells(shell: InteractiveShell) -> frozenset[str]:
    """The ids of cells that the reader deleted since the last execution, as the frontend tells them once."""
    return frozenset((_parent(shell).get("metadata") or {}).get("deletedCells") or ())


def _parent(shell: InteractiveShell) -> Mapping[str, Any]:
    """The execute request: a terminal has none."""
    get_parent = getattr(shell, "get_parent", None)
    return (get_parent() or {}) if get_parent else {}
