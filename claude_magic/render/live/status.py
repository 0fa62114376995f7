"""What the kernel says of itself while a cell of ours runs: busy, whatever its subshells say.

A page's messages about widgets go to a subshell, which says "busy" before each and "idle" after it; so does the control
channel. The page takes the last word for the kernel's, and shows *Idle* while the cell still runs; a server that shuts
down idle kernels believes it as well.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# ipykernel's own, and private: nothing is done where it is not there.
_PUBLISH = "_publish_status"


def stay_busy(shell: InteractiveShell) -> None:
    """Say "busy" again after each "idle" of another thread, until the running cell ends.

    Call it in the cell's thread; nothing is done in a subshell's, and where no subshell can be.
    """
    kernel: Any = getattr(shell, "kernel", None)
    publish = getattr(kernel, _PUBLISH, None)
    has_subshells = getattr(kernel, "shell_channel_thread", None) is not None
    if publish is None or not has_subshells or threading.current_thread() is not threading.main_thread():
        return
    if _PUBLISH in vars(kernel):  # this cell has asked for it before
        return
    cell = kernel.get_parent("shell")
    publishing = threading.Lock()  # so that nothing says "busy" after the cell's own "idle"
    lasts = True

    def publish_status(status: str, *arguments: Any, **named: Any) -> None:
        with publishing:
            publish(status, *arguments, **named)
            if status == "idle" and lasts and threading.current_thread() is not threading.main_thread():
                publish("busy", "shell", parent=cell)

    def end() -> None:
        nonlocal lasts
        with publishing:
            lasts = False
            vars(kernel).pop(_PUBLISH, None)
        shell.events.unregister("post_execute", end)

    setattr(kernel, _PUBLISH, publish_status)
    shell.events.register("post_execute", end)
