"""A chat's own system prompt and pins: they live in the cell that made them, and in the notebook's file. Turns of
questions that are under way at once stand in the order asked."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from claude_magic.conversation.record import pin_metadata, record_of, system_metadata
from claude_magic.conversation.turns import Call, Pin, SystemPrompt, Turn
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.session.chats import Chats
from claude_magic.session.question import Question
from claude_magic.session.session import Session
from support.kernel import Page, plain
from support.sessions import OFFLINE, Reader, ask
from support.turns import text


def pin(name: str, created: float, *, content: tuple[Any, ...] = ({"type": "text", "text": "x"},)) -> Pin:
    return Pin(name, content, created=created)


def test_a_deleted_cell_unpins_and_one_that_runs_again_pins_again() -> None:
    session = Session()
    session.chats.set_up(pin("a", 1), Cell("one", "r1"))
    session.chats.set_up(SystemPrompt("main", "Be kind.", 1), Cell("two", "r2"))
    session.delete(frozenset({"one", "two"}))
    assert not session.chats.pins and not session.chats.systems
    session.chats.set_up(pin("a", 2), Cell("one", "r3"))
    assert list(session.chats.pins) == ["a"]


def test_a_cell_that_pins_something_else_no_longer_pins_what_it_did() -> None:
    session = Session()
    for name in ("a", "b"):  # twice in one run
        session.chats.set_up(pin(name, 1), Cell("one", "r1"))
    assert list(session.chats.pins) == ["a", "b"]
    session.chats.set_up(pin("c", 2), Cell("one", "r2"))
    assert list(session.chats.pins) == ["c"]


def test_deleting_the_cell_that_took_a_pin_away_brings_it_back() -> None:
    session = Session()
    session.chats.set_up(pin("a", 1), Cell("one", "r1"))
    session.chats.set_up(pin("a", 2, content=()), Cell("two", "r2"))
    assert not session.chats.pins
    session.delete(frozenset({"two"}))
    assert list(session.chats.pins) == ["a"]


def test_both_go_through_the_file() -> None:
    system = SystemPrompt("tutor", "Ask questions.", 5.0)
    assert record_of(system_metadata(system)["claude_magic"]).system == system
    kept = SystemPrompt("tutor", "Ask questions.", 5.0, ttl="1h")
    assert record_of(system_metadata(kept)["claude_magic"]).system == kept
    assert record_of(pin_metadata(pin("a", 5.0))["claude_magic"]).pin == pin("a", 5.0)


def test_a_system_prompt_that_changes_in_the_middle_never_breaks_the_conversation() -> None:
    """Thinking is bound to the system prompt: what was thought under another is left out, and comes back with it."""
    session = Session()
    prompts = (None, "Be kind.", "Be brief.", "Be kind.", None)
    for number, system in enumerate(prompts):
        assert ask(session, f"question {number}", f"c{number}", system=system).failure is None
    thought = [
        sum(block["type"] == "thinking" for message in sent["messages"] for block in message["content"])
        for sent in session.client.offline.requests
    ]
    assert len(thought) == len(prompts) and thought[1] == 0 and thought[4] == 1


def test_a_chats_system_prompt_holds_from_its_cell_on_and_a_cells_own_for_that_cell(page: Page) -> None:
    page.load()
    page.run("set", "%claude_system You teach.")
    page.run("tutor", "%%claude_system --chat tutor\nAsk {{1 + 1}} questions.\nNo more.")
    page.run("a", "%%claude\nhello")
    page.run("b", "%%claude --system 'Be brief.'\nhello")
    page.run("c", "%%claude --chat tutor\nhello")
    page.run("d", "%%claude --once\nhello")
    page.run("e", "%%claude --system ''\nhello")
    systems = [sent.get("system") for sent in page.requests()]
    assert systems == ["You teach.", "Be brief.", "Ask 2 questions.\nNo more.", None, None]
    assert page.run("show", "%claude_system").text == "You teach.\n"
    page.save()
    page.restart()
    page.load()
    page.run("f", "%%claude\nhello")
    page.kernel.run("%%claude\nhello", "g", deleted=["set"], page=page.name)
    assert [sent.get("system") for sent in page.requests()] == ["You teach.", None]
    page.run("none", "%claude_system --chat tutor --none")
    page.run("h", "%%claude --chat tutor\nhello")
    assert "system" not in page.requests()[-1]
    run = page.run("wrong", "%claude_system --chats x y")
    assert run.error is not None and "does not take --chats" in plain(run.error["traceback"])


def test_a_system_prompt_that_is_kept_has_a_breakpoint_and_thinking_stays_bound_to_its_text(page: Page) -> None:
    page.load()
    page.run("set", "%claude_system You teach.")
    page.run("a", "%%claude\nhello")
    page.run("set", "%claude_system --ttl 1h You teach.")
    page.run("b", "%%claude\nhello again")
    page.run("c", "%%claude --system 'Be brief.'\nhello")
    page.run("d", "%%claude --cache off\nhello")
    page.run("e", "%%claude --once\nhello")
    plain, kept, own, off, once = page.requests()
    mark = {"type": "ephemeral", "ttl": "1h"}
    assert plain["system"] == "You teach."
    assert kept["system"] == [{"type": "text", "text": "You teach.", "cache_control": mark}]
    assert (own["system"], off["system"], once.get("system")) == ("Be brief.", "You teach.", None)
    assert kept["messages"][1]["content"][0]["type"] == "thinking", "a breakpoint is no change"


@pytest.mark.parametrize(
    ("ttl", "pinned", "cache", "sent"),
    [
        ("5m", ["5m"], "5m", "5m"),
        ("5m", [], "1h", "1h"),
        ("5m", ["1h"], "5m", "1h"),
        ("1h", ["5m"], "5m", "1h"),
        ("1h", ["1h", "5m"], "5m", "1h"),
    ],
)
def test_breakpoints_are_in_the_order_that_the_api_wants_and_never_more_than_four(
    ttl: str, pinned: list[str], cache: str, sent: str
) -> None:
    session = Session()
    session.chats.set_up(SystemPrompt("main", "You teach.", 1.0, ttl=ttl), Cell("s", "s"))
    for number, each in enumerate(pinned):
        session.chats.set_up(Pin(f"p{number}", (text("pinned"),), each, 2.0), Cell("p", "p"))
    assert ask(session, "[[long 20]]", "a", system="You teach.", cache=cache).failure is None
    (asked,) = session.client.offline.requests
    assert asked["system"][0]["cache_control"]["ttl"] == sent


def test_a_system_prompt_gives_its_breakpoint_up_where_four_are_in_use() -> None:
    session = Session()
    session.chats.set_up(SystemPrompt("main", "You teach.", 1.0, ttl="1h"), Cell("s", "s"))
    for number, each in enumerate(["1h", "5m"]):
        session.chats.set_up(Pin(f"p{number}", (text("pinned"),), each, 2.0), Cell("p", "p"))
    for number in range(2):
        many = [text(f"part {number} {at}") for at in range(25)]
        question = Question(Options(system="You teach."), many, Cell(f"c{number}", f"c{number}"))
        assert session.ask(question, OFFLINE, Reader()).failure is None
    first, second = session.client.offline.requests
    assert isinstance(first["system"], list) and second["system"] == "You teach."


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--ttl 2h You teach.", "--ttl wants 5m or 1h, not '2h'"),
        ("--ttl", "--ttl wants a value"),
        ("--ttl 1h --none", "--ttl and --none do not go together"),
    ],
)
def test_a_wrong_ttl_of_a_system_prompt_is_one_line(page: Page, line: str, says: str) -> None:
    page.load()
    run = page.run("wrong", f"%claude_system {line}")
    assert run.error and says in plain(run.error["traceback"])


def turn(name: str, cell: Cell) -> Turn:
    messages = ({"role": role, "content": [{"type": "text", "text": name}]} for role in ("user", "assistant"))
    return Turn(
        name, tuple(messages), (Call("claude-opus-5-5", {"output_tokens": 1}, stop_reason="end_turn"),), cell.id
    )


def standing(chats: Chats) -> list[str]:
    return [each.id for each in chats.turns]


@pytest.mark.parametrize("cell", ["a", None])
@pytest.mark.parametrize("order", [*itertools.permutations(("one", "two", "three"))])
def test_turns_of_one_run_stand_in_the_order_asked_whichever_ends_first(
    cell: str | None, order: tuple[str, ...]
) -> None:
    chats, here, below = Chats(), Cell(cell, "r1"), Cell("below", "r2")
    for name in ("one", "two", "failed", "three"):
        chats.reserve(name, here)
    assert chats.join(turn(order[0], here), here)
    assert chats.join(turn("below", below), below)
    for name in order[1:]:
        assert chats.join(turn(name, here), here)
    assert standing(chats) == ["one", "two", "three", "below"]
    assert [each.id for each in chats.before("main", here)] == ["one", "two", "three"]


def test_the_late_reply_of_a_run_does_not_join_where_its_cell_has_asked_again() -> None:
    chats, first, second = Chats(), Cell("a", "r1"), Cell("a", "r2")
    chats.reserve("late", first)
    chats.reserve("new", second)
    assert chats.join(turn("new", second), second)
    assert not chats.join(turn("late", first), first)
    assert standing(chats) == ["new"]


def test_the_late_reply_of_another_cell_joins_and_leaves_the_others() -> None:
    chats, first, second = Chats(), Cell("a", "r1"), Cell("b", "r2")
    for name in ("early", "late"):
        chats.reserve(name, first)
    chats.join(turn("early", first), first)
    chats.join(turn("between", second), second)
    assert chats.join(turn("late", first), first)
    assert standing(chats) == ["early", "late", "between"]
    assert chats.undo() is None
