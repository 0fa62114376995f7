"""Earlier turns in wire form, as data holds them: a list of `{"role", "content"}`, checked as the API would.

Text is bounded like any value of a prompt, and thinking is left out: it is bound to a request that nobody has here.
Source of the rules: CLAUDE_API.md §1 and §3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..content.images import Block
from ..content.parts import Part, Piece, Room
from ..content.safely import is_from_library, type_name
from ..content.secrets import Secrets
from ..content.text import short
from ..conversation.turns import Message
from ..errors import PromptError
from . import prompt
from .values import wire_blocks
from .values.wire_blocks import NoBlock

_ROLES = ("user", "assistant", "system")
_THINKING = ("thinking", "redacted_thinking")
_OF_TOOLS = ("tool_use", "tool_result", "server_tool_use")
_LISTS = (list, tuple)


def are_messages(value: Any) -> bool:
    """Whether a value is meant as messages: a list with a mapping that has a role; what is in it may still be wrong."""
    listed = as_list(value)
    return listed is not None and any(isinstance(each, Mapping) and "role" in each for each in listed)


def as_list(value: Any) -> Sequence[Any] | None:
    """A list, a tuple or an array of objects as a list; `None` for any other value."""
    if isinstance(value, _LISTS):
        return value
    is_array = is_from_library(value, "numpy") and getattr(value, "ndim", 0) == 1 and value.dtype == object
    return list(value) if is_array else None


def messages(value: Any, source: str, secrets: Secrets, room: Room, *, is_whole: bool) -> list[Message]:
    """The messages of a value, secrets masked; `is_whole` if no prompt follows, so that the last is the user's.

    Raises `PromptError` for what the API would refuse; `source` is the expression, for the message.
    """
    listed = as_list(value) or ()
    fault = _order_fault(listed, is_whole)
    made: list[Message] = []
    for at, each in enumerate(listed):
        if fault:
            break
        try:
            made.append({"role": each["role"], "content": _content(each, secrets, room, source)})
        except NoBlock as error:
            fault = f"[{at}] has {error}"
    if fault:
        raise PromptError(f"{{{{{short(source, 60)}}}}}{fault}.", advice="Nothing was sent.")
    return made


def _order_fault(listed: Sequence[Any], is_whole: bool) -> str:
    """What is wrong with the form or the order of messages; empty if nothing is."""
    for at, each in enumerate(listed):
        if fault := _form_fault(each):
            return f"[{at}] {fault}"
    roles = [each["role"] for each in listed]
    if roles and roles[0] == "system":
        return '[0] is a system prompt, which is no message: --system "{{row.system}}" takes one for each row'
    if roles and roles[0] != "user":
        return "[0] is not the user's: a conversation begins with the user"
    follows = [*roles[1:], "" if is_whole else "user"]
    for at, role in enumerate(roles):
        if role == "system" and (roles[at - 1] != "user" or follows[at] == "user"):
            return f"[{at}] of role system does not stand between the user's message and the assistant's"
    if is_whole and roles and roles[-1] == "assistant":
        return " ends with the assistant's message, and no prompt follows it"
    return ""


def _form_fault(message: Any) -> str:
    if not isinstance(message, Mapping):
        return f"is of type {type_name(message)}, and not a dict with role and content"
    role, content = message.get("role"), message.get("content")
    unknown = ", ".join(sorted(str(name) for name in message if name not in ("role", "content")))
    if not isinstance(role, str) or role not in _ROLES:
        return f"has the role {short(repr(role), 40)}: user, assistant and system are known"
    if unknown:
        return f"has {short(unknown, 60)} besides role and content"
    if not isinstance(content, str) and as_list(content) is None:
        return "has no content, which is text or a list of content blocks"
    return ""


def _content(message: Mapping[str, Any], secrets: Secrets, room: Room, source: str) -> list[Block]:
    """The content blocks of a message. Raises `NoBlock` for one that the API refuses."""
    given = message["content"]
    listed: Sequence[Any] = [{"type": "text", "text": given}] if isinstance(given, str) else as_list(given) or ()
    found: list[Block] = []
    for part in _parts(listed, message["role"], room):
        found += prompt.joined(prompt.masked_parts(Piece(source, "value", [part]), secrets))
    if not found:
        raise NoBlock("no content")
    return found


def _parts(listed: Sequence[Any], role: str, room: Room) -> Iterator[Part]:
    for each in listed:
        if not isinstance(each, Mapping):
            raise NoBlock(f"a block of type {type_name(each)}, and not a dict")
        kind = each.get("type")
        if role == "assistant" and kind in _THINKING:
            continue
        if kind in _OF_TOOLS or str(kind).endswith("_tool_result"):
            raise NoBlock(f"a block of type {short(str(kind), 40)}: a map offers no such tool")
        if role != "user" and kind != "text":
            raise NoBlock(f"a block of type {short(repr(kind), 40)}, which the {role} does not say")
        given = {name: value for name, value in each.items() if value is not None}
        yield wire_blocks.part(given, room)
