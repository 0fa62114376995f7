"""A notebook that version 0.1 saved comes back whole: its turns, what went along, pins, system prompts and maps.

`saved/by_0.1.ipynb` was made by 0.1 on the offline stand-in. It is never made anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_magic.conversation import record
from claude_magic.conversation.turns import Conversation, Turn
from claude_magic.notebook.reader import Saved, read
from claude_magic.options import Options
from claude_magic.request.build import build

PATH = Path(__file__).parent / "saved" / "by_0.1.ipynb"


@pytest.fixture(scope="module")
def saved() -> Saved:
    return read(PATH)


def kinds(blocks: Any) -> list[str]:
    return [block["type"] for block in blocks]


def test_every_turn_comes_back_in_its_conversation(saved: Saved) -> None:
    assert not saved.skipped
    assert [(turn.cell_id, turn.chat) for turn in saved.turns] == [
        ("question", "main"),
        ("picture", "main"),
        ("tool", "main"),
        ("structured", "main"),
        ("other", "other"),
        ("chart", "other"),
        ("name", "main"),
    ]
    assert [each.turn.once for each in saved.shown].count(True) == 1
    assert all(turn.status == "complete" and turn.calls for turn in saved.turns)


def test_its_images_thinking_tools_and_attachments_are_there(saved: Saved) -> None:
    by_cell = {turn.cell_id: turn for turn in saved.turns}
    picture, tool, chart = by_cell["picture"], by_cell["tool"], by_cell["chart"]
    assert picture.prompt[1]["source"]["data"] and picture.attached[0].name == "picture"
    assert kinds(tool.reply) == ["thinking", "text", "tool_use", "thinking", "text"] and len(tool.results) == 1
    assert "code_execution_tool_result" in kinds(chart.reply)


def test_its_pin_system_prompt_and_map_are_there(saved: Saved) -> None:
    assert len(saved.pins) == 1 and len(saved.mapped) == 1
    assert [(each.chat, each.text) for each in saved.systems] == [("main", "Answer as a teacher of biology.")]


def test_it_goes_on_with_its_thinking(saved: Saved) -> None:
    """The digests of 0.1 are still those of the requests: or the thinking would be left out."""
    turns = tuple(turn for turn in saved.turns if turn.chat == "other")
    asked = build(Conversation(turns), [{"type": "text", "text": "And?"}], Options(chat="other"), saved.pins)
    (first, *_) = (message for message in asked.params["messages"] if message["role"] == "assistant")
    assert "thinking" in kinds(first["content"])


@pytest.mark.parametrize("at", range(7))
def test_a_record_has_the_keys_of_0_1(saved: Saved, at: int) -> None:
    turn: Turn = saved.turns[at]
    written = record.as_data(turn)
    assert set(written) <= {*vars(turn)} - {"attached"} | {"along"}
