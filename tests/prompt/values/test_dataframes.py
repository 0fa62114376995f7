"""What data frames and their columns become."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy
import pandas
import polars
import pytest
from polars.io.plugins import register_io_source

from claude_magic.content.parts import room_for
from claude_magic.content.text import byte_length
from claude_magic.options import DEFAULT_VALUE_TOKENS
from claude_magic.prompt.values import dataframes
from support.prompt_blocks import Broken, text


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
    assert "| 50 | distinct 2, top True (50), False (50)\n" in shown
    assert "| 0 | min 2026-01-01 00:00:00, max 2026-05-30 00:00:00" in shown
    assert lines[7:9] == ["first 10 rows:", "length,count,species,good,day"]
    assert lines[9] == "1,0,setosa,True,2026-01-01 00:00:00"
    assert lines[11] == "1.2,2,setosa,null,2026-01-03 00:00:00"
    assert len(lines) == 19


@pytest.mark.parametrize("library", [pandas.DataFrame, polars.DataFrame])
def test_a_masked_column_has_no_statistics_of_its_mask(library: Any) -> None:
    shown = text("{{frame}}", frame=library({"password": ["one", "two", None], "pin_password": [1, 2, 3]}))
    assert "\npassword | ? | ? | [secret masked]\npin_password | ? | ? | [secret masked]\n" in shown


@pytest.mark.filterwarnings("error")
def test_what_is_not_there_has_no_statistics_and_infinite_numbers_warn_of_nothing() -> None:
    empty = pandas.DataFrame({"x": pandas.Series(dtype=float), "day": pandas.Series(dtype="datetime64[ns]")})
    assert text("{{frame}}", frame=empty).endswith("\nx | float64 | 0 | \nday | datetime64[ns] | 0 | distinct 0")
    assert "x | float64 | 2 | \n" in text("{{frame}}", frame=pandas.DataFrame({"x": [numpy.nan, numpy.nan]}))
    both = pandas.DataFrame({"x": [numpy.inf, -numpy.inf, 1.0]})
    assert "x | float64 | 0 | min -inf, max inf\n" in text("{{frame}}", frame=both)


def test_a_column_is_a_frame_of_one() -> None:
    shown = text("{{frame.n}}", frame=pandas.DataFrame({"n": [3, 1, 2]}))
    assert shown.splitlines()[0] == "Series frame.n: 3 values (pandas)"
    assert "n | int64 | 0 | min 1, max 3, mean 2, distinct 3" in shown
    assert text("{{s}}", s=polars.Series("n", [1.5])).splitlines()[0] == "Series s: 1 values (polars)"


def test_an_index_that_says_something_is_shown() -> None:
    frame = pandas.DataFrame({"n": [1, 2]}, index=pandas.Index(["one", "two"], name="word"))
    shown = text("{{frame}}", frame=frame)
    assert f"\nindex: word ({frame.index.dtype})\n" in shown
    assert shown.endswith("word,n\none,1\ntwo,2")
    assert text("{{frame.n}}", frame=frame).endswith("word,n\none,1\ntwo,2")


def test_a_lazy_frame_is_not_collected() -> None:
    produced = []

    def batches(columns: Any, predicate: Any, rows: int | None, batch_size: Any) -> Iterator[polars.DataFrame]:
        produced.append(rows)
        yield polars.DataFrame({"n": range(rows or 1_000_000)})

    lazy = register_io_source(batches, schema={"n": polars.Int64})
    lines = text("{{lazy}}", lazy=lazy).splitlines()
    assert lines[:3] == ["LazyFrame lazy: 1 column, rows not counted (polars)", "column | type", "n | Int64"]
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
    assert byte_length(shown) <= room_for(DEFAULT_VALUE_TOKENS)


@pytest.mark.slow
def test_long_names_and_cells_are_shortened_and_say_so() -> None:
    frame = pandas.DataFrame({f"{n}" + "x" * 500: ["y\n" * 10_000] * 30 for n in range(100)})
    shown = text("{{frame}}", frame=frame)
    assert byte_length(shown) <= room_for(DEFAULT_VALUE_TOKENS)
    assert re.search(r"\nfirst [34] rows of the first 1\d columns \(long cells shortened\):\n", shown)
    assert r"y\ny\n" in shown
    assert "more columns" in shown


def test_a_frame_with_too_many_values_to_read_says_what_it_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataframes, "MAX_SCANNED_VALUES", 100)
    shown = text("{{frame}}", frame=pandas.DataFrame({"n": range(20), "m": range(20)}))
    assert "n | int64 | 0 | min 0" in shown
    assert "m | int64 | ? | not computed: too many rows" in shown


def test_a_long_expression_does_not_name_the_frame() -> None:
    shown = text("{{frame.assign(a=1, b=2, c=3).assign(d=4, e=5, f=6)}}", frame=pandas.DataFrame({"n": [1]}))
    assert shown.startswith("DataFrame: 1 rows × 7 columns (pandas)\n")


def test_a_missing_value_is_counted_once_and_spelled_one_way() -> None:
    odd = pandas.DataFrame(
        {
            "o": pandas.Series(["a", None, numpy.nan, "b", pandas.NA], dtype=object),
            "none": pandas.Series([pandas.NA, pandas.NaT, None, numpy.nan, None], dtype=object),
            "f": [1, numpy.nan, 3, 4, 5],
            "c": pandas.Categorical(["x", None, "y", "x", "x"]),
        }
    ).set_axis(pandas.Index([1, numpy.nan, 2, 3, 4], name="k"))
    shown = text("{{odd}}", odd=odd)
    assert "\no | object | 3 | distinct 2, top a (1), b (1)\nnone | object | 5 | distinct 0\n" in shown
    assert "index: k (float64, 1 to 4, 1 null)\n" in shown
    assert shown.endswith(
        "k,o,none,f,c\n1,a,null,1,x\nnull,null,null,null,null\n2,null,null,3,y\n3,b,null,4,x\n4,null,null,5,x"
    )


def test_shapes_with_nulls_are_counted() -> None:
    import geopandas
    import shapely

    frame = geopandas.GeoDataFrame({"n": [1, 2, 3]}, geometry=[shapely.Point(1, 2), None, shapely.Point(1, 2)])
    shown = text("{{frame}}", frame=frame)
    assert "geometry | geometry | 1 | distinct 1, top POINT (1 2) (2)\n" in shown
    assert shown.endswith("2,null\n3,POINT (1 2)")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_beyond_many_rows_cheap_counts_are_there_and_others_are_said_not_to_be(library: str) -> None:
    rows = 100_002
    frame: Any = pandas.DataFrame(
        {
            "word": ["a", "b", "b"] * (rows // 3),
            "flag": [True, False, True] * (rows // 3),
            "kind": pandas.Categorical(["x", None, "y"] * (rows // 3), categories=["x", "y", "unused"]),
            "n": range(rows),
        }
    )
    if library != "pandas":
        frame = polars.from_pandas(frame) if library == "polars" else polars.from_pandas(frame).to_arrow()
    lines = {line.split(" | ")[0]: line for line in text("{{frame}}", frame=frame).splitlines()}
    assert lines["word"].endswith(" | 0 | distinct not computed: too many rows")
    assert lines["flag"].endswith(" | 0 | distinct 2, top True (66,668), False (33,334)")
    assert lines["kind"].endswith(" | 33,334 | distinct 2, top x (33,334), y (33,334)")
    assert lines["n"].endswith("mean 50000.5, distinct not computed: too many rows")


def test_the_range_of_an_index_is_said() -> None:
    days = pandas.date_range("2026-01-01", periods=3, name="day")
    shown = text("{{frame}}", frame=pandas.DataFrame({"n": [1, 2, 3]}, index=days))
    assert f"\nindex: day ({days.dtype}, 2026-01-01 00:00:00 to 2026-01-03 00:00:00, every D)\n" in shown
    both = pandas.MultiIndex.from_arrays([["a", "b"], [pandas.Timestamp("2026-01-01"), pandas.NaT]], names=["k", "t"])
    shown = text("{{frame}}", frame=pandas.DataFrame({"n": [1, 2]}, index=both))
    assert "2026-01-01 00:00:00 to 2026-01-01 00:00:00, 1 null)\n" in shown
    assert shown.endswith('"k, t",n\n"a, 2026-01-01 00:00:00",1\n"b, null",2')


def test_sparse_columns_and_those_with_nan_have_their_statistics() -> None:
    sparse = pandas.DataFrame({"s": pandas.arrays.SparseArray([0, 0, 1, 2.5, numpy.nan]), "z": [1 + 2j, 3, 3, 3, None]})
    shown = text("{{frame}}", frame=sparse)
    assert "s | Sparse[float64, nan] | 1 | min 0, max 2.5, mean 0.875\n" in shown
    assert "z | complex128 | 1 | mean (2.5+0.5j), distinct 2\n" in shown
    for library in (polars.DataFrame, lambda data: polars.DataFrame(data).to_arrow()):
        shown = text("{{frame}}", frame=library({"f": [1.0, numpy.nan, None, 3.0], "g": [numpy.nan] * 4}))
        assert " | 1 | min 1, max 3, mean 2, 1 NaN left out\n" in shown and " | 0 | 4 NaN left out\n" in shown
        assert shown.endswith("f,g\n1,NaN\nNaN,NaN\nnull,NaN\n3,NaN")


def test_what_cannot_be_counted_says_so() -> None:
    shown = text("{{frame}}", frame=pandas.DataFrame({"l": [[1], [2], None]}))
    assert "l | object | 1 | distinct not computed: its values cannot be compared\n" in shown
