"""What values say of themselves, by `_repr_claude_` or by a function registered with `show_as`."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from PIL import Image

from claude_magic import show_as
from claude_magic.content.images import image_block
from claude_magic.content.parts import Limits
from claude_magic.errors import UsageError
from claude_magic.prompt.prompt import prompt_content
from support.prompt_blocks import picture, refusal, text


class Says:
    """Says what it is given."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def _repr_claude_(self) -> Any:
        if isinstance(self.given, Exception):
            raise self.given
        return self.given

    def __repr__(self) -> str:
        return "plain"


@pytest.fixture
def registered() -> Iterator[list[type | str]]:
    """What is registered is taken back."""
    kinds: list[type | str] = []
    yield kinds
    for kind in kinds:
        show_as(kind, None)


PNG = image_block(Image.new("RGB", (3, 2)))
PDF = base64.b64encode(b"%PDF-1.4\n").decode()


def test_an_object_says_itself_what_claude_sees() -> None:
    assert text("<{{s}}>", s=Says("{{text}} and ```")) == "<{{text}} and ```>"
    assert text("{{s}}", s=Says({"type": "text", "text": "a block"})) == "a block"
    (block,) = prompt_content("{{s}}", {"s": Says(PNG)})
    assert picture(block).size == (3, 2)
    kinds = [block["type"] for block in prompt_content("{{s}}", {"s": Says(["one", PNG, "two"])})]
    assert kinds == ["text", "image", "text"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, "title": "A"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "text"}},
        {"type": "search_result", "source": "a", "title": "b", "content": [{"type": "text", "text": "c"}]},
    ],
)
def test_blocks_that_a_prompt_can_hold_go_as_they_are(block: dict[str, Any]) -> None:
    assert prompt_content("{{s}}", {"s": Says(block)}) == [block]


@pytest.mark.parametrize(
    "given",
    [
        42,
        b"bytes",
        [3],
        {},
        {"type": "tool_use"},
        {"type": ["text"]},
        {"type": "text"},
        {"type": "text", "text": " "},
        {"type": "text", "text": "a", "cache_control": {"type": "for ever"}},
        {"type": "text", "text": "a", "cache_control": 3},
        {"type": "text", "text": {1, 2}},
        {"type": "image"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "not base64!"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}},
        {"type": "document", "source": {"type": "text", "data": "a"}, "title": 3},
        {"type": "search_result", "source": "a", "title": "b", "content": []},
        {"type": "search_result", "source": "a", "title": "b", "content": "text"},
    ],
)
def test_what_is_no_content_is_refused_by_the_name_of_who_gave_it(given: Any) -> None:
    error = refusal("{{s}}", s=Says(given))
    assert "Says" in error.message
    assert "Nothing was sent" in error.advice


def test_an_object_that_fails_to_say_it_is_shown_otherwise_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="_repr_claude_ for Says failed: RuntimeError: no"):
        assert text("{{s}}", s=Says(RuntimeError("no"))) == "plain"
    assert text("{{s}}", s=Says(None)) == "plain"


def test_what_an_object_says_is_within_its_room() -> None:
    (block,) = prompt_content("{{s}}", {"s": Says(["x" * 10_000] * 3)}, limits=Limits(value_tokens=300))
    assert len(block["text"]) <= 1_050
    assert block["text"].count("shortened") == 3


def test_a_class_is_its_source_even_if_its_instances_say_something() -> None:
    assert text("{{Says}}", Says=Says).startswith("class Says:")


def test_an_object_in_a_list_says_it_too() -> None:
    assert text("{{each}}", each=[Says("mine"), 2]) == "each[0]:\n    mine\neach[1]: 2"


def test_a_type_is_shown_as_its_function_says_and_its_subclasses_too(registered: list[type | str]) -> None:
    class Narrow(Fraction):
        pass

    registered.extend([Fraction, Narrow])
    assert show_as(Fraction, lambda value: f"{value.numerator} over {value.denominator}") is None
    assert text("{{f}}", f=Fraction(1, 2)) == "1 over 2"
    assert text("{{f}}", f=Narrow(1, 2)) == "1 over 2"
    show_as(Narrow, lambda value: "narrow")
    assert text("{{f}}", f=Narrow(1, 2)) == "narrow"
    assert show_as(Fraction, None) is not None
    assert text("{{f}}", f=Fraction(1, 2)) == "1/2"


def test_a_type_is_named_before_its_module_is_imported(registered: list[type | str]) -> None:
    registered.extend(["decimal.Decimal", "not_there.Thing"])
    show_as("not_there.Thing", lambda value: "never")
    show_as("decimal.Decimal", lambda value: "by name")
    assert text("{{d}}", d=Decimal(1)) == "by name"
    assert "not_there" not in sys.modules
    show_as("decimal.Decimal", None)
    assert text("{{d}}", d=Decimal(1)) == "1"


def test_a_registered_function_comes_before_what_the_object_says(registered: list[type | str]) -> None:
    registered.append(Says)
    show_as(Says, lambda value: "registered")
    assert text("{{s}}", s=Says("own")) == "registered"
    show_as(Says, lambda value: None)
    assert text("{{s}}", s=Says("own")) == "own"


def test_show_as_is_a_decorator(registered: list[type | str]) -> None:
    registered.append(Says)

    @show_as(Says)
    def shown(value: Any) -> str:
        return "decorated"

    assert text("{{s}}", s=Says("own")) == shown(None) == "decorated"


@pytest.mark.parametrize("kind", [3, "Decimal", "a b.C", None])
def test_what_is_no_type_is_refused(kind: Any) -> None:
    with pytest.raises(UsageError, match="wants a type"):
        show_as(kind, str)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(UsageError, match="wants a function"):
        show_as(Decimal, "text")  # type: ignore[call-overload]


def test_the_package_is_light_to_import() -> None:
    heavy = ("PIL", "narwhals", "IPython", "pandas", "numpy", "anthropic", "nbformat")
    program = f"import sys, claude_magic; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"
