"""Open the store's file, whatever stands in its place: an older version is brought up, what is no store is set aside.

Where nothing can be written, the file is opened to be read; where it cannot be read either, a store in memory takes its
place.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ...content.safely import one_line
from ...notebook.journal import make_private, private

VERSION = 1  # a file of the time before there were versions has 0
# The tables, with the type and the default of each column; the first column is the primary key.
_TABLES: dict[str, dict[str, str]] = {
    "answers": {"key": "TEXT", "at": "REAL DEFAULT 0", "data": "TEXT DEFAULT ''"},
    "parts": {
        "id": "INTEGER",
        "digest": "TEXT DEFAULT ''",
        "created": "REAL DEFAULT 0",
        "count": "INTEGER DEFAULT 0",
        "provider": "TEXT DEFAULT 'anthropic'",
        "model": "TEXT DEFAULT ''",
        "batch": "TEXT",
        "state": "TEXT DEFAULT 'open'",
        "notebook": "TEXT DEFAULT ''",
    },
    "asked": {"key": "TEXT", "part": "INTEGER DEFAULT 0"},
    "adopted": {"part": "INTEGER", "about": "TEXT DEFAULT ''"},
    "taken": {"name": "TEXT", "part": "INTEGER DEFAULT 0"},
    "claimed": {"key": "TEXT", "owner": "TEXT DEFAULT ''"},
}
# SQLite's codes for a file that is damaged, or is no database (sqlite.org/rescode.html).
_NO_DATABASE = (11, 26)


class _NoStore(Exception):
    """A database that is no store of ours."""


class _Newer(Exception):
    """A store of a newer version."""


@dataclass(frozen=True)
class Opened:
    """The open file. `fault` says why nothing can be written to it, `remark` what else the reader should know."""

    connection: sqlite3.Connection
    fault: str = ""
    remark: str = ""


def opened(path: Path | None, patience: float) -> Opened:
    """The store in a file, or in memory if there is no path. `patience` is how long others' locks are waited for, in
    seconds."""
    if path is None:
        return Opened(_in_memory())
    remark = ""
    try:
        try:
            return Opened(_file(path, patience))
        except (_NoStore, sqlite3.DatabaseError) as error:
            if not (isinstance(error, _NoStore) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_DATABASE):
                raise
            remark = f"{path} is not a store of answers; it is set aside as {_set_aside(path)}."
        return Opened(_file(path, patience), remark=remark)
    except _Newer as newer:
        fault = f"{path}: {newer}"
    except (OSError, sqlite3.Error, _NoStore) as error:
        fault = f"{path}: {why(error)}"
    return Opened(_readable(path) or _in_memory(), fault, remark)


def why(error: Exception) -> str:
    """What the system says of a failure, in a line."""
    return getattr(error, "strerror", None) or one_line(error).partition(": ")[2] or one_line(error)


def _in_memory() -> sqlite3.Connection:
    return _prepared(sqlite3.connect(":memory:", isolation_level=None))


def _file(path: Path, patience: float) -> sqlite3.Connection:
    """The file, which is made if there is none, readable by its owner only."""
    make_private(path.parent)
    _create(path)
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        return _prepared(connection)
    except BaseException:
        connection.close()
        raise


def _create(path: Path) -> None:
    """Make an empty file, if there is none.

    One that is there is not opened: on POSIX, closing it would release what this process has locked in it.
    """
    if not path.exists():
        os.close(private(str(path), os.O_CREAT | os.O_RDWR))


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The connection, with all tables of this version in its file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise _Newer("a newer version of claude_magic wrote it")
    found = {name: _columns(connection, name) for name in _TABLES}  # before anything is changed
    connection.execute("PRAGMA journal_mode=WAL")  # then only durable commits wait for the disk
    if version < VERSION or any(columns.keys() - found[name] for name, columns in _TABLES.items()):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for name in _TABLES:
                _bring_up(connection, name)
            connection.execute(f"PRAGMA user_version={VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
    return connection


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """The columns of a table; none if there is no such table. Raises `_NoStore` for one with another key than ours."""
    found = {name: bool(key) for _, name, _, _, _, key in connection.execute(f"PRAGMA table_info({table})")}
    if found and [name for name, is_key in found.items() if is_key] != [next(iter(_TABLES[table]))]:
        raise _NoStore(table)
    return set(found)


def _bring_up(connection: sqlite3.Connection, table: str) -> None:
    """Make a table, or add the columns that an older version lacks."""
    columns, (key, *rest) = _TABLES[table], _TABLES[table]
    found = _columns(connection, table)
    if not found:
        described = ", ".join(f"{name} {columns[name]}" for name in rest)
        connection.execute(f"CREATE TABLE {table} ({key} {columns[key]} PRIMARY KEY, {described})")
        return
    for name in rest:
        if name not in found:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
    if "at" in columns and "at" not in found:
        connection.execute("UPDATE answers SET at = ?", (time.time(),))


def _set_aside(path: Path) -> Path:
    """Rename a file, and what SQLite keeps beside it. Returns the new path."""
    stem = f"{path.stem}.{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{stem}{'' if at == 0 else f'-{at}'}{path.suffix}" for at in range(1_000))
    new = next(each for name in names if not (each := path.with_name(name)).exists())
    path.rename(new)
    for end in ("-wal", "-shm"):
        with suppress(OSError):
            Path(f"{path}{end}").rename(f"{new}{end}")
    return new


def _readable(path: Path) -> sqlite3.Connection | None:
    """The file, opened to be read alone; `None` if that fails as well. Immutable: it needs no file beside it."""
    for how in ("mode=ro", "immutable=1"):
        with suppress(sqlite3.Error, OSError):
            connection = sqlite3.connect(f"file:{quote(str(path))}?{how}", timeout=0, isolation_level=None, uri=True)
            try:
                connection.execute("SELECT key, data FROM answers LIMIT 1").fetchone()
            except BaseException:
                connection.close()
                raise
            return connection
    return None


@dataclass(frozen=True)
class Lock:
    """A lock on a file of its own, which the operating system releases when the process dies."""

    path: Path
    connection: sqlite3.Connection

    def release(self) -> None:
        """Release it, and delete its file."""
        self.connection.close()
        with suppress(OSError):
            self.path.unlink()


def locked(path: Path) -> Lock | None:
    """The lock on a file, which is made; `None` if another has it. Raises `sqlite3.Error` and `OSError`."""
    _create(path)
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as busy:
        connection.close()
        if "locked" in str(busy):
            return None
        raise
    except BaseException:
        connection.close()
        raise
    return Lock(path, connection)


def is_locked(path: Path) -> bool:
    """Whether another holds the lock on a file."""
    if not path.exists():
        return False
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as busy:
            return "locked" in str(busy)
    return False
