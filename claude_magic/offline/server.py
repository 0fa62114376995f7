"""The HTTP server of the stand-in: routes, responses, streams and simulated faults."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from ..models import Model
from . import batches, models_list, rules
from .batches import Batches
from .faults import Fault, Rejected, error_body, rejection, should_retry, status_of, stream_error_message
from .replies.answer import Memory, Request, Script, answer, count
from .replies.containers import File
from .replies.lessons import pace_of
from .replies.message import Message, events

INVALID_KEY = "invalid"
_ORGANIZATION_ID = "00000000-0000-4000-8000-000000000000"
_LIMITS = {"requests": 4_000, "tokens": 2_400_000, "input-tokens": 2_000_000, "output-tokens": 400_000}
_READ_BYTES = 1 << 16


class Server:
    """A running stand-in.

    `requests` are the bodies received at `/v1/messages`, in order, also the refused ones; `replies` are the complete
    messages sent. Each request to `/v1/messages` takes one of `faults` (`Fault`, or `None` for no fault); each creation
    of a batch one of `batch_faults`; each read of a batch or its results one of `look_faults`. `pace` is in events per
    second, `None` for no limit. `script` may return a reply, as content blocks or as a `Draft`, or `None` for the
    stand-in's own. `clock` gives seconds, for the expiry of prompt cache and containers.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[dict[str, Any]] = []
        self.replies: list[Message] = []
        self.faults: deque[Fault | None] = deque()
        self.batch_faults: deque[Fault | None] = deque()
        self.look_faults: deque[Fault | None] = deque()
        self.batches = Batches()
        self.pace: float | None = None
        self.script: Script | None = None
        self.clock: Callable[[], float] = time.monotonic
        self._memory = Memory(lambda: self.clock())
        self._numbers = itertools.count(1)
        self._stopped = threading.Event()
        self._connections: set[socket.socket] = set()
        self._listener = _Listener(("127.0.0.1", port), _Handler)
        self._listener.stand_in = self
        self.url = f"http://127.0.0.1:{self._listener.server_address[1]}"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and close all connections, also those that stall."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._listener.server_port)).close()  # wakes the listener at once
        self._thread.join()
        self._listener.server_close()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _listen(self) -> None:
        while not self._stopped.is_set():
            self._listener.handle_request()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def answer(self, body: dict[str, Any], model: Model, key: str) -> Message:
        """The complete message for a request that has passed the rules."""
        return answer(Request(body, model, key, next(self._numbers)), self._memory, self.script)

    def file(self, id: str) -> File:
        """A file that code execution made. Raises the API's 404 for an unknown id."""
        return self._memory.containers.file(id)

    def wait(self, seconds: float) -> None:
        """Sleep. Raises `ConnectionAbortedError` when the server stops meanwhile."""
        if seconds > 0 and self._stopped.wait(seconds):
            raise ConnectionAbortedError

    @contextlib.contextmanager
    def open(self, connection: socket.socket) -> Iterator[None]:
        """Register a connection while it is open, so that `stop` can close it."""
        self._connections.add(connection)
        try:
            yield
        finally:
            self._connections.discard(connection)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    timeout = 0.5  # seconds between looks whether it is to stop
    request_queue_size = 64
    stand_in: Server

    def server_bind(self) -> None:
        # The inherited method resolves this machine's name, which can take seconds.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the client closed the connection, or the server stops: no traceback in a notebook


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Listener

    def handle(self) -> None:
        with self.server.stand_in.open(self.connection):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_DELETE(self) -> None:
        self._respond(lambda path: self._batch("DELETE", path))

    def do_POST(self) -> None:
        self._respond(self._post)

    def _respond(self, route: Callable[[str], None]) -> None:
        """Route a request and answer it in any case. A bug in the stand-in gives a 500 that says so."""
        seed = f"{id(self.server)}{next(self.server.stand_in._numbers)}"
        self.request_id = "req_offline_" + hashlib.sha256(seed.encode()).hexdigest()[:20]
        try:
            route(urlsplit(self.path).path)
        except Rejected as rejected:
            self._reject(rejected, {})
        except OSError:
            self.close_connection = True
        except Exception as bug:
            self._reject(Rejected(f"the offline stand-in failed: {bug!r}", status=500), {})

    def _get(self, path: str) -> None:
        self._key()
        if path == "/v1/models":
            self._json(200, models_list.page(parse_qs(urlsplit(self.path).query)))
        elif found := re.fullmatch(r"/v1/files/([\w-]+)(/content)?", path):
            file = self.server.stand_in.file(found[1])
            if found[2]:
                self._bytes(file.data, file.media_type)
            else:
                self._json(200, file.metadata())
        elif path.startswith(batches.PATH):
            self._batch("GET", path)
        elif path.startswith("/v1/models/"):
            self._json(200, models_list.entry(unquote(path.removeprefix("/v1/models/"))))
        else:
            raise Rejected("Not found", status=404)

    def _post(self, path: str) -> None:
        raw = self._read(batches.MAX_BATCH_BYTES if path == batches.PATH else rules.MAX_REQUEST_BYTES)
        if path == "/v1/messages/count_tokens":
            self._key()
            body = _parsed(raw)
            self._json(200, count(body, rules.check(body, header=self._betas, counting=True)))
        elif path == "/v1/messages":
            self._message(raw)
        elif path == batches.PATH:
            self._create_batch(raw)
        elif path.startswith(batches.PATH):
            self._batch("POST", path)
        else:
            raise Rejected("Not found", status=404)

    def _create_batch(self, raw: bytes) -> None:
        """Create a batch. A `cut` fault comes between creation and response, other faults before the creation."""
        stand_in, key = self.server.stand_in, self._key()
        fault = stand_in.batch_faults.popleft() if stand_in.batch_faults else None
        if fault and fault.kind == "close":
            self._break_off()
        elif fault and fault.kind == "status":
            self._reject(rejection(fault), fault.headers)
        else:
            batch = stand_in.batches.create(_parsed(raw), key, self._betas)
            if fault and fault.kind == "cut":
                self._break_off()
            else:
                self._json(200, stand_in.batches.described(batch, stand_in.url))

    def _batch(self, method: str, path: str) -> None:
        """Answer requests about existing batches: list, read, results, cancel, delete."""
        stand_in, key = self.server.stand_in, self._key()
        kept = stand_in.batches

        def answer_request(params: Any, header: str = "") -> Message:
            if not isinstance(params, dict) or params.get("stream") or params.get("speed") == "fast":
                raise Rejected("stream and speed: not supported in a batch")
            return stand_in.answer(params, rules.check(params, header=header), key)

        if path == batches.PATH:
            self._json(200, kept.page(parse_qs(urlsplit(self.path).query), key, answer_request))
            return
        fault = stand_in.look_faults.popleft() if stand_in.look_faults and method == "GET" else None
        if self._fail_before_answer(fault):
            return
        name, _, what = path.removeprefix(f"{batches.PATH}/").partition("/")
        batch = kept.find(name, key, answer_request)
        if (method, what) == ("GET", "results"):
            self._results(b"".join(kept.lines(batch)), fault)
        elif (method, what) == ("DELETE", ""):
            self._json(200, kept.delete(batch))
        elif (method, what) in (("GET", ""), ("POST", "cancel")):
            if what:
                kept.cancel(batch)
            self._json(200, kept.described(batch, stand_in.url))
        else:
            raise Rejected("Not found", status=404)

    def _results(self, data: bytes, fault: Fault | None) -> None:
        """Send the results of a batch; with a `cut` fault, half of them."""
        if not fault:
            self._bytes(data, "application/x-jsonl")
            return
        self._head(200, {"content-type": "application/x-jsonl", "content-length": str(len(data))})
        self.wfile.write(data[: len(data) // 2])
        self._break_off()

    def _fail_before_answer(self, fault: Fault | None) -> bool:
        """Simulate a `close` or `status` fault in place of the answer; whether there was one."""
        if fault and fault.kind == "close":
            self._break_off()
        elif fault and fault.kind == "status":
            self._reject(rejection(fault), fault.headers)
        else:
            return False
        return True

    def _message(self, raw: bytes) -> None:
        stand_in = self.server.stand_in
        fault = stand_in.faults.popleft() if stand_in.faults else None
        with contextlib.suppress(Rejected):
            stand_in.requests.append(_parsed(raw))
        if self._fail_before_answer(fault):
            return
        key, body = self._key(), _parsed(raw)
        message = stand_in.answer(body, rules.check(body, header=self._betas), key)
        if body.get("stream"):
            self._stream(message, fault)
        else:
            self._whole(message, fault)

    def _read(self, most: int = rules.MAX_REQUEST_BYTES) -> bytes:
        length = int(self.headers.get("content-length") or 0)
        if length > most:
            for _ in range(
                0, length, _READ_BYTES
            ):  # read it all, or the client sees a reset connection instead of the answer
                self.rfile.read(min(_READ_BYTES, length))
                length -= _READ_BYTES
            raise Rejected("Request exceeds the maximum size", status=413)
        return self.rfile.read(length)

    def _key(self) -> str:
        """The caller's key. Raises the API's 401 where it is missing or invalid."""
        bearer = self.headers.get("authorization", "")
        key = self.headers.get("x-api-key") or bearer.removeprefix("Bearer ").strip()
        if not key:
            raise Rejected("x-api-key header is required", status=401)
        if key == INVALID_KEY:
            raise Rejected("invalid x-api-key", status=401)
        return key

    @property
    def _betas(self) -> str:
        return self.headers.get("anthropic-beta") or ""

    def _reject(self, rejected: Rejected, headers: Mapping[str, str]) -> None:
        body = error_body(rejected.kind, rejected.message, self.request_id, rejected.details)
        self._json(rejected.status, body, {"x-should-retry": should_retry(rejected.status), **headers})

    def _json(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        raw = json.dumps(body, ensure_ascii=False).encode()
        self._head(status, {"content-type": "application/json", "content-length": str(len(raw)), **(headers or {})})
        self.wfile.write(raw)

    def _bytes(self, raw: bytes, kind: str) -> None:
        self._head(200, {"content-type": kind, "content-length": str(len(raw))})
        self.wfile.write(raw)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, **self._common_headers()}.items():
            self.send_header(name, value)
        self.end_headers()

    def _common_headers(self) -> dict[str, str]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {"request-id": self.request_id, "anthropic-organization-id": _ORGANIZATION_ID}
        for name, limit in _LIMITS.items():
            headers[f"anthropic-ratelimit-{name}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{name}-remaining"] = str(limit - 1)
            headers[f"anthropic-ratelimit-{name}-reset"] = now
        return headers

    def _whole(self, message: Message, fault: Fault | None) -> None:
        """Answer a request without `stream`. Faults that need events happen in the middle of the body."""
        stand_in = self.server.stand_in
        kind = fault.kind if fault else None
        if fault and kind == "error":
            status = status_of(fault.error)
            raise Rejected(stream_error_message(fault), status=status, kind=fault.error)
        raw = json.dumps(message, ensure_ascii=False).encode()
        if fault and kind == "slow":
            stand_in.wait(fault.seconds)
        if kind in (None, "slow"):
            stand_in.replies.append(message)
            self._json(200, message)
            return
        self._head(200, {"content-type": "application/json", "content-length": str(len(raw))})
        self.wfile.write(raw[: len(raw) // 2])
        if kind == "stall":
            self.connection.recv(1)
        self._break_off()

    def _stream(self, message: Message, fault: Fault | None) -> None:
        stand_in = self.server.stand_in
        self._head(
            200,
            {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                "transfer-encoding": "chunked",
            },
        )
        after = fault.after if fault and fault.kind != "slow" else None
        pace = stand_in.pace or pace_of(message)
        for number, event in enumerate(events(message)):
            if fault and number == after:
                self._fail(fault, event)
                return
            stand_in.wait(fault.seconds if fault and fault.kind == "slow" else 1 / pace if pace else 0)
            if event["type"] == "message_stop":
                stand_in.replies.append(message)
            self._chunk(_sse(event))
        self._chunk(b"")

    def _fail(self, fault: Fault, event: Mapping[str, Any]) -> None:
        """Simulate a fault in place of an event of the stream."""
        whole = _sse(event)
        match fault.kind:
            case "cut":
                self._break_off()
            case "cut_inside":
                self._chunk(whole[: len(whole) // 2])
                self._break_off()
            case "end":
                self._chunk(b"")
            case "stall":
                self.connection.recv(1)  # returns when the client goes away, or `stop` shuts the socket down
                self._break_off()
            case "error":
                body = error_body(fault.error, stream_error_message(fault), self.request_id)
                self._chunk(_sse(body))
                self._chunk(b"")
            case "broken":
                self._chunk(whole.rstrip()[:-2] + b"\n\n")
                self._chunk(b"")
            case _:
                raise ValueError(f"no such fault: {fault.kind}")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _break_off(self) -> None:
        """Close the connection without finishing the response."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _sse(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _parsed(raw: bytes) -> dict[str, Any]:
    """The parsed request body. Raises the API's 400 for invalid JSON and for lone surrogates."""
    try:
        body = json.loads(raw)
        if b"\\ud" in raw.lower():
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as wrong:
        raise Rejected(f"The request body is not valid JSON: {wrong}") from None
    if not isinstance(body, dict):
        raise Rejected("The request body is not a JSON object")
    return cast("dict[str, Any]", body)
