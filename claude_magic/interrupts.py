"""Holding an Interrupt off while something is put in order, or until it is looked for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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


class Noticed:
    """Interrupts while a loop runs that looks for them itself: `pressed` says whether there was one.

    Nothing is torn apart between two lines; only where code of the reader's runs (`raised`) is it broken off.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._raises = False
        self._before: Any = None
        self._own = False

    def __enter__(self) -> Noticed:
        self._own = threading.current_thread() is threading.main_thread()
        if self._own:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            signal.signal(signal.SIGINT, self._before)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Let an Interrupt break off what runs in here."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _note(self, _number: int, _frame: object) -> None:
        self.pressed = True
        if self._raises:
            self._raises = False
            raise KeyboardInterrupt
