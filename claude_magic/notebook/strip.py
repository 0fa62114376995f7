"""Strip turn records from a notebook's file, and leave all other bytes as they are.

Records are cut out of the text, instead of writing the JSON anew, so that a diff shows nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..errors import UsageError

KEY = "claude_magic"
# The path to records in a notebook of nbformat 4; `None` is any item of an array.
_PATH = ("cells", None, "outputs", None, "metadata")
_BLANKS = re.compile(r"[ \t\r\n]*")
# Numbers are not converted: a very long one would take long, or fail.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


def stripped(content: bytes) -> tuple[bytes, int]:
    """A notebook's bytes without turn records, and the number of records removed.

    A record is the member `claude_magic` of an output's metadata, whatever it holds. Raises `UsageError` where the
    content is not JSON.
    """
    if KEY.encode() not in content:
        return content, 0
    try:
        text = content.decode()
        root = _after_blanks(text, 1 if text.startswith("\ufeff") else 0)
        _check_whole(text, root)
        cuts = [cut for metadata in _metadata_offsets(text, root) for cut in _cuts(text, metadata)]
    except RecursionError:
        raise UsageError("it is nested too deeply") from None
    except ValueError:
        raise UsageError("it is not JSON") from None
    return _without(text, [(start, end) for start, end, _ in cuts]).encode(), sum(count for _, _, count in cuts)


def _check_whole(text: str, root: int) -> None:
    end = _DECODER.raw_decode(text, root)[1]
    if _after_blanks(text, end) != len(text):
        raise ValueError("more than one value")


@dataclass(frozen=True)
class _Member:
    """A member of an object, or an item of an array (no key), with offsets: its start, its value's start and end."""

    key: str | None
    start: int
    value: int
    end: int


def _metadata_offsets(text: str, root: int) -> Iterable[int]:
    """The offsets of the outputs' metadata objects."""
    offsets: Iterable[int] = [root]
    for key in _PATH:
        offsets = _below(text, offsets, key)
    return offsets


def _below(text: str, offsets: Iterable[int], key: str | None) -> Iterator[int]:
    opening = "[" if key is None else "{"
    for at in offsets:
        if text.startswith(opening, at):
            yield from (member.value for member in _members(text, at) if member.key == key)


def _members(text: str, at: int) -> Iterator[_Member]:
    """The members of the object or array at an offset of valid JSON; none for any other value."""
    if text[at] not in "{[":
        return
    is_object = text[at] == "{"
    at = _after_blanks(text, at + 1)
    while text[at] not in "}]":
        key, value = None, at
        if is_object:
            key, colon = _DECODER.raw_decode(text, at)
            value = _after_blanks(text, _after_blanks(text, colon) + 1)
        end = _DECODER.raw_decode(text, value)[1]
        yield _Member(key, at, value, end)
        at = _after_blanks(text, end)
        if text[at] == ",":
            at = _after_blanks(text, at + 1)


def _cuts(text: str, metadata: int) -> list[tuple[int, int, int]]:
    """The parts to cut out of the metadata object at an offset: start, end, and number of records.

    The comma before a record is cut with it; for records before the first kept member, the comma after it.
    """
    members = list(_members(text, metadata))
    kept = [at for at, member in enumerate(members) if member.key != KEY]
    if len(kept) == len(members):
        return []
    if not kept:
        return [(metadata + 1, _after_blanks(text, members[-1].end), len(members))]
    first = [(members[0].start, members[kept[0]].start, kept[0])] if kept[0] else []
    rest = [at for at, member in enumerate(members) if member.key == KEY and at > kept[0]]
    return [*first, *[(members[at - 1].end, members[at].end, 1) for at in rest]]


def _without(text: str, cuts: Iterable[tuple[int, int]]) -> str:
    pieces, at = [], 0
    for start, end in cuts:
        pieces.append(text[at:start])
        at = end
    return "".join([*pieces, text[at:]])


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at
