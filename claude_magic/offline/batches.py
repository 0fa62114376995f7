"""Message Batches of the stand-in: created, processed after a given time, results as JSON lines.

As with the API, a batch's shape is checked when it is created, each request only when it is processed; results come in
another order than the requests; a batch that is cancelled, or 24 hours old, ends with the results so far.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .faults import Rejected, error_body

MAX_REQUESTS = 100_000
MAX_BATCH_BYTES = 256 * 1024 * 1024
EXPIRES_SECONDS = 86_400
MAX_PAGE = 1_000
PATH = "/v1/messages/batches"
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

Answer = Callable[[Any], Mapping[str, Any]]


@dataclass
class Batch:
    """One batch: its requests, the sender's key and beta header, its results; times are in seconds since the epoch."""

    id: str
    key: str
    requests: list[dict[str, Any]]
    header: str
    created: float
    cancelled: float | None = None
    results: list[dict[str, Any]] = field(default_factory=list)
    ended: float | None = None


class Batches:
    """The batches of a server. `seconds` is the processing time of one; `clock` gives seconds since the epoch."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock: Callable[[], float] = time.time
        self.all: dict[str, Batch] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, body: Mapping[str, Any], key: str, header: str) -> Batch:
        """Create a batch. Raises `Rejected` for a shape that the API refuses."""
        _check(body)
        with self._lock:
            number = next(self._numbers)
            name = "msgbatch_offline_" + hashlib.sha256(f"{id(self)} {number}".encode()).hexdigest()[:20]
            batch = self.all[name] = Batch(name, key, body["requests"], header, self.clock())
        return batch

    def find(self, name: str, key: str, answer: Answer) -> Batch:
        """The current state of a batch. Raises `Rejected` where this key has no batch of that id."""
        batch = self.all.get(name)
        if batch is None or batch.key != key:
            raise Rejected(f"No message batch found for id {name}", status=404)
        self._process(batch, answer)
        return batch

    def cancel(self, batch: Batch) -> None:
        """End a batch early."""
        if batch.ended is None and batch.cancelled is None:
            batch.cancelled = self.clock()

    def delete(self, batch: Batch) -> dict[str, Any]:
        """Delete a batch that has ended. Raises `Rejected` for one that has not."""
        if batch.ended is None:
            raise Rejected("Message batches can only be deleted once they have finished processing")
        del self.all[batch.id]
        return {"id": batch.id, "type": "message_batch_deleted"}

    def page(self, query: Mapping[str, list[str]], key: str, answer: Answer) -> dict[str, Any]:
        """One page of the list of a key's batches, newest first."""
        found = [batch for batch in reversed(self.all.values()) if batch.key == key]
        for batch in found:
            self._process(batch, answer)
        if "after_id" in query:
            found = found[1 + [batch.id for batch in found].index(query["after_id"][0]) :]
        limit = int(query.get("limit", ["20"])[0])
        if not 1 <= limit <= MAX_PAGE:
            raise Rejected(f"limit: Input should be between 1 and {MAX_PAGE}")
        shown = [self.described(batch, "") for batch in found[:limit]]
        ids = [each["id"] for each in shown] or [None]
        return {"data": shown, "has_more": len(found) > limit, "first_id": ids[0], "last_id": ids[-1]}

    def described(self, batch: Batch, url: str) -> dict[str, Any]:
        """A batch in the API's form."""
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        for each in batch.results:
            counts[each["result"]["type"]] += 1
        counts["processing"] = len(batch.requests) - len(batch.results)
        status = "ended" if batch.ended is not None else "in_progress" if batch.cancelled is None else "canceling"
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counts,
            "created_at": _time(batch.created),
            "expires_at": _time(batch.created + EXPIRES_SECONDS),
            "ended_at": _time(batch.ended),
            "cancel_initiated_at": _time(batch.cancelled),
            "archived_at": None,
            "results_url": f"{url}{PATH}/{batch.id}/results" if batch.ended is not None else None,
        }

    @staticmethod
    def lines(batch: Batch) -> Iterator[bytes]:
        """The results, in another order than the requests. Raises `Rejected` until the batch has ended."""
        if batch.ended is None:
            raise Rejected("This message batch has no results yet", status=404)
        return (json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in reversed(batch.results))

    def _process(self, batch: Batch, answer: Answer) -> None:
        """End a batch whose time is over. One that ends early has results for the same share of its requests."""
        with self._lock:
            now = self.clock()
            ends = batch.created + min(self.seconds, EXPIRES_SECONDS)
            if batch.cancelled is not None:
                ends = min(ends, batch.cancelled)
            if batch.ended is not None or now < ends:
                return
            share = 1.0 if not self.seconds else (ends - batch.created) / self.seconds
            done = int(len(batch.requests) * share)
            unfinished = "canceled" if batch.cancelled is not None else "expired"
            for at, each in enumerate(batch.requests):
                result = _result(each["params"], answer) if at < done else {"type": unfinished}
                batch.results.append({"custom_id": each["custom_id"], "result": result})
            batch.ended = ends


def _result(params: Any, answer: Answer) -> dict[str, Any]:
    """The result of one request: a message with the service tier `batch`, or the API's error."""
    try:
        message = dict(answer(params))
    except Rejected as rejected:
        return {"type": "errored", "error": error_body(rejected.kind, rejected.message, "")}
    return {"type": "succeeded", "message": {**message, "usage": {**message["usage"], "service_tier": "batch"}}}


def _check(body: Mapping[str, Any]) -> None:
    for name in body.keys() - {"requests"}:
        raise Rejected(f"{name}: Extra inputs are not permitted")
    requests = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise Rejected("requests: List should have at least 1 item after validation")
    if len(requests) > MAX_REQUESTS:
        raise Rejected(f"requests: List should have at most {MAX_REQUESTS} items after validation")
    seen: set[str] = set()
    for at, each in enumerate(requests):
        if not isinstance(each, dict) or each.keys() != {"custom_id", "params"}:
            raise Rejected(f"requests.{at}: custom_id and params, and nothing else, are required")
        name = each["custom_id"]
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise Rejected(f"requests.{at}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
        if name in seen:
            raise Rejected(f"requests: custom_id {name} is not unique")
        seen.add(name)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
