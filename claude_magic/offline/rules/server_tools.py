"""Rules for server tools, MCP servers and containers, with the API's error messages.

Source: the SDK's `*_tool_2*_param.py`, `beta_mcp_toolset_param.py`, `beta_request_mcp_server_url_definition_param.py`,
CLAUDE_API.md §10, and public reports that quote the API's errors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ...models import Model
from ..faults import Rejected
from ..request.history import Body, tools

_ANY = {"type", "name", "allowed_callers", "cache_control", "defer_loading", "strict"}
_WEB = _ANY | {"allowed_domains", "blocked_domains", "max_uses"}
_SEARCH = _WEB | {"user_location"}
_FETCH = _WEB | {"citations", "max_content_tokens"}
# type of tool → its name, and the fields that it takes
TOOLS: Mapping[str, tuple[str, set[str]]] = {
    "web_search_20250305": ("web_search", _SEARCH),
    "web_search_20260209": ("web_search", _SEARCH),
    "web_search_20260318": ("web_search", _SEARCH | {"response_inclusion"}),
    "web_fetch_20250910": ("web_fetch", _FETCH),
    "web_fetch_20260209": ("web_fetch", _FETCH),
    "web_fetch_20260309": ("web_fetch", _FETCH | {"use_cache"}),
    "web_fetch_20260318": ("web_fetch", _FETCH | {"use_cache", "response_inclusion", "url_sources"}),
    "code_execution_20250522": ("code_execution", _ANY),
    "code_execution_20250825": ("code_execution", _ANY),
    "code_execution_20260120": ("code_execution", _ANY),
    "code_execution_20260521": ("code_execution", _ANY),
}
# Tools that the client runs, with schemas defined by the API: their fields are not checked.
_CLIENT = re.compile(
    r"(bash|text_editor|memory|computer|computer_toolset|browser_toolset|advisor|tool_search_tool_\w+?)_\d+"
)
_CALLERS = ("direct", "code_execution_20250825", "code_execution_20260120", "code_execution_20260521")
# Tools that filter their results by code execution, unless `allowed_callers` says `direct`.
_FILTERS_BY_CODE = ("web_search_202602", "web_search_202603", "web_fetch_2026")
WITHOUT_PROGRAMS = ("claude-haiku-4-5",)
_SERVER = {"type", "url", "name", "authorization_token", "tool_configuration"}
_TOOLSET = {"type", "mcp_server_name", "cache_control", "configs", "default_config", "tools"}


def check_tool(tool: Body, path: str, model: Model) -> None:
    """Refuse a tool of an unknown type, or whose fields are wrong for its type."""
    kind = str(tool["type"])
    if kind == "mcp_toolset" or _CLIENT.fullmatch(kind):
        return
    if kind not in TOOLS:
        tags = ", ".join(f"'{each}'" for each in ("custom", "mcp_toolset", *TOOLS))
        raise Rejected(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}")
    name, fields = TOOLS[kind]
    if tool.get("name") != name:
        raise Rejected(f"{path}.{kind}.name: Input should be '{name}'")
    for field in sorted(tool.keys() - fields):
        raise Rejected(f"{path}.{kind}.{field}: Extra inputs are not permitted")
    if "server_tools" not in model.capabilities:
        raise Rejected(f"'{model.id}' does not support this tool type: {kind}.")
    _check_domains(tool, f"{path}.{kind}")
    _check_callers(tool, kind, path, model)


def _check_domains(tool: Body, path: str) -> None:
    if tool.get("allowed_domains") and tool.get("blocked_domains"):
        raise Rejected(f"{path}: Cannot specify both `allowed_domains` and `blocked_domains`.")
    for domain in [*(tool.get("allowed_domains") or ()), *(tool.get("blocked_domains") or ())]:
        if not isinstance(domain, str) or "://" in domain or not domain.strip():
            raise Rejected(f"{path}: domains are given without a scheme, as example.com")
    uses = tool.get("max_uses")
    if uses is not None and (not isinstance(uses, int) or isinstance(uses, bool) or uses < 1):
        raise Rejected(f"{path}.max_uses: Input should be greater than 0")


def _check_callers(tool: Body, kind: str, path: str, model: Model) -> None:
    callers = tool.get("allowed_callers")
    if callers is not None and (not callers or any(each not in _CALLERS for each in callers)):
        raise Rejected(
            f"{path}.{kind}.allowed_callers.0: Input should be " + ", ".join(f"'{each}'" for each in _CALLERS)
        )
    by_program = any(each != "direct" for each in callers) if callers else kind.startswith(_FILTERS_BY_CODE)
    if by_program and model.id in WITHOUT_PROGRAMS:
        raise Rejected(
            f"'{model.id}' does not support programmatic tool calling. The following tools have `allowed_callers` that "
            f'require it: {tool["name"]}. Set `allowed_callers` to ["direct"].'
        )


def check_servers(body: Body, model: Model) -> None:
    """Each MCP server has exactly one toolset, and each toolset names an MCP server."""
    servers = body.get("mcp_servers") or []
    if not isinstance(servers, list):
        raise Rejected("mcp_servers: Input should be a valid list")
    for i, server in enumerate(servers):
        _check_server(server, f"mcp_servers.{i}")
    names = [server["name"] for server in servers]
    if len(names) != len(set(names)):
        raise Rejected("mcp_servers: MCP server names must be unique.")
    sets = [tool for tool in tools(body) if tool.get("type") == "mcp_toolset"]
    for i, toolset in enumerate(sets):
        for field in sorted(toolset.keys() - _TOOLSET):
            raise Rejected(f"tools.{i}.mcp_toolset.{field}: Extra inputs are not permitted")
    used = [toolset.get("mcp_server_name") for toolset in sets]
    for name in used:
        if name not in names:
            raise Rejected(f"MCP server '{name}' referenced by mcp_toolset not found in mcp_servers")
    for name in names:
        if used.count(name) != 1:
            raise Rejected(f"MCP server '{name}' must be referenced by exactly one mcp_toolset in tools")


def _check_server(server: Any, path: str) -> None:
    if not isinstance(server, dict):
        raise Rejected(f"{path}: Input should be an object")
    for field in sorted(server.keys() - _SERVER):
        raise Rejected(f"{path}.{field}: Extra inputs are not permitted")
    for field in ("type", "url", "name"):
        if not isinstance(server.get(field), str) or not server[field]:
            raise Rejected(f"{path}.{field}: Field required")
    if server["type"] != "url":
        raise Rejected(f"{path}.type: Input should be 'url'")
    if urlsplit(server["url"]).scheme != "https":
        raise Rejected(f"{path}.url: MCP server URL must start with https://")


def check_container(body: Body, model: Model) -> None:
    """Check the form of `container`; `replies/containers.py` checks that it exists."""
    container = body.get("container")
    if container is None or isinstance(container, str):
        return
    if not isinstance(container, dict) or container.keys() - {"id", "skills"}:
        raise Rejected("container: Input should be a valid string or a valid dictionary")
    if container.get("skills") and not any(str(tool.get("type")).startswith("code_execution_") for tool in tools(body)):
        raise Rejected("container: skills can only be used when a code execution tool is enabled")
