"""Names of secrets, and whether what stands behind such a name is one: a value, or a column of values.

A name alone masks nothing: numbers, booleans, dates, placeholders and (but for passwords) plain words stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import islice

# A shorter value behind a name like `token` is a token of text.
MIN_TOKEN_CHARACTERS = 6
# A name that only ends in `key` (`sort_key`) is mostly no secret: its value must look random, too.
MIN_RANDOM_CHARACTERS = 16
# A shorter one must have digits.
MIN_LETTERS = 20
# A shorter number behind a name is no password.
MIN_PASSWORD_DIGITS = 4
# The values that a column is judged by.
MAX_JUDGED = 500
# A longer text is no secret that stands behind a name; a key in it is known by its form.
MAX_VALUE_CHARACTERS = 4_000


class Level(IntEnum):
    """How much a name says that its value is a secret."""

    NONE = 0
    # `openai_key`, `session_cookie`: the value must look random.
    RANDOM = 1
    # `token`, `license_key`, `credentials`: the value must not be words, a number or an id.
    MAYBE = 2
    # `api_key`, `client_secret`: the value must not be a plain word or a number.
    KEY = 3
    # `password`: any value but a placeholder or a short number.
    PASSWORD = 4


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PASSWORDS = _set(
    "password passwords passwd pwd passphrase passcode pgpassword mypassword userpassword dbpassword passwort kennwort "
    "senha contrasena psk"
)
_KEYS_IN_ONE_WORD = _set(
    "apikey apikeys authtoken accesstoken accesskey privatekey secretkey accountkey apitoken apisecret clientsecret "
    "refreshtoken identitytoken bearertoken authorization"
)
_SECRET_WORDS = _set("secret secrets credential credentials creds") | _PASSWORDS | _KEYS_IN_ONE_WORD
# `api_key` is a key; `license_key`, `client_key` and `session_key` may as well be a licence or the number of a row.
_SURE_KEYS = _set("api access secret private auth encryption signing hmac aes rsa ssh")
_SECRET_KEYS = _SURE_KEYS | _set(
    "account service subscription shared session license client consumer deploy storage master"
)
# Last words of names that are about a secret but hold none, as in `password_length`.
_ABOUT = _set(
    "name names id ids path file url uri length len type count field fields column policy arn version label hint "
    "prompt pattern regex expires expiry ttl limit df frame table enabled required manager env var min max error "
    "strength message help changed at date time age days provider class quality score status state set reset needed "
    "used valid is has exists attempts retries format rules kind"
)
# First words of questions and counts, as in `is_secret`, `has_password`, `n_tokens`.
_ASKS = _set("is has was needs requires require num no n count max min error invalid wrong show hide check get forgot")
# Words before `token` in the vocabulary of language models, as in `eos_token`.
_TOKENS = _set(
    "pad eos bos unk sep cls mask special next image first last num max min start end stop per sot eot decoder prompt "
    "current previous prev word sub public"
)
# Words before `key` in names of data, as in `primary_key`, and before `pass`, as in `low_pass`.
_DATA_KEYS = _set(
    "primary foreign sort partition row index join group surrogate natural business composite unique candidate hash "
    "cache dict object file bucket routing shard order lookup translation i18n public socket config registry "
    "idempotency dedup range merge by"
)
_PASSES = _set("low high band all by com two single multi first second sub first last")


@lru_cache(maxsize=4_096)
def level_of(name: str) -> Level:
    """How much a name says: `db_password`, `API_KEY`, `accessToken`; not `max_tokens`, `primary_key`."""
    words = [word.lower() for word in _WORDS.findall(name[-200:])]
    if not words or words[-1] in _ABOUT or words[0] in _ASKS or words[-2:] == ["not", "null"]:
        return Level.NONE
    if words[-2:] == ["key", "data"]:  # `client-key-data`, of a kube config
        words = [*words[:-1]]
    last, before = words[-1], set(words[:-1])
    if not _PASSWORDS.isdisjoint(words):
        return Level.PASSWORD if last in _PASSWORDS else Level.KEY
    if last == "pass":
        return Level.PASSWORD if before and _PASSES.isdisjoint(before) else Level.NONE
    if not _KEYS_IN_ONE_WORD.isdisjoint(words) or (last in ("key", "keys") and not _SURE_KEYS.isdisjoint(before)):
        return Level.NONE if "public" in before else Level.KEY
    return _doubtful(words, last, before)


def _doubtful(words: Sequence[str], last: str, before: set[str]) -> Level:
    if not _SECRET_WORDS.isdisjoint(words):
        return Level.KEY if last == "secret" or (last == "key" and "secret" in before) else Level.MAYBE
    if last == "token":
        if not _TOKENS.isdisjoint(before):
            return Level.NONE
        return Level.KEY if before & {"access", "auth", "api", "refresh", "bearer"} else Level.MAYBE
    if last in ("key", "keys") and not _SECRET_KEYS.isdisjoint(before):
        return Level.MAYBE
    is_key = last in ("key", "cookie", "signature", "sig", "auth") and len(words) > 1
    return Level.RANDOM if is_key and _DATA_KEYS.isdisjoint(before) else Level.NONE


def may_be_secret(name: str) -> bool:
    """Whether the values behind a name are to be looked at: some of them may be secrets."""
    return level_of(name) > Level.NONE


def is_secret_name(name: str) -> bool:
    """Whether a name is that of a secret, as far as a name can tell: `db_password`, `API_KEY`; not `max_tokens`."""
    return level_of(name) >= Level.MAYBE


# --- values -------------------------------------------------------------------------------------------

_NOTHING = re.compile(
    r"(?i)none|null|nil|nan|na|n/a|nat|<na>|true|false|undefined|yes|no|on|off|required|optional|missing|invalid"
    r"|redacted|masked|hidden|encrypted|hashed|unset|empty|blank|default|unknown|[^\w]*|_*"
)
_TYPE = re.compile(
    r"(?i)str|int|bytes|bool|boolean|float|any|object|optional|union|secretstr|string|text|varchar(?:\(\d+\))?|char"
    r"|number|integer|date|datetime|list|dict|self|field|attribute|property|callable"
)
_NOUN = re.compile(r"(?i)password|secret|token|key")
# Names of a value elsewhere: `$PASS`, `${{ secrets.X }}`, `%s`, `%(pw)s`, `{token}`, `os.getenv(…)`, `var.password`.
_ELSEWHERE = re.compile(
    r"(?s)\$\{.*|\$\(.*|\$[A-Z_][A-Z0-9_]*|\$\d|\$[a-z_]*(?:pass|pwd|secret|token|key|user)[a-z_]*|%[sdr]|%\(\w+\)s"
    r"|!(?:[Vv]ault|[Ss]ecret|[Ee]nv|ENV|[Rr]ef|[Ss]ub|GetAtt|[Rr]eference)\b.*|%\w+%|<[^<>]*>?|\[[^\[\]]*\]"
    r"|.*\{(?:\w{1,30}|[A-Za-z_.()'\"\[\] -]*)\}.*|\{\{.*|[A-Za-z_][\w.]*\(.*\)"
    r"|(?:self|os|args|cfg|config|settings|env|environ|var|secrets|process)\..*"
)
_FILLER = re.compile(r"(?:[xX]{3,}|[*•.…#_-]{3,})")
_FILLED_ENDS = ("***", "xxxxx", "XXXXX")
_BEGUN = re.compile(r"(?s)(?:.{0,4}|.{0,40}[-_])(?:\.{3}|…)")
_PLACE = re.compile(
    r"(?i)(?:your|insert|enter|replace|put|paste|change|example|sample|dummy|fake|mock|todo|fixme|placeholder)[\s_.-].*"
    r"|.*[\s_.-](?:here|placeholder|goes)|your\w*|changeme|placeholder|example\w*|dummy\w*"
)
# What a placeholder is made of, as in `db-password`, `user_name` and `SECRET KEY`.
_PLACE_WORDS = _set(
    "password passwords passwd pass pw pwd passphrase secret secrets key keys token tokens api access auth your my "
    "here user username name client app db database admin new old the value string credential credentials account "
    "private public id service aws azure google github openai anthropic super real fake env variable a an "
    "this is not some test sample example my"
)
_PLACE_NOUNS = _set("password passwd pass pw pwd passphrase secret secrets key token credential credentials")
_PIECE = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"[+-]?[\d,._ ]*\d(?:[eE][+-]?\d+)?\s?%?|0[xX][0-9a-fA-F]{1,8}|#[0-9a-fA-F]{3,8}|inf|-inf")
_DATE = re.compile(
    r"\d{4}-\d\d?(?:-\d\d?)?(?:[T ]\d\d?:\d\d(?::\d\d(?:\.\d+)?)?\s?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\d\d?[./-]\d\d?[./-]\d{2,4}(?: \d\d?:\d\d(?::\d\d)?)?|\d\d?:\d\d(?::\d\d)?"
)
_ADDRESS = re.compile(r"(?:[a-z][a-z0-9+.-]*://|www\.|mailto:|[~.]{0,2}/|[A-Z]:\\)\S*|[\w.+-]+@[\w-]+\.[\w.-]+")
_RUN = re.compile(r"[\w+/=.~:|-]+")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}")
_DIGEST = re.compile(r"(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{56}|[0-9a-f]{64}|[0-9a-f]{128})", re.IGNORECASE)
_VOWEL = re.compile(r"[aeiouyAEIOUY]")
_NO_WORD = re.compile(r"(?i)[bcdfghjklmnpqrstvwxz]{6}|[aeiou]{5}|q[^u]|[jv][bcdfghjkmpqtwxz]|x[bdgjkmqvxz]|(.)\1\1")
_KEYBOARD = re.compile(r"(?i)abc|qwert|asdf|xyz|zzz")
_CAMEL = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SCHEME = re.compile(r"(?i)\A(?:bearer|basic|token|oauth)\s{1,3}(?=\S)")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_BASE64_END = re.compile(r"[A-Za-z0-9+/_-]{4,}={1,2}")


def is_placeholder(value: str) -> bool:
    """Whether a value stands for another one: `YOUR_PASSWORD`, `<your-key>`, `${TOKEN}`, `xxxx`, `None`, `str`."""
    value = value.strip().strip("'\"`").strip()
    if _NOTHING.fullmatch(value) or _ELSEWHERE.fullmatch(value):
        return True
    if is_filler(value):
        return True
    pieces = [each.lower() for word in _PIECE.findall(value[:200]) for each in _CAMEL.findall(word) or [word]]
    is_named = len(pieces) > 1 and _PLACE_WORDS.issuperset(pieces) and not _PLACE_NOUNS.isdisjoint(pieces)
    return is_named or (bool(_PLACE.fullmatch(value)) and not _has_digit_and_letter(value))


def is_filler(value: str) -> bool:
    """Whether a value is filled up: `xxxxxxxx`, `ghp_XXXXXXXX`, `sk-...`, `AKIA****`.

    Dots behind more than the start of a key are the cut of a text, and what stands before them may be all of a value.
    """
    filled = sum(len(found[0]) for found in _FILLER.finditer(value))
    return filled >= max(3, 0.6 * len(value)) or bool(_BEGUN.fullmatch(value)) or value.endswith(_FILLED_ENDS)


def _has_digit_and_letter(value: str) -> bool:
    return any(
        any(map(str.isdigit, piece)) and any(map(str.isalpha, piece)) and len(piece) > MIN_TOKEN_CHARACTERS
        for piece in _PIECE.findall(value)
    )


def is_random(value: str, *, is_sure: bool = False) -> bool:
    """Whether a value is a long run of letters and digits, as a generated key is, and no date or address.

    It `is_sure` for a mix of both that is no digest and no UUID either.
    """
    if len(value) < MIN_RANDOM_CHARACTERS or not _RUN.fullmatch(value) or _is_measured(value) or is_plain(value):
        return False
    if is_sure and (len(re.findall(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])", value)) < 4 or _is_digest(value)):
        return False
    has_digit, has_letter = any(map(str.isdigit, value)), any(map(str.isalpha, value))
    return has_letter and (has_digit or len(value) >= MIN_LETTERS)


def _is_digest(value: str) -> bool:
    return _DIGEST.fullmatch(value) is not None or _UUID.fullmatch(value) is not None


def _is_measured(value: str) -> bool:
    return any(pattern.fullmatch(value) for pattern in (_NUMBER, _DATE, _ADDRESS))


def is_word(piece: str) -> bool:
    """Whether letters are a word or some in one, as in `GitHub`; any short ones are, and those of other scripts."""
    if not piece.isascii():
        return piece.isalpha()
    if len(piece) <= 3:
        return piece.isalpha()
    return all(len(each) <= 3 or _is_english(each) for each in _CAMEL.findall(piece)) and _is_cased_as_words(piece)


def _is_english(word: str) -> bool:
    if len(word) <= 5 and (word.islower() or word.isupper() or word.istitle()):  # `https`, `JSON`
        return True
    share = len(_VOWEL.findall(word)) / len(word)
    return len(word) <= 20 and 0.13 <= share <= 0.8 and not _NO_WORD.search(word)


def _is_cased_as_words(piece: str) -> bool:
    """Whether capitals begin words, as in `accessToken`, and do not stand about, as in `aXbQeRz`."""
    parts = _CAMEL.findall(piece)
    most = (len(piece) + 2) // 3 if len(piece) <= 12 else len(piece) // 4
    return len("".join(parts)) == len(piece) and len(parts) <= most


def is_plain(value: str, *, strict: bool = False) -> bool:
    """Whether a value is words, a number, a date, an address or an id such as `GPL-3.0` and `ACC-0042`; if `strict`,
    only words, numbers and dates."""
    value = value.strip()
    if _is_measured(value):
        return True
    if _BASE64_END.fullmatch(value) or _UUID.fullmatch(value):
        return False
    if strict and not re.fullmatch(r"[\w\s.,'’&-]*", value):
        return False
    pieces = _PIECE.findall(value)
    if strict and _KEYBOARD.search(value):
        return False
    if _is_serial(pieces) or (strict and len(pieces) == 1 and len(value) <= 3 and not _is_short_word(value)):
        return False
    return all(_is_plain_piece(piece, strict) for piece in pieces)


def _is_serial(pieces: Sequence[str]) -> bool:
    """Whether pieces are those of a serial number, `AB12-CD34-EF56`."""
    same = len(pieces) > 2 and len({len(each) for each in pieces}) == 1 and len(pieces[0]) > 3
    with_digits = sum(any(map(str.isdigit, each)) for each in pieces)
    return same and with_digits > 1 and any(map(str.isalpha, "".join(pieces)))


def _is_plain_piece(piece: str, strict: bool) -> bool:
    if piece.isdigit():
        return len(piece) <= 8 or not strict
    if piece.isalpha():
        return is_word(piece)
    if strict:
        return False
    if len(piece) <= 4 or re.fullmatch(r"\d{1,4}[A-Za-z]{1,3}", piece):
        return True
    found = re.fullmatch(r"([^\W\d_]+)\d{1,8}", piece)
    return is_word(found[1]) if found else _is_named_with_number(piece)


def _is_named_with_number(piece: str) -> bool:
    """Whether words with a number between them make a name, as `ServerlessV2Platform`."""
    words = [word for word in _CAMEL.findall(piece) if len(word) >= 4 and _is_english(word)]
    is_named = len(piece) >= 12 and len(re.findall(r"\d+", piece)) == 1 and not _KEYBOARD.search(piece)
    return is_named and sum(map(len, words)) >= 0.75 * len(piece)


def _is_short_word(piece: str) -> bool:
    """Whether up to three characters may be a word or an abbreviation: `cat`, `MIT`; not `k`, `k1` and `xkq`."""
    return not piece.isascii() or (len(piece) > 1 and (piece.isupper() or _VOWEL.search(piece) is not None))


def is_secret_value(name: str, value: str, *, level: Level | None = None) -> bool:
    """Whether a value behind a name is a secret."""
    level = level_of(name) if level is None else level
    value = _SCHEME.sub("", value.strip())
    if level <= Level.MAYBE and len(value) < MIN_TOKEN_CHARACTERS:
        return False
    value = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value[:MAX_VALUE_CHARACTERS])
    if level == Level.NONE or is_placeholder(value):
        return False
    if is_named_after(value, name) or _TYPE.fullmatch(value) or (level != Level.PASSWORD and _NOUN.fullmatch(value)):
        return False
    if level == Level.PASSWORD:
        return _is_password(name, value)
    if level == Level.KEY:  # a sentence is about a key; one letter is a key of the keyboard, in HTML
        is_about = len(value.split()) > 2 and is_plain(value)
        return not is_about and not is_plain(value, strict=True) and (len(value) > 1 or name.lower() != "accesskey")
    if level == Level.MAYBE:
        return not re.search(r"\s", value) and not is_plain(value)
    return is_random(value)


def _is_password(name: str, value: str) -> bool:
    if name.lower().endswith("pwd") and value[:1] in "/~" and not is_random(value):  # the working directory
        return False
    if value.isdigit():
        return len(value) >= MIN_PASSWORD_DIGITS
    return not _DATE.fullmatch(value) and not re.fullmatch(r"[+-]\d+|[+-]?\d+\.\d+", value)


def is_named_after(value: str, name: str) -> bool:
    """Whether a value of some words repeats the name that it stands behind: `"refresh_token": refresh_token`."""
    mine, own = ("".join(_PIECE.findall(each)).lower() for each in (value, name))
    is_name = len(_CAMEL.findall(value)) > 1 and bool(re.fullmatch(r"[A-Za-z_][\w.-]*", value))
    return is_name and bool(own) and (mine == own or (len(own) > 7 and mine.endswith(own)))


# --- columns ------------------------------------------------------------------------------------------

# Shares of the values of a column that look like secrets, from which on the column is one.
_SHARES = {Level.PASSWORD: 0.2, Level.KEY: 0.3, Level.MAYBE: 0.3, Level.RANDOM: 0.8}
# Values of a column that says how good passwords are.
_GRADES = re.compile(r"(?i)weak|strong|medium|moderate|average|fair|good|great|bad|okay?|poor|excellent|(?:in)?secure")


def is_secret_column(name: str, values: Iterable[object]) -> bool:
    """Whether the values of a column are secrets, by its name and what they look like. Nulls do not count.

    Whole numbers count as text does: below `password` they are passwords, too.
    """
    level = level_of(name)
    if level == Level.NONE:
        return False
    texts = [_as_text(value) for value in islice(values, MAX_JUDGED)]
    judged = [text for text in texts if text.strip() and not _NOTHING.fullmatch(text.strip())]
    if not judged:
        return False
    if level == Level.PASSWORD and all(each.isalpha() or each.isdigit() for each in judged):
        return _are_plain_passwords(judged)
    found = sum(_is_secret_in_column(name, text, level) for text in judged)
    return found >= max(1, _SHARES[level] * len(judged))


def _as_text(value: object) -> str:
    """A value as text; what is neither text nor a number counts as null."""
    if isinstance(value, bytes):
        return value[:MAX_VALUE_CHARACTERS].decode("latin-1")
    if isinstance(value, str):
        return str.__str__(value)
    return str(int(value)) if isinstance(value, int) and not isinstance(value, bool) else ""


def _is_secret_in_column(name: str, text: str, level: Level) -> bool:
    if level == Level.RANDOM and _is_digest(text):
        return False
    return is_secret_value(name, text, level=level)


def _are_plain_passwords(values: Sequence[str]) -> bool:
    """Whether words or numbers in a column of passwords are some: no grades, and not the same few again and again."""
    repeats = len(values) >= 4 and len(set(values)) * 2 <= len(values)
    return not repeats and not all(_GRADES.fullmatch(each) or is_placeholder(each) for each in values)
