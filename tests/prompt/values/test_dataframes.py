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
