"""Claude's Markdown in, Markdown out that shows the same and can do nothing.

A live JupyterLab cell does not sanitize `text/markdown`, so what Claude writes would run in the
reader's page. Here the text is parsed by markdown-it and written anew in a small, plain subset of
Markdown. Every character of its prose that could mean something is written as a character reference:
prose cannot turn into structure, whichever parser reads it. Only this module's own constructs are left:

- raw HTML of ours has no attribute but `class="language-…"`: `<span>`, which keeps a dollar or a
  backslash from MathJax, and `<code>`/`<pre>` for code that Markdown's own code could not carry;
- links are inline and lead to http, https, mailto or `#fragment`;
- images are links; diagrams that could reach out are shown as their source.

JupyterLab 4.6 (rendermime/src/latex.ts) takes math out before its parser sees the text, by rules that
know little of code: `_jupyterlab_math` says what it will take, and a block from which it would take
anything but our own math is written again, more defensively.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

MAX_MATH_CHARACTERS = 4_000
MAX_MATH_BRACES = 32
"""Deepest nesting of braces in math: MathJax recurses."""
MAX_MARKS = 1_500
"""A paragraph with more marks than this is shown as it is written, as code: inline parsers are quadratic in them."""
MAX_BLOCK_LEVEL = 24
"""Lists count two, quotes one; what lies deeper is shown as it is written, as code."""
MAX_EMPHASIS = 8
MAX_DIAGRAM_CHARACTERS = 10_000


def inert(text: str) -> str:
    """Markdown that shows the same as `text` does and can do nothing. Linear in its length."""
    return Inert().render(text)


def escape(text: str) -> str:
    """A short untrusted string as plain text on one line of our own Markdown."""
    return _line(_prose(" ".join(_clean(text).split())))


class Inert:
    """`inert` for a text that grows: finished blocks are not done again.

    >>> Inert().render("a <b>")
    'a &lt;b>'
    """

    def __init__(self) -> None:
        self._source = ""
        self._written = ""

    def render(self, text: str) -> str:
        """The same as `inert(text)`; fast if `text` begins with the text of the last call."""
        if not text.startswith(self._source):
            self._source = self._written = ""
        tail = _clean(text[len(self._source) :])
        env: dict[str, Any] = {}
        groups = _groups(_tree(_PARSER.parse(tail, env)))
        if env.get("references") and self._source:
            # A definition gives meaning to links before it as well.
            self._source = self._written = ""
            return self.render(text)
        written = [_write(group) for group in groups]
        result = self._written + "\n\n".join(written)
        if not env.get("references") and "\r" not in text:
            self._settle(text, groups, written)
        return result

    def _settle(self, text: str, groups: list[list[_Node]], written: list[str]) -> None:
        # More text can still change the last block, and where the one before it ends.
        keep = len(groups) - 2
        if keep < 1:
            return
        line = groups[keep][0].line
        done = len(self._source)
        self._source = text[: done + _line_offset(text[done:], line)]
        self._written += "\n\n".join(written[:keep]) + "\n\n"


def _line_offset(text: str, line: int) -> int:
    newlines = re.finditer("[\n\u2028\u2029]", text)
    return next(itertools.islice(newlines, line - 1, None)).end() if line else 0


# --- characters -------------------------------------------------------------------------------------

_NEWLINES = re.compile("\r\n?|[\u2028\u2029]")
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def _visible(match: re.Match[str]) -> str:
    """A control character as its picture, a bidirectional override by its name."""
    code = ord(match[0])
    if code in (0x0B, 0x0C):
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    return f"⟨U+{code:04X}⟩" if 0x2000 < code < 0x2100 else "\ufffd"


def _clean(text: str) -> str:
    """`text` with no newline but \\n, and with every control character visible. One character for one,
    bidirectional overrides aside."""
    return _ODD.sub(_visible, _NEWLINES.sub("\n", text))


# Anything that could open or close a construct in some Markdown parser, wherever it stands.
_ACTIVE = re.compile(
    r"""
    (?P<backslash>\\(?=begin|end|ref|eqref|[(\[\])\\$]))   # MathJax looks for these in the shown text
  | (?P<dollar>\$)
  | (?P<mark>[<`*~\[\]|@\n\t]|\\|&(?=[\#\w])|!(?=$)|(?<![^\W_])_|_(?![^\W_])|(?<!\S)\#
      |:(?=//)|(?<=[wW]{3})\.)
    """,
    re.VERBOSE,
)
_ORDINAL = re.compile(r"\d{1,9}(?=[.)])")


def _reference(character: str) -> str:
    return {"<": "&lt;", "&": "&amp;"}.get(character) or f"&#{ord(character)};"


def _active(match: re.Match[str]) -> str:
    # A string of text that MathJax searches ends at an element: so the character gets one of its own.
    if match.lastgroup == "mark":
        return _reference(match[0])
    return f"<span>{_reference(match[0])}</span>"


def _prose(text: str) -> str:
    """Plain text as Markdown that shows it; `text` may come from decoded references, so it is cleaned."""
    return _ACTIVE.sub(_active, _clean(text))


def _code_as_html(content: str, opening: str = "<code>", closing: str = "</code>") -> str:
    """Code that no parser of Markdown or math can take for anything else, on one line."""
    return opening + re.sub(r"[^A-Za-z0-9 ]", lambda match: f"&#{ord(match[0])};", content) + closing


# --- addresses --------------------------------------------------------------------------------------

_ADDRESS = re.compile(r"(?:https?://[^\s/?#]|mailto:[^\s@]+@|#)", re.IGNORECASE)
_UNSAFE_IN_ADDRESS = re.compile(r"[^A-Za-z0-9\-._:/?#@!&,;=+%]|(?<=@)@|@(?=@)|%(?![0-9A-Fa-f]{2})")
# GFM's extended autolinks, as `marked` finds them.
_BARE_ADDRESS = re.compile(
    r"(?P<url>(?:https?://|www\.)[A-Za-z0-9\-][^\s<]*)"
    r"|(?P<email>[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9_-]{1,64}(?:\.[A-Za-z0-9_-]{1,64}){1,8}(?![-_]))",
    re.IGNORECASE,
)
_TRAILING = "?!.,:;*_'\"~"


def _address(address: str) -> str | None:
    """The address as it may stand in a link, or None where it leads somewhere a link must not."""
    address = address.strip()
    if not _ADDRESS.match(address):
        return None
    quoted = _UNSAFE_IN_ADDRESS.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), address)
    return re.sub(r"&(?=[\w#])", "&amp;", quoted)


def _trim_address(url: str) -> str:
    """`url` without the punctuation that belongs to the sentence around it."""
    while url:
        if url[-1] in _TRAILING or (url[-1] == ")" and url.count(")") > url.count("(")):
            url = url[:-1]
        else:
            break
    return url


def _prose_with_links(text: str) -> str:
    pieces, position = [], 0
    for match in _BARE_ADDRESS.finditer(text):
        shown = _trim_address(match[0])
        scheme = "mailto:" if match["email"] else "http://" if shown[:4].lower() == "www." else ""
        address = _address(scheme + shown)
        if address is None:
            continue
        pieces += [_prose(text[position : match.start()]), f"[{_prose(shown)}]({address})"]
        position = match.start() + len(shown)
    return "".join(pieces) + _prose(text[position:])


# --- math -------------------------------------------------------------------------------------------

# Macros of MathJax 3.2 (AllPackages and `require`, as JupyterLab loads it, with its Safe extension) that
# make links, set HTML attributes or styles, load code, last beyond their formula, or move what they set.
_MACROS = re.compile(
    r"\\(?:href|url|class|style|cssId|data|require|html\w*|unicode|[egx]?def|let|newcommand|renewcommand"
    r"|providecommand|newenvironment|renewenvironment|global|begingroup|endgroup|Declare\w*|definecolor"
    r"|Newextarrow|includegraphics|bbox|texttip|mathtip|toggle|mmlToken|enclose|ref|eqref|verb|raise|lower"
    r"|moveleft|moveright|kern|mkern|hskip|mskip|[Rr]ule|Space|[lr]lap|math[lrc]lap|char|catcode|input|buildrel)"
    r"(?![A-Za-z])",
    re.IGNORECASE,
)
_FAR = re.compile(r"(?:\d{3,}|-\s*\d{2,})[\d.]*\s*(?:em|ex|pt|px|mu|pc|in|cm|mm)", re.IGNORECASE)
_COMMENT = re.compile(r"(?<!\\)%[^\n]*")
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_ENVIRONMENT = re.compile(r"\\begin\{([A-Za-z]*\*?)\}")
_CLOSINGS = {"$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
_OPENING = re.compile(r"\$\$?|\\{1,2}[(\[]|" + _ENVIRONMENT.pattern)
_WORD = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{3,}")


@dataclass(frozen=True)
class _Math:
    opening: str
    body: str
    end: int

    @property
    def written(self) -> str | None:
        """The formula as it may be typeset, or None where it does more than show one."""
        body = _LABEL.sub("", _COMMENT.sub("", self.body))
        body = " ".join(body.split())
        if not body or not _balanced(body) or _MACROS.search(body) or _FAR.search(body):
            return None
        if re.search(r"[`]|@@|\$", body) or len(body) > MAX_MATH_CHARACTERS:
            return None
        # For other parsers than JupyterLab's, which may look for HTML and links in math.
        body = re.sub(r"<(?=[A-Za-z/!?])", "< ", body).replace("](", "] (")
        if self.opening.startswith("\\begin"):
            return f"{self.opening}{body}{self.opening.replace('begin', 'end', 1)}"
        delimiter = "$" if self.opening in ("$", "\\(", "\\\\(") else "$$"
        return f"{delimiter}{body}{delimiter}"


def _balanced(body: str) -> bool:
    depth = deepest = 0
    for match in re.finditer(r"\\.|[{}]", body):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    return depth == 0 and deepest <= MAX_MATH_BRACES and not re.search(r"(?<!\\)(?:\\\\)*\\$", body)


def _math_at(text: str, position: int) -> _Math | None:
    """The formula that begins at `position` of `text`, or None. A formula has no blank line in it."""
    match = _OPENING.match(text, position)
    if match is None:
        return None
    opening = match[0]
    closing = _CLOSINGS.get(opening) or opening.replace("begin", "end", 1)
    limit = match.end() + MAX_MATH_CHARACTERS
    end = _closing_at(text, match.end(), closing, limit)
    if end < 0:
        return None
    body = text[match.end() : end]
    if not body.strip() or re.search(r"\n[ \t]*\n", body):
        return None
    after = end + len(closing)
    if opening == "$" and not _is_inline_math(text[position - 1 : position], body, text[after : after + 1]):
        return None
    return _Math(opening, body, after)


def _closing_at(text: str, start: int, closing: str, limit: int) -> int:
    if closing[0] != "$":
        return text.find(closing, start, limit)
    end = text.find(closing, start, limit)
    while end > 0 and (end - len(text[start:end].rstrip("\\")) - start) % 2:
        end = text.find(closing, end + 1, limit)
    return end


def _is_inline_math(before: str, body: str, after: str) -> bool:
    """Whether `$body$` is math rather than two amounts of money or two shell variables."""
    if before.isalnum() or before == "$" or after.isalnum() or after == "$":
        return False
    words = _WORD.search(re.sub(r"\\[A-Za-z]+\s*(?:\{[^{}]*\})?", "", body))
    if body != body.strip():
        return body[0].isspace() and body[-1].isspace() and not words and bool(re.search(r"[\\^_=+<>]", body))
    return not (body[0].isdigit() and (words or body.endswith(("-", "–", "/", "(", "~"))))


def _math_inline(state: StateInline, silent: bool) -> bool:
    if state.src[state.pos] not in "$\\":
        return False
    math = _math_at(state.src, state.pos)
    if math is None or math.end > state.posMax:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content = state.src[state.pos : math.end]
        token.meta = {"math": math}
    state.pos = math.end
    return True


def _math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula that fills lines of its own, whatever lists or headings its lines look like."""
    position = state.bMarks[start] + state.tShift[start]
    if state.is_code_block(start) or state.src[position : position + 1] not in ("$", "\\"):
        return False
    if state.src[position : position + 2] not in ("$$", "\\[", "\\b", "\\\\"):
        return False
    last = start + 1
    while last < end and not state.isEmpty(last) and state.sCount[last] >= state.blkIndent:
        last += 1
        if last - start > 200:
            break
    text = state.getLines(start, last, state.blkIndent, False).lstrip(" ")
    math = _math_at(text, 0)
    if math is None or text[math.end :].split("\n", 1)[0].strip():
        return False
    if silent:
        return True
    state.line = start + text[: math.end].count("\n") + 1
    token = state.push("math_block", "", 0)
    token.content = text[: math.end]
    token.meta = {"math": math}
    token.map = [start, state.line]
    return True


_MATHSPLIT = re.compile(
    r"(\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n[\s\ufeff]*)+|@@\d+@@|\\\\[()\[\]])", re.I
)
_FENCES = re.compile(r"^(?P<fence>`{3,}|~{3,})[^`\n]*\n(?:[\s\S]*?)^(?P=fence)`*$", re.MULTILINE)
_CODE_SPANS = re.compile(r"(^|[^\\])(`+)([^\n]*?[^`\n])\2(?!`)", re.MULTILINE)


def _jupyterlab_math(text: str) -> list[str]:
    """What JupyterLab 4.6 takes out of `text` as math, in order (`removeMath` of rendermime/src/latex.ts).

    A dollar that it hides because it sees code is a NUL here.
    """
    if "$" not in text and "\\" not in text and "@@" not in text:
        return []
    if "`" in text or "~~~" in text:
        for code in (_FENCES, _CODE_SPANS):
            text = code.sub(lambda match: match[0].replace("$", "\0"), text)
    pieces = _MATHSPLIT.split(text)
    found: list[str] = []
    start = last = -1
    closing, braces = "", 0
    for index in range(1, len(pieces), 2):
        piece = pieces[index]
        if piece[0] == "@":
            found.append(piece)
        elif start < 0:
            closing = _jupyterlab_closing(piece)
            start, braces = (index, 0) if closing else (-1, 0)
        elif piece == closing and not braces:
            found.append("".join(pieces[start : index + 1]))
            start = last = -1
        elif piece == closing:
            last = index
        elif piece.count("\n") > 1:
            # JupyterLab resumes after `last`; what matters here is that it took something unplanned.
            found += ["".join(pieces[start : last + 1])] if last > 0 else []
            start, last, braces = -1, -1, 0
        else:
            braces = max(0, braces + {"{": 1, "}": -1}.get(piece, 0))
    return found + (["".join(pieces[start : last + 1])] if start > 0 and last > 0 else [])


def _jupyterlab_closing(piece: str) -> str:
    if piece in ("$", "$$"):
        return piece
    if piece in ("\\\\(", "\\\\["):
        return "\\\\)" if piece[-1] == "(" else "\\\\]"
    return "\\end" + piece[6:] if piece[1:6].lower() == "begin" else ""


# --- what we wrote ourselves ----------------------------------------------------------------------------

# What `inert` has written is shown the same when it goes through `inert` again.
_OWN_CHARACTER = re.compile(r"<span>&#(36|92);</span>")
_OWN_CODE = re.compile(r"<code>([A-Za-z0-9 ]*&#\d{1,7};(?:[A-Za-z0-9 ]|&#\d{1,7};)*)</code>")
_OWN_FENCE = re.compile(
    r'<pre><code(?: class="language-([A-Za-z0-9_+#.-]{1,32})")?>((?:[A-Za-z0-9 ]|&#\d{1,7};)*)</code></pre>[ ]*$'
)


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


# --- parsing ----------------------------------------------------------------------------------------

_MARKS = re.compile(r"[\[\]*_~`$\\<!&:@]")


def _deep_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """What is nested too deeply is a paragraph of its source; markdown-it would drop it."""
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
    for token in state.tokens:
        if token.type != "inline":
            continue
        token.children = []
        if token.meta.get("plain") or len(_MARKS.findall(token.content)) > MAX_MARKS:
            content = " ".join(token.content.split())
            token.children = [Token("code_inline", "code", 0, content=content, meta={"plain": True})]
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 2 * MAX_BLOCK_LEVEL})
    parser.enable(["table", "strikethrough"])
    parser.inline.ruler.before("escape", "math", _math_inline)
    parser.inline.ruler.before("autolink", "own", _own_inline)
    parser.block.ruler.before("table", "deep", _deep_block)
    parser.block.ruler.after("fence", "own", _own_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.block.ruler.after("fence", "math", _math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.core.ruler.at("inline", _parse_inline)
    # A link that leads nowhere good is parsed as one all the same, so that its text can be kept.
    parser.validateLink = lambda url: True  # type: ignore[method-assign]
    return parser


_PARSER = _parser()


@dataclass(frozen=True)
class _Node:
    token: Token
    children: list[_Node] = field(default_factory=list)

    @property
    def line(self) -> int:
        return self.token.map[0] if self.token.map else 0


def _tree(tokens: Sequence[Token]) -> list[_Node]:
    root: list[_Node] = []
    stack = [root]
    for token in tokens:
        if token.nesting < 0:
            stack.pop()
            continue
        node = _Node(token)
        stack[-1].append(node)
        if token.nesting > 0:
            stack.append(node.children)
    return root


def _joined(previous: _Node, node: _Node) -> bool:
    """Whether two blocks are one paragraph to JupyterLab: a formula on lines of its own does not end one."""
    types = {previous.token.type, node.token.type}
    touching = bool(previous.token.map) and previous.token.map[1] == node.line  # type: ignore[index]
    return touching and "math_block" in types and types <= {"math_block", "paragraph_open"}


def _groups(nodes: list[_Node]) -> list[list[_Node]]:
    groups: list[list[_Node]] = []
    for node in nodes:
        if groups and _joined(groups[-1][-1], node):
            groups[-1].append(node)
        else:
            groups.append([node])
    return groups


# --- writing ----------------------------------------------------------------------------------------


def _write(group: list[_Node]) -> str:
    """Blocks of the top level as Markdown from which JupyterLab takes no math but theirs."""
    written = ""
    for html_code, math_as_text in ((False, False), (True, False), (True, True)):
        writer = _Writer(html_code, math_as_text)
        written = "\n".join(writer.block(node) for node in group)
        if _jupyterlab_math(written) == writer.math:
            break
    return written


_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,32}(?!\S)")
_MATH_IN_CODE = re.compile(r"\$|\\begin|\\end|\\\\[()\[\]]|@@")
# Mermaid runs with securityLevel "strict" in JupyterLab, but its labels, shapes and themes can still load
# things while a diagram is laid out in the page.
_REACHING = re.compile(
    r"%%\s*\{|^\s*---|\bclick\b|\bcallback\b|\bhref\b|\blinks?\b|://|\bimg\b|\bicon|<(?!br\s*/?>|-|=|\|)|url\s*\("
    r"|@|javascript|data:|\bstyle\b|classDef|linkStyle|&|#\w+;|\\u|C4|architecture|\bproperties\b|\$\$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass
class _Writer:
    """Nodes → Markdown. `math` is what was written as math, in order."""

    html_code: bool
    math_as_text: bool
    math: list[str] = field(default_factory=list)
    emphasis: list[bool] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    in_table: bool = False

    def block(self, node: _Node) -> str:
        return _BLOCKS[node.token.type](self, node)

    def blocks(self, nodes: list[_Node], tight: bool = False) -> str:
        pieces: list[str] = []
        for group in _groups(nodes):
            pieces.append("\n".join(self.block(node) for node in group))
        return ("\n" if tight else "\n\n").join(pieces)

    def paragraph(self, node: _Node) -> str:
        return self.inline(node.children[0].token) if node.children else ""

    def heading(self, node: _Node) -> str:
        text = self.inline(node.children[0].token, one_line=True) if node.children else ""
        return f"{'#' * int(node.token.tag[1])} {text}".rstrip()

    def rule(self, node: _Node) -> str:
        return "---"

    def quote(self, node: _Node) -> str:
        text = self.blocks(node.children)
        return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))

    def list(self, node: _Node) -> str:
        tight = all(block.token.hidden for item in node.children for block in item.children if _is_paragraph(block))
        return ("\n" if tight else "\n\n").join(self.item(item, tight) for item in node.children)

    def item(self, node: _Node, tight: bool) -> str:
        marker = f"{node.token.info}{node.token.markup} "
        text = _TASK.sub(r"[\1] ", self.blocks(node.children, tight))
        lines = text.split("\n")
        indented = [lines[0], *(" " * len(marker) + line if line else "" for line in lines[1:])]
        return (marker + "\n".join(indented)).rstrip()

    def fence(self, node: _Node) -> str:
        content, language = node.token.content, _language_of(node.token)
        if self.html_code and (_MATH_IN_CODE.search(content) or node.token.level):
            opening = f'<pre><code class="language-{language}">' if language else "<pre><code>"
            return _code_as_html(content, opening, "</code></pre>")
        ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", content)), default=0))
        body = content if content.endswith("\n") or not content else content + "\n"
        return f"{ticks}{language}\n{body}{ticks}"

    def formula(self, node: _Node) -> str:
        return self.formula_of(node.token)

    def table(self, node: _Node) -> str:
        self.in_table = True
        rows = [row for part in node.children for row in part.children]
        lines = [
            "| " + " | ".join(self.inline(cell.children[0].token, one_line=True) for cell in row.children) + " |"
            for row in rows
        ]
        self.in_table = False
        rule = "| " + " | ".join(_RULES[str(cell.token.attrs.get("style", ""))] for cell in rows[0].children) + " |"
        return "\n".join([lines[0], rule, *lines[1:]])

    def inline(self, token: Token, one_line: bool = False) -> str:
        self.emphasis, self.links = [], []
        pieces: list[str] = []
        for child in token.children or []:
            piece = self.span(child)
            if pieces and pieces[-1].endswith("`") and piece.startswith("`"):
                pieces.append("&#8203;")
            if piece:
                pieces.append(piece)
        text = "".join(pieces)
        if one_line:
            text = re.sub(r"\\?\n", " ", text)
        return "\n".join(_line(line) for line in text.split("\n"))

    def span(self, token: Token) -> str:
        return _SPANS[token.type](self, token)

    def text(self, token: Token) -> str:
        if self.links:
            return _prose(token.content)
        return _prose_with_links(token.content)

    def code(self, token: Token) -> str:
        content = _clean(token.content).replace("\n", " ")
        hidden = self.in_table and re.search(r"[|\\]", content)
        if (
            token.meta.get("plain")
            or "`" in content
            or hidden
            or (self.links and re.search(r"[^\w .,:;/+=-]", content))
        ):
            return _code_as_html(content)
        if self.html_code and _MATH_IN_CODE.search(content):
            return _code_as_html(content)
        padded = content.startswith(" ") and content.endswith(" ") and content.strip(" ")
        return f"` {content} `" if padded else f"`{content}`"

    def formula_of(self, token: Token) -> str:
        written = None if self.math_as_text else token.meta["math"].written
        if written is None:
            return "\n".join(_line(_prose(line.strip())) for line in token.content.split("\n"))
        if self.in_table:
            written = written.replace("\\|", "\\Vert ").replace("|", "\\vert ")
        self.math.append(written)
        return str(written)

    def open_emphasis(self, token: Token) -> str:
        self.emphasis.append(len(self.emphasis) < MAX_EMPHASIS)
        return token.markup if self.emphasis[-1] else ""

    def close_emphasis(self, token: Token) -> str:
        return token.markup if self.emphasis.pop() else ""

    def open_link(self, token: Token) -> str:
        self.links.append(_address(str(token.attrs.get("href", ""))) or "")
        return "[" if self.links[-1] else ""

    def close_link(self, token: Token) -> str:
        address = self.links.pop()
        return f"]({address})" if address else ""

    def image(self, token: Token) -> str:
        alt = " ".join("".join(child.content for child in token.children or []).split())
        label = _prose(f"image: {alt}" if alt else "image")
        address = None if self.links else _address(str(token.attrs.get("src", "")))
        return f"[{label}]({address})" if address else label

    def softbreak(self, token: Token) -> str:
        return "\n"

    def hardbreak(self, token: Token) -> str:
        return "\\\n"


def _is_paragraph(node: _Node) -> bool:
    return node.token.type == "paragraph_open"


def _language_of(token: Token) -> str:
    match = _LANGUAGE.match(token.info.strip())
    if match is None:
        return ""
    language = match[0]
    if language.lower() == "mermaid":
        # One that is still being written would be drawn as an error.
        closed = token.map is not None and token.map[1] - token.map[0] == token.content.count("\n") + 2
        reaching = len(token.content) > MAX_DIAGRAM_CHARACTERS or _REACHING.search(token.content)
        return "mermaid" if closed and not reaching else "text"
    return language


def _line(line: str) -> str:
    """One line of written prose that no parser takes for the start of a block."""
    start = len(line) - len(line.lstrip())
    head = "".join(f"&#{ord(character)};" for character in line[:start])
    stop = len(line.rstrip())
    tail = "".join(f"&#{ord(character)};" for character in line[max(stop, start) :])
    body = line[start:stop]
    ordinal = _ORDINAL.match(body)
    position = ordinal.end() if ordinal else 0
    if body[position : position + 1] and body[position] in (".)" if ordinal else "#+-=>:"):
        body = f"{body[:position]}&#{ord(body[position])};{body[position + 1 :]}"
    return head + body + tail


_TASK = re.compile(r"\A&#91;([ xX])&#93; (?=\S)")
_RULES = {"": "---", "text-align:left": ":---", "text-align:center": ":---:", "text-align:right": "---:"}
_BLOCKS: dict[str, Callable[[_Writer, _Node], str]] = {
    "paragraph_open": _Writer.paragraph,
    "heading_open": _Writer.heading,
    "hr": _Writer.rule,
    "blockquote_open": _Writer.quote,
    "bullet_list_open": _Writer.list,
    "ordered_list_open": _Writer.list,
    "fence": _Writer.fence,
    "code_block": _Writer.fence,
    "math_block": _Writer.formula,
    "table_open": _Writer.table,
}
_SPANS: dict[str, Callable[[_Writer, Token], str]] = {
    "text": _Writer.text,
    "code_inline": _Writer.code,
    "math": _Writer.formula_of,
    "em_open": _Writer.open_emphasis,
    "em_close": _Writer.close_emphasis,
    "strong_open": _Writer.open_emphasis,
    "strong_close": _Writer.close_emphasis,
    "s_open": _Writer.open_emphasis,
    "s_close": _Writer.close_emphasis,
    "link_open": _Writer.open_link,
    "link_close": _Writer.close_link,
    "image": _Writer.image,
    "softbreak": _Writer.softbreak,
    "hardbreak": _Writer.hardbreak,
}
