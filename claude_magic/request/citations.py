"""Citations of a request: enabled for all documents or for none, as the API requires (its citations page), and those of
earlier replies in the form that requests take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from ..conversation.turns import Block

_IN_A_DOCUMENT = frozenset({"type", "cited_text", "document_index", "document_title"})
_IN_BLOCKS = frozenset({"start_block_index", "end_block_index"})
# type of citation → its fields in a request, all of them required (SDK 2.14, `citation_*_param.py`)
FIELDS: Mapping[str, frozenset[str]] = {
    "char_location": _IN_A_DOCUMENT | {"start_char_index", "end_char_index"},
    "page_location": _IN_A_DOCUMENT | {"start_page_number", "end_page_number"},
    "content_block_location": _IN_A_DOCUMENT | _IN_BLOCKS,
    "web_search_result_location": frozenset({"type", "cited_text", "encrypted_index", "title", "url"}),
    "search_result_location": _IN_BLOCKS | {"type", "cited_text", "search_result_index", "source", "title"},
}
# Types of citations that point into a document of the prompt; the others point to results of tools.
_IN_DOCUMENTS = tuple(kind for kind, fields in FIELDS.items() if "document_index" in fields)
# The field with a source's title, by type of citation.
_TITLES = {kind: "document_title" if kind in _IN_DOCUMENTS else "title" for kind in FIELDS}


def cites(content: Iterable[Block]) -> bool:
    """Whether a document among the blocks has citations enabled, or a text block cites one."""
    return any(
        bool((block.get("citations") or {}).get("enabled")) if block["type"] == "document" else _cites_document(block)
        for block in content
        if block["type"] in ("document", "text")
    )


def _cites_document(block: Block) -> bool:
    return any(isinstance(each, Mapping) and each.get("type") in _IN_DOCUMENTS for each in _listed(block))


def _listed(block: Block) -> list[object]:
    found = block.get("citations")
    return found if isinstance(found, list) else []


def holds_documents(content: Iterable[Block]) -> bool:
    """Whether there is a document among the blocks."""
    return any(block["type"] == "document" for block in content)


def enabled(content: Iterable[Block]) -> list[Block]:
    """The blocks with citations enabled for every document."""
    return [{**block, "citations": {"enabled": True}} if block["type"] == "document" else block for block in content]


def as_sent(block: Block) -> Block:
    """A block of a reply as requests take it: its citations without `file_id`, and with a title, which may be null.

    `file_id` is the one field of a reply that is kept, and refused in a request (SDK 2.14: in
    `citation_char_location.py` and the like, and not in their `*_param.py`); the title may be missing in a reply only.
    """
    found = _listed(block) if block["type"] == "text" else []
    sent = [_citation_as_sent(each) for each in found]
    return block if sent == found else {**block, "citations": sent}


def known(text: Block) -> Block:
    """A text block with only the citations that requests take, and only their fields."""
    if not text.get("citations"):
        return text
    found = filter(_is_known, _listed(text))
    kept = [{name: each[name] for name in each if name in FIELDS[each["type"]]} for each in found]
    return text if kept == text["citations"] else {**text, "citations": kept or None}


def _is_known(citation: object) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(citation, Mapping) or not isinstance(kind := citation.get("type"), str):
        return False
    return kind in FIELDS and citation.keys() >= FIELDS[kind]


def _citation_as_sent(citation: object) -> object:
    if not isinstance(citation, Mapping):
        return citation
    title = _TITLES.get(str(citation.get("type")))
    untitled = {title: None} if title and title not in citation else {}
    return {**{name: value for name, value in citation.items() if name != "file_id"}, **untitled}
