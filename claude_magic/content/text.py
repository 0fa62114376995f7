"""Short forms of text that many modules need: plurals, one line, a bounded length, text that can be encoded."""

from __future__ import annotations

from ..conversation.accumulator import whole_text

__all__ = ["join_line", "plural", "short", "short_line", "whole_text"]


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 row`, `2,000 rows`. `many` is the plural where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def join_line(text: str) -> str:
    """A text on one line: runs of white space become one space."""
    return " ".join(text.split())


def short(text: str, limit: int) -> str:
    """A text of at most `limit` characters; a cut one ends in `…`."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short_line(text: str, limit: int) -> str:
    """A text on one line of at most `limit` characters."""
    return short(join_line(text), limit)
