"""Totals of one `%%claude_map` run, as a value: rows, tokens, dollars and batch ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

# The note on the turn that represents a map's calls in a session's ledger.
MAPPED = "mapped over data"


@dataclass(frozen=True)
class Mapped:
    """Totals of one run of a map.

    Of `rows` rows, `answered` have an answer, `failed` have none or an incomplete one, and the rest were not asked.
    `earlier` were answered in an earlier run, `shared` are equal to a row above them; neither kind cost anything now.
    `calls`, the token counts and `dollars` (exact, in USD; `None` where a price is unknown) are totals of this run, so
    that a notebook does not hold 10,000 usages; `at_least` marks `dollars` as a lower bound. `batches` are the ids of
    batches under way or collected; `about` is a digest of what all of their requests share. `created` is in seconds
    since the epoch, `seconds` is the duration.
    """

    id: str
    model: str
    provider: str
    created: float
    rows: int
    answered: int = 0
    failed: int = 0
    earlier: int = 0
    shared: int = 0
    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    written_tokens: int = 0
    output_tokens: int = 0
    thinking_tokens: int = 0
    dollars: str | None = "0"
    at_least: bool = False
    seconds: float = 0.0
    batches: tuple[str, ...] = ()
    about: str = ""

    @property
    def amount(self) -> Decimal | None:
        """The cost in USD as a number; `None` where it is not known."""
        from decimal import Decimal, InvalidOperation

        try:
            return None if self.dollars is None else Decimal(self.dollars)
        except InvalidOperation:
            return None


def from_data(data: Mapping[str, Any]) -> Mapped:
    """A run from data that `record_schema.py` has checked; unknown fields are dropped."""
    known = {name: data[name] for name in data if name in _FIELDS}
    return Mapped(**{**known, "batches": tuple(known.get("batches", ()))})


_FIELDS = frozenset(each.name for each in fields(Mapped))


def as_data(mapped: Mapped) -> dict[str, Any]:
    """A run as plain JSON data, for the record in a notebook's file."""
    return {**vars(mapped), "batches": list(mapped.batches)}
