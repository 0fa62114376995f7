"""The offline stand-in: what it refuses, in the API's words."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claude_magic import offline
from support.offline_requests import (
    BUDGET,
    CALL,
    DOCUMENT,
    FOUND,
    HELLO,
    MARK,
    MODEL,
    RESULT,
    SEARCH,
    SHOWN,
    SIGNED_ELSEWHERE,
    WEATHER,
    ask,
    assistant,
    connect,
    image,
    post,
    text,
    user,
)

CITED = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None}
CITED |= {"start_char_index": 0, "end_char_index": 1}


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


BAD_PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 1.0}, "`temperature` is deprecated"),
    ({"top_k": 5}, "`top_k` is deprecated"),
    ({"colour": "red"}, "colour: Extra inputs are not permitted"),
    ({"context_management": {}}, "context_management: Extra inputs are not permitted"),
    ({"max_tokens": None}, "max_tokens: Input should be a valid integer"),
    ({"max_tokens": -1}, "max_tokens: Input should be greater"),
    ({"max_tokens": 128_001}, "max_tokens: 128001 > 128000, which is the maximum"),
    ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
    ({"system": None}, "system: Input should be a valid string"),
    ({"system": [text("")]}, "system: text content blocks must be non-empty"),
    ({"thinking": {"type": "disabled"}}, '"thinking.type.disabled" is not supported for this model'),
    ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, '"thinking.type.enabled" is not supported'),
    ({"thinking": {"type": "often"}}, "thinking: Input tag 'often'"),
    ({"thinking": {"type": "adaptive", "display": "loud"}}, "thinking.adaptive.display: Input should be"),
    ({"thinking": {"type": "adaptive", "budget_tokens": 2000}}, "thinking.adaptive.budget_tokens: Extra inputs"),
    ({"output_config": {"effort": "huge"}}, "output_config.effort: 'huge' is not supported"),
    ({"model": "claude-opus-4-6", "output_config": {"effort": "xhigh"}}, "output_config.effort: 'xhigh'"),
    ({"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "does not support the effort parameter"),
    (
        {"model": "claude-haiku-5-5", "thinking": {"type": "disabled"}, "output_config": {"effort": "max"}},
        "output_config.effort: 'max' is not supported with `thinking.type` 'disabled'",
    ),
    (
        {"model": "claude-haiku-4-5", "thinking": {"type": "enabled", "budget_tokens": 1023}},
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    (
        {"model": "claude-haiku-4-5", "max_tokens": 1024, "thinking": {"type": "enabled", "budget_tokens": 1024}},
        "`max_tokens` must be greater than `thinking.budget_tokens`",
    ),
    ({"tools": [{"name": "x", "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
    ({"tools": [WEATHER, WEATHER]}, "tools: Tool names must be unique"),
    ({"tools": [WEATHER], "tool_choice": {"type": "any"}}, 'tool_choice: "any" is not supported'),
    (
        {"cache_control": MARK, "system": [text(str(n), cache_control=MARK) for n in range(4)]},
        "A maximum of 4 blocks with cache_control may be provided. Found 5",
    ),
    (
        {"cache_control": {**MARK, "ttl": "1h"}, "system": [text("a", cache_control=MARK)]},
        "a ttl='1h' cache_control block must not come after",
    ),
]
BAD_MESSAGES: list[tuple[list[Any], str]] = [
    ([], "messages: at least one message is required"),
    ([user("")], "messages.0: user messages must have non-empty content"),
    ([user("  ")], "messages: text content blocks must contain non-whitespace text"),
    ([user([text("")])], "messages: text content blocks must be non-empty"),
    ([user(7)], "messages.0.content: Input should be a valid string"),
    ([user(["x"])], "messages.0.content.0: Input should be an object"),
    ([user([{"text": "x"}])], "messages.0.content.0.type: Field required"),
    ([{"role": "tool", "content": "x"}], 'Unexpected role "tool"'),
    ([{"role": "user"}], "messages.0.content: Field required"),
    ([{**user("x"), "id": "1"}], "messages.0.id: Extra inputs are not permitted"),
    ([user([text("x", parsed_output=1)])], "messages.0.content.0.text.parsed_output: Extra inputs"),
    ([user([text("x", citations=[{"type": "page_location"}])])], "messages.0.content.0.text.citations"),
    ([user([{"type": "hologram"}])], "messages.0.content.0: Input tag 'hologram'"),
    ([user("x"), assistant([{"type": "hologram"}]), user("y")], "messages.1.content.0: Input tag 'hologram'"),
    ([user([CALL])], "messages.0.content.0: `tool_use` blocks are not permitted in user"),
    ([user("x"), assistant([DOCUMENT]), user("y")], "messages.1.content.0: `document` blocks are not permitted"),
    *(
        (
            [user("x"), assistant([text("y", citations=[found])]), user("z")],
            f"messages.1.content.0.text.citations{says}",
        )
        for found, says in (
            ({**CITED, "file_id": None}, ".0.char_location.file_id: Extra inputs are not permitted"),
            ({**CITED, "file_id": "file_1"}, ".0.char_location.file_id: Extra inputs are not permitted"),
            ({**CITED, "type": "of_tomorrow"}, ".0: Input tag 'of_tomorrow' found using 'type' does not match"),
            (None, ".0: Input tag does not match"),
            ({"type": "char_location"}, ".0.char_location.cited_text: Field required"),
        )
    ),
    ([user("x"), assistant([text("y", citations={})]), user("z")], "messages.1.content.0.text.citations: Input should"),
    ([user("x"), assistant([]), user("y")], "messages.1: all messages must have non-empty content"),
    ([assistant("x"), user("y")], "first message must use the"),
    ([user("x"), assistant("y")], "does not support assistant message prefill"),
    (
        [user("x"), assistant([{"type": "redacted_thinking", "data": "z"}]), user("y")],
        "messages.1: The final block in an assistant message cannot be `thinking`",
    ),
    (
        [user("x"), assistant([SIGNED_ELSEWHERE, text("y")]), user("z")],
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        [user("x"), assistant([{**SIGNED_ELSEWHERE, "signature": ""}, text("y")]), user("z")],
        "messages.1.content.0: Invalid `signature` in `thinking` block",
    ),
    (
        [user("x"), assistant([CALL]), user("y")],
        "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1",
    ),
    ([user("x"), assistant([CALL]), user([text("first"), RESULT])], "messages.1: `tool_use` ids were found without"),
    ([user("x"), assistant("y"), user([RESULT])], "messages.2.content.0: unexpected `tool_use_id`"),
    ([user("x"), assistant([CALL]), user([RESULT, RESULT])], "messages.2.content.1: each tool_use must have a single"),
    ([user("x"), assistant([CALL, CALL]), user([RESULT])], "messages: `tool_use` ids must be unique"),
    (
        [user("x"), assistant([CALL]), user([RESULT]), assistant([CALL]), user([RESULT])],
        "messages: `tool_use` ids must be unique",
    ),
    ([user("x"), assistant([SEARCH, text("y")]), user("z")], "messages.1: `web_search` tool use with id `srvtoolu_1`"),
    ([{"role": "system", "content": "x"}, user("y")], "messages.0: a 'system' message must directly follow"),
    ([*HELLO[:2], {"role": "system", "content": "x"}, user("y")], "messages.2: a 'system' message must directly"),
    ([user("x"), {"role": "system", "content": "y"}, user("z")], "messages.1: a 'system' message must not directly"),
    ([user([image(3, 3, media_type="image/bmp")])], "messages.0.content.0.image.source.base64.media_type"),
    ([user([image(3, 3, media_type="image/jpeg")])], "specified using the image/jpeg media type"),
    ([user([image(8001, 1)])], "exceed max allowed size: 8000 pixels"),
    ([user([image(2001, 1), *[image(1, 1)] * 20])], "for many-image requests: 2000 pixels"),
    (
        [user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%%%"}}])],
        "Invalid base64 data",
    ),
    (
        [user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}])],
        "Could not process image",
    ),
    (
        [user([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 10485761}}])],
        "image exceeds 10 MB maximum",
    ),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS, ids=[m for _, m in BAD_PARAMETERS])
def test_parameters_are_refused_in_the_apis_words(
    standin: offline.Server, parameters: dict[str, Any], message: str
) -> None:
    status, body = post(standin, {"model": MODEL, "max_tokens": 100, "messages": HELLO, **parameters})
    assert (status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert message in body["error"]["message"] and body["request_id"].startswith("req_offline_")


@pytest.mark.parametrize(("messages", "message"), BAD_MESSAGES, ids=[f"{i}" for i in range(len(BAD_MESSAGES))])
def test_messages_are_refused_in_the_apis_words(shared: offline.Server, messages: list[Any], message: str) -> None:
    status, body = post(shared, {"model": MODEL, "max_tokens": 100, "messages": messages})
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert message in body["error"]["message"]


GOOD: list[tuple[str, list[Any], dict[str, Any]]] = [
    ("a turn in two messages", [user("a"), user("b")], {}),
    ("a system message after the newest prompt", [user("x"), {"role": "system", "content": "be brief"}], {}),
    ("one before a reply", [user("x"), {"role": "system", "content": "s"}, assistant("y"), user("z")], {}),
    ("a tool call with its result", [user("x"), assistant([CALL]), user([RESULT, text("so?")])], {"tools": [WEATHER]}),
    ("a server tool with its result", [user("x"), assistant([SEARCH, FOUND, text("y")]), user("z")], {}),
    ("a paused turn", [user("x"), assistant([text("y"), SEARCH])], {}),
    (
        "redacted thinking before text",
        [user("x"), assistant([{"type": "redacted_thinking", "data": "d"}, text("y")]), user("z")],
        {},
    ),
    ("a citation", [user("x"), assistant([text("y", citations=[CITED])]), user("z")], {}),
    ("no citations", [user("x"), assistant([text("y", citations=None)]), user("z")], {}),
    ("an image of the largest size", [user([image(8000, 1)])], {}),
    ("twenty images of any size", [user([image(2001, 1), *[image(1, 1)] * 19])], {}),
    ("a document", [user([DOCUMENT, text("so?")])], {}),
    ("an image in a tool result", [user("x"), assistant([CALL]), user([{**RESULT, "content": [image(2, 2)]}])], {}),
    ("four cache marks", HELLO, {"system": [text(str(n), cache_control=MARK) for n in range(4)]}),
    ("a dated model", HELLO, {"model": "claude-opus-4-5-20251101"}),
    ("thinking with a budget", HELLO, {"model": "claude-sonnet-4-6", "thinking": BUDGET, "max_tokens": 1025}),
    ("no output", [user([text("hi", cache_control=MARK)])], {"max_tokens": 0}),
]


@pytest.mark.parametrize(("messages", "parameters"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_what_the_api_takes_is_taken(shared: offline.Server, messages: list[Any], parameters: dict[str, Any]) -> None:
    status, body = post(shared, {"model": MODEL, "max_tokens": 100, "messages": messages, **parameters})
    assert status == 200, body


@pytest.mark.parametrize("name", ["claude-opus-9", "gpt-5", "claude-haiku-4-5-latest", "anthropic.claude-opus-5-5"])
def test_unknown_models_are_not_found_by_name(client: anthropic.Anthropic, name: str) -> None:
    with pytest.raises(anthropic.NotFoundError, match=f"model: {name}"):
        ask(client, "hi", model=name)


def test_oversized_images_are_named_by_their_paths(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        ask(client, [image(10, 10), image(9000, 1)])
    details: Any = caught.value.details
    assert (details.max_side_length_pixels, details.paths) == (8000, ["messages.0.content.1"])


def test_a_request_over_32_megabytes_is_too_large(standin: offline.Server) -> None:
    status, body = post(standin, b" " * (32 * 1024 * 1024 + 1))
    assert (status, body["error"]["type"]) == (413, "request_too_large")


def test_a_prompt_longer_than_the_context_is_too_long(standin: offline.Server) -> None:
    body = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [user("word " * 200_000)]}
    status, answer = post(standin, body)
    assert (status, answer["error"]["message"]) == (400, "prompt is too long: 285719 tokens > 200000 maximum")


def test_half_a_surrogate_pair_is_not_json_to_it(standin: offline.Server) -> None:
    body = {"model": MODEL, "max_tokens": 100, "messages": [user("\ud83d")]}
    assert "not valid JSON" in post(standin, body)[1]["error"]["message"]


WHOLE: dict[str, Any] = {
    "model": MODEL,
    "max_tokens": 100,
    "system": [text("s", cache_control=MARK)],
    "tools": [WEATHER],
    "tool_choice": {"type": "auto"},
    "thinking": SHOWN,
    "output_config": {"effort": "low"},
    "stop_sequences": ["x"],
    "cache_control": MARK,
    "messages": [
        user([image(2, 2), DOCUMENT, text("x")]),
        assistant([SEARCH, FOUND, text("y"), CALL]),
        user([{**RESULT, "content": [text("z"), image(2, 2)]}]),
    ],
}


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from _paths(inner, (*path, key))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(_paths(WHOLE))),
    st.sampled_from([None, 0, -1.5, True, "", "x", [], [None], {}, {"type": None}, {"type": "text"}, {"type": []}]),
)
@pytest.mark.slow
def test_whatever_is_sent_the_answer_is_never_a_bug(shared: offline.Server, path: tuple[Any, ...], junk: Any) -> None:
    body = copy.deepcopy(WHOLE)
    target: Any = body
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = junk
    shared.script = None
    status, answer = post(shared, body)
    assert status in (200, 400, 404), (path, junk, answer)
