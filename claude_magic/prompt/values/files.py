"""Files → content blocks: images, PDFs, notebooks, tables as summaries, and other text as documents.

The type of a file is detected by its bytes first, by its name for notebooks and tables. Reading is bounded, and a file
that cannot be sent raises a `PromptError`.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...content import images, pdf
from ...content.images import Block
from ...content.safely import one_line
from ...content.text import plural, truncated
from ...conversation import document_files
from ...errors import PromptError
from . import table_files

# A request has at most 32 MB (CLAUDE_API.md §3), and base64 takes four bytes for three.
MAX_FILE_BYTES = 32 * 1024 * 1024 * 3 // 4
# Longer text is shortened, with a note: this is a quarter of a context of 1M tokens.
MAX_TEXT_CHARACTERS = 1_000_000
# For each output of a notebook that is sent as text.
MAX_OUTPUT_CHARACTERS = 2_000
NOTHING_SENT = "Nothing was sent."


@dataclass(frozen=True)
class Attachment:
    """The content of a file: its content blocks, and facts to show beside its name (`12 pages`)."""

    content: list[Block]
    about: list[str] = field(default_factory=list)


def path_blocks(path: Path) -> list[Block]:
    """The content blocks of a file. Raises `PromptError` if there is none, or it cannot be read or sent."""
    return of_path(path).content


def of_path(path: Path) -> Attachment:
    """The content of a file. Raises `PromptError` if there is none, or it cannot be read or sent."""
    path = _file(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        why = error.strerror or type(error).__name__
    else:
        return _attachment(data, path.name, max(size, len(data)), path)
    raise PromptError(f"{path} cannot be read: {why}.", advice=NOTHING_SENT)


def of_data(data: bytes, name: str) -> Attachment:
    """The content of bytes, as of a file with this name. Raises `PromptError` if they cannot be sent."""
    return _attachment(data, name, len(data), None)


def _file(path: Path) -> Path:
    """The path with `~` expanded. Raises `PromptError` if it is a folder, no file, or does not exist."""
    try:
        found = path.expanduser()
        if found.is_dir():
            raise PromptError(
                f"{path} is a folder.", advice=f"Name its files, or a pattern: {path / '*.png'}. {NOTHING_SENT}"
            )
        if found.is_file():
            return found
        why = "is no file" if found.exists() else "does not exist"
    except (OSError, ValueError, RuntimeError):  # an impossible file name, or a `~` without a home folder
        why = "cannot be a file's name"
    raise PromptError(f"{path} {why}.", advice=NOTHING_SENT)


def _attachment(data: bytes, name: str, size: int, path: Path | None) -> Attachment:
    """The content of bytes by their detected type. `size` is that of the whole file; `data` may be only its start."""
    if not data:
        raise PromptError(f"{name} is empty.", advice=NOTHING_SENT)
    whole = len(data) == size <= MAX_FILE_BYTES
    for matches, make in _KINDS:
        if matches(data, name):
            return make(_File(data, name, size, whole, path))
    text = decoded(data, cut=not whole)
    if text is None:
        kind = _kind_of_binary(data)
        raise PromptError(f"{name} is {kind}: Claude cannot read it as it is.", advice=_ADVICE.get(kind, _CONVERT))
    return _text(text, name, size, whole)


@dataclass(frozen=True)
class _File:
    """A file to convert: its bytes, or the start of a large one (`whole` is False)."""

    data: bytes
    name: str
    size: int
    whole: bool
    path: Path | None


def _image(given: _File) -> Attachment:
    if not given.whole:
        raise PromptError(f"{given.name} has {_bytes(given.size)}: too large for an image.", advice=NOTHING_SENT)
    try:
        block, frames = images.image_block(given.data), images.frames_of(given.data)
    except PromptError as error:
        failure, advice = error.message.removeprefix("The image "), error.advice
    else:
        return Attachment([block], [f"the first of {frames:,} frames"] if frames > 1 else [])
    raise PromptError(f"The image {given.name} {failure}", advice=advice)


def _pdf(given: _File) -> Attachment:
    if not given.whole:
        raise PromptError(
            f"{given.name} has {_bytes(given.size)}: a request takes 32 MB, of which base64 leaves "
            f"{MAX_FILE_BYTES // 1024**2} MB for it.",
            advice=f"Split the PDF, or send fewer of its pages. {NOTHING_SENT}",
        )
    found = pdf.look(given.data)
    if found.encrypted:
        raise PromptError(
            f"{given.name} is an encrypted PDF, which the API refuses.",
            advice=f"Print it to a new PDF without the password. {NOTHING_SENT}",
        )
    source = {"type": "base64", "media_type": "application/pdf", "data": images.base64_text(given.data)}
    if given.path is not None:
        document_files.remember(given.data, given.path)
    pages = [plural(found.pages, "page")] if found.pages is not None else []
    return Attachment([{"type": "document", "source": source, "title": given.name}], [*pages, _bytes(given.size)])


def _svg(given: _File) -> Attachment:
    """An SVG rendered as an image. Raises `PromptError` if no renderer is installed or rendering fails."""
    try:
        picture = images.svg_as_png(given.data) if given.whole else None
    except Exception as error:
        failure = f"which cannot be rendered ({one_line(error)})"
    else:
        if picture is not None:
            return Attachment([images.image_block(picture)], ["rendered"])
        failure = "which Claude does not take as an image" if given.whole else f"of {_bytes(given.size)}: too large"
    ways = "" if images.can_render_svg() else f"{images.RENDERER_ADVICE} "
    raise PromptError(
        f"{given.name} is an SVG, {failure}.",
        advice=f"{ways}Or save it as PNG; {{{{open('…').read()}}}} sends its source as text. {NOTHING_SENT}",
    )


def _table(given: _File) -> Attachment:
    """A table as a summary, a small one with its whole text; as plain text if it cannot be read as a table."""
    text = decoded(given.data, cut=not given.whole)
    summary = table_files.summary(given.data, text, given.name, given.path, whole=given.whole)
    if summary is None and text is None:
        raise PromptError(
            f"{given.name} cannot be read as a table.",
            advice=f"Load it yourself, and send the frame as {{{{name}}}}. {NOTHING_SENT}",
        )
    if summary is None:
        return _text(text or "", given.name, given.size, given.whole)
    if text is not None and given.whole and len(text) <= table_files.MAX_WHOLE_CHARACTERS:
        summary = f"{summary}\n\nThe whole file:\n{text}"
    return Attachment([_document(summary, given.name)], ["a table", _bytes(given.size)])


def _notebook(given: _File) -> Attachment:
    """A notebook's cells as text, with their outputs as text."""
    try:
        cells = json.loads(given.data)["cells"]
        text = "\n\n".join(_cell(number, cell) for number, cell in enumerate(cells, 1))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        text = None
    if text is None:
        raise PromptError(f"{given.name} cannot be read as a notebook.", advice=NOTHING_SENT)
    count = plural(len(cells), "cell")
    shortened = truncated(text, MAX_TEXT_CHARACTERS)
    return Attachment([_document(shortened or "(no cells)", given.name)], [count])


def _cell(number: int, cell: dict[str, Any]) -> str:
    kind = str(cell["cell_type"])
    printed = [_output_text(output) for output in cell.get("outputs", ())]
    parts = [f"# [cell {number}: {kind}]\n{_joined(cell['source'])}"]
    parts += [f"# [output]\n{text}" for text in printed if text.strip()]
    return "\n".join(parts)


_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def _output_text(output: dict[str, Any]) -> str:
    """The text of a notebook output: stream, traceback or `text/plain`."""
    if output["output_type"] == "error":
        text = "\n".join(map(str, output.get("traceback", ())))
    else:
        text = _joined(output.get("text") or output.get("data", {}).get("text/plain", ""))
    text = _ANSI.sub("", text)
    return truncated(text, MAX_OUTPUT_CHARACTERS)


def _joined(lines: Any) -> str:
    return "".join(map(str, lines)) if isinstance(lines, list) else str(lines)


def _text(text: str, name: str, size: int, whole: bool) -> Attachment:
    if not text.strip():
        raise PromptError(f"{name} holds nothing but white space.", advice=NOTHING_SENT)
    if whole:
        shown = truncated(text, MAX_TEXT_CHARACTERS)
    else:
        shown = f"{text[:MAX_TEXT_CHARACTERS]}\n… [shortened: the start of {_bytes(size)}]"
    about = ["shortened"] if shown != text else []
    return Attachment([_document(shown, name)], [*about, _bytes(size)])


def _document(text: str, name: str) -> Block:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, "title": name}


def decoded(data: bytes, *, cut: bool = False) -> str | None:
    """Decode bytes as text: UTF-8, UTF-16 with a byte order mark, or Windows-1252; None for binary data.

    With `cut`, the last UTF-8 character may be incomplete.
    """
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, "replace").replace("\0", "")
    if _BINARY.search(data):
        return None
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=not cut)
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


# Control characters that mark binary data: all but tab, line and page breaks, backspace, bell and escape.
_BINARY = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")


def _bytes(count: int) -> str:
    """A size in bytes with a decimal unit: `1.5 MB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.3g} {unit}" if count < 999.5 * size else f"{count / size:,.0f} {unit}"
    return plural(count, "byte")


# File types by the first bytes


_SVG = re.compile(rb"(?s)\xef?\xbb?\xbf?(?:\s|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)*<(?:svg:)?svg\b")


def _is_svg(data: bytes, name: str) -> bool:
    """Whether the first element is `svg`: an HTML page may have one further down."""
    return _SVG.match(data[:4_096]) is not None


def _is_pdf(data: bytes, name: str) -> bool:
    return pdf.is_pdf(data) and (data.startswith(pdf.HEADER) or decoded(data[:65_536], cut=True) is None)


def _is_notebook(data: bytes, name: str) -> bool:
    return name.lower().endswith(".ipynb") and data.lstrip()[:1] == b"{"


def _is_table(data: bytes, name: str) -> bool:
    return table_files.is_table(data, name)


def _is_image(data: bytes, name: str) -> bool:
    return images.is_image_data(data)


Kind = tuple[Callable[[bytes, str], bool], Callable[[_File], Attachment]]
_KINDS: tuple[Kind, ...] = (
    (_is_pdf, _pdf),
    (_is_svg, _svg),
    (_is_image, _image),
    (_is_notebook, _notebook),
    (_is_table, _table),
)

_CONVERT = f"Convert it to text, an image or a PDF. {NOTHING_SENT}"
_LOAD = f"Load it, and send what is in it as {{{{name}}}}. {NOTHING_SENT}"
_ARCHIVE = "a ZIP archive, or an Office document, which is one"
_ADVICE = {
    _ARCHIVE: f"Unpack it, save the document as PDF, or load the sheet and send the frame. {NOTHING_SENT}",
    "a gzip archive": f"Unpack it first. {NOTHING_SENT}",
    "an SQLite database": _LOAD,
    "an HDF5 file": _LOAD,
    "a NumPy array": _LOAD,
}
_MAGIC = (
    (b"PK\x03\x04", _ARCHIVE),
    (b"\x1f\x8b", "a gzip archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"RIFF", "a sound or video file"),
    (b"\x1aE\xdf\xa3", "a video"),
)


def _kind_of_binary(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video")
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "binary data of an unknown kind")


_BRANDS = dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "a HEIC image")
_BRANDS |= dict.fromkeys((b"avif", b"avis"), "an AVIF image")
_ADVICE["a HEIC image"] = f"`pip install pillow-heif` has it read, or save it as JPEG. {NOTHING_SENT}"
_ADVICE["an AVIF image"] = f"`pip install -U pillow` (11.3 or newer) has it read, or save it as JPEG. {NOTHING_SENT}"
