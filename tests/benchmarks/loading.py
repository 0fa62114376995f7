"""What `%load_ext claude_magic` adds to a bare IPython, in fresh processes with compiled bytecode, and how long the
turns of a large notebook take to come back."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.table import Row, best
from benchmarks.wire import environment
from claude_magic.conversation import record
from claude_magic.conversation.turns import Call, Turn
from claude_magic.notebook import reader

HEAVY = ("anthropic", "httpx2", "genai_prices", "markdown_it", "PIL", "narwhals", "nbformat", "ipywidgets")
MAX_OF_THE_START = 0.1
REPETITIONS = 12
TURNS = 500
MAX_OVER_NBFORMAT_MILLISECONDS = 1000.0
SCRIPT = f"""
import json, sys, time
began = time.perf_counter()
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
ready = time.perf_counter()
before = set(sys.modules)
shell.run_line_magic("load_ext", "claude_magic")
done = time.perf_counter()
added = set(sys.modules) - before
heavy = sorted(added & set({HEAVY!r}))
print(json.dumps({{"start": ready - began, "load": done - ready, "heavy": heavy, "modules": len(added)}}))
"""


def rows() -> Iterator[Row]:
    """How long loading takes in a fresh shell, and what it imports."""
    with tempfile.TemporaryDirectory() as folder:
        load(folder)  # compiles the bytecode
        runs = [load(folder) for _ in range(REPETITIONS)]
        start = 1000 * min(run["start"] for run in runs)
        loading = 1000 * min(run["load"] for run in runs)
        what = "%load_ext claude_magic"
        yield Row(what, loading, "ms", start, "bare InteractiveShell start", max_ratio=MAX_OF_THE_START)
        heavy = runs[0]["heavy"]
        what = "heavy modules it imports" + (f" ({', '.join(heavy)})" if heavy else "")
        yield Row(what, len(heavy), "", runs[0]["modules"], "modules that it imports in all", max_ours=0)
        yield coming_back(Path(folder))


def coming_back(folder: Path) -> Row:
    """How long the turns of a large notebook take to be read, once nbformat is imported."""
    import nbformat

    path = folder / "large.ipynb"
    path.write_text(
        json.dumps({"cells": [_cell(number) for number in range(TURNS)], "metadata": {}, **_FORMAT}, indent=1)
    )
    megabytes = path.stat().st_size / 1e6
    assert len(reader.read(path).turns) == TURNS  # imports nbformat

    def seconds(read: Callable[[], Any]) -> float:
        began = time.perf_counter()
        read()
        return time.perf_counter() - began

    found = best(
        {
            "ours": lambda: seconds(lambda: reader.read(path)),
            "nbformat": lambda: seconds(lambda: nbformat.read(path, as_version=4)),
        },
        REPETITIONS,
    )
    what = f"{TURNS} turns come back from a file of {megabytes:.0f} MB"
    theirs = 1000 * found["nbformat"]
    limit = theirs + MAX_OVER_NBFORMAT_MILLISECONDS
    return Row(what, 1000 * found["ours"], "ms", theirs, "nbformat.read", max_ours=limit)


_FORMAT = {"nbformat": 4, "nbformat_minor": 5}


def _cell(number: int) -> dict[str, Any]:
    """A cell with a long reply and an image, as Jupyter writes it."""
    reply = [
        {"type": "thinking", "thinking": "t" * 3000, "signature": "s" * 3000},
        {"type": "text", "text": "answer \n" * 400},
    ]
    prompt = {"role": "user", "content": [{"type": "text", "text": "q" * 500}]}
    call = Call("claude-opus-5-5", {"input_tokens": 5, "output_tokens": 6})
    turn = Turn(f"turn{number}", (prompt, {"role": "assistant", "content": reply}), (call,), created=1.0)
    shown = [
        ({"text/html": "x" * 4000, "text/plain": "y"}, record.metadata(turn)),
        ({"text/markdown": ["answer \n"] * 400, "text/plain": ["answer \n"] * 400}, {}),
        ({"image/png": "A" * 12_000}, {}),
    ]
    outputs = [{"output_type": "display_data", "data": data, "metadata": metadata} for data, metadata in shown]
    return {"cell_type": "code", "id": f"c{number}", "metadata": {}, "source": "%%claude\nhello", "outputs": outputs}


def load(folder: str) -> dict[str, Any]:
    """One fresh shell that loads the extension: seconds, the heavy modules, and the number of all modules."""
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=_environment(folder), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(folder: str) -> dict[str, str]:
    """A profile and compiled bytecode of their own, whatever the caller's settings are."""
    return environment(IPYTHONDIR=folder, PYTHONPYCACHEPREFIX=folder, PYTHONDONTWRITEBYTECODE="")
