"""`Question`: all that one cell asks, as a value, which is sent, counted, compared or replayed as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..conversation.turns import Attached, Block
from ..notebook.cell import Cell
from ..options import Options
from ..tools.calls import ToolCalls


@dataclass(frozen=True)
class Replay:
    """Whether to answer from the record, and how many times faster than recorded; 0 is at once."""

    mode: str = "off"
    speed: float = 1.0


NO_REPLAY = Replay()


@dataclass(frozen=True)
class Question:
    """A prompt and all that it is asked with.

    `options` are as they are sent: the model's id, the system prompt with its values. `content` is the prompt as
    content blocks, `attached` what of it the reader did not type. `schema` is the JSON schema of the reply, `tools`
    are the notebook's functions that Claude may call; `None` where there are none.
    """

    options: Options
    content: Sequence[Block]
    cell: Cell
    attached: Sequence[Attached] = ()
    schema: Mapping[str, Any] | None = None
    tools: ToolCalls | None = None
    replay: Replay = NO_REPLAY

    @property
    def tool_definitions(self) -> Sequence[Mapping[str, Any]]:
        """The notebook's functions, as the API is told of them."""
        return self.tools.definitions if self.tools is not None else ()
