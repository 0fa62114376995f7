"""What a map may still spend: no request goes out that would, as they went so far, take it over its budget."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from ..conversation.turns import Call
from ..cost import pricing
from ..cost.pricing import EXACT


class SpendLimit:
    """`left` is in USD; `None` where nothing limits it. Once `closed`, it stays so."""

    def __init__(self, left: Decimal | None) -> None:
        self.closed = False
        self._left = left
        self._spent = Decimal(0)
        self._rows = 0

    def paid(self, calls: Iterable[Call]) -> None:
        """A row was asked, by these calls."""
        if self._left is not None:
            self._rows += 1
            self._spent = EXACT.add(self._spent, pricing.total(map(pricing.call_cost, calls)).dollars or Decimal(0))

    def allows(self, under_way: int) -> bool:
        """Whether one more may go out, which is among those under way: each at what a row has cost so far."""
        if self._left is None:
            return True
        each = self._spent / self._rows if self._rows else Decimal(0)
        if self._spent >= self._left or self._spent + each * under_way > self._left:
            self.closed = True
        return not self.closed
