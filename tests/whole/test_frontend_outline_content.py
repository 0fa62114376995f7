"""What the outline says of records and of what the kernel knows, by node: chats, rows, marks and totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claude_magic.conversation import record
from claude_magic.conversation.turns import Call, Turn
from claude_magic.models import STAND_IN
from claude_magic.render.export.assets import STALE
from claude_magic.render.turn import header_output
from support.scripts import run_script

pytestmark = pytest.mark.slow  # each test starts node

# The outline without the cells.
SAID = """(({state, cells}) => {
  const known = state && {...state, turns: new Map(Object.entries(state.turns))}
  const {total, note, chats, stale, more} = content.outline(record.turns(models(cells)), known)
  const rows = each => each.rows.map(({turn, prompt, cost, marks}) => [prompt, cost, ...marks])
  const listed = chats.map(each => [each.name, each.total, rows(each)])
  return {total, note, more, stale: stale.map(each => each.id), chats: listed}
})(given)"""


def turn(name: str, **changes: Any) -> Turn:
    """A turn that cost $0.014 without caching."""
    call = Call(
        "claude-opus-5-5", {"input_tokens": 1000, "output_tokens": 200}, request_id=name, stop_reason="end_turn"
    )
    messages = (
        {"role": "user", "content": [{"type": "text", "text": f"Question {name}?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "So it is."}]},
    )
    return replace(Turn(name, messages, (call,), created=1.0), **changes)


def cell(metadata: Mapping[str, Any], source: str = "%%claude\nx") -> dict[str, Any]:
    """A cell with one output."""
    return {"id": "c", "source": source, "outputs": [{"metadata": metadata}]}


def own(one: Turn) -> dict[str, Any]:
    """The cell of a turn."""
    return cell(header_output(one)[1])


def known(**changes: Any) -> dict[str, Any]:
    """What the kernel says of a turn."""
    return {"stands": True, "stale": False, "cost": "0.5", "marks": [], **changes}


def said(folder: Path, cells: Sequence[Mapping[str, Any]], **turns: Any) -> dict[str, Any]:
    """What the outline says; the kernel says nothing where it is given no turn."""
    state = {"notebook": "1.25", "turns": turns} if turns else None
    return dict(run_script(folder, SAID, {"cells": cells, "state": state}))


def test_without_the_kernel_the_records_say_it(tmp_path: Path) -> None:
    cells = [own(turn("a")), own(turn("b", chat="other")), own(turn("c", status="interrupted"))]
    outline = said(tmp_path, cells)
    each = outline["chats"][1][1]
    assert each.startswith("$0.0") and outline["note"] == "" and outline["stale"] == [] and outline["more"] == 0
    (main, main_total, main_rows), other = outline["chats"]
    assert main == "main" and main_rows == [["Question a?", each], ["Question c?", each, "interrupted"]]
    assert other == ["other", each, [["Question b?", each]]]
    assert [2 * float(each[1:]), 3 * float(each[1:])] == [float(main_total[1:]), float(outline["total"][1:])]


def test_what_the_kernel_says_goes_first(tmp_path: Path) -> None:
    cells = [own(turn(name)) for name in "abc"]
    outline = said(tmp_path, cells, a=known(), b=known(stale=True, cost="≥0.25", marks=["■ interrupted"]))
    assert outline["total"] == "$1.25" and outline["stale"] == ["b"]
    ((_, _, (first, second, third)),) = outline["chats"]
    assert first == ["Question a?", "$0.5000"] and second == ["Question b?", "≥$0.2500", STALE, "■ interrupted"]
    assert third[2:] == ["not in the conversation"]


def test_a_replay_is_marked_with_the_kernel_too(tmp_path: Path) -> None:
    replayed = turn("a", calls=(replace(turn("a").calls[0], replayed=True),))
    for turns in ({}, {"a": known(marks=["cut off at max_tokens"])}):
        ((_, _, (row,)),) = said(tmp_path, [own(replayed)], **turns)["chats"]
        assert row[2] == "replayed"


def test_the_stand_in_is_said_once_where_it_made_all(tmp_path: Path) -> None:
    by_stand_in = [turn(name, calls=(replace(turn(name).calls[0], provider="offline"),)) for name in "ab"]
    outline = said(tmp_path, [own(each) for each in by_stand_in])
    assert outline["note"] == STAND_IN and all(len(row) == 2 for row in outline["chats"][0][2])
    mixed = said(tmp_path, [own(by_stand_in[0]), own(turn("c"))])
    assert mixed["note"] == "" and [row[2:] for row in mixed["chats"][0][2]] == [[STAND_IN], []]


def test_compared_turns_and_maps_have_their_rows(tmp_path: Path) -> None:
    compared = cell(record.metadata(turn("a"), [turn("b")]))
    mapped = {"version": 1, "map": {"id": "m", "dollars": "0.5", "at_least": False, "provider": "anthropic"}}
    outline = said(tmp_path, [compared, cell({"claude_magic": mapped}, "%%claude_map rows\n\nSay {{item}}")])
    (_, _, rows), maps = outline["chats"]
    assert [row[2:] for row in rows] == [[], ["compared"]]
    assert maps == ["%%claude_map", "$0.5000", [["Say {{item}}", "$0.5000"]]]


@pytest.mark.parametrize(("shown", "count"), [([turn("a")], 1), ([], 1), ([turn("b")], 2)])
def test_a_turn_that_was_brought_back_is_listed_once(tmp_path: Path, shown: list[Turn], count: int) -> None:
    brought_back = cell(record.guests_metadata([turn("a")]), "%claude_undo")
    ((_, _, rows),) = said(tmp_path, [*map(own, shown), brought_back], a=known(), b=known())["chats"]
    assert len(rows) == count and all(len(row) == 2 for row in rows)


def test_a_cell_that_brought_a_stale_turn_back_does_not_run_again(tmp_path: Path) -> None:
    brought_back = cell(record.guests_metadata([turn("a")]), "%claude_undo")
    outline = said(tmp_path, [brought_back, own(turn("b"))], a=known(stale=True), b=known(stale=True))
    assert outline["stale"] == ["b"] and all(row[2] == STALE for row in outline["chats"][0][2])


def test_the_total_of_an_old_record_comes_with_the_kernel_if_no_call_counts_twice(tmp_path: Path) -> None:
    calls = turn("a").calls
    old = [cell(record.metadata(each)) for each in (turn("a"), turn("b"), turn("c", calls=(*calls, *turn("c").calls)))]
    for each in old:
        each["outputs"][0]["metadata"]["claude_magic"].pop("cost", None)
    assert said(tmp_path, old[:2])["chats"][0][1] == "n/a"
    turns = {name: known() for name in "abc"}
    assert said(tmp_path, old[:2], **turns)["chats"][0][1] == "$1.00"
    assert said(tmp_path, old, **turns)["chats"][0][1] == "n/a"


def test_a_thousand_rows_are_listed_and_the_rest_is_counted(tmp_path: Path) -> None:
    many = record.guests_metadata([turn(str(number)) for number in range(1_234)])
    outline = said(tmp_path, [cell(many)])
    assert len(outline["chats"][0][2]) == 1_000 and outline["more"] == 234


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "<b>x</b>", ""])
def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    outline = said(tmp_path, [own(turn(name, chat=name)), own(turn("b", chat="b"))], b=known(stale=True))
    assert [each[0] for each in outline["chats"]] == [name, "b"] and outline["stale"] == ["b"]
