"""The offline stand-in: turns that pause, and server tools that wait for their results."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from claude_magic import offline
from support.offline_requests import (
    CALL,
    FOUND,
    RESULT,
    SEARCH,
    WEATHER,
    ask,
    assistant,
    connect,
    post,
    refusal,
    said,
    text,
    user,
)

RAN = {"type": "server_tool_use", "id": "srvtoolu_2", "name": "code_execution", "input": {"code": "1"}}
OUTPUT = {
    "type": "code_execution_tool_result",
    "tool_use_id": "srvtoolu_2",
    "content": {"type": "code_execution_result", "stdout": "1", "stderr": "", "return_code": 0, "content": []},
}


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def test_a_turn_pauses_and_goes_on_when_it_is_sent_back(client: anthropic.Anthropic) -> None:
    paused = ask(client, "[[pause]] What is up?")
    assert (paused["stop_reason"], paused["content"][-1]["type"]) == ("pause_turn", "server_tool_use")
    rest = ask(client, "[[pause]] What is up?", assistant(paused["content"]))
    assert rest["stop_reason"] == "end_turn" and "What is up?" in said(rest)
    found = next(block for block in rest["content"] if block["type"] == "web_search_tool_result")
    assert found["tool_use_id"] == paused["content"][-1]["id"]
    assert rest["usage"]["server_tool_use"] == {"web_search_requests": 1, "web_fetch_requests": 0}
    whole = assistant([*paused["content"], *rest["content"]])
    assert ask(client, "[[pause]] What is up?", whole, "thanks")["stop_reason"] == "end_turn"


def test_it_pauses_as_often_as_told(client: anthropic.Anthropic) -> None:
    content: list[Any] = []
    reasons = []
    for _ in range(3):
        reply = ask(client, "[[pause 2]]", *([assistant(content)] if content else []))
        content = [*content, *reply["content"]]
        reasons.append(reply["stop_reason"])
    assert reasons == ["pause_turn", "pause_turn", "end_turn"]


def test_a_paused_turn_that_was_changed_does_not_go_on(client: anthropic.Anthropic) -> None:
    prompt = "[[pause]] What is up?"
    content = [block for block in ask(client, prompt)["content"] if block["type"] != "thinking"]
    for changed in (
        [prompt, assistant([{**content[0], "text": "Something else."}, content[1]])],
        [prompt + "!", assistant(content)],
        [prompt, assistant([*content, text("more")])],
    ):
        with pytest.raises(anthropic.BadRequestError, match="does not support assistant message prefill"):
            ask(client, *changed)


def test_a_script_may_pause_too(standin: offline.Server, client: anthropic.Anthropic) -> None:
    parts = iter([[text("Let me see."), RAN], [OUTPUT, text("It is 1.")]])
    standin.script = lambda body: next(parts)
    first = ask(client, "run it")
    second = ask(client, "run it", assistant(first["content"]))
    assert (first["stop_reason"], second["stop_reason"]) == ("pause_turn", "end_turn")
    assert second["content"] == [OUTPUT, text("It is 1.")]


def test_a_paused_turn_takes_no_new_prompt(standin: offline.Server) -> None:
    history = [user("x"), assistant([text("y"), SEARCH]), user("z")]
    assert "`web_search` tool use with id `srvtoolu_1`" in refusal(standin, messages=history)
    assert refusal(standin, messages=[user("x"), assistant([text("y"), SEARCH, FOUND, text("z")]), user("z")]) == ""


def test_a_server_tool_waits_while_the_turns_own_tools_are_answered(standin: offline.Server) -> None:
    waiting = [user("x"), assistant([RAN, CALL]), user([RESULT])]
    body = {"model": "claude-opus-5-5", "max_tokens": 99, "tools": [WEATHER]}
    assert post(standin, {**body, "messages": waiting})[0] == 200
    asked_more = [*waiting[:2], user([RESULT, text("and?")])]
    assert post(standin, {**body, "messages": asked_more})[0] == 400
