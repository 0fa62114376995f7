"""A reply as a value in the notebook's namespace: a `str` that shows itself as its cell shows it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from ..conversation.accumulator import thinking_of
from ..conversation.turns import Block, Turn
from ..cost import pricing
from .answer import text_output
from .citations import sources
from .markup.markdown import code_blocks
from .text import Bundle
from .turn import reply_text


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


def reply_value(turn: Turn) -> ReplyText:
    """The value that `--out` binds."""
    value = ReplyText(reply_text(turn))
    value.thinking = thinking_of(turn.reply)
    value.code = "\n\n".join(code_blocks(value))
    value.usage = turn.calls[-1].usage
    value.cost = pricing.turn_cost(turn).dollars
    value.blocks = turn.reply
    value.citations = tuple(sources(turn.reply).values())
    return value
