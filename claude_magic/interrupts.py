"""Holding an Interrupt off while something is put in order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted(*, swallow: bool = False) -> Iterator[None]:
    """Hold an Interrupt off while something is put in order. It is raised afterwards, or swallowed:
    people press it twice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed and not swallow:
        raise KeyboardInterrupt
