"""Unique ids for the tool calls of a conversation: the API refuses an id that occurs twice.

Two turns may hold the same ids: a cell was copied and replayed, a notebook was resumed in itself, or a gateway counts
its ids from one. New ids depend only on the messages, so that the same conversation always makes the same request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from .turns import Message, blocks

# Block types of calls; the block with the result refers to the call by `tool_use_id`.
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


def called(messages: Iterable[Message]) -> set[str]:
    """The ids of all tool calls in messages."""
    return {block["id"] for message in messages for block in blocks(message) if block["type"] in _CALLS}


def distinct(messages: Iterable[Message], taken: Set[str]) -> list[Message]:
    """A turn's messages with each tool call id that is already `taken` made unique by a number at its end."""
    listed = list(messages)
    own = called(listed)
    renamed: dict[str, str] = {}
    for each in sorted(own & taken):
        numbered = (f"{each}_{number}" for number in range(2, len(own) + len(taken) + 3))
        renamed[each] = next(name for name in numbered if name not in taken | own | {*renamed.values()})
    return [_renamed(message, renamed) for message in listed] if renamed else listed


def _renamed(message: Message, names: Mapping[str, str]) -> Message:
    return {**message, "content": [_with_name(block, names) for block in blocks(message)]}


def _with_name(block: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    for field in ("id", "tool_use_id"):
        if block.get(field) in names:
            return {**block, field: names[block[field]]}
    return block
