"""Inert Markdown → sanitized HTML, with syntax highlighting."""

from __future__ import annotations

import functools
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import markdown_syntax

if TYPE_CHECKING:
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict


MAX_HIGHLIGHTED_CHARACTERS = 50_000  # longer code is not highlighted: lexers can be slow
_TAGS = {
    *("a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s"),
    *("span", "strong", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "sup": {"title"}, "code": {"class"}, "span": {"class"}, "ol": {"start"}} | {
    cell: {"style"} for cell in ("td", "th")
}


def rendered(text: str) -> str:
    """Inert Markdown as sanitized HTML."""
    import nh3

    parser = markdown_syntax.parser()
    drawn = _renderer().render(parser.parse(text), parser.options, {})
    return nh3.clean(
        drawn,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        filter_style_properties={"text-align"},
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
    )


@functools.cache
def _renderer() -> Any:
    from markdown_it.renderer import RendererHTML

    class Renderer(RendererHTML):
        """Markdown-it's HTML renderer, with highlighted code, formulas as source text, and no images."""

        def fence(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
            token = tokens[at]
            language = (token.info.split() or [""])[0]
            return f"<pre><code>{_highlighted(token.content, language)}</code></pre>\n"

        def math(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
            return f"<code>{html.escape(tokens[at].content)}</code>"

        def math_block(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
            return f"<pre><code>{html.escape(tokens[at].content)}</code></pre>\n"

        def reference(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
            return tokens[at].content

        def image(self, tokens: Sequence[Token], at: int, options: OptionsDict, env: Any) -> str:
            return html.escape(tokens[at].content)

    return Renderer()


def _highlighted(code: str, language: str) -> str:
    """Code as HTML, highlighted if Pygments knows the language."""
    from pygments import highlight

    lexer = _lexer(language) if language and len(code) <= MAX_HIGHLIGHTED_CHARACTERS else None
    return str(highlight(code, lexer, _formatter())) if lexer else html.escape(code)


@functools.lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    """The Pygments lexer for a language; None if there is none."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None


@functools.cache
def _formatter() -> Any:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(nowrap=True)
