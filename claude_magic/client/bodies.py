"""What the body of an answer says, in words: of the API's errors, and of whatever gateways, proxies and web servers
answer instead. All of it is untrusted data, which becomes one short line without keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from .redaction import one_line, shown_address

if TYPE_CHECKING:
    import httpx2

# Where JSON has its words, best first: the API, AWS, FastAPI, problem details (RFC 9457), OAuth and others.
_NAMES = (
    *("message", "Message", "detail", "details", "error", "errors", "Error", "error_message", "errorMessage"),
    *("error_description", "msg", "reason", "fault", "faultstring", "description", "title", "status_message"),
)
# The API's types of error (SDK 2.14, types/shared/error_type.py).
API_TYPES = (
    *("invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error"),
    *("request_too_large", "rate_limit_error", "timeout_error", "api_error", "overloaded_error"),
)
_MAX_DEPTH = 6
_MAX_ITEMS = 3
_MAX_PAGE_CHARACTERS = 100_000
_DATA = re.compile(r"^data:(.+)$", re.MULTILINE)
_PAGES = ("<!doctype html", "<html", "<head", "<body", "<title", "<h1")
_UNSEEN = ("script", "style", "template", "noscript", "svg")


class Foreign(Exception):
    """An answer with a good status that is not the Messages API's; the message is empty, as the body may hold a key."""

    def __init__(self, response: httpx2.Response, body: object) -> None:
        super().__init__()
        self.response = response
        self.body = body


@dataclass(frozen=True)
class Said:
    """What a body says: its `words` on one line (empty for none), whether it is a web page, whether the words are the
    message of an error in JSON (of the API, of a cloud or of a gateway), and whether the error is in the API's form."""

    words: str
    is_page: bool = False
    is_message: bool = False
    is_the_apis: bool = False


def said(body: object, media_type: str = "", secrets: tuple[str, ...] = ()) -> Said:
    """Read a body, which is parsed JSON or text; in text, there may be JSON behind a byte order mark or `data:`."""
    if isinstance(body, str):
        if (inner := _json_inside(body)) is not None:
            return said(inner, secrets=secrets)
        text = body[:_MAX_PAGE_CHARACTERS]
        is_page = "html" in media_type.lower() or text.lstrip("\ufeff \t\r\n").lower().startswith(_PAGES)
        words = _words_of_page(text) if is_page or text.lstrip("\ufeff \t\r\n").startswith("<") else text
        return Said(one_line(words, secrets), is_page)
    return Said(
        one_line(_words(body) or _dumped(body), secrets), is_message=_has_message(body), is_the_apis=_is_the_apis(body)
    )


def _json_inside(text: str) -> object | None:
    """The JSON object or list that a text is, or that an event in it has; `None` if there is none."""
    for candidate in (text.lstrip("\ufeff"), *_DATA.findall(text[:_MAX_PAGE_CHARACTERS])):
        with suppress(ValueError, RecursionError):
            if isinstance(found := json.loads(candidate), dict | list):
                return found
    return None


def _has_message(body: object) -> bool:
    """Whether there is a message where the API, AWS or Google (in a list) put it."""
    body = body[0] if isinstance(body, list) and body else body
    inner = body.get("error", body) if isinstance(body, dict) else None
    return isinstance(inner, dict) and any(_is_text(inner.get(name)) for name in ("message", "Message"))


def _is_the_apis(body: object) -> bool:
    if not isinstance(body, dict) or not isinstance(error := body.get("error"), dict):
        return False
    typed = body.get("type") == "error" or (isinstance(error.get("type"), str) and error["type"] in API_TYPES)
    return typed and _is_text(error.get("message"))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def address_asked(response: httpx2.Response) -> str:
    """The address that was asked, without what may hold a secret; also after redirects."""
    first = response.history[0] if response.history else response
    return shown_address(str(first.request.url))


def json_of(response: httpx2.Response) -> Any:
    """The JSON of an answer. Raises `Foreign` for anything else."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        text = response.text
    raise Foreign(response, text)


def _words(value: object, depth: int = 0) -> str:
    """The first text of parsed JSON under one of `_NAMES`; of lists, the texts of the first items."""
    if isinstance(value, str):
        return _words_of_page(value) if value.lstrip().lower().startswith(_PAGES) else value.strip()
    if depth >= _MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(each, depth + 1) for each in value[:_MAX_ITEMS])))
    if not isinstance(value, Mapping):
        return ""
    found = next(filter(None, (_words(value[name], depth + 1) for name in _NAMES if name in value)), "")
    place = value.get("loc")  # of a FastAPI refusal: the names on the way to the field
    return f"{'.'.join(map(str, place))}: {found}" if found and isinstance(place, list) else found


def _dumped(value: object) -> str:
    try:
        return json.dumps(value) if value or value == 0 else ""
    except (TypeError, ValueError, RecursionError):
        return ""


def _words_of_page(text: str) -> str:
    """The title of a web page or of XML, else its text."""
    page = _Page()
    page.feed(text)
    page.close()
    title = " ".join(page.title).strip()
    return title or " ".join(page.text)


class _Page(HTMLParser):
    """Collects the title and the visible text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.text: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "title" or tag in _UNSEEN:
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            del self._inside[self._inside.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.text.append(data)
        elif self._inside == ["title"]:
            self.title.append(data)
