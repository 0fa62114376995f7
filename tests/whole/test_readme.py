"""README says what is true: its code runs, its commands and options exist, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from claude_magic import options
from support.kernel import Kernel

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CELLS = re.findall(r"^```(?:python)?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^    (\S.*)$", README, re.MULTILINE)


def test_the_cells_run_in_their_order_on_the_stand_in(kernel: Kernel) -> None:
    ran = 0
    for number, cell in enumerate(cell for cell in CELLS if "──►" not in cell):
        run = kernel.run(cell, f"cell {number}")
        assert run.error is None, cell
        if number == 0:
            kernel.run('%config ClaudeMagic.provider = "offline"')
        ran += 1
    assert ran == 5 and "groupby" in kernel.evaluate("reply.code")


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


def test_each_option_and_magic_is_named_and_exists(kernel: Kernel) -> None:
    flags = {flag for field in options.FIELDS for flag in field.metadata["flags"][:1]}
    assert not {flag for flag in flags if f"`{flag}`" not in README}
    kernel.run("%load_ext claude_magic")
    names = kernel.evaluate(
        "sorted({*get_ipython().magics_manager.magics['line']} | {*get_ipython().magics_manager.magics['cell']})"
    )
    magics = {name for name in names if name.startswith("claude")}
    named = set(re.findall(r"%(claude\w*)", README))
    assert named <= magics, named - magics
    assert magics <= named, magics - named


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((\w[^)]*)\)|(?:src|srcset)=\"([^\"]*)\"", README))))
def test_a_link_into_the_project_leads_somewhere(link: tuple[str, str]) -> None:
    target = link[0] or link[1]
    assert target.startswith("https://") or (ROOT / target).exists()
