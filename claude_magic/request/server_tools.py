"""Tools that run on the API's servers: options → `tools` and `mcp_servers`, and the container to continue in.

Versions and rules: CLAUDE_API.md §10 and the SDK's `*_tool_2026*_param.py`. The token of an MCP server is not part of
a request: the client adds it when it sends (`client/settings.py`).
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
from ..options import Options

SEARCH = {"type": "web_search_20260318", "name": "web_search"}
FETCH = {"type": "web_fetch_20260318", "name": "web_fetch"}
CODE = {"type": "code_execution_20260521", "name": "code_execution"}
MCP_BETA = "mcp-client-2025-11-20"
# From which version on a model sifts what it finds by code of its own, which is the web tools' default; older ones
# are to call them directly, or get a 400 (the web search tool's page, "dynamic filtering").
SIFTING_SINCE = (4, 6)
# A container that is about to expire could be gone when Claude gets to use it.
MARGIN_SECONDS = 30
_HOSTED = ("web_search_", "web_fetch_", "code_execution_", "mcp_toolset", "tool_search_", "advisor_")
EXPIRED = "a new container: the last one expired, and its files are gone"
_NOT_A_NAME = ("mcp", "www", "api", "server")


def tools(options: Options, model: Model | None) -> list[dict[str, Any]]:
    """The server tools that the options ask for. Raises `UsageError` where the model takes none."""
    wanted = {"--web-search": options.web_search, "--web-fetch": options.web_fetch, "--mcp": options.mcp}
    given = [flag for flag, asked in {**wanted, "--code-execution": options.code_execution}.items() if asked]
    if given and model is not None and "server_tools" not in model.capabilities:
        raise UsageError(f"{model.id} does not take {given[0]}.")
    found: list[dict[str, Any]] = []
    if options.web_search:
        found.append(_of_the_web(SEARCH, options, model))
    if options.web_fetch:
        cited = {"citations": {"enabled": True}} if options.citations else {}
        found.append({**_of_the_web(FETCH, options, model), **cited})
    if options.code_execution:
        found.append(dict(CODE))
    return [*found, *({"type": "mcp_toolset", "mcp_server_name": each["name"]} for each in mcp_servers(options.mcp))]


def _of_the_web(tool: Mapping[str, Any], options: Options, model: Model | None) -> dict[str, Any]:
    limits: dict[str, Any] = dict(tool)
    if options.web_domains:
        limits["allowed_domains"] = options.web_domains.split(",")
    if options.web_max_uses:
        limits["max_uses"] = options.web_max_uses
    if model is not None and model.version < SIFTING_SINCE:
        limits["allowed_callers"] = ["direct"]
    return limits


def mcp_servers(urls: Iterable[str]) -> list[dict[str, Any]]:
    """The `mcp_servers` parameter: each URL with a name made of its host."""
    found: dict[str, dict[str, Any]] = {}
    for url in dict.fromkeys(urls):
        plain = name = _name(url)
        for number in range(2, len(found) + 2):
            if name not in found:
                break
            name = f"{plain}_{number}"
        found[name] = {"type": "url", "url": url, "name": name}
    return list(found.values())


def _name(url: str) -> str:
    """`https://mcp.deepwiki.com/mcp` is `deepwiki`."""
    labels = (urlsplit(url).hostname or "").split(".")
    telling = [label for label in labels[:-1] if label not in _NOT_A_NAME]
    return re.sub(r"[^A-Za-z0-9_-]", "_", (telling or labels)[-1]) or "mcp"


def is_hosted(tool: Mapping[str, Any]) -> bool:
    """Whether a definition is of a tool that runs on the API's servers."""
    return str(tool.get("type") or "").startswith(_HOSTED)


def needs(asked: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of `providers.FEATURES`, those that these tools need."""
    kinds = {str(tool.get("type") or "").rpartition("_")[0]: tool for tool in asked}
    return [kind for kind in ("web_search", "web_fetch", "code_execution", "mcp") if kind in kinds]


def container(turns: Sequence[Turn], asked: Iterable[Mapping[str, Any]], now: float) -> tuple[str | None, str]:
    """The container in which code goes on running, and a note where the last one is gone.

    `now` is in seconds since the epoch. Nothing, where no tool of the request runs code.
    """
    if not any(_runs_code(tool) for tool in asked):
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
    """When a container expires, in seconds since the epoch; long ago, where that is not readable."""
    try:
        return datetime.fromisoformat(str(last.get("expires_at")).replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError):
        return 0.0
