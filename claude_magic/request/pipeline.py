"""From the bare request to the one that is sent: a list of pure steps, each a request in and a request out.

    build → container → spelled model → extra body → limits → diagnostics

A new thing that every request needs is a function here and a place in `STEPS`.
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


def _takes_all(feature: str) -> str | None:
    return None


@dataclass(frozen=True)
class Target:
    """Where a request goes: what it has to know of the provider, the reader's additions, and the time.

    `model` is the id as the provider spells it; `lacks` says in a sentence what the provider does not have of a
    feature, `None` where it has it. `now` is in seconds since the epoch.
    """

    model: str
    lacks: Callable[[str], str | None] = _takes_all
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    now: float = 0.0


@dataclass(frozen=True)
class _Context:
    """What the steps look at, and do not change."""

    history: Conversation
    options: Options
    target: Target


def complete(asked: Request, history: Conversation, options: Options, target: Target) -> Request:
    """The request as it is sent to a target. Raises `UsageError` where it cannot be."""
    context = _Context(history, options, target)
    for step in STEPS:
        asked = step(asked, context)
    return asked


def in_container(asked: Request, history: Conversation, now: float) -> Request:
    """The request in the container in which the last code ran, while that lives. `now` is in seconds since the
    epoch."""
    container, note = server_tools.container(history.turns, asked.params.get("tools", ()), now)
    if container:
        return replace(asked, params={**asked.params, "container": container})
    return replace(asked, notes=(*asked.notes, note)) if note else asked


def diagnosed(asked: Request, history: Conversation, now: float) -> Request:
    """The request with the question why the cache was missed, where a hit is to be expected: the last reply is of the
    same model, and not older than the cache keeps. `now` is in seconds since the epoch."""
    control = asked.params.get("cache_control")
    before = next((turn for turn in reversed(history.turns) if messages_to_send(turn)), None)
    if control is None or before is None or before.params.get("model") != asked.params["model"]:
        return asked
    last = before.calls[-1]
    if last.message_id is None or last.replayed:
        return asked
    if now - last.started - last.seconds > TTL_SECONDS[control.get("ttl", "5m")]:
        return asked
    return replace(asked, params={**asked.params, "diagnostics": {"previous_message_id": last.message_id}})


def _with_features_of_the_provider(asked: Request, context: _Context) -> Request:
    for feature in server_tools.needs(asked.params.get("tools", ())):
        if lacking := context.target.lacks(feature):
            raise UsageError(lacking, advice="Nothing was sent.")
    return asked


def _in_container(asked: Request, context: _Context) -> Request:
    return in_container(asked, context.history, context.target.now)


def _with_spelled_model(asked: Request, context: _Context) -> Request:
    return replace(asked, params={**asked.params, "model": context.target.model})


def _with_extra_body(asked: Request, context: _Context) -> Request:
    params = parameters.with_extra(asked.params, context.target.extra_body, context.options)
    return replace(asked, params=params)


def _within_limits(asked: Request, context: _Context) -> Request:
    limits.check(asked.params, context.target.lacks("urls"))
    return asked


def _diagnosed(asked: Request, context: _Context) -> Request:
    is_known = context.target.lacks("diagnostics") is None
    return diagnosed(asked, context.history, context.target.now) if is_known else asked


STEPS: tuple[Callable[[Request, _Context], Request], ...] = (
    _with_features_of_the_provider,
    _in_container,
    _with_spelled_model,
    _with_extra_body,
    _within_limits,
    _diagnosed,
)
