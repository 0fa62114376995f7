"""A model that appears after our table, in a cell: over HTTP, from a server whose list of models a test writes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claude_magic import models
from claude_magic.errors import UsageError
from claude_magic.offline import models_list
from claude_magic.offline.faults import Rejected
from claude_magic.render.turn import footer
from claude_magic.session import known_models
from claude_magic.session.known_models import KnownModels
from support.shell import Shell
from support.steered_server import KEY, SteeredServer

NEWER = {**models_list.entry("claude-opus-5-5"), "id": "claude-opus-7", "max_input_tokens": 3_000_000}


class Listed:
    """What the server lists, and how often it was asked; a list may also be a function that makes the answer."""

    def __init__(self) -> None:
        self.data: Any = []
        self.models: dict[str, Any] = {}
        self.asked: list[str] = []

    def page(self, query: Any) -> Any:
        self.asked.append("list")
        return self.data() if callable(self.data) else {"data": self.data, "has_more": False}

    def entry(self, model_id: str) -> dict[str, Any]:
        self.asked.append(model_id)
        if model_id not in self.models:
            raise Rejected(f"model: {model_id}", status=404)
        return {**self.models[model_id]}


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Listed:
    made = Listed()
    monkeypatch.setattr(models_list, "page", made.page)
    monkeypatch.setattr(models_list, "entry", made.entry)
    monkeypatch.setattr("claude_magic.offline.rules.parameters.known", models.lookup)  # it serves them as well
    models.learn(())
    return made


@pytest.fixture(scope="module")
def server() -> Iterator[SteeredServer]:
    with SteeredServer() as running:
        yield running


@pytest.fixture
def shell(server: SteeredServer, listed: Listed, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Shell:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    server.requests.clear()
    made = Shell()
    made.configuration.base_url = server.url
    return made


def asked_model(shell: Shell, server: SteeredServer, line: str) -> str:
    """The model that a cell's request names."""
    shell.shell.run_line_magic("claude", f"--once {line} hi")
    return str(server.requests[-1]["model"])


def test_a_line_is_the_newest_that_is_listed_in_the_first_question(
    shell: Shell, server: SteeredServer, listed: Listed
) -> None:
    listed.data = [NEWER, *(models_list._info(model, model.id) for model in models.MODELS)]
    assert asked_model(shell, server, "-m opus") == "claude-opus-7"
    assert asked_model(shell, server, "-m sonnet") == "claude-sonnet-5-5"
    assert asked_model(shell, server, "") == models.DEFAULT_MODEL
    assert listed.asked == ["list"]
    assert server.requests[0]["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert "n/a" in footer(shell.kernel.session.spent[0]) and "$" not in footer(shell.kernel.session.spent[0])
    assert KnownModels(shell.kernel.client).entries(shell.kernel.settings(), ask=False)  # another kernel has it, too
    row = models.lookup("claude-opus-7")
    assert row is not None and row.context == 3_000_000


def test_a_model_that_is_not_listed_is_looked_up_by_its_name(
    shell: Shell, server: SteeredServer, listed: Listed
) -> None:
    listed.models["claude-haiku-6"] = {**models_list._info(models.MODELS[-2], "claude-haiku-6"), "max_tokens": 50_000}
    for _ in range(2):
        assert asked_model(shell, server, "-m claude-haiku-6") == "claude-haiku-6"
    assert listed.asked == ["list", "claude-haiku-6"]
    with pytest.raises(UsageError, match="at most 50,000 tokens"):
        asked_model(shell, server, "-m claude-haiku-6 --max-tokens 60000")


def fail() -> Any:
    raise Rejected("not here", status=500)


ODD: list[Callable[[], Any]] = [
    fail,
    lambda: [],
    lambda: {"data": "claude-opus-9"},
    lambda: {"data": [None, 3, {"id": 4}, {"id": ""}, {"id": "claude-opus-\n9"}, {"id": "claude-opus-"}]},
    lambda: {"data": [{"id": "claude-opus-999"}, {"id": "claude-opus-9", "lifecycle": "retired"}]},
    lambda: {"data": [{"id": "claude-opus-5-5", "max_tokens": 1, "capabilities": {"thinking": 3}}]},
]


@pytest.mark.parametrize("answer", ODD)
def test_an_answer_that_is_no_list_leaves_the_table(
    answer: Callable[[], Any], shell: Shell, server: SteeredServer, listed: Listed
) -> None:
    listed.data = answer
    for _ in range(2):
        assert asked_model(shell, server, "-m opus") == "claude-opus-5-5"
    assert listed.asked == ["list"]


@pytest.mark.parametrize(
    "entry",
    [
        {"id": "claude-opus-8", "max_tokens": "many", "max_input_tokens": -1, "capabilities": []},
        {"id": "claude-opus-8", "max_tokens": True, "capabilities": {"thinking": {"types": 3}, "effort": None}},
        {"id": "claude-opus-8", "max_tokens": 1, "max_input_tokens": 1},
        {"id": "claude-opus-8", "line": {}, "lifecycle": None, "retires_at": [], "capabilities": {"effort": {"a": 1}}},
    ],
)
def test_odd_fields_of_a_new_model_count_as_unknown(
    entry: dict[str, Any], shell: Shell, server: SteeredServer, listed: Listed
) -> None:
    listed.data = [entry]
    assert asked_model(shell, server, "-m opus") == "claude-opus-8"
    row, newest_known = models.lookup("claude-opus-8"), models.lookup("claude-opus-5-5")
    assert row is not None and newest_known is not None
    assert (row.context, row.max_output) == (newest_known.context, newest_known.max_output)


@pytest.mark.slow
def test_a_list_that_comes_late_holds_up_one_question_for_a_moment(
    shell: Shell, server: SteeredServer, listed: Listed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_models, "WAIT_SECONDS", 0.3)
    gate = threading.Event()
    listed.data = lambda: gate.wait(20) and {"data": [NEWER]}
    asked_model(shell, server, "")  # all is imported
    took = []
    for _ in range(2):
        begun = time.monotonic()
        assert asked_model(shell, server, "-m opus") == "claude-opus-5-5"
        took.append(time.monotonic() - begun)
    assert took[0] < 0.3 + took[1] + 1.0 and listed.asked == ["list"]
    gate.set()
    over = time.monotonic() + 10
    while not shell.kernel.known_models.entries(shell.kernel.settings()) and time.monotonic() < over:
        time.sleep(0.01)
    assert asked_model(shell, server, "-m opus") == "claude-opus-7"
    assert listed.asked == ["list"]


def test_several_models_are_counted_before_anything_is_sent(
    shell: Shell, server: SteeredServer, listed: Listed, capsys: pytest.CaptureFixture[str]
) -> None:
    listed.data = [NEWER]
    capsys.readouterr()
    shell.shell.run_cell_magic("claude", "--model opus,sonnet,claude-haiku-4-5 --count", "hi")
    text = capsys.readouterr().out
    assert all(name in text for name in ("claude-opus-7", "claude-sonnet-5-5", "claude-haiku-4-5"))
    assert "n/a" in text and "$" in text and not server.requests and not shell.kernel.session.spent


def test_what_is_kept_has_no_key(shell: Shell, server: SteeredServer, listed: Listed, tmp_path: Any) -> None:
    listed.data = [NEWER]
    asked_model(shell, server, "-m opus")
    (path,) = (tmp_path / "claude_magic" / "models").glob("*.json")
    assert KEY not in path.name + path.read_text() and json.loads(path.read_text())["models"] == [NEWER]
