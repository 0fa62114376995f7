"""Asking the next thing: this kernel's network, money and record, for one notebook's conversations.

A turn joins its conversation when its reply has arrived, whole or interrupted with something kept;
a failure changes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from . import comparing, counting, models, notebook, pricing, request
from .accumulator import Accumulator, concluded
from .answering import Answer
from .chats import Chats
from .client import Client, Settings, providers
from .columns import Columns
from .comparing import Compared, Question
from .conversation import CONTINUE, Block, Call, Conversation, Pin, Turn
from .counting import Counted
from .errors import ClaudeError, ReplyInterrupted, StreamError, ThinkingRefusedError, UsageError
from .interrupts import uninterrupted
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
    compared: Mapping[str, Turn] = field(default_factory=dict)  # by model, where several were asked


class Session:
    """One notebook in this kernel: its conversations, its file, and what was spent on it."""

    def __init__(self, client: Client | None = None) -> None:
        self.client = client or Client()
        self.chats = Chats()
        self.path: Path | None = None
        self.journal: Journal | None = None
        self.spent: list[Turn] = []
        self.left: Decimal | None = None  # of the budget, in USD
        self.extra_body: Mapping[str, Any] = {}
        self._replayed: set[str] = set()
        self._views: dict[str, View | Columns] = {}
        self._comparisons: list[tuple[Turn, ...]] = []

    def request(self, options: Options, content: Sequence[Block], cell: Cell, provider: str = "anthropic") -> Request:
        """The exact request that a cell would send now. Raises `UsageError`."""
        return self._build(self._history(options, cell), content, options, provider)

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
        asked = self._build(history, content, options, settings.provider)
        recorded = self._recorded(asked, cell, settings, replay)
        if recorded is not None:
            return self._replay(recorded, asked, _draft(options, content, cell, asked, history), cell, view, replay)
        left = self._left(asked, options, settings)
        draft, turn = _draft(options, content, cell, asked, history), None
        writer = self._writer(draft, cell, settings)
        try:
            with uninterrupted():
                view.begin(content, label=OFFLINE if settings.provider == "offline" else "")
            answer = Answer(self.client, settings, view, writer, left)
            failure = answer.stream(asked)
            for change in _CHANGES:  # the same question once more, put in another way
                if changed := change(failure, answer, history, options):
                    history, options, note = changed
                    if isinstance(failure, ThinkingRefusedError):
                        self.chats.unbind(options.chat)
                    asked = self._build(history, content, options, settings.provider)
                    draft = replace(draft, prefix=asked.prefix, params=asked.settings, notes=(*draft.notes, note))
                    if writer is not None:
                        writer.redraft(draft)
                    failure = answer.stream(asked)
            with uninterrupted(swallow=True):
                outcome = self._conclude(draft, cell, answer, failure, view, writer)
                turn = outcome.turn
        finally:
            with uninterrupted(swallow=True):
                view.end(turn)
                if writer is not None:
                    writer.close()
        return outcome

    def compare(
        self,
        options: Options,
        names: Sequence[str],
        content: Sequence[Block],
        cell: Cell,
        settings: Settings,
        columns: Columns,
        replay: Replay = Replay(),  # a frozen value
    ) -> Outcome:
        """Ask several models the same at once. The first that answers goes on in the conversation.

        Raises `UsageError` before anything is shown or sent.
        """
        history = self._history(options, cell)
        asked = [self._asked_of(name, history, content, options, settings) for name in _distinct(names)]
        drafts = [_draft(options, content, cell, each, history) for each in asked]
        recorded = [self._recorded(each, cell, settings, replay) for each in asked]
        label = OFFLINE if settings.provider == "offline" else ""
        found: list[Compared] = []
        if all(recorded):
            columns.begin([each.params["model"] for each in asked], content, label=REPLAYED)
            for turn, request_, draft in zip(recorded, asked, drafts, strict=True):
                if turn is not None:
                    self._replayed.add(turn.id)
                    found.append(Compared(request_.params["model"], replayed(turn, request_, draft)))
            return self._compared(found, cell, columns)
        lefts = self._shares(asked, options, settings)
        try:
            with uninterrupted():
                columns.begin([each.params["model"] for each in asked], content, label=label)
                questions = [
                    Question(
                        each,
                        draft,
                        self._writer(draft, cell, settings),
                        left,
                        self._unbound(each, history, content, options),
                    )
                    for each, draft, left in zip(asked, drafts, lefts, strict=True)
                ]
            found = comparing.ask(self.client, questions, settings, columns)
        finally:
            with uninterrupted(swallow=True):
                self.spent += [each.turn for each in found if each.turn is not None]
                outcome = self._compared(found, cell, columns)
        return outcome

    def choose(self, name: str) -> tuple[Turn, Turn]:
        """Have another model's reply of the last comparison go on in the conversation.

        Returns it, and the turn whose place it took. Raises `UsageError` where there is nothing to choose.
        """
        self._look_again()
        standing = {turn.id: turn for turn in self.chats.turns}
        saved = [(*turns, *self._successors(turns)) for turns in self.chats.saved.compared]
        for turns in reversed([*saved, *self._comparisons]):
            place = next((standing[turn.id] for turn in turns if turn.id in standing), None)
            if place is not None:
                return self._choose(name, place, turns), place
        raise UsageError(
            "There is no comparison whose reply stands in the conversation.",
            advice="%%claude --model opus,sonnet asks two models at once.",
        )

    def _successors(self, turns: Sequence[Turn]) -> list[Turn]:
        """Turns that were chosen among these: the same replies, under ids of their own."""
        calls = {_key(call) for turn in turns for call in turn.calls}
        return [turn for turn in self.chats.turns if calls & {_key(call) for call in turn.calls}]

    def _choose(self, name: str, place: Turn, turns: Sequence[Turn]) -> Turn:
        """The reply of one model, put into the place of another."""
        wanted = models.resolve(name)
        by_model = {turn.params["model"]: turn for turn in turns if request.sendable(turn)}
        if wanted not in by_model:
            raise UsageError(f"{name} has no reply to choose.", advice=f"There are: {', '.join(by_model)}.")
        if place.params["model"] == wanted:
            raise UsageError(f"{wanted} already goes on in the conversation.")
        chosen = replace(by_model[wanted], id=uuid.uuid4().hex)  # of its own: it may be chosen, undone, chosen again
        self.chats.exchange(place, chosen)
        self._comparisons.append((*turns, chosen))
        if place.id in self._views:
            self._views[chosen.id] = self._views[place.id]
            self._views[chosen.id].show(chosen)
        return chosen

    def _asked_of(
        self, name: str, history: Conversation, content: Sequence[Block], options: Options, settings: Settings
    ) -> Request:
        """What one of several models is asked. Raises `UsageError`, naming the model, where it would not take it."""
        try:
            return self._build(history, content, replace(options, model=name), settings.provider)
        except UsageError as error:
            if name not in str(error):
                error.args = (f"{name}: {error}",)
            raise

    def _unbound(
        self, asked: Request, history: Conversation, content: Sequence[Block], options: Options
    ) -> Callable[[], Request]:
        own = replace(options, model=asked.params["model"])
        return lambda: request.build(history.unbound(), content, own, self._pins(options))

    def _shares(self, asked: Sequence[Request], options: Options, settings: Settings) -> list[Decimal | None]:
        """What each of several replies may cost, in USD: together no more than is left. Raises `UsageError`."""
        lefts = [self._left(each, replace(options, model=each.params["model"]), settings) for each in asked]
        if any(left is None for left in lefts):
            return lefts
        left = min(each for each in lefts if each is not None)
        costs = [counting.estimate(self.client, each, settings).cost.dollars or Decimal(0) for each in asked]
        spare = left - sum(costs)
        if spare < 0:
            raise UsageError(
                f"The question alone costs about {pricing.dollars(sum(costs, Decimal(0)))} with all models, and "
                f"{pricing.dollars(left)} of the budget is left. Nothing was sent.",
                advice="Compare fewer models, or raise the budget.",
            )
        return [cost + spare / len(costs) for cost in costs]

    def _compared(self, found: Sequence[Compared], cell: Cell, columns: Columns) -> Outcome:
        """The replies of several models in the output, and the first that can be kept in the conversation."""
        kept = [e.turn for e in found if e.turn is not None and (e.failure is None or request.sendable(e.turn))]
        first = next((turn for turn in kept if request.sendable(turn)), kept[0] if kept else None)
        if first is not None:
            self._join(first, cell, columns)
            if not first.once:
                self._comparisons.append(tuple(each.turn for each in found if each.turn is not None))
        columns.end({each.model: each.turn or str(each.failure) for each in found}, first)
        stopped = next((e.failure for e in found if isinstance(e.failure, ReplyInterrupted) and not _over(e)), None)
        failure = stopped if first is not None else next((e.failure for e in found if e.failure is not None), None)
        by_model = {each.model: each.turn for each in found if each.turn is not None}
        return Outcome(first, failure, first is not None and not first.once, by_model)

    def go_on(self, chat: str, cell: Cell, settings: Settings, view: View) -> Outcome:
        """Have the last reply of a chat go on, if it was cut off: what comes is stitched to it.

        Raises `UsageError` where there is nothing to continue.
        """
        self._look_again()
        turns = self.chats.shown.get(chat, Conversation()).turns
        cut = turns[-1] if turns else None
        if cut is None or not request.sendable(cut) or cut.calls[-1].stop_reason not in (None, "max_tokens"):
            raise UsageError("The last reply was not cut off: there is nothing to continue.")
        asked, outcome = request.go_on(Conversation(turns[:-1]), cut, self.chats.pins.values()), Outcome()
        left = self._left(asked, Options(model=asked.params["model"]), settings)
        draft = replace(cut, id=uuid.uuid4().hex, partial=(), created=time.time(), notes=(*cut.notes, "continued"))
        draft = replace(draft, messages=(*request.sendable(cut), {"role": "user", "content": CONTINUE}))
        writer = self._writer(draft, cell, settings)
        try:
            with uninterrupted():
                view.begin((), label=OFFLINE if settings.provider == "offline" else "")
            answer = Answer(self.client, settings, view, writer, left)
            failure = answer.stream(asked, before=cut.reply)
            with uninterrupted(swallow=True):
                outcome = self._continued(cut, draft, answer, failure, writer)
        finally:
            with uninterrupted(swallow=True):
                view.end(outcome.turn, [cut.id])
                if writer is not None:
                    writer.close()
        return outcome

    def _continued(
        self, cut: Turn, draft: Turn, answer: Answer, failure: ClaudeError | None, writer: Writer | None
    ) -> Outcome:
        """The turn whose reply went on, in the place of the one that was cut off."""
        reply = answer.reply
        if not reply.message or len(reply.content) <= len(cut.reply):
            return Outcome(failure=failure or StreamError("Claude had nothing to add."))
        came = replace(reply, content=reply.content[len(cut.reply) :])
        turn = concluded(replace(draft, notes=(*draft.notes, *answer.notes)), came, *cut.calls, *answer.calls)
        if writer is not None:
            writer.end(turn)
        self.spent.append(replace(turn, calls=tuple(answer.calls)))
        self.chats.join(turn, Cell(cut.cell_id, run=turn.id))
        if cut.id in self._views:
            self._views[turn.id] = self._views[cut.id]
            self._views[turn.id].show(turn)
        return Outcome(turn, failure, joined=True)

    def compact(self, options: Options, cell: Cell, settings: Settings, view: View) -> Outcome:
        """Have the API summarise a chat: from then on the summary goes along in place of the turns above this cell."""
        history = self._history(options, cell)
        if not any(request.sendable(turn) for turn in history):
            raise UsageError("There is nothing to compact: no turn stands above this cell.")
        asked, outcome = request.compact(history, options, self._pins(options)), Outcome()
        note = [{"type": "text", "text": "(a summary of the conversation above)"}]
        draft = _draft(options, note, cell, asked, history)
        writer = self._writer(draft, cell, settings)
        try:
            with uninterrupted():
                view.begin((), label=OFFLINE if settings.provider == "offline" else "")
            answer = Answer(self.client, settings, view, writer, None)
            failure = answer.stream(asked)
            if failure is None and not any(block.get("content") for block in answer.reply.content):
                failure = StreamError("The API made no summary; the conversation is as it was.")
            with uninterrupted(swallow=True):
                outcome = self._conclude(draft, cell, answer, failure, view, writer)
        finally:
            with uninterrupted(swallow=True):
                view.end(outcome.turn)
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
        """What was paid for and stands in no conversation: replaced, failed, reset, or asked once. Turns, with only
        such calls."""
        standing = {_key(call) for turn in self.chats.turns for call in turn.calls}
        spent = (replace(turn, calls=tuple(c for c in turn.calls if _key(c) not in standing)) for turn in self.spent)
        return [turn for turn in spent if turn.calls]

    def _dismiss(self, turns: Sequence[Turn], why: Why) -> None:
        """Say in the journal why turns are no longer wanted; nothing, where they are again."""
        if self.journal is not None and turns:
            self.journal.dismiss([turn.id for turn in turns], why)

    def count(self, options: Options, content: Sequence[Block], cell: Cell, settings: Settings) -> Counted:
        """The tokens of what a cell would send now, by part. Raises `UsageError`, or what the API's count raises."""
        pins = [block for pin in self._pins(options) for block in pin.content]
        return counting.count(
            self.client, self.request(options, content, cell, settings.provider), content, settings, pins
        )

    def _build(self, history: Conversation, content: Sequence[Block], options: Options, provider: str) -> Request:
        asked = request.build(history, content, options, self._pins(options))
        spelled = providers.model_id(provider, options.model)
        asked = replace(asked, params={**asked.params, "model": spelled, **self.extra_body})
        asks_why = self.client.lacks(provider, "diagnostics") is None
        return request.diagnosed(asked, history, time.time()) if asks_why else asked

    def _pins(self, options: Options) -> list[Pin]:
        """What stands before the conversation: a question that is asked once has none."""
        return [] if options.once else list(self.chats.pins.values())

    def _look_again(self) -> None:
        gone, back = self.chats.look_again(self.path)
        self._dismiss(gone, "deleted")
        self._dismiss(back, "")

    def _history(self, options: Options, cell: Cell) -> Conversation:
        self._look_again()
        return Conversation() if options.once else self.chats.before(options.chat, cell)

    def _recorded(self, asked: Request, cell: Cell, settings: Settings, replay: Replay) -> Turn | None:
        """The turn to answer from, if this is to be answered from the record. Raises `UsageError`."""
        if replay.mode == "off":
            return None
        if self.chats.saved == Saved() and self.path is not None and self.path.exists():
            self.chats.saved = notebook.read(self.path)
        saved = self.chats.saved
        compared = (turn for turns in saved.compared for turn in turns)
        shown = (each.turn for each in saved.shown)
        records = Records([*shown, *compared, *saved.guests, *self.chats.turns, *self.spent])
        provider = settings.provider if replay.mode == "auto" else None
        found = records.find(asked, cell.id, self._replayed, provider=provider)
        if found is None and replay.mode == "only":
            raise UsageError(
                f"No recorded answer fits this cell: {difference(asked, records, cell.id)}.",
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
            failure = ReplyInterrupted("The replay was stopped.", advice="The whole recorded reply is shown.")
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

    def _left(self, asked: Request, options: Options, settings: Settings) -> Decimal | None:
        """What this cell may cost, in USD; `None` where there is no budget.

        Raises `UsageError` where the question alone would pass it.
        """
        limits = [self.left, Decimal(options.budget) if options.budget is not None else None]
        left = min((limit for limit in limits if limit is not None), default=None)
        if left is not None:
            cost = counting.estimate(self.client, asked, settings).cost
            if cost.dollars is None:
                raise UsageError(
                    f"The price of {options.model} is not known, so a budget cannot be kept.",
                    advice="Without one: %config ClaudeMagic.budget = None, and no --budget.",
                )
            if cost.dollars > left:
                raise UsageError(
                    f"The question alone costs about {cost}, and {pricing.dollars(max(left, Decimal(0)))} of the "
                    "budget is left. Nothing was sent.",
                    advice="%config ClaudeMagic.budget raises it; --once asks without the conversation.",
                )
        return left

    def _conclude(
        self,
        draft: Turn,
        cell: Cell,
        answer: Answer,
        failure: ClaudeError | None,
        view: View,
        writer: Writer | None,
    ) -> Outcome:
        """The turn of a reply that has ended, in the ledger and, if there is anything to keep, in the conversation."""
        reply = answer.reply
        if failure and not reply.message:
            return Outcome(failure=failure)
        notes = (*draft.notes, *answer.notes)
        if writer is not None and writer.failed:
            notes = (*notes, writer.failed)
        turn = concluded(replace(draft, notes=notes), reply, *answer.calls)
        if writer is not None:
            writer.end(turn)
        self.spent.append(turn)
        keeps = failure is None or bool(request.sendable(turn))
        if keeps:
            self._join(turn, cell, view)
        return Outcome(turn, failure, keeps and not turn.once)

    def _join(self, turn: Turn, cell: Cell, view: View | Columns) -> None:
        self.chats.join(turn, cell)
        self._views[turn.id] = view


def _key(call: Call) -> tuple[str | None, float]:
    return call.request_id, call.started


def _over(compared: Compared) -> bool:
    """Whether a reply was stopped because its budget was used up: its column says so."""
    return compared.turn is not None and any("budget" in note for note in compared.turn.notes)


def _distinct(names: Sequence[str]) -> list[str]:
    """The ids of models to compare. Raises `UsageError` where one is there twice."""
    found = [models.resolve(name) for name in names]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"--model names {name} twice.", advice="Name each model once to compare them.")
    return found


def _draft(options: Options, content: Sequence[Block], cell: Cell, asked: Request, history: Conversation) -> Turn:
    """The turn that is about to be: its prompt, and what it is asked with."""
    turns = [turn for turn in history if request.sendable(turn)]
    summed = [at for at, turn in enumerate(turns) if turn.params.get("compaction")]
    earlier = len(turns) - (summed[-1] + 1 if summed else 0)
    before = [note] if (note := models.retirement_note(options.model, date.today())) else []
    before += ["a summary"] if summed else []
    before += [f"{earlier} earlier {'turn' if earlier == 1 else 'turns'}"] if earlier else []
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
        notes=tuple(before),
    )


def _without_thinking(
    failure: ClaudeError | None, _answer: Answer, history: Conversation, options: Options
) -> tuple[Conversation, Options, str] | None:
    """Another account's notebook, or a rule that we do not know: a conversation can always go on."""
    if not isinstance(failure, ThinkingRefusedError):
        return None
    return history.unbound(), options, "earlier thinking left out: the API refused it"


def _with_fallback(
    failure: ClaudeError | None, answer: Answer, history: Conversation, options: Options
) -> tuple[Conversation, Options, str] | None:
    """The model refused, and there is another to ask."""
    if failure is not None or options.fallback is None or answer.reply.stop_reason != "refusal":
        return None
    return history, replace(options, model=models.resolve(options.fallback)), f"{options.model} refused"


_CHANGES = (_without_thinking, _with_fallback)
