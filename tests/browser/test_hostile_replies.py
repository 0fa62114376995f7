"""Nothing of a hostile reply comes alive, wherever it stands, live, reopened and in a notebook that is not trusted."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from support.hostile_markdown import HOSTILE
from support.jupyterlab import LOAD, Page, begin
from support.offline_requests import prompt_of
from support.page_replies import NO_PANEL
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

PER_CELL = 20  # two outputs each: JupyterLab hides those past 50
# What may run, load, restyle or submit, in what the cells show: a formula's own styles aside.
ACTIVE = """
[...document.querySelectorAll('.jp-OutputArea-output *')]
  .filter(element => !element.closest('mjx-container'))
  .flatMap(element => {
    const forbidden = ('script iframe frame object embed form style link meta base input button textarea '
      + 'select video audio svg math').split(' ')
    const rules = [
      [/^on|^srcdoc$|^data-commandlinker/, /^/],
      [/^(src|srcset|poster|background)$/, /^(?!data:image[/])/],
      [/^(href|xlink:href|action|formaction)$/, /^(?!https?:|mailto:|#)/],
      [/^style$/, /url|position|fixed/i],
    ]
    const attributes = [...element.attributes]
      .filter(each => rules.some(([name, value]) => name.test(each.name) && value.test(each.value)))
      .map(each => each.name + '=' + each.value)
    return forbidden.includes(element.localName) ? [element.localName, ...attributes] : attributes
  })
"""


def test_the_canary_sings_where_markdown_is_shown_as_it_is(lab: Page) -> None:
    """The control of the hostile test: the same page, the same watch, and no `claude_magic` between."""
    source = (
        "from IPython.display import Markdown\n"
        "Markdown('<img src=x onerror=window.PWN++> <img src=http://evil.invalid/a.png> <script></script>')"
    )
    begin(lab, [source])
    lab.finish(1)
    lab.wait_until("bed.area(1).querySelector('img')")
    lab.settle()
    assert lab.canary() == ["number"]
    assert any("evil.invalid" in stray for stray in lab.strays)
    assert any("onerror" in found for found in lab.value(ACTIVE))


def test_nothing_hostile_comes_alive(lab: Page, server: SteeredServer) -> None:
    """Neither in the reply's text nor in its thinking, model name, stop sequence, tool calls and citations."""

    def script(body: dict[str, Any]) -> list[dict[str, Any]]:
        _, payload = HOSTILE[int(prompt_of(body).split()[-1])]
        server.lies = {"model": payload, "stop_reason": "stop_sequence", "stop_sequence": payload}
        return everywhere(payload)

    server.script = script
    ask = "for i in range({}, {}):\n    get_ipython().run_cell_magic('claude', '--once', f'payload {{i}}')"
    parts = [range(len(HOSTILE))[start : start + PER_CELL] for start in range(0, len(HOSTILE), PER_CELL)]
    with closing(lab.lab.open("hostile.ipynb", [LOAD, *[ask.format(part.start, part.stop) for part in parts]])) as page:
        page.execute(f"{LOAD}\n{NO_PANEL}")  # the panel's fold has its own test, and 141 of them take long
        page.run_all()
        page.wait_done(len(parts))
        inert(page, [len(part) for part in parts])
        page.save()
        page.reload()
        assert page.value("bed.cells.every(cell => cell.model.trusted)")
        inert(page, [len(part) for part in parts])
    lab.lab.copy_untrusted("hostile.ipynb", "copy of hostile.ipynb")
    with closing(lab.lab.open("copy of hostile.ipynb")) as page:
        assert not page.value("bed.cells.some(cell => cell.model.trusted)")
        inert(page, [len(part) for part in parts])


def everywhere(payload: str) -> list[dict[str, Any]]:
    """Content with the payload in all places; in the text, it begins a paragraph of its own."""
    citation = {
        "type": "web_search_result_location",
        "url": payload,
        "title": payload,
        "cited_text": payload,
        "encrypted_index": "x",
    }
    citations = [citation, {**citation, "url": f"https://a.invalid/{payload}"}]
    return [
        {"type": "thinking", "thinking": payload, "signature": "x"},
        {"type": "text", "text": "Cited.", "citations": citations},
        {"type": "tool_use", "id": "toolu_1", "name": payload, "input": {payload: payload}},
        {"type": payload, "data": payload},
        {"type": "text", "text": f"\n\n{payload}"},
    ]


def inert(page: Page, payloads: list[int]) -> None:
    """All is rendered, so many payloads in each cell after the first, and nothing of it lives."""
    for number, count in enumerate(payloads, 1):
        page.cell(number).scroll_into_view_if_needed()
        page.wait_until("bed.rendered(given) === bed.cells[given].model.outputs.length", number)
        assert page.value("bed.rendered(given)", number) >= count
        assert not [each for each in page.outputs(number) if each["output_type"] == "error"]
    page.settle()
    assert page.value(ACTIVE) == []
    assert set(page.canary()) == {"undefined"}
    assert page.strays == []
    assert page.intrusions == []
    assert page.tab.url.startswith(page.lab.origin)
