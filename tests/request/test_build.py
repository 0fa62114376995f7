"""The exact parameters that a conversation makes, and which thinking goes back with it."""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import Any

import anthropic
import pytest

from claude_magic.conversation.turns import NOT_RUN, Call, Conversation, Pin, Turn
from claude_magic.errors import UsageError
from claude_magic.models import EFFORTS, MODELS
from claude_magic.options import Options
from claude_magic.request.build import (
    Request,
    build,
    build_compaction,
    build_continuation,
    messages_so_far,
    messages_to_keep,
    messages_to_send,
)
from claude_magic.request.pipeline import diagnosed

OPTIONS = Options()
THINKING_KINDS = ("adaptive", "disabled", "between_tools", "2000")
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "S"}
TEXT = {"type": "text", "text": "Yes."}
TOOL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


def say(text: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text}]


def answered(asked: Request, content: list[Any], cell: str, **changes: Any) -> Turn:
    """The turn of a request that was answered so."""
    prompt = asked.params["messages"][-1]
    prompt = {**prompt, "content": [block for block in prompt["content"] if block["type"] != "tool_result"]}
    messages = (prompt, {"role": "assistant", "content": content})
    call = Call("claude-opus-5-5", stop_reason="end_turn")
    return dataclasses.replace(Turn(cell, messages, (call,), cell_id=cell, prefix=asked.prefix), **changes)


def conversation(*replies: list[Any], options: Options = OPTIONS) -> Conversation:
    """A conversation of cells c0, c1, …, each asked after those before it."""
    chat = Conversation()
    for number, content in enumerate(replies):
        asked = build(chat, say(f"question {number}"), options)
        chat = chat.with_turn(answered(asked, content, f"c{number}"))
    return chat


def sent(chat: Conversation, options: Options = OPTIONS) -> list[Any]:
    return build(chat, say("next"), options).params["messages"]


def thoughts(messages: list[Any]) -> list[bool]:
    """For each assistant message: does it hold thinking?"""
    return [
        any("thinking" in block["type"] for block in message["content"])
        for message in messages
        if message["role"] == "assistant"
    ]


def test_history_goes_back_verbatim() -> None:
    unknown = {"type": "hologram", "data": {"x": [1, None]}}
    content = [THOUGHT, {"type": "redacted_thinking", "data": "e"}, unknown, {**TEXT, "citations": None, "new": 1}]
    messages = sent(conversation(content))
    assert messages[1] == {"role": "assistant", "content": content}
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]


@pytest.mark.parametrize("file_id", [None, "file_1"])
@pytest.mark.parametrize("kind", ["char_location", "page_location", "content_block_location", "of_tomorrow"])
def test_a_citation_goes_back_without_its_file_id_and_keeps_it_in_the_record(kind: str, file_id: str | None) -> None:
    """The one field of a reply that the API refuses in a request (CLAUDE_API.md §13)."""
    cited = {"type": kind, "cited_text": "x", "document_index": 0, "document_title": None, "new": [1]}
    block = {**TEXT, "citations": [{**cited, "file_id": file_id}, cited, None, "odd"]}
    chat = conversation([THOUGHT, block], [THOUGHT, TEXT])
    assert sent(chat)[1]["content"] == [THOUGHT, {**TEXT, "citations": [cited, cited, None, "odd"]}]
    assert thoughts(sent(chat)) == [True, True]
    assert chat.turns[0].reply[1] == block and messages_to_keep(chat.turns[0])[1]["content"][1] == block
    request = build(chat, say("next"), OPTIONS)
    assert messages_so_far(request, [block, TOOL])[-1]["content"] == [sent(chat)[1]["content"][1], TOOL]
    cut = build_continuation(Conversation(chat.turns[:1]), chat.turns[1])
    assert "file_id" not in cut.as_json() and "file_id" not in build_compaction(chat, OPTIONS).as_json()


def test_an_unchanged_history_keeps_all_its_thinking() -> None:
    assert thoughts(sent(conversation([THOUGHT, TEXT], [THOUGHT, TEXT], [THOUGHT, TEXT]))) == [True] * 3


def test_a_deleted_cell_costs_the_thinking_after_it_and_none_before() -> None:
    chat = conversation([THOUGHT, TEXT], [THOUGHT, TEXT], [THOUGHT, TEXT])
    assert thoughts(sent(chat.without({"c1"}))) == [True, False]


def test_a_cell_that_ran_again_costs_the_thinking_after_it_and_its_own_is_kept() -> None:
    chat = conversation([THOUGHT, TEXT], [THOUGHT, TEXT], [THOUGHT, TEXT])
    again = build(chat.before("c1"), say("another question"), OPTIONS)
    chat = chat.with_turn(answered(again, [THOUGHT, TEXT], "c1"))
    assert [turn.cell_id for turn in chat] == ["c0", "c1", "c2"]
    assert thoughts(sent(chat)) == [True, True, False]


def test_what_claude_thinks_on_a_changed_history_is_kept_as_long_as_that_is_sent_again() -> None:
    chat = conversation([THOUGHT, TEXT], [THOUGHT, TEXT]).without({"c0"})
    chat = chat.with_turn(answered(build(chat, say("more"), OPTIONS), [THOUGHT, TEXT], "c9"))
    assert thoughts(sent(chat)) == [False, True]


def test_another_system_prompt_costs_all_thinking_and_the_old_one_brings_it_back() -> None:
    chat = conversation([THOUGHT, TEXT])
    assert thoughts(sent(chat, Options(system="Be brief."))) == [False]
    assert thoughts(sent(chat)) == [True]


def test_another_model_effort_or_limit_is_not_a_change_of_history() -> None:
    chat = conversation([THOUGHT, TEXT])
    assert thoughts(sent(chat, Options(model="claude-sonnet-5-5", effort="low", max_tokens=99))) == [True]


def test_refused_thinking_is_left_out_everywhere() -> None:
    assert thoughts(sent(conversation([THOUGHT, TEXT], [THOUGHT, TEXT]).without_bound_thinking())) == [False, False]


def test_a_tool_call_that_nobody_answered_is_answered_as_not_run() -> None:
    chat = conversation([TEXT, TOOL], [THOUGHT, TEXT])
    messages = sent(chat)
    assert messages[2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "t1",
        "content": NOT_RUN,
        "is_error": True,
    }
    assert messages[2]["content"][1:] == say("question 1")
    assert thoughts(messages) == [False, True]
    assert [block["type"] for block in sent(chat.without({"c1"}))[-1]["content"]] == ["tool_result", "text"]


@pytest.mark.parametrize(
    ("content", "goes_back"),
    [
        ([THOUGHT], []),
        ([TEXT, THOUGHT], [TEXT]),
        ([{"type": "text", "text": ""}], []),
        ([{"type": "text", "text": "\n\n"}, TEXT], [TEXT]),
        ([THOUGHT, {"type": "text", "text": ""}, TEXT], [THOUGHT, TEXT]),
        ([], []),
    ],
)
def test_what_the_api_would_refuse_does_not_go_back(content: list[Any], goes_back: list[Any]) -> None:
    messages = sent(conversation(content))
    assert [message["content"] for message in messages if message["role"] == "assistant"] == [goes_back] * bool(
        goes_back
    )


def test_a_refused_turn_stays_out_of_the_history() -> None:
    turn = answered(build(Conversation(), say("x"), OPTIONS), [TEXT], "c", status="refused")
    assert messages_to_send(turn) == () and len(sent(Conversation((turn,)))) == 1


def test_a_server_tool_without_its_result_does_not_go_back() -> None:
    search = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    asked = build(Conversation(), say("x"), OPTIONS)
    for kind in ("server_tool_use", "mcp_tool_use"):
        for stop_reason, goes_back in ((None, []), ("max_tokens", []), ("pause_turn", [])):
            calls = (Call("claude-opus-5-5", stop_reason=stop_reason),)
            turn = answered(asked, [TEXT, {**search, "type": kind}], "c", calls=calls)
            assert messages_to_send(turn)[1]["content"] == [TEXT, *goes_back]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_thinking_is_shown_on_every_model_that_thinks_by_itself(model: Any) -> None:
    params = build(Conversation(), say("x"), Options(model=model.id)).params
    expected = {"type": "adaptive", "display": "summarized"} if model.thinks else None
    assert params.get("thinking") == expected


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "claude-opus-5-5", "thinking": "8000"}, "--effort"),
        ({"model": "claude-opus-5-5", "thinking": "disabled"}, "adaptive"),
        ({"model": "claude-sonnet-5-5", "thinking": "between_tools", "effort": "max"}, "low, medium, high"),
        ({"model": "claude-opus-5", "thinking": "disabled", "effort": "xhigh"}, "low, medium, high"),
        ({"model": "claude-sonnet-5-5", "thinking": "disabled"}, "between_tools"),
        ({"model": "claude-opus-4-8", "thinking": "8000"}, "--effort"),
        ({"model": "claude-opus-4-6", "effort": "xhigh"}, "low, medium, high, max"),
        ({"model": "claude-haiku-4-5", "effort": "low"}, "leave the option out"),
        ({"model": "claude-haiku-4-5", "thinking": "adaptive"}, "a number of tokens"),
        ({"model": "claude-haiku-4-5", "thinking": "500"}, "at least 1,024"),
        ({"model": "claude-haiku-4-5", "thinking": "40000"}, "less than --max-tokens"),
        ({"model": "claude-opus-5-5", "max_tokens": 500_000}, "128000"),
    ],
)
def test_what_a_model_does_not_take_is_refused_with_what_it_does(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        build(Conversation(), say("x"), Options(**options))
    assert says in str(raised.value)


LOOK_UP = {"name": "look_up", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.filterwarnings("ignore")  # the SDK's, of old models
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
@pytest.mark.parametrize("choice", ["auto", "none", "any", "look_up"])
def test_a_tool_choice_is_sent_to_models_that_take_it_and_others_name_one_that_does(
    standin: Any, model: Any, choice: str
) -> None:
    client = anthropic.Anthropic(api_key="offline", base_url=standin.url, max_retries=0)
    options = Options(model=model.id, tool_choice=choice, max_tokens=4096)
    wire = {"type": "tool", "name": choice} if choice == "look_up" else {"type": choice}
    try:
        params = build(Conversation(), say("hello"), options, tools=[LOOK_UP]).params
    except UsageError as refused:
        assert choice in ("any", "look_up") and str(refused).startswith(f"{model.id} cannot be made to call a tool")
        with pytest.raises(anthropic.BadRequestError):
            client.messages.create(**as_asked(model.id, None, None), tools=[LOOK_UP], tool_choice=wire)
        other = str(refused).split("--model ")[1].split()[0]
        assert build(Conversation(), say("x"), dataclasses.replace(options, model=other), tools=[LOOK_UP])
    else:
        assert params["tool_choice"] == wire
        reply = client.messages.create(**{**params, "stream": False})
        assert (reply.stop_reason == "tool_use") == (choice in ("any", "look_up"))


@pytest.mark.parametrize(
    ("options", "tools", "says"),
    [
        ({"tool_choice": "any"}, [], "this cell offers no tool. --tools NAMES"),
        ({"tool_choice": "none"}, [], "this cell offers no tool"),
        ({"tool_choice": "look_down"}, [LOOK_UP], "offers no tool of that name. It offers look_up"),
        ({"tool_choice": "look_up", "web_search": True}, [], "It offers web_search"),
        ({"tool_choice": "any", "thinking": "adaptive"}, [LOOK_UP], "does not go together with --thinking adaptive"),
    ],
)
def test_a_tool_choice_that_cannot_be_is_refused(options: dict[str, Any], tools: list[Any], says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        build(Conversation(), say("x"), Options(model="claude-haiku-5-5", **options), tools=tools)


def test_a_tool_of_an_mcp_server_can_be_chosen_whose_names_only_the_server_knows() -> None:
    options = Options(model="claude-haiku-5-5", tool_choice="ask_wiki", mcp=("https://mcp.example.com/x",))
    assert build(Conversation(), say("x"), options).params["tool_choice"] == {"type": "tool", "name": "ask_wiki"}


def test_only_what_was_asked_for_is_sent() -> None:
    params = build(Conversation(), say("x"), Options(model="claude-3-opus-20240229", once=True)).params
    assert set(params) == {"model", "max_tokens", "messages", "stream"}
    full = Options(system="S", effort="low", stop=("END",), model="claude-opus-5-5")
    params = build(Conversation(), say("x"), full).params
    assert (
        params["system"] == "S" and params["stop_sequences"] == ["END"] and params["output_config"] == {"effort": "low"}
    )


def as_asked(model: str, thinking: str | None, effort: str | None) -> dict[str, Any]:
    """The parameters that a cell's options stand for, with nothing checked and nothing added."""
    budget = {"type": "enabled", "budget_tokens": 2000}
    return {
        "model": model,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "x"}],
        **({"thinking": budget if thinking == "2000" else {"type": thinking}} if thinking else {}),
        **({"output_config": {"effort": effort}} if effort else {}),
    }


@pytest.mark.filterwarnings("ignore")  # the SDK's, of old models
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_what_the_strict_stand_in_refuses_is_refused_before_sending_and_nothing_else(standin: Any, model: Any) -> None:
    """Each thinking kind × effort: the stand-in's rules are the facts page's, written apart from ours."""
    client = anthropic.Anthropic(api_key="offline", base_url=standin.url, max_retries=0)
    for thinking, effort in itertools.product((None, *THINKING_KINDS), (None, *EFFORTS)):
        options = Options(model=model.id, thinking=thinking, effort=effort, max_tokens=4096)
        try:
            params = build(Conversation(), say("x"), options).params
        except UsageError as refused:
            with pytest.raises(anthropic.BadRequestError):
                client.messages.create(**as_asked(model.id, thinking, effort))
            assert model.id in str(refused) and refused.advice and "\n" not in str(refused), refused
        else:
            reply = client.messages.create(**{**params, "stream": False})
            shows = [block.thinking for block in reply.content if block.type == "thinking"]
            assert all(shows), "what is thought is shown"
            thinks = thinking in ("adaptive", "2000") or (thinking is None and model.thinks)
            assert bool(shows) == thinks


@pytest.mark.parametrize("name", ["claude-epic-6", "claude-mythos-preview", "gpt-4", "my-deployment"])
@pytest.mark.parametrize("thinking", [None, *THINKING_KINDS])
@pytest.mark.parametrize("effort", [None, *EFFORTS])
def test_a_model_that_nobody_knows_is_asked_as_the_cell_asks(name: str, thinking: Any, effort: Any) -> None:
    params = build(Conversation(), say("x"), Options(model=name, thinking=thinking, effort=effort)).params
    asked = as_asked(name, thinking, effort)
    sent_thinking = {key: value for key, value in params.get("thinking", {}).items() if key != "display"}
    assert sent_thinking == asked.get("thinking", {}) and params.get("output_config") == asked.get("output_config")


def test_cache_breakpoints_are_no_change_of_history() -> None:
    plain = build(conversation([THOUGHT, TEXT]), say("x"), OPTIONS).prefix
    marked = [{**say("x")[0], "cache_control": {"type": "ephemeral"}}]
    assert build(conversation([THOUGHT, TEXT]), marked, OPTIONS).prefix == plain


def test_pins_stand_at_the_front_of_the_conversation_with_breakpoints_of_their_own() -> None:
    pins = [
        Pin("short", (*say("kept for minutes"),)),
        Pin("long", (*say("kept for an hour, part one"), *say("part two")), ttl="1h"),
    ]
    first = build(Conversation(), say("question"), OPTIONS, pins)
    content = first.params["messages"][0]["content"]
    assert [block["text"] for block in content] == [
        "kept for an hour, part one",
        "part two",
        "kept for minutes",
        "question",
    ]
    assert [block.get("cache_control", {}).get("ttl") for block in content] == [None, "1h", "5m", None]
    chat = Conversation().with_turn(
        answered(Request({"messages": [{"role": "user", "content": say("q")}]}, "x"), [TEXT], "a")
    )
    later = build(chat, say("next"), OPTIONS, pins).params["messages"]
    assert [len(message["content"]) for message in later] == [4, 1, 1]


def test_thinking_goes_back_while_the_pins_are_the_same() -> None:
    pin = Pin("document", (*say("a document"),))
    asked = build(Conversation(), say("q"), OPTIONS, [pin])
    turn = answered(asked, [THOUGHT, TEXT], "a")
    turn = dataclasses.replace(turn, messages=({"role": "user", "content": say("q")}, turn.messages[1]))
    chat = Conversation((turn,))
    kept = dataclasses.replace(pin, ttl="1h")
    assert thoughts(build(chat, say("next"), OPTIONS, [kept]).params["messages"]) == [True]
    assert thoughts(build(chat, say("next"), OPTIONS, []).params["messages"]) == [False]


def test_a_long_answer_does_not_lose_the_cache_and_there_are_never_more_than_four_breakpoints() -> None:
    """The API looks back twenty blocks: beyond, the last prompt needs a breakpoint of its own."""
    pins = [Pin("a", (*say("x"),)), Pin("b", (*say("y"),), ttl="1h")]
    many = [{"type": "text", "text": f"part {number}"} for number in range(30)]
    chat = conversation([TEXT], many)
    messages = build(chat, say("next"), Options(cache="1h"), pins).params["messages"]
    marked = [
        (at, block["cache_control"]["ttl"])
        for at, message in enumerate(messages)
        for block in message["content"]
        if "cache_control" in block
    ]
    assert marked == [(0, "1h"), (2, "1h")]
    messages = build(chat, say("next"), OPTIONS, pins).params["messages"]
    assert [at for at, message in enumerate(messages) if "cache_control" in str(message)] == [0, 2]
    assert not any(
        "cache_control" in str(message) for message in build(conversation([TEXT]), say("n"), OPTIONS).params["messages"]
    )


def test_why_the_cache_was_missed_is_asked_only_where_a_hit_is_expected() -> None:
    chat = conversation([TEXT])
    call = dataclasses.replace(chat.turns[0].calls[0], message_id="msg_1", started=1_000.0)
    chat = Conversation((dataclasses.replace(chat.turns[0], calls=(call,), params={"model": OPTIONS.model}),))
    asked = build(chat, say("next"), OPTIONS)
    other = build(chat, say("next"), dataclasses.replace(OPTIONS, model="claude-haiku-5-5"))
    assert "diagnostics" not in diagnosed(other, chat, 1_100.0).params
    assert diagnosed(asked, chat, 1_100.0).params["diagnostics"] == {"previous_message_id": "msg_1"}
    assert "diagnostics" not in diagnosed(asked, chat, 1_100.0).settings
    for options, now in ((OPTIONS, 1_400.0), (Options(cache="off"), 1_100.0), (Options(once=True), 1_100.0)):
        assert "diagnostics" not in diagnosed(build(chat, say("next"), options), chat, now).params
    hour = build(chat, say("next"), Options(cache="1h"))
    assert "diagnostics" in diagnosed(hour, chat, 1_400.0).params
    assert "diagnostics" not in diagnosed(build(Conversation(), say("q"), OPTIONS), Conversation(), 0.0).params


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cache": "1h"}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ({"cache": "off"}, {"cache_control": None}),
        ({"speed": "fast"}, {"speed": "fast"}),
        ({"service_tier": "standard_only"}, {"service_tier": "standard_only"}),
        ({"inference_geo": "us"}, {"inference_geo": "us"}),
        ({"metadata_user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"compact": "auto"}, {"context_management": {"edits": [{"type": "compact_20260112"}]}}),
        (
            {"compact": "60000"},
            {
                "context_management": {
                    "edits": [{"type": "compact_20260112", "trigger": {"type": "input_tokens", "value": 60_000}}]
                }
            },
        ),
    ],
)
def test_options_become_the_apis_parameters(given: dict[str, Any], expected: dict[str, Any]) -> None:
    asked = build(Conversation(), say("q"), Options(**given))
    assert {name: asked.params.get(name) for name in expected} == expected
    assert asked.betas == (("compact-2026-01-12",) if "compact" in given else ())


def test_tool_results_are_left_out_before_the_conversation_is_summarised_and_each_has_its_header() -> None:
    asked = build(Conversation(), say("q"), Options(clear_tools="30000", compact="auto"))
    clears = {"type": "clear_tool_uses_20250919", "trigger": {"type": "input_tokens", "value": 30_000}}
    assert asked.params["context_management"] == {"edits": [clears, {"type": "compact_20260112"}]}
    assert asked.betas == ("compact-2026-01-12", "context-management-2025-06-27")
    older = build(Conversation(), say("q"), Options(clear_tools="auto", model="claude-haiku-4-5"))
    assert older.betas == ("context-management-2025-06-27",)
    assert "context_management" not in build(Conversation(), say("q"), Options(clear_tools="off")).params


def test_older_models_take_a_speed_only_with_its_header_and_the_oldest_take_none() -> None:
    for speed in ("fast", "standard"):
        assert build(Conversation(), say("q"), Options(model="claude-opus-5", speed=speed)).betas == (
            "fast-mode-2026-02-01",
        )
    for refused in ({"speed": "fast"}, {"inference_geo": "us"}, {"compact": "auto"}):
        with pytest.raises(UsageError, match="claude-haiku-4-5"):
            build(Conversation(), say("q"), Options(model="claude-haiku-4-5", **refused))


def ran(id: str, *lead: Any, kind: str = "tool_use", answer: str = "tool_result") -> tuple[Any, ...]:
    """A turn in which a tool was called, answered, and spoken of."""
    called = {"type": kind, "id": id, "name": "f", "input": {}}
    result = {"type": answer, "tool_use_id": id, "content": "42"}
    if kind == "tool_use":
        return (
            {"role": "assistant", "content": [*lead, called]},
            {"role": "user", "content": [result]},
            {"role": "assistant", "content": [TEXT]},
        )
    return ({"role": "assistant", "content": [*lead, called, result, TEXT]},)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("tool_use", "tool_result"),
        ("server_tool_use", "web_search_tool_result"),
        ("mcp_tool_use", "mcp_tool_result"),
    ],
)
def test_the_same_call_in_two_turns_goes_back_under_two_ids_and_the_same_ones_each_time(kind: str, answer: str) -> None:
    chat = Conversation()
    for number, id in enumerate(("t", "t", "t_2", "t")):
        asked = build(chat, say(f"question {number}"), OPTIONS)
        messages = (asked.params["messages"][-1], *ran(id, THOUGHT, kind=kind, answer=answer))
        one = answered(asked, [], f"c{number}", messages=messages)
        chat = chat.with_turn(one)
    messages = sent(chat)
    assert messages == sent(chat)
    ids = [block["id"] for message in messages for block in message["content"] if block["type"] == kind]
    answers = [b["tool_use_id"] for message in messages for b in message["content"] if b["type"] == answer]
    assert ids == answers == ["t", "t_2", "t_2_2", "t_3"]
    # Thinking is bound to what stood there: under another id it does not go back.
    kept = [any(block == THOUGHT for block in message["content"]) for message in messages]
    assert [kept[at] for at, m in enumerate(messages) if any(b["type"] == kind for b in m["content"])] == [
        True,
        False,
        False,
        False,
    ]


def test_a_call_that_nobody_answered_is_answered_by_the_id_that_it_goes_back_under(standin: Any) -> None:
    chat = conversation([TOOL], [TOOL])
    messages = sent(chat)
    assert [message["content"][0]["tool_use_id"] for message in messages[2::2]] == ["t1", "t1_2"]
    client = anthropic.Anthropic(api_key="k", base_url=standin.url, max_retries=0)
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    client.messages.create(model="claude-opus-5-5", max_tokens=100, messages=messages, tools=tools)


class Watched(dict[str, Any]):
    """A block that counts how often its type is read: a block goes through a request as it is, a message is copied."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        Watched.reads += name == "type"
        return super().__getitem__(name)


def test_twice_the_turns_are_read_twice_as_often_and_no_more() -> None:
    def reads(turns: int) -> int:
        asked, answer = ({"role": role, "content": [Watched(TEXT)]} for role in ("user", "assistant"))
        chat = Conversation(tuple(Turn(str(number), (asked, answer), (Call("m"),)) for number in range(turns)))
        Watched.reads = 0
        build(chat, say("more"), OPTIONS)
        return Watched.reads

    assert 0 < reads(80) <= 2.1 * reads(40)
