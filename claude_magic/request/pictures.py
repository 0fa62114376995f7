"""Pictures that are within the API's limits for one image, but too large beside others, or for a cloud: made smaller.

A request with more than `MANY_IMAGES` images takes none of more than 2,000 pixels a side, earlier turns and results of
tools included (CLAUDE_API.md §3); Bedrock and Google take half as many bytes as the API. What was sent larger before is
a change of the history, and `build.py` treats it as one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ..content import images
from ..conversation.turns import Block, Conversation, Pin, blocks

MANY_IMAGES = 20


def fitted(
    history: Conversation, content: Sequence[Block], pins: Sequence[Pin] = (), *, in_cloud: bool = False
) -> tuple[Conversation, Sequence[Block], Sequence[Pin]]:
    """History, prompt and pins with the pictures that a request with all of them takes; the same ones if all fit.

    `in_cloud` says that the provider has the smaller limit on bytes.
    """
    prompts = [content, *(pin.content for pin in pins)]
    sent = [block for turn in history for message in turn.messages for block in blocks(message)]
    held = [*_pictures(sent), *(picture for each in prompts for picture in _pictures(each))]
    is_many = len(held) > MANY_IMAGES

    def too_large(block: Block) -> bool:
        is_wide = is_many and side_pixels(block) > images.MAX_IMAGE_SIDE_PIXELS
        return is_wide or (in_cloud and len(_data(block)) > images.MAX_IMAGE_BASE64_BYTES)

    if not any(map(too_large, held)):
        return history, content, pins
    turns = [
        replace(turn, messages=tuple({**each, "content": _smaller(blocks(each), too_large)} for each in turn.messages))
        for turn in history
    ]
    fitting = [replace(pin, content=tuple(_smaller(pin.content, too_large))) for pin in pins]
    return Conversation(tuple(turns)), _smaller(content, too_large), fitting


def beside_many(content: Iterable[Block]) -> list[Block]:
    """Content with its pictures as a request with many of them takes them."""
    return _smaller(content, lambda block: side_pixels(block) > images.MAX_IMAGE_SIDE_PIXELS)


def side_pixels(block: Block) -> int:
    """The longer side of an image block in pixels; 0 if it is not known."""
    return _side_pixels(_data(block))


def with_nested(content: Iterable[Block]) -> Iterator[Block]:
    """The blocks of content, and those in its results of tools and its documents."""
    for block in content:
        yield block
        holder = {"tool_result": block, "document": block.get("source")}.get(block["type"]) or {}
        inner = holder.get("content")
        if isinstance(inner, list):
            yield from inner


def _pictures(content: Iterable[Block]) -> list[Block]:
    return [block for block in with_nested(content) if block["type"] == "image"]


def _smaller(content: Iterable[Block], too_large: Callable[[Block], bool]) -> list[Block]:
    made = []
    for block in content:
        inner = block.get("content")
        if block["type"] == "image" and too_large(block):
            block = {**block, "source": _smaller_source(_data(block)) or block["source"]}
        elif block["type"] == "tool_result" and isinstance(inner, list):
            block = {**block, "content": _smaller(inner, too_large)}
        elif block["type"] == "document" and isinstance(block["source"].get("content"), list):
            content = _smaller(block["source"]["content"], too_large)
            block = {**block, "source": {**block["source"], "content": content}}
        made.append(block)
    return made


def _data(block: Block) -> str:
    source = block.get("source")
    data = source.get("data") if isinstance(source, dict) else None
    return data if isinstance(data, str) else ""


# Cached, since each question sends the earlier ones again.
@functools.lru_cache(maxsize=1_000)
def _side_pixels(data: str) -> int:
    return images.side_pixels(data) if data else 0


@functools.lru_cache(maxsize=100)
def _smaller_source(data: str) -> Block | None:
    try:
        return dict(images.smaller(data)["source"])
    except Exception:  # each of Pillow's decoders fails in its own way; the API says what is wrong
        return None
