"""The table of magics and their modules, each imported when one of its magics is first used.

A new magic is a method in a module of this package and its name in `FAMILIES`; the help of `%%claude` and the reference
are made from these.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..notebook import preload

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.kernel import Kernel
    from .base import KernelMagics

MAX_NAME_CHARACTERS = 30  # of a name that may be a mistyped one of ours

# module.Class → its magics; `%%` is a cell magic, `%` a line magic
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


def names(percent: str = "") -> list[str]:
    """The names of all magics without `%`, each once, in the order of the table; or of those with `%`, or with `%%`."""
    ours = (magic for magics in FAMILIES.values() for magic in magics if not percent or _kind(magic) == _kind(percent))
    return list(dict.fromkeys(magic.lstrip("%") for magic in ours))


class Deferred:
    # A proxy for an object that is made on first use. (No docstring: `__doc__` is that of the object.)
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
    # A proxy with the class of its object, which `%config` checks.
    __slots__ = ()

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # for isinstance() and `%config`
        return type(self._object())


class Families:
    """The families of magics of one shell: their names are registered at once, their classes made on first use."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._made: dict[str, KernelMagics] = {}

    def register(self) -> None:
        """Register the names of all magics in the shell."""
        manager = self._shell.magics_manager
        for family, magics in FAMILIES.items():
            if family in self._made:
                self._shell.register_magics(self._made[family])
                continue
            for magic in magics:
                kind, name = _kind(magic), magic.lstrip("%")
                manager.magics[kind][name] = Deferred(partial(self._find, family, kind, name))

    def unregister(self) -> None:
        """Remove all magics from the shell."""
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
        """Import and register a magic's family, in place of its proxies, and return the magic's function."""
        if family not in self._made:
            preload.finish()
            module, _, kind_of_magics = family.partition(".")
            found = getattr(importlib.import_module(f".{module}", __package__), kind_of_magics)
            self._made[family] = found(self._kernel)
            self._shell.register_magics(self._made[family])
        return self._shell.magics_manager.magics[kind][name]


def _kind(magic: str) -> str:
    return "cell" if magic.startswith("%%") else "line"


def mistyped(shell: InteractiveShell, percent: str, name: str) -> str | None:
    """What stands in Python for a magic that does not exist and is nearly one of ours: `run_mistyped`; else None."""
    manager = shell.magics_manager
    if name in manager.magics[_kind(percent)] or name in manager.lazy_magics or near(percent, name) is None:
        return None
    return f"__import__({__name__!r}, fromlist=['run_mistyped']).run_mistyped"


def is_automatic(shell: InteractiveShell, name: str) -> bool:
    """Whether a name alone calls the line magic of that name, as IPython's automagic has it."""
    from IPython.core.prefilter import is_shadowed

    return name in names("%") and bool(shell.automagic) and not is_shadowed(name, shell)  # type: ignore[no-untyped-call]


def near(percent: str, name: str) -> str | None:
    """Our magic that a mistyped name is nearest to; None if it is not near to any."""
    if len(name) > MAX_NAME_CHARACTERS or len(set("claude") - set(name.lower())) > 1:
        return None
    import difflib

    found = difflib.get_close_matches(name.lower(), names(percent), n=1, cutoff=0.81)
    return percent + found[0] if found else None


def run_mistyped(shell: Any, percent: str, name: str, line: str, body: str | None) -> Any:
    """Run a magic that has come to exist in the same cell. Raises `UsageError` where it has not, with what was
    meant."""
    from ..errors import UsageError

    if name not in shell.magics_manager.magics[_kind(percent)]:
        raise UsageError(f"There is no magic {percent}{name}.", advice=f"Did you mean {near(percent, name)}?")
    return shell.run_line_magic(name, line, 2) if body is None else shell.run_cell_magic(name, line, body)
