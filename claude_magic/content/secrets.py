"""Mask secrets in text: values that look like a secret, by their form or by the name before them, become `MASK`.

Masking is deterministic, and all other text stays byte for byte. Every pattern is bounded, so the time is linear in the
length. It is a heuristic: prose that can be told from data is left alone.
"""

from __future__ import annotations

import bisect
import itertools
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import secret_columns, secret_forms
from .secret_columns import Places
from .secret_names import (
    Level,
    is_plain,
    is_random,
    is_secret_column,
    is_secret_name,
    is_secret_value,
    level_of,
    may_be_secret,
)
from .text import CUT_NOTE

MASK = "[secret masked]"
# A shorter known secret is not searched for: it would match in ordinary words.
MIN_KNOWN_CHARACTERS = 8
MAX_KNOWN = 500
# So many characters from the end of a known secret are searched for behind a cut.
MAX_KNOWN_END = 200
# So many places of a text are looked at for a part of one secret.
MAX_PLACES = 1_000
# A random value of so many characters is masked wherever else it stands in the text, for so many such values.
MIN_REPEATED_CHARACTERS = 12
MAX_REPEATED = 20

Span = tuple[int, int]


class Hidden(str):
    """A key, or a text that holds one: a `str` whose `repr` is `'…'`, so that no container, debugger or traceback with
    local variables shows it. As an argument, a header or JSON it is the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


@dataclass(frozen=True)
class Secrets:
    """The masking of attached content. `known` are secret strings, masked anywhere; `allowed` turns masking off.

    `shown` are names of columns, in lower case, whose values go as they are, if they are not known secrets.
    """

    known: tuple[Hidden, ...] = ()
    allowed: bool = False
    shown: frozenset[str] = frozenset()

    def masked(self, text: str, *, is_code: bool = False) -> tuple[str, int]:
        """The text with its secrets masked, and their number. With `is_code`, only literals count as values."""
        if self.allowed:
            return text, 0
        found = list(_unmasked(text, [*secret_forms.spans(text), *_by_name(text, is_code), *_below(text, is_code)]))
        found += _again(text, found)
        if self.shown:
            found = list(_outside(found, _merged(_values_of(text, self.shown, is_code))))
        spans = _merged([*_known(text, self.known), *found])
        pieces, at = [], 0
        for start, end in spans:
            pieces += [text[at:start], MASK]
            at = end
        return "".join([*pieces, text[at:]]), len(spans)

    def shows(self, name: str) -> bool:
        """Whether the values of this name go as they are."""
        return self.allowed or name.strip().casefold() in self.shown


def shown_columns(names: str | None) -> frozenset[str]:
    """The names of columns for `Secrets.shown`, from text with commas between them."""
    return frozenset(name.strip().casefold() for name in (names or "").split(",") if name.strip())


def _below(text: str, is_code: bool) -> Iterator[Span]:
    """The spans of the values of secret columns, in tables."""
    if is_code:
        return
    for column in secret_columns.columns_in(text, may_be_secret, Places(text, _HINTS)):
        if is_secret_column(column.name, column.values):
            yield from column.spans


def _again(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans of random values that were found once, wherever else they stand."""
    found = dict.fromkeys(text[start:end] for start, end in spans if end - start >= MIN_REPEATED_CHARACTERS)
    for value in [each for each in found if not is_plain(each) and " " not in each][:MAX_REPEATED]:
        yield from ((at, at + len(value)) for at in _places(text, value))


def _values_of(text: str, names: Iterable[str], is_code: bool) -> Iterator[Span]:
    """The spans of all values behind these names, which are in lower case, and of all columns below them."""
    wanted = frozenset(names)

    def is_wanted(name: str) -> bool:
        return name.strip().casefold() in wanted

    prose = _prose_of(text) if is_code else [(0, len(text))]
    for name, found in _names(text, {name.split()[-1] for name in wanted}):
        if is_wanted(name):
            yield from _values(text, found, prose)
    for column in secret_columns.columns_in(text, is_wanted, Places(text, wanted)):
        yield from column.spans


def _outside(spans: Iterable[Span], others: Sequence[Span]) -> Iterator[Span]:
    """The spans that do not begin within the others, which are sorted."""
    return ((start, end) for start, end in spans if not _is_within(start, others))


def _unmasked(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without a mask in them."""
    return ((start, end) for start, end in spans if MASK not in text[start:end])


def known_secrets(
    namespace: Mapping[str, object], others: Iterable[str] = (), shown: frozenset[str] = frozenset()
) -> tuple[Hidden, ...]:
    """The values of secret names in the environment and a notebook's variables, and `others`; no short ones, and none
    whose names are `shown`, as for `Secrets`."""
    named = [*os.environ.items(), *((name, value) for name, value in list(namespace.items()) if type(value) is str)]
    texts = ((name, str(value).strip()) for name, value in named if type(name) is str and is_secret_name(name))
    found = [value for name, value in texts if is_secret_value(name, value) and name.casefold() not in shown]
    distinctive = [each for each in found if not each.isalpha() and not each.startswith("/")]
    wanted = dict.fromkeys(each for each in [*others, *distinctive] if len(each) >= MIN_KNOWN_CHARACTERS)
    return tuple(map(Hidden, wanted))[:MAX_KNOWN]


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Sorted spans, overlapping ones merged."""
    merged: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


# How a cut text ends, and how its kept end begins (`text.py`, `parts.py`, `prompt/values/`).
_CUT = re.compile(r"…| \[of more in all\]| \[[\d,]+ bytes in all\]")
_AFTER_CUT = " characters]\n"


def _known(text: str, secrets: Sequence[str]) -> Iterator[Span]:
    """The spans of known secrets, and of those parts of them that a cut has left."""
    for secret in secrets:
        yield from ((at, at + len(secret)) for at in _places(text, secret))
    if not secrets or not _CUT.search(text):
        return
    for secret in secrets:
        for at in itertools.islice(_places(text, secret[:MIN_KNOWN_CHARACTERS]), MAX_PLACES):
            end = at + _common(secret, text[at : at + len(secret)])
            if _CUT.match(text, end):
                yield at, end
    if _AFTER_CUT in text:
        yield from _known_ends(text, secrets)


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def _common(one: str, other: str) -> int:
    """The number of characters that two texts have in common at their start."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


def _known_ends(text: str, secrets: Iterable[str]) -> Iterator[Span]:
    """The spans of the ends of known secrets right behind a cut."""
    for at in itertools.islice(_places(text, _AFTER_CUT), MAX_PLACES):
        start = at + len(_AFTER_CUT)
        for secret in secrets:
            longest = min(len(secret) - 1, MAX_KNOWN_END)
            lengths = range(longest, MIN_KNOWN_CHARACTERS - 1, -1)
            length = next((each for each in lengths if text.startswith(secret[-each:], start)), 0)
            yield start, start + length


# --- by name ------------------------------------------------------------------------------------------

_NAME = re.compile(
    r"""(?<![\w-])-{0,2}(?P<name>[A-Za-z_][\w-]{0,200})\\?(?P<quote>["'`]?)\]?[ \t]{0,20}"""
    r"""(?P<sign>:[ \t]{0,5}[A-Za-z_][\w.\[\]| ]{0,60}?[ \t]{0,5}=(?!=)|=>|:{1,3}=|===?|!=|[?.+]=|\|\|=|=|:"""
    r"""|-(?=[ \t]{0,3}["'])|(?:[sS]tring|str|text)[ \t]{1,5}:?=(?!=)|(?<=[ \t])is(?=[ \t:])[ \t]?:?)"""
    r"""(?P<gap>\s{0,20})"""
)
# A name that may be secret has one of these in it.
_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "cred",
    "auth",
    "cookie",
    "sig",
    "kennwort",
    "senha",
    "contrasena",
    "psk",
)
# The words before the last one of a name in quotes, as in `"API Key": …`.
_WORDS_BEFORE = re.compile(r"""["']((?:[A-Za-z][\w-]{0,30} ){1,3})\Z""")
_NAME_END = re.compile(r"[\w-]*")
_PAIR = re.compile(r"""\(\s{0,5}["']([A-Za-z_][\w-]{0,200})["']\s{0,5},\s{0,5}["']([^"'\n]{1,500})["']\s{0,5}\)""")
_TAG = re.compile(r"""<([A-Za-z_][\w.:-]{0,80})(?:\s[^<>]{0,200})?>\s{0,40}([^<>\s][^<>\n]{0,500}?)\s{0,40}</""")
# `{"name": "DB_PASSWORD", "value": "…"}`, `- name: DB_PASSWORD\n  value: …`, `<add key="Password" value="…">`
_NAMED = re.compile(
    r"""(?:[nN]ame|NAME|[kK]ey|KEY)["']?\s{0,5}[:=]\s{0,5}["']?([A-Za-z_][\w-]{1,80})["']?\s{0,3},?\s{1,40}"""
    r"""["']?[vV](?:alue|ALUE)["']?\s{0,5}[:=]\s{0,5}["']?([^\s"'<>,][^\s"'<>]{0,500})"""
)
_FLAG = re.compile(r"""(?<!\S)--([A-Za-z][\w-]{1,60})[ \t]{1,3}["']?([^\s"'-][^\s"']{0,300})""")
# A literal that the text must have, the pattern, and the least level of its names.
_PAIRS = (
    ("(", _PAIR, Level.MAYBE),
    ("--", _FLAG, Level.KEY),
    ("</", _TAG, Level.MAYBE),
    ("", _NAMED, Level.MAYBE),
)
_QUOTE = re.compile(r"""[\[({]?\s{0,10}[rbfuRBFU]{0,2}(\\?(?:\"{3}|'{3}|["'`]))""")
_NEXT_QUOTE = re.compile(
    r"""\s{0,10}(?:,\s{0,20}(?:None|null|NaN|nan|NA|<NA>)\s{0,10}){0,9},?\s{0,20}[rbfuRBFU]{0,2}(\\?(?:\"{3}|'{3}|["'`]))"""
)
_BARE = re.compile(r"""[^\s"'`,;&|<>()\[\]{}]{1,500}""")
_NO_VALUE = re.compile(
    r"(?i)none|null|nil|nan|true|false|undefined|str|int|bytes|bool|float|any|object|optional|union|secretstr|string"
    r"|x"
)
# What follows the name in the title of a frame's summary.
_FRAME_TITLE = re.compile(r"[\d,]{1,20} (?:rows × |values \()|\d{1,9} columns?, rows ")
_AFTER_TEXT = re.compile(r"[\s),;+}\]]|\Z")
MAX_ITEMS = 50
# So many values behind one name are judged as a column is.
MIN_RECORDS = 3
# A number of so many digits is a key where it is assigned as text, as some services' are.
MIN_NUMBER = 15
MAX_NAME_CHARACTERS = 200
MAX_LINE_CHARACTERS = 2_000


def _by_name(text: str, is_code: bool) -> Iterator[Span]:
    """The spans of values behind a secret name: `password = "…"`, `'token': '…'`, `PASSWORD=…`."""
    prose = _prose_of(text) if is_code else [(0, len(text))]
    secrets: list[tuple[str, Span]] = []
    of_names: dict[str, list[Span]] = {}
    for name, found in _names(text, _HINTS):
        if level_of(name) != Level.NONE or name.lower() == "key":
            values = list(_values(text, found, prose))
            of_names.setdefault(name, []).extend(values)
            secrets.extend((name, span) for span in _secrets_of(text, name, found["sign"], values))
    plain = {name for name, spans in of_names.items() if _is_plain_field(text, name, spans)}
    yield from (span for name, span in secrets if name not in plain or is_random(text[slice(*span)]))
    for literal, pattern, least in _PAIRS:
        for pair in pattern.finditer(text) if literal in text else ():
            level = level_of(pair[1])
            if level >= Level.MAYBE and is_secret_value(pair[1], pair[2], level=max(level, least)):
                yield pair.span(2)


def _is_plain_field(text: str, name: str, spans: Sequence[Span]) -> bool:
    """Whether a name that stands there again and again, as in records of JSON, is no secret by most of its values."""
    if len(spans) < MIN_RECORDS or level_of(name) not in (Level.MAYBE, Level.KEY):
        return False
    return not is_secret_column(name, (text[slice(*span)] for span in spans))


def _names(text: str, hints: Iterable[str]) -> Iterator[tuple[str, re.Match[str]]]:
    """Names with one of the hints in them, followed by a sign (`=`, `:`) and a value."""
    places = Places(text, hints)
    at = 0
    while (place := places.after(at)) >= 0:
        start = place
        while start > max(at, place - MAX_NAME_CHARACTERS) and (text[start - 1].isalnum() or text[start - 1] in "_-"):
            start -= 1
        found = _NAME.match(text, start)
        if found and not (found["sign"] == ":" and not found["gap"] and text[max(0, start - 1) : start] == ":"):
            name = found["name"]
            is_last = found["quote"] and text[start - 1 : start] == " "
            if is_last and (words := _WORDS_BEFORE.search(text, max(0, start - MAX_NAME_CHARACTERS), start)):
                name = words[1] + name
            yield name, found
        at = _NAME_END.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing as well


def _secrets_of(text: str, name: str, sign: str, spans: Sequence[Span]) -> Iterator[Span]:
    """The spans among those of a name's values that are secrets; several values are judged as a column is."""
    level = level_of(name)
    if level == Level.NONE:  # just `key`
        yield from (span for span in spans if is_random(text[slice(*span)], is_sure=True))
        return
    if sign in ("==", "===", "!="):  # compared with a value that the program knows
        level = min(level, Level.KEY)
    if sign.startswith("is"):  # prose
        level = min(level, Level.MAYBE)
    if len(spans) > 1:
        yield from spans if is_secret_column(name, [text[slice(*span)] for span in spans]) else ()
        return
    for start, end in spans:
        is_number = end - start >= MIN_NUMBER and text[start:end].isdigit()
        is_text = sign != ":" or text[start - 1] in "\"'`"
        if is_secret_value(name, text[start:end], level=level) or (is_number and is_text and level >= Level.MAYBE):
            yield start, end


def _values(text: str, found: re.Match[str], prose: Sequence[Span]) -> Iterator[Span]:
    """The spans of a name's values: several in brackets, none if the quote after the name closes a string."""
    opening = _QUOTE.match(text, found.end())
    if opening is None:
        if "\n" not in found["gap"] and _is_within(found.start(), prose):
            yield from _bare(text, found)
        return
    if _AFTER_TEXT.match(text, opening.end()) and _is_closing(text, found, opening[1]):
        return
    if found["sign"] == ":" and "\n" in found["gap"] and len(opening[1]) == 3:  # the docstring of `def f() -> Token:`
        return
    in_brackets = text[found.end()] in "[({"
    for _ in range(MAX_ITEMS if in_brackets else 1):
        start = opening.end()
        end = _closing(text, start, opening[1])
        if in_brackets and text[end + len(opening[1]) : end + len(opening[1]) + 1] == ":":  # the key of a dict
            return
        yield start, end
        following = _NEXT_QUOTE.match(text, end + len(opening[1]))
        if following is None:
            return
        opening = following


_ENDS = {
    quote: re.compile(rf"(?:[^\\{quote[-1]}\n]|\\.)*" if len(quote) == 1 else rf"(?s:.*?(?={re.escape(quote)}))")
    for quote in ('"', "'", "`", '"""', "'''", '\\"', "\\'", "\\`")
}


def _closing(text: str, start: int, quote: str) -> int:
    """The end of the string that begins at `start`; where its text is cut or the end of its line if the closing quote
    is missing."""
    found = _ENDS[quote].match(text, start) if quote in _ENDS else None
    end = text.find("\n", start) if found is None else found.end()
    end = len(text) if end < 0 else end
    cut = text.find(CUT_NOTE, start, end)
    return end if cut < 0 else cut


def _is_closing(text: str, found: re.Match[str], quote: str) -> bool:
    """Whether the quote after a name closes the string that the name is in."""
    line = text[max(text.rfind("\n", 0, found.start()) + 1, found.start() - MAX_LINE_CHARACTERS) : found.end()]
    return len(re.findall(rf"(?<!\w){quote[-1]}|{quote[-1]}(?!\w)", line)) % 2 == 1


def _bare(text: str, found: re.Match[str]) -> Iterator[Span]:
    """The span of a value without quotes, unless it is a call, a placeholder or prose."""
    value = _BARE.match(text, found.end())
    if value is None or found["sign"] in ("==", "===", "!=") or re.match(r"\$[A-Za-z_{(]", value[0]):
        return
    is_call = text[value.end() : value.end() + 1] in ("(", "[")
    if (
        is_call
        or _FRAME_TITLE.match(text, value.start())
        or _NO_VALUE.fullmatch(value[0])
        or _is_prose(text, found, value)
    ):
        return
    yield value.start(), value.start() + max(1, len(value[0].rstrip(".:")))


_NO_CODE = re.compile(
    r"""(?m)\#[^\n]*|^[ \t]*[%!][^\n]*|(?s:\"{3}.*?(?:\"{3}|\Z)|'{3}.*?(?:'{3}|\Z))"""
    r"""|"(?:[^"\\\n]|\\.)*|'(?:[^'\\\n]|\\.)*"""
)


def _prose_of(code: str) -> list[Span]:
    """The spans of code where values need no quotes: strings, comments, magics and shell lines."""
    if code.lstrip().startswith("%%"):
        return [(0, len(code))]
    found: list[Span] = []
    at = 0
    while part := _NO_CODE.search(code, at):
        found.append(part.span())
        at = part.end() + (code[part.end() : part.end() + 1] in ("'", '"') and part[0][:3] not in ('"""', "'''"))
    return found


def _is_within(at: int, spans: Sequence[Span]) -> bool:
    position = bisect.bisect(spans, (at, math.inf)) - 1
    return position >= 0 and at < spans[position][1]


def _is_prose(text: str, found: re.Match[str], value: re.Match[str]) -> bool:
    """Whether a value without quotes is a word of prose, as in `Password: must be longer`."""
    following = text[value.end() : value.end() + 3]
    return found["sign"] == ":" and value[0].isalpha() and following[:1] == " " and following[1:2].isalpha()
