"""A real kernel, driven as a frontend drives it."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import KernelManager

from support import forked_kernels

SECONDS = 60
_STARTS = 3
# How long a new kernel has to answer, and then for the page to hear of it, before it is asked again.
_ANSWER_SECONDS, _ECHO_SECONDS = 1.0, 0.05


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


def _started(name: str, folder: Path, environment: dict[str, str], cold: bool) -> tuple[Any, Any]:
    """A running kernel. Jupyter finds ports, and lets them go before the kernel takes them: one may be quicker."""
    for _ in range(_STARTS - 1):
        with suppress(RuntimeError):
            return _start(name, folder, environment, cold)
    return _start(name, folder, environment, cold)


def _start(name: str, folder: Path, environment: dict[str, str], cold: bool) -> tuple[Any, Any]:
    manager: Any = KernelManager(kernel_name=name)
    with pytest.MonkeyPatch.context() as patch:
        if not cold:
            forked_kernels.use(patch)
        manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    client.start_channels()
    try:
        _wait_for_answer(manager, client)
    except RuntimeError:
        client.stop_channels()
        manager.shutdown_kernel()
        raise
    return manager, client


def _wait_for_answer(manager: Any, client: Any) -> None:
    """Wait until a kernel answers on both channels. The client's own wait takes 0.2 s more, for what else may come."""
    over = time.monotonic() + SECONDS
    while time.monotonic() < over and manager.is_alive():
        asked = client.kernel_info()
        with suppress(Empty):  # it was not yet heard, or its answer was not
            client.get_shell_msg(timeout=_ANSWER_SECONDS)
            while client.get_iopub_msg(timeout=_ECHO_SECONDS)["parent_header"].get("msg_id") != asked:
                pass
            return
    raise RuntimeError("the kernel does not answer")


class Kernel:
    """One kernel and its client. A `cold` one is a new process, as the reader's are; others have the imports of other
    packages done."""

    def __init__(self, folder: Path, *, kernel_name: str = "python3", cold: bool = False, **environment: str) -> None:
        self.folder = folder
        self.manager, self.client = _started(kernel_name, folder, {**os.environ, **environment}, cold)
        self.displays: dict[str, dict[str, Any]] = {}  # outputs of earlier cells can be updated, too

    def run(self, code: str, cell_id: str | None = None, deleted: list[str] | None = None, **watch: Any) -> Run:
        """Execute a cell as JupyterLab does: with its id, and the ids of deleted cells.

        Whoever reads a line is answered with `typed`, if that is given; else nobody can read one.
        """
        metadata = {"cellId": cell_id, "deletedCells": deleted or []} if cell_id or deleted else {}
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": "typed" in watch,
            "stop_on_error": True,
        }
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        if page := watch.get("page"):
            message["header"]["session"] = page
        started = time.monotonic()
        self.client.shell_channel.send(message)
        if "typed" in watch:
            threading.Thread(target=self._type, args=(watch["typed"],), daemon=True).start()
        run = self._collect(message["header"]["msg_id"], watch.get("on_message"))
        run.seconds = time.monotonic() - started
        failed = plain(run.error["traceback"]) if run.error else ""
        print(f">>> {code}\n{run.text}{failed}")  # pytest shows it where a test fails
        return run

    def load(self, address: str) -> None:
        """Load the extension, in the first cell, and in the second have it ask at an address with a key."""
        self.run("%load_ext claude_magic", "load")
        self.run(f"import os; os.environ.update(ANTHROPIC_API_KEY='key', ANTHROPIC_BASE_URL={address!r})", "set")

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def evaluate(self, expression: str) -> Any:
        """A Python value, by way of its JSON."""
        return json.loads(self.run(f"import json; print(json.dumps({expression}))").text)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def kill(self) -> None:
        """As `kill -9` does."""
        os.kill(self.manager.provisioner.pid, signal.SIGKILL)
        self.stop()

    def _type(self, line: str) -> None:
        """Answer the first request for a line."""
        self.client.get_stdin_msg(timeout=SECONDS)
        self.client.input(line)

    def _collect(self, msg_id: str, on_message: Callable[[dict[str, Any]], None] | None) -> Run:
        run, by_display = Run(), self.displays
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
                if display:
                    by_display[display] = output
            elif kind == "update_display_data" and display in by_display:
                by_display[display].update(data=content["data"], metadata=content["metadata"])
            if on_message:
                on_message(message)


class Page:
    """A notebook's page, with a kernel behind it: cells with outputs, in order, that can be saved."""

    def __init__(self, path: Path, *, cold: bool = False, **environment: str) -> None:
        self.path = path
        self._cold = cold
        self.cells: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        self._environment = {
            "JPY_SESSION_NAME": str(path),
            "JUPYTER_DATA_DIR": str(path.parent / "data"),
            **environment,
        }
        self.name = uuid.uuid4().hex
        self.kernel = Kernel(path.parent, cold=cold, **self._environment)

    def run(self, cell_id: str, source: str, **watch: Any) -> Run:
        """Run a cell of the page, which shows what comes."""
        run = self.kernel.run(source, cell_id, page=self.name, **watch)
        self.cells[cell_id] = (source, run.outputs)
        return run

    def load(self, *, provider: str = "offline") -> str:
        """Load the extension, as the first cell of the page does. Returns what it says of turns, without its
        greeting."""
        own = self.path.stem.replace(" ", "-")
        said = self.run(f"load-{own}", "%load_ext claude_magic").text
        self.run(f"provider-{own}", f"%config ClaudeMagic.provider = {provider!r}")
        return "".join(line for line in said.splitlines(keepends=True) if not line.startswith("claude_magic: "))

    def save(self) -> None:
        """Write the page to its file, as JupyterLab does."""
        cells = [
            nbformat.v4.new_code_cell(source, id=cell_id, outputs=[_output(each) for each in outputs])
            for cell_id, (source, outputs) in self.cells.items()
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), self.path)

    def restart(self, *, kill: bool = False) -> None:
        """A new kernel behind the same page."""
        self.kernel.kill() if kill else self.kernel.stop()
        self.kernel = Kernel(self.path.parent, cold=self._cold, **self._environment)

    def requests(self) -> list[dict[str, Any]]:
        """What the stand-in of this kernel was sent."""
        stand_in = "__import__('claude_magic').magics.kernel_of(get_ipython()).session.client.offline.requests"
        return self.kernel.evaluate(stand_in)


def _output(shown: dict[str, Any]) -> Any:
    return nbformat.from_dict({name: value for name, value in shown.items() if name != "execution_count"})


ANSI = re.compile(r"\x1b\[[0-9;]*m")


def plain(traceback: list[str]) -> str:
    """A traceback without colours."""
    return ANSI.sub("", "\n".join(traceback))
