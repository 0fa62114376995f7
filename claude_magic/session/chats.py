"""The conversations of one notebook in this kernel: which turns are in them, and in which order.

`Chats` owns this state. It follows the notebook: a cell that runs again has its turn replaced in place, the turn of a
deleted cell is set aside, and turns from before the start of the kernel are read from the notebook's file. If file and
kernel both have a turn, the kernel's is newer and wins.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ..conversation import record
from ..conversation.turns import Conversation, Pin, SystemPrompt, Turn
from ..errors import StreamError
from ..notebook import lookup, reader
from ..notebook.cell import Cell
from ..notebook.reader import Saved
from ..notebook.unnamed_cells import UnnamedCells, with_cell_ids
from ..request import build

EMPTY = Conversation()


@dataclass
class Rerun:
    """A re-run of a cell that replaced turns: the conversations before it, and the ids of the new turns."""

    cell_id: str
    before: Mapping[str, Conversation]
    made: list[str] = field(default_factory=list)

    @property
    def replaced(self) -> list[Turn]:
        """The turns that the re-run replaced."""
        return [turn for chat in self.before.values() for turn in chat if turn.cell_id == self.cell_id]


class Chats:
    """Conversations by chat name."""

    def __init__(self) -> None:
        self.saved = Saved()
        self._standing: list[Pin | SystemPrompt] = []  # includes those of deleted cells, and empty ones, which remove
        self._standing_run = ""
        self._all: dict[str, Conversation] = {}  # includes turns of deleted cells
        self._deleted: dict[str, float] = {}  # cell id → time of the notice, in seconds since the epoch
        self._seen: set[str] = set()  # cells that were in the file at some time
        self._file_time: float | None = None  # the modification time of the file when it was last read
        self._ran: set[str] = set()  # cells that ran here, of which the file has older turns
        self._resets: dict[str, float] = {}
        self._reruns: list[Rerun] = []
        self._runs: dict[str, dict[str, int]] = {}  # by run of a cell: the turns that it asked for, numbered in order
        self._latest: dict[str, str] = {}  # cell id → its latest run
        self._unnamed = UnnamedCells()

    @property
    def shown(self) -> dict[str, Conversation]:
        """The conversations as the notebook shows them, without the turns of deleted cells."""
        return {name: chat.without(self._deleted.keys()) for name, chat in self._all.items()}

    @property
    def turns(self) -> list[Turn]:
        """The turns that the notebook shows, chat by chat."""
        return [turn for chat in self.shown.values() for turn in chat]

    @property
    def recorded_elsewhere(self) -> list[Turn]:
        """The turns of the file that are in no conversation, of cells that did not run here: asked with `--once`, by
        another model of a comparison, or before a reset."""
        conversations = {turn.id for turn in self.saved.turns}
        gone = self._ran | self._deleted.keys()
        return [turn for turn in self.saved.recorded if turn.id not in conversations and turn.cell_id not in gone]

    @property
    def pins(self) -> dict[str, Pin]:
        """The pins by name, without those of deleted cells."""
        pins = {each.name: each for each in self._current() if isinstance(each, Pin)}
        return {name: pin for name, pin in pins.items() if pin.content}

    @property
    def systems(self) -> dict[str, SystemPrompt]:
        """The chats' own system prompts by chat name, without those of deleted cells."""
        systems = {each.chat: each for each in self._current() if isinstance(each, SystemPrompt)}
        return {chat: system for chat, system in systems.items() if system.text}

    def _current(self) -> list[Pin | SystemPrompt]:
        stands = [each for each in self._standing if each.cell_id not in self._deleted]
        return sorted(stands, key=lambda each: each.created)

    def set_up(self, standing: Pin | SystemPrompt, cell: Cell) -> None:
        """Add a pin or a chat's system prompt, set by this cell, in place of those that an earlier run of the cell set.

        An empty one removes what has the same name.
        """
        if cell.run != self._standing_run:
            self._standing_run = cell.run
            self._standing = [each for each in self._standing if cell.id is None or each.cell_id != cell.id]
        if cell.id is not None:
            self._deleted.pop(cell.id, None)
        self._standing.append(dataclasses.replace(standing, cell_id=cell.id))

    def before(self, chat: str, cell: Cell) -> Conversation:
        """The turns of a chat that a cell sees: those before its own, and those made in the same run of the cell."""
        others = self._deleted.keys() - {cell.id}
        return self._all.get(chat, EMPTY).without(others).before(cell.id, self._siblings_of(cell))

    def reserve(self, turn_id: str, cell: Cell) -> None:
        """Reserve a place for a turn that is asked for now, behind those that this run of its cell asked for before."""
        asked = self._runs.setdefault(cell.run, {})
        asked[turn_id] = len(asked)
        if cell.id is not None:
            self._latest[cell.id] = cell.run

    def join(self, turn: Turn, cell: Cell) -> bool:
        """Put a turn at its cell's place in its chat, in its run at the reserved one. The cell's turns in other chats
        are removed; with `--once`, those in all chats.

        Returns whether it joined: the late reply of a run does not if its cell has asked again since. Raises
        `StreamError` for a turn that could not be read back.
        """
        _check(turn)
        if turn.id not in self._runs.get(cell.run, ()):
            self.reserve(turn.id, cell)
        elif cell.id is not None and self._latest[cell.id] != cell.run:
            return False
        siblings = self._siblings_of(cell)
        self._unnamed.note_run(turn, cell)
        if cell.id is not None:
            if not siblings and any(each.cell_id == cell.id for each in self._all_turns()):
                self._reruns.append(Rerun(cell.id, dict(self._all)))
            self._ran.add(cell.id)
            self._deleted.pop(cell.id, None)
            self._remove_cell(cell.id, siblings, stays="" if turn.once else turn.chat)
        if self._reruns and self._reruns[-1].cell_id == cell.id:
            self._reruns[-1].made.append(turn.id)
        if not turn.once:
            asked = self._runs[cell.run]
            before = frozenset(each for each in siblings if asked[each] < asked[turn.id])
            self._all[turn.chat] = self._all.get(turn.chat, EMPTY).with_turn(turn, siblings, before)
        return True

    def exchange(self, standing: Turn, turn: Turn) -> None:
        """Replace a turn by another, as a re-run of its cell would.

        Raises `StreamError` for one that could not be read back.
        """
        _check(turn)
        if standing.cell_id is not None:
            self._ran.add(standing.cell_id)
            self._reruns.append(Rerun(standing.cell_id, dict(self._all), [turn.id]))
        for name, chat in self._all.items():
            self._all[name] = Conversation(tuple(turn if each.id == standing.id else each for each in chat))

    def unbind(self, chat: str) -> None:
        """Send this chat's turns without thinking from now on, since the API has refused it."""
        self._all[chat] = self._all.get(chat, EMPTY).without_bound_thinking()

    def reset(self, chat: str) -> int:
        """Start a chat over. Returns the number of turns that it had."""
        count = len(self.shown.get(chat, EMPTY))
        self._all.pop(chat, None)
        self._resets[chat] = time.time()
        self._reruns.clear()
        return count

    def delete(self, cell_ids: Iterable[str]) -> list[Turn]:
        """Set the turns of deleted cells aside, and return them. They come back if the cell runs again, or is in the
        file when it is saved next."""
        gone = dict.fromkeys(cell_ids, time.time())
        self._deleted.update(gone)
        return self._turns_of(gone.keys())

    def undo(self) -> Rerun | None:
        """Undo the last re-run: remove its turns, and bring back those that it replaced. `None` if there is none."""
        while self._reruns:
            rerun = self._reruns.pop()
            standing = {turn.id for turn in self._all_turns()}
            if rerun.cell_id in self._deleted or any(turn.id in standing for turn in rerun.replaced):
                continue
            for name, chat in self._all.items():
                self._all[name] = chat.without_turns(set(rerun.made))
            for name, before in rerun.before.items():
                order = {turn.cell_id: at for at, turn in enumerate(before) if turn.cell_id}
                self._insert((turn for turn in rerun.replaced if turn.chat == name), order)
            return rerun
        return None

    def restore(self, saved: Saved) -> list[Turn]:
        """Add the turns of this notebook's file. Returns those that came back, in cell order."""
        self.saved = saved = with_cell_ids(saved)
        self._unnamed.note_saved(saved)
        self._seen |= {turn.cell_id for turn in saved.turns if turn.cell_id and turn.id not in saved.unnamed}
        known = {turn.id for turn in self._all_turns()}
        back = [turn for turn in saved.turns if turn.id not in known and self._is_new(turn)]
        self._insert(back, _order(saved))
        held: list[Pin | SystemPrompt] = [*saved.pins, *saved.systems]
        self._standing = [*(each for each in held if each not in self._standing), *self._standing]
        self._seen |= {each.cell_id for each in self._standing if each.cell_id} & set(saved.cells)
        return [turn for turn in back if turn.cell_id not in self._deleted]

    def put_back(self, turn: Turn) -> bool:
        """Put a turn that the notebook lacks at its cell's place. Returns false if it cannot be sent, or is there."""
        if turn.once or not build.messages_to_send(turn) or any(each.id == turn.id for each in self._all_turns()):
            return False
        _check(turn)
        if turn.cell_id:
            self._remove_cell(turn.cell_id, set(), stays=turn.chat)
            self._deleted.pop(turn.cell_id, None)
        if any(each.cell_id == turn.cell_id for each in self._all.get(turn.chat, EMPTY) if turn.cell_id):
            self._all[turn.chat] = self._all[turn.chat].with_turn(turn)
        else:
            self._insert([turn], _order(self.saved))
        return True

    def adopt(self, turns: Iterable[Turn], cell: Cell) -> list[Turn]:
        """Add the turns of another notebook's conversation, as turns of this cell. Returns those that are new here."""
        elsewhere = {turn.id for turn in self._all_turns() if cell.id is None or turn.cell_id != cell.id}
        adopted = [dataclasses.replace(turn, cell_id=cell.id) for turn in turns if turn.id not in elsewhere]
        for turn in adopted:
            self.join(turn, cell)
        return adopted

    def reread_file(self, path: Path | None) -> tuple[list[Turn], list[Turn]]:
        """Read the cell ids of the file again if it was saved since, and set turns aside or bring them back.

        Returns the turns that left (of cells that were deleted without notice), and those that came back (of cells
        that were cut and pasted).
        """
        written = None if path is None else lookup.written(path)
        stands = None if path is None or written in (None, self._file_time) else lookup.ids_in(path)
        self._file_time = written
        if path is None or written is None or stands is None:
            return [], []
        if lookup.names_cells(path) and any(
            turn.id in stands and turn.cell_id not in stands for turn in self._all_turns()
        ):
            self._rename_cells(path, stands)
        turns = list(self._all_turns())
        self._unnamed.note_file(stands, turns)
        cells = {each.cell_id for each in (*turns, *self._standing) if each.cell_id}
        here = (cells & stands) | self._unnamed.held(turns)
        back = {cell_id for cell_id in here if self._deleted.get(cell_id, written) < written}
        gone = (cells & self._seen) - here - self._deleted.keys()
        others = [turn for turn in turns if turn.cell_id not in gone | self._deleted.keys()]
        gone |= self._unnamed.left(others, partial(reader.bare_sources, path))
        for cell_id in back:
            del self._deleted[cell_id]
        self._deleted.update(dict.fromkeys(gone, written))
        self._seen |= cells & stands
        return self._turns_of(gone), self._turns_of(back)

    def recognise(self, cell: Cell) -> list[Turn]:
        """Give the turns of a cell without an id in the file the id that the cell has on this page. Returns them."""
        found = self._unnamed.former(cell, list(self._all_turns()))
        self._unnamed.claim(found, cell)
        self._give_cells({turn.id: cell.id for turn in found})
        return found

    def _rename_cells(self, path: Path, stands: Set[str]) -> None:
        """Give turns the cell ids that they have in the file: jupytext and old notebook formats assign new ones."""
        saved = reader.read(path)
        standing: list[Pin | SystemPrompt] = [*saved.pins, *saved.systems]
        stand = {(type(each), each.created): each.cell_id for each in standing if each.cell_id in stands}
        self._standing = [
            dataclasses.replace(each, cell_id=stand.get((type(each), each.created), each.cell_id))
            for each in self._standing
        ]
        self._give_cells({turn.id: turn.cell_id for turn in saved.turns if turn.cell_id in stands})

    def _give_cells(self, cells: Mapping[str, str | None]) -> None:
        """Give turns, by their ids, to cells."""
        for name, chat in self._all.items() if cells else ():
            moved = (dataclasses.replace(turn, cell_id=cells.get(turn.id, turn.cell_id)) for turn in chat)
            self._all[name] = Conversation(tuple(moved))

    def _all_turns(self) -> Iterator[Turn]:
        return (turn for chat in self._all.values() for turn in chat)

    def _turns_of(self, cells: Set[str]) -> list[Turn]:
        return [turn for turn in self._all_turns() if turn.cell_id in cells]

    def _insert(self, turns: Iterable[Turn], order: Mapping[str, int]) -> None:
        for turn in turns:
            self._all[turn.chat] = self._all.get(turn.chat, EMPTY).seated(turn, order)

    def _remove_cell(self, cell_id: str, siblings: Set[str], *, stays: str) -> None:
        """Remove a cell's turns from all chats but `stays`, except the `siblings`."""
        for name, chat in self._all.items():
            if name != stays:
                self._all[name] = chat.without_turns(
                    {turn.id for turn in chat if turn.cell_id == cell_id and turn.id not in siblings}
                )

    def _is_new(self, turn: Turn) -> bool:
        """Whether to add a turn of the file: unless its cell has run here, or its chat was reset after it."""
        return turn.cell_id not in self._ran and turn.created >= self._resets.get(turn.chat, 0)

    def _siblings_of(self, cell: Cell) -> frozenset[str]:
        """The ids of the turns that this run of the cell has made so far."""
        asked = self._runs.get(cell.run, ())
        return frozenset(turn.id for turn in self._all_turns() if turn.id in asked) if asked else frozenset()


def _check(turn: Turn) -> None:
    """The gate in front of every conversation: no turn joins that its own record could not bring back.

    Turns of files (`restore`) are read from such records, and those that `undo` brings back have been here before.
    Raises `StreamError`.
    """
    if why := record.fault(turn):
        raise StreamError(f"This reply cannot be in a conversation: its record could not be read back, since {why}.")


def _order(saved: Saved) -> dict[str, int]:
    return {cell_id: at for at, cell_id in enumerate(saved.cells)}
