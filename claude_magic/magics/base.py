"""What the magics beside `%claude` share: the shell, and the one that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from IPython.core.magic import Magics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .claude import ClaudeMagic


class BesideMagics(Magics):
    """Magics that ask by way of `%claude`'s own: its session, its options, its configuration."""

    shell: InteractiveShell

    def __init__(self, asking: ClaudeMagic) -> None:
        super().__init__(shell=asking.shell)
        self._asking = asking
