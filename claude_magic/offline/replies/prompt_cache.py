"""The prompt cache: which tokens of a request are read and written, the usage, and the diagnostics of cache misses.

Source: the prompt caching page (minimum lengths, lifetimes, 20 blocks of lookback, order tools →
system → messages). Entries are made at breakpoints, and found up to 19 blocks before one.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...models import Model
from ..request.history import Block, Body, canonical, current, flatten, normalized, system_blocks, tools
from ..request.signatures import readable
from ..request.tokens import block_tokens, message_tokens, tool_tokens

LOOKBACK_BLOCKS = 20
TTL_SECONDS: Mapping[str, int] = {"5m": 300, "1h": 3600}
# Parameters that, besides tools and system prompt, must be the same for cached messages to be read.
SETTINGS = ("thinking", "output_config", "tool_choice", "speed")
_NOT_MARKABLE = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class Unit:
    """A cacheable piece of a request: its tokens, the digest up to its end, the `ttl` of its breakpoint, if any."""

    tokens: int
    digest: str
    ttl: str | None


@dataclass(frozen=True)
class Input:
    """The input tokens of a request: all, those read from the cache, and those written to it, by `ttl`."""

    total: int
    read: int = 0
    written: Mapping[str, int] = field(default_factory=lambda: {"5m": 0, "1h": 0})

    def usage(self) -> dict[str, Any]:
        """The input half of the API's `usage`."""
        created = sum(self.written.values())
        return {
            "input_tokens": self.total - self.read - created,
            "cache_creation_input_tokens": created,
            "cache_read_input_tokens": self.read,
            "cache_creation": {f"ephemeral_{ttl}_input_tokens": self.written[ttl] for ttl in ("5m", "1h")},
        }


@dataclass
class _Entry:
    ttl: str
    expires: float


class Cache:
    """The prompt caches of a server, one per key and model. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str], dict[str, _Entry]] = {}

    def serve(self, body: Body, model: Model, key: str) -> Input:
        """Look a request up, write entries at its breakpoints, and return the split of its tokens."""
        units = _units(body, model)
        with self._lock:
            entries = self._live(key, model)
            read_to = _longest(units, entries)
            for unit in units[:read_to]:
                if unit.digest in entries:  # reading renews an entry
                    entry = entries[unit.digest]
                    entry.expires = self.clock() + TTL_SECONDS[entry.ttl]
            return self._write(units, entries, read_to, model)

    def _live(self, key: str, model: Model) -> dict[str, _Entry]:
        now = self.clock()
        known = self._entries.get((key, model.id), {})
        live = {digest: entry for digest, entry in known.items() if entry.expires > now}
        self._entries[key, model.id] = live
        return live

    def _write(self, units: list[Unit], entries: dict[str, _Entry], read_to: int, model: Model) -> Input:
        length, written_to = sum(unit.tokens for unit in units[:read_to]), read_to
        read, written = length, {"5m": 0, "1h": 0}
        for position in range(read_to, len(units)):
            unit = units[position]
            length += unit.tokens
            if unit.ttl is None or length < model.min_cache_tokens:
                continue
            entries[unit.digest] = _Entry(unit.ttl, self.clock() + TTL_SECONDS[unit.ttl])
            written[unit.ttl] += sum(each.tokens for each in units[written_to : position + 1])
            written_to = position + 1
        return Input(sum(unit.tokens for unit in units), read, written)


def _longest(units: list[Unit], entries: Mapping[str, _Entry]) -> int:
    """The number of units that the longest entry covers, within the lookback of a breakpoint; 0 without one."""
    for position in reversed([i for i, unit in enumerate(units) if unit.ttl]):
        for i in range(position, max(-1, position - LOOKBACK_BLOCKS), -1):
            if units[i].digest in entries:
                return i + 1
    return 0


def _units(body: Body, model: Model) -> list[Unit]:
    pieces: list[tuple[str, Block, int]] = []
    pieces += [("tool", tool, tool_tokens(tool, first=i == 0)) for i, tool in enumerate(tools(body))]
    pieces += [("system prompt", block, block_tokens(block, model)) for block in system_blocks(body)]
    opening = len(pieces)
    placed = readable(current(body), model.id)
    pieces += [(each.role, each.block, n) for each, n in zip(placed, message_tokens(placed, model), strict=True)]
    marks = _marks(body, [block for _, block, _ in pieces])
    running, units = hashlib.sha256(), []
    for i, (role, block, tokens) in enumerate(pieces):
        if i == opening:
            running.update(canonical([body.get(name) for name in SETTINGS]))
        running.update(b"\x00" + canonical([role, normalized(block)]))
        units.append(Unit(tokens, running.hexdigest(), marks[i]))
    return units


def _marks(body: Body, blocks: list[Block]) -> list[str | None]:
    marks = [_ttl(block) for block in blocks]
    if control := body.get("cache_control"):
        last = max((i for i, block in enumerate(blocks) if block.get("type") not in _NOT_MARKABLE), default=None)
        if last is not None and marks[last] is None:
            marks[last] = control.get("ttl") or "5m"
    return marks


def _ttl(block: Block) -> str | None:
    control = block.get("cache_control")
    return (control.get("ttl") or "5m") if control else None


@dataclass(frozen=True)
class Fingerprint:
    """Digests of a request's parts, in the order in which they are compared, and its cached tokens."""

    model: str
    system: str
    tools: str
    settings: str
    messages: tuple[str, ...]
    cached_tokens: int


class Fingerprints:
    """The fingerprints of a server's answers, by caller's key and message id."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Fingerprint] = {}

    def diagnose(self, body: Body, message: Mapping[str, Any], key: str) -> dict[str, Any] | None:
        """The API's `diagnostics` of a message; `None` where the request continues the previous one unchanged."""
        usage = message["usage"]
        own = fingerprint(body, usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"])
        self._kept[key, message["id"]] = own
        previous = body["diagnostics"].get("previous_message_id")
        if previous is None:
            return None
        before = self._kept.get((key, previous))
        kind = "previous_message_not_found" if before is None else _difference(before, own)
        if kind is None:
            return None
        reason: dict[str, Any] = {"type": kind}
        if before and kind.endswith("_changed"):
            reason["cache_missed_input_tokens"] = max(0, before.cached_tokens - usage["cache_read_input_tokens"])
        return {"cache_miss_reason": reason}


def fingerprint(body: Body, cached_tokens: int) -> Fingerprint:
    return Fingerprint(
        model=_digest([body["model"], body.get("speed") or "standard"]),
        system=_digest([normalized(block) for block in system_blocks(body)]),
        tools=_digest([normalized(tool) for tool in tools(body)]),
        settings=_digest([body.get(name) for name in SETTINGS]),
        messages=tuple(_digest([each.role, normalized(each.block)]) for each in flatten(body["messages"])),
        cached_tokens=cached_tokens,
    )


def _difference(before: Fingerprint, now: Fingerprint) -> str | None:
    for name in ("model", "system", "tools"):
        if getattr(before, name) != getattr(now, name):
            return f"{name}_changed"
    if before.settings != now.settings:
        return "unavailable"
    return None if now.messages[: len(before.messages)] == before.messages else "messages_changed"


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()
