"""Blocks and fields of replies that the API is known to take back: what is left of a history where it refuses the rest.

A history goes back as it came, also what nobody knows here (`build.py`). But a gateway may have made something up, and
the API would refuse every later request. Source: the SDK's `*_block_param.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..conversation.turns import Block, Message, blocks
from . import citations
from .build import without_thinking

# type of block → its fields; `None` where they are not listed
FIELDS: Mapping[str, frozenset[str] | None] = {
    "text": frozenset({"type", "text", "citations", "cache_control"}),
    "thinking": frozenset({"type", "thinking", "signature"}),
    "redacted_thinking": frozenset({"type", "data"}),
    "tool_use": frozenset({"type", "id", "name", "input", "caller", "toolset_name", "cache_control"}),
    "compaction": frozenset({"type", "content", "encrypted_content", "signature", "tool_changes", "cache_control"}),
    "fallback": frozenset({"type", "from", "to", "trigger"}),
    "server_tool_use": None,
    "web_search_tool_result": None,
    "web_fetch_tool_result": None,
    "code_execution_tool_result": None,
    "bash_code_execution_tool_result": None,
    "text_editor_code_execution_tool_result": None,
    "tool_search_tool_result": None,
    "advisor_tool_result": None,
    "mcp_tool_use": None,
    "mcp_tool_result": None,
    "mcp_tool_listing": None,
    "container_upload": None,
}
# The way to a block, at the beginning of a refusal: the positions of its message and in that.
_BLOCK = re.compile(r"messages\.(\d+)\.content\.(\d+)\b")


def reduced(messages: Sequence[Message], refusal: str) -> list[Message] | None:
    """The messages without what the API refuses in a reply, by its words; `None` if it is about something else.

    First all that is unknown goes, in every reply; if there is nothing, the block that the refusal names, with its
    result or call. Thinking goes in any case, as it is bound to what is before it, and what is empty then.
    """
    found = _BLOCK.match(refusal)
    if found is None or (number := int(found[1])) >= len(messages) or messages[number]["role"] != "assistant":
        return None
    kept = [_known(message) if message["role"] == "assistant" else message for message in messages]
    if kept == messages:
        content, at = blocks(messages[number]), int(found[2])
        if at >= len(content):
            return None
        kept = [_without(message, content[at]) for message in messages]
    return [message for message in without_thinking(kept) if message["content"]]


def _known(message: Message) -> Message:
    return {**message, "content": [_trimmed(block) for block in blocks(message) if block["type"] in FIELDS]}


def _trimmed(block: Block) -> Block:
    fields = FIELDS[block["type"]]
    kept = block if fields is None else {name: value for name, value in block.items() if name in fields}
    return citations.known(kept) if block["type"] == "text" else kept


def _without(message: Message, refused: Block) -> Message:
    """The message without a block, and without what has an id in common with it."""
    ids = _ids(refused)
    return {**message, "content": [each for each in blocks(message) if each is not refused and not ids & _ids(each)]}


def _ids(block: Block) -> set[Any]:
    return {block[name] for name in ("id", "tool_use_id") if block.get(name) is not None}
