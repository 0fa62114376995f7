"""`ask` and `aask` in a shell: the same question as a cell's, with values as values, one or several at once."""

from __future__ import annotations

import asyncio
import inspect
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas
import pytest
from PIL import Image

from claude_magic import aask, ask, errors, options
from claude_magic.cost import pricing
from claude_magic.magics.python import arguments
from claude_magic.offline import Fault
from claude_magic.render.reply import ReplyText
from claude_magic.session.chats import Chats
from support.shell import OfflineShell


@pytest.fixture(scope="module")
def notebook() -> OfflineShell:
    """A shell of its own, which is IPython's running one."""
    return OfflineShell()


@pytest.fixture
def here(notebook: OfflineShell, monkeypatch: pytest.MonkeyPatch) -> Iterator[OfflineShell]:
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: notebook.shell)
    notebook.kernel.session.chats = Chats()
    notebook.forget()
    yield notebook
    for name in ("budget", "approve", "replay", "system"):
        setattr(notebook.configuration, name, type(notebook.configuration).class_traits()[name].default_value)


def sent(notebook: OfflineShell) -> str:
    """The text of the last prompt that was sent."""
    return "".join(block.get("text", "") for block in notebook.server.requests[-1]["messages"][-1]["content"])


def asked(notebook: OfflineShell) -> list[str]:
    """The prompts of the conversation, in order."""
    return ["".join(block.get("text", "") for block in turn.prompt) for turn in notebook.kernel.session.chats.turns]


def test_a_reply_is_a_str_with_the_rest_of_it(here: OfflineShell, capsys: pytest.CaptureFixture[str]) -> None:
    reply = ask("Hello")
    assert isinstance(reply, ReplyText) and reply == here.kernel.session.chats.turns[0].reply[-1]["text"]
    assert reply.usage["output_tokens"] and reply.cost and reply.blocks and reply.thinking
    assert "<p>" in reply._repr_mimebundle_()["text/html"]
    assert capsys.readouterr().out == ""
    assert [turn.id for turn in here.kernel.session.spent] == [turn.id for turn in here.kernel.session.chats.turns]


def test_calls_and_cells_are_one_conversation(here: OfflineShell) -> None:
    ask("My name is Ada.")
    here.shell.run_cell("%%claude\nWhat is my name?")
    assert "Ada" in here.kernel.session.chats.turns[-1].reply[-1]["text"]
    assert "Ada" in ask("What is my name?")
    assert asked(here) == ["My name is Ada.", "What is my name?", "What is my name?"]
    assert "Ada" not in ask("My name?", once=True) and "Ada" not in ask("My name?", chat="other")


@pytest.mark.parametrize("prompt", ["{{1 + 1}}", r"\{{x}}", "{{", "{{nothing_of_this_name}}", "%claude a?", "  a\n\n"])
def test_a_prompt_is_text_and_nothing_else(here: OfflineShell, prompt: str) -> None:
    ask(prompt)
    assert sent(here) == prompt


@pytest.mark.slow
def test_values_are_shown_as_a_cell_shows_them(here: OfflineShell, tmp_path: Path) -> None:
    import pandas

    sales = here.shell.user_ns["sales"] = pandas.DataFrame({"town": ["Oslo"], "sold": [3]})
    here.shell.run_cell("%%claude\nLook:\n{{sales}}")
    shown = sent(here).removeprefix("Look:\n")
    ask("Look:", sales)
    assert sent(here) == f"Look:\n{shown}"
    ask("Say", "{{1 + 1}}", 5, {"a": [1]}, None)
    assert sent(here).split("\n")[:3] == ["Say", "{{1 + 1}}", "5"]
    picture = tmp_path / "red.png"
    Image.new("RGB", (8, 8), "red").save(picture)
    for given in ({}, {"image": picture}, {"image": [str(picture)]}, {"file": picture}, {"image": Image.open(picture)}):
        ask("What is it?", *(() if given else [Image.open(picture)]), **given)
        kinds = [block["type"] for block in here.server.requests[-1]["messages"][-1]["content"]]
        assert sorted(kinds) == ["image", "text"]


def test_secrets_are_masked_in_all_that_is_sent(here: OfflineShell) -> None:
    key = "sk-ant-api03-" + "aB3" * 12
    ask(f"What is {key}?", {"password": "hunter2hunter2"}, key)
    assert key not in json.dumps(here.server.requests) and "hunter2" not in json.dumps(here.server.requests)
    ask(f"What is {key}?", allow_secrets=True)
    assert key in sent(here)


def test_columns_go_as_they_are_where_they_are_allowed_to(here: OfflineShell) -> None:
    keys, passwords = ["aB3dE6gH9jK2mN5p", "qR8tU1wX4zA7cD0f"], ["hunter2hunter2", "swordfish99"]
    frame = pandas.DataFrame({"token": keys, "password": passwords})
    ask("Which?", frame, allow_columns="token, session_key")
    assert keys[0] in sent(here) and passwords[0] not in sent(here)
    ask("Which?", frame)
    assert keys[0] not in sent(here)
    with pytest.raises(errors.UsageError, match="names of columns with commas between them, such as token,license_key"):
        ask("Which?", frame, allow_columns="token,,")


OPTIONS: dict[str, tuple[Any, str, Any]] = {
    "model": ("haiku", "model", "claude-haiku-5-5"),
    "a number": (500, "max_tokens", 500),
    "its text": ("1_500", "max_tokens", 1_500),
    "effort": ("low", "output_config", {"effort": "low"}),
    "several": (["A", "B"], "stop_sequences", ["A", "B"]),
    "one": ("A", "stop_sequences", ["A"]),
}
NAMES = {"a number": "max_tokens", "its text": "max_tokens", "several": "stop", "one": "stop"}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_have_their_python_names_and_are_sent_as_a_cell_sends_them(here: OfflineShell, kind: str) -> None:
    given, parameter, expected = OPTIONS[kind]
    ask("Hm", **{NAMES.get(kind, kind): given})
    assert here.server.requests[-1][parameter] == expected


def test_a_system_prompt_is_inert_and_the_configured_one_is_not(here: OfflineShell) -> None:
    ask("Hm", system="{{book}} \\{{ {{{x}}}")
    assert here.server.requests[-1]["system"] == "{{book}} \\{{ {{{x}}}"
    here.shell.user_ns["book"] = "A book."
    here.configuration.system = "Read {{book}}"
    ask("Hm")
    assert here.server.requests[-1]["system"] == "Read A book."


@dataclass
class Person:
    name: str
    age: int


def test_a_schema_gives_the_validated_value(here: OfflineShell) -> None:
    assert isinstance(ask("One", schema=Person), Person)
    people = ask("Some", schema=list[Person])
    assert list(people.columns) == ["name", "age"]
    here.shell.user_ns["Person"] = Person
    assert isinstance(ask("One", schema="Person"), Person)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert isinstance(ask("One", schema=schema)["n"], int)


def test_functions_are_tools_by_themselves_or_by_name(here: OfflineShell) -> None:
    def weather(city: str) -> str:
        """The weather."""
        return f"sun in {city}"

    here.configuration.approve = "always"
    assert "sun in Oslo" in ask("get weather for Oslo", tools=weather)
    here.shell.user_ns["weather"] = weather
    assert "sun in Oslo" in ask("get weather for Oslo", tools=["weather", "variables"])


def test_a_tool_may_ask_too(here: OfflineShell) -> None:
    def weather(city: str) -> str:
        """The weather."""
        return ask(f"Say {city} in Norwegian")

    here.configuration.approve = "always"
    ask("get weather for Oslo", tools=weather)
    assert asked(here) == ["get weather for Oslo", "Say Oslo in Norwegian"]
    assert asyncio.run(aask("get weather for Bergen", tools=weather))
    assert asked(here)[2:] == ["get weather for Bergen", "Say Bergen in Norwegian"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown": ({"modle": "opus"}, "ask() has no option modle. Did you mean model?"),
    "of a cell": ({"out": "x"}, "ask() does not take out"),
    "raw": ({"raw": True}, "ask() does not take raw"),
    "a level": ({"effort": "much"}, "effort wants one of low, medium, high, xhigh, max, not 'much'."),
    "zero": ({"max_tokens": 0}, "max_tokens wants a whole number"),
    "a fraction": ({"max_tokens": 1.5}, "max_tokens wants a whole number"),
    "a truth": ({"max_tokens": True}, "max_tokens cannot be True"),
    "no truth": ({"once": "yes"}, "once is True or False, not 'yes'."),
    "not finite": ({"budget": float("inf")}, "budget wants an amount"),
    "a model of another type": ({"model": 5}, "model cannot be 5"),
    "several models": ({"model": "opus,sonnet"}, "ask() asks one model"),
    "empty": ({"model": ""}, "model is empty"),
    "a function without a name": ({"tools": [lambda x: x]}, "has no name"),
    "no tools": ({"tools": []}, "tools is empty"),
    "no type": ({"schema": 3}, "--schema 3 is a int"),
    "no file": ({"file": "nowhere.pdf"}, "there is no such file"),
    "an expression": ({"file": "{{1/0}}"}, "there is no file '{{1/0}}'"),
    "a password": ({"mcp": "https://a:b@c.example"}, "without a credential"),
    "show": ({"show": "no"}, "show is True or False"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_sent(here: OfflineShell, kind: str) -> None:
    given, said = WRONG[kind]
    with pytest.raises(errors.UsageError) as raised:
        ask("Hm", **given)
    assert said in str(raised.value) and "\n" not in str(raised.value)
    with pytest.raises(errors.UsageError):
        asyncio.run(aask("Hm", **given))
    assert not here.server.requests and not asked(here)


@pytest.mark.parametrize("prompt", [None, 5, b"bytes", ["a"], "", " \n"])
def test_a_prompt_that_is_none_is_refused(here: OfflineShell, prompt: Any) -> None:
    with pytest.raises(errors.UsageError):
        ask(prompt)
    assert not here.server.requests


def test_every_option_is_taken_or_refused_by_name_and_help_lists_them() -> None:
    assert set(arguments.FIELDS) | set(arguments.NOT_TAKEN) == {field.name for field in options.FIELDS}
    for function in (ask, aask):
        assert set(arguments.FIELDS) < set(inspect.signature(function).parameters)
    assert inspect.iscoroutinefunction(aask)


@pytest.mark.slow
def test_a_failure_is_an_error_of_ours_and_changes_nothing(here: OfflineShell) -> None:
    here.configuration.max_retries = 0
    here.server.faults.extend([Fault("status", status=529), Fault("status", status=529)])
    with pytest.raises(errors.OverloadedError):
        ask("Hm")
    with pytest.raises(errors.OverloadedError):
        asyncio.run(aask("Hm"))
    assert not asked(here)
    here.server.faults.append(Fault("status", status=529))
    here.configuration.max_retries = 1
    assert asyncio.run(aask("Hm")) and "retried 1×" in here.kernel.session.chats.turns[0].notes


def test_several_at_once_stand_in_the_order_in_which_they_were_asked(here: OfflineShell) -> None:
    words = [f"{'long ' * (40 - 8 * at)}question {at}" for at in range(5)]

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(aask, words))

    replies = asyncio.run(all_of_them())
    assert asked(here) == words
    assert replies == [turn.reply[-1]["text"] for turn in here.kernel.session.chats.turns]
    assert all(len(request["messages"]) == 1 for request in here.server.requests)
    ask("And?")
    assert len(here.server.requests[-1]["messages"]) == 11


@pytest.mark.slow
def test_a_slow_one_keeps_its_place(here: OfflineShell) -> None:
    async def both() -> None:
        slow = asyncio.create_task(aask("slow"))
        await asyncio.sleep(0)
        while not here.server.requests:
            await asyncio.sleep(0.01)
        await aask("quick")
        assert asked(here) == ["quick"] and not slow.done()
        await slow

    here.server.faults.append(Fault("slow", seconds=0.1))
    asyncio.run(both())
    assert asked(here) == ["slow", "quick"]


def test_threads_may_ask(here: OfflineShell) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(ask, [f"question {at}" for at in range(8)]))
    assert sorted(asked(here)) == sorted(f"question {at}" for at in range(8))
    assert all(f"question {at}" in reply for at, reply in enumerate(replies))


@pytest.mark.slow
def test_one_that_is_cancelled_keeps_what_had_arrived(here: OfflineShell) -> None:
    async def stopped() -> None:
        task = asyncio.create_task(aask("Tell me a story"))
        while not here.kernel.session._under_way or not here.kernel.session._under_way[0].accumulator.text:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    here.server.pace = 20
    try:
        asyncio.run(stopped())
    finally:
        here.server.pace = None
    (turn,) = here.kernel.session.chats.turns
    assert turn.status == "interrupted" and here.kernel.session.spent == [turn]
    assert not here.kernel.session._under_way


@pytest.mark.slow
def test_a_time_limit_of_asyncio_works(here: OfflineShell) -> None:
    async def limited() -> None:
        async with asyncio.timeout(0.2):
            await aask("Tell me a story")

    here.server.pace = 10
    try:
        with pytest.raises(TimeoutError):
            asyncio.run(limited())
    finally:
        here.server.pace = None


@pytest.mark.slow
def test_replies_at_once_do_not_pass_the_budget_together(here: OfflineShell) -> None:
    alone = ask("Tell me a story").cost
    here.forget()
    here.kernel.session.chats = Chats()
    here.configuration.budget = float(alone * 2)

    async def many() -> list[Any]:
        return await asyncio.gather(*(aask(f"Tell me a story {at}") for at in range(8)), return_exceptions=True)

    outcomes = asyncio.run(many())
    refused = [each for each in outcomes if isinstance(each, errors.ClaudeError)]
    assert refused and all("budget" in str(each) for each in refused)
    spent = pricing.total(map(pricing.turn_cost, here.kernel.session.spent)).dollars
    assert spent is not None and spent <= alone * 3  # each of those under way may have come to its end meanwhile
    assert len(refused) >= 4


def test_a_replay_answers_calls_too(here: OfflineShell) -> None:
    first, second = ask("One"), asyncio.run(aask("Two"))
    requests = len(here.server.requests)
    here.kernel.session.chats = Chats()
    here.configuration.replay, here.configuration.replay_speed = "only", 0
    assert ask("One") == first
    assert asyncio.run(aask("Two")) == second
    assert len(here.server.requests) == requests
    with pytest.raises(errors.UsageError, match="No recorded answer"):
        ask("Three")


def test_shown_is_as_a_cell_shows_it(here: OfflineShell, capsys: pytest.CaptureFixture[str]) -> None:
    reply = ask("Hello", show=True)
    shown = capsys.readouterr().out
    assert reply in shown and "tokens in" in shown
    asyncio.run(aask("Hello", show=True))
    assert "tokens in" in capsys.readouterr().out


def test_a_line_has_the_reply_as_its_value(here: OfflineShell, capsys: pytest.CaptureFixture[str]) -> None:
    here.shell.run_cell("reply = %claude What is it?", store_history=True)
    assert sent(here) == "What is it?" and isinstance(here.shell.user_ns["reply"], ReplyText)
    capsys.readouterr()
    here.shell.ast_node_interactivity = "all"
    try:
        here.shell.run_cell("%claude And this?", store_history=True)
    finally:
        here.shell.ast_node_interactivity = "last_expr"
    shown = capsys.readouterr().out
    assert shown.count("And this?") == 1 and "Out[" not in shown
    here.shell.user_ns["Person"] = Person
    here.shell.run_cell("person = %claude --schema Person Who?")
    assert isinstance(here.shell.user_ns["person"], Person)
    here.shell.run_cell("both = %claude -m haiku,sonnet Who?")
    assert set(here.shell.user_ns["both"]) == {"claude-haiku-5-5", "claude-sonnet-5-5"}


@pytest.mark.parametrize("line", ["%claude --help", "%%claude --help", "%claude -h"])
def test_help_is_printed_and_nothing_is_asked(
    here: OfflineShell, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here.shell.run_cell(line)
    assert options.help_text() in capsys.readouterr().out and not here.server.requests


@pytest.mark.parametrize(
    ("setting", "said"), [("model = 'sonet'", "did you mean sonnet?"), ("effort = 'much'", "one of")]
)
def test_a_default_is_checked_when_it_is_set(
    here: OfflineShell, setting: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    here.shell.run_cell(f"%config ClaudeMagic.{setting}")
    assert said in caplog.text
    assert here.configuration.model == options.Options().model and here.configuration.effort is None


@pytest.mark.slow
def test_the_loop_goes_on_while_a_reply_is_awaited(here: OfflineShell) -> None:
    ticks = []

    async def tick() -> None:
        while True:
            ticks.append(threading.get_ident())
            await asyncio.sleep(0.01)

    async def both() -> None:
        ticking = asyncio.create_task(tick())
        await aask("Hello")
        ticking.cancel()

    here.server.pace = 100
    began = time.monotonic()
    try:
        asyncio.run(both())
    finally:
        here.server.pace = None
    assert len(ticks) > (time.monotonic() - began) / 0.1
