"""Concurrent requests of a map: each row has its own retries, and a failed row does not affect the others.

The requests are sent from an event loop in a thread of its own. The rows' expressions are evaluated in the cell's
thread, which waits for the answers and can be interrupted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from .. import errors
from ..client import Client, Settings, retry
from ..client.concurrent import Attempt, ConcurrentClient
from ..client.retry import Pace
from ..conversation.accumulator import call_of
from ..conversation.turns import Call
from ..interrupts import Noticed
from .answers import RowAnswer, answer_of, failed_answer
from .prompts import RowRequest
from .spending import SpendLimit

TICK_SECONDS = 0.2
# Answers are collected for this time and stored together: each commit takes time from the thread that sends.
GATHER_SECONDS = 0.05
# How many rows are queued per concurrent request, so that the loop does not run out of rows.
WAITING_PER_REQUEST = 8
# The number of failures in a row after which the remaining rows are not sent, since they would fail as well.
SAME_FAILURES = 20
SAME_FAILURES_AT_FIRST = 5
UNREACHED_AT_FIRST = 2
_AFFECTING_ALL = (
    errors.AuthenticationError,
    errors.BillingError,
    errors.PermissionDeniedError,
    errors.NotFoundError,
    errors.RateLimitError,
    errors.ConnectionFailedError,
)
_OF_THE_KEY = (errors.AuthenticationError, errors.BillingError)
_FATAL = (errors.CredentialsError, errors.UsageError)


# A callback that takes new answers (maybe none), and returns whether to go on.
Watch = Callable[[list[RowAnswer]], bool]


class Failures:
    """Counts failures in a row, to detect one that affects all rows: then `fatal` is set."""

    def __init__(self) -> None:
        self.fatal: errors.ClaudeError | None = None
        self._in_a_row = 0
        self._succeeded = False

    def note(self, failure: errors.ClaudeError | None) -> None:
        """Count the outcome of a row; `None` is a success."""
        if failure is None:
            self._succeeded, self._in_a_row = True, 0
        elif not self._succeeded or isinstance(failure, _AFFECTING_ALL):
            self._in_a_row += 1
            if isinstance(failure, _FATAL) or self._in_a_row >= self._limit(failure):
                self.fatal = failure

    def _limit(self, failure: errors.ClaudeError) -> int:
        if self._succeeded or not isinstance(failure, _AFFECTING_ALL):
            return SAME_FAILURES
        if isinstance(failure, _OF_THE_KEY):
            return 1
        return UNREACHED_AT_FIRST if isinstance(failure, errors.ConnectionFailedError) else SAME_FAILURES_AT_FIRST


class ConcurrentRun:
    """One run of a map's requests, of which `limit` are sent at the same time, at most.

    With `shares_prefix`, the first is on its own until it has written the prefix to the prompt cache; with a limit on
    what may be spent, rows are asked one by one until it is known what one costs.
    """

    def __init__(
        self, client: Client, settings: Settings, limit: int, spend_limit: SpendLimit, shares_prefix: bool = False
    ) -> None:
        self._spend_limit = spend_limit
        self._client = client
        self._settings = settings
        self._limit = limit
        self._pace = Pace(limit, settings.max_retry_wait, shares_prefix=shares_prefix)
        self._alone = asyncio.Lock()
        self._failures = Failures()
        self._loop = asyncio.new_event_loop()
        self._answers: SimpleQueue[RowAnswer | None] = SimpleQueue()
        self._todo: asyncio.Queue[RowRequest] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._ending = False
        self._broken_off = False

    @property
    def peak(self) -> int:
        """The largest number of requests that were under way at once."""
        return self._pace.peak

    def run(self, requests: Iterable[RowRequest], watch: Watch) -> errors.ClaudeError | None:
        """Send requests; `watch` is called with each answer once.

        Returns the failure that ended it early, if any: an Interrupt, or a failure that affects all rows. Raises
        `ClaudeError` if the client cannot be built.
        """
        self._client.sdk(self._settings)  # builds the client here, so that its errors are raised here
        thread = threading.Thread(target=self._serve, name="claude_magic map", daemon=True)
        thread.start()
        with Noticed() as interrupts:
            try:
                self._feed(iter(requests), thread, watch, interrupts)
            finally:
                self._end(thread, watch)
        if interrupts.pressed:
            return errors.ReplyInterrupted("The map was interrupted.")
        return self._failures.fatal

    def _feed(
        self, requests: Iterator[RowRequest], thread: threading.Thread, watch: Watch, interrupts: Noticed
    ) -> None:
        """Queue rows as there is room, and pass answers on as they arrive, until all are done."""
        under_way, more = 0, True
        while under_way or more:
            handed: list[RowRequest] = []
            while more and under_way < self._limit * (1 + WAITING_PER_REQUEST):
                request = _next(requests, interrupts)
                if request is None:
                    more = False
                else:
                    handed.append(request)
                    under_way += 1
            self._hand_out(handed)
            received = self._receive(under_way)
            goes_on = watch([each for each in received if each is not None])
            under_way -= len(received)
            if interrupts.pressed or not (received or thread.is_alive()):
                return
            if not goes_on or self._failures.fatal or self._spend_limit.closed:
                more, self._ending = False, True  # queued rows return unsent; requests under way are waited for

    def _hand_out(self, requests: list[RowRequest]) -> None:
        """Queue rows in the loop; does nothing if the loop has ended already."""

        def take() -> None:
            for request in requests:
                self._todo.put_nowait(request)

        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(take)

    def _receive(self, under_way: int) -> list[RowAnswer | None]:
        """The answers that have arrived: waits up to `TICK_SECONDS` for the first, then `GATHER_SECONDS` for more."""
        received: list[RowAnswer | None] = []
        with suppress(Empty):
            received.append(self._answers.get(timeout=TICK_SECONDS))
            if under_way > 1:
                time.sleep(GATHER_SECONDS)
            while True:
                received.append(self._answers.get_nowait())
        return received

    def _end(self, thread: threading.Thread, watch: Watch) -> None:
        """Cancel the requests under way, and pass on the answers that have arrived."""
        self._ending = True
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._break_off)
        thread.join()
        late: list[RowAnswer] = []
        with suppress(Empty):
            while True:
                if (answer := self._answers.get_nowait()) is not None:
                    late.append(answer)
        if late:
            watch(late)

    def _break_off(self) -> None:
        self._broken_off = True
        for worker in self._workers:
            worker.cancel()

    # In the loop's thread

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._work())
        finally:
            self._loop.close()

    async def _work(self) -> None:
        try:
            client = ConcurrentClient(self._client, self._settings, self._limit)
        except errors.ClaudeError as failure:
            self._failures.note(failure)
            self._failures.fatal = failure
            return
        self._workers = [asyncio.ensure_future(self._worker(client)) for _ in range(self._limit)]
        await asyncio.gather(*self._workers, return_exceptions=True)
        await client.close()

    async def _worker(self, client: ConcurrentClient) -> None:
        while not self._broken_off:
            request = await self._todo.get()
            if self._ending:
                self._answers.put(None)
                continue
            calls: list[Call] = []
            answer: RowAnswer | None
            try:
                answer = await self._answer_within_limit(request, client, calls)
            except asyncio.CancelledError:
                answer = failed_answer(request.key, errors.ReplyInterrupted("interrupted"), *calls)
            except Exception as error:  # an unexpected failure of one row must not end the others
                answer = failed_answer(
                    request.key, errors.StreamError(f"The reply is unreadable ({type(error).__name__})."), *calls
                )
            if calls:
                self._spend_limit.row_ended()
            self._answers.put(answer)

    async def _answer_within_limit(
        self, request: RowRequest, client: ConcurrentClient, calls: list[Call]
    ) -> RowAnswer | None:
        """`_answer`, alone as long as it is not known what a row costs."""
        if not self._spend_limit.knows_a_row:
            async with self._alone:
                if not self._spend_limit.knows_a_row:
                    return await self._answer(request, client, calls)
        return await self._answer(request, client, calls)

    async def _answer(self, request: RowRequest, client: ConcurrentClient, calls: list[Call]) -> RowAnswer | None:
        """One row's answer, with retries; each API call is appended to `calls`.

        `None` if the row was not sent, since the budget is used up or another failure affects all rows. A row that has
        cost something already is not sent again where the budget is used up.
        """
        retries, failure = 0, None
        while True:
            entered = await self._pace.enter()
            try:
                if not calls and self._failures.fatal:
                    return None
                if not self._spend_limit.allows(self._pace.running):
                    return self._failed(request, failure, calls) if calls and failure else None
                params = {**request.params, "stream": True}
                attempt = await client.attempt(params, self._pace.note_headers, self._pace.begun)
            finally:
                self._pace.leave()
            failure = attempt.failure
            if attempt.accumulator.model or failure is None:
                calls.append(self._call(attempt, str(request.params["model"])))
                self._spend_limit.paid(calls[-1])
            if failure is None:
                self._pace.answered()
                self._failures.note(None)
                return answer_of(request.key, attempt.accumulator.reply(), *calls)
            self._pace.failed(failure, entered)
            if retries >= self._settings.max_retries or self._ending or not _may_help(failure):
                return self._failed(request, failure, calls)
            try:
                delay = retry.delay_before(retries, failure, self._settings.max_retry_wait)
            except errors.ClaudeError as too_long:
                return self._failed(request, too_long, calls)
            retries += 1
            await asyncio.sleep(delay)

    def _failed(self, request: RowRequest, failure: errors.ClaudeError, calls: list[Call]) -> RowAnswer:
        self._failures.note(failure)
        return failed_answer(request.key, failure, *calls)

    def _call(self, attempt: Attempt, model: str) -> Call:
        return call_of(
            attempt.accumulator.reply(),
            model=model,
            started=attempt.started,
            seconds=attempt.seconds,
            request_id=attempt.request_id,
            provider=self._client.provider(self._settings),
        )


def _next(requests: Iterator[RowRequest], interrupts: Noticed) -> RowRequest | None:
    """The next row's request; `None` at the end, or after an Interrupt, which may break off a row's expression."""
    if interrupts.pressed:
        return None
    try:
        with interrupts.raised():
            return next(requests, None)
    except KeyboardInterrupt:
        return None


def _may_help(failure: errors.ClaudeError) -> bool:
    """Whether to retry. Unlike in a cell, a reply that broke off is retried too, since nothing of it was shown."""
    return retry.is_retryable(failure) or isinstance(failure, errors.StreamError)
