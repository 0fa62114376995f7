"""Example values for a JSON schema, made from the words and numbers of a prompt where they fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]
# A text for each format; dates are obviously not current.
_FORMATS = {
    "date-time": "1970-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "date": "1970-01-01",
    "duration": "P1D",
    "email": "offline@example.org",
    "hostname": "example.org",
    "uri": "https://example.org/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_MAX_DEPTH = 12


@dataclass(frozen=True)
class _Words:
    """The words of a prompt: its numbers, its names and quoted words, in order, and its whole text."""

    numbers: Iterator[str]
    names: Iterator[str]
    text: str


def example(schema: Schema, text: str) -> Any:
    """A value that fits the schema, with required and optional properties filled in."""
    quoted = re.findall(r"[\"'`“]([^\"'`”]+)[\"'`”]", text)
    named = re.findall(r"\b(?:in|for|of|to|at|from)\s+((?:[A-Z][\w-]*\s?)+)", text)
    words = _Words(iter(re.findall(r"-?\d+(?:\.\d+)?", text)), iter([each.strip() for each in quoted + named]), text)
    return _value(schema, schema, words, 0)


def fits(value: Any, schema: Schema, root: Schema | None = None) -> bool:
    """Whether a value has the schema's types and exactly its properties, as far down as it goes."""
    root = schema if root is None else root
    schema = _resolved(schema, root)
    if isinstance(value, dict):
        inner = schema.get("properties") or {}
        return set(value) == set(inner) and all(fits(each, inner[name], root) for name, each in value.items())
    if isinstance(value, list):
        return schema.get("type") == "array" and all(fits(each, schema.get("items", {}), root) for each in value)
    if value not in schema.get("enum", [value]):
        return False
    return schema.get("type") in {
        bool: ["boolean"],
        str: ["string"],
        int: ["integer", "number"],
        float: ["number"],
    }.get(type(value), [None])


def misfit(value: Any) -> Any:
    """The value with the type of its last leaf changed, so that it no longer fits its schema."""
    if isinstance(value, dict) and value:
        *kept, (key, last) = value.items()
        return {**dict(kept), key: misfit(last)}
    if isinstance(value, list) and value:
        return [*value[:-1], misfit(value[-1])]
    return {"odd": True} if isinstance(value, str) else "not what was asked for"


def _value(schema: Schema, root: Schema, words: _Words, depth: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if options := schema.get("enum"):
        return next((each for each in options if str(each).lower() in words.text.lower()), options[0])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    match kind:
        case "object":
            return _object(schema, root, words, depth)
        case "array":
            count = max(1, schema.get("minItems", 1)) if depth < _MAX_DEPTH else 0
            return [_value(schema.get("items", {}), root, words, depth + 1) for _ in range(count)]
        case "integer" | "number":
            return _number(schema, words, kind)
        case "boolean":
            return True
        case "null":
            return None
        case _ if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        case _:
            return next(words.names, None) or schema.get("default") or " ".join(words.text.split())[:60] or "text"


def _object(schema: Schema, root: Schema, words: _Words, depth: int) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    wanted = {
        name: inner
        for name, inner in (schema.get("properties") or {}).items()
        if name in required or depth < 2  # a deeper optional property may recurse without end
    }
    return {name: _value(inner, root, words, depth + 1) for name, inner in wanted.items()} if depth < _MAX_DEPTH else {}


def _number(schema: Schema, words: _Words, kind: str) -> int | float:
    value = float(next(words.numbers, schema.get("default", schema.get("minimum", 1))))
    value = min(max(value, schema.get("minimum", value)), schema.get("maximum", value))
    return int(value) if kind == "integer" else value


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema behind a `$ref`, or the first branch of `anyOf`, `oneOf` or `allOf` that is not null."""
    for _ in range(_MAX_DEPTH):
        if reference := schema.get("$ref"):
            target: Any = root
            for part in reference.removeprefix("#/").split("/"):
                target = target.get(part, {})
            schema = target
            continue
        branches = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not branches:
            return schema
        schema = next((branch for branch in branches if branch.get("type") != "null"), branches[0])
    return {}
