"""Tools in a real JupyterLab: a reader who is asked, sees what runs, and reads it later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator

from support.jupyterlab import Page, begin
from support.mcp_servers import RawServer, tool
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
ECHOED = {"weather": "echo"}
QUICK_REPLIES = 5
MODELS_LEFT = "import ipywidgets\nprint(len(ipywidgets.widget._instances), ran)"


def call(number: int, **given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{number}", "name": "weather", "input": given}


def script(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Two calls at once, then the last word."""
    if len(body["messages"]) == 1:
        return [{"type": "text", "text": "I look."}, call(1, city=HOSTILE), call(2, city="Rome", days=7)]
    return [{"type": "text", "text": "It will be fine."}]


def button(page: Page, name: str, cell: int = 1) -> Locator:
    """A button of the panel."""
    return page.panel(cell).get_by_role("button", name=name, exact=True)


def test_a_reader_approves_one_call_by_button_and_refuses_another(
    lab: Page, server: SteeredServer, pictures: Path
) -> None:
    server.script = script
    begin(lab, ["%%claude --tools weather\nWhat will the weather be?", DEFINED, MODELS_LEFT])
    lab.finish(2)
    lab.run(1)
    run = button(lab, "Run")
    run.wait_for()
    assert "May weather run?" in lab.text(1) and '"city": "Oslo <img' in lab.text(1)
    lab.wait_text(1, "waiting for you: may weather run?")
    lab.wait_text(1, "Claude waits for you.")
    lab.screenshot(pictures / "approval.png", 1)
    assert len(server.requests) == 1
    run.click()
    lab.wait_text(1, '"days": 7')
    lab.wait_until("bed.area(1).innerHTML.includes('fine for 3 days')")
    lab.screenshot(pictures / "approval-second.png", 1)
    button(lab, "Refuse").click()
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


def test_a_tool_of_a_local_server_is_approved_by_button_as_well(
    lab: Page, server: SteeredServer, pictures: Path, tmp_path: Path
) -> None:
    raw = RawServer(tmp_path, [tool("weather"), tool("odd", {"type": "object", "oneOf": [{}]})], results=ECHOED)
    server.script = script
    begin(lab, [f"%%claude --mcp {raw.line}\nWhat will the weather be?"])
    lab.run(1)
    button(lab, "Run all of this reply").wait_for()
    assert "May weather run?" in lab.text(1) and '"city": "Oslo <img' in lab.text(1) and not raw.called.exists()
    lab.screenshot(pictures / "approval-mcp.png", 1)
    button(lab, "Run all of this reply").click()
    lab.wait_done(1)
    lab.wait_text(1, "It will be fine.")
    results = server.requests[-1]["messages"][-1]["content"]
    assert [json.loads(each["content"][0]["text"])["arguments"] for each in results] == [
        {"city": HOSTILE},
        {"city": "Rome", "days": 7},
    ]
    assert lab.canary() == ["undefined"] and not lab.errors
    lab.screenshot(pictures / "mcp-at-rest.png", 1)


def test_an_interrupt_while_the_reader_is_asked_runs_nothing(lab: Page, server: SteeredServer) -> None:
    server.script = script
    begin(lab, ["%%claude --tools weather\nWhat will the weather be?", DEFINED, MODELS_LEFT])
    lab.finish(2)
    lab.run(1)
    lab.wait_text(1, "May weather run?")
    lab.interrupt()
    lab.wait_done(1)
    lab.wait_text(1, "interrupted")
    lab.finish(3)
    assert lab.text(3).split() == ["0", "[]"]


# Notes each button of a question in the moment in which it comes, and clicks on it, and on what is seen in its place.
CLICK_AT_ONCE = """(bed.early = [], new MutationObserver(() => {
  for (const each of document.querySelectorAll('.jp-OutputArea button.claude-magic-held:not(.seen)')) {
    const {left, top, width, height} = each.getBoundingClientRect()
    each.classList.add('seen')
    bed.early.push(getComputedStyle(each).pointerEvents)
    document.elementFromPoint(left + width / 2, top + height / 2)?.click()
  }
}).observe(document.body, {attributeFilter: ['class'], childList: true, subtree: true}))"""
BUSY = "(() => { const until = performance.now() + 1500; while (performance.now() < until); })()"


def test_a_click_meant_for_one_question_does_not_answer_the_next(lab: Page, server: SteeredServer) -> None:
    """Not on a page either that is busy for longer than the kernel holds the buttons back."""
    server.script = script
    begin(lab, ["%%claude --tools weather\nWhat will the weather be?", DEFINED, MODELS_LEFT])
    lab.finish(2)
    lab.value(f"({CLICK_AT_ONCE}, null)")
    lab.run(1)
    button(lab, "Run").click()
    lab.value(BUSY)
    lab.wait_text(1, '"days": 7')
    button(lab, "Refuse").click()
    lab.wait_done(1)
    lab.finish(3)
    assert lab.text(3).split() == ["0", "[3]"]
    assert lab.value("bed.early") == ["none"] * 6


def test_run_all_asks_no_more_in_this_cell_and_again_in_the_next(lab: Page, server: SteeredServer) -> None:
    def calls(body: Mapping[str, Any]) -> list[dict[str, Any]]:
        rounds = len(body["messages"]) // 2
        asked = [call(2 * rounds, city="Rome", days=rounds), call(2 * rounds + 1, city="Oslo", days=10 + rounds)]
        return asked if rounds < 2 else [{"type": "text", "text": "It will be fine."}]

    server.script = calls
    begin(lab, ["%%claude --once --tools weather\nWhat will the weather be?", DEFINED, MODELS_LEFT])
    lab.finish(2)
    lab.run(1)
    button(lab, "Run all of this reply").click()
    lab.wait_done(1)
    lab.wait_text(1, "It will be fine.")
    lab.finish(3)
    assert lab.text(3).split() == ["0", "[0,", "10,", "1,", "11]"]
    lab.run(1)
    button(lab, "Run all of this reply").wait_for()
    lab.interrupt()
    lab.wait_done(1)


def test_a_reader_sees_all_that_runs(lab: Page, server: SteeredServer) -> None:
    code = "total = 1 + 1\n# add the numbers, nothing else\rran.append('HIDDEN')\n" + "\n" * 500 + "total  # \u202e"
    tool = {"type": "tool_use", "id": "toolu_1", "name": "python", "input": {"code": code}}
    server.script = lambda body: [tool if len(body["messages"]) == 1 else {"type": "text", "text": "It is 2."}]
    begin(lab, ["%%claude --tools python\nAdd.", DEFINED])
    lab.run(1)
    box = lab.panel(1).locator("pre", has_text="code:")
    box.wait_for()
    assert box.inner_text() == "code:\n" + code.replace("\r", "⟨U+000D⟩").replace("\u202e", "⟨U+202E⟩")
    assert box.evaluate("box => box.scrollHeight > box.clientHeight && box.scrollWidth <= box.clientWidth")
    assert "504 lines" in lab.text(1) and "2 characters without a glyph" in lab.text(1)
    button(lab, "Refuse").click()
    lab.wait_done(1)


def test_however_quick_the_reply_the_reader_is_asked_by_buttons(either: Page, server: SteeredServer) -> None:
    server.script = lambda body: script(body)[:2] if len(body["messages"]) == 1 else script(body)
    asking = "%%claude --once --tools weather\nWhat will the weather be?"
    begin(either, [asking, DEFINED, MODELS_LEFT])
    either.finish(2)
    for _ in range(QUICK_REPLIES):
        either.run(1)
        button(either, "Run").click()
        either.wait_done(1)
        assert "[y/N" not in either.text(1)
    either.finish(3)
    assert either.text(3).split() == ["0", *str([3] * QUICK_REPLIES).split()]
