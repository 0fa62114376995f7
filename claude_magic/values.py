"""Values → the parts of a prompt that show them: text, numbers, exceptions, code, and whatever IPython can display.

A kind of value is a pair of functions: whether a value is of the kind, and what shows it.
"""

from __future__ import annotations

import base64
import inspect
import io
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from .foreign import attempt
from .pictures import Block, image_block

# Longer text forms of values are shortened, and say so; strings never are.
MAX_VALUE_CHARACTERS = 8_000


@dataclass(frozen=True)
class Text:
    """A piece of text; with `own_lines` it starts and ends at line breaks. `is_code`: it is Python."""

    text: str
    own_lines: bool = False
    is_code: bool = False


Part = Text | Block


def _form(text: str, *, keep_end: bool = False) -> list[Part]:
    """The text form of a value: bounded, and on lines of its own if it has several."""
    kept = _bounded(text, keep_end=keep_end)
    return [Text(kept, own_lines="\n" in kept)]


def _bounded(text: str, *, keep_end: bool = False) -> str:
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    note = f"… [shortened: {MAX_VALUE_CHARACTERS:,} of {len(text):,} characters]"
    return f"{note}\n{text[-MAX_VALUE_CHARACTERS:]}" if keep_end else text[:MAX_VALUE_CHARACTERS] + note


def is_string(value: Any) -> bool:
    return isinstance(value, str)


def string(value: str, name: str) -> list[Part]:
    return [Text(str.__str__(value))]


def is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def binary(value: bytes | bytearray | memoryview, name: str) -> list[Part]:
    """Bytes as the text that they are; text has no zero in it."""
    data = bytes(value)
    text = None if b"\0" in data else attempt(partial(data.decode, "utf-8"))
    return [Text(f"<{type(value).__name__}: {len(data):,} bytes, not UTF-8 text>")] if text is None else _form(text)


def is_scalar(value: Any) -> bool:
    """Whether this is None, a number, or numpy's scalar: their `repr` is noise (`np.float64(1.5)`)."""
    from numbers import Number

    if value is None or isinstance(value, Number):
        return True
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def scalar(value: Any, name: str) -> list[Part]:
    return _form(str(value))


def is_exception(value: Any) -> bool:
    return isinstance(value, BaseException)


def exception(value: BaseException, name: str) -> list[Part]:
    import traceback

    return _form("".join(traceback.format_exception(value)), keep_end=True)


def is_code(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def code(value: Any, name: str) -> list[Part]:
    """The source of a function or class; where there is none, its signature and documentation."""
    try:
        return _form(textwrap.dedent(inspect.getsource(value)))
    except (OSError, TypeError):
        source = _class_in_a_cell(value)
    if source:
        return _form(source)
    try:
        signature = f"{value.__qualname__}{inspect.signature(value)}"
    except (ValueError, TypeError, AttributeError):
        signature = repr(value)
    return _form("\n".join(part for part in (signature, inspect.getdoc(value)) if part))


def _class_in_a_cell(value: Any) -> str | None:
    """The source of a class that a cell defines: `inspect` looks for the file of its module, and finds none."""
    import ast
    import linecache

    name = getattr(value, "__qualname__", "")
    if getattr(value, "__module__", None) != "__main__":
        return None
    for filename in reversed(list(linecache.cache)):
        lines = linecache.getlines(filename)
        if not any(line.startswith(f"class {name}") for line in lines):
            continue
        for node in ast.parse("".join(lines)).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno])
    return None


def displayed(value: Any, name: str) -> list[Part]:
    """A value as IPython displays it: as an image, else as Markdown, else as plain text."""
    for mime, data in _display_forms(value):
        parts = attempt(partial(_display_form, mime, data))
        if parts:
            return list(parts)
    return _plain(value)


def _display_form(mime: str, data: Any) -> list[Part]:
    if mime.startswith("image/"):
        return [image_block(base64.b64decode(data) if isinstance(data, str) else bytes(data))]
    return _form(str(data))


_DISPLAY_METHODS = {"image/png": "_repr_png_", "image/jpeg": "_repr_jpeg_", "text/markdown": "_repr_markdown_"}


def _display_forms(value: Any) -> Iterator[tuple[str, Any]]:
    """A value's own forms, best first. Not by way of `DisplayFormatter.format`: that would show widgets and
    print the tracebacks of broken formatters."""
    bundle = attempt(lambda: _own_form(value, "_repr_mimebundle_")) or {}
    for mime, method in _DISPLAY_METHODS.items():
        data = bundle.get(mime) if isinstance(bundle, Mapping) else None
        if not data:
            printer = _registered(value, mime)
            data = attempt(partial(printer, value) if printer else partial(_own_form, value, method))
        if isinstance(data, tuple):  # with metadata
            data = data[0]
        if data:
            yield mime, data


def _own_form(value: Any, method: str) -> Any:
    from IPython.utils.dir2 import get_real_method

    display = get_real_method(value, method)
    result = display() if display else None
    return result[0] if isinstance(result, tuple) else result


def _formatter(mime: str) -> Any:
    """This notebook's formatter for a form; None outside of IPython."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell.display_formatter.formatters[mime] if shell and shell.display_formatter else None


def _registered(value: Any, mime: str) -> Callable[[Any], Any] | None:
    """The function with which this notebook displays such values, if one is registered."""
    formatter = _formatter(mime)
    try:
        return formatter.lookup(value) if formatter else None
    except KeyError:
        return None


def _plain(value: Any) -> list[Part]:
    """IPython's pretty form, else the repr."""
    from IPython.lib import pretty

    formatter = _formatter("text/plain")
    printers = formatter and {
        "singleton_pprinters": formatter.singleton_printers,
        "type_pprinters": formatter.type_printers,
        "deferred_pprinters": formatter.deferred_printers,
    }
    stream = _BoundedStream()
    create: Any = pretty.RepresentationPrinter  # which has no types
    try:
        printer = create(stream, **(printers or {}))
        printer.pretty(value)
        printer.flush()
    except _StreamFull:
        note = f"… [shortened: {MAX_VALUE_CHARACTERS:,} of more than {stream.tell():,} characters]"
        return [Text(stream.getvalue()[:MAX_VALUE_CHARACTERS] + note, own_lines=True)]
    except Exception:
        return _form(repr(value))
    return _form(stream.getvalue())


class _StreamFull(Exception):
    """A text form has grown far beyond what will be kept of it."""


class _BoundedStream(io.StringIO):
    """Ends the printing of a vast nested value, of which only the start is kept."""

    def write(self, text: str, /) -> int:
        written = super().write(text)
        if self.tell() > 100 * MAX_VALUE_CHARACTERS:
            raise _StreamFull
        return written
