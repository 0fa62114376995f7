"""One map from its rows to their answers: survey the rows, estimate, ask what is missing, keep what arrives."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import errors
from ..client import Client, Settings
from ..conversation.map_run import Mapped
from ..conversation.turns import Turn
from ..cost.budget import Budget
from ..errors import ClaudeError
from ..options import Options
from ..request.build import Request
from ..tools.structured_output import Shape
from .answers import RowAnswer, Tally, checked_answer
from .concurrent import ConcurrentRun
from .progress import Progress, line
from .prompts import Ask, RowRequests
from .spending import Estimate, SpendLimit, check_budget, estimate
from .store import Results

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# Requests of so many bytes in all are built once and kept; more are built again when they are asked.
MAX_KEPT_BYTES = 64_000_000


@dataclass(frozen=True)
class MapContext:
    """What a map needs of the notebook that runs it.

    `base` makes the request with no prompt in it, as it is sent; `spend` takes a turn of what was paid for; `path` is
    the notebook's file, `cell` the `In [ ]` that runs. `keeps` says whether answers are kept on the disk, `panel`
    whether the page shows widgets.
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

    @property
    def namespace(self) -> dict[str, Any]:
        """The reader's variables."""
        variables: dict[str, Any] = self.shell.user_ns
        return variables

    @property
    def provider(self) -> str:
        """Who is asked, as prices know it."""
        return self.client.provider(self.settings)


@dataclass(frozen=True)
class Survey:
    """What the rows ask, before any is asked: each row's key, the first row of each key, and its tokens and bytes.

    `failures` says of rows that cannot be asked why not; `kept` are the requests, where they are few.
    """

    keys: Sequence[str]
    first: Mapping[str, int]
    tokens: Mapping[str, int]
    sizes: Mapping[str, int]
    failures: Mapping[str, str]
    kept: Sequence[Ask] | None

    @property
    def shared(self) -> int:
        """How many rows are the same as one above them."""
        return len(self.keys) - len(self.first) - len(self.failures)


def survey(asking: RowRequests, tell: Callable[[int], None], most_kept: float = MAX_KEPT_BYTES) -> Survey:
    """Go through all rows once. `tell` is told how many it were, each time. `most_kept` is in bytes."""
    keys: list[str] = []
    first: dict[str, int] = {}
    tokens: dict[str, int] = {}
    failures: dict[str, str] = {}
    kept: list[Ask] | None = []
    sizes: dict[str, int] = {}
    size = 0
    for ask in asking:
        keys.append(ask.key)
        if ask.failure:
            failures[ask.key] = ask.failure
        elif ask.key not in first:
            first[ask.key], tokens[ask.key], sizes[ask.key] = ask.position, ask.tokens, ask.size
            size += ask.size
            if size > most_kept:
                kept = None
            if kept is not None:
                kept.append(ask)
        tell(len(keys))
    return Survey(keys, first, tokens, sizes, failures, kept)


class Unwatched:
    """The progress of a map that nobody watches."""

    def __init__(self) -> None:
        self.stopped = threading.Event()

    def say(self, text: str, share: float | None = None, *, at_once: bool = False) -> None:
        """Nothing is shown."""


@dataclass
class Job:
    """One map: what is asked, of whom, and within which limits. `name` is what its data is called."""

    name: str
    count: int
    asking: RowRequests
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
    earlier: int = 0
    began: float = field(default_factory=time.monotonic)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def missing(self, results: Results) -> list[str]:
        """The keys that are still to be asked; the answers to the others are taken from earlier runs."""
        known = {} if self.fresh else results.found(self.surveyed.first)
        self.answers.update({key: self._checked(answer) for key, answer in known.items()})
        self.earlier = sum(key in known for key in self.surveyed.keys)
        return [key for key in self.surveyed.first if key not in known]

    def expected(self, missing: Sequence[str], *, batch: bool = False) -> Estimate:
        """What asking these will cost. Raises `UsageError` where that passes the budget."""
        tokens = sum(self.surveyed.tokens[key] for key in missing)
        shared = self.asking.shared_tokens
        found = estimate(self.asking.base, tokens, len(missing), shared, provider=self.provider, batch=batch)
        check_budget(found, self.budget)
        return found

    def asks(self, missing: Sequence[str]) -> Iterator[Ask]:
        """The requests of these keys, in the order of their rows; each with the key that the survey gave it."""
        wanted = {self.surveyed.first[key]: key for key in missing}
        for ask in self.asking.at(wanted) if self.surveyed.kept is None else self.surveyed.kept:
            if ask.position in wanted and not ask.failure:
                yield replace(ask, key=wanted[ask.position])

    def ask_now(self, missing: Sequence[str], results: Results, progress: Progress | Unwatched) -> ClaudeError | None:
        """Ask these now. Returns why it ended early, if it did; what had come is kept."""
        began = time.monotonic()
        purse = SpendLimit(None if self.budget is None else self.budget.left)

        def watch(received: list[RowAnswer]) -> bool:
            self.take(received)
            results.keep(received)
            said = line(self.tally, len(missing), str(self.tally.cost), time.monotonic() - began)
            progress.say(said, self.tally.done / len(missing))
            return not progress.stopped.is_set()

        settings = replace(self.settings, betas=(*self.settings.betas, *self.asking.betas))
        failure = ConcurrentRun(self.client, settings, self.concurrency, purse).run(self.asks(missing), watch)
        if failure is None and self.tally.done < len(missing):
            why = "the budget is used up" if purse.closed else "Stop was pressed"
            failure = errors.ReplyInterrupted(f"The map was stopped: {why}.")
        return failure

    def take(self, received: Sequence[RowAnswer], *, paid: bool = True) -> None:
        """Add answers to what there is; what another run `paid` for is not counted again."""
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
        """The run so far, as its record."""
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
            about=self.asking.about,
        )
