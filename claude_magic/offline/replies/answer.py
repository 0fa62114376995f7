"""From a request that the rules let through to the message that the API would answer with.

Context editing, then compaction, then the reply itself, by a fallback where the model refuses; each
attempt is an iteration in the usage, as CLAUDE_API.md §6 has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...models import Model
from ..request.history import absent
from ..request.tokens import request_tokens, text_tokens
from ..rules import compaction, context_editing, fallback
from ..rules.parameters import known_model
from . import compose, summary
from .containers import Containers
from .message import Draft, Message, finish, thinks
from .prompt_cache import Cache, Fingerprints, Input

Script = Callable[[dict[str, Any]], "list[dict[str, Any]] | Draft | None"]
Iteration = dict[str, Any]

# Tools whose use takes a container.
PROGRAMS = ("code_execution", "bash_code_execution", "text_editor_code_execution")
_TOKENS = (
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"),
)


@dataclass(frozen=True)
class Asked:
    """A request: its body, the model's row, the caller's key, and its number on this server."""

    body: dict[str, Any]
    model: Model
    key: str
    number: int


class Memory:
    """What a server remembers from one request to the next. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.cache = Cache(clock)
        self.fingerprints = Fingerprints()
        self.containers = Containers(clock)


def count(body: dict[str, Any], model: Model) -> dict[str, Any]:
    """The answer of `count_tokens`: after context editing, where the request asks for it."""
    edited, _ = context_editing.apply(body, model)
    counted: dict[str, Any] = {"input_tokens": request_tokens(edited, model)}
    if not absent(body, "context_management"):
        counted["context_management"] = {"original_input_tokens": request_tokens(body, model)}
    return counted


def answer(asked: Asked, memory: Memory, script: Script | None) -> Message:
    """The whole message."""
    message = _message(asked, memory, script)
    if not absent(asked.body, "diagnostics"):
        message["diagnostics"] = memory.fingerprints.diagnose(asked.body, message, asked.key)
    return message


def _message(asked: Asked, memory: Memory, script: Script | None) -> Message:
    body = asked.body
    if not absent(body, "compaction"):
        block, used = _summary(asked, body, memory, body["compaction"].get("instructions"), on_demand=True)
        return _only(block, used, asked)
    if body["max_tokens"] == 0:
        return finish(Draft([]), body, asked.model, memory.cache.serve(body, asked.model, asked.key), asked.number)
    if absent(body, "context_management"):
        return _reply(asked, body, memory, script)
    edited, applied = context_editing.apply(body, asked.model)
    message = _edited(asked, edited, memory, script)
    return {**message, "context_management": {"applied_edits": applied}}


def _edited(asked: Asked, edited: dict[str, Any], memory: Memory, script: Script | None) -> Message:
    """The reply to a request after context editing; behind a summary, where a threshold is reached."""
    edit = compaction.due(edited, request_tokens(edited, asked.model))
    if edit is None:
        compacting = any(each["type"] == context_editing.COMPACT for each in context_editing.edits(edited))
        return _reply(asked, edited, memory, script, iterated=compacting)
    block, used = _summary(asked, edited, memory, edit.get("instructions"), on_demand=False)
    if edit.get("pause_after_compaction"):
        return _only(block, used, asked)
    after = {**edited, "messages": [{"role": "assistant", "content": [block]}]}
    return _reply(asked, after, memory, script, before=[block], earlier=[used])


def _summary(
    asked: Asked, body: dict[str, Any], memory: Memory, instructions: str | None, *, on_demand: bool
) -> tuple[dict[str, Any], Iteration]:
    """The block that stands for the conversation, and what it took to write it."""
    block = summary.summarize(asked.body, instructions, on_demand=on_demand)
    read = memory.cache.serve(body, asked.model, asked.key)
    return block, _iteration("compaction", {**read.usage(), "output_tokens": text_tokens(block["content"])})


def _only(block: dict[str, Any], used: Iteration, asked: Asked) -> Message:
    """A summary and nothing else. The top level of the usage has none of its tokens."""
    message = finish(Draft([], "compaction", before=[block]), asked.body, asked.model, Input(0), asked.number)
    return _with_iterations(message, [used])


def _reply(
    asked: Asked,
    body: dict[str, Any],
    memory: Memory,
    script: Script | None,
    *,
    before: Sequence[dict[str, Any]] = (),
    earlier: Sequence[Iteration] = (),
    iterated: bool = False,
) -> Message:
    """The reply of the model, or of the first fallback that does not refuse.

    `body` is what the model reads; `before` and `earlier` are the blocks and iterations of what came first.
    """
    blocks, iterations = list(before), list(earlier)
    container = memory.containers.enter(asked.body)
    held = memory.containers.names(container)
    attempts = [asked.body, *fallback.attempts(asked.body, asked.model)]
    for hop, attempt in enumerate(attempts):
        model = known_model(attempt)
        read = memory.cache.serve({**attempt, "messages": body["messages"]}, model, asked.key)
        draft = replace(_draft(attempt, model, script, hop, held), before=blocks)
        message = finish(draft, attempt, model, read, asked.number)
        if any(block.get("name") in PROGRAMS for block in message["content"]):
            message["container"] = memory.containers.serve(container, list(draft.files))
        if message["stop_reason"] != "refusal" or attempt is attempts[-1]:
            break
        iterations.append(_iteration("message", message["usage"], attempt["model"]))
        handed = fallback.block(attempt["model"], attempts[hop + 1]["model"], message["stop_details"])
        blocks = [*message["content"], handed]
    if not (iterations or iterated):
        return message
    served = hop > 0 and message["stop_reason"] != "refusal"
    own = _iteration("fallback_message" if served else "message", message["usage"], model.id if hop else None)
    return _with_iterations(message, [*iterations, own])


def _draft(body: dict[str, Any], model: Model, script: Script | None, hop: int, files: Sequence[str]) -> Draft:
    said = script(body) if script else None
    if said is None:
        return compose.draft(body, thinks(body, model), hop, files)
    return said if isinstance(said, Draft) else Draft(said)


def _iteration(kind: str, usage: Mapping[str, Any], model: str | None = None) -> Iteration:
    named = {"model": model} if model else {}
    return {"type": kind, **named, **{name: usage[name] for name in _TOKENS}}


def _with_iterations(message: Message, iterations: Sequence[Iteration]) -> Message:
    return {**message, "usage": {**message["usage"], "iterations": list(iterations)}}
