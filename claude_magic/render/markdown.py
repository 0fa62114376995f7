"""Claude's Markdown → inert Markdown, which looks the same and cannot run anything.

A live JupyterLab cell does not sanitize `text/markdown`, so HTML or scripts in Claude's text would run in the reader's
page. Here the text is parsed by markdown-it and written anew in a small, plain subset of Markdown. Every character of
prose that has a meaning in Markdown is written as a character reference, so that prose cannot become structure in any
parser. The only constructs left are this module's own:

- raw HTML without attributes but `class="language-…"`: `<span>`, which hides a dollar or a backslash from MathJax, and
  `<code>`/`<pre>` for code that Markdown cannot hold; and a `title` of plain characters on the `<sup>` of a reference;
- inline links to http, https, mailto or `#fragment`;
- images become links; diagrams that could load something are shown as their source.

JupyterLab 4.6 (rendermime/src/latex.ts) extracts math before its Markdown parser runs, by rules that know little of
code. `formulas.jupyterlab_math` predicts what it extracts; a block from which it would take anything but this module's
own math is written again, more defensively.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..content.text import fence_of, join_line
from .formulas import jupyterlab_math
from .markdown_syntax import OWN_REFERENCE, Node, fences, grouped, parse

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_EMPHASIS = 8
# The size of the part that is redrawn while a reply grows: JupyterLab takes about 7 ms a kilobyte (RENDERING.md §1).
PART_CHARACTERS = 16_000
MAX_DIAGRAM_CHARACTERS = 10_000

_LINKED_REFERENCE = re.compile(rf"\[({OWN_REFERENCE.pattern})\]\([^\s()]*\)")
_PYTHON = ("", "python", "py", "python3", "ipython")


def inert(text: str) -> str:
    """Inert Markdown that looks the same as `text`; in time linear in its length."""
    return Inert().render(text)


def escape(text: str) -> str:
    """A short untrusted string as plain text on one line of inert Markdown."""
    return _line(_prose(join_line(_clean(text))))


def link(label: str, address: str) -> str:
    """A short untrusted string as inert Markdown, linked if the address is that of a web page."""
    checked = _address(address) if address[:4].lower() == "http" else None
    return f"[{escape(label)}]({checked})" if checked else escape(label)


def reference(number: int, title: str, address: str = "") -> str:
    """A superscript reference `[1]` with a tooltip, linked if the address is that of a web page; `inert` keeps it."""
    coded = re.sub(r"[^A-Za-z0-9 .,;()-]", lambda match: f"&#{ord(match[0])};", _clean(join_line(title)))
    mark = f'<sup title="{coded}">&#91;{number}&#93;</sup>'
    checked = _address(address) if address[:4].lower() == "http" else None
    return f"[{mark}]({checked})" if checked else mark


def unmarked(text: str) -> str:
    """Text with its references as plain `[1]`."""
    return OWN_REFERENCE.sub(r" [\2]", _LINKED_REFERENCE.sub(r"\1", text))


def code_blocks(text: str) -> list[str]:
    """The fenced Python code blocks of a reply, in order, each without its final newline.

    A block without a language counts as Python; blocks in lists and quotes are included.
    """
    return [
        fence.content.removesuffix("\n") for fence in fences(text) if "".join(fence.info.split()[:1]).lower() in _PYTHON
    ]


@dataclass(frozen=True)
class Part:
    """A run of whole blocks: Claude's source, and the inert Markdown."""

    source: str
    markdown: str


class Inert:
    """An incremental `inert` for a growing text: finished blocks are not rendered again.

    >>> Inert().render("a <b>")
    'a &lt;b>'
    """

    def __init__(self) -> None:
        self._start_over()

    def render(self, text: str) -> str:
        """The same as `inert(text)`; fast if `text` starts with the text of the last call."""
        return "\n\n".join(part.markdown for part in self.parts(text))

    def parts(self, text: str) -> list[Part]:
        """The inert Markdown in parts of about `PART_CHARACTERS`. While the text grows only the last part changes,
        unless a link definition arrives, which can change links in earlier parts."""
        if not text.startswith(self._source):
            self._start_over()
        nodes, defines_references = parse(_clean(text[len(self._source) :]))
        if defines_references and self._source:
            self._start_over()
            return self.parts(text)
        groups = grouped(nodes)
        written = [_write(group) for group in groups]
        # More text can still change the last block, and where the one before it ends.
        settled = 0 if defines_references or "\r" in text else max(0, len(groups) - 2)
        self._settle(text, groups, written, settled)
        last = Part(text[self._part_start :], "\n\n".join([*self._written, *written[settled:]]))
        return [*self._parts, last] if last.markdown or not self._parts else list(self._parts)

    def _start_over(self) -> None:
        self._source = ""
        self._parts: list[Part] = []
        self._part_start = 0
        self._written: list[str] = []

    def _settle(self, text: str, groups: list[list[Node]], written: list[str], count: int) -> None:
        """Keep the first `count` groups as final; close a part whenever it is long enough."""
        start = len(self._source)
        for number in range(count):
            self._written.append(written[number])
            if sum(map(len, self._written)) >= PART_CHARACTERS:
                end = start + _line_offset(text[start:], groups[number + 1][0].line)
                self._parts.append(Part(text[self._part_start : end], "\n\n".join(self._written)))
                self._part_start = end
                self._written = []
        if count:
            self._source = text[: start + _line_offset(text[start:], groups[count][0].line)]


def _line_offset(text: str, line: int) -> int:
    newlines = re.finditer("[\n\u2028\u2029]", text)
    return next(itertools.islice(newlines, line - 1, None)).end() if line else 0


# --- characters -------------------------------------------------------------------------------------

_NEWLINES = re.compile("\r\n?|[\u2028\u2029]")
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def _visible(match: re.Match[str]) -> str:
    """A control character as its Unicode picture, a bidirectional override by its code point."""
    code = ord(match[0])
    if code in (0x0B, 0x0C):
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    return f"⟨U+{code:04X}⟩" if 0x2000 < code < 0x2100 else "\ufffd"


def _clean(text: str) -> str:
    """`text` with \\n as its only newline and every control character visible; one character for one, except for
    bidirectional overrides."""
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
    # MathJax searches text only up to the next element: so the character gets an element of its own.
    if match.lastgroup == "mark":
        return _reference(match[0])
    return f"<span>{_reference(match[0])}</span>"


def _prose(text: str) -> str:
    """Plain text as inert Markdown. It is cleaned first, since it may come from decoded character references."""
    return _ACTIVE.sub(_active, _clean(text))


def _code_as_html(content: str, opening: str = "<code>", closing: str = "</code>") -> str:
    """Code as HTML on one line, in character references that no Markdown or math parser can take for anything else."""
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
    """The address percent-encoded for a link; None unless it is http, https, mailto or a fragment."""
    address = address.strip()
    if not _ADDRESS.match(address):
        return None
    quoted = _UNSAFE_IN_ADDRESS.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), address)
    return re.sub(r"&(?=[\w#])", "&amp;", quoted)


def _trim_address(url: str) -> str:
    """`url` without trailing punctuation, which belongs to the sentence."""
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


# --- writing ----------------------------------------------------------------------------------------


def _write(group: list[Node]) -> str:
    """Top-level blocks as Markdown from which JupyterLab extracts no math but that of the blocks."""
    written = ""
    for html_code, math_as_text in ((False, False), (True, False), (True, True)):
        writer = _Writer(html_code, math_as_text)
        written = "\n".join(writer.block(node) for node in group)
        if jupyterlab_math(written) == writer.math:
            break
    return written


_LANGUAGE = re.compile(r"[A-Za-z0-9_+#.-]{1,32}(?!\S)")
_MATH_IN_CODE = re.compile(r"\$|\\begin|\\end|\\\\[()\[\]]|@@")
# Mermaid runs with securityLevel "strict" in JupyterLab, but labels, shapes and themes can still load resources while
# a diagram is laid out.
_LOADING = re.compile(
    r"%%\s*\{|^\s*---|\bclick\b|\bcallback\b|\bhref\b|\blinks?\b|://|\bimg\b|\bicon|<(?!br\s*/?>|-|=|\|)|url\s*\("
    r"|@|javascript|data:|\bstyle\b|classDef|linkStyle|&|#\w+;|\\u|C4|architecture|\bproperties\b|\$\$",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass
class _Writer:
    """A writer of nodes as inert Markdown; `math` collects the formulas that it wrote as math, in order."""

    html_code: bool
    math_as_text: bool
    math: list[str] = field(default_factory=list)
    emphasis: list[bool] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    in_table: bool = False

    def block(self, node: Node) -> str:
        return _BLOCKS[node.token.type](self, node)

    def blocks(self, nodes: list[Node], tight: bool = False) -> str:
        pieces: list[str] = []
        for group in grouped(nodes):
            pieces.append("\n".join(self.block(node) for node in group))
        return ("\n" if tight else "\n\n").join(pieces)

    def paragraph(self, node: Node) -> str:
        return self.inline(node.children[0].token) if node.children else ""

    def heading(self, node: Node) -> str:
        text = self.inline(node.children[0].token, one_line=True) if node.children else ""
        return f"{'#' * int(node.token.tag[1])} {text}".rstrip()

    def rule(self, node: Node) -> str:
        return "---"

    def quote(self, node: Node) -> str:
        text = self.blocks(node.children)
        return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))

    def list(self, node: Node) -> str:
        tight = all(block.token.hidden for item in node.children for block in item.children if _is_paragraph(block))
        return ("\n" if tight else "\n\n").join(self.item(item, tight) for item in node.children)

    def item(self, node: Node, tight: bool) -> str:
        marker = f"{node.token.info}{node.token.markup} "
        text = _TASK.sub(r"[\1] ", self.blocks(node.children, tight))
        lines = text.split("\n")
        indented = [lines[0], *(" " * len(marker) + line if line else "" for line in lines[1:])]
        return (marker + "\n".join(indented)).rstrip()

    def fence(self, node: Node) -> str:
        content, language = node.token.content, _language_of(node.token)
        if self.html_code and (_MATH_IN_CODE.search(content) or node.token.level):
            opening = f'<pre><code class="language-{language}">' if language else "<pre><code>"
            return _code_as_html(content, opening, "</code></pre>")
        ticks = fence_of(content)
        body = content if content.endswith("\n") or not content else content + "\n"
        return f"{ticks}{language}\n{body}{ticks}"

    def formula(self, node: Node) -> str:
        return self.formula_of(node.token)

    def table(self, node: Node) -> str:
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
        alt = join_line("".join(child.content for child in token.children or []))
        label = _prose(f"image: {alt}" if alt else "image")
        address = None if self.links else _address(str(token.attrs.get("src", "")))
        return f"[{label}]({address})" if address else label

    def reference(self, token: Token) -> str:
        return token.content

    def softbreak(self, token: Token) -> str:
        return "\n"

    def hardbreak(self, token: Token) -> str:
        return "\\\n"


def _is_paragraph(node: Node) -> bool:
    return node.token.type == "paragraph_open"


def _language_of(token: Token) -> str:
    match = _LANGUAGE.match(token.info.strip())
    if match is None:
        return ""
    language = match[0]
    if language.lower() == "mermaid":
        # JupyterLab would draw an unfinished diagram as an error.
        closed = token.map is not None and token.map[1] - token.map[0] == token.content.count("\n") + 2
        loading = len(token.content) > MAX_DIAGRAM_CHARACTERS or _LOADING.search(token.content)
        return "mermaid" if closed and not loading else "text"
    return language


def _line(line: str) -> str:
    """One line of inert prose, with its start escaped so that no parser takes it for the start of a block."""
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
_BLOCKS: dict[str, Callable[[_Writer, Node], str]] = {
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
    "reference": _Writer.reference,
    "softbreak": _Writer.softbreak,
    "hardbreak": _Writer.hardbreak,
}
