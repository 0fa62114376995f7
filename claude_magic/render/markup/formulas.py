"""Formulas in Markdown: find them, and decide which are safe to typeset.

MathJax commands can do more than typeset (links, styles, code loading): a formula with such a command has no `written`
form and is shown as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...content.text import join_line

if TYPE_CHECKING:
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_inline import StateInline

MAX_MATH_CHARACTERS = 4_000
MAX_MATH_BRACES = 32
"""Deepest nesting of braces in math: MathJax recurses."""

# Macros of MathJax 3.2 (AllPackages and `require`, as JupyterLab loads it, with its Safe extension) that make links,
# set HTML attributes or styles, load code, keep their effect beyond the formula, or move their content on the page.
_MACROS = re.compile(
    r"\\(?:href|url|class|style|cssId|data|require|html\w*|unicode|[egx]?def|let|newcommand|renewcommand"
    r"|providecommand|newenvironment|renewenvironment|global|begingroup|endgroup|Declare\w*|definecolor"
    r"|Newextarrow|includegraphics|bbox|texttip|mathtip|toggle|mmlToken|enclose|ref|eqref|verb|raise|lower"
    r"|moveleft|moveright|kern|mkern|hskip|mskip|[Rr]ule|Space|\w*[lrc]lap|\w*makebox|\w*tagform|mathtoolsset|label"
    r"|char|catcode|input|buildrel)(?![A-Za-z])",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?<![a-z])url\s*\(", re.IGNORECASE)  # MathJax copies colours of boxes into a style unchecked
# A colour is a name or a number: MathJax copies all else into a style as it is.
_COLOUR = re.compile(r"\\[A-Za-z]*color(?![a-z])[A-Za-z]*|\\f?colorbox")
_COLOUR_NAME = r"\s*(?:\[[A-Za-z]{1,9}\])?\s*\{[A-Za-z0-9#., ]{1,40}\}"
_PLAIN_COLOUR = re.compile(
    rf"\\(?:fcolorbox{_COLOUR_NAME}{_COLOUR_NAME}|(?:colorbox|color|textcolor|(?:row|column|cell)color){_COLOUR_NAME})"
)
_BACK = re.compile(r"\\(?:[hm]space|mspace)\*?\s*\{\s*-")
_FAR = re.compile(r"(?:\d{3,}|-\s*\d{2,})[\d.]*\s*(?:em|ex|pt|px|mu|pc|in|cm|mm)", re.IGNORECASE)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*")
_LABEL = re.compile(r"\\label\s*\{[^{}]*\}")
_ENVIRONMENT = re.compile(r"\\begin\{([A-Za-z]*\*?)\}")
_CLOSINGS = {"$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]", "\\\\(": "\\\\)", "\\\\[": "\\\\]"}
_OPENING = re.compile(r"\$\$?|\\{1,2}[(\[]|" + _ENVIRONMENT.pattern)
_WORD = re.compile(r"(?<![A-Za-z\\{])[A-Za-z]{3,}")


@dataclass(frozen=True)
class Formula:
    """A formula in a text: its opening delimiter, its body, and the position after it."""

    opening: str
    body: str
    end: int

    @property
    def written(self) -> str | None:
        """The formula with its delimiters, safe to typeset; None if it could do more than show a formula."""
        body = join_line(_LABEL.sub("", _COMMENT.sub(r"\1", self.body)))
        if not body or not _balanced(body) or any(each.search(body) for each in (_MACROS, _BACK, _FAR, _ADDRESS)):
            return None
        if not all(_PLAIN_COLOUR.match(body, found.start()) for found in _COLOUR.finditer(body)):
            return None
        if re.search(r"[`]|@@|\$", body) or len(body) > MAX_MATH_CHARACTERS:
            return None
        if self.opening.startswith("\\begin"):
            return f"{self.opening}{body}{self.opening.replace('begin', 'end', 1)}"
        delimiter = "$" if self.opening in ("$", "\\(", "\\\\(") else "$$"
        return f"{delimiter}{body}{delimiter}"


def _balanced(body: str) -> bool:
    if body.count("\\left") > MAX_MATH_BRACES:
        return False
    depth = deepest = 0
    for match in re.finditer(r"\\.|[{}]", body):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    return depth == 0 and deepest <= MAX_MATH_BRACES and not re.search(r"(?<!\\)(?:\\\\)*\\$", body)


def formula_at(text: str, position: int) -> Formula | None:
    """The formula that begins at `position` of `text`, or None. A formula contains no blank line."""
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
    before = text[max(0, position - 9) : position]
    if opening == "$" and not _is_inline_math(before, body, text[after : after + 9]):
        return None
    return Formula(opening, body, after)


def _closing_at(text: str, start: int, closing: str, limit: int) -> int:
    if closing[0] != "$":
        return text.find(closing, start, limit)
    end = text.find(closing, start, limit)
    while end > 0 and (end - len(text[start:end].rstrip("\\")) - start) % 2:
        end = text.find(closing, end + 1, limit)
    return end


def _is_inline_math(before: str, body: str, after: str) -> bool:
    """Whether `$body$` is math rather than two amounts of money or two shell variables, by what stands around it."""
    if before[-1:].isalnum() or before[-1:] == "$" or after[:1].isalnum() or after[:1] == "$":
        return False
    words = _WORD.search(re.sub(r"\\[A-Za-z]+\s*(?:\{[^{}]*\})?", "", body))
    if body != body.strip():
        if before.rstrip()[-1:].isdigit() or after.lstrip()[:1].isdigit() or not re.search(r"[A-Za-z\\]", body):
            return False
        return body[0].isspace() and body[-1].isspace() and not words and bool(re.search(r"[\\^_=+<>]", body))
    return not (body[0].isdigit() and (words or body.endswith(("-", "–", "/", "(", "~"))))


def inline_rule(state: StateInline, silent: bool) -> bool:
    """A markdown-it rule: a formula within a line of prose."""
    if state.src[state.pos] not in "$\\":
        return False
    math = formula_at(state.src, state.pos)
    if math is None or math.end > state.posMax:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content = state.src[state.pos : math.end]
        token.meta = {"math": math}
    state.pos = math.end
    return True


def block_rule(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A markdown-it rule: a formula on lines of its own, even if its lines look like lists or headings."""
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
    math = formula_at(text, 0)
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
