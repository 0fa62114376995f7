"""The teaching notebooks: each runs from top to bottom, on the stand-in and with no key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nbformat
import pytest

from claude_magic import offline
from claude_magic.notebook import run

pytestmark = pytest.mark.kernel

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
SECONDS = 120


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_says_what_one_will_be_able_to_do_and_runs(path: Path, tmp_path: Path) -> None:
    notebook = run.load(path)
    nbformat.validate(notebook)
    assert "you can\n\n- " in notebook.cells[0].source or "you will be able to\n\n- " in notebook.cells[0].source
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    run.run(notebook, tmp_path, cell_seconds=SECONDS)
    asked = [cell for cell in notebook.cells if re.match(r"%%claude(?!\?)(?!.*--show)", cell.source)]
    assert asked and all("not Claude" in str(cell.outputs) or "--count" in cell.source for cell in asked)


def test_with_a_key_a_notebook_asks_claude_as_it_is(standin: offline.Server, tmp_path: Path) -> None:
    """One variable is set, and nothing in the notebook is changed; the other says where this test's Claude is."""
    notebook = run.load(NOTEBOOKS[0].with_name("think.ipynb"))
    environment = {**os.environ, "ANTHROPIC_API_KEY": "sk-ant-of-this-test", "ANTHROPIC_BASE_URL": standin.url}
    run.run(notebook, tmp_path, cell_seconds=SECONDS, environment=environment)
    asked = [cell for cell in notebook.cells if cell.source.startswith("%%claude")]
    assert asked and not any("offline" in cell.outputs[0].data["text/plain"] for cell in asked)
    assert len(standin.requests) == len(asked)
