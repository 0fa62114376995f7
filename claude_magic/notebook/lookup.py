"""Notebook files: their paths, and quick checks of their bytes (ids, turn records) without parsing JSON."""

from __future__ import annotations

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


def reported_path(shell: InteractiveShell, cell: Cell) -> Path | None:
    """The notebook's path as the frontend reports it; `None` where it does not.

    Jupyter sets it in the kernel's environment (`JPY_SESSION_NAME`, an absolute path from the kernel's start), VS Code
    in the namespace. Only for cells with an id: nbclient and papermill run in processes that may have inherited
    another notebook's name.
    """
    reported = os.environ.get("JPY_SESSION_NAME") or shell.user_ns.get("__vsc_ipynb_file__")
    if cell.id is None or not isinstance(reported, str) or not reported.endswith(".ipynb"):
        return None
    return Path(reported)


def path_holding(reported: Path, cells: Set[str]) -> Path | None:
    """The file that has one of these cells: the reported one, or another in its folder, in case it was renamed."""
    return next((each for each in (reported, *_neighbours(reported)) if holds(each, cells)), None)


def holds(path: Path, cells: Set[str]) -> bool:
    """Whether a notebook's file has one of these cell ids."""
    return not cells.isdisjoint(_ids(content_of(path)))


def has_turns(path: Path) -> bool:
    """Whether a notebook's file may hold turn records, by a search of its bytes."""
    return RECORD_MARK.search(content_of(path)) is not None


def journal_folder() -> Path:
    """The folder of the recovery journal, in Jupyter's data folder; it has one folder per notebook."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "claude_magic" / "journal"


def journal_folder_of(notebook: Path | None, journal: Path | None = None) -> Path:
    """The journal's folder for a notebook; `None` is a notebook whose file is not known."""
    name = NO_NOTEBOOK if notebook is None else digest(os.path.realpath(notebook))
    return (journal or journal_folder()) / name


def digest(text: str) -> str:
    """A digest of a text that is safe as a file name: 24 hexadecimal digits."""
    import hashlib  # half of what loading the extension would take

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def written(path: Path) -> float | None:
    """A file's modification time, in seconds since the epoch; `None` where there is no file."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def ids_in(path: Path) -> set[str] | None:
    """The ids of all cells and turns in a notebook's file; `None` where the file is incomplete or no notebook."""
    content = content_of(path)
    complete = content.rstrip().endswith(b"}") and b'"cells"' in content
    return _ids(content) if complete else None


_OLD_FORMAT = re.compile(rb'"nbformat_minor"\s*:\s*[0-4]\b|"nbformat"\s*:\s*[123]\b')


def names_cells(path: Path) -> bool:
    """Whether the cells of a notebook's file have ids: they do from nbformat 4.5 on."""
    return not _OLD_FORMAT.search(content_of(path))


_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,300})"')


def _ids(content: bytes) -> set[str]:
    """All values of `"id"` in a notebook's file, by a search of its bytes."""
    return {found.decode("utf-8", "replace") for found in _ID.findall(content)}


def _neighbours(path: Path) -> list[Path]:
    try:
        found = [each for each in path.parent.glob("*.ipynb") if each != path]
    except OSError:
        return []
    return sorted(found, key=lambda each: -(written(each) or 0))[:MAX_NEIGHBOURS]


def content_of(path: Path) -> bytes:
    """A file's bytes; empty where it is missing, unreadable or too large."""
    try:
        return path.read_bytes() if path.stat().st_size <= MAX_NOTEBOOK_BYTES else b""
    except OSError:
        return b""
