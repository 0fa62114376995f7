"""Copies of data frames with the values of secret columns, known by their names, masked."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from ...content.safely import is_from_library, try_or_none
from ...content.secrets import MASK, is_secret_name
from . import dataframes, lazy_dataframes

MAX_ELEMENTS = 50
MAX_DEPTH = 3
MAX_LABELS = 10_000
_PANDAS = ("pandas", "geopandas")


def hidden(value: Any, depth: int = 0) -> Any:
    """The value with the secret columns of frames masked, also in lists, tuples and dicts up to `MAX_DEPTH` levels.

    The depth is bounded since a list may contain itself. A value without secrets is returned as it is.
    """
    if depth > MAX_DEPTH:
        return value
    if type(value) in (list, tuple) and len(value) <= MAX_ELEMENTS:
        masked = [hidden(each, depth + 1) for each in value]
        return type(value)(masked) if _differ(masked, value) else value
    if type(value) is dict and len(value) <= MAX_ELEMENTS:
        masked = [hidden(each, depth + 1) for each in value.values()]
        return dict(zip(value, masked, strict=True)) if _differ(masked, value.values()) else value
    return _frame(value) if _may_hide(value) else value


def _differ(masked: Iterable[Any], values: Iterable[Any]) -> bool:
    return any(each is not value for each, value in zip(masked, values, strict=True))


def _may_hide(value: Any) -> bool:
    return bool(try_or_none(lambda: dataframes.is_frame(value)))


def _frame(value: Any) -> Any:
    """A frame or column with its secrets masked; if that fails, a text that says so in its place."""
    names = try_or_none(lambda: _names(value))
    if names is None or not any(map(is_secret_name, [*names, *_labels(value)])):
        return value
    masked = try_or_none(lambda: _pandas(value, names) if is_from_library(value, *_PANDAS) else _other(value, names))
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


def _labels(value: Any) -> list[str]:
    """The text row labels of a pandas frame or series: a single row is a series with the column names as labels."""
    index: Any = getattr(value, "index", None)
    if not is_from_library(value, *_PANDAS) or not hasattr(index, "dtype") or len(index) > MAX_LABELS:
        return []
    return [str(label) for label in index] if str(index.dtype) in ("object", "str", "string") else []


def _pandas(value: Any, names: list[str]) -> Any:
    """A pandas frame or series, masked by position: its names may be duplicates, or not strings."""
    rows = [at for at, label in enumerate(_labels(value)) if is_secret_name(label)]
    if not hasattr(value, "columns"):
        shown = value.astype(object)
        shown.iloc[list(range(len(value))) if is_secret_name(names[0]) else rows] = MASK
        return shown
    shown = value.astype(object) if rows else value.copy(deep=False)
    if rows:
        shown.iloc[rows, :] = MASK
    for position in (at for at, name in enumerate(names) if is_secret_name(name)):
        shown.isetitem(position, MASK)
    return shown


def _other(value: Any, names: list[str]) -> Any:
    import narwhals as nw

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # narwhals warns of its future versions
        frame: Any = nw.from_native(value, allow_series=True)
    if isinstance(frame, nw.Series):
        frame = frame.to_frame()
        return frame.with_columns(nw.lit(MASK).alias(frame.columns[0])).get_column(frame.columns[0]).to_native()
    return frame.with_columns(*[nw.lit(MASK).alias(name) for name in names if is_secret_name(name)]).to_native()
