"""Server tools: options → `tools` and `mcp_servers`, and the container in which code execution continues.

Source of versions and rules: CLAUDE_API.md §10 and the SDK's `*_tool_2026*_param.py`. The token of an MCP server is not
part of a request: the client adds it when it sends (`client/settings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from ..conversation.turns import Turn
from ..errors import UsageError
from ..models import Model
from ..options import Options, is_address, location

SEARCH = {"type": "web_search_20260318", "name": "web_search"}
FETCH = {"type": "web_fetch_20260318", "name": "web_fetch"}
CODE = {"type": "code_execution_20260521", "name": "code_execution"}
MCP_BETA = "mcp-client-2025-11-20"
# The first model version that filters web results by code of its own, the default of the web tools. Older models need
# `allowed_callers: ["direct"]`, or the API answers 400 (the web search tool's page, "dynamic filtering").
FILTERING_SINCE = (4, 6)
# A container that expires within this time could be gone by the time Claude uses it.
MARGIN_SECONDS = 30
_HOSTED = ("web_search_", "web_fetch_", "code_execution_", "mcp_toolset", "tool_search_", "advisor_")
EXPIRED = "a new container: the last one expired, and its files are gone"
_GENERIC_LABELS = ("mcp", "www", "api", "server")


def tools(options: Options, model: Model | None) -> list[dict[str, Any]]:
    """Definitions of the server tools that the options ask for. Raises `UsageError` if the model takes none, or for
    options that exclude each other."""
    wanted = {"--web-search": options.web_search, "--web-fetch": options.web_fetch, "--mcp": mcp_servers(options.mcp)}
    given = [flag for flag, asked in {**wanted, "--code-execution": options.code_execution}.items() if asked]
    if given and model is not None and "server_tools" not in model.capabilities:
        raise UsageError(f"{model.id} does not take {given[0]}.")
    if options.web_domains and options.web_blocked:
        raise UsageError(
            "--web-domains and --web-blocked do not go together: the API takes the domains to read, or those not to.",
            advice="Leave out one of them, on the line or in %config ClaudeMagic.",
        )
    found: list[dict[str, Any]] = []
    if options.web_search:
        place = {"type": "approximate", **location(options.web_location)} if options.web_location else None
        found.append({**_web_tool(SEARCH, options, model), **({"user_location": place} if place else {})})
    if options.web_fetch:
        cited = {"citations": {"enabled": True}} if options.citations else {}
        limit = {"max_content_tokens": options.web_max_tokens} if options.web_max_tokens else {}
        found.append({**_web_tool(FETCH, options, model), **limit, **cited})
    if options.code_execution:
        found.append(dict(CODE))
    return [*found, *({"type": "mcp_toolset", "mcp_server_name": each["name"]} for each in mcp_servers(options.mcp))]


def _web_tool(tool: Mapping[str, Any], options: Options, model: Model | None) -> dict[str, Any]:
    limits: dict[str, Any] = dict(tool)
    if options.web_domains:
        limits["allowed_domains"] = options.web_domains.split(",")
    if options.web_blocked:
        limits["blocked_domains"] = options.web_blocked.split(",")
    if options.web_max_uses:
        limits["max_uses"] = options.web_max_uses
    if model is not None and model.version < FILTERING_SINCE:
        limits["allowed_callers"] = ["direct"]
    return limits


def mcp_servers(named: Iterable[str]) -> list[dict[str, Any]]:
    """The `mcp_servers` parameter: each address with a distinct name made of its host. Local servers are left out."""
    found: dict[str, dict[str, Any]] = {}
    for url in filter(is_address, dict.fromkeys(named)):
        plain = name = _name(url)
        for number in range(2, len(found) + 2):
            if name not in found:
                break
            name = f"{plain}_{number}"
        found[name] = {"type": "url", "url": url, "name": name}
    return list(found.values())


def _name(url: str) -> str:
    """The name of an MCP server: `deepwiki` for `https://mcp.deepwiki.com/mcp`."""
    labels = (urlsplit(url).hostname or "").split(".")
    distinctive = [label for label in labels[:-1] if label not in _GENERIC_LABELS]
    return re.sub(r"[^A-Za-z0-9_-]", "_", (distinctive or labels)[-1]) or "mcp"


def is_hosted(tool: Mapping[str, Any]) -> bool:
    """Whether a tool definition is that of a server tool."""
    return str(tool.get("type") or "").startswith(_HOSTED)


def needs(definitions: Iterable[Mapping[str, Any]]) -> list[str]:
    """The `providers.FEATURES` that these tools need."""
    kinds = {str(tool.get("type") or "").rpartition("_")[0]: tool for tool in definitions}
    return [kind for kind in ("web_search", "web_fetch", "code_execution", "mcp") if kind in kinds]


def container(turns: Sequence[Turn], definitions: Iterable[Mapping[str, Any]], now: float) -> tuple[str | None, str]:
    """The id of the container in which code execution continues, and a note if the last one has expired.

    `None` and no note if no tool of the request runs code. `now` is in seconds since the epoch.
    """
    if not any(_runs_code(tool) for tool in definitions):
        return None, ""
    last = next((call.container for turn in reversed(turns) for call in reversed(turn.calls) if call.container), None)
    if last is None:
        return None, ""
    if _ends(last) - MARGIN_SECONDS <= now:
        return None, EXPIRED
    return str(last["id"]), ""


def _runs_code(tool: Mapping[str, Any]) -> bool:
    kind = str(tool.get("type") or "")
    if kind.startswith(("web_search_", "web_fetch_")):
        return "direct" not in tool.get("allowed_callers", ())
    return kind.startswith("code_execution_")


def _ends(last: Mapping[str, Any]) -> float:
    """The time at which a container expires, in seconds since the epoch; 0 if it is unreadable."""
    try:
        return datetime.fromisoformat(str(last.get("expires_at")).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
