"""Settings of how Claude is reached, the request headers that follow from them, and tokens for MCP servers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

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


# A variable's name. What looks otherwise may be the token itself, and is not shown.
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def token_variables(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Host and variable of each row of `ClaudeMagic.mcp_tokens`. Raises `UsageError`, without showing it, for a value
    that is no variable's name."""
    for host, variable in given.items():
        if not VARIABLE.fullmatch(variable):
            raise errors.UsageError(
                f"ClaudeMagic.mcp_tokens for {host!r} wants the NAME of an environment variable, in capitals.",
                advice="A token in a cell is a token in the file: `%claude_key HOST` asks for it with hidden input.",
            )
    return tuple((host.lower(), variable) for host, variable in given.items())


def with_tokens(
    params: Mapping[str, Any], named: tuple[tuple[str, str], ...], kept: Mapping[str, str]
) -> Mapping[str, Any]:
    """The parameters with the token of each MCP server that has one: `named` by host and variable, `kept` by host.

    Raises `CredentialsError` for a variable that is not set.
    """
    servers = params.get("mcp_servers")
    if not servers:
        return params
    return {**params, "mcp_servers": [_with_token(server, dict(named), kept) for server in servers]}


def _with_token(server: Mapping[str, Any], named: Mapping[str, str], kept: Mapping[str, str]) -> Mapping[str, Any]:
    parts = urlsplit(str(server.get("url")))
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or "authorization_token" in server:
        return server
    token = kept.get(host)
    if token is None and host in named:
        token = os.environ.get(named[host], "").strip()
        if not token:
            raise errors.CredentialsError(
                f"There is no {named[host]} in the environment, where ClaudeMagic.mcp_tokens says that the token for "
                f"{host} is.",
                advice=f"Set it before Jupyter starts, or run %claude_key {host}, which asks with hidden input.",
            )
    return {**server, "authorization_token": token} if token else server
