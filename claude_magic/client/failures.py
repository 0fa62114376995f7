"""Translation of exceptions (of the SDK, its providers' packages, httpx2) into our errors.

The text of most network errors is left out: it can hold the key (CLAUDE_API.md §9).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .. import errors
from ..content.text import short
from ..providers import PROVIDERS, Provider
from .bodies import Foreign
from .redaction import one_line, redact
from .refusals import NAME_AND_PASSWORD, Asked, address_advice, foreign_error, status_error

if TYPE_CHECKING:
    import anthropic

# Packages that authenticate requests: any request can raise their exceptions.
_SIGNING = ("botocore", "boto3", "google.auth")
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
MAX_REASON_CHARACTERS = 120
_THE_API = PROVIDERS["anthropic"]


def translate(
    error: Exception,
    key_source: str,
    timeout: float,
    request_id: str | None,
    row: Provider = _THE_API,
    secrets: tuple[str, ...] = (),
) -> errors.ClaudeError:
    """Translate an exception of a request. `timeout` is in seconds, as it was set for the request."""
    import anthropic
    import httpx2

    asked = Asked(row, key_source, secrets)
    if isinstance(error, anthropic.APIStatusError):
        return status_error(error, request_id, asked)
    if isinstance(error, Foreign):
        return foreign_error(error, request_id, asked)
    network = anthropic.APIConnectionError | httpx2.HTTPError | httpx2.StreamError
    if isinstance(error, network | httpx2.InvalidURL | httpx2.CookieConflict):
        return _network_error(error, timeout, request_id, row)
    if isinstance(error, anthropic.AnthropicError) or _is_missing_key(error):
        return errors.CredentialsError("There is no API key.", advice=row.setup)
    if isinstance(error, UnicodeEncodeError):
        return errors.UsageError("The request holds text that is not valid Unicode; nothing was sent.")
    if isinstance(error, ValueError | RecursionError):
        return errors.StreamError("The reply is unreadable: it is not valid JSON.", request_id=request_id)
    return errors.ClaudeError(f"{type(error).__name__} in the anthropic package.", request_id=request_id)


def setup_error(error: Exception, row: Provider, secrets: tuple[str, ...] = ()) -> errors.ClaudeError | None:
    """The error for a missing package or setting, before anything was sent; `None` if the exception is of another kind.

    The SDK's message names arguments of its constructors; only the environment variables in it are passed on.
    """
    import anthropic

    message = redact(one_line(error), secrets)
    if row.extra and (isinstance(error, ImportError) or "pip install" in message):
        install = f'pip install "anthropic[{row.extra}]"'
        return errors.UsageError(f"{row.title} needs a package that is not installed.", advice=install)
    if type(error).__module__.startswith(_SIGNING):
        return errors.CredentialsError(f"{row.title}: signing in failed ({type(error).__name__}).", advice=row.setup)
    is_the_sdks = isinstance(error, anthropic.AnthropicError) and not isinstance(error, anthropic.APIError)
    if row is _THE_API or not (is_the_sdks or type(error) in (RuntimeError, ValueError)):
        return None
    if variables := list(dict.fromkeys(_VARIABLE.findall(message))):
        missing = " or ".join(variables)
        return errors.CredentialsError(f"{row.title} is not set up: there is no {missing}.", advice=row.setup)
    if "not supported" in message:
        return errors.UsageError(f"{row.title}: {message}.")
    if type(error) is ValueError:  # its message can hold the value
        return errors.CredentialsError(f"{row.title} is not set up.", advice=row.setup)
    return errors.CredentialsError(f"{row.title} is not set up: {message.rstrip('.')}.", advice=row.setup)


def _network_error(error: Exception, timeout: float, request_id: str | None, row: Provider) -> errors.ClaudeError:
    """Translate a network failure: before the reply began, or in the middle of it."""
    import anthropic
    import httpx2

    if isinstance(error.__cause__, httpx2.LocalProtocolError):
        return errors.UsageError("The request cannot be written: a header is malformed.", advice=CHECK_HEADERS)
    if isinstance(error, anthropic.APITimeoutError):
        return errors.ConnectionFailedError(f"no answer within {timeout:.0f} s", advice=address_advice("", row))
    if isinstance(error, anthropic.APIConnectionError) and _wants_a_name(error.__cause__):
        return errors.CredentialsError("The proxy wants a name and a password.", advice=NAME_AND_PASSWORD)
    if isinstance(error, anthropic.APIConnectionError):
        return errors.ConnectionFailedError(_why_unreachable(error), advice=address_advice("", row))
    if isinstance(error, httpx2.TimeoutException):
        return errors.StreamError(f"The reply stalled: nothing came for {timeout:.0f} s.", request_id=request_id)
    if isinstance(error, httpx2.InvalidURL):
        return errors.ConnectionFailedError("it is not an address", advice=address_advice("", row))
    return errors.StreamError("The connection was cut in the middle of the reply.", request_id=request_id)


CHECK_HEADERS = "Look at the key, and at ANTHROPIC_CUSTOM_HEADERS if it is set."


def _is_missing_key(error: Exception) -> bool:
    # SDK 2.12 raises a bare TypeError where nothing is configured (_client.py).
    return isinstance(error, TypeError) and "authentication" in str(error)


def _wants_a_name(error: BaseException | None) -> bool:
    """Whether a proxy has answered 407, before the request was sent."""
    import httpx2

    return isinstance(error, httpx2.ProxyError) and str(error).startswith("407")


def _why_unreachable(error: anthropic.APIConnectionError) -> str:
    import httpx2

    cause = error.__cause__
    if isinstance(cause, httpx2.ProxyError):
        return short(f"the proxy refused: {one_line(cause)}", MAX_REASON_CHARACTERS)
    if not isinstance(cause, httpx2.ConnectError | httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
        return "the connection failed"
    reason = re.sub(r"^\[.*?\] *", "", str(cause)).rstrip(".").lower()
    return reason[:MAX_REASON_CHARACTERS] or "the connection was closed"
