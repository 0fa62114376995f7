"""Reader of a notebook's file: the turns, pins, system prompts and maps that its outputs carry.

Each record is checked (`conversation/record.py`); a damaged one is skipped, with a line that says which. What is of
nbformat 4 is read as the JSON that it is, since importing `nbformat` takes a second where Jupyter's server is installed
as well; `nbformat` brings up what is older.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..conversation import document_files
from ..conversation.record import DamagedRecord, Record, canonical_base64, digest_of, record_of
from ..conversation.turns import Pin, SystemPrompt, Turn
from ..errors import UsageError
from . import files
from .lookup import MAX_NOTEBOOK_BYTES, RECORD_MARK, content_of

if TYPE_CHECKING:
    from ..conversation.map_run import Mapped


# MIME types whose data is JSON, lists of texts included.
_JSON = re.compile(r"^application/(json$|.+\+json$)")
# Reading so many takes seconds and half a gigabyte; no notebook that people make has them.
MAX_OBJECTS = 5_000_000


@dataclass(frozen=True)
class Shown:
    """A turn that a cell shows; `cell` is the cell's position in the notebook, from 1."""

    cell: int
    turn: Turn


@dataclass(frozen=True)
class UnnamedCell:
    """A cell without an id in the file: its source, and the id that Colab keeps in its metadata (empty without)."""

    source: str
    other_id: str = ""


@dataclass(frozen=True)
class Saved:
    """The records of a notebook's file.

    `turns` are those of the conversations, in cell order, each with the id of the cell that it stands in. `shown` are
    all turns that cells show as their own, those with `--once` included; `guests` are those that another cell brought
    back. `skipped` has a line for each damaged record; `cells` are the ids of all cells, in order; `pins` are pins made
    or taken away, and `systems` the chats' system prompts, each with its cell. `compared` has, for each cell that
    compared models, its turns, its own first. `mapped` are the maps, each once, with the position (from 1) of the
    cell that shows it. `gone` are the paths of documents that are missing or have changed. `unnamed` has, by their ids,
    the turns whose cell has no id.
    """

    turns: tuple[Turn, ...] = ()
    shown: tuple[Shown, ...] = ()
    guests: tuple[Turn, ...] = ()
    skipped: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()
    pins: tuple[Pin, ...] = ()
    systems: tuple[SystemPrompt, ...] = ()
    compared: tuple[tuple[Turn, ...], ...] = ()
    mapped: tuple[tuple[int, Mapped], ...] = ()
    gone: tuple[str, ...] = ()
    unnamed: Mapping[str, UnnamedCell] = field(default_factory=dict)

    @property
    def recorded(self) -> list[Turn]:
        """All turns recorded in the file."""
        compared = (turn for turns in self.compared for turn in turns)
        return [*(each.turn for each in self.shown), *compared, *self.guests]

    @property
    def paid(self) -> tuple[Shown, ...]:
        """The turns that cells show, and those of the other models where a cell compared some."""
        cells = {each.turn.id: each.cell for each in self.shown}
        others = {
            turn.id: Shown(cells[own.id], turn)
            for own, *rest in self.compared
            if own.id in cells
            for turn in rest
            if turn.id not in cells
        }
        return (*self.shown, *others.values())


def read(path: Path) -> Saved:
    """Read the records of a notebook's file. Raises `UsageError` where it cannot be read as a notebook."""
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= MAX_NOTEBOOK_BYTES else b""
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path} cannot be read: {why}.") from None
    if size > MAX_NOTEBOOK_BYTES:
        raise UsageError(f"{path} cannot be read: it has {size:,} bytes.")
    if not RECORD_MARK.search(content):
        return Saved()
    objects = content.count(b"{") + content.count(b"[")
    if objects > MAX_OBJECTS:
        raise UsageError(f"{path} cannot be read as a notebook: it has {objects:,} objects and lists.")
    return _Reading(_cells(path, content), path.parent).saved()


def cells(path: Path) -> list[Mapping[str, Any]]:
    """The cells of a notebook's file, in nbformat 4. Raises `UsageError` where it cannot be read as a notebook."""
    return _cells(path, content_of(path))


def _cells(path: Path, content: bytes) -> list[Mapping[str, Any]]:
    with files.reading_notebook(path):
        text = content.decode("utf-8-sig")
        notebook = _parsed(text)
        if notebook.get("nbformat") != 4:
            notebook = _brought_up(text)
        cells = notebook.get("cells")
        if not isinstance(cells, list):
            raise ValueError("its cells are not a list")
    return [_joined(cell) if isinstance(cell, Mapping) else {} for cell in cells]


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def _brought_up(text: str) -> Mapping[str, Any]:
    """A notebook of an older format in nbformat 4."""
    import nbformat

    notebook = nbformat.convert(nbformat.reader.reads(text), 4)
    for cell in notebook["cells"]:
        cell.pop("id", None)  # made by the conversion, anew each time
    return dict(notebook)


def _joined(cell: Mapping[str, Any]) -> Mapping[str, Any]:
    """A cell with its texts in one piece: in a file each may be a list of lines."""
    joined = {name: _joined_text(value) if name == "source" else value for name, value in cell.items()}
    if isinstance(outputs := cell.get("outputs"), list):
        joined["outputs"] = [_joined_output(each) if isinstance(each, Mapping) else each for each in outputs]
    return joined


def _joined_output(output: Mapping[str, Any]) -> Mapping[str, Any]:
    joined = {name: _joined_text(value) if name == "text" else value for name, value in output.items()}
    if isinstance(data := output.get("data"), Mapping):
        joined["data"] = {kind: value if _JSON.search(kind) else _joined_text(value) for kind, value in data.items()}
    return joined


def _joined_text(value: Any) -> Any:
    is_lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "".join(value) if is_lines else value


class _Reading:
    """One pass over a notebook's cells, which assigns each recorded turn to its cell."""

    def __init__(self, cells: list[Mapping[str, Any]], folder: Path) -> None:
        self._cells = cells
        self._folder = folder
        self._skipped: list[str] = []
        self._gone: list[str] = []
        self._records = [list(self._read(number, cell)) for number, cell in enumerate(cells, 1)]
        # Before nbformat 4.5 cells have no ids in the file: use the id that the frontend had sent, from the record.
        self._ids = _ids(cells, self._records)

    def saved(self) -> Saved:
        own = self._own()
        shown = tuple(Shown(number, turn) for number, turns in enumerate(own, 1) for turn in turns)
        guests = self._seat_guests(own, {each.turn.id for each in shown})
        reset_times = self._reset_times()
        turns = [
            turn
            for each in own
            for turn in each
            if not turn.once and _is_usable(turn) and turn.created >= reset_times.get(turn.chat, 0)
        ]
        known = tuple(cell_id for cell_id in self._ids if cell_id)
        skipped, compared, gone = tuple(self._skipped), self._compared(), tuple(self._gone)
        held = (tuple(turns), shown, guests, skipped, known, *self._pins_and_systems(), compared, self._maps(), gone)
        return Saved(*held, self._unnamed(own))

    def _unnamed(self, own: list[list[Turn]]) -> dict[str, UnnamedCell]:
        placed = zip(self._cells, own, strict=True)
        return {turn.id: _unnamed(cell) for cell, turns in placed if _id(cell) is None for turn in turns}

    def _read(self, number: int, cell: Mapping[str, Any]) -> Iterator[Record]:
        for data in _metadata(cell):
            try:
                yield record_of(data, lambda digest: self._images.get(digest), self._document)
            except DamagedRecord as error:
                self._skipped.append(f"cell {number}: {error}")

    def _document(self, digest: str, path: str) -> str | None:
        """A document, as base64, from the file that it was read from, if that is unchanged; else `None`."""
        found = document_files.read(digest, path, self._folder)
        if found is None and path not in self._gone:
            self._gone.append(path)
        return found

    @cached_property
    def _images(self) -> dict[str, str]:
        """The notebook's images, as base64, by their SHA-256."""
        shown = [data for cell in self._cells for data in _images(cell)]
        return {digest_of(image): image for image in map(canonical_base64, shown) if image}

    def _own(self) -> list[list[Turn]]:
        """Each cell's own turns. A pasted copy of a cell has none until it runs: its records are the original's."""
        homes: dict[str, int] = {}
        at_home: set[str] = set()
        for at, records in enumerate(self._records):
            for turn in (turn for record in records if not record.guests for turn in record.turns):
                is_here = turn.cell_id is not None and turn.cell_id == self._ids[at]
                if turn.id not in homes or (is_here and turn.id not in at_home):
                    homes[turn.id] = at
                if is_here:
                    at_home.add(turn.id)
        own: list[list[Turn]] = [[] for _ in self._records]
        for at, records in enumerate(self._records):
            for turn in (turn for record in records if not record.guests for turn in record.turns):
                if homes.get(turn.id) == at:
                    del homes[turn.id]
                    own[at].append(dataclasses.replace(turn, cell_id=self._ids[at] or turn.cell_id))
        return own

    def _seat_guests(self, own: list[list[Turn]], seated: set[str]) -> tuple[Turn, ...]:
        """Assign turns that a cell brought back: to their own cell, in place of its turns unless those are newer, or,
        where their cell is gone, to the cell that brought them back. Returns these turns."""
        found: list[Turn] = []
        for at, records in enumerate(self._records):
            for record in (record for record in records if record.guests):
                for home, turns in self._by_home(record, at).items():
                    guests = [turn for turn in turns if turn.id not in seated]
                    found += guests
                    seated |= {turn.id for turn in guests}
                    if home == at:
                        own[at] += [dataclasses.replace(turn, cell_id=self._ids[at]) for turn in guests]
                    elif guests and all(_gives_way(turn, record, guests) for turn in own[home]):
                        own[home] = guests
        return tuple(found)

    def _by_home(self, record: Record, holder: int) -> dict[int, list[Turn]]:
        homes: dict[int, list[Turn]] = {}
        for turn in record.turns:
            home = self._ids.index(turn.cell_id) if turn.cell_id in self._ids and turn.cell_id else holder
            homes.setdefault(home, []).append(turn)
        return homes

    def _compared(self) -> tuple[tuple[Turn, ...], ...]:
        return tuple(
            tuple(dataclasses.replace(turn, cell_id=home or turn.cell_id) for turn in (*record.turns, *record.others))
            for home, records in zip(self._ids, self._records, strict=True)
            for record in records
            if record.others
        )

    def _pins_and_systems(self) -> tuple[tuple[Pin, ...], tuple[SystemPrompt, ...]]:
        placed = [(each, home) for each, home in zip(self._records, self._ids, strict=True)]
        held = [(record, home) for records, home in placed for record in records]
        pins = [dataclasses.replace(record.pin, cell_id=home) for record, home in held if record.pin is not None]
        systems = [
            dataclasses.replace(record.system, cell_id=home) for record, home in held if record.system is not None
        ]
        return tuple(pins), tuple(systems)

    def _maps(self) -> tuple[tuple[int, Mapped], ...]:
        """The maps, each with the position of its first cell (a pasted copy shows it again)."""
        found: dict[str, tuple[int, Mapped]] = {}
        for number, records in enumerate(self._records, 1):
            for run in (record.mapped for record in records if record.mapped is not None):
                found.setdefault(run.id, (number, run))
        return tuple(found.values())

    def _reset_times(self) -> dict[str, float]:
        """The last time each chat was reset_times over (seconds since the epoch)."""
        resets = [record for records in self._records for record in records if record.reset is not None]
        return {record.reset or "": record.created for record in sorted(resets, key=lambda each: each.created)}


def _gives_way(turn: Turn, record: Record, guests: Iterable[Turn]) -> bool:
    return turn.id in record.instead_of or turn.created < min(guest.created for guest in guests)


def _is_usable(turn: Turn) -> bool:
    """Whether the turn can be part of a conversation: not interrupted before any content arrived."""
    return turn.status != "interrupted" or bool(turn.messages[-1]["content"])


def _id(cell: Mapping[str, Any]) -> str | None:
    found = cell.get("id")
    return found if isinstance(found, str) and found else None


def _ids(cells: Sequence[Mapping[str, Any]], records: Sequence[Iterable[Record]]) -> list[str | None]:
    """The ids of cells: the file's, else the recorded ones, each once, since a pasted copy has that of the original."""
    ids = [_id(cell) for cell in cells]
    known = {each for each in ids if each is not None}
    for at, given in enumerate(ids):
        recorded = _recorded_id(records[at]) if given is None else None
        if recorded is not None and recorded not in known:
            ids[at] = recorded
            known.add(recorded)
    return ids


def _unnamed(cell: Mapping[str, Any]) -> UnnamedCell:
    metadata = cell.get("metadata")
    other_id = metadata.get("id") if isinstance(metadata, Mapping) else None
    return UnnamedCell(source_of(cell), other_id if isinstance(other_id, str) else "")


def source_of(cell: Mapping[str, Any]) -> str:
    """The source of a cell: a text, or a list of lines."""
    source = cell.get("source")
    return source if isinstance(source, str) else "".join(map(str, source)) if isinstance(source, list) else ""


def bare_sources(path: Path) -> Mapping[str, int]:
    """How often each source stands in a code cell that has neither an id nor a record."""
    try:
        found = cells(path)
    except UsageError:
        return {}
    bare = (each for each in found if each.get("cell_type") == "code" and _id(each) is None)
    return Counter(source_of(each).strip() for each in bare if not any(_metadata(each)))


def _recorded_id(records: Iterable[Record]) -> str | None:
    own = (turn.cell_id for record in records if not record.guests for turn in record.turns)
    return next((cell_id for cell_id in own if cell_id), None)


def _outputs(cell: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    outputs = cell.get("outputs")
    return [output for output in outputs if isinstance(output, Mapping)] if isinstance(outputs, list) else []


def _metadata(cell: Mapping[str, Any]) -> Iterator[Any]:
    for output in _outputs(cell):
        found = output.get("metadata")
        if isinstance(found, Mapping) and "claude_magic" in found:
            yield found["claude_magic"]


def _images(cell: Mapping[str, Any]) -> Iterator[Any]:
    for output in _outputs(cell):
        data = output.get("data")
        for kind, value in data.items() if isinstance(data, Mapping) else ():
            if isinstance(kind, str) and kind.startswith("image/"):
                yield value
