"""A map in a real JupyterLab: its bar, its end before the time, and what is left of it in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.jupyterlab import Page, begin
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

ROWS = 40
FRAME = f"import pandas as pd\nrows = pd.DataFrame({{'n': range({ROWS})}})"
MAP = "%%claude_map rows --out told --concurrency 4 --model haiku\nSay something about {{row.n}}."
SHOW = "told.tail(3)[['n', 'reply', 'error']]"
COUNT = """
import ipywidgets
print(told.reply.notna().sum(), told.error.notna().sum(), len(ipywidgets.widget._instances))
"""
SOME_EVENTS = 60  # those of a few rows


def test_the_bar_moves_and_stop_keeps_what_is_done(lab: Page, server: SteeredServer, pictures: Path) -> None:
    server.script = lambda body: [{"type": "text", "text": "Something."}]
    begin(lab, [FRAME, MAP, COUNT, SHOW])
    lab.finish(1)
    server.hold(SOME_EVENTS)
    lab.run(2)
    bar = lab.panel(2).get_by_role("progressbar")
    bar.wait_for()
    lab.wait_until("Number(bed.area(2).querySelector('progress')?.value) > 0")
    lab.wait_text(2, f"of {ROWS} rows")
    for theme in ("Dark", "Light"):
        lab.theme(theme)  # type: ignore[arg-type]
        lab.screenshot(pictures / f"map-bar-{theme.lower()}.png", 2)
    lab.panel(2).get_by_role("button", name="Stop").click()
    lab.wait_text(2, "stopping")
    server.release()
    lab.wait_done(2)
    asked = len(server.requests)
    assert 4 < asked < ROWS
    lab.wait_text(2, "Stop was pressed")
    lab.finish(3)
    answered, missing, models = map(int, lab.text(3).split())
    assert answered == asked and missing == ROWS - asked and models == 0
    lab.screenshot(pictures / "map-stopped.png")
    lab.finish(2)
    lab.finish(3)
    lab.finish(4)
    assert lab.text(3).split()[:2] == [str(ROWS), "0"] and len(server.requests) == ROWS
    lab.screenshot(pictures / "map-done.png")
    assert not lab.errors


def test_interrupt_breaks_off_what_is_under_way_and_keeps_what_is_done(lab: Page, server: SteeredServer) -> None:
    server.script = lambda body: [{"type": "text", "text": "Something else."}]
    begin(lab, [FRAME, MAP.replace("something", "another thing"), COUNT])
    lab.finish(1)
    before = len(server.requests)
    server.hold(SOME_EVENTS)
    lab.run(2)
    lab.wait_until("Number(bed.area(2).querySelector('progress')?.value) > 0")
    lab.interrupt()
    lab.wait_done(2)
    lab.wait_text(2, "The map was interrupted")
    server.release()
    lab.finish(3)
    answered, missing, models = map(int, lab.text(3).split())
    assert 0 < answered < len(server.requests) - before and answered + missing == ROWS and models == 0
    lab.finish(2)
    lab.finish(3)
    assert lab.text(3).split()[:2] == [str(ROWS), "0"]
    assert not lab.errors


def test_in_the_background_other_cells_run_and_the_record_takes_the_bars_place(
    either: Page, server: SteeredServer, pictures: Path
) -> None:
    server.script = lambda body: [{"type": "text", "text": "Something behind."}]
    begin(
        either, [FRAME, f"{MAP.replace('something', either.lab.application)}".replace("4 ", "4 --background "), COUNT]
    )
    either.finish(1)
    server.hold(SOME_EVENTS)
    either.finish(2)
    either.wait_until("Number(bed.area(2).querySelector('progress')?.value) > 0")
    either.panel(2).get_by_role("button", name="Stop").wait_for()
    either.screenshot(pictures / f"map-background-{either.lab.application}.png")
    either.finish(1)
    server.release()
    either.wait_text(2, "told is a pandas DataFrame")
    either.finish(3)
    assert either.text(3).split() == [str(ROWS), "0", "0"] and either.panel(2).count() == 0
    either.save()
    (record,) = [
        output.metadata["claude_magic"]["map"]
        for output in either.lab.read(either.name).cells[2].outputs
        if output.get("metadata", {}).get("claude_magic")
    ]
    assert record["answered"] == ROWS
    assert not either.errors
