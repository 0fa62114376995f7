"""Small questions that the API answers at once: which models there are, how many tokens a request holds."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from .parameters import count_arguments

if TYPE_CHECKING:
    import anthropic

MODELS_SECONDS = 5.0
COUNT_SECONDS = 10.0
FILE_SECONDS = 15.0
MAX_MODELS = 1_000  # in one answer: the API's own limit
MAX_MODELS_BYTES = 10_000_000

_Answer = TypeVar("_Answer")


def within(seconds: float, ask: Callable[[], _Answer]) -> _Answer:
    """What `ask` returns or raises. Raises `TimeoutError` if it takes longer.

    In a thread that may be left behind: looking up an address, and a slow answer, know no timeout.
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
    return found  # type: ignore[return-value]  # where nothing failed, it is the answer


def listed(sdk: anthropic.Anthropic, retired: bool) -> list[dict[str, Any]] | None:
    """The entries of `GET /v1/models` that name a model, nothing lost or renamed; `None` for any other answer."""
    given: dict[str, Any] = {"lifecycle": ["active", "deprecated", "retired"]} if retired else {}
    with suppress(Exception):
        body, end = bytearray(), time.monotonic() + MODELS_SECONDS
        listing = sdk.models.with_streaming_response.list(limit=MAX_MODELS, timeout=MODELS_SECONDS, **given)
        with listing as response:
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MAX_MODELS_BYTES or time.monotonic() > end:
                    return None
        return [each for each in json.loads(body)["data"] if _names_a_model(each)] or None
    return None


def _names_a_model(entry: Any) -> bool:
    """Whether an entry of the list can be one: a stranger's list is taken for what is right in it."""
    return isinstance(entry, dict) and isinstance(entry.get("id"), str) and bool(entry["id"])


def counted(sdk: anthropic.Anthropic, params: Mapping[str, Any], headers: Mapping[str, str]) -> int:
    """The tokens of a request. Raises what the SDK raises, and `StreamError` for an answer that is no number."""
    count: Any = sdk.messages.count_tokens
    answer = count(**count_arguments(count, params, headers), timeout=COUNT_SECONDS)
    tokens = getattr(answer, "input_tokens", None)
    if not isinstance(tokens, int):
        raise errors.StreamError("The answer to the counting of tokens is not a number.")
    return tokens


def file(sdk: anthropic.Anthropic, file_id: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """What the API says of a file. Raises what the SDK raises."""
    found = sdk.files.retrieve_metadata(file_id, extra_headers=dict(headers), timeout=FILE_SECONDS)
    return found.to_dict(mode="json", warnings=False)


def file_bytes(sdk: anthropic.Anthropic, file_id: str, headers: Mapping[str, str], limit: int) -> bytes:
    """A file's bytes; none, where there are more than `limit`. Raises what the SDK raises."""
    came = bytearray()
    downloading = sdk.files.with_streaming_response.download(file_id, extra_headers=dict(headers), timeout=FILE_SECONDS)
    with downloading as response:
        for piece in response.iter_bytes():
            came += piece
            if len(came) > limit:
                return b""
    return bytes(came)
