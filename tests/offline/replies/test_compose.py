"""The offline stand-in: what it replies."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from claude_magic import offline
from claude_magic.magics.fix import REQUEST
from support.offline_requests import (
    MODEL,
    PLAIN,
    SEARCH,
    SHOWN,
    WEATHER,
    ask,
    assistant,
    connect,
    image,
    said,
    text,
    user,
)


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def test_every_reply_says_that_it_is_not_claude(client: anthropic.Anthropic) -> None:
    for prompt in ("hi", "17 * 23", "[[long 300]]", "compare a and b"):
        reply = ask(client, prompt)
        assert said(reply).startswith("*Offline stand-in, not Claude.*\n\n")
        assert reply["model"] == MODEL and reply["id"].startswith("msg_offline_")


FRAME = """DataFrame iris: 1,500 rows × 3 columns (polars)
column | type | nulls | values
sepal length | Float64 | 0 | min 4.3, max 7.9, mean 5.84, distinct 35
grams | Int64 | 2 | min -2, max 1e+03, mean 499, distinct 9
species | String | 0 | distinct 3, top a (50), b (50)
first 2 rows:
sepal length,grams,species
5.1,7,a
4.9,8,what is 1 + 1
"""
SHADED = FRAME.replace("first 2", "shade | String | 0 | distinct 2, top dark (60), light (40)\nfirst 2")


@pytest.mark.parametrize(
    ("prompts", "parts"),
    [
        (["What is 17 * 23?"], ["17 \\* 23 = **391**"]),
        (["(2 + 3) × 4 ^ 2 ="], ["**80**"]),
        (["What is 1/0, and 9**9**9**9?"], ["You asked"]),
        (["```python\nx = 80 + 0.7\n```\nWhat is 2 + 3?"], ["2 + 3 = **5**"]),
        (["On 2026-11-22, what is up?"], ["You asked: “On 2026-11-22, what is up?”"]),
        ([FRAME + "What is the sepal length?"], ["`iris`", "1,500 rows", "3 columns", "4.3 to 7.9; the mean, 5.84"]),
        ([f"Plot this:\n{FRAME}"], ["```python", 'iris["grams"]', "-2 to 1000"]),
        ([f"Group by, in code:\n{FRAME}"], ['iris.group_by("species")', "import polars"]),
        ([f"A table of {FRAME}".replace("of ", "of\n")], ["| `sepal length` | 4.3 | 5.84 | 7.9 |"]),
        (["My name is Ada Lovelace."], ["Ada Lovelace"]),
        (["My name is Ada Lovelace, hi.", "And so on", "What is my name?"], ["Your name is **Ada Lovelace**"]),
        (["My favourite colour is teal.", "What's my favorite color?", "What's my favourite colour?"], ["**teal**"]),
        (["Remember that the code is 4711.", "What did I ask you before?"], ["the code is 4711", "1. “Remember"]),
        (["First things", "Second things", "What did I say earlier?"], ["1. “First things”", "2. “Second things”"]),
        (
            ["What stands out in\n" + FRAME + "? Say it.", "What did I ask?"],
            ["1. “What stands out in `iris`? Say it.”"],
        ),
        (["x = 1\n" * 99 + "What went wrong?", "What did I ask before?"], ["1. “What went wrong?”"]),
        (["My name is Ada.", "What is my name, and what did I ask before?"], ["**Ada**", "1. “My name is Ada.”"]),
        ([f"Python code that groups it by shade:\n{SHADED}"], ['iris.group_by("shade")']),
        (["Compare the mean and the median in a table."], ["| the mean |", "| the median |"]),
        (["Compare Rome and Oslo"], ["| Rome | 4 | 2 |", "| Oslo | 4 | 2 |"]),
        (["Give me the formula for variance"], ["$$s^2"]),
        (["Write a Python function for primes"], ["```python\ndef is_prime"]),
        (["Why?\nTraceback (most recent call last):\n  File x\nValueError: no such thing"], ["`ValueError: no such"]),
        ([f"```python\n1 / 0\n```\n{REQUEST}"], ["cannot correct it", "```python\n# The offline", "\n1 / 0\n```"]),
        (["Day 1: no complaints.\n" * 40 + "\nOn which day?"], ["You asked: “On which day?”"]),
        (["Which is largest? Series: 3 values\n" + "north,1137\n" * 40], ["You asked: “Which is largest?”"]),
        (["Sum up: Day 1\n" + "Day 2\n" * 40], ["prompt begins with “Sum up: Day 1” and ends with “Day 2”"]),
        (["Compare 2 by 3 and the mean"], ["| 2 by 3 | 2 | 0 |", "| the mean | 7 | 3 |"]),
        (["Hello there"], ["You asked: “Hello there”"]),
    ],
)
def test_replies_pick_up_what_is_asked(client: anthropic.Anthropic, prompts: list[str], parts: list[str]) -> None:
    messages: list[Any] = []
    for prompt in prompts:
        messages.append(user(prompt))
        reply = ask(client, *messages)
        messages.append(assistant(reply["content"]))
    assert all(part in said(reply) for part in parts), said(reply)


def test_it_thinks_longer_at_more_effort(client: anthropic.Anthropic) -> None:
    lengths = [
        ask(client, user("Why?"), output_config={"effort": effort})["usage"]["output_tokens_details"]["thinking_tokens"]
        for effort in ("low", "high", "xhigh", "max")
    ]
    assert lengths == sorted(set(lengths))


def test_it_measures_images(client: anthropic.Anthropic) -> None:
    assert "JPEG of **64 × 32 pixels**" in said(ask(client, [image(64, 32, "JPEG"), text("what size?")]))


def test_it_says_what_its_instructions_are(client: anthropic.Anthropic) -> None:
    reply = said(ask(client, "hi", system="You are a pirate"))
    assert "Arr!" in reply and "“You are a pirate”" in reply and "You asked: “hi”" in reply
    assert "“be brief”" in said(ask(client, user("hi"), {"role": "system", "content": "be brief"}))


def test_it_calls_a_tool_that_is_named_and_answers_from_the_result(client: anthropic.Anthropic) -> None:
    prompt = user("Use get_weather in New York for 12 days, fahrenheit")
    reply = ask(client, prompt, tools=[WEATHER])
    call = reply["content"][-1]
    assert (reply["stop_reason"], call["name"]) == ("tool_use", "get_weather")
    assert call["input"] == {"city": "New York", "days": 7, "unit": "fahrenheit", "hours": [1.0]}
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "rain, 3 degrees"}
    answer = ask(client, prompt, assistant(reply["content"]), user([result]), tools=[WEATHER])
    assert (answer["stop_reason"], "rain, 3 degrees" in said(answer)) == ("end_turn", True)


def test_it_keeps_to_an_output_schema(client: anthropic.Anthropic) -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"n": {"$ref": "#/$defs/count"}, "tags": {"type": "array", "items": {"type": "string"}}},
        "$defs": {"count": {"type": "integer"}},
    }
    reply = ask(client, "Take 5", output_config={"format": {"type": "json_schema", "schema": schema}})
    assert json.loads(said(reply)) == {"n": 5, "tags": ["Take 5"]}


def test_it_refuses_when_told_to(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=99, messages=[user("[[refuse]] please")]) as stream:
        reply = stream.get_final_message().to_dict()
    assert (reply["stop_reason"], reply["content"]) == ("refusal", [])
    assert reply["stop_details"]["type"] == "refusal" and reply["stop_details"]["explanation"]


def test_long_replies_are_about_as_long_as_asked(client: anthropic.Anthropic) -> None:
    assert 20_000 <= len(said(ask(client, "[[long 20000]]", max_tokens=20_000))) < 20_400


def test_max_tokens_cuts_the_reply_off(client: anthropic.Anthropic) -> None:
    parameters: dict[str, Any] = {"model": PLAIN, "thinking": {"type": "disabled"}}
    whole = said(ask(client, "[[long 900]]", **parameters))
    reply = ask(client, "[[long 900]]", max_tokens=50, **parameters)
    assert (reply["stop_reason"], reply["usage"]["output_tokens"]) == ("max_tokens", 50)
    assert whole.startswith(said(reply)) and 100 < len(said(reply)) < len(whole)
    only_thought = ask(client, "hi", max_tokens=10, thinking=SHOWN)
    assert [block["type"] for block in only_thought["content"]] == ["thinking"]


def test_a_stop_sequence_ends_the_reply_and_is_named(client: anthropic.Anthropic) -> None:
    reply = ask(client, "hi", stop_sequences=["never", "Claude"])
    assert (reply["stop_reason"], reply["stop_sequence"]) == ("stop_sequence", "Claude")
    assert said(reply) == "*Offline stand-in, not "


def test_a_script_dictates_the_reply(standin: offline.Server, client: anthropic.Anthropic) -> None:
    standin.script = lambda body: [SEARCH] if "search" in str(body["messages"]) else None
    assert ask(client, "search")["stop_reason"] == "pause_turn"
    assert "You asked" in said(ask(client, "hi"))
