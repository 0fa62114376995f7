"""What is typed on a `%claude` line reaches the magic, a question mark at its end included; all else is IPython's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from support.shell import ipython_shell


@pytest.fixture(scope="module")
def bare() -> InteractiveShell:
    return ipython_shell()


@pytest.fixture(scope="module")
def shell() -> InteractiveShell:
    loaded = ipython_shell()
    loaded.run_line_magic("load_ext", "claude_magic")
    return loaded


def calls(source: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The magics that Python code runs, with their arguments."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, tuple(ast.literal_eval(each) for each in node.args)


QUESTION = "What is the capital of Iceland?"


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        (f"%claude {QUESTION}", QUESTION),
        (f"%claude {QUESTION}\n", QUESTION),
        (f"\n\n   %claude {QUESTION}  ", QUESTION),
        (f">>> %claude {QUESTION}", QUESTION),
        (f"In [1]: %claude {QUESTION}", QUESTION),
        (f">>> if True:\n...     %claude {QUESTION}\n", QUESTION),
        (f"    y = 1\n    %claude {QUESTION}\n", QUESTION),
        (f"x = %claude {QUESTION}", QUESTION),
        (f"d['a?'] = %claude {QUESTION}", QUESTION),
        (f"f(a)['='].b = %claude {QUESTION}", QUESTION),
        (f"x: str = %claude {QUESTION}", QUESTION),
        ("%claude -m haiku why??", "-m haiku why??"),
        ("%claude\twhy?", "why?"),
        ("%claude why? \\\n  and how?", "why?    and how?"),
        ("%claude Isn't it (or [is it?", "Isn't it (or [is it?"),
        ("%claude what is '''?", "what is '''?"),
        ("%claude {{x}} and # why?", "{{x}} and # why?"),
        ("%claude ???", "???"),
        ("%claude", ""),
        ("%claude no question", "no question"),
        (f"if True:\n    %claude {QUESTION}\n    y = 1", QUESTION),
        (f"if True:\n    pass\nelse:\n\t%claude {QUESTION}\n", QUESTION),
        (f"def ask():\n    '''Doc?'''\n    x = %claude {QUESTION}\n    return x", QUESTION),
        (f"a = '''\n'''\n%claude {QUESTION}\nb = 2", QUESTION),
        (f"a = [1,\n2]\n%claude {QUESTION}", QUESTION),
        (f"# a comment?\n%claude {QUESTION}", QUESTION),
    ],
)
def test_the_text_of_a_line_is_the_prompt(shell: InteractiveShell, cell: str, line: str) -> None:
    ran = shell.transform_cell(cell)
    assert [arguments for name, arguments in calls(ran) if name == "run_line_magic"] == [("claude", line)]


@pytest.mark.parametrize(
    ("cell", "called"),
    [
        ("claude Why?", ("claude", "Why?")),
        ("\n  claude -m haiku {{x}} = 1?  \n\n", ("claude", "-m haiku {{x}} = 1?")),
        ("claude_system Be brief, will you?", ("claude_system", "Be brief, will you?")),
        ("claude", ("claude", "")),
    ],
)
def test_without_its_percent_sign_a_line_is_the_same(
    shell: InteractiveShell, bare: InteractiveShell, cell: str, called: tuple[str, str]
) -> None:
    assert shell.transform_cell(cell) == shell.transform_cell(f"%{cell.strip()}")
    assert called in [arguments for _, arguments in calls(shell.transform_cell(cell))]
    try:
        shell.user_ns[called[0]] = "the reader's own"
        assert shell.transform_cell(f"{called[0]} = 1") == bare.transform_cell(f"{called[0]} = 1")
        assert "magic" not in shell.transform_cell(f"{called[0]} is not so")
    finally:
        del shell.user_ns[called[0]]


def test_a_question_mark_alone_is_help_without_a_percent_sign_too(shell: InteractiveShell) -> None:
    assert shell.transform_cell("claude ?") == shell.transform_cell("%claude?")


def test_without_automagic_a_percent_sign_is_needed(shell: InteractiveShell, bare: InteractiveShell) -> None:
    shell.automagic = bare.automagic = False
    try:
        assert shell.transform_cell("claude hello") == bare.transform_cell("claude hello")
    finally:
        shell.automagic = bare.automagic = True


def test_several_lines_and_other_escapes_in_a_cell(shell: InteractiveShell) -> None:
    cell = "!echo 'it is (\n%claude One?\nx = !ls (\n%time y = [\ny = %claude Two (?\nlen?\n"
    cell += "%claude_system Be brief, will you?"
    found = [arguments for name, arguments in calls(shell.transform_cell(cell)) if "magic" in name]
    assert found == [
        ("claude", "One?"),
        ("time", "y = ["),
        ("claude", "Two (?"),
        ("pinfo", "len"),
        ("claude_system", "Be brief, will you?"),
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "len?",
        "?len",
        "claude = 1",
        "claude, x = 1, 2",
        "x = 1\nclaude = 1",
        "%timeit?",
        "%claude?",
        "%claude??",
        "%claude_history?",
        "?%claude",
        "??%claude",
        "%%claude?",
        "%%claude??",
        "?%%claude",
        "x = 7 %claude",
        "x = (7\n%claude)",
        "x = 7 \\\n  %claude",
        "x = '''\n%claude Why?\n'''",
        "x = f'''\n%claude {1}?\n'''",
        '"""Ask with\n%claude Why?\n"""\nx = 1',
        "%claudette Why is it so?",
        "print('%claude why?')",
        "# %claude why?",
        "%%time\n%claude Why?",
        "%%writefile x.py\n%claude Why?",
        "%timeit x = 1\nlen?",
        "x = [\n%claude",
    ],
)
def test_all_else_is_what_it_was(shell: InteractiveShell, bare: InteractiveShell, cell: str) -> None:
    try:
        expected: Any = bare.transform_cell(cell)
    except SyntaxError as error:
        expected = type(error)
    if isinstance(expected, str):
        assert shell.transform_cell(cell) == expected
    else:
        with pytest.raises(expected):
            shell.transform_cell(cell)


def test_a_question_mark_alone_is_help(shell: InteractiveShell) -> None:
    assert shell.transform_cell("%claude ?") == shell.transform_cell("%claude?")
    assert shell.transform_cell("%%claude ??\n") == shell.transform_cell("%%claude??\n")


@pytest.mark.parametrize(
    "body", ["%claude Why?\n", "  %claude a\n>>> %claude b?\n\\\n", "x = %claude Why?\n%%claude?\n", "'''\n"]
)
def test_the_body_of_a_cell_is_untouched(shell: InteractiveShell, body: str) -> None:
    (call,) = [each for name, each in calls(shell.transform_cell(f"%%claude\n{body}")) if name == "run_cell_magic"]
    assert call == ("claude", "", body)
    (call,) = [
        each for name, each in calls(shell.transform_cell(f"%%claude -s 'Why?' -c why?\n{body}")) if "cell" in name
    ]
    assert call == ("claude", "-s 'Why?' -c why?", body)


@pytest.mark.parametrize("cell", ["%claude Why?", "if 1:\n    %claude Why?\n\n", "x = %claude Why?"])
def test_a_line_is_complete_as_typed(shell: InteractiveShell, cell: str) -> None:
    assert shell.check_complete(cell)[0] == "complete"


def test_load_unload_and_reload_leave_one_of_each() -> None:
    shell = ipython_shell()
    before = list(shell.input_transformers_cleanup)
    shell.run_line_magic("load_ext", "claude_magic")
    once = list(shell.input_transformers_cleanup)
    assert len(once) == len(before) + 1
    shell.run_line_magic("reload_ext", "claude_magic")
    assert shell.input_transformers_cleanup == once
    shell.run_line_magic("unload_ext", "claude_magic")
    assert shell.input_transformers_cleanup == before
    shell.run_line_magic("load_ext", "claude_magic")
    assert shell.input_transformers_cleanup == once
