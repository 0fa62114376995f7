"""Claude in notebooks: `%load_ext claude_magic`, then `%%claude` cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .showing import show_as

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["load_ipython_extension", "show_as", "unload_ipython_extension"]
__version__ = "0.1.0"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext claude_magic`."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext claude_magic`."""
    from .magics import unload

    unload(shell)
