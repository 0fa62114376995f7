"""The magics, one module for each family, and the extension that loads them into a shell.

`%load_ext` registers the names of the magics (`registry.py`) and a few hooks; a family's module is imported when one of
its magics is first used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.completer import context_matcher

from ..session.kernel import Kernel
from .registry import DeferredInstance, Families, own_line, refusal_of

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

_CELL = re.compile(r"%%(claude\w*)(?![\w?])[ \t]*(.*)")
_MISTYPED = re.compile(r"%%(\w+)(?![\w?])")


def exact_cells(lines: list[str]) -> list[str]:
    """An input transformer that passes the body of a `%%claude` cell on unchanged.

    It runs before IPython's own transformers, which strip prompts and indents.
    """
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    found = _CELL.match(lines[first].rstrip()) if first < len(lines) else None
    if found is None or found.group(2).endswith("?"):
        return lines
    name, line = found.groups()
    body = "".join(lines[first + 1 :]) or "\n"  # for an empty body IPython would print its own message
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


# IPython also runs transformers to check whether a cell is complete, and would take `%%claude` alone as complete;
# transformers with this mark are left out of that check.
exact_cells.has_side_effects = True  # type: ignore[attr-defined]


class Extension:
    """The extension in one shell: its kernel and magics, loading and unloading."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.kernel = Kernel(shell)
        self.configuration = DeferredInstance(lambda: self.kernel.configuration)
        self.families = Families(self.kernel)
        self.own_line = own_line(shell)
        self.matcher = context_matcher(identifier="claude_magic")(lambda context: self._complete(context))

    def load(self) -> None:
        """Register magics and hooks, and restore the conversation in the notebook's file."""
        self.unload()
        shell = self.shell
        self.families.register()
        configurables: list[Any] = shell.configurables
        configurables.append(self.configuration)
        shell.input_transformers_cleanup.insert(0, exact_cells)
        shell.input_transformers_cleanup.insert(0, self.refuse_mistyped)
        shell.input_transformer_manager.token_transformers.append(self.own_line)
        shell.events.register("pre_run_cell", self.begin_cell)
        self.kernel.executions.watch()
        if shell.Completer is not None:
            shell.Completer.custom_matchers.append(self.matcher)
        if not self.begin_cell() and (line := self.kernel.greeting()):
            print(line)

    def unload(self) -> None:
        """Remove all that `load` registered."""
        shell = self.shell
        self.families.unregister()
        configurables: list[Any] = shell.configurables
        configurables[:] = [each for each in configurables if each is not self.configuration]
        cleanup = shell.input_transformers_cleanup
        cleanup[:] = [each for each in cleanup if each not in (exact_cells, self.refuse_mistyped)]
        tokens: list[Any] = shell.input_transformer_manager.token_transformers
        tokens[:] = [each for each in tokens if each is not self.own_line]
        if shell.Completer is not None and self.matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self.matcher)
        self.kernel.executions.unwatch()
        if self.begin_cell in shell.events.callbacks["pre_run_cell"]:
            shell.events.unregister("pre_run_cell", self.begin_cell)

    def refuse_mistyped(self, lines: list[str]) -> list[str]:
        """An input transformer that refuses a cell magic that does not exist and is nearly one of ours."""
        first = next((line for line in lines if line.strip()), "")
        mistyped = _MISTYPED.match(first)
        call = mistyped and refusal_of(self.shell, "%%", mistyped[1])
        return [f"{call}\n"] if call else lines

    def begin_cell(self, info: Any = None) -> bool:
        """The hook before each cell: tell the kernel, and print its messages, such as restored turns. Returns whether
        there were any."""
        said = False
        for line in self.kernel.begin_cell(None if info is None else info.raw_cell or ""):
            print(line)
            said = True
        return said

    def _complete(self, context: CompletionContext) -> SimpleMatcherResult:
        from . import completion

        return completion.match(context, self.shell, lambda: list(self.kernel.session.chats.shown))


# The one unavoidable global: the extension of each shell. It outlives `%unload_ext`, so that `%reload_ext` keeps the
# conversation.
_LOADED: WeakKeyDictionary[Any, Extension] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Load the extension into a shell."""
    if shell not in _LOADED:
        _LOADED[shell] = Extension(shell)
    _LOADED[shell].load()


def unload(shell: InteractiveShell) -> None:
    """Unload the extension from a shell."""
    if shell in _LOADED:
        _LOADED[shell].unload()


def kernel_of(shell: InteractiveShell) -> Kernel:
    """The kernel behind the magics of a shell. Raises `KeyError` if the extension was not loaded."""
    return _LOADED[shell].kernel
