"""Where the file of a notebook is, and what a look at its bytes says of it: no JSON is read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

from .cell import Cell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


MAX_NOTEBOOK_BYTES = 1_000_000_000
MAX_NEIGHBOURS = 500
NO_NOTEBOOK = "no-notebook"
RECORD_MARK = re.compile(rb'"claude_magic"\s*:')


def told_path(shell: InteractiveShell, cell: Cell) -> Path | None:
    """The notebook's file by the name that Jupyter (an absolute path, in the kernel's environment, from the kernel's
    start) or VS Code (in the namespace) has told.

    Only for a cell of a frontend: nbclient and papermill run in processes that may have inherited another
    notebook's name.
    """
    told = os.environ.get("JPY_SESSION_NAME") or shell.user_ns.get("__vsc_ipynb_file__")
    if cell.id is None or not isinstance(told, str) or not told.endswith(".ipynb"):
        return None
    return Path(told)


def path_holding(told: Path, cells: Set[str]) -> Path | None:
    """The file that has one of these cells: the one that was told, or a neighbour, for notebooks are renamed."""
    return next((each for each in (told, *_neighbours(told)) if holds(each, cells)), None)


def holds(path: Path, cells: Set[str]) -> bool:
    """Whether a notebook's file has one of these cells."""
    return not cells.isdisjoint(_ids(content_of(path)))


def has_turns(path: Path) -> bool:
    """Whether a notebook's file may hold turns: a look at its bytes."""
    return RECORD_MARK.search(content_of(path)) is not None


def journal_folder() -> Path:
    """Where the recovery journal is: a folder in Jupyter's data folder, with one folder for each notebook."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "claude_magic" / "journal"


def journal_folder_of(notebook: Path | None, journal: Path | None = None) -> Path:
    """Where the journal keeps what a notebook asks; `None` is a notebook whose file is not known."""
    name = NO_NOTEBOOK if notebook is None else digest(os.path.realpath(notebook))
    return (journal or journal_folder()) / name


def digest(text: str) -> str:
    """A file name for a text that may be none."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def written(path: Path) -> float | None:
    """When a file was written, in seconds since the epoch; `None` where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def ids_in(path: Path) -> set[str] | None:
    """The ids of the cells and turns that a notebook's file has; `None` where it is not a whole one."""
    content = content_of(path)
    whole = content.rstrip().endswith(b"}") and b'"cells"' in content
    return _ids(content) if whole else None


_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,300})"')


def _ids(content: bytes) -> set[str]:
    """All ids in a notebook's file: a look at its bytes."""
    return {found.decode("utf-8", "replace") for found in _ID.findall(content)}


def _neighbours(path: Path) -> list[Path]:
    try:
        found = [each for each in path.parent.glob("*.ipynb") if each != path]
    except OSError:
        return []
    return sorted(found, key=lambda each: -(written(each) or 0))[:MAX_NEIGHBOURS]


def content_of(path: Path) -> bytes:
    """A file's bytes; nothing, where there is none that can be read."""
    try:
        return path.read_bytes() if path.stat().st_size <= MAX_NOTEBOOK_BYTES else b""
    except OSError:
        return b""
