"""Call code of other libraries safely: no import, no exception, a time limit."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .text import join_line, short

MAX_NAME_CHARACTERS = 60
# The alarm repeats: the other code may catch the exception of the first.
_ALARM_AGAIN_SECONDS = 0.2


class TookTooLong(BaseException):
    """Code of another library exceeded its time limit. Not an `Exception`, so that this code does not catch it."""


def is_from_library(value: Any, *libraries: str) -> bool:
    """Whether a value's class, or a base class of it, is defined in one of these top-level packages."""
    return any(str(base.__module__).partition(".")[0] in libraries for base in type(value).__mro__)


def try_or_none(form: Callable[[], Any]) -> Any:
    """The result of a call, or None if it raises anything, `SystemExit` included.

    `KeyboardInterrupt` and `TookTooLong` pass through.
    """
    try:
        return form()
    except (KeyboardInterrupt, TookTooLong):
        raise
    except BaseException:
        return None


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` in the block after so many seconds.

    It uses the Unix alarm signal, which works in the main thread, where cells run: elsewhere there is no limit but the
    reader's Interrupt. An alarm that other code has set still rings at its time, or right after the block.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TookTooLong(f"more than {seconds:g} s")

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _ALARM_AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if remaining:
            signal.setitimer(signal.ITIMER_REAL, max(remaining - (time.monotonic() - started), 0.001), interval)


def type_name(value: Any) -> str:
    """The name of a value's class on one short line."""
    name = try_or_none(lambda: join_line(str(type(value).__name__)))
    return short(name or "object", MAX_NAME_CHARACTERS)


def one_line(error: BaseException) -> str:
    """An exception's type and message on one line, even if converting the message fails."""
    message = try_or_none(lambda: join_line(str(error))) or ""
    return short(f"{type_name(error)}: {message}" if message else type_name(error), 200)
