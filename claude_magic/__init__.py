"""Claude in notebooks: `%load_ext claude_magic`, then `%%claude` cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .prompt.values.show_as import show_as

__all__ = ["load_ipython_extension", "show_as", "unload_ipython_extension"]
__version__ = "0.2.0"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext claude_magic`."""
    from .magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext claude_magic`."""
    from .magics import unload

    unload(shell)


def __getattr__(name: str) -> Any:
    """`show_as`, imported when it is first asked for: `%load_ext` does without."""
    if name != "show_as":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .prompt.values.show_as import show_as

    return show_as
