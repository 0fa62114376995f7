"""The steps from a built request to the one that is sent: pure functions from request to request.

    build → features → container → model's spelling → extra body → limits → diagnostics

To add a step that every request takes, write a function and put it into `STEPS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..conversation.turns import Conversation
from ..errors import UsageError
from ..options import Options
from . import limits, parameters, server_tools
from .build import TTL_SECONDS, Request, messages_to_send


def _lacks_nothing(feature: str) -> str | None:
    return None


@dataclass(frozen=True)
class Target:
    """The target of a request: provider, `ClaudeMagic.extra_body`, and time.

    `model` is the model's id as the provider spells it. `lacks` takes one of `providers.FEATURES`, and returns a
    sentence that the provider lacks it, or `None`. `now` is in seconds since the epoch.
    """

    model: str
    lacks: Callable[[str], str | None] = _lacks_nothing
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    now: float = 0.0


@dataclass(frozen=True)
class _Context:
    """The input that all steps share."""

    history: Conversation
    options: Options
    target: Target


def complete(request: Request, history: Conversation, options: Options, target: Target) -> Request:
    """Complete a built request for its target. Raises `UsageError` if it cannot be sent there."""
    context = _Context(history, options, target)
    for step in STEPS:
        request = step(request, context)
    return request


def in_container(request: Request, history: Conversation, now: float) -> Request:
    """The request with the `container` of the last code execution, unless that has expired.

    `now` is in seconds since the epoch.
    """
    container, note = server_tools.container(history.turns, request.params.get("tools", ()), now)
    if container:
        return replace(request, params={**request.params, "container": container})
    return replace(request, notes=(*request.notes, note)) if note else request


def diagnosed(request: Request, history: Conversation, now: float) -> Request:
    """The request with `diagnostics`, which asks for the reason of a cache miss, if a hit is to be expected.

    It is where the last reply is of the same model, and younger than the cache's TTL. `now` is in seconds since the
    epoch.
    """
    control = request.params.get("cache_control")
    before = next((turn for turn in reversed(history.turns) if messages_to_send(turn)), None)
    if control is None or before is None or before.params.get("model") != request.params["model"]:
        return request
    last = before.calls[-1]
    if last.message_id is None or last.replayed:
        return request
    if now - last.started - last.seconds > TTL_SECONDS[control.get("ttl", "5m")]:
        return request
    return replace(request, params={**request.params, "diagnostics": {"previous_message_id": last.message_id}})


def _with_features_of_the_provider(request: Request, context: _Context) -> Request:
    for feature in server_tools.needs(request.params.get("tools", ())):
        if lacking := context.target.lacks(feature):
            raise UsageError(lacking, advice="Nothing was sent.")
    return request


def _in_container(request: Request, context: _Context) -> Request:
    return in_container(request, context.history, context.target.now)


def _with_spelled_model(request: Request, context: _Context) -> Request:
    return replace(request, params={**request.params, "model": context.target.model})


def _with_extra_body(request: Request, context: _Context) -> Request:
    params = parameters.with_extra(request.params, context.target.extra_body, context.options)
    return replace(request, params=params)


def _within_limits(request: Request, context: _Context) -> Request:
    limits.check(request.params, context.target.lacks("urls"))
    return request


def _diagnosed(request: Request, context: _Context) -> Request:
    is_known = context.target.lacks("diagnostics") is None
    return diagnosed(request, context.history, context.target.now) if is_known else request


STEPS: tuple[Callable[[Request, _Context], Request], ...] = (
    _with_features_of_the_provider,
    _in_container,
    _with_spelled_model,
    _with_extra_body,
    _within_limits,
    _diagnosed,
)
