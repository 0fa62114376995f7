"""SVG → PNG, where resvg is installed: the API takes no SVG. Nothing outside of the picture is read for it."""

from __future__ import annotations

import importlib.util
import math
import re
from typing import Any

from .pictures import MAX_IMAGE_SIDE_PIXELS

MAX_SVG_CHARACTERS = 5_000_000
RENDERER_ADVICE = "pip install 'claude_magic[pictures]' renders it."
# What is smaller is drawn larger, so that its text can be read.
_MIN_SIDE_PIXELS = 400
_MAX_ZOOM = 4
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][0-9]{1,3})?)\s*(px|pt|pc|mm|cm|in|em|ex)?\s*")
_PIXELS = {"pt": 4 / 3, "pc": 16, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96, "em": 16, "ex": 8}


def can_render_svg() -> bool:
    """Whether there is something here that renders SVG."""
    return importlib.util.find_spec("resvg_py") is not None


def svg_as_png(svg: str | bytes) -> bytes | None:
    """An SVG as a PNG on white, at its own size within `MAX_IMAGE_SIDE_PIXELS`; None where nothing renders it.

    Raises:
        ValueError: it is no SVG, or too large.
    """
    if not can_render_svg():
        return None
    import resvg_py

    root = _inert(svg)
    width, height = _extent(root)
    zoom = min(_MAX_ZOOM, max(1.0, _MIN_SIDE_PIXELS / max(width, height)), MAX_IMAGE_SIDE_PIXELS / max(width, height))
    from xml.etree import ElementTree

    markup = ElementTree.tostring(root, encoding="unicode")
    pixels = max(1, math.floor(width * zoom))
    return resvg_py.svg_to_bytes(svg_string=markup, width=pixels, background="white")


def _inert(svg: str | bytes) -> Any:
    """The root of an SVG that draws nothing but itself: files and addresses that it names are left out."""
    from xml.etree import ElementTree

    if len(svg) > MAX_SVG_CHARACTERS:
        raise ValueError(f"an SVG of more than {MAX_SVG_CHARACTERS:,} characters")
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        raise ValueError("no SVG") from None
    if root.tag.rpartition("}")[2] != "svg":
        raise ValueError("no SVG")
    for element in root.iter():
        for attribute in [name for name in element.attrib if name.rpartition("}")[2] == "href"]:
            if not re.match(r"#|data:image/(png|jpeg|gif|webp)[;,]", element.attrib[attribute]):
                del element.attrib[attribute]
    return root


def _extent(root: Any) -> tuple[float, float]:
    """Width and height in pixels."""
    box = [_pixels(each) for each in re.split(r"[\s,]+", root.get("viewBox", "").strip())[2:4]]
    box_width, box_height = box if len(box) == 2 else (0.0, 0.0)
    width = _pixels(root.get("width", "")) or box_width or 100.0
    height = _pixels(root.get("height", "")) or (width * box_height / box_width if box_width else 0) or 100.0
    if not (math.isfinite(width) and math.isfinite(height) and width / height < 100 and height / width < 100):
        raise ValueError("an SVG of no sensible size")
    return width, height


def _pixels(length: str) -> float:
    """A length in pixels; 0 for one that is relative or none."""
    found = _LENGTH.fullmatch(length)
    return float(found[1]) * _PIXELS.get(found[2] or "", 1.0) if found else 0.0
