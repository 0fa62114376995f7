"""What is left of a history where the API refuses what a gateway has made up."""

from __future__ import annotations

from claude_magic.offline.rules import blocks
from claude_magic.request.known_blocks import FIELDS, known, refuses_unknown
from support.turns import text


def test_the_table_is_that_of_the_stand_in() -> None:
    listed = {kind: blocks.FIELDS[kind] for kind in blocks._FROM_ASSISTANT}
    assert {kind: fields and set(fields) for kind, fields in FIELDS.items()} == listed


def test_unknown_blocks_and_fields_of_replies_are_left_out_and_nothing_else() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}, "new": 1}
    reply = [{**text("Yes."), "new": 1}, {"type": "hologram", "x": 1}, search]
    prompt = {"role": "user", "content": [text("?")]}
    messages = [prompt, {"role": "assistant", "content": reply}, prompt]
    assert known(messages) == [prompt, {"role": "assistant", "content": [text("Yes."), search]}, prompt]
    assert known([prompt, {"role": "assistant", "content": [reply[1]]}, prompt]) == [prompt, prompt]


def test_which_refusals_are_of_unknown_parts() -> None:
    assert refuses_unknown("messages.1.content.0.text.new: Extra inputs are not permitted")
    assert refuses_unknown("messages.1.content.0: Input tag 'x' does not match any of the expected tags: 'text'")
    assert not refuses_unknown("tools.0.x: Extra inputs are not permitted")
    assert not refuses_unknown("messages.1: text content blocks must be non-empty")
