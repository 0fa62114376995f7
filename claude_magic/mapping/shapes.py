"""`--schema` for many rows: each reply checked as one cell's would be, and its fields as columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..conversation.turns import Turn
from ..errors import SchemaError
from ..tools import structured_output
from ..tools.structured_output import Shape
from .answers import RowAnswer


def checked_answer(shape: Shape, answer: RowAnswer) -> RowAnswer:
    """The answer with its value as plain JSON, or with what of it does not fit."""
    if answer.error or answer.text is None or not answer.calls:
        return answer
    reply = {"role": "assistant", "content": [{"type": "text", "text": answer.text}]}
    turn = Turn(answer.key, ({"role": "user", "content": []}, reply), answer.calls[-1:])
    try:
        structured_output.read(shape, turn)
    except SchemaError as error:
        return replace(answer, error=error.message)
    value = json.loads(answer.text)
    return replace(answer, value=value[shape.holder] if shape.holder else value)


def schema_fields(shape: Shape | None) -> Sequence[str]:
    """The columns that a reply becomes: those of an object, else one."""
    properties = () if shape is None or shape.holder else tuple(shape.schema.get("properties", ()))
    return properties or ("reply",)


def field_of(shape: Shape | None, answer: RowAnswer, name: str) -> Any:
    """One column's value; `None` where there is none."""
    if shape is None:
        return answer.text
    return answer.value.get(name) if name != "reply" and isinstance(answer.value, dict) else answer.value
