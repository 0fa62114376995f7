"""`ask` and `aask`: the question of a `%%claude` cell from Python code, for loops, functions and scripts."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...client import BLOCKING, OnLoop, now
from ...content.text import short
from ...errors import ClaudeError, ReplyCancelled, ReplyInterrupted, UsageError
from ...interrupts import heard, raised
from ...notebook import preload
from . import arguments, place

if TYPE_CHECKING:
    from ...client import Transport

_MAX_QUOTED = 60


def ask(prompt: str, *values: Any, show: bool = False, **options: Any) -> Any:
    """Ask Claude, as a `%%claude` cell does, and return the reply.

    In a notebook it stands in the same conversation, budget and record as the cell that it runs in; elsewhere the
    program has a conversation of its own. With `show`, the reply is shown as it comes.

    Args:
        prompt: text; `{{` in it is text too.
        values: what goes behind it, one after the other: text as text, all else as `{{…}}` shows it in a cell.
        show: show the reply as a cell does.
        options: those of `%%claude`, under their Python names: `model="haiku"`, `once=True`, `stop=["END"]`,
            `tools=[function]`, `schema=Type`, `image=figure`, `file=["a.pdf"]`, `budget=0.5` (USD). None is an option
            that is not given: the default of `ClaudeMagic` counts.

    Returns:
        The reply: a `str` that shows itself as rendered Markdown, with `.thinking`, `.code`, `.usage` (tokens),
        `.cost` (USD), `.blocks` and `.citations`. With `schema`, the validated value.

    Raises:
        UsageError: for what cannot be asked; nothing was sent.
        ClaudeError: for what failed; `.reply` of the error has what arrived, if anything did. An Interrupt is a
            `ReplyInterrupted`.
    """
    with suppress(KeyboardInterrupt), raised():
        return now(_ask(prompt, values, options, show, BLOCKING))
    raise ReplyInterrupted("Interrupted before the reply began.")


async def aask(prompt: str, *values: Any, show: bool = False, **options: Any) -> Any:
    """`ask` as a coroutine: several at once with `asyncio.gather(aask(…), aask(…))`.

    Each sees the conversation as it is when it is asked. The replies join it in the order in which they were asked.
    One that is cancelled keeps what had arrived. Functions that Claude calls run one at a time, and hold up the loop.
    """
    try:
        with heard():
            return await _ask(prompt, values, options, show, OnLoop())
    except ReplyCancelled as error:
        stopped = error
    cancelled: Any = asyncio.CancelledError(str(stopped))  # of no class of ours, which `asyncio.timeout` would not know
    cancelled.reply, cancelled._render_traceback_ = stopped.reply, stopped._render_traceback_
    raise cancelled


async def _ask(prompt: str, values: tuple[Any, ...], given: dict[str, Any], show: bool, transport: Transport) -> Any:
    preload.finish()
    from ..ask import Typed, answer

    if not isinstance(prompt, str):
        raise UsageError(
            f"ask() wants its prompt as text, not as {type(prompt).__name__}.",
            advice='Values go behind it: ask("What is this?", value).',
        )
    if not isinstance(show, bool):
        raise UsageError(f"show is True or False, not {short(repr(show), _MAX_QUOTED)}.")
    kernel = place.kernel()
    cell, names = kernel.cell, kernel.namespace
    read = arguments.read(given, kernel.configuration.defaults(), names)
    typed = Typed(read.options, str(prompt), cell, read.names, read.shape, arguments.values(values, names))
    try:
        return (await answer(kernel, typed, show=show, transport=transport)).value
    except ClaudeError as error:
        error.advice = place.spelled(error.advice, kernel)
        raise


def _with_signature(function: Any) -> None:
    """Name the options in the signature, for completion and help."""
    signature = inspect.signature(function)
    kept = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    function.__signature__ = signature.replace(parameters=[*kept, *arguments.parameters()])


for _function in (ask, aask):
    _with_signature(_function)
