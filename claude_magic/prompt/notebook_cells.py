"""Context from the notebook as pieces of a prompt: cells with their outputs, the code that ran, the last error.

Each is a `Piece` (`content/parts.py`), bounded in tokens.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import linecache
import math
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

from ..content.parts import Limits, Part, Piece, Text, code_block, room_for, shortened
from ..content.safely import one_line, try_or_none
from ..content.secret_names import is_secret_name, is_secret_value
from ..content.secrets import MASK, Secrets
from ..content.text import without_controls
from ..content.token_estimate import of_blocks
from ..content.tracebacks import in_library, report_text, traceback_text
from ..errors import UsageError
from ..notebook import reader
from ..notebook.executions import Executions, Failure, is_own_cell, of_file
from . import prompt
from .prose import Prose, numbered
from .values.bundles import parts_of_bundle

# The source's share of the tokens for one cell; the rest is for its outputs.
SOURCE_PERCENT = 60
MIN_CELL_TOKENS = 200
MAX_CELL_TOKENS = 6_000
MAX_CELL_IMAGES = 5
RESULT_LIMITS = Limits(value_tokens=2_500)


_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class FailedCell:
    """A cell that failed: its source as it ran, the frontend's id of it (if known), and its error as a piece."""

    source: str
    cell_id: str | None
    piece: Piece


@dataclass(frozen=True)
class Surroundings:
    """The sources of a cell's context: what ran in the kernel, and the notebook's file, if known.

    `tokens` bounds the context that is sent; `secrets` are masked in it. `running` is the id of the cell that asks.
    """

    executions: Executions
    path: Path | None
    secrets: Secrets
    tokens: int
    running: str | None = None

    def cells(self, wanted: Sequence[tuple[int, int | None]]) -> list[Piece]:
        """The cells in ranges (first, last) of their `In [ ]` numbers, with the Markdown above them; a last of None is
        open.

        Raises `UsageError` for a range without a cell to send.
        """
        ranges = self._ranges(wanted)
        numbers = list(dict.fromkeys(number for each in ranges for number in each))
        each = max(MIN_CELL_TOKENS, min(MAX_CELL_TOKENS, self.tokens // max(1, len(numbers))))
        prose = self._prose()
        above: dict[int, list[str]] = {}
        for within in ranges:
            above = {**numbered(within, prose), **above}
        return [self._cell(number, each, "cell", above[number]) for number in numbers]

    def code(self, since: float | None) -> list[Piece]:
        """The cells that ran since a time (seconds since the epoch; None: all), the newest that fit into `tokens`; with
        the Markdown above them and above the cell that asks."""
        found: list[Piece] = []
        numbers, left = self.executions.since(since), self.tokens
        prose = self._prose()
        above = numbered(numbers, prose, from_the_top=since is None)
        for number in reversed(numbers):
            piece = self._cell(number, MAX_CELL_TOKENS, "code", above[number])
            left -= of_blocks(part if not isinstance(part, Text) else _block(part) for part in piece.parts)
            if left < 0 and found:
                break
            found.append(piece)
        missing = len(numbers) - len(found)
        if missing:
            note = f"[{missing} earlier cells are left out: {self.tokens:,} tokens are the limit]"
            found.append(Piece(f"{missing} earlier cells left out", "note", [Text(note, own_lines=True)]))
        notes = shortened("\n\n".join(prose.left(goes_on=since is None)), room_for(min(MAX_CELL_TOKENS, self.tokens)))
        label = "Markdown above this cell"
        return [*found[::-1], *([Piece(label, "text", _markdown(f"{label}:", notes))] if notes else [])]

    def error(self) -> Piece:
        """The last error. Raises `UsageError` if no cell has failed."""
        failure = self.executions.last_failure
        if failure is None:
            raise UsageError(
                "There is no error to send: no cell has failed in this kernel.", advice="Leave --error out."
            )
        source = self.executions.source(failure.number) if failure.number else None
        parts = error_parts(failure, source, self.secrets)
        where = f"error in cell [{failure.number}]" if failure.number else "last error"
        return Piece(where, "error", parts)

    def failed(self, cell: str | None) -> FailedCell:
        """A cell that failed: that of the last error, or the one with this id, or the number of its `In [ ]`.

        What this kernel did not run comes from the notebook's file. Raises `UsageError` if it has not failed.
        """
        if cell is None:
            last = self.executions.last_failure
            number = last.number if last is not None else None
        else:
            number = self.executions.number_of_cell(cell)
            number = int(cell) if number is None and _NUMBER.fullmatch(cell) else number
        source = self.executions.source(number) if number else None
        failure = self.executions.failure(number) if number else None
        if number and failure is not None and source is not None:
            piece = Piece(f"error in cell [{number}]", "error", error_parts(failure, source, self.secrets))
            return FailedCell(source, self.executions.cell_id(number), piece)
        saved = self._saved_failure(cell) if cell is not None and not self.executions.is_noted(number) else None
        if saved is None or (source is not None and source != saved.source):
            raise UsageError(_no_failure(cell))
        return saved

    def _saved_failure(self, cell: str) -> FailedCell | None:
        """A cell of the notebook's file whose outputs end with an error."""
        for each in self._file_cells:
            if cell in (each.get("id"), str(each.get("execution_count"))) and each.get("cell_type") == "code":
                source, parts = _text(each.get("source")), saved_error_parts(each)
                if source is not None and parts:
                    known = each.get("id")
                    piece = Piece("error in a cell of the notebook's file", "error", parts)
                    return FailedCell(source, known if isinstance(known, str) else None, piece)
        return None

    def _ranges(self, wanted: Sequence[tuple[int, int | None]]) -> list[list[int]]:
        """The numbers of the cells in each range."""
        found = []
        for first, last in wanted:
            known = self.executions.numbers()
            within = _within(known, first, last)
            if not within:  # the file may have cells that an earlier kernel ran
                known = sorted({*known, *self._saved_cells})
                within = _within(known, first, last)
            of_reader = [number for number in within if not is_own_cell(self._source(number) or "")]
            if not of_reader:
                raise UsageError(_no_cell(first, last, known, bool(within)), advice="Nothing was sent.")
            found.append(of_reader)
        return found

    def _prose(self) -> Prose:
        """The notebook's Markdown; none where its file cannot be read: it is only beside what is asked for."""
        cells: list[Mapping[str, Any]] = []
        with suppress(UsageError):
            cells = self._file_cells
        return Prose(cells, self.executions, self.running)

    def _cell(self, number: int, tokens: int, kind: str, prose: Sequence[str]) -> Piece:
        source = shortened((self._source(number) or "").rstrip("\n"), room_for(tokens) * SOURCE_PERCENT // 100)
        above = shortened("\n\n".join(prose), room_for(tokens) * SOURCE_PERCENT // 100)
        parts: list[Part] = _markdown(f"Markdown above cell [{number}]:", above) if above else []
        parts += [Text(f"Cell [{number}]:", own_lines=True), *code_block(source, "python", is_code=True)]
        outputs = list(self._outputs(number))
        text = "\n".join(part.text.rstrip("\n") for part in outputs if isinstance(part, Text) and part.text.strip())
        if text:
            kept = shortened(without_controls(text), room_for(tokens) * (100 - SOURCE_PERCENT) // 100)
            parts += [Text(f"Output of cell [{number}]:", own_lines=True), *code_block(kept)]
        images = [part for part in outputs if not isinstance(part, Text)]
        if len(images) > MAX_CELL_IMAGES:
            note = f"[{len(images) - MAX_CELL_IMAGES} more images of cell [{number}] are left out]"
            parts.append(Text(note, own_lines=True))
        return Piece(f"cell [{number}]", kind, [*parts, *images[:MAX_CELL_IMAGES]])

    def _source(self, number: int) -> str | None:
        source = self.executions.source(number)
        return source if source is not None else _text(self._saved_cells.get(number, {}).get("source"))

    def _outputs(self, number: int) -> Iterator[Part]:
        """A cell's outputs from the kernel; from the notebook's file if it did not run in this kernel."""
        executions = self.executions
        if executions.source(number) is None:
            yield from _saved_outputs(self._saved_cells[number])
            return
        yield Text(executions.printed(number))
        for bundle in executions.displayed(number):
            yield from parts_of_bundle(bundle)
        if executions.has_result(number):
            yield from prompt.parts_of(executions.result(number), f"Out[{number}]", self.secrets, RESULT_LIMITS)
        if (error := executions.error(number)) is not None:
            yield Text(error_line(error))

    @cached_property
    def _file_cells(self) -> list[Mapping[str, Any]]:
        """The cells of the notebook's file, as it was last saved; none if it is not known."""
        return [] if self.path is None or not self.path.exists() else reader.cells(self.path)

    @cached_property
    def _saved_cells(self) -> dict[int, Mapping[str, Any]]:
        """The cells of the notebook's file by `In [ ]` number, for those that an earlier kernel ran."""
        return dict(of_file(self._file_cells))


def _markdown(label: str, text: str) -> list[Part]:
    return [Text(label, own_lines=True), *code_block(text, "markdown")]


def _block(part: Text) -> dict[str, Any]:
    return {"type": "text", "text": part.text}


def _within(numbers: Sequence[int], first: int, last: int | None) -> list[int]:
    return [number for number in numbers if first <= number <= (math.inf if last is None else last)]


def _no_cell(first: int, last: int | None, known: Sequence[int], is_own: bool) -> str:
    cells = f"cell [{first}]" if last == first else f"cell from [{first}]" + (f" to [{last}]" if last else " on")
    if is_own:
        return f"There is no {cells} to send: %%claude cells are in the conversation already."
    ran_so_far = f"[{known[0]}] to [{known[-1]}]" if known else "none so far"
    return f"There is no {cells}: a cell's number is the one in its In [ ], and those that ran are {ran_so_far}."


def _no_failure(cell: str | None) -> str:
    if cell is None:
        return "There is no failed cell to correct: none has failed since claude_magic was loaded."
    return f"There is no failed cell {cell!r}: name one that failed when it ran last, by its number or its id."


def _saved_outputs(cell: Mapping[str, Any]) -> Iterator[Part]:
    """The outputs of a cell of the notebook's file (nbformat), as parts of a prompt."""
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        kind = output.get("output_type")
        if kind == "stream":
            yield Text(_text(output.get("text")) or "")
        elif kind == "error":
            yield Text(f"{output.get('ename')}: {output.get('evalue')}")
        elif isinstance(output.get("data"), Mapping):
            yield from parts_of_bundle(output["data"])


def _text(value: Any) -> str | None:
    """Text in nbformat's form, a string or a list of lines, as a string; None for anything else."""
    if isinstance(value, str):
        return value
    return "".join(map(str, value)) if isinstance(value, list) else None


MAX_SOURCE_BYTES = 14_000
MAX_TRACEBACK_BYTES = 14_000
MAX_FUNCTION_BYTES = 5_000
MAX_VALUE_BYTES = 2_000
VALUE_LIMITS = Limits(value_tokens=500)
MAX_FRAMES = 3
MAX_VARIABLES = 12


def error_parts(failure: Failure, source: str | None, secrets: Secrets) -> list[Part]:
    """An error as parts of a prompt: traceback, source and variables. `source` is that of the cell that failed."""
    error = failure.error
    frames = list(_frames(error))[-MAX_FRAMES:]
    where = f"cell [{failure.number}]" if failure.number else "this notebook"
    which = "error" if failure.report else "last error"
    found: list[Part] = [Text(f"The {which} is in {where}.", own_lines=True)]
    if source is not None:
        found += code_block(shortened(source.rstrip("\n"), MAX_SOURCE_BYTES), "python", is_code=True)
    for function in _functions(frames, source or ""):
        found += code_block(shortened(function, MAX_FUNCTION_BYTES), "python", is_code=True)
    found += [Text("Traceback:", own_lines=True), *code_block(_traceback(failure))]
    variables = [line for frame in frames for line in _variables(frame, secrets)]
    if variables:
        found += [Text("What the failing lines use, as it is now:", own_lines=True), *code_block("\n".join(variables))]
    return found


def saved_error_parts(cell: Mapping[str, Any]) -> list[Part]:
    """The error among the outputs of a cell of the notebook's file (nbformat), with its source; empty without one."""
    outputs = cell.get("outputs")
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, Mapping) and output.get("output_type") == "error":
            source, lines = _text(cell.get("source")) or "", output.get("traceback")
            traceback = "\n".join(map(str, lines)) if isinstance(lines, list) else ""
            told = traceback or f"{output.get('ename')}: {output.get('evalue')}"
            text = shortened(without_controls(told), MAX_TRACEBACK_BYTES, keep_end=True)
            code = shortened(source.rstrip("\n"), MAX_SOURCE_BYTES)
            found: list[Part] = [Text("This cell failed:", own_lines=True), *code_block(code, "python", is_code=True)]
            return [*found, Text("Traceback:", own_lines=True), *code_block(text)]
    return []


def error_line(error: BaseException) -> str:
    """An exception's type and message."""
    return one_line(error)


def _traceback(failure: Failure) -> str:
    """The traceback as Python prints it, from the reader's first frame on: IPython's own frames are left out."""
    if failure.report is not None:
        return report_text(failure.report, MAX_TRACEBACK_BYTES, lambda frame: not in_library(frame.filename))
    error = failure.error
    first = error.__traceback__
    while first is not None and not _is_readers_frame(first.tb_frame):
        first = first.tb_next
    return traceback_text(error, MAX_TRACEBACK_BYTES, start=first)


def _frames(error: BaseException) -> Iterator[TracebackType]:
    at = error.__traceback__
    while at is not None:
        if _is_readers_frame(at.tb_frame):
            yield at
        at = at.tb_next


def _is_readers_frame(frame: FrameType) -> bool:
    """Whether a frame is in a cell or in a module of the reader's, not in a library."""
    name = frame.f_code.co_filename
    is_of_cell = frame.f_globals.get("__name__") == "__main__" and bool(linecache.getlines(name))
    return is_of_cell or not (name.startswith("<") or in_library(name))


def _functions(frames: list[TracebackType], source: str) -> Iterator[str]:
    """The sources of the functions in the traceback that are not defined in the cell itself."""
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
    if not secrets.shows(name) and _is_secret(name, value):
        return f"{name} ({kind}) = {MASK}"
    rendered = prompt.parts_of(value, name, secrets, VALUE_LIMITS)
    text = "".join(part.text if isinstance(part, Text) else f"<{part['type']}>" for part in rendered)
    text = repr(value) if type(value) is str else text
    return f"{name} ({kind}) = {shortened(text, MAX_VALUE_BYTES)}"


def _is_secret(name: str, value: Any) -> bool:
    """Whether a variable is secret: by its name, and if it is a text, by what it looks like."""
    if type(value) is str:
        return is_secret_value(name, value)
    return is_secret_name(name) and not isinstance(value, int | float)


def _names_used(at: TracebackType) -> Iterator[str]:
    """The names in the expression that failed, in the order of the source."""
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
    """The first and last line of the expression that failed."""
    positions = list(itertools.islice(at.tb_frame.f_code.co_positions(), at.tb_lasti // 2, at.tb_lasti // 2 + 1))
    first, last = positions[0][:2] if positions else (None, None)
    return min(first or at.tb_lineno, at.tb_lineno), max(last or at.tb_lineno, at.tb_lineno)
