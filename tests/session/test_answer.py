"""What becomes of a reply that is cut off, refused, or too dear: on the wire, and in the conversation."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from claude_magic import errors
from claude_magic.conversation.turns import text_of
from claude_magic.cost import pricing
from claude_magic.cost.budget import Budget
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.render.turn import header_output
from claude_magic.session.question import Question
from claude_magic.session.session import Outcome, Session
from claude_magic.tools.calls import ToolCalls
from claude_magic.tools.functions import Tool
from support.sessions import OFFLINE, Reader, ask, dialogue
from support.turns import text, turn_of

RUNS = itertools.count()


@pytest.fixture
def session() -> Session:
    return Session()


def go_on(session: Session, reader: Reader | None = None) -> Outcome:
    return session.continue_reply("main", Cell("go on", f"go on {next(RUNS)}"), OFFLINE, reader or Reader())


def test_a_reply_that_was_cut_off_goes_on_as_one(session: Session) -> None:
    whole = ask(session, "[[long 300]]", "whole").turn
    session.chats.reset("main")
    cut = ask(session, "[[long 300]]", "a", max_tokens=40).turn
    assert whole and cut and cut.calls[-1].stop_reason == "max_tokens"
    session.client.offline.script = lambda body: [{"type": "text", "text": " and the rest."}]
    reader = Reader()
    outcome = go_on(session, reader)
    assert outcome.failure is None and outcome.turn and reader.ended == [outcome.turn]
    assert text_of(outcome.turn.reply) == text_of(cut.reply) + " and the rest."
    assert len(outcome.turn.calls) == 2
    (standing,) = session.chats.shown["main"]
    assert standing.id == outcome.turn.id and standing.cell_id == "a"
    sent = session.client.offline.requests[-1]
    assert [role for role, _ in dialogue(sent["messages"])] == ["user", "assistant", "user"]
    assert sent["max_tokens"] == 40
    session.client.offline.script = None
    later = ask(session, "and then?", "b")
    assert later.failure is None
    assert [m["role"] for m in session.client.offline.requests[-1]["messages"]] == ["user", "assistant"] * 2 + ["user"]


def test_continued_replies_cost_what_their_calls_cost_once(session: Session) -> None:
    ask(session, "[[long 300]]", "a", max_tokens=40)
    go_on(session)
    calls = [call for turn in session.chats.turns for call in turn.calls]
    assert len(calls) == 2 and session.spent_elsewhere() == []
    spent = pricing.total(pricing.turn_cost(turn) for turn in session.spent)
    assert spent == pricing.total(pricing.call_cost(call) for call in calls)


def test_a_continuation_is_undone(session: Session) -> None:
    cut = ask(session, "[[long 300]]", "a", max_tokens=40).turn
    go_on(session)
    turns, _ = session.undo()
    assert turns == [cut] and list(session.chats.shown["main"]) == [cut]


def test_there_is_nothing_to_continue_after_a_whole_reply(session: Session) -> None:
    with pytest.raises(errors.UsageError, match="nothing to continue"):
        go_on(session)
    ask(session, "hello", "a")
    with pytest.raises(errors.UsageError, match="nothing to continue"):
        go_on(session)
    assert len(session.client.offline.requests) == 1


def test_a_reply_that_was_cut_off_in_its_thinking_has_nothing_to_continue_and_says_what_to_do(session: Session) -> None:
    session.client.offline.script = lambda body: [{"type": "thinking", "thinking": "Let me see. " * 100}]
    ask(session, "hello", "a", max_tokens=40)
    with pytest.raises(errors.UsageError, match=r"cut off before it said anything.*nothing to continue") as raised:
        go_on(session)
    assert "--max-tokens" in raised.value.advice


def test_a_model_is_no_fallback_of_its_own(session: Session) -> None:
    outcome = ask(session, "[[refuse]]", "a", model="claude-opus-5-5", fallback="opus")
    assert outcome.turn and outcome.turn.status == "refused"
    assert len(session.client.offline.requests) == len(outcome.turn.calls) == 1


def test_a_question_past_a_budget_says_which_one_to_raise(session: Session) -> None:
    with pytest.raises(errors.UsageError) as raised:
        ask(session, "hello", "a", budget="0")
    assert "--budget" in raised.value.advice
    session.budget = Budget(Decimal(0), Decimal(0))
    for own in (None, "5"):
        with pytest.raises(errors.UsageError) as raised:
            ask(session, "hello", "a", budget=own)
        assert "%config ClaudeMagic.budget" in raised.value.advice
    assert session.client.offline.requests == []


@pytest.mark.parametrize(
    ("extra", "options"),
    [
        ({"stop_sequences": ["a"]}, {"stop": ("b",)}),
        ({"tools": []}, {"web_search": True}),
        ({"metadata": {"user_id": "u1"}}, {"metadata_user": "u2"}),
        ({"output_config": {"effort": "max"}}, {"effort": "low"}),
        ({"cache_control": None}, {"cache": "1h"}),
    ],
    ids=str,
)
def test_what_an_option_asks_for_is_not_silently_replaced_by_extra_body(
    session: Session, extra: dict[str, Any], options: dict[str, Any]
) -> None:
    session.extra_body = extra
    (name,) = extra
    with pytest.raises(errors.UsageError, match=f"extra_body sets {name}, and so does an option"):
        ask(session, "hello", "a", **options)
    assert session.client.offline.requests == []
    assert ask(session, "hello", "a").failure is None
    (sent,) = session.client.offline.requests
    assert sent.get(name) == extra[name]


def test_extra_body_goes_before_what_is_sent_unasked(session: Session) -> None:
    session.extra_body = {"thinking": {"type": "disabled"}, "cache_control": None}
    assert ask(session, "hello", "a", model="claude-haiku-5-5").failure is None
    (sent,) = session.client.offline.requests
    assert sent["thinking"] == {"type": "disabled"} and sent["cache_control"] is None


def test_what_is_added_unasked_gives_way_to_extra_body(session: Session) -> None:
    """Tools of an earlier cell and `tool_choice: none`, as well as thinking that a forced tool turns off."""
    definition = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}
    tools = ToolCalls([Tool("look_up", definition, lambda given: "found")], limit=5)
    question = Question(Options(), [text("look up")], Cell("a", "a"), tools=tools)
    assert session.ask(question, OFFLINE, Reader()).failure is None
    session.extra_body = {"tool_choice": {"type": "auto"}}
    assert ask(session, "and now?", "b").failure is None
    sent = session.client.offline.requests[-1]
    assert sent["tool_choice"] == {"type": "auto"} and sent["tools"] == [definition]
    session.extra_body = {"tools": [{**definition, "name": "other"}]}
    assert ask(session, "hello", "c", once=True).failure is None
    assert session.client.offline.requests[-1]["tools"][0]["name"] == "other"


STOPS: list[tuple[str, str, dict[str, Any], str, bool]] = [
    # stop reason, prompt, options, what the header says, whether the reply goes along with the next question
    ("end_turn", "hello", {}, "", True),
    ("max_tokens", "[[long 300]]", {"max_tokens": 40}, "cut off at max_tokens", True),
    ("stop_sequence", "[[long 300]]", {"stop": ("e",)}, "stopped at 'e'", True),
    ("refusal", "[[refuse]]", {}, "refused", False),
]


@pytest.mark.parametrize(("reason", "prompt", "options", "says", "stays"), STOPS, ids=[row[0] for row in STOPS])
def test_each_way_to_stop_is_said_and_the_next_question_goes_through(
    session: Session, reason: str, prompt: str, options: dict[str, Any], says: str, stays: bool
) -> None:
    """`tool_use` is in test_calls, `pause_turn` in test_session, `compaction` with the rules of the stand-in."""
    turn = ask(session, prompt, "a", **options).turn
    assert turn and turn.calls[-1].stop_reason == reason
    assert says in header_output(turn)[0]["text/plain"]
    assert ask(session, "and then?", "b").failure is None
    sent = session.client.offline.requests[-1]["messages"]
    assert [message["role"] for message in sent] == (["user", "assistant", "user"] if stays else ["user"])


def test_a_reply_that_fills_the_window_says_so_and_the_next_question_is_not_sent(session: Session) -> None:
    prompt = "x" * int((200_000 - 110) * 3.5) + " [[long 9000]]"
    turn = ask(session, prompt, "a", model="claude-haiku-4-5", max_tokens=4_000).turn
    assert turn and turn.calls[-1].stop_reason == "model_context_window_exceeded"
    assert "the context window is full" in header_output(turn)[0]["text/plain"]
    with pytest.raises(errors.UsageError) as raised:
        ask(session, "and then?", "b", model="claude-haiku-4-5", max_tokens=4_000)
    assert raised.value.advice and len(session.client.offline.requests) == 1


def test_a_failed_continuation_changes_nothing(session: Session) -> None:
    from claude_magic.offline import Fault

    cut = ask(session, "[[long 300]]", "a", max_tokens=40).turn
    session.client.offline.faults.append(Fault("status", status=401))
    outcome = go_on(session)
    assert outcome.failure is not None and outcome.turn is None
    assert list(session.chats.shown["main"]) == [cut]


def test_another_model_answers_where_the_first_refuses(session: Session) -> None:
    outcome = ask(session, "[[refuse]]", "a", fallback="haiku")
    assert outcome.failure is None and outcome.turn
    models = [request["model"] for request in session.client.offline.requests]
    assert len(models) == 2 and "haiku" in models[1] and models[0] != models[1]
    assert len(outcome.turn.calls) == 2 and "refused" in outcome.turn.notes[-1]


def test_the_budget_stops_a_question_before_it_is_sent(session: Session) -> None:
    session.budget = Budget(Decimal("0.000001"), Decimal(2))
    with pytest.raises(errors.UsageError, match="budget"):
        ask(session, "hello " * 1000, "a")
    with pytest.raises(errors.UsageError, match="budget"):
        session.budget = None
        ask(session, "hello " * 1000, "a", budget="0.000001")
    assert not [request for request in session.client.offline.requests if "stream" in request]
    with pytest.raises(errors.UsageError, match="price"):
        ask(session, "hello", "a", budget="1", model="claude-unheard-of-9")


def test_the_budget_stops_a_reply_that_would_pass_it_and_keeps_what_came(session: Session) -> None:
    outcome = ask(session, "[[long 3000]]", "a", budget="0.004")
    assert isinstance(outcome.failure, errors.ReplyInterrupted) and "budget" in outcome.failure.message
    assert outcome.joined and outcome.turn and outcome.turn.status == "interrupted"
    assert 100 < len(text_of(outcome.turn.reply)) < 3_000


def test_tokens_are_counted_by_part_and_nothing_is_asked(session: Session) -> None:
    ask(session, "first", "a", system="Be brief.")
    content: list[dict[str, Any]] = [{"type": "text", "text": "second " * 50}]
    from claude_magic.options import Options

    before = len(session.client.offline.requests)
    counted = session.count(Question(Options(system="Be brief."), content, Cell("b", "count")), OFFLINE)
    assert counted.exact and counted.parts["history"] > 0 and counted.parts["system"] > 0
    assert counted.parts["prompt"] >= 50 and counted.parts["attachments"] == 0
    assert str(counted.cost).startswith("$0.0")
    asked = [request for request in session.client.offline.requests[before:] if "max_tokens" in request]
    assert asked == [] and len(session.chats.shown["main"]) == 1


def test_old_results_of_tools_are_left_out_and_the_cell_says_how_many(session: Session) -> None:
    messages: list[Any] = []
    for number in range(5):
        call = {"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {"at": number}}
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "It rains. " * 200}
        messages += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    said = {"role": "assistant", "content": [{"type": "text", "text": "It rains."}]}
    asked = {"role": "user", "content": [{"type": "text", "text": "The weather?"}]}
    session.chats.adopt([turn_of("a", "a", messages=(asked, *messages, said))], Cell("a", "made"))
    whole, cleared = (ask(session, "And now?", "b", clear_tools=when).turn for when in (None, "100"))
    assert whole and cleared and not [note for note in whole.notes if "left out" in note]
    tokens = pricing.tokens(whole.calls).all_input - pricing.tokens(cleared.calls).all_input
    assert f"2 results of tools left out ({tokens:,} tokens)" in cleared.notes and tokens > 1_000
    again = ask(session, "And then?", "c", clear_tools="auto").turn
    assert again and not [note for note in again.notes if "left out" in note]
