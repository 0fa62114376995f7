"""The answers that were paid for, and the batches under way, in one SQLite file that outlives the kernels.

In Jupyter's data folder, readable by its owner only. A `kill -9` at any moment undoes nothing that was committed. What
is read back is data, and checked.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..journal import MAX_AGE_SECONDS, make_private, private
from .answers import Answer, as_data, from_data

BUSY_SECONDS = 30.0
_AT_ONCE = 500  # keys in one question: SQLite takes 999 in older versions
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, at REAL, data TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY, digest TEXT, created REAL, count INTEGER, provider TEXT, model TEXT, batch TEXT, state TEXT,
    notebook TEXT
);
CREATE TABLE IF NOT EXISTS asked (key TEXT PRIMARY KEY, part INTEGER) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Part:
    """One batch: from the intent to submit it (then it has no `batch` id) until its results are collected.

    `digest` opens the ids of its requests; `created` is in seconds since the epoch; `count` is how many they are.
    """

    id: int
    digest: str
    created: float
    count: int
    provider: str
    model: str
    batch: str | None


class Results:
    """The file, as one notebook sees it; without a path, what this kernel knows.

    An answer is known by its exact request, whichever notebook asked: one that was renamed, or whose name is not
    known yet, finds its own.
    """

    def __init__(self, path: Path | None, notebook: Path | None = None) -> None:
        """Raises `UsageError` where the file cannot be written."""
        self._notebook = "" if notebook is None else os.path.realpath(notebook)
        self.kept = path is not None
        try:
            if path is not None:
                make_private(path.parent)
                os.close(private(str(path), os.O_CREAT | os.O_RDWR))
            self._file = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")  # without waiting for the disk, but where that matters
            self._file.executescript(_TABLES)
            self._file.execute("DELETE FROM answers WHERE at < ?", (time.time() - MAX_AGE_SECONDS,))
            return
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"The answers cannot be kept: {path}: {why}.",
            advice="%config ClaudeMagic.journal = False maps without keeping them.",
        )

    def close(self) -> None:
        """Nothing more comes."""
        self._file.close()

    def found(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that there are already, by key."""
        known = {}
        for some in _some(keys):
            marks = ",".join("?" * len(some))
            for key, data in self._file.execute(f"SELECT key, data FROM answers WHERE key IN ({marks})", some):
                with suppress(ValueError):
                    if answer := from_data(key, json.loads(data)):
                        known[key] = answer
        return known

    def keep(self, answers: Iterable[Answer]) -> None:
        """Write answers down: those that need not be asked again."""
        now = time.time()
        rows = [(each.key, now, json.dumps(as_data(each))) for each in answers if each.settled]
        if rows:
            with self._committed(durable=False):
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)

    def intend(self, digest: str, keys: Sequence[str], provider: str, model: str) -> Part:
        """Note that a batch is about to be submitted: on the disk before the first byte of it goes out."""
        now = time.time()
        with self._committed():
            cursor = self._file.execute(
                "INSERT INTO parts (digest, created, count, provider, model, state, notebook)"
                " VALUES (?, ?, ?, ?, ?, 'open', ?)",
                (digest, now, len(keys), provider, model, self._notebook),
            )
            part = cursor.lastrowid or 0
            self._file.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?)", [(key, part) for key in keys])
        return Part(part, digest, now, len(keys), provider, model, None)

    def submitted(self, part: Part, batch: str) -> None:
        """Note the id of a batch."""
        with self._committed():
            self._file.execute("UPDATE parts SET batch = ? WHERE id = ?", (batch, part.id))

    def adopt(self, batch: str, provider: str, model: str) -> None:
        """Note a batch that the notebook knows and this file does not: the file was lost, or is another machine's."""
        with self._committed():
            known = self._file.execute("SELECT 1 FROM parts WHERE batch = ?", (batch,)).fetchone()
            if known is None:
                self._file.execute(
                    "INSERT INTO parts (digest, created, count, provider, model, batch, state, notebook)"
                    " VALUES ('', ?, 0, ?, ?, ?, 'open', ?)",
                    (time.time(), provider, model, batch, self._notebook),
                )

    def batches(self) -> set[str]:
        """The ids of all batches that this file knows, those done with included."""
        return {batch for (batch,) in self._file.execute("SELECT batch FROM parts WHERE batch IS NOT NULL")}

    def close_part(self, part: Part, answers: Iterable[Answer] = ()) -> None:
        """A batch is done with, or was never submitted: what it answered is kept, the rest can be asked again."""
        now = time.time()
        with self._committed():
            rows = ((each.key, now, json.dumps(as_data(each))) for each in answers if each.settled)
            self._file.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?, ?)", rows)
            self._file.execute("UPDATE parts SET state = 'done' WHERE id = ?", (part.id,))
            self._file.execute("DELETE FROM asked WHERE part = ?", (part.id,))

    def open_parts(self) -> list[Part]:
        """The batches under way, and those of which nobody knows whether they were submitted; oldest first."""
        rows = self._file.execute(
            "SELECT id, digest, created, count, provider, model, batch FROM parts WHERE state = 'open' ORDER BY id"
        )
        return [Part(*row) for row in rows]

    def own_parts(self, provider: str) -> list[Part]:
        """Those of this notebook, or of one whose name was not known."""
        own = self._file.execute("SELECT id FROM parts WHERE notebook IN ('', ?)", (self._notebook,))
        ids = {row[0] for row in own}
        return [part for part in self.open_parts() if part.id in ids and part.provider == provider]

    def under_way(self, keys: Iterable[str]) -> dict[str, int]:
        """Which of these requests are in a batch under way: the part's id, by key."""
        found: dict[str, int] = {}
        for some in _some(keys):
            marks = ",".join("?" * len(some))
            found.update(self._file.execute(f"SELECT key, part FROM asked WHERE key IN ({marks})", some))
        return found

    def keys_of(self, part: Part) -> set[str]:
        """The requests of a batch."""
        return {key for (key,) in self._file.execute("SELECT key FROM asked WHERE part = ?", (part.id,))}

    def _committed(self, *, durable: bool = True) -> _Transaction:
        """What is committed outlives the process; where it is `durable`, a power cut, too."""
        self._file.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        return _Transaction(self._file)


class _Transaction:
    """All or nothing."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.execute("COMMIT" if kind is None else "ROLLBACK")


def file() -> Path:
    """Where the file is."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "claude_magic" / "maps.sqlite"


def _some(keys: Iterable[str]) -> Iterator[list[str]]:
    every = list(keys)
    for at in range(0, len(every), _AT_ONCE):
        yield every[at : at + _AT_ONCE]
