"""Check of a request against its model's context window, before it is sent.

The API counts tokens exactly, but by a request of its own. So an upper bound is computed here first, which lets nearly
all conversations pass.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from .. import models
from ..client import Client, Settings
from ..content.text import byte_length
from ..conversation.turns import Block, Conversation, blocks
from ..errors import ClaudeError, RequestTooLargeError, UsageError
from ..request.build import Request, messages_to_send
from . import count, pricing

# The most tokens that an image can have (CLAUDE_API.md §3).
MAX_IMAGE_TOKENS = 4_784
# What the API adds to the prompt for a tool, and for all tools of an MCP server: generous guesses.
MAX_TOOL_TOKENS = 5_000
MAX_SERVER_TOKENS = 50_000
# A PDF page is sent to the model as text and as an image: it can have more tokens than its file has bytes.
TOKENS_PER_PDF_CHARACTER = 3
# Kinds of sources that only name their content, so that its length is not known here.
_POINTERS = ("url", "file")


def check(client: Client, request: Request, history: Conversation, settings: Settings) -> None:
    """Raise `UsageError` if a request is longer than the model's context window.

    Nothing is checked if the model is unknown, if the API cannot count, or if the request has `context_management`,
    with which the API shortens the conversation itself.
    """
    model = models.lookup(str(request.params["model"]))
    if model is None or "context_management" in request.params:
        return
    if most_tokens(request.params) <= model.context or _expected(request, history) <= model.context:
        return
    tokens = _counted(client, request, settings)
    if tokens > model.context:
        raise UsageError(
            f"The question has {tokens:,} tokens with all that goes along, and {model.id} reads {model.context:,} at "
            "most. Nothing was sent.",
            advice=_advice(tokens, model, bool(len(history))),
        )


def most_tokens(params: Mapping[str, Any]) -> float:
    """An upper bound of a request's tokens, since no token is shorter than a byte; infinite if a document is only named
    (by URL or file id)."""
    most = _bytes([params.get("system"), params.get("tools")])
    most += MAX_TOOL_TOKENS * len(params.get("tools") or ()) + MAX_SERVER_TOKENS * len(params.get("mcp_servers") or ())
    return most + sum(_most(block) for message in params["messages"] for block in blocks(message))


def _most(block: Block) -> float:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, Mapping) else None
    if block["type"] == "image":
        return MAX_IMAGE_TOKENS
    if block["type"] == "document" and kind in _POINTERS:
        return float("inf")
    if block["type"] == "document" and kind == "base64":
        return _bytes(block) * TOKENS_PER_PDF_CHARACTER
    inner = block.get("content")
    if block["type"] == "tool_result" and isinstance(inner, list):
        return _bytes(block.get("tool_use_id")) + sum(_most(each) for each in inner)
    return _bytes(block)


def _bytes(value: Any) -> int:
    return byte_length(json.dumps(value, ensure_ascii=False))


def _expected(request: Request, history: Conversation) -> float:
    """An upper bound by the last reply: its usage, plus an upper bound for the new prompt; infinite if not known."""
    last = next((turn for turn in reversed(history.turns) if messages_to_send(turn)), None)
    if last is None or not last.calls or last.calls[-1].model != request.params["model"]:
        return float("inf")
    call = last.calls[-1]
    before = pricing.tokens([call])
    if call.stop_reason is None or not before.all_input:
        return float("inf")
    return before.all_input + before.output + sum(map(_most, _prompt(request)))


def _prompt(request: Request) -> Iterable[Block]:
    return blocks(request.params["messages"][-1])


def _counted(client: Client, request: Request, settings: Settings) -> int:
    """The API's count; if it refuses the request as too long, the number in its message; 0 if it cannot count."""
    try:
        return count.total(client, request, settings)
    except RequestTooLargeError as error:
        found = re.search(r"(\d[\d,]*) tokens", error.message)
        return int(found.group(1).replace(",", "")) if found else 0
    except ClaudeError:
        return 0


def _advice(tokens: int, model: models.Model, has_history: bool) -> str:
    wider = [each for each in models.MODELS if each.context >= tokens and not each.retires]
    near = next((each for each in wider if each.line == model.line), wider[0] if wider else None)
    ways = [f"--model {near.id} reads {near.context:,}"] if near else []
    if has_history:
        ways.append("%claude_compact has the turns above summarised (--compact auto does so in time)")
        ways.append("%claude_reset starts over, --once asks without the conversation")
    else:
        ways.append("a shorter prompt, or fewer pins, fits")
    return f"{'; '.join(ways)}."
