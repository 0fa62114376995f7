"""Token counts of a request before it is sent, in total or by part, and their cost as input."""

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
    """Tokens by part, in order, and their cost as uncached input.

    `exact` says whether the API counted them; else they are estimated from the length.
    """

    parts: Mapping[str, int]
    cost: Cost
    exact: bool

    @property
    def total(self) -> int:
        """All tokens."""
        return sum(self.parts.values())


def total(client: Client, request: Request, settings: Settings) -> int:
    """The tokens of a request, counted by the API. Raises `ClaudeError`."""
    return client.count_tokens(request.params, _with_betas(settings, request))


def estimate(client: Client, request: Request, settings: Settings) -> Counted:
    """The tokens of a request: counted by the API, or estimated from the length if that fails."""
    try:
        counted, exact = total(client, request, settings), True
    except ClaudeError:
        counted, exact = _by_length(request.params), False
    return Counted({"all": counted}, _cost(request, counted, client.provider(settings)), exact)


def count(
    client: Client, request: Request, content: Sequence[Block], settings: Settings, pins: Sequence[Block] = ()
) -> Counted:
    """The tokens of a request by part: system, tools, pins, history, prompt, attachments.

    `content` is the prompt with its attachments. Raises `ClaudeError` if the API cannot count.
    """
    model, settings = request.params["model"], _with_betas(settings, request)

    def tokens(messages: Sequence[Message], **others: Any) -> int:
        return client.count_tokens({"model": model, "messages": list(messages), **others}, settings)

    whole = client.count_tokens(request.params, settings)
    of_system, of_tools = (
        tokens([_NOTHING], **part) - tokens([_NOTHING]) if part else 0
        for part in (_only(request, "system"), _only(request, "tools", "mcp_servers"))
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
    return Counted(parts, _cost(request, whole, client.provider(settings)), True)


def _with_betas(settings: Settings, request: Request) -> Settings:
    """The settings with the beta headers that the request needs."""
    return replace(settings, betas=(*settings.betas, *request.betas))


def _only(request: Request, *names: str) -> dict[str, Any]:
    return {name: request.params[name] for name in names if name in request.params}


def _cost(request: Request, tokens: int, provider: str) -> Cost:
    usage = {"input_tokens": tokens, "output_tokens": 0, "speed": request.params.get("speed")}
    return pricing.call_cost(Call(request.params["model"], usage, stop_reason="end_turn", provider=provider))


def _by_length(params: Mapping[str, Any]) -> int:
    """A rough count: text by its length, each image at the maximum."""
    images, characters = 0, sum(len(json.dumps(params.get(name) or "")) for name in ("system", "tools"))
    sent = [block for message in params["messages"] for block in message["content"]]
    inside = [block["content"] if isinstance(block.get("content"), list) else [block] for block in sent]
    for block in (block for each in inside for block in each):  # images in tool results count as images
        if block["type"] == "image":
            images += 1
        else:
            characters += len(json.dumps(block, ensure_ascii=False))
    return round(characters / CHARACTERS_PER_TOKEN) + images * IMAGE_TOKENS
