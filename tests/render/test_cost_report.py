"""What `%claude_cost` shows, draws and binds: from turns, and in a real kernel against the stand-in."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pandas
import polars
import pytest

from benchmarks import money
from claude_magic.conversation.map_run import MAPPED, Mapped
from claude_magic.conversation.turns import Call, Turn
from claude_magic.cost import ledger, pricing
from claude_magic.render import cost_chart, cost_report
from support.kernel import Kernel, plain
from support.turns import text, turn_of

STARTED = 1_795_000_000.0


def asked(id: str, cell: str | None = None, *, usage: dict[str, Any] | None = None, **changes: Any) -> Turn:
    """A turn of one call; `changes` are fields of the call, or else of the turn."""
    used = usage or {"input_tokens": 1_000, "output_tokens": 100}
    of_call = {"model": "claude-opus-5-5", "stop_reason": "end_turn", "started": STARTED, "request_id": f"req_{id}"}
    of_call |= {name: changes.pop(name) for name in list(changes) if name in Call.__dataclass_fields__}
    return turn_of(id, cell, calls=(Call(usage=used, **of_call),), **changes)


def rows_of(*standing: Turn, elsewhere: tuple[Turn, ...] = ()) -> list[list[str]]:
    """The cells of the table's rows, as text alone."""
    html = cost_report.session_table(ledger.entries(standing, elsewhere))["text/html"]
    body = html.partition("<tbody>")[2]
    return [
        [cell.partition(">")[2].partition("</td")[0] for cell in row.split("<td")[1:]] for row in body.split("<tr>")[1:]
    ]


def test_a_cell_has_a_row_with_its_number_prompt_tokens_and_dollars() -> None:
    usage = {
        "input_tokens": 1_000,
        "cache_read_input_tokens": 2_000,
        "cache_creation_input_tokens": 3_000,
        "output_tokens": 400,
    }
    first, *_ = rows_of(asked("a", "c1", usage=usage, execution_count=7))
    assert first == ["[7]", "question a", "claude-opus-5-5", "6,000", "2,000", "3,000", "400", "$0.0274", ""]


def test_the_maps_that_another_kernel_ran_are_a_row_and_in_the_total() -> None:
    entries = ledger.entries([asked("a", "c1")])
    maps = [Mapped("m", "claude-haiku-5-5", "anthropic", STARTED, 3, calls=3, input_tokens=10, dollars="0.25")]
    maps += [dataclasses.replace(maps[0], id="n", at_least=True)]
    text = cost_report.session_table(entries, maps=maps)["text/plain"]
    row, total = (next(line for line in text.splitlines() if word in line) for word in ("earlier kernel", "total"))
    assert "claude-haiku-5-5" in row and "≥$0.5000" in row and "20" in row
    assert (
        "2 models" in total and f"≥{pricing.Cost(pricing.turn_cost(entries[0].turn).dollars + Decimal('0.5'))}" in total
    )


def test_turns_of_one_cell_are_one_row_and_those_of_all_chats_are_there() -> None:
    rows = rows_of(asked("a", "c1"), asked("b", "c1"), asked("c", "c2", chat="other"), asked("d"), asked("e"))
    assert [row[1] for row in rows] == [
        "question a (and 1 more)",
        "question c",
        "question d",
        "question e",
        "all of claude-opus-5-5",
        "total",
    ]
    assert rows[0][3] == "2,000" and rows[1][-1] == "" and rows[-1][3] == "5,000"


def test_the_chat_of_a_cell_is_told_where_it_is_not_the_main_one() -> None:
    row, *_ = rows_of(asked("c", "c2", chat="other", execution_count=3))
    assert row[-1] == "chat other"


def test_what_stands_in_no_cell_is_told_by_why_and_counts_in_the_total() -> None:
    failed = asked("f", status="interrupted", stop_reason=None, messages=({"role": "user", "content": "x"},))
    rows = rows_of(asked("a"), elsewhere=(asked("b", once=True), failed, asked("r"), asked("s")))
    told = {row[1]: row[-2] for row in rows}
    assert told["(asked once)"] == "$0.0060" and told["(failed)"] == "≥$0.0060"
    assert told["(replaced, deleted or reset)"] == "$0.0120" and told["total"] == "≥$0.0300"


def test_the_other_models_of_a_comparison_are_told_from_what_was_replaced() -> None:
    own, other = asked("a", "c", execution_count=7), asked("b", "c", execution_count=7, model="claude-haiku-5-5")
    rows = rows_of(own, elsewhere=(other, asked("r", "c", execution_count=3)))
    told = {row[1]: (row[2], row[-2]) for row in rows}
    assert told["(other models of comparisons)"] == ("claude-haiku-5-5", str(pricing.turn_cost(other)))
    assert told["(replaced, deleted or reset)"] == ("claude-opus-5-5", "$0.0060")


def test_a_model_has_a_row_and_one_without_a_price_makes_the_total_unknown() -> None:
    told = {row[1]: row[-2] for row in rows_of(asked("a"), asked("b", model="who-knows"))}
    assert told["all of claude-opus-5-5"] == "$0.0060" and told["all of who-knows"] == told["total"] == "n/a"


def test_a_reply_that_went_on_counts_its_first_half_once() -> None:
    """`%claude_continue` makes a turn of both calls; the one that was cut off is in the session's ledger, too."""
    cut = asked("cut", "c1", stop_reason="max_tokens")
    more = asked("more", "c1").calls
    whole = dataclasses.replace(cut, id="whole", calls=(*cut.calls, *more))
    assert rows_of(whole, elsewhere=(cut,))[-1][-2] == "$0.0120"


def test_a_replay_is_marked_and_costs_nothing_and_what_it_replays_still_counts() -> None:
    paid = asked("a", "c1")
    again = dataclasses.replace(paid, id="b", calls=(dataclasses.replace(paid.calls[0], replayed=True),))
    first, *_, total = rows_of(again, elsewhere=(paid,))
    assert first[-2:] == ["$0.00", "replayed"] and total[-2:] == ["$0.0060", "1 replayed"]


def test_the_stand_in_is_labelled_in_the_table_and_in_the_chart() -> None:
    entries = ledger.entries([asked("a", provider="offline")])
    shown = cost_report.session_table(entries)
    title, _ = cost_report.session_bars(entries)
    assert all("offline stand-in, not Claude" in told for told in (shown["text/plain"], shown["text/html"], title))


@pytest.mark.parametrize(
    ("read", "written", "label", "dollars"),
    [
        (100_000, 0, "caching saved", "$0.3800"),  # 100,000 at 4 - 0.2
        (0, 100_000, "caching cost", "$0.1000"),  # 100,000 at 5 - 4
        (100_000, 100_000, "caching saved", "$0.2800"),
    ],
)
def test_what_caching_saved_is_told_and_what_it_cost_where_it_did(
    read: int, written: int, label: str, dollars: str
) -> None:
    usage = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written, "output_tokens": 1}
    *_, total, cache = rows_of(asked("a", usage=usage))
    assert total[1] == "total" and cache[1] == label and cache[-2] == dollars


def test_without_caching_there_is_no_word_of_it_and_without_a_price_no_figure() -> None:
    assert rows_of(asked("a"))[-1][1] == "total"
    usage = {"cache_read_input_tokens": 5}
    assert rows_of(asked("a", usage=usage, model="who-knows"))[-1][-2] == "n/a"


def test_a_long_session_has_few_rows_that_lose_nothing() -> None:
    turns = [asked(str(number), f"c{number}") for number in range(cost_report.MAX_CELL_ROWS + 50)]
    rows = rows_of(*turns)
    assert rows[0][1] == "(50 earlier cells)" and rows[0][3] == "50,000"
    assert len(rows) == cost_report.MAX_CELL_ROWS + 3 and rows[-1][3] == "150,000"


def test_the_bars_of_a_session_are_its_cells_and_add_up_to_what_they_cost() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 2_000,
        "cache_creation_input_tokens": 300,
        "output_tokens": 77,
        "output_tokens_details": {"thinking_tokens": 30},
        "server_tool_use": {"web_search_requests": 2},
    }
    turns = [asked("a", "c1", usage=usage, execution_count=4), asked("b", "c1"), asked("c"), asked("d", model="who")]
    _, bars = cost_report.session_bars(ledger.entries(turns, [asked("e", once=True)]))
    assert [bar.label for bar in bars] == ["[4]", "question c", "question d", "(asked once)"]
    assert bars[0].total == pricing.total(map(pricing.turn_cost, turns[:2])).dollars
    assert bars[0].tokens == {
        "input": 1_010,
        "cached": 2_000,
        "written": 300,
        "thinking": 30,
        "output": 147,
        "searches": 2,
    }
    assert bars[2].dollars is None


def test_the_bars_and_their_running_sum_follow_time_and_not_the_table() -> None:
    def at(number: int, id: str, dollars: int, **changes: Any) -> Turn:
        usage = {"input_tokens": 250_000 * dollars, "output_tokens": 0}
        return asked(id, f"c{id}", usage=usage, started=STARTED + number, execution_count=number, **changes)

    standing = (at(4, "d", 1), at(1, "a", 2), at(3, "c", 4, chat="other"))
    _, bars = cost_report.session_bars(ledger.entries(standing, [at(2, "b", 8, once=True), at(5, "e", 16)]))
    assert [(bar.label, bar.total) for bar in bars] == [
        ("[1]", 2),
        ("[2] (asked once)", 8),
        ("[3]", 4),
        ("[4]", 1),
        ("[5] (replaced, deleted or reset)", 16),
    ]
    html = cost_chart.bundle("Cost", bars)["text/html"].partition("By kind")[0]
    assert re.findall(r"(\$[\d.]+)</td></tr>", html) == ["$2.00", "$10.00", "$14.00", "$15.00", "$31.00"]


def test_each_bar_has_its_cell_or_says_what_it_is() -> None:
    replayed = dataclasses.replace(asked("p", "cp", execution_count=2), calls=(Call("m", started=0, replayed=True),))
    cut = asked("x", status="interrupted", stop_reason=None, messages=({"role": "user", "content": "x"},))
    mapped = asked("m", execution_count=5, once=True, notes=(MAPPED,), prompt=[text("(mapped over data: owls)")])
    elsewhere = (
        asked("w", params={"max_tokens": 0}, execution_count=4),
        mapped,
        dataclasses.replace(cut, execution_count=6),
        asked("o", once=True),
        asked("b", "c7", model="who-knows", execution_count=7),  # beside [7]: a comparison's
        asked("l", "c7", execution_count=3),
        asked("r", "c7", execution_count=7, chat="reset"),
    )
    _, bars = cost_report.session_bars(ledger.entries([replayed, asked("a", "c7", execution_count=7)], elsewhere))
    assert [bar.label for bar in bars] == [
        "[2] (replayed)",
        "[7]",
        "[4] (the cache, filled ahead)",
        "[5] (mapped over data: owls)",
        "[6] (failed)",
        "(asked once)",
        "[7] (who-knows, compared)",
        "[3] (replaced, deleted or reset)",
        "[7] (replaced, deleted or reset)",
    ]
    assert all(
        re.search(r"\w", label) for label in [cost_report.session_bars([each])[1][0].label for each in nameless()]
    )


def nameless() -> list[ledger.Entry]:
    """A turn of no known cell, whose prompt has no words."""
    turn = asked("n", prompt=[text(" ")])
    return [ledger.Entry(turn, turn.calls[0])]


def test_runs_of_one_cell_that_were_replaced_have_bars_of_their_own() -> None:
    runs = [asked(str(n), "c1", started=STARTED + n, execution_count=n) for n in (1, 2, 3)]
    _, bars = cost_report.session_bars(ledger.entries([runs[2]], runs[:2]))
    assert [bar.label[:3] for bar in bars] == ["[1]", "[2]", "[3]"] and bars[2].label == "[3]"


def test_the_ledger_has_a_row_a_call_with_all_digits() -> None:
    usage = {"input_tokens": 1, "cache_read_input_tokens": 1, "output_tokens": 3}
    turn = asked("a", "c1", usage=usage, execution_count=5, seconds=1.5, chat="other")
    twice = dataclasses.replace(turn, calls=(*turn.calls, *asked("b", model="who").calls))
    first, second = (ledger.row(each) for each in ledger.entries([twice]))
    assert tuple(first) == tuple(ledger.COLUMNS)
    assert first["exact_dollars"] == Decimal("0.0000642") and first["dollars"] == pytest.approx(0.0000642)
    told = [first[name] for name in ("cell", "chat", "seconds", "stop_reason", "replayed", "standing", "lower_bound")]
    assert told == [5, "other", 1.5, "end_turn", False, "stands", False]
    assert first["started"].timestamp() == STARTED and first["input_tokens"] == first["cached_tokens"] == 1
    assert second["exact_dollars"] is None and second["dollars"] is None


@pytest.mark.parametrize("count", [0, 3])
def test_the_ledger_is_a_frame_of_pandas_with_types_that_do_not_depend_on_its_rows(count: int) -> None:
    turns = [asked(str(n), model="who" if n else "claude-opus-5-5", stop_reason=None) for n in range(count)]
    frame, kind = ledger.frame([ledger.row(each) for each in ledger.entries(turns)])
    assert isinstance(frame, pandas.DataFrame) and kind == "a pandas DataFrame" and len(frame) == count
    assert frame["cell"].dtype == "Int64" and frame["dollars"].dtype == "float64" and frame["replayed"].dtype == bool
    assert frame["started"].dt.tz is not None and frame["input_tokens"].sum() == 1_000 * count
    assert frame["dollars"].sum() == pytest.approx(0.006 if count else 0)


def test_without_pandas_it_is_a_frame_of_polars_and_without_both_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [ledger.row(each) for each in ledger.entries([asked("a"), asked("b", model="who")])]
    monkeypatch.setitem(sys.modules, "pandas", None)
    frame, kind = ledger.frame(rows)
    assert isinstance(frame, polars.DataFrame) and kind == "a polars DataFrame"
    assert frame["exact_dollars"].to_list() == [Decimal("0.006"), None] and frame["cell"].dtype == polars.Int64
    monkeypatch.setitem(sys.modules, "polars", None)
    assert ledger.frame(rows) == (rows, "a list of dicts")


def test_strange_names_from_a_strangers_notebook_stay_data() -> None:
    strange = "<script>\ud800\x1b[2J"
    entries = ledger.entries([asked("a", model=strange, chat=strange, stop_reason=strange)])
    shown = cost_report.session_table(entries)
    assert "<script" not in shown["text/html"] and "\x1b" not in "".join(shown.values())
    frame, _ = ledger.frame([ledger.row(each) for each in entries])
    assert str(frame["model"][0]).encode()


@pytest.fixture
def notebook(kernel: Kernel) -> Iterator[Kernel]:
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    kernel.run("%claude_reset")
    yield kernel


def test_costs_add_up_and_what_was_replaced_still_counts(notebook: Kernel) -> None:
    for cell in ("a", "b", "a"):
        notebook.run("%%claude\none", cell)
    table, picture = notebook.run("%claude_cost").shown("text/plain")
    assert "replaced" in table and "total" in table and "claude-opus-5-5" in table
    assert "Running sum: $" in picture and "offline stand-in" in picture


def test_the_chart_is_html_beside_its_text_and_can_be_left_out(notebook: Kernel) -> None:
    notebook.run("%%claude\none", "a")
    run = notebook.run("%claude_cost")
    table, bars = run.shown("text/html")
    assert "Cost of this session" in table and "Cost per cell" in bars and "background: #" in bars
    assert len(run.shown("text/plain")) == 2 and not run.shown("image/png")
    assert len(notebook.run("%claude_cost --no-chart").shown("text/html")) == 1


def test_out_binds_the_ledger_and_says_what_it_is(notebook: Kernel) -> None:
    notebook.run("%%claude\none", "a")
    run = notebook.run("%claude_cost --out spent --no-chart")
    rows = notebook.evaluate("len(spent)")
    assert run.text == f"spent is a pandas DataFrame, a row a call: {rows}.\n" and rows >= 1
    assert notebook.evaluate("sorted(set(spent.provider))") == ["offline"]


@pytest.mark.parametrize(
    ("line", "says"),
    [("all", "does not take all"), ("--out", "--out wants"), ("--out 1x", "--out wants"), ("--out In", "--out wants")],
)
def test_what_it_does_not_take_is_one_clear_line(notebook: Kernel, line: str, says: str) -> None:
    run = notebook.run(f"%claude_cost {line}")
    assert run.error is not None and says in plain(run.error["traceback"])
    assert len(plain(run.error["traceback"]).splitlines()) <= 2


@pytest.mark.slow
def test_a_long_conversation_over_a_pinned_document_costs_at_most_12_percent_of_what_it_would_uncached() -> None:
    model, limit = next(iter(money.MODELS.items()))
    cached, uncached = (money.conversation_cost(model, caching=caching) for caching in (True, False))
    assert limit is not None and 0 < cached / uncached <= limit
    assert uncached >= 50 * money.DOCUMENT_TOKENS * Decimal("0.000004")  # every turn pays for the document
