"""Where documents came from: their files, by digest. The one thing that is remembered of a kernel's reading.

A record refers to a large document by its digest and this path, where it would hold the document once more
(`stored.py`); it is read again from there, and only if it is still the same.
"""

from __future__ import annotations

import base64
import stat
from pathlib import Path

# A request takes no more (CLAUDE_API.md §3).
MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
MAX_PATH_CHARACTERS = 4_096

_paths: dict[str, Path] = {}


def digest_of(data: bytes) -> str:
    """The SHA-256 in hexadecimal."""
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data).hexdigest()


def remember(data: bytes, path: Path) -> None:
    """Note that these bytes are this file's."""
    _paths[digest_of(data)] = path.absolute()


def path_of(digest: str) -> str | None:
    """The file that has these bytes, by its path from the working directory where it is below it; `None` where none
    is known, or it has others by now."""
    path = _paths.get(digest)
    if path is None or read(digest, str(path), Path()) is None:
        return None
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def read(digest: str, path: str, folder: Path) -> str | None:
    """The bytes with this digest, as base64, from a path that a record names; `None` where they are not there.

    The record may be a stranger's: no file is read but a plain one on this machine, of a size that can have been sent,
    and what it holds goes nowhere unless the record knows its digest.
    """
    if path.startswith(("//", "\\\\")) or len(path) > MAX_PATH_CHARACTERS:  # a server's, on Windows
        return None
    for place in (folder / path, Path(path)):
        try:
            found = place.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_DOCUMENT_BYTES:
                continue
            data = place.read_bytes()
        except (OSError, ValueError):
            continue
        if digest_of(data) == digest:
            _paths[digest] = place.absolute()
            return base64.b64encode(data).decode("ascii")
    return None
