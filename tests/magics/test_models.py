"""What the table says of each model, and `%claude_models`, which shows it or what the API says."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from html.parser import HTMLParser
from typing import Any, get_args

import pytest

from claude_magic import client as client_module
from claude_magic import models
from claude_magic.client import Client, Settings, lookups
from claude_magic.magics.models import HEADS, MAX_ROWS, listings_from_table, models_table
from claude_magic.models import MODELS, RETIRED, lookup, retirement_note
from claude_magic.session.known_models import listings_from_api
from support.kernel import Kernel

# CLAUDE_API.md §5: the accepted thinking types, whether it thinks unasked.
FACTS = {
    "fable-5": ("adaptive", True),
    "fable-5-1": ("adaptive", True),
    "fable-5-2": ("adaptive", True),
    "mythos-5": ("adaptive", True),
    "mythos-5-1": ("adaptive", True),
    "mythos-5-2": ("adaptive", True),
    "opus-5-5": ("adaptive", True),
    "sonnet-5-5": ("adaptive between_tools", True),
    "haiku-5-5": ("adaptive disabled", True),
    "opus-5": ("adaptive disabled", True),
    "sonnet-5": ("adaptive disabled", True),
    "opus-4-8": ("adaptive disabled", False),
    "opus-4-7": ("adaptive disabled", False),
    "opus-4-6": ("adaptive disabled enabled", False),
    "sonnet-4-6": ("adaptive disabled enabled", False),
    "opus-4-5": ("disabled enabled", False),
    "sonnet-4-5": ("disabled enabled", False),
    "haiku-4-5": ("disabled enabled", False),
}
# The same: with these types of thinking, efforts end at high.
CAPPED = {"sonnet-5-5": ("between_tools",), "haiku-5-5": ("disabled",), "opus-5": ("disabled",)}
# The price page of November 2026, in USD per million tokens: input, output, cache read, writes for 5m and for 1h.
PRICES = {
    "claude-opus-5-5": "4 20 0.20 5 8",
    "claude-fable-5-2": "8 40 0.20 10 16",
    "claude-sonnet-5-5": "2 10 0.10 2.50 4",
    "claude-haiku-4-5": "1 5 0.10 1.25 2",
    "claude-haiku-5-5": "0.10–0.50 0.50–2.50 0.01–0.05 0.125–0.625 0.20–1",
    "claude-mythos-5": "n/a n/a n/a n/a n/a",
}
NO_LIST = Settings(timeout=5)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    1e300,
    "x" * 100_000,
    [],
    {},
    [[]],
    {"supported": "yes"},
    "2026-13-45",
)


@pytest.mark.parametrize("name", FACTS)
def test_each_row_says_what_the_facts_page_says(name: str) -> None:
    row = lookup(f"claude-{name}")
    assert row is not None
    assert (" ".join(sorted(row.thinking)), row.thinks) == FACTS[name]
    assert row.capped == CAPPED.get(name, ())
    assert ("xhigh" in row.effort) == (re.match(r"\w+-(5|4-[78])", name) is not None)


def test_no_row_is_of_a_model_that_the_facts_page_does_not_name() -> None:
    assert {row.id for row in MODELS} == {f"claude-{name}" for name in FACTS}


@pytest.mark.drift
def test_the_table_has_the_models_that_the_sdk_names() -> None:
    """Its pinned names and those of retired models aside."""
    from anthropic.types import ModelParam

    named = {name for name in get_args(get_args(ModelParam)[0]) if not re.search(r"-\d{8}$", name)}
    assert {row.id for row in MODELS} == named - set(RETIRED)


@pytest.mark.drift
def test_each_model_retires_on_the_day_that_the_sdk_says() -> None:
    from anthropic.resources.messages.messages import DEPRECATED_MODELS

    for name, day in DEPRECATED_MODELS.items():
        said = datetime.strptime(re.sub(r"(?<=\d)(st|nd|rd|th)", "", day), "%B %d, %Y").date()
        assert retirement_note(name, date(2020, 1, 1)) == f"{name} retires on {said}"
    assert {row.id for row in MODELS if row.retires} <= set(DEPRECATED_MODELS)


def test_a_deprecated_model_says_when_it_retires_and_from_then_on_that_it_was_to() -> None:
    assert retirement_note("claude-sonnet-4-5", date(2026, 11, 29)) == "claude-sonnet-4-5 retires on 2026-11-30"
    assert retirement_note("claude-sonnet-4-5", date(2026, 11, 30)) == "claude-sonnet-4-5 was to retire on 2026-11-30"
    opus = "claude-opus-4-5-20251101"
    assert retirement_note(opus, date(2027, 1, 21)) == f"{opus} retires on 2027-01-22"
    assert retirement_note("claude-sonnet-4-0", date(2027, 1, 1)) == "claude-sonnet-4-0 was to retire on 2026-06-15"


@pytest.mark.parametrize(
    "name",
    [
        *(row.id for row in MODELS if row.lifecycle == "active"),
        "anthropic.claude-sonnet-4-5-20250929-v1:0",  # Bedrock and Google retire models on other days
        "claude-sonnet-4-5@20250929",
        "claude-opus-9",
        "gpt-4",
        "",
    ],
)
def test_no_day_is_named_for_what_is_not_deprecated_or_served_by_others(name: str) -> None:
    assert retirement_note(name, date(2027, 1, 1)) == ""


@contextmanager
def served(answer: Callable[[http.server.BaseHTTPRequestHandler], None], monkeypatch: Any) -> Iterator[list[str]]:
    """A server on loopback that answers so, with a key for it in the environment; the paths that it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            with suppress(ConnectionError):  # whoever asked may have gone
                answer(self)

        def log_message(self, *_: Any) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test-0123456789")
    yield asked
    server.shutdown()
    server.server_close()


def body(content: bytes, status: int = 200, kind: str = "application/json") -> Any:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def test_the_list_comes_from_the_api_with_all_that_it_says(standin: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", standin.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k-0123456789")
    answer = Client().models(NO_LIST)
    assert answer is not None
    assert [listings_from_api(entry).id for entry in answer] == [row.id for row in MODELS]
    shipped = {each.id: each for each in listings_from_table(retired=False)}
    for entry in answer:
        said, row = listings_from_api(entry), shipped[entry["id"]]
        assert (said.line, said.context, said.max_output) == (row.line, row.context, row.max_output)
        assert (set(said.thinking or ()), said.effort) == (set(row.thinking or ()), row.effort)


def test_the_retired_models_are_asked_for_by_name(monkeypatch: Any) -> None:
    with served(body(b'{"data": [{"id": "claude-2"}]}'), monkeypatch) as asked:
        assert Client().models(NO_LIST) == [{"id": "claude-2"}]
        assert Client().models(NO_LIST, retired=True) == [{"id": "claude-2"}]
    assert "retired" not in asked[0] and "retired" in asked[1] and "deprecated" in asked[1]


@pytest.mark.parametrize(
    "answer",
    [
        body(b"{}"),
        body(b"[]"),
        body(b"null"),
        body(b'{"data": []}'),
        body(b'{"data": 7}'),
        body(b'{"data": [1, "x", null]}'),
        body(b'{"data": [{"id": ""}, {"id": 7}]}'),
        body(b'{"data": [{"id": "x"'),
        body(b"[" * 200_000),
        body(b'{"data": [{"id": "x", "n": ' + b"9" * 5000 + b"}]}"),
        body(b"\xff\xfe\x00"),
        body(b"<html>Sign in</html>", kind="text/html"),
        body(b'{"type": "error", "error": {"type": "not_found_error", "message": "no"}}', 404),
        body(b'{"type": "error", "error": {"type": "authentication_error", "message": "no"}}', 401),
        body(b"", 500),
    ],
)
def test_an_answer_that_is_no_list_is_no_answer(answer: Any, monkeypatch: Any) -> None:
    with served(answer, monkeypatch) as asked:
        assert Client().models(NO_LIST) is None
    assert asked


def test_an_entry_that_is_none_costs_the_list_no_other(monkeypatch: Any) -> None:
    with served(body(b'{"data": [1, "x", null, {"id": 7}, {"id": "claude-a"}, []]}'), monkeypatch):
        assert Client().models(NO_LIST) == [{"id": "claude-a"}]


@pytest.mark.slow
def test_an_answer_without_an_end_is_not_waited_for(monkeypatch: Any) -> None:
    """Not one that is slow to begin, and neither one whose head or whose body comes bit by bit."""
    done = threading.Event()
    wait, head, space = b"", b"X-Slow: 1\r\n", b" "

    def in_seconds(slow: bytes) -> Any:
        """A whole list that takes four seconds to come: in these pieces, of its head or before its body."""

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n" + (b"\r\n" if slow == space else b""))
            for _ in range(200):
                done.wait(0.02)
                handler.wfile.write(slow)
            handler.wfile.write((b"" if slow == space else b"\r\n") + b'{"data": [{"id": "claude-2"}]}')

        return answer

    monkeypatch.setattr(lookups, "MODELS_SECONDS", 0.3)
    monkeypatch.setattr(client_module, "MODELS_SECONDS", 0.3)
    for slow in (wait, head, space):
        with served(in_seconds(slow), monkeypatch) as asked:
            assert Client().models(NO_LIST) is None
        assert asked
    done.set()


def test_an_answer_that_is_too_large_is_not_read(monkeypatch: Any) -> None:
    listing = b'{"data": [{"id": "claude-2", "x": "' + b"x" * 1000 + b'"}]}'
    with served(body(listing), monkeypatch):
        assert Client().models(NO_LIST) is not None
        monkeypatch.setattr(lookups, "MAX_MODELS_BYTES", 500)
        assert Client().models(NO_LIST) is None


def test_without_a_key_or_a_usable_one_there_is_no_list(monkeypatch: Any) -> None:
    assert Client().models(NO_LIST) is None
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key\nwith a break")
    assert Client().models(NO_LIST) is None


def test_the_stand_in_is_not_asked_for_what_the_table_says() -> None:
    assert Client().models(Settings(provider="offline")) is None


class Cells(HTMLParser):
    """The rows of a table, and every tag that it is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def shown(answer: Any, provider: str = "anthropic", retired: bool = False) -> tuple[str, dict[str, dict[str, str]]]:
    """The text of the table, and its cells: by model, then by head (the second `output` is `max output`)."""
    bundle = models_table(answer, provider, retired)
    _, heads, *rows = Cells(bundle["text/html"]).rows
    assert all(len(row) == len(heads) for row in rows)
    return bundle["text/plain"], {row[1]: dict(zip(heads, row, strict=True)) for row in rows}


def test_without_an_answer_the_table_is_the_shipped_one_and_says_so() -> None:
    text, cells = shown(None)
    assert text.startswith("Models, from the table shipped with claude_magic ") and "the API gave no list" in text
    assert list(cells) == [row.id for line in ("opus", "sonnet", "haiku", "fable", "mythos") for row in of_line(line)]
    opus = cells["claude-opus-4-6"]
    assert (opus["context"], opus["max output"], opus["effort"]) == ("1M", "128k", "low–high, max")
    assert opus["thinking"] == "adaptive, disabled, budget" and opus["state"] == "active"
    assert cells["claude-sonnet-4-5"]["state"] == "deprecated, retires 2026-11-30"
    assert cells["claude-sonnet-4-5"]["effort"] == "–"
    assert "All take images and PDF, and know structured output (JSON) and server tools." in text


def of_line(line: str) -> list[models.Model]:
    return [row for row in MODELS if row.line == line]


def test_offline_the_table_is_the_shipped_one_and_nobody_was_asked() -> None:
    assert "the API" not in shown(None, "offline")[0]


@pytest.mark.parametrize("name", PRICES)
def test_the_prices_are_those_of_the_price_page(name: str) -> None:
    text, cells = shown(None)
    kinds = ("input", "output", "cache read", "write 5m", "write 1h")
    assert " ".join(cells[name][kind] for kind in kinds) == PRICES[name]
    assert "claude-haiku-5-5: the higher prices are for prompts of more than 100,000 tokens." in text


def test_a_price_that_no_prompt_can_reach_is_not_shown() -> None:
    """Sonnet 4.5's price list still has one for prompts of more than 200,000 tokens."""
    assert shown(None)[1]["claude-sonnet-4-5"]["input"] == "3"


def test_the_retired_models_are_shown_when_asked_for() -> None:
    text, cells = shown(None, retired=True)
    assert cells["claude-3-opus"]["state"] == "retired 2026-01-05" and cells["claude-3-opus"]["context"] == "n/a"
    assert set(RETIRED) <= set(cells) and "All but the retired ones take" in text
    gone = {"id": "claude-2", "lifecycle": "retired", "retires_at": "2025-07-21T00:00:00Z"}
    assert "claude-2" not in shown([gone])[1]
    assert shown([gone], retired=True)[1]["claude-2"]["state"] == "retired 2025-07-21"


def entry(**changes: Any) -> dict[str, Any]:
    """An entry of the API's list for a model that nobody knows yet."""
    yes, no = {"supported": True}, {"supported": False}
    types = {"adaptive": yes, "between_tools": no, "disabled": no, "enabled": no, "dreaming": yes}
    has = {
        "effort": {"supported": True, "low": yes, "medium": yes, "high": yes, "xhigh": no, "max": yes},
        "thinking": {"supported": True, "types": types},
        "image_input": yes,
        "pdf_input": yes,
        "server_tools": no,
        "structured_outputs": yes,
    }
    sizes = {"max_input_tokens": 2_000_000, "max_tokens": 131_072}
    state = {"lifecycle": "deprecated", "retires_at": "2031-02-03T00:00:00Z", "deprecated_at": None}
    return {"type": "model", "id": "claude-opus-9", "line": "opus", "capabilities": has, **sizes, **state, **changes}


def test_what_the_api_says_is_shown_and_called_the_apis() -> None:
    text, cells = shown([entry()])
    assert text.startswith("Models, from the API. ")
    opus = cells["claude-opus-9"]
    assert (opus["line"], opus["context"], opus["max output"], opus["input"]) == ("opus", "2M", "131,072", "n/a")
    assert (opus["thinking"], opus["effort"]) == ("adaptive, dreaming", "low–high, max")
    assert (opus["takes"], opus["state"]) == ("images, PDF, JSON", "deprecated, retires 2031-02-03")


def test_what_the_api_says_of_a_known_model_goes_before_the_table() -> None:
    said = shown([entry(id="claude-opus-5-5")])[1]["claude-opus-5-5"]
    assert (said["context"], said["state"]) == ("2M", "deprecated, retires 2031-02-03")


def test_a_gateway_that_lists_only_names_has_the_rest_from_the_table_and_says_so() -> None:
    text, cells = shown([{"id": "claude-opus-5-5", "object": "model"}, {"id": "gpt-4", "object": "model"}])
    assert text.startswith("Models, from the API; what it does not say, from the table shipped with claude_magic ")
    assert (cells["claude-opus-5-5"]["context"], cells["claude-opus-5-5"]["state"]) == ("1M", "active")
    assert set(cells["gpt-4"].values()) == {"", "gpt-4", "n/a"}


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(type(odd)))
def test_nonsense_in_any_field_counts_as_not_said(odd: Any) -> None:
    for name in entry():
        if name != "id":
            shown([entry(**{name: odd})])
    for name in entry()["capabilities"]:
        shown([entry(capabilities={**entry()["capabilities"], name: odd})])
    _, cells = shown([entry(max_input_tokens=odd, max_tokens=odd, lifecycle=odd, retires_at=odd, capabilities=odd)])
    opus = cells["claude-opus-9"]
    assert {opus[head] for head in HEADS[2:]} == {"n/a"}


def test_a_hostile_list_can_neither_be_markup_nor_drive_a_terminal() -> None:
    evil = '<img src=x onerror="alert(1)">\x1b[2J\u202e\ud800\n'
    kinds = {evil: {"supported": True}}
    has = {"thinking": {"types": kinds}, "effort": kinds}
    bundle = models_table([entry(id=evil, line=evil, capabilities=has), entry(id=evil * 1000)], "anthropic")
    assert Cells(bundle["text/html"]).tags <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td"}
    for shape in bundle.values():
        assert not re.search("[\x1b\u202e]", shape) and shape.encode() and len(shape) < 10_000


def test_a_list_without_end_is_cut_and_says_so() -> None:
    text, cells = shown([entry(id=f"model-{number}") for number in range(1000)])
    assert len(cells) == MAX_ROWS and f"These are {MAX_ROWS} of 1,000." in text


def test_the_magic_shows_the_table_in_a_notebook_and_takes_nothing_but_all(kernel: Kernel) -> None:
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    assert "claude-opus-5-5" in kernel.run("%claude_models").shown("text/html")[0]
    assert "claude-2.1" in kernel.run("%claude_models --all").shown("text/plain")[0]
    error = kernel.run("%claude_models opus").error
    assert error and "--all" in error["evalue"]
