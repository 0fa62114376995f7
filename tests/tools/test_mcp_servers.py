"""Tools of local servers have names and definitions that the API takes, whatever the server says of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from claude_magic.client.mcp.launch import Launch
from claude_magic.errors import UsageError
from claude_magic.options import Options, parse
from claude_magic.tools import approval, mcp_servers
from claude_magic.tools.calls import run
from claude_magic.tools.functions import Tool, strict
from claude_magic.tools.mcp_servers import Offered, Servers
from support.mcp_servers import REAL, RawServer, is_running, tool, wait_until

pytestmark = pytest.mark.slow  # starts servers, and waits for them

SECRET = "hunter22hunter22"


@pytest.fixture
def servers() -> Iterator[Servers]:
    running = Servers()
    yield running
    running.end()


def offered(servers: Servers, *raw: RawServer, taken: Sequence[str] = ()) -> Offered:
    return servers.offered([each.launch() for each in raw], taken)


def names(found: Offered) -> list[str]:
    return [each.name for each in found.tools]


def test_a_tool_keeps_its_name_and_schema(servers: Servers, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]}
    found = offered(servers, RawServer(tmp_path, [tool("add", schema, description="Add.")]))
    (add,) = found.tools
    assert add.definition == {"name": "add", "description": "Add.", "input_schema": schema} and found.notes == ()


def test_names_become_ones_that_the_api_takes_and_each_is_another(servers: Servers, tmp_path: Path) -> None:
    odd = ["a b", "a.b", "a_b", "", "é", "x" * 200, "x" * 201, "web_search", "mine", "\u202eevil\x1b[2J"]
    found = offered(servers, RawServer(tmp_path, list(map(tool, odd))), taken=["mine"])
    assert len(set(names(found))) == len(odd) and not {"mine", "web_search"} & set(names(found))
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", name) for name in names(found))
    assert names(found)[:2] == ["a_b", "raw_mcp_server_a_b"]
    assert all(each.definition["name"] == each.name for each in found.tools)


def test_of_two_servers_with_the_same_tool_the_second_ones_has_its_name_in_front(
    servers: Servers, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    made = []
    for folder in (first, second):
        folder.mkdir()
        made.append(RawServer(folder, [tool("read")], results={"read": {"content": [text(folder.name)]}}))
    found = servers.offered([made[0].launch(key="one"), made[1].launch(key="two")], [])
    assert names(found) == ["read", "two_read"]
    assert [run(each, {})[0] for each in found.tools] == [[text("first")], [text("second")]]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


DEEP: Any = {"type": "object"}
for _ in range(60):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "object", "anyOf": [{}]}, "its schema has anyOf at the top"),
        ({"type": "object", "properties": {"a b": {}}}, "a property of a name that the API does not take"),
        ({"type": "object", "properties": {"": {}}}, "a property of a name that the API does not take"),
        ({"type": "object", "properties": {"a" * 65: {}}}, "a property of a name that the API does not take"),
        (DEEP, "nested more than 50 deep"),
        ({"type": "object", "description": "x" * 200_000}, "its definition has 200,"),
    ],
)
def test_a_tool_that_the_api_would_refuse_is_left_out_with_a_word(
    servers: Servers, tmp_path: Path, schema: Any, why: str
) -> None:
    found = offered(servers, RawServer(tmp_path, [tool("odd\n", schema), tool("good")]))
    assert names(found) == ["good"]
    (note,) = found.notes
    assert note.startswith("raw_mcp_server: 1 tool left out (odd_: ") and why in note


@pytest.mark.parametrize(
    "schema", [{}, {"type": "string"}, {"type": ["object"]}, {"type": "object", "properties": [1]}, {"type": None}]
)
def test_a_schema_that_is_no_objects_is_left_out_or_refused_in_a_line(
    servers: Servers, tmp_path: Path, schema: Any
) -> None:
    """mcp 2 refuses the whole list."""
    raw = RawServer(tmp_path, [tool("odd", schema), tool("good")])
    try:
        assert names(offered(servers, raw)) == ["good"]
    except UsageError as error:
        assert str(error).startswith("--mcp raw_mcp_server: it does not keep to MCP: ") and "\n" not in str(error)
        assert "visit" not in str(error)
    assert mcp_servers._fault({"name": "odd", "input_schema": schema})


def test_a_description_has_no_escapes_and_is_not_endless(servers: Servers, tmp_path: Path) -> None:
    listed = [tool("a", description="\x1b[31mred\x00"), tool("b", description="word " * 10_000), tool("c")]
    found = offered(servers, RawServer(tmp_path, listed)).tools
    about = [each.definition.get("description") for each in found]
    assert about[0].startswith("red") and "\x1b" not in about[0] and "\x00" not in about[0]
    assert len(about[1]) == mcp_servers.MAX_DESCRIPTION_CHARACTERS and about[2] is None
    json.dumps([each.definition for each in found], ensure_ascii=False).encode()


def test_a_server_is_started_once_and_again_when_it_has_died(servers: Servers, tmp_path: Path) -> None:
    raw = RawServer(tmp_path, [tool("end")], results={"end": "end"})
    offered(servers, raw)
    first = raw.pid
    (end,) = offered(servers, raw).tools
    assert raw.pid == first
    (said,), failed = run(end, {})
    assert failed == {"is_error": True} and "failed at this call: it ended" in said["text"]
    assert SECRET not in said["text"] and "\n" not in said["text"]
    offered(servers, raw)
    assert raw.pid != first and is_running(raw.pid)
    servers.end()
    assert wait_until(lambda: not is_running(raw.pid))


class HttpServer:
    """The real server at an address on this machine."""

    def __init__(self, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(REAL), "http", str(port)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.process.stdout.close()

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def test_a_server_at_an_address_on_this_machine_is_reached_and_again_when_it_was_started_anew(servers: Servers) -> None:
    served = HttpServer()
    try:
        at = [Launch(url=f"http://127.0.0.1:{served.port}/mcp")]
        found = {each.name: each for each in servers.offered(at, []).tools}
        assert run(found["add"], {"a": 1}) == ([text("3")], {})
        served.stop()
        (said,), failed = run(found["add"], {"a": 1})
        assert failed and "failed at this call: " in said["text"] and "\n" not in said["text"]
        with pytest.raises(UsageError, match=f"--mcp 127_0_0_1_{served.port}: ") as raised:
            servers.offered(at, [])
        assert "\n" not in str(raised.value)
        served = HttpServer(served.port)
        found = {each.name: each for each in servers.offered(at, []).tools}
        assert run(found["add"], {"a": 1}) == ([text("3")], {})
    finally:
        served.stop()


def test_a_claim_to_read_only_spares_no_approval(servers: Servers, tmp_path: Path) -> None:
    (claims,) = offered(servers, RawServer(tmp_path, [tool("a", annotations={"readOnlyHint": True})])).tools
    assert approval.policy("ask", claims) == "ask" and approval.policy({"a": "always"}, claims) == "always"
    with pytest.raises(UsageError, match="--mcp a: it is to run only when approved"):
        approval.check("ask", [claims], can_ask=False)


def test_a_result_is_bounded_and_a_document_in_it_is_its_text(servers: Servers, tmp_path: Path) -> None:
    page = {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "text/plain", "text": "of a page"}}
    contents = {"long": [text("word " * 100_000)], "page": [text("before"), page], "data": []}
    results: dict[str, Any] = {name: {"content": content} for name, content in contents.items()}
    results["data"]["structuredContent"] = {"a": 1}
    results["failed"] = {"content": [text("out of paper")], "isError": True}
    found = {
        each.name: each
        for each in offered(servers, RawServer(tmp_path, list(map(tool, results)), results=results)).tools
    }
    shown = {name: run(each, {}) for name, each in found.items()}
    assert len(shown["long"][0][0]["text"]) < 60_000 and "shortened" in shown["long"][0][0]["text"]
    assert "of a page" in shown["page"][0][0]["text"] and shown["page"][0][0]["text"].startswith("before")
    assert shown["data"] == ([text('{"a": 1}')], {})
    assert shown["failed"] == ([text("out of paper")], {"is_error": True})


def test_strict_tools_hold_for_them_as_well(servers: Servers, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    (add,) = offered(servers, RawServer(tmp_path, [tool("add", schema)])).tools
    assert strict(add).definition["strict"] and strict(strict(add)).definition == strict(add).definition


# --- what the option and the configuration name ---------------------------------------------------------


def launches(line: str, configured: Mapping[str, Any]) -> list[Any]:
    return mcp_servers.launches(parse(line, Options())[0].mcp, mcp_servers.hidden(configured))


def test_a_command_an_address_on_this_machine_and_names_are_told_apart() -> None:
    configured = {
        "files": "sh -c 'exit 3'",
        "wiki": "https://wiki.example.com/mcp",
        "web": {"url": "http://localhost:1/a"},
    }
    line = '--mcp "sh -c exit" --mcp files --mcp https://a.com/x --mcp web --mcp http://127.0.0.1/mcp --mcp files'
    typed, files, web, local = launches(line, configured)
    assert (typed.command, typed.arguments, typed.key) == ("sh", ("-c", "exit"), "")
    assert (files.command, files.arguments, files.label) == ("sh", ("-c", "exit 3"), "files")
    assert (web.url, local.url) == ("http://localhost:1/a", "http://127.0.0.1/mcp")
    words = parse("--mcp wiki --mcp files", Options())[0].mcp
    assert mcp_servers.addresses(words, configured) == ("https://wiki.example.com/mcp", "files")


def test_a_dict_is_that_of_other_clients() -> None:
    value = {"command": "sh", "args": ["-c", "a b"], "env": {"API_TOKEN": SECRET}, "cwd": "/tmp"}
    (made,) = launches("--mcp files", {"files": value})
    assert made.arguments == ("-c", "a b") and made.folder == "/tmp" and made.environment == (("API_TOKEN", SECRET),)
    assert mcp_servers.secrets({"files": value}) == (SECRET,)
    assert SECRET not in repr(mcp_servers.hidden({"files": value})) and SECRET not in repr(made)


@pytest.mark.parametrize(
    "value",
    [
        *(
            5,
            None,
            "",
            "'",
            [],
            {},
            {"args": []},
            {"command": ""},
            {"command": 5},
            {"command": "a", "url": "https://a.b"},
        ),
        *({"command": "a", "args": "b"}, {"command": "a", "args": [SECRET, 1]}, {"command": "a", "cwd": 1}),
        *({"command": "a", "env": {"A": 1}}, {"command": "a", "env": SECRET}, {"command": "a", SECRET: 1}),
        *({"url": "ftp://a.b"}, {"url": 5}, f"https://me:{SECRET}@a.b/", "http://example.com/mcp"),
    ],
)
def test_a_wrong_value_is_one_line_that_repeats_nothing(value: Any) -> None:
    said = mcp_servers.wrong({"files": value})
    assert said.startswith("mcp_servers: files wants ") and SECRET not in said and "\n" not in said


@pytest.mark.parametrize("word", [SECRET, f"{SECRET}.com/mcp", f"/no-such/{SECRET}", f"'no-such --token {SECRET}'"])
def test_a_command_that_is_not_there_is_one_line_that_does_not_repeat_it(servers: Servers, word: str) -> None:
    with pytest.raises(UsageError) as raised:
        servers.offered(launches(f"--mcp {word}", {}), [])
    said = str(raised.value)
    assert said.startswith("--mcp: there is no such command") and SECRET not in said and "no-such" not in said


def test_a_configured_command_that_is_not_there_is_named(servers: Servers) -> None:
    with pytest.raises(UsageError, match="--mcp files: there is no such command as it has"):
        servers.offered(launches("--mcp files", {"files": f"no-such-program {SECRET}"}), [])


def test_a_setting_that_was_changed_in_place_is_a_line() -> None:
    for read in (mcp_servers.addresses, mcp_servers.launches):
        with pytest.raises(UsageError, match=r"ClaudeMagic\.mcp_servers: files wants a command"):
            read(["files"], {"files": 5})


def test_recorded_tools_stand_for_those_of_servers_that_do_not_run() -> None:
    recorded = [
        {"name": "mine", "input_schema": {}},
        {"name": "add", "input_schema": {"type": "object"}},
        {"name": "x"},
    ]
    (add,) = mcp_servers.recorded(recorded, ["mine"]).tools
    assert isinstance(add, Tool) and add.definition == recorded[1]
    assert run(add, {})[1] == {"is_error": True}
