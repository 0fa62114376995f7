"""One kernel's state: its client, its conversations by notebook, what ran in it, its budget and its journal.

`%load_ext` makes one for each shell, and each magic works by way of it. It imports only what is light: the rest comes
with the first question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..notebook.cell import Cell, current_cell, deleted_cells
from ..notebook.executions import Executions
from ..notebook.lookup import has_turns, ids_in, journal_folder_of
from ..notebook.pages import Notebook, Notebooks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..client import Client, Settings
    from ..content.secrets import Secrets
    from ..cost.budget import Alarm, Budget
    from ..notebook.journal import Journal
    from ..options import Options
    from .configuration import ClaudeMagic
    from .session import Session

_LOOKS = re.compile(r"^\s*%claude_", re.MULTILINE)


class Kernel:
    """What the magics of one shell share.

    It owns the client, the sessions, the executions and the notebooks; a session owns its conversations and what was
    spent on them.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.executions = Executions(shell)
        self.notebooks = Notebooks()
        self._source = ""
        self._sessions: dict[Notebook, Session] = {}
        self._spent_before: dict[Session, int] = {}  # how many turns each had paid for before this cell
        self._restored: set[Notebook] = set()
        self._pages: set[str] = set()

    @cached_property
    def configuration(self) -> ClaudeMagic:
        """What `%config ClaudeMagic` sets."""
        from .configuration import ClaudeMagic

        return ClaudeMagic(parent=self.shell)

    @cached_property
    def client(self) -> Client:
        """The one way to Claude of this kernel."""
        from ..client import Client

        return Client()

    @cached_property
    def alarm(self) -> Alarm:
        """What warns, once a kernel, of a cell that cost much."""
        from ..cost.budget import Alarm

        return Alarm()

    @cached_property
    def _journal(self) -> Journal:
        from ..notebook.journal import Journal

        return Journal()

    @property
    def cell(self) -> Cell:
        """The cell that runs now."""
        return current_cell(self.shell, self._source)

    def session_for(self, cell: Cell) -> Session:
        """The conversations of the notebook that a cell stands in, set up as the kernel is configured now."""
        from .session import Session

        running = self.notebooks.current
        session = self._sessions.get(running)
        if session is None:
            session = self._sessions[running] = Session(self.client)
            self._spent_before[session] = 0
        session.use(
            path=self.path_of(cell),
            journal=self._journal if self.configuration.journal else None,
            budget=self.budget_left(),
            extra_body=self.configuration.extra_body,
        )
        return session

    @property
    def session(self) -> Session:
        """The conversations of the notebook that runs now."""
        return self.session_for(self.cell)

    def path_of(self, cell: Cell) -> Path | None:
        """The file of the notebook that runs now; `None` where it is not known."""
        return self.notebooks.find(cell, self.shell, self._setting("notebook_path", ""))

    def budget_left(self) -> Budget | None:
        """What is left of the budget for all notebooks of this kernel. What has no price does not count."""
        if self.configuration.budget is None:
            return None
        from decimal import Decimal

        from ..cost import pricing
        from ..cost.budget import Budget

        turns = (turn for session in self._sessions.values() for turn in session.spent)
        known = (cost for turn in turns if (cost := pricing.turn_cost(turn)).dollars is not None)
        total = Decimal(str(self.configuration.budget))
        return Budget(total - (pricing.total(known).dollars or 0), total)

    def warning(self) -> str | None:
        """A line, once a kernel, where this cell cost more than the amount that is set."""
        from ..cost import pricing

        spent = (turn for session, number in self._spent_before.items() for turn in session.spent[number:])
        return self.alarm.line(pricing.total(map(pricing.turn_cost, spent)), self.configuration.warn_above)

    def settings(self) -> Settings:
        """How Claude is reached, as it is configured now."""
        from ..client.settings import Settings, token_variables

        configured = self.configuration
        self.client.use_client(configured.client)
        return Settings(
            configured.provider,
            configured.max_retries,
            configured.max_retry_wait,
            configured.timeout,
            headers=tuple(configured.headers.items()),
            betas=tuple(configured.betas),
            base_url=configured.base_url,
            mcp_tokens=token_variables(configured.mcp_tokens),
        )

    def resolve(self, typed: Options) -> Options:
        """Options as they are sent: the values in the system prompt, the newest model of a line."""
        from .. import models

        own = None if typed.once else self.session.chats.systems.get(typed.chat)
        if own is not None and typed.system == self.configuration.system:  # the cell says nothing else
            typed = replace(typed, system=own)
        elif typed.system and not typed.raw:
            typed = replace(typed, system=self.system_text(typed.system))
        return replace(typed, model=models.resolve(typed.model))

    def system_text(self, text: str) -> str:
        """A system prompt with the values of the notebook. Raises `PromptError`."""
        from ..errors import PromptError
        from ..prompt.prompt import prompt_content

        content = prompt_content(text, self.shell.user_ns)
        if any(block["type"] != "text" for block in content):
            raise PromptError("A system prompt is text: --system cannot take an image.")
        return "".join(block["text"] for block in content)

    def secrets(self, options: Options) -> Secrets:
        """What is masked in all that a cell sends besides what the reader typed."""
        from ..content.secrets import Secrets, known_secrets

        return Secrets(known_secrets(self.shell.user_ns, self.client.secrets()), options.allow_secrets)

    # Before each cell

    def begin_cell(self, source: str | None = None) -> Iterator[str]:
        """Note a cell's source (`None`: the extension was just loaded), which notebook it is of, and which of its
        cells were deleted. In a notebook that is new to this kernel, its turns come back; yields what to tell of it.
        """
        self._source = source or ""
        self._spent_before = {session: len(session.spent) for session in self._sessions.values()}
        cell = self.cell
        if source is not None:
            self.executions.begin(cell.id)
        running = self.notebooks.turn_to(cell, self.shell)
        if deleted := deleted_cells(self.shell):
            self.session.delete(deleted)
        is_new = running not in self._restored
        # A page that was opened again is told where it looks at the conversation: other cells' outputs are not ours
        # to write into, and a question's are its record.
        if cell.id is not None and (is_new or (cell.page not in self._pages and _LOOKS.search(cell.source))):
            yield from self._restore(cell, is_new=is_new)
            self._restored.add(running)
            self._pages.add(cell.page)

    def _restore(self, cell: Cell, *, is_new: bool) -> Iterator[str]:
        """Take up what the file of a new notebook holds, and say what a new page of it cannot have. Light where there
        is nothing."""
        path = self.path_of(cell)
        if path is None:
            return
        may_have_lost = has_turns(path) or journal_folder_of(path).exists()
        has_lost = self._setting("journal", True) and may_have_lost and self._has_lost(path, cell)
        if not has_lost and not (is_new and has_turns(path)):
            return
        from . import restore

        if is_new:
            yield from restore.come_back(self.session, path)
        if has_lost:
            yield from restore.notice(self.session, path, cell)

    def _setting(self, name: str, default: Any) -> Any:
        """A setting; its default, where nobody has set or asked for any: that imports nothing."""
        is_bare = "configuration" not in vars(self) and "ClaudeMagic" not in self.shell.config
        return default if is_bare else getattr(self.configuration, name)

    def _has_lost(self, path: Path, cell: Cell) -> bool:
        """Whether the journal may have a reply that the notebook does not: by a look at the file's bytes."""
        ids = ids_in(path) or set()
        return any(
            entry.begun and not entry.dismissed and entry.turn_id not in ids and entry.cell_id != cell.id
            for entry in self._journal.entries(path, ids if has_turns(path) else frozenset())
            if (entry.kernel, entry.page) != (self._journal.kernel, cell.page)
        )
