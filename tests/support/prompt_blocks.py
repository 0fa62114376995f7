"""Prompts and what they become, for the tests of what goes into them."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from claude_magic.errors import PromptError
from claude_magic.prompt.prompt import prompt_content


def text(body: str, **namespace: Any) -> str:
    """The one text block that a prompt becomes."""
    (block,) = prompt_content(body, namespace)
    assert block["type"] == "text"
    return str(block["text"])


def picture(block: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(block["source"]["data"])))


def refusal(body: str, **namespace: Any) -> PromptError:
    with pytest.raises(PromptError) as caught:
        prompt_content(body, namespace)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return caught.value


class Broken:
    """Fails in every way of being shown."""

    def __repr__(self) -> str:
        raise ValueError("no\nrepr")

    def _repr_png_(self) -> bytes:
        raise RuntimeError("no picture")

    def _repr_mimebundle_(self, **options: Any) -> None:
        raise RuntimeError("no bundle")
