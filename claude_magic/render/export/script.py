"""Conversations → a Python script that makes the same calls with Anthropic's SDK, plain enough to learn from.

The text of a conversation appears in it only in Python literals and one-line comments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...conversation.tool_ids import called, distinct
from ...conversation.turns import NOT_RUN, Conversation, Message, Turn
from ...cost import pricing
from ...options import DEFAULT_MAX_TOKENS
from ...request import build, parameters
from ...request.build import PASSING, THINKING
from ..text import printable_line
from ..turn import line_of, marks
from .assets import Exported, bytes_of, is_base64, path_of, turn_label
from .script_literals import Expression, escaped, literal

LONGEST_INLINE_SYSTEM_CHARACTERS = 70
# The parameters of `client.messages.stream` (SDK 2.12, resources/messages/messages.py), in the order of the script.
_SETTINGS = (
    *("model", "max_tokens", "system", "thinking", "output_config", "stop_sequences", "cache_control"),
    *("tools", "tool_choice", "metadata", "service_tier", "inference_geo", "container", "speed"),
)
_INDENT = 4
_HOW_TO = "To run it: `pip install anthropic`, and put your key into ANTHROPIC_API_KEY."


def script(params: Mapping[str, Any]) -> str:
    """A complete script for one request, from its parameters (as `request.build` gives them)."""
    constants: dict[str, str] = {}

    def constant(source: Mapping[str, Any]) -> Expression:
        return Expression(constants.setdefault(source["data"], f"DATA_{len(constants) + 1}"))

    messages = params.get("messages", [])
    arguments = [*_settings(params, parameters.betas(params)), ("messages", _replaced(messages, constant))]
    opened = "with " + _call("client.messages.stream", [f"{name}={{}}" for name, _ in arguments], arguments)
    defined = [f"{name} = {literal(data, breaking=False)}" for data, name in constants.items()]
    pieces = [
        f'"""One request to Claude, with Anthropic\'s SDK.\n\n{_HOW_TO}\n"""',
        "import anthropic",
        *(["\n".join(defined)] if defined else []),
        "client = anthropic.Anthropic()",
        f'{opened} as stream:\n    for text in stream.text_stream:\n        print(text, end="", flush=True)\nprint()',
    ]
    return "\n\n".join(pieces) + "\n"


def write(chats: Mapping[str, Conversation], title: str, stem: str) -> Exported:
    """Export all chats, one after the other: a list of messages for each, and a call for each turn."""
    turns = [turn for chat in chats.values() for turn in chat]
    files: dict[str, bytes] = {}
    systems = _long_systems(turns)
    names = _names(chats)
    calls = [piece for name, chat in chats.items() for piece in _chat(name, chat, names[name], systems, stem, files)]
    pieces = [
        f'"""{escaped(printable_line(title))}\n\nThe calls of a conversation with Claude, with Anthropic\'s SDK.\n'
        f'{_HOW_TO}\n"""',
        _imports(bool(files)),
        "client = anthropic.Anthropic()",
        *(f"{name} = {literal(text)}" for text, name in systems.items()),
        *(f"\n{source}" for source in _functions(chats.values(), bool(files))),
        "\n" + "\n\n".join(calls),
    ]
    return Exported("\n\n".join(pieces) + "\n", files)


def _imports(files: bool) -> str:
    standard = "import base64\nfrom pathlib import Path\n\n" if files else ""
    return f"{standard}import anthropic"


def _long_systems(turns: Iterable[Turn]) -> dict[str, str]:
    """The system prompts too long to stand in the calls, each with the name of its constant."""
    found = dict.fromkeys(str(turn.params["system"]) for turn in turns if isinstance(turn.params.get("system"), str))
    long = [each for each in found if len(each) > LONGEST_INLINE_SYSTEM_CHARACTERS or "\n" in each]
    return {each: "SYSTEM" if len(long) == 1 else f"SYSTEM_{number}" for number, each in enumerate(long, 1)}


def _names(chats: Iterable[str]) -> dict[str, str]:
    """The variable name for each chat's messages."""
    listed = list(chats)
    if len(listed) == 1:
        return {listed[0]: "messages"}
    names: dict[str, str] = {}
    for number, chat in enumerate(listed, 1):
        name = f"messages_{re.sub(r'[^A-Za-z0-9]+', '_', chat).strip('_').lower() or number}"
        while name in names.values():
            name += f"_{number}"
        names[chat] = name
    return names


@dataclass
class _Before:
    """What the next turn needs from the messages before it: ids of tool calls, and betas."""

    calls: set[str] = field(default_factory=set)
    betas: set[str] = field(default_factory=set)

    def add(self, messages: Iterable[Message]) -> None:
        own = distinct(messages, self.calls)
        self.calls |= called(own)
        self.betas |= parameters.betas_of(own)


def _chat(
    name: str, chat: Conversation, variable: str, systems: Mapping[str, str], stem: str, files: dict[str, bytes]
) -> Iterator[str]:
    heading = f"# Chat {printable_line(name)}\n" if variable != "messages" else ""
    yield f"{heading}{variable} = []"
    before = _Before()
    for number, turn in enumerate(chat, 1):
        yield f"# {printable_line(_about(turn, number))}\n{_ask(turn, before, variable, systems, stem, files)}"
        if turn.params.get("compaction"):
            before = _Before()
        if not turn.once:
            before.add(turn.messages)


def _about(turn: Turn, number: int) -> str:
    model, tokens = line_of(turn)[:2]
    cost = str(pricing.recorded_cost(turn))
    return " · ".join([turn_label(turn, number), model, tokens, cost, *marks(turn)])


def _ask(
    turn: Turn,
    before: _Before,
    variable: str,
    systems: Mapping[str, str],
    stem: str,
    files: dict[str, bytes],
) -> str:
    """The source of the call that makes a turn, given the messages `before` it."""

    def file(source: Mapping[str, Any]) -> Expression | None:
        raw = bytes_of(source)
        if raw is None:
            return None
        path = path_of(source, raw, stem)
        files[path] = raw
        return Expression(f"data_of({literal(path, breaking=False)})")

    if turn.results:
        sent = distinct(build.without_thinking(build.messages_to_send(turn)), before.calls)
        return (
            f"# Its tools ran in the notebook: this is what was said.\n{variable} += {literal(_replaced(sent, file))}"
        )
    params = {"model": turn.calls[-1].model, "max_tokens": DEFAULT_MAX_TOKENS, **turn.params}
    if isinstance(params.get("system"), str) and params["system"] in systems:
        params["system"] = Expression(systems[params["system"]])
    messages = Expression("[]" if turn.once else variable)
    if "compaction" in params:
        return _compact(messages, params)
    arguments = [
        ("", messages),
        ("", _replaced(list(turn.prompt), file)),
        *_settings(params, parameters.betas_after(before.betas, params)),
    ]
    return _call("ask", [f"{name}={{}}" if name else "{}" for name, _ in arguments], arguments)


def _compact(messages: Expression, params: Mapping[str, Any]) -> str:
    arguments = [("", messages), *_settings(params, parameters.betas_after(set(), params))]
    return _call("compact", [f"{name}={{}}" if name else "{}" for name, _ in arguments], arguments)


def _settings(params: Mapping[str, Any], betas: Iterable[str]) -> list[tuple[str, Any]]:
    """A call's arguments but `messages`; parameters that the SDK does not know are in `extra_body`."""
    known = [(name, params[name]) for name in _SETTINGS if name in params]
    other = {name: value for name, value in params.items() if name not in (*_SETTINGS, *PASSING)}
    if other:
        known.append(("extra_body", other))
    if header := ",".join(betas):
        known.append(("extra_headers", {"anthropic-beta": header}))
    return known


def _call(function: str, patterns: Iterable[str], arguments: Iterable[tuple[str, Any]]) -> str:
    lines = [
        " " * _INDENT + pattern.replace("{}", literal(value, _INDENT, len(pattern) - 2)) + ",\n"
        for pattern, (_, value) in zip(patterns, arguments, strict=True)
    ]
    return f"{function}(\n{''.join(lines)})"


def _replaced(value: Any, source: Callable[[Mapping[str, Any]], Expression | None]) -> Any:
    """The value with its base64 data replaced by what `source` returns for it, if anything."""
    if isinstance(value, list | tuple):
        return [_replaced(item, source) for item in value]
    if not isinstance(value, Mapping):
        return value
    data = source(value) if is_base64(value) else None
    if data is not None:
        return {**value, "data": data}
    return {name: _replaced(item, source) for name, item in value.items()}


_THINKING = literal(list(THINKING))

_DATA_OF = '''
def data_of(name):
    """The bytes of a file beside this script, as base64."""
    return base64.b64encode((Path(__file__).parent / name).read_bytes()).decode()
'''

_NOT_RUN = f'''
def not_run(messages):
    """What to answer the tools that Claude called last: each needs a result, and this script runs none."""
    calls = [block["id"] for block in messages[-1]["content"] if block["type"] == "tool_use"] if messages else []
    said = {{"type": "tool_result", "content": {literal(NOT_RUN)}, "is_error": True}}
    return [{{**said, "tool_use_id": call}} for call in calls]
'''

_BOUND = f'''
def bound(messages, system):
    """The messages to send: thinking is bound to its system prompt, and is left out under another one."""
    sent = []
    for message in messages:
        content = message["content"]
        if message.get("system", system) != system:
            content = [block for block in content if block["type"] not in {_THINKING}]
        sent.append({{"role": message["role"], "content": content}})
    return sent
'''

_ASK = '''
def ask(messages, prompt, **settings):
    """Ask, print the reply as it streams, and keep both in `messages`."""
<waiting>    messages.append({"role": "user", "content": <prompt>})
    with client.messages.stream(messages=<messages>, **settings) as stream:
        for text in stream.text_stream:
            print(text, end="", flush=True)
        reply = stream.get_final_message()
    print("\\n")
    # The API takes neither empty text back nor thinking at the very end.
    content = [block.to_dict() for block in reply.content if block.type != "text" or block.text.strip()]
    while content and content[-1]["type"] in <thinking>:
        content.pop()
<cited>    if content and reply.stop_reason != "refusal":
        messages.append({"role": "assistant", "content": content<system>})
<otherwise>'''

_OTHERWISE = """    else:
        messages.pop()
"""
# Where a reply was empty, its question goes along with the next one, as the API takes no message without content.
_WAITING = """    before, prompt = list(messages), <prompt>
    if messages and messages[-1]["role"] == "user":  # its reply was empty
        prompt = [*messages.pop()["content"], *prompt]
"""
_OTHERWISE_WAITING = """    elif reply.stop_reason == "refusal":
        messages[:] = before
"""

_CITED = """
    for citation in [each for block in content for each in block.get("citations") or []]:
        citation.pop("file_id", None)  # nor does it take this field back
"""

_COMPACT = '''
def compact(messages, **settings):
    """Have the API summarise the messages: from then on its summary stands in their place."""
    reply = client.beta.messages.create(messages=<messages>, timeout=600, **settings)
    messages[:] = [{"role": "assistant", "content": [block.to_dict() for block in reply.content]<system>}]
'''


def _functions(chats: Iterable[Conversation], files: bool) -> list[str]:
    """The sources of the functions that this conversation's calls need."""
    listed = list(chats)
    tools = any(block.get("type") == "tool_use" for chat in listed for turn in chat for block in turn.reply)
    systems = any(len({str(turn.params.get("system") or "") for turn in chat}) > 1 for chat in listed)
    compacts = any("compaction" in turn.params for chat in listed for turn in chat)
    cites = any(block.get("citations") for chat in listed for turn in chat for block in turn.reply)
    ask = _ASK.replace("<thinking>", _THINKING).replace("<cited>", _CITED.lstrip("\n") if cites else "")
    empty = any(len(build.messages_to_send(turn)) == 1 for chat in listed for turn in chat)
    ask = ask.replace("<waiting>", _WAITING if empty else "")
    ask = ask.replace("<otherwise>", _OTHERWISE_WAITING if empty else _OTHERWISE)
    ask = ask.replace("<prompt>", "[*not_run(messages), *prompt]" if tools else "prompt", 1)
    ask = ask.replace("<prompt>", "prompt")
    ask, compact = (
        source.replace("<messages>", 'bound(messages, settings.get("system"))' if systems else "messages").replace(
            "<system>", ', "system": settings.get("system")' if systems else ""
        )
        for source in (ask, _COMPACT)
    )
    needed = [(_DATA_OF, files), (_NOT_RUN, tools), (_BOUND, systems), (ask, True), (compact, compacts)]
    return [source.strip("\n") for source, is_needed in needed if is_needed]
