"""The offline stand-in: compaction, at a threshold and on demand."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from claude_magic import offline
from support.offline_requests import CALL, MODEL, SHOWN, WEATHER, assistant, beta, connect, post, said, text, user

AT_THRESHOLD = "compact-2026-01-12"
ON_DEMAND = "compact-2026-09-04"
LONG = "a word and another " * 12_000  # some 65,000 tokens
SOON = {"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 50_000}}
HISTORY = [user("My name is Ada."), assistant("Hello."), user("Why is the sky blue?")]


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def compact(client: anthropic.Anthropic, *messages: Any, **edit: Any) -> dict[str, Any]:
    return beta(client, AT_THRESHOLD, *messages, context_management={"edits": [{**SOON, **edit}]})


def summary(client: anthropic.Anthropic, *messages: Any, **more: Any) -> dict[str, Any]:
    return beta(client, ON_DEMAND, *messages, compaction={"type": "summarize", **more})


def tokens(client: anthropic.Anthropic, messages: list[Any], betas: str) -> int:
    return client.beta.messages.count_tokens(model=MODEL, messages=messages, betas=betas.split()).input_tokens


# At a threshold


def test_below_the_threshold_the_reply_is_one_iteration(client: anthropic.Anthropic) -> None:
    reply = compact(client, "hi")
    assert [block["type"] for block in reply["content"]] == ["thinking", "text"]
    assert [each["type"] for each in reply["usage"]["iterations"]] == ["message"]
    assert reply["context_management"] == {"applied_edits": []}


@pytest.mark.slow
def test_the_default_threshold_is_150_000_tokens(client: anthropic.Anthropic) -> None:
    assert compact(client, LONG, trigger=None)["content"][0]["type"] != "compaction"
    assert compact(client, LONG * 3, trigger=None)["content"][0]["type"] == "compaction"


def test_past_the_threshold_a_summary_comes_first_and_is_counted_apart(client: anthropic.Anthropic) -> None:
    reply = compact(client, LONG, assistant("Hm."), "And what is 17 * 23?")
    assert [block["type"] for block in reply["content"]] == ["compaction", "thinking", "text"]
    assert "391" in said(reply) and "not Claude" in reply["content"][0]["content"]
    first, second = reply["usage"]["iterations"]
    assert (first["type"], second["type"]) == ("compaction", "message")
    assert first["input_tokens"] > 50_000 > 1000 > second["input_tokens"]
    assert {name: reply["usage"][name] for name in second if name != "type"} == {
        name: value for name, value in second.items() if name != "type"
    }


@pytest.mark.slow
def test_the_summary_streams_as_one_delta_after_the_summarys_own_usage(client: anthropic.Anthropic) -> None:
    with client.beta.messages.with_streaming_response.create(
        model=MODEL,
        max_tokens=900,
        messages=[user(LONG)],
        stream=True,
        betas=[AT_THRESHOLD],
        context_management={"edits": [SOON]},
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    deltas = [event["delta"] for event in events if event.get("index") == 0 and "delta" in event]
    assert [delta["type"] for delta in deltas] == ["compaction_delta"]
    assert events[1]["content_block"] == {"type": "compaction", "content": None, "encrypted_content": None}
    end = events[-2]
    assert events[0]["message"]["usage"]["input_tokens"] > 50_000 > end["usage"]["input_tokens"]
    assert end["usage"]["iterations"][0]["type"] == "compaction" and end["context_management"] == {"applied_edits": []}
    assert "context_management" not in events[0]["message"]


def test_it_pauses_after_the_summary_when_told_to_and_goes_on_when_that_comes_back(
    client: anthropic.Anthropic,
) -> None:
    question = LONG + "\nWhat is 17 * 23?"
    paused = compact(client, question, pause_after_compaction=True)
    assert ([block["type"] for block in paused["content"]], paused["stop_reason"]) == (["compaction"], "compaction")
    assert (paused["usage"]["input_tokens"], paused["usage"]["output_tokens"]) == (0, 0)
    on = compact(client, question, assistant(paused["content"]))
    assert on["stop_reason"] == "end_turn" and on["content"][0]["type"] == "thinking"
    assert on["usage"]["input_tokens"] < 1000


@pytest.mark.slow
def test_what_stands_before_a_summary_is_not_read_or_billed(client: anthropic.Anthropic) -> None:
    reply = assistant(compact(client, LONG)["content"])
    whole = tokens(client, [user(LONG), reply, user("and?")], AT_THRESHOLD)
    assert whole == tokens(client, [reply, user("and?")], AT_THRESHOLD) < 1000
    changed = compact(client, "something else", reply, user("and?"))  # not read, so not checked either
    assert changed["stop_reason"] == "end_turn"


@pytest.mark.slow
def test_the_summary_of_a_summary_knows_both(client: anthropic.Anthropic) -> None:
    first = compact(client, "My name is Ada. " + LONG)
    history = [user("My name is Ada. " + LONG), assistant(first["content"]), user(LONG)]
    second = compact(client, *history)
    assert second["content"][0]["content"].count("\n- ") == 2
    assert "Ada" in said(compact(client, *history, assistant(second["content"]), "What is my name?"))


# On demand


def test_on_demand_the_answer_is_the_signed_summary_alone(client: anthropic.Anthropic) -> None:
    reply = summary(client, *HISTORY)
    (block,) = reply["content"]
    assert (block["type"], reply["stop_reason"]) == ("compaction", "compaction") and block["signature"]
    assert "Ada" in block["content"] and "sky" in block["content"]
    assert reply["usage"]["output_tokens"] == reply["usage"]["input_tokens"] == 0
    (used,) = reply["usage"]["iterations"]
    assert used["type"] == "compaction" and used["input_tokens"] == tokens(client, HISTORY, ON_DEMAND)
    assert used["output_tokens"] > 0


def test_instructions_reach_the_summary(client: anthropic.Anthropic) -> None:
    assert "“Be terse.”" in summary(client, *HISTORY, instructions="Be terse.")["content"][0]["content"]


def test_a_finished_conversation_can_be_summarized(client: anthropic.Anthropic) -> None:
    assert summary(client, *HISTORY, assistant("Because."))["stop_reason"] == "compaction"


def test_a_summary_replaces_the_messages_and_later_turns_keep_their_thinking(client: anthropic.Anthropic) -> None:
    asked = [user("My name is Ada."), assistant("Hello.")]
    block = summary(client, *asked)["content"]
    later = beta(client, ON_DEMAND, *asked, "One more?", thinking=SHOWN)["content"]  # made while it was written
    swapped = [assistant(block), user("One more?"), assistant(later), user("What is my name?")]
    assert "Ada" in said(beta(client, ON_DEMAND, *swapped, thinking=SHOWN))
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        beta(client, ON_DEMAND, *swapped, thinking=SHOWN, system="Something new")


def test_on_demand_streams_too_with_its_signature(client: anthropic.Anthropic) -> None:
    with client.beta.messages.with_streaming_response.create(
        model=MODEL,
        max_tokens=900,
        messages=[user("hi")],
        stream=True,
        betas=[ON_DEMAND],
        compaction={"type": "summarize"},
    ) as response:
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    assert [e["delta"]["type"] for e in events if e.get("index") == 0 and "delta" in e] == [
        "compaction_delta",
        "signature_delta",
    ]
    assert events[-2]["delta"]["stop_reason"] == "compaction"


def test_count_tokens_ignores_the_request_for_a_summary(standin: offline.Server) -> None:
    body = {"model": MODEL, "messages": HISTORY}
    path = "/v1/messages/count_tokens"
    wanted = {"compaction": {"type": "summarize"}}
    assert post(standin, body | wanted, path, betas=ON_DEMAND) == post(standin, body, path)


@pytest.mark.parametrize(
    ("betas", "parameters", "message"),
    [
        ("", {"compaction": {"type": "summarize"}}, "compaction: Extra inputs are not permitted"),
        (AT_THRESHOLD, {"compaction": {"type": "summarize"}}, "compaction: Extra inputs are not permitted"),
        (ON_DEMAND, {"compaction": {"type": "shorten"}}, "compaction: Input tag"),
        (ON_DEMAND, {"compaction": {"type": "summarize", "trigger": 1}}, "compaction.summarize.trigger: Extra"),
        (
            f"{ON_DEMAND},{AT_THRESHOLD}",
            {"compaction": {"type": "summarize"}, "context_management": {"edits": []}},
            "cannot be combined with `context_management`",
        ),
        (ON_DEMAND, {"compaction": {"type": "summarize"}, "model": "claude-haiku-4-5"}, "not supported for this"),
        ("", {"context_management": {"edits": [SOON]}}, "context_management: Extra inputs are not permitted"),
        ("context-management-2025-06-27", {"context_management": {"edits": [SOON]}}, "Input tag 'compact_20260112'"),
        (
            AT_THRESHOLD,
            {"context_management": {"edits": [{**SOON, "trigger": {"type": "input_tokens", "value": 49_999}}]}},
            "context_management.edits.0.compact_20260112: trigger.value must be at least 50000",
        ),
        (AT_THRESHOLD, {"context_management": {"edits": [SOON, SOON]}}, "only once"),
        (AT_THRESHOLD, {"context_management": {"edits": [SOON]}, "model": "claude-opus-4-5"}, "not supported"),
    ],
)
def test_what_cannot_be_compacted_is_refused(
    standin: offline.Server, betas: str, parameters: dict[str, Any], message: str
) -> None:
    body = {"model": MODEL, "max_tokens": 100, "messages": HISTORY, **parameters}
    status, answer = post(standin, body, betas=betas)
    assert status == 400 and message in answer["error"]["message"]


def test_a_turn_that_waits_for_its_tools_is_not_summarized(standin: offline.Server) -> None:
    body = {"model": MODEL, "max_tokens": 100, "tools": [WEATHER], "compaction": {"type": "summarize"}}
    status, answer = post(standin, {**body, "messages": [user("x"), assistant([CALL])]}, betas=ON_DEMAND)
    assert (status, answer["error"]["details"]["error_code"]) == (400, "compaction_incomplete_turn")


# What comes back


def code(client: anthropic.Anthropic, betas: str, *messages: Any) -> str:
    with pytest.raises(anthropic.BadRequestError) as caught:
        beta(client, betas, *messages)
    return str(caught.value.error_code)


def test_unsigned_damaged_and_changed_summaries_are_refused(client: anthropic.Anthropic) -> None:
    for made, betas in ((summary(client, *HISTORY), ON_DEMAND), (compact(client, LONG), AT_THRESHOLD)):
        block = made["content"][0]
        name = "signature" if "signature" in block else "encrypted_content"
        bare = {"type": "compaction", "content": block["content"]}
        both = f"{AT_THRESHOLD} {ON_DEMAND}"
        assert code(client, both, assistant([bare]), "x") == "compaction_signature_invalid"
        damaged = {**block, name: "A" + block[name][1:]}
        assert code(client, betas, assistant([damaged]), "x") == "compaction_signature_invalid"
        changed = {**block, "content": block["content"] + "!"}
        assert code(client, betas, assistant([changed]), "x") == "compaction_content_mismatch"


def test_a_summary_stands_first_and_alone(client: anthropic.Anthropic) -> None:
    demanded, made = summary(client, *HISTORY)["content"][0], compact(client, LONG)["content"][0]
    both = f"{AT_THRESHOLD} {ON_DEMAND}"
    assert code(client, both, "x", assistant([demanded]), "y") == "compaction_block_misplaced"
    assert code(client, both, "x", assistant([text("y"), made]), "z") == "compaction_block_misplaced"
    assert code(client, both, assistant([demanded]), "x", assistant([made]), "y") == "compaction_block_ambiguous"
    assert beta(client, both, user([demanded, text("x")]))["stop_reason"] == "end_turn"


def test_a_summary_is_known_with_its_beta_header_only(client: anthropic.Anthropic) -> None:
    block = summary(client, *HISTORY)["content"][0]
    for betas in ("", AT_THRESHOLD):
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0: Input tag 'compaction'"):
            beta(client, betas, assistant([block]), "x")


def test_a_summary_that_failed_changes_nothing(client: anthropic.Anthropic) -> None:
    failed = {"type": "compaction", "content": None}
    plain = [user("My name is Ada."), assistant([text("Hello.")]), user("What is my name?")]
    with_it = [plain[0], assistant([failed, text("Hello.")]), plain[2]]
    assert "Ada" in said(beta(client, AT_THRESHOLD, *with_it))
    assert tokens(client, with_it, AT_THRESHOLD) == tokens(client, plain, AT_THRESHOLD)
