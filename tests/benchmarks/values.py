"""How long a large DataFrame takes to become the text that stands for it in a prompt."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.table import Row, best
from claude_magic.prompt.values import dataframes

ROWS = 10_000_000
REPETITIONS = 2
MAX_RATIO = 1.0


def rows() -> Iterator[Row]:
    """A numeric frame and one with names in it, beside what pandas itself says of them."""
    import numpy
    import pandas

    random = numpy.random.default_rng(7)
    numbers = pandas.DataFrame({"price": random.normal(size=ROWS), "count": random.integers(0, 1000, ROWS)})
    named = numbers.assign(city=pandas.Categorical.from_codes(random.integers(0, 3, ROWS), ["Oslo", "Rome", "Lima"]))
    yield _row("two numeric columns", numbers)
    yield _row("a categorical one beside them", named)


def _row(what: str, frame: Any) -> Row:
    found = best(
        {
            "ours": lambda: _seconds(lambda: dataframes.summary(frame, "frame")),
            "describe": lambda: _seconds(lambda: frame.describe(include="all")),
        },
        REPETITIONS,
    )
    what = f"a frame of {ROWS:,} rows as text, {what}"
    return Row(what, found["ours"], "s", found["describe"], "df.describe()", max_ratio=MAX_RATIO)


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
