"""Text forms of objects that are the same in each run: no memory addresses, no order that depends on hashes.

A prompt must not change by itself: prompt caching and replay compare it with the one before.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from functools import partial
from typing import Any

from .safely import try_or_none, type_name

# What is in quotes is data and stays. A quote behind a letter is an apostrophe, unless the letter marks a literal.
_QUOTED = r"""(?<![^\W_])(?:[bBrRuUfF]{1,2})?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
# An address behind "at", or one in any brackets or none: 9 digits or more, within the 48 bits that addresses have.
_AT = r"\s+at\s+0[xX][0-9A-Fa-f]{4,16}\b"
_BARE = r"(?<![\w.])0[xX](?:0{4})?[0-9A-Fa-f]{9,12}\b"
_ADDRESS = re.compile(rf"(?P<quoted>{_QUOTED})|(?P<at>{_AT})|(?P<bare>{_BARE})")
# What is left of an address in brackets of its own goes as well: `Node(0x7f…)` → `Node`, `ptr=[0x7f…]` → `ptr=…`.
_GAP = "\ufffc"
_IN_BRACKETS = re.compile(
    rf"\(\s*{_GAP}\s*\)|\[\s*{_GAP}\s*\]|\{{\s*{_GAP}\s*\}}|@{_GAP}|:\s?{_GAP}(?=[>)\]}}]|$)| ?{_GAP}"
)

MAX_SORTED_CHARACTERS = 100_000
_TOKENS = re.compile(rf"{_QUOTED}|[\[({{<]|[\])}}>]|,\s*|[^\[\](){{}}<>,'\"]+|.", re.DOTALL)
_OPENS = {"{": "}", "[": "]", "(": ")", "<": ">"}
# An element of a set whose place depends on its hash: text, an object, a tuple of such; not a number, not a word.
_HASHED = re.compile(r"""(?:[bBuUrR]{0,2}['"]|[(<]|(?:[A-Za-z_][\w.]*)\()""")
_CONSTANT = re.compile(r"-?[0-9][\w.+-]*|True|False|None|\.\.\.|…|nan|inf|-inf")


def without_addresses(text: str, *, bare: bool = True) -> str:
    """A `repr` without memory addresses, whatever brackets they stand in; what is in quotes stays.

    Without `bare` only those behind `at` go, for a text that may have numbers of such length.
    """
    if "0x" not in text and "0X" not in text:
        return text
    kept = ("quoted",) if bare else ("quoted", "bare")
    marked = _ADDRESS.sub(lambda found: found[0] if found.lastgroup in kept else "" if found["at"] else _GAP, text)
    return _IN_BRACKETS.sub("", marked.replace(f"={_GAP}", "=…")) if _GAP in marked and _GAP not in text else marked


def stable(text: str) -> str:
    """A `repr` without memory addresses, and with the elements of its sets sorted."""
    text = without_addresses(text)
    if "{" not in text or len(text) > MAX_SORTED_CHARACTERS:
        return text
    return _with_sorted_sets(text)


def _with_sorted_sets(text: str) -> str:
    """The text with each `{…}` in it that is a Python set sorted, those within first."""
    open_brackets: list[str] = []
    groups: list[list[str]] = [[]]
    for token in _TOKENS.findall(text):
        if token in _OPENS:
            open_brackets.append(token)
            groups.append([token])
        elif open_brackets and token == _OPENS[open_brackets[-1]]:
            opening, inner = open_brackets.pop(), groups.pop()
            before = groups[-1][-1][-1:] if groups[-1] else ""
            made = _sorted_set(inner[1:], before) if opening == "{" else "".join(inner[1:])
            groups[-1].append(f"{opening}{made}{token}")
        else:
            groups[-1].append(token)
    return "".join("".join(group) for group in groups)


def _sorted_set(tokens: list[str], before: str) -> str:
    """What is inside of `{…}`: sorted, if it is a set whose order depends on hashes; else as it is."""
    whole = "".join(tokens)
    if before.isalnum() or before in ("_", "\\", "$"):  # not Python's: `Point{2, 1}`, LaTeX
        return whole
    elements, separators = [""], []
    for token in tokens:
        if re.fullmatch(r",\s*", token):
            separators.append(token)
            elements.append("")
        else:
            elements[-1] += token
    bare = [element.strip() for element in elements]
    fits = all(_HASHED.match(each) or _CONSTANT.fullmatch(each) for each in bare)
    if len(bare) < 2 or not fits or not any(map(_HASHED.match, bare)) or any(map(_is_pair, elements)):
        return whole
    return "".join(f"{each}{separator}" for each, separator in zip(sorted(bare), [*separators, ""], strict=True))


def _is_pair(element: str) -> bool:
    """Whether an element of `{…}` is a key with its value."""
    opening = re.match(_QUOTED, element.lstrip())
    rest = element.lstrip()[opening.end() :] if opening else element
    return re.match(r"[^<(\[{'\"]*:", rest) is not None or re.match(r".*[>)\]}]\s*:", rest, re.DOTALL) is not None


def in_order(elements: Iterable[Any]) -> list[Any]:
    """The elements of a set in an order that is the same in each run."""
    listed = list(elements)
    kinds = {type(each) for each in listed}
    if len(kinds) == 1 and kinds <= {str, int, float, bytes}:
        return sorted(listed)
    return sorted(listed, key=lambda each: (type_name(each), stable(try_or_none(partial(repr, each)) or "")))


class _Brief(reprlib.Repr):
    """`reprlib` without memory addresses, and with the elements of sets in order."""

    def repr_set(self, x: set[Any], level: int) -> str:
        return self._repr_iterable(in_order(x), level, "{", "}", self.maxset) if x else "set()"

    def repr_frozenset(self, x: frozenset[Any], level: int) -> str:
        return self._repr_iterable(in_order(x), level, "frozenset({", "})", self.maxfrozenset) if x else "frozenset()"

    def repr_instance(self, x: Any, level: int) -> str:
        text = stable((try_or_none(partial(repr, x)) or f"<{type_name(x)} object>")[: 100 * self.maxother])
        if len(text) <= self.maxother:
            return text
        start = max(0, (self.maxother - 3) // 2)
        return f"{text[:start]}...{text[len(text) - (self.maxother - 3 - start) :]}"

    def _repr_iterable(self, x: Any, level: int, left: str, right: str, maxiter: int, trail: str = "") -> str:
        inherited: Any = super()
        return str(inherited._repr_iterable(x, level, left, right, maxiter, trail))


def brief(value: Any) -> str:
    """A short `repr` of a value, as `reprlib` gives it: of collections a few elements, of texts both ends."""
    return _Brief().repr(value)
