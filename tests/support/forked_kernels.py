"""Kernels that are forks of a process which has imported what a first question needs of other packages: they begin with
a third of the work of a new process. Nothing of claude_magic is imported before the fork, and nothing is shared after.
What the interpreter reads as it starts (PYTHON…) is as it was at the first of them. Who watches a start takes a cold
kernel, a new process: so are those of benchmarks, and of a Jupyter server that a test has for itself.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

if TYPE_CHECKING:
    import pytest

# Elsewhere there is no fork, or one that libraries of the system do not survive (macOS).
_AVAILABLE = sys.platform == "linux"
_LOOK_SECONDS = 0.005
_PACKAGES = (
    *("anthropic", "anthropic.resources.beta", "anthropic.resources.messages", "fastjsonschema"),
    *("genai_prices.data", "h11", "httpcore2", "ipykernel.debugger", "ipykernel.ipkernel", "ipykernel.kernelapp"),
    *("IPython.core.magics.execution", "ipywidgets", "markdown_it", "nbformat.v4", "nh3", "opentelemetry.trace"),
    "sqlite3",
)


class ForkedProvisioner(LocalProvisioner):
    """Starts a kernel as a fork."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        if "ipykernel_launcher" not in cmd:  # another language's
            return await super().launch_kernel(cmd, **kwargs)
        arguments = cmd[cmd.index("ipykernel_launcher") :]
        pid = _origin().ask(start=arguments, folder=str(kwargs["cwd"]), environment=kwargs["env"])
        process_file(arguments[arguments.index("-f") + 1]).write_text(str(pid))
        self.process = _Process(pid)
        self.pid = self.pgid = pid
        self.cwd = kwargs["cwd"]
        return self.connection_info

    async def kill(self, restart: bool = False) -> None:
        """Kill it, and wait until it has ended: the client would look every tenth of a second."""
        await super().kill(restart)
        while await self.poll() is None:
            await asyncio.sleep(_LOOK_SECONDS)
        self.process = None


def process_file(connection: str) -> Path:
    """The file beside a kernel's connection file that has the number of its process, which its command line lacks."""
    return Path(connection).with_suffix(".pid")


def use(patch: pytest.MonkeyPatch) -> None:
    """Have all kernels that this process starts be forks, whoever starts them."""
    if _AVAILABLE:
        factory = KernelProvisionerFactory.instance()
        own = EntryPoint("forked", f"{__name__}:{ForkedProvisioner.__name__}", factory.GROUP_NAME)
        patch.setitem(factory.provisioners, own.name, own)
        patch.setattr(factory, "default_provisioner_name", own.name)


def configuration() -> str:
    """The configuration of a Jupyter server, in Python, whose kernels are all forks."""
    tests = str(Path(__file__).parents[1])
    return f"""import sys
sys.path.append({tests!r})
import pytest
from support import forked_kernels
forked_kernels.use(pytest.MonkeyPatch())
"""


class _Process:
    """A kernel's process, as LocalProvisioner knows a `subprocess.Popen`. It is no child of ours."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = _origin().ask(poll=self.pid)
        return self.returncode

    wait = poll  # which is asked when it has ended

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Origin:
    """The process that the kernels are forks of: it answers a line of JSON with another."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        command = [sys.executable, "-Xfrozen_modules=off", __file__]  # so do debuggers want it
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, start_new_session=True)
        atexit.register(self.process.communicate)  # it ends with its input

    def ask(self, **request: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


@cache
def _origin() -> _Origin:
    """The one of this process."""
    return _Origin()


def _serve() -> bool:
    """Fork a kernel at each request, and say with which code one has ended. True in a kernel."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nothing else that is printed is an answer
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            answer: int | None = os.fork()
            if answer == 0:
                answers.close()
                _begin(**request)
                return True
        else:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), file=answers, flush=True)
    return False


def _begin(start: list[str], folder: str, environment: dict[str, str]) -> None:
    """Make of the fork what a process is that has just been started."""
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = start
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _main() -> None:
    sys.path.remove(str(Path(__file__).parent))
    os.environ["JPY_PARENT_PID"] = str(os.getpid())  # the kernels end with this process
    for name in _PACKAGES:
        with suppress(ImportError):  # other versions may have it elsewhere
            importlib.import_module(name)
    gc.freeze()
    if _serve():
        from ipykernel import kernelapp

        kernelapp.launch_new_instance()


if __name__ == "__main__":
    _main()
