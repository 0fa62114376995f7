"""Ask questions of a `Session` as a cell does, without a kernel and without a page."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from claude_magic.client import Settings
from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.turns import Block, Turn
from claude_magic.conversation.wait import Wait
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.session.question import NO_REPLAY, Question, Replay
from claude_magic.session.session import Outcome, Session

OFFLINE = Settings(provider="offline", max_retries=0, timeout=20)
RETRYING = Settings(provider="offline", max_retries=1, timeout=20)


class Reader:
    """A view that presses Interrupt after so many events."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.left = interrupt_after
        self.waits: list[Wait] = []
        self.ended: list[Turn | None] = []

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        self.provider = provider

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left <= 0:
                raise KeyboardInterrupt

    def wait(self, wait: Wait) -> None:
        self.waits.append(wait)

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        self.ended.append(turn)

    def show(self, turn: Turn) -> None:
        self.ended.append(turn)


RUNS = itertools.count()


def ask(
    session: Session,
    prompt: str,
    cell: str | None = None,
    reader: Reader | None = None,
    settings: Settings = OFFLINE,
    replay: Replay = NO_REPLAY,
    **options: Any,
) -> Outcome:
    """Run a cell with this prompt."""
    running = Cell(cell, f"run {next(RUNS)}")
    content = [{"type": "text", "text": prompt}]
    return session.ask(Question(Options(**options), content, running, replay=replay), settings, reader or Reader())


def dialogue(messages: Sequence[Any]) -> list[tuple[str, str]]:
    """Role and text of messages."""
    return [(message["role"], text_in(message["content"])) for message in messages]


def text_in(content: Sequence[Block]) -> str:
    return "".join(block["text"] for block in content if block["type"] == "text")
