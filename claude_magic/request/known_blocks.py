"""Blocks and fields of replies that the API is known to take back: what is left of a history where it refuses the rest.

A history goes back as it came, also what nobody knows here (`build.py`). But a gateway may have made something up, and
the API would refuse every later request. Source: the SDK's `*_block_param.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..conversation.turns import Block, Message, blocks

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
# What the API says of a block or a field that it does not know.
_REFUSALS = ("Extra inputs are not permitted", "does not match any of the expected tags")


def refuses_unknown(message: str) -> bool:
    """Whether an error of the API says that it does not know a block or a field of the messages."""
    return message.startswith("messages.") and any(refusal in message for refusal in _REFUSALS)


def known(messages: Iterable[Message]) -> list[Message]:
    """The messages with only the known blocks and fields of Claude's; what is empty then is left out."""
    found = [_known(message) if message["role"] == "assistant" else message for message in messages]
    return [message for message in found if message["content"]]


def _known(message: Message) -> Message:
    return {**message, "content": [_trimmed(block) for block in blocks(message) if block["type"] in FIELDS]}


def _trimmed(block: Block) -> Block:
    fields = FIELDS[block["type"]]
    return block if fields is None else {name: value for name, value in block.items() if name in fields}
