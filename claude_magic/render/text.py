"""Text that is safe to print, and short forms of a turn that several outputs share."""

from __future__ import annotations

import re
import unicodedata
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


# Unicode's categories of characters that are not seen: controls, formats, surrogates, characters without a glyph, and
# separators; and marks that enclose the character before them.
_UNSEEN_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Me")
# Letters, marks and a symbol that are not seen either: of the property Default_Ignorable_Code_Point
# (unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt), and the blank pattern of Braille.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
MARK = re.compile("⟨U\\+[0-9A-F]{4,6}⟩")


def visible(text: str) -> str:
    """Text in which each character that a reader would not see stands as its number, such as `⟨U+202E⟩`.

    No two texts look alike in this form, but for letters that resemble each other. Spaces, tabs and newlines stay.
    """
    distinct = text.replace("⟨U+", "⟨U+27E8⟩U+")
    return distinct.translate({ord(each): f"⟨U+{ord(each):04X}⟩" for each in set(distinct) if _is_unseen(each)})


def _is_unseen(character: str) -> bool:
    if character in " \n\t":
        return False
    return unicodedata.category(character) in _UNSEEN_CATEGORIES or bool(_UNSEEN.match(character))


def printable_line(text: str) -> str:
    """Printable text on one line."""
    return join_line(printable(text))


def cell_number(turn: Turn) -> str:
    """The number in the cell's `In [ ]`, as `[3]`; empty if not known."""
    return "" if turn.execution_count is None else f"[{turn.execution_count}]"


def excerpt(turn: Turn) -> str:
    """The start of a turn's prompt on one line: as it was typed, where that is known."""
    words = " ".join(block["text"] if block["type"] == "text" else f"[{block['type']}]" for block in turn.prompt)
    return short_line(turn.asked or words, PROMPT_EXCERPT_CHARACTERS)
