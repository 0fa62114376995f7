"""A request's messages as one flat run of blocks, each with its place: what every rule reads.

A string content is one text block, and same-role neighbours make one run, as the API has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

Block = Mapping[str, Any]
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Placed:
    """A content block, who said it, and the API's name for its place (`messages.1.content.0`)."""

    role: str
    block: Block
    path: str
    message: int

    @property
    def kind(self) -> str:
        return str(self.block["type"])


def text_blocks(content: Any) -> list[Block]:
    """Content as blocks: a string is one text block, an absent or empty one is none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content or [])


def flatten(messages: Sequence[Mapping[str, Any]]) -> list[Placed]:
    """All blocks of all messages, in order."""
    return [
        Placed(message["role"], block, f"messages.{i}.content.{j}", i)
        for i, message in enumerate(messages)
        for j, block in enumerate(text_blocks(message["content"]))
    ]


def summarizes(block: Block) -> bool:
    """Whether a block stands for all that is before it. A compaction block with no content is one that failed."""
    return block["type"] == "compaction" and block.get("content") is not None


def current(body: Body) -> list[Placed]:
    """The blocks that the model reads: from the last summary on, where there is one (CLAUDE_API.md §6)."""
    placed = flatten(body["messages"])
    start = max((i for i, each in enumerate(placed) if summarizes(each.block)), default=0)
    return placed[start:]


def runs(placed: Sequence[Placed]) -> list[list[Placed]]:
    """The blocks in runs of one role."""
    return [list(group) for _, group in groupby(placed, key=lambda each: each.role)]


def nested(placed: Placed) -> Iterator[tuple[str, Block]]:
    """A block and the blocks in a tool result, with their paths."""
    yield placed.path, placed.block
    if placed.kind == "tool_result" and isinstance(placed.block.get("content"), list):
        for i, block in enumerate(placed.block["content"]):
            yield f"{placed.path}.content.{i}", block


def settled(block: Block) -> dict[str, Any]:
    """A block as the API understands it: without cache marks and nulls; a string content as its text block."""
    kept = {key: value for key, value in block.items() if key != "cache_control" and value is not None}
    content = kept.get("content")
    if kept.get("type") == "tool_result" and content is not None:
        kept["content"] = [settled(inner) for inner in text_blocks(content)]
    return kept


def canonical(value: Any) -> bytes:
    """JSON that is equal for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def system_blocks(body: Body) -> list[Block]:
    """The system prompt as text blocks."""
    return text_blocks(body.get("system"))


def tools(body: Body) -> list[Block]:
    """The tools; none, where there are none."""
    return list(body.get("tools") or [])


def absent(body: Body, name: str) -> bool:
    """Whether an optional parameter is left out; `null` is the same."""
    return body.get(name) is None
