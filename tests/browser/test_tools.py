"""Tools in a real JupyterLab: a reader who is asked, sees what runs, and reads it later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.jupyterlab import Page, begin
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

HOSTILE = "Oslo <img src=x onerror=window.PWN++> costs $5 or $10"
DEFINED = """
ran = []
def weather(city: str, days: int = 3) -> str:
    "What the weather will be."
    ran.append(days)
    return f"<b>{city}</b>: fine for {days} days"
"""
MODELS_LEFT = "import ipywidgets\nprint(len(ipywidgets.widget._instances), ran)"


def call(number: int, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": given}


def script(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two calls at once, then the last word."""
    if len(body["messages"]) == 1:
        return [{"type": "text", "text": "I look."}, call(1, city=HOSTILE), call(2, city="Rome", days=7)]
    return [{"type": "text", "text": "It will be fine."}]


def ask(lab: Page, server: SteeredServer) -> None:
    """Run the cell, whose reply goes on once clicks arrive; where they do not yet, the reader is asked by `input()`."""
    server.hold(1)
    lab.run(1)
    lab.panel(1).get_by_role("button", name="Stop").wait_for()
    server.release()


def test_a_reader_approves_one_call_by_button_and_refuses_another(
    lab: Page, server: SteeredServer, pictures: Path
) -> None:
    server.script = script
    begin(lab, ["%%claude --tools weather\nWhat will the weather be?", DEFINED, MODELS_LEFT])
    lab.finish(2)
    ask(lab, server)
    run = lab.panel(1).get_by_role("button", name="Run")
    run.wait_for()
    assert "May weather run?" in lab.text(1) and '"city": "Oslo <img' in lab.text(1)
    lab.wait_text(1, "waiting for you: may weather run?")
    lab.screenshot(pictures / "approval.png", 1)
    assert len(server.requests) == 1
    run.click()
    lab.wait_text(1, '"days": 7')
    assert "fine for 3 days" in lab.html(1)
    lab.screenshot(pictures / "approval-second.png", 1)
    lab.panel(1).get_by_role("button", name="Refuse").click()
    lab.wait_done(1)
    lab.wait_text(1, "It will be fine.")
    lab.finish(3)
    assert lab.text(3).split()[-1] == "[3]" and lab.text(3).split()[0] == "0"
    results = server.requests[-1]["messages"][-1]["content"]
    assert [bool(each.get("is_error")) for each in results] == [False, True]
    lab.save()
    lab.reload()
    lab.cell(1).locator("summary", has_text="→ <b>Oslo").click()
    lab.cell(1).locator("summary", has_text="failed").click()
    lab.wait_text(1, "The reader refused this call")
    assert lab.canary() == ["undefined"] and not lab.errors
    lab.screenshot(pictures / "approval-at-rest.png", 1)


def test_an_interrupt_while_the_reader_is_asked_runs_nothing(lab: Page, server: SteeredServer) -> None:
    server.script = script
    begin(lab, ["%%claude --tools weather\nWhat will the weather be?", DEFINED, MODELS_LEFT])
    lab.finish(2)
    ask(lab, server)
    lab.wait_text(1, "May weather run?")
    lab.interrupt()
    lab.wait_done(1)
    lab.wait_text(1, "interrupted")
    lab.finish(3)
    assert lab.text(3).split() == ["0", "[]"]
