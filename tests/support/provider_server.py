"""A server on loopback that notes what came, and answers as Claude does whatever the path: for the providers' tests."""

from __future__ import annotations

import base64
import json
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
EVENTS: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": MESSAGE},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi."}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)


SILENCE = (0, b"")


@dataclass(frozen=True)
class Came:
    """A request that came: its path, its headers (lower case) and its body (JSON where it is)."""

    path: str
    headers: Mapping[str, str]
    body: Any


@dataclass
class Recorder:
    """What came, in order, and (where set) the status and body to answer with instead of a reply, one by one.

    `SILENCE` is no answer at all, until the recorder stops.
    """

    url: str
    came: list[Came] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    on_silence: Callable[[], None] = lambda: None
    stopped: threading.Event = field(default_factory=threading.Event)

    def answer(self, came: Came) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        self.came.append(came)
        if came.path == "/token":
            return 200, "application/json", b'{"access_token": "ya29.fake-google-token", "expires_in": 3600}'
        if self.answers:
            status, said = self.answers.pop(0)
            if (status, said) == SILENCE:
                self.on_silence()
                self.stopped.wait()
            return status, "application/json", said
        if "count" in came.path:
            return 200, "application/json", b'{"input_tokens": 42}'
        if came.path.endswith("invoke-with-response-stream"):
            return 200, "application/vnd.amazon.eventstream", b"".join(_framed(event) for event in EVENTS)
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in EVENTS)
        return 200, "text/event-stream", "".join(lines).encode()


def _framed(event: Mapping[str, Any]) -> bytes:
    """An event as AWS frames it: lengths, headers, a payload, and checksums (botocore, `eventstream.py`)."""
    names = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in names.items()
    )
    payload = json.dumps({"bytes": base64.b64encode(json.dumps(event).encode()).decode()}).encode()
    prelude = struct.pack("!II", 12 + len(headers) + len(payload) + 4, len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack("!I", zlib.crc32(message))


@contextmanager
def recorder() -> Iterator[Recorder]:
    """A running recorder."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
    server.recorder = Recorder(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    yield server.recorder  # type: ignore[attr-defined]
    server.recorder.stopped.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        body = json.loads(raw) if raw.startswith(b"{") else raw
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, kind, answer = self.server.recorder.answer(Came(self.path, headers, body))  # type: ignore[attr-defined]
        if not status:
            return
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.send_header("x-amzn-requestid" if "amazon" in kind else "request-id", "req_1")
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass
