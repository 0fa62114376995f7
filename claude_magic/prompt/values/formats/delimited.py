"""Delimited text → columns of Python values: the separator, decimal commas, and lines that are no rows are found out.

What may be a code stays text: digits with leading zeros, long numbers, and `NA` among words.
"""

from __future__ import annotations

import csv
import datetime
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....content.text import join_line, plural, short

SEPARATORS = ("\t", ";", "|", ",")
_NAMES = {"\t": "tabs", ";": "semicolons", "|": "vertical bars", ",": "commas"}
SAMPLE_CHARACTERS = 100_000
MAX_PREAMBLE_LINES = 30
MAX_FOOTER_LINES = 5
MIN_REGULAR_SHARE = 0.9
MAX_TOLD_CHARACTERS = 600
# A spreadsheet has at most so many (2^14); of a row that is no table there may be more.
MAX_COLUMNS = 16_384

Row = list[str]


@dataclass(frozen=True)
class _Form:
    """How a text is written: its separator, the fields of a row, the records above its header, its regular share.

    `decimals`: its fields have decimal commas; `spaces`: they follow spaces; `spaced`: white space divides them.
    """

    separator: str
    width: int
    above: int
    share: float
    decimals: bool
    spaces: bool
    spaced: bool = False


@dataclass(frozen=True)
class Columns:
    """What a delimited text holds: its columns by their names, and lines that say how it was read."""

    values: Mapping[str, Sequence[Any]]
    rows: int
    notes: Sequence[str]


def read(text: str, separator: str, most_rows: int, most_columns: int) -> Columns | None:
    """The columns of a delimited text; None if it is none that can be told.

    `separator` is the usual one of its kind of file. At most so many rows are read, and of so many columns the values
    (the others are empty).
    """
    limit = csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # of the whole process
    try:
        return _read(text, separator, most_rows, most_columns)
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)


def _read(text: str, separator: str, most_rows: int, most_columns: int) -> Columns | None:
    named = re.match(r"sep=(.)\r?\n", text)
    if named:  # as Excel writes it
        separator, text = named[1], text[named.end() :]
    form = _form(text, separator, only=bool(named))
    if form is not None and form.width == 1 and _is_spaced(text):
        text = "\n".join("\t".join(line.split()) for line in text.splitlines())
        form = replace(form, separator="\t", width=len(text.partition("\n")[0].split("\t")), spaced=True)
    return None if form is None else _columns(text, form, separator, most_rows, most_columns)


def _records(text: str, separator: str, *, spaces: bool = False) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=spaces)


def _is_spaced(text: str) -> bool:
    """Whether lines are divided by white space into as many fields each, most of them numbers."""
    rows = [line.split() for line in text[:SAMPLE_CHARACTERS].splitlines()[:-1] if line.strip()]
    if len(rows) < 2 or len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return False
    fields = [field for row in rows[1:] for field in row]
    return sum(map(_is_number, fields)) * 2 > len(fields)


def _is_record(row: Row) -> bool:
    """Whether a line is more than white space: one of empty fields is a row without values."""
    return len(row) > 1 or bool(row and row[0].strip())


# How a text is written


def _form(text: str, usual: str, *, only: bool) -> _Form | None:
    sample = text[:SAMPLE_CHARACTERS]
    if len(text) > len(sample):
        sample = sample[: sample.rfind("\n") + 1] or sample
    wanted = [usual] if only else [usual, *(each for each in SEPARATORS if each != usual)]
    forms = [form for separator in wanted if (form := _form_of(sample, separator)) is not None]
    if not forms:
        one = not any(separator in sample for separator in SEPARATORS)
        return _Form(usual, 1, 0, 1, False, False) if one and sample.strip() else None
    best = max(form.share for form in forms)
    forms = [form for form in forms if form.share > best - 0.02]
    for fits in (_splits_decimals_of(forms), lambda form: form.separator == "\t", lambda form: form.separator == usual):
        if fitting := [form for form in forms if fits(form)]:
            return fitting[0]
    return max(forms, key=lambda form: form.width)


def _splits_decimals_of(forms: Sequence[_Form]) -> Callable[[_Form], bool]:
    """Whether a form leaves numbers with decimal commas whole, which the comma as a separator would divide."""
    by_comma = any(form.separator == "," for form in forms)
    return lambda form: by_comma and form.separator != "," and form.decimals


def _form_of(sample: str, separator: str) -> _Form | None:
    """The form of a text if it is divided at `separator`; None if its rows are then too irregular."""
    spaces = f'{separator} "' in sample
    rows = list(filter(_is_record, _records(sample, separator, spaces=spaces)))
    widths = Counter(len(row) for row in rows if len(row) > 1)
    if not widths:
        return None
    width = max(widths, key=lambda each: (widths[each], each))
    if width > MAX_COLUMNS:
        return None
    if len(rows[0]) == max(widths) and widths[len(rows[0])] > 1:  # a header, and rows that leave out empty fields
        width = len(rows[0])
    above = next(at for at, row in enumerate(rows) if len(row) == width)
    body = rows[above:]
    regular = sum(len(row) == width or (above == 0 and 1 < len(row) < width) for row in body)
    if above > MAX_PREAMBLE_LINES or regular < MIN_REGULAR_SHARE * (len(body) - MAX_FOOTER_LINES * (len(body) > 10)):
        return None
    if len(body) < 2 and len(rows) > 1:
        return None
    commas = [cell for row in body for cell in row if "," in cell]
    decimals = separator != "," and bool(commas) and all(map(_DECIMAL_COMMA.fullmatch, commas))
    return _Form(separator, width, above, regular / len(rows), decimals, spaces)


# Its rows


def _columns(text: str, form: _Form, usual: str, most_rows: int, most_columns: int) -> Columns | None:
    records = _records(text, form.separator, spaces=form.spaces)
    rows = list(filter(_is_record, itertools.islice(records, most_rows + MAX_PREAMBLE_LINES + 1)))
    more = sum(map(_is_record, records))  # counted, not kept
    header, above, body = _header(*_without_titles(rows[: form.above], rows[form.above :], form.width), form.width)
    width = len(header)
    numbered = header == _numbered(width) and len(above) + len(body) == len(rows)
    below = 0
    while form.width > 1 and below < MAX_FOOTER_LINES and len(body) > 1 and len(body[-1]) == 1:
        body, below = body[:-1], below + 1
    kept = [row for row in body if len(row) <= width or not any(row[width:])]
    if len(kept) < MIN_REGULAR_SHARE * len(body):
        return None
    cells = [[*row[:width], *[""] * (width - len(row))] for row in kept[:most_rows]]
    columns: list[Sequence[str]] = list(zip(*cells, strict=True)) if cells else [()] * width
    names, seen = _distinct_names(header), columns[:most_columns]
    commas = any(map(_has_decimal_commas, seen))
    shown = [_typed(column, commas=commas) for column in seen]
    shown += [[None] * len(cells)] * (width - len(shown))
    told = ["There is no header: the columns are numbered."] if numbered else []
    notes = [*_notes(form, usual, above, commas=commas), *told, *_left_out(body, kept, below, width)]
    unclear = [] if commas else [name for name, column in zip(names, seen, strict=False) if _has_thousands(column)]
    if unclear:
        which = short(", ".join(unclear), MAX_TOLD_CHARACTERS)
        notes.append(f"Left as text, for the commas in them may be decimal or stand between thousands: {which}.")
    return Columns(dict(zip(names, shown, strict=True)), len(kept) + more, notes)


def _left_out(body: Sequence[Row], kept: Sequence[Row], below: int, width: int) -> Iterator[str]:
    """Lines that say how many lines are no rows, and how many rows are short."""
    for count, what in ((below, "below the rows"), (len(body) - len(kept), "with more fields than the header")):
        if count:
            yield f"{plural(count, 'line')} {what} {'is' if count == 1 else 'are'} left out."
    if shorter := sum(len(row) < width for row in kept):
        yield f"{plural(shorter, 'row')} {'has' if shorter == 1 else 'have'} fewer fields than the header."


def _without_titles(above: list[Row], body: list[Row], width: int) -> tuple[list[Row], list[Row]]:
    """The records above a table and the table, without the titles that a spreadsheet fills up with empty fields."""
    titles = 0
    while width > 2 and len(body) - titles > 2 and _is_title(body[titles]) and not all(map(_is_title, body[titles:])):
        titles += 1
    return [*above, *body[:titles]], body[titles:]


def _is_title(row: Row) -> bool:
    """Whether a row has nothing but its first field, as a title above a table that a spreadsheet wrote."""
    return not any(map(str.strip, row[1:]))


def _header(above: list[Row], body: list[Row], width: int) -> tuple[Row, list[Row], list[Row]]:
    """The names of the columns, the records above them, and the rows.

    The header may have a field less: where each row ends with a separator, or begins with a name, as R writes it.
    """
    names = above[-1] if above and not _is_header(body) else []
    if width > 2 and len(names) == width - 1 and all(map(str.strip, names)) and not any(map(_is_number, names)):
        trailing = not any(row[width - 1].strip() for row in body if len(row) == width)
        return (names if trailing else ["", *names]), above[:-1], body
    trailing = width > 2 and not any(row[width - 1].strip() for row in body if len(row) == width)
    names = body[0][:-1] if trailing else body[0]
    if _are_values(names):
        return _numbered(len(names)), above, body
    return names, above, body[1:]


def _numbered(count: int) -> Row:
    return [f"column {number}" for number in range(1, count + 1)]


def _are_values(names: Row) -> bool:
    """Whether the first row is no header: numbers with fractions that do not rise, as wavelengths above a table do."""
    if len(names) < 2 or not all(map(_is_number, names)) or not any("." in name for name in names):
        return False
    numbers = [float(name) for name in names]
    return any(one >= other for one, other in itertools.pairwise(numbers))


def _is_header(body: Sequence[Row]) -> bool:
    """Whether the first of some rows has words above numbers."""
    below = body[1:51]
    return bool(below) and any(
        not _is_number(body[0][at]) and all(_is_number(row[at]) for row in below if at < len(row))
        for at in range(len(body[0]))
    )


def _is_number(cell: str) -> bool:
    return _FLOAT.fullmatch(cell.strip()) is not None


def _distinct_names(header: Sequence[str]) -> list[str]:
    """Names of columns, all different, as pandas makes them: `Unnamed: 0` for an empty one, `x.1` for a second `x`."""
    names: dict[str, None] = {}
    times: Counter[str] = Counter()
    for position, given in enumerate(header):
        name = known = given.strip().removeprefix("\ufeff") or f"Unnamed: {position}"
        while name in names:
            times[known] += 1
            name = f"{known}.{times[known]}"
        names[name] = None
    return list(names)


def _notes(form: _Form, usual: str, above: Sequence[Row], *, commas: bool) -> Iterator[str]:
    """Lines that say how a text was read, where that is not as usual."""
    separator = "white space" if form.spaced else _NAMES.get(form.separator, repr(form.separator))
    read_with = [f"{separator} between the fields"] if form.spaced or form.separator != usual else []
    read_with += ["decimal commas"] if commas else []
    if read_with:
        yield f"Read with {' and '.join(read_with)}."
    if above:
        told = short(" / ".join(join_line(form.separator.join(row)) for row in above), MAX_TOLD_CHARACTERS)
        yield f"{plural(len(above), 'line')} above the header: {told}"


# Its values

MAX_DIGITS = 18
_INT = r"-?(?:0|[1-9][0-9]*)"
_DOT = r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?|\+(?:0|[1-9][0-9]*)\.[0-9]+|-?inf"
_COMMA = r"-?(?:0|[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[1-9][0-9]*)(?:,[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
_FLOAT = re.compile(_DOT)
_DECIMAL_COMMA = re.compile(rf"\s*{_COMMA}\s*")
_THOUSANDS = re.compile(r"\s*-?[1-9][0-9]{0,2}(?:,[0-9]{3})+\s*")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{3}(?:[0-9]{3})?)?)?"
# What stands for a missing number, as pandas has it; among words it may be a code.
MISSING = frozenset({"NA", "N/A", "n/a", "#N/A", "NaN", "nan", "-nan", "-NaN", "null", "NULL", "None", "<NA>"})
_TRUTH = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}


def _has_decimal_commas(column: Sequence[str]) -> bool:
    """Whether a column has numbers with commas that cannot stand between thousands."""
    present = {cell for cell in set(column) if cell.strip()} - MISSING
    commas = [cell for cell in present if "," in cell]
    return bool(commas) and all(map(_DECIMAL_COMMA.fullmatch, present)) and not all(map(_THOUSANDS.fullmatch, commas))


def _has_thousands(column: Sequence[str]) -> bool:
    """Whether a column has numbers whose commas may stand between thousands, and no other commas."""
    present = {cell for cell in set(column) if cell.strip()} - MISSING
    commas = [cell for cell in present if "," in cell]
    return bool(commas) and all(map(_THOUSANDS.fullmatch, commas)) and all(map(_DECIMAL_COMMA.fullmatch, present))


def _typed(column: Sequence[str], *, commas: bool) -> list[Any]:
    """The values of a column in its type: numbers, truth values, dates, else text; None for what is missing."""
    distinct = set(column)
    blank = {cell for cell in distinct if not cell.strip()}
    present = distinct - blank - MISSING
    made = _made(present, commas=commas) if present else None
    if made is None:  # words: what is missing among numbers is one of them
        made = {cell: cell for cell in distinct - blank}
    return [made.get(cell) for cell in column]


def _made(present: set[str], *, commas: bool) -> dict[str, Any] | None:
    """The value of each cell of a column, if all of them are of one type; None if they are text."""
    lines = "".join(f"{cell}\n" for cell in present)

    def all_are(pattern: str) -> bool:
        return re.fullmatch(rf"(?:[ \t]*(?:{pattern})[ \t]*\n)*+", lines) is not None

    if present <= _TRUTH.keys():
        return {cell: _TRUTH[cell] for cell in present}
    if all_are(_INT):  # a longer number is most likely a code, which as a float would lose its end
        return {cell: int(cell) for cell in present} if max(map(len, present)) <= MAX_DIGITS else None
    if commas and all_are(_COMMA):
        plain = {cell: cell.replace(".", "").replace(",", ".") for cell in present}
        return {cell: float(text) if set(text) & set(".eE") else int(text) for cell, text in plain.items()}
    if all_are(_DOT):
        return {cell: float(cell) for cell in present}
    if all_are(f"{_DATE}(?:{_TIME})?"):
        return _dates(present)
    return None


def _dates(present: set[str]) -> dict[str, Any] | None:
    try:
        return {cell: datetime.datetime.fromisoformat(cell.strip()) for cell in present}
    except ValueError:  # the 31st of February
        return None
