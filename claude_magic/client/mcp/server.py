"""`Server`: one local MCP server of a kernel, in a thread whose event loop owns the session.

Calls are synchronous: an Interrupt ends the wait for a call, not the server.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from concurrent import futures
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from ...errors import UsageError
from ...interrupts import HEARD_SECONDS
from . import session
from .launch import Launch
from .standard_error import StandardError

START_SECONDS = 60.0
LIST_SECONDS = 30.0
END_SECONDS = 6.0  # mcp gives a server two seconds to end by itself, and as many after a signal
GRACE_SECONDS = 2.0  # for a call that is cancelled, and for the last words of a server that ended
_ADVICE = "Nothing was sent."


class Server:
    """A server that runs, with its tools. It is started by `start`, and ended by `end`, or by itself."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self._errors = StandardError()
        self._noise = session.Noise()
        self._ready: futures.Future[None] = futures.Future()
        self._thread = threading.Thread(target=self._run, name="claude_magic MCP server", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._session: Any = None
        self._has_ended = False

    @property
    def is_alive(self) -> bool:
        """Whether it can be called."""
        return self._thread.is_alive() and not self._has_ended

    def start(self) -> None:
        """Start it and wait until it is ready. Raises `UsageError` in a line if it cannot be started."""
        session.import_packages()  # here, so that a slow disk takes none of the server's time
        self._thread.start()
        try:
            self._ready.result(START_SECONDS)
            return
        except TimeoutError:
            other = ", and wrote something else than MCP" if self._noise.count else ""
            failure = f"it did not answer within {START_SECONDS:g} s{other}"
        except Exception as error:
            failure = self._failure(error)
        except BaseException:
            self.begin_end()
            raise
        self.begin_end()
        raise UsageError(f"--mcp {self.launch.label}: {failure}.", advice=_ADVICE)

    def tools(self) -> Sequence[session.Listed]:
        """Its tools, as it lists them. Raises `UsageError` in a line if it does not list them."""
        try:
            found: Sequence[session.Listed] = self._wait(session.listed(self._session), LIST_SECONDS)
            return found
        except TimeoutError:
            failure = f"it did not list its tools within {LIST_SECONDS:g} s"
        except Exception as error:
            failure = self._failure(error)
        raise UsageError(f"--mcp {self.launch.label}: {failure}.", advice=_ADVICE)

    def call(self, tool: session.Listed, given: Mapping[str, Any]) -> Any:
        """Call a tool: the content of its result, in wire form.

        Raises the SDK's `ToolError` for a result that is an error, and if the server refuses the call or has ended.
        """
        failure = "it has ended before this call"
        if self.is_alive:
            try:
                return self._wait(session.called(tool, given))
            except Exception as error:
                if session.is_tool_error(error):
                    raise
                failure = self._failure(error)
        raise session.tool_error(f"The MCP server {self.launch.label} failed at this call: {failure}.")

    def begin_end(self) -> None:
        """Have it end; does not wait."""
        self._has_ended = True
        if self._loop is not None and self._ending is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._ending.set)

    def end(self) -> None:
        """Have it end, and wait for that."""
        self.begin_end()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    def _failure(self, error: BaseException) -> str:
        """What went wrong, in words: the server's own last line, if it has ended."""
        if session.is_closed(error) and self.launch.url:
            self.begin_end()
            return "it does not answer at its address"
        if session.is_closed(error):
            self._errors.join(GRACE_SECONDS)
            self.begin_end()
            last = self.launch.redacted(self._errors.last_line)
            return f"it ended, and last said: {last}".rstrip(".") if last else "it ended"
        said = self.launch.redacted(error).partition(" For further information visit")[0].rstrip(".")
        kind = type(error).__name__
        return f"it does not keep to MCP: {said}" if kind == "ValidationError" else said or kind

    def _wait(self, coroutine: Coroutine[Any, Any, Any], seconds: float | None = None) -> Any:
        """The result of a coroutine that runs in the server's loop, until the server ends, or for so long."""
        if self._loop is None or not self._thread.is_alive():
            coroutine.close()
            raise session.Closed
        future = asyncio.run_coroutine_threadsafe(self._until_end(coroutine), self._loop)
        over = None if seconds is None else time.monotonic() + seconds
        try:
            # In steps: an Interrupt that comes just before a wait without an end would not be heard.
            while not future.done() and (over is None or time.monotonic() < over):
                futures.wait([future], HEARD_SECONDS)
            return future.result(0)
        except (KeyboardInterrupt, TimeoutError):
            future.cancel()
            futures.wait([future], GRACE_SECONDS)
            raise

    async def _until_end(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine. Raises `Closed` if the server ends before it."""
        assert self._ending is not None
        task, ending = asyncio.ensure_future(coroutine), asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait({task, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise session.Closed
            return task.result()
        finally:
            for each in (task, ending):
                each.cancel()

    # In the server's thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(session.first(error))
        if not self._ready.done():
            self._ready.set_exception(session.Closed())

    async def _serve(self) -> None:
        """Start the server, greet it, and keep the session open until the end."""
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda loop, context: None)  # nothing of it belongs in a cell
        try:
            async with self._connection() as self._session:
                await self._until_end(session.greeted(self._session))
                self._ready.set_result(None)
                await self._ending.wait()
        finally:
            self._has_ended = True
            self._ending.set()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            if self.launch.url:
                streams = await stack.enter_async_context(session.http_streams(self.launch.url))
            else:
                with self._errors.opened(self.begin_end) as errors:
                    streams = await stack.enter_async_context(session.process_streams(self.launch, errors))
            yield await stack.enter_async_context(session.over(streams, self._noise))
