"""This kernel's conversations, and the asking of the next thing.

The one owner of what changes: the chats, what was spent, and the client. A turn joins its
conversation when its reply has arrived, whole or interrupted with something kept; a failure
changes nothing.
"""

from __future__ import annotations

import signal
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from . import request
from .accumulator import Accumulator, Reply
from .client import Client, Settings, Stream
from .conversation import Block, Call, Conversation, Turn
from .errors import ClaudeError, ReplyInterrupted, StreamError, ThinkingRefusedError
from .live import View
from .notebook import Cell
from .options import Options
from .request import Request


@dataclass(frozen=True)
class Outcome:
    """What became of a question: the turn, the failure, or (a reply that broke off) both.

    `joined` says whether the turn is now in the conversation.
    """

    turn: Turn | None = None
    failure: ClaudeError | None = None
    joined: bool = False


class Session:
    """The conversations of one kernel, by chat name."""

    def __init__(self) -> None:
        self.client = Client()
        self.spent: list[Turn] = []
        self._chats: dict[str, Conversation] = {}
        self._deleted: set[str] = set()
        self._run: str = ""
        self._siblings: set[str] = set()

    @property
    def chats(self) -> dict[str, Conversation]:
        """The conversations as the notebook shows them: without the cells that were deleted."""
        return {name: chat.without(self._deleted) for name, chat in self._chats.items()}

    def request(self, options: Options, content: Sequence[Block], cell: Cell) -> Request:
        """The exact request that a cell would send now. Raises `UsageError`."""
        return request.build(self._history(options, cell), content, options)

    def ask(self, options: Options, content: Sequence[Block], cell: Cell, settings: Settings, view: View) -> Outcome:
        """Send a cell's question, show the reply, and put it into the conversation.

        Raises `UsageError` before anything is shown or sent; all later failures are in the outcome.
        """
        history = self._history(options, cell)
        asked = request.build(history, content, options)
        earlier = sum(bool(request.sendable(turn)) for turn in history)
        notes = [f"{earlier} earlier {'turn' if earlier == 1 else 'turns'}"] if earlier else []
        turn = None
        try:
            with uninterrupted():
                view.begin(content, offline=settings.provider == "offline")
            answer, failure = self._stream(asked, settings, view)
            if isinstance(failure, ThinkingRefusedError):
                # Another account's notebook, or a rule that we do not know: a conversation can always go on.
                self._chats[options.chat] = self._chats.get(options.chat, Conversation()).unbound()
                asked = request.build(history.unbound(), content, options)
                answer, failure = self._stream(asked, settings, view)
                notes.append("earlier thinking left out: the API refused it")
            with uninterrupted(swallow=True):
                outcome = self._conclude(options, content, cell, asked, answer, failure, tuple(notes))
                turn = outcome.turn
        finally:
            with uninterrupted(swallow=True):
                view.end(turn)
        return outcome

    def delete(self, cell_ids: frozenset[str]) -> None:
        """Set the turns of these cells aside: they come back if their cell runs again."""
        self._deleted |= cell_ids

    def spent_elsewhere(self) -> list[Turn]:
        """The turns that were paid for and stand in no conversation: replaced, failed, reset, or asked once."""
        standing = {turn.id for chat in self.chats.values() for turn in chat}
        return [turn for turn in self.spent if turn.id not in standing]

    def reset(self, chat: str) -> int:
        """Start a chat over. Returns how many turns it had."""
        return len(self._chats.pop(chat, Conversation()))

    def _history(self, options: Options, cell: Cell) -> Conversation:
        if options.once:
            return Conversation()
        chat = self._chats.get(options.chat, Conversation())
        others = self._deleted - {cell.id}
        return chat.without(others).before(cell.id, self._siblings_of(cell))

    def _siblings_of(self, cell: Cell) -> frozenset[str]:
        """The turns that this same run of the cell has made: a cell may ask several times."""
        if cell.run != self._run:
            self._run = cell.run
            self._siblings = set()
        return frozenset(self._siblings)

    def _stream(self, asked: Request, settings: Settings, view: View) -> tuple[_Answer, ClaudeError | None]:
        stream = self.client.stream(asked.params, settings, view.wait)
        answer = _Answer(stream, settings.provider, asked.params["model"])
        try:
            with closing(iter(stream)) as events:
                for event in events:
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
        options: Options,
        content: Sequence[Block],
        cell: Cell,
        asked: Request,
        answer: _Answer,
        failure: ClaudeError | None,
        notes: tuple[str, ...],
    ) -> Outcome:
        """The turn of a reply that has ended, in the ledger and, if there is anything to keep, in the conversation."""
        reply = answer.accumulator.reply()
        if failure and not reply.message:
            return Outcome(failure=failure)
        turn = Turn(
            id=uuid.uuid4().hex,
            cell_id=cell.id,
            chat=options.chat,
            messages=(
                {"role": "user", "content": list(content)},
                {"role": "assistant", "content": list(reply.content)},
            ),
            calls=(answer.call(reply),),
            status=_status(reply),
            prefix=asked.prefix,
            created=time.time(),
            partial=reply.partial,
            notes=notes + answer.notes(),
        )
        self.spent.append(turn)
        joined = self._join(turn, options, cell, failure)
        return Outcome(turn, failure, joined)

    def _join(self, turn: Turn, options: Options, cell: Cell, failure: ClaudeError | None) -> bool:
        """Put a turn in its cell's place. A cell whose chat changed leaves the other one."""
        if failure and not request.sendable(turn):
            return False
        siblings = self._siblings_of(cell)
        self._deleted.discard(cell.id or "")
        for name, chat in self._chats.items():
            if name != options.chat or options.once:
                stays = chat.turns if cell.id is None else (t for t in chat if t.cell_id != cell.id or t.id in siblings)
                self._chats[name] = Conversation(tuple(stays))
        if options.once:
            return False
        self._chats[options.chat] = self._chats.get(options.chat, Conversation()).with_turn(turn, siblings)
        self._siblings.add(turn.id)
        return True


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
        message = reply.message
        return Call(
            model=_text(message.get("model")) or self._model,
            usage=dict(reply.usage),
            request_id=self._stream.request_id,
            stop_reason=_text(reply.stop_reason),
            stop_details=message["stop_details"] if isinstance(message.get("stop_details"), dict) else None,
            stop_sequence=_text(message.get("stop_sequence")),
            started=self._started,
            first_token=self._first,
            seconds=time.monotonic() - self._stream.sent,
            provider=self._provider,
            answered=bool(reply.content or reply.partial),
        )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _status(reply: Reply) -> Any:
    if not reply.complete:
        return "interrupted"
    return "refused" if reply.stop_reason == "refusal" else "complete"


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
