"""Cache breakpoints of the reader's own blocks beside ours: four at most, and in the order that the API wants."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from claude_magic.conversation.turns import Conversation, Pin
from claude_magic.offline import Server
from claude_magic.options import Options
from claude_magic.request.breakpoints import MAX_BREAKPOINTS
from claude_magic.request.build import build
from support.offline_requests import connect, text
from support.turns import turn_of


def marked(ttl: str | None) -> dict[str, Any]:
    mark = {"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {}
    return text(f"kept for {ttl}", **mark)


def marks(params: dict[str, Any]) -> list[str]:
    content = [block for message in params["messages"] for block in message["content"]]
    own = [block["cache_control"]["ttl"] for block in content if "cache_control" in block]
    return own + ([params["cache_control"].get("ttl", "5m")] if params.get("cache_control") else [])


@pytest.mark.parametrize("cache", ["5m", "1h", "off"])
@pytest.mark.parametrize("ttls", [*itertools.product((None, "5m", "1h"), repeat=3), ("5m",) * 7, ("5m",) * 6 + ("1h",)])
def test_whatever_the_blocks_bring_along_the_api_takes_it(
    standin: Server, ttls: tuple[str | None, ...], cache: str
) -> None:
    half = len(ttls) // 2
    history = Conversation((turn_of("t1", prompt=[*map(marked, ttls[:half]), text("?")]),))
    pins = [Pin("short", (text("a"),), "5m"), Pin("long", (text("b"),), "1h")]
    params = build(history, [*map(marked, ttls[half:]), text("?")], Options(cache=cache, max_tokens=4096), pins).params
    found = marks(params)
    assert len(found) <= MAX_BREAKPOINTS and found == sorted(found)  # "1h" < "5m"
    wanted = [ttl for ttl in ttls if ttl]
    assert len(found) >= min(MAX_BREAKPOINTS, len(wanted) + (cache != "off"))
    assert connect(standin).messages.create(**{**params, "stream": False}).content


def test_a_breakpoint_that_moves_is_no_change_of_history() -> None:
    plain = build(Conversation(), [marked(None)], Options()).prefix
    block = {**marked(None), "cache_control": {"type": "ephemeral"}}
    assert build(Conversation(), [block], Options()).prefix == plain
