"""Faults that the stand-in can be told to simulate, and the API's error bodies.

Source of statuses and bodies: the API's errors page, and `anthropic/_exceptions.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["status", "close", "cut", "cut_inside", "end", "stall", "error", "broken", "slow"]

# status → (error type, message)
STATUS_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "Your organization has a billing problem. Please go to Plans & Billing."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "Not found"),
    408: ("timeout_error", "Request timed out"),
    409: ("conflict_error", "The request conflicts with another one."),
    412: ("invalid_request_error", "A precondition of the request does not hold."),
    413: ("request_too_large", "Request exceeds the maximum size"),
    422: ("invalid_request_error", "The request cannot be processed."),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    431: ("invalid_request_error", "The request's header fields are too large."),
    499: ("invalid_request_error", "The client closed the request."),
    500: ("api_error", "Internal server error"),
    503: ("api_error", "Service unavailable"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
_RETRYABLE = frozenset({408, 409, 429})


@dataclass(frozen=True)
class Fault:
    """A simulated failure of one request.

    | kind | what happens |
    |---|---|
    | `status` | an HTTP error `status`, with its real body and `headers` |
    | `close` | the connection closes before any answer |
    | `cut` | the connection closes after `after` events |
    | `cut_inside` | the same, in the middle of the next event |
    | `end` | the stream ends cleanly after `after` events, without `message_stop` |
    | `stall` | after `after` events nothing more comes, and the connection stays open |
    | `error` | `event: error` of type `error` after `after` events |
    | `broken` | an event whose JSON is broken after `after` events |
    | `slow` | `seconds` pass before each event |

    `after` counts the events sent, pings included. `message` replaces the error's own text; `details` are the `details`
    of a `status` error, such as its `error_code`.
    """

    kind: Kind = "slow"
    after: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = "overloaded_error"
    message: str | None = None
    details: Mapping[str, Any] | None = None


class Rejected(Exception):
    """The API refuses a request: the HTTP status, the error's type (`kind`), message and details."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind or STATUS_ERRORS[status][0]
        self.details = details


def rejection(fault: Fault) -> Rejected:
    """The HTTP error of a `status` fault."""
    kind, message = STATUS_ERRORS.get(fault.status, ("api_error", "Internal server error"))
    return Rejected(fault.message or message, status=fault.status, kind=kind, details=fault.details)


def error_body(kind: str, message: str, request_id: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An error in the API's form, as in a response and in `event: error`."""
    error: dict[str, Any] = {"type": kind, "message": message}
    if details is not None:
        error["details"] = dict(details)
    return {"type": "error", "error": error, "request_id": request_id}


def stream_error_message(fault: Fault) -> str:
    """The message of `event: error` for a fault."""
    known = dict(STATUS_ERRORS.values())
    return fault.message or known.get(fault.error, "Internal server error")


def status_of(error: str) -> int:
    """The HTTP status of an error type; 500 for an unknown one."""
    return next((status for status, (kind, _) in STATUS_ERRORS.items() if kind == error), 500)


def should_retry(status: int) -> str:
    """The value of the API's `x-should-retry` header for an HTTP status."""
    return "true" if status in _RETRYABLE or status >= 500 else "false"
