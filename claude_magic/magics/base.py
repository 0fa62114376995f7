"""The base class of all families of magics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import Magics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.kernel import Kernel


class KernelMagics(Magics):
    """Magics with access to the kernel: its sessions, settings and executions."""

    shell: InteractiveShell

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(shell=kernel.shell)
        self.kernel = kernel
