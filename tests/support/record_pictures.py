"""Pictures of records, from a real JupyterLab on the stand-in: `python -m support.record_pictures [FOLDER]` in `tests`.

A conversation at rest, light and dark, and a reply as it grows; without a folder, beside where you stand.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import closing
from pathlib import Path

from support.jupyterlab import Lab, Page, chromium

WIDTH_PIXELS = 1280
HEIGHT_PIXELS = 4000
MARGIN_PIXELS = 6
CONVERSATION = [
    "%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'",
    "import pandas as pd\nfrom matplotlib.figure import Figure\n\n"
    "owls = pd.DataFrame({'species': ['barn', 'eagle', 'snowy'], 'grams': [480, 2700, 1800]})\n"
    "fig = Figure(figsize=(4, 2))\nfig.subplots().bar(owls.species, owls.grams);",
    "%%claude\nDescribe {{owls}} in a table, and group them in Python code.",
    "%%claude\nWhat do you see in {{fig}}?",
    "%claude_cost",
]
ASKED = 2  # the cell whose reply is caught as it grows
STAND_IN = "stand_in = __import__('claude_magic').magics.kernel_of(get_ipython()).session.client.offline"
# The reply falls silent after so many events: when its table is there, and something is still to come.
STALL = f"{STAND_IN}\nfrom claude_magic import offline\nstand_in.faults.append(offline.Fault('stall', after=%d))"
STALL_AFTER_EVENTS = 80
PACE = f"{STAND_IN}\nstand_in.pace = 60"


def main(folder: Path) -> None:
    """Take all pictures, and say where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as work,
        chromium() as browser,
        Lab(browser, Path(work)) as lab,
        closing(lab.open("owls.ipynb", CONVERSATION)) as page,
    ):
        page.resize(WIDTH_PIXELS, HEIGHT_PIXELS)
        page.resize(2 * WIDTH_PIXELS - int(page.value("bed.notebook.node.clientWidth")), HEIGHT_PIXELS)
        for theme in ("Light", "Dark"):
            page.theme(theme)
            take_growing(page, folder / f"growing-{theme.lower()}.png")
        page.restart()
        for number in range(len(CONVERSATION)):
            page.finish(number)
            if number == 0:
                page.execute(PACE)
        for theme in ("Light", "Dark"):
            page.theme(theme)
            take(page, folder / f"conversation-{theme.lower()}.png", 0, len(CONVERSATION) - 1)


def take_growing(page: Page, path: Path) -> None:
    """Ask in a new kernel, open the thinking, and catch the answer in the middle."""
    page.restart()
    page.finish(0)
    page.finish(1)
    page.execute(STALL % STALL_AFTER_EVENTS)
    page.run(ASKED)
    page.panel(ASKED).locator(".jupyter-widget-Collapse-header").click()
    page.wait_until("bed.text(given).includes('writing') && bed.area(given).querySelector('td')", ASKED)
    take(page, path, ASKED, ASKED)
    page.interrupt()
    page.wait_done(ASKED)


def take(page: Page, path: Path, first: int, last: int) -> None:
    """A picture of these cells, as wide as the notebook."""
    page.value("bed.notebook.outerNode.scrollTop = 0")
    page.settle()
    top, bottom = page.cell(first).bounding_box(), page.cell(last).bounding_box()
    assert top and bottom
    y = top["y"] - MARGIN_PIXELS
    height = bottom["y"] + bottom["height"] + MARGIN_PIXELS - y
    x = page.value("bed.notebook.node.getBoundingClientRect().x")
    page.tab.screenshot(path=path, clip={"x": x, "y": y, "width": WIDTH_PIXELS, "height": height})
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
