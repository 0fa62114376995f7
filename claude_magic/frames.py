"""A data frame in a few thousand characters: its shape, its columns with statistics, its first rows.

Anything that narwhals accepts: pandas, polars, pyarrow, lazy ones. The same frame gives the same text.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .foreign import attempt, comes_from, short

MAX_SUMMARY_CHARACTERS = 8_000
MAX_COLUMNS = 40
MAX_HEAD_ROWS = 10
MAX_NAME_CHARACTERS = 40
MAX_CELL_CHARACTERS = 60

# Beyond these a frame's statistics are left out, so that ten million rows take well under a second. Measured with
# pandas 3.1: 1.5 ns to read a number once, 35 ns to ask a Python string whether it is null.
MAX_COUNTED_ROWS = 100_000
MAX_SCANNED_VALUES = 400_000_000
SCANS_PER_NUMBER = 4
SCANS_PER_STRING = 25

_PANDAS_LIKE = ("pandas", "geopandas", "modin", "cudf")
_FRAME_LIBRARIES = (*_PANDAS_LIKE, "polars", "pyarrow", "dask", "duckdb", "ibis", "pyspark", "sqlframe")


def _narwhals_of(value: Any) -> Any:
    """A value as narwhals sees it: a frame or series, or the value itself."""
    import narwhals as nw

    return nw.from_native(value, pass_through=True, allow_series=True)


def is_frame(value: Any) -> bool:
    """Whether this is a data frame, eager or lazy, or a column of one."""
    if not comes_from(value, *_FRAME_LIBRARIES):
        return False
    import narwhals as nw

    return isinstance(_narwhals_of(_with_plain_columns(value)[0]), nw.DataFrame | nw.LazyFrame | nw.Series)


def summary(value: Any, name: str) -> str:
    """A frame or column in at most `MAX_SUMMARY_CHARACTERS`: shape, columns with statistics, and its first rows.

    `name` is what the title calls it, unless it is long.
    """
    import narwhals as nw

    native, names = _with_plain_columns(value)
    frame = _narwhals_of(native)
    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    library = frame.implementation.name.lower()
    if isinstance(frame, nw.LazyFrame):
        text = _lazy_summary(frame, f"LazyFrame{label}", library)
    elif isinstance(frame, nw.Series):
        title = f"Series{label}: {len(frame):,} values ({library})"
        text = _eager_summary(title, frame.to_frame(), names or [frame.name or "value"], _index_of(value))
    else:
        shape = f"{frame.shape[0]:,} rows × {frame.shape[1]:,} columns"
        names = names or list(frame.columns)
        text = _eager_summary(f"{type(value).__name__}{label}: {shape} ({library})", frame, names, _index_of(value))
    return short(text, MAX_SUMMARY_CHARACTERS)


def _with_plain_columns(value: Any) -> tuple[Any, list[str] | None]:
    """A pandas frame with its columns numbered, and their names: narwhals takes only distinct strings."""
    if not (comes_from(value, *_PANDAS_LIKE) and hasattr(value, "set_axis")):
        return value, None
    if not hasattr(value, "columns"):
        return value.rename("0"), ["value" if value.name is None else str(value.name)]
    names = [", ".join(map(str, column)) if isinstance(column, tuple) else str(column) for column in value.columns]
    return value.set_axis([str(position) for position in range(len(names))], axis=1), names


def _eager_summary(title: str, frame: Any, names: Sequence[str], index: Any) -> str:
    """The text for an eager frame; it fits into MAX_SUMMARY_CHARACTERS."""
    lines = [title]
    if index is not None:
        lines.append(f"index: {_index_name(index)} ({short(str(index.dtype), MAX_CELL_CHARACTERS)})")
    described = _described(frame, names, index)
    lines.extend(described)
    shown = len(described) - 1
    if shown < len(names):
        lines.append(f"… and {len(names) - shown:,} more columns")
    if len(frame):
        lines.extend(_head(frame.head(MAX_HEAD_ROWS), names[:shown], index, MAX_SUMMARY_CHARACTERS - _length(lines)))
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
        if _length(lines) + len(line) > MAX_SUMMARY_CHARACTERS * 5 // 8:
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
    return short(str(getattr(native, "dtype", None) or column.dtype), MAX_CELL_CHARACTERS)


def _nulls(column: Any) -> str:
    nulls = attempt(column.null_count)
    return "?" if nulls is None else f"{nulls:,}"


def _statistics(column: Any) -> str:
    """What there is to say of a column's values, by its type; as much of it as works."""
    dtype = column.dtype
    measured = dtype.is_numeric() or dtype.is_temporal()
    known: list[str] = []

    def tell(label: str, compute: Callable[[], Any]) -> Any:
        value = attempt(compute)
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
    return ", ".join(f"{short(_cell(value), 16)} ({count:,})" for value, count in most)


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
        text = attempt(partial(str, value)) or f"<{type(value).__name__} object>"
    if "\n" in text or "\r" in text:
        text = text.replace("\\", r"\\").replace("\r", r"\r").replace("\n", r"\n")
    return short(text, MAX_CELL_CHARACTERS) if text not in ("None", "<NA>", "NaT") or isinstance(value, str) else "null"


def _lazy_summary(frame: Any, title: str, library: str) -> str:
    """The text for a frame that is not computed yet: its columns and first rows, never all of it."""
    schema = frame.collect_schema()
    names = list(schema)[:MAX_COLUMNS]
    lines = [f"{title}: {len(schema):,} columns, rows not counted ({library})", "column | type"]
    lines += [f"{_cell(name)} | {short(str(schema[name]), MAX_CELL_CHARACTERS)}" for name in names]
    if len(schema) > len(names):
        lines.append(f"… and {len(schema) - len(names):,} more columns")
    head = attempt(lambda: frame.head(MAX_HEAD_ROWS).collect())
    if head is not None:
        lines += _head(head, names, None, MAX_SUMMARY_CHARACTERS - _length(lines))
    return "\n".join(lines)
