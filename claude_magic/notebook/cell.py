"""The cell that is running, as the frontend describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .executions import number_of

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


@dataclass(frozen=True)
class Cell:
    """One run of a cell. `id` is the frontend's cell id; without one, each run counts as a cell of its own.

    `run` distinguishes runs of the same cell; `source` is the cell's text, unchanged; `execution_count` is the number
    in its `In [ ]`; `page` is the frontend's session id, which changes when the notebook is reopened or reloaded.
    `began` is when it began, in seconds of `time.monotonic()`; `None` outside of cells.
    """

    id: str | None = None
    run: str = ""
    source: str = ""
    execution_count: int | None = None
    page: str = ""
    began: float | None = field(default=None, compare=False)


def current_cell(shell: InteractiveShell, source: str = "", began: float | None = None) -> Cell:
    """The cell that is running: JupyterLab, Notebook and VS Code send its id with each execution.

    `source` is the text to use where no frontend sent one, as in a terminal; `began` is when the cell began.
    """
    parent = _parent(shell)
    header = parent.get("header") or {}
    source = (parent.get("content") or {}).get("code") or source
    cell_id = (parent.get("metadata") or {}).get("cellId")
    run = header.get("msg_id") or str(number_of(shell))
    return Cell(cell_id, run, source, number_of(shell), header.get("session") or "", began)


def deleted_cells(shell: InteractiveShell) -> frozenset[str]:
    """The ids of cells deleted since the last execution; the frontend sends each of them once."""
    return frozenset((_parent(shell).get("metadata") or {}).get("deletedCells") or ())


def _parent(shell: InteractiveShell) -> Mapping[str, Any]:
    """The execute request that is being answered; empty in a terminal."""
    get_parent = getattr(shell, "get_parent", None)
    return (get_parent() or {}) if get_parent else {}
