"""`claude_magic.render.markdown`, judged by the parser that JupyterLab itself uses (`tests/support/marked`)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import support
from claude_magic.render.markup.markdown import PART_CHARACTERS, Inert, code_blocks, escape, inert
from support.hostile_markdown import ENORMOUS, HOSTILE
from support.recordings import CORPUS, recordings

MARKED = Path(support.__file__).parent / "marked"
PREFIX_STEP = 1 if os.environ.get("CI") else 3
GROWTH_STEP = 3 if os.environ.get("CI") else 7
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


# --- what may come out ------------------------------------------------------------------------------

_INLINE = {"em", "strong", "del", "code", "a", "br", "span", "input"}
_BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "ul", "ol", "li", "hr", "div"}
_TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
_ELEMENTS = _INLINE | _BLOCKS | _TABLE
_ATTRIBUTES = {
    ("a", "href"): r"https?://[^\s\"'<>`\\$]+|mailto:[^\s\"<>`\\$]+|#[^\s\"<>`\\$]*",
    ("code", "class"): r"language-[A-Za-z0-9_+#.-]{1,32}",
    ("div", "class"): "jp-RenderedMermaid",
    ("ol", "start"): r"\d{1,9}",
    ("th", "align"): "left|right|center",
    ("td", "align"): "left|right|center",
    ("input", "type"): "checkbox",
    ("input", "disabled"): "",
    ("input", "checked"): "",
    **{(f"h{level}", "id"): r"[^\s\"<>$\\]*" for level in range(1, 7)},
}
_VOID = {"br", "hr", "input"}
_MATH = re.compile(
    r"\$\$?(?P<a>[^$]+)\$|\\\((?P<b>.*?)\\\)|\\\[(?P<c>.*?)\\\]|\\begin\s*\{.*?\\end\s*\{[^}]*\}|\\(?:eq)?ref\s*\{",
    re.S,
)
_MACROS = re.compile(
    r"\\(href|class|style|cssId|data|require|unicode|def|let|newcommand|mmlToken|bbox|raise|rule|ref|eqref)(?![a-z])"
    r"|(?i:url) *\("
)


class Page(HTMLParser):
    """HTML as a browser sees it: what must not be there, the shape, and what is seen."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.shape: list[str] = []
        self.seen: list[str] = []
        self.open: list[str] = []
        self.string = ""
        self.feed(text)
        self.close()
        self.end_string()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.end_string()
        self.shape.append(tag)
        if tag not in _ELEMENTS:
            self.wrong.append(f"<{tag}>")
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attributes:
            allowed = _ATTRIBUTES.get((tag, name))
            if allowed is None or not re.fullmatch(allowed, value or "", re.IGNORECASE):
                self.wrong.append(f"<{tag} {name}={value!r}>")

    def handle_endtag(self, tag: str) -> None:
        self.end_string()
        if self.open[-1:] == [tag]:
            self.open.pop()
        else:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        self.seen.append(data)
        if not {"code", "pre"} & set(self.open):
            self.string += data
        if "jp-RenderedMermaid" not in self.rawdata and re.search("[\u202a-\u202e\u2066-\u2069]", data):
            self.wrong.append("bidirectional override")

    def end_string(self) -> None:
        # MathJax looks for formulas in each run of text between two tags.
        for match in _MATH.finditer(self.string):
            if _MACROS.search(match[0]):
                self.wrong.append(f"math {match[0]!r}")
        self.string = ""

    def handle_comment(self, data: str) -> None:
        self.wrong.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.wrong.append(f"<!{decl}>")

    def unknown_decl(self, data: str) -> None:
        self.wrong.append(f"<![{data}")

    def handle_pi(self, data: str) -> None:
        self.wrong.append(f"<?{data}>")

    @property
    def text(self) -> str:
        return " ".join("".join(self.seen).replace("\u200b", "").split())


def _check(html: Html, texts: list[str]) -> None:
    written = [inert(text) for text in texts]
    for text, markdown, page in zip(texts, written, html(written), strict=True):
        assert not (wrong := Page(page).wrong), f"{text!r}\n→ {markdown!r}\n→ {page!r}\n{wrong}"


@pytest.mark.drift
def test_the_parser_is_the_installed_jupyterlabs() -> None:
    import jupyterlab

    lock = (Path(jupyterlab.__file__).parent / "staging" / "yarn.lock").read_text(encoding="utf-8")
    extension = lock.split('\n"@jupyterlab/markedparser-extension@')[1].split("\n\n")[0]
    wanted = json.loads((MARKED / "package.json").read_text(encoding="utf-8"))["dependencies"]
    for name, version in wanted.items():
        (spec,) = re.findall(rf"^    {name}: (\S+)$", extension, re.MULTILINE)
        assert f'"{name}@npm:{spec}":\n  version: {version}\n' in lock, f"{name} of JupyterLab is no longer {version}"


def test_the_checker_sees_what_jupyterlab_would_run(html: Html) -> None:
    """Unless the raw hostile set is found dangerous, the checks below prove nothing."""
    harmless = [
        name for (name, _), page in zip(HOSTILE, html(text for _, text in HOSTILE), strict=True) if not Page(page).wrong
    ]
    assert len(HOSTILE) >= 80
    assert len(harmless) < len(HOSTILE) / 4, harmless


def test_no_hostile_text_comes_to_life(html: Html) -> None:
    _check(html, [text for _, text in HOSTILE])


@pytest.mark.slow
def test_no_prefix_of_a_hostile_text_comes_to_life(html: Html) -> None:
    """The text is shown while it streams."""
    _check(html, [text[:length] for _, text in HOSTILE for length in range(1, len(text), PREFIX_STEP)])


_AROUND: dict[str, Callable[[str], str]] = {
    "list": lambda text: "- a\n- " + text.replace("\n", "\n  ") + "\n- b",
    "ordered list": lambda text: "10. " + text.replace("\n", "\n    "),
    "lazy list": lambda text: "- " + text,
    "quote": lambda text: "> " + text.replace("\n", "\n> "),
    "lazy quote": lambda text: "> > " + text,
    "quote in list": lambda text: "- > " + text.replace("\n", "\n  > "),
    "table": lambda text: "| a | b |\n|---|---|\n| " + text.replace("\n", " ") + " | x |",
    "code span": lambda text: f"`{text}`",
    "ticks": lambda text: f"`` {text} ``",
    "fence": lambda text: f"```x\n{text}\n```",
    "fence in list": lambda text: "- ```\n  " + text.replace("\n", "\n  ") + "\n  ```\n" + text,
    "heading": lambda text: "# " + text.replace("\n", " "),
    "emphasis": lambda text: f"**a {text} *b*** _c_",
    "label": lambda text: f"[{text}](http://evil.invalid/)",
    "math": lambda text: f"$a {text} b$ $$\n{text}\n$$",
    "dollars": lambda text: f"`$` {text} `$`\n- ```\n  $\n  ```\n- {text}",
    "after an open fence": lambda text: f"- ```\n{text}",
    "indented": lambda text: "    " + text.replace("\n", "\n    "),
}


@pytest.mark.parametrize("around", _AROUND)
def test_no_hostile_text_comes_to_life_within(html: Html, around: str) -> None:
    _check(html, [_AROUND[around](text) for _, text in HOSTILE])


_FRAGMENTS = (
    "\n \n\n|\t|    |  |- |1. |> |# |* |+ |```|````|~~~|`|``|\\|\\\\|*|**|_|__|~~|[|]|(|)|](|![|[x]|: |]: |<|>|</|<b"
    "|<img src=x onerror=x>"
    "|<script>|</script>|<!--|-->|<?|<![CDATA[|&|&lt;|&#60;|&#10;|&Tab;|&colon;|\"|'|=|$|$$|\\(|\\)|\\[|\\]|\\\\(|\\\\)|\\begin{a}|\\end{a}"
    "|{|}|\\href{javascript:x}{y}|@@0@@|@@|@|0|javascript:|JAVASCRIPT&colon;|data:"
    "|http://evil.invalid|www.a.b|a@b.c|mailto:|#|a|b c|x|.|!|:"
    "|---|===|:-:|\n---\n|\r|\r\n|\x0b|\x0c|\u2028|\u2029|\u00a0|\u3000|\ufeff|\u200b|\u202e|\x00|\x85|mermaid|%%{|é|😀|\ud83d"
)
_SOUP = st.lists(
    st.one_of(st.sampled_from([*_FRAGMENTS.split("|"), "|", "\n", "\n", "`", "$"]), st.characters()), max_size=40
).map("".join)


@pytest.mark.slow
@settings(max_examples=SOUPS, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(_SOUP, min_size=8, max_size=8))
def test_no_soup_of_markdown_comes_to_life(html: Html, texts: list[str]) -> None:
    _check(html, texts)


@settings(max_examples=SOUPS // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.lists(
        st.tuples(_SOUP, st.sampled_from(HOSTILE), _SOUP).map(lambda t: t[0] + t[1][1] + t[2]), min_size=8, max_size=8
    )
)
def test_no_hostile_text_amid_soup_comes_to_life(html: Html, texts: list[str]) -> None:
    _check(html, texts)


# --- what stays -------------------------------------------------------------------------------------


def _shown(html: Html, text: str) -> str:
    return Page(html([inert(text)])[0]).text


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
def test_a_recorded_answer_is_changed_in_no_visible_way(html: Html) -> None:
    """Same text, same elements: raw HTML, images and links that lead nowhere good aside."""
    replies = _replies()
    assert len(replies) > 50
    before, after = html(text for _, text in replies), html(inert(text) for _, text in replies)
    for (name, text), old, new in zip(replies, before, after, strict=True):
        was, now = Page(old), Page(new)
        if was.wrong:
            continue
        assert now.text == was.text, name
        assert [tag for tag in now.shape if tag != "span"] == was.shape, f"{name}\n{text}"


@pytest.mark.corpus
def test_making_inert_twice_shows_the_same_as_once(html: Html) -> None:
    texts = [text for _, text in HOSTILE] + [text for _, text in _reply_texts()]
    once = [inert(text) for text in texts]
    for text, old, new in zip(texts, html(once), html(inert(text) for text in once), strict=True):
        assert Page(new).text == Page(old).text, text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is $5 and $10.", "It is $5 and $10."),
        ("US$5, CA$6, $5-$10, $3.50/month or $30/year", "US$5, CA$6, $5-$10, $3.50/month or $30/year"),
        ("set $HOME/bin:$PATH", "set $HOME/bin:$PATH"),
        ("**$5** to **$10** \\$7 and \\$8", "$5 to $10 $7 and $8"),
        ("a <b> & c < d > e &lt; &amp;lt;", "a <b> & c < d > e < &lt;"),
        ("C:\\Users\\new and \\\\server\\x", "C:\\Users\\new and \\server\\x"),
        ("`$x <b> \\(y\\) $z`", "$x <b> \\(y\\) $z"),
        ("```\n$x <b>\n\\[y\\] $z\n```", "$x <b> \\[y\\] $z"),
        ("- ```sh\n  echo $A $B <b> `x`\n  ```", "echo $A $B <b> `x`"),
        ("    $x <b> $z", "$x <b> $z"),
        ("@property @@0@@ a@b.c", "@property @@0@@ a@b.c"),
        ("snake_case __init__ 2*3*4 a|b ~5 [1] #x 1) C# !", "snake_case init 234 a|b ~5 [1] #x 1) C# !"),
        ("👩‍👩‍👧 مرحبا \u200fx", "👩‍👩‍👧 مرحبا \u200fx"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\x1b[31mb", "a␛[31mb"),
    ],
)
def test_text_is_shown_as_it_is(html: Html, text: str, shown: str) -> None:
    assert _shown(html, text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "$x^2$",
        "$$x^2$$",
        "\\(x^2\\)",
        "\\[x^2\\]",
        "$ x^2 $",
        "$$\nx^2\n$$",
        "\\[\nx^2\n\\]",
        "\\\\(x^2\\\\)",
        "- $x^2$",
        "> \\[\n> x^2\n> \\]",
    ],
)
def test_math_stays_math(html: Html, text: str) -> None:
    assert _shown(html, text) in ("$x^2$", "$$x^2$$")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[x](https://a.b/c?d=1&e=2#f)", ["https://a.b/c?d=1&e=2#f"]),
        ("[x](mailto:a@b.c) [y](#part)", ["mailto:a@b.c", "#part"]),
        ("see https://a.b/c_d_e. Or (www.a.b)", ["https://a.b/c_d_e", "http://www.a.b"]),
        ("<https://a.b/> [x][1]\n\n[1]: https://c.d/", ["https://a.b/", "https://c.d/"]),
        ("![alt](https://a.b/c.png)", ["https://a.b/c.png"]),
        ("[![alt](https://a.b/c.png)](https://d.e/)", ["https://d.e/"]),
        ("[x](javascript:1) [y](z.md) ![w](z.png)", []),
    ],
)
def test_links_lead_where_they_led_or_nowhere(html: Html, text: str, expected: list[str]) -> None:
    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for name, value in attributes if name == "href")

    Links().feed(html([inert(text)])[0])
    assert found == expected


def test_an_image_says_what_it_was(html: Html) -> None:
    assert _shown(html, "![a cat](https://a.b/c.png) ![](x.png)") == "image: a cat image"


def test_a_diagram_is_drawn_once_it_is_whole_and_reaches_for_nothing(html: Html) -> None:
    diagram = "```mermaid\ngraph TD\nA[Start] --> B{End?}\n```"
    pages = html([inert(diagram), inert(diagram[:-3]), inert(diagram.replace("End", "http://evil.invalid"))])
    assert ["jp-RenderedMermaid" in page for page in pages] == [True, False, False]


def test_tasks_keep_their_boxes(html: Html) -> None:
    assert Page(html([inert("- [ ] a\n- [x] b")])[0]).shape.count("input") == 2


# --- growing ----------------------------------------------------------------------------------------


def _grows_alike(text: str, step: int = 1) -> None:
    growing = Inert()
    for length in [*range(0, len(text), step), len(text)]:
        assert growing.render(text[:length]) == inert(text[:length]), repr(text[:length])


@pytest.mark.slow
def test_a_growing_text_is_the_same_as_the_text_at_once() -> None:
    for _, text in HOSTILE:
        _grows_alike(
            f"# a\n\nb\n\n{text}\n\n- c\n\nd\n\n```\ne\n\n\nf\n```\n\n| g |\n|--|\n| h |\n\ni\n\n{text}", GROWTH_STEP
        )


@pytest.mark.slow
@settings(max_examples=SOUPS // 2, deadline=None)
@given(text=st.lists(_SOUP, max_size=6).map("\n\n".join))
def test_a_growing_soup_is_the_same_as_the_soup_at_once(text: str) -> None:
    _grows_alike(text, 2)


def test_a_long_text_comes_in_parts_that_stay_as_they_are_while_it_grows() -> None:
    blocks = [f"## Part {n}\n\n- one\n- two {'word ' * 40}\n\n```\ncode\n\n{n}\n```" for n in range(300)]
    text = "\n\n".join(blocks)
    growing, before = Inert(), []
    for end in range(0, len(text), 997):
        parts = growing.parts(text[:end])
        assert parts[: len(before) - 1] == before[:-1]
        before = parts
    at_once = Inert().parts(text)
    assert growing.parts(text) == at_once and len(at_once) > 3
    assert "".join(part.source for part in at_once) == text
    assert "\n\n".join(part.markdown for part in at_once) == inert(text)
    assert all(len(part.markdown) < 1.5 * PART_CHARACTERS for part in at_once)


def test_a_definition_that_comes_late_makes_links_of_what_was_settled() -> None:
    text = "[a]\n\nb\n\nc\n\nd\n\n"
    growing = Inert()
    growing.render(text)
    assert growing.render(text + "[a]: https://a.b/").startswith("[a](https://a.b/)")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "text"), ENORMOUS, ids=[name for name, _ in ENORMOUS])
def test_no_enormous_text_takes_long(html: Html, name: str, text: str) -> None:
    """The time limit tells quadratic from linear, not machines apart."""
    assert not Page(html([inert(text)])[0]).wrong


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


def test_importing_markdown_does_not_import_its_parser() -> None:
    program = "import sys, claude_magic.render.markdown; print('markdown_it' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "False"


# --- one line ---------------------------------------------------------------------------------------


@settings(max_examples=SOUPS // 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.one_of(_SOUP, st.sampled_from(HOSTILE).map(lambda case: case[1])), min_size=8, max_size=8))
def test_an_escaped_string_is_one_line_of_text(html: Html, texts: list[str]) -> None:
    escaped = [escape(text) for text in texts]
    assert not any("\n" in text for text in escaped)
    for around in ("**x {} y**", "| {} |\n|---|\n| {} |", "[{}](https://a.b/)", "- {}"):
        for page in html(around.replace("{}", text) for text in escaped):
            shown = Page(page)
            assert not shown.wrong
            assert set(shown.shape) <= {"p", "strong", "span", "a", "ul", "li", *_TABLE}
