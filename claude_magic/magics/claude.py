"""`%claude`: read the line, ask, show."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.completer import context_matcher
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand

from .. import models, options
from ..errors import ClaudeError, PromptError, ReplyInterrupted, UsageError
from ..notebook.cell import Cell, current_cell, deleted_cells
from ..notebook.executions import Executions
from ..notebook.pages import Notebook, Notebooks
from ..notebook.reader import has_turns, standing
from ..options import Options
from .defaults import Configuration

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from ..client import Client, Settings
    from ..conversation.turns import Turn
    from ..cost.budget import Alarm, Budget
    from ..notebook.journal import Journal
    from ..prompt.prompt import Prompt
    from ..render.live.live import ApprovingView
    from ..render.text import Bundle
    from ..session.session import Outcome, Session
    from ..tools.structured_output import Shape

# A host has a top-level domain of letters, and no key has a dot.
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}", re.IGNORECASE)
_LOOKS = re.compile(r"^\s*%claude_", re.MULTILINE)


@magics_class
class ClaudeMagic(Magics, Configuration):
    """Claude in notebook cells. Every default is set with `%config ClaudeMagic.NAME = VALUE`."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self._source = ""
        self.notebooks = Notebooks()
        self.executions = Executions(shell)
        self._sessions: dict[Notebook, Session] = {}
        self._began: dict[Session, int] = {}  # how much each had asked before this cell
        self._came_back: set[Notebook] = set()
        self._pages: set[str] = set()
        self.matcher = context_matcher(identifier="claude_magic")(lambda asked: self.complete(asked))

    @property
    def session(self) -> Session:
        """The conversations of the notebook that runs now."""
        from ..session.session import Session

        running = self.notebooks.current
        session = self._sessions.get(running)
        if session is None:
            session = self._sessions[running] = Session(self._client)
            self._began[session] = 0
        session.journal = self._journal if self.journal else None
        session.budget = self._budget_left()
        session.extra_body = self.extra_body
        session.path = self.notebooks.find(self.cell, self.shell, self.notebook_path)
        return session

    def _budget_left(self) -> Budget | None:
        """What is left of the budget for all notebooks of this kernel. What has no price does not count."""
        if self.budget is None:
            return None
        from decimal import Decimal

        from ..cost import pricing
        from ..cost.budget import Budget

        turns = (turn for session in self._sessions.values() for turn in session.spent)
        known = (cost for turn in turns if (cost := pricing.turn_cost(turn)).dollars is not None)
        total = Decimal(str(self.budget))
        return Budget(total - (pricing.total(known).dollars or 0), total)

    def _warn(self) -> None:
        """Say, once, that this cell cost more than the amount that is set."""
        from ..cost import pricing

        spent = (turn for session, number in self._began.items() for turn in session.spent[number:])
        if said := self._alarm.line(pricing.total(map(pricing.turn_cost, spent)), self.warn_above):
            print(said)

    @property
    def cell(self) -> Cell:
        """The cell that runs now."""
        return current_cell(self.shell, self._source)

    @cached_property
    def _alarm(self) -> Alarm:
        from ..cost.budget import Alarm

        return Alarm()

    @cached_property
    def _client(self) -> Client:
        from ..client import Client

        return Client()

    @cached_property
    def _journal(self) -> Journal:
        from ..notebook.journal import Journal

        return Journal()

    @no_var_expand
    @line_cell_magic
    def claude(self, line: str, cell: str | None = None) -> None:
        with suppress(KeyboardInterrupt):
            self._run(line, cell)
            return
        raise ReplyInterrupted("Interrupted before the reply began.")

    @line_magic
    def claude_key(self, line: str) -> None:
        """Ask for an API key, with hidden input, and keep it in memory until the kernel stops; with a host, for the
        token of the MCP server there.

        %claude_key
        %claude_key mcp.example.com
        """
        host = line.strip()
        if host and _HOST.fullmatch(host):
            where = "Set a variable in the environment, and name it in ClaudeMagic.mcp_tokens."
            self.session.client.use_token(host, _hidden_input(f"Token for {host}: ", where))
            print("The token is kept in memory, for this kernel only.")
            return
        if host:
            raise UsageError(
                "%claude_key takes nothing on its line: a key in a cell is a key in the file.",
                advice="Run it bare, and paste the key where it asks. The key on this line should be revoked.",
            )
        self.session.client.use_key(_hidden_input("Anthropic API key: ", _NO_KEY))
        print("The key is kept in memory, for this kernel only.")

    def prepare(self, info: Any = None) -> None:
        """Before each cell: note its source, which notebook it is of, and which of its cells were deleted.

        In a notebook that is new to this kernel, its turns come back.
        """
        self._source = (info and info.raw_cell) or ""
        self._began = {session: len(session.spent) for session in self._sessions.values()}
        cell = self.cell
        if info is not None:
            self.executions.begin(cell.id)
        running = self.notebooks.turn_to(cell, self.shell)
        if deleted := deleted_cells(self.shell):
            self.session.delete(deleted)
        is_new = running not in self._came_back
        # A page that was opened again is told where it looks at the conversation: other cells' outputs are not ours
        # to write into, and a question's are its record.
        if cell.id is not None and (is_new or (cell.page not in self._pages and _LOOKS.search(cell.source))):
            for line in self._come_back(cell, is_new=is_new):
                print(line)
            self._came_back.add(running)
            self._pages.add(cell.page)

    def _come_back(self, cell: Cell, *, is_new: bool) -> Iterator[str]:
        """Take up what the file of a new notebook holds, and say what a new page of it cannot have. Light where there
        is nothing."""
        path = self.notebooks.find(cell, self.shell, self.notebook_path)
        if path is None:
            return
        has_lost = self.journal and self._has_lost(path, cell)
        if not has_lost and not (is_new and has_turns(path)):
            return
        from . import restore

        if is_new:
            yield from restore.come_back(self.session, path)
        if has_lost:
            yield from restore.notice(self.session, path, cell)

    def _has_lost(self, path: Path, cell: Cell) -> bool:
        """Whether the journal may have a reply that the notebook does not: by a look at the file's bytes."""
        ids = standing(path) or set()
        return any(
            entry.begun and not entry.dismissed and entry.turn_id not in ids and entry.cell_id != cell.id
            for entry in self._journal.entries(path, ids if has_turns(path) else frozenset())
            if (entry.kernel, entry.page) != (self._journal.kernel, cell.page)
        )

    def complete(self, asked: CompletionContext) -> SimpleMatcherResult:
        """IPython's matcher for `%claude` and `%%claude` cells."""
        from . import completion

        return completion.match(asked, self.shell, lambda: list(self.session.chats.shown))

    def settings(self) -> Settings:
        """How Claude is reached, as it is configured now."""
        from ..client import Settings, settings

        self._client.use_client(self.client)
        return Settings(
            self.provider,
            self.max_retries,
            self.max_retry_wait,
            self.timeout,
            headers=tuple(self.headers.items()),
            betas=tuple(self.betas),
            base_url=self.base_url,
            mcp_tokens=settings.token_variables(self.mcp_tokens),
        )

    def resolved(self, wanted: Options) -> Options:
        """Options as they are sent: the values in the system prompt, the newest model of a line."""
        own = None if wanted.once else self.session.chats.systems.get(wanted.chat)
        if own is not None and wanted.system == self.system:  # the cell says nothing else
            wanted = dataclasses.replace(wanted, system=own)
        elif wanted.system and not wanted.raw:
            wanted = dataclasses.replace(wanted, system=self.system_text(wanted.system))
        return dataclasses.replace(wanted, model=models.resolve(wanted.model))

    def system_text(self, text: str) -> str:
        """A system prompt with the values of the notebook. Raises `PromptError`."""
        return _system(text, self.shell.user_ns)

    def _run(self, line: str, cell: str | None) -> None:
        """Read the line and the body, ask, show."""
        wanted, rest = options.parse(line, self.defaults())
        running = self.cell
        turn = self.ask(wanted, rest if cell is None else _body(cell, rest, running), running)
        if wanted.code and turn is not None:
            from ..render import code_cell
            from ..render.turn import reply_value

            if not code_cell.offer(self.shell, reply_value(turn).code):
                print(code_cell.NO_CODE)

    def ask(self, wanted: Options, body: str, running: Cell) -> Turn | None:
        """Ask, and show the reply. Returns its turn; `None` where nothing was asked, or several models were."""
        from ..content.parts import Limits
        from ..content.secrets import Secrets, known_secrets
        from ..prompt.prompt import build_prompt
        from ..render import history
        from ..session.session import Replay
        from . import cell_inputs

        namespace = self.shell.user_ns
        shape = cell_inputs.shape(self, wanted)
        schema = wanted.schema if shape is None else json.dumps(shape.schema)
        wanted = self.resolved(dataclasses.replace(wanted, schema=schema))
        secrets = Secrets(known_secrets(namespace, self._client.secrets()), wanted.allow_secrets)
        limits = Limits(wanted.value_tokens, wanted.cell_tokens)
        pieces = cell_inputs.pieces(self, wanted, running, secrets)
        prompt = build_prompt(body, namespace, pieces, raw=wanted.raw, secrets=secrets, limits=limits)
        content = prompt.content
        if "," in wanted.model:
            self._compare(wanted, prompt, running)
            return None
        view = self._view()
        tools = cell_inputs.tool_calls(self, wanted, view, secrets)
        if wanted.count and not wanted.show_request:
            counted = self.session.count(wanted, content, running, self.settings(), tools)
            self._show(history.count_table(counted, prompt.along))
            return None
        if wanted.show_request or wanted.show_code:
            from ..render import export

            built = self.session.request(wanted, content, running, self.provider, tools)
            print(built.as_json() if wanted.show_request else export.script(built.params))
            return None
        replay = Replay(self.replay, self.replay_speed)
        outcome = self.session.ask(wanted, content, running, self.settings(), view, replay, prompt.along, tools)
        self._conclude(outcome, wanted, shape)
        return outcome.turn

    def _compare(self, wanted: Options, prompt: Prompt, running: Cell) -> None:
        """Ask several models the same, side by side. What is for one model only is refused."""
        from ..render.live import columns
        from ..render.turn import reply_value
        from ..session import comparison
        from ..session.session import Replay

        names = comparison.compared_models(wanted.model)
        single = {"--show-request": wanted.show_request, "--count": wanted.count, "--show-code": wanted.show_code}
        single |= {"--schema": bool(wanted.schema), "--tools": bool(wanted.tools), "--code": wanted.code}
        for flag in (flag for flag, given in {**single, "--fallback": wanted.fallback}.items() if given):
            raise UsageError(f"{flag} is for one model, and --model names {len(names)}.", advice="Name one of them.")
        replay = Replay(self.replay, self.replay_speed)
        view = columns.columns_for(self.shell)
        outcome = comparison.compare(
            self.session, wanted, names, prompt.content, running, self.settings(), view, replay, prompt.along
        )
        if wanted.out and outcome.compared and (outcome.joined or outcome.failure is None):
            answers = {model: reply_value(turn) for model, turn in outcome.compared.items()}
            self.shell.user_ns[wanted.out] = answers
        self._conclude(outcome, dataclasses.replace(wanted, out=None))

    def go_on(self, chat: str) -> None:
        """Have the last reply of a chat go on."""
        self._conclude(self.session.go_on(chat, self.cell, self.settings(), self._view()), self.defaults())

    def summarise(self, chat: str) -> None:
        """Have a chat summarised."""
        wanted = self.resolved(dataclasses.replace(self.defaults(), chat=chat))
        self._conclude(self.session.compact(wanted, self.cell, self.settings(), self._view()), wanted)

    def _view(self) -> ApprovingView:
        """Only a frontend that sends the cell's id can be trusted to show widgets; and a panel over a replay that is
        done at once would be gone before the page could draw it."""
        from ..render.live import live

        at_once = self.replay == "only" and self.replay_speed == 0
        return live.view_for(self.shell, panel=self.panel and self.cell.id is not None and not at_once)

    def _bind(self, shape: Shape, turn: Turn, name: str | None) -> None:
        """Bind the value of a reply that is what it was to be."""
        from ..tools import structured_output

        value, about = structured_output.bound(shape, structured_output.read(shape, turn, name or "reply"))
        if name:
            self.shell.user_ns[name] = value
            if about:
                print(f"{name} is {about}.")

    def _show(self, bundle: Bundle) -> None:
        self.shell.display_pub.publish(bundle, {})

    def _conclude(self, outcome: Outcome, wanted: Options, shape: Shape | None = None) -> None:
        from ..render import turn

        if shape is not None and outcome.failure is None and outcome.turn is not None:
            self._bind(shape, outcome.turn, wanted.out)
        elif shape is None and outcome.turn is not None and wanted.out and (outcome.joined or outcome.failure is None):
            self.shell.user_ns[wanted.out] = turn.reply_value(outcome.turn)
        self._warn()
        if outcome.failure is not None:
            raise _kept(outcome) if outcome.turn is not None else outcome.failure


ClaudeMagic.claude.__doc__ = f"""Ask Claude. The conversation is the notebook: each cell sees those before it.

    %%claude [options]          the lines below are the prompt, byte for byte
    %claude [options] prompt    the same on one line

In a prompt, {{{{expression}}}} stands for a value of the notebook: text, a DataFrame, a figure, an
image, anything that can be displayed. \\{{{{ is a literal {{{{.

Options:
{options.help_text()}

Beside it: %claude_history, %claude_cost, %claude_choose, %claude_undo, %claude_reset, %claude_export, %claude_resume,
%claude_recover, %claude_key. Defaults: %config ClaudeMagic.
"""


def _body(cell: str, rest: str, running: Cell) -> str:
    """The cell's lines below the first, byte for byte: IPython adds a newline at the end."""
    if rest.strip():
        raise UsageError(
            f"%%claude takes only options on its first line, not {rest.strip()!r}.",
            advice="The prompt goes below it; for one line, write %claude.",
        )
    return cell[:-1] if cell.endswith("\n") and running.source.endswith(cell[:-1]) else cell


def _system(text: str, namespace: dict[str, Any]) -> str:
    from ..prompt import prompt

    content = prompt.prompt_content(text, namespace)
    if any(block["type"] != "text" for block in content):
        raise PromptError("A system prompt is text: --system cannot take an image.")
    return "".join(block["text"] for block in content)


def _kept(outcome: Outcome) -> ClaudeError:
    failure = outcome.failure
    assert failure is not None
    if outcome.turn is not None and outcome.turn.replayed:
        return failure
    if outcome.joined:
        failure.advice = f"What had arrived is kept. {failure.advice}".strip()
    else:
        failure.advice = f"The conversation is as it was. {failure.advice}".strip()
    return failure


_NO_KEY = "Set ANTHROPIC_API_KEY in the environment before the kernel starts."


def _hidden_input(asked: str, otherwise: str) -> str:
    import getpass

    try:
        return getpass.getpass(asked)
    except Exception:  # a kernel without a person: nbclient, papermill
        message = "There is nobody to ask for a key here."
    raise UsageError(message, advice=otherwise)
