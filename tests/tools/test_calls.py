"""Tools run between calls: in order, once, and whatever fails, stops or is refused, the conversation can go on."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pandas
import pydantic
import pytest

from claude_magic import errors
from claude_magic.client import Settings
from claude_magic.content import token_estimate
from claude_magic.content.secrets import Secrets
from claude_magic.conversation import record
from claude_magic.conversation.accumulator import TOOL_RESULT
from claude_magic.conversation.turns import NOT_RUN, Block, Turn, open_calls
from claude_magic.cost import count, pricing
from claude_magic.notebook.cell import Cell
from claude_magic.offline import Fault
from claude_magic.options import Options
from claude_magic.render import export, tool_calls
from claude_magic.render.answer import answer_outputs
from claude_magic.render.turn import header_output, reply_text
from claude_magic.session.question import Question, Replay
from claude_magic.session.session import Outcome, Session
from claude_magic.tools import approval, functions
from claude_magic.tools.approval import Answer
from claude_magic.tools.calls import INTERRUPTED, NOTHING, ToolCalls, run
from support.recordings import finished_streams
from support.sessions import OFFLINE, RETRYING, RUNS, Reader, ask
from support.turns import call, image
from support.turns import text as said

THOUGHT = {"type": "thinking", "thinking": "Let me see."}


class Ran:
    """A tool that notes what it was called with."""

    def __init__(self, then: Callable[[int], Any] = lambda amount: amount) -> None:
        self.calls: list[int] = []
        self.then = then

    def tool(self) -> functions.Tool:
        def add(amount: int) -> Any:
            """Add an amount."""
            self.calls.append(amount)
            return self.then(amount)

        return functions.of(add, "add")


def replies(session: Session, *contents: Sequence[Block]) -> None:
    """What the stand-in answers, by how many rounds of results it has had since the prompt."""

    def script(body: Mapping[str, Any]) -> list[Block] | None:
        rounds = 0
        for message in reversed(body["messages"]):
            content = message["content"] if isinstance(message["content"], list) else []
            if message["role"] == "user" and not all(block["type"] == "tool_result" for block in content):
                break
            rounds += message["role"] == "user"
        return list(contents[rounds]) if rounds < len(contents) else None

    session.client.offline.script = script


def use(
    session: Session,
    *given: functions.Tool,
    prompt: str = "Go.",
    cell: str = "a",
    reader: Reader | None = None,
    **more: Any,
) -> Outcome:
    """Run a cell that offers these tools."""
    calls = ToolCalls(given, more.pop("approve", lambda tool, given: ""), more.pop("limit", 25))
    settings, replay = more.pop("settings", OFFLINE), more.pop("replay", Replay())
    running = Cell(cell, f"tools {next(RUNS)}")
    content = [said(prompt)]
    question = Question(Options(**more), content, running, tools=calls, replay=replay)
    return session.ask(question, settings, reader or Reader())


def roles(turn: Turn) -> list[str]:
    return [message["role"] for message in turn.messages]


def results_of(turn: Turn) -> list[tuple[str, bool]]:
    return [(tool_calls.result_text(result), bool(result.get("is_error"))) for result in turn.results.values()]


@pytest.fixture
def session() -> Session:
    return Session()


def test_a_tool_runs_and_claude_goes_on_with_its_result(session: Session) -> None:
    ran = Ran(lambda amount: {"sum": amount})
    replies(session, [THOUGHT, said("I add."), call(1, amount="3")], [THOUGHT, said("It is 3.")])
    outcome = use(session, ran.tool())
    assert outcome.failure is None and outcome.joined and outcome.turn
    assert ran.calls == [3]
    assert roles(outcome.turn) == ["user", "assistant", "user", "assistant"]
    assert results_of(outcome.turn) == [('{"sum": 3}', False)]
    assert reply_text(outcome.turn) == "I add.\n\nIt is 3."
    assert [each.stop_reason for each in outcome.turn.calls] == ["tool_use", "end_turn"]
    assert outcome.turn.calls[0].message_id != outcome.turn.calls[1].message_id
    first, second = session.client.offline.requests
    assert first["tools"] == second["tools"] == [ran.tool().definition]
    assert (
        second["messages"][:-2] == first["messages"]
        and second["messages"][-1]["content"][0]["tool_use_id"] == "toolu_1"
    )
    assert pricing.turn_cost(outcome.turn) == pricing.total(pricing.call_cost(each) for each in outcome.turn.calls)


@pytest.mark.parametrize("choice", ["any", "add"])
def test_a_tool_is_forced_in_the_first_request_of_a_loop_only(session: Session, choice: str) -> None:
    ran = Ran()
    replies(session, [call(1, amount=1)], [call(2, amount=2)], [said("It is 3.")])
    outcome = use(session, ran.tool(), tool_choice=choice, model="claude-haiku-5-5")
    assert outcome.failure is None and outcome.turn and ran.calls == [1, 2]
    first, *further = session.client.offline.requests
    assert first["tool_choice"] == ({"type": "any"} if choice == "any" else {"type": "tool", "name": "add"})
    assert len(further) == 2 and not any("tool_choice" in each for each in further)
    assert all(each["thinking"] == {"type": "disabled"} for each in (first, *further))
    assert outcome.turn.params["tool_choice"] == first["tool_choice"]


def test_what_was_forced_is_not_forced_where_a_cut_reply_goes_on(session: Session) -> None:
    ask(
        session, "[[long 300]]", "a", web_search=True, tool_choice="web_search", model="claude-haiku-5-5", max_tokens=50
    )
    session.continue_reply("main", Cell("go on", f"go on {next(RUNS)}"), OFFLINE, Reader())
    first, second = session.client.offline.requests
    assert first["tool_choice"] == {"type": "tool", "name": "web_search"} and "tool_choice" not in second


def test_strict_tools_hold_their_arguments_to_what_the_api_can_enforce(session: Session) -> None:
    def book(seats: Annotated[int, pydantic.Field(ge=1, le=9)], when: dt.date, meal: str | None = None) -> str:
        """Book seats."""
        return f"{seats} on {when:%d %B}"

    tool = functions.strict(functions.of(book, "book"))
    schema = tool.definition["input_schema"]
    assert tool.definition["strict"] is True and schema["additionalProperties"] is False
    assert "minimum" not in str(schema["properties"]["seats"].keys()) and "minimum: 1" in str(schema)
    assert "default" not in schema["properties"]["meal"]
    assert tool.call({"seats": 2, "when": "2026-11-28"}) == "2 on 28 November"
    assert use(session, tool).failure is None
    assert session.client.offline.requests[0]["tools"] == [tool.definition]


SUMMARY = {
    "name": "print_summary",
    "description": "Print a summary.",
    "input_schema": {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
}


def test_a_definition_goes_as_it_is_and_its_call_is_left_to_the_reader(session: Session) -> None:
    """As for structured output by a forced tool: what Claude gives is in the reply's blocks."""
    ran = Ran()
    given = {**SUMMARY, "cache_control": {"type": "ephemeral"}}
    namespace = {"tools": [given, functions_of_the_notebook(ran)]}
    (definition, add) = functions.named("tools", namespace, {})
    replies(session, [call(1, "print_summary", title="Owls"), call(2, "add", amount=3)])
    outcome = use(session, definition, add, tool_choice="print_summary", model="claude-haiku-5-5")
    assert outcome.failure is None and outcome.joined and outcome.turn and ran.calls == []
    (request,) = session.client.offline.requests
    assert request["tools"][0] == SUMMARY
    inputs = [block["input"] for block in outcome.turn.reply if block["type"] == "tool_use"]
    assert inputs == [{"title": "Owls"}, {"amount": 3}]
    assert "called, and left to you: print_summary" in outcome.turn.notes
    assert ask(session, "Thanks.", "b").failure is None, "the conversation goes on"


def functions_of_the_notebook(ran: Ran) -> Callable[[int], Any]:
    def add(amount: int) -> None:
        ran.calls.append(amount)

    return add


def test_a_definition_of_a_tool_of_the_api_goes_as_it_is(session: Session) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    (tool,) = functions.named("search", {"search": search}, {})
    outcome = use(session, tool, prompt="Search for owls.", model="claude-haiku-5-5")
    assert outcome.failure is None and session.client.offline.requests[0]["tools"] == [search]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"input_schema": {"type": "object"}}, "a definition has a name"),
        ({"name": "f"}, "a definition has an input_schema"),
        ({"name": "f", "input_schema": {"type": "object", "x": {1}}}, "the definition is not JSON"),
        ({"name": "a b", "input_schema": {"type": "object"}}, "the API takes no such name"),
        ([], "the list is empty"),
        ([3], "of type int, and cannot be called"),
    ],
    ids=str,
)
def test_a_definition_that_is_none_is_said_before_anything_is_sent(value: Any, says: str) -> None:
    with pytest.raises(errors.UsageError, match=says):
        functions.named("it", {"it": value}, {})


def test_a_function_that_cannot_be_strict_says_which_parameter() -> None:
    def store(values: dict[str, int]) -> None: ...

    with pytest.raises(errors.UsageError, match=r"--strict-tools: store\.values allows any keys"):
        functions.strict(functions.of(store, "store"))


def test_parallel_calls_are_answered_in_one_message_in_order(session: Session) -> None:
    ran = Ran()
    replies(session, [call(1, amount=1), call(2, amount=2), call(3, "nope")], [said("Done.")])
    outcome = use(session, ran.tool())
    assert outcome.failure is None and outcome.turn and ran.calls == [1, 2]
    results = session.client.offline.requests[1]["messages"][-1]["content"]
    assert [each["tool_use_id"] for each in results] == ["toolu_1", "toolu_2", "toolu_3"]
    assert "no tool 'nope'" in results[2]["content"] and results[2]["is_error"] is True


def test_several_rounds_and_tools_of_the_servers_beside_our_own(session: Session) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    ran = Ran()
    replies(session, [search, call(1, amount=1)], [found, said("More."), call(2, amount=2)], [said("Done.")])
    outcome = use(session, ran.tool(), web_search=True)
    assert outcome.failure is None and outcome.turn and ran.calls == [1, 2]
    assert len(outcome.turn.calls) == 3 and len(roles(outcome.turn)) == 6
    assert ask(session, "And now?", "b").failure is None


def test_what_stands_in_the_notebook_goes_along_later_with_its_thinking(session: Session) -> None:
    replies(session, [THOUGHT, call(1, amount=1)], [THOUGHT, said("Done.")])
    first = use(session, Ran().tool())
    replies(session, [said("Yes.")])
    later = ask(session, "And?", "b")
    assert first.turn and later.failure is None
    sent = session.client.offline.requests[-1]
    assert sent["messages"][:4] == [
        {"role": message["role"], "content": list(message["content"])} for message in first.turn.messages
    ]
    assert sent["tools"] == [Ran().tool().definition] and sent["tool_choice"] == {"type": "none"}


def test_the_definitions_stay_as_they_were_where_the_order_of_the_names_changes(session: Session) -> None:
    def look(at: str) -> str:
        return at

    other = functions.of(look, "look")
    replies(session, [THOUGHT, said("Hm.")])
    use(session, Ran().tool(), other)
    use(session, other, Ran().tool(), cell="b")
    first, second = session.client.offline.requests
    assert first["tools"] == second["tools"] and second["messages"][1]["content"][0]["type"] == "thinking"
    use(session, other, cell="c")
    assert [tool["name"] for tool in session.client.offline.requests[-1]["tools"]] == ["look"]
    assert all(block["type"] != "thinking" for block in session.client.offline.requests[-1]["messages"][1]["content"])


class Stopped(Exception):
    """Somebody's own."""


def test_an_exception_is_a_result_with_type_message_and_place(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-api03-secretsecret")

    def fails(amount: int) -> None:
        raise Stopped(f"no {amount} with sk-ant-api03-secretsecret")

    replies(session, [call(1, amount=1)], [said("Oh.")])
    outcome = use(session, Ran(fails).tool())
    assert outcome.failure is None and outcome.turn
    ((told, failed),) = results_of(outcome.turn)
    assert failed and told.startswith("Stopped: no 1 with ") and "fails, line" in told
    assert "secretsecret" not in told and "calling.py" not in told


@pytest.mark.parametrize("trouble", [SystemExit(3), GeneratorExit(), RecursionError("deep")])
def test_nothing_that_a_tool_raises_ends_the_loop(session: Session, trouble: BaseException) -> None:
    def fails(amount: int) -> None:
        raise trouble

    replies(session, [call(1, amount=1)], [said("Oh.")])
    outcome = use(session, Ran(fails).tool())
    assert outcome.failure is None and outcome.turn and results_of(outcome.turn)[0][1]


def test_at_the_limit_claude_is_told_and_has_the_last_word(session: Session) -> None:
    ran = Ran()
    replies(session, [call(1, amount=1), call(2, amount=2), call(3, amount=3)], [said("I have 1 and 2.")])
    outcome = use(session, ran.tool(), limit=2)
    assert outcome.failure is None and outcome.turn and ran.calls == [1, 2]
    assert "at most 2 calls" in results_of(outcome.turn)[2][0]
    assert session.client.offline.requests[-1]["tool_choice"] == {"type": "none"}
    assert reply_text(outcome.turn) == "I have 1 and 2."


def test_what_is_not_approved_is_not_run_and_claude_is_told(session: Session) -> None:
    ran = Ran()
    asked: list[Any] = []

    def ask_reader(name: str, given: Mapping[str, Any]) -> Answer:
        asked.append((name, given))
        return Answer.RUN if given["amount"] == 2 else Answer.REFUSE

    replies(session, [call(1, amount=1), call(2, amount=2)], [said("Fine.")])
    outcome = use(session, ran.tool(), approve=approval.approval("ask", ask_reader))
    assert outcome.turn and ran.calls == [2] and asked == [("add", {"amount": 1}), ("add", {"amount": 2})]
    assert results_of(outcome.turn) == [(approval.REFUSED, True), ("2", False)]


def test_who_approves_all_calls_of_a_reply_is_not_asked_again_in_it(session: Session) -> None:
    ran, asked = Ran(), list[int]()

    def ask_reader(name: str, given: Mapping[str, Any]) -> Answer:
        asked.append(given["amount"])
        return (Answer.REFUSE, Answer.RUN, Answer.RUN_ALL)[len(asked) - 1]

    calls = [call(number, amount=number) for number in range(6)]
    replies(session, calls[:4], calls[4:5], calls[5:], [said("Fine.")])
    outcome = use(session, ran.tool(), approve=approval.approval("ask", ask_reader))
    assert outcome.failure is None and asked == [0, 1, 2] and ran.calls == [1, 2, 3, 4, 5]


def test_an_answer_for_all_calls_lets_no_tool_run_that_is_set_to_never() -> None:
    ran = Ran()
    approve = approval.approval({"add": "ask", "drop": "never"}, lambda name, given: Answer.RUN_ALL)
    assert approve(ran.tool(), {}) == "" and approve(ran.tool(), {}) == ""
    assert approve(dataclasses.replace(ran.tool(), name="drop"), {}) == approval.SET_TO_NEVER


def test_what_was_approved_is_what_runs_whatever_becomes_of_the_reply_meanwhile() -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "total", "input": {"amounts": [1, 2]}}
    seen: list[Any] = []

    def approve(tool: functions.Tool, given: Mapping[str, Any]) -> str:
        seen.append(given)
        block["input"]["amounts"].append(1000)  # type: ignore[index]
        return ""

    def called(given: Mapping[str, Any]) -> str:
        seen.append(given)
        return str(sum(given["amounts"]))

    result = ToolCalls([functions.Tool("total", {}, called)], approve, 25).answer(block)
    assert tool_calls.result_text(result) == "3" and seen[0] is seen[1]


def test_who_may_run_by_name_and_for_all() -> None:
    add = Ran().tool()
    reading = dataclasses.replace(add, name="look", reads_only=True)
    assert approval.policy("ask", add) == "ask" and approval.policy("ask", reading) == "always"
    assert approval.policy("never", reading) == "never" and approval.policy("always", add) == "always"
    assert approval.policy({"look": "ask"}, reading) == "ask" and approval.policy({"look": "never"}, add) == "ask"
    assert approval.policy({"*": "always", "add": "never"}, add) == "never"
    assert approval.policy({"*": "always"}, add) == "always"
    assert approval.wrong("ask") == approval.wrong({"a": "never"}) == ""
    assert all(approval.wrong(each) for each in ("yes", 3, {"a": "maybe"}, {1: "ask"}, None, ["ask"]))
    with pytest.raises(errors.UsageError, match="nobody can be asked"):
        approval.check("ask", [reading, add], can_ask=False)
    approval.check("ask", [reading], can_ask=False)
    approval.check("ask", [add], can_ask=True)


def test_within_an_exchange_the_cache_is_asked_about_the_request_before(session: Session) -> None:
    ran = Ran()
    replies(session, [said("Hello.")])
    use(session, ran.tool(), cell="a", prompt="Hi.")
    replies(session, [call(1, amount=1)], [said("Done.")])
    use(session, ran.tool(), cell="b", prompt="Add.")
    first, second, third = session.client.offline.requests
    assert "diagnostics" not in first
    ids = [turn.calls[0].message_id for turn in session.chats.turns]
    assert [each["diagnostics"]["previous_message_id"] for each in (second, third)] == ids


# --- faults and interrupts ----------------------------------------------------------------------------

OVERLOADED = Fault("status", status=529)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["overloaded", "overloaded later"])
def test_a_fault_between_calls_is_tried_again_and_no_tool_runs_twice(session: Session, kind: str) -> None:
    faults = {"overloaded": OVERLOADED, "overloaded later": Fault("error", after=1)}
    ran = Ran()
    replies(session, [call(1, amount=1)], [call(2, amount=2)], [said("Done.")])
    session.client.offline.faults.extend([None, faults[kind], None, faults[kind]])
    outcome = use(session, ran.tool(), settings=RETRYING)
    assert outcome.failure is None and outcome.turn and ran.calls == [1, 2]
    assert len(session.client.offline.requests) == 5


@pytest.mark.parametrize("at", range(3))
def test_a_failure_that_stays_keeps_what_was_done_and_the_next_prompt_says_so(session: Session, at: int) -> None:
    ran = Ran()
    replies(session, [call(1, amount=1)], [call(2, amount=2)], [said("Done.")])
    session.client.offline.faults.extend([*[None] * at, OVERLOADED])
    outcome = use(session, ran.tool())
    assert isinstance(outcome.failure, errors.OverloadedError) and ran.calls == [1, 2][:at]
    assert (outcome.turn is not None) == (at > 0)
    if outcome.turn:
        assert outcome.turn.status == "interrupted" and roles(outcome.turn)[-1] == "user" and outcome.joined
        restored = record.record_of(record.metadata(outcome.turn)["claude_magic"]).turns[0]
        assert json.dumps(record.as_data(restored)) == json.dumps(record.as_data(outcome.turn))
    replies(session, [said("Well.")])
    assert use(session, ran.tool(), cell="b", prompt="Go on.").failure is None
    last = session.client.offline.requests[-1]["messages"][-1]["content"]
    assert [block["type"] for block in last] == (["tool_result", "text"] if at else ["text"])
    assert ran.calls == [1, 2][:at]


@pytest.mark.parametrize("after", range(32))
def test_an_interrupt_anywhere_leaves_a_conversation_that_goes_on(after: int) -> None:
    session, ran = Session(), Ran()
    replies(
        session, [THOUGHT, call(1, amount=1), call(2, amount=2)], [said("And."), call(3, amount=3)], [said("Done.")]
    )
    outcome = use(session, ran.tool(), reader=Reader(interrupt_after=after))
    assert outcome.failure is None or isinstance(outcome.failure, errors.ReplyInterrupted)
    assert len(ran.calls) == len(set(ran.calls))
    if outcome.turn is not None:
        told = results_of(outcome.turn)
        assert [value for value, failed in told if not failed] == [str(each) for each in ran.calls]
        assert record.record_of(record.metadata(outcome.turn)["claude_magic"]).turns
        header_output(outcome.turn)
    before = list(ran.calls)
    replies(session, [said("Well.")])
    assert use(session, ran.tool(), cell="b", prompt="Go on.").failure is None and ran.calls == before
    assert ask(session, "And then?", "c").failure is None


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_interrupt_while_a_tool_runs_says_what_ran(session: Session, asynchronous: bool) -> None:
    ended = []

    def press(amount: int) -> Any:
        if amount != 2:
            return amount
        if asynchronous:
            return wait()
        signal.raise_signal(signal.SIGINT)
        return None

    async def wait() -> None:
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    ran = Ran(press)
    replies(session, [call(1, amount=1), call(2, amount=2), call(3, amount=3)], [said("Done.")])
    outcome = use(session, ran.tool())
    assert isinstance(outcome.failure, errors.ReplyInterrupted) and outcome.turn and outcome.joined
    assert ran.calls == [1, 2] and outcome.turn.status == "interrupted"
    assert results_of(outcome.turn) == [("1", False), (INTERRUPTED, True), (NOT_RUN, True)]
    assert len(session.client.offline.requests) == 1
    assert ended == ([True] if asynchronous else [])


def test_an_interrupt_while_the_reader_is_asked_runs_nothing(session: Session) -> None:
    def asked(name: str, given: Mapping[str, Any]) -> Answer:
        raise KeyboardInterrupt

    ran = Ran()
    replies(session, [call(1, amount=1)], [said("Done.")])
    outcome = use(session, ran.tool(), approve=approval.approval("ask", asked))
    assert isinstance(outcome.failure, errors.ReplyInterrupted) and outcome.turn and ran.calls == []
    assert results_of(outcome.turn) == [(NOT_RUN, True)]


def test_secrets_in_a_result_are_masked_unless_they_are_allowed() -> None:
    def users() -> Any:
        print("password=hunter2")
        return pandas.DataFrame({"user": ["bob"], "password": ["hunter3"]})

    assert "hunter" not in str(run(functions.of(users, "f"), {})[0]) and "bob" in str(
        run(functions.of(users, "f"), {})[0]
    )
    allowed = str(run(functions.of(users, "f"), {}, Secrets(allowed=True))[0])
    assert "hunter2" in allowed and "hunter3" in allowed


def test_a_call_that_max_tokens_cut_is_not_run(session: Session) -> None:
    ran = Ran()
    replies(session, [said("I add. " * 20), call(1, amount=1)], [said("Done.")])
    outcome = use(session, ran.tool(), max_tokens=20)
    assert outcome.failure is None and outcome.turn and ran.calls == []
    assert outcome.turn.calls[-1].stop_reason == "max_tokens"


def test_thinking_that_is_refused_in_the_middle_is_left_out_and_no_tool_runs_twice(session: Session) -> None:
    ran = Ran()
    refused = (
        "messages.1.content.0: Invalid `signature` in `thinking` block: The block is bound to a different conversation"
    )
    replies(session, [THOUGHT, call(1, amount=1)], [said("Done.")])
    session.client.offline.faults.extend([None, Fault("status", status=400, message=refused)])
    outcome = use(session, ran.tool())
    assert outcome.failure is None and outcome.turn and ran.calls == [1]
    assert "earlier thinking left out" in " ".join(outcome.turn.notes)
    assert ask(session, "And?", "b").failure is None


def test_another_model_goes_on_where_one_refuses_with_what_the_tools_had_done(session: Session) -> None:
    ran = Ran()
    models: list[str] = []

    def script(body: Mapping[str, Any]) -> Any:
        models.append(body["model"])
        from claude_magic.offline.replies.message import Draft

        if len(models) == 1:
            return [call(1, amount=1)]
        return Draft([], "refusal", {"type": "refusal"}) if "opus" in body["model"] else [said("Done.")]

    session.client.offline.script = script
    outcome = use(session, ran.tool(), fallback="haiku")
    assert outcome.failure is None and outcome.turn and ran.calls == [1]
    assert roles(outcome.turn) == ["user", "assistant", "user", "assistant"] and len(outcome.turn.calls) == 3
    assert reply_text(outcome.turn) == "Done."


def test_a_refusal_after_a_tool_keeps_what_the_tool_did(session: Session) -> None:
    from claude_magic.offline.replies.message import Draft

    ran = Ran()
    session.client.offline.script = lambda body: (
        [call(1, amount=1)] if len(body["messages"]) == 1 else Draft([], "refusal", {"type": "refusal"})
    )
    outcome = use(session, ran.tool())
    assert outcome.turn and outcome.turn.status == "refused" and ran.calls == [1]
    replies(session, [said("Well.")])
    assert ask(session, "And?", "b").failure is None
    assert session.client.offline.requests[-1]["messages"][-1]["content"][0]["content"][0]["text"] == "1"


def test_the_budget_holds_over_the_whole_loop(session: Session) -> None:
    ran = Ran(lambda amount: "long " * 4000)
    replies(session, [call(1, amount=1)], [call(2, amount=2)], [said("Done.")])
    outcome = use(session, ran.tool(), budget="0.02")
    assert isinstance(outcome.failure, errors.ReplyInterrupted) and "budget" in outcome.failure.message
    assert outcome.turn and outcome.joined and ran.calls == [1] and len(outcome.turn.calls) == 1
    spent = pricing.turn_cost(outcome.turn).dollars
    assert spent is not None and spent < Decimal("0.02")


# --- afterwards ---------------------------------------------------------------------------------------


def test_a_replay_shows_the_record_and_runs_nothing(session: Session) -> None:
    ran = Ran(lambda amount: image())
    replies(session, [THOUGHT, said("I look."), call(1, amount=1)], [THOUGHT, said("Done.")])
    first = use(session, ran.tool())
    seen: list[str] = []

    class Watching(Reader):
        def grow(self, event: Any, accumulator: Any) -> None:
            seen.append(event["type"])
            super().grow(event, accumulator)

    again = use(session, ran.tool(), replay=Replay("only", 0), reader=Watching())
    assert first.turn and again.turn and again.turn.replayed and again.turn.messages == first.turn.messages
    assert ran.calls == [1] and len(session.client.offline.requests) == 2
    assert TOOL_RESULT in seen
    with pytest.raises(errors.UsageError, match="tools"):
        ask(session, "Go.", "a", replay=Replay("only", 0))


@pytest.mark.parametrize("number", range(6, 24))
def test_what_the_journal_kept_is_the_turn_up_to_there(number: int, tmp_path: Path) -> None:
    from claude_magic.notebook.journal import Journal, turn_of

    session = Session()
    session.journal = Journal(tmp_path)
    replies(session, [call(1, amount=1), call(2, amount=2)], [said("Done.")])
    whole = use(session, Ran().tool()).turn
    (entry,) = session.journal.entries(None)
    assert whole and turn_of(entry).messages == whole.messages and len(turn_of(entry).calls) == 2
    assert [each.usage for each in turn_of(entry).calls] == [each.usage for each in whole.calls]
    lines = entry.path.read_bytes().splitlines(keepends=True)
    entry.path.write_bytes(b"".join(lines[: 2 + number]))
    recovered = turn_of(entry)
    assert not open_calls(recovered.messages[-1]["content"]) or len(recovered.messages) == 2
    assert recovered.messages[:2] == whole.messages[:2] or len(recovered.messages) == 2


def test_pictures_that_a_tool_gave_stand_beside_the_record_by_their_digest(session: Session) -> None:
    ran = Ran(lambda amount: [{"type": "text", "text": "Look:"}, image()])
    replies(session, [call(1, amount=1)], [said("Done.")])
    turn = use(session, ran.tool()).turn
    assert turn is not None
    kept = record.metadata(turn)["claude_magic"]
    source = kept["turn"]["messages"][2]["content"][0]["content"][1]["source"]
    assert source["type"] == "sha256"
    data = image()["source"]["data"]
    restored = record.record_of(kept, lambda digest: data if digest == source["sha256"] else None).turns[0]
    assert json.dumps(restored.messages) == json.dumps(turn.messages)
    assert record.record_of(kept).turns[0].messages[2]["content"][0]["content"][1]["text"] == record.GONE


@pytest.mark.parametrize("kind", [pytest.param(".py", marks=pytest.mark.slow), ".md", ".html", ".json"])
def test_an_export_holds_what_the_tools_did(session: Session, kind: str, tmp_path: Path) -> None:
    replies(session, [said("I add."), call(1, amount=41)], [said("It is 41.")])
    use(session, Ran(lambda amount: "the sum is 41").tool())
    replies(session, [said("Yes.")])
    ask(session, "Sure?", "b")
    path = tmp_path / f"chat{kind}"
    form = export.form_of(path)
    path.write_text(export.export(session.chats.shown, form, title="Sums", stem="chat").text)
    written = path.read_text()
    assert "the sum is 41" in written and "Sure?" in written
    if kind == ".py":
        session.client.offline.script = None
        calls = run_script(path, session.client.offline.url)
        assert calls.returncode == 0, calls.stderr


def run_script(path: Path, url: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "sk-ant-test"}
    return subprocess.run([sys.executable, str(path)], env=environment, capture_output=True, text=True, timeout=60)


HOSTILE = "<script>window.PWN=1</script><img src=x onerror=window.PWN++>\x1b[2J\u202e"


def test_hostile_arguments_and_results_are_text_in_the_record(session: Session) -> None:
    def echo(words: str) -> str:
        return words

    replies(session, [call(1, "echo", words=HOSTILE)], [said("Done.")])
    turn = use(session, functions.of(echo, "echo")).turn
    assert turn is not None
    (data,) = answer_outputs(turn)
    assert "<script" not in data["text/html"] and "<img" not in data["text/html"]
    assert "\x1b" not in data["text/html"] and "\u202e" not in data["text/html"]
    assert "&lt;script&gt;" in data["text/html"] and "<details open" not in data["text/html"]


# --- results ------------------------------------------------------------------------------------------


def result_of(then: Callable[[], Any]) -> list[Block]:
    return run(functions.of(then, "f"), {})[0]


def test_a_result_is_bounded_and_says_so() -> None:
    (block,) = result_of(lambda: "x" * 1_000_000)
    assert len(block["text"]) < 40_000 and "shortened" in block["text"] and "1,000,000" in block["text"]
    many = result_of(lambda: [image()] * 30)
    assert [each["type"] for each in many] == ["image"] * 5 + ["text"] and "25 more images" in many[-1]["text"]
    assert result_of(lambda: None) == [said(NOTHING)] == result_of(lambda: "  \n ")


def test_what_a_tool_prints_comes_with_what_it_returns(capsys: pytest.CaptureFixture[str]) -> None:
    def f() -> int:
        print("one")
        print("two", file=sys.stderr)
        return 3

    assert result_of(f) == [said("one\ntwo\n3")]
    assert capsys.readouterr().out == ""


def test_values_come_as_they_stand_in_a_prompt() -> None:
    import pandas as pd

    (frame,) = result_of(lambda: pd.DataFrame({"a": [1, 2]}))
    assert "DataFrame" in frame["text"] and "2 rows" in frame["text"]
    assert result_of(lambda: {"type": "text", "text": "as it is"}) == [said("as it is")]

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "Broken" in result_of(Broken)[0]["text"]
    assert result_of(lambda: "half \ud800")[0]["text"] == "half \ufffd"


def test_coroutines_run_beside_a_loop_that_is_running() -> None:
    async def slow(x: int) -> int:
        await asyncio.sleep(0)
        return x

    async def cell() -> list[Block]:
        return run(functions.of(slow, "f"), {"x": 3})[0]

    assert asyncio.run(cell()) == [said("3")]


# --- other servers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case",
    [case for case in finished_streams() if '"type":"tool_use"' in case["response"]["body"].replace(" ", "")],
    ids=lambda case: case["id"],
)
def test_the_recordings_calls_are_answered_once_each(
    case: dict[str, Any], corpus: str, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    """The recordings' server gives the same reply again: its calls are not run a second time."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{corpus}/case/{case['id']}")
    events = [json.loads(line[6:]) for line in case["response"]["body"].splitlines() if line.startswith("data: {")]
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    names = dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use")
    ran: list[Any] = []

    def tool(name: str) -> functions.Tool:
        return functions.Tool(name, {"name": name, "input_schema": {"type": "object"}}, lambda given: ran.append(given))

    settings = Settings(max_retries=0, timeout=20)
    outcome = use(session, *map(tool, names), settings=settings)
    assert outcome.turn is not None
    stopped = outcome.turn.calls[0].stop_reason
    calls = [block for block in outcome.turn.reply if block["type"] == "tool_use"]
    assert len(ran) == (len(calls) if stopped == "tool_use" else 0)
    if stopped == "tool_use":
        assert isinstance(outcome.failure, errors.StreamError) and len(outcome.turn.results) == len(calls)
    assert record.record_of(record.metadata(outcome.turn)["claude_magic"]).turns


@pytest.fixture(scope="module")
def llmock() -> Iterator[Any]:
    from llmock.testing import LLMockServer

    with LLMockServer() as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("trouble", ["none", "overloaded first", "overloaded between", "cut between"])
def test_a_second_server_has_its_calls_answered_once(
    trouble: str, llmock: Any, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    from llmock.scenarios import Fail, Reply, StreamFault, ToolCall

    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", llmock.base_url("anthropic"))
    calls = Reply(tool_calls=(ToolCall("add", {"amount": 1}), ToolCall("add", {"amount": 2})))
    faults = {"overloaded": Fail(529), "cut": StreamFault("disconnect", after_chunks=1)}
    when, fault = trouble.endswith("first"), faults.get(trouble.split()[0])
    scenarios = llmock.state.scenarios
    scenarios.clear()
    for each in [fault, calls] if when else [calls]:
        scenarios.add(each)
    ran = Ran(lambda amount: scenarios.add(fault) if fault and amount == 2 and not when else None)
    outcome = use(session, ran.tool(), settings=Settings(max_retries=2, timeout=20), prompt="Add.")
    scenarios.clear()
    assert ran.calls == [1, 2]
    assert outcome.turn and [bool(each.get("is_error")) for each in outcome.turn.results.values()] == [False, False]
    assert (outcome.failure is None) == (trouble != "cut between"), outcome.failure


def test_a_picture_in_a_result_weighs_as_a_picture_where_nobody_counts(session: Session) -> None:
    replies(session, [call(1, amount=1)], [said("Done.")])
    use(session, Ran(lambda amount: image()).tool())
    asked = session.request(Question(Options(), [said("And?")], Cell("b", "weigh")))
    unreachable = Settings(base_url="http://127.0.0.1:9", max_retries=0, timeout=1)
    weighed = count.estimate(session.client, asked, unreachable)
    assert not weighed.exact and count.IMAGE_TOKENS < weighed.total < count.IMAGE_TOKENS + 400
    (result,) = asked.params["messages"][2]["content"]
    assert token_estimate.of_blocks([result]) < 50
