"""Tokens for MCP servers: found where they are kept, put into what is sent, and nowhere else.

By the server's host, not by a name: a notebook of somebody else's may call its own server what it likes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .. import errors

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
