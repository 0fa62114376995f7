"""`Page`: tells the notebooks' pages what was spent, what is left and which turns stand, over a comm.

The kernel opens the comm, since its messages arrive while it is busy, with the first cell of a frontend that sends cell
ids; without one nothing is done. All pages of the kernel get all messages: `pages` in each says whom it is for. Nothing
here raises into a cell.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..notebook.cell import Cell
from ..notebook.lookup import holds
from ..notebook.pages import Notebook, Notebooks

if TYPE_CHECKING:
    from ..conversation.turns import Call, Turn
    from ..cost.budget import Budget, Spent
    from ..cost.pricing import Cost
    from .session import Session

TARGET = "claude-magic"
VERSION = 1
MAP_SECONDS = 0.25  # what maps spend is told no sooner than so long after the last time
MAX_CELLS = 10_000  # cell ids that a page may send
MAX_PAGES = 100  # pages of a notebook, of which only the newest can be open
State = Mapping[str, Any]
_NOTHING: State = {"notebook": "0", "kernel": "0", "budget": None, "turns": {}, "asking": False, "offline": False}


class Page:
    """The pages of a kernel's notebooks, and what they were told.

    `spent` returns what was spent in this kernel, `budget` what is left; neither is called before a question was asked
    or a budget set.
    """

    def __init__(
        self,
        notebooks: Notebooks,
        sessions: Mapping[Notebook, Session],
        spent: Callable[[], Iterable[Spent]],
        budget: Callable[[], Budget | None],
    ) -> None:
        self._notebooks = notebooks
        self._sessions = sessions
        self._spent = spent
        self._budget = budget
        self._lock = threading.RLock()
        self._comm: Any = None
        self._refused: set[str] = set()  # pages in whose time the comm was closed: they do not know it
        self._pages: dict[Notebook, dict[str, None]] = {}  # the newest last
        self._told: dict[Notebook, State] = {}
        self._turns: dict[Notebook, _Turns] = {}
        self._maps: dict[str, tuple[Notebook, Cost]] = {}  # what the maps under way have spent
        self._told_at = 0.0

    def open(self, cell: Cell) -> None:
        """Open the comm with a cell of a page, if it is not open, and note which notebook the page has."""
        if cell.id is None or cell.id.startswith("vscode-") or cell.page in self._refused:
            return
        with suppress(Exception), self._lock:  # a fault of the comm is no fault of the cell
            if self._comm is None:
                import comm

                self._told.clear()
                self._comm = comm.create_comm(target_name=TARGET, data={"version": VERSION})
                self._comm.on_msg(self._receive)
                self._comm.on_close(self._closed)
            if self._note_page(self._notebooks.current, cell.page):
                self._told.pop(self._notebooks.current, None)

    def close(self) -> None:
        """Close the comm: the pages forget what they were told."""
        with suppress(Exception), self._lock:
            comm, self._comm = self._comm, None
            if comm is not None:
                comm.close()

    def tell(self) -> None:
        """Tell the pages of each notebook its state, if that has changed."""
        if self._comm is None:
            return
        with suppress(Exception), self._lock:
            for notebook, pages in self._pages.items():
                if pages:
                    self._tell(notebook, self._state(notebook))

    def map_spent(self, name: str, cost: Cost | None, notebook: Notebook) -> None:
        """Note what a map under way has spent so far; `None` at its end, before its calls join the session's."""
        if self._comm is None:
            return
        with suppress(Exception), self._lock:
            self._maps.pop(name, None)
            if cost is not None:
                self._maps[name] = notebook, cost
                if time.monotonic() - self._told_at >= MAP_SECONDS:
                    self.tell()

    def _note_page(self, notebook: Notebook, page: str) -> bool:
        """Note that a page shows this notebook, and no other. Returns whether that is new."""
        pages = self._pages.setdefault(notebook, {})
        if page in pages:
            return False
        for others in self._pages.values():
            others.pop(page, None)
        pages[page] = None
        for oldest in [*pages][:-MAX_PAGES]:
            del pages[oldest]
        return True

    def _tell(self, notebook: Notebook, state: State, *, whole: bool = False) -> None:
        """Send a state, if it is another than the last: without the turns, unless they are others or it is `whole`."""
        last = self._told.get(notebook)
        if last == state and not whole:
            return
        same_turns = last is not None and last["turns"] == state["turns"] and not whole
        said = {name: value for name, value in state.items() if name != "turns"} if same_turns else state
        self._comm.send({"version": VERSION, "pages": [*self._pages[notebook]], **said})
        self._told[notebook] = state
        self._told_at = time.monotonic()

    def _state(self, notebook: Notebook) -> State:
        """The state of a notebook. Nothing is imported before something was asked."""
        budget = self._budget()
        if not self._sessions and budget is None:
            return _NOTHING
        from ..cost import pricing

        kernel = pricing.total([*(each.all for each in self._spent()), *(cost for _, cost in self._maps.values())])
        state = {**_NOTHING, "kernel": pricing.exact(kernel), "budget": self._budget_data(budget, kernel)}
        session = self._sessions.get(notebook)
        if session is None:
            return state
        turns = self._turns.setdefault(notebook, _Turns()).follow(session)
        mapped = [cost for name, cost in self._maps.values() if name is notebook]
        return {
            **state,
            "notebook": pricing.exact(pricing.total([turns.cost, *mapped])),
            "turns": turns.told,
            "asking": session.asking > 0,
            "offline": turns.offline,
        }

    def _budget_data(self, budget: Budget | None, kernel: Cost) -> State | None:
        """What is left of the budget, as it is shown: `≤` where the cost of a part is not known, or a lower bound."""
        if budget is None:
            return None
        from ..cost import pricing
        from ..cost.budget import amount

        running = pricing.total(cost if cost.dollars is not None else pricing.FREE for _, cost in self._maps.values())
        budget = budget.after(running) or budget
        bound = "≤" if kernel.at_least or kernel.dollars is None else ""
        is_used_up = budget.left <= 0
        left = f"{'' if is_used_up else bound}{budget.left_in_words}"
        return {"left": left, "total": amount(budget.total), "used_up": is_used_up}

    # What a page asks, on another thread where the kernel has subshells

    def _receive(self, message: Mapping[str, Any]) -> None:
        with suppress(Exception), self._lock:
            data = message["content"]["data"]
            page, cells = str(data.get("page")), data.get("cells")
            ids = {each for each in cells[:MAX_CELLS] if isinstance(each, str)} if isinstance(cells, list) else set()
            notebook = self._notebook_of(page, ids)
            if notebook is not None and data.get("ask") == "state":
                self._note_page(notebook, page)
                self._tell(notebook, self._told.get(notebook, _NOTHING), whole=True)
            elif data.get("ask") == "estimate":
                turns = self._turns.get(notebook) if notebook is not None else None
                found = {**(turns or _Turns()).estimate(ids), "id": data.get("id")}
                self._comm.send({"version": VERSION, "pages": [page], "estimate": found})

    def _notebook_of(self, page: str, cells: set[str]) -> Notebook | None:
        """The notebook of a page: that which it was told to be, else that which has its cells."""
        for notebook, pages in self._pages.items():
            if page in pages:
                return notebook
        by_cells = (each for each in self._notebooks.all if each.cells & cells)
        by_file = (each for each in self._notebooks.all if each.path is not None and holds(each.path, cells))
        return next(by_cells, None) or next(by_file, None)

    def _closed(self, _message: Mapping[str, Any]) -> None:
        """A page closed the comm: it has no front end that knows it."""
        self._comm = None
        self._refused |= {page for pages in self._pages.values() for page in pages}


class _Turns:
    """The turns of a notebook as its pages are told them, worked out again only where something changed."""

    def __init__(self) -> None:
        self._seen: tuple[list[Turn], int, int, int] = ([], -1, 0, 0)
        self._facts: dict[str, tuple[Turn, dict[str, Any]]] = {}
        self._costs: dict[int, tuple[Call, Cost]] = {}  # of the ledger's calls, by their id(): to price each once
        self.cost: Cost
        self.told: State = {}
        self.offline = False

    def follow(self, session: Session) -> _Turns:
        """Take the turns of the session as they are now. Returns this object."""
        turns, maps = session.chats.turns, session.recorded_maps()
        seen = turns, len(session.spent), len(session.chats.recorded_elsewhere), len(maps)
        if self._seen == seen:
            return self
        from ..cost import ledger, pricing

        entries = ledger.entries(turns, session.spent_elsewhere())
        recorded = (pricing.Cost(run.amount, run.at_least) for run in maps)
        known = (self._costs.get(id(each.call), (each.call, None)) for each in entries)
        self._costs = {id(call): (call, cost or pricing.call_cost(call)) for call, cost in known}
        self.cost = pricing.total([*(self._costs[id(each.call)][1] for each in entries), *recorded])
        self.offline = "offline" in {*(each.call.provider for each in entries), *(run.provider for run in maps)}
        stale = frozenset().union(*(chat.stale() for chat in session.chats.shown.values()))
        facts = {turn.id: (turn, self._facts_of(turn)) for turn in turns}
        self.told = {name: {**found, "stale": name in stale} for name, (_, found) in facts.items()}
        self._facts = facts
        self._seen = seen
        return self

    def _facts_of(self, turn: Turn) -> dict[str, Any]:
        """What does not change about a turn: its exact cost and its marks."""
        known = self._facts.get(turn.id)
        if known is not None and known[0] is turn:
            return known[1]
        from ..cost import pricing
        from ..render.turn import marks

        return {"stands": True, "cost": pricing.exact(pricing.turn_cost(turn)), "marks": marks(turn)}

    def estimate(self, cells: set[str]) -> dict[str, Any]:
        """About what the questions of cells would cost again: their tokens of last time, at today's prices."""
        from ..cost import pricing

        now = time.time()
        turns = [turn for turn in self._seen[0] if turn.cell_id in cells]
        calls = [replace(call, started=now, replayed=False) for turn in turns for call in turn.calls]
        cost = pricing.total(map(pricing.call_cost, calls))
        return {"cells": sorted({str(turn.cell_id) for turn in turns}), "cost": pricing.exact(cost)}
