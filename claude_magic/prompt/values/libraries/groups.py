"""Grouped frames (pandas, polars, pyarrow) → what they are grouped by, the sizes of their groups, and their frame."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ....content.parts import Part, Room, Text, shortened
from ....content.safely import is_from_library, type_name
from ....content.secrets import MASK, is_secret_name
from ....content.stable_text import brief
from ....content.text import byte_length, plural, short
from .. import dataframes
from ..hidden_columns import hidden

MAX_GROUPS = 20
MAX_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class _Groups:
    """A grouped frame: the names of its keys, (label, rows) of its first groups, their number, and its frame."""

    keys: Sequence[str]
    sizes: Sequence[tuple[Any, int]]
    count: int
    frame: Any


def is_grouped(value: Any) -> bool:
    """Whether a value is a frame or column of pandas, polars or pyarrow that is grouped, or resampled in time."""
    kind = type(value)
    if is_from_library(value, "pandas", "geopandas"):
        return hasattr(kind, "ngroups") or (hasattr(kind, "ohlc") and hasattr(kind, "asfreq"))
    named = kind.__name__.endswith("GroupBy")
    return named and is_from_library(value, "polars", "pyarrow", "narwhals") and _read(value) is not None


def grouped(value: Any, name: str, room: Room) -> list[Part]:
    """A grouped frame; the columns of its frame whose names are those of secrets are masked, and so are their groups.

    Raises whatever the grouping raises, such as for a key that is not there.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = _read(value)
    if known is None:
        return []
    label = f" {name}" if len(name) <= MAX_NAME_CHARACTERS and "\n" not in name else ""
    by = f"by {', '.join(short(key, MAX_NAME_CHARACTERS) for key in known.keys)}, " if known.keys else ""
    lines = [f"{type_name(value)}{label}: {by}{plural(known.count, 'group')}"]
    if any(map(is_secret_name, known.keys)):
        lines.append(f"rows in each group: {MASK}")
    elif known.sizes:
        sizes = [f"{short(_label(key), MAX_NAME_CHARACTERS)} ({rows:,})" for key, rows in known.sizes[:MAX_GROUPS]]
        more = [f"… {known.count:,} in all"] if known.count > len(sizes) else []
        lines.append(f"rows in each group: {', '.join([*sizes, *more])}")
    frame = hidden(known.frame)
    left = room.summary - byte_length("\n".join(lines)) - 1
    lines.append(frame if isinstance(frame, str) else dataframes.summary(frame, "of", max(left, 0)))
    return [Text(shortened("\n".join(lines), room.summary), own_lines=True)]


def _label(key: Any) -> str:
    if isinstance(key, tuple):
        return "(" + ", ".join(map(_label, key)) + ")"
    return key if isinstance(key, str) else str(key) if hasattr(key, "isoformat") else brief(_plain(key))


def _plain(key: Any) -> Any:
    return key.item() if is_from_library(key, "numpy") and getattr(key, "shape", None) == () else key


def _read(value: Any) -> _Groups | None:
    if is_from_library(value, "pandas", "geopandas"):
        return _pandas(value)
    if is_from_library(value, "narwhals"):
        return None
    return _polars(value) if is_from_library(value, "polars") else _pyarrow(value)


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


def _polars(value: Any) -> _Groups | None:
    frame: Any = getattr(value, "df", None)
    if frame is None:
        return None
    keys = [name for name in value.len().columns if name != "len"]
    sizes = value.len().sort(keys) if hasattr(value, "maintain_order") and not value.maintain_order else value.len()
    rows = sizes.head(MAX_GROUPS).rows()
    labels = [(row[:-1] if len(row) > 2 else row[0], int(row[-1])) for row in rows]
    return _Groups(keys, labels, sizes.height, frame)


def _pyarrow(value: Any) -> _Groups | None:
    frame: Any = getattr(value, "_table", None)
    if frame is None:
        return None
    keys = [value.keys] if isinstance(value.keys, str) else [str(key) for key in value.keys]
    sizes = value.aggregate([([], "count_all")])
    rows = [tuple(row.values()) for row in sizes.slice(0, MAX_GROUPS).to_pylist()]
    labels = [(row[:-1] if len(row) > 2 else row[0], int(row[-1])) for row in rows]
    return _Groups(keys, labels, sizes.num_rows, frame)
