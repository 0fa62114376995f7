"""Python functions → tools: their definitions for the API, and calls with checked arguments.

The schema is made from the signature by pydantic, which also checks the arguments before anything runs. A tool of the
SDK (`beta_tool`) brings its own definition.
"""

from __future__ import annotations

import difflib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..content.safely import one_line
from ..errors import UsageError
from .typed_dict import with_extended_typed_dicts

# The API's own rule for the name of a tool.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# What a default says of a parameter that has no annotation.
_TELLING_DEFAULTS = (bool, int, float, str)
_ADVICE = "Nothing was sent."


class ArgumentsRefused(ValueError):
    """What Claude gave does not fit the function's signature; the function did not run."""


@dataclass(frozen=True)
class Tool:
    """Something that Claude can call: `definition` is what the API is told, in wire form.

    `call` takes the arguments that Claude gave, and returns a value or an awaitable; it raises `ArgumentsRefused`
    before it runs anything. `reads_only` says that nothing can come of a call but its result.
    """

    name: str
    definition: Mapping[str, Any]
    call: Callable[[Mapping[str, Any]], Any]
    reads_only: bool = False


def named(wanted: str, namespace: Mapping[str, Any], built_in: Mapping[str, Tool]) -> tuple[Tool, ...]:
    """The tools of a list of names, `a,obj.method`; the notebook's own come before the built-in ones.

    Raises `UsageError` for what is no function, or cannot be told to Claude.
    """
    found = [_found(name, namespace, built_in) for name in wanted.split(",")]
    for at, tool in enumerate(found):
        if tool.name in [each.name for each in found[:at]]:
            raise UsageError(
                f"--tools has two tools of the name {tool.name}.",
                advice=f"Bind one of them to another name. {_ADVICE}",
            )
    return tuple(found)


def of(value: Any, name: str) -> Tool:
    """A function, a method, anything that can be called, or an SDK tool, as a tool. Raises `UsageError`."""
    if callable(getattr(value, "to_dict", None)) and callable(getattr(value, "call", None)):
        return _checked(_of_sdk(value, name))
    if not callable(value):
        raise UsageError(
            f"--tools {name}: it is of type {type(value).__name__}, and cannot be called.",
            advice=f"A tool is a function. {_ADVICE}",
        )
    return _checked(_of_function(value, name))


def _found(name: str, namespace: Mapping[str, Any], built_in: Mapping[str, Tool]) -> Tool:
    first, *rest = name.split(".")
    value = namespace.get(first)
    if name in built_in and not callable(value):
        return built_in[name]
    if first not in namespace:
        known = [each for each in namespace if each[:1] != "_" and callable(namespace[each])]
        close = difflib.get_close_matches(first, [*known, *built_in], n=1)
        guess = f"Did you mean {close[0]}? " if close else f"Built in are {', '.join(built_in)}. "
        raise UsageError(f"--tools {name}: there is no name {first!r} in the notebook.", advice=f"{guess}{_ADVICE}")
    for attribute in rest:
        try:
            value = getattr(value, attribute)
        except Exception as error:
            failure = one_line(error)
        else:
            continue
        raise UsageError(f"--tools {name}: {failure}.", advice=_ADVICE)
    return of(value, name)


def _checked(tool: Tool) -> Tool:
    if not _NAME.fullmatch(tool.name):
        raise UsageError(
            f"--tools {tool.name}: the API takes no such name for a tool.",
            advice=f"It takes up to 128 of the letters a-z and A-Z, digits, _ and -. {_ADVICE}",
        )
    return tool


# --- tools of the SDK ---------------------------------------------------------------------------------


def _of_sdk(tool: Any, name: str) -> Tool:
    """`beta_tool` and its kin (SDK 2.12, lib/tools/_beta_functions.py), by what they can do: nothing is imported."""
    try:
        told = {key: value for key, value in dict(tool.to_dict()).items() if key != "cache_control"}
        return Tool(str(told["name"]), told, lambda given: _called_by_sdk(tool, given))
    except Exception as error:
        failure = one_line(error)
    raise UsageError(f"--tools {name}: its to_dict() fails ({failure}).", advice=_ADVICE)


def _called_by_sdk(tool: Any, given: Mapping[str, Any]) -> Any:
    try:
        return tool.call(dict(given))
    except ValueError as error:
        wrong = getattr(error.__cause__, "errors", None)
        if not str(error).startswith("Invalid arguments for function") or not callable(wrong):
            raise
        refused = _wrong(wrong)
    raise ArgumentsRefused(refused)


# --- functions ----------------------------------------------------------------------------------------


def _of_function(function: Callable[..., Any], name: str) -> Tool:
    last = name.rpartition(".")[2]
    doc = _documentation(function)
    parameters = _parameters(function, name)
    model = _arguments(parameters, doc, name)
    told = {"name": last, "input_schema": _schema(model, name)}
    if doc.description:
        told["description"] = doc.description
    return Tool(last, told, lambda given: _called(function, parameters, model, given))


@dataclass(frozen=True)
class _Documentation:
    description: str
    parameters: Mapping[str, str]


def _documentation(function: Callable[..., Any]) -> _Documentation:
    """What a docstring says, in Google's, NumPy's or Sphinx's form."""
    import docstring_parser

    own = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    text = inspect.getdoc(own) or (inspect.getdoc(function) or "" if own is not function else "")
    if not inspect.isroutine(function) and text == inspect.getdoc(object.__call__):  # a functools.partial, say
        text = inspect.getdoc(getattr(function, "func", function)) or ""
    try:
        parsed = docstring_parser.parse(text)
    except Exception:  # a form of its own
        return _Documentation(text.strip(), {})
    said = [parsed.short_description, parsed.long_description]
    if parsed.returns is not None and parsed.returns.description:
        said.append(f"Returns: {parsed.returns.description}")
    described = {each.arg_name.split()[0].rstrip(":"): each.description for each in parsed.params if each.arg_name}
    return _Documentation(
        "\n\n".join(each for each in said if each), {key: value for key, value in described.items() if value}
    )


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """What Claude can give: each parameter with a type. Raises `UsageError`."""
    try:
        found = list(inspect.signature(function, eval_str=True).parameters.values())
    except Exception as error:  # none, as of some that are written in C, or an annotation that cannot be read
        failure = one_line(error)
    else:
        if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in found):
            raise UsageError(
                f"--tools {name}: Claude gives arguments by name, and it takes any number (*args).",
                advice=f"Write a function around it with a list as its parameter. {_ADVICE}",
            )
        return [_typed(each, name) for each in found if each.kind is not inspect.Parameter.VAR_KEYWORD]
    raise UsageError(f"--tools {name}: its signature cannot be read ({failure}).", advice=_ADVICE)


def _typed(parameter: inspect.Parameter, name: str) -> inspect.Parameter:
    if parameter.annotation is not inspect.Parameter.empty:
        return parameter
    if type(parameter.default) in _TELLING_DEFAULTS:
        return parameter.replace(annotation=type(parameter.default))
    raise UsageError(
        f"--tools {name}: its parameter {parameter.name} has no annotation, and Claude must know what to give.",
        advice=f"Write {parameter.name}: int, or whatever it is. {_ADVICE}",
    )


def _arguments(parameters: Iterable[inspect.Parameter], doc: _Documentation, name: str) -> Any:
    """A pydantic model of the arguments. Its fields are numbered: pydantic takes not every name that Python does."""
    import pydantic

    fields: dict[str, Any] = {}
    for number, each in enumerate(parameters):
        facts = {} if each.default is inspect.Parameter.empty else {"default": each.default}
        if about := _description(each.annotation) or doc.parameters.get(each.name):
            facts["description"] = about
        try:
            taken = with_extended_typed_dicts(each.annotation)
        except (TypeError, NameError, RecursionError, AttributeError):
            taken = each.annotation
        fields[f"p{number}"] = (taken, pydantic.Field(alias=each.name, **facts))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pydantic.create_model("Arguments", __config__={"extra": "forbid"}, **fields)
    except Exception as error:
        failure = one_line(error).partition(": ")[2].partition(". ")[0]
    raise _not_json(name, failure)


def _description(annotation: Any) -> str | None:
    """What `Annotated` says of a parameter: text, pydantic's `Field(description=…)`, or a `Doc`."""
    for each in getattr(annotation, "__metadata__", ()):
        said = each if isinstance(each, str) else getattr(each, "description", getattr(each, "documentation", None))
        if isinstance(said, str) and said:
            return said
    return None


def _schema(model: Any, name: str) -> dict[str, Any]:
    """The JSON schema of the arguments, without the titles that pydantic makes of their names."""
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a default that JSON has not is left out
            schema: dict[str, Any] = model.model_json_schema(schema_generator=Untitled)
    except Exception as error:
        failure = one_line(error).partition(" For further")[0]
    else:
        schema.pop("title", None)
        return schema
    raise _not_json(name, failure)


def _not_json(name: str, failure: str) -> UsageError:
    return UsageError(
        f"--tools {name}: one of its parameters is nothing that JSON can hold ({failure}).",
        advice=f"Claude gives text, numbers, lists and objects. {_ADVICE}",
    )


def _called(
    function: Callable[..., Any], parameters: Iterable[inspect.Parameter], model: Any, given: Mapping[str, Any]
) -> Any:
    import pydantic

    try:
        parsed, refused = model.model_validate(dict(given)), ""
    except pydantic.ValidationError as error:
        parsed, refused = None, _wrong(error.errors)
    if parsed is None:
        raise ArgumentsRefused(refused)
    args, kwargs = [], {}
    for number, each in enumerate(parameters):
        if each.kind is inspect.Parameter.POSITIONAL_ONLY:
            args.append(getattr(parsed, f"p{number}"))
        elif f"p{number}" in parsed.model_fields_set:
            kwargs[each.name] = getattr(parsed, f"p{number}")
    return function(*args, **kwargs)


def _wrong(errors: Callable[..., Any]) -> str:
    """What pydantic found, a line each."""
    found = errors(include_url=False, include_input=False, include_context=False)
    return "\n".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found)
