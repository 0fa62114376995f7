"""Find the values of columns in text tables: CSV and similar, Markdown, printed frames and frame summaries."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Span = tuple[int, int]

MAX_LINE_CHARACTERS = 20_000
_COLUMN = r"[\"']?[A-Za-z_][\w .:-]{0,60}[\"']?"
_HEADER = {
    ",": re.compile(rf"(?:{_COLUMN})?(?:,(?:{_COLUMN})?){{1,500}}"),  # with a space behind the comma it is prose
    ";": re.compile(rf"{_COLUMN}(?:; {{0,20}}{_COLUMN}){{1,500}}"),
    "\t": re.compile(rf"{_COLUMN}(?:\t {{0,20}}{_COLUMN}){{1,500}}"),
    "|": re.compile(rf"\|? {{0,20}}{_COLUMN}(?:\| {{0,20}}{_COLUMN}){{0,500}}\|? {{0,20}}"),
}
_RULE = re.compile(r"[ \t]{0,20}\|?[ \t:|-]{3,5000}")
_WORD = re.compile(r"\S+")
_QUOTED = re.compile(r'[ \t]*"(?:[^"]|"")*"[ \t]*')
# A column's line in a summary of `prompt/values/dataframes.py`: name, type, nulls, statistics.
_STATISTICS = re.compile(r"[ \t]{0,20}([^|\n]{1,60}) \| [^|\n]{1,80} \| [\d,?]{1,20} \| ([^\n]{1,2000})")
_TOP = re.compile(r"(?:\btop |\), )([^,\n]{1,100}?) \([\d,]{1,20}\)")
_ENDS = re.compile(r"\b(?:min|max) ([^,\n]{1,100})")


@dataclass
class Column:
    """A column of a table in a text: its name, the spans of its values, and the values to judge it by."""

    name: str
    spans: list[Span] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def add(self, text: str, start: int, end: int) -> None:
        if start < end:
            self.spans.append((start, end))
            self.values.append(text[start:end])


class Places:
    """Where some words stand in a text, whatever their case: far faster than a pattern, if there are few."""

    def __init__(self, text: str, words: Iterable[str]) -> None:
        lowered = text.lower()
        # Few characters change their number with their case; a text that has them is searched as it is.
        self._text = lowered if len(lowered) == len(text) else text
        self._next = dict.fromkeys(words, -1)

    def after(self, at: int) -> int:
        """The first place from a position on, or -1. Positions must grow from call to call."""
        for word, place in list(self._next.items()):
            if place < at:
                place = self._text.find(word, at)
                if place < 0:
                    del self._next[word]
                else:
                    self._next[word] = place
        return min(self._next.values(), default=-1)


def columns_in(text: str, wanted: Callable[[str], bool], places: Places) -> Iterator[Column]:
    """The columns of the tables in a text whose names are wanted. Only lines with `places` in them may have one."""
    lines = _Lines(text)
    at = 0
    while (place := places.after(at)) >= 0:
        start, end = lines.around(place)
        at = end + 1
        if end - start > MAX_LINE_CHARACTERS:
            continue
        for column in _below(text, lines, start, text[start:end], wanted):
            at = max([at, *(last for _, last in column.spans[-1:])])
            yield column


def _below(text: str, lines: _Lines, start: int, line: str, wanted: Callable[[str], bool]) -> Iterator[Column]:
    """The columns of the table whose header, or whose column's summary, this line is."""
    if (statistics := _STATISTICS.fullmatch(line)) and wanted(statistics[1]):
        values = [*_TOP.findall(statistics[2]), *_ENDS.findall(statistics[2])]
        yield Column(statistics[1], [(start + statistics.start(2), start + statistics.end(2))], values)
    if line.startswith(" "):
        yield from _printed(text, lines, start, line, wanted)
    yield from _rows(text, lines, start, line, wanted)


class _Lines:
    """The lines of a text, by the positions in them."""

    def __init__(self, text: str) -> None:
        self._text = text

    def around(self, at: int) -> Span:
        """The line around a position, without its line break."""
        start = self._text.rfind("\n", 0, at) + 1
        return start, self._end(at)

    def after(self, end: int) -> Iterator[tuple[int, str]]:
        """The lines behind the line that ends there."""
        while (start := self._text.find("\n", end) + 1) > 0 and start < len(self._text):
            end = self._end(start)
            yield start, self._text[start : min(end, start + MAX_LINE_CHARACTERS)]

    def _end(self, at: int) -> int:
        end = self._text.find("\n", at)
        end = len(self._text) if end < 0 else end
        return end - 1 if self._text[end - 1 : end] == "\r" and end > at else end


def _printed(text: str, lines: _Lines, start: int, header: str, wanted: Callable[[str], bool]) -> Iterator[Column]:
    """The columns of a frame that pandas printed: values end in the same column of text as their header."""
    words = list(_WORD.finditer(header))
    ends = [word.end() for word in words]
    found = {number: Column(word[0]) for number, word in enumerate(words) if wanted(word[0])}
    if not found or any(word[0].endswith((":", ",", ";", "(", "{")) or ":" in word[0] for word in words):
        return
    for at, line in lines.after(start + len(header)):
        if not _ends_at(line, ends):
            if line.startswith(" ") or not _is_index_name(line):
                break
            continue
        for number, column in found.items():
            begins, end = ends[number - 1] if number else line.find(" "), ends[number]
            if value := line[begins:end].strip():
                column.add(text, at + end - len(value), at + end)
    yield from found.values()


def _ends_at(line: str, ends: Sequence[int]) -> bool:
    """Whether a value ends at each of these positions, the last one at the end of the line."""
    return len(line) == ends[-1] and all(line[end - 1] != " " and line[end : end + 1] in ("", " ") for end in ends)


def _is_index_name(line: str) -> bool:
    return line.rstrip() != line and bool(line.strip())


def _rows(text: str, lines: _Lines, start: int, header: str, wanted: Callable[[str], bool]) -> Iterator[Column]:
    """The columns below a header line with separators, as far as the lines have as many fields."""
    below = lines.after(start + len(header))
    first = next(below, None)
    is_ruled = first is not None and _RULE.fullmatch(first[1]) is not None
    separator, count, names = _header(header, wanted, after_rule=is_ruled)
    found = {number: Column(name) for number, name in names.items()}
    if not found or first is None:
        return
    for at, line in below if is_ruled else itertools.chain([first], below):
        fields = _fields(line, separator)
        if len(fields) != count:
            break
        for number, column in found.items():
            begins, end = fields[number]
            value = line[begins:end]
            if not _is_rule(value):
                lead = len(value) - len(value.lstrip(" \t\"'"))
                column.add(text, at + begins + lead, at + begins + max(lead, len(value.rstrip(" \t\"'"))))
    yield from found.values()


def _header(line: str, wanted: Callable[[str], bool], *, after_rule: bool) -> tuple[str, int, dict[int, str]]:
    """The separator of a header line, its number of columns, and the wanted ones by their index; empty if none is."""
    for separator in ("|",) if after_rule else (",", ";", "\t"):
        if separator in line and _HEADER[separator].fullmatch(line):
            fields = _fields(line, separator)
            names = [line[start:end].strip(" \t\"'") for start, end in fields]
            if found := {number: name for number, name in enumerate(names) if wanted(name)}:
                return separator, len(fields), found
    return "", 0, {}


def _fields(line: str, separator: str) -> Sequence[Span]:
    fields: list[Span] = []
    at = 0
    while True:
        quoted = _QUOTED.match(line, at)
        end = line.find(separator, quoted.end() if quoted else at)
        fields.append((at, len(line) if end < 0 else end))
        if end < 0:
            return fields
        at = end + 1


def _is_rule(value: str) -> bool:
    return not value.strip(" \t:-\"'")
