"""The offline stand-in, seen through the real SDK over real HTTP."""

from __future__ import annotations

import base64
import copy
import functools
import io
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from claude_magic import offline
from claude_magic.models import MODELS
from claude_magic.offline import Fault

MODEL = "claude-opus-5-5"
PLAIN = "claude-haiku-5-5"  # may go without thinking
SHOWN = {"type": "adaptive", "display": "summarized"}
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "hours": {"type": "array", "items": {"type": "number"}},
        },
        "required": ["city"],
    },
}


@pytest.fixture
def server() -> Iterator[offline.Server]:
    with offline.start() as running:
        yield running


@pytest.fixture(scope="module")
def referee() -> Iterator[offline.Server]:
    with offline.start() as running:
        yield running


@pytest.fixture
def client(server: offline.Server) -> anthropic.Anthropic:
    return connect(server)


@functools.cache
def connect(server: offline.Server, key: str = "a key") -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=key, base_url=server.url, max_retries=0)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def image(width: int, height: int, kind: str = "PNG", media_type: str | None = None) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("1" if kind == "PNG" else "RGB", (width, height)).save(buffer, kind)
    data = base64.b64encode(buffer.getvalue()).decode()
    media_type = media_type or f"image/{kind.lower()}"
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def ask(client: anthropic.Anthropic, *prompts: Any, **parameters: Any) -> dict[str, Any]:
    """One prompt, or a whole history of messages."""
    messages = [p if isinstance(p, dict) and "role" in p else user(p) for p in prompts]
    return client.messages.create(**{"model": MODEL, "max_tokens": 4000, "messages": messages, **parameters}).to_dict()


def said(message: dict[str, Any]) -> str:
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def post(server: offline.Server, body: Any, path: str = "/v1/messages", key: str = "a key") -> tuple[int, Any]:
    """A request as it is, past the SDK's own checks; the status and the body of the answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, raw, {"x-api-key": key, "content-type": "application/json"})
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


# Serving


def test_importing_it_loads_no_http_server_no_pillow_and_no_sdk() -> None:
    check = "import sys, claude_magic.offline; print({'http.server', 'PIL', 'anthropic', 'socket'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "set()"


def test_run_as_a_module_it_prints_where_it_serves() -> None:
    command = [sys.executable, "-m", "claude_magic.offline"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        url = line.split()[-1]
        status = urllib.request.urlopen(urllib.request.Request(url + "/v1/models", headers={"x-api-key": "k"})).status
        process.terminate()
    assert "not Claude" in line and status == 200


def test_the_stream_folds_into_the_message_it_recorded(server: offline.Server, client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"model": MODEL, "max_tokens": 900, "thinking": SHOWN, "tools": [WEATHER]}
    with client.messages.stream(messages=[user("get weather for Oslo")], **parameters) as stream:
        streamed = stream.get_final_message().to_dict()
    assert streamed == server.replies[-1]
    assert [block["type"] for block in streamed["content"]] == ["thinking", "text", "tool_use"]
    assert server.requests[-1]["messages"] == [user("get weather for Oslo")]


def test_events_come_in_the_apis_order(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(
        model=MODEL, max_tokens=900, messages=[user("hi")], stream=True, thinking=SHOWN
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    runs = [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert runs == ["message_start", block[0], "ping", *block[1:], *block, "message_delta", "message_stop"]
    assert [e["delta"]["type"] for e in events if e.get("index") == 0 and "delta" in e][-1] == "signature_delta"
    pieces = [e["delta"]["text"] for e in events if e.get("delta", {}).get("type") == "text_delta"]
    assert all(3 <= len(piece) <= 12 for piece in pieces[:-1])
    first, last = events[0]["message"]["usage"], events[-2]["usage"]
    assert first["output_tokens"] < last["output_tokens"] and first["input_tokens"] == last["input_tokens"]


def test_the_same_request_gets_the_same_words(client: anthropic.Anthropic) -> None:
    assert said(ask(client, "Tell me something")) == said(ask(client, "Tell me something"))


def test_every_model_of_the_table_is_listed_and_described(client: anthropic.Anthropic) -> None:
    listed = list(client.models.list(limit=7))
    assert [info.id for info in listed] == [model.id for model in MODELS]
    opus = client.models.retrieve(MODEL)
    assert (opus.max_input_tokens, opus.max_tokens, opus.lifecycle) == (1_000_000, 128_000, "active")
    assert opus.capabilities and not opus.capabilities.thinking.types.disabled.supported
    with pytest.raises(anthropic.NotFoundError, match="model: claude-opus-9"):
        client.models.retrieve("claude-opus-9")


def test_unknown_routes_are_not_found(server: offline.Server) -> None:
    assert post(server, {}, "/v1/elsewhere")[1]["error"]["type"] == "not_found_error"


def test_the_key_invalid_and_a_missing_key_are_refused(server: offline.Server) -> None:
    with pytest.raises(anthropic.AuthenticationError) as caught:
        ask(connect(server, "invalid"), "hi")
    assert caught.value.api_message == "invalid x-api-key"
    assert (caught.value.request_id or "").startswith("req_offline_")
    assert post(server, {}, key="")[0] == 401


def test_answers_carry_the_apis_headers(client: anthropic.Anthropic) -> None:
    headers = client.messages.with_raw_response.create(model=MODEL, max_tokens=99, messages=[user("hi")]).headers
    assert headers["request-id"].startswith("req_offline_")
    assert {"anthropic-organization-id", "anthropic-ratelimit-requests-remaining"} <= set(headers)


# What it refuses

SIGNED_ELSEWHERE = {"type": "thinking", "thinking": "", "signature": "RXFvQkNrZ0lDeEFDR0FJcVFQ"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}}
MARK = {"type": "ephemeral"}
BUDGET = {"type": "enabled", "budget_tokens": 1024}
HELLO = [user("hi"), assistant("Hello."), user("again")]
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
    server: offline.Server, parameters: dict[str, Any], message: str
) -> None:
    status, body = post(server, {"model": MODEL, "max_tokens": 100, "messages": HELLO, **parameters})
    assert (status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert message in body["error"]["message"] and body["request_id"].startswith("req_offline_")


@pytest.mark.parametrize(("messages", "message"), BAD_MESSAGES, ids=[f"{i}" for i in range(len(BAD_MESSAGES))])
def test_messages_are_refused_in_the_apis_words(referee: offline.Server, messages: list[Any], message: str) -> None:
    status, body = post(referee, {"model": MODEL, "max_tokens": 100, "messages": messages})
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
    ("an image of the largest size", [user([image(8000, 1)])], {}),
    ("twenty images of any size", [user([image(2001, 1), *[image(1, 1)] * 19])], {}),
    ("a document", [user([DOCUMENT, text("so?")])], {}),
    ("an image in a tool result", [user("x"), assistant([CALL]), user([{**RESULT, "content": [image(2, 2)]}])], {}),
    ("four cache marks", HELLO, {"system": [text(str(n), cache_control=MARK) for n in range(4)]}),
    ("a dated model", HELLO, {"model": "claude-opus-4-5-20251101"}),
    ("thinking with a budget", HELLO, {"model": "claude-sonnet-4-6", "thinking": BUDGET, "max_tokens": 1025}),
    ("no output", HELLO, {"max_tokens": 0}),
]


@pytest.mark.parametrize(("messages", "parameters"), [row[1:] for row in GOOD], ids=[row[0] for row in GOOD])
def test_what_the_api_takes_is_taken(referee: offline.Server, messages: list[Any], parameters: dict[str, Any]) -> None:
    status, body = post(referee, {"model": MODEL, "max_tokens": 100, "messages": messages, **parameters})
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


def test_a_request_over_32_megabytes_is_too_large(server: offline.Server) -> None:
    status, body = post(server, b" " * (32 * 1024 * 1024 + 1))
    assert (status, body["error"]["type"]) == (413, "request_too_large")


def test_a_prompt_longer_than_the_context_is_too_long(server: offline.Server) -> None:
    body = {"model": "claude-haiku-4-5", "max_tokens": 100, "messages": [user("word " * 200_000)]}
    status, answer = post(server, body)
    assert (status, answer["error"]["message"]) == (400, "prompt is too long: 285719 tokens > 200000 maximum")


def test_half_a_surrogate_pair_is_not_json_to_it(server: offline.Server) -> None:
    body = {"model": MODEL, "max_tokens": 100, "messages": [user("\ud83d")]}
    assert "not valid JSON" in post(server, body)[1]["error"]["message"]


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
def test_whatever_is_sent_the_answer_is_never_a_bug(referee: offline.Server, path: tuple[Any, ...], junk: Any) -> None:
    body = copy.deepcopy(WHOLE)
    target: Any = body
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = junk
    referee.script = None
    status, answer = post(referee, body)
    assert status in (200, 400, 404), (path, junk, answer)


# Thinking, and what it is bound to

SHAPES = {
    "text": ["text"],
    "thinking": ["thinking", "text"],
    "two thoughts": ["thinking", "text", "thinking", "text"],
    "a call": ["thinking", "tool_use"],
    "a silent call": ["text", "tool_use"],
}
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).map(
    lambda w: f"w{w}"
)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """What the two sides say, turn by turn, and what stands above it all."""
    turns = draw(st.lists(st.tuples(st.sampled_from(sorted(SHAPES)), words, words, words), min_size=1, max_size=4))
    return {
        "turns": turns,
        "system": draw(st.none() | words),
        "tools": [WEATHER] if draw(st.booleans()) else [],
        "display": draw(st.sampled_from(["summarized", "omitted"])),
    }


def hold(server: offline.Server, plan: dict[str, Any], model: str = MODEL) -> dict[str, Any]:
    """Hold the conversation with the server; the request that comes next, its history verbatim."""
    body: dict[str, Any] = {"model": model, "max_tokens": 4000, "messages": []}
    body["thinking"] = {"type": "adaptive", "display": plan["display"]}
    body |= {"system": plan["system"]} if plan["system"] else {}
    body |= {"tools": plan["tools"]} if plan["tools"] else {}
    call = None
    for number, (shape, prompt, thought, answer) in enumerate(plan["turns"]):
        result = [{"type": "tool_result", "tool_use_id": call, "content": prompt}] if call else []
        body["messages"].append(user([*result, text(prompt)] if result else prompt))
        call = f"toolu_{number}" if shape.endswith("call") else None
        reply = _scripted(SHAPES[shape], thought, answer, call)
        server.script = lambda _, reply=reply: reply  # type: ignore[misc]
        content = connect(server).messages.create(**body).to_dict()["content"]
        body["messages"].append(assistant(content))
    last = [{"type": "tool_result", "tool_use_id": call, "content": "done"}] if call else []
    body["messages"].append(user([*last, text("and now?")]))
    return body


def _scripted(shape: list[str], thought: str, answer: str, call: str | None) -> list[dict[str, Any]]:
    blocks: dict[str, dict[str, Any]] = {
        "thinking": {"type": "thinking", "thinking": thought},
        "text": text(answer),
        "tool_use": {"type": "tool_use", "id": call, "name": "get_weather", "input": {"city": answer, "x": None}},
    }
    return [copy.deepcopy(blocks[kind]) for kind in shape]


def verdict(server: offline.Server, body: dict[str, Any]) -> str:
    """What the server says to a history, by counting its tokens: `accepted`, or the error."""
    status, answer = post(server, {k: v for k, v in body.items() if k != "max_tokens"}, "/v1/messages/count_tokens")
    return "accepted" if status == 200 else answer["error"]["message"]


def places(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [(i, j) for i, message in enumerate(body["messages"]) for j, _ in enumerate(as_blocks(message["content"]))]


def as_blocks(content: Any) -> list[Any]:
    return [text(content)] if isinstance(content, str) else content


def in_blocks(body: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    for message in changed["messages"]:
        message["content"] = as_blocks(message["content"])
    return changed


def rewritten(body: dict[str, Any], draw: Any) -> dict[str, Any]:
    """The same history in another spelling: nothing that Claude would see is changed."""
    same = in_blocks(body)
    if isinstance(same.get("system"), str) and draw(st.booleans()):
        same["system"] = [text(same["system"], cache_control=MARK)]
    messages = []
    for message in same["messages"]:
        content = message["content"]
        cut = draw(st.integers(0, len(content)))
        parts = [content[:cut], content[cut:]] if 0 < cut < len(content) else [content]
        if message["role"] == "assistant" and any(p[-1]["type"] == "thinking" for p in parts):
            parts = [content]
        messages += [{"content": part, "role": message["role"]} for part in parts]
    at = draw(st.integers(0, len(messages) - 1))
    for block in messages[at]["content"][-1:]:
        if block["type"] not in ("thinking", "redacted_thinking"):
            block["cache_control"] = MARK
    same["messages"] = json.loads(json.dumps(messages, sort_keys=True))
    same["output_config"] = {"effort": draw(st.sampled_from(["low", "high"]))}
    return same


def edited(body: dict[str, Any], draw: Any) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """A history with one change, and the place before which all is as it was; `None` for the very top."""
    other = in_blocks(body)
    kind = draw(st.sampled_from(["system", "tools", "block", "insert", "drop", "exchange"]))
    if kind == "system":
        other["system"] = str(other.get("system") or "") + "!"
        return other, None
    if kind == "tools":
        other["tools"] = [{**tool, "description": "Another."} for tool in other.get("tools", [])] or [WEATHER]
        return other, None
    i, j = draw(st.sampled_from(places(other)))
    content = other["messages"][i]["content"]
    block = content[j]
    if kind == "insert" or block["type"] == "thinking":
        after = j + 1 if i % 2 == 0 else len(content)
        content.insert(after if block["type"] != "tool_use" else j, text("inserted"))
        return other, (i, min(after, j if block["type"] == "tool_use" else after))
    if kind == "exchange" and _free(other, i):
        first = i - i % 2
        del other["messages"][first : first + 2]
        return other, (first, 0)
    if kind == "drop" and block["type"] == "text" and 0 < j == len(content) - 1 and content[j - 1]["type"] == "text":
        del content[j]
        return other, (i, j)
    for name in {"text": ["text"], "tool_result": ["content"], "tool_use": ["input"]}[block["type"]]:
        block[name] = {**block[name], "x": 1} if name == "input" else block[name] + "!"
    return other, (i, j)


def _free(body: dict[str, Any], i: int) -> bool:
    """Whether the exchange at a message can go without leaving a tool call or result alone."""
    first = i - i % 2
    blocks = [block for message in body["messages"][first : first + 3] for block in message["content"]]
    return first + 2 < len(body["messages"]) and not any(b["type"].startswith("tool") for b in blocks)


def thoughts(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [(i, j) for i, j in places(body) if as_blocks(body["messages"][i]["content"])[j]["type"] == "thinking"]


quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@quick
@given(conversations(), st.data())
def test_an_unchanged_history_is_never_refused(referee: offline.Server, plan: dict[str, Any], data: Any) -> None:
    body = hold(referee, plan)
    assert verdict(referee, body) == "accepted"
    assert verdict(referee, rewritten(body, data.draw)) == "accepted"


@quick
@given(conversations(), st.data())
def test_thinking_after_a_change_is_refused_and_thinking_before_it_is_not(
    referee: offline.Server, plan: dict[str, Any], data: Any
) -> None:
    changed, place = edited(hold(referee, plan), data.draw)
    late = [t for t in thoughts(changed) if place is None or t >= place]
    wanted = "accepted"
    if late:
        where = f"messages.{late[0][0]}.content.{late[0][1]}"
        wanted = f"{where}: Invalid `signature` in `thinking` block: The block is bound to a different conversation"
    assert verdict(referee, changed) == wanted


@quick
@given(conversations(), st.data())
def test_thinking_that_is_left_out_breaks_the_thinking_after_it_only(
    referee: offline.Server, plan: dict[str, Any], data: Any
) -> None:
    body = in_blocks(hold(referee, plan))
    if not (found := thoughts(body)):
        return
    i, j = data.draw(st.sampled_from(found))
    del body["messages"][i]["content"][j]
    assert (verdict(referee, body) == "accepted") == (not [t for t in thoughts(body) if t >= (i, j)])


@quick
@given(conversations(), st.data())
def test_a_damaged_signature_or_thought_is_refused_on_every_model(
    referee: offline.Server, plan: dict[str, Any], data: Any
) -> None:
    model = data.draw(st.sampled_from([MODEL, "claude-opus-4-8"]))
    body = in_blocks(hold(referee, plan, model))
    if not (found := thoughts(body)):
        return
    i, j = data.draw(st.sampled_from(found))
    block = body["messages"][i]["content"][j]
    name = data.draw(st.sampled_from(["signature", "thinking"]))
    at = data.draw(st.integers(0, len(block[name])))
    block[name] = block[name][:at] + "x" + block[name][at + 1 :] + ("y" if block[name][at : at + 1] == "x" else "")
    assert verdict(referee, body) == f"messages.{i}.content.{j}: Invalid `signature` in `thinking` block"


PLAN = {"turns": [("thinking", "a", "long thought " * 30, "c")], "system": None, "tools": [], "display": "omitted"}


def test_another_models_thinking_is_dropped_unbilled(referee: offline.Server) -> None:
    body = in_blocks(hold(referee, PLAN))
    without = copy.deepcopy(body)
    del without["messages"][1]["content"][0]
    count = connect(referee).messages.count_tokens
    other = {"model": "claude-sonnet-5-5"}
    keys = ("messages", "model")
    kept, dropped = ({k: each[k] for k in keys} for each in (body, without))
    assert count(**{**kept, **other}).input_tokens == count(**{**dropped, **other}).input_tokens
    assert count(**kept).input_tokens >= count(**dropped).input_tokens + 100  # its own are billed, shown or not
    changed = copy.deepcopy(body) | other
    changed["messages"][0]["content"][0]["text"] = "changed"
    assert verdict(referee, changed) == "accepted"


def test_models_that_do_not_bind_thinking_take_it_in_a_changed_history(referee: offline.Server) -> None:
    body = in_blocks(hold(referee, PLAN, "claude-opus-5"))
    body["messages"][0]["content"][0]["text"] = "changed"
    assert verdict(referee, body) == "accepted"


def test_thinking_made_on_a_changed_history_is_bound_to_that_one(referee: offline.Server) -> None:
    client = connect(referee)
    referee.script = None
    history = [user("one"), assistant("edited by hand"), user("two")]
    reply = ask(client, *history)["content"]
    assert ask(client, *history, assistant(reply), user("three"))["stop_reason"] == "end_turn"
    history[1] = assistant("as it was")
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        ask(client, *history, assistant(reply), user("three"))


def test_who_said_it_is_part_of_what_thinking_is_bound_to(client: anthropic.Anthropic) -> None:
    history = [user("one"), {"role": "system", "content": "be brief"}]
    reply = assistant(ask(client, *history)["content"])
    assert ask(client, *history, reply, user("two"))["stop_reason"] == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        ask(client, user("one"), user("be brief"), reply, user("two"))


def test_signatures_outlive_the_server(server: offline.Server) -> None:
    reply = ask(connect(server), "hi")["content"]
    with offline.start() as another:
        assert ask(connect(another), "hi", assistant(reply), "again")["stop_reason"] == "end_turn"


def test_thinking_is_shown_as_the_model_and_the_request_say(client: anthropic.Anthropic) -> None:
    def thinking(**parameters: Any) -> list[str]:
        content = ask(client, "hi", **parameters)["content"]
        return [block["thinking"] for block in content if block["type"] == "thinking"]

    assert thinking() == [""]
    assert "hi" in thinking(thinking=SHOWN)[0]
    assert "hi" in thinking(model="claude-haiku-4-5", thinking=BUDGET)[0]
    assert thinking(model="claude-haiku-4-5", thinking={**BUDGET, "display": "omitted"}) == [""]
    assert thinking(model="claude-haiku-4-5") == thinking(model=PLAIN, thinking={"type": "disabled"}) == []


# Usage


def usage(message: dict[str, Any]) -> tuple[int, int, int]:
    counted = message["usage"]
    return counted["input_tokens"], counted["cache_creation_input_tokens"], counted["cache_read_input_tokens"]


def test_a_count_is_what_the_message_is_billed(client: anthropic.Anthropic) -> None:
    body: dict[str, Any] = {"model": MODEL, "messages": [user([image(280, 280), text("hi")])], "system": "be kind"}
    counted = client.messages.count_tokens(**body).input_tokens
    assert usage(client.messages.create(max_tokens=500, **body).to_dict()) == (counted, 0, 0)
    assert counted > 100


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [(MODEL, (1000, 1000), 36 * 36), (MODEL, (8000, 8000), 4784), ("claude-opus-4-6", (1600, 1600), 1568)],
)
def test_images_cost_what_the_documentation_says(
    client: anthropic.Anthropic, model: str, size: tuple[int, int], tokens: int
) -> None:
    def count(content: Any) -> int:
        return client.messages.count_tokens(model=model, messages=[user(content)]).input_tokens

    assert count([image(*size), text("x")]) - count("x") == tokens


LONG = "a word and another " * 200


def test_the_cache_is_written_then_read_then_grows(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"cache_control": MARK, "system": LONG}
    first = ask(client, "one", **parameters)
    fresh, written, read = usage(first)
    assert (fresh, read) == (0, 0) and written > 1000
    history = [user("one"), assistant(first["content"]), user("two")]
    fresh, grown, read = usage(ask(client, *history, **parameters))
    assert (fresh, read) == (0, written) and 0 < grown < 200


def test_below_the_models_minimum_nothing_is_cached(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"cache_control": MARK, "system": LONG, "model": "claude-haiku-4-5"}
    assert [usage(ask(client, "one", **parameters))[1:] for _ in range(2)] == [(0, 0), (0, 0)]


def test_a_cache_entry_lives_five_minutes_or_an_hour_from_its_last_use(
    server: offline.Server, client: anthropic.Anthropic
) -> None:
    now = 0.0
    server.clock = lambda: now
    for ttl, seconds in (("5m", 300), ("1h", 3600)):
        parameters: dict[str, Any] = {"cache_control": {**MARK, "ttl": ttl}, "system": ttl + LONG}
        split = ask(client, "one", **parameters)["usage"]["cache_creation"]
        assert split[f"ephemeral_{ttl}_input_tokens"] > 1000 and sorted(split.values())[0] == 0
        now += seconds - 1
        assert usage(ask(client, "one", **parameters))[2] > 1000
        now += seconds - 1
        assert usage(ask(client, "one", **parameters))[2] > 1000
        now += seconds
        assert usage(ask(client, "one", **parameters))[2] == 0


def test_a_change_empties_the_cache_from_there_on(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"system": [text(LONG, cache_control=MARK)], "cache_control": MARK, "tools": [WEATHER]}
    ask(client, [text(LONG), text("one")], **parameters)

    def read(opening: str = LONG, **changes: Any) -> int:
        return usage(ask(client, [text(opening), text("one")], **{**parameters, **changes}))[2]

    everything = read()
    assert 0 < read("another " + LONG) < everything
    assert 0 < read(output_config={"effort": "low"}) < everything  # tools and system prompt stay
    assert read(system=[text(LONG + "!", cache_control=MARK)]) == 0
    assert read(tools=[{**WEATHER, "description": "!"}]) == 0
    assert read(model="claude-opus-5") == 0


def test_another_key_reads_nothing(server: offline.Server) -> None:
    for key in ("one", "two"):
        assert usage(ask(connect(server, key), "hi", system=LONG, cache_control=MARK))[2] == 0


def test_the_cache_looks_back_twenty_blocks(client: anthropic.Anthropic) -> None:
    def read(count: int) -> int:
        content = [text(f"block {n}") for n in range(count)]
        return usage(ask(client, [text(LONG), *content], cache_control=MARK))[2]

    read(0)
    assert read(20) == 0
    assert read(19) > 0


def test_thinking_tokens_are_counted_shown_or_not(client: anthropic.Anthropic) -> None:
    hidden, shown = (ask(client, "hi", thinking={**SHOWN, "display": d})["usage"] for d in ("omitted", "summarized"))
    assert hidden == shown
    assert 0 < hidden["output_tokens_details"]["thinking_tokens"] < hidden["output_tokens"]
    assert (hidden["service_tier"], hidden["inference_geo"]) == ("standard", "global")


# Replies


def test_every_reply_says_that_it_is_not_claude(client: anthropic.Anthropic) -> None:
    for prompt in ("hi", "17 * 23", "[[long 300]]", "compare a and b"):
        reply = ask(client, prompt)
        assert said(reply).startswith("*Offline stand-in, not Claude.*\n\n")
        assert reply["model"] == MODEL and reply["id"].startswith("msg_offline_")


FRAME = """DataFrame iris: 1,500 rows × 3 columns (polars)
column | type | nulls | values
sepal length | Float64 | 0 | min 4.3, max 7.9, mean 5.84, distinct 35
grams | Int64 | 2 | min -2, max 1e+03, mean 499, distinct 9
species | String | 0 | distinct 3, top a (50), b (50)
first 2 rows:
sepal length,grams,species
5.1,7,a
4.9,8,what is 1 + 1
"""


@pytest.mark.parametrize(
    ("prompts", "parts"),
    [
        (["What is 17 * 23?"], ["17 \\* 23 = **391**"]),
        (["(2 + 3) × 4 ^ 2 ="], ["**80**"]),
        (["What is 1/0, and 9**9**9**9?"], ["You asked"]),
        (["On 2026-11-22, what is up?"], ["You asked: “On 2026-11-22, what is up?”"]),
        ([FRAME + "What is the sepal length?"], ["`iris`", "1,500 rows", "3 columns", "4.3 to 7.9; the mean, 5.84"]),
        ([f"Plot this:\n{FRAME}"], ["```python", 'iris["grams"]', "-2 to 1000"]),
        ([f"Group by, in code:\n{FRAME}"], ['iris.group_by("species")', "import polars"]),
        ([f"A table of {FRAME}".replace("of ", "of\n")], ["| `sepal length` | 4.3 | 5.84 | 7.9 |"]),
        (["My name is Ada Lovelace."], ["Ada Lovelace"]),
        (["My name is Ada Lovelace, hi.", "And so on", "What is my name?"], ["Your name is **Ada Lovelace**"]),
        (["My favourite colour is teal.", "What's my favorite color?", "What's my favourite colour?"], ["**teal**"]),
        (["Remember that the code is 4711.", "What did I ask you before?"], ["the code is 4711", "1. “Remember"]),
        (["First things", "Second things", "What did I say earlier?"], ["1. “First things”", "2. “Second things”"]),
        (["Compare Rome and Oslo"], ["| Rome | 4 | 2 |", "| Oslo | 4 | 2 |"]),
        (["Give me the formula for variance"], ["$$s^2"]),
        (["Write a Python function for primes"], ["```python\ndef is_prime"]),
        (["Why?\nTraceback (most recent call last):\n  File x\nValueError: no such thing"], ["`ValueError: no such"]),
        (["Hello there"], ["You asked: “Hello there”"]),
    ],
)
def test_replies_pick_up_what_is_asked(client: anthropic.Anthropic, prompts: list[str], parts: list[str]) -> None:
    messages: list[Any] = []
    for prompt in prompts:
        messages.append(user(prompt))
        reply = ask(client, *messages)
        messages.append(assistant(reply["content"]))
    assert all(part in said(reply) for part in parts), said(reply)


def test_it_measures_images(client: anthropic.Anthropic) -> None:
    assert "JPEG of **64 × 32 pixels**" in said(ask(client, [image(64, 32, "JPEG"), text("what size?")]))


def test_it_says_what_its_instructions_are(client: anthropic.Anthropic) -> None:
    reply = said(ask(client, "hi", system="You are a pirate"))
    assert "Arr!" in reply and "“You are a pirate”" in reply and "You asked: “hi”" in reply
    assert "“be brief”" in said(ask(client, user("hi"), {"role": "system", "content": "be brief"}))


def test_it_calls_a_tool_that_is_named_and_answers_from_the_result(client: anthropic.Anthropic) -> None:
    prompt = user("Use get_weather in New York for 12 days, fahrenheit")
    reply = ask(client, prompt, tools=[WEATHER])
    call = reply["content"][-1]
    assert (reply["stop_reason"], call["name"]) == ("tool_use", "get_weather")
    assert call["input"] == {"city": "New York", "days": 7, "unit": "fahrenheit", "hours": [1.0]}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "rain, 3 degrees"}
    answer = ask(client, prompt, assistant(reply["content"]), user([result]), tools=[WEATHER])
    assert (answer["stop_reason"], "rain, 3 degrees" in said(answer)) == ("end_turn", True)


def test_it_keeps_to_an_output_schema(client: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"$ref": "#/$defs/count"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "$defs": {"count": {"type": "integer"}},
    }
    reply = ask(client, "Take 5", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(said(reply)) == {"n": 5, "tags": ["Take 5"]}


def test_it_refuses_when_told_to(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=99, messages=[user("[[refuse]] please")]) as stream:
        reply = stream.get_final_message().to_dict()
    assert (reply["stop_reason"], reply["content"]) == ("refusal", [])
    assert reply["stop_details"]["type"] == "refusal" and reply["stop_details"]["explanation"]


def test_long_replies_are_about_as_long_as_asked(client: anthropic.Anthropic) -> None:
    assert 20_000 <= len(said(ask(client, "[[long 20000]]", max_tokens=20_000))) < 20_400


def test_max_tokens_cuts_the_reply_off(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"model": PLAIN, "thinking": {"type": "disabled"}}
    whole = said(ask(client, "[[long 900]]", **parameters))
    reply = ask(client, "[[long 900]]", max_tokens=50, **parameters)
    assert (reply["stop_reason"], reply["usage"]["output_tokens"]) == ("max_tokens", 50)
    assert whole.startswith(said(reply)) and 100 < len(said(reply)) < len(whole)
    only_thought = ask(client, "hi", max_tokens=10, thinking=SHOWN)
    assert [block["type"] for block in only_thought["content"]] == ["thinking"]


def test_a_stop_sequence_ends_the_reply_and_is_named(client: anthropic.Anthropic) -> None:
    reply = ask(client, "hi", stop_sequences=["never", "Claude"])
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("stop_sequence", "Claude")
    assert said(reply) == "*Offline stand-in, not "


def test_a_script_dictates_the_reply(server: offline.Server, client: anthropic.Anthropic) -> None:
    server.script = lambda body: [SEARCH] if "search" in str(body["messages"]) else None
    assert ask(client, "search")["stop_reason"] == "pause_turn"
    assert "You asked" in said(ask(client, "hi"))


# Faults


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 429, 500, 503, 529])
def test_http_errors_come_with_the_apis_body_and_the_given_headers(
    server: offline.Server, client: anthropic.Anthropic, status: int
) -> None:
    server.faults.append(Fault("status", status=status, headers={"retry-after": "7", "x-should-retry": "maybe"}))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, "hi")
    assert (caught.value.status_code, caught.value.response.headers["retry-after"]) == (status, "7")
    assert caught.value.response.headers.get_list("x-should-retry") == ["maybe"]
    assert caught.value.type and caught.value.request_id
    assert ask(client, "hi")["stop_reason"] == "end_turn"  # one fault, one request
    assert len(server.requests) == 2 and len(server.replies) == 1


def test_none_in_the_queue_is_no_fault(server: offline.Server, client: anthropic.Anthropic) -> None:
    server.faults.extend([None, Fault(), Fault("close")])
    assert ask(client, "hi")["stop_reason"] == ask(client, "hi")["stop_reason"] == "end_turn"
    with pytest.raises(anthropic.APIConnectionError):
        ask(client, "hi")


def stream(client: anthropic.Anthropic) -> Iterator[Any]:
    yield from client.messages.create(model=MODEL, max_tokens=500, messages=[user("hi")], stream=True)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("cut", after=5), httpx2.RemoteProtocolError),
        (Fault("cut_inside", after=5), httpx2.RemoteProtocolError),
        (Fault("error", after=5), anthropic.APIStatusError),
        (Fault("error", after=5, error="rate_limit_error", message="slow down"), anthropic.APIStatusError),
        (Fault("broken", after=5), ValueError),
        (Fault("end", after=5), None),
    ],
)
def test_a_stream_breaks_off_after_so_many_events(
    server: offline.Server, client: anthropic.Anthropic, fault: Fault, error: type[Exception] | None
) -> None:
    server.faults.append(fault)
    seen = []
    try:
        for event in stream(client):
            seen.append(event.type)
        failed = None
    except Exception as caught:
        failed = caught
    assert len(seen) == 4 and "message_stop" not in seen  # the SDK swallows the ping
    assert isinstance(failed, error) if error else failed is None
    if isinstance(failed, anthropic.APIStatusError):
        assert (failed.type, failed.api_message) == (fault.error, fault.message or "Overloaded")
    assert server.replies == []


@pytest.mark.parametrize("kind", ["cut", "stall", "error", "end", "broken", "cut_inside"])
def test_a_fault_may_come_before_the_first_event(
    server: offline.Server, client: anthropic.Anthropic, kind: Any
) -> None:
    server.faults.append(Fault(kind))
    try:
        seen = [event for event in stream(client.with_options(timeout=0.3))]
    except (anthropic.APIError, httpx2.HTTPError, ValueError):
        seen = []
    assert seen == []


def test_a_stalled_stream_ends_when_the_server_stops(server: offline.Server, client: anthropic.Anthropic) -> None:
    server.faults.append(Fault("stall", after=3))
    events = stream(client)
    seen = [next(events).type, next(events).type]
    server.stop()
    with pytest.raises(httpx2.RemoteProtocolError):
        next(events)
    assert seen == ["message_start", "content_block_start"]


@pytest.mark.parametrize("kind", ["cut", "end", "broken"])
def test_faults_break_replies_that_do_not_stream_too(
    server: offline.Server, client: anthropic.Anthropic, kind: Any
) -> None:
    server.faults.append(Fault(kind))
    with pytest.raises(anthropic.APIConnectionError):
        ask(client, "hi")
    server.faults.append(Fault("error"))
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(client, "hi")
    assert caught.value.status_code == 529


def test_a_slow_stream_and_a_paced_one_are_whole(server: offline.Server, client: anthropic.Anthropic) -> None:
    server.faults.append(Fault("slow", seconds=0.001))
    assert [event.type for event in stream(client)][-1] == "message_stop"
    server.pace = 5000
    assert [event.type for event in stream(client)][-1] == "message_stop"


def test_a_client_that_goes_away_does_no_harm(server: offline.Server, client: anthropic.Anthropic) -> None:
    for _ in range(3):
        with client.messages.create(model=MODEL, max_tokens=9000, messages=[user("[[long 30000]]")], stream=True) as s:
            next(iter(s))
    assert ask(client, "hi")["stop_reason"] == "end_turn"
