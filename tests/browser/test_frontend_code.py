"""The buttons on the code of an answer, in a real JupyterLab and Notebook: what they copy, insert, replace and draw."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Locator

from support.jupyterlab import Page, begin, clean
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

CODE = "for n in range(3):\n    print('<b>', n)  # it's \"so\" & so\n\n\tx = `1`"
BROKEN = "total = 6 * 7\nprint(totl)"
MENDED = "total = 6 * 7\nprint(total)"
DIAGRAM = "graph TD\n  A[Start] --> B{Is it?}\n  B -->|yes| C[Done]"


def fenced(code: str, language: str = "python") -> str:
    return f"````{language}\n{code}\n````"


def bars(page: Page, cell: int) -> Locator:
    return page.cell(cell).locator(".claude-code-bar")


def press(page: Page, cell: int, name: str, block: int = 0, by: str = "mouse") -> None:
    bar = bars(page, cell).nth(block)
    found = bar.get_by_role("button", name=name, exact=True)
    if by == "mouse":
        page.cell(cell).locator(".claude-magic pre").nth(block).hover()
        found.click()
    else:
        found.focus()
        assert bar.evaluate("bar => getComputedStyle(bar).opacity") == "1", "seen with the keyboard on it"
        found.press("Enter")


def said(page: Page, cell: int, block: int = 0) -> str:
    status = bars(page, cell).nth(block).get_by_role("status")
    page.wait_until("[...document.querySelectorAll('.claude-said')].some(each => each.textContent)")
    return status.inner_text()


def ask(page: Page, server: SteeredServer, reply: str) -> None:
    server.script = lambda body: [{"type": "text", "text": reply}]
    begin(page, ["%%claude\nCode?", "# the last cell"])
    page.finish(1)


def clipboard(page: Page) -> str:
    page.lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return str(page.tab.evaluate("navigator.clipboard.readText()"))


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_code_is_copied_and_inserted_exactly(either: Page, server: SteeredServer, pictures: Path, by: str) -> None:
    page = either
    ask(page, server, f"First:\n\n{fenced(CODE)}\n\nthen\n\n{fenced('ls -l', 'bash')}\n\n- a list\n\n  ```\n  y\n  ```")
    text = page.text(1)
    assert bars(page, 1).count() == 3 and "Copy" not in text
    before = page.value("JSON.stringify(bed.panel.context.model.toJSON())")
    page.lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(page, 1, "Copy", by=by)
    assert said(page, 1) == "Copied."
    assert clipboard(page) == CODE
    for theme in ("Dark", "Light"):
        page.theme(theme)  # type: ignore[arg-type]
        page.cell(1).locator(".claude-magic pre").first.hover()
        page.screenshot(pictures / f"frontend-code-{page.lab.application}-{theme.lower()}.png")
    assert page.value("JSON.stringify(bed.panel.context.model.toJSON())") == before, "the record is as it was"

    press(page, 1, "Insert below", by=by)
    page.wait_until("bed.cells.length === 4")
    assert page.source(2) == CODE and page.value("bed.cells[2].model.type") == "code"
    assert page.value("bed.notebook.activeCellIndex") == 2 and page.outputs(2) == []
    press(page, 1, "Insert below", block=1, by=by)
    page.wait_until("bed.cells.length === 5")
    assert page.source(2) == "%%bash\nls -l" and page.source(4) == "# the last cell"
    press(page, 1, "Insert below", block=2, by=by)
    page.wait_until("bed.cells.length === 6")
    assert page.source(2) == "y" and page.value("bed.cells[2].model.type") == "code"
    page.value("bed.command('notebook:undo-cell-action').then(() => null)")
    page.wait_until("bed.cells.length === 5")
    assert clean(page)


@pytest.mark.parametrize(
    ("language", "kind", "source"),
    [
        ("Python", "code", "x"),
        ("html", "code", "%%html\nx"),
        ("sql", "raw", "x"),
        ("brainf", "raw", "x"),
        ("markdown", "raw", "x"),
        ("mermaid", "raw", "x"),
    ],
)
def test_code_of_each_language_goes_where_nothing_runs_or_loads(
    lab: Page, server: SteeredServer, language: str, kind: str, source: str
) -> None:
    ask(lab, server, fenced("x", language))
    press(lab, 1, "Insert below")
    lab.wait_until("bed.cells.length === 4")
    assert (lab.source(2), lab.value("bed.cells[2].model.type")) == (source, kind) and clean(lab)


@pytest.mark.parametrize("allowed", [True, False])
def test_where_there_is_no_clipboard_it_is_copied_the_older_way_or_said(
    either: Page, server: SteeredServer, allowed: bool
) -> None:
    page = either
    ask(page, server, fenced(CODE))
    page.lab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.tab.evaluate("navigator.clipboard.writeText('before')")
    page.value("(Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true}), null)")
    if not allowed:
        page.value("(document.execCommand = () => false, null)")
    press(page, 1, "Copy", by="keyboard")
    told = said(page, 1)
    page.value("(delete navigator.clipboard, delete document.execCommand, null)")
    assert clipboard(page) == (CODE if allowed else "before")
    assert told == ("Copied." if allowed else "This page may not use the clipboard: select the code, and press Ctrl+C.")
    assert clean(page)


def test_an_answer_that_grows_has_them_and_the_keyboard_stays(either: Page, server: SteeredServer) -> None:
    page = either
    server.script = lambda body: [{"type": "text", "text": f"{fenced('first')}\n\n" + "More of it. " * 400}]
    begin(page, ["%%claude\nCode?"])
    server.hold(60)
    page.run(1)
    page.wait_text(1, "More of it.")
    page.settle()
    assert page.value("bed.cells[1].model.executionState") == "running"
    page.value("bed.area(1).querySelector('.claude-code-bar > button').focus()")
    page.value("(window.first = document.activeElement, window.code = bed.area(1).querySelector('pre'), null)")
    server.release()
    page.wait_done(1)
    assert not page.value("window.code.isConnected"), "drawn again"
    assert page.value("document.activeElement === window.first && document.activeElement.ariaLabel === 'Copy'")
    press(page, 1, "Insert below", by="keyboard")
    page.wait_until("bed.cells.length === 3")
    assert page.source(2) == "first" and bars(page, 1).count() == 1 and clean(page)


def test_code_is_inserted_while_the_answer_grows(either: Page, server: SteeredServer) -> None:
    page = either
    server.script = lambda body: [{"type": "text", "text": f"{fenced('first')}\n\n" + "More of it. " * 400}]
    begin(page, ["%%claude\nCode?"])
    server.hold(60)
    page.run(1)
    page.wait_text(1, "More of it.")
    page.settle()
    press(page, 1, "Insert below")
    page.wait_until("bed.cells.length === 3")
    assert page.source(2) == "first"
    server.release()
    page.wait_done(1)
    assert bars(page, 1).count() == 1 and clean(page)


def test_a_record_from_a_file_has_them_with_no_kernel(either: Page, server: SteeredServer) -> None:
    page = either
    ask(page, server, f"{fenced(CODE)}\n\n{fenced('ls', 'sh')}")
    page.save()
    saved = page.lab.read(page.name)
    assert "claude-code" not in str(saved)
    page.lab.copy_untrusted(page.name, "copy.ipynb")
    other = page.lab.open("copy.ipynb")
    try:
        other.shut_down()
        other.settle()
        other.forget()  # what JupyterLab had still asked the kernel
        other.cell(1).locator(".claude-code-bar").first.wait_for(state="attached")
        press(other, 1, "Insert below", block=1)
        other.wait_until("bed.cells.length === 4")
        assert other.source(2) == "%%bash\nls"
        press(other, 1, "Insert below")
        other.wait_until("bed.cells.length === 5")
        assert other.source(2) == CODE and clean(other)
    finally:
        other.leave()


def test_the_columns_of_a_comparison_have_them(lab: Page, server: SteeredServer) -> None:
    server.script = lambda body: [{"type": "text", "text": fenced(str(body["model"]))}]
    begin(lab, ["%%claude --model haiku,opus\nCode?"])
    lab.finish(1)
    assert bars(lab, 1).count() == 2
    press(lab, 1, "Insert below", block=1)
    lab.wait_until("bed.cells.length === 3")
    assert "opus" in lab.source(2) and clean(lab)


def test_code_from_a_fix_replaces_the_cell_that_failed(either: Page, server: SteeredServer) -> None:
    page = either
    server.script = lambda body: [
        {"type": "text", "text": f"{fenced(MENDED)}\n\nor\n\n{fenced('pip install x', 'bash')}"}
    ]
    begin(page, [BROKEN, "%claude_fix --diff", "%%claude\nNo fix"])
    for cell in (1, 2, 3):
        page.finish(cell)
    offered = [bars(page, cell).nth(n).get_by_role("button", name="Replace") for cell in (2, 3) for n in (0, 1)]
    assert [each.count() for each in offered] == [1, 0, 0, 0], "Python of a fix"
    press(page, 2, "Replace", by="keyboard")
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", MENDED)
    page.tab.keyboard.press("Control+z")
    page.wait_until("bed.cells[1].model.sharedModel.getSource() === given", BROKEN)
    page.value("bed.cells[1].model.sharedModel.setSource('changed')")
    press(page, 2, "Replace")
    assert said(page, 2) == "The cell has changed since it failed: nothing is put in its place."
    assert page.source(1) == "changed" and clean(page)


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_diagram_is_drawn_on_a_click_as_an_image(
    either: Page, server: SteeredServer, pictures: Path, by: str
) -> None:
    page = either
    ask(page, server, f"{fenced(DIAGRAM, 'mermaid')}\n\n{fenced('x')}")
    page.settle()
    assert page.cell(1).locator("img, svg[id]").count() == 0, "not by itself"
    assert bars(page, 1).nth(1).get_by_role("button", name="Draw").count() == 0
    drawn = page.cell(1).get_by_role("img", name="Diagram of the code above")
    for theme in ("Dark", "Light"):
        page.theme(theme)  # type: ignore[arg-type]
        press(page, 1, "Draw", by=by)
        drawn.wait_for()
        assert drawn.evaluate("image => image.naturalWidth") > 50 and DIAGRAM.split("\n")[0] in page.text(1)
        page.screenshot(pictures / f"frontend-draw-{page.lab.application}-{theme.lower()}.png")
        press(page, 1, "Draw", by=by)
        drawn.wait_for(state="detached")
    assert clean(page)


NOT_DRAWN = {
    "no diagram": ("nonsense", "Not drawn: No diagram type detected"),
    "an error": ("graph TD\n  A[", "Not drawn: Parse error on line 3."),
    "settings": (
        '%%{init: {"themeCSS": "*{background:url(\'/files/x\')}"}}%%\ngraph TD\n A-->B',
        "Not drawn: the diagram has",
    ),
    "front matter": ("---\nconfig:\n  securityLevel: loose\n---\ngraph TD\n A-->B", "Not drawn: the diagram has"),
    "an image": ('graph TD\n A@{ img: "http://127.0.0.1:9/x.png" }', "Not drawn: the diagram has"),
    "markup": ('graph TD\n A["<img src=/files/x onerror=window.PWN=1>"]', "Not drawn: the diagram has"),
    "a style": ("graph TD\n A-->B\n style A fill:u\\72l(/files/x)", "Not drawn: the diagram has"),
    "too long": ("graph TD\n" + "  A --> B\n" * 3000, "Not drawn: the diagram is too long."),
}


@pytest.mark.parametrize("name", NOT_DRAWN)
def test_what_is_not_drawn_says_so_in_a_line(lab: Page, server: SteeredServer, name: str) -> None:
    text, told = NOT_DRAWN[name]
    ask(lab, server, fenced(text, "mermaid"))
    press(lab, 1, "Draw")
    assert said(lab, 1).startswith(told) and "\n" not in said(lab, 1)
    lab.settle()
    assert lab.cell(1).locator("img").count() == 0
    assert lab.value("document.querySelectorAll('body > div[id^=d], body > svg').length") == 0
    assert clean(lab)


def test_a_diagram_with_script_in_it_draws_and_runs_nothing(lab: Page, server: SteeredServer) -> None:
    hostile = (
        'graph TD\n A["#lt;b onclick=PWN=1#gt;"] --> B["`x`"]\n click A call open()\n click B href "javascript:PWN=1"'
    )
    ask(lab, server, fenced(hostile, "mermaid"))
    press(lab, 1, "Draw")
    lab.cell(1).locator(".claude-diagram > img").wait_for()
    lab.cell(1).locator(".claude-diagram > img").click()
    lab.settle()
    assert clean(lab)


def test_hostile_code_is_text(lab: Page, server: SteeredServer) -> None:
    hostile = "</code></pre><script>window.PWN=1</script><img src=x onerror=window.PWN=1>{{7*7}}"
    ask(lab, server, f"{fenced(hostile)}\n\n{fenced('x' * 90_000)}")
    press(lab, 1, "Insert below")
    lab.wait_until("bed.cells.length === 4")
    assert lab.source(2) == hostile
    press(lab, 1, "Insert below", block=1, by="keyboard")
    lab.wait_until("bed.cells.length === 5")
    assert lab.source(2) == "x" * 90_000 and clean(lab)


def test_a_strangers_page_of_code_gets_no_more_than_it_can_bear(lab: Page) -> None:
    lab.start_over(["1", "2"])
    box = '<div class="claude-magic tex2jax_ignore mathjax_ignore">'
    block = '<pre><code class="language-mermaid" onclick="window.PWN=1">graph TD</code></pre>'
    odd = "<pre></pre><pre>x</pre><pre><b>x</b></pre><pre><code>x</code><code>y</code></pre>"
    output = {
        "output_type": "display_data",
        "metadata": {"claude_magic": "x"},
        "data": {"text/html": f"{box}{odd}</div>"},
    }
    many = {**output, "data": {"text/html": f"{box}{block * 3000}</div>"}}
    lab.value(
        "(bed.cells[0].model.outputs.add(given[0]), bed.cells[1].model.outputs.add(given[1]), null)", [output, many]
    )
    lab.settle()
    assert bars(lab, 0).count() == 0 and 0 < bars(lab, 1).count() <= 500 and clean(lab)
