"""`python -m claude_magic.offline`: the stand-in, served until interrupted."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence

from . import start


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the stand-in, print its address, and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m claude_magic.offline", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--pace", type=float, metavar="EVENTS_PER_SECOND", help="stream no faster than this")
    options = parser.parse_args(arguments)
    server = start(options.port)
    server.pace = options.pace
    print(f"Offline stand-in, not Claude: {server.url}", flush=True)
    print(f"Any key will do. Point the SDK at it: export ANTHROPIC_BASE_URL={server.url}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.stop()


if __name__ == "__main__":
    main()
