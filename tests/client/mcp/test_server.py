"""A local server is started once, called from a cell, and ended with all that it started; its failures are one line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from claude_magic.client.mcp import server as servers
from claude_magic.client.mcp import session
from claude_magic.client.mcp.launch import Launch
from claude_magic.client.mcp.server import Server
from claude_magic.content.secrets import Hidden
from claude_magic.errors import UsageError
from support.mcp_servers import REAL, RawServer, is_running, launch, tool, wait_until

pytestmark = pytest.mark.slow  # starts servers, and waits for them

SECRET = "hunter22hunter22"


def press_interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


class Started:
    """Starts servers, and ends them after the test."""

    def __init__(self) -> None:
        self.all: list[Server] = []

    def __call__(self, launch: Launch) -> Server:
        self.all.append(Server(launch))
        self.all[-1].start()
        return self.all[-1]


@pytest.fixture
def start() -> Iterator[Started]:
    started = Started()
    yield started
    for each in started.all:
        each.end()


def call(server: Server, name: str, **given: Any) -> Any:
    (found,) = [each for each in server.tools() if each.name == name]
    return server.call(found, given)


def refused(launch: Launch, start: Started) -> str:
    with pytest.raises(UsageError) as raised:
        start(launch)
    assert "\n" not in str(raised.value) and "Nothing was sent." in str(raised.value)
    return str(raised.value)


def failure(server: Server, name: str) -> str:
    with pytest.raises(Exception) as raised:
        call(server, name)
    assert session.is_tool_error(raised.value)
    return str(raised.value)


def test_a_server_of_mcp_itself_lists_its_tools_and_answers_with_all_kinds_of_content(start: Started) -> None:
    server = start(launch([sys.executable, str(REAL)]))
    listed = {each.name: each.definition for each in server.tools()}
    assert listed["add"]["description"] == "Add two numbers."
    assert listed["add"]["input_schema"]["properties"]["a"]["type"] == "integer"
    assert call(server, "add", a=1) == [{"type": "text", "text": "3"}]
    (picture,) = call(server, "picture")
    assert picture["type"] == "image" and picture["source"]["media_type"] == "image/png"
    text, page, sound, link = call(server, "resources")
    assert text["text"] == "before" and page["source"]["data"] == "words of the page"
    assert sound["text"] == "[audio: a tool's result holds text and images]"
    assert link["text"] == "[resource_link file:///more.txt: a tool's result holds text and images]"
    assert "no such thing" in failure(server, "fail") or "Error executing tool fail" in failure(server, "fail")
    assert call(server, "pid") == call(server, "pid")
    assert "out of memory" in failure(server, "die") and not server.is_alive


def test_a_server_inherits_no_key_of_the_kernel_and_gets_its_own_environment(
    start: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    environment = (("FOR_THE_SERVER", Hidden("42")),)
    (said,) = call(start(launch([sys.executable, str(REAL)], environment=environment)), "environment")
    assert "FOR_THE_SERVER=42" in said["text"] and SECRET not in said["text"]


def test_what_a_server_writes_to_its_standard_error_stays_out_of_the_cell(
    start: Started, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    raw = RawServer(tmp_path, [tool("end")], results={"end": "end"}, noise="not JSON")
    server = start(raw.launch())
    message = failure(server, "end")
    assert message.startswith("The MCP server raw_mcp_server failed at this call: it ended, and last said: password=")
    assert SECRET not in message
    assert capfd.readouterr() == ("", "")


def test_a_call_to_a_server_that_has_died_says_so_and_another_one_can_be_started(
    start: Started, tmp_path: Path
) -> None:
    raw = RawServer(tmp_path, [tool("echo")], results={"echo": "echo"})
    server = start(raw.launch())
    (echo,) = server.tools()
    os.kill(raw.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.is_alive)
    with pytest.raises(Exception, match="it has ended before this call"):
        server.call(echo, {})
    assert start(raw.launch()).is_alive


def test_what_is_called_is_what_was_given(start: Started, tmp_path: Path) -> None:
    server = start(RawServer(tmp_path, [tool("odd name!")], results={"odd name!": "echo"}).launch())
    given = {"self": 1, "name": "x", "nested": {"a": [None, "é\u2028"]}}
    (said,) = server.call(server.tools()[0], given)
    assert '"name": "odd name!"' in said["text"] and '"self": 1' in said["text"] and "u2028" in said["text"]


def test_an_error_of_the_protocol_is_an_error_of_the_call(start: Started, tmp_path: Path) -> None:
    results = {"wrong": {"error": {"code": -32602, "message": f"bad\nargument token={SECRET}"}}, "odd": {"content": 5}}
    server = start(RawServer(tmp_path, [tool("wrong"), tool("odd")], results=results).launch())
    assert "bad argument" in failure(server, "wrong") and SECRET not in failure(server, "wrong")
    assert failure(server, "odd").startswith("The MCP server raw_mcp_server failed at this call: ")
    assert server.is_alive


def test_an_interrupt_ends_the_wait_for_a_call_and_the_server_goes_on(start: Started, tmp_path: Path) -> None:
    raw = RawServer(tmp_path, [tool("wait"), tool("echo")], results={"wait": "nothing", "echo": "echo"})
    server = start(raw.launch())
    threading.Timer(0.2, press_interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        call(server, "wait")
    assert is_running(raw.pid) and call(server, "echo")


def test_all_pages_of_a_list_are_read_and_one_that_comes_again_ends_it(start: Started, tmp_path: Path) -> None:
    pages = [[tool("one")], [tool("two")], [tool("three")]]
    server = start(RawServer(tmp_path, pages=pages).launch())
    names = [each.name for each in server.tools()]
    assert names[:3] == ["one", "two", "three"] and len(names) <= 6


def test_of_a_list_without_end_the_first_are_read(
    start: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "MAX_TOOLS", 150)
    server = start(RawServer(tmp_path, [tool(f"tool_{at}") for at in range(5_000)]).launch())
    assert [each.name for each in server.tools()] == [f"tool_{at}" for at in range(150)]


def test_a_server_without_tools_says_so_in_a_line(start: Started, tmp_path: Path) -> None:
    server = start(RawServer(tmp_path, pages=[[{"name": 5}]]).launch())
    with pytest.raises(UsageError, match="--mcp raw_mcp_server: ") as raised:
        server.tools()
    assert "\n" not in str(raised.value)


def test_a_program_that_ends_or_is_not_there_is_a_line_with_its_last_words(start: Started) -> None:
    assert refused(launch(["true"]), start) == "--mcp true: it ended. Nothing was sent."
    said = refused(launch(["sh", "-c", f"echo first >&2; echo password={SECRET} is wrong. >&2; exit 2"]), start)
    assert said.startswith("--mcp sh: it ended, and last said: password=") and SECRET not in said
    missing = refused(launch(["/nowhere/server", "--token", SECRET]), start)
    assert missing == "--mcp server: it ended, and last said: No such file or directory. Nothing was sent."


def test_a_folder_that_is_not_there_is_a_line(start: Started) -> None:
    assert "No such file or directory" in refused(launch(["true"], folder="/nowhere"), start)


@pytest.mark.parametrize(
    ("program", "says"),
    [("sleep 60", ""), ("while true; do echo noise; sleep 0.1; done", ", and wrote something else than MCP")],
)
def test_a_program_that_speaks_no_mcp_is_ended_after_a_while(
    start: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, says: str
) -> None:
    monkeypatch.setattr(servers, "START_SECONDS", 0.7)
    line = f"echo $$ > {tmp_path}/pid; {program}"
    assert refused(launch(["sh", "-c", line]), start) == (
        f"--mcp sh: it did not answer within 0.7 s{says}. Nothing was sent."
    )
    assert wait_until(lambda: not is_running(int((tmp_path / "pid").read_text())))


def test_an_interrupt_while_it_starts_ends_it(start: Started, tmp_path: Path) -> None:
    threading.Timer(0.4, press_interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        start(launch(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 60"]))
    assert wait_until(lambda: not is_running(int((tmp_path / "pid").read_text())))


def test_a_server_ends_when_it_is_told_and_one_that_does_not_is_ended(start: Started, tmp_path: Path) -> None:
    for name, stubborn in (("polite", False), ("stubborn", True)):
        folder = tmp_path / name
        folder.mkdir()
        raw = RawServer(folder, stubborn=stubborn)
        start(raw.launch()).end()
        assert wait_until(lambda raw=raw: not is_running(raw.pid)), name


def test_no_server_outlives_a_process_that_is_killed(tmp_path: Path) -> None:
    """Neither one that ends with its input, nor one that ignores that and signals."""
    raw = RawServer(tmp_path, stubborn=True)
    program = (
        "import sys, time\n"
        "from claude_magic.client.mcp.server import Server\n"
        "from support.mcp_servers import launch\n"
        "Server(launch(sys.argv[1:])).start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *raw.words], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    assert is_running(raw.pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until(lambda: not is_running(raw.pid))


def test_an_address_on_this_machine_where_nobody_answers_is_a_line(start: Started) -> None:
    began = time.monotonic()
    assert refused(Launch(url="http://localhost:9/mcp"), start).startswith("--mcp localhost_9: ")
    assert time.monotonic() - began < servers.START_SECONDS
