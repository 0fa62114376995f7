"""What a turn looks like at rest: in HTML, in Markdown, and as text alone."""

from __future__ import annotations

import dataclasses
import html.parser
import json
from datetime import datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from claude_magic.conversation.turns import Conversation, Turn
from claude_magic.render import history
from claude_magic.render.answer import answer_outputs
from claude_magic.render.reply import reply_value
from claude_magic.render.table import table_output
from claude_magic.render.text import printable
from claude_magic.render.turn import footer, header_output, sent_outputs
from claude_magic.request import build
from support.hostile_markdown import HOSTILE
from support.html_judge import Seen
from support.turns import SHOWN_USAGE, text, turn


class Elements(html.parser.HTMLParser):
    """The elements, attributes and text of some HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.words = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words += data


def header(of: Turn) -> Elements:
    return Elements(header_output(of)[0]["text/html"])


def test_the_header_says_what_was_used_and_what_it_cost_in_html_and_as_text_alone() -> None:
    shown = turn(text("Hi"), first_token=0.4, notes=("2 earlier turns",))
    for words in (header(shown).words, header_output(shown)[0]["text/plain"]):
        assert "claude-opus-5-5" in words
        assert words.startswith("claude-opus-5-5 · 6,500 tokens in → 450 out · $0.0163 · 3.2 s")
        # (1200·4 + 5000·0.2 + 300·5 + 450·20) / 1e6, rounded
        assert "5,000 cached · 300 written to the cache · 120 thinking · first token 0.4 s · 2 earlier turns" in words
    summary = header_output(shown)[0]["text/html"].split("<summary>")[1].split("</summary>")[0]
    assert "3.2 s" in summary and "cached" not in summary


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
    assert mark in footer(shown)


@pytest.mark.drift
def test_every_reason_to_stop_of_the_sdk_has_words_but_the_ordinary_one() -> None:
    from anthropic.types.beta import BetaStopReason

    footers = {reason: footer(turn(text("Hi"), stop_reason=reason)) for reason in get_args(BetaStopReason)}
    assert [reason for reason in footers if footers[reason] == footers["end_turn"]] == ["end_turn"]


def test_thinking_and_tools_are_folded_away_and_in_order() -> None:
    answered = turn(
        {"type": "thinking", "thinking": "I see.", "signature": "S"},
        {"type": "redacted_thinking", "data": "x"},
        text("First."),
        {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "owls"}},
        {"type": "hologram", "depth": 3},
        text("Then."),
    )
    shown = header(answered)
    order = [shown.words.index(word) for word in ("Thinking", "I see.", "Redacted", "Hologram")]
    assert order == sorted(order) and "details" in shown.tags and "owls" not in shown.words
    (bundle,) = answer_outputs(answered)
    for words in (Elements(bundle["text/html"]).words, bundle["text/markdown"], bundle["text/plain"]):
        order = [words.index(word) for word in ("First.", "Web search", "owls", "Then.")]
        assert order == sorted(order)


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
    for bundle in (header_output(shown)[0], *answer_outputs(shown)):
        assert not Seen(bundle["text/html"]).wrong
    table = Elements(table_output(payload, [payload, "b"], [[payload, payload]])["text/html"])
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
    (shown,) = answer_outputs(turn(*content))
    first, *sources = shown["text/markdown"].split("\n\n", 1)
    assert first == "Owls fly. [1] [2] They hoot. [1] [3]"
    seen = Seen(shown["text/html"])
    assert seen.text.startswith("Owls fly.[1][2] They hoot.[1][3]") and not seen.wrong
    assert seen.links == ["https://example.org/a_b"] * 3
    assert shown["text/plain"].startswith(
        "Owls fly. [1] [2] They hoot. [1] [3]\n\n[1] A [b] <i>, https://example.org/a_b"
    )
    assert "1. [A &#91;b&#93; &lt;i>](https://example.org/a_b)" in sources[0]
    assert "2. Report" in sources[0] and "javascript" not in sources[0].replace("Bad", "")


def test_text_blocks_run_on_and_what_stands_between_makes_a_paragraph() -> None:
    tool = {"type": "server_tool_use", "id": "1", "name": "f", "input": {}}
    (shown,) = answer_outputs(turn(text("One, "), text("two."), tool, text("Three.")))
    assert shown["text/plain"] == "One, two.\n\n**Tool call: f**\n\n```text\n(no result came)\n```\n\nThree."


def test_the_turn_rides_along_small_and_without_image_bytes() -> None:
    data = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYPj/HwADAgH/p8fXkQAAAABJRU5ErkJggg=="
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    shown = turn(text("Hi"))
    with_image = Turn("id", ({"role": "user", "content": [image]}, shown.messages[1]), shown.calls)
    metadata = json.dumps(header_output(with_image)[1])
    assert data not in metadata and '"sha256"' in metadata
    assert sent_outputs([image])[0][0]["text/plain"].startswith("[image sent to Claude: 1 × 1 pixels")


def test_out_binds_a_string_that_knows_the_rest() -> None:
    code = "Look:\n\n```python\nx = 1\n```\n\n```\ny = 2\n```\n\n```sql\nselect\n```"
    value = reply_value(turn({"type": "thinking", "thinking": "hm", "signature": ""}, text(code)))
    assert value == code and value.upper() == code.upper()
    bundle = value._repr_mimebundle_()
    assert "<pre" in bundle["text/html"] and bundle["text/markdown"] == code == bundle["text/plain"]
    assert value.thinking == "hm" and value.code == "x = 1\n\ny = 2"
    assert value.usage == SHOWN_USAGE and str(value.cost) == "0.0163" and len(value.blocks) == 2


@given(st.text())
def test_what_is_printed_drives_no_terminal(words: str) -> None:
    shown = printable(words)
    assert "\x1b" not in shown and "\r" not in shown and "\u202e" not in shown
    shown.encode()


@pytest.mark.parametrize(
    ("changes", "cost"),
    [
        ({}, "replayed, $0.00 now, $0.0163 when recorded"),
        ({"model": "claude-unheard-of"}, "replayed, $0.00 now, n/a when recorded"),
        ({"stop_reason": None, "status": "interrupted"}, "replayed, $0.00 now, ≥$0.0163 when recorded"),
    ],
)
def test_a_replay_says_what_it_costs_now_and_what_it_cost(changes: dict[str, Any], cost: str) -> None:
    shown = turn(text("Hi"), replayed=True, **changes)
    assert cost in header(shown).words and cost in footer(shown)


def test_a_replay_of_the_stand_in_is_still_labelled_as_its() -> None:
    assert "offline stand-in, not Claude" in footer(turn(text("Hi"), replayed=True, provider="offline"))


def asked(prompt: str | list[Any], *reply: Any, **changes: Any) -> Turn:
    made = turn(*reply, **changes)
    content = [text(prompt)] if isinstance(prompt, str) else prompt
    return dataclasses.replace(made, messages=({"role": "user", "content": content}, *made.messages[1:]))


def test_the_history_has_a_row_a_turn_with_cell_time_and_marks() -> None:
    noon = datetime(2026, 11, 22, 12, 5).timestamp()
    chat = Conversation(
        (
            dataclasses.replace(asked("First?", text("Yes."), execution_count=5, created=noon), id="1"),
            dataclasses.replace(asked("Second?", text("No."), created=noon - 60), id="2"),
            dataclasses.replace(asked("Again?", text("No."), created=noon - 60, replayed=True), id="3"),
            asked("Third?", text("N"), created=noon + 60, status="interrupted", stop_reason=None, provider="offline"),
        )
    )
    table = history.history_table("main", chat)
    caption, heads, _rule, *rows = table["text/plain"].splitlines()
    assert caption == "Conversation main"
    assert heads.split() == ["cell", "prompt", "model", "tokens", "in", "out", "cost", "when", "marks"]
    assert rows[0].split("  ")[0] == "[5]" and "2026-11-22 12:05" in rows[0] and "$0.0163" in rows[0]
    assert rows[1].startswith(" ") and rows[1].endswith("  asked before the change above")
    assert rows[2].endswith("  replayed") and "$0.00" in rows[2]
    assert rows[3].endswith("offline stand-in, not Claude, ■ interrupted")
    assert all(word in Elements(table["text/html"]).words for word in ("[5]", "2026-11-22 12:05", "replayed"))


def test_figures_stand_to_the_right_and_words_to_the_left_in_html_and_as_text_alone() -> None:
    rows = [["one", "1,200", "$0.50", "≥$1.00"], ["twenty", "7", "n/a", "$12.00"]]
    shown = table_output("Caption", ["name", "tokens", "cost", "at least"], rows)
    assert shown["text/plain"].splitlines()[1:] == [
        "name    tokens   cost  at least",
        "-------------------------------",
        "one      1,200  $0.50    ≥$1.00",
        "twenty       7    n/a    $12.00",
    ]
    assert shown["text/html"].count('style="text-align: right"') == 9


def test_the_full_history_quotes_prompts_names_images_and_has_each_reply() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA" * 100}}
    chat = Conversation((asked([image, text("What is\n\nthis?")], text("An *owl*."), execution_count=2),))
    (shown,) = history.history_in_full("main", chat)
    page = shown.pop("text/html")
    assert "<blockquote>\n<p>[image: image/png, 300 bytes]</p>\n<p>What is</p>\n<p>this?</p>" in page
    assert "An <em>owl</em>." in page and "AAAA" not in page
    for form in shown.values():
        quoted = form.replace("&#91;", "[").replace("&#93;", "]")
        assert "> [image: image/png, 300 bytes]" in quoted and "> What is\n>\n> this?" in quoted
        assert "An *owl*." in quoted and "[2]" in quoted and "AAAA" not in quoted


@pytest.mark.slow
def test_the_full_history_of_a_long_conversation_is_few_outputs_that_lose_nothing() -> None:
    chat = Conversation(tuple(asked(f"Question {n}.", text(f"Answer {n}. " * 200)) for n in range(500)))
    shown = history.history_in_full("main", chat)
    assert 2 < len(shown) <= history.MAX_HISTORY_OUTPUTS + 1
    plain = "\n".join(bundle["text/plain"] for bundle in shown)
    assert all(f"> Question {n}." in plain and plain.count(f"Answer {n}. ") >= 199 for n in range(0, 500, 50))
    assert len(history.history_in_full("main", Conversation())) == 1


@pytest.mark.parametrize(("name", "payload"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_a_hostile_prompt_and_model_are_inert_in_the_full_history(name: str, payload: str) -> None:
    strange = {"type": payload, "title": payload}
    stopped = {"stop_reason": "stop_sequence", "stop_sequence": payload}
    chat = Conversation((asked([text(payload), strange], text(payload), model=payload, notes=(payload,), **stopped),))
    (shown,) = history.history_in_full(payload, chat)
    assert not Seen(shown["text/html"]).wrong
    elements = Elements(MarkdownIt("commonmark").render(shown["text/markdown"]))
    assert elements.tags.isdisjoint({"script", "img", "iframe", "svg", "object", "embed", "style", "form", "base"})
    assert elements.attributes <= {"class", "href", "title", "start"}
    assert "javascript:" not in "".join(elements.links).lower()


def test_the_history_as_json_is_the_wire_messages_and_drives_no_terminal() -> None:
    strange = "a\x1b[2J\x7f\u202eé\ud800\n"
    chat = Conversation(
        (
            asked(strange, text("Yes.")),
            asked("refused", text("No."), status="refused", stop_reason="refusal"),
        )
    )
    printed = history.history_json(chat)
    assert json.loads(printed) == [message for each in chat for message in build.messages_to_send(each)]
    assert len(json.loads(printed)) == 2 and json.loads(printed)[0]["content"][0]["text"] == strange
    assert printable(printed) == printed and "é" in printed


def test_what_a_summary_stands_for_is_marked_and_stands_back_and_the_summary_says_what_it_cost() -> None:
    whole = [{"type": "compaction", "content": "They talked.", "signature": "s"}]
    used = {"input_tokens": 100_000, "output_tokens": 1_000, "type": "compaction"}
    said = {"input_tokens": 1_000, "output_tokens": 100, "type": "message"}
    within = {"input_tokens": 1_000, "output_tokens": 100, "iterations": [used, said]}
    on_demand = turn(*whole, usage=used, stop_reason="compaction", params={"compaction": {"type": "summarize"}})
    at_threshold = turn(*whole, text("And on."), usage=within)
    for summary, cost in ((on_demand, "$0.42"), (at_threshold, "$0.4200")):
        chat = Conversation(
            tuple(
                dataclasses.replace(each, id=str(number))
                for number, each in enumerate([turn(text("a")), turn(text("b")), summary, turn(text("c"))])
            )
        )
        shown = history.history_table("main", chat)
        *_, first, second, third, fourth = shown["text/plain"].splitlines()
        assert first.endswith("in the summary") and second.endswith("in the summary")
        assert f"summary of the above: {cost}" in third and "in the summary" not in third + fourth
        assert shown["text/html"].count('<tr style="opacity') == 2
    nothing = turn({"type": "compaction", "content": None}, text("d"))
    assert not Conversation((turn(text("a")), nothing)).summarised()
