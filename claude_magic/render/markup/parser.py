"""Markdown → tokens, by markdown-it: CommonMark with tables, strikethrough, task lists, footnotes and formulas.

Raw HTML is text. Depth and cost are bounded for any text: blocks nested too deeply and paragraphs with too many marks
become code.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ...content.text import join_line
from . import formulas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.ruler import RuleOptionsType
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token

MAX_MARKS = 1_500
"""A paragraph with more marks is shown as its source, as code: inline parsers take quadratic time in them."""
MAX_BLOCK_LEVEL = 24
"""A list counts two levels, a quote one; deeper blocks are shown as their source, as code."""
_MARKS = re.compile(r"[\[\]*_~`$\\<!&:@]")
# A reference to a source, written by `reference`. The character is one that no text has: `cleaned` replaces it.
REFERENCE = re.compile("\\{\ufdd0(\\d{1,4})\\}")
_FOOTNOTE = re.compile(r"\[\^([^\s\[\]^]{1,40})\]")
_FOOTNOTE_TEXT = re.compile(_FOOTNOTE.pattern + ":[ \t]*")
_TASK = re.compile(r"\[([ xX])\](?=\s)")
_DEFINED = ("references", "footnotes")  # markdown-it's, and ours
_OPEN, _DONE = "☐", "☑"


class Cited(Protocol):
    """What a reference leads to: a `title` and a `url` that are not checked, and a `quote`."""

    @property
    def title(self) -> str: ...
    @property
    def quote(self) -> str: ...
    @property
    def url(self) -> str: ...


def reference(number: int) -> str:
    """The mark in a text that becomes the reference to a source, by its number from 1."""
    return f"{{\ufdd0{number}}}"


def without_references(text: str) -> str:
    """A text in which nothing can be taken for such a mark."""
    return text.replace("\ufdd0", "\ufffd")


def parse(
    text: str, defined: Mapping[tuple[str, str], Any] = MappingProxyType({})
) -> tuple[list[Token], dict[tuple[str, str], Any]]:
    """The tokens of a text, and the links and footnotes that are `defined` before it or in it, by kind and label.

    A definition can change what is anywhere in a text.
    """
    env: dict[str, Any] = {}
    for (kind, label), value in defined.items():
        env.setdefault(kind, {})[label] = value
    tokens = parser().parse(text, env)
    found = {(kind, label): env[kind][label] for kind in _DEFINED for label in env.get(kind, ())}
    return tokens, {key: _definition(value) for key, value in found.items()}


def _definition(value: Any) -> Any:
    return {name: value[name] for name in ("href", "title")} if isinstance(value, dict) else value


def blocks(tokens: Sequence[Token]) -> list[list[Token]]:
    """The tokens of each top-level block."""
    found: list[list[Token]] = []
    for token in tokens:
        if token.level == 0 and token.nesting >= 0:
            found.append([])
        found[-1].append(token)
    return found


def is_closed(fence: Token) -> bool:
    """Whether a fence's closing line has come."""
    content = fence.content
    whole = not content or content.endswith("\n")
    return whole and fence.map is not None and fence.map[1] - fence.map[0] == content.count("\n") + 2


def fences(text: str) -> list[Token]:
    """The fenced code blocks of a text in order, at any depth, as tokens with `info` and `content`."""
    return [token for token in parser().parse(text) if token.type == "fence" and token.markup]


# --- characters -------------------------------------------------------------------------------------

_NEWLINES = re.compile("\r\n?|[\u2028\u2029]")
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd1-\ufdef\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def _visible(match: re.Match[str]) -> str:
    """A control character as its Unicode picture, one that changes the direction of text by its code point."""
    code = ord(match[0])
    if code in (0x0B, 0x0C):
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    return f"⟨U+{code:04X}⟩" if 0x2000 < code < 0x2100 else "\ufffd"


def cleaned(text: str) -> str:
    """A text with \\n as its only line break, and every control character visible."""
    return _ODD.sub(_visible, _NEWLINES.sub("\n", text))


# --- rules ------------------------------------------------------------------------------------------


def _reference(state: StateInline, silent: bool) -> bool:
    match = REFERENCE.match(state.src, state.pos) if state.src[state.pos] == "{" else None
    if match is None or match.end() > state.posMax:
        return False
    if not silent:
        state.push("reference", "sup", 0).content = match[1]
    state.pos = match.end()
    return True


def _footnote(state: StateInline, silent: bool) -> bool:
    """A markdown-it rule: `[^label]`, if the text has a footnote of this label."""
    match = _FOOTNOTE.match(state.src, state.pos) if state.src[state.pos] == "[" else None
    if match is None or match.end() > state.posMax or match[1] not in state.env.get("footnotes", ()):
        return False
    if not silent:
        state.push("footnote", "sup", 0).content = match[1]
    state.pos = match.end()
    return True


def _footnote_text(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A markdown-it rule: `[^label]: text`, shown where it stands, as a paragraph behind its label."""
    position = state.bMarks[start] + state.tShift[start]
    match = _FOOTNOTE_TEXT.match(state.src, position, state.eMarks[start])
    if match is None or state.is_code_block(start):
        return False
    if silent:
        return True
    state.env.setdefault("footnotes", {})[match[1]] = True
    last = start + 1
    while last < end and not state.isEmpty(last) and not _FOOTNOTE_TEXT.match(_line(state, last)):
        last += 1
    source = state.getLines(start, last, state.blkIndent, False).lstrip()
    _paragraph(state, start, last, source[match.end() - match.start() :], {"footnote": match[1]})
    return True


def _line(state: StateBlock, number: int) -> str:
    return str(state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]])


def _paragraph(state: StateBlock, start: int, end: int, content: str, meta: dict[str, Any]) -> None:
    state.push("paragraph_open", "p", 1).map = [start, end]
    token = state.push("inline", "", 0)
    token.content, token.meta, token.map, token.children = content.strip(), meta, [start, end], []
    state.push("paragraph_close", "p", -1)
    state.line = end


def _deep_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A markdown-it rule: a block nested too deeply becomes a paragraph of its source; markdown-it would drop it."""
    if silent or state.level < MAX_BLOCK_LEVEL:
        return False
    _paragraph(state, start, end, state.getLines(start, end, state.blkIndent, False), {"plain": True})
    return True


def _parse_inline(state: StateCore) -> None:
    from markdown_it.token import Token

    spans = _inline_state()
    for at, token in enumerate(state.tokens):
        if token.type != "inline":
            continue
        token.children = []
        if token.meta.get("plain") or len(_MARKS.findall(REFERENCE.sub("", token.content))) > MAX_MARKS:
            token.children = [Token("code_inline", "code", 0, content=join_line(token.content))]
            continue
        within = spans(token.content, state.md, state.env, token.children)
        state.md.inline.tokenize(within)
        for rule in state.md.inline.ruler2.getRules(""):
            rule(within)
        if label := token.meta.get("footnote"):
            token.children.insert(0, Token("footnote", "sup", 0, content=label))
        elif at > 1 and state.tokens[at - 2].type == "list_item_open":
            _check_box(token.children)


def _check_box(children: list[Token]) -> None:
    """Replace the `[ ]` or `[x]` at the start of a list item by a glyph."""
    match = _TASK.match(children[0].content) if children and children[0].type == "text" else None
    if match is not None:
        children[0].content = (_OPEN if match[1] == " " else _DONE) + children[0].content[match.end() :]


@cache
def _inline_state() -> type[StateInline]:
    from markdown_it.rules_inline import StateInline

    class State(StateInline):
        """Emphasis also between punctuation and a letter of a script that has no spaces: `**「強」**調`.

        CommonMark takes the letter for a word that goes on (the amendment of markdown-cjk-friendly).
        """

        def scanDelims(self, start: int, canSplitWord: bool) -> Any:
            found = super().scanDelims(start, canSplitWord)
            end = start + found.length
            before = self.src[start - 1] if start else " "
            after = self.src[end] if end < self.posMax else " "
            if not canSplitWord or not (_is_wide(before) or _is_wide(after)):
                return found
            return found._replace(can_open=not after.isspace(), can_close=not before.isspace())

    return State


def _is_wide(character: str) -> bool:
    return character > "\u1100" and unicodedata.east_asian_width(character) in "WF"


@cache
def parser() -> MarkdownIt:
    """The parser of Claude's Markdown."""
    from markdown_it import MarkdownIt  # imported with the first reply, to keep `%load_ext` fast

    made = MarkdownIt("commonmark", {"html": False, "maxNesting": 2 * MAX_BLOCK_LEVEL})
    made.enable(["table", "strikethrough"])
    made.inline.ruler.before("escape", "math", formulas.inline_rule)
    made.inline.ruler.before("link", "reference", _reference)
    made.inline.ruler.before("link", "footnote", _footnote)
    made.block.ruler.before("table", "deep", _deep_block)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    made.block.ruler.after("fence", "math", formulas.block_rule, interrupts)
    made.block.ruler.before("reference", "footnote_text", _footnote_text, interrupts)
    made.core.ruler.at("inline", _parse_inline)
    # Links to forbidden addresses are parsed as links too, so that their text is kept; the gate takes the address away.
    made.validateLink = lambda url: True  # type: ignore[method-assign]
    return made
