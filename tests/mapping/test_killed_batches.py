"""A process that submits batches is killed at any moment: another goes on, submits nothing twice and loses nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from claude_magic import offline

# Where a process dies: the class, the method, and whether before or after it; or after so many pieces of what it gives.
POINTS: dict[str, tuple[str, str, int | str]] = {
    "intended, before the first byte": ("BatchRun", "_create", "before"),
    "in the middle of the body": ("BatchRun", "_body", 3),
    "after the response, before the id is written": ("Batches", "create", "after"),
    "the id is written, nothing is shown": ("Results", "submitted", "after"),
    "while polling": ("Batches", "retrieve", "after"),
    "while the results come": ("Batches", "results", 5),
    "between the download and its being kept": ("Results", "close_part", "before"),
    "kept, before the frame is bound": ("Results", "close_part", "after"),
}

CHILDREN = """
import gc, json, os, sys
from traitlets.config import Config
from IPython.core.interactiveshell import InteractiveShell
import anthropic, pandas
from claude_magic.client.batches import Batches
from claude_magic.conversation.turns import Call
from claude_magic.cost import pricing
import claude_magic.magics.map, claude_magic.mapping.run, claude_magic.session.session
from claude_magic.mapping import batch_pickup, batches, store
batch_pickup.POLL_SECONDS, batch_pickup.SETTLE_SECONDS = 0.05, 0.4
batches.MAX_REQUESTS, batches.CHUNK_BYTES = 20, 500
classes = {"BatchRun": batches.BatchRun, "Batches": Batches, "Results": store.Results}

def dying(kind, name, when):
    act = getattr(classes[kind], name)
    def die():
        os.kill(os.getpid(), 9)
    def whole(*args, **more):
        if when == "before":
            die()
        found = act(*args, **more)
        die()
    def piecewise(*args, **more):
        for at, piece in enumerate(act(*args, **more)):
            if at == when:
                die()
            yield piece
    setattr(classes[kind], name, whole if isinstance(when, str) else piecewise)

config = Config()
config.HistoryManager.enabled = False
config.ClaudeMagic.greeting = False
shell = InteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "claude_magic")
# What imports something at its first time.
pricing.call_cost(Call("claude-haiku-4-5", {"input_tokens": 1}))
with anthropic.Anthropic() as sdk:
    sdk.models.list()
gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    data, point = json.loads(line)
    child = os.fork()
    if child == 0:
        if point:
            dying(*point)
        os.environ["JUPYTER_DATA_DIR"] = data
        sys.stdout = open(os.devnull, "w")
        shell.run_cell_magic("claude_map", "list(range(50)) --batch --out result --model haiku", "Say {{item}}")
        replies = [list(map(str, shell.user_ns["result"][name])) for name in ("reply", "input_tokens", "output_tokens")]
        with open(os.path.join(data, "result.json"), "w") as file:
            json.dump(replies, file)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Children:
    """Processes that map fifty rows in three batches, each started from one that has all imported."""

    def __init__(self, server: offline.Server, parent: subprocess.Popen[str]) -> None:
        self.server = server
        self._parent = parent
        self.pid = 0

    def run(self, folder: Path, kill_after: float | None = None, point: Any = None) -> int:
        """What a process ended with, in whose data folder all is kept; it is killed after a time, or at a point."""
        assert self._parent.stdin and self._parent.stdout
        print(json.dumps([str(folder), point]), file=self._parent.stdin, flush=True)
        self.pid = int(self._parent.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            self.kill()
        return int(self._parent.stdout.readline())

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def goes_on(self, folder: Path, killed: str) -> None:
        """Another process finds all answers, and nothing was submitted twice; the tokens are the server's."""
        assert self.run(folder) == 0
        replies, read, written = json.loads((folder / "result.json").read_text())
        assert replies == [f"re: Say {item}" for item in range(50)], f"killed {killed}"
        all_batches = self.server.batches.all.values()
        every = [each["custom_id"] for batch in all_batches for each in batch.requests]
        assert len(every) == len({name.rpartition("-")[2] for name in every}) == 50, f"killed {killed}"
        usages = [each["result"]["message"]["usage"] for batch in all_batches for each in batch.results]
        assert sum(map(int, read)) == sum(usage["input_tokens"] for usage in usages)
        assert sum(map(int, written)) == sum(usage["output_tokens"] for usage in usages)


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    with offline.start() as server:
        server.script = lambda body: [{"type": "text", "text": f"re: {body['messages'][-1]['content'][0]['text']}"}]
        environment = {**os.environ, "ANTHROPIC_API_KEY": "a-key", "ANTHROPIC_BASE_URL": server.url}
        with subprocess.Popen(
            [sys.executable, "-c", CHILDREN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as parent:
            assert parent.stdin and parent.stdout
            assert parent.stdout.readline() == "ready\n"
            yield Children(server, parent)
            parent.stdin.close()


@pytest.mark.slow
def test_a_kill_at_any_moment_submits_nothing_twice_and_loses_nothing(children: Children, tmp_path: Path) -> None:
    """Ten times over, a process is killed at a random moment of a run of three batches, and another one goes on."""
    chance, killed = random.Random(), 0
    children.server.batches.seconds = 0.2
    children.server.batches.all.clear()
    began = time.monotonic()
    children.goes_on(tmp_path, "never")
    seconds = time.monotonic() - began  # of a run here and now, however fast the machine
    for number in range(10):
        (folder := tmp_path / str(number)).mkdir()
        children.server.batches.all.clear()
        moment = chance.uniform(0.0, seconds)
        if children.run(folder, moment) == -signal.SIGKILL:
            killed += 1
        else:
            seconds = moment  # it ended before
        children.goes_on(folder, f"after {moment} s")
    assert killed >= 5


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_each_step_submits_nothing_twice_and_loses_nothing(
    point: str, children: Children, tmp_path: Path
) -> None:
    children.server.batches.seconds = 0.0
    children.server.batches.all.clear()
    assert children.run(tmp_path, point=POINTS[point]) == -signal.SIGKILL
    children.goes_on(tmp_path, point)


@pytest.mark.slow
def test_a_kill_after_the_body_before_the_response_submits_nothing_twice(children: Children, tmp_path: Path) -> None:
    children.server.batches.seconds = 0.0
    children.server.batches.all.clear()
    create = children.server.batches.create
    made: list[Any] = []

    def killing(*args: Any) -> Any:
        made.append(create(*args))
        if len(made) == 2:
            children.kill()
        return made[-1]

    children.server.batches.create = killing  # type: ignore[method-assign]
    try:
        assert children.run(tmp_path) == -signal.SIGKILL
        children.goes_on(tmp_path, "after the body of the second batch")
    finally:
        del children.server.batches.create  # type: ignore[attr-defined]
