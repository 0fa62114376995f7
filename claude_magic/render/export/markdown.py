"""Conversations → one Markdown file that reads well on GitHub."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from ...content.text import fenced
from ...conversation.turns import Block, Conversation, Turn
from ..answer import answer_outputs
from ..folds import THINKING
from ..markup import markdown
from ..text import printable
from ..turn import footer
from .assets import STALE, Exported, block_name, bytes_of, path_of, printable_folds, turn_label

# Indentation, runs of spaces, or a table: to be shown in a fixed-width font.
_LAID_OUT = re.compile(r"^[ \t]|[ \t]{2}|\t|\|", re.MULTILINE)


def write(chats: Mapping[str, Conversation], title: str, stem: str) -> Exported:
    """Export all chats, each under a heading of its own if there are several."""
    files: dict[str, bytes] = {}
    pieces = [f"# {markdown.escape(printable(title))}"]
    for name, chat in chats.items():
        if len(chats) > 1:
            pieces.append(f"## Chat {markdown.escape(printable(name))}")
        stale = chat.stale()
        for number, turn in enumerate(chat, 1):
            pieces += _turn(turn, number, turn.id in stale, stem, files)
    return Exported("\n\n".join(pieces) + "\n", files)


def _turn(turn: Turn, number: int, stale: bool, stem: str, files: dict[str, bytes]) -> Iterator[str]:
    yield f"### {markdown.escape(turn_label(turn, number))}"
    for block in turn.prompt:
        yield _prompt(block, stem, files)
    for title, body in printable_folds(turn):
        summary = markdown.escape(title)
        yield f"<details>\n<summary>{summary}</summary>\n\n{_folded(title, body)}\n\n</details>"
    yield from (bundle["text/markdown"] for bundle in answer_outputs(turn))
    yield from (_prompt(block, stem, files) for block in turn.made if block["type"] == "image")
    mark = f" · **{STALE}**" if stale else ""
    yield f"*{markdown.escape(footer(turn))}*{mark}"


def _prompt(block: Block, stem: str, files: dict[str, bytes]) -> str:
    if block.get("type") == "text":
        return _quoted(printable(block["text"]).strip("\n"))
    raw = bytes_of(block.get("source"))
    if raw is None:
        return f"> *{markdown.escape(block_name(block))}*"
    path = path_of(block["source"], raw, stem)
    files[path] = raw
    bang = "!" if block["type"] == "image" else ""
    return f"{bang}[{markdown.escape(block_name(block))}]({quote(path)})"


def _quoted(text: str) -> str:
    """A prompt as a quote: as a code block if its layout matters, else as lines that may wrap."""
    if _LAID_OUT.search(text):
        return "\n".join(f"> {line}".rstrip() for line in _fenced(text).split("\n"))
    lines = [markdown.escape(line) for line in text.split("\n")]
    ends = ["\\" if line and follows else "" for line, follows in zip(lines, [*lines[1:], ""], strict=True)]
    return "\n".join(f"> {line}{end}".rstrip() for line, end in zip(lines, ends, strict=True))


def _folded(title: str, body: str) -> str:
    return markdown.without_html(body) if title == THINKING else _fenced(body)


def _fenced(text: str) -> str:
    return fenced(text, "text")
