"""Citations of the stand-in: the first sentence of each document with citations on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..request.history import Block, Body, flatten
from ..request.prompt import shorten

_SENTENCE = re.compile(r"\s*(\S.*?[.!?](?=\s|$)|\S.*)", re.DOTALL)
_READ = ("text", "content")
_UNREAD = "The stand-in reads no file."


def cite_documents(body: Body) -> list[dict[str, Any]]:
    """One text block with a citation per document, for the newest message that has documents."""
    placed = [each for each in flatten(body["messages"]) if each.kind == "document"]
    newest = max((each.message for each in placed), default=-1)
    said: list[dict[str, Any]] = []
    for index, each in enumerate(placed):
        if each.message == newest and (each.block.get("citations") or {}).get("enabled"):
            name = shorten(str(each.block.get("title") or f"Document {index + 1}"), 60)
            told = "begins so" if each.block["source"]["type"] in _READ else "has pages that I cannot read"
            words = f"{' ' if said else ''}{name} {told}."
            said.append({"type": "text", "text": words, "citations": [_cited(each.block, index)]})
    return said


def _cited(document: Block, index: int) -> dict[str, Any]:
    about = {"document_index": index, "document_title": document.get("title"), "file_id": None}
    source = document["source"]
    if source["type"] == "text":
        found = _SENTENCE.match(source["data"])
        start, end = found.span(1) if found else (0, len(source["data"]))
        where = {"start_char_index": start, "end_char_index": end}
        return {"type": "char_location", "cited_text": source["data"][start:end], **about, **where}
    if source["type"] == "content":
        where = {"start_block_index": 0, "end_block_index": 1}
        return {"type": "content_block_location", "cited_text": _first(source), **about, **where}
    pages = {"start_page_number": 1, "end_page_number": 2}
    return {"type": "page_location", "cited_text": _UNREAD, **about, **pages}


def _first(source: Mapping[str, Any]) -> str:
    content = source["content"]
    return content if isinstance(content, str) else str(content[0].get("text", _UNREAD))
