"""Image data and Pillow images → image blocks that the API takes; SVG → PNG."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import math
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import PromptError
from .safely import one_line

if TYPE_CHECKING:
    from PIL.Image import Image


# A request with more than twenty images takes none that is larger, and notebooks gather figures (CLAUDE_API.md §3).
MAX_IMAGE_SIDE_PIXELS = 2_000
# The limit of Bedrock and Google; of the API it is 10 MB, but a history may move (CLAUDE_API.md §3).
MAX_IMAGE_BASE64_BYTES = 5_000_000
# Pillow's own limit, beyond which it refuses: four bytes for each of them is what a picture takes in memory.
MAX_IMAGE_PIXELS = 178_956_970
# What files may hold that is turned into an image: of the formats that Pillow knows, those that say so in their bytes.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "ICO", "PPM")
_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
# What Pillow tells of an image that says nothing of who made it, where and how; all else is left out.
_HARMLESS = frozenset(
    {
        "adobe",
        "adobe_transform",
        "background",
        "bbox",
        "chromaticity",
        "compression",
        "default_image",
        "dpi",
        "duration",
        "extension",
        "gamma",
        "icc_profile",
        "interlace",
        "jfif",
        "jfif_density",
        "jfif_unit",
        "jfif_version",
        "loop",
        "progression",
        "progressive",
        "resolution",
        "Software",
        "srgb",
        "timestamp",
        "transparency",
        "version",
    }
)

Block = dict[str, Any]


def image_block(data: bytes | Image) -> Block:
    """An image block with a picture within the API's limits (CLAUDE_API.md §3), the same for the same picture.

    A JPEG, PNG, GIF or WebP that is within them, and holds nothing but the picture, goes as it is. Any other is turned
    upright, brought to `MAX_IMAGE_SIDE_PIXELS` a side and encoded as PNG (a JPEG as JPEG), without what a camera wrote
    into it; where its base64 would be more than `MAX_IMAGE_BASE64_BYTES`, as JPEG of falling quality, then smaller. An
    animation is its first frame.

    Raises:
        PromptError: Pillow cannot read the data, or the picture has more than `MAX_IMAGE_PIXELS`.
    """
    try:
        return _image_block(data)
    except _TooManyPixels as error:
        failure = str(error)
    except Exception as error:  # each of Pillow's decoders fails in its own way
        failure = one_line(error)
    raise PromptError(f"The image cannot be read ({failure}).", advice="Nothing was sent.")


def _image_block(data: bytes | Image) -> Block:
    if not isinstance(data, bytes):
        return _encoded(data, data.format)
    with _opened(data) as picture:
        if math.prod(picture.size) > MAX_IMAGE_PIXELS:
            raise _TooManyPixels(f"it has {picture.width:,} × {picture.height:,} pixels, more than can be unpacked")
        picture.load()  # the API would refuse what breaks off
        if _goes_as_it_is(picture, data):
            return _wire_image(f"image/{str(picture.format).lower()}", data)
        return _encoded(picture, picture.format)


class _TooManyPixels(Exception):
    """A picture that is too large to be unpacked, however small its file."""


@contextmanager
def _opened(data: bytes) -> Iterator[Image]:
    """A picture whose head has been read; of HEIC too, where pillow-heif is installed."""
    from PIL import Image

    if data[4:8] == b"ftyp" and "HEIF" not in Image.OPEN and importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data)) as picture:
                yield picture
                return
        except Image.DecompressionBombError:
            pass
    raise _TooManyPixels(f"it has more than {MAX_IMAGE_PIXELS:,} pixels, more than can be unpacked")


def is_image_data(data: bytes) -> bool:
    """Whether these bytes are an image of a format that is brought to the API's, be it a broken one."""
    if data.startswith(_MAGIC) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return True
    try:
        with _opened(data) as picture:
            return picture.format in _FORMATS
    except _TooManyPixels:
        return True
    except Exception:  # each of Pillow's decoders fails in its own way
        return False


def frames_of(data: bytes) -> int:
    """How many frames an image has, of which the first goes along."""
    with _opened(data) as picture:
        return int(getattr(picture, "n_frames", 1))


def _goes_as_it_is(picture: Image, data: bytes) -> bool:
    return (
        picture.format in ("JPEG", "PNG", "GIF", "WEBP")
        and getattr(picture, "n_frames", 1) == 1
        and picture.mode != "CMYK"
        and not picture.getexif()
        and {name for name in picture.info if isinstance(name, str)} <= _HARMLESS
        and max(picture.size) <= MAX_IMAGE_SIDE_PIXELS
        and _base64_length(len(data)) <= MAX_IMAGE_BASE64_BYTES
    )


def _encoded(picture: Image, format: str | None) -> Block:
    from PIL import Image, ImageOps

    upright = _plain_mode(ImageOps.exif_transpose(picture))
    upright.info = {name: value for name, value in upright.info.items() if name in _HARMLESS}
    side = MAX_IMAGE_SIDE_PIXELS
    while True:
        upright.thumbnail((side, side), Image.Resampling.LANCZOS)
        for media_type, options in _ENCODINGS if format not in ("JPEG", "MPO") else _ENCODINGS[1:]:
            data = _saved(upright, media_type, options)
            if _base64_length(len(data)) <= MAX_IMAGE_BASE64_BYTES:
                return _wire_image(media_type, data)
        side = side * 3 // 4


# Tried in turn until one is small enough.
_ENCODINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("image/png", {"format": "PNG"}),
    ("image/jpeg", {"format": "JPEG", "quality": 90}),
    ("image/jpeg", {"format": "JPEG", "quality": 75}),
    ("image/jpeg", {"format": "JPEG", "quality": 50}),
)


def _saved(picture: Image, media_type: str, options: Mapping[str, Any]) -> bytes:
    from PIL import Image

    if media_type == "image/jpeg" and picture.mode in ("LA", "RGBA"):
        opaque = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(opaque, picture.convert("RGBA")).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def _plain_mode(picture: Image) -> Image:
    """A copy in a mode that both PNG and JPEG encoders and the resampling take: grey or RGB, alpha kept."""
    if picture.mode in ("L", "LA", "RGB", "RGBA"):
        return picture.copy()
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _eight_bits(picture)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _eight_bits(picture: Image) -> Image:
    """Grey levels of 16 or 32 bits, or floats, brought to 0..255: Pillow itself would clip them."""
    levels = picture.convert("F")
    low, high = (float(level) for level in levels.getextrema())  # type: ignore[arg-type]  # one band: two numbers
    if picture.mode == "F" and low >= 0 and high <= 1:  # as matplotlib and scikit-image take them
        low, high = 0.0, 1.0
    elif low >= 0 and high <= 255:
        return levels.convert("L")
    if picture.mode.startswith("I") and low >= 0 and high <= 65_535:
        low, high = 0.0, 65_535.0
    scale = 255 / (high - low) if high > low else 1.0
    return levels.point(lambda level: level * scale + (-low * scale)).convert("L")


def _wire_image(media_type: str, data: bytes) -> Block:
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": base64_text(data)}}


def base64_text(data: bytes) -> str:
    """Bytes as base64."""
    return base64.b64encode(data).decode("ascii")


def _base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


def is_picture(value: Any) -> bool:
    """Whether this is a Pillow image."""
    module = sys.modules.get("PIL.Image")  # who holds such an image has imported it
    return module is not None and isinstance(value, module.Image)


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
