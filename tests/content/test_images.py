"""What figures, Pillow images and image data become."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from matplotlib.figure import Figure
from PIL import Image

from claude_magic.content import images
from claude_magic.content.images import MAX_IMAGE_BASE64_BYTES, image_block
from claude_magic.errors import PromptError
from claude_magic.prompt.prompt import prompt_content
from support.prompt_blocks import picture


def figure() -> Figure:
    drawn = Figure(figsize=(4, 3), dpi=80, layout="constrained")
    drawn.subplots().plot([1, 2, 3])
    return drawn


@pytest.mark.slow
def test_a_figure_is_an_image_between_the_texts_and_stays_as_it_was() -> None:
    shown = figure()
    blocks = prompt_content("before {{shown}}\n {{shown}} after", {"shown": shown})
    assert [block["type"] for block in blocks] == ["text", "image", "image", "text"]
    assert blocks[1] == blocks[2]
    assert blocks[1]["source"]["media_type"] == "image/png"
    assert (shown.dpi, tuple(shown.get_size_inches())) == (80, (4, 3))
    assert blocks[0]["text"] == "before "
    assert blocks[3]["text"] == " after"


@pytest.mark.slow
def test_axes_and_arrays_of_axes_are_their_figure() -> None:
    shown = Figure()
    grid = shown.subplots(2, 2)
    expected = prompt_content("{{shown}}", {"shown": shown})
    assert prompt_content("{{grid[0, 1]}}", {"grid": grid}) == expected
    assert prompt_content("{{grid}}", {"grid": grid}) == expected


def test_a_pyplot_figure_is_neither_closed_nor_opened() -> None:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    before = pyplot.get_fignums()
    shown, _ = pyplot.subplots()
    prompt_content("{{shown}}", {"shown": shown})
    assert pyplot.get_fignums() == [*before, shown.number]
    pyplot.close(shown)
    prompt_content("{{shown}}", {"shown": shown})
    assert pyplot.get_fignums() == before


def test_a_vast_figure_is_drawn_within_the_limit() -> None:
    for inches in (90, 900):
        (block,) = prompt_content("{{shown}}", {"shown": Figure(figsize=(inches, 10))})
        assert 1_900 < max(picture(block).size) <= 2_000


def test_what_stands_a_little_outside_of_a_figure_is_shown_and_what_is_lost_far_outside_is_not() -> None:
    sizes = []
    for place in (1.2, 60, 1_000):
        shown = Figure(figsize=(4, 3), dpi=80)
        shown.subplots().text(place, 0.5, "here")
        (block,) = prompt_content("{{shown}}", {"shown": shown})
        sizes.append(picture(block).size)
    assert sizes[0][0] > 320
    assert sizes[1:] == [(320, 240), (320, 240)]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_a_picture_of_any_mode_becomes_a_png(mode: str) -> None:
    shown = Image.new(mode, (30, 20))
    (block,) = prompt_content("{{shown}}", {"shown": shown})
    assert block["source"]["media_type"] == "image/png"
    assert picture(block).size == (30, 20)
    assert shown.mode == mode


def test_sixteen_bits_keep_their_contrast() -> None:
    ramp = Image.fromarray(numpy.array([[0, 20_000, 65_535]], dtype="uint16"))
    assert list(picture(image_block(ramp)).tobytes()) == [0, 77, 255]
    floats = Image.fromarray(numpy.array([[-1.0, 0.0, 1.0]], dtype="float32"))
    assert list(picture(image_block(floats)).tobytes()) == [0, 127, 255]
    shares = Image.fromarray(numpy.array([[0.0, 0.2, 1.0]], dtype="float32"))
    assert list(picture(image_block(shares)).tobytes()) == [0, 51, 255]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_data_within_the_limits_goes_as_it_is(format: str) -> None:
    data = saved(Image.new("RGB", (50, 40), "teal"), format)
    block = image_block(data)
    assert block["source"]["media_type"] == f"image/{format.lower()}"
    assert base64.b64decode(block["source"]["data"]) == data


@pytest.mark.parametrize("format", ["BMP", "TIFF", "PPM"])
def test_other_formats_become_png(format: str) -> None:
    assert image_block(saved(Image.new("RGB", (50, 40)), format))["source"]["media_type"] == "image/png"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.slow
def test_a_file_within_the_limits_of_the_api_goes_as_it_is(format: str) -> None:
    data = saved(Image.new("RGB", (7_000, 3_500)), format)
    assert base64.b64decode(image_block(data)["source"]["data"]) == data


@pytest.mark.parametrize(
    ("made", "size"),
    [
        (lambda: saved(Image.new("RGB", (9_000, 4_500)), "JPEG"), (2_000, 1_000)),
        (lambda: saved(Image.new("RGB", (5_000, 2_500)), "BMP"), (2_000, 1_000)),
        (lambda: Image.new("RGB", (5_000, 2_500)), (2_000, 1_000)),
    ],
    ids=["beyond the limits", "of another format", "no file"],
)
@pytest.mark.slow
def test_another_large_picture_is_brought_to_2000_pixels(made: Callable[[], Any], size: tuple[int, int]) -> None:
    assert picture(image_block(made())).size == size


@pytest.mark.slow
def test_a_file_with_private_metadata_keeps_its_size_and_loses_them() -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    buffer = io.BytesIO()
    Image.new("RGB", (4_000, 3_000)).save(buffer, "JPEG", exif=exif)
    sent = picture(image_block(buffer.getvalue()))
    assert sent.size == (4_000, 3_000) and not sent.getexif()


def test_a_picture_that_lies_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (60, 20)).save(buffer, "JPEG", exif=exif)
    upright = picture(image_block(buffer.getvalue()))
    assert upright.size == (20, 60)
    assert upright.getexif().get(0x0112, 1) == 1


@pytest.mark.slow
def test_noise_that_is_too_much_for_png_goes_as_jpeg_within_the_limit() -> None:
    noise = Image.frombytes("RGBA", (1_900, 1_900), random.Random(0).randbytes(1_900 * 1_900 * 4))
    block = image_block(noise)
    assert block["source"]["media_type"] == "image/jpeg"
    assert len(block["source"]["data"]) <= MAX_IMAGE_BASE64_BYTES


def test_where_quality_is_not_enough_the_picture_gets_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_IMAGE_BASE64_BYTES", 20_000)
    noise = Image.frombytes("RGB", (400, 400), random.Random(0).randbytes(400 * 400 * 3))
    monkeypatch.setattr(images, "MAX_IMAGE_SIDE_PIXELS", 400)
    block = image_block(noise)
    assert len(block["source"]["data"]) <= 20_000
    assert picture(block).size < (400, 400)


@pytest.mark.slow
def test_the_same_picture_gives_the_same_bytes() -> None:
    assert image_block(Image.new("RGB", (50, 40))) == image_block(Image.new("RGB", (50, 40)))
    assert prompt_content("{{f()}}", {"f": figure}) == prompt_content("{{f()}}", {"f": figure})


def test_data_that_is_no_picture_is_refused() -> None:
    noise = Image.frombytes("RGB", (90, 90), random.Random(0).randbytes(90 * 90 * 3))
    halves = [whole[: len(whole) // 2] for whole in (saved(noise, "PNG"), saved(noise, "JPEG"))]
    for data in (b"not a picture", b"", *halves):
        with pytest.raises(PromptError, match="cannot be read"):
            image_block(data)


def saved(image: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()
