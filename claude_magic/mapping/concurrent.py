"""Ask rows now: many requests side by side, each with its own retries; a failed row costs no other row.

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
from .prompts import Ask
from .spending import SpendLimit

TICK_SECONDS = 0.2
# Answers are taken in by the handful: each time costs a commit, and the thread that asks its turn.
GATHER_SECONDS = 0.05
# So many rows may wait beside those that are asked, so that none is waited for.
WAITING_PER_REQUEST = 8
# What is wrong with one is wrong with all: so many failures in a row, and the rest is not asked.
SAME_FAILURES = 20
SAME_FAILURES_AT_FIRST = 5
UNREACHED_AT_FIRST = 2
_OF_ALL = (
    errors.AuthenticationError,
    errors.BillingError,
    errors.PermissionDeniedError,
    errors.NotFoundError,
    errors.RateLimitError,
    errors.ConnectionFailedError,
)
_AT_ONCE = (errors.CredentialsError, errors.UsageError)


# Takes some answers, none where only time has passed, and says whether to go on asking.
Watch = Callable[[list[RowAnswer]], bool]


class Failures:
    """How many requests in a row failed in a way that the others will, too."""

    def __init__(self) -> None:
        self.fatal: errors.ClaudeError | None = None
        self._in_a_row = 0
        self._succeeded = False

    def note(self, failure: errors.ClaudeError | None) -> None:
        """What became of a row."""
        if failure is None:
            self._succeeded, self._in_a_row = True, 0
        elif not self._succeeded or isinstance(failure, _OF_ALL):
            self._in_a_row += 1
            if isinstance(failure, _AT_ONCE) or self._in_a_row >= self._limit(failure):
                self.fatal = failure

    def _limit(self, failure: errors.ClaudeError) -> int:
        if self._succeeded or not isinstance(failure, _OF_ALL):
            return SAME_FAILURES
        return UNREACHED_AT_FIRST if isinstance(failure, errors.ConnectionFailedError) else SAME_FAILURES_AT_FIRST


class ConcurrentRun:
    """One map's requests. `limit` is how many go side by side at most."""

    def __init__(self, client: Client, settings: Settings, limit: int, purse: SpendLimit) -> None:
        self._purse = purse
        self._client = client
        self._settings = settings
        self._limit = limit
        self._pace = Pace(limit, settings.max_retry_wait)
        self._failures = Failures()
        self._loop = asyncio.new_event_loop()
        self._answers: SimpleQueue[RowAnswer | None] = SimpleQueue()
        self._todo: asyncio.Queue[Ask] = asyncio.Queue()
        self._workers: list[asyncio.Task[None]] = []
        self._ending = False
        self._broken_off = False

    @property
    def peak(self) -> int:
        """How many requests were under way at once, at most."""
        return self._pace.peak

    def run(self, asks: Iterable[Ask], watch: Watch) -> errors.ClaudeError | None:
        """Ask, and tell of each answer once. Returns why it ended early: an Interrupt, or what fails for all rows.

        Raises `ClaudeError` where there is no way to ask at all.
        """
        self._client.sdk(self._settings)  # the import, and what can be wrong with it, come here
        thread = threading.Thread(target=self._serve, name="claude_magic map", daemon=True)
        thread.start()
        with Noticed() as interrupts:
            try:
                self._feed(iter(asks), thread, watch, interrupts)
            finally:
                self._end(thread, watch)
        if interrupts.pressed:
            return errors.ReplyInterrupted("The map was interrupted.")
        return self._failures.fatal

    def _feed(self, asks: Iterator[Ask], thread: threading.Thread, watch: Watch, interrupts: Noticed) -> None:
        """Hand out rows as there is room, and take answers as they come, until there are no more."""
        under_way, more = 0, True
        while under_way or more:
            handed: list[Ask] = []
            while more and under_way < self._limit * (1 + WAITING_PER_REQUEST):
                ask = _next(asks, interrupts)
                if ask is None:
                    more = False
                else:
                    handed.append(ask)
                    under_way += 1
            self._hand_out(handed)
            received = self._come(under_way)
            goes_on = watch([each for each in received if each is not None])
            under_way -= len(received)
            if interrupts.pressed or not (received or thread.is_alive()):
                return
            if not goes_on or self._failures.fatal or self._purse.closed:
                more, self._ending = False, True  # what waits comes back unasked; what is asked is waited for

    def _hand_out(self, asks: list[Ask]) -> None:
        """Give rows to the loop. Where it has ended already, nobody waits for them."""

        def take() -> None:
            for ask in asks:
                self._todo.put_nowait(ask)

        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(take)

    def _come(self, under_way: int) -> list[RowAnswer | None]:
        """The answers that have come; waits a moment for the first, and a blink for those beside it."""
        received: list[RowAnswer | None] = []
        with suppress(Empty):
            received.append(self._answers.get(timeout=TICK_SECONDS))
            if under_way > 1:
                time.sleep(GATHER_SECONDS)
            while True:
                received.append(self._answers.get_nowait())
        return received

    def _end(self, thread: threading.Thread, watch: Watch) -> None:
        """Break off what is under way; what had come by then is told of."""
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
            ask = await self._todo.get()
            if self._ending:
                self._answers.put(None)
                continue
            calls: list[Call] = []
            answer: RowAnswer | None
            try:
                answer = await self._answer(ask, client, calls)
            except asyncio.CancelledError:
                answer = failed_answer(ask.key, errors.ReplyInterrupted("interrupted"), *calls)
            except Exception as error:  # of a row that nobody foresaw, the others know nothing
                answer = failed_answer(
                    ask.key, errors.StreamError(f"The reply is unreadable ({type(error).__name__})."), *calls
                )
            if answer is not None:
                self._purse.paid(answer.calls)
            self._answers.put(answer)

    async def _answer(self, ask: Ask, client: ConcurrentClient, calls: list[Call]) -> RowAnswer | None:
        """One row's answer, over as many attempts as it takes; `calls` are added to as they end.

        `None` where it was not asked: the budget is used up, or what is wrong is wrong for all.
        """
        retries = 0
        while True:
            entered = await self._pace.enter()
            try:
                if not calls and (self._failures.fatal or not self._purse.allows(self._pace.running)):
                    return None
                attempt = await client.attempt({**ask.params, "stream": True}, self._pace.note_headers)
            finally:
                self._pace.leave()
            failure = attempt.failure
            if attempt.accumulator.model or failure is None:
                calls.append(self._call(attempt, str(ask.params["model"])))
            if failure is None:
                self._pace.answered()
                self._failures.note(None)
                return answer_of(ask.key, attempt.accumulator.reply(), *calls)
            self._pace.failed(failure, entered)
            if retries >= self._settings.max_retries or self._ending or not _may_help(failure):
                return self._failed(ask, failure, calls)
            try:
                delay = retry.delay_before(retries, failure, self._settings.max_retry_wait)
            except errors.ClaudeError as too_long:
                return self._failed(ask, too_long, calls)
            retries += 1
            await asyncio.sleep(delay)

    def _failed(self, ask: Ask, failure: errors.ClaudeError, calls: list[Call]) -> RowAnswer:
        self._failures.note(failure)
        return failed_answer(ask.key, failure, *calls)

    def _call(self, attempt: Attempt, model: str) -> Call:
        return call_of(
            attempt.accumulator.reply(),
            model=model,
            started=attempt.started,
            seconds=attempt.seconds,
            request_id=attempt.request_id,
            provider=self._client.provider(self._settings),
        )


def _next(asks: Iterator[Ask], interrupts: Noticed) -> Ask | None:
    """The next row's request; none after an Interrupt, which breaks an expression of the reader's off."""
    if interrupts.pressed:
        return None
    try:
        with interrupts.raised():
            return next(asks, None)
    except KeyboardInterrupt:
        return None


def _may_help(failure: errors.ClaudeError) -> bool:
    """Whether to ask again: of a reply that broke off nobody has seen anything, so it can begin anew."""
    return retry.is_retryable(failure) or isinstance(failure, errors.StreamError)
