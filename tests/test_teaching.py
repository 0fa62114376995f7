"""The teaching notebooks: each runs from top to bottom, on the stand-in and with no key."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from claude_magic import running

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SECONDS = 120


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_a_notebook_says_what_one_will_be_able_to_do_and_runs(path: Path, tmp_path: Path) -> None:
    notebook = running.load(path)
    nbformat.validate(notebook)
    assert "you can\n\n- " in notebook.cells[0].source or "you will be able to\n\n- " in notebook.cells[0].source
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    running.run(notebook, tmp_path, cell_seconds=SECONDS)
    asked = [cell for cell in notebook.cells if cell.source.startswith("%%claude") and "--show" not in cell.source]
    assert asked and all("not Claude" in str(cell.outputs) or "--count" in cell.source for cell in asked)
