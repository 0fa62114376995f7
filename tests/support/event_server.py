"""A Messages API on loopback that streams whatever events it is given, and refuses what the API refuses.

Each request is checked by the stand-in's own rules first; what they say of a refused one is in `refused`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from claude_magic.offline import rules
from claude_magic.offline.faults import Rejected

Event = dict[str, Any]
_MESSAGE = {"type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": [], "stop_reason": None}
USAGE = {"input_tokens": 100, "output_tokens": 1}


def stream_of(*blocks: list[Any], stop: str | None = "end_turn", id: str = "msg_1") -> list[Event]:
    """The events of a reply of these blocks, each a list: the block as it starts, then its deltas."""
    message = {**_MESSAGE, "id": id, "stop_sequence": None, "usage": dict(USAGE)}
    made: list[Event] = [{"type": "message_start", "message": message}]
    for index, (start, *deltas) in enumerate(blocks):
        made.append({"type": "content_block_start", "index": index, "content_block": start})
        made += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        made.append({"type": "content_block_stop", "index": index})
    ending = {"stop_reason": stop, "stop_sequence": None}
    made.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": 50}})
    return [*made, {"type": "message_stop"}]


def spoken(words: str) -> list[Any]:
    """A text block for `stream_of`."""
    return [{"type": "text", "text": ""}, {"type": "text_delta", "text": words}]


def called(id: Any, source: str | None = None, name: Any = "one", **fields: Any) -> list[Any]:
    """A call of a tool for `stream_of`; `source` is the text of its input, in one piece."""
    start = {"type": "tool_use", "id": id, "name": name, "input": {}, **fields}
    return [start, *([] if source is None else [{"type": "input_json_delta", "partial_json": source}])]


@dataclass
class EventServer:
    """The server: the n-th request that it accepts gets the n-th reply of `replies`, the last one again and again."""

    url: str
    replies: list[Sequence[Event]] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    answered: int = 0
    results: tuple[str, ...] = ()  # with a type among the contents of server tools' results, the only ones it takes

    def begin(self, *replies: Sequence[Event]) -> None:
        """Forget what came, and answer with these replies."""
        self.replies, self.requests, self.refused, self.answered = list(replies), [], [], 0

    def answer(self, body: Any, betas: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        self.requests.append(body)
        try:
            rules.check(body, header=betas)
            self._check_results(body)
        except Rejected as rejected:
            self.refused.append(rejected.message)
            error = {"type": rejected.kind, "message": rejected.message}
            return rejected.status, "application/json", json.dumps({"type": "error", "error": error}).encode()
        events = self.replies[min(self.answered, len(self.replies) - 1)]
        self.answered += 1
        lines = [f"event: {_name(event)}\ndata: {json.dumps(event)}\n\n" for event in events]
        return 200, "text/event-stream", "".join(lines).encode()

    def _check_results(self, body: Any) -> None:
        """Refuse the first result of a server tool whose content the API would not take, which the rules leave open."""
        for number, message in enumerate(body["messages"] if self.results else ()):
            for at, block in enumerate(message["content"]):
                content = block.get("content") if block["type"].endswith("_tool_result") else None
                if isinstance(content, dict) and content.get("type") not in self.results:
                    place = f"messages.{number}.content.{at}.{block['type']}.content"
                    raise Rejected(f"{place}: Input tag '{content.get('type')}' found using 'type' does not match any")


def _name(event: Event) -> str:
    """The name of an event on the wire, which the SDK dispatches by: the one that it would have, whatever it holds."""
    kind = event.get("type") if isinstance(event, dict) else None
    return kind if isinstance(kind, str) and kind in _NAMES else "message_delta"


_NAMES = {event["type"] for event in stream_of(spoken("x"))}


@contextmanager
def event_server() -> Iterator[EventServer]:
    """A running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
    server.events = EventServer(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    yield server.events  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        events: EventServer = self.server.events  # type: ignore[attr-defined]
        status, kind, body = events.answer(json.loads(raw), self.headers.get("anthropic-beta") or "")
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("request-id", f"req_{len(events.requests)}")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        body = b'{"data": [], "has_more": false}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass
