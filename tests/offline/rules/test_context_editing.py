"""The offline stand-in: context editing."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from claude_magic import offline
from support.offline_requests import MODEL, SHOWN, WEATHER, ask, assistant, beta, connect, refusal, text, user

EDITS = "context-management-2025-06-27"
TOOLS = "clear_tool_uses_20250919"
THINKING = "clear_thinking_20251015"


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def forecasts(count: int) -> list[dict[str, Any]]:
    """A conversation of so many tool calls, each with a long result."""
    messages = [user("the weather?")]
    for n in range(count):
        call = {"type": "tool_use", "id": f"toolu_{n}", "name": "get_weather", "input": {"city": "Oslo" * 20}}
        result = {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": "rain " * 200}
        messages += [assistant([call]), user([result])]
    return messages


def edited(client: anthropic.Anthropic, *messages: Any, betas: str = EDITS, **edit: Any) -> dict[str, Any]:
    return beta(client, betas, *messages, tools=[WEATHER], context_management={"edits": [edit]})


def test_old_tool_results_are_cleared_and_the_reply_says_how_many(client: anthropic.Anthropic) -> None:
    trigger = {"type": "tool_uses", "value": 4}
    reply = edited(client, *forecasts(5), type=TOOLS, trigger=trigger, keep={"type": "tool_uses", "value": 2})
    whole = ask(client, *forecasts(5), tools=[WEATHER])["usage"]["input_tokens"]
    (applied,) = reply["context_management"]["applied_edits"]
    assert (applied["type"], applied["cleared_tool_uses"]) == (TOOLS, 3)
    assert applied["cleared_input_tokens"] == whole - reply["usage"]["input_tokens"] > 3 * 200


def test_nothing_is_cleared_below_the_trigger(client: anthropic.Anthropic) -> None:
    for more in (
        {},
        {"trigger": {"type": "tool_uses", "value": 5}},
        {"trigger": {"type": "input_tokens", "value": 99_999}},
    ):
        reply = edited(client, *forecasts(5), type=TOOLS, **more)
        assert reply["context_management"] == {"applied_edits": []}


def test_excluded_tools_stay_and_so_does_what_is_too_little_to_clear(client: anthropic.Anthropic) -> None:
    soon = {"type": TOOLS, "trigger": {"type": "tool_uses", "value": 1}}
    assert edited(client, *forecasts(5), **soon)["context_management"]["applied_edits"]
    least = {"type": "input_tokens", "value": 90_000}
    for more in ({"exclude_tools": ["get_weather"]}, {"clear_at_least": least}):
        assert edited(client, *forecasts(5), **soon, **more)["context_management"]["applied_edits"] == []


def test_the_inputs_of_tools_are_cleared_when_asked(client: anthropic.Anthropic) -> None:
    soon = {"type": TOOLS, "trigger": {"type": "tool_uses", "value": 1}}
    results, inputs = (
        edited(client, *forecasts(5), **soon, clear_tool_inputs=each)["usage"]["input_tokens"] for each in (False, True)
    )
    assert inputs < results


def test_old_thinking_is_cleared_and_stays_valid_in_the_history(client: anthropic.Anthropic) -> None:
    messages: list[Any] = []
    for prompt in ("one " * 100, "two", "three"):
        messages.append(user(prompt))
        messages.append(assistant(ask(client, *messages, thinking=SHOWN, tools=[WEATHER])["content"]))
    reply = edited(client, *messages, user("four"), type=THINKING)
    (applied,) = reply["context_management"]["applied_edits"]
    assert (applied["type"], applied["cleared_thinking_turns"]) == (THINKING, 2) and applied["cleared_input_tokens"] > 0
    kept = edited(client, *messages, user("four"), type=THINKING, keep="all")
    assert kept["context_management"] == {"applied_edits": []}
    history = [*messages, user("four"), assistant(reply["content"]), user("five")]
    assert ask(client, *history, tools=[WEATHER])["stop_reason"] == "end_turn"


def test_a_count_says_what_it_was_before(client: anthropic.Anthropic) -> None:
    counted = client.beta.messages.count_tokens(
        model=MODEL,
        messages=forecasts(5),
        tools=[WEATHER],
        betas=[EDITS],
        context_management={"edits": [{"type": TOOLS, "trigger": {"type": "tool_uses", "value": 1}}]},
    )
    assert counted.context_management
    assert counted.input_tokens + 200 < counted.context_management.original_input_tokens


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([{"type": "forget"}], "context_management.edits.0: Input tag 'forget'"),
        ([{"type": TOOLS, "trigger": {"type": "turns", "value": 1}}], f"edits.0.{TOOLS}.trigger: Input tag"),
        ([{"type": TOOLS, "keep": {"type": "tool_uses", "value": "2"}}], "keep.tool_uses.value: Input should be"),
        ([{"type": TOOLS, "pause": True}], f"edits.0.{TOOLS}.pause: Extra inputs"),
        ([{"type": TOOLS}, {"type": THINKING}], f"`{THINKING}` must be the first edit"),
    ],
)
def test_edits_that_are_none_are_refused(standin: offline.Server, edits: list[Any], message: str) -> None:
    assert message in refusal(standin, EDITS, context_management={"edits": edits}, messages=[user([text("x")])])
