"""The store of paid answers and of batches under way: one SQLite file, which outlives the kernels.

It is in Jupyter's data folder, readable by its owner only. A `kill -9` at any moment loses nothing that was committed.
What is read back is validated as untrusted data.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..conversation.map_run import Mapped
from ..errors import UsageError
from ..notebook.journal import MAX_AGE_SECONDS, make_private, private
from .answers import RowAnswer, as_data, from_data

BUSY_SECONDS = 30.0
# The API keeps a batch's results for 29 days; one day less, since the age that a notebook records may be hours off.
RESULTS_SECONDS = 28 * 86_400
MAX_ANSWERS_BYTES = 1_000_000_000
_KEYS_PER_QUERY = 500  # older versions of SQLite take at most 999 parameters
_TABLES = """
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, at REAL, data TEXT);
CREATE TABLE IF NOT EXISTS parts (
    id INTEGER PRIMARY KEY, digest TEXT, created REAL, count INTEGER, provider TEXT, model TEXT, batch TEXT, state TEXT,
    notebook TEXT
);
CREATE TABLE IF NOT EXISTS asked (key TEXT PRIMARY KEY, part INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS adopted (part INTEGER PRIMARY KEY, about TEXT);
"""


@dataclass(frozen=True)
class Part:
    """One batch, from before its submission (`batch`, its id at the API, is `None` then) until its results are stored.

    The `custom_id`s of its requests begin with `digest`; `created` is in seconds since the epoch; `count` is the number
    of requests.
    """

    id: int
    digest: str
    created: float
    count: int
    provider: str
    model: str
    batch: str | None


class Results:
    """The store, opened for one notebook; in memory if there is no path.

    Answers are stored by their exact request, whichever notebook sent it: so a notebook that was renamed, or whose
    name is unknown, finds its answers.
    """

    def __init__(self, path: Path | None, notebook: Path | None = None) -> None:
        """Raises `UsageError` if the file cannot be written."""
        self._notebook = "" if notebook is None else os.path.realpath(notebook)
        self.kept = path is not None
        self._path = path
        try:
            if path is not None:
                make_private(path.parent)
                os.close(private(str(path), os.O_CREAT | os.O_RDWR))
            self._file = sqlite3.connect(path or ":memory:", timeout=BUSY_SECONDS, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")  # then only durable commits wait for the disk
            self._file.executescript(_TABLES)
            self._file.execute("DELETE FROM answers WHERE at < ?", (time.time() - MAX_AGE_SECONDS,))
            self._shrink()
            return
        except (OSError, sqlite3.Error) as error:
            why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"The answers cannot be kept: {path}: {why}.",
            advice="%config ClaudeMagic.journal = False maps without keeping them.",
        )

    def _shrink(self) -> None:
        """Delete the oldest answers if the file is too large, but none since the oldest batch under way began."""
        if self._bytes() <= MAX_ANSWERS_BYTES:
            return
        (began,) = self._file.execute("SELECT min(created) FROM parts WHERE state = 'open'").fetchone()
        until = time.time() if began is None else began
        oldest = self._file.execute("SELECT key FROM answers WHERE at < ? ORDER BY at", (until,)).fetchall()
        with self._committed(durable=False):
            for at in range(0, len(oldest), _KEYS_PER_QUERY):
                if self._bytes() <= MAX_ANSWERS_BYTES:
                    return
                self._file.executemany("DELETE FROM answers WHERE key = ?", oldest[at : at + _KEYS_PER_QUERY])

    def _bytes(self) -> int:
        """The bytes in use; pages of deleted answers are reused, and do not count."""
        names = ("page_count", "freelist_count", "page_size")
        pages, free, size = (self._file.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        return int((pages - free) * size)

    @contextmanager
    def submitting(self, wait: Callable[[], None]) -> Iterator[None]:
        """Hold a lock, so that one process of this machine submits at a time; `wait` is called while another does.

        It is a lock on a file of its own, which the operating system releases when the process dies.
        """
        beside = ":memory:" if self._path is None else self._path.with_name("maps.submitting.sqlite")
        with closing(sqlite3.connect(beside, timeout=0, isolation_level=None)) as gate:
            while True:
                try:
                    gate.execute("BEGIN EXCLUSIVE")
                    break
                except sqlite3.OperationalError as busy:
                    if "locked" not in str(busy):
                        raise UsageError(f"Nothing can be submitted: {beside}: {busy}.") from None
                wait()
            yield

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def found(self, keys: Iterable[str]) -> dict[str, RowAnswer]:
        """The stored answers, by key."""
        known = {}
        for some in _chunks(keys):
            marks = ",".join("?" * len(some))
            for key, data in self._file.execute(f"SELECT key, data FROM answers WHERE key IN ({marks})", some):
                with suppress(ValueError):
                    if answer := from_data(key, json.loads(data)):
                        known[key] = answer
        return known

    def keep(self, answers: Iterable[RowAnswer]) -> None:
        """Store the answers that are `settled`."""
        now = time.time()
        rows = [(each.key, now, json.dumps(as_data(each))) for each in answers if each.settled]
        if rows:
            with self._committed(durable=False):
                self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)

    def intend(
        self, digest: str, keys: Sequence[str], provider: str, model: str, *, fresh: bool = False
    ) -> Part | None:
        """Store the intent to submit a batch; it is on disk before the first byte is sent.

        `None` if another kernel was faster: some of the requests are in a batch, or answered. `fresh` skips that check.
        """
        now = time.time()
        with self._committed():
            if not fresh and (self.under_way(keys) or self.found(keys)):
                return None
            cursor = self._file.execute(
                "INSERT INTO parts (digest, created, count, provider, model, state, notebook)"
                " VALUES (?, ?, ?, ?, ?, 'open', ?)",
                (digest, now, len(keys), provider, model, self._notebook),
            )
            part = cursor.lastrowid or 0
            self._file.executemany("INSERT OR REPLACE INTO asked VALUES (?, ?)", [(key, part) for key in keys])
        return Part(part, digest, now, len(keys), provider, model, None)

    def submitted(self, part: Part, batch: str) -> None:
        """Store the id of a submitted batch."""
        with self._committed():
            self._file.execute("UPDATE parts SET batch = ? WHERE id = ?", (batch, part.id))

    def adopt(self, run: Mapped) -> None:
        """Store the batches of a notebook's record that this file lacks (it was lost, or is on another machine)."""
        if run.created < time.time() - RESULTS_SECONDS:
            return
        for batch in set(run.batches) - self.batches():
            with self._committed():
                cursor = self._file.execute(
                    "INSERT INTO parts (digest, created, count, provider, model, batch, state, notebook)"
                    " SELECT '', ?, 0, ?, ?, ?, 'open', ? WHERE NOT EXISTS (SELECT 1 FROM parts WHERE batch = ?)",
                    (run.created, run.provider, run.model, batch, self._notebook, batch),
                )
                if cursor.rowcount:
                    self._file.execute("INSERT INTO adopted VALUES (?, ?)", (cursor.lastrowid, run.about))

    def adopted(self, about: str) -> list[Part]:
        """The adopted batches under way that may hold requests of a map, which `about` is the digest of. Their exact
        requests are unknown here."""
        found = self._file.execute("SELECT part FROM adopted WHERE about IN ('', ?)", (about,))
        ids = {part for (part,) in found}
        return [part for part in self.open_parts() if part.id in ids]

    def batches(self) -> set[str]:
        """The ids of all batches in the store, finished ones included."""
        return {batch for (batch,) in self._file.execute("SELECT batch FROM parts WHERE batch IS NOT NULL")}

    def close_part(self, part: Part, answers: Iterable[RowAnswer] = ()) -> bool:
        """Close a batch that has ended, or was never submitted: store its answers; other requests can be sent again.

        False if another kernel has closed it before.
        """
        now = time.time()
        with self._committed():
            rows = ((each.key, now, json.dumps(as_data(each))) for each in answers if each.settled)
            self._file.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", rows)
            closed = self._file.execute("UPDATE parts SET state = 'done' WHERE id = ? AND state = 'open'", (part.id,))
            self._file.execute("DELETE FROM asked WHERE part = ?", (part.id,))
        return closed.rowcount > 0

    def open_parts(self) -> list[Part]:
        """The batches under way, including those whose submission is of unknown outcome; oldest first."""
        rows = self._file.execute(
            "SELECT id, digest, created, count, provider, model, batch FROM parts WHERE state = 'open' ORDER BY id"
        )
        return [Part(*row) for row in rows]

    def own_parts(self, provider: str) -> list[Part]:
        """The batches under way of this notebook, or of one whose name was unknown, at this provider."""
        own = self._file.execute("SELECT id FROM parts WHERE notebook IN ('', ?)", (self._notebook,))
        ids = {row[0] for row in own}
        return [part for part in self.open_parts() if part.id in ids and part.provider == provider]

    def under_way(self, keys: Iterable[str]) -> dict[str, int]:
        """The requests that are in a batch under way: ids of `Part`s, by key."""
        found: dict[str, int] = {}
        for some in _chunks(keys):
            marks = ",".join("?" * len(some))
            found.update(self._file.execute(f"SELECT key, part FROM asked WHERE key IN ({marks})", some))
        return found

    def reload(self, part: Part) -> Part | None:
        """The batch as stored now; `None` if it is closed."""
        return next((each for each in self.open_parts() if each.id == part.id), None)

    def keys_of(self, part: Part) -> set[str]:
        """The keys of a batch's requests."""
        return {key for (key,) in self._file.execute("SELECT key FROM asked WHERE part = ?", (part.id,))}

    def _committed(self, *, durable: bool = True) -> _Transaction:
        """A transaction. Once committed, it survives the end of the process; if `durable`, also a power cut."""
        self._file.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        return _Transaction(self._file)


class _Transaction:
    """A transaction as a context manager: commits at the end, rolls back on an exception."""

    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.execute("COMMIT" if kind is None else "ROLLBACK")


def file() -> Path:
    """The path of the store's file."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "claude_magic" / "maps.sqlite"


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    every = list(keys)
    for at in range(0, len(every), _KEYS_PER_QUERY):
        yield every[at : at + _KEYS_PER_QUERY]
