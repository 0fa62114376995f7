"""A loopback server in a process of its own, which streams prepared replies and does nothing else.

The address says what comes: `http://127.0.0.1:PORT/2000/0` is an `ANTHROPIC_BASE_URL` whose replies
have 2,000 text deltas, as fast as the socket takes them; with `/2000/200`, 200 a second. The first
delta of a paced reply is the time at which it was written (`time.monotonic_ns`, which on one
machine is the same clock for all processes). A question that holds `WARM_UP` has a short reply at once.
"""

from __future__ import annotations

import functools
import json
import os
import re
import socketserver
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import sample

FOLDER = Path(__file__).parents[1]
MODEL = "claude-opus-5-5"
KEY = "benchmark"
QUESTION = "How do models learn?"
WARM_UP = "Warm up."
WARM_UP_DELTAS = 50
_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"request-id: req_benchmark\r\ntransfer-encoding: chunked\r\n\r\n"
)


def server() -> AbstractContextManager[str]:
    """The server of this module: its address lacks the deltas and the pace."""
    return served("benchmarks.wire")


@contextmanager
def served(module: str, *arguments: str) -> Iterator[str]:
    """A module run as a server of its own process, for as long as the block lasts; the value is its address.

    The module prints the port on which it listens, as its first line.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def environment(**changes: str) -> dict[str, str]:
    """The environment of a child process: it finds the benchmarks, and no key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    return {**kept, "PYTHONPATH": str(FOLDER), **changes}


def _serve() -> None:
    with _Server(("127.0.0.1", 0), _Handler) as listening:
        print(listening.server_address[1], flush=True)
        listening.serve_forever()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


class _Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while line := self.rfile.readline():
            _, count, rate, *_ = line.split()[1].decode().split("/")
            body = self._body()
            if WARM_UP.encode() in body:
                count, rate = str(WARM_UP_DELTAS), "0"
            try:
                if re.search(rb'"stream":\s*true', body):
                    self._answer(int(count), int(rate))
                else:
                    self.wfile.write(_at_once(int(count)))
            except ConnectionError:  # the reader had enough
                return

    def _body(self) -> bytes:
        length = 0
        while (header := self.rfile.readline().strip().lower()) != b"":
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        return self.rfile.read(length)

    def _answer(self, count: int, rate: int) -> None:
        opening, deltas, closing = _reply(count)
        if not rate:
            self.wfile.write(_whole(count))
            return
        self.wfile.write(_HEAD + opening)
        began = time.monotonic()
        for number, delta in enumerate(deltas):
            time.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
            self.wfile.write(delta if number else _delta(f"{time.monotonic_ns()}\n\n"))
        self.wfile.write(closing)


@functools.cache
def _at_once(count: int) -> bytes:
    """The same reply to a question that asks for no stream."""
    text = {"type": "text", "text": "".join(sample.pieces(count))}
    usage = {"input_tokens": 12, "output_tokens": count}
    message = {"id": "msg_benchmark", "type": "message", "role": "assistant", "model": MODEL, "content": [text]}
    body = json.dumps({**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@functools.cache
def _whole(count: int) -> bytes:
    opening, deltas, closing = _reply(count)
    return _HEAD + opening + b"".join(deltas) + closing


@functools.cache
def _reply(count: int) -> tuple[bytes, list[bytes], bytes]:
    """What comes before the text, the text, and what comes after it; each event a chunk, as the API sends them."""
    usage = {"input_tokens": 12, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": "msg_benchmark",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    block = {"type": "text", "text": ""}
    opening = _event("message_start", message=message) + _event("content_block_start", index=0, content_block=block)
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    closing = (
        _event("content_block_stop", index=0)
        + _event("message_delta", delta=ended, usage={"output_tokens": count})
        + _event("message_stop")
        + b"0\r\n\r\n"
    )
    return opening, [_delta(piece) for piece in sample.pieces(count)], closing


def _delta(text: str) -> bytes:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def _event(kind: str, **fields: Any) -> bytes:
    data = f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, separators=(',', ':'))}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


if __name__ == "__main__":
    _serve()
