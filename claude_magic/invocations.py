"""A call of one of the notebook's tools with its result, as one title and one text.

What stands in them Claude or a stranger's code wrote: whoever shows it makes it harmless.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .conversation import NOT_RUN, Block, blocks

MAX_EXCERPT_CHARACTERS = 60


def arguments_text(given: Any) -> str:
    """The exact arguments: as JSON, but one text of several lines as it is."""
    if isinstance(given, Mapping) and len(given) == 1:
        ((name, value),) = given.items()
        if isinstance(value, str) and "\n" in value:
            return f"{name}:\n{value}"
    return json.dumps(given, indent=2, ensure_ascii=False, default=str)


def result_text(result: Block) -> str:
    """What Claude was told."""
    content = result.get("content")
    pieces = blocks({"content": content}) if isinstance(content, str | list | tuple) else ()
    return "\n".join(str(block.get("text", f"[{block.get('type')}]")) for block in pieces)


def notebook_tool_call(call: Block, result: Block | None) -> tuple[str, str]:
    """Title and text of a call; of one that broke off, as much as came."""
    asked = call.get("partial_json") or arguments_text(call.get("input"))
    title = f"Tool call: {call.get('name')}"
    if result is None:
        return title, str(asked)
    said = result_text(result)
    failed = "failed: " if result.get("is_error") else ""
    outcome = "not run" if said == NOT_RUN else f"{failed}{_excerpt(said)}"
    return f"{title} → {outcome}", f"{asked}\n\n→ {said}"


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_EXCERPT_CHARACTERS else f"{line[: MAX_EXCERPT_CHARACTERS - 1]}…"
