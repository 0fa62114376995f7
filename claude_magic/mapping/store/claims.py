"""Claims of maps on the requests that they are about to send, so that two maps over the same rows ask each row once.

A claim lasts as long as the lock of its map, which the operating system releases when the kernel dies.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from .opening import Lock, is_locked, locked

# A lock that is younger may not be held yet.
NEW_SECONDS = 60.0
_LOCKS = "maps.asking."
KEYS_PER_QUERY = 500  # older versions of SQLite take at most 999 parameters


def chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in groups that fit into a query."""
    for at in range(0, len(keys), KEYS_PER_QUERY):
        yield keys[at : at + KEYS_PER_QUERY]


class Claims:
    """The claims in one store: its open file, and the folder of the locks."""

    def __init__(self, file: sqlite3.Connection, folder: Path) -> None:
        self._file = file
        self._folder = folder

    def owners(self, keys: Sequence[str]) -> dict[str, str]:
        """The maps that are asking these keys at this moment, by key."""
        found: dict[str, str] = {}
        for some in chunks(keys):
            marks = ",".join("?" * len(some))
            found.update(self._file.execute(f"SELECT key, owner FROM claimed WHERE key IN ({marks})", some))
        living = {owner for owner in set(found.values()) if is_locked(self._lock_of(owner))}
        return {key: owner for key, owner in found.items() if owner in living}

    @contextmanager
    def taken(self, keys: Sequence[str]) -> Iterator[list[str]]:
        """Claim the keys that no other map claims, until the block ends. Raises `sqlite3.Error` and `OSError`."""
        owner = uuid.uuid4().hex
        lock = locked(self._lock_of(owner))
        assert lock is not None, "nobody else knows its name"
        try:
            own = self._take(keys, owner)
        except BaseException:
            lock.release()
            raise
        try:
            yield own
        finally:
            self._give_back(owner, lock)

    def _take(self, keys: Sequence[str], owner: str) -> list[str]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            self._forget_the_dead()
            taken = self.owners(keys)
            own = [key for key in keys if key not in taken]
            rows = [(key, owner) for key in own]
            self._file.executemany("INSERT OR REPLACE INTO claimed (key, owner) VALUES (?, ?)", rows)
            self._file.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._file.execute("ROLLBACK")
            raise
        return own

    def _forget_the_dead(self) -> None:
        """Delete what maps have left behind whose kernel was killed."""
        for (owner,) in self._file.execute("SELECT DISTINCT owner FROM claimed").fetchall():
            if not is_locked(self._lock_of(owner)):
                self._file.execute("DELETE FROM claimed WHERE owner = ?", (owner,))
        for path in self._folder.glob(f"{_LOCKS}*.sqlite"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - NEW_SECONDS and not is_locked(path):
                    path.unlink()

    def _give_back(self, owner: str, lock: Lock) -> None:
        with suppress(sqlite3.Error):
            self._file.execute("DELETE FROM claimed WHERE owner = ?", (owner,))
        lock.release()

    def _lock_of(self, owner: str) -> Path:
        return self._folder / f"{_LOCKS}{owner}.sqlite"
