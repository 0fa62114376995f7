"""What a reader sees in a real JupyterLab and a real Notebook, live and reopened."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from support.hostile_markdown import HOSTILE
from support.jupyterlab import LOAD, NAME, Page, begin
from support.kernel import plain
from support.steered_server import KEY, SteeredServer

pytestmark = pytest.mark.browser

NO_PANEL = "%config ClaudeMagic.panel = False"
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
FIGURE = "from matplotlib.figure import Figure\nfig = Figure()\nfig.subplots().plot([1, 3, 2]);"
THOUGHTS = [f"Thought {number}: <img src=x onerror=window.PWN++> costs $5 or $10." for number in range(12)]
PANEL_REPLY = [{"type": "thinking", "thinking": "\n".join(THOUGHTS)}, {"type": "text", "text": REPLY}]
MODELS_LEFT = "import ipywidgets\nlen(ipywidgets.widget._instances)"
THINKING = {"type": "thinking", "thinking": THOUGHT}
CONTENT = [THINKING, {"type": "text", "text": REPLY}]
WIDGET_TROUBLE = ("model not found", "Loading widget", "Error displaying widget")


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


def whole(page: Page) -> None:
    """The header, and all of `REPLY` as a reader should see it."""
    page.wait_until("bed.area(1).querySelectorAll('mjx-container').length === 1")
    page.wait_until("bed.area(1).querySelector('pre span[style]')")
    shown = page.text(1)
    assert "Omega: the reply ends." in shown and "$5 and not $10" in shown
    header = shown.splitlines()[0]
    assert re.search(r"claude-opus-\S+ · [\d,]+ tokens in → [\d,]+ out · \$0\.\d+ · [\d.]+ s", header), header
    assert page.value("[...bed.area(1).querySelectorAll('td')].map(cell => cell.innerText)") == ["height", "1.5"]
    assert 'return 3.14159 * radius**2  # not "$5"' in shown
    nothing_strange(page)


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


def test_the_conversation_follows_the_cells(lab: Page, server: SteeredServer) -> None:
    """A deleted cell is forgotten, and so is one that was cut, until it was pasted and saved; one that is moved, added
    or copied is not."""
    begin(lab, ["%%claude\nMy name is Ada.", "%%claude\nRemember the owl.", "%claude Say it again."])
    lab.run_all()
    lab.wait_done(3)
    lab.delete_cell(2)
    lab.move_cell(1, 2)
    lab.add_cell("%claude And now.", below=2)
    lab.finish(3)
    assert prompts(server) == ["My name is Ada.", "Say it again.", "And now."]
    lab.cut_cell(2)
    lab.finish(2)
    assert prompts(server) == ["Say it again.", "And now."]
    lab.paste_cell(below=2)
    lab.save()
    lab.copy_cell(1)
    lab.paste_cell(below=3)
    lab.finish(4)
    assert prompts(server) == ["My name is Ada.", "Say it again.", "And now.", "Say it again."]


ASKED = ["My name is Ada.", "Remember the owl.", "Say it again."]
ASKING = [f"%%claude\n{question}" for question in ASKED]


def test_a_killed_kernel_takes_nothing_that_was_saved_with_it(either: Page, server: SteeredServer) -> None:
    page = either
    begin(page, [*ASKING, "%%claude\nWhat is my name?"])
    for cell in (1, 2, 3):
        page.finish(cell)
    page.save()
    page.kill_kernel()
    page.reload()
    page.finish(0)
    page.wait_text(0, f"came back from {NAME}.")
    assert re.match(r"3 turns \(20\S+, \$0\.\d+\) came back from", page.text(0))
    page.finish(4)
    assert prompts(server) == [*ASKED, "What is my name?"]
    assert len(sent_back(server, "thinking")) == 3
    nothing_strange(page)


COUNTING = " ".join(f"and {number}" for number in range(100))
COUNTED = [THINKING, {"type": "text", "text": COUNTING}]


def test_what_no_page_took_is_recovered_to_the_last_event(either: Page, server: SteeredServer) -> None:
    """One page is closed in the middle of a reply, a kernel dies in the middle of another."""
    server.script = lambda body: COUNTED
    cells = [LOAD, "%%claude\nCount.", "%%claude\nCount on.", "%claude_recover", "%%claude\nHow far was that?"]
    page = either.lab.open("lost.ipynb", cells)
    page.finish(0)
    interrupted(page, server, 1)
    page.leave()
    server.release()
    with closing(either.lab.open("lost.ipynb")) as page:
        page.finish(3)  # the kernel has gone on
        page.wait_text(3, "the conversation is as it was")
        page.wait_text(3, COUNTING)
        arrived = interrupted(page, server, 2)
        page.kill_kernel()
        server.release()
        page.reload()
        page.finish(0)
        page.wait_text(0, "2 replies are not in this notebook: %claude_recover shows them.")
        page.rename("found.ipynb")
        page.finish(3)
        page.wait_text(3, "2 put back")
        shown = page.text(3)
        assert COUNTING in shown and shown.rstrip().endswith(arrived.rstrip())
        page.finish(4)
        assert prompts(server) == ["Count.", "Count on.", "How far was that?"]
        assert sent_back(server, "text") == [COUNTING, arrived]
        assert len(sent_back(server, "thinking")) == 2
        nothing_strange(page)
        page.save()
        clean_file(page)


def interrupted(page: Page, server: SteeredServer, cell: int) -> str:
    """Run a cell to the middle of its reply, until the page shows all that was sent. Returns the text so far."""
    server.hold(HALF)
    page.run(cell)
    page.wait_text(cell, "and 1")
    sent = server.first_events(HALF)
    arrived = "".join(each["delta"].get("text", "") for each in sent if each["type"] == "content_block_delta")
    assert arrived and COUNTING.startswith(arrived) and arrived != COUNTING
    page.wait_text(cell, arrived.rstrip())
    return arrived


def test_an_undone_run_shows_the_earlier_answer_in_its_cell_for_good(lab: Page, server: SteeredServer) -> None:
    server.script = lambda body: [THINKING, {"type": "text", "text": f"Answer {len(server.requests)}."}]
    begin(lab, ["%%claude\nWhich one is it?", "%claude_undo", "%%claude\nAnd?"])
    lab.finish(1)
    lab.wait_text(1, "Answer ")
    earlier = lab.text(1)
    lab.finish(1)
    lab.wait_until("!bed.text(1).includes(given)", earlier)
    lab.finish(2)
    lab.wait_text(2, "Brought back 1 turn")
    lab.wait_until("bed.text(1) === given", earlier)
    lab.finish(3)
    assert sent_back(server, "text") == [earlier.splitlines()[-1]]
    lab.save()
    lab.reload()
    lab.wait_until("bed.text(1) === given", earlier)
    nothing_strange(lab)
    clean_file(lab)


def test_a_renamed_notebook_and_another_on_its_kernel_keep_their_own_turns(lab: Page, server: SteeredServer) -> None:
    with (
        closing(lab.lab.open("draft.ipynb", [LOAD, *ASKING, "%%claude\nAfter all."])) as page,
        closing(lab.lab.open("other.ipynb", [LOAD, "%%claude\nElsewhere.", "%%claude\nStill there."])) as other,
    ):
        page.finish(0)
        page.finish(1)
        page.save()
        page.rename("final.ipynb")
        page.finish(2)
        other.share_kernel(page)
        other.finish(0)
        other.finish(1)
        assert prompts(server) == ["Elsewhere."]
        page.finish(3)
        assert prompts(server) == ASKED
        page.save()
        other.save()
        page.restart()
        page.finish(0)
        page.wait_text(0, "came back from final.ipynb")
        page.finish(4)
        assert prompts(server) == [*ASKED, "After all."]
        other.finish(0)
        other.wait_text(0, "came back from other.ipynb")
        other.finish(2)
        assert prompts(server) == ["Elsewhere.", "Still there."]


NO_KEY = """import os
for name in [each for each in os.environ if each.startswith("ANTHROPIC_")]:
    del os.environ[name]
%config ClaudeMagic.replay = "only"
%config ClaudeMagic.replay_speed = 0.01"""


def test_a_class_replays_the_notebook_with_no_key_and_no_request(lab: Page, server: SteeredServer) -> None:
    """Under the panel, which says so, until it is stopped; and Run All at once, where that is wanted."""
    server.script = lambda body: CONTENT
    begin(lab, ASKING)
    lab.run_all()
    lab.wait_done(3)
    lab.save()
    lab.restart()
    try:
        lab.finish(0)
        lab.execute(NO_KEY)
        replays(lab, server)
    finally:
        lab.restart()  # with the key


def replays(page: Page, server: SteeredServer) -> None:
    """Stop a slow replay, whose reply is whole all the same; then replay all, as fast as can be."""
    asked = len(server.requests)
    page.run(1)
    page.panel(1).get_by_text("replayed from the notebook").wait_for()
    page.panel(1).get_by_role("button", name="Stop").click()
    page.wait_done(1)
    page.wait_text(1, "Omega: the reply ends.")
    page.execute("%config ClaudeMagic.replay_speed = 0")
    page.run_all()
    page.wait_done(3)
    for cell in (1, 2, 3):
        page.wait_text(cell, "Omega: the reply ends.")
        assert re.search(r"replayed, \$0\.00 now, \$0\.\d+ when recorded", page.text(cell).splitlines()[0])
        assert not [each for each in page.outputs(cell) if each["output_type"] == "error"]
    assert len(server.requests) == asked
    nothing_strange(page)


def prompts(server: SteeredServer) -> list[str]:
    """What was asked in the last request, in order."""
    return [text_of(message) for message in server.requests[-1]["messages"] if message["role"] == "user"]


def sent_back(server: SteeredServer, kind: str) -> list[str]:
    """The texts, or the thinking, of the replies in the last request, in order."""
    replies = [message["content"] for message in server.requests[-1]["messages"] if message["role"] == "assistant"]
    return [block[kind] for content in replies for block in content if block["type"] == kind]


ACCIDENTS = pytest.mark.parametrize("accident", ["reload", "kill_kernel", "restart"])


@ACCIDENTS
def test_an_accident_in_the_middle_of_a_reply_leaves_what_was_saved(
    lab: Page, server: SteeredServer, accident: str
) -> None:
    have_an_accident(lab, server, accident, NO_PANEL)
    clean_file(lab)
    lab.reload()
    lab.wait_text(1, "Alpha: the reply begins.")
    nothing_strange(lab)


@ACCIDENTS
def test_an_accident_under_the_panel_leaves_the_answer_and_the_next_run_a_clean_cell(
    lab: Page, server: SteeredServer, accident: str
) -> None:
    """The panel itself is dead then: a widget's view cannot outlive its kernel or page (RENDERING.md §2)."""
    have_an_accident(lab, server, accident, "# with the panel")
    _, asked, bystander, _ = lab.lab.read(NAME).cells
    (answer,) = [each for each in asked.outputs if "Alpha: the reply begins." in each.data.get("text/html", "")]
    assert "Omega" not in answer.data["text/html"]
    assert [each.data["text/plain"] for each in bystander.outputs] == ["2"]
    lab.finish(0)
    lab.finish(1)
    lab.save()
    clean_file(lab)
    lab.forget()  # what the dead panel said
    lab.reload()
    whole(lab)


def have_an_accident(page: Page, server: SteeredServer, accident: str, setting: str) -> None:
    """In the middle of a reply that has been saved; then run another cell, and save again."""
    server.script = lambda body: CONTENT
    begin(page, ["%%claude\nGo on.", "1 + 1", setting])
    page.finish(3)
    server.hold(HALF)
    page.run(1)
    page.wait_text(1, "Alpha: the reply begins.")
    page.save()
    getattr(page, accident)()
    assert "Alpha: the reply begins." in page.text(1)
    server.release()
    page.finish(2)
    assert page.text(2).split()[-1] == "2"
    page.save()


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


PER_CELL = 20  # two outputs each: JupyterLab hides those past 50


def test_nothing_hostile_comes_alive(lab: Page, server: SteeredServer) -> None:
    """Neither in the reply's text nor in its thinking, model name, stop sequence, tool calls and citations."""

    def script(body: dict[str, Any]) -> list[dict[str, Any]]:
        _, payload = HOSTILE[int(text_of(body["messages"][-1]).split()[-1])]
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


def clean_file(page: Page) -> None:
    """The saved notebook is valid and plain: no widget view, no widget state, no key."""
    notebook = page.lab.read(page.name)
    assert "widgets" not in notebook.metadata
    raw = (page.lab.folder / page.name).read_text(encoding="utf-8")
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
