"""A question longer than its model's window fails before it is sent, with the way out. Short ones cost no count."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from claude_magic import errors
from claude_magic.conversation.turns import Pin
from claude_magic.cost import context_window
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.session.comparison import compare
from claude_magic.session.question import Question
from claude_magic.session.session import Session
from support.sessions import OFFLINE, Reader, ask

SMALL = "claude-haiku-4-5"  # reads 200,000 tokens
LONG = "seven. " * 120_000  # 240,000 tokens by the stand-in's count
HALF = "seven. " * 60_000


@pytest.fixture(scope="module")
def shared() -> Session:
    return Session()


@pytest.fixture
def session(shared: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    fresh = Session(shared.client)
    shared.client.offline.requests.clear()
    counts: list[Any] = []
    count = shared.client.count_tokens
    monkeypatch.setattr(shared.client, "count_tokens", lambda *given: counts.append(given) or count(*given))
    fresh.counts = counts  # type: ignore[attr-defined]
    return fresh


def counts(session: Session) -> int:
    """How often the API was asked to count."""
    return len(session.counts)  # type: ignore[attr-defined]


def test_a_prompt_past_the_window_is_not_sent_and_the_line_says_how_long_it_is(session: Session) -> None:
    with pytest.raises(
        errors.UsageError, match=r"24\d,\d{3} tokens .* claude-haiku-4-5 reads 200,000 at most"
    ) as raised:
        ask(session, LONG, "a", model=SMALL)
    assert "--model claude-haiku-5-5 reads 1,000,000" in raised.value.advice and "shorter" in raised.value.advice
    assert not session.client.offline.requests and not session.spent


@pytest.mark.slow
def test_the_ways_out_of_a_long_conversation_are_named_and_each_leads_out(session: Session) -> None:
    ask(session, HALF, "a", model=SMALL)
    with pytest.raises(errors.UsageError) as raised:
        ask(session, HALF, "b", model=SMALL)
    for way in ("%claude_compact", "--compact auto", "%claude_reset", "--once", "--model claude-haiku-5-5"):
        assert way in raised.value.advice
    assert ask(session, HALF, "b", model="claude-haiku-5-5").failure is None
    assert ask(session, HALF, "b", model=SMALL, once=True).failure is None
    session.chats.reset("main")
    assert ask(session, HALF, "b", model=SMALL).failure is None


def test_pins_count_too(session: Session) -> None:
    session.chats.set_up(Pin("book", ({"type": "text", "text": LONG},)), Cell())
    with pytest.raises(errors.UsageError, match="reads 200,000 at most"):
        ask(session, "hello", "a", model=SMALL)


@pytest.mark.slow
def test_short_conversations_are_not_counted_nor_are_long_ones_that_just_went_through(session: Session) -> None:
    for cell in ("a", "b"):
        ask(session, "hello", cell)
    assert counts(session) == 0
    ask(session, HALF, "c", model=SMALL)  # more bytes than the window has tokens
    assert counts(session) == 1
    assert ask(session, "and now?", "d", model=SMALL).failure is None
    assert counts(session) == 1


def test_what_cannot_be_counted_is_sent(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(*_: Any) -> int:
        raise errors.UsageError("This provider does not count.")

    monkeypatch.setattr(session.client, "count_tokens", lacks)
    outcome = ask(session, LONG, "a", model=SMALL)
    assert isinstance(outcome.failure, errors.RequestTooLargeError)
    assert len(session.client.offline.requests) == 1


def test_of_several_models_the_one_that_cannot_read_it_is_named(session: Session) -> None:
    never_begun: Any = None
    content = [{"type": "text", "text": LONG}]
    with pytest.raises(errors.UsageError, match="claude-haiku-4-5 reads 200,000"):
        compare(session, Question(Options(), content, Cell("a", "x")), ["opus", SMALL], OFFLINE, never_begun)
    assert not session.client.offline.requests


@pytest.mark.slow
def test_a_reply_does_not_go_on_past_the_window(session: Session) -> None:
    ask(session, LONG[:699_900], "a", model=SMALL, max_tokens=5)
    (turn,) = session.chats.turns
    assert turn.calls[-1].stop_reason == "max_tokens"
    with pytest.raises(errors.UsageError, match="reads 200,000"):
        session.continue_reply("main", Cell("b", "y"), OFFLINE, Reader())


@pytest.mark.parametrize(
    ("block", "most"),
    [
        ({"type": "image", "source": {"type": "base64", "data": "A" * 100_000}}, context_window.MAX_IMAGE_TOKENS),
        (
            {"type": "image", "source": {"type": "url", "url": "https://a.invalid/b.png"}},
            context_window.MAX_IMAGE_TOKENS,
        ),
        ({"type": "document", "source": {"type": "url", "url": "https://a.invalid/b.pdf"}}, float("inf")),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, float("inf")),
    ],
    ids=str,
)
def test_what_no_length_tells_of_has_a_bound_of_its_own(block: dict[str, Any], most: float) -> None:
    nested = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    for content, more in (([block], 100), ([nested], 200)):
        bound = context_window.most_tokens({"messages": [{"role": "user", "content": content}]})
        assert most <= bound <= most + more


def test_the_bound_is_above_the_count(session: Session) -> None:
    page = base64.b64encode(b"%PDF-1.4 /Type /Page " + b"x" * 600).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": page}
    for content in ([{"type": "text", "text": "ÄÖÜ 漢字 🎉" * 50}], [{"type": "document", "source": source}]):
        params = {"model": SMALL, "messages": [{"role": "user", "content": content}], "system": "Be kind."}
        assert session.client.count_tokens(params, OFFLINE) <= context_window.most_tokens(params)
