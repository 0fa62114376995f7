"""The table of magics is what the families define, and loading the extension imports none of them."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from claude_magic.magics import registry
from support.shell import Shell, ipython_shell

# Loads the extension into a bare shell, runs a line, and prints which of the named modules were imported.
PROGRAM = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell()
shell.run_cell("%load_ext claude_magic")
shell.run_cell(sys.argv[1])
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""
HEAVY = ("claude_magic.options", "claude_magic.session.configuration", "claude_magic.session.session", "anthropic")


def shown(family: str) -> set[str]:
    """The magics that a family defines, as the table writes them."""
    module, _, name = family.partition(".")
    magics = getattr(importlib.import_module(f"claude_magic.magics.{module}"), name).magics
    return {f"%{each}" for each in magics["line"]} | {f"%%{each}" for each in magics["cell"]}


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_the_table_has_what_each_family_defines(family: str) -> None:
    assert set(registry.FAMILIES[family]) == shown(family)


def test_every_family_is_in_the_table() -> None:
    from claude_magic.magics import base, claude, conversation, cost, fix, models
    from claude_magic.magics import map as map_magics

    modules = (claude, conversation, cost, fix, map_magics, models)
    found = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base.KernelMagics) and value is not base.KernelMagics
    }
    assert found == set(registry.FAMILIES)


def test_the_help_of_claude_lists_every_other_magic() -> None:
    help_text = " ".join(str(Shell().shell.find_line_magic("claude").__doc__).split())
    assert all(f"%{name}" in help_text for name in registry.names())


@pytest.mark.parametrize(
    ("line", "imported"),
    [
        ("1 + 1", ""),
        ("%alias", ""),  # IPython looks at the class of each magic
        ("%config ClaudeMagic.panel = False", "claude_magic.options claude_magic.session.configuration"),
    ],
)
@pytest.mark.slow
def test_loading_imports_nothing_that_the_first_magic_does_not_need(line: str, imported: str) -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM, line, *HEAVY], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1].strip() == imported


def test_help_and_call_of_a_magic_find_it_before_and_after_it_was_used() -> None:
    shell = Shell().shell
    before = shell.find_line_magic("claude_undo").__doc__
    shell.run_line_magic("claude_undo", "")
    assert before == shell.find_line_magic("claude_undo").__doc__ and "Bring back" in before
    assert type(shell.find_line_magic("claude_undo")).__name__ == "method"


def test_unloading_takes_all_magics_away_and_reloading_brings_them_back() -> None:
    shell = ipython_shell()
    shell.run_line_magic("load_ext", "claude_magic")
    shell.run_line_magic("claude_undo", "")
    shell.run_line_magic("unload_ext", "claude_magic")
    assert not any(shell.find_line_magic(name) or shell.find_cell_magic(name) for name in registry.names())
    assert not [each for each in shell.configurables if type(each).__module__.startswith("claude_magic")]
    shell.run_line_magic("load_ext", "claude_magic")
    assert all(shell.find_line_magic(name) for name in registry.names())
