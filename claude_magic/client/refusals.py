"""Translation of the API's error responses into our errors, by type, status or wording."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from .. import errors
from ..providers import PROVIDERS, Provider
from .redaction import one_line

if TYPE_CHECKING:
    import anthropic
    import httpx2

LONGEST_WAIT_SECONDS = 1e7
RETRIED_STATUS = (408, 409, 429)
# Error codes that come with a retryable status, but do not pass (SDK 2.12, types/shared/*_error.py).
LASTING = ("enforced_spend_limit_reached", "contract_spend_limit_reached", "ramp_limit_exceeded")
# Error codes of spend limits, which somebody has to raise.
SPENT = ("enforced_spend_limit_reached", "contract_spend_limit_reached", "linked_organization_spend_limit_reached")
# A workspace without human review takes no batches (SDK 2.14, types/shared/workspace_human_review_disabled_error.py).
NO_REVIEW = "workspace_human_review_disabled"
# The headers in which the API, a cloud or a gateway gives the request's id.
_REQUEST_IDS = ("request-id", "x-amzn-requestid", "apim-request-id", "x-request-id")


@dataclass(frozen=True)
class _Kind:
    """A kind of API error: our class for it, and the advice to the reader."""

    error: type[errors.APIError]
    advice: str = ""


_BILLING = _Kind(errors.BillingError, "Add credit or change the plan under Billing in the Claude Console.")
_TOO_LARGE = _Kind(
    errors.RequestTooLargeError, "Send less: smaller or fewer attachments, or %claude_reset to start over."
)
_OVERLOADED = _Kind(
    errors.OverloadedError, "Claude has too much to do. Wait a little, or take another model with --model."
)
_SERVER = _Kind(errors.ServerError, "The API failed. Run the cell again in a moment.")
_BY_TYPE = {
    "authentication_error": _Kind(errors.AuthenticationError),
    "billing_error": _BILLING,
    "permission_error": _Kind(
        errors.PermissionDeniedError, "The key may not do this: look at its workspace in the Claude Console."
    ),
    "not_found_error": _Kind(errors.NotFoundError),
    "request_too_large": _TOO_LARGE,
    "rate_limit_error": _Kind(errors.RateLimitError, "Wait a moment, then run the cell again."),
    "timeout_error": _SERVER,
    "api_error": _SERVER,
    "overloaded_error": _OVERLOADED,
}
_BY_STATUS = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
# By the wording of an `invalid_request_error`, where the API has no type of its own.
_BY_WORDS = (
    (re.compile(r"credit balance|billing", re.I), _BILLING),
    (
        re.compile(r"prompt is too long|exceeds? the context window|context limit", re.I),
        _Kind(
            errors.RequestTooLargeError,
            "The conversation is longer than the model's window: %claude_reset starts over, --once asks without it.",
        ),
    ),
    (
        re.compile(r"image.*(exceeds|too large|dimension)", re.I),
        _Kind(
            errors.RequestTooLargeError,
            "Make the image smaller: 10 MB and 8000 px at most, 2000 px where there are many.",
        ),
    ),
    (
        re.compile(r"different conversation|invalid `?signature`? in `?thinking`?|thinking.*cannot be modified", re.I),
        _Kind(errors.ThinkingRefusedError, "%claude_reset starts a conversation without the earlier thinking."),
    ),
    (re.compile(r"too many requests", re.I), _Kind(errors.RateLimitError)),
    (re.compile(r"(invalid|unknown) model name", re.I), _Kind(errors.NotFoundError)),  # LiteLLM
)


def status_error(
    error: anthropic.APIStatusError, key_source: str, request_id: str | None, row: Provider
) -> errors.APIError:
    """Translate an error that the API sent as a response, or in the middle of a stream (then its status is 200)."""
    message = _message(error) or f"HTTP {error.status_code} without an explanation"
    kind = _kind(error, message)
    return kind.error(
        message,
        advice=_advice(error, kind, key_source, row),
        request_id=request_id or id_in(error.response.headers) or _id_in_body(error.body),
        status=error.status_code,
        kind=error.type,
        retry_after=_retry_after(error.response.headers),
        retryable=_retryable(error),
    )


def error_in(body: Mapping[str, Any]) -> errors.APIError:
    """Translate an error body that came with status 200."""
    kind = _BY_TYPE.get(str(body.get("type")), _Kind(errors.InvalidRequestError))
    retryable = kind.error is errors.OverloadedError
    return kind.error(one_line(body.get("message")), advice=kind.advice, retryable=retryable)


def id_in(headers: httpx2.Headers) -> str | None:
    """The request's id, from the API's header or that of a cloud or gateway."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _message(error: anthropic.APIStatusError) -> str:
    """The error's message: Google wraps errors in a list, AWS sends nothing but `message`."""
    body = error.body[0] if isinstance(error.body, list) and error.body else error.body
    inner = body.get("error", body) if isinstance(body, dict) else None
    message = inner.get("message") or inner.get("Message") if isinstance(inner, dict) else inner
    return one_line(error.api_message or (message if isinstance(message, str) else ""))


def _advice(error: anthropic.APIStatusError, kind: _Kind, key_source: str, row: Provider) -> str:
    appeal = getattr(error.details, "appeal_url", None)
    if error.error_code == "organization_on_hold" and appeal:
        return f"The organization is on hold; appeal at {appeal}."
    if error.error_code in SPENT:
        return "Waiting does not help: raise the limit in the Claude Console, or ask who pays."
    if error.error_code == NO_REVIEW:
        return "Leave out --batch, which asks the rows one by one, or take a key of a workspace with Human Review on."
    if row is not PROVIDERS["anthropic"] and kind.error in (errors.AuthenticationError, errors.PermissionDeniedError):
        return f"Look at {row.credentials}."
    if row is not PROVIDERS["anthropic"] and kind.error is errors.BillingError:
        return f"Look at what {row.title} bills."
    if kind.error is errors.AuthenticationError:
        return f"Look at {key_source}; %claude_key takes another."
    return kind.advice


def _kind(error: anthropic.APIStatusError, message: str) -> _Kind:
    code = error.error_code or ""
    if code == "image_dimensions_too_large":
        return _BY_WORDS[2][1]
    name = error.type if error.type in _BY_TYPE else _BY_STATUS.get(error.status_code)
    if name in _BY_TYPE:
        return _BY_TYPE[name]
    if error.status_code >= 500:
        return _SERVER
    return next((kind for words, kind in _BY_WORDS if words.search(message)), _Kind(errors.InvalidRequestError))


def _id_in_body(body: object) -> str | None:
    found = body.get("request_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _retryable(error: anthropic.APIStatusError) -> bool:
    """Whether to retry, by the SDK's rules (`_base_client.py`); in the middle of a stream, only an overload."""
    if error.error_code in LASTING:
        return False
    if error.status_code == 200:
        return error.type == "overloaded_error"
    should_retry = error.response.headers.get("x-should-retry")
    if should_retry in ("true", "false"):
        return should_retry == "true"
    return error.status_code in RETRIED_STATUS or error.status_code >= 500


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds to wait, by the headers `retry-after-ms` or `retry-after` (a number or a date)."""
    with suppress(KeyError, ValueError):
        return _seconds(float(headers["retry-after-ms"]) / 1000)
    with suppress(KeyError, ValueError):
        return _seconds(float(headers["retry-after"]))
    with suppress(KeyError, ValueError, TypeError):
        return _seconds(parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    return None


def _seconds(requested: float) -> float:
    if math.isnan(requested):
        raise ValueError(requested)
    return min(requested, LONGEST_WAIT_SECONDS)
