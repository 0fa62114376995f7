"""`Session`: one notebook's conversations in this kernel, with its client, journal, budget and spending.

A turn joins its conversation when its reply has arrived, complete or interrupted with something to keep; a failure
changes nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from .. import models, providers
from ..client import BLOCKING, Client, Settings, Transport, now
from ..conversation import record
from ..conversation.accumulator import Accumulator
from ..conversation.map_run import Mapped
from ..conversation.turns import CONTINUE, Block, Call, Conversation, Pin, Turn, turns_of
from ..cost import context_window, count, pricing
from ..cost.budget import Budget, tighter, without_budget_notes
from ..cost.count import Counted
from ..errors import ClaudeError, ReplyCancelled, ReplyInterrupted, StreamError, UsageError
from ..interrupts import uninterrupted
from ..notebook import reader
from ..notebook.cell import Cell
from ..notebook.journal import Journal, Why, Writer
from ..notebook.reader import Saved
from ..options import Options
from ..render.live.columns import Columns
from ..render.live.live import View
from ..request import breakpoints, build, citations, pictures, pipeline
from ..request.build import Request
from ..request.pipeline import Target
from .answer import Answer
from .chats import Chats
from .question import Question
from .replay import Records, closest_record, difference, events, replayed


@dataclass(frozen=True)
class Outcome:
    """The outcome of a question: the turn, the failure, or (for a reply that broke off) both.

    `joined` says whether the turn is now in the conversation.
    """

    turn: Turn | None = None
    failure: ClaudeError | None = None
    joined: bool = False
    compared: Mapping[str, Turn] = field(default_factory=dict)  # the turns of a comparison, by model


class Session:
    """One notebook in this kernel: its conversations, its file, and its spending.

    `spent` are the turns that were paid for in this kernel, in a conversation or not; `spend` adds one.
    """

    def __init__(self, client: Client | None = None, tell: Callable[[], None] = lambda: None) -> None:
        self.client = client or Client()
        self.asking = 0  # the questions under way
        self.chats = Chats()
        self.path: Path | None = None
        self.journal: Journal | None = None
        self.spent: list[Turn] = []
        self.budget: Budget | None = None
        self.extra_body: Mapping[str, Any] = {}
        self.comparisons: list[tuple[Turn, ...]] = []  # the turns of each comparison of models
        self._tell = tell  # called whenever what was spent, or `asking`, has changed
        self._replayed: set[str] = set()
        self._under_way: list[Answer] = []
        self._changing = threading.RLock()  # held while a question takes the conversation, and while a turn joins it
        self._views: dict[str, View | Columns] = {}

    def use(
        self,
        *,
        path: Path | None,
        journal: Journal | None,
        budget: Budget | None,
        extra_body: Mapping[str, Any],
    ) -> None:
        """Set the notebook's file, the journal (`None`: off), the budget left, and the user's additional parameters."""
        self.path, self.journal, self.budget, self.extra_body = path, journal, budget, extra_body

    def request(self, question: Question, provider: str = "anthropic") -> Request:
        """Build the exact request that a cell would send now. Raises `UsageError`."""
        return self.build(self.history(question.options, question.cell), question, provider)

    def ask(self, question: Question, settings: Settings, view: View) -> Outcome:
        """`answer`, which blocks this thread."""
        return now(self.answer(question, settings, view))

    async def answer(
        self, question: Question, settings: Settings, view: View, transport: Transport = BLOCKING
    ) -> Outcome:
        """Send a cell's question, or answer it from the record; show the reply, and add its turn to the conversation.

        Tools of a recorded answer are not run again. Raises `UsageError` before anything is shown or sent; all later
        failures are in the outcome. Questions may be under way at once, in threads or tasks: their turns stand in the
        order in which they were asked.
        """
        with self._changing:
            history = self.history(question.options, question.cell)
            request = self.build(history, question, settings.provider)
            recorded = self.recorded(request, question, settings)
            draft = checked(draft_turn(question, request, history))
            self.chats.reserve(draft.id, question.cell)
            turn = None if recorded is None else self.replayed(recorded, request, draft)
            shared = self._shared_budget()
        if recorded is not None and turn is not None:
            return await self._replay(recorded, turn, question, view, transport)
        if question.tools is not None:
            question.tools.check()
        await transport.call(context_window.check, self.client, request, history, settings)
        budget, cost = await transport.call(self._budget_and_cost, request, question.options, settings)
        with self._open_answer(draft, question, settings, view, budget, transport=transport) as answer:
            answer.share(partial(shared, answer), cost)
            failure = await self._asked(answer, request, question, history, settings)
            with uninterrupted(swallow=True):
                outcome = self._conclude(answer, failure, question.cell, view)
        return outcome

    async def _asked(
        self, answer: Answer, request: Request, question: Question, history: Conversation, settings: Settings
    ) -> ClaudeError | None:
        """Stream the reply; where a model refuses, that of `--fallback`. Returns the failure, if any."""
        options, unbound = question.options, history.without_bound_thinking()
        failure = await answer.ask(request, lambda: self.build(unbound, question, settings.provider))
        if answer.thinking_refused:
            self.chats.unbind(options.chat)
            history = unbound
        other = replace(options, model=models.resolve(options.fallback or options.model))
        if other.model != options.model and failure is None and answer.reply.stop_reason == "refusal":
            fallback = self.build(history, replace(question, options=other), settings.provider)
            failure = await answer.ask_again(fallback, f"{options.model} refused")
        return failure

    def continue_reply(self, chat: str, cell: Cell, settings: Settings, view: View) -> Outcome:
        """Continue the last reply of a chat if it was cut off; the rest is appended to it.

        Raises `UsageError` if there is nothing to continue.
        """
        self.reread_file()
        turns = self.chats.shown.get(chat, Conversation()).turns
        cut = turns[-1] if turns else None
        if cut is None or cut.calls[-1].stop_reason not in (None, "max_tokens"):
            raise UsageError("The last reply was not cut off: there is nothing to continue.")
        if not build.has_reply(cut):
            raise UsageError(
                "The last reply was cut off before it said anything: there is nothing to continue.",
                advice="Run its cell again, with a larger --max-tokens.",
            )
        sent, _, pins = self._fitted(Conversation(turns), (), list(self.chats.pins.values()), settings.provider)
        request = build.build_continuation(Conversation(sent.turns[:-1]), sent.turns[-1], pins)
        request = pipeline.in_container(request, Conversation(turns), time.time())
        context_window.check(self.client, request, Conversation(turns), settings)
        question = Question(Options(model=request.params["model"]), (), cell)
        budget = self.budget_for(request, question.options, settings)
        draft = replace(
            cut,
            id=uuid.uuid4().hex,
            partial=(),
            created=time.time(),
            notes=(*without_budget_notes(cut.notes), "continued"),
        )
        draft = replace(draft, messages=(*build.messages_to_keep(cut), {"role": "user", "content": CONTINUE}))
        with self._open_answer(draft, question, settings, view, budget, instead_of=[cut.id]) as answer:
            failure = now(answer.stream(request, before=cut.reply))
            with uninterrupted(swallow=True):
                outcome = self._conclude_continuation(cut, answer, failure)
        return outcome

    def compact(self, options: Options, cell: Cell, settings: Settings, view: View) -> Outcome:
        """Have the API summarise a chat; later requests hold the summary in place of the turns above this cell."""
        history = self.history(options, cell)
        if not any(build.messages_to_send(turn) for turn in history):
            raise UsageError("There is nothing to compact: no turn stands above this cell.")
        sent, _, pins = self._fitted(history, (), self._pins(options), settings.provider)
        request = build.build_compaction(sent, options, pins)
        note = [{"type": "text", "text": "(a summary of the conversation above)"}]
        draft = draft_turn(Question(options, note, cell), request, history)
        with self._open_answer(draft, Question(options, (), cell), settings, view, None) as answer:
            failure = now(answer.stream(request))
            if failure is None and not any(block.get("content") for block in answer.reply.content):
                failure = StreamError("The API made no summary; the conversation is as it was.")
            with uninterrupted(swallow=True):
                outcome = self._conclude(answer, failure, cell, view)
        return outcome

    @contextmanager
    def _open_answer(
        self,
        draft: Turn,
        question: Question,
        settings: Settings,
        view: View,
        budget: Budget | None,
        *,
        instead_of: Sequence[str] = (),
        transport: Transport = BLOCKING,
    ) -> Iterator[Answer]:
        """A reply under way, whose output is begun before and ended after."""
        writer = self.writer(draft, question.cell, settings)
        answer = Answer(self.client, settings, view, draft, writer, budget, question.tools)
        answer.transport, answer.cell_began = transport, question.cell.began
        self._under_way.append(answer)
        try:
            with self.under_way():
                with uninterrupted():
                    view.begin(question.content, provider=self.client.provider(settings))
                yield answer
        finally:
            with uninterrupted(swallow=True):
                self._under_way.remove(answer)
                view.end(answer.turn, instead_of)
                answer.close()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a question as under way in this block."""
        self.asking += 1
        try:
            with uninterrupted():
                self._tell()
            yield
        finally:
            with uninterrupted(swallow=True):
                self.asking -= 1
                self._tell()

    def spend(self, turn: Turn) -> None:
        """Add a turn that was paid for."""
        self.spent.append(turn)
        self._tell()

    def _conclude(self, answer: Answer, failure: ClaudeError | None, cell: Cell, view: View) -> Outcome:
        """Add the turn of an ended reply to the ledger and, if there is anything to keep, to its conversation."""
        if failure and not answer.reply.message:
            return Outcome(failure=failure)
        with self._changing:
            turn = answer.conclude()
            self.spend(turn)
            failure = failure or not_kept(answer)
            keeps = failure is None or build.has_reply(turn)
            joined = keeps and self.join(turn, cell, view)
        return Outcome(turn, failure, joined and not turn.once)

    def _conclude_continuation(self, cut: Turn, answer: Answer, failure: ClaudeError | None) -> Outcome:
        """Put the turn of a continued reply into the place of the one that was cut off."""
        if not answer.reply.message or len(answer.reply.content) <= len(cut.reply):
            return Outcome(failure=failure or StreamError("Claude had nothing to add."))
        turn = answer.conclude(cut)
        self.spend(replace(turn, calls=tuple(answer.calls)))
        if answer.fault:
            return Outcome(turn, failure or not_kept(answer))
        self.chats.join(turn, Cell(cut.cell_id, run=turn.id))
        self.show_instead(turn, cut.id)
        return Outcome(turn, failure, joined=True)

    def delete(self, cell_ids: frozenset[str]) -> None:
        """Set aside the turns of cells that were deleted."""
        self._dismiss(self.chats.delete(cell_ids), "deleted")

    def undo(self) -> tuple[list[Turn], list[str]]:
        """Undo the last re-run. Returns the turns that came back, and the ids of the turns that they replace.

        If the page is still open, the cell shows its earlier answer again.
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
        """The spending outside of the conversations, here and in the records of the file: turns, with only those of
        their calls that are in none, since the turn was replaced, failed, reset, or asked with `--once`."""
        known = {(call.key, call.replayed) for turn in self.chats.turns for call in turn.calls}
        found = []
        for turn in [*self.spent, *self.chats.recorded_elsewhere]:
            calls = tuple(call for call in turn.calls if (call.key, call.replayed) not in known)
            known |= {(call.key, call.replayed) for call in calls if any(call.key)}
            found += [replace(turn, calls=calls)] if calls else []
        return found

    def recorded_maps(self) -> list[Mapped]:
        """The maps in the records of the file that did not run in this kernel."""
        own = {turn.id for turn in self.spent}
        return [run for _, run in self.chats.saved.mapped if run.id not in own]

    def _dismiss(self, turns: Sequence[Turn], why: Why) -> None:
        """Note in the journal why turns are no longer wanted; an empty `why` takes that back."""
        if self.journal is not None and turns:
            self.journal.dismiss([turn.id for turn in turns], why)

    def count(self, question: Question, settings: Settings) -> Counted:
        """The tokens of the request that a cell would send now, by part. Raises `ClaudeError`."""
        pins = [block for pin in self._pins(question.options) for block in pin.content]
        request = self.request(question, settings.provider)
        return count.count(self.client, request, question.content, settings, pins)

    def build(self, history: Conversation, question: Question, provider: str) -> Request:
        """Build the exact request for a question after `history`. Raises `UsageError`."""
        options, pins = question.options, self._pins(question.options)
        history, content, pins = self._fitted(history, question.content, pins, provider)
        request = build.build(history, content, options, pins, question.tool_definitions, question.schema)
        system = None if options.once else self.chats.systems.get(options.chat)
        if system is not None and system.ttl and system.text == options.system:
            request = replace(request, params=breakpoints.of_system(request.params, system.ttl))
        return pipeline.complete(request, history, options, self._target(options.model, provider))

    def _fitted(
        self, history: Conversation, content: Sequence[Block], pins: Sequence[Pin], provider: str
    ) -> tuple[Conversation, Sequence[Block], Sequence[Pin]]:
        """History, prompt and pins with the pictures that one request to the provider takes."""
        return pictures.fitted(history, content, pins, in_cloud=self.client.lacks(provider, "urls") is not None)

    def _target(self, model: str, provider: str) -> Target:
        spelled = providers.model_id(provider, model)
        return Target(spelled, partial(self.client.lacks, provider), self.extra_body, time.time())

    def _pins(self, options: Options) -> Sequence[Pin]:
        """The pins at the front of a request; none with `--once`."""
        return [] if options.once else list(self.chats.pins.values())

    def reread_file(self) -> None:
        """Read the notebook's file again if it was saved since: cells may have been deleted, or come back."""
        gone, back = self.chats.reread_file(self.path)
        self._dismiss(gone, "deleted")
        self._dismiss(back, "")

    def history(self, options: Options, cell: Cell) -> Conversation:
        """The turns that a cell sees; none with `--once`."""
        self.reread_file()
        # The page has them under a new id of their cell: when it runs again, they are not missing.
        self._dismiss(self.chats.recognise(cell), "deleted")
        return Conversation() if options.once else self.chats.before(options.chat, cell)

    def recorded_model(self, line: str, cell_id: str | None, *, is_new_asked: bool) -> str | None:
        """The model of a line that answered a cell in the record; `None` if none did.

        A newer model may have appeared since, and the request to it would be another one. A cell that is not in the
        record has the model that answered any cell last, unless Claude is asked what is new.
        """
        turns = [turn for turn in self._records().turns if _is_of_line(str(turn.params.get("model")), line)]
        own = [turn for turn in turns if cell_id is not None and turn.cell_id == cell_id]
        others = [] if is_new_asked and cell_id is not None else turns
        return max(((turn.created, str(turn.params["model"])) for turn in own or others), default=(0, None))[1]

    def _records(self) -> Records:
        """All turns that a replay may find: those in the notebook's file, and those of this kernel."""
        if self.chats.saved == Saved() and self.path is not None and self.path.exists():
            self.chats.saved = reader.read(self.path)
        return Records([*self.chats.saved.recorded, *self.chats.turns, *self.spent])

    def recorded(self, request: Request, question: Question, settings: Settings) -> Turn | None:
        """The recorded turn that answers a request, if replay is on. Raises `UsageError` if it is `only`, and there is
        none."""
        mode, cell_id = question.replay.mode, question.cell.id
        if mode == "off":
            return None
        records = self._records()
        provider = settings.provider if mode == "auto" else None
        found = records.find(request, cell_id, self._replayed, provider=provider)
        if found is None and mode == "only":
            raise UsageError(
                f"No recorded answer fits this cell: {difference(request, records, cell_id)}.",
                advice="%config ClaudeMagic.replay = 'auto' asks Claude where the record has no answer.",
            )
        return found

    def recorded_tools(self, question: Question, provider: str) -> Sequence[Mapping[str, Any]]:
        """The definitions of the notebook's tools in the record that is closest to a question; empty if there is none.

        Where only the record answers, they stand for those of local servers, which need not be started.
        """
        plain = replace(question, options=replace(question.options, tool_choice=None))
        closest = closest_record(self.request(plain, provider), self._records(), question.cell.id)
        return build.own_tools(closest.params) if closest is not None else ()

    def replayed(self, recorded: Turn, request: Request, draft: Turn) -> Turn:
        """A recorded turn as the answer of this cell. The next cell with the same request gets the next record."""
        self._replayed.add(recorded.id)
        return replayed(recorded, request, draft)

    async def _replay(
        self, recorded: Turn, turn: Turn, question: Question, view: View, transport: Transport
    ) -> Outcome:
        """Stream a recorded reply, as `turn`. After an Interrupt the whole reply is shown at once."""
        accumulator, failure = Accumulator(), None
        try:
            with uninterrupted():
                view.begin(turn.prompt, provider=None)
            with suppress(StreamError):  # a valid record that cannot be streamed is shown at once
                pauses: list[float] = []
                for event in events(recorded, question.replay.speed, pauses.append):
                    while pauses:
                        await transport.sleep(pauses.pop())
                    accumulator.add(event)
                    view.grow(event, accumulator)
        except (KeyboardInterrupt, asyncio.CancelledError) as stopped:
            kind = ReplyCancelled if isinstance(stopped, asyncio.CancelledError) else ReplyInterrupted
            failure = kind("The replay was stopped.", advice="The whole recorded reply is shown.")
        finally:
            with uninterrupted(swallow=True), self._changing:
                joined = self.join(turn, question.cell, view)
                view.end(turn)
        return Outcome(turn, failure, joined=joined and not turn.once)

    def writer(self, draft: Turn, cell: Cell, settings: Settings) -> Writer | None:
        """The journal's writer for a new reply; `None` if the journal is off."""
        if self.journal is None:
            return None
        model, provider = draft.params["model"], settings.provider
        return self.journal.begin(
            draft, notebook=self.path, page=cell.page, model=model, provider=provider, run=cell.run
        )

    def budget_for(self, request: Request, options: Options, settings: Settings) -> Budget | None:
        """The budget of a cell; `None` if there is none.

        Raises `UsageError` if the input alone would exceed it.
        """
        return self._budget_and_cost(request, options, settings)[0]

    def _budget_and_cost(self, request: Request, options: Options, settings: Settings) -> tuple[Budget | None, Decimal]:
        """`budget_for`, and the estimated cost of the input, in USD; 0 without a budget."""
        own = Budget(Decimal(options.budget), Decimal(options.budget)) if options.budget is not None else None
        budget = tighter(self._shared_budget()(None), own)
        if budget is None:
            return None, Decimal(0)
        cost = count.estimate(self.client, request, settings).cost
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
        return budget, cost.dollars

    def _shared_budget(self) -> Callable[[Answer | None], Budget | None]:
        """A function that gives the kernel's budget as it is when called, for one of the replies under way: less what
        the others have cost so far, and those that ended in between."""
        budget, known, ended = self.budget, len(self.spent), Decimal(0)

        def now_left(own: Answer | None) -> Budget | None:
            nonlocal known, ended
            if budget is None:
                return None
            for turn in self.spent[known:]:
                ended += pricing.turn_cost(turn).dollars or 0
                known += 1
            others = sum((each.spending for each in list(self._under_way) if each is not own), Decimal(0))
            return replace(budget, left=budget.left - ended - others)

        return now_left

    def join(self, turn: Turn, cell: Cell, view: View | Columns) -> bool:
        """Add a turn to its conversation, and note the view that shows it. Returns whether it joined."""
        joined = self.chats.join(turn, cell)
        if joined:
            self._views[turn.id] = view
        return joined

    def show_instead(self, turn: Turn, place: str) -> None:
        """Show a turn in the outputs of the turn with the id `place`, which it replaced, if they were made here."""
        if place in self._views:
            self._views[turn.id] = self._views[place]
            self._views[turn.id].show(turn)


def checked(draft: Turn) -> Turn:
    """The draft. Raises `UsageError` for a question whose turn could not be read back, whatever its reply."""
    answered = replace(draft, messages=(*draft.messages, {"role": "assistant", "content": []}), calls=(_NO_CALL,))
    if why := record.fault(answered):
        raise UsageError(f"This question cannot be kept in a conversation: in its record, {why}. Nothing was sent.")
    return draft


_NO_CALL = Call("none")


def not_kept(answer: Answer) -> StreamError | None:
    """The failure of a reply that cannot be kept in a conversation; `None` for any other."""
    if not answer.fault:
        return None
    return StreamError(f"The reply is not kept in the conversation: in its record, {answer.fault}.")


def draft_turn(question: Question, request: Request, history: Conversation) -> Turn:
    """The draft of a question's turn: its prompt and parameters, without a reply."""
    options, cell, content = question.options, question.cell, question.content
    if options.citations:
        content = citations.enabled(content)
    turns = [turn for turn in history if build.messages_to_send(turn)]
    summaries = [at for at, turn in enumerate(turns) if turn.params.get("compaction")]
    earlier = len(turns) - (summaries[-1] + 1 if summaries else 0)
    before = [note] if (note := models.retirement_note(options.model, date.today())) else []
    before += ["a summary"] if summaries else []
    before += request.notes
    before += question.tools.notes if question.tools is not None else ()
    before += [turns_of(earlier, "earlier")] if earlier else []
    return Turn(
        id=uuid.uuid4().hex,
        cell_id=cell.id,
        chat=options.chat,
        messages=({"role": "user", "content": list(content)},),
        calls=(),
        prefix=request.prefix,
        params=request.settings,
        created=time.time(),
        execution_count=cell.execution_count,
        once=options.once,
        notes=tuple(before),
        attached=tuple(question.attached),
        asked=question.asked,
    )


def _is_of_line(model_id: str, line: str) -> bool:
    row = models.lookup(model_id)
    return line in models.LINES and row is not None and row.line == line and model_id.startswith("claude-")
