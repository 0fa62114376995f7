"""Find the values of secret columns in text tables: CSV and similar, Markdown, printed frames and frame summaries.

`is_secret` tells from a column's name whether its values are secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

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
_STATISTICS = re.compile(r"(?m)^[ \t]{0,20}([^|\n]{1,60}) \| [^|\n]{1,80} \| [\d,?]{1,20} \| ([^\n]{1,2000})$")


def secrets_below(text: str, is_secret: Callable[[str], bool]) -> Iterator[Span]:
    """The spans of the values of secret columns."""
    for found in _STATISTICS.finditer(text):
        if is_secret(found[1]):
            yield found.span(2)
    yield from _rows(text, is_secret)
    yield from _printed(text, is_secret)


def _printed(text: str, is_secret: Callable[[str], bool]) -> Iterator[Span]:
    """The spans in a frame that pandas printed: values end in the same column of text as their header."""
    ends: list[int] = []
    secret: list[int] = []
    for at, line in _lines(text):
        if secret and _ends_at(line, ends):
            for number in secret:
                start, end = ends[number - 1] if number else line.find(" "), ends[number]
                if value := line[start:end].strip():
                    yield at + end - len(value), at + end
            continue
        if line.startswith(" "):
            words = list(_WORD.finditer(line))
            ends = [word.end() for word in words]
            secret = [number for number, word in enumerate(words) if is_secret(word[0])]
        elif secret and not _is_index_name(line):
            secret = []


def _ends_at(line: str, ends: Sequence[int]) -> bool:
    """Whether a value ends at each of these positions, the last one at the end of the line."""
    return len(line) == ends[-1] and all(line[end - 1] != " " and line[end : end + 1] in ("", " ") for end in ends)


def _is_index_name(line: str) -> bool:
    return line.rstrip() != line and bool(line.strip())


def _rows(text: str, is_secret: Callable[[str], bool]) -> Iterator[Span]:
    separator, count, secret = "", 0, set[int]()
    before: Span | None = None
    for at, line in _lines(text):
        fields = _fields(line, separator) if secret else []
        if secret and len(fields) == count:
            for number in secret:
                start, end = fields[number]
                value = line[start:end]
                if not _is_rule(value):
                    lead = len(value) - len(value.lstrip(" \t\"'"))
                    yield at + start + lead, at + start + max(lead, len(value.rstrip(" \t\"'")))
        else:
            header = before if before is not None and _RULE.fullmatch(line) else (at, at + len(line))
            separator, count, secret = _header(text[slice(*header)], is_secret, after_rule=header is before)
        before = (at, at + len(line))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.splitlines(keepends=True):
        if len(line) <= MAX_LINE_CHARACTERS:
            yield at, line.rstrip("\r\n")
        at += len(line)


def _header(line: str, is_secret: Callable[[str], bool], *, after_rule: bool) -> tuple[str, int, set[int]]:
    """The separator of a header line, its number of columns, and the indexes of the secret ones; empty if none is."""
    for separator in ("|",) if after_rule else (",", ";", "\t"):
        if separator in line and _HEADER[separator].fullmatch(line):
            fields = _fields(line, separator)
            names = [line[start:end].strip(" \t\"'") for start, end in fields]
            secret = {number for number, name in enumerate(names) if is_secret(name)}
            if secret:
                return separator, len(fields), secret
    return "", 0, set()


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
