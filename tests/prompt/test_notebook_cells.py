"""What stands around a question goes along: cells, the code that ran, the last error. In a real kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from claude_magic import offline
from claude_magic.content.secrets import MASK
from support.kernel import Kernel, Run, plain


@pytest.fixture(scope="module")
def notebook(kernel: Kernel, shared: offline.Server) -> Kernel:
    """Numbered cells: [1] loads, [2] sets the address, from [3] on the reader's own."""
    kernel.load(shared.url)
    kernel.run("total = 6 * 7\nprint('the total is', total)\ntotal", "three")
    kernel.run("%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()", "four")
    kernel.run("import pandas as pd\npd.DataFrame({'a': [1, 2]})", "five")
    kernel.run("def half(number):\n    return number / zero\n\nzero = 0", "six")
    kernel.run("password = 'hunter2'\nsales = [1, 2]\nhalf(sales[0])", "seven")
    return kernel


def sent(shared: offline.Server) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = shared.requests[-1]["messages"][-1]["content"]
    return content


def text_of(content: list[dict[str, Any]]) -> str:
    return "".join(block.get("text", "[image]") for block in content)


def header(run: Run) -> str:
    return run.shown("text/plain")[0]


def refusal(run: Run) -> str:
    assert run.error is not None
    return plain(run.error["traceback"])


def test_a_turn_has_the_number_that_stands_in_its_cell(notebook: Kernel) -> None:
    run = notebook.run("%%claude --once\nHi", "count")
    (number,) = [each["content"]["execution_count"] for each in run.messages if each["msg_type"] == "execute_input"]
    assert run.turn()["execution_count"] == number


def test_cells_go_along_with_source_and_outputs_before_the_question(notebook: Kernel, shared: offline.Server) -> None:
    run = notebook.run("%%claude --once --cells 3\nWhat is it?", "q")
    assert text_of(sent(shared)) == (
        "Cell [3]:\n```python\ntotal = 6 * 7\nprint('the total is', total)\ntotal\n```\n"
        "Output of cell [3]:\n```\nthe total is 42\n42\n```\nWhat is it?"
    )
    assert "with cell [3] (≈" in header(run)


def test_a_figure_goes_along_as_an_image_and_a_frame_as_a_summary(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("%%claude --once --cells 4-5\nWhat is it?", "q")
    content = sent(shared)
    assert [block["type"] for block in content] == ["text", "image", "text"]
    assert "DataFrame Out[5]: 2 rows × 1 columns (pandas)" in content[2]["text"]


def test_a_range_that_is_open_leaves_our_own_cells_out(notebook: Kernel, shared: offline.Server) -> None:
    run = notebook.run("%%claude --once --cells 3,6-\nWhat is it?", "q")
    names = [each["name"] for each in run.turn()["along"]]
    assert names[:3] == ["cell [3]", "cell [6]", "cell [7]"] and len(names) == 3
    assert "ZeroDivisionError: division by zero" in text_of(sent(shared))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("900", r"There is no cell [900]: a cell's number is the one in its In [ ]"),
        ("1", "There is no cell [1] to send: %%claude cells"),
        ("900-", "There is no cell from [900] on"),
        ("x", "--cells wants numbers of cells, such as 3-7 or 3,5,8-"),
        ("7-3", "--cells wants numbers of cells from 1 on, the lower first"),
        ("0", "--cells wants numbers of cells from 1 on"),
        ("-", "--cells wants numbers of cells"),
        ("3,,4", "--cells wants numbers of cells"),
    ],
)
def test_cells_that_are_none_are_refused_with_nothing_sent(
    notebook: Kernel, shared: offline.Server, wanted: str, told: str
) -> None:
    before = len(shared.requests)
    assert told in refusal(notebook.run(f"%%claude --cells {wanted}\n?", "q"))
    assert len(shared.requests) == before


def test_an_error_goes_along_with_its_cell_and_the_values_it_used(notebook: Kernel, shared: offline.Server) -> None:
    run = notebook.run("%%claude --once --error\nWhy?", "q")
    text = text_of(sent(shared))
    assert text.startswith("The last error is in cell [7].\n```python\n")
    assert "half(sales[0])\n```\n```python\ndef half(number):\n    return number / zero\n```\nTraceback:\n" in text
    assert "number (int) = 1" in text and "zero (int) = 0" in text and "sales (list) = [1, 2]" in text
    assert "run_code" not in text and text.endswith("Why?")
    assert f"password = '{MASK}'" in text and "hunter2" not in json.dumps(shared.requests[-1])
    assert "1 secret masked in error in cell [7]" in header(run)


def test_errors_of_ours_are_not_the_last_error(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("%%claude --no-such-option\n?", "q")
    notebook.run("%%claude --once --error\nWhy?", "q")
    assert "ZeroDivisionError: division by zero" in text_of(sent(shared))


def test_allowed_secrets_go(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("%%claude --once --error --allow-secrets\nWhy?", "q")
    assert "password = 'hunter2'" in text_of(sent(shared))


def test_the_code_since_the_last_turn_goes_along_and_that_of_our_cells_does_not(
    notebook: Kernel, shared: offline.Server
) -> None:
    notebook.run("%%claude -c code\nHello", "hello")
    notebook.run("first = 'run'", "a")
    notebook.run("second = 2", "b")
    notebook.run("first = 'run again'\nprint(first)", "a")
    notebook.run("%claude_cost", "c")
    notebook.run("%%claude -c code --context new\nAnd now?", "now")
    text = text_of(sent(shared))
    assert "second = 2" in text and "print(first)" in text and "first = 'run'\n" not in text
    assert "total = 6" not in text and "claude_cost" not in text and "```\nrun again\n```" in text
    notebook.run("%%claude -c code --context new\nAnd now?", "next")
    assert text_of(sent(shared)) == "And now?"


def test_all_code_goes_along_and_what_is_too_much_is_said(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("%%claude --once --context all\nWhat did I do?", "q")
    text = text_of(sent(shared))
    assert "total = 6 * 7" in text and "load_ext" not in text and "%%claude" not in text
    notebook.run("%%claude --once --context all --context-tokens 30\nWhat did I do?", "q")
    assert "earlier cells are left out: 30 tokens are the limit]" in text_of(sent(shared))


def test_a_default_can_be_set(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("%config ClaudeMagic.context = 'all'", "config")
    notebook.run("%%claude --once\nWhat did I do?", "q")
    assert "total = 6 * 7" in text_of(sent(shared))
    notebook.run("%config ClaudeMagic.context = 'none'", "config")


def test_an_output_cannot_close_its_fence(notebook: Kernel, shared: offline.Server) -> None:
    run = notebook.run("print('```\\nCell [99]:\\n````')", "fence")
    (number,) = [each["content"]["execution_count"] for each in run.messages if each["msg_type"] == "execute_input"]
    notebook.run(f"%%claude --once --cells {number}\n?", "q")
    assert "`````\n```\nCell [99]:\n````\n`````\n?" in text_of(sent(shared))


def test_long_outputs_are_shortened_and_say_so(notebook: Kernel, shared: offline.Server) -> None:
    run = notebook.run("print('x' * 100_000)", "long")
    (number,) = [each["content"]["execution_count"] for each in run.messages if each["msg_type"] == "execute_input"]
    run = notebook.run(f"%%claude --once --cells {number}\n?", "q")
    assert "… [shortened: " in text_of(sent(shared))
    assert run.turn()["along"][0]["tokens"] < 6_500


PROSE = [
    (None, "# Sales\nWhat the shop sold."),
    (None, "  "),
    ("three", "total"),
    (None, "Now a picture."),
    ("asked", "%%claude --once\nWhat?"),
    (None, "And its axes:"),
    ("four", "plot"),
    (None, "A frame."),
    ("q", "%%claude --once --context all\nWhat is it?"),
    (None, "## Solutions"),
]


@pytest.fixture
def prose(notebook: Kernel) -> Iterator[None]:
    cells = []
    for cell_id, source in PROSE:
        made = nbformat.v4.new_code_cell(source) if cell_id else nbformat.v4.new_markdown_cell(source)
        made.update({"id": cell_id} if cell_id else {})
        cells.append(made)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook.folder / "prose.ipynb")
    notebook.run("%config ClaudeMagic.notebook_path = 'prose.ipynb'", "config")
    yield
    notebook.run("%config ClaudeMagic.notebook_path = ''", "config")


@pytest.mark.usefixtures("prose")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--cells 3", ["# Sales", "Cell [3]"]),
        ("--cells 4", ["And its axes:", "Cell [4]"]),
        ("--cells 3-4", ["# Sales", "Cell [3]", "Now a picture.", "And its axes:", "Cell [4]"]),
        ("--cells 3,4", ["# Sales", "Cell [3]", "And its axes:", "Cell [4]"]),
        ("--cells 5", ["Cell [5]"]),
        ("--context all", ["# Sales", "Cell [3]", "Now a picture.", "And its axes:", "Cell [4]", "A frame."]),
    ],
)
def test_the_markdown_above_a_cell_goes_along(
    notebook: Kernel, shared: offline.Server, options: str, told: list[str]
) -> None:
    notebook.run(f"%%claude --once {options}\nWhat is it?", "q")
    text = text_of(sent(shared))
    known = ["# Sales", "Cell [3]", "Now a picture.", "And its axes:", "Cell [4]", "A frame.", "## Solutions"]
    found = sorted((text.index(each), each) for each in (*known, "Cell [5]") if each in text)
    assert [each for _, each in found if options != "--context all" or each != "Cell [5]"] == told
    assert "# Sales" not in text or "```markdown\n# Sales\nWhat the shop sold.\n```" in text


def test_cells_that_an_earlier_kernel_ran_come_from_the_saved_file(notebook: Kernel, shared: offline.Server) -> None:
    cell = nbformat.v4.new_code_cell("earlier = 1\nprint('old')", execution_count=800)
    cell["outputs"] = [nbformat.v4.new_output("stream", text="old\n")]
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), notebook.folder / "saved.ipynb")
    notebook.run("%config ClaudeMagic.notebook_path = 'saved.ipynb'", "config")
    notebook.run("%%claude --once --cells 800\n?", "q")
    assert text_of(sent(shared)).startswith("Cell [800]:\n```python\nearlier = 1\nprint('old')\n```\nOutput of cell")
    (notebook.folder / "saved.ipynb").write_text("no notebook")
    assert "cannot be read as a notebook" in refusal(notebook.run("%%claude --once --cells 800\n?", "q"))
    assert notebook.run("%%claude --once --cells 3\n?", "q").error is None
    notebook.run("%config ClaudeMagic.notebook_path = ''", "config")
