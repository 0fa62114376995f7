"""Notebook files on disk: finding them below folders, reading errors in one line, atomic writing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from ..errors import UsageError

MAX_WHY_CHARACTERS = 100


def notebooks(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, each once; a folder stands for all notebooks below it, except those in hidden folders."""
    seen: set[Path] = set()
    for given in paths:
        for path in _below(given) if given.is_dir() else [given]:
            if (real := path.resolve()) not in seen:
                seen.add(real)
                yield path


@contextmanager
def reading_notebook(path: Path) -> Iterator[None]:
    """Turn any failure to read a notebook into a `UsageError` of one line."""
    try:
        yield
        return
    except UsageError:
        raise
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
    except RecursionError:
        message = f"{path} cannot be read as a notebook: it is nested too deeply."
    except Exception as error:  # nbformat can fail in any way
        why = " ".join(str(error).split())[:MAX_WHY_CHARACTERS] or type(error).__name__
        message = f"{path} cannot be read as a notebook: {why}."
    raise UsageError(message)


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if name.endswith(".ipynb"))


def write_atomically(path: Path, content: bytes, beside: Mapping[str, bytes] = MappingProxyType({})) -> None:
    """Write a file completely or not at all; a file that it replaces keeps its mode bits.

    `beside` are files that it refers to, by relative path: they are written first. Missing folders are created. Raises
    `UsageError` where a file cannot be written.
    """
    for name, file_content in beside.items():
        write_atomically(path.parent / name, file_content)
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
