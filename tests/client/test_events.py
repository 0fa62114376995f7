"""What gateways make of a stream of events: a whole reply is whole, over real HTTP, whatever its form."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claude_magic import errors
from claude_magic.client import Client, Settings
from claude_magic.client.concurrent import Attempt, ConcurrentClient
from claude_magic.conversation.accumulator import Accumulator
from support.gateway import Answer, Gateway, answer, gateway, message, named, unnamed
from support.provider_server import EVENTS

PARAMS = {
    "model": "claude-opus-5-5",
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": "Hello?"}],
}
SETTINGS = Settings(max_retries=0, timeout=5)
JSON = "application/json"
BOM = b"\xef\xbb\xbf"
MESSAGE = json.dumps(message())
CALLING = (
    EVENTS[0],
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
)

Ask = Callable[[], Accumulator]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway() as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-of-a-gateway")
        yield running


def stream(params: Any = PARAMS) -> Accumulator:
    """Ask as a cell does. Raises `ClaudeError`."""
    accumulator = Accumulator()
    for event in Client().stream(params, SETTINGS, lambda _wait: None):
        accumulator.add(event)
    return accumulator


def attempt(params: Any = PARAMS) -> Attempt:
    """Ask as a map does."""

    async def asked() -> Attempt:
        client = ConcurrentClient(Client(), SETTINGS, 2)
        try:
            return await client.attempt(params, lambda _headers: None)
        finally:
            await client.close()

    return asyncio.run(asked())


def concurrent(params: Any = PARAMS) -> Accumulator:
    """`attempt`, which raises its failure."""
    made = attempt(params)
    if made.failure is not None:
        raise made.failure
    return made.accumulator


@pytest.fixture(params=[stream, concurrent], ids=["of a cell", "of a map"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def in_bytes(text: str) -> Answer:
    return Answer(tuple(bytes([each]) for each in text.encode()))


def crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def untyped(*events: Any) -> str:
    """Events that have their type only as a name."""
    bare = [{name: value for name, value in each.items() if name != "type"} for each in events]
    pairs = zip(events, bare, strict=True)
    return "".join(f"event: {each['type']}\ndata: {json.dumps(rest)}\n\n" for each, rest in pairs)


WHOLE = {
    "as the API has it": answer(named(*EVENTS)),
    "without message_stop": answer(named(*EVENTS[:-1])),
    "without message_stop, closed": answer(named(*EVENTS[:-1]), length=False),
    "without event lines": answer(unnamed(*EVENTS)),
    "without event lines and message_stop": answer(unnamed(*EVENTS[:-1])),
    "all events named message": answer(unnamed(*EVENTS).replace("data:", "event: message\ndata:")),
    "half of the names": answer(named(*EVENTS[:3]) + unnamed(*EVENTS[3:])),
    "no space after the colon": answer(unnamed(*EVENTS).replace("data: ", "data:")),
    "without types in the data": answer(untyped(*EVENTS)),
    "an empty event at the end": answer(named(*EVENTS[:-1]) + "event: message_stop\n\n"),
    "no fields at the end": answer(named(*EVENTS[:-1]) + "event: message_stop\ndata: {}\n\n"),
    "types last": answer(named(*(dict(reversed(each.items())) for each in EVENTS))),
    "byte order mark": answer(BOM + named(*EVENTS).encode()),
    "byte order mark, no names": answer(BOM + unnamed(*EVENTS).encode()),
    "byte order mark in pieces": Answer((BOM[:1], BOM[1:2], BOM[2:] + unnamed(*EVENTS).encode())),
    "empty lines first": answer("\n\n" + named(*EVENTS)),
    "carriage returns": answer(crlf(named(*EVENTS))),
    "carriage returns, no names": answer(crlf(unnamed(*EVENTS))),
    "carriage returns alone": answer(named(*EVENTS).replace("\n", "\r")),
    "byte by byte": in_bytes(crlf(": hello\n\n" + unnamed(*EVENTS))),
    "done at the end": answer(unnamed(*EVENTS) + "data: [DONE]\n\n"),
    "done instead of message_stop": answer(unnamed(*EVENTS[:-1]) + "data: [DONE]\n\n"),
    "done with a name": answer(named(*EVENTS[:-1]) + "event: done\ndata: [DONE]\n\n"),
    "done with a name of the API": answer(named(*EVENTS[:-1]) + "event: message_stop\ndata: [DONE]\n\n"),
    "comments": answer(": connected\n\n" + named(*EVENTS[:2]) + ": still here\n\n" + named(*EVENTS[2:])),
    "pings": answer(
        unnamed({"type": "ping"})
        + "event: ping\ndata: \n\n"
        + named(*EVENTS[:3])
        + "event: ping\n\n"
        + named(*EVENTS[3:])
    ),
    "retry and id": answer("retry: 3000\nid: 7\n\n" + unnamed(*EVENTS).replace("data:", "id: 8\ndata:")),
    "unknown events": answer(
        named(EVENTS[0]) + "event: usage\ndata: 12\n\ndata: ok\n\ndata: [1]\n\n" + named(*EVENTS[1:])
    ),
    "no empty line at the end": answer(named(*EVENTS).rstrip("\n")),
    "cut inside of message_stop": answer(named(*EVENTS[:-1]) + 'event: message_stop\ndata: {"type": "mess'),
    "another media type": answer(named(*EVENTS), kind="text/plain"),
    "said to be JSON": answer(named(*EVENTS), kind=JSON),
    "no media type": answer(named(*EVENTS), kind=""),
    "JSON": answer(MESSAGE, kind=JSON),
    "JSON with a byte order mark": answer(BOM + MESSAGE.encode(), kind=JSON),
    "JSON, said to be a stream": answer("\r\n " + MESSAGE),
    "JSON, said to be text": answer(MESSAGE, kind="text/plain; charset=utf-8"),
    "JSON as one event": answer(f"data: {MESSAGE}\n\n"),
    "JSON as one event with a name": answer(f"event: message\ndata: {MESSAGE}\n\ndata: [DONE]\n\n"),
}


@pytest.mark.parametrize("form", WHOLE)
def test_a_whole_reply_is_whole_in_whatever_form_it_comes(server: Gateway, ask: Ask, form: str) -> None:
    server.answering(WHOLE[form])
    accumulator = ask()
    assert accumulator.complete and accumulator.text == "Hi." and accumulator.reply().stop_reason == "end_turn"
    assert accumulator.usage["output_tokens"] == 2 and len(server.came) == 1


@pytest.mark.parametrize("form", ["JSON", "as the API has it", "without event lines"])
def test_so_is_one_that_was_not_to_be_streamed(server: Gateway, form: str) -> None:
    server.answering(WHOLE[form])
    assert stream({name: value for name, value in PARAMS.items() if name != "stream"}).text == "Hi."


def test_a_call_of_a_tool_without_message_stop_is_whole(server: Gateway, ask: Ask) -> None:
    server.answering(answer(named(*CALLING)))
    reply = ask().reply()
    assert reply.stop_reason == "tool_use" and not reply.partial and len(reply.content) == 2


CUT = {
    "no stop reason": answer(named(*EVENTS[:4])),
    "a stop reason that is null": answer(
        named(*EVENTS[:4], {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {}})
    ),
    "a block that did not stop": answer(named(*CALLING[:6], CALLING[-1])),
    "no message_delta, but done": answer(unnamed(*EVENTS[:4]) + "data: [DONE]\n\n"),
    "cut inside of an event": answer(named(*EVENTS[:4]) + 'event: message_delta\ndata: {"type": "message_d'),
    "cut inside of an event without a name": answer(unnamed(*EVENTS[:4]) + 'data: {"type": "message_d'),
}


@pytest.mark.parametrize("form", CUT)
def test_a_reply_that_is_cut_off_is_not_whole(server: Gateway, ask: Ask, form: str) -> None:
    server.answering(CUT[form])
    with pytest.raises(errors.StreamError, match="ended before it was finished"):
        ask()


def test_a_connection_that_breaks_is_no_end_of_a_reply(server: Gateway, ask: Ask) -> None:
    body = named(*EVENTS[:-1]).encode()
    longer = (("content-length", str(len(body) + 10)), ("request-id", "req_1"))
    server.answering(Answer((body,), headers=longer, length=False))
    with pytest.raises(errors.StreamError):
        ask()


def test_what_comes_after_the_last_event_does_not_matter(server: Gateway) -> None:
    body = named(*EVENTS).encode() + b"event: error\ndata: too late\n\n"
    server.answering(answer(body))
    assert concurrent().complete and stream().complete


FOREIGN = {
    "a page": (
        answer("<!DOCTYPE html><title>Log in</title>", kind="text/html; charset=utf-8"),
        "web page: a proxy? It says: Log in",
    ),
    "a page as a stream": (answer("<html>Blocked by policy</html>"), "web page: a proxy? It says: Blocked by policy"),
    "text": (answer("Welcome to the gateway.\n"), "text that is not of the Messages API: Welcome to the gateway."),
    "nothing": (answer(""), "an empty body"),
    "white space": (answer("\n\n"), "an empty body"),
    "JSON of another shape": (
        answer('{"detail": "Not Found"}', kind=JSON),
        "JSON that is not of the Messages API: Not Found",
    ),
    "an empty object": (answer("{}", kind=JSON), "JSON that is not of the Messages API."),
    "broken JSON": (answer('{"id": ', kind=JSON), 'text that is not of the Messages API: {"id":'),
    "deep JSON": (answer("[" * 20_000 + "]" * 20_000, kind=JSON), "not of the Messages API"),
    "another API": (
        answer('data: {"object": "chat.completion.chunk", "choices": []}\n\ndata: [DONE]\n\n'),
        "chat.completion",
    ),
}


@pytest.mark.parametrize("form", FOREIGN)
def test_what_is_not_the_messages_api_is_told_with_its_address(server: Gateway, ask: Ask, form: str) -> None:
    told, says = FOREIGN[form]
    server.answering(told)
    with pytest.raises(errors.StreamError) as raised:
        ask()
    assert says in raised.value.message and f"{server.url}/v1/messages answered with" in raised.value.message
    assert "ClaudeMagic.base_url or ANTHROPIC_BASE_URL" in raised.value.advice and "\n" not in str(raised.value)
    assert raised.value.request_id == "req_1"


BROKEN_OFF = {
    "plain text": (
        "event: error\ndata: upstream timeout\n\n",
        errors.ServerError,
        "broke off the reply with an error: upstream timeout",
    ),
    "nothing": ("event: error\ndata:\n\n", errors.ServerError, "with an error, and no explanation"),
    "a page": (
        "event: error\ndata: <html><title>504 Gateway Time-out</title>\n\n",
        errors.ServerError,
        "504 Gateway Time-out",
    ),
    "the API's": (
        'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}\n\n',
        errors.OverloadedError,
        "Full",
    ),
    "without a name": (
        'data: {"type": "error", "error": {"type": "overloaded_error", "message": "Full"}}\n\n',
        errors.OverloadedError,
        "Full",
    ),
    "under another name": (
        'event: message\ndata: {"type": "error", "error": {"type": "api_error", "message": "No"}}\n\n',
        errors.ServerError,
        "No",
    ),
    "a string": ('event: error\ndata: {"error": "model is loading"}\n\n', errors.ServerError, "model is loading"),
    "a string without a name": ('data: {"error": "model is loading"}\n\n', errors.ServerError, "model is loading"),
    "a list": ('event: error\ndata: [{"error": {"message": "no luck"}}]\n\n', errors.ServerError, "no luck"),
    "a code": (
        'data: {"error": {"message": "slow down", "type": "None", "code": "429"}}\n\n',
        errors.RateLimitError,
        "slow down",
    ),
    "a detail": ('event: error\ndata: {"detail": "worker died", "status": 500}\n\n', errors.ServerError, "worker died"),
    "without an end": ("event: error\ndata: upstream timeout", errors.ServerError, "upstream timeout"),
}


@pytest.mark.parametrize("form", BROKEN_OFF)
def test_an_error_in_the_stream_is_told_in_the_servers_words(server: Gateway, ask: Ask, form: str) -> None:
    body, kind, says = BROKEN_OFF[form]
    server.answering(answer(named(*EVENTS[:3]) + body))
    with pytest.raises(errors.APIError) as raised:
        ask()
    assert type(raised.value) is kind and says in raised.value.message and raised.value.request_id == "req_1"


def test_an_error_in_json_with_a_good_status_is_told_as_one_in_the_stream(server: Gateway, ask: Ask) -> None:
    server.answering(answer('{"error": "model is loading"}', kind=JSON))
    with pytest.raises(errors.ServerError, match="model is loading"):
        ask()


def test_an_event_that_is_no_object_is_one_line(server: Gateway, ask: Ask) -> None:
    server.answering(answer(named(*EVENTS[:2]) + "event: content_block_delta\ndata: [7]\n\n" + named(*EVENTS[2:])))
    with pytest.raises(errors.StreamError, match="unreadable"):
        ask()
    server.answering(answer(named(EVENTS[0]) + f"event: content_block_delta\ndata: {'[' * 20_000}\n\n"))
    with pytest.raises(errors.StreamError, match="unreadable"):
        ask()
