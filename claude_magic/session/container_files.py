"""Files that Claude's code made in its container, fetched to be shown beside the reply.

An image becomes an image block; any other file becomes a block of type `file` with the API's metadata. Neither is ever
sent.
"""

from __future__ import annotations

import io
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..client import Client, Settings
from ..content import images
from ..conversation.turns import Block
from ..render import tool_calls

MAX_FILES = 20
MAX_SECONDS = 30.0  # for all files: the reply is complete, and the reader waits
MAX_IMAGE_BYTES = 10_000_000


def fetch(client: Client, settings: Settings, content: Sequence[Block]) -> tuple[Block, ...]:
    """Blocks for the files that a reply names. A file that cannot be fetched still gets a block with its name."""
    found: list[Block] = []
    end = time.monotonic() + MAX_SECONDS
    for file_id in list(tool_calls.files(content))[:MAX_FILES]:
        about = client.file(file_id, settings) if time.monotonic() < end else {}
        named = {"title": str(about.get("filename") or file_id), "file_id": file_id}
        found.append(_image(client, settings, named, about) or _named(named, about))
    return tuple(found)


def _named(named: Mapping[str, str], about: Mapping[str, Any]) -> Block:
    size = about.get("size_bytes")
    known = {"size": size} if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else {}
    return {"type": "file", **named, **known}


def _image(client: Client, settings: Settings, named: Mapping[str, str], about: Mapping[str, Any]) -> Block | None:
    """A file as an image block, within the API's limits; `None` if Pillow cannot read it as an image."""
    size = about.get("size_bytes")
    is_image = str(about.get("mime_type")).startswith("image/")
    if not is_image or not isinstance(size, int) or size > MAX_IMAGE_BYTES:
        return None
    data = client.file_bytes(named["file_id"], settings, MAX_IMAGE_BYTES)
    if not data:
        return None
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as opened:
            return {**images.image_block(opened), **named}
    except Exception:  # untrusted bytes: each of Pillow's decoders fails in its own way
        return None
