"""A measured figure beside its baseline and its limit, as a line of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

WIDTHS = (64, 13, 40, 9)


@dataclass(frozen=True)
class Row:
    """One figure, `None` where it could not be measured. `baseline` is in the same unit, and `beside` says of
    what; `None` is nothing to compare with.

    `max_ours` limits the figure itself, `max_ratio` the figure over its baseline.
    """

    what: str
    ours: float | None
    unit: str
    baseline: float | None = None
    beside: str = ""
    max_ours: float | None = None
    max_ratio: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the baseline."""
        return self.ours / self.baseline if self.baseline and self.ours is not None else None

    @property
    def beyond(self) -> bool:
        """Whether a limit is passed."""
        too_much = None not in (self.max_ours, self.ours) and self.ours > self.max_ours
        return too_much or (self.max_ratio is not None and self.ratio is not None and self.ratio > self.max_ratio)

    def line(self) -> str:
        """The row as text; `!` in front where a limit is passed."""
        baseline = "" if self.baseline is None else f"{_figure(self.baseline, self.unit)} {self.beside}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}×"
        ours = "–" if self.ours is None else _figure(self.ours, self.unit)
        cells = (self.what, ours, baseline, ratio)
        return ("! " if self.beyond else "  ") + _aligned(cells) + self._limit()

    def _limit(self) -> str:
        limits = []
        if self.max_ours is not None:
            limits.append(f"≤ {_figure(self.max_ours, self.unit)}")
        if self.max_ratio is not None:
            limits.append(f"≤ {self.max_ratio:g}×")
        return ", ".join(limits)


def heading() -> str:
    """The names of the columns, and a rule."""
    return f"  {_aligned(('what', 'ours', 'baseline', 'ratio'))}limit\n{'─' * (sum(WIDTHS) + 20)}"


def best(measures: Mapping[str, Callable[[], float]], repetitions: int) -> dict[str, float]:
    """The least that each measure gave, taken in turns: noise only ever adds, and falls on all alike."""
    found = {name: float("inf") for name in measures}
    for _ in range(repetitions):
        for name, measure in measures.items():
            found[name] = min(found[name], measure())
    return found


def _aligned(cells: tuple[str, ...]) -> str:
    return "".join(cell.ljust(width) + " " for cell, width in zip(cells, WIDTHS, strict=True))


def _figure(value: float, unit: str) -> str:
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 3 if value < 1 else 2
    return f"{value:,.{digits}f} {unit}".strip()
