"""Short forms of text: what they say at their limits, and that a text cannot leave the fence it is put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from claude_magic.content import text
from claude_magic.content.token_estimate import of_text


@pytest.mark.parametrize(("count", "says"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_234_567, "1,234,567 rows")])
def test_a_count_is_said_with_its_noun(count: int, says: str) -> None:
    assert text.plural(count, "row") == says


def test_a_noun_may_have_a_plural_of_its_own() -> None:
    assert text.plural(2, "reply", "replies") == "2 replies" and text.plural(1, "reply", "replies") == "1 reply"


@given(st.text(), st.integers(1, 20))
def test_a_short_text_is_never_longer_than_its_limit(given_text: str, limit: int) -> None:
    shown = text.short(given_text, limit)
    assert len(shown) <= limit
    assert shown == given_text or (shown[-1] == "…" and given_text.startswith(shown[:-1]))
    assert "\n" not in text.short_line(given_text, limit)


def test_a_cut_text_says_how_long_it_was() -> None:
    assert text.truncated("abc", 3) == "abc"
    assert text.truncated("a" * 5_000, 1_000) == "a" * 1_000 + "\n… [shortened: 1,000 of 5,000 characters]"


@given(st.text(alphabet="`a \n~"))
def test_a_fenced_text_is_one_code_block_whatever_is_in_it(given_text: str) -> None:
    (block,) = MarkdownIt().parse(text.fenced(given_text, "text"))
    assert (block.type, block.info, block.content) == ("fence", "text", f"{given_text}\n")


@given(st.text(alphabet=st.characters(exclude_categories=())))
@pytest.mark.slow
def test_a_text_with_halves_of_characters_is_mended_and_measured(given_text: str) -> None:
    """JSON of a stranger can hold half a character; it can neither be sent nor written to a file."""
    whole = text.whole_text(given_text)
    assert text.byte_length(whole) == len(whole.encode())


def test_halves_of_a_character_that_were_cut_apart_are_joined() -> None:
    assert text.byte_length("\ud83d") == 3 and text.whole_text("\ud83d\ude00") == "😀"


@pytest.mark.parametrize(("given_text", "tokens"), [("", 0), ("abcdefg", 2), ("abcdefgh", 3), ("語" * 7, 6)])
def test_a_token_is_three_and_a_half_bytes(given_text: str, tokens: int) -> None:
    assert of_text(given_text) == tokens


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("\x1b[31;1mred\x1b[0m and \x1b[38;5;12mblue\x1b[39m", "red and blue"),
        ("\x1b]0;title\x07text \x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "text link"),
        ("\x1bPdata\x1b\\seen\x1b(B\x1b=", "seen"),
        ("nul\x00 bell\x07 back\x08 del\x7f c1\x9b31m", "nul bell back del c131m"),
        ("a\tb\r\nc\n", "a\tb\nc\n"),
        ("cut in an escape \x1b[3", "cut in an escape "),
    ],
)
def test_escapes_and_control_characters_go_and_the_text_stays(given: str, clean: str) -> None:
    assert text.without_controls(given) == clean


def test_many_escapes_take_linear_time() -> None:
    assert text.without_controls("\x1b[" * 200_000 + "\x1b]" * 200_000) == ""
