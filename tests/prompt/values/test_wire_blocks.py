"""Content blocks in wire form that the notebook holds: they are what they say, without labels between them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from claude_magic.content.parts import Limits
from claude_magic.conversation.turns import Block
from claude_magic.prompt.prompt import prompt_content
from support.prompt_blocks import refusal
from support.prompt_blocks import text as words


def png() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


MARK = {"cache_control": {"type": "ephemeral"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png()}}
TEXTS = {"type": "text", "media_type": "text/plain", "data": "Owls hoot."}
DOCUMENT = {
    **{"type": "document", "source": TEXTS, "title": "Owls", "context": "A field guide."},
    **{"citations": {"enabled": True}, **MARK},
}
BY_URL = {"type": "document", "source": {"type": "url", "url": "https://a.org/x.pdf"}}
BY_FILE = {"type": "document", "source": {"type": "file", "file_id": "file_1"}}
CHUNKS = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "One."}]}}
FOUND = {
    **{"type": "search_result", "source": "https://a.org", "title": "A", "citations": {"enabled": True}},
    **{"content": [{"type": "text", "text": "Owls hoot."}]},
}


@pytest.mark.parametrize("block", [PICTURE, {**PICTURE, **MARK}, DOCUMENT, BY_URL, BY_FILE, CHUNKS, FOUND], ids=str)
def test_a_block_goes_as_it_is(block: Block) -> None:
    assert prompt_content("See {{it}}", {"it": block}) == [{"type": "text", "text": "See "}, block]


def test_a_list_of_blocks_is_what_stands_in_it_in_order_without_labels() -> None:
    blocks = [{"type": "text", "text": "First:"}, PICTURE, {"type": "text", "text": "Then:", **MARK}, DOCUMENT, FOUND]
    assert prompt_content("{{them}}", {"them": blocks}) == blocks
    assert prompt_content("{{them}}", {"them": tuple(blocks)}) == blocks


def test_a_text_block_stands_in_the_text_around_it() -> None:
    assert words("a\n{{it}}\nb", it={"type": "text", "text": "in between"}) == "a\nin between\nb"


@pytest.mark.parametrize("count", [1, 3])
def test_long_text_in_blocks_goes_whole_as_strings_do(count: int) -> None:
    long = "It is a truth universally acknowledged. " * 1_000
    kinds = (
        {"type": "text", "text": long, **MARK},
        {**DOCUMENT, "source": {**TEXTS, "data": long}},
        {**FOUND, "content": [{"type": "text", "text": long}] * 2},
    )
    for block in kinds:
        assert prompt_content("{{them}}", {"them": [block] * count}) == [block] * count
        short = prompt_content("{{them}}", {"them": [block] * count}, limits=Limits(value_tokens=1_000))
        assert len(str(short)) < 6_000


def test_documents_in_a_list_have_no_labels_between_them(tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    for path in paths:
        path.write_text(f"The text of {path.name}.")
    found = prompt_content("{{paths}}", {"paths": paths})
    assert [(block["type"], block["title"]) for block in found] == [("document", "a.txt"), ("document", "b.txt")]
    mixed = prompt_content("{{both}}", {"both": [DOCUMENT, paths[0]]})
    assert [block["title"] for block in mixed] == ["Owls", "a.txt"]


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text", "text": 3},
        {"type": "text", "text": "a", "id": 7},
        {"type": "image", "source": "https://a.org/x.png"},
        {"type": "document", "title": "A record of a search engine"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        [{"type": "text", "text": "a"}, {"no": "block"}],
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
    ],
    ids=str,
)
def test_a_dict_of_another_form_is_shown_as_any_dict_is(value: Any) -> None:
    assert words("{{it}}", it=value) == repr(value)


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"type": "text", "text": " "}, "is a block of type text without text"),
        ({"type": "image", "source": {"type": "base64", "data": "!!"}}, "whose data is not base64"),
        ({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}, "whose url is not one of the web"),
        ({"type": "image", "source": {"type": "text", "data": "x"}}, "without a source of type base64, url, file"),
        ({"type": "document", "source": {"type": "base64", "data": "AAAA"}}, "whose data is no PDF"),
        ({**DOCUMENT, "cache_control": {"type": "ephemeral", "ttl": "2h"}}, "cache_control is none that the API has"),
        ({**FOUND, "content": []}, "whose content is not a list of text blocks"),
    ],
    ids=str,
)
def test_a_block_that_the_api_would_refuse_is_said_before_anything_is_sent(block: Block, says: str) -> None:
    error = refusal("{{it}}", it=block)
    assert (
        says in error.message and error.message.startswith("{{it}} is a block") and "Nothing was sent" in error.advice
    )


def test_a_secret_in_a_block_is_masked() -> None:
    secret = "sk-ant-api03-" + "aB3" * 12
    found = {**FOUND, "content": [{"type": "text", "text": f"It is {secret}."}]}
    document = {**DOCUMENT, "source": {**TEXTS, "data": f"It is {secret}."}}
    chunks = {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": secret}]}}
    for block in (found, document, chunks, {"type": "text", "text": secret}, {"type": "text", "text": secret, **MARK}):
        assert secret not in str(prompt_content("{{it}}", {"it": block}))
