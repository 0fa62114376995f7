"""Rows asked by Message Batches: submitted once, whatever dies when, and each result picked up exactly once.

Before a byte of a batch goes out, its requests are written down (`results.py`); then its id. Where the id is missing,
because the kernel or the connection died in between, the list of batches is searched for it: the ids of a batch's
requests open with a digest of them all, so that it is known by its first result. Only what is nowhere is sent anew.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from .. import errors
from ..accumulator import Accumulator, call_of
from ..client import Settings, retrying
from ..client.batches import Batches
from ..client.stream import events_of
from ..interrupts import Noticed
from .answers import Answer, answer_of
from .job import Job
from .progress import Progress, duration
from .prompts import wire
from .results import Part, Results

# The API's limits of one batch (CLAUDE_API.md §10), and a little room.
MAX_REQUESTS = 100_000
MAX_BYTES = 255_000_000
CHUNK_BYTES = 1 << 18
POLL_SECONDS = 2.0
SLOWEST_POLL_SECONDS = 60.0
TICK_SECONDS = 0.1
# So long after a submission that nobody heard of, it is in the list, or never was.
SETTLE_SECONDS = 15.0
# How often the results are read where lines are missing in them.
READINGS = 3
LONGEST_ASKED_SECONDS = 3_600.0
# What two clocks may differ by.
SKEW_SECONDS = 3_600.0
_DIGEST = 12
_Found = TypeVar("_Found")
_HEAD, _TAIL = b'{"requests":[', b"]}"
_LEFT = {
    "canceled": "the batch was cancelled before this row: run the cell again",
    "expired": "the batch expired after 24 hours, before this row: run the cell again",
}
_MISSING = "the batch's results have no line for this row: run the cell again"
_NOT_FOUND = (
    "It was deleted, or is another workspace's: with the key of that one it is picked up. "
    "%claude_map --cancel forgets it, and its rows can be asked again."
)
_CUSTOM_ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{32}")
GOES_ON = (
    "The batch goes on at Anthropic: run the cell again, or %claude_map --resume, to pick it up; "
    "%claude_map --cancel ends it."
)


class _Unsure(Exception):
    """Nobody knows whether a batch was taken in."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


@dataclass(frozen=True)
class Collected:
    """What a batch brought: its answers; and whether this was the `first` time, for only then is it paid for."""

    part: Part
    answers: Sequence[Answer]
    first: bool


class Pickup:
    """The batches of a notebook: found again where their id is missing, waited for, and their results kept."""

    def __init__(self, batches: Batches, results: Results, settings: Settings, progress: Progress) -> None:
        self._batches = batches
        self._results = results
        self._settings = settings
        self._progress = progress
        self._began = time.monotonic()

    def settle(self, part: Part, interrupts: Noticed) -> Part | None:
        """The part with its batch's id, where its submission is in doubt; `None` where it was never taken in.

        Raises `ReplyInterrupted`.
        """
        if part.batch is not None:
            return part
        with self.submitting(interrupts):  # whoever is at it may be alive
            now = self._results.again(part)
        if now is None or now.batch is not None:
            return now
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            pending = []
            for batch in self._candidates(part):
                if batch["processing_status"] != "ended":
                    pending.append(batch["id"])
                elif self._is_of(batch, part):
                    self._results.submitted(part, batch["id"])
                    return replace(part, batch=batch["id"])
            if not pending and time.monotonic() >= until:
                self._results.close_part(part)
                return None
            of = f": {pending[0]} may be it, which is seen when it has ended" if pending else ""
            self._progress.say(f"looking for a batch that may have been submitted before a break-off{of}")
            self.wait(POLL_SECONDS if pending else min(POLL_SECONDS, 1.0), interrupts)

    def collect(self, part: Part, number: str, interrupts: Noticed) -> Collected:
        """Wait for a batch, and keep its results. Raises `ReplyInterrupted`, and what the API raises."""
        assert part.batch is not None
        try:
            found = self._ended(part.batch, number, interrupts)
            answers = self._read(part, found, interrupts)
        except errors.NotFoundError as gone:
            gone.message = f"{part.batch}: {gone.message}"
            gone.advice = _NOT_FOUND
            raise
        return Collected(part, answers, self._results.close_part(part, answers))

    def _ended(self, batch: str, number: str, interrupts: Noticed) -> Mapping[str, Any]:
        """A batch that has come to its end."""
        while True:
            found = self._patiently(lambda: self._batches.retrieve(batch), interrupts)
            if found["processing_status"] == "ended":
                return found
            waited = time.monotonic() - self._began
            said = f"{number} · {_status(found)} · {duration(waited)}"
            self._progress.say(said, _share(found), at_once=True)
            self.wait(min(SLOWEST_POLL_SECONDS, max(POLL_SECONDS, waited / 20)), interrupts)

    def _patiently(self, ask: Callable[[], _Found], interrupts: Noticed) -> _Found:
        """What an attempt gives, over as many as it takes: a network may be gone for hours, the batch goes on."""
        failed = 0
        while True:
            try:
                return ask()
            except errors.ClaudeError as failure:
                if not retrying.is_retryable(failure):
                    raise
                why, wanted = retrying.reason(failure), getattr(failure, "retry_after", None) or 0.0
            pause = min(SLOWEST_POLL_SECONDS, POLL_SECONDS * 2.0 ** min(failed, 10))
            pause = max(pause, min(wanted, LONGEST_ASKED_SECONDS))
            failed += 1
            self._progress.say(f"{why}: the batch goes on, and is looked at again in {duration(pause)}", at_once=True)
            self.wait(pause, interrupts)

    def _read(self, part: Part, found: Mapping[str, Any], interrupts: Noticed) -> list[Answer]:
        """The results of a batch that has ended: each row's once, whole; what is no row of it is passed over."""
        batch, keys = str(part.batch), self._results.keys_of(part)
        count = sum((found.get("request_counts") or {}).values())
        answers: dict[str, Answer] = {}

        def read() -> None:
            for line in self._batches.results(batch):
                if key := _key_in(line, part):
                    answers.setdefault(key, self._answer(key, line, part))

        for left in reversed(range(READINGS if found.get("results_url") else 0)):
            try:
                self._patiently(read, interrupts)
            except errors.StreamError:
                if not left:
                    raise
            if len(answers) >= count:
                break
            if left:
                self.wait(POLL_SECONDS, interrupts)
        return [*answers.values(), *(Answer(key, error=_MISSING) for key in keys - answers.keys())]

    @contextmanager
    def submitting(self, interrupts: Noticed) -> Iterator[None]:
        """Nobody else on this machine submits meanwhile. Raises `ReplyInterrupted`."""

        def wait() -> None:
            self._progress.say("another kernel is submitting a batch")
            self.wait(TICK_SECONDS, interrupts)

        with self._results.submitting(wait):
            yield

    def wait(self, seconds: float, interrupts: Noticed) -> None:
        """Let time pass. Raises `ReplyInterrupted` where the reader does not want to wait."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(TICK_SECONDS, left))
            if interrupts.pressed or self._progress.stopped.is_set():
                raise errors.ReplyInterrupted("The waiting was interrupted.", advice=GOES_ON)

    def _candidates(self, part: Part) -> Iterator[dict[str, Any]]:
        known = self._results.batches()
        for batch in self._batches.newest():
            if _seconds(batch.get("created_at")) < part.created - SKEW_SECONDS:
                return
            counts = batch.get("request_counts") or {}
            if batch["id"] not in known and sum(counts.values()) == part.count:
                yield batch

    def _is_of(self, batch: Mapping[str, Any], part: Part) -> bool:
        if not batch.get("results_url"):
            return False
        first = self._batches.again(lambda: next(self._batches.results(batch["id"]), {}))
        return str(first.get("custom_id")).startswith(f"{part.digest}-")

    def _answer(self, key: str, line: Mapping[str, Any], part: Part) -> Answer:
        """One line of the results as an answer, at a batch's price."""
        result = line.get("result")
        result = result if isinstance(result, Mapping) else {}
        kind = str(result.get("type"))
        if kind != "succeeded":
            return Answer(key, error=_LEFT.get(kind) or _said(result))
        accumulator = Accumulator()
        try:
            for event in events_of(result["message"], ""):
                accumulator.add(event)
        except (errors.ClaudeError, KeyError, TypeError):
            return Answer(key, error="the result is unreadable")
        reply = accumulator.reply()
        call = call_of(reply, model=part.model, started=part.created, provider=part.provider)
        call = replace(call, usage={**call.usage, "service_tier": "batch"})
        return answer_of(key, reply, call)


class Batching:
    """One map by batches. `tell` is told the ids of all of its batches whenever there is a new one."""

    def __init__(
        self, job: Job, results: Results, batches: Batches, progress: Progress, tell: Callable[[list[str]], None]
    ) -> None:
        self._job = job
        self._results = results
        self._batches = batches
        self._progress = progress
        self._tell = tell
        self._pickup = Pickup(batches, results, job.settings, progress)
        self.ids: list[str] = []

    def run(self, missing: Sequence[str]) -> errors.ClaudeError | None:
        """Submit what is in no batch yet, wait, and pick up. Returns why it ended early; nothing is lost by that."""
        gone: errors.ClaudeError | None = None
        with Noticed() as interrupts:
            try:
                parts = self._all_submitted(missing, interrupts)
                for at, part in enumerate(parts, 1):
                    number = f"batch {at} of {len(parts)}, {part.count:,} requests"
                    try:
                        self._take(self._pickup.collect(part, number, interrupts))
                    except errors.NotFoundError as failure:  # the others are there
                        gone = failure
            except errors.ClaudeError as failure:
                return failure
        return gone

    def pick_up_adopted(self) -> errors.ClaudeError | None:
        """Pick up the batches that only the notebook knew: nothing that may be in one of them is asked before.

        Returns why that ended early; then nothing may be submitted.
        """
        parts = [] if self._job.fresh else self._results.adopted(self._job.asking.about)
        for part in parts:
            self._note(part)
        with Noticed() as interrupts:
            try:
                for at, part in enumerate(parts, 1):
                    number = f"an earlier run's batch, {at} of {len(parts)}, which may hold these rows"
                    self._take(self._pickup.collect(part, number, interrupts))
            except errors.ClaudeError as failure:
                return failure
        return None

    def _all_submitted(self, missing: Sequence[str], interrupts: Noticed) -> list[Part]:
        """The batches that hold these requests: each request in one, whoever else is at it."""
        parts: dict[int, Part] = {}
        while True:
            if not self._job.fresh:
                known = self._results.found(missing)
                self._job.take(list(known.values()), paid=False)
                missing = [key for key in missing if key not in known]
                parts.update((part.id, part) for part in self._settled(missing, interrupts) if part.id not in parts)
            under_way = {} if self._job.fresh else self._results.under_way(missing)
            for keys in self._split([key for key in missing if key not in under_way]):
                part = self._submitted(keys, interrupts)
                if part is None:
                    break
                parts[part.id] = part
            else:
                return list(parts.values())

    def _settled(self, missing: Sequence[str], interrupts: Noticed) -> list[Part]:
        """The batches under way that have rows of this map."""
        if self._job.fresh:
            return []
        wanted = set(self._results.under_way(missing).values())
        found = []
        for part in self._results.open_parts():
            if part.id in wanted and (settled := self._pickup.settle(part, interrupts)):
                self._note(settled)
                found.append(settled)
        return found

    def _split(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Requests for one batch each, as many as it takes."""
        some: list[str] = []
        size = 0
        for key in keys:
            own = self._job.surveyed.sizes[key] + len(_opening("", key)) + _DIGEST + 2
            if some and (len(some) >= MAX_REQUESTS or size + own > MAX_BYTES):
                yield some
                some, size = [], 0
            some.append(key)
            size += own
        if some:
            yield some

    def _submitted(self, keys: Sequence[str], interrupts: Noticed) -> Part | None:
        """Submit a batch: once, and known to be so. `None` where another kernel has asked some of it meanwhile."""
        digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:_DIGEST]
        retries = 0
        while True:
            try:
                with self._pickup.submitting(interrupts):
                    submitted = self._once(digest, keys)
            except _Unsure as unsure:
                submitted = self._pickup.settle(unsure.part, interrupts)
                failure: errors.ClaudeError = errors.ConnectionFailedError("The batch could not be submitted.")
            except errors.ClaudeError as refused:
                failure = refused
                if not retrying.is_retryable(failure):
                    raise
                submitted = None
            else:
                if submitted is None:
                    return None
            if submitted is not None:
                self._note(submitted)
                return submitted
            if retries >= self._job.settings.max_retries:
                raise failure
            delay = retrying.delay_before(retries, failure, self._job.settings.max_retry_wait)
            retries += 1
            self._pickup.wait(delay, interrupts)

    def _once(self, digest: str, keys: Sequence[str]) -> Part | None:
        """Write a batch down, send it, and write its id down. Raises `_Unsure`, and why it was refused."""
        model = str(self._job.asking.base["model"])
        part = self._results.intend(digest, keys, self._job.provider, model, fresh=self._job.fresh)
        if part is None:
            return None
        try:
            batch = self._create(part, keys)
        except errors.ClaudeError:
            self._results.close_part(part)
            raise
        self._results.submitted(part, batch["id"])
        return replace(part, batch=batch["id"])

    def _create(self, part: Part, keys: Sequence[str]) -> dict[str, Any]:
        """Send a batch. Raises `_Unsure` where it may have been taken in, though nobody said so."""
        sizes = self._job.surveyed.sizes
        entry = len(_opening(part.digest, keys[0])) + 1
        length = len(_HEAD) + sum(sizes[key] for key in keys) + len(keys) * (entry + 1) - 1 + len(_TAIL)
        self._progress.say(f"submitting {len(keys):,} requests, {length / 1e6:,.1f} MB", at_once=True)
        try:
            return self._batches.create(self._body(part, keys), length, self._job.asking.betas)
        except errors.APIError as failure:
            if failure.status is None or (failure.status >= 500 and failure.status != 529) or failure.status == 408:
                raise _Unsure(part) from None
            raise
        except (errors.ConnectionFailedError, errors.StreamError):
            raise _Unsure(part) from None

    def _body(self, part: Part, keys: Sequence[str]) -> Iterator[bytes]:
        """The batch as JSON, piece by piece. Raises `UsageError` where a row does not ask what it asked before."""
        piece = bytearray(_HEAD)
        for at, ask in enumerate(self._job.asks(keys)):
            if ask.size != self._job.surveyed.sizes[ask.key]:
                raise errors.UsageError(f"The prompt of row {ask.position} changes each time that it is evaluated.")
            piece += b"," if at else b""
            piece += _opening(part.digest, ask.key) + wire(ask.params) + b"}"
            if len(piece) >= CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
        yield bytes(piece + _TAIL)

    def _note(self, part: Part) -> None:
        assert part.batch is not None
        if part.batch not in self.ids:
            self.ids.append(part.batch)
            self._tell(self.ids)

    def _take(self, collected: Collected) -> None:
        own = [each for each in collected.answers if each.key in self._job.surveyed.first]
        self._job.take(own, paid=collected.first)


def _key_in(line: Mapping[str, Any], part: Part) -> str | None:
    """The request that a line of results answers; `None` where it is none of this batch."""
    name = str(line.get("custom_id"))
    return name[13:] if _CUSTOM_ID.fullmatch(name) and name.startswith(part.digest) else None


def resume(
    batches: Batches, results: Results, settings: Settings, progress: Progress, provider: str
) -> Iterator[Collected]:
    """Pick up all batches of a notebook, one after the other. Raises `ClaudeError`; what is picked up by then stays.

    One that is not found is told of when the others are picked up.
    """
    gone: errors.ClaudeError | None = None
    pickup = Pickup(batches, results, settings, progress)
    parts = results.own_parts(provider)
    with Noticed() as interrupts:
        for at, part in enumerate(parts, 1):
            if settled := pickup.settle(part, interrupts):
                try:
                    yield pickup.collect(settled, f"batch {at} of {len(parts)}", interrupts)
                except errors.NotFoundError as failure:
                    gone = failure
    if gone is not None:
        raise gone


def cancel(batches: Batches, results: Results, provider: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """End all batches of a notebook that are under way: the id of each, and how it stands then. Raises `ClaudeError`.

    One that is not found is forgotten, and given as `None`.
    """
    for part in results.own_parts(provider):
        if part.batch is None:
            continue
        try:
            yield part.batch, batches.cancel(part.batch)
        except errors.NotFoundError:
            results.close_part(part)
            yield part.batch, None


def _opening(digest: str, key: str) -> bytes:
    return f'{{"custom_id":"{digest}-{key}","params":'.encode()


def _status(batch: Mapping[str, Any]) -> str:
    return str(batch["processing_status"]).replace("_", " ")


def _share(batch: Mapping[str, Any]) -> float:
    """How many of a batch's requests are done with, from 0 to 1."""
    counts = batch.get("request_counts") or {}
    total = sum(counts.values())
    return 1 - counts.get("processing", 0) / total if total else 0.0


def _said(result: Mapping[str, Any]) -> str:
    """The API's words for a request that failed in a batch."""
    error = result.get("error")
    inner = error.get("error", error) if isinstance(error, Mapping) else {}
    message = inner.get("message") if isinstance(inner, Mapping) else None
    return " ".join(str(message or "the API gave no reason").split())[:500]


def _seconds(text: Any) -> float:
    """A moment that the API gives, in seconds since the epoch; now, where it is none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()
