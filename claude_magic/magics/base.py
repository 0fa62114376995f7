"""What the families of magics share: the shell and the kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import Magics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.kernel import Kernel


class KernelMagics(Magics):
    """Magics that work by way of a kernel: its sessions, its settings, what ran in it."""

    shell: InteractiveShell

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(shell=kernel.shell)
        self.kernel = kernel
