"""Colours of code, by Pygments: those of the page's own theme, so that they are right in light and dark."""

from __future__ import annotations

import functools
import html
import itertools
import re
import time
from collections.abc import Iterable, Iterator
from typing import Any

from . import gate

MAX_HIGHLIGHTED_CHARACTERS = 20_000  # longer code is not coloured
MAX_SECONDS = 0.3
# The languages that are coloured: the lexers of others take seconds for hostile code of a few kilobytes.
_LANGUAGES = {
    *("bash", "c", "c++", "cpp", "css", "diff", "docker", "dockerfile", "go", "html", "ipython", "java", "javascript"),
    *("js", "json", "jsx", "julia", "kotlin", "latex", "lua", "make", "makefile", "perl", "php", "py", "python"),
    *("python3", "r", "ruby", "rust", "scala", "sh", "shell", "sql", "swift", "tex", "toml", "ts", "tsx", "typescript"),
    *("xml", "yaml", "yml", "zsh"),
}
_KEYED = {"json", "yaml", "yml", "toml"}  # whose tags, to Pygments, are the names of values
# White space on which lexers that are quick otherwise take quadratic time.
_SLOW = re.compile(r"(?:[ \t]*\n){100}|[ \t]{400}")
# Pygments' token types, with all below them, by the colour in JupyterLab's editor (codemirror/src/theme.ts).
_COLOURS = {
    "Comment.Preproc": "meta",
    "Comment": "comment",
    "Keyword": "keyword",
    "Operator.Word": "keyword",
    "Operator": "operator",
    "Literal.String": "string",
    "Literal.Number": "number",
    "Name.Function": "def",
    "Name.Class": "def",
    "Name.Builtin.Pseudo": "",
    "Name.Builtin": "builtin",
    "Name.Decorator": "meta",
    "Name.Tag": "tag",
    "Name.Attribute": "attribute",
    "Generic.Heading": "header",
    "Generic.Subheading": "header",
    "Generic.Deleted": "string",
    "Generic.Inserted": "keyword",
    "Generic.Prompt": "meta",
}


def highlighted(code: str, language: str) -> str:
    """Code as HTML, coloured if Pygments knows the language: one `<span>` for each run of a colour."""
    plain = html.escape(code, quote=False)
    if language.lower() not in _LANGUAGES or len(code) > MAX_HIGHLIGHTED_CHARACTERS or _SLOW.search(code):
        return plain
    tokens = _tokens(code, _lexer(language.lower()))
    if "".join(text for _, text in tokens) != code:  # some lexers change what they read
        return plain
    coloured = list(_coloured(tokens, keyed=language.lower() in _KEYED))
    pieces = []
    for colour, run in itertools.groupby(coloured, lambda each: each[0]):
        text = html.escape("".join(text for _, text in run), quote=False)
        pieces.append(f'<span style="{gate.colour(colour)}">{text}</span>' if colour and text.strip() else text)
    return "".join(pieces)


def _coloured(tokens: Iterable[tuple[Any, str]], *, keyed: bool) -> Iterator[tuple[str, str]]:
    """The tokens with their colours. What follows a dot is a property, and the dot is plain; so is a key of data."""
    previous = ""
    for kind, text in tokens:
        colour = "" if text == "." else _colour(kind)
        if previous == "." and str(kind).startswith("Token.Name"):
            colour = "property"
        yield ("property" if keyed and colour == "tag" else colour), text
        previous = text


def _tokens(code: str, lexer: Any) -> list[tuple[Any, str]]:
    """The code's tokens with their types; those of the start only where it takes too long."""
    if lexer is None:
        return []
    end = time.monotonic() + MAX_SECONDS
    return list(itertools.takewhile(lambda _: time.monotonic() < end, lexer.get_tokens(code)))


@functools.lru_cache(maxsize=512)
def _colour(kind: Any) -> str:
    """The colour of a token type, or of the nearest type above it; empty for none."""
    while kind is not None:
        name = str(kind).removeprefix("Token.")
        if name in _COLOURS:
            return _COLOURS[name]
        kind = kind.parent
    return ""


@functools.lru_cache(maxsize=64)
def _lexer(language: str) -> Any:
    """The Pygments lexer for a language; None if there is none."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None
