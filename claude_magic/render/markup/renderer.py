"""Markdown → sanitized HTML, all at once or while it grows."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import gate
from .parser import Cited, blocks, cleaned, parse, parser

if TYPE_CHECKING:
    from markdown_it.token import Token

# The size of the part that is drawn again while a reply grows (RENDERING.md §1).
PART_CHARACTERS = 16_000


@dataclass(frozen=True)
class Part:
    """A run of whole blocks: Claude's source, and its HTML."""

    source: str
    html: str


def rendered(text: str, cited: Sequence[Cited] = ()) -> str:
    """Markdown as sanitized HTML; in time linear in its length. `cited` are the sources of its references, from 1."""
    return "".join(part.html for part in Growing().parts(text, cited))


class Growing:
    """An incremental `rendered` for a growing text: finished blocks are not rendered again."""

    _source: str  # the settled text
    _defined: dict[tuple[str, str], Any]  # what it defines
    _seen: dict[tuple[str, str], Any]  # all that was defined when it was rendered
    _parts: list[Part]  # closed parts of it
    _part_start: int
    _written: list[str]  # the HTML of the rest of it
    _length: int
    _open: int  # how many blocks follow it

    def __init__(self) -> None:
        self._start_over()

    def parts(self, text: str, cited: Sequence[Cited] = ()) -> list[Part]:
        """The HTML in parts of about `PART_CHARACTERS`. While the text grows only the last part changes, unless the
        definition of a link or footnote arrives, which can change earlier parts."""
        text = _with_line_feeds(text)
        if not text.startswith(self._source):
            self._start_over()
        tail = cleaned(text[len(self._source) :])
        tokens, defined = parse(tail, self._defined)
        if self._source and defined != self._seen:
            self._start_over()
            return self.parts(text, cited)
        self._seen = defined
        groups = blocks(tokens)
        written = [_html(group, cited) for group in groups]
        self._settle(text, groups, written, _settled(tail, groups))
        last = Part(text[self._part_start :], "".join([*self._written, *written[len(written) - self._open :]]))
        return [*self._parts, last] if last.html or not self._parts else list(self._parts)

    def _start_over(self) -> None:
        self._source = ""
        self._defined, self._seen = {}, {}
        self._parts, self._part_start = [], 0
        self._written, self._length, self._open = [], 0, 0

    def _settle(self, text: str, groups: list[list[Token]], written: list[str], count: int) -> None:
        """Keep the first `count` blocks as final; close a part whenever it is long enough."""
        start = len(self._source)
        for number in range(count):
            self._written.append(written[number])
            self._length += len(written[number])
            if self._length >= PART_CHARACTERS:
                end = start + _line_offset(text[start:], _line(groups[number + 1]))
                self._parts.append(Part(text[self._part_start : end], "".join(self._written)))
                self._part_start, self._written, self._length = end, [], 0
        self._open = len(groups) - count
        if count:
            self._source = text[: start + _line_offset(text[start:], _line(groups[count]))]
            if self._seen:
                self._defined = parse(cleaned(self._source[start:]), self._defined)[1]


def _with_line_feeds(text: str) -> str:
    """A text with line feeds as its only line breaks, without a carriage return at its end: more may follow."""
    return text.removesuffix("\r").replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _settled(text: str, groups: list[list[Token]]) -> int:
    """How many of the first blocks stay as they are, whatever follows.

    More text can still change the last block, and where the one before it ends. A formula whose end has not come yet
    may look like several blocks, but has no blank line.
    """
    lines = text.split("\n")
    count = max(0, len(groups) - 2)
    while count and lines[_line(groups[count]) - 1].strip():
        count -= 1
    return count


def _line(group: list[Token]) -> int:
    """The line at which a block begins, from 0."""
    return group[0].map[0] if group[0].map else 0


def _line_offset(text: str, line: int) -> int:
    newlines = re.finditer("[\n\u2028\u2029]", text)
    return next(itertools.islice(newlines, line - 1, None)).end() if line else 0


def _html(tokens: list[Token], cited: Sequence[Cited]) -> str:
    from .tokens import renderer  # imported with the first reply, as all of markdown-it is

    return gate.clean(str(renderer().render(tokens, parser().options, {"cited": cited})))
