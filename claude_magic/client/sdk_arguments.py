"""A request's parameters as arguments of the SDK's methods: those that they name, and the rest as `extra_body`.

Beta features go by header, not by `client.beta.messages`: the body on the wire is the same, every gateway knows the
path, and importing the beta types takes another tenth of a second (CLAUDE_API.md §1, §8).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .settings import BETA

# What the methods take beside parts of the body.
_NOT_BODY = {"user_profile_id", "workspace_id", "extra_headers", "extra_query", "extra_body", "timeout"}
# What only the beta count knows (CLAUDE_API.md §7).
_COUNTED_WITH_BETAS = ("context_management", "mcp_servers")


def create_arguments(
    create: Callable[..., Any], params: Mapping[str, Any], headers: Mapping[str, str]
) -> dict[str, Any]:
    """The arguments of `messages.create` that make the body exactly `params`."""
    known = _named(create)
    named = {name: value for name, value in params.items() if name in known}
    other = {name: value for name, value in params.items() if name not in known}
    return {**named, **_extra(headers, other)}


def count_arguments(count: Callable[..., Any], params: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """The arguments of `messages.count_tokens` for a request: what that endpoint does not take is left out."""
    known = _named(count)
    named = {name: value for name, value in params.items() if name in known}
    beta = {name: params[name] for name in _COUNTED_WITH_BETAS if name in params and BETA in headers}
    return {**named, **_extra(headers, beta)}


@functools.lru_cache(maxsize=16)  # of many requests side by side it is always the same method
def _named(method: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(method).parameters) - _NOT_BODY


def _extra(headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    given = {"extra_headers": dict(headers), "extra_body": dict(body)}
    return {name: value for name, value in given.items() if value}
