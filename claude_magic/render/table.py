"""Tables as HTML and as aligned text."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence, Set

from .text import BOX, Bundle, printable


def table_output(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    groups: Sequence[tuple[str, int]] = (),
    faint: Set[int] = frozenset(),
) -> Bundle:
    """A table as HTML and as aligned text; columns of figures are right-aligned.

    `groups` are titles above the heads, in HTML only, each with the number of columns that it spans. `faint` are the
    indexes of rows, from 0, in a lighter colour.
    """
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    caption = printable(caption)
    return {
        "text/html": _html_table(caption, heads, cells, groups, faint),
        "text/plain": _plain_table(caption, heads, cells),
    }


MAX_LINE_CHARACTERS = 100
_FIGURE = re.compile(r"[≥≈]?\$?[\d,.]+[kM]?(–[\d,.]+)?|n/a|")
_HYPHENATED = re.compile(r"(?=[a-z].{1,40}$)[\w.]+([-–][\w.]+)+")


def _sides(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """The alignment of each column: right for figures, else left."""
    return ["right" if all(_FIGURE.fullmatch(row[each]) for row in rows) else "left" for each in range(columns)]


def _html_table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    groups: Sequence[tuple[str, int]],
    faint: Set[int],
) -> str:
    sides = _sides(rows, len(heads))

    def line(cells: Sequence[str], tag: str, style: str = "") -> str:
        shown = zip(cells, sides, strict=True)
        parts = [f'<{tag} style="{_cell_style(cell, side)}">{html.escape(cell)}</{tag[:2]}>' for cell, side in shown]
        return f"<tr{style}>{''.join(parts)}</tr>"

    body = "".join(line(row, "td", ' style="opacity: 0.6"' if at in faint else "") for at, row in enumerate(rows))
    wrapped = "" if len(caption) > MAX_LINE_CHARACTERS else "; white-space: nowrap"  # even above a narrower table
    title = f'<caption style="text-align: left{wrapped}">{html.escape(caption)}</caption>'
    head = _html_groups(groups) + line(heads, 'th scope="col"')
    return f"{BOX}<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table></div>"


def _cell_style(cell: str, side: str) -> str:
    """The style of a cell; a model's name stays on one line, since browsers break it at its hyphens."""
    return f"text-align: {side}" + ("; white-space: nowrap" if _HYPHENATED.fullmatch(cell) else "")


def _html_groups(groups: Sequence[tuple[str, int]]) -> str:
    titles = [
        f'<th scope="colgroup" colspan="{span}" style="text-align: center">{html.escape(title)}</th>'
        for title, span in groups
    ]
    return f"<tr>{''.join(titles)}</tr>" if groups else ""


def _plain_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    sides = _sides(rows, len(heads))

    def line(cells: Sequence[str]) -> str:
        shown = zip(cells, widths, sides, strict=True)
        return "  ".join(cell.rjust(width) if side == "right" else cell.ljust(width) for cell, width, side in shown)

    lines = [line(heads), "-" * sum(widths, 2 * len(widths) - 2), *map(line, rows)]
    return "\n".join([caption, *(each.rstrip() for each in lines)])
