"""Citations of a request's documents: enabled for all or for none, as the API requires (its citations page)."""

from __future__ import annotations

from collections.abc import Iterable

from ..conversation.turns import Block

# Types of citations that point into a document of the prompt; the others point to results of tools.
_IN_DOCUMENTS = ("char_location", "page_location", "content_block_location")


def cites(content: Iterable[Block]) -> bool:
    """Whether a document among the blocks has citations enabled, or a text block cites one."""
    return any(
        bool((block.get("citations") or {}).get("enabled")) if block["type"] == "document" else _cites_document(block)
        for block in content
        if block["type"] in ("document", "text")
    )


def _cites_document(block: Block) -> bool:
    return any(each.get("type") in _IN_DOCUMENTS for each in block.get("citations") or ())


def holds_documents(content: Iterable[Block]) -> bool:
    """Whether there is a document among the blocks."""
    return any(block["type"] == "document" for block in content)


def enabled(content: Iterable[Block]) -> list[Block]:
    """The blocks with citations enabled for every document."""
    return [{**block, "citations": {"enabled": True}} if block["type"] == "document" else block for block in content]
