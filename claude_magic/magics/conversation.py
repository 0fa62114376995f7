"""The magics of the conversation: history, reset, undo, recover, export, resume, pins, system prompt."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import line_cell_magic, line_magic, magics_class, no_var_expand

from ..conversation.record import pin_metadata, system_metadata
from ..conversation.turns import Pin, SystemPrompt, turns_of
from ..errors import UsageError
from .base import KernelMagics
from .line import cut, read, refusal

if TYPE_CHECKING:
    from ..conversation.turns import Conversation, Turn
    from ..render.text import Bundle
    from ..session.session import Session


@magics_class
class ConversationMagics(KernelMagics):
    """`%claude_history`, `%claude_undo`, `%claude_reset`, and ways out and back in."""

    @property
    def _session(self) -> Session:
        return self.kernel.session

    @line_magic
    def claude_history(self, line: str) -> None:
        """List the conversations as tables: each turn with its cell, prompt, model, tokens, cost, time and marks.

        %claude_history [CHAT] [--full | --json]

        --full shows prompts and replies in full, --json prints the messages as the API gets them.
        """
        from ..render import history

        typed = read(line, "%claude_history [CHAT] [--full | --json]")
        form = typed.one_of("--full", "--json")
        for name, chat in self._chats(typed.words).items():
            if form == "--json":
                print(history.history_json(chat))
            elif form == "--full":
                for bundle in history.history_in_full(name, chat):
                    self._show(bundle)
            else:
                self._show(history.history_table(name, chat))

    @line_magic
    def claude_reset(self, line: str) -> None:
        """Start a conversation over: later cells do not send its earlier turns.

        %claude_reset [CHAT]
        """
        from ..conversation.record import reset_metadata

        chat = self._chat(line, "%claude_reset [CHAT]")
        count = self._session.chats.reset(chat)
        message = f"The conversation {chat!r} starts over; {turns_of(count)} left it."
        self._show({"text/plain": message}, reset_metadata(chat, time.time()))

    @line_magic
    def claude_continue(self, line: str) -> None:
        """Continue the last reply where it was cut off at max_tokens or interrupted; both parts become one reply.

        %claude_continue [CHAT]
        """
        chat = self._chat(line, "%claude_continue [CHAT]")
        from . import ask

        ask.continue_reply(self.kernel, chat)

    @line_magic
    def claude_compact(self, line: str) -> None:
        """Have the API summarise the conversation above this cell: later cells send the summary in place of the
        turns. Delete this cell, and they send the turns again.

        %claude_compact [CHAT]
        """
        chat = self._chat(line, "%claude_compact [CHAT]")
        from . import ask

        ask.compact(self.kernel, chat)

    @line_magic
    def claude_pin(self, line: str) -> None:
        """Put a value, a text or a document at the front of all conversations. The API caches it, and later
        questions read it at a fraction of the price. Without a name: list the pins.

        %claude_pin [EXPRESSION | PATH] [--ttl 5m|1h]
        """
        expression, ttl = _pinned(line)
        if not expression:
            self._show_pins()
            return
        from ..content.parts import Limits
        from ..prompt import prompt
        from ..prompt.values import files

        path, defaults = _file(expression), self.kernel.configuration.defaults()
        limits = Limits(defaults.value_tokens, defaults.cell_tokens)
        body, namespace = f"{{{{{expression}}}}}", self.kernel.namespace
        content = files.path_blocks(path) if path else prompt.prompt_content(body, namespace, limits=limits)
        pin = Pin(expression, tuple(content), ttl, time.time())
        self._session.chats.set_up(pin, self.kernel.cell)
        self._show({"text/plain": f"Pinned {expression}, kept for {ttl}."}, pin_metadata(pin))

    @line_magic
    def claude_unpin(self, line: str) -> None:
        """Remove a pin; without a name, all pins.

        %claude_unpin [EXPRESSION | PATH]
        """
        pins, name = self._session.chats.pins, line.strip()
        gone = [name] if name else list(pins)
        if not set(gone) <= pins.keys():
            raise UsageError(f"{name} is not pinned.", advice=f"Pinned: {', '.join(pins) or 'nothing'}.")
        for each in gone:
            none = Pin(each, (), "5m", time.time())
            self._session.chats.set_up(none, self.kernel.cell)
            self._show({"text/plain": f"{each} is no longer pinned."}, pin_metadata(none))
        if not gone:
            print("Nothing is pinned.")

    def _show_pins(self) -> None:
        from ..render import table

        rows = [
            [pin.name, pin.ttl, f"{sum(len(json.dumps(block)) for block in pin.content):,}"]
            for pin in self._session.chats.pins.values()
        ]
        if rows:
            self._show(
                table.table_output("Pinned at the front of the conversations", ["what", "kept", "characters"], rows)
            )
        else:
            print("Nothing is pinned. %claude_pin NAME puts a value or a file at the front of the conversations.")

    @line_magic
    def claude_undo(self, line: str) -> None:
        """Bring back the turn that the last re-run of a cell replaced. Repeat to go further back.

        %claude_undo
        """
        read(line, "%claude_undo")
        turns, instead_of = self._session.undo()
        if not turns:
            print("Nothing to bring back: no cell of this notebook was run again.")
            return
        self._show_guests(f"Brought back {_cells(turns)}, as before its last run.", turns, instead_of)

    @line_magic
    def claude_choose(self, line: str) -> None:
        """Keep another model's reply of the last comparison in the conversation. %claude_undo reverses it.

        %claude_choose MODEL
        """
        from ..session import comparison

        (model,) = read(line, "%claude_choose MODEL").words
        chosen, place = comparison.choose(self._session, model)
        message = f"{chosen.params['model']} goes on in the conversation, instead of {place.params['model']}."
        self._show({"text/plain": message}, _guests([chosen], [place.id]))

    @line_magic
    def claude_recover(self, line: str) -> None:
        """Show replies that were paid for but are not in this notebook, since its page was closed or its kernel died,
        and put them back into the conversation at their cell's place.

        %claude_recover
        """
        read(line, "%claude_recover")
        from ..conversation.record import DamagedRecord
        from ..notebook.journal import turn_of
        from ..session import restore

        found, damaged = [], 0
        session, cells = self._session, self.kernel.notebooks.current.cells
        for entry in restore.lost(session, session.path, self.kernel.cell.page, cells):
            try:
                found.append(turn_of(entry))
            except DamagedRecord:
                damaged += 1
        if damaged:
            print(f"{damaged} in the journal cannot be read.")
        if not found:
            print("Nothing to recover: this notebook has every reply.")
            return
        put_back = sum(session.chats.put_back(turn) for turn in found)
        now = f"{put_back} put back into the conversation" if put_back else "the conversation is as it was"
        message = f"{restore.summary(found)} recovered; {now}."
        self._show_guests(message, found)

    @line_magic
    def claude_export(self, line: str) -> None:
        """Write the conversation to a file: .md, .html, .json (which %claude_resume reads), or a .py that makes the
        same calls with the SDK.

        %claude_export FILE [CHAT]
        """
        from ..notebook import files
        from ..render import export

        file, *chat = read(line, "%claude_export FILE [CHAT]").words
        path = Path(file).expanduser()
        form = export.form_of(path)
        chats = self._chats(chat)
        made = export.export(chats, form, title=path.stem, stem=path.stem)
        files.write_atomically(path, made.text.encode(), made.files)
        print(f"Wrote {path}: {turns_of(sum(map(len, chats.values())))}.")

    @line_magic
    def claude_resume(self, line: str) -> None:
        """Continue a saved conversation: without a name, the one in this notebook's own file; with one, that of another
        notebook or JSON export, whose turns then stand at this cell's place.

        %claude_resume [FILE]
        """
        from ..session import restore

        words = read(line, "%claude_resume [FILE]").words
        session, cell = self._session, self.kernel.cell
        path = Path(words[0]).expanduser() if words else session.path
        if path is None:
            raise UsageError(
                "This notebook's file is not known here.",
                advice="Name it: %claude_resume FILE, or %config ClaudeMagic.notebook_path.",
            )
        if session.path is not None and path.resolve() == session.path.resolve():
            lines = list(restore.come_back(session, path))
            print("\n".join(lines) or f"{path.name} has no turns beyond those here.")
            return
        turns, skipped = _turns_in(path)
        adopted = session.chats.adopt(turns, cell)
        for message in restore.skipped(skipped):
            print(message)
        if not adopted:
            print(f"{path} has no turns beyond those here.")
            return
        self._show({"text/plain": f"{restore.summary(adopted)} taken up from {path}."}, _guests(adopted))

    def _chat(self, line: str, usage: str) -> str:
        """The name of the chat on the line, else the default chat of `%config`."""
        return " ".join(read(line, usage, joined=True).words) or self.kernel.configuration.chat

    def _chats(self, words: Sequence[str]) -> dict[str, Conversation]:
        """The named conversation, or all of them, by name. Raises `UsageError` if there is none."""
        chats = {name: chat for name, chat in self._session.chats.shown.items() if len(chat)}
        there_are = ", ".join(chats) or "none yet"
        if words and words[0] not in chats:
            raise UsageError(f"There is no conversation {words[0]!r}.", advice=f"There are: {there_are}.")
        if not chats:
            raise UsageError("There is no conversation yet.", advice="A %%claude cell begins one.")
        return {words[0]: chats[words[0]]} if words else chats

    def _show_guests(self, message: str, turns: Sequence[Turn], instead_of: Sequence[str] = ()) -> None:
        """Show a message and the turns that came back; the message's metadata has them, so that the file does."""
        from ..render import history

        self._show({"text/plain": message}, _guests(turns, instead_of))
        by_chat: dict[str, list[Turn]] = {}
        for turn in turns:
            by_chat.setdefault(turn.chat, []).append(turn)
        for name, members in by_chat.items():
            for bundle in history.history_in_full(name if len(by_chat) > 1 else "", _conversation(members)):
                self._show(bundle)

    def _show(self, bundle: Bundle, metadata: dict[str, Any] | None = None) -> None:
        self.shell.display_pub.publish(bundle, metadata or {})


def _conversation(turns: Sequence[Turn]) -> Conversation:
    from ..conversation.turns import Conversation

    return Conversation(tuple(turns))


def _guests(turns: Sequence[Turn], instead_of: Sequence[str] = ()) -> dict[str, Any]:
    from ..conversation.record import guests_metadata
    from ..cost.pricing import exact_costs

    return guests_metadata(turns, instead_of, exact_costs(turns))


def _turns_in(path: Path) -> tuple[tuple[Turn, ...], tuple[str, ...]]:
    """The turns in a notebook or a JSON export, and a message for each damaged record.

    Raises `UsageError` if the file cannot be read.
    """
    from ..conversation import record
    from ..notebook import reader

    if path.suffix != ".json":
        saved = reader.read(path)
        return saved.turns, saved.skipped
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["claude_magic"]
        return record.record_of(found).turns, ()
    except OSError as error:
        why = error.strerror or "the file cannot be opened"
    except record.DamagedRecord as error:
        why = str(error)
    except (ValueError, KeyError, TypeError, RecursionError):
        why = "it is not a JSON export of %claude_export"
    raise UsageError(f"{path} cannot be read: {why}.")


def _pinned(line: str) -> tuple[str, str]:
    """The expression on a line, and its `--ttl`. Raises `UsageError` for a ttl other than 5m or 1h."""
    given, expression = cut(line, "--ttl")
    return expression, "5m" if given is None else _ttl(given)


def _file(expression: str) -> Path | None:
    """The path in an expression (quotes are removed), if it is a file; else None."""
    with suppress(OSError, ValueError, RuntimeError):
        path = Path(expression.strip("'\"")).expanduser()
        return path if path.is_file() else None
    return None


def _cells(turns: Sequence[Turn]) -> str:
    numbers = [f"[{turn.execution_count}]" for turn in turns if turn.execution_count is not None]
    return f"{turns_of(len(turns))} {', '.join(numbers)}".strip()


@magics_class
class SystemMagics(KernelMagics):
    """`%claude_system`."""

    @no_var_expand
    @line_cell_magic
    def claude_system(self, line: str, cell: str | None = None) -> None:
        """Set a conversation's system prompt, from this cell on; {{name}} takes it from a variable. Delete the cell to
        remove the prompt. Without a text: print the present one. The option --system is for one cell only.

        %claude_system [--chat NAME] [--ttl 5m|1h] TEXT
        %claude_system [--chat NAME] --none

        --ttl has the API cache the prompt by itself, for that long: for one that many conversations share.
        """
        chat, ttl, text = _system_options(line, cell, self.kernel.configuration.chat)
        chats = self.kernel.session.chats
        if not text:
            present = chats.systems.get(chat)
            print(present.text if present else f"The conversation {chat!r} has no system prompt of its own.")
            return
        removes = cell is None and text == "--none"
        system = SystemPrompt(chat, "" if removes else self.kernel.system_text(text), time.time(), ttl=ttl)
        chats.set_up(system, self.kernel.cell)
        kept = f", kept for {ttl}" if ttl else ""
        message = (
            f"The conversation {chat!r} has {'no' if removes else 'a'} system prompt of its own from here on{kept}."
        )
        self.shell.display_pub.publish({"text/plain": message}, system_metadata(system))


_SYSTEM = "%claude_system [--chat NAME] [--ttl 5m|1h] TEXT, or --none"


def _system_options(line: str, cell: str | None, chat: str) -> tuple[str, str | None, str]:
    """The chat, the TTL, and the text or `--none`. Raises `UsageError` for other options or a misplaced text."""
    rest, ttl = line.strip(), None
    while found := _LEADING.match(rest):
        value, rest = cut(rest, found[1], leading=True)
        if value is None:
            raise UsageError(f"{found[1]} wants a value.", advice=f"Write {_SYSTEM}.")
        chat, ttl = (chat, _ttl(value)) if found[1] == "--ttl" else (value, ttl)
    if cell is not None and rest:
        raise UsageError(
            "%%claude_system takes only --chat and --ttl on its first line.", advice="The text goes below it."
        )
    if rest.startswith("-") and rest != "--none":
        raise refusal(_SYSTEM, rest.split()[0])
    if rest == "--none" and ttl:
        raise UsageError("--ttl and --none do not go together.", advice=f"Write {_SYSTEM}.")
    return chat, ttl, rest if cell is None else cell.strip()


_LEADING = re.compile(r"(--chat|-c|--ttl)(?=[\s=]|$)")


def _ttl(text: str) -> str:
    """The value of a `--ttl`. Raises `UsageError` for another than 5m or 1h."""
    if text not in ("5m", "1h"):
        raise UsageError(f"--ttl wants 5m or 1h, not {text!r}.")
    return text
