"""What a browser makes of HTML, by html5lib, which parses as browsers do; and what of it must not be there.

The lists are spelled here once more: a test that took them from the gate would pass whatever the gate lets through.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import html5lib
from markdown_it import MarkdownIt

_ELEMENTS = {
    *("a", "blockquote", "br", "code", "del", "details", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li"),
    *("ol", "p", "pre", "s", "span", "strong", "summary", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_COLOUR = (
    r"color:var\(--jp-mirror-editor-[a-z]+-color,#[0-9a-f]{6}\)(;font-weight:bold|;font-style:italic)?"
    r"|white-space: nowrap"
)
_LENGTH = r"(-?[\d.]+(em|px|%)?( |$))+"
_STYLES = {
    "white-space": "pre|pre-wrap|nowrap",
    "overflow-x": "auto",
    "overflow-wrap": "anywhere|normal|break-word",
    "word-break": "normal",
    "font-family": "monospace",
    "font-size": _LENGTH,
    "line-height": _LENGTH,
    "opacity": _LENGTH,
    "margin": _LENGTH,
    "margin-bottom": _LENGTH,
    "text-align": "left|right|center",
}
_ATTRIBUTES = {
    ("a", "href"): r"https?://[^\s\"<>]+|mailto:[^\s\"<>]+",
    ("a", "rel"): "noopener noreferrer",
    ("a", "target"): "_blank",
    ("a", "title"): r"[\s\S]*",
    ("sup", "title"): r"[\s\S]*",
    ("ol", "start"): r"\d{1,9}",
    ("details", "open"): "",
    ("span", "style"): _COLOUR,
    ("span", "class"): "tex2jax_process mathjax_process",
    ("code", "class"): r"language-[a-z0-9+]{1,12}",
    ("div", "class"): "(claude-magic )?tex2jax_ignore mathjax_ignore",
}
_MACROS = re.compile(
    r"\\(href|class|style|cssId|data|require|unicode|def|let|newcommand|mmlToken|bbox|raise|rule|ref|eqref)(?![a-z])"
    r"|(?i:url) *\("
)


class Seen:
    """HTML as a browser sees it: `wrong` is what must not be there, `shape` its elements, `text` what is read."""

    def __init__(self, markup: str) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = html5lib.HTMLParser(tree=html5lib.getTreeBuilder("etree"), namespaceHTMLElements=False)
            self._root = parser.parseFragment(markup)
        self.errors = [name for _, name, _ in parser.errors if name not in _HARMLESS]

    @cached_property
    def elements(self) -> list[Any]:
        """All elements and comments, in order."""
        return [each for each in self._root.iter() if each is not self._root]

    @property
    def shape(self) -> list[str]:
        """The elements' names, in order."""
        return [str(each.tag) for each in self.elements]

    @property
    def text(self) -> str:
        """The text, its white space joined."""
        return " ".join("".join(self._root.itertext()).split())

    @property
    def links(self) -> list[str]:
        """Where the links lead."""
        return [each.attrib["href"] for each in self.elements if each.tag == "a" and "href" in each.attrib]

    @property
    def formulas(self) -> list[str]:
        """What the page typesets."""
        return ["".join(each.itertext()) for each in self.elements if "tex2jax_process" in each.attrib.get("class", "")]

    @property
    def wrong(self) -> list[str]:
        """What must not be there."""
        return [*self.errors, *self._wrong()]

    def _wrong(self) -> Iterator[str]:
        for each in self.elements:
            if each.tag not in _ELEMENTS:
                yield f"<{each.tag}>"
                continue
            for name, value in each.attrib.items():
                if not _is_allowed(each.tag, name, value):
                    yield f"<{each.tag} {name}={value!r}>"
        for formula in self.formulas:
            if _MACROS.search(formula):
                yield f"formula {formula!r}"
        if re.search("[\x00-\x08\x0b\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", "".join(self._root.itertext())):
            yield "a character that does not show"


# A text at the end of a document, and an attribute's value without need of quotes: nothing that changes the tree.
_HARMLESS = {"expected-doctype-but-got-chars", "expected-doctype-but-got-start-tag", "expected-doctype-but-got-eof"}


def _is_allowed(tag: str, name: str, value: str) -> bool:
    if name == "style" and tag != "span":
        parts = [part.partition(":") for part in value.split(";")]
        return all(re.fullmatch(_STYLES.get(key.strip(), "(?!)"), given.strip()) for key, _, given in parts)
    allowed = _ATTRIBUTES.get((tag, name))
    return allowed is not None and re.fullmatch(allowed, value, re.IGNORECASE) is not None


# --- Markdown as others show it -----------------------------------------------------------------------

PLAIN = _ELEMENTS - {"details", "div", "span", "summary", "sup"}


def as_html(markdown: str) -> str:
    """What CommonMark with tables makes of a text where HTML is let through."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return str(parser.render(markdown))


def active(markdown: str) -> list[str]:
    """The elements in Markdown that no plain Markdown makes, and its links that could run."""
    seen = Seen(as_html(markdown))
    return [tag for tag in seen.shape if tag not in PLAIN] + [
        address for address in seen.links if not address.lower().startswith(("http://", "https://", "mailto:", "#"))
    ]
