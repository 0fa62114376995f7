"""The answer to a valid request: context editing, compaction, then a reply, by a fallback where a model refuses.

Each attempt is an iteration in the usage (CLAUDE_API.md §6).
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

# Tools that run in a container.
PROGRAMS = ("code_execution", "bash_code_execution", "text_editor_code_execution")
_TOKENS = (
    *("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation"),
)


@dataclass(frozen=True)
class Request:
    """A request: its body, the model's row, the caller's key, and a number that is unique on this server."""

    body: dict[str, Any]
    model: Model
    key: str
    number: int


class Memory:
    """State of a server across requests: prompt cache, fingerprints, containers. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.cache = Cache(clock)
        self.fingerprints = Fingerprints()
        self.containers = Containers(clock)


def count(body: dict[str, Any], model: Model) -> dict[str, Any]:
    """The response of `count_tokens`, after any context editing that the request asks for."""
    edited, _ = context_editing.apply(body, model)
    counted: dict[str, Any] = {"input_tokens": request_tokens(edited, model)}
    if not absent(body, "context_management"):
        counted["context_management"] = {"original_input_tokens": request_tokens(body, model)}
    return counted


def answer(request: Request, memory: Memory, script: Script | None) -> Message:
    """The complete message that answers a request."""
    message = _message(request, memory, script)
    if not absent(request.body, "diagnostics"):
        message["diagnostics"] = memory.fingerprints.diagnose(request.body, message, request.key)
    return message


def _message(request: Request, memory: Memory, script: Script | None) -> Message:
    body = request.body
    if not absent(body, "compaction"):
        block, used = _summary(request, body, memory, body["compaction"].get("instructions"), on_demand=True)
        return _summary_message(block, used, request)
    if body["max_tokens"] == 0:
        return finish(
            Draft([]), body, request.model, memory.cache.serve(body, request.model, request.key), request.number
        )
    if absent(body, "context_management"):
        return _reply(request, body, memory, script)
    edited, applied = context_editing.apply(body, request.model)
    message = _edited(request, edited, memory, script)
    return {**message, "context_management": {"applied_edits": applied}}


def _edited(request: Request, edited: dict[str, Any], memory: Memory, script: Script | None) -> Message:
    """The reply to a request after context editing, with a summary first if it has reached the threshold."""
    edit = compaction.due(edited, request_tokens(edited, request.model))
    if edit is None:
        compacting = any(each["type"] == context_editing.COMPACT for each in context_editing.edits(edited))
        return _reply(request, edited, memory, script, iterated=compacting)
    block, used = _summary(request, edited, memory, edit.get("instructions"), on_demand=False)
    if edit.get("pause_after_compaction"):
        return _summary_message(block, used, request)
    after = {**edited, "messages": [{"role": "assistant", "content": [block]}]}
    return _reply(request, after, memory, script, before=[block], earlier=[used])


def _summary(
    request: Request, body: dict[str, Any], memory: Memory, instructions: str | None, *, on_demand: bool
) -> tuple[dict[str, Any], Iteration]:
    """The block that summarizes the conversation, and its iteration of the usage."""
    block = summary.summarize(request.body, instructions, on_demand=on_demand)
    read = memory.cache.serve(body, request.model, request.key)
    return block, _iteration("compaction", {**read.usage(), "output_tokens": text_tokens(block["content"])})


def _summary_message(block: dict[str, Any], used: Iteration, request: Request) -> Message:
    """A message with only a summary. Its tokens are in an iteration, not at the top level of the usage."""
    message = finish(Draft([], "compaction", before=[block]), request.body, request.model, Input(0), request.number)
    return _with_iterations(message, [used])


def _reply(
    request: Request,
    body: dict[str, Any],
    memory: Memory,
    script: Script | None,
    *,
    before: Sequence[dict[str, Any]] = (),
    earlier: Sequence[Iteration] = (),
    iterated: bool = False,
) -> Message:
    """The reply of the model, or of the first fallback that does not refuse.

    `body` is what the model reads; `before` and `earlier` are the blocks and iterations that come first.
    """
    blocks, iterations = list(before), list(earlier)
    container = memory.containers.enter(request.body)
    held = memory.containers.names(container)
    attempts = [request.body, *fallback.attempts(request.body, request.model)]
    for hop, attempt in enumerate(attempts):
        model = known_model(attempt)
        read = memory.cache.serve({**attempt, "messages": body["messages"]}, model, request.key)
        draft = replace(_draft(attempt, model, script, hop, held), before=blocks)
        message = finish(draft, attempt, model, read, request.number)
        if any(block.get("name") in PROGRAMS for block in message["content"]):
            message["container"] = memory.containers.serve(container, list(draft.files))
        if message["stop_reason"] != "refusal" or attempt is attempts[-1]:
            break
        iterations.append(_iteration("message", message["usage"], attempt["model"]))
        handover = fallback.block(attempt["model"], attempts[hop + 1]["model"], message["stop_details"])
        blocks = [*message["content"], handover]
    if not (iterations or iterated):
        return message
    served = hop > 0 and message["stop_reason"] != "refusal"
    own = _iteration("fallback_message" if served else "message", message["usage"], model.id if hop else None)
    return _with_iterations(message, [*iterations, own])


def _draft(body: dict[str, Any], model: Model, script: Script | None, hop: int, files: Sequence[str]) -> Draft:
    scripted = script(body) if script else None
    if scripted is None:
        return compose.draft(body, thinks(body, model), hop, files)
    return scripted if isinstance(scripted, Draft) else Draft(scripted)


def _iteration(kind: str, usage: Mapping[str, Any], model: str | None = None) -> Iteration:
    named = {"model": model} if model else {}
    return {"type": kind, **named, **{name: usage[name] for name in _TOKENS}}


def _with_iterations(message: Message, iterations: Sequence[Iteration]) -> Message:
    return {**message, "usage": {**message["usage"], "iterations": list(iterations)}}
