"""The gate in front of the browser: the HTML that may come out, as lists for the sanitizer (nh3).

A live cell's output is not sanitized by JupyterLab: what stands in it runs. So all HTML made of Claude's words, or of a
stranger's notebook, goes through `clean`, and this is the one place that decides what is let through. Styles and
classes are let through by their whole value, and no other module spells one.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import nh3

# JupyterLab 4.6 and nbconvert typeset what stands between dollar signs, but not in elements of these classes
# (RENDERING.md §3), and again in elements of those.
NO_FORMULAS = "tex2jax_ignore mathjax_ignore"
FORMULA = "tex2jax_process mathjax_process"
OURS = f"claude-magic {NO_FORMULAS}"  # by which the front end knows what it may put buttons on
# What a code block may say of its language, to the front end; code in any other is `text`.
LANGUAGES = {
    *("bash", "c", "c++", "cpp", "css", "diff", "docker", "dockerfile", "go", "html", "ipython", "java", "javascript"),
    *("js", "json", "jsx", "julia", "kotlin", "latex", "lua", "make", "makefile", "markdown", "md", "mermaid", "perl"),
    *("php", "py", "python", "python3", "r", "ruby", "rust", "scala", "sh", "shell", "sql", "svg", "swift", "tex"),
    *("text", "toml", "ts", "tsx", "typescript", "xml", "yaml", "yml", "zsh"),
}


def language(name: str) -> str:
    """The class of code in a language: the name that CommonMark gives it, or `language-text`."""
    return f"language-{name.lower() if name.lower() in LANGUAGES else 'text'}"


_TABLE_CELL = {f"text-align:{side}" for side in ("left", "center", "right")}
CODE = "overflow-x: auto"
CODE_BLOCK = f"{CODE}; margin: 1.5em 2em"  # as JupyterLab sets code of Markdown that is not in a list or quote
CODE_LINES = "white-space: pre; word-break: normal; overflow-wrap: normal"  # JupyterLab breaks lines in `code`
PROSE_FOLD = "white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.3em 0 0.6em 1em"
CODE_FOLD = f"{PROSE_FOLD}; word-break: normal; font-family: monospace"
CALL_FOLD = "margin-bottom: 1em"  # as a paragraph of JupyterLab's: text goes on below it
ONE_LINE = "white-space: nowrap"
HEADER = "font-size: 0.85em; line-height: 1.5"
QUIET = "opacity: 0.75"
COLUMNS = "display: flex; flex-wrap: wrap; gap: 0.8em; align-items: flex-start; line-height: 1.5"
COLUMN = (
    "flex: 1 1 16em; min-width: 0; max-width: 100%; box-sizing: border-box; "
    "border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 4px; padding: 0.5em 0.8em; text-align: left"
)
COLUMN_FIGURES = "font-size: 0.85em; opacity: 0.85; margin-bottom: 0.5em"
REPLY = "overflow-x: auto; overflow-wrap: break-word"
PLAIN_REPLY = "white-space: pre-wrap; overflow-wrap: anywhere"
# A colour of the theme's own editor, by name, and one for a page that has no such theme.
COLOURS = {
    "keyword": "#1a7f37",
    "number": "#1a8a5f",
    "def": "#3f6fd8",
    "builtin": "#1a7f37",
    "operator": "#a83fd0",
    "comment": "#5f8a8a",
    "string": "#c0473c",
    "meta": "#a83fd0",
    "property": "#3a6fa8",
    "tag": "#1a7f37",
    "attribute": "#4059c8",
    "header": "#3f6fd8",
}
_EMPHASIS = {"keyword": ";font-weight:bold", "operator": ";font-weight:bold", "comment": ";font-style:italic"}


def colour(name: str) -> str:
    """The style of code in one of `COLOURS`."""
    return f"color:var(--jp-mirror-editor-{name}-color,{COLOURS[name]}){_EMPHASIS.get(name, '')}"


_TAGS = {
    *("a", "blockquote", "br", "code", "del", "details", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li"),
    *("ol", "p", "pre", "s", "span", "strong", "summary", "sup", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "sup": {"title"}, "ol": {"start"}, "details": {"open"}}
_BOXES = {HEADER, QUIET, COLUMNS, COLUMN, COLUMN_FIGURES, REPLY, PLAIN_REPLY, PROSE_FOLD, CODE_FOLD}
_VALUES = {
    "div": {"style": _BOXES, "class": {NO_FORMULAS, FORMULA, OURS}},
    "span": {"style": {ONE_LINE, *map(colour, COLOURS)}, "class": {FORMULA}},
    "details": {"style": {CALL_FOLD}},
    "strong": {"style": {ONE_LINE}},
    "pre": {"style": {CODE, CODE_BLOCK}},
    "code": {"style": {CODE_LINES}, "class": {*map(language, LANGUAGES)}},
    "th": {"style": _TABLE_CELL},
    "td": {"style": _TABLE_CELL},
}
_SCHEMES = {"http", "https", "mailto"}
_ADDRESS = re.compile(r"(?:https?://[^\s/?#]|mailto:[^\s@]+@)", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether a text has the start of an address that a link may lead to: that of a web page, or of mail."""
    return bool(_ADDRESS.match(text))


def clean(markup: str) -> str:
    """HTML with nothing in it but what the lists of this module let through; text is kept."""
    return _cleaner().clean(markup)


@functools.cache
def _cleaner() -> nh3.Cleaner:
    import nh3  # imported with the first reply, to keep `%load_ext` fast

    return nh3.Cleaner(
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        tag_attribute_values=_VALUES,
        url_schemes=_SCHEMES,
        url_relative="deny",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
