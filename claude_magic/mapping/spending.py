"""Cost estimate of a map, the check against its budget, and the spending limit while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..content.text import plural
from ..conversation.turns import Call
from ..cost import pricing
from ..cost.budget import Budget, amount
from ..cost.pricing import EXACT, Cost, dollars
from ..errors import UsageError

# The length of the replies is unknown: the estimate states the cost for so many tokens of each.
REPLY_TOKENS = 100


@dataclass(frozen=True)
class Estimate:
    """An estimate for `requests` requests of `tokens` input tokens in total.

    `prompts` is their cost as input; `replies` is the cost of `REPLY_TOKENS` output tokens for each.
    """

    requests: int
    tokens: int
    prompts: Cost
    replies: Cost

    def line(self) -> str:
        """The estimate as a sentence."""
        if not self.requests:
            return "Nothing is left to ask."
        requests = plural(self.requests, "request")
        text = f"{requests}, ≈{self.tokens:,} tokens in"
        if self.prompts.dollars is None:
            return f"{text}. The price of the model is not known."
        return f"{text}: ≈{self.prompts}, and {self.replies} for each {REPLY_TOKENS} tokens that the replies have."


def estimate(
    base: Mapping[str, Any], tokens: int, requests: int, shared: int, *, provider: str, batch: bool
) -> Estimate:
    """Estimate the cost of `requests` requests of `tokens` input tokens in total, `shared` of which each request reads
    from the prompt cache."""
    cached = shared if requests > 1 else 0
    each = max(0, tokens // max(1, requests) - cached)
    wide = {"speed": base.get("speed"), "inference_geo": base.get("inference_geo")}
    if batch:
        wide["service_tier"] = "batch"

    def cost(**usage: int) -> Cost:
        counts = {"input_tokens": 0, "output_tokens": 0, **usage}
        call = Call(str(base["model"]), {**wide, **counts}, stop_reason="end_turn", provider=provider)
        one = pricing.call_cost(call).dollars
        return Cost(None if one is None else EXACT.multiply(one, Decimal(requests)))

    prompts = cost(input_tokens=each, cache_read_input_tokens=cached)
    return Estimate(requests, tokens, prompts, cost(output_tokens=REPLY_TOKENS))


def check_budget(expected: Estimate, budget: Budget | None) -> None:
    """Raise `UsageError` if the prompts alone exceed the budget, or if it cannot be kept for lack of a price."""
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


def overspent(budget: Budget | None, spent: Cost) -> str:
    """A remark if a map spent more than its budget had left; empty if it did not."""
    if budget is None or not spent.dollars or spent.dollars <= max(budget.left, Decimal(0)):
        return ""
    over = dollars(EXACT.subtract(spent.dollars, max(budget.left, Decimal(0))), spent.at_least)
    return f"This is {over} more than the budget had left: what has been sent is paid for."


class SpendLimit:
    """A limit on what a map may spend. `left` is in USD, `None` for no limit.

    Once `closed`, it stays closed; `why` is the reason.
    """

    def __init__(self, left: Decimal | None) -> None:
        self.closed = False
        self.why = "the budget is used up"
        self._left = left
        self._spent = Decimal(0)
        self._rows = 0

    @property
    def knows_a_row(self) -> bool:
        """Whether it is known what a row costs, or need not be."""
        return self._left is None or self._rows > 0

    def paid(self, call: Call) -> None:
        """Add the cost of a call. If that is not known, the limit cannot be kept, and is closed."""
        if self._left is None:
            return
        cost = pricing.call_cost(call).dollars
        if cost is None:
            self.closed, self.why = True, "what a reply cost is not known, so the budget cannot be kept"
        self._spent = EXACT.add(self._spent, cost or Decimal(0))

    def row_ended(self) -> None:
        """Note that a row has cost all that it costs."""
        self._rows += 1

    def allows(self, under_way: int) -> bool:
        """Whether another request may be sent.

        `under_way` includes it; each request under way is expected to cost as much as a row has cost on average, or as
        all of the first one's calls so far.
        """
        if self._left is None:
            return True
        each = self._spent / max(1, self._rows)
        if self._spent >= self._left or self._spent + each * under_way > self._left:
            self.closed = True
        return not self.closed
