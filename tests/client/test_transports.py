"""A stream over both transports: the same events, retries and failures; and one SDK client for each event loop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from claude_magic import errors, offline
from claude_magic.client import Client, OnLoop, Settings, connection, now
from claude_magic.conversation.wait import Wait
from claude_magic.offline import Fault

MODEL = "claude-haiku-5-5"
PARAMS = {"model": MODEL, "max_tokens": 99, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
SETTINGS = Settings(max_retries=1, timeout=20)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[offline.Server]:
    running = offline.start()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    yield running
    running.stop()


@pytest.fixture(params=["ours", "the user's"])
def client(request: pytest.FixtureRequest, server: offline.Server) -> Client:
    """A client of ours, and one that asks with the user's own, which is synchronous."""
    made = Client()
    if request.param != "ours":
        made.use_client(anthropic.Anthropic())
    return made


async def received(client: Client, waits: list[Wait] | None = None, settings: Settings = SETTINGS) -> list[Any]:
    stream = client.stream(PARAMS, settings, (waits if waits is not None else []).append, OnLoop())
    return [event async for event in stream]


def kinds(events: list[Any]) -> list[str]:
    return [event["type"] for event in events if event["type"] != "ping"]


def test_both_transports_give_the_same_events(client: Client) -> None:
    blocking = list(client.stream(PARAMS, SETTINGS, lambda wait: None))
    assert kinds(blocking) == kinds(asyncio.run(received(client)))
    assert blocking[-1]["type"] == "message_stop"


@pytest.mark.parametrize("fault", [Fault("status", status=529), Fault("close")])
@pytest.mark.slow
def test_a_passing_failure_is_tried_again(client: Client, server: offline.Server, fault: Fault) -> None:
    server.faults.append(fault)
    waits: list[Wait] = []
    assert kinds(asyncio.run(received(client, waits)))[-1] == "message_stop"
    assert waits and waits[0].attempt == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("status", status=401), errors.AuthenticationError),
        (Fault("cut", after=4), errors.StreamError),
        (Fault("broken", after=4), errors.StreamError),
        (Fault("stall", after=4), errors.StreamError),
        (Fault("error", after=1), errors.OverloadedError),
    ],
)
@pytest.mark.slow
def test_failures_are_the_same_errors(
    client: Client, server: offline.Server, fault: Fault, kind: type[errors.ClaudeError]
) -> None:
    settings = Settings(max_retries=0, timeout=1)
    said = []
    for _ in range(2):
        server.faults.append(fault)
        with pytest.raises(kind) as raised:
            asyncio.run(received(client, settings=settings)) if said else list(
                client.stream(PARAMS, settings, lambda wait: None)
            )
        said.append(raised.value.message)
    assert said[0] == said[1] and raised.value.__cause__ is None and raised.value.__context__ is None


@pytest.mark.slow
def test_all_at_once_share_one_sdk_client_which_ends_with_the_loop(
    server: offline.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    connect = connection.connect

    def counted(*arguments: Any) -> Any:
        made.append(connect(*arguments))
        return made[-1]

    monkeypatch.setattr(connection, "connect", counted)
    client = Client()

    async def several() -> None:
        await asyncio.gather(*(received(client) for _ in range(5)))
        await received(client)

    for loop in (1, 2):
        asyncio.run(several())
        assert len(made) == loop and made[-1].is_closed()
    gc.collect()
    assert len(client._loops._loops) <= 1


def test_a_new_key_is_used_at_once_and_the_old_client_ends_with_its_last_use(server: offline.Server) -> None:
    client = Client()

    async def changed() -> None:
        first = await client.connected(SETTINGS)
        assert first is not None and await client.connected(SETTINGS) is first
        client.use_key("sk-ant-other")
        second = await client.connected(SETTINGS)
        assert second is not None and second is not first and not first.sdk.is_closed()
        sdk = first.sdk
        del first
        await asyncio.sleep(0.05)
        assert sdk.is_closed() and not second.sdk.is_closed()

    asyncio.run(changed())


def test_one_that_is_closed_early_frees_its_connection(client: Client, server: offline.Server) -> None:
    async def cut_short() -> None:
        stream = aiter(client.stream(PARAMS, SETTINGS, lambda wait: None, OnLoop()))
        await anext(stream)
        await stream.aclose()

    asyncio.run(cut_short())
    assert kinds(asyncio.run(received(client)))[-1] == "message_stop"


def test_nothing_that_waits_runs_over_a_blocking_transport() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    async def value() -> int:
        return 7

    assert now(value()) == 7
    with pytest.raises(RuntimeError):
        now(waits())
