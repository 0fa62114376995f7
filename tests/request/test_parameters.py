"""What we send is what the installed SDK's types say may be sent, and what the strict stand-in takes."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import http.client
import io
import itertools
import json
import operator
import os
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Required, Union, get_args, get_origin

import pydantic
import pytest
import typing_extensions
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_message_create_params
from PIL import Image

from claude_magic import models, offline
from claude_magic.content.images import image_block
from claude_magic.conversation.turns import Call, Conversation, Turn
from claude_magic.errors import UsageError
from claude_magic.options import FIELDS, Options
from claude_magic.request.build import Request, build

# Values for what an option takes where it has no choices; any other metavar takes what it can parse.
VALUES: Mapping[str, tuple[str, ...]] = {
    "DOMAINS": ("python.org,numpy.org/doc",),
    "SERVER": ("https://mcp.example.com/mcp",),
    "TYPE": ('{"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false}',),
    "PLACE": ("us", "global"),
    "WHERE": ("Reykjavik, IS", "San Francisco, California, US, America/Los_Angeles", "Europe/Berlin"),
    "CHOICE": ("look_up",),
    "N": ("2048",),
    "KIND": ("2048",),
    "WHEN": ("70000",),
}
LOOK_UP = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}
ANYTHING = ("x1", "2048", "0.50")
# Tried in turn where the default model does not take an option.
OTHER_MODELS = ("claude-haiku-5-5", "claude-sonnet-5-5", "claude-sonnet-4-6", "claude-haiku-4-5")

# The SDK's types as pydantic's


@functools.cache
def adapter(params: Any) -> pydantic.TypeAdapter[Any]:
    return pydantic.TypeAdapter(mirror(params))


@functools.cache
def mirror(annotation: Any) -> Any:
    """A type that pydantic validates to the end: dictionaries with no other keys, lists where any iterable will do."""
    if typing_extensions.is_typeddict(annotation):
        return _dictionary(annotation)
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        kept = tuple(type_ for each in inside if (type_ := mirror(each)) is not typing.Never)
        return functools.reduce(operator.or_, kept) if kept else typing.Never
    if origin in (collections.abc.Iterable, list) or getattr(origin, "__name__", "") == "SequenceNotStr":
        return list[mirror(inside[0])]  # type: ignore[misc]
    if origin in (dict, collections.abc.Mapping):
        return dict[str, mirror(inside[1])]  # type: ignore[misc]
    if origin is typing.Annotated:
        return mirror(inside[0])
    return typing.Never if _only_in_python(origin or annotation) else annotation


def _dictionary(params: Any) -> Any:
    """The same keys, the required ones required, and no others."""
    fields = {}
    for name, hint in typing_extensions.get_type_hints(params, include_extras=True).items():
        required = get_origin(hint) in (Required, typing_extensions.Required)
        inner = mirror(get_args(hint)[0] if required else hint)
        fields[name] = Required[inner] if required else inner
    made = typing_extensions.TypedDict(params.__name__, fields, total=False)  # type: ignore[operator]
    made.__pydantic_config__ = pydantic.ConfigDict(extra="forbid", strict=True)
    return made


def _only_in_python(kind: Any) -> bool:
    """Files, paths and the SDK's own models: they never are JSON."""
    model = isinstance(kind, type) and issubclass(kind, pydantic.BaseModel | os.PathLike | io.IOBase)
    return model or kind is typing.IO


def schema_of(asked: Request) -> pydantic.TypeAdapter[Any]:
    module = beta_message_create_params if asked.betas else message_create_params
    return adapter(module.MessageCreateParamsStreaming)


def refused(asked: Request, **changes: Any) -> str:
    """What the SDK's types say against a request; empty where they take it."""
    body = json.loads(json.dumps({**asked.params, **changes}))
    try:
        schema_of(asked).validate_python(body)
    except pydantic.ValidationError as error:
        return str(error)
    return ""


# What may be asked


def values(field: dataclasses.Field[Any]) -> list[Any]:
    """Values for an option, as its parser gives them."""
    about = field.metadata
    if not about["metavar"]:
        return [True]
    choices = about["choices"] if isinstance(about["choices"], tuple) else ()
    words = (*choices, *VALUES.get(about["metavar"], () if choices else ANYTHING))
    found = []
    for word in words:
        try:
            found.append(about["parse"](word))
        except ValueError:
            assert word in ANYTHING, f"{about['flags'][0]} does not take {word!r}: give its metavar a row in VALUES"
    assert found, f"no value for {about['flags'][0]}: give its metavar a row in VALUES"
    return [(value,) for value in found] if about["repeat"] else found


OPTIONS = [(field.name, value) for field in FIELDS for value in values(field)]
PAIRS = [dict(pair) for pair in itertools.combinations(OPTIONS, 2) if pair[0][0] != pair[1][0]]


@functools.cache
def spoken() -> tuple[Conversation, tuple[dict[str, Any], ...]]:
    """A conversation of one turn, and a prompt of words and a picture."""
    picture = io.BytesIO()
    Image.new("RGB", (20, 10)).save(picture, "PNG")
    source = {"type": "text", "media_type": "text/plain", "data": "Owls hoot."}
    document = {"type": "document", "source": source}
    content = (document, {"type": "text", "text": "What is this?"}, image_block(picture.getvalue()))
    asked = build(Conversation(), [{"type": "text", "text": "Hello."}], Options())
    reply = {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]}
    call = Call(models.DEFAULT_MODEL, stop_reason="end_turn")
    turn = Turn("t1", (*asked.params["messages"], reply), (call,), cell_id="c1", prefix=asked.prefix)
    return Conversation().with_turn(turn), content


def built(**options: Any) -> Request:
    history, content = spoken()
    return build(history, content, Options(**options), tools=[LOOK_UP] if "tool_choice" in options else ())


def accepted(options: Mapping[str, Any]) -> Request | None:
    """The request, by the first model that takes these options; `None` where we refuse them on every one."""
    for model in (options["model"],) if "model" in options else (models.DEFAULT_MODEL, *OTHER_MODELS):
        try:
            return built(**{**options, "model": models.resolve(model)})
        except UsageError:
            continue
    return None


@pytest.fixture(scope="module")
def answering() -> Iterator[Any]:
    """Asks a stand-in over one connection: the status and the answer's beginning."""
    server = offline.start()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))

    def ask(asked: Request) -> tuple[int, str]:
        headers = {"x-api-key": "k", "anthropic-beta": ",".join(asked.betas)}
        connection.request("POST", "/v1/messages", asked.as_json().encode(), headers)
        response = connection.getresponse()
        return response.status, response.read()[:300].decode()

    yield ask
    connection.close()
    server.stop()


@pytest.mark.slow
def test_every_option_alone_is_taken_by_the_sdks_types_and_the_stand_in(answering: Any) -> None:
    for name, value in OPTIONS:
        asked = accepted({name: value})
        assert asked is not None, f"{name}={value!r} is refused on every model"
        assert refused(asked) == "", (name, value)
        status, answer = answering(asked)
        assert status == 200, (name, value, answer)


@pytest.mark.slow
def test_every_pair_of_options_is_taken_or_refused_by_ourselves(answering: Any) -> None:
    answered: dict[str, Any] = {}
    wrong, skipped = [], 0
    for options in PAIRS:
        asked = accepted(options)
        if asked is None:
            skipped += 1
        elif (body := f"{asked.betas}{asked.as_json()}") not in answered:
            assert refused(asked) == "", options
            answered[body] = answering(asked)
            if answered[body][0] != 200:
                wrong.append((options, answered[body][1]))
    print(f"{len(PAIRS)} pairs: {len(answered)} different requests, {skipped} refused before sending")
    assert not wrong, f"{len(wrong)} requests, of which the first are {wrong[:5]}"
    assert skipped < len(PAIRS) / 3
    assert len(answered) > len(OPTIONS)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_tokens": "many"},
        {"colour": "red"},
        {"stream": False},
        {"speed": "slow"},
        {"metadata": {"user": "x"}},
        {"thinking": {"type": "adaptive", "budget": 3}},
        {"cache_control": {"type": "ephemeral", "ttl": "2h"}},
        {"messages": [{"role": "user", "content": [{"type": "text", "words": "x"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "id": 1}]}]},
        {"messages": [{"role": "tool", "content": "x"}]},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_wrong(changes: dict[str, Any]) -> None:
    assert refused(built()) == "" != refused(built(), **changes)


def test_the_schema_wants_what_is_required() -> None:
    asked = built()
    params = {name: value for name, value in asked.params.items() if name != "max_tokens"}
    assert "max_tokens" in refused(dataclasses.replace(asked, params=params))


@pytest.mark.drift
def test_beta_parameters_are_in_the_beta_schema_only() -> None:
    asked = built(compact="auto")
    assert asked.betas and refused(asked) == ""
    assert "context_management" in refused(dataclasses.replace(asked, betas=()))


def test_choices_are_choices_of_the_sdk() -> None:
    """The mirror keeps literals: otherwise it would prove nothing of them."""
    tiers = typing_extensions.get_type_hints(message_create_params.MessageCreateParamsBase)["service_tier"]
    assert mirror(tiers) == tiers and get_origin(tiers) is Literal
