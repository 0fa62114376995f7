"""Read the line of a magic by its usage: words, switches, options with a value; one wording for what does not fit.

A usage is what help and messages show: `%claude_export FILE [CHAT]`, `%claude_history [CHAT] [--full | --json]`.
Capitals are words, or values of the option before them; words in brackets may be left out; what follows a comma is for
the reader only. The options of `%%claude` are read by `options.parse`; `read_map` reads those of `%%claude_map`.
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
    """What a line holds. `flags` are in the order given; `values` has those that take a value."""

    usage: str
    words: tuple[str, ...]
    flags: tuple[str, ...]
    values: dict[str, str]

    def one_of(self, *choices: str) -> str | None:
        """The one of these flags that is given, or `None`. Raises `UsageError` where there are several."""
        given = [flag for flag in choices if flag in self.flags]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} do not go together.", advice=f"Write {self.usage}.")
        return given[0] if given else None


def read(line: str, usage: str, *, joined: bool = False) -> Line:
    """Take a line apart by its usage.

    `joined`: the words are one name, with spaces in it. Raises `UsageError` for an option that is not known, for a
    value or a word that is missing, and for a word too many.
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
    """The error for an option that a magic does not have, or for a word too many."""
    _, allowed = _grammar(usage)
    quotes = " A name with spaces goes in quotes." if allowed and not word.startswith("-") else ""
    return UsageError(f"{_magic(usage)} does not take {word}.", advice=f"Write {usage}.{quotes}")


def cut(text: str, *flags: str, leading: bool = False) -> tuple[str | None, str]:
    """The value of an option in a text, and the text without it, byte for byte but for white space around it.

    `leading`: only where the text opens with the option, so that the same words may stand in the text.
    """
    names = "|".join(flags)
    option = re.compile(rf"""(?:^|\s)(?:{names})(?:\s+|=)("[^"]+"|'[^']+'|\S+)""")
    found = option.match(text) if leading else option.search(text)
    if found is None:
        return None, text.strip()
    rest = text[found.end() :] if leading else option.sub("", text)
    return found[1].strip("\"'"), rest.strip()


def _grammar(usage: str) -> tuple[dict[str, str], list[str]]:
    """The options, each with the name of its value or nothing, and the words."""
    usage = usage.partition(",")[0]
    return dict(_OPTION.findall(usage)), _WORD.findall(_OPTION.sub("", usage))


def _magic(usage: str) -> str:
    return usage.split()[0]


MAX_CONCURRENCY = 200
# Options of a cell that mean nothing for many rows.
_OF_ONE = (
    *("chat", "compact", "fallback", "once", "count", "show_code", "raw"),
    *("image", "file", "by_url", "citations", "clear_tools"),
)
_FLAG = re.compile(r"--?[a-z][\w-]*(=|$)")


def _concurrency(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CONCURRENCY:
        raise ValueError(f"a whole number from 1 to {MAX_CONCURRENCY}")
    return int(text)


# flag → (name, what reads its value; `None` for a switch)
MAP_FLAGS: dict[str, tuple[str, Callable[[str], Any] | None]] = {
    "--concurrency": ("concurrency", _concurrency),
    "--batch": ("batch", None),
    "--background": ("background", None),
    "--fresh": ("fresh", None),
}
# What `%claude_map` does with what is under way.
MAP_ACTIONS = ("--wait", "--resume", "--status", "--cancel")


def map_flags() -> list[str]:
    """The options that a map takes."""
    fields = [field for field in options.FIELDS if field.name not in _OF_ONE]
    return [*MAP_FLAGS, *(flag for field in fields for flag in field.metadata["flags"])]


def read_map(line: str, defaults: Options) -> MapOptions:
    """Take a line apart. Raises `UsageError` for what does not fit."""
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
    _check_map(parsed)
    return MapOptions(" ".join(over), parsed, **own)


def _own_value(flag: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        wanted = str(error)
    raise UsageError(f"{flag} wants {wanted}, not {text!r}.")


def _check_map(asked: Options) -> None:
    """Refuse what a map does not take: only what differs from its default was asked for."""
    plain = Options()
    for field in dataclasses.fields(asked):
        given = getattr(asked, field.name) != getattr(plain, field.name)
        if given and field.name in _OF_ONE and not field.metadata["setting"]:
            flag = field.metadata["flags"][0]
            raise UsageError(f"%%claude_map does not take {flag}.", advice="It is for one question, not for many rows.")
    if "," in asked.model:
        raise UsageError("%%claude_map asks one model, not several.", advice="Name one after --model.")
