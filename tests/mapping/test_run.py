"""A map as a whole: each row is answered once or with its error, whatever goes wrong, and the record says how."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from claude_magic.conversation.record import DamagedRecord, record_of
from claude_magic.conversation.turns import Call
from claude_magic.cost import pricing
from claude_magic.errors import ReplyInterrupted, UsageError
from claude_magic.mapping import run
from claude_magic.notebook import reader as notebooks
from claude_magic.offline import Draft, Fault
from claude_magic.render import cost_report
from support.kernel import Page
from support.offline_requests import prompt_of
from support.shell import OfflineShell as Notebook

MODEL = "claude-haiku-5-5"


# What can go wrong


def test_a_bad_row_costs_no_other(notebook: Notebook) -> None:
    def script(body: dict[str, Any]) -> Any:
        if "refuse" in prompt_of(body):
            return Draft([], "refusal", {"type": "refusal", "category": "cyber", "explanation": "no"})
        return Draft([{"type": "text", "text": "half"}], "max_tokens") if "long" in prompt_of(body) else None

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
    assert [prompt_of(body) for body in notebook.server.requests] == ["Say b"]
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
def test_an_interrupt_keeps_what_is_done(notebook: Notebook) -> None:
    def script(body: dict[str, Any]) -> Any:
        if "Say 30" in prompt_of(body):
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


# `--schema`


@dataclass
class Mood:
    feeling: str
    score: int


def test_a_schema_makes_a_column_of_each_field_and_an_error_of_what_does_not_fit(notebook: Notebook) -> None:
    notebook.shell.user_ns["Mood"] = Mood

    def script(body: dict[str, Any]) -> Any:
        assert body["output_config"]["format"]["type"] == "json_schema"
        said = {"feeling": "glad", "score": 7} if "good" in prompt_of(body) else {"feeling": "sad", "score": "much"}
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
        said = prompt_of(body)
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
