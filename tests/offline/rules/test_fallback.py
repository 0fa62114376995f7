"""The offline stand-in: refusals, and who is asked instead."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from claude_magic import offline
from claude_magic.offline import Draft
from support.offline_requests import MODEL, SHOWN, ask, assistant, beta, connect, refusal, said, text, user

BETA = "server-side-fallback-2026-07-01"
OTHER = "claude-opus-4-8"


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def fall(client: anthropic.Anthropic, *prompts: Any, to: Any = ({"model": OTHER},), **more: Any) -> dict[str, Any]:
    return beta(client, BETA, *prompts, fallbacks=to if isinstance(to, str) else list(to), **more)


def kinds(reply: dict[str, Any]) -> list[tuple[str, str | None, bool]]:
    return [(i["type"], i.get("model"), i["output_tokens"] > 0) for i in reply["usage"]["iterations"]]


def test_a_refusal_before_any_output_has_none(client: anthropic.Anthropic) -> None:
    reply = ask(client, "[[refuse]]")
    assert (reply["stop_reason"], reply["content"], reply["usage"]["output_tokens"]) == ("refusal", [], 0)


@pytest.mark.parametrize("to", [[{"model": OTHER}], "default"])
def test_the_fallback_answers_and_the_usage_has_both(client: anthropic.Anthropic, to: Any) -> None:
    reply = fall(client, "[[refuse]] hi", to=to)
    assert (reply["stop_reason"], reply["model"]) == ("end_turn", OTHER)
    opening = reply["content"][0]
    assert (opening["type"], opening["from"]["model"], opening["to"]["model"]) == ("fallback", MODEL, OTHER)
    assert opening["trigger"] == {"type": "refusal", "category": "general_harms"}
    assert kinds(reply) == [("message", MODEL, False), ("fallback_message", OTHER, True)]
    assert reply["usage"]["output_tokens"] == reply["usage"]["iterations"][1]["output_tokens"]


def test_without_a_refusal_nothing_falls_back(client: anthropic.Anthropic) -> None:
    reply = fall(client, "hi")
    assert reply["model"] == MODEL and reply["content"][0]["type"] == "thinking" and "iterations" not in reply["usage"]


def test_fallbacks_are_asked_in_turn_and_may_all_refuse(client: anthropic.Anthropic) -> None:
    both = [{"model": OTHER}, {"model": "claude-sonnet-5"}]
    second = fall(client, "[[refuse 2]]", to=both)
    assert second["model"] == "claude-sonnet-5"
    assert [block["type"] for block in second["content"]][:2] == ["fallback", "fallback"]
    none = fall(client, "[[refuse 3]]", to=both)
    assert none["stop_reason"] == "refusal" and [kind for kind, _, _ in kinds(none)] == ["message"] * 3


def test_a_model_refuses_by_its_name(client: anthropic.Anthropic) -> None:
    assert ask(client, "[[refuse opus]]")["stop_reason"] == "refusal"
    assert ask(client, "[[refuse opus]]", model="claude-haiku-5-5")["stop_reason"] == "end_turn"
    assert fall(client, "[[refuse opus]]", to=[{"model": "claude-sonnet-5"}])["stop_reason"] == "end_turn"
    assert fall(client, "[[refuse opus]]")["stop_reason"] == "refusal"


def test_the_stream_begins_with_the_model_that_was_asked(client: anthropic.Anthropic) -> None:
    with client.beta.messages.with_streaming_response.create(
        model=MODEL,
        max_tokens=900,
        messages=[user("[[refuse]]")],
        stream=True,
        betas=[BETA],
        fallbacks=[{"model": OTHER}],
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert events[0]["message"]["model"] == MODEL
    assert events[1]["content_block"]["to"] == {"model": OTHER}
    assert events[-2]["usage"]["iterations"][1]["model"] == OTHER


def test_the_attempt_takes_what_its_model_takes(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"thinking": SHOWN, "output_config": {"effort": "xhigh"}}
    to = [{"model": "claude-haiku-4-5", "max_tokens": 50}]
    reply = fall(client, "[[refuse]] hi", to=to, **parameters)  # it has no effort, and thinks by budget only
    assert reply["model"] == "claude-haiku-4-5" and reply["stop_reason"] == "max_tokens"
    assert [block["type"] for block in reply["content"]] == ["fallback", "text"]


def test_a_reply_by_a_fallback_can_be_sent_back(client: anthropic.Anthropic) -> None:
    reply = fall(client, "[[refuse]] My name is Ada.", thinking=SHOWN)
    history = [user("[[refuse]] My name is Ada."), assistant(reply["content"]), user("What is my name?")]
    assert "Ada" in said(fall(client, *history, thinking=SHOWN))
    bare = [
        history[0],
        assistant([b for b in reply["content"] if b["type"] not in ("fallback", "thinking")]),
        history[2],
    ]
    count = client.beta.messages.count_tokens
    assert count(model=MODEL, messages=history).input_tokens == count(model=MODEL, messages=bare).input_tokens


def test_a_script_may_refuse_in_the_middle_for_one_model(standin: offline.Server, client: anthropic.Anthropic) -> None:
    stop = Draft([text("Well,")], "refusal", {"type": "refusal", "category": "bio", "explanation": None})
    standin.script = lambda body: stop if body["model"] == MODEL else [text("here it is.")]
    alone = ask(client, "hi")
    assert (alone["stop_reason"], said(alone), alone["stop_details"]["category"]) == ("refusal", "Well,", "bio")
    reply = fall(client, "hi")
    assert [block["type"] for block in reply["content"]] == ["text", "fallback", "text"]
    assert [used for _, _, used in kinds(reply)] == [True, True]
    assert reply["usage"]["output_tokens"] == reply["usage"]["iterations"][1]["output_tokens"]


@pytest.mark.parametrize(
    ("betas", "fallbacks", "more", "message"),
    [
        ("", [{"model": OTHER}], {}, "fallbacks: Extra inputs are not permitted"),
        ("server-side-fallback-2026-06-01", "default", {}, "fallbacks: Extra inputs are not permitted"),
        (BETA, [], {}, "fallbacks: Input should be"),
        (BETA, [{"model": OTHER}] * 4, {}, "fallbacks: List should have at most 3"),
        (BETA, [{}], {}, "fallbacks.0.model: Field required"),
        (BETA, [{"model": "claude-opus-9"}], {}, "fallbacks.0: model: claude-opus-9"),
        (BETA, [{"model": MODEL}], {}, "fallbacks.0.model: a fallback must be another model"),
        (BETA, [{"model": OTHER, "system": "x"}], {}, "fallbacks.0.system: Extra inputs"),
        (BETA, [{"model": OTHER, "thinking": {"type": "between_tools"}}], {}, "fallbacks.0: "),
        (BETA, [{"model": OTHER, "max_tokens": 128_001}], {}, "fallbacks.0: max_tokens: 128001 > 128000"),
        (BETA, [{"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}], {}, "fallbacks.0: This model does"),
        (BETA, [{"model": "claude-opus-4-7"}], {"model": OTHER}, "fallbacks: not supported for this model"),
    ],
)
def test_fallbacks_that_are_none_are_refused(
    standin: offline.Server, betas: str, fallbacks: Any, more: dict[str, Any], message: str
) -> None:
    assert message in refusal(standin, betas, fallbacks=fallbacks, **more)
