"""What can go wrong, as a tree, and what to do about it.

    ClaudeError
    ├── UsageError              the cell asks for something that cannot be; nothing was sent
    │   └── PromptError         its prompt is empty, or an {{expr}} in it fails
    │       └── UnshowableError     a value in it cannot be shown to Claude
    ├── CredentialsError        no key, or one that cannot be used
    ├── APIError                the API said no
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
    ├── ConnectionFailedError   the API was not reached
    ├── StreamError             the reply broke off: cut, stalled, ended early or unreadable
    ├── SchemaError             the reply is whole, but not what --schema asks for
    └── ReplyInterrupted        the reader stopped the reply

Each is raised without a cause: the causes of network errors can hold the key. In a notebook it
renders as its message, not as a traceback (`_render_traceback_` is IPython's hook for that).
"""

from __future__ import annotations


class ClaudeError(Exception):
    """A failure, told to the person at the notebook.

    `message` says what happened; `advice` what to do now; `request_id` is the API's, for support.
    """

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
    """The cell asks for something that cannot be; nothing was sent."""


class PromptError(UsageError):
    """The prompt is empty, or an `{{expr}}` in it fails; nothing was sent."""


class UnshowableError(PromptError):
    """A value of the prompt cannot be shown to Claude, or says of itself what no content block is; nothing was sent."""


class CredentialsError(ClaudeError):
    """There is no key, or one that cannot be used."""


class APIError(ClaudeError):
    """The API refused the request. `retry_after` is in seconds, where it gave one."""

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
    """402, or the credit is used up."""


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
    """529: the API has too much to do."""


class ServerError(APIError):
    """5xx: the API failed."""


class ConnectionFailedError(ClaudeError):
    """The API was not reached."""


class StreamError(ClaudeError):
    """The reply broke off before its end: cut, stalled, ended early or unreadable."""


class SchemaError(ClaudeError):
    """The reply is kept, but it is not what `--schema` asks for."""


class ReplyInterrupted(ClaudeError):
    """The reader stopped the reply."""
