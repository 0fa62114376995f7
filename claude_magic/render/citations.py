"""A reply's citations as numbered references and a list of sources.

The wire forms are those of the SDK's `citation_*_location.py` and `citations_*_location.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..content.text import join_line, short
from ..conversation.turns import Block
from .markup import markdown
from .markup.parser import reference, without_references

MAX_QUOTE_CHARACTERS = 300
_FENCES = ("```", "~~~")


@dataclass(frozen=True)
class Source:
    """One cited place: the document's `title`, the place in it (`where`), the quoted text; `url` is not checked."""

    title: str
    where: str
    quote: str
    url: str


def sources(content: Iterable[Block]) -> dict[Source, Mapping[str, Any]]:
    """The cited sources, each once, in the order of their references, with the citation as the API gave it."""
    found: dict[Source, Mapping[str, Any]] = {}
    for citation in (each for block in content for each in _citations(block)):
        found.setdefault(_source(citation), citation)
    return found


def with_references(content: Sequence[Block]) -> list[Block]:
    """Content blocks with a mark behind each cited passage of their text, which `markup.parser` knows."""
    numbers = {source: number for number, source in enumerate(sources(content), 1)}
    marked: list[Block] = []
    for block in content:
        found = dict.fromkeys(_source(citation) for citation in _citations(block))
        marks = "".join(reference(numbers[source]) for source in found)
        text = {"text": _with_marks(without_references(block["text"]), marks)} if block["type"] == "text" else {}
        marked.append({**block, **text})
    return marked


def list_of_sources(content: Iterable[Block]) -> str:
    """The sources as a numbered list in Markdown; empty if nothing is cited."""
    return "\n".join(f"{number}. {_line(source)}" for number, source in enumerate(sources(content), 1))


def sources_in_words(content: Iterable[Block]) -> str:
    """The list of sources as plain text."""
    lines = []
    for number, source in enumerate(sources(content), 1):
        at = "".join(f", {part}" for part in (source.where, source.url) if part)
        lines.append(f"[{number}] {source.title}{at}" + (f": “{source.quote}”" if source.quote else ""))
    return "\n".join(lines)


def _citations(block: Block) -> list[Mapping[str, Any]]:
    found = block.get("citations") if block.get("type") == "text" else None
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list | tuple) else []


def _with_marks(text: str, marks: str) -> str:
    """Text with marks behind its last word: below a closing code fence, and inside the last cell of a table."""
    if not marks:
        return text
    body = text.rstrip()
    space = text[len(body) :]
    last = body.rpartition("\n")[2].lstrip()
    if last.startswith(_FENCES):
        return f"{body}\n\n{marks}{space}"
    if last.startswith("|") and last.endswith("|") and len(last) > 1:
        return f"{body[:-1].rstrip()} {marks} |{space}"
    return f"{body}{marks}{space}"


def _line(source: Source) -> str:
    label = markdown.link(source.title, source.url)
    where = f", {markdown.escape(source.where)}" if source.where else ""
    return f"{label}{where}" + (f": “{markdown.escape(source.quote)}”" if source.quote else "")


def _source(citation: Mapping[str, Any]) -> Source:
    kind = str(citation.get("type"))
    title = citation.get("title") or citation.get("document_title") or citation.get("url") or citation.get("source")
    url = citation.get("url") or (citation.get("source") if kind == "search_result_location" else "") or ""
    named = _words(title) or f"document {_number(citation, 'document_index') + 1}"
    return Source(
        short(named, MAX_QUOTE_CHARACTERS),
        _where(citation),
        short(_words(citation.get("cited_text")), MAX_QUOTE_CHARACTERS),
        str(url),
    )


# citation type → unit, field of the first unit, field of the end (exclusive), and whether units count from 0 or 1
_PLACES = {
    "char_location": ("character", "start_char_index", "end_char_index", 0),
    "page_location": ("page", "start_page_number", "end_page_number", 1),
    "content_block_location": ("part", "start_block_index", "end_block_index", 0),
    "search_result_location": ("part", "start_block_index", "end_block_index", 0),
}


def _where(citation: Mapping[str, Any]) -> str:
    """The place in a document, counted from 1: `pages 2–3`; empty if the citation gives none."""
    unit, start, end, origin = _PLACES.get(str(citation.get("type")), ("", "", "", 0))
    if not all(isinstance(citation.get(name), int) for name in (start, end)):
        return ""
    first, last = citation[start] + 1 - origin, citation[end] - origin
    return f"{unit}s {first:,}–{last:,}" if last > first else f"{unit} {first:,}"


def _number(citation: Mapping[str, Any], name: str) -> int:
    value = citation.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _words(text: Any) -> str:
    return join_line(str(text or ""))
