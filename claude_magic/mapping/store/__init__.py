"""The store of paid answers and of batches under way: one SQLite file, which outlives the kernels.

It is in Jupyter's data folder, readable by its owner only. A `kill -9` at any moment loses nothing that was committed.
What is read back is validated as untrusted data. A file that takes nothing (a full disk, a lock, no permission) ends no
map: what it did not take is kept in the kernel (`Unkept`), and written when it can be.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...conversation.map_run import Mapped
from ...errors import UsageError
from ...notebook.journal import MAX_AGE_SECONDS
from ..answers import RowAnswer, as_data, from_data
from . import opening
from .claims import KEYS_PER_QUERY as _KEYS_PER_QUERY
from .claims import Claims, chunks

BUSY_SECONDS = 5.0
# The API keeps a batch's results for 29 days; one day less, since the age that a notebook records may be hours off.
RESULTS_SECONDS = 28 * 86_400
MAX_ANSWERS_BYTES = 1_000_000_000
_FAULTS = (OSError, sqlite3.Error)
_OPEN_PARTS = "SELECT id, digest, created, count, provider, model, batch FROM parts WHERE state = 'open'"


@dataclass(frozen=True)
class Part:
    """One batch, from before its submission (`batch`, its id at the API, is `None` then) until its results are stored.

    The `custom_id`s of its requests begin with `digest`; `created` is in seconds since the epoch; `count` is the number
    of requests (0 if they are unknown here, as those of an adopted batch are).
    """

    id: int
    digest: str
    created: float
    count: int
    provider: str
    model: str
    batch: str | None


@dataclass
class Unkept:
    """What one file did not take, for as long as the kernel lives; `fault` says why.

    `answers` are by key, `batches` are the ids of submitted batches by the id of their `Part`; `ended` are the `Part`s
    whose results have been collected, `taken` the requests that were, of those that stay open.
    """

    answers: dict[str, RowAnswer] = field(default_factory=dict)
    batches: dict[int, str] = field(default_factory=dict)
    taken: set[tuple[int, str]] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    fault: str = ""

    def __bool__(self) -> bool:
        return bool(self.answers or self.batches or self.taken or self.ended)

    def line(self) -> str:
        """What the reader should know of it; empty if all is kept."""
        if not self:
            return ""
        kept = "this kernel remembers them until it ends"
        return f"The answers cannot be kept on disk ({self.fault}): they are bound, and {kept}."


class Results:
    """The store, opened for one notebook; in memory if there is no path.

    Answers are stored by their exact request, whichever notebook sent it: so a notebook that was renamed, or whose
    name is unknown, finds its answers. `fault` says why the file takes nothing, `remark` what else the reader should
    know of it.
    """

    def __init__(self, path: Path | None, notebook: Path | None = None, unkept: Unkept | None = None) -> None:
        """`unkept` is what the file did not take before: it is written now, or found there."""
        self._notebook = "" if notebook is None else os.path.realpath(notebook)
        self.kept = path is not None
        self._path = path
        self._unkept = Unkept() if unkept is None else unkept
        found = opening.opened(path, BUSY_SECONDS)
        self._file, self.fault, self.remark = found.connection, found.fault, found.remark
        self._writable = not found.fault
        self._on_disk = self.kept and self._writable
        if self._writable:
            self._prune()
        else:
            self._unkept.fault = self.fault
        if self.remark:  # the batches were those of the file that was set aside
            for each in (self._unkept.batches, self._unkept.taken, self._unkept.ended):
                each.clear()
        self._write_unkept()

    def _prune(self) -> None:
        """Delete what is too old, or too much, unless another writes at this moment."""
        with suppress(*_FAULTS):
            self._file.execute("PRAGMA busy_timeout=0")
            self._file.execute("DELETE FROM answers WHERE at < ?", (time.time() - MAX_AGE_SECONDS,))
            self._shrink()
        self._file.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1_000:.0f}")

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
        """Hold a lock, so that one process of this machine submits at a time; `wait` is called while another does."""
        if self._path is None:
            yield
            return
        beside = self._path.with_name("maps.submitting.sqlite")
        while True:
            try:
                lock = opening.locked(beside)
            except _FAULTS as error:
                why = opening.why(error)
            else:
                if lock is not None:
                    break
                wait()
                continue
            raise UsageError(f"Nothing can be submitted: {beside}: {why}.")
        try:
            yield
        finally:
            lock.connection.close()  # its file stays: another may be about to lock it

    def close(self) -> None:
        """Write what the file did not take, if it does now, and close it."""
        self._write_unkept()
        self._file.close()

    # Answers

    def found(self, keys: Iterable[str]) -> dict[str, RowAnswer]:
        """The stored answers, by key."""
        wanted = list(keys)
        known = {key: self._unkept.answers[key] for key in wanted if key in self._unkept.answers}
        with self._tolerant():
            known.update(self._found([key for key in wanted if key not in known]))
        return known

    def _found(self, keys: Sequence[str]) -> dict[str, RowAnswer]:
        known = {}
        for some in chunks(keys):
            marks = ",".join("?" * len(some))
            for key, data in self._file.execute(f"SELECT key, data FROM answers WHERE key IN ({marks})", some):
                with suppress(ValueError, TypeError, RecursionError):
                    if answer := from_data(key, json.loads(data)):
                        known[key] = answer
        return known

    def keep(self, answers: Iterable[RowAnswer]) -> None:
        """Store the answers that are `settled`."""
        settled = [each for each in answers if each.settled]
        if settled and self._writable:
            with self._tolerant(writes=True), self._committed(durable=False):
                self._insert(settled)
        if not self._writable:
            self._unkept.answers.update({each.key: each for each in settled})

    def _insert(self, answers: Iterable[RowAnswer]) -> None:
        now = time.time()
        rows = ((each.key, now, json.dumps(as_data(each))) for each in answers if each.settled)
        self._file.executemany("INSERT OR REPLACE INTO answers (key, at, data) VALUES (?, ?, ?)", rows)

    @contextmanager
    def asking(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Claim these keys, so that no other map asks them until the block ends; gives those that no other asks now."""
        if self._path is None or not self._writable:
            yield list(keys)
            return
        claim = Claims(self._file, self._path.parent).taken(keys)
        own: list[str] | None = None
        with self._tolerant():
            own = claim.__enter__()
        try:
            yield list(keys) if own is None else own
        finally:
            if own is not None:
                claim.__exit__(None, None, None)

    def asked_by_others(self, keys: Sequence[str]) -> set[str]:
        """The keys that another map is asking at this moment."""
        others: dict[str, str] = {}
        if self._path is not None and self._writable:
            with self._tolerant():
                others = Claims(self._file, self._path.parent).owners(keys)
        return set(others)

    # Batches

    def intend(
        self, digest: str, keys: Sequence[str], provider: str, model: str, *, fresh: bool = False
    ) -> Part | None:
        """Store the intent to submit a batch; it is on disk before the first byte is sent.

        `None` if another kernel was faster: some of the requests are in a batch, or answered. `fresh` skips that check.
        Raises `UsageError` if it cannot be stored.
        """
        now, part = time.time(), 0
        try:
            with self._committed():
                if not fresh and (self._under_way(keys) or self._found(keys)):
                    return None
                cursor = self._file.execute(
                    "INSERT INTO parts (digest, created, count, provider, model, state, notebook)"
                    " VALUES (?, ?, ?, ?, ?, 'open', ?)",
                    (digest, now, len(keys), provider, model, self._notebook),
                )
                part = cursor.lastrowid or 0
                rows = [(key, part) for key in keys]
                self._file.executemany("INSERT OR REPLACE INTO asked (key, part) VALUES (?, ?)", rows)
            return Part(part, digest, now, len(keys), provider, model, None)
        except _FAULTS as error:
            why = opening.why(error)
        raise no_batches(f"{self._path}: {why}")

    def submitted(self, part: Part, batch: str) -> None:
        """Store the id of a submitted batch."""
        with self._tolerant(writes=True), self._committed():
            self._file.execute("UPDATE parts SET batch = ? WHERE id = ?", (batch, part.id))
        if not self._writable:
            self._unkept.batches[part.id] = batch

    def adopt(self, run: Mapped) -> None:
        """Store the batches of a notebook's record that this file lacks (it was lost, or is on another machine)."""
        if run.created < time.time() - RESULTS_SECONDS or not self._writable:
            return
        with self._tolerant():
            for batch in set(run.batches) - self.batches():
                self._adopt(run, batch)

    def _adopt(self, run: Mapped, batch: str) -> None:
        with self._committed():
            cursor = self._file.execute(
                "INSERT INTO parts (digest, created, count, provider, model, batch, state, notebook)"
                " SELECT '', ?, 0, ?, ?, ?, 'open', ? WHERE NOT EXISTS (SELECT 1 FROM parts WHERE batch = ?)",
                (run.created, run.provider, run.model, batch, self._notebook, batch),
            )
            if cursor.rowcount:
                self._file.execute("INSERT INTO adopted (part, about) VALUES (?, ?)", (cursor.lastrowid, run.about))

    def adopted(self, about: str) -> list[Part]:
        """The adopted batches under way that may hold requests of a map, which `about` is the digest of. Their exact
        requests are unknown here."""
        ids = {part for (part,) in self._rows("SELECT part FROM adopted WHERE about IN ('', ?)", about)}
        return [part for part in self.open_parts() if part.id in ids]

    def batches(self) -> set[str]:
        """The ids of all batches in the store, finished ones included."""
        stored = {batch for (batch,) in self._rows("SELECT batch FROM parts WHERE batch IS NOT NULL")}
        return stored | set(self._unkept.batches.values())

    def close_part(self, part: Part, answers: Iterable[RowAnswer] = ()) -> bool:
        """Close a batch that has ended, or was never submitted: store its answers; other requests can be sent again.

        False if another kernel has closed it before.
        """
        given, closed = list(answers), part.id not in self._unkept.ended
        with self._tolerant(writes=True), self._committed():
            self._insert(given)
            closed = self._end(part.id)
        if not self._writable:
            self._unkept.answers.update({each.key: each for each in given if each.settled})
            self._unkept.ended.add(part.id)
        return closed

    def take(self, part: Part, answers: Sequence[RowAnswer]) -> set[str]:
        """Store some answers of a batch that stays open, since others have not come. Returns the keys of those that
        were not taken before."""
        new = self.untaken(part, answers)
        with self._tolerant(writes=True), self._committed():
            new = self.untaken(part, answers)
            self._insert(answers)
            self._note_taken((part.id, key) for key in ("", *new))
        if not self._writable:
            self._unkept.answers.update({each.key: each for each in answers if each.settled})
            self._unkept.taken.update((part.id, key) for key in ("", *new))
        return new

    def is_waited_for(self, part: Part) -> bool:
        """Whether results of a batch were taken before the last of them had come."""
        stored = self._rows("SELECT 1 FROM taken WHERE part = ?", part.id)
        return bool(stored) or any(its == part.id for its, _ in self._unkept.taken)

    def untaken(self, part: Part, answers: Iterable[RowAnswer]) -> set[str]:
        """The keys of those answers of a batch that were not taken from it before."""
        names = self._rows("SELECT name FROM taken WHERE part = ?", part.id)
        taken = {str(name).partition(" ")[2] for (name,) in names}
        return {each.key for each in answers} - taken - {key for its, key in self._unkept.taken if its == part.id}

    def open_parts(self) -> list[Part]:
        """The batches under way, including those whose submission is of unknown outcome; oldest first."""
        return self._parts(f"{_OPEN_PARTS} ORDER BY id")

    def own_parts(self, provider: str) -> list[Part]:
        """The batches under way of this notebook, or of one whose name was unknown, at this provider."""
        own = f"{_OPEN_PARTS} AND notebook IN ('', ?) AND provider = ? ORDER BY id"
        return self._parts(own, self._notebook, provider)

    def _parts(self, query: str, *values: object) -> list[Part]:
        found = [Part(*row) for row in self._rows(query, *values) if row[0] not in self._unkept.ended]
        return [replace(part, batch=part.batch or self._unkept.batches.get(part.id)) for part in found]

    def under_way(self, keys: Iterable[str]) -> dict[str, int]:
        """The requests that are in a batch under way: ids of `Part`s, by key."""
        found: dict[str, int] = {}
        with self._tolerant():
            found = self._under_way(list(keys))
        gone, answered = self._unkept.ended, self._unkept.answers
        return {key: part for key, part in found.items() if part not in gone and key not in answered}

    def _under_way(self, keys: Sequence[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for some in chunks(keys):
            marks = ",".join("?" * len(some))
            found.update(self._file.execute(f"SELECT key, part FROM asked WHERE key IN ({marks})", some))
        return found

    def reload(self, part: Part) -> Part | None:
        """The batch as stored now; `None` if it is closed."""
        return next((each for each in self.open_parts() if each.id == part.id), None)

    def keys_of(self, part: Part) -> set[str]:
        """The keys of a batch's requests that have no answer yet."""
        asked = {str(key) for (key,) in self._rows("SELECT key FROM asked WHERE part = ?", part.id)}
        return asked - {key for its, key in self._unkept.taken if its == part.id}

    # Faults

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query; none if the file cannot be read."""
        rows: list[tuple[Any, ...]] = []
        with self._tolerant():
            rows = self._file.execute(query, values).fetchall()
        return rows

    @contextmanager
    def _tolerant(self, *, writes: bool = False) -> Iterator[None]:
        """Go on after a fault of the file, which is noted. With `writes`, nothing more is written until it is closed:
        each attempt could wait for a lock."""
        try:
            yield
        except _FAULTS as error:
            self.fault = self.fault or f"{self._path}: {opening.why(error)}"
            if writes:
                self._writable, self._unkept.fault = False, self.fault
            with suppress(sqlite3.Error):
                self._file.execute("PRAGMA busy_timeout=100")

    def _write_unkept(self) -> None:
        """Write what the file did not take before. If it takes it now, nothing is left to be said."""
        if not self._unkept or not self._on_disk:
            return
        unkept = self._unkept  # another map may add to it meanwhile
        answers, batches, taken, ended = {**unkept.answers}, {**unkept.batches}, {*unkept.taken}, {*unkept.ended}
        try:
            with self._committed():
                self._insert(answers.values())
                self._note_taken(taken)
                for part, batch in batches.items():
                    self._file.execute("UPDATE parts SET batch = ? WHERE id = ?", (batch, part))
                for part in ended:
                    self._end(part)
        except _FAULTS:
            return
        for key in answers:
            unkept.answers.pop(key, None)
        for part in batches:
            unkept.batches.pop(part, None)
        unkept.taken -= taken
        unkept.ended -= ended

    def _note_taken(self, names: Iterable[tuple[int, str]]) -> None:
        """Note requests of batches that stay open as answered."""
        for part, key in names:
            self._file.execute("DELETE FROM asked WHERE key = ? AND part = ?", (key, part))
            self._file.execute("INSERT OR REPLACE INTO taken (name, part) VALUES (?, ?)", (f"{part} {key}", part))

    def _end(self, part: int) -> bool:
        """Note a batch as done: its requests without an answer can be sent again. False if it was noted before."""
        ended = self._file.execute("UPDATE parts SET state = 'done' WHERE id = ? AND state = 'open'", (part,))
        for table in ("asked", "taken"):
            self._file.execute(f"DELETE FROM {table} WHERE part = ?", (part,))
        return ended.rowcount > 0

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
        if kind is None:
            try:
                self._file.execute("COMMIT")
                return
            except sqlite3.Error:
                self._roll_back()
                raise
        self._roll_back()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # a full disk has done so already
            self._file.execute("ROLLBACK")


def no_batches(fault: str) -> UsageError:
    """The refusal of a batch that could not be noted down before it is sent."""
    return UsageError(
        f"A batch has to be noted on disk before it is sent, and cannot be: {fault}. Nothing was sent.",
        advice="Leave out --batch, which asks the rows one by one.",
    )


def file() -> Path:
    """The path of the store's file."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "claude_magic" / "maps.sqlite"
