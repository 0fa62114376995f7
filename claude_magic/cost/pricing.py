"""Model and usage → tokens and cost, by genai-prices: exact `Decimal`, or `n/a` where a price is not known.

The rules that genai-prices leaves to its caller (CLAUDE_API.md §6 and §8) are here: usage that comes
in iterations, US inference, batch and fast rates, unbilled refusals, a stale split of cache writes.
No network: prices are those of the installed genai-prices.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from .. import providers
from ..conversation.turns import Call, Turn, Usage
from ..models import lookup

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

# Models that Bedrock's price list has only by their full ids there (genai-prices 0.2.3, AWS's list of models).
_DATED_ON_BEDROCK = {"claude-haiku-4-5": "-20251001-v1:0", "claude-sonnet-4-5": "-20250929-v1:0"}

# `inference_geo: "us"` costs 1.1 times the list price on every kind of token, from this version on
# (platform.claude.com, pricing, "data residency"). The clouds' price lists have their own regional rates.
_US_FACTOR = Decimal("1.1")
_US_FACTOR_SINCE = (4, 6)

# Usage fields of the request that hold for each of its iterations.
_REQUEST_WIDE = ("inference_geo", "service_tier", "speed")

# What a call pays for: tokens by kind (as in `Tokens`), and web searches.
KINDS = ("input", "cached", "written", "thinking", "output", "searches")

# What a price list asks for tokens: those written to the cache are kept for five minutes, or for an hour.
TOKEN_PRICES = ("input", "output", "cached", "written", "written_for_an_hour")

# Whatever precision a notebook sets with `decimal.getcontext()`, money stays exact.
EXACT = Context(prec=50, rounding=ROUND_HALF_UP)
MILLION = 1_000_000
_FINEST = Decimal("1e-12")  # USD: finer than the price of any token


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
        return Cost(EXACT.add(self.dollars, other.dollars), at_least)

    def __str__(self) -> str:
        return dollars(self.dollars, self.at_least)


FREE = Cost(Decimal(0))


def call_cost(call: Call) -> Cost:
    """What one request cost, at the prices of the day on which it started.

    A call that broke off is a lower bound: `output_tokens` is a placeholder until the reply ends, and
    where not even the usage arrived the bound is zero. A finished call without usage has no known cost.
    A refusal before any output is not billed, and neither is a replay.
    """
    if not _is_billed(call):
        return FREE
    with localcontext(EXACT):
        parts = _parts(call)
        return Cost(None if parts is None else sum(parts.values(), Decimal(0)), at_least=call.stop_reason is None)


def cost_by_kind(call: Call) -> dict[str, Decimal] | None:
    """What one request cost for each of `KINDS`, in USD; `None` if no price is known.

    Thinking costs what any output does: its part of the output's tokens is its part of the cost.
    """
    if not _is_billed(call):
        return dict.fromkeys(KINDS, Decimal(0))
    with localcontext(EXACT):
        parts = _parts(call)
        if parts is None:
            return None
        counts = _tokens_of(call.usage)
        thought = min(Decimal(1), Decimal(counts.thinking) / counts.output) if counts.output else Decimal(0)
        thinking = (parts["output"] * thought).quantize(_FINEST)
        return {**dict.fromkeys(KINDS, Decimal(0)), **parts, "thinking": thinking, "output": parts["output"] - thinking}


def saved_by_caching(calls: Iterable[Call]) -> Decimal | None:
    """What the tokens read from the cache and written to it would have cost as plain input, less what they cost, in
    USD. Negative where writing cost more than reading saved; `None` if no price is known."""
    with localcontext(EXACT):
        parts = [_saved(call, entry) for call in calls if _is_billed(call) for entry in _iterations(call.usage)]
        known = [part for part in parts if part is not None]
        return sum(known, Decimal(0)) if len(known) == len(parts) else None


def list_prices(model: str, provider: str = "anthropic") -> dict[int, dict[str, Decimal]]:
    """Today's list prices in USD per million tokens, by kind (`TOKEN_PRICES`), for prompts of more than so many
    tokens: 0, and where all prices step up. Empty if no price is known.
    """
    call = Call(model, provider=provider)
    plain = _find_rates(call, model, (), 0)
    steps = (0, *plain.tiers) if plain else ()
    rates = {above: _find_rates(call, model, (), above + 1) or _NO_RATES for above in steps}
    return {above: {kind: getattr(each, kind) for kind in TOKEN_PRICES} for above, each in rates.items()}


def turn_cost(turn: Turn) -> Cost:
    """What a turn cost: all its calls."""
    return total(call_cost(call) for call in turn.calls)


def recorded_cost(turn: Turn) -> Cost:
    """What a turn cost when it was recorded: for one that is replayed, not what it costs now."""
    return total(call_cost(dataclasses.replace(call, replayed=False)) for call in turn.calls)


def summary_cost(turn: Turn) -> Cost:
    """What having the conversation summarised cost in a turn: a call of its own, or a part of one."""
    return total(_summary_cost(call, whole=bool(turn.params.get("compaction"))) for call in turn.calls)


def _summary_cost(call: Call, *, whole: bool) -> Cost:
    if whole:
        return call_cost(call)
    parts = [entry for entry in _iterations(call.usage) if entry.get("type") == "compaction"]
    return total(call_cost(dataclasses.replace(call, usage=part)) for part in parts)


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs; of none, nothing."""
    return sum(costs, FREE)


def tokens(calls: Iterable[Call]) -> Tokens:
    """The tokens of calls, by kind: those that `call_cost` prices, so iterations count one by one."""
    return sum((_tokens_of(call.usage) for call in calls), Tokens())


def counts_by_kind(calls: Iterable[Call]) -> dict[str, int]:
    """How many of each of `KINDS` calls took: tokens (`output` without thinking), and web searches."""
    taken = list(calls)
    sums = tokens(taken)
    searches = sum(_count(_part(call.usage, "server_tool_use"), "web_search_requests") for call in taken)
    said = max(0, sums.output - sums.thinking)
    counts = (sums.input, sums.cached, sums.written, sums.thinking, said, searches)
    return dict(zip(KINDS, counts, strict=True))


def dollars(amount: Decimal | None, at_least: bool = False) -> str:
    """US dollars as text: `$1,234.50`; below a dollar four decimals and at least two significant digits.

    A lower bound is marked `≥`, an unknown amount is `n/a`.
    """
    if amount is None:
        return "n/a"
    places = max(4, 1 - amount.adjusted()) if amount else 2
    rounded = amount.quantize(Decimal(1).scaleb(-places), context=EXACT)
    if rounded >= 1:
        rounded = amount.quantize(Decimal("0.01"), context=EXACT)
    return f"{'≥' if at_least else ''}${rounded:,f}"


def _is_billed(call: Call) -> bool:
    return not call.replayed and (call.stop_reason != "refusal" or call.answered)


def _parts(call: Call) -> dict[str, Decimal] | None:
    """The price by kind: a sum over a usage's iterations, plus its web searches; `None` if a part has no price."""
    if not call.usage:
        return {"output": Decimal(0)} if call.stop_reason is None else None
    parts = {"input": Decimal(0), "cached": Decimal(0), "written": Decimal(0), "output": Decimal(0)}
    for entry in _iterations(call.usage):
        rates = _entry_rates(call, entry)
        if rates is None:
            return None
        for kind, price in _entry_prices(rates, entry).items():
            parts[kind] += price
    searches = _count(_part(call.usage, "server_tool_use"), "web_search_requests")
    rates = _find_rates(call, call.model, (), 0) if searches else _NO_RATES
    return None if rates is None else {**parts, "searches": rates.search * searches}


def _entry_prices(rates: _Rates, entry: Usage) -> dict[str, Decimal]:
    counts, for_an_hour = _tokens_of(entry), _written_for_an_hour(entry)
    return {
        "input": rates.input * counts.input / MILLION,
        "cached": rates.cached * counts.cached / MILLION,
        "written": (rates.written * (counts.written - for_an_hour) + rates.written_for_an_hour * for_an_hour) / MILLION,
        "output": rates.output * counts.output / MILLION,
    }


def _saved(call: Call, entry: Usage) -> Decimal | None:
    counts = _tokens_of(entry)
    if not counts.cached and not counts.written:
        return Decimal(0)
    rates = _entry_rates(call, entry)
    if rates is None:
        return None
    prices = _entry_prices(rates, entry)
    return rates.input * (counts.cached + counts.written) / MILLION - prices["cached"] - prices["written"]


def _iterations(usage: Usage) -> Iterator[Usage]:
    """The entries that are billed: `iterations` where there are any (the top level leaves compaction
    and advisors out of its sums), else the usage itself."""
    entries = [entry for entry in usage.get("iterations") or () if isinstance(entry, Mapping)]
    if not entries:
        yield usage
    for entry in entries:
        yield {**{key: usage.get(key) for key in _REQUEST_WIDE}, **entry}


@dataclass(frozen=True)
class _Rates:
    """US dollars a million tokens of each kind, and a web search.

    `tiers` are the prompts, in tokens, above which all rates are others: a price list's cliffs.
    """

    model_id: str = ""
    tiers: tuple[int, ...] = ()
    input: Decimal = Decimal(0)
    cached: Decimal = Decimal(0)
    written: Decimal = Decimal(0)
    written_for_an_hour: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    search: Decimal = Decimal(0)

    def times(self, factor: Decimal) -> _Rates:
        """The rates of tokens in another place: a search costs the same everywhere."""
        tokens = ("input", "cached", "written", "written_for_an_hour", "output")
        return dataclasses.replace(self, **{name: getattr(self, name) * factor for name in tokens})


_NO_RATES = _Rates()


def _entry_rates(call: Call, entry: Usage) -> _Rates | None:
    """The rates for one entry's tokens, at its own model if it names one; `None` if they are not known."""
    context = _price_context(entry)
    if context is None:
        return None
    own = entry.get("model")
    model = own if own and isinstance(own, str) else call.model
    rates = _find_rates(call, model, context, _tokens_of(entry).all_input)
    return rates.times(_US_FACTOR) if rates and _is_us_priced(call, entry, rates.model_id) else rates


def _find_rates(call: Call, model: str, context: tuple[tuple[str, str], ...], prompt: int) -> _Rates | None:
    """The rates of a model for a prompt of so many tokens, on the day of the call; without a start, of today."""
    day = datetime.fromtimestamp(call.started or datetime.now(UTC).timestamp(), UTC).date()
    price_list = providers.price_list(call.provider)
    for name in _spellings(model, price_list) if price_list else ():
        rates = _rates(price_list, name, day, context, 0)
        if rates is not None:
            above = max((tier for tier in rates.tiers if prompt > tier), default=0)
            return _rates(price_list, name, day, context, above) if above else rates
    return None


@functools.lru_cache(maxsize=1_000)
def _rates(price_list: str, name: str, day: date, context: tuple[tuple[str, str], ...], above: int) -> _Rates | None:
    """What genai-prices asks for one thing of each kind, in a prompt of more than `above` tokens.

    It takes a quarter of a millisecond for each question, so each is asked once: a list price changes from day to
    day, not from call to call, and is so much a token within a tier. `None` if it does not know the model.
    """
    from genai_prices import calc_price  # not before a price is needed: a quarter of a second
    from genai_prices.types import TieredPrices
    from genai_prices.types import Usage as PricedUsage

    started = datetime.combine(day, time(), UTC)
    prompt = above + 1

    def price(**usage: int) -> PriceCalculation:
        return calc_price(
            PricedUsage(**usage),
            name,
            provider_id=price_list,
            genai_request_timestamp=started,
            price_context=dict(context),
        )

    with localcontext(EXACT):
        try:
            plain = price(input_tokens=prompt)
        except LookupError:
            return None
        # Where it has no batch or fast rate for a model, genai-prices silently takes the standard one.
        if context and plain.model_price == plain.model.get_prices(started):
            return None
        tiered = [each for each in vars(plain.model_price).values() if isinstance(each, TieredPrices)]
        cached = price(input_tokens=prompt, cache_read_tokens=prompt)
        written = price(input_tokens=prompt, cache_write_tokens=prompt)
        for_an_hour = price(input_tokens=prompt, cache_write_tokens=prompt, cache_write_1h_tokens=prompt)
        in_all = [each.input_price * MILLION / prompt for each in (plain, cached, written, for_an_hour)]
        output = price(input_tokens=prompt, output_tokens=1).output_price * MILLION
        search = price(web_searches=1).total_price
        tiers = {tier.start for each in tiered for tier in each.tiers}
        return _Rates(plain.model.id, tuple(tiers), *(each.normalize() for each in (*in_all, output, search)))


def _spellings(model: str, price_list: str) -> Iterator[str]:
    """A model's names, best first. The bare id is no substitute in a cloud's list: regions differ in price."""
    yield model
    row = lookup(model)
    if row and price_list == "anthropic" and model.startswith("claude-"):
        yield row.id
    if row and price_list == "aws" and model.endswith(row.id) and row.id in _DATED_ON_BEDROCK:
        yield model + _DATED_ON_BEDROCK[row.id]


def _price_context(usage: Usage) -> tuple[tuple[str, str], ...] | None:
    """What genai-prices wants to be told of a request; `None` for a tier that has no price per token."""
    tier = usage.get("service_tier")
    if tier == "priority":  # bought as a commitment
        return None
    if tier == "batch":
        return (("processing", "batch"),)
    return (("speed", "fast"),) if usage.get("speed") == "fast" else ()


def _is_us_priced(call: Call, usage: Usage, model_id: str) -> bool:
    version = tuple(int(digits) for digits in re.findall(r"\d+", model_id)[:2])
    list_price = providers.price_list(call.provider) == "anthropic"
    return list_price and usage.get("inference_geo") == "us" and version >= _US_FACTOR_SINCE


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
