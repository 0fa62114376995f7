"""Client of the Message Batches API: create, retrieve, cancel, list, and read results.

Bodies are streamed out and results are streamed in, line by line, so that memory use does not grow with a batch.
Batches are plain dicts, as the API gives them (SDK 2.12, types/messages/message_batch.py). `create` and `retrieve` make
one attempt; requests that can be repeated without harm are retried by the rules of `retry.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .. import errors
from ..providers import PROVIDERS, lacks
from .bodies import Foreign, json_of
from .retry import delay_before, is_retryable
from .settings import Settings, headers

if TYPE_CHECKING:
    import httpx2

    from . import Client

PATH = "/v1/messages/batches"
PAGE = 100
# The upload of up to 256 MB takes its time.
CREATE_SECONDS = 600.0

# The header that makes the SDK return a response that is not yet read (SDK 2.12, _constants.py).
_RAW_RESPONSE = "X-Stainless-Raw-Response"

_Found = TypeVar("_Found")


class Batches:
    """The batches of one provider. Each failure is raised as a `ClaudeError`."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Raises `UsageError` if the provider has no batches."""
        self._client = client
        self._settings = settings
        self._provider = client.provider(settings)
        if lacking := lacks(self._provider, "batches"):
            raise errors.UsageError(lacking, advice="Leave out --batch, which asks the rows one by one.")

    def create(self, body: Iterator[bytes], length: int, betas: tuple[str, ...]) -> dict[str, Any]:
        """Submit a batch whose body has `length` bytes. One attempt: one that failed may have been accepted."""
        import httpx2

        settings = replace(self._settings, betas=(*self._settings.betas, *betas))
        extra_headers = {**headers(settings, self._client.secrets()), "content-type": "application/json"}
        row = PROVIDERS.get(self._provider)
        content: Any = b"".join(body) if row and row.whole_body else body
        extra_headers["content-length"] = str(length)
        options: Any = {"headers": extra_headers, "timeout": CREATE_SECONDS}

        def created() -> dict[str, Any]:
            sdk = self._client.sdk(self._settings)
            answer = sdk.post(PATH, cast_to=httpx2.Response, content=content, options=options)
            return _batch_in(answer)

        return self._call(created)

    def retrieve(self, batch: str) -> dict[str, Any]:
        """The current state of a batch, in one attempt."""
        return self._call(lambda: _batch_in(self._get(f"{PATH}/{batch}")))

    def cancel(self, batch: str) -> dict[str, Any]:
        """Cancel a batch: the requests that were done by then have results. Returns its state."""
        import httpx2

        def cancelled() -> dict[str, Any]:
            sdk = self._client.sdk(self._settings)
            return _batch_in(sdk.post(f"{PATH}/{batch}/cancel", cast_to=httpx2.Response))

        return self.with_retries(lambda: self._call(cancelled))

    def newest(self) -> Iterator[dict[str, Any]]:
        """All batches of this key, newest first, fetched page by page."""
        after = ""
        while True:
            path = f"{PATH}?limit={PAGE}" + (f"&after_id={after}" if after else "")
            page = self.with_retries(lambda path=path: self._call(lambda: _page_in(self._get(path))))  # type: ignore[misc]
            yield from page["data"]
            if not page["data"] or not page.get("has_more"):
                return
            after = str(page["data"][-1]["id"])

    def results(self, batch: str) -> Iterator[dict[str, Any]]:
        """The results of a batch that has ended, as they arrive, in any order; a line that cannot be read is empty."""
        found = self._lines(batch)
        while True:
            try:
                line = self._call(lambda: next(found, None))
            except errors.ClaudeError:
                found.close()
                raise
            if line is None:
                return
            yield line

    def _lines(self, batch: str) -> Generator[dict[str, Any], None, None]:
        """The lines of results, from our own address: the API's `results_url` may name another host, which must not
        get the key."""
        import httpx2

        options: Any = {"headers": {_RAW_RESPONSE: "stream"}}
        sdk = self._client.sdk(self._settings)
        response: Any = sdk.get(f"{PATH}/{batch}/results", cast_to=httpx2.Response, options=options)
        with closing(response):
            if "html" in response.headers.get("content-type", ""):
                raise Foreign(response, response.read().decode("utf-8", "replace"))
            for line in _lines_in(response.iter_bytes()):
                found: Any = None
                with suppress(ValueError, RecursionError):
                    found = json.loads(line.decode("utf-8", "replace").lstrip("\ufeff"))
                yield found if isinstance(found, dict) else {}

    def _get(self, path: str) -> Any:
        import httpx2

        return self._client.sdk(self._settings).get(path, cast_to=httpx2.Response)

    def with_retries(self, ask: Callable[[], _Found]) -> _Found:
        """The result of `ask`, which is called again after failures that may pass. Raises `ClaudeError`."""
        retries = 0
        while True:
            try:
                return ask()
            except errors.ClaudeError as failure:
                if retries >= self._settings.max_retries or not is_retryable(failure):
                    raise
                delay = delay_before(retries, failure, self._settings.max_retry_wait)
            retries += 1
            time.sleep(delay)

    def _call(self, ask: Callable[[], _Found]) -> _Found:
        """The result of `ask`. Raises any failure as a `ClaudeError`."""
        try:
            return ask()
        except errors.ClaudeError:
            raise
        except Exception as error:
            failure = self._client.failure(error, self._settings)
        raise failure  # outside of `except`: the exception can hold the key


def _lines_in(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines that are not blank. Only a line feed ends one: JSON may hold the other line breaks of Unicode."""
    rest: list[bytes] = []
    for chunk in chunks:
        *whole, last = chunk.split(b"\n")
        for line in whole:
            if (joined := b"".join((*rest, line))).strip():
                yield joined
            rest.clear()
        rest.append(last)
    if (joined := b"".join(rest)).strip():
        yield joined


def _batch_in(response: httpx2.Response) -> dict[str, Any]:
    """The batch in an answer. Raises `Foreign` if it is something else."""
    answer = json_of(response)
    if _is_batch(answer):
        return dict(answer)
    raise Foreign(response, answer)


def _page_in(response: httpx2.Response) -> dict[str, Any]:
    """The page of a list of batches in an answer. Raises `Foreign` if it is something else."""
    answer = json_of(response)
    found = answer.get("data") if isinstance(answer, dict) else None
    if isinstance(found, list) and all(map(_is_batch, found)):
        return dict(answer)
    raise Foreign(response, answer)


def _is_batch(answer: Any) -> bool:
    return isinstance(answer, dict) and isinstance(answer.get("id"), str) and "processing_status" in answer
