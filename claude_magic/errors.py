"""The tree of errors that the package raises, each with a message and advice.

    ClaudeError
    ├── UsageError              the cell asks for something impossible; nothing was sent
    │   └── PromptError         its prompt is empty, or an {{expr}} in it fails
    │       └── UnshowableError     a value in it cannot be shown to Claude
    ├── CredentialsError        no key, or one that cannot be used
    ├── APIError                the API refused the request
    │   ├── AuthenticationError     401
    │   ├── BillingError            402, or out of credit
    │   ├── PermissionDeniedError   403
    │   ├── NotFoundError           404: mostly a model that does not exist
    │   ├── RequestTooLargeError    413, prompt too long, image too large
    │   ├── InvalidRequestError     400 and the other 4xx
    │   │   └── ThinkingRefusedError    a thinking block in the history is not accepted
    │   ├── RateLimitError          429
    │   ├── OverloadedError         529
    │   └── ServerError             5xx
    ├── ConnectionFailedError   the API could not be reached
    ├── StreamError             the reply broke off: cut, stalled, ended early or unreadable
    ├── SchemaError             the reply is complete, but does not fit --schema
    └── ReplyInterrupted        the user stopped the reply
        └── ReplyCancelled          the task that awaits it was cancelled

Errors are raised without a cause (`from None`): the cause of a network error can hold the API key. A notebook shows
the message instead of a traceback (`_render_traceback_` is IPython's hook for that).
"""

from __future__ import annotations

from typing import Any


class ClaudeError(Exception):
    """Base class of all errors that the user sees.

    `message` says what happened, `advice` what to do now; `request_id` is the API's, to quote to its support. Where a
    reply that `ask()` asked for had begun, `reply` is what arrived of it.
    """

    reply: Any = None

    def __init__(self, message: str, *, advice: str = "", request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.request_id = request_id

    def __str__(self) -> str:
        tail = f" (request {self.request_id})" if self.request_id else ""
        return " ".join(part for part in (self.message, self.advice) if part) + tail

    def _render_traceback_(self) -> list[str]:
        lines = [f"{type(self).__name__}: {self.message}"]
        if self.advice:
            lines.append(f"  → {self.advice}")
        if self.request_id:
            lines.append(f"  request {self.request_id}")
        return lines


class UsageError(ClaudeError):
    """The cell asks for something impossible; nothing was sent."""


class PromptError(UsageError):
    """The prompt is empty, or an `{{expr}}` in it fails; nothing was sent."""


class UnshowableError(PromptError):
    """A value in the prompt cannot be shown to Claude, or its `_repr_claude_` gives no content; nothing was sent."""


class CredentialsError(ClaudeError):
    """The API key is missing, or cannot be used."""


class APIError(ClaudeError):
    """The API refused the request.

    `status` is the HTTP status, `kind` the API's error type; `retry_after` is in seconds, `None` where the API sent
    none. `retryable` says whether the same request may succeed later.
    """

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        request_id: str | None = None,
        status: int | None = None,
        kind: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message, advice=advice, request_id=request_id)
        self.status = status
        self.kind = kind
        self.retry_after = retry_after
        self.retryable = retryable


class AuthenticationError(APIError):
    """401: the key is not accepted."""


class BillingError(APIError):
    """402, or the account is out of credit."""


class PermissionDeniedError(APIError):
    """403: the key may not do this."""


class NotFoundError(APIError):
    """404: mostly a model that does not exist."""


class RequestTooLargeError(APIError):
    """413, a prompt longer than the context window, or an image that is too large."""


class InvalidRequestError(APIError):
    """400 and the other 4xx: the request itself is refused."""


class ThinkingRefusedError(InvalidRequestError):
    """400: a thinking block in the history is bound to another conversation, or damaged."""


class RateLimitError(APIError):
    """429: too much in too short a time, or a spending limit."""


class OverloadedError(APIError):
    """529: the API is overloaded."""


class ServerError(APIError):
    """5xx: the API failed."""


class ConnectionFailedError(ClaudeError):
    """The API could not be reached."""


class StreamError(ClaudeError):
    """The reply broke off before its end: cut, stalled, ended early or unreadable."""


class SchemaError(ClaudeError):
    """The reply is complete and kept, but does not fit `--schema`."""


class ReplyInterrupted(ClaudeError):
    """The user stopped the reply."""


class ReplyCancelled(ReplyInterrupted):
    """The task that awaits the reply was cancelled."""
