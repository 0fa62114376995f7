"""Measure all and print the table: `python -m benchmarks` from `tests`, or `python tests/benchmarks`.

The exit code is 0 also where a limit is passed: the machine may be busy. Such rows begin with `!`.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

if not __package__:
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import browser, idle, loading, money, page, peers, pure, reading, rows, traffic, values, wire
from benchmarks.table import heading


def main() -> None:
    """Print each row as it is measured."""
    began = time.monotonic()
    print(heading(), flush=True)
    with wire.server() as server:
        parts = (
            loading.rows(),
            idle.rows(server),
            traffic.rows(server),
            reading.rows(server),
            pure.rows(),
            values.rows(),
            money.rows(),
            rows.rows(),
            browser.rows(server),
            page.rows(),
            peers.rows(server),
        )
        for row in itertools.chain(*parts):
            print(row.line(), flush=True)
    print("\nTimes are the best of several repetitions, in turns with the baseline, the longest that of them all;")
    print("the rest is one run.")
    print(f"{time.monotonic() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
