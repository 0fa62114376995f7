"""What a turn looks like at rest: in HTML, in Markdown, and as text alone."""

from __future__ import annotations

import html.parser
import json
from typing import Any

import pytest
from hostile import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from claude_magic import record
from claude_magic.conversation import Call, Turn

USAGE = {
    "input_tokens": 1200,
    "cache_read_input_tokens": 5000,
    "cache_creation_input_tokens": 300,
    "output_tokens": 450,
    "output_tokens_details": {"thinking_tokens": 120},
}


def turn(*content: Any, **changes: Any) -> Turn:
    call = {"model": "claude-opus-5-5", "usage": USAGE, "stop_reason": "end_turn", "started": 1.79e9, "seconds": 3.21}
    for name in [name for name in changes if name in Call.__dataclass_fields__]:
        call[name] = changes.pop(name)
    messages = (
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": list(content)},
    )
    return Turn("id", messages, (Call(**call),), **changes)


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


class Elements(html.parser.HTMLParser):
    """The elements, attributes and text of some HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.words = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words += data


def header(of: Turn) -> Elements:
    return Elements(record.header(of)[0]["text/html"])


def test_the_header_says_what_was_used_and_what_it_cost_in_html_and_as_text_alone() -> None:
    shown = turn(text("Hi"), first_token=0.4, notes=("2 earlier turns",))
    for words in (header(shown).words, record.header(shown)[0]["text/plain"]):
        assert "claude-opus-5-5" in words
        assert "6,500 tokens in (5,000 cached, 300 written)" in words
        assert "450 out (120 thinking)" in words
        assert "$0.0163" in words  # (1200·4 + 5000·0.2 + 300·5 + 450·20) / 1e6, rounded
        assert "3.2 s (first token 0.4 s)" in words
        assert "2 earlier turns" in words


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"stop_reason": None, "status": "interrupted"}, "■ interrupted"),
        ({"stop_reason": "max_tokens"}, "cut off at max_tokens"),
        ({"stop_reason": "stop_sequence", "stop_sequence": "END"}, "stopped at 'END'"),
        ({"stop_reason": "tool_use"}, "asks for a tool"),
        ({"stop_reason": "refusal", "status": "refused", "stop_details": {"category": "cyber"}}, "refused"),
        ({"stop_reason": "refusal", "status": "refused", "stop_details": {"category": "cyber"}}, "cyber"),
        ({"provider": "offline"}, "offline stand-in, not Claude"),
        ({"stop_reason": None, "status": "interrupted"}, "≥450 out"),
        ({"stop_reason": None, "status": "interrupted"}, "≥$0.0163"),
        ({"model": "claude-unheard-of"}, "n/a"),
    ],
)
def test_what_must_not_be_overlooked_is_marked_in_words(changes: dict[str, Any], mark: str) -> None:
    shown = turn(text("Hi"), **changes)
    assert mark in header(shown).words
    assert mark in record.footer(shown)


def test_thinking_and_tools_are_folded_away_and_in_order() -> None:
    shown = header(
        turn(
            {"type": "thinking", "thinking": "I see.", "signature": "S"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "owls"}},
            {"type": "hologram", "depth": 3},
            text("Hi"),
        )
    )
    order = [shown.words.index(word) for word in ("Thinking", "I see.", "Redacted", "web_search", "owls", "Hologram")]
    assert order == sorted(order) and "details" in shown.tags


def test_a_reply_that_broke_off_shows_what_came_of_its_last_block() -> None:
    partial = ({"type": "thinking", "thinking": "half a thou", "signature": ""},)
    assert "half a thou" in header(turn(partial=partial, status="interrupted", stop_reason=None)).words


@pytest.mark.parametrize(("name", "payload"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_nothing_from_outside_becomes_html_in_the_header(name: str, payload: str) -> None:
    shown = turn(
        {"type": "thinking", "thinking": payload, "signature": "S"},
        {"type": "tool_use", "id": "1", "name": payload, "input": {payload: payload}},
        {"type": payload, payload: payload},
        model=payload,
        stop_reason="stop_sequence",
        stop_sequence=payload,
        notes=(payload,),
    )
    elements = header(shown)
    assert elements.tags <= {"div", "span", "strong", "details", "summary"}
    assert elements.attributes <= {"class", "style"}
    table = Elements(record.table(payload, [payload, "b"], [[payload, payload]])["text/html"])
    assert table.tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert table.attributes <= {"class", "style", "scope"}


def test_citations_become_numbered_links() -> None:
    web = {
        "type": "web_search_result_location",
        "url": "https://example.org/a_b",
        "title": "A [b] <i>",
        "cited_text": "x",
    }
    page = {"type": "page_location", "document_title": "Report", "document_index": 0, "cited_text": "so it *is*"}
    bad = {"type": "web_search_result_location", "url": "javascript:alert(1)", "title": "Bad", "cited_text": "y"}
    content = [
        {**text("Owls fly."), "citations": [web, page]},
        text(" They "),
        {**text("hoot."), "citations": [web, bad]},
    ]
    (shown,) = record.answer(turn(*content))
    first, *sources = shown["text/markdown"].split("\n\n", 1)
    assert first.replace("&#91;", "[").replace("&#93;", "]") == "Owls fly. [1] [2] They hoot. [1] [3]"
    assert "1. [A &#91;b&#93; &lt;i>](https://example.org/a_b)" in sources[0]
    assert "2. Report" in sources[0] and "javascript" not in sources[0].replace("Bad", "")


def test_text_blocks_run_on_and_what_stands_between_makes_a_paragraph() -> None:
    tool = {"type": "server_tool_use", "id": "1", "name": "f", "input": {}}
    (shown,) = record.answer(turn(text("One, "), text("two."), tool, text("Three.")))
    assert shown["text/plain"] == "One, two.\n\nThree."


def test_the_turn_rides_along_small_and_without_image_bytes() -> None:
    data = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p8fXkQAAAABJRU5ErkJggg=="
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    shown = turn(text("Hi"))
    with_image = Turn("id", ({"role": "user", "content": [image]}, shown.messages[1]), shown.calls)
    metadata = json.dumps(record.header(with_image)[1])
    assert data not in metadata and '"sha256"' in metadata
    assert record.images([image])[0]["text/plain"].startswith("[image sent to Claude: 1 × 1 pixels")


def test_out_binds_a_string_that_knows_the_rest() -> None:
    code = "Look:\n\n```python\nx = 1\n```\n\n```\ny = 2\n```\n\n```sql\nselect\n```"
    value = record.answer_value(turn({"type": "thinking", "thinking": "hm", "signature": ""}, text(code)))
    assert value == code and value.upper() == code.upper()
    assert value.thinking == "hm" and value.code == "x = 1\n\ny = 2"
    assert value.usage == USAGE and str(value.cost) == "0.0163" and len(value.blocks) == 2


@given(st.text())
def test_what_is_printed_drives_no_terminal(words: str) -> None:
    shown = record.printable(words)
    assert "\x1b" not in shown and "\r" not in shown and "\u202e" not in shown
    shown.encode()
