"""Fix with Claude in a real JupyterLab and Notebook: the button, the difference, and what Accept does and undoes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from support.jupyterlab import Page, begin, clean
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

BROKEN = "total = 6 * 7\nprint(totl)\nprint('<b>done</b>')"
MENDED = "total = 6 * 7\nprint(total)\nprint('<b>done</b>')"
REPLY = f"The name was misspelt.\n\n```python\n{MENDED}\n```\n"
FIX_TYPE = "application/vnd.claude-magic.fix+json"
_PUT_OUTPUT = """bed.cells[given[0]].model.outputs.add({
  output_type: 'display_data', metadata: given[2], data: given[1] })"""


def button(page: Page, cell: int, name: str) -> Locator:
    return page.cell(cell).locator(".jp-cell-toolbar").get_by_role("button", name=name)


def offer(page: Page, cell: int, name: str) -> Locator:
    return page.cell(cell).locator(".claude-fix").get_by_role("button", name=name, exact=True)


def shown(page: Page, cell: int) -> str:
    return page.cell(cell).locator(".claude-fix").inner_text()


def press_fix(page: Page, cell: int, by: str = "mouse") -> None:
    page.value("(bed.choose(given), null)", cell)
    found = button(page, cell, "Fix with Claude")
    found.wait_for()
    found.click() if by == "mouse" else found.press("Enter")


def mended(page: Page, server: SteeredServer, *cells: str, reply: str = REPLY, by: str = "mouse") -> None:
    """A notebook whose cell 1 failed, and has been corrected by the button in cell 2."""
    server.script = lambda body: [{"type": "text", "text": reply}]
    begin(page, [*(cells or (BROKEN,)), "# the last cell"])
    page.finish(1)
    press_fix(page, 1, by)
    page.cell(2).locator(".claude-fix").wait_for()
    page.wait_done(2)
    assert page.value("bed.cells.length") == len(cells or (BROKEN,)) + 3


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_failed_cell_is_corrected_accepted_and_brought_back(
    either: Page, server: SteeredServer, pictures: Path, by: str
) -> None:
    page = either
    mended(page, server, by=by)
    identity = page.value("bed.cells[1].model.id")
    assert page.source(2) == f"%claude_fix --cell {identity} --diff"
    assert page.source(3) == "# the last cell", "no second cell"
    assert "-print(totl)\n+print(total)" in shown(page, 2) and "<b>done</b>" in shown(page, 2)
    assert page.source(1) == BROKEN, "nothing is put in before it is accepted"
    for theme in ("Dark", "Light"):
        page.theme(theme)  # type: ignore[arg-type]
        page.screenshot(pictures / f"frontend-fix-{page.lab.application}-{theme.lower()}.png")

    accept = offer(page, 2, "Accept")
    accept.click() if by == "mouse" else accept.press("Enter")
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", MENDED)
    assert page.value("bed.cells[1].model.outputs.toJSON()[0].output_type") == "error", "nothing has run"
    assert "The corrected code is in the cell." in shown(page, 2) and not accept.is_visible()
    assert page.value("bed.notebook.activeCellIndex") == 1
    page.tab.keyboard.press("Control+z")
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", BROKEN)
    accept.wait_for()
    page.tab.keyboard.press("Control+Shift+z")
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", MENDED)
    page.finish(1)
    assert page.text(1).strip() == "42\n<b>done</b>"
    assert not button(page, 1, "Fix with Claude").is_visible()
    assert clean(page)


def test_the_difference_is_in_view_below_a_long_error(either: Page, server: SteeredServer) -> None:
    mended(either, server, "raise ValueError('\\n'.join(map(str, range(60))))")
    expect(offer(either, 2, "Accept")).to_be_in_viewport()


def test_declined_it_stays_as_it_is_and_can_be_shown_again(either: Page, server: SteeredServer) -> None:
    page = either
    mended(page, server)
    offer(page, 2, "Decline").press("Enter")
    assert shown(page, 2).split("\n")[-1] == "Declined: the cell is as it was." and page.source(1) == BROKEN
    assert page.value("document.activeElement.textContent") == "Show"
    page.tab.keyboard.press("Space")
    assert "+print(total)" in shown(page, 2)
    assert page.value("document.activeElement.textContent") == "Accept"
    assert clean(page)


def test_the_button_asks_again_in_the_cell_that_is_there(either: Page, server: SteeredServer) -> None:
    page = either
    mended(page, server)
    asked = len(server.requests)
    number = page.value("bed.prompt(2)")
    press_fix(page, 1)
    page.wait_until("bed.prompt(2) !== given && bed.done(2) && bed.text(2).includes('Accept')", number)
    assert len(server.requests) > asked and page.value("bed.cells.length") == 4
    assert clean(page)


def test_only_code_that_failed_has_the_button(either: Page, server: SteeredServer) -> None:
    page = either
    server.script = lambda body: [{"type": "text", "text": "Hi"}]
    stderr = "import sys\nprint('Error', file=sys.stderr)"
    begin(page, ["1 / 0", "1", stderr, "%%claude --modle x\nHi", "%claude_nothing", "1 / 0"])
    for cell in (1, 2, 3, 4, 5):
        page.finish(cell)
    seen = []
    for cell in (1, 2, 3, 4, 5, 6):
        page.value("(bed.choose(given), null)", cell)
        page.cell(cell).locator(".jp-cell-toolbar").wait_for()
        page.settle()
        seen.append(button(page, cell, "Fix with Claude").is_visible())
    assert seen == [True, False, False, False, False, False]
    assert not page.value("jupyterapp.commands.isEnabled('claude-magic:fix')")
    page.value("(bed.choose(1), null)")
    assert page.value("jupyterapp.commands.isEnabled('claude-magic:fix')")
    page.value("bed.command('notebook:clear-cell-output').then(() => null)")
    button(page, 1, "Fix with Claude").wait_for(state="hidden")
    assert clean(page)


def test_an_earlier_failure_is_corrected_as_well(either: Page, server: SteeredServer) -> None:
    page = either
    server.script = lambda body: [{"type": "text", "text": REPLY}]
    begin(page, [BROKEN, "1 / 0"])
    page.finish(1)
    page.finish(2)
    press_fix(page, 1)
    page.cell(2).locator(".claude-fix").wait_for()
    sent = str(server.requests[-1]["messages"][-1])
    assert "totl" in sent and "NameError" in sent and "ZeroDivisionError" not in sent
    assert "+print(total)" in shown(page, 2) and clean(page)


def test_a_cell_that_changed_or_went_is_left_alone(either: Page, server: SteeredServer) -> None:
    page = either
    mended(page, server)
    accept = offer(page, 2, "Accept")
    page.value("bed.cells[1].model.sharedModel.setSource('changed')")
    accept.wait_for(state="hidden")
    assert "The cell has changed since it failed: nothing is put in its place." in shown(page, 2)
    assert "+print(total)" in shown(page, 2), "the difference is still there to read"
    page.value("bed.cells[1].model.sharedModel.setSource(given)", BROKEN)
    accept.wait_for()
    page.value("bed.cells[1].model.setMetadata('editable', false)")
    page.value("bed.cells[1].model.sharedModel.setSource(given + '\\n')", BROKEN)
    page.wait_until("bed.text(2).includes('cannot be edited')")
    page.delete_cell(1)
    page.wait_until("bed.cells.length === 3 && bed.text(1).includes('is not in this notebook')")
    assert offer(page, 1, "Accept").count() == 0
    assert clean(page)


def test_a_secret_comes_back_from_the_cell_and_is_nowhere_else(lab: Page, server: SteeredServer) -> None:
    page = lab
    broken = "password = 'hunter2'\nshare = 1 / 0"
    mended(page, server, broken, reply="Zero.\n```python\npassword = '[secret masked]'\nshare = 1 / 2\n```")
    assert "hunter2" not in str(page.outputs(2)) + str(server.requests[-1])
    assert "-share = 1 / 0\n+share = 1 / 2" in shown(page, 2)
    offer(page, 2, "Accept").click()
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", "password = 'hunter2'\nshare = 1 / 2")
    assert "The corrected code is in the cell." in shown(page, 2) and clean(page)


def test_it_is_offered_from_a_file_with_no_kernel(either: Page, server: SteeredServer) -> None:
    page = either
    mended(page, server)
    page.save()
    page.reload()
    page.shut_down()
    page.settle()
    page.forget()  # what JupyterLab had still asked the kernel
    offer(page, 2, "Accept").click()
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", MENDED)
    page.tab.keyboard.press("Control+z")
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", BROKEN)
    page.value("bed.panel.sessionContext.startKernel().then(() => null)")
    assert clean(page)


def test_a_kernel_that_did_not_run_the_cell_has_it_from_the_file(lab: Page, server: SteeredServer) -> None:
    page = lab
    server.script = lambda body: [{"type": "text", "text": REPLY}]
    begin(page, [BROKEN])
    page.finish(1)
    page.save()
    page.restart()
    page.finish(0)
    page.execute('%config ClaudeMagic.provider = "anthropic"')
    press_fix(page, 1)
    page.cell(2).locator(".claude-fix").wait_for()
    sent = str(server.requests[-1]["messages"][-1])
    assert "print(totl)" in sent and "NameError" in sent and "\\x1b" not in sent
    offer(page, 2, "Accept").click()
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", MENDED)
    assert clean(page)


HOSTILE: dict[str, Any] = {
    "none": None,
    "a number": 3,
    "a list": [1],
    "no fields": {},
    "wrong types": {"cell": 1, "source": [], "mended": {}, "mask": None},
    "no mask": {"cell": "CELL", "source": BROKEN, "mended": MENDED, "mask": ""},
    "too long": {"cell": "CELL", "source": BROKEN, "mended": "x" * 300_000, "mask": "[m]"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_correction_shows_as_text(lab: Page, name: str) -> None:
    page = lab
    begin(page, [BROKEN, "1"])
    data = {FIX_TYPE: HOSTILE[name], "text/plain": "<img src=x onerror='window.PWN=1'>"}
    page.value(f"({_PUT_OUTPUT}, null)", [2, data, {}])
    page.settle()
    assert "<img src=x" in page.text(2)
    assert page.cell(2).get_by_role("button", name="Accept").count() == 0 and clean(page)


def test_a_strangers_correction_shows_all_that_it_would_put_in(lab: Page) -> None:
    page = lab
    begin(page, [BROKEN, "1", "2"])
    markup = "<img src=x onerror='window.PWN=1'><script>window.PWN=1</script>"
    code = f"{markup}\nadmin = 'a\u202eb\u200b'\n" + "\n".join(f"line{n}" for n in range(30))
    for cell, target in ((2, page.value("bed.cells[1].model.id")), (3, "not-there")):
        data = {FIX_TYPE: {"cell": target, "source": BROKEN, "mended": code, "mask": "[m]"}, "text/plain": "x"}
        page.value(f"({_PUT_OUTPUT}, null)", [cell, data, {"claude_magic": [3]}])
    page.settle()
    assert markup in shown(page, 2) and "⟨U+202E⟩b⟨U+200B⟩" in shown(page, 2) and "+line29" in shown(page, 2)
    assert "The cell that failed is not in this notebook." in shown(page, 3)
    assert offer(page, 3, "Accept").count() == 0
    offer(page, 2, "Accept").click()
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", code)
    assert clean(page)


def test_an_id_that_would_be_more_than_an_id_has_no_button(lab: Page) -> None:
    page = lab
    begin(page, ["1 / 0"])
    page.finish(1)
    saved = page.value("bed.panel.context.model.toJSON()")
    saved["cells"][1]["id"] = "x --diff\nwindow = 1"
    page.value("bed.panel.context.model.fromJSON(given)", saved)
    page.settle()
    page.value("(bed.choose(1), null)")
    page.settle()
    assert not page.value("jupyterapp.commands.isEnabled('claude-magic:fix')")
