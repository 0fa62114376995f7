"""The ledger: a row for each API call, with its tokens and exact cost in USD.

Each call counts once, although a continued reply (`%claude_continue`) also holds the calls of the reply it continues. A
replay lists the recorded call once more, marked as replayed, at no cost.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ..content.text import whole_text
from ..conversation.map_run import MAPPED
from ..conversation.turns import Call, Turn
from ..request import build
from . import pricing

# Whether the turn of a call is in the conversation ("stands"); if not, why: it filled the prompt cache, it was outside
# of the conversation, nothing of it could be kept, or it left (its cell ran again or was deleted, its chat was reset).
Standing = Literal["stands", "warmed", "asked once", "mapped", "failed", "left"]

# The columns, with their types in a pandas DataFrame.
COLUMNS = {
    "cell": "Int64",
    "chat": "str",
    "model": "str",
    "provider": "str",
    "started": "datetime64[us, UTC]",
    "input_tokens": "Int64",
    "cached_tokens": "Int64",
    "written_tokens": "Int64",
    "output_tokens": "Int64",
    "thinking_tokens": "Int64",
    "dollars": "float64",
    "exact_dollars": "object",
    "lower_bound": "bool",
    "seconds": "float64",
    "stop_reason": "object",
    "replayed": "bool",
    "standing": "str",
}
# The polars type that holds any call's price with all its digits.
_DECIMAL_PRECISION, _DECIMAL_SCALE = 38, 18


@dataclass(frozen=True)
class Entry:
    """One call, its turn, and whether that turn stands in the conversation."""

    turn: Turn
    call: Call
    standing: Standing = "stands"


def entries(standing: Iterable[Turn], elsewhere: Iterable[Turn] = ()) -> list[Entry]:
    """The calls of the turns that stand in the conversation, then those of other turns; each call once."""
    placed = [*((turn, "stands") for turn in standing), *((turn, _standing(turn)) for turn in elsewhere)]
    found: list[Entry] = []
    counted: set[object] = set()
    for turn, where in placed:
        found += [Entry(turn, call, where) for call in turn.calls if _key(call) not in counted]
        counted |= {key for call in turn.calls if (key := _key(call)) is not None}
    return found


def _key(call: Call) -> object:
    """The key of a call or of its replay; `None` if nothing tells it from others. Two turns can share a call, while the
    calls of one turn are different ones."""
    return (call.key, call.replayed) if any(call.key) else None


def _standing(turn: Turn) -> Standing:
    if turn.params.get("max_tokens") == 0:
        return "warmed"
    if MAPPED in turn.notes:
        return "mapped"
    if turn.once:
        return "asked once"
    return "left" if build.messages_to_send(turn) else "failed"


def row(entry: Entry) -> dict[str, Any]:
    """One call as a row of `COLUMNS`.

    `started` is in UTC, `seconds` is the duration; `thinking_tokens` are a part of `output_tokens`. Tokens are `None`
    for a call without usage. `dollars` (a float) and `exact_dollars` (a `Decimal`) are `None` without a known price.
    """
    turn, call = entry.turn, entry.call
    tokens, cost = pricing.tokens([call]), pricing.call_cost(call)
    counts = (tokens.input, tokens.cached, tokens.written, tokens.output, tokens.thinking)
    values = (
        turn.execution_count,
        whole_text(turn.chat),
        whole_text(call.model),
        whole_text(call.provider),
        datetime.fromtimestamp(call.started, UTC),
        *(count if tokens.known else None for count in counts),
        None if cost.dollars is None else float(cost.dollars),
        cost.dollars,
        cost.at_least,
        call.seconds,
        call.stop_reason and whole_text(call.stop_reason),
        call.replayed,
        entry.standing,
    )
    return dict(zip(COLUMNS, values, strict=True))


def frame(rows: Sequence[dict[str, Any]]) -> tuple[Any, str]:
    """Rows as a pandas DataFrame, else a polars DataFrame, else a list of dicts; and the name of that type."""
    for library, make in (("pandas", _pandas_frame), ("polars", _polars_frame)):
        try:
            module = importlib.import_module(library)
        except ImportError:
            continue
        return make(module, rows), f"a {library} DataFrame"
    return list(rows), "a list of dicts"


def _pandas_frame(pandas: Any, rows: Sequence[dict[str, Any]]) -> Any:
    return pandas.DataFrame(list(rows), columns=list(COLUMNS)).astype(COLUMNS)


def _polars_frame(polars: Any, rows: Sequence[dict[str, Any]]) -> Any:
    types = {
        "Int64": polars.Int64,
        "float64": polars.Float64,
        "bool": polars.Boolean,
        "datetime64[us, UTC]": polars.Datetime("us", "UTC"),
    }
    schema = {name: types.get(kind, polars.String) for name, kind in COLUMNS.items()}
    schema["exact_dollars"] = polars.Decimal(_DECIMAL_PRECISION, _DECIMAL_SCALE)
    return polars.DataFrame(list(rows), schema=schema)
