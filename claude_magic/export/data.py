"""Conversations as JSON, with nothing left out: what `%claude_resume` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .. import stored
from ..conversation import Conversation
from .files import Exported

# Half of a surrogate pair, as a damaged value may hold: no file can, but as an escape.
_HALF = re.compile("[\ud800-\udfff]")


def write_json(chats: Mapping[str, Conversation], title: str, stem: str) -> Exported:
    """All turns, chat after chat. A turn knows its chat, and needs neither title nor files."""
    turns = [turn for chat in chats.values() for turn in chat]
    text = json.dumps(stored.document(turns), indent=2, ensure_ascii=False)
    return Exported(_HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text) + "\n")
