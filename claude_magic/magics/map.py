"""`%%claude_map`: a prompt over data, asked row by row, now or as batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_cell_magic, magics_class, no_var_expand

from .. import options
from ..errors import ClaudeError, ReplyInterrupted, UsageError
from .base import BesideMagics

if TYPE_CHECKING:
    from ..client.batches import Batches
    from ..cost.budget import Budget
    from ..mapping.job import Job
    from ..mapping.line import Line
    from ..mapping.progress import Progress
    from ..mapping.prompts import RowRequests
    from ..mapping.rows import Rows
    from ..mapping.store import Results
    from ..options import Options
    from ..request.build import Request
    from ..tools.structured_output import Shape
    from .claude import ClaudeMagic
    from .map_run import Background, Run


@magics_class
class MapMagics(BesideMagics):
    """`%%claude_map`."""

    def __init__(self, asking: ClaudeMagic) -> None:
        super().__init__(asking)
        self._background: dict[str, tuple[Progress, Background]] = {}  # by the name that each will bind

    @no_var_expand
    @line_cell_magic
    def claude_map(self, line: str, cell: str | None = None) -> None:
        """Ask the same of each row of a frame, a column, a list, or anything that can be gone through.

            %%claude_map FRAME --out NAME [options]

            Which language is this? {{row.text}}

        FRAME is an expression. In the prompt, {{row.column}} or {{row["a column"]}} is a value of the row, {{item}} an
        item of a list or a column; any other {{expression}} is evaluated once. NAME becomes a frame of the same kind
        with reply, input_tokens, output_tokens, cost (dollars) and error: one bad row costs no other. Run again, only
        rows without an answer are asked; rows that are the same are asked once.

          --concurrency N   rows asked at the same time, at most (default 8)
          --budget DOLLARS  stop when this is spent; what is done is kept
          --fresh           ask every row, those too that were answered before
          --batch           by Message Batches: half the price, within 24 hours; the kernel may die meanwhile

          --background      let other cells run meanwhile; NAME is bound when all is done

        %claude_map --resume    pick up the batches of this notebook; the cell, run again, does the same
        %claude_map --status    say how they stand, or the maps in the background
        %claude_map --cancel    end them; what was done can be picked up, or is bound
        %claude_map --wait      wait for the maps in the background

        --schema S makes a column of each field of S. --model, --system, --max-tokens, --effort, --thinking, --stop and
        --cache are those of %%claude. A Dask frame stays lazy: its partitions are asked where Dask computes them.
        --show-request prints the first row's request and sends nothing.
        """
        if cell is None:
            self._look_after(options.words(line))
            return
        try:
            self._map(line, cell.removesuffix("\n"))
            return
        except KeyboardInterrupt:
            failure = ReplyInterrupted("Interrupted before the first row was asked.")
        raise failure

    def _map(self, line: str, body: str) -> None:
        import json

        from ..mapping import dask, rows
        from ..mapping.line import read
        from ..tools import structured_output

        self._adopt_early()
        asked = read(line, self._asking.defaults())
        value = _value_of(asked.over, self.shell.user_ns)
        if asked.options.out is None and not asked.options.show_request:
            raise UsageError("The result needs a name.", advice=f"Write %%claude_map {asked.over} --out NAME.")
        shape = structured_output.shape_of(asked.options.schema, self.shell.user_ns) if asked.options.schema else None
        schema = None if shape is None else json.dumps(shape.schema)
        options = self._asking.resolved(dataclasses.replace(asked.options, schema=schema))
        if dask.is_partitioned(value) and not options.show_request:
            self._map_partitions(asked, options, body, value, shape)
            return
        data = rows.rows_of(value)
        requests = self._requests(body, data, options)
        if options.show_request:
            print(_first_request(requests))
            return
        self._check(asked, options, requests)
        if asked.background:
            self._check_background(asked)
        self._ask(asked, options, data, requests, shape)

    def _check(self, asked: Line, options: Options, requests: RowRequests) -> None:
        """Say what a map leaves out, and refuse what a batch cannot carry. Raises `UsageError`."""
        if options.tools:
            print(f"A map runs no functions of yours: tools = {options.tools} is left out.")
        client, settings = self._asking.session.client, self._asking.settings()
        if asked.batch and client.with_tokens(requests.base, settings) != requests.base:
            raise UsageError(
                "--mcp does not go together with --batch where the server wants a token: a batch carries none.",
                advice="Leave out --batch, which asks the rows one by one.",
            )

    def _map_partitions(self, asked: Line, options: Options, body: str, value: Any, shape: Shape | None) -> None:
        """Bind a lazy frame: its partitions are asked where and when Dask computes them."""
        from ..mapping import dask

        session = self._asking.session
        if asked.batch or asked.background or options.budget is not None or session.budget is not None:
            what = "--batch" if asked.batch else "--background" if asked.background else "A budget"
            raise UsageError(
                f"{what} does not go together with a Dask frame, which is mapped when it is computed.",
                advice=f"{asked.over}.compute() makes a pandas DataFrame of it.",
            )
        if session.client.keeps_key:
            raise UsageError(
                "Dask's workers take their key from their own environment, not from this kernel.",
                advice="Set ANTHROPIC_API_KEY before Dask starts, and leave out ClaudeMagic.client and %claude_key.",
            )
        spec = dask.Spec(
            name=asked.over,
            body=body,
            values=dask.values_of(body, self.shell.user_ns),
            built=self._built(options),
            options=options,
            settings=self._asking.settings(),
            concurrency=asked.concurrency,
            kept=self._asking.journal,
            shape=shape,
        )
        self.shell.user_ns[str(options.out)] = dask.mapped(value, spec)
        again = "; computed again, it asks only what is missing" if spec.kept else ""
        print(
            f"{options.out} is lazy: its {value.npartitions:,} partitions are asked when Dask computes them{again}. "
            "What that costs is in its cost column, and not in %claude_cost."
        )

    def _built(self, options: Options) -> Request:
        """A request with no prompt in it, as it is sent."""
        from ..conversation.turns import Conversation

        plain = dataclasses.replace(options, once=True, compact=None)
        return self._asking.session.build(Conversation(), [], plain, self._asking.provider)

    def _requests(self, body: str, data: Rows, options: Options) -> RowRequests:
        from ..content.parts import Limits
        from ..content.secrets import Secrets, known_secrets
        from ..mapping.prompts import RowRequests, Template

        namespace, client = self.shell.user_ns, self._asking.session.client
        secrets = Secrets(known_secrets(namespace, client.secrets()), options.allow_secrets)
        template = Template(body, namespace, secrets, Limits(options.value_tokens, options.cell_tokens))
        return RowRequests(template, data, self._built(options), options, self._asking.provider)

    def _ask(self, asked: Line, options: Options, data: Rows, requests: RowRequests, shape: Shape | None) -> None:
        """Ask what is missing, show how it goes, bind the result, and leave the record."""
        run = self._run(asked, options, data, requests, shape)
        with closing(self._results()) as results:
            try:
                if asked.batch:
                    failure, batches = self._by_batch(run, results)
                else:
                    missing, batches = self._missing(run.job, results), []
                    if asked.background and missing:
                        self._go_on(run, missing)
                        return
                    failure = run.ask(missing, results)
            except ClaudeError:
                run.progress.rest(None, {})
                raise
        run.conclude(failure, batches)

    def _run(self, asked: Line, options: Options, data: Rows, requests: RowRequests, shape: Shape | None) -> Run:
        """Go through the rows, and put together what they ask, of whom, and where the result goes."""
        from ..mapping.job import MAX_KEPT_BYTES, Job, survey
        from ..mapping.progress import Progress
        from .map_run import Run

        session, settings = self._asking.session, self._asking.settings()
        progress = Progress(self.shell, panel=self._has_panel, background=asked.background)
        # In the background none of the reader's expressions runs: each request is built before.
        kept = math.inf if asked.background else MAX_KEPT_BYTES
        surveyed = survey(requests, lambda count: progress.say(f"reading rows: {count:,} of {data.count:,}"), kept)
        job = Job(
            name=asked.over,
            count=data.count,
            asking=requests,
            surveyed=surveyed,
            client=session.client,
            settings=settings,
            provider=session.client.provider(settings),
            concurrency=asked.concurrency,
            budget=_budget(session.budget, options),
            fresh=asked.fresh,
            shape=shape,
        )
        cell = self._asking.cell.execution_count
        return Run(job, data, str(options.out), options.model, progress, session, cell, self.shell.user_ns)

    def _missing(self, job: Job, results: Results) -> list[str]:
        """What is still to be asked now, with an estimate. Raises `UsageError` where it would be paid for twice."""
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
        print(job.expected(missing).line())
        return missing

    def _by_batch(self, run: Run, results: Results) -> tuple[ClaudeError | None, list[str]]:
        """Get the missing answers by batches. Returns why that ended early, and the ids of the batches."""
        from ..mapping import table
        from ..mapping.batches import Batching

        job = run.job
        missing = job.missing(results)
        batches = self._batches(results)

        def tell(ids: list[str]) -> None:
            so_far = job.mapped(str(job.asking.base["model"]), ids)
            run.progress.note(table.metadata(so_far), f"batches under way: {', '.join(ids)}")

        by_batch = Batching(job, results, batches, run.progress, tell)
        if missing and (failure := by_batch.pick_up_adopted()):
            return failure, by_batch.ids
        missing = [key for key in missing if key not in job.answers]
        under_way = {} if job.fresh else results.under_way(missing)
        new = [key for key in missing if key not in under_way]
        print(job.expected(new, batch=True).line() if new or not missing else "All is in batches under way.")
        return (by_batch.run(missing) if missing else None), by_batch.ids

    def _check_background(self, asked: Line) -> None:
        """Refuse what does not go on behind other cells. Raises `UsageError`."""
        from .map_run import kernel_loop

        kernel_loop()
        if asked.batch:
            raise UsageError(
                "--batch and --background do not go together: a batch goes on by itself.",
                advice="Interrupt the waiting; %claude_map --resume picks the batch up.",
            )
        if self._asking.session.budget is not None:
            raise UsageError(
                "What runs in the background cannot keep the kernel's budget, which other cells spend as well.",
                advice="Give the map its own with --budget, and set %config ClaudeMagic.budget = None.",
            )
        if str(asked.options.out) in self._background:
            raise UsageError(
                f"A map for {asked.options.out} is under way in the background.",
                advice="%claude_map --wait waits for it, --cancel stops it.",
            )

    def _go_on(self, run: Run, missing: Sequence[str]) -> None:
        """Ask in the background, and let the cell end."""
        from .map_run import Background, kernel_loop

        def ask() -> ClaudeError | None:
            with closing(opened()) as results:
                return run.ask(missing, results)

        def conclude(failure: ClaudeError | None) -> None:
            del self._background[run.out]
            run.conclude(failure, told=True)

        opened = self._opening()
        run.progress.say("begun", 0.0, at_once=True)
        self._background[run.out] = (run.progress, Background(kernel_loop(), ask, conclude))
        print(f"{run.out} is bound when all is done; %claude_map --wait waits for that, --cancel stops it.")

    def _batches(self, results: Results) -> Batches:
        """The provider's batches. Raises `UsageError` where there are none, or nothing is kept that is needed later."""
        from ..client.batches import Batches

        if not results.kept:
            raise UsageError(
                "--batch keeps the ids of its batches in Jupyter's data folder, and the journal is off.",
                advice="%config ClaudeMagic.journal = True turns it on.",
            )
        return Batches(self._asking.session.client, self._asking.settings())

    def _look_after(self, words: list[str]) -> None:
        """`%claude_map --wait`, `--resume`, `--cancel`, `--status`: what of this notebook is under way."""
        from ..mapping import line
        from ..mapping.progress import Progress

        if len(words) != 1 or words[0] not in line.LOOKING:
            raise UsageError(
                "%claude_map takes --wait, --resume, --cancel or --status, for what is under way.",
                advice="To map: %%claude_map FRAME --out NAME, and the prompt below it.",
            )
        (word,) = words
        if self._look_behind(word) or word == "--wait":
            return
        provider = self._asking.session.client.provider(self._asking.settings())
        with closing(self._results()) as results:
            batches = self._batches(results)
            self._adopt(results)
            parts = results.own_parts(provider)
            if not parts:
                print("No batch of this notebook is under way.")
            elif word == "--status":
                for part in parts:
                    print(_stands(batches, part.batch))
            elif word == "--cancel":
                _cancel(batches, results, provider)
            else:
                self._resume(batches, results, Progress(self.shell, panel=self._has_panel))

    def _look_behind(self, word: str) -> bool:
        """The same for maps in the background. Returns whether there were any that the word is for."""
        under_way = list(self._background.items()) if word != "--resume" else []
        for name, (progress, background) in under_way:
            if word == "--wait":
                background.wait()
            elif word == "--cancel":
                progress.stopped.set()
                print(f"{name} is stopping: what is done is bound.")
            else:
                print(f"{name}: {progress.said}")
        if word == "--wait" and not under_way:
            print("No map goes on in the background.")
        return bool(under_way)

    def _resume(self, batches: Batches, results: Results, progress: Progress) -> None:
        """Pick up what has been asked, and say what came."""
        from ..mapping import batch_pickup
        from .map_run import spend

        session, settings = self._asking.session, self._asking.settings()
        told: list[str] = []
        try:
            for collected in batch_pickup.resume(
                batches, results, settings, progress, session.client.provider(settings)
            ):
                calls = [call for answer in collected.answers for call in answer.calls]
                if collected.first:
                    spend(session, self._asking.cell.execution_count, calls, collected.part.batch or "")
                whole = sum(not answer.error for answer in collected.answers)
                told.append(f"{collected.part.batch}: {whole:,} of {len(collected.answers):,} rows answered")
        finally:
            progress.rest(None, {})
            for line in told:
                print(line)
        print("Run the cells again to see them: what is answered is not asked again.")

    def _adopt_early(self) -> None:
        """Before anything can fail: when this cell shows something else, the notebook may not know its batches."""
        path = self._asking.session.path
        if self._asking.journal and path is not None and path.exists():
            with closing(self._results()) as results:
                self._adopt(results)

    def _adopt(self, results: Results) -> None:
        """Take over the batches that the saved notebook knows, and this machine does not."""
        from ..notebook import reader

        path = self._asking.session.path
        if path is not None and path.exists():
            for _, run in reader.read(path).mapped:
                results.adopt(run)

    @property
    def _has_panel(self) -> bool:
        return bool(self._asking.panel and self._asking.cell.id is not None)

    def _results(self) -> Results:
        return self._opening()()

    def _opening(self) -> Callable[[], Results]:
        """How this notebook's answers are opened: by each thread for itself."""
        from ..mapping import store

        return partial(store.Results, store.file() if self._asking.journal else None, self._asking.session.path)


def _value_of(source: str, namespace: dict[str, Any]) -> Any:
    """The data that the line names. Raises `UsageError`."""
    from ..content.safely import one_line

    if not source:
        raise UsageError("What is to be mapped over?", advice="Write %%claude_map FRAME --out NAME.")
    try:
        return eval(compile(source, "<%%claude_map>", "eval"), namespace)
    except (Exception, SystemExit) as error:
        why = f"there is no name {error.name!r}" if type(error) is NameError else one_line(error)
    raise UsageError(f"{source} cannot be mapped over: {why}.", advice="Nothing was sent.")


def _told(batch: Mapping[str, Any]) -> str:
    """A batch in a line."""
    counts = batch.get("request_counts") or {}
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{batch['id']}: {str(batch['processing_status']).replace('_', ' ')}, {said}"


def _stands(batches: Batches, batch: str | None) -> str:
    """How a batch stands, in a line."""
    from ..errors import NotFoundError

    if batch is None:
        return "a batch that may have been submitted"
    try:
        return _told(batches.again(lambda: batches.retrieve(batch)))
    except NotFoundError:
        return f"{batch}: there is no such batch for this key; %claude_map --cancel forgets it"


def _cancel(batches: Batches, results: Results, provider: str) -> None:
    """End the batches of a notebook, and say so of each."""
    from ..mapping import batch_pickup

    for name, batch in batch_pickup.cancel(batches, results, provider):
        if batch is None:
            print(f"{name}: there is no such batch for this key; it is forgotten")
        else:
            print(f"{_told(batch)}; %claude_map --resume picks up what was done")


def _first_request(requests: RowRequests) -> str:
    import json

    for ask in requests:
        if ask.failure:
            raise UsageError(f"The first row cannot be asked: {ask.failure}")
        return json.dumps(ask.params, indent=2, ensure_ascii=False)
    raise UsageError("There are no rows.")


def _budget(left: Budget | None, options: Options) -> Budget | None:
    """What this map may cost: the tighter of the kernel's budget and its own."""
    from decimal import Decimal

    from ..cost import budget

    own = None if options.budget is None else budget.Budget(Decimal(options.budget), Decimal(options.budget))
    return budget.tighter(left, own)
