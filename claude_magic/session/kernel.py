"""`Kernel`: the state of one kernel: client, sessions by notebook, executions, budget, journal, local MCP servers.

`%load_ext` makes one for each shell, and all magics use it. Heavy modules are imported with the first question.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traitlets import TraitError

from ..notebook.cell import Cell, current_cell, deleted_cells
from ..notebook.executions import Executions
from ..notebook.lookup import has_turns, ids_in, journal_folder_of
from ..notebook.pages import Notebook, Notebooks
from ..notebook.scope import names_at
from .page import Page

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..client import Client, Settings
    from ..content.secrets import Secrets
    from ..cost.budget import Alarm, Budget, Spent
    from ..notebook.journal import Journal
    from ..options import Options
    from ..tools.mcp_servers import Servers
    from .configuration import ClaudeMagic
    from .known_models import KnownModels
    from .session import Session

# What the first question imports. The network's modules are last, for they are the most. None makes a class of magics:
# IPython collects their names in one place for all threads, and makes its own in the middle of a cell, too.
_PRELOADED = (
    *("claude_magic.options", "claude_magic.magics.ask", "claude_magic.magics.code_cell"),
    *(
        "claude_magic.session.session",
        "claude_magic.session.known_models",
        "claude_magic.render.markup.renderer",
        "claude_magic.render.reply",
    ),
    *(
        "markdown_it",
        "jupyter_core.paths",
        "ipywidgets",
        "genai_prices.data",
        "httpcore2",
        "h11",
        "truststore",
        "opentelemetry.propagate",
    ),
    *("anthropic", "anthropic.lib.streaming", "claude_magic.client.connection", "claude_magic.client.stream"),
)
_STAND_IN = ("claude_magic.offline.server",)
_DEFAULT_MODEL = "claude-opus-5-5"  # that of `models`, which `%load_ext` does without
# Where the SDK looks for a key, and for a login.
_KEYS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
_LOGINS = ("ANTHROPIC_PROFILE", "ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE")
_CONVERSATION_MAGIC = re.compile(r"^\s*%claude_", re.MULTILINE)


class Kernel:
    """The state that the magics of one shell share.

    It owns the client, the sessions, the executions and the notebooks; a session owns its conversations and the record
    of its spending.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.executions = Executions(shell)
        self.notebooks = Notebooks()
        self._source = ""
        self._began: float | None = None  # when the running cell began; `None` outside of cells
        self._opening = threading.Lock()
        self.sessions: dict[Notebook, Session] = {}
        self.page = Page(self.notebooks, self.sessions, self.spent, self.budget_left)
        self._spent: dict[Notebook, Spent] = {}
        self._spent_before: dict[Session, int] = {}  # the length of each session's `spent` before this cell
        self._restored: set[Notebook] = set()
        self._pages: set[str] = set()

    @cached_property
    def configuration(self) -> ClaudeMagic:
        """The settings of `%config ClaudeMagic`."""
        from .configuration import ClaudeMagic

        return ClaudeMagic(parent=self.shell)

    @cached_property
    def client(self) -> Client:
        """The kernel's only client."""
        from ..client import Client

        return Client()

    @cached_property
    def known_models(self) -> KnownModels:
        """The API's lists of models."""
        from .known_models import KnownModels

        return KnownModels(self.client)

    @cached_property
    def alarm(self) -> Alarm:
        """The warning about an expensive cell, shown once per kernel."""
        from ..cost.budget import Alarm

        return Alarm()

    @cached_property
    def mcp_servers(self) -> Servers:
        """The local MCP servers that run for this kernel."""
        from ..tools.mcp_servers import Servers

        return Servers()

    def end_mcp_servers(self) -> None:
        """End the local MCP servers; a cell that names one starts it again."""
        if "mcp_servers" in vars(self):
            self.mcp_servers.end()

    @cached_property
    def _journal(self) -> Journal:
        from ..notebook.journal import Journal

        return Journal()

    @property
    def namespace(self) -> dict[str, Any]:
        """The names that the running magic sees: those of the function that calls it, then the notebook's."""
        return names_at(self.shell)

    @property
    def cell(self) -> Cell:
        """The running cell."""
        return current_cell(self.shell, self._source, self._began)

    def session_for(self, cell: Cell) -> Session:
        """The session of a cell's notebook, with the current configuration."""
        from .session import Session

        running = self.notebooks.current
        with self._opening:
            session = self.sessions.get(running)
            if session is None:
                session = self.sessions[running] = Session(self.client, self.page.tell)
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
        """The session of the running cell's notebook."""
        return self.session_for(self.cell)

    def path_of(self, cell: Cell) -> Path | None:
        """The file of the running notebook; `None` if it is not known."""
        return self.notebooks.find(cell, self.shell, self.setting("notebook_path", ""))

    def preloaded(self) -> Sequence[str]:
        """The modules that the first question needs, in the order in which they are imported while the kernel is idle;
        none if that is turned off, or if the record answers, which needs few of them."""
        if not self.setting("preload", True) or self.setting("replay", "off") == "only":
            return ()
        return (*_PRELOADED, *(_STAND_IN if self.setting("provider", "anthropic") == "offline" else ()))

    def budget_left(self) -> Budget | None:
        """The budget left for all notebooks of this kernel; `None` if none is set. Turns without a known price do not
        count."""
        budget = self.setting("budget", None)
        if budget is None:
            return None
        from decimal import Decimal

        from ..cost import pricing
        from ..cost.budget import Budget
        from ..cost.pricing import EXACT

        known = pricing.total(pricing.Cost(each.known) for each in self.spent()).dollars
        total = Decimal(str(budget))
        return Budget(EXACT.subtract(total, known or Decimal(0)), total)

    def spent(self) -> list[Spent]:
        """What each of this kernel's notebooks has spent here."""
        from ..cost.budget import Spent

        return [self._spent.setdefault(name, Spent()).follow(each.spent) for name, each in self.sessions.items()]

    def warning(self) -> str | None:
        """The warning about this cell's cost, shown once per kernel; empty if there is none."""
        from ..cost import pricing

        spent = (turn for session, number in self._spent_before.items() for turn in session.spent[number:])
        return self.alarm.line(pricing.total(map(pricing.turn_cost, spent)), self.configuration.warn_above)

    def settings(self) -> Settings:
        """The connection settings of the current configuration. Raises `UsageError` for a bad client or token name."""
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
        """Options as they are sent: with values in the system prompt, with the id of the newest model of a line, and
        with the addresses that names of MCP servers stand for."""
        own = None if typed.once else self.session.chats.systems.get(typed.chat)
        if own is not None and typed.system == self.configuration.system:  # the cell has no --system of its own
            typed = replace(typed, system=own.text)
        elif typed.system and not typed.raw:
            typed = replace(typed, system=self.system_text(typed.system))
        if typed.mcp:
            from ..tools import mcp_servers

            typed = replace(typed, mcp=mcp_servers.addresses(typed.mcp, self.configuration.mcp_servers))
        fallback = typed.fallback and self._models(typed.fallback)
        return replace(typed, model=self._models(typed.model), fallback=fallback)

    def _models(self, names: str) -> str:
        """The ids of models by their names, with commas between them: the newest of a line, as the API lists them.

        In a replay nobody is asked, and a line is the model of it that answered this cell in the record.
        """
        from .. import models
        from . import known_models

        given = [name.strip() for name in names.split(",")]
        if not any(name in models.LINES or models.of_unknown(name) for name in given):
            return names
        mode = self.configuration.replay
        unknown = [name for name in given if models.of_unknown(name)]
        entries = self.known_models.entries(self.settings(), unknown, ask=mode == "off")
        models.learn(known_models.rows(entries))
        found = []
        for name in given:
            recorded = mode != "off" and self.session.recorded_model(name, self.cell.id, is_new_asked=mode == "auto")
            found.append(recorded or known_models.newest(name, entries))
        return ",".join(found)

    def system_text(self, text: str) -> str:
        """A system prompt with the values of its `{{…}}`. Raises `PromptError`."""
        from ..prompt.prompt import prompt_content, system_text

        return system_text(prompt_content(text, self.namespace))

    def secrets(self, options: Options) -> Secrets:
        """The secrets that are masked in all that a cell sends besides the typed text."""
        from ..content.secrets import Secrets, known_secrets, shown_columns

        known = self.client.secrets()
        if servers := self.configuration.mcp_servers:
            from ..tools import mcp_servers

            known = (*known, *mcp_servers.secrets(servers))
        shown = shown_columns(options.allow_columns)
        return Secrets(known_secrets(self.namespace, known, shown), options.allow_secrets, shown)

    # Before each cell

    def begin_cell(self, source: str | None = None) -> Iterator[str]:
        """Note the cell that begins: its source, its notebook, and the cells that were deleted since.

        `source` is `None` if the extension was just loaded. In a notebook that is new to this kernel, its turns are
        restored. Yields lines that say so.
        """
        self._source = source or ""
        self._began = None if source is None else time.monotonic()
        self._spent_before = {session: len(session.spent) for session in self.sessions.values()}
        cell = self.cell
        if source is not None:
            self.executions.begin(cell.id)
        running = self.notebooks.turn_to(cell, self.shell)
        if source is not None:
            self.page.open(cell)
        if deleted := deleted_cells(self.shell):
            self.session.delete(deleted)
        is_new = running not in self._restored
        # In a page that was opened again, the notice comes only with magics that show the conversation: the outputs of
        # other cells are not ours, and those of a question are its record.
        if cell.id is not None and (
            is_new or (cell.page not in self._pages and _CONVERSATION_MAGIC.search(cell.source))
        ):
            yield from self._restore(cell, is_new=is_new)
            self._restored.add(running)
            self._pages.add(cell.page)

    def end_cell(self) -> None:
        """Note that no cell runs, and tell the page what this one has changed."""
        self._began = None
        self.page.open(self.cell)
        self.page.tell()

    def greeting(self) -> str:
        """The line of `%load_ext`: the model, whether there is a key, and where help is; empty if switched off.

        It says what is wrong with the configuration, and imports nothing where that was never used.
        """
        try:
            if not self.setting("greeting", True):
                return ""
            state = f"{self.setting('model', _DEFAULT_MODEL)} · {self._key_state()}"
        except TraitError as error:
            state = f"the configuration cannot be used: {error}"
        return f"claude_magic: {' '.join(state.split())} · %%claude? for help"

    def _key_state(self) -> str:
        """Whether a key is found, without a look further than the environment, this kernel's memory, and whether there
        is a profile of Anthropic's. What cloud providers take is looked for by their own libraries."""
        provider = self.setting("provider", "anthropic")
        if self.setting("replay", "off") == "only":
            return "replay only: the record answers, no key is needed"
        if provider == "offline":
            return "offline stand-in, not Claude: no key is needed"
        if self.setting("client", None) is not None:
            return "ClaudeMagic.client has the key"
        if provider != "anthropic":
            from ..providers import PROVIDERS

            return f"{PROVIDERS[provider].title}, with its own credentials"
        if "client" in vars(self) and self.client.keeps_key:
            return "key found"
        if any(os.environ.get(name, "").strip() for name in _KEYS):
            return "key found"
        return "profile found" if _has_profile() else "no key: %claude_key asks for one"

    def _restore(self, cell: Cell, *, is_new: bool) -> Iterator[str]:
        """Restore the turns of a notebook that is new here, and say which replies its page lacks. Imports nothing heavy
        if there are none."""
        path = self.path_of(cell)
        if path is None:
            return
        holds_turns = has_turns(path)
        may_have_lost = self.setting("journal", True) and (holds_turns or journal_folder_of(path).exists())
        has_lost = may_have_lost and self._has_lost(path, cell, holds_turns=holds_turns)
        if not has_lost and not (is_new and holds_turns):
            return
        from . import restore

        if is_new:
            yield from restore.come_back(self.session, path)
        if has_lost:
            yield from restore.notice(self.session, path, cell)

    def setting(self, name: str, default: Any) -> Any:
        """A setting, or its default if the configuration was never used, which avoids the import."""
        is_bare = "configuration" not in vars(self) and "ClaudeMagic" not in self.shell.config
        return default if is_bare else getattr(self.configuration, name)

    def _has_lost(self, path: Path, cell: Cell, *, holds_turns: bool) -> bool:
        """Whether the journal may have a reply that the notebook lacks, by the turn ids in the file's bytes."""
        ids = ids_in(path) or set()
        return any(
            entry.begun and not entry.dismissed and entry.turn_id not in ids and entry.cell_id != cell.id
            for entry in self._journal.entries(path, ids if holds_turns else frozenset())
            if (entry.kernel, entry.page) != (self._journal.kernel, cell.page)
        )


def _has_profile() -> bool:
    """Whether the SDK would find a login: named in the environment, or a profile in Anthropic's folder."""
    own = os.path.join(os.environ.get("APPDATA", "~"), "Anthropic") if os.name == "nt" else "~/.config/anthropic"
    folder = os.environ.get("ANTHROPIC_CONFIG_DIR") or own
    has_files = os.path.isdir(os.path.join(os.path.expanduser(folder), "configs"))
    return has_files or any(os.environ.get(name, "").strip() for name in _LOGINS)
