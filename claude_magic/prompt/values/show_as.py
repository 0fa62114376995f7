"""Custom forms of values in a prompt: a class's `_repr_claude_()`, or a function registered for a type.

Either gives text, a content block in wire form, or a list of these; None means: show the value as usual.
"""

from __future__ import annotations

import base64
import binascii
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

from ...content.images import Block, image_block
from ...content.parts import Part, Room, Text, shortened
from ...content.safely import TookTooLong, one_line, try_or_none, type_name
from ...content.text import short
from ...errors import ClaudeError, PromptError, UnshowableError, UsageError

Show = Callable[[Any], Any]

# The registry of the process, so that a library can register without a notebook.
_BY_TYPE: dict[type, Show] = {}
_BY_NAME: dict[str, Show] = {}

_KEYS = {
    "text": {"type", "text"},
    "image": {"type", "source"},
    "document": {"type", "source", "title", "context", "citations"},
    "search_result": {"type", "source", "title", "content", "citations"},
}


@overload
def show_as(kind: type | str) -> Callable[[Show], Show]: ...


@overload
def show_as(kind: type | str, function: Show | None) -> Show | None: ...


def show_as(kind: type | str, function: Any = ...) -> Any:
    """Set what Claude sees of values of a type: `show_as(Molecule, lambda molecule: molecule.formula)`.

    `kind` is a type, or its name as `"module.Class"`, which imports nothing. `function` takes a value and returns
    text, a content block in wire form, or a list of these; or None, to show the value as usual. It holds for
    subclasses too; the function of the nearest type is used. Without `function` this is a decorator; with None it
    removes what is registered. Returns the function registered before, or None.

    Raises:
        UsageError: `kind` is not a type or the name of one, or `function` is not callable.
    """
    if function is ...:
        return lambda decorated: (show_as(kind, decorated), decorated)[1]
    if function is not None and not callable(function):
        raise UsageError(f"show_as wants a function, not {type_name(function)}.", advice="None takes one back.")
    if isinstance(kind, type):
        return _replace(_BY_TYPE, kind, function)
    if isinstance(kind, str) and "." in kind and all(map(str.isidentifier, kind.split("."))):
        return _replace(_BY_NAME, kind, function)
    raise UsageError(f"show_as wants a type, not {short(repr(kind), 60)}.", advice='Or its name, as "module.Class".')


def _replace(registered: dict[Any, Show], kind: Any, function: Show | None) -> Show | None:
    former = registered.pop(kind, None)
    if function is not None:
        registered[kind] = function
    return former


def _registered(value: Any) -> Show | None:
    """The function registered for the nearest class in a value's MRO, or None."""
    for kind in type(value).__mro__:
        if kind in _BY_TYPE:
            return _BY_TYPE[kind]
        for name in _BY_NAME:
            module, _, attribute = name.rpartition(".")
            if f"{kind.__module__}.{kind.__qualname__}" == name:
                return _BY_NAME[name]
            if vars(sys.modules.get(module, object)).get(attribute) is kind:
                return _BY_NAME[name]
    return None


def _own(value: Any) -> Show | None:
    """A value's `_repr_claude_`, if its class has one: a mock, which answers to every attribute, has none."""
    if isinstance(value, type) or not hasattr(type(value), "_repr_claude_"):
        return None
    return lambda shown: shown._repr_claude_()


def shows_itself(value: Any) -> bool:
    """Whether a value has a registered function or a `_repr_claude_`."""
    return (_registered(value) or _own(value)) is not None


def shown(value: Any, name: str, room: Room) -> list[Part] | None:
    """The custom form of a value, within its room; None if it has none, or if its function fails, with a warning.

    Raises:
        UnshowableError: the function gives neither text nor a valid content block.
        ClaudeError: the function raised it.
    """
    for source, function in (("The function of show_as", _registered(value)), ("_repr_claude_", _own(value))):
        if function is None:
            continue
        who = f"{source} for {type_name(value)}"
        try:
            given = function(value)
        except (KeyboardInterrupt, TookTooLong):
            raise
        except ClaudeError as error:
            given = error
        except BaseException as error:
            warnings.warn(f"{who} failed: {one_line(error)}. Claude sees another form.", stacklevel=2)
            continue
        if isinstance(given, ClaudeError):
            raise given
        if given is not None:
            return _parts(given, who, room)
    return None


def _parts(given: Any, who: str, room: Room) -> list[Part]:
    elements = list(given) if isinstance(given, list | tuple) else [given]
    parts: list[Part] = []
    for element in elements:
        if isinstance(element, str):
            text = shortened(str.__str__(element), room.share(len(elements)).summary)
            parts.append(Text(text, own_lines=len(elements) > 1))
        elif isinstance(element, Mapping):
            parts.append(_block(element, who, room.share(len(elements))))
        else:
            raise _no_block(who, f"{type_name(element)}, which is neither text nor a content block")
    return parts


def _no_block(who: str, what: str) -> UnshowableError:
    advice = "It may give text, a block such as {'type': 'text', 'text': …}, or a list of these. Nothing was sent."
    return UnshowableError(f"{who} gives {what}.", advice=advice)


def _block(given: Mapping[str, Any], who: str, room: Room) -> Part:
    """A content block checked against what the API takes in a prompt (CLAUDE_API.md §3), its text shortened.

    Raises `UnshowableError` for a block that the API would refuse.
    """
    block: Block | None = try_or_none(lambda: json.loads(json.dumps(dict(given))))
    if block is None:
        raise _no_block(who, "a block that is not JSON")
    kind = block.get("type")
    if not isinstance(kind, str) or kind not in _KEYS:
        raise _no_block(who, f"a block of type {short(repr(kind), 60)}, which no prompt can hold")
    unknown = ", ".join(sorted(block.keys() - _KEYS[kind]))
    if unknown:
        raise _no_block(who, f"a block of type {kind} with {short(unknown, 60)}, which it does not have")
    fault = next(_FAULTS[kind](block), None)
    if fault:
        raise _no_block(who, f"a block of type {kind} {fault}")
    try:
        return _FINISH[kind](block, room)
    except PromptError as error:
        fault = error.message.rstrip(".")
    raise _no_block(who, f"a block of type {kind}: {fault}")


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
    return not isinstance(given, dict) or given.keys() != _KEYS["text"] or any(_text_faults(given))


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
    return Text(shortened(block["text"], room.summary), own_lines=True)


def _finished_image(block: Block, room: Room) -> Part:
    """An image within the API's limits; its media type is read from its bytes, not from the block."""
    source = block["source"]
    return image_block(_decoded(source["data"])) if source["type"] == "base64" else block


def _finished_document(block: Block, room: Room) -> Part:
    source = block["source"]
    if source["type"] != "text":
        return block
    return {**block, "source": {**source, "media_type": "text/plain", "data": shortened(source["data"], room.summary)}}


def _finished_search(block: Block, room: Room) -> Part:
    share = room.share(len(block["content"])).summary
    return {**block, "content": [{**each, "text": shortened(each["text"], share)} for each in block["content"]]}


_FINISH: dict[str, Callable[[Block, Room], Part]] = {
    "text": _finished_text,
    "image": _finished_image,
    "document": _finished_document,
    "search_result": _finished_search,
}
