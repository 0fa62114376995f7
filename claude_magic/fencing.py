"""Text in fences that it cannot close."""

from __future__ import annotations

import re

from .parts import Part, Text


def fence(text: str, language: str = "", *, is_code: bool = False) -> list[Part]:
    """A text as a fenced block on lines of its own."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    body = Text(text, own_lines=True, is_code=is_code)
    return [Text(f"{ticks}{language}", own_lines=True), *([body] if text else []), Text(ticks, own_lines=True)]
