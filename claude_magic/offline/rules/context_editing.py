"""Context editing: old tool results and old thinking are removed from what the model reads.

The history stays as it was sent, and so do the prefixes that thinking is bound to: edits only change token counts,
the cache, and the reply's `applied_edits`. Source: CLAUDE_API.md §6, and the SDK's `beta_clear_*_edit_param.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...models import Model
from ..faults import Rejected
from ..request.history import Block, Body, Placed, absent, current, runs, text_blocks
from ..request.tokens import request_tokens
from . import betas

COMPACT = "compact_20260112"
CLEAR_TOOL_USES = "clear_tool_uses_20250919"
CLEAR_THINKING = "clear_thinking_20251015"
CLEARED = "[Old tool result content cleared]"
MIN_COMPACT_TOKENS = 50_000
DEFAULT_TOOL_TRIGGER_TOKENS = 100_000
DEFAULT_TOOL_USES_KEPT = 3

# type of edit → its beta header, its fields
_KINDS: Mapping[str, tuple[str, frozenset[str]]] = {
    COMPACT: (
        betas.COMPACTS_AT_THRESHOLD,
        frozenset({"type", "trigger", "pause_after_compaction", "instructions"}),
    ),
    CLEAR_TOOL_USES: (
        betas.EDITS_CONTEXT,
        frozenset({"type", "trigger", "keep", "clear_at_least", "exclude_tools", "clear_tool_inputs"}),
    ),
    CLEAR_THINKING: (betas.EDITS_CONTEXT, frozenset({"type", "keep"})),
}
# field of an edit → the types that its value may have
_COUNTS = {
    "trigger": ("input_tokens", "tool_uses"),
    "keep": ("tool_uses", "thinking_turns", "all"),
    "clear_at_least": ("input_tokens",),
}


def edits(body: Body) -> list[Block]:
    """The edits that a request asks for."""
    return list((body.get("context_management") or {}).get("edits") or [])


def check(body: Body, model: Model, given: frozenset[str]) -> None:
    """Refuse invalid edits, and edits without their beta header."""
    if absent(body, "context_management"):
        return
    wanted = body["context_management"]
    if not isinstance(wanted, dict):
        raise Rejected("context_management: Input should be an object")
    for name in wanted.keys() - {"edits"}:
        raise Rejected(f"context_management.{name}: Extra inputs are not permitted")
    if not isinstance(wanted.get("edits", []), list):
        raise Rejected("context_management.edits: Input should be a valid list")
    for i, edit in enumerate(wanted.get("edits", [])):
        _check(edit, f"context_management.edits.{i}", given)
    kinds = [edit["type"] for edit in edits(body)]
    if len(kinds) != len(set(kinds)):
        raise Rejected("context_management.edits: each type of edit may be given only once")
    if CLEAR_THINKING in kinds[1:]:
        raise Rejected(f"context_management.edits: `{CLEAR_THINKING}` must be the first edit")
    if COMPACT in kinds and not compacts(model):
        raise Rejected(f"context_management: `{COMPACT}` is not supported for this model.")


def compacts(model: Model) -> bool:
    """Whether the model can summarize: from 4.6 on (compaction pages, supported models)."""
    return "adaptive" in model.thinking


def _check(edit: Any, path: str, given: frozenset[str]) -> None:
    kind = edit.get("type") if isinstance(edit, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS or _KINDS[kind][0] not in given:
        tags = ", ".join(f"'{each}'" for each, (header, _) in _KINDS.items() if header in given)
        raise Rejected(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    for name in edit.keys() - _KINDS[kind][1]:
        raise Rejected(f"{path}.{kind}.{name}: Extra inputs are not permitted")
    for name, types in _COUNTS.items():
        if edit.get(name) is not None:
            _check_count(edit[name], types, f"{path}.{kind}.{name}")
    if kind == COMPACT:
        _check_compact(edit, f"{path}.{kind}")


def _check_count(count: Any, types: tuple[str, ...], path: str) -> None:
    """Check a count such as `{"type": "input_tokens", "value": 50000}`; for thinking turns also `all`."""
    if count == "all" and "all" in types:
        return
    if not isinstance(count, dict) or count.get("type") not in types:
        raise Rejected(f"{path}: Input tag does not match any of the expected tags: {', '.join(map(repr, types))}")
    value = count.get("value")
    if count["type"] != "all" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise Rejected(f"{path}.{count['type']}.value: Input should be a valid integer")


def _check_compact(edit: Block, path: str) -> None:
    trigger = edit.get("trigger") or {"type": "input_tokens", "value": MIN_COMPACT_TOKENS}
    if trigger["type"] != "input_tokens":
        raise Rejected(f"{path}.trigger.type: Input should be 'input_tokens'")
    if trigger["value"] < MIN_COMPACT_TOKENS:
        raise Rejected(f"{path}: trigger.value must be at least {MIN_COMPACT_TOKENS}")
    if not isinstance(edit.get("pause_after_compaction", False), bool):
        raise Rejected(f"{path}.pause_after_compaction: Input should be a valid boolean")
    if not isinstance(edit.get("instructions"), str | None):
        raise Rejected(f"{path}.instructions: Input should be a valid string")


def apply(body: Body, model: Model) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The request after its edits, as the model reads it, and the API's `applied_edits`."""
    edited, applied = dict(body), []
    for edit in edits(body):
        clear = _CLEARS.get(edit["type"])
        if clear is None:
            continue
        after, cleared = clear(edited, model, edit)
        tokens = request_tokens(edited, model) - request_tokens(after, model)
        least = (edit.get("clear_at_least") or {}).get("value", 1)
        if tokens >= least:
            edited = after
            applied.append({"type": edit["type"], **cleared, "cleared_input_tokens": tokens})
    return edited, applied


def _clear_tool_uses(body: Body, model: Model, edit: Block) -> tuple[dict[str, Any], dict[str, int]]:
    uses = _tool_uses(body, edit)
    trigger = edit.get("trigger") or {"type": "input_tokens", "value": DEFAULT_TOOL_TRIGGER_TOKENS}
    reached = len(uses) if trigger["type"] == "tool_uses" else request_tokens(body, model)
    keep = (edit.get("keep") or {}).get("value", DEFAULT_TOOL_USES_KEPT)
    old = uses[: max(0, len(uses) - keep)] if reached > trigger["value"] else []
    inputs = edit.get("clear_tool_inputs") or ()
    names = {use["name"] for use in uses} if inputs is True else set(inputs)
    ids = {use["id"]: use["name"] in names for use in old}

    def cleared(block: Block) -> Block | None:
        if block["type"] == "tool_result" and block["tool_use_id"] in ids:
            return {**block, "content": CLEARED}
        return {**block, "input": {}} if block["type"] == "tool_use" and ids.get(block["id"]) else block

    return _replaced(body, lambda placed: cleared(placed.block)), {"cleared_tool_uses": len(old)}


def _tool_uses(body: Body, edit: Block) -> list[Block]:
    """The tool calls that have a result, oldest first, without those that the edit excludes."""
    placed = current(body)
    answered = {each.block["tool_use_id"] for each in placed if each.kind == "tool_result"}
    excluded = edit.get("exclude_tools") or ()
    calls = [each.block for each in placed if each.kind == "tool_use" and each.block["id"] in answered]
    return [call for call in calls if call["name"] not in excluded]


def _clear_thinking(body: Body, model: Model, edit: Block) -> tuple[dict[str, Any], dict[str, int]]:
    keep = edit.get("keep") or {"type": "thinking_turns", "value": 1}
    if keep == "all" or keep["type"] == "all":
        return dict(body), {"cleared_thinking_turns": 0}
    turns = [turn for turn in runs(current(body)) if any(each.kind == "thinking" for each in turn)]
    old = turns[: max(0, len(turns) - keep["value"])]
    paths = {each.path for turn in old for each in turn if each.kind == "thinking"}
    return (
        _replaced(body, lambda placed: None if placed.path in paths else placed.block),
        {"cleared_thinking_turns": len(old)},
    )


def _replaced(body: Body, change: Callable[[Placed], Block | None]) -> dict[str, Any]:
    """The request with each block changed; a block for which `change` returns `None` is removed."""
    messages = [
        {**message, "content": [new for place in _places(message, i) if (new := change(place)) is not None]}
        for i, message in enumerate(body["messages"])
    ]
    return {**body, "messages": messages}


def _places(message: Mapping[str, Any], i: int) -> list[Placed]:
    content = text_blocks(message["content"])
    return [Placed(message["role"], block, f"messages.{i}.content.{j}", i) for j, block in enumerate(content)]


_CLEARS: Mapping[str, Callable[[Body, Model, Block], tuple[dict[str, Any], dict[str, int]]]] = {
    CLEAR_TOOL_USES: _clear_tool_uses,
    CLEAR_THINKING: _clear_thinking,
}
