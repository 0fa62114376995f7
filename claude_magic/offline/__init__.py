"""The offline stand-in: a Messages API server on 127.0.0.1, with scripted replies, no key and no network.

    server = offline.start()        # set ANTHROPIC_BASE_URL to server.url

It serves the real SDK over real HTTP and SSE: for demos, classes and tests. It refuses what the API
refuses, so that a request that passes here passes there. Every reply in prose says that it is not Claude's; to the
questions of the teaching notebooks it is a written example.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .faults import Fault

if TYPE_CHECKING:
    from .replies.message import Draft
    from .server import Server

__all__ = ["Draft", "Fault", "Server", "start"]


def start(port: int = 0) -> Server:
    """Start a server on 127.0.0.1 that answers from daemon threads; port 0 takes a free port."""
    from .server import Server

    return Server(port)


def __getattr__(name: str) -> Any:
    # Import on first use: `http.server` takes longer to import than all the rest.
    if name == "Server":
        from .server import Server

        return Server
    if name == "Draft":
        from .replies.message import Draft

        return Draft
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
