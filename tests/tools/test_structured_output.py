"""`--schema`: what is asked for, what comes of the reply, and what is said where it does not fit."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import typing
from collections.abc import Sequence
from typing import Any

import fastjsonschema
import pydantic
import pytest
import typing_extensions

from claude_magic import offline
from claude_magic.client import Client
from claude_magic.conversation.turns import Call, Conversation, Turn
from claude_magic.errors import SchemaError, UsageError
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.render import export, json_reply
from claude_magic.render.answer import answer_outputs
from claude_magic.render.turn import reply_text
from claude_magic.request import build
from claude_magic.session.question import Question
from claude_magic.session.session import Outcome, Session
from claude_magic.tools import output_schema, structured_output
from support.hostile_markdown import HOSTILE
from support.html_judge import Seen
from support.kernel import Kernel
from support.offline_requests import refusal
from support.sessions import OFFLINE, Reader
from support.turns import text, turn_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Person(pydantic.BaseModel):
    """Somebody."""

    name: str = pydantic.Field(description="in full", min_length=2)
    age: int = pydantic.Field(ge=0, le=150)
    born: datetime.date | None = None
    colour: Colour = Colour.RED


@dataclasses.dataclass
class Pet:
    name: str
    owner: Person
    legs: int = 4


class Place(typing.TypedDict):
    name: str
    inhabitants: typing.NotRequired[int]


class Trip(typing.TypedDict, total=False):
    """A way somewhere."""

    stops: typing.Required[list[Place]]
    by: typing.Literal["foot", "train"] | None


class Later(typing_extensions.TypedDict):
    x: float


class Tree(pydantic.BaseModel):
    leaves: list[Tree]


class Free(pydantic.BaseModel):
    scores: dict[str, int]


class Loose(pydantic.BaseModel):
    thing: Any


class Order(pydantic.BaseModel):
    """Refers to other types, and says what each is for."""

    colour: Colour = pydantic.Field(description="of the frame, not of the wheels")
    pet: Pet = pydantic.Field(description="who rides along")
    spare: Colour | None = pydantic.Field(None, description="if the first is out")
    plain: Colour


AGES = {
    "type": "object",
    "properties": {"people": {"type": "array", "minItems": 2, "items": {"type": "object", "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]"}, "age": {"type": ["integer", "null"], "minimum": 0}},
        "required": ["name"]}}},
    "required": ["people"],
}  # fmt: skip
NAMESPACE: dict[str, Any] = {
    **{each.__name__: each for each in (Person, Pet, Place, Trip, Later, Tree, Free, Loose, Colour, Order)},
    **{"AGES": AGES, "WORDS": {"type": "array", "items": {"type": "string"}}, "typing": typing, "ada": Pet},
}


def shape(source: str) -> structured_output.Shape:
    return structured_output.shape_of(source, NAMESPACE)


def turn(reply: str, stop_reason: str = "end_turn", source: str = "Person") -> Turn:
    format = {"type": "json_schema", "schema": shape(source).schema}
    call = Call("claude-opus-5-5", {"output_tokens": 5}, stop_reason=stop_reason)
    status = "refused" if stop_reason == "refusal" else "complete"
    params = {"model": "claude-opus-5-5", "output_config": {"format": format}}
    return turn_of("t1", "a", [text("?")], [text(reply)], calls=(call,), status=status, params=params)


def value(source: str, data: Any) -> Any:
    return structured_output.read(shape(source), turn(json.dumps(data), source=source))


# --- what is asked for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["Person", "Pet", "Place", "Trip", "Later", "AGES", "WORDS", "list[Person]", "list[Place]", "list[int]", "int",
     "Colour", "Order", "list[Order]", "Literal['a', 'b']",
     "tuple[int, str]", "Person | Pet", "list[Person | None]", "typing.Literal['a', 'b']",
     "{'type': 'object', 'properties': {'a': {'type': 'string', 'format': 'date'}}}"],
)  # fmt: skip
def test_every_kind_becomes_a_schema_that_the_api_takes_and_the_stand_in_answers_with_what_fits(
    standin: offline.Server, source: str
) -> None:
    wanted = shape(source)
    format = {"type": "json_schema", "schema": wanted.schema}
    assert refusal(standin, output_config={"format": format}) == ""
    said = json.loads(standin.replies[-1]["content"][-1]["text"])
    fastjsonschema.compile(wanted.schema)(said)
    assert answer_outputs(turn(json.dumps(said), source=source))


@pytest.mark.drift
def test_the_schema_is_the_sdks_own_for_a_model() -> None:
    from anthropic import transform_schema

    class Order(pydantic.BaseModel):
        people: list[Person]
        total: float = pydantic.Field(gt=0)
        tags: list[str] = pydantic.Field(min_length=1, max_length=3)
        note: str | None = None

    made, holder = output_schema.api_schema(Order.model_json_schema(), "Order")
    assert made == transform_schema(Order) and holder == ""


def test_what_the_api_does_not_keep_to_is_said_in_the_description() -> None:
    age = shape("Person").schema["properties"]["age"]
    assert "maximum: 150" in age["description"] and "maximum" not in age
    ages = shape("AGES").schema["properties"]["people"]
    assert "minItems: 2" in ages["description"] and "minItems" not in ages
    assert [each["type"] for each in ages["items"]["properties"]["age"]["anyOf"]] == ["integer", "null"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("Nobody", "--schema Nobody failed: NameError"),
        ("class", "--schema class is not a Python expression"),
        ("'Person'", "wants a pydantic model"),
        ("5", "wants a pydantic model"),
        ("list", "wants a pydantic model"),
        ("dict", "wants a pydantic model"),
        ("Free", "scores allows any keys"),
        ("dict[str, int]", "allows any keys"),
        ("Loose", "thing may be anything"),
        ("Tree", "Tree holds itself"),
        ("{}", "may be anything"),
        ("{'type': 'array'}", "may be anything"),
        ("{'type': 'colour'}", "has the type 'colour'"),
        ("{'$ref': 'https://evil.org/x'}", "is not in the schema itself"),
        ("{'$ref': '#/$defs/x'}", "refers to 'x'"),
        ("{'type': 'object', 'properties': {'a': {'type': 'string', 'pattern': '('}}}", "is no JSON schema"),
        ("typing.Callable", "--schema"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line_and_nothing_is_sent(source: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        shape(source)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_effort_and_format_are_one_parameter() -> None:
    asked = build.build(Conversation(), [text("?")], Options(effort="low"), schema=shape("Later").schema)
    config = asked.params["output_config"]
    assert config["effort"] == "low" and config["format"]["schema"]["properties"] == {
        "x": {"title": "X", "type": "number"}
    }


def test_cited_documents_and_a_schema_are_refused_before_anything_is_sent() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    schema = shape("Later").schema
    with pytest.raises(UsageError, match="cited"):
        build.build(Conversation(), [document, text("?")], Options(citations=True), schema=schema)
    above = Conversation((turn_of("t1", "a", [{**document, "citations": {"enabled": True}}, text("?")]),))
    with pytest.raises(UsageError, match="--once or in another --chat"):
        build.build(above, [text("?")], Options(), schema=schema)
    assert build.build(Conversation(), [document, text("?")], Options(), schema=schema)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "object", "properties": {}}, "'additionalProperties' must be explicitly set to false"),
        ({"type": "integer", "minimum": 3}, "property 'minimum' is not supported"),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, "'minItems' values other than 0 or 1"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, "Recursive"),
        ({"description": "x"}, "type is missing"),
    ],
)
def test_the_stand_in_refuses_schemas_that_the_api_refuses(
    standin: offline.Server, schema: dict[str, Any], says: str
) -> None:
    assert says in refusal(standin, output_config={"format": {"type": "json_schema", "schema": schema}})


# --- what comes of the reply ----------------------------------------------------------------------------

ADA = {"name": "Ada", "age": 36, "born": "1815-12-10", "colour": "blue"}


def test_each_kind_becomes_its_own_validated_value() -> None:
    ada = Person(name="Ada", age=36, born=datetime.date(1815, 12, 10), colour=Colour.BLUE)
    assert value("Person", ADA) == ada
    assert value("Pet", {"name": "Rex", "owner": ADA}) == Pet("Rex", ada)
    assert value("Trip", {"stops": [{"name": "Rome"}], "by": "foot"}) == {"stops": [{"name": "Rome"}], "by": "foot"}
    assert value("AGES", {"people": [{"name": "A"}, {"name": "B", "age": None}]})["people"][1] == {
        "name": "B",
        "age": None,
    }
    assert value("int", {"value": 5}) == 5 and value("list[Person]", {"items": [ADA]}) == [ada]
    assert value("Colour", {"value": "red"}) is Colour.RED


def test_a_list_of_objects_is_a_dataframe_and_any_other_a_list() -> None:
    import pandas

    people = shape("list[Person]")
    frame, about = structured_output.bound(
        people, structured_output.read(people, turn(json.dumps({"items": [ADA, ADA]})))
    )
    assert isinstance(frame, pandas.DataFrame) and about == "a pandas DataFrame of 2 rows"
    assert list(frame.columns) == ["name", "age", "born", "colour"] and list(frame["age"]) == [36, 36]
    empty, about = structured_output.bound(people, [])
    assert list(empty.columns) == ["name", "age", "born", "colour"] and about.endswith("of 0 rows")
    assert structured_output.bound(shape("WORDS"), ["a"]) == (["a"], "a list of 1 element")
    assert structured_output.bound(shape("Person"), 5) == (5, "")


def test_without_pandas_it_is_polars_and_without_both_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    import polars

    places, rows = shape("list[Place]"), [{"name": "Rome", "inhabitants": 5}, {"name": "Oslo"}]
    monkeypatch.setattr(structured_output, "_libraries", lambda: iter(["polars"]))
    frame, about = structured_output.bound(places, rows)
    assert isinstance(frame, polars.DataFrame) and frame.shape == (2, 2) and "polars" in about
    assert structured_output.bound(places, [])[0].columns == ["name", "inhabitants"]
    monkeypatch.setattr(structured_output, "_libraries", lambda: iter(()))
    assert structured_output.bound(places, rows) == (rows, "a list of 2 elements")


@pytest.mark.parametrize(
    ("source", "data", "says"),
    [
        ("Person", {**ADA, "age": "old"}, "age: Input should be a valid integer"),
        ("Person", {**ADA, "age": 200}, "age: Input should be less than or equal to 150"),
        ("Person", {"name": "Ada"}, "age: Field required"),
        ("Pet", {"name": "Rex", "owner": {**ADA, "born": "never"}}, "owner.born"),
        ("list[Person]", {"items": [ADA, {**ADA, "age": -1}]}, "people[1].age: Input should be greater"),
        ("list[Person]", {"people": []}, "there is no 'items' in it"),
        ("AGES", {"people": [{"name": "A"}, {"name": "B"}, {"name": "C", "age": -3}]}, "people[2].age: must"),
        ("AGES", {"people": [{"name": "A"}]}, "people: must contain at least 2 items"),
        ("AGES", {"people": [{"name": "A"}, {"name": "b"}]}, "people[1].name: must match pattern"),
        ("Trip", {"stops": [{"name": 5}]}, "stops[0].name: Input should be a valid string"),
        ("Person", [], "people: Input should be an object"),
    ],
)
def test_a_reply_that_does_not_fit_says_where(source: str, data: Any, says: str) -> None:
    with pytest.raises(SchemaError) as raised:
        structured_output.read(shape(source), turn(json.dumps(data), source=source), "people")
    assert says in str(raised.value) and "nothing is bound" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("reply", "reason", "says"),
    [
        ('{"items": [{"name": "A", "age": 1}, {"name": "B", "ag', "max_tokens", "cut off at max_tokens, at people[1]"),
        ('{"items": [{"name": "A, {[", "age": ', "max_tokens", "at people[0].age"),
        ("", "max_tokens", "was cut off at max_tokens: it is no"),
        ("I would rather not.", "refusal", "is a refusal: it is no list[Person]"),
        ('{"items": [{"name": "A"', "stop_sequence", "ended at a stop sequence, at people[0].name"),
        ("Here you are: a list.", "end_turn", "is not JSON, at people"),
    ],
)
def test_a_reply_that_is_not_whole_says_where_it_ends(reply: str, reason: str, says: str) -> None:
    with pytest.raises(SchemaError) as raised:
        structured_output.read(shape("list[Person]"), turn(reply, reason, "list[Person]"), "people")
    assert says in str(raised.value)


def test_words_beside_a_reference_reach_claude() -> None:
    schema = shape("Order").schema
    assert schema["properties"]["colour"] == {
        "anyOf": [{"$ref": "#/$defs/Colour"}],
        "description": "of the frame, not of the wheels",
    }
    assert schema["properties"]["pet"]["description"] == "who rides along"
    assert schema["properties"]["plain"] == {"$ref": "#/$defs/Colour"}
    item = {"type": "object", "properties": {"n": {"type": "integer"}}, "description": "own"}
    given = {"$ref": "#/$defs/Item", "description": "beside", "$defs": {"Item": item}}
    made = structured_output.shape_of_value(given, "GIVEN").schema
    assert (made["type"], made["description"]) == ("object", "beside\n\nown")
    old = {"type": "object", "properties": {"x": {"allOf": [{"$ref": "#/$defs/Item"}], "description": "one"}}}
    made = structured_output.shape_of_value({**old, "$defs": {"Item": item}}, "GIVEN").schema
    assert made["properties"]["x"] == {"anyOf": [{"$ref": "#/$defs/Item"}], "description": "one"}


def test_what_was_said_before_a_tool_is_no_part_of_the_json() -> None:
    call = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    asked = turn("x")
    reply = {"role": "assistant", "content": [text("Let me look."), call, found, text('{"x": '), text("1.5}")]}
    assert structured_output.read(shape("Later"), dataclasses.replace(asked, messages=(asked.messages[0], reply))) == {
        "x": 1.5
    }


@pytest.mark.parametrize(
    "wrapped",
    [
        "```json\n{}\n```",
        "```\n{}\n```",
        "  ```JSON \r\n{}\n``` \n",
        "~~~~json\n{}\n~~~~",
        "\ufeff{}",
        "\ufeff```json\n{}\n```",
        "```json\n\ufeff{}```",
        "``` json {} ```",
    ],
)
def test_json_in_a_single_fence_or_behind_a_byte_order_mark_is_read_and_shown_as_json(wrapped: str) -> None:
    """A model or a gateway that does not know `output_config` writes it so."""
    reply = wrapped.format(json.dumps(ADA))
    assert structured_output.read(shape("Person"), turn(reply, source="Person")).age == ADA["age"]
    assert "|" in shown(reply, "Person") and "```" not in shown(reply, "Person")


@pytest.mark.parametrize(
    "wrapped", ["Here: ```json\n{}\n```", "```json\n{}\n```\nand\n```json\n{}\n```", "```json\n{}"]
)
def test_json_among_other_words_is_not_the_reply(wrapped: str) -> None:
    with pytest.raises(SchemaError, match="is not JSON"):
        structured_output.read(shape("Person"), turn(wrapped.replace("{}", json.dumps(ADA)), source="Person"))


# --- what is shown --------------------------------------------------------------------------------------


def shown(data: Any, source: str = "AGES") -> str:
    (bundle,) = answer_outputs(turn(data if isinstance(data, str) else json.dumps(data), source=source))
    assert set(bundle) == {"text/html", "text/markdown", "text/plain"}
    assert not Seen(bundle["text/html"]).wrong and bundle["text/html"]
    markdown: str = bundle["text/markdown"]
    return markdown


def test_a_list_of_objects_is_shown_as_a_table() -> None:
    data = {"items": [{"name": "Ada | L", "age": 36, "tags": ["a", "b"]}, {"name": "Bob", "age": None}]}
    assert shown(data) == (
        '| name | age | tags |\n| --- | ---: | --- |\n| Ada &#124; L | 36 | &#91;"a", "b"&#93; |\n| Bob |  |  |'
    )


def test_an_object_is_shown_with_its_tables_under_their_names() -> None:
    table = shown({"shop": "Oslo", "open": True, "sales": [{"day": "Mon", "sum": 3.5}]})
    assert "| **shop** | Oslo |" in table and "| **open** | true |" in table
    assert table.endswith("**sales**\n\n| day | sum |\n| --- | ---: |\n| Mon | 3.5 |")


@pytest.mark.parametrize("data", [{"value": 5}, {"items": []}, {"items": ["a", "b"]}, {"deep": {"er": [[1], [2]]}}, {}])
def test_whatever_fits_is_shown(data: Any) -> None:
    assert shown(data).strip()


def test_a_long_table_is_shortened_and_says_so_and_the_text_has_it_all() -> None:
    rows = {"items": [{"n": number} for number in range(60)]}
    assert "… and 10 more" in shown(rows)
    (bundle,) = answer_outputs(turn(json.dumps(rows)))
    assert json.loads(bundle["text/plain"]) == rows


def test_json_that_is_not_whole_is_shown_as_it_came() -> None:
    assert shown('{"people": [{"name": "A') == '```json\n{"people": [{"name": "A\n```'


@pytest.mark.parametrize(("name", "payload"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_hostile_values_are_words(name: str, payload: str) -> None:
    from markdown_it import MarkdownIt

    for data in (
        {"items": [{payload: payload, "b": [payload]}]},
        {payload: payload, "x": {payload: [payload]}},
        payload,
    ):
        html = MarkdownIt("commonmark", {"html": True}).enable("table").render(shown(data))
        assert "<script" not in html and "<img" not in html and "<a " not in html and "<iframe" not in html


@pytest.mark.parametrize("form", export.FORMS)
def test_exports_take_such_turns(form: str) -> None:
    made = turn(json.dumps(ADA))
    written = export.export({"main": Conversation((made,))}, form, title="t", stem="t").text
    assert ("json_schema" if form == "py" else "Ada") in written


# --- with the stand-in, and in a kernel -------------------------------------------------------------------


def ask(words: str, source: str, **changes: Any) -> tuple[Session, Outcome]:
    session = Session(Client())
    content: Sequence[Any] = [text(words)]
    question = Question(Options(**changes), content, Cell("a", run="1"), schema=shape(source).schema)
    return session, session.ask(question, OFFLINE, Reader())


def test_the_stand_in_fits_the_same_each_time_or_not_where_it_is_told_so() -> None:
    said = [
        reply_text(outcome.turn)
        for _, outcome in (ask("Ada is 36.", "Person"), ask("Ada is 36.", "Person"))
        if outcome.turn
    ]
    assert said[0] == said[1] and json.loads(said[0])["age"] == 36
    _, outcome = ask("[[misfit]] Ada is 36.", "Person")
    assert outcome.turn is not None
    with pytest.raises(SchemaError, match="colour"):
        structured_output.read(shape("Person"), outcome.turn)


def test_what_does_not_fit_stays_in_the_conversation_and_is_paid_for() -> None:
    session, outcome = ask("[[misfit]] x", "Person")
    assert outcome.joined and len(session.chats.shown["main"]) == 1 and session.spent


def test_schemas_work_in_a_notebook(kernel: Kernel) -> None:
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    kernel.run("from typing import TypedDict\nclass City(TypedDict):\n    name: str\n    people: int")
    printed = kernel.run("%%claude --schema list[City] --out cities\nOslo has 700000 people.")
    assert "cities is a pandas DataFrame of 1 row." in str(printed)
    assert "(1, 2)" in str(kernel.run("print(cities.shape)"))
    failed = kernel.run("cities = 'as before'\n")
    failed = kernel.run("%%claude --schema list[City] --out cities\n[[misfit]] Oslo")
    assert "cities[0].people" in str(failed) and "SchemaError" in str(failed)
    assert "as before" in str(kernel.run("print(cities)"))
    assert "has no" not in str(kernel.run("%claude --schema City --show-request hi"))
    assert json_reply.is_requested({"output_config": {"format": {}}})
