"""From the content of a reply to the API's message, and from a message to the events of its stream."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from ...models import Model
from ..request.history import Body, absent, canonical
from ..request.signatures import Seal, prefix_of, sign, text_digest
from ..request.tokens import characters, reply_tokens, text_tokens
from .containers import File
from .prompt_cache import Input

Message = dict[str, Any]
Event = dict[str, Any]

# Characters per delta: uneven, as from the API, and the same each time.
_DELTA_CHARACTERS = (4, 9, 3, 12, 6, 7, 11, 5, 8, 10)


@dataclass(frozen=True)
class Draft:
    """The content of a reply: blocks, and a stop reason where it does not follow from them.

    `before` are blocks that come first and do not count as output: a summary, another model's blocks. `files` are those
    that code execution made.
    """

    content: Sequence[dict[str, Any]]
    stop_reason: str | None = None
    stop_details: dict[str, Any] | None = None
    before: Sequence[dict[str, Any]] = ()
    files: tuple[File, ...] = ()


def thinks(body: Body, model: Model) -> bool:
    """Whether the model thinks before it answers this request."""
    config = body.get("thinking")
    return model.thinks if config is None else config["type"] in ("adaptive", "enabled")


def shows_thinking(body: Body, model: Model) -> bool:
    """Whether thinking blocks have their text, or only their signature."""
    display = (body.get("thinking") or {}).get("display")
    return model.shows_thinking if display is None else bool(display == "summarized")


def finish(draft: Draft, body: Body, model: Model, read: Input, number: int) -> Message:
    """The message of a draft: cut at stop sequences, `max_tokens` and the context window, signed, with its usage.

    `number` is the request's number on this server, which makes the message's id unique.
    """
    content, stop_reason, stop_sequence = _stopped(draft, body)
    limit = max(0, min(body["max_tokens"], model.context - read.total))
    content, cut = _truncated(content, limit)
    if cut:
        filled = limit < body["max_tokens"]
        stop_reason, stop_sequence = "model_context_window_exceeded" if filled else "max_tokens", None
    shown = _signed([*draft.before, *content], body, model)
    output, thinking = reply_tokens(shown[len(draft.before) :], model)
    digest = hashlib.sha256(canonical([number, body])).hexdigest()
    return {
        "id": f"msg_offline_{digest[:20]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": shown,
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": draft.stop_details,
        "usage": {
            **read.usage(),
            "output_tokens": min(output, limit),
            "output_tokens_details": {"thinking_tokens": min(thinking, limit)},
            **_served(content, body),
        },
    }


def _served(content: Sequence[dict[str, Any]], body: Body) -> dict[str, Any]:
    """The part of `usage` besides tokens: service tier, region, speed, and the numbers of searches and page reads."""
    served: dict[str, Any] = {"service_tier": "standard", "inference_geo": body.get("inference_geo") or "global"}
    if not absent(body, "speed"):
        served["speed"] = body["speed"]
    kinds = [block["type"] for block in content]
    if "server_tool_use" in kinds or any(kind.endswith("_tool_result") for kind in kinds):
        counted = {f"{tool}_requests": kinds.count(f"{tool}_tool_result") for tool in ("web_search", "web_fetch")}
        served["server_tool_use"] = counted
    return served


def _stopped(draft: Draft, body: Body) -> tuple[list[dict[str, Any]], str, str | None]:
    """The content up to the first stop sequence, the stop reason, and the stop sequence."""
    content: list[dict[str, Any]] = []
    for block in draft.content:
        if block["type"] == "text":
            found = [(at, each) for each in body.get("stop_sequences", []) if (at := block["text"].find(each)) >= 0]
            if found:
                at, sequence = min(found, key=lambda pair: pair[0])
                return [*content, *_text(block, block["text"][:at])], "stop_sequence", sequence
        content.append(block)
    return content, draft.stop_reason or _reason(content), None


def _reason(content: Sequence[dict[str, Any]]) -> str:
    if any(block["type"] == "tool_use" for block in content):
        return "tool_use"
    return "pause_turn" if content and content[-1]["type"] == "server_tool_use" else "end_turn"


def _truncated(content: Sequence[dict[str, Any]], max_tokens: int) -> tuple[list[dict[str, Any]], bool]:
    """The content that fits into `max_tokens`, and whether any was cut.

    The first block that does not fit is shortened if it is text or thinking, else left out; the rest is left out.
    """
    left, kept = max_tokens - 1, list[dict[str, Any]]()
    for block in content:
        name = {"text": "text", "thinking": "thinking"}.get(block["type"])
        if name is None:
            needed = text_tokens(canonical(block).decode())
            if needed > left:
                return kept, True
            kept.append(block)
        else:
            needed = text_tokens(block[name])
            if needed > left:
                text = block[name][: characters(max(0, left))]
                return [*kept, *_text(block, text, name)], True
            kept.append(block)
        left -= needed
    return kept, max_tokens == 0


def _text(block: dict[str, Any], text: str, name: str = "text") -> list[dict[str, Any]]:
    return [{**block, name: text}] if text else []


def _signed(content: Sequence[dict[str, Any]], body: Body, model: Model) -> list[dict[str, Any]]:
    """The content with each thinking block signed: bound to everything before it."""
    prefix = prefix_of(body)
    shown = []
    for block in content:
        if block["type"] == "thinking" and not block.get("signature"):
            text = block["thinking"] if shows_thinking(body, model) else ""
            seal = Seal(model.id, text_digest(text), prefix.digest(), text_tokens(block["thinking"]))
            block = {"type": "thinking", "thinking": text, "signature": sign(seal)}
        prefix.add("assistant", block)
        shown.append(block)
    return shown


def events(message: Message) -> Iterator[Event]:
    """The events of the stream that carries a message, in the API's order."""
    yield {"type": "message_start", "message": _start(message)}
    if not message["content"]:
        yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        opened, deltas = _open(block)
        yield {"type": "content_block_start", "index": index, "content_block": opened}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {name: message[name] for name in _ENDING if name in message},
        "usage": {name: value for name, value in message["usage"].items() if name in _TOTALS},
        **{name: message[name] for name in _AT_THE_END if name in message},
    }
    yield {"type": "message_stop"}


_TOTALS = (
    *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"),
    *("output_tokens_details", "server_tool_use", "iterations"),
)
_AT_THE_END = ("context_management",)
_ENDING = ("stop_reason", "stop_sequence", "stop_details", "container")


def _start(message: Message) -> Message:
    """The message of `message_start`, without content.

    Its `output_tokens` are a placeholder, as from the API. With several iterations, its model and its other tokens are
    those of the first, as in recorded streams.
    """
    kept = {name: value for name, value in message.items() if name not in (*_AT_THE_END, "container")}
    whole = message["usage"]
    usage = {name: value for name, value in whole.items() if name not in _TOTALS[4:]}
    first = (whole.get("iterations") or [whole])[0]
    usage |= {name: first[name] for name in (*_TOTALS[:3], "cache_creation")}
    usage["output_tokens"] = min(4, first["output_tokens"])
    empty: Message = {"content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    return {**kept, **empty, "model": first.get("model", message["model"]), "usage": usage}


_SUMMARY = ("content", "encrypted_content")


def _open(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A block as `content_block_start` has it, and the deltas that complete it."""
    match block["type"]:
        case "text":
            citations = [{"type": "citations_delta", "citation": each} for each in block.get("citations") or []]
            opened = {**block, "text": "", **({"citations": []} if citations else {})}
            return opened, [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])] + citations
        case "thinking":
            shown = list(pieces(block["thinking"])) or [""]
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in shown]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "thinking", "thinking": "", "signature": ""}, deltas
        case "compaction":
            fields: dict[str, Any] = {name: block[name] for name in _SUMMARY if name in block}
            compacted: list[dict[str, Any]] = [{"type": "compaction_delta", **fields}]
            if "signature" in block:
                compacted.append({"type": "signature_delta", "signature": block["signature"]})
            return {"type": "compaction", **dict.fromkeys(fields)}, compacted
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            written = json.dumps(block["input"], ensure_ascii=False)
            parts = ["", *pieces(written)] if block["input"] else [""]
            return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": part} for part in parts]
        case _:
            return block, []


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of 3 to 12 characters."""
    at, lengths = 0, cycle(_DELTA_CHARACTERS)
    while at < len(text):
        length = next(lengths)
        yield text[at : at + length]
        at += length
