"""The table of magics and their modules; each is imported when one of its magics is first used.

A new magic is a method in a file of this folder, and its name in `FAMILIES`: the help of `%%claude` and the reference
follow.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.kernel import Kernel
    from .base import KernelMagics

# module.Class → its magics; `%%` is a magic of a cell, `%` of a line
FAMILIES: Mapping[str, tuple[str, ...]] = {
    "claude.AskMagics": ("%claude", "%%claude", "%claude_key"),
    "conversation.ConversationMagics": (
        *("%claude_history", "%claude_undo", "%claude_reset", "%claude_continue", "%claude_compact", "%claude_choose"),
        *("%claude_recover", "%claude_export", "%claude_resume", "%claude_pin", "%claude_unpin"),
    ),
    "conversation.SystemMagics": ("%claude_system", "%%claude_system"),
    "fix.FixMagics": ("%claude_fix",),
    "map.MapMagics": ("%claude_map", "%%claude_map"),
    "cost.CostMagics": ("%claude_cost", "%claude_warm"),
    "models.ModelMagics": ("%claude_models",),
}


def names() -> list[str]:
    """All magics by their names without `%`, each once, in the order of the table."""
    return list(dict.fromkeys(magic.lstrip("%") for magics in FAMILIES.values() for magic in magics))


class Deferred:
    # An object that is made when something of it is first asked for. (No docstring: it has that of what it makes.)
    __slots__ = ("_made", "_make")

    def __init__(self, make: Callable[[], Any]) -> None:
        object.__setattr__(self, "_make", make)
        object.__setattr__(self, "_made", None)

    def _object(self) -> Any:
        if self._made is None:
            object.__setattr__(self, "_made", self._make())
        return self._made

    @property
    def __doc__(self) -> Any:  # type: ignore[override]  # for `?`
        return self._object().__doc__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._object(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._object(), name, value)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._object()(*arguments, **named)


class DeferredInstance(Deferred):
    # The same, of the class of what it makes: `%config` asks for that.
    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # for isinstance() and `%config`
        return type(self._object())


class Families:
    """The magics of one shell: registered at once, made when they are first used."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._made: dict[str, KernelMagics] = {}

    def register(self) -> None:
        """Make all magics known to the shell."""
        manager = self._shell.magics_manager
        for family, magics in FAMILIES.items():
            if family in self._made:
                self._shell.register_magics(self._made[family])
                continue
            for magic in magics:
                kind, name = _kind(magic), magic.lstrip("%")
                manager.magics[kind][name] = Deferred(partial(self._find, family, kind, name))

    def unregister(self) -> None:
        """Take them away again."""
        manager = self._shell.magics_manager
        for family, magics in FAMILIES.items():
            for magic in magics:
                manager.magics[_kind(magic)].pop(magic.lstrip("%"), None)
            manager.registry.pop(family.partition(".")[2], None)
        configurables: list[Any] = self._shell.configurables
        made = list(self._made.values())
        configurables[:] = [each for each in configurables if not any(each is one for one in made)]

    @property
    def _shell(self) -> InteractiveShell:
        return self._kernel.shell

    def _find(self, family: str, kind: str, name: str) -> Any:
        """A magic's own function; its family is imported and registered, in place of what stood for it."""
        if family not in self._made:
            module, _, kind_of_magics = family.partition(".")
            found = getattr(importlib.import_module(f".{module}", __package__), kind_of_magics)
            self._made[family] = found(self._kernel)
            self._shell.register_magics(self._made[family])
        return self._shell.magics_manager.magics[kind][name]


def _kind(magic: str) -> str:
    return "cell" if magic.startswith("%%") else "line"
