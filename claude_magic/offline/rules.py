"""What the Messages API refuses, in its own words.

Each rule raises `Rejected`. Source: CLAUDE_API.md's facts, the SDK's parameter types, and public
reports that quote the API's errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..models import Model, lookup
from . import blocks, signatures
from .faults import Rejected
from .history import Body, Placed, flatten, runs
from .tokens import request_tokens

MAX_REQUEST_BYTES = 32 * 1024 * 1024
MAX_MESSAGES = 100_000
MAX_BREAKPOINTS = 4
MIN_BUDGET_TOKENS = 1024
_COUNTED = {
    *("messages", "model", "cache_control", "output_config", "speed", "system", "thinking", "tool_choice"),
    *("tools", "user_profile_id", "workspace_id"),
}
_CREATED = _COUNTED | {
    *("max_tokens", "container", "diagnostics", "inference_geo", "metadata", "service_tier"),
    *("stop_sequences", "stream"),
}
_BETA = {
    *("billing_policy", "compaction", "context_management", "fallback_credit_token", "fallbacks", "mcp_servers"),
    *("thread", "output_format"),
}
_SAMPLING = ("temperature", "top_p", "top_k")
_THINKING_KEYS = {
    "adaptive": {"type", "display"},
    "enabled": {"type", "display", "budget_tokens"},
    "between_tools": {"type"},
    "disabled": {"type"},
}


def check(body: Any, *, betas: str = "", counting: bool = False) -> Model:
    """Go through every rule; the model's row, where all of them hold.

    `betas` is the `anthropic-beta` header; `counting` is for `count_tokens`, which takes fewer parameters.
    """
    if not isinstance(body, dict):
        raise Rejected("The request body is not a JSON object")
    _parameters(body, _COUNTED if counting else _CREATED, bool(betas))
    model = known_model(body)
    if not counting:
        _max_tokens(body, model)
        _stop_sequences(body)
    for rule in _RULES:
        rule(body, model)
    return model


def _parameters(body: Body, allowed: set[str], beta: bool) -> None:
    for name in _SAMPLING:
        if name in body:
            raise Rejected(f"`{name}` is deprecated for this model.")
    for name in body:
        if name not in allowed and not (beta and name in _BETA):
            raise Rejected(f"{name}: Extra inputs are not permitted")
    for name in ("model", "messages"):
        if name not in body:
            raise Rejected(f"{name}: Field required")


def known_model(body: Body) -> Model:
    """The model's row. Raises the API's 404 for a name that it does not know."""
    name = body["model"]
    if not isinstance(name, str):
        raise Rejected("model: Input should be a valid string")
    # Only the API's own spellings: those of other providers, and `-latest`, do not work there.
    own = re.fullmatch(r"claude-[a-z]+-\d+(-\d{1,2})?(-\d{8})?", name)
    if not own or not (model := lookup(name)):
        raise Rejected(f"model: {name}", status=404)
    return model


def _max_tokens(body: Body, model: Model) -> None:
    if "max_tokens" not in body:
        raise Rejected("max_tokens: Field required")
    limit = body["max_tokens"]
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise Rejected("max_tokens: Input should be a valid integer")
    if limit < 0:
        raise Rejected("max_tokens: Input should be greater than or equal to 0")
    if limit > model.max_output:
        raise Rejected(
            f"max_tokens: {limit} > {model.max_output}, which is the maximum allowed number of output tokens "
            f"for {body['model']}"
        )


def _stop_sequences(body: Body) -> None:
    sequences = body.get("stop_sequences", [])
    if not isinstance(sequences, list):
        raise Rejected("stop_sequences: Input should be a valid list")
    for i, sequence in enumerate(sequences):
        if not isinstance(sequence, str):
            raise Rejected(f"stop_sequences.{i}: Input should be a valid string")
        if not sequence.strip():
            raise Rejected("stop_sequences: each stop sequence must contain non-whitespace")


def _thinking(body: Body, model: Model) -> None:
    if "thinking" not in body:
        return
    config = body["thinking"]
    kind = config.get("type") if isinstance(config, dict) else None
    if not isinstance(kind, str) or kind not in _THINKING_KEYS:
        tags = ", ".join(f"'{each}'" for each in _THINKING_KEYS)
        raise Rejected(
            f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected tags: {tags}"
        )
    for name in config.keys() - _THINKING_KEYS[kind]:
        raise Rejected(f"thinking.{kind}.{name}: Extra inputs are not permitted")
    if kind not in model.thinking:
        hint = ' Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        raise Rejected(f'"thinking.type.{kind}" is not supported for this model.{hint if kind == "enabled" else ""}')
    if config.get("display") not in (None, "summarized", "omitted"):
        raise Rejected(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind == "enabled":
        _budget(config, body)


def _budget(config: Body, body: Body) -> None:
    budget = config.get("budget_tokens")
    if not isinstance(budget, int) or isinstance(budget, bool):
        raise Rejected(
            "thinking.enabled.budget_tokens: "
            + ("Field required" if budget is None else "Input should be a valid integer")
        )
    if budget < MIN_BUDGET_TOKENS:
        raise Rejected("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget >= body.get("max_tokens", budget + 1):
        raise Rejected("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _effort(body: Body, model: Model) -> None:
    config = body.get("output_config", {})
    if not isinstance(config, dict):
        raise Rejected("output_config: Input should be an object")
    effort = config.get("effort")
    if effort is None:
        return
    if not model.effort:
        raise Rejected("This model does not support the effort parameter.")
    if effort not in model.effort:
        allowed = ", ".join(f"'{each}'" for each in model.effort)
        raise Rejected(f"output_config.effort: '{effort}' is not supported by this model. Supported levels: {allowed}")
    kind = body.get("thinking", {}).get("type", "adaptive")
    if effort not in model.efforts_with(kind):
        raise Rejected(f"output_config.effort: '{effort}' is not supported with `thinking.type` '{kind}' on this model")


def _system(body: Body, model: Model) -> None:
    if "system" not in body:
        return
    system = body["system"]
    if not isinstance(system, str | list):
        raise Rejected("system: Input should be a valid string or a valid list")
    if isinstance(system, list):
        for i, block in enumerate(system):
            if not isinstance(block, dict) or block.get("type") != "text":
                raise Rejected(f"system.{i}: Input should be a text block")
            blocks.check_text(block, f"system.{i}")


def _tools(body: Body, model: Model) -> None:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise Rejected("tools: Input should be a valid list")
    for i, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise Rejected(f"tools.{i}: Input should be an object")
        if tool.get("type") in (None, "custom"):
            _custom_tool(tool, f"tools.{i}.custom")
    names = [str(tool["name"]) for tool in tools if tool.get("name")]
    if len(names) != len(set(names)):
        raise Rejected("tools: Tool names must be unique.")


def _tool_choice(body: Body, model: Model) -> None:
    choice = body.get("tool_choice", {})
    if not isinstance(choice, dict):
        raise Rejected("tool_choice: Input should be an object")
    if choice.get("type") in ("any", "tool") and model.binds_thinking and model.line != "haiku":
        raise Rejected(f'tool_choice: "{choice["type"]}" is not supported for this model.')
    if choice.get("type") == "tool" and choice.get("name") not in [tool.get("name") for tool in body.get("tools", [])]:
        raise Rejected(f"Tool '{choice.get('name')}' not found in provided tools")


def _custom_tool(tool: Body, path: str) -> None:
    if not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", str(tool.get("name", ""))):
        raise Rejected(f"{path}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict):
        raise Rejected(f"{path}.input_schema: Field required")
    if schema.get("type") != "object":
        wrong = "Field required" if "type" not in schema else "Input should be 'object'"
        raise Rejected(f"{path}.input_schema.type: {wrong}")


def _messages(body: Body, model: Model) -> None:
    messages = body["messages"]
    if not isinstance(messages, list):
        raise Rejected("messages: Input should be a valid list")
    if not messages:
        raise Rejected("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise Rejected(f"messages: List should have at most {MAX_MESSAGES} items after validation")
    for i, message in enumerate(messages):
        _message(message, f"messages.{i}")


def _message(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise Rejected(f"{path}: Input should be an object")
    for name in message.keys() - {"role", "content"}:
        raise Rejected(f"{path}.{name}: Extra inputs are not permitted")
    for name in ("role", "content"):
        if name not in message:
            raise Rejected(f"{path}.{name}: Field required")
    role = message["role"]
    if role not in ("user", "assistant", "system"):
        raise Rejected(f'messages: Unexpected role "{role}". Allowed roles are "user", "assistant" or "system".')
    _content(message["content"], role, path)


def _content(content: Any, role: str, path: str) -> None:
    if not isinstance(content, str | list):
        raise Rejected(f"{path}.content: Input should be a valid string or a valid list")
    if not content:
        wanted = (
            "user messages must have non-empty content"
            if role == "user"
            else "all messages must have non-empty content except for the optional final assistant message"
        )
        raise Rejected(f"{path}: {wanted}")
    if isinstance(content, str):
        blocks.check_text({"type": "text", "text": content}, path)
    else:
        for j, block in enumerate(content):
            blocks.check(block, role, f"{path}.content.{j}")


def _order(body: Body, model: Model) -> None:
    """Begins with a user turn, ends with one; a system message stands where the API allows one."""
    roles = [message["role"] for message in body["messages"]]
    if roles[0] == "assistant" and flatten(body["messages"])[0].kind != "compaction":
        raise Rejected('messages: first message must use the "user" role')
    for i, role in enumerate(roles):
        if role == "system":
            _system_message(roles, i, model)
    last = runs(flatten(body["messages"]))[-1]
    if last[0].role == "assistant" and not _paused(last):
        raise Rejected(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )


def _system_message(roles: list[str], i: int, model: Model) -> None:
    if model.id == "claude-sonnet-5":
        raise Rejected(f"messages.{i}: role 'system' is not supported on this model")
    if i == 0 or roles[i - 1] == "assistant":
        raise Rejected(f"messages.{i}: a 'system' message must directly follow a 'user' message")
    if i + 1 < len(roles) and roles[i + 1] == "user":
        raise Rejected(f"messages.{i}: a 'system' message must not directly precede a 'user' message")


def _paused(run: list[Placed]) -> bool:
    """Whether an assistant turn at the end is one that `pause_turn` broke off, which goes on when sent again."""
    last = run[-1].kind
    return last == "server_tool_use" or (last.endswith("_tool_result") and last != "tool_result")


def _endings(body: Body, model: Model) -> None:
    for run in runs(flatten(body["messages"])):
        if run[-1].role == "assistant" and run[-1].kind in ("thinking", "redacted_thinking"):
            raise Rejected(f"messages.{run[-1].message}: The final block in an assistant message cannot be `thinking`.")


def _tool_calls(body: Body, model: Model) -> None:
    """Each tool_use is answered at the start of the next user turn, and nothing else is."""
    turns = runs([each for each in flatten(body["messages"]) if each.role != "system"])
    seen: set[str] = set()
    for i, turn in enumerate(turns):
        calls = [each for each in turn if each.kind == "tool_use"]
        for call in calls:
            if call.block["id"] in seen:
                raise Rejected("messages: `tool_use` ids must be unique")
            seen.add(call.block["id"])
        _tool_results(turn, turns[i - 1] if i else [])
        if calls:
            _answered(calls, turns[i + 1] if i + 1 < len(turns) else [])


def _answered(calls: list[Placed], following: list[Placed]) -> None:
    answered = set()
    for each in following:
        if each.kind != "tool_result":
            break
        answered.add(each.block["tool_use_id"])
    missing = [call.block["id"] for call in calls if call.block["id"] not in answered]
    if missing:
        raise Rejected(
            f"messages.{calls[-1].message}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )


def _tool_results(turn: list[Placed], before: list[Placed]) -> None:
    called = {each.block["id"] for each in before if each.kind == "tool_use"}
    answered: set[str] = set()
    for each in turn:
        if each.kind != "tool_result":
            continue
        name = each.block["tool_use_id"]
        if name not in called:
            raise Rejected(
                f"{each.path}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each `tool_result` "
                "block must have a corresponding `tool_use` block in the previous message."
            )
        if name in answered:
            raise Rejected(
                f"{each.path}: each tool_use must have a single result. Found multiple `tool_result` blocks "
                f"with id: {name}"
            )
        answered.add(name)


def _server_tools(body: Body, model: Model) -> None:
    """A server tool's call stands with its result in one turn, but at the very end of a paused one."""
    turns = runs(flatten(body["messages"]))
    last = next((turn for turn in reversed(turns) if turn[0].role == "assistant"), [])
    for turn in turns:
        results = {each.block.get("tool_use_id") for each in turn if each.kind.endswith("_tool_result")}
        for each in turn:
            waits = turn is last and each is turn[-1]
            if each.kind in ("server_tool_use", "mcp_tool_use") and each.block["id"] not in results and not waits:
                name = each.block.get("name", "server")
                raise Rejected(
                    f"messages.{each.message}: `{name}` tool use with id `{each.block['id']}` was found without a "
                    f"corresponding `{name}_tool_result` block"
                )


def _breakpoints(body: Body, model: Model) -> None:
    """At most four cache marks, the long ones first."""
    marks = [*_explicit_marks(body), *([body["cache_control"]] if body.get("cache_control") else [])]
    for mark in marks:
        if not isinstance(mark, dict) or mark.get("type") != "ephemeral":
            raise Rejected("cache_control: Input tag does not match any of the expected tags: 'ephemeral'")
        if mark.get("ttl") not in (None, "5m", "1h"):
            raise Rejected("cache_control.ephemeral.ttl: Input should be '5m' or '1h'")
    if len(marks) > MAX_BREAKPOINTS:
        raise Rejected(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    ttls = [mark.get("ttl") or "5m" for mark in marks]
    if ttls != sorted(ttls):  # "1h" < "5m"
        raise Rejected("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block")


def _explicit_marks(body: Body) -> list[Any]:
    system = body.get("system")
    marked = [*body.get("tools", []), *(system if isinstance(system, list) else [])]
    marked += [block for _, block in blocks.everywhere(flatten(body["messages"]))]
    return [block["cache_control"] for block in marked if block.get("cache_control")]


def _images(body: Body, model: Model) -> None:
    blocks.check_sizes(flatten(body["messages"]))


def _length(body: Body, model: Model) -> None:
    tokens = request_tokens(body, model)
    if tokens > model.context:
        raise Rejected(f"prompt is too long: {tokens} tokens > {model.context} maximum")


# Shape before meaning: a later rule relies on what an earlier one has made sure of.
_RULES: tuple[Callable[[Body, Model], None], ...] = (
    _thinking,
    _effort,
    _system,
    _tools,
    _tool_choice,
    _messages,
    _order,
    _endings,
    _tool_calls,
    _server_tools,
    _breakpoints,
    _images,
    signatures.verify,
    _length,
)
