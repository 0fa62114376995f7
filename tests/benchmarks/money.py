"""What caching saves: a conversation over a pinned document, at real prices, with the stand-in's cache and without."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from benchmarks import sample
from benchmarks.table import Row
from benchmarks.wire import KEY
from claude_magic import offline
from claude_magic.content.token_estimate import CHARACTERS_PER_TOKEN
from claude_magic.conversation.turns import Call, Conversation, Pin, Turn
from claude_magic.cost import pricing
from claude_magic.options import Options
from claude_magic.request import build

TURNS = 50
DOCUMENT_TOKENS = 30_000

REPLY_CHARACTERS = 700
MAX_RATIO = 0.12
# The default model, which the limit is for; and one whose cache reads cost a tenth of its input, not a twentieth.
MODELS = {"claude-opus-5-5": MAX_RATIO, "claude-haiku-4-5": None}


def rows() -> Iterator[Row]:
    """The cost of the conversation on each model, beside that of the same one without caching."""
    for model, limit in MODELS.items():
        cached, uncached = (float(conversation_cost(model, caching=caching)) for caching in (True, False))
        what = f"{TURNS} turns over a pinned {DOCUMENT_TOKENS:,}-token document, {model}"
        yield Row(what, cached, "$", uncached, "without caching", max_ratio=limit)


def conversation_cost(model: str, *, caching: bool, turns: int = TURNS) -> Decimal:
    """What so many turns cost on a model, in USD, on a stand-in with an empty cache."""
    document = sample.text(int(DOCUMENT_TOKENS * CHARACTERS_PER_TOKEN))
    pin = Pin("manual", ({"type": "text", "text": document},))
    history, costs = Conversation(), []
    with offline.start() as server:
        server.script = lambda _body: [{"type": "text", "text": sample.text(REPLY_CHARACTERS)}]
        for number in range(turns):
            prompt = [{"type": "text", "text": f"What does section {number + 1} say about errors?"}]
            asked = build.build(history, prompt, Options(model=model), [pin])
            reply = _reply(server.url, asked.params if caching else uncached(asked.params))
            call = Call(model, reply["usage"], stop_reason=reply["stop_reason"])
            costs.append(pricing.call_cost(call))
            messages = ({"role": "user", "content": prompt}, {"role": "assistant", "content": reply["content"]})
            turn = Turn(str(number), messages, (call,), cell_id=str(number), prefix=asked.prefix)
            history = Conversation((*history, turn))
    spent = pricing.total(costs).dollars
    assert spent is not None
    return spent


def uncached(params: Mapping[str, Any]) -> dict[str, Any]:
    """The same request with no breakpoint in it."""
    kept = {name: _unmarked(value) for name, value in params.items()}
    kept.pop("cache_control", None)
    return kept


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    if isinstance(value, dict):
        return {name: _unmarked(each) for name, each in value.items() if name != "cache_control"}
    return value


def _reply(url: str, params: Mapping[str, Any]) -> Any:
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {KEY}",
        "anthropic-version": "2026-10-21",
    }
    body = json.dumps({**params, "stream": False}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/messages", body, headers)) as response:
        return json.load(response)
