"""Maps by Message Batches: submitted and picked up once, whatever the network does; and the stand-in's batches."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from claude_magic import offline
from claude_magic.conversation.map_run import Mapped
from claude_magic.conversation.record import record_of
from claude_magic.cost import pricing
from claude_magic.errors import ClaudeError, InvalidRequestError, ReplyInterrupted, UsageError
from claude_magic.mapping import batch_pickup, batches, run
from claude_magic.notebook import reader as notebooks
from claude_magic.offline import Draft, Fault
from claude_magic.offline.batches import EXPIRES_SECONDS, MAX_BATCH_BYTES
from claude_magic.offline.faults import Rejected
from support.offline_requests import connect
from support.shell import OfflineShell

MODEL = "claude-haiku-5-5"


class Notebook(OfflineShell):
    """A shell with the extension, and the batches of the stand-in that it asks."""

    def map(self, line: str, prompt: str = "Say {{item}}") -> Any:
        return super().map(f"{line} --model haiku", prompt)

    def look(self, line: str) -> None:
        self.shell.run_line_magic("claude_map", line)

    @property
    def submitted(self) -> Counter[str]:
        """How often each request was taken in, by its key."""
        every = (each["custom_id"] for batch in self.server.batches.all.values() for each in batch.requests)
        return Counter(name.rpartition("-")[2] for name in every)


@pytest.fixture(scope="module")
def loaded() -> Notebook:
    return Notebook()


@pytest.fixture
def notebook(notebook: Notebook, quick_batches: None) -> Notebook:
    return notebook


@pytest.mark.slow
def test_a_batch_answers_all_rows_at_half_the_price(notebook: Notebook) -> None:
    by_batch = notebook.map("['a', 'b', 'a'] --batch")
    assert list(by_batch["reply"]) == ["re: Say a", "re: Say b", "re: Say a"]
    assert notebook.server.requests == [] and len(notebook.server.batches.all) == 1
    one_by_one = notebook.map("['a', 'b', 'a'] --fresh")
    assert float(by_batch["cost"].sum()) == pytest.approx(float(one_by_one["cost"].sum()) / 2)
    batch_cost, cost = (pricing.turn_cost(turn).dollars for turn in notebook.kernel.session.spent)
    assert batch_cost is not None and cost is not None and 2 * batch_cost == cost


def test_more_than_a_batch_holds_is_split(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_REQUESTS", 4)
    result = notebook.map("list(range(10)) --batch")
    assert [len(batch.requests) for batch in notebook.server.batches.all.values()] == [4, 4, 2]
    assert result["error"].isna().all()
    monkeypatch.setattr(batches, "MAX_BYTES", 700)
    notebook.map("list(range(10)) --batch --fresh")
    assert len(notebook.server.batches.all) > 6


def test_a_request_that_is_refused_costs_no_other(notebook: Notebook) -> None:
    def script(body: dict[str, Any]) -> Any:
        said = body["messages"][-1]["content"][0]["text"]
        if "wrong" in said:
            raise Rejected("prompt is too long")
        return Draft([], "refusal") if "refuse" in said else None

    notebook.server.script = script
    result = notebook.map("['fine', 'refuse', 'wrong'] --batch")
    assert list(result["error"].fillna("")) == ["", "refused", "prompt is too long"]


def test_cancelling_keeps_what_was_done_and_the_cell_asks_only_the_rest(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    its_batches = notebook.server.batches
    its_batches.clock, its_batches.seconds = lambda: now, 100
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted, match="waiting was interrupted") as raised:
        notebook.map("list(range(10)) --batch")
    assert "The batch goes on" in raised.value.advice
    now += 50
    capsys.readouterr()
    notebook.look("--status")
    assert "in progress, 10 processing" in capsys.readouterr().out
    notebook.look("--cancel")
    notebook.look("--resume")
    assert "5 of 10 rows answered" in capsys.readouterr().out
    its_batches.seconds = 0
    result = notebook.map("list(range(10)) --batch")
    assert result["error"].isna().all()
    assert sorted(Counter(notebook.submitted.values()).items()) == [(1, 5), (2, 5)]
    notebook.look("--resume")
    assert "No batch of this notebook is under way" in capsys.readouterr().out


def stop_when_submitted(notebook: Notebook) -> None:
    """Press Interrupt once a batch has been taken in."""
    create = notebook.server.batches.create

    def interrupting(*args: Any) -> Any:
        made = create(*args)
        del notebook.server.batches.create  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGINT)
        return made

    notebook.server.batches.create = interrupting  # type: ignore[method-assign]


def test_a_batch_that_expires_says_so_and_its_rows_are_asked_again(notebook: Notebook) -> None:
    now = time.time()
    its_batches = notebook.server.batches
    its_batches.clock, its_batches.seconds = lambda: now, 4 * EXPIRES_SECONDS
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("list(range(8)) --batch")
    now += EXPIRES_SECONDS
    result = notebook.map("list(range(8)) --batch")
    assert list(result["error"].isna()) == [True] * 2 + [False] * 6
    assert "expired after 24 hours" in result["error"][7]
    its_batches.seconds = 0
    assert notebook.map("list(range(8)) --batch")["error"].isna().all()


def test_rows_in_a_batch_under_way_are_not_asked_one_by_one(notebook: Notebook) -> None:
    notebook.server.batches.seconds = 1e6
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("['a'] --batch")
    with pytest.raises(UsageError, match="would be paid for twice"):
        notebook.map("['a', 'b']")
    assert notebook.server.requests == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cut", "close"])
def test_a_submission_that_nobody_confirmed_is_looked_for_and_never_made_twice(notebook: Notebook, kind: Any) -> None:
    notebook.server.batch_faults.append(Fault(kind))
    result = notebook.map("['a', 'b'] --batch")
    assert result["error"].isna().all()
    assert set(notebook.submitted.values()) == {1}


@pytest.mark.parametrize("status", [500, 504, 529])
@pytest.mark.parametrize("seconds", [0.0, 0.25])
@pytest.mark.slow
def test_a_submission_that_failed_after_the_server_had_it_is_looked_for(
    notebook: Notebook, status: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = notebook.server.batches.create
    notebook.server.batches.seconds = seconds  # it is still under way when it is looked for

    def failing(*args: Any) -> Any:
        create(*args)
        del notebook.server.batches.create  # type: ignore[attr-defined]
        raise Rejected("failed", status=status)

    notebook.server.batches.create = failing  # type: ignore[method-assign]
    assert list(notebook.map("['a', 'b'] --batch")["reply"]) == ["re: Say a", "re: Say b"]
    assert set(notebook.submitted.values()) == {1}


@pytest.mark.slow
def test_somebody_elses_batch_of_the_same_size_is_not_taken_for_ours(notebook: Notebook) -> None:
    params = {
        "model": MODEL,
        "max_tokens": 10,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "other"}]}],
    }
    other = {"requests": [{"custom_id": name, "params": params} for name in ("x", "y")]}
    notebook.server.batches.create(other, "offline", "")
    notebook.server.batch_faults.append(Fault("close"))
    result = notebook.map("['a', 'b'] --batch")
    assert list(result["reply"]) == ["re: Say a", "re: Say b"]


def test_a_refused_submission_is_told_and_leaves_nothing_behind(notebook: Notebook) -> None:
    notebook.server.batch_faults.append(Fault("status", status=400, message="no"))
    with pytest.raises(InvalidRequestError):
        notebook.map("['a'] --batch")
    assert notebook.map("['a'] --batch")["error"].isna().all()


def test_a_workspace_that_takes_no_batches_is_told_what_to_do_instead(notebook: Notebook) -> None:
    details = {"error_code": "workspace_human_review_disabled"}
    said = "Human Review is turned off."
    notebook.server.batch_faults.append(Fault("status", status=400, message=said, details=details))
    with pytest.raises(InvalidRequestError, match=said) as refused:
        notebook.map("['a'] --batch")
    assert "Leave out --batch" in refused.value.advice and "Human Review" in refused.value.advice


@pytest.mark.parametrize("again", ["--resume", "the cell"])
def test_batches_of_a_notebook_from_another_machine_are_picked_up_by_their_ids(
    again: str, notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published: list[dict[str, Any]] = []
    monkeypatch.setattr(type(notebook.shell), "kernel", object(), raising=False)
    monkeypatch.setattr(
        notebook.shell.display_pub, "publish", lambda data, metadata=None, **_: published.append(metadata or {})
    )
    notebook.server.batches.seconds = 1e6
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("['a', 'b'] --batch")
    notebook.server.batches.seconds = 0.0
    (record,) = {json.dumps(each["claude_magic"]["map"]["batches"]) for each in published if each}
    run = record_of(next(each["claude_magic"] for each in published if each)).mapped
    assert run is not None and list(run.batches) == json.loads(record) == list(notebook.server.batches.all)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.delattr(type(notebook.shell), "kernel")
    here = tmp_path / "n.ipynb"
    here.write_text("{}")
    monkeypatch.setattr(notebooks, "read", lambda path: notebooks.Saved(mapped=((1, run),)))
    monkeypatch.setattr(type(notebook.kernel.notebooks), "find", lambda *_: here)
    with pytest.raises(UsageError, match="may hold these rows"):
        notebook.map("['a', 'b']")
    if again == "--resume":
        notebook.look("--resume")
        assert "2 of 2 rows answered" in capsys.readouterr().out
    assert notebook.map("['a', 'b', 'c'] --batch")["error"].isna().all()
    assert set(notebook.submitted.values()) == {1}
    assert [len(batch.requests) for batch in notebook.server.batches.all.values()] == [2, 1]
    calls = [call for turn in notebook.kernel.session.spent for call in turn.calls]
    assert len(calls) == 3, "what an answer cost is in the ledger once"


def test_another_cells_batch_is_not_waited_for_and_stays_to_be_picked_up(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.server.batches.seconds = 1e6
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("['a'] --batch", "Another question: {{item}}")
    (batch,) = notebook.server.batches.all
    notebook.server.batches.seconds = 0.0
    run = Mapped("r", MODEL, "offline", time.time(), 1, batches=(batch,), about="0" * 16)
    old = Mapped("o", MODEL, "offline", time.time() - 30 * 86_400, 1, batches=("msgbatch_old",))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "elsewhere"))
    here = tmp_path / "n.ipynb"
    here.write_text("{}")
    monkeypatch.setattr(notebooks, "read", lambda path: notebooks.Saved(mapped=((1, run), (2, old))))
    monkeypatch.setattr(type(notebook.kernel.notebooks), "find", lambda *_: here)
    looked: list[str] = []
    monkeypatch.setattr(
        type(notebook.server.batches),
        "find",
        spied(type(notebook.server.batches).find, notebook.server.batches, looked),
    )
    notebook.map("['a'] --batch")
    assert batch not in looked
    capsys.readouterr()
    notebook.look("--resume")
    assert f"{batch}: 1 of 1 rows answered" in capsys.readouterr().out
    assert "msgbatch_old" not in looked


def test_a_provider_without_batches_says_so_before_anything_is_sent(notebook: Notebook) -> None:
    notebook.configuration.provider = "bedrock"
    try:
        with pytest.raises(UsageError, match="takes no batches"):
            notebook.map("['a'] --batch")
    finally:
        notebook.configuration.provider = "offline"


# What can go wrong while one waits


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        [Fault("close")] * 6,
        [Fault("status", status=status) for status in (429, 500, 503, 529, 429, 500)],
        [None, Fault("close"), Fault("status", status=529), Fault("close")],
        [None, Fault("cut"), Fault("cut")],
    ],
    ids=["no network", "refusals", "at the results", "broken off"],
)
def test_waiting_goes_on_whatever_the_network_does(notebook: Notebook, faults: list[Fault | None]) -> None:
    notebook.server.look_faults.extend(faults)
    assert list(notebook.map("['a', 'b', 'c'] --batch")["reply"]) == ["re: Say a", "re: Say b", "re: Say c"]
    assert not notebook.server.look_faults and set(notebook.submitted.values()) == {1}


def test_waiting_over_a_lost_network_can_be_stopped(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.server.look_faults.extend([Fault("close")] * 1_000)
    monkeypatch.setattr(batch_pickup, "POLL_SECONDS", 1e6)
    monkeypatch.setattr(batch_pickup, "SLOWEST_POLL_SECONDS", 1e6)
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted, match="waiting was interrupted"):
        notebook.map("['a'] --batch")


def with_lines(notebook: Notebook, change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = type(notebook.server.batches).lines
    monkeypatch.setattr(notebook.server.batches, "lines", lambda batch: change(list(lines(batch))), raising=False)


@pytest.mark.parametrize(
    "strange",
    [b"{garbage\n", b"[1]\n", b'"x"\n', b'{"custom_id": "unknown", "result": {"type": "succeeded"}}\n', b"\n", b"{}\n"],
)
def test_a_strange_line_in_the_results_costs_no_row(
    notebook: Notebook, strange: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_lines(notebook, lambda lines: [lines[1], strange, lines[0], lines[0]], monkeypatch)
    assert list(notebook.map("['a', 'b'] --batch")["reply"]) == ["re: Say a", "re: Say b"]


ODD: list[Any] = [
    {"type": "succeeded"},
    {"type": "succeeded", "message": None},
    {"type": "succeeded", "message": {"content": 7}},
    {"type": "succeeded", "message": {"content": [[1]], "usage": [], "model": 5}},
    {"type": ["succeeded"]},
    7,
    None,
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_result_costs_its_own_row_only_which_is_asked_again(
    notebook: Notebook, odd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(lines: list[bytes]) -> list[bytes]:
        name = json.loads(lines[0])["custom_id"]
        return [json.dumps({"custom_id": name, "result": odd}).encode() + b"\n", *lines[1:]]

    with monkeypatch.context() as patched:
        with_lines(notebook, spoilt, patched)
        errors = notebook.map("['a', 'b', 'c'] --batch")["error"]
    assert errors.isna().sum() == 2
    assert notebook.map("['a', 'b', 'c'] --batch")["error"].isna().all()
    assert sorted(notebook.submitted.values()) == [1, 1, 2]


def test_a_line_in_place_of_a_result_costs_one_row_and_other_line_breaks_than_a_line_feed_none(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(lines: list[bytes]) -> list[bytes]:
        answered = lines[1].replace(b"re: Say", "re:\u2028\x85\u2029Say".encode())
        return [b'{"custom_id": "garb\xffage\n', b"\n", answered, *lines[2:]]

    with monkeypatch.context() as patched:
        with_lines(notebook, spoilt, patched)
        result = notebook.map("['a', 'b', 'c'] --batch")
    assert list(result["error"].isna()).count(True) == 2 and "no readable line" in result["error"].dropna().iloc[0]
    assert any("\u2028" in reply for reply in result["reply"].dropna())
    assert notebook.map("['a', 'b', 'c'] --batch")["error"].isna().all()
    assert sorted(notebook.submitted.values()) == [1, 1, 2]


@pytest.mark.slow
def test_results_that_have_not_come_leave_the_batch_open_and_are_read_again_and_not_asked_anew(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readings = iter([1, 1, 2])
    with_lines(notebook, lambda lines: lines[: next(readings)], monkeypatch)
    assert notebook.map("['a', 'b'] --batch")["error"].isna().all()
    with monkeypatch.context() as patched:
        with_lines(notebook, lambda lines: lines[:1], patched)
        errors = notebook.map("['c', 'd'] --batch")["error"]
        assert "no line for this row yet" in errors[0] and errors.isna()[1]
        assert "1 result has not come yet. The batch stays open" in capsys.readouterr().out
        notebook.look("--resume")
        assert "1 of 2 rows answered; 1 result not come yet" in capsys.readouterr().out
    with_lines(notebook, lambda lines: lines, monkeypatch)
    assert list(notebook.map("['c', 'd'] --batch")["error"].isna()) == [True, True]
    assert set(notebook.submitted.values()) == {1}
    calls = [call for turn in notebook.kernel.session.spent for call in turn.calls]
    assert len(calls) == 4, "what an answer cost is in the ledger once"


@pytest.mark.slow
def test_results_that_never_come_can_be_given_up(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patched:
        with_lines(notebook, lambda lines: [], patched)
        notebook.map("['c', 'd'] --batch")
        notebook.look("--cancel")
    assert "the results that have not come are given up" in capsys.readouterr().out
    assert notebook.map("['c', 'd']")["error"].isna().all()


@pytest.mark.parametrize("kind", ["api_error", "overloaded_error", "rate_limit_error", "timeout_error", "new_error"])
def test_each_kind_of_error_is_one_rows_error_and_asked_again(
    notebook: Notebook, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(lines: list[bytes]) -> list[bytes]:
        one = json.loads(lines[0])
        error = {"type": "error", "error": {"type": kind, "message": f"it is {kind}"}}
        return [json.dumps({**one, "result": {"type": "errored", "error": error}}).encode() + b"\n", *lines[1:]]

    with monkeypatch.context() as patched:
        with_lines(notebook, spoilt, patched)
        assert list(notebook.map("['a', 'b'] --batch")["error"].fillna("")) == ["", f"it is {kind}"]
    assert notebook.map("['a', 'b'] --batch")["error"].isna().all()
    assert sorted(notebook.submitted.values()) == [1, 2]


def test_the_key_goes_to_no_other_host_whatever_the_results_url_says(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with offline.start() as other:
        described = type(notebook.server.batches).described

        def elsewhere(batch: Any, _: str) -> Any:
            return described(notebook.server.batches, batch, other.url)

        asked: list[str] = []
        monkeypatch.setattr(type(other.batches), "find", spied(type(other.batches).find, other.batches, asked))
        monkeypatch.setattr(notebook.server.batches, "described", elsewhere, raising=False)
        assert list(notebook.map("['a'] --batch")["reply"]) == ["re: Say a"]
        assert asked == []


def spied(find: Any, other: Any, asked: list[str]) -> Any:
    """What is asked of one of two servers."""

    def finding(self: Any, name: str, *rest: Any) -> Any:
        if self is other:
            asked.append(name)
        return find(self, name, *rest)

    return finding


def test_functions_are_said_to_be_left_out_and_a_token_keeps_a_batch_from_going_out(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_TOKEN", "hidden")
    monkeypatch.setattr(notebook.configuration, "mcp_tokens", {"mcp.example.com": "A_TOKEN"})
    with pytest.raises(UsageError, match="wants a token"):
        notebook.map("['a'] --batch --mcp https://mcp.example.com/x")
    assert not notebook.submitted
    monkeypatch.setattr(notebook.configuration, "tools", "look_up")
    notebook.map("['a'] --batch")
    assert "tools = look_up is left out" in capsys.readouterr().out


# The stand-in


def test_the_stand_in_takes_what_the_api_takes_and_nothing_else(standin: offline.Server) -> None:
    sdk = connect(standin)
    params = {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    made = sdk.messages.batches.create(requests=[{"custom_id": "one", "params": params}])  # type: ignore[typeddict-item]
    assert made.processing_status == "in_progress" and made.results_url is None
    ended = sdk.messages.batches.retrieve(made.id)
    assert ended.processing_status == "ended" and ended.request_counts.succeeded == 1
    (only,) = sdk.messages.batches.results(made.id)
    assert only.custom_id == "one" and only.result.type == "succeeded"
    assert only.result.message.usage.service_tier == "batch"
    assert [each.id for each in sdk.messages.batches.list(limit=1)] == [made.id]
    assert sdk.messages.batches.delete(made.id).type == "message_batch_deleted"
    wrong: list[Any] = [
        [],
        [{"custom_id": "a b", "params": params}],
        [{"custom_id": "a", "params": params}] * 2,
        [{"custom_id": "a", "params": params, "more": 1}],
    ]
    for requests in wrong:
        with pytest.raises(Exception, match="400"):
            sdk.messages.batches.create(requests=requests)
    with pytest.raises(Exception, match="404"):
        sdk.messages.batches.retrieve("msgbatch_other")
    assert MAX_BATCH_BYTES == 268_435_456


def test_a_request_that_cannot_be_streamed_in_a_batch_is_an_error_of_its_own(standin: offline.Server) -> None:
    sdk = connect(standin)
    params = {"model": MODEL, "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    made = sdk.messages.batches.create(requests=[{"custom_id": "one", "params": params}])  # type: ignore[typeddict-item]
    (only,) = sdk.messages.batches.results(made.id)
    assert only.result.type == "errored" and "stream" in only.result.error.error.message


def test_a_batch_that_is_not_found_is_asked_anew_only_when_it_was_given_up(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.server.batches.seconds = 1e6
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("['a'] --batch")
    notebook.server.batches.all.clear()
    for look in (lambda: notebook.map("['a'] --batch"), lambda: notebook.look("--resume")):
        with pytest.raises(ClaudeError, match="No message batch found") as raised:
            look()
        assert "another workspace" in raised.value.advice
    assert notebook.submitted == Counter()
    notebook.server.batches.__init__()  # type: ignore[misc]
    notebook.look("--status")
    notebook.look("--cancel")
    assert "--cancel forgets it" in (said := capsys.readouterr().out) and "it is forgotten" in said
    assert notebook.map("['a'] --batch")["error"].isna().all()


@pytest.mark.slow
def test_200_pictures_are_described_in_a_batch_each_by_its_own_request(notebook: Notebook, tmp_path: Path) -> None:
    paths = [tmp_path / f"{at}.png" for at in range(200)]
    for at, path in enumerate(paths):
        Image.new("RGB", (4, 4), (at, 0, 7)).save(path)
    notebook.server.script = lambda body: [{"type": "text", "text": _described(body)}]
    notebook.shell.user_ns["frame"] = pd.DataFrame({"path": [*paths, tmp_path / "none.png"]})
    result = notebook.map("frame --batch", "Describe {{row.path}}")
    assert list(result["reply"][:200]) == [_digest(path.read_bytes()) for path in paths]
    assert "does not exist" in result["error"][200] and result["error"][:200].isna().all()
    (batch,) = notebook.server.batches.all.values()
    assert len(batch.requests) == 200
    notebook.map("frame --batch", "Describe {{row.path}}")
    assert len(notebook.server.batches.all) == 1


def _described(body: dict[str, Any]) -> str:
    (picture,) = (each for each in body["messages"][-1]["content"] if each["type"] == "image")
    return _digest(base64.b64decode(picture["source"]["data"]))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_rows_of_a_batch_have_systems_and_earlier_turns_of_their_own(notebook: Notebook) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    last = {"role": "user", "content": "Go on"}
    notebook.shell.user_ns["rows"] = [
        {"messages": [last]},
        {"messages": [last], "system": "Be brief."},
        {"messages": [*turns, last]},
    ]
    result = notebook.map("rows --batch --nulls ask --system {{row.system}}", "{{row.messages}}")
    assert list(result["reply"]) == ["re: Go on"] * 3
    (batch,) = notebook.server.batches.all.values()
    sent = [each["params"] for each in batch.requests]
    assert [each.get("system") for each in sent] == [None, "Be brief.", None]
    assert [len(each["messages"]) for each in sent] == [1, 1, 3]


def pictures_of_which_one_vanishes(notebook: Notebook, folder: Path, count: int) -> None:
    """Bind `paths` to pictures, and `look`, which returns a path; the second is gone once all have been looked at."""
    notebook.server.script = lambda body: [{"type": "text", "text": _described(body)}]
    paths = [folder / f"{at}.png" for at in range(count)]
    for at, path in enumerate(paths):
        Image.new("RGB", (4, 4), (at, 0, 7)).save(path)
    looked: list[Path] = []

    def look(path: Path) -> Path:
        looked.append(path)
        if len(looked) > len(paths):
            paths[1].unlink(missing_ok=True)
        return path

    notebook.shell.user_ns.update(paths=paths, look=look)


def test_a_picture_that_is_gone_before_it_is_sent_stops_the_batch_and_another_run_sends_the_rest(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MAX_KEPT_BYTES", 0)  # the requests are built again when they are sent
    pictures_of_which_one_vanishes(notebook, tmp_path, 3)
    with pytest.raises(UsageError, match="does not exist"):
        notebook.map("paths --batch", "Describe {{look(item)}}")
    assert not notebook.server.batches.all
    result = notebook.map("paths --batch", "Describe {{look(item)}}")
    assert result["reply"].notna().tolist() == [True, False, True] and "does not exist" in result["error"][1]


def test_a_picture_that_is_gone_before_it_is_asked_costs_its_row_only(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "MAX_KEPT_BYTES", 0)
    pictures_of_which_one_vanishes(notebook, tmp_path, 2)
    result = notebook.map("paths", "Describe {{look(item)}}")
    assert result["reply"].notna().tolist() == [True, False] and result["error"].notna().tolist() == [False, True]
