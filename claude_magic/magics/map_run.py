"""One map that was begun: what it asks and how it goes; in the end a name, the ledger and the cell have what came."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ClaudeError, UsageError

if TYPE_CHECKING:
    from typing import Any

    from ..conversation.turns import Call
    from ..mapping.job import Job
    from ..mapping.progress import Progress
    from ..mapping.rows import Rows
    from ..mapping.store import Results
    from ..session.session import Session


@dataclass(frozen=True)
class Run:
    """A map of `data`, whose result is bound to `out` in `namespace`; `cell` is the `In [ ]` that began it."""

    job: Job
    data: Rows
    out: str
    model: str
    progress: Progress
    session: Session
    cell: int | None
    namespace: dict[str, Any]

    def ask(self, missing: Sequence[str], results: Results) -> ClaudeError | None:
        """Ask these now. Returns why it ended early, if it did."""
        return self.job.ask_now(missing, results, self.progress) if missing else None

    def conclude(self, failure: ClaudeError | None, batches: Sequence[str] = (), *, told: bool = False) -> None:
        """Bind what there is, count what it cost, and leave the record in the cell.

        Raises `failure`; where it is `told`, the record says it instead, because the cell has ended.
        """
        from ..mapping import table

        job, progress = self.job, self.progress
        mapped = job.mapped(self.model, batches)
        spend(self.session, self.cell, job.tally.calls, job.name)
        if failure is not None and all(each.text is None for each in job.answers.values()):
            waiting = {"text/plain": f"batches under way: {', '.join(batches)}"} if batches else None
            progress.rest({"text/plain": str(failure)} if told else waiting, table.metadata(mapped) if batches else {})
        else:
            columns = table.columns(job, self.data.taken)
            self.namespace[self.out] = self.data.result(columns)
            if failure is not None:
                kept = f"What is done is in {self.out}; run the cell again for the rest."
                failure.advice = f"{kept} {failure.advice}".strip()
            ended = [str(failure)] if failure is not None and told else []
            notes = [f"{self.out} is a {self.data.kind}, with {', '.join(columns)}.", *_remarks(job), *ended]
            progress.rest(table.bundle(mapped, job, notes), table.metadata(mapped))
        if failure is not None and not told:
            raise failure


def spend(session: Session, cell: int | None, calls: Sequence[Call], name: str) -> None:
    """Put what was paid for into the ledger, as one turn that stands in no conversation."""
    from ..conversation.map_run import MAPPED
    from ..conversation.turns import Turn

    if calls:
        prompt = {"role": "user", "content": [{"type": "text", "text": f"({MAPPED}: {name})"}]}
        turn = Turn(
            id=uuid.uuid4().hex,
            messages=(prompt, {"role": "assistant", "content": []}),
            calls=tuple(calls),
            created=calls[0].started,
            execution_count=cell,
            once=True,
            notes=(MAPPED,),
        )
        session.spent.append(turn)


def _remarks(job: Job) -> list[str]:
    """What else there is to say of a map."""
    said = [
        (job.earlier, "was", "answered in an earlier run, which cost nothing now"),
        (job.surveyed.shared, "is", "the same as one above, and was not asked again"),
    ]
    return [f"{_rows(count, verb)} {what}." for count, verb, what in said if count]


def _rows(count: int, verb: str) -> str:
    plural = {"was": "were", "is": "are"}
    return f"1 row {verb}" if count == 1 else f"{count:,} rows {plural[verb]}"


WAIT_SECONDS = 0.1


def kernel_loop() -> asyncio.AbstractEventLoop:
    """The loop that runs the cells. Raises `UsageError` where none is there between two cells, as in a terminal."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    raise UsageError("--background needs a notebook: here, nothing runs between two cells.", advice="Leave it out.")


class Background:
    """`work` goes on in a thread and returns why it ended early, if it did; `conclude` is told so on the loop, once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], ClaudeError | None],
        conclude: Callable[[ClaudeError | None], None],
    ) -> None:
        self._loop = loop
        self._work = work
        self._conclude = conclude
        self._concluded = False
        self._failure: ClaudeError | None = None
        self._over = threading.Event()
        self._context = contextvars.copy_context()  # ipykernel's: what is shown goes to the cell that began it
        run = self._context.copy().run
        threading.Thread(target=run, args=(self._run,), daemon=True, name="claude_magic background").start()

    def wait(self) -> None:
        """Wait until it is concluded, in the cell that waits. An Interrupt ends the waiting, and not the map."""
        while not self._over.wait(WAIT_SECONDS):  # not Thread.join: interrupted, that takes a thread for ended
            pass
        self._end()

    def _run(self) -> None:
        try:
            self._failure = self._work()
        except ClaudeError as failure:
            self._failure = failure
        finally:
            self._over.set()
            with suppress(RuntimeError):  # the kernel ends, and its loop before this thread
                self._loop.call_soon_threadsafe(self._end, context=self._context)

    def _end(self) -> None:
        if not self._concluded:
            self._concluded = True
            self._conclude(self._failure)
