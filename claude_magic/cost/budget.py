"""Budgets: what is left, how a cell's line says so, and the warning about an expensive cell."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

from ..conversation.turns import Turn
from .pricing import EXACT, FREE, Cost, dollars, turn_cost

_CENTS_FROM = Decimal("0.10")  # USD: smaller amounts are shown with more digits
_LEFT = re.compile(r"≤?\$[\d,.]+ of \$[\d,.]+ left")


@dataclass(frozen=True)
class Budget:
    """A budget in USD: the amount left, and the total.

    `is_shown` says whether the cell's line shows it, which it does not for one model's share in a comparison.
    """

    left: Decimal
    total: Decimal
    is_shown: bool = True

    def after(self, cost: Cost) -> Budget | None:
        """The budget after a cost; `None` if the price is not known."""
        return None if cost.dollars is None else replace(self, left=self.left - cost.dollars)

    def note(self, cost: Cost) -> str:
        """The amount left after a cost, for the cell's line; marked `≤` if the cost is a lower bound."""
        rest = self.after(cost)
        if rest is None or not self.is_shown:
            return ""
        return f"{'≤' if cost.at_least else ''}{rest.left_in_words} of {amount(self.total)} left"

    @property
    def left_in_words(self) -> str:
        """The amount left, as text; zero if it was exceeded."""
        return amount(max(self.left, Decimal(0)))


class Spent:
    """The cost of a list of turns that grows at its end: each turn is priced once."""

    def __init__(self) -> None:
        self.all = FREE
        self.known = Decimal(0)  # USD, of the turns whose price is known
        self._seen: list[Turn] = []
        self._lock = threading.Lock()

    def follow(self, turns: Sequence[Turn]) -> Spent:
        """Add the turns that are new in the list; begin anew where it is another. Returns this object."""
        with self._lock:
            if self._seen and (len(turns) < len(self._seen) or turns[len(self._seen) - 1] is not self._seen[-1]):
                self.all, self.known, self._seen = FREE, Decimal(0), []
            for turn in turns[len(self._seen) :]:
                cost = turn_cost(turn)
                self.all += cost
                self.known = EXACT.add(self.known, cost.dollars or Decimal(0))
                self._seen.append(turn)
        return self


def amount(of: Decimal) -> str:
    """US dollars as text, rounded down to cents; amounts below ten cents with more digits."""
    return dollars(of) if of < _CENTS_FROM else f"${of.quantize(Decimal('0.01'), rounding=ROUND_FLOOR):,f}"


def tighter(*budgets: Budget | None) -> Budget | None:
    """The budget with the least left; `None` if there is none."""
    return min((each for each in budgets if each is not None), key=lambda each: each.left, default=None)


def without_budget_notes(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes of a recorded reply without the one about the budget left at that time."""
    return tuple(note for note in notes if not _LEFT.fullmatch(note))


@dataclass
class Alarm:
    """A warning, shown once, about a cell that cost more than a set amount."""

    rang: bool = False

    def line(self, cost: Cost, above: float | None) -> str:
        """The warning about a cell that cost more than `above`, in USD; empty if it did not, or once it was shown."""
        if self.rang or above is None or cost.dollars is None or cost.dollars <= Decimal(str(above)):
            return ""
        self.rang = True
        return (
            f"This cell cost {cost}, more than {amount(Decimal(str(above)))}. This is said once; "
            "%config ClaudeMagic.warn_above = … sets the amount, None ends it."
        )
