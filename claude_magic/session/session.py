"""`Session`: one notebook's conversations in this kernel, with its client, journal, budget and what was spent.

A turn joins its conversation when its reply has arrived, whole or interrupted with something kept;
a failure changes nothing.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from .. import models, providers
from ..client import Client, Settings
from ..conversation.accumulator import Accumulator
from ..conversation.turns import CONTINUE, Call, Conversation, Pin, Turn, turns_of
from ..cost import context_window, count
from ..cost.budget import Budget, tighter, without_budget_notes
from ..cost.count import Counted
from ..errors import ClaudeError, ReplyInterrupted, StreamError, UsageError
from ..interrupts import uninterrupted
from ..notebook import reader
from ..notebook.cell import Cell
from ..notebook.journal import Journal, Why, Writer
from ..notebook.reader import Saved
from ..options import Options
from ..render.live.columns import Columns
from ..render.live.live import View
from ..render.turn import REPLAYED, who_answers
from ..request import build, citations, pipeline
from ..request.build import Request
from ..request.pipeline import Target
from .answer import Answer
from .chats import Chats
from .question import Question
from .replay import Records, difference, events, replayed


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
        self.budget: Budget | None = None
        self.extra_body: Mapping[str, Any] = {}
        self.comparisons: list[tuple[Turn, ...]] = []  # the replies of several models to one question
        self._replayed: set[str] = set()
        self._views: dict[str, View | Columns] = {}

    def use(
        self,
        *,
        path: Path | None,
        journal: Journal | None,
        budget: Budget | None,
        extra_body: Mapping[str, Any],
    ) -> None:
        """Take up how the kernel is set now: the notebook's file, where replies are kept, what is left to spend, and
        the reader's own parameters."""
        self.path, self.journal, self.budget, self.extra_body = path, journal, budget, extra_body

    def request(self, question: Question, provider: str = "anthropic") -> Request:
        """The exact request that a cell would send now. Raises `UsageError`."""
        return self.build(self.history(question.options, question.cell), question, provider)

    def ask(self, question: Question, settings: Settings, view: View) -> Outcome:
        """Send a cell's question, or answer it from the record; show the reply, and put it into the conversation.
        A record's tools are not run again.

        Raises `UsageError` before anything is shown or sent; all later failures are in the outcome.
        """
        options = question.options
        history = self.history(options, question.cell)
        asked = self.build(history, question, settings.provider)
        recorded = self.recorded(asked, question, settings)
        if recorded is not None:
            return self._replay(recorded, asked, draft_turn(question, asked, history), question, view)
        if question.tools is not None:
            question.tools.check()
        context_window.check(self.client, asked, history, settings)
        budget = self.budget_for(asked, options, settings)
        draft = draft_turn(question, asked, history)
        with self._answering(draft, question, settings, view, budget) as answer:
            failure = answer.ask(
                asked, lambda: self.build(history.without_bound_thinking(), question, settings.provider)
            )
            if answer.unbound:
                self.chats.unbind(options.chat)
                history = history.without_bound_thinking()
            other = replace(options, model=models.resolve(options.fallback or options.model))
            if other.model != options.model and failure is None and answer.reply.stop_reason == "refusal":
                fallback = self.build(history, replace(question, options=other), settings.provider)
                failure = answer.again(fallback, f"{options.model} refused")
            with uninterrupted(swallow=True):
                outcome = self._conclude(answer, failure, question.cell, view)
        return outcome

    def continue_reply(self, chat: str, cell: Cell, settings: Settings, view: View) -> Outcome:
        """Have the last reply of a chat go on, if it was cut off: what comes is stitched to it.

        Raises `UsageError` where there is nothing to continue.
        """
        self.look_again()
        turns = self.chats.shown.get(chat, Conversation()).turns
        cut = turns[-1] if turns else None
        if cut is None or cut.calls[-1].stop_reason not in (None, "max_tokens"):
            raise UsageError("The last reply was not cut off: there is nothing to continue.")
        if not build.messages_to_send(cut):
            raise UsageError(
                "The last reply was cut off before it said anything: there is nothing to continue.",
                advice="Run its cell again, with a larger --max-tokens.",
            )
        asked = build.build_continuation(Conversation(turns[:-1]), cut, self.chats.pins.values())
        asked = pipeline.in_container(asked, Conversation(turns), time.time())
        context_window.check(self.client, asked, Conversation(turns), settings)
        question = Question(Options(model=asked.params["model"]), (), cell)
        budget = self.budget_for(asked, question.options, settings)
        draft = replace(
            cut,
            id=uuid.uuid4().hex,
            partial=(),
            created=time.time(),
            notes=(*without_budget_notes(cut.notes), "continued"),
        )
        draft = replace(draft, messages=(*build.messages_to_send(cut), {"role": "user", "content": CONTINUE}))
        with self._answering(draft, question, settings, view, budget, instead_of=[cut.id]) as answer:
            failure = answer.stream(asked, before=cut.reply)
            with uninterrupted(swallow=True):
                outcome = self._continued(cut, answer, failure)
        return outcome

    def compact(self, options: Options, cell: Cell, settings: Settings, view: View) -> Outcome:
        """Have the API summarise a chat: from then on the summary goes along in place of the turns above this cell."""
        history = self.history(options, cell)
        if not any(build.messages_to_send(turn) for turn in history):
            raise UsageError("There is nothing to compact: no turn stands above this cell.")
        asked = build.build_compaction(history, options, self._pins(options))
        note = [{"type": "text", "text": "(a summary of the conversation above)"}]
        draft = draft_turn(Question(options, note, cell), asked, history)
        with self._answering(draft, Question(options, (), cell), settings, view, None) as answer:
            failure = answer.stream(asked)
            if failure is None and not any(block.get("content") for block in answer.reply.content):
                failure = StreamError("The API made no summary; the conversation is as it was.")
            with uninterrupted(swallow=True):
                outcome = self._conclude(answer, failure, cell, view)
        return outcome

    @contextmanager
    def _answering(
        self,
        draft: Turn,
        question: Question,
        settings: Settings,
        view: View,
        budget: Budget | None,
        instead_of: Sequence[str] = (),
    ) -> Iterator[Answer]:
        """A reply under way, from the first sign of it in the cell to its record."""
        writer = self.writer(draft, question.cell, settings)
        answer = Answer(self.client, settings, view, draft, writer, budget, question.tools)
        try:
            with uninterrupted():
                view.begin(question.content, label=who_answers(settings.provider))
            yield answer
        finally:
            with uninterrupted(swallow=True):
                view.end(answer.made, instead_of)
                answer.close()

    def _conclude(self, answer: Answer, failure: ClaudeError | None, cell: Cell, view: View) -> Outcome:
        """The turn of a reply that has ended, in the ledger and, if there is anything to keep, in the conversation."""
        if failure and not answer.reply.message:
            return Outcome(failure=failure)
        turn = answer.conclude()
        self.spent.append(turn)
        keeps = failure is None or bool(build.messages_to_send(turn))
        if keeps:
            self.join(turn, cell, view)
        return Outcome(turn, failure, keeps and not turn.once)

    def _continued(self, cut: Turn, answer: Answer, failure: ClaudeError | None) -> Outcome:
        """The turn whose reply went on, in the place of the one that was cut off."""
        if not answer.reply.message or len(answer.reply.content) <= len(cut.reply):
            return Outcome(failure=failure or StreamError("Claude had nothing to add."))
        turn = answer.conclude(cut)
        self.spent.append(replace(turn, calls=tuple(answer.calls)))
        self.chats.join(turn, Cell(cut.cell_id, run=turn.id))
        self.show_instead(turn, cut.id)
        return Outcome(turn, failure, joined=True)

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
        standing = {call_key(call) for turn in self.chats.turns for call in turn.calls}
        spent = (
            replace(turn, calls=tuple(c for c in turn.calls if call_key(c) not in standing)) for turn in self.spent
        )
        return [turn for turn in spent if turn.calls]

    def _dismiss(self, turns: Sequence[Turn], why: Why) -> None:
        """Say in the journal why turns are no longer wanted; nothing, where they are again."""
        if self.journal is not None and turns:
            self.journal.dismiss([turn.id for turn in turns], why)

    def count(self, question: Question, settings: Settings) -> Counted:
        """The tokens of what a cell would send now, by part. Raises `UsageError`, or what the API's count raises."""
        pins = [block for pin in self._pins(question.options) for block in pin.content]
        asked = self.request(question, settings.provider)
        return count.count(self.client, asked, question.content, settings, pins)

    def build(self, history: Conversation, question: Question, provider: str) -> Request:
        """The exact request that asks this after `history`. Raises `UsageError`."""
        options, pins = question.options, self._pins(question.options)
        asked = build.build(history, question.content, options, pins, question.tool_definitions, question.schema)
        return pipeline.complete(asked, history, options, self._target(options.model, provider))

    def _target(self, model: str, provider: str) -> Target:
        spelled = providers.model_id(provider, model)
        return Target(spelled, partial(self.client.lacks, provider), self.extra_body, time.time())

    def _pins(self, options: Options) -> list[Pin]:
        """What stands before the conversation: a question that is asked once has none."""
        return [] if options.once else list(self.chats.pins.values())

    def look_again(self) -> None:
        """Look into the notebook's file, if it was saved since: cells may have gone, or come back."""
        gone, back = self.chats.look_again(self.path)
        self._dismiss(gone, "deleted")
        self._dismiss(back, "")

    def history(self, options: Options, cell: Cell) -> Conversation:
        """What a cell sees."""
        self.look_again()
        return Conversation() if options.once else self.chats.before(options.chat, cell)

    def recorded(self, asked: Request, question: Question, settings: Settings) -> Turn | None:
        """The turn to answer from, if this is to be answered from the record. Raises `UsageError`."""
        mode, cell_id = question.replay.mode, question.cell.id
        if mode == "off":
            return None
        if self.chats.saved == Saved() and self.path is not None and self.path.exists():
            self.chats.saved = reader.read(self.path)
        saved = self.chats.saved
        records = Records([*saved.recorded, *self.chats.turns, *self.spent])
        provider = settings.provider if mode == "auto" else None
        found = records.find(asked, cell_id, self._replayed, provider=provider)
        if found is None and mode == "only":
            raise UsageError(
                f"No recorded answer fits this cell: {difference(asked, records, cell_id)}.",
                advice="%config ClaudeMagic.replay = 'auto' asks Claude where the record has no answer.",
            )
        return found

    def replayed(self, recorded: Turn, asked: Request, draft: Turn) -> Turn:
        """A recorded turn as the answer of this cell. The next cell that asks the same gets the next record."""
        self._replayed.add(recorded.id)
        return replayed(recorded, asked, draft)

    def _replay(self, recorded: Turn, asked: Request, draft: Turn, question: Question, view: View) -> Outcome:
        """Show a recorded reply as if it came. An Interrupt ends the showing; the reply is whole all the same."""
        turn = self.replayed(recorded, asked, draft)
        accumulator, failure = Accumulator(), None
        try:
            with uninterrupted():
                view.begin(turn.prompt, label=REPLAYED)
            with suppress(StreamError):  # a record that is odd, but whole, is shown without growing
                for event in events(recorded, question.replay.speed, time.sleep):
                    accumulator.add(event)
                    view.grow(event, accumulator)
        except KeyboardInterrupt:
            failure = ReplyInterrupted("The replay was stopped.", advice="The whole recorded reply is shown.")
        finally:
            with uninterrupted(swallow=True):
                self.join(turn, question.cell, view)
                view.end(turn)
        return Outcome(turn, failure, joined=not turn.once)

    def writer(self, draft: Turn, cell: Cell, settings: Settings) -> Writer | None:
        """The journal's file for a reply that is to come; `None` where none is kept."""
        if self.journal is None:
            return None
        model, provider = draft.params["model"], settings.provider
        return self.journal.begin(
            draft, notebook=self.path, page=cell.page, model=model, provider=provider, run=cell.run
        )

    def budget_for(self, asked: Request, options: Options, settings: Settings) -> Budget | None:
        """What this cell may cost; `None` where there is no budget.

        Raises `UsageError` where the question alone would pass it.
        """
        own = Budget(Decimal(options.budget), Decimal(options.budget)) if options.budget is not None else None
        budget = tighter(self.budget, own)
        if budget is not None:
            cost = count.estimate(self.client, asked, settings).cost
            if cost.dollars is None:
                raise UsageError(
                    f"The price of {options.model} is not known, so a budget cannot be kept.",
                    advice="Without one: %config ClaudeMagic.budget = None, and no --budget.",
                )
            if cost.dollars > budget.left:
                raises = "A larger --budget allows it" if budget is own else "%config ClaudeMagic.budget raises it"
                raise UsageError(
                    f"The question alone costs about {cost}, and {budget.left_in_words} of the "
                    "budget is left. Nothing was sent.",
                    advice=f"{raises}; --once asks without the conversation.",
                )
        return budget

    def join(self, turn: Turn, cell: Cell, view: View | Columns) -> None:
        """Put a turn into its conversation, with the outputs that show it."""
        self.chats.join(turn, cell)
        self._views[turn.id] = view

    def show_instead(self, turn: Turn, place: str) -> None:
        """Show a turn in the outputs of the one whose place it took, given by its id, where the page still listens."""
        if place in self._views:
            self._views[turn.id] = self._views[place]
            self._views[turn.id].show(turn)


def call_key(call: Call) -> tuple[str | None, float]:
    """What tells one call from all others."""
    return call.request_id, call.started


def draft_turn(question: Question, asked: Request, history: Conversation) -> Turn:
    """The turn that is about to be: its prompt, and what it is asked with."""
    options, cell, content = question.options, question.cell, question.content
    if options.citations:
        content = citations.enabled(content)
    turns = [turn for turn in history if build.messages_to_send(turn)]
    summed = [at for at, turn in enumerate(turns) if turn.params.get("compaction")]
    earlier = len(turns) - (summed[-1] + 1 if summed else 0)
    before = [note] if (note := models.retirement_note(options.model, date.today())) else []
    before += ["a summary"] if summed else []
    before += asked.notes
    before += [turns_of(earlier, "earlier")] if earlier else []
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
        attached=tuple(question.attached),
    )
