"""Grouped frames say what they are grouped by, and how large their groups are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas
import polars
import pyarrow
import pytest

from support.prompt_blocks import text

DATA = {"k": list("aab"), "v": [1, 2, 3]}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: pandas.DataFrame(DATA).groupby("k"), "DataFrameGroupBy g: by k, 2 groups"),
        (lambda: pandas.DataFrame(DATA).groupby("k").v, "SeriesGroupBy g: by k, 2 groups"),
        (lambda: polars.DataFrame(DATA).group_by("k"), "GroupBy g: by k, 2 groups"),
        (lambda: pyarrow.table(DATA).group_by("k"), "TableGroupBy g: by k, 2 groups"),
    ],
)
def test_a_grouped_frame_is_its_keys_its_groups_and_its_frame(make: Callable[[], Any], expected: str) -> None:
    shown = text("{{g}}", g=make())
    assert shown.splitlines()[:2] == [expected, "rows in each group: a (2), b (1)"]
    assert "v | int64 | 0 | min 1, max 3, mean 2" in shown or "v | Int64 | 0 | min 1, max 3, mean 2" in shown


def test_resampled_and_many_keys_are_groups_as_well() -> None:
    dates = pandas.DataFrame(DATA, index=pandas.date_range("2026-01-01", periods=3))
    assert "rows in each group: 2026-01-01 00:00:00 (2), 2026-01-03 00:00:00 (1)" in text(
        "{{g}}", g=dates.resample("2D")
    )
    both = text("{{g}}", g=pandas.DataFrame(DATA).groupby(["k", "v"], as_index=False))
    assert both.startswith("DataFrameGroupBy g: by k, v, 3 groups\nrows in each group: (a, 1) (1), (a, 2) (1)")


def test_lazy_groups_are_not_counted_and_those_that_fail_say_why() -> None:
    import dask.dataframe

    lazy = dask.dataframe.from_pandas(pandas.DataFrame(DATA), npartitions=1).groupby("k")
    shown = text("{{g}}", g=lazy)
    assert shown.startswith("GroupBy g: by k, groups not counted\nDataFrame of: 2 columns, 1 partition")
    assert text("{{g}}", g=polars.LazyFrame(DATA).group_by("k")) == "LazyGroupBy g: by k, groups not counted"
    failed = text("{{g}}", g=polars.DataFrame(DATA).group_by("zzz"))
    assert failed.startswith('GroupBy g: its groups failed: ColumnNotFoundError: unable to find column "zzz"')


def test_secret_columns_of_a_grouped_frame_are_masked() -> None:
    shown = text("{{g}}", g=pandas.DataFrame({"password": ["hunter2"], "v": [1]}).groupby("password"))
    assert "hunter2" not in shown and "by password, 1 group" in shown


def test_a_styler_is_its_frame_at_once() -> None:
    pytest.importorskip("jinja2")
    styled = pandas.DataFrame({"n": [1, 2], "password": ["hunter2", "hunter3"]}).style
    styled.apply(lambda column: 1 / 0)  # it would fail if it were drawn
    shown = text("{{s}}", s=styled)
    assert shown.startswith("DataFrame s: 2 rows × 2 columns (pandas)\n") and "hunter" not in shown
    assert "hunter" not in text("{{s}}", s=[styled])
