"""Text helpers that many modules need: plurals, one line, bounds, code blocks, lengths in bytes, control characters."""

from __future__ import annotations

import re

from ..conversation.received import whole_text

__all__ = [
    "byte_length",
    "fence_of",
    "fenced",
    "join_line",
    "plural",
    "short",
    "short_line",
    "shortened_note",
    "truncated",
    "whole_text",
    "without_controls",
]

# ECMA-48: control sequences (colours, cursor), strings (titles, links), and escapes of two characters. The final
# character may be missing, where a text was cut.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]{0,100}[ -/]{0,20}[@-~]?|\x1b[\]PX^_][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)?|\x1b[ -/]{0,20}[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun: `1 row`, `2,000 rows`. `many` is the plural where it is not `one` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def join_line(text: str) -> str:
    """A text on one line: each run of white space becomes one space."""
    return " ".join(text.split())


def short(text: str, limit: int) -> str:
    """A text cut to at most `limit` characters; a cut one ends in `…`."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def short_line(text: str, limit: int) -> str:
    """A text on one line, cut to at most `limit` characters."""
    return short(join_line(text), limit)


# How each note begins of what was cut, right behind what is kept.
CUT_NOTE = "… [shortened: "


def shortened_note(kept: int, length: int) -> str:
    """The note at a cut, with the kept and the whole length in characters."""
    return f"{CUT_NOTE}{kept:,} of {length:,} characters]"


def truncated(text: str, limit: int) -> str:
    """A text cut to at most `limit` characters, followed by a note of its whole length if it is cut."""
    return text if len(text) <= limit else f"{text[:limit]}\n{shortened_note(limit, len(text))}"


def fence_of(text: str) -> str:
    """The line that opens and closes a Markdown code block: longer than any run of backticks in the text."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))


def fenced(text: str, language: str) -> str:
    """A text as a Markdown code block."""
    ticks = fence_of(text)
    return f"{ticks}{language}\n{text}\n{ticks}"


def byte_length(text: str) -> int:
    """The length of a text in bytes of UTF-8; a lone surrogate counts three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def without_controls(text: str) -> str:
    """A text without the escapes and control characters of a terminal; line breaks and tabs stay."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))
