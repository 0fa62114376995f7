"""The running sums of a map: what came, what failed, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable

from ..conversation.turns import Call
from ..cost import pricing
from ..cost.pricing import FREE, Cost, Tokens
from .answers import RowAnswer


class Tally:
    """Of one run, as it goes on. `done` counts requests with an answer or an error; `calls` are those paid for."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.cost: Cost = FREE
        self.tokens = Tokens()
        self.calls: list[Call] = []

    def add(self, answers: Iterable[RowAnswer]) -> None:
        """Take answers in."""
        for answer in answers:
            self.done += 1
            self.failed += bool(answer.error)
            self.cost += pricing.total(map(pricing.call_cost, answer.calls))
            self.tokens += pricing.tokens(answer.calls)
            self.calls += answer.calls
