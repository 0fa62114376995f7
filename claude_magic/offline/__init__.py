"""The offline stand-in: the Messages API on loopback, with no key and no network, and no Claude.

    server = offline.start()        # ANTHROPIC_BASE_URL may now be server.url

Real HTTP and real SSE for the real SDK: for demos, classes and tests. It is strict where the API is
strict, so that what passes here passes there. Its replies are scripted, and say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .faults import Fault

if TYPE_CHECKING:
    from .replies.message import Draft
    from .server import Server

__all__ = ["Draft", "Fault", "Server", "start"]


def start(port: int = 0) -> Server:
    """A server that listens on 127.0.0.1 and answers from daemon threads; port 0 takes a free one."""
    from .server import Server

    return Server(port)


def __getattr__(name: str) -> Any:
    # `http.server` takes longer to import than all the rest: only who serves pays for it.
    if name == "Server":
        from .server import Server

        return Server
    if name == "Draft":
        from .replies.message import Draft

        return Draft
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
