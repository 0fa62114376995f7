"""Ask the reader whether a tool may run: by buttons in the panel, or by `input()`.

What is shown is what runs: the arguments whole, each character that a reader would not see as its number.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...content.text import plural
from ...tools.approval import Answer
from ..markup import gate
from ..text import MARK, visible
from ..tool_calls import arguments_text
from .panel import Choice, Panel

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Arguments of more lines or characters do not fit into the box, and their size is said.
BOX_LINES = 12
BOX_CHARACTERS = 1_000
CHOICES = (
    Choice("Run", Answer.RUN, "Run this call", style="primary"),
    Choice("Refuse", Answer.REFUSE, "Do not run this call; Claude is told"),
    Choice(
        "Run all of this reply",
        Answer.RUN_ALL,
        "Run this call and all later ones of this reply, without asking; later cells ask again",
    ),
)
_TYPED = {"y": Answer.RUN, "yes": Answer.RUN, "a": Answer.RUN_ALL, "all": Answer.RUN_ALL}
_BOX = (
    "white-space: pre-wrap; overflow-wrap: anywhere; max-height: 20em; overflow: auto; "
    "padding: 0.4em 0.6em; border: 1px solid var(--jp-border-color2, #bdbdbd)"
)
# Letters that are written from the right: Hebrew, Arabic and those beside them.
_FROM_RIGHT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]+"
    "(?: +[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]+)*"
)


def question(name: str) -> str:
    """The question about a call."""
    return f"May {visible(name)} run?"


def by_buttons(panel: Panel, name: str, given: Mapping[str, Any]) -> Answer:
    """Ask with buttons. An Interrupt raises `KeyboardInterrupt`."""
    answer: Answer = panel.ask(question_html(name, given), CHOICES)
    return answer


def by_input(name: str, given: Mapping[str, Any]) -> Answer | None:
    """Ask by `input()`; None if nobody can answer."""
    print(f"\nClaude calls {visible(name)} with\n{arguments_text(given)}\na: this and all later calls of this reply")
    try:
        typed = input(f"{question(name)} [y/N/a] ")
    except (EOFError, NotImplementedError):
        return None
    except Exception as error:  # ipykernel raises its own StdinNotImplementedError
        if type(error).__name__ != "StdinNotImplementedError":
            raise
        return None
    return _TYPED.get(typed.strip().lower(), Answer.REFUSE)


def can_input(shell: InteractiveShell | None) -> bool:
    """Whether `input()` reaches a person, by a kernel's frontend or at a terminal."""
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return sys.stdin is not None and sys.stdin.isatty()


def question_html(name: str, given: Mapping[str, Any]) -> str:
    """The question and the arguments as inert HTML, the arguments in a box that scrolls."""
    text = arguments_text(given)
    title = f"<strong>Claude waits for you. {html.escape(question(name))}</strong>"
    notes = f"<small>{'; '.join(_notes(text))}</small>"
    return (
        f'<div class="{gate.NO_FORMULAS}" style="line-height: 1.4">'
        f'<div role="alert">{title} {notes}</div><pre dir="ltr" tabindex="0" style="{_BOX}">{_marked(text)}</pre></div>'
    )


def _notes(text: str) -> list[str]:
    """What to know of the arguments in the box: how many characters of them are not seen, and how long they are."""
    unseen, lines = len(MARK.findall(text)), text.count("\n") + 1
    notes = [f"{plural(unseen, 'character')} without a glyph, as ⟨U+number⟩"] if unseen else []
    if lines > BOX_LINES or len(text) > BOX_CHARACTERS:
        notes.append(f"{plural(lines, 'line')}, {len(text):,} characters: scroll to see all")
    return notes


def _marked(text: str) -> str:
    """Visible text as HTML: marks stand out, and words that are written from the right change the order of nothing
    around them."""
    ordered = _FROM_RIGHT.sub(lambda found: f"<bdi>{found[0]}</bdi>", html.escape(text))
    return MARK.sub(lambda found: f"<mark>{found[0]}</mark>", ordered)
