"""Streaming events → the growing message.

`add` does the same small work for each event, however long the reply already is: pieces are
listed and joined when somebody looks. Tool input is parsed once, at the end of its block. Unknown
events are passed over, unknown blocks and fields are kept as they came.

One thread adds, others may look: they hold `Accumulator.lock` while they do.
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
# Our own event: the reply paused, and is asked to go on; what comes next belongs to the same reply.
GOES_ON = {"type": "claude_magic.goes_on"}
# Our own event, too: the notebook's tool that the reply called has this result (`content`, a block).
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
    """What arrived. `content` can be kept; `partial` are blocks that broke off half-way."""

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
        """Why Claude stopped; `None` where the reply broke off."""
        return self.message.get("stop_reason") if self.complete else None


class Accumulator:
    """The reply as it grows. A `message_start` begins it anew."""

    def __init__(self, before: Iterable[Block] = ()) -> None:
        """`before` are blocks that the reply goes on from, and has as its first."""
        self.lock = threading.Lock()
        self._message: dict[str, Any] = {}
        self._before = [_Growing(block, done=True) for block in before]
        self._blocks = list(self._before)
        self._by_index: dict[int, _Growing] = {}
        self.characters = 0  # that came as text, thinking and tool input
        self.complete = False
        self.visible = False
        self.phase = "waiting"  # then thinking, writing, using a tool

    def add(self, event: Any) -> None:
        """Fold one event in. Raises `StreamError` for an event that makes no sense here."""
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
        return whole_text(text_of(self.said))

    @property
    def said(self) -> tuple[Block, ...]:
        """The blocks so far: those of text as they stand, the others by their type alone."""
        return tuple(block.value() if block.kind == "text" else {"type": block.kind} for block in self._blocks)

    @property
    def thinking(self) -> str:
        """The thinking so far."""
        return thinking_of(tuple(block.value() for block in self._blocks if block.kind == "thinking"))

    @property
    def tools(self) -> list[tuple[Block, Block | None]]:
        """The calls of the notebook's tools that are whole, each with its result where there is one."""
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
        """The usage so far, in tokens: until the end, `output_tokens` is a placeholder."""
        return self._message.get("usage") or {}

    def reply(self) -> Reply:
        """All that has arrived, as a value."""
        kept: list[Block] = []
        partial: list[Block] = []
        for block in self._blocks:
            (kept if block.keepable() else partial).append(block.value())
        message = {key: value for key, value in self._message.items() if key != "content"}
        return Reply(tuple(kept), tuple(partial), message, self.complete)

    def _start(self, event: Mapping[str, Any]) -> None:
        self._message = dict(event["message"])
        self._message["usage"] = dict(self._message.get("usage") or {})
        # A reply that came in one piece has its content here.
        received = [_Growing(block, done=True) for block in self._message.get("content") or ()]
        self._blocks = [*self._before, *received]
        self._by_index = {}
        self.visible = bool(self._blocks)
        self.complete = False

    def _go_on(self, _event: Mapping[str, Any]) -> None:
        self._before = list(self._blocks)

    def _take_result(self, event: Mapping[str, Any]) -> None:
        """What comes after a result is another message of the same reply, and until it came this one is not whole."""
        self._blocks.append(_Growing(event["content"], done=True))
        self._before = list(self._blocks)
        self.complete = False

    def _start_block(self, event: Mapping[str, Any]) -> None:
        block = self._by_index[event["index"]] = _Growing(event["content_block"])
        self._blocks.append(block)
        if block.kind != "text":  # writing begins with the first word
            self.phase = block.phase

    def _stop_block(self, event: Mapping[str, Any]) -> None:
        self._by_index[event["index"]].stop()

    def _delta(self, event: Mapping[str, Any]) -> None:
        """The message's own delta. Its usage totals are cumulative: they overwrite."""
        usage = {key: value for key, value in (event.get("usage") or {}).items() if value is not None}
        self._message["usage"] = {**self._message["usage"], **usage}
        self._message.update(event["delta"])
        self._message.update({key: event[key] for key in event if key not in ("type", "delta", "usage")})

    def _stop(self, _event: Mapping[str, Any]) -> None:
        if not self._message:
            raise ValueError("a reply that never began")
        self.complete = True


def _pass(_accumulator: Accumulator, _event: Mapping[str, Any]) -> None:
    """An event that we do not know."""


_STEPS = {
    "message_start": Accumulator._start,
    "content_block_start": Accumulator._start_block,
    "content_block_stop": Accumulator._stop_block,
    "message_delta": Accumulator._delta,
    "message_stop": Accumulator._stop,
    GOES_ON["type"]: Accumulator._go_on,
    TOOL_RESULT: Accumulator._take_result,
}


class _Growing:
    """One content block: as it began, and the pieces that came since."""

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
        """Take a delta; says how many characters there are to see."""
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
        """The block is whole: join its pieces, parse tool input."""
        self._start = self.value()
        self._pieces = {}
        self.done = True
        source = self._start.pop("partial_json", None)
        if source:
            try:
                self._start["input"] = _plain(source)
            except (ValueError, RecursionError):  # cut off at max_tokens, or nothing that JSON can carry
                self._start["partial_json"] = source
                self._broken = True

    def value(self) -> dict[str, Any]:
        """The block as it stands."""
        joined = {name: whole_text((self._start.get(name) or "") + "".join(p)) for name, p in self._pieces.items()}
        return {**self._start, **joined}

    def keepable(self) -> bool:
        """Whether the block can go into the conversation: whole, or text as far as it came."""
        if self.done:
            return not self._broken and ("id" in self._start or not self.kind.endswith("tool_use"))
        return self.kind == "text" and bool(self.value()["text"].strip())

    def _merge(self, delta: Mapping[str, Any]) -> None:
        """A delta of another kind: a citation is added to the list, other fields are set.

        The SDK does the same for `signature_delta` and `compaction_delta` (`_beta_messages.py`).
        """
        if delta["type"] == "citations_delta":
            if not self._start.get("citations"):
                self._start["citations"] = []
            self._start["citations"].append(delta["citation"])
            return
        self._start.update({key: value for key, value in delta.items() if key != "type"})


def whole_text(text: str) -> str:
    """Text that can be encoded: pairs of surrogates that were cut apart are joined, lone ones replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def thinking_of(content: tuple[Block, ...]) -> str:
    """The thinking in content blocks, as text."""
    pieces = [block.get("thinking") or "" for block in content if block.get("type") == "thinking"]
    return "\n\n".join(piece for piece in pieces if piece)


def _plain(source: str) -> Any:
    """JSON that can be sent and saved again. Raises `ValueError` for NaN and its like, and half characters."""
    found = json.loads(source)
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    return found


def call_of(reply: Reply, *, model: str, **facts: Any) -> Call:
    """The call that a reply came from; `model` is the one that was asked, `facts` are other fields of `Call`."""
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
    """Where code ran, as far as the next request needs it."""
    if not isinstance(found, Mapping) or not isinstance(found.get("id"), str):
        return None
    return {"id": found["id"], "expires_at": str(found.get("expires_at") or "")}


def concluded(draft: Turn, reply: Reply, *calls: Call) -> Turn:
    """The turn that a reply makes of a draft, which has only the prompt; `calls` are those that it took."""
    messages = (*draft.messages, *exchange_of(reply.content))
    return dataclasses.replace(draft, messages=messages, calls=calls, status=_status(reply), partial=reply.partial)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _status(reply: Reply) -> Status:
    if not reply.complete:
        return "interrupted"
    return "refused" if reply.stop_reason == "refusal" else "complete"
