"""The offline stand-in: the parameters beside the conversation, and the beta headers that some need."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import anthropic
import pytest

from claude_magic import offline
from claude_magic.models import MODELS
from claude_magic.offline.rules import betas
from support.offline_requests import (
    LONG,
    MARK,
    MODEL,
    PLAIN,
    WEATHER,
    ask,
    beta,
    connect,
    post,
    refusal,
    said,
    text,
    usage,
    user,
)

FAST = "fast-mode-2026-02-01"
OFF = {"type": "disabled"}


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


# Beta headers


@pytest.mark.drift
def test_every_beta_header_of_the_sdk_is_known() -> None:
    from anthropic.types.anthropic_beta_param import AnthropicBetaParam

    assert set(get_args(get_args(AnthropicBetaParam)[1])) <= betas.KNOWN


def test_unknown_beta_headers_are_refused_by_name(standin: offline.Server) -> None:
    wrong = refusal(standin, "compact-2026-01-12, effort-2025-11-24,nothing-2020-01-01")
    assert wrong.startswith(
        "Unexpected value(s) `effort-2025-11-24`, `nothing-2020-01-01` for the `anthropic-beta` header. Please consult"
    )


@pytest.mark.parametrize("name", sorted(betas.PARAMETERS))
def test_a_parameter_in_beta_wants_its_own_header(standin: offline.Server, name: str) -> None:
    unknown = f"{name}: Extra inputs are not permitted"
    assert refusal(standin, "", **{name: None}) == unknown
    assert refusal(standin, "interleaved-thinking-2025-05-14", **{name: None}) == unknown
    for header in betas.PARAMETERS[name]:
        assert refusal(standin, header, **{name: None}) == ""


@pytest.mark.drift
def test_the_parameters_are_those_of_the_sdk(standin: offline.Server) -> None:
    from anthropic.types import message_create_params
    from anthropic.types.beta import message_create_params as beta_message_create_params

    named = set(get_type_hints(message_create_params.MessageCreateParamsStreaming))
    beta_too = set(get_type_hints(beta_message_create_params.MessageCreateParamsStreaming)) - {"betas"}
    assert [name for name in sorted(named) if refusal(standin, **{name: None}).endswith("not permitted")] == []
    # the SDK has left `output_format` out; the API takes it still
    assert beta_too - named == set(betas.PARAMETERS) - {"output_format"}


# What may be asked for


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metadata": {"user_id": 7}}, "metadata.user_id: Input should be a valid string"),
        ({"metadata": {"user_id": "x" * 257}}, "metadata.user_id: String should have at most 256 characters"),
        ({"metadata": {"user_id": "ada@example.org"}}, "metadata.user_id: user_id appears to contain an email"),
        ({"metadata": {"name": "Ada"}}, "metadata.name: Extra inputs are not permitted"),
        ({"metadata": None}, "metadata: Input should be an object"),
        ({"service_tier": "priority"}, "service_tier: Input should be 'auto' or 'standard_only'"),
        ({"service_tier": None}, "service_tier: Input should be 'auto' or 'standard_only'"),
        ({"inference_geo": "moon"}, "inference_geo: Input should be 'global' or 'us'"),
        ({"inference_geo": "us", "model": "claude-haiku-4-5"}, "inference_geo is not supported for this model"),
        ({"speed": "slow"}, "speed: Input should be 'standard' or 'fast'"),
        ({"speed": "fast", "model": PLAIN}, "speed: 'fast' is not supported for this model"),
        ({"speed": "fast", "model": "claude-opus-5"}, "speed: Extra inputs are not permitted"),
        ({"diagnostics": {"previous_message_id": 7}}, "diagnostics.previous_message_id: Input should be"),
        ({"diagnostics": {"previous": "x"}}, "diagnostics.previous: Extra inputs are not permitted"),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
    ],
)
def test_what_does_not_fit_is_refused(standin: offline.Server, parameters: dict[str, Any], message: str) -> None:
    assert message in refusal(standin, **parameters)


def test_the_usage_says_how_it_was_served(client: anthropic.Anthropic) -> None:
    plain = ask(client, "hi", metadata={"user_id": "a1b2"}, service_tier="standard_only")["usage"]
    assert (plain["service_tier"], plain["inference_geo"], "speed" in plain) == ("standard", "global", False)
    fast = ask(client, "hi", speed="fast", inference_geo="us")["usage"]
    assert (fast["speed"], fast["inference_geo"]) == ("fast", "us")
    assert beta(client, FAST, "hi", model="claude-opus-5", speed="fast")["usage"]["speed"] == "fast"
    assert ask(client, "hi", model=PLAIN, speed="standard")["usage"]["speed"] == "standard"


def test_null_is_the_same_as_leaving_it_out(standin: offline.Server) -> None:
    optional = dict.fromkeys(["cache_control", "container", "diagnostics", "inference_geo", "speed"])
    assert refusal(standin, **optional) == ""


# Filling the cache


def test_no_output_fills_the_cache(client: anthropic.Anthropic) -> None:
    system = [text(LONG, cache_control=MARK)]
    reply = ask(client, "warm", system=system, max_tokens=0)
    assert (reply["content"], reply["stop_reason"], reply["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    assert usage(reply)[1] > 1000
    assert usage(ask(client, "something else", system=system))[2] == usage(reply)[1]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "at least one content block with `cache_control`"),
        ({"cache_control": MARK}, "at least one content block with `cache_control`"),
        ({"system": [text("s", cache_control=MARK)], "stream": True}, "cannot be combined with `stream`"),
        (
            {
                "system": [text("s", cache_control=MARK)],
                "output_config": {"format": {"type": "json_schema", "schema": {"type": "integer"}}},
            },
            "cannot be combined with `output_config.format`",
        ),
        (
            {
                "model": PLAIN,
                "system": [text("s", cache_control=MARK)],
                "tools": [WEATHER],
                "tool_choice": {"type": "any"},
                "thinking": {"type": "disabled"},
            },
            "cannot be combined with `tool_choice`",
        ),
    ],
)
def test_filling_the_cache_wants_a_breakpoint_and_no_reply(
    standin: offline.Server, parameters: dict[str, Any], message: str
) -> None:
    assert message in refusal(standin, max_tokens=0, **parameters)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_each_model_caches_from_its_own_minimum_on(client: anthropic.Anthropic, model: Any) -> None:
    def written(tokens: int) -> int:
        system = [text("x" * int(tokens * 3.5), cache_control=MARK)]
        return usage(ask(client, "hi", model=model.id, max_tokens=0, system=system))[1]

    assert written(model.min_cache_tokens - 1) == 0
    assert written(model.min_cache_tokens) == model.min_cache_tokens


# The context window


def test_a_reply_that_fills_the_window_stops_there(client: anthropic.Anthropic) -> None:
    almost = "x" * int((200_000 - 110) * 3.5)
    parameters: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 4000}
    reply = ask(client, [text(almost), text("[[long 9000]]")], **parameters)
    assert reply["stop_reason"] == "model_context_window_exceeded"
    assert said(reply).startswith("*Offline stand-in")
    assert reply["usage"]["input_tokens"] + reply["usage"]["output_tokens"] == 200_000
    assert ask(client, [text("x"), text("[[long 9000]]")], **parameters)["stop_reason"] == "end_turn"


@pytest.mark.parametrize("model", ["claude-haiku-4-5", MODEL])
def test_a_prompt_past_the_window_is_too_long(standin: offline.Server, model: str) -> None:
    maximum = {"claude-haiku-4-5": 200_000, MODEL: 1_000_000}[model]
    body = {"model": model, "max_tokens": 9, "messages": [user("x" * int(maximum * 3.5))]}
    assert post(standin, body)[1]["error"]["message"] == f"prompt is too long: {maximum + 4} tokens > {maximum} maximum"
