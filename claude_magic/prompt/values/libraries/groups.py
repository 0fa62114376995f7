"""Grouped frames of pandas, polars, pyarrow, dask → what they are grouped by, their groups' sizes, and their frame."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ....content.parts import Part, Room, Text, shortened
from ....content.safely import is_from_library, one_line, type_name
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
    sizes = [f"{short(_label(key), MAX_NAME_CHARACTERS)} ({rows:,})" for key, rows in known.sizes]
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
        keys, counts = sizes.iloc[:MAX_GROUPS, :-1], sizes.iloc[:MAX_GROUPS, -1]
        names = [str(name) for name in keys.columns]
    else:
        keys, counts = sizes.index[:MAX_GROUPS].to_frame(index=False), sizes[:MAX_GROUPS]
        names = [str(name) for name in sizes.index.names if name is not None]
    shown = hidden(keys)
    labels = [] if isinstance(shown, str) else list(shown.itertuples(index=False, name=None))
    return _Groups(names, _labelled(labels, counts), len(sizes), value.obj)


def _polars(value: Any) -> _Groups:
    sizes = value.len()
    if hasattr(sizes, "collect_schema") and not hasattr(sizes, "height"):
        return _Groups([name for name in sizes.collect_schema() if name != "len"], [], None, None)
    keys = [name for name in sizes.columns if name != "len"]
    first = (sizes if getattr(value, "maintain_order", True) else sizes.sort(keys)).head(MAX_GROUPS)
    shown = hidden(first.select(keys))
    labels = [] if isinstance(shown, str) else shown.rows()
    return _Groups(keys, _labelled(labels, first["len"]), sizes.height, value.df)


def _pyarrow(value: Any) -> _Groups:
    keys = [value.keys] if isinstance(value.keys, str) else [str(key) for key in value.keys]
    sizes = value.aggregate([([], "count_all")])
    first = sizes.sort_by([(key, "ascending") for key in keys]).slice(0, MAX_GROUPS)
    shown = hidden(first.select(keys))
    labels = [] if isinstance(shown, str) else list(zip(*shown.to_pydict().values(), strict=True))
    return _Groups(keys, _labelled(labels, first["count_all"].to_pylist()), sizes.num_rows, value._table)


def _labelled(labels: Sequence[tuple[Any, ...]], counts: Iterable[Any]) -> list[tuple[Any, int]]:
    """The labels of groups, of a single key its value, with their counts; empty if there are no labels."""
    return [(label if len(label) > 1 else label[0], int(count)) for label, count in zip(labels, counts, strict=False)]


def _dask(value: Any) -> _Groups:
    keys = [str(getattr(key, "name", key)) for key in value.by]
    return _Groups(keys, [], None, value.obj)


_READERS: dict[str, Callable[[Any], _Groups]] = {
    "pandas": _pandas,
    "geopandas": _pandas,
    "polars": _polars,
    "pyarrow": _pyarrow,
    "dask": _dask,
}
