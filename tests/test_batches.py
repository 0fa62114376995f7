"""Maps by Message Batches: submitted once and picked up once, whatever dies when; and the stand-in's own batches."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from exchange import connect
from IPython.core.interactiveshell import InteractiveShell

from claude_magic import notebook as notebooks
from claude_magic import offline, pricing, stored
from claude_magic.errors import ClaudeError, InvalidRequestError, ReplyInterrupted, UsageError
from claude_magic.mapping import batching
from claude_magic.mapping.results import Results
from claude_magic.offline import Draft, Fault
from claude_magic.offline.batches import EXPIRES_SECONDS, MAX_BATCH_BYTES
from claude_magic.offline.faults import Rejected

MODEL = "claude-haiku-5-5"


class Notebook:
    """A shell with the extension, and the batches of the stand-in that it asks."""

    def __init__(self) -> None:
        self.shell = InteractiveShell()
        self.shell.run_line_magic("load_ext", "claude_magic")
        self.asking = self.shell.magics_manager.registry["ClaudeMagic"]
        self.asking.provider = "offline"
        self.asking.panel = False
        self.server: offline.Server = self.asking.session.client.offline

    def map(self, line: str, prompt: str = "Say {{item}}") -> Any:
        self.shell.run_cell_magic("claude_map", f"{line} --out result --model haiku", prompt)
        return self.shell.user_ns["result"]

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
def notebook(loaded: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(batching, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(batching, "SETTLE_SECONDS", 0.2)
    loaded.server.batches.__init__()  # type: ignore[misc]
    loaded.server.requests.clear()
    loaded.server.batch_faults.clear()
    loaded.server.script = lambda body: [{"type": "text", "text": f"re: {body['messages'][-1]['content'][0]['text']}"}]
    loaded.asking.session.spent.clear()
    loaded.shell.user_ns.pop("result", None)
    yield loaded


def test_a_batch_answers_all_rows_at_half_the_price(notebook: Notebook) -> None:
    by_batch = notebook.map("['a', 'b', 'a'] --batch")
    assert list(by_batch["reply"]) == ["re: Say a", "re: Say b", "re: Say a"]
    assert notebook.server.requests == [] and len(notebook.server.batches.all) == 1
    one_by_one = notebook.map("['a', 'b', 'a'] --fresh")
    assert float(by_batch["cost"].sum()) == pytest.approx(float(one_by_one["cost"].sum()) / 2)
    batch_cost, cost = (pricing.turn_cost(turn).dollars for turn in notebook.asking.session.spent)
    assert batch_cost is not None and cost is not None and 2 * batch_cost == cost


def test_more_than_a_batch_holds_is_split(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "MAX_REQUESTS", 4)
    result = notebook.map("list(range(10)) --batch")
    assert [len(batch.requests) for batch in notebook.server.batches.all.values()] == [4, 4, 2]
    assert result["error"].isna().all()
    monkeypatch.setattr(batching, "MAX_BYTES", 700)
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
    batches = notebook.server.batches
    batches.clock, batches.seconds = lambda: now, 100
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
    batches.seconds = 0
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
    batches = notebook.server.batches
    batches.clock, batches.seconds = lambda: now, 4 * EXPIRES_SECONDS
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("list(range(8)) --batch")
    now += EXPIRES_SECONDS
    result = notebook.map("list(range(8)) --batch")
    assert list(result["error"].isna()) == [True] * 2 + [False] * 6
    assert "expired after 24 hours" in result["error"][7]
    batches.seconds = 0
    assert notebook.map("list(range(8)) --batch")["error"].isna().all()


def test_rows_in_a_batch_under_way_are_not_asked_one_by_one(notebook: Notebook) -> None:
    notebook.server.batches.seconds = 1e6
    stop_when_submitted(notebook)
    with pytest.raises(ReplyInterrupted):
        notebook.map("['a'] --batch")
    with pytest.raises(UsageError, match="would be paid for twice"):
        notebook.map("['a', 'b']")
    assert notebook.server.requests == []


@pytest.mark.parametrize("kind", ["cut", "close"])
def test_a_submission_that_nobody_confirmed_is_looked_for_and_never_made_twice(notebook: Notebook, kind: Any) -> None:
    notebook.server.batch_faults.append(Fault(kind))
    result = notebook.map("['a', 'b'] --batch")
    assert result["error"].isna().all()
    assert set(notebook.submitted.values()) == {1}


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


def test_batches_of_a_notebook_from_another_machine_are_picked_up_by_their_ids(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    run = stored.record_of(next(each["claude_magic"] for each in published if each)).mapped
    assert run is not None and list(run.batches) == json.loads(record) == list(notebook.server.batches.all)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.delattr(type(notebook.shell), "kernel")
    here = tmp_path / "n.ipynb"
    here.write_text("{}")
    monkeypatch.setattr(notebooks, "read", lambda path: notebooks.Saved(mapped=((1, run),)))
    monkeypatch.setattr(type(notebook.asking.notebooks), "find", lambda *_: here)
    notebook.look("--resume")
    assert "2 of 2 rows answered" in capsys.readouterr().out
    assert notebook.map("['a', 'b'] --batch")["error"].isna().all()
    assert set(notebook.submitted.values()) == {1}


def test_a_provider_without_batches_says_so_before_anything_is_sent(notebook: Notebook) -> None:
    notebook.asking.provider = "bedrock"
    try:
        with pytest.raises(UsageError, match="takes no batches"):
            notebook.map("['a'] --batch")
    finally:
        notebook.asking.provider = "offline"


def test_results_are_taken_over_whole_or_not_at_all(tmp_path: Path) -> None:
    results = Results(tmp_path / "x.sqlite")
    part = results.intend("digest", ["a", "b"], "offline", MODEL)

    def broken() -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        results.close_part(part, broken())
    assert results.open_parts() == [part] and set(results.under_way(["a", "b"])) == {"a", "b"}


# `kill -9`

CHILDREN = """
import json, os, sys
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
import anthropic, genai_prices, pandas
from claude_magic.mapping import batching
batching.POLL_SECONDS, batching.SETTLE_SECONDS, batching.MAX_REQUESTS = 0.05, 0.4, 20
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "claude_magic")
print("ready", flush=True)
for line in sys.stdin:
    data = line.strip()
    child = os.fork()
    if child == 0:
        os.environ["JUPYTER_DATA_DIR"] = data
        sys.stdout = open(os.devnull, "w")
        shell.run_cell_magic("claude_map", "list(range(50)) --batch --out result --model haiku", "Say {{item}}")
        replies = list(shell.user_ns["result"]["reply"])
        with open(os.path.join(data, "result.json"), "w") as file:
            json.dump(replies, file)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_kill_at_any_moment_submits_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    """Ten times over, a process is killed at a random moment of a run of three batches, and another one goes on."""
    chance = random.Random()
    with offline.start() as server:
        server.script = lambda body: [{"type": "text", "text": f"re: {body['messages'][-1]['content'][0]['text']}"}]
        server.batches.seconds = 0.2
        environment = {**os.environ, "ANTHROPIC_API_KEY": "a-key", "ANTHROPIC_BASE_URL": server.url}
        with subprocess.Popen(
            [sys.executable, "-c", CHILDREN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as parent:
            assert parent.stdin and parent.stdout
            assert parent.stdout.readline() == "ready\n"

            def run(folder: Path, kill_after: float | None) -> int:
                assert parent.stdin and parent.stdout
                print(folder, file=parent.stdin, flush=True)
                child = int(parent.stdout.readline())
                if kill_after is not None:
                    time.sleep(kill_after)
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                return int(parent.stdout.readline())

            killed = 0
            for number in range(10):
                folder = tmp_path / str(number)
                folder.mkdir()
                server.batches.all.clear()
                moment = chance.uniform(0.0, 0.7)
                killed += run(folder, moment) == -signal.SIGKILL
                assert run(folder, None) == 0
                replies = json.loads((folder / "result.json").read_text())
                assert replies == [f"re: Say {item}" for item in range(50)], f"killed after {moment} s"
                every = [each["custom_id"] for batch in server.batches.all.values() for each in batch.requests]
                assert len(every) == len({name.rpartition("-")[2] for name in every}) == 50, f"killed after {moment} s"
            parent.stdin.close()
    assert killed >= 5


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
