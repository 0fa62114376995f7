"""Conversations against the strict stand-in: whatever a person does, never a 400, nothing lost, nothing doubled."""

from __future__ import annotations

import functools
import itertools
import json
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import finished_streams
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from claude_magic import errors, record, request
from claude_magic.accumulator import Accumulator
from claude_magic.client import Client, Settings, Wait
from claude_magic.conversation import DEFAULT_CHAT, Block, Turn
from claude_magic.notebook import Cell
from claude_magic.offline import Fault
from claude_magic.options import Options
from claude_magic.session import Outcome, Session

OFFLINE = Settings(provider="offline", max_retries=0, timeout=20)
RETRYING = Settings(provider="offline", max_retries=1, timeout=20)
MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-2", "claude-haiku-4-5")
THOUGHT = {"type": "thinking", "thinking": "Let me see."}
SCRIPTS: tuple[list[Block] | None, ...] = (
    None,
    [THOUGHT, {"type": "text", "text": "One thought."}],
    [THOUGHT, {"type": "text", "text": "First."}, THOUGHT, {"type": "text", "text": "Second."}],
    [THOUGHT, {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}}],
    [{"type": "redacted_thinking", "data": "gAAA"}, {"type": "text", "text": "Hidden."}],
    [THOUGHT],
)
FAULTS = ("cut", "cut_inside", "end", "error", "broken", "close")


class Reader:
    """A view that presses Interrupt after so many events."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.left = interrupt_after
        self.waits: list[Wait] = []
        self.ended: list[Turn | None] = []

    def begin(self, content: Sequence[Block], *, offline: bool) -> None:
        self.offline = offline

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        if self.left == 0:
            raise KeyboardInterrupt
        accumulator.add(event)
        if self.left is not None:
            self.left -= 1

    def wait(self, wait: Wait) -> None:
        self.waits.append(wait)

    def end(self, turn: Turn | None) -> None:
        self.ended.append(turn)


RUNS = itertools.count()


def ask(
    session: Session,
    prompt: str,
    cell: str | None = None,
    reader: Reader | None = None,
    settings: Settings = OFFLINE,
    **options: Any,
) -> Outcome:
    """Run a cell with this prompt."""
    content = [{"type": "text", "text": prompt}]
    return session.ask(Options(**options), content, Cell(cell, f"run {next(RUNS)}"), settings, reader or Reader())


def dialogue(messages: Sequence[Any]) -> list[tuple[str, str]]:
    """Role and text of messages."""
    return [(message["role"], text_in(message["content"])) for message in messages]


def text_in(content: Sequence[Block]) -> str:
    return "".join(block["text"] for block in content if block["type"] == "text")


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_recorded_reply_renders_and_goes_back_verbatim(
    case: dict[str, Any], corpus: str, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{corpus}/case/{case['id']}")
    settings = Settings(max_retries=0, timeout=20)
    outcome = ask(session, "first", "a", settings=settings)
    assert outcome.failure is None and outcome.joined and outcome.turn
    header, metadata = record.header(outcome.turn)
    assert outcome.turn.calls[0].model in header["text/plain"]
    assert json.loads(json.dumps(metadata))["claude_magic"]["turn"]["id"] == outcome.turn.id
    answered = record.answer(outcome.turn)
    texts = [block["text"] for block in outcome.turn.reply if block["type"] == "text" and block["text"]]
    assert bool(answered) == bool(texts)
    ask(session, "second", "b", settings=settings)
    with urllib.request.urlopen(f"{corpus}/_requests") as answer:
        messages = json.load(answer)[-1]["body"]["messages"]
    sendable = [block for block in outcome.turn.reply if block.get("text") != ""]
    if outcome.turn.status == "refused":
        assert len(messages) == 1
    else:
        assert messages[1] == {"role": "assistant", "content": sendable}


def test_thinking_that_the_api_refuses_is_left_out_from_then_on(session: Session) -> None:
    """Another account's notebook: the rule that binds thinking to an account is not ours to know."""
    server = session.client.offline
    for cell in ("a", "b"):
        ask(session, "question", cell)
    refused = "messages.1.content.0: Invalid `signature` in `thinking` block: The block is bound to a different account"
    server.faults.append(Fault("status", status=400, message=refused))
    outcome = ask(session, "question", "c")
    assert outcome.failure is None and outcome.turn and "earlier thinking left out" in outcome.turn.notes[-1]
    assert thinking_in(server.requests[-2]) == 2 and thinking_in(server.requests[-1]) == 0
    count = len(server.requests)
    outcome = ask(session, "question", "d")
    assert outcome.failure is None and len(server.requests) == count + 1
    assert thinking_in(server.requests[-1]) == 1


def thinking_in(sent: dict[str, Any]) -> int:
    return sum(block["type"] == "thinking" for message in sent["messages"] for block in message["content"])


class Notebook(RuleBasedStateMachine):
    """A person at a notebook, and what the page shows: cells in the order in which they first ran."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.session.client = client()
        self.server = self.session.client.offline
        self.server.faults.clear()
        self.server.script = None
        self.page: dict[str, dict[str, tuple[str, str, bool]]] = {}
        self.deleted: set[str] = set()
        self.numbers = itertools.count(1)
        self.spent = 0

    cells = st.sampled_from(["a", "b", "c", "d"])
    model = st.sampled_from(MODELS)
    system = st.sampled_from([None, None, "Be brief.", "Be a pirate."])
    script = st.sampled_from(SCRIPTS)
    chat = st.sampled_from([DEFAULT_CHAT, DEFAULT_CHAT, DEFAULT_CHAT, "other"])
    after = st.integers(0, 14)

    @rule(cell=cells, model=model, system=system, script=script, chat=chat)
    def run(self, cell: str, model: str, system: str | None, script: Any, chat: str) -> None:
        """A cell runs, for the first time or again."""
        outcome = self.ask(cell, model, system, script, chat, Reader())
        assert outcome.failure is None and outcome.joined

    @rule(cell=cells, model=model, script=script, after=after)
    def interrupt(self, cell: str, model: str, script: Any, after: int) -> None:
        """Interrupt is pressed at any event."""
        outcome = self.ask(cell, model, None, script, DEFAULT_CHAT, Reader(after))
        assert outcome.failure is None or isinstance(outcome.failure, errors.ReplyInterrupted)

    @rule(cell=cells, model=model, script=script, after=after, kind=st.sampled_from(FAULTS))
    def fault(self, cell: str, model: str, script: Any, after: int, kind: Any) -> None:
        """The connection or the API fails at any event."""
        self.server.faults.append(Fault(kind, after=after))
        self.ask(cell, model, None, script, DEFAULT_CHAT, Reader())

    @rule(cell=cells, status=st.sampled_from([408, 429, 500, 529]))
    def retry(self, cell: str, status: int) -> None:
        """An attempt fails, the next one succeeds: one turn, as if nothing had been."""
        self.server.faults.append(Fault("status", status=status, headers={"retry-after-ms": "1"}))
        outcome = self.ask(cell, MODELS[0], None, None, DEFAULT_CHAT, Reader(), RETRYING)
        assert outcome.joined and outcome.failure is None

    @rule(cell=cells, status=st.sampled_from([400, 401, 403, 413]))
    def refusal_to_serve(self, cell: str, status: int) -> None:
        """An HTTP error changes nothing."""
        self.server.faults.append(Fault("status", status=status))
        assert self.ask(cell, MODELS[0], None, None, DEFAULT_CHAT, Reader()).turn is None

    @rule(cell=cells)
    def once(self, cell: str) -> None:
        """A question outside of the conversation: its cell shows no turn of it any more."""
        prompt = f"once {next(self.numbers)}"
        outcome = ask(self.session, prompt, cell, once=True)
        assert outcome.failure is None and not outcome.joined
        assert dialogue(self.server.requests[-1]["messages"]) == [("user", prompt)]
        for chat in self.page.values():
            chat.pop(cell, None)
        self.deleted.discard(cell)
        self.spent += 1

    @rule(cell=cells)
    def delete(self, cell: str) -> None:
        """A cell is deleted, or cut: its turn is set aside."""
        self.session.delete(frozenset({cell}))
        self.deleted.add(cell)

    @rule()
    def reset(self) -> None:
        """The conversation starts over."""
        self.session.reset(DEFAULT_CHAT)
        self.page.pop(DEFAULT_CHAT, None)

    def ask(
        self,
        cell: str,
        model: str,
        system: str | None,
        script: Any,
        chat: str,
        reader: Reader,
        settings: Settings = OFFLINE,
    ) -> Outcome:
        """Ask, check what went on the wire, and write on the page what the cell now shows."""
        prompt = f"question {next(self.numbers)}"
        self.server.script = lambda body: unique(script, len(self.server.requests))
        before = len(self.server.requests)
        outcome = ask(self.session, prompt, cell, reader, settings, model=model, system=system, chat=chat)
        assert not isinstance(outcome.failure, errors.InvalidRequestError), outcome.failure
        assert outcome.turn is None or not any("left out" in note for note in outcome.turn.notes)
        self.spent += outcome.turn is not None
        for sent in self.server.requests[before:]:
            self.check_request(sent, cell, chat, prompt)
        if outcome.joined:
            self.write(outcome, cell, chat, prompt)
        return outcome

    def check_request(self, sent: dict[str, Any], cell: str, chat: str, prompt: str) -> None:
        roles = [message["role"] for message in sent["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
        above = list(self.page.get(chat, {}).items())
        if cell in self.page.get(chat, {}):
            above = above[: [name for name, _ in above].index(cell)]
        turns = [shown for name, shown in above if shown[2] and (name not in self.deleted or name == cell)]
        expected = [line for asked, said, _ in turns for line in (("user", asked), ("assistant", said))]
        assert dialogue(sent["messages"]) == [*expected, ("user", prompt)]

    def write(self, outcome: Outcome, cell: str, chat: str, prompt: str) -> None:
        assert outcome.turn is not None
        for name, cells in self.page.items():
            if name != chat:
                cells.pop(cell, None)
        said = text_in(outcome.turn.messages[-1]["content"])
        self.page.setdefault(chat, {})[cell] = (prompt, said, bool(request.sendable(outcome.turn)))
        self.deleted.discard(cell)

    @invariant()
    def the_conversation_is_what_the_page_shows(self) -> None:
        for name, chat in self.session.chats.items():
            shown = [cell for cell in self.page.get(name, {}) if cell not in self.deleted]
            assert [turn.cell_id for turn in chat] == shown

    @invariant()
    def every_reply_that_was_paid_for_is_in_the_ledger_once(self) -> None:
        assert len({turn.id for turn in self.session.spent}) == len(self.session.spent) == self.spent


def unique(script: Any, number: int) -> Any:
    """A script's blocks, with text and ids that tell one reply from another."""
    if script is None:
        return None
    made = []
    for block in script:
        block = dict(block)
        if block["type"] == "text":
            block["text"] += f" ({number})"
        if block["type"] == "tool_use":
            block["id"] += f"_{number}"
        made.append(block)
    return made


@functools.cache
def client() -> Client:
    """One client, and so one stand-in, for all examples: making them anew would take the time."""
    return Client()


TestNotebook = Notebook.TestCase
TestNotebook.settings = settings(
    max_examples=40, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
