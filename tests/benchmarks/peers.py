"""The same work by us and by chatlas and jupyter-ai-magics, each in an environment of its own.

A peer is installed by uv into `.peers`, beside our tree where the resolver allows that, else alone; ours is measured in
an environment of the same Python. All ask the same loopback server, in real kernels, whose messages are counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty

import pytest

from benchmarks import sample, traffic, wire
from benchmarks.table import Row
from support.kernel import Kernel, Run

ROOT = Path(__file__).parents[2]
DELTAS = 2_000
REPETITIONS = 3
FIRST_ANSWER = "a new kernel to its first answer"
LONG_REPLY = f"a reply of {DELTAS:,} deltas at once, run to done"
LONG_REPLY_CPU = f"a reply of {DELTAS:,} deltas at once, CPU of the kernel"
LONG_REPLY_MESSAGES = f"a reply of {DELTAS:,} deltas at once, messages to the frontend"
OURS = """%%claude --once --model {model}
{question}"""


@dataclass(frozen=True)
class Tool:
    """How something is installed, and how a cell asks with it. `{address}` is the server's."""

    name: str
    packages: tuple[str, ...]
    ready: str
    ask: str
    streams: bool = True


US = Tool("claude_magic", (), "%load_ext claude_magic", OURS)
CHATLAS = Tool(
    "chatlas",
    ("chatlas[anthropic]",),
    "import chatlas",
    """import os
chat = chatlas.ChatAnthropic(
    model="{model}", api_key="{key}", kwargs=dict(base_url=os.environ["ANTHROPIC_BASE_URL"], max_retries=0)
)
_ = chat.chat("{question}")""",
)
JUPYTER_AI = Tool(
    "jupyter-ai-magics",
    ("jupyter-ai-magics", "langchain-anthropic<0.4"),
    "%load_ext jupyter_ai_magics",
    """%%ai anthropic-chat:{model}
{question}""",
    streams=False,
)


@dataclass(frozen=True)
class Installed:
    """A tool with the interpreter that has it, its version, and whether our package is there as well."""

    tool: Tool
    python: Path
    version: str
    with_us: bool

    def __str__(self) -> str:
        return f"{self.tool.name} {self.version}"


@dataclass(frozen=True)
class Measured:
    """What a tool took for one reply: seconds from a new kernel to its first answer; then, for a long reply that is
    there at once, seconds and CPU seconds, and megabytes of messages."""

    first: float
    seconds: float
    cpu: float
    megabytes: float


def rows(server: str) -> Iterator[Row]:
    """A row for each thing that both can do; what is not to be had is a row that says why."""
    ours: Measured | None = None
    for tool in (US, CHATLAS, JUPYTER_AI):
        try:
            installed = install(tool)
            found = measured(installed, server)
        except (subprocess.CalledProcessError, RuntimeError, Empty) as error:
            why = getattr(error, "stderr", b"") or str(error).encode()
            yield Row(f"{tool.name} was not measured: {' '.join(why.decode().split())[-200:]}", None, "")
        else:
            if tool is US:
                ours = found
            elif ours is not None:
                yield from _beside(ours, found, installed)


def _beside(ours: Measured, theirs: Measured, peer: Installed) -> Iterator[Row]:
    """What both took, in the order of what a reader notices."""
    beside = f"{peer}, {'with us' if peer.with_us else 'apart'}"
    yield Row(FIRST_ANSWER, ours.first, "s", theirs.first, beside)
    yield Row(LONG_REPLY, ours.seconds, "s", theirs.seconds, beside)
    yield Row(LONG_REPLY_CPU, ours.cpu, "s", theirs.cpu, beside)
    if peer.tool.streams:
        yield Row(LONG_REPLY_MESSAGES, ours.megabytes, "MB", theirs.megabytes, beside)


def install(tool: Tool) -> Installed:
    """Into `.peers`; with our tree beside it, where that resolves. Raises CalledProcessError."""
    path = ROOT / ".peers" / tool.name
    python = path / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run(
        [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, path], check=True, capture_output=True
    )
    into = [*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "ipykernel", *tool.packages]
    beside = subprocess.run([*into, "--editable", f"{ROOT}[demo]"], capture_output=True).returncode == 0
    if not beside:
        subprocess.run(into, check=True, capture_output=True)
    asked = f"import importlib.metadata; print(importlib.metadata.version({tool.name!r}))"
    version = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
    return Installed(tool, python, version, beside)


def measured(installed: Installed, server: str) -> Measured:
    """The best of some repetitions, each in a new kernel. Raises RuntimeError where a cell fails."""
    each = [_once(installed, server) for _ in range(REPETITIONS)]
    return Measured(*(min(getattr(one, name) for one in each) for name in Measured.__dataclass_fields__))


def _once(installed: Installed, server: str) -> Measured:
    tool = installed.tool
    with _kernel(installed) as kernel:
        ready = _run(kernel, tool.ready)
        first = _ask(kernel, tool, f"{server}/{wire.WARM_UP_DELTAS}/0")
        cpu = traffic.cpu(kernel)
        long = _ask(kernel, tool, f"{server}/{DELTAS}/0")
        cpu = traffic.cpu(kernel) - cpu
        if len(str(long.outputs)) < len("".join(sample.pieces(DELTAS))):
            raise RuntimeError("the reply was not shown as a whole")
        return Measured(ready.seconds + first.seconds, long.seconds, cpu, traffic.traffic(long).megabytes)


def _ask(kernel: Kernel, tool: Tool, address: str) -> Run:
    """One question, of a conversation that begins with it."""
    _run(kernel, f"import os; os.environ['ANTHROPIC_BASE_URL'] = os.environ['ANTHROPIC_API_URL'] = {address!r}")
    return _run(kernel, tool.ask.format(model=wire.MODEL, key=wire.KEY, question=wire.QUESTION))


def _run(kernel: Kernel, code: str) -> Run:
    run = kernel.run(code, cell_id="benchmark")
    if run.error is not None:
        raise RuntimeError(f"{run.error['ename']}: {run.error['evalue']}")
    return run


@contextmanager
def _kernel(installed: Installed) -> Iterator[Kernel]:
    """A kernel of that environment, with a key that opens nothing."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "kernels" / "peer" / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [str(installed.python), "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=ERROR"]
        spec.write_text(json.dumps({"argv": argv, "display_name": str(installed), "language": "python"}))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("JUPYTER_PATH", folder)
            patch.delenv("PYTHONPATH", raising=False)  # else our tree stands in each environment
            kernel = Kernel(Path(folder), kernel_name="peer", cold=True, ANTHROPIC_API_KEY=wire.KEY)
        try:
            yield kernel
        finally:
            kernel.stop()
