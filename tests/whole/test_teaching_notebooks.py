"""The teaching notebooks: each runs from top to bottom, on the stand-in and with no key."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest

from claude_magic import offline
from claude_magic.notebook import run
from claude_magic.offline.replies import lessons
from claude_magic.offline.replies.lessons import WRITTEN
from support import forked_kernels

pytestmark = pytest.mark.kernel

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SECONDS = 120
# A question of a learner's own, at the end of a notebook.
OWN = "%%claude\nWhich moon of Saturn is the largest?"
# What only the stand-in says: none of it is an answer to a question of a notebook.
GENERIC = (
    *("You asked:", "Your prompt begins", "no model behind me", "The tool answered", "pixels**", "I call `"),
    *("stand-in answers in time", "Let me see."),
)
# The written answers come at a pace that nobody could read at, in the kernels and in this process.
PACE = 10_000.0
QUICK = f"--IPKernelApp.exec_lines=from claude_magic.offline.replies import lessons; lessons.PACE = {PACE}"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lessons, "PACE", PACE)
    forked_kernels.use(monkeypatch)


def run_quickly(notebook: nbformat.NotebookNode, folder: Path, environment: Mapping[str, str] | None = None) -> None:
    run.run(notebook, folder, cell_seconds=SECONDS, kernel_arguments=[QUICK], environment=environment)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_says_what_one_will_be_able_to_do_and_runs(path: Path, tmp_path: Path) -> None:
    notebook = run.load(path)
    nbformat.validate(notebook)
    assert "you can\n\n- " in notebook.cells[0].source or "you will be able to\n\n- " in notebook.cells[0].source
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    own = [] if path.stem == "reference" else [nbformat.v4.new_code_cell(OWN)]
    notebook.cells += own
    run_quickly(notebook, tmp_path)
    asked = [cell for cell in notebook.cells if re.match(r"%%claude(?!\?)(?!.*--show)", cell.source)]
    assert asked and all("not Claude" in str(cell.outputs) or "--count" in cell.source for cell in asked)
    for cell in own:
        assert "Saturn" in _shown(cell) and _shown(cell).count("stand-in, not Claude") == 1
        assert WRITTEN.strip() not in _shown(cell)
    of_lessons = [cell for cell in asked if cell not in own and path.stem != "reference"]
    assert not [(cell.source, words) for cell in of_lessons for words in GENERIC if words in _shown(cell)]
    in_words = [each for each in of_lessons if re.match(r"%%claude (?!.*--(count|schema))|%%claude\n", each.source)]
    assert all(_shown(cell).count(WRITTEN.strip()) >= 1 for cell in in_words)


def _shown(cell: nbformat.NotebookNode) -> str:
    """What a cell shows, in plain text."""
    outputs = [each for each in cell.outputs if each.output_type in ("display_data", "execute_result")]
    return "\n".join(str(each.data.get("text/plain", "")) for each in outputs)


def test_the_rows_of_the_reviews_are_judged_one_by_one(tmp_path: Path) -> None:
    notebook = run.load(NOTEBOOKS[0].with_name("many.ipynb"))
    run_quickly(notebook, tmp_path)
    shown = {cell.source: _shown(cell) for cell in notebook.cells if cell.cell_type == "code"}
    replies = re.findall(r"\b(?:un)?kind\b", shown['answered[["shop", "reply", "cost", "error"]]'])
    assert replies == ["kind", "unkind", "unkind", "kind", "unkind", "kind"]
    judged = shown['judged[["shop", "kind", "about"]]']
    assert "the barista" in judged and "the noise" in judged and re.findall("True|False", judged).count("True") == 3
    assert "Der beste Flat White der Stadt." in shown['overnight[["reply", "cost"]]']


def test_with_a_key_a_notebook_asks_claude_as_it_is(standin: offline.Server, tmp_path: Path) -> None:
    """One variable is set, and nothing in the notebook is changed; the other says where this test's Claude is."""
    notebook = run.load(NOTEBOOKS[0].with_name("think.ipynb"))
    environment = {**os.environ, "ANTHROPIC_API_KEY": "sk-ant-of-this-test", "ANTHROPIC_BASE_URL": standin.url}
    run_quickly(notebook, tmp_path, environment)
    asked = [cell for cell in notebook.cells if cell.source.startswith("%%claude")]
    assert asked and not any("offline" in cell.outputs[0].data["text/plain"] for cell in asked)
    assert len(standin.requests) == len(asked)
