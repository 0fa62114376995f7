"""The commands in a real JupyterLab and Notebook: ask about a cell or the selection, into a prompt and back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.jupyterlab import Page, begin, clean
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

CELL = "claude-magic:ask-about-cell"
SELECTION = "claude-magic:ask-about-selection"
TURN = "claude-magic:turn-into-prompt"
LABELS = {
    CELL: "Ask Claude About This Cell",
    SELECTION: "Ask Claude About the Selection",
    TURN: "Turn Into %%claude and Back",
}
KEYS = {CELL: "Alt+Shift+Q", TURN: "Alt+Shift+P"}
# The other commands that the keys of one of ours would reach, or begin to reach, in a notebook.
COLLISIONS = """(() => {
  const all = jupyterapp.commands.keyBindings, ours = all.filter(each => each.command.startsWith('claude-magic:'))
  const meets = (one, other) => one.every((key, at) => at >= other.length || key === other[at])
  return {ours: ours.length, found: ours.flatMap(mine => all.filter(each =>
    !each.command.startsWith('claude-magic:') && (meets(mine.keys, each.keys) || meets(each.keys, mine.keys))
  ).map(each => `${mine.keys} ${each.command}`))}
})()"""


def choose(page: Page, cell: int) -> None:
    page.value("(bed.choose(given), bed.notebook.mode = 'command', bed.notebook.activate(), null)", cell)


def give(page: Page, command: str, by: str, cell: int) -> None:
    """Give a command as a person does, on the active cell."""
    if by == "key":
        page.tab.keyboard.press(KEYS[command])
    elif by == "palette":
        page.choose_in_palette(command, LABELS[command])
    elif by == "context":
        page.cell(cell).locator(".cm-content:visible, .jp-RenderedMarkdown:visible").first.click(button="right")
        page.tab.locator(f'.lm-Menu-item[data-command="{command}"]').click()
    else:
        page.tab.get_by_role("menuitem", name="Edit", exact=True).click()
        page.tab.locator(f'.lm-Menu-item[data-command="{command}"]').click()


def is_enabled(page: Page, command: str) -> bool:
    return bool(page.value("jupyterapp.commands.isEnabled(given)", command))


def cursor(page: Page) -> list[object]:
    """Cell, offset and mode, once an editor has the keyboard."""
    page.wait_until("document.activeElement?.closest('.cm-content')")
    return list(
        page.value(
            "[bed.notebook.activeCellIndex, bed.notebook.activeCell.editor.editor.state.selection.main.head, "
            "bed.notebook.mode]"
        )
    )


def count(page: Page, cells: int) -> None:
    page.wait_until("bed.cells.length === given", cells)


@pytest.mark.parametrize("by", ["key", "palette", "context", "menu"])
def test_a_prompt_about_the_cell_that_ran_sends_it_along_by_its_number(
    either: Page, server: SteeredServer, pictures: Path, by: str
) -> None:
    page = either
    begin(page, ["print(6 * 7)", "'below'"])
    page.finish(1)
    number = page.value("bed.cells[1].model.executionCount")
    choose(page, 1)
    if by in ("context", "menu") and page.lab.application == "lab":
        for theme in ("Dark", "Light"):
            page.theme(theme)  # type: ignore[arg-type]
            choose(page, 1)
            if by == "context":
                page.cell(1).locator(".cm-content").click(button="right")
            else:
                page.tab.get_by_role("menuitem", name="Edit", exact=True).click()
            page.screenshot(pictures / f"frontend-commands-{by}-{theme.lower()}.png")
            page.tab.keyboard.press("Escape")
        choose(page, 1)
    give(page, CELL, by, 1)
    count(page, 4)
    assert page.source(2) == f"%%claude --cells {number}\n"
    assert cursor(page) == [2, len(page.source(2)), "edit"] and server.requests == []
    page.tab.keyboard.type("What's printed?")
    assert page.source(2).endswith("\nWhat's printed?") and page.source(3) == "'below'"
    page.finish(2)
    assert "print(6 * 7)" in str(server.requests) and "42" in str(server.requests)
    assert clean(page)


@pytest.mark.parametrize("kind", ["never ran", "changed", "own", "another kernel's", "busy"])
def test_a_cell_that_the_kernel_has_not_under_its_number_is_quoted(
    either: Page, server: SteeredServer, kind: str
) -> None:
    page = either
    begin(page, ["number = 1", "import time; print(7, flush=True); time.sleep(600)"])
    source = "number = 1"
    if kind != "never ran":
        page.finish(1)
    if kind == "changed":
        source = "number = {{2}} # ```"
        page.value("(bed.cells[1].model.sharedModel.setSource(given), null)", source)
    if kind == "own":
        source = "%claude_cost"
        page.value("(bed.cells[1].model.sharedModel.setSource(given), null)", source)
        page.finish(1)
    if kind == "another kernel's":
        page.restart()
        page.execute("1")
    if kind == "busy":
        page.run(2)
        page.wait_text(2, "7")
    choose(page, 1)
    give(page, CELL, "key", 1)
    count(page, 4)
    fence, raw = ("````", " --raw") if kind == "changed" else ("```", "")
    assert page.source(2) == f"%%claude{raw}\n{fence}python\n{source}\n{fence}\n\n"
    assert cursor(page) == [2, len(page.source(2)), "edit"]
    if kind == "busy":
        page.interrupt()
        page.wait_done(3)
    if kind == "changed":
        page.finish(2)
        assert json.dumps(source)[1:-1] in json.dumps(server.requests[-1])
    assert clean(page)


def test_a_prompt_needs_not_be_sent_along_and_markdown_is_quoted(either: Page, server: SteeredServer) -> None:
    page = either
    begin(page, ["%%claude\na", "# Title"])
    page.finish(1)
    page.value("(bed.choose(2), bed.command('notebook:change-cell-to-markdown').then(() => null))")
    for cell, made in ((2, "%%claude\n```markdown\n# Title\n```\n\n"), (1, "%%claude\n")):
        choose(page, cell)
        before = page.value("bed.cells.length")
        give(page, CELL, "key", cell)
        count(page, before + 1)
        assert page.source(cell + 1) == made and cursor(page)[0] == cell + 1
    assert clean(page)


@pytest.mark.parametrize("by", ["palette", "context", "menu"])
def test_the_selection_of_an_editor_is_quoted(either: Page, server: SteeredServer, by: str) -> None:
    page = either
    text = "'''\n````\n{{secret}} \\{{x}} %%claude\n'''"
    page.start_over([text])
    page.cell(0).locator(".cm-content").click()
    page.tab.keyboard.press("Escape")
    page.settle()
    assert not is_enabled(page, SELECTION)
    page.cell(0).locator(".cm-content").click()
    page.tab.keyboard.press("Control+a")
    page.settle()
    assert is_enabled(page, SELECTION)
    give(page, SELECTION, by, 0)
    count(page, 2)
    assert page.source(1) == f"%%claude --raw\n`````python\n{text}\n`````\n\n"
    assert cursor(page) == [1, len(page.source(1)), "edit"]
    assert clean(page)


@pytest.mark.parametrize("by", ["palette", "menu"])
def test_the_selected_text_of_an_output_is_quoted(either: Page, server: SteeredServer, by: str) -> None:
    page = either
    begin(page, ["print('some text')", "1"])
    page.finish(1)
    choose(page, 2)
    page.cell(1).locator(".jp-OutputArea-output pre").dblclick(position={"x": 5, "y": 5})
    page.settle()
    give(page, SELECTION, by, 1)
    count(page, 4)
    assert page.source(2) == "%%claude\n```\nsome\n```\n\n" or page.source(2) == "%%claude\n```\nsome \n```\n\n"
    assert cursor(page) == [2, len(page.source(2)), "edit"]
    assert clean(page)


@pytest.mark.parametrize("by", ["key", "palette", "context", "menu"])
def test_a_cell_is_turned_into_a_prompt_and_back_and_its_options_stay(either: Page, by: str) -> None:
    page = either
    page.start_over(["Why 3?", "2"])
    choose(page, 0)
    give(page, TURN, by, 0)
    assert page.source(0) == "%%claude\nWhy 3?"
    page.value("(bed.cells[0].model.sharedModel.setSource(given), null)", "\n%%claude --model haiku\nWhy 3?")
    give(page, TURN, by, 0)
    assert page.source(0) == "Why 3?"
    give(page, TURN, by, 0)
    assert page.source(0) == "\n%%claude --model haiku\nWhy 3?" and page.source(1) == "2"
    assert clean(page)


def test_one_undo_takes_it_back(either: Page) -> None:
    page = either
    page.start_over(["%%claude --once\nWhy?", "x"])
    page.cell(0).locator(".cm-content").click()
    for key, then in ((KEYS[TURN], "Why?"), ("Control+z", "%%claude --once\nWhy?")):
        page.tab.keyboard.press(key)
        assert page.source(0) == then
    assert clean(page)


@pytest.mark.parametrize("by", ["key", "context"])
def test_markdown_is_turned_into_a_prompt_and_is_markdown_again(either: Page, server: SteeredServer, by: str) -> None:
    page = either
    begin(page, ["Why *3*?"])
    page.value("(bed.choose(1), bed.command('notebook:change-cell-to-markdown').then(() => null))")
    cell_id = page.value("bed.cells[1].model.id")
    choose(page, 1)
    kinds = [("code", "%%claude\nWhy *3*?"), ("markdown", "Why *3*?"), ("code", "%%claude\nWhy *3*?")]
    for kind, source in kinds:
        give(page, TURN, by, 1)
        assert page.value("bed.cells[1].model.type") == kind and page.source(1) == source
        assert page.value("bed.cells[1].model.id") == cell_id and page.value("bed.cells.length") == 2
        page.wait_until("bed.cells[1].node.contains(document.activeElement)")
    page.value("(bed.notebook.mode = 'command', bed.notebook.activate(), null)")
    page.tab.keyboard.press("z")
    page.wait_until("bed.cells[1].model.type === 'markdown'")
    assert page.source(1) == "Why *3*?", "one step"
    choose(page, 1)
    give(page, TURN, by, 1)
    page.finish(1)
    choose(page, 1)
    give(page, TURN, by, 1)
    assert page.value("bed.cells[1].model.type") == "code" and page.text(1), "its answer is not lost"
    assert clean(page)


def test_what_cannot_be_edited_is_left_alone(either: Page) -> None:
    page = either
    page.start_over(["raw", "locked"])
    page.value("(bed.choose(0), bed.command('notebook:change-cell-to-raw').then(() => null))")
    page.value("(bed.cells[1].model.setMetadata('editable', false), null)")
    for cell in (0, 1):
        choose(page, cell)
        assert not is_enabled(page, TURN)
    assert clean(page)


def test_no_other_command_has_our_keys(either: Page) -> None:
    assert either.value(COLLISIONS) == {"ours": 2, "found": []}


@pytest.fixture
def other(lab: Page) -> Iterator[Page]:
    """A notebook whose kernel is not Python, as far as the page knows."""
    path = lab.lab.write("other.ipynb", ["x = 1"])
    held = json.loads(path.read_text(encoding="utf-8"))
    held["metadata"]["kernelspec"] = {"name": "julia", "display_name": "Julia", "language": "julia"}
    held["metadata"]["language_info"] = {"name": "julia"}
    path.write_text(json.dumps(held), encoding="utf-8")
    # A kernel of ipykernel that says that its language is another.
    code = (
        "from ipykernel.ipkernel import IPythonKernel as K\nfrom ipykernel.kernelapp import IPKernelApp\n"
        "class Other(K):\n    language_info = {'name': 'julia', 'mimetype': 'text/plain', 'file_extension': '.jl'}\n"
        "IPKernelApp.launch_instance(kernel_class=Other)"
    )
    spec = {
        "argv": [sys.executable, "-c", code, "-f", "{connection_file}"],
        "display_name": "Julia",
        "language": "julia",
    }
    folder = lab.lab.folder.parent / "data" / "kernels" / "julia"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    page = lab.lab.open("other.ipynb")
    yield page
    page.close()


def test_a_kernel_that_is_not_python_has_none(other: Page) -> None:
    page = other
    choose(page, 0)
    assert page.value("bed.notebook.model.getMetadata('language_info').name") == "julia"
    assert [is_enabled(page, command) for command in LABELS] == [False] * 3
    for key in KEYS.values():
        page.tab.keyboard.press(key)
    page.settle()
    assert page.value("bed.cells.length") == 1 and page.source(0) == "x = 1" and clean(page)


def test_two_notebooks_beside_each_other_are_asked_about_their_own_cells(lab: Page) -> None:
    page = lab
    page.start_over(["first"])
    page.save()
    page.value("(jupyterapp.shell.mode = 'multiple-document', null)")
    page.lab.write("second.ipynb", ["second"])
    page.value(
        "bed.command('docmanager:open', {path: 'second.ipynb', options: {mode: 'split-right'}}).then(() => null)"
    )
    page.wait_until("bed.panel?.context?.path === 'second.ipynb' && bed.ready")
    try:
        choose(page, 0)
        give(page, TURN, "key", 0)
        assert page.source(0) == "%%claude\nsecond"
        first = page.tab.locator(".jp-NotebookPanel:visible", has_text="first").locator(".cm-content").first
        first.click()
        page.wait_until("bed.panel.context.path === given", page.name)
        page.tab.keyboard.press(KEYS[TURN])
        assert page.source(0) == "%%claude\nfirst"
    finally:
        page.value(
            "Promise.all([...jupyterapp.shell.widgets('main')].filter(each => each.context?.path === 'second.ipynb')"
            ".map(async each => { await each.context.save(); await each.sessionContext.shutdown(); each.dispose() }))"
            ".then(() => null)"
        )
        page.wait_until("bed.panel?.context?.path === given", page.name)
        page.value("(jupyterapp.shell.mode = 'single-document', null)")
    assert clean(page)
