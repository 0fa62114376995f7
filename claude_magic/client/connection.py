"""The SDK's client for a provider: made from settings and the environment, or the reader's own.

Authentication is left to the SDK (profiles, tokens, workload identity, boto3, google-auth): what it reads from the
environment itself is not read here.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from .. import errors
from ..content.secrets import Hidden
from ..providers import PROVIDERS, Provider, variable_prefixes
from .failures import setup_error
from .redaction import one_line, redact, shown_address
from .settings import Settings

if TYPE_CHECKING:
    import anthropic
    import httpx2

CONNECT_SECONDS = 10.0
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_")
_SOCKETS = "Look at HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and SSL_CERT_FILE."


def environment() -> dict[str, Hidden]:
    """The environment variables that a client depends on, with their values: when one changes, a new one is made."""
    prefixes = (*variable_prefixes(), *_PROXIES)
    return {name: Hidden(value) for name, value in os.environ.items() if name.upper().startswith(prefixes)}


def connect(settings: Settings, key: Hidden | None, secrets: tuple[str, ...], kind: str = "") -> anthropic.Anthropic:
    """The SDK's client for the provider of the settings, with its own retries off.

    `kind` is `Async` for an asynchronous one. Raises `CredentialsError` or `UsageError`.
    """
    import anthropic
    import httpx2

    row = PROVIDERS[settings.provider]
    for name in row.imports:
        with suppress(ImportError):  # the package may not be needed: a bearer token works without boto3
            importlib.import_module(name)
    given = {"base_url": checked_address("ClaudeMagic.base_url", settings.base_url)} if settings.base_url else {}
    if row.sdk_classes[0] == "Anthropic":
        given = {**_credentials(row, key), **_base_url(row), **given}
    try:
        made: anthropic.Anthropic = getattr(anthropic, kind + row.sdk_classes[0])(
            **given, max_retries=0, timeout=_timeout(settings)
        )
        return made
    except (anthropic.AnthropicError, httpx2.InvalidURL, ValueError, ImportError, OSError) as error:
        _silence_unfinished(error)
        failure = _unconnected(error, row, secrets)
    raise failure  # outside of `except`: a cause can hold the key


def _silence_unfinished(error: Exception) -> None:
    """Let an HTTP client that could not be finished end without a word.

    When it is collected, the SDK's class asks it for a state that it has not got yet (anthropic/_base_client.py), and
    Python prints the traceback of that below the cell.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        unfinished = frame.f_locals.get("self")
        kind = type(unfinished)
        if kind.__module__.startswith("anthropic.") and "__del__" in vars(kind):
            unfinished.__class__ = kind.__base__


def _unconnected(error: Exception, row: Provider, secrets: tuple[str, ...]) -> errors.ClaudeError:
    import anthropic

    if isinstance(error, anthropic.AnthropicError) or (isinstance(error, ValueError) and "proxy" not in str(error)):
        return setup_error(error, row, secrets) or errors.CredentialsError(
            redact(one_line(error), secrets), advice=row.setup
        )
    return errors.UsageError(f"The connection cannot be set up ({type(error).__name__}).", advice=_SOCKETS)


def stand_in(url: str, settings: Settings, kind: str = "") -> anthropic.Anthropic:
    """The SDK's client for the offline stand-in at `url`, which no proxy stands before. `kind` as for `connect`."""
    import ssl

    import anthropic

    no_certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # It speaks no TLS, and reading the system's takes 30 ms.
    http = getattr(anthropic, f"Default{kind}HttpxClient")(trust_env=False, verify=no_certificates)
    made: anthropic.Anthropic = getattr(anthropic, f"{kind}Anthropic")(
        api_key="offline", base_url=url, max_retries=0, timeout=_timeout(settings), http_client=http
    )
    return made


def adopt(given: Any, settings: Settings) -> anthropic.Anthropic:
    """The user's own client with our timeout, and with its own retries off."""
    adopted: anthropic.Anthropic = given.with_options(max_retries=0, timeout=_timeout(settings))
    return adopted


def checked(given: Any) -> Any:
    """The same object, checked to be a synchronous client of the SDK. Raises `UsageError` for any other."""
    name = type(given).__name__
    if name.startswith("Async"):
        raise errors.UsageError(
            f"{name} is an asynchronous client; a cell waits for its reply.",
            advice=f"Give its synchronous sister: ClaudeMagic.client = {name.removeprefix('Async')}(…)",
        )
    streaming = getattr(getattr(given, "messages", None), "with_streaming_response", None)
    if isinstance(given, type) or not hasattr(streaming, "create") or not callable(getattr(given, "with_options", 0)):
        raise errors.UsageError(
            f"ClaudeMagic.client wants a client of the anthropic package, not {name}.",
            advice="For example: ClaudeMagic.client = anthropic.AnthropicBedrock()",
        )
    return given


def address(sdk: anthropic.Anthropic) -> str:
    """Scheme, host and port that requests go to; without the user part, which can hold a password."""
    return shown_address(str(sdk.base_url.copy_with(path="/"))).rstrip("/")


def checked_address(name: str, value: str) -> Hidden:
    """A base URL, stripped of white space. Raises `UsageError`, without showing the value, if it is no URL."""
    value = Hidden(value.strip())
    with suppress(ValueError):
        parts = urlsplit(value)
        if parts.scheme in ("http", "https") and parts.hostname and not re.search(r"\s", value) and parts.port != 0:
            return value
    raise errors.UsageError(f"{name} is not an address.", advice="It opens with http:// or https:// and a host.")


def clean_key(name: str, value: str) -> Hidden:
    """A key, stripped of white space. Raises `CredentialsError`, without showing the value, if it cannot be a key."""
    value, given = Hidden(value.strip()), Hidden(value)
    if given and not value:
        raise errors.CredentialsError(f"{name[0].upper()}{name[1:]} holds nothing but white space.")
    if not value.isascii() or not (value.isprintable() and " " not in value):
        raise errors.CredentialsError(
            f"{name[0].upper()}{name[1:]} holds a character that no key has.",
            advice="It may be a line break, a space or a typographic sign: copy the key once more.",
        )
    return value


def _timeout(settings: Settings) -> httpx2.Timeout:
    import httpx2

    return httpx2.Timeout(settings.timeout, connect=CONNECT_SECONDS)


def _credentials(row: Provider, key: Hidden | None) -> dict[str, Any]:
    """The credentials to pass to the SDK: a key given by hand, or a variable's value stripped of stray white space. The
    SDK would read the variable itself, and then show the key in its `vars`.

    With a variable of its own, a provider never gets what ANTHROPIC_API_KEY holds. Raises `CredentialsError`.
    """
    if key:
        return {"api_key": key}
    if row.key:
        if cleaned := clean_key(row.key, Hidden(os.environ.get(row.key, ""))):
            return {"api_key": cleaned}
        raise errors.CredentialsError(f"{row.title}: {row.key} is not set.", advice=row.setup)
    for name, argument in (("ANTHROPIC_API_KEY", "api_key"), ("ANTHROPIC_AUTH_TOKEN", "auth_token")):
        if cleaned := clean_key(name, Hidden(os.environ.get(name, ""))):
            return {argument: cleaned}
    return {}


def _base_url(row: Provider) -> dict[str, Any]:
    """The base URL in the provider's variable, stripped of stray white space. Raises `UsageError` if it is none."""
    given = Hidden(os.environ.get(row.address, "").strip())
    return {"base_url": checked_address(row.address, given)} if given else {}


@dataclass
class Connected:
    """An asynchronous SDK client on an event loop, which closes it at its own end; so does the end of its last use."""

    sdk: Any
    made_from: object
    lifetime: AsyncGenerator[None, None]


@dataclass
class _OnLoop:
    building: asyncio.Lock = field(default_factory=asyncio.Lock)
    connected: Connected | None = None


class Loops:
    """The asynchronous SDK clients, one for each event loop: connections belong to a loop."""

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _OnLoop] = WeakKeyDictionary()

    async def connected(self, made_from: object, make: Callable[[], Any]) -> Connected:
        """The running loop's client, made in a thread if there is none that was made from the same."""
        for loop in [each for each in self._loops if each.is_closed()]:
            del self._loops[loop]
        here = self._loops.setdefault(asyncio.get_running_loop(), _OnLoop())
        async with here.building:
            if here.connected is None or here.connected.made_from != made_from:
                sdk = await asyncio.to_thread(make)
                lifetime = _lifetime(sdk)
                await anext(lifetime)
                here.connected = Connected(sdk, made_from, lifetime)
            return here.connected

    def forget(self) -> None:
        """Drop all clients; what uses one now goes on with it."""
        for each in list(self._loops.values()):
            each.connected = None


async def _lifetime(sdk: Any) -> AsyncGenerator[None, None]:
    """Close a client when the loop ends its generators, or when nobody holds this one any more."""
    try:
        yield
    finally:
        await sdk.close()
