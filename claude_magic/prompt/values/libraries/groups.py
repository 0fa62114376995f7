"""Grouped frames of pandas, polars, pyarrow, dask → what they are grouped by, their groups' sizes, and their frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ....content.parts import Part, Room, Text, shortened
from ....content.safely import is_from_library, one_line, type_name
from ....content.secrets import MASK, is_secret_name
from ....content.stable_text import brief
from ....content.text import byte_length, plural, short
from .. import dataframes
from ..hidden_columns import hidden

MAX_GROUPS = 20
MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class _Groups:
    """A grouped frame: the names of its keys, (label, rows) of its first groups, their number, and its frame.

    Of a lazy one the groups are not counted, and `count` is None; `frame` is None if it is not known.
    """

    keys: Sequence[str]
    sizes: Sequence[tuple[Any, int]]
    count: int | None
    frame: Any


def is_grouped(value: Any) -> bool:
    """Whether a value is a frame or column that is grouped, or resampled in time."""
    kind = type(value)
    if is_from_library(value, "pandas", "geopandas"):
        return hasattr(kind, "ngroups") or (hasattr(kind, "ohlc") and hasattr(kind, "asfreq"))
    return kind.__name__.endswith("GroupBy") and any(is_from_library(value, library) for library in _READERS)


def grouped(value: Any, name: str, room: Room) -> list[Part]:
    """A grouped frame, or why it cannot be grouped so.

    The columns of its frame whose names are those of secrets are masked, and so are their groups.
    """
    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    title = f"{type_name(value)}{label}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            known = next(read for library, read in _READERS.items() if is_from_library(value, library))(value)
    except Exception as error:
        return [Text(shortened(f"{title}: its groups failed: {one_line(error)}", room.summary), own_lines=True)]
    by = f"by {', '.join(short(key, MAX_NAME_CHARACTERS) for key in known.keys)}, " if known.keys else ""
    count = "groups not counted" if known.count is None else plural(known.count, "group")
    lines = [f"{title}: {by}{count}", *_sizes(known)]
    if known.frame is not None:
        frame = hidden(known.frame)
        left = max(0, room.summary - byte_length("\n".join(lines)) - 1)
        lines.append(frame if isinstance(frame, str) else dataframes.summary(frame, "of", left))
    return [Text(shortened("\n".join(lines), room.summary), own_lines=True)]


def _sizes(known: _Groups) -> list[str]:
    if any(map(is_secret_name, known.keys)):
        return [f"rows in each group: {MASK}"]
    sizes = [f"{short(_label(key), MAX_NAME_CHARACTERS)} ({rows:,})" for key, rows in known.sizes[:MAX_GROUPS]]
    more = [f"… {known.count:,} in all"] if known.count is not None and known.count > len(sizes) else []
    return [f"rows in each group: {', '.join([*sizes, *more])}"] if sizes else []


def _label(key: Any) -> str:
    if isinstance(key, tuple):
        return "(" + ", ".join(map(_label, key)) + ")"
    return key if isinstance(key, str) else str(key) if hasattr(key, "isoformat") else brief(_plain(key))


def _plain(key: Any) -> Any:
    return key.item() if is_from_library(key, "numpy") and getattr(key, "shape", None) == () else key


def _pandas(value: Any) -> _Groups:
    sizes = value.size()
    if hasattr(sizes, "columns"):  # with as_index=False, a frame
        keys = [str(name) for name in sizes.columns[:-1]]
        labels = [row[:-1] if len(row) > 2 else row[0] for row in sizes[:MAX_GROUPS].itertuples(index=False, name=None)]
        counts = sizes.iloc[:MAX_GROUPS, -1]
    else:
        keys = [str(name) for name in sizes.index.names if name is not None]
        labels, counts = list(sizes.index[:MAX_GROUPS]), sizes[:MAX_GROUPS]
    return _Groups(keys, list(zip(labels, map(int, counts), strict=True)), len(sizes), value.obj)


def _polars(value: Any) -> _Groups:
    sizes = value.len()
    if hasattr(sizes, "collect_schema") and not hasattr(sizes, "height"):
        return _Groups([name for name in sizes.collect_schema() if name != "len"], [], None, None)
    keys = [name for name in sizes.columns if name != "len"]
    sizes = sizes if getattr(value, "maintain_order", True) else sizes.sort(keys)
    return _Groups(keys, _first(sizes.head(MAX_GROUPS).rows()), sizes.height, value.df)


def _pyarrow(value: Any) -> _Groups:
    keys = [value.keys] if isinstance(value.keys, str) else [str(key) for key in value.keys]
    sizes = value.aggregate([([], "count_all")])
    sizes = sizes.select([*keys, "count_all"]).sort_by([(key, "ascending") for key in keys])
    rows = zip(*sizes.slice(0, MAX_GROUPS).to_pydict().values(), strict=True)
    return _Groups(keys, _first(rows), sizes.num_rows, value._table)


def _dask(value: Any) -> _Groups:
    keys = [str(getattr(key, "name", key)) for key in value.by]
    return _Groups(keys, [], None, value.obj)


def _first(rows: Iterable[Sequence[Any]]) -> list[tuple[Any, int]]:
    """Rows of keys with a count at their end, as labels with their counts."""
    return [(tuple(row[:-1]) if len(row) > 2 else row[0], int(row[-1])) for row in rows]


_READERS: dict[str, Callable[[Any], _Groups]] = {
    "pandas": _pandas,
    "geopandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "dask": _dask,
}
