"""The front end's corrections of cells, run by node: their difference, and what would go into a cell."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from support.scripts import run_script

pytestmark = pytest.mark.slow  # each test starts node

MASK = "[secret masked]"
KEYS = f"key = '{MASK}'\nkey = '{MASK}'"


# `notebook` makes a page's notebook of texts by id.
_BEFORE = """
  import { difference } from "./difference.js"
  import { readCorrection, standing } from "./correction.js"
  const notebook = cells => ({widgets: Object.entries(cells).map(([id, source]) => ({model:
    {id, type: "code", sharedModel: {getSource: () => source}, getMetadata: () => undefined}}))})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("static")


def run(folder: Path, expression: str, given: Any) -> Any:
    return run_script(folder, expression, given, _BEFORE)


def test_a_difference_has_both_texts_and_no_line_too_many(folder: Path) -> None:
    made = random.Random(7)
    pairs = [[[made.choice("abc") for _ in range(made.randrange(9))] for _ in "12"] for _ in range(300)]
    pairs += [[["x"], []], [[], []], [["a", "b"], ["b", "a"]], [["a"] * 5, ["a"] * 7]]
    found = run(folder, "given.map(([before, after]) => difference(before, after))", pairs)
    for (before, after), lines in zip(pairs, found, strict=True):
        kinds: dict[str, list[str]] = {kind: [each["text"] for each in lines if each["kind"] != kind] for kind in KINDS}
        assert kinds["new"] == before and kinds["gone"] == after
        assert sum(each["kind"] == "same" for each in lines) == _common(before, after)


KINDS = ("new", "gone")


def _common(before: list[str], after: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(after) + 1)
    for line in before:
        last = 0
        for at, other in enumerate(after):
            last, row[at + 1] = row[at + 1], last + 1 if line == other else max(row[at], row[at + 1])
    return row[-1]


def test_texts_of_very_many_lines_are_compared_at_once(folder: Path) -> None:
    long = [[f"{side}{n}" for n in range(20_000)] for side in "ab"]
    lines = run(folder, "difference(...given)", long)
    assert [each["kind"] for each in lines] == ["gone"] * 20_000 + ["new"] * 20_000


CORRECTION = {"cell": "a", "source": f"{KEYS}\nx = 1/0", "mask": MASK}


@pytest.mark.parametrize(
    ("cells", "mended", "state", "wanted"),
    [
        ({"a": "key = '1'\nkey = '2'\nx = 1/0"}, f"{KEYS}\nx = 1", "open", "key = '1'\nkey = '2'\nx = 1"),
        ({"a": "key = '1'\nkey = '2'\nx = 1/0\n\n"}, f"send('{MASK}')\nx = 1", "open", f"send('{MASK}')\nx = 1"),
        ({"a": "key = '1'\nkey = '2'\nx = 1"}, f"{KEYS}\nx = 1", "done", None),
        ({"a": "key = '1'\nx = 1/0"}, "x = 1", "changed", "x = 1"),
        ({"a": "key = '1'\nkey = '2'\nx = 2/0"}, "x = 1", "changed", "x = 1"),
        ({"b": "key = '1'\nkey = '2'\nx = 1/0"}, "x = 1", "missing", "x = 1"),
        ({}, "x = 1", "missing", "x = 1"),
    ],
)  # fmt: skip
def test_a_correction_goes_only_into_the_cell_that_failed_as_it_was(
    folder: Path, cells: dict[str, str], mended: str, state: str, wanted: str | None
) -> None:
    given = [cells, {**CORRECTION, "mended": mended}]
    found = run(folder, "standing(notebook(given[0]), readCorrection(given[1]), given[1].mended)", given)
    assert found["state"] == state and (wanted is None or found["wanted"] == wanted)


@pytest.mark.parametrize("odd", [None, 3, "x", [], {}, {**CORRECTION}, {**CORRECTION, "mended": 3}])
def test_what_has_another_form_is_no_correction(folder: Path, odd: Any) -> None:
    assert run(folder, "readCorrection(given[0]) ?? null", [odd]) is None
