"""Turns and the conversation they make, as immutable values.

Content blocks and usage stay in the API's wire form (plain dicts), unknown kinds and fields
included. Nobody changes them in place.
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
# What Claude is told of a call that came to nothing: each must have a result.
NOT_RUN = "This tool was not run."
# What `%claude_continue` says for the reader, after a reply that was cut off.
CONTINUE: list[Block] = [
    {"type": "text", "text": "Your reply was cut off. Go on exactly where it stopped, without a word before it."}
]


@dataclass(frozen=True)
class Call:
    """One API request and what came of it.

    `usage` is the API's own, in tokens; `started` is in seconds since the epoch; `first_token` and
    `seconds` are durations in seconds. `stop_reason` is `None` where the reply broke off: its
    usage is then a lower bound. `answered` says whether any content came: a refusal before any
    output is not billed. `replayed` says that the record answered, and that it cost nothing now. `container` is
    where code ran: its `id`, and when it `expires_at`.
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


@dataclass(frozen=True)
class Attached:
    """Something that went along with a prompt, besides what the reader typed: a value, a cell, an attachment.

    `name` is what the header calls it, `kind` what it is in a word or two, `tokens` a rough count (`weighing.py`).
    `masked` is how many secrets in it were masked.
    """

    name: str
    kind: str
    tokens: int
    masked: int = 0


@dataclass(frozen=True)
class Turn:
    """What one run of a cell made: the prompt, the reply, and the calls it took.

    `messages` is the wire form: the user message, then the assistant's. `partial` are blocks that
    broke off half-way: shown, never sent. `prefix` is the digest of the system prompt, tools and
    messages that the reply was made from (`request.py`), `params` are the request's parameters but its
    messages. `made` are the files that Claude's code made (`products.py`): shown, never sent. `created` is in seconds
    since the epoch, `execution_count` the number in the cell's `In [ ]`. `once` marks a question outside of any
    conversation. `notes` are remarks for the header, `attached` is what went along with the prompt, in its order.
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

    @property
    def prompt(self) -> tuple[Block, ...]:
        """The content blocks of the prompt."""
        return blocks(self.messages[0])

    @property
    def reply(self) -> tuple[Block, ...]:
        """All content blocks that Claude sent, those that broke off included.

        A reply that was cut off and continued is one reply: what Claude thought before it went on stands before the
        text that it continues.
        """
        sent: list[Block] = []
        asked: Message = {}
        for message in self.messages:
            if message["role"] == "assistant":
                received = blocks(message)
                at = len(sent) if asked.get("content") != CONTINUE else _last_text(sent)
                lead = [*itertools.takewhile(lambda block: block["type"] != "text", received)] if at < len(sent) else []
                sent[at:at] = lead
                sent += received[len(lead) :]
            asked = message
        return (*sent, *self.partial)

    @property
    def summarises(self) -> bool:
        """Whether the reply holds a summary of all before it, by `%claude_compact` or `--compact`."""
        made = any(block["type"] == "compaction" and block.get("content") for block in self.reply)
        return made and self.status != "refused"

    @property
    def results(self) -> Mapping[str, Block]:
        """What the notebook's tools answered, by the id of the call."""
        later = (block for message in self.messages[1:] if message["role"] == "user" for block in blocks(message))
        return {block["tool_use_id"]: block for block in later if block["type"] == "tool_result"}

    @property
    def replayed(self) -> bool:
        """Whether the record answered, not the API."""
        return any(call.replayed for call in self.calls)

    @property
    def offline(self) -> bool:
        """Whether the offline stand-in answered, not Claude."""
        return any(call.provider == "offline" for call in self.calls)


@dataclass(frozen=True)
class Pin:
    """What stands at the front of every conversation of a notebook, with a cache breakpoint of its own.

    `ttl` is how long the API keeps it, `5m` or `1h`; `created` is in seconds since the epoch. It lives in the cell that
    made it. Without content, it says that what has this name is no longer pinned.
    """

    name: str
    content: tuple[Block, ...]
    ttl: str = "5m"
    created: float = 0.0
    cell_id: str | None = None


@dataclass(frozen=True)
class SystemPrompt:
    """A chat's own system prompt, from the cell that set it on; empty, it says that the chat has none of its own.

    `created` is in seconds since the epoch.
    """

    chat: str
    text: str
    created: float = 0.0
    cell_id: str | None = None


@dataclass(frozen=True)
class Conversation:
    """An ordered run of turns: as their cells first ran."""

    turns: tuple[Turn, ...] = ()

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __len__(self) -> int:
        return len(self.turns)

    def before(self, cell_id: str | None, siblings: Set[str] = frozenset()) -> Conversation:
        """What a cell sees: the turns before its own, and those made in this same run of it.

        `siblings` are the ids of the turns that this run of the cell has made so far.
        """
        position = self._position(cell_id, siblings)
        seen = self.turns[:position] + tuple(turn for turn in self.turns[position:] if turn.id in siblings)
        return Conversation(seen)

    def with_turn(self, turn: Turn, siblings: Set[str] = frozenset()) -> Conversation:
        """The conversation with a turn in its cell's place: at the end, where the cell is new."""
        position = self._position(turn.cell_id, siblings)
        stays = [t for t in self.turns[position:] if t.id in siblings or not _same_cell(t, turn.cell_id)]
        at = 1 + max((i for i, t in enumerate(stays) if t.id in siblings), default=-1)
        return Conversation((*self.turns[:position], *stays[:at], turn, *stays[at:]))

    def seated(self, turn: Turn, order: Mapping[str, int]) -> Conversation:
        """The conversation with a turn added where its cell stands; `order` numbers the notebook's cells."""
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
        """The conversation with no thinking to send back: its prefixes match nothing."""
        return Conversation(tuple(dataclasses.replace(turn, prefix="") for turn in self.turns))

    def stale(self) -> frozenset[str]:
        """The ids of the turns that were asked before a turn above them changed. A replayed one changes nothing."""
        late, newest = set(), float("-inf")
        for turn in (turn for turn in self.turns if not turn.replayed):
            if turn.created < newest:
                late.add(turn.id)
            newest = max(newest, turn.created)
        return frozenset(late)

    def summarised(self) -> frozenset[str]:
        """The ids of the turns that a summary further down stands for: the API reads it instead of them."""
        summaries = [at for at, turn in enumerate(self.turns) if turn.summarises]
        return frozenset(turn.id for turn in self.turns[: max(summaries, default=0)])

    def _position(self, cell_id: str | None, siblings: Set[str]) -> int:
        """Where the cell's turns start; the end, where it has none."""
        own = (i for i, turn in enumerate(self.turns) if turn.id in siblings or _same_cell(turn, cell_id))
        return next(own, len(self.turns))


def _last_text(content: list[Block]) -> int:
    """Where the run of text at the end of content begins; its end, if it does not end with text."""
    at = len(content)
    while at and content[at - 1]["type"] == "text":
        at -= 1
    return at


def blocks(message: Message) -> tuple[Block, ...]:
    """A message's content as blocks: a string is one text block."""
    content = message["content"]
    return ({"type": "text", "text": content},) if isinstance(content, str) else tuple(content)


def open_calls(content: Iterable[Block]) -> list[Block]:
    """The calls of the notebook's tools in content that have no result there."""
    listed = list(content)
    answered = {block["tool_use_id"] for block in listed if block["type"] == "tool_result"}
    return [block for block in listed if block["type"] == "tool_use" and block["id"] not in answered]


def not_run(call: Block, why: str = NOT_RUN) -> dict[str, Any]:
    """The result of a call that was not run."""
    return {"type": "tool_result", "tool_use_id": call["id"], "content": why, "is_error": True}


def exchange_of(content: Iterable[Block]) -> list[dict[str, Any]]:
    """A reply with the results of its tools among its blocks, as the messages that it is: the results are the user's.

    They stand in the order of their calls, one each; a call that was left behind has one that says so.
    """
    messages: list[dict[str, Any]] = [{"role": "assistant", "content": []}]
    for block in content:
        role = "user" if block["type"] == "tool_result" else "assistant"
        if role != messages[-1]["role"]:
            messages.append({"role": role, "content": []})
        messages[-1]["content"].append(block)
    for asked, answered in itertools.pairwise(messages):
        if answered["role"] == "user":
            results = {block["tool_use_id"]: block for block in reversed(answered["content"])}
            calls = [block for block in asked["content"] if block["type"] == "tool_use"]
            answered["content"] = [results.get(call["id"]) or not_run(call) for call in calls]
    return messages


def text_of(content: tuple[Block, ...]) -> str:
    """The text of content blocks: pieces of one run are one text, runs are paragraphs apart."""
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
    """A number of turns, in words: `2 turns`, `1 earlier turn`."""
    return " ".join(part for part in (str(count), which, "turn" if count == 1 else "turns") if part)


def _same_cell(turn: Turn, cell_id: str | None) -> bool:
    return cell_id is not None and turn.cell_id == cell_id
