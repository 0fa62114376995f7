"""What files become: images, PDFs, tables, notebooks and text; and what is refused, in one line."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image

from claude_magic.content import images, pdf
from claude_magic.errors import PromptError
from claude_magic.prompt.values import files
from claude_magic.prompt.values.files import of_data, of_path, path_blocks
from support.pdf_files import packed_pdf, pdf_of
from support.prompt_blocks import picture


def image(format: str = "PNG", size: tuple[int, int] = (30, 20), **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, format, **options)
    return buffer.getvalue()


def document(path: Path) -> str:
    """The text of the one document that a file becomes, which has its name."""
    (block,) = path_blocks(path)
    assert (block["type"], block["title"]) == ("document", path.name)
    assert block["source"]["media_type"] == "text/plain"
    return str(block["source"]["data"])


def refusal(data: bytes, name: str) -> str:
    with pytest.raises(PromptError) as caught:
        of_data(data, name)
    assert caught.value.__context__ is None
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_pdf_is_a_document_with_its_name_pages_and_size(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf_of(3))
    made = of_path(path)
    (block,) = made.content
    assert (block["title"], block["source"]["media_type"]) == ("report.pdf", "application/pdf")
    assert base64.b64decode(block["source"]["data"]) == path.read_bytes()
    assert made.about[0] == "3 pages" and made.about[1].endswith("kB")


def test_pages_are_counted_in_packed_and_changed_pdfs_too_and_not_guessed_in_others() -> None:
    assert pdf.look(packed_pdf(412)).pages == 412
    written = pdf_of(2)
    changed = written + b"\n2 0 obj\n<< /Type /Pages /Kids [ ] /Count 7 >>\nendobj\n"
    assert (pdf.look(written).pages, pdf.look(changed).pages) == (2, 7)
    assert pdf.look(b"%PDF-1.4\nnothing that is known").pages is None
    assert pdf.look(packed_pdf(5)[:150]).pages is None


def test_an_encrypted_pdf_is_refused() -> None:
    assert "encrypted" in refusal(pdf_of(1) + b"trailer <</Encrypt 5 0 R>>", "secret.pdf")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "PPM"])
def test_an_image_of_any_format_is_an_image_whatever_its_name(format: str) -> None:
    if format == "AVIF" and ".avif" not in Image.registered_extensions():
        pytest.skip("Pillow reads AVIF from 11.3 on")
    (block,) = of_data(image(format), "holiday.txt").content
    assert block["type"] == "image"
    assert picture(block).size == (30, 20)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_what_a_camera_wrote_into_a_picture_stays_at_home(format: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET CAMERA"
    data = image(format, exif=exif)
    assert b"SECRET" in data
    (block,) = of_data(data, "holiday").content
    assert b"SECRET" not in base64.b64decode(block["source"]["data"])


def test_a_comment_in_a_picture_stays_at_home() -> None:
    (block,) = of_data(image("JPEG", comment=b"SECRET"), "holiday.jpg").content
    assert b"SECRET" not in base64.b64decode(block["source"]["data"])


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame_goes_and_that_is_said(format: str) -> None:
    more = [Image.new("RGB", (30, 20), color) for color in ("red", "blue")]
    made = of_data(image(format, save_all=True, append_images=more), "clip")
    (block,) = made.content
    assert getattr(picture(block), "n_frames", 1) == 1
    assert picture(block).convert("RGB").getpixel((5, 5)) == pytest.approx((0, 128, 128), abs=3)
    assert made.about == ["the first of 3 frames"]


@pytest.mark.slow
def test_a_decompression_bomb_is_refused_in_one_line() -> None:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    said = refusal(buffer.getvalue(), "bomb.png")
    assert "bomb.png" in said and "pixels" in said


def test_a_bomb_is_refused_where_pillow_has_been_told_to_take_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(images, "MAX_IMAGE_PIXELS", 500)
    assert "30 × 20 pixels" in refusal(image(), "bomb.png")


STARTS = [b"<svg ", b"<?xml version='1.0'?>\n<!-- x -->\n<svg ", b"\xef\xbb\xbf  <svg ", b"<!DOCTYPE svg>\n<svg "]
DRAWING = b"xmlns='http://www.w3.org/2000/svg' width='500' height='400'/>"


@pytest.mark.parametrize("start", STARTS)
def test_an_svg_is_sent_as_what_it_draws(start: bytes, tmp_path: Path) -> None:
    (tmp_path / "drawing.svg").write_bytes(start + DRAWING)
    made = of_path(tmp_path / "drawing.svg")
    assert picture(made.content[0]).size == (500, 400)
    assert made.about == ["rendered"]


@pytest.mark.parametrize("start", STARTS)
def test_an_svg_that_nothing_renders_is_refused(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_magic.content.images.can_render_svg", lambda: False)
    assert "PNG" in refusal(start + DRAWING, "drawing.svg")


def test_a_damaged_svg_is_refused_in_a_line() -> None:
    assert "is an SVG, which cannot be rendered (ValueError: no SVG)." in refusal(b"<svg ", "drawing.svg")


def test_a_page_with_an_svg_in_it_is_text(tmp_path: Path) -> None:
    page = "<!DOCTYPE html>\n<html><body><svg width='5'></svg>A page.</body></html>"
    (tmp_path / "page.html").write_text(page)
    assert document(tmp_path / "page.html") == page


def test_text_and_code_are_documents(tmp_path: Path) -> None:
    for name, data, text in [
        ("tool.py", b"print('hi')\n", "print('hi')\n"),
        ("marked.md", "\ufeffGrüße".encode(), "Grüße"),
        ("wide.txt", "Grüße".encode("utf-16"), "Grüße"),
        ("old.txt", "Grüße – 5 €".encode("cp1252"), "Grüße – 5 €"),
        ("page.html", b"<p>one</p>", "<p>one</p>"),
    ]:
        path = tmp_path / name
        path.write_bytes(data)
        assert document(path) == text


def test_long_text_is_shortened_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TEXT_CHARACTERS", 100)
    path = tmp_path / "long.log"
    path.write_text("ü" * 500)
    assert document(path).startswith("ü" * 100 + "\n… [shortened: 100 of 500 characters]")
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 301)  # in the middle of a character
    assert document(path) == "ü" * 100 + "\n… [shortened: the start of 1 kB]"


@pytest.mark.slow
def test_a_table_is_its_summary_and_a_small_one_goes_whole_too(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"shop": ["Nord", "Süd"] * 5_000, "sales": range(10_000)})
    frame.to_csv(tmp_path / "all.csv", index=False)
    frame.to_csv(tmp_path / "all.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "all.parquet")
    frame.to_json(tmp_path / "all.json", orient="records")
    frame.to_json(tmp_path / "all.jsonl", orient="records", lines=True)
    for kind in ("csv", "tsv", "parquet", "json", "jsonl"):
        text = document(tmp_path / f"all.{kind}")
        assert "10,000 rows × 2 columns" in text and "max 9999" in text and "Süd" in text
        assert len(text) < 1_000
    frame[:12].to_csv(tmp_path / "small.csv", index=False)
    small = document(tmp_path / "small.csv")
    assert "12 rows × 2 columns" in small and small.endswith((tmp_path / "small.csv").read_text())


def test_a_table_that_is_too_long_is_read_in_part_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.csv"
    path.write_text("number\n" + "".join(f"{number}\n" for number in range(1_000, 3_000)))
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 7 + 5 * 300 + 2)
    text = document(path)
    assert text.startswith("The first 300 rows of long.csv, which is longer.") and "max 1299" in text
    pandas.DataFrame({"number": range(500)}).to_parquet(tmp_path / "long.parquet")
    monkeypatch.setattr("claude_magic.prompt.values.table_files.MAX_TABLE_ROWS", 100)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 50)
    assert document(tmp_path / "long.parquet").startswith("The first 100 of 500 rows of long.parquet.")


def test_json_that_is_no_table_and_a_table_that_is_none_are_text(tmp_path: Path) -> None:
    for name, text in [("tree.json", '{"a": [1, {"b": 2}]}'), ("broken.json", "{"), ("one.json", "[1, 2]")]:
        (tmp_path / name).write_text(text)
        assert document(tmp_path / name) == text


def test_a_notebook_is_its_cells_with_what_they_printed(tmp_path: Path) -> None:
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["printed\n"]},
        {"output_type": "execute_result", "data": {"text/plain": "42", "image/png": "AAAA"}},
        {"output_type": "error", "traceback": ["\x1b[31mZeroDivisionError\x1b[0m"]},
    ]
    cells = [
        {"cell_type": "markdown", "source": "# Title"},
        {"cell_type": "code", "source": ["6 * 7"], "outputs": outputs},
    ]
    path = tmp_path / "lesson.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    text = document(path)
    for part in ("# Title", "6 * 7", "printed", "42", "ZeroDivisionError"):
        assert part in text
    assert "AAAA" not in text and "\x1b" not in text
    for data in (b"{", b"{}", b'{"cells": 3}', b'{"cells": [1]}'):
        assert "cannot be read as a notebook" in refusal(data, "lesson.ipynb")


@pytest.mark.parametrize(
    ("data", "name", "said"),
    [
        (b"PK\x03\x04\0\0", "book.xlsx", "ZIP"),
        (b"\x1f\x8b\x08\0", "a.csv.gz", "gzip"),
        (bytes(range(256)), "data.bin", "binary"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "photo.heic", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "photo.avif", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "clip.mp4", "video"),
        (b"\x80\x04\x95\0", "model.pkl", "pickle"),
        (b"", "nothing.txt", "empty"),
        (b" \n", "blank.txt", "white space"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100, "broken.png", "cannot be read"),
        (image()[:60], "half.png", "cannot be read"),
    ],
)
def test_what_claude_cannot_read_is_refused_with_what_it_is(data: bytes, name: str, said: str) -> None:
    told = refusal(data, name)
    assert name in told and said in told and "Nothing was sent." in told


def test_what_is_no_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for path, said in [(tmp_path, "folder"), (tmp_path / "none.txt", "does not exist"), (Path("/dev/null"), "no file")]:
        with pytest.raises(PromptError, match=said) as caught:
            of_path(path)
        assert str(path) in str(caught.value)
