"""The cost of a map before its first request, and the limit on what it may spend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..content.text import plural
from ..conversation.turns import Call
from ..cost import pricing
from ..cost.budget import Budget, amount
from ..cost.pricing import EXACT, Cost
from ..errors import UsageError

# Nobody knows how long the replies will be: what so many tokens of each would cost is said beside.
REPLY_TOKENS = 100


@dataclass(frozen=True)
class Estimate:
    """`requests` to send, with `tokens` in all; what they cost as they go in, and a reply of `REPLY_TOKENS` to each."""

    requests: int
    tokens: int
    prompts: Cost
    replies: Cost

    def line(self) -> str:
        """The estimate in a sentence."""
        if not self.requests:
            return "Nothing is left to ask."
        asked = plural(self.requests, "request")
        said = f"{asked}, ≈{self.tokens:,} tokens in"
        if self.prompts.dollars is None:
            return f"{said}. The price of the model is not known."
        return f"{said}: ≈{self.prompts}, and {self.replies} for each {REPLY_TOKENS} tokens that the replies have."


def estimate(
    base: Mapping[str, Any], tokens: int, requests: int, shared: int, *, provider: str, batch: bool
) -> Estimate:
    """The cost of so many requests, of `tokens` in all, of which each shares the first `shared` with the others."""
    cached = shared if requests > 1 else 0
    each = max(0, tokens // max(1, requests) - cached)
    wide = {"speed": base.get("speed"), "inference_geo": base.get("inference_geo")}
    if batch:
        wide["service_tier"] = "batch"

    def cost(**usage: int) -> Cost:
        call = Call(str(base["model"]), {**wide, **usage}, stop_reason="end_turn", provider=provider)
        one = pricing.call_cost(call).dollars
        return Cost(None if one is None else EXACT.multiply(one, Decimal(requests)))

    prompts = cost(input_tokens=each, cache_read_input_tokens=cached)
    return Estimate(requests, tokens, prompts, cost(output_tokens=REPLY_TOKENS))


def check_budget(expected: Estimate, budget: Budget | None) -> None:
    """Raises `UsageError` where the prompts alone would pass the budget, or no budget can be kept."""
    if budget is None or not expected.requests:
        return
    if expected.prompts.dollars is None:
        raise UsageError(
            "The price of the model is not known, so a budget cannot be kept.",
            advice="Without one: %config ClaudeMagic.budget = None, and no --budget.",
        )
    if expected.prompts.dollars > budget.left:
        raise UsageError(
            f"The prompts alone cost about {expected.prompts}, and {budget.left_in_words} of {amount(budget.total)} "
            "is left. Nothing was sent.",
            advice="--budget and %config ClaudeMagic.budget raise it; fewer rows, or --batch, cost less.",
        )


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
