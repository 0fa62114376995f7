"""Table files (CSV, TSV, JSON records, Parquet) → the summary of a data frame of pandas, polars or pyarrow.

At most `MAX_TABLE_ROWS` rows are read; the summary says if the file has more.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...content.safely import one_line
from . import dataframes
from .formats import delimited

# A table whose text is at most so long is also sent whole, below its summary.
MAX_WHOLE_CHARACTERS = 8_000
MAX_TABLE_ROWS = 100_000
MAX_TABLE_VALUES = 20_000_000
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".psv": "|"}
_PARQUET = b"PAR1"
# The order in which libraries are tried if none is imported yet.
_LIBRARIES = ("pandas", "polars", "pyarrow")


def is_table(data: bytes, name: str) -> bool:
    """Whether a file may be a table, by its first bytes (Parquet) or by the suffix of its name."""
    return data.startswith(_PARQUET) or Path(name).suffix.lower() in (*_SEPARATORS, ".json", ".jsonl", ".ndjson")


def is_binary(data: bytes) -> bool:
    """Whether a table is of a binary format, which a library reads from its bytes."""
    return data.startswith(_PARQUET)


class NoTable(Exception):
    """A file is not read as a table; the message says why, and is empty for JSON that is none."""


def summary(data: bytes, text: str | None, name: str, path: Path | None, *, whole: bool) -> str:
    """The summary of a table as `dataframes` makes it. Raises `NoTable` if it is none, or no library can read it.

    `data` is the file's start, or all of it if `whole`; `text` is the same, decoded.
    """
    notes: list[str] = []
    if is_binary(data):
        frame, rows = _first_that_works(_PARQUET_READERS, path if path is not None else io.BytesIO(data))
    elif text is None:
        raise NoTable("it is no text")
    elif separator := _SEPARATORS.get(Path(name).suffix.lower()):
        found = delimited.read(
            text if whole else text[: text.rfind("\n") + 1], separator, MAX_TABLE_ROWS, dataframes.MAX_COLUMNS
        )
        if found is None:
            raise NoTable("its lines have different numbers of fields")
        frame, rows = _first_that_works(_COLUMN_READERS, found.values)
        rows, notes = found.rows, list(found.notes)
    else:
        records = _records(text, whole=whole)
        if not records:
            raise NoTable("")
        frame, rows = _first_that_works(_RECORD_READERS, records)
    part = frame.shape[0]
    if not (whole or is_binary(data)):
        notes.insert(0, f"The first {part:,} rows of {name}, which is longer.")
    elif rows is not None and rows > part:
        notes.insert(0, f"The first {part:,} of {rows:,} rows of {name}.")
    return "\n".join([*notes, dataframes.summary(frame, name)])


# A frame, and the number of rows in the file; None if not known.
Read = tuple[Any, int | None]


def _first_that_works(readers: dict[str, Callable[..., Read]], *given: Any) -> Read:
    """The result of the first installed library that can read the table; imported libraries are tried first.

    Raises `NoTable` if there is none.
    """
    there = [name for name in _LIBRARIES if name in readers and name in sys.modules]
    there += [name for name in _LIBRARIES if name in readers and name not in there and importlib.util.find_spec(name)]
    why = f"it takes {' or '.join(readers)}, which {'is' if len(readers) == 1 else 'are'} not installed"
    for name in there:
        try:
            return readers[name](*given)
        except Exception as error:
            why = one_line(error)
    raise NoTable(why)


def _pandas_columns(columns: Mapping[str, Sequence[Any]]) -> Read:
    import pandas

    return pandas.DataFrame(columns), None


def _polars_columns(columns: Mapping[str, Sequence[Any]]) -> Read:
    import polars

    return polars.DataFrame(columns, infer_schema_length=None), None


def _pyarrow_columns(columns: Mapping[str, Sequence[Any]]) -> Read:
    from pyarrow import Table

    return Table.from_pydict(dict(columns)), None


_COLUMN_READERS: dict[str, Callable[..., Read]] = {
    "pandas": _pandas_columns,
    "polars": _polars_columns,
    "pyarrow": _pyarrow_columns,
}


def _pyarrow_parquet(source: Any) -> Read:
    """The rows of the first batch, so that the unpacked data is bounded however well the file is compressed."""
    from pyarrow import Table, parquet

    with parquet.ParquetFile(source) as file:
        rows = min(MAX_TABLE_ROWS, max(1, MAX_TABLE_VALUES // max(1, file.metadata.num_columns)))
        batch = next(file.iter_batches(batch_size=rows), None)
        table = file.schema_arrow.empty_table() if batch is None else Table.from_batches([batch])
        return table, int(file.metadata.num_rows)


def _polars_parquet(source: Any) -> Read:
    import polars

    lazy = polars.scan_parquet(source)
    columns = len(lazy.collect_schema())
    rows = min(MAX_TABLE_ROWS, max(1, MAX_TABLE_VALUES // max(1, columns)))
    return lazy.head(rows).collect(), int(lazy.select(polars.len()).collect().item())


_PARQUET_READERS: dict[str, Callable[..., Read]] = {"polars": _polars_parquet, "pyarrow": _pyarrow_parquet}


def _records(text: str, *, whole: bool) -> list[dict[str, Any]]:
    """The rows of JSON that is a list of flat objects, or of JSON Lines; empty for any other JSON."""
    found: Any = None
    with suppress(ValueError, RecursionError):
        found = json.loads(text) if whole else None
    if found is None:
        lines = text.splitlines()[: None if whole else -1]
        with suppress(ValueError, RecursionError):
            found = [json.loads(line) for line in lines[: MAX_TABLE_ROWS + 1] if line.strip()]
    flat = isinstance(found, list) and len(found) > 1
    flat = flat and all(isinstance(row, dict) and row for row in found)
    flat = flat and not any(isinstance(value, dict | list) for row in found for value in row.values())
    return found if flat else []


def _pandas_records(rows: list[dict[str, Any]]) -> Read:
    import pandas

    return pandas.DataFrame(rows[:MAX_TABLE_ROWS]), len(rows)


def _polars_records(rows: list[dict[str, Any]]) -> Read:
    import polars

    return polars.DataFrame(rows[:MAX_TABLE_ROWS], infer_schema_length=None), len(rows)


def _pyarrow_records(rows: list[dict[str, Any]]) -> Read:
    from pyarrow import Table

    return Table.from_pylist(rows[:MAX_TABLE_ROWS]), len(rows)


_RECORD_READERS: dict[str, Callable[..., Read]] = {
    "pandas": _pandas_records,
    "polars": _polars_records,
    "pyarrow": _pyarrow_records,
}
