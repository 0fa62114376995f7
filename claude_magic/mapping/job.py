"""One map: survey the rows, estimate the cost, send the missing requests, store the answers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from ..client import Client, Settings
from ..conversation.map_run import Mapped
from ..conversation.turns import Turn
from ..cost.budget import Budget
from ..cost.pricing import Cost
from ..errors import ClaudeError
from ..interrupts import Noticed
from ..options import Options
from ..request.build import Request
from ..tools.structured_output import Shape
from .answers import RowAnswer, Tally, checked_answer
from .concurrent import TICK_SECONDS, ConcurrentRun, Watch
from .progress import Progress, line
from .prompts import MISSING, RowRequest, RowRequests
from .spending import Estimate, SpendLimit, check_budget, estimate
from .store import Results, Unkept

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Requests of up to so many bytes in total stay in memory after the survey; more are built again when they are sent.
MAX_KEPT_BYTES = 64_000_000


@dataclass(frozen=True)
class MapContext:
    """The notebook that runs a map.

    `base` builds a request without a prompt, as it is sent; `spend` adds a turn to the ledger; `note_spent` is told
    what a map has spent so far, by its id, and `None` before its turn is added; `path` is the notebook's file, `cell`
    the number in `In [ ]`. `keeps` says whether answers are stored on disk, `panel` whether the page shows widgets.
    `names` are what the prompt's expressions see, if not only the notebook's variables. `unkept` is what the stores did
    not take, by their paths.
    """

    shell: InteractiveShell
    client: Client
    settings: Settings
    base: Callable[[Options], Request]
    spend: Callable[[Turn], None]
    budget: Budget | None = None
    path: Path | None = None
    cell: int | None = None
    keeps: bool = True
    panel: bool = False
    tell: Callable[[str], None] = print
    names: Mapping[str, Any] | None = None
    note_spent: Callable[[str, Cost | None], None] = lambda name, cost: None
    unkept: dict[Path | None, Unkept] = field(default_factory=dict)

    @property
    def scope(self) -> Mapping[str, Any]:
        """The names that the prompt's expressions see."""
        return self.namespace if self.names is None else self.names

    @property
    def namespace(self) -> dict[str, Any]:
        """The notebook's variables."""
        variables: dict[str, Any] = self.shell.user_ns
        return variables

    @property
    def provider(self) -> str:
        """The provider whose prices apply."""
        return self.client.provider(self.settings)


@dataclass(frozen=True)
class Survey:
    """The requests of all rows, before any is sent: each row's key, and the first row, tokens and bytes of each key.

    `failures` are error texts, by key, of rows whose request cannot be built. `kept` are the requests, if they are
    few enough to stay in memory.
    """

    keys: Sequence[str]
    first: Mapping[str, int]
    tokens: Mapping[str, int]
    sizes: Mapping[str, int]
    failures: Mapping[str, str]
    kept: Sequence[RowRequest] | None

    @property
    def shared(self) -> int:
        """The number of rows whose request is the same as that of a row above."""
        return len(self.keys) - len(self.first) - len(self.failures)

    @property
    def missing(self) -> int:
        """The number of rows that are not asked, since a value is missing."""
        return sum(key.startswith(MISSING) for key in self.failures)


def survey(requests: RowRequests, tell: Callable[[int], None], most_kept: float = MAX_KEPT_BYTES) -> Survey:
    """Build all requests once. `tell` is called with the number of rows so far; `most_kept` is in bytes."""
    keys: list[str] = []
    first: dict[str, int] = {}
    tokens: dict[str, int] = {}
    failures: dict[str, str] = {}
    kept: list[RowRequest] | None = []
    sizes: dict[str, int] = {}
    size = 0
    for request in requests:
        keys.append(request.key)
        if request.failure:
            failures[request.key] = request.failure
        elif request.key not in first:
            first[request.key], tokens[request.key], sizes[request.key] = request.position, request.tokens, request.size
            size += request.size
            if size > most_kept:
                kept = None
            if kept is not None:
                kept.append(request)
        tell(len(keys))
    return Survey(keys, first, tokens, sizes, failures, kept)


def check_askable(surveyed: Survey) -> None:
    """Raise `PromptError` if the prompt fails for every row: there is nothing to be bound then."""
    if not surveyed.first and surveyed.missing < len(surveyed.failures):
        why = next(why for key, why in surveyed.failures.items() if not key.startswith(MISSING))
        raise errors.PromptError(f"No row can be asked. {why}", advice="Nothing was sent.")


class SilentProgress:
    """A progress that shows nothing, for maps in Dask's workers."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def say(self, text: str, share: float | None = None, *, at_once: bool = False) -> None:
        """Show nothing."""


@dataclass
class Job:
    """One map: its requests, the client that sends them, limits, and the answers so far.

    `name` is the data's expression in the cell's line; `count` is the number of rows; `earlier` is the number of rows
    that an earlier run has answered; `pending` says of keys without an answer what they wait for; `remarks` are for the
    reader; `began` is a time of `time.monotonic`.
    """

    name: str
    count: int
    requests: RowRequests
    surveyed: Survey
    client: Client
    settings: Settings
    provider: str
    concurrency: int
    budget: Budget | None
    fresh: bool = False
    shape: Shape | None = None
    tally: Tally = field(default_factory=Tally)
    answers: dict[str, RowAnswer] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    earlier: int = 0
    began: float = field(default_factory=time.monotonic)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def missing(self, results: Results) -> list[str]:
        """The keys without a stored answer, which have to be sent; takes the stored answers of the others."""
        known = {} if self.fresh else results.found(self.surveyed.first)
        self.answers.update({key: self._checked(answer) for key, answer in known.items()})
        self.earlier = sum(key in known for key in self.surveyed.keys)
        return [key for key in self.surveyed.first if key not in known]

    def expected(self, missing: Sequence[str], *, batch: bool = False) -> Estimate:
        """The estimated cost of these keys' requests. Raises `UsageError` if it exceeds the budget."""
        tokens = sum(self.surveyed.tokens[key] for key in missing)
        shared = self.requests.shared_tokens
        found = estimate(self.requests.base, tokens, len(missing), shared, provider=self.provider, batch=batch)
        check_budget(found, self.budget)
        return found

    def requests_of(self, missing: Sequence[str]) -> Iterator[RowRequest]:
        """The requests of these keys, in row order, each under its key of the survey.

        Of one that cannot be built a second time, `pending` says why.
        """
        wanted = {self.surveyed.first[key]: key for key in missing}
        for request in self.requests.at(wanted) if self.surveyed.kept is None else self.surveyed.kept:
            if request.position not in wanted:
                continue
            if request.failure:  # a file that was there for the survey, say
                self.pending[wanted[request.position]] = request.failure
            else:
                yield replace(request, key=wanted[request.position])

    def ask_now(
        self,
        missing: Sequence[str],
        results: Results,
        progress: Progress | SilentProgress,
        note_spent: Callable[[str, Cost | None], None] = lambda name, cost: None,
    ) -> ClaudeError | None:
        """Send these keys' requests now. Returns the failure that ended it early, if any; answers so far are stored.

        Requests that another map is sending are waited for. `note_spent` is told this map's id and what it has spent
        so far.
        """
        watch = self._watch(len(missing), results, progress, note_spent)
        left = list(missing)
        while left:
            if self.fresh:
                return self._send(left, watch, progress)
            with results.asking(left) as own:
                if failure := self._send(self._unanswered(own, results), watch, progress):
                    return failure
            left = [key for key in left if key not in set(own)]
            if left and (failure := self._wait_for_others(left, results, progress)):
                return failure
            left = self._unanswered(left, results)
        return None

    def _watch(
        self,
        count: int,
        results: Results,
        progress: Progress | SilentProgress,
        note_spent: Callable[[str, Cost | None], None],
    ) -> Watch:
        """What is done with each answer: it is taken and stored, and shown."""
        began = time.monotonic()

        def watch(received: list[RowAnswer]) -> bool:
            self.take(received)
            results.keep(received)
            note_spent(self.id, self.tally.cost)
            text = line(self.tally, count, str(self.tally.cost), time.monotonic() - began)
            progress.say(text, self.tally.done / count)
            return not progress.stopped.is_set()

        return watch

    def _send(self, keys: Sequence[str], watch: Watch, progress: Progress | SilentProgress) -> ClaudeError | None:
        if not keys:
            return None
        before, spent = self.tally.done, self.tally.cost.dollars or Decimal(0)
        spend_limit = SpendLimit(None if self.budget is None else self.budget.left - spent)
        settings = replace(self.settings, betas=(*self.settings.betas, *self.requests.betas))
        run = ConcurrentRun(self.client, settings, self.concurrency, spend_limit, self.requests.shares_prefix)
        failure = run.run(self.requests_of(keys), watch)
        gone = sum(key in self.pending for key in keys)
        if failure is None and self.tally.done - before + gone < len(keys):
            why = spend_limit.why if spend_limit.closed else "Stop was pressed"
            failure = errors.ReplyInterrupted(f"The map was stopped: {why}.")
        return failure

    def _unanswered(self, keys: Sequence[str], results: Results) -> list[str]:
        """The keys that no other map has answered meanwhile; takes the answers of the others."""
        known = results.found(keys)
        self.take(list(known.values()), paid=False)
        return [key for key in keys if key not in known]

    def _wait_for_others(
        self, keys: Sequence[str], results: Results, progress: Progress | SilentProgress
    ) -> ClaudeError | None:
        """Wait until another map has ended that asks some of these keys. Returns an Interrupt or Stop."""
        with Noticed() as interrupts:
            while len(results.asked_by_others(keys)) == len(keys):
                progress.say(f"another map asks {len(keys):,} of these rows: its answers are waited for")
                time.sleep(TICK_SECONDS)
                if interrupts.pressed or progress.stopped.is_set():
                    return errors.ReplyInterrupted("Waiting for another map's answers was interrupted.")
        return None

    def take(self, received: Sequence[RowAnswer], *, paid: bool = True) -> None:
        """Add answers. With `paid=False`, for answers that another run paid for, they do not count as spending."""
        checked = [self._checked(each) for each in received]
        self.answers.update({each.key: each for each in checked})
        if paid:
            self.tally.add(checked)
            return
        keys = {each.key for each in received}
        self.earlier += sum(key in keys for key in self.surveyed.keys)

    def _checked(self, answer: RowAnswer) -> RowAnswer:
        return answer if self.shape is None else checked_answer(self.shape, answer)

    def mapped(self, model: str, batches: Sequence[str] = ()) -> Mapped:
        """The record of the run so far."""
        tally, cost = self.tally, self.tally.cost
        found = [self.answers.get(key) for key in self.surveyed.keys]
        bad = sum(each is not None and bool(each.error) for each in found) + len(self.surveyed.failures)
        return Mapped(
            id=self.id,
            model=model,
            provider=self.provider,
            created=time.time(),
            rows=self.count,
            answered=sum(each is not None and not each.error for each in found),
            failed=bad,
            earlier=self.earlier,
            shared=self.surveyed.shared,
            calls=len(tally.calls),
            input_tokens=tally.tokens.input,
            cached_tokens=tally.tokens.cached,
            written_tokens=tally.tokens.written,
            output_tokens=tally.tokens.output,
            thinking_tokens=tally.tokens.thinking,
            dollars=None if cost.dollars is None else format(cost.dollars, "f"),
            at_least=cost.at_least,
            seconds=round(time.monotonic() - self.began, 3),
            batches=tuple(batches),
            about=self.requests.about,
        )
