"""JSON data → Python source: exact and readable literals, nothing that runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LINE_CHARACTERS = 100
MAX_ESCAPED_LINE_CHARACTERS = 40  # a text of at most this length has its line breaks as \n
_INDENT = 4
_SPECIAL = re.compile(r"\\|[^\x20-\x7e]")
_LETTERS = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Expression:
    """Trusted Python source to insert into the data unchanged."""

    source: str


def literal(value: Any, indent: int = 0, before: int = 0, *, breaking: bool = True) -> str:
    """A value as Python source, over several lines if it is too long for one.

    `indent` is the indentation of its line, `before` the length of what is on it already, both in characters;
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
    """Text for a triple-quoted string, with unprintable characters and trailing spaces escaped."""
    shown = _SPECIAL.sub(lambda match: match[0] if match[0] == "\n" else _escape(match), text)
    quoted = re.sub(r'"(?="|\Z)', r"\"", shown)
    return re.sub(r" (?=\n|\Z)", r"\\x20", quoted)


def _rows(opening: str, rows: list[tuple[str, Any]], closing: str, indent: int, before: int) -> str:
    """A list or dict with a line for each item; if only its last item is a long text, that starts on the first line."""
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
    """Whether a value contains a text of several lines that is long enough for triple quotes."""
    if isinstance(value, str):
        return "\n" in value and len(value) > MAX_ESCAPED_LINE_CHARACTERS
    if isinstance(value, Mapping):
        return any(map(_is_long_text, value.values()))
    return isinstance(value, list | tuple) and any(map(_is_long_text, value))


def _ends_in_lines(value: Any) -> bool:
    """Whether a value is a long text of several lines, or ends with the only one in it."""
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
    """A long line as several adjacent string literals, split after white space."""
    width = max(40, LINE_CHARACTERS - indent - 2 * _INDENT)
    pieces = re.findall(rf"(?s).{{0,{width - 1}}}(?:\s|\Z)|.{{1,{width}}}", text)
    lines = [f"{' ' * (indent + _INDENT)}{_quoted(piece)}\n" for piece in pieces if piece]
    return f"(\n{''.join(lines)}{' ' * indent})" if len(lines) > 1 else _quoted(text)


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    return _LETTERS.get(character) or (character if character.isprintable() else repr(character)[1:-1])
