"""`{{x}}` in a function is the function's own x, as IPython's `$x` in a line magic is; in a cell, the notebook's."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_magic import offline
from claude_magic.magics import kernel_of
from support.kernel import Kernel
from support.shell import ipython_shell

Say = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def shell() -> Iterator[Any]:
    made = ipython_shell()
    made.run_line_magic("load_ext", "claude_magic")
    kernel_of(made).configuration.provider = "offline"
    made.run_cell("def line(text): get_ipython().run_line_magic('claude', '--show-request ' + text)")
    yield made


@pytest.fixture
def say(shell: Any, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a cell. Returns the prompts of the requests that it shows, or the error's first line."""

    def run(code: str) -> list[str]:
        shell.user_ns.update({"x": "GLOBAL", "y": "GLOBAL Y"})
        capsys.readouterr()
        result = shell.run_cell(textwrap.dedent(code))
        shown = capsys.readouterr().out
        error = result.error_in_exec or result.error_before_exec
        return [str(error)] if error else list(_prompts(shown))

    return run


def _prompts(shown: str) -> Iterator[str]:
    """The prompt of each request in a text of several JSON documents."""
    at = shown.find("{")
    while at >= 0:
        request, at = json.JSONDecoder().raw_decode(shown, at)
        yield request["messages"][-1]["content"][-1]["text"]
        at = shown.find("{", at)


CALL = "get_ipython().run_line_magic('claude', '--show-request of {{x}}')"

FUNCTIONS = {
    "a function": f"""
        def ask(x):
            {CALL}
        ask('LOCAL')""",
    "a line magic": """
        def ask(x):
            %claude --show-request of {{x}}
        ask('LOCAL')""",
    "a cell magic": """
        def ask(x):
            get_ipython().run_cell_magic('claude', '--show-request', 'of {{x}}')
        ask('LOCAL')""",
    "a comprehension": f"[{CALL} for x in ['LOCAL']]",
    "a comprehension in a function": f"""
        def ask(x):
            return [{CALL} for _ in range(1)]
        ask('LOCAL')""",
    "a generator": f"""
        def ask(x):
            yield {CALL}
        list(ask('LOCAL'))""",
    "a generator expression in a function": f"""
        def ask(x):
            return list({CALL} for _ in range(1))
        ask('LOCAL')""",
    "a nested function": f"""
        def outer(x):
            def ask(): {CALL}
            ask()
        outer('LOCAL')""",
    "a closure": f"""
        def outer(x):
            def ask():
                x
                {CALL}
            return ask
        outer('LOCAL')()""",
    "a lambda": f"(lambda x: {CALL})('LOCAL')",
    "the body of a class": f"""
        class A:
            x = 'LOCAL'
            {CALL}""",
    "the body of a class in a function": f"""
        def outer(x):
            class A:
                {CALL}
        outer('LOCAL')""",
    "a method": f"""
        class A:
            x = 'of the class'
            def ask(self, x): {CALL}
        A().ask('LOCAL')""",
    "a coroutine": f"""
        import asyncio
        async def ask(x):
            await asyncio.sleep(0)
            {CALL}
        await ask('LOCAL')""",
    "code that is executed with names of its own": f"""
        def ask(x):
            exec({CALL!r})
        ask('LOCAL')""",
    "recursion": f"""
        def ask(x, n=2):
            return ask(x, n - 1) if n else {CALL}
        ask('LOCAL')""",
}


@pytest.mark.parametrize("way", FUNCTIONS)
def test_a_name_is_the_functions_own(say: Say, way: str) -> None:
    assert say(FUNCTIONS[way]) == ["of LOCAL"]


def test_in_a_cell_a_name_is_the_notebooks(say: Say) -> None:
    assert say("%claude --show-request of {{x}}") == ["of GLOBAL"]
    assert say("for x in ['LOOP']:\n    %claude --show-request of {{x}}") == ["of LOOP"]
    assert say("def ask(z):\n    %claude --show-request of {{x}} {{z}} {{y}}\nask(1)") == ["of GLOBAL 1 GLOBAL Y"]
    assert say("def ask():\n    line('{{x}}')\nask()") == ["GLOBAL"]  # a function of another function
    assert say("class A:\n    x = 'of the class'\n    def ask(self):\n        " + CALL + "\nA().ask()") == ["of GLOBAL"]


def test_an_expression_sees_the_functions_names_inside_of_it_and_runs_once(say: Say, shell: Any) -> None:
    shell.user_ns["ran"] = []
    code = """
        def ask(rows, factor):
            def noted(value): ran.append(value); return value
            %claude --show-request {{[noted(each) * factor for each in rows]}}
        ask([1, 2], 3)"""
    assert say(code) == ["[3, 6]"] and shell.user_ns["ran"] == [1, 2]
    assert say("def ask(x):\n    %claude --show-request {{(z := x)}}\nask('LOCAL')") == ["LOCAL"]
    assert "z" not in shell.user_ns
    assert say("%claude --show-request {{(z := x)}}") == ["GLOBAL"] and shell.user_ns.pop("z") == "GLOBAL"


def test_options_that_name_objects_find_the_functions_own(
    shell: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = """
        import dataclasses
        def ask(folder):
            def price(item: str) -> int: "The price."
            @dataclasses.dataclass
            class Fruit: colour: str
            notes = folder / "notes.txt"
            notes.write_text("ripe")
            system = "Be kind."
            %claude --show-request --tools price --schema Fruit --file notes --system '{{system}}' Hi
        ask(folder)"""
    shell.user_ns.update(folder=tmp_path, system="no", notes="no", price=None)
    capsys.readouterr()
    shell.run_cell(textwrap.dedent(code))
    request = json.loads(capsys.readouterr().out)
    assert request["tools"][0]["name"] == "price" and request["system"] == "Be kind."
    assert "colour" in json.dumps(request["output_config"]) and "ripe" in json.dumps(request["messages"])


def test_a_name_that_is_nowhere_says_where_it_was_looked_for(say: Say) -> None:
    told = {
        "def ask():\n    %claude --show-request {{nope}}\nask()": "no name 'nope' in ask() or in the notebook.",
        "class A:\n    %claude --show-request {{nope}}": "no name 'nope' in class A or in the notebook.",
        "def ask():\n    %claude --show-request --tools nope ?\nask()": "no name 'nope' in ask() or in the notebook.",
        "def ask():\n    %claude --show-request --file nope ?\nask()": "no such variable in ask() or in the notebook.",
        "def ask():\n    %claude --show-request --schema Nope ?\nask()": "is not defined in ask() or in the notebook.",
        "%claude --show-request {{nope}}": "there is no name 'nope'.",
        "%claude --show-request --tools nope ?": "there is no name 'nope' in the notebook.",
    }
    for code, message in told.items():
        (error,) = say(code)
        assert message in error and "\n" not in error.split("\n\n")[0], error


def test_a_secret_of_the_function_is_masked(say: Say) -> None:
    code = """
        def ask(password):
            log = "connected with " + password
            %claude --show-request {{log}}
        ask("correct-horse-7")"""
    assert say(code) == ["connected with [secret masked]"]


def test_a_map_in_a_function_sees_its_names(say: Say) -> None:
    code = """
        def ask(rows, x):
            get_ipython().run_cell_magic('claude_map', 'rows --show-request', 'is {{item}} {{x}}?')
        ask(['a'], 'LOCAL')"""
    assert say(code) == ["is a LOCAL?"]


def test_a_script_and_a_module_have_their_own_names(say: Say, shell: Any, tmp_path: Path) -> None:
    source = f"""
        x = note = 'OF THE FILE'
        def ask(): get_ipython().run_line_magic('claude', '--show-request {{{{x}}}} {{{{note}}}}')
        {CALL}"""
    (tmp_path / "asking.py").write_text(textwrap.dedent(source))
    shell.user_ns["folder"] = str(tmp_path)
    assert say("import sys; sys.path.insert(0, folder); import asking") == ["of OF THE FILE"]
    assert say("asking.ask()") == ["GLOBAL OF THE FILE"]  # the notebook's, as IPython has it
    assert say("get_ipython().run_line_magic('run', folder + '/asking.py')") == ["of OF THE FILE"]


@pytest.mark.kernel
def test_functions_in_a_kernel(kernel: Kernel, shared: offline.Server) -> None:
    kernel.load(shared.url)
    kernel.run("x = 'GLOBAL'\ndef ask(x):\n    %claude --once --out reply of {{x}}\nask('LOCAL')", "a")
    assert shared.requests[-1]["messages"][-1]["content"][0]["text"] == "of LOCAL"
    assert kernel.run("print(type(reply).__name__, 'reply' in globals())").text.endswith(" True\n")
    kernel.run("%%claude --once\nof {{x}}", "b")
    assert shared.requests[-1]["messages"][-1]["content"][0]["text"] == "of GLOBAL"
