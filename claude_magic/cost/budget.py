"""A budget: what is left of it, the words for that in a cell's line, and the warning about an expensive cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

from .pricing import Cost, dollars

_CENTS_FROM = Decimal("0.10")  # USD: less is told with more digits
_LEFT = re.compile(r"≤?\$[\d,.]+ of \$[\d,.]+ left")


@dataclass(frozen=True)
class Budget:
    """What is left of an amount, in USD. `told` says whether the cell's line says so: a share of several is not."""

    left: Decimal
    total: Decimal
    told: bool = True

    def after(self, cost: Cost) -> Budget | None:
        """What is left after this; `None` where the price is not known."""
        return None if cost.dollars is None else replace(self, left=self.left - cost.dollars)

    def note(self, cost: Cost) -> str:
        """What is left after this, for the cell's line: never more than there is."""
        rest = self.after(cost)
        if rest is None or not self.told:
            return ""
        return f"{'≤' if cost.at_least else ''}{rest.left_in_words} of {amount(self.total)} left"

    @property
    def left_in_words(self) -> str:
        """What is left, and nothing where it was passed."""
        return amount(max(self.left, Decimal(0)))


def amount(of: Decimal) -> str:
    """US dollars in cents, rounded down; a small amount with more digits."""
    return dollars(of) if of < _CENTS_FROM else f"${of.quantize(Decimal('0.01'), rounding=ROUND_FLOOR):,f}"


def tighter(*budgets: Budget | None) -> Budget | None:
    """The one that has the least left; `None` where there is none."""
    return min((each for each in budgets if each is not None), key=lambda each: each.left, default=None)


def without_what_was_left(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes of a reply that is shown again, without what was left then."""
    return tuple(note for note in notes if not _LEFT.fullmatch(note))


@dataclass
class Alarm:
    """Warns once of a cell that cost more than a set amount."""

    rang: bool = False

    def line(self, cost: Cost, above: float | None) -> str:
        """What to say of a cell that cost so much; nothing where it is not above the amount, in USD."""
        if self.rang or above is None or cost.dollars is None or cost.dollars <= Decimal(str(above)):
            return ""
        self.rang = True
        return (
            f"This cell cost {cost}, more than {amount(Decimal(str(above)))}. This is said once; "
            "%config ClaudeMagic.warn_above = … sets the amount, None ends it."
        )
