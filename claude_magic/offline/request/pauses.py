"""The stand-in's own pauses: `[[pause]]` breaks a turn off at a search, which goes on when it is sent back.

The id of a call is made from all that stands before it, so that a turn that was changed meanwhile is told
from the one that was paused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from .history import Block, Body, Placed, canonical, flatten, runs, settled

_MARK = "srvtoolu_offline_"
_THINKING = ("thinking", "redacted_thinking")
_RESULT = {
    "type": "web_search_result",
    "title": "Offline stand-in, not Claude: nothing was searched",
    "url": "https://example.org/",
    "encrypted_content": "b2ZmbGluZQ==",
    "page_age": None,
}


def paused_call(body: Body, said: Sequence[Block], query: str) -> dict[str, Any]:
    """A search that comes after `said` in the reply to a request."""
    before = [*_words_before(flatten(body["messages"])), *(["assistant", settled(block)] for block in said)]
    return {"type": "server_tool_use", "id": _id(before), "name": "web_search", "input": {"query": query}}


def paused_result(call: Block) -> dict[str, Any]:
    """What the search found."""
    return {"type": "web_search_tool_result", "tool_use_id": call["id"], "content": [_RESULT]}


def paused_calls(body: Body) -> list[Block]:
    """The searches of the turn that the request continues; none where it asks something new."""
    last = runs(flatten(body["messages"]))[-1]
    return [each.block for each in last if last[0].role == "assistant" and _ours(each)]


def is_changed_since_pause(body: Body) -> bool:
    """Whether the turn that the request continues is not the one that was paused."""
    placed = flatten(body["messages"])
    said = [each for each in placed if each.kind not in _THINKING]
    return any(
        _ours(each) and each.block["id"] != _id(_words_before(said[:i]))
        for i, each in enumerate(said)
        if each.message == placed[-1].message
    )


def _ours(placed: Placed) -> bool:
    return placed.kind == "server_tool_use" and str(placed.block["id"]).startswith(_MARK)


def _words_before(placed: Sequence[Placed]) -> list[Any]:
    return [[each.role, settled(each.block)] for each in placed if each.kind not in _THINKING]


def _id(before: Sequence[Any]) -> str:
    return _MARK + hashlib.sha256(canonical(before)).hexdigest()[:16]
