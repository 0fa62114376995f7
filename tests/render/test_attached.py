"""What went along with a prompt: listed by name and tokens, shown, counted, stored."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from claude_magic.content import token_estimate
from claude_magic.content.parts import Piece
from claude_magic.conversation import record
from claude_magic.conversation.turns import Attached, Turn
from claude_magic.prompt.prompt import build_prompt, prompt_content
from claude_magic.prompt.values.plain import Text
from claude_magic.render.turn import attached_line, attached_list, footer, header_output, masked_secrets
from support.turns import text, turn

SALES = Attached("sales", "value", 1_234)
FIGURE = Attached("fig", "value", 12)
MANY = [Attached(f"cell [{n}]", "cell", 100, masked=n % 2) for n in range(1, 6)]


def test_each_value_of_a_prompt_is_listed_once_with_its_tokens() -> None:
    image = Image.new("RGB", (280, 56))
    found = build_prompt("{{a}} and {{ b }} and {{a}}", {"a": "x" * 35, "b": image}).attached
    assert found == (Attached("a", "value", 20), Attached("b", "value", 20))


def test_what_the_reader_typed_is_not_listed() -> None:
    assert build_prompt("just text, and {{}}", {}).attached == ()
    assert build_prompt("{{a}}", {}, raw=True).attached == ()


def test_pieces_stand_before_the_text_in_their_order() -> None:
    image = prompt_content("{{i}}", {"i": Image.new("L", (1, 1))})
    pieces = [Piece("a.png", "image", image), Piece("b.txt", "file", [Text("B", own_lines=True)])]
    prompt = build_prompt("What?", {}, pieces)
    assert prompt.content == (*image, {"type": "text", "text": "B\nWhat?"})
    assert [(each.name, each.kind) for each in prompt.attached] == [("a.png", "image"), ("b.txt", "file")]


def test_a_piece_alone_is_a_question_as_a_value_alone_is() -> None:
    prompt = build_prompt("  \n", {}, [Piece("a", "file", [Text("A", own_lines=True)])])
    assert prompt.content == ({"type": "text", "text": "A\n  \n"},)


def test_a_few_things_are_named_on_the_line_in_html_and_in_plain_text() -> None:
    data, _ = header_output(turn(text("Yes."), attached=(SALES, FIGURE)))
    for shown in (data["text/html"], data["text/plain"]):
        assert "with sales (≈1,234 tokens), fig (≈12 tokens)" in shown


def test_many_things_are_counted_on_the_line_and_folded_away_by_name() -> None:
    data, _ = header_output(turn(text("Yes."), attached=tuple(MANY)))
    for shown in (data["text/html"], data["text/plain"]):
        assert "with 5 things (≈500 tokens)" in shown
        assert "cell [4]: cell, ≈100 tokens" in shown
    assert "with 5 things" not in data["text/html"].split("</summary>")[0]
    assert data["text/plain"].count("\n") == 5


def test_masked_secrets_are_a_mark_that_says_how_many_and_where() -> None:
    data, _ = header_output(turn(text("Yes."), attached=tuple(MANY)))
    assert "<strong>3 secrets masked in cell [1], cell [3], cell [5]</strong>" in data["text/html"]
    mark = "1 secret masked in sales (--allow-columns NAME sends a column as it is)"
    assert mark in footer(turn(text("."), attached=(Attached("sales", "value", 1, 1),)))


def test_a_name_from_a_file_cannot_be_markup_or_more_lines() -> None:
    data, _ = header_output(turn(text("Yes."), attached=(Attached("<b>x\n\x1b[31m", "value", 1),)))
    assert "&lt;b&gt;x [31m (≈1 token)" in data["text/html"]
    assert len(data["text/plain"].splitlines()) == 1


@settings(deadline=None)
@given(st.lists(st.builds(Attached, st.text(min_size=1, max_size=300), st.just("value"), st.integers(0, 10**9))))
@pytest.mark.slow
def test_a_turn_is_stored_with_what_went_along_and_read_back(found: list[Attached]) -> None:
    whole = [each for each in found if each.name.isprintable()]
    asked = turn(text("Yes."), attached=tuple(whole))
    data = json.loads(json.dumps(record.metadata(asked)["claude_magic"]))
    (read,) = record.record_of(data).turns
    assert read.attached == asked.attached


def test_a_turn_without_company_is_stored_as_before() -> None:
    assert "along" not in record.as_data(turn(text("Yes.")))


@pytest.mark.parametrize("wrong", [{"name": "x"}, {"name": "x", "kind": "v", "tokens": -1}, "x", {"name": 1}])
def test_a_damaged_listing_damages_the_record(wrong: object) -> None:
    data = record.metadata(turn(text("Yes."), attached=(SALES,)))["claude_magic"]
    data["turn"]["along"] = [wrong]
    with pytest.raises(record.DamagedRecord, match="along"):
        record.record_of(data)


def test_text_of_any_script_weighs_about_a_token_for_each_three_and_a_half_bytes() -> None:
    assert (token_estimate.of_text("x" * 35), token_estimate.of_text("数" * 7), token_estimate.of_text("")) == (
        10,
        6,
        0,
    )


def test_nothing_is_said_where_nothing_went_along() -> None:
    alone: Turn = turn(text("Yes."))
    assert attached_line(alone.attached) == attached_list(alone.attached) == masked_secrets(alone.attached) == ""
    assert "with" not in footer(alone)
