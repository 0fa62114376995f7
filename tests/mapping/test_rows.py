"""The rows of a map: data of any kind, each row with its names, and back into the caller's own kind."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import dask.dataframe
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from claude_magic.errors import PromptError, UsageError
from claude_magic.mapping import rows
from claude_magic.mapping.rows import Column
from support.shell import OfflineShell as Notebook

COLUMNS = {
    "reply": Column(["x", None, "z"], "text"),
    "tokens": Column([1, None, 3], "count"),
    "cost": Column([0.1, None, 0.2], "dollars"),
}


def frame_of(native: Any) -> list[tuple[Any, ...]]:
    """The rows of a result, for any library."""
    if isinstance(native, pl.LazyFrame):
        return native.collect().rows()
    if isinstance(native, pl.DataFrame):
        return native.rows()
    if isinstance(native, pa.Table):
        return [tuple(row.values()) for row in native.to_pylist()]
    return [tuple(None if pd.isna(value) else value for value in row) for row in native.itertuples(index=False)]


TEXTS = ["a", "b", "c"]
OF_EACH_KIND: dict[str, tuple[Callable[[], Any], type]] = {
    "pandas": (lambda: pd.DataFrame({"t": TEXTS}), pd.DataFrame),
    "a column of pandas": (lambda: pd.Series(TEXTS, name="t"), pd.DataFrame),
    "polars": (lambda: pl.DataFrame({"t": TEXTS}), pl.DataFrame),
    "a column of polars": (lambda: pl.Series("t", TEXTS), pl.DataFrame),
    "polars, lazy": (lambda: pl.LazyFrame({"t": TEXTS}), pl.LazyFrame),
    "pyarrow": (lambda: pa.table({"t": TEXTS}), pa.Table),
    "a list": (lambda: list(TEXTS), pd.DataFrame),
    "a generator": (lambda: (each for each in TEXTS), pd.DataFrame),
    "dicts": (lambda: [{"t": each} for each in TEXTS], pd.DataFrame),
}


@pytest.mark.parametrize("kind", OF_EACH_KIND)
def test_the_result_is_of_the_callers_own_kind_and_aligned(kind: str) -> None:
    make, result = OF_EACH_KIND[kind]
    found = rows.rows_of(make())
    assert found.count == 3
    values = [scope["item"] if isinstance(scope["item"], str) else scope["row"].t for scope in found.scopes()]
    assert values == TEXTS
    made = found.result(COLUMNS)
    assert type(made) is result
    assert frame_of(made) == [("a", "x", 1, 0.1), ("b", None, None, None), ("c", "z", 3, 0.2)]


@pytest.mark.slow
def test_a_relation_of_duckdb_stays_one() -> None:
    """In a process of its own: at its end, DuckDB says on stderr what it has leaked."""
    script = """
import duckdb
from claude_magic.mapping.rows import Column, rows_of
found = rows_of(duckdb.sql("select * from range(3) t(x)"))
made = found.result({"reply": Column(["a", None, "c"], "text")})
print(type(made).__name__, made.fetchall(), [scope["row"].x for scope in found.scopes()])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "DuckDBPyRelation [(0, 'a'), (1, None), (2, 'c')] [0, 1, 2]"


def test_a_pandas_index_is_kept_even_where_it_repeats_itself() -> None:
    frame = pd.DataFrame({"t": TEXTS}, index=[7, 7, 9])
    made = rows.rows_of(frame).result(COLUMNS)
    assert list(made.index) == [7, 7, 9]
    assert list(made["reply"].fillna("")) == ["x", "", "z"]
    assert "reply" not in frame, "the reader's own frame stays as it is"


def test_mixed_values_are_not_bent_into_one_type() -> None:
    made = rows.rows_of(pl.DataFrame({"t": TEXTS})).result({"any": Column([{"a": 1}, None, [1]])})
    assert made["any"].to_list() == ['{"a": 1}', None, "[1]"]


def test_a_dict_has_keys_and_items() -> None:
    found = rows.rows_of({"k": 1, "l": 2})
    assert [(scope["key"], scope["item"]) for scope in found.scopes()] == [("k", 1), ("l", 2)]
    assert list(found.result({})["key"]) == ["k", "l"]


@pytest.mark.parametrize("value", ["text", b"bytes", 7, None])
def test_what_has_no_rows_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        rows.rows_of(value)


@pytest.mark.parametrize(
    "make", [pd.DataFrame, pl.DataFrame, pa.table, lambda columns: [{k: v[0] for k, v in columns.items()}]]
)
def test_a_row_as_a_whole_has_its_columns_in_their_order(make: Callable[[Any], Any]) -> None:
    (scope,) = rows.rows_of(make({"z": [1], "a": [2], "m": [3]})).scopes()
    assert repr(scope["row"]) == "z: 1\na: 2\nm: 3"


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_text_that_is_no_unicode_costs_no_result(make: Callable[[Any], Any]) -> None:
    """Half a pair of surrogates, of which pandas 3, polars and Arrow make no text."""
    half = "\ud800"
    columns = {"reply": Column([half, None], "text"), "field": Column([half, "b"]), "mixed": Column([half, 1])}
    result = rows.rows_of(make({"a": [1, 2]})).result(columns)
    assert len(result) == 2 and "\ufffd" in str(result["reply"])
    listed = rows.rows_of([half, "b"]).result(columns)
    assert listed["item"].tolist() == ["\ufffd", "b"]


def test_of_two_columns_of_one_name_the_first_is_meant() -> None:
    (scope,) = rows.rows_of(pd.DataFrame([[1, 2]], columns=["x", "x"])).scopes()
    assert scope["row"]["x"] == 1


def test_a_generator_that_fails_or_never_ends_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Item 3 of the generator cannot be read: ZeroDivisionError"):
        rows.rows_of(1 / (2 - each) for each in range(3))
    monkeypatch.setattr(rows, "MAX_ROWS", 1_000)
    with pytest.raises(UsageError, match="more than 1,000 items: no end is in sight"):
        rows.rows_of(itertools.count())


def test_a_column_that_is_not_there_is_an_error_that_names_the_nearest() -> None:
    row = next(rows.rows_of(pd.DataFrame({"text": TEXTS, "a b": [1, 2, 3], 5: [1, 2, 3]})).scopes())["row"]
    assert (row.text, row["a b"], row[5], row["5"]) == ("a", 1, 1, 1)
    with pytest.raises(LookupError, match="'texd'; did you mean 'text'"):
        _ = row.texd


def spoil_pandas(frame: pd.DataFrame) -> None:
    frame.sort_values("t", ascending=False, inplace=True)
    frame.loc[:, "t"] = "spoilt"
    frame["n"].iloc[0].append("spoilt")
    frame.drop(index=frame.index[0], inplace=True)
    frame["more"] = 1
    frame.index.name = "spoilt"


def spoil_polars(frame: pl.DataFrame) -> None:
    frame.extend(frame)
    frame.replace_column(0, pl.Series("t", ["spoilt"] * len(frame)))
    frame.insert_column(0, pl.Series("more", [1] * len(frame)))


def spoil_list(items: list[Any]) -> None:
    items[0]["t"] = "spoilt"
    items[1]["n"].append("spoilt")
    items.reverse()
    items.pop()


SPOILT: list[tuple[Any, Callable[[Any], None]]] = [
    (lambda: pd.DataFrame({"t": TEXTS, "n": [[1], [2], [3]]}), spoil_pandas),
    (lambda: pl.DataFrame({"t": TEXTS, "n": [[1], [2], [3]]}), spoil_polars),
    (lambda: [{"t": text, "n": [at]} for at, text in enumerate(TEXTS, 1)], spoil_list),
]


@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize(("make", "spoil"), SPOILT)
def test_rows_that_are_set_apart_stay_as_they_were_whatever_happens_to_the_data(
    make: Callable[[], Any], spoil: Callable[[Any], None]
) -> None:
    value = make()
    found = rows.rows_of(rows.apart(value))
    spoil(value)
    assert [f"{scope['row'].t} {list(scope['row'].n)}" for scope in found.scopes()] == ["a [1]", "b [2]", "c [3]"]
    made = found.result(COLUMNS)
    assert list(made.columns) == ["t", "n", "reply", "tokens", "cost"]
    assert list(made["t"]) == TEXTS and [list(each) for each in made["n"]] == [[1], [2], [3]]
    assert [None if pd.isna(each) else each for each in made["reply"]] == ["x", None, "z"]
    if isinstance(made, pd.DataFrame):
        assert list(made.index) == [0, 1, 2] and made.index.name is None


# Frames as people have them


PIDS = pd.Index(["p1", "p2"], name="pid")
PAIRS = pd.MultiIndex.from_tuples([("p1", 1), ("p2", 2)], names=["pid", "visit"])
OF_AN_INDEX: list[tuple[Any, str, list[str]]] = [
    (pd.DataFrame({"t": ["x", "y"]}, index=PIDS), "{{row.pid}} {{row.t}} {{key}}", ["p1 x p1", "p2 y p2"]),
    (pd.Series(["x", "y"], index=PIDS, name="t"), "{{row.pid}} {{item}}", ["p1 x", "p2 y"]),
    (pd.DataFrame({"t": ["x", "y"]}, index=PAIRS), "{{row.pid}}{{row.visit}}{{row['t']}}", ["p11x", "p22y"]),
    (pd.DataFrame({"t": ["x", "y"]}, index=[7, 8]), "{{row.index}} {{row.t}}", ["7 x", "8 y"]),
    (pd.DataFrame({"pid": ["x", "y"]}, index=PIDS), "{{row.pid}}", ["x", "y"]),  # a column comes before the index
    (pd.DataFrame({"t": ["x", "y"]}, index=PIDS), "{{row}}", ["t: x", "t: y"]),
]


@pytest.mark.parametrize(("data", "prompt", "said"), OF_AN_INDEX)
def test_an_index_is_known_by_its_name(notebook: Notebook, data: Any, prompt: str, said: list[str]) -> None:
    notebook.shell.user_ns["data"] = data
    result = notebook.map("data", prompt)
    assert list(result["reply"]) == [f"re: {each}" for each in said] and result.index.equals(data.index)


@pytest.mark.slow
def test_dates_and_times_are_written_as_iso(notebook: Notebook) -> None:
    noon = pd.Timestamp("2020-01-02 12:00", tz="UTC")
    notebook.shell.user_ns["data"] = [
        *({"when": each} for each in (noon, noon.to_pydatetime(), noon.to_numpy(), noon.date(), noon.time())),
        *({"when": each} for each in (pd.Timedelta(days=1), pd.Period("2020-01", "M"))),
    ]
    result = notebook.map("data", "{{row.when}}")
    iso = ["2020-01-02T12:00:00+00:00"] * 2 + ["2020-01-02T12:00:00.000000", "2020-01-02", "12:00:00"]
    assert list(result["reply"]) == [f"re: {each}" for each in (*iso, "1 days 00:00:00", "2020-01")]
    notebook.shell.user_ns["data"] = pl.DataFrame({"when": [noon.to_pydatetime()]})
    assert list(notebook.map("data", "{{row}} {{row.when.year}}")["reply"]) == [f"re: when: {iso[0]} 2020"]


MISSING: list[Any] = [
    pd.DataFrame({"t": ["fine", None]}),
    pd.DataFrame({"t": ["fine", float("nan")]}, dtype=object),
    pd.DataFrame({"t": pd.array(["fine", pd.NA], dtype="string")}),
    pd.DataFrame({"t": pd.to_datetime(["2020-01-01", None])}),
    pd.DataFrame({"t": [Decimal(1), Decimal("nan")]}),
    pl.DataFrame({"t": [1.5, float("nan")]}),
    pa.table({"t": [1, None]}),
    [{"t": "fine"}, {"other": 1}],
    {"a": {"t": 1}, "b": {}},
    [{"t": 1}, None],
    [{"t": 1}, {"t": pd.DataFrame({"x": [None]}, dtype="Int64")["x"][0]}],
]


@pytest.mark.parametrize("data", MISSING)
@pytest.mark.parametrize("prompt", ["Sum up {{row.t}}", "Sum up {{f'{row.t}!'}}"])
def test_a_row_whose_value_is_missing_is_not_asked_and_says_so(
    notebook: Notebook, data: Any, prompt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.shell.user_ns["data"] = data
    result = notebook.map("data", prompt)
    errors = result["error"].to_pylist() if isinstance(result, pa.Table) else list(result["error"])
    assert pd.isna(errors[0]) and "is missing here: --nulls ask" in errors[1]
    assert "1 row is not asked: a value in the prompt is missing." in capsys.readouterr().out
    assert len(notebook.server.requests) == 1


@pytest.mark.slow
def test_an_expression_that_fails_for_a_missing_value_says_that_it_is_missing(notebook: Notebook) -> None:
    notebook.shell.user_ns["data"] = pd.DataFrame({"t": ["fine", None]})
    assert "is missing here" in notebook.map("data", "{{row.t.upper()}}")["error"][1]
    assert "is missing here" in notebook.map("data.t", "{{item.upper()}}")["error"][1]
    assert "is missing here" in notebook.map("data.t", "{{f'Say {item}'}}")["error"][1]
    assert "is missing here" in notebook.map("data", "Sum up {{row}}")["error"][1]
    assert "has no attribute 'upper'" in notebook.map("data --nulls ask", "{{row.t.upper()}}")["error"][1]


@pytest.mark.slow
def test_missing_values_are_asked_where_that_is_wanted_or_where_the_prompt_sees_to_them(notebook: Notebook) -> None:
    notebook.shell.user_ns["data"] = pd.DataFrame({"t": ["fine", None], "n": [1, 2]})
    assert notebook.map("data --nulls ask", "Say {{row.t}}")["error"].isna().all()
    assert notebook.map("data", "Say {{row.t if isinstance(row.t, str) else 'nothing'}}")["error"].isna().all()
    assert list(notebook.map("data", "{{row}}")["reply"]) == ["re: t: fine\nn: 1", "re: t: null\nn: 2"]
    with pytest.raises(UsageError, match="--nulls wants ask or skip, not 'maybe'"):
        notebook.map("data --nulls maybe", "Say {{row.t}}")


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"text": TEXTS}),
        pl.DataFrame({"text": TEXTS}),
        [{"text": each, each: 1} for each in TEXTS],
        dask.dataframe.from_pandas(pd.DataFrame({"text": TEXTS}), npartitions=1),
    ],
)
@pytest.mark.parametrize("wrong", ["{{row.texd}}", "{{row['texd'] if row.text == 'c' else 1}}"])
def test_a_misspelt_column_is_refused_once_and_an_earlier_result_stays(
    notebook: Notebook, data: Any, wrong: str
) -> None:
    notebook.shell.user_ns.update(data=data, result="an earlier one")
    with pytest.raises(PromptError, match="there is no column 'texd'; did you mean 'text'"):
        made = notebook.map("data", f"Say {wrong}")
        notebook.shell.user_ns["result"] = "an earlier one"
        made.compute(scheduler="synchronous")  # a lazy frame is refused where it is computed
    assert notebook.shell.user_ns["result"] == "an earlier one" and notebook.server.requests == []


def test_a_prompt_that_fails_for_each_row_is_refused_once_and_an_earlier_result_stays(notebook: Notebook) -> None:
    notebook.shell.user_ns["result"] = "an earlier one"
    with pytest.raises(PromptError, match=r"No row can be asked.*has no attribute 'uper'"):
        notebook.map("['a', 'b']", "Say {{item.uper()}}")
    assert notebook.shell.user_ns["result"] == "an earlier one" and notebook.server.requests == []
