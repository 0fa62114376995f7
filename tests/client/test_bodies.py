"""What gateways, proxies and web servers say instead of the API, in one line with the address, and never the key."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from claude_magic import errors
from claude_magic.client import Client, Settings
from claude_magic.client.batches import Batches
from claude_magic.client.bodies import said
from claude_magic.client.concurrent import ConcurrentClient
from claude_magic.client.retry import is_retryable
from claude_magic.conversation.wait import Wait
from support.gateway import WHOLE, Gateway, answer, gateway

KEY = "a-key-of-a-gateway-0123456789"
PARAMS = {
    "model": "claude-opus-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "Hello?"}],
}
ONCE = Settings(max_retries=0, timeout=5)
JSON, HTML, TEXT = "application/json", "text/html", "text/plain"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway() as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        yield running


def stream() -> None:
    for _ in Client().stream({**PARAMS, "stream": True}, ONCE, lambda _wait: None):
        pass


def concurrent() -> None:
    async def asked() -> errors.ClaudeError | None:
        client = ConcurrentClient(Client(), ONCE, 2)
        try:
            return (await client.attempt({**PARAMS, "stream": True}, lambda _headers: None)).failure
        finally:
            await client.close()

    if failure := asyncio.run(asked()):
        raise failure


def count() -> None:
    Client().count_tokens(PARAMS, ONCE)


def retrieve() -> None:
    Batches(Client(), ONCE).retrieve("msgbatch_1")


def cancel() -> None:
    Batches(Client(), ONCE).cancel("msgbatch_1")


def create() -> None:
    Batches(Client(), ONCE).create(iter([b"{}"]), 2, ())


def newest() -> None:
    list(Batches(Client(), ONCE).newest())


def results() -> None:
    list(Batches(Client(), ONCE).results("msgbatch_1"))


WAYS: dict[Callable[[], None], str] = {
    stream: "/v1/messages",
    concurrent: "/v1/messages",
    count: "/v1/messages/count_tokens",
    retrieve: "/v1/messages/batches/msgbatch_1",
    cancel: "/v1/messages/batches/msgbatch_1/cancel",
    create: "/v1/messages/batches",
    newest: "/v1/messages/batches",
    results: "/v1/messages/batches/msgbatch_1/results",
}


def failure(ask: Callable[[], None] = stream) -> errors.ClaudeError:
    """The error that asking raises: on one line, without the key, without a cause that may hold it."""
    with pytest.raises(errors.ClaudeError) as raised:
        ask()
    error = raised.value
    told = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert KEY not in told and "\n" not in f"{error.message}{error.advice}" and len(str(error)) < 1_200
    assert error.__cause__ is None and error.__context__ is None
    return error


BODIES: dict[str, tuple[int, str, str, type[errors.ClaudeError], str]] = {
    "FastAPI": (404, '{"detail":"Not Found"}', JSON, errors.NotFoundError, "answered 404 Not Found"),
    "FastAPI's fields": (
        422,
        '{"detail":[{"loc":["body","system"],"msg":"field required","type":"missing"}]}',
        JSON,
        errors.InvalidRequestError,
        "422 Unprocessable Entity: body.system: field required",
    ),
    "a message": (404, '{"message":"no Route matched"}', JSON, errors.NotFoundError, "no Route matched"),
    "a string": (400, '{"error":"model not loaded"}', JSON, errors.InvalidRequestError, "model not loaded"),
    "a title": (
        409,
        '{"type":"about:blank","title":"Conflict of keys","status":409}',
        "application/problem+json",
        errors.InvalidRequestError,
        "Conflict of keys",
    ),
    "Spring": (
        405,
        '{"timestamp":"2026","status":405,"error":"Method Not Allowed","path":"/v1/messages"}',
        JSON,
        errors.InvalidRequestError,
        "405 Method Not Allowed",
    ),
    "a list": (403, '[{"error":{"message":"out of region"}}]', JSON, errors.PermissionDeniedError, "out of region"),
    "a list of strings": (400, '["no", "way"]', JSON, errors.InvalidRequestError, "no; way"),
    "errors": (400, '{"errors":[{"message":"a"},{"message":"b"}]}', JSON, errors.InvalidRequestError, "a; b"),
    "nested": (400, '{"error":{"error":{"message":"deep"}}}', JSON, errors.InvalidRequestError, "deep"),
    "only a code": (400, '{"error":{"code":7}}', JSON, errors.InvalidRequestError, '{"error": {"code": 7}}'),
    "a number": (400, "17", JSON, errors.InvalidRequestError, "400 Bad Request: 17"),
    "an odd type": (
        400,
        '{"error":{"type":["x"],"message":{"a":1}}}',
        JSON,
        errors.InvalidRequestError,
        "answered 400",
    ),
    "text": (405, "Method Not Allowed", TEXT, errors.InvalidRequestError, "405 Method Not Allowed"),
    "text of its own": (503, "no healthy upstream", TEXT, errors.ServerError, "no healthy upstream"),
    "nothing": (404, "", TEXT, errors.NotFoundError, "404 Not Found, with an empty body"),
    "an empty object": (500, "{}", JSON, errors.ServerError, "500 Internal Server Error, with an empty body"),
    "null": (500, "null", JSON, errors.ServerError, "with an empty body"),
    "no status of the book": (599, "", TEXT, errors.ServerError, "answered 599"),
    "a proxy": (
        403,
        "<html>Blocked by policy</html>",
        HTML,
        errors.PermissionDeniedError,
        "answered with a web page: a proxy? It says: Blocked by policy (HTTP 403, text/html).",
    ),
    "a web server": (
        502,
        "<html><head><title>502 Bad Gateway</title></head><body><h1>502</h1><hr>nginx</body></html>",
        HTML,
        errors.ServerError,
        "answered with a web page: a proxy? It says: 502 Bad Gateway (HTTP 502, text/html).",
    ),
    "a page, said to be text": (
        504,
        "<!DOCTYPE HTML>\n<h1>Gateway\nTimeout</h1>",
        TEXT,
        errors.ServerError,
        "Gateway Timeout",
    ),
    "a page in JSON": (500, '{"error":"<html><title>Oops</title>"}', JSON, errors.ServerError, "Oops"),
    "a page of scripts": (
        401,
        "<html><script>steal()</script><style>p{}</style><p>Sign&nbsp;in</p>",
        HTML,
        errors.AuthenticationError,
        "Sign in",
    ),
    "JSON behind a byte order mark": (
        404,
        '\ufeff{"detail":"gone"}',
        JSON,
        errors.NotFoundError,
        "404 Not Found: gone",
    ),
    "an event": (
        429,
        'event: error\ndata: {"error":{"message":"slow down"}}\n\n',
        "text/event-stream",
        errors.RateLimitError,
        "slow down",
    ),
    "XML": (
        403,
        "<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>No entry</Message></Error>",
        "application/xml",
        errors.PermissionDeniedError,
        "403 Forbidden: AccessDenied No entry",
    ),
    "too large for a proxy": (
        413,
        "<html><title>413 Request Entity Too Large</title></html>",
        HTML,
        errors.RequestTooLargeError,
        "413 Request Entity Too Large",
    ),
}


@pytest.mark.parametrize("ask", [stream, concurrent])
@pytest.mark.parametrize("case", BODIES)
def test_the_servers_words_are_kept_with_the_address(server: Gateway, case: str, ask: Callable[[], None]) -> None:
    status, body, kind, error_kind, says = BODIES[case]
    server.answering(answer(body, status, kind))
    error = failure(ask)
    assert type(error) is error_kind and says in error.message
    assert f"{server.url}/v1/messages" in str(error) and error.request_id == "req_1"


def test_the_servers_words_are_kept_where_the_address_has_them_too(
    server: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{server.url}/model-17")
    server.answering(answer("17", 400, JSON))
    assert failure().message == f"{server.url}/model-17/v1/messages answered 400 Bad Request: 17"


@pytest.mark.parametrize("status", [200, 401, 407, 502])
@pytest.mark.parametrize("ask", WAYS, ids=lambda ask: ask.__name__)
def test_a_web_page_is_told_as_one_wherever_it_comes(server: Gateway, ask: Callable[[], None], status: int) -> None:
    server.answering(answer("<html><title>Corporate proxy</title>", status, HTML))
    error = failure(ask)
    assert f"{server.url}{WAYS[ask]} answered with a web page: a proxy? It says: Corporate proxy" in error.message
    assert "ClaudeMagic.base_url or ANTHROPIC_BASE_URL" in error.advice
    assert "workspace" not in error.advice and "%claude_key" not in error.advice


@pytest.mark.parametrize("ask", [stream, concurrent, retrieve])
@pytest.mark.parametrize("base", ["https://api.example.test", "http://api.example.test"])
def test_a_proxy_that_wants_a_name_and_a_password_says_so(
    server: Gateway, ask: Callable[[], None], base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With https it answers the CONNECT, before anything is sent; with http it answers in the API's place."""
    server.answering(answer("", 407, TEXT))
    monkeypatch.setenv("ANTHROPIC_BASE_URL", base)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, server.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    error = failure(ask)
    assert "proxy wants a name and a password" in str(error) and "as NAME:PASSWORD in front of an @" in error.advice
    assert not is_retryable(error)


@pytest.mark.parametrize("ask", [way for way in WAYS if way is not results], ids=lambda ask: ask.__name__)
def test_text_with_a_good_status_is_told_wherever_it_comes(server: Gateway, ask: Callable[[], None]) -> None:
    server.answering(answer("Welcome.", 200, TEXT))
    assert f"{WAYS[ask]} answered with text that is not of the Messages API: Welcome." in failure(ask).message


NOWHERE = (
    answer('{"detail":"Not Found"}', 404, JSON),
    answer('{"type":"error","error":{"type":"not_found_error","message":"Not found"}}', 404, JSON),
    answer("", 404, TEXT),
    answer('{"message":"model or route not found"}', 404, JSON),
    answer("Method Not Allowed", 405, TEXT),
    answer("<html><title>Welcome</title>", 200, HTML),
)
ENDS = [*((way, "/v1") for way in WAYS), (stream, "/v1/"), (stream, "/v1/messages")]


@pytest.mark.parametrize(("ask", "end"), ENDS)
@pytest.mark.slow
def test_an_address_that_ends_with_a_path_of_the_api_is_told_to_go_without(
    server: Gateway, monkeypatch: pytest.MonkeyPatch, ask: Callable[[], None], end: str
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url + end)
    for told in NOWHERE:
        server.answering(told)
        error = failure(ask)
        assert f"base_url goes without {end.rstrip('/')} " in error.advice
        assert f"{server.url}{end.rstrip('/')}{WAYS[ask]}" in str(error) or b'"type":"error"' in told.pieces[0]


def test_a_path_of_a_gateway_is_not_taken_for_one_of_the_api(server: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{server.url}/anthropic")
    server.answering(answer('{"detail":"Not Found"}', 404, JSON))
    error = failure()
    assert f"{server.url}/anthropic/v1/messages answered 404" in error.message
    assert "goes without" not in error.advice and "ANTHROPIC_BASE_URL" in error.advice


def test_the_user_part_of_the_address_is_not_shown(server: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.replace("://", "://user:hunter2@"))
    for body, status, kind in (("Nope", 500, TEXT), ("<html>Nope", 200, HTML), ('{"error":"Nope"}', 404, JSON)):
        server.answering(answer(body, status, kind))
        error = failure()
        assert f"{server.url}/v1/messages" in str(error) and "hunter2" not in str(error) and "user" not in error.message


@pytest.mark.parametrize("place", [0, 480, 495, 2_000])
def test_a_key_in_what_the_server_says_is_not_shown_not_even_half_of_it(server: Gateway, place: int) -> None:
    for kind, before in ((TEXT, ""), (HTML, "<html><body>"), (JSON, "")):
        words = "x" * place + f" Bearer {KEY} is unknown"
        body = json.dumps({"detail": words}) if kind == JSON else before + words
        server.answering(answer(body, 401, kind))
        assert KEY[:8] not in str(failure())


def test_a_key_that_a_page_spells_with_entities_is_not_shown(server: Gateway) -> None:
    spelled = "".join(f"&#{ord(each)};" for each in KEY)
    server.answering(answer(f"<html><title>No such key: {spelled}</title>", 401, HTML))
    assert "No such key: …" in failure().message


def test_what_a_terminal_would_obey_is_left_out(server: Gateway) -> None:
    server.answering(answer("\x1b[2J\x1b[31mred\x07\x00 \u202edesrever\u2066", 500, TEXT))
    assert failure().message.endswith(": red desrever")


@pytest.mark.slow
def test_a_page_of_any_size_and_form_is_short(server: Gateway) -> None:
    for body in (
        "<html>" + "<p>word" * 300_000,
        "<html><title>" + "t" * 300_000,
        "<" * 100_000,
        "<html><script>" * 9_000,
    ):
        for status in (200, 500):
            server.answering(answer(body, status, HTML))
            assert len(failure().message) < 800


def test_bytes_of_no_encoding_are_no_trouble(server: Gateway) -> None:
    server.answering(answer(b"\xff\xfe\x80 bad", 500, "text/plain; charset=nonsense"))
    assert "bad" in failure().message


@pytest.mark.slow
def test_a_bad_gateway_is_asked_again_and_what_it_says_at_last_is_told(server: Gateway) -> None:
    page = answer("<title>502 Bad Gateway</title>", 502, HTML, headers=(("retry-after-ms", "1"),))
    waits: list[Wait] = []
    settings = Settings(max_retries=2, timeout=5)
    server.answering(page, page, answer(WHOLE))
    list(Client().stream({**PARAMS, "stream": True}, settings, waits.append))
    assert len(server.came) == 3 and {wait.reason for wait in waits} == {"server error"}
    server.came.clear()
    server.answering(page)
    with pytest.raises(errors.ServerError, match="502 Bad Gateway"):
        list(Client().stream({**PARAMS, "stream": True}, settings, waits.append))
    assert len(server.came) == 3


def test_a_token_of_an_mcp_server_is_not_shown(server: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_PAT", "pat-of-somebody-123456")
    settings = Settings(max_retries=0, mcp_tokens=(("mcp.example.com", "GITHUB_PAT"),))
    server.answering(answer("refused: pat-of-somebody-123456", 400, TEXT))
    with pytest.raises(errors.InvalidRequestError) as raised:
        list(Client().stream({**PARAMS, "stream": True}, settings, lambda _wait: None))
    assert raised.value.message.endswith("refused: …")


@pytest.mark.parametrize(
    "value", [None, "", [], {}, 0, True, 1.5, [[[[[[[["x"]]]]]]]], {"error": None}, {"loc": ["a"]}]
)
def test_any_json_can_be_read(value: Any) -> None:
    found = said(value)
    assert not found.is_page and not found.is_the_apis and len(found.words) < 100


def test_results_behind_a_byte_order_mark_are_read(server: Gateway) -> None:
    server.answering(answer('\ufeff{"custom_id":"a"}\r\n{"custom_id":"b"}', 200, "application/x-jsonl"))
    assert [each["custom_id"] for each in Batches(Client(), ONCE).results("msgbatch_1")] == ["a", "b"]


def test_the_list_of_models_is_none_where_something_else_answers(server: Gateway) -> None:
    for told in (answer("<html>Hello", 200, HTML), answer("Hello", 404, TEXT), answer("{}", 200, JSON)):
        server.answering(told)
        assert Client().models(ONCE) is None
