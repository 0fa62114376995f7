"""Approval of tool calls, by the setting `ClaudeMagic.approve` or by asking the reader.

`always` runs without asking, `never` does not run, `ask` asks each time, until the reader answers for all calls of the
reply. A read-only tool runs without asking, unless the setting names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from .calls import Approve
    from .functions import Tool

ASK, NEVER, ALWAYS = CHOICES = ("ask", "never", "always")
REFUSED = "The reader refused this call, and it was not run. Do not try it again; go on without it, or ask."
SET_TO_NEVER = "The reader has set that this tool is not to run."
NOBODY = "There was nobody to ask whether this call may run, so it was not run."


class Answer(Enum):
    """What the reader answers: run this call, run it and all later ones of this reply, or refuse it."""

    RUN = "run"
    RUN_ALL = "run all"
    REFUSE = "refuse"


# Asks the reader whether the tool of this name may run with these arguments; None if nobody can be asked.
Ask = Callable[[str, Mapping[str, Any]], Answer | None]


def policy(wanted: str | Mapping[str, str], tool: Tool) -> str:
    """The one of `CHOICES` for a tool. In a mapping, its name counts before `*`, which is for all others."""
    if isinstance(wanted, str):
        chosen = wanted
    elif tool.name in wanted:
        return wanted[tool.name]
    else:
        chosen = wanted.get("*", ASK)
    return ALWAYS if chosen == ASK and tool.reads_only else chosen


def approval(wanted: str | Mapping[str, str], ask: Ask) -> Approve:
    """A function that checks the calls of one reply: it returns why a call must not run, or an empty text if it may.

    After the answer `RUN_ALL` it asks no more.
    """
    answer: Answer | None = None

    def approve(tool: Tool, given: Mapping[str, Any]) -> str:
        nonlocal answer
        chosen = policy(wanted, tool)
        if chosen != ASK:
            return SET_TO_NEVER if chosen == NEVER else ""
        if answer is not Answer.RUN_ALL:
            answer = ask(tool.name, given)
        return NOBODY if answer is None else REFUSED if answer is Answer.REFUSE else ""

    return approve


def check(wanted: str | Mapping[str, str], tools: Iterable[Tool], *, can_ask: bool) -> None:
    """Raise `UsageError` if a tool needs approval and nobody can be asked."""
    asking = [tool for tool in tools if policy(wanted, tool) == ASK]
    if asking and not can_ask:
        option, name = asking[0].option, asking[0].name
        raise UsageError(
            f"{option} {name}: it is to run only when approved, and nobody can be asked here.",
            advice=f"%config ClaudeMagic.approve = {{{name!r}: 'always'}} lets it run unasked. Nothing was sent.",
        )


def wrong(wanted: Any) -> str:
    """The error in a value of the setting `approve`; empty if it is valid."""
    if isinstance(wanted, str):
        return "" if wanted in CHOICES else f"approve is one of {', '.join(CHOICES)}, not {wanted!r}."
    if not isinstance(wanted, Mapping) or not all(isinstance(each, str) for each in wanted):
        return f"approve is one of {', '.join(CHOICES)}, or such a value for each of some tools' names."
    odd = next((name for name, chosen in wanted.items() if chosen not in CHOICES), None)
    return "" if odd is None else f"approve is one of {', '.join(CHOICES)} for {odd!r}, not {wanted[odd]!r}."
