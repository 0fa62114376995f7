"""The magics `%claude` and `%%claude` (ask a question) and `%claude_key` (enter a key)."""

from __future__ import annotations

import re
import textwrap
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_cell_magic, line_magic, magics_class, no_var_expand

from .. import options
from ..errors import ReplyInterrupted, UsageError
from . import registry
from .base import KernelMagics

if TYPE_CHECKING:
    from ..notebook.cell import Cell

# A host name ends in letters behind a dot; no API key has a dot.
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}", re.IGNORECASE)
_NO_KEY = "Set ANTHROPIC_API_KEY in the environment before the kernel starts."


def _siblings() -> str:
    """The line of `%%claude?` that lists the other magics."""
    others = ", ".join(f"%{name}" for name in registry.names() if name != "claude")
    return textwrap.fill(f"Beside it: {others}. Defaults: %config ClaudeMagic.", 119)


@magics_class
class AskMagics(KernelMagics):
    """`%claude` and `%claude_key`."""

    @no_var_expand
    @line_cell_magic
    def claude(self, line: str, cell: str | None = None) -> Any:
        if options.asks_for_help(line, is_cell=cell is not None):
            print(AskMagics.claude.__doc__)
            return None
        with suppress(KeyboardInterrupt):
            value = self._run(line, cell)
            return value if cell is None else None  # the value of a cell would be shown once more
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
            self.kernel.client.use_token(host, _hidden_input(f"Token for {host}: ", where))
            print("The token is kept in memory, for this kernel only.")
            return
        if host:
            raise UsageError(
                "%claude_key takes nothing on its line: a key in a cell is a key in the file.",
                advice="Run it alone, and paste the key where it asks. Revoke the key that was on this line.",
            )
        self.kernel.client.use_key(_hidden_input("Anthropic API key: ", _NO_KEY))
        print("The key is kept in memory, for this kernel only.")

    def _run(self, line: str, cell: str | None) -> Any:
        from ..render.reply import reply_value
        from . import code_cell
        from .ask import ask

        wanted, rest = options.parse(line, self.kernel.configuration.defaults())
        running = self.kernel.cell
        asked = ask(self.kernel, wanted, rest if cell is None else _body(cell, rest, running), running)
        if wanted.code and asked.turn is not None and not code_cell.offer(self.shell, reply_value(asked.turn).code):
            print(code_cell.NO_CODE)
        return asked.value


AskMagics.claude.__doc__ = f"""Ask Claude. The conversation is the notebook: each cell sees those before it.

    %%claude [options]          the lines below are the prompt, byte for byte
    %claude [options] prompt    the same on one line; x = %claude … binds the reply
    %%claude --help             this text

In a prompt, {{{{expression}}}} stands for a value of the notebook: text, a DataFrame, a figure, an
image, anything that can be displayed. In a function, its own names come first. \\{{{{ is a literal {{{{.

Options, by topic, each with an example (ask() and aask() have them under their Python names):

{options.help_text()}

{_siblings()}
"""


def _body(cell: str, rest: str, running: Cell) -> str:
    """The lines below the first, byte for byte, without the newline that IPython adds at the end.

    Raises `UsageError` for `rest`, the words on the first line that are not options.
    """
    if rest.strip():
        raise UsageError(
            f"%%claude takes only options on its first line, not {rest.strip()!r}.",
            advice="The prompt goes below it; for one line, write %claude.",
        )
    return cell[:-1] if cell.endswith("\n") and running.source.endswith(cell[:-1]) else cell


def _hidden_input(question: str, otherwise: str) -> str:
    import getpass

    try:
        return getpass.getpass(question)
    except Exception:  # a kernel without a frontend: nbclient, papermill
        message = "There is nobody to ask for a key here."
    raise UsageError(message, advice=otherwise)
