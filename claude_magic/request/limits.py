"""The API's limits on images, PDF pages and request size, checked before a request is sent.

Source of the numbers: CLAUDE_API.md §3. Earlier turns, pins and tool results count as well.
"""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .. import models
from ..content import images, pdf
from ..content.text import byte_length
from ..conversation.turns import Block, blocks
from ..errors import UsageError
from . import pictures

MAX_REQUEST_BYTES = 32 * 1024 * 1024
# For models with a context of 1M tokens, and for those with less.
MAX_IMAGES, MAX_IMAGES_BELOW_1M = 600, 100
MAX_PDF_PAGES, MAX_PDF_PAGES_BELOW_1M = 600, 100
CONTEXT_1M_TOKENS = 1_000_000
# A message about a request that is too large names so many of its parts, of that size or more.
NAMED_PARTS = 3
MIN_NAMED_BYTES = 100_000
SEND_LESS = "Send less, smaller or fewer of them; %claude_reset starts over, --once asks without the conversation."


def check(params: Mapping[str, Any], only_bytes: str | None = None) -> None:
    """Raise `UsageError` for a request beyond the API's limits.

    `only_bytes` is a sentence that says that the provider takes no URLs of images and documents, for a provider that
    also has the smaller limit on images; `None` for any other.
    """
    held = [block for message in params["messages"] for block in pictures.with_nested(blocks(message))]
    if not any(block["type"] in ("image", "document") for block in held) and _is_small(params):
        return
    row = models.lookup(str(params.get("model")))
    is_smaller = row is not None and row.context < CONTEXT_1M_TOKENS
    if only_bytes:
        _check_cloud(held, only_bytes)
    _check_images(held, MAX_IMAGES_BELOW_1M if is_smaller else MAX_IMAGES)
    _check_pages(held, MAX_PDF_PAGES_BELOW_1M if is_smaller else MAX_PDF_PAGES)
    _check_size(params, held)


def _is_small(params: Mapping[str, Any]) -> bool:
    """Whether the text is so short that its size in bytes need not be measured."""
    texts = (block.get("text") for message in params["messages"] for block in blocks(message))
    return sum(len(text) for text in texts if isinstance(text, str)) < MAX_REQUEST_BYTES // 8


def _source(block: Block) -> Mapping[str, Any]:
    source = block.get("source")
    return source if isinstance(source, Mapping) else {}


def _images(held: Iterable[Block]) -> list[Block]:
    return [block for block in held if block["type"] == "image"]


def _check_cloud(held: list[Block], only_bytes: str) -> None:
    if any(_source(block).get("type") == "url" for block in held if block["type"] in ("image", "document")):
        raise UsageError(only_bytes, advice="Without --by-url an address is fetched, and its bytes go along.")
    for block in _images(held):
        size = len(_source(block).get("data") or "")
        if size > images.MAX_IMAGE_BASE64_BYTES:
            raise UsageError(
                f"An image has {_megabytes(size)} in base64, and this provider takes "
                f"{_megabytes(images.MAX_IMAGE_BASE64_BYTES)} at most. Nothing was sent.",
                advice="Make it smaller, and run its cell again.",
            )


def _check_images(held: list[Block], limit: int) -> None:
    shown = _images(held)
    if len(shown) > limit:
        raise UsageError(
            f"There are {len(shown):,} images with all that goes along, and the model takes {limit} at most. "
            "Nothing was sent.",
            advice=SEND_LESS,
        )
    if len(shown) <= pictures.MANY_IMAGES:
        return
    large = [size for block in shown if (size := pictures.side_pixels(block)) > images.MAX_IMAGE_SIDE_PIXELS]
    if large:
        raise UsageError(
            f"Among more than {pictures.MANY_IMAGES} images none may have more than {images.MAX_IMAGE_SIDE_PIXELS:,} "
            f"pixels a side, and one has {max(large):,}. Nothing was sent.",
            advice=SEND_LESS,
        )


def _check_pages(held: list[Block], limit: int) -> None:
    pages = {}
    for number, block in enumerate(held):
        data = _source(block).get("data")
        if block["type"] == "document" and _source(block).get("type") == "base64" and isinstance(data, str):
            pages[number] = _pages(data) or 0
    total = sum(pages.values())
    if total > limit:
        named = ", ".join(f"{held[number].get('title') or 'a PDF'} ({count:,})" for number, count in pages.items())
        raise UsageError(
            f"The PDFs have {total:,} pages with all that goes along, and the model takes {limit} at most: {named}. "
            "Nothing was sent.",
            advice="Send only the pages that matter, or take a model with a context of 1M tokens."
            if limit < MAX_PDF_PAGES
            else "Send only the pages that matter.",
        )


def _check_size(params: Mapping[str, Any], held: list[Block]) -> None:
    size = _bytes(params)
    if size <= MAX_REQUEST_BYTES:
        return
    parts = sorted(((_bytes(block), block) for block in held), key=lambda part: -part[0])[:NAMED_PARTS]
    named = ", ".join(f"{_name(block)} ({_megabytes(part)})" for part, block in parts if part >= MIN_NAMED_BYTES)
    raise UsageError(
        f"The request has {_megabytes(size)} with all that goes along, and the API takes 32 MB at most. Nothing was "
        "sent.",
        advice=f"The largest: {named}. {SEND_LESS}" if named else SEND_LESS,
    )


def _name(block: Block) -> str:
    kind = str(block["type"]).replace("_", " ")
    return str(block.get("title") or f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")


def _bytes(value: Any) -> int:
    """The length in bytes of a value's JSON, as the SDK sends it."""
    return byte_length(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _megabytes(size: int) -> str:
    return f"{size / 1024**2:.1f} MB"


# Cached, since each question sends the earlier ones again.
@functools.lru_cache(maxsize=64)
def _pages(data: str) -> int | None:
    """The number of pages of a PDF in base64; `None` if it is not known."""
    try:
        return pdf.look(base64.b64decode(data)).pages
    except ValueError:
        return None
