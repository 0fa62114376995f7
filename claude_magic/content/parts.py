"""The parts of a prompt, and the room of each: text that is too long is shortened, with a note.

Room is in bytes of UTF-8: a token is about `BYTES_PER_TOKEN` of them in any script (English has about 3.5 characters a
token, Chinese about one).
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..options import DEFAULT_CELL_TOKENS, DEFAULT_VALUE_TOKENS
from .images import Block
from .text import byte_length, fence_of, shortened_note
from .token_estimate import BYTES_PER_TOKEN

_NOTE_BYTES = 70
# A longer word is divided by a cut, for it is most likely no word.
MAX_DIVIDED_CHARACTERS = 2_000
# What a secret without spaces is made of, as in `secrets.py`.
_WORD = re.compile(r"""[^\s"'`,;&|<>()\[\]{}]+""")
_WORD_AT_END = re.compile(rf"""{_WORD.pattern}\Z""")
# What stands between a name and its value, from either side, and a value with what stands there.
_SIGN = re.compile(r"""["'`]?\s{0,20}[:=>]+""")
_SIGN_AT_END = re.compile(r"""[:=>]\s{0,20}["'`]?\Z""")
_VALUE = re.compile(rf"""[\s"'`]{{0,20}}{_WORD.pattern}""")
MAX_SIGN_CHARACTERS = 22


@dataclass(frozen=True)
class Text:
    """A piece of text; with `own_lines` it starts and ends at line breaks. `is_code`: it is Python source."""

    text: str
    own_lines: bool = False
    is_code: bool = False


Part = Text | Block


@dataclass(frozen=True)
class Room:
    """How long the text of one value may be, in bytes: `summary` for most values, `text` for one that is text."""

    summary: int
    text: int

    def at_most(self, size: int) -> Room:
        """The room bounded by `size` bytes."""
        return Room(min(self.summary, size), min(self.text, size))

    def share(self, elements: int) -> Room:
        """The room for each of so many elements: an equal share of `summary`."""
        size = self.summary // max(1, elements)
        return Room(size, size)


@dataclass(frozen=True)
class Limits:
    """The limits for the values of a prompt, in tokens: for one value, and for all values of a cell.

    Without `value_tokens`, a summary has `DEFAULT_VALUE_TOKENS`, and a text only the cell's limit.
    """

    value_tokens: int | None = None
    cell_tokens: int = DEFAULT_CELL_TOKENS

    @property
    def value(self) -> Room:
        """The room for one value."""
        whole = room_for(self.cell_tokens)
        if self.value_tokens is None:
            return Room(room_for(DEFAULT_VALUE_TOKENS), whole).at_most(whole)
        return Room(room_for(self.value_tokens), room_for(self.value_tokens)).at_most(whole)


def room_for(tokens: int) -> int:
    """The approximate bytes of text in so many tokens."""
    return math.floor(tokens * BYTES_PER_TOKEN)


def size_of(parts: Iterable[Part]) -> int:
    """The bytes of all text in parts."""
    return sum(byte_length(part.text) for part in parts if isinstance(part, Text))


def shortened(text: str, room: int, *, keep_end: bool = False, length: int = 0) -> str:
    """A text cut to at most `room` bytes: its start, and a note of how much is missing.

    A cut falls between words, if it can, so that it divides no secret. With `keep_end`, three quarters of what is kept
    are from the end, as a traceback needs. `length` is that of the whole text, in characters, if `text` is its start.
    """
    length = max(length, len(text))
    if length == len(text) and length <= room and byte_length(text) <= room:
        return text
    left = max(0, room - _NOTE_BYTES)
    start = _fitting(text, left // 4 if keep_end else left, keep_end=False)
    end = _fitting(text, left - byte_length(start), keep_end=True) if keep_end else ""
    note = shortened_note(len(start) + len(end), length)
    return f"{start}{note}\n{end}" if keep_end else start + note


def _fitting(text: str, room: int, keep_end: bool) -> str:
    """The start (or end) of a text in at most `room` bytes; it may be a few characters shorter than possible."""
    count = min(len(text), room)
    while count:
        kept = text[len(text) - count :] if keep_end else text[:count]
        taken = byte_length(kept)
        if taken <= room:
            return _whole_words(text, kept, keep_end)
        count = min(count - 1, count * room // taken)
    return ""


def _whole_words(text: str, kept: str, keep_end: bool) -> str:
    """The kept start (or end) of a text without the word that the cut divides, unless that is very long.

    An end begins with no value either whose name was cut off.
    """
    reach = min(MAX_DIVIDED_CHARACTERS, len(kept) // 2)
    at = len(text) - len(kept) if keep_end else len(kept)
    if not 0 < at < len(text) or not reach:
        return kept
    if keep_end:
        start = at
        while start - at <= reach and (end := _end_of_value(text, start, at + reach + 1)) > start:
            start = end
        return text[start:] if start - at <= reach else kept
    word = _WORD_AT_END.search(kept, len(kept) - reach - 1) if _is_divided(text, at) else None
    return kept[: word.start()] if word and len(kept) - word.start() <= reach else kept


def _end_of_value(text: str, at: int, limit: int) -> int:
    """Where the value ends, or the word or sign before it, that a cut divides or has cut off from its name."""
    if _is_divided(text, at):
        found = _WORD.match(text, at, limit)
    elif _SIGN_AT_END.search(text, max(0, at - MAX_SIGN_CHARACTERS), at):
        found = _VALUE.match(text, at, limit)
    else:
        found = _SIGN.match(text, at, limit)
    return found.end() if found else at


def _is_divided(text: str, at: int) -> bool:
    """Whether two characters of one word stand on either side of a place within a text."""
    return bool(_WORD.fullmatch(text[at - 1 : at + 1]))


def form(text: str, room: int, *, keep_end: bool = False) -> list[Part]:
    """The text form of a value in at most `room` bytes, on lines of its own if it has several."""
    kept = shortened(text, room, keep_end=keep_end)
    return [Text(kept, own_lines="\n" in kept)]


def on_own_lines(parts: Iterable[Part]) -> list[Part]:
    """The same parts, each text on lines of its own."""
    return [dataclasses.replace(part, own_lines=True) if isinstance(part, Text) else part for part in parts]


def code_block(text: str, language: str = "", *, is_code: bool = False) -> list[Part]:
    """A text as a Markdown code block on lines of its own."""
    ticks = fence_of(text)
    body = Text(text, own_lines=True, is_code=is_code)
    return [Text(f"{ticks}{language}", own_lines=True), *([body] if text else []), Text(ticks, own_lines=True)]


@dataclass(frozen=True)
class Piece:
    """One attached item of a prompt: a value, file, cell, error and the like.

    `name` is its label in the header (`sales`, `cell [3]`, `plot.png`), `kind` its type in a word or two (`value`,
    `cell`, `image`, `file`, `error`, `code`); `parts` are sent in their order. `masked` counts the secrets that are
    masked in them already.
    """

    name: str
    kind: str
    parts: Sequence[Part]
    masked: int = 0
