"""Stop in a real JupyterLab and Notebook: on each cell that asks Claude while it runs, and a kernel that says busy."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator

from support.jupyterlab import Page, begin, clean
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

STATUS = "bed.panel.sessionContext.session.kernel.status"


def stop(page: Page, cell: int) -> Locator:
    return page.cell(cell).get_by_role("button", name="Stop Claude")


@pytest.mark.parametrize("by", ["mouse", "keyboard", "palette"])
def test_a_running_prompt_has_a_stop_that_interrupts_it(
    either: Page, server: SteeredServer, pictures: Path, by: str
) -> None:
    page = either
    begin(page, ["%%claude\nA long story", "import time\nprint('begun', flush=True)\ntime.sleep(60)"])
    assert stop(page, 1).count() == 0, "nothing runs"
    server.hold(20)
    page.run(1)
    stop(page, 1).wait_for()
    page.value("(bed.choose(2), null)")
    page.settle()
    assert stop(page, 1).is_visible() and stop(page, 2).count() == 0
    for theme in ("Dark", "Light") if by == "mouse" else ():
        page.theme(theme)  # type: ignore[arg-type]
        page.screenshot(pictures / f"frontend-stop-{page.lab.application}-{theme.lower()}.png")
    if by == "mouse":
        stop(page, 1).click()
    elif by == "keyboard":
        stop(page, 1).press("Enter")
    else:
        page.choose_in_palette("claude-magic:stop", "Stop Claude")
    page.wait_done(1)
    assert "interrupted" in page.text(1).lower()
    assert stop(page, 1).count() == 0 and page.value("bed.notebook.mode") == "command"

    page.run(2)  # it asks nobody
    page.wait_text(2, "begun")
    page.settle()
    assert stop(page, 2).count() == 0
    page.interrupt()
    page.wait_done(2)
    assert clean(page)


def test_each_cell_that_asks_has_one_while_it_waits_and_others_have_none(either: Page, server: SteeredServer) -> None:
    page = either
    asking = [
        "%%claude\na",
        "x = 1\n%claude b",
        "\n%%claude --model haiku\nc",
        "rows = ['a']",
        "%%claude_map rows\n{{row}}",
    ]
    begin(page, [*asking, "'%claude'", "%claude_cost", "# %claude d"])
    server.hold(5)
    page.run_all()
    page.wait_until("bed.text(1).length > 0")
    assert [stop(page, cell).count() for cell in range(9)] == [0, 1, 1, 1, 0, 1, 0, 0, 0]
    server.release()
    page.wait_until("!Object.keys(bed.runs).length")
    assert page.tab.get_by_role("button", name="Stop Claude").count() == 0
    assert clean(page)


def test_the_kernel_is_busy_while_claude_answers_and_idle_thereafter(either: Page, server: SteeredServer) -> None:
    page = either
    begin(page, ["%%claude\nA long story"])
    server.hold(20)
    page.run(1)
    page.panel(1).first.wait_for()
    page.wait_text(1, "Stop")
    for _ in range(5):  # the page's messages about the panel have been answered in a subshell
        page.settle()
        assert page.value(STATUS) == "busy"
    if page.lab.application == "lab":
        assert "Busy" in page.tab.locator("#jp-main-statusbar").inner_text()
    assert page.tab.locator(".jp-Notebook-ExecutionIndicator[data-status=busy]").count() == 1
    server.release()
    page.wait_done(1)
    page.wait_until(f"{STATUS} === 'idle'")
    assert clean(page)


def test_after_a_reload_the_cell_that_runs_has_its_stop(either: Page, server: SteeredServer) -> None:
    page = either
    begin(page, ["%%claude\nA long story"])
    page.save()
    server.hold(20)
    page.run(1)
    page.panel(1).first.wait_for()
    page.wait_text(1, "Stop")
    page.reload()
    stop(page, 1).wait_for()
    stop(page, 1).click()
    page.wait_until(f"{STATUS} === 'idle'")
    stop(page, 1).wait_for(state="detached")
    page.execute("pass")
    page.reload()
    page.settle()
    assert stop(page, 1).count() == 0
    # What JupyterLab says of the panel, whose widgets went with the page before.
    page.errors[:] = [error for error in page.errors if not error.startswith("Comm not found for comm id")]
    assert clean(page)


def test_a_notebook_that_is_renamed_while_it_runs_keeps_its_stop(lab: Page, server: SteeredServer) -> None:
    page = lab
    begin(page, ["%%claude\nA long story"])
    page.save()
    server.hold(20)
    page.run(1)
    stop(page, 1).wait_for()
    before = page.name
    page.rename("renamed-while-it-runs.ipynb")
    try:
        stop(page, 1).click()
        page.wait_done(1)
        assert "interrupted" in page.text(1).lower() and stop(page, 1).count() == 0
    finally:
        page.rename(before)
    assert clean(page)
