"""`--tools`: what Claude is told of functions, and what cannot be one of its tools."""

from __future__ import annotations

import dataclasses
import enum
import functools
import threading
import typing
from typing import Annotated, Any, Literal

import pydantic
import pytest

from claude_magic import errors
from claude_magic.tools import calls, functions


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2


class Shop(typing.TypedDict, total=False):
    """A shop."""

    name: str
    open: bool


class Order(pydantic.BaseModel):
    weight: float


def of(function: Any, name: str = "f") -> functions.Tool:
    return functions.of(function, name)


def schema_of(function: Any) -> dict[str, Any]:
    schema = of(function).definition["input_schema"]
    assert schema["type"] == "object"
    return schema["properties"]


def test_the_signature_is_the_schema() -> None:
    def f(a: int, b: str, c: float = 1.5, d: bool = False, e: list[int] | None = None, *, g: dict[str, int]) -> None:
        """Do."""

    schema = of(f).definition["input_schema"]
    kinds = {name: each.get("type") for name, each in schema["properties"].items()}
    assert kinds == {"a": "integer", "b": "string", "c": "number", "d": "boolean", "e": None, "g": "object"}
    assert schema["required"] == ["a", "b", "g"] and schema["additionalProperties"] is False
    assert schema["properties"]["c"]["default"] == 1.5
    assert of(f).definition["description"] == "Do."


def test_types_of_the_reader_are_told_and_made() -> None:
    def f(a: Literal["x", "y"], b: Colour, c: Point, d: list[Shop], e: Order, g: typing.Optional[Shop] = None) -> Any:  # noqa: UP045
        return a, b, c, d, e, g

    given = {"a": "x", "b": "blue", "c": {"x": "1"}, "d": [{"name": "n"}], "e": {"weight": 2}, "g": {"open": True}}
    made = ("x", Colour.BLUE, Point(1, 2), [{"name": "n"}], Order(weight=2), {"open": True})
    assert of(f).call(given) == made
    assert schema_of(f)["a"]["enum"] == ["x", "y"]
    assert of(f).definition["input_schema"]["$defs"]["Shop"]["description"] == "A shop."


GOOGLE = """Look it up.

    In the list.

    Args:
        where (str): The place,
            if any.
    """
NUMPY = """Look it up.

    In the list.

    Parameters
    ----------
    where : str
        The place,
        if any.
    """
SPHINX = """Look it up.

    In the list.

    :param where: The place,
        if any.
    """


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_parameters_are_described_in_the_docstring(doc: str) -> None:
    def f(where: str) -> None: ...

    f.__doc__ = doc
    assert " ".join(schema_of(f)["where"]["description"].split()) == "The place, if any."
    assert of(f).definition["description"].split() == ["Look", "it", "up.", "In", "the", "list."]


def test_annotated_says_what_a_parameter_is() -> None:
    def f(a: Annotated[int, "how many"], b: Annotated[str, pydantic.Field(description="which", min_length=2)]) -> None:
        """Do.

        Args:
            a: something else
        """

    assert schema_of(f)["a"]["description"] == "how many" and schema_of(f)["b"]["description"] == "which"
    with pytest.raises(functions.ArgumentsRefused, match="b: "):
        of(f).call({"a": 1, "b": "x"})


class Stay(typing.TypedDict):
    city: Annotated[str, pydantic.Field(description="where to stay")]
    nights: typing.NotRequired[Annotated[int, pydantic.Field(description="how many, at least one")]]


def test_descriptions_in_the_standard_librarys_typed_dict_reach_claude() -> None:
    def book(stay: Stay) -> None: ...

    stay = of(book).definition["input_schema"]["$defs"]["Stay"]
    assert stay["properties"]["city"]["description"] == "where to stay"
    assert stay["properties"]["nights"]["description"] == "how many, at least one"
    assert stay["required"] == ["city"]


def test_odd_names_of_parameters_and_positional_ones_are_called_as_they_are() -> None:
    def f(_a: int, /, model_config: int, schema: int = 3, *, self: int = 4) -> tuple[int, ...]:
        return _a, model_config, schema, self

    assert of(f).call({"_a": 1, "model_config": 2, "self": 5}) == (1, 2, 3, 5)


def test_a_default_tells_the_type_where_it_can() -> None:
    def f(a: int, loud=False, times=3): ...  # type: ignore[no-untyped-def]

    assert schema_of(f)["loud"]["type"] == "boolean" and schema_of(f)["times"]["type"] == "integer"


def test_methods_partials_and_callable_objects_are_tools() -> None:
    class Shelf:
        """A shelf."""

        def take(self, count: int) -> int:
            """Take some."""
            return count

        def __call__(self, at: int) -> int:
            return at

    shelf = Shelf()
    taken, called = functions.named("shelf.take,shelf", {"shelf": shelf}, {})
    partial = of(functools.partial(shelf.take), "p")
    assert taken.name == "take" and taken.definition["description"] == "Take some." and taken.call({"count": 2}) == 2
    assert called.name == "shelf" and called.call({"at": 1}) == 1
    assert partial.call({"count": 4}) == 4


def test_tools_of_the_sdk_are_what_they_say() -> None:
    import anthropic

    @anthropic.beta_tool(name="look-up", strict=True)
    def look(city: str) -> str:
        """Look it up."""
        return f"in {city}"

    tool = of(look, "look")
    assert tool.name == "look-up" and tool.definition["strict"] is True
    assert tool.call({"city": "Oslo"}) == "in Oslo"
    with pytest.raises(functions.ArgumentsRefused, match="city: Missing"):
        tool.call({"town": 1})


@pytest.mark.parametrize(
    ("given", "said"),
    [({}, "a: Field required"), ({"a": "x"}, "a: Input should be a valid integer"), ({"a": 1, "z": 2}, "z: Extra")],
)
def test_arguments_that_do_not_fit_run_nothing(given: dict[str, Any], said: str) -> None:
    ran = []

    def f(a: int) -> None:
        ran.append(a)

    content, failed = calls.run(of(f), given)
    assert said in content[0]["text"] and failed == {"is_error": True} and ran == []


def annotated_by_nothing(x): ...  # type: ignore[no-untyped-def]


def any_number(*xs: int) -> None: ...


def of_any_name(x: int, **more: int) -> None: ...


def of_a_frame(x: threading.Thread) -> None: ...


def größe(x: int) -> None: ...


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("anotated", r"there is no name 'anotated'.*Did you mean annotated"),
        ("qqq", r"Built in are python"),
        ("number", r"of type int, and cannot be called"),
        ("annotated", r"parameter x has no annotation"),
        ("any_number", r"\*args"),
        ("of_any_name", r"\*\*kwargs.*names its parameters"),
        ("of_a_frame", r"a type that JSON cannot hold.*Thread"),
        ("größe", r"no such name"),
        ("f,f", r"two tools of the name f"),
        ("f.nope", r"has no attribute 'nope'"),
    ],
)
def test_what_cannot_be_a_tool_is_said_before_anything_is_sent(wanted: str, said: str) -> None:
    def f(a: int) -> None: ...

    namespace = {
        **{"f": f, "annotated": annotated_by_nothing, "number": 3, "any_number": any_number},
        "of_any_name": of_any_name,
        **{"of_a_frame": of_a_frame, "größe": größe},
    }
    with pytest.raises(errors.UsageError, match=said) as caught:
        functions.named(wanted, namespace, {"python": of(f, "python")})
    assert "Nothing was sent" in str(caught.value)
