"""A day's work of somebody who explores data, in a real JupyterLab."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.jupyterlab import Page, begin
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

OWLS = """import pandas as pd
owls = pd.DataFrame({"species": ["barn", "eagle", "snowy"], "grams": [480, 2700, 1800]})"""
PLOT = """from matplotlib.figure import Figure
fig = Figure(figsize=(4, 2))
fig.subplots().bar(owls.species, owls.grams);"""


def text_of(content: object) -> str:
    assert isinstance(content, list)
    return "\n".join(block["text"] for block in content if block["type"] == "text")


def test_a_frame_and_a_plot_go_along_and_are_seen(lab: Page, server: SteeredServer, pictures: Path) -> None:
    server.script = lambda body: [{"type": "text", "text": "The **eagle owl** is the heaviest."}]
    begin(lab, [OWLS, PLOT, "%%claude\nWhich is the heaviest in {{owls}}?", "%%claude\nIs it so in {{fig}}?"])
    for cell in (1, 2, 3, 4):
        lab.finish(cell)
    lab.wait_text(4, "heaviest")
    frame, plot = (request["messages"][-1]["content"] for request in server.requests[-2:])
    assert "grams" in text_of(frame) and "2700" in text_of(frame)
    assert [block["type"] for block in plot] == ["text", "image", "text"]
    assert lab.tab.evaluate("bed.area(4).querySelector('img').naturalWidth") > 100
    lab.screenshot(pictures / "exploring-frame-and-plot.png")
    assert not lab.errors


REPORT = """from pathlib import Path
Path("owls.txt").write_text("The eagle owl is the heaviest. The barn owl is the lightest.")"""
CITATION = {
    "type": "char_location",
    "cited_text": "The eagle owl is the heaviest. ",
    "document_index": 0,
    "document_title": "owls.txt",
    "start_char_index": 0,
    "end_char_index": 31,
}


def test_a_citation_is_a_number_with_the_words_it_stands_on(lab: Page, server: SteeredServer, pictures: Path) -> None:
    server.script = lambda body: [
        {"type": "text", "text": "The eagle owl", "citations": [CITATION]},
        {"type": "text", "text": " weighs the most."},
    ]
    begin(lab, [REPORT, "%%claude --file owls.txt --citations\nWhich owl is the heaviest?"])
    lab.finish(1)
    lab.finish(2)
    lab.wait_text(2, "owls.txt, characters 1–31")
    mark = lab.tab.locator("sup", has_text="[1]").last
    assert "The eagle owl is the heaviest." in (mark.get_attribute("title") or mark.inner_html())
    assert server.requests[-1]["messages"][-1]["content"][0]["citations"] == {"enabled": True}
    lab.screenshot(pictures / "exploring-citation.png")
    assert not lab.errors


CODE = """Like this:

```python
heaviest = owls.species[owls.grams.idxmax()]
heaviest
```
"""
FIX = """The column is called `grams`.

```python
owls["grams"].max()
```
"""


def test_code_stands_in_a_new_cell_and_runs_only_when_it_is_run(
    lab: Page, server: SteeredServer, pictures: Path
) -> None:
    server.script = lambda body: [{"type": "text", "text": CODE}]
    begin(lab, [OWLS, "%%claude --code\nWhich is the heaviest in {{owls}}?", "# the last cell"])
    lab.finish(1)
    lab.finish(2)
    lab.wait_until("bed.cells.length === 5")
    assert lab.source(3) == "heaviest = owls.species[owls.grams.idxmax()]\nheaviest"
    assert lab.source(4) == "# the last cell" and "eagle" not in lab.text(3)
    lab.finish(3)
    lab.wait_text(3, "eagle")
    lab.screenshot(pictures / "exploring-code.png")
    assert not lab.errors


def test_an_error_is_mended_in_a_new_cell_with_the_difference_shown(
    lab: Page, server: SteeredServer, pictures: Path
) -> None:
    server.script = lambda body: [{"type": "text", "text": FIX}]
    begin(lab, [OWLS, 'owls["gram"].max()', "%claude_fix", "# the last cell"])
    for cell in (1, 2, 3):
        lab.finish(cell)
    lab.wait_until("bed.cells.length === 6")
    assert lab.source(4) == 'owls["grams"].max()'
    assert '-owls["gram"].max()' in lab.text(3) and '+owls["grams"].max()' in lab.text(3)
    assert "KeyError" in text_of(server.requests[-1]["messages"][-1]["content"])
    lab.finish(4)
    lab.wait_text(4, "2700")
    lab.screenshot(pictures / "exploring-fix.png")
    assert not lab.errors
