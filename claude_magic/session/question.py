"""`Question`: all input of one request of a cell, as a value that is sent, counted, compared or replayed."""

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
    """Replay settings: the mode (`off`, `auto`, `only`), and the factor to the recorded speed; 0 is at once."""

    mode: str = "off"
    speed: float = 1.0


NO_REPLAY = Replay()


@dataclass(frozen=True)
class Question:
    """A prompt, with options, attachments and tools.

    `options` are resolved: the model's id, the system prompt with its values. `content` is the prompt as content
    blocks; `attached` describes the blocks that were not typed. `schema` is the JSON schema of the reply; `tools` are
    the notebook's functions that Claude may call. Both are `None` if there are none. `asked` is as in `Turn`.
    """

    options: Options
    content: Sequence[Block]
    cell: Cell
    attached: Sequence[Attached] = ()
    schema: Mapping[str, Any] | None = None
    tools: ToolCalls | None = None
    replay: Replay = NO_REPLAY
    asked: str = ""

    @property
    def tool_definitions(self) -> Sequence[Mapping[str, Any]]:
        """The tool definitions of the notebook's functions, as the API takes them."""
        return self.tools.definitions if self.tools is not None else ()
