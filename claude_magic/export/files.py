"""What an export is made of: its text, and the files that stand beside it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# The media types that the API takes as base64 (CLAUDE_API.md §3).
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
}
_DIGEST_CHARACTERS = 12


@dataclass(frozen=True)
class Exported:
    """A file's text, and the files that go beside it: bytes by relative path, with `/`."""

    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def is_base64(source: Any) -> bool:
    """Whether this is the source of an image or a document that carries its bytes."""
    return isinstance(source, Mapping) and source.get("type") == "base64" and isinstance(source.get("data"), str)


def bytes_of(source: Any) -> bytes | None:
    """A source's bytes; `None` where base64 would not bring back the same text, or the media type is unknown."""
    if not is_base64(source) or str(source.get("media_type")) not in _SUFFIXES:
        return None
    try:
        raw = base64.b64decode(source["data"], validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == source["data"] else None


def path_of(source: Mapping[str, Any], raw: bytes, stem: str) -> str:
    """Where a source's bytes go: the same bytes to the same file."""
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{stem}_files/{digest}{_SUFFIXES[source['media_type']]}"
