"""Where nobody looks on: `jupyter execute` and papermill leave static records and stop at an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytestmark = pytest.mark.kernel

CELLS = [
    "%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'",
    "%%claude\nMy name is Ada.",
    "%%claude\nWhat is my name?",
]
EXECUTE = {
    "jupyter execute": ["-m", "jupyter", "execute", "--inplace"],  # nbclient's own command
    "papermill": ["-m", "papermill", "--no-progress-bar"],
}


def executed(folder: Path, tool: str, cells: list[str]) -> tuple[Any, int]:
    """A notebook of these cells after a tool ran it, and the tool's exit code."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "notebook.ipynb"
    nbformat.write(notebook, path)
    files = [str(path)] * (2 if tool == "papermill" else 1)
    command = [sys.executable, *EXECUTE[tool], *files]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, capture_output=True, env=environment, timeout=200)
    return nbformat.read(path, as_version=4), done.returncode


@pytest.mark.parametrize("tool", EXECUTE)
def test_the_record_is_static(tmp_path: Path, tool: str) -> None:
    notebook, code = executed(tmp_path, tool, CELLS)
    assert code == 0
    nbformat.validate(notebook)
    asked = [cell for cell in notebook.cells if cell.source.startswith("%%claude")]
    for cell in asked:
        assert [set(output.data) for output in cell.outputs] == [
            {"text/html", "text/plain"},
            {"text/html", "text/markdown", "text/plain"},
        ]
    assert "**Ada**" in asked[1].outputs[1].data["text/markdown"]
    assert "widgets" not in notebook.metadata
    assert [path.name for path in tmp_path.iterdir()] == ["notebook.ipynb"]


def test_a_cell_that_fails_stops_the_run(tmp_path: Path) -> None:
    notebook, code = executed(tmp_path, "papermill", [*CELLS[:1], "%%claude\nHi {{nobody}}", "print('not reached')"])
    assert code != 0
    assert not any("not reached" in str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code")
