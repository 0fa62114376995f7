"""What a reader sees in a real JupyterLab and a real Notebook, live and reopened.

`CLAUDE_MAGIC_SCREENSHOTS` names the folder that the pictures go to. Where there is no Chromium these
tests are skipped; where `CI` is set they fail instead.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE
from kernel import plain
from lab import CHROMIUM, Lab, Page, SteeredServer, chromium
from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

KEY = "sk-ant-test"
LOAD = "%load_ext claude_magic"
THOUGHT = "I look at the question before I answer it."
# Events that come before the middle of `REPLY`'s text: message and block starts, a ping, the thinking.
HALF = 30
REPLY = r"""Alpha: the reply begins.

| column | mean |
|---|---|
| height | 1.5 |

Euler found $e^{i\pi} + 1 = 0$; it costs $5 and not $10.

```python
def area(radius):
    return 3.14159 * radius**2  # not "$5"
```

Omega: the reply ends."""
CONTENT = [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": REPLY}]
WIDGET_TROUBLE = ("model not found", "Loading widget", "Error displaying widget")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no chromium on the PATH")
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[SteeredServer]:
    with SteeredServer() as running:
        yield running


@pytest.fixture(autouse=True)
def as_it_was(server: SteeredServer) -> Iterator[None]:
    """Each test finds the stand-in with no script, and lets go of what it holds."""
    yield
    server.release()
    server.script = None
    server.lies = {}


@pytest.fixture(scope="module")
def environment(server: SteeredServer) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY}


@pytest.fixture(scope="module")
def lab(browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(browser, tmp_path_factory.mktemp("lab"), "lab", environment) as running:
        yield running


@pytest.fixture(scope="module")
def notebook(browser: Browser, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(browser, tmp_path_factory.mktemp("notebook"), "notebook", environment) as running:
        yield running


@pytest.fixture(params=["lab", "notebook"])
def either(request: pytest.FixtureRequest) -> Lab:
    """JupyterLab, then Notebook."""
    return request.getfixturevalue(request.param)


def test_an_answer_is_seen_growing_and_then_whole(either: Lab, server: SteeredServer) -> None:
    server.script = lambda body: CONTENT
    with closing(either.open("growing.ipynb", [LOAD, "%%claude\nWhat is beautiful?"])) as page:
        page.finish(0)
        server.hold(HALF)
        page.watch_frames()
        page.run(1)
        page.wait_text(1, "Alpha")
        assert "Omega" not in page.text(1)
        assert "writing" in page.text(1)
        server.release()
        page.wait_done(1)
        print(f"worst frame gap while it grew: {page.worst_frame_gap():.0f} ms")
        shown = page.text(1)
        assert "Omega: the reply ends." in shown and "$5 and not $10" in shown
        header = shown.splitlines()[0]
        assert re.search(r"claude-opus-\S+ · [\d,]+ tokens in.* · [\d,]+ out.* · \$0\.\d+ · [\d.]+ s", header), header
        page.wait_until("bed.area(1).querySelectorAll('mjx-container').length === 1")
        page.wait_until("bed.area(1).querySelector('.cm-line, pre span[class]')")
        assert page.value("[...bed.area(1).querySelectorAll('td')].map(cell => cell.innerText)") == ["height", "1.5"]
        assert 'return 3.14159 * radius**2  # not "$5"' in shown
        nothing_strange(page)


def test_an_image_that_was_sent_is_seen(lab: Lab, server: SteeredServer) -> None:
    figure = "from matplotlib.figure import Figure\nfig = Figure()\nfig.subplots().plot([1, 3, 2]);"
    with closing(lab.open("image.ipynb", [f"{LOAD}\n{figure}", "%%claude\nWhat is in {{fig}}?"])) as page:
        page.finish(0)
        page.finish(1)
        page.wait_until("bed.area(1).querySelector('img')?.naturalWidth > 100")
        assert "1 image" in page.text(1)
        (block,) = [each for each in server.requests[-1]["messages"][-1]["content"] if each["type"] == "image"]
        shown = [each["data"] for each in page.outputs(1)]
        assert block["source"]["data"] in [each.get("image/png", "").strip() for each in shown]


def test_interrupt_ends_a_silent_reply_and_keeps_what_came(either: Lab, server: SteeredServer) -> None:
    server.script = lambda body: CONTENT
    with closing(either.open("interrupt.ipynb", [LOAD, "%%claude\nGo on and on."])) as page:
        page.finish(0)
        server.hold(HALF)
        page.run(1)
        page.wait_text(1, "Alpha")
        clicked = time.monotonic()
        page.interrupt()
        page.wait_done(1)
        seconds = time.monotonic() - clicked
        print(f"{either.application}: from the click on Interrupt to the cell's end: {seconds * 1000:.0f} ms")
        assert seconds < 1
        shown = page.text(1)
        assert "Alpha: the reply begins." in shown and "Omega" not in shown
        assert "■ interrupted" in shown.splitlines()[0]
        (error,) = [each for each in page.outputs(1) if each["output_type"] == "error"]
        assert 1 <= len(plain(error["traceback"]).splitlines()) <= 3
        assert turn_of(page, 1)["status"] == "interrupted"


def test_a_reopened_notebook_reads_as_it_was_left(either: Lab, server: SteeredServer) -> None:
    server.script = lambda body: CONTENT
    with closing(either.open("kept.ipynb", [LOAD, "%%claude\nWhat is beautiful?"])) as page:
        page.finish(0)
        page.finish(1)
        left = page.text(1)
        page.save()
    with closing(either.open("kept.ipynb")) as page:
        page.wait_text(1, "Omega")
        page.wait_until("bed.area(1).querySelector('mjx-container')")
        assert page.text(1).split() == left.split()
        assert THOUGHT not in page.text(1)
        page.cell(1).locator("summary", has_text="Thinking").click()
        page.wait_text(1, THOUGHT)
        nothing_strange(page)
    clean_file(either, "kept.ipynb")


def test_the_conversation_follows_the_cells(lab: Lab, server: SteeredServer) -> None:
    """A deleted cell is forgotten; one that is moved or added is not."""
    cells = [LOAD, "%%claude\nMy name is Ada.", "%%claude\nRemember the owl.", "%claude Say it again."]
    with closing(lab.open("cells.ipynb", cells)) as page:
        page.run_all()
        page.wait_done(3)
        page.delete_cell(2)
        page.move_cell(1, 2)
        page.add_cell("%claude And now.", below=2)
        page.finish(3)
        prompts = [text_of(message) for message in server.requests[-1]["messages"] if message["role"] == "user"]
        assert prompts == ["My name is Ada.", "Say it again.", "And now."]


@pytest.mark.parametrize("accident", ["reload", "kill_kernel", "restart"])
def test_an_accident_in_the_middle_of_a_reply_leaves_what_was_saved(
    lab: Lab, server: SteeredServer, accident: str
) -> None:
    server.script = lambda body: CONTENT
    name = f"{accident}.ipynb"
    with closing(lab.open(name, [LOAD, "%%claude\nGo on.", "1 + 1"])) as page:
        page.finish(0)
        server.hold(HALF)
        page.run(1)
        page.wait_text(1, "Alpha")
        page.save()
        getattr(page, accident)()
        assert "Alpha: the reply begins." in page.text(1)
        server.release()
        page.finish(2)
        assert page.text(2).split()[-1] == "2"
        page.save()
    clean_file(lab, name)
    with closing(lab.open(name)) as page:
        page.wait_text(1, "Alpha")
        nothing_strange(page)


def test_the_canary_sings_where_markdown_is_not_made_inert(lab: Lab) -> None:
    """The control of the hostile tests: the same page, the same watch, and no `claude_magic` between."""
    source = (
        "from IPython.display import Markdown\n"
        "Markdown('<img src=x onerror=window.PWN++> <img src=http://evil.invalid/a.png> <script></script>')"
    )
    with closing(lab.open("control.ipynb", [source])) as page:
        page.finish(0)
        page.wait_until("bed.area(0).querySelector('img')")
        page.settle()
        assert page.canary() == ["number"]
        assert any("evil.invalid" in stray for stray in page.strays)
        assert any("onerror" in found for found in page.value(ACTIVE))


PER_CELL = 20  # two outputs each: JupyterLab hides those past 50


@pytest.mark.parametrize("place", ["text", "elsewhere"])
def test_nothing_hostile_comes_alive(lab: Lab, server: SteeredServer, place: str) -> None:
    """In the reply's text, or in its thinking, model name, stop sequence, tool calls and citations."""

    def script(body: dict[str, Any]) -> list[dict[str, Any]]:
        _, payload = HOSTILE[int(text_of(body["messages"][-1]).split()[-1])]
        server.lies = (
            {} if place == "text" else {"model": payload, "stop_reason": "stop_sequence", "stop_sequence": payload}
        )
        return [{"type": "text", "text": payload}] if place == "text" else everywhere_else(payload)

    server.script = script
    ask = "for i in range({}, {}):\n    get_ipython().run_cell_magic('claude', '--once', f'payload {{i}}')"
    parts = [range(len(HOSTILE))[start : start + PER_CELL] for start in range(0, len(HOSTILE), PER_CELL)]
    cells = [LOAD, *[ask.format(part.start, part.stop) for part in parts]]
    name = f"hostile {place}.ipynb"
    with closing(lab.open(name, cells)) as page:
        page.run_all()
        page.wait_done(len(parts))
        inert(page, [len(part) for part in parts])
        page.save()
    with closing(lab.open(name)) as page:
        assert page.value("bed.cells.every(cell => cell.model.trusted)")
        inert(page, [len(part) for part in parts])
    lab.copy_untrusted(name, f"copy of {name}")
    with closing(lab.open(f"copy of {name}")) as page:
        assert not page.value("bed.cells.some(cell => cell.model.trusted)")
        inert(page, [len(part) for part in parts])


def everywhere_else(payload: str) -> list[dict[str, Any]]:
    """Content with the payload in all places but the text."""
    citation = {
        "type": "web_search_result_location",
        "url": payload,
        "title": payload,
        "cited_text": payload,
        "encrypted_index": "x",
    }
    return [
        {"type": "thinking", "thinking": payload, "signature": "x"},
        {
            "type": "text",
            "text": "Cited.",
            "citations": [citation, {**citation, "url": f"https://a.invalid/{payload}"}],
        },
        {"type": "tool_use", "id": "toolu_1", "name": payload, "input": {payload: payload}},
        {"type": payload, "data": payload},
    ]


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


def nothing_strange(page: Page) -> None:
    """No widget is missing, nothing failed in the page, nothing left it."""
    page.settle()
    shown = page.tab.locator("body").inner_text()
    assert not [trouble for trouble in WIDGET_TROUBLE if trouble in shown]
    assert page.errors == []
    assert page.strays == []
    assert page.intrusions == []


def clean_file(lab: Lab, name: str) -> None:
    """A saved notebook is valid and plain: no widget view, no widget state, no key."""
    notebook = lab.read(name)
    assert "widgets" not in notebook.metadata
    raw = (lab.folder / name).read_text(encoding="utf-8")
    assert "application/vnd.jupyter.widget-view+json" not in raw
    assert KEY not in raw


def text_of(message: dict[str, Any]) -> str:
    """The text of a message as it went over the wire."""
    content = message["content"]
    return content if isinstance(content, str) else "".join(each.get("text", "") for each in content)


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


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go."""
    return Path(os.environ.get("CLAUDE_MAGIC_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))


def test_a_conversation_fits_its_page_in_light_and_dark_wide_and_narrow(either: Lab, pictures: Path) -> None:
    """Nothing is wider than the cell, and the pictures are there to be looked at."""
    with closing(either.open("demo.ipynb", DEMO)) as page:
        page.run_all()
        page.wait_done(len(DEMO) - 1)
        page.value("document.querySelectorAll('.jp-OutputArea-output details').forEach(each => { each.open = true })")
        for width in (1280, 800):
            page.resize(width, 3000)
            for theme in ("Light", "Dark"):
                page.theme(theme)
                page.screenshot(pictures / f"{either.application}-{theme.lower()}-{width}.png")
            for number in range(2, len(DEMO)):
                assert page.value(f"bed.area({number}).scrollWidth <= bed.area({number}).clientWidth")
        page.theme("Light")
        nothing_strange(page)
