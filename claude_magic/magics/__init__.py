"""The magics: what is registered, and where.

`%load_ext` imports these modules, so they import only what is light; the rest comes with the first
magic that needs it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .claude import ClaudeMagic
from .conversation import ConversationMagics, SystemMagics
from .cost import MoneyMagics
from .fix import FixMagics
from .map import MapMagics
from .models import ModelMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.core.magic import Magics

_CELL = re.compile(r"%%(claude\w*)(?![\w?])[ \t]*(.*)")


def exact_cells(lines: list[str]) -> list[str]:
    """An input transformer that takes `%%claude` cells before IPython's own: those strip prompts and indents."""
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    found = _CELL.match(lines[first].rstrip()) if first < len(lines) else None
    if found is None or found.group(2).endswith("?"):
        return lines
    name, line = found.groups()
    body = "".join(lines[first + 1 :]) or "\n"  # IPython has words of its own for an empty body
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


# IPython asks transformers whether a cell is complete, and this one would make of `%%claude` alone a
# line that is; those that are marked so are not asked.
exact_cells.has_side_effects = True  # type: ignore[attr-defined]

# The one unavoidable global: what was loaded into which shell. It outlives `%unload_ext`, so that
# `%reload_ext` keeps the conversation.
_LOADED: WeakKeyDictionary[Any, list[Magics]] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Register the magics, once, and take up what the notebook's file holds."""
    if shell not in _LOADED:
        asking = ClaudeMagic(shell)
        beside = (FixMagics, ConversationMagics, SystemMagics, ModelMagics, MoneyMagics, MapMagics)
        _LOADED[shell] = [asking, *(each(asking) for each in beside)]
    unload(shell)
    asking = _asking(shell)
    configurables: list[Any] = shell.configurables
    for each in _LOADED[shell]:
        configurables.append(each)
        shell.register_magics(each)
    shell.input_transformers_cleanup.insert(0, exact_cells)
    shell.events.register("pre_run_cell", asking.prepare)
    asking.executions.watch()
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(asking.matcher)
    asking.prepare()


def unload(shell: InteractiveShell) -> None:
    """Take away all that `load` put there."""
    if shell not in _LOADED:
        return
    asking = _asking(shell)
    for each in _LOADED[shell]:
        for kind, names in each.magics.items():
            for name in names:
                shell.magics_manager.magics[kind].pop(name, None)
        shell.magics_manager.registry.pop(type(each).__name__, None)
    configurables: list[Any] = shell.configurables
    configurables[:] = [each for each in configurables if each not in _LOADED[shell]]
    shell.input_transformers_cleanup[:] = [each for each in shell.input_transformers_cleanup if each is not exact_cells]
    if shell.Completer is not None and asking.matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(asking.matcher)
    asking.executions.unwatch()
    if asking.prepare in shell.events.callbacks["pre_run_cell"]:
        shell.events.unregister("pre_run_cell", asking.prepare)


def _asking(shell: InteractiveShell) -> ClaudeMagic:
    return next(each for each in _LOADED[shell] if isinstance(each, ClaudeMagic))
