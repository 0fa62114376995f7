"""A reply as a value in the notebook's namespace: a `str` that shows itself as its cell shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from ..conversation.accumulator import thinking_of
from ..conversation.turns import Block, Turn
from ..cost import pricing
from .answer import text_output
from .citations import sources
from .markup.markdown import code_blocks
from .text import Bundle
from .turn import reply_text

R = TypeVar("R", bound="ReplyText")


class ReplyText(str):
    """A reply's text as a `str`, with the rest of the reply as attributes.

    `thinking` and `code` are text (`code`: the Python blocks, joined); `usage` is the last call's, in tokens, as the
    API gave it; `cost` is in USD, None if no price is known; `blocks` are the content blocks. `citations` are the API's
    in the order of the references: `citations[0]` is [1].
    """

    thinking: str
    code: str
    usage: Mapping[str, Any]
    cost: Decimal | None
    blocks: tuple[Block, ...]
    citations: tuple[Mapping[str, Any], ...]

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> Bundle:
        """The text as sanitized HTML, as Markdown and as plain text."""
        return text_output(self)


class ShownReply(ReplyText):
    """A reply that its cell has shown already. As that cell's value it is not shown a second time."""

    is_on_screen: Callable[[], bool]

    def _ipython_display_(self) -> None:
        """Nothing to display; raises `NotImplementedError` for the usual form, as IPython wants it."""
        if not self.is_on_screen():
            raise NotImplementedError


def shown_value(turn: Turn, is_on_screen: Callable[[], bool]) -> ShownReply:
    """The value of a reply that is shown; `is_on_screen` says whether the cell that shows it is still running."""
    value = _filled(ShownReply(reply_text(turn)), turn)
    value.is_on_screen = is_on_screen
    return value


def reply_value(turn: Turn) -> ReplyText:
    """The value that `--out` binds."""
    return _filled(ReplyText(reply_text(turn)), turn)


def _filled(value: R, turn: Turn) -> R:
    value.thinking = thinking_of(turn.reply)
    value.code = "\n\n".join(code_blocks(value))
    value.usage = turn.calls[-1].usage
    value.cost = pricing.turn_cost(turn).dollars
    value.blocks = turn.reply
    value.citations = tuple(sources(turn.reply).values())
    return value
