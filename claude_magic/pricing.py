"""Model and usage → tokens and cost, by genai-prices: exact, and no figure that nobody can stand behind.

The rules that genai-prices leaves to its caller (CLAUDE_API.md §6 and §8) are here: usage that comes
in iterations, US inference, batch and fast rates, unbilled refusals, a stale split of cache writes.
No network: prices are those of the installed genai-prices.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

from .conversation import Call, Turn, Usage
from .models import lookup

# Which price list of genai-prices goes with which provider of ours. The stand-in costs what Claude would.
_PRICE_LISTS = {
    "offline": "anthropic",
    "bedrock": "aws",
    "vertex": "google",
    "google-cloud": "google",
    "foundry": "azure",
}

# `inference_geo: "us"` costs 1.1 times the list price on every kind of token, from this version on
# (platform.claude.com, pricing, "data residency"). The clouds' price lists have their own regional rates.
_US_FACTOR = Decimal("1.1")
_US_FACTOR_SINCE = (4, 6)

# Usage fields of the request that hold for each of its iterations.
_REQUEST_WIDE = ("inference_geo", "service_tier", "speed")

# Whatever precision a notebook sets with `decimal.getcontext()`, money stays exact.
_EXACT = Context(prec=50, rounding=ROUND_HALF_UP)


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind: `input` was not cached, `cached` was read from the cache, `written` was written
    to it (for five minutes or an hour), `thinking` is the part of `output` that was thought."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    thinking: int = 0

    @property
    def all_input(self) -> int:
        """The tokens that went in, by whichever way."""
        return self.input + self.cached + self.written

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.cached + other.cached,
            self.written + other.written,
            self.output + other.output,
            self.thinking + other.thinking,
        )


@dataclass(frozen=True)
class Cost:
    """US dollars, exactly; `None` where no price is known. `at_least` marks a lower bound.

    Costs add up: a sum with an unknown part is unknown, one with a lower bound is a lower bound.
    """

    dollars: Decimal | None
    at_least: bool = False

    def __add__(self, other: Cost) -> Cost:
        at_least = self.at_least or other.at_least
        if self.dollars is None or other.dollars is None:
            return Cost(None, at_least)
        return Cost(_EXACT.add(self.dollars, other.dollars), at_least)

    def __str__(self) -> str:
        return dollars(self.dollars, self.at_least)


FREE = Cost(Decimal(0))


def call_cost(call: Call) -> Cost:
    """What one request cost, at the prices of the day on which it started.

    A call that broke off is a lower bound: `output_tokens` is a placeholder until the reply ends, and
    where not even the usage arrived the bound is zero. A finished call without usage has no known cost.
    A refusal before any output is not billed, and neither is a replay.
    """
    if call.replayed:
        return FREE
    if call.stop_reason == "refusal" and not call.answered:
        return FREE
    broke_off = call.stop_reason is None
    if not call.usage:
        return Cost(Decimal(0), at_least=True) if broke_off else Cost(None)
    with localcontext(_EXACT):
        return Cost(_price(call), at_least=broke_off)


def turn_cost(turn: Turn) -> Cost:
    """What a turn cost: all its calls."""
    return total(call_cost(call) for call in turn.calls)


def recorded_cost(turn: Turn) -> Cost:
    """What a turn cost when it was recorded: for one that is replayed, not what it costs now."""
    return total(call_cost(dataclasses.replace(call, replayed=False)) for call in turn.calls)


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs; of none, nothing."""
    return sum(costs, FREE)


def tokens(calls: Iterable[Call]) -> Tokens:
    """The tokens of calls, by kind: those that `call_cost` prices, so iterations count one by one."""
    return sum((_tokens_of(call.usage) for call in calls), Tokens())


def dollars(amount: Decimal | None, at_least: bool = False) -> str:
    """US dollars as text: `$1,234.50`; below a dollar four decimals and at least two significant digits.

    A lower bound is marked `≥`, an unknown amount is `n/a`.
    """
    if amount is None:
        return "n/a"
    places = max(4, 1 - amount.adjusted()) if amount else 2
    rounded = amount.quantize(Decimal(1).scaleb(-places), context=_EXACT)
    if rounded >= 1:
        rounded = amount.quantize(Decimal("0.01"), context=_EXACT)
    return f"{'≥' if at_least else ''}${rounded:,f}"


def _price(call: Call) -> Decimal | None:
    """The sum over a usage's iterations, plus its web searches; `None` if a part has no price."""
    parts = [_tokens_price(call, entry) for entry in _iterations(call.usage)]
    parts.append(_searches_price(call))
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None


def _iterations(usage: Usage) -> Iterator[Usage]:
    """The entries that are billed: `iterations` where there are any (the top level leaves compaction
    and advisors out of its sums), else the usage itself."""
    entries = [entry for entry in usage.get("iterations") or () if isinstance(entry, Mapping)]
    if not entries:
        yield usage
    for entry in entries:
        yield {**{key: usage.get(key) for key in _REQUEST_WIDE}, **entry}


def _tokens_price(call: Call, entry: Usage) -> Decimal | None:
    """The price of one entry's tokens, at its own model if it names one."""
    model = entry.get("model") or call.model
    context = _price_context(entry)
    if context is None:
        return None
    counts = _tokens_of(entry)
    usage = {
        "input_tokens": counts.input + counts.cached + counts.written,
        "cache_read_tokens": counts.cached,
        "cache_write_tokens": counts.written,
        "cache_write_1h_tokens": _written_for_an_hour(entry),
        "output_tokens": counts.output,
    }
    found = _calculate(call, model, usage, context)
    if found is None:
        return None
    price, model_id = found
    return price * _US_FACTOR if _is_us_priced(call, entry, model_id) else price


def _searches_price(call: Call) -> Decimal | None:
    """The price of a call's web searches; other server tools cost only their tokens."""
    searches = _count(_part(call.usage, "server_tool_use"), "web_search_requests")
    if not searches:
        return Decimal(0)
    found = _calculate(call, call.model, {"web_searches": searches}, {})
    return found and found[0]


def _calculate(
    call: Call, model: str, usage: Mapping[str, int], context: Mapping[str, str]
) -> tuple[Decimal, str] | None:
    """The price and the model that it was found under; `None` if genai-prices does not know it."""
    from genai_prices import calc_price  # not before a price is needed: a quarter of a second
    from genai_prices.types import Usage as PricedUsage

    # A call without a start is priced at today's prices.
    started = datetime.fromtimestamp(call.started or datetime.now(UTC).timestamp(), UTC)
    price_list = _price_list(call)
    for name in _spellings(model, price_list):
        try:
            found = calc_price(
                PricedUsage(**usage),
                name,
                provider_id=price_list,
                genai_request_timestamp=started,
                price_context=context,
            )
        except LookupError:
            continue
        # Where it has no batch or fast rate for a model, genai-prices silently takes the standard one.
        if context and found.model_price == found.model.get_prices(started):
            return None
        return found.total_price, found.model.id
    return None


def _price_list(call: Call) -> str:
    return _PRICE_LISTS.get(call.provider, call.provider)


def _spellings(model: str, price_list: str) -> Iterator[str]:
    """A model's names, best first. The bare id is no substitute in a cloud's list: regions differ in price."""
    yield model
    row = lookup(model)
    if row and price_list == "anthropic" and model.startswith("claude-"):
        yield row.id


def _price_context(usage: Usage) -> dict[str, str] | None:
    """What genai-prices wants to be told of a request; `None` for a tier that has no price per token."""
    tier = usage.get("service_tier")
    if tier == "priority":  # bought as a commitment
        return None
    if tier == "batch":
        return {"processing": "batch"}
    return {"speed": "fast"} if usage.get("speed") == "fast" else {}


def _is_us_priced(call: Call, usage: Usage, model_id: str) -> bool:
    version = tuple(int(digits) for digits in re.findall(r"\d+", model_id)[:2])
    return _price_list(call) == "anthropic" and usage.get("inference_geo") == "us" and version >= _US_FACTOR_SINCE


def _tokens_of(usage: Usage) -> Tokens:
    entries = list(_iterations(usage))
    return Tokens(
        input=sum(_count(entry, "input_tokens") for entry in entries),
        cached=sum(_count(entry, "cache_read_input_tokens") for entry in entries),
        written=sum(_written(entry) for entry in entries),
        output=sum(_count(entry, "output_tokens") for entry in entries),
        # Only the top level tells thinking from the rest.
        thinking=_count(_part(usage, "output_tokens_details"), "thinking_tokens"),
    )


def _written(usage: Usage) -> int:
    """Tokens written to the cache. The total is right where the split by lifetime disagrees with it:
    only the total is brought up to date while a reply streams."""
    split = _part(usage, "cache_creation")
    if usage.get("cache_creation_input_tokens") is None:
        return _count(split, "ephemeral_5m_input_tokens") + _count(split, "ephemeral_1h_input_tokens")
    return _count(usage, "cache_creation_input_tokens")


def _written_for_an_hour(usage: Usage) -> int:
    """Tokens written to the cache for an hour; the rest is for five minutes."""
    return min(_count(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens"), _written(usage))


def _part(usage: Usage, key: str) -> Mapping[str, Any]:
    part = usage.get(key)
    return part if isinstance(part, Mapping) else {}


def _count(usage: Mapping[str, Any], key: str) -> int:
    count = usage.get(key)
    return count if isinstance(count, int) and count > 0 else 0
