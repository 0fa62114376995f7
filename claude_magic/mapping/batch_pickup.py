"""Pickup of batches under way: find a missing id, wait for the end, store each result exactly once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from .. import errors
from ..client import Settings, retry
from ..client.batches import Batches
from ..client.events import events_of
from ..content.text import join_line, plural
from ..conversation.accumulator import Accumulator, call_of
from ..interrupts import Noticed
from .answers import RowAnswer, answer_of
from .progress import Progress, duration
from .store import Part, Results

POLL_SECONDS = 2.0
SLOWEST_POLL_SECONDS = 60.0
TICK_SECONDS = 0.1
# The time in which a submission of unknown outcome appears in the list of batches, if it was accepted.
SETTLE_SECONDS = 15.0
# How often the results are read if lines are missing.
READINGS = 3
LONGEST_ASKED_SECONDS = 3_600.0
# The largest difference between our clock and the API's that is allowed for.
SKEW_SECONDS = 3_600.0
_Found = TypeVar("_Found")
_NOT_PROCESSED = {
    "canceled": "the batch was cancelled before this row: run the cell again",
    "expired": "the batch expired after 24 hours, before this row: run the cell again",
}
_UNREADABLE = "the batch's results have no readable line for this row: run the cell again"
NO_LINE = "the batch's results have no line for this row yet: run the cell again to read them"
_READ_AGAIN = (
    "The batch stays open: run the cell again, or %claude_map --resume, to read them; they are not asked anew. "
    "%claude_map --cancel gives them up."
)
_NOT_FOUND = (
    "It was deleted, or is another workspace's: with the key of that one it is picked up. "
    "%claude_map --cancel forgets it, and its rows can be asked again."
)
_CUSTOM_ID = re.compile(r"[0-9a-f]{12}-[0-9a-f]{32}")
GOES_ON = (
    "The batch goes on at Anthropic: run the cell again, or %claude_map --resume, to pick it up; "
    "%claude_map --cancel ends it."
)


@dataclass(frozen=True)
class Collected:
    """The answers of a batch. `new` are the keys of those that were collected for the first time, so that they count as
    spending; `waited` is the number of results that have not come yet: the batch stays open for them."""

    part: Part
    answers: Sequence[RowAnswer]
    new: Set[str]
    waited: int = 0

    @property
    def remark(self) -> str:
        """What to tell of results that have not come."""
        have = "has" if self.waited == 1 else "have"
        return f"{self.part.batch}: {plural(self.waited, 'result')} {have} not come yet. {_READ_AGAIN}"


class Pickup:
    """Waits for a notebook's batches and stores their results; finds the id of a batch where it is missing."""

    def __init__(self, batches: Batches, results: Results, settings: Settings, progress: Progress) -> None:
        self._batches = batches
        self._results = results
        self._settings = settings
        self._progress = progress
        self._began = time.monotonic()

    def settle(self, part: Part, interrupts: Noticed) -> Part | None:
        """The part with its batch's id, searched for if the outcome of the submission is unknown; `None` if the API
        never accepted it.

        Raises `ReplyInterrupted`.
        """
        if part.batch is not None:
            return part
        with self.submitting(interrupts):  # another kernel may be submitting it at this moment
            now = self._results.reload(part)
        if now is None or now.batch is not None:
            return now
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            pending = []
            for batch in self._candidates(part):
                if batch["processing_status"] != "ended":
                    pending.append(batch["id"])
                elif self._matches(batch, part):
                    self._results.submitted(part, batch["id"])
                    return replace(part, batch=batch["id"])
            if not pending and time.monotonic() >= until:
                self._results.close_part(part)
                return None
            of = f": {pending[0]} may be it; its results tell when it has ended" if pending else ""
            self._progress.say(f"looking for a batch that an interrupted submission may have left{of}")
            self.wait(POLL_SECONDS if pending else min(POLL_SECONDS, 1.0), interrupts)

    def collect(self, part: Part, number: str, interrupts: Noticed) -> Collected:
        """Wait for a batch to end, and store its results. Raises `ReplyInterrupted` and other `ClaudeError`s."""
        assert part.batch is not None
        try:
            found = self._wait_for_end(part.batch, number, interrupts)
            answers, waited = self._read_results(part, found, interrupts)
        except errors.NotFoundError as gone:
            gone.message = f"{part.batch}: {gone.message}"
            gone.advice = _NOT_FOUND
            raise
        if waited:
            return Collected(part, answers, self._results.take(part, answers), waited)
        new = self._results.untaken(part, answers)
        return Collected(part, answers, new if self._results.close_part(part, answers) else frozenset())

    def _wait_for_end(self, batch: str, number: str, interrupts: Noticed) -> Mapping[str, Any]:
        """The state of a batch once it has ended."""
        while True:
            found = self._poll(lambda: self._batches.retrieve(batch), interrupts)
            if found["processing_status"] == "ended":
                return found
            waited = time.monotonic() - self._began
            text = f"{number} · {_status(found)} · {duration(waited)}"
            self._progress.say(text, _share(found), at_once=True)
            self.wait(min(SLOWEST_POLL_SECONDS, max(POLL_SECONDS, waited / 20)), interrupts)

    def _poll(self, ask: Callable[[], _Found], interrupts: Noticed) -> _Found:
        """The result of `ask`, repeated without limit after failures that may pass: the batch goes on meanwhile, even
        if the network is down for hours."""
        failed = 0
        while True:
            try:
                return ask()
            except errors.ClaudeError as failure:
                if not retry.is_retryable(failure):
                    raise
                why, wanted = retry.retry_reason(failure), getattr(failure, "retry_after", None) or 0.0
            pause = min(SLOWEST_POLL_SECONDS, POLL_SECONDS * 2.0 ** min(failed, 10))
            pause = max(pause, min(wanted, LONGEST_ASKED_SECONDS))
            failed += 1
            self._progress.say(f"{why}: the batch goes on, and is looked at again in {duration(pause)}", at_once=True)
            self.wait(pause, interrupts)

    def _read_results(self, part: Part, found: Mapping[str, Any], interrupts: Noticed) -> tuple[list[RowAnswer], int]:
        """The results of a batch that has ended, one answer per row, and the number of those that have not come.

        A line that cannot be read, or names no row, stands for one of the rows that no line names.
        """
        batch, count = str(part.batch), sum((found.get("request_counts") or {}).values())
        answers: dict[str, RowAnswer] = {}
        odd = 0

        def read() -> None:
            nonlocal odd
            odd = 0
            for line in self._batches.results(batch):
                key = _key_in(line, part)
                odd += key is None
                if key is not None and (key not in answers or not answers[key].calls):
                    answers[key] = self._answer(key, line, part)

        for left in reversed(range(READINGS if found.get("results_url") else 0)):
            try:
                self._poll(read, interrupts)
            except errors.StreamError:
                if not left and not answers:
                    raise
            if len(answers) >= count:
                break
            if left:
                self.wait(POLL_SECONDS, interrupts)
        waited = 0 if found.get("archived_at") else max(0, count - len(answers) - odd)
        lost = [] if waited else [RowAnswer(key, error=_UNREADABLE) for key in self._results.keys_of(part) - {*answers}]
        return [*answers.values(), *lost], waited

    @contextmanager
    def submitting(self, interrupts: Noticed) -> Iterator[None]:
        """Hold the lock that allows one submission at a time on this machine. Raises `ReplyInterrupted`."""

        def wait() -> None:
            self._progress.say("another kernel is submitting a batch")
            self.wait(TICK_SECONDS, interrupts)

        with self._results.submitting(wait):
            yield

    def wait(self, seconds: float, interrupts: Noticed) -> None:
        """Sleep for some seconds. Raises `ReplyInterrupted` on an Interrupt or Stop."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(TICK_SECONDS, left))
            if interrupts.pressed or self._progress.stopped.is_set():
                raise errors.ReplyInterrupted("The waiting was interrupted.", advice=GOES_ON)

    def _candidates(self, part: Part) -> Iterator[dict[str, Any]]:
        """The batches of the API's list that may be this part: unknown here, with its age and number of requests."""
        known = self._results.batches()
        for batch in self._batches.newest():
            if _seconds(batch.get("created_at")) < part.created - SKEW_SECONDS:
                return
            counts = batch.get("request_counts") or {}
            if batch["id"] not in known and sum(counts.values()) == part.count:
                yield batch

    def _matches(self, batch: Mapping[str, Any], part: Part) -> bool:
        """Whether a batch is this part, by the digest in its first result's `custom_id`."""
        if not batch.get("results_url"):
            return False
        names = (str(line.get("custom_id")) for line in self._batches.results(batch["id"]))
        known = (name for name in names if _CUSTOM_ID.fullmatch(name))
        return self._batches.with_retries(lambda: next(known, "")).startswith(f"{part.digest}-")

    def _answer(self, key: str, line: Mapping[str, Any], part: Part) -> RowAnswer:
        """A line of the results as an answer, with the price of a batch."""
        result = line.get("result")
        result = result if isinstance(result, Mapping) else {}
        kind = str(result.get("type"))
        if kind != "succeeded":
            return RowAnswer(key, error=_NOT_PROCESSED.get(kind) or _error_message(result))
        accumulator = Accumulator()
        try:
            for event in events_of(result["message"]):
                accumulator.add(event)
            reply = accumulator.reply()
            call = call_of(reply, model=part.model, started=part.created, provider=part.provider)
            call = replace(call, usage={**call.usage, "service_tier": "batch"})
            return answer_of(key, reply, call)
        except Exception:  # whatever it holds, it costs no other row
            return RowAnswer(key, error="the result is unreadable")


def _key_in(line: Mapping[str, Any], part: Part) -> str | None:
    """The key of the request that a line of results answers; `None` if it is not of this batch."""
    name = str(line.get("custom_id"))
    return name[13:] if _CUSTOM_ID.fullmatch(name) and name.startswith(part.digest) else None


def resume(
    batches: Batches, results: Results, settings: Settings, progress: Progress, provider: str
) -> Iterator[Collected]:
    """Pick up all batches of a notebook, one after the other.

    Raises `ClaudeError`; results stored before that stay. A batch that the API does not find is raised as an error
    after the others have been picked up.
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


def cancel_all(batches: Batches, results: Results, provider: str) -> Iterator[str]:
    """Cancel all batches of a notebook. Yields a line of text for each; raises `ClaudeError`.

    A batch that the API does not find, or whose last results have not come, is removed from the store.
    """
    for part in results.own_parts(provider):
        if part.batch is None:
            continue
        if results.is_waited_for(part):
            results.close_part(part)
            yield f"{part.batch}: the results that have not come are given up; their rows can be asked again"
            continue
        try:
            yield f"{_line(batches.cancel(part.batch))}; %claude_map --resume picks up what was done"
        except errors.NotFoundError:
            results.close_part(part)
            yield f"{part.batch}: there is no such batch for this key; it is forgotten"


def status(batches: Batches, batch: str | None) -> str:
    """The state of a batch, as a line of text."""
    if batch is None:
        return "a batch that may have been submitted"
    try:
        return _line(batches.with_retries(lambda: batches.retrieve(batch)))
    except errors.NotFoundError:
        return f"{batch}: there is no such batch for this key; %claude_map --cancel forgets it"


def _line(batch: Mapping[str, Any]) -> str:
    counts = batch.get("request_counts") or {}
    figures = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{batch['id']}: {_status(batch)}, {figures}"


def _status(batch: Mapping[str, Any]) -> str:
    return str(batch["processing_status"]).replace("_", " ")


def _share(batch: Mapping[str, Any]) -> float:
    """The share of a batch's requests that have been processed, from 0 to 1."""
    counts = batch.get("request_counts") or {}
    total = sum(counts.values())
    return 1 - counts.get("processing", 0) / total if total else 0.0


def _error_message(result: Mapping[str, Any]) -> str:
    """The API's error message for a failed request of a batch."""
    error = result.get("error")
    inner = error.get("error", error) if isinstance(error, Mapping) else {}
    message = inner.get("message") if isinstance(inner, Mapping) else None
    return join_line(str(message or "the API gave no reason"))[:500]


def _seconds(text: Any) -> float:
    """A timestamp of the API in seconds since the epoch; the current time if it is unreadable."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()
