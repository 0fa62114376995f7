"""The bars of what cells cost, as they look in JupyterLab."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Literal

import pytest
from PIL import ImageColor

from claude_magic.render import cost_chart
from support.jupyterlab import Page, begin

pytestmark = pytest.mark.browser

# Of each bar's parts in a page: how wide, and of which colour; and the colours of the text beside it and of the page.
SHOWN = """(() => {
  const table = bed.area(given).querySelector('.claude-magic table:has(td > div)')
  const parts = [...table.querySelectorAll('td > div > div')]
  return {
    parts: parts.map(part => [part.getBoundingClientRect().width, getComputedStyle(part).backgroundColor]),
    text: getComputedStyle(table).color,
    over: table.scrollWidth > bed.area(given).clientWidth,
  }
})()"""


def test_in_jupyterlab_it_reads_in_light_and_dark_wide_and_narrow_trusted_or_not(lab: Page, pictures: Path) -> None:
    begin(lab, ['%config ClaudeMagic.provider = "offline"', "%%claude\nWhat is an owl?", "%claude_cost"])
    for cell in (1, 2, 3):
        lab.finish(cell)
    lab.save()
    lab.lab.copy_untrusted(lab.name, "stranger.ipynb")
    stranger = lab.lab.open("stranger.ipynb")
    for page, trust in ((lab, "trusted"), (stranger, "untrusted")):
        for width, theme in itertools.product((1280, 800), ("Light", "Dark")):
            look(page, width, theme, pictures / f"cost-{trust}-{width}-{theme.lower()}.png")  # type: ignore[arg-type]
    assert not lab.errors and not stranger.errors
    stranger.close()
    lab.theme("Light")


def look(page: Page, width: int, theme: Literal["Light", "Dark"], picture: Path) -> None:
    page.resize(width, 1200)
    page.theme(theme)
    page.screenshot(picture, 3)
    shown = page.value(SHOWN, 3)
    assert len(shown["parts"]) >= 2 and not shown["over"]
    colours = {"rgb({}, {}, {})".format(*ImageColor.getrgb(each)) for each in cost_chart.COLOURS.values()}
    assert all(wide >= 2 and colour in colours for wide, colour in shown["parts"])
    red, *_ = map(int, re.findall(r"\d+", shown["text"]))
    assert red > 180 if theme == "Dark" else red < 80
