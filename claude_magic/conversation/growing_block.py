"""One growing content block of a reply: its first state, and the pieces received since.

A `ValueError` says that an event does not fit the block by the API's schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from . import received, record_schema
from .received import Note, whole_text

CALLS = ("tool_use", "server_tool_use", "mcp_tool_use")
_PHASES = {"thinking": "thinking", "redacted_thinking": "thinking", "text": "writing"}
_SERVER_PHASES = {
    "web_search": "searching the web",
    "web_fetch": "reading a page",
    "code_execution": "running code",
    "bash_code_execution": "running code",
    "text_editor_code_execution": "writing a file",
}
# delta type → (field of the delta, field of the block, types of the blocks that it belongs to)
_TEXT_DELTAS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "text_delta": ("text", "text", ("text",)),
    "thinking_delta": ("thinking", "thinking", ("thinking",)),
    "input_json_delta": ("partial_json", "partial_json", CALLS),
}
_OTHER_DELTAS = {"citations_delta": ("text",), "signature_delta": ("thinking",)}
# Fields that are read from blocks of every type, with the types of their values; see `record_schema._PARTIAL`.
_READ = {name: (str, type(None)) for name in ("id", "tool_use_id", "partial_json", "thinking")} | {"text": (str,)}


class GrowingBlock:
    """A content block. `sent_id` is its id as received; `wrong` says what is wrong with a finished call's input."""

    def __init__(self, start: Any, note: Note, *, done: bool = False, recorded: bool = False) -> None:
        """`done` is for a block that is valid already, `recorded` for one that is replayed and taken as it is.

        Raises `ValueError` for a block that makes no sense.
        """
        self._note = note
        self.recorded = recorded
        self._start = dict(start) if done or recorded else _checked(start, note)
        self._pieces: dict[str, list[str]] = {}
        self.kind: str = self._start["type"]
        self.phase = _PHASES.get(self.kind) or _SERVER_PHASES.get(str(self._start.get("name")), "using a tool")
        self.sent_id = self._start.get("id", self._start.get("tool_use_id"))
        self.done = done
        self.wrong = ""
        self._read: Any = None  # the input as read, whether it could be or not
        self._fits = done

    def set_field(self, name: str, value: Any) -> None:
        """Replace a field of the block."""
        self._start[name] = value
        self._fits = self.done and record_schema.fits_reply(self._start)

    @property
    def call_id(self) -> str:
        """The id of a call, as it is kept."""
        return str(self._start.get("id") or "")

    def as_sent(self) -> tuple[Any, dict[str, Any]]:
        """The block's id as received, and the rest of the block: equal for a block that is sent twice."""
        changed = ("id", "tool_use_id", "input", "partial_json")
        value = {name: each for name, each in self.value().items() if name not in changed}
        return self.sent_id, {**value, "input": self._read}

    def add(self, delta: Any) -> int:
        """Add a delta; the number of characters that it adds to the view."""
        kind = delta["type"]
        if self.done or not isinstance(kind, str):
            raise ValueError("a delta of a finished block")
        known = self.kind in record_schema.REPLY_TYPES
        if kind not in _TEXT_DELTAS:
            if known and kind not in _OTHER_DELTAS:
                return 0
            if known and self.kind not in _OTHER_DELTAS[kind]:
                raise ValueError("a delta of another type of block")
            self._merge(kind, delta)
            return 1
        field, name, kinds = _TEXT_DELTAS[kind]
        piece = delta[field]
        if not isinstance(piece, str) or not isinstance(self._start.get(name) or "", str):
            raise ValueError("text that is no text")
        if known and self.kind not in kinds:
            raise ValueError("a delta of another type of block")
        self._pieces.setdefault(name, []).append(piece)
        return len(piece)

    def stop(self) -> None:
        """Complete the block: join its pieces, parse tool input."""
        if self.done:
            return
        self._start = self.value()
        self._pieces = {}
        self.done = True
        if self.kind in CALLS and not self.recorded:
            self._read_input()
        self._fits = self.recorded or record_schema.fits_reply(self._start)

    def _read_input(self) -> None:
        source = self._start.pop("partial_json", "") or self._start.get("input", "")
        self._start["input"], self.wrong = received.tool_input(source)
        self._read = source
        if self.wrong:
            text = source if isinstance(source, str) else json.dumps(source, ensure_ascii=False, default=str)
            self._start["partial_json"] = whole_text(text)

    def settle(self) -> None:
        """Keep a call whose input could not be read, with an empty input: its result says what was wrong."""
        self._start.pop("partial_json", None)
        self.wrong = ""
        self._fits = record_schema.fits_reply(self._start)

    def value(self) -> dict[str, Any]:
        """The block as received so far."""
        joined = {name: whole_text((self._start.get(name) or "") + "".join(p)) for name, p in self._pieces.items()}
        return {**self._start, **joined}

    def shown(self) -> dict[str, Any]:
        """The block as a part of a reply that is shown and not sent: without fields that nobody could read."""
        value = self.value()
        if self.recorded:
            return value
        return {name: each for name, each in value.items() if isinstance(each, _READ.get(name, object))}

    def keepable(self) -> bool:
        """Whether the block can go into the conversation: it is complete and valid, or text that is not blank."""
        if self.done:
            return self._fits and not self.wrong
        return self.kind == "text" and bool(self.value()["text"].strip())

    def _merge(self, kind: str, delta: Mapping[str, Any]) -> None:
        """Apply any other delta: append a citation, set other fields.

        The SDK does the same for `signature_delta` and `compaction_delta` (`_beta_messages.py`).
        """
        if kind == "citations_delta":
            found = received.citation(delta.get("citation"), self._note)
            if found is not None:
                if not self._start.get("citations"):
                    self._start["citations"] = []
                self._start["citations"].append(found)
            return
        known = self.kind in record_schema.REPLY_TYPES
        names = ("signature",) if known else tuple(name for name in delta if name != "type")
        if any(name in self._pieces for name in names):
            raise ValueError("a field that grows is set")
        self._start.update(received.plain({name: delta[name] for name in names}))


def _checked(start: Any, note: Note) -> dict[str, Any]:
    """The first state of a block. Raises `ValueError` if it makes no sense."""
    if not isinstance(start, Mapping) or received.name(start.get("type")) is None:
        raise ValueError("a block without a type")
    kind = whole_text(start["type"])
    if kind in ("text", "thinking"):
        return _checked_text(start, kind, note)
    given = {key: value for key, value in start.items() if key not in ("input", "partial_json") or kind not in CALLS}
    found = _without_breakpoint(received.plain(given), note)
    if kind not in CALLS:
        return found
    return {**found, **({"input": _plain_input(start["input"])} if "input" in start else {})}


def _plain_input(found: Any) -> Any:
    """The input of a call; as text, where JSON cannot hold it, so that the call can be answered."""
    try:
        return received.plain(found)
    except ValueError:
        return whole_text(json.dumps(found, ensure_ascii=False))


def _checked_text(start: Mapping[str, Any], kind: str, note: Note) -> dict[str, Any]:
    rest = {key: value for key, value in start.items() if key not in ("citations", "partial_json")}
    found = {**_without_breakpoint(received.plain(rest), note)}
    found[kind] = "" if found.get(kind) is None else found[kind]
    if not isinstance(found[kind], str):
        raise ValueError("text that is no text")
    if "citations" in start:
        found["citations"] = received.citations(start["citations"], note)
    return found


def _without_breakpoint(block: dict[str, Any], note: Note) -> dict[str, Any]:
    if block.get("cache_control") is None:
        return block
    note("a cache breakpoint left out")
    return {name: value for name, value in block.items() if name != "cache_control"}
