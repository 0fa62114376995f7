"""Small requests beside the messages: list models, look one up, count tokens, get a file from the API or any URL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from .. import errors
from .bodies import Foreign, json_of
from .redaction import shown_address
from .sdk_arguments import count_arguments

if TYPE_CHECKING:
    import anthropic
    import httpx2


MODELS_SECONDS = 5.0
COUNT_SECONDS = 10.0
FILE_SECONDS = 15.0
MAX_MODELS = 1_000  # in one answer: the API's own limit
MAX_MODELS_BYTES = 10_000_000

_Answer = TypeVar("_Answer")


def call_within(seconds: float, ask: Callable[[], _Answer]) -> _Answer:
    """The result of `ask`, or what it raises. Raises `TimeoutError` after so many seconds.

    It runs in a thread, which is left behind on a timeout: DNS lookups and slow bodies have no timeout of their own.
    """
    answers: SimpleQueue[tuple[_Answer | None, Exception | None]] = SimpleQueue()

    def answer() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    threading.Thread(target=answer, daemon=True).start()
    try:
        found, failed = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if failed is not None:
        raise failed
    return found  # type: ignore[return-value]  # `None` only stands beside an exception


def list_models(sdk: anthropic.Anthropic, retired: bool) -> list[dict[str, Any]] | None:
    """The entries of `GET /v1/models` that have an id, as received; `None` for any other answer.

    `retired` includes retired models.
    """
    given: dict[str, Any] = {"lifecycle": ["active", "deprecated", "retired"]} if retired else {}
    with suppress(Exception):
        asked = sdk.models.with_streaming_response.list(limit=MAX_MODELS, timeout=MODELS_SECONDS, **given)
        return [each for each in _json_within(asked)["data"] if _names_a_model(each)] or None
    return None


def retrieve_model(sdk: anthropic.Anthropic, model_id: str) -> dict[str, Any] | None:
    """What `GET /v1/models/ID` answers, as received; `None` for anything but a model."""
    with suppress(Exception):
        found = _json_within(sdk.models.with_streaming_response.retrieve(model_id, timeout=MODELS_SECONDS))
        return found if _names_a_model(found) else None
    return None


def _json_within(asked: AbstractContextManager[Any]) -> Any:
    """The JSON of a response. Raises `TimeoutError` after `MODELS_SECONDS`, `ValueError` for too many bytes."""
    body, end = bytearray(), time.monotonic() + MODELS_SECONDS
    with asked as response:
        for piece in response.iter_bytes():
            body += piece
            if len(body) > MAX_MODELS_BYTES:
                raise ValueError(f"more than {MAX_MODELS_BYTES} bytes")
            if time.monotonic() > end:
                raise TimeoutError
    return json.loads(body)


def _names_a_model(entry: Any) -> bool:
    """Whether an entry of the list has a model's id; the others, of untrusted data, are skipped."""
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and bool(entry["id"])


def count_tokens(sdk: anthropic.Anthropic, params: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    """The number of input tokens of a request. Raises what the SDK raises, and `Foreign` for no number."""
    count: Any = sdk.messages.with_raw_response.count_tokens
    response = count(**count_arguments(count, params, headers), timeout=COUNT_SECONDS).http_response
    answer = json_of(response)
    tokens = answer.get("input_tokens") if isinstance(answer, dict) else None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise Foreign(response, answer)
    return tokens


def file(sdk: anthropic.Anthropic, file_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The API's metadata of a file. Raises what the SDK raises."""
    found = sdk.files.retrieve_metadata(file_id, extra_headers=dict(headers), timeout=FILE_SECONDS)
    return found.to_dict(mode="json", warnings=False)


def file_bytes(sdk: anthropic.Anthropic, file_id: str, headers: Mapping[str, str], limit: int) -> bytes:
    """The bytes of a file; empty if there are more than `limit`. Raises what the SDK raises."""
    received = bytearray()
    downloading = sdk.files.with_streaming_response.download(file_id, extra_headers=dict(headers), timeout=FILE_SECONDS)
    with downloading as response:
        for piece in response.iter_bytes():
            received += piece
            if len(received) > limit:
                return b""
    return bytes(received)


FETCH_SECONDS = 60.0
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 20.0
MAX_REDIRECTS = 5
NOTHING_SENT = "Nothing was sent."


@dataclass(frozen=True)
class Fetched:
    """A downloaded file: its bytes, its name (the end of the URL), and the server's media type."""

    data: bytes
    name: str
    media_type: str


def name_in(url: str) -> str:
    """The file name at the end of a URL, else its host."""
    parts = urlsplit(url)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or "file"


def fetch(url: str, max_bytes: int) -> Fetched:
    """Download from an http or https URL. Raises `UsageError`, in one line, for any failure."""
    import httpx2

    try:
        with (
            httpx2.Client(
                follow_redirects=True,
                max_redirects=MAX_REDIRECTS,
                timeout=httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
                headers={"user-agent": "claude_magic", "accept": "*/*"},
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            ) as client,
            client.stream("GET", url) as response,
        ):
            return _body(response, url, max_bytes)
    except httpx2.TooManyRedirects:
        problem = f"redirects more than {MAX_REDIRECTS} times"
    except httpx2.TimeoutException:
        problem = f"did not answer within {SILENCE_SECONDS:.0f} s"
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        problem = "is no http or https address, or redirects to one that is not"
    except httpx2.HTTPError:  # its message may hold the URL, with a secret in it
        problem = "cannot be reached"
    raise errors.UsageError(f"{shown_address(url)} {problem}.", advice=NOTHING_SENT)


def _body(response: httpx2.Response, url: str, max_bytes: int) -> Fetched:
    """Read a response. Raises `UsageError` for an error status, too many bytes, or after `FETCH_SECONDS`."""
    if not response.is_success:
        status = f"{response.status_code} {response.reason_phrase}".strip()
        raise errors.UsageError(f"{shown_address(url)} answered {status}.", advice=NOTHING_SENT)
    received, end = bytearray(), time.monotonic() + FETCH_SECONDS
    for piece in response.iter_bytes():
        received += piece
        if len(received) > max_bytes:
            raise errors.UsageError(
                f"{shown_address(url)} has more than {max_bytes / 10**6:.0f} MB: a request does not take as much.",
                advice=NOTHING_SENT,
            )
        if time.monotonic() > end:
            raise errors.UsageError(f"{shown_address(url)} took more than {FETCH_SECONDS:.0f} s.", advice=NOTHING_SENT)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Fetched(bytes(received), name_in(url), media_type)
