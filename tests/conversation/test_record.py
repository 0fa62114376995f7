"""Records: turns go in and come out the same, and what a stranger wrote comes out whole or not at all."""

from __future__ import annotations

import base64
import copy
import dataclasses
import html.parser
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from claude_magic.client import Client, Settings
from claude_magic.conversation import record
from claude_magic.conversation.record import DamagedRecord, record_of
from claude_magic.conversation.turns import Conversation, Turn
from claude_magic.errors import ThinkingRefusedError
from claude_magic.offline.rules.blocks import FIELDS
from claude_magic.options import Options
from claude_magic.render.answer import answer_outputs
from claude_magic.request import build
from support.html_judge import Seen, active
from support.turns import digested, from_the_corpus, image, plain, rich_turn, text, turn_of

PROMPT, REPLY = 0, 1  # the messages of a turn
OFFLINE = Settings(provider="offline", max_retries=0, timeout=20)
PNG = image()["source"]["data"]
IMAGES = {record.digest_of(PNG): PNG}
Api = Callable[[Turn], str | None]


def data_of(turn: Turn) -> dict[str, Any]:
    """A turn's record as a file has it."""
    return plain(record.metadata(turn))["claude_magic"]


def restored(data: Any) -> Turn:
    """The one turn of a record."""
    [turn] = record_of(data, IMAGES.get).turns
    return turn


def test_what_was_typed_comes_back_and_is_not_long() -> None:
    turn = dataclasses.replace(rich_turn(), asked="What is in {{sales}}?")
    assert restored(data_of(turn)) == turn
    with pytest.raises(DamagedRecord, match="asked"):
        restored({**data_of(turn), "turn": {**data_of(turn)["turn"], "asked": "?" * 1000}})


@pytest.fixture(scope="module")
def api() -> Api:
    """What the strict stand-in says against a conversation that goes on after a turn; nothing, if it takes it."""
    client = Client()

    def against(turn: Turn) -> str | None:
        asked = build.build(Conversation((turn,)), [text("and now?")], Options(model="claude-opus-5-5"))
        try:
            for _ in client.stream(asked.params, OFFLINE, lambda wait: None):
                pass
        except ThinkingRefusedError:
            return None
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    return against


def test_a_rich_turn_comes_back_equal_images_and_unknown_blocks_included() -> None:
    turn = rich_turn()
    assert plain(restored(data_of(turn))) == plain(turn)
    assert PNG not in json.dumps(record.metadata(turn))


@pytest.mark.corpus
@pytest.mark.slow
@pytest.mark.skipif(not from_the_corpus(), reason="the recordings are not there")
def test_every_recorded_reply_comes_back_equal() -> None:
    for turn in from_the_corpus():
        back = restored(data_of(turn))
        assert json.dumps(plain(back)) == json.dumps(plain(turn))
        digested(back)


def test_turns_that_another_cell_brings_back_come_with_their_images() -> None:
    turns = (rich_turn(), turn_of("b2"))
    back = record_of(plain(record.guests_metadata(turns, ["c3"]))["claude_magic"])
    assert plain(back.turns) == plain(turns)
    assert (back.guests, back.instead_of) == (True, ("c3",))
    assert plain(record_of(plain(record.document(turns))["claude_magic"]).turns) == plain(turns)


def test_a_reset_comes_back() -> None:
    back = record_of(plain(record.reset_metadata("side", 12.5))["claude_magic"])
    assert (back.turns, back.reset, back.created) == ((), "side", 12.5)


def test_an_image_that_is_gone_leaves_words_and_the_turn() -> None:
    [turn] = record_of(data_of(rich_turn())).turns
    assert turn.prompt[1] == text(record.GONE)
    assert turn.reply == rich_turn().reply


def test_what_only_looks_like_an_image_in_a_reply_stays_as_it_is() -> None:
    lookalike = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    call = {"type": "tool_use", "id": "toolu_1", "name": "draw", "input": {"picture": lookalike, "odd": {**lookalike}}}
    turn = turn_of("a1", reply=[call])
    assert restored(data_of(turn)).reply == (call,)


def test_an_image_that_no_output_can_give_back_stays_in_the_record() -> None:
    odd = turn_of("a1", None, [picture(data="%%%")], [image()])
    kept = data_of(odd)["turn"]["messages"]
    assert (kept[PROMPT]["content"], kept[REPLY]["content"]) == ([picture(data="%%%")], [image()])


ODD_PIECES: dict[str, tuple[str, Any]] = {
    "text without text": ("partial", {"type": "text"}),
    "text that is a number": ("partial", {"type": "text", "text": 5}),
    "thinking that is a list": ("partial", {"type": "thinking", "thinking": ["x"]}),
    "tool input that is a number": ("partial", {"type": "tool_use", "partial_json": 5}),
    "a result of a list": ("partial", {"type": "hologram", "tool_use_id": []}),
    "a whole result of a list": ("reply", {"type": "hologram", "tool_use_id": []}),
    "whole tool input that is a number": ("reply", {**dict(type="mcp_tool_use", id="a", name="b"), "partial_json": 5}),
    "citations that are a number": ("reply", {"type": "text", "text": "x", "citations": 5}),
    "a citation that is a number": ("reply", {"type": "text", "text": "x", "citations": [5]}),
}


@pytest.mark.parametrize(("where", "block"), ODD_PIECES.values(), ids=ODD_PIECES)
def test_a_block_that_could_not_be_shown_is_damaged(where: str, block: Any) -> None:
    data = data_of(turn_of("a1"))
    (data["turn"]["partial"] if where == "partial" else data["turn"]["messages"][REPLY]["content"]).append(block)
    with pytest.raises(DamagedRecord):
        record_of(data)


def test_a_reply_too_deep_for_nbformat_makes_no_record_that_breaks_the_notebook() -> None:
    deep: Any = 0
    for _ in range(600):
        deep = {"a": [deep]}
    turn = turn_of("a1", reply=[{"type": "tool_use", "id": "toolu_1", "name": "look", "input": deep}])
    assert record.metadata(turn) == {}


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


NOT_RECORDS: dict[str, Any] = {
    "null": None,
    "a list": [],
    "a text": "x",
    "nothing in it": {},
    "only a version": {"version": 1},
    "a turn and turns": {**data_of(turn_of("a1")), "turns": []},
    "a turn and a reset": {**data_of(turn_of("a1")), "reset": {"chat": "main", "created": 1}},
    "turn is null": {"version": 1, "turn": None},
    "turns is an object": {"version": 1, "turns": {}},
    "reset is true": {"version": 1, "reset": True},
    "reset of nothing": {"version": 1, "reset": {}},
    "not a number": {**data_of(turn_of("a1")), "x": float("nan")},
    "infinity": {**data_of(turn_of("a1")), "x": float("inf")},
    "half a surrogate pair": {**data_of(turn_of("a1")), "x": "\ud83d"},
    "half a surrogate pair as a name": {**data_of(turn_of("a1")), "\ud83d": 1},
    "900 deep": {**data_of(turn_of("a1")), "x": nested(900)},
    "100,000 deep": {**data_of(turn_of("a1")), "x": nested(100_000)},
    "bytes": {**data_of(turn_of("a1")), "x": b"x"},
    "an object of Python": {**data_of(turn_of("a1")), "x": object()},
    **{f"version {version!r}": {**data_of(turn_of("a1")), "version": version} for version in (0, 2, "1", True, None)},
    "version \x1b[31m": {**data_of(turn_of("a1")), "version": "\x1b[31m\nred"},
}


@pytest.mark.parametrize("data", NOT_RECORDS.values(), ids=NOT_RECORDS)
def test_what_is_no_record_of_ours_is_damaged_in_one_plain_line(data: Any) -> None:
    with pytest.raises(DamagedRecord) as caught:
        record_of(data)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 120


@pytest.mark.slow
def test_a_record_that_is_larger_than_any_request_is_damaged() -> None:
    data = data_of(turn_of("a1", reply=[text("x" * (record.MAX_RECORD_CHARACTERS + 1))]))
    with pytest.raises(DamagedRecord, match="characters"):
        record_of(data)


FORGED_USAGE: dict[str, Any] = {
    "a list": [],
    "negative": {"input_tokens": -1},
    "a text": {"input_tokens": "12"},
    "a truth": {"output_tokens": True},
    "a fraction": {"output_tokens": 1.5},
    "400 digits": {"output_tokens": 10**400},
    "1e300": {"output_tokens": 1e300},
    "400 digits of writes": {"cache_creation": {"ephemeral_1h_input_tokens": 10**400}},
    "a list of writes": {"cache_creation": [1]},
    "nested writes": {"cache_creation": {"ephemeral_5m_input_tokens": {"a": 1}}},
    "a text of details": {"output_tokens_details": "x"},
    "400 digits of thinking": {"output_tokens_details": {"thinking_tokens": 10**400}},
    "an object of iterations": {"iterations": {}},
    "an iteration that is a number": {"iterations": [1]},
    "an iteration by a numbered model": {"iterations": [{"model": 5}]},
    "an iteration with 400 digits": {"iterations": [{"input_tokens": 10**400}]},
    "400 digits of searches": {"server_tool_use": {"web_search_requests": 10**400}},
    "a tier that is a list": {"service_tier": []},
}


@pytest.mark.parametrize("usage", FORGED_USAGE.values(), ids=FORGED_USAGE)
def test_a_forged_usage_is_damaged(usage: Any) -> None:
    data = data_of(turn_of("a1"))
    data["turn"]["calls"][0]["usage"] = usage
    with pytest.raises(DamagedRecord, match="usage"):
        record_of(data)


def test_an_odd_but_possible_usage_is_shown() -> None:
    data = data_of(turn_of("a1"))
    data["turn"]["calls"][0]["usage"] = {"input_tokens": None, "strange": 10**400, "cache_creation": None}
    digested(restored(data))


PDF = base64.b64encode(b"%PDF-1.7 x").decode()
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "seen"}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}


def picture(**source: Any) -> dict[str, Any]:
    return {"type": "image", "source": {**image()["source"], **source}}


def chunks(*content: Any) -> dict[str, Any]:
    return {"type": "document", "source": {"type": "content", "content": list(content)}}


def found(*content: Any) -> dict[str, Any]:
    return {"type": "search_result", "source": "https://a.org", "title": "A", "content": list(content)}


# What the API answers with a 400, for as long as it stands in the conversation.
REFUSED: dict[str, tuple[int, list[Any]]] = {
    "an empty prompt": (PROMPT, []),
    "an empty text": (PROMPT, [text("")]),
    "a text of spaces": (PROMPT, [text("hello"), text(" \n\t")]),
    "a text that is a number": (PROMPT, [{"type": "text", "text": 5}]),
    "a text without text": (PROMPT, [{"type": "text"}]),
    "a text with more": (PROMPT, [{**text("x"), "more": 1}]),
    "citations in a prompt": (PROMPT, [{**text("x"), "citations": [{"type": "char_location"}]}]),
    "thinking in a prompt": (PROMPT, [text("x"), THOUGHT]),
    "guarded thinking in a prompt": (PROMPT, [text("x"), {"type": "redacted_thinking", "data": "x"}]),
    "a tool call in a prompt": (PROMPT, [text("x"), CALL]),
    "an unknown kind in a prompt": (PROMPT, [text("x"), {"type": "hologram"}]),
    "a tool result that nobody asked for": (PROMPT, [text("x"), RESULT]),
    "an image of another type": (PROMPT, [picture(media_type="image/svg+xml")]),
    "an image that is another type": (PROMPT, [picture(media_type="image/jpeg")]),
    "an image without data": (PROMPT, [{"type": "image", "source": {"type": "base64", "media_type": "image/png"}}]),
    "an image of broken base64": (PROMPT, [picture(data="%%%")]),
    "an image of half a base64": (PROMPT, [picture(data=PNG[:-1])]),
    "an image of base64 in lines": (PROMPT, [picture(data=PNG[:40] + "\n" + PNG[40:])]),
    "an image that is none": (PROMPT, [picture(data=base64.b64encode(b"hello").decode())]),
    "an image without a source": (PROMPT, [{"type": "image"}]),
    "an image from nowhere": (PROMPT, [{"type": "image", "source": {"type": "disk", "path": "/etc/passwd"}}]),
    "an image from a script": (PROMPT, [{"type": "image", "source": {"type": "url", "url": "javascript:1"}}]),
    "a PDF that is none": (PROMPT, [{"type": "document", "source": {"type": "base64", "data": PNG}}]),
    "a document of nothing": (PROMPT, [{"type": "document", "source": {}}]),
    "an empty document": (
        PROMPT,
        [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}}],
    ),
    "a cache mark of its own": (PROMPT, [{**text("x"), "cache_control": {"type": "eternal"}}]),
    "a cache mark with more": (PROMPT, [{**text("x"), "cache_control": {"type": "ephemeral", "more": 1}}]),
    "a cache mark in a search result": (PROMPT, [found({**text("x"), "cache_control": {"type": "ephemeral"}})]),
    "a search result of nothing": (PROMPT, [found()]),
    "a document of no blocks": (PROMPT, [chunks()]),
    "a document of a document": (PROMPT, [chunks(chunks(text("x")))]),
    "a document of an image that is none": (PROMPT, [chunks(picture(data=base64.b64encode(b"hello").decode()))]),
    "a cache mark in a reply": (REPLY, [{**text("x"), "cache_control": {"type": "eternal"}}]),
    "a reply's text that is a list": (REPLY, [{"type": "text", "text": ["x"]}]),
    "a reply's text without text": (REPLY, [{"type": "text"}]),
    "an image in a reply": (REPLY, [text("x"), image()]),
    "a document in a reply": (REPLY, [{"type": "document", "source": {"type": "text", "data": "x"}}]),
    "a search result in a reply": (REPLY, [{"type": "search_result", "source": "a", "title": "b", "content": []}]),
    "a tool result in a reply": (REPLY, [text("x"), RESULT]),
    "thinking without a signature": (REPLY, [{"type": "thinking", "thinking": "Hm."}, text("x")]),
    "thinking with an empty signature": (REPLY, [{**THOUGHT, "signature": ""}, text("x")]),
    "thinking that is a number": (REPLY, [{**THOUGHT, "thinking": 5}, text("x")]),
    "guarded thinking without data": (REPLY, [{"type": "redacted_thinking"}, text("x")]),
    "a tool call without an id": (REPLY, [{"type": "tool_use", "name": "look", "input": {}}]),
    "a tool call without input": (REPLY, [{"type": "tool_use", "id": "toolu_1", "name": "look"}]),
    "a tool call with a text of input": (REPLY, [{**CALL, "input": "x"}]),
    "a tool call's id with spaces": (REPLY, [{**CALL, "id": "toolu 1"}]),
    "a tool call's id with a line's end": (REPLY, [{**CALL, "id": "toolu_1\n"}]),
    "a tool call's id with marks": (REPLY, [{**CALL, "id": "<b>"}]),
    "a tool's name with spaces": (REPLY, [{**CALL, "name": "look at"}]),
    "two tool calls of one id": (REPLY, [CALL, CALL]),
    "a server's call without input": (REPLY, [{"type": "server_tool_use", "id": "srvtoolu_1", "name": "search"}]),
    "a server's result of nothing": (REPLY, [{"type": "web_search_tool_result", "content": []}]),
    "a block without a type": (REPLY, [{"text": "x"}]),
    "a block that is a text": (REPLY, ["x"]),
    "a block of a type that is a number": (REPLY, [{"type": 5}]),
}


@pytest.mark.parametrize(("side", "content"), REFUSED.values(), ids=REFUSED)
def test_a_block_that_the_api_would_refuse_for_ever_is_damaged(side: int, content: list[Any]) -> None:
    data = data_of(turn_of("a1"))
    data["turn"]["messages"][side]["content"] = content
    with pytest.raises(DamagedRecord):
        record_of(data, IMAGES.get)


ON = {"enabled": True}
TAKEN: dict[str, tuple[int, list[Any]]] = {
    "an image": (PROMPT, [text("x"), image()]),
    "an image by its address": (PROMPT, [{"type": "image", "source": {"type": "url", "url": "https://x.invalid/a"}}]),
    "a PDF": (
        PROMPT,
        [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}],
    ),
    "a plain document": (
        PROMPT,
        [{"type": "document", "title": "a", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}],
    ),
    "a document of blocks": (PROMPT, [{**chunks(text("One."), text("Two."), image()), "title": "a", "citations": ON}]),
    "a search result": (PROMPT, [{**found(text("One.")), "citations": ON}, text("x")]),
    "blocks with a cache mark": (
        PROMPT,
        [
            {**block, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            for block in (text("x"), image(), chunks(text("y")))
        ],
    ),
    "control characters": (PROMPT, [text("\x00\x1b[31m\u202e")]),
    "a tool call at the end": (REPLY, [THOUGHT, text("x"), CALL]),
    "spaces between thoughts": (REPLY, [THOUGHT, text("\n\n"), THOUGHT, text("x")]),
    "only a thought": (REPLY, [THOUGHT]),
    "nothing": (REPLY, []),
    "a server's tool": (
        REPLY,
        [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
            text("x"),
        ],
    ),
    "a server's tool that broke off": (
        REPLY,
        [text("x"), {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}],
    ),
}


@pytest.mark.parametrize(("side", "content"), TAKEN.values(), ids=TAKEN)
def test_a_block_that_the_api_takes_comes_back_and_goes_on(side: int, content: list[Any], api: Api) -> None:
    data = data_of(turn_of("a1"))
    data["turn"]["messages"][side]["content"] = content
    turn = restored(data)
    assert plain(turn.messages[side]["content"]) == content
    digested(turn)
    assert api(turn) is None


def test_tool_results_within_a_turn_must_answer_its_calls(api: Api) -> None:
    data = data_of(turn_of("a1", reply=[CALL]))
    inside = {**RESULT, "content": [text("seen"), image()]}
    data["turn"]["messages"] += [
        {"role": "user", "content": [inside]},
        {"role": "assistant", "content": [text("done")]},
    ]
    assert api(restored(data)) is None
    for results in ([], [text("x")], [inside, inside], [text("x"), inside], [{**inside, "tool_use_id": "toolu_2"}]):
        data["turn"]["messages"][2]["content"] = results
        with pytest.raises(DamagedRecord):
            record_of(data)
    data["turn"]["messages"][2]["content"] = [{**inside, "content": [picture(data="%%%")]}]
    with pytest.raises(DamagedRecord, match="base64"):
        record_of(data)


@pytest.mark.parametrize("roles", (["assistant", "user"], ["user", "user"], ["user", "assistant", "user"], ["user"]))
def test_messages_that_do_not_take_turns_are_damaged(roles: list[str]) -> None:
    data = data_of(turn_of("a1"))
    data["turn"]["messages"] = [{"role": role, "content": [text("x")]} for role in roles]
    with pytest.raises(DamagedRecord):
        record_of(data)


def test_a_forged_signature_at_a_matching_prefix_is_for_the_api_to_refuse(api: Api) -> None:
    turn = turn_of("a1", reply=[THOUGHT, text("x")])
    bound = build.build(Conversation(()), turn.prompt, Options()).prefix
    data = data_of(turn)
    data["turn"]["prefix"] = bound
    assert api(restored(data)) is None  # as `ThinkingRefusedError`, after which the session leaves thinking out


def test_an_image_beside_the_record_must_be_one_that_claude_takes() -> None:
    data = data_of(rich_turn())
    svg = base64.b64encode(b"<svg onload='x'/>").decode()
    with pytest.raises(DamagedRecord, match="image"):
        record_of(data, lambda digest: svg)


class _Danger:
    """What a pickle may hold."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was loaded",))


SCRIPT = "</div><script>window.PWN++</script><img src=x onerror=window.PWN++>"


class _Tags(html.parser.HTMLParser):
    """Every element and attribute that a parser finds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def leaves(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values in JSON data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    below = [each for key, value in items for each in leaves(value, (*path, key))]
    return [path, *below] if path else below


def replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of the data with another value in one place."""
    changed = copy.deepcopy(data)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


RICH = data_of(rich_turn())
PLACES = leaves(RICH)


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        data = data[key]
    return data


@pytest.mark.parametrize(
    "hostile", (SCRIPT, base64.b64encode(pickle.dumps(_Danger())).decode()), ids=("html", "pickle")
)
@pytest.mark.slow
def test_hostile_text_in_any_field_is_shown_inert_or_is_damaged(hostile: str) -> None:
    inert = 0
    for path in (path for path in PLACES if isinstance(at(RICH, path), str)):
        try:
            turn = restored(replaced(RICH, path, hostile))
        except DamagedRecord:
            continue
        tags = _Tags()
        tags.feed(digested(turn))
        assert not tags.found & {"script", "img", "onerror", "src"}, path
        for bundle in answer_outputs(turn):
            assert not Seen(bundle["text/html"]).wrong and not active(bundle["text/markdown"]), path
        inert += 1
    assert inert > 20


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.sampled_from([10**400, -1, 0, 1e300, -0.5])
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["", " ", "text", "image", "thinking", "tool_use", "tool_result", "base64", SCRIPT, "user"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "source", "data", "id", "content", "tool_use_id", "citations", "x"]), inner
        )
    ),
    max_leaves=6,
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@example(changes=[(("turn", "partial", 0, "id"), [])])
@given(changes=st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=2))
def test_whatever_is_edited_by_hand_gives_a_turn_to_go_on_from_or_one_line(
    changes: list[tuple[tuple[Any, ...], Any]], api: Api
) -> None:
    data = RICH
    for path, value in changes:
        try:
            data = replaced(data, path, value)
        except (KeyError, IndexError, TypeError):
            continue  # the first change took the place of the second away
    try:
        [turn] = record_of(data, IMAGES.get).turns
    except DamagedRecord as error:
        assert str(error).isprintable()
        return
    digested(turn)
    if all(block["type"] in FIELDS and not block.keys() - (FIELDS[block["type"]] or block) for block in turn.reply):
        assert api(turn) is None  # else it has what is new, which the stand-in does not know
