"""A real kernel, driven as a frontend drives it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

SECONDS = 60


@dataclass
class Run:
    """What one execution showed: the outputs as a notebook would hold them, and all messages."""

    outputs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def error(self) -> dict[str, Any] | None:
        return next((each for each in self.outputs if each["output_type"] == "error"), None)

    @property
    def text(self) -> str:
        """What was printed."""
        return "".join(each["text"] for each in self.outputs if each["output_type"] == "stream")

    @property
    def bytes(self) -> int:
        """The size of all messages of the run."""
        return sum(len(json.dumps(message["content"])) for message in self.messages)

    def shown(self, kind: str) -> list[str]:
        """The data of one MIME type, in the order of the outputs."""
        return [each["data"][kind] for each in self.outputs if kind in each.get("data", {})]

    def turn(self) -> dict[str, Any]:
        """The turn that rides along in the header's metadata."""
        (found,) = [
            each["metadata"]["claude_magic"] for each in self.outputs if "claude_magic" in each.get("metadata", {})
        ]
        assert found["version"] == 1
        return found["turn"]


class Kernel:
    """One kernel and its client."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager, self.client = start_new_kernel(cwd=str(folder))

    def run(self, code: str, cell_id: str | None = None, deleted: list[str] | None = None, **watch: Any) -> Run:
        """Execute a cell as JupyterLab does: with its id, and the ids of deleted cells."""
        metadata = {"cellId": cell_id, "deletedCells": deleted or []} if cell_id or deleted else {}
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        started = time.monotonic()
        self.client.shell_channel.send(message)
        run = self._collect(message["header"]["msg_id"], watch.get("on_message"))
        run.seconds = time.monotonic() - started
        return run

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def evaluate(self, expression: str) -> Any:
        """A Python value, by way of its JSON."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))").text)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def _collect(self, msg_id: str, on_message: Callable[[dict[str, Any]], None] | None) -> Run:
        run, by_display = Run(), {}
        while True:
            message = self.client.get_iopub_msg(timeout=SECONDS)
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            run.messages.append(message)
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return run
            display = (
                content.get("transient", {}).get("display_id") if isinstance(content.get("transient"), dict) else None
            )
            if kind in ("display_data", "execute_result", "stream", "error"):
                output = {
                    "output_type": kind,
                    **{name: value for name, value in content.items() if name != "transient"},
                }
                run.outputs.append(output)
                by_display[display] = output
            elif kind == "update_display_data" and display in by_display:
                by_display[display].update(data=content["data"], metadata=content["metadata"])
            if on_message:
                on_message(message)


ANSI = re.compile(r"\x1b\[[0-9;]*m")


def plain(traceback: list[str]) -> str:
    """A traceback without colours."""
    return ANSI.sub("", "\n".join(traceback))
