"""Answers of rows: text or error, with the API calls; as JSON data, checked against `--schema`, and in sums."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..content.text import whole_text
from ..conversation.accumulator import Reply
from ..conversation.turns import Call, Turn, text_of
from ..cost import pricing
from ..cost.pricing import FREE, Cost, Tokens
from ..errors import ClaudeError, SchemaError
from ..tools import structured_output
from ..tools.structured_output import Shape

_CALL_FIELDS = frozenset(field.name for field in dataclasses.fields(Call))
# Stop reasons that leave an answer unfinished, with the error text for the row.
_UNFINISHED = {
    "max_tokens": "cut off at max_tokens: --max-tokens allows more",
    "model_context_window_exceeded": "cut off: the context window is full",
    "tool_use": "stopped to wait for a tool",
    "pause_turn": "paused before its end",
}


@dataclass(frozen=True)
class RowAnswer:
    """The outcome of one exact request, which `key` identifies.

    `text` is the reply, if any; `error` says why it is missing or incomplete (empty if it is complete). `settled` is
    true if the same request need not be sent again: such an answer goes into the store. `value` is the text parsed by
    `--schema`.
    """

    key: str
    text: str | None = None
    error: str = ""
    calls: tuple[Call, ...] = ()
    settled: bool = False
    value: Any = None


def answer_of(key: str, reply: Reply, *calls: Call) -> RowAnswer:
    """The answer of a complete reply. `calls` are its API calls; the last one brought the reply."""
    text = whole_text(text_of(reply.content)) if reply.content else None
    return RowAnswer(key, text, _why_unfinished(reply), calls, settled=True)


def failed_answer(key: str, failure: ClaudeError, *calls: Call) -> RowAnswer:
    """The outcome of a failed request, which can be sent again."""
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
    """An answer from the store's JSON data; `None` if the data is damaged."""
    try:
        calls = tuple(Call(**{name: each[name] for name in each if name in _CALL_FIELDS}) for each in data["calls"])
        text, error = data["text"], data["error"]
    except (TypeError, KeyError, ValueError):
        return None
    if not isinstance(text, str | None) or not isinstance(error, str):
        return None
    return RowAnswer(key, text, error, calls, settled=True)


def checked_answer(shape: Shape, answer: RowAnswer) -> RowAnswer:
    """The answer with its `value` as plain JSON data, or with an `error` if it does not match the schema."""
    if answer.error or answer.text is None or not answer.calls:
        return answer
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer.text}]}
    turn = Turn(answer.key, ({"role": "user", "content": []}, reply), answer.calls[-1:])
    try:
        structured_output.read(shape, turn)
    except SchemaError as error:
        return replace(answer, error=error.message)
    value = json.loads(structured_output.bare_json(answer.text))
    return replace(answer, value=value[shape.holder] if shape.holder else value)


def schema_fields(shape: Shape | None) -> Sequence[str]:
    """The names of the columns that a reply becomes: the fields of an object, else `reply`."""
    properties = () if shape is None or shape.holder else tuple(shape.schema.get("properties", ()))
    return properties or ("reply",)


def field_of(shape: Shape | None, answer: RowAnswer, name: str) -> Any:
    """An answer's value for one column; `None` if it has none."""
    if shape is None:
        return answer.text
    return answer.value.get(name) if name != "reply" and isinstance(answer.value, dict) else answer.value


class Tally:
    """Running totals of a map. `done` counts requests with an answer or an error; `calls` are the billed API calls."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.cost: Cost = FREE
        self.tokens = Tokens()
        self.calls: list[Call] = []

    def add(self, answers: Iterable[RowAnswer]) -> None:
        """Add answers to the totals."""
        for answer in answers:
            self.done += 1
            self.failed += bool(answer.error)
            self.cost += pricing.total(map(pricing.call_cost, answer.calls))
            self.tokens += pricing.tokens(answer.calls)
            self.calls += answer.calls
