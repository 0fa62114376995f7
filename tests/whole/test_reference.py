"""The reference notebook is what the code says, and has all of it."""

from __future__ import annotations

import re

import pytest

from claude_magic import options
from claude_magic.magics import registry
from claude_magic.magics.line import MAP_ACTIONS, MAP_FLAGS, map_flags
from claude_magic.magics.map import MapMagics
from claude_magic.render.reply import ReplyText
from claude_magic.session.configuration import ClaudeMagic
from support import reference_notebook as reference

PAGE = "\n".join("".join(cell["source"]) for cell in reference.notebook()["cells"])
CODE = set(re.findall(r"`([^`]*)`", PAGE))


def test_the_committed_notebook_is_what_the_script_makes() -> None:
    assert reference.PATH.read_text(encoding="utf-8") == reference.text(), "make reference"


@pytest.mark.parametrize("magic", [magic for magics in registry.FAMILIES.values() for magic in magics])
def test_each_magic_is_in_it(magic: str) -> None:
    name = magic.lstrip("%")
    assert re.search(rf"^\| (?:`|<code>)%+{name}\b(?!_)", PAGE, re.MULTILINE)


def test_each_option_has_one_row_with_its_help_and_each_group_a_table() -> None:
    rows = re.findall(r"^\| `(?:-\w, )?(--[\w-]+)(?: [A-Z]+)?` \|.*\|.*\|$", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(field.metadata["flags"][0] for field in options.FIELDS)
    assert all(f"\n### {title}\n" in PAGE for title in reference.GROUPS.values())


def test_each_default_is_in_it_with_its_value() -> None:
    settings = {code.partition(" = ")[0] for code in CODE if " = " in code}
    assert ClaudeMagic.class_traits(config=True).keys() <= settings


def test_options_and_commands_of_a_map_are_those_that_it_takes() -> None:
    about = reference.help_of(MapMagics, "claude_map")
    named = {flag.split()[0] for flag, _ in about.flags}
    assert MAP_FLAGS.keys() <= named <= {*MAP_FLAGS, *map_flags()}
    assert {typed.split()[1] for typed, _ in about.usages[1:]} == set(MAP_ACTIONS)


def test_each_attribute_of_a_reply_is_in_it() -> None:
    table = reference.REPLY.partition("| Attribute")[2]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(ReplyText.__annotations__)


def test_a_bar_in_code_does_not_end_a_cell_of_a_table() -> None:
    for table in re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE):
        bars = {line.count("|") for line in table.splitlines()}
        assert len(bars) == 1, table
