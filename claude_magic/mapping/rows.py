"""Data of any type → its rows, one at a time; and new columns → a result of the same type, aligned with the data.

Data frames are read by narwhals; those of pandas and GeoPandas by their own methods, since their index has to be kept.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    """One row, as the prompt sees it: `{{row.name}}`, or `{{row["a name"]}}` for any column."""

    __slots__ = ("_positions", "_values")

    def __init__(self, positions: Mapping[Any, int], values: Sequence[Any]) -> None:
        self._positions = positions
        self._values = values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in Row.__slots__:
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: Any) -> Any:
        position = try_or_none(partial(self._positions.get, name))
        if position is None:  # a column whose label is a number is also found by its digits
            position = next((at for label, at in self._positions.items() if str(label) == name), None)
        if position is None:
            raise LookupError(_no_column(name, self._positions))
        return self._values[position]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._positions)

    def __len__(self) -> int:
        return len(self._positions)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {self._values[at]}" for name, at in self._positions.items())


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
        scopes = [{"item": item, "row": _row_of(item), "key": key} for key, item in value.items()]
        return _item_rows(scopes, "dict", {"key": list(value), "item": list(value.values())})
    try:
        iterator = iter(value)
    except TypeError:
        kind = type(value).__name__
    else:
        return _iterable_rows(iterator, type(value).__name__)
    raise UsageError(f"A value of type {kind} has no rows to map over.", advice=_EXPECTED)


# pandas


def _pandas_rows(value: Any) -> Rows:
    frame = value if hasattr(value, "columns") else value.to_frame("item" if value.name is None else value.name)
    labels = list(frame.columns)
    positions: dict[Any, int] = {}
    for at, label in enumerate(labels):
        positions.setdefault(label, at)  # of two columns with the same label, the first
    is_column = frame is not value

    def scopes() -> Iterator[dict[str, Any]]:
        columns = [frame.iloc[:, at] for at in range(len(labels))]
        for values in zip(*columns, strict=True) if columns else ((),) * len(frame):
            row = Row(positions, values)
            yield {"row": row, "item": values[0] if is_column else row}

    kind = f"{type(frame).__module__.partition('.')[0]} {type(frame).__name__}"
    return Rows(len(frame), kind, frozenset(map(str, labels)), scopes, partial(_with_columns, frame))


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
    return _item_rows([{"item": item, "row": _row_of(item)} for item in items], kind, table)


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


def _row_of(item: Any) -> Any:
    """A mapping as a `Row`; any other value unchanged."""
    if not isinstance(item, Mapping):
        return item
    return Row({name: at for at, name in enumerate(item)}, list(item.values()))


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
