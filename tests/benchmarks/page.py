"""How quickly a large notebook opens in JupyterLab and takes what is typed, with the front end and with it disabled.

Two servers, asked in turns. Typing is measured as the time of the page's main thread, which other processes do not
lengthen.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import CDPSession

from benchmarks import sample
from benchmarks.table import Row
from claude_magic.conversation.turns import Call, Turn
from claude_magic.render.answer import answer_outputs
from claude_magic.render.turn import header_output
from support.jupyterlab import CHROMIUM, Lab, Page, chromium

CELLS, TURNS = 300, 100
ROUNDS = 6
KEYS = 60
MAX_RATIO = 1.1
NAME = "large.ipynb"
OPENED = (
    f"bed.panel?.context?.isReady && bed.cells.length === {CELLS} && document.querySelector('.jp-Cell .cm-content')"
)
EXTENSION = "claude-magic"
QUESTION, CODE = 0, 1
WITHOUT, WITH, OUTLINED = "without", "with", "outlined"


def rows() -> Iterator[Row]:
    """Opening, and a key in a question and in code; the last with the outline open as well."""
    if CHROMIUM is None:
        yield Row("a notebook opens in JupyterLab (skipped: no chromium)", None, "ms")
        return
    found = measured()
    beside = "the same, the extension disabled"
    notebook = f"{CELLS} cells with {TURNS} turns"
    for what, key in (
        (f"{notebook} open in JupyterLab", "open"),
        ("a key in a question there", "question"),
        ("a key in code there", "code"),
    ):
        yield Row(what, found[WITH, key], "ms", found[WITHOUT, key], beside, max_ratio=MAX_RATIO)
    what = "a key in a question there, the outline open"
    yield Row(what, found[OUTLINED, "question"], "ms", found[WITHOUT, "question"], beside, max_ratio=MAX_RATIO)
    yield Row(f"the outline of {TURNS} turns opens", found[OUTLINED, "open"], "ms")


def measured() -> Mapping[tuple[str, str], float]:
    """The least of `ROUNDS` rounds, in milliseconds, by who was measured and what."""
    found: dict[tuple[str, str], float] = defaultdict(lambda: float("inf"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        browser = stack.enter_context(chromium())
        labs = {}
        for who in (WITHOUT, WITH):
            lab = Lab(browser, folder / who)
            if who == WITHOUT:
                _disable(folder / who)
            nbformat.write(large_notebook(), lab.folder / NAME)
            labs[who] = stack.enter_context(lab)
        for _ in range(ROUNDS):
            for who, lab in labs.items():
                for key, milliseconds in _round(lab, who):
                    found[key] = min(found[key], milliseconds)
    return found


def large_notebook() -> nbformat.NotebookNode:
    """A question, code with an output, and text, over and over."""
    new = nbformat.v4
    cells: list[Any] = []
    for number in range(TURNS):
        prompt = f"What follows from result {number}, and **why**?\n" + sample.text(300)
        cells.append(new.new_code_cell(f"%%claude\n{prompt}", outputs=_outputs(number, prompt), execution_count=number))
        printed = new.new_output("stream", text=f"{number}\n" * 5)
        cells.append(new.new_code_cell("for row in range(5):\n    print(row)\n" * 3, outputs=[printed]))
        cells.append(new.new_markdown_cell(f"## Part {number}\n\nSome *text* between."))
    notebook = new.new_notebook(cells=cells[:CELLS])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


def _outputs(number: int, prompt: str) -> list[nbformat.NotebookNode]:
    asked = {"role": "user", "content": [{"type": "text", "text": prompt}]}
    answered = {"role": "assistant", "content": [{"type": "text", "text": sample.text(800)}]}
    usage = {"input_tokens": 500 + number, "output_tokens": 300}
    call = Call("claude-opus-5-5", usage, stop_reason="end_turn")
    turn = Turn(f"turn{number}", (asked, answered), (call,), created=1.0 + number)
    header, metadata = header_output(turn)
    shown = [(header, metadata), *((data, {}) for data in answer_outputs(turn))]
    return [nbformat.v4.new_output("display_data", data=dict(data), metadata=dict(held)) for data, held in shown]


def _disable(folder: Path) -> None:
    """Disable the extension as `jupyter labextension disable` does."""
    config = folder / "config" / "labconfig"
    config.mkdir(parents=True)
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {EXTENSION: True}}))


def _round(lab: Lab, who: str) -> Iterator[tuple[tuple[str, str], float]]:
    with closing(lab.open(NAME)) as page:
        page.reload()
        page.wait_until(OPENED)
        yield (who, "open"), float(page.value("performance.now()"))
        page.settle()
        assert bool(page.value(f"jupyterapp.commands.hasCommand('{EXTENSION}:outline')")) == (who == WITH)
        thread = page.tab.context.new_cdp_session(page.tab)
        thread.send("Performance.enable", {"timeDomain": "threadTicks"})
        for _ in range(2):  # what colours them is quicker once it is warm, whichever it was before
            yield (who, "question"), _key(page, thread, QUESTION)
            yield (who, "code"), _key(page, thread, CODE)
        if who == WITH:
            began = time.perf_counter()
            page.value(f"bed.command('{EXTENSION}:outline').then(() => null)")
            page.tab.locator(".claude-outline li").nth(TURNS - 1).wait_for(state="attached")
            yield (OUTLINED, "open"), 1000 * (time.perf_counter() - began)
            page.settle()
            yield (OUTLINED, "question"), _key(page, thread, QUESTION)


def _key(page: Page, thread: CDPSession, cell: int) -> float:
    """The time that one key typed at the end of a cell takes of the main thread, in milliseconds."""
    page.cell(cell).locator(".cm-content").click()
    page.tab.keyboard.press("Control+End")
    page.settle()
    before = _busy(thread)
    page.tab.keyboard.type("it's for x, " * (KEYS // 12))
    page.settle()
    return 1000 * (_busy(thread) - before) / KEYS


def _busy(thread: CDPSession) -> float:
    metrics = thread.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == "TaskDuration"))
