"""Accumulator that folds the events of a stream into a message.

Events are folded by what the API's schema promises (`received.py`, `growing_block.py`). What does not fit is mended
where its meaning is clear (`Accumulator.mended` says what); an event that makes no sense raises `StreamError`, and none
of its message is kept for the conversation.

`add` takes constant time per event, however long the reply already is: pieces of text are collected
in lists, and joined when they are read. Tool input is parsed once, at the end of its block. Unknown
events are ignored; unknown blocks and fields are kept unchanged.

One thread adds events; other threads may read while they hold `Accumulator.lock`.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import StreamError
from . import received
from .growing_block import CALLS, GrowingBlock
from .received import whole_text
from .turns import Block, Call, Status, Turn, exchange_of, text_of

# An event of ours: the reply paused, and a new request continues it; the next message belongs to the same reply.
GOES_ON = {"type": "claude_magic.goes_on"}
# Another event of ours: the result of a tool call of the reply, which ran in the notebook (`content`, a block).
TOOL_RESULT = "claude_magic.tool_result"
# Fields of a message that only its beginning sets.
_SET_AT_START = ("id", "type", "role", "model", "content", "usage")
_CONTAINER_ID = re.compile(r"[a-zA-Z0-9_-]{1,300}")


@dataclass(frozen=True)
class Reply:
    """A reply as received: `content` are blocks that can be kept, `partial` are blocks that broke off half-way."""

    content: tuple[Block, ...]
    partial: tuple[Block, ...]
    message: Mapping[str, Any]
    complete: bool

    @property
    def usage(self) -> Mapping[str, Any]:
        """The API's usage so far, in tokens."""
        return self.message.get("usage") or {}

    @property
    def stop_reason(self) -> str | None:
        """The API's `stop_reason`; `None` where the reply broke off."""
        return self.message.get("stop_reason") if self.complete else None


class Accumulator:
    """The growing reply. A `message_start` event starts it over."""

    def __init__(self, before: Iterable[Block] = (), partial: Iterable[Block] = ()) -> None:
        """`before` are the blocks of an earlier part that the reply continues; they become its first blocks.

        `partial` are blocks of that part that are shown and not kept.
        """
        self.lock = threading.Lock()
        self._partial = tuple(partial)
        self._message: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._odd_usage: set[str] = set()  # names of fields whose last value could not be read
        self._mended: dict[str, None] = {}
        self._before = [GrowingBlock(block, self._note, done=True) for block in before]
        self._blocks = list(self._before)
        self._own: list[GrowingBlock] = []  # the blocks of the current message
        self._by_index: dict[Any, GrowingBlock] = {}
        self._ids = received.CallIds()
        self._begun = self._unreadable = False
        self.characters = 0  # received as text, thinking and tool input
        self.complete = False
        self.visible = False
        self.phase = "waiting"  # later "thinking", "writing", "using a tool" or one of a server tool's

    def add(self, event: Any) -> None:
        """Fold one event into the reply. Raises `StreamError` for an event that does not fit here."""
        with self.lock:
            self._add(event)

    def _add(self, event: Any) -> None:
        try:
            kind = event["type"]
            if kind == "content_block_delta":
                block = self._by_index[event["index"]]
                if size := block.add(event["delta"]):
                    self.visible = True
                    self.phase = block.phase
                    self.characters += size
            elif isinstance(kind, str):
                _STEPS.get(kind, _pass)(self, event)
            else:
                raise ValueError("an event without a type")
            return
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
            kind = event.get("type") if isinstance(event, Mapping) else type(event).__name__
        self._unreadable = True
        raise StreamError(f"The reply is unreadable at an event of type {whole_text(str(kind)[:40])!r}.")

    def _note(self, what: str) -> None:
        self._mended[what] = None

    @property
    def mended(self) -> tuple[str, ...]:
        """What did not fit the API's schema in this message and was mended, in a few words each."""
        return tuple(self._mended)

    @property
    def text(self) -> str:
        """The reply's text so far."""
        return whole_text(text_of(self.shown))

    @property
    def shown(self) -> tuple[Block, ...]:
        """The blocks so far: text with what has come of it, tool calls and results once they are whole, and of all
        others only the type."""
        return tuple(
            block.value() if block.kind == "text" or (block.done and "tool" in block.kind) else {"type": block.kind}
            for block in list(self._blocks)
        )

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return thinking_of((*self._partial, *(block.value() for block in self._blocks if block.kind == "thinking")))

    @property
    def tools(self) -> list[tuple[Block, Block | None]]:
        """The complete calls of the notebook's tools, each with its result, or `None` where there is none yet."""
        listed = [block for block in self._blocks if block.done]
        calls = [block.value() for block in listed if block.kind == "tool_use"]
        results = [block.value() for block in listed if block.kind == "tool_result" and block.keepable()]
        by_id = {result["tool_use_id"]: result for result in results}
        return [(call, by_id.get(call.get("id", ""))) for call in calls]

    @property
    def calls(self) -> list[tuple[Block, str]]:
        """The calls of the notebook's tools in this message, each with what is wrong with its input, if anything is."""
        found = [block for block in self._own if block.kind == "tool_use" and block.done]
        return [(block.value(), block.wrong) for block in found if block.wrong or block.keepable()]

    @property
    def model(self) -> str:
        """The model that answers; empty until the reply begins."""
        return received.name(self._message.get("model")) or ""

    @property
    def usage(self) -> Mapping[str, Any]:
        """The usage so far, in tokens; `output_tokens` is a placeholder until the end of the message.

        Empty if a part of it could not be read, since the rest would be too little.
        """
        return {} if self._odd_usage else self._usage

    def repeats(self, earlier: Accumulator) -> bool:
        """Whether this message is the one of `earlier` again: the same id, and the same blocks as they came."""
        same_id = self._message.get("id") == earlier._message.get("id")
        return same_id and [block.as_sent() for block in self._own] == [block.as_sent() for block in earlier._own]

    def reply(self, *, whole: bool = False) -> Reply:
        """The reply received so far, as a value.

        Of an unreadable message nothing is kept; with `whole`, what came before the event that made no sense.
        """
        lost = set(map(id, self._own)) if self._unreadable and not whole else set()
        kept: list[Block] = []
        partial: list[Block] = [*self._partial]
        for block in self._blocks:
            if block.keepable() and id(block) not in lost:
                kept.append(block.value())
            else:
                partial.append(block.shown())
        message = {key: value for key, value in self._message.items() if key != "content"}
        if self._begun:
            message["usage"] = dict(self.usage)
        return Reply(tuple(kept), tuple(partial), message, self.complete)

    def _start(self, event: Mapping[str, Any]) -> None:
        self._mended.clear()
        message, content = received.message(event["message"], self._note)
        self._usage, self._odd_usage = {}, set()
        self._take_usage(event["message"].get("usage"))
        self._message, self._begun = message, True
        self._blocks, self._own, self._by_index = list(self._before), [], {}
        self._ids = received.CallIds(block.call_id for block in self._before if block.kind in CALLS)
        for block in content:  # a message that was not streamed has its whole content here
            self._append(block).stop()
        self.visible = bool(self._blocks)
        self.complete = False

    def _append(self, start: Any, *, recorded: bool = False) -> GrowingBlock:
        """Append a new block, with an id and a name that the API takes."""
        block = GrowingBlock(start, self._note, recorded=recorded)
        if not recorded:
            self._name(block)
        self._blocks.append(block)
        self._own.append(block)
        return block

    def _name(self, block: GrowingBlock) -> None:
        if block.kind in CALLS and block.sent_id is not None:
            self._replace(block, "id", self._ids.of_call(block.sent_id, block.kind))
        elif block.kind.endswith("_tool_result"):
            self._replace(block, "tool_use_id", self._ids.of_result(block.sent_id))
        if block.kind == "tool_use":
            self._replace(block, "name", received.tool_name(block.value().get("name")))

    def _replace(self, block: GrowingBlock, field: str, value: Any) -> None:
        if block.value().get(field) != value:
            block.set_field(field, value)
            self._note("the name of a tool call" if field == "name" else "the id of a tool call")

    def _go_on(self, _event: Mapping[str, Any]) -> None:
        self._before, self._own = list(self._blocks), []

    def _take_result(self, event: Mapping[str, Any]) -> None:
        """Append a tool's result. The next message continues the reply, which is incomplete until that has arrived.

        A call with an unreadable input is kept from now on, with an empty one: its result says what was wrong.
        """
        result = event["content"]
        for block in self._own:
            if block.kind == "tool_use" and block.wrong and block.call_id == result["tool_use_id"]:
                block.settle()
        self._blocks.append(GrowingBlock(result, self._note, done=True))
        self._before = list(self._blocks)
        self.complete = False

    def _start_block(self, event: Mapping[str, Any]) -> None:
        index = event["index"]
        if not self._begun:
            raise ValueError("a reply that never began")
        if index in self._by_index:  # a gateway that has one index for all blocks, or does not end them
            self._by_index[index].stop()
        recorded = event.get("recorded") == received.RECORDED
        block = self._by_index[index] = self._append(event["content_block"], recorded=recorded)
        if block.kind != "text":  # writing begins with the first word
            self.phase = block.phase

    def _stop_block(self, event: Mapping[str, Any]) -> None:
        self._by_index[event["index"]].stop()

    def _delta(self, event: Mapping[str, Any]) -> None:
        """Apply a `message_delta`. Its usage figures are cumulative: they replace the former ones."""
        if not self._begun:
            raise ValueError("a reply that never began")
        rest = {key: event[key] for key in event if key not in ("type", "delta", "usage")}
        found = {**event["delta"], **rest}
        changed = {key: found[key] for key in found if key not in _SET_AT_START}
        self._message.update(received.fields(changed, self._note))
        self._take_usage(event.get("usage"))

    def _take_usage(self, found: Any) -> None:
        usage, odd = received.usage(found)
        self._usage.update(usage)
        self._odd_usage = (self._odd_usage - usage.keys()) | odd
        if odd:
            self._note("usage unreadable")

    def _stop(self, _event: Mapping[str, Any]) -> None:
        if not self._begun:
            raise ValueError("a reply that never began")
        for block in (each for each in self._own if not each.recorded):
            block.stop()
            if block.kind == "tool_use" and not block.call_id and self._message.get("stop_reason") == "tool_use":
                self._replace(block, "id", self._ids.of_call(None, block.kind))  # so that it can be answered
        self.complete = True


def _pass(_accumulator: Accumulator, _event: Mapping[str, Any]) -> None:
    """Ignore an event of an unknown type."""


_STEPS = {
    "message_start": Accumulator._start,
    "content_block_start": Accumulator._start_block,
    "content_block_stop": Accumulator._stop_block,
    "message_delta": Accumulator._delta,
    "message_stop": Accumulator._stop,
    GOES_ON["type"]: Accumulator._go_on,
    TOOL_RESULT: Accumulator._take_result,
}


def thinking_of(content: tuple[Block, ...]) -> str:
    """The thinking in content blocks, as text."""
    pieces = [block.get("thinking") or "" for block in content if block.get("type") == "thinking"]
    return "\n\n".join(piece for piece in pieces if piece)


def call_of(reply: Reply, *, model: str, **facts: Any) -> Call:
    """The `Call` of a reply; `model` is the requested model, for a reply that names none; `facts` are other fields."""
    message = reply.message
    return Call(
        model=received.name(message.get("model")) or model,
        usage=dict(reply.usage),
        message_id=received.name(message.get("id")),
        stop_reason=received.name(reply.stop_reason),
        stop_details=message["stop_details"] if isinstance(message.get("stop_details"), dict) else None,
        stop_sequence=_text(message.get("stop_sequence")),
        container=_container(message.get("container")),
        answered=bool(reply.content or reply.partial),
        **facts,
    )


def _container(found: Any) -> dict[str, str] | None:
    """The container in which code ran: the fields that the next request needs; `None` where there is none."""
    name = found.get("id") if isinstance(found, Mapping) else None
    if not isinstance(name, str) or not _CONTAINER_ID.fullmatch(name):
        return None
    return {"id": name, "expires_at": str(found.get("expires_at") or "")}


def concluded(draft: Turn, reply: Reply, *calls: Call) -> Turn:
    """The finished turn: a draft (which has only the prompt) with its reply and the calls that made it."""
    messages = (*draft.messages, *exchange_of(reply.content))
    return dataclasses.replace(draft, messages=messages, calls=calls, status=_status(reply), partial=reply.partial)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _status(reply: Reply) -> Status:
    if not reply.complete:
        return "interrupted"
    return "refused" if reply.stop_reason == "refusal" else "complete"
