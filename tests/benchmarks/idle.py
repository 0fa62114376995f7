"""What the idle moments of a new kernel are used for: its first answer beside its second, and how long the imports
meanwhile hold up a cell of the reader's."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import traffic
from benchmarks.table import Row
from benchmarks.wire import KEY
from support.kernel import Kernel

REPETITIONS = 3
DELTAS = 20
TRIVIAL = "1"
# How often the cells of a hurried reader come, and how many are run after the imports for the usual time, and how often
# it is looked whether those are done.
PAUSE_SECONDS = 0.02
CELLS = 50
LOOK_SECONDS = 0.25
MAX_SECONDS = 60.0
MAX_OVER_SECOND_SECONDS = 0.3
MAX_HELD_UP_MILLISECONDS = 150.0
IS_PRELOADING = "any('preload' in thread.name for thread in __import__('threading').enumerate())"


def rows(server: str) -> Iterator[Row]:
    """The first answer of a kernel that was idle, beside its second; then the longest that a trivial cell waits."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{server}/{DELTAS}/0"
        answers(folder, address)  # compiles the bytecode
        first, second = (
            min(each) for each in zip(*(answers(folder, address) for _ in range(REPETITIONS)), strict=True)
        )
        what = "first answer of a kernel, after an idle moment"
        yield Row(what, first, "s", second, "its second", max_ours=second + MAX_OVER_SECOND_SECONDS)
        held, usual = max(waits(folder, address) for _ in range(REPETITIONS))
        what = f"longest that the imports meanwhile hold up a cell, of {REPETITIONS} kernels"
        limit = MAX_HELD_UP_MILLISECONDS
        yield Row(what, 1000 * held, "ms", 1000 * usual, f"the cell `{TRIVIAL}` at other times", max_ours=limit)


def answers(folder: str, address: str) -> tuple[float, float]:
    """Seconds to the first and to the second answer of a new kernel, that was idle until all was imported."""
    with _loaded(folder, address) as kernel:
        over = time.monotonic() + MAX_SECONDS
        while kernel.evaluate(IS_PRELOADING) and time.monotonic() < over:
            time.sleep(LOOK_SECONDS)
        return traffic.cell(kernel).seconds, traffic.cell(kernel).seconds


def waits(folder: str, address: str) -> tuple[float, float]:
    """Seconds that the imports hold up a trivial cell at worst, beyond the seconds that such a cell takes otherwise."""
    with _loaded(folder, address) as kernel:
        longest, over = 0.0, time.monotonic() + MAX_SECONDS
        while kernel.evaluate(IS_PRELOADING) and time.monotonic() < over:
            looked = time.monotonic()
            while time.monotonic() < looked + LOOK_SECONDS:
                longest = max(longest, _trivial(kernel))
        assert longest, "nothing was imported meanwhile"
        usual = statistics.median(_trivial(kernel) for _ in range(CELLS))
        return max(0.0, longest - usual), usual


def _trivial(kernel: Kernel) -> float:
    time.sleep(PAUSE_SECONDS)
    return kernel.run(TRIVIAL, cell_id="trivial").seconds


@contextmanager
def _loaded(folder: str, address: str) -> Iterator[Kernel]:
    """A new kernel that has just loaded the extension, whose bytecode is kept whatever the caller's settings are."""
    own = {"JUPYTER_DATA_DIR": folder, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": address}
    if sys.dont_write_bytecode:
        own |= {"PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
    kernel = Kernel(Path(folder), cold=True, **own)
    try:
        assert kernel.run("%load_ext claude_magic").error is None
        yield kernel
    finally:
        kernel.stop()
