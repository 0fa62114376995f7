"""Paths of the documents that were sent from this kernel, by the SHA-256 of their bytes.

A record does not repeat a large document, but refers to it by digest and path (`conversation/record.py`); the document
is read from that path again, and used only if its digest is still the same.
"""

from __future__ import annotations

import base64
import stat
from pathlib import Path

# The largest request that the API takes (CLAUDE_API.md §3).
MAX_DOCUMENT_BYTES = 32 * 1024 * 1024
MAX_PATH_CHARACTERS = 4_096

_paths: dict[str, Path] = {}


def digest_of(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    import hashlib  # loads OpenSSL

    return hashlib.sha256(data).hexdigest()


def remember(data: bytes, path: Path) -> None:
    """Remember the file that these bytes were read from."""
    _paths[digest_of(data)] = path.absolute()


def path_of(digest: str) -> str | None:
    """The path of the file with this digest: relative to the working directory if below it, else absolute.

    `None` where no file is known, or its content has changed.
    """
    path = _paths.get(digest)
    if path is None or read(digest, str(path), Path()) is None:
        return None
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def read(digest: str, path: str, folder: Path) -> str | None:
    """The document with this digest, as base64, from a path that a record names; `None` where it is not there.

    The record may come from somebody else: only a regular file on this machine, no larger than a request may be, is
    read, and its content is returned only if its digest is the record's. A relative path is looked up in `folder`, then
    in the working directory.
    """
    if path.startswith(("//", "\\\\")) or len(path) > MAX_PATH_CHARACTERS:  # a network path, on Windows
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
