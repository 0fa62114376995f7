"""Faults of the store, at each step: what was paid is bound, counted and asked once, and a line says what is wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from claude_magic.errors import ReplyInterrupted, UsageError
from claude_magic.mapping import store
from claude_magic.mapping.answers import RowAnswer
from claude_magic.mapping.store import Results, Unkept
from support.shell import OfflineShell

ROWS = 6
MODEL = "claude-haiku-5-5"
OLD_TABLES = """
CREATE TABLE answers (key TEXT PRIMARY KEY, data TEXT);
CREATE TABLE parts (id INTEGER PRIMARY KEY, digest TEXT, created REAL, count INTEGER, model TEXT, batch TEXT);
CREATE TABLE asked (key TEXT PRIMARY KEY, part INTEGER) WITHOUT ROWID;
"""


@pytest.fixture
def notebook(notebook: OfflineShell, quick_batches: None, monkeypatch: pytest.MonkeyPatch) -> OfflineShell:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.02)
    notebook.server.script = None
    return notebook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the store, in its folder."""
    (tmp_path / "claude_magic").mkdir(mode=0o700)
    return tmp_path / "claude_magic" / "maps.sqlite"


def forgotten(path: Path) -> list[str]:
    """Delete all answers of a store, and return their keys."""
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        keys = [key for (key,) in file.execute("SELECT key FROM answers")]
        file.execute("DELETE FROM answers")
    return keys


def refuse(path: Path, table: str, change: str) -> None:
    """Have the file refuse a change, as a full disk does."""
    Results(path).close()
    with closing(sqlite3.connect(path)) as file:
        refusal = "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        file.execute(f"CREATE TRIGGER full_{table} BEFORE {change} ON {table} {refusal}")


def lift(path: Path) -> None:
    """Have the file take all changes again."""
    with closing(sqlite3.connect(path)) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            file.execute(f"DROP TRIGGER {name}")


def locked(path: Path, how: str) -> sqlite3.Connection:
    """Another program's connection that holds a lock on the file."""
    Results(path).close()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute(f"PRAGMA locking_mode={how}")
    other.execute("BEGIN EXCLUSIVE")
    return other


FAULTS: dict[str, Callable[[Path], Any]] = {
    "full at the answers": lambda path: refuse(path, "answers", "INSERT"),
    "full at the claims": lambda path: refuse(path, "claimed", "INSERT"),
    "locked against writing": lambda path: locked(path, "NORMAL"),
    "locked against all": lambda path: locked(path, "EXCLUSIVE"),
    "a folder in its place": lambda path: path.mkdir(),
    "of a newer version": lambda path: sqlite3.connect(path).execute("PRAGMA user_version=99"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.slow
def test_a_fault_of_the_store_ends_no_map_and_costs_nothing_twice(
    notebook: OfflineShell, path: Path, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    held = FAULTS[fault](path)
    try:
        for _ in range(2):
            result = notebook.map(f"range({ROWS})", "Say {{item}}")
            assert result["error"].isna().all() and len(notebook.server.requests) == ROWS
            said = capsys.readouterr().out
            if fault != "full at the claims":
                assert said.count("The answers cannot be kept on disk") == said.count(str(path)) == 1
        assert sum(len(turn.calls) for turn in notebook.kernel.session.spent) == ROWS
    finally:
        if isinstance(held, sqlite3.Connection):
            held.close()
    if fault.startswith(("full", "locked")):  # once it takes them, all are kept, and nothing is left to be said
        lift(path)
        notebook.map(f"range({ROWS})", "Say {{item}}")
        assert "cannot be kept" not in capsys.readouterr().out
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("SELECT count(*) FROM answers").fetchone() == (ROWS,)
        assert len(notebook.server.requests) == ROWS


@pytest.mark.slow
def test_a_fault_in_the_middle_loses_nothing(notebook: OfflineShell, path: Path) -> None:
    asked: list[Any] = []

    def script(body: dict[str, Any]) -> Any:
        asked.append(body)
        if len(asked) == ROWS // 2:
            refuse(path, "answers", "INSERT")
        return None

    notebook.server.script = script
    for _ in range(2):
        result = notebook.map(f"range({ROWS}) --concurrency 1", "Say {{item}}")
        assert result["error"].isna().all() and len(asked) == ROWS
    assert sum(len(turn.calls) for turn in notebook.kernel.session.spent) == ROWS


@pytest.mark.slow
def test_what_is_no_store_is_set_aside_and_said_once(
    notebook: OfflineShell, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, wrong in enumerate([b"no database " * 100, None]):
        with suppress(FileNotFoundError):
            path.unlink()
        if wrong is None:
            with closing(sqlite3.connect(path)) as file:
                file.execute("CREATE TABLE answers (what TEXT, else_ TEXT)")
        else:
            path.write_bytes(wrong)
        before = path.read_bytes()
        assert notebook.map(f"range({ROWS})", f"Say {{{{item}}}} {number}")["error"].isna().all()
        assert capsys.readouterr().out.count("is not a store of answers; it is set aside as") == 1
        assert before in [each.read_bytes() for each in path.parent.glob("maps.2*.sqlite")]
        notebook.map(f"range({ROWS})", f"Say {{{{item}}}} {number}")
        assert len(notebook.server.requests) == (number + 1) * ROWS
    assert "set aside" not in capsys.readouterr().out


@pytest.mark.parametrize("tables", [OLD_TABLES, OLD_TABLES.replace("data TEXT", "at REAL, data TEXT, more TEXT")])
@pytest.mark.slow
def test_a_store_of_an_older_version_is_brought_up_with_what_is_in_it(
    notebook: OfflineShell, path: Path, tables: str
) -> None:
    notebook.map(f"range({ROWS})", "Say {{item}}")
    with closing(sqlite3.connect(path)) as file:
        kept = file.execute("SELECT key, data FROM answers").fetchall()
    for each in path.parent.glob("maps.*"):
        each.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.executescript(tables)
        file.executemany("INSERT INTO answers (key, data) VALUES (?, ?)", kept)
        file.execute("INSERT INTO parts (digest, created, count, model, batch) VALUES ('d', 1, 1, 'm', 'msgbatch_old')")
    notebook.map(f"range({ROWS})", "Say {{item}}")
    assert len(notebook.server.requests) == ROWS, "what was answered is not asked again"
    with closing(Results(path)) as results:
        assert [part.batch for part in results.open_parts()] == ["msgbatch_old"]
        assert results.fault == results.remark == ""


BATCH_FAULTS = {
    "at the id": ("parts", "UPDATE OF batch"),
    "at the answers": ("answers", "INSERT"),
    "at the end": ("parts", "UPDATE OF state"),
}


@pytest.mark.parametrize("step", BATCH_FAULTS)
def test_a_batch_whose_notes_fail_is_collected_and_neither_submitted_nor_counted_twice(
    notebook: OfflineShell, path: Path, step: str
) -> None:
    refuse(path, *BATCH_FAULTS[step])
    for lifted in (False, False, True):
        if lifted:
            lift(path)
        assert notebook.map(f"range({ROWS}) --batch", "Say {{item}}")["error"].isna().all()
        assert len(notebook.server.batches.all) == 1
    assert sum(len(turn.calls) for turn in notebook.kernel.session.spent) == ROWS
    with closing(Results(path)) as results:
        assert results.open_parts() == []


@pytest.mark.parametrize("fault", ["full", "a folder in its place"])
def test_a_batch_that_cannot_be_noted_is_not_sent(notebook: OfflineShell, path: Path, fault: str) -> None:
    if fault == "full":
        refuse(path, "parts", "INSERT")
    else:
        path.mkdir()
    with pytest.raises(UsageError, match=r"has to be noted on disk before it is sent.*Nothing was sent"):
        notebook.map(f"range({ROWS}) --batch", "Say {{item}}")
    assert notebook.server.batches.all == {} and "result" not in notebook.shell.user_ns


def test_what_nobody_foresaw_loses_nothing_of_the_ledger(
    notebook: OfflineShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Results, answers: list[RowAnswer]) -> None:
        if answers:
            raise ArithmeticError

    monkeypatch.setattr(Results, "keep", broken)
    with pytest.raises(ArithmeticError):
        notebook.map(f"range({ROWS}) --concurrency 1", "Say {{item}}")
    assert notebook.kernel.session.spent[-1].calls


def test_a_file_that_can_only_be_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.sqlite"
    with closing(Results(path)) as results:
        results.keep([RowAnswer("a", "yes", settled=True)])
    connect = sqlite3.connect

    def only_read(database: Any, *given: Any, **named: Any) -> sqlite3.Connection:
        """As SQLite opens a file without permission to write, which root always has."""
        return (
            connect(f"file:{database}?mode=ro", *given, uri=True, **named)
            if database == path
            else connect(database, *given, **named)
        )

    monkeypatch.setattr(sqlite3, "connect", only_read)
    with closing(sqlite3.connect(f"file:{path}", uri=True)) as file:
        file.execute("PRAGMA user_version=0")  # so that it would have to be brought up
    unkept = Unkept()
    with closing(Results(path, unkept=unkept)) as results:
        assert "readonly" in results.fault and results.found(["a"])["a"].text == "yes"
        results.keep([RowAnswer("b", "no", settled=True)])
        assert results.found(["b"])["b"].text == "no" and results.asked_by_others(["a"]) == set()
    assert [*unkept.answers] == ["b"] and "readonly" in unkept.line()


# Two maps at once


def test_a_claim_ends_with_its_map_or_its_process(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with closing(Results(path)) as mine, closing(Results(path)) as other:
        with mine.asking(["a", "b"]) as own, other.asking(["b", "c"]) as rest:
            assert (own, rest) == (["a", "b"], ["c"])
            assert other.asked_by_others(["a", "c", "d"]) == {"a", "c"}
        assert other.asked_by_others(["a", "b", "c"]) == set()
        with closing(sqlite3.connect(path)) as file:  # left behind by a kernel that was killed
            file.execute("INSERT INTO claimed VALUES ('a', 'dead')")
            file.commit()
        (left := tmp_path / "maps.asking.dead.sqlite").touch()
        os.utime(left, (0, 0))
        assert other.asked_by_others(["a"]) == set()
        with other.asking(["a"]) as own:
            assert own == ["a"]
    assert [each.name for each in tmp_path.iterdir() if "asking" in each.name] == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_map_that_waits_for_another_asks_what_that_one_has_not_answered(notebook: OfflineShell, path: Path) -> None:
    keys: list[str] = []
    with closing(Results(path)) as results:
        notebook.map("range(3)", "Say {{item}}")
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            keys += [key for (key,) in file.execute("SELECT key FROM answers ORDER BY at")]
            (kept,) = file.execute("SELECT data FROM answers WHERE key = ?", keys[:1]).fetchone()
            file.execute("DELETE FROM answers")
        begun, over = threading.Event(), threading.Event()

        def other() -> None:
            with closing(Results(path)) as its, its.asking(keys):
                begun.set()
                over.wait(30)
                its._file.execute("INSERT INTO answers VALUES (?, ?, ?)", (keys[0], time.time(), kept))

        thread = threading.Thread(target=other)
        thread.start()
        begun.wait(30)
        notebook.server.requests.clear()
        threading.Timer(0.3, over.set).start()
        assert notebook.map("range(4)", "Say {{item}}")["error"].isna().all()
        thread.join()
        assert len(notebook.server.requests) == 3, "the new row, and the two that the other map left"
        assert results.found(keys).keys() == set(keys)


def test_a_batch_of_rows_that_another_map_asks_is_not_sent(notebook: OfflineShell, path: Path) -> None:
    with closing(Results(path)) as results:
        notebook.map("range(3)", "Say {{item}}")
        keys = forgotten(path)
        with results.asking(keys[:2]), pytest.raises(UsageError, match="Another map asks 2 of these rows"):
            notebook.map("range(3) --batch", "Say {{item}}")
    assert notebook.server.batches.all == {}


@pytest.mark.slow
def test_waiting_for_another_map_can_be_interrupted(notebook: OfflineShell, path: Path) -> None:
    with closing(Results(path)) as results:
        notebook.map("range(3)", "Say {{item}}")
        keys = forgotten(path)
        with results.asking(keys):
            threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGINT)).start()
            with pytest.raises(ReplyInterrupted, match="Waiting for another map"):
                notebook.map("range(3)", "Say {{item}}")


# Batches


def test_of_two_kernels_with_the_same_cell_one_submits_and_one_pays(tmp_path: Path) -> None:
    mine, other = Results(tmp_path / "x.sqlite"), Results(tmp_path / "x.sqlite")
    part = mine.intend("digest", ["a", "b"], "offline", MODEL)
    assert part is not None and other.intend("digest", ["b", "c"], "offline", MODEL) is None
    assert other.intend("digest", ["c"], "offline", MODEL) is not None
    assert [mine.close_part(part), other.close_part(part)] == [True, False]


def test_while_one_kernel_submits_another_waits_and_a_dead_one_is_waited_for_by_none(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from claude_magic.mapping.store import Results\n"
        "with Results(Path(sys.argv[1])).submitting(print): print('in', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "x.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stdout.readline() == "in\n"
    waits = []

    def wait() -> None:
        waits.append(1)
        child.kill()
        child.wait()

    with Results(path).submitting(wait):
        pass
    assert waits == [1]


def test_the_file_is_bounded_and_what_a_batch_under_way_brought_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(path := tmp_path / "x.sqlite")
    results.keep(RowAnswer(f"old {number}", "x" * 1_000, settled=True) for number in range(300))
    part = results.intend("digest", ["a"], "offline", MODEL)
    results.keep(RowAnswer(f"new {number}", "x" * 1_000, settled=True) for number in range(300))
    results.close()
    old, new = [f"old {number}" for number in range(300)], [f"new {number}" for number in range(300)]
    monkeypatch.setattr(store, "MAX_ANSWERS_BYTES", path.stat().st_size - 100_000)
    monkeypatch.setattr(store, "_KEYS_PER_QUERY", 50)
    results = Results(path)
    assert 0 < len(results.found(old)) < 300 and len(results.found(new)) == 300
    monkeypatch.setattr(store, "MAX_ANSWERS_BYTES", 10_000)
    results.close()
    results = Results(path)
    assert not results.found(old) and len(results.found(new)) == 300
    assert part is not None and results.close_part(part)
    results.close()
    assert not Results(path).found(new)


def test_results_are_taken_over_whole_or_not_at_all(tmp_path: Path) -> None:
    results = Results(tmp_path / "x.sqlite")
    part = results.intend("digest", ["a", "b"], "offline", MODEL)

    def broken() -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        results.close_part(part, broken())
    assert results.open_parts() == [part] and set(results.under_way(["a", "b"])) == {"a", "b"}
