"""Claude's Markdown as Markdown, for those who do not show HTML: without raw HTML, images, and links that could run.

A block that has any of these, to a parser that lets HTML through, is written again: the marks that make it are escaped,
and where that is not enough the block becomes code. All other blocks stay as Claude wrote them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from ...content.text import fenced, join_line
from .parser import REFERENCE, blocks, cleaned, fences, is_closed

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_PYTHON = ("", "python", "py", "python3", "ipython")
_SCHEME = re.compile(r"(?:https?://|mailto:|#)", re.IGNORECASE)
# Escaped, even in code spans: about these, parsers differ on where a span ends.
_DOUBTFUL = re.compile(r"\\`|[\x00-\x08\x0b-\x1f\x7f]|&#")
_TAG = re.compile(r"\\?<(?=[A-Za-z/!?])")
_IMAGE = re.compile(r"!(?=\[)")
_LINK = re.compile(r"\](?=[(:\[])")
# What other parsers, or the text that it is joined with, could make of a text that is none of these here.
_NEARLY = re.compile(r"<[A-Za-z/!?]|!\[|\]\((?!\s*<?(?:https?://|mailto:|#))", re.IGNORECASE)
# Anything that could open or close a construct in some Markdown parser, within a line or at its start.
_MARK = re.compile(r"[\\`*_~\[\]<|@$]|&(?=[#\w])|:(?=//)|(?<=[wW]{3})\.")
_START = re.compile(r"(?:\d{1,9}(?=[.)]))?[-+=>#:.)]")


def without_html(text: str) -> str:
    """Markdown that looks the same, with no raw HTML outside of code, no images and no links to other than web pages
    and mail addresses. References to sources become ` [1]`, and a code block at the end is closed."""
    text = unmarked(cleaned(text))
    tokens, defines = _parsed(text)
    if tokens and tokens[-1].type == "fence" and not is_closed(tokens[-1]):
        text = f"{text.rstrip()}\n{tokens[-1].markup}"
        tokens, defines = _parsed(text)
    if not (defines or _is_active(tokens) or _DOUBTFUL.search(text)):
        return text
    lines = text.split("\n")
    groups = blocks(tokens)
    starts = [group[0].map[0] if group[0].map else 0 for group in groups]
    pieces = [_undefined("\n".join(lines[: starts[0] if starts else None]), defines)]
    for group, start, end in zip(groups, starts, [*starts[1:], None], strict=True) if groups else ():
        source = "\n".join(lines[start:end])
        if group[0].type not in ("fence", "code_block"):
            source = _undefined(_escaped(source) if _needs_escape(group, source) else source, defines)
        pieces.append(source)
    written = "\n".join(pieces[1:] if starts and not starts[0] else pieces)
    return written if _is_harmless(written) else fenced(text, "text")


def _undefined(source: str, defines: bool) -> str:
    """A source in which nothing is the definition of a link, if the text has one that leads to no web page."""
    return source.replace("]:", "&#93;:") if defines else source


def _parsed(text: str) -> tuple[list[Token], bool]:
    """A text's tokens, and whether it defines links that could run, or images from anywhere."""
    env: dict[str, Any] = {}
    tokens = _parser().parse(text, env)
    defined = [*env.get("references", {}).values(), *env.get("duplicate_refs", ())]
    return tokens, not all(_SCHEME.match(str(each.get("href", ""))) for each in defined)


@cache
def _parser() -> MarkdownIt:
    """A parser as others have it: CommonMark, which lets HTML through, with tables."""
    from markdown_it import MarkdownIt  # imported with the first reply, to keep `%load_ext` fast

    made = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    made.disable("text_join")  # what was escaped stays a token of its own
    made.validateLink = lambda url: True  # type: ignore[method-assign]
    return made


def _needs_escape(group: list[Token], source: str) -> bool:
    return _is_active(group) or bool(_DOUBTFUL.search(source) and _TAG.search(source))


def _is_active(tokens: Sequence[Token] | None) -> bool:
    """Whether there is raw HTML, an image or a link that could run among tokens, or something near to that."""
    for token in tokens or ():
        if token.type in ("html_block", "html_inline", "image") or _is_active(token.children):
            return True
        if token.type == "link_open" and not _SCHEME.match(str(token.attrs.get("href", ""))):
            return True
        if token.type == "text" and _NEARLY.search(token.content):
            return True
    return False


def _is_harmless(text: str) -> bool:
    tokens, defines = _parsed(text)
    return not defines and not _is_active(tokens)


def _escaped(source: str) -> str:
    """A block with its tags, images and links as text; as code where something is left of them."""
    written = _IMAGE.sub("&#33;", _TAG.sub("&lt;", source))
    if _is_active(_parsed(written)[0]):
        written = _LINK.sub("&#93;", written)
    return fenced(source, "text") if _is_active(_parsed(written)[0]) else written


def unmarked(text: str) -> str:
    """Text with its references as plain ` [1]`."""
    return REFERENCE.sub(r" [\1]", text)


def escape(text: str) -> str:
    """A short untrusted string as plain text on one line of Markdown."""
    line = join_line(cleaned(text))
    start = _START.match(line)
    head = line[: start.end() - 1] + _character(line[start.end() - 1]) if start else ""
    return head + _MARK.sub(lambda match: _character(match[0]), line[start.end() if start else 0 :])


def _character(character: str) -> str:
    return html.escape(character) if character in "<>&" else f"&#{ord(character)};"


def link(label: str, address: str) -> str:
    """A short untrusted string as Markdown, linked if the address is that of a web page."""
    from markdown_it.common.normalize_url import normalizeLink

    if not re.match(r"https?://[^\s/?#]", address, re.IGNORECASE):
        return escape(label)
    encoded = re.sub(r"[()<>\\]", lambda match: f"%{ord(match[0]):02X}", normalizeLink(join_line(address)))
    return f"[{escape(label)}]({encoded})"


def code_blocks(text: str) -> list[str]:
    """The fenced Python code blocks of a reply, in order, each without its final newline.

    A block without a language counts as Python; blocks in lists and quotes are included.
    """
    return [
        fence.content.removesuffix("\n") for fence in fences(text) if "".join(fence.info.split()[:1]).lower() in _PYTHON
    ]
