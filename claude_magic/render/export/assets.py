"""Parts that the exports share: the result, the files beside it, labels of turns and blocks; and the JSON export."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...conversation import record
from ...conversation.turns import Block, Conversation, Turn
from .. import text
from ..turn import folds_of

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
    """An exported file's text, and the files to write beside it: bytes by relative path, with `/`."""

    text: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def is_base64(source: Any) -> bool:
    """Whether a value is the source of an image or document with its bytes in base64."""
    return isinstance(source, Mapping) and source.get("type") == "base64" and isinstance(source.get("data"), str)


def bytes_of(source: Any) -> bytes | None:
    """A source's bytes; None if encoding them would not give the same base64, or the media type is unknown."""
    if not is_base64(source) or str(source.get("media_type")) not in _SUFFIXES:
        return None
    try:
        raw = base64.b64decode(source["data"], validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == source["data"] else None


def path_of(source: Mapping[str, Any], raw: bytes, stem: str) -> str:
    """The relative path for a source's bytes, by their digest: the same bytes get the same file."""
    digest = hashlib.sha256(raw).hexdigest()[:_DIGEST_CHARACTERS]
    return f"{stem}_files/{digest}{_SUFFIXES[source['media_type']]}"


STALE = "asked before the change above"


def turn_label(turn: Turn, number: int) -> str:
    """The label of a turn: its cell's `In [3]`, or its position in the chat."""
    return f"Turn {number}" if turn.execution_count is None else f"In [{turn.execution_count}]"


def block_name(block: Block) -> str:
    """The label of a block that is not text: its type, who made it, and its title."""
    kind = text.printable_line(str(block.get("type")).replace("_", " "))
    title = text.printable_line(str(block.get("title") or ""))
    origin = "made by Claude's code" if "file_id" in block else "sent to Claude"
    return f"{kind} {origin}{f': {title}' if title else ''}"


def printable_folds(turn: Turn) -> list[tuple[str, str]]:
    """The title and text of each fold of a turn (`folds_of`), printable."""
    return [(text.printable(title), text.printable(body)) for title, body in folds_of(turn)]


# A lone surrogate, as a damaged value may hold: a file can hold it only as an escape.
_HALF = re.compile("[\ud800-\udfff]")


def write_json(chats: Mapping[str, Conversation], title: str, stem: str) -> Exported:
    """Export all turns, chat after chat, as lossless JSON. Title and files are not needed; a turn names its chat."""
    turns = [turn for chat in chats.values() for turn in chat]
    text = json.dumps(record.document(turns), indent=2, ensure_ascii=False)
    return Exported(_HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")
