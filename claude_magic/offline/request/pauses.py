"""Paused turns: `[[pause]]` in a prompt ends a reply at a search (`pause_turn`), and the next request continues it.

The id of a search is a digest of everything before it, so that a turn that was changed after the pause is
recognised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from .history import Block, Body, Placed, canonical, flatten, normalized, runs

_MARK = "srvtoolu_offline_"
_THINKING = ("thinking", "redacted_thinking")
_RESULT = {
    "type": "web_search_result",
    "title": "Offline stand-in, not Claude: nothing was searched",
    "url": "https://example.org/",
    "encrypted_content": "b2ZmbGluZQ==",
    "page_age": None,
}


def paused_call(body: Body, content: Sequence[Block], query: str) -> dict[str, Any]:
    """A search call that follows the blocks `content` in the reply to a request."""
    before = [*_without_thinking(flatten(body["messages"])), *(["assistant", normalized(block)] for block in content)]
    return {"type": "server_tool_use", "id": _id(before), "name": "web_search", "input": {"query": query}}


def paused_result(call: Block) -> dict[str, Any]:
    """The result block of a search call."""
    return {"type": "web_search_tool_result", "tool_use_id": call["id"], "content": [_RESULT]}


def paused_calls(body: Body) -> list[Block]:
    """The search calls of the turn that the request continues; empty where it does not continue one."""
    last = runs(flatten(body["messages"]))[-1]
    return [each.block for each in last if last[0].role == "assistant" and _is_own_search(each)]


def is_changed_since_pause(body: Body) -> bool:
    """Whether the turn that the request continues was changed after the pause."""
    placed = flatten(body["messages"])
    kept = [each for each in placed if each.kind not in _THINKING]
    return any(
        _is_own_search(each) and each.block["id"] != _id(_without_thinking(kept[:i]))
        for i, each in enumerate(kept)
        if each.message == placed[-1].message
    )


def _is_own_search(placed: Placed) -> bool:
    return placed.kind == "server_tool_use" and str(placed.block["id"]).startswith(_MARK)


def _without_thinking(placed: Sequence[Placed]) -> list[Any]:
    return [[each.role, normalized(each.block)] for each in placed if each.kind not in _THINKING]


def _id(before: Sequence[Any]) -> str:
    return _MARK + hashlib.sha256(canonical(before)).hexdigest()[:16]
