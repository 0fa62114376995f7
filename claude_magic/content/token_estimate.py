"""Token estimates of content from its length, without a request to the API."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterable

from ..conversation.turns import Block
from . import pdf
from .text import byte_length

# Roughly that of English text; in scripts of three bytes a character, a character is about a token.
BYTES_PER_TOKEN = 3.5
# The same in characters, for text that is mostly ASCII, such as Claude's replies and the JSON of a request.
CHARACTERS_PER_TOKEN = BYTES_PER_TOKEN
# An image is one token for each square of so many pixels a side (CLAUDE_API.md §3).
SQUARE_PIXELS = 28
# The most tokens that an image has on older models (CLAUDE_API.md §3), for an image of unknown size.
IMAGE_TOKENS = 1_568


# The usual maximum for a page of a PDF (docs.anthropic.com, PDF support: 1,500 to 3,000 tokens of text).
PDF_PAGE_TOKENS = 3_000


def of_text(text: str) -> int:
    """The estimated tokens of a text."""
    return math.ceil(byte_length(text) / BYTES_PER_TOKEN)


def of_blocks(content: Iterable[Block]) -> int:
    """The estimated tokens of content blocks: text by its length, an image by its size, others by their JSON."""
    return sum(_of_block(block) for block in content)


def _of_block(block: Block) -> int:
    if block["type"] == "text":
        return of_text(block["text"])
    if block["type"] == "image":
        return _of_image(block)
    if block["type"] == "document":
        return _of_document(block)
    if block["type"] == "tool_result" and isinstance(block.get("content"), list):
        return of_blocks(block["content"])
    return of_text(json.dumps(block, ensure_ascii=False))


def _of_document(block: Block) -> int:
    """The estimated tokens of a document: plain text by its length, a PDF by its pages (one if unknown)."""
    source = block["source"]
    if source["type"] == "text":
        return of_text(f"{block.get('title') or ''}{source['data']}")
    if source["type"] == "content":
        return of_text(json.dumps(block, ensure_ascii=False))
    data = base64.b64decode(source["data"]) if source["type"] == "base64" else b""
    return (pdf.look(data).pages or 1) * PDF_PAGE_TOKENS


def _of_image(block: Block) -> int:
    from PIL import Image

    source = block["source"]
    if source["type"] != "base64":
        return IMAGE_TOKENS
    with Image.open(io.BytesIO(base64.b64decode(source["data"]))) as picture:
        return math.prod(math.ceil(side / SQUARE_PIXELS) for side in picture.size)
