"""Several models asked at once: each its own reply under way, all ended by one Interrupt."""

from __future__ import annotations

import contextvars
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .answering import Answer
from .client import Client, Settings
from .conversation.turns import Turn
from .cost.budget import Budget
from .errors import ClaudeError, ReplyInterrupted, StreamError, UsageError
from .interrupts import uninterrupted
from .notebook.journal import Writer
from .render.live.columns import Column, Columns
from .request.build import Request

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
