"""Token counts of the stand-in: estimates of the same size as Claude's, the same each time."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ...models import Model
from ..faults import Rejected
from .history import Block, Body, Placed, canonical, current, normalized, system_blocks, tools
from .signatures import readable, unseal

CHARACTERS_PER_TOKEN = 3.5
_MESSAGE_TOKENS = 4
_TOOLS_TOKENS = 290  # the API's own system prompt for tools, of about this size
_PDF_PAGE_TOKENS = 1600


def text_tokens(text: str) -> int:
    return math.ceil(len(text) / CHARACTERS_PER_TOKEN)


def characters(tokens: int) -> int:
    """The number of characters of text that fit into `tokens` tokens."""
    return math.floor(tokens * CHARACTERS_PER_TOKEN)


def block_tokens(block: Block, model: Model) -> int:
    """The tokens of one content block; for thinking, those of the original, also where its text is not shown."""
    match block["type"]:
        case "text":
            return text_tokens(block["text"])
        case "compaction":
            return text_tokens(block.get("content") or "")
        case "image":
            return image_tokens(block, model)
        case "document":
            return _document_tokens(block, model)
        case "thinking":
            seal = unseal(block.get("signature", ""))
            return seal.tokens if seal else text_tokens(block["thinking"])
        case "tool_result" if isinstance(block.get("content"), list):
            return _MESSAGE_TOKENS + sum(block_tokens(inner, model) for inner in block["content"])
        case _:
            return text_tokens(canonical(normalized(block)).decode())


def _document_tokens(block: Block, model: Model) -> int:
    source = block["source"]
    match source.get("type"):
        case "base64":
            raw = base64.b64decode(source["data"])
            return max(1, len(re.findall(rb"/Type\s*/Page(?!s)", raw))) * _PDF_PAGE_TOKENS
        case "content" if isinstance(source["content"], list):
            return sum(block_tokens(inner, model) for inner in source["content"])
        case _:
            return text_tokens(str(source.get("data") or source.get("content") or source))


def message_tokens(placed: Sequence[Placed], model: Model) -> list[int]:
    """The tokens of each block; the first block of each message has the message's overhead added."""
    first = {each.message: each.path for each in reversed(placed)}
    return [
        block_tokens(each.block, model) + (_MESSAGE_TOKENS if first[each.message] == each.path else 0)
        for each in placed
    ]


def tool_tokens(tool: Block, *, first: bool) -> int:
    return text_tokens(canonical(normalized(tool)).decode()) + (_TOOLS_TOKENS if first else 0)


def request_tokens(body: Body, model: Model) -> int:
    """All input tokens of a request."""
    counted: list[int] = [tool_tokens(tool, first=i == 0) for i, tool in enumerate(tools(body))]
    counted += [block_tokens(block, model) for block in system_blocks(body)]
    counted += message_tokens(readable(current(body), model.id), model)
    return sum(counted)


def reply_tokens(content: Iterable[dict[str, Any]], model: Model) -> tuple[int, int]:
    """The number of output tokens, and the number of thinking tokens among them."""
    blocks = list(content)
    if not blocks:
        return 0, 0
    thinking = sum(block_tokens(block, model) for block in blocks if block["type"] == "thinking")
    rest = sum(block_tokens(block, model) for block in blocks if block["type"] != "thinking")
    return thinking + rest + 1, thinking


MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
MAX_IMAGE_BASE64_BYTES = 10 * 1024 * 1024
MAX_SIDE_PIXELS = 8000
MANY_IMAGES = 20
MAX_SIDE_OF_MANY_PIXELS = 2000
_PATCH_PIXELS = 28
# Tokens of an image whose bytes are not in the request (a URL, a file).
_UNSEEN_TOKENS = 1500


@dataclass(frozen=True)
class Picture:
    """An image's size in pixels, and its media type according to its bytes."""

    width: int
    height: int
    media_type: str


def picture(data: str, path: str) -> Picture:
    """Read an image's header from base64. Raises `Rejected` for a format that the API does not take."""
    from PIL import Image

    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Rejected(f"{path}.source.base64.data: Invalid base64 data") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=list(MEDIA_TYPES)) as image:
                return Picture(*image.size, MEDIA_TYPES[image.format or ""])
    except (OSError, KeyError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise Rejected(f"{path}.source.base64.data: Could not process image") from None


def image_tokens(block: Block, model: Model) -> int:
    """The tokens of an image: ⌈w/28⌉·⌈h/28⌉ after the API's downscaling (CLAUDE_API.md §3).

    The largest side and the most tokens are 2576 px and 4784 for models from 4.7 on, 1568 px and 1568 before.
    """
    source = block["source"]
    if source.get("type") != "base64":
        return _UNSEEN_TOKENS
    size = picture(source["data"], "image")
    max_side_pixels, max_tokens = (2576, 4784) if version(model) >= (4, 7) else (1568, 1568)
    return min(max_tokens, _patches(size, min(1.0, max_side_pixels / max(size.width, size.height))))


def _patches(size: Picture, scale: float) -> int:
    return math.ceil(size.width * scale / _PATCH_PIXELS) * math.ceil(size.height * scale / _PATCH_PIXELS)


def version(model: Model) -> tuple[int, ...]:
    """A model's generation: `(5, 5)`, `(4, 8)`."""
    return tuple(int(part) for part in re.findall(r"\d+", model.id))
