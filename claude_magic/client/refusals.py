"""Translation of error responses into our errors, by type, status or wording: those of the API, and those of gateways,
proxies and web servers on the way to it."""

from __future__ import annotations

import math
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from .. import errors
from ..content.text import short_line
from ..providers import PROVIDERS, Provider
from .bodies import Foreign, Said, address_asked, said
from .redaction import one_line

if TYPE_CHECKING:
    import anthropic
    import httpx2

NAME_AND_PASSWORD = "Both belong into its address, as NAME:PASSWORD in front of an @, where HTTPS_PROXY has it."
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
MAX_ID_CHARACTERS = 100
OK = HTTPStatus.OK
# Where gateways put a status into the body of an error.
_STATUS_NAMES = ("code", "status", "statusCode", "status_code")
# The end of a base URL that the SDK's own path, which begins with /v1, comes after.
_DOUBLED = re.compile(r"(/v1(?:/messages)?)/*/v1/")


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


@dataclass(frozen=True)
class Asked:
    """What was asked, for the words of an error: the provider, the source of the key, and the keys themselves, which
    are not shown."""

    row: Provider
    key_source: str = ""
    secrets: tuple[str, ...] = ()


def status_error(error: anthropic.APIStatusError, request_id: str | None, asked: Asked) -> errors.APIError:
    """Translate an error that came as a response, or in the middle of a stream (then its status is 200)."""
    response = error.response
    told = said(error.body, response.headers.get("content-type", "") if error.status_code != OK else "", asked.secrets)
    kind = _kind(error, told)
    return kind.error(
        _message(response, told),
        advice=_advice_with_address(error, kind, told, asked),
        request_id=request_id or id_in(response.headers) or _id_in_body(error.body),
        status=error.status_code,
        kind=error.type if isinstance(error.type, str) else None,
        retry_after=_retry_after(response.headers),
        retryable=_retryable(error),
    )


def foreign_error(error: Foreign, request_id: str | None, asked: Asked) -> errors.StreamError:
    """Translate an answer with a good status that is not the Messages API's."""
    told = said(error.body, error.response.headers.get("content-type", ""), asked.secrets)
    where = address_asked(error.response)
    if told.is_page:
        message = _page_message(error.response, told)
    elif isinstance(error.body, str) and not error.body.strip():
        message = f"{where} answered with an empty body."
    else:
        form = "text" if isinstance(error.body, str) else "JSON"
        tail = f": {told.words}" if told.words else "."
        message = f"{where} answered with {form} that is not of the Messages API{tail}"
    return errors.StreamError(message, advice=address_advice(where, asked.row), request_id=request_id)


def address_advice(where: str, row: Provider) -> str:
    """The advice for an address at which something else answers than the API."""
    if doubled := _DOUBLED.search(where):
        return f"Leave out the end of the address: base_url goes without {doubled[1]} ({_where_set(row)} sets it)."
    return f"Check the network, a proxy, and the address, where {_where_set(row)} sets it."


def _where_set(row: Provider) -> str:
    return f"ClaudeMagic.base_url or {row.address}" if row.address else "ClaudeMagic.base_url"


def id_in(headers: httpx2.Headers) -> str | None:
    """The request's id, from the API's header or that of a cloud or gateway."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _message(response: httpx2.Response, told: Said) -> str:
    """The words of an error's message; in front of those of anything else, the address that was asked."""
    if told.is_message:
        return told.words
    if told.is_page:
        return _page_message(response, told)
    where, status = address_asked(response), response.status_code
    if status == OK:
        return (
            f"{where} broke off the reply with an error{f': {told.words}' if told.words else ', and no explanation.'}"
        )
    words = _status_in_words(status)
    answered = f"{where} answered {words}"
    if not told.words:
        return f"{answered}, with an empty body."
    return answered if told.words.lower() in words.lower() else f"{answered}: {told.words}"


def _page_message(response: httpx2.Response, told: Said) -> str:
    status, where = response.status_code, address_asked(response)
    kind = response.headers.get("content-type", "").partition(";")[0].strip()
    facts = f"HTTP {status}, {kind}" if kind else f"HTTP {status}"
    words = f" It says: {told.words}" if told.words else ""
    return one_line(f"{where} answered with a web page: a proxy?{words} ({facts}).")


def _status_in_words(status: int) -> str:
    with suppress(ValueError):
        return f"{status} {HTTPStatus(status).phrase}"
    return str(status)


def _advice_with_address(error: anthropic.APIStatusError, kind: _Kind, told: Said, asked: Asked) -> str:
    """The advice; with the address that was asked, if it was not the API that answered and the message lacks it."""
    advice = _advice(error, kind, told, asked)
    if told.is_the_apis or not told.is_message:
        return advice
    return f"{advice} The address asked: {address_asked(error.response)}".strip()


def _advice(error: anthropic.APIStatusError, kind: _Kind, told: Said, asked: Asked) -> str:
    if advice := _advice_by_code(error):
        return advice
    where = address_asked(error.response)
    if error.status_code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return f"A proxy wants a name and a password. {NAME_AND_PASSWORD} {address_advice(where, asked.row)}"
    if not told.is_the_apis and (advice := _advice_on_address(where, error.status_code, kind, told, asked.row)):
        return advice
    if error.status_code == HTTPStatus.NOT_FOUND and _DOUBLED.search(where):
        return address_advice(where, asked.row)
    if asked.row is not PROVIDERS["anthropic"]:
        if kind.error in (errors.AuthenticationError, errors.PermissionDeniedError):
            return f"Look at {asked.row.credentials}."
        if kind.error is errors.BillingError:
            return f"Look at what {asked.row.title} bills."
    if kind.error is errors.AuthenticationError:
        return f"Look at {asked.key_source}; %claude_key takes another."
    return kind.advice


def _advice_by_code(error: anthropic.APIStatusError) -> str:
    appeal = getattr(error.details, "appeal_url", None)
    if error.error_code == "organization_on_hold" and appeal:
        return f"The organization is on hold; appeal at {appeal}."
    if error.error_code in SPENT:
        return "Waiting does not help: raise the limit in the Claude Console, or ask who pays."
    if error.error_code == NO_REVIEW:
        return "Leave out --batch, which asks the rows one by one, or take a key of a workspace with Human Review on."
    return ""


def _advice_on_address(where: str, status: int, kind: _Kind, told: Said, row: Provider) -> str:
    """The advice on an answer that is not the API's; empty if the status says enough, or a model is named."""
    if kind.error in (errors.RequestTooLargeError, errors.RateLimitError):
        return ""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return f"Run the cell again in a moment. {address_advice(where, row)}" if told.is_page else ""
    if told.is_page or status == HTTPStatus.METHOD_NOT_ALLOWED:
        return address_advice(where, row)
    if status == HTTPStatus.NOT_FOUND:
        return "" if "model" in told.words.lower() and not _DOUBLED.search(where) else address_advice(where, row)
    if status == HTTPStatus.FORBIDDEN and row is PROVIDERS["anthropic"]:
        return address_advice(where, row)
    return ""


def _kind(error: anthropic.APIStatusError, told: Said) -> _Kind:
    code = error.error_code or ""
    if code == "image_dimensions_too_large":
        return _BY_WORDS[2][1]
    status = _status(error)
    name = error.type if isinstance(error.type, str) and error.type in _BY_TYPE else _BY_STATUS.get(status)
    if name in _BY_TYPE:
        return _BY_TYPE[name]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _SERVER
    found = next((kind for words, kind in _BY_WORDS if words.search(told.words)), None)
    if found is None and status == OK and error.type != "invalid_request_error":
        return _SERVER  # whatever broke off the reply is not the request, which was accepted
    return found or _Kind(errors.InvalidRequestError)


def _status(error: anthropic.APIStatusError) -> int:
    """The status; of an error with status 200, the one in its body, where a gateway puts it."""
    if error.status_code != OK or not isinstance(error.body, dict):
        return error.status_code
    parts = [part for part in (error.body.get("error"), error.body) if isinstance(part, dict)]
    codes = [str(part.get(name)) for part in parts for name in _STATUS_NAMES]
    return next((int(code) for code in codes if re.fullmatch("[45][0-9]{2}", code)), error.status_code)


def _id_in_body(body: object) -> str | None:
    found = body.get("request_id") if isinstance(body, dict) else None
    return short_line(found, MAX_ID_CHARACTERS) if isinstance(found, str) else None


def _retryable(error: anthropic.APIStatusError) -> bool:
    """Whether to retry, by the SDK's rules (`_base_client.py`); in the middle of a stream, only an overload."""
    if error.error_code in LASTING:
        return False
    if error.status_code == OK:
        return _kind(error, said(error.body)) is _OVERLOADED
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
