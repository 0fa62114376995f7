"""Notebooks' files on the disk: which there are, and how one is put in its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from .errors import UsageError


def notebooks(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, each once; a folder stands for all notebooks below it, but those in hidden folders."""
    seen: set[Path] = set()
    for given in paths:
        for path in _below(given) if given.is_dir() else [given]:
            if (real := path.resolve()) not in seen:
                seen.add(real)
                yield path


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(".ipynb"))


def write(path: Path, content: bytes) -> None:
    """Put a file in its place, whole or not at all; one that was there keeps its mode bits.

    Folders that it needs are made. Raises `UsageError` where it cannot be written.
    """
    try:
        target = path.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".claude-magic-{os.getpid()}.part")
        try:
            with part.open("xb") as file:
                if target.exists():
                    shutil.copymode(target, part)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from None
