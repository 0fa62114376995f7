"""The magics, one module for each family, and the extension that loads them into a shell.

`%load_ext` registers the names of the magics (`registry.py`) and a few hooks; a family's module is imported when one of
its magics is first used.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..notebook import input_lines
from ..notebook.preload import Preload
from ..session.kernel import Kernel
from .registry import DeferredInstance, Families, is_automatic, mistyped

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell


class Extension:
    """The extension in one shell: its kernel and magics, loading and unloading."""

    def __init__(self, shell: InteractiveShell) -> None:
        from IPython.core.completer import context_matcher

        self.shell = shell
        self.kernel = Kernel(shell)
        self.configuration = DeferredInstance(lambda: self.kernel.configuration)
        self.families = Families(self.kernel)
        self.exact_input = input_lines.ExactInput(partial(mistyped, shell), partial(is_automatic, shell))
        self.preload = Preload(shell, self.kernel.preloaded)
        self.matcher = context_matcher(identifier="claude_magic")(lambda context: self._complete(context))

    def load(self) -> None:
        """Register magics and hooks, restore the conversation in the notebook's file, and say in a line who answers."""
        self.unload()
        shell = self.shell
        self.families.register()
        configurables: list[Any] = shell.configurables
        configurables.append(self.configuration)
        input_lines.add(shell, self.exact_input)
        self.preload.watch()
        if shell.Completer is not None:
            shell.Completer.custom_matchers.append(self.matcher)
        lines = self._follow()
        if greeting := self.kernel.greeting():  # no line of its own where there is another
            lines = [*lines[:-1], " ".join([*lines[-1:], greeting])]
        for line in lines:
            print(line)

    def follow(self) -> None:
        """Follow the cells of the shell, if that is not done yet: `ask()` does without the magics."""
        for line in self._follow():
            print(line)

    def _follow(self) -> list[str]:
        if self.begin_cell in self.shell.events.callbacks["pre_run_cell"]:
            return []
        self.shell.events.register("pre_run_cell", self.begin_cell)
        self.shell.events.register("post_run_cell", self.end_cell)
        self.kernel.executions.watch()
        return list(self.kernel.begin_cell())

    def unload(self) -> None:
        """Remove all that `load` registered."""
        shell = self.shell
        self.families.unregister()
        configurables: list[Any] = shell.configurables
        configurables[:] = [each for each in configurables if each is not self.configuration]
        input_lines.remove(shell)
        if shell.Completer is not None and self.matcher in shell.Completer.custom_matchers:
            shell.Completer.custom_matchers.remove(self.matcher)
        self.kernel.executions.unwatch()
        self.kernel.end_mcp_servers()
        self.preload.unwatch()
        for event, hook in (("pre_run_cell", self.begin_cell), ("post_run_cell", self.end_cell)):
            if hook in shell.events.callbacks[event]:
                shell.events.unregister(event, hook)
        self.kernel.page.close()

    def begin_cell(self, info: Any = None) -> None:
        """The hook before each cell: tell the kernel, and print its messages, such as restored turns."""
        for line in self.kernel.begin_cell(None if info is None else info.raw_cell or ""):
            print(line)

    def end_cell(self, _result: Any = None) -> None:
        """The hook after each cell."""
        self.kernel.end_cell()

    def _complete(self, context: CompletionContext) -> SimpleMatcherResult:
        from . import completion

        return completion.match(context, self.shell, lambda: list(self.kernel.session.chats.shown))


# The one unavoidable global: the extension of each shell. It outlives `%unload_ext`, so that `%reload_ext` keeps the
# conversation.
_LOADED: WeakKeyDictionary[Any, Extension] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Load the extension into a shell."""
    _extension(shell).load()


def unload(shell: InteractiveShell) -> None:
    """Unload the extension from a shell."""
    if shell in _LOADED:
        _LOADED[shell].unload()


def followed(shell: InteractiveShell) -> Kernel:
    """The kernel behind a shell whose cells are followed from now on, with or without the magics."""
    extension = _extension(shell)
    extension.follow()
    return extension.kernel


def _extension(shell: InteractiveShell) -> Extension:
    if shell not in _LOADED:
        _LOADED[shell] = Extension(shell)
    return _LOADED[shell]


def kernel_of(shell: InteractiveShell) -> Kernel:
    """The kernel behind the magics of a shell. Raises `KeyError` if the extension was not loaded."""
    return _LOADED[shell].kernel
