"""Rules for compaction: requests for summaries, at a threshold or on demand, and summaries that are sent back.

Source: CLAUDE_API.md §6, the SDK's `beta_compaction_*` types and `compaction_*_error.py`.
"""

from __future__ import annotations

from ...models import Model
from ..faults import Rejected
from ..request.history import Block, Body, Placed, absent, flatten, runs, summarizes
from ..request.signatures import summary_of, text_digest
from . import betas, context_editing

DEFAULT_TRIGGER_TOKENS = 150_000


def check_blocks(body: Body, model: Model, given: frozenset[str]) -> None:
    """Refuse compaction blocks that are damaged, misplaced, or sent without their beta header."""
    found = [each for each in flatten(body["messages"]) if each.kind == "compaction"]
    for placed in found:
        header = betas.COMPACTS_ON_DEMAND if placed.block.get("signature") else betas.COMPACTS_AT_THRESHOLD
        if header not in given and not (given & _HEADERS and not summarizes(placed.block)):
            raise Rejected(
                f"{placed.path}: Input tag 'compaction' found using 'type' does not match any of the expected tags"
            )
        _check_content(placed)
    whole = [each for each in found if summarizes(each.block)]
    signed = [each for each in whole if each.block.get("signature")]
    if signed and len(whole) > 1:
        raise _refused(whole[-1], "block_ambiguous", "only the `compaction` block that was returned last may be sent")
    for placed in whole:
        if not placed.path.endswith(".content.0") or (placed in signed and placed.message):
            where = "of the conversation" if placed in signed else "of its message"
            raise _refused(placed, "block_misplaced", f"a `compaction` block must be the first block {where}")


_HEADERS = frozenset({betas.COMPACTS_AT_THRESHOLD, betas.COMPACTS_ON_DEMAND})


def _check_content(placed: Placed) -> None:
    content = placed.block.get("content")
    if content is None:
        return
    if not isinstance(content, str) or not content:
        raise Rejected(f"{placed.path}.compaction.content: Input should be a valid, non-empty string")
    summary = summary_of(placed.block)
    if summary is None:
        raise _refused(placed, "signature_invalid", "Invalid `signature` in `compaction` block")
    if summary.text != text_digest(content):
        raise _refused(placed, "content_mismatch", "the `content` of a `compaction` block must not be changed")
    if placed.block.get("tool_changes"):
        raise _refused(placed, "tool_changes_mismatch", "`tool_changes` must be sent back as they were returned")


def _refused(placed: Placed, code: str, message: str) -> Rejected:
    return Rejected(f"{placed.path}: {message}", details={"error_code": f"compaction_{code}"})


def check_demand(body: Body, model: Model) -> None:
    """Refuse an invalid `compaction` parameter, and models that cannot summarize."""
    if absent(body, "compaction"):
        return
    wanted = body["compaction"]
    if not isinstance(wanted, dict) or wanted.get("type") != "summarize":
        raise Rejected("compaction: Input tag does not match any of the expected tags: 'summarize'")
    for name in wanted.keys() - {"type", "instructions"}:
        raise Rejected(f"compaction.summarize.{name}: Extra inputs are not permitted")
    if not isinstance(wanted.get("instructions"), str | None):
        raise Rejected("compaction.summarize.instructions: Input should be a valid string")
    if not absent(body, "context_management"):
        raise Rejected("compaction: cannot be combined with `context_management`")
    if not context_editing.compacts(model):
        raise Rejected("compaction: not supported for this model.")


def check_whole(body: Body, model: Model) -> None:
    """Refuse to summarize an empty conversation, or a turn that still waits for tool results."""
    if absent(body, "compaction"):
        return
    placed = [each for each in flatten(body["messages"]) if each.role != "system"]
    if not any(each.kind != "compaction" or summarizes(each.block) for each in placed):
        raise Rejected(
            "compaction: there is nothing to summarize", details={"error_code": "compaction_nothing_to_summarize"}
        )
    last = runs(placed)[-1]
    answered = {each.block.get("tool_use_id") for each in last}
    if any(each.kind.endswith("tool_use") and each.block["id"] not in answered for each in last):
        raise Rejected(
            "compaction: the last assistant turn is not finished",
            details={"error_code": "compaction_incomplete_turn"},
        )


def due(body: Body, tokens: int) -> Block | None:
    """The edit that asks for compaction, if the request has reached its threshold; else `None`."""
    edit = next((each for each in context_editing.edits(body) if each["type"] == context_editing.COMPACT), None)
    if edit is None:
        return None
    trigger = (edit.get("trigger") or {}).get("value", DEFAULT_TRIGGER_TOKENS)
    return edit if tokens >= trigger else None
