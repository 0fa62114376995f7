"""The event stream of one request, with visible, interruptible retries.

The SDK's own retries are off: they wait silently, for as long as the server asks.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from .. import errors
from ..conversation.wait import Wait
from .events import read
from .refusals import id_in
from .retry import delay_before, is_retryable, retry_reason
from .sdk_arguments import create_arguments
from .settings import Settings, headers

if TYPE_CHECKING:
    from . import Client


class Stream:
    """The events of one request, as plain dicts, with retries.

    `request_id` and `retries` are those of the current attempt; `sent` is when the first one was sent
    (`time.monotonic`). After a retry, a `message_start` event starts the reply over. The iteration ends
    with `message_stop`; any other end raises a `ClaudeError`.
    """

    def __init__(
        self, client: Client, params: Mapping[str, Any], settings: Settings, on_wait: Callable[[Wait], None]
    ) -> None:
        self._client = client
        self._params = params
        self._settings = settings
        self._on_wait = on_wait
        self.request_id: str | None = None
        self.retries = 0
        self._answered = False
        self.sent = time.monotonic()

    def __iter__(self) -> Generator[Any, None, None]:
        while True:
            visible = False
            broken: Exception | None = None
            try:
                for event in self._attempt():
                    if not isinstance(event, dict):
                        raise errors.StreamError("The reply is unreadable: an event in it is no object.")
                    visible = visible or _is_visible(event)
                    yield event
                    if event.get("type") == "message_stop":
                        return
            except Exception as error:
                broken = error
            # outside of `except`: the exception can hold the key, as its context or as a local variable
            failure, broken = self._failure(broken), None
            self._client.forget()
            if visible or self.retries >= self._settings.max_retries or not is_retryable(failure):
                raise failure
            self._wait(failure)

    def _attempt(self) -> Iterator[Any]:
        self.request_id, self._answered = None, False
        extra_headers = headers(self._settings, self._client.secrets())
        sdk = self._client.sdk(self._settings)
        create: Any = sdk.messages.with_streaming_response.create
        arguments = create_arguments(create, self._client.with_tokens(self._params, self._settings), extra_headers)
        if not self.retries:
            self.sent = time.monotonic()  # the time to build the SDK's client is not counted as Claude's
        with ExitStack() as stack:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the SDK's, of old models and settings: we say so ourselves
                response = stack.enter_context(create(**arguments))
            self._answered = True
            self.request_id = id_in(response.headers)
            yield from read(response, sdk)

    def _wait(self, failure: errors.ClaudeError) -> None:
        """Pause before the next attempt, and report it each second. Raises the failure if the pause is too long."""
        delay = delay_before(self.retries, failure, self._settings.max_retry_wait)
        self.retries += 1
        end = time.monotonic() + delay
        while (left := end - time.monotonic()) > 0:
            self._on_wait(Wait(retry_reason(failure), left, self.retries, self._settings.max_retries))
            time.sleep(min(left, 1.0))

    def _failure(self, error: Exception | None) -> errors.ClaudeError:
        """Translate the exception that ended an attempt; `None` stands for an end without `message_stop`."""
        if error is None:
            return errors.StreamError("The reply ended before it was finished.", request_id=self.request_id)
        return self._client.failure(
            error,
            self._settings,
            model=str(self._params.get("model")),
            request_id=self.request_id,
            answered=self._answered,
        )


def _is_visible(event: Mapping[str, Any]) -> bool:
    """Whether an event adds something that the reader sees: after that, a retry would show a second reply."""
    delta = event.get("delta") if event.get("type") == "content_block_delta" else None
    return isinstance(delta, dict) and any(delta.get(name) for name in ("text", "thinking", "partial_json"))
