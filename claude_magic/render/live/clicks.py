"""Whether clicks on widgets arrive while a cell runs: they do on a subshell of the kernel's, which the page opens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# How long a page may take, from the panel on, until it has opened a subshell.
PAGE_SECONDS = 10.0
LOOK_SECONDS = 0.02
# After how long, from the panel on, a subshell that was there before it counts as the page's for widgets.
SETTLED_SECONDS = 1.0


class Clicks:
    """The clicks on widgets that are made now.

    JupyterLab opens a subshell with a page's first widget, and others for other comms, ours among them. Before it has,
    a click waits for the cell's end. A subshell from before the widgets may be of another comm, or of the page before
    it was loaded anew; but where the page has other widgets, it serves all of them.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._before = frozenset(_subshells(shell))
        self._made = time.monotonic()

    @property
    def arrive(self) -> bool:
        """Whether they arrive by now."""
        found = _subshells(self._shell)
        is_settled = time.monotonic() - self._made >= SETTLED_SECONDS
        return bool(found) if is_settled else not self._before.issuperset(found)

    def wait(self, since: float) -> bool:
        """Wait until they arrive; returns whether they do.

        False `PAGE_SECONDS` after `since`, a time of `time.monotonic`, and at once if the kernel has no subshells.
        """
        while not (arrive := self.arrive) and _manager(self._shell) is not None:
            if time.monotonic() - since > PAGE_SECONDS:
                break
            time.sleep(LOOK_SECONDS)
        return arrive


def clicks_arrive(shell: InteractiveShell) -> bool:
    """Whether a page has opened a subshell (ipykernel 7), for whatever it is."""
    return bool(_subshells(shell))


def _subshells(shell: InteractiveShell) -> list[str]:
    manager = _manager(shell)
    return [] if manager is None else manager.list_subshell()


def _manager(shell: InteractiveShell) -> Any:
    """The manager of the kernel's subshells; None if it has none."""
    return getattr(getattr(getattr(shell, "kernel", None), "shell_channel_thread", None), "manager", None)
