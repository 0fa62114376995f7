"""Options → the API's parameters besides the messages, checked against the model; and the beta headers they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from .. import models
from ..conversation.turns import Message, blocks
from ..errors import UsageError
from ..options import TOOL_CHOICES, Options
from . import server_tools

# Types of context edits: summarise the conversation, clear old tool results, clear old thinking.
COMPACT = "compact_20260112"
CLEAR_TOOL_USES = "clear_tool_uses_20250919"
CLEAR_THINKING = "clear_thinking_20251015"
# Beta headers (CLAUDE_API.md §0, §6).
COMPACTS_AT_THRESHOLD = "compact-2026-01-12"
EDITS_CONTEXT = "context-management-2025-06-27"
COMPACTS_ON_DEMAND = "compact-2026-09-04"
FAST = "fast-mode-2026-02-01"
# The first model version that takes `speed` without a beta header, and the first that takes `inference_geo` and
# compaction at all (the SDK's `message_create_params.py`; `offline/rules/parameters.py` checks the same).
FIRST_WITHOUT_HEADER = (5, 2)
FIRST_VERSION = (4, 6)


def settings_of(
    options: Options, model: models.Model | None, schema: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All parameters but `model`, `max_tokens` and `messages`, without those that are unset.

    Raises `UsageError` for options that the model does not take.
    """
    if model is not None and options.max_tokens > model.max_output:
        raise UsageError(
            f"{options.model} replies with at most {model.max_output:,} tokens, not {options.max_tokens:,}.",
            advice=f"Use --max-tokens {model.max_output} or less.",
        )
    choice = _tool_choice(options, model)
    thinking = _thinking(options, model)
    settings = {
        "system": options.system or None,
        "tools": server_tools.tools(options, model) or None,
        "tool_choice": choice,
        "mcp_servers": server_tools.mcp_servers(options.mcp) or None,
        "thinking": thinking,
        "output_config": _output_config(options, model, thinking, schema),
        "stop_sequences": list(options.stop) or None,
        "cache_control": _cache_control(options),
        "context_management": _context_management(options, model),
        "speed": _speed(options, model),
        "service_tier": options.service_tier,
        "inference_geo": _since(model, "--inference-geo", options.inference_geo),
        "metadata": {"user_id": options.metadata_user} if options.metadata_user else None,
    }
    return {name: value for name, value in settings.items() if value is not None}


# Parameters that a request may have although no option of the cell asks for them.
_OURS: Mapping[str, Callable[[Options], bool]] = {
    "container": lambda options: True,
    "tool_choice": lambda options: options.tool_choice is None,
    "thinking": lambda options: options.thinking is None,
    "tools": lambda options: not options.tools and not options.mcp and not server_tools.tools(options, None),
}


def with_extra(params: Mapping[str, Any], extra: Mapping[str, Any], options: Options) -> dict[str, Any]:
    """A request's parameters with those of `ClaudeMagic.extra_body`, which replace defaults of ours.

    Raises `UsageError` if they would replace what an option of the cell sets.
    """
    defaults = settings_of(Options(model=options.model, max_tokens=options.max_tokens), models.lookup(options.model))
    defaults |= {name: params.get(name) for name, is_ours in _OURS.items() if is_ours(options)}
    clashes = [name for name in extra if name in params and params[name] not in (defaults.get(name), extra[name])]
    if clashes:
        raise UsageError(
            f"ClaudeMagic.extra_body sets {', '.join(clashes)}, and so does an option of this cell. Nothing was sent.",
            advice="Leave out the option, or take it out of %config ClaudeMagic.extra_body.",
        )
    return {**params, **extra}


def is_forced(options: Options) -> bool:
    """Whether Claude has to call a tool first."""
    return options.tool_choice not in (None, "auto", "none")


def _tool_choice(options: Options, model: models.Model | None) -> dict[str, Any] | None:
    """The `tool_choice` parameter. Raises `UsageError` if the model cannot be made to call a tool."""
    wanted = options.tool_choice
    if is_forced(options) and model is not None:
        if not model.takes_forced_tools:
            takes = [each for each in models.MODELS if each.takes_forced_tools and not each.retires]
            same = next((each for each in takes if each.line == model.line), takes[0])
            raise UsageError(
                f"{options.model} cannot be made to call a tool: it takes --tool-choice auto and none.",
                advice=f"--model {same.id} can; so can {', '.join(each.id for each in takes if each != same)}.",
            )
        if options.thinking not in (None, "disabled"):
            raise UsageError(
                f"--tool-choice {wanted} does not go together with --thinking {options.thinking}: "
                "no model thinks before a tool that it has to call.",
                advice="Leave out --thinking, or --tool-choice.",
            )
    if wanted is None:
        return None
    return {"type": wanted} if wanted in TOOL_CHOICES else {"type": "tool", "name": wanted}


def _thinking(options: Options, model: models.Model | None) -> dict[str, Any] | None:
    """The `thinking` parameter. Without the option it only asks for a summary of the model's default thinking."""
    wanted = options.thinking
    if wanted is None and is_forced(options):  # while it thinks, no model calls a tool that it has to
        return {"type": "disabled"} if model and model.thinks else None
    if wanted is None:
        return {"type": "adaptive", "display": "summarized"} if model and model.thinks else None
    kind = wanted if not wanted[0].isdigit() else "enabled"
    if model is not None and kind not in model.thinking:
        raise UsageError(f"{options.model} does not take --thinking {wanted}.", advice=_alternatives(model, kind))
    if kind == "enabled":
        return _budget(int(wanted), options)
    return {"type": kind, "display": "summarized"} if kind == "adaptive" else {"type": kind}


def _alternatives(model: models.Model, kind: str) -> str:
    others = ", ".join("a number of tokens" if each == "enabled" else each for each in model.thinking)
    how = " How much it thinks is set with --effort." if kind == "enabled" else ""
    return f"It takes: {others}.{how}"


def _budget(tokens: int, options: Options) -> dict[str, Any]:
    if not 1024 <= tokens < options.max_tokens:
        raise UsageError(
            f"--thinking {tokens} does not fit: a budget is at least 1,024 tokens, and less than --max-tokens "
            f"({options.max_tokens:,}), which it is a part of."
        )
    return {"type": "enabled", "budget_tokens": tokens}


def _output_config(
    options: Options,
    model: models.Model | None,
    thinking: dict[str, Any] | None,
    schema: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    config: dict[str, Any] = {}
    if options.effort is not None:
        config["effort"] = _effort(options, model, thinking)
    if schema:
        if model is not None and "structured_outputs" not in model.capabilities:
            raise UsageError(f"{options.model} does not take --schema.")
        config["format"] = {"type": "json_schema", "schema": schema}
    return config or None


def _effort(options: Options, model: models.Model | None, thinking: dict[str, Any] | None) -> str | None:
    if model is not None:
        kind = thinking["type"] if thinking else "adaptive"
        accepted = model.efforts_with(kind)
        if options.effort not in accepted:
            with_kind = f" with --thinking {kind}" if options.effort in model.effort else ""
            raise UsageError(
                f"{options.model} does not take --effort {options.effort}{with_kind}.",
                advice=f"It takes: {', '.join(accepted)}." if accepted else "It takes no effort: leave the option out.",
            )
    return options.effort


def _cache_control(options: Options) -> dict[str, Any] | None:
    """The `cache_control` parameter; `None` with `--once`, since nothing of that question is sent again."""
    if options.once or options.cache == "off":
        return None
    return {"type": "ephemeral", "ttl": "1h"} if options.cache == "1h" else {"type": "ephemeral"}


def _context_management(options: Options, model: models.Model | None) -> dict[str, Any] | None:
    """The `context_management` parameter: the API's edits, each with its trigger in tokens unless it is automatic."""
    clears = _edit(CLEAR_TOOL_USES, options.clear_tools)
    compacts = _since(model, "--compact", _edit(COMPACT, options.compact))
    edits = [edit for edit in (clears, compacts) if edit is not None]
    return {"edits": edits} if edits else None


def _edit(kind: str, when: str | None) -> dict[str, Any] | None:
    if when in (None, "off"):
        return None
    return {"type": kind, **({"trigger": {"type": "input_tokens", "value": int(when)}} if when != "auto" else {})}


def _since(model: models.Model | None, flag: str, value: Any) -> Any:
    """The value of a parameter that models before `FIRST_VERSION` do not take. Raises `UsageError` for those."""
    if value is not None and model is not None and model.version < FIRST_VERSION:
        raise UsageError(f"{model.id} does not take {flag}.", advice="Models from 4.6 on do.")
    return value


def _speed(options: Options, model: models.Model | None) -> str | None:
    if options.speed == "fast" and model is not None and not model.fast:
        fast = ", ".join(each.id for each in models.MODELS if each.fast)
        raise UsageError(f"{options.model} has no --speed fast.", advice=f"These have it: {fast}.")
    return options.speed


def _bare_version(model_id: str) -> tuple[int, ...]:
    model = models.lookup(model_id)
    return model.version if model else FIRST_WITHOUT_HEADER


def betas(params: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the `anthropic-beta` header that a request needs."""
    return betas_after(betas_of(params.get("messages", ())), params)


def betas_of(messages: Iterable[Message]) -> set[str]:
    """The values of the `anthropic-beta` header that messages need."""
    needed = set()
    for block in (block for message in messages for block in blocks(message)):
        if block["type"] == "compaction":
            needed.add(COMPACTS_ON_DEMAND if block.get("signature") else COMPACTS_AT_THRESHOLD)
        elif block["type"].startswith("mcp_"):
            needed.add(server_tools.MCP_BETA)
    return needed


def betas_after(messages: Set[str], params: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of the `anthropic-beta` header: those that the messages need, and those of the other parameters."""
    edits = {edit.get("type") for edit in (params.get("context_management") or {}).get("edits", ())}
    is_fast = "speed" in params and _bare_version(str(params.get("model"))) < FIRST_WITHOUT_HEADER
    needed = {
        COMPACTS_ON_DEMAND: "compaction" in params,
        COMPACTS_AT_THRESHOLD: COMPACT in edits,
        EDITS_CONTEXT: bool(edits - {COMPACT}),
        server_tools.MCP_BETA: "mcp_servers" in params,
        FAST: is_fast,
    }
    return tuple(name for name, is_needed in needed.items() if is_needed or name in messages)
