"""Help that helps: `--help`, mistyped names, settings that are checked, the line of `%load_ext`, what <TAB> says."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path

import pytest

from claude_magic import models, options
from claude_magic.magics import completion
from claude_magic.magics.line import MAP_ACTIONS, MAP_FLAGS
from support.shell import OfflineShell, ipython_shell


@pytest.fixture
def shell() -> OfflineShell:
    return OfflineShell()


def said(shell: OfflineShell, cell: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    shell.shell.run_cell(cell)
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize(
    "cell", ["%%claude --help", "%claude --help", "%%claude -m haiku --help\n", "%%claude --help\nhi"]
)
def test_help_is_printed_and_nothing_is_asked(
    cell: str, shell: OfflineShell, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(shell, cell, capsys)
    assert options.help_text().split("\n")[0] in text and "--web-search" in text
    assert not shell.kernel.session.spent
    doc = str(shell.shell.find_cell_magic("claude").__doc__)
    assert text.strip() in "\n".join(line.rstrip() for line in doc.split("\n")).strip()  # the text of `%%claude?`


@pytest.mark.parametrize("cell", ["%claude_cost --help", "x = 1\n%claude_history -h", "%claude_fix --help"])
def test_each_magic_has_help(cell: str, shell: OfflineShell, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(shell, cell, capsys)
    assert "Docstring:" in text and "Error" not in text and f"{cell.split()[-2]} [" in text


@pytest.mark.parametrize(
    "above", ["# a comment?\n", "x = 1\n\n", "\n# why\n%time 1\n", "s = '''\n%%claude\n'''\n", "%matplotlib --list\n"]
)
@pytest.mark.parametrize("magic", ["%%claude", "%%claude_map rows --out x"])
def test_a_cell_magic_that_comes_too_late_says_so(
    above: str, magic: str, shell: OfflineShell, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(shell, f"{above}{magic}\nWhat's a 'mean? It isn't (that\n  hard", capsys)
    assert (
        f"UsageError: {magic.split()[0]} has to stand at the very start of its cell." in text
        and "SyntaxError" not in text
    )
    assert not shell.kernel.session.spent


@pytest.mark.parametrize("cell", [" %%claude\nWhat's a mean?", "\n\t%%claude -m haiku\n  no (\n"])
def test_a_space_before_a_cell_magic_is_named(
    cell: str, shell: OfflineShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Delete the space before it." in said(shell, cell, capsys)


def test_a_map_has_help_too(shell: OfflineShell, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--concurrency" in said(shell, "%%claude_map --help", capsys)


def test_a_prompt_may_speak_of_help(shell: OfflineShell) -> None:
    shell.shell.run_line_magic("claude", "what does --help mean to you")
    assert len(shell.kernel.session.spent) == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("%cluade hi", "%claude"),
        ("%claude_costs", "%claude_cost"),
        ("%%cluade\nhi", "%%claude"),
        ("%Claude_undo", "%claude_undo"),
        ("x = 1\nif x:\n    %claude_modles", "%claude_models"),
        ("%%claude_mpa f\nhi", "%%claude_map"),
    ],
)
def test_a_mistyped_magic_is_named(
    typed: str, meant: str, shell: OfflineShell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"Did you mean {meant}?" in said(shell, typed, capsys)
    assert not shell.kernel.session.spent


@pytest.mark.parametrize(
    "cell", ["%clear_all", "%time 1", "%%timeit\n1", "%cls", "text = '''\n%cluade\n'''", "10 %claud"]
)
def test_other_lines_are_ipythons(cell: str, shell: OfflineShell) -> None:
    lines = shell.shell.transform_cell(cell)
    assert "run_mistyped" not in lines
    shell.shell.magics_manager.magics["line"]["cluade"] = len  # somebody else's
    assert "run_mistyped" not in shell.shell.transform_cell("%cluade")


def test_unloading_takes_the_transformer_away(shell: OfflineShell) -> None:
    shell.shell.run_line_magic("unload_ext", "claude_magic")
    assert "run_mistyped" not in shell.shell.transform_cell("%cluade")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model = 'sonet'", "sonnet"),
        ("model = ' '", "a model's id"),
        ("fallback = 'opsu'", "opus"),
        ("base_url = 'gateway.example'", "http://"),
        ("effort = 'hgh'", "high"),
        ("cache = '2h'", "5m"),
        ("max_tokens = 'x'", "whole number"),
        ("provider = 'x'", "offline"),
        ("max_retries = -1", "0"),
        ("timeout = 'x'", "float"),
    ],
)
@pytest.mark.slow
def test_a_default_is_checked_when_it_is_set(
    setting: str, says: str, shell: OfflineShell, caplog: pytest.LogCaptureFixture
) -> None:
    name = setting.split()[0]
    before = getattr(shell.configuration, name)
    shell.shell.run_cell(f"%config ClaudeMagic.{setting}")
    (record,) = caplog.records
    assert says in record.getMessage() and "\n" not in record.getMessage()
    assert getattr(shell.configuration, name) == before


@pytest.mark.parametrize("text", ["{{book}}", "a {{book}} b {{1 + 1}}", "{{ {'a': 1}['a'] }}", "{single}"])
@pytest.mark.parametrize("indent", ["", "if True:\n    "])
def test_braces_stay_in_the_configuration(text: str, indent: str, shell: OfflineShell) -> None:
    shell.shell.run_cell(f"{indent}%config ClaudeMagic.system = {text!r}")
    assert shell.configuration.system == text


def test_a_configured_value_is_in_the_system_prompt(shell: OfflineShell) -> None:
    shell.shell.run_cell("book = 'MOBY DICK'\n%config ClaudeMagic.system = '{{book}}'")
    assert shell.kernel.resolve(shell.configuration.defaults()).system == "MOBY DICK"


def greeting(capsys: pytest.CaptureFixture[str], config: dict[str, object] | None = None) -> str:
    shell = ipython_shell()
    shell.config.ClaudeMagic.update(config or {})
    capsys.readouterr()
    shell.run_line_magic("load_ext", "claude_magic")
    return capsys.readouterr().out


def test_loading_says_the_model_the_key_and_the_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret-value")
    line = greeting(capsys)
    assert line.count("\n") == 1 and models.DEFAULT_MODEL in line and "key found" in line and "%%claude?" in line
    assert "secret" not in line and "sk-" not in line
    monkeypatch.setenv("ANTHROPIC_API_KEY", "  ")
    assert "no key: %claude_key" in greeting(capsys)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    (tmp_path / "configs").mkdir()
    assert "profile found" in greeting(capsys)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"provider": "offline", "model": "haiku"}, "haiku · offline stand-in, not Claude: no key is needed"),
        ({"replay": "only"}, "replay only: the record answers, no key is needed"),
        ({"provider": "bedrock"}, "Amazon Bedrock, with its own credentials"),
        ({"model": "sonet"}, "did you mean sonnet?"),
        ({"effort": "much\nmore"}, "effort wants one of low"),
    ],
)
def test_loading_says_in_one_line_who_answers(
    config: dict[str, object], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = greeting(capsys, config)
    assert says in line and line.count("\n") == 1


def test_a_greeting_may_be_switched_off(capsys: pytest.CaptureFixture[str]) -> None:
    assert greeting(capsys, {"greeting": False}) == ""


def offered(shell: OfflineShell, line: str) -> dict[str, str]:
    """What <TAB> offers at the end of a line, with what it says of each."""
    completer = shell.shell.Completer
    assert completer is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {each.text: each.type for each in completer.completions(line, len(line))}


def test_tab_says_what_an_option_means(shell: OfflineShell) -> None:
    found = offered(shell, "%claude --")
    found = {name: meaning.translate({0xA0: " ", 0x2011: "-"}) for name, meaning in found.items()}
    assert found["--budget"] == "limit for the cost of this cell, in dollars"
    assert all(found[flag] and len(found[flag]) <= completion.MAX_MEANING for flag in options.BY_FLAG if flag in found)
    assert "--model" in found


@pytest.mark.parametrize("line", ["%%claude ", "%claude --once ", "%claude_fix --diff "])
def test_tab_after_a_space_lists_the_options_by_their_long_names(line: str, shell: OfflineShell) -> None:
    found = offered(shell, line)
    assert "--model" in found and "--count" in found and all(each.startswith("--") for each in found)


@pytest.mark.parametrize("line", ["%claude Why ", "%claude --model opus why ", "%claude --out x hm"])
def test_tab_in_prose_lists_no_options(line: str, shell: OfflineShell) -> None:
    assert not any(each.startswith("-") for each in offered(shell, line))


@pytest.mark.parametrize(("line", "flags"), [("%%claude_map owls --", MAP_FLAGS), ("%claude_map --", MAP_ACTIONS)])
def test_tab_says_what_an_option_of_a_map_means(shell: OfflineShell, line: str, flags: Collection[str]) -> None:
    found = offered(shell, line)
    assert all(found[flag] not in ("", "claude") for flag in flags)
