"""Where Python code asks: the kernel of IPython's shell, or one of its own where there is no IPython."""

from __future__ import annotations

import functools
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from traitlets.config import Configurable

from ...notebook.cell import Cell
from ...session.kernel import Kernel
from .. import followed


class PlainShell(Configurable):
    """What a kernel takes of IPython's shell, in Python without IPython: the names of the main program."""

    def __init__(self) -> None:
        super().__init__()
        self.user_global_ns = self.user_ns = vars(sys.modules["__main__"])
        self.user_ns_hidden: dict[str, Any] = {name: None for name in self.user_ns if name.startswith("__")}
        self.history_manager = None
        self.display_pub = None
        self.displayhook = SimpleNamespace(prompt_count=0)
        self.compile = SimpleNamespace(cache=lambda code: "<claude>")


class PlainKernel(Kernel):
    """A kernel without a notebook: there is no file, no journal and no cell."""

    def __init__(self) -> None:
        shell: Any = PlainShell()
        super().__init__(shell)
        self.configuration.journal = False

    @property
    def cell(self) -> Cell:
        """One cell for all that the program asks."""
        return Cell(run="program")

    def path_of(self, cell: Cell) -> Path | None:
        """There is no file."""
        return None

    def warning(self) -> str | None:
        """Nothing is printed into a program's output."""
        return None


@functools.cache
def _plain() -> PlainKernel:
    return PlainKernel()


_FINDING = threading.Lock()  # threads may ask at once, before there is a kernel


def kernel() -> Kernel:
    """The kernel of this process's shell; without IPython, one of its own."""
    ipython = sys.modules.get("IPython.core.getipython")
    with _FINDING:
        shell = ipython.get_ipython() if ipython is not None else None
        found = _plain() if shell is None else followed(shell)
        _ = found.configuration
        return found


def spelled(advice: str, kernel: Kernel) -> str:
    """Advice on a setting, as it is set where there is no `%config`."""
    return advice.replace("%config ClaudeMagic.", "claude_magic.config.") if isinstance(kernel, PlainKernel) else advice
