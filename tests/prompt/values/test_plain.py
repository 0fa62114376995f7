"""What text, numbers, exceptions, code and displayed objects become in a prompt."""

from __future__ import annotations

import atexit
import base64
import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import Image as DisplayedImage
from IPython.display import Markdown
from PIL import Image

from claude_magic.content.images import image_block
from claude_magic.content.parts import room_for
from claude_magic.content.text import byte_length
from claude_magic.errors import PromptError
from claude_magic.options import DEFAULT_VALUE_TOKENS
from claude_magic.prompt.prompt import prompt_content
from support.prompt_blocks import Broken, picture, refusal, text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (42, "42"),
        (0.1, "0.1"),
        (True, "True"),
        (None, "None"),
        (Decimal("1.10"), "1.10"),
        (numpy.float64(1.5), "1.5"),
        (numpy.bool_(True), "True"),
        (numpy.datetime64("2026-11-22"), "2026-11-22"),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe\x00", "<bytes: 3 bytes, not UTF-8 text>"),
        (bytes(1_000), "<bytes: 1,000 bytes, not UTF-8 text>"),
        ([1, "two", {"three": 3}], "[1, 'two', {'three': 3}]"),
        (datetime.date(2026, 11, 22), "datetime.date(2026, 11, 22)"),
    ],
)
def test_a_short_value_stands_in_its_line(value: Any, expected: str) -> None:
    assert text("<{{value}}>", value=value) == f"<{expected}>"


def test_a_value_of_several_lines_stands_on_lines_of_its_own() -> None:
    value = {f"key {n}": "x" * 40 for n in range(3)}
    shown = text("Look at {{value}} please", value=value)
    assert shown.startswith("Look at \n{'key 0'")
    assert shown.endswith("}\n please")
    assert text("Look:\n{{value}}\nplease", value=value).count("\n") == value.__len__() + 1


@pytest.mark.slow
def test_a_long_value_is_shortened_and_says_so_but_a_string_never() -> None:
    assert text("{{value}}", value="x" * 1_000_000) == "x" * 1_000_000
    shown = text("{{value}}", value=b"x" * 1_234_567)
    assert shown == "x" * 8_680 + "… [shortened: 8,680 of 35,000 characters] [1,234,567 bytes in all]"
    vast = text("{{value}}", value=[["deep"] * 999] * 999)
    assert "… [shortened: " in vast
    assert vast.endswith("[of more in all]")
    assert len(vast) < 8_800


def test_an_exception_is_its_traceback_with_both_ends_kept() -> None:
    try:
        raise ValueError("the reason" + "!" * 20_000)
    except ValueError as caught:
        long = caught
    try:
        int("seven")
    except ValueError as caught:
        error = caught
    assert "Traceback (most recent call last)" in text("{{error}}", error=error)
    assert "invalid literal for int() with base 10: 'seven'" in text("{{error}}", error=error)
    shown = text("{{error}}", error=long)
    assert shown.rstrip().endswith("!")
    assert "Traceback (most recent call last)" in shown and "… [shortened: " in shown
    assert byte_length(shown) <= room_for(DEFAULT_VALUE_TOKENS)


def test_functions_and_classes_are_their_source() -> None:
    assert text("{{f}}", f=refusal).startswith("def refusal(body: str, **namespace: Any)")
    assert text("{{c}}", c=PromptError).startswith("class PromptError(UsageError):")
    assert text("{{f}}", f=len).startswith("len(obj, /)")


class Shown:
    """Shows itself as the forms it is given."""

    def __init__(self, png: Any = None, markdown: str | None = None) -> None:
        self.png, self.markdown = png, markdown

    def _repr_png_(self) -> Any:
        return self.png

    def _repr_markdown_(self) -> str | None:
        return self.markdown

    def __repr__(self) -> str:
        return "plain"


def test_a_broken_repr_does_not_break_the_cell() -> None:
    assert text("{{b}}", b=Broken()) == "<Broken object: its repr failed: ValueError: no repr>"
    assert "Broken object" in text("{{b}}", b=[Broken()])


def test_an_object_shows_its_image_else_its_markdown_else_its_text() -> None:
    png = base64.b64decode(image_block(Image.new("RGB", (3, 2)))["source"]["data"])
    for form in (png, base64.b64encode(png).decode(), (png, {"width": 3})):
        (block,) = prompt_content("{{s}}", {"s": Shown(form, "**bold**")})
        assert picture(block).size == (3, 2)
    assert text("{{s}}", s=Shown(None, "**bold**")) == "**bold**"
    assert text("{{s}}", s=Shown(b"not a picture", "**bold**")) == "**bold**"
    assert text("{{s}}", s=Shown()) == "plain"
    assert text("{{s}}", s=Markdown("# Title")) == "# Title"
    (block,) = prompt_content("{{s}}", {"s": DisplayedImage(data=png)})
    assert picture(block).size == (3, 2)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    running = InteractiveShell.instance()
    atexit.unregister(running.atexit_operations)
    yield running
    InteractiveShell.clear_instance()


def test_a_notebook_s_own_way_to_display_a_type_counts(shell: InteractiveShell, capsys: Any) -> None:
    shell.display_formatter.formatters["text/markdown"].for_type(Shown, lambda value: "*registered*")
    assert text("{{s}}", s=Shown()) == "*registered*"
    shell.display_formatter.formatters["text/plain"].for_type(complex, lambda v, printer, cycle: printer.text("i"))
    assert text("{{s}}", s=[1j]) == "[i]"
    assert "Broken object" in text("{{b}}", b=Broken())
    assert capsys.readouterr() == ("", "")


def test_a_class_from_a_cell_is_its_source(shell: InteractiveShell) -> None:
    shell.run_cell("import dataclasses\n\n@dataclasses.dataclass\nclass Point:\n    x: int = 0\n\ny = 1")
    shown = prompt_content("{{Point}}", shell.user_ns)
    assert shown[0]["text"].rstrip() == "@dataclasses.dataclass\nclass Point:\n    x: int = 0"
