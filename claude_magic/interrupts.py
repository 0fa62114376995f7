"""Context managers for an Interrupt (SIGINT): delayed to a block's end or until a loop checks for it, or raised at
once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted(*, swallow: bool = False) -> Iterator[None]:
    """Delay an Interrupt until the block has ended, then raise `KeyboardInterrupt`.

    With `swallow`, drop it instead: the block cleans up after an Interrupt, and people press it twice. Does nothing
    outside of the main thread.
    """
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
        if callable(before):  # that of an event loop cancels its task
            before(signal.SIGINT, None)
            return
        raise KeyboardInterrupt


@contextmanager
def raised() -> Iterator[None]:
    """Raise `KeyboardInterrupt` for an Interrupt inside a block that blocks an event loop, whose own way to stop a task
    would wait for the block's end. Does nothing outside of the main thread, and where no loop runs."""
    if not _loop_runs() or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


HEARD_SECONDS = 0.2


@contextmanager
def heard() -> Iterator[None]:
    """Let the running event loop hear an Interrupt within `HEARD_SECONDS`: where the system gives the signal to another
    thread, Python runs its handler only when the loop wakes up by itself."""
    loop = asyncio.get_running_loop()
    waking = loop.call_later(HEARD_SECONDS, lambda: wake())

    def wake() -> None:
        nonlocal waking
        waking = loop.call_later(HEARD_SECONDS, wake)

    try:
        yield
    finally:
        waking.cancel()


class Noticed:
    """Flag for an Interrupt, for loops that check `pressed` themselves.

    An Interrupt sets the flag and raises nothing, so the loop stops between two steps; only inside `raised`, where the
    user's code runs, does it raise `KeyboardInterrupt`.
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
        """Raise `KeyboardInterrupt` for an Interrupt inside this block."""
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
