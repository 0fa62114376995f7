"""What is asked of a server's session, by the client of `mcp`, versions 1 and 2, and by the SDK's conversions."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from . import watch
from .launch import Launch

MAX_TOOLS = 2_000  # of one server; the rest is not read
_CONNECTION_CLOSED = -32_000  # JSON-RPC, mcp.types
_UNSUPPORTED_VERSION = -32_022


class Closed(Exception):
    """The server has ended, or closed its connection."""


class Noise:
    """Counts what a server writes that is no message, which `mcp` passes on as exceptions."""

    def __init__(self) -> None:
        self.count = 0

    async def hear(self, message: Any) -> None:
        """Take a message that is no answer: a notification, or an exception."""
        self.count += isinstance(message, Exception)


@dataclass(frozen=True)
class Listed:
    """A tool as a server lists it: `name` is the server's, `definition` the API's parameter in wire form."""

    name: str
    definition: Mapping[str, Any]
    sdk_tool: Any


def is_installed() -> bool:
    """Whether the package `mcp` is installed."""
    return importlib.util.find_spec("mcp") is not None


def import_packages() -> None:
    """Import what sessions need, which takes a second the first time."""
    for name in ("anthropic.lib.tools.mcp", "mcp.client.stdio"):
        importlib.import_module(name)


def process_streams(launch: Launch, errors: TextIO) -> AbstractAsyncContextManager[Any]:
    """Start a server: the streams from and to it. It writes its standard error to `errors`."""
    from mcp.client.stdio import StdioServerParameters, stdio_client

    command, arguments = str(launch.command), [str(each) for each in launch.arguments]
    if os.name == "posix" and sys.executable:
        arguments = ["-I", "-S", str(Path(watch.__file__)), str(os.getpid()), command, *arguments]
        command = sys.executable
    environment = {name: str(value) for name, value in launch.environment}
    parameters = StdioServerParameters(
        command=command,
        args=arguments,
        env=environment,
        cwd=launch.folder,
        encoding_error_handler="replace",
    )
    return stdio_client(parameters, errors)


def http_streams(url: str) -> AbstractAsyncContextManager[Any]:
    """Reach a server on this machine: the streams from and to it."""
    from mcp.client.streamable_http import streamable_http_client

    return streamable_http_client(url)


@asynccontextmanager
async def over(streams: Sequence[Any], noise: Noise) -> AsyncIterator[Any]:
    """A session over streams."""
    from mcp.client.session import ClientSession

    for name in ("mcp", "client"):  # without a handler, Python prints warnings, into whatever cell runs
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    reading, writing, *_ = streams
    async with ClientSession(reading, writing, message_handler=noise.hear) as session:
        yield session


async def greeted(session: Any) -> None:
    """Agree with the server on a version of the protocol."""
    try:
        await session.initialize()
    except Exception as error:
        if _code(error) != _UNSUPPORTED_VERSION or not hasattr(session, "discover"):
            raise
        await session.discover()


async def listed(session: Any) -> Sequence[Listed]:
    """The tools of a server, of all pages of its list; the first `MAX_TOOLS`."""
    from anthropic.lib.tools.mcp import async_mcp_tool
    from mcp.types import PaginatedRequestParams

    found: list[Listed] = []
    cursors: set[str] = set()
    page = await session.list_tools()
    while True:
        for each in page.tools[: MAX_TOOLS - len(found)]:
            tool = async_mcp_tool(each, _Session(session))  # type: ignore[arg-type]
            found.append(Listed(str(each.name), dict(tool.to_dict()), tool))
        cursor = getattr(page, "next_cursor", None) or getattr(page, "nextCursor", None)
        if not cursor or cursor in cursors or len(found) >= MAX_TOOLS:
            return found
        cursors.add(cursor)
        page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))


async def called(tool: Listed, given: Mapping[str, Any]) -> Any:
    """Call a tool: the content of its result, as the SDK converts it. Raises `ToolError` for a result that is an
    error."""
    return await tool.sdk_tool.call(dict(given))


class _Session:
    """A session for the SDK's tools: what the SDK cannot convert becomes a text that says what it is."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def call_tool(self, name: str, arguments: dict[str, Any]) -> Any:
        result = await self._session.call_tool(name, arguments)
        return result.model_copy(update={"content": [_convertible(each) for each in result.content]})


def _convertible(content: Any) -> Any:
    from anthropic.lib.tools.mcp import mcp_content
    from mcp.types import TextContent

    try:
        mcp_content(content)
        return content
    except Exception:
        kind = str(getattr(content, "type", type(content).__name__))
    address = getattr(content, "uri", None) or getattr(getattr(content, "resource", None), "uri", "")
    return TextContent(type="text", text=f"[{kind} {address}".rstrip() + ": a tool's result holds text and images]")


def tool_error(message: str) -> Exception:
    """The SDK's `ToolError`, whose text is the result of a call."""
    from anthropic.lib.tools import ToolError

    return ToolError(message)


def is_tool_error(error: BaseException) -> bool:
    """Whether an error is the SDK's `ToolError`."""
    from anthropic.lib.tools import ToolError

    return isinstance(error, ToolError)


def is_closed(error: BaseException) -> bool:
    """Whether an error says that the connection is gone."""
    names = ("ClosedResourceError", "BrokenResourceError", "EndOfStream", "ConnectError", "CancelledError")
    return isinstance(error, Closed) or _code(error) == _CONNECTION_CLOSED or type(error).__name__ in names


def first(error: BaseException) -> BaseException:
    """The first error in a group of them, as task groups raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _code(error: BaseException) -> Any:
    """The code of a JSON-RPC error."""
    return getattr(getattr(error, "error", None), "code", None)
