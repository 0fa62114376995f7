"""Image bytes and Pillow images → image blocks within the API's limits; SVG → PNG."""

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


# The API's limits for one image, and those for images that we encode: they are within what it takes of more than twenty
# images in a request, which a notebook with many figures reaches, and within what Bedrock and Google take
# (CLAUDE_API.md §3). `request/pictures.py` brings the others down where a request needs it.
MAX_SENT_SIDE_PIXELS = 8_000
MAX_SENT_BASE64_BYTES = 10_000_000
MAX_IMAGE_SIDE_PIXELS = 2_000
MAX_IMAGE_BASE64_BYTES = 5_000_000
# The file formats that the API takes.
SENT_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
# Pillow's own limit, above which it raises DecompressionBombError; a picture takes about four bytes a pixel in memory.
MAX_IMAGE_PIXELS = 178_956_970
# The file formats taken as images: those of Pillow's formats that can be told by their first bytes.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "ICO", "PPM")
_MAGIC = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
# Pillow's `info` keys without personal data (who made the image, where, how); an image with others is encoded anew.
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
    """An image block within the API's limits (CLAUDE_API.md §3); the same picture gives the same block.

    A JPEG, PNG, GIF or WebP file within the limits and without private metadata is sent as it is. Any other image is
    turned upright by its EXIF orientation and encoded as PNG (a JPEG as JPEG) without metadata: such a file at its own
    size, others scaled down to `MAX_IMAGE_SIDE_PIXELS` a side; if its base64 is longer than
    `MAX_IMAGE_BASE64_BYTES`, as JPEG of falling quality, then smaller. Of an animation only the first frame is sent.

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
        picture.load()  # raises for a truncated file, which the API would refuse
        if _is_sendable(picture, data):
            return _wire_image(f"image/{str(picture.format).lower()}", data)
        fits = picture.format in SENT_FORMATS and max(picture.size) <= MAX_SENT_SIDE_PIXELS
        return _encoded(picture, picture.format, MAX_SENT_SIDE_PIXELS if fits else MAX_IMAGE_SIDE_PIXELS)


def side_pixels(data: str) -> int:
    """The longer side of an image in base64, in pixels; 0 if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            return max(picture.size)
    except Exception:  # each of Pillow's decoders fails in its own way; the API says what is wrong
        return 0


def smaller(data: str) -> Block:
    """An image in base64 as a block within `MAX_IMAGE_SIDE_PIXELS` and `MAX_IMAGE_BASE64_BYTES`. Raises what Pillow
    raises for bytes that it cannot read."""
    with _opened(base64.b64decode(data)) as picture:
        return _encoded(picture, picture.format)


class _TooManyPixels(Exception):
    """A picture with too many pixels to decode, however small its file."""


@contextmanager
def _opened(data: bytes) -> Iterator[Image]:
    """Open an image with Pillow, which reads only its header; HEIC too, if pillow-heif is installed.

    Raises `_TooManyPixels`, or what Pillow raises for bytes that it cannot read.
    """
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
    """Whether bytes are an image of a supported format, even a damaged one."""
    if is_picture_file(data):
        return True
    try:
        with _opened(data) as picture:
            return picture.format in _FORMATS
    except _TooManyPixels:
        return True
    except Exception:  # each of Pillow's decoders fails in its own way
        return False


def octets(value: bytes | bytearray | memoryview | io.BytesIO) -> memoryview:
    """The bytes of a bytes-like value or of an `io.BytesIO`, without a copy where that is possible."""
    view = memoryview(value.getvalue() if isinstance(value, io.BytesIO) else value)
    return view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())


def is_picture_file(value: Any) -> bool:
    """Whether a value holds the bytes of a JPEG, PNG, GIF or WebP file, by their beginning."""
    if not isinstance(value, bytes | bytearray | memoryview | io.BytesIO):
        return False
    start = bytes(octets(value)[:12])
    return start.startswith(_MAGIC) or (start.startswith(b"RIFF") and start[8:] == b"WEBP")


def frames_of(data: bytes) -> int:
    """The number of frames in an image, of which only the first is sent."""
    with _opened(data) as picture:
        return int(getattr(picture, "n_frames", 1))


def _is_sendable(picture: Image, data: bytes) -> bool:
    return (
        picture.format in SENT_FORMATS
        and getattr(picture, "n_frames", 1) == 1
        and picture.mode != "CMYK"
        and not picture.getexif()
        and {name for name in picture.info if isinstance(name, str)} <= _HARMLESS
        and max(picture.size) <= MAX_SENT_SIDE_PIXELS
        and _base64_length(len(data)) <= MAX_SENT_BASE64_BYTES
    )


def _encoded(picture: Image, format: str | None, side: int | None = None) -> Block:
    from PIL import Image, ImageOps

    upright = _plain_mode(ImageOps.exif_transpose(picture))
    upright.info = {name: value for name, value in upright.info.items() if name in _HARMLESS}
    side = side or MAX_IMAGE_SIDE_PIXELS
    while True:
        upright.thumbnail((side, side), Image.Resampling.LANCZOS)
        for media_type, options in _ENCODINGS if format not in ("JPEG", "MPO") else _ENCODINGS[1:]:
            data = _saved(upright, media_type, options)
            if _base64_length(len(data)) <= MAX_IMAGE_BASE64_BYTES:
                return _wire_image(media_type, data)
        side = side * 3 // 4


# Encodings in the order of trial, until one is small enough.
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
    """A copy in grey or RGB, with alpha kept: modes that the encoders and the resampling support."""
    if picture.mode in ("L", "LA", "RGB", "RGBA"):
        return picture.copy()
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _eight_bits(picture)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _eight_bits(picture: Image) -> Image:
    """Grey levels of 16 or 32 bits, or floats, scaled to 0..255; Pillow's own conversion clips them."""
    levels = picture.convert("F")
    low, high = (float(level) for level in levels.getextrema())  # type: ignore[arg-type]  # one band: two numbers
    if picture.mode == "F" and low >= 0 and high <= 1:  # the range for floats of matplotlib and scikit-image
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
    """Bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def _base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


def is_picture(value: Any) -> bool:
    """Whether a value is a Pillow image."""
    module = sys.modules.get("PIL.Image")  # imported wherever such a value exists
    return module is not None and isinstance(value, module.Image)


MAX_SVG_CHARACTERS = 5_000_000
RENDERER_ADVICE = "pip install 'claude_magic[pictures]' renders it."
# A smaller SVG is drawn larger, so that its text is legible.
_MIN_SIDE_PIXELS = 400
_MAX_ZOOM = 4
_LENGTH = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][0-9]{1,3})?)\s*(px|pt|pc|mm|cm|in|em|ex)?\s*")
_PIXELS = {"pt": 4 / 3, "pc": 16, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96, "em": 16, "ex": 8}


def can_render_svg() -> bool:
    """Whether an SVG renderer (resvg-py) is installed."""
    return importlib.util.find_spec("resvg_py") is not None


def svg_as_png(svg: str | bytes) -> bytes | None:
    """Render an SVG as PNG on white, within `MAX_IMAGE_SIDE_PIXELS` a side; None if no renderer is installed.

    Raises:
        ValueError: the data is not an SVG, or it is too large.
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
    """The root element of an SVG without its references to files and URLs.

    Raises `ValueError` for data that is not an SVG, or longer than `MAX_SVG_CHARACTERS`.
    """
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
    """Width and height of an SVG in pixels. Raises `ValueError` for sizes that cannot be drawn."""
    box = [_pixels(each) for each in re.split(r"[\s,]+", root.get("viewBox", "").strip())[2:4]]
    box_width, box_height = box if len(box) == 2 else (0.0, 0.0)
    width = _pixels(root.get("width", "")) or box_width or 100.0
    height = _pixels(root.get("height", "")) or (width * box_height / box_width if box_width else 0) or 100.0
    if not (math.isfinite(width) and math.isfinite(height) and width / height < 100 and height / width < 100):
        raise ValueError("an SVG of no sensible size")
    return width, height


def _pixels(length: str) -> float:
    """A length in pixels; 0 for a relative or an invalid one."""
    found = _LENGTH.fullmatch(length)
    return float(found[1]) * _PIXELS.get(found[2] or "", 1.0) if found else 0.0
