"""What a prompt over data came to, as a value: how many rows, tokens, dollars, and which batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

# The mark of the turn that stands for a map's calls in a session's ledger.
MAPPED = "mapped over data"


@dataclass(frozen=True)
class Mapped:
    """One run of a map.

    `rows` are all; of them `answered` have an answer, `failed` have none, or not a whole one, and the rest was not
    asked. `earlier` were answered in an earlier run, `shared` are the same as a row above them; neither cost anything
    now. `calls`, the tokens and `dollars` (exactly, in USD; `None` where no price is known) are this run's:
    10,000 usages are not repeated in a notebook. `at_least` marks a lower bound. `batches` are the ids of those under
    way or collected; `about` is a digest of what all of their requests share. `created` is in seconds since the epoch.
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
        """The dollars as a number; `None` where they are not known."""
        from decimal import Decimal, InvalidOperation

        try:
            return None if self.dollars is None else Decimal(self.dollars)
        except InvalidOperation:
            return None


def from_data(data: Mapping[str, Any]) -> Mapped:
    """A run, of data that `schemas.py` has checked; fields that are not known here are left out."""
    known = {name: data[name] for name in data if name in _FIELDS}
    return Mapped(**{**known, "batches": tuple(known.get("batches", ()))})


_FIELDS = frozenset(each.name for each in fields(Mapped))


def as_data(mapped: Mapped) -> dict[str, Any]:
    """A run as plain JSON data, for a notebook's file."""
    return {**vars(mapped), "batches": list(mapped.batches)}
