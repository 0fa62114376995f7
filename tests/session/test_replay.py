"""The demo that cannot fail: what the record answers, how it streams again, and what is said where it cannot."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_magic.conversation.accumulator import Accumulator, Reply, call_of, concluded
from claude_magic.conversation.turns import Block, Call, Conversation, Turn
from claude_magic.options import Options
from claude_magic.request import build
from claude_magic.request.build import Request
from claude_magic.session import replay
from claude_magic.session.replay import Records, difference, events, replayed
from support.hostile_markdown import HOSTILE
from support.recordings import finished_streams

MODEL = "claude-opus-5-5"


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def ask(prompt: str | Sequence[Block], history: Iterable[Turn] = (), **options: Any) -> Request:
    """The request of a cell with this prompt, after these turns."""
    content = [text(prompt)] if isinstance(prompt, str) else prompt
    return build.build(Conversation(tuple(history)), content, Options(**options))


def answered(asked: Request, *reply: Block, **changes: Any) -> Turn:
    """The turn that a request made."""
    call = {"model": MODEL, "usage": {"output_tokens": 7}, "stop_reason": "end_turn", "seconds": 2.0}
    call |= {name: changes.pop(name) for name in [*changes] if name in Call.__dataclass_fields__}
    messages = (asked.params["messages"][-1], {"role": "assistant", "content": [*reply] or [text("So it is.")]})
    made = Turn("recorded", messages, (Call(**call),), prefix=asked.prefix, params=asked.settings)
    return dataclasses.replace(made, **changes)


def folded(stream: Iterable[dict[str, Any]]) -> Reply:
    accumulator = Accumulator()
    for event in stream:
        accumulator.add(json.loads(json.dumps(event)))  # as it would come over the wire
    return accumulator.reply()


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


def at_once(turn: Turn) -> list[dict[str, Any]]:
    return list(events(turn, 0, sleep=never))


def never(seconds: float) -> None:
    raise AssertionError(f"slept {seconds} s")


def turn_of(body: str) -> Turn:
    """The turn that a recorded stream makes."""
    accumulator = Accumulator()
    for line in body.splitlines():
        if line.startswith("data:") and (event := json.loads(line[5:]))["type"] != "ping":
            accumulator.add(event)
    reply = accumulator.reply()
    draft = Turn("id", ({"role": "user", "content": [text("?")]},), ())
    return concluded(draft, reply, call_of(reply, model=MODEL, first_token=0.5, seconds=3.0))


def shown_again(turn: Turn, stream: Iterable[dict[str, Any]]) -> None:
    """The stream makes the same turn, to the byte."""
    reply = folded(stream)
    assert as_bytes(reply.content) == as_bytes(turn.messages[-1]["content"])
    assert as_bytes(reply.partial) == as_bytes(turn.partial)
    call = turn.calls[-1]
    facts = {name: getattr(call, name) for name in ("request_id", "started", "first_token", "seconds", "provider")}
    assert call_of(reply, model=call.model, **facts) == call
    assert concluded(dataclasses.replace(turn, messages=turn.messages[:1]), reply, call).status == turn.status


# --- the stream ---------------------------------------------------------------------------------------


@pytest.mark.corpus
@pytest.mark.parametrize("speed", [0, 1, 1000])
@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_recorded_reply_streams_again_to_the_same_bytes(case: dict[str, Any], speed: float) -> None:
    turn = turn_of(case["response"]["body"])
    shown_again(turn, events(turn, speed, lambda seconds: None))


@pytest.mark.corpus
@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_reply_that_broke_off_breaks_off_again_wherever_it_was(case: dict[str, Any]) -> None:
    lines = [line for line in case["response"]["body"].splitlines() if line.startswith("data:")]
    for count in range(1, len(lines), max(1, len(lines) // 12)):
        turn = turn_of("\n".join(lines[:count]))
        if turn.status == "interrupted":
            stream = at_once(turn)
            shown_again(turn, stream)
            assert stream[-1]["type"] != "message_stop"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.text().filter(lambda name: name not in ("partial_json", "citations", "type")), JSON)
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]), max_size=200)
BLOCKS = st.one_of(
    st.builds(lambda rest, words: {**rest, **text(words)}, FIELDS, ANY_TEXT),
    st.builds(lambda words, cited: {**text(words), "citations": cited}, ANY_TEXT, st.lists(FIELDS)),
    st.builds(
        lambda words, name: {"type": "thinking", "thinking": words, "signature": name, "more": [name]},
        ANY_TEXT,
        st.text(),
    ),
    st.builds(lambda value: {"type": "tool_use", "id": "t", "name": "f", "input": value}, FIELDS),
    st.builds(lambda rest, kind: {**rest, "type": kind}, FIELDS, st.sampled_from(["hologram", "redacted_thinking"])),
)
PARTIAL = st.sampled_from(
    [
        {"type": "thinking", "thinking": "half a thou", "signature": ""},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}, "partial_json": '{"a": "un'},
        {"type": "tool_use", "name": "f", "input": {}},
        text("  "),
    ]
)


@pytest.mark.slow
@given(st.lists(BLOCKS, min_size=1), st.lists(PARTIAL, max_size=1), st.booleans(), st.sampled_from([0, 1, 1e9]))
def test_any_blocks_come_through_unchanged(
    content: list[Block], partial: list[Block], broke_off: bool, speed: float
) -> None:
    status: Any = {"stop_reason": None, "status": "interrupted"} if broke_off else {}
    turn = answered(ask("?"), *content, partial=tuple(partial), **status)
    shown_again(turn, events(turn, speed, lambda seconds: None))


def test_text_that_cannot_be_encoded_comes_through_unchanged_too() -> None:
    turn = answered(ask("?"), text("half a character: \ud800."))
    shown_again(turn, at_once(turn))


def test_the_stream_has_the_apis_form() -> None:
    turn = answered(ask("?"), {"type": "thinking", "thinking": "Hm.", "signature": "S"}, text("Yes."))
    kinds = [event["type"] for event in at_once(turn)]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", *block, *block, "message_delta", "message_stop"]


def test_text_comes_a_few_words_at_a_time_and_words_stay_whole() -> None:
    words = "The variance of a sample is the mean of the squared deviations from its mean. " * 20
    pieces = [
        event["delta"]["text"]
        for event in events(answered(ask("?"), text(words), seconds=30.0), 1, lambda seconds: None)
        if event["type"] == "content_block_delta"
    ]
    assert "".join(pieces) == words
    assert len(pieces) > 40 and all(piece.endswith(" ") for piece in pieces)


def test_at_speed_0_nothing_is_waited_for_and_a_long_text_is_a_few_pieces() -> None:
    assert len(at_once(answered(ask("?"), text("word " * 100_000)))) < 30


def slept(turn: Turn, speed: float = 1) -> list[float]:
    waits: list[float] = []
    for _ in events(turn, speed, waits.append):
        pass
    return waits


def test_the_recorded_pace_is_kept() -> None:
    turn = answered(ask("?"), text("x" * 900), first_token=1.0, seconds=4.0)  # 300 characters a second
    first, *rest = slept(turn)
    assert first == 1.0 and sum(rest) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("recorded", "first", "others"),
    [
        ({"first_token": 60.0, "seconds": 62.0}, 3.0, 2.0),  # a long silence is cut short
        ({"first_token": 0.5, "seconds": 4e9}, 0.5, 1200 / 60),  # a forged duration is not waited for
        ({"first_token": 4e9, "seconds": 0.0}, 3.0, 1200 / 1500),  # figures that contradict each other
        ({"first_token": 0.0, "seconds": 0.001}, None, 1200 / 1500),  # too fast to follow
    ],
)
def test_the_pace_is_one_that_a_person_believes(recorded: dict[str, float], first: float | None, others: float) -> None:
    waits = slept(answered(ask("?"), text("x" * 1200), **recorded))
    if first is not None:
        assert waits.pop(0) == first
    assert sum(waits) == pytest.approx(others)


def test_a_reply_of_any_length_ends_within_minutes() -> None:
    turn = answered(ask("?"), text("x" * 5_000_000), seconds=4e9)
    assert sum(slept(turn)) == pytest.approx(replay.MAX_REPLY_SECONDS)


def test_speed_divides_all_waits_and_makes_no_flood_of_tiny_ones() -> None:
    turn = answered(ask("?"), text("x" * 120_000), first_token=2.0, seconds=402.0)
    assert sum(slept(turn, 10)) == pytest.approx(sum(slept(turn)) / 10)
    assert len(slept(turn, 1000)) < 100
    assert slept(turn, float("inf")) == []


# --- the record that answers --------------------------------------------------------------------------


def found(records: Iterable[Turn], asked: Request, cell: str | None = None, used: Iterable[str] = ()) -> str | None:
    turn = Records(records).find(asked, cell, frozenset(used), provider=None)
    return turn and turn.id


def test_the_same_request_is_found_whatever_the_order_of_its_parameters_and_its_cache_breakpoints() -> None:
    asked = ask("?", system="Be brief.", effort="low")
    turned = dict(reversed([(name, value) for name, value in asked.settings.items() if name != "cache_control"]))
    assert "cache_control" in asked.settings
    assert found([answered(asked, params=turned)], asked) == "recorded"
    through_a_file = json.loads(json.dumps(asked.settings))
    assert found([answered(asked, params=through_a_file)], asked) == "recorded"


@pytest.mark.parametrize(
    "other",
    [
        {"model": "claude-haiku-5-5"},
        {"max_tokens": 5},
        {"effort": "low"},
        {"stop": ("END",)},
        {"system": "Be brief."},
        {"prompt": "!"},
        {"history": [answered(ask("before"))]},
    ],
)
def test_another_request_is_not_found(other: dict[str, Any]) -> None:
    assert found([answered(ask("?"))], ask(**{"prompt": "?", **other}), "a") is None


def test_the_cells_own_newest_record_comes_first() -> None:
    asked = ask("?")
    turns = [
        answered(asked, id="elsewhere", cell_id="a", created=9.0),
        answered(asked, id="newer", cell_id="b", created=2.0),
        answered(asked, id="older", cell_id="b", created=1.0),
    ]
    assert found(turns, asked, "b", used={"newer"}) == "newer"
    assert found(turns, asked, "pasted") == "elsewhere"


def test_without_cell_ids_the_same_question_is_answered_in_notebook_order() -> None:
    asked = ask("?")
    turns = [answered(asked, id=name, cell_id=name, request_id=name) for name in ("first", "second")]
    assert found(turns, asked) == "first"
    assert found(turns, asked, used={"first"}) == "second"
    assert found(turns, asked, used={"first", "second"}) == "second"


def test_a_replay_is_no_further_record_of_what_it_repeats() -> None:
    asked = ask("?")
    first, second = (answered(asked, id=name, request_id=name) for name in ("first", "second"))
    copy = replayed(first, asked, dataclasses.replace(first, id="copy"))
    assert found([first, second, copy], asked, used={"first", "second"}) == "second"
    assert found([copy, second], asked) == "copy"  # after a save only the copy is left


def test_a_turn_that_is_given_twice_counts_once() -> None:
    turn = answered(ask("?"))
    assert Records([turn, turn]).turns == (turn,)


@pytest.mark.parametrize(
    ("recorded", "is_found"),
    [
        ({}, True),
        ({"status": "refused", "stop_reason": "refusal"}, True),
        ({"status": "interrupted", "stop_reason": None}, False),
        ({"provider": "offline"}, False),
    ],
)
def test_where_claude_could_be_asked_only_whole_records_of_that_provider_answer(
    recorded: dict[str, Any], is_found: bool
) -> None:
    records = Records([answered(ask("?"), cell_id="a", **recorded)])
    assert bool(records.find(ask("?"), "a", frozenset(), provider="anthropic")) == is_found
    assert records.find(ask("?"), "a", frozenset(), provider=None)


def test_a_replayed_turn_is_the_recorded_one_in_another_place() -> None:
    asked = ask("?")
    recorded = answered(asked, id="old", cell_id="a", notes=("2 earlier turns",), request_id="req_1", created=1.0)
    draft = Turn("new", recorded.messages[:1], (), cell_id="b", chat="class", created=9.0, execution_count=4)
    turn = replayed(recorded, asked, draft)
    assert (turn.id, turn.cell_id, turn.chat, turn.created, turn.execution_count) == ("new", "b", "class", 9.0, 4)
    assert turn.messages == recorded.messages and turn.notes == recorded.notes
    assert turn.calls == (dataclasses.replace(recorded.calls[0], replayed=True),) and turn.replayed
    assert found([turn], asked) == "new"


# --- what changed -------------------------------------------------------------------------------------

LONG = "Explain in two sentences to a class of beginners what the {} of a sample is, and why."


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({}, {"model": "claude-haiku-5-5"}, "--model: recorded claude-opus-5-5, now claude-haiku-5-5"),
        ({}, {"max_tokens": 500}, "--max-tokens: recorded 32000, now 500"),
        ({"effort": "low"}, {"effort": "high"}, "--effort: recorded low, now high"),
        ({"effort": "low"}, {}, "--effort: recorded low, now unset"),
        ({}, {"stop": ("END",)}, '--stop: recorded unset, now ["END"]'),
        ({}, {"system": "Be brief."}, "--system: recorded unset, now Be brief."),
        ({"system": "Be brief."}, {"system": "Be kind."}, "--system: recorded “…brief.”, now “…kind.”"),
        (
            {"model": "claude-haiku-5-5"},
            {"model": "claude-haiku-5-5", "thinking": "disabled"},
            "--thinking: recorded adaptive, now disabled",
        ),
        (
            {"prompt": LONG.format("variance")},
            {"prompt": LONG.format("median")},
            "the prompt: recorded “…variance of a sample is, and why.”, now “…median of a sample is, and why.”",
        ),
        ({"prompt": "a b"}, {"prompt": "a  b"}, "the prompt differs in spaces, or in characters that do not show"),
    ],
)
def test_the_cells_own_record_says_what_changed(then: dict[str, Any], now: dict[str, Any], said: str) -> None:
    recorded = answered(ask(**{"prompt": "?", **then}), cell_id="a")
    assert difference(ask(**{"prompt": "?", **now}), Records([recorded]), "a") == said


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ([IMAGE, IMAGE, text("?")], "what goes along with the prompt: recorded 1 image, now 2 image"),
        ([text("?")], "what goes along with the prompt: recorded 1 image, now nothing"),
        (
            [{**IMAGE, "source": {**IMAGE["source"], "data": "AAAA"}}, text("?")],
            "what goes along with the prompt has changed",
        ),
    ],
)
def test_another_picture_is_said_too(now: list[Block], said: str) -> None:
    assert difference(ask(now), Records([answered(ask([IMAGE, text("?")]), cell_id="a")]), "a") == said


def test_several_changes_are_all_named_and_few_at_a_time() -> None:
    recorded = answered(ask("old", system="a"), cell_id="a")
    two = difference(ask("new", system="a", effort="low"), Records([recorded]), "a")
    assert two == "--effort: recorded unset, now low; the prompt: recorded “old”, now “new”"
    many = difference(ask("new", system="b", effort="low", stop=("x",), max_tokens=9), Records([recorded]), "a")
    assert many.count("; ") == 3 and many.endswith("and 2 more")


def test_without_a_record_of_the_cell_the_same_question_is_compared() -> None:
    records = Records([answered(ask("another"), id="x"), answered(ask("?"), cell_id="elsewhere")])
    assert difference(ask("?", max_tokens=9), records, "a") == "--max-tokens: recorded 32000, now 9"
    assert difference(ask("never asked"), records, "a") == "this question is not in the record"


def conversation(*prompts: str) -> list[Turn]:
    """Turns that were asked one after the other."""
    turns: list[Turn] = []
    for number, prompt in enumerate(prompts):
        made = answered(ask(prompt, turns), id=prompt, cell_id=f"cell {number}", created=float(number))
        turns.append(made)
    return turns


def test_a_conversation_that_changed_above_is_told_by_what_changed_in_it() -> None:
    one, two, three = conversation("one", "two", "three")
    records = Records([one, two, three])
    said = "the conversation before it: 2 turns when recorded, 1 turn now"
    assert difference(ask("three", [one]), records, "cell 2") == said
    edited = answered(ask("two and more", [one]))
    said = "the prompt of turn 2 above: recorded “two”, now “two and more”"
    assert difference(ask("three", [one, edited]), records, "cell 2") == said
    otherwise = answered(ask("two", [one]), text("Not so."))
    said = difference(ask("three", [one, otherwise]), records, "cell 2")
    assert said == "an earlier cell has another answer than when this was recorded: run the cells above in order"


def test_a_record_from_before_a_change_above_it_is_said_to_be_one() -> None:
    _, two = conversation("one", "two")
    again = dataclasses.replace(answered(ask("one"), text("Otherwise.")), id="again", cell_id="cell 0", created=9.0)
    said = difference(ask("two", [again]), Records([again, two]), "cell 1")
    assert said == "this was recorded before a cell above it changed: it has to be asked again"


def test_what_stands_before_the_prompt_for_tools_that_were_not_run_is_no_change_of_it() -> None:
    tool = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    before = answered(ask("one"), tool, stop_reason="tool_use", id="one", cell_id="a")
    asked = ask("two", [before])
    recorded = answered(asked, id="two", cell_id="b")
    recorded = dataclasses.replace(
        recorded, messages=({"role": "user", "content": [text("two")]}, recorded.messages[1])
    )
    assert asked.params["messages"][-1]["content"][0]["type"] == "tool_result"
    said = difference(ask("two", [before], max_tokens=9), Records([before, recorded]), "b")
    assert said == "--max-tokens: recorded 32000, now 9"


DEEP: list[Any] = []
for _ in range(100_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    "strange", [*(payload for _, payload in HOSTILE), "\x1b[2J\u202e", "x" * 10_000, DEEP, {}, None]
)
def test_what_a_stranger_recorded_is_quoted_short_and_printable(strange: Any) -> None:
    params = {
        "model": strange,
        "max_tokens": [strange],
        "system": strange,
        strange if isinstance(strange, str) else "p": strange,
        "q": {"a": strange},
    }
    recorded = answered(ask("?"), cell_id="a", params=params, prefix="?")
    for asked in (ask("!"), ask("?", system="Be brief."), ask(strange if isinstance(strange, str) else "-")):
        said = difference(asked, Records([recorded]), "a")
        assert said.isprintable() and len(said) < 700
