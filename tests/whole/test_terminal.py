"""IPython in a terminal: plain text as it comes, a footer, a hidden key, an Interrupt."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

pytestmark = pytest.mark.slow

SECONDS = 60


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("terminal")
    environment = {**os.environ, "TERM": "dumb", "IPYTHONDIR": str(folder / "profile")}
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=nocolor"]
    with pexpect.spawn(
        command[0], command[1:], env=environment, cwd=str(folder), encoding="utf-8", timeout=SECONDS
    ) as running:
        running.expect(r"In \[1\]")
        type_in(running, "%load_ext claude_magic")
        type_in(running, "%config ClaudeMagic.provider = 'offline'")
        yield running


def type_in(terminal: Any, line: str) -> str:
    """Type a line; what is printed until the next prompt."""
    terminal.sendline(line)
    terminal.expect(r"In \[\d+\]: $")
    return str(terminal.before)


def test_the_reply_is_plain_text_with_a_footer(terminal: Any) -> None:
    printed = type_in(terminal, "%claude Hello, my name is Bob.")
    assert "*Offline stand-in, not Claude.*" in printed and "Bob" in printed
    footer = printed.strip().splitlines()[-1]
    assert footer.startswith("[claude-opus-5-5 · ") and "tokens in" in footer and "$0.0" in footer
    assert "<" not in printed and "\x1b" not in printed


def test_the_conversation_goes_on_from_line_to_line(terminal: Any) -> None:
    type_in(terminal, "%claude Hello, my name is Bob.")
    assert "Your name is **Bob**" in type_in(terminal, "%claude What's my name")


def test_a_key_is_asked_for_unseen(terminal: Any) -> None:
    terminal.sendline("%claude_key")
    terminal.expect("API key: ")
    printed = type_in(terminal, "sk-ant-SECRET")
    assert "kept in memory" in printed and "SECRET" not in printed


def test_a_cell_is_typed_over_several_lines(terminal: Any) -> None:
    terminal.sendline("%%claude")
    terminal.expect(r"\.\.\.: ")
    for line in ("What is 17 * 23?", ""):
        terminal.sendline(line)
        terminal.expect(r"\.\.\.: ")
    assert "391" in type_in(terminal, "")


def test_an_interrupt_keeps_what_came(terminal: Any) -> None:
    terminal.sendline("%claude [[long 400000]]")
    terminal.expect("Paragraph 1")
    terminal.sendintr()
    terminal.expect(r"In \[\d+\]: $")
    told = terminal.before.strip().splitlines()[-3:]
    assert "■ interrupted" in told[0] and told[1].startswith("ReplyInterrupted") and "kept" in told[2]


def test_tables_are_text(terminal: Any) -> None:
    type_in(terminal, "%claude Hello.")
    printed = type_in(terminal, "%claude_cost")
    assert "total" in printed and "<td" not in printed
