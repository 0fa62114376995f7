"""Structured output (`--schema`): the type of a reply, and the validated value of a JSON reply."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
import sys
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..content.safely import one_line
from ..content.text import join_line, plural
from ..conversation.turns import Turn, text_of
from ..errors import SchemaError, UsageError
from ..notebook.scope import places
from .output_schema import LIST, Schema, api_schema, reference_in
from .typed_dict import with_extended_typed_dicts

MAX_WRONG = 3
KINDS = "a pydantic model, a dataclass, a TypedDict, a JSON schema (a dict), or list[...] of one"
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
# A model or a gateway that does not know `output_config` may put the JSON into a Markdown fence.
_FENCED = re.compile(r"(`{3,}|~{3,})[ \t]*(?:json[c5l]?)?\s+(.*?)\s*\1[`~]*", re.DOTALL | re.IGNORECASE)
_STOPS = {
    "max_tokens": "was cut off at max_tokens",
    "model_context_window_exceeded": "was cut off: the context window is full",
    "refusal": "is a refusal",
    "stop_sequence": "ended at a stop sequence",
}

Path = Sequence[str | int]


class _Misfit(ValueError):
    """A value does not fit the schema; `found` are the paths of the errors, each with its message."""

    def __init__(self, found: Sequence[tuple[Path, str]]) -> None:
        super().__init__()
        self.found = found


@dataclass(frozen=True)
class Shape:
    """The type of a structured reply: `name` is the user's expression, `schema` the JSON schema for the API.

    `holder` is the property around a value that is not an object (else empty). `check` validates plain JSON and returns
    the value; `rows` converts a list of values back to plain data.
    """

    name: str
    schema: Schema
    holder: str
    check: Callable[[Any], Any]
    rows: Callable[[Any], Any]

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, which is bound as a DataFrame."""
        return self.holder == LIST


def shape_of(source: str, namespace: Mapping[str, Any]) -> Shape:
    """The shape for `--schema SOURCE`, an expression in the notebook's namespace.

    Raises `UsageError` if the expression fails, or has no JSON schema that the API takes.
    """
    return shape_of_value(_evaluated(source, namespace), source)


def shape_of_value(wanted: Any, source: str) -> Shape:
    """The shape of a type or JSON schema; `source` is its name in messages. Raises `UsageError` as `shape_of` does."""
    if isinstance(wanted, Mapping):
        return _of_json(source, dict(wanted))
    is_type = isinstance(wanted, type) or typing.get_origin(wanted) is not None
    if not is_type or wanted in (list, dict, tuple, set, object, type):
        kind = wanted.__name__ if isinstance(wanted, type) else f"a {type(wanted).__name__}"
        meant = f" Did you mean {type(wanted).__name__}?" if dataclasses.is_dataclass(wanted) else ""
        raise UsageError(f"--schema {source} is {kind}, and wants {KINDS}.", advice=meant.strip())
    return _of_type(source, wanted)


# What a type is written with, for a notebook that has not imported it.
_TYPING = {name: getattr(typing, name) for name in ("Annotated", "Any", "Literal", "Optional", "Union")}


def _evaluated(source: str, namespace: Mapping[str, Any]) -> Any:
    try:
        return eval(compile(source, "<--schema>", "eval"), {**_TYPING, **namespace})
    except (Exception, SystemExit) as error:
        why = (
            "is not a Python expression"
            if isinstance(error, SyntaxError | ValueError)
            else f"failed: {one_line(error)}{places(namespace) if type(error) is NameError else ''}"
        )
    raise UsageError(f"--schema {source} {why}.", advice=f"It wants {KINDS}.")


def _of_json(source: str, schema: Schema) -> Shape:
    import fastjsonschema

    made, holder = api_schema(schema, source)
    try:
        checker: Any = fastjsonschema.compile(schema, use_default=False)
    except Exception as error:  # fastjsonschema raises many types for an invalid schema
        failure = one_line(error)
    else:
        return Shape(source, made, holder, lambda value: _checked_json(checker, value), lambda value: value)
    raise UsageError(f"--schema {source} is no JSON schema: {failure}.")


def _checked_json(checker: Any, value: Any) -> Any:
    import fastjsonschema

    try:
        return checker(value)
    except fastjsonschema.JsonSchemaValueException as error:
        path = [int(part) if part.isdecimal() else part for part in error.path[1:]]
        raise _Misfit([(path, error.message.partition(" ")[2])]) from None


def _of_type(source: str, wanted: Any) -> Shape:
    try:
        import pydantic

        adapter: Any = pydantic.TypeAdapter(with_extended_typed_dicts(wanted))
        schema = adapter.json_schema()
    except Exception as error:  # from pydantic, or from evaluating the annotations
        failure = one_line(error)
    else:
        made, holder = api_schema(schema, source)
        plain: Callable[[Any], Any] = adapter.dump_python
        return Shape(source, made, holder, lambda value: _checked_type(adapter, value), plain)
    raise UsageError(f"--schema {source} cannot be made a JSON schema: {failure}", advice=f"It wants {KINDS}.")


def _checked_type(adapter: Any, value: Any) -> Any:
    import pydantic

    try:
        return adapter.validate_json(json.dumps(value))
    except pydantic.ValidationError as error:
        found = [(each["loc"], each["msg"]) for each in error.errors(include_url=False, include_context=False)]
    raise _Misfit(found)


# --- from the reply to the value ----------------------------------------------------------------------


def read(shape: Shape, turn: Turn, name: str = "reply") -> Any:
    """The validated value of a JSON reply; `name` is the variable that it will be bound to.

    Raises `SchemaError` with the path in the JSON if the reply is incomplete, not JSON, or does not fit the schema.
    """
    text, reason = json_text(turn), turn.calls[-1].stop_reason
    if reason in _STOPS and not (reason == "stop_sequence" and _parsed(text)[1]):
        at = _path_text(open_path(text, shape.holder), name) if reason != "refusal" else ""
        where = f", at {at}" if at and text.strip() else ""
        raise SchemaError(f"The reply {_STOPS[reason]}{where}: it is no {shape.name}.", advice=_KEPT)
    value, is_json = _parsed(text)
    if not is_json:
        at = _path_text(open_path(text, shape.holder), name)
        raise SchemaError(f"The reply is not JSON, at {at or name}: it is no {shape.name}.", advice=_KEPT)
    if shape.holder:
        if not isinstance(value, dict) or shape.holder not in value:
            raise SchemaError(f"The reply does not fit {shape.name}: there is no {shape.holder!r} in it.", advice=_KEPT)
        value = value[shape.holder]
    try:
        return shape.check(value)
    except _Misfit as wrong:
        found = [f"{_path_text(path, name) or name}: {join_line(why)}" for path, why in wrong.found]
    more = f"; and {len(found) - MAX_WRONG} more" if len(found) > MAX_WRONG else ""
    raise SchemaError(f"The reply does not fit {shape.name}: {'; '.join(found[:MAX_WRONG])}{more}.", advice=_KEPT)


_KEPT = "The turn and its usage are kept; nothing is bound."


def json_text(turn: Turn) -> str:
    """The text at the end of a reply, behind any tool call: the part that is the JSON."""
    kept = [block for block in turn.reply if block["type"] not in ("thinking", "redacted_thinking")]
    last = max((at for at, block in enumerate(kept) if block["type"] != "text"), default=-1)
    return text_of(tuple(kept[last + 1 :]))


def bare_json(text: str) -> str:
    """JSON text without a byte order mark before it, or a single Markdown fence around all of it."""
    bare = text.strip().removeprefix("\ufeff").strip()
    fenced = _FENCED.fullmatch(bare)
    return fenced[2].removeprefix("\ufeff") if fenced else bare


def _parsed(text: str) -> tuple[Any, bool]:
    try:
        return json.loads(bare_json(text)), True
    except (ValueError, RecursionError):
        return None, False


def open_path(text: str, holder: str = "") -> list[str | int]:
    """The path at which an incomplete JSON document ends, without the property around it all (`holder`)."""
    stack: list[list[Any]] = []  # for each open object [key, whether a key comes next], for each open list [index]
    for token in _TOKENS.findall(text):
        if token in "{[":
            stack.append([None, True] if token == "{" else [0])
        elif token in "}]":
            stack[-1:] = []
        elif stack and len(stack[-1]) == 1:
            stack[-1][0] += token == ","
        elif stack and token in ",:":
            stack[-1][1] = token == ","
        elif stack and stack[-1][1]:
            stack[-1][0] = _unquoted(token)
    path = [each[0] for each in stack if each[0] is not None]
    return path[1:] if holder and path[:1] == [holder] else path


def _unquoted(token: str) -> str:
    value, is_json = _parsed(token)
    return str(value) if is_json else token


def _path_text(path: Path, name: str) -> str:
    """A path as text, `people[3].age`; one that begins with an index gets the name of the whole value before it."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{join_line(str(part))}" for part in path)
    return parts.removeprefix(".") if not parts.startswith("[") else f"{name}{parts}"


def bound(shape: Shape, value: Any) -> tuple[Any, str]:
    """The object to bind for a value, and its description: a list of objects becomes a DataFrame, if possible."""
    if not shape.is_list:
        return value, ""
    rows = list(shape.rows(value))
    if all(isinstance(row, Mapping) for row in rows):
        for library in _libraries():
            try:
                return _frame(library, rows, shape), f"a {library} DataFrame of {plural(len(rows), 'row')}"
            except Exception:  # columns that the library cannot hold
                continue
    return value, f"a list of {plural(len(rows), 'element')}"


def _libraries() -> Iterator[str]:
    """The DataFrame libraries in the order of trial: those imported already, then those installed."""
    known = ("pandas", "polars")
    imported = [name for name in known if name in sys.modules]
    yield from (*imported, *(name for name in known if name not in imported and importlib.util.find_spec(name)))


def _frame(library: str, rows: list[Any], shape: Shape) -> Any:
    columns = list(dict.fromkeys(key for row in rows for key in row)) or _columns(shape)
    if library == "pandas":
        import pandas

        return pandas.DataFrame(rows, columns=columns)
    import polars

    return polars.DataFrame(rows, infer_schema_length=None) if rows else polars.DataFrame({key: [] for key in columns})


def _columns(shape: Shape) -> list[str]:
    """The keys of a list's elements by the schema: the columns of an empty DataFrame."""
    schema: Any = shape.schema
    for step in ("properties", LIST, "items"):
        schema = schema.get(step, {})
        while reference := reference_in(schema):
            schema = shape.schema["$defs"][reference.removeprefix("#/$defs/")]
    return list(schema.get("properties", ()))
