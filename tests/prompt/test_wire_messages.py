"""Earlier turns in wire form: what is taken, and what is refused in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from claude_magic.content.parts import Room
from claude_magic.content.secrets import MASK, Secrets
from claude_magic.errors import PromptError
from claude_magic.prompt import wire_messages

ROOM = Room(10_000, 10_000)
HI = {"role": "user", "content": "Hi"}
HELLO = {"role": "assistant", "content": "Hello"}


def read(value: Any, *, is_whole: bool = False) -> list[Any]:
    return wire_messages.messages(value, "row.messages", Secrets(known=("hunter2secret",)), ROOM, is_whole=is_whole)


def test_text_and_blocks_become_blocks_and_thinking_is_left_out() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "x"}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "Hello", "citations": None}]}
    block = {"type": "text", "text": "Hello"}
    assert read([HI, said])[1] == {"role": "assistant", "content": [block]}
    array = np.empty(2, dtype=object)
    array[:] = [HI, HELLO]
    assert wire_messages.are_messages(array) and read(array)[1]["content"] == [block]


def test_secrets_are_masked_and_long_text_is_shortened() -> None:
    masked, long = read(
        [{"role": "user", "content": "It is hunter2secret"}, {"role": "user", "content": "a b " * 9_000}]
    )
    assert masked["content"][0]["text"] == f"It is {MASK}"
    assert len(long["content"][0]["text"]) <= 10_100


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([HELLO, HI], "begins with the user"),
        ([{"role": "system", "content": "Rhyme."}, HI], "--system"),
        ([HI, {"role": "system", "content": "Rhyme."}], "between the user's"),
        ([{"role": ["user"], "content": "x"}], "has the role"),
        ([{"role": "user"}], "has no content"),
        ([{**HI, "name": "Ann"}], "name besides"),
        ([HI, 7], "is of type int"),
        ([{"role": "user", "content": []}], "no content"),
        ([{"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "?"}}]}], "base64"),
        ([HI, {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}], "tool"),
        ([HI, {"role": "assistant", "content": [{"type": "image", "source": {}}]}], "assistant does not say"),
        ([{"role": "user", "content": ["Hi"]}], "type str"),
        ([{"role": "user", "content": [{"type": ["text"]}]}], "type"),
    ],
)
def test_what_the_api_refuses_is_refused_in_a_line(value: Any, says: str) -> None:
    with pytest.raises(PromptError) as raised:
        read(value)
    assert says in raised.value.message and "\n" not in raised.value.message


def test_a_whole_conversation_ends_with_the_user() -> None:
    with pytest.raises(PromptError, match="no prompt follows"):
        read([HI, HELLO], is_whole=True)
    order = [HI, {"role": "system", "content": "Rhyme."}, HELLO, HI]
    assert [each["role"] for each in read(order, is_whole=True)] == ["user", "system", "assistant", "user"]


def test_a_list_of_other_things_is_no_conversation() -> None:
    assert not any(map(wire_messages.are_messages, ([], ["user"], [{"a": 1}], "role", {"role": "user"}, np.arange(3))))
