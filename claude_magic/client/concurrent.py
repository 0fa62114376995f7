"""Concurrent requests on one event loop: each is a single attempt, and its outcome is a value.

There are no retries here, and the SDK's own are off: the caller decides, with `retry.py`.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .. import errors
from ..conversation.accumulator import Accumulator
from .events import read_async
from .refusals import id_in
from .sdk_arguments import create_arguments
from .settings import Settings, headers
from .stream import Stream

if TYPE_CHECKING:
    from . import Client

# The API sends `ping` events while Claude thinks, which reset a timeout. After so many timeouts with nothing else, the
# reply counts as stalled.
PINGED_TIMEOUTS = 5
# After the last event, the rest of an answer is read for so long, as the connection can then be used again.
DRAIN_SECONDS = 2.0

OnHeaders = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class Attempt:
    """The outcome of one request: the reply as far as it was received, and the failure, if any.

    `started` is in seconds since the epoch, `seconds` is the duration.
    """

    accumulator: Accumulator
    started: float
    seconds: float
    request_id: str | None = None
    failure: errors.ClaudeError | None = None


class ConcurrentClient:
    """The connections of one event loop. `limit` is the maximum number of concurrent requests."""

    def __init__(self, client: Client, settings: Settings, limit: int) -> None:
        """Raises `ClaudeError` if the SDK's client cannot be built."""
        self._client = client
        self._settings = settings
        self._headers = headers(settings, client.secrets())
        self._sdk = client.asynchronous(settings)
        self._create = self._sdk and self._sdk.messages.with_streaming_response.create
        self._threads = ThreadPoolExecutor(limit, "claude_magic asking")

    async def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._sdk is not None:
            await self._sdk.close()

    async def attempt(
        self, params: Mapping[str, Any], on_headers: OnHeaders, on_begun: Callable[[], None] = lambda: None
    ) -> Attempt:
        """Send a request once. `on_headers` is called with the headers of each response, error responses included;
        `on_begun` when a reply begins."""
        started, clock = time.time(), time.monotonic()
        accumulator = Accumulator()
        ids: list[str | None] = [None]
        broken: Exception | None = None
        silence = PINGED_TIMEOUTS * self._settings.timeout
        try:
            async with asyncio.timeout(silence) as stalled:
                async for event in self._events(params, ids, on_headers):
                    if not accumulator.model:
                        on_begun()
                    accumulator.add(event)
                    longest = DRAIN_SECONDS if accumulator.complete else silence
                    stalled.reschedule(asyncio.get_running_loop().time() + longest)
        except TimeoutError:
            broken = errors.StreamError(
                f"The reply stalled: nothing of it arrived for {silence:.0f} s.", request_id=ids[0]
            )
        except asyncio.CancelledError:  # what was received is kept: it is paid for
            broken = errors.ReplyInterrupted("interrupted")
        except Exception as error:
            broken = error
        seconds = time.monotonic() - clock
        failure = None
        if broken is not None and not accumulator.complete:
            failure = await self._failure(broken, str(params.get("model")), ids[0], bool(accumulator.model), on_headers)
        elif not accumulator.complete:
            failure = errors.StreamError("The reply ended before it was finished.", request_id=ids[0])
        return Attempt(accumulator, started, seconds, ids[0], failure)

    async def _failure(
        self, error: Exception, model: str, request_id: str | None, answered: bool, on_headers: OnHeaders
    ) -> errors.ClaudeError:
        """Translate an exception, in a thread, since the advice may need the API's list of models."""
        if isinstance(error, errors.ClaudeError):
            return error
        response = getattr(error, "response", None)
        if response is not None:
            on_headers(response.headers)

        def translated() -> errors.ClaudeError:
            return self._client.failure(error, self._settings, model=model, request_id=request_id, answered=answered)

        return await asyncio.get_running_loop().run_in_executor(self._threads, translated)

    async def _events(
        self, params: Mapping[str, Any], ids: list[str | None], on_headers: OnHeaders
    ) -> AsyncIterator[Mapping[str, Any]]:
        if self._sdk is None:
            loop = asyncio.get_running_loop()
            for event in await loop.run_in_executor(self._threads, self._stream_in_thread, params):
                yield event
            return
        create: Any = self._create
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old models and settings
            sent = self._client.with_tokens(params, self._settings)
            opened = create(**create_arguments(create, sent, self._headers))
        async with opened as response:
            ids[0] = id_in(response.headers)
            on_headers(response.headers)
            async for event in read_async(response, self._sdk):
                yield event

    def _stream_in_thread(self, params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """All events of a reply, by the user's own client, which is synchronous."""
        once = replace(self._settings, max_retries=0)
        return list(Stream(self._client, params, once, lambda _wait: None))
