"""The line of a magic, read by its usage: what it holds, and one clear message for what does not fit."""

from __future__ import annotations

import pytest

from claude_magic.errors import UsageError
from claude_magic.magics import registry
from claude_magic.magics.line import cut, read, read_map
from claude_magic.options import Options

EXPORT = "%claude_export FILE [CHAT]"
COST = "%claude_cost [--out NAME] [--chart | --no-chart]"


def test_words_switches_and_values_are_told_apart() -> None:
    asked = read("'my file.md' main", EXPORT)
    assert asked.words == ("my file.md", "main") and not asked.flags
    for line in ("--chart --out spent", "--chart --out=spent"):
        asked = read(line, COST)
        assert asked.flags == ("--chart", "--out") and asked.values == {"--out": "spent"} and not asked.words


def test_words_that_are_one_name_are_joined() -> None:
    assert read("my long chat", "%claude_reset [CHAT]", joined=True).words == ("my long chat",)
    assert read("", "%claude_reset [CHAT]", joined=True).words == ()


@pytest.mark.parametrize(
    ("line", "usage", "says"),
    [
        ("a b c", EXPORT, f"%claude_export does not take c. Write {EXPORT}. A name with spaces goes in quotes."),
        ("", EXPORT, f"%claude_export wants FILE. Write {EXPORT}."),
        ("a --full", EXPORT, f"%claude_export does not take --full. Write {EXPORT}."),
        ("all", COST, f"%claude_cost does not take all. Write {COST}."),
        ("--chart=yes", COST, f"%claude_cost does not take --chart=yes. Write {COST}."),
        ("--out", COST, f"--out wants a value: NAME. Write {COST}."),
        ("x", "%claude_undo", "%claude_undo does not take x. Write %claude_undo."),
        ("'x", "%claude_undo", "A quote is not closed in '."),
        ("df --out x", "%m --wait, or %%m FRAME --out NAME", "%m does not take --out. Write %m --wait, or %%m FRAME"),
    ],
)
def test_what_does_not_fit_is_one_line_that_says_what_to_write(line: str, usage: str, says: str) -> None:
    with pytest.raises(UsageError) as failure:
        read(line, usage)
    assert str(failure.value).startswith(says) and "\n" not in str(failure.value)


def test_flags_that_exclude_each_other() -> None:
    asked = read("--chart --no-chart", COST)
    with pytest.raises(UsageError, match="--chart and --no-chart do not go together"):
        asked.one_of("--chart", "--no-chart")
    assert asked.one_of("--json") is None


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ("df.head( 3 )", None, "df.head( 3 )"),
        ("df[ 'a  b' ]  --ttl 1h", "1h", "df[ 'a  b' ]"),
        ("--ttl=5m notes  of mine.txt", "5m", "notes  of mine.txt"),
        ("x --ttl 1h --ttl 5m", "1h", "x"),
        ("x--ttl 1h", None, "x--ttl 1h"),
    ],
)
def test_an_option_is_cut_out_of_an_expression_that_stays_as_it_is(text: str, value: str | None, rest: str) -> None:
    assert cut(text, "--ttl") == (value, rest)


@pytest.mark.parametrize(
    ("text", "value", "rest"),
    [
        ("--chat main  Be brief.\tAlways  so.", "main", "Be brief.\tAlways  so."),
        ("-c 'my chat' Say --chat x", "my chat", "Say --chat x"),
        ("Say --chat x", None, "Say --chat x"),
    ],
)
def test_an_option_that_leads_a_text_is_cut_and_the_text_may_name_it(text: str, value: str | None, rest: str) -> None:
    assert cut(text, "--chat", "-c", leading=True) == (value, rest)


def test_each_usage_is_in_the_help_of_its_magic() -> None:
    """What an error tells one to write is what `?` shows."""
    from claude_magic.magics.conversation import ConversationMagics
    from claude_magic.magics.cost import CostMagics
    from claude_magic.magics.models import ModelMagics

    magics = {**vars(ConversationMagics), **vars(CostMagics), **vars(ModelMagics)}
    for usage in (EXPORT, COST, "%claude_history [CHAT] [--full | --json]", "%claude_models [--all]"):
        name = usage.split()[0].lstrip("%")
        assert name in registry.names() and usage in magics[name].__doc__


# A map's line


def test_a_maps_line_takes_an_expression_with_spaces_and_quotes_wherever_it_stands() -> None:
    for line in ('df.query("a > 3") --out x --concurrency 3', '--concurrency=3 --out x df.query("a > 3")'):
        found = read_map(line, Options())
        assert (found.over, found.options.out, found.concurrency) == ('df.query("a > 3")', "x", 3)
    found = read_map("df[a - b] --fresh -m opus -o x", Options())
    assert (found.over, found.fresh, found.options.model) == ("df[a - b]", True, "opus")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("df --concurrency 0 --out x", "from 1 to"),
        ("df --concurrency --out x", "from 1 to"),
        ("df --batsh --out x", "There is no option --batsh"),
        ("df --once --out x", "does not take --once"),
        ("df --model opus,haiku --out x", "one model"),
        ("df --fresh=1 --out x", "takes no value"),
        ("df --out 1x", "variable name"),
    ],
)
def test_what_does_not_fit_on_a_maps_line_is_refused(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read_map(line, Options())
