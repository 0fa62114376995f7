"""The offline stand-in: tokens, the prompt cache and the usage that tells of them."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from claude_magic import offline
from support.offline_requests import (
    LONG,
    MARK,
    MODEL,
    SHOWN,
    WEATHER,
    ask,
    assistant,
    connect,
    image,
    text,
    usage,
    user,
)


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def test_a_count_is_what_the_message_is_billed(client: anthropic.Anthropic) -> None:
    body: dict[str, Any] = {"model": MODEL, "messages": [user([image(280, 280), text("hi")])], "system": "be kind"}
    counted = client.messages.count_tokens(**body).input_tokens
    assert usage(client.messages.create(max_tokens=500, **body).to_dict()) == (counted, 0, 0)
    assert counted > 100


@pytest.mark.parametrize(
    ("model", "size", "tokens"),
    [(MODEL, (1000, 1000), 36 * 36), (MODEL, (8000, 8000), 4784), ("claude-opus-4-6", (1600, 1600), 1568)],
)
def test_images_cost_what_the_documentation_says(
    client: anthropic.Anthropic, model: str, size: tuple[int, int], tokens: int
) -> None:
    def count(content: Any) -> int:
        return client.messages.count_tokens(model=model, messages=[user(content)]).input_tokens

    assert count([image(*size), text("x")]) - count("x") == tokens


def test_the_cache_is_written_then_read_then_grows(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"cache_control": MARK, "system": LONG}
    first = ask(client, "one", **parameters)
    fresh, written, read = usage(first)
    assert (fresh, read) == (0, 0) and written > 1000
    history = [user("one"), assistant(first["content"]), user("two")]
    fresh, grown, read = usage(ask(client, *history, **parameters))
    assert (fresh, read) == (0, written) and 0 < grown < 200


def test_below_the_models_minimum_nothing_is_cached(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"cache_control": MARK, "system": LONG, "model": "claude-haiku-4-5"}
    assert [usage(ask(client, "one", **parameters))[1:] for _ in range(2)] == [(0, 0), (0, 0)]


def test_a_cache_entry_lives_five_minutes_or_an_hour_from_its_last_use(
    standin: offline.Server, client: anthropic.Anthropic
) -> None:
    now = 0.0
    standin.clock = lambda: now
    for ttl, seconds in (("5m", 300), ("1h", 3600)):
        parameters: dict[str, Any] = {"cache_control": {**MARK, "ttl": ttl}, "system": ttl + LONG}
        split = ask(client, "one", **parameters)["usage"]["cache_creation"]
        assert split[f"ephemeral_{ttl}_input_tokens"] > 1000 and sorted(split.values())[0] == 0
        now += seconds - 1
        assert usage(ask(client, "one", **parameters))[2] > 1000
        now += seconds - 1
        assert usage(ask(client, "one", **parameters))[2] > 1000
        now += seconds
        assert usage(ask(client, "one", **parameters))[2] == 0


def test_a_change_empties_the_cache_from_there_on(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"system": [text(LONG, cache_control=MARK)], "cache_control": MARK, "tools": [WEATHER]}
    ask(client, [text(LONG), text("one")], **parameters)

    def read(opening: str = LONG, **changes: Any) -> int:
        return usage(ask(client, [text(opening), text("one")], **{**parameters, **changes}))[2]

    everything = read()
    assert 0 < read("another " + LONG) < everything
    assert 0 < read(output_config={"effort": "low"}) < everything  # tools and system prompt stay
    assert read(system=[text(LONG + "!", cache_control=MARK)]) == 0
    assert read(tools=[{**WEATHER, "description": "!"}]) == 0
    assert read(model="claude-opus-5") == 0


def test_another_key_reads_nothing(standin: offline.Server) -> None:
    for key in ("one", "two"):
        assert usage(ask(connect(standin, key), "hi", system=LONG, cache_control=MARK))[2] == 0


def test_the_cache_looks_back_twenty_blocks(client: anthropic.Anthropic) -> None:
    def read(count: int) -> int:
        content = [text(f"block {n}") for n in range(count)]
        return usage(ask(client, [text(LONG), *content], cache_control=MARK))[2]

    read(0)
    assert read(20) == 0
    assert read(19) > 0


def test_thinking_tokens_are_counted_shown_or_not(client: anthropic.Anthropic) -> None:
    hidden, shown = (ask(client, "hi", thinking={**SHOWN, "display": d})["usage"] for d in ("omitted", "summarized"))
    assert hidden == shown
    assert 0 < hidden["output_tokens_details"]["thinking_tokens"] < hidden["output_tokens"]
    assert (hidden["service_tier"], hidden["inference_geo"]) == ("standard", "global")
