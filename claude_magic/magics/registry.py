"""The table of magics and their modules, each imported when one of its magics is first used.

A new magic is a method in a module of this package and its name in `FAMILIES`; the help of `%%claude` and the reference
are made from these.
"""

from __future__ import annotations

import importlib
import re
import tokenize
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import EscapedCommand

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..session.kernel import Kernel
    from .base import KernelMagics

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


def names() -> list[str]:
    """The names of all magics without `%`, each once, in the order of the table."""
    return list(dict.fromkeys(magic.lstrip("%") for magics in FAMILIES.values() for magic in magics))


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
            module, _, kind_of_magics = family.partition(".")
            found = getattr(importlib.import_module(f".{module}", __package__), kind_of_magics)
            self._made[family] = found(self._kernel)
            self._shell.register_magics(self._made[family])
        return self._shell.magics_manager.magics[kind][name]


def _kind(magic: str) -> str:
    return "cell" if magic.startswith("%%") else "line"


class OwnLine(EscapedCommand):
    """An input transformer for two kinds of lines that IPython would not read as they are meant.

    In `%config ClaudeMagic.…`, `{{…}}` stays: IPython would halve the braces. A magic that does not exist, and is
    nearly one of ours, is refused with the name that was meant.
    """

    priority = 5  # before IPython's own transformer of the same line
    shell: InteractiveShell  # set in the class that `own_line` makes

    @classmethod
    def find(cls, tokens_by_line: Any) -> OwnLine | None:
        """The first of these lines in a cell."""
        for line in tokens_by_line:
            first = next((each for each in line if each.type not in (tokenize.INDENT, tokenize.DEDENT)), None)
            if first is not None and first.string == "%" and _call(cls.shell, first.line[first.start[1] :]):
                return cls(first.start)
        return None

    def transform(self, lines: list[str]) -> list[str]:
        """The cell with the line as a call in Python."""
        before, line = lines[: self.start_line], lines[self.start_line]
        call = _call(self.shell, line[self.start_col :])
        return [*before, f"{line[: self.start_col]}{call}\n", *lines[self.start_line + 1 :]]


def own_line(shell: InteractiveShell) -> type[OwnLine]:
    """The input transformer for one shell."""
    return type("OwnLine", (OwnLine,), {"shell": shell})


_OWN_CONFIG = re.compile(r"%config[ \t]+(ClaudeMagic\.\w+[ \t]*=.*\{\{.*)")
_MAGIC = re.compile(r"(%%?)(\w+)(?![\w?.])(?!.*\?\s*$)")


def _call(shell: InteractiveShell, line: str) -> str | None:
    """The call in Python that stands for a line; `None` for a line that is IPython's."""
    if (config := _OWN_CONFIG.match(line)) and not line.rstrip().endswith("\\"):
        return f"get_ipython().find_line_magic('config')({config[1].rstrip()!r})"
    magic = _MAGIC.match(line)
    return magic and refusal_of(shell, magic[1], magic[2])


def refusal_of(shell: InteractiveShell, percent: str, name: str) -> str | None:
    """The call in Python that refuses a magic that does not exist, if its name is nearly one of ours; else `None`."""
    if name.lower()[:2] != "cl" or name in shell.magics_manager.magics[_kind(percent)]:
        return None
    meant = near(percent, name)
    return meant and f"__import__({__name__!r}, fromlist=['refuse']).refuse({percent + name!r}, {meant!r})"


def near(percent: str, name: str) -> str | None:
    """Our magic that a mistyped name is nearest to; `None` if it is not near to any."""
    import difflib

    known = [magic.lstrip("%") for magics in FAMILIES.values() for magic in magics if _kind(magic) == _kind(percent)]
    found = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return percent + found[0] if found else None


def refuse(magic: str, meant: str) -> None:
    """Raise `UsageError` for a magic that does not exist."""
    from ..errors import UsageError

    raise UsageError(f"There is no magic {magic}.", advice=f"Did you mean {meant}? Nothing was sent.")
