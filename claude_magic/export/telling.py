"""How an export speaks of turns and blocks, whatever its form."""

from __future__ import annotations

from .. import record
from ..conversation import Block, Turn

STALE = "asked before the change above"


def turn_label(turn: Turn, number: int) -> str:
    """What a turn is called: by its cell's `In [ ]`, or by its place in the chat."""
    return f"Turn {number}" if turn.execution_count is None else f"In [{turn.execution_count}]"


def block_name(block: Block) -> str:
    """What a block that is not text is called: an image, or a document by its title, and where it comes from."""
    kind = " ".join(record.printable(str(block.get("type"))).replace("_", " ").split())
    title = " ".join(record.printable(str(block.get("title") or "")).split())
    origin = "made by Claude's code" if "file_id" in block else "sent to Claude"
    return f"{kind} {origin}{f': {title}' if title else ''}"


def printable_folds(turn: Turn) -> list[tuple[str, str]]:
    """Title and text of all in a reply that is not its text, thinking first."""
    return [(record.printable(title), record.printable(body)) for title, body in record.folds_of(turn)]
