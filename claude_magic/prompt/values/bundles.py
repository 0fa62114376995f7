"""Displayed outputs (MIME bundles, as a notebook keeps them) → parts of a prompt, in their best form."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ...content import html_text
from ...content.images import image_block
from ...content.parts import Part, Text
from ...content.stable_text import without_addresses
from ...errors import ClaudeError

PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_TEXTS = ("text/markdown", "text/latex", "text/plain", "application/json")
# The plain text of an object without a form of its own, such as IPython's HTML.
_NO_FORM = re.compile(r"\s*<[\w.]{1,200} object(?: at 0x[0-9A-Fa-f]+)?>\s*")


def parts_of_bundle(bundle: Mapping[str, Any]) -> Iterator[Part]:
    """The part for a displayed value, best form first: an image, else Markdown or text, else the text of HTML."""
    for kind in PICTURES:
        if data := bundle.get(kind):
            try:
                yield image_block(_decoded(data))
                return
            except (ValueError, ClaudeError):
                break
    text = next((_text(bundle[kind]) for kind in _TEXTS if kind in bundle), "")
    text = without_addresses(text) if text == _text(bundle.get("text/plain", "")) else text
    if "text/html" in bundle and (not text.strip() or _NO_FORM.fullmatch(text)):
        text = html_text.as_text(_text(bundle["text/html"])) or text
    yield Text(text)


def _decoded(data: Any) -> bytes:
    return data if isinstance(data, bytes) else base64.b64decode(_text(data))


def _text(value: Any) -> str:
    """Text in nbformat's form, a string or a list of lines, as a string."""
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
