"""The size of an image that came in base64, and what it costs in tokens."""

from __future__ import annotations

import base64
import binascii
import io
import math
import re
import warnings
from dataclasses import dataclass

from ..models import Model
from .faults import Rejected
from .history import Block

MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "GIF": "image/gif", "WEBP": "image/webp"}
MAX_IMAGE_BASE64_BYTES = 10 * 1024 * 1024
MAX_SIDE_PIXELS = 8000
MANY_IMAGES = 20
MAX_SIDE_OF_MANY_PIXELS = 2000
_PATCH_PIXELS = 28
# What an image costs whose bytes are not in the request (a URL, a file).
_UNSEEN_TOKENS = 1500


@dataclass(frozen=True)
class Picture:
    """An image's size in pixels, and its media type as its bytes have it."""

    width: int
    height: int
    media_type: str


def picture(data: str, path: str) -> Picture:
    """Read an image's header from its base64. Raises `Rejected` where it is not one that the API takes."""
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
    """⌈w/28⌉·⌈h/28⌉ after the downscale: 2576 px and 4784 tokens from 4.7 on, 1568 and 1568 before."""
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
