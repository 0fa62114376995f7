"""The bars of what cells cost: what their HTML and their characters say."""

from __future__ import annotations

import decimal
import itertools
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import ImageColor

from claude_magic.cost.pricing import KINDS
from claude_magic.render import cost_chart
from claude_magic.render.cost_chart import Bar

PAGES = ("#ffffff", "#111111")  # JupyterLab's, light and dark
GAPS = ("#dadada", "#323232")  # the grey of a gap on them


def bar(label: str = "[1]", **dollars: str) -> Bar:
    """A cell that cost so many dollars by kind, and took a thousand tokens of each."""
    known = {kind: Decimal(dollars.get(kind, "0")) for kind in KINDS}
    return Bar(label, known, {kind: 1_000 if known[kind] else 0 for kind in KINDS})


def unknown(label: str = "[2]") -> Bar:
    return Bar(label, None, {"input": 5_000})


def rows_of(bars: Sequence[Bar], part: int = 0) -> list[ElementTree.Element]:
    """The rows of the cells, or with `part` 1 those of the kinds with their title."""
    table = ElementTree.fromstring(cost_chart.bundle("Cost per cell", bars)["text/html"]).find("table")
    assert table is not None
    return table.findall("tbody")[part].findall("tr")


def words_of(row: ElementTree.Element) -> list[str]:
    return ["".join(cell.itertext()) for cell in row]


def widths(row: ElementTree.Element) -> dict[str, float]:
    """How long each colour is in a row, in percent of the longest bar."""
    styles = [part.get("style", "") for part in row.findall("td/div/div")]
    found = [re.search(r"width: ([\d.]+)%;.* background: (#\w+)", style) for style in styles]
    return {match[2]: float(match[1]) for match in found if match}


def said(bars: Sequence[Bar]) -> list[str]:
    text: str = cost_chart.bundle("Cost per cell", bars)["text/plain"]
    return text.splitlines()


def test_a_bar_is_as_long_as_its_cell_was_dear_and_stacked_by_kind() -> None:
    low, high = map(widths, rows_of([bar(input="0.01", output="0.02"), bar(input="0.04")]))
    assert low == {cost_chart.COLOURS["input"]: 25, cost_chart.COLOURS["output"]: 50}
    assert high == {cost_chart.COLOURS["input"]: 100}


def test_a_row_has_its_cell_its_cost_and_all_that_was_spent_so_far() -> None:
    rows = rows_of([bar(input="0.01"), bar("[3]", output="0.0234")])
    assert [words_of(row) for row in rows] == [["[1]", "", "$0.0100", "$0.0100"], ["[3]", "", "$0.0234", "$0.0334"]]


def test_the_kinds_are_a_legend_with_what_they_cost_together() -> None:
    title, *kinds = rows_of([bar(input="0.01", cached="0.04"), bar(input="0.01")], part=1)
    assert words_of(title) == ["By kind"]
    assert [words_of(row) for row in kinds] == [
        ["input", "", "$0.0200 for 2,000 tokens"],
        ["cache read", "", "$0.0400 for 1,000 tokens"],
    ]
    assert [widths(row) for row in kinds] == [{cost_chart.COLOURS["input"]: 50}, {cost_chart.COLOURS["cached"]: 100}]


def test_the_text_is_a_line_a_cell_then_the_sum_then_a_line_a_kind() -> None:
    assert said([bar(input="0.01", searches="0.02"), bar("[12]", cached="0.01"), unknown("[13] (failed)")]) == [
        "Cost per cell",
        "[1]            $0.0300  ██████████████████████████████",
        "[12]           $0.0100  ██████████",
        "[13] (failed)      n/a  (price unknown)",
        "Running sum: ≥$0.0400",
        "By kind · price unknown: 1 of 3 cells, grey, in no sum",
        "input: $0.0100 for 1,000 tokens",
        "cache read: $0.0100 for 1,000 tokens",
        "web searches: $0.0200 for 1,000",
    ]


def test_an_unknown_price_is_a_gap_as_long_as_the_longest_bar_and_in_no_sum() -> None:
    bars = [bar(input="0.01"), unknown(), bar("[3]", input="0.02")]
    before, gap, behind = rows_of(bars)
    assert words_of(gap) == ["[2]", "price unknown", "n/a", "≥$0.0100"] and not widths(gap)
    assert words_of(before)[-1] == "$0.0100" and words_of(behind)[-1] == "≥$0.0300"
    title, kind = rows_of(bars, part=1)
    assert words_of(title) == ["By kind · price unknown: 1 of 3 cells, grey, in no sum"]
    assert words_of(kind)[-1] == "$0.0300 for 2,000 tokens"


def test_a_cell_that_cost_nothing_is_no_gap() -> None:
    bars = [bar(input="0.01"), bar("[2]")]
    assert words_of(rows_of(bars)[1]) == ["[2]", "", "$0.00", "$0.0100"]
    assert "[2]    $0.00" in said(bars) and "Running sum: $0.0100" in said(bars)


def test_a_reply_that_broke_off_makes_its_cost_and_the_sums_from_there_on_lower_bounds() -> None:
    broken = Bar("[2]", bar(input="0.01").dollars, {"input": 1}, at_least=True)
    figures = [words_of(row)[2:] for row in rows_of([bar(input="0.01"), broken, bar(input="0.01")])]
    assert figures == [["$0.0100", "$0.0100"], ["≥$0.0100", "≥$0.0200"], ["$0.0100", "≥$0.0300"]]
    assert "Running sum: ≥$0.0100" in said([broken])


@pytest.mark.parametrize("count", [0, 1, 5, 40, 100, 1_000])
@pytest.mark.parametrize("amount", ["0", "0.000001", "0.0123", "0.0401", "99.99", "12345"])
def test_any_number_of_cells_at_any_price_stays_within_its_column_and_adds_up(count: int, amount: str) -> None:
    bars = [bar(f"[{number + 1}]", input=amount, output=amount) for number in range(count)]
    rows = rows_of(bars)
    assert len(rows) == min(count, cost_chart.MAX_BARS)
    longest = max((sum(widths(row).values()) for row in rows), default=0)
    assert longest == (100 if count and amount != "0" else 0)
    if count:
        assert f"Running sum: {words_of(rows[-1])[-1]}" in said(bars)


def test_many_cells_share_bars_and_none_is_lost() -> None:
    bars = [bar(f"[{number}]", input="0.01") for number in range(1, 1_001)]
    assert words_of(rows_of(bars)[-1]) == ["[991]–[1000]", "", "$0.1000", "$10.00"]
    told = said(bars)
    assert len(told) <= cost_chart.MAX_TEXT_BARS + 4 and "Running sum: $10.00" in told
    assert told[1].startswith("[1]–[25]") and "$0.2500" in told[1]
    assert "price unknown" in said([*bars, unknown()])[-2]
    assert words_of(rows_of([*bars, unknown()])[-1])[2:] == ["n/a", "≥$10.00"]


def test_the_bars_are_few_bytes() -> None:
    """They lie in the notebook's file."""
    kinds = {kind: f"0.0{number}" for number, kind in enumerate(KINDS, 1)}
    html = cost_chart.bundle("Cost per cell", [bar(f"[{number}]", **kinds) for number in range(300)])["text/html"]
    assert len(html) < 80_000


def test_names_of_strangers_stay_text() -> None:
    label = "[1] (<img src=x onerror=alert(1)>\n\x1b[2J\u202e&amp;, compared)"
    shown = cost_chart.bundle("<b>Cost</b>", [bar(label, input="1")])
    (row,) = rows_of([bar(label, input="1")])
    assert words_of(row)[0] == "[1] (<img src=x onerror=alert(1)> [2J&amp;, compared)"
    assert "<img" not in shown["text/html"] and "<b>" not in shown["text/html"]
    assert "\x1b" not in shown["text/plain"] and shown["text/plain"].count("\n") == 4


def test_nothing_of_it_depends_on_the_theme_or_on_trust() -> None:
    """What has a theme's colour is stripped where a notebook is not trusted; text has the page's own colour."""
    html = cost_chart.bundle("Cost per cell", [bar(input="1"), unknown()])["text/html"]
    assert not re.search(r"var\(|<style|<script|[; \"]color:| on\w+=|data-", html)


@pytest.mark.parametrize("background", PAGES)
def test_each_colour_is_seen_on_light_and_on_dark(background: str) -> None:
    for colour in cost_chart.COLOURS.values():
        low, high = sorted(luminance(each) for each in (colour, background))
        assert (high + 0.05) / (low + 0.05) > 2


def luminance(colour: str) -> float:
    """As WCAG 2 has it."""
    red, green, blue = linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_same_cells_make_the_same_bars_whatever_precision_the_notebook_works_with() -> None:
    bars = [bar(input="1.2345678"), bar("[2]", output="0.0000001")]
    exact = cost_chart.bundle("Cost", bars)
    with decimal.localcontext(decimal.Context(prec=2)):
        assert cost_chart.bundle("Cost", bars) == exact


# How the three kinds of colour-blind eyes see linear red, green and blue: Machado, Oliveira and Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, severity 1.
EYES = {
    "all": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
DIFFERENT = 20  # of 441 between black and white; a difference that is seen side by side


@pytest.mark.parametrize("eyes", EYES.values(), ids=EYES)
def test_no_two_kinds_look_alike_to_any_eye(eyes: list[list[float]]) -> None:
    seen = [as_seen(colour, eyes) for colour in (*cost_chart.COLOURS.values(), *GAPS, *PAGES)]
    distances = [
        sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in itertools.combinations(seen, 2)
    ]
    assert min(distances) > DIFFERENT


def as_seen(colour: str, eyes: list[list[float]]) -> list[float]:
    mixed: list[Any] = [min(1, max(0, sum(a * b for a, b in zip(row, linear(colour), strict=True)))) for row in eyes]
    return [255 * (1.055 * level ** (1 / 2.4) - 0.055) for level in mixed]


def linear(colour: str) -> list[float]:
    return [((level / 255 + 0.055) / 1.055) ** 2.4 for level in ImageColor.getrgb(colour)[:3]]
