"""Code that Claude wrote is offered as a new cell, and a corrected cell as a diff."""

from __future__ import annotations

from typing import Any

import pytest

from claude_magic import offline
from claude_magic.content.secrets import Secrets
from claude_magic.magics import code_cell
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


@pytest.fixture(scope="module")
def notebook(kernel: Kernel, shared: offline.Server) -> Kernel:
    kernel.load(shared.url)
    return kernel


def reply_with(shared: offline.Server, text: str) -> None:
    shared.script = lambda body: [{"type": "text", "text": text}]


def offered(notebook: Kernel, code: str, cell_id: str = "q") -> tuple[Run, list[dict[str, Any]]]:
    """What a cell shows, and the cells that it offers: they come with the reply on the shell channel."""
    while notebook.client.shell_channel.msg_ready():
        notebook.client.get_shell_msg()
    run = notebook.run(code, cell_id)
    reply = notebook.client.get_shell_msg(timeout=30)
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


@pytest.mark.kernel
def test_without_a_failed_cell_there_is_nothing_to_correct(tmp_path_factory: pytest.TempPathFactory) -> None:
    fresh = Kernel(tmp_path_factory.mktemp("fresh"))
    try:
        fresh.run("%load_ext claude_magic", "load")
        run = fresh.run("%claude_fix", "q")
        assert run.error is not None and "There is no failed cell to correct" in plain(run.error["traceback"])
    finally:
        fresh.stop()
