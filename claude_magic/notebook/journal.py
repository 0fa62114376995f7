"""Replies as they arrive, in files of their own, so that a page or a kernel that dies loses none that was paid for.

One file a turn, in Jupyter's data folder, readable by its owner only, one JSON object a line: a head, the
draft (the turn with its prompt only), each event of the reply, its end, and later why the turn is no longer
wanted. Each line goes to the operating system at once: what killed the kernel does not undo it. A journal that
cannot be written never costs a reply: `Writer.failed` says so. What is read back is data, checked like a notebook's.
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
# A file that was written to more recently than this may still be: it is never pruned.
LIVE_SECONDS = 3_600
MAX_HEAD_BYTES = 65_536
TAIL_BYTES = 8_192

Why = Literal["deleted", "undone", ""]

# Without white space; in ASCII, so that half a character can be in no line.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_CALL_FACTS = ("request_id", "started", "first_token", "seconds", "provider", "replayed")
_TURN_FIELDS = frozenset(field.name for field in fields(Turn))
# What data of a wrong type, shape or depth can raise where it is used.
_MISFITS = (TypeError, ValueError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Entry:
    """What the journal knows of a turn, its content aside.

    `page` is the frontend's session and `kernel` the kernel that asked; `run` tells runs of a cell apart.
    `created` is in seconds since the epoch. `begun` says whether any event arrived, `ended` whether the kernel
    lived to see the reply's end, `dismissed` why the turn is no longer wanted (empty where it is).
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
    """One kernel's view of the journal, which all kernels of a person share."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder` is where the files are: by default, in Jupyter's data folder."""
        self.kernel = uuid.uuid4().hex
        self._given = folder
        self._pruned = float("-inf")

    @cached_property
    def folder(self) -> Path:
        """Where the files are: a folder for each notebook."""
        return self._given or journal_folder()

    def begin(
        self, draft: Turn, *, notebook: Path | None, page: str, model: str, provider: str, run: str = ""
    ) -> Writer:
        """A file for a turn that is about to be asked; `draft` has only the prompt. Never raises for a file's sake."""
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
        """Note that turns are no longer wanted, whichever kernel asked them; an empty `why` takes it back."""
        names = [_name(turn_id) for turn_id in turn_ids]
        line = f"{_encode({'dismissed': why})}\n".encode()
        for folder in _folders(self.folder) if names else ():
            for name in names:
                with suppress(OSError), FileIO(folder / name, "r+b", opener=private) as file:
                    _append(file, line)

    def prune(self, now: float) -> None:
        """Remove what is too old, and the oldest of what is too much; `now` is in seconds since the epoch."""
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
        """The turns that were asked in a notebook, newest last; damaged files are passed over.

        `cells` are the ids of its cells: turns that they asked while the notebook's name was not known, or was
        one under which there is no file any more, are among them.
        """
        home = self._folder_of(notebook)
        found = _entries(home)
        for folder in _folders(self.folder) if cells else ():
            if folder != home:
                found += [entry for entry in _entries(folder) if entry.cell_id in cells and _is_adrift(entry)]
        return sorted(found, key=lambda entry: entry.created)

    def _folder_of(self, notebook: Path | None) -> Path:
        return journal_folder_of(notebook, self.folder)


class Writer:
    """One turn's file, as its reply arrives. `failed` says in words why it is not, or no longer, written."""

    def __init__(self, path: Path, head: Mapping[str, Any], prompt: Mapping[str, Any]) -> None:
        """Create the file. `head` is the line that `entries` reads, `prompt` the draft and whom it is put to."""
        self.failed = ""
        self._file: FileIO | None = None
        self._begun = False
        self._since = time.monotonic()
        try:
            line = _encode(prompt)
            make_private(path.parent)
            self._file = FileIO(path, "xb", opener=private)
        except (OSError, *_MISFITS) as error:
            self._fail(error)
        else:
            # With its length, nobody needs to read a prompt of many megabytes to see what comes after it.
            self._write({**head, "prompt_bytes": len(line) + 1})
            self._write(prompt)

    def redraft(self, draft: Turn) -> None:
        """The request changed, and is sent once more: note what its reply is bound to."""
        self._write({"draft": _changing(draft)})

    def add(self, event: Any) -> None:
        """Write an event down, as it came."""
        self._write({"event": event, "at": round(time.monotonic() - self._since, 3)})
        self._begun = True

    def end(self, turn: Turn) -> None:
        """The reply has ended, whole or not: write the facts of its call down, and close the file."""
        call = turn.calls[-1]
        self._write({"end": {name: getattr(call, name) for name in _CALL_FACTS}, "draft": _changing(turn)})
        self.close()

    def close(self) -> None:
        """Nothing more comes. A question that got no answer leaves no file."""
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
            while line:  # a disk that is nearly full takes a part
                line = line[self._file.write(line) :]
        except (OSError, *_MISFITS) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        why = error.strerror if isinstance(error, OSError) else "it is not plain JSON"
        self.failed = f"not in the recovery journal: {why or type(error).__name__}"
        self.close()


def turn_of(entry: Entry) -> Turn:
    """The turn as its session would have made it of what arrived: complete, refused, or interrupted.

    Without the reply's end, its times are those of its events, from the moment it was asked. Raises `DamagedRecord`.
    """
    try:
        return _Reading(entry).turn()
    except DamagedRecord:
        raise
    except OSError as error:
        raise DamagedRecord(f"it cannot be read ({error.strerror})") from None
    except _MISFITS as error:
        raise DamagedRecord(f"it is not as it should be ({type(error).__name__})") from None


def missing(
    entries: Iterable[Entry], *, saved_ids: Set[str], saved_cells: Mapping[str, float], kernel: str, page: str
) -> list[Entry]:
    """Which replies a notebook does not have, oldest first.

    `saved_ids` are the turns in its file; `saved_cells` says when the newest turn of each cell there was made, in
    seconds since the epoch. What `kernel` shows on `page` is only not saved yet. Of each cell its newest run counts,
    for it replaced the others, but one that was undone has stepped back; a turn of which no event came cost nothing.
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
    """From the lines of a file to a turn."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._accumulator = Accumulator()
        self._calls: list[Call] = []  # those that came to their end, and after which another began
        self._whole: Call | None = None  # the last one, if it came to its end
        self._draft: dict[str, Any] = {}
        self._attached: dict[str, Any] = {}  # as the record has it
        self._asked: dict[str, Any] = {}
        self._facts: dict[str, Any] = {"started": entry.created, "first_token": None, "seconds": 0.0}
        self._unreadable = False

    def turn(self) -> Turn:
        for line in _lines(self._entry.path):
            self._read(line)
        draft = Turn(**{**self._draft, "calls": ()})
        known = (self._entry.turn_id, self._entry.cell_id, self._entry.chat)
        if (draft.id, draft.cell_id, draft.chat) != known:
            raise DamagedRecord("its head is another turn's")
        reply = self._accumulator.reply()
        data = {**as_data(concluded(draft, reply, *self._calls, self._call())), **self._attached}
        return record_of({"version": record.VERSION, "turn": data}).turns[0]

    def _call(self) -> Call:
        if self._whole is not None:
            return replace(self._whole, **self._facts)
        return call_of(self._accumulator.reply(), model=self._asked["model"], **self._facts)

    def _read(self, line: Mapping[str, Any]) -> None:
        if "draft" in line:
            self._draft.update({name: value for name, value in line["draft"].items() if name in _TURN_FIELDS})
            self._attached |= {name: value for name, value in line["draft"].items() if name == "along"}
        if "model" in line:
            self._asked = {"model": line["model"]}
            self._facts["provider"] = line["provider"]
        if "event" in line:
            self._add(line["event"], line["at"])
        if "end" in line:
            self._facts.update({name: value for name, value in line["end"].items() if name in _CALL_FACTS})

    def _add(self, event: Any, at: float) -> None:
        """Where a reply became unreadable, the session stopped, too."""
        if self._unreadable:
            return
        if event.get("type") == "message_start" and self._whole is not None:  # a tool was run, or the reply paused
            self._calls.append(self._whole)
            self._whole = None
            self._facts.update(started=self._entry.created + at, first_token=None)
        try:
            self._accumulator.add(event)
        except StreamError:
            self._unreadable = True
        self._facts["seconds"] = at
        if self._facts["first_token"] is None and self._accumulator.visible:
            self._facts["first_token"] = at
        if self._accumulator.complete and self._whole is None:
            self._whole = self._call()


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The lines after the head. One that was cut off, when the kernel was killed or the disk was full, is left out."""
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
        with suppress(OSError, *_MISFITS), path.open("rb") as file:
            found.append(_entry(path, file))
    return found


def _entry(path: Path, file: BinaryIO) -> Entry:
    """What a file's head and tail say. Raises one of `_MISFITS` where it is damaged."""
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
    """What was written after the last event."""
    file.seek(max(0, size - TAIL_BYTES))
    found: dict[str, Any] = {}
    for line in file.read(TAIL_BYTES).split(b"\n"):  # the first may be the end of a longer one, and is then no JSON
        if line.startswith((b'{"end"', b'{"dismissed"')):
            found.update(_json(line) or {})
    return found


def _same_run(entry: Entry, newest: Entry) -> bool:
    """Whether two turns are of the same run of their cell: it may ask several times."""
    if not entry.run:
        return entry is newest
    return (entry.kernel, entry.run) == (newest.kernel, newest.run)


def _is_adrift(entry: Entry) -> bool:
    """Whether no notebook stands where the entry was asked: it has been renamed, or its name was not known."""
    return entry.notebook is None or not os.path.exists(entry.notebook)


def _changing(turn: Turn) -> dict[str, Any]:
    """What can become of a draft until its reply is there."""
    return {"prefix": turn.prefix, "notes": list(turn.notes)}


def _append(file: FileIO, line: bytes) -> None:
    """Add a line, on a line of its own even where the last one was cut off."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 1))
    file.write(line if file.read(1) == b"\n" else b"\n" + line)


def _folders(folder: Path) -> list[Path]:
    try:
        return [each for each in folder.iterdir() if each.is_dir()]
    except OSError:
        return []


def _sizes(folder: Path) -> Iterator[tuple[Path, float, int]]:
    """Each file, when it was last written to (seconds since the epoch), and its size in bytes."""
    for path in (path for each in _folders(folder) for path in each.glob("*.jsonl")):
        with suppress(OSError):  # another kernel prunes, too
            found = path.stat()
            yield path, found.st_mtime, found.st_size


def make_private(folder: Path) -> None:
    """Make a folder, and those above it, for their owner only."""
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def private(path: str, flags: int) -> int:
    """Open a file that from its first moment only its owner can read; each write goes to its end."""
    return os.open(path, flags | os.O_APPEND, 0o600)


def _name(turn_id: str) -> str:
    """A turn's file: an id can come from a stranger's notebook, and is no file name."""
    return f"{digest(turn_id)}.jsonl"
