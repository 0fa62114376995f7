"""Markdown → a tree of blocks, by markdown-it: CommonMark with tables, strikethrough and formulas.

Depth and cost are bounded for any text: blocks nested too deeply and paragraphs with too many marks become code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from ..content.text import join_line
from . import formulas

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class Node:
    """A block and its child blocks; its text is the children of its `inline` token."""

    token: Token
    children: list[Node] = field(default_factory=list)

    @property
    def line(self) -> int:
        return self.token.map[0] if self.token.map else 0


def parse(text: str) -> tuple[list[Node], bool]:
    """The blocks of a text, and whether it defines link references, which can change links anywhere in it."""
    env: dict[str, Any] = {}
    return _tree(parser().parse(text, env)), bool(env.get("references"))


def fences(text: str) -> list[Token]:
    """The fenced code blocks of a text in order, at any depth, as tokens with `info` and `content`."""
    return [token for token in parser().parse(text) if token.type == "fence" and token.markup]


def _tree(tokens: Sequence[Token]) -> list[Node]:
    root: list[Node] = []
    stack = [root]
    for token in tokens:
        if token.nesting < 0:
            stack.pop()
            continue
        node = Node(token)
        stack[-1].append(node)
        if token.nesting > 0:
            stack.append(node.children)
    return root


def _joined(previous: Node, node: Node) -> bool:
    """Whether JupyterLab takes two blocks as one paragraph: a formula on lines of its own does not end a paragraph."""
    types = {previous.token.type, node.token.type}
    touching = bool(previous.token.map) and previous.token.map[1] == node.line  # type: ignore[index]
    return touching and "math_block" in types and types <= {"math_block", "paragraph_open"}


def grouped(nodes: list[Node]) -> list[list[Node]]:
    """Neighbouring blocks in groups; each group is one paragraph to JupyterLab."""
    groups: list[list[Node]] = []
    for node in nodes:
        if groups and _joined(groups[-1][-1], node):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


_MARKS = re.compile(r"[\[\]*_~`$\\<!&:@]")

# The constructs that `inert` writes are parsed again here, so that `inert` twice is the same as once.
_OWN_CHARACTER = re.compile(r"<span>&#(36|92);</span>")
_OWN_CODE = re.compile(r"<code>([A-Za-z0-9 ]*&#\d{1,7};(?:[A-Za-z0-9 ]|&#\d{1,7};)*)</code>")
_OWN_FENCE = re.compile(
    r'<pre><code(?: class="language-([A-Za-z0-9_+#.-]{1,32})")?>((?:[A-Za-z0-9 ]|&#\d{1,7};)*)</code></pre>[ ]*$'
)


# A reference to a source, written by `markdown.reference`.
OWN_REFERENCE = re.compile(r'<sup title="((?:[A-Za-z0-9 .,;()-]|&#\d{1,7};)*)">&#91;(\d{1,4})&#93;</sup>')


def _own_reference(state: StateInline, silent: bool) -> bool:
    match = OWN_REFERENCE.match(state.src, state.pos)
    if match is None or match.end() > state.posMax:
        return False
    if not silent:
        token = state.push("reference", "sup", 0)
        token.content = match[0]
    state.pos = match.end()
    return True


def _own_inline(state: StateInline, silent: bool) -> bool:
    character, code = _OWN_CHARACTER.match(state.src, state.pos), _OWN_CODE.match(state.src, state.pos)
    match = character or code
    if match is None or match.end() > state.posMax:
        return False
    if not silent:
        token = state.push("text_special" if character else "code_inline", "", 0)
        token.content = chr(int(match[1])) if character else html.unescape(match[1])
        token.info = "entity"
    state.pos = match.end()
    return True


def _own_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    match = _OWN_FENCE.match(state.src, state.bMarks[start] + state.tShift[start], state.eMarks[start])
    if match is None or state.is_code_block(start):
        return False
    if not silent:
        token = state.push("fence", "code", 0)
        token.info, token.content = match[1] or "", html.unescape(match[2])
        token.map = [start, start + 1]
        state.line = start + 1
    return True


def _deep_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A markdown-it rule: a block nested too deeply becomes a paragraph of its source; markdown-it would drop it."""
    if silent or state.level < MAX_BLOCK_LEVEL:
        return False
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, end]
    token = state.push("inline", "", 0)
    token.content = state.getLines(start, end, state.blkIndent, False).strip()
    token.meta = {"plain": True}
    token.map = [start, end]
    token.children = []
    state.push("paragraph_close", "p", -1)
    state.line = end
    return True


def _parse_inline(state: StateCore) -> None:
    from markdown_it.token import Token

    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        if token.meta.get("plain") or len(_MARKS.findall(OWN_REFERENCE.sub("", token.content))) > MAX_MARKS:
            content = join_line(token.content)
            token.children = [Token("code_inline", "code", 0, content=content, meta={"plain": True})]
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


@cache
def parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # imported with the first reply, to keep `%load_ext` fast

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 2 * MAX_BLOCK_LEVEL})
    parser.enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", formulas.inline_rule)
    parser.inline.ruler.before("autolink", "own", _own_inline)
    parser.inline.ruler.before("own", "reference", _own_reference)
    parser.block.ruler.before("table", "deep", _deep_block)
    interrupts: RuleOptionsType = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.after("fence", "own", _own_block, interrupts)
    parser.block.ruler.after("fence", "math", formulas.block_rule, interrupts)
    parser.core.ruler.at("inline", _parse_inline)
    # Links to forbidden addresses are parsed as links too, so that their text is kept.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser
