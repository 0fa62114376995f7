"""`aask` in a real JupyterLab and Notebook: several replies grow at once, and Stop ends them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.jupyterlab import Page, begin
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

IMPORTS = "import asyncio\nfrom claude_magic import aask, ask"
BOTH = "await asyncio.gather(*(aask(f'Tell me of {each}', show=True) for each in ('owls', 'cats')))\nNone"


def test_two_replies_grow_at_once_each_under_a_panel_and_stop_keeps_what_arrived(
    either: Page, server: SteeredServer, pictures: Path
) -> None:
    page = either
    server.script = lambda body: [{"type": "text", "text": "On owls and cats. " * 200}]
    begin(page, [IMPORTS, BOTH, "%claude_history"])
    page.finish(1)
    server.hold(60)
    page.run(2)
    stops = page.panel(2).get_by_role("button", name="Stop")
    stops.nth(1).wait_for()
    page.wait_text(2, "writing …")
    page.screenshot(pictures / "asked-at-once.png")
    stops.first.click()
    page.wait_done(2)
    server.release()
    assert "interrupted" in page.text(2) and "The reply was interrupted." in page.html(2)
    page.finish(3)
    assert stops.count() == 0 and 1 <= page.text(3).count("Tell me of") <= 2  # of which anything had arrived


def test_a_question_with_its_mark_and_a_bound_reply(lab: Page, server: SteeredServer) -> None:
    begin(lab, ["%claude What is the largest town of Iceland?", "reply = %claude And of Norway??", "reply"])
    for cell in (1, 2, 3):
        lab.finish(cell)
    assert lab.text(1).count("What is the largest town of Iceland?") == 1
    bound = lab.text(3).split()[1:]  # behind its Out [ ]
    assert bound and bound == lab.text(2).split()[-len(bound) :]
