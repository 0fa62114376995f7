"""Parsing of a magic's line by its usage text (words, switches, options with a value), with uniform errors.

A usage is the text in help and messages: `%claude_export FILE [CHAT]`, `%claude_history [CHAT] [--full | --json]`.
Capitals are words, or the value of the option before them; words in brackets are optional; text after a comma is not
parsed. The options of `%%claude` are read by `options.parse`, those of `%%claude_map` by `read_map`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import options
from ..errors import UsageError
from ..options import MapOptions, Options

_OPTION = re.compile(r"(--[a-z-]+)(?: ([A-Z]+))?")
_WORD = re.compile(r"\[?\b[A-Z]{2,}\b\]?")


@dataclass(frozen=True)
class Line:
    """A parsed line. `flags` are in the order given; `values` are the values of options by flag."""

    usage: str
    words: tuple[str, ...]
    flags: tuple[str, ...]
    values: dict[str, str]

    def one_of(self, *choices: str) -> str | None:
        """The one of these flags that is given, or None. Raises `UsageError` if there are several."""
        given = [flag for flag in choices if flag in self.flags]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} do not go together.", advice=f"Write {self.usage}.")
        return given[0] if given else None


def read(line: str, usage: str, *, joined: bool = False) -> Line:
    """Parse a line by its usage.

    With `joined`, the words are one name with spaces. Raises `UsageError` for an unknown option, for a missing value or
    word, and for a word too many.
    """
    known, allowed = _grammar(usage)
    words, flags, values = [], [], {}
    rest = iter(options.words(line))
    for word in rest:
        flag, equals, attached = word.partition("=")
        if not word.startswith("--"):
            words.append(word)
            continue
        if flag not in known or (equals and not known[flag]):
            raise refusal(usage, word)
        flags.append(flag)
        if known[flag]:
            values[flag] = attached if equals else next(rest, "")
            if not values[flag]:
                raise UsageError(f"{flag} wants a value: {known[flag]}.", advice=f"Write {usage}.")
    if joined and words:
        words = [" ".join(words)]
    if len(words) > len(allowed):
        raise refusal(usage, words[len(allowed)])
    if len(words) < len(allowed) and allowed[len(words)][0] != "[":
        raise UsageError(f"{_magic(usage)} wants {allowed[len(words)]}.", advice=f"Write {usage}.")
    return Line(usage, tuple(words), tuple(flags), values)


def refusal(usage: str, word: str) -> UsageError:
    """The error for an unknown option of a magic, or for a word too many."""
    _, allowed = _grammar(usage)
    quotes = " A name with spaces goes in quotes." if allowed and not word.startswith("-") else ""
    return UsageError(f"{_magic(usage)} does not take {word}.", advice=f"Write {usage}.{quotes}")


def cut(text: str, *flags: str, leading: bool = False) -> tuple[str | None, str]:
    """The value of an option in a text (None if not given), and the text without the option, stripped.

    With `leading`, the option counts only at the start of the text, so that the text itself may contain its name.
    """
    names = "|".join(flags)
    option = re.compile(rf"""(?:^|\s)(?:{names})(?:\s+|=)("[^"]+"|'[^']+'|\S+)""")
    found = option.match(text) if leading else option.search(text)
    if found is None:
        return None, text.strip()
    rest = text[found.end() :] if leading else option.sub("", text)
    return found[1].strip("\"'"), rest.strip()


def _grammar(usage: str) -> tuple[dict[str, str], list[str]]:
    """The options of a usage, each with the name of its value or an empty text, and its words."""
    usage = usage.partition(",")[0]
    return dict(_OPTION.findall(usage)), _WORD.findall(_OPTION.sub("", usage))


def _magic(usage: str) -> str:
    return usage.split()[0]


MAX_CONCURRENCY = 200
# Options of a cell that a map does not take.
_SINGLE_QUESTION_OPTIONS = (
    *("chat", "compact", "fallback", "once", "count", "show_code", "raw"),
    *("citations", "clear_tools", "strict_tools"),
)
_FLAG = re.compile(r"--?[a-z][\w-]*(=|$)")


def _concurrency(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CONCURRENCY:
        raise ValueError(f"a whole number from 1 to {MAX_CONCURRENCY}")
    return int(text)


def _nulls(text: str) -> bool:
    if text not in ("ask", "skip"):
        raise ValueError("ask or skip")
    return text == "ask"


# flag → (field, parser of its value; None for a switch)
MAP_FLAGS: dict[str, tuple[str, Callable[[str], Any] | None]] = {
    "--concurrency": ("concurrency", _concurrency),
    "--batch": ("batch", None),
    "--background": ("background", None),
    "--fresh": ("fresh", None),
    "--nulls": ("asks_nulls", _nulls),
}
# The actions of `%claude_map` on maps and batches in progress.
MAP_ACTIONS = ("--wait", "--resume", "--status", "--cancel")


def map_flags() -> list[str]:
    """The flags that a map takes."""
    fields = [field for field in options.FIELDS if field.name not in _SINGLE_QUESTION_OPTIONS]
    return [*MAP_FLAGS, *(flag for field in fields for flag in field.metadata["flags"])]


def read_map(line: str, defaults: Options) -> MapOptions:
    """Parse the line of `%%claude_map`. Raises `UsageError` for an unknown option or a wrong value."""
    own: dict[str, Any] = {}
    rest, over = [], []
    words = iter(options.spans(line))
    for word in words:
        flag, equals, attached = word.partition("=")
        if flag in MAP_FLAGS:
            name, parse = MAP_FLAGS[flag]
            own[name] = True if parse is None else _own_value(flag, parse, attached if equals else next(words, ""))
            if parse is None and equals:
                raise UsageError(f"{flag} takes no value.", advice=f"Write just {flag}.")
        elif _FLAG.match(word) and (word.startswith("--") or flag in options.BY_FLAG):
            rest.append(word)
            field = options.BY_FLAG.get(flag)
            if field is not None and field.metadata["metavar"] and not equals:
                rest += [value for value in [next(words, None)] if value is not None]
        else:
            over.append(word)
    parsed, _ = options.parse(" ".join(rest), defaults)
    _check_map(parsed, defaults)
    return MapOptions(" ".join(over), parsed, **own)


def _own_value(flag: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        wanted = str(error)
    raise UsageError(f"{flag} wants {wanted}, not {text!r}.")


def _check_map(parsed: Options, defaults: Options) -> None:
    """Raise `UsageError` for an option that a map does not take: only one that differs from its default was given."""
    for field in dataclasses.fields(parsed):
        given = getattr(parsed, field.name) != getattr(defaults, field.name)
        if given and field.name in _SINGLE_QUESTION_OPTIONS:
            flag = field.metadata["flags"][0]
            raise UsageError(f"%%claude_map does not take {flag}.", advice="It is for one question, not for many rows.")
    if "," in parsed.model:
        raise UsageError("%%claude_map asks one model, not several.", advice="Name one after --model.")
