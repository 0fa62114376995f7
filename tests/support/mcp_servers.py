"""Local MCP servers for tests: the scripts beside this file, and how to start them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from claude_magic.client.mcp.launch import Launch
from claude_magic.content.secrets import Hidden

FOLDER = Path(__file__).parent
REAL = FOLDER / "mcp_server.py"
RAW = FOLDER / "raw_mcp_server.py"
SECONDS = 20.0


def tool(name: str, schema: Any = None, **more: Any) -> dict[str, Any]:
    """A tool as a server lists it."""
    return {"name": name, "inputSchema": {"type": "object"} if schema is None else schema, **more}


class RawServer:
    """The raw server with a script of its own, in a folder of the test."""

    def __init__(self, folder: Path, tools: Sequence[Mapping[str, Any]] = (), **script: Any) -> None:
        self.pid_file = folder / "pid"
        self.called = folder / "called"  # is there once a tool was called
        self.path = folder / "script.json"
        notes = {"pid_file": str(self.pid_file), "called_file": str(self.called)}
        self.path.write_text(json.dumps({"pages": [tools], **notes, **script}))

    @property
    def words(self) -> list[str]:
        return [sys.executable, str(RAW), str(self.path)]

    @property
    def line(self) -> str:
        """As it is typed after `--mcp`."""
        return f'"{" ".join(self.words)}"'

    @property
    def pid(self) -> int:
        return int(self.pid_file.read_text())

    def launch(self, **more: Any) -> Launch:
        return launch(self.words, **more)


def launch(words: Sequence[str], **more: Any) -> Launch:
    return Launch(command=Hidden(words[0]), arguments=tuple(map(Hidden, words[1:])), **more)


def is_running(pid: int) -> bool:
    """Whether there is such a process; one that has ended and is waited for by nobody counts as ended."""
    status = Path(f"/proc/{pid}/stat")
    try:
        os.kill(pid, 0)
        return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
    except (ProcessLookupError, FileNotFoundError):  # it may end while it is looked at
        return False


def wait_until(holds: Callable[[], bool]) -> bool:
    """Wait until something holds, for a while."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
