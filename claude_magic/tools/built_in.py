"""The built-in tools `python`, `variables` and `read_file`; a cell offers those that its `--tools` names."""

from __future__ import annotations

import ast
import inspect
import os
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from ..content import images
from ..content.safely import is_from_library
from ..conversation.turns import Block
from . import functions

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAX_FILE_BYTES = 10_000_000
MAX_NAMES = 500
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
# Libraries whose `shape` and `columns` are read: in other classes these attributes may run any code.
_SHAPED = ("numpy", "pandas", "polars", "pyarrow", "xarray")
_SIZED = (str, bytes, list, tuple, dict, set, frozenset)


def built_in_tools(shell: InteractiveShell, folder: Path) -> Mapping[str, functions.Tool]:
    """The tools by name; `read_file` reads only in `folder`."""
    readers = (functions.of(_variables(shell), "variables"), functions.of(_read_file(folder), "read_file"))
    found = (functions.of(_python(shell), "python"), *(_read_only(tool) for tool in readers))
    return {tool.name: tool for tool in found}


def _read_only(tool: functions.Tool) -> functions.Tool:
    return functions.Tool(tool.name, tool.definition, tool.call, reads_only=True)


def _python(shell: InteractiveShell) -> Callable[[str], Any]:
    def python(code: Annotated[str, "Python source, of one or more lines"]) -> Any:
        """Run Python code in the reader's notebook, where its variables and imports are.

        What it prints and displays comes back, figures too, and the value of its last line if that is an expression
        without a ; behind it. What it binds stays bound. IPython's magics and shell commands are not available.
        """
        tree = ast.parse(code)
        last = tree.body[-1] if tree.body else None
        name = shell.compile.cache(code)
        with _without_keys():
            if isinstance(last, ast.Expr):
                tree.body.pop()
            _run(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), shell)
            if isinstance(last, ast.Expr):
                expression = ast.Expression(last.value)
                value = _run(compile(expression, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), shell)
                return None if code.rstrip().endswith(";") else value
        return None

    return python


def _run(code: types.CodeType, shell: InteractiveShell) -> Any:
    from . import awaiting

    value = eval(code, shell.user_global_ns, shell.user_ns)
    return awaiting.result(value) if code.co_flags & inspect.CO_COROUTINE else value


@contextmanager
def _without_keys() -> Iterator[None]:
    """Remove the API's keys from the environment while Claude's code runs.

    This only avoids accidents, it is no sandbox: code in the kernel can read all of the kernel's memory.
    """
    held = {name: os.environ.pop(name) for name in list(os.environ) if _is_key(name)}
    try:
        yield
    finally:
        os.environ.update({name: value for name, value in held.items() if name not in os.environ})


def _is_key(name: str) -> bool:
    return name.startswith("ANTHROPIC_") and any(part in name for part in ("KEY", "TOKEN", "SECRET", "HEADERS"))


def _variables(shell: InteractiveShell) -> Callable[[], str]:
    def variables() -> str:
        """List the variables of the reader's notebook: name, type, and size, shape or columns where it has some."""
        own = [name for name in shell.user_ns if name not in shell.user_ns_hidden and not name.startswith("_")]
        lines = [f"{name}: {_kind(shell.user_ns[name])}" for name in sorted(own)[:MAX_NAMES]]
        more = [f"… and {len(own) - MAX_NAMES} more"] if len(own) > MAX_NAMES else []
        return "\n".join([*lines, *more]) or "There are none."

    return variables


def _kind(value: Any) -> str:
    """The type of a value, with its length, shape or columns; for unknown classes only the type."""
    kind = type(value)
    named = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]}.{kind.__name__}"
    if kind in _SIZED:
        return f"{named} of length {len(value)}"
    if not is_from_library(value, *_SHAPED):
        return named
    shape = getattr(value, "shape", None)
    columns = getattr(value, "columns", ()) if isinstance(shape, tuple) and len(shape) == 2 else ()
    shaped = f"{named} of shape {' × '.join(map(str, shape))}" if isinstance(shape, tuple) else named
    listed = ", ".join(str(each) for each in list(columns)[:20])
    return f"{shaped}, columns {listed}{', …' if len(columns) > 20 else ''}" if listed else shaped


def _read_file(folder: Path) -> Callable[[str], Any]:
    def read_file(path: Annotated[str, "relative to the notebook's folder; . is that folder"]) -> Any:
        """Read a text file or a picture in the folder of the reader's notebook, or list the names in a folder there."""
        return _content(_inside(path, folder.resolve()))

    return read_file


def _inside(path: str, folder: Path) -> Path:
    """The resolved path inside a folder, links followed. Raises `PermissionError` if it is outside, or hidden."""
    found = (folder / path).resolve()
    if not found.is_relative_to(folder):
        raise PermissionError(f"{path} is not in the notebook's folder.")
    if any(part.startswith(".") for part in found.relative_to(folder).parts):
        raise PermissionError(f"{path} is hidden, and is not read.")
    return found


def _content(path: Path) -> str | list[Block]:
    if path.is_dir():
        names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in path.iterdir())
        return "\n".join(name for name in names if not name.startswith(".")) or "The folder is empty."
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path.name}.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size:,} bytes; up to {MAX_FILE_BYTES:,} are read.")
    data = path.read_bytes()
    if path.suffix.lower() in _PICTURES:
        return [images.image_block(data)]
    if b"\0" in data:
        raise ValueError(f"{path.name} is neither text nor a picture.")
    return data.decode("utf-8-sig", "replace")
