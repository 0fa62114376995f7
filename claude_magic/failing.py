"""An error with what it takes to understand it: the cell that failed, the traceback, the values its line used.

Only frames of the notebook and of the reader's own modules are looked into. Values are shown as they are now.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import sysconfig
import textwrap
import traceback
from collections.abc import Iterator
from functools import partial
from types import FrameType, ModuleType, TracebackType
from typing import Any

from . import context
from .content.parts import Limits, Part, Text, fence, shortened
from .content.safely import one_line, try_or_none
from .content.secrets import MASK, Secrets, is_secret_name
from .notebook.executions import Failure

MAX_SOURCE_BYTES = 14_000
MAX_TRACEBACK_BYTES = 14_000
MAX_FUNCTION_BYTES = 5_000
MAX_VALUE_BYTES = 2_000
VALUE_LIMITS = Limits(value_tokens=500)
MAX_FRAMES = 3
MAX_VARIABLES = 12
_LIBRARIES = tuple({path for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")})


def error_parts(failure: Failure, source: str | None, secrets: Secrets) -> list[Part]:
    """The error as parts of a prompt. `source` is what stood in the cell that failed."""
    error = failure.error
    frames = list(_frames(error))[-MAX_FRAMES:]
    where = f"cell [{failure.number}]" if failure.number else "this notebook"
    found: list[Part] = [Text(f"The last error is in {where}.", own_lines=True)]
    if source is not None:
        found += fence(shortened(source.rstrip("\n"), MAX_SOURCE_BYTES), "python", is_code=True)
    for function in _functions(frames, source or ""):
        found += fence(shortened(function, MAX_FUNCTION_BYTES), "python", is_code=True)
    found += [Text("Traceback:", own_lines=True), *fence(_traceback(error))]
    variables = [line for frame in frames for line in _variables(frame, secrets)]
    if variables:
        found += [Text("What the failing lines use, as it is now:", own_lines=True), *fence("\n".join(variables))]
    return found


def error_line(error: BaseException) -> str:
    """An exception's type and message."""
    return one_line(error)


def _traceback(error: BaseException) -> str:
    """As Python prints it, from the notebook's own first frame on."""
    first = error.__traceback__
    while first is not None and not _is_of_reader(first.tb_frame):
        first = first.tb_next
    lines = try_or_none(lambda: traceback.format_exception(type(error), error, first or error.__traceback__))
    return shortened("".join(lines or [one_line(error)]).rstrip("\n"), MAX_TRACEBACK_BYTES, keep_end=True)


def _frames(error: BaseException) -> Iterator[TracebackType]:
    at = error.__traceback__
    while at is not None:
        if _is_of_reader(at.tb_frame):
            yield at
        at = at.tb_next


def _is_of_reader(frame: FrameType) -> bool:
    """Whether a frame is of a cell or of a module that is no library."""
    name = frame.f_code.co_filename
    is_of_cell = frame.f_globals.get("__name__") == "__main__" and bool(linecache.getlines(name))
    return is_of_cell or not (name.startswith(("<", *_LIBRARIES)) or "site-packages" in name)


def _functions(frames: list[TracebackType], source: str) -> Iterator[str]:
    """The source of functions on the way that do not stand in the cell itself."""
    codes = dict.fromkeys(each.tb_frame.f_code for each in frames if each.tb_frame.f_code.co_name != "<module>")
    for code in codes:
        text = try_or_none(partial(inspect.getsource, code))
        text = textwrap.dedent(text or "").rstrip("\n")
        if text and text not in source:
            yield text


def _variables(at: TracebackType, secrets: Secrets) -> Iterator[str]:
    """A line for each variable that the failing line of a frame uses: name, type and value."""
    frame = at.tb_frame
    names = dict.fromkeys(_names_used(at))
    for name in itertools.islice(names, MAX_VARIABLES):
        for space in (frame.f_locals, frame.f_globals):
            if name in space:
                if not isinstance(space[name], ModuleType):
                    yield _variable(name, space[name], secrets)
                break


def _variable(name: str, value: Any, secrets: Secrets) -> str:
    kind = try_or_none(lambda: type(value).__name__) or "object"
    if inspect.isroutine(value) or inspect.isclass(value):
        signature = try_or_none(lambda: str(inspect.signature(value)))
        return f"{name}: {kind} {getattr(value, '__qualname__', name)}{signature or ''}"
    if not secrets.allowed and is_secret_name(name) and not isinstance(value, int | float):
        return f"{name} ({kind}) = {MASK}"
    rendered = context.parts_of(value, name, secrets, VALUE_LIMITS)
    text = "".join(part.text if isinstance(part, Text) else f"<{part['type']}>" for part in rendered)
    text = repr(value) if type(value) is str else text
    return f"{name} ({kind}) = {shortened(text, MAX_VALUE_BYTES)}"


def _names_used(at: TracebackType) -> Iterator[str]:
    """The names in the statement that failed, in their order."""
    lines = linecache.getlines(at.tb_frame.f_code.co_filename)
    tree = try_or_none(lambda: ast.parse("".join(lines)))
    if tree is None:
        return
    first, last = _span(at)
    used = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.lineno <= last and (node.end_lineno or 0) >= first
    ]
    yield from (node.id for node in sorted(used, key=lambda node: (node.lineno, node.col_offset)))


def _span(at: TracebackType) -> tuple[int, int]:
    """The lines of what failed: an expression may go over several."""
    positions = list(itertools.islice(at.tb_frame.f_code.co_positions(), at.tb_lasti // 2, at.tb_lasti // 2 + 1))
    first, last = positions[0][:2] if positions else (None, None)
    return min(first or at.tb_lineno, at.tb_lineno), max(last or at.tb_lineno, at.tb_lineno)
