"""What is left of a history where the API refuses what a gateway has made up."""

from __future__ import annotations

from typing import Any

import pytest

from claude_magic.offline.rules import blocks
from claude_magic.request import citations
from claude_magic.request.known_blocks import FIELDS, reduced
from support.turns import text

PROMPT = {"role": "user", "content": [text("?")]}
THOUGHT = {"type": "thinking", "thinking": "Well.", "signature": "s"}
EXTRA = "messages.1.content.0.text.new: Extra inputs are not permitted"
CITED = {"type": "search_result_location", "cited_text": "x", "search_result_index": 0, "source": "s", "title": None}
CITED |= {"start_block_index": 0, "end_block_index": 1}


def replied(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def test_the_tables_are_those_of_the_stand_in() -> None:
    listed = {kind: blocks.FIELDS[kind] for kind in blocks._FROM_ASSISTANT}
    assert {kind: fields and set(fields) for kind, fields in FIELDS.items()} == listed
    assert {kind: set(fields) - {"type"} for kind, fields in citations.FIELDS.items()} == blocks.CITATION_FIELDS


def test_unknown_blocks_and_fields_of_replies_are_left_out_and_nothing_else() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}, "new": 1}
    reply = [{**text("Yes."), "new": 1}, {"type": "hologram", "x": 1}, search]
    assert reduced([PROMPT, replied(*reply), PROMPT], EXTRA) == [PROMPT, replied(text("Yes."), search), PROMPT]
    assert reduced([PROMPT, replied(reply[1]), PROMPT], EXTRA) == [PROMPT, PROMPT]


@pytest.mark.parametrize(
    ("citations", "kept"),
    [
        ([{"type": "x"}, CITED], [CITED]),
        ([{**CITED, "new": 1}], [CITED]),
        ([{"type": "char_location", "cited_text": "x"}], None),
        ([{}, "x", {"type": ["x"]}], None),
        ({"type": "x"}, None),
    ],
)
def test_citations_that_requests_do_not_take_are_left_out_and_the_text_stays(citations: Any, kept: Any) -> None:
    cited = {**text("Yes."), "citations": citations}
    refusal = "messages.1.content.0.text.citations.0: Input tag 'x' found using 'type' does not match any"
    assert reduced([PROMPT, replied(cited), PROMPT], refusal)[1]["content"] == [{**text("Yes."), "citations": kept}]


def test_of_what_is_known_the_block_that_is_named_goes_with_its_call_or_result() -> None:
    call = {"type": "server_tool_use", "id": "s", "name": "web_fetch", "input": {}}
    found = {"type": "web_fetch_tool_result", "tool_use_id": "s", "content": {"type": "x"}}
    own = {"type": "tool_use", "id": "t", "name": "one", "input": {}}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}, text("next")]}
    messages = [PROMPT, replied(THOUGHT, text("Yes."), call, found, own), result]
    refusal = "messages.1.content.3.web_fetch_tool_result.content: Input tag 'x' found using 'type' does not match any"
    assert reduced(messages, refusal) == [PROMPT, replied(text("Yes."), own), result]
    refusal = "messages.1.content.4.tool_use.name: String should match pattern"
    assert reduced(messages, refusal) == [
        PROMPT,
        replied(text("Yes."), call, found),
        PROMPT | {"content": [text("next")]},
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        "tools.0.x: Extra inputs are not permitted",
        "messages.0.content.0.text.new: Extra inputs are not permitted",
        "messages: text content blocks must be non-empty",
        "messages.1: `tool_use` ids were found without `tool_result` blocks",
        "messages.1.content.7: Input tag 'x' does not match any of the expected tags: 'text'",
        "messages.9.content.0: Input tag 'x' does not match any of the expected tags: 'text'",
    ],
)
def test_refusals_of_anything_else_leave_all_as_it_is(refusal: str) -> None:
    assert reduced([PROMPT, replied(text("Yes.")), PROMPT], refusal) is None
