"""The option line: what it takes, and what it says when it does not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_magic import options
from claude_magic.errors import UsageError
from claude_magic.options import Options, parse

DEFAULTS = Options()


def parsed(line: str) -> Options:
    return parse(line, DEFAULTS)[0]


def test_options_have_the_names_of_the_api_and_short_forms() -> None:
    found = parsed("-m sonnet --max-tokens 2_000 --effort high --thinking off -s 'be brief' -c other -o x --once --raw")
    assert found == Options(
        model="sonnet",
        max_tokens=2000,
        effort="high",
        thinking="disabled",
        system="be brief",
        chat="other",
        out="x",
        once=True,
        raw=True,
    )


def test_values_may_be_attached_quoted_and_hold_backslashes() -> None:
    assert parsed(r'--system="a b" --stop=\n --stop "END of it"').stop == (r"\n", "END of it")
    assert parsed(r"""-s 'C:\new "x"'""").system == r'C:\new "x"'


@given(st.text().filter(lambda text: not text.startswith("-") and text.strip() == text))
def test_a_one_line_prompt_is_byte_for_byte(prompt: str) -> None:
    assert parse(f"--effort low {prompt}", DEFAULTS) == (Options(effort="low"), prompt)


def test_braces_on_the_line_are_one_word() -> None:
    assert parse("-s {{ persona + 'x' }} hi", DEFAULTS) == (Options(system="{{ persona + 'x' }}"), "hi")


@pytest.mark.parametrize(
    ("line", "schema"),
    [
        ("--schema list[Literal['pos','neg']] --out x hi", "list[Literal['pos','neg']]"),
        ("--schema list[Literal['pos', \"neg\"]] --out x hi", "list[Literal['pos', \"neg\"]]"),
        ("--schema=dict[str, int] --out x hi", "dict[str, int]"),
        ("--schema {'type': 'string', 'enum': ['a b']} --out x hi", "{'type': 'string', 'enum': ['a b']}"),
        ("--schema \"list[Literal['pos']]\" --out x hi", "list[Literal['pos']]"),
        ("--schema 'list[Person]' --out x hi", "list[Person]"),
        ("--schema Person --out x hi", "Person"),
        ("--schema list[Person --out x hi", "list[Person"),
    ],
)
def test_a_type_is_taken_as_it_is_typed(line: str, schema: str) -> None:
    assert parse(line, DEFAULTS) == (Options(schema=schema, out="x"), "hi")
    assert options.spans(line)[-3:] == ["--out", "x", "hi"]


def test_a_prompt_that_opens_with_a_dash_goes_after_two() -> None:
    assert parse('--once -- -5 + "3" = ?', DEFAULTS) == (Options(once=True), '-5 + "3" = ?')


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--modle opus", "no option --modle"),
        ("--modle opus", "Did you mean --model?"),
        ("-x", "no option -x"),
        ("--max-tokens many", "--max-tokens wants a whole number"),
        ("--stop '  '", "--stop wants a text that is more than white space"),
        ("--max-tokens 0", "--max-tokens wants a whole number"),
        ("--max-tokens", "--max-tokens wants a value"),
        ("--effort huge", "low, medium, high, xhigh, max"),
        ("--thinking much", "--thinking wants adaptive"),
        ("--out 3x", "--out wants a Python variable name"),
        ("--out class", "--out wants a Python variable name"),
        ("--out __builtins__", "--out wants a Python variable name"),
        ("--out get_ipython", "--out wants a Python variable name"),
        ("--max-tokens 1__0", "--max-tokens wants a whole number"),
        ("--thinking _5000", "--thinking wants adaptive"),
        ("--system it's hi", "quote is not closed"),
        ("--once=yes", "--once takes no value"),
        ("--model ''", "--model is empty"),
        ("--model sonet", "did you mean sonnet?"),
        ("-m opus,Haiku", "did you mean haiku?"),
        ("--fallback opsu", "did you mean opus?"),
        ("--system 'abc", "quote is not closed"),
    ],
)
def test_a_bad_option_is_one_clear_line(line: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(line, DEFAULTS)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_help_names_every_option() -> None:
    text = options.help_text()
    assert all(flag in text for field in options.FIELDS for flag in field.metadata["flags"])


def test_the_help_has_each_option_once_under_a_topic_with_an_example_that_can_be_read() -> None:
    blocks = options.help_text().split("\n\n")
    assert [block.partition(":")[0] for block in blocks] == [title for title, _ in options.TOPICS.values()]
    for field in options.FIELDS:
        flag = field.metadata["flags"][0]
        (block,) = [each for each in blocks if re.search(rf"^  (?:-\w, )?{flag}(?= |$)", each, re.MULTILINE)]
        assert block.startswith(options.TOPICS[field.metadata["group"]][0])
    for _, example in options.TOPICS.values():
        parse(example.split(" ", 1)[1], DEFAULTS)


@pytest.mark.parametrize("name", ["opus", "claude-opus-5", "opus,sonnet", "sonet-1", "llama3", "gpt-x", "mistral", "o"])
def test_a_name_that_may_be_a_models_is_taken(name: str) -> None:
    assert parse(f"--model {name}", DEFAULTS) == (Options(model=name), "")


def test_an_option_of_several_values_may_come_several_times() -> None:
    options, _ = parse("--cells 1-3 --cells 5,7- --tools a,b --tools c --effort low --effort high", Options())
    assert options.cells == ((1, 3), (5, 5), (7, None))
    assert options.tools == "a,b,c"
    assert options.effort == "high"


def test_where_once_is_the_default_a_named_chat_is_a_conversation() -> None:
    defaults = Options(once=True)
    assert parse("hello", defaults)[0].once
    assert not parse("--chat main hello", defaults)[0].once
    assert parse("--chat main --once hello", defaults)[0].once
