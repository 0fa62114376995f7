"""Python functions → tools: definitions for the API, and calls with validated arguments.

Pydantic makes the schema from the signature, and validates the arguments before the function runs. An SDK tool
(`beta_tool`) has its own definition.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..content.safely import one_line
from ..errors import UsageError
from ..notebook.scope import places
from .output_schema import api_schema
from .typed_dict import with_extended_typed_dicts

# The API's rule for the name of a tool.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
# The types of a default value that can stand for a missing annotation.
_DEFAULT_TYPES = (bool, int, float, str)
_ADVICE = "Nothing was sent."


class ArgumentsRefused(ValueError):
    """Claude's arguments do not fit the function's signature; the function did not run."""


@dataclass(frozen=True)
class Tool:
    """A tool that Claude can call; `definition` is the API's parameter, in wire form.

    `call` takes Claude's arguments and returns a value or an awaitable; it raises `ArgumentsRefused` before it runs
    anything. A definition without a function has none: the API runs it, or its calls are left to the reader.
    `reads_only` says that a call has no side effects. `option` is the option that offers it.
    """

    name: str
    definition: Mapping[str, Any]
    call: Callable[[Mapping[str, Any]], Any] | None
    reads_only: bool = False
    option: str = "--tools"


def named(wanted: str, namespace: Mapping[str, Any], built_in: Mapping[str, Tool]) -> tuple[Tool, ...]:
    """The tools in a comma-separated list of names, `a,obj.method`; a function in the notebook hides a built-in tool,
    and a list stands for all that is in it.

    Raises `UsageError` for a name that does not exist, is no function, or has no schema for the API.
    """
    found = [tool for name in wanted.split(",") for tool in _found(name, namespace, built_in)]
    for at, tool in enumerate(found):
        if tool.name in [each.name for each in found[:at]]:
            raise UsageError(
                f"--tools has two tools of the name {tool.name}.",
                advice=f"Bind one of them to another name. {_ADVICE}",
            )
    return tuple(found)


def strict(tool: Tool) -> Tool:
    """The tool with `strict`: the API holds Claude's arguments to its schema. Raises `UsageError` if it cannot.

    A definition in wire form stays as it is.
    """
    if tool.call is None:
        return tool
    schema, _ = api_schema(tool.definition["input_schema"], tool.name, "--strict-tools")
    return replace(tool, definition={**tool.definition, "input_schema": schema, "strict": True})


def of(value: Any, name: str) -> Tool:
    """Make a tool of a callable, an SDK tool or a definition in wire form. Raises `UsageError` for others."""
    if isinstance(value, Mapping):
        return _checked(_of_definition(value, name))
    if callable(getattr(value, "to_dict", None)) and callable(getattr(value, "call", None)):
        return _checked(_of_sdk(value, name))
    if not callable(value):
        raise UsageError(
            f"--tools {name}: it is of type {type(value).__name__}, and cannot be called.",
            advice=f"A tool is a function, or a definition as the API takes it. {_ADVICE}",
        )
    return _checked(_of_function(value, name))


def _found(name: str, namespace: Mapping[str, Any], built_in: Mapping[str, Tool]) -> list[Tool]:
    first, *rest = name.split(".")
    value = namespace.get(first)
    if name in built_in and not callable(value) and not isinstance(value, Mapping | list | tuple):
        return [built_in[name]]
    if first not in namespace:
        known = [each for each in namespace if each[:1] != "_" and callable(namespace[each])]
        close = difflib.get_close_matches(first, [*known, *built_in], n=1)
        guess = f"Did you mean {close[0]}? " if close else f"Built in are {', '.join(built_in)}. "
        where = places(namespace, " in the notebook")
        raise UsageError(f"--tools {name}: there is no name {first!r}{where}.", advice=f"{guess}{_ADVICE}")
    for attribute in rest:
        try:
            value = getattr(value, attribute)
        except Exception as error:
            failure = one_line(error)
        else:
            continue
        raise UsageError(f"--tools {name}: {failure}.", advice=_ADVICE)
    if not isinstance(value, list | tuple):
        return [of(value, name)]
    if not value:
        raise UsageError(f"--tools {name}: the list is empty.", advice=_ADVICE)
    return [of(each, str(getattr(each, "__name__", f"{name}_{at}"))) for at, each in enumerate(value)]


def _checked(tool: Tool) -> Tool:
    if not _NAME.fullmatch(tool.name):
        raise UsageError(
            f"--tools {tool.name}: the API takes no such name for a tool.",
            advice=f"It takes up to 128 of the letters a-z and A-Z, digits, _ and -. {_ADVICE}",
        )
    return tool


def _of_definition(given: Mapping[str, Any], name: str) -> Tool:
    """A definition in wire form, as it is: of a tool of the API's, or of one whose calls are left to the reader."""
    definition = {key: value for key, value in given.items() if key != "cache_control"}
    kind = definition.get("type", "custom")
    if not isinstance(definition.get("name"), str) or not isinstance(kind, str):
        raise UsageError(f"--tools {name}: a definition has a name.", advice=_ADVICE)
    if kind == "custom" and not isinstance(definition.get("input_schema"), Mapping):
        raise UsageError(f"--tools {name}: a definition has an input_schema.", advice=_ADVICE)
    try:
        copied = json.loads(json.dumps(definition))
    except (TypeError, ValueError, RecursionError):
        copied = None
    if copied is None:
        raise UsageError(f"--tools {name}: the definition is not JSON.", advice=_ADVICE)
    return Tool(copied["name"], copied, None, reads_only=True)


# --- tools of the SDK ---------------------------------------------------------------------------------


def _of_sdk(tool: Any, name: str) -> Tool:
    """A tool of `beta_tool` and similar (SDK 2.12, lib/tools/_beta_functions.py), by its methods, without an import."""
    try:
        definition = {key: value for key, value in dict(tool.to_dict()).items() if key != "cache_control"}
        return Tool(str(definition["name"]), definition, lambda given: _call_sdk_tool(tool, given))
    except Exception as error:
        failure = one_line(error)
    raise UsageError(f"--tools {name}: its to_dict() fails ({failure}).", advice=_ADVICE)


def _call_sdk_tool(tool: Any, given: Mapping[str, Any]) -> Any:
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
    definition = {"name": last, "input_schema": _schema(model, name)}
    if doc.description:
        definition["description"] = doc.description
    return Tool(last, definition, lambda given: _call_function(function, parameters, model, given))


@dataclass(frozen=True)
class _Documentation:
    description: str
    parameters: Mapping[str, str]


def _documentation(function: Callable[..., Any]) -> _Documentation:
    """The description and parameters in a docstring of Google's, NumPy's or Sphinx's style."""
    import docstring_parser

    own = function if inspect.isroutine(function) or inspect.isclass(function) else type(function).__call__
    text = inspect.getdoc(own) or (inspect.getdoc(function) or "" if own is not function else "")
    if not inspect.isroutine(function) and text == inspect.getdoc(object.__call__):  # a functools.partial, say
        text = inspect.getdoc(getattr(function, "func", function)) or ""
    try:
        parsed = docstring_parser.parse(text)
    except Exception:  # another style
        return _Documentation(text.strip(), {})
    texts = [parsed.short_description, parsed.long_description]
    if parsed.returns is not None and parsed.returns.description:
        texts.append(f"Returns: {parsed.returns.description}")
    described = {each.arg_name.split()[0].rstrip(":"): each.description for each in parsed.params if each.arg_name}
    return _Documentation(
        "\n\n".join(each for each in texts if each), {key: value for key, value in described.items() if value}
    )


def _parameters(function: Callable[..., Any], name: str) -> list[inspect.Parameter]:
    """The parameters that Claude can give, each with a type. Raises `UsageError` if one has none."""
    try:
        found = list(inspect.signature(function, eval_str=True).parameters.values())
    except Exception as error:  # no signature, as for some C functions, or an annotation that cannot be evaluated
        failure = one_line(error)
    else:
        if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in found):
            raise UsageError(
                f"--tools {name}: it takes *args, but Claude gives arguments by name.",
                advice=f"Write a function around it with a list as its parameter. {_ADVICE}",
            )
        if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in found):
            raise UsageError(
                f"--tools {name}: it takes **kwargs, and Claude must know what it can give.",
                advice=f"Write a function around it that names its parameters. {_ADVICE}",
            )
        return [_typed(each, name) for each in found]
    raise UsageError(f"--tools {name}: its signature cannot be read ({failure}).", advice=_ADVICE)


def _typed(parameter: inspect.Parameter, name: str) -> inspect.Parameter:
    if parameter.annotation is not inspect.Parameter.empty:
        return parameter
    if type(parameter.default) in _DEFAULT_TYPES:
        return parameter.replace(annotation=type(parameter.default))
    raise UsageError(
        f"--tools {name}: its parameter {parameter.name} has no annotation, and Claude must know what to give.",
        advice=f"Write {parameter.name}: int, or whatever it is. {_ADVICE}",
    )


def _arguments(parameters: Iterable[inspect.Parameter], doc: _Documentation, name: str) -> Any:
    """A pydantic model of the arguments. Its fields are numbered, since pydantic refuses some names that Python allows.

    Raises `UsageError` if pydantic cannot make it.
    """
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
    """The description of a parameter in `Annotated`: text, pydantic's `Field(description=…)`, or a `Doc`."""
    for each in getattr(annotation, "__metadata__", ()):
        text = each if isinstance(each, str) else getattr(each, "description", getattr(each, "documentation", None))
        if isinstance(text, str) and text:
            return text
    return None


def _schema(model: Any, name: str) -> dict[str, Any]:
    """The JSON schema of the arguments, without the titles that pydantic makes from their names."""
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic warns of a default that is not JSON, and leaves it out
            schema: dict[str, Any] = model.model_json_schema(schema_generator=Untitled)
    except Exception as error:
        failure = one_line(error).partition(" For further")[0]
    else:
        schema.pop("title", None)
        return schema
    raise _not_json(name, failure)


def _not_json(name: str, failure: str) -> UsageError:
    return UsageError(
        f"--tools {name}: one of its parameters has a type that JSON cannot hold ({failure}).",
        advice=f"Claude gives text, numbers, lists and objects. {_ADVICE}",
    )


def _call_function(
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
    """The errors that pydantic found, one on each line."""
    found = errors(include_url=False, include_input=False, include_context=False)
    return "\n".join(f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found)
