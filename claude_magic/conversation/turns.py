"""Turns, their calls and the conversation that they make, as immutable values.

Content blocks and usage stay in the API's wire form (plain dicts), with unknown types and fields kept. They are never
changed in place.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Literal

Block = Mapping[str, Any]
Message = Mapping[str, Any]
Usage = Mapping[str, Any]
Status = Literal["complete", "interrupted", "refused"]

DEFAULT_CHAT = "main"
# Result sent to Claude for a tool call that was not run: the API wants a result for each call.
NOT_RUN = "This tool was not run."
# The prompt of `%claude_continue`, after a reply that was cut off.
CONTINUE: list[Block] = [
    {"type": "text", "text": "Your reply was cut off. Go on exactly where it stopped, without a word before it."}
]


@dataclass(frozen=True)
class Call:
    """One API request and its outcome.

    `usage` is the API's own, in tokens; `started` is in seconds since the epoch; `first_token` and
    `seconds` are durations in seconds. `stop_reason` is `None` where the reply broke off: the
    usage is then a lower bound. `answered` says whether any content arrived: a refusal before any
    output is not billed. `replayed` says that the reply was read from the record, at no cost now. `container` is
    where code ran: its `id`, and its expiry as `expires_at`.
    """

    model: str
    usage: Usage = field(default_factory=dict)
    request_id: str | None = None
    message_id: str | None = None
    stop_reason: str | None = None
    stop_details: Mapping[str, Any] | None = None
    stop_sequence: str | None = None
    started: float = 0.0
    first_token: float | None = None
    seconds: float = 0.0
    provider: str = "anthropic"
    answered: bool = True
    replayed: bool = False
    container: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str | None, str | None, float]:
        """What tells calls apart: both ids and the start, as a gateway that caches gives an id twice. A call and its
        replay have the same key."""
        return self.request_id, self.message_id, self.started


@dataclass(frozen=True)
class Attached:
    """Something attached to a prompt besides the typed text: a value, a cell, a file, an image.

    `name` is its name in the turn's header, `kind` its kind in a word or two, `tokens` an estimate
    (`content/token_estimate.py`). `masked` is the number of secrets in it that were masked.
    """

    name: str
    kind: str
    tokens: int
    masked: int = 0


@dataclass(frozen=True)
class Turn:
    """One run of a cell: the prompt, the reply, and the calls that it took.

    `messages` is the wire form: the user message, then the assistant's (and more of both, where tools were called).
    `partial` are blocks that broke off half-way: shown, never sent. `prefix` is the digest of the system prompt, tools
    and messages that the reply was made from (`request/build.py`); `params` are the request's parameters without its
    messages. `made` are the files that Claude's code made (`session/container_files.py`): shown, never sent. `created`
    is in seconds since the epoch, `execution_count` the number in the cell's `In [ ]`. `once` marks a question outside
    of any conversation. `notes` are remarks for the header; `attached` lists, in order, what was sent besides the
    typed text. `seconds` is how long the reader waited for the reply, from the start of the cell; `None` if that is not
    known, as of a reply that no cell showed. `asked` is the start of the prompt as it was typed, on one line, where
    something was attached; empty where the messages say it themselves.
    """

    id: str
    messages: tuple[Message, ...]
    calls: tuple[Call, ...]
    cell_id: str | None = None
    chat: str = DEFAULT_CHAT
    status: Status = "complete"
    prefix: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    created: float = 0.0
    execution_count: int | None = None
    once: bool = False
    partial: tuple[Block, ...] = ()
    made: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    attached: tuple[Attached, ...] = ()
    seconds: float | None = None
    asked: str = ""

    @property
    def waited(self) -> float:
        """How long the reply took in seconds: for its reader, or at least for its calls."""
        return sum(call.seconds for call in self.calls) if self.seconds is None else self.seconds

    @property
    def prompt(self) -> tuple[Block, ...]:
        """The content blocks of the prompt."""
        return blocks(self.messages[0])

    @property
    def reply(self) -> tuple[Block, ...]:
        """All content blocks that Claude sent, with those that broke off.

        A reply that was cut off and continued is one reply: the thinking at the start of the continuation is moved
        before the text that it continues, so that the text is not divided.
        """
        sent: list[Block] = []
        previous: Message = {}
        for message in self.messages:
            if message["role"] == "assistant":
                received = blocks(message)
                at = len(sent) if previous.get("content") != CONTINUE else _last_text(sent)
                lead = [*itertools.takewhile(lambda block: block["type"] != "text", received)] if at < len(sent) else []
                sent[at:at] = lead
                sent += received[len(lead) :]
            previous = message
        return (*sent, *self.partial)

    @property
    def summarises(self) -> bool:
        """Whether the reply holds a summary of the conversation before it (`%claude_compact`, `--compact`)."""
        has_summary = any(block["type"] == "compaction" and block.get("content") for block in self.reply)
        return has_summary and self.status != "refused"

    @property
    def is_empty(self) -> bool:
        """Whether the reply ended without saying anything: no block but thinking and blank text, or nothing after the
        results of tools."""
        last = self.messages[-1]
        if self.status != "complete":
            return False
        silent = ("thinking", "redacted_thinking", "tool_result")
        return all(
            not str(block["text"]).strip() if block["type"] == "text" else block["type"] in silent
            for block in (*blocks(last), *self.partial)
        )

    @property
    def results(self) -> Mapping[str, Block]:
        """The results of the notebook's tools (`tool_result` blocks), by the id of the call."""
        later = (block for message in self.messages[1:] if message["role"] == "user" for block in blocks(message))
        return {block["tool_use_id"]: block for block in later if block["type"] == "tool_result"}

    @property
    def replayed(self) -> bool:
        """Whether the reply was read from the record, not made by the API."""
        return any(call.replayed for call in self.calls)

    @property
    def offline(self) -> bool:
        """Whether the offline stand-in made the reply, not Claude."""
        return any(call.provider == "offline" for call in self.calls)


@dataclass(frozen=True)
class Pin:
    """Content at the start of every conversation of a notebook, with a cache breakpoint of its own.

    `ttl` is how long the API caches it, `5m` or `1h`; `created` is in seconds since the epoch; `cell_id` is the cell
    whose output holds it. A pin without content cancels an earlier one of the same name.
    """

    name: str
    content: tuple[Block, ...]
    ttl: str = "5m"
    created: float = 0.0
    cell_id: str | None = None


@dataclass(frozen=True)
class SystemPrompt:
    """A chat's own system prompt, valid from the cell that set it; an empty text takes it away.

    `created` is in seconds since the epoch. `ttl` is how long the API caches it: 5m or 1h; `None` leaves that to the
    conversation's own breakpoints.
    """

    chat: str
    text: str
    created: float = 0.0
    cell_id: str | None = None
    ttl: str | None = None


@dataclass(frozen=True)
class Conversation:
    """An ordered run of turns, in the order in which their cells first ran."""

    turns: tuple[Turn, ...] = ()

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __len__(self) -> int:
        return len(self.turns)

    def before(self, cell_id: str | None, siblings: Set[str] = frozenset()) -> Conversation:
        """The conversation that a cell sees: the turns before its own, and those that this run of it has made.

        `siblings` are the ids of the turns that this run of the cell has made so far.
        """
        position = self._position(cell_id, siblings)
        seen = self.turns[:position] + tuple(turn for turn in self.turns[position:] if turn.id in siblings)
        return Conversation(seen)

    def with_turn(self, turn: Turn, siblings: Set[str] = frozenset(), before: Set[str] | None = None) -> Conversation:
        """The conversation with a turn in the place of its cell's former one; at the end for a new cell.

        Among its `siblings`, it stands behind those that are in `before`; `None`: behind all.
        """
        before = siblings if before is None else before
        position = self._position(turn.cell_id, siblings)
        others = [t for t in self.turns[position:] if t.id in siblings or not _same_cell(t, turn.cell_id)]
        at = 1 + max((i for i, t in enumerate(others) if t.id in before), default=-1)
        return Conversation((*self.turns[:position], *others[:at], turn, *others[at:]))

    def seated(self, turn: Turn, order: Mapping[str, int]) -> Conversation:
        """The conversation with a turn inserted by the position of its cell; `order` maps cell ids to positions."""
        last = len(order)
        rank = order.get(turn.cell_id or "", last)
        if rank == last:
            return Conversation((*self.turns, turn))
        above = (at for at, each in enumerate(self.turns) if order.get(each.cell_id or "", last) <= rank)
        at = 1 + max(above, default=-1)
        return Conversation((*self.turns[:at], turn, *self.turns[at:]))

    def without_turns(self, ids: Set[str]) -> Conversation:
        """The conversation without these turns."""
        return Conversation(tuple(turn for turn in self.turns if turn.id not in ids))

    def without(self, cell_ids: Set[str]) -> Conversation:
        """The conversation without the turns of these cells."""
        return Conversation(tuple(turn for turn in self.turns if turn.cell_id not in cell_ids))

    def without_bound_thinking(self) -> Conversation:
        """The conversation with empty prefixes, which match no request, so that no thinking is sent back."""
        return Conversation(tuple(dataclasses.replace(turn, prefix="") for turn in self.turns))

    def stale(self) -> frozenset[str]:
        """The ids of turns older than a turn above them, which has changed since. Replayed turns do not count."""
        outdated, newest = set(), float("-inf")
        for turn in (turn for turn in self.turns if not turn.replayed):
            if turn.created < newest:
                outdated.add(turn.id)
            newest = max(newest, turn.created)
        return frozenset(outdated)

    def summarised(self) -> frozenset[str]:
        """The ids of the turns that a later summary replaces: the API reads the summary instead of them."""
        summaries = [at for at, turn in enumerate(self.turns) if turn.summarises]
        return frozenset(turn.id for turn in self.turns[: max(summaries, default=0)])

    def _position(self, cell_id: str | None, siblings: Set[str]) -> int:
        """The index of the cell's first turn; the number of turns where it has none."""
        own = (i for i, turn in enumerate(self.turns) if turn.id in siblings or _same_cell(turn, cell_id))
        return next(own, len(self.turns))


def _last_text(content: list[Block]) -> int:
    """The index where the text at the end of content begins; the length, if content does not end with text."""
    at = len(content)
    while at and content[at - 1]["type"] == "text":
        at -= 1
    return at


def blocks(message: Message) -> tuple[Block, ...]:
    """A message's content as blocks: a string is one text block."""
    content = message["content"]
    return ({"type": "text", "text": content},) if isinstance(content, str) else tuple(content)


def set_aside(turn: Turn, why: str) -> Turn:
    """A turn whose reply is shown and never sent; the note `why` tells the reader."""
    messages = (turn.messages[0], {"role": "assistant", "content": []})
    notes = (*turn.notes, why)
    return dataclasses.replace(turn, messages=messages, partial=turn.reply, status="interrupted", notes=notes)


def open_calls(content: Iterable[Block]) -> list[Block]:
    """The `tool_use` blocks in content whose result is not there."""
    listed = list(content)
    answered = {block["tool_use_id"] for block in listed if block["type"] == "tool_result"}
    return [block for block in listed if block["type"] == "tool_use" and block["id"] not in answered]


def not_run(call: Block, why: str = NOT_RUN) -> dict[str, Any]:
    """The `tool_result` of a call that was not run."""
    return {"type": "tool_result", "tool_use_id": call["id"], "content": why, "is_error": True}


def exchange_of(content: Iterable[Block]) -> list[dict[str, Any]]:
    """Split a reply with tool results among its blocks into messages: Claude's blocks, and the results as the user's.

    Results stand in the order of their calls, one each; a call without a result gets one that says it was not run.
    """
    messages: list[dict[str, Any]] = [{"role": "assistant", "content": []}]
    for block in content:
        role = "user" if block["type"] == "tool_result" else "assistant"
        if role != messages[-1]["role"]:
            messages.append({"role": role, "content": []})
        messages[-1]["content"].append(block)
    for reply, answer in itertools.pairwise(messages):
        if answer["role"] == "user":
            results = {block["tool_use_id"]: block for block in reversed(answer["content"])}
            calls = [block for block in reply["content"] if block["type"] == "tool_use"]
            answer["content"] = [results.get(call["id"]) or not_run(call) for call in calls]
    return messages


def text_of(content: tuple[Block, ...]) -> str:
    """The text of content blocks: neighbouring text blocks are joined, others separated by an empty line."""
    runs: list[str] = []
    previous = ""
    for block in content:
        kind = block.get("type", "")
        if kind == "text":
            if previous == "text":
                runs[-1] += block["text"]
            else:
                runs.append(block["text"])
        previous = kind
    return "\n\n".join(run for run in runs if run)


def turns_of(count: int, which: str = "") -> str:
    """A number of turns with its noun: `2 turns`, `1 earlier turn`."""
    return " ".join(part for part in (str(count), which, "turn" if count == 1 else "turns") if part)


def _same_cell(turn: Turn, cell_id: str | None) -> bool:
    return cell_id is not None and turn.cell_id == cell_id
