"""Content blocks that are no text as folds: a title, and a text that it opens.

A new kind of block is a function here and a row in `_FOLDS`; tools are in `tool_calls.py`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence

from ..content.text import fenced, shortened_note
from ..conversation.turns import Block
from . import tool_calls
from .markup import gate
from .markup.markdown import escape
from .text import printable

MAX_FOLD_CHARACTERS = 4_000
THINKING = "Thinking"


def calls(content: Sequence[Block], results: Mapping[str, Block]) -> dict[int, tuple[str, str]]:
    """The title and text of each tool call, by its place in content. A server tool's result stands with its call;
    `results` are those of the notebook's tools, by the id of the call."""
    found: dict[int, tuple[str, str]] = {}
    later = {block.get("tool_use_id"): block for block in content if tool_calls.is_result(block)}
    for at, block in enumerate(content):
        if block["type"] in tool_calls.CALLS:
            found[at] = tool_calls.server_tool_call(block, later.pop(block.get("id"), None))
        elif tool_calls.is_result(block):
            if later.pop(block.get("tool_use_id"), None) is block:  # its call is in an earlier turn
                found[at] = tool_calls.server_tool_call(None, block)
        elif block["type"] == "tool_use":
            found[at] = tool_calls.notebook_tool_call(block, results.get(block.get("id", "")))
    return found


def other_fold(block: Block) -> tuple[str, str] | None:
    """The title and text of a block that is neither text, thinking nor of a tool; `None` for those."""
    kind = block["type"]
    if kind in ("text", "thinking", "tool_use", "tool_result", *tool_calls.CALLS) or tool_calls.is_result(block):
        return None
    return _FOLDS.get(kind, _any_block)(block)


def _any_block(block: Block) -> tuple[str, str]:
    kind = str(block["type"]).replace("_", " ").capitalize()
    rest = {name: value for name, value in block.items() if name not in ("type", "id", "tool_use_id")}
    return kind, json.dumps(rest, indent=2, ensure_ascii=False, default=str)


def _redacted(_block: Block) -> tuple[str, str]:
    return "Redacted thinking", "Encrypted by the API for safety; it goes back to Claude as it is."


def _compaction(block: Block) -> tuple[str, str]:
    return "Summary of the conversation above", str(block.get("content") or "The API made none.")


_FOLDS: dict[str, Callable[[Block], tuple[str, str]]] = {
    "redacted_thinking": _redacted,
    "compaction": _compaction,
}


def fold(title: str, body: str) -> str:
    """A fold (`<details>`) as sanitized HTML; that of code execution is open."""
    style = gate.PROSE_FOLD if title == THINKING else gate.CODE_FOLD
    apart = "" if title == THINKING else f' style="{gate.CALL_FOLD}"'
    escaped = html.escape(_shown(title, body), quote=False)
    within = _linked(escaped) if title.startswith(tool_calls.WEB_TITLES) else escaped
    opened = " open" if title == tool_calls.CODE else ""
    summary = html.escape(printable(title), quote=False)
    return gate.clean(
        f'<details{opened}{apart}><summary>{summary}</summary><div style="{style}">{within}</div></details>'
    )


def as_markdown(title: str, body: str) -> str:
    """A fold for those who do not show HTML: its title in bold, and its text as a code block."""
    heading = f"**{escape(printable(title))}**"
    shown = _shown(title, body).strip("\n")
    return f"{heading}\n\n{fenced(shown, 'text')}" if shown else heading


def _shown(title: str, body: str) -> str:
    shown = printable(body)
    if title == THINKING or len(shown) <= MAX_FOLD_CHARACTERS:
        return shown
    return f"{shown[:MAX_FOLD_CHARACTERS]}\n{shortened_note(MAX_FOLD_CHARACTERS, len(body))}"


# Matches a URL in escaped text, as far as its characters cannot be anything else.
_ADDRESS = re.compile(
    r"(?<![\w/])https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?(?:/(?:[\w\-.~/?#%=+:@!,*]|&amp;)*)?", re.ASCII
)


def _linked(escaped: str) -> str:
    """Escaped text with its URLs as links."""
    return _ADDRESS.sub(lambda match: _link(match[0].rstrip(".,:!?"), match[0]), escaped)


def _link(address: str, found: str) -> str:
    return f'<a href="{address}">{address}</a>{found[len(address) :]}'
