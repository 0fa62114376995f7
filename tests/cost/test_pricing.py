"""What calls cost, against list prices that stand in this file."""

from __future__ import annotations

import decimal
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest

from claude_magic import models
from claude_magic.conversation.turns import Call, Turn
from claude_magic.cost.pricing import (
    FREE,
    KINDS,
    Cost,
    Tokens,
    call_cost,
    cost_by_kind,
    counts_by_kind,
    dollars,
    saved_by_caching,
    summary_cost,
    tokens,
    total,
    turn_cost,
)
from support.recordings import CORPUS, recordings

NOVEMBER_2026 = 1_795_000_000.0

# Dollars a million tokens, from the price page of November 2026: input, 5-minute write, 1-hour write, read, output.
LIST = {
    "claude-fable-5-2": "8 10 16 0.2 40",
    "claude-fable-5-1": "10 12.5 20 0.25 50",
    "claude-fable-5": "10 12.5 20 1 50",
    "claude-opus-5-5": "4 5 8 0.2 20",
    "claude-opus-5": "5 6.25 10 0.5 25",
    "claude-opus-4-8": "5 6.25 10 0.5 25",
    "claude-sonnet-5-5": "2 2.5 4 0.1 10",
    "claude-sonnet-5": "2 2.5 4 0.2 10",
    "claude-haiku-5-5": "0.1 0.125 0.2 0.01 0.5",
    "claude-haiku-4-5": "1 1.25 2 0.1 5",
}
TOKEN_KINDS = ("input", "5m", "1h", "read", "output")


def usage(input: int = 0, five: int = 0, hour: int = 0, read: int = 0, output: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "input_tokens": input,
        "cache_creation_input_tokens": five + hour,
        "cache_creation": {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour},
        "cache_read_input_tokens": read,
        "output_tokens": output,
        **more,
    }


def call(model: str = "claude-opus-5-5", stop_reason: str | None = "end_turn", **more: Any) -> Call:
    return Call(model=model, **{"stop_reason": stop_reason, "started": NOVEMBER_2026, **more})


def cost(model: str, used: Mapping[str, Any], **more: Any) -> Decimal | None:
    return call_cost(call(model, usage=used, **more)).dollars


@pytest.mark.drift
@pytest.mark.parametrize("kind", range(5), ids=TOKEN_KINDS)
@pytest.mark.parametrize("model", LIST)
def test_each_kind_of_token_costs_its_list_price(model: str, kind: int) -> None:
    counts = [0] * 5
    counts[kind] = 12_345
    expected = Decimal(LIST[model].split()[kind]) * 12_345 / 1_000_000
    input, five, hour, read, output = counts
    assert cost(model, usage(input, five, hour, read, output)) == expected


# Every current model with a price: dollars a million tokens of input and of output, what a cache read costs of the
# input, and whether there is a fast rate. From the price page of November 2026 (CLAUDE_API.md §4 and §8): writes cost
# 1.25 and 2 times the input, batch half, fast twice, Haiku 5.5 above its tier five times, US inference a tenth more.
CURRENT = {
    "claude-fable-5-2": ("8", "40", "0.025", True),
    "claude-fable-5-1": ("10", "50", "0.025", False),
    "claude-fable-5": ("10", "50", "0.1", False),
    "claude-mythos-5-2": ("8", "40", "0.025", True),
    "claude-opus-5-5": ("4", "20", "0.05", True),
    "claude-opus-5": ("5", "25", "0.1", True),
    "claude-opus-4-8": ("5", "25", "0.1", True),
    "claude-opus-4-7": ("5", "25", "0.1", False),
    "claude-opus-4-6": ("5", "25", "0.1", False),
    "claude-opus-4-5": ("5", "25", "0.1", False),
    "claude-sonnet-5-5": ("2", "10", "0.05", False),
    "claude-sonnet-5": ("2", "10", "0.1", False),
    "claude-sonnet-4-6": ("3", "15", "0.1", False),
    "claude-sonnet-4-5": ("3", "15", "0.1", False),
    "claude-haiku-5-5": ("0.1", "0.5", "0.1", False),
    "claude-haiku-4-5": ("1", "5", "0.1", False),
}
NO_PRICE = {"claude-mythos-5-1", "claude-mythos-5"}
BEFORE_US_RATES = {"claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5"}
HAIKU_TIER = 100_000
SMALL = (7_001, 1_003, 2_005, 40_007, 3_011)  # of each of TOKEN_KINDS: a prompt of 50,016 tokens
LARGE = (17_001, 1_003, 2_005, 90_007, 3_011)  # 110,016
WAYS = {
    "standard": {},
    "batch": {"service_tier": "batch"},
    "fast": {"speed": "fast"},
    "us": {"inference_geo": "us"},
    "batch in the us": {"service_tier": "batch", "inference_geo": "us"},
    "fast in the us": {"speed": "fast", "inference_geo": "us"},
}


def by_hand(model: str, counts: tuple[int, ...], way: Mapping[str, str]) -> Decimal | None:
    """What so many tokens of each kind cost by the list."""
    input_price, output_price, read, has_fast = CURRENT[model]
    if "speed" in way and not has_fast:
        return None
    factor = Decimal(1)
    factor *= Decimal("0.5") if way.get("service_tier") == "batch" else 2 if "speed" in way else 1
    factor *= Decimal("1.1") if "inference_geo" in way and model not in BEFORE_US_RATES else 1
    factor *= 5 if model == "claude-haiku-5-5" and sum(counts[:4]) > HAIKU_TIER else 1
    rates = [Decimal(input_price) * Decimal(times) for times in ("1", "1.25", "2", read)] + [Decimal(output_price)]
    return factor * sum((rate * count for rate, count in zip(rates, counts, strict=True)), Decimal(0)) / 1_000_000


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("model", CURRENT)
def test_any_mixture_of_tokens_costs_what_the_list_says(model: str, way: dict[str, str]) -> None:
    """Every current model × every kind of token, alone and together, under and over the tier, in every way of being
    asked, in one piece and in iterations."""
    singles = [tuple(12_347 if at == kind else 0 for at in range(5)) for kind in range(5)]
    for counts in (*singles, SMALL, LARGE):
        assert cost(model, {**usage(*counts), **way}) == by_hand(model, counts, way)
    twice = {**usage(1), **way, "iterations": [usage(*SMALL), usage(*LARGE)]}
    parts = [by_hand(model, counts, way) for counts in (SMALL, LARGE)]
    assert cost(model, twice) == (None if None in parts else sum(filter(None, parts)))


def test_the_list_has_every_current_model() -> None:
    assert set(CURRENT) | NO_PRICE == {each.id for each in models.MODELS}


@pytest.mark.drift
def test_the_models_with_a_price_and_those_with_a_fast_one_are_still_the_same() -> None:
    assert {each.id for each in models.MODELS if cost(each.id, usage(1_000)) is None} == NO_PRICE
    priced = {each.id for each in models.MODELS if cost(each.id, usage(1_000, speed="fast")) is not None}
    assert priced == {each.id for each in models.MODELS if each.fast}


@pytest.mark.drift
def test_no_claude_price_depends_on_the_hour_of_the_day() -> None:
    """Rates are looked up once for each day."""
    from genai_prices.data_snapshot import get_snapshot

    lists = {"anthropic", "aws", "google"}
    found = [each for provider in get_snapshot().providers if provider.id in lists for each in provider.models]
    hourly = [each.id for each in found if "claude" in each.id and "TimeOfDateConstraint" in repr(each.prices)]
    assert len(found) > 50 and not hourly


@pytest.mark.parametrize("model", CURRENT)
@pytest.mark.parametrize("counts", [SMALL, LARGE], ids=["small", "large"])
def test_the_cost_by_kind_adds_up_and_each_kind_costs_its_list_price(model: str, counts: tuple[int, ...]) -> None:
    used = usage(*counts, output_tokens_details={"thinking_tokens": 1_011}, server_tool_use={"web_search_requests": 3})
    found = cost_by_kind(call(model, usage=used))
    assert found is not None and sum(found.values()) == cost(model, used)
    assert tuple(found) == KINDS and found["searches"] == Decimal("0.03")
    alone = by_hand(model, (counts[0], 0, 0, 0, 0), {})
    tier = 5 if model == "claude-haiku-5-5" and counts is LARGE else 1
    assert alone and found["input"] == alone * tier
    thinking, rest = (by_hand(model, (0, 0, 0, 0, tokens), {}) for tokens in (1_011, 2_000))
    assert thinking and rest and (found["thinking"], found["output"]) == (thinking * tier, rest * tier)


def test_the_cost_by_kind_of_what_is_not_billed_is_nothing_and_of_what_has_no_price_unknown() -> None:
    nothing = dict.fromkeys(KINDS, Decimal(0))
    used = usage(412_000, output=3)
    assert cost_by_kind(call(usage=used, stop_reason="refusal", answered=False)) == nothing
    assert cost_by_kind(call(usage=used, replayed=True)) == nothing
    assert cost_by_kind(call(stop_reason=None)) == nothing
    assert cost_by_kind(call()) is None and cost_by_kind(call("gpt-4o", usage=used)) is None


def test_kinds_are_counted_as_they_are_priced() -> None:
    used = usage(1, 2, 3, 4, 50, output_tokens_details={"thinking_tokens": 40})
    searched = {**used, "server_tool_use": {"web_search_requests": 2}}
    assert counts_by_kind([call(usage=used), call(usage=searched)]) == {
        "input": 2,
        "cached": 8,
        "written": 10,
        "thinking": 80,
        "output": 20,
        "searches": 2,
    }


@pytest.mark.parametrize("way", [{}, {"inference_geo": "us"}, {"service_tier": "batch"}], ids=["", "us", "batch"])
@pytest.mark.parametrize("model", CURRENT)
@pytest.mark.parametrize("counts", [SMALL, LARGE], ids=["small", "large"])
def test_caching_saved_the_difference_to_plain_input(model: str, counts: tuple[int, ...], way: dict[str, str]) -> None:
    used = {**usage(*counts), **way}
    plain = {**usage(sum(counts[:4]), output=counts[4]), **way}
    costs = cost(model, plain), cost(model, used)
    assert None not in costs
    assert saved_by_caching([call(model, usage=used)]) == (costs[0] or 0) - (costs[1] or 0)


def test_caching_that_was_written_and_never_read_saved_less_than_nothing() -> None:
    assert saved_by_caching([call(usage=usage(0, 1_000_000))]) == Decimal(-1)
    assert saved_by_caching([call(usage=usage(0, 1_000_000), replayed=True), call(usage=usage(5))]) == 0
    assert saved_by_caching([call("gpt-4o", usage=usage(0, 5))]) is None


@pytest.mark.parametrize("model", [["claude"], {"a": 1}, 7, "", None])
def test_an_iteration_whose_model_is_no_name_is_priced_as_the_calls_own(model: Any) -> None:
    used = usage(iterations=[{"model": model, **usage(1_000_000)}])
    assert cost("claude-opus-5-5", used) == Decimal(4)


def test_all_kinds_of_tokens_and_the_web_searches_add_up() -> None:
    used = usage(1_000, 2_000, 3_000, 4_000, 5_000, server_tool_use={"web_search_requests": 3, "web_fetch_requests": 9})
    by_hand = Decimal("0.004") + Decimal("0.010") + Decimal("0.024") + Decimal("0.0008") + Decimal("0.1")
    assert cost("claude-opus-5-5", used) == by_hand + Decimal("0.03")


@pytest.mark.parametrize(
    ("prompt", "rate"), [(99_999, "0.1"), (100_000, "0.1"), (100_001, "0.5")], ids=["below", "at", "above"]
)
def test_haiku_costs_five_times_as_much_above_100k_prompt_tokens(prompt: int, rate: str) -> None:
    output_rate = Decimal(rate) * 5
    expected = (Decimal(rate) * prompt + output_rate * 1_000) / 1_000_000
    assert cost("claude-haiku-5-5", usage(prompt, output=1_000)) == expected


def test_cached_tokens_count_for_the_tier_of_haiku() -> None:
    used = usage(1, read=100_000)
    assert cost("claude-haiku-5-5", used) == (Decimal("0.5") + Decimal("0.05") * 100_000) / 1_000_000


def test_a_search_with_haiku_above_its_tier_still_costs_a_cent() -> None:
    used = usage(200_000, server_tool_use={"web_search_requests": 1})
    assert cost("claude-haiku-5-5", used) == Decimal("0.1") + Decimal("0.01")


def test_a_price_is_that_of_the_day_of_the_call() -> None:
    """Sonnet 4.6 charged more above 200,000 tokens until 13 March 2026."""
    used = usage(300_000)
    assert cost("claude-sonnet-4-6", used, started=1_770_000_000.0) == Decimal("1.8")
    assert cost("claude-sonnet-4-6", used) == Decimal("0.9")


def test_a_call_without_a_start_costs_what_it_costs_today() -> None:
    assert cost("claude-sonnet-4-6", usage(300_000), started=0.0) == Decimal("0.9")


def test_batch_halves_the_price() -> None:
    assert cost("claude-opus-5-5", usage(1_000_000, output=1_000_000, service_tier="batch")) == Decimal(12)


def test_fast_doubles_the_price() -> None:
    assert cost("claude-opus-5-5", usage(1_000_000, output=1_000_000, speed="fast")) == Decimal(48)


def test_a_fast_call_of_a_model_without_a_fast_rate_has_no_price() -> None:
    assert cost("claude-haiku-5-5", usage(1_000, speed="fast")) is None


def test_priority_tier_has_no_price_per_token() -> None:
    assert cost("claude-opus-5-5", usage(1_000, service_tier="priority")) is None


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("claude-opus-5-5", "1.1"),
        ("claude-sonnet-5", "1.1"),
        ("claude-opus-4-6", "1.1"),
        ("claude-opus-4-5", "1"),
        ("claude-haiku-4-5", "1"),
    ],
)
def test_us_inference_costs_a_tenth_more_from_version_4_6_on(model: str, factor: str) -> None:
    used = usage(1_000, 2_000, 3_000, 4_000, 5_000)
    plain = cost(model, used)
    assert plain
    assert cost(model, {**used, "inference_geo": "us"}) == plain * Decimal(factor)
    assert cost(model, {**used, "inference_geo": "global"}) == plain


def test_us_inference_does_not_make_searches_dearer() -> None:
    used = usage(server_tool_use={"web_search_requests": 1000}, inference_geo="us")
    assert cost("claude-opus-5-5", used) == Decimal(10)


def test_a_cloud_has_its_own_regional_prices() -> None:
    used = usage(1_000_000, inference_geo="us")
    assert cost("us.anthropic.claude-opus-5-5", used, provider="bedrock") == Decimal("4.4")
    assert cost("global.anthropic.claude-opus-5-5", used, provider="aws") == Decimal("4")
    assert cost("claude-opus-5-5", used, provider="vertex") == Decimal("4")
    assert cost("claude-opus-5-5", used, provider="foundry") == Decimal("4")


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-opus-5-5"])
def test_an_id_of_bedrocks_has_the_price_of_its_region_with_its_date_or_without(model: str) -> None:
    used = usage(100_000)
    listed = cost(model, used)
    assert listed is not None
    assert cost(f"anthropic.{model}", used, provider="bedrock") == listed * Decimal("1.1")
    assert cost(f"global.anthropic.{model}", used, provider="bedrock") == listed


def test_the_stand_in_costs_what_claude_would() -> None:
    assert cost("claude-opus-5-5", usage(1_000_000), provider="offline") == Decimal("4")


@pytest.mark.parametrize("model", ["claude-opus-5-5-20261001", "claude-opus-5-5-latest", "claude-opus-5-5@default"])
def test_other_spellings_of_a_model_find_its_price(model: str) -> None:
    assert cost(model, usage(1_000_000)) == Decimal("4")


@pytest.mark.parametrize(
    ("model", "provider"), [("gpt-4o", "anthropic"), ("claude-next-9", "anthropic"), ("claude-opus-5-5", "nobody")]
)
def test_an_unknown_model_or_provider_has_no_price(model: str, provider: str) -> None:
    unknown = call_cost(call(model, usage=usage(1_000), provider=provider))
    assert unknown.dollars is None
    assert str(unknown) == "n/a"


def test_iterations_are_priced_one_by_one_instead_of_the_top_level() -> None:
    used = usage(
        162,
        output=11,
        server_tool_use={"web_search_requests": 2},
        iterations=[
            {"type": "compaction", **usage(99_195, output=81)},
            {"type": "advisor_message", "model": "claude-fable-5-2", **usage(1_000, 10, 20, 30, output=100)},
            {"type": "message", **usage(162, output=11)},
        ],
    )
    by_hand = [
        Decimal("99195") * 2 + 81 * 10,
        Decimal("1000") * 8 + 10 * 10 + 20 * 16 + 30 * Decimal("0.2") + 100 * 40,
        Decimal("162") * 2 + 11 * 10,
    ]
    assert cost("claude-sonnet-5-5", used) == sum(by_hand) / 1_000_000 + Decimal("0.02")
    assert tokens([call(usage=used)]) == Tokens(input=100_357, cached=30, written=30, output=192)


def test_each_iteration_has_its_own_tier() -> None:
    used = usage(120_000, iterations=[usage(60_000), usage(60_000)])
    assert cost("claude-haiku-5-5", used) == Decimal("0.012")


def test_speed_and_place_of_a_request_hold_for_its_iterations() -> None:
    used = usage(iterations=[usage(1_000_000)], speed="fast", inference_geo="us")
    assert cost("claude-opus-5-5", used) == Decimal("8.8")


def test_an_iteration_of_an_unknown_model_makes_the_cost_unknown() -> None:
    used = usage(iterations=[usage(1_000), {"model": "who-knows", **usage(1)}])
    assert cost("claude-opus-5-5", used) is None


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (None, "5"),
        ({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "5"),
        ({"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": None}, "5"),
        ({"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 400_000}, "6.2"),
        ({"ephemeral_5m_input_tokens": 9_000_000, "ephemeral_1h_input_tokens": 9_000_000}, "8"),
    ],
)
def test_the_total_of_cache_writes_holds_where_the_split_disagrees(
    split: dict[str, int | None] | None, expected: str
) -> None:
    used = {**usage(), "cache_creation_input_tokens": 1_000_000, "cache_creation": split}
    assert cost("claude-opus-5-5", used) == Decimal(expected)
    assert tokens([call(usage=used)]).written == 1_000_000


def test_the_split_stands_in_for_a_total_that_is_missing() -> None:
    used: dict[str, Any] = {"input_tokens": 0, "output_tokens": 0}
    used["cache_creation"] = {"ephemeral_5m_input_tokens": 1_000_000, "ephemeral_1h_input_tokens": 1_000_000}
    assert cost("claude-opus-5-5", used) == Decimal(13)


def test_a_refusal_before_any_output_is_free() -> None:
    used = usage(412_000, output=3)
    assert call_cost(call(usage=used, stop_reason="refusal", answered=False)) == FREE
    assert cost("claude-opus-5-5", used, stop_reason="refusal") == Decimal("1.64806")


def test_an_interrupted_call_is_a_lower_bound() -> None:
    broken_off = call_cost(call(usage=usage(1_000, output=1), stop_reason=None))
    assert broken_off == Cost(Decimal("0.00402"), at_least=True)
    assert str(broken_off) == "≥$0.0040"


def test_a_call_without_usage_is_a_bound_of_zero_if_it_broke_off_and_unknown_if_not() -> None:
    assert call_cost(call(stop_reason=None)) == Cost(Decimal(0), at_least=True)
    assert call_cost(call()) == Cost(None)


NO_COUNTS: list[Any] = [
    {},
    {"input_tokens": None, "output_tokens": None},
    {"output_tokens": 50},
    {"input_tokens": 50},
    {"tokens": 50},
    {"input_tokens": 0, "output_tokens": 0},
    usage(),
    {"input_tokens": "many", "output_tokens": 3},
    {"input_tokens": 3, "output_tokens": -3},
    {"input_tokens": 3, "output_tokens": True},
    {"input_tokens": 3.5, "output_tokens": 3},
    {"input_tokens": [3], "output_tokens": {"n": 3}},
    usage(3, output=3, iterations=7),
    usage(3, output=3, iterations=[7]),
    usage(3, output=3, iterations=[usage(1), {"type": "message"}]),
    usage(3, output=3, iterations="none"),
    usage(3, output=3, server_tool_use=5),
    usage(3, output=3, server_tool_use={"web_search_requests": "two"}),
    {**usage(3, output=3), "cache_creation": 4},
    {**usage(3, output=3), "cache_creation_input_tokens": "some"},
    {**usage(3, output=3), "cache_read_input_tokens": -1},
]


@pytest.mark.parametrize("used", NO_COUNTS, ids=str)
def test_usage_that_is_no_count_has_no_price_and_is_not_nothing(used: Any) -> None:
    whole, broken = call(usage=used), call(usage=used, stop_reason=None)
    assert call_cost(whole) == Cost(None) and cost_by_kind(whole) is None and str(call_cost(whole)) == "n/a"
    assert call_cost(broken).at_least and str(call_cost(broken)) not in ("$0.00", "≥$0.00")
    found = tokens([whole, call(usage=usage(5))])
    assert not found.known and found.shown(found.input) == "n/a" and not tokens([whole]).known
    assert saved_by_caching([whole]) is not None and counts_by_kind([whole])
    turn = Turn(id="t", messages=(), calls=(call(usage=usage(5)), whole))
    assert str(turn_cost(turn)) == "n/a" and str(summary_cost(turn)) in ("$0.00", "n/a")


def test_counts_that_are_there_are_shown() -> None:
    found = tokens([call(usage=usage(1_234)), call(usage=usage(output=0, read=5))])
    assert found.known and found.shown(found.input) == "1,234" and found.shown(0) == "0" and tokens([]).known


def test_a_refusal_or_a_replay_costs_nothing_without_usage_as_well() -> None:
    assert call_cost(call(stop_reason="refusal", answered=False)) == call_cost(call(replayed=True)) == FREE


def test_nulls_and_unknown_fields_of_usage_do_no_harm() -> None:
    used = {"input_tokens": 1_000, "output_tokens": None, "cache_creation": None, "server_tool_use": None}
    used |= {"iterations": None, "output_tokens_details": None, "moon_phase": {"full": True}}
    assert cost("claude-opus-5-5", used) == Decimal("0.004")
    assert tokens([call(usage=used)]) == Tokens(input=1_000)


def test_tokens_are_counted_by_kind_over_calls() -> None:
    used = usage(1, 2, 3, 4, 50, output_tokens_details={"thinking_tokens": 40})
    assert tokens([call(usage=used), call(usage=used), call()]) == Tokens(2, 8, 10, 100, 80)


def test_a_turn_costs_the_sum_of_its_calls() -> None:
    whole, broken_off = call(usage=usage(1_000)), call(usage=usage(2_000), stop_reason=None)
    turn = Turn(id="t", messages=(), calls=(whole, broken_off))
    assert turn_cost(turn) == Cost(Decimal("0.012"), at_least=True)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert total([Cost(Decimal(1)), Cost(None), Cost(Decimal(2), at_least=True)]) == Cost(None, at_least=True)
    assert total([]) == FREE


def test_money_is_exact_whatever_precision_the_notebook_works_with() -> None:
    used = usage(123_456_789, output=987_654_321)
    exact = cost("claude-opus-5-5", used)
    with decimal.localcontext(decimal.Context(prec=3)):
        assert cost("claude-opus-5-5", used) == exact == Decimal("20246.913576")
        assert total([Cost(Decimal("1000")), Cost(Decimal("0.0001"))]).dollars == Decimal("1000.0001")
        assert dollars(Decimal("1234.5")) == "$1,234.50"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0.0123", "$0.0123"),
        ("0.12", "$0.1200"),
        ("0.0005", "$0.00050"),
        ("0.000042", "$0.000042"),
        ("0.0000429", "$0.000043"),
        ("0.99994", "$0.9999"),
        ("0.99996", "$1.00"),
        ("1", "$1.00"),
        ("1.005", "$1.01"),
        ("1234.5", "$1,234.50"),
        ("1E+3", "$1,000.00"),
    ],
)
def test_dollars_show_four_decimals_below_a_dollar_and_two_significant_digits(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text
    assert dollars(Decimal(amount), at_least=True) == f"≥{text}"


def test_unknown_dollars_are_not_available() -> None:
    assert dollars(None) == dollars(None, at_least=True) == "n/a"


def test_importing_pricing_does_not_import_genai_prices() -> None:
    program = "import sys, claude_magic.cost.pricing; print('genai_prices' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"


def recorded_usages() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every usage in the recordings, with its exchange's model."""
    if not CORPUS.is_dir():
        pytest.skip("no recordings at ../shared/corpus")
    for exchange in recordings():
        body = exchange["response"]["body"]
        parts = [body]
        if exchange["response"]["kind"] == "sse":
            parts = [row[5:] for row in body.splitlines() if row.startswith("data:")]
        for part in parts:
            yield from ((exchange["model"] or "", found) for found in usages_in(parsed(part)))


def parsed(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return None


def usages_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("usage"), dict):
            yield value["usage"]
        for part in value.values():
            yield from usages_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from usages_in(part)


@pytest.mark.corpus
def test_every_recorded_usage_has_a_cost_or_is_of_an_unknown_model() -> None:
    unpriced, count = set(), 0
    for model, used in recorded_usages():
        count += 1
        counts = any(count for count in used.values() if isinstance(count, int))  # of some, only the end has any
        if counts and cost(model, {"input_tokens": 0, **used}) is None:  # `message_delta` need not repeat it
            unpriced.add(model)
        assert tokens([call(usage=used)]).output >= 0
    assert count > 200
    assert not {model for model in unpriced if model.startswith(("claude-opus", "claude-sonnet", "claude-fable"))}


@pytest.mark.corpus
def test_recorded_iterations_cost_what_they_cost_by_hand() -> None:
    """A fallback from Fable 5 to Opus 4.8, and a compaction that the top level leaves out."""
    million = Decimal(1_000_000)
    by_hand = {
        408: ("claude-fable-5", (408 * 10 + 412 * 5 + 264 * 25) / million),
        99_195: ("claude-sonnet-4-6", (99_195 * 3 + 81 * 15 + 162 * 3 + 11 * 15) / million),
    }
    seen = set()
    for _, used in recorded_usages():
        first = (used.get("iterations") or [{}])[0].get("input_tokens")
        if first in by_hand and len(used["iterations"]) == 2:
            seen.add(first)
            model, expected = by_hand[first]
            assert cost(model, used) == expected
    assert seen == set(by_hand)
