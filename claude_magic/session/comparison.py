"""Comparison: one question to several models at once, and the choice of the reply that continues the conversation."""

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
from ..client import Client, Settings, now
from ..conversation.turns import Conversation, Turn
from ..cost import context_window, count, pricing
from ..cost.budget import Budget, tighter
from ..errors import ClaudeError, ReplyInterrupted, StreamError, UsageError
from ..interrupts import uninterrupted
from ..notebook.cell import Cell
from ..notebook.journal import Writer
from ..render.live.columns import Column, Columns
from ..request import build
from ..request.build import Request
from .answer import Answer
from .question import Question
from .session import Outcome, Session, checked, draft_turn, not_kept


@dataclass(frozen=True)
class _Side:
    """One model of a comparison: its question, its request, and the draft of its turn."""

    question: Question
    request: Request
    draft: Turn

    @property
    def model(self) -> str:
        """The model's id, as the provider spells it."""
        return str(self.request.params["model"])


def compare(
    session: Session, question: Question, names: Sequence[str], settings: Settings, columns: Columns
) -> Outcome:
    """Ask several models at once. The first of them (in the order of `names`) that answers continues the conversation.

    Raises `UsageError` before anything is shown or sent.
    """
    cell = question.cell
    history = session.history(question.options, cell)
    sides = []
    for name in _distinct_models(names):
        own = replace(question, options=replace(question.options, model=name))
        request = _build(session, history, own, settings)
        sides.append(_Side(own, request, checked(draft_turn(own, request, history))))
    recorded = [session.recorded(side.request, question, settings) for side in sides]
    found: list[Compared] = []
    if all(recorded):
        columns.begin([side.model for side in sides], question.content, provider=None)
        for side, turn in zip(sides, recorded, strict=True):
            if turn is not None:
                found.append(Compared(side.model, session.replayed(turn, side.request, side.draft)))
        return _conclude(session, found, cell, columns)
    for side in sides:
        context_window.check(session.client, side.request, history, settings)
    shares = _shares(session, sides, settings)
    try:
        with uninterrupted():
            columns.begin([side.model for side in sides], question.content, provider=session.client.provider(settings))
            questions = [
                _compared_question(session, side, share, history, settings)
                for side, share in zip(sides, shares, strict=True)
            ]
        found = ask_models(session.client, questions, settings, columns)
    finally:
        with uninterrupted(swallow=True):
            session.spent += [each.turn for each in found if each.turn is not None]
            outcome = _conclude(session, found, cell, columns)
    return outcome


def count_models(
    session: Session, question: Question, names: Sequence[str], settings: Settings
) -> dict[str, count.Counted]:
    """The tokens and the cost of the question by model, before anything is sent. Raises `UsageError`."""
    history = session.history(question.options, question.cell)
    counted = {}
    for name in _distinct_models(names):
        own = replace(question, options=replace(question.options, model=name))
        request = _build(session, history, own, settings)
        counted[str(request.params["model"])] = count.estimate(session.client, request, settings)
    return counted


def choose(session: Session, name: str) -> tuple[Turn, Turn]:
    """Choose another model's reply of the last comparison, which then continues the conversation.

    Returns its turn, and the turn that it replaced. Raises `UsageError` if there is nothing to choose.
    """
    session.reread_file()
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


def _distinct_models(names: Sequence[str]) -> list[str]:
    """The ids of the models to compare. Raises `UsageError` if a model is named twice."""
    found = [models.resolve(name) for name in names]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"--model names {name} twice.", advice="Name each model once to compare them.")
    return found


def _build(session: Session, history: Conversation, question: Question, settings: Settings) -> Request:
    """Build the request to one model. Raises `UsageError`, which names the model, if it does not take the options."""
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
        side.request,
        side.draft,
        session.writer(side.draft, side.question.cell, settings),
        budget,
        side.question.cell.began,
        lambda: session.build(history.without_bound_thinking(), side.question, settings.provider),
    )


def _shares(session: Session, sides: Sequence[_Side], settings: Settings) -> list[Budget | None]:
    """Each reply's share of the budget; together they are what is left of it. Raises `UsageError` if that is less than
    the cost of the question."""
    budget = tighter(*[session.budget_for(side.request, side.question.options, settings) for side in sides])
    if budget is None:
        return [None] * len(sides)
    left = budget.left
    costs = [count.estimate(session.client, side.request, settings).cost.dollars or Decimal(0) for side in sides]
    spare = left - sum(costs)
    if spare < 0:
        raise UsageError(
            f"The question alone costs about {pricing.dollars(sum(costs, Decimal(0)))} with all models, and "
            f"{pricing.dollars(left)} of the budget is left. Nothing was sent.",
            advice="Compare fewer models, or raise the budget.",
        )
    return [Budget(cost + spare / len(costs), budget.total, is_shown=False) for cost in costs]


def _conclude(session: Session, found: Sequence[Compared], cell: Cell, columns: Columns) -> Outcome:
    """End the output with the replies of all models, and put the first one that can be kept into the conversation."""
    kept = [e.turn for e in found if e.turn is not None and (e.failure is None or build.has_reply(e.turn))]
    first = next((turn for turn in kept if build.has_reply(turn)), kept[0] if kept else None)
    if first is not None:
        session.join(first, cell, columns)
        if not first.once:
            session.comparisons.append(tuple(each.turn for each in found if each.turn is not None))
    columns.end({each.model: each.turn or str(each.failure) for each in found}, first)
    stopped = next(
        (e.failure for e in found if isinstance(e.failure, ReplyInterrupted) and not _is_over_budget(e)), None
    )
    failure = stopped if first is not None else next((e.failure for e in found if e.failure is not None), None)
    by_model = {each.model: each.turn for each in found if each.turn is not None}
    return Outcome(first, failure, first is not None and not first.once, by_model)


def _is_over_budget(compared: Compared) -> bool:
    """Whether a reply was stopped at its budget, which its column shows."""
    return compared.turn is not None and any("budget" in note for note in compared.turn.notes)


def _choose(session: Session, name: str, place: Turn, turns: Sequence[Turn]) -> Turn:
    """Put one model's reply into the place of another's, and show it there."""
    by_model = {turn.params["model"]: turn for turn in turns if build.has_reply(turn)}
    lines = {model: row.line for model in by_model if (row := models.lookup(model))}
    of_line = [model for model, line in lines.items() if line == name in models.LINES]
    wanted = next((model for model in of_line if model != place.params["model"]), of_line[0] if of_line else name)
    if wanted not in by_model:
        raise UsageError(f"{name} has no reply to choose.", advice=f"There are: {', '.join(by_model)}.")
    if place.params["model"] == wanted:
        raise UsageError(f"{wanted} already goes on in the conversation.")
    chosen = replace(by_model[wanted], id=uuid.uuid4().hex)  # a new id, since it may be chosen, undone, chosen again
    session.chats.exchange(place, chosen)
    session.comparisons.append((*turns, chosen))
    session.show_instead(chosen, place.id)
    return chosen


def _successors(session: Session, turns: Sequence[Turn]) -> list[Turn]:
    """The turns that were chosen from these: the same replies, with other ids."""
    calls = {call.key for turn in turns for call in turn.calls}
    return [turn for turn in session.chats.turns if calls & {call.key for call in turn.calls}]


MAX_MODELS = 6  # more columns cannot be read
# The wait for silent connections after an Interrupt; what arrives later is not kept.
STOP_SECONDS = 1.0


@dataclass(frozen=True)
class ComparedQuestion:
    """The question to one model: the request, and the draft of its turn.

    `without_thinking` builds the same request without thinking of earlier turns. `budget` is the limit of the reply's
    cost; `None` for no limit.
    """

    request: Request
    draft: Turn
    writer: Writer | None
    budget: Budget | None
    cell_began: float | None
    without_thinking: Callable[[], Request]


@dataclass(frozen=True)
class Compared:
    """The outcome of one model's question: the turn, the failure, or (for a reply that broke off) both."""

    model: str
    turn: Turn | None = None
    failure: ClaudeError | None = None


def compared_models(given: str) -> list[str]:
    """The model names in `--model opus,sonnet`. Raises `UsageError` for an empty name, and for too many."""
    found = [name.strip() for name in given.split(",")]
    if not all(found):
        raise UsageError(f"--model {given} lacks a model between its commas.")
    if len(found) > MAX_MODELS:
        raise UsageError(f"--model takes at most {MAX_MODELS} models to compare, not {len(found)}.")
    return found


def ask_models(
    client: Client, questions: Sequence[ComparedQuestion], settings: Settings, columns: Columns
) -> list[Compared]:
    """Ask all models at once, and show the replies as they arrive. A failure concerns only its own model."""
    runs = [_Run(client, each, settings, column) for each, column in zip(questions, columns.columns, strict=True)]
    with warnings.catch_warnings():  # the filters are the process's: the threads leave them alone
        warnings.simplefilter("ignore")
        try:
            for run in runs:
                run.thread.start()
            while any(run.thread.is_alive() for run in runs):
                columns.draw()
                columns.changed.wait(columns.REFRESH_SECONDS)
                columns.changed.clear()
        except KeyboardInterrupt:
            with uninterrupted(swallow=True):  # a second Interrupt is common
                columns.stop()
                end = time.monotonic() + STOP_SECONDS
                for run in runs:
                    run.thread.join(max(0.0, end - time.monotonic()))
        with uninterrupted(swallow=True):
            return [run.conclude() for run in runs]


class _Run:
    """One model's reply, in a thread of its own."""

    def __init__(self, client: Client, question: ComparedQuestion, settings: Settings, column: Column) -> None:
        self._question = question
        self._failure: ClaudeError | None = ReplyInterrupted("The reply was interrupted.")
        self._answer = Answer(client, settings, column, question.draft, question.writer, question.budget)
        self._answer.cell_began = question.cell_began
        self._column = column
        context = contextvars.copy_context()
        self.thread = threading.Thread(target=context.run, args=(self._stream,), name="claude_magic reply", daemon=True)

    def _stream(self) -> None:
        try:
            self._failure = now(self._answer.ask(self._question.request, self._question.without_thinking))
        except Exception as error:  # an unexpected failure concerns only this model
            self._failure = StreamError(f"The reply is unreadable ({type(error).__name__}).")
        self._column.finish()

    def conclude(self) -> Compared:
        """The outcome; of a connection that is still open, the reply as received so far."""
        model = str(self._answer.draft.params["model"])
        if self._answer.reply.message:
            turn = self._answer.conclude()
            return Compared(model, turn, self._failure or not_kept(self._answer))
        self._answer.close()
        return Compared(model, failure=self._failure)
