"""Redaction of text that is shown: keys removed, length limited."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from ..content.secrets import Hidden
from ..content.text import join_line
from ..providers import variable_prefixes

MAX_MESSAGE_CHARACTERS = 500
MIN_SECRET_CHARACTERS = 8
_KEY_LIKE = re.compile(r"sk-ant-[\w-]+")
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/?#\s@]*@")
_SECRET = re.compile("KEY|TOKEN|SECRET", re.IGNORECASE)
_ESCAPE_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Text with keys, and the user part of URLs, replaced by `…`."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return _USER_IN_ADDRESS.sub("…@", _KEY_LIKE.sub("sk-ant-…", text))


def one_line(message: object, secrets: tuple[str, ...] = ()) -> str:
    """A message of another library or server on one line, of `MAX_MESSAGE_CHARACTERS` at most.

    Keys are replaced before the cut, which could leave the half of one; characters that do not print are left out.
    """
    plain = _ESCAPE_SEQUENCE.sub("", str(message or ""))
    text = redact(join_line("".join(each for each in plain if each.isprintable() or each.isspace())), secrets)
    return text if len(text) <= MAX_MESSAGE_CHARACTERS else text[:MAX_MESSAGE_CHARACTERS] + " …"


def shown_address(url: str) -> str:
    """A URL without the parts that may hold a secret: user and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def environment_secrets() -> tuple[Hidden, ...]:
    """Keys and tokens in environment variables, and the values of ANTHROPIC_CUSTOM_HEADERS."""
    prefixes = variable_prefixes()
    values = [value for name, value in os.environ.items() if name.upper().startswith(prefixes) and _SECRET.search(name)]
    lines = os.environ.get("ANTHROPIC_CUSTOM_HEADERS", "").splitlines()
    return secrets_of(*values, *(line.partition(":")[2] for line in lines))


def secrets_of(*values: str | None) -> tuple[Hidden, ...]:
    """The values that are long enough to be a secret, stripped of white space."""
    return tuple(Hidden(each.strip()) for each in values if each and len(each.strip()) >= MIN_SECRET_CHARACTERS)
