"""Tools on the API's servers: what is asked for, what comes, and what is shown of it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from typing import Any, Literal, get_args, get_origin

import pytest
from typing_extensions import get_type_hints

from claude_magic import offline
from claude_magic.client import Client, Settings
from claude_magic.client.settings import token_variables
from claude_magic.conversation import record
from claude_magic.conversation.turns import Call, Conversation, Turn
from claude_magic.errors import ClaudeError, CredentialsError, UsageError
from claude_magic.notebook.cell import Cell
from claude_magic.offline.rules.server_tools import TOOLS
from claude_magic.options import Options, parse
from claude_magic.render import export, tool_calls
from claude_magic.render.answer import answer_outputs, pieces
from claude_magic.render.folds import THINKING
from claude_magic.render.turn import folds_of, footer, header_output, made_outputs
from claude_magic.request import build, pipeline, server_tools
from claude_magic.session.question import Question
from claude_magic.session.replay import Records, difference, events
from claude_magic.session.session import Session
from support.html_judge import Seen
from support.offline_requests import refusal
from support.recordings import finished_streams, recordings
from support.sessions import OFFLINE, Reader
from support.turns import from_the_corpus, plain, text, turn_of

SEARCHING = Options(web_search=True)
RUNNING = Options(code_execution=True)


class Asking:
    """A session with the stand-in."""

    def __init__(self) -> None:
        self.session = Session(Client())
        self.cells = 0

    def __call__(self, words: str, options: Options, settings: Settings = OFFLINE) -> Turn:
        self.cells += 1
        cell = Cell(f"cell-{self.cells}", run=str(self.cells))
        outcome = self.session.ask(Question(options, [text(words)], cell), settings, Reader())
        assert outcome.failure is None, outcome.failure
        assert outcome.turn is not None
        return outcome.turn

    @property
    def server(self) -> offline.Server:
        return self.session.client.offline


@pytest.fixture
def ask() -> Asking:
    return Asking()


def tools(line: str) -> list[dict[str, Any]]:
    options = parse(line, Options())[0]
    found: list[dict[str, Any]] = build.build(Conversation(), [text("?")], options).params["tools"]
    return found


# --- what is asked for --------------------------------------------------------------------------------


def test_each_option_asks_for_the_current_version_of_its_tool() -> None:
    assert tools("--web-search --web-fetch --code-execution --mcp https://mcp.deepwiki.com/mcp") == [
        {"type": "web_search_20260318", "name": "web_search"},
        {"type": "web_fetch_20260318", "name": "web_fetch"},
        {"type": "code_execution_20260521", "name": "code_execution"},
        {"type": "mcp_toolset", "mcp_server_name": "deepwiki"},
    ]


@pytest.mark.drift
def test_the_versions_are_the_newest_of_the_sdk_and_the_stand_in_has_them_all() -> None:
    from anthropic.types import ToolUnionParam

    params = [get_type_hints(param).get("type") for param in get_args(ToolUnionParam)]
    named = {version for kind in params if get_origin(kind) is Literal for version in get_args(kind)}
    hosted = {each for each in named if each.startswith(("web_search_", "web_fetch_", "code_execution_"))}
    assert hosted == set(TOOLS)
    for asked in (server_tools.SEARCH, server_tools.FETCH, server_tools.CODE):
        assert asked["type"] == max(each for each in hosted if each.startswith(asked["name"]))


def test_limits_go_with_the_web_tools_and_models_without_programs_call_them_directly() -> None:
    assert tools("-m claude-haiku-4-5 --web-search --web-domains python.org,numpy.org/doc --web-max-uses 3") == [
        {
            "type": "web_search_20260318",
            "name": "web_search",
            "allowed_domains": ["python.org", "numpy.org/doc"],
            "max_uses": 3,
            "allowed_callers": ["direct"],
        }
    ]


def test_domains_that_are_blocked_a_place_and_the_length_of_a_page_go_with_the_tools_they_are_for() -> None:
    search, fetch = tools(
        "--web-search --web-fetch --web-blocked a.com,b.org --web-location 'Reykjavik, IS' --web-max-tokens 5_000"
    )
    place = {"type": "approximate", "city": "Reykjavik", "country": "IS"}
    assert search == {**server_tools.SEARCH, "blocked_domains": ["a.com", "b.org"], "user_location": place}
    assert fetch == {**server_tools.FETCH, "blocked_domains": ["a.com", "b.org"], "max_content_tokens": 5000}


@pytest.mark.parametrize(
    ("place", "wire"),
    [
        ("IS", {"country": "IS"}),
        ("Reykjavik", {"city": "Reykjavik"}),
        ("Europe/Berlin", {"timezone": "Europe/Berlin"}),
        (
            "San Francisco, California, US, America/Los_Angeles",
            {"city": "San Francisco", "region": "California", "country": "US", "timezone": "America/Los_Angeles"},
        ),
        ("America/Argentina/Buenos_Aires, AR", {"country": "AR", "timezone": "America/Argentina/Buenos_Aires"}),
        ("Köln, Nordrhein-Westfalen", {"city": "Köln", "region": "Nordrhein-Westfalen"}),
    ],
)
def test_a_place_is_read_by_what_its_parts_look_like(place: str, wire: dict[str, str]) -> None:
    (search,) = tools(f"--web-search --web-location '{place}'")
    assert search["user_location"] == {"type": "approximate", **wire}


def test_domains_to_read_and_domains_to_leave_out_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="--web-domains and --web-blocked do not go together"):
        tools("--web-search --web-domains a.com --web-blocked b.org")


def test_mcp_servers_are_named_after_their_hosts_each_once_and_need_their_header() -> None:
    urls = ("https://mcp.a.com/1", "https://api.a.com/2", "https://mcp.a.com/1", "https://localhost/x", "uvx local")
    asked = build.build(Conversation(), [text("?")], Options(mcp=urls))
    assert [server["name"] for server in asked.params["mcp_servers"]] == ["a", "a_2", "localhost"]
    assert [server["url"] for server in asked.params["mcp_servers"]] == [urls[0], urls[1], urls[3]]
    assert asked.betas == ("mcp-client-2025-11-20",)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--mcp http://a.com/mcp", "--mcp wants an address that opens with https://"),
        ("--mcp https://me:hunter22@a.com/mcp", "without a credential"),
        ("--mcp https://a.com/mcp?api_key=hunter22", "without a credential"),
        ("--mcp ftp://hunter22", "--mcp wants an address that opens with https://"),
        ("--mcp http://localhost/?api_key=hunter22", "without a credential"),
        ("""--mcp "hunter22 'x" """, "--mcp wants an address that opens with https://, a command (its quotes closed)"),
        ("--web-domains https://a.com", "--web-domains wants domains"),
        ("--web-blocked https://a.com", "--web-blocked wants domains"),
        ("--web-location 'a, b, c'", "--web-location wants a place"),
        ("--web-location ,", "--web-location wants a place"),
        ("--web-max-tokens 0", "--web-max-tokens wants a whole number"),
        ("--web-max-uses 0", "--web-max-uses wants a whole number, 1 or more"),
    ],
)
def test_a_wrong_address_is_one_line_that_does_not_repeat_a_password(line: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(line, Options())
    assert says in str(raised.value) and "hunter22" not in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("flag", ["--web-search", "--web-fetch", "--code-execution", "--mcp https://a.com/x"])
def test_providers_without_a_tool_say_so_before_anything_is_sent(flag: str) -> None:
    options = parse(flag, Options())[0]
    with pytest.raises(UsageError, match=f"Amazon Bedrock has no .*{flag.split()[0]}|Amazon Bedrock has no web"):
        Session(Client()).request(Question(options, [text("?")], Cell("a")), "bedrock")


def test_thinking_is_bound_to_the_tools_it_was_thought_with() -> None:
    options = dataclasses.replace(SEARCHING, model="claude-opus-5-5")
    first = build.build(Conversation(), [text("?")], options)
    thought = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    turn = turn_of("t1", "a", [text("?")], [thought, text("Yes.")], prefix=first.prefix, params=first.settings)
    kinds = [
        [
            block["type"]
            for block in build.build(Conversation((turn,)), [text("?")], each).params["messages"][1]["content"]
        ]
        for each in (options, Options(model="claude-opus-5-5"))
    ]
    assert kinds == [["thinking", "text"], ["text"]]
    assert build.build_continuation(Conversation(), turn).params["messages"][1]["content"][0]["type"] == "thinking"


# --- the stand-in is as strict as the API --------------------------------------------------------------

SEARCH = {"type": "web_search_20260318", "name": "web_search"}
SERVER = {"type": "url", "url": "https://a.com/mcp", "name": "a"}
TOOLSET = {"type": "mcp_toolset", "mcp_server_name": "a"}
MCP = "mcp-client-2025-11-20"


@pytest.mark.parametrize(
    ("asked", "betas", "says"),
    [
        ({"tools": [{"type": "web_search_20990101", "name": "web_search"}]}, "", "does not match any of the expected"),
        ({"tools": [{**SEARCH, "name": "search"}]}, "", "Input should be 'web_search'"),
        ({"tools": [{**SEARCH, "max_content_tokens": 5}]}, "", "Extra inputs are not permitted"),
        (
            {"tools": [{**SEARCH, "allowed_domains": ["a.com"], "blocked_domains": ["b.com"]}]},
            "",
            "Cannot specify both",
        ),
        ({"tools": [{**SEARCH, "allowed_domains": ["https://a.com"]}]}, "", "without a scheme"),
        ({"tools": [SEARCH], "model": "claude-haiku-4-5"}, "", "does not support programmatic tool calling"),
        ({"tools": [SEARCH, SEARCH]}, "", "Tool names must be unique"),
        ({"tools": [TOOLSET], "mcp_servers": [SERVER]}, "", "mcp_servers: Extra inputs are not permitted"),
        ({"tools": [TOOLSET]}, MCP, "not found in mcp_servers"),
        ({"mcp_servers": [SERVER]}, MCP, "must be referenced by exactly one mcp_toolset"),
        ({"tools": [TOOLSET], "mcp_servers": [{**SERVER, "url": "http://a.com"}]}, MCP, "must start with https://"),
        ({"tools": [TOOLSET], "mcp_servers": [{**SERVER, "token": "x"}]}, MCP, "Extra inputs are not permitted"),
        ({"container": "container_of_nobody"}, "", "Container not found"),
        ({"container": 5}, "", "container: Input should be"),
        ({"tools": [{**SEARCH, "allowed_callers": ["direct"]}], "model": "claude-haiku-4-5"}, "", ""),
        ({"tools": [TOOLSET], "mcp_servers": [{**SERVER, "authorization_token": "x"}]}, MCP, ""),
    ],
)
def test_the_stand_in_refuses_what_the_api_refuses(
    standin: offline.Server, asked: dict[str, Any], betas: str, says: str
) -> None:
    said = refusal(standin, betas, **asked)
    assert says in said if says else not said


# --- what comes, and is shown --------------------------------------------------------------------------


def shown(turn: Turn) -> str:
    """The HTML of the header and the answer."""
    return "".join(data["text/html"] for data in (header_output(turn)[0], *answer_outputs(turn)))


def test_a_search_is_a_line_with_its_query_and_its_results_as_links(ask: Asking) -> None:
    turn = ask("[[search variance of a sample]]", SEARCHING)
    html = shown(turn)
    assert "<summary>Web search: variance of a sample (2 results)</summary>" in html
    assert '<a href="https://example.org/1"' in html
    assert turn.calls[0].usage["server_tool_use"]["web_search_requests"] == 1
    ask("And now?", SEARCHING)  # the encrypted content goes back as it came, or the stand-in's rules would say so
    sent = ask.server.requests[-1]["messages"][1]["content"]
    assert [block for block in sent if block["type"] != "thinking"] == [
        block for block in turn.reply if block["type"] != "thinking"
    ]


def test_a_failed_search_and_a_page_that_is_not_allowed_say_why(ask: Asking) -> None:
    assert "failed: unavailable" in shown(ask("[[search an error]]", SEARCHING))
    options = Options(web_fetch=True, web_domains="python.org")
    assert "failed: url not allowed" in shown(ask("[[fetch https://evil.org/x]]", options))
    assert "Web page: https://docs.python.org/3/" in shown(ask("[[fetch https://docs.python.org/3/]]", options))


def test_code_is_shown_with_what_it_printed_and_its_charts_are_outputs(ask: Asking) -> None:
    turn = ask("[[run plot a chart]]", RUNNING)
    html = shown(turn)
    assert re.search('<details open="" style="[^"]*"><summary>Code execution</summary>', html)
    assert "plt.savefig('chart.png')" in html and "── output ──\nplot a chart" in html
    assert "Files that the code made" in html and "chart.png (file_offline_" in html
    (image,) = made_outputs(turn)
    from PIL import Image

    assert Image.open(io.BytesIO(base64.b64decode(image["image/png"]))).size == (320, 200)
    assert image["text/plain"].startswith("[image made by Claude's code: chart.png, 320 × 200 pixels")
    assert "the container's time is not in the cost" in footer(turn)


def test_a_program_that_fails_shows_its_errors(ask: Asking) -> None:
    html = shown(ask("[[run an error]]", RUNNING))
    assert "── errors ──\nRuntimeError" in html and "ended with code 1" in html


def test_what_an_mcp_server_says_is_shown_under_its_name(ask: Asking) -> None:
    turn = ask("[[mcp what is it]]", Options(mcp=("https://mcp.deepwiki.com/mcp",)))
    assert "<summary>deepwiki: ask</summary>" in shown(turn) and "The stand-in asks no server." in shown(turn)
    ask("And without the server?", Options())  # its blocks need their header all the same


def test_the_container_is_kept_from_turn_to_turn_while_it_lives(ask: Asking) -> None:
    first = ask("[[run draw a figure]]", RUNNING)
    second = ask("[[run 17 * 23]]", RUNNING)
    assert ask.server.requests[-1]["container"] == first.calls[0].container["id"]  # type: ignore[index]
    assert "391\nfiles here: chart.png" in shown(second)
    assert second.calls[0].container["id"] == first.calls[0].container["id"]  # type: ignore[index]
    ask("Thanks", Options())
    assert "container" not in ask.server.requests[-1]  # nothing runs there
    assert "container" not in second.params  # it passes: a replay does not ask for it


def test_a_container_that_expired_is_replaced_by_a_new_one_and_the_header_says_so(ask: Asking) -> None:
    ask("[[run 1 + 1]]", RUNNING)
    turn = ask.session.chats.shown["main"].turns[0]
    old = dataclasses.replace(turn.calls[0], container={"id": "container_x", "expires_at": "2020-01-01T00:00:00Z"})
    asked = pipeline.in_container(
        build.build(Conversation((turn,)), [text("?")], RUNNING),
        Conversation((dataclasses.replace(turn, calls=(old,)),)),
        now=2e9,
    )
    assert "container" not in asked.params and asked.notes == (
        "a new container: the last one expired, and its files are gone",
    )


def test_a_container_that_the_api_no_longer_knows_is_replaced_once(ask: Asking) -> None:
    ask("[[run 1 + 1]]", RUNNING)
    ask.server._memory.containers._open.clear()
    turn = ask("[[run 2 + 2]]", RUNNING)
    assert any("a new container" in note for note in turn.notes)
    assert "container" in ask.server.requests[-2] and "container" not in ask.server.requests[-1]


def test_a_turn_with_charts_comes_back_from_the_notebook(ask: Asking) -> None:
    turn = ask("[[run plot a chart]]", RUNNING)
    images = {
        record.digest_of(data): data for bundle in made_outputs(turn) for kind, data in bundle.items() if "/png" in kind
    }
    kept = json.loads(json.dumps(record.metadata(turn)["claude_magic"]))
    assert next(iter(images.values())) not in json.dumps(kept)  # it stands beside it
    (back,) = record.record_of(kept, images.get).turns
    assert plain(back) == plain(turn) and made_outputs(back) == made_outputs(turn)
    (without,) = record.record_of(kept).turns
    assert made_outputs(without) == []


def test_a_replay_grows_the_same_and_runs_nothing(ask: Asking) -> None:
    from claude_magic.conversation.accumulator import Accumulator

    turn = ask("[[run plot a chart]] [[search x]]", dataclasses.replace(RUNNING, web_search=True))
    again = Accumulator()
    for event in events(turn, 0, lambda seconds: None):
        again.add(event)
    assert again.reply().content == turn.reply


@pytest.mark.parametrize("form", export.FORMS)
def test_exports_take_turns_with_server_tools_and_their_charts(ask: Asking, form: str) -> None:
    turn = ask("[[search x]] [[run plot]]", dataclasses.replace(RUNNING, web_search=True))
    made = export.export({"main": Conversation((turn,))}, form, title="t", stem="t")
    said = {
        "md": "![image made by Claude's code: chart.png](t_files/",
        "html": 'alt="image made by Claude&#x27;s code: chart.png"',
        "json": "chart.png",
        "py": "web_search_20260318",
    }
    assert said[form] in made.text
    assert bool(made.files) == (form == "md")


def test_what_differs_from_a_record_with_tools_is_still_told(ask: Asking) -> None:
    for words in ("[[search x]]", "[[search y]]"):
        turn = ask(words, SEARCHING)
    turns = ask.session.chats.shown["main"].turns
    changed = dataclasses.replace(turns[0], messages=({"role": "user", "content": [text("z")]}, *turns[0].messages[1:]))
    asked = build.build(Conversation((changed,)), [text("[[search y]]")], SEARCHING)
    assert "the prompt of turn 1 above" in difference(asked, Records(turns), turn.cell_id)


# --- tokens ---------------------------------------------------------------------------------------------

SETTINGS = dataclasses.replace(OFFLINE, mcp_tokens=(("mcp.a.com", "A_TOKEN"),))
SECRET = "s3cr3t-t0ken-value"


def test_a_token_goes_on_the_wire_to_its_host_only_and_stays_out_of_the_record(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_TOKEN", SECRET)
    turn = ask("[[mcp hi]]", Options(mcp=("https://mcp.a.com/x", "https://evil.com/mcp.a.com")), SETTINGS)
    sent = ask.server.requests[-1]["mcp_servers"]
    assert [server.get("authorization_token") for server in sent] == [SECRET, None]
    assert SECRET not in repr(turn) and SECRET not in repr(SETTINGS)
    assert SECRET not in json.dumps(header_output(turn))


def test_a_token_that_is_nowhere_stops_the_question(ask: Asking) -> None:
    outcome = ask.session.ask(
        Question(Options(mcp=("https://mcp.a.com/x",)), [text("?")], Cell("a")), SETTINGS, Reader()
    )
    assert isinstance(outcome.failure, CredentialsError)
    assert "A_TOKEN" in str(outcome.failure) and "%claude_key mcp.a.com" in str(outcome.failure)
    assert not ask.server.requests


def test_a_token_kept_in_memory_wins_and_is_never_shown(ask: Asking) -> None:
    ask.session.client.use_token("MCP.a.com", f" {SECRET}\n")
    ask("[[mcp hi]]", Options(mcp=("https://mcp.a.com/x", "https://evil.com/x")), SETTINGS)
    sent = ask.server.requests[-1]["mcp_servers"]
    assert [server.get("authorization_token") for server in sent] == [SECRET, None]
    assert SECRET in ask.session.client.secrets()


def test_a_token_in_the_place_of_a_variables_name_is_refused_unseen() -> None:
    with pytest.raises(ClaudeError) as raised:
        token_variables({"mcp.a.com": SECRET})
    assert SECRET not in str(raised.value) and "NAME of an environment variable" in str(raised.value)


# --- the recordings -------------------------------------------------------------------------------------


def served() -> list[Turn]:
    return [turn for turn in from_the_corpus() if any(block["type"] in tool_calls.CALLS for block in turn.reply)]


@pytest.mark.corpus
@pytest.mark.skipif(not recordings(), reason="the recordings are not there")
def test_every_recorded_call_of_a_server_tool_is_shown_with_its_result_once() -> None:
    assert len(served()) >= 10
    for turn in served():
        folds = [(title, body) for title, body in folds_of(turn) if title != THINKING]
        folds += [piece for piece in pieces(turn.reply, turn.results) if not isinstance(piece, str)]
        calls = [block for block in turn.reply if block["type"] in tool_calls.CALLS]
        others = [
            b
            for b in turn.reply
            if b["type"] not in ("text", "thinking", *tool_calls.CALLS) and not tool_calls.is_result(b)
        ]
        assert len(folds) == len(calls) + len(others)
        assert "<script" not in shown(turn)
        build.build(Conversation((turn,)), [text("and?")], Options())


@pytest.mark.corpus
def test_the_recordings_hold_containers_that_are_kept() -> None:
    if not recordings():
        pytest.skip("the recordings are not there")
    assert sum(bool(turn.calls[-1].container) for turn in from_the_corpus()) >= 3
    assert finished_streams()


def test_hostile_results_are_text_and_their_links_lead_to_web_pages_only() -> None:
    results = [
        {"type": "web_search_result", "title": "<img src=x onerror=alert(1)>", "url": "javascript:alert(1)"},
        {"type": "web_search_result", "title": "a\u202eb", "url": 'https://a.com/"onmouseover="alert(1)'},
        "not an object",
    ]
    reply = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "<script>x</script>"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": results},
        {"type": "server_tool_use", "id": "s2", "name": "code_execution", "input": ["odd"]},
        {"type": "code_execution_tool_result", "tool_use_id": "s2", "content": "odd"},
        {"type": "web_fetch_tool_result", "tool_use_id": "s9", "content": {"content": {"source": "odd"}}},
    ]
    html = shown(turn_of("t1", "a", [text("?")], [*reply, text("x")]))
    assert "<script" not in html and "<img" not in html and "\u202e" not in html
    assert not Seen(html).wrong and Seen(html).links == ["https://a.com/"]


def test_a_call_that_broke_off_is_shown_and_not_sent_back() -> None:
    reply = [
        text("Let me look."),
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
    ]
    call = Call("claude-opus-5-5", {}, stop_reason=None)
    turn = turn_of("t1", "a", [text("?")], reply, status="interrupted", calls=(call,))
    assert "(no result came)" in shown(turn)
    assert [block["type"] for block in build.messages_to_send(turn)[1]["content"]] == ["text"]
