"""What a reader sees of a reply in a real JupyterLab and a real Notebook, live and reopened."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.jupyterlab import Page, begin
from support.kernel import plain
from support.page_replies import CONTENT, HALF, NO_PANEL, REPLY, THOUGHT, clean_file, nothing_strange, whole
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

FIGURE = "from matplotlib.figure import Figure\nfig = Figure()\nfig.subplots().plot([1, 3, 2]);"
THOUGHTS = [f"Thought {number}: <img src=x onerror=window.PWN++> costs $5 or $10." for number in range(12)]
PANEL_REPLY = [{"type": "thinking", "thinking": "\n".join(THOUGHTS)}, {"type": "text", "text": REPLY}]
MODELS_LEFT = "import ipywidgets\nlen(ipywidgets.widget._instances)"


def test_an_answer_is_seen_growing_and_then_whole_and_reads_so_when_reopened(
    either: Page, server: SteeredServer
) -> None:
    page, server.script = either, lambda body: CONTENT
    begin(page, ["%%claude\nWhat is beautiful?"])
    server.hold(HALF)
    page.run(1)
    page.wait_text(1, "Alpha: the reply begins.")
    assert "Omega" not in page.text(1)
    page.wait_text(1, "writing …")
    server.release()
    page.wait_done(1)
    whole(page)
    left = page.text(1)
    page.save()
    page.reload()
    whole(page)
    assert page.text(1).split() == left.split()
    assert THOUGHT not in page.text(1)
    page.cell(1).locator("summary", has_text="Thinking").click()
    page.wait_text(1, THOUGHT)
    clean_file(page)


def test_an_image_that_was_sent_is_seen(lab: Page, server: SteeredServer) -> None:
    begin(lab, [FIGURE, "%%claude\nWhat is in {{fig}}?"])
    lab.finish(1)
    lab.finish(2)
    lab.wait_until("bed.area(2).querySelector('img')?.naturalWidth > 100")
    assert "with fig" not in lab.text(2)
    lab.cell(2).locator("summary").first.click()
    assert "with fig" in lab.text(2)
    assert lab.value("bed.area(2).querySelector('img').width") == 240
    (block,) = [each for each in server.requests[-1]["messages"][-1]["content"] if each["type"] == "image"]
    shown = [each["data"] for each in lab.outputs(2)]
    assert block["source"]["data"] in [each.get("image/png", "").strip() for each in shown]


def test_the_panel_shows_what_happens_and_is_gone_at_the_end(lab: Page, server: SteeredServer) -> None:
    """State, seconds, tokens, dollars, Stop, thumbnails; thinking is open until the answer begins."""
    server.script = lambda body: PANEL_REPLY
    begin(lab, ["%%claude\nWhat is in {{fig}}?", FIGURE, MODELS_LEFT])
    lab.finish(2)
    lab.watch_widgets()
    server.hold(30)
    lab.run(1)
    stop = lab.panel(1).get_by_role("button", name="Stop")
    stop.wait_for()
    lab.wait_until("bed.text(1).includes('out · ≈$')")
    state = lab.panel(1).locator("[role=status]").inner_text()
    assert re.fullmatch(r"thinking … · \d+ s · [\d,]+ tokens in · ≈\d+ out · ≈\$0\.\d+", state), state
    lab.wait_until("bed.area(1).querySelector('.jupyter-widgets img')?.naturalWidth > 10")
    thinking_grows(lab, server)
    assert stop.is_visible() and lab.canary() == ["undefined"]
    server.release()
    lab.wait_done(1)
    lab.wait_text(1, "Omega")
    assert lab.panel(1).count() == 0 and lab.widgets_seen() > 0
    assert THOUGHTS[0] not in lab.text(1)
    no_widget_is_left(lab, 3)


def thinking_grows(page: Page, server: SteeredServer) -> None:
    """Let more of the thinking come, then some of the text; then open the thinking again."""
    fold = page.panel(1).locator(".jupyter-widget-Collapse-contents")
    page.wait_text(1, THOUGHTS[0])
    assert fold.is_visible()
    assert THOUGHTS[-1] not in fold.inner_text()
    server.hold(30)
    page.wait_text(1, THOUGHTS[4])
    assert fold.is_visible()
    server.hold(70)
    page.wait_text(1, "Alpha: the reply begins.")
    page.wait_text(1, "writing …")
    fold.wait_for(state="hidden")
    page.panel(1).locator(".jupyter-widget-Collapse-header").click()
    fold.wait_for()
    assert fold.inner_text().strip().splitlines() == THOUGHTS


def test_stop_ends_a_silent_reply_at_once_and_keeps_what_came(lab: Page, server: SteeredServer) -> None:
    server.script = lambda body: CONTENT
    begin(lab, ["%%claude\nGo on and on.", MODELS_LEFT])
    server.hold(HALF)
    lab.run(1)
    lab.wait_text(1, "Alpha: the reply begins.")
    stop = lab.panel(1).get_by_role("button", name="Stop")
    stop.wait_for()
    ends_within_a_second(lab, stop.click)
    no_widget_is_left(lab, 2)
    server.release()
    lab.finish(1)
    lab.wait_text(1, "Omega")
    assert "interrupted" not in lab.text(1)
    assert len(server.requests[-1]["messages"]) == 1


def test_interrupt_ends_a_silent_reply_and_keeps_what_came(either: Page, server: SteeredServer) -> None:
    server.script = lambda body: CONTENT
    begin(either, ["%%claude\nGo on and on."])
    server.hold(HALF)
    either.run(1)
    either.wait_text(1, "Alpha: the reply begins.")
    ends_within_a_second(either, either.interrupt)


def ends_within_a_second(page: Page, stop: Callable[[], None]) -> None:
    """What came stands there, and says that it is not all."""
    clicked = time.monotonic()
    stop()
    page.wait_done(1)
    seconds = time.monotonic() - clicked
    print(f"{page.lab.application}: from the click to the cell's end: {seconds * 1000:.0f} ms")
    assert seconds < 1
    page.wait_text(1, "■ interrupted")
    shown = page.text(1)
    assert "Alpha: the reply begins." in shown and "Omega" not in shown
    assert "■ interrupted" in shown.splitlines()[0]
    (error,) = [each for each in page.outputs(1) if each["output_type"] == "error"]
    assert 1 <= len(plain(error["traceback"]).splitlines()) <= 3
    assert turn_of(page, 1)["status"] == "interrupted"


def no_widget_is_left(page: Page, cell: int) -> None:
    """Neither in the kernel, as that cell says, nor in the page or the file."""
    page.finish(cell)
    assert page.text(cell).split()[-1] == "0"
    nothing_strange(page)
    page.save()
    clean_file(page)


def test_without_the_panel_no_widget_is_ever_shown(lab: Page, server: SteeredServer) -> None:
    server.script = lambda body: CONTENT
    begin(lab, ["%%claude\nWhat is beautiful?", NO_PANEL])
    lab.finish(2)
    lab.watch_widgets()
    server.hold(HALF)
    lab.run(1)
    lab.wait_text(1, "Alpha: the reply begins.")
    lab.wait_text(1, "writing …")
    server.release()
    lab.wait_done(1)
    lab.wait_text(1, "Omega")
    assert lab.widgets_seen() == 0
    nothing_strange(lab)


def turn_of(page: Page, cell: int) -> dict[str, Any]:
    """The turn that rides along in a cell's header."""
    (found,) = [
        each["metadata"]["claude_magic"]["turn"]
        for each in page.outputs(cell)
        if "claude_magic" in each.get("metadata", {})
    ]
    return dict(found)


DEMO = [
    "%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'",
    "import pandas as pd\nfrom matplotlib.figure import Figure\n\n"
    "owls = pd.DataFrame({'species': ['barn', 'eagle', 'snowy'], 'grams': [480, 2700, 1800]})\n"
    "fig = Figure(figsize=(4, 2))\nfig.subplots().bar(owls.species, owls.grams);",
    "%%claude --thinking adaptive\nCompare {{owls}} in a table, and give the formula for the mean.",
    "%%claude\nDescribe {{fig}}, and write code that plots it again.",
    "%%claude --max-tokens 60\nWhat did I ask earlier?",
    "%claude_cost",
]


def test_a_conversation_fits_its_page_in_light_and_dark_wide_and_narrow(either: Page, pictures: Path) -> None:
    """Nothing is wider than the cell, and the pictures are there to be looked at."""
    page = either
    page.start_over(DEMO)
    page.run_all()
    page.wait_done(len(DEMO) - 1)
    page.value("document.querySelectorAll('.jp-OutputArea-output details').forEach(each => { each.open = true })")
    for width in (1280, 800):
        page.resize(width, 3000)
        for theme in ("Light", "Dark"):
            page.theme(theme)
            page.screenshot(pictures / f"{page.lab.application}-{theme.lower()}-{width}.png")
        for number in range(2, len(DEMO)):
            assert page.value(f"bed.area({number}).scrollWidth <= bed.area({number}).clientWidth")
    page.theme("Light")
    nothing_strange(page)
