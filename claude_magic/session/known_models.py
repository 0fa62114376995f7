"""The models that the API lists: read from its answer, asked once a day, and kept on disk.

Only a question that names a line (`opus`), or a model that the table does not know, asks for the list. It waits for the
answer for a second at most, and does without where none comes: a late answer is there for the next question. Nobody
asks again that day, whatever the answer was; `%claude_models` does. Each account at each address has a list of its own,
in Jupyter's data folder beside the recovery journal. What is kept is read with the same care as an answer: a field of
another type counts as unknown.
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
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import models
from ..notebook.lookup import journal_folder
from ..options import Options

if TYPE_CHECKING:
    from ..client import Client, Settings

LIST_SECONDS = 24 * 3600.0  # a list is asked for again after a day
WAIT_SECONDS = 1.0  # a question waits for the answer for so long, at most
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
    base = models.of_unknown(listing.id)
    if base is None or listing.lifecycle == "retired":
        return None
    has = listing.capabilities
    thinking = base.thinking if listing.thinking is None else listing.thinking
    return replace(
        base,
        thinking=thinking,
        thinks=base.thinks and "adaptive" in thinking,
        effort=base.effort if listing.effort is None else listing.effort,
        context=_believed(listing.context) or base.context,
        max_output=_believed(listing.max_output) or base.max_output,
        capabilities=tuple(each for each in models.CAPABILITIES if has.get(each, each in base.capabilities)),
        retires=listing.retires,
    )


def _believed(limit: int | None) -> int | None:
    """A limit in tokens, unless each question would pass it: if it is true all the same, the API refuses them."""
    return limit if limit is not None and limit >= Options().max_tokens else None


class _List(NamedTuple):
    """A list of models as the API gave it, and when, in seconds since the epoch."""

    written: float = 0.0
    models: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_fresh(self) -> bool:
        """Whether it is of today; not one of tomorrow, by a clock that was wrong."""
        return _is_of_today(self.written)


def _is_of_today(moment: float) -> bool:
    now = time.time()
    return now - LIST_SECONDS < moment <= now


class KnownModels:
    """The lists of models that the API gave, by account and address."""

    def __init__(self, client: Client, folder: Path | None = None) -> None:
        self._client = client
        self._folder = folder
        self._lists: dict[str, _List] = {}  # by account
        self._tried: dict[tuple[str, str], float] = {}  # when, by account and model; without a model: for the list
        self._changing = threading.Lock()

    def entries(
        self, settings: Settings, names: Sequence[str] = (), *, ask: bool = True
    ) -> Sequence[Mapping[str, Any]]:
        """The list that is kept for these settings, as the API gave it; empty if there is none.

        With `ask`, the API is asked for a new one if this one is older than a day, and for each model of `names` that
        the list lacks. Never raises. Takes `WAIT_SECONDS` at most, besides what making the SDK's client takes.
        """
        account = self._client.account(settings)
        if account is None:
            return ()
        with self._changing:
            kept = self._kept(account)
            due = self._due(account, kept, names) if ask else []
            self._tried.update({(account, name): time.time() for name in due})
        if due:
            self._ask_within(WAIT_SECONDS, settings, account, due)
        return self._lists[account].models

    def keep(self, settings: Settings, found: Iterable[Mapping[str, Any]]) -> None:
        """Keep a list that the API gave, in memory and on disk; what of it is no model is left out."""
        account = self._client.account(settings)
        if account is not None:
            with self._changing:
                self._write(account, _List(time.time(), _usable(found)))

    def _kept(self, account: str) -> _List:
        """The list in memory, or that on disk if it is newer: another kernel may have asked."""
        kept = self._lists.setdefault(account, _List())
        if not kept.is_fresh:
            on_disk = _read(self._path(account))
            kept = self._lists[account] = on_disk if on_disk.written > kept.written or on_disk.is_fresh else kept
        return kept

    def _due(self, account: str, kept: _List, names: Sequence[str]) -> list[str]:
        """What to ask for now: models by their ids, and an empty name for the list."""
        listed = {each["id"] for each in kept.models}
        wanted = [*([] if kept.is_fresh else [""]), *(name for name in names if name not in listed)]
        return [name for name in wanted if not _is_of_today(self._tried.get((account, name), 0))]

    def _ask_within(self, seconds: float, settings: Settings, account: str, due: Sequence[str]) -> None:
        """Ask in a thread of its own, and wait for its end for so many seconds."""
        with suppress(Exception):
            self._client.sdk(settings)  # the question needs it as well: it may take longer than the answer
            asking = threading.Thread(target=self._ask, args=(settings, account, due), daemon=True)
            asking.start()
            asking.join(seconds)

    def _ask(self, settings: Settings, account: str, due: Sequence[str]) -> None:
        with suppress(Exception):
            if "" in due and (found := self._client.models(settings)):
                with self._changing:
                    self._write(account, _List(time.time(), _usable(found)))
        for name in (name for name in due if name):
            with suppress(Exception):
                if not any(each["id"] == name for each in self._lists[account].models):
                    self._add(account, name, self._client.model(name, settings))

    def _add(self, account: str, name: str, entry: Mapping[str, Any] | None) -> None:
        """Add a model that the list lacks, under the name by which it was asked for."""
        if entry is not None:
            with self._changing:
                kept = self._lists[account]
                self._write(account, _List(kept.written, (*kept.models, {**entry, "id": name})))

    def _write(self, account: str, listed: _List) -> None:
        self._lists[account] = listed
        with suppress(OSError, ValueError, TypeError, RecursionError):
            path = self._path(account)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f"{path.name}.{os.getpid()}")
            part.write_text(json.dumps({"written": listed.written, "models": listed.models}), encoding="utf-8")
            part.replace(path)

    def _path(self, account: str) -> Path:
        return (self._folder or journal_folder().parent / "models") / f"{account}.json"


def _read(path: Path) -> _List:
    """A list on disk; an empty one if it cannot be read."""
    with suppress(OSError, ValueError, RecursionError):
        if path.stat().st_size <= MAX_BYTES:
            kept = json.loads(path.read_text(encoding="utf-8"))
            found = kept.get("models") if isinstance(kept, dict) else None
            written = kept.get("written") if isinstance(kept, dict) else None
            if isinstance(found, list) and isinstance(written, int | float) and not isinstance(written, bool):
                return _List(float(written), _usable(found))
    return _List()


def _usable(found: Iterable[Any]) -> tuple[Mapping[str, Any], ...]:
    return tuple(each for each in found if isinstance(each, dict) and isinstance(each.get("id"), str))


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
