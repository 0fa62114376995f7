"""The recovery journal: replies on disk as they arrive, so that a lost page or kernel loses no reply that was paid for.

One file per turn, in Jupyter's data folder, readable by its owner only, one JSON object per line: a head, the
draft (the turn with only its prompt), each event of the reply, its end, and later why the turn is no longer
wanted. Each line is written unbuffered, so that it survives the kernel's death. A journal that cannot be written
never fails a reply: `Writer.failed` has the reason. What is read back is checked like a notebook's records.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, Literal

from ..conversation import record
from ..conversation.accumulator import Accumulator, call_of, concluded
from ..conversation.record import DamagedRecord, as_data, record_of
from ..conversation.record_schema import MAX_SECONDS
from ..conversation.turns import Call, Turn
from ..errors import StreamError
from .lookup import digest, journal_folder, journal_folder_of

VERSION = 1
MAX_AGE_SECONDS = 30 * 86_400
MAX_JOURNAL_BYTES = 200_000_000
MAX_FILE_BYTES = 100_000_000
# A file written to more recently than this may still be growing: it is never pruned.
LIVE_SECONDS = 3_600
MAX_HEAD_BYTES = 65_536
TAIL_BYTES = 8_192

Why = Literal["deleted", "undone", ""]

# No white space; ASCII, so that a lone surrogate can be written.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_CALL_FACTS = ("request_id", "started", "first_token", "seconds", "provider", "replayed")
_TURN_FIELDS = frozenset(field.name for field in fields(Turn))
# Errors that data of a wrong type, shape or depth can raise where it is used.
_DATA_ERRORS = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Entry:
    """One turn in the journal, without its content.

    `page` is the frontend's session id, `kernel` the id of the kernel that asked; `run` distinguishes runs of a cell.
    `created` is in seconds since the epoch. `begun` says whether any event arrived, `ended` whether the end of the
    reply was written, `dismissed` why the turn is no longer wanted (empty where it is).
    """

    turn_id: str
    cell_id: str | None
    chat: str
    notebook: Path | None
    page: str
    kernel: str
    run: str
    created: float
    begun: bool
    ended: bool
    dismissed: str
    path: Path


class Journal:
    """The journal as one kernel uses it; all kernels of a user share its files."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is the journal's folder; by default, one in Jupyter's data folder."""
        self.kernel = uuid.uuid4().hex
        self._given = folder
        self._pruned = float("-inf")

    @cached_property
    def folder(self) -> Path:
        """The journal's folder, with one folder per notebook."""
        return self._given or journal_folder()

    def begin(
        self, draft: Turn, *, notebook: Path | None, page: str, model: str, provider: str, run: str = ""
    ) -> Writer:
        """Create the file of a turn that is about to be asked; `draft` has only the prompt. Failures raise nothing."""
        now = time.time()
        if now - self._pruned >= LIVE_SECONDS:
            self._pruned = now
            self.prune(now)
        prompt = {"draft": as_data(draft), "model": model, "provider": provider}
        head = {
            "version": VERSION,
            "turn": draft.id,
            "cell_id": draft.cell_id,
            "chat": draft.chat,
            "notebook": None if notebook is None else os.path.realpath(notebook),
            "page": page,
            "kernel": self.kernel,
            "run": run,
            "created": draft.created,
        }
        return Writer(self._folder_of(notebook) / _name(draft.id), head, prompt)

    def dismiss(self, turn_ids: Iterable[str], why: Why) -> None:
        """Mark turns, of any kernel, as no longer wanted; an empty `why` removes the mark."""
        names = [_name(turn_id) for turn_id in turn_ids]
        line = f"{_encode({'dismissed': why})}\n".encode()
        for folder in _folders(self.folder) if names else ():
            for name in names:
                with suppress(OSError), FileIO(folder / name, "r+b", opener=private) as file:
                    _append(file, line)

    def prune(self, now: float) -> None:
        """Delete files that are too old, and the oldest beyond the size limit; `now` is in seconds since the epoch."""
        found = sorted(_sizes(self.folder), key=lambda each: each[1])
        total = sum(size for _, _, size in found)
        for path, written, size in found:
            too_old = written < now - MAX_AGE_SECONDS
            if written > now - LIVE_SECONDS or not (too_old or total > MAX_JOURNAL_BYTES):
                return
            with suppress(OSError):
                path.unlink()
            total -= size

    def entries(self, notebook: Path | None, cells: Set[str] = frozenset()) -> list[Entry]:
        """The turns that were asked in a notebook, newest last; damaged files are skipped.

        `cells` are the ids of its cells: their turns are also found if the notebook's path was unknown when they were
        asked, or no longer exists.
        """
        home = self._folder_of(notebook)
        found = _entries(home)
        for folder in _folders(self.folder) if cells else ():
            if folder != home:
                found += [entry for entry in _entries(folder) if entry.cell_id in cells and _lost_its_notebook(entry)]
        return sorted(found, key=lambda entry: entry.created)

    def _folder_of(self, notebook: Path | None) -> Path:
        return journal_folder_of(notebook, self.folder)


class Writer:
    """Writer of one turn's file as its reply arrives. `failed` says why nothing (more) is written; empty if all is."""

    def __init__(self, path: Path, head: Mapping[str, Any], prompt: Mapping[str, Any]) -> None:
        """Create the file. `head` is the line that `entries` reads, `prompt` the draft with its model and provider."""
        self.failed = ""
        self._file: FileIO | None = None
        self._begun = False
        self._since = time.monotonic()
        try:
            line = _encode(prompt)
            make_private(path.parent)
            self._file = FileIO(path, "xb", opener=private)
        except (OSError, *_DATA_ERRORS) as error:
            self._fail(error)
        else:
            # With the prompt's length, a reader can skip a prompt of many megabytes.
            self._write({**head, "prompt_bytes": len(line) + 1})
            self._write(prompt)

    def redraft(self, draft: Turn) -> None:
        """Write the changed prefix and notes of a request that is sent once more."""
        self._write({"draft": _changeable(draft)})

    def add(self, event: Any) -> None:
        """Write an event, unchanged."""
        self._write({"event": event, "at": round(time.monotonic() - self._since, 3)})
        self._begun = True

    def end(self, turn: Turn) -> None:
        """Write the facts of the last call of a reply that has ended, complete or not, and close the file."""
        call = turn.calls[-1]
        self._write(
            {
                "end": {name: getattr(call, name) for name in _CALL_FACTS},
                "draft": {**_changeable(turn), "seconds": turn.seconds},
            }
        )
        self.close()

    def close(self) -> None:
        """Close the file; delete it if no event arrived."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with suppress(OSError):
            file.close()
        if not self._begun:
            with suppress(OSError):
                os.unlink(file.name)

    def _write(self, data: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        try:
            line = f"{_encode(data)}\n".encode()
            while line:  # a nearly full disk may take only a part
                line = line[self._file.write(line) :]
        except (OSError, *_DATA_ERRORS) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else "it is not plain JSON"
        self.failed = f"not in the recovery journal: {why or type(error).__name__}"
        self.close()


def turn_of(entry: Entry) -> Turn:
    """The turn as its session would have made it from the same events: complete, refused, or interrupted.

    Without the reply's end, times are taken from its events. Raises `DamagedRecord`.
    """
    try:
        return _Reading(entry).turn()
    except DamagedRecord:
        raise
    except OSError as error:
        raise DamagedRecord(f"it cannot be read ({error.strerror})") from None
    except _DATA_ERRORS as error:
        raise DamagedRecord(f"it is not as it should be ({type(error).__name__})") from None


def missing(
    entries: Iterable[Entry], *, saved_ids: Set[str], saved_cells: Mapping[str, float], kernel: str, page: str
) -> list[Entry]:
    """The replies that are missing from a notebook's file, oldest first.

    `saved_ids` are the turns in the file; `saved_cells` has the creation time of each cell's newest turn there, in
    seconds since the epoch. Replies that `kernel` asked on `page` are left out: they are on the screen, and not saved
    yet. Of each cell only the newest run that was not undone counts, since it replaced the others; turns without any
    event cost nothing and are left out.
    """
    received = sorted(
        (entry for entry in entries if entry.begun and entry.dismissed != "undone"), key=lambda entry: entry.created
    )
    newest = {entry.cell_id: entry for entry in received}
    return [
        entry
        for entry in received
        if (entry.cell_id is None or _same_run(entry, newest[entry.cell_id]))
        and not entry.dismissed
        and entry.turn_id not in saved_ids
        and entry.created > saved_cells.get(entry.cell_id or "", float("-inf"))
        and not (entry.kernel == kernel and entry.page == page)
    ]


class _Reading:
    """Reader that folds the lines of a file into a turn."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._accumulator = Accumulator()
        self._calls: list[Call] = []  # complete calls that another call followed
        self._complete_call: Call | None = None  # the last call, if it is complete
        self._draft: dict[str, Any] = {}
        self._attached: dict[str, Any] = {}  # as the record has it
        self._request: dict[str, Any] = {}
        self._facts: dict[str, Any] = {"started": entry.created, "first_token": None, "seconds": 0.0}
        self._unreadable = False

    def turn(self) -> Turn:
        for line in _lines(self._entry.path):
            self._read(line)
        draft = Turn(**{**self._draft, "calls": ()})
        expected = (self._entry.turn_id, self._entry.cell_id, self._entry.chat)
        if (draft.id, draft.cell_id, draft.chat) != expected:
            raise DamagedRecord("its head is another turn's")
        reply = self._accumulator.reply(whole=True)  # the reader asks for what was lost, and it is all valid
        data = {**as_data(concluded(draft, reply, *self._calls, self._call())), **self._attached}
        return record_of({"version": record.VERSION, "turn": data}).turns[0]

    def _call(self) -> Call:
        if self._complete_call is not None:
            return replace(self._complete_call, **self._facts)
        return call_of(self._accumulator.reply(), model=self._request["model"], **self._facts)

    def _read(self, line: Mapping[str, Any]) -> None:
        if "draft" in line:
            self._draft.update({name: value for name, value in line["draft"].items() if name in _TURN_FIELDS})
            self._attached |= {name: value for name, value in line["draft"].items() if name == "along"}
        if "model" in line:
            self._request = {"model": line["model"]}
            self._facts["provider"] = line["provider"]
        if "event" in line:
            self._add(line["event"], line["at"])
        if "end" in line:
            self._facts.update({name: value for name, value in line["end"].items() if name in _CALL_FACTS})

    def _add(self, event: Any, at: float) -> None:
        """Add an event. After an unreadable one, the rest is ignored: there the session stopped as well."""
        if self._unreadable:
            return
        if (
            event.get("type") == "message_start" and self._complete_call is not None
        ):  # a tool was run, or the reply paused
            self._calls.append(self._complete_call)
            self._complete_call = None
            self._facts.update(started=self._entry.created + at, first_token=None)
        try:
            self._accumulator.add(event)
        except StreamError:
            self._unreadable = True
        self._facts["seconds"] = at
        if self._facts["first_token"] is None and self._accumulator.visible:
            self._facts["first_token"] = at
        if self._accumulator.complete and self._complete_call is None:
            self._complete_call = self._call()


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines after the head. A last line that was cut off (kernel killed, disk full) is left out."""
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise DamagedRecord(f"it has more than {MAX_FILE_BYTES:,} bytes")
    cut_off = False
    for line in content.split(b"\n")[1:]:
        data = _json(line)
        if data is None:
            cut_off = cut_off or bool(line)
        elif cut_off and "dismissed" not in data:
            raise DamagedRecord("a line of it is unreadable")
        else:
            yield data


def _json(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _entries(folder: Path) -> list[Entry]:
    found = []
    for path in folder.glob("*.jsonl"):
        with suppress(OSError, *_DATA_ERRORS), path.open("rb") as file:
            found.append(_entry(path, file))
    return found


def _entry(path: Path, file: BinaryIO) -> Entry:
    """The entry from a file's head and tail. Raises one of `_DATA_ERRORS` where the file is damaged."""
    line = file.readline(MAX_HEAD_BYTES)
    head = json.loads(line)
    if head["version"] != VERSION or not 0 <= head["created"] <= MAX_SECONDS:
        raise ValueError(head["version"])
    texts = {name: head[name] for name in ("chat", "page", "kernel", "run")}
    if not all(isinstance(text, str) for text in (head["turn"], *texts.values())):
        raise TypeError("a name")
    if not all(isinstance(text, str | None) for text in (head["cell_id"], head["notebook"])):
        raise TypeError("a name")
    size = os.fstat(file.fileno()).st_size
    file.seek(min(len(line) + head["prompt_bytes"], size))
    first = file.readline()
    tail = _tail(file, size)
    return Entry(
        turn_id=head["turn"],
        cell_id=head["cell_id"],
        notebook=None if head["notebook"] is None else Path(head["notebook"]),
        created=head["created"],
        begun=first.startswith(b'{"event"') and first.endswith(b"\n"),
        ended="end" in tail,
        dismissed=str(tail.get("dismissed", "")),
        path=path,
        **texts,
    )


def _tail(file: BinaryIO, size: int) -> dict[str, Any]:
    """The fields written after the last event: `end`, `dismissed`."""
    file.seek(max(0, size - TAIL_BYTES))
    found: dict[str, Any] = {}
    for line in file.read(TAIL_BYTES).split(b"\n"):  # the first may be the end of a longer one, and is then no JSON
        if line.startswith((b'{"end"', b'{"dismissed"')):
            found.update(_json(line) or {})
    return found


def _same_run(entry: Entry, newest: Entry) -> bool:
    """Whether two turns belong to the same run of their cell, which may ask several times."""
    if not entry.run:
        return entry is newest
    return (entry.kernel, entry.run) == (newest.kernel, newest.run)


def _lost_its_notebook(entry: Entry) -> bool:
    """Whether the entry's notebook is unknown, or its path no longer exists (it was renamed or deleted)."""
    return entry.notebook is None or not os.path.exists(entry.notebook)


def _changeable(turn: Turn) -> dict[str, Any]:
    """The fields of a draft that may change before its reply is complete."""
    return {"prefix": turn.prefix, "notes": list(turn.notes)}


def _append(file: FileIO, line: bytes) -> None:
    """Append a line; start a new line first if the last one was cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    file.write(line if file.read(1) == b"\n" else b"\n" + line)


def _folders(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []


def _sizes(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Each file with its modification time (seconds since the epoch) and its size in bytes."""
    for path in (path for each in _folders(folder) for path in each.glob("*.jsonl")):
        with suppress(OSError):  # another kernel may delete it meanwhile
            found = path.stat()
            yield path, found.st_mtime, found.st_size


def make_private(folder: Path) -> None:
    """Create a folder, and missing ones above it, accessible by the owner only."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def private(path: str, flags: int) -> int:
    """Opener of files that only the owner can read, from their creation on; writes append."""
    return os.open(path, flags | os.O_APPEND, 0o600)


def _name(turn_id: str) -> str:
    """The file name of a turn: a digest, since an id may come from somebody else's notebook."""
    return f"{digest(turn_id)}.jsonl"
