"""Cache breakpoints: where they stand, four at most, those of longer TTL first.

The request's own `cache_control` is the last of them; the others are those of pins, of the chat's system prompt, of a
prompt far behind the end, and those that the reader's own blocks bring along. What a breakpoint stands on is the same
for the digests of `build.py`. Source of the rules: CLAUDE_API.md §4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..conversation.turns import Block, Message, Pin, blocks

MAX_BREAKPOINTS = 4  # of a request
# How many blocks before a breakpoint the API searches for a cached prefix.
LOOKBACK_BLOCKS = 20


def lead(pins: Iterable[Pin], cache: str) -> list[Block]:
    """The pinned blocks, those with a TTL of one hour first, with a cache breakpoint after each TTL's group.

    The API takes four breakpoints per request, those of longer TTL first: if the conversation is cached for an hour,
    so are all pins before it.
    """
    groups: dict[str, list[Block]] = {"1h": [], "5m": []}
    for pin in pins:
        groups["1h" if cache == "1h" else pin.ttl] += pin.content
    if cache == "off":
        return [block for group in groups.values() for block in group]
    found: list[Block] = []
    for ttl, group in groups.items():
        if group:
            found += [*group[:-1], {**group[-1], "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    return found


def within_lookback(messages: list[Message], cache_control: Mapping[str, Any]) -> list[Message]:
    """The messages with a breakpoint where the last request ended, if that is beyond the API's lookback."""
    prompts = [at for at, message in enumerate(messages) if message["role"] == "user"]
    if len(prompts) < 2:
        return messages
    at = prompts[-2]
    since = sum(len(message["content"]) for message in messages[at + 1 :])
    if since < LOOKBACK_BLOCKS:
        return messages
    *before, last = blocks(messages[at])
    marked = {**messages[at], "content": [*before, {**last, "cache_control": cache_control}]}
    return [*messages[:at], marked, *messages[at + 1 :]]


def within_limits(messages: list[Message], whole: Mapping[str, Any] | None) -> list[Message]:
    """The messages with as many breakpoints as fit beside `whole`, the request's own: the last ones are kept.

    A breakpoint before one of an hour is one of an hour, too, as the API wants it.
    """
    marks = [*_marks(messages), *([whole] if whole else [])]
    left_out = len(marks) - MAX_BREAKPOINTS
    last_hour = max((at for at, mark in enumerate(marks) if mark.get("ttl") == "1h"), default=0)
    if left_out <= 0 and all(mark.get("ttl") == "1h" for mark in marks[:last_hour]):
        return messages
    number = -1
    made: list[Message] = []
    for message in messages:
        content = []
        for block in blocks(message):
            if block.get("cache_control"):
                number += 1
                block = _marked(block, None if number < left_out else number < last_hour)
            content.append(block)
        made.append({**message, "content": content})
    return made


def _marks(messages: Iterable[Message]) -> list[Mapping[str, Any]]:
    return [mark for message in messages for block in blocks(message) if (mark := block.get("cache_control"))]


def _marked(block: Block, for_an_hour: bool | None) -> Block:
    if for_an_hour is None:
        return {name: value for name, value in block.items() if name != "cache_control"}
    return {**block, "cache_control": {**block["cache_control"], "ttl": "1h"}} if for_an_hour else block


def of_system(params: Mapping[str, Any], ttl: str) -> dict[str, Any]:
    """A request's parameters with a breakpoint on the system prompt.

    Not if nothing is cached, or if all four are in use. The TTL is at least that of those behind.
    """
    whole = params.get("cache_control")
    marks = _marks(params["messages"])
    if not params.get("system") or whole is None or len(marks) + 1 >= MAX_BREAKPOINTS:
        return dict(params)
    longest = "1h" if "1h" in (ttl, *(mark.get("ttl") for mark in (*marks, whole))) else ttl
    block = {"type": "text", "text": params["system"], "cache_control": {"type": "ephemeral", "ttl": longest}}
    return {**params, "system": [block]}
