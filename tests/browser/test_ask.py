"""`aask` in a real JupyterLab and Notebook: several replies grow at once, and Stop ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.jupyterlab import Page, begin
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

IMPORTS = "import asyncio\nfrom claude_magic import aask, ask"
BOTH = "await asyncio.gather(*(aask(f'Tell me of {each}', show=True) for each in ('owls', 'cats')))\nNone"


def test_two_replies_grow_at_once_each_under_a_panel_and_stop_keeps_both(
    either: Page, server: SteeredServer, pictures: Path
) -> None:
    page = either
    begin(page, [IMPORTS, BOTH, "%claude_history"])
    page.finish(1)
    server.hold(40)
    page.run(2)
    stops = page.panel(2).get_by_role("button", name="Stop")
    page.wait_until("bed.text(2).split('writing …').length === 3")
    page.screenshot(pictures / f"asked at once {page.name}.png")
    stops.first.click()
    server.release()
    page.wait_done(2)
    shown = page.text(2)
    assert shown.count("interrupted") >= 2 and "The reply was interrupted." in shown
    page.finish(3)
    assert page.text(3).count("Tell me of") == 2


def test_a_question_with_its_mark_and_a_bound_reply(lab: Page, server: SteeredServer) -> None:
    begin(lab, ["%claude What is the capital of Iceland?", "reply = %claude And of Norway??", "reply"])
    for cell in (1, 2, 3):
        lab.finish(cell)
    assert lab.text(1).count("What is the capital of Iceland?") == 1
    assert lab.text(3).split() == lab.text(2).split()[-len(lab.text(3).split()) :]
