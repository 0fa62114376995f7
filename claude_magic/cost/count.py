"""Tokens of a question before it is sent, part by part, and their cost as input."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..client import Client, Settings
from ..content.token_estimate import CHARACTERS_PER_TOKEN, IMAGE_TOKENS
from ..conversation.turns import Block, Call, Message
from ..errors import ClaudeError
from ..request.build import Request
from . import pricing
from .pricing import Cost

_NOTHING: Message = {"role": "user", "content": [{"type": "text", "text": "."}]}


@dataclass(frozen=True)
class Counted:
    """Tokens by part, in order, and what they would cost as input that nothing of is cached.

    `exact` says whether the API counted, or the length was measured here.
    """

    parts: Mapping[str, int]
    cost: Cost
    exact: bool

    @property
    def total(self) -> int:
        """All tokens."""
        return sum(self.parts.values())


def total(client: Client, asked: Request, settings: Settings) -> int:
    """What a request holds in all, counted by the API. Raises what that raises."""
    return client.count_tokens(asked.params, _with_betas(settings, asked))


def estimate(client: Client, asked: Request, settings: Settings) -> Counted:
    """What a request holds in all: counted by the API, or by length where that fails."""
    try:
        counted, exact = total(client, asked, settings), True
    except ClaudeError:
        counted, exact = _by_length(asked.params), False
    return Counted({"all": counted}, _cost(asked, counted, client.provider(settings)), exact)


def count(
    client: Client, asked: Request, content: Sequence[Block], settings: Settings, pins: Sequence[Block] = ()
) -> Counted:
    """What a request holds by part: system, tools, pins, history, prompt, attachments.

    Raises what the API's count raises.
    """
    model, settings = asked.params["model"], _with_betas(settings, asked)

    def tokens(messages: Sequence[Message], **others: Any) -> int:
        return client.count_tokens({"model": model, "messages": list(messages), **others}, settings)

    whole = client.count_tokens(asked.params, settings)
    of_system, of_tools = (
        tokens([_NOTHING], **part) - tokens([_NOTHING]) if part else 0
        for part in (_only(asked, "system"), _only(asked, "tools", "mcp_servers"))
    )
    of_pins = tokens([{"role": "user", "content": list(pins)}]) if pins else 0
    text = [block for block in content if block["type"] == "text"]
    prompt = tokens([{"role": "user", "content": list(content)}])
    of_text = prompt if len(text) == len(content) else tokens([{"role": "user", "content": text}]) if text else 0
    parts = {
        "system": of_system,
        "tools": of_tools,
        "pins": of_pins,
        "history": max(0, whole - of_system - of_tools - of_pins - prompt),
        "prompt": of_text,
        "attachments": prompt - of_text,
    }
    return Counted(parts, _cost(asked, whole, client.provider(settings)), True)


def _with_betas(settings: Settings, asked: Request) -> Settings:
    """The settings with the headers that the request's parameters need, to be counted too."""
    return replace(settings, betas=(*settings.betas, *asked.betas))


def _only(asked: Request, *names: str) -> dict[str, Any]:
    return {name: asked.params[name] for name in names if name in asked.params}


def _cost(asked: Request, tokens: int, provider: str) -> Cost:
    usage = {"input_tokens": tokens, "output_tokens": 0, "speed": asked.params.get("speed")}
    return pricing.call_cost(Call(asked.params["model"], usage, stop_reason="end_turn", provider=provider))


def _by_length(params: Mapping[str, Any]) -> int:
    """A rough count: text by its length, each image at its most."""
    images, characters = 0, sum(len(json.dumps(params.get(name) or "")) for name in ("system", "tools"))
    sent = [block for message in params["messages"] for block in message["content"]]
    inside = [block["content"] if isinstance(block.get("content"), list) else [block] for block in sent]
    for block in (block for each in inside for block in each):  # a picture in a tool's result is a picture
        if block["type"] == "image":
            images += 1
        else:
            characters += len(json.dumps(block, ensure_ascii=False))
    return round(characters / CHARACTERS_PER_TOKEN) + images * IMAGE_TOKENS
