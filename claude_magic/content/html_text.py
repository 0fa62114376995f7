"""HTML → its visible text: each table row on a line, without scripts and styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# Only so many characters of HTML are read: far more than is kept of its text.
MAX_HTML_CHARACTERS = 200_000
_HIDDEN = {"script", "style", "template", "noscript", "head", "title", "svg", "select"}
_BREAKS = {
    *("address", "article", "aside", "blockquote", "br", "caption", "dd", "details", "div", "dl", "dt", "figcaption"),
    *("figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p"),
    *("pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
}
_CELLS = {"td", "th"}


class _Reader(HTMLParser):
    """A parser that collects the visible text in `pieces`."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.hidden: list[str] = []
        self.open_pres = 0  # the number of open <pre>, whose white space is kept

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self.hidden.append(tag)
        elif tag == "pre":
            self.open_pres += 1
        elif tag == "img" and not self.hidden:
            self.pieces.append(f"[image: {dict(attrs).get('alt') or 'without a description'}]")
        if tag in _BREAKS:
            self.pieces.append("\n")
        elif tag in _CELLS and "".join(self.pieces[-3:]).rstrip(" ")[-1:] not in ("", "\n", "\t"):
            self.pieces.append("\t")  # the cell before is not closed, as HTML allows

    def handle_endtag(self, tag: str) -> None:
        if tag in self.hidden:
            del self.hidden[self.hidden.index(tag) :]
        elif tag == "pre":
            self.open_pres = max(0, self.open_pres - 1)
        if tag in _BREAKS:
            self.pieces.append("\n")
        elif tag in _CELLS:
            self.pieces.append("\t")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data if self.open_pres else re.sub(r"\s+", " ", data))


def as_text(html: str) -> str:
    """The visible text of HTML; only its first `MAX_HTML_CHARACTERS` are read."""
    reader = _Reader()
    reader.feed(html[:MAX_HTML_CHARACTERS])
    reader.close()
    lines = "".join(reader.pieces).split("\n")
    cells = ([cell.strip() for cell in line.split("\t")] for line in lines)
    rows = (" | ".join(row).rstrip(" |") for row in cells)
    return "\n".join(row for row in rows if row)
