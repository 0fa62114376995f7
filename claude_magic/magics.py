"""The magics: read the line, ask, show.

`%load_ext` imports this module, so it imports only what is light; the rest comes with the first
magic that needs it.
"""

from __future__ import annotations

import dataclasses
import getpass
import math
import re
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from IPython.core.completer import context_matcher
from IPython.core.magic import Magics, line_cell_magic, line_magic, magics_class, no_var_expand
from traitlets import Bool, Enum, Float, Integer, TraitError, TraitType, validate
from traitlets.config import Configurable

from . import models, options
from .errors import ClaudeError, PromptError, ReplyInterrupted, UsageError
from .notebook import Cell, current_cell, deleted_cells
from .options import PROVIDERS, Options

if TYPE_CHECKING:
    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from .client import Settings
    from .record import Bundle
    from .session import Outcome, Session

MAX_RETRY_SETTING = 20


class _Default(TraitType[Any, Any]):
    """The default of one option: it takes what the option takes."""

    def __init__(self, option_field: dataclasses.Field[Any]) -> None:
        super().__init__(
            option_field.default, help=option_field.metadata["help"], allow_none=option_field.default is None
        )
        self._parse = option_field.metadata["parse"]
        self.tag(config=True)

    def validate(self, obj: Any, value: Any) -> Any:
        if value is None and self.allow_none:
            return None
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise TraitError(f"{self.name} cannot be {value!r}.")
        try:
            return self._parse(str(value))
        except ValueError as error:
            wanted = str(error)
        raise TraitError(f"{self.name} wants {wanted}, not {value!r}.")


_Defaults: Any = type(
    "_Defaults",
    (Configurable,),
    {each.name: _Default(each) for each in options.FIELDS if each.metadata["setting"]},
)


@magics_class
class ClaudeMagic(Magics, _Defaults):  # type: ignore[misc]  # the defaults are read off `Options`
    """Claude in notebook cells. Every default is set with `%config ClaudeMagic.NAME = VALUE`."""

    shell: InteractiveShell

    provider = Enum(
        PROVIDERS, "anthropic", help="who answers: anthropic, or offline (the stand-in, which needs no key)"
    ).tag(config=True)
    max_retries = Integer(4, min=0, max=MAX_RETRY_SETTING, help="attempts after the first, where another may help").tag(
        config=True
    )
    max_retry_wait = Float(60.0, min=0.0, help="the longest wait between two attempts, in seconds").tag(config=True)
    timeout = Float(120.0, min=0.1, help="seconds without a sign of life after which a reply has stalled").tag(
        config=True
    )

    panel = Bool(True, help="a live panel with Stop and thinking above the growing reply, where a browser is").tag(
        config=True
    )

    @validate("max_retry_wait", "timeout")
    def _finite(self, proposal: Any) -> float:
        if not math.isfinite(proposal["value"]):
            raise TraitError(f"{proposal['trait'].name} is a number of seconds, not {proposal['value']}.")
        return float(proposal["value"])

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell=shell)
        self._source = ""
        self.matcher = context_matcher(identifier="claude_magic")(lambda asked: self.complete(asked))

    @cached_property
    def session(self) -> Session:
        """This kernel's conversations."""
        from .session import Session

        return Session()

    @no_var_expand
    @line_cell_magic
    def claude(self, line: str, cell: str | None = None) -> None:
        with suppress(KeyboardInterrupt):
            self._run(line, cell)
            return
        raise ReplyInterrupted("Interrupted before the reply began.")

    @line_magic
    def claude_reset(self, line: str) -> None:
        """Start a conversation over: later cells do not see its earlier turns.

        %claude_reset [CHAT]
        """
        chat = line.strip() or self.chat
        count = self.session.reset(chat)
        print(f"The conversation {chat!r} starts over; {count} {'turn' if count == 1 else 'turns'} left it.")

    @line_magic
    def claude_history(self, line: str) -> None:
        """The conversations as a table: each turn with its prompt, model, tokens, cost and marks.

        %claude_history [CHAT]
        """
        from . import record

        chats = self.session.chats
        wanted = line.strip()
        if wanted and wanted not in chats:
            there_are = ", ".join(chats) or "none yet"
            raise UsageError(f"There is no conversation {wanted!r}.", advice=f"There are: {there_are}.")
        for name in [wanted] if wanted else chats:
            self._show(record.history_table(name, chats[name]))
        if not chats:
            print("No conversation yet.")

    @line_magic
    def claude_cost(self, line: str) -> None:
        """Tokens and dollars per turn, per model, and in total.

        %claude_cost
        """
        if line.strip():
            raise UsageError("%claude_cost takes no arguments.")
        from . import record

        standing = [turn for chat in self.session.chats.values() for turn in chat]
        self._show(record.cost_table(standing, self.session.spent_elsewhere()))

    @line_magic
    def claude_key(self, line: str) -> None:
        """Ask for an API key, with hidden input, and keep it in memory until the kernel stops.

        %claude_key
        """
        if line.strip():
            raise UsageError(
                "%claude_key takes nothing on its line: a key in a cell is a key in the file.",
                advice="Run it bare, and paste the key where it asks. The key on this line should be revoked.",
            )
        self.session.client.use_key(_hidden_input())
        print("The key is kept in memory, for this kernel only.")

    def prepare(self, info: Any) -> None:
        """Before each cell: note its source, and which cells were deleted."""
        self._source = info.raw_cell or ""
        if deleted := deleted_cells(self.shell):
            self.session.delete(deleted)

    def complete(self, asked: CompletionContext) -> SimpleMatcherResult:
        """IPython's matcher for `%claude` and `%%claude` cells."""
        from . import completion

        return completion.match(asked, self.shell, lambda: list(self.session.chats))

    def _defaults(self) -> Options:
        settings = {each.name: getattr(self, each.name) for each in options.FIELDS if each.metadata["setting"]}
        return Options(**settings)

    def _settings(self) -> Settings:
        from .client import Settings

        return Settings(self.provider, self.max_retries, self.max_retry_wait, self.timeout)

    def _run(self, line: str, cell: str | None) -> None:
        """Read the line and the body, ask, show."""
        from . import context, live

        wanted, rest = options.parse(line, self._defaults())
        running = current_cell(self.shell, self._source)
        body = rest if cell is None else _body(cell, rest, running)
        namespace = self.shell.user_ns
        if wanted.system and not wanted.raw:
            wanted = dataclasses.replace(wanted, system=_system(wanted.system, namespace))
        wanted = dataclasses.replace(wanted, model=models.resolve(wanted.model))
        content = context.content(body, namespace, raw=wanted.raw)
        if wanted.show_request:
            print(self.session.request(wanted, content, running).as_json())
            return
        # Only a frontend that sends the cell's id can be trusted to show widgets.
        view = live.view_for(self.shell, panel=self.panel and running.id is not None)
        self._conclude(self.session.ask(wanted, content, running, self._settings(), view), wanted)

    def _conclude(self, outcome: Outcome, wanted: Options) -> None:
        from . import record

        if outcome.turn is not None and wanted.out and (outcome.joined or outcome.failure is None):
            self.shell.user_ns[wanted.out] = record.answer_value(outcome.turn)
        if outcome.failure is not None:
            raise _kept(outcome) if outcome.turn is not None else outcome.failure

    def _show(self, bundle: Bundle) -> None:
        self.shell.display_pub.publish(bundle, {})


ClaudeMagic.claude.__doc__ = f"""Ask Claude. The conversation is the notebook: each cell sees those before it.

    %%claude [options]          the lines below are the prompt, byte for byte
    %claude [options] prompt    the same on one line

In a prompt, {{{{expression}}}} stands for a value of the notebook: text, a DataFrame, a figure, an
image, anything that can be displayed. \\{{{{ is a literal {{{{.

Options:
{options.help_text()}

Beside it: %claude_history, %claude_cost, %claude_reset, %claude_key. Defaults: %config ClaudeMagic.
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
    from . import context

    content = context.content(text, namespace)
    if any(block["type"] != "text" for block in content):
        raise PromptError("A system prompt is text: --system cannot take an image.")
    return "".join(block["text"] for block in content)


def _kept(outcome: Outcome) -> ClaudeError:
    failure = outcome.failure
    assert failure is not None
    if outcome.joined:
        failure.advice = f"What had arrived is kept. {failure.advice}".strip()
    else:
        failure.advice = f"The conversation is as it was. {failure.advice}".strip()
    return failure


def _hidden_input() -> str:
    try:
        return getpass.getpass("Anthropic API key: ")
    except Exception:  # a kernel without a person: nbclient, papermill
        message = "There is nobody to ask for a key here."
    raise UsageError(message, advice="Set ANTHROPIC_API_KEY in the environment before the kernel starts.")


_CELL = re.compile(r"%%(claude\w*)(?![\w?])[ \t]*(.*)")


def exact_cells(lines: list[str]) -> list[str]:
    """An input transformer that takes `%%claude` cells before IPython's own: those strip prompts and indents."""
    first = next((at for at, line in enumerate(lines) if line.strip()), len(lines))
    found = _CELL.match(lines[first].rstrip()) if first < len(lines) else None
    if found is None or found.group(2).endswith("?"):
        return lines
    name, line = found.groups()
    body = "".join(lines[first + 1 :]) or "\n"  # IPython has words of its own for an empty body
    return [f"get_ipython().run_cell_magic({name!r}, {line!r}, {body!r})\n"]


# IPython asks transformers whether a cell is complete, and this one would make of `%%claude` alone a
# line that is; those that are marked so are not asked.
exact_cells.has_side_effects = True  # type: ignore[attr-defined]

# The one unavoidable global: what was loaded into which shell. It outlives `%unload_ext`, so that
# `%reload_ext` keeps the conversation.
_LOADED: WeakKeyDictionary[Any, ClaudeMagic] = WeakKeyDictionary()


def load(shell: InteractiveShell) -> None:
    """Register the magics, once."""
    magics = _LOADED.get(shell)
    if magics is None:
        magics = _LOADED[shell] = ClaudeMagic(shell)
    unload(shell)
    shell.configurables.append(magics)
    shell.register_magics(magics)
    shell.input_transformers_cleanup.insert(0, exact_cells)
    shell.events.register("pre_run_cell", magics.prepare)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(magics.matcher)


def unload(shell: InteractiveShell) -> None:
    """Take away all that `load` put there."""
    magics = _LOADED.get(shell)
    if magics is None:
        return
    for kind, names in magics.magics.items():
        for name in names:
            shell.magics_manager.magics[kind].pop(name, None)
    shell.magics_manager.registry.pop("ClaudeMagic", None)
    shell.configurables[:] = [each for each in shell.configurables if each is not magics]
    shell.input_transformers_cleanup[:] = [each for each in shell.input_transformers_cleanup if each is not exact_cells]
    if shell.Completer is not None and magics.matcher in shell.Completer.custom_matchers:
        shell.Completer.custom_matchers.remove(magics.matcher)
    if magics.prepare in shell.events.callbacks["pre_run_cell"]:
        shell.events.unregister("pre_run_cell", magics.prepare)
