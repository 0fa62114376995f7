"""Data of any type → its rows, one at a time; and new columns → a result of the same type, aligned with the data.

Data frames are read by narwhals; those of pandas and GeoPandas by their own methods, since their index has to be kept.
"""

from __future__ import annotations

import copy
import datetime
import difflib
import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any

from ..content.safely import is_from_library, one_line, try_or_none
from ..content.text import short, whole_text
from ..errors import UsageError
from ..prompt.values import dataframes

MAX_ROWS = 10_000_000
MAX_NAMES_SHOWN = 8
# The names of a row's values in a prompt.
NAMES = ("row", "item", "key")
_EXPECTED = "Give a DataFrame, a column, or a list."
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_ONE_PROCESS = ("pandas", "geopandas")


@dataclass(frozen=True)
class Column:
    """A column for the result, one value per row. `kind` is text, count (integers), dollars (floats, USD) or any."""

    values: Sequence[Any]
    kind: str = "any"


@dataclass(frozen=True)
class Rows:
    """The rows of a value. `scopes` starts a new iteration over the rows: the names and values of each in a prompt.

    `taken` are the names of its columns; `result` adds new columns to the data; `kind` is a phrase for the type of
    that result.
    """

    count: int
    kind: str
    taken: frozenset[str]
    scopes: Callable[[], Iterator[dict[str, Any]]]
    result: Callable[[Mapping[str, Column]], Any]


class Row:
    """One row, as the prompt sees it: `{{row.name}}`, or `{{row["a name"]}}` for any column.

    `others` are values that have a name, but are no columns of this row: those of the index, and `None` for what only
    other rows have.
    """

    __slots__ = ("_others", "_positions", "_seen", "_values")

    def __init__(
        self, positions: Mapping[Any, int], values: Sequence[Any], others: Mapping[Any, Any] = _NOTHING
    ) -> None:
        self._positions = positions
        self._values = values
        self._others = others
        self._seen = Seen()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Row.__slots__:
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: Any) -> Any:
        position = try_or_none(partial(self._positions.get, name))
        if position is None:  # a column whose label is a number is also found by its digits
            position = next((at for label, at in self._positions.items() if str(label) == name), None)
        if position is None and not try_or_none(lambda: name in self._others):
            self._seen.unknown = _no_column(name, [*self._positions, *self._others])
            raise LookupError(self._seen.unknown)
        value = self._others[name] if position is None else self._values[position]
        if is_missing(value):
            self._seen.missing.append(str(name))
        return value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    def __repr__(self) -> str:
        values = {name: self._values[at] for name, at in self._positions.items()}
        return "\n".join(f"{name}: {'null' if is_missing(each) else in_words(each)}" for name, each in values.items())


@dataclass
class Seen:
    """What an expression has met in a row: the names of the missing values, and why a lookup failed."""

    missing: list[str] = field(default_factory=list)
    unknown: str = ""


def seen_in(row: Any) -> Seen:
    """What the expressions have met in a row since this was last called; nothing in one that has no columns."""
    if not isinstance(row, Row):
        return Seen()
    seen, row._seen = row._seen, Seen()
    return seen


# Classes of pandas and numpy whose only value is a missing one.
_MISSING_CLASSES = ("NaTType", "NAType", "MaskedConstant")


def is_missing(value: Any) -> bool:
    """Whether a value is null: `None`, NaN, NaT, `<NA>` or masked, or a row of nothing else."""
    if value is None or isinstance(value, str | bytes | int):
        return value is None
    if isinstance(value, Row):
        return bool(value._positions) and all(is_missing(value._values[at]) for at in value._positions.values())
    if type(value).__name__ in _MISSING_CLASSES and is_from_library(value, "pandas", "numpy"):
        return True
    if isinstance(value, Decimal):
        return value.is_nan()
    is_scalar = isinstance(value, float) or (is_from_library(value, "numpy") and getattr(value, "ndim", 1) == 0)
    return is_scalar and bool(try_or_none(lambda: value != value))


_SPANS_OF_TIME = ("Timedelta", "Period", "Interval")


def in_words(value: Any) -> Any:
    """A date or a time as ISO 8601, an interval of pandas as text; any other value as it is."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return str(value)
    is_span = type(value).__name__ in _SPANS_OF_TIME and is_from_library(value, "pandas")
    return str(value) if is_span else value


def _no_column(name: Any, columns: Iterable[Any]) -> str:
    names = [str(each) for each in columns]
    near = difflib.get_close_matches(str(name), names, n=1)
    there = ", ".join(names[:MAX_NAMES_SHOWN]) + (", …" if len(names) > MAX_NAMES_SHOWN else "")
    return f"there is no column {str(name)!r}; " + (f"did you mean {near[0]!r}?" if near else f"there are: {there}")


def rows_of(value: Any) -> Rows:
    """The rows of a data frame, a column, a mapping or any iterable. Raises `UsageError` for any other value."""
    if isinstance(value, str | bytes | bytearray):
        raise UsageError("Text has no rows to map over.", advice=_EXPECTED)
    if dataframes.is_frame(value):
        if is_from_library(value, *_ONE_PROCESS):
            return _pandas_rows(value)
        return _narwhals_rows(value)
    if isinstance(value, Mapping):
        made = zip(value.items(), _rows_of(list(value.values())), strict=True)
        scopes = [{"item": item, "row": row, "key": key} for (key, item), row in made]
        return _item_rows(scopes, "dict", {"key": list(value), "item": list(value.values())})
    try:
        iterator = iter(value)
    except TypeError:
        kind = type(value).__name__
    else:
        return _iterable_rows(iterator, type(value).__name__)
    raise UsageError(f"A value of type {kind} has no rows to map over.", advice=_EXPECTED)


def apart(value: Any) -> Any:
    """A copy of a value, for a map that goes on while the notebook may change it. What cannot be copied stays."""
    if dataframes.is_frame(value) and is_from_library(value, *_ONE_PROCESS):
        made = value.copy()
        for at, kind in enumerate(made.dtypes if made.ndim > 1 else ()):
            if str(kind) == "object":
                made.isetitem(at, _objects_apart(made.iloc[:, at]))
        return made if made.ndim > 1 or str(made.dtype) != "object" else _objects_apart(made)
    if dataframes.is_frame(value):
        for copying in ("clone", "copy"):
            if callable(getattr(value, copying, None)):
                made = try_or_none(getattr(value, copying))
                return value if made is None else made
        return value
    if isinstance(value, Mapping):
        return {key: _cell_apart(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_cell_apart, value)) if type(value) in (list, tuple) else [*map(_cell_apart, value)]
    made = try_or_none(value.copy) if is_from_library(value, "numpy") else None
    return value if made is None else made


def _objects_apart(column: Any) -> Any:
    """A column of pandas with copies of its lists and dicts."""
    return type(column)([_cell_apart(each) for each in column], column.index, dtype="object", name=column.name)


def _cell_apart(value: Any) -> Any:
    """A copy of a list, dict or the like; any other value as it is."""
    if not isinstance(value, list | dict | set | bytearray):
        return value
    copied = try_or_none(lambda: copy.deepcopy(value))
    return value if copied is None else copied


# pandas


def _pandas_rows(value: Any) -> Rows:
    frame = value if hasattr(value, "columns") else value.to_frame("item" if value.name is None else value.name)
    labels = list(frame.columns)
    positions: dict[Any, int] = {}
    for at, label in enumerate(labels):
        positions.setdefault(label, at)  # of two columns with the same label, the first
    is_column = frame is not value
    frame = frame.copy(deep=False)  # the caller's own may be sorted or cut meanwhile
    names = _index_names(frame.index)

    def scopes() -> Iterator[dict[str, Any]]:
        columns = [frame.iloc[:, at] for at in range(len(labels))]
        found = zip(*columns, strict=True) if columns else ((),) * len(frame)
        for label, values in zip(frame.index, found, strict=True):
            row = Row(positions, values, dict(zip(names, label if len(names) > 1 else (label,), strict=True)))
            yield {"row": row, "item": values[0] if is_column else row, "key": label}

    kind = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
    return Rows(len(frame), kind, frozenset(map(str, labels)), scopes, partial(_with_columns, frame))


def _index_names(index: Any) -> list[Any]:
    """The names of an index's levels; where they have none, those that `reset_index` gives."""
    if len(index.names) == 1:
        return ["index" if index.name is None else index.name]
    return [f"level_{at}" if name is None else name for at, name in enumerate(index.names)]


def _with_columns(frame: Any, columns: Mapping[str, Column]) -> Any:
    result = frame.copy(deep=False)
    for name, column in columns.items():
        result[name] = _pandas_array(column)
    return result


def _pandas_array(column: Column) -> Any:
    import numpy
    import pandas

    if column.kind == "count":
        return pandas.array(list(column.values), dtype="Int64")
    if column.kind == "dollars":
        return pandas.array([numpy.nan if each is None else each for each in column.values], dtype="float64")
    if column.kind == "text":
        own = "str" if int(pandas.__version__.partition(".")[0]) >= 3 else "object"  # pandas 3 has a string dtype
        return pandas.array(list(map(_encodable, column.values)), dtype=own)
    objects = numpy.empty(len(column.values), dtype=object)
    objects[:] = [_encodable(each) for each in column.values]
    series = pandas.Series(objects)
    plain = all(each is None or isinstance(each, bool | int | float | str) for each in column.values)
    inferred = series.infer_objects().convert_dtypes() if plain else series
    return inferred.array


def _encodable(value: Any) -> Any:
    """The value; text without lone surrogates, which some libraries reject."""
    return whole_text(value) if isinstance(value, str) else value


# Other frames


def _narwhals_rows(value: Any) -> Rows:
    import narwhals as nw

    native = nw.from_native(value, allow_series=True)
    back: Callable[[Any], Any] = _identity
    kind = f"{native.implementation.name.lower()} {type(value).__name__}"
    is_column = isinstance(native, nw.Series)
    if isinstance(native, nw.Series):
        frame: Any = native.to_frame() if native.name else native.alias("item").to_frame()
    elif isinstance(native, nw.LazyFrame):
        frame, back, kind = _collected(native, kind)
    else:
        frame = native
    positions = {name: at for at, name in enumerate(frame.columns)}

    def scopes() -> Iterator[dict[str, Any]]:
        for values in frame.iter_rows():
            row = Row(positions, values)
            yield {"row": row, "item": values[0] if is_column else row}

    def result(columns: Mapping[str, Column]) -> Any:
        added = [_narwhals_series(name, column, frame.implementation) for name, column in columns.items()]
        return back(frame.with_columns(*added).to_native())

    return Rows(len(frame), kind, frozenset(positions), scopes, result)


def _identity(value: Any) -> Any:
    return value


def _collected(lazy: Any, kind: str) -> tuple[Any, Callable[[Any], Any], str]:
    """A lazy frame's collected rows, a function back to its own type, and a phrase for the type of the result.

    Types without such a function (Spark, for one) get an Arrow table.
    """
    implementation = lazy.implementation
    if implementation.is_polars():
        return lazy.collect(), lambda frame: frame.lazy(), kind
    frame = lazy.collect("pyarrow")
    if implementation.is_duckdb():
        return frame, importlib.import_module("duckdb").from_arrow, kind
    if implementation.is_ibis():
        return frame, importlib.import_module("ibis").memtable, kind
    return frame, _identity, f"pyarrow Table (of a {kind})"


def _narwhals_series(name: str, column: Column, backend: Any) -> Any:
    import narwhals as nw

    types: dict[str, Any] = {"count": nw.Int64(), "dollars": nw.Float64(), "text": nw.String()}
    if column.kind in types:
        return nw.new_series(name, list(map(_encodable, column.values)), types[column.kind], backend=backend)
    kinds = {type(each) for each in column.values if each is not None}
    if len(kinds) < 2 or kinds == {int, float}:  # polars would convert other mixtures
        found = try_or_none(lambda: nw.new_series(name, list(column.values), backend=backend))
        if found is not None:
            return found
    texts = [None if each is None else json.dumps(each, ensure_ascii=False, default=str) for each in column.values]
    return nw.new_series(name, list(map(_encodable, texts)), nw.String(), backend=backend)


# Any iterable


def _iterable_rows(iterator: Iterator[Any], kind: str) -> Rows:
    items = _all_of(iterator, kind)
    if items and all(isinstance(item, Mapping) for item in items):
        names = dict.fromkeys(str(name) for item in items for name in item)
        table = {name: [item.get(name) for item in items] for name in names}
    else:
        table = {"item": items}
    return _item_rows(
        [{"item": item, "row": row} for item, row in zip(items, _rows_of(items), strict=True)], kind, table
    )


def _all_of(iterator: Iterator[Any], kind: str) -> list[Any]:
    """The items of an iterator. Raises `UsageError` if it fails, or yields more than `MAX_ROWS`."""
    items: list[Any] = []
    try:
        for item in iterator:
            items.append(item)
            if len(items) > MAX_ROWS:
                break
        else:
            return items
    except Exception as error:
        why = f"Item {len(items) + 1:,} of the {kind} cannot be read: {one_line(error)}."
    else:
        why = f"There are more than {MAX_ROWS:,} items: no end is in sight."
    raise UsageError(why, advice="Nothing was sent.")


def _rows_of(items: Sequence[Any]) -> list[Any]:
    """Each mapping as a `Row`, in which the names that only others have are missing; any other value unchanged."""
    names = {name: None for item in items if isinstance(item, Mapping) for name in item}
    return [
        Row({name: at for at, name in enumerate(item)}, list(item.values()), names)
        if isinstance(item, Mapping)
        else item
        for item in items
    ]


def _item_rows(scopes: list[dict[str, Any]], kind: str, table: Mapping[str, list[Any]]) -> Rows:
    def result(columns: Mapping[str, Column]) -> Any:
        if has_pandas:
            import pandas

            index = pandas.RangeIndex(len(scopes))
            frame = pandas.DataFrame({name: _pandas_array(Column(values)) for name, values in table.items()}, index)
            return _with_columns(frame, columns)
        every = {**table, **{name: list(column.values) for name, column in columns.items()}}
        return [{name: values[at] for name, values in every.items()} for at in range(len(scopes))]

    has_pandas = importlib.util.find_spec("pandas") is not None
    made = "pandas DataFrame" if has_pandas else "list of dicts"
    words = f"{made} (of a {short(kind, 40)})"
    return Rows(len(scopes), words, frozenset(table), lambda: iter(scopes), result)
