"""The names that the expressions of a magic see: the notebook's, and before them those of the function that calls it.

IPython finds `$x` and `{x}` of a line magic in the same way (`InteractiveShell.var_expand`, 9.18).
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_RUNNERS = ("run_line_magic", "run_cell_magic", "magic")


class Scope(dict[str, Any]):
    """The notebook's names, and before them those of a function; `function` is its name as messages have it."""

    function = ""


def names_at(shell: InteractiveShell) -> dict[str, Any]:
    """The names that the running magic sees. In a cell itself, this is the notebook's namespace."""
    notebook: dict[str, Any] = shell.user_ns
    frame = _caller(shell)
    if frame is None or frame.f_locals is notebook or frame.f_locals is shell.user_global_ns:
        return notebook
    scope = Scope({**frame.f_globals, **notebook})  # a module's own names only where the notebook has none
    for each in reversed([frame, *_around(frame)]):
        scope.update((name, value) for name, value in each.f_locals.items() if name.isidentifier())
    scope.function = _name(frame.f_code)
    return scope


def places(names: Mapping[str, Any], otherwise: str = "") -> str:
    """Where a name was looked for, to stand behind a message; `otherwise` if it was only in the notebook."""
    return f" in {names.function} or in the notebook" if isinstance(names, Scope) else otherwise


def _caller(shell: InteractiveShell) -> FrameType | None:
    """The frame that calls the running magic; None if the magic is not run by the shell, as in another thread."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _runs_magic(frame, shell):
        frame = frame.f_back
    depth = 1 if frame is None else frame.f_locals.get("_stack_depth", 1)
    for _ in range(depth if isinstance(depth, int) else 1):
        frame = frame and frame.f_back
    while frame is not None and _runs_magic(frame, shell):
        frame = frame.f_back
    return frame


def _runs_magic(frame: FrameType, shell: InteractiveShell) -> bool:
    return frame.f_code.co_name in _RUNNERS and frame.f_locals.get("self") is shell


def _around(frame: FrameType) -> Iterator[FrameType]:
    """The frames of the functions that a comprehension, class or inner function is written in, as far as they run."""
    code, at = frame.f_code, frame.f_back
    while at is not None:
        if at.f_code.co_flags & inspect.CO_OPTIMIZED and code in at.f_code.co_consts:
            yield at
            code = at.f_code
        at = at.f_back


def _name(code: CodeType) -> str:
    """The function of a piece of code: `ask()`; `class A` for the body of a class."""
    named = [part for part in code.co_qualname.split(".") if not part.startswith("<")]
    if not named:
        return "the code that calls it"
    is_class = not code.co_flags & inspect.CO_OPTIMIZED and code.co_name == named[-1]
    return f"class {named[-1]}" if is_class else f"{named[-1]}()"
