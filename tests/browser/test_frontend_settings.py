"""The settings in a real JupyterLab and Notebook: each takes its part of the page's side away, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from support.jupyterlab import ROOT, Page, clean
from support.steered_server import SteeredServer

from .test_frontend import marked
from .test_frontend_code import bars
from .test_frontend_commands import CELL, SELECTION, TURN, choose, is_enabled
from .test_frontend_fix import BROKEN, button, mended, offer, shown
from .test_frontend_money import money
from .test_frontend_stop import stop

pytestmark = pytest.mark.browser

SCHEMA = ROOT / "claude_magic" / "frontend" / "schemas" / "claude-magic" / "plugin.json"
SAVE = "jupyterapp.serviceManager.settings.save('claude-magic:plugin', given).then(() => null)"
CODE = "bed.area(3).querySelector('.claude-magic pre').outerHTML"
# The cells: one that failed, its correction, and a prompt.
FAILED, CORRECTION, PROMPT = 1, 2, 3


@pytest.fixture
def saved(either: Page, server: SteeredServer) -> Iterator[Page]:
    """A page of all kinds of cells, saved."""
    page = either
    mended(page, server, BROKEN, "%%claude\nfor {{3}}")
    page.finish(PROMPT)
    page.save()
    yield page
    page.value(SAVE, "{}")
    page.reload()


def test_each_takes_its_part_away_and_brings_it_back_and_leaves_the_others(saved: Page, server: SteeredServer) -> None:
    page = saved
    assert PARTS.keys() | {"stop"} == json.loads(SCHEMA.read_text(encoding="utf-8"))["properties"].keys()
    code = page.value(CODE)
    for off in (("prompts", "stop", "fix", "code"), ("money", "commands", "outline")):
        page.value(SAVE, json.dumps(dict.fromkeys(off, False)))
        page.reload()
        assert page.value(CODE) == code, "the answer is as it was"
        page.settle()
        for name, look in PARTS.items():
            look(page, name not in off)
        assert stop(page, PROMPT).count() == 0, "nothing runs"
        server.hold(5)
        page.run(PROMPT)
        page.panel(PROMPT).first.wait_for()
        page.settle()
        expect(stop(page, PROMPT)).to_be_visible(visible="stop" not in off)
        server.release()
        page.wait_done(PROMPT)
        assert clean(page)


def see_prompts(page: Page, on: bool) -> None:
    assert bool(marked(page, PROMPT)) == on


def see_money(page: Page, on: bool) -> None:
    expect(money(page)).to_be_visible(visible=on)


def see_commands(page: Page, on: bool) -> None:
    choose(page, PROMPT)
    for command in (CELL, SELECTION, TURN):
        assert page.value("jupyterapp.commands.isVisible(given)", command) == on
    assert [is_enabled(page, command) for command in (CELL, TURN)] == [on, on]


def see_fix(page: Page, on: bool) -> None:
    page.cell(CORRECTION).locator(".claude-fix").wait_for()
    assert "+print(total)" in shown(page, CORRECTION) and offer(page, CORRECTION, "Accept").count() == on
    page.value("(bed.choose(given), null)", FAILED)
    page.cell(FAILED).locator(".jp-cell-toolbar").wait_for()
    page.settle()
    expect(button(page, FAILED, "Fix with Claude")).to_be_visible(visible=on)


def see_code(page: Page, on: bool) -> None:
    expect(bars(page, PROMPT)).to_have_count(int(on))


def see_outline(page: Page, on: bool) -> None:
    page.wait_until("jupyterapp.commands.isVisible('claude-magic:outline') === given", on)
    assert page.value("[...jupyterapp.shell.widgets('right')].some(each => each.id.includes('claude'))") == on


# What is there at once; Stop comes with a cell that runs.
PARTS: dict[str, Callable[[Page, bool], None]] = {
    "prompts": see_prompts,
    "money": see_money,
    "commands": see_commands,
    "fix": see_fix,
    "code": see_code,
    "outline": see_outline,
}
