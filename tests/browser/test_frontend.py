"""The front end in a real JupyterLab and Notebook: what colours a prompt has, and what stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.jupyterlab import Page, begin, clean

pytestmark = pytest.mark.browser

PROMPT = """%%claude --model haiku --system "a * b"
Don't ask if 3 is more, **please**: what's in {{table.head(3)}}, {{ {'a': {'b': 4}} }} and {{x}}{{y}}?

```python
for number in range(5): print('{{name}}')
```
- it's a list, for all, \\{{literal}}
"""
CODE = "# it's a comment\nfor number in range(3):\n    print('text', number)"
# The colour in which a text of a cell is shown, where it stands for the first time after another.
_COLOUR = """(([cell, text, after]) => {
  const view = bed.cells[cell].editor.editor, all = view.state.doc.toString()
  const at = all.indexOf(text, all.indexOf(after)), line = view.state.doc.lineAt(at)
  const shown = view.contentDOM.querySelectorAll('.cm-line')[line.number - 1]
  const texts = document.createTreeWalker(shown, NodeFilter.SHOW_TEXT)
  let left = at - line.from
  while (texts.nextNode() && left >= texts.currentNode.length) left -= texts.currentNode.length
  return getComputedStyle(texts.currentNode.parentElement).color
})(given)"""
_MARKED = """[...bed.cells[given].node.querySelectorAll('.cm-line')].flatMap(line =>
  line.querySelector('.cm-claude-expression') ? [line.textContent] : [])"""


def colour(page: Page, cell: int, text: str, after: str = "") -> str:
    return str(page.value(_COLOUR, [cell, text, after]))


def marked(page: Page, cell: int) -> list[str]:
    """The lines of a cell with a `{{…}}` on a ground of its own."""
    return list(page.value(_MARKED, cell))


def edit(page: Page, cell: int) -> None:
    """Put the cursor at the start of a cell, as a click and Ctrl+Home do."""
    page.cell(cell).locator(".cm-content").click()
    page.tab.keyboard.press("Control+Home")


def test_the_prose_of_a_prompt_is_plain_and_its_code_is_coloured(either: Page, pictures: Path) -> None:
    page = either
    page.start_over([PROMPT, CODE])
    plain, keyword, number = (colour(page, 1, text) for text in ("number", "for", "3"))
    string = colour(page, 1, "'text'")
    assert plain not in {keyword, number, string}, "this cell is coloured as Python"

    assert {colour(page, 0, text) for text in ("Don't", "ask", "if", "3 is", "what's", "it's", "for all")} == {plain}
    assert colour(page, 0, "%%claude") != plain and colour(page, 0, "--model") != plain
    assert {colour(page, 0, text) for text in ("haiku", '"a * b"')} == {plain}, "the line is no Markdown, and no Python"
    assert colour(page, 0, "3)}}") == colour(page, 0, "4}}") == number
    assert colour(page, 0, "'a'") == string and colour(page, 0, "x}}") == plain
    assert colour(page, 0, "for", after="```python") == keyword and colour(page, 0, "5)") == number
    assert [line[:9] for line in marked(page, 0)] == ["Don't ask", "for numbe"] and marked(page, 1) == []
    for theme in ("Dark", "Light"):
        page.theme(theme)  # type: ignore[arg-type]
        page.screenshot(pictures / f"frontend-prompt-{page.lab.application}-{theme.lower()}.png")
    assert clean(page)


def test_a_map_is_a_prompt_and_so_is_none_of_its_neighbours(either: Page) -> None:
    page = either
    names = ["%%claude_map t", "%%claude", "\n \n%%claude", "%%claude_reset", "%%claudette", " %%claude", "x\n%%claude"]
    others = ["%%time", "%%claude\t--raw", "%%claude?", "%% claude"]
    page.start_over([f"{name}\n3" for name in [*names, *others]])
    plain = colour(page, 0, "3")
    assert [colour(page, cell, "3") == plain for cell in range(11)] == [True, True, True, *[False] * 8]
    assert colour(page, 2, "%%claude") == colour(page, 1, "%%claude") != plain
    assert clean(page)


def test_raw_has_no_values(either: Page) -> None:
    page = either
    page.start_over(["%%claude --raw\nDon't {{3}}"])
    assert marked(page, 0) == [] and colour(page, 0, "3") == colour(page, 0, "Don't")


def test_the_colours_follow_the_first_line_as_it_is_typed_and_undone(either: Page) -> None:
    page = either
    page.start_over(["for all, 3", CODE])
    python, mime = colour(page, 0, "3"), page.value("bed.cells[0].model.mimeType")
    edit(page, 0)
    page.tab.keyboard.type("%%claud")
    page.tab.keyboard.press("Enter")
    page.tab.keyboard.press("ArrowLeft")
    assert colour(page, 0, "3") == python
    page.tab.keyboard.type("e")
    assert page.source(0) == "%%claude\nfor all, 3"
    assert colour(page, 0, "3") != python, "with the very key"
    assert page.value("bed.cells[0].model.mimeType") == mime

    page.tab.keyboard.press("Backspace")
    assert colour(page, 0, "3") == python
    page.tab.keyboard.type("e")
    for _ in range(9):
        page.tab.keyboard.press("Control+z")
    assert page.source(0) == "for all, 3" and colour(page, 0, "3") == python
    for _ in range(9):
        page.tab.keyboard.press("Control+Shift+z")
    assert page.source(0) == "%%claude\nfor all, 3" and colour(page, 0, "3") != python
    assert colour(page, 1, "3") == python, "another cell is as it was"
    assert clean(page)


def test_values_are_coloured_as_they_are_typed(either: Page) -> None:
    page = either
    page.start_over(["%%claude\nIt's {{f(3)", "3"])
    number = colour(page, 1, "3")
    edit(page, 0)
    page.tab.keyboard.press("Control+End")
    page.tab.keyboard.type("}")
    assert colour(page, 0, "3") != number
    page.tab.keyboard.type("} 3")
    assert page.source(0) == "%%claude\nIt's {{f(3)}} 3"
    assert colour(page, 0, "3") == number and colour(page, 0, "3", after="}}") != number
    assert clean(page)


def test_options_and_names_are_completed_in_a_prompt(either: Page) -> None:
    page = either
    begin(page, ["%%claude --mod\nWhat is {{some_nam"])
    page.execute("some_name = 3")
    for key, begun in (("Control+End", "some_name"), ("End", "--model")):
        edit(page, 1)
        page.tab.keyboard.press(key)
        page.tab.keyboard.press("Tab")
        page.tab.locator(".jp-Completer-item", has_text=begun).first.click()
    assert page.source(1) == "%%claude --model\nWhat is {{some_name"
    assert clean(page)


def test_a_cell_of_another_kind_is_left_alone(either: Page) -> None:
    page = either
    page.start_over(["%%claude\nfor {{3}}"])
    assert marked(page, 0)
    for kind in ("markdown", "raw"):
        page.value("(bed.choose(0), bed.command('notebook:change-cell-to-' + given).then(() => null))", kind)
        assert marked(page, 0) == []
    assert clean(page)


def test_the_settings_editor_switches_it_in_an_open_notebook(lab: Page, pictures: Path) -> None:
    page = lab
    page.start_over(["%%claude\nfor {{3}}"])
    page.value("bed.command('settingeditor:open', {query: 'Claude Magic'}).then(() => null)")
    box = page.tab.get_by_label("Prompts in prose colours")
    found = page.tab.locator(".jp-Notebook .cm-claude-expression")
    try:
        box.wait_for()
        page.screenshot(pictures / "frontend-settings.png")
        assert found.count() and box.is_checked()
        box.uncheck()
        found.first.wait_for(state="detached")
        box.check()
        found.first.wait_for(state="attached")
    finally:
        page.value("(jupyterapp.shell.currentWidget.close(), null)")
    page.wait_until("bed.panel?.context && bed.ready")
    assert clean(page)


@pytest.mark.parametrize(
    "source", ["%%claude", "%%claude\n", "%%claude\n{{", "%%claude\n}}{{}}{{{{", "%%claude\n```\n{{x"]
)
def test_what_is_not_finished_shows_as_text(lab: Page, source: str) -> None:
    lab.start_over([source])
    assert lab.source(0) == source and marked(lab, 0) == [] and clean(lab)
