"""Run maps: now, as batches or in the background; and wait for, resume, cancel or report those under way.

`Maps` owns the maps in the background; all other state is in values and in the store.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from ..client.batches import Batches
from ..content.parts import Limits
from ..content.safely import one_line
from ..content.secrets import Secrets, known_secrets, shown_columns
from ..content.text import plural
from ..conversation.map_run import MAPPED
from ..conversation.turns import Call, Turn
from ..cost.budget import Budget, tighter
from ..errors import ClaudeError, UsageError
from ..notebook import reader
from ..options import MapOptions
from ..tools.structured_output import Shape
from . import batch_pickup, dask, rows, store, table
from .background import Background, Endings, kernel_loop
from .batches import BatchRun
from .job import MAX_KEPT_BYTES, Job, MapContext, check_askable, survey
from .progress import Progress
from .prompts import RowRequests, Template
from .rows import Rows
from .spending import overspent
from .store import Results, Unkept

_IN_BATCH = "in a batch under way: run the cell again to pick it up"


class Maps:
    """The maps of one kernel; keeps those that run in the background, and what the stores did not take, by the path of
    the store."""

    def __init__(self) -> None:
        self.unkept: dict[Path | None, Unkept] = {}
        self._background: dict[str, tuple[Progress, Background]] = {}  # by the name of the result
        self._endings = Endings()

    def begin(self, map_options: MapOptions, body: str, value: Any, shape: Shape | None, context: MapContext) -> None:
        """Map a prompt over the rows of `value`, and bind the result. Raises `UsageError` before anything is sent."""
        if dask.is_partitioned(value):
            dask.bind(map_options, body, value, shape, context)
            return
        data = rows.rows_of(rows.apart(value) if map_options.background else value)
        requests = row_requests(map_options, body, data, context)
        _check(map_options, requests, context)
        if map_options.background:
            self._check_background(map_options, context)
        run = _survey(map_options, data, requests, shape, context)
        try:
            with opened(context) as results:
                if map_options.batch:
                    failure, batches = _run_batches(run, results)
                else:
                    missing, batches = _missing(run, results), []
                    if map_options.background and missing:
                        self._continue_in_background(run, missing)
                        return
                    failure = run.ask(missing, results)
        except BaseException:
            run.break_off()
            raise
        run.conclude(failure, batches)

    def look_after(self, flag: str, context: MapContext) -> None:
        """Carry out `--wait`, `--resume`, `--cancel` or `--status` for this notebook's maps under way."""
        if self._look_after_background(flag, context) or flag == "--wait":
            return
        with opened(context) as results:
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
        """Carry out a flag for maps in the background. Returns whether there were any that it applies to."""
        under_way = list(self._background.items()) if flag != "--resume" else []
        for name, (progress, background) in under_way:
            if flag == "--wait":
                background.wait()
            elif flag == "--cancel":
                progress.stopped.set()
                context.tell(f"{name} is stopping: what is done is bound.")
            else:
                context.tell(f"{name}: {progress.said}")
        ended = self._endings.taken() if flag == "--wait" else []
        for line in ended:
            context.tell(line)
        if flag == "--wait" and not (under_way or ended):
            context.tell("No map goes on in the background.")
        return bool(under_way)

    def _check_background(self, map_options: MapOptions, context: MapContext) -> None:
        """Raise `UsageError` for a map that cannot run in the background."""
        kernel_loop()
        if map_options.batch:
            raise UsageError(
                "--batch and --background do not go together: a batch goes on by itself.",
                advice="Interrupt the waiting; %claude_map --resume picks the batch up.",
            )
        if context.budget is not None:
            raise UsageError(
                "What runs in the background cannot keep the kernel's budget, which other cells spend as well.",
                advice="Give the map its own with --budget, and set %config ClaudeMagic.budget = None.",
            )
        if str(map_options.options.out) in self._background:
            raise UsageError(
                f"A map for {map_options.options.out} is under way in the background.",
                advice="%claude_map --wait waits for it, --cancel stops it.",
            )

    def _continue_in_background(self, run: Run, missing: Sequence[str]) -> None:
        """Send the missing requests in the background, and let the cell end."""

        def ask() -> ClaudeError | None:
            with closing(open_results()) as results:
                return run.ask(missing, results)

        def conclude(failure: ClaudeError | None) -> None:
            del self._background[run.out]
            try:
                line, well = run.conclude(failure, shown=True), failure is None and not run.failed
            except Exception as error:
                line, well = f"{run.out} is not bound: {one_line(error)}. Run its cell again.", False
            self._endings.add(run.out, line, run.context.shell, well=well)

        open_results = results_opener(run.context)
        run.progress.say("begun", 0.0, at_once=True)
        self._background[run.out] = (run.progress, Background(kernel_loop(), ask, conclude))
        run.context.tell(f"{run.out} is bound when all is done; %claude_map --wait waits for that, --cancel stops it.")


@dataclass(frozen=True)
class Run:
    """A map of `data` under way, whose result is bound to the name `out`."""

    job: Job
    data: Rows
    out: str
    model: str
    progress: Progress
    context: MapContext

    def ask(self, missing: Sequence[str], results: Results) -> ClaudeError | None:
        """Send these keys' requests now. Returns the failure that ended it early, if any."""
        return self.job.ask_now(missing, results, self.progress, self.context.note_spent) if missing else None

    def conclude(self, failure: ClaudeError | None, batches: Sequence[str] = (), *, shown: bool = False) -> str:
        """Bind the answers so far, add the cost to the ledger, and show the record in the cell.

        Raises `failure`, unless it is `shown`: then the record shows it, because the cell has ended. Returns how the
        map ended, in a line.
        """
        job, progress = self.job, self.progress
        mapped = job.mapped(self.model, batches)
        self._account()
        if failure is not None and all(each.text is None for each in job.answers.values()):
            there = "stays as it was" if self.out in self.context.namespace else "is not bound"
            failure.advice = " ".join(filter(None, (f"{self.out} {there}.", self._overspent, failure.advice)))
            waiting = {"text/plain": f"batches under way: {', '.join(batches)}"} if batches else None
            progress.rest({"text/plain": str(failure)} if shown else waiting, table.metadata(mapped) if batches else {})
            line = f"{self.out} {there}: {failure.message}"
        else:
            columns = table.columns(job, self.data.taken)
            self.context.namespace[self.out] = self.data.result(columns)
            if failure is not None:
                kept = f"What is done is in {self.out}; run the cell again for the rest."
                failure.advice = f"{kept} {failure.advice}".strip()
            notes = self._notes(columns, failure if shown else None)
            progress.rest(table.bundle(mapped, job, notes), table.metadata(mapped))
            line = f"{self.out} is bound: {table.outcome(mapped)}" + (f" {failure.message}" if failure else "")
        if failure is not None and not shown:
            raise failure
        return line

    @property
    def failed(self) -> bool:
        """Whether rows have no whole answer."""
        return bool(self.job.surveyed.failures) or any(each.error for each in self.job.answers.values())

    def break_off(self) -> None:
        """End without a result, because of an exception: what was paid for is in the ledger all the same."""
        self.progress.rest(None, {})
        self._account()

    def _account(self) -> None:
        """Add the calls to the ledger."""
        self.context.note_spent(self.job.id, None)
        spend(self.context, self.job.tally.calls, self.job.name, self.job.id)

    @property
    def _overspent(self) -> str:
        return overspent(self.job.budget, self.job.tally.cost)

    def _notes(self, columns: Iterable[str], failure: ClaudeError | None) -> list[str]:
        """The remarks below the record's tables."""
        notes = [f"{self.out} is a {self.data.kind}, with {', '.join(columns)}.", *_remarks(self.job)]
        unkept = _unkept_of(self.context).line()
        return [each for each in (*notes, *self.job.remarks, self._overspent, unkept, str(failure or "")) if each]


def row_requests(map_options: MapOptions, body: str, data: Rows, context: MapContext) -> RowRequests:
    """The requests of all rows, built when they are iterated. Raises `PromptError`."""
    options, namespace = map_options.options, context.scope
    shown = shown_columns(options.allow_columns)
    secrets = Secrets(known_secrets(namespace, context.client.secrets(), shown), options.allow_secrets, shown)
    limits = Limits(options.value_tokens, options.cell_tokens)
    template = Template(
        body,
        namespace,
        secrets,
        limits,
        system=map_options.row_system,
        attached=options,
        asks_nulls=map_options.asks_nulls,
    )
    return RowRequests(template, data, context.base(options), options, context.settings.provider)


def results_opener(context: MapContext) -> Callable[[], Results]:
    """A function that opens this notebook's store of answers: each thread needs a connection of its own."""
    return partial(store.Results, _store_of(context), context.path, _unkept_of(context))


@contextmanager
def opened(context: MapContext) -> Iterator[Results]:
    """This notebook's store of answers, opened and closed; says what the reader should know of it."""
    with closing(results_opener(context)()) as results:
        if results.remark:
            context.tell(results.remark)
        yield results


def _store_of(context: MapContext) -> Path | None:
    return store.file() if context.keeps else None


def _unkept_of(context: MapContext) -> Unkept:
    """What this notebook's store did not take."""
    return context.unkept.setdefault(_store_of(context), Unkept())


def adopt(results: Results, context: MapContext) -> None:
    """Add the batches in the saved notebook's records to this machine's store, if it lacks them."""
    if context.path is not None and context.path.exists():
        for _, run in reader.read(context.path).mapped:
            results.adopt(run)


def adopt_early(context: MapContext) -> None:
    """`adopt` before anything else: once this cell has another output, the notebook no longer names its batches."""
    if context.keeps and context.path is not None and context.path.exists():
        with opened(context) as results:
            adopt(results, context)


def spend(context: MapContext, calls: Sequence[Call], name: str, run: str = "") -> None:
    """Add calls to the ledger, as one turn that is in no conversation; `run` is the id of their map's record."""
    if calls:
        prompt = {"role": "user", "content": [{"type": "text", "text": f"({MAPPED}: {name})"}]}
        turn = Turn(
            id=run or uuid.uuid4().hex,
            messages=(prompt, {"role": "assistant", "content": []}),
            calls=tuple(calls),
            created=calls[0].started,
            execution_count=context.cell,
            once=True,
            notes=(MAPPED,),
        )
        context.spend(turn)


def _check(map_options: MapOptions, requests: RowRequests, context: MapContext) -> None:
    """Say which options a map ignores. Raises `UsageError` for a batch that would need a token of an MCP server."""
    if map_options.options.tools:
        context.tell(f"A map runs no functions of yours: tools = {map_options.options.tools} is left out.")
    if map_options.batch and context.client.with_tokens(requests.base, context.settings) != requests.base:
        raise UsageError(
            "--mcp does not go together with --batch where the server wants a token: a batch carries none.",
            advice="Leave out --batch, which asks the rows one by one.",
        )


def _survey(
    map_options: MapOptions, data: Rows, requests: RowRequests, shape: Shape | None, context: MapContext
) -> Run:
    """Survey the rows, and put together a run."""
    progress = Progress(context.shell, panel=context.panel, background=map_options.background)
    # The requests of a background map are all built now: none of the notebook's expressions runs behind other cells.
    kept = math.inf if map_options.background else MAX_KEPT_BYTES
    try:
        surveyed = survey(requests, lambda count: progress.say(f"reading rows: {count:,} of {data.count:,}"), kept)
        check_askable(surveyed)
    except BaseException:
        progress.rest(None, {})
        raise
    job = Job(
        name=map_options.over,
        count=data.count,
        requests=requests,
        surveyed=surveyed,
        client=context.client,
        settings=context.settings,
        provider=context.provider,
        concurrency=map_options.concurrency,
        budget=_budget(map_options, context),
        fresh=map_options.fresh,
        shape=shape,
    )
    return Run(job, data, str(map_options.options.out), map_options.options.model, progress, context)


def _budget(map_options: MapOptions, context: MapContext) -> Budget | None:
    """This map's budget: the kernel's or its own, whichever has less left."""
    given = map_options.options.budget
    return tighter(context.budget, None if given is None else Budget(Decimal(given), Decimal(given)))


def _missing(run: Run, results: Results) -> list[str]:
    """The keys to send now; prints the estimate. Raises `UsageError` if a batch under way may hold some of them, which
    would then be paid for twice."""
    job = run.job
    missing = job.missing(results)
    if missing and not job.fresh and results.adopted(job.requests.about):
        raise UsageError(
            "A batch that this notebook submitted may hold these rows, which would be paid for twice.",
            advice="--batch picks it up, and asks what is not in it; --fresh asks all the same.",
        )
    if asked_already := len(results.under_way(missing)):
        raise UsageError(
            f"{asked_already:,} of these requests are in a batch under way, and would be paid for twice.",
            advice="--batch picks it up; %claude_map --cancel ends it.",
        )
    others = set() if job.fresh else results.asked_by_others(missing)
    waited = f" {len(others):,} more are asked by another map, which is waited for." if others else ""
    line = job.expected([key for key in missing if key not in others]).line()
    run.context.tell(f"{line}{waited}{_left_out(job)}")
    return missing


def _run_batches(run: Run, results: Results) -> tuple[ClaudeError | None, list[str]]:
    """Get the missing answers by batches. Returns the failure that ended it early, if any, and the batches' ids."""
    job = run.job
    missing = job.missing(results)
    batches = _batches(run.context, results)

    def tell(ids: list[str]) -> None:
        so_far = job.mapped(str(job.requests.base["model"]), ids)
        run.progress.note(table.metadata(so_far), f"batches under way: {', '.join(ids)}")

    if not job.fresh and (others := len(results.asked_by_others(missing))):
        raise UsageError(
            f"Another map asks {others:,} of these rows at this moment, and they would be paid for twice.",
            advice="%claude_map --wait waits for one in the background.",
        )
    batch_run = BatchRun(job, results, batches, run.progress, tell)
    if missing and (failure := batch_run.pick_up_adopted()):
        return failure, batch_run.ids
    missing = [key for key in missing if key not in job.answers]
    under_way = {} if job.fresh else results.under_way(missing)
    new = [key for key in missing if key not in under_way]
    all_sent = "All rows are in batches under way."
    run.context.tell((job.expected(new, batch=True).line() if new or not missing else all_sent) + _left_out(job))
    failure = batch_run.run(missing) if missing else None
    job.pending = {**dict.fromkeys(results.under_way(missing), _IN_BATCH), **job.pending}
    return failure, batch_run.ids


def _left_out(job: Job) -> str:
    """A sentence on the rows that are not asked, since a value is missing; empty if there is none."""
    count = job.surveyed.missing
    verb = "is" if count == 1 else "are"
    return f" {plural(count, 'row')} {verb} not asked: a value in the prompt is missing." if count else ""


def _batches(context: MapContext, results: Results) -> Batches:
    """The client for the provider's batches. Raises `UsageError` if it has none, or if the store is not on disk."""
    if not results.kept:
        raise UsageError(
            "--batch keeps the ids of its batches in Jupyter's data folder, and the journal is off.",
            advice="%config ClaudeMagic.journal = True turns it on.",
        )
    if results.fault:
        raise store.no_batches(results.fault)
    return Batches(context.client, context.settings)


def _resume(batches: Batches, results: Results, context: MapContext) -> None:
    """Pick up this notebook's batches, and print a line for each."""
    progress = Progress(context.shell, panel=context.panel)
    lines: list[str] = []
    try:
        for collected in batch_pickup.resume(batches, results, context.settings, progress, context.provider):
            calls = [call for answer in collected.answers if answer.key in collected.new for call in answer.calls]
            spend(context, calls, collected.part.batch or "")
            whole = sum(not answer.error for answer in collected.answers)
            count = len(collected.answers) + collected.waited
            missing = f"; {plural(collected.waited, 'result')} not come yet" if collected.waited else ""
            lines.append(f"{collected.part.batch}: {whole:,} of {count:,} rows answered{missing}")
    finally:
        progress.rest(None, {})
        for line in lines:
            context.tell(line)
    context.tell("Run the cells again to see them: what is answered is not asked again.")


def _remarks(job: Job) -> list[str]:
    """Remarks on rows that were not sent, for a map's record."""
    remarks = [
        (job.earlier, "was", "answered in an earlier run, which cost nothing now"),
        (job.surveyed.shared, "is", "the same as one above, and was not asked again"),
    ]
    many = {"was": "were", "is": "are"}
    return [
        f"{plural(count, 'row')} {verb if count == 1 else many[verb]} {what}." for count, verb, what in remarks if count
    ]
