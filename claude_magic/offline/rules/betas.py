"""The `anthropic-beta` header: its known values, and the parameters that need one of them.

Source: the SDK's `types/anthropic_beta_param.py` (2.14), and the parameters' own pages (CLAUDE_API.md §0.2,
§4, §6, §9, §10).
"""

from __future__ import annotations

from collections.abc import Mapping

from ..faults import Rejected

COMPACTS_AT_THRESHOLD = "compact-2026-01-12"
COMPACTS_ON_DEMAND = "compact-2026-09-04"
EDITS_CONTEXT = "context-management-2025-06-27"
FALLS_BACK = "server-side-fallback-2026-07-01"
FALLS_BACK_BY_LIST = "server-side-fallback-2026-06-01"
FAST = "fast-mode-2026-02-01"

KNOWN = frozenset(
    [
        "admin-user-sign-out-2026-10-08",
        "advisor-tool-2026-03-01",
        "agent-memory-2026-07-22",
        "analytics-usage-cost-2026-08-24",
        "cache-diagnosis-2026-04-07",
        "ce-claude-code-managed-settings-2026-10-06",
        "ce-plugins-2026-09-01",
        "ce-user-management-2026-07-13",
        "code-execution-2025-05-22",
        "compact-2026-01-12",
        "compact-2026-09-04",
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "dev-full-thinking-2025-05-14",
        "dreaming-2026-04-21",
        "efs-2026-10-01",
        "experimental-claude-tag-2026-10-21",
        "extended-cache-ttl-2025-04-11",
        "fallback-credit-2026-06-01",
        "fallback-credit-2026-07-01",
        "fast-mode-2026-02-01",
        "files-api-2025-04-14",
        "fine-grained-tool-streaming-2025-05-14",
        "google-managed-data-controls-2026-09-01",
        "inline-tools-2026-09-15",
        "interleaved-thinking-2025-05-14",
        "managed-agents-2026-04-01",
        "mcp-client-2025-04-04",
        "mcp-client-2025-11-20",
        "mcp-client-2026-09-15",
        "mcp-tunnels-2026-06-22",
        "message-batches-2024-09-24",
        "message-threads-2026-08-12",
        "mid-conversation-output-config-2026-07-01",
        "mid-conversation-system-clear-at-2026-08-21",
        "mid-conversation-tool-changes-2026-07-01",
        "model-context-window-exceeded-2025-08-26",
        "oauth-2025-04-20",
        "output-128k-2025-02-19",
        "output-300k-2026-03-24",
        "pdfs-2024-09-25",
        "prompt-caching-2024-07-31",
        "server-side-fallback-2026-06-01",
        "server-side-fallback-2026-07-01",
        "skills-2025-10-02",
        "spend-limit-reads-2026-09-26",
        "structured-outputs-2025-11-13",
        "task-budgets-2026-03-13",
        "telemetry-destinations-2026-08-11",
        "thinking-binding-controls-2026-08-01",
        "thinking-display-updates-2026-08-18",
        "thinking-token-count-2026-05-13",
        "token-counting-2024-11-01",
        "token-efficient-tools-2025-02-19",
        "user-profiles-2026-03-24",
        "user-profiles-2026-08-18",
        "user-profiles-2026-09-04",
        "user-profiles-billing-2026-10-01",
        "webhooks-2026-10-07",
    ]
)

# parameter → beta headers, any one of which the parameter needs
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "billing_policy": ("user-profiles-billing-2026-10-01",),
    "compaction": (COMPACTS_ON_DEMAND,),
    "context_management": (EDITS_CONTEXT, COMPACTS_AT_THRESHOLD),
    "fallback_credit_token": ("fallback-credit-2026-07-01", "fallback-credit-2026-06-01"),
    "fallbacks": (FALLS_BACK, FALLS_BACK_BY_LIST),
    "mcp_servers": ("mcp-client-2026-09-15", "mcp-client-2025-11-20", "mcp-client-2025-04-04"),
    "output_format": ("structured-outputs-2025-11-13",),
    "thread": ("message-threads-2026-08-12",),
}


def parsed(header: str) -> frozenset[str]:
    """The header's values. Raises the API's 400 for unknown ones."""
    given = [value.strip() for value in header.split(",") if value.strip()]
    if unknown := [value for value in given if value not in KNOWN]:
        raise Rejected(
            f"Unexpected value(s) {', '.join(f'`{value}`' for value in unknown)} for the `anthropic-beta` header. "
            "Please consult our documentation at docs.claude.com or try again without the header."
        )
    return frozenset(given)


def allows(name: str, given: frozenset[str]) -> bool:
    """Whether the API takes a beta parameter with these header values."""
    return any(header in given for header in PARAMETERS.get(name, ()))


def require(header: str, given: frozenset[str], what: str) -> None:
    """Refuse `what` without its beta header: the API treats it as an unknown parameter then."""
    if header not in given:
        raise Rejected(f"{what}: Extra inputs are not permitted")
