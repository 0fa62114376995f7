"""`--mcp COMMAND` in cells: tools of a server that runs beside the kernel, approved like the notebook's."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from claude_magic import offline
from claude_magic.client.mcp import session
from claude_magic.conversation.turns import Block, Turn
from claude_magic.errors import UsageError
from claude_magic.render import tool_calls
from support.kernel import Kernel, plain
from support.mcp_servers import REAL, RawServer, is_running, tool, wait_until
from support.shell import OfflineShell
from support.turns import call, text

pytestmark = pytest.mark.slow  # starts servers, and waits for them

SECRET = "hunter22hunter22"
ECHO = {"tools": [tool("echo"), tool("other")], "results": {"echo": "echo", "other": {"content": [text("other")]}}}


def replies(server: offline.Server, *contents: Sequence[Block]) -> None:
    """What the stand-in answers, one after the other."""
    left = iter(contents)
    server.script = lambda body: list(next(left))


class Notebook(OfflineShell):
    def ask(self, line: str) -> Any:
        """Run a line, and return the reply."""
        self.shell.run_line_magic("claude", f"--out reply {line}")
        return self.shell.user_ns.get("reply")

    def turn(self) -> Turn:
        return self.kernel.session.spent[-1]

    def results(self) -> list[tuple[str, bool]]:
        """The results of tools in the newest request."""
        content = self.server.requests[-1]["messages"][-1]["content"]
        return [(tool_calls.result_text(each), bool(each.get("is_error"))) for each in content]


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    made = Notebook()
    made.configuration.approve = "always"
    yield made
    made.kernel.end_mcp_servers()
    made.server.stop()


def test_claude_calls_a_tool_of_a_server_and_goes_on_with_its_result(notebook: Notebook, tmp_path: Path) -> None:
    raw = RawServer(tmp_path, **ECHO)
    replies(notebook.server, [call(1, name="echo", a="3")], [text("Done.")])
    assert notebook.ask(f"--mcp {raw.line} Go.") == "Done."
    first, second = notebook.server.requests
    assert [each["name"] for each in first["tools"]] == ["echo", "other"] and first["tools"] == second["tools"]
    assert notebook.results() == [('{"name": "echo", "arguments": {"a": "3"}}', False)]


def test_a_server_serves_all_cells_and_ends_with_the_extension(notebook: Notebook, tmp_path: Path) -> None:
    raw = RawServer(tmp_path, **ECHO)
    notebook.ask(f"--mcp {raw.line} Go.")
    pid = raw.pid
    notebook.ask(f"--once --mcp {raw.line} Again.")
    assert raw.pid == pid and is_running(pid)
    notebook.shell.run_line_magic("unload_ext", "claude_magic")
    assert wait_until(lambda: not is_running(pid))


def test_a_server_that_dies_is_an_error_of_its_call_and_the_conversation_goes_on(
    notebook: Notebook, tmp_path: Path
) -> None:
    raw = RawServer(tmp_path, [tool("end"), tool("echo")], results={"end": "end", "echo": "echo"})
    replies(notebook.server, [call(1, name="end")], [call(2, name="echo")], [text("Too bad.")])
    assert notebook.ask(f"--mcp {raw.line} Go.") == "Too bad."
    assert notebook.results() == [
        ("The MCP server raw_mcp_server failed at this call: it has ended before this call.", True)
    ]
    replies(notebook.server, [call(3, name="echo")], [text("Back.")])
    assert notebook.ask(f"--mcp {raw.line} Again.") == "Back." and notebook.results()[0][1] is False


def test_what_is_shown_is_sent_and_counted_with_its_tools(
    notebook: Notebook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = RawServer(tmp_path, **ECHO)
    notebook.ask(f"--show-request --mcp {raw.line} Go.")
    shown = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in shown["tools"]] == ["echo", "other"] and "mcp_servers" not in shown
    notebook.ask(f"--count --mcp {raw.line} Go.")
    assert "tools" in capsys.readouterr().out and notebook.kernel.session.spent == []
    notebook.ask(f"--mcp {raw.line} Go.")
    assert notebook.server.requests[-1]["tools"] == shown["tools"]


def test_functions_servers_and_a_choice_of_a_tool_go_together(notebook: Notebook, tmp_path: Path) -> None:
    raw = RawServer(tmp_path, **ECHO)
    notebook.shell.run_cell("def echo(a: int) -> int:\n    return a")
    replies(notebook.server, [call(1, name="raw_mcp_server_echo")], [call(2, name="echo", a=5)], [text("Done.")])
    line = f"--model haiku --tools echo --mcp {raw.line} --tool-choice raw_mcp_server_echo --max-tool-calls 1"
    notebook.ask(f"{line} Go.")
    first, second = notebook.server.requests[:2]
    assert [each["name"] for each in first["tools"]] == ["echo", "raw_mcp_server_echo", "other"]
    assert first["tool_choice"] == {"type": "tool", "name": "raw_mcp_server_echo"}
    assert second["tool_choice"] == {"type": "none"}
    with pytest.raises(UsageError, match="offers no tool of that name"):
        notebook.ask(f"--model haiku --mcp {raw.line} --tool-choice nothing Go.")


def test_a_secret_of_the_servers_environment_is_masked_and_shown_nowhere(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.configuration.mcp_servers = {
        "env": {"command": sys.executable, "args": [str(REAL)], "env": {"WIKI_TOKEN": SECRET}}
    }
    replies(notebook.server, [call(1, name="environment")], [text("Seen.")])
    assert notebook.ask("--mcp env Go.") == "Seen."
    ((said, failed),) = notebook.results()
    assert "WIKI_TOKEN=" in said and SECRET not in said and not failed
    notebook.shell.run_line_magic("config", "ClaudeMagic")
    assert SECRET not in capsys.readouterr().out


def test_a_name_may_be_that_of_an_address(notebook: Notebook) -> None:
    notebook.configuration.mcp_servers = {"wiki": "https://mcp.deepwiki.com/mcp"}
    notebook.ask("--mcp wiki Go.")
    (sent,) = notebook.server.requests
    assert sent["mcp_servers"] == [{"type": "url", "url": "https://mcp.deepwiki.com/mcp", "name": "deepwiki"}]


def test_a_wrong_setting_is_refused_when_it_is_set(notebook: Notebook) -> None:
    from traitlets import TraitError

    with pytest.raises(TraitError, match="mcp_servers: files wants a command"):
        notebook.configuration.mcp_servers = {"files": {"env": {"TOKEN": SECRET}}}
    assert notebook.configuration.mcp_servers == {}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--mcp no-such-program Go.", "there is no such command"),
        ("--mcp true Go.", "--mcp true: it ended"),
        ("--mcp true --model opus,haiku Go.", "--mcp with a local server is for one model"),
    ],
)
def test_a_server_that_does_not_start_is_a_line_and_nothing_is_sent(notebook: Notebook, line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        notebook.ask(line)
    assert notebook.server.requests == []


def test_a_map_takes_no_local_server(notebook: Notebook) -> None:
    with pytest.raises(UsageError, match="%%claude_map takes addresses after --mcp"):
        notebook.map("[1, 2] --mcp true", "{{item}}")


def test_without_the_package_one_line_says_how_to_install_it(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "is_installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'claude_magic\[mcp\]'"):
        notebook.ask("--mcp true Go.")


def test_tools_that_are_left_out_are_in_the_header(notebook: Notebook, tmp_path: Path) -> None:
    raw = RawServer(tmp_path, [tool("odd", {"type": "object", "oneOf": [{}]}), tool("good")])
    notebook.ask(f"--mcp {raw.line} Go.")
    (note,) = notebook.turn().notes
    assert note == "raw_mcp_server: 1 tool left out (odd: its schema has oneOf at the top)"


def test_where_nobody_can_approve_nothing_is_sent(notebook: Notebook, tmp_path: Path) -> None:
    notebook.configuration.approve = "ask"
    with pytest.raises(UsageError, match="--mcp echo: it is to run only when approved"):
        notebook.ask(f"--mcp {RawServer(tmp_path, **ECHO).line} Go.")
    notebook.configuration.approve = {"echo": "never", "*": "always"}
    replies(notebook.server, [call(1, name="echo")], [text("Not run.")])
    notebook.ask(f"--mcp {RawServer(tmp_path, **ECHO).line} Go.")
    assert notebook.results() == [("The reader has set that this tool is not to run.", True)]


@pytest.mark.parametrize("mode", ["auto", "only"])
def test_a_replay_runs_no_tool_and_where_only_the_record_answers_no_server(
    notebook: Notebook, tmp_path: Path, mode: str
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    raw = RawServer(tmp_path, [tool("echo", schema)], results={"echo": "echo"})
    replies(notebook.server, [call(1, name="echo")], [text("Done.")])
    line = f"--once --tools twice --strict-tools --mcp {raw.line} Go."
    notebook.shell.run_cell("def twice(a: int) -> int:\n    return 2 * a")
    notebook.ask(line)
    notebook.kernel.end_mcp_servers()
    raw.pid_file.unlink()
    asked = len(notebook.server.requests)
    notebook.configuration.replay, notebook.configuration.replay_speed = mode, 0.0
    notebook.shell.user_ns.pop("reply")
    if mode == "only":  # on a machine without it
        line = line.replace(raw.line, "no-such-program")
    assert notebook.ask(line) == "Done." and len(notebook.server.requests) == asked
    assert raw.pid_file.exists() is (mode == "auto")


# --- in a kernel ------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[offline.Server]:
    running = offline.start()
    yield running
    running.stop()


@pytest.fixture
def fresh(tmp_path: Path, server: offline.Server) -> Iterator[Kernel]:
    """A kernel of its own, which may be ended."""
    made = Kernel(tmp_path)
    made.load(server.url)
    yield made
    made.stop()


@pytest.mark.kernel
def test_in_a_kernel_a_call_is_approved_by_the_reader_as_it_runs(
    fresh: Kernel, server: offline.Server, tmp_path: Path
) -> None:
    raw = RawServer(tmp_path, [tool("echo")], results={"echo": "echo"})
    for typed, runs in (("y", True), ("n", False)):
        replies(server, [call(1, name="echo", a="x")], [text("Done.")])
        run = fresh.run(f"%config ClaudeMagic.panel = False\n%claude --once --mcp {raw.line} Go.", typed=typed)
        assert run.error is None and "Claude calls echo with" in run.text and '"a": "x"' in run.text
        (result,) = server.requests[-1]["messages"][-1]["content"]
        assert bool(result.get("is_error")) is not runs
        assert runs is ('"arguments": {"a": "x"}' in tool_calls.result_text(result))


@pytest.mark.kernel
def test_an_interrupt_reaches_the_cell_and_not_the_server(
    fresh: Kernel, server: offline.Server, tmp_path: Path
) -> None:
    raw = RawServer(tmp_path, [tool("wait")], results={"wait": "nothing"})
    replies(server, [call(1, name="wait")], [text("Done.")])

    threading.Thread(target=lambda: wait_until(raw.called.exists) and fresh.interrupt(), daemon=True).start()
    run = fresh.run(f"%config ClaudeMagic.approve = 'always'\n%claude --mcp {raw.line} Go.", "cell")
    assert run.error is not None and "Interrupted at a tool." in plain(run.error["traceback"])
    assert is_running(raw.pid)
    assert fresh.run(f"%claude --once --mcp {raw.line} Go.").error is None
    fresh.client.shutdown()
    assert wait_until(lambda: not is_running(raw.pid))


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("stubborn", [False, True])
def test_no_server_outlives_a_kernel_that_is_ended_by_a_signal(
    fresh: Kernel, tmp_path: Path, number: int, stubborn: bool
) -> None:
    raw = RawServer(tmp_path, [tool("echo")], stubborn=stubborn)
    assert fresh.run(f"%claude --show-request --mcp {raw.line} Go.").error is None
    assert is_running(raw.pid)
    os.kill(fresh.manager.provisioner.pid, number)
    assert wait_until(lambda: not is_running(raw.pid))
