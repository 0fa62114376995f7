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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import secret_columns

MASK = "[secret masked]"
# A shorter known secret is not searched for: it would match in ordinary words.
MIN_KNOWN_CHARACTERS = 8
MAX_KNOWN = 500
# So many characters from the end of a known secret are searched for behind a cut.
MAX_KNOWN_END = 200
# So many places of a text are looked at for a part of one secret.
MAX_PLACES = 1_000
MIN_TOKEN_CHARACTERS = 6
# A name that only ends in `key` (`primary_key`) is mostly no secret: its value must look random, too.
MIN_RANDOM_CHARACTERS = 16

Span = tuple[int, int]


class Hidden(str):
    """A key, or a text that holds one: a `str` whose `repr` is `'…'`, so that no container, debugger or traceback with
    local variables shows it. As an argument, a header or JSON it is the text itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


@dataclass(frozen=True)
class Secrets:
    """The masking of attached content. `known` are secret strings, masked anywhere; `allowed` turns masking off."""

    known: tuple[Hidden, ...] = ()
    allowed: bool = False

    def masked(self, text: str, *, is_code: bool = False) -> tuple[str, int]:
        """The text with its secrets masked, and their number. With `is_code`, only literals count as values."""
        if self.allowed:
            return text, 0
        below = [] if is_code else secret_columns.secrets_below(text, is_secret_name)
        spans = _merged(
            [
                *_known(text, self.known),
                *_by_form(text),
                *_keys(text),
                *_by_name(text, is_code),
                *_unmasked(text, below),
            ]
        )
        pieces, at = [], 0
        for start, end in spans:
            pieces += [text[at:start], MASK]
            at = end
        return "".join([*pieces, text[at:]]), len(spans)


def _unmasked(text: str, spans: Iterable[Span]) -> Iterator[Span]:
    """The spans without a mask in them."""
    return ((start, end) for start, end in spans if MASK not in text[start:end])


def known_secrets(namespace: Mapping[str, object], others: Iterable[str] = ()) -> tuple[Hidden, ...]:
    """The values of secret names in the environment and a notebook's variables, and `others`; no short ones."""
    named = [*os.environ.items(), *((name, value) for name, value in list(namespace.items()) if type(value) is str)]
    found = [str(value).strip() for name, value in named if isinstance(name, str) and is_secret_name(name)]
    distinctive = [each for each in found if not each.isalpha() and not each.startswith("/")]
    wanted = dict.fromkeys(each for each in [*others, *distinctive] if len(each) >= MIN_KNOWN_CHARACTERS)
    return tuple(map(Hidden, wanted))[:MAX_KNOWN]


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = frozenset(
    {
        "password",
        "passwords",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "secret",
        "secrets",
        "credential",
        "credentials",
    }
    | {"apikey", "authtoken", "accesstoken", "accesskey", "privatekey", "secretkey", "accountkey", "authorization"}
    | {"pgpassword", "mypassword", "userpassword", "dbpassword", "apitoken"}
)
_SECRET_KEYS = frozenset(
    {"api", "access", "secret", "private", "auth", "account", "encryption", "signing", "master", "ssh", "service"}
    | {"subscription", "shared", "session", "hmac", "aes", "rsa", "license", "client", "consumer", "deploy", "storage"}
)
# Last words of names that are about a secret but hold none, as in `password_length`.
_ABOUT = frozenset(
    {"name", "names", "id", "path", "file", "url", "uri", "length", "len", "type", "count", "field", "fields", "column"}
    | {"policy", "arn", "version", "label", "hint", "prompt", "pattern", "regex", "expires", "expiry", "ttl", "limit"}
    | {
        "df",
        "frame",
        "table",
        "enabled",
        "required",
        "manager",
        "env",
        "var",
        "min",
        "max",
        "strength",
        "error",
        "message",
        "help",
        "changed",
    }
)
# Words before `token` in the vocabulary of language models, as in `eos_token`.
_TOKENS = frozenset(
    {"pad", "eos", "bos", "unk", "sep", "cls", "mask", "special", "next", "image", "first", "last", "num", "max", "min"}
    | {"start", "end", "stop", "per", "sot", "eot", "decoder", "prompt", "current", "previous", "prev", "word", "sub"}
)


def is_secret_name(name: str) -> bool:
    """Whether a name is that of a secret: `db_password`, `API_KEY`, `accessToken`; not `max_tokens`."""
    words = [word.lower() for word in _WORDS.findall(name[-200:])]
    if not words or words[-1] in _ABOUT:
        return False
    before = set(words[:-1])
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    if words[-1] == "token":
        return _TOKENS.isdisjoint(before)
    return (words[-1] in ("key", "keys") and not _SECRET_KEYS.isdisjoint(before)) or (
        words[-1] == "pass" and bool(before)
    )


def _is_key_name(name: str) -> bool:
    """Whether a name may be that of a secret key: `openai_key`, but also `sort_key`."""
    words = [word.lower() for word in _WORDS.findall(name[-200:])]
    return len(words) > 1 and words[-1] in ("key", "cookie", "signature", "sig", "auth")


def _is_random(value: str) -> bool:
    letters, digits = any(map(str.isalpha, value)), any(map(str.isdigit, value))
    return len(value) >= MIN_RANDOM_CHARACTERS and letters and digits and not re.search(r"\s", value)


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


# --- by form ------------------------------------------------------------------------------------------


def _anything(value: str) -> bool:
    return True


def _has_digit(value: str) -> bool:
    return any(map(str.isdigit, value))


# Patterns, each with a further check of the match; a pattern with a group masks only its last group.
_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (re.compile(pattern), check)
    for pattern, check in (
        (r"(?<![A-Za-z0-9_-])sk-ant-[\w-]{4,}", _anything),
        (r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{20,}", _has_digit),
        (r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])", _anything),
        (r"(?<![A-Za-z0-9])(?:gh[pousr]|hf|npm|dop_v1|lin_api|whsec)_[A-Za-z0-9]{16,}", _anything),
        (r"(?<![A-Za-z0-9])(?:github_pat|[srp]k_(?:live|test))_[A-Za-z0-9_]{10,}", _anything),
        (r"(?<![A-Za-z0-9])(?:glpat|xox[a-z]|xapp|pypi)-[\w-]{10,}", _has_digit),
        (r"(?<![A-Za-z0-9])AIza[\w-]{30,}", _anything),
        (r"(?<![A-Za-z0-9])(?:ya29|SG)\.[\w.-]{20,}", _anything),
        (r"(?<![A-Za-z0-9])dapi[0-9a-f]{32}", _anything),
        (r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", _anything),
        (r"hooks\.slack\.com/services/([\w/]{20,})", _anything),
        (r"(?i)\bbearer[ \t]{1,3}([A-Za-z0-9._~+/=-]{12,})", _has_digit),
        (
            r"(?i)\bauthorization\\?[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?\w{1,20}[ \t]{1,3}([^\s\"'\\,;]{4,})",
            _anything,
        ),
        (r"(?i)[?&](?:sig|signature|token|key|access_token|api_key|x-amz-signature)=([^\s&\"'<>#]{8,})", _anything),
        (r"://[^\s/:@\"'<>]{0,200}:([^\s/\"'<>]{1,300})@", _anything),
        (r"://([^\s/:@\"'<>]{16,300})@", _anything),
        (r"(?i)\blogin\s{1,5}\S{1,100}\s{1,5}password\s{1,5}(\S{1,300})", _anything),
        (r"(?<!\S)(?:-u|--user)[ \t]{1,3}[\"']?[^\s:\"']{1,80}:([^\s\"']{1,200})", _anything),
    )
)


def _by_form(text: str) -> Iterator[Span]:
    for pattern, check in _FORMS:
        for found in pattern.finditer(text):
            group = pattern.groups
            if check(found[group]) and not text.startswith(MASK, found.start(group)):
                yield found.span(group)


_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


def _keys(text: str) -> Iterator[Span]:
    """The spans of PEM private keys; one without its end line, as in shortened text, goes to the end of the text."""
    at = 0
    while begins := _KEY_BEGINS.search(text, at):
        ends = _KEY_ENDS.search(text, begins.end())
        at = ends.end() if ends else len(text)
        yield begins.start(), at


# --- by name ------------------------------------------------------------------------------------------

_NAME = re.compile(
    r"""(?<![\w-])-{0,2}(?P<name>[A-Za-z_][\w-]{0,200})\\?["'`]?\]?[ \t]{0,20}"""
    r"""(?P<sign>:[ \t]{0,5}[A-Za-z_][\w.\[\]| ]{0,60}?[ \t]{0,5}=(?!=)|=>|:=|===?|!=|=|:)(?P<gap>\s{0,20})"""
)
_PAIR = re.compile(r"""\(\s{0,5}["']([A-Za-z_][\w-]{0,200})["']\s{0,5},\s{0,5}["']([^"'\n]{1,500})["']\s{0,5}\)""")
_TAG = re.compile(r"""<([A-Za-z_][\w.:-]{0,80})(?:\s[^<>]{0,200})?>([^<>\n]{1,500})</""")
_FLAG = re.compile(r"""(?<!\S)--([A-Za-z][\w-]{1,60})[ \t]{1,3}["']?([^\s"'-][^\s"']{0,300})""")
_QUOTE = re.compile(r"""[\[({]?\s{0,10}[rbfuRBFU]{0,2}(\\?(?:\"{3}|'{3}|["'`]))""")
_NEXT_QUOTE = re.compile(
    r"""\s{0,10}(?:,\s{0,20}(?:None|null|NaN|nan|NA|<NA>)\s{0,10}){0,9},?\s{0,20}[rbfuRBFU]{0,2}(\\?(?:\"{3}|'{3}|["'`]))"""
)
_BARE = re.compile(r"""[^\s"'`,;&|<>()\[\]{}]{1,500}""")
_NO_VALUE = re.compile(
    r"(?i)none|null|nil|nan|true|false|undefined|str|int|bytes|bool|float|any|object|optional|union|secretstr|string"
    r"|(?:self|os|args|cfg|config|settings|env|environ)\..*|\$.*|%\w*|[*•x.…-]+|yes|no|required|missing|invalid|redacted"
)
# What follows the name in the title of a frame's summary.
_FRAME_TITLE = re.compile(r"[\d,]{1,20} (?:rows × |values \()|\d{1,9} columns?, rows ")
_AFTER_TEXT = re.compile(r"[\s),;+}\]]|\Z")
MAX_ITEMS = 50
MAX_LINE_CHARACTERS = 2_000


def _by_name(text: str, is_code: bool) -> Iterator[Span]:
    """The spans of values behind a secret name: `password = "…"`, `'token': '…'`, `PASSWORD=…`."""
    prose = _prose_of(text) if is_code else [(0, len(text))]
    for found in _names(text):
        is_secret = is_secret_name(found["name"])
        if not is_secret and not _is_key_name(found["name"]):
            continue
        for start, end in _values(text, found, prose):
            if _is_secret_value(found["name"], text[start:end], is_secret):
                yield start, end
    for pattern in (_PAIR, _FLAG, _TAG):
        for pair in pattern.finditer(text):
            if is_secret_name(pair[1]) and not text.startswith(MASK, pair.start(2)):
                yield pair.span(2)


def _names(text: str) -> Iterator[re.Match[str]]:
    """Names followed by a sign (`=`, `:`) and a value.

    After what looks like an annotation (`Error: with password=…`), the search goes on right behind the colon.
    """
    at = 0
    while found := _NAME.search(text, at):
        yield found
        is_annotated = found["sign"][0] == ":" and len(found["sign"]) > 2
        at = found.start("sign") + 1 if is_annotated else found.end()


def _is_secret_value(name: str, value: str, is_secret: bool) -> bool:
    if value.startswith(MASK) or not value.strip():
        return False
    if name.lower().endswith("pwd") and value[:1] in "/~" and not _is_random(value):  # the working directory
        return False
    if name.lower() == "token" and len(value) < MIN_TOKEN_CHARACTERS:  # mostly a token of text, as in NLP
        return False
    return is_secret or _is_random(value)


def _values(text: str, found: re.Match[str], prose: Sequence[Span]) -> Iterator[Span]:
    """The spans of a name's values: several in brackets, none if the quote after the name closes a string."""
    opening = _QUOTE.match(text, found.end())
    if opening is None:
        if "\n" not in found["gap"] and _is_within(found.start(), prose):
            yield from _bare(text, found)
        return
    if _AFTER_TEXT.match(text, opening.end()) and _is_closing(text, found, opening[1]):
        return
    in_brackets = text[found.end()] in "[({"
    for _ in range(MAX_ITEMS if in_brackets else 1):
        start = opening.end()
        end = _closing(text, start, opening[1])
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
    """The end of the string that begins at `start`; the end of its line if the closing quote is missing."""
    found = _ENDS[quote].match(text, start) if quote in _ENDS else None
    if found is not None:
        return found.end()
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _is_closing(text: str, found: re.Match[str], quote: str) -> bool:
    """Whether the quote after a name closes the string that the name is in."""
    line = text[max(text.rfind("\n", 0, found.start()) + 1, found.start() - MAX_LINE_CHARACTERS) : found.end()]
    return len(re.findall(rf"(?<!\w){quote[-1]}|{quote[-1]}(?!\w)", line)) % 2 == 1


def _bare(text: str, found: re.Match[str]) -> Iterator[Span]:
    """The span of a value without quotes, unless it is a call, a placeholder or prose."""
    value = _BARE.match(text, found.end())
    if value is None or found["sign"] in ("==", "===", "!="):
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
