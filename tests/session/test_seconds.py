"""The seconds in a reply's header: from the start of its cell, as its reader waits; replays and records keep theirs."""

from __future__ import annotations

import re

import pytest

from claude_magic.conversation import record
from claude_magic.conversation.turns import Turn
from claude_magic.render.turn import footer
from support.shell import OfflineShell
from support.turns import turn_of

SLOW = 0.6  # seconds
SLEEP = f"import time; time.sleep({SLOW})"


def shown(turn: Turn) -> float:
    """The seconds in a turn's header."""
    (found,) = re.findall(r"· (\d+\.\d) s", footer(turn))
    return float(found)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> OfflineShell:
    made = OfflineShell()
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: made.shell)
    return made


@pytest.mark.parametrize(
    "cell",
    [
        f"{SLEEP}\n%claude --once hi",
        f"{SLEEP}\nfrom claude_magic import ask\nask('hi', show=True)",
        "%%claude --once\n{{__import__('time').sleep(" + str(SLOW) + ")}}",
        f"{SLEEP}\n%claude --once --model opus,haiku hi",
    ],
)
@pytest.mark.slow
def test_the_seconds_of_a_cell_count_from_its_start(cell: str, shell: OfflineShell) -> None:
    shell.shell.run_cell(cell).raise_error()
    for turn in shell.kernel.session.spent:
        calls = sum(call.seconds for call in turn.calls)
        assert turn.seconds is not None and turn.seconds >= SLOW + calls - 0.05
        assert shown(turn) >= SLOW
    assert shell.kernel.session.spent


@pytest.mark.parametrize("cell", [f"{SLEEP}\nfrom claude_magic import ask\nask('hi')", None])
@pytest.mark.slow
def test_what_no_cell_shows_takes_as_long_as_its_calls(cell: str | None, shell: OfflineShell) -> None:
    if cell is None:
        shell.shell.run_line_magic("claude", "--once hi")  # by a program, outside of any cell
    else:
        shell.shell.run_cell(cell).raise_error()
    (turn,) = shell.kernel.session.spent
    assert turn.seconds is None and shown(turn) == round(sum(call.seconds for call in turn.calls), 1)


@pytest.mark.slow
def test_a_replayed_turn_says_what_the_recorded_one_says(shell: OfflineShell) -> None:
    shell.shell.run_cell(f"{SLEEP}\n%claude hi").raise_error()
    (asked,) = shell.kernel.session.chats.turns
    shell.configuration.replay, shell.configuration.replay_speed = "only", 0
    shell.shell.run_cell("%claude --chat other hi").raise_error()
    (again,) = (turn for turn in shell.kernel.session.chats.turns if turn.chat == "other")
    assert again.calls[0].replayed and again.seconds == asked.seconds


@pytest.mark.slow
def test_a_continued_reply_took_what_both_cells_took(shell: OfflineShell) -> None:
    shell.shell.run_cell(
        f"{SLEEP}\n%claude -m haiku --thinking disabled --max-tokens 20 [[long 200]] word"
    ).raise_error()
    (cut,) = shell.kernel.session.chats.turns
    shell.shell.run_cell(f"{SLEEP}\n%claude_continue").raise_error()
    whole = shell.kernel.session.chats.turns[-1]
    assert cut.seconds is not None and whole.seconds is not None
    assert whole.seconds >= cut.seconds + SLOW


@pytest.mark.parametrize("seconds", [None, 0.0, 12.34])
def test_a_record_keeps_the_seconds(seconds: float | None) -> None:
    turn = turn_of("a", "a", seconds=seconds)
    (back,) = record.record_of(record.metadata(turn)["claude_magic"]).turns
    assert back.seconds == seconds and footer(back) == footer(turn)


@pytest.mark.parametrize("seconds", [-1, 1e300, "long", True, [1]])
def test_a_record_with_odd_seconds_is_damaged(seconds: object) -> None:
    held = record.metadata(turn_of("a", "a"))["claude_magic"]
    held["turn"]["seconds"] = seconds
    with pytest.raises(record.DamagedRecord):
        record.record_of(held)
