"""A launch has a short name, and shows no secret of its environment and its command line."""

from __future__ import annotations

import pytest

from claude_magic.client.mcp.launch import Launch
from claude_magic.content.secrets import Hidden
from support.mcp_servers import launch

SECRET = "hunter22hunter22"


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("uvx mcp-server-fetch", "mcp-server-fetch"),
        ("uv run server.py", "server"),
        ("npx -y @modelcontextprotocol/server-filesystem .", "server-filesystem"),
        ("/usr/bin/python3.12 -u /srv/tools/weather.py", "weather"),
        ("python -m weather", "weather"),
        ("docker run -i --rm mcp/git", "git"),
        ("/opt/bin/files --all", "files"),
        ("sh -c exit", "exit"),
        ("node", "node"),
        (f"env TOKEN={SECRET} weather", "weather"),
        (f"uvx --token {SECRET} weather", "weather"),
        (f"sh -c TOKEN={SECRET}", "sh"),
        ("日本", "mcp"),
    ],
)
def test_a_command_is_named_after_the_program_that_it_runs(line: str, label: str) -> None:
    assert launch(line.split(" ")).label == label


def test_a_configured_server_and_an_address_have_names_of_the_letters_that_tools_have() -> None:
    assert Launch(key="my files!").label == "my_files"
    assert Launch(url="http://localhost:8000/mcp").label == "localhost_8000"


@pytest.mark.parametrize(
    "line", [f"server --token {SECRET}", f"server --api-key={SECRET}", f"env DB_PASSWORD={SECRET} server"]
)
def test_secrets_of_the_command_line_are_found_and_not_repeated(line: str) -> None:
    made = launch(line.split(" "))
    assert made.secrets == (SECRET,)
    assert SECRET not in made.redacted(f"cannot open {SECRET}") and SECRET not in repr(made)


def test_all_of_the_environment_is_left_out_of_messages_and_its_secrets_are_masked() -> None:
    environment = (("API_TOKEN", Hidden(SECRET)), ("FOLDER", Hidden("/home/ann")))
    made = launch(["server"], environment=environment)
    assert made.secrets == (SECRET,)
    said = made.redacted(f"no {SECRET} in /home/ann\n\x1b[31mred\x1b[0m password=letmein99")
    assert all(each not in said for each in (SECRET, "/home/ann", "letmein99", "\x1b", "\n")) and "red" in said
    assert SECRET not in repr(made) and "/home/ann" not in repr(made)
