"""An MCP server of the package `mcp` itself, version 1 or 2: a script that a test runs as its own process."""

from __future__ import annotations

import base64
import io
import os
import socket
import sys
import time

import mcp.types
from PIL import Image as Picture

try:
    from mcp.server.mcpserver import Image, MCPServer
except ImportError:  # mcp 1
    from mcp.server.fastmcp import FastMCP as MCPServer
    from mcp.server.fastmcp import Image

server = MCPServer("demo")


@server.tool()
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def pid() -> str:
    """The server's process."""
    return str(os.getpid())


@server.tool()
def environment() -> str:
    """What the server inherits."""
    return "\n".join(f"{name}={value}" for name, value in sorted(os.environ.items()))


@server.tool()
def picture() -> Image:
    """A picture."""
    file = io.BytesIO()
    Picture.new("RGB", (8, 6), "red").save(file, "PNG")
    return Image(data=file.getvalue(), format="png")


@server.tool(structured_output=False)
def resources() -> list[mcp.types.ContentBlock]:
    """A text, a text resource, a sound and a link."""
    page = {"uri": "file:///page.txt", "mimeType": "text/plain", "text": "words of the page"}
    contents = [
        {"type": "text", "text": "before"},
        {"type": "resource", "resource": page},
        {"type": "audio", "data": base64.b64encode(b"sound").decode(), "mimeType": "audio/wav"},
        {"type": "resource_link", "name": "more", "uri": "file:///more.txt"},
    ]
    kinds = (mcp.types.TextContent, mcp.types.EmbeddedResource, mcp.types.AudioContent, mcp.types.ResourceLink)
    return [kind.model_validate(each) for kind, each in zip(kinds, contents, strict=True)]


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no such thing")


@server.tool()
def sleep(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "slept"


@server.tool()
def die() -> str:
    """End the server."""
    print("out of memory", file=sys.stderr, flush=True)
    os._exit(3)


def serve_http(port: int) -> None:
    """Serve at an address, and print its port."""
    import uvicorn

    listening = socket.create_server(("127.0.0.1", port))
    print(listening.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_level="critical")).run(sockets=[listening])


if __name__ == "__main__":
    if sys.argv[1:2] == ["http"]:
        serve_http(int(sys.argv[2]))
        sys.exit()
    print("demo server starts", file=sys.stderr)
    server.run()
