"""Accumulator that folds the events of a stream into a message.

`add` takes constant time per event, however long the reply already is: pieces of text are collected
in lists, and joined when they are read. Tool input is parsed once, at the end of its block. Unknown
events are ignored; unknown blocks and fields are kept unchanged.

One thread adds events; other threads may read while they hold `Accumulator.lock`.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import StreamError
from .turns import Block, Call, Status, Turn, exchange_of, text_of

# delta type → (field of the delta, field of the block)
_TEXT_DELTAS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "input_json_delta": ("partial_json", "partial_json"),
}
# An event of ours: the reply paused, and a new request continues it; the next message belongs to the same reply.
GOES_ON = {"type": "claude_magic.goes_on"}
# Another event of ours: the result of a tool call of the reply, which ran in the notebook (`content`, a block).
TOOL_RESULT = "claude_magic.tool_result"
_PHASES = {"thinking": "thinking", "redacted_thinking": "thinking", "text": "writing"}
_SERVER_PHASES = {
    "web_search": "searching the web",
    "web_fetch": "reading a page",
    "code_execution": "running code",
    "bash_code_execution": "running code",
    "text_editor_code_execution": "writing a file",
}


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

    def __init__(self, before: Iterable[Block] = ()) -> None:
        """`before` are the blocks of an earlier part that the reply continues; they become its first blocks."""
        self.lock = threading.Lock()
        self._message: dict[str, Any] = {}
        self._before = [_GrowingBlock(block, done=True) for block in before]
        self._blocks = list(self._before)
        self._by_index: dict[int, _GrowingBlock] = {}
        self.characters = 0  # received as text, thinking and tool input
        self.complete = False
        self.visible = False
        self.phase = "waiting"  # later "thinking", "writing", "using a tool" or one of _SERVER_PHASES

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
            else:
                _STEPS.get(kind, _pass)(self, event)
            return
        except (KeyError, TypeError, AttributeError, ValueError):
            kind = event.get("type") if isinstance(event, Mapping) else type(event).__name__
        raise StreamError(f"The reply is unreadable at an event of type {str(kind)[:40]!r}.")

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
        return thinking_of(tuple(block.value() for block in self._blocks if block.kind == "thinking"))

    @property
    def tools(self) -> list[tuple[Block, Block | None]]:
        """The complete calls of the notebook's tools, each with its result, or `None` where there is none yet."""
        received = [
            block.value() for block in list(self._blocks) if block.kind in ("tool_use", "tool_result") and block.done
        ]
        results = {block["tool_use_id"]: block for block in received if block["type"] == "tool_result"}
        return [(block, results.get(block.get("id", ""))) for block in received if block["type"] == "tool_use"]

    @property
    def model(self) -> str:
        """The model that answers; empty until the reply begins."""
        return str(self._message.get("model") or "")

    @property
    def usage(self) -> Mapping[str, Any]:
        """The usage so far, in tokens; `output_tokens` is a placeholder until the end of the message."""
        return self._message.get("usage") or {}

    def reply(self) -> Reply:
        """The reply received so far, as a value."""
        kept: list[Block] = []
        partial: list[Block] = []
        for block in self._blocks:
            (kept if block.keepable() else partial).append(block.value())
        message = {key: value for key, value in self._message.items() if key != "content"}
        return Reply(tuple(kept), tuple(partial), message, self.complete)

    def _start(self, event: Mapping[str, Any]) -> None:
        self._message = dict(event["message"])
        self._message["usage"] = dict(self._message.get("usage") or {})
        # A message that was not streamed has its whole content here.
        received = [_GrowingBlock(block, done=True) for block in self._message.get("content") or ()]
        self._blocks = [*self._before, *received]
        self._by_index = {}
        self.visible = bool(self._blocks)
        self.complete = False

    def _go_on(self, _event: Mapping[str, Any]) -> None:
        self._before = list(self._blocks)

    def _take_result(self, event: Mapping[str, Any]) -> None:
        """Append a tool's result. The next message continues the reply, which is incomplete until that has arrived."""
        self._blocks.append(_GrowingBlock(event["content"], done=True))
        self._before = list(self._blocks)
        self.complete = False

    def _start_block(self, event: Mapping[str, Any]) -> None:
        block = self._by_index[event["index"]] = _GrowingBlock(event["content_block"])
        self._blocks.append(block)
        if block.kind != "text":  # writing begins with the first word
            self.phase = block.phase

    def _stop_block(self, event: Mapping[str, Any]) -> None:
        self._by_index[event["index"]].stop()

    def _delta(self, event: Mapping[str, Any]) -> None:
        """Apply a `message_delta`. Its usage figures are cumulative: they replace the former ones."""
        usage = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
        self._message["usage"] = {**self._message["usage"], **usage}
        self._message.update(event["delta"])
        self._message.update({key: event[key] for key in event if key not in ("type", "delta", "usage")})

    def _stop(self, _event: Mapping[str, Any]) -> None:
        if not self._message:
            raise ValueError("a reply that never began")
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


class _GrowingBlock:
    """One growing content block: its first state, and the pieces received since."""

    def __init__(self, start: Mapping[str, Any], *, done: bool = False) -> None:
        self._start = dict(start)
        if start["type"] in ("text", "thinking"):
            self._start.setdefault(start["type"], "")
        if self._start.get("citations"):
            self._start["citations"] = list(self._start["citations"])
        self._pieces: dict[str, list[str]] = {}
        self.kind: str = start["type"]
        self.phase = _PHASES.get(self.kind) or _SERVER_PHASES.get(str(start.get("name")), "using a tool")
        self.done = done
        self._broken = False

    def add(self, delta: Mapping[str, Any]) -> int:
        """Add a delta; the number of characters that it adds to the view."""
        names = _TEXT_DELTAS.get(delta["type"])
        if names is None:
            self._merge(delta)
            return 1
        piece = delta[names[0]]
        if not isinstance(piece, str):
            raise TypeError(piece)
        self._pieces.setdefault(names[1], []).append(piece)
        return len(piece)

    def stop(self) -> None:
        """Complete the block: join its pieces, parse tool input."""
        self._start = self.value()
        self._pieces = {}
        self.done = True
        source = self._start.pop("partial_json", None)
        if source:
            try:
                self._start["input"] = _parse_input(source)
            except (ValueError, RecursionError):  # cut off at max_tokens, or a value that JSON cannot hold, such as NaN
                self._start["partial_json"] = source
                self._broken = True

    def value(self) -> dict[str, Any]:
        """The block as received so far."""
        joined = {name: whole_text((self._start.get(name) or "") + "".join(p)) for name, p in self._pieces.items()}
        return {**self._start, **joined}

    def keepable(self) -> bool:
        """Whether the block can go into the conversation: it is complete, or text that is not blank."""
        if self.done:
            return not self._broken and ("id" in self._start or not self.kind.endswith("tool_use"))
        return self.kind == "text" and bool(self.value()["text"].strip())

    def _merge(self, delta: Mapping[str, Any]) -> None:
        """Apply any other delta: append a citation, set other fields.

        The SDK does the same for `signature_delta` and `compaction_delta` (`_beta_messages.py`).
        """
        if delta["type"] == "citations_delta":
            if not self._start.get("citations"):
                self._start["citations"] = []
            self._start["citations"].append(delta["citation"])
            return
        self._start.update({key: value for key, value in delta.items() if key != "type"})


def whole_text(text: str) -> str:
    """Text that can be encoded as UTF-8: surrogate pairs that were split are joined, lone surrogates replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def thinking_of(content: tuple[Block, ...]) -> str:
    """The thinking in content blocks, as text."""
    pieces = [block.get("thinking") or "" for block in content if block.get("type") == "thinking"]
    return "\n\n".join(piece for piece in pieces if piece)


def _parse_input(source: str) -> Any:
    """Parse JSON that can be sent and saved again. Raises `ValueError` for NaN, infinity and lone surrogates."""
    found = json.loads(source)
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    return found


def call_of(reply: Reply, *, model: str, **facts: Any) -> Call:
    """The `Call` of a reply; `model` is the requested model, for a reply that names none; `facts` are other fields."""
    message = reply.message
    return Call(
        model=_text(message.get("model")) or model,
        usage=dict(reply.usage),
        message_id=_text(message.get("id")),
        stop_reason=_text(reply.stop_reason),
        stop_details=message["stop_details"] if isinstance(message.get("stop_details"), dict) else None,
        stop_sequence=_text(message.get("stop_sequence")),
        container=_container(message.get("container")),
        answered=bool(reply.content or reply.partial),
        **facts,
    )


def _container(found: Any) -> dict[str, str] | None:
    """The container in which code ran: the fields that the next request needs; `None` where there is none."""
    if not isinstance(found, Mapping) or not isinstance(found.get("id"), str):
        return None
    return {"id": found["id"], "expires_at": str(found.get("expires_at") or "")}


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
