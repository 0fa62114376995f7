"""The offline stand-in: how it fails when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest

from claude_magic import offline
from claude_magic.offline import Fault
from support.offline_requests import MODEL, ask, connect, user


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 409, 413, 429, 500, 503, 529])
def test_http_errors_come_with_the_apis_body_and_the_given_headers(
    standin: offline.Server, client: anthropic.Anthropic, status: int
) -> None:
    standin.faults.append(Fault("status", status=status, headers={"retry-after": "7", "x-should-retry": "maybe"}))
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, "hi")
    assert (caught.value.status_code, caught.value.response.headers["retry-after"]) == (status, "7")
    assert caught.value.response.headers.get_list("x-should-retry") == ["maybe"]
    assert caught.value.type and caught.value.request_id
    assert ask(client, "hi")["stop_reason"] == "end_turn"  # one fault, one request
    assert len(standin.requests) == 2 and len(standin.replies) == 1


def test_none_in_the_queue_is_no_fault(standin: offline.Server, client: anthropic.Anthropic) -> None:
    standin.faults.extend([None, Fault(), Fault("close")])
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
    standin: offline.Server, client: anthropic.Anthropic, fault: Fault, error: type[Exception] | None
) -> None:
    standin.faults.append(fault)
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
    assert standin.replies == []


@pytest.mark.parametrize("kind", ["cut", "stall", "error", "end", "broken", "cut_inside"])
@pytest.mark.slow
def test_a_fault_may_come_before_the_first_event(
    standin: offline.Server, client: anthropic.Anthropic, kind: Any
) -> None:
    standin.faults.append(Fault(kind))
    try:
        seen = [event for event in stream(client.with_options(timeout=0.3))]
    except (anthropic.APIError, httpx2.HTTPError, ValueError):
        seen = []
    assert seen == []


def test_a_stalled_stream_ends_when_the_server_stops(standin: offline.Server, client: anthropic.Anthropic) -> None:
    standin.faults.append(Fault("stall", after=3))
    events = stream(client)
    seen = [next(events).type, next(events).type]
    standin.stop()
    with pytest.raises(httpx2.RemoteProtocolError):
        next(events)
    assert seen == ["message_start", "content_block_start"]


@pytest.mark.parametrize("kind", ["cut", "end", "broken"])
def test_faults_break_replies_that_do_not_stream_too(
    standin: offline.Server, client: anthropic.Anthropic, kind: Any
) -> None:
    standin.faults.append(Fault(kind))
    with pytest.raises(anthropic.APIConnectionError):
        ask(client, "hi")
    standin.faults.append(Fault("error"))
    with pytest.raises(anthropic.InternalServerError) as caught:
        ask(client, "hi")
    assert caught.value.status_code == 529


def test_a_slow_stream_and_a_paced_one_are_whole(standin: offline.Server, client: anthropic.Anthropic) -> None:
    standin.faults.append(Fault("slow", seconds=0.001))
    assert [event.type for event in stream(client)][-1] == "message_stop"
    standin.pace = 5000
    assert [event.type for event in stream(client)][-1] == "message_stop"


def test_a_client_that_goes_away_does_no_harm(standin: offline.Server, client: anthropic.Anthropic) -> None:
    for _ in range(3):
        with client.messages.create(model=MODEL, max_tokens=9000, messages=[user("[[long 30000]]")], stream=True) as s:
            next(iter(s))
    assert ask(client, "hi")["stop_reason"] == "end_turn"
