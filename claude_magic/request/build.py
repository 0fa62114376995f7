"""Build a request: a pure function of conversation, content and options.

**Preserved thinking.** On current models a thinking block is bound to everything before it in the request
(CLAUDE_API.md §0.2): the API refuses it after anything else. So a turn records `prefix`, a digest of the system prompt,
tools and messages that it answered. A request is built by a left fold over the turns, with a running digest of what is
sent: a turn whose prefix equals the digest keeps its thinking, any other turn is sent without. This one rule covers
edited, deleted and reordered cells, changed system prompts, and restored notebooks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

from .. import models
from ..conversation.tool_ids import called, distinct
from ..conversation.turns import CONTINUE, Block, Conversation, Message, Pin, Turn, blocks, exchange_of, not_run
from ..errors import UsageError
from ..options import TOOL_CHOICES, Options
from . import breakpoints, citations, server_tools
from .parameters import betas, settings_of

THINKING = ("thinking", "redacted_thinking")
NO_TOOL = {"type": "none"}
_SERVER_CALLS = ("server_tool_use", "mcp_tool_use")
TTL_SECONDS = {"5m": 300, "1h": 3600}

# Parameters that belong to one request, not to the settings of a conversation.
PASSING = ("messages", "stream", "diagnostics", "container")


@dataclass(frozen=True)
class Request:
    """A request: `params` are the API's parameters, `prefix` is the digest that the reply's thinking is bound to.

    `betas` are the values of the `anthropic-beta` header that the parameters need; `notes` are remarks for the reader.
    """

    params: dict[str, Any]
    prefix: str
    betas: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters without those of `PASSING`: what a turn records."""
        return {name: value for name, value in self.params.items() if name not in PASSING}

    def as_json(self) -> str:
        """The exact body of the request, as indented JSON."""
        return json.dumps(self.params, indent=2, ensure_ascii=False)


def build(
    history: Conversation,
    content: Sequence[Block],
    options: Options,
    pins: Iterable[Pin] = (),
    tools: Sequence[Mapping[str, Any]] = (),
    schema: Mapping[str, Any] | None = None,
) -> Request:
    """Build the request that sends `content` after `history`, with `pins` at the front.

    `tools` are definitions of the notebook's own tools; `schema` is the JSON schema of the reply. Raises `UsageError`
    for options that the model does not accept.
    """
    model, pins = models.lookup(options.model), list(pins)
    settings = settings_of(options, model, schema)
    if options.tool_choice is not None:
        _check_choice(options.tool_choice, [*tools, *settings.get("tools", ())])
    settings = _with_tools(settings, tools, history)
    if options.citations:
        content = citations.enabled(content)
        _check_citable(history, [*content, *(block for pin in pins for block in pin.content)], options)
    lead = breakpoints.lead(pins, options.cache)
    if schema and (options.citations or _cites(history, [*lead, *content])):
        raise UsageError(
            "--schema does not go together with documents that are cited: the API refuses it.",
            advice="Leave out --citations, or ask with --once or in another --chat.",
        )
    messages, prefix = _messages(history, content, settings, lead, cite=options.citations)
    if "cache_control" in settings:
        messages = breakpoints.within_lookback(messages, settings["cache_control"])
    messages = breakpoints.within_limits(messages, settings.get("cache_control"))
    params = {"model": options.model, "max_tokens": options.max_tokens, **settings, "messages": messages}
    return Request({**params, "stream": True}, prefix, betas(params))


def _check_citable(history: Conversation, content: Iterable[Block], options: Options) -> None:
    if not options.web_fetch and not citations.holds_documents(
        (*content, *(block for turn in history for block in turn.prompt))
    ):
        raise UsageError(
            "--citations has no document to cite.",
            advice="--file PATH sends one; --web-search cites without the option.",
        )


def _check_choice(wanted: str, offered: Sequence[Mapping[str, Any]]) -> None:
    """Raise `UsageError` for a `--tool-choice` of a tool that the request does not offer."""
    names = [str(tool["name"]) for tool in offered if "name" in tool]
    if not offered:
        raise UsageError(
            f"--tool-choice {wanted}: this cell offers no tool.",
            advice="--tools NAMES offers functions of yours; --web-search and others offer the API's.",
        )
    is_known = wanted in (*TOOL_CHOICES, *names) or len(names) < len(offered)  # an MCP server has its own
    if not is_known:
        raise UsageError(
            f"--tool-choice {wanted}: this cell offers no tool of that name.", advice=f"It offers {', '.join(names)}."
        )


def without_forced_tool(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a further request for the same reply: what Claude had to call first, it has called."""
    is_forced = (params.get("tool_choice") or {}).get("type") in ("any", "tool")
    return {name: value for name, value in params.items() if name != "tool_choice" or not is_forced}


def rebuild(history: Conversation, turn: Turn) -> Request:
    """Build a recorded turn's request again, after `history`: its `prefix` equals the turn's if nothing changed."""
    messages, prefix = _messages(history, turn.prompt, turn.params)
    return Request({"messages": messages}, prefix)


def build_continuation(history: Conversation, turn: Turn, pins: Iterable[Pin] = ()) -> Request:
    """Build the request that continues a reply that was cut off: same settings, with the reply so far as history."""
    whole = Conversation((*history, turn))
    cache = (turn.params.get("cache_control") or {}).get("ttl", "5m")
    messages, prefix = _messages(whole, CONTINUE, turn.params, breakpoints.lead(pins, cache))
    uncalled = {"tool_choice": NO_TOOL} if own_tools(turn.params) else {}
    params = {**without_forced_tool(turn.params), **uncalled, "messages": messages, "stream": True}
    return Request(params, prefix, betas(params))


def build_compaction(history: Conversation, options: Options, pins: Iterable[Pin] = ()) -> Request:
    """Build the request for a summary of the conversation: the reply is a `compaction` block that replaces the turns.

    It is not streamed: whether the API would stream the block's signature is not known (CLAUDE_API.md §1).
    """
    request = build(Conversation(), [], replace(options, compact=None, clear_tools=None, stop=()), pins)
    settings = {name: value for name, value in request.params.items() if name not in PASSING}
    settings = _with_tools(settings, (), history)
    lead = breakpoints.lead(pins, options.cache)
    messages, running, carried = _fold(history, settings, lead, _cites(history, lead))
    if carried:
        messages.append({"role": "user", "content": carried})
        running.add(messages[-1])
    params = {**settings, "messages": messages, "compaction": {"type": "summarize"}}
    return Request(params, running.hex(), betas(params))


def plain_system(params: Mapping[str, Any]) -> Any:
    """The system prompt of a request, as text if it is one text: a breakpoint on it makes no difference."""
    system = params.get("system") or None
    match system:
        case [{"type": "text", "text": str(text), **rest}] if rest.keys() <= {"cache_control"}:
            return text
    return system


def messages_to_send(turn: Turn) -> tuple[Message, ...]:
    """The messages of a turn as they are sent as history; empty if there are none."""
    return tuple(_as_sent(message) for message in messages_to_keep(turn))


def _as_sent(message: Message) -> Message:
    if message["role"] != "assistant":
        return message
    content = [citations.as_sent(block) for block in blocks(message)]
    return {**message, "content": content}


def messages_to_keep(turn: Turn) -> tuple[Message, ...]:
    """The messages of a turn that can be sent as history, as they were received; empty if there are none.

    Left out are refusals, empty text and thinking at the very end (the API rejects both), and calls and results of
    server tools without their counterpart. The last message is the user's where the reply is empty: the next prompt
    has to carry it, since the API rejects a message without content.
    """
    whole = turn.messages
    if turn.status == "refused":  # only the last message: tool calls and results before it are kept
        whole = whole[:-1] if whole[-1]["role"] == "assistant" else whole
        whole = whole if _is_results(whole[-1]) else ()
    paired = _paired(whole)
    messages: list[Message] = []
    for message in whole:
        if message["role"] == "assistant":
            kept = [block for block in blocks(message) if _can_be_sent(block, paired)]
            while kept and kept[-1]["type"] in THINKING:
                kept.pop()
            message = {**message, "content": kept}
        messages.append(message)
    return _answered(turn, messages) if all(message["content"] for message in messages[:-1]) else ()


def _answered(turn: Turn, messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages without an empty reply at the end; none where the turn broke off without a reply."""
    found = [message for message in messages if message["content"]]
    while len(found) > 1 and found[-1]["role"] == "user" and not _is_results(found[-1]):  # a continuation
        found.pop()
    stands = turn.status == "complete" and not turn.params.get("compaction")
    return tuple(found) if len(found) > 1 or stands else ()


def has_reply(turn: Turn) -> bool:
    """Whether a turn has a reply, or results of tools, that can be sent as history."""
    return len(messages_to_send(turn)) > 1


def _paired(messages: Iterable[Message]) -> set[Any]:
    """The ids of server tools whose call and result can both be sent, or one of them without the other.

    A result has its call before it, except at the start, where its call is in an earlier turn. A call has a result,
    except one that waits for the notebook's tools: a `tool_use` names it as its caller.
    """
    called, paired, begins = set[Any](), set[Any](), True
    for block in (block for message in messages if message["role"] == "assistant" for block in blocks(message)):
        name, caller = block.get("tool_use_id"), block.get("caller")
        is_result = block["type"].endswith("_tool_result")
        begins = begins and (is_result or block["type"] in THINKING)
        if block["type"] in _SERVER_CALLS:
            called.add(block.get("id"))
        elif is_result and (begins or name in called):
            paired.add(name)
        elif block["type"] == "tool_use" and isinstance(caller, Mapping) and isinstance(caller.get("tool_id"), str):
            paired.add(caller["tool_id"])
    return paired


def _is_results(message: Message) -> bool:
    """Whether a message holds nothing but tool results: the last message of a turn that broke off after its tools."""
    kinds = {block["type"] for block in blocks(message)}
    return message["role"] == "user" and kinds == {"tool_result"}


def messages_so_far(request: Request, content: Iterable[Block]) -> list[Message]:
    """A request's messages, plus the reply so far and its tool results: the messages that ask for the rest of it."""
    received = []
    for message in exchange_of(content):
        kept = [block for block in message["content"] if block["type"] != "text" or block["text"].strip()]
        received.append(_as_sent({**message, "content": kept}))
    return [*request.params["messages"], *(message for message in received if message["content"])]


def own_tools(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The notebook's own tools in a request; the others run on the API's servers."""
    return [tool for tool in params.get("tools", ()) if not server_tools.is_hosted(tool)]


def _with_tools(settings: dict[str, Any], tools: Sequence[Mapping[str, Any]], history: Conversation) -> dict[str, Any]:
    """The settings with the notebook's tools.

    If the cell offers none, the definitions of the last turn are sent with `tool_choice: none`: thinking and cache
    depend on them, and the API wants a definition for each call in the history.
    """
    last = next((turn for turn in reversed(history.turns) if messages_to_send(turn)), None)
    before = own_tools(last.params) if last is not None else []
    hosted = settings.get("tools", [])
    offered = list(tools)
    if before and (not offered or _same_tools(offered, before)):
        offered = before
    uncalled = {"tool_choice": NO_TOOL} if offered and not tools and not hosted else {}
    return {**settings, **({"tools": [*offered, *hosted]} if offered else {}), **uncalled}


def _same_tools(some: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> bool:
    """Whether both hold the same definitions, in any order."""
    left, right = (sorted(json.dumps(each, sort_keys=True) for each in tools) for tools in (some, others))
    return left == right


def _can_be_sent(block: Block, paired: Set[Any]) -> bool:
    if block["type"] == "text":
        return bool(block["text"].strip())
    if block["type"] in _SERVER_CALLS:
        return block.get("id") in paired
    return not block["type"].endswith("_tool_result") or block.get("tool_use_id") in paired


def _messages(
    history: Conversation,
    content: Sequence[Block],
    params: Mapping[str, Any],
    lead: Sequence[Block] = (),
    *,
    cite: bool = False,
) -> tuple[list[Message], str]:
    """The messages of history and new prompt, and the digest of system prompt, tools and messages."""
    cite = cite or _cites(history, [*lead, *content])
    messages, running, carried = _fold(history, params, lead, cite)
    prompt = _prompt_message({"role": "user", "content": list(content)}, messages, lead, carried, cite)
    running.add(prompt)
    return [*messages, prompt], running.hex()


def _cites(history: Conversation, content: Iterable[Block]) -> bool:
    """Whether the request cites a document, so that citations are enabled for all (`citations.py`)."""
    sent = [block for turn in history if messages_to_send(turn) for block in (*turn.prompt, *turn.reply)]
    return citations.cites((*content, *sent))


def _fold(
    history: Conversation, params: Mapping[str, Any], lead: Sequence[Block], cite: bool
) -> tuple[list[Message], _Digest, list[Block]]:
    """Fold the turns into messages (see the module's docstring).

    Returns the messages, the running digest, and what the next prompt has to carry: results for the last tool calls,
    and prompts whose replies were empty.
    """
    head = [plain_system(params), params.get("tools") or None]
    running, messages, carried, taken = _Digest(head), list[Message](), list[Block](), set[str]()
    for turn in history:
        prompt, *rest = messages_to_send(turn) or (None,)
        if prompt is not None and turn.params.get("compaction"):  # the summary replaces all messages before it
            running, messages, prompt, carried, taken = _Digest(head), [], None, [], set()
        if not rest:
            carried += blocks(prompt) if prompt is not None else ()
            continue
        if prompt is not None:
            messages.append(_prompt_message(prompt, messages, lead, carried, cite))
            running.add(messages[-1])
            taken |= called(messages[-1:])
        bound = turn.prefix == running.hex()
        renamed = distinct(rest, taken)
        bound, rest = bound and renamed == rest, renamed
        rest, carried = _with_results_split_off(rest)
        taken |= called(rest)
        for message in rest:
            messages.append(message if bound else _without_thinking(message))
            running.add(messages[-1])
    return messages, running, carried


def _with_results_split_off(messages: list[Message]) -> tuple[list[Message], list[Block]]:
    """The messages up to the last of Claude's, and the results of its tool calls, which the next prompt carries."""
    if _is_results(messages[-1]):
        return messages[:-1], list(blocks(messages[-1]))
    return messages, [not_run(block) for block in blocks(messages[-1]) if block["type"] == "tool_use"]


def _prompt_message(
    prompt: Message, before: Sequence[Message], lead: Sequence[Block], carried: Sequence[Block], cite: bool
) -> Message:
    """A prompt's message, with what it carries: results of the tool calls before it (the API requires one for each
    call, first), and prompts without a reply; the first of a conversation begins with the pins."""
    pinned = () if any(message["role"] == "user" for message in before) else lead
    results = [block for block in carried if block["type"] == "tool_result"]
    prompts = [block for block in carried if block["type"] != "tool_result"]
    content = [*results, *pinned, *prompts, *blocks(prompt)]
    return {**prompt, "content": citations.enabled(content) if cite else content}


def without_thinking(messages: Iterable[Message]) -> list[Message]:
    """The messages without their thinking blocks."""
    return [_without_thinking(message) for message in messages]


def _without_thinking(message: Message) -> Message:
    if message["role"] != "assistant":
        return message
    return {**message, "content": [block for block in blocks(message) if block["type"] not in THINKING]}


class _Digest:
    """A running SHA-256 of what is sent. Cache breakpoints do not count (the API's own rule)."""

    def __init__(self, head: Any) -> None:
        self._hash = hashlib.sha256()
        self.add(head)

    def add(self, value: Any) -> None:
        plain = json.dumps(_without_cache_control(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        self._hash.update(plain.encode("utf-8", "surrogatepass") + b"\n")

    def hex(self) -> str:
        return self._hash.hexdigest()[:32]


def _without_cache_control(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_cache_control(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _without_cache_control(item) if key == "content" else item
            for key, item in value.items()
            if key != "cache_control"
        }
    return value
