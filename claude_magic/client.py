"""The network, and nothing else: requests out, events in, every failure as one of ours.

The only module that imports `anthropic`, and not before the first request needs it. Retries are
here, not in the SDK, which waits silently and as long as it is told to.
"""

from __future__ import annotations

import math
import os
import random
import re
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from . import errors, models

if TYPE_CHECKING:
    import anthropic
    import httpx2

    from .offline import Server

CONNECT_SECONDS = 10.0
MODELS_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 1e7
MAX_MESSAGE_CHARACTERS = 500
MIN_SECRET_CHARACTERS = 8
RETRIED_STATUS = (408, 409, 429)
# Errors of a status that is retried, but that no waiting clears (SDK 2.12, types/shared/*_error.py).
LASTING = ("enforced_spend_limit_reached", "contract_spend_limit_reached", "ramp_limit_exceeded")
# What a client is built from: when one of these changes, the next cell has a new one.
ENVIRONMENT = re.compile(r"ANTHROPIC_|(?:https?|all|no)_proxy$|SSL_CERT_", re.IGNORECASE)
KEY_LIKE = re.compile(r"sk-ant-[\w-]+")


@dataclass(frozen=True)
class Settings:
    """How to reach Claude. `timeout` and `max_retry_wait` are in seconds."""

    provider: str = "anthropic"
    max_retries: int = 4
    max_retry_wait: float = 60.0
    timeout: float = 120.0
    headers: tuple[tuple[str, str], ...] = ()
    betas: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wait:
    """A pause before the next attempt: why, and how many seconds are left of it."""

    reason: str
    seconds: float
    attempt: int
    attempts: int


class Client:
    """Makes the SDK's client from the environment as it is now, and streams replies."""

    def __init__(self) -> None:
        self._key: str | None = None
        self._sdk: anthropic.Anthropic | None = None
        self._made_from: object = None
        self._offline: Server | None = None
        self._starting = threading.Lock()

    def use_key(self, key: str) -> None:
        """Use this API key, in memory only, from now on. Raises `CredentialsError` if it cannot be one."""
        if not key:
            raise errors.CredentialsError("No key was entered; nothing changed.")
        self._key = _clean("the key", key)

    def stream(self, params: Mapping[str, Any], settings: Settings, on_wait: Callable[[Wait], None]) -> Stream:
        """Send a request. The events come as the stream is iterated; failures are raised there."""
        return Stream(self, params, settings, on_wait)

    @property
    def offline(self) -> Server:
        """The offline stand-in, started at first use."""
        from . import offline

        with self._starting:
            if self._offline is None:
                self._offline = offline.start()
        return self._offline

    def sdk(self, settings: Settings) -> anthropic.Anthropic:
        """The SDK's client for these settings and the environment as it is now.

        Made in a thread of its own: an Interrupt then ends the waiting at once, and cannot leave
        the import of `anthropic` (over a second) half done.
        """
        environment = {name: value for name, value in os.environ.items() if ENVIRONMENT.match(name)}
        made_from = (settings, self._key, environment)
        if self._sdk is None or self._made_from != made_from:
            pool = ThreadPoolExecutor(1, "claude_magic client")
            making = pool.submit(self._build, settings)
            pool.shutdown(wait=False)
            self._sdk = making.result()
            self._made_from = made_from
        return self._sdk

    def forget(self) -> None:
        """Build the SDK's client anew next time: credentials in files may have changed."""
        self._sdk = None

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        known = (self._key, os.environ.get("ANTHROPIC_API_KEY"), os.environ.get("ANTHROPIC_AUTH_TOKEN"))
        return tuple(each.strip() for each in known if each and len(each.strip()) >= MIN_SECRET_CHARACTERS)

    def key_source(self) -> str:
        """Where the key comes from, in words."""
        if self._key:
            return "the key given to %claude_key"
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
            if os.environ.get(name, "").strip():
                return f"the key in {name}"
        return "your Anthropic profile"

    def _build(self, settings: Settings) -> anthropic.Anthropic:
        import anthropic
        import httpx2

        timeout = httpx2.Timeout(settings.timeout, connect=CONNECT_SECONDS)
        if settings.provider == "offline":
            return anthropic.Anthropic(api_key="offline", base_url=self.offline.url, max_retries=0, timeout=timeout)
        given = {**_credentials(self._key), **_base_url()}
        failed: type[errors.ClaudeError] = errors.CredentialsError
        try:
            return anthropic.Anthropic(**given, max_retries=0, timeout=timeout)
        except anthropic.AnthropicError as error:
            message, advice = redact(_flat(error), self.secrets()), HOW_TO_SET_A_KEY
        except (ValueError, ImportError, OSError) as error:
            message = f"The connection cannot be set up ({type(error).__name__})."
            advice, failed = "Look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE.", errors.UsageError
        raise failed(message, advice=advice)


HOW_TO_SET_A_KEY = (
    "Set ANTHROPIC_API_KEY in the environment before Jupyter starts, or run %claude_key, which asks for it "
    "with hidden input. To try without a key: %config ClaudeMagic.provider = 'offline'"
)


def _credentials(key: str | None) -> dict[str, Any]:
    """What to give the SDK beside what it finds itself: only where a variable holds stray white space."""
    if key:
        return {"api_key": key}
    for name, argument in (("ANTHROPIC_API_KEY", "api_key"), ("ANTHROPIC_AUTH_TOKEN", "auth_token")):
        value = os.environ.get(name, "")
        if cleaned := _clean(name, value):
            return {} if cleaned == value else {argument: cleaned}
    return {}


def _base_url() -> dict[str, Any]:
    """ANTHROPIC_BASE_URL without stray white space. Raises `UsageError` if it is no address."""
    address = os.environ.get("ANTHROPIC_BASE_URL", "").strip()
    if not address:
        return {}
    if not re.match(r"https?://[^/?#\s]+", address):
        raise errors.UsageError(
            "ANTHROPIC_BASE_URL is not an address.", advice="It opens with http:// or https:// and a host."
        )
    return {"base_url": address}


def _clean(name: str, value: str) -> str:
    value, given = value.strip(), value
    if given and not value:
        raise errors.CredentialsError(f"{name[0].upper()}{name[1:]} holds nothing but white space.")
    if not value.isascii() or not (value.isprintable() and " " not in value):
        raise errors.CredentialsError(
            f"{name[0].upper()}{name[1:]} holds a character that no key has.",
            advice="It may be a line break, a space or a typographic sign: copy the key once more.",
        )
    return value


class Stream:
    """One request's events, as plain dicts, over as many attempts as it takes.

    `request_id` and `retries` are those of the attempt under way, `sent` is when the first one went
    out (`time.monotonic`). A `message_start` event begins the reply anew. The iteration ends with
    `message_stop`; any other end raises a `ClaudeError`.
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
        self.sent = time.monotonic()

    def __iter__(self) -> Generator[Any, None, None]:
        while True:
            visible = False
            broken: Exception | None = None
            try:
                for event in self._attempt():
                    visible = visible or _is_visible(event)
                    yield event
                    if event.get("type") == "message_stop":
                        return
            except Exception as error:
                broken = error
            failure = self._failure(broken)  # outside of `except`: a cause can hold the key
            self._client.forget()
            if visible or self.retries >= self._settings.max_retries or not _is_retryable(failure):
                raise failure
            self._wait(failure)

    def _attempt(self) -> Iterator[Any]:
        self.request_id = None
        sdk = self._client.sdk(self._settings)
        import anthropic

        class Events(anthropic.Stream[object]):
            """The SDK's stream with the events as the dicts that came, nothing lost or renamed."""

        params: Any = self._params
        if not self.retries:
            self.sent = time.monotonic()  # making the SDK's client, the first time, is not Claude's doing
        with ExitStack() as stack:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of old models and settings: ours to say, not in the cell's stderr
                response = stack.enter_context(sdk.messages.with_streaming_response.create(**params))
            self.request_id = response.headers.get("request-id")
            kind = response.headers.get("content-type", "")
            if kind.startswith("text/html"):
                raise errors.StreamError(
                    f"{_address(sdk)} answered with a web page ({kind}), which is not the Messages API.",
                    advice="Look at ANTHROPIC_BASE_URL.",
                )
            if kind.startswith("application/json"):
                response.read()
                yield from _events_of(response.json())
            else:
                yield from response.parse(to=Events)

    def _wait(self, failure: errors.ClaudeError) -> None:
        """Pause before the next attempt, telling so each second. Raises the failure if the pause is too long."""
        delay = _delay(self.retries, getattr(failure, "retry_after", None))
        if delay > self._settings.max_retry_wait:
            form = "%H:%M:%S" if delay < 3600 else "%Y-%m-%d %H:%M"
            clock = time.strftime(form, time.localtime(time.time() + delay))
            failure.advice = f"It asks to come back in {delay:.0f} s, at {clock}; max_retry_wait is shorter than that."
            raise failure
        self.retries += 1
        end = time.monotonic() + delay
        while (left := end - time.monotonic()) > 0:
            self._on_wait(Wait(_reason(failure), left, self.retries, self._settings.max_retries))
            time.sleep(min(left, 1.0))

    def _failure(self, error: Exception | None) -> errors.ClaudeError:
        """What ended the attempt, as one of ours; `None` is an end without `message_stop`."""
        if error is None:
            return errors.StreamError("The reply ended before it was finished.", request_id=self.request_id)
        if isinstance(error, errors.ClaudeError):
            return error
        request_id = getattr(error, "request_id", None) or self.request_id
        failure = translate(error, self._client.key_source(), self._settings.timeout, request_id)
        if isinstance(failure, errors.NotFoundError) and "model" in failure.message:
            near = models.nearest(str(self._params.get("model")), self._known_models())
            failure.advice = f"Nearest models: {', '.join(near)}."
        if isinstance(failure, errors.ConnectionFailedError):
            failure.message = f"{self._base_url()} cannot be reached: {failure.message}."
        secrets = self._client.secrets()
        failure.message = redact(failure.message, secrets)
        failure.args = (failure.message,)
        return failure

    def _base_url(self) -> str:
        with suppress(Exception):
            return _address(self._client.sdk(self._settings))
        return "The API"

    def _known_models(self) -> list[str]:
        with suppress(Exception):
            listed = self._client.sdk(self._settings).with_options(timeout=MODELS_SECONDS).models.list(limit=100)
            return [model.id for model in listed.data]
        return []


def _address(sdk: anthropic.Anthropic) -> str:
    """Scheme, host and port of where requests go: not the user part, which can hold a password."""
    parts = urlsplit(str(sdk.base_url))
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _events_of(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A reply that came in one piece (some gateways do not stream), as events. Raises what else it is."""
    error = message.get("error") if isinstance(message, dict) else None
    if isinstance(error, dict):
        kind = _BY_TYPE.get(str(error.get("type")), _Kind(errors.InvalidRequestError))
        retryable = kind.error is errors.OverloadedError
        raise kind.error(_flat(error.get("message")), advice=kind.advice, retryable=retryable)
    if not isinstance(message, dict) or message.get("type") != "message":
        raise errors.StreamError("The answer is JSON, but not a message.", advice="Look at ANTHROPIC_BASE_URL.")
    yield {"type": "message_start", "message": message}
    yield {"type": "message_stop"}


def _is_visible(event: Any) -> bool:
    """Whether an event brings something that a reader sees: from then on a retry would be a second reply."""
    if not isinstance(event, dict) or event.get("type") != "content_block_delta":
        return False
    delta = event.get("delta") or {}
    return any(delta.get(name) for name in ("text", "thinking", "partial_json"))


def _is_retryable(failure: errors.ClaudeError) -> bool:
    if isinstance(failure, errors.APIError):
        return failure.retryable
    return isinstance(failure, errors.ConnectionFailedError)


def _delay(retries: int, retry_after: float | None) -> float:
    """Seconds until the next attempt: what the API asks for, else the SDK's own backoff (`_base_client.py`)."""
    if retry_after is not None and retry_after > 0:
        return retry_after
    return min(0.5 * 2.0**retries, 8.0) * (1 - 0.25 * random.random())


def _reason(failure: errors.ClaudeError) -> str:
    reasons = {
        errors.RateLimitError: "rate limit",
        errors.OverloadedError: "overloaded",
        errors.ConnectionFailedError: "no connection",
    }
    return reasons.get(type(failure), "server error")


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Text with keys taken out."""
    for secret in secrets:
        text = text.replace(secret, "…")
    return KEY_LIKE.sub("sk-ant-…", text)


def translate(error: Exception, key_source: str, timeout: float, request_id: str | None) -> errors.ClaudeError:
    """Any failure of the SDK or of httpx2 as one of ours.

    The words of most network errors are not passed on: they can hold the key (CLAUDE_API.md §9).
    """
    import anthropic
    import httpx2

    if isinstance(error, anthropic.APIStatusError):
        return _status_error(error, key_source, request_id)
    network = anthropic.APIConnectionError | httpx2.HTTPError | httpx2.StreamError
    if isinstance(error, network | httpx2.InvalidURL | httpx2.CookieConflict):
        return _network_error(error, timeout, request_id)
    if isinstance(error, anthropic.CredentialsError | anthropic.AnthropicError) or _is_missing_key(error):
        return errors.CredentialsError("There is no API key.", advice=HOW_TO_SET_A_KEY)
    if isinstance(error, UnicodeEncodeError):
        return errors.UsageError("The request holds text that is not valid Unicode; nothing was sent.")
    if isinstance(error, ValueError):
        return errors.StreamError("The reply is unreadable: it is not valid JSON.", request_id=request_id)
    return errors.ClaudeError(f"{type(error).__name__} in the anthropic package.", request_id=request_id)


def _network_error(error: Exception, timeout: float, request_id: str | None) -> errors.ClaudeError:
    """What went wrong between here and the API: before the reply began, or in the middle of it."""
    import anthropic
    import httpx2

    if isinstance(error.__cause__, httpx2.LocalProtocolError):
        return errors.UsageError("The request cannot be written: a header is malformed.", advice=CHECK_HEADERS)
    if isinstance(error, anthropic.APITimeoutError):
        return errors.ConnectionFailedError(f"no answer within {timeout:.0f} s", advice=CHECK_ADDRESS)
    if isinstance(error, anthropic.APIConnectionError):
        return errors.ConnectionFailedError(_why_unreachable(error), advice=CHECK_ADDRESS)
    if isinstance(error, httpx2.TimeoutException):
        return errors.StreamError(f"The reply stalled: nothing came for {timeout:.0f} s.", request_id=request_id)
    if isinstance(error, httpx2.InvalidURL):
        return errors.ConnectionFailedError("it is not an address", advice=CHECK_ADDRESS)
    return errors.StreamError("The connection was cut in the middle of the reply.", request_id=request_id)


CHECK_HEADERS = "Look at the key, and at ANTHROPIC_CUSTOM_HEADERS if it is set."
CHECK_ADDRESS = "Check the network, a proxy, and ANTHROPIC_BASE_URL if it is set."


def _is_missing_key(error: Exception) -> bool:
    # SDK 2.12 raises a bare TypeError where nothing is configured (_client.py).
    return isinstance(error, TypeError) and "authentication" in str(error)


def _why_unreachable(error: anthropic.APIConnectionError) -> str:
    import httpx2

    cause = error.__cause__
    if not isinstance(cause, httpx2.ConnectError | httpx2.ReadError | httpx2.WriteError | httpx2.RemoteProtocolError):
        return "the connection failed"
    return re.sub(r"^\[.*?\] *", "", str(cause)).rstrip(".").lower()[:120] or "the connection was closed"


@dataclass(frozen=True)
class _Kind:
    """What to make of an API error: our class, what to say before the API's own words, what to do."""

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
# By the words of an invalid_request_error, which has no code of its own for these.
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
)


def _status_error(error: anthropic.APIStatusError, key_source: str, request_id: str | None) -> errors.APIError:
    """An error that the API sent, with a status or in the middle of a stream (then the status is 200)."""
    said = _flat(error.api_message) or f"HTTP {error.status_code} without an explanation"
    kind = _kind(error, said)
    advice = kind.advice
    if kind.error is errors.AuthenticationError:
        advice = f"Look at {key_source}; %claude_key takes another."
    appeal = getattr(error.details, "appeal_url", None)
    if error.error_code == "organization_on_hold" and appeal:
        advice = f"The organization is on hold; appeal at {appeal}."
    return kind.error(
        said,
        advice=advice,
        request_id=request_id or _id_in_body(error.body),
        status=error.status_code,
        kind=error.type,
        retry_after=_retry_after(error.response.headers),
        retryable=_retryable(error),
    )


def _flat(message: object) -> str:
    """The API's own words on one line of bounded length."""
    words = " ".join(str(message or "").split())
    return words if len(words) <= MAX_MESSAGE_CHARACTERS else words[:MAX_MESSAGE_CHARACTERS] + " …"


def _kind(error: anthropic.APIStatusError, said: str) -> _Kind:
    code = error.error_code or ""
    if code == "image_dimensions_too_large":
        return _BY_WORDS[2][1]
    name = error.type if error.type in _BY_TYPE else _BY_STATUS.get(error.status_code)
    if name in _BY_TYPE:
        return _BY_TYPE[name]
    if error.status_code >= 500:
        return _SERVER
    return next((kind for words, kind in _BY_WORDS if words.search(said)), _Kind(errors.InvalidRequestError))


def _id_in_body(body: object) -> str | None:
    found = body.get("request_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _retryable(error: anthropic.APIStatusError) -> bool:
    """As the SDK decides (`_base_client.py`), and in the middle of a stream only an overload."""
    if error.error_code in LASTING:
        return False
    if error.status_code == 200:
        return error.type == "overloaded_error"
    told = error.response.headers.get("x-should-retry")
    if told in ("true", "false"):
        return told == "true"
    return error.status_code in RETRIED_STATUS or error.status_code >= 500


def _retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that the API asks to wait: `retry-after-ms`, or `retry-after` as a number or a date."""
    with suppress(KeyError, ValueError):
        return _seconds(float(headers["retry-after-ms"]) / 1000)
    with suppress(KeyError, ValueError):
        return _seconds(float(headers["retry-after"]))
    with suppress(KeyError, ValueError, TypeError):
        return _seconds(parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time())
    return None


def _seconds(asked: float) -> float:
    if math.isnan(asked):
        raise ValueError(asked)
    return min(asked, LONGEST_WAIT_SECONDS)
