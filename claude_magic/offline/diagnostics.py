"""Cache diagnostics: where a request parts from the one before it.

Source: CLAUDE_API.md §4, and the SDK's `cache_miss_*.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .cache import SETTINGS
from .history import Body, canonical, flatten, settled, system_blocks, tools


@dataclass(frozen=True)
class Fingerprint:
    """What is remembered of a request: digests of its parts, in the order of comparison, and its cached tokens."""

    model: str
    system: str
    tools: str
    settings: str
    messages: tuple[str, ...]
    cached_tokens: int


class Fingerprints:
    """The fingerprints of a server's answers, by caller's key and message id."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Fingerprint] = {}

    def diagnose(self, body: Body, message: Mapping[str, Any], key: str) -> dict[str, Any] | None:
        """The API's `diagnostics` of an answer; `None` where nothing parts it from the one before."""
        usage = message["usage"]
        own = fingerprint(body, usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"])
        self._kept[key, message["id"]] = own
        previous = body["diagnostics"].get("previous_message_id")
        if previous is None:
            return None
        before = self._kept.get((key, previous))
        kind = "previous_message_not_found" if before is None else _difference(before, own)
        if kind is None:
            return None
        reason: dict[str, Any] = {"type": kind}
        if before and kind.endswith("_changed"):
            reason["cache_missed_input_tokens"] = max(0, before.cached_tokens - usage["cache_read_input_tokens"])
        return {"cache_miss_reason": reason}


def fingerprint(body: Body, cached_tokens: int) -> Fingerprint:
    return Fingerprint(
        model=_digest([body["model"], body.get("speed") or "standard"]),
        system=_digest([settled(block) for block in system_blocks(body)]),
        tools=_digest([settled(tool) for tool in tools(body)]),
        settings=_digest([body.get(name) for name in SETTINGS]),
        messages=tuple(_digest([each.role, settled(each.block)]) for each in flatten(body["messages"])),
        cached_tokens=cached_tokens,
    )


def _difference(before: Fingerprint, now: Fingerprint) -> str | None:
    for name in ("model", "system", "tools"):
        if getattr(before, name) != getattr(now, name):
            return f"{name}_changed"
    if before.settings != now.settings:
        return "unavailable"
    return None if now.messages[: len(before.messages)] == before.messages else "messages_changed"


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
