"""Claude in notebooks: `%load_ext claude_magic`, then `%%claude` cells; from Python, `ask` and `aask`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .magics.python import aask, ask
    from .prompt.values.show_as import show_as
    from .session.configuration import ClaudeMagic

    config: ClaudeMagic

__all__ = ["aask", "ask", "config", "load_ipython_extension", "show_as", "unload_ipython_extension"]
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
    """The names for Python code, imported when they are first asked for: `%load_ext` does without.

    `config` are the settings of `%config ClaudeMagic`, where there is no IPython too.
    """
    if name == "show_as":
        from .prompt.values.show_as import show_as

        return show_as
    if name in ("ask", "aask"):
        from .notebook import preload

        preload.finish()
        from .magics import python

        return getattr(python, name)
    if name == "config":
        from .magics.python import place

        return place.kernel().configuration
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
