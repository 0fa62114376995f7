"""The input transformer: `%%claude` cells and `%claude` lines as they are typed, a `?` at the end included.

It is the first in IPython's list `input_transformers_cleanup`. Without it, IPython takes `%claude Why?` for a question
to its own help, mends prompts and indents in a body, halves the braces of `{{…}}` in a setting, and shows the reply of
`claude Why?`, without a `%`, twice. A magic that does not exist, and is nearly one of ours, becomes a call that says
so; a `%%claude` below other lines, one that says where it has to stand.
"""

from __future__ import annotations

import re
import tokenize
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CELL = re.compile(r"%%(claude(?:_\w+)?)(?![\w?])[ \t]*(.*)")
_MAGIC = re.compile(r"%(claude(?:_\w+)?)(?![\w?])\s?(.*)", re.DOTALL)
_LATE = re.compile(r"(\s*)(%%claude(?:_map)?)(?!\w)")
# A line of ours without its `%`, which IPython takes for a magic ("automagic") where it does not assign a name.
_BARE = re.compile(r"(claude(?:_\w+)?)(?:[ \t]+[^\s=,].*|)")
_SETTING = re.compile(r"%config\s+(ClaudeMagic\.\w+\s*=.*\{\{.*)", re.DOTALL)
_ANY = re.compile(r"(%%?)(\w+)(?![\w?.])\s?(.*)", re.DOTALL)
_OURS = re.compile(r"%(?:claude|config\s+ClaudeMagic)")
_HELP = ("--help", "-h")
_ESCAPES = ("%", "!", "?")
_LAYOUT = (tokenize.INDENT, tokenize.DEDENT)
# Magics whose value is the reply: on a line of its own it is no value of the cell, which has shown it already.
_WITH_VALUE = ("claude",)

# For `%` or `%%` and the name of a magic: the function, in Python, that is called in its place, with the shell and all
# that was typed; None if the magic is to stay.
Instead = Callable[[str, str], str | None]


class ExactInput:
    """Turns a `%%claude` cell, or the `%claude` lines of a cell, into calls with all of their text; passes on all else.

    `instead` is asked about the names of all magics, and `is_automatic` whether one of ours is called without its `%`.
    """

    # IPython also runs transformers to check whether a cell is complete, and would take `%%claude` alone as complete;
    # transformers with this mark are left out of that check.
    has_side_effects = True

    def __init__(self, instead: Instead, is_automatic: Callable[[str], bool]) -> None:
        self._instead = instead
        self._is_automatic = is_automatic

    def __call__(self, lines: list[str]) -> list[str]:
        """The lines of a cell as IPython shall read them."""
        first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
        if first == len(lines):
            return lines
        rest = "".join(lines[first + 1 :])
        if not rest.strip() and (bare := _BARE.fullmatch(lines[first].strip())) and self._is_automatic(bare[1]):
            return self([f"%{bare[0]}\n"])
        if other := self._other(lines[first].strip(), rest):
            return [f"{other}\n"]
        if found := _CELL.match(lines[first].rstrip()):
            return _cell(found[1], found[2], rest)
        return _with_exact_lines(lines, self._other) if self._concerns("".join(lines)) else lines

    def _concerns(self, text: str) -> bool:
        """Whether a cell may have a line of ours: a quick look at its text."""
        if _OURS.search(text):
            return True
        return any(self._instead("%", name) for name in set(re.findall(r"(?<!%)%([^\W\d]\w+)", text)))

    def _other(self, text: str, body: str | None = None) -> str:
        """The call in place of a magic that is not as it seems; empty for all others. A cell magic has a body."""
        found = _ANY.fullmatch(text)
        if found is None or (found[1] == "%%") != (body is not None) or _is_help(found[3]):
            return ""
        called = self._instead(found[1], found[2])
        return f"{called}(get_ipython(), {', '.join(repr(each) for each in (*found.groups(), body))})" if called else ""


def _is_help(line: str) -> bool:
    return line.rstrip() in ("?", "??")


def _cell(name: str, line: str, body: str) -> list[str]:
    if _is_help(line):
        return [f"%%{name}{line}\n"]
    body = body or "\n"  # for an empty body IPython would print its own message
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


def _with_exact_lines(lines: list[str], other: Callable[[str], str]) -> list[str]:
    """The lines of a cell with calls for those that are ours; lines inside of a string are none."""
    from IPython.core import inputtransformer2 as ipython

    steps: Any = (ipython.leading_empty_lines, ipython.leading_indent, ipython.classic_prompt, ipython.ipython_prompt)
    rest = lines
    for step in steps:
        rest = step(rest)  # as IPython does next, and finds nothing left to do
    if not rest or rest[0].startswith("%%"):
        return lines
    rest, refused = _before_late_magic(rest)
    done: list[str] = []
    while rest:
        count, column = _next_escape(rest)
        done += rest[:count]
        rest = rest[count:]
        if rest:
            taken = _continued(rest)
            done += _call(rest[:taken], column, other) or rest[:taken]
            rest = rest[taken:]
    return done + refused


def _before_late_magic(lines: list[str]) -> tuple[list[str], list[str]]:
    """The lines above our first cell magic that stands where a statement does, and not in a string; and the Python line
    in place of it and the text below, which is no Python. All lines and nothing where there is no such magic."""
    from IPython.core.inputtransformer2 import make_tokens_by_line

    for at, found in ((at, found) for at, line in enumerate(lines) if (found := _LATE.match(line))):
        for tokens in make_tokens_by_line(lines[: at + 1]):
            stated = [token for token in tokens if token.type not in _LAYOUT and token.string.strip()]
            if stated and stated[0].string == "%" and stated[0].start[0] == at + 1:
                return lines[:at], [_refused(*found.groups(), is_first=not "".join(lines[:at]).strip())]
    return lines, []


def _refused(indent: str, magic: str, *, is_first: bool) -> str:
    """The Python line that says of a cell magic that it comes too late."""
    message = f"{magic} has to stand at the very start of its cell."
    advice = "Delete the space before it." if is_first else "Put what stands above it into a cell of its own."
    errors = f"__import__({UsageError.__module__!r}, fromlist=['UsageError'])"
    return f"{indent}raise {errors}.UsageError({message!r}, advice={advice!r})\n"


def _next_escape(lines: Sequence[str]) -> tuple[int, int]:
    """The number of lines before the next statement that is not Python, and the column of its `%` or `!`."""
    from IPython.core.inputtransformer2 import make_tokens_by_line

    row = 0
    for tokens in make_tokens_by_line(list(lines)):
        stated = [token for token in tokens if token.type not in _LAYOUT and token.string.strip()]
        if stated:
            row = stated[0].start[0] - 1
            column = _escape_column(stated)
            if column is not None:
                return row, column
    return len(lines), 0


def _escape_column(tokens: Sequence[tokenize.TokenInfo]) -> int | None:
    """The column at which a statement of IPython's begins, at its start or behind `name =`; None for Python."""
    first = tokens[0]
    if first.string in _ESCAPES:
        return first.start[1]
    depth = 0
    for at, token in enumerate(tokens[:-1]):
        if token.start[0] != first.start[0]:
            return None
        if token.string == "=" and depth == 0:
            following = tokens[at + 1]
            return following.start[1] if following.string in ("%", "!") else None
        depth += (token.string in ("(", "[", "{")) - (token.string in (")", "]", "}"))
    return None


def _continued(lines: Sequence[str]) -> int:
    """The number of lines of a statement that is not Python: a backslash at the end of a line continues it."""
    taken = 1
    while taken < len(lines) and lines[taken - 1].endswith("\\\n"):
        taken += 1
    return taken


def _call(lines: Sequence[str], column: int, other: Callable[[str], str]) -> list[str]:
    """One of our line magics as a call, its text as it was typed; nothing for all others, and for `%claude?`."""
    before = lines[0][:column]
    parts = [lines[0][column:], *lines[1:]]
    text = " ".join([*(part.rstrip()[:-1] for part in parts[:-1]), parts[-1].rstrip()])
    if instead := other(text):
        return [f"{before}{instead}\n"]
    if setting := _SETTING.fullmatch(text):
        return [f"{before}get_ipython().find_line_magic('config')({setting[1]!r})\n"]
    found = _MAGIC.fullmatch(text)
    if found is None:
        return []
    name, line = found.groups()
    if _is_help(line.strip()):
        return [f"{before}%{name}{line.strip()}\n"]
    if line.strip() in _HELP and "_" in name and not before.strip():
        return [f"{before}%{name}?\n"]  # those that ask print their own
    call = f"get_ipython().run_line_magic({name!r}, {line!r})"
    is_statement = name in _WITH_VALUE and not before.strip()
    return [f"{before}if {call}: pass\n" if is_statement else f"{before}{call}\n"]


def add(shell: InteractiveShell, transformer: ExactInput) -> None:
    """Add the transformer to a shell, once."""
    remove(shell)
    shell.input_transformers_cleanup.insert(0, transformer)


def remove(shell: InteractiveShell) -> None:
    """Remove the transformer from a shell, and that of an earlier import of this module."""
    cleanup = shell.input_transformers_cleanup
    cleanup[:] = [each for each in cleanup if getattr(each, "__module__", None) != __name__]
