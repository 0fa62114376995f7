"""The offline stand-in: how it serves."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from typing import Any

import anthropic
import pytest

from claude_magic import offline
from claude_magic.models import MODELS
from support.offline_requests import MODEL, SHOWN, WEATHER, ask, connect, post, said, user


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def test_importing_it_loads_no_http_server_no_pillow_and_no_sdk() -> None:
    check = "import sys, claude_magic.offline; print({'http.server', 'PIL', 'anthropic', 'socket'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "set()"


def test_run_as_a_module_it_prints_where_it_serves() -> None:
    command = [sys.executable, "-m", "claude_magic.offline"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        url = line.split()[-1]
        status = urllib.request.urlopen(urllib.request.Request(url + "/v1/models", headers={"x-api-key": "k"})).status
        process.terminate()
    assert "not Claude" in line and status == 200


def test_the_stream_folds_into_the_message_it_recorded(standin: offline.Server, client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"model": MODEL, "max_tokens": 900, "thinking": SHOWN, "tools": [WEATHER]}
    with client.messages.stream(messages=[user("get weather for Oslo")], **parameters) as stream:
        streamed = stream.get_final_message().to_dict()
    assert streamed == standin.replies[-1]
    assert [block["type"] for block in streamed["content"]] == ["thinking", "text", "tool_use"]
    assert standin.requests[-1]["messages"] == [user("get weather for Oslo")]


def test_events_come_in_the_apis_order(client: anthropic.Anthropic) -> None:
    with client.messages.with_streaming_response.create(
        model=MODEL, max_tokens=900, messages=[user("hi")], stream=True, thinking=SHOWN
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    kinds = [event["type"] for event in events]
    runs = [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert runs == ["message_start", block[0], "ping", *block[1:], *block, "message_delta", "message_stop"]
    assert [e["delta"]["type"] for e in events if e.get("index") == 0 and "delta" in e][-1] == "signature_delta"
    pieces = [e["delta"]["text"] for e in events if e.get("delta", {}).get("type") == "text_delta"]
    assert all(3 <= len(piece) <= 12 for piece in pieces[:-1])
    first, last = events[0]["message"]["usage"], events[-2]["usage"]
    assert first["output_tokens"] < last["output_tokens"] and first["input_tokens"] == last["input_tokens"]


def test_the_same_request_gets_the_same_words(client: anthropic.Anthropic) -> None:
    assert said(ask(client, "Tell me something")) == said(ask(client, "Tell me something"))


def test_every_model_of_the_table_is_listed_and_described(client: anthropic.Anthropic) -> None:
    listed = list(client.models.list(limit=7))
    assert [info.id for info in listed] == [model.id for model in MODELS]
    opus = client.models.retrieve(MODEL)
    assert (opus.max_input_tokens, opus.max_tokens, opus.lifecycle) == (1_000_000, 128_000, "active")
    assert opus.capabilities and not opus.capabilities.thinking.types.disabled.supported
    with pytest.raises(anthropic.NotFoundError, match="model: claude-opus-9"):
        client.models.retrieve("claude-opus-9")


def test_only_models_from_4_6_on_say_that_they_compact(client: anthropic.Anthropic) -> None:
    infos = client.models.list(limit=99)
    unable = [
        info.id
        for info in infos
        if not (info.capabilities and (compact := info.capabilities.context_management.compact_20260112))
        or not compact.supported
    ]
    assert sorted(unable) == ["claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-5"]


def test_unknown_routes_are_not_found(standin: offline.Server) -> None:
    assert post(standin, {}, "/v1/elsewhere")[1]["error"]["type"] == "not_found_error"


def test_the_key_invalid_and_a_missing_key_are_refused(standin: offline.Server) -> None:
    with pytest.raises(anthropic.AuthenticationError) as caught:
        ask(connect(standin, "invalid"), "hi")
    assert caught.value.api_message == "invalid x-api-key"
    assert (caught.value.request_id or "").startswith("req_offline_")
    assert post(standin, {}, key="")[0] == 401


def test_answers_carry_the_apis_headers(client: anthropic.Anthropic) -> None:
    headers = client.messages.with_raw_response.create(model=MODEL, max_tokens=99, messages=[user("hi")]).headers
    assert headers["request-id"].startswith("req_offline_")
    assert {"anthropic-organization-id", "anthropic-ratelimit-requests-remaining"} <= set(headers)
