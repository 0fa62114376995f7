"""Pictures beside many others, and for a cloud: made smaller where the request needs it, and only there."""

from __future__ import annotations

import io
import random
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from claude_magic.content.images import image_block
from claude_magic.content.secrets import Secrets
from claude_magic.conversation.turns import Block, Conversation, Pin
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.request import limits, pictures
from claude_magic.session.question import Question
from claude_magic.session.session import Session
from claude_magic.tools import results
from support.prompt_blocks import picture
from support.sessions import OFFLINE, Reader
from support.turns import text, turn_of


def jpeg(width: int, height: int = 30, *, noisy: bool = False) -> Block:
    made = Image.new("RGB", (width, height), "teal")
    if noisy:
        made = Image.frombytes("RGB", (width, height), random.Random(0).randbytes(width * height * 3))
    buffer = io.BytesIO()
    made.save(buffer, "JPEG", quality=95)
    return image_block(buffer.getvalue())


WIDE, NARROW = jpeg(3_000), jpeg(100)


def widths(content: Sequence[Block]) -> list[int]:
    found = []
    for block in content:
        found += [picture(block).width] if block["type"] == "image" else []
        found += widths(block["content"]) if isinstance(block.get("content"), list) else []
    return found


def test_up_to_twenty_pictures_go_as_they_are() -> None:
    history = Conversation((turn_of("t1", prompt=[*[NARROW] * 18, text("?")]),))
    pins = [Pin("p", (WIDE,))]
    assert pictures.fitted(history, [WIDE], pins) == (history, [WIDE], pins)


def test_among_more_than_twenty_each_wide_one_is_made_smaller_wherever_it_stands() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text("a plot"), WIDE]}
    asked = turn_of("t1", prompt=[*[NARROW] * 17, WIDE, text("?")])
    history = Conversation((asked, turn_of("t1", prompt=[result, text("?")])))
    document = {"type": "document", "source": {"type": "content", "content": [text("a chart"), WIDE]}}
    sent, content, (pin,) = pictures.fitted(history, [WIDE, text("and?"), document], [Pin("p", (WIDE,))])
    found = [widths(turn.messages[0]["content"]) for turn in sent]
    assert found == [[*[100] * 17, 2_000], [2_000]]
    assert widths(content) == widths(pin.content) == [2_000] and content[1] == text("and?")
    assert widths(content[2]["source"]["content"]) == [2_000]
    assert widths(history.turns[0].messages[0]["content"])[-1] == 3_000, "the turn itself stays"
    assert pictures.fitted(sent, content, [pin]) == (sent, content, [pin])


@pytest.mark.slow
def test_a_cloud_takes_smaller_files() -> None:
    large = jpeg(2_400, 2_400, noisy=True)
    assert 5_000_000 < len(large["source"]["data"]) <= 10_000_000
    assert pictures.fitted(Conversation(), [large])[1] == [large]
    _, (sent,), _ = pictures.fitted(Conversation(), [large], in_cloud=True)
    assert len(sent["source"]["data"]) <= 5_000_000


def test_the_twenty_first_picture_leaves_a_conversation_that_the_api_takes() -> None:
    session = Session()
    for number, many in enumerate([[WIDE], [NARROW] * 19, [NARROW], [NARROW]]):
        question = Question(Options(), [*many, text(f"question {number}")], Cell(f"c{number}", f"run {number}"))
        assert session.ask(question, OFFLINE, Reader()).failure is None
    sent = [
        next(width for message in asked["messages"] for width in widths(message["content"]))
        for asked in session.client.offline.requests
    ]
    assert sent == [3_000, 3_000, 2_000, 2_000]
    limits.check(session.client.offline.requests[-1])
    thinks = [
        any(block["type"] == "thinking" for block in message["content"])
        for message in session.client.offline.requests[-1]["messages"]
        if message["role"] == "assistant"
    ]
    assert thinks == [False, False, True], "what was thought about the larger picture stays behind"


def test_a_picture_that_a_tool_gives_is_small_from_the_start() -> None:
    (block,) = results.bounded([], [WIDE], Secrets())
    assert widths([block]) == [2_000]


@pytest.mark.parametrize("source", [{}, {"type": "url", "url": "https://a.org/x"}, {"type": "base64", "data": "!!"}])
def test_a_picture_that_cannot_be_read_is_left_to_the_api(source: dict[str, Any]) -> None:
    odd = [{"type": "image", "source": source}]
    assert pictures.fitted(Conversation(), odd * 25, in_cloud=True)[1] == odd * 25
