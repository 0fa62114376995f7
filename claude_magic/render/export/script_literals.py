"""JSON data as Python source: exact, readable, and nothing but data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LINE_CHARACTERS = 100
MAX_ESCAPED_LINE_CHARACTERS = 40  # a text so short keeps its line breaks as \n
_INDENT = 4
_SPECIAL = re.compile(r"\\|[^\x20-\x7e]")
_LETTERS = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Expression:
    """Source of our own, to stand in the data as it is."""

    source: str


def literal(value: Any, indent: int = 0, before: int = 0, *, breaking: bool = True) -> str:
    """A value as Python source, over several lines where it would be too long for one.

    `indent` is where its line begins, `before` what stands on it already, both in characters;
    `breaking=False` keeps it on one line.
    """
    flat = _flat(value)
    is_short = len(flat) + indent + before <= LINE_CHARACTERS and not _is_long_text(value)
    if is_short or not breaking or isinstance(value, Expression):
        return flat
    if isinstance(value, str):
        return _triple(value) if "\n" in value else _pieces(value, indent)
    if isinstance(value, Mapping) and value:
        return _rows("{", [(f"{_quoted(str(name))}: ", item) for name, item in value.items()], "}", indent, before)
    if isinstance(value, list | tuple) and value:
        return _rows("[", [("", item) for item in value], "]", indent, before)
    return flat


def escaped(text: str) -> str:
    """Text as it stands between triple quotes, letter for letter, with nothing that cannot be seen."""
    shown = _SPECIAL.sub(lambda match: match[0] if match[0] == "\n" else _escape(match), text)
    quoted = re.sub(r'"(?="|\Z)', r"\"", shown)
    return re.sub(r" (?=\n|\Z)", r"\\x20", quoted)


def _rows(opening: str, rows: list[tuple[str, Any]], closing: str, indent: int, before: int) -> str:
    """A row an item; a text of many lines that comes last stands on the line of what is before it."""
    name, last = rows[-1]
    opened = opening + "".join(f"{each}{_flat(item)}, " for each, item in rows[:-1]) + name
    if not any(_is_long_text(item) for _, item in rows[:-1]) and _ends_in_lines(last):
        used = before + len(opened)
        if indent + used + len(name) < LINE_CHARACTERS // 2:
            return opened + literal(last, indent, used) + closing
    inner = indent + _INDENT
    lines = [f"{' ' * inner}{name}{literal(item, inner, len(name) + 1)},\n" for name, item in rows]
    return f"{opening}\n{''.join(lines)}{' ' * indent}{closing}"


def _is_long_text(value: Any) -> bool:
    """Whether the value holds a text whose lines ask to be seen as lines."""
    if isinstance(value, str):
        return "\n" in value and len(value) > MAX_ESCAPED_LINE_CHARACTERS
    if isinstance(value, Mapping):
        return any(map(_is_long_text, value.values()))
    return isinstance(value, list | tuple) and any(map(_is_long_text, value))


def _ends_in_lines(value: Any) -> bool:
    """Whether a value is a text of many lines, or has nothing behind one."""
    if isinstance(value, str):
        return _is_long_text(value)
    items = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else []
    return bool(items) and not any(map(_is_long_text, items[:-1])) and _ends_in_lines(items[-1])


def _flat(value: Any) -> str:
    if isinstance(value, Expression):
        return value.source
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_quoted(str(name))}: {_flat(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flat, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10_000:
        return f"{value:_}"
    return repr(value)


def _quoted(text: str) -> str:
    return '"' + _SPECIAL.sub(_escape, text).replace('"', '\\"') + '"'


def _triple(text: str) -> str:
    return f'"""\\\n{escaped(text)}"""'


def _pieces(text: str, indent: int) -> str:
    """A long line in pieces, broken behind white space."""
    width = max(40, LINE_CHARACTERS - indent - 2 * _INDENT)
    pieces = re.findall(rf"(?s).{{0,{width - 1}}}(?:\s|\Z)|.{{1,{width}}}", text)
    lines = [f"{' ' * (indent + _INDENT)}{_quoted(piece)}\n" for piece in pieces if piece]
    return f"(\n{''.join(lines)}{' ' * indent})" if len(lines) > 1 else _quoted(text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _LETTERS.get(character) or (character if character.isprintable() else repr(character)[1:-1])
