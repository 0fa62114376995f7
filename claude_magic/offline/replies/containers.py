"""Containers of simulated code execution, and the files made in them, as a server remembers them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..faults import Rejected
from ..request.history import Body

# The code execution page says that containers expire; in replies recorded in 2026, after an hour or less.
LIFE_SECONDS = 3_600


@dataclass(frozen=True)
class File:
    """A file of the Files API."""

    id: str
    name: str
    media_type: str
    data: bytes

    def metadata(self) -> dict[str, Any]:
        """The response of `GET /v1/files/{id}` (SDK 2.12, `types/file_metadata.py`)."""
        about = {"filename": self.name, "mime_type": self.media_type, "size_bytes": len(self.data)}
        return {"type": "file", "id": self.id, "created_at": "1970-01-01T00:00:00Z", **about, "downloadable": True}


@dataclass
class _Container:
    ends: float
    names: list[str] = field(default_factory=list)


class Containers:
    """All containers of a server. `clock` gives seconds, for their expiry."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self._open: dict[str, _Container] = {}
        self.files: dict[str, File] = {}

    def enter(self, body: Body) -> str | None:
        """The id of the container that a request names, or `None`. Raises `Rejected` if it is unknown or expired."""
        named = body.get("container")
        wanted = named.get("id") if isinstance(named, dict) else named
        if wanted is None:
            return None
        container = self._open.get(wanted)
        if container is None:
            raise Rejected(f"container: Container not found: {wanted}", status=404)
        if container.ends <= self._clock():
            raise Rejected(f"container: Container {wanted} has expired")
        return str(wanted)

    def names(self, id: str | None) -> list[str]:
        """The names of the files in a container, oldest first."""
        return list(self._open[id].names) if id in self._open else []

    def serve(self, id: str | None, made: list[File]) -> dict[str, str]:
        """Add files to a container (a new one for `None`), renew its expiry, and return its entry for the reply."""
        if id is None:
            id = f"container_offline_{next(self._numbers)}"
        container = self._open.setdefault(id, _Container(0))
        container.ends = self._clock() + LIFE_SECONDS
        container.names += [file.name for file in made if file.name not in container.names]
        self.files.update({file.id: file for file in made})
        # The reply has the expiry as wall-clock time, whatever `clock` counts from.
        until = datetime.now(UTC).timestamp() + LIFE_SECONDS
        return {"id": id, "expires_at": datetime.fromtimestamp(until, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}

    def file(self, id: str) -> File:
        """A file by its id. Raises the API's 404 for an unknown id."""
        if id not in self.files:
            raise Rejected(f"File not found: {id}", status=404)
        return self.files[id]


def file_of(name: str, media_type: str, data: bytes) -> File:
    """A file whose id is made from its bytes."""
    return File(f"file_offline_{hashlib.sha256(data).hexdigest()[:20]}", name, media_type, data)
