"""Run maps: now, as batches or in the background; and look after those under way.

`Maps` is the one owner of the maps in the background; all else is a value, or in the store.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from ..client.batches import Batches
from ..content.parts import Limits
from ..content.secrets import Secrets, known_secrets
from ..content.text import plural
from ..conversation.map_run import MAPPED
from ..conversation.turns import Call, Turn
from ..cost.budget import Budget, tighter
from ..errors import ClaudeError, UsageError
from ..notebook import reader
from ..options import MapOptions
from ..tools.structured_output import Shape
from . import batch_pickup, dask, rows, store, table
from .batches import Batching
from .job import MAX_KEPT_BYTES, Job, MapContext, survey
from .progress import Progress
from .prompts import RowRequests, Template
from .rows import Rows
from .store import Results


class Maps:
    """The maps of one kernel: those that a cell runs, and those in the background."""

    def __init__(self) -> None:
        self._background: dict[str, tuple[Progress, Background]] = {}  # by the name that each will bind

    def begin(self, asked: MapOptions, body: str, value: Any, shape: Shape | None, context: MapContext) -> None:
        """Map a prompt over the rows of `value`, and bind the result. Raises `UsageError` before anything is asked."""
        if dask.is_partitioned(value):
            dask.bind(asked, body, value, shape, context)
            return
        data = rows.rows_of(value)
        requests = row_requests(asked, body, data, context)
        _check(asked, requests, context)
        if asked.background:
            self._check_background(asked, context)
        run = _survey(asked, data, requests, shape, context)
        with closing(opening(context)()) as results:
            try:
                if asked.batch:
                    failure, batches = _by_batch(run, results)
                else:
                    missing, batches = _missing(run, results), []
                    if asked.background and missing:
                        self._continue_in_background(run, missing)
                        return
                    failure = run.ask(missing, results)
            except ClaudeError:
                run.progress.rest(None, {})
                raise
        run.conclude(failure, batches)

    def look_after(self, flag: str, context: MapContext) -> None:
        """`--wait`, `--resume`, `--cancel` or `--status`: what of this notebook is under way."""
        if self._look_after_background(flag, context) or flag == "--wait":
            return
        with closing(opening(context)()) as results:
            batches = _batches(context, results)
            adopt(results, context)
            parts = results.own_parts(context.provider)
            if not parts:
                context.tell("No batch of this notebook is under way.")
            elif flag == "--status":
                for part in parts:
                    context.tell(batch_pickup.status(batches, part.batch))
            elif flag == "--cancel":
                for line in batch_pickup.cancel_all(batches, results, context.provider):
                    context.tell(line)
            else:
                _resume(batches, results, context)

    def _look_after_background(self, flag: str, context: MapContext) -> bool:
        """The same for maps in the background. Returns whether there were any that the flag is for."""
        under_way = list(self._background.items()) if flag != "--resume" else []
        for name, (progress, background) in under_way:
            if flag == "--wait":
                background.wait()
            elif flag == "--cancel":
                progress.stopped.set()
                context.tell(f"{name} is stopping: what is done is bound.")
            else:
                context.tell(f"{name}: {progress.said}")
        if flag == "--wait" and not under_way:
            context.tell("No map goes on in the background.")
        return bool(under_way)

    def _check_background(self, asked: MapOptions, context: MapContext) -> None:
        """Refuse what does not go on behind other cells. Raises `UsageError`."""
        kernel_loop()
        if asked.batch:
            raise UsageError(
                "--batch and --background do not go together: a batch goes on by itself.",
                advice="Interrupt the waiting; %claude_map --resume picks the batch up.",
            )
        if context.budget is not None:
            raise UsageError(
                "What runs in the background cannot keep the kernel's budget, which other cells spend as well.",
                advice="Give the map its own with --budget, and set %config ClaudeMagic.budget = None.",
            )
        if str(asked.options.out) in self._background:
            raise UsageError(
                f"A map for {asked.options.out} is under way in the background.",
                advice="%claude_map --wait waits for it, --cancel stops it.",
            )

    def _continue_in_background(self, run: Run, missing: Sequence[str]) -> None:
        """Ask in the background, and let the cell end."""

        def ask() -> ClaudeError | None:
            with closing(open_results()) as results:
                return run.ask(missing, results)

        def conclude(failure: ClaudeError | None) -> None:
            del self._background[run.out]
            run.conclude(failure, told=True)

        open_results = opening(run.context)
        run.progress.say("begun", 0.0, at_once=True)
        self._background[run.out] = (run.progress, Background(kernel_loop(), ask, conclude))
        run.context.tell(f"{run.out} is bound when all is done; %claude_map --wait waits for that, --cancel stops it.")


@dataclass(frozen=True)
class Run:
    """A map of `data` that was begun, whose result is bound to `out`."""

    job: Job
    data: Rows
    out: str
    model: str
    progress: Progress
    context: MapContext

    def ask(self, missing: Sequence[str], results: Results) -> ClaudeError | None:
        """Ask these now. Returns why it ended early, if it did."""
        return self.job.ask_now(missing, results, self.progress) if missing else None

    def conclude(self, failure: ClaudeError | None, batches: Sequence[str] = (), *, told: bool = False) -> None:
        """Bind what there is, count what it cost, and leave the record in the cell.

        Raises `failure`; where it is `told`, the record says it instead, because the cell has ended.
        """
        job, progress = self.job, self.progress
        mapped = job.mapped(self.model, batches)
        spend(self.context, job.tally.calls, job.name)
        if failure is not None and all(each.text is None for each in job.answers.values()):
            waiting = {"text/plain": f"batches under way: {', '.join(batches)}"} if batches else None
            progress.rest({"text/plain": str(failure)} if told else waiting, table.metadata(mapped) if batches else {})
        else:
            columns = table.columns(job, self.data.taken)
            self.context.namespace[self.out] = self.data.result(columns)
            if failure is not None:
                kept = f"What is done is in {self.out}; run the cell again for the rest."
                failure.advice = f"{kept} {failure.advice}".strip()
            ended = [str(failure)] if failure is not None and told else []
            notes = [f"{self.out} is a {self.data.kind}, with {', '.join(columns)}.", *_remarks(job), *ended]
            progress.rest(table.bundle(mapped, job, notes), table.metadata(mapped))
        if failure is not None and not told:
            raise failure


def row_requests(asked: MapOptions, body: str, data: Rows, context: MapContext) -> RowRequests:
    """The request of each row, built when it is asked for. Raises `PromptError`."""
    options, namespace = asked.options, context.namespace
    secrets = Secrets(known_secrets(namespace, context.client.secrets()), options.allow_secrets)
    template = Template(body, namespace, secrets, Limits(options.value_tokens, options.cell_tokens))
    return RowRequests(template, data, context.base(options), options, context.settings.provider)


def opening(context: MapContext) -> Callable[[], Results]:
    """How this notebook's answers are opened: by each thread for itself."""
    return partial(store.Results, store.file() if context.keeps else None, context.path)


def adopt(results: Results, context: MapContext) -> None:
    """Take over the batches that the saved notebook knows, and this machine does not."""
    if context.path is not None and context.path.exists():
        for _, run in reader.read(context.path).mapped:
            results.adopt(run)


def adopt_early(context: MapContext) -> None:
    """Before anything can fail: when this cell shows something else, the notebook may not know its batches."""
    if context.keeps and context.path is not None and context.path.exists():
        with closing(opening(context)()) as results:
            adopt(results, context)


def spend(context: MapContext, calls: Sequence[Call], name: str) -> None:
    """Put what was paid for into the ledger, as one turn that stands in no conversation."""
    if calls:
        prompt = {"role": "user", "content": [{"type": "text", "text": f"({MAPPED}: {name})"}]}
        turn = Turn(
            id=uuid.uuid4().hex,
            messages=(prompt, {"role": "assistant", "content": []}),
            calls=tuple(calls),
            created=calls[0].started,
            execution_count=context.cell,
            once=True,
            notes=(MAPPED,),
        )
        context.spend(turn)


def _check(asked: MapOptions, requests: RowRequests, context: MapContext) -> None:
    """Say what a map leaves out, and refuse what a batch cannot carry. Raises `UsageError`."""
    if asked.options.tools:
        context.tell(f"A map runs no functions of yours: tools = {asked.options.tools} is left out.")
    if asked.batch and context.client.with_tokens(requests.base, context.settings) != requests.base:
        raise UsageError(
            "--mcp does not go together with --batch where the server wants a token: a batch carries none.",
            advice="Leave out --batch, which asks the rows one by one.",
        )


def _survey(asked: MapOptions, data: Rows, requests: RowRequests, shape: Shape | None, context: MapContext) -> Run:
    """Go through the rows, and put together what they ask, of whom, and where the result goes."""
    progress = Progress(context.shell, panel=context.panel, background=asked.background)
    # In the background none of the reader's expressions runs: each request is built before.
    kept = math.inf if asked.background else MAX_KEPT_BYTES
    job = Job(
        name=asked.over,
        count=data.count,
        asking=requests,
        surveyed=survey(requests, lambda count: progress.say(f"reading rows: {count:,} of {data.count:,}"), kept),
        client=context.client,
        settings=context.settings,
        provider=context.provider,
        concurrency=asked.concurrency,
        budget=_budget(asked, context),
        fresh=asked.fresh,
        shape=shape,
    )
    return Run(job, data, str(asked.options.out), asked.options.model, progress, context)


def _budget(asked: MapOptions, context: MapContext) -> Budget | None:
    """What this map may cost: the tighter of the kernel's budget and its own."""
    given = asked.options.budget
    return tighter(context.budget, None if given is None else Budget(Decimal(given), Decimal(given)))


def _missing(run: Run, results: Results) -> list[str]:
    """What is still to be asked now, with an estimate. Raises `UsageError` where it would be paid for twice."""
    job = run.job
    missing = job.missing(results)
    if missing and not job.fresh and results.adopted(job.asking.about):
        raise UsageError(
            "A batch that this notebook submitted may hold these rows, which would be paid for twice.",
            advice="--batch picks it up, and asks what is not in it; --fresh asks all the same.",
        )
    if asked_already := len(results.under_way(missing)):
        raise UsageError(
            f"{asked_already:,} of these requests are in a batch under way, and would be paid for twice.",
            advice="--batch picks it up; %claude_map --cancel ends it.",
        )
    run.context.tell(job.expected(missing).line())
    return missing


def _by_batch(run: Run, results: Results) -> tuple[ClaudeError | None, list[str]]:
    """Get the missing answers by batches. Returns why that ended early, and the ids of the batches."""
    job = run.job
    missing = job.missing(results)
    batches = _batches(run.context, results)

    def tell(ids: list[str]) -> None:
        so_far = job.mapped(str(job.asking.base["model"]), ids)
        run.progress.note(table.metadata(so_far), f"batches under way: {', '.join(ids)}")

    by_batch = Batching(job, results, batches, run.progress, tell)
    if missing and (failure := by_batch.pick_up_adopted()):
        return failure, by_batch.ids
    missing = [key for key in missing if key not in job.answers]
    under_way = {} if job.fresh else results.under_way(missing)
    new = [key for key in missing if key not in under_way]
    run.context.tell(job.expected(new, batch=True).line() if new or not missing else "All is in batches under way.")
    return (by_batch.run(missing) if missing else None), by_batch.ids


def _batches(context: MapContext, results: Results) -> Batches:
    """The provider's batches. Raises `UsageError` where there are none, or nothing is kept that is needed later."""
    if not results.kept:
        raise UsageError(
            "--batch keeps the ids of its batches in Jupyter's data folder, and the journal is off.",
            advice="%config ClaudeMagic.journal = True turns it on.",
        )
    return Batches(context.client, context.settings)


def _resume(batches: Batches, results: Results, context: MapContext) -> None:
    """Pick up what has been asked, and say what came."""
    progress = Progress(context.shell, panel=context.panel)
    told: list[str] = []
    try:
        for collected in batch_pickup.resume(batches, results, context.settings, progress, context.provider):
            calls = [call for answer in collected.answers for call in answer.calls]
            if collected.first:
                spend(context, calls, collected.part.batch or "")
            whole = sum(not answer.error for answer in collected.answers)
            told.append(f"{collected.part.batch}: {whole:,} of {len(collected.answers):,} rows answered")
    finally:
        progress.rest(None, {})
        for line in told:
            context.tell(line)
    context.tell("Run the cells again to see them: what is answered is not asked again.")


def _remarks(job: Job) -> list[str]:
    """What else there is to say of a map."""
    said = [
        (job.earlier, "was", "answered in an earlier run, which cost nothing now"),
        (job.surveyed.shared, "is", "the same as one above, and was not asked again"),
    ]
    many = {"was": "were", "is": "are"}
    return [
        f"{plural(count, 'row')} {verb if count == 1 else many[verb]} {what}." for count, verb, what in said if count
    ]


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
