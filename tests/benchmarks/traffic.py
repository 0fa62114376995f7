"""What a cell of a real kernel sends to its frontend: how much, how soon, and for how much CPU."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import Row
from benchmarks.wire import KEY, MODEL, QUESTION, WARM_UP
from support.kernel import Kernel, Run

FIRST = 2_000
COUNTS = (10_000, 32_000, 50_000)
# Deltas a second: faster than most models write, and as a large one does.
PACES = (200, 80)
MAX_MEGABYTES = 0.4
MAX_RATIO = 2.0
# How much steeper than the number of deltas the bytes may grow and still be called linear.
LINEAR_WITHIN = 1.25
FIRST_TEXT_REPETITIONS = 6
BARE_CLIENT = f"""
import anthropic
from IPython.display import Markdown, display
sdk = anthropic.Anthropic(api_key={KEY!r}, max_retries=0)
def question(text):
    messages = [{{"role": "user", "content": text}}]
    return {{"model": {MODEL!r}, "max_tokens": 64_000, "messages": messages, "stream": True}}
"""
BARE_LOOP = """
for event in sdk.messages.create(**question({question!r})):
    if event.type == "content_block_delta":
        {statement}
"""
COLLECT = "event.delta.text"
DISPLAY = "display(Markdown(event.delta.text))"


@dataclass(frozen=True)
class Traffic:
    """All that one cell put on the kernel's iopub channel, with headers; `text` is the answer's whole length."""

    bytes: int
    messages: int
    text: int

    @property
    def megabytes(self) -> float:
        return self.bytes / 1e6


def rows(server: str) -> Iterator[Row]:
    """Bytes and messages for each length, then at a model's pace, then the time to the first text."""
    with started(f"{server}/{FIRST}/0") as kernel:
        first = traffic(cell(kernel))
        yield Row(_what(FIRST, first), first.megabytes, "MB", first.text / 1e6, "its answer", max_ours=MAX_MEGABYTES)
        for count in COUNTS:
            point_at(kernel, f"{server}/{count}/0")
            each = traffic(cell(kernel))
            steepest = LINEAR_WITHIN * count / FIRST
            yield Row(_what(count, each), each.megabytes, "MB", first.megabytes, f"for {FIRST:,}", max_ratio=steepest)
        point_at(kernel, f"{server}/20/100")
        yield _first_text_row(kernel)
    yield from _paced_rows(server)


@contextmanager
def started(address: str) -> Iterator[Kernel]:
    """A kernel that has the extension, a key that opens nothing, and has asked this address once."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = Kernel(Path(folder), cold=True)
        try:
            point_at(kernel, address)
            cell(kernel, WARM_UP)
            bare(kernel, COLLECT, WARM_UP)
            yield kernel
        finally:
            kernel.stop()


def point_at(kernel: Kernel, address: str) -> None:
    """From now on, cells and bare loops ask this address."""
    variables = {"ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": address}
    done = kernel.run(f"import os; os.environ.update({variables!r})\n%load_ext claude_magic\n{BARE_CLIENT}")
    assert done.error is None, done.error


def cell(kernel: Kernel, question: str = QUESTION, **watch: Any) -> Run:
    """Run a `%%claude` cell as JupyterLab does."""
    run = kernel.run(f"%%claude --once\n{question}", cell_id="benchmark", **watch)
    assert run.error is None, run.error
    return run


def bare(kernel: Kernel, statement: str, question: str = QUESTION, **watch: Any) -> None:
    """Run the SDK's own loop in the kernel, with a statement for each delta."""
    run = kernel.run(BARE_LOOP.format(question=question, statement=statement), **watch)
    assert run.error is None, run.error


def traffic(run: Run) -> Traffic:
    """The size of a run's messages as they go over the wire, but for their signatures."""
    parts = ("header", "parent_header", "metadata", "content")
    size = sum(len(_packed(message[part])) for message in run.messages for part in parts)
    return Traffic(size, len(run.messages), sum(map(len, run.shown("text/html"))))


def _packed(part: Any) -> bytes:
    """A part of a message as Jupyter's own session packs it."""
    return json.dumps(part, ensure_ascii=False, default=str).encode("utf-8", "surrogateescape")


def _what(count: int, each: Traffic, pace: str = "at once") -> str:
    return f"kernel's messages for {count:,} deltas {pace} ({each.messages} of them)"


def _first_text_row(kernel: Kernel) -> Row:
    """Milliseconds from the first delta's writing to the frontend's having it, beside a bare loop that displays it."""
    ours, theirs = [], []
    for _ in range(FIRST_TEXT_REPETITIONS):
        arrivals: list[float] = []
        cell(kernel, on_message=_watch(arrivals))
        ours.append(arrivals[0])
        arrivals = []
        bare(kernel, DISPLAY, on_message=_watch(arrivals))
        theirs.append(arrivals[0])
    what = "first text on the wire to the first message that shows it"
    return Row(what, min(ours), "ms", min(theirs), "SDK create() loop + display()")


def _watch(arrivals: list[float]) -> Any:
    """Note how old the first text is, in milliseconds, when a message brings it: the server wrote its time there."""

    def on_message(message: dict[str, Any]) -> None:
        data = message["content"].get("data", {})
        text = data.get("text/html") or data.get("text/markdown", "")
        if written := re.search(r"\d{9,}", text):
            arrivals.append((time.monotonic_ns() - int(written.group())) / 1e6)

    return on_message


def _paced_rows(server: str) -> Iterator[Row]:
    """At each pace a cell and a bare loop, all at the same time in kernels of their own."""
    addresses = [f"{server}/{FIRST}/{pace}" for pace in PACES]
    with ThreadPoolExecutor(2 * len(PACES)) as pool:
        cells = [pool.submit(_paced_cell, address) for address in addresses]
        loops = [pool.submit(_paced_loop, address) for address in addresses]
    for pace, of_cell, of_loop in zip(PACES, cells, loops, strict=True):
        paced, ours = of_cell.result()
        what = _what(FIRST, paced, f"at {pace}/s")
        yield Row(what, paced.megabytes, "MB", paced.text / 1e6, "its answer", max_ours=MAX_MEGABYTES)
        what = f"CPU of the kernel per delta, {FIRST:,} deltas at {pace}/s"
        yield Row(what, ours, "µs", of_loop.result(), "SDK create() loop in a kernel", max_ratio=MAX_RATIO)


def _paced_cell(address: str) -> tuple[Traffic, float]:
    """What a cell sends, and the kernel's CPU in microseconds per delta."""
    with started(address) as kernel:
        began = cpu(kernel)
        paced = traffic(cell(kernel))
        return paced, 1e6 * (cpu(kernel) - began) / FIRST


def _paced_loop(address: str) -> float:
    """The kernel's CPU for a bare loop, in microseconds per delta."""
    with started(address) as kernel:
        began = cpu(kernel)
        bare(kernel, COLLECT)
        return 1e6 * (cpu(kernel) - began) / FIRST


def cpu(kernel: Kernel) -> float:
    """CPU seconds of the kernel so far, all its threads."""
    return float(kernel.evaluate("__import__('time').process_time()"))
