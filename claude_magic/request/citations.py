"""Which documents of a request are to be cited: all or none, as the API requires (its citations page)."""

from __future__ import annotations

from collections.abc import Iterable

from ..conversation.turns import Block

# Where in a document of ours a citation leads: any other kind leads to what a tool found.
_IN_DOCUMENTS = ("char_location", "page_location", "content_block_location")


def cites(content: Iterable[Block]) -> bool:
    """Whether a document among the blocks is to be cited, or one was."""
    return any(
        bool((block.get("citations") or {}).get("enabled")) if block["type"] == "document" else _cited(block)
        for block in content
        if block["type"] in ("document", "text")
    )


def _cited(block: Block) -> bool:
    return any(each.get("type") in _IN_DOCUMENTS for each in block.get("citations") or ())


def holds_documents(content: Iterable[Block]) -> bool:
    """Whether there is a document among the blocks."""
    return any(block["type"] == "document" for block in content)


def enabled(content: Iterable[Block]) -> list[Block]:
    """The blocks with every document to be cited."""
    return [{**block, "citations": {"enabled": True}} if block["type"] == "document" else block for block in content]
