"""What is left of a budget, said where it is spent; and the one warning of a cell that costs much."""

from __future__ import annotations

from decimal import Decimal

import pytest

from claude_magic.conversation.turns import Call
from claude_magic.cost.budget import Alarm, Budget, Spent, amount, tighter, without_budget_notes
from claude_magic.cost.pricing import Cost, turn_cost
from claude_magic.notebook.cell import Cell
from claude_magic.render import turn
from claude_magic.session.question import Replay
from claude_magic.session.session import Session
from support.kernel import Kernel
from support.sessions import OFFLINE, Reader, ask
from support.turns import turn_of


@pytest.mark.parametrize(
    ("left", "total", "cost", "said"),
    [
        ("1.37", "2", Cost(Decimal("0.50")), "$0.87 of $2.00 left"),
        ("1.37", "2", Cost(Decimal("0.5001")), "$0.86 of $2.00 left"),  # never more than there is
        ("1.37", "2", Cost(Decimal("0.50"), at_least=True), "≤$0.87 of $2.00 left"),
        ("0.02", "0.05", Cost(Decimal("0.013")), "$0.0070 of $0.0500 left"),
        ("0.02", "2000", Cost(Decimal("0.03")), "$0.00 of $2,000.00 left"),
        ("2", "2", Cost(None), ""),
    ],
)
def test_what_is_left_is_said_in_cents_and_never_too_much(left: str, total: str, cost: Cost, said: str) -> None:
    assert Budget(Decimal(left), Decimal(total)).note(cost) == said
    assert without_budget_notes(["3 earlier turns", said]) == ("3 earlier turns", *([] if said else [""]))


def test_the_budget_that_ends_first_is_the_one_that_counts() -> None:
    wide, tight = Budget(Decimal(1), Decimal(2)), Budget(Decimal("0.5"), Decimal(3))
    assert tighter(wide, None, tight) is tight and tighter(None, None) is None


def test_what_was_spent_follows_the_list_of_turns() -> None:
    usage = {"input_tokens": 1_000, "output_tokens": 0}
    known = [turn_of(name, calls=(Call("claude-opus-5-5", usage, stop_reason="end_turn"),)) for name in "abc"]
    unknown = turn_of("d", calls=(Call("claude-unheard-of", usage, stop_reason="end_turn"),))
    each = turn_cost(known[0])
    assert each.dollars
    spent, turns = Spent(), known[:1]
    assert spent.follow(turns).all == each
    turns += known[1:]
    assert spent.follow(turns).all.dollars == spent.known == 3 * each.dollars
    assert spent.follow([*turns, unknown]).all.dollars is None and spent.known == 3 * each.dollars
    assert spent.follow(known[2:]).known == each.dollars, "another list"


def test_an_alarm_rings_once_and_only_above_its_amount() -> None:
    alarm = Alarm()
    assert alarm.line(Cost(Decimal("1.00")), 1.0) == "" == alarm.line(Cost(None), 1.0)
    assert alarm.line(Cost(Decimal(500)), None) == ""
    said = alarm.line(Cost(Decimal("1.234"), at_least=True), 1.0)
    assert "≥$1.23" in said and "$1.00" in said and "warn_above" in said
    assert alarm.line(Cost(Decimal(5)), 1.0) == ""


def test_a_small_amount_keeps_its_digits() -> None:
    assert [amount(Decimal(each)) for each in ("0", "0.004", "0.10", "1234.567")] == [
        "$0.00",
        "$0.0040",
        "$0.10",
        "$1,234.56",
    ]


def test_a_reply_that_goes_on_and_one_that_is_replayed_do_not_say_what_was_left_before() -> None:
    session = Session()
    options = {"max_tokens": 50, "thinking": "disabled", "model": "claude-haiku-5-5"}
    first = ask(session, "[[long 400]]", "a", budget="1", **options).turn
    assert first is not None and first.calls[-1].stop_reason == "max_tokens" and "of $1.00 left" in turn.footer(first)
    more = session.continue_reply("main", Cell("b", "more"), OFFLINE, Reader()).turn
    assert more is not None and more.notes[-1] == "continued" and " left" not in turn.footer(more)
    again = ask(session, "[[long 400]]", "a", replay=Replay("only", 0), **options).turn
    assert again is not None and again.replayed and " left" not in turn.footer(again)


@pytest.fixture
def notebook(kernel: Kernel) -> Kernel:
    """A kernel in which no dollar is spent, and no warning was given."""
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    kernel.run("%config ClaudeMagic.budget = None\n%config ClaudeMagic.warn_above = None\n%claude_reset")
    kernel.run("ours = __import__('claude_magic').magics.kernel_of(get_ipython())")
    kernel.run("ours.session.spent.clear(); ours.alarm.rang = False")
    return kernel


def test_a_cell_says_what_is_left_of_the_kernels_budget_or_of_its_own(notebook: Kernel) -> None:
    assert " left" not in notebook.run("%%claude\nhello", "a").shown("text/plain")[0]
    assert "left of the budget" not in notebook.run("%claude_cost --no-chart").shown("text/plain")[0]
    notebook.run("%config ClaudeMagic.budget = 2.0")
    assert "$1.99 of $2.00 left" in notebook.run("%%claude\nhello", "b").shown("text/plain")[0]
    assert "$0.09" in notebook.run("%%claude --budget 0.10\nhello", "c").shown("text/plain")[0]
    last = notebook.run("%claude_cost --no-chart").shown("text/plain")[0].splitlines()[-1].split()
    assert last[:5] == ["left", "of", "the", "budget", "$1.99"] and last[-1] == "$2.00"


def test_a_cell_that_costs_more_than_the_amount_is_warned_of_once_with_the_figure(notebook: Kernel) -> None:
    cells = "for n in range(4):\n    get_ipython().run_line_magic('claude', 'hello')"
    notebook.run("%config ClaudeMagic.warn_above = 0.0005")
    first = notebook.run("%%claude --once\nhello", "d")
    assert first.text.count("This cell cost $0.0") == 1 and "warn_above" in first.text
    assert notebook.run(cells, "e").text == ""


def test_all_that_a_cell_asks_counts_towards_the_warning(notebook: Kernel) -> None:
    cost = float(str(notebook.run("%%claude\nhello", "f").turn()["calls"][0]["usage"]["output_tokens"])) * 20e-6
    notebook.run(f"%config ClaudeMagic.warn_above = {cost * 2.5}")
    assert notebook.run("%%claude\nhello", "f").text == ""
    loop = "for n in range(4):\n    get_ipython().run_line_magic('claude', '--once hello')"
    assert notebook.run(loop, "g").text.count("This cell cost") == 1
