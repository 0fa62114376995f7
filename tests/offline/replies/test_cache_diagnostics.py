"""The offline stand-in: cache diagnostics."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from claude_magic import offline
from support.offline_requests import LONG, MARK, WEATHER, ask, assistant, connect, text, user


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def asked(client: anthropic.Anthropic, *prompts: Any, after: str | None = None, **parameters: Any) -> dict[str, Any]:
    cached = {"system": LONG, "cache_control": MARK, **parameters}
    return ask(client, *prompts, diagnostics={"previous_message_id": after}, **cached)


def reason(message: dict[str, Any]) -> Any:
    return message["diagnostics"] and message["diagnostics"]["cache_miss_reason"]


def test_a_conversation_that_only_grows_has_nothing_to_report(client: anthropic.Anthropic) -> None:
    first = asked(client, "one")
    second = asked(client, "one", assistant(first["content"]), "two", after=first["id"])
    assert (first["diagnostics"], second["diagnostics"]) == (None, None)
    assert "diagnostics" not in ask(client, "one")


def test_moving_the_cache_mark_is_no_change(client: anthropic.Anthropic) -> None:
    first = asked(client, [text("one", cache_control=MARK)])
    assert asked(client, "one", assistant("Hm."), "two", after=first["id"])["diagnostics"] is None


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"model": "claude-opus-5"}, "model_changed"),
        ({"speed": "fast"}, "model_changed"),
        ({"system": LONG + "!"}, "system_changed"),
        ({"tools": [WEATHER]}, "tools_changed"),
        ({"model": "claude-opus-5", "system": "x", "tools": [WEATHER]}, "model_changed"),
    ],
)
def test_the_first_part_that_changed_is_named(client: anthropic.Anthropic, change: dict[str, Any], kind: str) -> None:
    first = asked(client, "one")
    found = reason(asked(client, "one", after=first["id"], **change))
    assert found["type"] == kind
    assert 1000 < found["cache_missed_input_tokens"] <= first["usage"]["cache_creation_input_tokens"]


def test_an_earlier_message_that_changed_is_named(client: anthropic.Anthropic) -> None:
    first = asked(client, [text("a word " * 2000), text("one")])
    found = reason(asked(client, "another", after=first["id"]))
    assert found["type"] == "messages_changed" and found["cache_missed_input_tokens"] > 1000


def test_other_settings_cannot_be_diagnosed(client: anthropic.Anthropic) -> None:
    first = asked(client, "one")
    found = asked(client, "one", after=first["id"], output_config={"effort": "low"})
    assert reason(found) == {"type": "unavailable"}


def test_an_answer_that_was_not_fingerprinted_is_not_found(
    standin: offline.Server, client: anthropic.Anthropic
) -> None:
    missing = {"type": "previous_message_not_found"}
    assert reason(asked(client, "one", after="msg_elsewhere")) == missing
    assert reason(asked(client, "one", after=ask(client, "one")["id"])) == missing  # it did not opt in
    assert reason(asked(connect(standin, "another key"), "one", after=asked(client, "one")["id"])) == missing


def test_a_stream_says_it_at_its_start(client: anthropic.Anthropic) -> None:
    events = client.messages.create(
        model="claude-opus-5-5",
        max_tokens=500,
        messages=[user("one")],
        stream=True,
        diagnostics={"previous_message_id": "msg_elsewhere"},
    )
    first = next(iter(events)).to_dict()
    assert first["message"]["diagnostics"]["cache_miss_reason"]["type"] == "previous_message_not_found"
    events.close()
