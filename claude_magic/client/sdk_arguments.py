"""Request parameters → arguments of the SDK's methods: the named ones, and the rest as `extra_body`.

Beta features are requested by header, not by `client.beta.messages`: the body on the wire is the same, every gateway
knows the path, and importing the beta types takes another 0.1 s (CLAUDE_API.md §1, §8).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .settings import BETA

# Arguments of the methods that are not part of the body.
_NOT_BODY = {"user_profile_id", "workspace_id", "extra_headers", "extra_query", "extra_body", "timeout"}
# Parameters that token counting takes only with a beta header (CLAUDE_API.md §7).
_COUNTED_WITH_BETAS = ("context_management", "mcp_servers")


def create_arguments(
    create: Callable[..., Any], params: Mapping[str, Any], headers: Mapping[str, str]
) -> dict[str, Any]:
    """Arguments of `messages.create` that make the body exactly `params`."""
    known = _parameter_names(create)
    named = {name: value for name, value in params.items() if name in known}
    other = {name: value for name, value in params.items() if name not in known}
    return {**named, **_extra_arguments(headers, other)}


def count_arguments(count: Callable[..., Any], params: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Arguments of `messages.count_tokens` for a request; parameters that the endpoint does not take are left out."""
    known = _parameter_names(count)
    named = {name: value for name, value in params.items() if name in known}
    beta = {name: params[name] for name in _COUNTED_WITH_BETAS if name in params and BETA in headers}
    return {**named, **_extra_arguments(headers, beta)}


@functools.lru_cache(maxsize=16)  # all requests of a client use the same few methods
def _parameter_names(method: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(method).parameters) - _NOT_BODY


def _extra_arguments(headers: Mapping[str, str], body: Mapping[str, Any]) -> dict[str, Any]:
    given = {"extra_headers": dict(headers), "extra_body": dict(body)}
    return {name: value for name, value in given.items() if value}
