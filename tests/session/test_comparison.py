"""The same turn by several models: side by side, one of them in the conversation."""

from __future__ import annotations

import threading
from html.parser import HTMLParser
from typing import Any

import pytest

from claude_magic import errors
from claude_magic.cost import pricing
from claude_magic.notebook.cell import Cell
from claude_magic.offline import Fault
from claude_magic.options import Options
from claude_magic.render.live.columns import Columns
from claude_magic.render.turn import reply_text
from claude_magic.session import comparison
from claude_magic.session.question import NO_REPLAY, Question, Replay
from claude_magic.session.session import Outcome, Session
from support.kernel import Page
from support.sessions import OFFLINE, ask, dialogue

MODELS = ("opus", "sonnet", "haiku")


class Publisher:
    """A shell's outputs, as they are published."""

    def __init__(self) -> None:
        self.published: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.display_pub = self

    def publish(self, data: Any, metadata: Any, **_more: Any) -> None:
        self.published.append((data, metadata))

    @property
    def last(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.published[-1]


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def shell() -> Publisher:
    return Publisher()


def compare(
    session: Session,
    shell: Any,
    *names: str,
    cell: str | None = "a",
    run: str = "run",
    replay: Replay = NO_REPLAY,
    **options: Any,
) -> Outcome:
    content = [{"type": "text", "text": "Say it."}]
    question = Question(Options(**options), content, Cell(cell, run), replay=replay)
    return comparison.compare(session, question, names or MODELS, OFFLINE, Columns(shell))


def test_all_are_asked_before_any_has_answered(session: Session, shell: Publisher) -> None:
    together = threading.Barrier(3)

    def script(_body: Any) -> list[Any]:
        together.wait(20)  # breaks, and the replies fail, unless all three are asked at once
        return [{"type": "text", "text": "Here."}]

    session.client.offline.script = script
    outcome = compare(session, shell)
    assert outcome.failure is None and len(outcome.compared) == 3 and not together.broken


def test_the_first_goes_on_and_all_are_counted(session: Session, shell: Publisher) -> None:
    outcome = compare(session, shell)
    (standing,) = session.chats.shown["main"]
    assert standing == outcome.turn and standing.params["model"] == "claude-opus-5-5"
    assert len(session.spent) == 3 and len(session.spent_elsewhere()) == 2
    total = pricing.total(pricing.turn_cost(turn) for turn in session.spent)
    parts = [*session.spent_elsewhere(), standing]
    assert total == pricing.total(pricing.turn_cost(turn) for turn in parts)
    html = shell.last[0]["text/html"]
    assert html.count("first token") == html.count("tokens in") == 3
    line = shell.published[-2][0]["text/plain"]
    assert line.startswith("claude-opus-5-5 goes on in the conversation · %claude_choose MODEL keeps another answer")
    assert f"{line}{html}".count("offline stand-in") == 1
    assert len(shell.last[1]["claude_magic"]["others"]) == 2


def test_a_failure_stands_in_its_own_column(session: Session, shell: Publisher) -> None:
    session.client.offline.faults.append(Fault("status", status=529))
    outcome = compare(session, shell)
    assert outcome.failure is None and outcome.joined and len(outcome.compared) == 2
    assert shell.last[0]["text/html"].count("<strong>failed</strong>") == 1


def test_where_all_fail_the_cell_fails_and_nothing_changes(session: Session, shell: Publisher) -> None:
    session.client.offline.faults.extend([Fault("status", status=529)] * 3)
    outcome = compare(session, shell)
    assert isinstance(outcome.failure, errors.OverloadedError) and outcome.turn is None
    assert session.chats.turns == [] and shell.last[0]["text/html"] == ""


class Interrupted(Columns):
    """Columns on which Interrupt is pressed as soon as each has some text."""

    def draw(self) -> None:
        if all(column.now()[1] for column in self.columns):
            raise KeyboardInterrupt


@pytest.mark.slow
def test_one_interrupt_ends_all_and_keeps_what_came(session: Session, shell: Any) -> None:
    session.client.offline.pace = 50
    content = [{"type": "text", "text": "[[long 3000]]"}]
    outcome = comparison.compare(
        session, Question(Options(), content, Cell("a", "r")), MODELS, OFFLINE, Interrupted(shell)
    )
    assert isinstance(outcome.failure, errors.ReplyInterrupted) and outcome.joined
    assert {turn.status for turn in outcome.compared.values()} == {"interrupted"} and len(outcome.compared) == 3


@pytest.mark.slow
def test_an_interrupt_keeps_what_a_connection_that_went_silent_had_brought(session: Session, shell: Any) -> None:
    session.client.offline.faults.append(Fault("stall", after=40))
    session.client.offline.pace = 50
    content = [{"type": "text", "text": "[[long 3000]]"}]
    outcome = comparison.compare(
        session, Question(Options(), content, Cell("a", "r")), ("opus", "haiku"), OFFLINE, Interrupted(shell)
    )
    assert isinstance(outcome.failure, errors.ReplyInterrupted) and len(outcome.compared) == 2
    assert all(turn.status == "interrupted" and turn.calls for turn in outcome.compared.values())
    assert all(reply_text(turn) for turn in outcome.compared.values())
    assert len(session.spent) == 2


def test_a_comparison_is_replayed_without_a_request(session: Session, shell: Publisher) -> None:
    session.client.offline.script = lambda body: [{"type": "text", "text": f"I am {body['model']}."}]
    compare(session, shell)
    asked = len(session.client.offline.requests)
    again = compare(session, shell, run="again", replay=Replay("only", 0))
    assert len(session.client.offline.requests) == asked and again.joined
    assert [reply_text(turn) for turn in again.compared.values()] == [
        "I am claude-opus-5-5.",
        "I am claude-sonnet-5-5.",
        "I am claude-haiku-5-5.",
    ]
    assert all(turn.replayed for turn in again.compared.values()) and "replayed" in shell.last[0]["text/html"]
    with pytest.raises(errors.UsageError, match="No recorded answer"):
        compare(session, shell, "opus", "fable", run="more", replay=Replay("only", 0))


def test_columns_count_the_seconds_while_nothing_has_come(shell: Any) -> None:
    columns = Columns(shell)
    columns.begin(["opus"], [], provider="anthropic")
    assert "waiting … 0 s" in shell.last[0]["text/plain"]


def test_another_is_chosen_and_goes_along_and_is_undone(session: Session, shell: Publisher) -> None:
    session.client.offline.script = lambda body: [{"type": "text", "text": f"I am {body['model']}."}]
    compare(session, shell)
    chosen, place = comparison.choose(session, "sonnet")
    assert (place.params["model"], chosen.params["model"]) == ("claude-opus-5-5", "claude-sonnet-5-5")
    assert shell.last[1]["claude_magic"]["turn"]["id"] == chosen.id
    ask(session, "and?", "b")
    sent = dialogue(session.client.offline.requests[-1]["messages"])
    assert sent[1] == ("assistant", "I am claude-sonnet-5-5.")
    assert len(session.spent_elsewhere()) == 2
    session.undo()
    assert session.chats.turns[0].params["model"] == "claude-opus-5-5"
    assert comparison.choose(session, "haiku")[0].params["model"] == "claude-haiku-5-5"
    assert comparison.choose(session, "opus")[0].params["model"] == "claude-opus-5-5"


def test_a_choice_works_without_cell_ids(session: Session, shell: Publisher) -> None:
    compare(session, shell, cell=None)
    chosen, _ = comparison.choose(session, "haiku")
    assert session.chats.turns == [chosen]


def test_what_cannot_be_chosen_is_said(session: Session, shell: Publisher) -> None:
    with pytest.raises(errors.UsageError, match="no comparison"):
        comparison.choose(session, "opus")
    compare(session, shell, "opus", "haiku")
    with pytest.raises(errors.UsageError, match="fable has no reply"):
        comparison.choose(session, "fable")
    with pytest.raises(errors.UsageError, match="already"):
        comparison.choose(session, "opus")


@pytest.mark.parametrize(
    ("names", "message"),
    [(("opus", "claude-opus-5-5"), "twice"), (("opus", "claude-haiku-4-5"), "claude-haiku-4-5")],
)
def test_what_a_model_does_not_take_is_refused_before_anything_is_sent(
    session: Session, shell: Publisher, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(errors.UsageError, match=message):
        compare(session, shell, *names, effort="max")
    assert session.client.offline.requests == [] and shell.published == []


def test_names_are_counted_and_whole() -> None:
    assert comparison.compared_models("opus, sonnet") == ["opus", "sonnet"]
    for wrong in ("opus,", "a,b,c,d,e,f,g"):
        with pytest.raises(errors.UsageError):
            comparison.compared_models(wrong)


def test_the_budget_holds_for_all_together(session: Session, shell: Publisher) -> None:
    with pytest.raises(errors.UsageError, match="budget"):
        compare(session, shell, budget="0.0000001")
    assert shell.published == []


def test_a_question_asked_once_joins_nothing(session: Session, shell: Publisher) -> None:
    outcome = compare(session, shell, once=True)
    assert not outcome.joined and session.chats.turns == [] and len(session.spent) == 3


class Elements(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_hostile_replies_are_inert_while_they_grow_and_at_rest(session: Session, shell: Publisher) -> None:
    hostile = '<script>alert(1)</script><img src=x onerror="alert(1)">\n\n[a](javascript:alert(1)) ![](http://x/y.png)'
    session.client.offline.script = lambda body: [
        {"type": "thinking", "thinking": hostile},
        {"type": "text", "text": hostile},
    ]
    compare(session, shell)
    for data, _ in shell.published:
        found = Elements()
        found.feed(data["text/html"])
        assert not found.tags & {"script", "img", "style", "iframe", "svg"}
        assert found.attributes <= {"style", "class", "href", "title", "start", "rel", "target"}
        assert 'href="javascript' not in data["text/html"]


def test_a_choice_survives_a_restart_in_a_real_notebook(page: Page) -> None:
    page.load()
    run = page.run("ask", "%%claude --model opus,sonnet --out both\nhello")
    assert run.error is None, run.error
    assert "claude-sonnet-5-5" in page.run("look", "print(list(both))").text
    page.save()
    page.restart()
    page.load()
    chosen = page.run("choose", "%claude_choose sonnet")
    assert chosen.error is None and "sonnet" in chosen.shown("text/plain")[0]
    page.save()
    page.restart()
    page.load()
    page.run("next", "%%claude\nand?")
    assert "sonnet" in page.run("table", "%claude_history").shown("text/plain")[0]
    page.save()
    back = page.run("again", "%claude_choose opus")
    assert back.error is None, back.error
