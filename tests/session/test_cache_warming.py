"""`%claude_warm`: the cache filled ahead, as the strict stand-in takes it, so that the next question reads it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from claude_magic import errors
from claude_magic.conversation.turns import Pin, Turn
from claude_magic.cost import ledger, pricing
from claude_magic.cost.budget import Budget
from claude_magic.notebook.cell import Cell
from claude_magic.offline import Fault
from claude_magic.options import Options
from claude_magic.render import cost_report
from claude_magic.session import cache_warming
from claude_magic.session.session import Session
from support.kernel import Kernel, plain
from support.sessions import OFFLINE, RUNS, ask

LONG = "All of statistics, in order. " * 300
PINNED = Pin("notes", ({"type": "text", "text": LONG},))


@pytest.fixture(scope="module")
def shared() -> Session:
    return Session()


@pytest.fixture
def session(shared: Session) -> Session:
    """One whose stand-in is everyone's, with a cache that is empty: each test has words of its own."""
    fresh = Session(shared.client)
    shared.client.offline.requests.clear()
    shared.client.offline.script = None
    return fresh


def warm(session: Session, **options: Any) -> cache_warming.Warmed:
    return cache_warming.warm(session, Options(**options), Cell(None, f"run {next(RUNS)}"), OFFLINE)


def read(turn: Turn | None) -> int:
    assert turn is not None
    return pricing.tokens(turn.calls).cached


def written(warmed: cache_warming.Warmed) -> int:
    return pricing.tokens(warmed.turn.calls).written


@pytest.mark.parametrize(
    "options",
    [{}, {"effort": "low"}, {"cache": "1h"}, {"model": "claude-haiku-5-5", "thinking": "disabled"}, {"speed": "fast"}],
    ids=str,
)
def test_the_next_question_reads_what_was_filled_in(session: Session, options: dict[str, Any]) -> None:
    system = f"{options} {LONG}"
    warmed = warm(session, system=system, **options)
    assert written(warmed) > 1_000
    assert read(ask(session, "hello", system=system, **options).turn) == written(warmed)


def test_pins_and_the_conversation_are_filled_in_with_the_marks_that_the_api_takes(session: Session) -> None:
    for pin in (PINNED, Pin("more", ({"type": "text", "text": f"more {LONG}"},), "1h")):
        session.chats.set_up(pin, Cell())
    pinned = warm(session, system="Be kind.")
    assert pinned.lifetimes == ("1h", "5m") and written(pinned) > 3_000
    first = ask(session, "hello", "a", system="Be kind.").turn
    assert read(first) == written(pinned)
    whole = warm(session, system="Be kind.")
    assert read(whole.turn) > written(pinned) and session.client.offline.requests[-1]["max_tokens"] == 0
    assert read(ask(session, "again", "b", system="Be kind.").turn) == read(whole.turn) + written(whole)


def test_a_conversation_whose_last_reply_calls_a_tool_can_be_filled_in(session: Session) -> None:
    session.chats.set_up(PINNED, Cell())
    session.client.offline.script = lambda body: [{"type": "tool_use", "id": "toolu_7", "name": "look", "input": {}}]
    ask(session, "call it", "a")
    assert read(warm(session).turn) > 0


def test_it_is_no_turn_and_is_in_the_ledger_once(session: Session) -> None:
    warmed = warm(session, system=f"ledger {LONG}")
    assert not session.chats.turns and session.spent == [warmed.turn]
    entries = ledger.entries(session.chats.turns, session.spent_elsewhere())
    assert [each.standing for each in entries] == ["warmed"]
    shown = cost_report.session_table(entries)["text/plain"]
    assert "(the cache, filled ahead)" in shown and str(pricing.turn_cost(warmed.turn)) in shown


def test_the_line_says_what_was_written_what_it_cost_and_until_when(session: Session) -> None:
    system = f"line {LONG}"
    warmed = warm(session, system=system, cache="1h")
    said = cache_warming.line(warmed)
    assert f"{written(warmed):,} tokens written, 0 read" in said and str(pricing.turn_cost(warmed.turn)) in said
    assert " (1h), longer where it is read" in said and "offline stand-in" in said and "\n" not in said
    assert "0 tokens written" in cache_warming.line(warm(session, system=system, cache="1h"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "nothing to keep"),
        ({"system": "Be kind."}, "too little to keep in the cache: 3 tokens, and claude-opus-5-5 keeps 512 or more"),
        ({"system": LONG, "model": "claude-haiku-4-5"}, "claude-haiku-4-5 keeps 4,096 or more"),
        ({"system": LONG, "cache": "off"}, "--cache off"),
        ({"system": LONG * 5, "model": "claude-haiku-4-5", "thinking": "2000"}, "thinking budget"),
        ({"system": LONG * 5, "budget": "0.0001"}, "of the budget is left"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_api_would_not_keep_is_refused_and_nothing_is_sent(
    session: Session, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.UsageError) as raised:
        warm(session, **options)
    assert says in str(raised.value) and not session.spent
    assert not [each for each in session.client.offline.requests if each.get("max_tokens") == 0]


def test_filling_for_an_hour_costs_twice_and_a_budget_knows_that(session: Session) -> None:
    system = f"budget {LONG}"
    cost = pricing.turn_cost(warm(session, system=system).turn).dollars
    assert cost is not None
    session.budget = Budget(cost * 105 / 100, Decimal(2))
    with pytest.raises(errors.UsageError, match="Filling the cache costs about"):
        warm(session, system=f"!{system}", cache="1h")
    assert written(warm(session, system=f"!{system}"))


def test_thinking_that_the_api_refuses_is_left_out_and_the_cache_is_filled_without(session: Session) -> None:
    session.chats.set_up(PINNED, Cell())
    ask(session, "think", "a")
    (turn,) = session.chats.turns
    refusal = "messages.1.content.0: The block is bound to a different conversation"
    session.client.offline.faults.append(Fault("status", status=400, message=refusal))
    warmed = warm(session)
    assert turn.calls and "earlier thinking left out: the API refused it" in warmed.turn.notes
    assert read(ask(session, "more", "b").turn) == read(warmed.turn) + written(warmed)


@pytest.fixture(scope="module")
def notebook(kernel: Kernel) -> Kernel:
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    kernel.run(f"document = {LONG!r}\n%claude_pin document")
    return kernel


def test_in_a_notebook_it_is_one_line_whose_cost_the_file_keeps(notebook: Kernel) -> None:
    run = notebook.run("%claude_warm --effort low", "warm")
    (said,) = run.shown("text/plain")
    assert said.startswith("In the cache of claude-opus-5-5: ") and run.turn()["once"]
    reply = notebook.run("%%claude --effort low\nhello", "ask").turn()
    assert reply["calls"][0]["usage"]["cache_read_input_tokens"] > 1_000
    assert "(the cache, filled ahead)" in notebook.run("%claude_cost --no-chart").shown("text/plain")[0]


def test_the_request_can_be_shown_instead(notebook: Kernel) -> None:
    run = notebook.run("%claude_warm --show-request")
    assert '"max_tokens": 0' in run.text and "stream" not in run.text and run.error is None


@pytest.mark.parametrize("line", ["--once", "main other", "--out x", "--model opus,sonnet", "--count"])
def test_what_fills_no_cache_is_refused_in_a_line(notebook: Kernel, line: str) -> None:
    run = notebook.run(f"%claude_warm {line}")
    assert run.error is not None and "%claude_warm" in plain(run.error["traceback"])


def test_a_kernel_that_replays_asks_nothing(notebook: Kernel) -> None:
    notebook.run("%config ClaudeMagic.replay = 'only'")
    run = notebook.run("%claude_warm")
    assert "replays" in run.text and run.error is None
    notebook.run("%config ClaudeMagic.replay = 'off'")
