"""Prices: model and usage → tokens and cost, as exact `Decimal` in USD, or `None` if a price is not known.

Prices are those of the installed genai-prices; no network. The rules that genai-prices leaves to its caller
(CLAUDE_API.md §6 and §8) are here: usage with iterations, US inference, batch and fast rates, unbilled
refusals, an outdated split of cache writes.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from .. import providers
from ..conversation.map_run import Mapped
from ..conversation.turns import Call, Turn, Usage
from ..models import lookup

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

# Models that Bedrock's price list has only under their full ids (genai-prices 0.2.3, AWS's list of models).
_DATED_ON_BEDROCK = {"claude-haiku-4-5": "-20251001-v1:0", "claude-sonnet-4-5": "-20250929-v1:0"}

# `inference_geo: "us"` costs 1.1 times the list price on every kind of token, from this version on
# (platform.claude.com, pricing, "data residency"). The clouds' price lists have their own regional rates.
_US_FACTOR = Decimal("1.1")
_US_FACTOR_SINCE = (4, 6)

# Usage fields of the whole request, which apply to each of its iterations.
_REQUEST_WIDE = ("inference_geo", "service_tier", "speed")

# The counts of a usage that its price depends on, besides those in parts of their own.
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")

# The kinds of cost of a call: tokens by kind (as in `Tokens`), and web searches.
KINDS = ("input", "cached", "written", "thinking", "output", "searches")

# The kinds of token price in a price list; cache writes have one for five minutes and one for an hour.
TOKEN_PRICES = ("input", "output", "cached", "written", "written_for_an_hour")

# The decimal context of all sums, so that a precision set in the notebook (`decimal.getcontext()`) has no effect here.
EXACT = Context(prec=50, rounding=ROUND_HALF_UP)
MILLION = 1_000_000
_FINEST = Decimal("1e-12")  # USD: finer than the price of any token


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind: uncached `input`, `cached` (read from the cache), `written` (to the cache, for five minutes or an
    hour), `output`, and `thinking`, which is a part of `output`.

    `known` says whether all calls came with usage; if not, the counts are those of the others.
    """

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    thinking: int = 0
    known: bool = field(default=True, compare=False)

    @property
    def all_input(self) -> int:
        """All input tokens: uncached, cached and written."""
        return self.input + self.cached + self.written

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            self.input + other.input,
            self.cached + other.cached,
            self.written + other.written,
            self.output + other.output,
            self.thinking + other.thinking,
            self.known and other.known,
        )

    def shown(self, count: int) -> str:
        """One of the counts as text; `n/a` if not all of them are known."""
        return f"{count:,}" if self.known else "n/a"


@dataclass(frozen=True)
class Cost:
    """An exact cost in USD; `None` if no price is known. `at_least` marks a lower bound.

    A sum with an unknown part is unknown; a sum with a lower bound is a lower bound.
    """

    dollars: Decimal | None
    at_least: bool = False

    def __add__(self, other: Cost) -> Cost:
        at_least = self.at_least or other.at_least
        if self.dollars is None or other.dollars is None:
            return Cost(None, at_least)
        return Cost(EXACT.add(self.dollars, other.dollars), at_least)

    def __str__(self) -> str:
        says_something = self.dollars or not self.at_least  # "at least nothing" is not known either
        return dollars(self.dollars if says_something else None, self.at_least)


FREE = Cost(Decimal(0))


def exact(cost: Cost) -> str:
    """A cost with all its digits, for the notebook's page: `0.012345` (USD), `≥0.012345` for a lower bound, `n/a`."""
    return "n/a" if cost.dollars is None else f"{'≥' if cost.at_least else ''}{cost.dollars:f}"


def exact_costs(turns: Iterable[Turn]) -> list[str]:
    """The exact cost of each call of the turns, for their record."""
    return [exact(call_cost(call)) for turn in turns for call in turn.calls]


def call_cost(call: Call) -> Cost:
    """The cost of one call, at the prices of the day on which it started.

    For a call that broke off it is a lower bound: `output_tokens` is a placeholder until the reply ends; without any
    usage the bound is zero. The cost of a finished call is unknown if its usage is missing or is no count, as some
    gateways have it. A refusal before any output is not billed, nor is a replay.
    """
    if not _is_billed(call):
        return FREE
    with localcontext(EXACT):
        parts = _parts(call)
        return Cost(None if parts is None else sum(parts.values(), Decimal(0)), at_least=call.stop_reason is None)


def cost_by_kind(call: Call) -> dict[str, Decimal] | None:
    """The cost of one call for each of `KINDS`, in USD; `None` if no price is known.

    Thinking has the price of output: its share of the output tokens is its share of their cost.
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
    """Savings by the prompt cache, in USD: cached and written tokens at the input price, minus their actual cost.

    Negative if writing cost more than reading saved; `None` if no price is known.
    """
    with localcontext(EXACT):
        parts = [_saved(call, entry) for call in calls if _is_billed(call) for entry in _iterations(call.usage)]
        known = [part for part in parts if part is not None]
        return sum(known, Decimal(0)) if len(known) == len(parts) else None


def list_prices(model: str, provider: str = "anthropic") -> dict[int, dict[str, Decimal]]:
    """Today's list prices in USD per million tokens, by prompt size and kind (`TOKEN_PRICES`).

    A prompt size is the number of tokens above which its prices apply; the first is 0. Empty if no price is known.
    """
    call = Call(model, provider=provider)
    plain = _find_rates(call, model, (), 0)
    steps = (0, *plain.tiers) if plain else ()
    rates = {above: _find_rates(call, model, (), above + 1) or _NO_RATES for above in steps}
    return {above: {kind: getattr(each, kind) for kind in TOKEN_PRICES} for above, each in rates.items()}


def turn_cost(turn: Turn) -> Cost:
    """The cost of a turn: the sum over its calls."""
    return total(call_cost(call) for call in turn.calls)


def recorded_cost(turn: Turn) -> Cost:
    """The cost of a turn when it was recorded, which a replayed turn does not cost again."""
    return total(call_cost(dataclasses.replace(call, replayed=False)) for call in turn.calls)


def summary_cost(turn: Turn) -> Cost:
    """The cost of compaction (a summary of the conversation) in a turn: of a whole call, or of a part of one."""
    return total(_summary_cost(call, whole=bool(turn.params.get("compaction"))) for call in turn.calls)


def _summary_cost(call: Call, *, whole: bool) -> Cost:
    if whole:
        return call_cost(call)
    parts = [entry for entry in _iterations(call.usage) if entry.get("type") == "compaction"]
    return total(call_cost(dataclasses.replace(call, usage=part)) for part in parts)


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs; zero if there are none."""
    return sum(costs, FREE)


def tokens(calls: Iterable[Call]) -> Tokens:
    """The tokens of calls, by kind, as `call_cost` prices them: the sum over iterations where there are any."""
    return sum((_tokens_of(call.usage) for call in calls), Tokens())


def tokens_of_map(run: Mapped) -> Tokens:
    """The tokens of a map, from its record; not known if none were counted, as each prompt has some."""
    counts = (run.input_tokens, run.cached_tokens, run.written_tokens)
    return Tokens(*counts, run.output_tokens, run.thinking_tokens, known=any(counts) or not run.calls)


def counts_by_kind(calls: Iterable[Call]) -> dict[str, int]:
    """The counts of calls for each of `KINDS`: tokens (here `output` excludes thinking), and web searches."""
    listed = list(calls)
    sums = tokens(listed)
    searches = sum(_count(_part(call.usage, "server_tool_use"), "web_search_requests") for call in listed)
    output = max(0, sums.output - sums.thinking)
    counts = (sums.input, sums.cached, sums.written, sums.thinking, output, searches)
    return dict(zip(KINDS, counts, strict=True))


def dollars(amount: Decimal | None, at_least: bool = False) -> str:
    """US dollars as text: `$1,234.50`; below a dollar with four decimals, or more for two significant digits.

    A lower bound is marked `≥`; an unknown amount is `n/a`.
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
    """The cost by kind, summed over the iterations, plus web searches; `None` if a part has no known price."""
    if not call.usage and call.stop_reason is None:
        return {"output": Decimal(0)}
    if call.stop_reason is not None and not _is_counted(call.usage):
        return None
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
    counts, for_hour = _tokens_of(entry), _written_for_hour(entry)
    return {
        "input": rates.input * counts.input / MILLION,
        "cached": rates.cached * counts.cached / MILLION,
        "written": (rates.written * (counts.written - for_hour) + rates.written_for_an_hour * for_hour) / MILLION,
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


def _is_counted(usage: Usage) -> bool:
    """Whether a usage has all the counts that its price depends on, as numbers that are not all zero: a request has
    some tokens, and gateways that count none say so."""
    listed = usage.get("iterations")
    if listed is not None and not (isinstance(listed, list) and all(isinstance(each, Mapping) for each in listed)):
        return False
    searches = ("web_search_requests",)
    if not _are_counts(usage.get("server_tool_use"), searches) or not all(map(_is_counted_entry, _iterations(usage))):
        return False
    numbers = [_count(entry, name) for entry in _iterations(usage) for name in _COUNTS]
    numbers += [_written(entry) for entry in _iterations(usage)]
    return any(numbers) or _count(_part(usage, "server_tool_use"), *searches) > 0


def _is_counted_entry(entry: Usage) -> bool:
    has_both = entry.get("input_tokens") is not None and "output_tokens" in entry
    split = ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")
    return has_both and _are_counts(entry, _COUNTS) and _are_counts(entry.get("cache_creation"), split)


def _are_counts(part: object, names: Iterable[str]) -> bool:
    """Whether the fields of a part of a usage are counts, where they are there at all."""
    if part is None:
        return True
    return isinstance(part, Mapping) and all(part.get(name) is None or _is_count(part[name]) for name in names)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _iterations(usage: Usage) -> Iterator[Usage]:
    """The billed entries of a usage: its `iterations` if there are any (the sums at the top level leave out compaction
    and advisors), else the usage itself."""
    listed = usage.get("iterations")
    entries = [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list | tuple) else []
    if not entries:
        yield usage
    for entry in entries:
        yield {**{key: usage.get(key) for key in _REQUEST_WIDE}, **entry}


@dataclass(frozen=True)
class _Rates:
    """Rates in USD: per million tokens of each kind, and per web search.

    `tiers` are prompt sizes in tokens; above each of them, other rates apply to the whole prompt.
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
        """The rates with all token prices multiplied; the price of a search does not depend on the region."""
        tokens = ("input", "cached", "written", "written_for_an_hour", "output")
        return dataclasses.replace(self, **{name: getattr(self, name) * factor for name in tokens})


_NO_RATES = _Rates()


def _entry_rates(call: Call, entry: Usage) -> _Rates | None:
    """The rates of one entry: of its own model if it names one, else of the call's; `None` if not known."""
    context = _price_context(entry)
    if context is None:
        return None
    own = entry.get("model")
    model = own if own and isinstance(own, str) else call.model
    rates = _find_rates(call, model, context, _tokens_of(entry).all_input)
    return rates.times(_US_FACTOR) if rates and _is_us_priced(call, entry, rates.model_id) else rates


def _find_rates(call: Call, model: str, context: tuple[tuple[str, str], ...], prompt: int) -> _Rates | None:
    """The rates of a model for a prompt of `prompt` tokens, on the day of the call (today if it has no start)."""
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
    """The rates of genai-prices for prompts of more than `above` tokens; `None` if it does not know the model.

    Cached, since a lookup takes 0.25 ms: a list price is constant for a day, and linear within a tier.
    """
    from genai_prices import calc_price  # imported when a price is needed: it takes 0.25 s
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
        # If it has no batch or fast rate for a model, genai-prices silently uses the standard one.
        if context and plain.model_price == plain.model.get_prices(started):
            return None
        tiered = [each for each in vars(plain.model_price).values() if isinstance(each, TieredPrices)]
        cached = price(input_tokens=prompt, cache_read_tokens=prompt)
        written = price(input_tokens=prompt, cache_write_tokens=prompt)
        for_hour = price(input_tokens=prompt, cache_write_tokens=prompt, cache_write_1h_tokens=prompt)
        in_all = [each.input_price * MILLION / prompt for each in (plain, cached, written, for_hour)]
        output = price(input_tokens=prompt, output_tokens=1).output_price * MILLION
        search = price(web_searches=1).total_price
        tiers = {tier.start for each in tiered for tier in each.tiers}
        return _Rates(plain.model.id, tuple(tiers), *(each.normalize() for each in (*in_all, output, search)))


def _spellings(model: str, price_list: str) -> Iterator[str]:
    """Names of a model in a price list, best first. In a cloud's list the bare id is no substitute for a regional
    one: regions differ in price."""
    yield model
    row = lookup(model)
    if row and price_list == "anthropic" and model.startswith("claude-"):
        yield row.id
    if row and price_list == "aws" and model.endswith(row.id) and row.id in _DATED_ON_BEDROCK:
        yield model + _DATED_ON_BEDROCK[row.id]


def _price_context(usage: Usage) -> tuple[tuple[str, str], ...] | None:
    """The `price_context` of genai-prices for a request; `None` for a service tier that has no price per token."""
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
        # Only the top level has a count of thinking tokens.
        thinking=_count(_part(usage, "output_tokens_details"), "thinking_tokens"),
        known=_is_counted(usage),
    )


def _written(usage: Usage) -> int:
    """Tokens written to the cache: the total, which goes before the sum of the split by TTL, since only the total is
    updated while a reply streams."""
    split = _part(usage, "cache_creation")
    if usage.get("cache_creation_input_tokens") is None:
        return _count(split, "ephemeral_5m_input_tokens") + _count(split, "ephemeral_1h_input_tokens")
    return _count(usage, "cache_creation_input_tokens")


def _written_for_hour(usage: Usage) -> int:
    """Tokens written to the cache for an hour; the others are for five minutes."""
    return min(_count(_part(usage, "cache_creation"), "ephemeral_1h_input_tokens"), _written(usage))


def _part(usage: Usage, key: str) -> Mapping[str, Any]:
    part = usage.get(key)
    return part if isinstance(part, Mapping) else {}


def _count(usage: Mapping[str, Any], key: str) -> int:
    count = usage.get(key)
    return count if isinstance(count, int) and _is_count(count) else 0
