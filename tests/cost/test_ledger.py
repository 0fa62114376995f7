"""Each call counts once, and two calls are two, whatever ids a gateway gives them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pandas
import pytest

from claude_magic.conversation.turns import Call, Conversation, Turn
from claude_magic.cost import ledger
from claude_magic.errors import ReplyInterrupted
from claude_magic.render import cost_report, history
from claude_magic.render.turn import figures_of
from support.gateway import Gateway, answer, gateway, message, named
from support.provider_server import EVENTS
from support.shell import Shell
from support.turns import turn_of

STARTED = 1_795_000_000.0


def call(started: float = STARTED, **fields: Any) -> Call:
    given = {"request_id": "req_1", "message_id": "msg_1", **fields}
    usage = {"input_tokens": 1_000, "output_tokens": 100}
    return Call("claude-opus-5-5", usage, stop_reason="end_turn", started=started, **given)


def calls_in(*turns: Turn, elsewhere: tuple[Turn, ...] = ()) -> int:
    return len(ledger.entries(turns, elsewhere))


def of(*calls: Call) -> Turn:
    return turn_of(str(len(calls)), calls=calls)


@pytest.mark.parametrize(
    "ids", [{}, {"request_id": None}, {"message_id": None}, {"request_id": None, "message_id": None}]
)
def test_a_call_is_told_from_others_by_its_ids_and_its_start(ids: dict[str, None]) -> None:
    first, again = of(call(**ids)), of(call(STARTED + 5, **ids))
    assert calls_in(first, again) == calls_in(first, elsewhere=(again,)) == 2
    continued = of(*first.calls, *again.calls)
    assert calls_in(continued, elsewhere=(first, of(*again.calls))) == 2
    assert calls_in(continued, dataclasses.replace(continued, id="chosen")) == 2


def test_calls_of_one_turn_are_several_even_if_nothing_tells_them_apart() -> None:
    assert calls_in(of(call(), call())) == 2  # the rows of a batch, which begin together
    nameless = of(call(0.0, request_id=None, message_id=None))
    assert calls_in(nameless, nameless) == 2


def test_a_replay_is_a_row_of_its_own() -> None:
    made = call()
    assert calls_in(of(made), of(dataclasses.replace(made, replayed=True))) == 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway() as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-of-a-gateway")
        yield running


def test_two_answers_with_the_same_ids_are_two_rows(server: Gateway) -> None:
    shell = Shell()
    for line in ("", "", "--once"):
        shell.shell.run_cell_magic("claude", line, "Hello?")
    session = shell.kernel.session
    entries = ledger.entries(session.chats.turns, session.spent_elsewhere())
    assert len(server.came) == len(entries) == 3 and {each.call.request_id for each in entries} == {"req_1"}


USAGES: list[Any] = [None, {}, {"output_tokens": 2}, {"input_tokens": "3", "output_tokens": 2}, {"input_tokens": -1}]


@pytest.mark.parametrize("used", USAGES, ids=str)
@pytest.mark.slow
def test_a_gateway_without_usage_costs_nobody_knows_what(server: Gateway, used: Any) -> None:
    """`n/a` wherever tokens and dollars are shown, and in the ledger."""
    start, *rest, end, stop = EVENTS
    first = {**start, "message": {name: value for name, value in start["message"].items() if name != "usage"}}
    last = {name: value for name, value in end.items() if name != "usage"} | ({} if used is None else {"usage": used})
    server.answering(answer(named(first, *rest, last, stop)))
    shell = Shell()
    shell.configuration.budget = 1.0
    for _ in range(2):
        shell.shell.run_cell_magic("claude", "", "Hello?")
    session = shell.kernel.session
    made = session.chats.turns[1]
    shown = [*figures_of(made), cost_report.session_table(ledger.entries([made]))["text/plain"]]
    assert made.status == "complete" and shown[1:3] == ["n/a tokens in → n/a out", "n/a"]
    assert "$" not in "".join(shown) and shown[-1].count("n/a") >= 10
    (row,) = map(ledger.row, ledger.entries([made]))
    assert [row[name] for name in ledger.COLUMNS if "tokens" in name or "dollars" in name] == [None] * 7
    frame, _ = ledger.frame([row])
    assert frame["input_tokens"].isna().all() and frame["dollars"].isna().all()
    assert history.history_table("main", Conversation(tuple(session.chats.turns)))["text/plain"].count("n/a") == 6
    assert shell.kernel.budget_left().left == 1  # type: ignore[union-attr]


@pytest.mark.slow
def test_a_map_without_usage_costs_nobody_knows_what(server: Gateway) -> None:
    bare = message()
    del bare["usage"]
    server.answering(answer(json.dumps(bare), kind="application/json"))
    shell = Shell()
    shell.shell.user_ns["values"] = pandas.DataFrame({"word": ["a", "b"]})
    result = shell.map("values --fresh", "Say {{row.word}}")
    assert result["input_tokens"].isna().all() and result["cost"].isna().all() and len(server.came) == 2
    (turn,) = shell.kernel.session.spent
    with pytest.raises(ReplyInterrupted, match="what a reply cost is not known, so the budget cannot be kept"):
        shell.map("list('abcdefgh') --fresh --budget 1 --concurrency 1", "Say {{item}}")
    assert len(server.came) == 3
    assert "$" not in cost_report.session_table(ledger.entries([turn]))["text/plain"]
