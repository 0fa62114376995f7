"""Submit rows as Message Batches, exactly once, even if the kernel or the connection dies.

The requests of a batch are written to the store (`store.py`) before it is sent, and its id afterwards. If the id is
missing, because the kernel died in between, the API's list of batches is searched: the `custom_id`s of a batch begin
with a digest of all its requests, so its first result identifies it. Only a batch that is not found is submitted again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .. import errors
from ..client import retry
from ..client.batches import Batches
from ..interrupts import Noticed
from .batch_pickup import NO_LINE, Collected, Pickup
from .job import Job
from .progress import Progress
from .prompts import wire
from .store import Part, Results

# The API's limits of one batch (CLAUDE_API.md §10); for the bytes, with a small margin.
MAX_REQUESTS = 100_000
MAX_BYTES = 255_000_000
CHUNK_BYTES = 1 << 18
_DIGEST = 12
_HEAD, _TAIL = b'{"requests":[', b"]}"


class _UnknownOutcome(Exception):
    """The outcome of a submission is unknown: the API may have accepted the batch."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


class BatchRun:
    """A run of a map by batches. `tell` is called with the ids of all its batches whenever there is a new one."""

    def __init__(
        self, job: Job, results: Results, batches: Batches, progress: Progress, tell: Callable[[list[str]], None]
    ) -> None:
        self._job = job
        self._results = results
        self._batches = batches
        self._progress = progress
        self._tell = tell
        self._pickup = Pickup(batches, results, job.settings, progress)
        self._changed: errors.UsageError | None = None
        self.ids: list[str] = []

    def run(self, missing: Sequence[str]) -> errors.ClaudeError | None:
        """Submit the missing requests that are in no batch yet, wait, and collect the results.

        Returns the failure that ended it early, if any; what was submitted can be picked up later.
        """
        gone: errors.ClaudeError | None = None
        with Noticed() as interrupts:
            try:
                parts = self._submit_all(missing, interrupts)
                for at, part in enumerate(parts, 1):
                    number = f"batch {at} of {len(parts)}, {part.count:,} requests"
                    try:
                        self._take(self._pickup.collect(part, number, interrupts))
                    except errors.NotFoundError as failure:  # collect the other batches first
                        gone = failure
            except errors.ClaudeError as failure:
                return failure
        return gone

    def pick_up_adopted(self) -> errors.ClaudeError | None:
        """Collect the batches that only the notebook's record knows, since they may hold rows of this map.

        Returns the failure that ended it early, if any; then nothing may be submitted.
        """
        parts = [] if self._job.fresh else self._results.adopted(self._job.requests.about)
        for part in parts:
            self._note_id(part)
        with Noticed() as interrupts:
            try:
                for at, part in enumerate(parts, 1):
                    number = f"an earlier run's batch, {at} of {len(parts)}, which may hold these rows"
                    collected = self._pickup.collect(part, number, interrupts)
                    self._take(collected)
                    if collected.waited:
                        return errors.StreamError(collected.remark)
            except errors.ClaudeError as failure:
                return failure
        return None

    def _submit_all(self, missing: Sequence[str], interrupts: Noticed) -> list[Part]:
        """Submit requests, so that each is in exactly one batch, even if other kernels do the same. Returns the
        batches that hold them."""
        parts: dict[int, Part] = {}
        while True:
            if not self._job.fresh:
                known = self._results.found(missing)
                self._job.take(list(known.values()), paid=False)
                missing = [key for key in missing if key not in known]
                parts.update(
                    (part.id, part) for part in self._settle_parts(missing, interrupts) if part.id not in parts
                )
            under_way = {} if self._job.fresh else self._results.under_way(missing)
            for keys in self._split([key for key in missing if key not in under_way]):
                part = self._submit(keys, interrupts)
                if part is None:
                    break
                parts[part.id] = part
            else:
                return list(parts.values())

    def _settle_parts(self, missing: Sequence[str], interrupts: Noticed) -> list[Part]:
        """The batches under way that hold these requests, each with its id."""
        if self._job.fresh:
            return []
        wanted = set(self._results.under_way(missing).values())
        found = []
        for part in self._results.open_parts():
            if part.id in wanted and (settled := self._pickup.settle(part, interrupts)):
                self._note_id(settled)
                found.append(settled)
        return found

    def _split(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Split requests into groups within the limits of one batch."""
        some: list[str] = []
        size = 0
        for key in keys:
            own = self._job.surveyed.sizes[key] + len(_entry_head("", key)) + _DIGEST + 2
            if some and (len(some) >= MAX_REQUESTS or size + own > MAX_BYTES):
                yield some
                some, size = [], 0
            some.append(key)
            size += own
        if some:
            yield some

    def _submit(self, keys: Sequence[str], interrupts: Noticed) -> Part | None:
        """Submit a batch exactly once. `None` if another kernel has meanwhile sent some of its requests."""
        digest = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:_DIGEST]
        retries = 0
        while True:
            try:
                with self._pickup.submitting(interrupts):
                    submitted = self._submit_once(digest, keys)
            except _UnknownOutcome as unsure:
                submitted = self._pickup.settle(unsure.part, interrupts)
                failure: errors.ClaudeError = errors.ConnectionFailedError("The batch could not be submitted.")
            except errors.ClaudeError as refused:
                failure = refused
                if not retry.is_retryable(failure):
                    raise
                submitted = None
            else:
                if submitted is None:
                    return None
            if submitted is not None:
                self._note_id(submitted)
                return submitted
            if retries >= self._job.settings.max_retries:
                raise failure
            delay = retry.delay_before(retries, failure, self._job.settings.max_retry_wait)
            retries += 1
            self._pickup.wait(delay, interrupts)

    def _submit_once(self, digest: str, keys: Sequence[str]) -> Part | None:
        """Store a batch's requests, send it, and store its id. Raises `_UnknownOutcome`, or the API's refusal."""
        model = str(self._job.requests.base["model"])
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
        """Send a batch. Raises `_UnknownOutcome` if it may have been accepted although the answer is missing."""
        sizes = self._job.surveyed.sizes
        entry = len(_entry_head(part.digest, keys[0])) + 1
        length = len(_HEAD) + sum(sizes[key] for key in keys) + len(keys) * (entry + 1) - 1 + len(_TAIL)
        self._progress.say(f"submitting {len(keys):,} requests, {length / 1e6:,.1f} MB", at_once=True)
        try:
            return self._batches.create(self._body(part, keys), length, self._job.requests.betas)
        except errors.APIError as failure:
            if failure.status is None or failure.status >= 500 or failure.status == 408:
                raise _UnknownOutcome(part) from None
            raise
        except (errors.ConnectionFailedError, errors.StreamError):
            if self._changed is None:
                raise _UnknownOutcome(part) from None
        raise self._changed  # the body broke off because of it: the API has not taken it

    def _body(self, part: Part, keys: Sequence[str]) -> Iterator[bytes]:
        """The batch's JSON in chunks. Raises `UsageError` if a row's request differs from the one that was surveyed."""
        piece, at = bytearray(_HEAD), -1
        for at, request in enumerate(self._job.requests_of(keys)):
            if request.size != self._job.surveyed.sizes[request.key]:
                self._changed = errors.UsageError(
                    f"The prompt of row {request.position} changes each time that it is evaluated."
                )
                raise self._changed
            piece += b"," if at else b""
            piece += _entry_head(part.digest, request.key) + wire(request.params) + b"}"
            if len(piece) >= CHUNK_BYTES:
                yield bytes(piece)
                piece.clear()
        if at + 1 < len(keys):
            why = next(self._job.pending[key] for key in keys if key in self._job.pending)
            self._changed = errors.UsageError(f"A row's prompt cannot be built any more: {why}")
            raise self._changed
        yield bytes(piece + _TAIL)

    def _note_id(self, part: Part) -> None:
        assert part.batch is not None
        if part.batch not in self.ids:
            self.ids.append(part.batch)
            self._tell(self.ids)

    def _take(self, collected: Collected) -> None:
        """Add the answers of a batch to the map, and note what has not come."""
        own = [each for each in collected.answers if each.key in self._job.surveyed.first]
        self._job.take([each for each in own if each.key in collected.new])
        self._job.take([each for each in own if each.key not in collected.new], paid=False)
        if collected.waited:
            self._job.pending.update(dict.fromkeys(self._results.keys_of(collected.part), NO_LINE))
            self._job.remarks.append(collected.remark)


def _entry_head(digest: str, key: str) -> bytes:
    return f'{{"custom_id":"{digest}-{key}","params":'.encode()
