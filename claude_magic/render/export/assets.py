"""The parts of an export: its text, the files beside it, and the labels of turns and blocks."""

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


STALE = "asked before the change above"


def turn_label(turn: Turn, number: int) -> str:
    """What a turn is called: by its cell's `In [ ]`, or by its place in the chat."""
    return f"Turn {number}" if turn.execution_count is None else f"In [{turn.execution_count}]"


def block_name(block: Block) -> str:
    """What a block that is not text is called: an image, or a document by its title, and where it comes from."""
    kind = text.printable_line(str(block.get("type")).replace("_", " "))
    title = text.printable_line(str(block.get("title") or ""))
    origin = "made by Claude's code" if "file_id" in block else "sent to Claude"
    return f"{kind} {origin}{f': {title}' if title else ''}"


def printable_folds(turn: Turn) -> list[tuple[str, str]]:
    """Title and text of all in a reply that is not its text, thinking first."""
    return [(text.printable(title), text.printable(body)) for title, body in folds_of(turn)]


# Half of a surrogate pair, as a damaged value may hold: no file can, but as an escape.
_HALF = re.compile("[\ud800-\udfff]")


def write_json(chats: Mapping[str, Conversation], title: str, stem: str) -> Exported:
    """All turns, chat after chat. A turn knows its chat, and needs neither title nor files."""
    turns = [turn for chat in chats.values() for turn in chat]
    text = json.dumps(record.document(turns), indent=2, ensure_ascii=False)
    return Exported(_HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")
