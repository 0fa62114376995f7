"""Each provider's client, made by the SDK from its documented environment, against a server on loopback."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import pytest
from traitlets.config import Config

from claude_magic import errors, offline, providers
from claude_magic.client import Client, Settings
from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.turns import Call
from claude_magic.conversation.wait import Wait
from claude_magic.cost import pricing
from claude_magic.providers import FEATURES, PROVIDERS
from claude_magic.session.configuration import ClaudeMagic
from support.kernel import Kernel
from support.provider_server import SILENCE, Recorder, recorder

SECRET = "SECRET-secret-0123456789"
MODEL = "claude-opus-5-5"
ASK = {
    "model": MODEL,
    "max_tokens": 100,
    "stream": True,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}],
}
REGION = {"AWS_REGION": "us-east-1"}
AWS_KEYS = {"AWS_ACCESS_KEY_ID": "AKIAFAKE", "AWS_SECRET_ACCESS_KEY": SECRET}
AWS_WORKSPACE = {"ANTHROPIC_AWS_WORKSPACE_ID": "wrkspc_1"}
CLOUD = (*providers.variable_prefixes(), "CLOUD", "GCLOUD")


@pytest.fixture(autouse=True)
def no_clouds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests start from an environment that knows no cloud, and has no metadata service to ask."""
    for name in [name for name in os.environ if name.startswith(CLOUD)]:
        monkeypatch.delenv(name)
    for name in ("HOME", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path / "no-profile"))
    if aws := sys.modules.get("anthropic.lib.aws._auth"):
        aws._get_session.cache_clear()  # the SDK keeps boto3's sessions for the life of the process


@pytest.fixture
def server() -> Iterator[Recorder]:
    """A server that notes what came."""
    with recorder() as running:
        yield running


@pytest.fixture(scope="module")
def private_key() -> str:
    """A service account's key."""
    pytest.importorskip("google.auth")
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, server: Recorder, tmp_path: Path, private_key: str) -> None:
    """A service account whose tokens come from loopback: google-auth does all that it does in a cloud."""
    account = {
        "type": "service_account",
        "project_id": "my-project",
        "client_email": "me@my-project.example",
        "private_key_id": "1",
        "private_key": private_key,
        "token_uri": f"{server.url}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def ask(settings: Settings, client: Client | None = None, params: Any = ASK) -> Accumulator:
    accumulator = Accumulator()
    for event in (client or Client()).stream(params, settings, lambda _wait: None):
        accumulator.add(event)
    return accumulator


def failure(settings: Settings, client: Client | None = None, params: Any = ASK) -> errors.ClaudeError:
    """The error that asking raises: one line, with no secret in it and no cause that may hold one."""
    with pytest.raises(errors.ClaudeError) as raised:
        ask(settings, client, params)
    told = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value))
    assert SECRET not in told and "\n" not in raised.value.message
    assert raised.value.__cause__ is None and raised.value.__context__ is None
    return raised.value


def only(server: Recorder) -> Any:
    """The one request that came, without those for tokens."""
    (came,) = [each for each in server.came if each.path != "/token"]
    return came


def test_the_setting_offers_each_provider_that_has_a_row() -> None:
    assert set(ClaudeMagic.class_traits()["provider"].values) == set(PROVIDERS)
    for row in PROVIDERS.values():
        assert all(hasattr(anthropic, name) for name in row.sdk_classes)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_each_row_is_complete(provider: str) -> None:
    """What is said where something is missing: how to set it up, where credentials come from, what it costs."""
    row = PROVIDERS[provider]
    assert row.title and row.credentials and row.lacks <= FEATURES.keys()
    if provider != "offline":  # which is of this package, and takes any key
        assert row.sdk_classes and row.setup and row.address.startswith(row.variables)
    assert not row.key or (row.sdk_classes[0] == "Anthropic" and row.key.startswith(row.variables))
    assert not row.extra or row.imports, "what the extra installs is imported beforehand"


def test_each_provider_has_a_price_list_that_genai_prices_knows() -> None:
    from genai_prices.data_snapshot import get_snapshot

    known = {each.id for each in get_snapshot().providers}
    assert {row.price_list for row in PROVIDERS.values()} - {None} <= known


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_without_a_price_list_costs_no_figure(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call("claude-opus-5-5", {"input_tokens": 1_000}, stop_reason="end_turn", provider=provider)
    monkeypatch.setitem(PROVIDERS, provider, dataclasses.replace(PROVIDERS[provider], price_list=None))
    assert str(pricing.call_cost(call)) == "n/a"


ACME = providers.Provider(
    title="Acme's gateway",
    sdk_classes=("Anthropic",),
    setup="Set ACME_API_KEY and ACME_BASE_URL.",
    credentials="the key in ACME_API_KEY",
    address="ACME_BASE_URL",
    key="ACME_API_KEY",
    variables=("ACME_",),
    price_list=None,
)


class TestARowIsAllThatAProviderTakes:
    @pytest.fixture(autouse=True)
    def row(self, monkeypatch: pytest.MonkeyPatch, server: Recorder) -> None:
        monkeypatch.setitem(PROVIDERS, "acme", ACME)
        environment(monkeypatch, ACME_API_KEY=SECRET, ACME_BASE_URL=server.url)
        environment(monkeypatch, ANTHROPIC_API_KEY="sk-ant-of-another", ANTHROPIC_AUTH_TOKEN="another-token")
        environment(monkeypatch, ANTHROPIC_BASE_URL="http://127.0.0.1:9")

    def test_it_gets_its_own_key_at_its_own_address_and_no_other(self, server: Recorder) -> None:
        assert ask(Settings("acme")).complete
        headers = only(server).headers
        assert headers["authorization"] == f"Bearer {SECRET}" and "another" not in str(headers)

    def test_a_changed_variable_makes_a_new_client(self, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        client = Client()
        ask(Settings("acme"), client)
        environment(monkeypatch, ACME_API_KEY="another-key-of-acme")
        ask(Settings("acme"), client)
        assert [each.headers["authorization"][7:] for each in server.came] == [SECRET, "another-key-of-acme"]

    def test_its_key_is_kept_out_of_errors(self, server: Recorder) -> None:
        server.answers.append((401, f'{{"error": {{"message": "no such key: {SECRET}"}}}}'.encode()))
        assert "no such key: …" in failure(Settings("acme", max_retries=0)).message

    def test_without_its_key_nothing_is_sent(self, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ACME_API_KEY")
        error = failure(Settings("acme"))
        assert type(error) is errors.CredentialsError and "ACME_API_KEY" in str(error) and not server.came

    def test_a_client_of_its_class_is_its_own_only_where_it_is_the_setting(self) -> None:
        given = anthropic.Anthropic(api_key=SECRET)
        assert [providers.name_of(given, name) for name in ("acme", "anthropic", "bedrock")] == [
            "acme",
            "anthropic",
            "anthropic",
        ]

    def test_it_costs_no_figure_without_a_price_list(self) -> None:
        call = Call("claude-opus-5-5", {"input_tokens": 1_000}, stop_reason="end_turn", provider="acme")
        assert str(pricing.call_cost(call)) == "n/a"


@pytest.mark.parametrize("key", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
def test_the_claude_api_is_asked_with_a_bearer_token(
    server: Recorder, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    environment(monkeypatch, **{key: SECRET, "ANTHROPIC_BASE_URL": server.url})
    assert ask(Settings()).complete
    assert (only(server).path, only(server).body) == ("/v1/messages", ASK)
    assert only(server).headers["authorization"] == f"Bearer {SECRET}"


def test_bedrock_is_asked_with_its_own_bearer_token(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, **REGION, AWS_BEARER_TOKEN_BEDROCK=SECRET, ANTHROPIC_BEDROCK_MANTLE_BASE_URL=server.url)
    assert ask(Settings("bedrock"), params={**ASK, "model": providers.model_id("bedrock", MODEL)}).complete
    came = only(server)
    assert (came.path, came.body["model"]) == ("/v1/messages", "anthropic.claude-opus-5-5")
    assert came.headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("provider", "variable", "more", "service"),
    [
        ("bedrock", "ANTHROPIC_BEDROCK_MANTLE_BASE_URL", {}, "bedrock-mantle"),
        ("aws", "ANTHROPIC_AWS_BASE_URL", AWS_WORKSPACE, "aws-external-anthropic"),
    ],
)
def test_aws_credentials_sign_each_request(
    server: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    variable: str,
    more: dict[str, str],
    service: str,
) -> None:
    pytest.importorskip("boto3")
    environment(monkeypatch, **REGION, **AWS_KEYS, **more, **{variable: server.url})
    assert ask(Settings(provider)).complete
    came = only(server)
    assert (came.path, came.body) == ("/v1/messages", ASK)
    signed = came.headers["authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIAFAKE/") and f"/us-east-1/{service}/aws4_request" in signed
    assert came.headers.get("anthropic-workspace-id") == more.get("ANTHROPIC_AWS_WORKSPACE_ID")


def test_a_profile_of_aws_signs_requests(server: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """boto3's own chain does the work: nothing of it is set by hand."""
    pytest.importorskip("boto3")
    (tmp_path / "credentials").write_text(f"[work]\naws_access_key_id=AKIAWORK\naws_secret_access_key={SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    environment(monkeypatch, **REGION, AWS_PROFILE="work", ANTHROPIC_BEDROCK_MANTLE_BASE_URL=server.url)
    assert ask(Settings("bedrock")).complete
    assert "Credential=AKIAWORK/" in only(server).headers["authorization"]


def test_the_claude_platform_on_aws_takes_a_key(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-for-aws")
    environment(monkeypatch, **REGION, **AWS_WORKSPACE, ANTHROPIC_AWS_API_KEY=SECRET, ANTHROPIC_AWS_BASE_URL=server.url)
    assert ask(Settings("aws")).complete
    assert SECRET in only(server).headers["authorization"] and "sk-ant" not in str(only(server).headers)


@pytest.mark.usefixtures("google")
@pytest.mark.slow
def test_vertex_is_asked_with_a_google_token_at_the_models_own_path(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"CLOUD_ML_REGION": "global", "ANTHROPIC_VERTEX_PROJECT_ID": "my-project"}
    environment(monkeypatch, **variables, ANTHROPIC_VERTEX_BASE_URL=f"{server.url}/v1")
    assert ask(Settings("vertex")).complete
    came = only(server)
    where = "/v1/projects/my-project/locations/global/publishers/anthropic/models"
    assert came.path == f"{where}/{MODEL}:streamRawPredict"
    assert came.headers["authorization"] == "Bearer ya29.fake-google-token"
    assert {**came.body, "model": MODEL} == {**ASK, "anthropic_version": came.body["anthropic_version"]}


@pytest.mark.usefixtures("google")
def test_google_cloud_is_asked_with_a_google_token(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-for-google")
    environment(monkeypatch, ANTHROPIC_GOOGLE_CLOUD_BASE_URL=server.url)
    assert ask(Settings("google-cloud")).complete
    assert (only(server).path, only(server).body) == ("/v1/messages", ASK)
    assert only(server).headers["authorization"] == "Bearer ya29.fake-google-token"


def test_foundry_is_asked_with_its_own_key(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-not-for-azure")
    environment(monkeypatch, ANTHROPIC_FOUNDRY_API_KEY=SECRET, ANTHROPIC_FOUNDRY_BASE_URL=f"{server.url}/anthropic")
    assert ask(Settings("foundry")).complete
    assert (only(server).path, only(server).body) == ("/anthropic/v1/messages", ASK)
    assert only(server).headers["x-api-key"] == SECRET and "sk-ant" not in str(only(server).headers)


READY = {
    "anthropic": {"ANTHROPIC_API_KEY": SECRET},
    "bedrock": {**REGION, "AWS_BEARER_TOKEN_BEDROCK": SECRET},
    "aws": {**REGION, **AWS_WORKSPACE, "ANTHROPIC_AWS_API_KEY": SECRET},
    "vertex": {"CLOUD_ML_REGION": "global", "ANTHROPIC_VERTEX_PROJECT_ID": "my-project"},
    "google-cloud": {"ANTHROPIC_GOOGLE_CLOUD_PROJECT": "p", "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID": "wrkspc_1"},
    "foundry": {"ANTHROPIC_FOUNDRY_API_KEY": SECRET, "ANTHROPIC_FOUNDRY_RESOURCE": "mine"},
}


@pytest.fixture(params=sorted(READY))
def ready(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, google: None) -> str:
    """A provider whose environment is complete; google's credentials stand beside it."""
    environment(monkeypatch, **READY[request.param])
    return str(request.param)


def test_a_gateway_takes_the_place_of_each_providers_address(server: Recorder, ready: str) -> None:
    assert ask(Settings(ready, base_url=f" {server.url}/gateway ")).complete
    assert only(server).path.startswith("/gateway/")


def test_a_server_error_is_retried_at_each_provider_and_by_us_alone(server: Recorder, ready: str) -> None:
    server.answers += [(503, b'{"error": {"message": "busy"}}')] * 2
    waits: list[Wait] = []
    settings = Settings(ready, base_url=server.url, max_retries=1)
    with pytest.raises(errors.ServerError, match="busy"):
        list(Client().stream(ASK, settings, waits.append))
    assert len([each for each in server.came if each.path != "/token"]) == 2
    assert {wait.attempt for wait in waits} == {1}


@pytest.mark.slow
def test_silence_ends_after_the_timeout_at_each_provider(server: Recorder, ready: str) -> None:
    server.answers.append(SILENCE)
    error = failure(Settings(ready, base_url=server.url, max_retries=0, timeout=0.3))
    assert type(error) is errors.ConnectionFailedError and PROVIDERS[ready].address in error.advice


def test_an_interrupt_ends_the_waiting_at_each_provider(server: Recorder, ready: str) -> None:
    """The real signal, when the request has come and nothing answers."""
    server.answers.append(SILENCE)
    waiting = threading.main_thread().ident
    assert waiting
    server.on_silence = lambda: signal.pthread_kill(waiting, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        ask(Settings(ready, base_url=server.url))


@pytest.mark.parametrize(
    "said",
    [
        b'{"type": "error", "error": {"type": "permission_error", "message": "Not for you."}}',
        b'{"error": {"code": 403, "message": "Not for you.", "status": "PERMISSION_DENIED"}}',
        b'[{"error": {"code": 403, "message": "Not for you."}}]',
        b'{"message": "Not for you."}',
        b'{"Message": "Not for you."}',
    ],
)
def test_what_a_provider_says_is_told_with_whose_credentials_to_look_at(
    server: Recorder, ready: str, said: bytes
) -> None:
    server.answers += [(403, said)] * 2
    error = failure(Settings(ready, base_url=server.url, max_retries=0))
    assert type(error) is errors.PermissionDeniedError and error.message == "Not for you."
    assert ready == "anthropic" or PROVIDERS[ready].credentials in error.advice


def test_the_tokens_are_counted_by_each_provider(server: Recorder, ready: str) -> None:
    settings = Settings(ready, base_url=server.url, betas=("context-management-2025-06-27",))
    edits = {"context_management": {"edits": []}, "fallbacks": []}
    params = {**ASK, **edits, "diagnostics": {"previous_message_id": None}, "system": "x", "speed": "fast"}
    assert Client().count_tokens(params, settings) == 42
    body = {name: value for name, value in only(server).body.items() if name != "anthropic_version"}
    assert set(body) == {"model", "messages", "system", "speed", "context_management"}


def test_a_count_that_fails_is_our_error(server: Recorder, ready: str) -> None:
    server.answers += [(429, b'{"error": {"type": "rate_limit_error", "message": "Later."}}')] * 2
    with pytest.raises(errors.RateLimitError, match="Later"):
        Client().count_tokens(ASK, Settings(ready, base_url=server.url))
    assert len([each for each in server.came if each.path != "/token"]) == 1


def test_a_count_that_is_no_number_is_our_error(server: Recorder, ready: str) -> None:
    server.answers += [(200, b'{"tokens": "many"}')]
    with pytest.raises(errors.StreamError, match="answered with JSON that is not of the Messages API"):
        Client().count_tokens(ASK, Settings(ready, base_url=server.url))


@pytest.mark.parametrize(
    ("provider", "given", "names"),
    [
        ("bedrock", {"AWS_BEARER_TOKEN_BEDROCK": SECRET}, "AWS_REGION"),
        ("bedrock", REGION, "AWS credentials"),
        ("aws", AWS_WORKSPACE, "AWS_REGION"),
        ("aws", REGION, "ANTHROPIC_AWS_WORKSPACE_ID"),
        ("aws", {**REGION, **AWS_WORKSPACE}, "AWS credentials"),
        ("vertex", {}, "CLOUD_ML_REGION"),
        ("vertex", {"CLOUD_ML_REGION": ""}, "CLOUD_ML_REGION"),
        ("vertex", {"CLOUD_ML_REGION": "global"}, "ANTHROPIC_VERTEX_PROJECT_ID"),
        ("vertex", READY["vertex"], "DefaultCredentialsError"),
        ("google-cloud", READY["google-cloud"], "DefaultCredentialsError"),
        ("google-cloud", {"ANTHROPIC_GOOGLE_CLOUD_PROJECT": "p"}, "ANTHROPIC_GOOGLE_CLOUD_WORKSPACE_ID"),
        ("foundry", {"ANTHROPIC_FOUNDRY_RESOURCE": "mine"}, "ANTHROPIC_FOUNDRY_API_KEY"),
        ("foundry", {"ANTHROPIC_FOUNDRY_API_KEY": SECRET}, "ANTHROPIC_FOUNDRY_RESOURCE"),
        ("anthropic", {}, "ANTHROPIC_API_KEY"),
    ],
)
def test_what_is_missing_is_named_in_a_line(
    monkeypatch: pytest.MonkeyPatch, provider: str, given: dict[str, str], names: str
) -> None:
    environment(monkeypatch, **given)
    error = failure(Settings(provider, max_retries=4))
    assert type(error) is errors.CredentialsError
    only_advised = provider == "anthropic" or "" in given.values()
    assert names in (error.advice if only_advised else error.message) and PROVIDERS[provider].setup in error.advice


# Providers whose package is missing, and what else is set.
LACKING = {
    "bedrock": {**REGION, **AWS_KEYS},
    "aws": {**REGION, **AWS_WORKSPACE, **AWS_KEYS},
    "vertex": READY["vertex"],
    "google-cloud": READY["google-cloud"],
}


@pytest.fixture(scope="module")
def without_packages() -> dict[str, str]:
    """What each provider prints in a process of its own, where no package of theirs can be imported."""
    program = f"""
import contextlib, io, json, os, sys
sys.modules.update({{name: None for name in ("boto3", "botocore", "google", "google.auth")}})
from claude_magic.client import Client, Settings
from claude_magic.errors import UsageError
printed = {{}}
for provider, given in {LACKING!r}.items():
    os.environ.update(given)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            list(Client().stream({ASK!r}, Settings(provider), print))
        except UsageError as error:
            print(error)
    printed[provider] = said.getvalue()
    for name in given:
        del os.environ[name]
print(json.dumps(printed))
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("provider", LACKING)
def test_a_missing_package_is_named_with_how_to_install_it(provider: str, without_packages: dict[str, str]) -> None:
    said = without_packages[provider]
    assert f'pip install "anthropic[{PROVIDERS[provider].extra}]"' in said and len(said.splitlines()) == 1


def test_without_boto3_a_bearer_token_will_do(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("boto3", "botocore"):
        monkeypatch.setitem(sys.modules, name, None)
    environment(monkeypatch, **REGION, AWS_BEARER_TOKEN_BEDROCK=SECRET, ANTHROPIC_BEDROCK_MANTLE_BASE_URL=server.url)
    assert ask(Settings("bedrock")).complete


@pytest.mark.parametrize(
    "address", ["localhost:4000", "ftp://x", "http://:80", "http:// x", "http://x:port", "http://u:SECRET-secret@"]
)
def test_a_gateway_that_is_no_address_is_refused_without_showing_it(address: str) -> None:
    error = failure(Settings(base_url=address))
    assert type(error) is errors.UsageError and "ClaudeMagic.base_url" in error.message
    assert address not in str(error)


def test_what_the_sdk_says_of_an_address_is_told_without_its_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It quotes the address where a profile's token would go out in the clear."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "default.json").write_text('{"authentication": {"type": "oidc_federation"}}')
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    assert "hunter2" not in str(failure(Settings(base_url="http://user:hunter2@gateway.example", max_retries=0)))


def test_a_gateway_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    error = failure(Settings(base_url="http://user:hunter2@127.0.0.1:9", max_retries=0))
    assert "http://127.0.0.1:9 cannot be reached" in error.message and "hunter2" not in str(error)
    assert "ClaudeMagic.base_url" in error.advice


def test_another_gateway_is_used_from_the_next_cell_on(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    client = Client()
    for path in ("one", "two"):
        ask(Settings(base_url=f"{server.url}/{path}"), client)
    assert [came.path for came in server.came] == ["/one/v1/messages", "/two/v1/messages"]


def test_a_model_that_a_provider_does_not_know_is_answered_with_how_it_spells_models(
    server: Recorder, ready: str
) -> None:
    server.answers += [(404, b'{"error": {"message": "model: claude-5-5-opus"}}')] * 2
    advice = failure(Settings(ready, base_url=server.url), params={**ASK, "model": "claude-5-5-opus"}).advice
    assert providers.model_id(ready, MODEL) in advice and PROVIDERS[ready].ids in advice


class TestAClientOfTheUsersOwn:
    """`ClaudeMagic.client`: any client of the SDK, made by the user."""

    def test_it_is_asked_as_it_is_but_with_our_retries(self, server: Recorder) -> None:
        client = Client()
        client.use_client(
            anthropic.Anthropic(api_key=SECRET, base_url=server.url, max_retries=7, default_headers={"x-mine": "yes"})
        )
        server.answers += [(529, b"{}")]
        error = failure(Settings(max_retries=0), client)
        assert type(error) is errors.OverloadedError and len(server.came) == 1
        assert ask(Settings(), client).complete
        assert server.came[1].headers["x-mine"] == "yes" and client.count_tokens(ASK, Settings()) == 42

    def test_a_key_that_is_refused_is_the_clients(self, server: Recorder) -> None:
        client = Client()
        client.use_client(anthropic.Anthropic(api_key=SECRET, base_url=server.url))
        server.answers += [(401, json.dumps({"error": {"message": f"no such key: {SECRET}"}}).encode())]
        error = failure(Settings(max_retries=0), client)
        assert "ClaudeMagic.client" in error.advice and error.message == "no such key: …"

    def test_an_entra_token_reaches_foundry(self, server: Recorder) -> None:
        client = Client()
        client.use_client(
            anthropic.AnthropicFoundry(base_url=server.url, azure_ad_token_provider=lambda: "entra-token")
        )
        assert ask(Settings(), client).complete and client.provider(Settings()) == "foundry"
        assert only(server).headers["authorization"] == "Bearer entra-token"

    def test_the_older_bedrock_works_and_says_what_it_lacks(self, server: Recorder) -> None:
        """Its events come in AWS's own framing."""
        pytest.importorskip("botocore")
        client = Client()
        made = anthropic.AnthropicBedrock(aws_region="us-east-1", api_key=SECRET, base_url=server.url)
        client.use_client(made)
        assert client.provider(Settings()) == "bedrock"
        with pytest.raises(errors.UsageError, match="Token counting is not supported"):
            client.count_tokens(ASK, Settings())
        stream = client.stream(ASK, Settings(betas=("a-1", "b-2")), lambda _wait: None)
        assert "message_stop" in [event["type"] for event in stream] and stream.request_id == "req_1"
        came = only(server)
        assert came.path == f"/model/{MODEL}/invoke-with-response-stream"
        assert came.body["anthropic_beta"] == ["a-1", "b-2"] and came.headers["authorization"] == f"Bearer {SECRET}"

    def test_the_stand_in_goes_before_it(self, server: Recorder) -> None:
        client = Client()
        client.use_client(anthropic.Anthropic(api_key=SECRET, base_url=server.url))
        assert ask(Settings("offline"), client).complete and server.came == []
        assert client.provider(Settings("offline")) == "offline"

    def test_none_ends_it(self, server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
        client = Client()
        client.use_client(anthropic.Anthropic(api_key=SECRET, base_url=server.url))
        client.use_client(None)
        environment(monkeypatch, ANTHROPIC_API_KEY="another-key", ANTHROPIC_BASE_URL=server.url)
        assert ask(Settings(), client).complete
        assert only(server).headers["authorization"] == "Bearer another-key"

    @pytest.mark.parametrize("name", ["AsyncAnthropic", "AsyncAnthropicBedrock", "AsyncAnthropicFoundry"])
    def test_an_asynchronous_one_is_refused_with_the_name_of_its_sister(self, name: str) -> None:
        given = getattr(anthropic, name).__new__(getattr(anthropic, name))
        with pytest.raises(errors.UsageError, match="asynchronous") as raised:
            Client().use_client(given)
        assert name.removeprefix("Async") in raised.value.advice

    @pytest.mark.parametrize("given", [object(), "sk-ant-SECRET-secret-0123456789", anthropic.Anthropic, 7])
    def test_what_is_no_client_is_refused_without_showing_it(self, given: object) -> None:
        with pytest.raises(errors.UsageError, match="wants a client") as raised:
            Client().use_client(given)
        assert "SECRET" not in str(raised.value)


class TestHeaders:
    """`headers` and `betas` go with each request, and never with a credential in them."""

    def test_they_arrive_beside_a_body_that_is_exactly_the_parameters(
        self, server: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        environment(monkeypatch, ANTHROPIC_API_KEY=SECRET, ANTHROPIC_BASE_URL=server.url)
        headers = (("x-team", "data"), ("Anthropic-Beta", "three-3, one-1"), ("anthropic-version", "2023-06-01"))
        thinking = {"type": "adaptive", "block_binding": {"prefix_mismatch_behavior": "drop_block"}}
        unknown = {"brand_new": {"deep": [None, 1.5, "ä"]}, "temperature": 0.5, "timeout": 3, "workspace_id": "w"}
        edits = {"context_management": {"edits": [{"type": "compact_20260112"}]}}
        params = {**ASK, "thinking": thinking, "system": [{"type": "text", "text": "x", "new": 1}], **unknown, **edits}
        ask(Settings(headers=headers, betas=("one-1", "two-2", "one-1")), params=params)
        came = only(server)
        assert came.body == params and came.path == "/v1/messages"
        assert came.headers["anthropic-beta"] == "one-1,two-2,three-3"
        assert (came.headers["x-team"], came.headers["anthropic-version"]) == ("data", "2023-06-01")

    def test_each_provider_gets_them(self, server: Recorder, ready: str) -> None:
        ask(Settings(ready, base_url=server.url, headers=(("x-team", "data"),), betas=("one-1",)))
        assert only(server).headers["x-team"] == "data" and only(server).headers["anthropic-beta"] == "one-1"

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("x-team", "two\r\nx-evil: lines", "line break"),
            ("x-team", "ä", "no header has"),
            ("two\nlines", "x", "name"),
            (f"Authorization: Bearer {SECRET}", "", "name"),
            ("Authorization", "Bearer of-something", "credential"),
            ("X-API-Key", "x", "credential"),
            ("x-mine", f"Bearer {SECRET}", "credential"),
            ("x-mine", "sk-ant-api03-another", "credential"),
            ("content-length", "5", "connection"),
        ],
    )
    def test_one_that_cannot_go_is_refused_without_its_value(
        self, standin: offline.Server, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
    ) -> None:
        environment(monkeypatch, ANTHROPIC_API_KEY=SECRET, ANTHROPIC_BASE_URL=standin.url)
        error = failure(Settings(headers=((name, value),)))
        assert type(error) is errors.UsageError and says in error.message
        assert (not value or value not in str(error)) and standin.requests == []

    @pytest.mark.parametrize("beta", ["a b", "a\n", "", "a,b"])
    def test_a_beta_that_is_no_name_is_refused(self, beta: str) -> None:
        assert "beta" in failure(Settings("offline", betas=(beta,))).message


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_provider_lacks_is_one_sentence(provider: str, feature: str) -> None:
    lacking = Client.lacks(provider, feature)
    assert lacking is None or (lacking.startswith(PROVIDERS[provider].title) and lacking.count(".") == 1)
    assert Client.lacks("nobody", feature) is None


@pytest.mark.drift
def test_the_clients_of_the_sdk_have_what_the_rows_do_not_deny() -> None:
    """So that a row does not promise what its client cannot do."""
    for name, row in PROVIDERS.items():
        for sdk_class in row.sdk_classes[:1]:
            methods = dir(getattr(anthropic, sdk_class))
            annotated = {key for each in getattr(anthropic, sdk_class).__mro__ for key in vars(each)}
            if "models" not in {*methods, *annotated}:
                assert Client.lacks(name, "models"), name
            if "files" not in {*methods, *annotated}:
                assert Client.lacks(name, "files"), name


def test_a_list_of_models_is_not_asked_of_who_has_none(server: Recorder, ready: str) -> None:
    found = Client().models(Settings(ready, base_url=server.url))
    assert found is None
    assert bool(server.came) is (Client.lacks(ready, "models") is None)


@pytest.mark.parametrize("settings", [Settings(), Settings("vertex"), Settings("offline", base_url="http://x")])
def test_settings_are_values(settings: Settings) -> None:
    assert dataclasses.replace(settings) == settings and hash(settings)


@pytest.mark.parametrize(
    ("provider", "model", "price"),
    [
        ("anthropic", "claude-opus-5-5", "4"),
        ("anthropic", "claude-haiku-4-5-20251001", "1"),
        ("bedrock", "anthropic.claude-opus-5-5", "4.4"),  # in a region: a tenth more
        ("bedrock", "us.anthropic.claude-opus-5-5", "4.4"),
        ("bedrock", "global.anthropic.claude-opus-5-5", "4"),
        ("bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0", "1.1"),
        ("aws", "claude-opus-5-5", "4.4"),
        ("vertex", "claude-opus-5-5", "4"),
        ("vertex", "claude-opus-4-5@20251101", "5"),
        ("google-cloud", "claude-opus-5-5", "4"),
        ("foundry", "claude-opus-5-5", "4"),
        ("foundry", "my-deployment", None),
    ],
)
def test_prices_follow_the_provider(provider: str, model: str, price: str | None) -> None:
    prices = pricing.list_prices(model, provider)
    assert prices.get(0, {}).get("input") == (None if price is None else Decimal(price))
    assert providers.model_id(provider, model) == model or provider == "bedrock"


def test_a_client_is_set_as_the_object_that_it_is() -> None:
    """`%config` hands over a `Config`, of whose values traitlets takes copies: a client cannot be copied."""
    given = anthropic.Anthropic(api_key=SECRET, base_url="http://127.0.0.1:9")
    configuration = ClaudeMagic()
    for timeout in (30.0, 40.0):
        configuration.update_config(Config({"ClaudeMagic": {"timeout": timeout, "client": given}}))
        assert configuration.client is given and configuration.timeout == timeout
    configuration.update_config(Config({"ClaudeMagic": {"client": None}}))
    assert configuration.client is None


def test_a_client_of_ones_own_answers_in_a_notebook_and_an_asynchronous_one_is_one_line(
    kernel: Kernel, standin: offline.Server
) -> None:
    kernel.run("%load_ext claude_magic\nimport anthropic")
    for path in ("", "/"):
        kernel.run(f"mine = anthropic.Anthropic(api_key='k', base_url='{standin.url}{path}')")
        kernel.run("%config ClaudeMagic.client = mine")
        came = len(standin.requests)
        assert "You asked" in kernel.run("%claude --once hello").shown("text/markdown")[0]
        assert len(standin.requests) == came + 1
    kernel.run(f"%config ClaudeMagic.client = anthropic.AsyncAnthropic(api_key='k', base_url='{standin.url}')")
    told = kernel.run("%claude --once hello")
    assert told.error and "asynchronous client" in told.error["evalue"] and len(standin.requests) == came + 1
    kernel.run("%config ClaudeMagic.client = None")
