"""README says what is true: its code runs, its commands and options exist, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from claude_magic import options
from claude_magic.magics import registry
from support.kernel import Kernel

MAX_WORDS = 1_300
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_FENCED = re.compile(r"^```(?:python)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CELLS = _FENCED.findall(README)
SHELL = re.findall(r"^    (\S.*)$", _FENCED.sub("", README), re.MULTILINE)


def test_the_cells_run_in_their_order_on_the_stand_in(kernel: Kernel) -> None:
    for number, cell in enumerate(CELLS):
        run = kernel.run(cell, f"cell {number}")
        assert (run.error is not None) == ("# fails on purpose" in cell), cell
        assert "You asked:" not in str(run.outputs), "each question has a written example"
        if number == 0:
            kernel.run('%config ClaudeMagic.provider = "offline"')
    assert "groupby" in kernel.evaluate("reply.code")
    assert kernel.evaluate("shops.values.tolist()") == [["north", 169], ["south", 97]]
    assert kernel.evaluate("[len(described), *names]") == [3, "The North Cup", "Southern Roast"]
    assert kernel.evaluate("[each for each in described.reply if 'stand-in' in each]") == []


@pytest.mark.parametrize("command", sorted(set(SHELL)))
def test_a_shell_command_is_one_that_exists(command: str) -> None:
    words = command.split("#")[0].split()
    if words[0] == "make":
        assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text()
    else:
        assert words[:2] in (["pip", "install"], ["export", "ANTHROPIC_API_KEY=…"])


def test_the_first_command_shows_it_and_the_second_tests_it() -> None:
    assert [command.split("#")[0].strip() for command in SHELL[:2]] == ["make demo", "make test"]


@pytest.mark.slow
def test_each_command_of_the_package_is_there() -> None:
    said = set(re.findall(r"`claude-magic (\w+)", README)) | {"cost", "replay", "export", "strip"}
    for command in said:
        done = subprocess.run([sys.executable, "-m", "claude_magic.cli", command, "--help"], capture_output=True)
        assert done.returncode == 0, command


def test_each_option_and_magic_that_is_named_exists() -> None:
    """All of them stand in the reference: test_reference.py."""
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", README)) - {"--batch"}  # of `%%claude_map`
    assert flags <= options.BY_FLAG.keys(), flags - options.BY_FLAG.keys()
    magics = set(re.findall(r"%(claude\w*)", README))
    assert magics <= set(registry.names()), magics - set(registry.names())


def test_it_is_short_enough_to_read() -> None:
    assert len(README.split()) <= MAX_WORDS


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((\w[^)]*)\)|(?:src|srcset)=\"([^\"]*)\"", README))))
def test_a_link_into_the_project_leads_somewhere(link: tuple[str, str]) -> None:
    target = link[0] or link[1]
    assert target.startswith("https://") or (ROOT / target).exists()
