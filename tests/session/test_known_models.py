"""Models that the API lists and the table does not know: kept lists, the newest of a line, and what replays find."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from claude_magic import client as client_module
from claude_magic import models
from claude_magic.client import Client, Settings
from claude_magic.options import Options
from claude_magic.request import parameters
from claude_magic.session import known_models
from claude_magic.session.known_models import KnownModels, newest, rows
from support.shell import OfflineShell

NEW: dict[str, Any] = {
    "id": "claude-opus-6",
    "lifecycle": "active",
    "max_input_tokens": 2_000_000,
    "max_tokens": 256_000,
    "capabilities": {
        "thinking": {"types": {"adaptive": {"supported": True}, "disabled": {"supported": True}}},
        "effort": {"low": {"supported": True}, "high": {"supported": True}, "max": {"supported": False}},
        "pdf_input": {"supported": False},
    },
}
SETTINGS = Settings()


class Listing(Client):
    """A client whose API lists what a test says; it counts how often it is asked."""

    def __init__(self, *answers: Any) -> None:
        super().__init__()
        self.answers, self.asked = list(answers), 0
        self.retrieved: list[str] = []

    def models(self, settings: Settings, *, retired: bool = False) -> list[dict[str, Any]] | None:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    def model(self, model_id: str, settings: Settings) -> dict[str, Any] | None:
        self.retrieved.append(model_id)
        return {**NEW, "id": "claude-opus-6"} if model_id.startswith("claude-opus-6") else None

    def sdk(self, settings: Settings) -> Any:
        return None


def asked(known: KnownModels, settings: Settings = SETTINGS) -> list[str]:
    """The ids of the list that a question gets."""
    return [entry["id"] for entry in known.entries(settings)]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-a")
    models.learn(())


def test_a_list_is_asked_for_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Listing([NEW], [{"id": "claude-opus-7"}])
    assert asked(KnownModels(client, tmp_path)) == ["claude-opus-6"]
    assert asked(KnownModels(client, tmp_path)) == ["claude-opus-6"]  # another kernel
    assert client.asked == 1
    later = time.time() + known_models.LIST_SECONDS + 1
    monkeypatch.setattr(known_models.time, "time", lambda: later)
    assert asked(KnownModels(client, tmp_path)) == ["claude-opus-7"]


@pytest.mark.parametrize("failure", [None, [], OSError("no network"), RuntimeError("odd")])
def test_a_failure_is_silent_and_not_repeated(failure: Any, tmp_path: Path) -> None:
    client = Listing(failure, [NEW])
    known = KnownModels(client, tmp_path)
    assert asked(known) == asked(known) == []
    assert client.asked == 1


def test_each_account_and_address_has_a_list_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownModels(Listing([NEW], [{"id": "mine"}], [{"id": "theirs"}]), tmp_path)
    assert asked(known) == ["claude-opus-6"]
    assert asked(known, Settings(base_url="https://gateway.example")) == ["mine"]
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-b")
    assert asked(known) == ["theirs"]
    kept = "".join(path.name + path.read_text() for path in tmp_path.iterdir())
    assert "sk-ant" not in kept


@pytest.mark.parametrize(
    "settings",
    [Settings("offline"), Settings("bedrock"), Settings("vertex"), Settings("foundry")],
)
def test_nobody_is_asked_where_there_is_no_list(settings: Settings, tmp_path: Path) -> None:
    client = Listing([NEW])
    assert asked(KnownModels(client, tmp_path), settings) == []
    assert client.asked == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "nonsense", '{"models": 1}', '{"written": 1e300, "models": [3, {"id": 4}]}', "[" * 9999]
)
def test_a_kept_list_that_is_broken_counts_as_none(text: str, tmp_path: Path) -> None:
    known = KnownModels(Listing([NEW]), tmp_path)
    (tmp_path / f"{known._client.account(SETTINGS)}.json").write_text(text)
    assert list(known.entries(SETTINGS, ask=False)) == []
    assert asked(known) == ["claude-opus-6"]


@pytest.mark.parametrize(
    ("listed", "name", "found"),
    [
        ((), "opus", "claude-opus-5-5"),
        (("claude-opus-6", "claude-opus-5-5"), "opus", "claude-opus-6"),
        (("claude-opus-5-5", "claude-opus-10"), "opus", "claude-opus-10"),
        (("claude-opus-5",), "opus", "claude-opus-5"),
        (("claude-haiku-4-5-20251001",), "haiku", "claude-haiku-4-5"),
        (("claude-sonnet-6-20270101", "claude-sonnet-6-20270301"), "sonnet", "claude-sonnet-6-20270301"),
        (("claude-opus-6-preview", "my-opus-9", "anthropic/claude-opus-8"), "opus", "claude-opus-5-5"),
        (("claude-opus-6",), "claude-opus-5", "claude-opus-5"),
        (("claude-opus-6",), "mistral", "mistral"),
    ],
)
def test_a_name_is_the_newest_that_is_listed(listed: tuple[str, ...], name: str, found: str) -> None:
    assert newest(name, [{"id": each} for each in listed]) == found


def test_a_retired_or_deprecated_model_is_not_the_newest() -> None:
    listed = [{"id": "claude-opus-6", "lifecycle": "retired"}, {"id": "claude-opus-7", "lifecycle": "deprecated"}]
    assert newest("opus", listed) == "claude-opus-5-5"


def test_a_new_model_has_the_defaults_of_the_newest_of_its_line() -> None:
    row, newest_known = models.lookup("claude-opus-6"), models.lookup("claude-opus-5-5")
    assert row is not None and newest_known is not None
    assert (row.thinks, row.context, row.max_output) == (True, newest_known.context, newest_known.max_output)
    assert models.lookup("claude-opus-3") is None and models.lookup("claude-epic-6") is None
    assert models.lookup("my-model") is None and models.lookup("claude-opus-6-preview") is None
    for thinking in ("disabled", "between_tools", "2000"):  # what is guessed refuses nothing
        parameters.settings_of(Options(model="claude-opus-6", thinking=thinking, effort="max"), row)
    settings = parameters.settings_of(Options(model="claude-opus-6"), row)
    assert settings["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_what_the_api_says_of_a_new_model_counts() -> None:
    models.learn(rows([NEW, {"id": "mine"}, {"id": "claude-opus-5-5", "max_tokens": 1}]))
    row = models.lookup("claude-opus-6")
    assert row is not None
    assert (row.context, row.max_output, row.thinking) == (2_000_000, 256_000, ("adaptive", "disabled"))
    assert row.effort == ("low", "high") and "pdf_input" not in row.capabilities
    known = models.lookup("claude-opus-5-5")
    assert known is not None and known.max_output == 128_000


def test_a_model_without_adaptive_thinking_is_not_asked_to_think() -> None:
    types = {"thinking": {"types": {"adaptive": {"supported": False}, "disabled": {"supported": True}}}}
    models.learn(rows([{"id": "claude-opus-6", "capabilities": types}]))
    assert "thinking" not in {
        name
        for name, value in parameters.settings_of(
            Options(model="claude-opus-6"), models.lookup("claude-opus-6")
        ).items()
        if value
    }


@pytest.fixture
def shell(tmp_path: Path) -> OfflineShell:
    made = OfflineShell()
    made.kernel.known_models = KnownModels(Listing(), tmp_path)
    return made


def learn_of(shell: OfflineShell, monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any]) -> None:
    monkeypatch.setattr(shell.kernel.known_models, "entries", lambda settings, names=(), ask=True: entries)


def resolved(shell: OfflineShell, model: str) -> str:
    return shell.kernel.resolve(Options(model=model)).model


def test_a_kernel_resolves_each_name_by_the_list(shell: OfflineShell, monkeypatch: pytest.MonkeyPatch) -> None:
    learn_of(shell, monkeypatch, NEW)
    assert resolved(shell, "opus") == "claude-opus-6"
    assert resolved(shell, "opus, haiku") == "claude-opus-6,claude-haiku-5-5"
    assert resolved(shell, "claude-opus-5") == "claude-opus-5"
    assert shell.kernel.resolve(Options(model="haiku", fallback="opus")).fallback == "claude-opus-6"


@pytest.mark.parametrize("mode", ["only", "auto"])
def test_a_replay_finds_the_answer_of_the_model_of_its_day(
    mode: str, shell: OfflineShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.shell.run_line_magic("claude", "--model opus --once How many?")
    spent = list(shell.kernel.session.spent)
    learn_of(shell, monkeypatch, NEW)
    shell.configuration.replay, shell.configuration.replay_speed = mode, 0
    assert resolved(shell, "opus") == spent[0].params["model"] == "claude-opus-5-5"
    shell.shell.run_line_magic("claude", "--model opus --once How many?")
    assert shell.kernel.session.spent == spent  # nothing was asked


def test_a_replay_asks_nobody(shell: OfflineShell, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Listing([NEW])
    shell.kernel.known_models = KnownModels(client)
    shell.configuration.provider, shell.configuration.replay = "anthropic", "only"
    assert resolved(shell, "opus") == "claude-opus-5-5"
    assert client.asked == 0


def test_the_stand_in_has_its_own_list(shell: OfflineShell) -> None:
    assert shell.kernel.client.account(Settings("offline")) is None
    assert client_module.Client().models(Settings("offline")) is None
