"""The network, and nothing else: requests out, events in, and each failure as one of our errors.

The only package that imports `anthropic`, and not before the first request needs it. A new provider is a row in
`claude_magic/providers.py`, whose client `connection.py` makes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .. import errors, models, providers
from ..content.secrets import Hidden
from ..conversation.wait import Wait
from ..notebook.lookup import digest
from ..providers import PROVIDERS
from . import connection, lookups
from .failures import setup_error, translate
from .lookups import MODELS_SECONDS
from .redaction import environment_secrets, redact, secrets_of
from .settings import Settings, headers, tokens_in_environment, with_tokens
from .stream import BLOCKING, OnLoop, Stream, Transport, now

if TYPE_CHECKING:
    import anthropic

    from ..offline import Server

__all__ = ["BLOCKING", "MODELS_SECONDS", "Client", "OnLoop", "Settings", "Stream", "Transport", "now", "translate"]


class Client:
    """The way to Claude: builds the SDK's client from the current environment, and sends requests with it."""

    def __init__(self) -> None:
        self._key: Hidden | None = None
        self._tokens: dict[str, Hidden] = {}
        self._given: Any = None
        self._sdk: anthropic.Anthropic | None = None
        self._made_from: object = None
        self._offline: Server | None = None
        self._starting = threading.Lock()
        self._loops = connection.Loops()

    def use_key(self, key: str) -> None:
        """Use an API key from now on; it is kept in memory only. Raises `CredentialsError` for text that is no key."""
        if not key:
            raise errors.CredentialsError("No key was entered; nothing changed.")
        self._key = connection.clean_key("the key", key)

    def use_token(self, host: str, token: str) -> None:
        """Use a token for the MCP server at `host`; it is kept in memory only. Raises `CredentialsError`."""
        if not token:
            raise errors.CredentialsError("No token was entered; nothing changed.")
        self._tokens[host.lower()] = connection.clean_key("the token", token)

    def use_client(self, given: Any) -> None:
        """Send requests with the user's own SDK client from now on, for every provider but `offline`.

        `None` goes back to a client of ours. Raises `UsageError` for an asynchronous client, and for any other object.
        """
        self._given = None if given is None else connection.checked(given)

    @property
    def keeps_key(self) -> bool:
        """Whether this kernel holds a key or a client in memory, which other processes (Dask's workers) lack."""
        return self._key is not None or self._given is not None

    def stream(
        self,
        params: Mapping[str, Any],
        settings: Settings,
        on_wait: Callable[[Wait], None],
        transport: Transport = BLOCKING,
    ) -> Stream:
        """A stream of a request's events. It is sent when the stream is iterated; failures are raised there."""
        return Stream(self, params, settings, on_wait, transport)

    def with_tokens(self, params: Mapping[str, Any], settings: Settings) -> Mapping[str, Any]:
        """The parameters with the tokens of MCP servers added, as they are sent. Raises `CredentialsError`."""
        return with_tokens(params, settings.mcp_tokens, self._tokens)

    def file(self, file_id: str, settings: Settings) -> Mapping[str, Any]:
        """The metadata of a file at the API (SDK 2.12, types/file_metadata.py), as a plain dict: untrusted data.

        Empty if there is no such file, or no answer within `lookups.FILE_SECONDS`.
        """
        with suppress(Exception):
            sdk, extra_headers = self.sdk(settings), headers(settings, self.secrets())
            return lookups.call_within(lookups.FILE_SECONDS, lambda: lookups.file(sdk, file_id, extra_headers))
        return {}

    def file_bytes(self, file_id: str, settings: Settings, limit: int) -> bytes:
        """The bytes of a file that Claude's code made; empty if there are more than `limit`, or the download fails."""
        with suppress(Exception):
            sdk, extra_headers = self.sdk(settings), headers(settings, self.secrets())
            return lookups.call_within(
                lookups.FILE_SECONDS, lambda: lookups.file_bytes(sdk, file_id, extra_headers, limit)
            )
        return b""

    def count_tokens(self, params: Mapping[str, Any], settings: Settings) -> int:
        """The number of input tokens of a request, by the API's token counting: an estimate, free of charge.

        One attempt, with a time limit of `lookups.COUNT_SECONDS`. Raises `ClaudeError`.
        """
        if self._given is None and (lacking := self.lacks(settings.provider, "count_tokens")):
            raise errors.UsageError(lacking)
        try:
            extra_headers = headers(settings, self.secrets())
            sdk = self.sdk(settings)
            sent = self.with_tokens(params, settings)
            return lookups.call_within(lookups.COUNT_SECONDS, lambda: lookups.count_tokens(sdk, sent, extra_headers))
        except Exception as error:
            failure = self.failure(error, settings, model=str(params.get("model")))
        raise failure  # outside of `except`: the exception can hold the key

    def models(self, settings: Settings, *, retired: bool = False) -> list[dict[str, Any]] | None:
        """The API's list of models (SDK 2.12, types/model_info.py), as plain dicts: untrusted data.

        `None` if no such list arrives within `MODELS_SECONDS`: there is no key or no network, the provider has no
        list, or the answer is something else. The stand-in is not asked: it has the models of `models.py`.
        """
        if settings.provider == "offline" or self.lacks(self.provider(settings), "models"):
            return None
        with suppress(Exception):
            sdk = self.sdk(settings)
            return lookups.call_within(MODELS_SECONDS, lambda: lookups.list_models(sdk, retired))
        return None

    def model(self, model_id: str, settings: Settings) -> dict[str, Any] | None:
        """What the API says of one model, as an entry of its list; `None` as with `models`."""
        if settings.provider == "offline" or self.lacks(self.provider(settings), "models"):
            return None
        with suppress(Exception):
            sdk = self.sdk(settings)
            return lookups.call_within(MODELS_SECONDS, lambda: lookups.retrieve_model(sdk, model_id))
        return None

    def account(self, settings: Settings) -> str | None:
        """A digest of where and as whom these settings ask, to keep lists of models apart; no key can be read off it.

        `None` if there is nobody to ask for a list: the stand-in, or a provider without one.
        """
        if settings.provider == "offline" or self.lacks(self.provider(settings), "models"):
            return None
        variables = (part for pair in sorted(connection.environment().items()) for part in pair)
        given = str(getattr(self._given, "base_url", ""))
        return digest("\0".join([settings.provider, settings.base_url, given, *self.secrets(), *variables]))

    @staticmethod
    def lacks(provider: str, feature: str) -> str | None:
        """A sentence that says that a provider lacks one of `providers.FEATURES`; `None` if it has the feature."""
        return providers.lacks(provider, feature)

    def provider(self, settings: Settings) -> str:
        """The provider whose prices and limits apply: that of the user's own client, else that of the settings."""
        if self._given is None or settings.provider == "offline":
            return settings.provider
        return providers.name_of(self._given, settings.provider)

    @property
    def offline(self) -> Server:
        """The offline stand-in, started at first use."""
        from .. import offline

        with self._starting:
            if self._offline is None:
                self._offline = offline.start()
        return self._offline

    def sdk(self, settings: Settings) -> anthropic.Anthropic:
        """The SDK's client for these settings and the current environment; cached until one of them changes.

        It is built in a thread of its own: an Interrupt then ends the wait at once, and cannot break off
        the import of `anthropic` (over a second) half-way.
        """
        made_from = self._made_of(settings)
        sdk = self._sdk  # read once: another thread may call `forget` meanwhile
        if sdk is None or self._made_from != made_from:
            pool = ThreadPoolExecutor(1, "claude_magic client")
            building = pool.submit(self._build, settings)
            pool.shutdown(wait=False)
            sdk = self._sdk = building.result()
            self._made_from = made_from
        return sdk

    def asynchronous(self, settings: Settings) -> anthropic.AsyncAnthropic | None:
        """A new asynchronous SDK client, for one event loop; `None` if the user gave a client, which is synchronous."""
        if settings.provider == "offline":
            made: Any = connection.stand_in(self.offline.url, settings, "Async")
        elif self._given is not None:
            return None
        else:
            made = connection.connect(settings, self._key, self.secrets(), "Async")
        asynchronous: anthropic.AsyncAnthropic = made
        return asynchronous

    async def connected(self, settings: Settings) -> connection.Connected | None:
        """The asynchronous SDK client of the running event loop, as `asynchronous` makes it; cached as `sdk` is, and
        closed with the loop."""
        if self._given is not None and settings.provider != "offline":
            return None
        return await self._loops.connected(self._made_of(settings), lambda: self.asynchronous(settings))

    def forget(self) -> None:
        """Drop the cached SDK clients, so that the next attempt reads credentials in files again."""
        self._sdk = None
        self._loops.forget()

    def _made_of(self, settings: Settings) -> object:
        """All that a cached SDK client depends on."""
        endpoint = (settings.provider, settings.base_url, settings.timeout)
        return endpoint, self._key, self._given, connection.environment()

    def secrets(self) -> tuple[Hidden, ...]:
        """The keys and tokens in use, which must never be shown."""
        given = getattr(self._given, "api_key", None), getattr(self._given, "auth_token", None)
        strings = (each for each in (self._key, *given, *self._tokens.values()) if isinstance(each, str))
        return (*secrets_of(*strings), *environment_secrets())

    def key_source(self) -> str:
        """The source of the key, as a phrase for error messages."""
        if self._given is not None:
            return "the client in ClaudeMagic.client"
        if self._key:
            return "the key given to %claude_key"
        for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
            if os.environ.get(name, "").strip():
                return f"the key in {name}"
        return PROVIDERS["anthropic"].credentials

    def failure(
        self,
        error: Exception,
        settings: Settings,
        *,
        model: str = "",
        request_id: str | None = None,
        answered: bool = False,
    ) -> errors.ClaudeError:
        """Translate any exception of a request into one of our errors, without secrets.

        `answered` says whether a reply had begun.
        """
        if isinstance(error, errors.ClaudeError):
            return error
        row, secrets = PROVIDERS[self.provider(settings)], (*self.secrets(), *tokens_in_environment(settings))
        if isinstance(error, TimeoutError):
            return errors.ConnectionFailedError("The API did not answer in time.")
        if not answered and (missing := setup_error(error, row, secrets)):
            return missing
        request_id = getattr(error, "request_id", None) or request_id
        failure = translate(error, self.key_source(), settings.timeout, request_id, row, secrets)
        if _names_no_model(failure):
            failure.advice = f"{self._nearest(model, settings)} {failure.advice}".strip()
        if isinstance(failure, errors.ConnectionFailedError):
            failure.message = f"{self._address(settings)} cannot be reached: {failure.message}."
        failure.message, failure.advice = redact(failure.message, secrets), redact(failure.advice, secrets)
        failure.args = (failure.message,)
        return failure

    def _build(self, settings: Settings) -> anthropic.Anthropic:
        if settings.provider == "offline":
            return connection.stand_in(self.offline.url, settings)
        if self._given is not None:
            return connection.adopt(self._given, settings)
        return connection.connect(settings, self._key, self.secrets())

    def _address(self, settings: Settings) -> str:
        with suppress(Exception):
            return connection.address(self.sdk(settings))
        return "The API"

    def _nearest(self, model: str, settings: Settings) -> str:
        name = self.provider(settings)
        known = [each["id"] for each in self.models(settings) or ()]
        near = (providers.model_id(name, each) for each in models.nearest(model, known))
        return f"Nearest models: {', '.join(near)}; %claude_models lists all. {PROVIDERS[name].ids}".rstrip()


def _names_no_model(failure: errors.ClaudeError) -> bool:
    """Whether an error says that there is no such model; not so if the address is to blame."""
    is_of_models = isinstance(failure, errors.NotFoundError) and "model" in failure.message.lower()
    return is_of_models and "base_url" not in failure.advice
