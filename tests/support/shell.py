"""A shell in this process, with the extension: quicker than a kernel, where no message matters."""

from __future__ import annotations

import atexit
import time
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from claude_magic import offline
from claude_magic.magics import kernel_of


def ipython_shell() -> InteractiveShell:
    """A shell without IPython's clean-up at exit, which takes a second in a process that has run thousands of tests."""
    shell = InteractiveShell()
    atexit.unregister(shell.atexit_operations)
    return shell


class Shell:
    """Maps ask here, with no panel, and bind `result`."""

    def __init__(self) -> None:
        self.shell = ipython_shell()
        self.shell.run_line_magic("load_ext", "claude_magic")
        self.kernel = kernel_of(self.shell)
        self.configuration = self.kernel.configuration
        self.configuration.panel = False

    def map(self, line: str, prompt: str) -> Any:
        """Run a cell. Returns what it bound; raises what it raised."""
        self.shell.run_cell_magic("claude_map", f"{line} --out result", prompt)
        return self.shell.user_ns["result"]

    def forget(self) -> None:
        """No dollar is spent, and nothing bound."""
        self.kernel.session.spent.clear()
        self.shell.user_ns.pop("result", None)


class OfflineShell(Shell):
    """One that asks a stand-in of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.configuration.provider = "offline"
        self.server: offline.Server = self.kernel.session.client.offline

    def forget(self) -> None:
        """Besides, the stand-in was asked nothing, and answers as it does by itself."""
        super().forget()
        server = self.server
        for each in (server.requests, server.replies, server.faults, server.batch_faults, server.look_faults):
            each.clear()
        server.batches.__init__()  # type: ignore[misc]
        server.script = None

    def wait_unasked(self) -> None:
        """Wait until the stand-in has noticed that nobody asks it any more: until then it may note another request."""
        while self.server._connections:
            time.sleep(0.01)
