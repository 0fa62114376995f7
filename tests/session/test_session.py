"""Conversations against the strict stand-in: whatever a person does, never a 400, nothing lost, nothing doubled."""

from __future__ import annotations

import functools
import itertools
import json
import os
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from claude_magic import errors
from claude_magic.client import Client, Settings
from claude_magic.conversation.turns import DEFAULT_CHAT, Block, Turn
from claude_magic.cost import pricing
from claude_magic.notebook.cell import Cell
from claude_magic.notebook.reader import read
from claude_magic.offline import Fault
from claude_magic.options import Options
from claude_magic.render.answer import answer_outputs
from claude_magic.render.turn import header_output, sent_outputs
from claude_magic.request import build
from claude_magic.session.question import Question, Replay
from claude_magic.session.session import Outcome, Session
from support.html_judge import Seen
from support.recordings import finished_streams
from support.sessions import OFFLINE, RETRYING, Reader, ask, dialogue, text_in

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
CELLS = ("a", "b", "c", "d")
RETRIED = (408, 429, 500, 529)
FAULTS = ("cut", "cut_inside", "end", "error", "broken", "close")
TROUBLES = ("interrupt", "interrupt", *FAULTS, *RETRIED, 400, 401, 403, 413)


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
@pytest.mark.slow
def test_a_recorded_reply_renders_and_goes_back_verbatim(
    case: dict[str, Any], corpus: str, monkeypatch: pytest.MonkeyPatch, session: Session
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{corpus}/case/{case['id']}")
    settings = Settings(max_retries=0, timeout=20)
    outcome = ask(session, "first", "a", settings=settings)
    assert outcome.failure is None and outcome.joined and outcome.turn
    header, metadata = header_output(outcome.turn)
    assert outcome.turn.calls[0].model in header["text/plain"]
    assert json.loads(json.dumps(metadata))["claude_magic"]["turn"]["id"] == outcome.turn.id
    answered = answer_outputs(outcome.turn)
    texts = [block["text"] for block in outcome.turn.reply if block["type"] == "text" and block["text"]]
    calls = [block for block in outcome.turn.reply if block["type"].endswith(("tool_use", "tool_result"))]
    assert bool(answered) == bool(texts or calls)
    assert not any(Seen(bundle["text/html"]).wrong for bundle in answered)
    ask(session, "second", "b", settings=settings)
    with urllib.request.urlopen(f"{corpus}/_requests") as answer:
        messages = json.load(answer)[-1]["body"]["messages"]
    results = {block.get("tool_use_id") for block in outcome.turn.reply}
    paused = outcome.turn.calls[-1].stop_reason == "pause_turn"
    orphans = [b for b in outcome.turn.reply if paused and b["type"] == "server_tool_use" and b["id"] not in results]
    sendable = [block for block in outcome.turn.reply if block.get("text") != "" and block not in orphans]
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
    assert outcome.failure is None and outcome.turn
    assert any("earlier thinking left out" in note for note in outcome.turn.notes)
    assert thinking_in(server.requests[-2]) == 2 and thinking_in(server.requests[-1]) == 0
    count = len(server.requests)
    outcome = ask(session, "question", "d")
    assert outcome.failure is None and len(server.requests) == count + 1
    assert thinking_in(server.requests[-1]) == 1


def thinking_in(sent: dict[str, Any]) -> int:
    return sum(block["type"] == "thinking" for message in sent["messages"] for block in message["content"])


@dataclass(frozen=True)
class Line:
    """What a page shows of a cell's turn: its dialogue, whether it can go back to Claude, and the outputs."""

    cell: str
    prompt: str
    said: str
    sendable: bool
    turn: Turn


class Notebook(RuleBasedStateMachine):
    """A person at a notebook: what the kernel should know of each chat, what the page shows, what the file holds."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "talk.ipynb"
        self.begin()
        self.server = self.session.client.offline
        self.server.faults.clear()
        self.server.script = None
        self.chats: dict[str, list[Line]] = {}
        self.aside: set[str] = set()
        self.seen: set[str] = set()
        self.order = list(CELLS)
        self.on_page: dict[str, tuple[str, Turn] | None] = {}
        self.file: tuple[list[str], dict[str, tuple[str, Turn] | None]] | None = None
        self.undoable: list[tuple[str, dict[str, list[Line]]]] = []
        self.numbers = itertools.count(1)

    def teardown(self) -> None:
        self.folder.cleanup()

    def begin(self) -> None:
        self.session = Session(client())
        self.session.path = self.path
        self.spent = 0

    cells = st.sampled_from(CELLS)
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

    @rule(cell=cells, model=model, script=script, after=after, kind=st.sampled_from(TROUBLES))
    def trouble(self, cell: str, model: str, script: Any, after: int, kind: Any) -> None:
        """Interrupt is pressed, or the connection or the API fails, at any event or before the first."""
        if kind == "interrupt":
            outcome = self.ask(cell, model, None, script, DEFAULT_CHAT, Reader(after))
            assert outcome.failure is None or isinstance(outcome.failure, errors.ReplyInterrupted)
        elif kind in FAULTS:
            self.server.faults.append(Fault(kind, after=after))
            self.ask(cell, model, None, script, DEFAULT_CHAT, Reader())
        elif kind in RETRIED:  # the next attempt succeeds: one turn, as if nothing had been
            self.server.faults.append(Fault("status", status=kind, headers={"retry-after-ms": "1"}))
            outcome = self.ask(cell, MODELS[0], None, None, DEFAULT_CHAT, Reader(), RETRYING)
            assert outcome.joined and outcome.failure is None
        else:
            self.server.faults.append(Fault("status", status=kind))
            assert self.ask(cell, MODELS[0], None, None, DEFAULT_CHAT, Reader()).turn is None

    @rule(cell=cells)
    def once(self, cell: str) -> None:
        """A question outside of the conversation: its cell shows no turn of it any more."""
        prompt = f"once {next(self.numbers)}"
        outcome = ask(self.session, prompt, cell, once=True)
        assert outcome.failure is None and not outcome.joined
        assert dialogue(self.server.requests[-1]["messages"]) == [("user", prompt)]
        self.note_undoable(cell)
        for name, lines in self.chats.items():
            self.chats[name] = [line for line in lines if line.cell != cell]
        self.aside.discard(cell)
        self.on_page[cell] = None
        self.spent += 1

    @rule(cell=cells)
    def again(self, cell: str) -> None:
        """A cell runs again with its prompt, and may be answered from the record: then nothing is sent."""
        self.server.script = lambda body: None
        line = next((line for line in self.chats.get(DEFAULT_CHAT, []) if line.cell == cell), None)
        if line is None or line.turn.status == "interrupted":
            return
        model, system = line.turn.params["model"], line.turn.params.get("system")
        before = len(self.server.requests)
        content = [{"type": "text", "text": line.prompt}]
        options = Options(model=model, system=system)
        expected = self.expected(cell, DEFAULT_CHAT, line.prompt)
        asked = self.session.request(Question(options, content, Cell(cell, "a look")))
        outcome = ask(self.session, line.prompt, cell, replay=Replay("auto", 0), model=model, system=system)
        assert outcome.turn and outcome.failure is None
        same = asked.prefix == line.turn.prefix and cell not in self.aside
        if same:
            assert len(self.server.requests) == before and outcome.turn.replayed
        if outcome.turn.replayed:
            assert outcome.turn.calls[0].usage and pricing.turn_cost(outcome.turn).dollars == 0
        else:
            assert dialogue(self.server.requests[-1]["messages"]) == expected
            self.spent += 1
        self.write(outcome, cell, DEFAULT_CHAT, line.prompt)

    @rule(cell=cells, then=st.sampled_from(["save", "save", "go on"]))
    def delete(self, cell: str, then: str) -> None:
        """A cell is deleted: its turn is set aside, and the next file does not have it."""
        self.session.delete(frozenset({cell}))
        self.aside.add(cell)
        self.on_page.pop(cell, None)
        if then == "save":
            self.save()

    @rule(cell=cells)
    def delete_unheard(self, cell: str) -> None:
        """A cell is deleted, and the kernel that was told dies; or nobody was told: only the next file tells."""
        self.on_page.pop(cell, None)
        self.save()

    @rule(cell=cells, then=st.sampled_from(["save", "save", "go on"]))
    def cut_and_paste(self, cell: str, then: str) -> None:
        """A cell is cut and pasted: the frontend says that it was deleted, and the next file still has it."""
        self.session.delete(frozenset({cell}))
        self.aside.add(cell)
        if then == "save":
            self.save()

    @rule()
    def reset(self) -> None:
        """The conversation starts over."""
        self.session.chats.reset(DEFAULT_CHAT)
        self.chats.pop(DEFAULT_CHAT, None)
        self.undoable.clear()
        # What the page showed of it is marked by the output of `%claude_reset`; here it is cleared away.
        for cell, shown in self.on_page.items():
            if shown and shown[1].chat == DEFAULT_CHAT:
                self.on_page[cell] = None

    @rule()
    def save(self) -> None:
        """The page is saved: cells that stand in the file again stand in the conversation again."""
        shown = {cell: self.on_page[cell] for cell in self.order if cell in self.on_page}
        self.file = (list(shown), dict(shown))
        cells = []
        for name, what in shown.items():
            outputs = [] if what is None else outputs_of(what[1])
            cells.append(nbformat.v4.new_code_cell("%%claude", id=name, outputs=outputs))
        nbformat.write(nbformat.v4.new_notebook(cells=cells), self.path)
        now = time.time_ns()
        os.utime(self.path, ns=(now, now))
        self.session.chats.reread_file(self.path)
        known = {line.cell for lines in self.chats.values() for line in lines}
        self.aside |= (known & self.seen) - shown.keys()
        self.aside -= known & shown.keys()
        self.seen |= known & shown.keys()

    @rule(order=st.permutations(CELLS), saved=st.sampled_from([True, True, False]))
    def restart(self, order: list[str], saved: bool) -> None:
        """The kernel is restarted, and the extension loaded: the file's turns come back, in cell order."""
        if saved:
            self.order = list(order)
            self.save()
        self.begin()
        self.chats, self.aside, self.undoable, self.seen = {}, set(), [], set()
        if self.file is None:
            return
        self.session.chats.restore(read(self.path))
        order, shown = self.file
        for cell in order:
            if what := shown[cell]:
                prompt, turn = what
                line = Line(
                    cell, prompt, text_in(turn.messages[-1]["content"]), bool(build.messages_to_send(turn)), turn
                )
                if turn.status != "interrupted" or turn.messages[-1]["content"]:
                    self.chats.setdefault(turn.chat, []).append(line)
        self.seen = {line.cell for lines in self.chats.values() for line in lines}

    @rule()
    def undo(self) -> None:
        """What the last re-run replaced comes back, in its place."""
        turns, _ = self.session.undo()
        while self.undoable:
            cell, before = self.undoable.pop()
            replaced = [line for lines in before.values() for line in lines if line.cell == cell]
            standing = {line.turn.id for lines in self.chats.values() for line in lines}
            if cell in self.aside or any(line.turn.id in standing for line in replaced):
                continue
            assert [turn.id for turn in turns] == [line.turn.id for line in replaced]
            for name, lines in self.chats.items():
                self.chats[name] = [line for line in lines if line.cell != cell]
            for line in replaced:
                self.seat(line, [each.cell for each in before[line.turn.chat]])
                self.on_page[cell] = (line.prompt, line.turn)
            return
        assert not turns

    def seat(self, line: Line, order: list[str]) -> None:
        """After the last of those that stood above it."""
        lines = self.chats.setdefault(line.turn.chat, [])
        above = order[: order.index(line.cell)]
        at = max((i for i, each in enumerate(lines) if each.cell in above), default=-1)
        lines.insert(at + 1, line)

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
            roles = [message["role"] for message in sent["messages"]]
            assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"]
            assert dialogue(sent["messages"]) == self.expected(cell, chat, prompt)
        self.on_page[cell] = outcome.turn and (prompt, outcome.turn)
        if outcome.joined:
            self.write(outcome, cell, chat, prompt)
        return outcome

    def expected(self, cell: str, chat: str, prompt: str) -> list[tuple[str, str]]:
        """The dialogue that a cell should send: the turns above its own."""
        above = self.chats.get(chat, [])
        names = [line.cell for line in above]
        if cell in names:
            above = above[: names.index(cell)]
        turns = [line for line in above if line.sendable and (line.cell not in self.aside or line.cell == cell)]
        said, unanswered = [], ""
        for line in turns:
            if build.has_reply(line.turn):
                said += [("user", unanswered + line.prompt), ("assistant", line.said)]
                unanswered = ""
            else:  # an empty reply: its question goes along with the next
                unanswered += line.prompt
        return [*said, ("user", unanswered + prompt)]

    def note_undoable(self, cell: str) -> None:
        if any(line.cell == cell for lines in self.chats.values() for line in lines):
            self.undoable.append((cell, {name: list(lines) for name, lines in self.chats.items()}))

    def write(self, outcome: Outcome, cell: str, chat: str, prompt: str) -> None:
        assert outcome.turn is not None
        self.note_undoable(cell)
        for name, lines in self.chats.items():
            if name != chat:
                self.chats[name] = [line for line in lines if line.cell != cell]
        said = text_in(outcome.turn.messages[-1]["content"])
        line = Line(cell, prompt, said, bool(build.messages_to_send(outcome.turn)), outcome.turn)
        lines = self.chats.setdefault(chat, [])
        names = [each.cell for each in lines]
        if cell in names:
            lines[names.index(cell)] = line
        else:
            lines.append(line)
        self.aside.discard(cell)
        self.on_page[cell] = (prompt, outcome.turn)

    @invariant()
    def the_conversation_is_what_the_page_shows(self) -> None:
        for name, chat in self.session.chats.shown.items():
            shown = [line.cell for line in self.chats.get(name, []) if line.cell not in self.aside]
            assert [turn.cell_id for turn in chat] == shown

    @invariant()
    def every_reply_that_was_paid_for_is_in_the_ledger_once(self) -> None:
        assert len({turn.id for turn in self.session.spent}) == len(self.session.spent) == self.spent


def outputs_of(turn: Turn) -> list[Any]:
    """A turn's outputs, as a notebook's file has them."""
    data, metadata = header_output(turn)
    bundles = [
        (data, metadata),
        *sent_outputs(turn.prompt),
        *((each, {}) for each in answer_outputs(turn)),
    ]
    return [nbformat.v4.new_output("display_data", data=data, metadata=metadata) for data, metadata in bundles]


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


TestNotebook = pytest.mark.slow(Notebook.TestCase)
TestNotebook.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
