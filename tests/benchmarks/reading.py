"""CPU per delta of a whole cell, beside the SDK's own streaming loops on the same bytes.

The server is another process, so `time.process_time` is what reading costs and nothing else: all
threads of the reader are in it.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from unittest import mock

from benchmarks.table import Row, best
from benchmarks.wire import KEY, MODEL, QUESTION

# deltas → how often each reader reads them
REPETITIONS = {2_000: 6, 10_000: 3, 50_000: 2}
MAX_RATIO = 2.0
CREATE = "SDK create(stream=True) loop"
STREAM = "SDK stream() loop"
CONTENT = [{"type": "text", "text": QUESTION}]


class NullShell:
    """A shell with a kernel's ways and nobody who looks."""

    kernel = None

    def __init__(self) -> None:
        self.display_pub = self

    def publish(self, *_data: Any, **_options: Any) -> None:
        """Show nothing."""


def rows(server: str) -> Iterator[Row]:
    """A whole cell, and the part of it that reads, for each length."""
    for reader in READERS.values():
        reader(f"{server}/50/0")
    for count, repetitions in REPETITIONS.items():
        address = f"{server}/{count}/0"
        found = best({name: functools.partial(_cpu, reader, address) for name, reader in READERS.items()}, repetitions)
        per_delta = {name: 1e6 * seconds / count for name, seconds in found.items()}
        ours = per_delta["a cell"]
        what = f"CPU per delta, a cell of {count:,}"
        yield Row(what, ours, "µs", per_delta["create"], CREATE, max_ratio=MAX_RATIO)
        yield Row(what, ours, "µs", per_delta["stream"], STREAM)
        what = f"  of it: client and accumulator, nothing shown, {count:,}"
        yield Row(what, per_delta["events"], "µs", per_delta["create"], CREATE, max_ratio=MAX_RATIO)


def with_create(address: str) -> str:
    """The SDK's event loop; returns the text."""
    pieces = []
    for event in _sdk(address).messages.create(**_streamed()):
        if event.type == "content_block_delta" and event.delta.type == "text_delta":
            pieces.append(event.delta.text)
    return "".join(pieces)


def with_stream(address: str) -> str:
    """The SDK's loop with an accumulator of its own; returns the text."""
    with _sdk(address).messages.stream(**_params()) as stream:
        return "".join(stream.text_stream)


def with_events(address: str) -> str:
    """Our client and accumulator, with nothing shown; returns the text."""
    from claude_magic.conversation.accumulator import Accumulator

    accumulator = Accumulator()
    client, settings = _client()
    with _address_of_the_api(address), closing(iter(client.stream(_streamed(), settings, _never_waits))) as events:
        for event in events:
            accumulator.add(event)
    return accumulator.text


def with_cell(address: str) -> str:
    """All that a `%%claude` cell does but sending messages to a frontend; returns the text."""
    from claude_magic.notebook.cell import Cell
    from claude_magic.options import Options
    from claude_magic.render.live.live import view_for
    from claude_magic.session.question import Question
    from claude_magic.session.session import Session

    session = Session()
    session.client, settings = _client()
    shell: Any = NullShell()
    with _address_of_the_api(address):
        outcome = session.ask(
            Question(Options(model=MODEL, once=True), CONTENT, Cell()), settings, view_for(shell, panel=False)
        )
    assert outcome.turn is not None, outcome.failure
    return "".join(block["text"] for block in outcome.turn.reply)


READERS: dict[str, Callable[[str], str]] = {
    "create": with_create,
    "stream": with_stream,
    "events": with_events,
    "a cell": with_cell,
}


def _cpu(reader: Callable[[str], str], address: str) -> float:
    began = time.process_time()
    reader(address)
    return time.process_time() - began


def _params() -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 64_000, "messages": [{"role": "user", "content": CONTENT}]}


def _streamed() -> dict[str, Any]:
    return {**_params(), "stream": True}


@functools.cache
def _sdk(address: str) -> Any:
    import anthropic

    return anthropic.Anthropic(api_key=KEY, base_url=address, max_retries=0)


@functools.cache
def _client() -> tuple[Any, Any]:
    from claude_magic.client import Client, Settings

    client = Client()
    client.use_key(KEY)
    return client, Settings(max_retries=0)


def _address_of_the_api(address: str) -> Any:
    return mock.patch.dict(os.environ, ANTHROPIC_BASE_URL=address)


def _never_waits(wait: object) -> None:
    raise AssertionError(wait)
