"""A request's messages as one flat list of blocks, each with its place, which all rules read.

As in the API, a string content is one text block, and neighbouring messages of one role make one run.
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
    """A content block with its role, its path as the API writes it (`messages.1.content.0`) and its message's index."""

    role: str
    block: Block
    path: str
    message: int

    @property
    def kind(self) -> str:
        return str(self.block["type"])


def text_blocks(content: Any) -> list[Block]:
    """Content as blocks: a string is one text block; missing or empty content has none."""
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
    """Whether a block is a summary of all before it. A compaction block without content is a failed one, and none."""
    return block["type"] == "compaction" and block.get("content") is not None


def current(body: Body) -> list[Placed]:
    """The blocks from the last summary on, which are all that the model reads; else all (CLAUDE_API.md §6)."""
    placed = flatten(body["messages"])
    start = max((i for i, each in enumerate(placed) if summarizes(each.block)), default=0)
    return placed[start:]


def runs(placed: Sequence[Placed]) -> list[list[Placed]]:
    """The blocks, grouped into runs of one role."""
    return [list(group) for _, group in groupby(placed, key=lambda each: each.role)]


def nested(placed: Placed) -> Iterator[tuple[str, Block]]:
    """A block, and the blocks in it if it is a tool result, with their paths."""
    yield placed.path, placed.block
    if placed.kind == "tool_result" and isinstance(placed.block.get("content"), list):
        for i, block in enumerate(placed.block["content"]):
            yield f"{placed.path}.content.{i}", block


def normalized(block: Block) -> dict[str, Any]:
    """A block without cache breakpoints and nulls, string content as a text block: equal blocks become equal."""
    kept = {key: value for key, value in block.items() if key != "cache_control" and value is not None}
    content = kept.get("content")
    if kept.get("type") == "tool_result" and content is not None:
        kept["content"] = [normalized(inner) for inner in text_blocks(content)]
    return kept


def canonical(value: Any) -> bytes:
    """JSON that is the same for equal values, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def system_blocks(body: Body) -> list[Block]:
    """The system prompt as text blocks."""
    return text_blocks(body.get("system"))


def tools(body: Body) -> list[Block]:
    """The request's tools; empty where it has none."""
    return list(body.get("tools") or [])


def absent(body: Body, name: str) -> bool:
    """Whether an optional parameter is left out; `null` is the same."""
    return body.get(name) is None
