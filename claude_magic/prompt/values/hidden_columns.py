"""Copies of data frames with the values of secret columns masked, known by their names and by what they look like."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...content import secret_forms
from ...content.safely import is_from_library, try_or_none
from ...content.secret_names import MAX_JUDGED, is_secret_column, may_be_secret
from ...content.secrets import MASK, Secrets
from . import dataframes, lazy_dataframes

MAX_ELEMENTS = 50
MAX_DEPTH = 3
MAX_LABELS = 10_000
# Of columns whose names say nothing, so many are searched for keys, and so many of their values.
MAX_SEARCHED_COLUMNS = 100
MAX_SEARCHED_VALUES = 60
MIN_KEY_CHARACTERS = 16
_PANDAS = ("pandas", "geopandas")
_MASKING = Secrets()


def hidden(value: Any, secrets: Secrets = _MASKING, depth: int = 0) -> Any:
    """The value with the secret columns of frames masked, also in lists, tuples and dicts up to `MAX_DEPTH` levels;
    `secrets` say which columns are shown.

    The depth is bounded since a list may contain itself. A value without secrets is returned as it is.
    """
    if depth > MAX_DEPTH or secrets.allowed:
        return value
    if type(value) in (list, tuple) and len(value) <= MAX_ELEMENTS:
        masked = [hidden(each, secrets, depth + 1) for each in value]
        return type(value)(masked) if _differ(masked, value) else value
    if type(value) is dict and len(value) <= MAX_ELEMENTS:
        masked = [hidden(each, secrets, depth + 1) for each in value.values()]
        return dict(zip(value, masked, strict=True)) if _differ(masked, value.values()) else value
    return _frame(value, secrets) if try_or_none(lambda: dataframes.is_frame(value)) else value


def _differ(masked: Iterable[Any], values: Iterable[Any]) -> bool:
    return any(each is not value for each, value in zip(masked, values, strict=True))


def _frame(value: Any, secrets: Secrets) -> Any:
    """A frame or column with its secrets masked; if that fails, a text that says so in its place."""
    names = try_or_none(lambda: _names(value))
    if names is None:
        return value
    columns = [at for at, name in enumerate(names) if not secrets.shows(name) and _is_secret(value, at, name)]
    rows = [at for at, label in _labels(value) if not secrets.shows(label) and _is_secret_row(value, at, label)]
    if not columns and not rows:
        return value
    is_pandas = is_from_library(value, *_PANDAS)
    masked = try_or_none(lambda: _pandas(value, columns, rows) if is_pandas else _other(value, columns))
    return f"<{type(value).__name__} with secrets in it: {MASK}>" if masked is None else masked


def _names(value: Any) -> list[str]:
    import narwhals as nw

    known = lazy_dataframes.glimpse(value)
    if known is not None:
        return list(known.names)
    if is_from_library(value, *_PANDAS):
        return [str(name) for name in (value.columns if hasattr(value, "columns") else [value.name])]
    if is_from_library(value, "pyarrow") and hasattr(value, "schema"):
        return list(value.schema.names)
    frame: Any = nw.from_native(value, pass_through=True, allow_series=True)
    return [str(frame.name)] if isinstance(frame, nw.Series) else list(frame.collect_schema())


def _is_secret(value: Any, at: int, name: str) -> bool:
    """Whether a column is secret; one whose name says so is if its values cannot be read."""
    if may_be_secret(name):
        values = try_or_none(lambda: _values(value, at, MAX_JUDGED, search_nulls=True))
        return values is None or is_secret_column(name, values)
    if at >= MAX_SEARCHED_COLUMNS or lazy_dataframes.glimpse(value) is not None:
        return False
    values = try_or_none(lambda: _values(value, at, MAX_SEARCHED_VALUES)) or []
    texts = [str(each) for each in values if isinstance(each, str)]
    long = [each for each in texts if len(each) >= MIN_KEY_CHARACTERS]
    return 2 * len(long) >= len(texts) > 0 and 2 * sum(map(secret_forms.is_secret, long)) >= len(texts)


def _values(value: Any, at: int, count: int, *, search_nulls: bool = False) -> Sequence[Any]:
    """At most about twice so many values that are spread over a column, without nulls; with `search_nulls`, those
    between nulls as well."""
    known = lazy_dataframes.glimpse(value)
    if known is not None:
        rows = known.rows()
        return [] if isinstance(rows, str) else [row[at] for row in rows if row[at] is not None]
    column = _column(value, at)
    values = _spread(column, count)
    if search_nulls and len(values) * 10 < min(count, len(column)):
        values = _spread(column.drop_nulls(), count)
    return values


def _column(value: Any, at: int) -> Any:
    """A column of an eager frame as a narwhals series."""
    import narwhals as nw

    if is_from_library(value, *_PANDAS):
        value = value.iloc[:, at] if hasattr(value, "columns") else value
        return nw.from_native(value.rename("0"), series_only=True)
    if is_from_library(value, "pyarrow"):
        column = value.column(at) if hasattr(value, "column") else value
        return nw.from_native(_chunked(column), series_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # narwhals warns of its future versions
        frame: Any = nw.from_native(value, allow_series=True)
    return frame if isinstance(frame, nw.Series) else frame.get_column(frame.columns[at])


def _chunked(column: Any) -> Any:
    import pyarrow

    return column if isinstance(column, pyarrow.ChunkedArray) else pyarrow.chunked_array([column])


def _spread(column: Any, count: int) -> list[Any]:
    values = column.gather_every(max(1, len(column) // count)).to_list()
    return [each for each in values if each is not None and not (isinstance(each, float) and math.isnan(each))]


def _labels(value: Any) -> Iterator[tuple[int, str]]:
    """The text row labels of a pandas frame or series that may be names of secrets, with their positions: a single row
    is a series with the column names as labels."""
    index: Any = getattr(value, "index", None)
    if not is_from_library(value, *_PANDAS) or not hasattr(index, "dtype") or len(index) > MAX_LABELS:
        return
    if str(index.dtype) in ("object", "str", "string"):
        yield from ((at, str(label)) for at, label in enumerate(index) if may_be_secret(str(label)))


def _is_secret_row(value: Any, at: int, label: str) -> bool:
    values = try_or_none(lambda: value.iloc[at].tolist() if hasattr(value, "columns") else [value.iloc[at]])
    return values is None or is_secret_column(label, values)


def _pandas(value: Any, columns: Sequence[int], rows: list[int]) -> Any:
    """A pandas frame or series, masked by position: its names may be duplicates, or not strings."""
    if not hasattr(value, "columns"):
        shown = value.astype(object)
        shown.iloc[list(range(len(value))) if columns else rows] = MASK
        return shown
    shown = value.astype(object) if rows else value.copy(deep=False)
    if rows:
        shown.iloc[rows, :] = MASK
    for position in columns:
        shown.isetitem(position, MASK)
    return shown


def _other(value: Any, columns: Sequence[int]) -> Any:
    import narwhals as nw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # narwhals warns of its future versions
        frame: Any = nw.from_native(value, allow_series=True)
    if isinstance(frame, nw.Series):
        frame = frame.to_frame()
        return frame.with_columns(nw.lit(MASK).alias(frame.columns[0])).get_column(frame.columns[0]).to_native()
    names = list(frame.collect_schema())
    return frame.with_columns(*[nw.lit(MASK).alias(names[position]) for position in columns]).to_native()
