"""How to reach Claude: what a cell sets beside the request itself, and the headers that come of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .. import errors
from .redaction import redact

BETA = "anthropic-beta"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a header's: RFC 9110, "token"
_BETA_NAME = re.compile(r"[\w.-]+", re.ASCII)
_CREDENTIALS = ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
_OF_THE_CONNECTION = ("host", "connection", "content-type", "content-length", "content-encoding", "transfer-encoding")


@dataclass(frozen=True)
class Settings:
    """How to reach Claude. `timeout` and `max_retry_wait` are in seconds.

    `base_url` is a gateway's address instead of the provider's own. `headers` and `betas` (the values of
    `anthropic-beta`) go with each request. `mcp_tokens` are hosts of MCP servers, each with the NAME of the variable
    that holds its token.
    """

    provider: str = "anthropic"
    max_retries: int = 4
    max_retry_wait: float = 60.0
    timeout: float = 120.0
    headers: tuple[tuple[str, str], ...] = ()
    betas: tuple[str, ...] = ()
    base_url: str = ""
    mcp_tokens: tuple[tuple[str, str], ...] = ()


def headers(settings: Settings, secrets: tuple[str, ...] = ()) -> dict[str, str]:
    """The headers that a request carries beside the SDK's own.

    Raises `UsageError` for one that cannot be sent, and for one that holds a credential: those settings stand in a
    notebook. The message never holds a value.
    """
    betas = list(settings.betas)
    carried: dict[str, str] = {}
    for name, value in settings.headers:
        _check(name, value, secrets)
        if name.lower() == BETA:
            betas += [each.strip() for each in value.split(",")]
        else:
            carried[name] = value
    if any(not _BETA_NAME.fullmatch(each) for each in betas):
        raise errors.UsageError(
            "A beta's name is made of letters, digits and dashes.", advice="Look at ClaudeMagic.betas."
        )
    return {**carried, BETA: ",".join(dict.fromkeys(betas))} if betas else carried


def _check(name: str, value: str, secrets: tuple[str, ...]) -> None:
    advice = "Look at ClaudeMagic.headers."
    if not _NAME.fullmatch(name):
        raise errors.UsageError("A header's name is made of letters, digits and dashes.", advice=advice)
    if name.lower() in _OF_THE_CONNECTION:
        raise errors.UsageError(f"The header {name} is the connection's own.", advice=advice)
    if name.lower() in _CREDENTIALS or redact(value, secrets) != value or redact(name, secrets) != name:
        raise errors.UsageError(
            "A header in ClaudeMagic.headers holds a credential, which the notebook would keep.",
            advice="Put it into ANTHROPIC_CUSTOM_HEADERS, in the environment, before Jupyter starts.",
        )
    if not value.isascii() or not value.isprintable():
        raise errors.UsageError(f"The header {name} holds a line break, or a sign that no header has.", advice=advice)
