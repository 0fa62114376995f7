"""`claude_magic.render.markup.markdown`: Markdown without HTML, for those who do not show HTML; and code of replies.

JupyterLab's own parser (`tests/support/marked`) says what would have become of the text there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import support
from claude_magic.render.markup.markdown import code_blocks, escape, link, without_html
from claude_magic.render.markup.renderer import rendered
from support.hostile_markdown import ENORMOUS, HOSTILE
from support.html_judge import PLAIN, Seen, active, as_html
from support.markdown_soup import AROUND, SOUP
from support.recordings import CORPUS, recordings

MARKED = Path(support.__file__).parent / "marked"
SOUPS = 400 if os.environ.get("CI") else 200

Html = Callable[[Iterable[str]], list[str]]

# --- JupyterLab's parser ----------------------------------------------------------------------------


def _missing(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def html() -> Iterator[Html]:
    """Markdown texts → the HTML that JupyterLab 4.6 puts into a live cell."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        _missing("node and npm are needed to run JupyterLab's Markdown parser")
    if not (MARKED / "node_modules" / "marked").exists():
        command = [str(npm), "install", "--no-package-lock", "--no-audit", "--no-fund"]
        if subprocess.run(command, cwd=MARKED, capture_output=True).returncode:
            _missing("npm could not install marked")
    with subprocess.Popen(
        [str(node), "parse.mjs"], cwd=MARKED, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin and process.stdout

        def parse(texts: Iterable[str]) -> list[str]:
            result = []
            for text in texts:
                process.stdin.write(json.dumps(text) + "\n")
                process.stdin.flush()
                result.append(json.loads(process.stdout.readline()))
            return result

        yield parse
        process.stdin.close()


# --- without HTML -----------------------------------------------------------------------------------


def check(texts: Iterable[str]) -> None:
    for text in texts:
        written = without_html(text)
        assert not (found := active(written)), f"{text!r}\n→ {written!r}\n{found}"


def test_no_hostile_text_has_html_images_or_links_that_run() -> None:
    check(text for _, text in HOSTILE)


@pytest.mark.parametrize("around", AROUND)
def test_nor_within_any_block(around: str) -> None:
    check(AROUND[around](text) for _, text in HOSTILE)


@pytest.mark.slow
@settings(max_examples=SOUPS * 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=SOUP)
def test_nor_does_soup(text: str) -> None:
    check([text])


@settings(max_examples=SOUPS // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=SOUP, hostile=st.sampled_from(HOSTILE), after=SOUP)
@pytest.mark.slow
def test_nor_do_hostile_texts_amid_soup(before: str, hostile: tuple[str, str], after: str) -> None:
    check([before + hostile[1] + after])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain *text* with `<b>` and [x](https://a.b)", "plain *text* with `<b>` and [x](https://a.b)"),
        ("a <b>x</b>\n\n`<i>`", "a &lt;b>x&lt;/b>\n\n`<i>`"),
        ("```\n<b>\n```\n\n<b>", "```\n<b>\n```\n\n&lt;b>"),
        ("![a](https://a.b/c.png) [x](https://d.e)", "&#33;[a](https://a.b/c.png) [x](https://d.e)"),
        ("a < b and \\<c>", "a < b and \\<c>"),
        ("[a]: &#", "[a&#93;: &#"),
        ("x\n\n[a]: javascript:1\n\ny", "x\n\n[a&#93;: javascript:1\n\ny"),
        ("[[q](https://e.x/)](javascript:1)", "[[q&#93;(https://e.x/)&#93;(javascript:1)"),
        ("a <div| b and ![chart].", "a &lt;div| b and &#33;[chart]."),
    ],
)
def test_only_what_is_active_is_written_again(text: str, written: str) -> None:
    assert without_html(text) == written


def test_texts_that_are_harmless_alone_are_harmless_together() -> None:
    texts = [
        "see [the report] and ![chart].",
        "[the report]: javascript:1\n[chart]: https://e.x/pixel.png",
        "> [x]: data:1",
    ]
    assert not active("\n\n".join(map(without_html, texts)))


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "text"), ENORMOUS, ids=[name for name, _ in ENORMOUS])
def test_no_enormous_text_takes_long(name: str, text: str) -> None:
    started = time.process_time()
    assert without_html(text)
    assert time.process_time() - started < 20


# --- beside JupyterLab's Markdown ---------------------------------------------------------------------


def _reply_texts() -> Iterator[tuple[str, str]]:
    for exchange in recordings():
        body = exchange["response"].get("body")
        events = _json_lines(body) if isinstance(body, str) else [body]
        text = "".join(piece for event in events for piece in _text_of(event))
        if text.strip():
            yield exchange["id"], text


def _json_lines(body: str) -> list[Any]:
    if body.lstrip().startswith("{"):
        return [json.loads(body)]
    found = []
    for line in body.splitlines():
        if line.startswith("data:"):
            try:
                found.append(json.loads(line[5:]))
            except ValueError:
                continue
    return found


def _text_of(event: Any) -> Iterator[str]:
    if not isinstance(event, dict):
        return
    if event.get("type") == "content_block_delta" and event.get("delta", {}).get("type") == "text_delta":
        yield event["delta"]["text"]
    if event.get("type") == "message":
        yield from (block["text"] for block in event.get("content") or [] if block.get("type") == "text")


def _replies() -> list[tuple[str, str]]:
    if not CORPUS.is_dir():
        pytest.skip("the recorded replies are not here")
    return list(_reply_texts())


@pytest.mark.corpus
@pytest.mark.slow
def test_a_recorded_answer_looks_as_jupyterlabs_markdown(html: Html) -> None:
    """Same text and same elements, but for images, diagrams, and what the gate takes away."""
    replies = _replies()
    assert len(replies) > 50
    compared = 0
    for (name, text), page in zip(replies, html(text for _, text in replies), strict=True):
        was, now = Seen(page), Seen(rendered(text))
        assert not now.wrong, name
        if {*was.shape} - PLAIN or "jp-RenderedMermaid" in page:
            continue
        compared += 1
        assert now.text == was.text, name
        # A formula on lines of its own ends a paragraph here, and in JupyterLab's Markdown it does not.
        ours = {"span", "sup", *(["p"] if now.formulas else [])}
        shape = [{"s": "del"}.get(tag, tag) for tag in now.shape if tag not in ours]
        assert shape == [tag for tag in was.shape if tag not in ours], f"{name}\n{text}"
    assert compared > 50


@pytest.mark.drift
def test_the_parser_is_the_installed_jupyterlabs() -> None:
    import jupyterlab

    lock = (Path(jupyterlab.__file__).parent / "staging" / "yarn.lock").read_text(encoding="utf-8")
    extension = lock.split('\n"@jupyterlab/markedparser-extension@')[1].split("\n\n")[0]
    wanted = json.loads((MARKED / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, version in wanted.items():
        (spec,) = re.findall(rf"^    {name}: (\S+)$", extension, re.MULTILINE)
        assert f'"{name}@npm:{spec}":\n  version: {version}\n' in lock, f"{name} of JupyterLab is no longer {version}"


# --- code -------------------------------------------------------------------------------------------


def test_the_python_of_a_reply_is_its_fenced_code_in_order() -> None:
    text = (
        "First:\n```python\na = 1\n\nb = '```'\n```\n- in a list\n\n  ~~~py title=x\n  if a:\n\tb = 2\n  ~~~\n"
        "> quoted\n> ```\n> c\n> ```\n\n1. > ````IPython\n   > %time d\n   > ```\n   > ````\n\n```Python3\r\ne\r\n```\n"
    )
    assert code_blocks(text) == ["a = 1\n\nb = '```'", "if a:\n  b = 2", "c", "%time d\n```", "e"]


@pytest.mark.parametrize(
    "text",
    [
        "```sh\nls\n```",
        "```pycon\n>>> 1\n```",
        "```pythonic\nx\n```",
        "    indented()",
        "`inline`",
        "```inline```",
        "<pre><code>x</code></pre>",
        "$$\n```\nx\n```\n$$",
        "",
    ],
)
def test_what_is_not_fenced_python_is_no_code_of_a_reply(text: str) -> None:
    assert code_blocks(text) == []


def test_code_is_given_as_it_is_and_only_its_last_newline_goes() -> None:
    assert code_blocks("```\n\n\tx = '\u2028\x1b'\n\n\n```") == ["\n\tx = '\u2028\x1b'\n\n"]
    assert code_blocks("```\n```") == [""]
    assert code_blocks("```py\nunfinished(") == ["unfinished("]


# --- one line ---------------------------------------------------------------------------------------


@settings(max_examples=SOUPS // 2, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(SOUP, st.sampled_from(HOSTILE).map(lambda case: case[1])))
@pytest.mark.slow
def test_an_escaped_string_is_one_line_of_text(text: str) -> None:
    escaped = escape(text)
    assert "\n" not in escaped
    for around in ("**x {} y**", "| {} |\n|---|\n| {} |", "[{}](https://a.b/)", "- {}"):
        for page in (rendered(around.replace("{}", escaped)), as_html(around.replace("{}", escaped))):
            assert {*Seen(page).shape} <= {"p", "strong", "a", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("address", ["javascript:1", "HTTP", "//a.b", "https://a.b/)<img src=x>", "https://a b"])
def test_a_link_leads_to_a_web_page_or_nowhere(address: str) -> None:
    seen = Seen(as_html(link("label", address)))
    assert seen.text == "label" and all(each.startswith("https://a") for each in seen.links)
    assert {*seen.shape} <= {"p", "a"}
