"""Files → content blocks: images, PDFs, notebooks, tables as summaries, and other text as documents.

The type of a file is detected by its bytes first, by its name for notebooks and tables. Reading is bounded, and a file
that cannot be sent raises a `PromptError`.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...content import images, pdf
from ...content.images import Block
from ...content.safely import one_line
from ...content.text import CUT_NOTE, plural, truncated
from ...conversation import document_files
from ...errors import PromptError
from . import table_files
from .formats import binary, encodings, logs

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
    given = _File(data, name, size, whole, path)
    for matches, make in _KINDS:
        if matches(data, name):
            return make(given)
    text = None if binary.is_pickle_by_name(name) else _decoded(given)
    if text is None:
        found = binary.look(data, name, path)
        advice = f"{found.advice} {NOTHING_SENT}"
        raise PromptError(f"{name} is {found.what}: Claude cannot read it as it is.", advice=advice)
    return _text(text, given)


def _decoded(given: _File) -> encodings.Decoded | None:
    """The text of a file; None for binary data. Raises `PromptError` for text whose encoding has to be told."""
    found = encodings.decoded(given.data, cut=not given.whole)
    if found is None or found.certain:
        return found
    where = str(given.path if given.path is not None else given.name)
    raise PromptError(
        f"{given.name} is text, and not in UTF-8, UTF-16 or Windows-1252: its encoding cannot be told from its bytes.",
        advice=f"Read it with its own, and send it as {{{{text}}}}: text = open({where!r}, encoding='…').read(), "
        f"with shift_jis, gb18030, euc_kr, cp1251, koi8_r or another in the place of the dots. {NOTHING_SENT}",
    )


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
    found = None if table_files.is_binary(given.data) else _decoded(given)
    text = None if found is None else found.text
    try:
        summary = table_files.summary(given.data, text, given.name, given.path, whole=given.whole)
    except table_files.NoTable as error:
        why = str(error) if found is not None or table_files.is_binary(given.data) else encodings.why_binary(given.data)
    else:
        if text is not None and given.whole and len(text) <= table_files.MAX_WHOLE_CHARACTERS:
            summary = f"{summary}\n\nThe whole file:\n{text}"
        told = [f"read as {found.encoding}"] if found is not None and found.encoding else []
        return Attachment([_document(summary, given.name)], ["a table", *told, _bytes(given.size)])
    if found is not None:
        return _text(found, given, [f"no table: {why}"] if why else [])
    raise PromptError(
        f"{given.name} cannot be read as a table: {why}.",
        advice=f"Load it yourself, and send the frame as {{{{name}}}}. {NOTHING_SENT}",
    )


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


def _text(found: encodings.Decoded, given: _File, remarks: Sequence[str] = ()) -> Attachment:
    """A text as a document: of one that is too long its start, and of a log both ends."""
    text = found.text
    if not text.strip():
        raise PromptError(f"{given.name} holds nothing but white space.", advice=NOTHING_SENT)
    if given.whole and len(text) <= MAX_TEXT_CHARACTERS:
        shown = text
    elif logs.is_log(given.name, text):
        shown = logs.both_ends(text, text if given.whole else _end_of(given), MAX_TEXT_CHARACTERS, _bytes(given.size))
    elif given.whole:
        shown = truncated(text, MAX_TEXT_CHARACTERS)
    else:
        shown = f"{text[:MAX_TEXT_CHARACTERS]}\n{CUT_NOTE}the start of {_bytes(given.size)}]"
    about = [*remarks, *(["shortened"] if shown != text else [])]
    about += [f"read as {found.encoding}"] if found.encoding else []
    return Attachment([_document(shown, given.name)], [*about, _bytes(given.size)])


def _end_of(given: _File) -> str:
    """The end of a file that is too long to be read whole; of what is not on the disk, that of what is there."""
    if given.path is None:
        data = given.data
    else:
        with given.path.open("rb") as file:
            file.seek(-min(given.size, 4 * MAX_TEXT_CHARACTERS), io.SEEK_END)
            data = file.read()
    return data.decode("utf-8", "replace")


def _document(text: str, name: str) -> Block:
    return {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text}, "title": name}


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
    return pdf.is_pdf(data) and (data.startswith(pdf.HEADER) or encodings.decoded(data[:65_536], cut=True) is None)


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
