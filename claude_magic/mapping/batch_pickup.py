"""Pick up batches under way: find a missing id, wait for the end, keep each result exactly once."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from .. import errors
from ..client import Settings, retry
from ..client.batches import Batches
from ..client.stream import events_of
from ..content.text import join_line
from ..conversation.accumulator import Accumulator, call_of
from ..interrupts import Noticed
from .answers import RowAnswer, answer_of
from .progress import Progress, duration
from .store import Part, Results

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
_Found = TypeVar("_Found")
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


@dataclass(frozen=True)
class Collected:
    """What a batch brought: its answers; and whether this was the `first` time, for only then is it paid for."""

    part: Part
    answers: Sequence[RowAnswer]
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
                if not retry.is_retryable(failure):
                    raise
                why, wanted = retry.retry_reason(failure), getattr(failure, "retry_after", None) or 0.0
            pause = min(SLOWEST_POLL_SECONDS, POLL_SECONDS * 2.0 ** min(failed, 10))
            pause = max(pause, min(wanted, LONGEST_ASKED_SECONDS))
            failed += 1
            self._progress.say(f"{why}: the batch goes on, and is looked at again in {duration(pause)}", at_once=True)
            self.wait(pause, interrupts)

    def _read(self, part: Part, found: Mapping[str, Any], interrupts: Noticed) -> list[RowAnswer]:
        """The results of a batch that has ended: each row's once, whole; what is no row of it is passed over."""
        batch, keys = str(part.batch), self._results.keys_of(part)
        count = sum((found.get("request_counts") or {}).values())
        answers: dict[str, RowAnswer] = {}

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
        return [*answers.values(), *(RowAnswer(key, error=_MISSING) for key in keys - answers.keys())]

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
        first = self._batches.with_retries(lambda: next(self._batches.results(batch["id"]), {}))
        return str(first.get("custom_id")).startswith(f"{part.digest}-")

    def _answer(self, key: str, line: Mapping[str, Any], part: Part) -> RowAnswer:
        """One line of the results as an answer, at a batch's price."""
        result = line.get("result")
        result = result if isinstance(result, Mapping) else {}
        kind = str(result.get("type"))
        if kind != "succeeded":
            return RowAnswer(key, error=_LEFT.get(kind) or _said(result))
        accumulator = Accumulator()
        try:
            for event in events_of(result["message"], ""):
                accumulator.add(event)
        except (errors.ClaudeError, KeyError, TypeError):
            return RowAnswer(key, error="the result is unreadable")
        reply = accumulator.reply()
        call = call_of(reply, model=part.model, started=part.created, provider=part.provider)
        call = replace(call, usage={**call.usage, "service_tier": "batch"})
        return answer_of(key, reply, call)


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


def cancel_all(batches: Batches, results: Results, provider: str) -> Iterator[str]:
    """`cancel`, with a line for each batch."""
    for name, batch in cancel(batches, results, provider):
        if batch is None:
            yield f"{name}: there is no such batch for this key; it is forgotten"
        else:
            yield f"{_line(batch)}; %claude_map --resume picks up what was done"


def status(batches: Batches, batch: str | None) -> str:
    """How a batch stands, in a line."""
    if batch is None:
        return "a batch that may have been submitted"
    try:
        return _line(batches.with_retries(lambda: batches.retrieve(batch)))
    except errors.NotFoundError:
        return f"{batch}: there is no such batch for this key; %claude_map --cancel forgets it"


def _line(batch: Mapping[str, Any]) -> str:
    counts = batch.get("request_counts") or {}
    said = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{batch['id']}: {_status(batch)}, {said}"


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
    return join_line(str(message or "the API gave no reason"))[:500]


def _seconds(text: Any) -> float:
    """A moment that the API gives, in seconds since the epoch; now, where it is none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return time.time()
