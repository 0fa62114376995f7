"""One question to several models: ask them at once, and choose whose reply continues the conversation."""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from .. import models
from ..client import Client, Settings
from ..conversation.turns import Conversation, Turn
from ..cost import context_window, count, pricing
from ..cost.budget import Budget, tighter
from ..errors import ClaudeError, ReplyInterrupted, StreamError, UsageError
from ..interrupts import uninterrupted
from ..notebook.cell import Cell
from ..notebook.journal import Writer
from ..render.live.columns import Column, Columns
from ..render.turn import REPLAYED, who_answers
from ..request import build
from ..request.build import Request
from .answer import Answer
from .question import Question
from .session import Outcome, Session, call_key, draft_turn


@dataclass(frozen=True)
class _Side:
    """One of several models: the question as it is put to it, the request, and the turn that it will make."""

    question: Question
    asked: Request
    draft: Turn

    @property
    def model(self) -> str:
        """As it is spelled on the wire."""
        return str(self.asked.params["model"])


def compare(
    session: Session, question: Question, names: Sequence[str], settings: Settings, columns: Columns
) -> Outcome:
    """Ask several models the same at once. The first that answers goes on in the conversation.

    Raises `UsageError` before anything is shown or sent.
    """
    cell = question.cell
    history = session.history(question.options, cell)
    sides = []
    for name in _distinct(names):
        own = replace(question, options=replace(question.options, model=name))
        asked = _asked(session, history, own, settings)
        sides.append(_Side(own, asked, draft_turn(own, asked, history)))
    recorded = [session.recorded(side.asked, question, settings) for side in sides]
    found: list[Compared] = []
    if all(recorded):
        columns.begin([side.model for side in sides], question.content, label=REPLAYED)
        for side, turn in zip(sides, recorded, strict=True):
            if turn is not None:
                found.append(Compared(side.model, session.replayed(turn, side.asked, side.draft)))
        return _concluded(session, found, cell, columns)
    for side in sides:
        context_window.check(session.client, side.asked, history, settings)
    shares = _shares(session, sides, settings)
    try:
        with uninterrupted():
            columns.begin([side.model for side in sides], question.content, label=who_answers(settings.provider))
            questions = [
                _compared_question(session, side, share, history, settings)
                for side, share in zip(sides, shares, strict=True)
            ]
        found = ask_models(session.client, questions, settings, columns)
    finally:
        with uninterrupted(swallow=True):
            session.spent += [each.turn for each in found if each.turn is not None]
            outcome = _concluded(session, found, cell, columns)
    return outcome


def choose(session: Session, name: str) -> tuple[Turn, Turn]:
    """Have another model's reply of the last comparison go on in the conversation.

    Returns it, and the turn whose place it took. Raises `UsageError` where there is nothing to choose.
    """
    session.look_again()
    standing = {turn.id: turn for turn in session.chats.turns}
    saved = [(*turns, *_successors(session, turns)) for turns in session.chats.saved.compared]
    for turns in reversed([*saved, *session.comparisons]):
        place = next((standing[turn.id] for turn in turns if turn.id in standing), None)
        if place is not None:
            return _choose(session, name, place, turns), place
    raise UsageError(
        "There is no comparison whose reply stands in the conversation.",
        advice="%%claude --model opus,sonnet asks two models at once.",
    )


def _distinct(names: Sequence[str]) -> list[str]:
    """The ids of models to compare. Raises `UsageError` where one is there twice."""
    found = [models.resolve(name) for name in names]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"--model names {name} twice.", advice="Name each model once to compare them.")
    return found


def _asked(session: Session, history: Conversation, question: Question, settings: Settings) -> Request:
    """What one of several models is asked. Raises `UsageError`, naming the model, where it would not take it."""
    try:
        return session.build(history, question, settings.provider)
    except UsageError as error:
        model = question.options.model
        if model not in str(error):
            error.args = (f"{model}: {error}",)
        raise


def _compared_question(
    session: Session, side: _Side, budget: Budget | None, history: Conversation, settings: Settings
) -> ComparedQuestion:
    return ComparedQuestion(
        side.asked,
        side.draft,
        session.writer(side.draft, side.question.cell, settings),
        budget,
        lambda: session.build(history.without_bound_thinking(), side.question, settings.provider),
    )


def _shares(session: Session, sides: Sequence[_Side], settings: Settings) -> list[Budget | None]:
    """What each of several replies may cost: together no more than is left. Raises `UsageError`."""
    budget = tighter(*[session.budget_for(side.asked, side.question.options, settings) for side in sides])
    if budget is None:
        return [None] * len(sides)
    left = budget.left
    costs = [count.estimate(session.client, side.asked, settings).cost.dollars or Decimal(0) for side in sides]
    spare = left - sum(costs)
    if spare < 0:
        raise UsageError(
            f"The question alone costs about {pricing.dollars(sum(costs, Decimal(0)))} with all models, and "
            f"{pricing.dollars(left)} of the budget is left. Nothing was sent.",
            advice="Compare fewer models, or raise the budget.",
        )
    return [Budget(cost + spare / len(costs), budget.total, is_shown=False) for cost in costs]


def _concluded(session: Session, found: Sequence[Compared], cell: Cell, columns: Columns) -> Outcome:
    """The replies of several models in the output, and the first that can be kept in the conversation."""
    kept = [e.turn for e in found if e.turn is not None and (e.failure is None or build.messages_to_send(e.turn))]
    first = next((turn for turn in kept if build.messages_to_send(turn)), kept[0] if kept else None)
    if first is not None:
        session.join(first, cell, columns)
        if not first.once:
            session.comparisons.append(tuple(each.turn for each in found if each.turn is not None))
    columns.end({each.model: each.turn or str(each.failure) for each in found}, first)
    stopped = next((e.failure for e in found if isinstance(e.failure, ReplyInterrupted) and not _over(e)), None)
    failure = stopped if first is not None else next((e.failure for e in found if e.failure is not None), None)
    by_model = {each.model: each.turn for each in found if each.turn is not None}
    return Outcome(first, failure, first is not None and not first.once, by_model)


def _over(compared: Compared) -> bool:
    """Whether a reply was stopped because its budget was used up: its column says so."""
    return compared.turn is not None and any("budget" in note for note in compared.turn.notes)


def _choose(session: Session, name: str, place: Turn, turns: Sequence[Turn]) -> Turn:
    """The reply of one model, put into the place of another."""
    wanted = models.resolve(name)
    by_model = {turn.params["model"]: turn for turn in turns if build.messages_to_send(turn)}
    if wanted not in by_model:
        raise UsageError(f"{name} has no reply to choose.", advice=f"There are: {', '.join(by_model)}.")
    if place.params["model"] == wanted:
        raise UsageError(f"{wanted} already goes on in the conversation.")
    chosen = replace(by_model[wanted], id=uuid.uuid4().hex)  # of its own: it may be chosen, undone, chosen again
    session.chats.exchange(place, chosen)
    session.comparisons.append((*turns, chosen))
    session.show_instead(chosen, place.id)
    return chosen


def _successors(session: Session, turns: Sequence[Turn]) -> list[Turn]:
    """Turns that were chosen among these: the same replies, under ids of their own."""
    calls = {call_key(call) for turn in turns for call in turn.calls}
    return [turn for turn in session.chats.turns if calls & {call_key(call) for call in turn.calls}]


MAX_MODELS = 6  # side by side: more cannot be read
# How long a connection that is silent is waited for after an Interrupt: what it brings later is not kept.
STOP_SECONDS = 1.0


@dataclass(frozen=True)
class ComparedQuestion:
    """What one model is asked: the request, and the turn that it will make.

    `unbound` makes the same request without earlier thinking. `budget` is what the reply may cost at most;
    `None` where there is none.
    """

    asked: Request
    draft: Turn
    writer: Writer | None
    budget: Budget | None
    unbound: Callable[[], Request]


@dataclass(frozen=True)
class Compared:
    """What became of one model's question: the turn, the failure, or (a reply that broke off) both."""

    model: str
    turn: Turn | None = None
    failure: ClaudeError | None = None


def compared_models(given: str) -> list[str]:
    """The models of `--model opus,sonnet`. Raises `UsageError` for too many, and for one that is missing."""
    found = [name.strip() for name in given.split(",")]
    if not all(found):
        raise UsageError(f"--model {given} lacks a model between its commas.")
    if len(found) > MAX_MODELS:
        raise UsageError(f"--model takes at most {MAX_MODELS} models to compare, not {len(found)}.")
    return found


def ask_models(
    client: Client, questions: Sequence[ComparedQuestion], settings: Settings, columns: Columns
) -> list[Compared]:
    """Ask all at once, and show the replies as they come. Each failure is its model's own."""
    runs = [_Run(client, each, settings, column) for each, column in zip(questions, columns.columns, strict=True)]
    with warnings.catch_warnings():  # the streams silence warnings, each in its thread: put back what was before
        try:
            for run in runs:
                run.thread.start()
            while any(run.thread.is_alive() for run in runs):
                columns.draw()
                columns.changed.wait(columns.REFRESH_SECONDS)
                columns.changed.clear()
        except KeyboardInterrupt:
            with uninterrupted(swallow=True):  # people press it twice
                columns.stop()
                end = time.monotonic() + STOP_SECONDS
                for run in runs:
                    run.thread.join(max(0.0, end - time.monotonic()))
        with uninterrupted(swallow=True):
            return [run.concluded() for run in runs]


class _Run:
    """One model's reply, in a thread of its own."""

    def __init__(self, client: Client, question: ComparedQuestion, settings: Settings, column: Column) -> None:
        self._question = question
        self._failure: ClaudeError | None = ReplyInterrupted("The reply was interrupted.")
        self._answer = Answer(client, settings, column, question.draft, question.writer, question.budget)
        self._column = column
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._stream,), name="claude_magic reply", daemon=True)

    def _stream(self) -> None:
        try:
            self._failure = self._answer.ask(self._question.asked, self._question.unbound)
        except Exception as error:  # what nobody foresaw is this model's failure, and no other's
            self._failure = StreamError(f"The reply is unreadable ({type(error).__name__}).")
        self._column.finish()

    def concluded(self) -> Compared:
        """What came of it: of a connection that was silent when all were stopped, what had arrived."""
        model = str(self._answer.draft.params["model"])
        if self._answer.reply.message:
            return Compared(model, self._answer.conclude(), self._failure)
        self._answer.close()
        return Compared(model, failure=self._failure)
