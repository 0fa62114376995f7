"""Every way in which the network and the API fail, over real HTTP: one of our errors, and never the key."""

from __future__ import annotations

import asyncio
import email.utils
import gc
import importlib
import inspect
import socket
import sys
import threading
import time
import traceback
from typing import Any, get_args

import anthropic
import httpx2
import pytest

from claude_magic import errors, offline
from claude_magic.client import Client, Settings, refusals, translate
from claude_magic.client.connection import connect, stand_in
from claude_magic.content.secrets import Hidden
from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.wait import Wait
from claude_magic.offline import Fault
from support.recordings import recordings

KEY = "sk-ant-api03-SECRET-secret-0123456789"
PARAMS = {"model": "claude-opus-5-5", "max_tokens": 100, "stream": True}
ASK = {**PARAMS, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}]}


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Point the environment at an address, with a key."""

    def point(address: str, key: str = KEY) -> None:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", address)
        monkeypatch.setenv("ANTHROPIC_API_KEY", key)

    return point


def read(settings: Settings | None = None, client: Client | None = None, params: Any = ASK) -> tuple[Any, list[Wait]]:
    """Stream a reply to its end: what was accumulated, and the waits on the way."""
    accumulator, waits = Accumulator(), []
    for event in (client or Client()).stream(params, settings or Settings(max_retries=0, timeout=5), waits.append):
        accumulator.add(event)
    return accumulator, waits


def failure(settings: Settings | None = None, params: Any = ASK) -> errors.ClaudeError:
    """The error that the reading raises; it must hold no key, and no cause that may."""
    with pytest.raises(errors.ClaudeError) as raised:
        read(settings, params=params)
    told = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value))
    assert KEY not in told and "SECRET" not in told
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    return raised.value


@pytest.mark.parametrize(
    ("status", "kind", "advice"),
    [
        (400, errors.BillingError, "Billing"),
        (401, errors.AuthenticationError, "ANTHROPIC_API_KEY"),
        (402, errors.BillingError, "Billing"),
        (403, errors.PermissionDeniedError, "workspace"),
        (404, errors.NotFoundError, ""),
        (413, errors.RequestTooLargeError, "Send less"),
        (429, errors.RateLimitError, "Wait"),
        (500, errors.ServerError, "again"),
        (529, errors.OverloadedError, "--model"),
    ],
)
def test_each_status_has_an_error_with_advice_and_the_request_id(
    standin: offline.Server, at: Any, status: int, kind: type[errors.APIError], advice: str
) -> None:
    at(standin.url)
    standin.faults.append(Fault("status", status=status))
    error = failure()
    assert type(error) is kind
    assert advice in error.advice
    assert error.request_id and error.request_id.startswith("req_offline_")
    assert len(error._render_traceback_()) <= 3


# What the SDK has a class of its own for (CLAUDE_API.md §9) → ours, and whether the same is asked again.
STATUSES: dict[int, tuple[type[errors.APIError], bool]] = {
    **dict.fromkeys((400, 402), (errors.BillingError, False)),
    401: (errors.AuthenticationError, False),
    403: (errors.PermissionDeniedError, False),
    404: (errors.NotFoundError, False),
    408: (errors.ServerError, True),
    409: (errors.InvalidRequestError, True),
    **dict.fromkeys((412, 422, 431, 499), (errors.InvalidRequestError, False)),
    413: (errors.RequestTooLargeError, False),
    429: (errors.RateLimitError, True),
    **dict.fromkeys((500, 501, 503, 504), (errors.ServerError, True)),
    529: (errors.OverloadedError, True),
}


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_told_in_one_line_and_asked_again_only_where_that_may_help(
    standin: offline.Server, at: Any, status: int
) -> None:
    at(standin.url)
    kind, again = STATUSES[status]
    standin.faults += [Fault("status", status=status, headers={"retry-after-ms": "1"})] * 2
    error = failure(Settings(max_retries=1, timeout=5))
    assert type(error) is kind and isinstance(error, errors.APIError) and error.status == status
    assert "\n" not in error.message and error.request_id
    assert standin.requests == [ASK] * (2 if again else 1)


BASES: dict[type[anthropic.APIStatusError], int] = {
    anthropic.BadRequestError: 400,
    anthropic.PaymentRequiredError: 402,
    anthropic.PermissionDeniedError: 403,
    anthropic.ContentTooLargeError: 413,
    anthropic.RateLimitError: 429,
    anthropic.ServiceUnavailableError: 503,
}


# The error codes that we have a word of our own for, and one that we have none for; with the status they come with.
CODES = {
    **dict.fromkeys(refusals.LASTING, 429),
    "linked_organization_spend_limit_reached": 402,
    "organization_on_hold": 400,
    "image_dimensions_too_large": 400,
    refusals.NO_REVIEW: 400,
    "request_body_encoding_invalid": 400,
}


@pytest.mark.parametrize("code", CODES)
def test_each_code_is_told_in_the_apis_words_with_advice_that_can_help(
    standin: offline.Server, at: Any, code: str
) -> None:
    at(standin.url)
    check_code(standin, code, CODES[code])


@pytest.mark.drift
def test_so_is_each_code_that_the_sdk_has_a_class_for(standin: offline.Server, at: Any) -> None:
    at(standin.url)
    kinds = [kind for _, kind in inspect.getmembers(anthropic, inspect.isclass) if kind.__base__ in BASES]
    coded = {get_args(kind.__annotations__["error_code"])[0]: BASES[kind.__base__] for kind in kinds}
    coded["image_dimensions_too_large"] = 400  # its class is not among those that the SDK exports
    assert coded.items() >= CODES.items()
    for code, status in coded.items():
        check_code(standin, code, status)


def check_code(standin: offline.Server, code: str, status: int) -> None:
    standin.requests.clear()
    standin.faults.clear()
    details = {"error_code": code, "appeal_url": "https://example.com/appeal"}
    said = f"In the API's words: {code.replace('_', ' ')}."
    standin.faults += [Fault("status", status=status, message=said, details=details, headers={"retry-after": "0"})] * 2
    error = failure(Settings(max_retries=1, timeout=5))
    assert isinstance(error, errors.APIError) and error.message == said, code
    if code == "organization_on_hold":
        assert "https://example.com/appeal" in error.advice
    if "spend_limit" in code:
        assert "Wait a moment" not in error.advice and "limit" in error.advice
    lasting = code in refusals.LASTING or status < 500
    # `x-should-retry`, which the stand-in sends by the status, does not bring a spent limit back.
    assert len(standin.requests) == (1 if lasting else 2), code


@pytest.mark.parametrize("case", [r for r in recordings() if r["response"]["status"] >= 400], ids=lambda r: r["id"])
def test_each_recorded_error_is_told_in_the_apis_words(case: Any, corpus: str, at: Any) -> None:
    at(f"{corpus}/case/{case['id']}")
    error = failure()
    assert isinstance(error, errors.APIError) and error.status == case["response"]["status"]
    assert error.message in case["response"]["body"]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("prompt is too long: 1200000 tokens > 1000000 maximum", errors.RequestTooLargeError),
        ("messages.0.content.1.image.source.base64: image exceeds 10 MB maximum", errors.RequestTooLargeError),
        ("messages.1.content.0: Invalid `signature` in `thinking` block", errors.ThinkingRefusedError),
        (
            "Invalid `signature` in `thinking` block: The block is bound to a different conversation",
            errors.ThinkingRefusedError,
        ),
        ("anthropic_messages: Invalid model name passed in model=nobody.", errors.NotFoundError),
        ("tools.0: something else", errors.InvalidRequestError),
    ],
)
def test_a_400_is_told_apart_by_its_words(
    standin: offline.Server, at: Any, message: str, kind: type[errors.APIError]
) -> None:
    at(standin.url)
    standin.faults.append(Fault("status", status=400, message=message))
    assert type(failure()) is kind


def test_a_model_that_does_not_exist_is_answered_with_the_nearest_names(standin: offline.Server, at: Any) -> None:
    at(standin.url)
    assert "claude-haiku-4-5" in failure(params={**ASK, "model": "claude-4-5-haiku"}).advice


@pytest.mark.parametrize("after", [0, 1, 3, 6])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("cut", errors.StreamError),
        ("cut_inside", errors.StreamError),
        ("end", errors.StreamError),
        ("broken", errors.StreamError),
        ("stall", errors.StreamError),
        ("error", errors.OverloadedError),
    ],
)
@pytest.mark.slow
def test_a_reply_that_breaks_off_is_our_error(
    standin: offline.Server, at: Any, fault: Any, kind: type[errors.ClaudeError], after: int
) -> None:
    at(standin.url)
    standin.faults.append(Fault(fault, after=after))
    assert type(failure(Settings(max_retries=0, timeout=0.5))) is kind


@pytest.mark.slow
def test_an_overload_before_anything_is_visible_is_retried_and_after_that_not(standin: offline.Server, at: Any) -> None:
    at(standin.url)
    standin.faults.append(Fault("error", after=2))
    accumulator, waits = read(Settings(max_retries=1))
    assert accumulator.complete and [wait.reason for wait in waits] == ["overloaded"]
    standin.faults.append(Fault("error", after=12))
    assert type(failure(Settings(max_retries=1))) is errors.OverloadedError
    assert len(standin.requests) == 3


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_what_may_pass_is_retried(standin: offline.Server, at: Any, status: int) -> None:
    at(standin.url)
    standin.faults += [Fault("status", status=status, headers={"retry-after-ms": "2"})] * 2
    accumulator, waits = read(Settings(max_retries=2))
    assert accumulator.complete and [wait.attempt for wait in waits] == [1, 2]


@pytest.mark.parametrize(("told", "attempts"), [("false", 1), ("true", 2)])
def test_the_api_decides_whether_to_retry(standin: offline.Server, at: Any, told: str, attempts: int) -> None:
    at(standin.url)
    status = 529 if told == "false" else 400
    headers = {"x-should-retry": told, "retry-after-ms": "1"}
    standin.faults += [Fault("status", status=status, headers=headers)] * 2
    failure(Settings(max_retries=1))
    assert len(standin.requests) == attempts


@pytest.mark.parametrize("form", ["number", "fraction", "milliseconds", "date"])
def test_a_wait_that_is_too_long_fails_with_the_time_to_come_back(standin: offline.Server, at: Any, form: str) -> None:
    at(standin.url)
    headers = {
        "number": {"retry-after": "90"},
        "fraction": {"retry-after": "90.5"},
        "milliseconds": {"retry-after-ms": "90000", "retry-after": "1"},
        "date": {"retry-after": email.utils.formatdate(time.time() + 91, usegmt=True)},
    }[form]
    standin.faults.append(Fault("status", status=429, headers=headers))
    error = failure(Settings(max_retries=4, max_retry_wait=60))
    assert len(standin.requests) == 1
    assert "come back in" in error.advice and ":" in error.advice


@pytest.mark.slow
def test_a_wait_is_told_as_it_counts_down(standin: offline.Server, at: Any) -> None:
    at(standin.url)
    standin.faults.append(Fault("status", status=429, headers={"retry-after": "1.2"}))
    _, waits = read(Settings(max_retries=1))
    assert [wait.reason for wait in waits] == ["rate limit"] * 2
    assert 1.2 >= waits[0].seconds > waits[1].seconds > 0


def test_a_spending_limit_is_not_retried(standin: offline.Server, at: Any) -> None:
    """No waiting clears it (CLAUDE_API.md §2)."""
    response = anthropic._base_client.httpx2.Response(429, request=anthropic._base_client.httpx2.Request("POST", "/"))
    body = {"error": {"type": "rate_limit_error", "message": "x", "details": {"error_code": refusals.LASTING[0]}}}
    error = anthropic.RateLimitError("x", response=response, body=body)
    assert not translate(error, "", 1, None).retryable  # type: ignore[attr-defined]


def test_a_server_that_cannot_be_reached_is_named_without_its_password(at: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    at(f"http://user:hunter2@127.0.0.1:{port}/v1")
    error = failure()
    assert type(error) is errors.ConnectionFailedError
    assert f"http://127.0.0.1:{port}" in error.message and "hunter2" not in str(error)


@pytest.mark.slow
def test_a_connection_that_closes_at_once_is_retried(standin: offline.Server, at: Any) -> None:
    at(standin.url)
    standin.faults.append(Fault("close"))
    accumulator, waits = read(Settings(max_retries=1))
    assert accumulator.complete and waits[0].reason == "no connection"


def test_no_key_says_how_to_set_one(monkeypatch: pytest.MonkeyPatch, standin: offline.Server) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", standin.url)
    error = failure()
    assert type(error) is errors.CredentialsError
    assert "ANTHROPIC_API_KEY" in error.advice and "%claude_key" in error.advice
    assert standin.requests == []


@pytest.mark.parametrize("key", [f"{KEY}\n", f"  {KEY} ", f"{KEY}\r\n"])
def test_white_space_around_a_key_does_not_matter(standin: offline.Server, at: Any, key: str) -> None:
    at(standin.url, key)
    assert read()[0].complete


@pytest.mark.parametrize("key", [f"{KEY}\nsecond line", f"{KEY} {KEY}", f"“{KEY}”", f"{KEY}\x00"[:-1] + "\x7f"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(standin: offline.Server, at: Any, key: str) -> None:
    at(standin.url, key)
    error = failure()
    assert type(error) is errors.CredentialsError and "ANTHROPIC_API_KEY" in error.message
    assert standin.requests == []


def test_a_key_that_is_set_after_a_failure_works_the_next_time(standin: offline.Server, at: Any) -> None:
    client = Client()
    at(standin.url, "invalid")
    with pytest.raises(errors.AuthenticationError):
        read(client=client)
    at(standin.url)
    assert read(client=client)[0].complete


def test_a_key_given_by_hand_goes_before_the_environment(standin: offline.Server, at: Any) -> None:
    at(standin.url, "invalid")
    client = Client()
    client.use_key(f" {KEY} ")
    assert read(client=client)[0].complete
    with pytest.raises(errors.CredentialsError):
        client.use_key("   ")


def test_the_offline_provider_needs_no_key_and_ignores_the_environment(at: Any) -> None:
    at("http://127.0.0.1:1", "invalid")
    assert read(Settings(provider="offline"))[0].complete


def test_an_answer_that_is_not_the_api_says_where_it_came_from(at: Any) -> None:
    page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"
    with _raw_server(page) as address:
        at(address)
        error = failure()
    assert "text/html" in error.message and address in error.message and "ANTHROPIC_BASE_URL" in error.advice


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', errors.OverloadedError),
        (b'{"type":"error","error":{"type":"billing_error","message":["odd"]}}', errors.BillingError),
        (b"{}", errors.StreamError),
        (b"[]", errors.StreamError),
        (b"", errors.StreamError),
    ],
)
def test_json_that_is_no_message_is_an_error(at: Any, body: bytes, kind: type[errors.ClaudeError]) -> None:
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    with _raw_server(head.encode() + body) as address:
        at(address)
        assert type(failure()) is kind


@pytest.mark.slow
@pytest.mark.parametrize("told", ["inf", "1e20", "nan", "-5", "soon", "Wed, 99 Foo"])
def test_an_odd_time_to_come_back_is_no_trouble(standin: offline.Server, at: Any, told: str) -> None:
    at(standin.url)
    standin.faults.append(Fault("status", status=429, headers={"retry-after": told}))
    if told in ("inf", "1e20"):
        assert "come back in" in failure(Settings(max_retries=1)).advice
    else:
        assert read(Settings(max_retries=1))[0].complete


def test_a_long_error_is_cut_to_one_line(standin: offline.Server, at: Any) -> None:
    at(standin.url)
    standin.faults.append(Fault("status", status=400, message="word\n" * 5000))
    message = failure().message
    assert len(message) < 600 and "\n" not in message


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ANTHROPIC_BASE_URL", "localhost:8080", "ANTHROPIC_BASE_URL is not an address"),
        ("HTTP_PROXY", "foo://proxy:1", "cannot be set up"),
        ("ANTHROPIC_CUSTOM_HEADERS", "bad name: x", "malformed"),
        ("ANTHROPIC_API_KEY", "  ", "white space"),
    ],
)
def test_what_is_set_wrong_in_the_environment_is_named(
    standin: offline.Server, at: Any, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    at(standin.url)
    monkeypatch.setenv(variable, value)
    error = failure(Settings(max_retries=4))
    assert says in error.message and standin.requests == []


@pytest.mark.parametrize("kind", ["", "Async"])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("HTTP_PROXY", "foo://proxy:1"), ("HTTPS_PROXY", "http://proxy:abc"), ("NO_PROXY", "http://[::")],
)
def test_a_client_that_cannot_be_finished_ends_without_a_word(
    monkeypatch: pytest.MonkeyPatch, kind: str, variable: str, value: str
) -> None:
    """Python prints what fails where an object is collected, below the cell."""
    printed: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    monkeypatch.setenv(variable, value)
    with pytest.raises(errors.UsageError, match="cannot be set up"):
        connect(Settings(), Hidden("a-key"), (), kind)
    gc.collect()
    assert printed == []


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "foo://proxy:1"])
def test_the_stand_in_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    with offline.start() as server:
        asked = {"model": "claude-haiku-5-5", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
        assert stand_in(server.url, Settings()).messages.create(**asked).content
        sdk: Any = stand_in(server.url, Settings(), "Async")
        assert asyncio.run(sdk.messages.create(**asked)).content


def test_a_gateway_that_does_not_stream_is_understood(corpus: str, at: Any) -> None:
    case = next(r for r in recordings() if r["response"]["kind"] == "json" and "stop:end_turn" in r["tags"])
    at(f"{corpus}/case/{case['id']}")
    reply = read()[0].reply()
    assert reply.complete and reply.content and reply.usage["output_tokens"]


# What a request can fail with (CLAUDE_API.md §1, §9): by module, the classes' names.
FAILURES = {
    "anthropic": "APIError APIStatusError APIConnectionError APITimeoutError APIResponseValidationError "
    "BadRequestError OverloadedError CredentialsError RetryableError WorkloadIdentityError AnthropicError",
    "httpx2": "ReadError RemoteProtocolError ReadTimeout ConnectError ProxyError InvalidURL StreamClosed",
}


@pytest.mark.parametrize("failure", [f"{module}.{name}" for module in FAILURES for name in FAILURES[module].split()])
def test_each_way_to_fail_has_a_translation(failure: str) -> None:
    module, name = failure.split(".")
    check_translation(getattr(importlib.import_module(module), name))


@pytest.mark.drift
def test_so_has_every_error_class_of_the_sdk_and_of_httpx2() -> None:
    for module in FAILURES:
        for _, kind in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if issubclass(kind, Exception) and not issubclass(kind, Warning):
                check_translation(kind)


def check_translation(kind: type[Exception]) -> None:
    """It does not fall through to the last resort, which names only the class."""
    if issubclass(kind, anthropic.APIStatusError):
        response = httpx2.Response(418, request=httpx2.Request("POST", "http://127.0.0.1/"))
        error: Exception = kind("secret", response=response, body=None)
    elif issubclass(kind, anthropic.APIError | httpx2.HTTPStatusError):
        error = kind.__new__(kind)
    else:
        error = kind.__new__(kind, "secret")
    assert type(translate(error, "", 1, None)) is not errors.ClaudeError, kind


class _raw_server:
    """Answers each connection with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))

    def __enter__(self) -> str:
        threading.Thread(target=self._serve, daemon=True).start()
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._socket.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(self._answer)
        except OSError:
            return
