"""Conversations → one HTML page: no script, no network, light and dark.

Claude's Markdown is rendered as in the notebook, and sanitized; the page's content security policy forbids the rest.
"""

from __future__ import annotations

import base64
import functools
import html
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ...conversation.turns import Block, Conversation, Turn, turns_of
from ...cost import pricing
from ..answer import answer_outputs
from ..folds import THINKING
from ..text import printable
from ..turn import figures_of, marks
from .assets import STALE, Exported, block_name, bytes_of, printable_folds, turn_label

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write(chats: Mapping[str, Conversation], title: str, stem: str) -> Exported:
    """Export all chats as one page with its images inside."""
    body = "\n".join(_body(chats, printable(title)))
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{html.escape(printable(title))}</title>\n<style>\n{_style()}\n</style>"
    )
    return Exported(f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n')


def _body(chats: Mapping[str, Conversation], title: str) -> Iterator[str]:
    turns = [turn for chat in chats.values() for turn in chat]
    yield f'<header class="page"><h1>{html.escape(title)}</h1>\n<p>{html.escape(_summary(turns))}</p></header>\n<main>'
    for name, chat in chats.items():
        if len(chats) > 1:
            yield f'<h2 class="chat">{html.escape(printable(name))}</h2>'
        stale = chat.stale()
        for number, turn in enumerate(chat, 1):
            yield _turn(turn, number, turn.id in stale)
    yield "</main>"


def _summary(turns: Sequence[Turn]) -> str:
    """The page's summary line: day, number of turns, models and cost."""
    if not turns:
        return "An empty conversation"
    day = datetime.fromtimestamp(min(turn.created for turn in turns), UTC).date().isoformat()
    models = dict.fromkeys(printable(call.model) for turn in turns for call in turn.calls)
    cost = pricing.total(pricing.recorded_cost(turn) for turn in turns)
    count = turns_of(len(turns))
    return " · ".join([*([day] if turns[0].created else []), count, *models, str(cost)])


def _turn(turn: Turn, number: int, stale: bool) -> str:
    prompt = "\n".join(_prompt(block) for block in turn.prompt)
    folded = "\n".join(_fold(title, body) for title, body in printable_folds(turn))
    reply = "\n".join(bundle["text/html"] for bundle in answer_outputs(turn))
    reply += "".join(_prompt(block) for block in turn.made if block["type"] == "image")
    marked = [*marks(turn), *([STALE] if stale else [])]
    figures = [f"<span>{html.escape(figure)}</span>" for figure in figures_of(turn)]
    figures += [f"<strong>{html.escape(mark)}</strong>" for mark in marked]
    return (
        f'<article>\n<section class="prompt"><h3>{html.escape(turn_label(turn, number))}</h3>\n{prompt}</section>\n'
        f'{folded}\n<section class="reply">\n{reply}</section>\n<footer>{" · ".join(figures)}</footer>\n</article>'
    )


def _prompt(block: Block) -> str:
    if block.get("type") == "text":
        return f'<div class="text">{html.escape(printable(block["text"]).strip())}</div>'
    name = html.escape(block_name(block))
    raw = bytes_of(block.get("source")) if block.get("type") == "image" else None
    if raw is None:
        return f'<p class="along">{name}</p>'
    data = f"data:{block['source']['media_type']};base64,{base64.b64encode(raw).decode()}"
    return f'<img src="{data}" alt="{name}">'


def _fold(title: str, body: str) -> str:
    kind = "thinking" if title == THINKING else "block"
    shown = html.escape(body)
    return f'<details class="{kind}"><summary>{html.escape(title)}</summary><div>{shown}</div></details>'


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")
