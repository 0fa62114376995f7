"""What it cost, always in view, in a real JupyterLab and Notebook: the figures at each moment, and a click."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from support.jupyterlab import LOAD, Lab, Page, begin, clean
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

FIGURE = r"≥?\$[\d,.]+|n/a"
# A kernel of another language than Python, which answers each cell with its text.
OTHER_KERNEL = """
from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel

class Echo(Kernel):
    implementation, implementation_version, banner = "echo", "1", "echo"
    language_info = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}

    def do_execute(self, code, silent, *_, **__):
        self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": code})
        return {"status": "ok", "execution_count": self.execution_count, "payload": [], "user_expressions": {}}

IPKernelApp.launch_instance(kernel_class=Echo)
"""


def money(page: Page) -> Locator:
    """The button, by the name that a screen reader says."""
    return page.tab.get_by_role("button", name=re.compile("^Claude"))


def said(page: Page) -> str:
    page.settle()
    return money(page).inner_text() if money(page).count() and money(page).is_visible() else ""


def figures(page: Page) -> dict[str, str]:
    """The button's figures by their names: `notebook` and `kernel`."""
    return dict(re.findall(rf"(notebook|kernel) ({FIGURE})", said(page)))


def wait_figure(page: Page, name: str, figure: str) -> None:
    expect(money(page)).to_contain_text(re.compile(rf"{name} {re.escape(figure)}(?!\d)"))


def total(page: Page, cell: int) -> str:
    """The total in the output of `%claude_cost`."""
    (line,) = [each for each in page.text(cell).splitlines() if each.split()[:1] == ["total"]]
    return next(word for word in line.split() if "$" in word or word == "n/a")


def record(cost: str, name: str = "one", **turn: Any) -> dict[str, Any]:
    """The metadata of an output that carries a turn."""
    said = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    calls = [{"model": "claude-opus-5-5", "request_id": name, "started": 1.75e9, "stop_reason": "end_turn"}]
    return {
        "claude_magic": {"version": 1, "cost": [cost], "turn": {"id": name, "messages": said, "calls": calls, **turn}}
    }


def write(lab: Lab, name: str, metadata: list[Any], kernel: str = "python3", language: str = "python") -> None:
    """A notebook with an output for each of these metadata."""
    cells = [nbformat.v4.new_code_cell("1") for _ in metadata]
    for cell, each in zip(cells, metadata, strict=True):
        cell.outputs = [nbformat.v4.new_output("display_data", {"text/plain": "said"}, metadata=each)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": kernel, "display_name": kernel, "language": language}
    notebook.metadata["language_info"] = {"name": language}
    (lab.folder / name).write_text(nbformat.writes(notebook), encoding="utf-8")


@pytest.fixture
def opened(either: Page) -> Iterator[Page]:
    """A page of its own, with a kernel of its own, in the application's other tab: its first cell is not run."""
    page = either.lab.open("money.ipynb", [LOAD, "%%claude\nhello", "%%claude\nA long story", "%claude_cost"])
    yield page
    page.close()


def test_nothing_is_shown_before_there_is_something_to_say(opened: Page) -> None:
    page = opened
    assert said(page) == ""
    page.execute("1 + 1")
    page.add_cell("x = 1", 3)
    page.finish(4)
    assert said(page) == "", "the extension is not loaded"
    page.finish(0)
    wait_figure(page, "notebook", "$0.00")
    assert said(page) == "Claude: notebook $0.00 · kernel $0.00" and clean(page)


def test_the_figures_are_right_while_a_cell_runs_and_after_a_reload_and_a_restart(
    opened: Page, server: SteeredServer, pictures: Path
) -> None:
    page = opened
    page.finish(0)
    page.finish(1)
    page.finish(3)
    first = total(page, 3)
    wait_figure(page, "notebook", first)
    assert said(page) == f"Claude: notebook {first} · kernel {first}"

    server.hold(15)
    page.run(2)
    expect(money(page)).to_contain_text("Claude answers")
    assert said(page) == f"Claude answers: notebook {first} · kernel {first}"
    page.screenshot(pictures / f"frontend-money-{page.lab.application}-light.png")
    server.release()
    page.wait_done(2)
    page.finish(3)
    both = total(page, 3)
    wait_figure(page, "notebook", both)
    assert figures(page) == {"notebook": both, "kernel": both} and both != first and clean(page)

    page.save()
    page.reload()
    wait_figure(page, "kernel", both)
    assert figures(page)["notebook"] == both, "the kernel was asked"
    page.finish(1)  # and this page is one of those that are told
    page.finish(3)
    expect(money(page)).not_to_contain_text(f"kernel {both}")
    assert figures(page)["notebook"] == total(page, 3)

    page.save()
    page.restart()
    expect(money(page)).not_to_contain_text("kernel")
    records = figures(page)["notebook"]
    page.finish(0)
    wait_figure(page, "kernel", "$0.00")
    page.finish(3)
    assert figures(page) == {"notebook": records, "kernel": "$0.00"} and records == total(page, 3)
    page.rename(f"renamed-{page.lab.application}.ipynb")
    assert figures(page) == {"notebook": records, "kernel": "$0.00"}
    assert clean(page)


def test_a_page_that_is_loaded_while_the_kernel_is_busy_shows_the_records_and_then_what_the_kernel_says(
    opened: Page, server: SteeredServer
) -> None:
    page = opened
    page.finish(0)
    page.finish(1)
    page.finish(3)
    first = total(page, 3)
    page.save()
    server.hold(15)
    page.value("bed.execute(given) && null", "get_ipython().run_cell_magic('claude', '', 'long')")
    page.wait_until("bed.panel.sessionContext.session.kernel.status === 'busy'")
    page.reload()
    expect(money(page)).to_contain_text(f"notebook {first}")
    server.release()
    expect(money(page)).to_contain_text("kernel")
    assert figures(page)["kernel"] != first and clean(page)


def test_a_kernel_that_dies_takes_its_figures_with_it(opened: Page) -> None:
    page = opened
    page.finish(0)
    page.finish(1)
    expect(money(page)).to_contain_text("kernel $0.0")
    records = figures(page)["notebook"]
    page.kill_kernel()
    expect(money(page)).not_to_contain_text("kernel")
    assert said(page) == f"Claude: notebook {records}"


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_click_inserts_and_runs_claude_cost_where_there_is_no_outline(notebook: Page, by: str) -> None:
    page = notebook
    begin(page, ["%%claude\nhello"])
    page.finish(1)
    expect(money(page)).to_contain_text("kernel")
    page.value("(bed.choose(1), null)")
    money(page).click() if by == "mouse" else money(page).press("Enter")
    page.wait_until("bed.cells.length === 3 && bed.done(2)")
    assert page.source(2) == "%claude_cost" and page.source(1) == "%%claude\nhello"
    page.wait_text(2, "total")
    assert figures(page)["notebook"] == total(page, 2) and clean(page)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_click_opens_the_outline_where_there_is_one(lab: Page, by: str) -> None:
    page = lab
    begin(page, ["%%claude\nhello"])
    page.finish(1)
    expect(money(page)).to_contain_text("kernel")
    panel = page.tab.get_by_role("region", name="Claude’s turns")
    assert not panel.is_visible()
    money(page).click() if by == "mouse" else money(page).press("Enter")
    panel.wait_for()
    assert page.value("bed.cells.length") == 2 and clean(page)
    page.value("(jupyterapp.shell.collapseRight(), null)")


def test_a_budget_that_is_used_up_is_red_and_says_so(either: Page, pictures: Path) -> None:
    page = either
    begin(page, ["%%claude\nhello", "%config ClaudeMagic.budget = 1000.0", "%config ClaudeMagic.budget = 0.0"])
    try:
        page.finish(1)
        page.finish(2)
        expect(money(page)).to_contain_text("of $1,000.00 left")
        page.tab.mouse.move(5, 300)
        plain = money(page).evaluate("each => getComputedStyle(each).backgroundColor")
        page.finish(3)
        expect(money(page)).to_contain_text("budget of $0.00 used up")
        for theme in ("Dark", "Light"):
            page.theme(theme)  # type: ignore[arg-type]
            style = "each => [getComputedStyle(each).backgroundColor, getComputedStyle(each).color]"
            ground, text = money(page).evaluate(style)
            assert ground != plain and contrast(ground, text) >= 4.5
            page.screenshot(pictures / f"frontend-money-{page.lab.application}-used-up-{theme.lower()}.png")
    finally:
        page.execute("get_ipython().run_line_magic('config', 'ClaudeMagic.budget = None')")
    expect(money(page)).not_to_contain_text("budget")
    assert money(page).evaluate("each => getComputedStyle(each).backgroundColor") == plain and clean(page)


def contrast(*colours: str) -> float:
    """The contrast of two colours, `rgb(…)`, as WCAG 2 has it."""
    parts = [[int(part) / 255 for part in re.findall(r"\d+", colour)[:3]] for colour in colours]
    linear = [[c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in each] for each in parts]
    darker, lighter = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in linear)
    return (lighter + 0.05) / (darker + 0.05)


def test_a_map_is_seen_to_spend(either: Page, server: SteeredServer) -> None:
    page = either
    begin(page, ["%%claude_map range(4) --out result --concurrency 1\nsay {{item}}", "%claude_cost"])
    page.execute("None")
    before = figures(page).get("kernel", "$0.00")
    events = 40
    server.hold(events)
    page.run(1)
    page.wait_until("bed.cells[1].model.executionState === 'running'")
    while figures(page).get("kernel") == before:
        events += 20
        server.hold(20)
        assert events < 5000
    assert not page.value("bed.done(1)"), "it goes on"
    server.release()
    page.wait_done(1)
    page.finish(2)
    wait_figure(page, "notebook", total(page, 2))
    assert clean(page)


def test_two_tabs_on_one_notebook_show_the_same(opened: Page) -> None:
    page = opened
    page.finish(0)
    page.save()
    other = page.lab.open(page.name)
    expect(money(other)).to_contain_text("kernel $0.00")
    page.finish(1)
    page.add_cell("%claude_cost", 1)
    page.finish(2)
    for each in (page, other):
        wait_figure(each, "kernel", total(page, 2))
    assert figures(other) == figures(page)
    for each in (page, other):  # ipywidgets in one tab opens and closes comms of which the other has never heard
        each.errors[:] = [error for error in each.errors if "Comm not found" not in error]
        assert clean(each)
    other.leave()


def test_two_notebooks_side_by_side_each_have_their_own_figures(lab: Page) -> None:
    page = lab.lab.open("left.ipynb", [LOAD, "%%claude\nhello"])
    lab.lab.write("right.ipynb", ["1", LOAD])
    try:
        page.finish(0)
        page.finish(1)
        left = figures(page)
        page.value("""(bed.left = bed.panel, jupyterapp.shell.mode = 'multiple-document',
          bed.command('docmanager:open', {path: 'right.ipynb', options: {mode: 'split-right'}})
            .then(panel => panel.context.ready).then(() => null))""")
        page.wait_until("bed.panel !== bed.left && bed.ready")
        assert said(page) == "", "nothing is known of this one"
        page.finish(1)
        wait_figure(page, "notebook", "$0.00")
        page.value("(jupyterapp.shell.activateById(bed.left.id), null)")
        wait_figure(page, "notebook", left["notebook"])
        # One kernel for both: its spending is theirs together, and each is told its own.
        page.tab.locator(".jp-NotebookPanel:not(.lm-mod-hidden)").nth(1).locator(".jp-Cell").first.click()
        page.value("""bed.panel.sessionContext.changeKernel({id: bed.left.sessionContext.session.kernel.id})
          .then(() => null)""")
        page.wait_until("bed.ready")
        page.finish(1)
        wait_figure(page, "kernel", left["kernel"])
        assert figures(page) == {"notebook": "$0.00", "kernel": left["kernel"]}
        page.value("(jupyterapp.shell.activateById(bed.left.id), null)")
        wait_figure(page, "notebook", left["notebook"])
        assert clean(page)
    finally:
        page.close()


def test_with_a_kernel_that_is_not_python_the_records_are_shown_or_nothing(either: Page) -> None:
    lab = either.lab
    spec = lab.folder.parent / "data" / "kernels" / "echo"
    spec.mkdir(parents=True, exist_ok=True)
    (spec / "kernel.py").write_text(OTHER_KERNEL, encoding="utf-8")
    argv = [sys.executable, str(spec / "kernel.py"), "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "Echo", "language": "echo"}))
    for name, metadata, shown in (("none", [{}], ""), ("some", [record("0.5"), record("≥0.25", "two")], "≥$0.7500")):
        write(lab, f"echo-{name}.ipynb", metadata, "echo", "echo")
        page = lab.open(f"echo-{name}.ipynb")
        try:
            assert said(page) == (f"Claude: notebook {shown}" if shown else "")
            page.finish(0)
            assert page.text(0) == "1" and clean(page)
            if shown and lab.application == "notebook":
                assert money(page).is_disabled(), "there is no outline, and no %claude_cost"
        finally:
            page.close()


def test_a_kernel_without_the_extension_is_loaded_with_it_by_a_click(notebook: Page) -> None:
    write(notebook.lab, "unloaded.ipynb", [record("0.5")])
    page = notebook.lab.open("unloaded.ipynb")
    try:
        assert said(page) == "Claude: notebook $0.5000"
        money(page).click()
        page.wait_until("bed.cells.length === 2 && bed.done(1)")
        assert page.source(1) == f"{LOAD}\n%claude_cost"
        expect(money(page)).to_contain_text("kernel $0.00")
    finally:
        page.close()


def test_where_the_stand_in_answered_everything_the_sum_of_the_records_says_so(lab: Page) -> None:
    call = {"model": "claude-opus-5-5", "request_id": "two", "started": 1.75e9, "stop_reason": "end_turn"}
    offline = record("0.25", "two", calls=[{**call, "provider": "offline"}])
    write(lab.lab, "standin.ipynb", [offline, record("0.5")])
    page = lab.lab.open("standin.ipynb")
    try:
        assert said(page) == "Claude: notebook $0.7500"
        page.delete_cell(1)
        wait_figure(page, "notebook", "$0.2500")
        assert said(page) == "Claude: notebook $0.2500 · stand-in, not Claude" and clean(page)
    finally:
        page.close()


def test_what_a_strangers_notebook_says_is_text_or_nothing(either: Page) -> None:
    script = "<img src=x onerror='window.PWN=1'><script>window.PWN=1</script>"
    hostile = [
        record(script),
        record("0.1", "calls", calls=[{script: script}] * 100),
        record("0.1", "x" * 1000),
        record("0.1", "types", messages=[script], calls=[None], status={}, chat=[script]),
        *({"claude_magic": each} for each in (None, 7, [], script, {"version": 1, "turns": [None]})),
        {"claude_magic": {"version": 1, "cost": {"length": 1e9}, "turn": {"id": script, "messages": [], "calls": []}}},
        {"claude_magic": {"version": 1, "map": {"id": script, "dollars": script, "at_least": script}}},
    ]
    write(either.lab, "hostile.ipynb", hostile)
    write(either.lab, "many.ipynb", [{"claude_magic": {"version": 1, "turns": [1] * 1_000_000}}, record("0.5")])
    for name, shown in (("hostile.ipynb", "n/a"), ("many.ipynb", "$0.5000")):
        page = either.lab.open(name)
        try:
            assert said(page) == f"Claude: notebook {shown}"
            assert set(page.canary()) == {"undefined"} and clean(page)
            page.finish(0)
        finally:
            page.close()


def test_the_records_are_added_up_as_they_come_and_go(lab: Page) -> None:
    write(lab.lab, "records.ipynb", [record("0.5"), record("0.25", "two"), record("0.5")])
    page = lab.lab.open("records.ipynb")
    try:
        assert said(page) == "Claude: notebook $0.7500", "a copy of a cell costs nothing"
        page.delete_cell(1)
        wait_figure(page, "notebook", "$0.5000")
        page.delete_cell(1)
        page.delete_cell(0)
        expect(money(page)).to_be_hidden()
        page.value("bed.command('notebook:undo-cell-action').then(() => null)")
        wait_figure(page, "notebook", "$0.7500")
        assert clean(page)
    finally:
        page.close()


def test_a_narrow_window_cuts_it_and_a_wide_one_has_it_again(either: Page) -> None:
    page = either
    begin(page, ["%%claude\nhello"])
    page.finish(1)
    expect(money(page)).to_contain_text("kernel")
    try:
        for width in (500, 1280):
            page.resize(width)
            expect(money(page)).to_be_visible()
            box = money(page).bounding_box()
            assert box and box["x"] >= 0 and box["x"] + box["width"] <= width and box["width"] <= 0.35 * width + 1
    finally:
        page.resize(1280)


def test_nothing_is_drawn_where_nothing_changes(lab: Page) -> None:
    page = lab
    begin(page, ["%%claude\nhello"])
    page.finish(1)
    expect(money(page)).to_contain_text("kernel")
    page.value("""(bed.frames = 0, bed.ask = requestAnimationFrame, window.requestAnimationFrame = given => {
      bed.frames += new Error().stack.includes('claude-magic') ? 1 : 0
      return bed.ask.call(window, given)
    }, null)""")
    page.cell(1).locator(".cm-content").click()
    page.tab.keyboard.type(" and how are you?")
    page.settle()
    assert page.value("(window.requestAnimationFrame = bed.ask, bed.frames)") == 0


def test_the_figure_is_the_exact_sum(lab: Page) -> None:
    amounts = [Decimal("0.000000033"), Decimal("0.1"), Decimal("0.2"), Decimal("1234.56499")]
    write(lab.lab, "exact.ipynb", [record(format(each, "f"), str(at)) for at, each in enumerate(amounts)])
    page = lab.lab.open("exact.ipynb")
    try:
        assert said(page) == "Claude: notebook $1,234.86"
    finally:
        page.close()
