"""A prompt over data: rows of any kind, each answered once or with its error, within the limit and the budget."""

from __future__ import annotations

import base64
import itertools
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import dask.dataframe
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from claude_magic import offline
from claude_magic.content.parts import Limits
from claude_magic.content.secrets import MASK, Secrets
from claude_magic.conversation.record import DamagedRecord, record_of
from claude_magic.conversation.turns import Call
from claude_magic.cost import pricing
from claude_magic.errors import PromptError, ReplyInterrupted, UsageError
from claude_magic.magics.line import read_map
from claude_magic.mapping import rows, run
from claude_magic.mapping.dask import values_of
from claude_magic.mapping.prompts import Template
from claude_magic.mapping.rows import Column
from claude_magic.notebook import reader as notebooks
from claude_magic.offline import Draft, Fault
from claude_magic.options import Options
from claude_magic.render import cost_report
from support.kernel import Page
from support.shell import OfflineShell as Notebook

MODEL = "claude-haiku-5-5"
COLUMNS = {
    "reply": Column(["x", None, "z"], "text"),
    "tokens": Column([1, None, 3], "count"),
    "cost": Column([0.1, None, 0.2], "dollars"),
}


@pytest.fixture(scope="module")
def loaded() -> Notebook:
    return Notebook()


@pytest.fixture
def notebook(loaded: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    loaded.server.requests.clear()
    loaded.server.replies.clear()
    loaded.server.faults.clear()
    loaded.server.script = lambda body: [{"type": "text", "text": f"re: {asked(body)}"}]
    loaded.forget()
    loaded.configuration.max_retries = 4
    loaded.configuration.budget = None
    yield loaded


def asked(body: dict[str, Any]) -> str:
    """The prompt's text."""
    return "".join(block.get("text", "") for block in body["messages"][-1]["content"])


# Rows of any kind, and back


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


# The line


def test_the_line_takes_an_expression_with_spaces_and_quotes_wherever_it_stands() -> None:
    for line in ('df.query("a > 3") --out x --concurrency 3', '--concurrency=3 --out x df.query("a > 3")'):
        found = read_map(line, Options())
        assert (found.over, found.options.out, found.concurrency) == ('df.query("a > 3")', "x", 3)
    found = read_map("df[a - b] --fresh -m opus -o x", Options())
    assert (found.over, found.fresh, found.options.model) == ("df[a - b]", True, "opus")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("df --concurrency 0 --out x", "from 1 to"),
        ("df --concurrency --out x", "from 1 to"),
        ("df --batsh --out x", "There is no option --batsh"),
        ("df --once --out x", "does not take --once"),
        ("df --model opus,haiku --out x", "one model"),
        ("df --fresh=1 --out x", "takes no value"),
        ("df --out 1x", "variable name"),
    ],
)
def test_what_does_not_fit_on_the_line_is_refused(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_map(line, Options())


# The prompt


def test_a_prompt_without_a_row_is_refused() -> None:
    with pytest.raises(PromptError, match="same for every row"):
        Template("Say {{name}}", {"name": 1}, Secrets(), Limits())
    Template("{{[row.a for _ in range(2)]}}", {}, Secrets(), Limits())


def test_what_no_row_changes_is_evaluated_once(notebook: Notebook) -> None:
    calls: list[int] = []
    notebook.shell.user_ns["once"] = lambda: calls.append(1) or "constant"
    result = notebook.map("['a', 'b']", "{{once()}} {{item}} {{item.upper()}}")
    assert list(result["reply"]) == ["re: constant a A", "re: constant b B"]
    assert calls == [1]


def test_values_of_rows_are_masked_by_what_they_look_like_too(notebook: Notebook) -> None:
    notebook.shell.user_ns["rows"] = [{"token": "cat", "api_key": "aB3dE6gH9jK2mN5p"}]
    notebook.map("rows", "{{row.token}} {{row.api_key}}")
    notebook.map("rows --allow-columns api_key", "{{row.token}} and {{row.api_key}}")
    assert list(map(asked, notebook.server.requests)) == [f"cat {MASK}", "cat and aB3dE6gH9jK2mN5p"]


def test_rows_that_are_the_same_are_asked_once_and_cost_once(notebook: Notebook) -> None:
    result = notebook.map("['a', 'b', 'a']", "Say {{item}}")
    assert sorted(map(asked, notebook.server.requests)) == ["Say a", "Say b"]
    assert list(result["reply"]) == ["re: Say a", "re: Say b", "re: Say a"]
    assert result["cost"][2] == 0 and result["cost"][0] > 0
    assert list(result["output_tokens"] > 0) == [True, True, False]


def test_a_column_that_the_data_has_is_never_overwritten(notebook: Notebook) -> None:
    notebook.shell.user_ns["df"] = pd.DataFrame({"reply": ["old"], "cost": [5]})
    result = notebook.map("df", "Say {{row.reply}}")
    assert list(result.columns[:3]) == ["reply", "cost", "claude_reply"]
    assert (result["reply"][0], result["cost"][0], result["claude_reply"][0]) == ("old", 5, "re: Say old")


@pytest.mark.slow
def test_long_instructions_are_written_to_the_cache_once_and_read_by_all_others(notebook: Notebook) -> None:
    notebook.shell.user_ns["manual"] = "Rules of the house. " * 800
    notebook.map("list(range(12))", "{{manual}}\n\nNow {{item}}")
    usages = [reply["usage"] for reply in notebook.server.replies]
    assert sum(usage["cache_creation_input_tokens"] > 0 for usage in usages) == 1
    assert sum(usage["cache_read_input_tokens"] > 0 for usage in usages) == 11
    assert len(notebook.server.requests[0]["messages"][0]["content"]) == 2


def test_short_instructions_are_not_marked(notebook: Notebook) -> None:
    notebook.map("[1]", "Say {{item}}")
    assert "cache_control" not in json.dumps(notebook.server.requests)
    assert notebook.server.requests[0]["stream"] is True, "a long reply must not look like a dead connection"


# What can go wrong


def test_a_bad_row_costs_no_other(notebook: Notebook) -> None:
    def script(body: dict[str, Any]) -> Any:
        if "refuse" in asked(body):
            return Draft([], "refusal", {"type": "refusal", "category": "cyber", "explanation": "no"})
        return Draft([{"type": "text", "text": "half"}], "max_tokens") if "long" in asked(body) else None

    notebook.server.script = script
    result = notebook.map("['fine', 1, 'refuse', 'long', 'fine too']", "{{item.lower()}}")
    errors = list(result["error"].fillna(""))
    assert errors[0] == errors[4] == ""
    assert "AttributeError" in errors[1]
    assert errors[2] == "refused (cyber)"
    assert errors[3].startswith("cut off at max_tokens") and result["reply"][3] == "half"
    assert len(notebook.server.requests) == 4, "the row whose expression failed was not sent"


def test_what_is_wrong_for_all_rows_ends_the_map(notebook: Notebook) -> None:
    notebook.server.faults.extend([Fault("status", status=401)] * 50)
    with pytest.raises(Exception, match="invalid x-api-key"):
        notebook.map("list(range(50))", "Say {{item}}")
    assert len(notebook.server.requests) < 10
    assert "result" not in notebook.shell.user_ns


@pytest.mark.slow
def test_thousand_rows_with_faults_of_every_kind_are_each_answered_once_or_with_their_error(
    notebook: Notebook,
) -> None:
    """Cost is the sum of all usages that arrived, and never more than the limit are under way."""
    count, limit, chance = 1_000, 8, random.Random(7)
    kinds = [
        *(Fault("status", status=status, headers={"retry-after-ms": "1"}) for status in (400, 413, 429, 500, 529)),
        *(Fault(kind, after=3) for kind in ("cut", "cut_inside", "end", "error", "broken")),  # type: ignore[arg-type]
        Fault("close"),
    ]
    notebook.server.faults.extend(chance.choice(kinds) if chance.random() < 0.05 else None for _ in range(2 * count))
    notebook.configuration.max_retries = 1
    under_way, most, guard = 0, 0, threading.Lock()
    answer = notebook.server.answer

    def counted(*args: Any) -> Any:
        nonlocal under_way, most
        with guard:
            under_way += 1
            most = max(most, under_way)
        try:
            return answer(*args)
        finally:
            with guard:
                under_way -= 1

    notebook.server.answer = counted  # type: ignore[method-assign]
    try:
        result = notebook.map(f"list(range({count})) --concurrency {limit} --model haiku", "Say {{item}}.")
    finally:
        del notebook.server.answer  # type: ignore[attr-defined]
    assert most <= limit
    whole = result["error"].isna()
    assert list(result["reply"][whole]) == [f"re: Say {item}." for item in result["item"][whole]]
    assert result["reply"][~whole].isna().all()
    assert 0 < (~whole).sum() < 60
    answered = [reply["content"][0]["text"] for reply in notebook.server.replies]
    assert len(answered) == len(set(answered)) == whole.sum(), "no row was answered twice"
    calls = notebook.kernel.session.spent[-1].calls
    usages = [reply["usage"] for reply in notebook.server.replies]
    started = calls[0].started
    each = (Call(MODEL, usage, stop_reason="end_turn", started=started) for usage in usages)
    expected = pricing.total(map(pricing.call_cost, each)).dollars
    complete = [call for call in calls if call.stop_reason is not None]
    assert pricing.total(map(pricing.call_cost, complete)).dollars == expected
    everything = pricing.total(map(pricing.call_cost, calls))
    assert float(result["cost"].sum()) == pytest.approx(float(everything.dollars or 0))


@pytest.mark.slow
def test_what_was_answered_is_not_asked_again(notebook: Notebook) -> None:
    notebook.configuration.max_retries = 0
    notebook.server.faults.extend([None, Fault("status", status=500)])
    first = notebook.map("['a', 'b', 'c'] --concurrency 1", "Say {{item}}")  # in their order
    assert list(first["error"].isna()) == [True, False, True]
    assert first["reply"].isna()[1]
    notebook.server.requests.clear()
    second = notebook.map("['a', 'b', 'c']", "Say {{item}}")
    assert [asked(body) for body in notebook.server.requests] == ["Say b"]
    assert list(second["reply"]) == ["re: Say a", "re: Say b", "re: Say c"]
    assert len(notebook.kernel.session.spent[-1].calls) == 1, "what was paid for before is not counted again"
    notebook.server.requests.clear()
    notebook.map("['a', 'b', 'c'] --fresh", "Say {{item}}")
    assert len(notebook.server.requests) == 3


def test_answers_are_kept_in_a_private_file_and_not_at_all_where_the_journal_is_off(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.configuration.journal = False
    try:
        notebook.map("['a']", "Say {{item}}")
        assert list(tmp_path.rglob("*.sqlite")) == []
    finally:
        notebook.configuration.journal = True
    notebook.map("['a']", "Say {{item}}")
    (file,) = tmp_path.rglob("*.sqlite")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
def test_a_budget_that_the_prompts_pass_is_refused_before_anything_is_sent(notebook: Notebook) -> None:
    with pytest.raises(UsageError, match="The prompts alone cost about"):
        notebook.map("list(range(1000)) --budget 0.001", "Say {{item}}")
    assert notebook.server.requests == []


@pytest.mark.slow
def test_the_sum_stops_at_the_budget_and_what_is_done_is_kept(notebook: Notebook) -> None:
    notebook.server.script = lambda body: [{"type": "text", "text": "word " * 500}]
    with pytest.raises(ReplyInterrupted, match="the budget is used up"):
        notebook.map("list(range(100)) --budget 0.02 --concurrency 2", "Say {{item}}")
    result = notebook.shell.user_ns["result"]
    done = result["error"].isna().sum()
    assert 0 < done < 30
    assert set(result["error"].dropna()) == {"not asked yet: run the cell again"}
    spent = pricing.total(map(pricing.turn_cost, notebook.kernel.session.spent)).dollars
    assert spent is not None and Decimal("0.01") < spent < Decimal("0.035"), "a reply costs 1.4 cents"


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_done(notebook: Notebook) -> None:
    def script(body: dict[str, Any]) -> Any:
        if "Say 30" in asked(body):
            os.kill(os.getpid(), signal.SIGINT)
        return [{"type": "text", "text": "yes"}]

    notebook.server.script = script
    with pytest.raises(ReplyInterrupted, match="interrupted") as raised:
        notebook.map("list(range(200)) --concurrency 4", "Say {{item}}")
    assert "run the cell again for the rest" in raised.value.advice
    result = notebook.shell.user_ns["result"]
    done = int((result["reply"] == "yes").sum())
    assert 20 <= done < 200
    notebook.server.script = lambda body: [{"type": "text", "text": "yes"}]
    notebook.wait_unasked()
    notebook.server.requests.clear()
    notebook.map("list(range(200))", "Say {{item}}")
    assert len(notebook.server.requests) <= 200 - done


@pytest.mark.slow
def test_a_rate_limit_makes_it_slower_and_loses_no_row(notebook: Notebook) -> None:
    notebook.server.faults.extend([None, *[Fault("status", status=429, headers={"retry-after-ms": "5"})] * 6])
    result = notebook.map("list(range(40))", "Say {{item}}")
    assert result["error"].isna().all()
    assert len(notebook.server.replies) == 40


# What is shown


def test_nothing_is_sent_without_a_name_for_the_result(notebook: Notebook) -> None:
    with pytest.raises(UsageError, match="needs a name"):
        notebook.shell.run_cell_magic("claude_map", "[1]", "Say {{item}}")
    with pytest.raises(UsageError, match="there is no name 'nothing'"):
        notebook.map("nothing", "Say {{item}}")
    assert notebook.server.requests == []


@pytest.mark.slow
def test_the_estimate_stands_before_and_the_record_after(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.map("['a', '<b>', 'a']", "Say {{item}}")
    said = capsys.readouterr().out
    assert said.startswith("2 requests, ≈")
    assert "Mapped over ['a', '<b>', 'a'] (offline stand-in, not Claude)" in said
    assert "1 row is the same as one above" in said
    notebook.map("['c']", "Say {{item}}")
    notebook.shell.run_line_magic("claude_cost", "")
    rows = capsys.readouterr().out.partition("Cost of this session")[2]
    assert "(mapped over data: ['a', '<b>', 'a'])" in rows and "(mapped over data: ['c'])" in rows


def test_the_first_request_can_be_looked_at(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.shell.run_cell_magic("claude_map", "['a'] --show-request --model haiku", "Say {{item}}")
    shown = json.loads(capsys.readouterr().out)
    assert shown["messages"][0]["content"][0]["text"] == "Say a"
    assert notebook.server.requests == []


def test_a_record_of_a_map_is_read_back_and_a_strangers_is_checked() -> None:
    data = {"id": "x", "model": MODEL, "provider": "anthropic", "created": 1.0, "rows": 3, "dollars": "0.5", "new": 1}
    found = record_of({"version": 1, "map": data}).mapped
    assert found is not None and (found.rows, found.amount) == (3, Decimal("0.5"))
    for wrong in ({"rows": -1}, {"dollars": "NaN"}, {"model": 7}, {"batches": ["a b"]}):
        with pytest.raises(DamagedRecord):
            record_of({"version": 1, "map": {**data, **wrong}})


# `--schema`


@dataclass
class Mood:
    feeling: str
    score: int


def test_a_schema_makes_a_column_of_each_field_and_an_error_of_what_does_not_fit(notebook: Notebook) -> None:
    notebook.shell.user_ns["Mood"] = Mood

    def script(body: dict[str, Any]) -> Any:
        assert body["output_config"]["format"]["type"] == "json_schema"
        said = {"feeling": "glad", "score": 7} if "good" in asked(body) else {"feeling": "sad", "score": "much"}
        return [{"type": "text", "text": json.dumps(said)}]

    notebook.server.script = script
    result = notebook.map("['good', 'bad'] --schema Mood --model haiku", "Say {{item}}")
    assert list(result.columns) == ["item", "feeling", "score", "input_tokens", "output_tokens", "cost", "error"]
    assert (result["feeling"][0], result["score"][0]) == ("glad", 7)
    assert pd.isna(result["feeling"][1]) and "score" in result["error"][1]
    assert result["cost"][1] > 0, "what does not fit was paid for all the same"


def test_a_list_of_a_schema_is_one_column(notebook: Notebook) -> None:
    notebook.shell.user_ns["Mood"] = Mood
    notebook.server.script = None
    result = notebook.map("['good'] --schema list[Mood] --model haiku", "Say {{item}}")
    assert result["error"].isna().all()
    assert isinstance(result["reply"][0], list) and set(result["reply"][0][0]) == {"feeling", "score"}


@pytest.mark.slow
def test_rows_with_a_schema_are_each_answered_once_though_some_fail_the_map_is_stopped_and_the_data_change(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = int(os.environ.get("CLAUDE_MAGIC_MAPPED_ROWS", "60"))
    texts = [f"{word} number {at}" for at, word in zip(range(count), itertools.cycle(("glad", "sad", "so so")))]
    frame = pd.DataFrame({"text": texts, "day": pd.date_range("2020-01-01", periods=count)}, index=range(7, count + 7))
    answered: Counter[str] = Counter()
    guard, stops = threading.Lock(), list[threading.Event]()

    class Progress(run.Progress):
        """One whose Stop is pressed here."""

        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            stops.append(self.stopped)

    def script(body: dict[str, Any]) -> Any:
        said = asked(body)
        with guard:
            answered[said] += 1
            if answered.total() == count // 2:
                stops[-1].set()
        if stops[-1].is_set():
            time.sleep(0.5)  # until the map has noticed
        return [{"type": "text", "text": json.dumps({"feeling": said, "score": len(said)})}]

    monkeypatch.setattr(run, "Progress", Progress)
    notebook.server.script = script
    notebook.configuration.max_retries = 0
    notebook.server.faults.extend(Fault("status", status=500) if at % 5 == 0 else None for at in range(count))
    notebook.shell.user_ns.update(Mood=Mood, frame=frame)
    line, prompt = "frame --schema Mood --model haiku --concurrency 4", "{{row.text}} on {{row.day}}"
    with pytest.raises(ReplyInterrupted, match="Stop was pressed"):
        notebook.map(line, prompt)
    assert 0 < notebook.shell.user_ns["result"]["feeling"].notna().sum() < count
    changed = pd.concat([frame.drop(index=[9, 12]), pd.DataFrame({"text": ["new"], "day": [frame["day"].iloc[0]]})])
    notebook.shell.user_ns["frame"] = changed.sort_values("text", ascending=False)
    notebook.server.faults.clear()
    for _ in range(2):
        result = notebook.map(line, prompt)
        assert result["error"].isna().all() and result.index.equals(notebook.shell.user_ns["frame"].index)
        wanted = [f"{text} on {day.isoformat()}" for text, day in zip(result["text"], result["day"], strict=True)]
        assert list(result["feeling"]) == wanted and list(result["score"]) == list(map(len, wanted))
    assert set(answered) >= set(wanted) and set(answered.values()) == {1}
    assert sum(len(turn.calls) for turn in notebook.kernel.session.spent) == answered.total()


# Dask


@pytest.mark.slow
def test_a_dask_frame_stays_lazy_and_each_partition_is_asked_where_it_is_computed(
    notebook: Notebook, standin: offline.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.script = lambda body: [{"type": "text", "text": f"re: {asked(body)}"}]
    monkeypatch.setenv("ANTHROPIC_BASE_URL", standin.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-secret-key")
    notebook.configuration.provider = "anthropic"
    try:
        frame = pd.DataFrame({"t": [f"row {at}" for at in range(12)]}, index=range(100, 112))
        notebook.shell.user_ns.update(df=dask.dataframe.from_pandas(frame, npartitions=3), shout=str.upper)
        lazy = notebook.map("df", "Say {{shout(row.t)}}")
        assert standin.requests == [] and isinstance(lazy, type(notebook.shell.user_ns["df"]))
        computed = lazy.compute(scheduler="threads")
        assert list(computed.index) == list(range(100, 112))
        assert list(computed["reply"]) == [f"re: Say ROW {at}" for at in range(12)]
        assert dict(computed.dtypes) == dict(lazy.dtypes)
        assert len(standin.requests) == 12
        graph = pickle.dumps(dict(lazy.__dask_graph__()))
        assert b"Say {{shout(row.t)}}" in graph and b"a-secret-key" not in graph
        assert lazy["cost"].sum().compute(scheduler="threads") > 0
        assert len(standin.requests) == 12, "what was answered is not asked again"
        with pytest.raises(UsageError, match="does not go together with a Dask frame"):
            notebook.map("df --budget 1", "Say {{row.t}}")
        assert list(notebook.map("df.t", "Say {{item}}").columns[:2]) == ["t", "reply"]
    finally:
        notebook.configuration.provider = "offline"


def test_a_saved_notebook_keeps_the_record_and_the_shell_counts_it(page: Page) -> None:
    page.load()
    page.run("data", "rows = ['a', 'b']")
    done = page.run("map", "%%claude_map rows --out result --model haiku\nSay {{item}}")
    assert done.error is None
    (record,) = [each for each in done.outputs if each.get("metadata", {}).get("claude_magic")]
    assert "Mapped over rows" in record["data"]["text/html"] and "widget" not in str(record["data"])
    page.save()
    page.restart()
    assert "skipped" not in page.load()
    page.run("data", "rows = ['a', 'b']")
    again = page.run("map", "%%claude_map rows --out result --model haiku\nSay {{item}}")
    assert "2 rows were answered in an earlier run" in str(again.outputs)
    page.cells["map"] = ("", done.outputs)
    page.save()
    place = [*page.cells].index("map") + 1
    saved = notebooks.read(page.path)
    assert saved.skipped == () and [(cell, run.answered) for cell, run in saved.mapped] == [(place, 2)]
    spent = cost_report.of("n", saved.shown, saved.mapped).total
    assert spent.calls == 2 and spent.cost.dollars == saved.mapped[0][1].amount


# Rows with pictures, files, a system prompt and earlier turns of their own


def pictures(folder: Path, count: int) -> list[Path]:
    """So many tiny pictures, no two alike."""
    paths = [folder / f"{at}.png" for at in range(count)]
    for at, path in enumerate(paths):
        Image.new("RGB", (4, 4), (at % 256, at // 256, 7)).save(path)
    return paths


def sent_pictures(body: dict[str, Any]) -> list[bytes]:
    """The bytes of the pictures in a request, in their order."""
    every = [block for message in body["messages"] for block in message["content"]]
    return [base64.b64decode(each["source"]["data"]) for each in every if each["type"] == "image"]


@pytest.mark.slow
def test_pictures_of_rows_go_as_pictures_and_a_missing_file_costs_its_row_only(
    notebook: Notebook, tmp_path: Path
) -> None:
    paths = pictures(tmp_path, 3)
    notebook.shell.user_ns["frame"] = pd.DataFrame({"path": [*paths, tmp_path / "none.png"]})
    result = notebook.map("frame --concurrency 1", "What is this? {{row.path}}")
    assert [sent_pictures(request) for request in notebook.server.requests] == [[p.read_bytes()] for p in paths]
    assert result["reply"].notna().tolist() == [True, True, True, False]
    assert "none.png does not exist" in result["error"][3]
    opened = [Image.open(path) for path in paths]
    notebook.shell.user_ns["opened"] = opened
    notebook.server.requests.clear()
    notebook.map("opened --fresh", "Describe {{item}}")
    assert len({*(sent_pictures(request)[0] for request in notebook.server.requests)}) == 3


@pytest.mark.slow
def test_a_text_is_a_path_only_where_an_option_says_so(notebook: Notebook, tmp_path: Path) -> None:
    paths = pictures(tmp_path, 2)
    notebook.shell.user_ns["frame"] = pd.DataFrame({"path": [*map(str, paths), None, str(tmp_path / "none.png")]})
    result = notebook.map('frame --concurrency 1 --image "{{row.path}}"', "Describe it.")
    assert [sent_pictures(request) for request in notebook.server.requests] == [[p.read_bytes()] for p in paths]
    assert result["error"][2].startswith("{{row.path}} is missing here")
    assert "there is no file" in result["error"][3]
    notebook.server.requests.clear()
    notebook.map("frame --concurrency 1", "Is {{row.path}} a good name?")
    assert [sent_pictures(request) for request in notebook.server.requests] == [[], [], []]


def test_another_picture_of_the_same_name_is_asked_anew(notebook: Notebook, tmp_path: Path) -> None:
    first, second = pictures(tmp_path, 2)
    notebook.shell.user_ns["paths"] = [first]
    for _ in range(2):
        notebook.map("paths", "Describe {{item}}")
    assert len(notebook.server.requests) == 1
    first.write_bytes(second.read_bytes())
    notebook.map("paths", "Describe {{item}}")
    assert [sent_pictures(request) for request in notebook.server.requests][1] == [second.read_bytes()]


def test_what_all_rows_share_stands_first_with_a_breakpoint(notebook: Notebook, tmp_path: Path) -> None:
    (tmp_path / "guide.txt").write_text("Be fair. " * 4_000)
    (picture,) = pictures(tmp_path, 1)
    line = (
        f"['a', 'b'] --concurrency 1 --image {picture} --file {tmp_path / 'guide.txt'} --file-title Guide --model haiku"
    )
    notebook.map(line, "Judge {{item}}")
    first, second = (request["messages"][0]["content"] for request in notebook.server.requests)
    assert [block["type"] for block in first] == ["image", "document", "text", "text"]
    assert first[1]["title"] == "Guide" and first[:-1] == second[:-1] and first[-1] != second[-1]
    assert [each for each in first if "cache_control" in each] == [first[2]]
    with pytest.raises(UsageError, match="no such file"):
        notebook.map("['a'] --image none.png", "Judge {{item}}")


@pytest.mark.slow
def test_a_system_prompt_that_names_the_row_is_filled_for_each(notebook: Notebook) -> None:
    notebook.shell.user_ns["frame"] = pd.DataFrame({"t": ["a", "b", "c"], "language": ["French", "Thai", None]})
    notebook.shell.user_ns["tone"] = "kindly"
    result = notebook.map('frame --concurrency 1 --system "Answer {{tone}} in {{row.language}}."', "Say {{row.t}}")
    assert [request["system"] for request in notebook.server.requests] == [
        "Answer kindly in French.",
        "Answer kindly in Thai.",
    ]
    assert result["error"][2].startswith("{{row.language}} is missing here")
    notebook.server.requests.clear()
    notebook.map('frame --concurrency 1 --nulls ask --fresh --system "{{row.language}}"', "One question.")
    assert [request.get("system") for request in notebook.server.requests] == ["French", "Thai", None]


def test_the_shared_start_of_a_system_prompt_is_cached(notebook: Notebook) -> None:
    notebook.shell.user_ns["rules"] = "Be fair. " * 4_000
    notebook.map(
        '["French", "Thai"] --concurrency 1 --model haiku --system "{{rules}} Answer in {{item}}."', "Say hello."
    )
    one, other = (request["system"] for request in notebook.server.requests)
    assert one[0] == other[0] and one[0]["cache_control"] == {"type": "ephemeral"}
    assert [one[1]["text"], other[1]["text"]] == ["French.", "Thai."]


def test_what_is_wrong_in_a_rows_system_prompt_says_where(notebook: Notebook) -> None:
    notebook.shell.user_ns["rows"] = [{"t": "a"}]
    with pytest.raises(PromptError, match=r"--system: .*no column 'tone'"):
        notebook.map('rows --system "{{row.tone}}"', "Say {{row.t}}")
    with pytest.raises(PromptError, match="A system prompt is text"):
        notebook.shell.user_ns["rows"] = [Image.new("RGB", (2, 2))]
        notebook.map('rows --system "{{item}}"', "Say it")
    assert notebook.server.requests == []


def test_a_dask_frame_fills_the_system_prompt_in_its_workers_and_takes_no_files(notebook: Notebook) -> None:
    names = {"tone": "kindly", "rest": 1, "row": 2}
    assert values_of(names, "Say {{row.t}}", "Answer {{tone}} in {{row.language}}") == {"tone": "kindly"}
    notebook.shell.user_ns["lazy"] = dask.dataframe.from_pandas(pd.DataFrame({"t": ["a"]}), npartitions=1)
    with pytest.raises(UsageError, match="do not go together with a Dask frame"):
        notebook.map("lazy --image one.png", "Say {{row.t}}")


TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}]


@pytest.mark.slow
def test_rows_bring_earlier_turns(notebook: Notebook) -> None:
    own = [*TURNS, {"role": "user", "content": "And now?"}]
    notebook.shell.user_ns["rows"] = [{"messages": TURNS, "q": "Why?"}, {"messages": [], "q": "Who?"}]
    notebook.map("rows --concurrency 1", "{{row.messages}} {{row.q}}")
    spoken = [
        [(each["role"], each["content"][0]["text"]) for each in request["messages"]]
        for request in notebook.server.requests
    ]
    assert spoken == [[("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")], [("user", "Who?")]]
    notebook.server.requests.clear()
    notebook.shell.user_ns["rows"] = [{"messages": own, "system": "Be brief."}, {"messages": own, "system": "Rhyme."}]
    notebook.map('rows --concurrency 1 --system "{{row.system}}"', "{{row.messages}}")
    assert [request["system"] for request in notebook.server.requests] == ["Be brief.", "Rhyme."]
    assert [len(request["messages"]) for request in notebook.server.requests] == [3, 3]


def test_earlier_turns_that_the_api_refuses_cost_their_row_only(notebook: Notebook) -> None:
    good = [{"role": "user", "content": "Hi"}]
    marked = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    much = [{"role": "user", "content": [marked] * 5}]
    bad = [TURNS, [{"role": "bot", "content": "x"}], much, [{"role": "user", "content": " "}], [*good, "text"], []]
    notebook.shell.user_ns["rows"] = [{"messages": each} for each in [good, *bad]]
    result = notebook.map("rows --concurrency 1", "{{row.messages}}")
    assert len(notebook.server.requests) == 1 and result["reply"].notna().sum() == 1
    assert all("\n" not in why for why in result["error"][1:])
    assert "ends with the assistant's message" in result["error"][1] and "'bot'" in result["error"][2]
    notebook.shell.user_ns["rows"] = [{"messages": each} for each in bad]
    with pytest.raises(PromptError, match="No row can be asked"):
        notebook.map("rows --concurrency 1", "{{row.messages}}")
    assert len(notebook.server.requests) == 1


def test_the_first_request_and_the_budget_count_pictures_and_turns(
    notebook: Notebook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.shell.user_ns["rows"] = [{"messages": [*TURNS], "path": each} for each in pictures(tmp_path, 2)]
    notebook.shell.run_cell_magic("claude_map", "rows --show-request", "{{row.messages}} {{row.path}} What is it?")
    shown = json.loads(capsys.readouterr().out)
    assert [each["role"] for each in shown["messages"]] == ["user", "assistant", "user"]
    assert len(sent_pictures(shown)) == 1 and notebook.server.requests == []
    Image.new("RGB", (1400, 1400)).save(tmp_path / "large.png")
    notebook.shell.user_ns["large"] = [tmp_path / "large.png"]
    with pytest.raises(UsageError, match="budget"):
        notebook.map("large --budget 0.0001", "Describe {{item}}")
    assert notebook.server.requests == []
