"""Turns as a session makes them, for tests of how they are kept."""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import Sequence
from typing import Any

from claude_magic.conversation import record
from claude_magic.conversation.accumulator import Accumulator, call_of, concluded
from claude_magic.conversation.turns import Block, Call, Conversation, Turn
from claude_magic.cost import ledger, pricing
from claude_magic.options import Options
from claude_magic.render import cost_report, history
from claude_magic.render.answer import answer_outputs
from claude_magic.render.reply import reply_value
from claude_magic.render.turn import header_output, sent_outputs
from claude_magic.request import build
from support.recordings import finished_streams

ASKED_AT = 1_763_800_000.0
USAGE = {
    "input_tokens": 12,
    "output_tokens": 34,
    "cache_read_input_tokens": 5,
    "cache_creation_input_tokens": 6,
    "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4},
    "output_tokens_details": {"thinking_tokens": 7},
    "server_tool_use": {"web_search_requests": 1},
    "service_tier": "standard",
    "iterations": [{"type": "message", "model": "claude-opus-5-5", "input_tokens": 12, "output_tokens": 34}],
    "fresh_count": {"of": [1, 2]},
}

SHOWN_USAGE = {
    "input_tokens": 1200,
    "cache_read_input_tokens": 5000,
    "cache_creation_input_tokens": 300,
    "output_tokens": 450,
    "output_tokens_details": {"thinking_tokens": 120},
}


def text(words: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": words}


@functools.cache
def _png(seed: int) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (40 + seed, 30), (seed, 100, 200)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def image(seed: int = 0) -> dict[str, Any]:
    """An image block, another one for each seed."""
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _png(seed)}}


def turn_of(
    id: str, cell_id: str | None = None, prompt: Sequence[Block] = (), reply: Sequence[Block] = (), **fields: Any
) -> Turn:
    """A turn with one call; `created` is a moment of its own for each number in the id."""
    asked = list(prompt) or [text(f"question {id}")]
    answered = list(reply) or [text(f"answer {id}")]
    messages = ({"role": "user", "content": asked}, {"role": "assistant", "content": answered})
    call = Call("claude-opus-5-5", dict(USAGE), stop_reason="end_turn", started=ASKED_AT, seconds=1.5)
    number = int("".join(each for each in id if each.isdigit()) or 0)
    return Turn(
        **{"id": id, "cell_id": cell_id, "messages": messages, "calls": (call,), "created": ASKED_AT + number} | fields
    )


def turn(*content: Any, **changes: Any) -> Turn:
    """A turn whose reply has this content; fields of its call may be given beside its own."""
    call = {
        "model": "claude-opus-5-5",
        "usage": SHOWN_USAGE,
        "stop_reason": "end_turn",
        "started": 1.79e9,
        "seconds": 3.21,
    }
    for name in [name for name in changes if name in Call.__dataclass_fields__]:
        call[name] = changes.pop(name)
    messages = (
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": list(content)},
    )
    return Turn("id", messages, (Call(**call),), **changes)


def call(number: int, name: str = "add", **given: Any) -> dict[str, Any]:
    """A call of a tool."""
    return {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given}


def rich_turn() -> Turn:
    """A turn with a bit of everything: an image, thinking, tools, citations, kinds and fields that nobody knows."""
    reply = [
        {"type": "thinking", "thinking": "Let me see.", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "Z3VhcmRlZA=="},
        {**text("Found: x"), "citations": [{"type": "char_location", "cited_text": "x", "document_title": "a"}]},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "found", "n": 1.5}]},
        {"type": "hologram", "shape": {"faces": [1, 2, {"type": "image", "source": {"type": "base64"}}]}, "text": 5},
        {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": [1, None, "x"]}, "caller": {}},
    ]
    return turn_of(
        "rich1",
        "cell-a",
        [text("What is\u2028this? \U0001f600\n\t\x01"), image()],
        reply,
        prefix="abc",
        params={"model": "claude-opus-5-5", "max_tokens": 16000, "system": "Be brief.", "cache_control": {}},
        execution_count=3,
        notes=("1 earlier turn",),
        partial=({"type": "tool_use", "id": "toolu_2", "name": "look", "partial_json": '{"a'},),
    )


@functools.cache
def from_the_corpus() -> tuple[Turn, ...]:
    """A turn for each recorded reply that came to its end."""
    turns = []
    for number, case in enumerate(finished_streams()):
        growing = Accumulator()
        for line in case["response"]["body"].splitlines():
            if line.startswith("data: {"):
                growing.add(json.loads(line.removeprefix("data: ")))
        reply = growing.reply()
        prompt = ({"role": "user", "content": [text(case["id"])]},)
        draft = Turn(f"corpus{number}", prompt, (), cell_id=f"cell-{number}", created=ASKED_AT + number)
        turns.append(concluded(draft, reply, call_of(reply, model="claude-opus-5-5", started=ASKED_AT)))
    return tuple(turns)


def plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples."""
    return json.loads(json.dumps(value, default=vars))


def digested(turn: Turn) -> str:
    """Do with a turn what a session and a page do with one. Returns the HTML that is shown of it."""
    conversation = Conversation((turn,))
    build.build(conversation, [text("and now?")], Options())
    sent_outputs(turn.prompt)
    answer_outputs(turn)
    reply_value(turn)
    assert str(pricing.turn_cost(turn)) and str(pricing.recorded_cost(turn))
    json.dumps(record.metadata(turn))
    spent = cost_report.session_table(ledger.entries([turn], [turn]))
    shown = (header_output(turn)[0], history.history_table("main", conversation), spent)
    return "".join(bundle["text/html"] for bundle in shown)
