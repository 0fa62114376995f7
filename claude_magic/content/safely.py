"""Call code of other libraries safely: no import, no exception, a time limit."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .text import join_line, short

MAX_NAME_CHARACTERS = 60
# After the first alarm it rings on: foreign code may have caught it.
_ALARM_AGAIN_SECONDS = 0.2


_ADDRESS = re.compile(r"(<[^\n'\"]{1,300}?) at 0x[0-9A-Fa-f]{4,16}\b")


class TookTooLong(BaseException):
    """Foreign code did not come to an end in its time; no `Exception`, so that it does not catch it itself."""


def is_from_library(value: Any, *libraries: str) -> bool:
    """Whether a value's class, or one that it is made from, is of one of these top-level packages."""
    return any(str(base.__module__).partition(".")[0] in libraries for base in type(value).__mro__)


def try_or_none(form: Callable[[], Any]) -> Any:
    """What a call gives, or None where it fails, even by `SystemExit`: the next one may work."""
    try:
        return form()
    except (KeyboardInterrupt, TookTooLong):
        raise
    except BaseException:
        return None


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends what runs within after so many seconds, by `TookTooLong`.

    By the alarm that Unix has for the main thread, where cells run: elsewhere nothing ends it but the reader's
    Stop. An alarm that somebody else has set rings when it would have, or right after.
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
    """The name of a value's class, in one short line."""
    name = try_or_none(lambda: join_line(str(type(value).__name__)))
    return short(name or "object", MAX_NAME_CHARACTERS)


def one_line(error: BaseException) -> str:
    """An exception's type and message in a line, even if its message is broken."""
    message = try_or_none(lambda: join_line(str(error))) or ""
    return short(f"{type_name(error)}: {message}" if message else type_name(error), 200)


def without_addresses(text: str) -> str:
    """A representation without the places in memory, `<Model at 0x7f…>`, which differ each time."""
    return _ADDRESS.sub(r"\1", text) if " at 0x" in text else text
