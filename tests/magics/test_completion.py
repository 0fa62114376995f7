"""<TAB>, asked of a real kernel as a frontend asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from claude_magic.magics import completion
from support.kernel import Kernel


@pytest.fixture(scope="module")
def notebook(kernel: Kernel) -> Kernel:
    kernel.run("owls = [1]; owl_count = 2; _hidden = 3")
    load(kernel)
    return kernel


def load(kernel: Kernel) -> None:
    """Load the extension, with a chat beside the main one."""
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    kernel.run("%%claude --chat birds\nHi", "a")


def offered(notebook: Kernel, code: str) -> tuple[list[str], str]:
    """What is offered at `|`, and the text that it would replace."""
    at = code.index("|")
    code = code.replace("|", "")
    reply: Any = notebook.client.complete(code, at, reply=True, timeout=60)["content"]
    return reply["matches"], code[reply["cursor_start"] : reply["cursor_end"]]


@pytest.mark.parametrize("magic", ["%%claude", "%claude"])
@pytest.mark.parametrize(
    ("line", "expected", "replaced"),
    [
        ("--ef|", ["--effort"], "--ef"),
        ("--once --max-to|", ["--max-tokens", "--max-tool-calls"], "--max-to"),
        ("--effort |", ["low", "medium", "high", "xhigh", "max"], ""),
        ("--effort=x|", ["xhigh"], "x"),
        ("-m claude-haiku-|", ["claude-haiku-5-5", "claude-haiku-4-5"], "claude-haiku-"),
        ("--model so|", ["sonnet"], "so"),
        ("--thinking d|", ["disabled"], "d"),
        ("--chat b|", ["birds"], "b"),
        ("--out ow|", ["owl_count", "owls"], "ow"),
        ("--model opus,so|", ["sonnet"], "so"),
        ("--system {{owl_|", ["owl_count"], "owl_"),
        ('--system "a quoted text" --chat b|', ["birds"], "b"),
    ],
)
def test_options_and_their_values_are_offered(
    notebook: Kernel, magic: str, line: str, expected: list[str], replaced: str
) -> None:
    assert offered(notebook, f"{magic} {line}") == (expected, replaced)


@pytest.mark.parametrize(
    ("line", "expected", "replaced"),
    [
        ("%%claude_map owl|", ["owl_count", "owls"], "owl"),
        ("%%claude_map owls --conc|", ["--concurrency"], "--conc"),
        ("%%claude_map owls[:2] --out x --back|", ["--background"], "--back"),
        ("%%claude_map --model so|", ["sonnet"], "so"),
        ("%%claude_map owls --out ow|", ["owl_count", "owls"], "ow"),
        ("%%claude_map owls --com|", [], ""),
        ("%claude_map --re|", ["--resume"], "--re"),
        ("%%claude_map owls\nSay {{owl_|}}", ["owl_count"], "owl_"),
    ],
)
def test_a_map_offers_its_options_and_the_data(notebook: Kernel, line: str, expected: list[str], replaced: str) -> None:
    matches, of = offered(notebook, line)
    assert ([each for each in matches if each != "--com"], of if expected else "") == (expected, replaced)


def test_files_are_offered_as_they_are_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plots").mkdir()
    for name in ("plots/owl.png", "plots/two owls.png", ".hidden.png", "points.csv"):
        (tmp_path / name).touch()
    assert completion._files("p") == ["plots/", "points.csv"]
    assert completion._files("plots/") == ["plots/owl.png", '"plots/two owls.png"']
    assert completion._files('"plots/t') == ['"plots/two owls.png"']
    assert completion._files(".h") == [".hidden.png"] and completion._files("") == ["plots/", "points.csv"]
    assert completion._files("nowhere/x") == []


@pytest.mark.parametrize("code", ["%%claude\nWhat pri|", "%%claude\nimp|ossible", "%claude --once pri|", "%%claude\n|"])
def test_prose_gets_no_python(notebook: Kernel, code: str) -> None:
    matches, replaced = offered(notebook, code)
    assert matches in ([], [replaced])


def test_values_are_offered_in_braces(notebook: Kernel) -> None:
    assert offered(notebook, "%%claude\nLook at {{owl|")[0] == ["owl_count", "owls"]
    matches, _ = offered(notebook, "%%claude\nLook {{owl_count}} and {{owls.ap|")
    assert [match.rpartition(".")[2] for match in matches] == ["append"]


def test_other_cells_are_completed_as_ever(notebook: Kernel) -> None:
    assert "owls" in offered(notebook, "owl|")[0]
    assert "print" in offered(notebook, "pri|")[0]


def test_reloading_leaves_one_matcher_and_unloading_none(notebook: Kernel) -> None:
    names = "[str(getattr(m, 'matcher_identifier', '')) for m in get_ipython().Completer.custom_matchers]"
    count = f"{names}.count('claude_magic')"
    notebook.run("%reload_ext claude_magic\n%load_ext claude_magic")
    assert notebook.evaluate(count) == 1
    notebook.run("%unload_ext claude_magic")
    assert notebook.evaluate(count) == 0
    load(notebook)
