"""A prompt over many rows: how near it comes to what the server allows, and what a large batch takes of memory.

The server is in a process of its own. It takes 2 s for each question, as the API does, however many come at once; of a
batch it counts the bytes.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from benchmarks.wire import KEY, environment, served

ROWS = (500, 2_000)
CONCURRENCY = 50
LATENCY_SECONDS = 2.0
MAX_RATIO = 1.03
BATCH_ROWS = 100_000
MAX_BATCH_MEGABYTES = 40.0
PROMPT = "Say {{item}}, and think of " + "the words that stand here for instructions " * 20
MODEL = "claude-haiku-5-5"


def rows() -> Iterator[Row]:
    """Seconds for all rows beside those that waiting for the server takes, and the memory that a batch adds."""
    with served("benchmarks.rows", "serve") as address:
        for count in ROWS:
            ours, bare = measured("now", address, count), measured("bare", address, count)
            what = f"{count:,} rows mapped, {CONCURRENCY} at a time, {LATENCY_SECONDS:.0f} s each"
            yield Row(what, ours.seconds, "s", bare.seconds, "AsyncAnthropic behind a semaphore", max_ratio=MAX_RATIO)
            yield Row("its CPU", ours.cpu, "s", bare.cpu, "AsyncAnthropic's")
        grown, size = measured("batch", address, BATCH_ROWS).megabytes, BATCH_ROWS * len(PROMPT) / 1e6
        what = f"memory that submitting a batch of {BATCH_ROWS:,} rows adds"
        yield Row(what, grown, "MB", size, "the batch", max_ours=MAX_BATCH_MEGABYTES)


@dataclass(frozen=True)
class Measured:
    """What a map took: seconds, those of the processor, and megabytes that a batch added."""

    seconds: float = 0.0
    cpu: float = 0.0
    megabytes: float = 0.0


def measured(what: str, address: str, count: int) -> Measured:
    """What a fresh process measures."""
    with tempfile.TemporaryDirectory() as folder:
        told = environment(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=address, JUPYTER_DATA_DIR=folder)
        command = [sys.executable, "-m", "benchmarks.rows", what, str(count)]
        done = subprocess.run(command, env=told, check=True, stdout=subprocess.PIPE, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _timed(took: dict[str, float]) -> Iterator[None]:
    began, cpu = time.monotonic(), time.process_time()
    yield
    took.update(seconds=time.monotonic() - began, cpu=time.process_time() - cpu)


def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "claude_magic")
    return shell


def _now(count: int) -> dict[str, float]:
    shell, took = _shell(), dict[str, float]()
    line = f"--out result --model {MODEL} --concurrency {CONCURRENCY}"
    shell.run_cell_magic("claude_map", f"range(20) {line}", PROMPT)
    with _timed(took):
        shell.run_cell_magic("claude_map", f"range(20, {count + 20}) {line}", PROMPT)
    assert shell.user_ns["result"]["error"].isna().all()
    return took


def _bare(count: int) -> dict[str, float]:
    import anthropic

    async def asked() -> dict[str, float]:
        client, gate, took = anthropic.AsyncAnthropic(max_retries=0), asyncio.Semaphore(CONCURRENCY), dict[str, float]()

        async def one(item: int) -> None:
            messages: Any = [{"role": "user", "content": PROMPT.replace("{{item}}", str(item))}]
            async with gate, client.messages.stream(model=MODEL, max_tokens=1_000, messages=messages) as stream:
                await stream.get_final_message()

        await asyncio.gather(*map(one, range(20)))
        with _timed(took):
            await asyncio.gather(*map(one, range(count)))
        return took

    return asyncio.run(asked())


def _batch(count: int) -> dict[str, float]:
    import anthropic  # noqa: F401  (its import is not the batch)

    from claude_magic.mapping import batches

    grown: list[int] = []
    create = batches.BatchRun._create

    def weighed(self: Any, *given: Any) -> Any:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        made = create(self, *given)
        grown.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        return made

    batches.BatchRun._create = weighed  # type: ignore[method-assign]
    shell = _shell()
    shell.run_cell_magic("claude_map", f"range({count}) --out result --model {MODEL} --batch", PROMPT)
    return {"megabytes": sum(grown) / 1024}


# The server


def _reply() -> bytes:
    usage = {"input_tokens": 12, "output_tokens": 1}
    message = {"id": "msg_benchmark", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "yes"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    body = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _ended() -> bytes:
    counts = {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    batch = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "ended", "request_counts": counts}
    times = {"created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z", "ended_at": None}
    body = json.dumps({**batch, **times, "results_url": "/v1/messages/batches/msgbatch_1/results"}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reply, ended = _reply(), _ended()
    while head := await reader.readline():
        length = 0
        while (line := (await reader.readline()).strip().lower()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while length:
            length -= len(await reader.read(min(length, 1 << 20)))
        if b"/results" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-jsonl\r\ncontent-length: 0\r\n\r\n")
        elif b"/batches" in head:
            writer.write(ended)
        else:
            await asyncio.sleep(LATENCY_SECONDS)
            writer.write(reply)
    writer.close()


async def _serve() -> None:
    listening = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve())
    else:
        sys.path.insert(0, str(Path(__file__).parents[2]))
        print(json.dumps({"now": _now, "bare": _bare, "batch": _batch}[sys.argv[1]](int(sys.argv[2]))))
