"""Preloading: what the first question needs is imported in a thread of its own while the kernel is idle.

While a cell of the reader's runs, the thread waits before the next module. It goes on if somebody waits for a module
that it is importing. It comes to its end before a magic's first use, since two threads that import modules of one
package at a time may each see half of it, and before a fork: a child would wait for its locks for ever.
"""

from __future__ import annotations

import _imp
import atexit
import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# How often the thread looks whether it may go on, after how long it does in any case, how long it works at a time, and
# how long it rests then, in seconds.
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 2.0
WORK_SECONDS = 0.002
BREATH_SECONDS = 0.0005
# After how many new objects garbage is looked for while modules are imported. They make some 300,000 that stay, and a
# sixth of the time would go into walks through them.
NEW_OBJECTS = 500_000
_BOOTSTRAP = "<frozen importlib._bootstrap>"


class Preload:
    """The preloading of one shell. `modules` is asked when the kernel is idle for the first time: the names of modules
    in their order; none if nothing is to be preloaded."""

    def __init__(self, shell: InteractiveShell, modules: Callable[[], Sequence[str]]) -> None:
        self._shell = shell
        self._modules = modules
        self._idle = threading.Event()
        self._breathed = 0.0
        self._is_ended = False
        self._is_urgent = False  # whether somebody waits for the end
        self._collector = _Collector()
        self._thread: threading.Thread | None = None
        _ALL.add(self)

    def watch(self) -> None:
        """Follow the shell's cells."""
        self._shell.events.register("pre_run_cell", self._begin_cell)
        self._shell.events.register("post_run_cell", self._end_cell)

    def unwatch(self) -> None:
        """Follow them no more; what has begun comes to its end."""
        for name, hook in (("pre_run_cell", self._begin_cell), ("post_run_cell", self._end_cell)):
            if hook in self._shell.events.callbacks[name]:
                self._shell.events.unregister(name, hook)
        self._idle.set()

    def finish(self) -> None:
        """Wait until all is imported that has begun to be."""
        self._is_urgent = True
        self._idle.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self._is_urgent = False

    def end(self) -> None:
        """Break off: the process ends."""
        self._is_ended = True
        self.finish()

    def _begin_cell(self, info: Any) -> None:
        self._idle.clear()

    def _end_cell(self, result: Any) -> None:
        self._idle.set()
        if self._thread is None and (modules := self._modules()):
            name = "claude_magic preload"
            self._thread = threading.Thread(target=self._run, args=(modules,), name=name, daemon=True)
            self._thread.start()

    def _run(self, modules: Sequence[str]) -> None:
        gate = _Gate(threading.get_ident(), self._breathe)
        # Lists of their own: an import under way goes through its list by position, and would leave out a finder.
        sys.meta_path = [gate, *sys.meta_path]
        try:
            self._compile()
            self._collector.put_off()
            for name in modules:
                _import(name)
        except _Ended:
            pass
        finally:
            self._collector.restore()
            sys.meta_path = [each for each in sys.meta_path if each is not gate]

    def _compile(self) -> None:
        """Compile the checks of records, which takes 0.2 s."""
        from ..conversation import record_schema

        self._wait()
        record_schema.prepare()

    def _wait(self) -> None:
        """Wait until the kernel is idle; not if another thread waits for a module, and not for ever: in the middle of
        an import, locks that we know nothing of may be held."""
        if self._idle.is_set():
            return
        self._collector.restore()  # the reader's cell may make garbage
        over = time.monotonic() + PATIENCE_SECONDS
        while not (self._idle.is_set() or _is_awaited(threading.get_ident()) or time.monotonic() > over):
            self._idle.wait(POLL_SECONDS)
        self._collector.put_off()

    def _breathe(self) -> None:
        """Wait as above, and let others have the interpreter: they get it at once, not only after its interval.

        Raises `_Ended` when the process ends: the interpreter must not be taken down in the middle of an import.
        """
        self._wait()
        if self._is_ended:
            raise _Ended
        if not self._is_urgent and time.monotonic() - self._breathed > WORK_SECONDS:
            time.sleep(BREATH_SECONDS)
            self._breathed = time.monotonic()


def finish() -> None:
    """Wait until all that has begun to be imported is, in every shell."""
    for each in list(_ALL):
        each.finish()


class _Ended(BaseException):
    """The process ends."""


class _Collector:
    """Python's collector of garbage, which has put off its work. What the reader sets meanwhile stays."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._changed: tuple[int, int, int] | None = None

    def put_off(self) -> None:
        before = gc.get_threshold()
        if self._changed is None and 0 < before[0] < NEW_OBJECTS:
            gc.set_threshold(NEW_OBJECTS, *before[1:])
            self._before, self._changed = before, gc.get_threshold()

    def restore(self) -> None:
        if self._changed is not None and gc.get_threshold() == self._changed:
            gc.set_threshold(*self._before)
            if not gc.get_freeze_count():  # all that is new becomes old, without a walk
                gc.freeze()
                gc.unfreeze()
        self._changed = None


class _Gate:
    """A finder of modules that finds none: it has its thread wait before each import."""

    def __init__(self, thread: int, wait: Callable[[], None]) -> None:
        self._thread = thread
        self._wait = wait

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if threading.get_ident() != self._thread:
            return
        with suppress(RuntimeError):  # not held: no Python that we know
            _imp.release_lock()  # which is held around each finder, and which every import takes
            try:
                self._wait()
            finally:
                _imp.acquire_lock()


def _import(name: str) -> None:
    with suppress(Exception):  # the first question says what is wrong
        importlib.import_module(name)


def _is_awaited(own: int) -> bool:
    """Whether another thread waits for the lock of a module that is being imported."""
    return any(_waits(frame) for thread, frame in sys._current_frames().items() if thread != own)


def _waits(frame: Any) -> bool:
    code = frame.f_code
    return code.co_filename == _BOOTSTRAP and code.co_name in ("acquire", "cb", "__enter__", "_get_module_lock")


_ALL: WeakSet[Preload] = WeakSet()


def _end_all() -> None:
    for each in list(_ALL):
        each.end()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=finish)
