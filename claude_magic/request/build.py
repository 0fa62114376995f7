"""Conversation + content + options → the exact API parameters: a pure function.

**Preserved thinking.** On current models a thinking block is bound to everything that stands
before it: to replay it behind anything else is an error. So a turn records `prefix`, a digest of
the system prompt, tools and messages that it was answered from, and a request is built as a left
fold over the turns with a running digest of what is being sent: a turn whose prefix equals it
keeps its thinking, any other goes without. That one rule covers edited, deleted and reordered
cells, changed system prompts, and notebooks that come back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import models
from ..conversation.tool_ids import called, distinct
from ..conversation.turns import CONTINUE, Block, Conversation, Message, Pin, Turn, blocks, exchange_of, not_run
from ..errors import UsageError
from ..options import Options
from . import citations, server_tools
from .parameters import betas, settings_of

THINKING = ("thinking", "redacted_thinking")
NO_TOOL = {"type": "none"}
# Claude stopped to wait for something: its server tools have no result yet, and need none.
WAITING = ("tool_use",)
# How far back the API looks for what it has cached (CLAUDE_API.md §4).
LOOKBACK_BLOCKS = 20
TTL_SECONDS = {"5m": 300, "1h": 3600}

# Parameters that are not settings: they differ from one request to the next.
PASSING = ("messages", "stream", "diagnostics", "container")


@dataclass(frozen=True)
class Request:
    """What goes on the wire, and the digest that its reply's thinking is bound to.

    `betas` are the API's names of what the parameters need, for the `anthropic-beta` header; `notes` are remarks on it
    for the reader.
    """

    params: dict[str, Any]
    prefix: str
    betas: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters but the messages, and what else passes."""
        return {name: value for name, value in self.params.items() if name not in PASSING}

    def as_json(self) -> str:
        """The body of the request, exactly as it is sent, indented."""
        return json.dumps(self.params, indent=2, ensure_ascii=False)


def build(
    history: Conversation,
    content: Sequence[Block],
    options: Options,
    pins: Iterable[Pin] = (),
    tools: Sequence[Mapping[str, Any]] = (),
    schema: Mapping[str, Any] | None = None,
) -> Request:
    """The request that asks `content` after `history`, with `pins` at its front; `tools` are definitions of the
    notebook's own, `schema` is the JSON schema of the reply.

    Raises `UsageError` for options that the model does not accept.
    """
    model, pins = models.lookup(options.model), list(pins)
    settings = _with_tools(settings_of(options, model, schema), tools, history)
    if options.citations:
        content = citations.enabled(content)
        _check_citable(history, [*content, *(block for pin in pins for block in pin.content)], options)
    lead = _lead(pins, options.cache)
    if schema and (options.citations or _cites(history, [*lead, *content])):
        raise UsageError(
            "--schema does not go together with documents that are cited: the API refuses it.",
            advice="Leave out --citations, or ask with --once or in another --chat.",
        )
    messages, prefix = _messages(history, content, settings, lead, cite=options.citations)
    if "cache_control" in settings:
        messages = _marked(messages, settings["cache_control"])
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


def again(history: Conversation, turn: Turn) -> Request:
    """A recorded turn's prompt after `history`, with its system prompt and tools: what its digest should be of."""
    messages, prefix = _messages(history, turn.prompt, turn.params)
    return Request({"messages": messages}, prefix)


def build_continuation(history: Conversation, turn: Turn, pins: Iterable[Pin] = ()) -> Request:
    """The request that has a reply go on which was cut off: as it was asked, after itself."""
    whole = Conversation((*history, turn))
    cache = (turn.params.get("cache_control") or {}).get("ttl", "5m")
    messages, prefix = _messages(whole, CONTINUE, turn.params, _lead(pins, cache))
    uncalled = {"tool_choice": NO_TOOL} if own_tools(turn.params) else {}
    params = {**turn.params, **uncalled, "messages": messages, "stream": True}
    return Request(params, prefix, betas(params))


def build_compaction(history: Conversation, options: Options, pins: Iterable[Pin] = ()) -> Request:
    """The request that has the API summarise a conversation: the reply is a block that stands for all of it.

    It is not streamed: whether the API would stream the block's signature is not known (CLAUDE_API.md §1).
    """
    asked = build(Conversation(), [], replace(options, compact=None, clear_tools=None, stop=()), pins)
    settings = {name: value for name, value in asked.params.items() if name not in PASSING}
    settings = _with_tools(settings, (), history)
    lead = _lead(pins, options.cache)
    messages, running, results = _folded(history, settings, lead, _cites(history, lead))
    if results:
        messages.append({"role": "user", "content": results})
        running.add(messages[-1])
    params = {**settings, "messages": messages, "compaction": {"type": "summarize"}}
    return Request(params, running.hex(), betas(params))


def _marked(messages: list[Message], cache_control: Mapping[str, Any]) -> list[Message]:
    """The messages with a breakpoint where the last request had its own, if the API would not look back that far."""
    prompts = [at for at, message in enumerate(messages) if message["role"] == "user"]
    if len(prompts) < 2:
        return messages
    at = prompts[-2]
    since = sum(len(message["content"]) for message in messages[at + 1 :])
    if since < LOOKBACK_BLOCKS:
        return messages
    *before, last = blocks(messages[at])
    marked = {**messages[at], "content": [*before, {**last, "cache_control": cache_control}]}
    return [*messages[:at], marked, *messages[at + 1 :]]


def messages_to_send(turn: Turn) -> tuple[Message, ...]:
    """A turn's messages as they may be sent again; none, if there is no reply to send.

    Left out: refusals, empty text and thinking at the very end (the API accepts neither), and
    server tools that broke off before their result.
    """
    whole = turn.messages
    if turn.status == "refused":  # but not what tools had done before it
        whole = whole[:-1] if whole[-1]["role"] == "assistant" else whole
        whole = whole if _is_results(whole[-1]) else ()
    answered = {block.get("tool_use_id") for block in turn.reply}
    messages: list[Message] = []
    for message in whole:
        if message["role"] == "assistant":
            kept = [block for block in blocks(message) if _goes_back(block, turn, answered)]
            while kept and kept[-1]["type"] in THINKING:
                kept.pop()
            message = {**message, "content": kept}
        messages.append(message)
    is_answered = len(messages) > 1 and (messages[-1]["role"] == "assistant" or _is_results(messages[-1]))
    return tuple(messages) if is_answered and all(message["content"] for message in messages) else ()


def _is_results(message: Message) -> bool:
    """Whether a message says what tools did, and nothing else: a turn that broke off there ends with it."""
    kinds = {block["type"] for block in blocks(message)}
    return message["role"] == "user" and kinds == {"tool_result"}


def messages_so_far(asked: Request, content: Iterable[Block]) -> list[Message]:
    """A request's messages with what has come of it so far, tool results included: what asks for the rest."""
    received = []
    for message in exchange_of(content):
        kept = [block for block in message["content"] if block["type"] != "text" or block["text"].strip()]
        received.append({**message, "content": kept})
    return [*asked.params["messages"], *(message for message in received if message["content"])]


def own_tools(params: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of a request's tools, those of the notebook: the others run on the API's servers."""
    return [tool for tool in params.get("tools", ()) if not server_tools.is_hosted(tool)]


def _with_tools(settings: dict[str, Any], tools: Sequence[Mapping[str, Any]], history: Conversation) -> dict[str, Any]:
    """The settings with the notebook's tools. Where the cell offers none, those that its last turn was asked with go
    along, not to be called: thinking is bound to them, as the cache is, and the API wants to know what was called."""
    last = next((turn for turn in reversed(history.turns) if messages_to_send(turn)), None)
    before = own_tools(last.params) if last is not None else []
    hosted = settings.get("tools", [])
    offered = list(tools)
    if before and (not offered or _same(offered, before)):
        offered = before
    uncalled = {"tool_choice": NO_TOOL} if offered and not tools and not hosted else {}
    return {**settings, **({"tools": [*offered, *hosted]} if offered else {}), **uncalled}


def _same(some: Iterable[Mapping[str, Any]], others: Iterable[Mapping[str, Any]]) -> bool:
    """Whether these are the same definitions, in whatever order."""
    left, right = (sorted(json.dumps(each, sort_keys=True) for each in tools) for tools in (some, others))
    return left == right


def _goes_back(block: Block, turn: Turn, answered: set[Any]) -> bool:
    if block["type"] == "text":
        return bool(block["text"].strip())
    if block["type"] in ("server_tool_use", "mcp_tool_use"):
        return block.get("id") in answered or turn.calls[-1].stop_reason in WAITING
    return True


def _messages(
    history: Conversation,
    content: Sequence[Block],
    params: Mapping[str, Any],
    lead: Sequence[Block] = (),
    *,
    cite: bool = False,
) -> tuple[list[Message], str]:
    """The messages with a new prompt at their end, and the digest of system prompt, tools and messages."""
    cite = cite or _cites(history, [*lead, *content])
    messages, running, results = _folded(history, params, lead, cite)
    prompt = _opening({"role": "user", "content": list(content)}, messages, lead, results, cite)
    running.add(prompt)
    return [*messages, prompt], running.hex()


def _cites(history: Conversation, content: Iterable[Block]) -> bool:
    """Whether a document is to be cited, so that all are (`citations.py`)."""
    said = [block for turn in history if messages_to_send(turn) for block in (*turn.prompt, *turn.reply)]
    return citations.cites((*content, *said))


def _folded(
    history: Conversation, params: Mapping[str, Any], lead: Sequence[Block], cite: bool
) -> tuple[list[Message], _Digest, list[Block]]:
    """The messages of the turns, and the running digest: the fold that the module is about. And what is still to be
    answered to the tools that were called last."""
    head = [params.get("system") or None, params.get("tools") or None]
    running, messages, results, taken = _Digest(head), list[Message](), list[Block](), set[str]()
    for turn in history:
        prompt, *rest = messages_to_send(turn) or (None,)
        if prompt is not None and turn.params.get("compaction"):  # its summary stands for all before it
            running, messages, prompt, results, taken = _Digest(head), [], None, [], set()
        if prompt is not None:
            messages.append(_opening(prompt, messages, lead, results, cite))
            running.add(messages[-1])
            taken |= called(messages[-1:])
        bound = turn.prefix == running.hex()
        told = distinct(rest, taken)
        bound, rest = bound and told == rest, told
        if rest:
            results = [not_run(block) for block in blocks(rest[-1]) if block["type"] == "tool_use"]
        if rest and _is_results(rest[-1]):
            results = list(blocks(rest.pop()))
        taken |= called(rest)
        for message in rest:
            messages.append(message if bound else _without_thinking(message))
            running.add(messages[-1])
    return messages, running, results


def _opening(
    prompt: Message, before: Sequence[Message], lead: Sequence[Block], results: Sequence[Block], cite: bool
) -> Message:
    """A prompt that also answers the tool calls before it: the API insists that each has a result. The first prompt of
    all begins with what is pinned."""
    pinned = () if any(message["role"] == "user" for message in before) else lead
    content = [*results, *pinned, *blocks(prompt)]
    return {**prompt, "content": citations.enabled(content) if cite else content}


def _lead(pins: Iterable[Pin], cache: str) -> list[Block]:
    """What is pinned, with a breakpoint behind what is kept for an hour, and one behind the rest.

    The API takes four breakpoints in all, and the longer ones first: where the conversation is kept for an hour, so
    is all before it.
    """
    groups: dict[str, list[Block]] = {"1h": [], "5m": []}
    for pin in pins:
        groups["1h" if cache == "1h" else pin.ttl] += pin.content
    if cache == "off":
        return [block for group in groups.values() for block in group]
    found: list[Block] = []
    for ttl, group in groups.items():
        if group:
            found += [*group[:-1], {**group[-1], "cache_control": {"type": "ephemeral", "ttl": ttl}}]
    return found


def without_thinking(messages: Iterable[Message]) -> list[Message]:
    """Messages with no thinking in them."""
    return [_without_thinking(message) for message in messages]


def _without_thinking(message: Message) -> Message:
    if message["role"] != "assistant":
        return message
    return {**message, "content": [block for block in blocks(message) if block["type"] not in THINKING]}


class _Digest:
    """A running SHA-256 of what is sent. Where the cache breakpoints stand does not count (the API's own rule)."""

    def __init__(self, head: Any) -> None:
        self._hash = hashlib.sha256()
        self.add(head)

    def add(self, value: Any) -> None:
        plain = json.dumps(_uncached(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        self._hash.update(plain.encode("utf-8", "surrogatepass") + b"\n")

    def hex(self) -> str:
        return self._hash.hexdigest()[:32]


def _uncached(value: Any) -> Any:
    if isinstance(value, list):
        return [_uncached(item) for item in value]
    if isinstance(value, dict):
        return {
            key: _uncached(item) if key == "content" else item for key, item in value.items() if key != "cache_control"
        }
    return value
