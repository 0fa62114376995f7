"""Message Batches: created of a body that is written as it is sent, looked at, cancelled, and their results read line
by line, so that memory stays flat whatever their size.

Answers are plain dicts, as the API gives them (SDK 2.12, types/messages/message_batch.py). One attempt each, but
where asking again changes nothing: those are asked again as any request is (`retry.py`).
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
from .retry import delay_before, is_retryable
from .settings import Settings, headers

if TYPE_CHECKING:
    from . import Client

PATH = "/v1/messages/batches"
PAGE = 100
# A body of many megabytes takes its time to be taken in.
CREATE_SECONDS = 600.0

# What makes the SDK give a body piece by piece (SDK 2.12, _constants.py).
_RAW_RESPONSE = "X-Stainless-Raw-Response"

_Found = TypeVar("_Found")


class Batches:
    """The batches of one provider. All that fails raises `ClaudeError`."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Raises `UsageError` where the provider takes no batches."""
        self._client = client
        self._settings = settings
        self._provider = client.provider(settings)
        if lacking := lacks(self._provider, "batches"):
            raise errors.UsageError(lacking, advice="Leave out --batch, which asks the rows one by one.")

    def create(self, body: Iterator[bytes], length: int, betas: tuple[str, ...]) -> dict[str, Any]:
        """Submit a batch, whose body is of this length in bytes; once, for whatever fails may have been taken in."""
        import httpx2

        settings = replace(self._settings, betas=(*self._settings.betas, *betas))
        carried = {**headers(settings, self._client.secrets()), "content-type": "application/json"}
        row = PROVIDERS.get(self._provider)
        content: Any = b"".join(body) if row and row.whole_body else body
        carried["content-length"] = str(length)
        options: Any = {"headers": carried, "timeout": CREATE_SECONDS}

        def created() -> dict[str, Any]:
            sdk = self._client.sdk(self._settings)
            answer = sdk.post(PATH, cast_to=httpx2.Response, content=content, options=options)
            return _batch(answer.json())

        return self._translated(created)

    def retrieve(self, batch: str) -> dict[str, Any]:
        """A batch as it stands, in one attempt."""
        return self._translated(lambda: _batch(self._get(f"{PATH}/{batch}").json()))

    def cancel(self, batch: str) -> dict[str, Any]:
        """End a batch early: what was done by then has results."""
        import httpx2

        def cancelled() -> dict[str, Any]:
            sdk = self._client.sdk(self._settings)
            return _batch(sdk.post(f"{PATH}/{batch}/cancel", cast_to=httpx2.Response).json())

        return self.again(lambda: self._translated(cancelled))

    def newest(self) -> Iterator[dict[str, Any]]:
        """All batches of this key, the newest first, page by page."""
        after = ""
        while True:
            path = f"{PATH}?limit={PAGE}" + (f"&after_id={after}" if after else "")
            page = self.again(lambda path=path: self._translated(lambda: self._get(path).json()))  # type: ignore[misc]
            data = page.get("data") if isinstance(page, dict) else None
            if not isinstance(data, list):
                raise errors.StreamError("The list of batches is unreadable.")
            yield from (_batch(each) for each in data)
            if not data or not page.get("has_more"):
                return
            after = str(data[-1]["id"])

    def results(self, batch: str) -> Iterator[dict[str, Any]]:
        """The results of a batch that has ended, in any order, as they arrive; a line that is none is passed over."""
        found = self._lines(batch)
        while True:
            try:
                line = self._translated(lambda: next(found, None))
            except errors.ClaudeError:
                found.close()
                raise
            if line is None:
                return
            yield line

    def _lines(self, batch: str) -> Generator[dict[str, Any], None, None]:
        """By our own address: the `results_url` is another's word, and the key goes to no other host."""
        import httpx2

        options: Any = {"headers": {_RAW_RESPONSE: "stream"}}
        sdk = self._client.sdk(self._settings)
        response: Any = sdk.get(f"{PATH}/{batch}/results", cast_to=httpx2.Response, options=options)
        with closing(response):
            for line in response.iter_lines():
                with suppress(ValueError, RecursionError):
                    if isinstance(found := json.loads(line), dict):
                        yield found

    def _get(self, path: str) -> Any:
        import httpx2

        return self._client.sdk(self._settings).get(path, cast_to=httpx2.Response)

    def again(self, ask: Callable[[], _Found]) -> _Found:
        """What an attempt gives, over as many as any request gets. Raises `ClaudeError`."""
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

    def _translated(self, ask: Callable[[], _Found]) -> _Found:
        try:
            return ask()
        except errors.ClaudeError:
            raise
        except Exception as error:
            broken = error
        raise self._client.failure(broken, self._settings)


def _batch(answer: Any) -> dict[str, Any]:
    """A batch, if the answer is one. Raises `StreamError`."""
    if isinstance(answer, dict) and isinstance(answer.get("id"), str) and "processing_status" in answer:
        return answer
    raise errors.StreamError("The answer is no batch.")
