"""What a prompt and the values in it become."""

from __future__ import annotations

import base64
import datetime
import io
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy
import pandas
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import Image as DisplayedImage
from IPython.display import Markdown
from matplotlib.figure import Figure
from PIL import Image
from polars.io.plugins import register_io_source

from claude_magic import context
from claude_magic.context import MAX_IMAGE_BASE64_BYTES, MAX_VALUE_CHARACTERS, content, image_block
from claude_magic.errors import PromptError

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


def text(body: str, **namespace: Any) -> str:
    """The one text block that a prompt becomes."""
    (block,) = content(body, namespace)
    assert block["type"] == "text"
    return str(block["text"])


def picture(block: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(block["source"]["data"])))


def refusal(body: str, **namespace: Any) -> PromptError:
    with pytest.raises(PromptError) as caught:
        content(body, namespace)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert "\n" not in str(caught.value)
    return caught.value


# Text


@given(PLAIN_TEXT.filter(lambda body: "{{" not in body))
def test_text_without_double_braces_arrives_byte_for_byte(body: str) -> None:
    assert content(body, {}) == [{"type": "text", "text": body}]


@given(PLAIN_TEXT)
def test_raw_text_arrives_byte_for_byte(body: str) -> None:
    assert content(body, {}, raw=True) == [{"type": "text", "text": body}]


@given(before=PLAIN_TEXT, value=st.text(st.characters(exclude_categories=["Cs"])), after=PLAIN_TEXT)
def test_a_string_arrives_exact_and_is_not_expanded_again(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", "(").replace("\\", "/"), after.replace("{", "(")
    assert text(before + "{{value}}" + after, value=value) == before + value + after


@pytest.mark.parametrize(
    "body",
    [
        r"\frac{a}{b} $x_1$ 100% @name `code` \n \t end?",
        '\tdef f(d):\n\t\treturn {"a": {"b": 1}}["a"]\n',
        "f'{x}' ${HOME} %run !ls {x}",
        "trailing question?",
        "a {{ that never closes",
        "nothing in {{}} or {{ }} or {{\n}}",
        "}} first, {{ then",
    ],
)
def test_everything_but_double_braces_is_text(body: str) -> None:
    assert text(body) == body


def test_braces_in_a_value_are_inert() -> None:
    assert text("{{a}}", a="{{b}}", b="never") == "{{b}}"


def test_a_backslash_makes_double_braces_literal() -> None:
    assert text(r"\{{a}} {{a}} \\{{a}}", a="x") == r"{{a}} x \{{a}}"


def test_an_expression_ends_at_the_first_braces_that_complete_it() -> None:
    assert text('{{ {"a": {"b": 1}}["a"] }}!') == "{'b': 1}!"
    assert text('{{d["}}"]}}!', d={"}}": "here"}) == "here!"
    assert text("{{a}}{{a}}}}", a="x") == "xx}}"
    assert text("{{ [n for n in range(k)] }}", k=3) == "[0, 1, 2]"


def test_text_that_is_no_expression_is_refused_with_its_line_and_the_way_out() -> None:
    error = refusal("one\ntwo {{this is not}} three")
    assert "Line 2" in error.message
    assert "{{this is not}}" in error.message
    assert r"\{{" in error.advice
    assert "--raw" in error.advice
    assert len(refusal("{{" + "this is not " * 1000 + "}}").message) < 150


def test_a_name_that_does_not_exist_is_refused_by_name_with_the_nearest_one() -> None:
    error = refusal("How about {{dataframe.head()}}?", data_frame=1)
    assert "'dataframe'" in error.message
    assert "'data_frame'" in error.advice
    assert "Nothing was sent" in error.advice


def test_a_failing_expression_is_refused_in_one_line() -> None:
    assert "ZeroDivisionError: division by zero" in refusal("{{1/0}}").message
    assert "KeyError: 'k'" in refusal("{{d['k']}}", d={}).message

    def fail() -> None:
        raise ValueError("first\nsecond")

    assert "ValueError: first second" in refusal("{{fail()}}", fail=fail).message


def test_nothing_is_rendered_before_every_name_is_found() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("rendered")

    refusal("{{loud}} {{missing}}", loud=Loud())


@pytest.mark.parametrize("body", ["", "  \n\t ", "{{''}}", "{{blank}}\n"])
def test_an_empty_prompt_is_refused(body: str) -> None:
    assert "empty" in refusal(body, blank="  ").message


def test_lone_surrogates_become_replacement_characters() -> None:
    assert text("a\ud800b{{s}}", s="\udfff") == "a\ufffdb\ufffd"


def test_pasting_many_braces_does_not_take_forever() -> None:
    assert text("{{" * 50_000) == "{{" * 50_000
    refusal("{{ this is not " + "}} " * 50_000)


# Values


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


def test_a_long_value_is_shortened_and_says_so_but_a_string_never() -> None:
    assert text("{{value}}", value="x" * 1_000_000) == "x" * 1_000_000
    shown = text("{{value}}", value=b"x" * 1_234_567)
    assert shown == "x" * MAX_VALUE_CHARACTERS + "… [shortened: 8,000 of 1,234,567 characters]"
    vast = text("{{value}}", value=[["deep"] * 999] * 999)
    assert "… [shortened: 8,000 of more than 800,0" in vast
    assert len(vast) < MAX_VALUE_CHARACTERS + 70


def test_an_exception_is_its_traceback_with_the_end_kept() -> None:
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
    assert text("{{error}}", error=long).rstrip().endswith("!")
    assert text("{{error}}", error=long).startswith("… [shortened:")


def test_functions_and_classes_are_their_source() -> None:
    assert text("{{f}}", f=refusal).startswith("def refusal(body: str, **namespace: Any)")
    assert text("{{c}}", c=PromptError).startswith("class PromptError(UsageError):")
    assert text("{{f}}", f=len).startswith("len(obj, /)")


class Broken:
    """Fails in every way of being shown."""

    def __repr__(self) -> str:
        raise ValueError("no\nrepr")

    def _repr_png_(self) -> bytes:
        raise RuntimeError("no picture")

    def _repr_mimebundle_(self, **options: Any) -> None:
        raise RuntimeError("no bundle")


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
        (block,) = content("{{s}}", {"s": Shown(form, "**bold**")})
        assert picture(block).size == (3, 2)
    assert text("{{s}}", s=Shown(None, "**bold**")) == "**bold**"
    assert text("{{s}}", s=Shown(b"not a picture", "**bold**")) == "**bold**"
    assert text("{{s}}", s=Shown()) == "plain"
    assert text("{{s}}", s=Markdown("# Title")) == "# Title"
    (block,) = content("{{s}}", {"s": DisplayedImage(data=png)})
    assert picture(block).size == (3, 2)


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    yield InteractiveShell.instance()
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
    shown = content("{{Point}}", shell.user_ns)
    assert shown[0]["text"].rstrip() == "@dataclasses.dataclass\nclass Point:\n    x: int = 0"


# Pictures


def figure() -> Figure:
    drawn = Figure(figsize=(4, 3), dpi=80, layout="constrained")
    drawn.subplots().plot([1, 2, 3])
    return drawn


def test_a_figure_is_an_image_between_the_texts_and_stays_as_it_was() -> None:
    shown = figure()
    blocks = content("before {{shown}}\n {{shown}} after", {"shown": shown})
    assert [block["type"] for block in blocks] == ["text", "image", "image", "text"]
    assert blocks[1] == blocks[2]
    assert blocks[1]["source"]["media_type"] == "image/png"
    assert (shown.dpi, tuple(shown.get_size_inches())) == (80, (4, 3))
    assert blocks[0]["text"] == "before "
    assert blocks[3]["text"] == " after"


def test_axes_and_arrays_of_axes_are_their_figure() -> None:
    shown = Figure()
    grid = shown.subplots(2, 2)
    expected = content("{{shown}}", {"shown": shown})
    assert content("{{grid[0, 1]}}", {"grid": grid}) == expected
    assert content("{{grid}}", {"grid": grid}) == expected


def test_a_pyplot_figure_is_neither_closed_nor_opened() -> None:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    shown, _ = pyplot.subplots()
    content("{{shown}}", {"shown": shown})
    assert pyplot.get_fignums() == [shown.number]
    pyplot.close(shown)
    content("{{shown}}", {"shown": shown})
    assert pyplot.get_fignums() == []


def test_a_vast_figure_is_drawn_within_the_limit() -> None:
    for inches in (90, 900):
        (block,) = content("{{shown}}", {"shown": Figure(figsize=(inches, 10))})
        assert 1_900 < max(picture(block).size) <= 2_000


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16"])
def test_a_picture_of_any_mode_becomes_a_png(mode: str) -> None:
    shown = Image.new(mode, (30, 20))
    (block,) = content("{{shown}}", {"shown": shown})
    assert block["source"]["media_type"] == "image/png"
    assert picture(block).size == (30, 20)
    assert shown.mode == mode


def test_sixteen_bits_keep_their_contrast() -> None:
    ramp = Image.fromarray(numpy.array([[0, 20_000, 65_535]], dtype="uint16"))
    assert list(picture(image_block(ramp)).get_flattened_data()) == [0, 77, 255]
    floats = Image.fromarray(numpy.array([[-1.0, 0.0, 1.0]], dtype="float32"))
    assert list(picture(image_block(floats)).get_flattened_data()) == [0, 127, 255]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP"])
def test_data_within_the_limits_goes_as_it_is(format: str) -> None:
    data = saved(Image.new("RGB", (50, 40), "teal"), format)
    block = image_block(data)
    assert block["source"]["media_type"] == f"image/{format.lower()}"
    assert base64.b64decode(block["source"]["data"]) == data


@pytest.mark.parametrize("format", ["BMP", "TIFF", "PPM"])
def test_other_formats_become_png(format: str) -> None:
    assert image_block(saved(Image.new("RGB", (50, 40)), format))["source"]["media_type"] == "image/png"


def test_a_large_picture_is_brought_to_2000_pixels() -> None:
    block = image_block(saved(Image.new("RGB", (5_000, 2_500)), "JPEG"))
    assert block["source"]["media_type"] == "image/jpeg"
    assert picture(block).size == (2_000, 1_000)


def test_a_picture_that_lies_on_its_side_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (60, 20)).save(buffer, "JPEG", exif=exif)
    upright = picture(image_block(buffer.getvalue()))
    assert upright.size == (20, 60)
    assert upright.getexif().get(0x0112, 1) == 1


def test_noise_that_is_too_much_for_png_goes_as_jpeg_within_the_limit() -> None:
    noise = Image.frombytes("RGBA", (1_900, 1_900), random.Random(0).randbytes(1_900 * 1_900 * 4))
    block = image_block(noise)
    assert block["source"]["media_type"] == "image/jpeg"
    assert len(block["source"]["data"]) <= MAX_IMAGE_BASE64_BYTES


def test_where_quality_is_not_enough_the_picture_gets_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MAX_IMAGE_BASE64_BYTES", 20_000)
    noise = Image.frombytes("RGB", (400, 400), random.Random(0).randbytes(400 * 400 * 3))
    monkeypatch.setattr(context, "MAX_IMAGE_SIDE_PIXELS", 400)
    block = image_block(noise)
    assert len(block["source"]["data"]) <= 20_000
    assert picture(block).size < (400, 400)


def test_the_same_picture_gives_the_same_bytes() -> None:
    assert image_block(Image.new("RGB", (50, 40))) == image_block(Image.new("RGB", (50, 40)))
    assert content("{{f()}}", {"f": figure}) == content("{{f()}}", {"f": figure})


def test_data_that_is_no_picture_is_refused() -> None:
    noise = Image.frombytes("RGB", (90, 90), random.Random(0).randbytes(90 * 90 * 3))
    halves = [whole[: len(whole) // 2] for whole in (saved(noise, "PNG"), saved(noise, "JPEG"))]
    for data in (b"not a picture", b"", *halves):
        with pytest.raises(PromptError, match="cannot be read"):
            image_block(data)


def test_a_list_with_pictures_shows_its_elements_one_after_another() -> None:
    shown = ["First:", Image.new("RGB", (3, 2)), 2, pandas.DataFrame({"a": [1]}), *[None] * 30]
    blocks = content("{{shown}}", {"shown": shown})
    assert [block["type"] for block in blocks] == ["text", "image", "text"]
    assert blocks[0]["text"] == "First:"
    assert blocks[2]["text"].startswith("2\nDataFrame shown[3]: 1 rows × 1 columns (pandas)\n")
    assert blocks[2]["text"].endswith("\n… and 14 more")


def saved(image: Image.Image, format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format)
    return buffer.getvalue()


# DataFrames


def iris() -> dict[str, list[Any]]:
    return {
        "length": [1 + n / 10 for n in range(150)],
        "count": list(range(150)),
        "species": ["setosa", "virginica", "setosa"] * 50,
        "good": [True, False, None] * 50,
        "day": [datetime.datetime(2026, 1, 1) + datetime.timedelta(days=n) for n in range(150)],
    }


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_is_its_shape_its_columns_and_its_head(library: str) -> None:
    frame = pandas.DataFrame(iris()) if library == "pandas" else polars.DataFrame(iris())
    lines = text("{{frame}}", frame=frame).splitlines()
    assert lines[0] == f"DataFrame frame: 150 rows × 5 columns ({library})"
    shown = "\n".join(lines)
    assert "| 0 | min 1, max 15.9, mean 8.45" in shown
    assert "| 0 | min 0, max 149, mean 74.5, distinct 150" in shown
    assert "| 0 | distinct 2, top setosa (100), virginica (50)" in shown
    assert "| 50 | distinct 3, top True (50), False (50), " in shown
    assert "| 0 | min 2026-01-01 00:00:00, max 2026-05-30 00:00:00" in shown
    assert lines[7:9] == ["first 10 rows:", "length,count,species,good,day"]
    assert lines[9] == "1,0,setosa,True,2026-01-01 00:00:00"
    assert lines[11] == "1.2,2,setosa,null,2026-01-03 00:00:00"
    assert len(lines) == 19


def test_a_column_is_a_frame_of_one() -> None:
    shown = text("{{frame.n}}", frame=pandas.DataFrame({"n": [3, 1, 2]}))
    assert shown.splitlines()[0] == "Series frame.n: 3 values (pandas)"
    assert "n | int64 | 0 | min 1, max 3, mean 2, distinct 3" in shown
    assert text("{{s}}", s=polars.Series("n", [1.5])).splitlines()[0] == "Series s: 1 values (polars)"


def test_an_index_that_says_something_is_shown() -> None:
    frame = pandas.DataFrame({"n": [1, 2]}, index=pandas.Index(["one", "two"], name="word"))
    shown = text("{{frame}}", frame=frame)
    assert "\nindex: word (str)\n" in shown
    assert shown.endswith("word,n\none,1\ntwo,2")
    assert text("{{frame.n}}", frame=frame).endswith("word,n\none,1\ntwo,2")


def test_a_lazy_frame_is_not_collected() -> None:
    produced = []

    def batches(columns: Any, predicate: Any, rows: int | None, batch_size: Any) -> Iterator[polars.DataFrame]:
        produced.append(rows)
        yield polars.DataFrame({"n": range(rows or 1_000_000)})

    lazy = register_io_source(batches, schema={"n": polars.Int64})
    lines = text("{{lazy}}", lazy=lazy).splitlines()
    assert lines[:3] == ["LazyFrame lazy: 1 columns, rows not counted (polars)", "column | type", "n | Int64"]
    assert lines[3:6] == ["first 10 rows:", "n", "0"]
    assert produced == [10]


@pytest.mark.parametrize(
    "make",
    [
        lambda: pandas.DataFrame(),
        lambda: polars.DataFrame(),
        lambda: pandas.DataFrame({"a": []}),
        lambda: pandas.DataFrame([[1, 2, 3]], columns=["x", "x", 7]),
        lambda: pandas.DataFrame({("a", "b"): [1], ("a", "c"): [2]}),
        lambda: pandas.DataFrame({"n": [1]}, index=pandas.MultiIndex.from_tuples([("a", 1)], names=["k", None])),
        lambda: pandas.DataFrame({"u": [[1], {2: 3}, {4}]}),
        lambda: pandas.DataFrame({"n": pandas.array([1, None], dtype="Int64"), "z": [None, None]}),
        lambda: pandas.DataFrame({"t": pandas.date_range("2026", periods=2, tz="Europe/Vienna")}),
        lambda: pandas.DataFrame({"c": pandas.Categorical(["a", None]), "p": pandas.period_range("2026", periods=2)}),
        lambda: pandas.DataFrame({"b": [Broken(), Broken()]}),
        lambda: pandas.DataFrame({"i": pandas.interval_range(0, 2), "x": [1 + 2j, 3]}),
        lambda: polars.DataFrame({"l": [[1], None], "s": [{"a": 1}, None], "d": [Decimal("1.5"), None]}),
        lambda: polars.DataFrame({"o": [object(), None]}, schema={"o": polars.Object}),
        lambda: polars.DataFrame({"n": [None, None], "b": [b"\xff", None], "t": [datetime.timedelta(1), None]}),
        lambda: pandas.Series([1, 2], name=("a", 1)),
        lambda: pandas.Series(dtype="object"),
    ],
)
def test_no_frame_breaks_the_cell(make: Callable[[], Any]) -> None:
    frame = make()
    shown = text("{{frame}}", frame=frame)
    assert shown.startswith(("DataFrame frame: ", "Series frame: "))
    assert shown == text("{{frame}}", frame=frame)


def test_a_wide_frame_lists_some_columns_and_counts_the_others() -> None:
    shown = text("{{frame}}", frame=pandas.DataFrame(numpy.zeros((5, 5_000))))
    assert "\n… and 4,960 more columns\n" in shown
    assert len(shown) <= MAX_VALUE_CHARACTERS


def test_long_names_and_cells_are_shortened_and_say_so() -> None:
    frame = pandas.DataFrame({f"{n}" + "x" * 500: ["y\n" * 10_000] * 30 for n in range(100)})
    shown = text("{{frame}}", frame=frame)
    assert len(shown) <= MAX_VALUE_CHARACTERS
    assert "\nfirst 3 rows of the first 13 columns (long cells shortened):\n" in shown
    assert r"y\ny\n" in shown
    assert "more columns" in shown


def test_a_frame_with_too_many_values_to_read_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "MAX_SCANNED_VALUES", 100)
    shown = text("{{frame}}", frame=pandas.DataFrame({"n": range(20), "m": range(20)}))
    assert "n | int64 | 0 | min 0" in shown
    assert "m | int64 | ? | not computed: too many rows" in shown


def test_a_long_expression_does_not_name_the_frame() -> None:
    shown = text("{{frame.assign(a=1, b=2, c=3).assign(d=4, e=5, f=6)}}", frame=pandas.DataFrame({"n": [1]}))
    assert shown.startswith("DataFrame: 1 rows × 7 columns (pandas)\n")


def test_importing_context_imports_nothing_heavy() -> None:
    heavy = ("PIL", "narwhals", "IPython", "matplotlib", "pandas", "numpy")
    program = f"import sys, claude_magic.context; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"
