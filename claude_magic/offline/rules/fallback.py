"""Fallbacks: the models that the server asks instead when a model refuses.

Source: CLAUDE_API.md §9, the SDK's `beta_fallback_param.py` (what an attempt inherits) and the
refusals and fallback page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...models import Model
from ..faults import Rejected
from ..request.history import Body, absent
from ..request.tokens import version
from . import betas
from .parameters import FAST_MODELS, check_effort, check_max_tokens, check_thinking, known_model

DEFAULT = "default"
DEFAULT_MODEL = "claude-opus-4-8"
MAX_FALLBACKS = 3
_FIELDS = {"model", "max_tokens", "thinking", "output_config", "speed"}


def check(body: Body, model: Model, given: frozenset[str]) -> None:
    """Refuse invalid fallbacks. Models before 5 have no classifiers, and take no list of fallbacks."""
    if absent(body, "fallbacks"):
        return
    wanted = body["fallbacks"]
    if wanted == DEFAULT:
        betas.require(betas.FALLS_BACK, given, "fallbacks")
        return
    if not isinstance(wanted, list) or not wanted:
        raise Rejected("fallbacks: Input should be a valid, non-empty list or 'default'")
    if len(wanted) > MAX_FALLBACKS:
        raise Rejected(f"fallbacks: List should have at most {MAX_FALLBACKS} items after validation")
    if not _falls_back(model):
        raise Rejected("fallbacks: not supported for this model.")
    for i, entry in enumerate(wanted):
        _check(entry, body, f"fallbacks.{i}")


def _falls_back(model: Model) -> bool:
    return version(model) >= (5,)


def _check(entry: Any, body: Body, path: str) -> None:
    if not isinstance(entry, dict):
        raise Rejected(f"{path}: Input should be an object")
    for name in entry.keys() - _FIELDS:
        raise Rejected(f"{path}.{name}: Extra inputs are not permitted")
    if "model" not in entry:
        raise Rejected(f"{path}.model: Field required")
    try:
        model = known_model(entry)
        for rule in (check_max_tokens, check_thinking, check_effort):
            rule(_attempt(entry, body), model)
    except Rejected as wrong:
        raise Rejected(f"{path}: {wrong.message}") from None
    if model is known_model(body):
        raise Rejected(f"{path}.model: a fallback must be another model than the one that is asked")


def attempts(body: Body, model: Model) -> list[dict[str, Any]]:
    """The requests to fallback models, in order, for when the first model has refused."""
    wanted = body.get("fallbacks") or []
    if wanted == DEFAULT:
        wanted = [{"model": DEFAULT_MODEL}] if _falls_back(model) else []
    return [_attempt(entry, body) for entry in wanted]


def block(declined: str, to: str, details: Mapping[str, Any] | None) -> dict[str, Any]:
    """The `fallback` block, which stands in a reply between two models' output."""
    trigger = {"type": "refusal", "category": (details or {}).get("category")}
    return {"type": "fallback", "from": {"model": declined}, "to": {"model": to}, "trigger": trigger}


def _attempt(entry: Mapping[str, Any], body: Body) -> dict[str, Any]:
    model = known_model(entry)
    settings = _inherited(entry, body, model)
    kept = {name: value for name, value in body.items() if name not in (*_FIELDS, "fallbacks")}
    limit = {"max_tokens": min(body["max_tokens"], model.max_output)}
    if entry.get("max_tokens") is not None:
        limit["max_tokens"] = entry["max_tokens"]
    return {**kept, **limit, **settings, "model": model.id}


def _inherited(entry: Mapping[str, Any], body: Body, model: Model) -> dict[str, Any]:
    """Thinking, effort and speed: the entry's own, else the request's where the model takes them."""
    settings: dict[str, Any] = {}
    thinking = entry["thinking"] if "thinking" in entry else body.get("thinking")
    if thinking and ("thinking" in entry or thinking["type"] in model.thinking):
        settings["thinking"] = thinking
    own = entry.get("output_config") or {}
    config = {**(body.get("output_config") or {}), **own} if entry.get("output_config", own) is not None else {}
    kind = (thinking or {}).get("type", "adaptive")
    if "effort" not in own and config.get("effort") not in model.efforts_with(kind):
        config.pop("effort", None)
    if config := {name: value for name, value in config.items() if value is not None}:
        settings["output_config"] = config
    if entry.get("speed", body.get("speed")) == "fast" and model.id in FAST_MODELS:
        settings["speed"] = "fast"
    return settings
