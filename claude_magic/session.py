"""Asking the next thing: this kernel's network, money and record, for one notebook's conversations.

A turn joins its conversation when its reply has arrived, whole or interrupted with something kept;
a failure changes nothing.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import notebook, request
from .accumulator import Accumulator, Reply, call_of, concluded
from .chats import Chats
from .client import Client, Settings, Stream
from .conversation import Block, Call, Conversation, Turn
from .errors import ClaudeError, ReplyInterrupted, StreamError, ThinkingRefusedError, UsageError
from .journal import Journal, Why, Writer
from .live import View
from .notebook import Cell, Saved
from .options import Options
from .record import OFFLINE, REPLAYED
from .replay import Records, difference, events, replayed
from .request import Request


@dataclass(frozen=True)
class Replay:
    """Whether to answer from the record, and how many times faster than recorded; 0 is at once."""

    mode: str = "off"
    speed: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of a question: the turn, the failure, or (a reply that broke off) both.

    `joined` says whether the turn is now in the conversation.
    """

    turn: Turn | None = None
    failure: ClaudeError | None = None
    joined: bool = False


class Session:
    """One notebook in this kernel: its conversations, its file, and what was spent on it."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client()
        self.chats = Chats()
        self.path: Path | None = None
        self.journal: Journal | None = None
        self.spent: list[Turn] = []
        self._replayed: set[str] = set()
        self._views: dict[str, View] = {}

    def request(self, options: Options, content: Sequence[Block], cell: Cell) -> Request:
        """The exact request that a cell would send now. Raises `UsageError`."""
        return request.build(self._history(options, cell), content, options)

    def ask(
        self,
        options: Options,
        content: Sequence[Block],
        cell: Cell,
        settings: Settings,
        view: View,
        replay: Replay = Replay(),  # a frozen value
    ) -> Outcome:
        """Send a cell's question, or answer it from the record; show the reply, and put it into the conversation.

        Raises `UsageError` before anything is shown or sent; all later failures are in the outcome.
        """
        history = self._history(options, cell)
        asked = request.build(history, content, options)
        recorded = self._recorded(asked, cell, settings, replay)
        if recorded is not None:
            return self._replay(recorded, asked, _draft(options, content, cell, asked, history), cell, view, replay)
        draft, turn = _draft(options, content, cell, asked, history), None
        writer = self._writer(draft, cell, settings)
        try:
            with uninterrupted():
                view.begin(content, label=OFFLINE if settings.provider == "offline" else "")
            answer, failure = self._stream(asked, settings, view, writer)
            if isinstance(failure, ThinkingRefusedError):
                # Another account's notebook, or a rule that we do not know: a conversation can always go on.
                self.chats.unbind(options.chat)
                asked = request.build(history.unbound(), content, options)
                left_out = "earlier thinking left out: the API refused it"
                draft = dataclasses.replace(draft, prefix=asked.prefix, notes=(*draft.notes, left_out))
                if writer is not None:
                    writer.redraft(draft)
                answer, failure = self._stream(asked, settings, view, writer)
            with uninterrupted(swallow=True):
                outcome = self._conclude(draft, cell, answer, failure, view, writer)
                turn = outcome.turn
        finally:
            with uninterrupted(swallow=True):
                view.end(turn)
                if writer is not None:
                    writer.close()
        return outcome

    def delete(self, cell_ids: frozenset[str]) -> None:
        """The reader deleted these cells: their turns are set aside."""
        self._dismiss(self.chats.delete(cell_ids), "deleted")

    def undo(self) -> tuple[list[Turn], list[str]]:
        """Bring back what the last re-run replaced. Returns those turns, and the ids of what they stand instead of.

        Where the page still listens, the cell shows its earlier answer again.
        """
        rerun = self.chats.undo()
        if rerun is None:
            return [], []
        for made, turn in zip(rerun.made, rerun.replaced, strict=False):
            self._views[made].show(turn)
        if self.journal is not None:
            self.journal.dismiss(rerun.made, "undone")
        return rerun.replaced, rerun.made

    def spent_elsewhere(self) -> list[Turn]:
        """The turns that were paid for and stand in no conversation: replaced, failed, reset, or asked once."""
        standing = {turn.id for turn in self.chats.turns}
        return [turn for turn in self.spent if turn.id not in standing]

    def _dismiss(self, turns: Sequence[Turn], why: Why) -> None:
        """Say in the journal why turns are no longer wanted; nothing, where they are again."""
        if self.journal is not None and turns:
            self.journal.dismiss([turn.id for turn in turns], why)

    def _history(self, options: Options, cell: Cell) -> Conversation:
        gone, back = self.chats.look_again(self.path)
        self._dismiss(gone, "deleted")
        self._dismiss(back, "")
        return Conversation() if options.once else self.chats.before(options.chat, cell)

    def _recorded(self, asked: Request, cell: Cell, settings: Settings, replay: Replay) -> Turn | None:
        """The turn to answer from, if this is to be answered from the record. Raises `UsageError`."""
        if replay.mode == "off":
            return None
        if self.chats.saved == Saved() and self.path is not None and self.path.exists():
            self.chats.saved = notebook.read(self.path)
        saved = self.chats.saved
        records = Records([*(each.turn for each in saved.shown), *saved.guests, *self.chats.turns, *self.spent])
        provider = settings.provider if replay.mode == "auto" else None
        found = records.find(asked, cell.id, self._replayed, provider=provider)
        if found is None and replay.mode == "only":
            raise UsageError(
                f"This cell is not in the record: {difference(asked, records, cell.id)}",
                advice="%config ClaudeMagic.replay = 'auto' asks Claude where the record has no answer.",
            )
        return found

    def _replay(self, recorded: Turn, asked: Request, draft: Turn, cell: Cell, view: View, replay: Replay) -> Outcome:
        """Show a recorded reply as if it came. An Interrupt ends the showing; the reply is whole all the same."""
        self._replayed.add(recorded.id)
        turn = replayed(recorded, asked, draft)
        accumulator, failure = Accumulator(), None
        try:
            with uninterrupted():
                view.begin(turn.prompt, label=REPLAYED)
            with suppress(StreamError):  # a record that is odd, but whole, is shown without growing
                for event in events(recorded, replay.speed, time.sleep):
                    view.grow(event, accumulator)
        except KeyboardInterrupt:
            failure = ReplyInterrupted("The replay was interrupted.")
        finally:
            with uninterrupted(swallow=True):
                self._join(turn, cell, view)
                view.end(turn)
        return Outcome(turn, failure, joined=not turn.once)

    def _writer(self, draft: Turn, cell: Cell, settings: Settings) -> Writer | None:
        if self.journal is None:
            return None
        model, provider = draft.params["model"], settings.provider
        return self.journal.begin(
            draft, notebook=self.path, page=cell.page, model=model, provider=provider, run=cell.run
        )

    def _stream(
        self, asked: Request, settings: Settings, view: View, writer: Writer | None
    ) -> tuple[_Answer, ClaudeError | None]:
        stream = self.client.stream(asked.params, settings, view.wait)
        answer = _Answer(stream, settings.provider, asked.params["model"])
        try:
            with closing(iter(stream)) as arriving:
                for event in arriving:
                    if writer is not None:
                        writer.add(event)
                    view.grow(event, answer.accumulator)
                    answer.note_first_token()
        except KeyboardInterrupt:
            return answer, ReplyInterrupted("The reply was interrupted.")
        except ClaudeError as error:
            return answer, error
        except Exception as error:  # what nobody foresaw must not lose what was paid for
            broken = type(error).__name__
        else:
            return answer, None
        return answer, StreamError(f"The reply is unreadable ({broken}).", request_id=stream.request_id)

    def _conclude(
        self,
        draft: Turn,
        cell: Cell,
        answer: _Answer,
        failure: ClaudeError | None,
        view: View,
        writer: Writer | None,
    ) -> Outcome:
        """The turn of a reply that has ended, in the ledger and, if there is anything to keep, in the conversation."""
        reply = answer.accumulator.reply()
        call = answer.call(reply)
        notes = (*draft.notes, *answer.notes())
        if failure and not reply.message:
            return Outcome(failure=failure)
        if writer is not None and writer.failed:
            notes = (*notes, writer.failed)
        turn = concluded(dataclasses.replace(draft, notes=notes), reply, call)
        if writer is not None:
            writer.end(turn)
        self.spent.append(turn)
        keeps = failure is None or bool(request.sendable(turn))
        if keeps:
            self._join(turn, cell, view)
        return Outcome(turn, failure, keeps and not turn.once)

    def _join(self, turn: Turn, cell: Cell, view: View) -> None:
        self.chats.join(turn, cell)
        self._views[turn.id] = view


def _draft(options: Options, content: Sequence[Block], cell: Cell, asked: Request, history: Conversation) -> Turn:
    """The turn that is about to be: its prompt, and what it is asked with."""
    earlier = sum(bool(request.sendable(turn)) for turn in history)
    return Turn(
        id=uuid.uuid4().hex,
        cell_id=cell.id,
        chat=options.chat,
        messages=({"role": "user", "content": list(content)},),
        calls=(),
        prefix=asked.prefix,
        params=asked.settings,
        created=time.time(),
        execution_count=cell.execution_count,
        once=options.once,
        notes=(f"{earlier} earlier {'turn' if earlier == 1 else 'turns'}",) if earlier else (),
    )


class _Answer:
    """A reply under way, with its times."""

    def __init__(self, stream: Stream, provider: str, model: str) -> None:
        self.accumulator = Accumulator()
        self._stream = stream
        self._provider = provider
        self._model = model
        self._started = time.time()
        self._first: float | None = None

    def note_first_token(self) -> None:
        if self._first is None and self.accumulator.visible:
            self._first = time.monotonic() - self._stream.sent

    def notes(self) -> tuple[str, ...]:
        retries = self._stream.retries
        return (f"retried {retries}×",) if retries else ()

    def call(self, reply: Reply) -> Call:
        return call_of(
            reply,
            model=self._model,
            request_id=self._stream.request_id,
            started=self._started,
            first_token=self._first,
            seconds=time.monotonic() - self._stream.sent,
            provider=self._provider,
        )


@contextmanager
def uninterrupted(*, swallow: bool = False) -> Iterator[None]:
    """Hold an Interrupt off while something is put in order. It is raised afterwards, or swallowed:
    people press it twice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed and not swallow:
        raise KeyboardInterrupt
