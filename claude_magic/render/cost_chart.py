"""The cost chart as HTML and as text: a bar for each cell with its cost and the running sum, and sums by token kind.

The HTML has inline styles and no text colours, so that it works in light and dark themes and in untrusted notebooks
(RENDERING.md §3). An unknown price is a gap, never a zero.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from ..content.text import plural
from ..cost import pricing
from ..cost.pricing import EXACT, KINDS
from .text import BOX, Bundle, printable

# If there are more cells, neighbouring cells share a bar.
MAX_BARS = 100
MAX_TEXT_BARS = 40
TEXT_BAR_CHARACTERS = 30

# The palette of Okabe and Ito, which is safe for colour-blind readers (jfly.uni-koeln.de/color), ordered so that
# neighbours in a stack differ in lightness.
COLOURS = {
    "input": "#0072b2",
    "cached": "#56b4e9",
    "written": "#e69f00",
    "thinking": "#cc79a7",
    "output": "#009e73",
    "searches": "#666666",
}
NAMES = {"cached": "cache read", "written": "cache write", "searches": "web searches"}
# Column heading → percent of the width, alignment.
COLUMNS = {"cell": (32, "left"), "cost by kind": (36, "left"), "cost": (16, "right"), "running sum": (16, "right")}
_TABLE = "table-layout: fixed; width: 100%; max-width: 60em"
_NAME = "text-align: left; font-weight: normal; overflow-wrap: break-word"
_GAP = '<div style="background: rgba(128, 128, 128, 0.3); padding: 0 0.4em; text-align: left">price unknown</div>'


@dataclass(frozen=True)
class Bar:
    """The cost of one cell in USD by kind (of `pricing.KINDS`); None if no price is known.

    `tokens` are counts by the same kinds; for `searches`, of searches. `label` is the cell's number or a description.
    `at_least` marks a lower bound, when a reply broke off.
    """

    label: str
    dollars: Mapping[str, Decimal] | None
    tokens: Mapping[str, int]
    at_least: bool = False

    @property
    def total(self) -> Decimal | None:
        """All kinds together, in USD."""
        return None if self.dollars is None else sum(self.dollars.values(), Decimal(0))


def bundle(title: str, bars: Sequence[Bar]) -> Bundle:
    """The chart as HTML and text; the order of the bars is that of the running sum."""
    safe = [replace(bar, label=printable(bar.label).replace("\n", " ")) for bar in bars]
    with localcontext(EXACT):  # whatever precision the notebook has set
        return {"text/html": _html(title, safe), "text/plain": _text(title, safe)}


def _text(title: str, bars: Sequence[Bar]) -> str:
    """The chart as text: a line for each cell (or group of cells), then a line for each token kind."""
    shown = _merged_bars(bars, MAX_TEXT_BARS)
    highest = _highest(shown)
    rows = [(bar.label, pricing.dollars(bar.total), _blocks(bar.total, highest)) for bar in shown]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{label:<{widths[0]}}  {cost:>{widths[1]}}  {blocks}".rstrip() for label, cost, blocks in rows]
    kinds = (f"{NAMES.get(kind, kind)}: {amount}" for kind, amount in _by_kind(bars))
    return "\n".join([title, *lines, _sum_title(bars), f"By kind{_gap_note(bars)}", *kinds])


def _blocks(amount: Decimal | None, highest: Decimal) -> str:
    if amount is None:
        return "(price unknown)"
    return "█" * int((amount / highest * TEXT_BAR_CHARACTERS).to_integral_value()) if highest else ""


def _highest(bars: Iterable[Bar]) -> Decimal:
    return max((bar.total or Decimal(0) for bar in bars), default=Decimal(0))


def _merged_bars(bars: Sequence[Bar], most: int) -> list[Bar]:
    """At most `most` bars: neighbours are added up; a sum with an unknown price in it is unknown."""
    return [_sum_of_bars(group) for group in _groups(bars, most)]


def _groups(bars: Sequence[Bar], most: int) -> list[Sequence[Bar]]:
    """Bars in at most `most` groups of neighbours."""
    each = max(1, -(-len(bars) // most))
    return [bars[at : at + each] for at in range(0, len(bars), each)]


def _sum_of_bars(bars: Sequence[Bar]) -> Bar:
    known = [bar.dollars for bar in bars if bar.dollars is not None]
    dollars = {kind: sum((each[kind] for each in known), Decimal(0)) for kind in KINDS}
    label = bars[0].label if len(bars) == 1 else f"{bars[0].label}–{bars[-1].label}"
    tokens = {kind: sum(bar.tokens.get(kind, 0) for bar in bars) for kind in KINDS}
    at_least = any(bar.at_least for bar in bars)
    return Bar(label, dollars if len(known) == len(bars) else None, tokens, at_least)


def _by_kind(bars: Sequence[Bar]) -> Iterator[tuple[str, str]]:
    """Each token kind in use, with its cost and count as text."""
    for kind, amount in _known_dollars(bars).items():
        count = sum(bar.tokens.get(kind, 0) for bar in bars if bar.dollars is not None)
        if count:
            counted = f"{count:,}" if kind == "searches" else plural(count, "token")
            yield kind, f"{pricing.dollars(amount)} for {counted}"


def _known_dollars(bars: Sequence[Bar]) -> dict[str, Decimal]:
    """The sum of all known costs, in USD by kind."""
    return {kind: sum((each[kind] for each in _known(bars)), Decimal(0)) for kind in KINDS}


def _known(bars: Iterable[Bar]) -> list[Mapping[str, Decimal]]:
    return [bar.dollars for bar in bars if bar.dollars is not None]


def _html(title: str, bars: Sequence[Bar]) -> str:
    """The chart as an HTML table: a row for each cell (or group of cells) with its cost and the running sum, then a row
    for each token kind, which is the legend."""
    heads = "".join(
        f'<th scope="col" style="width: {share}%; text-align: {side}">{name}</th>'
        for name, (share, side) in COLUMNS.items()
    )
    amounts = _known_dollars(bars)
    most = max(amounts.values())
    kinds = "".join(
        _row(NAMES.get(kind, kind), _stack({kind: amounts[kind]}, most), amount) for kind, amount in _by_kind(bars)
    )
    by_kind = f'<th scope="colgroup" colspan="{len(COLUMNS)}" style="text-align: left">By kind{_gap_note(bars)}</th>'
    return (
        f'{BOX}<table style="{_TABLE}">'
        f'<caption style="text-align: left">{html.escape(title)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(_rows(bars))}</tbody><tbody><tr>{by_kind}</tr>{kinds}</tbody></table></div>"
    )


def _rows(bars: Sequence[Bar]) -> Iterator[str]:
    """A row for each bar, with its cost and the running sum of known costs."""
    shown = _merged_bars(bars, MAX_BARS)
    highest, running, at_least = _highest(shown), Decimal(0), False
    for bar, group in zip(shown, _groups(bars, MAX_BARS), strict=True):
        running += sum(each.total or 0 for each in group)
        at_least |= bar.at_least or bar.total is None
        drawn = _GAP if bar.dollars is None else _stack(bar.dollars, highest)
        yield _row(bar.label, drawn, pricing.dollars(bar.total, bar.at_least), pricing.dollars(running, at_least))


def _row(name: str, drawn: str, *figures: str) -> str:
    """A table row: a name, its bar, and figures that share the remaining columns."""
    span = f' colspan="{(len(COLUMNS) - 2) // len(figures)}"'
    cells = "".join(f'<td{span} style="text-align: right">{figure}</td>' for figure in figures)
    return f'<tr><th scope="row" style="{_NAME}">{html.escape(name)}</th><td>{drawn}</td>{cells}</tr>'


def _stack(dollars: Mapping[str, Decimal], highest: Decimal) -> str:
    """A stacked bar of amounts by kind; each that is not zero is at least 2 pixels wide."""
    parts = "".join(
        f'<div style="width: {amount / highest * 100:.2f}%; min-width: 2px; background: {COLOURS[kind]}"></div>'
        for kind, amount in dollars.items()
        if amount
    )
    return f'<div style="display: flex; height: 0.9em">{parts}</div>'


def _sum_title(bars: Sequence[Bar]) -> str:
    total = sum(_known_dollars(bars).values(), Decimal(0))
    return f"Running sum: {pricing.dollars(total, any(bar.at_least or bar.dollars is None for bar in bars))}"


def _gap_note(bars: Sequence[Bar]) -> str:
    unknown = len(bars) - len(_known(bars))
    return f" · price unknown: {unknown:,} of {len(bars):,} cells, grey, in no sum" if unknown else ""
