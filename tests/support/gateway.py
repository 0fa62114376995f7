"""A gateway on loopback: each request gets the next of the answers that are given, the last one again and again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.provider_server import EVENTS

STREAM = "text/event-stream"


@dataclass(frozen=True)
class Answer:
    """Status, media type (empty: no such header) and pieces of the body, which are sent one by one.

    Without a `length` the connection is closed at the end, which is how some gateways end a stream.
    """

    pieces: tuple[bytes, ...]
    status: int = 200
    kind: str = STREAM
    length: bool = True
    headers: tuple[tuple[str, str], ...] = (("request-id", "req_1"),)


def answer(body: bytes | str, status: int = 200, kind: str = STREAM, **more: Any) -> Answer:
    """An answer in one piece."""
    return Answer((body.encode() if isinstance(body, str) else body,), status, kind, **more)


def named(*events: Any) -> str:
    """Events as the API sends them."""
    return "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)


def unnamed(*events: Any) -> str:
    """Events as some gateways send them: without their `event:` lines."""
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events)


WHOLE = named(*EVENTS)


def message(**changes: Any) -> dict[str, Any]:
    """The reply of `EVENTS` as a message in one piece."""
    made: dict[str, Any] = dict(EVENTS[0]["message"])
    made |= {"content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn"}
    return made | {"usage": {"input_tokens": 3, "output_tokens": 2}} | changes


@dataclass
class Gateway:
    """`came` are the requests: path, headers and body."""

    url: str
    answers: list[Answer] = field(default_factory=lambda: [answer(WHOLE)])
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def answering(self, *answers: Answer) -> Gateway:
        """The same gateway, with other answers from now on."""
        self.answers[:] = answers
        return self


@contextmanager
def gateway(*answers: Answer) -> Iterator[Gateway]:
    """A running gateway."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.gateway = Gateway(f"http://127.0.0.1:{server.server_address[1]}")  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
    yield server.gateway.answering(*answers or [answer(WHOLE)])  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def told_by(answers: Sequence[Answer], at: int) -> Answer:
    """The answer to a request."""
    return answers[min(at, len(answers) - 1)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        mine: Gateway = self.server.gateway  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        mine.came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        told = told_by(mine.answers, len(mine.came) - 1)
        self.send_response(told.status)
        headers = {**dict(told.headers), **({"content-type": told.kind} if told.kind else {})}
        headers |= {"content-length": str(sum(map(len, told.pieces)))} if told.length else {"connection": "close"}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # whoever asked may have left
            for piece in told.pieces:
                self.wfile.write(piece)
                self.wfile.flush()

    do_GET = do_CONNECT = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass
