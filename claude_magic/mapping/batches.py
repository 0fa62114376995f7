"""Submit rows as Message Batches: once, even if the kernel or the connection dies, and keep each result once.

The requests of a batch are written to the store (`store.py`) before a byte of it is sent, and its id afterwards. If the
id is missing, because something died in between, the list of batches is searched: the ids of a batch's requests begin
with a digest of all of them, so its first result identifies it. Only a batch that is nowhere is submitted again.
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
from .batch_pickup import Collected, Pickup
from .job import Job
from .progress import Progress
from .prompts import wire
from .store import Part, Results

# The API's limits of one batch (CLAUDE_API.md §10), and a little room.
MAX_REQUESTS = 100_000
MAX_BYTES = 255_000_000
CHUNK_BYTES = 1 << 18
_DIGEST = 12
_HEAD, _TAIL = b'{"requests":[', b"]}"


class _Unsure(Exception):
    """Nobody knows whether a batch was taken in."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.part = part


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
                if not retry.is_retryable(failure):
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
            delay = retry.delay_before(retries, failure, self._job.settings.max_retry_wait)
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


def _opening(digest: str, key: str) -> bytes:
    return f'{{"custom_id":"{digest}-{key}","params":'.encode()
