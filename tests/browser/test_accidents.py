"""Reloads, restarts, dead kernels and closed pages in the middle of a reply: nothing that arrived is lost."""

from __future__ import annotations

from contextlib import closing

import pytest

from support.jupyterlab import LOAD, NAME, Page, begin
from support.offline_requests import prompts, sent_back
from support.page_replies import CONTENT, HALF, NO_PANEL, THINKING, clean_file, nothing_strange, whole
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

ACCIDENTS = pytest.mark.parametrize("accident", ["reload", "kill_kernel", "restart"])
COUNTING = " ".join(f"and {number}" for number in range(100))
COUNTED = [THINKING, {"type": "text", "text": COUNTING}]


@ACCIDENTS
def test_an_accident_in_the_middle_of_a_reply_leaves_what_was_saved(
    lab: Page, server: SteeredServer, accident: str
) -> None:
    have_an_accident(lab, server, accident, NO_PANEL)
    clean_file(lab)
    lab.reload()
    lab.wait_text(1, "Alpha: the reply begins.")
    nothing_strange(lab)


@ACCIDENTS
def test_an_accident_under_the_panel_leaves_the_answer_and_the_next_run_a_clean_cell(
    lab: Page, server: SteeredServer, accident: str
) -> None:
    """The panel itself is dead then: a widget's view cannot outlive its kernel or page (RENDERING.md §2)."""
    have_an_accident(lab, server, accident, "# with the panel")
    _, asked, bystander, _ = lab.lab.read(NAME).cells
    (answer,) = [each for each in asked.outputs if "Alpha: the reply begins." in each.data.get("text/html", "")]
    assert "Omega" not in answer.data["text/html"]
    assert [each.data["text/plain"] for each in bystander.outputs] == ["2"]
    lab.finish(0)
    lab.finish(1)
    lab.save()
    clean_file(lab)
    lab.forget()  # what the dead panel said
    lab.reload()
    whole(lab)


def have_an_accident(page: Page, server: SteeredServer, accident: str, setting: str) -> None:
    """In the middle of a reply that has been saved; then run another cell, and save again."""
    server.script = lambda body: CONTENT
    begin(page, ["%%claude\nGo on.", "1 + 1", setting])
    page.finish(3)
    server.hold(HALF)
    page.run(1)
    page.wait_text(1, "Alpha: the reply begins.")
    page.save()
    getattr(page, accident)()
    assert "Alpha: the reply begins." in page.text(1)
    server.release()
    page.finish(2)
    assert page.text(2).split()[-1] == "2"
    page.save()


def test_what_no_page_took_is_recovered_to_the_last_event(either: Page, server: SteeredServer) -> None:
    """One page is closed in the middle of a reply, a kernel dies in the middle of another."""
    server.script = lambda body: COUNTED
    cells = [LOAD, "%%claude\nCount.", "%%claude\nCount on.", "%claude_recover", "%%claude\nHow far was that?"]
    page = either.lab.open("lost.ipynb", cells)
    page.finish(0)
    interrupted(page, server, 1)
    page.leave()
    server.release()
    with closing(either.lab.open("lost.ipynb")) as page:
        page.finish(3)  # the kernel has gone on
        page.wait_text(3, "the conversation is as it was")
        page.wait_text(3, COUNTING)
        arrived = interrupted(page, server, 2)
        page.kill_kernel()
        server.release()
        page.reload()
        page.finish(0)
        page.wait_text(0, "2 replies are not in this notebook: %claude_recover shows them.")
        page.rename("found.ipynb")
        page.finish(3)
        page.wait_text(3, "2 put back")
        shown = page.text(3)
        assert COUNTING in shown and shown.rstrip().endswith(arrived.rstrip())
        page.finish(4)
        assert prompts(server) == ["Count.", "Count on.", "How far was that?"]
        assert sent_back(server, "text") == [COUNTING, arrived]
        assert len(sent_back(server, "thinking")) == 2
        nothing_strange(page)
        page.save()
        clean_file(page)


def interrupted(page: Page, server: SteeredServer, cell: int) -> str:
    """Run a cell to the middle of its reply, until the page shows all that was sent. Returns the text so far."""
    server.hold(HALF)
    page.run(cell)
    page.wait_text(cell, "and 1")
    sent = server.first_events(HALF)
    arrived = "".join(each["delta"].get("text", "") for each in sent if each["type"] == "content_block_delta")
    assert arrived and COUNTING.startswith(arrived) and arrived != COUNTING
    page.wait_text(cell, arrived.rstrip())
    return arrived
