"""Code that Claude wrote is offered as a new cell, and a corrected cell as a diff."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest

from claude_magic import offline
from claude_magic.content.secrets import Secrets
from claude_magic.errors import UsageError
from claude_magic.magics import code_cell
from claude_magic.magics.fix import own_options
from support.kernel import Kernel, Run, plain


def test_a_diff_is_inert_and_in_colours() -> None:
    data = code_cell.diff("a = 1\nb", "a = '<script>alert(1)</script>'\nb\x1b[31m")
    assert "<script" not in data["text/html"] and "&lt;script&gt;" in data["text/html"]
    assert "\x1b" not in data["text/html"] + data["text/plain"]
    assert "-a = 1\n" in data["text/plain"] and "background-color" in data["text/html"]


def test_the_corrected_cell_is_the_block_that_is_most_like_it() -> None:
    assert (
        code_cell.closest(["pip install x", "total = 1 / 2\nprint(total)"], "total = 1 / 0\nprint(total)")[:5]
        == "total"
    )
    assert code_cell.closest([], "x") == ""


def test_a_masked_line_comes_back_as_it_was_and_no_other_line_gets_the_secret() -> None:
    source = "password = 'hunter2'\nx = 1/0"
    masked = Secrets().masked(source, is_code=True)[0]
    assert code_cell.with_secrets(masked, source, Secrets()) == source
    moved = masked.replace("password", "send_password")
    assert "hunter2" not in code_cell.with_secrets(moved, source, Secrets())


def test_secrets_in_lines_that_look_alike_once_masked_come_back_in_their_order() -> None:
    source = "password = 'hunter2'\nlogin()\npassword = 'swordfish'\nx = 1/0"
    mended = Secrets().masked(source, is_code=True)[0].replace("1/0", "1/2")
    assert code_cell.with_secrets(mended, source, Secrets()) == source.replace("1/0", "1/2")


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("", (None, False, "")),
        ("--cell=ab-3 --diff  Use  two.", ("ab-3", True, "Use  two.")),
        ("--model haiku --cell 3 --diff Don't --cell 5", ("3", True, "--model haiku Don't --cell 5")),
        ("--system 'use --cell 3' --diff why", (None, True, "--system 'use --cell 3' why")),
        ("-- --cell 4", (None, False, "-- --cell 4")),
    ],
)
def test_the_options_of_a_fix_stand_in_front_of_its_words(line: str, read: tuple[str | None, bool, str]) -> None:
    assert own_options(line) == read


@pytest.mark.parametrize("line", ["--cell", "--cell=", "--diff --cell", "--cell ''"])
def test_a_cell_without_its_name_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="--cell wants a cell"):
        own_options(line)


@pytest.fixture(scope="module")
def notebook(kernel: Kernel, shared: offline.Server) -> Kernel:
    kernel.load(shared.url)
    return kernel


def reply_with(shared: offline.Server, text: str) -> None:
    shared.script = lambda body: [{"type": "text", "text": text}]


def offered(notebook: Kernel, code: str, cell_id: str = "q") -> tuple[Run, list[dict[str, Any]]]:
    """What a cell shows, and the cells that it offers: they come with the reply on the shell channel."""
    run = notebook.run(code, cell_id)
    own = run.messages[0]["parent_header"]["msg_id"]
    while (reply := notebook.client.get_shell_msg(timeout=30))["parent_header"]["msg_id"] != own:
        pass  # replies to the cells before
    payload = reply["content"].get("payload", [])
    return run, [each for each in payload if each["source"] == "set_next_input"]


def test_the_code_of_a_reply_is_offered_as_one_cell_with_the_prose_left_out(
    notebook: Kernel, shared: offline.Server
) -> None:
    reply_with(shared, "First:\n```python\na = 1\n```\nthen\n```bash\nls\n```\n```py\nprint(a)\n```\ndone.")
    run, (cell,) = offered(notebook, "%%claude --once --code\nCode?")
    assert (cell["text"], cell["replace"]) == ("a = 1\n\nprint(a)", False)
    assert run.error is None
    assert offered(notebook, "print('a' in globals())")[0].text == "False\n"


def test_a_reply_without_code_offers_no_cell_and_says_so(notebook: Kernel, shared: offline.Server) -> None:
    reply_with(shared, "No code.")
    run, cells = offered(notebook, "%%claude --once --code\nCode?")
    assert (cells, run.text) == ([], "The reply has no Python code: there is no new cell.\n")


def test_the_failed_cell_is_corrected_as_a_diff_and_a_new_cell(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("password = 'hunter2'\nshare = 1 / 0", "failed")
    reply_with(shared, "Zero.\n```python\npassword = '[secret masked]'\nshare = 1 / 2\n```\nSee `pip`.")
    run, (cell,) = offered(notebook, "%claude_fix --once Use two.")
    assert cell["text"] == "password = 'hunter2'\nshare = 1 / 2"
    sent = shared.requests[-1]["messages"][-1]["content"][0]["text"]
    assert "share = 1 / 0" in sent and "ZeroDivisionError" in sent and sent.endswith("Use two.")
    assert "-share = 1 / 0\n+share = 1 / 2" in run.shown("text/plain")[-1]
    assert "hunter2" not in str(run.outputs) + sent


def prompt_of(shared: offline.Server) -> str:
    text: str = shared.requests[-1]["messages"][-1]["content"][0]["text"]
    return text


def number_of(run: Run) -> int:
    (number,) = [each["content"]["execution_count"] for each in run.messages if each["msg_type"] == "execute_input"]
    return int(number)


def test_any_cell_that_failed_is_corrected_by_its_id_or_number(notebook: Kernel, shared: offline.Server) -> None:
    first = notebook.run("one = 1\nprint(onne)", "first")
    notebook.run("2 / 0", "second")
    notebook.run("def inner():\n    return [][3]\ninner()", "12345678")
    reply_with(shared, "```python\none = 1\nprint(one)\n```")
    for name in ("first", str(number_of(first))):
        run, cells = offered(notebook, f"%claude_fix --once --diff --cell {name}", "asks")
        sent = prompt_of(shared)
        assert f"The error is in cell [{number_of(first)}]." in sent and "print(onne)" in sent
        assert "line 2, in <module>" in sent and "NameError" in sent
        assert "2 / 0" not in sent and "inner" not in sent and "site-packages" not in sent
        assert cells == [] and run.outputs[-1]["data"][code_cell.FIX_TYPE] == {
            "cell": "first",
            "source": "one = 1\nprint(onne)",
            "mended": "one = 1\nprint(one)",
            "mask": "[secret masked]",
        }
    offered(notebook, "%claude_fix --once --cell 12345678")
    assert "IndexError" in prompt_of(shared) and "return [][3]" in prompt_of(shared), "an id before a number"


def test_a_cell_that_did_not_fail_is_refused_with_nothing_sent(notebook: Kernel, shared: offline.Server) -> None:
    notebook.run("1 / 0", "once failed")
    notebook.run("good = 1", "once failed")
    asked = len(shared.requests)
    for name in ("'once failed'", "not-there", "99999", "0", "-1", "%s"):
        run = notebook.run(f"%claude_fix --once --cell {name}", "q")
        assert run.error is not None and "There is no failed cell" in plain(run.error["traceback"]), name
    assert len(shared.requests) == asked


def test_a_failure_of_an_earlier_kernel_comes_from_the_notebooks_file(notebook: Kernel, shared: offline.Server) -> None:
    error = nbformat.v4.new_output(
        "error", ename="NameError", evalue="gone", traceback=["\x1b[31mTraceback\x1b[0m", "NameError: gone"]
    )
    cells = [
        nbformat.v4.new_code_cell("print(gone)", id="old", execution_count=700, outputs=[error]),
        nbformat.v4.new_code_cell("print(1)", id="good", execution_count=701),
        nbformat.v4.new_markdown_cell("text", id="prose"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook.folder / "failed.ipynb")
    notebook.run("%config ClaudeMagic.notebook_path = 'failed.ipynb'", "config")
    reply_with(shared, "```python\nprint('gone')\n```")
    for name in ("old", "700"):
        run, (cell,) = offered(notebook, f"%claude_fix --once --cell {name}", "asks")
        assert "```python\nprint(gone)\n```\nTraceback:\n```\nTraceback\nNameError: gone\n```" in prompt_of(shared)
        assert cell["text"] == "print('gone')" and run.outputs[-1]["data"][code_cell.FIX_TYPE]["cell"] == "old"
    for name in ("good", "701", "prose"):
        error_of = notebook.run(f"%claude_fix --once --cell {name}", "q").error
        assert error_of is not None and "There is no failed cell" in plain(error_of["traceback"])
    notebook.run("%config ClaudeMagic.notebook_path = ''", "config")


@pytest.mark.kernel
def test_without_a_failed_cell_there_is_nothing_to_correct(tmp_path_factory: pytest.TempPathFactory) -> None:
    fresh = Kernel(tmp_path_factory.mktemp("fresh"))
    try:
        fresh.run("%load_ext claude_magic", "load")
        run = fresh.run("%claude_fix", "q")
        assert run.error is not None and "There is no failed cell to correct" in plain(run.error["traceback"])
    finally:
        fresh.stop()
