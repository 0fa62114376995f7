"""The plan of the package: its floors, how many rooms each has, and that its README says so."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PACKAGE = ROOT / "claude_magic"
TESTS = ROOT / "tests"
# Folders of tests that are of no package: the modules at its top, JupyterLab in a browser, and what is of the whole.
APART = {"top_level", "browser", "whole", "support", "benchmarks"}
HEAVY = ("anthropic", "hypothesis", "IPython", "jupyter_client", "nbformat", "numpy", "pandas", "playwright")
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
MAX_TOP_MODULES = 8
MAX_MODULES = 14
MAX_FUNCTION_LINES = 30
SHORT_SHARE = 0.98
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_no_folder_has_more_modules_than_one_can_take_in(folder: Path) -> None:
    modules = [path.name for path in folder.glob("*.py")]
    assert len(modules) <= (MAX_TOP_MODULES if folder == PACKAGE else MAX_MODULES), modules


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_each_package_says_what_is_in_it(folder: Path) -> None:
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.slow
def test_nearly_all_functions_are_short() -> None:
    lengths = [node.end_lineno - node.lineno + 1 for path in PACKAGE.rglob("*.py") for node in functions(path)]
    assert sum(length <= MAX_FUNCTION_LINES for length in lengths) >= SHORT_SHARE * len(lengths)


def test_the_plan_has_twelve_floors_at_most_and_three_rules_by_name_at_least() -> None:
    (plan,) = [each for each in CONTRACTS if each["type"] == "layers"]
    assert len(plan["layers"]) <= 12 and plan["exhaustive"]
    assert len({each["name"] for each in CONTRACTS if each["type"] != "layers"}) >= 3


def test_the_readme_of_the_package_has_the_same_floors() -> None:
    (plan,) = [each for each in CONTRACTS if each["type"] == "layers"]
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    picture = re.search(r"## The floors\n[^#]*?\n((?:    [^\n]+\n)+)", text)
    assert picture is not None
    floors = [re.split(r"\s{2,}", line.strip())[0] for line in picture[1].splitlines()]
    assert floors == plan["layers"]


def test_the_readme_of_the_package_names_each_package_and_only_files_that_exist() -> None:
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    assert all(f"`{folder.name}/`" in text for folder in PACKAGE.iterdir() if (folder / "__init__.py").exists())
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*\.py)`", text))
    missing = {name for name in named if not list(PACKAGE.rglob(name))}
    assert named and not missing


def test_each_folder_of_tests_is_a_package_or_one_of_those_apart_and_no_test_lies_loose() -> None:
    packages = {folder.relative_to(PACKAGE) for folder in FOLDERS}
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert Path() not in folders, "a test lies loose in tests"
    assert {folder for folder in folders if folder.parts[0] not in APART} <= packages


@pytest.mark.slow
def test_a_start_of_the_tests_imports_nothing_heavy() -> None:
    program = f"import sys, conftest; print(*sys.modules.keys() & {set(HEAVY)})"
    started = subprocess.run([sys.executable, "-c", program], cwd=TESTS, capture_output=True, text=True, check=True)
    assert started.stdout.split() == []


@pytest.mark.parametrize("path", sorted((TESTS / "browser").glob("test_*.py")), ids=lambda path: path.stem)
def test_what_needs_a_browser_says_so(path: Path) -> None:
    """`make check` leaves out what is marked."""
    assert "pytest.mark.browser" in path.read_text(encoding="utf-8")
