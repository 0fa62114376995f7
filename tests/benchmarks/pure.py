"""The parts that touch neither network nor kernel: accumulator, request, Markdown."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from markdown_it import MarkdownIt

from benchmarks import sample
from benchmarks.table import Row, best
from benchmarks.wire import MODEL
from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.turns import Call, Conversation, Turn
from claude_magic.options import Options
from claude_magic.render.live import live
from claude_magic.render.markup.renderer import Growing, rendered
from claude_magic.request import build

REPETITIONS = 8
FEW_DELTAS, MANY_DELTAS = 2_000, 32_000
CONSTANT_WITHIN = 1.5
TURNS = (100, 1_000)
TURN_CHARACTERS = 1_500
LENGTHS = (40_000, 200_000)
# How fast the answer grows between two refreshes: a fast model's 250 tokens in a second.
CHARACTERS_PER_SECOND = 1_000


def rows() -> Iterator[Row]:
    """All rows of the pure parts."""
    yield _accumulator_row()
    yield from _request_rows()
    for length in LENGTHS:
        yield from _markdown_rows(length)
    yield _last_step_row(LENGTHS[0])


def _accumulator_row() -> Row:
    few, many = (_events(count) for count in (FEW_DELTAS, MANY_DELTAS))
    found = best({"few": lambda: _seconds(_accumulate, few), "many": lambda: _seconds(_accumulate, many)}, REPETITIONS)
    each_of_few, each_of_many = 1e6 * found["few"] / len(few), 1e6 * found["many"] / len(many)
    what = f"accumulator alone, per delta, at {MANY_DELTAS:,}"
    return Row(what, each_of_many, "µs", each_of_few, f"at {FEW_DELTAS:,}", max_ratio=CONSTANT_WITHIN)


def _accumulate(events: list[Any]) -> str:
    accumulator = Accumulator()
    for event in events:
        accumulator.add(event)
    return accumulator.text


def _events(count: int) -> list[Any]:
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
        for piece in sample.pieces(count)
    ]
    start = {"type": "message_start", "message": {"model": MODEL, "content": [], "usage": {}}}
    return [start, {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, *deltas]


def _request_rows() -> Iterator[Row]:
    """Each length beside `json.dumps`; and that ten times the turns take ten times as long, no more."""
    few, many = (_request_row(count) for count in TURNS)
    yield from (few, many)
    assert few.ours and many.ours
    what = f"  its time for a turn, of {TURNS[1]:,}"
    yield Row(
        what,
        1000 * many.ours / TURNS[1],
        "µs",
        1000 * few.ours / TURNS[0],
        f"of {TURNS[0]:,}",
        max_ratio=CONSTANT_WITHIN,
    )


def _request_row(count: int) -> Row:
    history = Conversation(tuple(_turn(number) for number in range(count)))
    built = functools.partial(build.build, history, [{"type": "text", "text": "And then?"}], Options(model=MODEL))
    messages = built().params["messages"]
    found = best({"build": lambda: _seconds(built), "dumps": lambda: _seconds(json.dumps, messages)}, REPETITIONS)
    what = f"request after {count:,} turns ({len(json.dumps(messages)) / 1e6:.1f} MB)"
    return Row(what, 1000 * found["build"], "ms", 1000 * found["dumps"], "json.dumps of its messages")


def _turn(number: int) -> Turn:
    asked = {"role": "user", "content": [{"type": "text", "text": f"What about {number}?"}]}
    replied = {"role": "assistant", "content": [{"type": "text", "text": sample.text(TURN_CHARACTERS)}]}
    return Turn(id=str(number), cell_id=str(number), messages=(asked, replied), calls=(Call(model=MODEL),))


def _markdown_rows(length: int) -> Iterator[Row]:
    text = sample.text(length)
    ends = growth(length)
    steps = [_steps(Growing().parts, text, ends) for _ in range(2)]
    parser = MarkdownIt("gfm-like", {"linkify": False})
    once = 1000 * min(_seconds(parser.parse, text) for _ in range(2))
    total = min(sum(each) for each in steps)
    beside = "markdown-it-py's parse, once"
    what = f"Growing().parts, growing to {length // 1000} KB in {len(ends)} steps"
    yield Row(f"{what}: total", total, "ms", once, beside)
    worst = max(min(pair) for pair in zip(*steps, strict=True))
    yield Row(f"{what}: worst", worst, "ms", once, beside)


def _last_step_row(length: int) -> Row:
    """What the last refresh of a live answer costs, beside a whole refresh of it."""
    text = sample.text(length)
    ends = growth(length)
    last = min(_steps(Growing().parts, text, ends)[-1] for _ in range(2))
    whole = 1000 * min(_seconds(rendered, text) for _ in range(2))
    return Row(f"  its last step at {length // 1000} KB", last, "ms", whole, "rendered() of the whole", max_ratio=1.0)


def growth(length: int) -> list[int]:
    """Where the text stands at each refresh of the live view, until it is whole."""
    ends, at = [], 0
    while at < length:
        at = min(length, at + max(1, round(max(live.REFRESH_SECONDS * CHARACTERS_PER_SECOND, at / live.GROWTH))))
        ends.append(at)
    return ends


def _steps(render: Callable[[str], str], text: str, ends: list[int]) -> list[float]:
    """Milliseconds of CPU of each step."""
    return [1000 * _seconds(render, text[:end]) for end in ends]


def _seconds(action: Callable[..., object], *arguments: object) -> float:
    began = time.process_time()
    action(*arguments)
    return time.process_time() - began
