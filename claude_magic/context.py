r"""Prompt text and Python values → content blocks: what the cell says, and what IPython can display of its values.

`{{expr}}` is Python and the only syntax; everything else is text, byte for byte. `\{{` is a literal `{{`.
A new kind of value is one function and its row in `_KINDS`.
"""

from __future__ import annotations

import base64
import builtins
import difflib
import inspect
import io
import re
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import CodeType
from typing import TYPE_CHECKING, Any

from .errors import PromptError

if TYPE_CHECKING:
    from PIL.Image import Image

# Longer text forms of values are shortened, and say so; strings never are.
MAX_VALUE_CHARACTERS = 8_000
MAX_CLOSINGS_TRIED = 100
MAX_NAME_CHARACTERS = 40
MAX_CELL_CHARACTERS = 60

# Pictures and frames of one list, columns and rows of one frame.
MAX_ELEMENTS = 20
MAX_COLUMNS = 40
MAX_HEAD_ROWS = 10

# A request with more than twenty images takes none that is larger, and notebooks gather figures (CLAUDE_API.md §3).
MAX_IMAGE_SIDE_PIXELS = 2_000
MAX_IMAGE_BASE64_BYTES = 10_000_000

# Beyond these a frame's statistics are left out, so that ten million rows take well under a second. Measured with
# pandas 3.1: 1.5 ns to read a number once, 35 ns to ask a Python string whether it is null.
MAX_COUNTED_ROWS = 100_000
MAX_SCANNED_VALUES = 400_000_000
SCANS_PER_NUMBER = 4
SCANS_PER_STRING = 25

LITERAL_ADVICE = r"\{{ writes a literal {{, and --raw turns the syntax off. Nothing was sent."


@dataclass(frozen=True)
class Text:
    """A piece of text; with `own_lines` it starts and ends at line breaks."""

    text: str
    own_lines: bool = False


@dataclass(frozen=True)
class Expression:
    """An `{{expr}}` of a prompt; `line` counts from 1."""

    source: str
    line: int
    code: CodeType


Block = dict[str, Any]
Part = Text | Block


def content(body: str, namespace: Mapping[str, Any], *, raw: bool = False) -> list[Block]:
    r"""The content blocks of a prompt, in wire form: text, with images at their place.

    Each `{{expr}}` is evaluated in `namespace`, all of them before the first is rendered; `raw` leaves
    the text as it is. Text that UTF-8 cannot carry (lone surrogates) becomes U+FFFD.

    Raises:
        PromptError: the prompt is empty, or an expression is not Python or fails. It has no cause or
            context, which could hold a secret.
    """
    pieces = [Text(body)] if raw else list(_split(body))
    values = [(piece, _evaluate(piece, namespace)) for piece in pieces if isinstance(piece, Expression)]
    rendered = iter([_render(value, expression.source) for expression, value in values])
    parts: list[Part] = []
    for piece in pieces:
        parts.extend(next(rendered) if isinstance(piece, Expression) else [piece])
    blocks = list(_join(parts))
    if not blocks:
        raise PromptError("The prompt is empty.", advice="Write it below the %%claude line. Nothing was sent.")
    return blocks


# From the body to its parts


def _split(body: str) -> Iterator[Text | Expression]:
    position = 0
    last_closing = body.rfind("}}")
    while (opening := body.find("{{", position)) >= 0:
        if body[position:opening].endswith("\\"):
            yield Text(body[position : opening - 1] + "{{")
            position = opening + 2
            continue
        # Without a `}}` to come there is nothing to look for: looking would make many `{{` take quadratic time.
        end = body.find("}}", opening + 2) + 2 if opening + 2 <= last_closing else opening + 2
        if not body[opening + 2 : end - 2].strip():
            yield Text(body[position:end])
        else:
            yield Text(body[position:opening])
            expression, end = _expression(body, opening)
            yield expression
        position = end
    yield Text(body[position:])


def _expression(body: str, opening: int) -> tuple[Expression, int]:
    """The expression that opens here, up to the first `}}` that completes it, and where the text goes on."""
    start = opening + 2
    line = body.count("\n", 0, opening) + 1
    closing = first = body.find("}}", start)
    for _ in range(MAX_CLOSINGS_TRIED):
        source = body[start:closing].strip()
        code = _compile(source)
        if code is not None:
            return Expression(source, line, code), closing + 2
        closing = body.find("}}", closing + 1)
        if closing < 0:
            break
    quoted = _short(" ".join(body[opening : first + 2].split()), 60)
    raise PromptError(f"Line {line} of the prompt: {quoted} is not a Python expression.", advice=LITERAL_ADVICE)


def _compile(source: str) -> CodeType | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile(source, "<{{…}}>", "eval")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return None


def _evaluate(expression: Expression, namespace: Mapping[str, Any]) -> Any:
    variables = namespace if isinstance(namespace, dict) else dict(namespace)
    try:
        return eval(expression.code, variables)
    except Exception as error:
        missing = error.name if type(error) is NameError else None
        failure = f"there is no name {missing!r}" if missing else _one_line(error)
    # Raised out here: inside the except block the error and its traceback would hang on as the context.
    quoted = _short(" ".join(expression.source.split()), 60)
    guess = _close_match(missing, variables) if missing else None
    advice = (f"Did you mean {guess!r}? " if guess else "") + (LITERAL_ADVICE if missing else "Nothing was sent.")
    raise PromptError(f"Line {expression.line} of the prompt: {{{{{quoted}}}}} failed: {failure}.", advice=advice)


def _close_match(name: str, namespace: Mapping[str, Any]) -> str | None:
    known = [known for known in (*namespace, *dir(builtins)) if isinstance(known, str) and not known.startswith("_")]
    return next(iter(difflib.get_close_matches(name, known, n=1)), None)


def _join(parts: Iterable[Part]) -> Iterator[Block]:
    """As few text blocks as possible, and none that is only whitespace: the API refuses those."""
    run: list[Text] = []
    for part in parts:
        if isinstance(part, Text):
            run.append(part)
            continue
        yield from _text_block(run)
        yield part
        run = []
    yield from _text_block(run)


def _text_block(run: Sequence[Text]) -> Iterator[Block]:
    pieces: list[str] = []
    breaks = False  # whether a line break is due before the next piece
    for part in run:
        if not part.text:
            continue
        starts_line = not pieces or pieces[-1].endswith("\n")
        if (part.own_lines and not starts_line) or (breaks and not part.text.startswith("\n")):
            pieces.append("\n")
        pieces.append(part.text)
        breaks = part.own_lines and not part.text.endswith("\n")
    text = re.sub("[\ud800-\udfff]", "\ufffd", "".join(pieces))
    if text.strip():
        yield {"type": "text", "text": text}


# From a value to its parts


def _render(value: Any, name: str) -> list[Part]:
    """What a value becomes: the first kind that it is and that works. `name` is the expression."""
    failure = ""
    for matches, render in (*_KINDS, (_is_anything, _displayed)):
        try:
            if matches(value):
                return render(value, name)
        except Exception as error:  # foreign code: whatever it does, the cell goes on with a plainer form
            failure = _one_line(error)
    return [Text(f"<{type(value).__name__} object: its repr failed: {failure}>")]


def _is_anything(value: Any) -> bool:
    return True


def _form(text: str, *, keep_end: bool = False) -> list[Part]:
    """The text form of a value: bounded, and on lines of its own if it has several."""
    bounded = _bounded(text, keep_end=keep_end)
    return [Text(bounded, own_lines="\n" in bounded)]


def _bounded(text: str, *, keep_end: bool = False) -> str:
    if len(text) <= MAX_VALUE_CHARACTERS:
        return text
    note = f"… [shortened: {MAX_VALUE_CHARACTERS:,} of {len(text):,} characters]"
    return f"{note}\n{text[-MAX_VALUE_CHARACTERS:]}" if keep_end else text[:MAX_VALUE_CHARACTERS] + note


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _one_line(error: BaseException) -> str:
    """An exception's type and message in a line, even if its message is broken."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    return _short(f"{type(error).__name__}: {message}" if message else type(error).__name__, 200)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _string(value: str, name: str) -> list[Part]:
    return [Text(str.__str__(value))]


def _is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _bytes(value: bytes | bytearray | memoryview, name: str) -> list[Part]:
    data = bytes(value)
    try:
        return _form(data.decode("utf-8"))
    except UnicodeDecodeError:
        return [Text(f"<{type(value).__name__}: {len(data):,} bytes, not UTF-8 text>")]


def _is_scalar(value: Any) -> bool:
    """Whether this is None, a number, or numpy's scalar: their `repr` is noise (`np.float64(1.5)`)."""
    from numbers import Number

    if value is None or isinstance(value, Number):
        return True
    return type(value).__module__ == "numpy" and getattr(value, "shape", None) == ()


def _scalar(value: Any, name: str) -> list[Part]:
    return _form(str(value))


def _is_exception(value: Any) -> bool:
    return isinstance(value, BaseException)


def _exception(value: BaseException, name: str) -> list[Part]:
    import traceback

    return _form("".join(traceback.format_exception(value)), keep_end=True)


def _is_code(value: Any) -> bool:
    return inspect.isclass(value) or inspect.isroutine(value)


def _code(value: Any, name: str) -> list[Part]:
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


# Pictures


def image_block(data: bytes | Image) -> Block:
    """An image block with a picture within the API's limits (CLAUDE_API.md §3), the same for the same picture.

    A JPEG, PNG, GIF or WebP that is within them goes as it is. Any other is turned upright, brought to
    `MAX_IMAGE_SIDE_PIXELS` a side and encoded as PNG (a JPEG as JPEG); where its base64 would be more than
    `MAX_IMAGE_BASE64_BYTES`, as JPEG of falling quality, then smaller. An animation is its first frame.

    Raises:
        PromptError: Pillow cannot read the data.
    """
    try:
        return _image_block(data)
    except Exception as error:  # each of Pillow's decoders fails in its own way
        failure = _one_line(error)
    raise PromptError(f"The image cannot be read ({failure}).", advice="Nothing was sent.")


def _image_block(data: bytes | Image) -> Block:
    from PIL import Image

    if not isinstance(data, bytes):
        return _encoded(data, data.format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        picture = Image.open(io.BytesIO(data))
        picture.load()  # the API would refuse what breaks off
        if _goes_as_it_is(picture, data):
            return _wire_image(f"image/{str(picture.format).lower()}", data)
        return _encoded(picture, picture.format)


def _goes_as_it_is(picture: Image, data: bytes) -> bool:
    animated = getattr(picture, "n_frames", 1) > 1
    orientation = picture.getexif().get(0x0112, 1)
    return (
        (picture.format == "GIF" or (picture.format in ("JPEG", "PNG", "WEBP") and not animated))
        and picture.mode != "CMYK"
        and orientation == 1
        and max(picture.size) <= MAX_IMAGE_SIDE_PIXELS
        and _base64_length(len(data)) <= MAX_IMAGE_BASE64_BYTES
    )


def _encoded(picture: Image, format: str | None) -> Block:
    from PIL import Image, ImageOps

    upright = _plain_mode(ImageOps.exif_transpose(picture))
    side = MAX_IMAGE_SIDE_PIXELS
    while True:
        upright.thumbnail((side, side), Image.Resampling.LANCZOS)
        for media_type, options in _ENCODINGS if format not in ("JPEG", "MPO") else _ENCODINGS[1:]:
            data = _saved(upright, media_type, options)
            if _base64_length(len(data)) <= MAX_IMAGE_BASE64_BYTES:
                return _wire_image(media_type, data)
        side = side * 3 // 4


# Tried in turn until one is small enough.
_ENCODINGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("image/png", {"format": "PNG"}),
    ("image/jpeg", {"format": "JPEG", "quality": 90}),
    ("image/jpeg", {"format": "JPEG", "quality": 75}),
    ("image/jpeg", {"format": "JPEG", "quality": 50}),
)


def _saved(picture: Image, media_type: str, options: Mapping[str, Any]) -> bytes:
    from PIL import Image

    if media_type == "image/jpeg" and picture.mode in ("LA", "RGBA"):
        opaque = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(opaque, picture.convert("RGBA")).convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def _plain_mode(picture: Image) -> Image:
    """A copy in a mode that both PNG and JPEG encoders and the resampling take: grey or RGB, alpha kept."""
    if picture.mode in ("L", "LA", "RGB", "RGBA"):
        return picture.copy()
    if picture.mode == "1":
        return picture.convert("L")
    if picture.mode == "F" or picture.mode.startswith("I"):
        return _eight_bits(picture)
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")


def _eight_bits(picture: Image) -> Image:
    """Grey levels of 16 or 32 bits, or floats, brought to 0..255: Pillow itself would clip them."""
    levels = picture.convert("F")
    low, high = (float(level) for level in levels.getextrema())  # type: ignore[arg-type]  # one band: two numbers
    if low >= 0 and high <= 255:
        return levels.convert("L")
    if picture.mode.startswith("I") and low >= 0 and high <= 65_535:
        low, high = 0.0, 65_535.0
    scale = 255 / (high - low) if high > low else 1.0
    return levels.point(lambda level: level * scale + (-low * scale)).convert("L")


def _wire_image(media_type: str, data: bytes) -> Block:
    encoded = base64.b64encode(data).decode("ascii")
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": encoded}}


def _base64_length(size: int) -> int:
    return (size + 2) // 3 * 4


def _is_picture(value: Any) -> bool:
    module = sys.modules.get("PIL.Image")  # who holds such an image has imported it
    return module is not None and isinstance(value, module.Image)


def _picture(value: Any, name: str) -> list[Part]:
    return [image_block(value)]


def _figure_of(value: Any) -> Any:
    """The matplotlib figure that this is or belongs to (Axes, an array of Axes, seaborn's grids), or None."""
    module = sys.modules.get("matplotlib.figure")
    if module is None:
        return None
    if _comes_from(value, "numpy") and str(getattr(value, "dtype", "")) == "object" and value.size:
        value = value.flat[0]
    if isinstance(value, module.FigureBase):
        return value.figure
    is_part = _comes_from(value, "seaborn") or isinstance(value, sys.modules["matplotlib.axes"].Axes)
    owner = getattr(value, "figure", None) if is_part else None
    return owner.figure if isinstance(owner, module.FigureBase) else None


def _is_figure(value: Any) -> bool:
    return _figure_of(value) is not None


def _figure(value: Any, name: str) -> list[Part]:
    figure = _figure_of(value)
    buffer = io.BytesIO()
    # An explicit dpi, as the reader sees it: savefig sets it for the time of the drawing only.
    dpi = min(figure.dpi, MAX_IMAGE_SIDE_PIXELS / max(figure.get_size_inches()))
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches="tight")
    return [image_block(buffer.getvalue())]


def _is_gallery(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return any(_is_picture(e) or _is_figure(e) or _is_frame(e) or _shows_png(e) for e in value[:MAX_ELEMENTS])


def _shows_png(value: Any) -> bool:
    return hasattr(type(value), "_repr_png_")


def _gallery(value: Sequence[Any], name: str) -> list[Part]:
    """A list with pictures or frames: its elements one after another."""
    parts: list[Part] = []
    for position, element in enumerate(value[:MAX_ELEMENTS]):
        shown = _render(element, f"{name}[{position}]")
        parts.extend(Text(part.text, own_lines=True) if isinstance(part, Text) else part for part in shown)
    if len(value) > MAX_ELEMENTS:
        parts.append(Text(f"… and {len(value) - MAX_ELEMENTS:,} more", own_lines=True))
    return parts


# Whatever else IPython can display


def _displayed(value: Any, name: str) -> list[Part]:
    """A value as IPython displays it: as an image, else as Markdown, else as plain text."""
    for mime, data in _display_forms(value):
        parts = _attempt(partial(_display_form, mime, data))
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
    bundle = _attempt(lambda: _own_form(value, "_repr_mimebundle_")) or {}
    for mime, method in _DISPLAY_METHODS.items():
        data = bundle.get(mime) if isinstance(bundle, Mapping) else None
        if not data:
            printer = _registered(value, mime)
            data = _attempt(partial(printer, value) if printer else partial(_own_form, value, method))
        if isinstance(data, tuple):  # with metadata
            data = data[0]
        if data:
            yield mime, data


def _own_form(value: Any, method: str) -> Any:
    from IPython.utils.dir2 import get_real_method

    form = get_real_method(value, method)
    result = form() if form else None
    return result[0] if isinstance(result, tuple) else result


def _attempt(form: Callable[[], Any]) -> Any:
    """A display form, or None where it fails: the next one may work."""
    try:
        return form()
    except Exception:
        return None


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


# DataFrames

_PANDAS_LIKE = ("pandas", "geopandas", "modin", "cudf")
_FRAME_LIBRARIES = (*_PANDAS_LIKE, "polars", "pyarrow", "dask", "duckdb", "ibis", "pyspark", "sqlframe")


def _comes_from(value: Any, *libraries: str) -> bool:
    return any(base.__module__.partition(".")[0] in libraries for base in type(value).__mro__)


def _narwhals_of(value: Any) -> Any:
    """A value as narwhals sees it: a frame or series, or the value itself."""
    import narwhals as nw

    return nw.from_native(value, pass_through=True, allow_series=True)


def _is_frame(value: Any) -> bool:
    if not _comes_from(value, *_FRAME_LIBRARIES):
        return False
    import narwhals as nw

    return isinstance(_narwhals_of(_with_plain_columns(value)[0]), nw.DataFrame | nw.LazyFrame | nw.Series)


def _frame(value: Any, name: str) -> list[Part]:
    """A frame or column as a summary: shape, columns with statistics, and its first rows."""
    import narwhals as nw

    native, names = _with_plain_columns(value)
    frame = _narwhals_of(native)
    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    library = frame.implementation.name.lower()
    if isinstance(frame, nw.LazyFrame):
        text = _lazy_summary(frame, f"LazyFrame{label}", library)
    elif isinstance(frame, nw.Series):
        title = f"Series{label}: {len(frame):,} values ({library})"
        text = _summary(title, frame.to_frame(), names or [frame.name or "value"], _index_of(value))
    else:
        shape = f"{frame.shape[0]:,} rows × {frame.shape[1]:,} columns"
        names = names or list(frame.columns)
        text = _summary(f"{type(value).__name__}{label}: {shape} ({library})", frame, names, _index_of(value))
    return [Text(_bounded(text), own_lines=True)]


def _with_plain_columns(value: Any) -> tuple[Any, list[str] | None]:
    """A pandas frame with its columns numbered, and their names: narwhals takes only distinct strings."""
    if not (_comes_from(value, *_PANDAS_LIKE) and hasattr(value, "set_axis")):
        return value, None
    if not hasattr(value, "columns"):
        return value.rename("0"), ["value" if value.name is None else str(value.name)]
    names = [", ".join(map(str, column)) if isinstance(column, tuple) else str(column) for column in value.columns]
    return value.set_axis([str(position) for position in range(len(names))], axis=1), names


def _summary(title: str, frame: Any, names: Sequence[str], index: Any) -> str:
    """The text for an eager frame; it fits into MAX_VALUE_CHARACTERS."""
    lines = [title]
    if index is not None:
        lines.append(f"index: {_index_name(index)} ({_short(str(index.dtype), MAX_CELL_CHARACTERS)})")
    described = _described(frame, names, index)
    lines.extend(described)
    shown = len(described) - 1
    if shown < len(names):
        lines.append(f"… and {len(names) - shown:,} more columns")
    if len(frame):
        lines.extend(_head(frame.head(MAX_HEAD_ROWS), names[:shown], index, MAX_VALUE_CHARACTERS - _length(lines)))
    return "\n".join(lines)


def _described(frame: Any, names: Sequence[str], index: Any) -> list[str]:
    """A line for each column that has room: name, type, nulls, and what its type allows to say cheaply."""
    lines = ["column | type | nulls | values"]
    unread = MAX_SCANNED_VALUES
    for position, name in enumerate(names[:MAX_COLUMNS]):
        column = frame.get_column(frame.columns[position])
        cost = len(column) * _scans(column)
        facts = f"{_nulls(column)} | {_statistics(column)}" if cost <= unread else "? | not computed: too many rows"
        unread -= cost if cost <= unread else 0
        line = f"{_cell(name)} | {_type_of(column)} | {facts}"
        if _length(lines) + len(line) > MAX_VALUE_CHARACTERS * 5 // 8:
            break
        lines.append(line)
    return lines


def _length(lines: Sequence[str]) -> int:
    return sum(len(line) + 1 for line in lines)


def _scans(column: Any) -> int:
    """What the statistics of a column cost for each of its values."""
    in_python = column.implementation.is_pandas_like() and str(column.to_native().dtype) in ("object", "str", "string")
    return SCANS_PER_STRING if in_python else SCANS_PER_NUMBER


def _type_of(column: Any) -> str:
    """The type in the library's own words."""
    native = column.to_native()
    return _short(str(getattr(native, "dtype", None) or column.dtype), MAX_CELL_CHARACTERS)


def _nulls(column: Any) -> str:
    nulls = _attempt(column.null_count)
    return "?" if nulls is None else f"{nulls:,}"


def _statistics(column: Any) -> str:
    """What there is to say of a column's values, by its type; as much of it as works."""
    dtype = column.dtype
    measured = dtype.is_numeric() or dtype.is_temporal()
    known: list[str] = []

    def tell(label: str, compute: Callable[[], Any]) -> Any:
        value = _attempt(compute)
        if value is not None:
            known.append(f"{label} {value if label == 'top' else _cell(value)}")
        return value

    if measured:
        tell("min", column.min)
        tell("max", column.max)
    if dtype.is_numeric():
        tell("mean", column.mean)
    if len(column) <= MAX_COUNTED_ROWS and not dtype.is_float():
        distinct = tell("distinct", column.n_unique)
        if not measured and distinct and distinct < len(column):
            tell("top", partial(_top_values, column))
    return ", ".join(known)


def _top_values(column: Any) -> str:
    """The three most frequent values with their counts, ties in the order in which they come."""
    most = Counter(column.to_list()).most_common(3)
    return ", ".join(f"{_short(_cell(value), 16)} ({count:,})" for value, count in most)


def _index_of(value: Any) -> Any:
    """A pandas index that says something: not the plain row numbers."""
    index: Any = getattr(value, "index", None)
    if not hasattr(index, "dtype"):
        return None
    plain = type(index).__name__ == "RangeIndex" and index.name is None and index.start == 0 and index.step == 1
    return None if plain else index


def _index_name(index: Any) -> str:
    return _cell(", ".join(str(name) for name in index.names if name is not None) or "unnamed")


def _head(head: Any, names: Sequence[str], index: Any, room: int) -> list[str]:
    """The first rows as CSV, as many columns and rows as there is room for; the heading says how many."""
    table = [[_cell(name) for name in names]]
    table += [[_cell(value) for value in row] for row in head.select(head.columns[: len(names)]).rows()]
    labels = [] if index is None else [_index_name(index), *map(_cell, index[: len(head)])]
    if labels:
        table = [[label, *row] for label, row in zip(labels, table, strict=True)]
    room -= MAX_CELL_CHARACTERS * 2  # for the heading
    columns = _columns_for(table, room // min(len(table), 4))
    lines: list[str] = []
    for row in table:
        line = _csv(row[:columns])
        if _length(lines) + len(line) > room:
            break
        lines.append(line)
    heading = f"first {len(lines) - 1} rows" if len(lines) != 2 else "first row"
    heading += f" of the first {columns - bool(labels)} columns" if columns < len(table[0]) else ""
    heading += " (long cells shortened)" if any(cell.endswith("…") for row in table for cell in row) else ""
    return [f"{heading}:", *lines] if len(lines) > 1 else []


def _columns_for(table: Sequence[Sequence[str]], room: int) -> int:
    """How many columns of a table go into lines of `room` characters, quotes and commas included; at least one."""
    used = 0
    for position in range(len(table[0])):
        used += max(len(row[position]) for row in table) + 3
        if used > room:
            return max(position, 1)
    return len(table[0])


def _csv(row: Sequence[str]) -> str:
    import csv

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(row)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """A value in one short line."""
    import reprlib

    if isinstance(value, float):
        text = f"{value:.10g}"
    elif isinstance(value, str):
        text = value[: MAX_CELL_CHARACTERS + 1]
    elif isinstance(value, list | tuple | dict | set):
        text = reprlib.repr(value)
    else:
        text = _attempt(partial(str, value)) or f"<{type(value).__name__} object>"
    if "\n" in text or "\r" in text:
        text = text.replace("\\", r"\\").replace("\r", r"\r").replace("\n", r"\n")
    return (
        _short(text, MAX_CELL_CHARACTERS) if text not in ("None", "<NA>", "NaT") or isinstance(value, str) else "null"
    )


def _lazy_summary(frame: Any, title: str, library: str) -> str:
    """The text for a frame that is not computed yet: its columns and first rows, never all of it."""
    schema = frame.collect_schema()
    names = list(schema)[:MAX_COLUMNS]
    lines = [f"{title}: {len(schema):,} columns, rows not counted ({library})", "column | type"]
    lines += [f"{_cell(name)} | {_short(str(schema[name]), MAX_CELL_CHARACTERS)}" for name in names]
    if len(schema) > len(names):
        lines.append(f"… and {len(schema) - len(names):,} more columns")
    head = _attempt(lambda: frame.head(MAX_HEAD_ROWS).collect())
    if head is not None:
        lines += _head(head, names, None, MAX_VALUE_CHARACTERS - _length(lines))
    return "\n".join(lines)


# The kinds of values, the more special before the more general.
_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str], list[Part]]], ...] = (
    (_is_string, _string),
    (_is_bytes, _bytes),
    (_is_scalar, _scalar),
    (_is_exception, _exception),
    (_is_code, _code),
    (_is_frame, _frame),
    (_is_figure, _figure),
    (_is_picture, _picture),
    (_is_gallery, _gallery),
)
