"""What a conversation is told before all else: `%claude_system`."""

from __future__ import annotations

import re
import time

from IPython.core.magic import line_cell_magic, magics_class, no_var_expand

from ..conversation.record import system_metadata
from ..conversation.turns import SystemPrompt
from ..errors import UsageError
from .beside import BesideMagics

_OF_CHAT = re.compile(r"""(?:--chat|-c)(?:\s+|=)("[^"]+"|'[^']+'|\S+)\s*""")


@magics_class
class SystemMagics(BesideMagics):
    """`%claude_system`."""

    @no_var_expand
    @line_cell_magic
    def claude_system(self, line: str, cell: str | None = None) -> None:
        """Give a conversation its system prompt, from this cell on; {{name}} takes it from a variable. Delete the cell,
        and the prompt is gone. Without a text: say which one there is. --system in a cell holds for that cell only.

        %claude_system [--chat NAME] TEXT
        %claude_system [--chat NAME] --none
        """
        chat, text = _asked(line, cell, self._asking.chat)
        chats = self._asking.session.chats
        if not text:
            print(chats.systems.get(chat) or f"The conversation {chat!r} has no system prompt of its own.")
            return
        takes_away = cell is None and text == "--none"
        system = SystemPrompt(chat, "" if takes_away else self._asking.system_text(text), time.time())
        chats.set_up(system, self._asking.cell)
        said = f"The conversation {chat!r} has {'no' if takes_away else 'a'} system prompt of its own from here on."
        self.shell.display_pub.publish({"text/plain": said}, system_metadata(system))


def _asked(line: str, cell: str | None, chat: str) -> tuple[str, str]:
    """The chat, and the text or `--none`. Raises `UsageError`."""
    rest = line.strip()
    if found := _OF_CHAT.match(rest):
        chat, rest = found.group(1).strip("\"'"), rest[found.end() :]
    if cell is not None and rest:
        raise UsageError("%%claude_system takes only --chat on its first line.", advice="The text goes below it.")
    if rest.startswith("-") and rest != "--none":
        raise UsageError(f"There is no option {rest.split()[0]}.", advice="There are: --chat NAME, --none.")
    return chat, rest if cell is None else cell.strip()
