"""A prompt over many rows: how near it comes to what the server allows, and what a large batch takes of memory.

The server is in a process of its own. It takes 20 ms for each question, however many come at once; of a batch it
counts the bytes.
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
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from benchmarks.wire import KEY, environment, served

ROWS = 10_000
CONCURRENCY = 4
LATENCY_SECONDS = 0.02
MAX_THROUGHPUT_RATIO = 1 / 0.9
BATCH_ROWS = 100_000
MAX_BATCH_MEGABYTES = 40.0
PROMPT = "Say {{item}}, and think of " + "the words that stand here for instructions " * 20
MODEL = "claude-haiku-5-5"


def rows() -> Iterator[Row]:
    """Seconds for all rows beside those that waiting for the server takes, and the memory that a batch adds."""
    with served("benchmarks.rows", "serve") as address:
        ideal = ROWS * LATENCY_SECONDS / CONCURRENCY
        what = f"{ROWS:,} rows mapped, {CONCURRENCY} at a time, 20 ms each"
        ours, bare = measured("now", address), measured("bare", address)
        yield Row(what, ours, "s", ideal, "waiting alone", max_ratio=MAX_THROUGHPUT_RATIO)
        yield Row("the same, beside AsyncAnthropic alone", ours, "s", bare, "its stream()s, none kept")
        grown, size = measured("batch", address), BATCH_ROWS * len(PROMPT) / 1e6
        what = f"memory that submitting a batch of {BATCH_ROWS:,} rows adds"
        yield Row(what, grown, "MB", size, "the batch", max_ours=MAX_BATCH_MEGABYTES)


def measured(what: str, address: str) -> float:
    """What a fresh process measures: seconds of a map, or megabytes of a batch."""
    with tempfile.TemporaryDirectory() as folder:
        told = environment(ANTHROPIC_API_KEY=KEY, ANTHROPIC_BASE_URL=address, JUPYTER_DATA_DIR=folder)
        command = [sys.executable, "-m", "benchmarks.rows", what]
        done = subprocess.run(command, env=told, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "claude_magic")
    return shell


def _now() -> float:
    shell = _shell()
    line = f"--out result --model {MODEL} --concurrency {CONCURRENCY}"
    shell.run_cell_magic("claude_map", f"range(20) {line}", PROMPT)
    began = time.monotonic()
    shell.run_cell_magic("claude_map", f"range(20, {ROWS + 20}) {line}", PROMPT)
    seconds = time.monotonic() - began
    assert shell.user_ns["result"]["error"].isna().all()
    return seconds


def _bare() -> float:
    import anthropic

    async def asked() -> float:
        client, gate = anthropic.AsyncAnthropic(max_retries=0), asyncio.Semaphore(CONCURRENCY)

        async def one(item: int) -> None:
            messages: Any = [{"role": "user", "content": PROMPT.replace("{{item}}", str(item))}]
            async with gate, client.messages.stream(model=MODEL, max_tokens=1_000, messages=messages) as stream:
                await stream.get_final_message()

        await asyncio.gather(*map(one, range(20)))
        began = time.monotonic()
        await asyncio.gather(*map(one, range(ROWS)))
        return time.monotonic() - began

    return asyncio.run(asked())


def _batch() -> float:
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
    shell.run_cell_magic("claude_map", f"range({BATCH_ROWS}) --out result --model {MODEL} --batch", PROMPT)
    return sum(grown) / 1024


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
        print({"now": _now, "bare": _bare, "batch": _batch}[sys.argv[1]]())
