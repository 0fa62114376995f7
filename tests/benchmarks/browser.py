"""How long a page of JupyterLab goes without painting while a reply grows in it, in a headless Chromium."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import TimeoutError as Late

from benchmarks import sample
from benchmarks.table import Row
from benchmarks.wire import KEY, QUESTION, WARM_UP
from support.jupyterlab import CHROMIUM, Lab, Page, chromium

MAX_MILLISECONDS = 300.0
WAIT_SECONDS = 240
SETTLED = "bed.text(given).includes('tokens in →') && bed.rendered(given) === bed.cells[given].model.outputs.length"
ASK = """import os
os.environ["ANTHROPIC_BASE_URL"] = "{address}"
get_ipython().run_cell_magic("claude", "--once", "{question}")"""
PRINT = """import time
began = time.monotonic()
for number, piece in enumerate({pieces!r}):
    time.sleep(max(0, began + (number + 1) / {rate} - time.monotonic()))
    print(piece, end="", flush=True)"""


@dataclass(frozen=True)
class Reply:
    """So many characters (in thousands), so many of them a second; `limited` where a limit holds."""

    thousands: int
    rate: int
    limited: bool = False

    @property
    def deltas(self) -> int:
        """How many text deltas make so many characters."""
        pieces = sample.pieces(self.thousands * 1000 // 2)
        length = 0
        for number, piece in enumerate(pieces, 1):
            length += len(piece)
            if length >= self.thousands * 1000:
                return number
        raise AssertionError("pieces are longer than two characters on average")

    @property
    def deltas_per_second(self) -> int:
        """The pace of the deltas."""
        return round(self.rate * self.deltas / (self.thousands * 1000))


# The long ones faster than any model writes, so that each takes less than a minute.
REPLIES = (Reply(8, 2_000), Reply(40, 2_500, limited=True), Reply(200, 5_000))


def rows(server: str) -> Iterator[Row]:
    """The worst gap between two frames, for each length, beside a cell that prints the same at the same pace."""
    if CHROMIUM is None:
        yield Row("worst frame gap in JupyterLab (skipped: no chromium)", None, "ms")
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        Lab(browser, Path(folder), environment={"ANTHROPIC_API_KEY": KEY}) as lab,
        closing(lab.open("frames.ipynb", ["%load_ext claude_magic"])) as page,
    ):
        page.tab.set_default_timeout(1000 * WAIT_SECONDS)
        _measure(page, ["%load_ext claude_magic", _ask(server, REPLIES[0], WARM_UP)], SETTLED)
        for reply in REPLIES:
            yield _row(page, server, reply)


def _row(page: Page, server: str, reply: Reply) -> Row:
    pieces, rate = sample.pieces(reply.deltas), reply.deltas_per_second
    ours = _measure(page, ["1", _ask(server, reply, QUESTION)], SETTLED)
    printed: float | None = None
    with suppress(Late):  # JupyterLab may not come to the end of so many pieces
        printed = _measure(page, ["1", PRINT.format(pieces=pieces, rate=rate)], "true")
    what = f"worst frame gap in JupyterLab, {reply.thousands} KB at {reply.rate:,}/s"
    limit = MAX_MILLISECONDS if reply.limited else None
    return Row(what, ours, "ms", printed, "a cell that prints it", max_ours=limit)


def _ask(server: str, reply: Reply, question: str) -> str:
    address = f"{server}/{reply.deltas}/{reply.deltas_per_second}"
    return ASK.format(address=address, question=question)


def _measure(page: Page, cells: list[str], settled: str) -> float:
    """Run the second of two cells in a page that holds nothing else; milliseconds."""
    page.start_over(cells)
    page.finish(0)
    page.settle()
    page.watch_frames()
    page.finish(1)
    page.wait_until(settled, 1)
    page.settle()
    return page.worst_frame_gap()
