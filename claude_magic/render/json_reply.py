"""A JSON reply to `--schema` as Markdown: flat data as tables, the rest as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..content.text import fenced
from ..tools.output_schema import LIST, VALUE
from ..tools.structured_output import bare_json
from .markup import markdown

MAX_ROWS = 50
MAX_COLUMNS = 12
MAX_CELL_CHARACTERS = 200


def is_requested(params: Mapping[str, Any]) -> bool:
    """Whether a request's parameters ask for JSON (`output_config.format`)."""
    config = params.get("output_config")
    return isinstance(config, Mapping) and isinstance(config.get("format"), Mapping)


def shown(text: str) -> str:
    """JSON as Markdown: as tables, or as its source if it is incomplete."""
    try:
        value = json.loads(bare_json(text))
    except (ValueError, RecursionError):
        return _fenced(text)
    if isinstance(value, dict) and list(value) in ([LIST], [VALUE]):
        (value,) = value.values()
    return _value(value)


def plain(text: str) -> str:
    """JSON as indented text; as it is if it is incomplete."""
    try:
        return json.dumps(json.loads(bare_json(text)), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _value(value: Any) -> str:
    if _is_table(value):
        return _rows(value)
    if isinstance(value, list) and value and all(map(_is_flat, value)):
        lines = [f"- {_cell(each)}" for each in value[:MAX_ROWS]]
        return "\n".join([*lines, *_more(len(value))])
    if isinstance(value, dict) and value:
        return _record(value)
    return (
        markdown.escape(value) if isinstance(value, str) else _fenced(json.dumps(value, indent=2, ensure_ascii=False))
    )


def _record(value: Mapping[str, Any]) -> str:
    """An object: its flat values as a table, then its lists of objects as tables, then the rest as JSON."""
    tables = {key: each for key, each in value.items() if _is_table(each)}
    flat = {key: each for key, each in value.items() if key not in tables and _is_brief(each)}
    rest = {key: each for key, each in value.items() if key not in tables and key not in flat}
    pieces = [_table(["", ""], [[f"**{_name(key)}**", _cell(each)] for key, each in flat.items()])] if flat else []
    for key, rows in tables.items():
        pieces += [f"**{_name(key)}**", _rows(rows)]
    for key, each in rest.items():
        pieces += [f"**{_name(key)}**", _fenced(json.dumps(each, indent=2, ensure_ascii=False))]
    return "\n\n".join(pieces)


def _is_table(value: Any) -> bool:
    """Whether a value is a list of objects that fits into a table."""
    if not isinstance(value, list) or not value or not all(isinstance(row, dict) for row in value):
        return False
    return 0 < len(_keys(value)) <= MAX_COLUMNS and all(_is_brief(each) for row in value for each in row.values())


def _keys(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _is_flat(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _is_brief(value: Any) -> bool:
    return _is_flat(value) or len(json.dumps(value, ensure_ascii=False)) <= MAX_CELL_CHARACTERS


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    keys = _keys(rows)
    sides = [all(_is_number(row.get(key)) for row in rows) for key in keys]
    cells = [[_cell(row.get(key)) for key in keys] for row in rows[:MAX_ROWS]]
    return "\n\n".join([_table([_name(key) for key in keys], cells, sides), *_more(len(rows))])


def _more(count: int) -> list[str]:
    return [f"\n… and {count - MAX_ROWS:,} more"] if count > MAX_ROWS else []


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    rule = ["---:" if side else "---" for side in right] or ["---"] * len(heads)
    return "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *rows))


def _name(key: str) -> str:
    return markdown.escape(key) or " "


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if _is_number(value):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = markdown.escape(text)
    return shown if len(text) <= MAX_CELL_CHARACTERS else f"{markdown.escape(text[:MAX_CELL_CHARACTERS])}…"


def _fenced(text: str) -> str:
    return fenced(text, "json")
