"""Text forms of objects are the same in each run: no addresses, and sets in order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from claude_magic.content.stable_text import brief, in_order, stable, without_addresses

A = "0x7fb90bd23760"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Foo at 0x7fb90bd23760>", "<Foo>"),
        ("Generator(PCG64) at 0x7FB90BD23760", "Generator(PCG64)"),
        (f"<Expr ['[(col(\"a\"))]'] at {A}>", "<Expr ['[(col(\"a\"))]']>"),
        (f"Node({A})", "Node"),
        (f"Node[{A}]", "Node"),
        (f"<Node {{{A}}}>", "<Node >"),
        (f"<Node {A}>", "<Node>"),
        (f"<Node: {A}>", "<Node>"),
        (f"Node@{A}", "Node"),
        (f"Pointer(to={A}, size=8)", "Pointer(to=…, size=8)"),
        (f"don't: <Foo at {A}> can't", "don't: <Foo> can't"),
        ("<Foo at 0x00007FB90BD23760>", "<Foo>"),
        (f"<bound method A.f of <A object at {A}>>", "<bound method A.f of <A object>>"),
    ],
)
def test_an_address_goes_whatever_brackets_it_stands_in(text: str, expected: str) -> None:
    assert without_addresses(text) == expected


@pytest.mark.parametrize("text", [f"['at {A}']", "0xFF00FF", "color=0xFFAABBCC", f'{{"id": "{A}"}}', "x at 3"])
def test_what_is_in_quotes_or_is_a_number_stays(text: str) -> None:
    assert stable(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tag(names={'b', 'a'}, sizes={2, 1})", "Tag(names={'a', 'b'}, sizes={2, 1})"),
        ("{frozenset({'b', 'a'}), frozenset({'c'})}", "{frozenset({'a', 'b'}), frozenset({'c'})}"),
        ("{'k': {'y', 'x'}}", "{'k': {'x', 'y'}}"),
        ("{'it: x', 'a'}", "{'a', 'it: x'}"),
        ("{<Color.B: 2>, <Color.A: 1>}", "{<Color.A: 1>, <Color.B: 2>}"),
    ],
)
def test_sets_in_a_repr_are_in_order(text: str, expected: str) -> None:
    assert stable(text) == expected


@pytest.mark.parametrize(
    "text", ["{'b': 1, 'a': 2}", "{(1, 'b'): 2, (0, 'a'): 3}", "Point{2, 1}", r"\frac{b, a}", "{b, a}", "'{z, a}'", "{"]
)
def test_what_is_no_set_stays_as_it_is(text: str) -> None:
    assert stable(text) == text


def test_a_brief_form_cuts_no_address_in_half_and_orders_sets() -> None:
    class Long:
        def __repr__(self) -> str:
            return f"<{'x' * 40} at {A}>"

    assert brief([Long()]) == "[<xxxxxxxxxxxx...xxxxxxxxxxxxx>]"
    assert brief({1, "a", None}) == "{None, 1, 'a'}"
    assert in_order({"b", "a"}) == ["a", "b"]


PROGRAM = """
import dataclasses, enum
from claude_magic.content.stable_text import brief
from claude_magic.prompt.prompt import prompt_content
@dataclasses.dataclass
class Tags:
    names: set
class Color(enum.Enum):
    RED = 1; BLUE = 2; GREEN = 3
words = {"one", "two", "three", "four"}
values = [words, frozenset(words), Tags(words), [{"k": words}], {frozenset(words), 1, None}, set(Color), Tags,
          {("a", 1), ("b", 2), ("c", 3)}, object(), [object()] * 2, lambda: 0, {Tags, Color, int},
          {str(number) for number in range(1_500)}]
for value in values:
    print(prompt_content("{{value}}", {"value": value})[0]["text"])
"""


@pytest.mark.slow
def test_two_kernels_give_the_same_text() -> None:
    shown = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    (one,) = shown
    assert "{'four', 'one', 'three', 'two'}" in one and "0x" not in one
