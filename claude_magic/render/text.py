"""Text that is safe to print, and short forms of a turn that several outputs share."""

from __future__ import annotations

import re
from typing import Any

from ..content.text import join_line, short_line, whole_text
from ..conversation.turns import Turn

Bundle = dict[str, Any]
PROMPT_EXCERPT_CHARACTERS = 60
# `tex2jax_ignore`: JupyterLab takes two dollar signs in HTML for a formula (RENDERING.md §3).
BOX = '<div class="claude-magic tex2jax_ignore mathjax_ignore" style="font-size: 0.9em; line-height: 1.5">'


# Control characters, and those that change the direction of the text around them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def printable(text: str) -> str:
    """Text without control characters, and without those that change the direction of the text around them."""
    return _UNPRINTABLE.sub("", whole_text(text).replace("\r\n", "\n"))


def printable_line(text: str) -> str:
    """Printable text on one line."""
    return join_line(printable(text))


def cell_number(turn: Turn) -> str:
    """The number in the cell's `In [ ]`, as `[3]`; empty if not known."""
    return "" if turn.execution_count is None else f"[{turn.execution_count}]"


def excerpt(turn: Turn) -> str:
    """The start of a turn's prompt on one line."""
    words = " ".join(block["text"] if block["type"] == "text" else f"[{block['type']}]" for block in turn.prompt)
    return short_line(words, PROMPT_EXCERPT_CHARACTERS)
