"""What <TAB> offers in a `%claude` line or a `%%claude` cell: options, their values, and values in `{{…}}`.

Prose gets nothing. IPython passes over a matcher that offers nothing and asks the next, which would
offer Python names in the middle of a sentence; so in prose the word itself is offered, alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion

from . import options

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

_LINE = re.compile(r"\s*(%%?)claude[ \t]+")
_NAME = re.compile(r"[^\W\d][\w.]*$|$")


def match(asked: CompletionContext, shell: InteractiveShell, chats: Callable[[], Sequence[str]]) -> SimpleMatcherResult:
    """What to offer at the cursor; nothing at all where the cell is none of ours."""
    lines = asked.full_text.split("\n")
    before = lines[asked.cursor_line][: len(asked.text_until_cursor)] if asked.cursor_line < len(lines) else ""
    opening = _LINE.match(before)
    if opening is not None and (opening[1] == "%" or asked.cursor_line == 0):
        return _on_the_line(before[opening.end() :], shell, chats)
    if asked.cursor_line and re.match(r"%%claude(\s|$)", asked.full_text.lstrip()):
        return _in_text(before, shell)
    return {"completions": []}


def _on_the_line(text: str, shell: InteractiveShell, chats: Callable[[], Sequence[str]]) -> SimpleMatcherResult:
    """Options, then their values; behind them is prose."""
    *words, fragment = re.split(r"\s+", text)
    awaited = None
    for word in words:
        if awaited is not None:
            awaited = None
        elif word.startswith("-") and "=" not in word:
            awaited = options.BY_FLAG.get(word)
            awaited = awaited if awaited is not None and awaited.metadata["metavar"] else None
        elif word:
            return _in_text(text, shell)
    if awaited is None and fragment.startswith("-") and "=" in fragment:
        flag, _, fragment = fragment.partition("=")
        awaited = options.BY_FLAG.get(flag)
    if awaited is None:
        flags = [flag for field in options.FIELDS for flag in field.metadata["flags"]]
        return _offer(fragment, flags if fragment.startswith("-") else [])
    choices = awaited.metadata["choices"]
    if choices == "chats":
        choices = chats()
    elif choices == "variables":
        choices = _variables(shell)
    return _offer(fragment, choices)


def _in_text(text: str, shell: InteractiveShell) -> SimpleMatcherResult:
    """Python inside of `{{…}}`, nothing in prose."""
    if text.rfind("{{") <= text.rfind("}}") or shell.Completer is None:
        return _offer(text.split()[-1] if text[-1:].strip() else "", [])
    found = _NAME.search(text)
    fragment = found[0] if found else ""
    complete: Any = shell.Completer.attr_matches if "." in fragment else shell.Completer.global_matches
    return _offer(fragment, sorted(name for name in complete(fragment) if not name.rpartition(".")[2].startswith("_")))


def _variables(shell: InteractiveShell) -> list[str]:
    own = set(shell.user_ns) - set(shell.user_ns_hidden)
    return sorted(name for name in own if not name.startswith("_"))


def _offer(fragment: str, choices: Sequence[str]) -> SimpleMatcherResult:
    fitting = [choice for choice in choices if choice.startswith(fragment)]
    return {
        "completions": [SimpleCompletion(text=text, type="claude") for text in fitting or [fragment]],
        "matched_fragment": fragment,
        "suppress": True,
        "ordered": True,
    }
