"""What a prompt and the values in it become."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from claude_magic.prompt import expressions
from claude_magic.prompt.prompt import build_prompt, prompt_content
from support.prompt_blocks import refusal, text

PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(PLAIN_TEXT.filter(lambda body: "{{" not in body))
def test_text_without_double_braces_arrives_byte_for_byte(body: str) -> None:
    assert prompt_content(body, {}) == [{"type": "text", "text": body}]


@given(PLAIN_TEXT)
def test_raw_text_arrives_byte_for_byte(body: str) -> None:
    assert [*build_prompt(body, {}, raw=True).content] == [{"type": "text", "text": body}]


@given(before=PLAIN_TEXT, value=st.text(st.characters(exclude_categories=["Cs"])), after=PLAIN_TEXT)
def test_a_string_arrives_exact_and_is_not_expanded_again(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", "(").replace("\\", "/"), after.replace("{", "(")
    assert text(before + "{{value}}" + after, value=value) == before + value + after


@pytest.mark.parametrize(
    "body",
    [
        r"\frac{a}{b} $x_1$ 100% @name `code` \n \t end?",
        '\tdef f(d):\n\t\treturn {"a": {"b": 1}}["a"]\n',
        "f'{x}' ${HOME} %run !ls {x}",
        "trailing question?",
        "a {{ that never closes",
        "nothing in {{}} or {{ }} or {{\n}}",
        "}} first, {{ then",
    ],
)
def test_everything_but_double_braces_is_text(body: str) -> None:
    assert text(body) == body


def test_braces_in_a_value_are_inert() -> None:
    assert text("{{a}}", a="{{b}}", b="never") == "{{b}}"


def test_a_backslash_makes_double_braces_literal() -> None:
    assert text(r"\{{a}} {{a}} \\{{a}}", a="x") == r"{{a}} x \{{a}}"


def test_an_expression_ends_at_the_first_braces_that_complete_it() -> None:
    assert text('{{ {"a": {"b": 1}}["a"] }}!') == "{'b': 1}!"
    assert text('{{d["}}"]}}!', d={"}}": "here"}) == "here!"
    assert text("{{a}}{{a}}}}", a="x") == "xx}}"
    assert text("{{ [n for n in range(k)] }}", k=3) == "[0, 1, 2]"


def test_text_that_is_no_expression_is_refused_with_its_line_and_the_way_out() -> None:
    error = refusal("one\ntwo {{this is not}} three")
    assert "Line 2" in error.message
    assert "{{this is not}}" in error.message
    assert r"\{{" in error.advice
    assert "--raw" in error.advice
    assert len(refusal("{{" + "this is not " * 1000 + "}}").message) < 150


def test_a_name_that_does_not_exist_is_refused_by_name_with_the_nearest_one() -> None:
    error = refusal("How about {{dataframe.head()}}?", data_frame=1)
    assert "'dataframe'" in error.message
    assert "'data_frame'" in error.advice
    assert "Nothing was sent" in error.advice


@pytest.mark.parametrize("name", ["Im", "Ot", "exi", "opn", "get_ipythn", "_i", "lenn", "pritn"])
def test_only_the_readers_own_names_are_suggested(name: str) -> None:
    put_there_by_ipython = dict.fromkeys(["In", "Out", "exit", "quit", "open", "get_ipython", "_", "__", "_i1", "_1"])
    error = refusal(f"{{{{{name}}}}}", **put_there_by_ipython)
    assert repr(name) in error.message
    assert "Did you mean" not in error.advice


def test_a_failing_expression_is_refused_in_one_line() -> None:
    assert "ZeroDivisionError: division by zero" in refusal("{{1/0}}").message
    assert "KeyError: 'k'" in refusal("{{d['k']}}", d={}).message

    def fail() -> None:
        raise ValueError("first\nsecond")

    assert "ValueError: first second" in refusal("{{fail()}}", fail=fail).message


def test_nothing_is_rendered_before_every_name_is_found() -> None:
    class Loud:
        def __repr__(self) -> str:
            raise AssertionError("rendered")

    refusal("{{loud}} {{missing}}", loud=Loud())


@pytest.mark.parametrize("body", ["", "  \n\t ", "{{''}}", "{{blank}}\n"])
def test_an_empty_prompt_is_refused(body: str) -> None:
    assert "empty" in refusal(body, blank="  ").message


def test_lone_surrogates_become_replacement_characters() -> None:
    assert text("a\ud800b{{s}}", s="\udfff") == "a\ufffdb\ufffd"


def test_a_character_that_arrives_as_two_surrogates_is_whole_again() -> None:
    assert text("a\ud83d\ude00{{s}}", s="\ud83d") == "a😀\ufffd"


def test_an_expression_that_would_exit_is_refused() -> None:
    assert "SystemExit: 3" in refusal("{{sys.exit(3)}}", sys=sys).message


def test_pasting_many_braces_does_not_take_forever() -> None:
    assert text("{{" * 50_000) == "{{" * 50_000
    refusal("{{ this is not " + "}} " * 50_000)


def test_a_list_with_pictures_shows_its_elements_one_after_another() -> None:
    shown = ["First:", Image.new("RGB", (3, 2)), 2, pandas.DataFrame({"a": [1]}), *[None] * 30]
    blocks = prompt_content("{{shown}}", {"shown": shown})
    assert [block["type"] for block in blocks] == ["text", "image", "text"]
    assert blocks[0]["text"] == "shown[0]: 'First:'\nshown[1]:"
    assert blocks[2]["text"].startswith("shown[2]: 2\nDataFrame shown[3]: 1 rows × 1 columns (pandas)\n")
    assert blocks[2]["text"].endswith("\n… and 14 more")


def test_a_list_that_holds_itself_is_shown_once() -> None:
    shown: list[Any] = [Image.new("RGB", (3, 2)), [Image.new("RGB", (3, 2))]]
    shown.append(shown)
    blocks = prompt_content("{{shown}}", {"shown": shown})
    assert [block["type"] for block in blocks] == ["text", "image", "text", "image", "text"]
    assert blocks[2]["text"] == "shown[1][0]:"
    assert blocks[4]["text"].startswith("shown[2]:")


def test_importing_context_imports_nothing_heavy() -> None:
    heavy = ("PIL", "narwhals", "IPython", "matplotlib", "pandas", "numpy")
    program = f"import sys, claude_magic.prompt.prompt; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"


def test_an_expression_may_go_over_several_lines() -> None:
    assert prompt_content("{{\n  1 +\n  2  # three\n}}", {}) == [{"type": "text", "text": "3"}]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("What is in {sales}?", "sales"),
        ("{sales}", "sales"),
        ("{nothing} and ({sales}), {{sales}}", "sales"),
        ("{nothing}, {{sales}}, \\{{sales}}, { sales }, {sales.x}", None),
        (r"$\frac{sales}{sales}$ and $x_{sales}$, $ {sales}^{sales}$ {sales}x", None),
        ("```python\nprint( {sales} )\n```", None),
        ("What does f'all {sales}' give?", None),
        ("{os} {print} {kind} {_own} {In}", None),
    ],
)
def test_a_variable_in_single_braces_is_noticed_and_code_is_not(body: str, name: str | None) -> None:
    names = {"sales": 1, "os": os, "print": print, "kind": int, "_own": 1, "In": []}
    assert expressions.single_braces(body, names) == name
