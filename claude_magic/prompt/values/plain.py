"""Text, numbers, exceptions, code, and any value that IPython can display → parts of a prompt.

Each kind of value is a pair of functions: one tests whether a value is of the kind, one shows it within its room.
"""

from __future__ import annotations

import base64
import inspect
import io
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ...content import html_text, images
from ...content.images import image_block
from ...content.parts import Part, Room, Text, form, shortened
from ...content.safely import is_from_library, one_line, try_or_none, type_name
from ...content.stable_text import in_order, stable, without_addresses
from ...content.tracebacks import traceback_text
from ...errors import UnshowableError

# For a list or mapping that is shown as text; IPython's own default.
PRINTED_ELEMENTS = 1_000


def is_string(value: Any) -> bool:
    return isinstance(value, str)


def string(value: str, name: str, room: Room) -> list[Part]:
    return [Text(shortened(str.__str__(value), room.text))]


def is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview | io.BytesIO)


def binary(value: bytes | bytearray | memoryview | io.BytesIO, name: str, room: Room) -> list[Part]:
    """Bytes as text if they are UTF-8 without a NUL; else their length."""
    held = images.octets(value)
    data = bytes(held[: 4 * room.summary])
    whole = len(held) == len(data)
    text = None if b"\0" in data else try_or_none(partial(data.decode, "utf-8", "strict" if whole else "ignore"))
    if text is None:
        return [Text(f"<{type_name(value)}: {len(held):,} bytes, not UTF-8 text>")]
    if whole:
        return form(text, room.summary)
    kept = shortened(text, room.summary)
    return [Text(f"{kept} [{len(held):,} bytes in all]", own_lines="\n" in kept)]


def is_scalar(value: Any) -> bool:
    """Whether a value is None, a number or a NumPy scalar: shown by `str`, since `repr` gives `np.float64(1.5)`."""
    from numbers import Number

    if value is None or isinstance(value, Number):
        return True
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def scalar(value: Any, name: str, room: Room) -> list[Part]:
    try:
        return form(without_addresses(str(value)), room.summary)
    except ValueError:  # Python does not convert an integer of more than 4,300 digits to text
        return [Text(f"<{type_name(value)} of {value.bit_length():,} bits>")]


def is_exception(value: Any) -> bool:
    return isinstance(value, BaseException)


def exception(value: BaseException, name: str, room: Room) -> list[Part]:
    text = traceback_text(value, room.summary)
    return [Text(text, own_lines="\n" in text)]


def is_code(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def code(value: Any, name: str, room: Room) -> list[Part]:
    """The source of a function or class; without source, its signature and docstring."""
    try:
        return form(textwrap.dedent(inspect.getsource(value)), room.summary)
    except (OSError, TypeError):
        source = _class_in_a_cell(value)
    if source:
        return form(source, room.summary)
    try:
        signature = stable(f"{value.__qualname__}{inspect.signature(value)}")
    except (ValueError, TypeError, AttributeError):
        signature = stable(repr(value))
    return form("\n".join(part for part in (signature, inspect.getdoc(value)) if part), room.summary)


def _class_in_a_cell(value: Any) -> str | None:
    """The source of a class that a cell defines, which `inspect` does not find; None for any other value."""
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


def displayed(value: Any, name: str, room: Room) -> list[Part]:
    """A value as IPython displays it: as an image, else as Markdown, LaTeX or plain text.

    Where the plain text says no more than its class, the text of its HTML or its `str` says more.

    Raises:
        UnshowableError: its only form is an SVG that cannot be rendered.
    """
    for mime, data in _display_forms(value, _BEFORE_PLAIN):
        parts = try_or_none(partial(_display_form, mime, data, room))
        if parts:
            return list(parts)
    shown = plain(value, room)
    if not _has_no_repr(value) and not only_classes(shown.text) and shown.text != type_name(value):
        return _table_of(value, room) or [shown]
    for mime, data in _display_forms(value, _WITHOUT_REPR):
        if mime == "image/svg+xml":
            raise UnshowableError(
                f"{name} is an SVG picture{'' if images.can_render_svg() else ', which is not sent as it is'}.",
                advice=f"{_unrendered(data)} Nothing was sent.",
            )
        parts = try_or_none(partial(_display_form, mime, data, room))
        if parts:
            return list(parts)
    return _str(value, room) or [shown]


def _table_of(value: Any, room: Room) -> list[Part]:
    """The HTML table of a data class, whose `repr` is made from its fields; empty for any other value."""
    if not hasattr(type(value), "__dataclass_fields__"):
        return []
    data = next((data for _, data in _display_forms(value, ("text/html",)) if isinstance(data, str)), "")
    return _display_form("text/html", data, room) if "<table" in data else []


def _str(value: Any, room: Room) -> list[Part]:
    """The `str` of a value, if its class has one, and it says more than the class."""
    own: Any = type(value).__str__
    if own is object.__str__:
        return []
    text = stable(try_or_none(partial(str, value)) or "")
    return [] if not text.strip() or only_classes(text) else form(text, room.summary)


_CLASS = r"<(?:[\w.]+(?:<locals>[\w.]*)*(?: (?:object|instance))?|generator object [\w.<>]+)>"
_ONLY_CLASSES = re.compile(rf"[\[({{\s]*{_CLASS}(?:,\s*{_CLASS})*[\])}},\s]*")


def only_classes(text: str) -> bool:
    """Whether a text says no more than the class of an object, as `<Model object>`, or of each object in a list."""
    return len(text) < 10_000 and _ONLY_CLASSES.fullmatch(text) is not None


def _unrendered(data: Any) -> str:
    """Why an SVG cannot be rendered, or how to install a renderer."""
    if not images.can_render_svg():
        return images.RENDERER_ADVICE
    try:
        images.svg_as_png(data)
    except Exception as error:
        return f"It cannot be rendered ({one_line(error)})."
    return "It cannot be rendered."


def _display_form(mime: str, data: Any, room: Room) -> list[Part]:
    if mime == "image/svg+xml":
        picture = images.svg_as_png(data)
        return [] if picture is None else [image_block(picture)]
    if mime.startswith("image/"):
        return [image_block(base64.b64decode(data) if isinstance(data, str) else bytes(data))]
    text = without_addresses(html_text.as_text(str(data)) if mime == "text/html" else str(data))
    return form(text, room.summary) if text.strip() else []


def has_picture(value: Any) -> bool:
    """Whether a value's class has a display method for an image."""
    methods = ("_repr_png_", "_repr_jpeg_", "_repr_svg_")
    return not isinstance(value, type) and any(hasattr(type(value), method) for method in methods)


def _has_no_repr(value: Any) -> bool:
    """Whether a value's `repr` is only the name of its class."""
    if _registered(value, "text/plain") is not None:
        return False
    return getattr(type(value), "__repr__", None) is object.__repr__ or is_from_library(value, "IPython")


_DISPLAY_METHODS = {
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "image/gif": "_repr_gif_",
    "image/webp": "_repr_webp_",
    "image/svg+xml": "_repr_svg_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "text/html": "_repr_html_",
}
_BEFORE_PLAIN = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml", "text/markdown", "text/latex")
_WITHOUT_REPR = ("text/html", "image/svg+xml")


def _display_forms(value: Any, wanted: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """A value's display forms as (MIME type, data), in the order of `wanted`.

    Not by way of `DisplayFormatter.format`, which shows widgets and prints the tracebacks of broken formatters.
    """
    bundle = try_or_none(lambda: _own_form(value, "_repr_mimebundle_", include=None, exclude=None))
    bundle = bundle or try_or_none(lambda: _own_form(value, "_repr_mimebundle_")) or {}
    for mime in wanted:
        data = bundle.get(mime) if isinstance(bundle, Mapping) else None
        if not data:
            printer = _registered(value, mime)
            data = try_or_none(
                partial(printer, value) if printer else partial(_own_form, value, _DISPLAY_METHODS[mime])
            )
        if isinstance(data, tuple):  # with metadata
            data = data[0]
        if isinstance(data, str | bytes) and data:
            yield mime, data


def _own_form(value: Any, method: str, **options: Any) -> Any:
    from IPython.utils.dir2 import get_real_method

    display = get_real_method(value, method)
    result = display(**options) if display else None
    return result[0] if isinstance(result, tuple) else result


def _formatter(mime: str) -> Any:
    """IPython's formatter for a MIME type; None outside of IPython."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell.display_formatter.formatters.get(mime) if shell and shell.display_formatter else None


def _registered(value: Any, mime: str) -> Callable[[Any], Any] | None:
    """The function that is registered in IPython to display such values as a MIME type, or None."""
    formatter = _formatter(mime)
    try:
        return formatter.lookup(value) if formatter else None
    except KeyError:
        return None


def plain(value: Any, room: Room) -> Text:
    """A value as text: IPython's pretty-printed form, else its `repr`."""
    from IPython.lib import pretty

    formatter = _formatter("text/plain")
    printers: dict[str, Any] = {"type_pprinters": dict(formatter.type_printers if formatter else _type_printers())}
    for kind in (set, frozenset):
        if printers["type_pprinters"].get(kind) is _type_printers()[kind]:  # not one of the reader's
            printers["type_pprinters"][kind] = _print_set
    if formatter:
        printers |= {
            "singleton_pprinters": formatter.singleton_printers,
            "deferred_pprinters": formatter.deferred_printers,
        }
    stream = _BoundedStream(room.summary)
    create: Any = pretty.RepresentationPrinter  # it has no type annotations
    try:
        printer = create(stream, max_seq_length=PRINTED_ELEMENTS, **printers)
        printer.pretty(value)
        printer.flush()
    except _StreamFull:
        kept = shortened(stable(stream.getvalue()), room.summary)
        return Text(f"{kept} [of more in all]", own_lines=True)
    except Exception:
        return _text(repr(value), room)
    return _text(stream.getvalue(), room, _left_out(value))


def _type_printers() -> dict[type, Any]:
    """IPython's own printers of types."""
    from IPython.lib import pretty

    known: Any = pretty
    return dict(known._type_pprinters)


def _print_set(value: Any, printer: Any, cycle: bool) -> None:
    """Print a set with its elements in an order that does not depend on their hashes, as IPython does otherwise."""
    opening, closing = ("{", "}") if type(value) is set else (f"{type_name(value)}({{", "})")
    if cycle or not value:
        printer.text(f"{opening}...{closing}" if cycle else f"{type_name(value)}()")
        return
    with printer.group(len(opening), opening, closing):
        for position, element in printer._enumerate(in_order(value)):
            if position:
                printer.text(",")
                printer.breakable()
            printer.pretty(element)


def _left_out(value: Any) -> str:
    """A note of how many elements the pretty-printed form of a long collection leaves out; else empty."""
    count = len(value) if isinstance(value, list | tuple | dict | set | frozenset) else 0
    return f" [shortened: the first {PRINTED_ELEMENTS:,} of {count:,} elements]" if count > PRINTED_ELEMENTS else ""


def _text(text: str, room: Room, note: str = "") -> Text:
    kept = shortened(stable(text), room.summary) + note
    return Text(kept, own_lines="\n" in kept)


class _StreamFull(Exception):
    """A pretty-printed form has grown far beyond its room."""


class _BoundedStream(io.StringIO):
    """A stream that stops the pretty-printing of a huge value: it raises `_StreamFull` past its limit."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.most = 10 * room + 1_000

    def write(self, text: str, /) -> int:
        written = super().write(text[: self.most])
        if self.tell() > self.most:
            raise _StreamFull
        return written
