"""A file by its address: one GET, with bounds, and with nothing of ours but who asks.

By httpx2, as Claude is reached: the same proxies and the same certificates hold, which urllib would look for elsewhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from .. import errors

if TYPE_CHECKING:
    import httpx2

FETCH_SECONDS = 60.0
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 20.0
MAX_REDIRECTS = 5
NOTHING_SENT = "Nothing was sent."


@dataclass(frozen=True)
class Fetched:
    """What came: the bytes, the name that the address ends in, and the type that the server gave."""

    data: bytes
    name: str
    media_type: str


def shown_address(url: str) -> str:
    """An address without what may be a secret in it: no user, no query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def name_in(url: str) -> str:
    """The name of the file that an address ends in; else its host."""
    parts = urlsplit(url)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or "file"


def fetch(url: str, max_bytes: int) -> Fetched:
    """Get what is at an http or https address. Raises `UsageError` in one line, whatever goes wrong."""
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
        failure = f"leads on more than {MAX_REDIRECTS} times"
    except httpx2.TimeoutException:
        failure = f"did not answer within {SILENCE_SECONDS:.0f} s"
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
        failure = "is, or leads to, no http or https address"
    except httpx2.HTTPError:  # its words may hold the address, with what is secret in it
        failure = "cannot be reached"
    raise errors.UsageError(f"{shown_address(url)} {failure}.", advice=NOTHING_SENT)


def _body(response: httpx2.Response, url: str, max_bytes: int) -> Fetched:
    if not response.is_success:
        said = f"{response.status_code} {response.reason_phrase}".strip()
        raise errors.UsageError(f"{shown_address(url)} answered {said}.", advice=NOTHING_SENT)
    came, end = bytearray(), time.monotonic() + FETCH_SECONDS
    for piece in response.iter_bytes():
        came += piece
        if len(came) > max_bytes:
            raise errors.UsageError(
                f"{shown_address(url)} has more than {max_bytes / 10**6:.0f} MB: a request does not take as much.",
                advice=NOTHING_SENT,
            )
        if time.monotonic() > end:
            raise errors.UsageError(f"{shown_address(url)} took more than {FETCH_SECONDS:.0f} s.", advice=NOTHING_SENT)
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Fetched(bytes(came), name_in(url), media_type)
