"""Local MCP servers (`--mcp COMMAND`): what the option and `ClaudeMagic.mcp_servers` name, and their tools.

A server is a stranger: what it says of its tools is data, and no claim of it spares a tool the reader's approval.
"""

from __future__ import annotations

import atexit
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..client.mcp.launch import Launch
from ..content.secrets import Hidden, Secrets
from ..content.text import plural, whole_text, without_controls
from ..errors import UsageError
from ..options import is_address, mcp_server
from .functions import Tool

if TYPE_CHECKING:
    from ..client.mcp.server import Server
    from ..client.mcp.session import Listed

OPTION = "--mcp"
MAX_NAME_CHARACTERS = 128
MAX_DESCRIPTION_CHARACTERS = 20_000
MAX_SCHEMA_BYTES = 100_000
MAX_SCHEMA_DEPTH = 50
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
# The API's rules for the schema of a tool's input, as its error messages say them.
_NOT_AT_THE_TOP = ("anyOf", "oneOf", "allOf")
_PROPERTY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_KEYS = frozenset({"command", "args", "env", "cwd", "url", "type"})
# Names of the API's own tools, which a request may hold as well.
_TAKEN = ("web_search", "web_fetch", "code_execution")


# --- what the option and the configuration name ---------------------------------------------------------


def wrong(servers: Mapping[Any, Any]) -> str:
    """The error in a value of the setting `mcp_servers`; empty if it is valid. It repeats no value."""
    for key, value in servers.items():
        if not isinstance(key, str) or not key.strip():
            return "mcp_servers has a name for each server, which is text."
        try:
            _configured(key, value)
        except ValueError as error:
            return f"mcp_servers: {without_controls(key)} wants {error}."
    return ""


def hidden(servers: Mapping[str, Any]) -> dict[str, Any]:
    """The setting with its environments, and each text that has a secret in it, hidden when it is displayed."""
    return {key: _hidden(value, is_secret=False) for key, value in servers.items()}


def _hidden(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, str):
        return Hidden(value) if is_secret or Secrets().masked(value)[1] else value
    if isinstance(value, list | tuple):
        return [_hidden(each, is_secret=is_secret) for each in value]
    if isinstance(value, Mapping):
        return {key: _hidden(each, is_secret=is_secret or key == "env") for key, each in value.items()}
    return value


def addresses(words: Iterable[str], servers: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of `--mcp` with each name of an address in `servers` as that address."""
    found = ((word, _configured(word, servers[word]) if word in servers else None) for word in words)
    return tuple(launch.url if launch is not None and is_address(launch.url) else word for word, launch in found)


def launches(words: Iterable[str], servers: Mapping[str, Any]) -> list[Launch]:
    """The local servers that words of `--mcp` name: all but addresses of servers that the API connects to."""
    local = [word for word in dict.fromkeys(words) if not is_address(word)]
    found = [_configured(word, servers[word]) if word in servers else _typed(word) for word in local]
    for launch in found:
        if launch.url or launch.is_command_found:
            continue
        raise UsageError(
            f"--mcp {launch.label}: there is no such command as it has in ClaudeMagic.mcp_servers."
            if launch.key
            else "--mcp: there is no such command, and no server of that name in ClaudeMagic.mcp_servers.",
            advice="It takes an address that opens with https://, a command, or a name. Nothing was sent.",
        )
    return found


def secrets(servers: Mapping[str, Any]) -> tuple[Hidden, ...]:
    """What looks like a secret in the setting."""
    return tuple(secret for key, value in servers.items() for secret in _configured(key, value).secrets)


def _typed(word: str) -> Launch:
    """The server of a word of the line, which `options` has checked."""
    return Launch(url=word) if word.startswith("http://") else _command("", word)


def _command(key: str, line: str) -> Launch:
    command, *arguments = shlex.split(line)
    return Launch(key, Hidden(command), tuple(map(Hidden, arguments)))


def _configured(key: str, value: Any) -> Launch:
    """A server of the setting. Raises `ValueError` with what it wants."""
    if isinstance(value, str):
        value = mcp_server(value)
        is_url = is_address(value) or value.startswith("http://")
        return Launch(key, url=value) if is_url else _command(key, value)
    if not isinstance(value, Mapping) or not set(value) <= _KEYS or ("command" in value) == ("url" in value):
        raise ValueError("a command, an address, or a dict with command, args, env and cwd")
    if "url" in value:
        if not isinstance(value["url"], str) or not value["url"].startswith(("https://", "http://")):
            raise ValueError("an address as its url")
        return _configured(key, value["url"])
    return _of_dict(key, value)


def _of_dict(key: str, value: Mapping[str, Any]) -> Launch:
    command, arguments, environment = value["command"], value.get("args") or (), value.get("env") or {}
    if not isinstance(command, str) or not command.strip():
        raise ValueError("a command that is text")
    if not isinstance(arguments, list | tuple) or not all(isinstance(each, str) for each in arguments):
        raise ValueError("args that are a list of texts")
    if not isinstance(environment, Mapping) or not all(
        isinstance(each, str) for pair in environment.items() for each in pair
    ):
        raise ValueError("an env that is a dict of texts")
    folder = value.get("cwd")
    if not isinstance(folder, str | None):
        raise ValueError("a cwd that is text")
    held = tuple((name, Hidden(each)) for name, each in environment.items())
    return Launch(key, Hidden(command), tuple(map(Hidden, arguments)), held, folder)


# --- the servers of a kernel ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Offered:
    """The tools of a cell's local servers, and remarks for the reader."""

    tools: tuple[Tool, ...] = ()
    notes: tuple[str, ...] = ()


def recorded(definitions: Iterable[Mapping[str, Any]], taken: Iterable[str]) -> Offered:
    """Tools of recorded definitions, but for those of names that are `taken`: they are shown, and never run."""
    names = set(taken)
    mine = [each for each in definitions if each.get("name") not in names and "input_schema" in each]
    return Offered(tuple(Tool(str(each.get("name")), each, _not_started, option=OPTION) for each in mine))


def _not_started(given: Mapping[str, Any]) -> Any:
    raise UsageError("Only the record answers here: no server was started.")


class Servers:
    """The local servers of a kernel. Each is started when a cell first names it, serves all later cells, and ends with
    the kernel; one that has died is started again for the next cell."""

    def __init__(self) -> None:
        self._running: dict[Launch, Server] = {}

    def offered(self, launches: Iterable[Launch], taken: Iterable[str]) -> Offered:
        """The tools of these servers, under names that are distinct from those `taken`. Raises `UsageError`."""
        names, tools, notes = {*taken, *_TAKEN}, list[Tool](), list[str]()
        for launch in launches:
            server, found = self._listed(launch)
            left_out = list[str]()
            for listed in found:
                if fault := _fault(listed.definition):
                    left_out.append(f"{_valid(listed.name)}: {fault}")
                    continue
                tools.append(_tool(server, listed, _distinct(listed.name, launch.label, names)))
                names.add(tools[-1].name)
            if left_out:
                notes.append(f"{launch.label}: {plural(len(left_out), 'tool')} left out ({left_out[0]})")
        return Offered(tuple(tools), tuple(notes))

    def end(self) -> None:
        """End all servers."""
        running, self._running = list(self._running.values()), {}
        for server in running:
            server.begin_end()
        for server in running:
            server.end()
        atexit.unregister(self.end)

    def _listed(self, launch: Launch) -> tuple[Server, Sequence[Listed]]:
        """A server and its tools. One that is found dead only now, or that was started anew at its address, is started
        or reached again."""
        was_running, server = launch in self._running, self._server(launch)
        try:
            return server, server.tools()
        except UsageError:
            if not was_running or (server.is_alive and not launch.url):
                raise
        server.begin_end()
        server = self._server(launch)
        return server, server.tools()

    def _server(self, launch: Launch) -> Server:
        from ..client.mcp import session
        from ..client.mcp.server import Server

        server = self._running.get(launch)
        if server is not None and server.is_alive:
            return server
        if not session.is_installed():
            raise UsageError(
                "--mcp with a command wants the package mcp, which is not installed.",
                advice="Install it: pip install 'claude_magic[mcp]'. Nothing was sent.",
            )
        server = Server(launch)
        server.start()
        self._running[launch] = server
        atexit.register(self.end)
        return server


def _tool(server: Server, listed: Listed, name: str) -> Tool:
    definition = json.loads(whole_text(json.dumps({**listed.definition, "name": name}, ensure_ascii=False)))
    about = without_controls(str(definition.pop("description", None) or ""))[:MAX_DESCRIPTION_CHARACTERS]
    return Tool(
        name,
        {**definition, **({"description": about} if about.strip() else {})},
        lambda given: server.call(listed, given),
        option=OPTION,
    )


def _valid(name: str) -> str:
    """A server's name for a tool as one that the API takes."""
    return _NOT_IN_A_NAME.sub("_", name)[:MAX_NAME_CHARACTERS] or "tool"


def _distinct(name: str, label: str, taken: Set[str]) -> str:
    """The name of a tool, with the server's name in front of it if it is taken, and a number behind if that is, too."""
    found = plain = _valid(name)
    if found in taken:
        found = plain = _valid(f"{label}_{name}")
    number = 1
    while found in taken:
        number += 1
        found = f"{plain[: MAX_NAME_CHARACTERS - len(str(number)) - 1]}_{number}"
    return found


def _fault(definition: Mapping[str, Any]) -> str:
    """Why the API would refuse a tool; empty if it takes it."""
    schema = definition.get("input_schema")
    if not isinstance(schema, Mapping) or schema.get("type") != "object":
        return "its schema is not that of an object"
    if above := [key for key in _NOT_AT_THE_TOP if key in schema]:
        return f"its schema has {above[0]} at the top"
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping) or not all(_PROPERTY.fullmatch(str(name)) for name in properties):
        return "its schema has a property of a name that the API does not take"
    if _depth(schema) > MAX_SCHEMA_DEPTH:
        return f"its schema is nested more than {MAX_SCHEMA_DEPTH} deep"
    if (size := len(json.dumps(definition, ensure_ascii=False))) > MAX_SCHEMA_BYTES:
        return f"its definition has {size:,} characters"
    return ""


def _depth(value: Any) -> int:
    """How deep lists and mappings are nested, up to one more than is allowed."""
    depth, level = 0, [value]
    while level and depth <= MAX_SCHEMA_DEPTH:
        depth += 1
        level = [inner for each in level for inner in _inner(each)]
    return depth


def _inner(value: Any) -> Sequence[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else ()
