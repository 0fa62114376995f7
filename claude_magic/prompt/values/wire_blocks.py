"""Content blocks in wire form that a notebook holds or gives, as dicts: checked as the API would, their text bounded.

A dict `{"type": "document", "source": …}` in a prompt is that document, and a list of such dicts is what stands in it,
one after the other. Source of the rules: CLAUDE_API.md §3.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ...content.images import Block, image_block
from ...content.parts import Part, Room, Text, shortened
from ...content.safely import try_or_none
from ...content.text import short
from ...errors import PromptError, UnshowableError
from .files import NOTHING_SENT

_KEYS = {
    "text": {"type", "text"},
    "image": {"type", "source"},
    "document": {"type", "source", "title", "context", "citations"},
    "search_result": {"type", "source", "title", "content", "citations"},
}
# What any of them may have beside: a cache breakpoint.
_ANY_KEYS = {"cache_control"}
_CACHE_CONTROLS = ({"type": "ephemeral"}, {"type": "ephemeral", "ttl": "5m"}, {"type": "ephemeral", "ttl": "1h"})


class NoBlock(ValueError):
    """A mapping is no content block that the API takes in a prompt; the message says what it is instead."""


def are_blocks(value: Any) -> bool:
    """Whether a value is a dict in the form of a content block, or a list of nothing else."""
    listed = _listed(value)
    return len(listed) > 0 and all(type(each) is dict and _is_block(each) for each in listed)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def are_texts(value: Any) -> bool:
    """Whether a value is a text block, or a list of nothing else."""
    return are_blocks(value) and all(each["type"] == "text" for each in _listed(value))


def _is_block(value: Mapping[str, Any]) -> bool:
    """Whether a dict has the type and the fields of a content block; what is in them may still be wrong."""
    match value:
        case {"type": "text", "text": str()}:
            return value.keys() <= _KEYS["text"] | _ANY_KEYS
        case {"type": "image" | "document" as kind, "source": {"type": str(source)}}:
            return source in _SOURCE_KEYS and value.keys() <= _KEYS[kind] | _ANY_KEYS
        case {"type": "search_result", "source": str(), "title": str(), "content": list()}:
            return value.keys() <= _KEYS["search_result"] | _ANY_KEYS
    return False


def shown(value: Any, name: str, room: Room) -> list[Part]:
    """The blocks of a value, each within its share of a text's room. Raises `PromptError` for one that the API
    refuses."""
    listed = _listed(value)
    share = Room(room.text, room.text).share(len(listed))
    try:
        return [part(each, share) for each in listed]
    except NoBlock as error:
        fault = str(error)
    raise UnshowableError(f"{{{{{name}}}}} is {fault}.", advice=NOTHING_SENT)


def part(given: Mapping[str, Any], room: Room) -> Part:
    """A content block checked against what the API takes in a prompt, its text shortened. Raises `NoBlock`."""
    block: Block | None = try_or_none(lambda: json.loads(json.dumps(dict(given))))
    if block is None:
        raise NoBlock("a block that is not JSON")
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise NoBlock(f"a block of type {short(repr(kind), 60)}, which no prompt can hold")
    unknown = ", ".join(sorted(block.keys() - _KEYS[kind] - _ANY_KEYS))
    if unknown:
        raise NoBlock(f"a block of type {kind} with {short(unknown, 60)}, which it does not have")
    if block.get("cache_control") is not None and block["cache_control"] not in _CACHE_CONTROLS:
        raise NoBlock(f"a block of type {kind} whose cache_control is none that the API has")
    fault = next(_FAULTS[kind](block), None)
    if fault:
        raise NoBlock(f"a block of type {kind} {fault}")
    try:
        return _FINISH[kind](block, room)
    except PromptError as error:
        fault = error.message.rstrip(".")
    raise NoBlock(f"a block of type {kind}: {fault}")


def _text_faults(block: Block) -> Iterator[str]:
    if not isinstance(block.get("text"), str) or not block["text"].strip():
        yield "without text"


def _image_faults(block: Block) -> Iterator[str]:
    yield from _source_faults(block, ("base64", "url", "file"))


def _document_faults(block: Block) -> Iterator[str]:
    yield from _source_faults(block, ("base64", "url", "file", "text", "content"))
    yield from _about_faults(block, "title", "context")
    source = block["source"]
    if source["type"] == "base64" and not _decoded(source["data"]).startswith(b"%PDF-"):
        yield "whose data is no PDF"


def _search_faults(block: Block) -> Iterator[str]:
    yield from _about_faults(block, "source", "title")
    content = block.get("content")
    if not all(isinstance(block.get(key), str) for key in ("source", "title")):
        yield "without source or title"
    if not isinstance(content, list) or not content or any(_is_no_text(each) for each in content):
        yield "whose content is not a list of text blocks"


def _is_no_text(given: Any) -> bool:
    return not isinstance(given, dict) or given.keys() - _ANY_KEYS != _KEYS["text"] or any(_text_faults(given))


def _about_faults(block: Block, *keys: str) -> Iterator[str]:
    for key in keys:
        if not isinstance(block.get(key, ""), str):
            yield f"whose {key} is not text"
    if not isinstance(block.get("citations", {}), dict):
        yield "whose citations are not a mapping"


_SOURCE_KEYS = {"base64": "data", "url": "url", "file": "file_id", "text": "data", "content": "content"}


def _source_faults(block: Block, kinds: tuple[str, ...]) -> Iterator[str]:
    source = block.get("source")
    if not isinstance(source, dict) or source.get("type") not in kinds:
        yield f"without a source of type {', '.join(kinds)}"
        return
    given = source.get(_SOURCE_KEYS[source["type"]])
    if source["type"] == "content" and isinstance(given, list) and given:
        return
    if not isinstance(given, str) or not given.strip():
        yield f"whose source has no {_SOURCE_KEYS[source['type']]}"
    elif source["type"] == "base64" and not _decoded(given):
        yield "whose data is not base64"
    elif source["type"] == "url" and not given.startswith(("http://", "https://")):
        yield "whose url is not one of the web"


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        return b""


_FAULTS: dict[str, Callable[[Block], Iterator[str]]] = {
    "text": _text_faults,
    "image": _image_faults,
    "document": _document_faults,
    "search_result": _search_faults,
}


def _finished_text(block: Block, room: Room) -> Part:
    """A text is one with those beside it, unless it has a cache breakpoint."""
    text = shortened(block["text"], room.text)
    return {**block, "text": text} if block.get("cache_control") else Text(text, own_lines=True)


def _finished_image(block: Block, room: Room) -> Part:
    """An image within the API's limits; its media type is read from its bytes, not from the block."""
    source = block["source"]
    return {**block, **image_block(_decoded(source["data"]))} if source["type"] == "base64" else block


def _finished_document(block: Block, room: Room) -> Part:
    source = block["source"]
    if source["type"] != "text":
        return block
    return {**block, "source": {**source, "media_type": "text/plain", "data": shortened(source["data"], room.text)}}


def _finished_search(block: Block, room: Room) -> Part:
    share = room.text // len(block["content"])
    return {**block, "content": [{**each, "text": shortened(each["text"], share)} for each in block["content"]]}


_FINISH: dict[str, Callable[[Block, Room], Part]] = {
    "text": _finished_text,
    "image": _finished_image,
    "document": _finished_document,
    "search_result": _finished_search,
}
