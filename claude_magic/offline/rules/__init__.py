"""Rules by which the Messages API refuses requests, with its error messages; here those for the conversation.

`check` applies all rules, those of the other modules as well. Each rule raises `Rejected`. Source: CLAUDE_API.md, the
SDK's parameter types, and public reports that quote the API's errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ...models import Model
from ..faults import Rejected
from ..request import pauses, signatures
from ..request.history import Body, Placed, absent, flatten, runs, summarizes
from ..request.tokens import request_tokens
from . import betas, blocks, compaction, context_editing, fallback, parameters, server_tools

MAX_REQUEST_BYTES = 32 * 1024 * 1024
MAX_MESSAGES = 100_000
MAX_BREAKPOINTS = 4


def check(body: Any, *, header: str = "", counting: bool = False) -> Model:
    """Check a request against all rules, and return its model's row. Raises `Rejected` for the first broken rule.

    `header` is the value of `anthropic-beta`; `counting` is for `count_tokens`, which takes fewer parameters.
    """
    given = betas.parsed(header)
    if not isinstance(body, dict):
        raise Rejected("The request body is not a JSON object")
    parameters.check_names(body, given, counting=counting)
    model = parameters.known_model(body)
    # Types and fields before meaning: later rules rely on what earlier ones have checked.
    for rule in (*(() if counting else parameters.CREATING), *parameters.ALWAYS, *_SHAPES):
        rule(body, model)
    for check_beta in (parameters.check_speed, context_editing.check, compaction.check_blocks, fallback.check):
        check_beta(body, model, given)
    for rule in (*(() if counting else _CREATING), *_MEANING):
        rule(body, model)
    return model


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
        else:
            server_tools.check_tool(tool, f"tools.{i}", model)
    names = [str(tool["name"]) for tool in tools if tool.get("name")]
    if len(names) != len(set(names)):
        raise Rejected("tools: Tool names must be unique.")


def _tool_choice(body: Body, model: Model) -> None:
    choice = body.get("tool_choice", {})
    if not isinstance(choice, dict):
        raise Rejected("tool_choice: Input should be an object")
    if choice.get("type") in ("any", "tool") and model.binds_thinking and model.line != "haiku":
        raise Rejected(f'tool_choice: "{choice["type"]}" is not supported for this model.')
    thinking = (body.get("thinking") or {}).get("type", "adaptive" if model.thinks else "disabled")
    if choice.get("type") in ("any", "tool") and thinking != "disabled":
        raise Rejected("Thinking may not be enabled when tool_choice forces tool use.")
    if choice and not body.get("tools"):
        raise Rejected("tool_choice: tool_choice may only be specified while providing tools.")
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
    """The first and the last message are the user's; system messages stand only where the API allows them."""
    roles = [message["role"] for message in body["messages"]]
    if roles[0] == "assistant" and flatten(body["messages"])[0].kind != "compaction":
        raise Rejected('messages: first message must use the "user" role')
    for i, role in enumerate(roles):
        if role == "system":
            _system_message(roles, i, model)
    last = runs(flatten(body["messages"]))[-1]
    if (
        last[0].role == "assistant"
        and absent(body, "compaction")
        and (not _paused(last) or pauses.is_changed_since_pause(body))
    ):
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
    """Whether an assistant turn at the end was paused: it may be sent back, to be continued."""
    last = run[-1].kind
    server = last == "server_tool_use" or (last.endswith("_tool_result") and last != "tool_result")
    return server or summarizes(run[-1].block)


def _endings(body: Body, model: Model) -> None:
    for run in runs(flatten(body["messages"])):
        if run[-1].role == "assistant" and run[-1].kind in ("thinking", "redacted_thinking"):
            raise Rejected(f"messages.{run[-1].message}: The final block in an assistant message cannot be `thinking`.")


def _tool_calls(body: Body, model: Model) -> None:
    """Each `tool_use` has its result at the start of the next user turn, and there are no other results."""
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
    """A server tool's call has its result in the same turn, unless that turn is not finished.

    A turn is unfinished where it was paused at its very end, and where the user answers its client tools: then the
    server tool's result comes first after theirs.
    """
    turns = runs([each for each in flatten(body["messages"]) if each.role != "system"])
    for i, turn in enumerate(turns):
        goes_on = i + 2 < len(turns) and all(each.kind == "tool_result" for each in turns[i + 1])
        own = [*turn, *(turns[i + 2] if goes_on else [])]
        results = {each.block.get("tool_use_id") for each in own if each.kind.endswith("_tool_result")}
        open_ended = i >= len(turns) - 2 and all(each.kind == "tool_result" for each in turns[-1])
        for each in turn:
            waits = open_ended or (turn is turns[-1] and each is turn[-1])
            if each.kind in ("server_tool_use", "mcp_tool_use") and each.block["id"] not in results and not waits:
                name = each.block.get("name", "server")
                raise Rejected(
                    f"messages.{each.message}: `{name}` tool use with id `{each.block['id']}` was found without a "
                    f"corresponding `{name}_tool_result` block"
                )


def _citations(body: Body, model: Model) -> None:
    """Citations are on for all documents or none, and not with JSON output (pages on citations, structured outputs)."""
    documents = [each.block for each in flatten(body["messages"]) if each.kind == "document"]
    cited = [bool((document.get("citations") or {}).get("enabled")) for document in documents]
    if any(cited) and not all(cited):
        raise Rejected("Citations must be enabled on all or none of the documents in a request.")
    if any(cited) and (body.get("output_config") or {}).get("format"):
        raise Rejected("output_config.format: structured outputs cannot be combined with citations.")


def _breakpoints(body: Body, model: Model) -> None:
    """At most four cache breakpoints, those with `ttl: 1h` first."""
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
    marked += [block for _, block in blocks.all_blocks(flatten(body["messages"]))]
    return [block["cache_control"] for block in marked if block.get("cache_control")]


def _warming(body: Body, model: Model) -> None:
    """`max_tokens: 0` (fill the cache) needs a breakpoint on a block, and takes no parameters that shape a reply.

    Source: CLAUDE_API.md §4, and the prompt caching page, "pre-warming the cache".
    """
    if body["max_tokens"]:
        return
    if not _explicit_marks(body):
        raise Rejected("max_tokens: 0 requires at least one content block with `cache_control`")
    shaped = {
        "stream": body.get("stream"),
        "output_config.format": (body.get("output_config") or {}).get("format"),
        "tool_choice": (body.get("tool_choice") or {}).get("type") in ("any", "tool"),
        "compaction": body.get("compaction"),
    }
    for name, value in shaped.items():
        if value:
            raise Rejected(f"max_tokens: 0 cannot be combined with `{name}`")


def _images(body: Body, model: Model) -> None:
    placed = flatten(body["messages"])
    blocks.check_sizes(placed)
    blocks.check_counts(placed, model.context)


def _length(body: Body, model: Model) -> None:
    tokens = request_tokens(body, model)
    if tokens > model.context:
        raise Rejected(f"prompt is too long: {tokens} tokens > {model.context} maximum")


_SHAPES: tuple[Callable[[Body, Model], None], ...] = (
    _system,
    _tools,
    server_tools.check_servers,
    server_tools.check_container,
    _tool_choice,
    _messages,
)
_CREATING: tuple[Callable[[Body, Model], None], ...] = (_warming, compaction.check_demand, compaction.check_whole)
_MEANING: tuple[Callable[[Body, Model], None], ...] = (
    _order,
    _endings,
    _tool_calls,
    _server_tools,
    _citations,
    _breakpoints,
    _images,
    signatures.verify,
    _length,
)
