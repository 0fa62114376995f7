"""The line of `%%claude_map`: what to map over, what is a map's own, and the options that a cell takes, too."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

from .. import options
from ..errors import UsageError
from ..options import MapOptions, Options

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
OWN: dict[str, tuple[str, Callable[[str], Any] | None]] = {
    "--concurrency": ("concurrency", _concurrency),
    "--batch": ("batch", None),
    "--background": ("background", None),
    "--fresh": ("fresh", None),
}
# What `%claude_map` does with what is under way.
LOOKING = ("--wait", "--resume", "--status", "--cancel")


def flags() -> list[str]:
    """The options that a map takes."""
    fields = [field for field in options.FIELDS if field.name not in _OF_ONE]
    return [*OWN, *(flag for field in fields for flag in field.metadata["flags"])]


def read(line: str, defaults: Options) -> MapOptions:
    """Take a line apart. Raises `UsageError` for what does not fit."""
    own: dict[str, Any] = {}
    rest, over = [], []
    words = iter(options.spans(line))
    for word in words:
        flag, equals, attached = word.partition("=")
        if flag in OWN:
            name, parse = OWN[flag]
            own[name] = True if parse is None else _value(flag, parse, attached if equals else next(words, ""))
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
    _check(parsed)
    return MapOptions(" ".join(over), parsed, **own)


def _value(flag: str, parse: Callable[[str], Any], text: str) -> Any:
    try:
        return parse(text)
    except ValueError as error:
        wanted = str(error)
    raise UsageError(f"{flag} wants {wanted}, not {text!r}.")


def _check(asked: Options) -> None:
    """Refuse what a map does not take: only what differs from its default was asked for."""
    plain = Options()
    for field in dataclasses.fields(asked):
        given = getattr(asked, field.name) != getattr(plain, field.name)
        if given and field.name in _OF_ONE and not field.metadata["setting"]:
            flag = field.metadata["flags"][0]
            raise UsageError(f"%%claude_map does not take {flag}.", advice="It is for one question, not for many rows.")
    if "," in asked.model:
        raise UsageError("%%claude_map asks one model, not several.", advice="Name one after --model.")
