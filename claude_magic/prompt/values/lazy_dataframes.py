"""Lazy and distributed data frames: their schema, and their first rows if these are cheap to compute.

A frame is never computed whole: rows are not counted, and first rows that need all other rows are left out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ...content.safely import TookTooLong, is_from_library, one_line, try_or_none, type_name
from ...content.text import plural, short

MAX_HEAD_ROWS = 10
MAX_GATHERED_ROWS = 5_000_000
MAX_FILTERED_ROWS = 500_000_000
NEEDS_ALL = "not computed: that would read all of its rows"
FAILED = "not computed: the query for them failed"
CONSUMES = "not read: reading them here would use them up"


@dataclass(frozen=True)
class Glimpse:
    """The schema of a lazy frame, and how to read its first rows; `read` is None for the reason in `note`."""

    kind: str
    library: str
    names: Sequence[str]
    types: Sequence[str]
    read: Callable[[], Sequence[Sequence[Any]]] | None = None
    note: str = ""
    extent: str = ""

    def rows(self) -> Sequence[Sequence[Any]] | str:
        """The first rows, or why there are none."""
        if self.read is None:
            return self.note or FAILED
        try:
            return self.read()
        except (KeyboardInterrupt, TookTooLong):
            raise
        except BaseException as error:  # of the query, or of what it reads
            return f"{FAILED}: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """An exception on one line, without the query that polars and duckdb print below their messages."""
    return _QUERY.split(one_line(error), maxsplit=1)[0]


_QUERY = re.compile(r" (?:Resolved plan until failure|This error occurred|LINE \d+:)")


def glimpse(value: Any) -> Glimpse | None:
    """The glimpse of a lazy or distributed frame; None for any other value.

    One whose query fails before it runs, as for a column or file that is not there, has no columns, and the reason.
    """
    for library, look in _LOOKS:
        if not is_from_library(value, library):
            continue
        try:
            found: Glimpse | None = look(value)
        except (KeyboardInterrupt, TookTooLong):
            raise
        except BaseException as error:
            found = _failed(value, library, error)
        if found is not None:
            return found
    return None


def _failed(value: Any, library: str, error: BaseException) -> Glimpse | None:
    """The glimpse of a lazy frame whose schema cannot be known; None for a value that is none of them."""
    if not any(hasattr(type(value), name) for name in ("collect_schema", "collect", "execute", "compute", "fetchall")):
        return None
    return Glimpse(type_name(value), library, [], [], note=f"{FAILED}: {_reason(error)}")


def _polars(value: Any) -> Glimpse | None:
    import polars

    if not isinstance(value, polars.LazyFrame):
        return None
    schema = value.collect_schema()
    head = value.head(MAX_HEAD_ROWS)
    known = Glimpse("LazyFrame", "polars", list(schema), [str(kind) for kind in schema.values()])
    if not _streams(head.explain()):
        return replace(known, note=NEEDS_ALL)
    return replace(known, read=lambda: head.collect(engine="streaming").rows())


# Lines of a polars query plan whose first rows need no other rows: sliced scans, and row-wise steps.
_CUT = re.compile(
    r"DF \[|(?:[A-Za-z]+ )?SCAN\b|PROJECT|SLICE: |ESTIMATED ROWS|SELECTION: |PLAN \d|\[|\]|FROM$|simple π"
)
_BY_ROW = re.compile(r"SELECT\b|WITH_COLUMNS:")


def _streams(plan: str) -> bool:
    """Whether a polars query plan can stop after its first rows: it slices its scans, or what a filter passes."""
    lines = [line.strip() for line in plan.splitlines() if line.strip()]
    if lines and lines[0].startswith("SLICE["):
        return all(_CUT.match(line) or line.startswith("FILTER ") for line in lines[1:])
    return all(_CUT.match(line) or _BY_ROW.match(line) for line in lines)


def _dask(value: Any) -> Glimpse | None:
    meta: Any = getattr(value, "_meta", None)
    if not hasattr(value, "npartitions") or not is_from_library(meta, "pandas", "cudf") or not hasattr(value, "head"):
        return None
    is_frame = hasattr(meta, "columns")
    names = [str(name) for name in meta.columns] if is_frame else [str(getattr(meta, "name", None) or "value")]
    types = [str(kind) for kind in meta.dtypes] if is_frame else [str(meta.dtype)]
    extent = plural(value.npartitions, "partition")
    known = Glimpse(type_name(value), "dask", names, types, extent=extent)
    if not try_or_none(partial(_is_partitionwise, value)):
        return replace(known, note=NEEDS_ALL)
    return replace(known, read=partial(_first_partition, value, is_frame))


def _is_partitionwise(value: Any) -> bool:
    """Whether each partition of a Dask frame depends on one partition of its input."""
    from dask.dataframe.dask_expr._expr import Blockwise
    from dask.dataframe.dask_expr.io.io import IO

    return all(isinstance(node, Blockwise | IO) or type(node).__name__ == "DelayedsExpr" for node in value.expr.walk())


def _first_partition(value: Any, is_frame: bool) -> list[Sequence[Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dask warns if the partition has fewer rows
        head = value.head(MAX_HEAD_ROWS, npartitions=1)
    return list(head.itertuples(index=False, name=None)) if is_frame else [(each,) for each in head]


def _duckdb(value: Any) -> Glimpse | None:
    if not hasattr(value, "limit") or not hasattr(value, "columns"):
        return None
    known = Glimpse("Relation", "duckdb", [str(name) for name in value.columns], [str(kind) for kind in value.types])
    head = value.limit(MAX_HEAD_ROWS)
    if not try_or_none(lambda: _is_cheap(str(head.explain()))):
        return replace(known, note=NEEDS_ALL)
    return replace(known, read=head.fetchall)


# Operators of a DuckDB query plan that read all of their input before the first row, and cannot be interrupted then.
_GATHERS = re.compile(r"AGGREGATE|GROUP|JOIN|PRODUCT|ORDER|SORT|TOP.N|WINDOW|DISTINCT|CTE|PIVOT", re.IGNORECASE)
_ESTIMATE = re.compile(r"~\s*([0-9][0-9,_.]*)\s*rows", re.IGNORECASE)


def _is_cheap(plan: str) -> bool:
    """Whether a DuckDB query plan stops at its limit, or reads few rows before it by DuckDB's own estimates."""
    estimates = [int(re.sub(r"[,_.]", "", found)) for found in _ESTIMATE.findall(plan)]
    if _GATHERS.search(plan):
        return bool(estimates) and max(estimates) <= MAX_GATHERED_ROWS
    return "filter" not in plan.lower() or (bool(estimates) and max(estimates) <= MAX_FILTERED_ROWS)


def _arrow(value: Any) -> Glimpse | None:
    schema = getattr(value, "schema", None)
    if schema is None or hasattr(value, "num_rows"):
        return None
    known = Glimpse(type_name(value), "pyarrow", list(schema.names), [str(kind) for kind in schema.types])
    if not hasattr(value, "head"):  # a stream
        return replace(known, note=CONSUMES)
    return replace(known, read=lambda: [tuple(row.values()) for row in value.head(MAX_HEAD_ROWS).to_pylist()])


def _narwhals(value: Any) -> Glimpse | None:
    """Any other lazy frame that narwhals takes: database engines, which stop at a limit themselves."""
    import narwhals as nw

    frame = nw.from_native(value, pass_through=True)
    if not isinstance(frame, nw.LazyFrame):
        return None
    schema = frame.collect_schema()
    types = [str(kind) for kind in schema.values()]
    known = Glimpse(type_name(value), frame.implementation.name.lower(), list(schema), types)
    return replace(known, read=lambda: frame.head(MAX_HEAD_ROWS).collect().rows())


_LOOKS: tuple[tuple[str, Callable[[Any], Glimpse | None]], ...] = (
    ("polars", _polars),
    ("dask", _dask),
    ("duckdb", _duckdb),
    ("pyarrow", _arrow),
    *((library, _narwhals) for library in ("ibis", "pyspark", "sqlframe", "daft")),
)


def heading(known: Glimpse, name: str) -> str:
    """The title line of a frame's summary; `name` follows its type as it is."""
    count = plural(len(known.names), "column") if known.names else "columns not known"
    facts = [count, *([known.extent] if known.extent else []), "rows not counted"]
    return f"{short(known.kind, 60)}{name}: {', '.join(facts)} ({known.library})"
