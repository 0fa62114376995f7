"""The events of an answer, as plain dicts: from a stream, or from a message that came as JSON in one piece.

The SDK decodes the stream, and reads its JSON. `Reading` stands on both sides of its decoder, for what gateways change:
events without a name, a byte order mark, no `message_stop` after a whole reply, `data: [DONE]`, or something else than
the Messages API.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from .. import errors
from .bodies import Foreign

if TYPE_CHECKING:
    import anthropic
    import httpx2

STOP = {"type": "message_stop"}
DONE = "[DONE]"  # how other APIs end a stream
_BOM = b"\xef\xbb\xbf"
_KEPT_BYTES = 2_000  # of a body that may turn out to be plain text
_MAX_PAGE_BYTES = 200_000
_NAMES = frozenset(
    {"message_start", "message_delta", "message_stop", "ping", "error"}
    | {"content_block_start", "content_block_delta", "content_block_stop"}
)
_TYPED = '{"type"'  # how the data of each of the API's events begin
# The first byte of an answer that is no event stream.
_FORMS: Mapping[bytes, Literal["json", "page"]] = {b"{": "json", b"[": "json", b"<": "page"}


class Reading:
    """The reading of one answer, without any input or output of its own."""

    def __init__(self) -> None:
        self._form: Literal["stream", "json", "page"] | None = None
        self._body = b""  # of a stream, only its start
        self._ended = False
        self._seen = False
        self._open_blocks = 0
        self._stopped = False  # a stop reason came
        self._complete = False  # `message_stop` came

    def chunks(self, received: Iterator[bytes]) -> Iterator[bytes]:
        """The bytes for the decoder: none of an answer that is no event stream."""
        for chunk in received:
            yield self._taken(chunk)
            if self._is_enough:
                return
        yield self._rest()

    async def async_chunks(self, received: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """`chunks` of an asynchronous answer."""
        async for chunk in received:
            yield self._taken(chunk)
            if self._is_enough:
                return
        yield self._rest()

    def named(self, event: Any) -> Any | None:
        """A decoded event of the SDK with its name and its type, if only one came; `None` for one to leave out."""
        name, data = event.event, event.data
        if name == "error":
            self._seen = True
            return event
        is_cut_off = self._ended and _parsed(data) is None
        if is_cut_off or not data or data.strip() == DONE:
            return None
        if name not in _NAMES or not data.startswith(_TYPED):
            name, data = _read(name, data)
            if name is None:
                return None
            event = type(event)(event=name, data=data)
        self._note(name, data)
        return event

    def closing(self, response: httpx2.Response) -> Iterator[Mapping[str, Any]]:
        """The events that are left at the end of an answer. Raises `Foreign`, or the SDK's error for one in JSON."""
        if self._form == "json":
            yield from self._whole_message(response)
        elif self._form == "page" or not self._seen:
            raise Foreign(response, self._body.decode(response.encoding or "utf-8", "replace"))
        elif self._stopped and not self._open_blocks and not self._complete:
            yield STOP

    @property
    def _is_enough(self) -> bool:
        return self._form == "page" and len(self._body) > _MAX_PAGE_BYTES

    def _taken(self, chunk: bytes) -> bytes:
        if self._form is None:
            self._body += chunk
            opening = self._body.removeprefix(_BOM).lstrip()
            if not opening or _BOM.startswith(self._body):
                return b""
            self._form = _FORMS.get(opening[:1], "stream")
            self._body = b""
            chunk = opening
        if self._form != "stream":
            self._body += chunk
            return b""
        if len(self._body) < _KEPT_BYTES:
            self._body += chunk[: _KEPT_BYTES - len(self._body)]
        return chunk

    def _rest(self) -> bytes:
        """What ends an event whose empty line is missing."""
        self._ended = True
        return b"\n\n" if self._form == "stream" else b""

    def _note(self, name: str, data: str) -> None:
        self._seen = True
        if name == "content_block_start":
            self._open_blocks += 1
        elif name == "content_block_stop":
            self._open_blocks -= 1
        elif name == "message_stop":
            self._complete = True
        elif name in ("message_start", "message_delta"):
            self._stopped = self._stopped or _has_stop_reason(data)

    def _whole_message(self, response: httpx2.Response) -> Iterator[Mapping[str, Any]]:
        import anthropic

        found = _parsed(self._body.decode("utf-8", "replace"))
        if isinstance(found, dict) and found.get("type") != "message" and found.get("error"):
            raise anthropic.APIStatusError("", response=response, body=found)
        if not isinstance(found, dict) or found.get("type") != "message":
            raise Foreign(response, self._body.decode("utf-8", "replace") if found is None else found)
        yield from events_of(found)


def events_of(message: Any) -> Iterator[Mapping[str, Any]]:
    """A message that came in one piece, as events. Raises `StreamError` if it is no message."""
    if not isinstance(message, dict) or message.get("type") != "message":
        raise errors.StreamError("The answer is not a message.")
    yield {"type": "message_start", "message": message}
    yield STOP


def _read(name: str | None, data: str) -> tuple[str | None, str]:
    """The name of an event and its data with their type, if one of these is not as the API has it; no name for an event
    to leave out."""
    found = _parsed(data)
    if not isinstance(found, dict):
        return (name if name in _NAMES else None), data
    kind = found.get("type")
    if kind == "message":
        return "message_start", json.dumps({"type": "message_start", "message": found})
    if name in _NAMES:
        return name, data if "type" in found else json.dumps({"type": name, **found})
    if isinstance(kind, str):
        return kind, data
    return ("error" if found.get("error") else None), data


def _has_stop_reason(data: str) -> bool:
    event = _parsed(data)
    inner = [event.get(name) for name in ("delta", "message")] if isinstance(event, dict) else []
    return any(isinstance(each, dict) and isinstance(each.get("stop_reason"), str) for each in inner)


def _parsed(data: str | bytes) -> Any | None:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


@functools.cache
def stream_class() -> Any:
    """A subclass of the SDK's stream, with a `reading`, that yields events as plain dicts as received; cached, since
    the SDK inspects each new one."""
    import anthropic

    class Events(anthropic.Stream[object]):
        reading: Reading

        def _iter_events(self) -> Iterator[Any]:
            chunks = self.reading.chunks(self.response.iter_bytes())
            yield from filter(None, map(self.reading.named, self._decoder.iter_bytes(chunks)))

    return Events


@functools.cache
def async_stream_class() -> Any:
    """`stream_class` for the asynchronous client."""
    import anthropic

    class Events(anthropic.AsyncStream[object]):
        reading: Reading

        async def _iter_events(self) -> AsyncIterator[Any]:
            chunks = self.reading.async_chunks(self.response.aiter_bytes())
            async for decoded in self._decoder.aiter_bytes(chunks):
                if (event := self.reading.named(decoded)) is not None:
                    yield event

    return Events


def read(response: Any, sdk: anthropic.Anthropic) -> Iterator[Any]:
    """The events of a response that is not yet read. Raises what the SDK raises, and `Foreign`."""
    stream = stream_class()(cast_to=object, response=response.http_response, client=sdk)
    stream.reading = Reading()
    yield from stream
    yield from stream.reading.closing(stream.response)


async def read_async(response: Any, sdk: anthropic.AsyncAnthropic) -> AsyncGenerator[Any, None]:
    """`read` for the asynchronous client."""
    stream = async_stream_class()(cast_to=object, response=response.http_response, client=sdk)
    stream.reading = Reading()
    async for event in stream:
        yield event
    for event in stream.reading.closing(stream.response):
        yield event
