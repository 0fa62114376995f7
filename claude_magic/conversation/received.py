"""Values that the API sent, as its schema promises them: mended where the meaning is clear, else a `ValueError`.

A gateway may send anything. What a function here returns is plain JSON that can be saved and sent again.
"""

from __future__ import annotations

import itertools
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import record_schema

# A block is nested in the record by six levels, and the record takes 150 (`record.MAX_DEPTH`).
MAX_BLOCK_DEPTH = 120
MAX_NAME_CHARACTERS = 300
MAX_TOOL_NAME_CHARACTERS = 128
_CALL_ID = re.compile(r"[a-zA-Z0-9_-]{1,300}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")
_USAGE_OBJECT = "input_tokens"  # stands for a whole usage that is no object

# Marks an event that replays a block of our own record, which was checked when it was read (`session/replay.py`).
# No server can know it.
RECORDED = uuid.uuid4().hex

# Takes note of something that was mended, in a few words for the reader.
Note = Callable[[str], None]


def whole_text(text: str) -> str:
    """Text that can be encoded as UTF-8: surrogate pairs that were split are joined, lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def plain(value: Any) -> Any:
    """A value as plain JSON, with lone surrogates replaced.

    Raises `ValueError` for NaN, infinity, and what is nested too deeply.
    """
    if not is_shallow(value, MAX_BLOCK_DEPTH):
        raise ValueError("it is nested too deeply")
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    return value if whole_text(text) is text else json.loads(whole_text(text))


def is_shallow(data: Any, depth: int) -> bool:
    """Whether a value is nested at most so many levels deep."""
    level = [data] if isinstance(data, dict | list | tuple) else []
    for _ in range(depth):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in itertools.chain.from_iterable(inside) if isinstance(each, dict | list | tuple)]
        if not level:
            return True
    return False


def name(value: Any) -> str | None:
    """A name or an id that the record takes; `None` for any other value."""
    return whole_text(value) if isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARACTERS else None


def fields(found: Mapping[str, Any], note: Note) -> dict[str, Any]:
    """The fields of a message that JSON can hold: they are facts about the reply, and no part of it."""
    kept = {}
    for key, value in found.items():
        try:
            kept[whole_text(key)] = plain(value)
        except (ValueError, TypeError):
            note("a field of the message left out")
    return kept


def message(found: Any, note: Note) -> tuple[dict[str, Any], Any]:
    """A message without its content and usage, and its content."""
    if not isinstance(found, Mapping):
        raise ValueError("a message that is no object")
    kept = {key: value for key, value in found.items() if key not in ("content", "usage")}
    content = found.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list | tuple | None):
        raise ValueError("content that is no list")
    return {**fields(kept, note), "content": []}, content or ()


def usage(found: Any) -> tuple[dict[str, Any], set[str]]:
    """The fields of a usage that fit the API's schema, and the names of those that do not; nulls are left out."""
    if found is None:
        return {}, set()
    if not isinstance(found, Mapping):
        return {}, {_USAGE_OBJECT}
    given = {key: value for key, value in found.items() if value is not None}
    odd = record_schema.odd_usage(given)
    kept = {}
    for key in given.keys() - odd:
        try:
            kept[key] = plain(given[key])
        except (ValueError, TypeError):
            odd.add(key)
    return {key: kept[key] for key in given if key in kept}, odd


def citations(found: Any, note: Note) -> list[Any] | None:
    """The citations of a text that can go back to the API; `None` where there is no list of them."""
    if found is None:
        return None
    if not isinstance(found, list | tuple):
        note("citations left out")
        return None
    return [kept for each in found if (kept := citation(each, note)) is not None]


def citation(found: Any, note: Note) -> Any | None:
    """A citation that can go back to the API; `None` for any other."""
    try:
        kept = plain(found)
        fits = record_schema.fits_citation(kept)
    except (ValueError, TypeError):
        fits = False
    if not fits:
        note("a citation left out")
    return kept if fits else None


def tool_input(source: Any) -> tuple[dict[str, Any], str]:
    """The input of a tool call, from an object or from JSON text; and what is wrong with it, empty if nothing is.

    Empty text stands for no arguments, as in the API's own events.
    """
    if isinstance(source, str) and not source.strip():
        return {}, ""
    try:
        found = json.loads(source) if isinstance(source, str) else source
        found = plain(found)
    except (ValueError, TypeError, RecursionError) as error:
        return {}, whole_text(str(error))[:MAX_NAME_CHARACTERS] or type(error).__name__
    if isinstance(found, dict):
        return found, ""
    kinds = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return {}, f"it is {kinds.get(type(found), 'a number')}, not an object"


def tool_name(value: Any) -> str:
    """A name of a tool as the API takes it in a history: other characters become underscores."""
    text = value if isinstance(value, str) else ""
    return _NOT_IN_NAMES.sub("_", text)[:MAX_TOOL_NAME_CHARACTERS] or "unnamed"


class CallIds:
    """The ids of tool calls in a reply: each a valid one, no two the same. Results follow the last call of their id."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._given: dict[str, str] = {}  # the id as received, as JSON → the id of its last call here

    def of_call(self, received: Any, kind: str) -> str:
        """The id of a new call: as received, if the API takes it and no other call has it."""
        base = received if isinstance(received, str) and _CALL_ID.fullmatch(received) else _substitute(received, kind)
        numbered = (f"{base[: MAX_NAME_CHARACTERS - 8]}_{number}" for number in itertools.count(2))
        found = next(each for each in itertools.chain([base], numbered) if each not in self._taken)
        self._taken.add(found)
        self._given[_key(received)] = found
        return found

    def of_result(self, received: Any) -> Any:
        """The id of the call that a result belongs to; as received, if there is none here."""
        return self._given.get(_key(received), received)


def _substitute(received: Any, kind: str) -> str:
    text = received if isinstance(received, str) else ""
    cleaned = _NOT_IN_NAMES.sub("_", text)[:MAX_NAME_CHARACTERS]
    return cleaned or ("srvtoolu_unnamed" if kind == "server_tool_use" else "toolu_unnamed")


def _key(received: Any) -> str:
    return json.dumps(received, sort_keys=True, default=str)
