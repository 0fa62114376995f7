"""Claude's code as a new cell below, which does not run by itself, and its changes to a cell as a diff."""

from __future__ import annotations

import difflib
import html
from typing import TYPE_CHECKING

from ..content.secrets import MASK, Secrets
from ..render.text import BOX, Bundle, printable

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# What the front end (`frontend/static/fix.js`) shows as a difference that can be accepted; others show the HTML.
FIX_TYPE = "application/vnd.claude-magic.fix+json"
NO_CODE = "The reply has no Python code: there is no new cell."
# Visible on light and dark pages.
_COLOURS = {"+": "rgba(46, 160, 67, 0.25)", "-": "rgba(248, 81, 73, 0.25)", "@": "rgba(56, 139, 253, 0.15)"}
_LINE_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace"


def offer(shell: InteractiveShell, code: str) -> bool:
    """Put code into a new cell below this one (in a terminal: at the next prompt). Returns False for empty code."""
    if not code.strip():
        return False
    shell.set_next_input(code, replace=False)
    return True


def diff(before: str, after: str, cell_id: str | None = None) -> Bundle:
    """The unified diff of two texts, as static HTML and as text.

    With the frontend's id of the cell, the two texts as data as well; secrets are masked in them by `MASK`.
    """
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), "the cell", "corrected", lineterm=""))
    shown = [printable(line) for line in lines]
    bundle: Bundle = {"text/html": f"{BOX}{''.join(map(_html_line, shown))}</div>", "text/plain": "\n".join(shown)}
    if cell_id is not None:
        bundle[FIX_TYPE] = {"cell": cell_id, "source": before, "mended": after, "mask": MASK}
    return bundle


def _html_line(line: str) -> str:
    is_head = line.startswith(("+++", "---"))
    colour = None if is_head else _COLOURS.get(line[:1])
    style = f"{_LINE_STYLE}; background-color: {colour}" if colour else _LINE_STYLE
    return f'<div style="{style}">{html.escape(line) or "&nbsp;"}</div>'


def closest(blocks: list[str], source: str) -> str:
    """The code block most similar to the source: the corrected cell, if a reply has other code too."""
    return max(blocks, key=lambda block: difflib.SequenceMatcher(None, source, block).quick_ratio(), default="")


def with_secrets(code: str, source: str, secrets: Secrets) -> str:
    """Code with the secrets put back into the unchanged lines of the source; a changed line keeps its mask.

    Lines that are alike once masked come back in their order.
    """
    masked = secrets.masked(source, is_code=True)[0]
    if MASK not in code or len(masked.splitlines()) != len(source.splitlines()):
        return code
    originals: dict[str, list[str]] = {}
    for line, original in zip(masked.splitlines(), source.splitlines(), strict=True):
        originals.setdefault(line, []).append(original)
    return "\n".join(_original(originals.get(line, [line])) if MASK in line else line for line in code.split("\n"))


def _original(left: list[str]) -> str:
    """The next of the originals of a masked line; the last one for as often as there are no more."""
    return left.pop(0) if len(left) > 1 else left[0]
