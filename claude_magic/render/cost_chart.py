"""What cells cost, as a picture: each cell's bar, their running sum, and the sums by kind of token.

A PNG with a background of its own, which reads in light and in dark notebooks, with no JavaScript; and the same in
characters. An unknown price is a gap, never a zero.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import TYPE_CHECKING, Any

from ..cost import pricing
from ..cost.pricing import EXACT, KINDS

if TYPE_CHECKING:
    from PIL.Image import Image

Point = tuple[float, float]
Box = tuple[float, float, float, float]

# In CSS pixels; the picture has twice as many each way, so that it is crisp on a screen with two pixels for one.
WIDTH_PIXELS = 720
SCALE = 2
MARGIN_PIXELS = 16
AXIS_PIXELS = 58  # to the left of both panels, for dollars
TITLE_PIXELS = 27
BARS_PIXELS = 150
SUM_PIXELS = 84
ROW_PIXELS = 19
PANEL_GAP_PIXELS = 28  # holds the cells' numbers
FONT_PIXELS = 12
KIND_PIXELS, KIND_BAR_PIXELS = 110, 330  # where the bars by kind begin, and how long the longest is
MAX_BAR_PIXELS = 44
# More cells than these share bars.
MAX_BARS = 300
MAX_TEXT_BARS = 40
TEXT_BAR_CHARACTERS = 30

# Okabe and Ito's palette, which colour-blind readers tell apart (jfly.uni-koeln.de/color); their order in a stack
# keeps neighbours of different lightness.
COLOURS = {
    "input": "#0072b2",
    "cached": "#56b4e9",
    "written": "#e69f00",
    "thinking": "#cc79a7",
    "output": "#009e73",
    "searches": "#666666",
}
NAMES = {"cached": "cache read", "written": "cache write", "searches": "web searches"}
BACKGROUND, INK, FAINT, GRID, GAP = "#f5f5f2", "#22272b", "#5c6369", "#d9d9d4", "#c8cac6"
AREA = "#dbe5ea"
EDGE_SHADES = 12
UNKNOWN = "n/a"


@dataclass(frozen=True)
class Bar:
    """What one cell cost, in USD by kind (of `pricing.KINDS`); `None` where no price is known.

    `tokens` are by kind, too; searches are counted there as what they are. `label` is the cell's number.
    `at_least` marks a lower bound: a reply broke off.
    """

    label: str
    dollars: Mapping[str, Decimal] | None
    tokens: Mapping[str, int]
    at_least: bool = False

    @property
    def total(self) -> Decimal | None:
        """All kinds together, in USD."""
        return None if self.dollars is None else sum(self.dollars.values(), Decimal(0))


def bundle(title: str, bars: Sequence[Bar]) -> tuple[dict[str, str], dict[str, Any]]:
    """The picture as an output: its data, with a text alternative, and the metadata that gives its width."""
    with localcontext(EXACT):  # whatever precision the notebook has set
        picture = base64.b64encode(_png(title, bars)).decode("ascii")
        return {"image/png": picture, "text/plain": _text(title, bars)}, {"image/png": {"width": WIDTH_PIXELS}}


def _text(title: str, bars: Sequence[Bar]) -> str:
    """The same in characters: a line a cell, or for several cells where there are many; then a line a kind."""
    shown = _shared(bars, MAX_TEXT_BARS)
    highest = max((bar.total or Decimal(0) for bar in shown), default=Decimal(0))
    rows = [(bar.label, pricing.dollars(bar.total), _blocks(bar.total, highest)) for bar in shown]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{label:<{widths[0]}}  {cost:>{widths[1]}}  {blocks}".rstrip() for label, cost, blocks in rows]
    kinds = (f"{NAMES.get(kind, kind)}: {said}" for kind, said in _by_kind(bars))
    return "\n".join([title, *lines, _sum_title(bars), f"By kind{_gap_note(bars)}", *kinds])


def _blocks(amount: Decimal | None, highest: Decimal) -> str:
    if amount is None:
        return "(price unknown)"
    return "█" * int((amount / highest * TEXT_BAR_CHARACTERS).to_integral_value()) if highest else ""


def _shared(bars: Sequence[Bar], most: int) -> list[Bar]:
    """At most so many bars: neighbours that share one are added up, and one with an unknown part is unknown."""
    each = -(-len(bars) // most)
    return list(bars) if each <= 1 else [_together(bars[at : at + each]) for at in range(0, len(bars), each)]


def _together(bars: Sequence[Bar]) -> Bar:
    known = [bar.dollars for bar in bars if bar.dollars is not None]
    dollars = {kind: sum((each[kind] for each in known), Decimal(0)) for kind in KINDS}
    label = bars[0].label if len(bars) == 1 else f"{bars[0].label}–{bars[-1].label}"
    tokens = {kind: sum(bar.tokens.get(kind, 0) for bar in bars) for kind in KINDS}
    at_least = any(bar.at_least for bar in bars)
    return Bar(label, dollars if len(known) == len(bars) else None, tokens, at_least)


def _by_kind(bars: Sequence[Bar]) -> Iterator[tuple[str, str]]:
    """Each kind that there is, with its tokens and dollars in words."""
    for kind, amount in _known_dollars(bars).items():
        count = sum(bar.tokens.get(kind, 0) for bar in bars if bar.dollars is not None)
        if count:
            unit = "" if kind == "searches" else " token" if count == 1 else " tokens"
            yield kind, f"{pricing.dollars(amount)} for {count:,}{unit}"


def _known_dollars(bars: Sequence[Bar]) -> dict[str, Decimal]:
    """What is known to have been spent, in USD by kind."""
    return {kind: sum((each[kind] for each in _known(bars)), Decimal(0)) for kind in KINDS}


def _known(bars: Iterable[Bar]) -> list[Mapping[str, Decimal]]:
    return [bar.dollars for bar in bars if bar.dollars is not None]


def _png(title: str, bars: Sequence[Bar]) -> bytes:
    """The picture: the cells' bars, stacked by kind; their running sum; a line a kind, which is the legend."""
    from PIL import Image

    kinds = list(_by_kind(bars))
    height = (
        2 * MARGIN_PIXELS + 3 * TITLE_PIXELS + BARS_PIXELS + SUM_PIXELS + 2 * PANEL_GAP_PIXELS + ROW_PIXELS * len(kinds)
    )
    image = Image.new("RGB", (WIDTH_PIXELS * SCALE, height * SCALE), BACKGROUND)
    canvas, shown = _Canvas(image), _shared(bars, MAX_BARS)
    y = MARGIN_PIXELS
    for name, tall, draw in ((title, BARS_PIXELS, _draw_bars), (_sum_title(bars), SUM_PIXELS, _draw_sums)):
        canvas.write((MARGIN_PIXELS, y), name)
        y += TITLE_PIXELS
        draw(canvas, _Plot(y, tall, len(shown)), shown)
        y += tall + PANEL_GAP_PIXELS
    canvas.write((MARGIN_PIXELS, y), f"By kind{_gap_note(bars)}")
    _draw_kinds(canvas, y + TITLE_PIXELS, kinds, _known_dollars(bars))
    file = io.BytesIO()
    image.quantize(palette=_palette(), dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


def _palette() -> Image:
    """All colours exactly, and for the edges of letters those between ink and what it is on. A palette makes the
    picture a third of the size."""
    from PIL import Image, ImageColor

    solid = [ImageColor.getrgb(colour)[:3] for colour in (*COLOURS.values(), BACKGROUND, INK, FAINT, GRID, GAP, AREA)]
    on, ink, faint, gap = (ImageColor.getrgb(colour) for colour in (BACKGROUND, INK, FAINT, GAP))
    edges = [
        tuple(round(a + (b - a) * part / EDGE_SHADES) for a, b in zip(*pair, strict=True))
        for pair in ((on, ink), (on, faint), (gap, ink))
        for part in range(1, EDGE_SHADES)
    ]
    palette = Image.new("P", (1, 1))
    palette.putpalette([level for colour in (*solid, *edges) for level in colour])
    return palette


def _sum_title(bars: Sequence[Bar]) -> str:
    total = sum(_known_dollars(bars).values(), Decimal(0))
    return f"Running sum: {pricing.dollars(total, any(bar.at_least or bar.dollars is None for bar in bars))}"


def _gap_note(bars: Sequence[Bar]) -> str:
    unknown = len(bars) - len(_known(bars))
    return f" · price unknown: {unknown:,} of {len(bars):,} cells, grey, in no sum" if unknown else ""


class _Canvas:
    """A picture to draw on, in CSS pixels."""

    def __init__(self, image: Image) -> None:
        from PIL import ImageDraw, ImageFont

        self._draw = ImageDraw.Draw(image)
        self._font = ImageFont.load_default(FONT_PIXELS * SCALE)

    def fill(self, box: Box, colour: str) -> None:
        """A rectangle of at least a pixel of the picture each way; nothing, where it has no height or width."""
        left, top, right, bottom = (round(each * SCALE) for each in box)
        if box[2] > box[0] and box[3] > box[1]:
            self._draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=colour)

    def line(self, points: Sequence[Point], colour: str, width: float = 1) -> None:
        """A line from point to point."""
        scaled = [(round(x * SCALE), round(y * SCALE)) for x, y in points]
        self._draw.line(scaled, fill=colour, width=round(width * SCALE))

    def write(self, at: Point, words: str, colour: str = INK, anchor: str = "la") -> None:
        """Text; `anchor` is Pillow's: which point of it is at `at`. What Pillow's own font lacks is written out."""
        plain = words.replace("≥", "at least ").replace("–", "-")
        self._draw.text((at[0] * SCALE, at[1] * SCALE), plain, fill=colour, font=self._font, anchor=anchor)

    def width(self, words: str) -> float:
        """How wide a text is."""
        return float(self._font.getlength(words)) / SCALE


@dataclass(frozen=True)
class _Plot:
    """Where bars stand: `top` and `height` of the plot, and how many bars share its width."""

    top: float
    height: float
    count: int

    left = MARGIN_PIXELS + AXIS_PIXELS
    right = WIDTH_PIXELS - MARGIN_PIXELS

    @property
    def bottom(self) -> float:
        """Where zero is."""
        return self.top + self.height

    def slot(self, at: int) -> tuple[float, float]:
        """From where to where one bar's share of the width goes."""
        width = (self.right - self.left) / max(self.count, 1)
        return self.left + at * width, self.left + (at + 1) * width

    def y(self, amount: Decimal, highest: Decimal) -> float:
        """How high an amount stands."""
        return self.bottom - float(amount / highest) * self.height


def _draw_bars(canvas: _Canvas, plot: _Plot, bars: Sequence[Bar]) -> None:
    highest = _draw_axis(canvas, plot, max((bar.total or Decimal(0) for bar in bars), default=Decimal(0)))
    for at, bar in enumerate(bars):
        start, end = plot.slot(at)
        width = min(MAX_BAR_PIXELS, (end - start) * (0.75 if end - start > 4 else 1))
        left, right = (start + end - width) / 2, (start + end + width) / 2
        if bar.dollars is None:
            canvas.fill((left, plot.top, right, plot.bottom), GAP)
            if width > canvas.width(UNKNOWN):
                canvas.write(((left + right) / 2, plot.bottom - 4), UNKNOWN, anchor="md")
            continue
        below = Decimal(0)
        for kind in KINDS:
            top, bottom = plot.y(below + bar.dollars[kind], highest), plot.y(below, highest)
            canvas.fill((left, top, right, bottom), COLOURS[kind])
            below += bar.dollars[kind]
    _draw_labels(canvas, plot, bars)


def _draw_sums(canvas: _Canvas, plot: _Plot, bars: Sequence[Bar]) -> None:
    """The running sum as steps; behind a gap it is the sum of what is known, and pale."""
    highest = _draw_axis(canvas, plot, sum(_known_dollars(bars).values(), Decimal(0)))
    running, colour, edge = Decimal(0), INK, plot.bottom
    for at, bar in enumerate(bars):
        start, end = plot.slot(at)
        if bar.total is None:
            colour = FAINT
            canvas.fill((start, plot.top, end, plot.bottom), GAP)
            continue
        running += bar.total
        y = plot.y(running, highest)
        canvas.fill((start, y, end, plot.bottom), AREA)
        canvas.line([(start, edge), (start, y), (end, y)], colour, width=1.5)
        edge = y


def _draw_axis(canvas: _Canvas, plot: _Plot, most: Decimal) -> Decimal:
    """Lines across at round amounts, with their dollars. Returns the amount at the top."""
    step = _step(most)
    count = max(1, int((most / step).to_integral_value(ROUND_CEILING)))
    for number in range(count + 1):
        y = plot.y(step * number, step * count)
        canvas.line([(plot.left, y), (plot.right, y)], GRID if number else FAINT)
        canvas.write((plot.left - 6, y), _tick(step * number, step), FAINT, "rm")
    return step * count


def _tick(amount: Decimal, step: Decimal) -> str:
    """Round dollars, as short as steps of this size allow."""
    if step >= 1_000:
        return f"${amount / 1_000:,.0f}k"
    places = max(2, -step.adjusted()) if step < 1 else 0
    return f"${amount:,.{places}f}"


def _step(most: Decimal) -> Decimal:
    """A round amount, 1, 2 or 5 of some power of ten, that goes into the most four times or less often."""
    if not most:
        return Decimal("0.01")
    power = Decimal(1).scaleb((most / 4).adjusted())
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * 4 >= most)


def _draw_labels(canvas: _Canvas, plot: _Plot, bars: Sequence[Bar]) -> None:
    """The cells' numbers below their bars: as many as have room."""
    start, end = plot.slot(0)
    widest = max((canvas.width(bar.label) for bar in bars), default=0) + 10
    every = max(1, -int(-widest // (end - start)))
    for at in range(0, len(bars), every):
        start, end = plot.slot(at)
        canvas.write(((start + end) / 2, plot.bottom + 4), bars[at].label, FAINT, "ma")


def _draw_kinds(canvas: _Canvas, top: float, kinds: Iterable[tuple[str, str]], amounts: Mapping[str, Decimal]) -> None:
    most = max(amounts.values(), default=Decimal(0))
    for number, (kind, said) in enumerate(kinds):
        y = top + number * ROW_PIXELS
        canvas.write((MARGIN_PIXELS, y), NAMES.get(kind, kind))
        end = KIND_PIXELS + (float(amounts[kind] / most) * KIND_BAR_PIXELS if most else 0)
        canvas.fill((KIND_PIXELS, y + 1, max(end, KIND_PIXELS + 3), y + 13), COLOURS[kind])
        canvas.write((max(end, KIND_PIXELS + 3) + 8, y), said, FAINT)
