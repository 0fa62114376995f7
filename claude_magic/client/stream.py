"""The event stream of one request, with visible, interruptible retries, over a transport.

The SDK's own retries are off: they wait silently, for as long as the server asks. What stands above a transport is
written once, as coroutines: `BLOCKING` never suspends them, and `now` runs them to their end; `OnLoop` is for an event
loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from .. import errors
from ..conversation.wait import Wait
from .events import read, read_async
from .refusals import id_in
from .retry import delay_before, is_retryable, retry_reason
from .sdk_arguments import create_arguments
from .settings import Settings, headers

if TYPE_CHECKING:
    import httpx2

    from . import Client

T = TypeVar("T")
# The arguments for the SDK's method, which is given; called just before the request is sent.
Arguments = Callable[[Callable[..., Any]], dict[str, Any]]
OnHeaders = Callable[[Any], None]  # the headers of httpx2


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over `BLOCKING` to its end, in this thread and without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine over a blocking transport was suspended")


class Transport(Protocol):
    """How a request is sent, and how its sender waits."""

    def events(
        self, client: Client, settings: Settings, arguments: Arguments, on_headers: OnHeaders
    ) -> AsyncGenerator[Any, None]:
        """Send a request once. Yields the events of the answer, behind a call of `on_headers`; raises what the SDK
        raises."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function that may wait for the network."""


class _Blocking:
    """Blocks the thread, with the SDK's synchronous client."""

    async def events(
        self, client: Client, settings: Settings, arguments: Arguments, on_headers: OnHeaders
    ) -> AsyncGenerator[Any, None]:
        sdk = client.sdk(settings)
        create: Any = sdk.messages.with_streaming_response.create
        given = arguments(create)
        with ExitStack() as stack:
            with _without_warnings():
                response = stack.enter_context(create(**given))
            on_headers(response.headers)
            for event in read(response, sdk):
                yield event

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        return function(*arguments)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Silence the SDK's warnings of old models and settings: we say so ourselves. Only in the main thread: the filters
    are the process's, and threads would leave each other's behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class OnLoop:
    """Suspends the task, with the SDK's asynchronous client; the user's own client, which is synchronous, is asked in a
    thread."""

    async def events(
        self, client: Client, settings: Settings, arguments: Arguments, on_headers: OnHeaders
    ) -> AsyncGenerator[Any, None]:
        """As the protocol says."""
        connected = await client.connected(settings)
        if connected is None:
            in_thread = _in_thread(BLOCKING.events(client, settings, arguments, on_headers))
            async with aclosing(in_thread) as events:
                async for event in events:
                    yield event
            return
        create: Any = connected.sdk.messages.with_streaming_response.create
        given = arguments(create)
        async with create(**given) as response:
            on_headers(response.headers)
            async with aclosing(read_async(response, connected.sdk)) as received:
                async for event in received:
                    yield event

    async def sleep(self, seconds: float) -> None:
        """As the protocol says."""
        await asyncio.sleep(seconds)

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """As the protocol says: in a thread, so that the loop goes on."""
        return await asyncio.to_thread(function, *arguments)


BLOCKING: Transport = _Blocking()
_END = object()


async def _next(events: AsyncGenerator[Any, None]) -> Any:
    return await anext(events, _END)


def _walked(events: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
    """The events of a generator over `BLOCKING`."""
    try:
        while (event := now(_next(events))) is not _END:
            yield event
    finally:
        now(events.aclose())


async def _in_thread(blocking: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The events of a generator over `BLOCKING`, which runs in a thread of its own."""
    events = _walked(blocking)
    thread = ThreadPoolExecutor(1, "claude_magic asking")
    try:
        while (event := await asyncio.get_running_loop().run_in_executor(thread, next, events, _END)) is not _END:
            yield event
    finally:
        thread.submit(events.close)
        thread.shutdown(wait=False)


class Stream:
    """The events of one request, as plain dicts, with retries.

    `request_id` and `retries` are those of the current attempt; `sent` is when the first one was sent
    (`time.monotonic`). After a retry, a `message_start` event starts the reply over. The iteration ends
    with `message_stop`; any other end raises a `ClaudeError`. Over `BLOCKING`, it can be iterated with `for` as well.
    """

    def __init__(
        self,
        client: Client,
        params: Mapping[str, Any],
        settings: Settings,
        on_wait: Callable[[Wait], None],
        transport: Transport = BLOCKING,
    ) -> None:
        self._client = client
        self._params = params
        self._settings = settings
        self._on_wait = on_wait
        self._transport = transport
        self.request_id: str | None = None
        self.retries = 0
        self._answered = False
        self.sent = time.monotonic()

    def __iter__(self) -> Generator[Any, None, None]:
        return _walked(self.__aiter__())

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        while True:
            visible = False
            broken: Exception | None = None
            try:
                async with aclosing(self._attempt()) as attempt:
                    async for event in attempt:
                        if not isinstance(event, dict):
                            raise errors.StreamError("The reply is unreadable: an event in it is no object.")
                        visible = visible or _is_visible(event)
                        yield event
                        if event.get("type") == "message_stop":
                            return
            except Exception as error:
                broken = error
            # outside of `except`: the exception can hold the key, as its context or as a local variable
            translated, broken = partial(self._failure, broken), None
            failure = await self._transport.call(translated)
            del translated
            self._client.forget()
            if visible or self.retries >= self._settings.max_retries or not is_retryable(failure):
                raise failure
            await self._wait(failure)

    def _attempt(self) -> AsyncGenerator[Any, None]:
        self.request_id, self._answered = None, False
        return self._transport.events(self._client, self._settings, self._arguments, self._note_headers)

    def _arguments(self, create: Callable[..., Any]) -> dict[str, Any]:
        extra_headers = headers(self._settings, self._client.secrets())
        arguments = create_arguments(create, self._client.with_tokens(self._params, self._settings), extra_headers)
        if not self.retries:
            self.sent = time.monotonic()  # the time to build the SDK's client is not counted as Claude's
        return arguments

    def _note_headers(self, received: httpx2.Headers) -> None:
        self._answered = True
        self.request_id = id_in(received)

    async def _wait(self, failure: errors.ClaudeError) -> None:
        """Pause before the next attempt, and report it each second. Raises the failure if the pause is too long."""
        delay = delay_before(self.retries, failure, self._settings.max_retry_wait)
        self.retries += 1
        end = time.monotonic() + delay
        while (left := end - time.monotonic()) > 0:
            self._on_wait(Wait(retry_reason(failure), left, self.retries, self._settings.max_retries))
            await self._transport.sleep(min(left, 1.0))

    def _failure(self, error: Exception | None) -> errors.ClaudeError:
        """Translate the exception that ended an attempt; `None` stands for an end without `message_stop`."""
        if error is None:
            return errors.StreamError("The reply ended before it was finished.", request_id=self.request_id)
        return self._client.failure(
            error,
            self._settings,
            model=str(self._params.get("model")),
            request_id=self.request_id,
            answered=self._answered,
        )


def _is_visible(event: Mapping[str, Any]) -> bool:
    """Whether an event adds something that the reader sees: after that, a retry would show a second reply."""
    delta = event.get("delta") if event.get("type") == "content_block_delta" else None
    return isinstance(delta, dict) and any(delta.get(name) for name in ("text", "thinking", "partial_json"))
