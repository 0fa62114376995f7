"""Whether a tool may run: by the reader's setting, or by asking the reader.

`always` runs without asking, `never` does not run, `ask` asks each time. A tool that only reads runs without asking,
unless the reader has set otherwise for its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import UsageError
from .calls import Approve
from .functions import Tool

ASK, NEVER, ALWAYS = CHOICES = ("ask", "never", "always")
REFUSED = "The reader refused this call, and it was not run. Do not try it again; go on without it, or ask."
SET_TO_NEVER = "The reader has set that this tool is not to run."
NOBODY = "There was nobody to ask whether this call may run, so it was not run."

# Asks whether a tool of this name may run with these arguments; `None` where nobody can be asked.
Ask = Callable[[str, Mapping[str, Any]], bool | None]


def policy(wanted: str | Mapping[str, str], tool: Tool) -> str:
    """Which of `CHOICES` holds for a tool. Of a mapping, its own name counts before `*`, which is for all others."""
    if isinstance(wanted, str):
        chosen = wanted
    elif tool.name in wanted:
        return wanted[tool.name]
    else:
        chosen = wanted.get("*", ASK)
    return ALWAYS if chosen == ASK and tool.reads_only else chosen


def approval(wanted: str | Mapping[str, str], ask: Ask) -> Approve:
    """What says of a call why it must not run."""

    def approve(tool: Tool, given: Mapping[str, Any]) -> str:
        chosen = policy(wanted, tool)
        if chosen != ASK:
            return SET_TO_NEVER if chosen == NEVER else ""
        answer = ask(tool.name, given)
        return NOBODY if answer is None else "" if answer else REFUSED

    return approve


def check(wanted: str | Mapping[str, str], tools: Iterable[Tool], *, can_ask: bool) -> None:
    """Raise `UsageError` where a tool asks for approval, and nobody can be asked."""
    asking = [tool.name for tool in tools if policy(wanted, tool) == ASK]
    if asking and not can_ask:
        raise UsageError(
            f"--tools {asking[0]}: it is to run only when approved, and nobody can be asked here.",
            advice=f"%config ClaudeMagic.approve = {{{asking[0]!r}: 'always'}} lets it run unasked. Nothing was sent.",
        )


def wrong(wanted: Any) -> str:
    """What is wrong with a setting of who may run; nothing, where it can be one."""
    if isinstance(wanted, str):
        return "" if wanted in CHOICES else f"approve is one of {', '.join(CHOICES)}, not {wanted!r}."
    if not isinstance(wanted, Mapping) or not all(isinstance(each, str) for each in wanted):
        return f"approve is one of {', '.join(CHOICES)}, or such a value for each of some tools' names."
    odd = next((name for name, chosen in wanted.items() if chosen not in CHOICES), None)
    return "" if odd is None else f"approve is one of {', '.join(CHOICES)} for {odd!r}, not {wanted[odd]!r}."
