"""Replay: find the recorded turn that answers a request, and stream its reply again.

Two requests are the same if the digests of system prompt, tools and messages (`Request.prefix`) and all other
parameters are equal, except cache breakpoints. Records are untrusted data: their pace is limited, and text quoted from
them is short and printable.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ..content.text import join_line, short, whole_text
from ..conversation.accumulator import TOOL_RESULT
from ..conversation.received import RECORDED
from ..conversation.turns import Block, Call, Conversation, Message, Turn, blocks, text_of, turns_of
from ..cost.budget import without_budget_notes
from ..request import build
from ..request.build import Request

MAX_FIRST_TOKEN_SECONDS = 3.0
SLOWEST_CHARACTERS_PER_SECOND = 60.0
FASTEST_CHARACTERS_PER_SECOND = 1_500.0
# The longest replay at recorded speed, also for a hostile record.
MAX_REPLY_SECONDS = 600.0
# The API's own deltas have 8 to 10 characters in the median and 34 at the ninth decile (1,389 recorded deltas).
PIECE_CHARACTERS = 24
LARGE_PIECE_CHARACTERS = 50_000
SHORTEST_WAIT_SECONDS = 0.01  # for a faster pace, the pieces are larger
EXCERPT_CHARACTERS = 60
SHOWN_DIFFERENCES = 3

# type of block → type of its text deltas; the text is in the field that has the name of the block's type
_DELTAS = {"text": "text_delta", "thinking": "thinking_delta"}
_FLAGS = {
    "model": "--model",
    "max_tokens": "--max-tokens",
    "system": "--system",
    "thinking": "--thinking",
    "output_config": "--effort",
    "stop_sequences": "--stop",
    "tools": "the tools",
    "tool_choice": "--tool-choice",
}


class Records:
    """Recorded turns in notebook order, indexed by the request that they answer; immutable.

    A turn that is given twice (from the file and from the kernel) counts once.
    """

    def __init__(self, turns: Iterable[Turn]) -> None:
        unique: dict[str, Turn] = {}
        for turn in turns:
            unique.setdefault(turn.id, turn)
        self.turns = tuple(unique.values())
        self._by_prefix: dict[str, list[Turn]] = {}
        for turn in self.turns:
            self._by_prefix.setdefault(turn.prefix, []).append(turn)

    def find(self, request: Request, cell_id: str | None, used: Set[str], *, provider: str | None) -> Turn | None:
        """The recorded turn that answers a request; `None` if there is none.

        It is the cell's own newest turn; else, in notebook order, the first that is not in `used` (the ids of those
        that this kernel has replayed), else the last. With a `provider`, only its own complete turns count.
        """
        same = [
            turn
            for turn in self._by_prefix.get(request.prefix, ())
            if _comparable(turn.params) == _comparable(request.settings) and _may_answer(turn, provider)
        ]
        own = [turn for turn in same if cell_id is not None and turn.cell_id == cell_id]
        if own:
            return max(own, key=lambda turn: turn.created)
        originals = _without_copies(same)
        return next((turn for turn in originals if turn.id not in used), originals[-1] if originals else None)


def _may_answer(turn: Turn, provider: str | None) -> bool:
    """Whether a turn may answer although `provider` could be asked: only its own turns, and none interrupted."""
    if provider is None:
        return True
    return turn.status != "interrupted" and all(call.provider == provider for call in turn.calls)


def _comparable(params: Mapping[str, Any]) -> dict[str, Any]:
    compared = {name: value for name, value in params.items() if name != "cache_control"}
    return {**compared, **({"system": build.plain_system(params)} if "system" in params else {})}


def _without_copies(turns: Iterable[Turn]) -> list[Turn]:
    """The turns without replays of a turn that is among them."""
    kept: list[Turn] = []
    answers = set()
    for turn in turns:
        answer = tuple(call.key for call in turn.calls)
        if not turn.replayed or answer not in answers:
            kept.append(turn)
        answers.add(answer)
    return kept


def replayed(recorded: Turn, request: Request, draft: Turn) -> Turn:
    """The turn that joins the conversation: `draft` with the recorded reply, its calls marked as replayed."""
    return dataclasses.replace(
        draft,
        messages=(*draft.messages[:1], *recorded.messages[1:]),
        calls=tuple(dataclasses.replace(call, replayed=True) for call in recorded.calls),
        status=recorded.status,
        partial=recorded.partial,
        made=recorded.made,
        notes=without_budget_notes(recorded.notes),
        seconds=recorded.seconds,
        prefix=request.prefix,
        params=request.settings,
    )


# --- the reply as a stream ----------------------------------------------------------------------------


def events(turn: Turn, speed: float, sleep: Callable[[float], None]) -> Iterator[dict[str, Any]]:
    """A recorded reply as the API's streaming events, which `Accumulator` folds into the same blocks and usage.

    `speed` is a factor to the recorded speed; 0 does not wait. `sleep` takes seconds. The fields of a block besides its
    text are in its `content_block_start`.
    """
    pace = _Pace.of(turn, speed)
    call = turn.calls[-1]
    yield {"type": "message_start", "message": _message(call)}
    if pace.first_token_seconds > 0:
        sleep(pace.first_token_seconds)
    kept = len(turn.reply) - len(turn.partial)
    for index, block in enumerate(turn.reply):
        yield {"type": "content_block_start", "index": index, "content_block": _start(block), "recorded": RECORDED}
        for piece in _pieces(_growing_text(block), pace.piece_characters):
            if wait := len(piece) / pace.characters_per_second:
                sleep(wait)
            delta = {"type": _DELTAS[block["type"]], block["type"]: piece}
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        if index >= kept:
            continue
        yield {"type": "content_block_stop", "index": index}
        if block["type"] == "tool_use" and (index + 1 == kept or turn.reply[index + 1]["type"] != "tool_use"):
            yield from _results(turn, index)
    yield {"type": "message_delta", "delta": _final_delta(call), "usage": dict(call.usage)}
    if turn.status != "interrupted":
        yield {"type": "message_stop"}


def _results(turn: Turn, last: int) -> Iterator[dict[str, Any]]:
    """Events for the tool results of the consecutive calls that end with the block at index `last`."""
    before = itertools.takewhile(lambda block: block["type"] == "tool_use", reversed(turn.reply[: last + 1]))
    for call in reversed([*before]):
        if (result := turn.results.get(call.get("id", ""))) is not None:
            yield {"type": TOOL_RESULT, "content": result}


@dataclass(frozen=True)
class _Pace:
    """The pace of a replay."""

    first_token_seconds: float
    characters_per_second: float
    piece_characters: int

    @classmethod
    def of(cls, turn: Turn, speed: float) -> _Pace:
        """The recorded pace, limited to a plausible range, times `speed`."""
        if not speed > 0:
            return cls(0.0, float("inf"), LARGE_PIECE_CHARACTERS)
        characters = sum(len(_growing_text(block)) for block in turn.reply)
        first = turn.calls[0].first_token or 0.0
        writing = sum(call.seconds for call in turn.calls) - first
        rate = characters / writing if writing > 0 else FASTEST_CHARACTERS_PER_SECOND
        rate = min(max(rate, SLOWEST_CHARACTERS_PER_SECOND), FASTEST_CHARACTERS_PER_SECOND)
        rate = max(rate, characters / MAX_REPLY_SECONDS) * speed
        piece = min(max(PIECE_CHARACTERS, rate * SHORTEST_WAIT_SECONDS), LARGE_PIECE_CHARACTERS)
        return cls(min(first, MAX_FIRST_TOKEN_SECONDS) / speed, rate, int(piece))


def _message(call: Call) -> dict[str, Any]:
    """The message of a `message_start` event."""
    kind: dict[str, Any] = {
        "id": call.message_id,
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [],
    }
    return {**kind, "stop_reason": None, "stop_sequence": None, "usage": dict(call.usage)}


def _final_delta(call: Call) -> dict[str, Any]:
    return {
        "stop_reason": call.stop_reason,
        "stop_sequence": call.stop_sequence,
        "stop_details": call.stop_details,
        **({"container": call.container} if call.container else {}),
    }


def _start(block: Block) -> dict[str, Any]:
    return {**block, block["type"]: ""} if _growing_text(block) else dict(block)


def _growing_text(block: Block) -> str:
    """The text of a block that is streamed in pieces; empty for a block that is sent whole.

    Text with lone surrogates is sent whole, since it would change when it is cut and joined.
    """
    text = block.get(block["type"]) if block["type"] in _DELTAS else ""
    return text if isinstance(text, str) and whole_text(text) == text else ""


def _pieces(text: str, characters: int) -> Iterator[str]:
    """Pieces of a text, of `characters` at most, cut after white space where there is any."""
    at = 0
    while at < len(text):
        end = at + characters
        if end < len(text):
            end = max(text.rfind(" ", at, end), text.rfind("\n", at, end)) + 1 or end
        yield text[at:end]
        at = end


# --- what changed -------------------------------------------------------------------------------------


def difference(request: Request, records: Records, cell_id: str | None) -> str:
    """One line of text: how a request differs from its closest recorded turn."""
    recorded = closest_record(request, records, cell_id)
    if recorded is None:
        return "this question is not in the record"
    found = list(_changed_settings(recorded.params, request.settings))
    found += _changed_prompt(
        "the prompt", _without_results(recorded.messages[0]), _without_results(request.params["messages"][-1])
    )
    above = list(itertools.takewhile(lambda turn: turn.id != recorded.id, records.turns))
    found += _changed_history(recorded, above, request)
    if not found:
        return _changed_above(recorded, above)
    more = [f"and {len(found) - SHOWN_DIFFERENCES} more"] if len(found) > SHOWN_DIFFERENCES else []
    return "; ".join(found[:SHOWN_DIFFERENCES] + more)


def closest_record(request: Request, records: Records, cell_id: str | None) -> Turn | None:
    """The recorded turn that is closest to a request: the cell's own, else the newest with the same prompt."""
    own = [turn for turn in records.turns if cell_id is not None and turn.cell_id == cell_id]
    text = text_of(_without_results(request.params["messages"][-1]))
    close = own or [turn for turn in records.turns if text_of(_without_results(turn.messages[0])) == text]
    return max(close, key=lambda turn: turn.created, default=None)


def _without_results(prompt: Message) -> tuple[Block, ...]:
    """A prompt's own blocks, without the tool results that `request.build` puts before them."""
    return tuple(itertools.dropwhile(lambda block: block["type"] == "tool_result", blocks(prompt)))


def _changed_settings(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    before, after = _comparable(then), _comparable(now)
    for name in [*_FLAGS, *sorted((before.keys() | after.keys()) - _FLAGS.keys())]:
        if before.get(name) == after.get(name):
            continue
        label, was, is_now = _FLAGS.get(name) or _excerpt(name), before.get(name), after.get(name)
        if name == "system" and isinstance(was, str) and isinstance(is_now, str):
            yield _changed_text(label, was, is_now)
        else:
            yield _recorded_and_now(label, _setting_text(was), _setting_text(is_now))


def _setting_text(value: Any) -> str:
    """A parameter's value as text for the reader: of an object, its values except `display`."""
    if value is None:
        return "unset"
    if isinstance(value, list) and all(isinstance(each, Mapping) and each.get("name") for each in value):
        value = ", ".join(str(each["name"]) for each in value)
    if isinstance(value, Mapping) and set(map(type, value.values())) <= {str, int}:
        value = " ".join(str(item) for name, item in value.items() if name != "display")
    try:
        return _excerpt(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    except (ValueError, TypeError, RecursionError):
        return "unreadable"


def _recorded_and_now(label: str, then: str, now: str) -> str:
    return f"{label}: recorded {then}, now {now}" if then != now else f"{label} has changed"


def _changed_prompt(label: str, then: Sequence[Block], now: Sequence[Block]) -> list[str]:
    before, after = text_of(tuple(then)), text_of(tuple(now))
    if before != after:
        return [_changed_text(label, before, after)]
    others = [[block for block in prompt if block["type"] != "text"] for prompt in (then, now)]
    if others[0] == others[1]:
        return []
    return [_recorded_and_now(f"what goes along with {label}", *map(_block_counts, others))]


def _block_counts(content: Iterable[Block]) -> str:
    kinds = Counter(_excerpt(block["type"]) for block in content)
    return ", ".join(f"{count} {kind}" for kind, count in list(kinds.items())[:SHOWN_DIFFERENCES]) or "nothing"


def _changed_above(recorded: Turn, above: Iterable[Turn]) -> str:
    """The text for a request that differs only in its digest."""
    if any(turn.created > recorded.created and turn.chat == recorded.chat and not turn.replayed for turn in above):
        return "this was recorded before a cell above it changed: it has to be asked again"
    return "an earlier cell has another answer than when this was recorded: run the cells above in order"


def _changed_history(recorded: Turn, above: Iterable[Turn], request: Request) -> list[str]:
    """How the conversation before the prompt differs. Empty if that cannot be told: the recorded turns above have to be
    those that it was asked after, which the digest shows."""
    history = [turn for turn in above if turn.chat == recorded.chat and not (turn.once or recorded.once)]
    try:
        rebuilt = _rebuild(history, recorded)
    except RecursionError:  # untrusted data may be nested deeply
        return []
    if rebuilt.prefix != recorded.prefix:
        return []
    then, now = _prompts(rebuilt), _prompts(request)
    if len(then) != len(now):
        return [f"the conversation before it: {turns_of(len(then))} when recorded, {turns_of(len(now))} now"]
    for number, (before, after) in enumerate(zip(then, now, strict=True), 1):
        if changed := _changed_prompt(f"the prompt of turn {number} above", before, after):
            return changed
    return []


def _rebuild(history: Iterable[Turn], recorded: Turn) -> Request:
    return build.rebuild(Conversation(tuple(history)), recorded)


def _prompts(request: Request) -> list[tuple[Block, ...]]:
    """The prompts before the last one."""
    sent = [_without_results(message) for message in request.params["messages"][:-1] if message["role"] == "user"]
    return [prompt for prompt in sent if prompt]


def _changed_text(label: str, then: str, now: str) -> str:
    """A phrase with both texts from the first word in which they differ."""
    before, after = _one_line(then), _one_line(now)
    if before == after:
        return f"{label} differs in spaces, or in characters that do not show"
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
    start = max(before.rfind(" ", 0, same) + 1, same - EXCERPT_CHARACTERS // 2)
    lead = "…" if start else ""
    return f"{label}: recorded “{lead}{_excerpt(before[start:])}”, now “{lead}{_excerpt(after[start:])}”"


def _excerpt(text: str) -> str:
    return short(_one_line(text), EXCERPT_CHARACTERS)


def _one_line(text: str) -> str:
    """Text on one line, without control characters and marks of writing direction."""
    shown = text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)
    return join_line(shown)
