"""Any value becomes something: libraries by snapshots of what is sent, and what breaks, hangs or lies."""

from __future__ import annotations

import random
import re
import string
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from claude_magic.content.parts import Limits, room_for
from claude_magic.content.text import byte_length
from claude_magic.prompt.prompt import prompt_content
from claude_magic.prompt.values import kinds
from support.prompt_blocks import refusal, text

DATA: dict[str, list[Any]] = {"n": list(range(30)), "word": ["é", None, "y"] * 10}
HEAD = "first 10 rows:\nn,word\n0,é\n1,null\n2,y\n3,é\n4,null\n5,y\n6,é\n7,null\n8,y\n9,é"
STR = pandas.Index(["a"]).dtype  # which pandas 3 calls str
EAGER = "min 0, max 29, mean 14.5, distinct 30"


def _duckdb(rows: int) -> Any:
    import duckdb

    return duckdb.sql(f"select range n, 'x' word from range({rows})")


def _dask(**changes: Any) -> Any:
    import dask.dataframe

    return dask.dataframe.from_pandas(pandas.DataFrame(changes or {"n": range(30)}), npartitions=3)


def _dataset(folder: Path) -> Any:
    import pyarrow.dataset

    pandas.DataFrame({"n": range(30)}).to_csv(folder / "n.csv", index=False)
    return pyarrow.dataset.dataset(folder / "n.csv", format="csv")


TEN = "n\n" + "\n".join(map(str, range(10)))

SNAPSHOTS: dict[str, tuple[Callable[[], Any], str]] = {
    "pyarrow table": (
        lambda: pyarrow.table(DATA),
        f"Table value: 30 rows × 2 columns (pyarrow)\ncolumn | type | nulls | values\nn | int64 | 0 | {EAGER}\n"
        f"word | string | 10 | distinct 2, top é (10), y (10)\n{HEAD}",
    ),
    "pyarrow batch": (
        lambda: pyarrow.RecordBatch.from_pydict({"n": [1]}),
        "RecordBatch value: 1 rows × 1 columns (pyarrow)\ncolumn | type | nulls | values\n"
        "n | int64 | 0 | min 1, max 1, mean 1, distinct 1\nfirst row:\nn\n1",
    ),
    "pyarrow column": (
        lambda: pyarrow.chunked_array([[1], [2]]),
        "Series value: 2 values (pyarrow)\ncolumn | type | nulls | values\n"
        "value | int64 | 0 | min 1, max 2, mean 1.5, distinct 2\nfirst 2 rows:\nvalue\n1\n2",
    ),
    "pyarrow names that come twice": (
        lambda: pyarrow.table([[1], [2]], names=["x", "x"]),
        "Table value: 1 rows × 2 columns (pyarrow)\ncolumn | type | nulls | values\n"
        "x | int64 | 0 | min 1, max 1, mean 1, distinct 1\nx | int64 | 0 | min 2, max 2, mean 2, distinct 1\n"
        "first row:\nx,x\n1,2",
    ),
    "duckdb": (
        lambda: _duckdb(1_000).filter("n < 2"),
        "Relation value: 2 columns, rows not counted (duckdb)\ncolumn | type\nn | BIGINT\nword | VARCHAR\n"
        "first 2 rows:\nn,word\n0,x\n1,x",
    ),
    "dask": (
        _dask,
        "DataFrame value: 1 column, 3 partitions, rows not counted (dask)\ncolumn | type\nn | int64\n"
        f"first 10 rows:\n{TEN}",
    ),
    "dask series": (
        lambda: _dask().n,
        "Series value: 1 column, 3 partitions, rows not counted (dask)\ncolumn | type\nn | int64\n"
        f"first 10 rows:\n{TEN}",
    ),
    "dask that would compute all": (
        lambda: _dask().sort_values("n"),
        "DataFrame value: 1 column, 3 partitions, rows not counted (dask)\ncolumn | type\nn | int64\n"
        "first rows not computed: that would read all of its rows",
    ),
    "polars that would compute all": (
        lambda: polars.LazyFrame({"n": [1]}).group_by("n").len(),
        "LazyFrame value: 2 columns, rows not counted (polars)\ncolumn | type\nn | Int64\nlen | UInt32\n"
        "first rows not computed: that would read all of its rows",
    ),
    "polars that filters": (
        lambda: polars.LazyFrame({"n": [1, 2]}).filter(polars.col("n") > 1),
        "LazyFrame value: 1 column, rows not counted (polars)\ncolumn | type\nn | Int64\nfirst row:\nn\n2",
    ),
    "pandas index": (
        lambda: pandas.MultiIndex.from_tuples([("a", 1)], names=["k", None]),
        f"MultiIndex value: 1 rows × 2 columns (pandas)\ncolumn | type | nulls | values\nk | {STR} | 0 | distinct 1\n"
        "1 | int64 | 0 | min 1, max 1, mean 1, distinct 1\nfirst row:\nk,1\na,1",
    ),
    "numpy": (
        lambda: numpy.array([[1.5, numpy.nan], [numpy.inf, -2]]),
        "ndarray value: shape (2, 2), float64\nmin -2, max inf, mean inf, 1 NaN, 1 infinite\n"
        "[[ 1.5,  nan],\n [ inf, -2. ]]",
    ),
    "numpy, large": (
        lambda: numpy.arange(10_000).reshape(100, 100),
        "ndarray value: shape (100, 100), int64\nmin 0, max 9999, mean 4999.5\nfirst 8 × 8 values:\n[[  0, ",
    ),
    "numpy, empty": (lambda: numpy.zeros((0, 3)), "ndarray value: shape (0, 3), float64\n[]"),
    "numpy dates": (
        lambda: numpy.array(["2026-01-02", "NaT"], dtype="M8[D]"),
        "ndarray value: shape (2,), datetime64[D]\nmin 2026-01-02, max 2026-01-02, 1 NaT\n['2026-01-02',        'NaT']",
    ),
    "numpy objects": (
        lambda: numpy.array([object(), None]),
        "ndarray value: shape (2,), object\n[<object object>, None]",
    ),
    "numpy masked": (
        lambda: numpy.ma.masked_array([1, 2, 3], [0, 1, 0]),
        "MaskedArray value: shape (3,), int64\nmin 1, max 3, mean 2, 1 masked\n[1, --, 3]",
    ),
    "numpy booleans": (
        lambda: numpy.array([True, False]),
        "ndarray value: shape (2,), bool\n1 of 2 True\n[ True, False]",
    ),
}


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_what_a_library_holds_is_sent_so(name: str) -> None:
    make, expected = SNAPSHOTS[name]
    shown = text("{{value}}", value=make())
    assert shown.startswith(expected) if expected.endswith(" ") else shown == expected
    assert text("{{value}}", value=make()) == shown


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: polars.LazyFrame({"a": [1]}).select("zzz"), 'ColumnNotFoundError: unable to find column "zzz"'),
        (lambda: polars.scan_parquet("nowhere.parquet"), "FileNotFoundError: "),
        (lambda: polars.LazyFrame({"a": ["x"]}).select(polars.col("a").cast(int)), "InvalidOperationError: conversion"),
        (lambda: _dask(word=["x"]).word.astype(int), "ValueError: invalid literal"),
        (lambda: _duckdb(3).project("cast(word as int) n"), "ConversionException: "),
    ],
)
def test_a_lazy_frame_that_fails_says_why(make: Callable[[], Any], reason: str) -> None:
    last = text("{{value}}", value=make()).splitlines()[-1]
    assert last.startswith(f"first rows not computed: the query for them failed: {reason}")
    assert "Resolved plan" not in last and "LINE 1" not in last


def test_a_relation_of_a_billion_rows_is_not_collected() -> None:
    assert text("{{value}}", value=_duckdb(10**12)).endswith("8,x\n9,x")
    none = _duckdb(10**12).filter("n < 0")
    assert text("{{value}}", value=none).endswith("first rows not computed: that would read all of its rows")


def test_a_relation_that_gathers_few_rows_is_computed_and_one_that_gathers_many_is_not() -> None:
    import duckdb

    few = duckdb.sql("select range % 2 k, count(*) n from range(10) group by k order by k")
    assert text("{{few}}", few=few).endswith("first 2 rows:\nk,n\n0,5\n1,5")
    many = duckdb.sql("select sum(a.range * b.range) s from range(10000000) a, range(1000000) b")
    assert text("{{many}}", many=many).endswith("first rows not computed: that would read all of its rows")


def test_of_a_dask_frame_one_partition_is_computed() -> None:
    import dask.dataframe

    computed: list[int] = []

    def part(number: int) -> pandas.DataFrame:
        computed.append(number)
        return pandas.DataFrame({"n": [number] * 2})

    frame = dask.dataframe.from_map(part, range(5), meta=pandas.DataFrame({"n": [0]}))
    assert text("{{frame}}", frame=frame).endswith("first 2 rows:\nn\n0\n0")
    assert set(computed) == {0}


def test_a_stream_of_arrow_is_not_used_up() -> None:
    reader = pyarrow.table({"n": [1, 2]}).to_reader()
    assert text("{{reader}}", reader=reader).endswith("first rows not read: reading them here would use them up")
    assert reader.read_all().num_rows == 2


def test_a_dataset_is_its_schema_and_its_head(tmp_path: Path) -> None:
    assert text("{{data}}", data=_dataset(tmp_path)).endswith(f"n | int64\nfirst 10 rows:\n{TEN}")


def test_a_frame_with_shapes_tells_its_projection() -> None:
    import geopandas
    import shapely

    frame = geopandas.GeoDataFrame({"n": ["a"]}, geometry=[shapely.Point(1, 2)], crs=4326)
    shown = text("{{frame}}", frame=frame)
    assert shown.splitlines()[:3] == [
        "GeoDataFrame frame: 1 rows × 2 columns (pandas)",
        "CRS: EPSG:4326",
        "bounds: [1.0, 2.0, 1.0, 2.0]",
    ]
    assert shown.endswith("n,geometry\na,POINT (1 2)")


@pytest.mark.slow
def test_a_model_of_scikit_learn_is_its_plain_form() -> None:
    from sklearn.linear_model import Ridge

    assert text("{{model}}", model=Ridge(alpha=2)) == "Ridge(alpha=2)"


def test_axes_of_several_figures_are_all_of_them() -> None:
    grid = numpy.array([Figure().subplots(), Figure().subplots()], dtype=object)
    assert [block["type"] for block in prompt_content("{{grid}}", {"grid": grid})] == ["image", "image"]


def test_a_figure_and_its_axes_are_one_picture() -> None:
    figure, other = Figure(), Figure()
    value = (figure, figure.subplots(2), {"axes": figure.axes[0]}, other)
    blocks = prompt_content("{{value}}", {"value": value})
    assert [block["type"] for block in blocks] == ["text", "image", "text", "image"]
    assert blocks[2]["text"].splitlines() == [
        "value[1]: ndarray, in the picture of value[0]",
        "value[2]['axes']: Axes, in the picture of value[0]",
        "value[3]:",
    ]


@pytest.mark.slow
def test_artists_and_their_containers_are_the_picture_that_they_are_in() -> None:
    axes = Figure().subplots()
    drawn = {
        "lines": axes.plot([1, 2]),
        "bars": axes.bar([1, 2], [3, 4]),
        "counts": axes.hist([1, 2, 2]),
        "errors": axes.errorbar([1], [2], [0.1]),
        "pie": axes.pie([1, 2]),
        "spines": axes.spines,
        "patches": axes.patches,
        "title": axes.set_title("T"),
        "legend": axes.legend(["a"]),
        "bar": axes.figure.colorbar(axes.scatter([1, 2], [1, 2], c=[1, 2])),
    }
    for name, value in drawn.items():
        assert [block["type"] for block in prompt_content("{{value}}", {"value": value})][-1] == "image", name
    assert [block["type"] for block in prompt_content("{{value}}", {"value": list(drawn.values())})].count("image") == 1


@pytest.mark.slow
def test_a_grid_of_seaborn_is_an_image() -> None:
    import seaborn

    grid = seaborn.FacetGrid(pandas.DataFrame({"k": ["a"], "x": [1]}), col="k")
    assert [block["type"] for block in prompt_content("{{grid}}", {"grid": grid})] == ["image"]


@pytest.mark.slow
def test_a_chart_of_altair_is_an_image_and_one_whose_data_is_elsewhere_is_told() -> None:
    import altair

    chart = altair.Chart(pandas.DataFrame({"x": [1]}), title="T").mark_bar().encode(x="x:Q")
    assert [block["type"] for block in prompt_content("{{chart}}", {"chart": chart})] == ["image"]
    shown = text("{{chart}}", chart=altair.Chart("http://127.0.0.1:9/x.csv").mark_bar().encode(x="x:Q"))
    assert shown.startswith("Chart chart (altair), as text: its data is at an address\nVega-Lite: {")
    assert "claude_magic" not in altair.data_transformers.names()


@pytest.mark.slow
def test_a_chart_of_too_much_data_is_told_with_a_summary_of_it() -> None:
    import altair

    chart = altair.Chart(pandas.DataFrame({"x": range(100_001)})).mark_point().encode(x="x")
    shown = text("{{chart}}", chart=chart)
    assert '"encoding": {"x": {"field": "x", "type": "quantitative"}}' in shown
    assert "DataFrame data: 100,001 rows × 1 columns (pandas)" in shown


@pytest.mark.slow
def test_a_figure_of_plotly_that_nothing_draws_is_its_layout_and_data(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    import plotly.graph_objects

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "kaleido" else find(name))
    trace = plotly.graph_objects.Scatter(x=list(range(10**6)), y=[1, 4], name="squares")
    shown = text("{{figure}}", figure=plotly.graph_objects.Figure(trace, layout={"title": "T"}))
    assert shown.startswith("Figure figure (plotly), as text: kaleido, which draws it, is not installed\n")
    assert '"title": {"text": "T"}' in shown
    assert '"… 1,000,000 in all"' in shown
    assert '"name": "squares"' in shown


def test_a_dict_shows_each_value_by_its_key() -> None:
    shown = {
        "a": pandas.DataFrame({"n": [1]}),
        "deep": [1, numpy.zeros(2)],
        "f": test_a_dict_shows_each_value_by_its_key,
    }
    lines = text("{{shown}}", shown=shown).splitlines()
    assert lines[0] == "DataFrame shown['a']: 1 rows × 1 columns (pandas)"
    assert "shown['deep'][0]: 1" in lines
    assert "ndarray shown['deep'][1]: shape (2,), float64" in lines
    assert lines[lines.index("shown['f']:") + 1].startswith("    def test_a_dict")


def test_no_element_can_pass_for_another() -> None:
    forged = "x\nshown[1]: forged"
    shown = [pandas.DataFrame({"shown[2]: n\nshown[2]:": [forged]}), forged, ValueError(forged)]
    lines = text("{{shown}}", shown=shown).splitlines()
    assert [line for line in lines if line.startswith("shown[")] == [r"shown[1]: 'x\nshown[1]: forged'", "shown[2]:"]


def test_elements_share_the_room_of_one_value() -> None:
    shown = [numpy.random.default_rng(0).normal(size=(50, 8)), *[f"{'x' * 5_000}"] * 15]
    assert byte_length(text("{{shown}}", shown=shown)) < room_for(2_500) + 20 * 20


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [1, 100, 1_000])
def test_a_value_keeps_to_its_tokens_and_says_so(tokens: int) -> None:
    values: dict[str, Any] = {
        "string": "ab " * 10_000,
        "wide": pandas.DataFrame({f"column {n}": ["long text " * 9] * 20 for n in range(100)}),
        "chinese": pandas.DataFrame({f"列{n}": ["数据" * 90] * 20 for n in range(100)}),
        "array": numpy.random.default_rng(0).normal(size=(200, 200)),
        "bytes": b"x" * 10**6,
        "list": [[n] for n in range(100_000)],
        "error": ValueError("x" * 100_000),
    }
    for name, value in values.items():
        (block,) = prompt_content("{{value}}", {"value": value}, limits=Limits(value_tokens=tokens))
        assert byte_length(block["text"]) <= room_for(tokens) + 130, name
        if tokens == 1 or name not in ("wide", "chinese", "array"):
            assert "shortened" in block["text"], name


def test_the_values_of_a_cell_share_its_tokens() -> None:
    values = {"a": "x" * 2_000, "b": "y" * 2_000, "c": "z" * 2_000}
    (block,) = prompt_content("{{a}} {{b}} {{c}}", values, limits=Limits(cell_tokens=1_000))
    assert "x" * 2_000 in block["text"]
    assert block["text"].count("shortened") == 2
    assert byte_length(block["text"]) < room_for(1_000) + 150


def test_a_string_goes_whole_where_no_limit_is_set() -> None:
    assert text("{{s}}", s="é" * 100_000) == "é" * 100_000


def test_a_path_is_its_file_and_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    Image.new("RGB", (3, 2)).save(tmp_path / "b.png")
    (document,) = prompt_content("{{path}}", {"path": tmp_path / "a.txt"})
    assert document["source"]["data"] == "hello"
    (image,) = prompt_content("{{path}}", {"path": tmp_path / "b.png"})
    assert image["type"] == "image"
    error = refusal("{{path}}", path=tmp_path / "c.txt")
    assert "does not exist" in error.message
    assert "{{str(path)}}" in error.advice
    blocks = prompt_content("{{paths}}", {"paths": [tmp_path / "b.png", tmp_path / "c.txt"]})
    assert [block["type"] for block in blocks] == ["text", "image", "text"]
    assert "paths[1]: not shown:" in blocks[2]["text"]


SVG = "<svg xmlns='http://www.w3.org/2000/svg' width='20' height='10'><rect width='5' height='5'/>{}</svg>"


class Drawn:
    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_svg_(self) -> str:
        return self.svg


def test_an_svg_is_rendered_without_the_files_that_it_names(tmp_path: Path) -> None:
    Image.new("RGB", (20, 10), "red").save(tmp_path / "secret.png")
    plain = prompt_content("{{svg}}", {"svg": Drawn(SVG.format(""))})
    for address in ((tmp_path / "secret.png").as_uri(), str(tmp_path / "secret.png")):
        assert (
            prompt_content("{{svg}}", {"svg": Drawn(SVG.format(f"<image href='{address}' width='20' height='10'/>"))})
            == plain
        )
    assert plain[0]["source"]["media_type"] == "image/png"


@pytest.mark.parametrize("svg", ["<svg", SVG.format("").replace("'20'", "'1e300'"), "<html/>"])
def test_an_svg_that_cannot_be_rendered_is_refused_in_a_line(svg: str) -> None:
    assert "is an SVG picture" in refusal("{{svg}}", svg=Drawn(svg)).message


def test_an_svg_that_nothing_renders_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("claude_magic.content.images.can_render_svg", lambda: False)
    error = refusal("{{svg}}", svg=Drawn(SVG.format("")))
    assert "svg is an SVG picture" in error.message
    assert "pip install" in error.advice


def test_html_is_its_text_where_there_is_nothing_better() -> None:
    class Page:
        def _repr_html_(self) -> str:
            return "<style>x</style><h1>Sales</h1><table><tr><td>a<td>1</td></tr></table><script>run()</script>"

    class Named(Page):
        def __repr__(self) -> str:
            return "a page"

    assert text("{{page}}", page=Page()) == "Sales\na1" or text("{{page}}", page=Page()) == "Sales\na | 1"
    assert text("{{page}}", page=Named()) == "a page"


# Whatever a class does


def _fails(*args: Any, **options: Any) -> Any:
    raise SystemExit("out")


class Exits:
    __repr__ = __str__ = __len__ = __iter__ = __bool__ = __hash__ = __eq__ = _fails  # type: ignore[assignment]


class Everything:
    """Has every attribute, and each fails."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class Liar:
    """Says that it is a string."""

    __class__ = str  # type: ignore[assignment]


class Raiser:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("no class")


class Deep:
    def __repr__(self) -> str:
        return repr(self)


class Odd:
    _repr_png_ = _repr_html_ = _repr_svg_ = 5

    def __repr__(self) -> Any:
        return 5


class Strange(str):
    def __str__(self) -> str:
        raise ValueError

    def __len__(self) -> int:
        return -1


HOSTILE: list[Callable[[], Any]] = [
    Exits,
    Everything,
    Liar,
    Raiser,
    Deep,
    Odd,
    MagicMock,
    lambda: Strange("text"),
    lambda: type("a\nb" * 1_000, (), {"__repr__": _fails})(),
    lambda: pandas.DataFrame({"n": [Exits(), Deep()]}),
    lambda: numpy.array([Exits(), Raiser(), Deep()], dtype=object),
    lambda: 10**100_000,
]


@pytest.mark.parametrize("make", HOSTILE)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": v, "f": numpy.zeros(1)}])
def test_no_broken_object_breaks_the_cell(make: Callable[[], Any], wrap: Callable[[Any], Any]) -> None:
    blocks = prompt_content("before {{value}} after", {"value": wrap(make())})
    assert blocks[0]["text"].startswith("before ")
    assert blocks[-1]["text"].endswith(" after")
    assert sum(len(block["text"]) for block in blocks) < 10_000


def test_what_never_comes_to_an_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def __repr__(self) -> str:
            while True:
                try:
                    time.sleep(60)
                except Exception:
                    continue

    monkeypatch.setattr(kinds, "_KINDS", [kinds.Kind(k.matches, k.show, k.rich, 0.1) for k in kinds._KINDS])
    assert text("{{value}}", value=Endless()) == "<Endless object: showing it took more than 0.1 s>"


def test_representations_have_no_addresses() -> None:
    class Plain:
        pass

    assert "0x" not in text("{{value}}", value=[Plain(), print, object()])


@pytest.mark.slow
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_no_value_is_expanded_again(value: Any) -> None:
    shown = text(">{{value}}<{{other}}", value=value, other="{{value}}")
    assert shown.endswith("{{value}}")
    assert shown.startswith(">")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
@pytest.mark.slow
def test_no_cell_of_a_frame_can_pass_for_another(cells: list[str]) -> None:
    shown = text("{{frame}}", frame=pandas.DataFrame({"text": pandas.Series(cells, dtype=object)}))
    head = shown[re.search(r"^first (\d+ rows?|row).*:$", shown, re.M).end() + 1 :]  # type: ignore[union-attr]
    assert len(head.split("\n")) == len(cells) + 1


def _frames(rows: int) -> Iterator[Any]:
    data = {
        "n": numpy.arange(rows),
        "f": numpy.linspace(0, 1, rows),
        "s": numpy.array(["x", "y"])[numpy.arange(rows) % 2],
    }
    yield pandas.DataFrame(data)
    yield polars.DataFrame(data)
    yield polars.DataFrame(data).to_arrow()


def test_a_frame_of_many_rows_says_what_a_small_one_does() -> None:
    for frame in _frames(300_000):
        shown = text("{{frame}}", frame=frame)
        assert "300,000 rows × 3 columns" in shown
        assert "min 0, max 299999" in shown
        assert len(shown) < 1_500


def test_a_huge_list_says_how_much_of_it_is_shown() -> None:
    shown = text("{{value}}", value=list(range(10**6)))
    assert shown.rstrip().endswith("[shortened: the first 1,000 of 1,000,000 elements]")


def test_random_bytes_never_break_the_cell() -> None:
    source = random.Random(0)
    for length in (1, 10, 1_000):
        assert text("{{value}}", value=source.randbytes(length) + b"\0")
    assert text("{{value}}", value=memoryview(string.ascii_letters.encode())) == string.ascii_letters


def test_a_list_that_holds_itself_beside_a_frame_comes_to_an_end() -> None:
    shown: list[Any] = [pandas.DataFrame({"n": [1]})]
    shown.append(shown)
    assert text("{{shown}}", shown=shown).startswith("DataFrame shown[0]: 1 rows")


@pytest.mark.parametrize("library", ["pyarrow batch", "pyarrow twice", "duckdb", "dask", "nested"])
def test_a_column_of_secrets_is_masked_in_every_library(library: str) -> None:
    import dask.dataframe
    import duckdb

    frame = pandas.DataFrame({"n": [1], "password": ["hunter2 hunter2"]})
    batch = pyarrow.RecordBatch.from_pandas(frame)
    value = {
        "pyarrow batch": batch,
        "pyarrow twice": pyarrow.table([["a"], ["b"], ["hunter2 hunter2"]], names=["n", "n", "password"]),
        "duckdb": duckdb.sql("select 1 n, 'hunter2 hunter2' as password"),
        "dask": dask.dataframe.from_pandas(frame, npartitions=1),
        "nested": {"a": [1, (batch, frame)]},
    }[library]
    assert "hunter2" not in str(prompt_content("{{value}}", {"value": value}))
