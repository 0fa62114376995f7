"""A stand-in that stops in the middle of a reply where a test wants it to, and goes on when told."""

from __future__ import annotations

import itertools
import math
import threading
from typing import Any

from claude_magic import offline
from claude_magic.offline.replies.message import events

KEY = "sk-ant-test"


class SteeredServer(offline.Server):
    """A stand-in that stops in the middle of a reply where a test wants it to, and goes on when told.

    `lies` replace what stands at the top of each message: its model, its stop reason and so on.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lies: dict[str, Any] = {}
        self._message: dict[str, Any] = {}
        self._gate = threading.Condition()
        self._left = math.inf

    def hold(self, events: int) -> None:
        """Let so many more events out, and then none until the next `hold` or `release`."""
        self._let_out(events)

    def wait_until_held(self) -> None:
        """Wait until the events that `hold` lets out are on their way."""
        with self._gate:
            assert self._gate.wait_for(lambda: self._left <= 0, timeout=60), "not so many events"

    def release(self) -> None:
        """Let all events out."""
        self._let_out(math.inf)

    def wait(self, seconds: float) -> None:
        """Before each event."""
        super().wait(seconds)
        with self._gate:
            self._gate.wait_for(lambda: self._left > 0)
            self._left -= 1
            self._gate.notify_all()

    def answer(self, body: dict[str, Any], model: Any, key: str) -> dict[str, Any]:
        """The stand-in's message, with the lies in it."""
        self._message = {**super().answer(body, model, key), **self.lies}
        return self._message

    def first_events(self, count: int) -> list[dict[str, Any]]:
        """So many events of the newest reply: those that went out, where it was held there."""
        return list(itertools.islice(events(self._message), count))

    def stop(self) -> None:
        """Stop listening, and let go of whoever waits."""
        self.release()
        super().stop()

    def _let_out(self, events: float) -> None:
        with self._gate:
            self._left = events
            self._gate.notify_all()
