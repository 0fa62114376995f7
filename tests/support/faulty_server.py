"""A Messages API that is up to no good: raw bytes over asyncio, nothing of the stand-in's in it.

Each request for a row ("Say 7.") is answered well, or in one of `KINDS`, as the seed says: the same each time. What
went out for each row is in `served`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

MODEL = "claude-haiku-5-5"
USAGE = {"input_tokens": 12, "output_tokens": 7}
WHOLE = "whole"
STATUSES = {
    "400": (400, {}),
    "401": (401, {}),
    "403": (403, {}),
    "404": (404, {}),
    "408": (408, {}),
    "409": (409, {}),
    "413": (413, {}),
    "429": (429, {}),
    "429, come back at once": (429, {"retry-after": "0.01"}),
    "429, come back tomorrow": (429, {"retry-after": "86400"}),
    "429, come back yesterday": (429, {"retry-after": "-5"}),
    "429, on a date that is past": (429, {"retry-after": "Mon, 02 Jan 2006 15:04:05 GMT"}),
    "429, on a date far off": (429, {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}),
    "429, at no time": (429, {"retry-after": "soon"}),
    "429, in nan": (429, {"retry-after": "nan"}),
    "429, never": (429, {"retry-after": "inf"}),
    "500": (500, {}),
    "502": (502, {}),
    "503": (503, {}),
    "504": (504, {}),
    "529": (529, {}),
    "500, not to be retried": (500, {"x-should-retry": "false"}),
}
# What is broken off: the row is asked again, for nobody has seen anything of it.
BROKEN = (
    "reset before the headers",
    "closed before the headers",
    "closed after the headers",
    "reset in the stream",
    "closed in the stream",
    "ended without message_stop",
    "ended before message_start",
    "overloaded in the stream",
    "garbage in the stream",
    "not an object in the stream",
    "a stranger's delta",
    "nothing but pings, then the end",
    "empty body",
    "html with status 200",
    "json with status 200 that is none",
    "half of the headers",
    "not http",
    "stall before the headers",
    "stall in the stream",
    "pings for ever",
)
# What is a whole reply, for all that is odd about it.
ODD = (
    "byte by byte",
    "unknown events",
    "pings first",
    "huge",
    "nonsense of rate limits",
    "nothing left for a moment",
    "nothing left for a month",
    "lone surrogate",
    "nonsense of usage",
)
STOPPED = ("refusal", "max_tokens", "tool_use", "nothing said")
HTML = ("500 in html", "429 in html", "403 in html")
KINDS = (*STATUSES, *BROKEN, *ODD, *STOPPED, *HTML)
_ROW = re.compile(rb"Say (\d+)\.")
_LIMITS = "anthropic-ratelimit-requests"


def said(row: int, kind: str) -> str:
    """What a whole reply to a row says."""
    return f"re: {row}" + (" and so on" * 20_000 if kind == "huge" else "\ufffd" if kind == "lone surrogate" else "")


def event(kind: str, **fields: Any) -> bytes:
    """One event as it goes out."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def events(row: int, kind: str) -> list[bytes]:
    """A whole reply."""
    usage: Any = {"input_tokens": "many", "output_tokens": -3} if kind == "nonsense of usage" else USAGE
    message = {"id": f"msg_{row}", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    stop = kind if kind in ("refusal", "max_tokens", "tool_use") else "end_turn"
    text = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    words = said(row, kind).replace("\ufffd", "\ud800")
    delta = event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})
    told = [event("message_start", message={**message, "stop_reason": None, "usage": {**usage, "output_tokens": 1}})]
    told += [] if kind in ("nothing said", "refusal") else [text, delta, event("content_block_stop", index=0)]
    if kind == "unknown events":
        told.insert(1, event("a_new_event", index=0, value=[1]))
    if kind == "pings first":
        told = [event("ping")] * 5 + told
    ended = event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
    return [*told, ended, event("message_stop")]


def odd_headers(kind: str) -> dict[str, str]:
    """The rate limits that go with a reply."""
    if kind == "nonsense of rate limits":
        odd = {"remaining": "-1", "reset": "2006-01-02T15:04:05Z", "limit": "NaN"}
        return {f"{_LIMITS}-{name}": value for name, value in odd.items()} | {
            "anthropic-ratelimit-tokens-remaining": "0",
            "anthropic-ratelimit-tokens-reset": "tomorrow",
            "anthropic-ratelimit-input-tokens-remaining": "0",
            "anthropic-ratelimit-input-tokens-reset": "0001-01-01T00:00:00",
        }
    seconds = {"nothing left for a moment": 0.2, "nothing left for a month": 30 * 86_400.0}.get(kind)
    if seconds is None:
        return {}
    reset = datetime.now(UTC) + timedelta(seconds=seconds)
    return {f"{_LIMITS}-remaining": "0", f"{_LIMITS}-reset": reset.isoformat().replace("+00:00", "Z")}


def head(status: int, kind: str, length: int | None, headers: dict[str, str]) -> bytes:
    """A status line and its headers."""
    lines = {"content-type": kind, "request-id": "req_unruly", **headers}
    lines |= {"transfer-encoding": "chunked"} if length is None else {"content-length": str(length)}
    return (
        f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {each}\r\n" for name, each in lines.items()) + "\r\n"
    ).encode()


def chunk(data: bytes) -> bytes:
    """A piece of a body whose length nobody knows."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(kind: str) -> bytes:
    """An answer with an error's status."""
    if kind in HTML:
        body = b"<html><script>alert(1)</script><h1>Bad gateway</h1></html>"
        return head(int(kind[:3]), "text/html", len(body), {}) + body
    status, headers = STATUSES[kind]
    body = json.dumps({"type": "error", "error": {"type": "made_up_error", "message": f"no: {kind}"}}).encode()
    return head(status, "application/json", len(body), dict(headers)) + body


def cut(row: int, kind: str) -> tuple[bytes, bytes]:
    """What goes out of a reply that breaks off: what comes before the fault, and the fault itself."""
    opened, started = head(200, "text/event-stream", None, {}), b"".join(map(chunk, events(row, WHOLE)[:3]))
    end = b"0\r\n\r\n"
    strange = event("content_block_delta", index=9, delta={"type": "text_delta", "text": 7})
    wrong = {
        "ended without message_stop": end,
        "overloaded in the stream": chunk(event("error", error={"type": "overloaded_error", "message": "full"})) + end,
        "garbage in the stream": chunk(b"event: content_block_delta\ndata: {]\n\n") + end,
        "not an object in the stream": chunk(b"event: content_block_delta\ndata: [7]\n\n") + end,
        "a stranger's delta": chunk(strange) + end,
    }
    if kind in wrong:
        return opened + started, wrong[kind]
    return {
        "closed after the headers": (opened, b""),
        "reset in the stream": (opened + started, b""),
        "closed in the stream": (opened + started, b""),
        "stall in the stream": (opened + started, b""),
        "pings for ever": (opened + started, b""),
        "ended before message_start": (opened, end),
        "nothing but pings, then the end": (opened, chunk(event("ping") * 3) + end),
        "empty body": (b"", head(200, "text/event-stream", 0, {})),
        "html with status 200": (b"", head(200, "text/html", 9, {}) + b"<p>Hi</p>"),
        "json with status 200 that is none": (b"", head(200, "application/json", 4, {}) + b"nope"),
        "half of the headers": (b"HTTP/1.1 200 OK\r\ncontent-ty", b""),
        "not http": (b"", b"SSH-2.0-OpenSSH_9.6\r\n"),
    }.get(kind, (b"", b""))


@dataclass
class Unruly:
    """The server. `served` has what went out for each row, in order; `most` how many were under way at once."""

    seed: int
    share: float
    kinds: tuple[str, ...] = KINDS
    served: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    under_way: int = 0
    most: int = 0
    url: str = ""

    def __enter__(self) -> Unruly:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def closed(self) -> bool:
        """Whether all connections are closed, as soon as they are; waits ten seconds at most."""

        async def all_closed() -> bool:
            open_ones = [task for task in self._connections if not task.done()]
            return not open_ones or not (await asyncio.wait(open_ones, timeout=10))[1]

        return asyncio.run_coroutine_threadsafe(all_closed(), self._loop).result(20)

    def kind_of(self, row: int, attempt: int) -> str:
        """What a row's attempt meets: nothing of time or of the other rows is in it."""
        chance = random.Random(f"{self.seed} {row} {attempt}")
        return chance.choice(self.kinds) if chance.random() < self.share else WHOLE

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        listening = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=256)
        self.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await self._ended.wait()
        listening.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        self._connections.discard(task)
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and what comes back. Returns whether the connection is still of use."""
        told = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", told)
        body = await reader.readexactly(int(found[1]) if found else 0)
        asked = _ROW.search(body)
        if asked is None or not told.startswith((b"POST /v1/messages ", b"POST /v1/messages?")):
            writer.write(head(404, "application/json", 2, {}) + b"{}")
            return True
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        row = int(asked[1])
        kind = self.kind_of(row, len(self.served[row]))
        self.served[row].append(kind)
        return await self._answer(reader, writer, row, kind)

    def _last(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        """Write what ends a request: from here on, who asked may ask again."""
        self.under_way -= 1
        writer.write(data)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, row: int, kind: str) -> bool:
        await asyncio.sleep(0.001)
        if kind in STATUSES or kind in HTML:
            self._last(writer, refusal(kind))
            return True
        if kind in BROKEN:
            before, fault = cut(row, kind)
            writer.write(before)
            if kind.startswith("reset"):
                at_once = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
            await asyncio.sleep(0.001)
            self._last(writer, fault)
            if kind.startswith("stall"):
                await reader.read(1)
            while kind == "pings for ever":
                writer.write(chunk(event("ping")))
                await asyncio.sleep(0.2)
                await writer.drain()
            return False
        told = head(200, "text/event-stream", None, odd_headers(kind))
        reply = b"".join(map(chunk, events(row, kind)))
        if kind == "byte by byte":
            reply = b"".join(chunk(bytes([each])) for each in b"".join(events(row, kind)))
        writer.write(told + reply)
        await writer.drain()
        self._last(writer, b"0\r\n\r\n")
        return True
