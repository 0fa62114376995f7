"""The outline in a real JupyterLab and Notebook: the turns of the notebook in a side panel, by mouse and keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Locator

from support.jupyterlab import LOAD, Page, begin, clean
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

STALE = "asked before the change above"
SHOW = "bed.command('claude-magic:outline').then(() => null)"
# The rows by heading, as a reader sees them: prompt, cost, marks.
ROWS = """Object.fromEntries([...document.querySelectorAll('.claude-outline section')].map(chat => [
  chat.querySelector('h3').innerText.replace(/\\s+/g, ' '),
  [...chat.querySelectorAll('li')].map(row => row.innerText.split('\\n').filter(Boolean))]))"""
CURRENT = "[...document.querySelectorAll('.claude-outline [aria-current]')].map(row => row.innerText.split('\\n')[0])"
DRAWN = "new Promise(over => requestAnimationFrame(() => requestAnimationFrame(over)))"


@pytest.fixture
def outline(lab: Page) -> Iterator[Page]:
    """JupyterLab's page with the outline open; it is closed at the end."""
    yield from _opened(lab)


@pytest.fixture
def either_outline(either: Page) -> Iterator[Page]:
    """JupyterLab's page, then Notebook's, with the outline open; it is closed at the end."""
    yield from _opened(either)


def _opened(page: Page) -> Iterator[Page]:
    page.start_over(["1"])
    page.value(SHOW)
    region(page).wait_for()
    yield page
    page.value("(jupyterapp.shell.collapseRight(), null)")


def region(page: Page) -> Locator:
    return page.tab.get_by_role("region", name="Claude’s turns")


def rows(page: Page) -> dict[str, list[list[str]]]:
    """The rows of each chat as they stand once the page has drawn them."""
    page.settle()
    return dict(page.value(ROWS))


def prompts(page: Page) -> list[str]:
    return [row[0] for chat in rows(page).values() for row in chat]


def marks(page: Page, prompt: str) -> str:
    (row,) = [row for chat in rows(page).values() for row in chat if row[0] == prompt]
    return " ".join(row[2:])


def header_cost(page: Page, cell: int) -> str:
    """The cost in a cell's header."""
    found = re.search(r"\$[\d.,]+", page.text(cell))
    assert found
    return found[0]


def row(page: Page, prompt: str) -> Locator:
    return region(page).locator("li").get_by_role("button").filter(has=page.tab.get_by_text(prompt, exact=True))


def stale_button(page: Page) -> Locator:
    return region(page).get_by_role("button", name=re.compile("^Run the"))


def wait_stale(page: Page, prompt: str) -> None:
    row(page, prompt).filter(has_text=STALE).wait_for()


def ask_all(page: Page, cells: list[str]) -> None:
    """Fill the page with questions, and ask them."""
    begin(page, cells)
    for cell in range(1, len(cells) + 1):
        page.finish(cell)


def test_the_turns_of_each_chat_stand_with_cost_and_marks(
    either_outline: Page, server: SteeredServer, pictures: Path
) -> None:
    page = either_outline
    ask_all(page, ["%%claude\nWhat is a mean?", "%%claude --chat other --model haiku\nAnd a <b>median</b>?"])
    page.add_cell("%%claude\n\nA long\nstory", below=2)
    server.hold(20)
    page.run(3)
    page.wait_until("bed.text(3).includes('out · ≈$')")  # some of it has come
    page.interrupt()
    page.wait_done(3)
    server.release()
    row(page, "A long story").wait_for()
    found = rows(page)
    first, second, third = (header_cost(page, cell) for cell in (1, 2, 3))
    (main, main_rows), (other, other_rows) = found.items()
    assert main.startswith("main ") and other == f"other {second}"
    assert main_rows[0] == ["What is a mean?", first]
    assert main_rows[1][0] == "A long story" and main_rows[1][1].endswith(third)
    assert "interrupted" in main_rows[1][2]
    assert other_rows == [["And a <b>median</b>?", second]]

    page.add_cell("%claude_cost", below=3)
    page.finish(4)
    total = region(page).locator(".claude-outline-total strong").inner_text()
    assert total in page.text(4)
    for theme in ("Dark", "Light"):
        page.theme(theme)  # type: ignore[arg-type]
        page.screenshot(pictures / f"frontend-outline-{page.lab.application}-{theme.lower()}.png")
    assert clean(page)


def test_a_click_goes_to_the_cell(either_outline: Page, server: SteeredServer) -> None:
    page = either_outline
    ask_all(page, [*["%%claude\nOne?", "%%claude\nTwo?", "%%claude\nThree?"], *["print('x\\n' * 30)"] * 3])
    for wanted, cell in (("Two?", 2), ("One?", 1), ("Three?", 3)):
        row(page, wanted).click()
        page.wait_until("bed.notebook.activeCellIndex === given", cell)
        page.wait_until(f"({CURRENT})[0] === given", wanted)
        page.wait_until(
            """(() => {
              const [cell, page] = [bed.cells[given], bed.notebook].map(each => each.node.getBoundingClientRect())
              return cell.top >= page.top - 1 && cell.top < page.bottom
            })()""",
            cell,
        )
        assert page.value("bed.notebook.node.contains(document.activeElement)")
    assert clean(page)


def test_by_keyboard_the_arrows_go_through_the_rows_and_enter_goes_to_the_cell(
    either_outline: Page, server: SteeredServer
) -> None:
    page = either_outline
    ask_all(page, ["%%claude\nOne?", "%%claude --chat other\nTwo?", "%%claude\nThree?"])
    page.value("(bed.choose(0), null)")
    assert prompts(page) == ["One?", "Three?", "Two?"]
    focused = "document.activeElement.querySelector('.claude-outline-prompt')?.innerText"
    page.value("(jupyterapp.shell.collapseRight(), null)")
    page.value(SHOW)
    page.wait_until(f"{focused} === 'One?'")
    for key, wanted in (
        *(("ArrowDown", "Three?"), ("ArrowDown", "Two?"), ("ArrowDown", "Two?"), ("ArrowUp", "Three?")),
        *(("Home", "One?"), ("ArrowUp", "One?"), ("End", "Two?")),
    ):
        page.tab.keyboard.press(key)
        assert page.value(focused) == wanted, key
    assert page.value("document.querySelectorAll('.claude-outline li [tabindex=\"0\"]').length") == 1, (
        "one stop for Tab"
    )
    page.tab.keyboard.press("Enter")
    page.wait_until("bed.notebook.activeCellIndex === 2 && bed.notebook.node.contains(document.activeElement)")
    assert page.value(CURRENT) == ["Two?"]
    page.value("(bed.choose(3), null)")
    assert page.value(CURRENT) == ["Three?"], "it follows the active cell"
    assert clean(page)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_what_is_stale_runs_in_order_once_its_cost_was_agreed_to(
    either_outline: Page, server: SteeredServer, pictures: Path, by: str
) -> None:
    page = either_outline
    cells = ["%%claude\nOne?", "%%claude --chat other\nApart?", "%%claude\nTwo?", "%%claude\nThree <i>?</i>"]
    ask_all(page, cells)
    rows(page)
    assert not stale_button(page).is_visible()
    page.finish(1)
    for prompt in ("Two?", "Three <i>?</i>"):
        wait_stale(page, prompt)
    assert STALE not in marks(page, "One?") + marks(page, "Apart?")
    before, asked = [page.outputs(cell) for cell in range(5)], len(server.requests)
    numbers = page.value("bed.cells.map((_, cell) => bed.prompt(cell))")

    press(page, stale_button(page), by)
    dialog = page.tab.get_by_role("dialog")
    dialog.wait_for()
    page.screenshot(pictures / f"frontend-outline-stale-{page.lab.application}.png")
    said = dialog.inner_text()
    assert "2 cells" in said and "Two?" in said and "Three <i>?</i>" in said and "Apart?" not in said
    assert re.search(r"about \$0\.00\d+, by what they cost the last time", said), said
    press(page, dialog.get_by_role("button", name="Cancel"), by)
    dialog.wait_for(state="detached")
    page.settle()
    assert len(server.requests) == asked and [page.outputs(cell) for cell in range(5)] == before

    press(page, stale_button(page), by)
    dialog.wait_for()
    press(page, dialog.get_by_role("button", name="Run"), by)
    stale_button(page).wait_for(state="hidden")
    for cell in (3, 4):
        page.wait_until("/\\d/.test(bed.prompt(given[0])) && bed.prompt(given[0]) !== given[1]", [cell, numbers[cell]])
    texts = [json.dumps(request["messages"][-1]) for request in server.requests[asked:]]
    assert len(texts) == 2 and "Two?" in texts[0] and "Three" in texts[1]
    assert all(STALE not in marks(page, prompt) for prompt in ("One?", "Two?", "Three <i>?</i>"))
    assert clean(page)


def press(page: Page, button: Locator, by: str) -> None:
    if by == "mouse":
        button.click()
    else:
        button.focus()
        button.press("Enter")


def test_the_estimate_of_a_busy_kernel_comes_when_it_is_idle(outline: Page, server: SteeredServer) -> None:
    page = outline
    ask_all(page, ["%%claude\nOne?", "%%claude\nTwo?", "pass"])
    page.finish(1)
    wait_stale(page, "Two?")
    page.value("(bed.cells[3].model.sharedModel.setSource('import time\\ntime.sleep(60)'), null)")
    page.run(3)
    page.wait_until("bed.panel.sessionContext.session.kernel.status === 'busy'")
    stale_button(page).click()
    region(page).get_by_role("status").filter(has_text="idle").wait_for()
    stale_button(page).click()
    page.interrupt()
    page.tab.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.tab.get_by_role("dialog").wait_for(state="detached")
    page.settle()
    assert region(page).get_by_role("status").inner_text() == "" and not page.tab.get_by_role("dialog").count()
    assert clean(page)


def test_a_restart_a_reload_and_another_name_leave_what_the_notebook_holds(lab: Page, server: SteeredServer) -> None:
    with closing(lab.lab.open("outlined.ipynb", [LOAD, "%%claude\nOne?", "%%claude --chat b\nTwo?"])) as page:
        for cell in range(3):
            page.finish(cell)
        page.finish(1)
        page.value(SHOW)
        costs = [header_cost(page, cell) for cell in (1, 2)]
        wanted = {f"main {costs[0]}": [["One?", costs[0]]], f"b {costs[1]}": [["Two?", costs[1]]]}
        assert rows(page) == wanted
        page.save()
        page.restart()
        assert rows(page) == wanted
        page.reload()
        page.value(SHOW)
        region(page).wait_for()
        assert rows(page) == wanted
        page.rename("renamed.ipynb")
        assert rows(page) == wanted
        page.finish(0)
        page.finish(2)
        assert rows(page)[f"b {header_cost(page, 2)}"]
        assert clean(page)


def test_it_is_open_after_a_reload_where_it_was_open(lab: Page, server: SteeredServer) -> None:
    with closing(lab.lab.open("kept.ipynb", ["%%claude\nOne?"])) as page:
        page.value(SHOW)
        region(page).wait_for()
        page.value("jupyterapp.serviceManager.workspaces && new Promise(over => setTimeout(() => over(null), 1500))")
        page.reload()
        region(page).wait_for()
        assert clean(page)


def test_of_two_notebooks_side_by_side_it_shows_the_one_in_use(outline: Page, server: SteeredServer) -> None:
    page = outline
    ask_all(page, ["%%claude\nOne?", "%%claude\nTwo?"])
    page.finish(1)
    wait_stale(page, "Two?")
    here = rows(page)
    page.lab.write("beside.ipynb", [LOAD, "%%claude\nElsewhere?"])
    opening = "bed.command('docmanager:open', {path: 'beside.ipynb', options: {mode: 'split-right'}}).then(() => null)"
    page.value(f"(window.first = bed.panel, {opening})")
    try:
        page.wait_until("bed.panel !== first && bed.ready && bed.panel.sessionContext.session?.kernel")
        assert rows(page) == {}
        page.finish(0)
        page.finish(1)
        row(page, "Elsewhere?").wait_for()
        assert prompts(page) == ["Elsewhere?"] and not stale_button(page).is_visible()
        page.value("(jupyterapp.shell.activateById(first.id), null)")
        page.wait_until("bed.panel === first")
        assert rows(page) == here and stale_button(page).is_visible()
    finally:
        page.value(
            "Promise.all([...jupyterapp.shell.widgets('main')].filter(each => each !== first).map(async each => {"
            " await each.sessionContext?.shutdown(); each.context?.dispose(); each.dispose() })).then(() => null)"
        )
        page.value("(jupyterapp.shell.activateById(first.id), null)")
    page.wait_until("bed.panel === first")
    assert clean(page)


def test_without_a_turn_and_without_a_notebook_it_says_so_in_a_line(lab: Page) -> None:
    page = lab.lab.open("bare.ipynb", ["%%claude\nNot asked", "print(3)"])
    try:
        page.value(SHOW)
        region(page).filter(has_text="No turns").wait_for()
        assert len(region(page).inner_text().splitlines()) == 1
        assert clean(page)
        page.save()
        page.value("(jupyterapp.shell.currentWidget.close(), null)")
        region(page).filter(has_text="no notebook").wait_for()
        assert len(region(page).inner_text().splitlines()) == 1
        # JupyterLab 4.4 says of itself that its debugger was closed in the middle of a question.
        assert not [each for each in page.errors if "claude-magic" in each]
    finally:
        page.leave()


def hostile(record: Any) -> nbformat.NotebookNode:
    """A notebook in which an output has this as its record."""
    output = nbformat.v4.new_output("display_data", data={"text/plain": "x"}, metadata={"claude_magic": record})
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%claude\nx", outputs=[output])])


EVIL = "<img src=x onerror='window.PWN=1'><script>window.PWN=1</script>{{7*7}}"


def turn(**given: Any) -> dict[str, Any]:
    """A record's turn as it should be, but for what is given."""
    messages = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": EVIL}]
    call = {"model": EVIL, "usage": {}, "stop_reason": EVIL, "request_id": EVIL, "provider": EVIL}
    whole = {"id": EVIL, "messages": messages, "calls": [call], "chat": EVIL, "status": EVIL, "created": 1.0}
    return {"version": 1, "turn": {**whole, **given}, "cost": [EVIL]}


HOSTILE = {
    "script in every field": (turn(), 1),
    "a name of the language's own": (turn(id="__proto__", chat="__proto__"), 1),
    "a giant prompt": (turn(messages=[{"role": "user", "content": "A" * 3_000_000}]), 1),
    "two hundred thousand turns": ({"version": 1, "turns": [{}] * 200_000}, 0),
    "many turns": ({"version": 1, "turns": [turn()["turn"]] * 5_000, "instead_of": []}, 1_000),
    "other types": ({"version": 1, "turn": {"id": 3, "messages": "x", "calls": None, "chat": []}}, 0),
    "no record": ([1, {"turn": None}], 0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_record_shows_as_text_or_not_at_all(outline: Page, name: str) -> None:
    page = outline
    record, count = HOSTILE[name]
    page.value("(bed.panel.context.model.fromJSON(given), null)", hostile(record))
    page.settle()
    assert page.value("document.querySelectorAll('.claude-outline li').length") == count
    assert (
        page.value(
            "[...document.querySelectorAll('.claude-outline *')].filter(each => each.matches('img, script')).length"
        )
        == 0
    )
    assert all(len(each) <= 300 for each in prompts(page)), "cut"
    if count == 1_000:
        assert "and 4,000 more turns" in region(page).inner_text()
    assert page.canary() == ["undefined"] * len(page.tab.frames) and clean(page)
    page.start_over(["print(3)"])
    page.finish(0)
    assert page.text(0).strip() == "3" and clean(page)


# Counts what our scripts ask the page to call later, and what their observers see, from the first moment on.
COUNT = """(() => {
  window.ours = {lasting: [], frames: [], seen: []}
  const caller = () => /claude-magic\\/[^/]+\\/(\\w+\\.js)/.exec((new Error().stack ?? '').split('\\n')[3] ?? '')?.[1]
  for (const name of ['setTimeout', 'setInterval', 'requestIdleCallback', 'requestAnimationFrame']) {
    const theirs = window[name]
    window[name] = function (...given) {
      const script = caller()
      if (script) (name === 'requestAnimationFrame' ? ours.frames : ours.lasting).push(script)
      return theirs.apply(window, given)
    }
  }
  for (const name of ['MutationObserver', 'ResizeObserver', 'IntersectionObserver', 'PerformanceObserver']) {
    window[name] = class extends window[name] {
      constructor(callback, ...given) {
        const script = caller()
        super((...seen) => { if (script) ours.seen.push(script); return callback(...seen) }, ...given)
      }
    }
  }
})()"""


@contextmanager
def counted(lab: Page, cells: list[str]) -> Iterator[Page]:
    with closing(lab.lab.open("counted.ipynb", cells)) as page:
        page.tab.add_init_script(COUNT)
        page.reload()
        yield page


def test_nothing_of_ours_runs_where_nothing_changes(lab: Page, server: SteeredServer) -> None:
    with counted(lab, [LOAD, "%%claude\nOne?", "x = 1"]) as page:
        page.value(SHOW)
        for cell in (0, 1):
            page.finish(cell)
        row(page, "One?").wait_for()
        assert "notebook_watch.js" in page.value("ours.frames"), "the counting works"
        page.cell(2).locator(".cm-content").click()
        page.settle()
        drawn = page.value("ours.frames.length")
        page.tab.keyboard.type("for number in range(3): print(number)")
        for cell in (0, 2, 1):
            page.value("(bed.choose(given), null)", cell)
        page.settle()
        assert page.value("ours.frames.length") == drawn, "what is typed changes no turn"
        seen = page.value("ours.seen.length")
        for _ in range(3):
            page.settle()
        now = page.value("[ours.frames.length, ours.seen.length, ours.lasting]")
        assert now == [drawn, seen, []]

        page.value("(jupyterapp.shell.collapseRight(), null)")
        page.settle()
        page.value("(bed.cells[2].model.sharedModel.setSource('%%claude\\nTwo?'), null)")
        page.finish(2)
        page.settle()
        listed = "[...document.querySelectorAll('.claude-outline-prompt')].map(each => each.textContent)"
        assert page.value(listed) == ["One?"], "nobody sees it"
        page.value(SHOW)
        assert prompts(page) == ["One?", "Two?"]
        assert page.value("ours.lasting") == [] and clean(page)


def test_it_reads_at_two_hundred_pixels(outline: Page, server: SteeredServer, pictures: Path) -> None:
    page = outline
    ask_all(page, ["%%claude\nWhat is a Kalman filter, in a sentence or two?", f"%%claude --chat {'long' * 10}\nTwo?"])
    page.finish(1)
    page.value("(document.querySelector('.claude-outline').style.cssText += 'min-width: 0; width: 200px', null)")
    rows(page)
    assert page.value("document.querySelector('.claude-outline').scrollWidth") <= 200
    region(page).screenshot(path=pictures / "frontend-outline-narrow.png")
    assert clean(page)
