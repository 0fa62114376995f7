"""Tokens of Markdown → HTML, by markdown-it's renderer; `renderer.py` puts it through the gate.

Imports markdown-it: nothing that is loaded before the first reply imports this module.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from markdown_it.common.normalize_url import normalizeLink
from markdown_it.renderer import RendererHTML

from ...content.text import join_line
from . import gate
from .highlighting import highlighted
from .parser import cleaned, is_closed, without_references

if TYPE_CHECKING:
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

    from .parser import Cited


def _escaped(text: str) -> str:
    """Text as HTML. It is cleaned once more, since it may come from decoded character references."""
    return html.escape(without_references(cleaned(text)), quote=False)


# GFM's extended autolinks.
_BARE_ADDRESS = re.compile(
    r"(?P<url>(?:https?://|www\.)[A-Za-z0-9\-][^\s<]*)"
    r"|(?P<email>[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){1,8}(?![-_]))",
    re.IGNORECASE,
)
_TRAILING = "?!.,:;*_'\"~"


def _trimmed(url: str) -> str:
    """An address without the punctuation at its end, which belongs to the sentence."""
    closing = url.count(")") - url.count("(")
    end = len(url)
    while end and (url[end - 1] in _TRAILING or (url[end - 1] == ")" and closing > 0)):
        closing -= url[end - 1] == ")"
        end -= 1
    return url[:end]


def _with_links(text: str) -> str:
    """Prose as HTML, with its bare addresses as links."""
    pieces, position = [], 0
    for match in _BARE_ADDRESS.finditer(text):
        shown = _trimmed(match[0])
        scheme = "mailto:" if match["email"] else "http://" if shown[:4].lower() == "www." else ""
        if len(shown) > 4:
            pieces += [_escaped(text[position : match.start()]), _link(scheme + shown, shown)]
            position = match.start() + len(shown)
    return "".join(pieces) + _escaped(text[position:])


def _link(address: str, shown: str) -> str:
    if not gate.is_address(address):
        return _escaped(shown)
    return f'<a href="{html.escape(normalizeLink(address))}">{_escaped(shown)}</a>'


class Renderer(RendererHTML):
    """Markdown-it's HTML renderer, with coloured code, formulas for the page to typeset, and links for images."""

    def text(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        shown = tokens[at].content
        return _escaped(shown) if env.get("in_link") else _with_links(shown)

    def link_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        env["in_link"] = gate.is_address(str(tokens[at].attrs.get("href", "")))
        return self.renderToken(tokens, at, options, env) if env["in_link"] else ""

    def link_close(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return "</a>" if env.pop("in_link", False) else ""

    def fence(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        token = tokens[at]
        language = (token.info.split() or [""])[0]
        return _code(token, highlighted(without_references(token.content), language * is_closed(token)), language)

    def code_block(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _code(tokens[at], _escaped(tokens[at].content))

    def code_inline(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return f"<code>{_escaped(tokens[at].content)}</code>"

    def math(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        written, source = tokens[at].meta["math"].written, _escaped(tokens[at].content)
        shown = source if written is None else _escaped(written)
        return shown if written is None else f'<span class="{gate.FORMULA}">{shown}</span>'

    def math_block(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return f"<p>{self.math(tokens, at, options, env)}</p>\n"

    def reference(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        number = int(tokens[at].content)
        return _reference(number, env["cited"][number - 1]) if 0 < number <= len(env["cited"]) else ""

    def footnote(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return f"<sup>[{_escaped(tokens[at].content)}]</sup>"

    def image(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        alt = join_line("".join(child.content for child in tokens[at].children or []))
        shown = f"image: {alt}" if alt else "image"
        address = str(tokens[at].attrs.get("src", ""))
        return _escaped(shown) if env.get("in_link") else _link(address, shown)

    def td_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _cell(tokens[at], "left")  # JupyterLab aligns the cells of HTML to the right

    def th_open(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
        return _cell(tokens[at], "center")


def _cell(token: Token, side: str) -> str:
    style = token.attrs.get("style") or f"text-align:{side}"
    return f'<{token.tag} style="{style}">'


def _code(token: Token, markup: str, language: str = "") -> str:
    style = gate.CODE if token.level else gate.CODE_BLOCK
    named = f' class="{gate.language(language)}"' if language else ""
    return f'<pre style="{style}"><code style="{gate.CODE_LINES}"{named}>{markup}</code></pre>\n'


@functools.cache
def renderer() -> Renderer:
    """The one renderer: it keeps nothing between calls."""
    return Renderer()


def _reference(number: int, source: Cited) -> str:
    """A superscript `[1]` with a tooltip, linked if the source has the address of a web page."""
    title = _escaped(join_line(": ".join(part for part in (source.title, source.quote) if part))).replace('"', "&quot;")
    mark = f"[{number}]"
    shown = _link(source.url, mark) if source.url[:4].lower() == "http" else mark
    return f'<sup title="{title}">{shown}</sup>'
