"""Secrets known by their form, whatever name they have: keys of services, private keys, passwords in addresses.

The forms are those of the rules that scanners publish (gitleaks' `config/gitleaks.toml`, TruffleHog's detectors,
GitHub's secret scanning partners). Each search is linear: a literal is found, and a bounded pattern
matched there.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from .secret_names import is_filler, is_placeholder, is_plain, is_word
from .text import CUT_NOTE

Span = tuple[int, int]

# How far a key reaches to the left and the right of the literal in its middle.
MAX_REACH = 400
# The longest private key; an end line farther away is that of another.
MAX_KEY_CHARACTERS = 20_000
# How far behind `curl` its `-u` may stand.
MAX_COMMAND_CHARACTERS = 1_000
# A longer value is no secret as a whole: the longest are private keys and tokens with much in them.
MAX_VALUE_CHARACTERS = 10_000

# --- keys of services ---------------------------------------------------------------------------------

_HEX = r"[0-9a-fA-F]"
_ENDS = r"(?![A-Za-z0-9_-])"
# What follows a prefix, and the prefixes.
_AFTER_PREFIXES: tuple[tuple[str, str], ...] = (
    (r"[\w-]{4,300}", "sk-ant-"),
    (
        r"[A-Za-z0-9_-]{20,300}",
        # models and their tools
        "sk- sk-proj- sk-svcacct- sk-admin- sk-or-v1- sk-lf- ctx7sk- tvly- pplx- nvapi- csk- xai- pa- lsv2_pt_ "
        "lsv2_sk_ gsk_ r8_ pcsk_ jina_ e2b_ fw_ tgp_v1_ wandb_v1_ KGAT_ esecret_ ls__ apify_api_ aio_ alcht_ phx_ phs_ "
        # where things run, are kept and are seen
        "pgar_ glsa_ tskey- sbp_ sb_secret_ nfp_ rnd_ napi_ dckr_pat_ dckr_oat_ vcp_ vck_ vci_ vca_ vcr_ "
        "vercel_blob_rw_ cfut_ cfat_ cfk_ pscale_tkn_ pscale_oauth_ pscale_pw_ pnu_ pnb_ bkua_ squ_ sqp_ sqa_ sgp_ "
        "rubygems_ CLOJARS_ rootly_ HRKU- NRAK- NRJS- NRII- NRIQ- NRRA- NRSP- NRBR- CCIPAT_ pul- ico- tk-us- fo1_ "
        "sntryu_ BBDC- BBFF- ATBB tr_dev_ tr_prod_ waka_ dnkey- cmVmd "
        # work, shops, money and mail
        "figd_ figp_ figu_ figo_ ntn_ CFPAT- PMAK- PMAT- rdme_ tfp_ shpat_ shpca_ shppa_ shpss_ shpua_ shptka_ "
        "duffel_test_ duffel_live_ shippo_live_ shippo_test_ xkeysib- xsmtpsib- sq0atp- sq0csp- EZAK EZTK FLWSECK- "
        "FLWSECK_TEST- p8e- fio-u- s-s4t2ud- s-s4t2af- access-sandbox- access-production- access-development- 3MVG9",
    ),
    (
        r"[A-Za-z0-9]{16,300}",
        "hf_ api_org_ npm_ dop_v1_ doo_v1_ dor_v1_ lin_api_ lin_oauth_ whsec_ ghp_ gho_ ghu_ ghs_ ghr_",
    ),
    (
        r"[A-Za-z0-9_]{10,300}",
        "github_pat_ sk_live_ sk_test_ sk_prod_ rk_live_ rk_test_ rk_prod_ pk_live_ pk_test_",
    ),
    (r"[A-Za-z0-9]{14,100}", "rzp_live_ rzp_test_ sm_aat_ sm_pat_ sm_sat_"),
    (r"[\w-]{10,300}", "xapp- xoxa- xoxb- xoxc- xoxd- xoxe- xoxo- xoxp- xoxr- xoxs- xoxe.xoxp- xoxe.xoxb- pypi-"),
    (
        r"[\w.-]{10,400}",
        "glpat- gldt- glft- glrt- glptt- glimt- glagent- gloas- glsoat- glcbt- glffct- glwt- GR1348941",
    ),
    (
        r"[\w.-]{20,400}",
        "ya29. SG. hvs. hvb. hvr. GOCSPX- AQ. dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. mlsn. snyk_uat. "
        "snyk_sat. 1//0",
    ),
    (r"[\w-]{30,60}", "AIza"),
    (r"[A-Z0-9]{16,17}(?![A-Za-z0-9])", "AKIA ASIA ABIA ACCA A3T"),
    (r"[A-Za-z0-9]{16,24}(?![A-Za-z0-9])", "LTAI"),
    (r"[A-Za-z0-9+/]{100,300}={0,2}", "ABSK"),
    (r"[A-Za-z0-9+/=]{4,300}", "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t"),
    (r"[A-Za-z0-9+/=_]{20,800}", "glc_ sntrys_ fm1r_ fm1a_ fm2_ ops_eyJ eyJrIjoi"),
    (rf"{_HEX}{{32}}(?:-\d)?(?![A-Za-z0-9])", "dapi dose dkea SK key- fc-"),
    (rf"{_HEX}{{40,64}}(?![A-Za-z0-9])", "sk_"),
    (r"[\w=-]{50,400}", "ATATT3 ATCTT3 AKCp EAAA"),
    (rf"[A-Za-z0-9]{{38}}{_ENDS}", "4b1d"),
    (rf"[A-Za-z0-9]{{43}}{_ENDS}", "secret_ oy2"),
    (rf"[A-Za-z0-9]{{32}}{_ENDS}", "cio"),
    (rf"[A-Za-z0-9]{{8}}_[A-Za-z0-9]{{20,40}}{_ENDS}", "re_"),
    (r"[0-9]{5,12}_[A-Z0-9]{32}", "pk_"),
    (r"[A-Z0-9]{25,40}(?![A-Za-z0-9])", "API-"),
    (r"[A-Za-z0-9]{14}\.[a-f0-9]{64}", "pat"),
    (r"[\w-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}", "pat. sat."),
    (r"[A-Za-z0-9]{1,64}_[a-f0-9]{40}", "sk_pr_"),
    (r"[\w-]{40,200}", "tkn.v1_"),
    (r"[a-f0-9]{32}", "spu-"),
    (r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}", "A3-"),
    (r"[A-Z0-9]{24}\.[A-Z0-9]{64}", "dt0c01. dt0s01. dt0s16."),
    (rf"[\w-]{{43}}{_ENDS}", "sha256~"),
    (r"[A-Za-z0-9-]{171}", "v1.0-"),
    (r"[A-Za-z0-9]{58}", "AGE-SECRET-KEY-1"),
    (r"[A-Za-z0-9%]{80,120}", "AAAAAAAAAAAAAAAAAAAAA"),
    (r"[A-Za-z0-9]{100,300}", "EAA"),
    (r"[\w-]{100,300}", "sl."),
)
# Compiled when they are met, by `re` itself: most texts have none of them.
_AFTER = {prefix: after for after, prefixes in _AFTER_PREFIXES for prefix in prefixes.split()}


def _any_of(words: Iterable[str]) -> str:
    """A pattern for the longest of some words, as a tree of letters: hundreds take no longer than one."""
    rests: dict[str, list[str]] = {}
    for word in words:
        rests.setdefault(word[:1], []).append(word[1:])
    ends = rests.pop("", None) is not None
    branches = [re.escape(letter) + _any_of(following) for letter, following in sorted(rests.items())]
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)}){'?' if ends else ''}"


_FIRST = "".join(sorted({prefix[0] for prefix in _AFTER}))
_PREFIX = re.compile(rf"(?<![A-Za-z0-9])(?=[{_FIRST}])({_any_of(_AFTER)})")


@cache
def _escaped_prefix() -> re.Pattern[str]:
    """A prefix behind the letter of an escaped line break, as in the JSON of a notebook."""
    return re.compile(rf"\\[nrt]({_any_of(_AFTER)})")


# Prefixes that other words have as well (`sk-learn`, `pypi-…`), and those that are no end of a name (`task_…`).
_NO_PART = frozenset(
    [
        "sk-",
        "pa-",
        "fc-",
        "key-",
        "re_",
        "pk_",
        "sk_",
        "fw_",
        "aio_",
        "cio",
        "pat",
        "secret_",
        "csk-",
        "e2b_",
        "ico-",
        "API-",
    ]
)
# Prefixes of keys that have numbers and short words in them.
_NUMBERED = ("xox", "xapp", "gl", "GR", "AKIA", "ASIA")
_LONG_NUMBER = re.compile(r"\d{9}")


def _by_prefix(text: str) -> Iterator[Span]:
    escaped = _escaped_prefix().finditer(text) if "\\" in text else ()
    for found in itertools.chain(_PREFIX.finditer(text), escaped):
        start, at = found.span(1)
        prefix = found[1]
        if prefix in _NO_PART and start and text[start - 1] in "-_./":
            continue
        after = re.compile(_AFTER[prefix]).match(text, at)
        if after is not None and _is_key(prefix, after[0]):
            yield start, after.end()


def _is_key(prefix: str, body: str) -> bool:
    """Whether what follows a prefix is a key, and no filler (`ghp_xxxx`) and no words (`hf_requiredTypes`)."""
    if prefix == "sk-ant-":
        return True
    if is_filler(body) or (prefix.startswith(("EAA", "AAA")) and len(set(body)) < 20):  # zeros in base64
        return False
    if any(map(str.isdigit, body)):
        return prefix.startswith(_NUMBERED) or not is_plain(body.rstrip("-_.")) or _LONG_NUMBER.search(body) is not None
    return any(_is_jumbled(piece) for piece in re.findall(r"[A-Za-z]{16,}", body))


def _is_jumbled(letters: str) -> bool:
    """Whether letters make no words: capitals stand about, or the same few come again and again."""
    return len(set(letters)) <= 10 or not (letters.islower() or is_word(letters))


# Literals inside of a key, what the key is made of, and the form of the whole.
_AROUND: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (literal, made_of, re.compile(form))
    for literal, made_of, form in (
        ("Q~", r"[\w~.-]", r"[\w~.]{3}\dQ~[\w~.-]{31,34}"),  # Entra ID
        (".atlasv1.", r"[\w=.-]", r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,70}"),  # HCP Terraform
        ("JQQJ99", r"[A-Za-z0-9]", r"[A-Za-z0-9]{40,60}JQQJ99[A-Za-z0-9]{20,40}"),  # Azure
        ("-us", r"[0-9a-z-]", r"[0-9a-f]{32}-us\d{1,2}"),  # Mailchimp
        (":AA", r"[\w:-]", r"\d{5,16}:AA[\w-]{32,34}"),  # Telegram
        (":fx", r"[0-9a-f:x-]", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}:fx"),  # DeepL
        ("_mmk", r"\w", r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),  # MaxMind
        ("AZDO", r"[A-Za-z0-9]", r"[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}"),  # Azure DevOps
        (
            ".acc",
            r"[\w.+/=-]",
            r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][\w-]{10,32}\.[\w+/=-]{30,120}",
        ),
    )
)


def _by_middle(text: str) -> Iterator[Span]:
    for literal, made_of, form in _AROUND:
        at = text.find(literal)
        while at >= 0:
            left, right = _reach(made_of)
            begins = left.search(text[max(0, at - MAX_REACH) : at])
            start = at - len(begins[0]) if begins else at
            ends = right.match(text, at)
            end = ends.end() if ends else at
            if form.fullmatch(text, start, end):
                yield start, end
            at = text.find(literal, at + len(literal))


@cache
def _reach(made_of: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(rf"{made_of}{{0,{MAX_REACH}}}\Z"), re.compile(rf"{made_of}{{0,{MAX_REACH}}}")


# --- forms with a group for the secret ----------------------------------------------------------------


def _anything(value: str) -> bool:
    return True


def _has_digit(value: str) -> bool:
    return any(map(str.isdigit, value)) and not is_filler(value)


def _no_words(value: str) -> bool:
    if value.startswith("$") or is_placeholder(value):
        return False
    return not is_plain(value) or (len(value) >= 12 and _has_digit(value))


_STAND_INS = (
    "password",
    "pass",
    "passwd",
    "pwd",
    "pw",
    "secret",
    "token",
    "key",
    "user",
    "username",
    "yyy",
    "foo",
    "bar",
)


def _is_password(value: str) -> bool:
    """Whether what stands behind a user's name and a colon is a password: no number, as in `1000:1000`, and no
    placeholder."""
    return not value.isdigit() and not is_placeholder(value) and value.strip("'\"<>").lower() not in _STAND_INS


def _is_cut_password(value: str) -> bool:
    """Whether what stands behind a colon in an address, where a text is cut, is a password, and no host's port."""
    return _is_password(value) and not re.match(r"\d{1,5}(?:\W|$)|port\b", value)


def _is_user_and_password(value: str) -> bool:
    """Whether base64 holds `user:password`, as in the configuration of Docker and npm; its end may be cut off."""
    try:
        return b":" in base64.b64decode(value[: len(value) // 4 * 4], validate=True)
    except (ValueError, binascii.Error):
        return False


# Where a long text was cut, behind the last that is kept of it.
_CUT = r"\n?" + re.escape(CUT_NOTE)
# The rest of a line of `.pgpass`: port, database, user, password.
_PGPASS = rf"(?:\d{{4,5}}|\*):[^\s:]{{1,100}}:[^\s:]{{1,100}}:(\S{{1,200}}?)(?:$|{_CUT})"
# A literal that the text must have, in lower case; a pattern, of which only the last group is masked; a check. What can
# stand first in a pattern is a literal, which is found fast; what must not stand before it is said behind it.
_FORMS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = tuple(
    (literal, re.compile(pattern), check)
    for literal, pattern, check in (
        ("eyj", r"eyJ(?:(?<![\w-]eyJ)|(?<=\\[nrt]eyJ))[\w-]{8,}+={0,2}\.[\w-]{8,}+={0,2}(?:\.[\w-]*+)?", _anything),
        ("zxlk", r"ZXlK(?<![\w-]ZXlK)[A-Za-z0-9+/_-]{60,}+={0,2}", _anything),
        (".", r"(?<![\w-])[MNO][\w-]{22,28}\.[\w-]{6}\.[\w-]{27,42}", _no_words),  # Discord
        ("hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/([\w/]{20,300})", _anything),
        ("/api/webhooks/", r"/api/webhooks/\d{15,20}/([\w-]{50,100})", _anything),
        (".webhook.office.com/", r"\.webhook\.office\.com/webhookb2/([\w@/-]{60,300})", _anything),
        ("hooks.zapier.com/", r"hooks\.zapier\.com/hooks/catch/([\w/]{10,60})", _anything),
        ("bearer", r"[Bb](?:earer|EARER)(?<!\w{7})[ \t]{1,3}([A-Za-z0-9._~+/=-]{12,})", _has_digit),
        (
            "authorization",
            r"[Aa](?:uthorization|UTHORIZATION)(?<!\w{14})\\?[\"']?"
            r"[ \t]{0,3}[:=][ \t]{0,3}\\?[\"']?[\w-]{1,20}[ \t]{1,3}([^\s\"'\\,;]{4,})",
            _no_words,
        ),
        (
            "=",
            r"(?i)[?&](?:sig|signature|token|key|access_token|api_?key|auth|pwd|password|secret|client_secret"
            r"|x-amz-signature)=([^\s&\"'<>#()\[\]]{8,})",
            _no_words,
        ),
        ("://", r"://[^\s/:@\"'<>]{0,200}:([^\s/\"'<>(){}|\\]{1,300})@", _is_password),
        ("://", rf"://[^\s/:@\"'<>\[\]]{{1,200}}:([^\s/\"'<>(){{}}|\\]{{1,300}}){_CUT}", _is_cut_password),
        (CUT_NOTE, rf"{_CUT}[^\]\n]{{0,50}}\]\n([^\s/@\"'<>(){{}}|\\]{{1,300}})@[\w.-]{{1,200}}[:/]", _anything),
        ("://", r"://([^\s/:@\"'<>]{16,300})@", lambda value: _has_digit(value) and not is_plain(value)),
        (
            "machine",
            r"machine(?<!\wmachine)\s{1,20}\S{1,200}\s{1,40}(?:(?:login|account)\s{1,20}\S{1,200}\s{1,40}){0,2}"
            r"password\s{1,20}(\S{1,300})",
            _is_password,
        ),
        (
            "login",
            r"default(?<!\wdefault)\s{1,20}login\s{1,20}\S{1,200}\s{1,40}password\s{1,20}(\S{1,300})",
            _is_password,
        ),
        (
            "username",
            r"\"username\"\s{0,5}:\s{0,5}\"[^\"\n]{1,100}\"\s{0,5},\s{0,20}\"key\"\s{0,5}:\s{0,5}\"(\w{16,100})\"",
            _anything,
        ),
        (
            "_auth",
            r"(?m)_auth(?<=[:\n]_auth)[ \t]{0,3}=[ \t]{0,3}\"?([A-Za-z0-9+/]{8,400}={0,2})",
            _is_user_and_password,
        ),
        ("auth", rf"\"auth\"\s{{0,5}}:\s{{0,5}}\"([A-Za-z0-9+/]{{8,400}}={{0,2}})(?:\"|{_CUT})", _is_user_and_password),
        (
            "auth",
            r"auth(?<!\wauth)\s{0,3}=\s{0,3}\(\s{0,5}[\"'][^\"'\n]{1,100}[\"']\s{0,5},\s{0,5}[\"']"
            rf"([^\"'\n]{{1,200}}?)(?:[\"']|{_CUT})",
            _is_password,
        ),
        ("sshpass", r"sshpass(?<!\wsshpass)[ \t]{1,3}-p[ \t]{0,3}[\"']?([^\s\"']{1,200})", _is_password),
        (":", r"(?m)^(?:\*|localhost|[\w-]{1,60}\.[\w.-]{1,200}):" + _PGPASS, _is_password),
        (":", r"(?m)^[\w-]{1,200}:" + _PGPASS, lambda value: _is_password(value) and not is_plain(value)),
        ("mysql", r"mysql(?:dump|admin)?[ \t][^\n]{0,100}?[ \t]-p([^\s\"'-][^\s\"']{1,100})", _no_words),
        ("redis-cli", r"redis-cli[ \t][^\n]{0,100}?-a[ \t]{1,3}([^\s\"'-][^\s\"']{1,100})", _no_words),
        ("private-lines", r"Private-Lines: \d{1,3}\r?\n((?:[A-Za-z0-9+/=]{1,100}\r?\n?){1,200})", _anything),
    )
)


def spans(text: str) -> Iterator[Span]:
    """The spans of all secrets that are known by their form."""
    yield from _by_prefix(text)
    yield from _by_middle(text)
    lowered = text.lower()
    for literal, pattern, check in _FORMS:
        if literal not in lowered:
            continue
        group = pattern.groups
        yield from (found.span(group) for found in pattern.finditer(text) if check(found[group]))
    yield from _of_users(text)
    yield from _in_kubernetes(text)
    yield from _private_keys(text)


def is_secret(value: str) -> bool:
    """Whether a value as a whole is a secret, by its form."""
    value = value.strip()
    is_short = len(value) <= MAX_VALUE_CHARACTERS
    return is_short and any(start == 0 and end == len(value) for start, end in spans(value))


_USER = re.compile(r"(?<!\S)(?:-u|--user)[ \t=]{1,3}[\"']?[^\s:\"']{0,80}:[\"']?([^\s\"']{1,200})")
_ASKS_THE_WEB = re.compile(r"\b(?:curl|wget|https?|xh|aria2c|lftp)\b")


def _of_users(text: str) -> Iterator[Span]:
    """The passwords of `curl -u name:password`; not the groups of `docker run -u 1000:1000`."""
    if "-u" not in text:
        return
    for found in _USER.finditer(text):
        before = text[max(0, found.start() - MAX_COMMAND_CHARACTERS) : found.start()].rpartition("\n\n")[2]
        asks = _ASKS_THE_WEB.search(before) is not None
        if _is_password(found[1]) and (asks or (_has_digit(found[1]) and not is_plain(found[1]))):
            yield found.span(1)


# --- files with several secrets -----------------------------------------------------------------------

_SECRET_KIND = re.compile(r"(?mi)^[ \t]{0,20}kind:[ \t]{0,5}[\"']?Secret[\"']?[ \t]*\r?$")
_DATA = re.compile(r"(?m)^([ \t]{0,20})(?:data|stringData):[ \t]*\r?\n((?:\1[ \t]+\S[^\n]*\n?)+)")
_DATUM = re.compile(r"(?m)^[ \t]+[\"']?[\w.-]{1,200}[\"']?:[ \t]{1,5}[\"']?([^\s\"'#|>][^\s\"']{0,4000})")


def _in_kubernetes(text: str) -> Iterator[Span]:
    """The data of Kubernetes' secrets: what stands below `data:` in a document of the kind `Secret`."""
    at = 0
    while "kind:" in text and (kind := _SECRET_KIND.search(text, at)):
        start, at = text.rfind("\n---", at, kind.start()) + 1, text.find("\n---", kind.end())
        at = len(text) if at < 0 else at
        for data in _DATA.finditer(text, start, at):
            for datum in _DATUM.finditer(text, data.start(2), data.end(2)):
                if not is_placeholder(datum[1]):
                    yield datum.span(1)


_KEY_BEGINS = re.compile(r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
# Of a pattern for keys, which is none.
_PATTERN = re.compile(r"[\[\](){}*^$]")
_KEY_ENDS = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
# Lines of a key whose end is cut off: headers and base64.
_KEY_LINES = re.compile(
    r"(?:(?:\s|\\[nr]){1,8}(?:[\w-]{1,30}: [^\n\\]{1,100}|[A-Za-z0-9+/=]{1,4000})"
    r"(?=[ \t]{0,20}(?:[\r\n\"'…]|\\[nr]|\Z)))+"
)


def _private_keys(text: str) -> Iterator[Span]:
    """The spans of PEM private keys; one without its end line, as in shortened text, goes as far as its lines do."""
    at = 0
    while begins := _KEY_BEGINS.search(text, at):
        following = _KEY_BEGINS.search(text, begins.end())
        limit = min(following.start() if following else len(text), begins.end() + MAX_KEY_CHARACTERS)
        ends = _KEY_ENDS.search(text, begins.end(), limit)
        lines = None if ends else _KEY_LINES.match(text, begins.end())
        at = ends.end() if ends else lines.end() if lines else begins.end()
        if (ends or lines) and not _PATTERN.search(text, begins.end(), min(at, begins.end() + 200)):
            yield begins.start(), at
