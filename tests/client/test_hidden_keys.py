"""No key is in the `repr` of anything that a reader, a debugger or a traceback with local variables may come upon."""

from __future__ import annotations

import functools
import inspect
import traceback
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import anthropic
import pytest

from claude_magic import errors
from claude_magic.client import Client, Settings
from claude_magic.client.concurrent import ConcurrentClient
from claude_magic.client.settings import headers, with_tokens
from claude_magic.content.secrets import Hidden, Secrets, known_secrets
from support.gateway import WHOLE, Gateway, answer, gateway
from support.shell import Shell

KEY = "key-of-a-gateway-0123456789"
GIVEN = "key-given-by-hand-0123456789"
TOKEN = "token-of-a-server-0123456789"
NAMED = "token-in-a-variable-0123456789"
PASSWORD = "hunter2-hunter2"
SECRETS = (KEY, GIVEN, TOKEN, NAMED, PASSWORD)
SERVERS = [{"type": "url", "url": f"https://{host}.example.com/", "name": host} for host in ("kept", "named")]
PARAMS = {
    "model": "claude-opus-5-5",
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": "Hello?"}],
    "mcp_servers": SERVERS,
}
MCP = (("named.example.com", "MY_PAT"),)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with gateway() as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("MY_PAT", NAMED)
        yield running


def client_with_keys() -> Client:
    client = Client()
    client.use_key(GIVEN)
    client.use_token("kept.example.com", TOKEN)
    return client


def parts_of(value: Any) -> list[Any]:
    """What a value of ours holds: also what functions close over, and what methods are bound to."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, types.FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or () if cell != types.CellType()]
    if type(value).__module__.startswith("claude_magic"):
        return list(getattr(value, "__dict__", {}).values())
    return []


def reachable(*roots: Any) -> Iterator[Any]:
    """All values that our own objects hold, the roots included. Those of other packages are not looked into."""
    seen: dict[int, Any] = {}
    waiting = deque(roots)
    while waiting:
        value = waiting.popleft()
        if id(value) not in seen:
            seen[id(value)] = value
            yield value
            if not inspect.ismodule(value) and not inspect.isclass(value):
                waiting += parts_of(value)


def check(*roots: Any) -> list[Any]:
    """No text of a value has a key in it; `str` only of what is no text itself, such as a header's value."""
    found = list(reachable(*roots))
    for value in found:
        shown = repr(value) if isinstance(value, Hidden) else f"{value!r} {value}"
        assert not [each for each in SECRETS if each in shown], f"in a {type(value)}: {shown[:300]}"
    return found


@pytest.mark.slow
def test_nothing_that_the_extension_holds_shows_a_key(server: Gateway) -> None:
    shell = Shell()
    shell.kernel.client.use_key(GIVEN)
    shell.kernel.client.use_token("kept.example.com", TOKEN)
    shell.configuration.mcp_tokens = {"named.example.com": "MY_PAT"}
    shell.shell.run_cell_magic("claude", "--mcp https://kept.example.com/ --mcp https://named.example.com/", "Hello?")
    assert GIVEN in server.came[0][1]["authorization"] and TOKEN.encode() in server.came[0][2]
    assert NAMED.encode() in server.came[0][2]
    shell.shell.user_ns["values"] = ["a", "b"]
    shell.map("values", "Say {{item}}")
    assert len(shell.kernel.session.spent) == 2
    found = check(shell.kernel, shell.kernel.settings(), vars(shell.kernel.settings()))
    kinds = {type(each).__name__ for each in found}
    assert {"Kernel", "Session", "Client", "Settings", "Hidden", "Turn", "Call", "ClaudeMagic", "Anthropic"} <= kinds


def test_nothing_that_asks_shows_a_key(server: Gateway) -> None:
    client = client_with_keys()
    settings = Settings(mcp_tokens=MCP, base_url=server.url.replace("://", f"://user:{PASSWORD}@"))
    stream = client.stream(PARAMS, settings, lambda _wait: None)
    events = iter(stream)
    next(events)
    frame: Any = events.gi_frame  # type: ignore[attr-defined]
    check(client, settings, stream, events, frame.f_locals, client.secrets(), repr(vars(client.sdk(settings))))
    check(repr(vars(Client().sdk(Settings()))))  # with the key of the environment
    many = ConcurrentClient(client, settings, 2)
    check(many, with_tokens(PARAMS, MCP, {"kept.example.com": Hidden(TOKEN)}))
    headed = Settings(headers=(("x-tenant", PASSWORD),))
    check(headers(headed), repr(headed))
    check(Secrets(known_secrets({"my_password": PASSWORD}, client.secrets())))


@pytest.mark.parametrize(
    "told",
    [
        answer(WHOLE[:300]),
        answer(f"no: {GIVEN} {KEY} {TOKEN} {NAMED}", 401, "text/plain"),
        answer(f"<html><title>{TOKEN}", 200, "text/html"),
        answer(f'event: error\ndata: {{"error": "{GIVEN}"}}\n\n'),
    ],
)
def test_no_failure_shows_a_key_even_with_local_variables(server: Gateway, told: Any) -> None:
    server.answering(told)
    client, settings = client_with_keys(), Settings(max_retries=0, mcp_tokens=MCP)
    with pytest.raises(errors.ClaudeError) as raised:
        list(client.stream(PARAMS, settings, lambda _wait: None))
    check_traceback(raised.value)


def check_traceback(error: BaseException) -> None:
    kept = traceback.TracebackException.from_exception(error, capture_locals=True)
    kept.stack = traceback.StackSummary.from_list([each for each in kept.stack if "/tests/" not in each.filename])
    told = "".join(kept.format())
    assert "settings = Settings(" in told or "self = <" in told
    assert not [each for each in SECRETS if each in told], told


@pytest.mark.parametrize("key", [f"{KEY} second", "  ", f"“{KEY}”"])
def test_a_key_that_is_refused_is_not_shown_either(key: str) -> None:
    with pytest.raises(errors.CredentialsError) as raised:
        Client().use_key(key)
    shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
    assert KEY not in "".join(shown.stack.format()[-1:])


def test_a_hidden_text_is_the_text_itself_wherever_it_is_used() -> None:
    hidden = Hidden(KEY)
    assert hidden == KEY and f"Bearer {hidden}" == f"Bearer {KEY}" and {hidden: 1}[KEY] == 1
    assert repr([hidden]) == "['…']"
    made = anthropic.Anthropic(api_key=hidden, base_url="http://127.0.0.1:9")
    assert made.auth_headers == anthropic.Anthropic(api_key=KEY, base_url="http://127.0.0.1:9").auth_headers
