"""Deterministic text summaries of data frames, in a few thousand bytes: shape, columns with statistics, first rows.

Any frame or column that narwhals accepts; lazy and distributed frames by way of `lazy_dataframes`.
"""

from __future__ import annotations

import io
import math
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ...content.parts import room_for, shortened
from ...content.safely import is_from_library, try_or_none, type_name
from ...content.secrets import MASK
from ...content.stable_text import brief, stable
from ...content.text import byte_length, plural, short
from ...options import DEFAULT_VALUE_TOKENS
from . import lazy_dataframes
from .lazy_dataframes import MAX_HEAD_ROWS, Glimpse

MAX_COLUMNS = 40
MAX_NAME_CHARACTERS = 40
MAX_CELL_CHARACTERS = 60

# Above these limits a frame's statistics are left out, so that ten million rows take well under a second. Measured
# with pandas 3.1: 1.5 ns to read a number once, 35 ns to ask a Python string whether it is null.
MAX_COUNTED_ROWS = 100_000
MAX_SCANNED_VALUES = 400_000_000
SCANS_PER_NUMBER = 4
SCANS_PER_STRING = 25

_LINE_BREAK = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")

_PANDAS_LIKE = ("pandas", "geopandas", "modin", "cudf")
_ENGINES = ("dask", "duckdb", "ibis", "pyspark", "sqlframe", "daft")
_FRAME_LIBRARIES = (*_PANDAS_LIKE, "polars", "pyarrow", *_ENGINES, "narwhals")


@dataclass(frozen=True)
class _Table:
    """An eager narwhals DataFrame (pandas and pyarrow: with numbered columns), its column names, and a pandas index."""

    kind: str
    frame: Any
    names: Sequence[str]
    index: Any = None
    notes: Sequence[str] = ()


def is_frame(value: Any) -> bool:
    """Whether a value is a data frame, eager or lazy, or a column of one."""
    if not is_from_library(value, *_FRAME_LIBRARIES):
        return False
    value = _native(value)
    return lazy_dataframes.glimpse(value) is not None or _table(value) is not None


def _native(value: Any) -> Any:
    """The native frame inside a narwhals object, or a Styler of pandas; any other value as it is."""
    import narwhals as nw

    return unstyled(nw.to_native(value, pass_through=True))


def unstyled(value: Any) -> Any:
    """The frame that a Styler of pandas displays: its styles are computed, which may take long. Else the value."""
    styles = sys.modules.get("pandas.io.formats.style")
    return value.data if styles is not None and styles.Styler in type(value).__mro__ else value


def _table(value: Any) -> _Table | None:
    """An eager frame or column (in memory) as a table; None for any other value."""
    import narwhals as nw

    native, names = _with_plain_columns(value)
    seen = nw.from_native(native, pass_through=True, allow_series=True)
    if isinstance(seen, nw.Series):
        frame = seen.alias("0").to_frame()
        return _Table("Series", frame, names or [seen.name or "value"], _index_of(value))
    if not isinstance(seen, nw.DataFrame):
        return None
    return _Table(type_name(value), seen, names or list(seen.columns), _index_of(value), _notes(value))


def summary(value: Any, name: str, room: int | None = None) -> str:
    """A summary of a frame or column in at most `room` bytes: shape, columns with statistics, and its first rows.

    `name` is the expression in the title, left out if long. Raises `TypeError` for a value that is not a frame.
    """
    room = room_for(DEFAULT_VALUE_TOKENS) if room is None else room
    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    value = _native(value)
    known = lazy_dataframes.glimpse(value)
    if known is not None:
        return shortened(_lazy_summary(known, label, room), room)
    table = _table(value)
    if table is None:
        raise TypeError(f"{type_name(value)} is no data frame")
    return shortened(_eager_summary(table, label, room), room)


def _with_plain_columns(value: Any) -> tuple[Any, list[str] | None]:
    """A frame with its columns renamed to numbers, and their names: narwhals takes only distinct strings.

    Libraries whose names are such strings already keep them; the names are None then.
    """
    if is_from_library(value, "pyarrow"):
        return _arrow_table(value)
    if not is_from_library(value, *_PANDAS_LIKE):
        return value, None
    if hasattr(value, "set_axis") and hasattr(value, "columns"):
        names = [", ".join(map(str, column)) if isinstance(column, tuple) else str(column) for column in value.columns]
        return value.set_axis([str(position) for position in range(len(names))], axis=1), names
    if hasattr(value, "set_axis"):
        return value.rename("0"), ["value" if value.name is None else str(value.name)]
    if hasattr(value, "to_frame"):  # an index
        frame = value.to_frame(index=False)
        names = [str(number) if label is None else str(label) for number, label in enumerate(value.names)]
        return frame.set_axis([str(position) for position in range(len(names))], axis=1), names
    return value, None


def _arrow_table(value: Any) -> tuple[Any, list[str] | None]:
    """A pyarrow table, record batch or array as a table with numbered columns, and their names; others as they are."""
    import pyarrow

    if isinstance(value, pyarrow.RecordBatch):
        value = pyarrow.Table.from_batches([value])
    if isinstance(value, pyarrow.Array):
        value = pyarrow.chunked_array([value])
    if not isinstance(value, pyarrow.Table):
        return value, None
    return value.rename_columns([str(position) for position in range(value.num_columns)]), list(value.column_names)


def _notes(value: Any) -> list[str]:
    """Lines for a geopandas frame: its CRS and bounds."""
    if not is_from_library(value, "geopandas"):
        return []
    bounds = try_or_none(lambda: [float(f"{bound:.6g}") for bound in value.total_bounds])
    facts = {"CRS": try_or_none(lambda: value.crs), "bounds": bounds}
    return [f"{label}: {_cell(fact)}" for label, fact in facts.items() if fact is not None]


def _eager_summary(table: _Table, label: str, room: int) -> str:
    """The summary of an eager frame."""
    rows, columns = table.frame.shape
    library = table.frame.implementation.name.lower()
    extent = f"{rows:,} values" if table.kind == "Series" else f"{rows:,} rows × {columns:,} columns"
    lines = [f"{table.kind}{label}: {extent} ({library})", *table.notes]
    if table.index is not None:
        lines.append(f"index: {'; '.join(map(_index_level, _levels(table.index)))}")
    described = _described(table.frame, table.names, room)
    lines.extend(described)
    shown = len(described) - 1
    if shown < len(table.names):
        lines.append(f"… and {len(table.names) - shown:,} more columns")
    if rows:
        head = table.frame.head(MAX_HEAD_ROWS)
        values = _rows(head.select(head.columns[: max(shown, 1)]))
        labels = None if table.index is None else _labels(table.index, len(head))
        lines.extend(_head(values, table.names[: max(shown, 1)], labels, room - _length(lines)))
    return "\n".join(lines)


def _rows(head: Any) -> list[Sequence[Any]]:
    """The rows of a short frame, what is missing as None; read column by column if narwhals cannot read rows."""
    if head.implementation.is_pandas_like():
        columns = try_or_none(lambda: [_pandas_values(head.get_column(column).to_native()) for column in head.columns])
        if columns is not None:
            return list(zip(*columns, strict=True))
    rows = try_or_none(head.rows)
    if rows is None:
        return list(zip(*(head.get_column(column).to_list() for column in head.columns), strict=True))
    return list(rows)


def _pandas_values(column: Any) -> list[Any]:
    """The values of a short pandas column or index, with None for each that pandas takes as missing."""
    missing = list(column.isna())
    return [None if gone else value for gone, value in zip(missing, column.tolist(), strict=True)]


def _described(frame: Any, names: Sequence[str], room: int) -> list[str]:
    """A line for each column that fits: name, type, nulls, and the statistics that are cheap for its type."""
    lines = ["column | type | nulls | values"]
    unread = MAX_SCANNED_VALUES
    for position, name in enumerate(names[:MAX_COLUMNS]):
        column = frame.get_column(frame.columns[position])
        cost = len(column) * _scans(column)
        line = f"{_cell(name)} | {_facts(column, affordable=cost <= unread)}"
        unread -= cost if cost <= unread else 0
        if _length(lines) + byte_length(line) > room * 5 // 8:
            break
        lines.append(line)
    return lines


def _facts(column: Any, *, affordable: bool) -> str:
    """Type, nulls and statistics of a column; for a masked column only the mask, whose statistics mean nothing."""
    if _is_masked(column):
        return f"? | ? | {MASK}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of infinite numbers
        facts = f"{_nulls(column)} | {_statistics(column)}" if affordable else "? | not computed: too many rows"
    return f"{_type_of(column)} | {facts}"


def _is_masked(column: Any) -> bool:
    ends = [try_or_none(partial(column.item, position)) for position in (0, -1) if len(column)]
    return bool(ends) and all(type(end) is str and end == MASK for end in ends)


def _length(lines: Sequence[str]) -> int:
    return sum(byte_length(line) + 1 for line in lines)


def _scans(column: Any) -> int:
    """The cost of a column's statistics, in scans for each of its values."""
    in_python = column.implementation.is_pandas_like() and str(column.to_native().dtype) in ("object", "str", "string")
    return SCANS_PER_STRING if in_python else SCANS_PER_NUMBER


def _type_of(column: Any) -> str:
    """The name of a column's type in its own library, such as `int64`."""
    native = column.to_native()
    return short(
        str(getattr(native, "dtype", None) or getattr(native, "type", None) or column.dtype), MAX_CELL_CHARACTERS
    )


def _nulls(column: Any) -> str:
    nulls = try_or_none(column.null_count)
    return "?" if nulls is None else f"{nulls:,}"


def _statistics(column: Any) -> str:
    """The statistics that fit a column's type, and what was not computed of them."""
    column = _dense(column)
    numbers = column.dtype.is_numeric() or _is_of(column, "complex")
    measured = numbers or column.dtype.is_temporal() or _is_of(column, "period")
    known = _measures(column, numbers=numbers) if measured else []
    if not column.dtype.is_float():
        known += _counts(column, with_top=not measured)
    return ", ".join(known)


def _dense(column: Any) -> Any:
    """A sparse column of pandas as one that holds all of its values; any other as it is."""
    import narwhals as nw

    if not _is_of(column, "sparse"):
        return column
    return nw.from_native(column.to_native().sparse.to_dense(), series_only=True)


def _is_of(column: Any, kind: str) -> bool:
    """Whether a column is of a type of pandas whose name begins so; narwhals knows nothing of these."""
    return column.implementation.is_pandas_like() and str(column.to_native().dtype).lower().startswith(kind)


def _measures(column: Any, *, numbers: bool) -> list[str]:
    """Range and mean of a column; NaN, where it is not the same as missing, is left out and counted."""
    own = column if column.dtype.is_numeric() or column.dtype.is_temporal() else column.to_native()
    mean = try_or_none(own.mean) if numbers else None
    left_out = 0
    if isinstance(mean, float) and math.isnan(mean):
        is_nan = try_or_none(lambda: column.is_nan() & ~column.is_null())
        left_out = int(try_or_none(is_nan.sum) or 0) if is_nan is not None else 0
        own = column.filter(~column.is_null()).filter(~column.drop_nulls().is_nan()) if left_out else own
        mean = try_or_none(own.mean)
    ends = {} if _is_of(column, "complex") else {"min": try_or_none(own.min), "max": try_or_none(own.max)}
    facts = {**ends, "mean": mean}
    known = [f"{label} {_cell(fact)}" for label, fact in facts.items() if fact is not None and not _is_missing(fact)]
    return [*known, *([f"{left_out:,} NaN left out"] if left_out else [])]


def _is_missing(value: Any) -> bool:
    """Whether a statistic is null or NaN, as that of an empty column is."""
    return _cell(value) == "null" or (isinstance(value, float) and math.isnan(value))


def _counts(column: Any, *, with_top: bool) -> list[str]:
    """The number of distinct values without nulls, and the most frequent; or why they were not computed."""
    import narwhals as nw

    if len(column) > MAX_COUNTED_ROWS:
        if not isinstance(column.dtype, nw.Boolean | nw.Categorical | nw.Enum):
            return ["distinct not computed: too many rows"]
        counts = try_or_none(partial(_few_counts, column))
        return (
            ["distinct not computed"] if counts is None else [f"distinct {len(counts):,}", *_top(counts, len(column))]
        )
    distinct = try_or_none(partial(_distinct, column))
    if distinct is None:
        return ["distinct not computed: its values cannot be compared"]
    known = [f"distinct {distinct:,}"]
    if not with_top or not 0 < distinct < len(column):
        return known
    counts = try_or_none(lambda: Counter(_present(column)).most_common(3))
    return [*known, *(_top(counts, len(column)) if counts is not None else [])]


def _distinct(column: Any) -> int:
    """The number of distinct values without nulls, which are counted separately: in pandas of any kind."""
    if column.implementation.is_pandas_like():
        return int(column.to_native().nunique())
    return int(column.n_unique()) - bool(column.null_count())


def _present(column: Any) -> list[Any]:
    """The values of a column without nulls."""
    if column.implementation.is_pandas_like():
        return list(column.to_native().dropna().tolist())
    return list(column.drop_nulls().to_list())


def _few_counts(column: Any) -> list[tuple[Any, int]]:
    """How often each value of a column of few values occurs, the most frequent first; counted by its library."""
    rows = column.alias("value").value_counts(name="count").rows()
    found = [(value, int(count)) for value, count in rows if count and not _is_missing(value)]
    return sorted(found, key=lambda each: (-each[1], str(each[0])))


def _top(counts: Sequence[tuple[Any, int]], rows: int) -> list[str]:
    """The three most frequent values with their counts, if any occurs twice."""
    shown = [f"{short(_cell(value), 16)} ({count:,})" for value, count in counts[:3]]
    return [f"top {', '.join(shown)}"] if shown and len(counts) < rows else []


def _index_of(value: Any) -> Any:
    """A pandas index; None for other libraries, and for plain row numbers."""
    index: Any = getattr(value, "index", None)
    if not hasattr(index, "dtype"):
        return None
    plain = type(index).__name__ == "RangeIndex" and index.name is None and index.start == 0 and index.step == 1
    return None if plain else index


def _levels(index: Any) -> list[Any]:
    """The levels of a pandas index, each as an index."""
    return [index.get_level_values(number) for number in range(index.nlevels)]


def _index_level(level: Any) -> str:
    """The name, type and range of an index or of a level of one, and how many of its labels are missing."""
    import narwhals as nw

    facts = [short(str(level.dtype), MAX_CELL_CHARACTERS)]
    column: Any = try_or_none(lambda: nw.from_native(level.to_series(), series_only=True))
    if column is not None and len(column):
        ordered = column.dtype.is_numeric() or column.dtype.is_temporal() or _is_of(column, "period")
        ends = [try_or_none(end) for end in (level.min, level.max)] if ordered else []
        facts += [" to ".join(map(_cell, ends))] if ends and not any(map(_is_missing, ends)) else []
        facts += [f"every {level.freqstr}"] if getattr(level, "freqstr", None) else []
        nulls = int(try_or_none(lambda: level.isna().sum()) or 0)
        facts += [plural(nulls, "null")] if nulls else []
    return f"{_cell('unnamed' if level.name is None else str(level.name))} ({', '.join(facts)})"


def _labels(index: Any, count: int) -> list[Any]:
    """The heading of a pandas index, and its first labels; a label of several levels as one text."""
    names = [str(name) for name in index.names if name is not None]
    levels = [_pandas_values(level) for level in _levels(index[:count])]
    heading = ", ".join(names) or "unnamed"
    if len(levels) == 1:
        return [heading, *levels[0]]
    return [heading, *(", ".join(map(_cell, label)) for label in zip(*levels, strict=True))]


def _head(rows: Sequence[Sequence[Any]], names: Sequence[str], labels: Any, room: int) -> list[str]:
    """The first rows as CSV: as many columns and rows as fit into `room` bytes; the heading says how many.

    `labels` are the index's name and its value for each row, or None.
    """
    table = [[_cell(name) for name in names]]
    table += [[_cell(value) for value in row[: len(names)]] for row in rows]
    if labels is not None:
        table = [[_cell(label), *row] for label, row in zip(labels, table, strict=True)]
    room -= MAX_CELL_CHARACTERS * 2  # for the heading
    columns = _columns_for(table, room // min(len(table), 4))
    lines: list[str] = []
    for row in table:
        line = _csv(row[:columns])
        if _length(lines) + byte_length(line) > room:
            break
        lines.append(line)
    heading = f"first {len(lines) - 1} rows" if len(lines) != 2 else "first row"
    heading += f" of the first {columns - (labels is not None)} columns" if columns < len(table[0]) else ""
    heading += " (long cells shortened)" if any(cell.endswith("…") for row in table for cell in row) else ""
    return [f"{heading}:", *lines] if len(lines) > 1 else []


def _columns_for(table: Sequence[Sequence[str]], room: int) -> int:
    """The number of columns, at least one, that fit into lines of `room` bytes with quotes and commas."""
    used = 0
    for position in range(len(table[0])):
        used += max(byte_length(row[position]) for row in table) + 3
        if used > room:
            return max(position, 1)
    return len(table[0])


def _csv(row: Sequence[str]) -> str:
    import csv

    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(row)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    """A value of a table on one short line."""
    if isinstance(value, float):
        text = f"{value:.10g}" if value == value else "NaN"
    elif isinstance(value, str):
        text = str.__str__(value)[: MAX_CELL_CHARACTERS + 1]
    elif isinstance(value, list | tuple | dict | set | frozenset):
        text = brief(value)
    else:
        text = try_or_none(partial(str, value)) or f"<{type_name(value)} object>"
        text = stable(text[: 10 * MAX_CELL_CHARACTERS])
    if len(text.splitlines()) > 1 or text.endswith("\n"):
        text = _LINE_BREAK.sub(lambda found: repr(found[0])[1:-1], text.replace("\\", r"\\"))
    return short(text, MAX_CELL_CHARACTERS) if text not in ("None", "<NA>", "NaT") or isinstance(value, str) else "null"


def _lazy_summary(known: Glimpse, label: str, room: int) -> str:
    """The summary of a lazy frame: its columns, and the first rows or why there are none."""
    lines = [lazy_dataframes.heading(known, label), *(["column | type"] if known.names else [])]
    for name, kind in list(zip(known.names, known.types, strict=True))[:MAX_COLUMNS]:
        line = f"{_cell(name)} | {short(kind, MAX_CELL_CHARACTERS)}"
        if _length(lines) + byte_length(line) > room * 5 // 8:
            break
        lines.append(line)
    shown = max(0, len(lines) - 2)
    if len(known.names) > shown:
        lines.append(f"… and {len(known.names) - shown:,} more columns")
    rows = known.rows()
    if isinstance(rows, str):
        lines.append(f"first rows {rows}")
    elif rows and shown:
        lines += _head(rows, known.names[:shown], None, room - _length(lines))
    elif shown:
        lines.append("no rows")
    return "\n".join(lines)
