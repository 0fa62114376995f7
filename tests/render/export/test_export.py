"""Conversations as files: nothing lost in JSON, nothing alive in a page, and the same calls from a script."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import inspect
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from claude_magic import offline
from claude_magic.client import Settings
from claude_magic.conversation import record
from claude_magic.conversation.accumulator import Accumulator, call_of, concluded
from claude_magic.conversation.turns import Block, Call, Conversation, Turn
from claude_magic.conversation.wait import Wait
from claude_magic.errors import UsageError
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.render import history
from claude_magic.render.export import FORMS, Exported, export, form_of, script
from claude_magic.render.export.script_literals import literal
from claude_magic.request import build
from claude_magic.session.question import Question
from claude_magic.session.session import Session
from support.hostile_markdown import HOSTILE
from support.recordings import finished_streams

RUN_SECONDS = 60
THOUGHT = {"type": "thinking", "thinking": "Let me see."}
OPUS = Options(model="claude-opus-5-5")
ODD = 'Say """this"""\\n, \t{{ and }} with an end of line \nand a "quote"\r\n\x00\u202e\u2028é\U0001f989 \\'
EVIL_TITLE = '"""\nimport os; os.abort()  # </title><script>window.PWN++</script> [x](javascript:window.PWN++)'


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def picture(colour: str) -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(data, "PNG")
    encoded = base64.b64encode(data.getvalue()).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": encoded}}


def turn(*reply: Any, prompt: list[Any] | None = None, number: int = 1, **changes: Any) -> Turn:
    messages = (
        {"role": "user", "content": prompt or [text("?")]},
        {"role": "assistant", "content": list(reply)},
    )
    usage = {"input_tokens": 1200, "output_tokens": 450}
    call = Call(model="claude-opus-5-5", usage=usage, stop_reason="end_turn", started=1.79e9, seconds=3.2)
    return Turn(f"turn {number}", messages, (call,), **{"execution_count": number, "created": 1.79e9, **changes})


def exported(form: str, *turns: Turn, title: str = "Owls", **more: Conversation) -> Exported:
    return export({"main": Conversation(turns), **more}, form, title=title, stem="owls")


def run(source: str, standin: offline.Server, folder: Path) -> str:
    """Run a script as a person would, with the stand-in for Claude. Returns what it prints."""
    (folder / "asked.py").write_text(source, encoding="utf-8", newline="")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANTHROPIC_")}
    environment |= {"ANTHROPIC_BASE_URL": standin.url, "ANTHROPIC_API_KEY": "offline", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "asked.py"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def wrote(made: Exported, folder: Path) -> None:
    for path, content in made.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


class Unseen:
    """A view that shows nothing."""

    def begin(self, content: Sequence[Block], *, provider: str | None) -> None:
        pass

    def grow(self, event: Any, accumulator: Accumulator) -> None:
        pass

    def wait(self, wait: Wait) -> None:
        pass

    def end(self, turn: Turn | None, instead_of: Sequence[str] = ()) -> None:
        pass

    def show(self, turn: Turn) -> None:
        pass


class Notebook:
    """A session that asks the stand-in, a cell after the other; its chats, with what was asked once as one more."""

    def __init__(self) -> None:
        self.session = Session()
        self.standin = self.session.client.offline
        self.chats: dict[str, Conversation] = {}

    def ask(self, *prompt: Block, options: Options = OPUS) -> Turn:
        cell = Cell(f"cell {len(self.standin.requests)}")
        outcome = self.session.ask(
            Question(options, prompt, cell), Settings(provider="offline", max_retries=0), Unseen()
        )
        assert outcome.failure is None and outcome.turn
        chat = self.chats.get(options.chat, Conversation())
        self.chats[options.chat] = Conversation((*chat, outcome.turn))
        return outcome.turn


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    asking = Notebook()
    yield asking
    asking.standin.stop()


def asked_again(notebook: Notebook, folder: Path) -> str:
    """Run the export as a script; the requests of notebook and script are to be the same. Returns what it prints.

    But for the question why the cache was missed, which only the notebook asks.
    """
    before = [{k: v for k, v in body.items() if k != "diagnostics"} for body in notebook.standin.requests]
    notebook.standin.requests.clear()
    made = export(notebook.chats, "py", title="Owls", stem="owls")
    wrote(made, folder)
    printed = run(made.text, notebook.standin, folder)
    assert notebook.standin.requests == before
    return printed


@pytest.mark.slow
def test_a_script_makes_the_same_requests_as_the_notebook(notebook: Notebook, tmp_path: Path) -> None:
    notebook.ask(text("Describe the owls in a table, and group them in Python code."))
    notebook.ask(text(ODD), picture("red"), options=Options(model="claude-opus-5-5", effort="low"))
    notebook.ask(picture("red"), text("Again?"), picture("blue"))
    notebook.ask(text("Who are you? " * 30), options=Options(model="claude-haiku-4-5", once=True, chat="aside"))
    notebook.ask(text("And I?"), options=Options(model="claude-haiku-4-5", once=True, chat="aside"))
    system = 'You are an owl.\n\n  Answer as {{owls}} do: "hoo".\n'
    for words in ("One", "Two"):
        notebook.ask(text(words), options=Options(model="claude-sonnet-5-5", system=system, stop=("END",), chat="a b"))
    printed = asked_again(notebook, tmp_path)
    assert "Offline stand-in" in printed
    assert len(list((tmp_path / "owls_files").iterdir())) == 2


@pytest.mark.slow
def test_thinking_goes_back_only_under_the_system_prompt_that_it_came_under(notebook: Notebook, tmp_path: Path) -> None:
    notebook.standin.script = lambda body: [THOUGHT, text("One."), THOUGHT, text("Two."), THOUGHT]
    for system in ("Be brief.", None, "Be brief.", "Be brief.", None):
        notebook.ask(text("What?"), options=Options(model="claude-fable-5-2", system=system))
    kinds = [
        [b["type"] for m in body["messages"] for b in m["content"]].count("thinking")
        for body in notebook.standin.requests
    ]
    assert kinds == [0, 0, 2, 4, 2]
    asked_again(notebook, tmp_path)


@pytest.mark.slow
def test_refusals_empty_replies_and_tools_go_back_as_the_notebook_sends_them(
    notebook: Notebook, tmp_path: Path
) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": ["it", 1.5, None]}}
    replies: dict[str, list[Block] | None] = {
        "refuse [[refuse]]": None,
        "think": [THOUGHT],
        "tool": [THOUGHT, call],
        "blank": [text("Something."), text(" \n")],
        "last": [text("Done.")],
    }
    notebook.standin.script = lambda body: replies[body["messages"][-1]["content"][-1]["text"]]
    for words in replies:
        notebook.ask(text(words))
    assert [len(body["messages"]) for body in notebook.standin.requests] == [1, 1, 1, 3, 5]
    asked_again(notebook, tmp_path)


@pytest.mark.slow
def test_citations_go_back_as_the_notebook_sends_them(notebook: Notebook, tmp_path: Path) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "The grass is green."}
    notebook.ask({"type": "document", "source": source}, text("Colour?"), options=Options(citations=True))
    turn = notebook.ask(text("And the sky?"))
    asked = notebook.standin.requests[1]["messages"][1]["content"]
    assert any(block.get("citations") for block in asked) and "file_id" not in json.dumps(asked)
    kept = notebook.chats["main"].turns[0]
    assert '"file_id": null' in json.dumps(kept.messages) and turn.reply
    assert "file_id" not in history.history_json(notebook.chats["main"])
    asked_again(notebook, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("systems", [(None, None), ("Be brief.", None)])
def test_a_script_has_a_conversation_summarised_and_goes_on_from_the_summary(
    notebook: Notebook, tmp_path: Path, systems: tuple[str | None, str | None]
) -> None:
    first, second = (Options(model="claude-opus-5-5", system=system) for system in systems)
    notebook.ask(text("What do owls eat? " * 50), options=first)
    cell = Cell("summing up")
    made = notebook.session.compact(first, cell, Settings(provider="offline", max_retries=0), Unseen()).turn
    assert made is not None and made.summarises
    notebook.chats["main"] = Conversation((*notebook.chats["main"], made))
    notebook.ask(text("And at night?"), options=second)
    asked_again(notebook, tmp_path)
    last = notebook.standin.requests[-1]["messages"]
    assert [block["type"] for message in last for block in message["content"]] == ["compaction", "text"]


@pytest.mark.slow
def test_show_code_is_a_script_that_sends_the_request_as_it_stands(standin: offline.Server, tmp_path: Path) -> None:
    history = Conversation((turn(text("Before."), prompt=[picture("red"), text("See?")]),))
    asked = build.build(history, [text(ODD), picture("red"), picture("blue")], OPUS)
    source = script(asked.params)
    assert source.count("DATA_1 =") == source.count("DATA_2 =") == 1 and "DATA_3" not in source
    printed = run(source, standin, tmp_path)
    assert standin.requests == [asked.params]
    assert "Offline stand-in" in printed


@pytest.mark.drift
def test_a_script_names_every_part_of_a_request_that_the_sdk_names() -> None:
    from anthropic.resources.messages import Messages

    from claude_magic.render.export.script import _SETTINGS

    beside = {"self", "messages", "diagnostics", "output_format", "user_profile_id", "workspace_id", "timeout"}
    named = set(inspect.signature(Messages.stream).parameters) - beside
    assert {name for name in named if not name.startswith("extra_")} == set(_SETTINGS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
WORDS = st.text(st.sampled_from(["a", " ", "\n", '"', "'", "\\", "\t", "\r", "\x00", "{", "é", "\u2028", "\ud800"]))


@given(JSON | WORDS | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": WORDS.map(lambda w: w * 9)})))
@pytest.mark.slow
def test_data_as_python_source_is_the_same_data(value: Any) -> None:
    source = literal(value)
    assert eval(source) == value
    assert all(each == "\n" or each.isprintable() for each in source)
    assert not any(line.endswith(" ") for line in source.split("\n"))


def test_white_space_at_the_end_of_a_line_survives_an_editor_that_trims_it() -> None:
    words = "A line that ends in spaces  \nand another, with a tab\t\nand the last \n "
    source = literal([text(words)])
    assert '"""' in source and not any(line != line.rstrip() for line in source.split("\n"))
    assert eval(source) == [text(words)]


def test_a_prompt_of_many_lines_is_read_as_lines() -> None:
    prompt = "Describe this table:\n\n  species  grams\n0    barn    480\n1   eagle   2700"
    assert (
        f'\n    [{{"type": "text", "text": """\\\n{prompt}"""}}],\n' in exported("py", turn(prompt=[text(prompt)])).text
    )


def test_a_script_says_which_cell_asked_and_what_it_cost() -> None:
    source = exported("py", turn(text("Hi"), number=7)).text
    assert "# In [7] · claude-opus-5-5 · 1,200 tokens in → 450 out · $0.0138\nask(" in source


@pytest.mark.corpus
@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_recorded_reply_comes_back_from_json_and_is_written_in_every_form(case: dict[str, Any]) -> None:
    accumulator = Accumulator()
    for line in case["response"]["body"].splitlines():
        if line.startswith("data:"):
            accumulator.add(json.loads(line.removeprefix("data:")))
    reply = accumulator.reply()
    draft = Turn("id", ({"role": "user", "content": [text(ODD), picture("red")]},), (), created=1.79e9)
    made = concluded(draft, reply, call_of(reply, model="unknown"))
    document = json.loads(exported("json", made, made).text)
    assert record.record_of(document["claude_magic"]).turns == (made, made)
    for form in ("md", "html", "py"):
        shown = exported(form, made).text
        assert made.calls[0].model in shown
    compile(shown, "owls.py", "exec")


def test_json_holds_every_chat_with_its_images() -> None:
    first, second = turn(text(ODD), prompt=[picture("red")]), turn(text("x"), number=2, chat="other", status="refused")
    document = json.loads(exported("json", first, other=Conversation((second,))).text)
    assert record.record_of(document["claude_magic"]).turns == (first, second)


class Page(html.parser.HTMLParser):
    """The elements of a page, each with its attributes, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def attributes(self, tag: str) -> list[Mapping[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


QUIET = frozenset(
    re.findall(
        r"\w+",
        """
    html head meta title style body header main h1 h2 h3 h4 h5 h6 p article section div details summary footer
    span strong sup em s a img ul ol li blockquote pre code table thead tbody tr th td hr br del
""",
    )
)


def assert_quiet(page: Page) -> None:
    """Nothing on the page can run, or ask the network for anything."""
    assert {tag for tag, _ in page.elements} <= QUIET
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("srcdoc", "srcset", "background")]
        assert str(attributes.get("src", "data:image/png;")).startswith("data:image/png;"), attributes
        assert str(attributes.get("href", "https://")).startswith(("http://", "https://", "mailto:")), attributes
        assert "url" not in str(attributes.get("style")) and "position" not in str(attributes.get("style"))
        assert tag != "meta" or attributes.get("http-equiv") in (None, "Content-Security-Policy")
    policies = [each["content"] for each in page.attributes("meta") if each.get("http-equiv")]
    assert len(policies) == 1 and str(policies[0]).startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize("markdown", [markdown for _, markdown in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_nothing_on_a_page_runs_or_asks_the_network(markdown: str) -> None:
    evil = {**picture("red"), "title": markdown}
    strange = {"type": markdown, "input": markdown}
    prompt = [text(markdown), evil, {"type": "document", "title": markdown, "source": {"type": "url"}}]
    thinking = {"type": "thinking", "thinking": markdown, "signature": markdown}
    cited = {**text(markdown), "citations": [{"title": markdown, "url": "javascript:window.PWN++"}]}
    made = turn(thinking, cited, strange, prompt=prompt, notes=(markdown,))
    page = Page(exported("html", made, title=markdown, **{markdown: Conversation((made,))}).text)
    assert_quiet(page)
    (style,) = {tag for tag, _ in page.elements} & {"style"}
    assert [tag for tag, _ in page.elements].count(style) == 1


def test_an_image_that_is_none_does_not_get_onto_a_page() -> None:
    evil = 'image/png" onerror="window.PWN++'
    for source in (
        {"type": "base64", "media_type": evil, "data": "AAAA"},
        {"type": "base64", "media_type": "image/svg+xml", "data": "AAAA"},
        {"type": "base64", "media_type": "image/png", "data": '"><script>'},
        {"type": "base64", "media_type": ["image/png"], "data": "AAAA"},
        {"type": "url", "url": "http://evil.invalid/a.png"},
    ):
        made = turn(prompt=[{"type": "image", "source": source}])
        page = Page(exported("html", made).text)
        assert_quiet(page)
        assert not page.attributes("img") and "image sent to Claude" in page.words
        assert not exported("md", made).files
        compile(exported("py", made).text, "owls.py", "exec")


def test_a_page_shows_prompt_image_thinking_reply_and_figures() -> None:
    reply = "**Bold**\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n```python\nimport this  # $1 or $2\n```"
    thought = {"type": "thinking", "thinking": "a <b>\n\nc", "signature": "x"}
    made = turn(thought, text(reply), prompt=[text("1  <i>\n 2"), picture("red")], status="interrupted")
    page = Page(exported("html", made, turn(number=2, created=1.0), title="Owls & <i>").text)
    assert all(part in page.words for part in ("Owls & <i>", "In [1]", "1  <i>\n 2", "a <b>\n\nc", "1,200 tokens in"))
    assert "■ interrupted" in page.words and "asked before the change above" in page.words
    assert "import this  # $1 or $2" in page.words and "--jp-mirror-editor-keyword-color" in str(
        page.attributes("span")
    )
    assert {"style": "text-align:right"} in page.attributes("td")
    (image,) = page.attributes("img")
    assert image == {"src": f"data:image/png;base64,{picture('red')['source']['data']}", "alt": "image sent to Claude"}


def test_markdown_has_prompts_replies_folded_thinking_and_images_beside_it() -> None:
    thought = {"type": "thinking", "thinking": "</details><script>", "signature": "x"}
    made = turn(thought, text("**Yes**, <b>."), prompt=[text("Is it *so*?\nWell?"), picture("red")])
    late = turn(text("Late."), number=2, created=1.0, prompt=[text("a  | b\n```\n1  | 2")])
    shown = exported("md", made, late, title="Owls # <i>")
    (path,) = shown.files
    assert path.startswith("owls_files/") and shown.files[path].startswith(b"\x89PNG")
    assert f"\n\n![image sent to Claude]({path})\n\n" in shown.text
    assert "> Is it &#42;so&#42;?\\\n> Well?\n" in shown.text
    assert "> ````text\n> a  | b\n> ```\n> 1  | 2\n> ````\n" in shown.text
    assert "<details>\n<summary>Thinking</summary>\n\n&lt;/details>&lt;script>\n\n</details>" in shown.text
    assert "**Yes**, &lt;b>" in shown.text
    assert shown.text.rstrip().endswith("**asked before the change above**")
    assert "<script" not in shown.text and "<i>" not in shown.text


@pytest.mark.parametrize("markdown", [markdown for _, markdown in HOSTILE], ids=[name for name, _ in HOSTILE])
def test_nothing_in_markdown_runs_or_asks_the_network(markdown: str) -> None:
    from markdown_it import MarkdownIt

    thinking = {"type": "thinking", "thinking": markdown, "signature": markdown}
    made = turn(thinking, text(markdown), prompt=[text(markdown), {"type": markdown}], notes=(markdown,))
    page = Page(MarkdownIt("gfm-like", {"linkify": False}).render(exported("md", made, title=markdown).text))
    for tag, attributes in page.elements:
        assert tag in QUIET and tag not in ("img", "style", "meta"), tag
        assert not [name for name in attributes if name.startswith("on")]
        assert str(attributes.get("href", "https://")).startswith(("http://", "https://", "mailto:", "#")), attributes


def test_a_strangers_words_in_a_script_are_words() -> None:
    evil = 'x"""\nraise SystemExit("ran")\r\x0craise SystemExit\u2028raise SystemExit # \\'
    params = {"model": evil, "max_tokens": 1, "system": evil * 9, evil: [evil], "stream": evil, "messages": evil}
    made = turn(text(evil), prompt=[text(evil)], params=params, notes=(evil,), chat=evil)
    made = dataclasses.replace(made, calls=(dataclasses.replace(made.calls[0], model=evil),))
    source = export(
        {evil: Conversation((made,)), "__import__": Conversation((made,))}, "py", title=EVIL_TITLE + evil, stem=evil
    ).text
    calls: list[dict[str, Any]] = []
    defined, asked = source.split("\n# Chat ", 1)
    assert "\ndef ask(" in defined and not defined.count("abort()  #") > 1
    module = compile(source, "owls.py", "exec")
    names = set(module.co_names)
    assert "os" not in names and "SystemExit" not in names and "abort" not in names
    given = {"ask": lambda messages, prompt, **settings: calls.append({"prompt": prompt, **settings})}
    constants = defined.split("client = anthropic.Anthropic()\n")[1].split("\ndef ask(")[0]
    exec(f"{constants}\n# Chat {asked}", given)
    assert (
        calls
        == [{"prompt": [text(evil)], "model": evil, "max_tokens": 1, "system": evil * 9, "extra_body": {evil: [evil]}}]
        * 2
    )


def test_the_suffix_says_the_form_and_an_unknown_one_says_which_there_are() -> None:
    assert [form_of(f"folder.x/owls.{form}") for form in FORMS] == list(FORMS)
    assert form_of(Path("OWLS.HTML")) == "html"
    for path in ("owls.pdf", "owls", ".md.", "owls."):
        with pytest.raises(UsageError, match=r"\.md, \.json, \.html, \.py") as caught:
            form_of(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_text_that_no_file_can_hold_is_written_all_the_same(form: str) -> None:
    half = "a \ud800 b"
    thinking = {"type": "thinking", "thinking": half, "signature": half}
    made = turn(thinking, text(half), {"type": "odd", "input": half}, prompt=[text(half), {"type": half}])
    written = exported(form, made, title=half, **{half: Conversation((made,))}).text.encode()
    if form == "json":
        assert json.loads(written) == json.loads(json.dumps(record.document([made, made])))


def test_chats_of_like_names_have_lists_of_their_own() -> None:
    chats = {name: Conversation((turn(number=1),)) for name in ("x 3", "x", "x!", "!", "?")}
    names = re.findall(r"^(\w+) = \[\]$", export(chats, "py", title="", stem="x").text, re.MULTILINE)
    assert len(set(names)) == 5


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_conversation_is_written_too(form: str) -> None:
    assert exported(form).text


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_a_block_that_is_nested_too_deeply_is_one_clear_line(form: str) -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(UsageError, match="nested too deeply"):
        exported(
            form, turn({"type": "odd", "input": deep}, prompt=[{"type": "odd", "input": deep}], params={"x": deep})
        )


class Watched(dict[str, Any]):
    """A block that counts how often its type is read."""

    reads = 0

    def __getitem__(self, name: str) -> Any:
        Watched.reads += name == "type"
        return super().__getitem__(name)


def test_twice_the_turns_are_read_twice_as_often_for_a_script_and_no_more() -> None:
    def reads(turns: int) -> int:
        chat = Conversation(tuple(turn(Watched(text("so")), number=number) for number in range(turns)))
        Watched.reads = 0
        export({"main": chat}, "py", title="", stem="x")
        return Watched.reads

    assert 0 < reads(80) <= 2.1 * reads(40)
