"""What the page reads from records and adds up, by node, beside what Python says: the same figures, whatever a record
holds."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_magic.conversation import record
from claude_magic.conversation.turns import Call, Turn
from claude_magic.cost import ledger, pricing
from claude_magic.cost.pricing import Cost
from claude_magic.render.live.columns import at_rest
from claude_magic.render.turn import header_output
from support.scripts import run_script

pytestmark = pytest.mark.slow  # each test starts node

AMOUNTS = ["0", "0.5", "0.00005", "0.000041", "0.99995", "0.999949", "1", "999.995", "1234.5", "1000000.005", "0.0042"]
AMOUNTS += ["0.00995", "0.009949", "1e-12", "123456789012", "0.1234567890123456789012345678901234567890"]
COSTS = st.builds(
    Cost,
    st.none()
    | st.decimals(0, 10**11, places=18, allow_nan=False)
    | st.integers(0, 10**6).map(lambda n: Decimal(n) / 10**9),
    st.booleans(),
)
CALL = {"usage": {"input_tokens": 1000, "output_tokens": 77}, "stop_reason": "end_turn", "provider": "anthropic"}


def turn(name: str, *calls: Call, **changes: Any) -> Turn:
    """A turn of these calls."""
    said = ({"role": "user", "content": [{"type": "text", "text": f"question {name}"}]},)
    reply = {"role": "assistant", "content": [{"type": "text", "text": "So it is."}]}
    return Turn(name, (*said, reply), calls, params={"model": "claude-opus-5-5"}, **changes)


def call(name: str, **changes: Any) -> Call:
    """A call that cost something."""
    return Call(**{"model": "claude-opus-5-5", "request_id": name, "started": 1.75e9, **CALL, **changes})


def cells(*metadata: Any) -> list[dict[str, Any]]:
    """A cell with an output for each record."""
    return [{"id": f"cell {at}", "outputs": [{"metadata": each}]} for at, each in enumerate(metadata)]


def summed(folder: Path, *metadata: Any) -> str:
    """What the page says that these records cost."""
    return str(run_script(folder, "cost.dollars(record.sum(record.turns(models(given))))", cells(*metadata)))


def read(folder: Path, *metadata: Any) -> list[dict[str, Any]]:
    """What the page reads from these records."""
    program = """record.turns(models(given)).map(({kind, id, chat, prompt, cost: paid, marks, index, calls}) =>
      ({kind, id, chat, prompt, cost: cost.dollars(paid), marks, index, calls: calls.map(each => each.key)}))"""
    return list(run_script(folder, program, cells(*metadata)))


def test_the_page_writes_dollars_as_python_does(tmp_path: Path) -> None:
    costs = [Cost(Decimal(each), at_least) for each in AMOUNTS for at_least in (False, True)] + [Cost(None)]
    texts = [pricing.exact(each) for each in costs]
    said = run_script(tmp_path, "given.map(text => cost.dollars(cost.parse(text)))", texts)
    assert said == [str(each) for each in costs]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(COSTS, max_size=6), min_size=1, max_size=30))
def test_the_page_adds_as_python_does(tmp_path: Path, lists: list[list[Cost]]) -> None:
    texts = [[pricing.exact(each) for each in costs] for costs in lists]
    said = run_script(tmp_path, "given.map(each => cost.dollars(cost.total(each.map(cost.parse))))", texts)
    assert said == [str(pricing.total(costs)) for costs in lists]


def test_what_is_no_cost_is_unknown(tmp_path: Path) -> None:
    odd = ["", "$1", "-1", "1e5", "1.", ".5", "≤1", "≥≥1", "1,000", " 1", "1 ", "0x1", "NaN", "1" * 13, 1, None, []]
    said = run_script(tmp_path, "given.map(text => cost.dollars(cost.parse(text)))", ["1", *odd])
    assert list(zip(odd, said[1:], strict=True)) == [(each, "n/a") for each in odd] and said[0] == "$1.00"


def test_a_record_has_the_exact_cost_of_each_call(tmp_path: Path) -> None:
    asked = turn("one", call("a"), call("b", stop_reason=None), call("c", replayed=True))
    _, metadata = header_output(asked)
    assert metadata["claude_magic"]["cost"] == [pricing.exact(pricing.call_cost(each)) for each in asked.calls]
    assert record.record_of(metadata["claude_magic"]).turns == (asked,), "and Python reads the turn without it"
    assert summed(tmp_path, metadata) == str(pricing.turn_cost(asked)) and "≥" in summed(tmp_path, metadata)


def test_each_answer_of_a_comparison_has_its_own_cost(tmp_path: Path) -> None:
    models = ["claude-haiku-5-5", "claude-opus-5-5", "claude-sonnet-5-5"]
    compared = [turn(each, *(call(each + at, model=each) for at in ("a", "b"))) for each in models]
    _, metadata = at_rest({each.id: each for each in compared}, compared[1])
    costs = {each["id"]: each["cost"] for each in read(tmp_path, metadata)}
    assert costs == {each.id: str(pricing.turn_cost(each)) for each in compared} and len({*costs.values()}) == 3


def test_a_prompt_is_listed_as_it_was_typed(tmp_path: Path) -> None:
    typed, other = turn("typed", call("a"), asked="What is in {{sales}}?"), turn("other", call("b"))
    found = read(tmp_path, *(header_output(each)[1] for each in (typed, other)))
    assert [each["prompt"] for each in found] == ["What is in {{sales}}?", "question other"]


def test_the_sum_is_that_of_the_ledger(tmp_path: Path) -> None:
    """Comparisons, a continued reply beside the one that it continues, a copy of a cell, a replay, a map."""
    cut = turn("cut", call("a", stop_reason="max_tokens"))
    whole = turn("whole", *cut.calls, call("b"))
    again = turn("again", *cut.calls, call("c"))
    compared = [turn("opus", call("d")), turn("haiku", call("e", model="claude-haiku-5-5"))]
    replayed = turn("replay", call("a", stop_reason="max_tokens", replayed=True))
    keyless = [turn("x", call("", request_id=None, started=0.0)), turn("y", call("", request_id=None, started=0.0))]
    records = [
        header_output(cut)[1],
        header_output(whole, ["cut"])[1],
        header_output(again, ["cut"])[1],
        at_rest({each.params["model"]: each for each in compared}, compared[0])[1],
        header_output(replayed)[1],
        *(header_output(each)[1] for each in keyless),
        header_output(cut)[1],
    ]
    entries = ledger.entries([cut, whole, again, *compared, replayed, *keyless, cut])
    assert len(entries) == 8, "a, b, c, d, e, the replay of a, and each call without an id"
    mapped = {"claude_magic": {"version": 1, "map": {"id": "m", "dollars": "0.25", "at_least": False}}}
    total = pricing.total([*(pricing.call_cost(each.call) for each in entries), Cost(Decimal("0.25"))])
    assert summed(tmp_path, *records, mapped, mapped) == str(total)


def test_a_record_of_an_earlier_version_has_no_cost(tmp_path: Path) -> None:
    old = record.metadata(turn("one", call("a")))
    del old["claude_magic"]["cost"]
    assert summed(tmp_path, old) == "n/a"
    replay = record.metadata(turn("one", call("a", replayed=True)))
    del replay["claude_magic"]["cost"]
    assert summed(tmp_path, replay) == "$0.00", "a replay costs nothing, whoever recorded it"


def test_what_the_page_reads_of_a_turn(tmp_path: Path) -> None:
    one = turn("one", call("a", stop_reason="max_tokens", provider="offline"), chat="side", status="interrupted")
    two = turn("two", call("b"))
    (first, *others) = read(tmp_path, header_output(one)[1], at_rest({"a": two, "b": one}, two)[1])
    assert first == {
        "kind": "turn",
        "id": "one",
        "chat": "side",
        "prompt": "question one",
        "cost": str(pricing.turn_cost(one)),
        "marks": ["interrupted", "offline stand-in, not Claude", "cut off"],
        "index": 0,
        "calls": ['["a",null,1750000000,false]'],
    }
    assert [(each["kind"], each["id"], each["index"]) for each in others] == [
        ("turn", "two", 1),
        ("compared", "one", 1),
    ]
    guest = header_output(two, ["one"])[1]
    assert [each["kind"] for each in read(tmp_path, guest)] == ["guest"]


def test_a_long_prompt_is_cut_and_stands_on_one_line(tmp_path: Path) -> None:
    text = "a\n\tb\u0000\u202e " + "😀" * 500 + "<img src=x onerror=alert(1)>" * 100_000
    said = ({"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]},)
    (found,) = read(tmp_path, {"claude_magic": {"version": 1, "turn": {"id": "1", "messages": said, "calls": []}}})
    assert found["prompt"] == "a b " + "😀" * 196


HOSTILE: list[Any] = [
    *(None, 1, "turn", [], {}, {"version": 1}, {"version": "1", "turn": {}}, {"version": 2, "turn": {"id": "x"}}),
    *({"version": 1, "turn": each} for each in (None, 1, "x", [], {}, {"id": 1}, {"id": "x", "calls": []})),
    {"version": 1, "turn": {"id": "x" * 301, "messages": [], "calls": []}},
    {"version": 1, "turn": {"id": "x", "messages": {}, "calls": []}},
    {"version": 1, "turn": {"id": "x", "messages": [], "calls": "no"}},
    {"version": 1, "turns": [{"id": "x", "messages": [], "calls": []}, None]},
    {"version": 1, "turns": [{"id": str(at), "messages": [], "calls": []} for at in range(10_001)]},
    {"version": 1, "turn": {"id": "x", "messages": [], "calls": []}, "others": "no"},
    {"version": 1, "map": {"id": 1, "dollars": "1"}},
    {"__proto__": {"version": 1, "turn": {"id": "x", "messages": [], "calls": []}}},
]


def test_a_record_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    assert read(tmp_path, *({"claude_magic": each} for each in HOSTILE), None, {}) == []
    assert summed(tmp_path, *({"claude_magic": each} for each in HOSTILE)) == "$0.00"


def test_what_is_odd_in_a_turn_is_read_as_nothing_or_not_known(tmp_path: Path) -> None:
    odd = {
        "id": "x",
        "chat": 7,
        "messages": [None],
        "status": {},
        "calls": [None, 7, {"started": "x", "stop_reason": 3}],
    }
    held = {"version": 1, "cost": {"0": "1"}, "turn": odd}
    (found,) = read(tmp_path, {"claude_magic": held})
    assert (found["chat"], found["prompt"], found["cost"], found["marks"]) == ("main", "", "n/a", [])
    assert found["calls"] == ["", "", ""]


def test_of_a_million_turns_none_or_so_many_are_read(tmp_path: Path) -> None:
    small = {"id": "x", "messages": [], "calls": [{"request_id": "r"}]}
    many = {"claude_magic": {"version": 1, "turns": [small] * 1_000_000}}
    assert read(tmp_path, many) == []
    full = [{"claude_magic": {"version": 1, "cost": ["1"], "turns": [small] * 10_000}} for _ in range(20)]
    program = "[record.turns(models(given)).length, cost.dollars(record.sum(record.turns(models(given))))]"
    assert run_script(tmp_path, program, cells(*full)) == [100_000, "n/a"], "a sum without the rest would be too low"
    assert summed(tmp_path, *full[:1]) == "$1.00"
