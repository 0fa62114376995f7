"""Events into messages: every recorded reply, exactly."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.received import whole_text
from claude_magic.errors import StreamError
from support.recordings import finished_streams


def events_of(body: str) -> list[dict[str, Any]]:
    data = [line[5:] for line in body.splitlines() if line.startswith("data:")]
    return [event for event in map(json.loads, data) if event["type"] != "ping"]


def accumulated(events: list[dict[str, Any]]) -> Accumulator:
    accumulator = Accumulator()
    for event in events:
        accumulator.add(event)
    return accumulator


def events(*blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A stream of blocks, each a list: the block as it starts, then its deltas."""
    made: list[dict[str, Any]] = [{"type": "message_start", "message": {"content": [], "usage": {"input_tokens": 3}}}]
    for index, (start, *deltas) in enumerate(blocks):
        made.append({"type": "content_block_start", "index": index, "content_block": start})
        made += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        made.append({"type": "content_block_stop", "index": index})
    made.append({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}})
    return [*made, {"type": "message_stop"}]


TEXT = [{"type": "text", "text": ""}, {"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo"}]


@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_recorded_reply_is_what_the_sdk_makes_of_it(case: dict[str, Any], corpus: str) -> None:
    """The SDK's own accumulator is the independent judge, its known gaps aside (CLAUDE_API.md §1)."""
    client = anthropic.Anthropic(api_key="none", base_url=f"{corpus}/case/{case['id']}", max_retries=0)
    messages: Any = [{"role": "user", "content": "x"}]
    with client.beta.messages.stream(model="claude-opus-4-8", max_tokens=9, messages=messages) as stream:
        expected = stream.get_final_message().to_dict(warnings=False)
    reply = accumulated(events_of(case["response"]["body"])).reply()
    assert reply.complete and not reply.partial
    assert [plain(block) for block in reply.content] == [plain(block) for block in expected["content"]]
    assert reply.stop_reason == expected["stop_reason"]
    for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        assert reply.usage.get(name) == expected["usage"].get(name)


def plain(block: Any) -> dict[str, Any]:
    """A block without what only the SDK's class adds: fields that are empty or spelt otherwise."""
    return {name: value for name, value in block.items() if value is not None and name != "parsed_output"}


@pytest.mark.corpus
@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_usage_is_the_last_that_the_api_said_of_each_kind(case: dict[str, Any]) -> None:
    told: dict[str, Any] = {}
    for event in events_of(case["response"]["body"]):
        usage = event.get("usage") or event.get("message", {}).get("usage") or {}
        told.update({name: value for name, value in usage.items() if value is not None or name not in told})
    assert accumulated(events_of(case["response"]["body"])).reply().usage == told


def test_unknown_events_blocks_deltas_and_fields_are_kept_or_passed_over() -> None:
    start = {"type": "hologram", "depth": {"x": [1.0, None]}, "note": "a"}
    stream = events([start, {"type": "hologram_delta", "note": "b", "more": [2]}], TEXT)
    stream.insert(2, {"type": "aurora", "index": 40})
    first, second = accumulated(stream).reply().content
    assert first == {"type": "hologram", "depth": {"x": [1.0, None]}, "note": "b", "more": [2]}
    assert second == {"type": "text", "text": "Hello"}


def test_tool_input_is_parsed_once_and_exactly() -> None:
    pieces = ['{"a": ', "1e2, ", '"b": [true, null, "\\u00e9"]', "}"]
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    (block,) = accumulated(events([{"type": "tool_use", "id": "t", "name": "f", "input": {}}, *deltas])).reply().content
    assert block == {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 100.0, "b": [True, None, "é"]}}


def test_tool_input_that_was_cut_off_is_partial_and_not_an_error() -> None:
    deltas = [{"type": "input_json_delta", "partial_json": '{"a": "un'}]
    reply = accumulated(events(TEXT, [{"type": "tool_use", "id": "t", "name": "f", "input": {}}, *deltas])).reply()
    assert [block["type"] for block in reply.content] == ["text"]
    assert reply.partial[0]["partial_json"] == '{"a": "un'


@pytest.mark.parametrize("count", range(1, 9))
def test_a_reply_that_breaks_off_keeps_whole_blocks_and_the_text_so_far(count: int) -> None:
    thinking = [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "hm"},
        {"type": "signature_delta", "signature": "S"},
    ]
    reply = accumulated(events(thinking, TEXT)[:count]).reply()
    assert not reply.complete and reply.stop_reason is None
    assert [block["type"] for block in reply.content] == ["thinking"] * (count >= 5) + ["text"] * (count >= 7)
    assert [block["type"] for block in reply.partial] == (
        ["thinking"] if 2 <= count < 5 else ["text"] if count == 6 else []
    )


def test_a_new_message_start_begins_the_reply_anew() -> None:
    reply = accumulated([*events(TEXT)[:3], *events(TEXT)]).reply()
    assert reply.content == ({"type": "text", "text": "Hello"},)


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_start", "index": 0},
        {"type": "message_delta"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": None}},
    ],
)
def test_an_event_that_makes_no_sense_is_our_own_error(event: Any) -> None:
    accumulator = accumulated(events(TEXT)[:2])
    with pytest.raises(StreamError):
        accumulator.add(event)


def test_an_error_does_not_repeat_what_came() -> None:
    with pytest.raises(StreamError) as raised:
        accumulated([{"type": "message_delta", "delta": "sk-ant-SECRET"}])
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("stream", [[{"type": "message_stop"}], [{"type": "message_stop"}, *events(TEXT)]])
def test_a_reply_cannot_end_before_it_began(stream: list[Any]) -> None:
    with pytest.raises(StreamError):
        accumulated(stream)


def test_odd_blocks_are_shown_and_not_kept() -> None:
    deep = {"type": "input_json_delta", "partial_json": "[" * 200_000}
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    nameless = {"type": "tool_use", "name": "f", "input": {}}
    reply = accumulated(events([{"type": "text"}], [tool, deep], [nameless], TEXT)).reply()
    assert [block["type"] for block in reply.content] == ["text", "text"]
    assert len(reply.partial) == 2


def test_a_call_without_an_id_gets_one_where_it_is_to_be_answered() -> None:
    stream = events([{"type": "tool_use", "name": "f", "input": {}}])
    stream[-2]["delta"]["stop_reason"] = "tool_use"
    accumulator = accumulated(stream)
    assert [(call["id"], wrong) for call, wrong in accumulator.calls] == [("toolu_unnamed", "")]
    assert accumulator.mended == ("the id of a tool call",)


def test_a_reply_that_became_unreadable_is_all_partial() -> None:
    accumulator = accumulated(events(TEXT)[:-1])
    with pytest.raises(StreamError):
        accumulator.add({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "late"}})
    reply = accumulator.reply()
    assert reply.content == () and [block["text"] for block in reply.partial] == ["Hello"]


@given(st.text(alphabet=st.characters(exclude_categories=[])), st.integers(0, 20))
@pytest.mark.slow
def test_text_can_always_be_encoded_however_it_was_cut(text: str, at: int) -> None:
    """JSON escapes can be cut between the two halves of a character."""
    units = text.encode("utf-16-le", "surrogatepass")
    halves = [units[: 2 * at], units[2 * at :]]
    joined = whole_text("".join(half.decode("utf-16-le", "surrogatepass") for half in halves))
    joined.encode()
    if all(not 0xD800 <= ord(character) < 0xE000 for character in text):
        assert joined == text
