"""One row's answer: its text or its error, and the calls that it took; as data in a file, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..conversation.accumulator import Reply, whole_text
from ..conversation.turns import Call, text_of
from ..errors import ClaudeError

_CALL_FIELDS = frozenset(field.name for field in dataclasses.fields(Call))
# Why a reply is not the whole answer, where the API says that it stopped.
_UNFINISHED = {
    "max_tokens": "cut off at max_tokens: --max-tokens allows more",
    "model_context_window_exceeded": "cut off: the context window is full",
    "tool_use": "stopped to wait for a tool",
    "pause_turn": "paused before its end",
}


@dataclass(frozen=True)
class RowAnswer:
    """What became of one exact request, known by its key.

    `text` is what Claude said, if anything; `error` why that is no answer, or not a whole one (empty: it is).
    `settled` says that asking the same again would bring the same: it is kept, and not asked again. `value` is what a
    `--schema` makes of the text.
    """

    key: str
    text: str | None = None
    error: str = ""
    calls: tuple[Call, ...] = ()
    settled: bool = False
    value: Any = None


def answer_of(key: str, reply: Reply, *calls: Call) -> RowAnswer:
    """The answer that a whole reply makes; the last call is its own."""
    text = whole_text(text_of(reply.content)) if reply.content else None
    return RowAnswer(key, text, _why_unfinished(reply), calls, settled=True)


def failed_answer(key: str, failure: ClaudeError, *calls: Call) -> RowAnswer:
    """A row that got no answer: it can be asked again."""
    request = f" (request {failure.request_id})" if failure.request_id else ""
    return RowAnswer(key, None, f"{failure.message}{request}", calls)


def _why_unfinished(reply: Reply) -> str:
    if reply.stop_reason == "refusal":
        details = reply.message.get("stop_details")
        category = details.get("category") if isinstance(details, Mapping) else None
        return f"refused ({category})" if isinstance(category, str) and category else "refused"
    if not reply.content and reply.stop_reason not in _UNFINISHED:
        return "the reply is empty"
    return _UNFINISHED.get(reply.stop_reason or "", "")


def as_data(answer: RowAnswer) -> dict[str, Any]:
    """An answer as plain JSON data."""
    return {"text": answer.text, "error": answer.error, "calls": [vars(call) for call in answer.calls]}


def from_data(key: str, data: Any) -> RowAnswer | None:
    """An answer that a file holds; `None` where it is damaged."""
    try:
        calls = tuple(Call(**{name: each[name] for name in each if name in _CALL_FIELDS}) for each in data["calls"])
        text, error = data["text"], data["error"]
    except (TypeError, KeyError, ValueError):
        return None
    if not isinstance(text, str | None) or not isinstance(error, str):
        return None
    return RowAnswer(key, text, error, calls, settled=True)
