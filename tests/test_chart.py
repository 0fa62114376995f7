"""The picture of what cells cost: what its pixels and its characters say."""

from __future__ import annotations

import base64
import decimal
import io
import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy
import pytest
from PIL import Image, ImageColor

from claude_magic.cost.pricing import KINDS
from claude_magic.render import cost_chart
from claude_magic.render.cost_chart import Bar

Pixels = Any  # a numpy array
LETTER_PIXELS = 30


def bar(label: str = "[1]", **dollars: str) -> Bar:
    """A cell that cost so many dollars by kind, and took a thousand tokens of each."""
    known = {kind: Decimal(dollars.get(kind, "0")) for kind in KINDS}
    return Bar(label, known, {kind: 1_000 if known[kind] else 0 for kind in KINDS})


def unknown(label: str = "[2]") -> Bar:
    return Bar(label, None, {"input": 5_000})


def drawn(bars: Sequence[Bar]) -> Pixels:
    """The picture's pixels: rows × columns × red, green, blue."""
    data, _ = cost_chart.bundle("Cost per cell", bars)
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    return numpy.asarray(image).astype(int)


def said(bars: Sequence[Bar]) -> list[str]:
    return cost_chart.bundle("Cost per cell", bars)[0]["text/plain"].splitlines()


def where(pixels: Pixels, colour: str) -> Pixels:
    """Which pixels are of a colour."""
    return (pixels == numpy.array(ImageColor.getrgb(colour))).all(axis=-1)


def heights(pixels: Pixels, colour: str) -> list[int]:
    """How high a colour stands in those columns of the upper panel that have more of it than a letter has."""
    panel = pixels[: cost_chart.SCALE * (cost_chart.MARGIN_PIXELS + cost_chart.TITLE_PIXELS + cost_chart.BARS_PIXELS)]
    return [int(height) for height in where(panel, colour).sum(axis=0) if height > LETTER_PIXELS]


def test_a_bar_is_as_high_as_its_cell_was_dear_and_stacked_by_kind() -> None:
    pixels = drawn([bar(input="0.01", output="0.02"), bar(input="0.02")])
    inputs = heights(pixels, cost_chart.COLOURS["input"])
    low, high = min(inputs), max(inputs)
    assert high == pytest.approx(2 * low, abs=3)
    assert max(heights(pixels, cost_chart.COLOURS["output"])) == pytest.approx(high, abs=3)


def test_an_unknown_price_is_a_gap_as_high_as_the_panel_and_in_no_sum() -> None:
    bars = [bar(input="0.01"), unknown(), bar("[3]", input="0.02")]
    assert max(heights(drawn(bars), cost_chart.GAP)) >= cost_chart.SCALE * (cost_chart.BARS_PIXELS - 20)
    assert not heights(drawn(bars[::2]), cost_chart.GAP)
    told = said(bars)
    assert told[2] == "[2]      n/a  (price unknown)"
    assert "Running sum: ≥$0.0300" in told and "By kind · price unknown: 1 of 3 cells, grey, in no sum" in told
    assert "input: $0.0300 for 2,000 tokens" in told


def test_a_cell_that_cost_nothing_is_no_gap() -> None:
    told = said([bar(input="0.01"), bar("[2]")])
    assert "[2]    $0.00" in told and "Running sum: $0.0100" in told


def test_a_reply_that_broke_off_makes_the_sum_a_lower_bound() -> None:
    assert "Running sum: ≥$0.0100" in said([Bar("[1]", bar(input="0.01").dollars, {"input": 1}, at_least=True)])


@pytest.mark.parametrize("count", [0, 1, 5, 40, 300, 1_000])
@pytest.mark.parametrize("amount", ["0", "0.000001", "0.0123", "0.0401", "99.99", "12345"])
def test_any_number_of_cells_at_any_price_stays_within_its_panel(count: int, amount: str) -> None:
    bars = [bar(f"[{number + 1}]", output=amount) for number in range(count)]
    pixels = drawn(bars)
    assert len(pixels[0]) == cost_chart.SCALE * cost_chart.WIDTH_PIXELS
    inside = where(pixels, cost_chart.BACKGROUND)
    assert (
        inside[:, :2].all()
        and inside[:, -2:].all()
        and inside[: cost_chart.SCALE * (cost_chart.MARGIN_PIXELS - 1)].all()
    )
    outputs = heights(pixels, cost_chart.COLOURS["output"])
    assert max(outputs, default=0) <= cost_chart.SCALE * cost_chart.BARS_PIXELS
    assert bool(outputs) == (count > 0 and amount != "0")


def test_the_picture_has_a_background_of_its_own() -> None:
    """Nothing shines through: dark text would not read on a dark notebook."""
    data, metadata = cost_chart.bundle("Cost per cell", [bar(input="1")])
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert not image.has_transparency_data
    assert image.width == 2 * metadata["image/png"]["width"]


def test_many_cells_share_lines_of_text_and_bars_and_none_is_lost() -> None:
    bars = [bar(f"[{number}]", input="0.01") for number in range(1, 1_001)]
    told = said(bars)
    assert len(told) <= cost_chart.MAX_TEXT_BARS + 4 and "Running sum: $10.00" in told
    assert told[1].startswith("[1]–[25]") and "$0.2500" in told[1]
    assert "price unknown" in said([*bars, unknown()])[-2]


def test_the_picture_is_small() -> None:
    """It lies in the notebook's file."""
    kinds = {kind: f"0.0{number}" for number, kind in enumerate(KINDS, 1)}
    data, _ = cost_chart.bundle("Cost per cell", [bar(f"[{number}]", **kinds) for number in range(300)])
    assert len(data["image/png"]) < 60_000


def test_the_same_cells_make_the_same_picture_whatever_precision_the_notebook_works_with() -> None:
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
    seen = [as_seen(colour, eyes) for colour in (*cost_chart.COLOURS.values(), cost_chart.GAP, cost_chart.BACKGROUND)]
    distances = [
        sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in itertools.combinations(seen, 2)
    ]
    assert min(distances) > DIFFERENT


def as_seen(colour: str, eyes: list[list[float]]) -> list[float]:
    linear = [((level / 255 + 0.055) / 1.055) ** 2.4 for level in ImageColor.getrgb(colour)[:3]]
    mixed: list[Any] = [min(1, max(0, sum(a * b for a, b in zip(row, linear, strict=True)))) for row in eyes]
    return [255 * (1.055 * level ** (1 / 2.4) - 0.055) for level in mixed]
