"""Calls of tools have ids of their own in a conversation: the API refuses the same one twice.

The same reply may stand in two turns: a cell that was copied and replayed, a notebook that was taken up by itself, a
gateway that counts from one. Which id is changed, and to what, depends on the messages alone, so that a request comes
out the same each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from .turns import Message, blocks

# The kinds of blocks that call something; what answers them says so in `tool_use_id`.
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")


def called(messages: Iterable[Message]) -> set[str]:
    """The ids of all calls in messages."""
    return {block["id"] for message in messages for block in blocks(message) if block["type"] in _CALLS}


def distinct(messages: Iterable[Message], taken: Set[str]) -> list[Message]:
    """A turn's messages, in which no call has an id of those that are `taken`: each such id gets a number behind it."""
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
