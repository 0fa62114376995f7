"""What `%load_ext claude_magic` adds to a bare IPython, in fresh processes with compiled bytecode."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks.table import Row
from benchmarks.wire import environment

HEAVY = ("anthropic", "httpx2", "genai_prices", "markdown_it", "PIL", "narwhals", "nbformat", "ipywidgets")
MAX_MILLISECONDS = 50.0
REPETITIONS = 12
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
        yield Row(what, loading, "ms", start, "bare InteractiveShell start", max_ours=MAX_MILLISECONDS)
        heavy = runs[0]["heavy"]
        what = "heavy modules it imports" + (f" ({', '.join(heavy)})" if heavy else "")
        yield Row(what, len(heavy), "", runs[0]["modules"], "modules that it imports in all", max_ours=0)


def load(folder: str) -> dict[str, Any]:
    """One fresh shell that loads the extension: seconds, the heavy modules, and the number of all modules."""
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, env=_environment(folder), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _environment(folder: str) -> dict[str, str]:
    """A profile and compiled bytecode of their own, whatever the caller's settings are."""
    return environment(IPYTHONDIR=folder, PYTHONPYCACHEPREFIX=folder, PYTHONDONTWRITEBYTECODE="")
