"""Connection settings, the request headers made of them, and tokens for MCP servers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from .. import errors
from ..content.secrets import Hidden
from .redaction import redact, secrets_of

BETA = "anthropic-beta"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # the name of a header: RFC 9110, "token"
_BETA_NAME = re.compile(r"[\w.-]+", re.ASCII)
_CREDENTIALS = ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
_OF_THE_CONNECTION = ("host", "connection", "content-type", "content-length", "content-encoding", "transfer-encoding")


@dataclass(frozen=True)
class Settings:
    """Connection settings. `timeout` and `max_retry_wait` are in seconds.

    `base_url` is the address of a gateway, in place of the provider's own. `headers` and `betas` (values of
    `anthropic-beta`) are sent with each request. `mcp_tokens` are hosts of MCP servers, each with the NAME of the
    environment variable that holds its token. The address and the values of headers, which can hold a password, are
    `Hidden`.
    """

    provider: str = "anthropic"
    max_retries: int = 4
    max_retry_wait: float = 60.0
    timeout: float = 120.0
    headers: tuple[tuple[str, str], ...] = ()
    betas: tuple[str, ...] = ()
    base_url: str = ""
    mcp_tokens: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_url", Hidden(self.base_url))
        object.__setattr__(self, "headers", tuple((name, Hidden(value)) for name, value in self.headers))


def headers(settings: Settings, secrets: tuple[str, ...] = ()) -> dict[str, str]:
    """The headers of a request besides the SDK's own.

    Raises `UsageError` for a header that cannot be sent, and for one that holds a credential: these settings are
    saved in notebooks. The message never contains a header's value.
    """
    betas = list(settings.betas)
    extra_headers: dict[str, str] = {}
    for name, value in settings.headers:
        _check(name, value, secrets)
        if name.lower() == BETA:
            betas += [each.strip() for each in value.split(",")]
        else:
            extra_headers[name] = value
    if any(not _BETA_NAME.fullmatch(each) for each in betas):
        raise errors.UsageError(
            "A beta's name is made of letters, digits and dashes.", advice="Look at ClaudeMagic.betas."
        )
    return {**extra_headers, BETA: ",".join(dict.fromkeys(betas))} if betas else extra_headers


def _check(name: str, value: str, secrets: tuple[str, ...]) -> None:
    advice = "Look at ClaudeMagic.headers."
    if not _NAME.fullmatch(name):
        raise errors.UsageError("A header's name is made of letters, digits and dashes.", advice=advice)
    if name.lower() in _OF_THE_CONNECTION:
        raise errors.UsageError(f"The header {name} is set by the connection itself.", advice=advice)
    if name.lower() in _CREDENTIALS or redact(value, secrets) != value or redact(name, secrets) != name:
        raise errors.UsageError(
            "A header in ClaudeMagic.headers holds a credential, which the notebook would keep.",
            advice="Put it into ANTHROPIC_CUSTOM_HEADERS, in the environment, before Jupyter starts.",
        )
    if not value.isascii() or not value.isprintable():
        raise errors.UsageError(
            f"The header {name} holds a line break, or a character that no header has.", advice=advice
        )


# The name of an environment variable. Any other text may be the token itself, and is not shown.
VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def token_variables(given: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """`ClaudeMagic.mcp_tokens` as pairs of host and variable name.

    Raises `UsageError` for a value that is no variable name, without showing it.
    """
    for host, variable in given.items():
        if not VARIABLE.fullmatch(variable):
            raise errors.UsageError(
                f"ClaudeMagic.mcp_tokens for {host!r} wants the NAME of an environment variable, in capitals.",
                advice="A token in a cell is a token in the file: `%claude_key HOST` asks for it with hidden input.",
            )
    return tuple((host.lower(), variable) for host, variable in given.items())


def with_tokens(
    params: Mapping[str, Any], named: tuple[tuple[str, str], ...], kept: Mapping[str, Hidden]
) -> Mapping[str, Any]:
    """The parameters with the tokens of their MCP servers.

    `named` are pairs of host and environment variable; `kept` are tokens by host, which go first. Raises
    `CredentialsError` for a variable that is not set.
    """
    servers = params.get("mcp_servers")
    if not servers:
        return params
    return {**params, "mcp_servers": [_with_token(server, dict(named), kept) for server in servers]}


def _with_token(server: Mapping[str, Any], named: Mapping[str, str], kept: Mapping[str, Hidden]) -> Mapping[str, Any]:
    parts = urlsplit(str(server.get("url")))
    host = (parts.hostname or "").lower()
    if parts.scheme != "https" or "authorization_token" in server:
        return server
    token = kept.get(host)
    if token is None and host in named:
        token = _token(named[host])
        if not token:
            raise errors.CredentialsError(
                f"The environment variable {named[host]} is not set; ClaudeMagic.mcp_tokens names it for the token of "
                f"{host}.",
                advice=f"Set it before Jupyter starts, or run %claude_key {host}, which asks with hidden input.",
            )
    return {**server, "authorization_token": token} if token else server


def _token(variable: str) -> Hidden:
    return Hidden(os.environ.get(variable, "").strip())


def tokens_in_environment(settings: Settings) -> tuple[Hidden, ...]:
    """The tokens of MCP servers in the environment variables that `mcp_tokens` names."""
    return secrets_of(*(_token(variable) for _, variable in settings.mcp_tokens))
