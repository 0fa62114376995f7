"""The offline stand-in: thinking, and what it is bound to."""

from __future__ import annotations

import copy
import json
from typing import Any

import anthropic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_magic import offline
from support.offline_requests import (
    BUDGET,
    MARK,
    MODEL,
    PLAIN,
    SHOWN,
    WEATHER,
    ask,
    assistant,
    connect,
    post,
    text,
    user,
)


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


SHAPES = {
    "text": ["text"],
    "thinking": ["thinking", "text"],
    "two thoughts": ["thinking", "text", "thinking", "text"],
    "a call": ["thinking", "tool_use"],
    "a silent call": ["text", "tool_use"],
}
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8).map(
    lambda w: f"w{w}"
)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """What the two sides say, turn by turn, and what stands above it all."""
    turns = draw(st.lists(st.tuples(st.sampled_from(sorted(SHAPES)), words, words, words), min_size=1, max_size=4))
    return {
        "turns": turns,
        "system": draw(st.none() | words),
        "tools": [WEATHER] if draw(st.booleans()) else [],
        "display": draw(st.sampled_from(["summarized", "omitted"])),
    }


def hold(standin: offline.Server, plan: dict[str, Any], model: str = MODEL) -> dict[str, Any]:
    """Hold the conversation with the server; the request that comes next, its history verbatim."""
    body: dict[str, Any] = {"model": model, "max_tokens": 4000, "messages": []}
    body["thinking"] = {"type": "adaptive", "display": plan["display"]}
    body |= {"system": plan["system"]} if plan["system"] else {}
    body |= {"tools": plan["tools"]} if plan["tools"] else {}
    call = None
    for number, (shape, prompt, thought, answer) in enumerate(plan["turns"]):
        result = [{"type": "tool_result", "tool_use_id": call, "content": prompt}] if call else []
        body["messages"].append(user([*result, text(prompt)] if result else prompt))
        call = f"toolu_{number}" if shape.endswith("call") else None
        reply = _scripted(SHAPES[shape], thought, answer, call)
        standin.script = lambda _, reply=reply: reply  # type: ignore[misc]
        content = connect(standin).messages.create(**body).to_dict()["content"]
        body["messages"].append(assistant(content))
    last = [{"type": "tool_result", "tool_use_id": call, "content": "done"}] if call else []
    body["messages"].append(user([*last, text("and now?")]))
    return body


def _scripted(shape: list[str], thought: str, answer: str, call: str | None) -> list[dict[str, Any]]:
    blocks: dict[str, dict[str, Any]] = {
        "thinking": {"type": "thinking", "thinking": thought},
        "text": text(answer),
        "tool_use": {"type": "tool_use", "id": call, "name": "get_weather", "input": {"city": answer, "x": None}},
    }
    return [copy.deepcopy(blocks[kind]) for kind in shape]


def verdict(standin: offline.Server, body: dict[str, Any]) -> str:
    """What the server says to a history, by counting its tokens: `accepted`, or the error."""
    status, answer = post(standin, {k: v for k, v in body.items() if k != "max_tokens"}, "/v1/messages/count_tokens")
    return "accepted" if status == 200 else answer["error"]["message"]


def places(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [(i, j) for i, message in enumerate(body["messages"]) for j, _ in enumerate(as_blocks(message["content"]))]


def as_blocks(content: Any) -> list[Any]:
    return [text(content)] if isinstance(content, str) else content


def in_blocks(body: dict[str, Any]) -> dict[str, Any]:
    changed = copy.deepcopy(body)
    for message in changed["messages"]:
        message["content"] = as_blocks(message["content"])
    return changed


def rewritten(body: dict[str, Any], draw: Any) -> dict[str, Any]:
    """The same history in another spelling: nothing that Claude would see is changed."""
    same = in_blocks(body)
    if isinstance(same.get("system"), str) and draw(st.booleans()):
        same["system"] = [text(same["system"], cache_control=MARK)]
    messages = []
    for message in same["messages"]:
        content = message["content"]
        cut = draw(st.integers(0, len(content)))
        parts = [content[:cut], content[cut:]] if 0 < cut < len(content) else [content]
        if message["role"] == "assistant" and any(p[-1]["type"] == "thinking" for p in parts):
            parts = [content]
        messages += [{"content": part, "role": message["role"]} for part in parts]
    at = draw(st.integers(0, len(messages) - 1))
    for block in messages[at]["content"][-1:]:
        if block["type"] not in ("thinking", "redacted_thinking"):
            block["cache_control"] = MARK
    same["messages"] = json.loads(json.dumps(messages, sort_keys=True))
    same["output_config"] = {"effort": draw(st.sampled_from(["low", "high"]))}
    return same


def edited(body: dict[str, Any], draw: Any) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """A history with one change, and the place before which all is as it was; `None` for the very top."""
    other = in_blocks(body)
    kind = draw(st.sampled_from(["system", "tools", "block", "insert", "drop", "exchange"]))
    if kind == "system":
        other["system"] = str(other.get("system") or "") + "!"
        return other, None
    if kind == "tools":
        other["tools"] = [{**tool, "description": "Another."} for tool in other.get("tools", [])] or [WEATHER]
        return other, None
    i, j = draw(st.sampled_from(places(other)))
    content = other["messages"][i]["content"]
    block = content[j]
    if kind == "insert" or block["type"] == "thinking":
        after = j + 1 if i % 2 == 0 else len(content)
        content.insert(after if block["type"] != "tool_use" else j, text("inserted"))
        return other, (i, min(after, j if block["type"] == "tool_use" else after))
    if kind == "exchange" and _free(other, i):
        first = i - i % 2
        del other["messages"][first : first + 2]
        return other, (first, 0)
    if kind == "drop" and block["type"] == "text" and 0 < j == len(content) - 1 and content[j - 1]["type"] == "text":
        del content[j]
        return other, (i, j)
    for name in {"text": ["text"], "tool_result": ["content"], "tool_use": ["input"]}[block["type"]]:
        block[name] = {**block[name], "x": 1} if name == "input" else block[name] + "!"
    return other, (i, j)


def _free(body: dict[str, Any], i: int) -> bool:
    """Whether the exchange at a message can go without leaving a tool call or result alone."""
    first = i - i % 2
    blocks = [block for message in body["messages"][first : first + 3] for block in message["content"]]
    return first + 2 < len(body["messages"]) and not any(b["type"].startswith("tool") for b in blocks)


def thoughts(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [(i, j) for i, j in places(body) if as_blocks(body["messages"][i]["content"])[j]["type"] == "thinking"]


quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.slow
@quick
@given(conversations(), st.data())
def test_an_unchanged_history_is_never_refused(shared: offline.Server, plan: dict[str, Any], data: Any) -> None:
    body = hold(shared, plan)
    assert verdict(shared, body) == "accepted"
    assert verdict(shared, rewritten(body, data.draw)) == "accepted"


@pytest.mark.slow
@quick
@given(conversations(), st.data())
def test_thinking_after_a_change_is_refused_and_thinking_before_it_is_not(
    shared: offline.Server, plan: dict[str, Any], data: Any
) -> None:
    changed, place = edited(hold(shared, plan), data.draw)
    late = [t for t in thoughts(changed) if place is None or t >= place]
    wanted = "accepted"
    if late:
        where = f"messages.{late[0][0]}.content.{late[0][1]}"
        wanted = f"{where}: Invalid `signature` in `thinking` block: The block is bound to a different conversation"
    assert verdict(shared, changed) == wanted


@pytest.mark.slow
@quick
@given(conversations(), st.data())
def test_thinking_that_is_left_out_breaks_the_thinking_after_it_only(
    shared: offline.Server, plan: dict[str, Any], data: Any
) -> None:
    body = in_blocks(hold(shared, plan))
    if not (found := thoughts(body)):
        return
    i, j = data.draw(st.sampled_from(found))
    del body["messages"][i]["content"][j]
    assert (verdict(shared, body) == "accepted") == (not [t for t in thoughts(body) if t >= (i, j)])


@quick
@given(conversations(), st.data())
@pytest.mark.slow
def test_a_damaged_signature_or_thought_is_refused_on_every_model(
    shared: offline.Server, plan: dict[str, Any], data: Any
) -> None:
    model = data.draw(st.sampled_from([MODEL, "claude-opus-4-8"]))
    body = in_blocks(hold(shared, plan, model))
    if not (found := thoughts(body)):
        return
    i, j = data.draw(st.sampled_from(found))
    block = body["messages"][i]["content"][j]
    name = data.draw(st.sampled_from(["signature", "thinking"]))
    at = data.draw(st.integers(0, len(block[name])))
    block[name] = block[name][:at] + "x" + block[name][at + 1 :] + ("y" if block[name][at : at + 1] == "x" else "")
    assert verdict(shared, body) == f"messages.{i}.content.{j}: Invalid `signature` in `thinking` block"


PLAN = {"turns": [("thinking", "a", "long thought " * 30, "c")], "system": None, "tools": [], "display": "omitted"}


def test_another_models_thinking_is_dropped_unbilled(shared: offline.Server) -> None:
    body = in_blocks(hold(shared, PLAN))
    without = copy.deepcopy(body)
    del without["messages"][1]["content"][0]
    count = connect(shared).messages.count_tokens
    other = {"model": "claude-sonnet-5-5"}
    keys = ("messages", "model")
    kept, dropped = ({k: each[k] for k in keys} for each in (body, without))
    assert count(**{**kept, **other}).input_tokens == count(**{**dropped, **other}).input_tokens
    assert count(**kept).input_tokens >= count(**dropped).input_tokens + 100  # its own are billed, shown or not
    changed = copy.deepcopy(body) | other
    changed["messages"][0]["content"][0]["text"] = "changed"
    assert verdict(shared, changed) == "accepted"


def test_models_that_do_not_bind_thinking_take_it_in_a_changed_history(shared: offline.Server) -> None:
    body = in_blocks(hold(shared, PLAN, "claude-opus-5"))
    body["messages"][0]["content"][0]["text"] = "changed"
    assert verdict(shared, body) == "accepted"


def test_thinking_made_on_a_changed_history_is_bound_to_that_one(shared: offline.Server) -> None:
    client = connect(shared)
    shared.script = None
    history = [user("one"), assistant("edited by hand"), user("two")]
    reply = ask(client, *history)["content"]
    assert ask(client, *history, assistant(reply), user("three"))["stop_reason"] == "end_turn"
    history[1] = assistant("as it was")
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        ask(client, *history, assistant(reply), user("three"))


def test_who_said_it_is_part_of_what_thinking_is_bound_to(client: anthropic.Anthropic) -> None:
    history = [user("one"), {"role": "system", "content": "be brief"}]
    reply = assistant(ask(client, *history)["content"])
    assert ask(client, *history, reply, user("two"))["stop_reason"] == "end_turn"
    with pytest.raises(anthropic.BadRequestError, match="bound to a different conversation"):
        ask(client, user("one"), user("be brief"), reply, user("two"))


def test_signatures_outlive_the_server(standin: offline.Server) -> None:
    reply = ask(connect(standin), "hi")["content"]
    with offline.start() as another:
        assert ask(connect(another), "hi", assistant(reply), "again")["stop_reason"] == "end_turn"


def test_thinking_is_shown_as_the_model_and_the_request_say(client: anthropic.Anthropic) -> None:
    def thinking(**parameters: Any) -> list[str]:
        content = ask(client, "hi", **parameters)["content"]
        return [block["thinking"] for block in content if block["type"] == "thinking"]

    assert thinking() == [""]
    assert "hi" in thinking(thinking=SHOWN)[0]
    assert "hi" in thinking(model="claude-haiku-4-5", thinking=BUDGET)[0]
    assert thinking(model="claude-haiku-4-5", thinking={**BUDGET, "display": "omitted"}) == [""]
    assert thinking(model="claude-haiku-4-5") == thinking(model=PLAIN, thinking={"type": "disabled"}) == []
