"""JSON schemas → the subset that the API takes for structured output; other keywords become descriptions.

The rules are those of the SDK (2.12, lib/_parse/_transform.py) and of the structured outputs page. What the API cannot
enforce at all (free keys, any type, a type that contains itself) raises `UsageError` with its path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import UsageError

Schema = dict[str, Any]

_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid")
_KINDS = ("object", "array", "string", "integer", "number", "boolean", "null")
_SILENT = ("$schema", "$id", "$comment", "discriminator", "additionalProperties", "unevaluatedProperties")
LIST, VALUE = "items", "value"  # the property around a schema that is not an object


def api_schema(schema: Mapping[str, Any], name: str, option: str = "--schema") -> tuple[Schema, str]:
    """The schema for `output_config.format`, and the property around one that is not an object (else empty).

    `name` is the user's expression, after `option`. Raises `UsageError` with the path of what the API cannot enforce.
    """
    try:
        return _api_schema(schema, name)
    except UsageError as error:
        message, advice = error.message, error.advice
    raise UsageError(f"{option}: {message}", advice=advice)


def _api_schema(schema: Mapping[str, Any], name: str) -> tuple[Schema, str]:
    defined = {**_mapping(schema.get("definitions")), **_mapping(schema.get("$defs"))}
    rest = {key: value for key, value in schema.items() if key not in ("definitions", "$defs")}
    made = _transformed(rest, name)
    defs = {key: _transformed(value, key) for key, value in defined.items()}
    _check_references(made, defs, name)
    target = _target(made, defs)
    if reference_in(made) and target.get("type") == "object":  # the whole reply: an object, with both descriptions
        said = [each["description"] for each in (made, target) if "description" in each]
        made = {**target, **({"description": "\n\n".join(said)} if said else {})} if "anyOf" in made else made
    wrapper = "" if target.get("type") == "object" else LIST if target.get("type") == "array" else VALUE
    if wrapper:
        made = {"type": "object", "properties": {wrapper: made}, "required": [wrapper], "additionalProperties": False}
    return ({**made, "$defs": defs} if defs else made), wrapper


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _transformed(schema: Any, where: str) -> Schema:
    if not isinstance(schema, Mapping):
        raise UsageError(f"{where} may be anything; the API wants a type for it.")
    left = {key: value for key, value in schema.items() if key not in _SILENT}
    made: Schema = {}
    if "$ref" in left:
        made["$ref"] = _local(left.pop("$ref"), where)
        return _described_reference(left, made)
    _take_kind(left, made, where)
    _take_words(left, made)
    if made.get("type") == "object":
        _take_object(schema, left, made, where)
    elif made.get("type") == "array":
        _take_array(left, made, where)
    elif made.get("type") == "string" and left.get("format") in _FORMATS:
        made["format"] = left.pop("format")
    _take_rest(left, made)
    return made


def _take_words(left: Schema, made: Schema) -> None:
    for key in ("description", "title"):
        if left.get(key) is not None:
            made[key] = str(left.pop(key))
        left.pop(key, None)


def _take_rest(left: Schema, made: Schema) -> None:
    """Put the keywords that the API does not take into the description."""
    if left:
        rest = "{" + ", ".join(f"{key}: {value}" for key, value in left.items()) + "}"
        made["description"] = f"{made['description']}\n\n{rest}" if "description" in made else rest


def _described_reference(left: Schema, made: Schema) -> Schema:
    """A reference; what stands beside it goes around it, as the API takes nothing beside a `$ref`."""
    words: Schema = {}
    _take_words(left, words)
    _take_rest(left, words)
    return {"anyOf": [made], **words} if words else made


def _local(reference: Any, where: str) -> str:
    for opening in ("#/$defs/", "#/definitions/"):
        if isinstance(reference, str) and reference.startswith(opening):
            return f"#/$defs/{reference.removeprefix(opening)}"
    raise UsageError(f"{where} refers to {reference!r}, which is not in the schema itself.")


def _take_kind(left: Schema, made: Schema, where: str) -> None:
    """Move type, alternatives or literals from `left` to `made`. Raises `UsageError` if there is none of them."""
    kind = left.pop("type", None)
    given = {key: left.pop(key) for key in ("anyOf", "oneOf", "allOf", "enum", "const") if key in left}
    if "const" in given:
        made["const"] = given["const"]
    elif given.get("enum"):
        made["enum"] = list(given["enum"])
    elif alternatives := given.get("anyOf") or given.get("oneOf"):
        made["anyOf"] = [_transformed(each, where) for each in alternatives]
    elif given.get("allOf"):
        # Of one, `anyOf` is the same, and the API takes a reference in it.
        several = "allOf" if len(given["allOf"]) > 1 else "anyOf"
        made[several] = [_transformed(each, where) for each in given["allOf"]]
    elif isinstance(kind, list):
        made["anyOf"] = [_transformed({**_of_kind(left, each), "type": each}, where) for each in kind]
        for key in [key for each in kind for key in _of_kind(left, each)]:
            left.pop(key, None)
    else:
        kind = kind or ("object" if "properties" in left else "array" if "items" in left else None)
        if kind not in _KINDS:
            fault = "may be anything" if kind is None else f"has the type {kind!r}"
            raise UsageError(f"{where} {fault}; the API takes {', '.join(_KINDS)}.")
        made["type"] = kind


_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "object": ("properties", "required"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("format", "minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _of_kind(schema: Mapping[str, Any], kind: Any) -> Schema:
    return {key: schema[key] for key in _OF_KIND.get(str(kind), ()) if key in schema}


def _take_object(schema: Mapping[str, Any], left: Schema, made: Schema, where: str) -> None:
    properties = _mapping(left.pop("properties", None))
    if not properties and (schema.get("additionalProperties", True) is not False or "patternProperties" in left):
        raise UsageError(
            f"{where} allows any keys, and the API takes only keys that are named.",
            advice="Name them, or ask for a list of objects with a key and a value.",
        )
    made["properties"] = {key: _transformed(inner, f"{where}.{key}") for key, inner in properties.items()}
    made["additionalProperties"] = False
    required = left.pop("required", None)
    if required is not None:
        made["required"] = [key for key in required if key in properties]


def _take_array(left: Schema, made: Schema, where: str) -> None:
    items = left.pop("items", None)
    if prefix := left.pop("prefixItems", None):
        made["items"] = {"anyOf": [_transformed(each, f"{where}[{at}]") for at, each in enumerate(prefix)]}
    elif items is None:
        raise UsageError(f"{where}[] may be anything; the API wants a type for it.")
    else:
        made["items"] = _transformed(items, f"{where}[]")
    if left.get("minItems") in (0, 1):
        made["minItems"] = left.pop("minItems")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix("#/$defs/")
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _check_references(made: Schema, defs: Mapping[str, Schema], name: str) -> None:
    """Raise `UsageError` for a reference without a definition, or a recursive schema, which the API refuses."""
    graph = {key: set(_references(schema)) for key, schema in {**defs, "": made}.items()}
    for missing in {each for targets in graph.values() for each in targets} - defs.keys():
        raise UsageError(f"{name} refers to {missing!r}, which is not in the schema.")
    for key in defs:
        reached, ahead = set[str](), set(graph[key])
        while ahead:
            reached |= ahead
            ahead = {each for target in ahead for each in graph[target]} - reached
        if key in reached:
            raise UsageError(f"{key} holds itself, and the API takes no recursive schema.")


def _target(made: Schema, defs: Mapping[str, Schema]) -> Schema:
    while reference := reference_in(made):
        made = defs[reference.removeprefix("#/$defs/")]
    return made


def reference_in(made: Schema) -> str:
    """What a schema refers to, with or without words of its own; empty for one that is no reference."""
    alternatives = made.get("anyOf") or [made]
    return str(alternatives[0].get("$ref", "")) if len(alternatives) == 1 else ""
