"""Completion with <TAB> in `%claude` lines and `%%claude` cells: options, their values, and Python in `{{…}}`.

There is no completion in prose: the word itself is offered, alone, since IPython would ask its other matchers if this
one offered nothing, and they would offer Python names in the middle of a sentence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.completer import SimpleCompletion

from .. import models, options
from ..content.text import short

if TYPE_CHECKING:
    from dataclasses import Field

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

MAX_FILES = 200
# `%claude_fix` has the same options and two more; `%%claude_map` has some of its own, and an expression before them.
_LINE = re.compile(r"\s*(%%?)claude(_fix|_map)?[ \t]+")
_FIX_FLAGS = ("--cell", "--diff")
_FIX_CELL = re.compile(r"--cell(?:\s+|=)\S+\s+")
_WORD = re.compile(r"""(?:"[^"]*"?|'[^']*'?|\{\{.*?(?:\}\}|$)|[^\s"'])+""")
_NAME = re.compile(r"[^\W\d][\w.]*$|$")


def match(
    context: CompletionContext, shell: InteractiveShell, chats: Callable[[], Sequence[str]]
) -> SimpleMatcherResult:
    """The completions at the cursor; none in a cell without these magics. `chats` lists the names of chats."""
    lines = context.full_text.split("\n")
    before = lines[context.cursor_line][: len(context.text_until_cursor)] if context.cursor_line < len(lines) else ""
    opening = _LINE.match(before)
    if opening is not None and (opening[1] == "%" or context.cursor_line == 0):
        text = before[opening.end() :]
        if opening[2] == "_map":
            return _complete_map_line(text, opening[1], shell, chats)
        if opening[2] == "_fix":
            return _complete_line(_FIX_CELL.sub("", text), shell, chats, _FIX_FLAGS)
        return _complete_line(text, shell, chats)
    if context.cursor_line and re.match(r"%%claude(_map)?(\s|$)", context.full_text.lstrip()):
        return _complete_text(before, shell)
    return {"completions": []}


def _complete_line(
    text: str, shell: InteractiveShell, chats: Callable[[], Sequence[str]], own: Sequence[str] = ()
) -> SimpleMatcherResult:
    """Completions of options, the magic's `own` first, and of their values; behind them those of a prompt."""
    words, fragment = _split_words(text)
    awaited, others = _awaited_option(words)
    if others:
        return _complete_text(text, shell)
    flags = [*own, *(flag for field in options.FIELDS for flag in field.metadata["flags"])]
    return _complete_option(text, fragment, awaited, flags, shell, chats)


def _complete_map_line(
    text: str, percent: str, shell: InteractiveShell, chats: Callable[[], Sequence[str]]
) -> SimpleMatcherResult:
    """Completions of options and their values, and of the Python expression to map over."""
    from . import line

    words, fragment = _split_words(text)
    if percent == "%":
        return _offer(fragment, () if words else line.MAP_ACTIONS)
    awaited, _ = _awaited_option(words)
    if awaited is None and not fragment.startswith("-"):
        return _complete_python(text, shell)
    return _complete_option(text, fragment, awaited, line.map_flags(), shell, chats)


def _split_words(text: str) -> tuple[list[str], str]:
    """The complete words before the cursor, and the fragment of a word at the cursor."""
    words = _WORD.findall(text)
    fragment = words.pop() if text[-1:].strip() and words else ""
    return words, fragment


def _awaited_option(words: Sequence[str]) -> tuple[Field[Any] | None, bool]:
    """The option whose value comes next, or None; and whether there are words that belong to no option."""
    awaited, others = None, False
    for word in words:
        if awaited is not None:
            awaited = None
        elif word.startswith("-") and "=" not in word:
            field = options.BY_FLAG.get(word)
            awaited = field if field is not None and field.metadata["metavar"] else None
        elif not word.startswith("-"):
            others = True
    return awaited, others


def _complete_option(
    text: str,
    fragment: str,
    awaited: Field[Any] | None,
    flags: Sequence[str],
    shell: InteractiveShell,
    chats: Callable[[], Sequence[str]],
) -> SimpleMatcherResult:
    """Completions of an option, or of the value of the option before (`awaited`)."""
    if awaited is None and fragment.startswith("-") and "=" in fragment:
        flag, _, fragment = fragment.partition("=")
        awaited = options.BY_FLAG.get(flag)
    if awaited is None:
        fitting = flags if fragment.startswith("-") else [each for each in flags if each.startswith("--")]
        return _offer(fragment, fitting if fragment[:1] in ("", "-") else [])
    if "{{" in fragment:
        return _complete_text(text, shell)
    if awaited.metadata["commas"]:
        fragment = fragment.rpartition(",")[2]
    return _offer(fragment, _choices(awaited.metadata["choices"], fragment, shell, chats))


def _choices(
    choices: Sequence[str] | str, fragment: str, shell: InteractiveShell, chats: Callable[[], Sequence[str]]
) -> Sequence[str]:
    """The values of an option: a fixed list, or those from the sources that it names, such as `files`."""
    if not isinstance(choices, str):
        return choices
    sources: Mapping[str, Callable[[], Sequence[str]]] = {
        "chats": chats,
        "files": lambda: _files(fragment),
        "functions": lambda: _variables(shell, lambda value: callable(value) and not isinstance(value, type)),
        "schemas": lambda: _variables(shell, lambda value: isinstance(value, type | dict) or _is_typed_dict(value)),
        "tools": lambda: options.BUILT_IN_TOOLS,
        "variables": lambda: _variables(shell, lambda value: True),
    }
    return [choice for source in choices.split() for choice in sources[source]()]


def _complete_text(text: str, shell: InteractiveShell) -> SimpleMatcherResult:
    """Completions of Python inside `{{…}}`; in prose only the word itself."""
    if text.rfind("{{") <= text.rfind("}}"):
        return _offer(text.split()[-1] if text[-1:].strip() else "", [])
    return _complete_python(text, shell)


def _complete_python(text: str, shell: InteractiveShell) -> SimpleMatcherResult:
    """Completions of the name or attribute at the end of an expression."""
    found = _NAME.search(text)
    fragment = found[0] if found else ""
    if shell.Completer is None:
        return _offer(fragment, [])
    complete: Any = shell.Completer.attr_matches if "." in fragment else shell.Completer.global_matches
    return _offer(fragment, sorted(name for name in complete(fragment) if not name.rpartition(".")[2].startswith("_")))


def _variables(shell: InteractiveShell, fits: Callable[[Any], bool]) -> list[str]:
    """The names of the reader's own variables with a fitting value."""
    own = {name: value for name, value in shell.user_ns.items() if name not in shell.user_ns_hidden and name[:1] != "_"}
    return sorted(name for name, value in own.items() if fits(value))


def _is_typed_dict(value: Any) -> bool:
    return hasattr(type(value), "__total__") or type(value).__name__ == "_TypedDictMeta"


def _files(fragment: str) -> list[str]:
    """The paths that begin with a fragment; folders end in `/`, paths with a space are in quotes."""
    typed = fragment.lstrip("\"'")
    quote = fragment[: len(fragment) - len(typed)]
    folder, name = os.path.split(typed)
    try:
        with os.scandir(os.path.expanduser(folder) or ".") as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if _is_offered(entry.name, name))
    except (OSError, ValueError):
        return []
    paths = [os.path.join(folder, each) + "/" * is_folder for each, is_folder in found[:MAX_FILES]]
    return [f"{quote or chr(34)}{path}{quote or chr(34)}" if quote or " " in path else path for path in paths]


def _is_offered(name: str, typed: str) -> bool:
    return name.startswith(typed) and (typed[:1] == "." or name[:1] != ".")


def _offer(fragment: str, choices: Sequence[str]) -> SimpleMatcherResult:
    fitting = [choice for choice in choices if choice.startswith((fragment, f'"{fragment}'))]
    return {
        "completions": [SimpleCompletion(text=text, type=_meaning(text)) for text in fitting or [fragment]],
        "matched_fragment": fragment,
        "suppress": True,
        "ordered": True,
    }


MAX_MEANING = 60  # characters
_UNBROKEN = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})


def _meaning(text: str) -> str:
    """What an option means, in a few words, or which model a name stands for: Jupyter shows it beside the completion,
    as its type, and only up to where its line would break."""
    field = options.BY_FLAG.get(text)
    meaning = f"newest {text}" if text in models.LINES else _OF_MAPS.get(text, "claude")
    said = short(str(field.metadata["help"]) if field else meaning, MAX_MEANING)
    return said.translate(_UNBROKEN)


_OF_MAPS = {
    "--concurrency": "rows asked at the same time, at most",
    "--fresh": "ask every row, also those answered before",
    "--nulls": "ask: rows with missing values too",
    "--batch": "Message Batches: half the price, within 24 hours",
    "--background": "let other cells run meanwhile",
    "--resume": "collect the batches of this notebook",
    "--status": "the state of batches and of maps in the background",
    "--cancel": "cancel them; finished rows are kept",
    "--wait": "wait for the maps in the background",
}
