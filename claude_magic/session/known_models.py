"""The models that the API lists: read from its answer, asked once a day in the background, and kept on disk.

Each account at each address has a list of its own, in Jupyter's data folder beside the recovery journal. What is kept
is read with the same care as an answer: a field of another type counts as unknown.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import models
from ..notebook.lookup import journal_folder

if TYPE_CHECKING:
    from ..client import Client, Settings

LIST_SECONDS = 24 * 3600.0  # a list is asked for again after a day,
RETRY_SECONDS = 3600.0  # and after an attempt that failed, in an hour
MAX_NAME_CHARACTERS = 80
MAX_KINDS = 8  # of unknown kinds of thinking or effort
MAX_TOKENS = 10**9  # a larger number from the API is not believed
MAX_BYTES = 10_000_000  # of a kept list
LIFECYCLES = ("active", "deprecated", "retired")


@dataclass(frozen=True)
class Listing:
    """One model of the table; None is unknown. Sizes are in tokens.

    `capabilities` has whether the model has each of `models.CAPABILITIES`, as far as known.
    """

    id: str
    line: str | None = None
    context: int | None = None
    max_output: int | None = None
    thinking: tuple[str, ...] | None = None
    effort: tuple[str, ...] | None = None
    capabilities: Mapping[str, bool] = field(default_factory=dict)
    lifecycle: str | None = None
    retires: date | None = None


def listings_from_api(entry: Mapping[str, Any]) -> Listing:
    """One entry of the API's list (SDK 2.12, types/model_info.py). A field of another type counts as unknown."""
    has = _part(entry, "capabilities")
    supported = {name: _supported(has, name) for name in models.CAPABILITIES}
    lifecycle = entry.get("lifecycle") if entry.get("lifecycle") in LIFECYCLES else None
    return Listing(
        str(entry["id"])[:MAX_NAME_CHARACTERS],
        _name(entry.get("line")),
        _tokens(entry.get("max_input_tokens")),
        _tokens(entry.get("max_tokens")),
        _kinds(_part(_part(has, "thinking"), "types"), models.THINKING),
        _kinds(_part(has, "effort"), models.EFFORTS),
        {name: each for name, each in supported.items() if each is not None},
        lifecycle,
        _day(entry.get("retires_at")) if lifecycle else None,
    )


def _part(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = entry.get(name)
    return part if isinstance(part, Mapping) else {}


def _supported(has: Mapping[str, Any], name: str) -> bool | None:
    supported = _part(has, name).get("supported")
    return supported if isinstance(supported, bool) else None


def _kinds(has: Mapping[str, Any], known: tuple[str, ...]) -> tuple[str, ...] | None:
    """The supported kinds, known ones first; None if no kind is mentioned."""
    mentioned = [name for name in has if _supported(has, name) is not None]
    others = [name for name in mentioned if name not in known and len(name) <= MAX_NAME_CHARACTERS]
    order = [*known, *others[:MAX_KINDS]]
    return tuple(name for name in order if _supported(has, name)) if mentioned else None


def _name(name: object) -> str | None:
    return name[:MAX_NAME_CHARACTERS] if isinstance(name, str) else None


def _tokens(count: object) -> int | None:
    return count if isinstance(count, int) and not isinstance(count, bool) and 0 < count <= MAX_TOKENS else None


def _day(text: object) -> date | None:
    try:
        return datetime.fromisoformat(str(text)).date()
    except ValueError:
        return None


def rows(entries: Iterable[Mapping[str, Any]]) -> list[models.Model]:
    """Rows for listed models that the table does not know: those of the newest of their line, with what the API says
    in place of what it says otherwise. Models of no known line have none."""
    return [row for entry in entries if (row := _row(listings_from_api(entry))) is not None]


def _row(listing: Listing) -> models.Model | None:
    base = models.of_newer(listing.id)
    if base is None or listing.lifecycle == "retired":
        return None
    has = listing.capabilities
    thinking = base.thinking if listing.thinking is None else listing.thinking
    return replace(
        base,
        thinking=thinking,
        thinks=base.thinks and "adaptive" in thinking,
        effort=base.effort if listing.effort is None else listing.effort,
        context=listing.context or base.context,
        max_output=listing.max_output or base.max_output,
        capabilities=tuple(each for each in models.CAPABILITIES if has.get(each, each in base.capabilities)),
        retires=listing.retires,
    )


class KnownModels:
    """The lists of models that the API gave, by account and address."""

    def __init__(self, client: Client, folder: Path | None = None) -> None:
        self._client = client
        self._folder = folder
        self._tried: dict[str, float] = {}
        self.asking: threading.Thread | None = None

    def entries(self, settings: Settings, *, ask: bool = True) -> Sequence[Mapping[str, Any]]:
        """The list that is kept for these settings, as the API gave it; empty if there is none.

        With `ask`, the API is asked for a new one in the background if this one is older than a day. Never raises.
        """
        account = self._client.account(settings)
        if account is None:
            return ()
        path = (self._folder or journal_folder().parent / "models") / f"{account}.json"
        kept, written = _read(path)
        now = time.time()
        is_due = not now - LIST_SECONDS < written <= now
        if ask and is_due and now - self._tried.get(account, 0) > RETRY_SECONDS:
            self._tried[account] = now
            self.asking = threading.Thread(target=self._ask, args=(settings, path), daemon=True)
            self.asking.start()
        return kept

    def _ask(self, settings: Settings, path: Path) -> None:
        with suppress(Exception):
            found = self._client.models(settings)
            # After a failure the old list stays, for another day at most: a kernel asks again in an hour.
            if found:
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_name(f"{path.name}.{os.getpid()}")
                part.write_text(json.dumps({"written": time.time(), "models": found}), encoding="utf-8")
                part.replace(path)


def _read(path: Path) -> tuple[Sequence[Mapping[str, Any]], float]:
    """A kept list and when it was written; empty and 0 if it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= MAX_BYTES:
            kept = json.loads(path.read_text(encoding="utf-8"))
            found = kept.get("models") if isinstance(kept, dict) else None
            written = kept.get("written") if isinstance(kept, dict) else None
            if isinstance(found, list) and isinstance(written, int | float):
                usable = [each for each in found if isinstance(each, dict) and isinstance(each.get("id"), str)]
                return usable, float(written)
    return (), 0.0


_LISTED = re.compile(r"claude-([a-z]+)-(\d{1,2})(?:-(\d{1,2}))?(?:-(\d{8}))?")


def newest(name: str, entries: Iterable[Mapping[str, Any]]) -> str:
    """The id of a model by its name: for a line, the newest that is listed, else that of the table; else the name."""
    if name not in models.LINES:
        return name
    found = []
    for entry in entries:
        spelled = _LISTED.fullmatch(entry["id"])
        if spelled and spelled[1] == name and entry.get("lifecycle") in (None, "active"):
            found.append((int(spelled[2]), int(spelled[3] or 0), spelled[4] or "99999999", entry["id"]))
    if not found:
        return models.resolve(name)
    row = models.known(max(found)[-1])
    return row.id if row else max(found)[-1]
