"""Replies that do not fit the API's schema: what is kept can go back, what cannot is said, and the chat goes on."""

from __future__ import annotations

import copy
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from claude_magic import errors
from claude_magic.client import Client, Settings
from claude_magic.conversation import record
from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.turns import Turn
from claude_magic.cost import ledger, pricing
from claude_magic.notebook.cell import Cell
from claude_magic.notebook.journal import Journal, turn_of
from claude_magic.notebook.reader import read
from claude_magic.options import Options
from claude_magic.render import cost_report, export, history
from claude_magic.render.answer import answer_outputs
from claude_magic.render.live.columns import Columns
from claude_magic.render.live.live import TerminalView
from claude_magic.render.reply import reply_value
from claude_magic.render.turn import footer, header_output
from claude_magic.session import answer, comparison
from claude_magic.session.question import Question, Replay
from claude_magic.session.session import Outcome, Session
from claude_magic.tools import functions
from claude_magic.tools.calls import ToolCalls
from support.event_server import Event, EventServer, called, event_server, spoken, stream_of
from support.sessions import Reader, ask, text_in
from support.turns import digested, plain

RUNS = itertools.count()
SETTINGS = Settings(max_retries=0, timeout=20)
FINAL = stream_of(spoken("final"), id="msg_last")
CITATION = {
    "type": "char_location",
    "cited_text": "x",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"type": "web_search_result"}]}


@pytest.fixture(scope="module")
def server() -> Iterator[EventServer]:
    with event_server() as running:
        yield running


@pytest.fixture(scope="module")
def client() -> Client:
    """One client for all sessions here: making them anew would take the time."""
    return Client()


@pytest.fixture(autouse=True)
def address(server: EventServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)


class Looking(Reader):
    """A view that looks at the growing reply as a live one does, and prints it as a terminal's does."""

    def __init__(self) -> None:
        super().__init__()
        self.terminal = TerminalView()

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        self.terminal.grow(event, accumulator)
        with accumulator.lock:
            looked = (accumulator.text, accumulator.thinking, accumulator.shown, accumulator.tools, accumulator.usage)
            json.dumps((looked, accumulator.model, accumulator.phase), ensure_ascii=False).encode()


class Cells:
    """The cells of a notebook whose tool `one` is called with numbers."""

    def __init__(self, client: Client, server: EventServer) -> None:
        self.session = Session(client)
        self.server = server
        self.ran: list[Any] = []

    def ask(self, prompt: str, cell: str, *, tools: bool = False, **options: Any) -> Outcome:
        def run(given: Any) -> Any:
            self.ran.append(given)
            return "1"

        definition = {"name": "one", "description": "One.", "input_schema": {"type": "object"}}
        offered = ToolCalls([functions.Tool("one", definition, run)], limit=3) if tools else None
        content = [{"type": "text", "text": prompt}]
        running = Cell(cell, f"odd {next(RUNS)}")
        question = Question(Options(**options), content, running, tools=offered)
        outcome = self.session.ask(question, SETTINGS, Looking())
        assert outcome.failure is None or "\n" not in str(outcome.failure)
        assert "Error)" not in str(outcome.failure)  # an error of ours in disguise
        return outcome

    def talk(self, *replies: Sequence[Event], tools: bool = True) -> Outcome:
        """Ask a question that is answered so, and another one, which must be answered. Returns the first outcome."""
        self.server.begin(*replies, FINAL)
        outcome = self.ask("hi", "a", tools=tools)
        self.server.begin(FINAL)
        later = self.ask("next", "b")
        assert later.failure is None and later.joined, (later.failure, self.server.requests[-1]["messages"])
        return outcome

    @property
    def sent(self) -> Any:
        return self.server.requests[-1]["messages"]


@pytest.fixture
def cells(client: Client, server: EventServer) -> Cells:
    return Cells(client, server)


def results(turn: Turn | None) -> dict[str, tuple[str, bool]]:
    assert turn is not None
    return {id: (str(each["content"]), bool(each.get("is_error"))) for id, each in turn.results.items()}


def tool_uses(messages: Any) -> list[tuple[str, Any]]:
    blocks = [block for message in messages for block in message["content"]]
    return [(block["id"], block["input"]) for block in blocks if block["type"] == "tool_use"]


@pytest.mark.parametrize("source", ["[1]", '"x"', "null", "7", '{"n": abc}', '{"n": 1', '{"n": NaN}', "[" * 5_000])
def test_a_call_whose_input_is_no_object_gets_an_error_and_claude_goes_on(cells: Cells, source: str) -> None:
    outcome = cells.talk(stream_of(called("toolu_1", source), stop="tool_use"))
    assert outcome.failure is None and outcome.joined and cells.ran == []
    ((id, (told, failed)),) = results(outcome.turn).items()
    assert id == "toolu_1" and failed and "not a JSON object" in told and "INVALID_JSON" in told
    assert tool_uses(cells.sent) == [("toolu_1", {})]
    assert text_in(outcome.turn.reply) == "final" if outcome.turn else False


@pytest.mark.parametrize("given", [[1], None, "x", 5])
def test_an_input_that_comes_whole_and_is_no_object_is_the_same(cells: Cells, given: Any) -> None:
    outcome = cells.talk(stream_of(called("toolu_1", input=given), stop="tool_use"))
    assert [failed for _, failed in results(outcome.turn).values()] == [True] and cells.ran == []
    assert tool_uses(cells.sent) == [("toolu_1", {})]


def test_an_input_as_text_that_holds_an_object_is_read(cells: Cells) -> None:
    cells.talk(stream_of(called("toolu_1", input='{"n": 4}'), stop="tool_use"))
    assert cells.ran == [{"n": 4}] and tool_uses(cells.sent) == [("toolu_1", {"n": 4})]


def test_thinking_without_a_signature_is_shown_and_not_sent_also_before_a_tool(cells: Cells) -> None:
    """A gateway's: the API would refuse it in the history."""
    thinking = [{"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "Hm."}]
    outcome = cells.talk(stream_of(thinking, called("toolu_1", '{"n": 1}'), stop="tool_use"))
    assert outcome.turn and reply_value(outcome.turn).thinking == "Hm." and cells.ran == [{"n": 1}]
    assert "Hm." not in json.dumps(cells.sent)


def test_broken_input_again_and_again_ends_at_the_limit(cells: Cells) -> None:
    rounds = [stream_of(called(f"toolu_{n}", "[1]"), stop="tool_use", id=f"msg_{n}") for n in range(9)]
    outcome = cells.talk(*rounds)
    assert outcome.turn and len(outcome.turn.calls) <= 5


@pytest.mark.parametrize("tools", [True, False])
def test_a_call_that_max_tokens_cut_stays_partial(cells: Cells, tools: bool) -> None:
    outcome = cells.talk(stream_of(spoken("Hm."), called("toolu_1", '{"n": '), stop="max_tokens"), tools=tools)
    assert outcome.turn and outcome.turn.partial[0]["partial_json"] == '{"n": ' and tool_uses(cells.sent) == []


def test_two_calls_with_one_id_are_both_answered(cells: Cells) -> None:
    outcome = cells.talk(stream_of(called("d", '{"n": 1}'), called("d", '{"n": 2}'), stop="tool_use"))
    assert outcome.failure is None and cells.ran == [{"n": 1}, {"n": 2}]
    assert tool_uses(cells.sent) == [("d", {"n": 1}), ("d_2", {"n": 2})]
    assert results(outcome.turn).keys() == {"d", "d_2"}
    assert outcome.turn and any("the id of a tool call" in note for note in outcome.turn.notes)


def test_an_id_that_comes_again_in_the_next_message_is_another_call(cells: Cells) -> None:
    """A gateway that counts its ids from one in each message, and has one message id for all."""
    rounds = [stream_of(called("call_0", f'{{"n": {n}}}'), stop="tool_use") for n in range(3)]
    outcome = cells.talk(*rounds)
    assert outcome.failure is None and cells.ran == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [id for id, _ in tool_uses(cells.sent)] == ["call_0", "call_0_2", "call_0_3"]


def test_the_same_message_again_is_a_replay_and_runs_nothing(cells: Cells) -> None:
    message = stream_of(called("call_0", '{"n": 1}'), stop="tool_use")
    outcome = cells.talk(message, message)
    assert isinstance(outcome.failure, errors.StreamError) and cells.ran == [{"n": 1}]


def test_server_tools_with_one_id_keep_their_own_results(cells: Cells) -> None:
    outcome = cells.talk(stream_of([SEARCH], [FOUND], [SEARCH], [FOUND], spoken("Found.")), tools=False)
    assert outcome.turn
    named = [block.get("id") or block.get("tool_use_id") for block in cells.sent[1]["content"]]
    assert named == ["srvtoolu_1", "srvtoolu_1", "srvtoolu_1_2", "srvtoolu_1_2", None]


@pytest.mark.parametrize("id", ["a:b", "a\n", "", 5, None, [1], {"a": 1}, "x" * 500, "\ud800"])
@pytest.mark.parametrize("kind", ["tool_use", "server_tool_use"])
def test_an_id_that_the_api_would_refuse_is_replaced(cells: Cells, id: Any, kind: str) -> None:
    call = {"type": kind, "id": id, "name": "one", "input": {}}
    answer = [[{**FOUND, "tool_use_id": id}]] if kind == "server_tool_use" else []
    outcome = cells.talk(stream_of([call], *answer, spoken("So."), stop="tool_use"))
    assert outcome.turn and outcome.joined
    if kind == "tool_use":
        assert cells.ran == [{}] and len(tool_uses(cells.sent)) == 1
    digested(outcome.turn)


@pytest.mark.parametrize(
    ("name", "sent"), [("my.tool", "my_tool"), ("", "unnamed"), (5, "unnamed"), ("é" * 200, "_" * 128)]
)
def test_a_tools_name_that_the_api_would_refuse_is_replaced_and_claude_is_told(
    cells: Cells, name: Any, sent: str
) -> None:
    outcome = cells.talk(stream_of(called("toolu_1", "{}", name=name), stop="tool_use"))
    (told, failed) = results(outcome.turn)["toolu_1"]
    assert failed and "no tool" in told and sent in json.dumps(cells.sent)


@pytest.mark.parametrize("result", [{"type": "tool_result", "tool_use_id": "t", "content": "x"}, FOUND])
def test_a_result_without_a_call_is_shown_and_not_sent(cells: Cells, result: Event) -> None:
    outcome = cells.talk(stream_of(spoken("Look:"), [result], spoken("that.")), tools=False)
    assert outcome.joined and outcome.turn and len(outcome.turn.reply) == 3
    assert [block["type"] for block in cells.sent[1]["content"]] == ["text", "text"]


# --- nothing said ----------------------------------------------------------------------------------------

THOUGHT = [{"type": "thinking", "thinking": "Hm.", "signature": "c2lnbg=="}]


@pytest.mark.parametrize("reply", [[], [spoken("")], [spoken(" \n")], [THOUGHT], [THOUGHT, spoken(" ")]])
def test_an_empty_reply_is_said_and_its_question_goes_along(
    cells: Cells, client: Client, reply: list[Any], tmp_path: Path
) -> None:
    outcome = cells.talk(stream_of(*reply), tools=False)
    assert outcome.failure is None and outcome.joined and outcome.turn and "empty reply" in footer(outcome.turn)
    assert [message["role"] for message in cells.sent] == ["user"]
    assert [block["text"] for block in cells.sent[0]["content"]] == ["hi", "next"]
    again = restored(cells, client, tmp_path)
    assert [turn.id for turn in again.session.chats.shown["main"]] == [turn.id for turn in cells.session.spent]
    assert again.ask("and?", "c").failure is None
    assert [text_in(message["content"]) for message in again.sent] == ["hinext", "final", "and?"]


def test_an_empty_reply_after_tools_keeps_what_they_did(cells: Cells) -> None:
    outcome = cells.talk(stream_of(called("toolu_1", "{}"), stop="tool_use"), stream_of(id="msg_2"))
    assert outcome.turn and outcome.joined and "empty reply" in footer(outcome.turn)
    assert [message["role"] for message in cells.sent] == ["user", "assistant", "user"]
    assert [block["type"] for block in cells.sent[-1]["content"]] == ["tool_result", "text"]


def test_pins_stand_before_the_questions_of_empty_replies(cells: Cells) -> None:
    from claude_magic.conversation.turns import Pin

    cells.session.chats.set_up(Pin("rule", ({"type": "text", "text": "pinned"},)), Cell("p", "p"))
    cells.talk(stream_of(), tools=False)
    assert [block["text"] for block in cells.sent[0]["content"]] == ["pinned", "hi", "next"]


def test_an_empty_reply_is_replayed_as_what_it_was(cells: Cells) -> None:
    turn = cells.talk(stream_of(), tools=False).turn
    cells.server.begin(FINAL)
    again = ask(cells.session, "hi", "a", settings=SETTINGS, replay=Replay("only", 0))
    assert turn and again.turn and again.turn.replayed and again.turn.messages == turn.messages
    assert cells.server.requests == [] and "empty reply" in footer(again.turn)


UNREADABLE = [*stream_of(spoken("Hello."))[:3], {"type": "content_block_delta", "index": 0, "delta": None}]


@pytest.mark.parametrize(
    ("reply", "asked"), [(stream_of(), ["hi", "next"]), (UNREADABLE, ["next"]), (stream_of(spoken("Yes.")), ["next"])]
)
def test_a_comparison_keeps_what_a_question_alone_would(cells: Cells, reply: list[Event], asked: list[str]) -> None:
    cells.server.begin(reply)
    question = Question(Options(), [{"type": "text", "text": "hi"}], Cell("a", f"odd {next(RUNS)}"))
    outcome = comparison.compare(cells.session, question, ("opus", "sonnet"), SETTINGS, Columns(Publisher()))
    assert len(outcome.compared) == 2 and outcome.joined == (reply != UNREADABLE)
    looked_at(cells.session)
    cells.server.begin(FINAL)
    assert cells.ask("next", "b").failure is None
    assert [block["text"] for block in cells.sent[-1]["content"]] == asked


class Publisher:
    """A shell that publishes nothing."""

    def __init__(self) -> None:
        self.display_pub = self

    def publish(self, *_data: Any, **_more: Any) -> None:
        pass


# --- fields of another type ------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", [-5, "7", [1], True, {"input_tokens": -5}, {"input_tokens": 5, "iterations": 7}])
def test_a_usage_that_makes_no_sense_has_no_price(cells: Cells, usage: Any) -> None:
    events = stream_of(spoken("Hello."))
    events[0]["message"]["usage"] = usage
    outcome = cells.talk(events, tools=False)
    assert outcome.failure is None and outcome.joined and outcome.turn
    assert pricing.turn_cost(outcome.turn).dollars is None
    assert any("usage unreadable" in note for note in outcome.turn.notes)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": 5}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": None}},
        {"type": "content_block_start", "index": 1, "content_block": {}},
        {"type": "content_block_start", "index": 1},
        {"type": "content_block_delta", "index": [0], "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": 5}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_delta", "index": 0, "delta": None},
        {"type": "message_delta", "delta": "x"},
        {"type": "message_start", "message": None},
    ],
)
def test_an_event_that_makes_no_sense_ends_the_reply_and_nothing_joins(cells: Cells, event: Event) -> None:
    events = stream_of(spoken("Hello."))
    events.insert(3, event)
    outcome = cells.talk(events, tools=False)
    assert isinstance(outcome.failure, errors.StreamError) and "unreadable" in str(outcome.failure)
    assert not outcome.joined and [text_in(message["content"]) for message in cells.sent] == ["next"]
    assert outcome.turn and text_in(outcome.turn.reply) == "Hello." and outcome.turn in cells.session.spent


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "zzz_delta", "text": 5}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": None}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": {"type": 5}}},
        {"type": "zzz", "index": None},
        {"type": "message_delta", "delta": {"stop_details": 5, "container": "x", "content": 5}, "usage": None},
        {"type": "message_delta", "delta": {}, "context_management": {"applied_edits": 5}},
        {"type": "message_delta", "delta": {}, "diagnostics": {"cache_miss_reason": [1]}},
        {"type": "message_delta", "delta": {"stop_details": float("nan")}, "context_management": float("inf")},
        {"type": "claude_magic.tool_result", "content": {"type": "text", "text": 5}},
        {"type": "claude_magic.goes_on"},
        {"type": "content_block_stop", "index": 0},
    ],
)
def test_what_says_nothing_is_passed_over(cells: Cells, event: Event) -> None:
    events = stream_of(spoken("Hello."))
    events.insert(3, event)
    outcome = cells.talk(events, tools=False)
    assert outcome.failure is None and outcome.joined
    assert [text_in(message["content"]) for message in cells.sent] == ["hi", "Hello.", "next"]


@pytest.mark.parametrize("name", ["id", "model", "stop_reason"])
@pytest.mark.parametrize("value", ["\ud800", 5, [], None, "x" * 5_000])
def test_names_that_make_no_sense_do_no_harm(cells: Cells, name: str, value: Any) -> None:
    events = stream_of(spoken("Hello."))
    (events[-2]["delta"] if name == "stop_reason" else events[0]["message"])[name] = value
    outcome = cells.talk(events, tools=False)
    assert outcome.failure is None and outcome.joined and outcome.turn
    digested(outcome.turn)


def test_a_stop_sequence_that_is_not_named(cells: Cells) -> None:
    outcome = cells.talk(stream_of(spoken("Hello."), stop="stop_sequence"), tools=False)
    assert outcome.turn and "None" not in footer(outcome.turn) and "stopped at a stop sequence" in footer(outcome.turn)


def test_blocks_that_are_not_ended_are_whole_with_the_message(cells: Cells) -> None:
    events = stream_of(spoken("Now:"), called("toolu_1", '{"n": 1}'), stop="tool_use")
    cells.talk([event for event in events if event["type"] != "content_block_stop"])
    assert cells.ran == [{"n": 1}]


def test_a_gateway_that_has_one_index_for_all_blocks(cells: Cells) -> None:
    events = stream_of(spoken("Now:"), called("toolu_1", '{"n": 1}'), stop="tool_use")
    cells.talk([{**event, "index": 0} if "index" in event else event for event in events])
    assert cells.ran == [{"n": 1}]


@pytest.mark.parametrize("start", [{"type": "hologram", "x": 1}, {"type": "text", "text": "Hello.", "new": 1}])
def test_what_the_api_does_not_know_goes_back_and_is_left_out_where_it_is_refused(cells: Cells, start: Event) -> None:
    outcome = cells.talk(stream_of([start], spoken("So.")), tools=False)
    assert outcome.joined and start in cells.server.requests[0]["messages"][1]["content"]
    assert "So." in text_in(cells.sent[1]["content"]) and "hologram" not in json.dumps(cells.sent)
    assert any("left out" in note for note in cells.session.spent[-1].notes)


def test_citations_that_the_api_does_not_know_are_left_out_and_the_rest_goes_on(cells: Cells) -> None:
    odd = {"type": "text", "text": "Yes.", "citations": [{"type": "x"}, CITATION]}
    outcome = cells.talk(stream_of([odd], called("toolu_1", "{}"), stop="tool_use"))
    assert outcome.failure is None and outcome.turn and cells.ran == [{}], "in the middle of the exchange, too"
    assert cells.sent[1]["content"][0] == {"type": "text", "text": "Yes.", "citations": [CITATION]}
    assert [note for note in outcome.turn.notes if "left out" in note] == [answer.UNKNOWN]


def fetched(*kinds: str) -> list[list[Any]]:
    """Pages that Claude fetched, whose contents are of these types."""
    made: list[list[Any]] = []
    for number, kind in enumerate(kinds):
        call = {"type": "server_tool_use", "id": f"srvtoolu_{number}", "name": "web_fetch", "input": {}}
        result = {"type": "web_fetch_tool_result", "tool_use_id": call["id"], "content": {"type": kind}}
        made += [[call], [result]]
    return made


def test_results_that_the_api_does_not_take_are_left_out_one_by_one(
    cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells.server, "results", ("web_fetch_result",))
    outcome = cells.talk(stream_of(*fetched("x", "web_fetch_result", "y"), spoken("So.")), tools=False)
    assert outcome.joined and len(cells.server.refused) == 2
    call, result, said = cells.sent[1]["content"]
    assert call["id"] == result["tool_use_id"] == "srvtoolu_1" and said["text"] == "So."


@pytest.mark.slow
def test_who_refuses_again_and_again_is_not_asked_for_ever(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells.server, "results", ("web_fetch_result",))
    cells.server.begin(stream_of(*fetched(*["x"] * 12), spoken("So.")), FINAL)
    assert cells.ask("hi", "a").joined
    assert isinstance(cells.ask("next", "b").failure, errors.InvalidRequestError)
    assert len(cells.server.refused) == answer.MAX_REFUSALS + 1


# --- the gate --------------------------------------------------------------------------------------------


def test_a_question_that_no_record_could_hold_is_not_sent(cells: Cells) -> None:
    cells.server.begin(FINAL)
    with pytest.raises(errors.UsageError, match=r"turn\.chat.*Nothing was sent"):
        cells.ask("hi", "a", chat="x" * 400)
    assert cells.server.requests == []


def test_a_null_in_extra_body_is_kept(cells: Cells) -> None:
    cells.server.begin(FINAL)
    cells.session.extra_body = {"cache_control": None}
    outcome = cells.ask("hi", "a")
    assert outcome.joined and outcome.turn and record.fault(outcome.turn) == ""


def test_a_reply_that_no_record_could_hold_is_shown_paid_for_and_not_in_the_conversation(
    cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is known; the gate is there for those that are not."""
    monkeypatch.setattr(answer.record, "fault", lambda turn: "turn.messages is odd" if turn.calls[0].usage else "")
    cells.server.begin(stream_of(spoken("Hello.")))
    outcome = cells.ask("hi", "a")
    assert not outcome.joined and "not kept in the conversation" in str(outcome.failure)
    assert outcome.turn and text_in(outcome.turn.reply) == "Hello." and cells.session.spent == [outcome.turn]
    assert pricing.turn_cost(outcome.turn).dollars and "not in the conversation" in footer(outcome.turn)
    cells.ask("next", "b")
    assert len(cells.sent) == 1


def test_the_gate_refuses_each_way_into_a_conversation(cells: Cells) -> None:
    whole = cells.talk(stream_of(spoken("Hello."))).turn
    assert whole is not None
    reply = {"role": "assistant", "content": [{"type": "tool_use", "id": "a:b", "name": "f", "input": [1]}]}
    bad = Turn("bad", (whole.messages[0], reply), whole.calls, "z", params=whole.params, created=1.0)
    chats = cells.session.chats
    before = dict(chats.shown)
    for way in (
        lambda: chats.join(bad, Cell("z", "z")),
        lambda: chats.exchange(whole, bad),
        lambda: chats.put_back(bad),
        lambda: chats.adopt([bad], Cell("z", "y")),
    ):
        with pytest.raises(errors.StreamError, match="could not be read back"):
            way()
    assert chats.shown == before


# --- two hundred odd streams -------------------------------------------------------------------------------

RICH: list[Event] = stream_of(
    [
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Hm."},
        {"type": "signature_delta", "signature": "c2lnbg=="},
    ],
    [
        {"type": "text", "text": "", "citations": []},
        {"type": "text_delta", "text": "It is "},
        {"type": "citations_delta", "citation": CITATION},
        {"type": "text_delta", "text": "so."},
    ],
    [SEARCH, {"type": "input_json_delta", "partial_json": '{"query": "x"}'}],
    [FOUND],
    called("toolu_1", '{"n": 1}'),
    called("toolu_2", '{"n": 2}'),
    spoken("Wait."),
    stop="tool_use",
)
RICH[0]["message"] |= {
    "container": {"id": "container_1", "expires_at": "2026-11-28T00:00:00Z"},
    "diagnostics": {"cache_miss_reason": {"type": "model_changed"}},
    "usage": {
        "input_tokens": 12,
        "output_tokens": 1,
        "cache_creation_input_tokens": 6,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 4},
        "server_tool_use": {"web_search_requests": 1},
        "iterations": [{"type": "message", "input_tokens": 12, "output_tokens": 34}],
        "service_tier": "standard",
    },
}
RICH[-2] |= {"context_management": {"applied_edits": [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1}]}}

# A reply that is not streamed, with blocks of the other kinds.
WHOLE: list[Event] = stream_of(id="msg_whole", stop="end_turn")
WHOLE[0]["message"]["content"] = [
    {"type": "redacted_thinking", "data": "Z3VhcmRlZA=="},
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "bash_code_execution", "input": {"command": "ls"}},
    {
        "type": "bash_code_execution_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": {
            "type": "bash_code_execution_result",
            "stdout": "x",
            "stderr": "",
            "return_code": 0,
            "content": [{"type": "bash_code_execution_output", "file_id": "file_1"}],
        },
    },
    {"type": "server_tool_use", "id": "srvtoolu_2", "name": "web_fetch", "input": {"url": "https://example.com"}},
    {
        "type": "web_fetch_tool_result",
        "tool_use_id": "srvtoolu_2",
        "content": {
            "type": "web_fetch_result",
            "url": "https://example.com",
            "retrieved_at": "2026-11-28",
            "content": {"type": "document", "title": "x", "source": {"type": "text", "data": "y"}},
        },
    },
    {"type": "server_tool_use", "id": "srvtoolu_3", "name": "text_editor_code_execution", "input": {"command": "view"}},
    {"type": "text_editor_code_execution_tool_result", "tool_use_id": "srvtoolu_3", "content": {"type": "x"}},
    {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "look", "server_name": "s", "input": {"q": "x"}},
    {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": "z"},
    {"type": "container_upload", "file_id": "file_2"},
    {"type": "text", "text": "Done.", "citations": [{**CITATION, "file_id": None}]},
    {"type": "tool_use", "id": "toolu_1", "name": "one", "input": {"n": 1}, "caller": {"type": "direct"}},
]
WHOLE[0]["message"] |= {"stop_reason": "tool_use", "stop_details": {"type": "refusal", "category": None}}
ODD: list[Any] = [None, 5, -5, 1.5, "7", "", "x y", "\ud800", True, [], [1], [None], {}, {"type": "x"}, {"type": 5}]
ODD += [float("nan"), float("inf"), 10**400, "tool_use", "text", "x" * 400, [[[[[]]]]], [{"type": "text", "text": 5}]]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to all values in JSON data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from places(each, (*path, key))


def changes_of(events: list[Event]) -> st.SearchStrategy[Any]:
    """The events, and up to three changes of them."""
    paths = [path for path in places(events) if len(path) > 1]
    one = st.one_of(
        st.tuples(st.just("set"), st.sampled_from(paths), st.sampled_from(ODD)),
        st.tuples(st.just("drop"), st.sampled_from(paths), st.none()),
        st.tuples(st.sampled_from(["leave out", "repeat", "swap", "cut"]), st.integers(0, len(events) - 1), st.none()),
    )
    return st.tuples(st.just(events), st.lists(one, min_size=1, max_size=3))


def changed(events: list[Event], changes: Sequence[tuple[str, Any, Any]]) -> list[Event]:
    """The events with the changes, those of fields first."""
    made: list[Any] = copy.deepcopy(events)
    for kind, path, value in (each for each in changes if each[0] in ("set", "drop")):
        holder: Any = made
        try:
            for key in path[:-1]:
                holder = holder[key]
            if kind == "set":
                holder[path[-1]] = copy.deepcopy(value)
            else:
                del holder[path[-1]]
        except (KeyError, IndexError, TypeError):  # an earlier change took its place away
            continue
    for kind, at, _ in (each for each in changes if each[0] not in ("set", "drop")):
        at = min(at, len(made) - 1)
        if not made:
            break
        if kind == "leave out":
            made[at : at + 1] = []
        elif kind == "repeat":
            made.insert(at, copy.deepcopy(made[at]))
        elif kind == "swap":
            made[at : at + 2] = reversed(made[at : at + 2])
        else:
            made = made[: at + 1]
    return made


def outputs_of(turn: Turn) -> list[Any]:
    data, metadata = header_output(turn)
    bundles = [(data, metadata), *((each, {}) for each in answer_outputs(turn))]
    return [nbformat.v4.new_output("display_data", data=data, metadata=metadata) for data, metadata in bundles]


def restored(cells: Cells, client: Client, folder: Path) -> Cells:
    """The notebook, saved and opened again in a new kernel."""
    path = folder / "odd.ipynb"
    shown = [
        nbformat.v4.new_code_cell("%%claude", id=str(turn.cell_id), outputs=outputs_of(turn))
        for turn in cells.session.spent
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=shown), path)
    saved = read(path)
    assert saved.skipped == ()
    again = Cells(client, cells.server)
    again.session.chats.restore(saved)
    return again


def looked_at(session: Session) -> None:
    """Do what `%claude_history`, `%claude_cost` and `%claude_export` do."""
    chats = {name: chat for name, chat in session.chats.shown.items() if len(chat)}
    for name, chat in chats.items():
        assert history.history_table(name, chat) and history.history_in_full(name, chat) and history.history_json(chat)
    for form in export.FORMS:
        assert export.export(chats, form, title="odd", stem="odd").text.encode()
    assert cost_report.session_table(ledger.entries(session.chats.turns, session.spent_elsewhere()))
    for turn in session.spent:
        digested(turn)
        reply_value(turn)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(changes_of(RICH), changes_of(WHOLE)), st.booleans())
@example((RICH, [("set", (0, "message", "usage"), -5)]), True)
@example((WHOLE, [("set", (0, "message", "content", 10, "citations", 0), {"type": "x"})]), False)
def test_whatever_comes_the_conversation_goes_on(
    client: Client, server: EventServer, odd: tuple[list[Event], list[tuple[str, Any, Any]]], tools: bool
) -> None:
    cells = Cells(client, server)
    with tempfile.TemporaryDirectory() as folder:
        cells.session.journal = Journal(Path(folder) / "journal")
        cells.talk(changed(*odd), tools=tools)
        asked_again = ("signature", "bound to", "Extra inputs", "expected tags")  # without what was refused
        assert not [why for why in server.refused if not any(each in why for each in asked_again)]
        for chat in cells.session.chats.shown.values():
            for turn in chat:
                assert record.record_of(record.metadata(turn)["claude_magic"]).turns
        kept = {entry.turn_id: turn_of(entry) for entry in cells.session.journal.entries(None)}
        for turn in cells.session.spent:  # what %claude_recover would bring back: of an unreadable reply, its beginning
            if turn.status != "interrupted" or turn.messages[-1]["content"]:
                assert plain(kept[turn.id].messages) == plain(turn.messages)
        looked_at(cells.session)
        again = restored(cells, client, Path(folder))
        server.begin(FINAL)
        assert again.ask("and?", "c").failure is None
        looked_at(again.session)
