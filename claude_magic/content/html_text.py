"""HTML → the text that a reader sees: table rows as lines, no scripts, no styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser

# Far more than is kept of it as text.
MAX_HTML_CHARACTERS = 200_000
_UNSEEN = {"script", "style", "template", "noscript", "head", "title", "svg", "select"}
_BREAKS = {
    *("address", "article", "aside", "blockquote", "br", "caption", "dd", "details", "div", "dl", "dt", "figcaption"),
    *("figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p"),
    *("pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
}
_CELLS = {"td", "th"}


class _Reader(HTMLParser):
    """Gathers the text; what stands in tags that are not seen is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.unseen: list[str] = []
        self.exact = 0  # how many <pre> are open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self.unseen.append(tag)
        elif tag == "pre":
            self.exact += 1
        elif tag == "img" and not self.unseen:
            self.pieces.append(f"[image: {dict(attrs).get('alt') or 'without a description'}]")
        if tag in _BREAKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.unseen:
            del self.unseen[self.unseen.index(tag) :]
        elif tag == "pre":
            self.exact = max(0, self.exact - 1)
        if tag in _BREAKS:
            self.pieces.append("\n")
        elif tag in _CELLS:
            self.pieces.append("\t")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.pieces.append(data if self.exact else re.sub(r"\s+", " ", data))


def as_text(html: str) -> str:
    """The text of a piece of HTML, of which only the first `MAX_HTML_CHARACTERS` are read."""
    reader = _Reader()
    reader.feed(html[:MAX_HTML_CHARACTERS])
    reader.close()
    lines = "".join(reader.pieces).split("\n")
    cells = ([cell.strip() for cell in line.split("\t")] for line in lines)
    rows = (" | ".join(row).rstrip(" |") for row in cells)
    return "\n".join(row for row in rows if row)
