"""`claude_magic.render.markup`: Claude's Markdown as sanitized HTML, judged by a parser that parses as browsers do."""

from __future__ import annotations

import html
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_magic.render.citations import Source
from claude_magic.render.markup import gate, renderer
from claude_magic.render.markup.parser import reference
from claude_magic.render.markup.renderer import PART_CHARACTERS, Growing, rendered
from support.hostile_markdown import ENORMOUS, HOSTILE
from support.html_judge import Seen
from support.markdown_soup import AROUND, FRAGMENTS, SOUP

PREFIX_STEP = 1 if os.environ.get("CI") else 3
GROWTH_STEP = 3 if os.environ.get("CI") else 7
SOUPS = 400 if os.environ.get("CI") else 200


def check(texts: Iterable[str]) -> None:
    for text in texts:
        markup = rendered(text)
        assert not (wrong := Seen(markup).wrong), f"{text!r}\n→ {markup!r}\n{wrong}"


# --- nothing comes to life ----------------------------------------------------------------------------


def test_the_judge_sees_what_a_browser_would_run() -> None:
    """Unless the hostile set as HTML is found dangerous, the checks below prove nothing."""
    from markdown_it import MarkdownIt

    as_html = MarkdownIt("commonmark", {"html": True}).enable("table")
    as_html.validateLink = lambda url: True  # type: ignore[method-assign]
    harmless = [name for name, text in HOSTILE if not Seen(as_html.render(text)).wrong]
    assert len(HOSTILE) >= 80 and len(harmless) < len(HOSTILE) / 2, harmless


def test_no_hostile_text_comes_to_life() -> None:
    check(text for _, text in HOSTILE)


@pytest.mark.slow
def test_no_prefix_of_a_hostile_text_comes_to_life() -> None:
    """The text is shown while it streams."""
    check(text[:length] for _, text in HOSTILE for length in range(1, len(text), PREFIX_STEP))


@pytest.mark.parametrize("around", AROUND)
def test_no_hostile_text_comes_to_life_within(around: str) -> None:
    check(AROUND[around](text) for _, text in HOSTILE)


@pytest.mark.slow
@settings(max_examples=SOUPS * 4, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=SOUP)
def test_no_soup_of_markdown_comes_to_life(text: str) -> None:
    check([text])


@settings(max_examples=SOUPS, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=SOUP, hostile=st.sampled_from(HOSTILE), after=SOUP)
@pytest.mark.slow
def test_no_hostile_text_amid_soup_comes_to_life(before: str, hostile: tuple[str, str], after: str) -> None:
    check([before + hostile[1] + after])


@pytest.mark.slow
def test_no_random_text_comes_to_life_with_a_seed_of_its_own() -> None:
    """`CLAUDE_MAGIC_FUZZ` texts, 2,000 unless it is set: run it with more, and a new seed each time."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    pool = [*FRAGMENTS, *(text for _, text in HOSTILE)]
    for number in range(int(os.environ.get("CLAUDE_MAGIC_FUZZ", "2000"))):
        text = "".join(dice.choices(pool, k=dice.randrange(1, 30)))
        markup = rendered(text[: dice.randrange(1, len(text) + 2)])
        assert not (wrong := Seen(markup).wrong), f"seed {seed}, text {number}: {text!r}\n{wrong}"


@pytest.mark.parametrize(
    "text",
    [
        "> <pre><code>&#13;&#13;&#60;img src&#61;x onerror&#61;window&#46;PWN++&#62;&#13;&#13;</code></pre>",
        "**`<img src=x onerror=window.PWN++>** \\` x**",
        "```mermaid\ngantt\n tickInterval 1millisecond\n```",
    ],
)
def test_what_ran_or_hung_once_is_text(text: str) -> None:
    seen = Seen(rendered(text))
    assert not seen.wrong and set(seen.shape) <= {"blockquote", "p", "strong", "code", "pre"}


def test_the_gate_takes_away_what_the_renderer_would_let_through() -> None:
    """The second line: whatever the renderer's faults are, they do not pass."""
    hostile = (
        '<script>x</script><img src=x onerror=y><p onclick=x style="position:fixed">a</p><a href="javascript:x">b</a>'
        '<a href="relative">c</a><div style="background:url(x)" class="jp-Dialog">d</div><iframe srcdoc=x></iframe>'
        '<span style="color:red">e</span><svg onload=x></svg><input autofocus><form></form><style>p{}</style>'
    )
    cleaned = gate.clean(hostile)
    assert not Seen(cleaned).wrong and Seen(cleaned).text == "abcde"
    assert "style" not in cleaned and "class" not in cleaned and "href" not in cleaned


# --- what stays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It is $5 and $10.", "It is $5 and $10."),
        ("US$5, CA$6, $5-$10, $3.50/month or $30/year", "US$5, CA$6, $5-$10, $3.50/month or $30/year"),
        ("set $HOME/bin:$PATH", "set $HOME/bin:$PATH"),
        ("5 $ + 3 $ = 8 $ and $ 5 + $ 6", "5 $ + 3 $ = 8 $ and $ 5 + $ 6"),
        ("**$5** to **$10** \\$7 and \\$8", "$5 to $10 $7 and $8"),
        ("a <b> & c < d > e &lt; &amp;lt;", "a <b> & c < d > e < &lt;"),
        ("C:\\Users\\new and \\\\server\\x", "C:\\Users\\new and \\server\\x"),
        ("`$x <b> \\(y\\) $z`", "$x <b> \\(y\\) $z"),
        ("```\n$x <b>\n\\[y\\] $z\n```", "$x <b> \\[y\\] $z"),
        ("- ```sh\n  echo $A $B <b> `x`\n  ```", "echo $A $B <b> `x`"),
        ("    $x <b> $z", "$x <b> $z"),
        ("@property @@0@@ a@b.c", "@property @@0@@ a@b.c"),
        ("snake_case __init__ 2*3*4 a|b ~5 [1] #x 1) C# !", "snake_case init 234 a|b ~5 [1] #x 1) C# !"),
        ("👩‍👩‍👧 مرحبا x", "👩‍👩‍👧 مرحبا x"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\x1b[31mb", "a␛[31mb"),
        ("a {\ufdd01} b", "a {\ufffd1} b"),
    ],
)
def test_text_is_shown_as_it_is(text: str, shown: str) -> None:
    from claude_magic.render.answer import pieces

    (text,) = pieces([{"type": "text", "text": text}], {})
    seen = Seen(rendered(str(text)))
    assert seen.text == shown and seen.formulas == []


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
def test_a_formula_is_what_the_page_typesets(text: str) -> None:
    assert Seen(rendered(text)).formulas in (["$x^2$"], ["$$x^2$$"])


@pytest.mark.parametrize(
    "text",
    [
        r"$\href{https://a.b}{x}$",
        r"$\class{jp-Dialog}{y}$",
        r"$\fcolorbox{red;cursor:u\72l(https://a.b),auto}{white}{a}$",
        r"$\color{image-set(x)}a$",
        r"$\hspace{-9em}\hspace{-9em}x$",
        r"$\crampedllap{x}$",
        r"$\mathmakebox[99em]{x}$",
        r"$\newtagform{x}$",
        r"$x\label{a{}}$",
        "$" + r"\left(" * 40 + "x" + r"\right)" * 40 + "$",
    ],
)
def test_a_formula_that_could_do_more_is_shown_as_its_source(text: str) -> None:
    seen = Seen(rendered(text))
    assert seen.formulas == [] and seen.text == text


@pytest.mark.parametrize(
    "text", [r"$\color{red}x$", r"$\textcolor[RGB]{1,2,3}{x}$", r"$\left(x\right)$", r"$\hspace{1em}$"]
)
def test_a_formula_with_a_plain_colour_or_space_is_one(text: str) -> None:
    assert Seen(rendered(text)).formulas == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[x](https://a.b/c?d=1&e=2#f)", ["https://a.b/c?d=1&e=2#f"]),
        ("[x](mailto:a@b.c) [y](#part)", ["mailto:a@b.c"]),
        ("see https://a.b/c_d_e. Or (www.a.b)", ["https://a.b/c_d_e", "http://www.a.b"]),
        ("<https://a.b/> [x][1]\n\n[1]: https://c.d/", ["https://a.b/", "https://c.d/"]),
        ("![alt](https://a.b/c.png)", ["https://a.b/c.png"]),
        ("[![alt](https://a.b/c.png)](https://d.e/)", ["https://d.e/"]),
        ("[x](javascript:1) [y](z.md) ![w](z.png) [v](//a.b)", []),
    ],
)
def test_links_lead_where_they_led_or_nowhere(text: str, expected: list[str]) -> None:
    seen = Seen(rendered(text))
    assert seen.links == expected and seen.shape.count("a") == len(expected)


def test_an_image_says_what_it_was() -> None:
    assert Seen(rendered("![a cat](https://a.b/c.png) ![](x.png)")).text == "image: a cat image"


def test_tasks_keep_their_boxes() -> None:
    assert Seen(rendered("- [ ] a\n- [x] b\n  1. [X] c\n\n[ ] d")).text == "☐ a ☑ b ☑ c [ ] d"


def test_footnotes_stand_where_they_are_written() -> None:
    seen = Seen(rendered("Said[^1] and[^n].\n\n[^1]: The *source*\n  goes on.\n[^n]: Another.\n\nEnd [^x]."))
    assert seen.text == "Said[1] and[n]. [1]The source goes on. [n]Another. End [^x]." and seen.shape.count("sup") == 4


@pytest.mark.parametrize(
    "text", ["**「強」**調", "他说**“好。”**然后", "**重点：**内容", "これは**「重要」**です", "*강조!*는"]
)
def test_emphasis_works_in_scripts_without_spaces(text: str) -> None:
    seen = Seen(rendered(text))
    assert "*" not in seen.text and {"strong", "em"} & {*seen.shape}


def test_emphasis_elsewhere_is_commonmarks() -> None:
    assert "*" in Seen(rendered('a**"b"**c')).text and "_" in Seen(rendered("語_強_調")).text


def test_a_table_keeps_its_alignment() -> None:
    markup = rendered("| a | b | c | d |\n|---|:--|:-:|--:|\n| 1 | 2 | 3 | 4 |")
    assert re.findall(r"<td style=\"text-align:(\w+)\">", markup) == ["left", "left", "center", "right"]


def test_code_is_coloured_once_its_fence_has_closed_and_scrolls() -> None:
    text = "```python\ndef f():\n    return 'x'  # why\n"
    assert "span" not in rendered(text) and "span" in rendered(f"{text}```")
    for name in ("keyword", "def", "string", "comment"):
        assert f"--jp-mirror-editor-{name}-color" in rendered(f"{text}```")
    assert Seen(rendered(f"{text}```")).text == "def f(): return 'x' # why"
    assert 'overflow-x: auto; margin: 1.5em 2em"><code style="white-space: pre;' in rendered(text)
    assert "margin" not in rendered("- ```\n  x\n  ```")
    assert "property" in rendered('```json\n{"a": 1}\n```') and "property" in rendered("```py\nx.shape\n```")


@pytest.mark.parametrize(
    ("language", "code"),
    [("python", "\ufeffa = 1\n"), ("ini", "=" * 10_000), ("csharp", '"a\n ' * 3_000), ("python", "\t\n" * 9_000)],
)
def test_code_that_a_lexer_would_change_or_take_long_for_is_shown_without_colours(language: str, code: str) -> None:
    began = time.monotonic()
    markup = rendered(f"```{language}\n{code}\n```")
    assert "span" not in markup and html.unescape(re.sub("<.*?>", "", markup)).startswith(code)
    assert time.monotonic() - began < 5


def test_a_reference_leads_to_its_source_and_no_text_makes_one() -> None:
    cited = [Source('a "title"', "", "<quote>", "https://a.b/"), Source("no address", "", "", "javascript:1")]
    markup = rendered(f"One{reference(1)} two{reference(2)} three{reference(3)}.", cited)
    seen = Seen(markup)
    assert seen.text == "One[1] two[2] three." and seen.links == ["https://a.b/"] and not seen.wrong
    assert 'title="a &quot;title&quot;: <quote>"' in markup or "&lt;quote&gt;" in markup


# --- growing ----------------------------------------------------------------------------------------


def whole(growing: Growing, text: str) -> str:
    return "".join(part.html for part in growing.parts(text))


def grows_alike(text: str, step: int = 1) -> None:
    growing = Growing()
    for length in [*range(0, len(text), step), len(text)]:
        assert whole(growing, text[:length]) == rendered(text[:length]), repr(text[:length])


@pytest.mark.slow
def test_a_growing_text_is_the_same_as_the_text_at_once() -> None:
    for _, text in HOSTILE:
        grows_alike(
            f"# a\n\nb\n\n{text}\n\n- c\n\nd\n\n```\ne\n\n\nf\n```\n\n| g |\n|--|\n| h |\n\ni\n\n{text}", GROWTH_STEP
        )


@pytest.mark.slow
@settings(max_examples=SOUPS // 2, deadline=None)
@given(text=st.lists(SOUP, max_size=6).map("\n\n".join))
def test_a_growing_soup_is_the_same_as_the_soup_at_once(text: str) -> None:
    grows_alike(text, 2)


@pytest.mark.slow
def test_a_long_text_comes_in_parts_that_stay_as_they_are_while_it_grows() -> None:
    blocks = [f"## Part {n}\n\n- one\n- two {'word ' * 40}\n\n```\ncode\n\n{n}\n```" for n in range(300)]
    text = "\n\n".join(blocks)
    growing, before = Growing(), []
    for end in range(0, len(text), 997):
        parts = growing.parts(text[:end])
        assert parts[: len(before) - 1] == before[:-1]
        before = parts
    at_once = Growing().parts(text)
    assert growing.parts(text) == at_once and len(at_once) > 3
    assert "".join(part.source for part in at_once) == text
    assert "".join(part.html for part in at_once) == rendered(text)
    assert all(len(part.html) < 1.5 * PART_CHARACTERS for part in at_once)


@pytest.mark.parametrize("around", [("$$", "$$"), ("\\[", "\\]"), ("\\begin{align}", "\\end{align}")])
def test_a_formula_whose_lines_look_like_blocks_stays_whole_while_it_grows(around: tuple[str, str]) -> None:
    grows_alike(f"Sum:\n\n{around[0]}\na\n+ b\n- c\n# d\n{around[1]}\n\nSo.\n\nIt is.\n\nDone.")


def test_definitions_and_carriage_returns_cost_a_growing_text_nothing_more() -> None:
    """Work per refresh, as the number of blocks that are rendered: the same as without them."""
    prose = "Some prose with *words*.\n\n" * 200
    counts = []
    for head in ("", "[a]: https://a.b/\n\n", "[^1]: note\n\n", "\r\n"):
        growing, rendered_blocks = Growing(), []
        before = renderer._html
        try:
            renderer._html = lambda *given, done=rendered_blocks, call=before: done.append(1) or call(*given)
            for end in range(0, len(prose), 50):
                growing.parts((head + prose)[:end])
        finally:
            renderer._html = before
        counts.append(len(rendered_blocks))
    assert max(counts) < 1.2 * counts[0]


def test_a_definition_that_comes_late_makes_links_of_what_was_settled() -> None:
    text = "[a]\n\nb[^1]\n\nc\n\nd\n\n"
    growing = Growing()
    whole(growing, text)
    assert Seen(whole(growing, text + "[a]: https://a.b/")).links == ["https://a.b/"]
    assert "<sup>[1]</sup>" in whole(growing, text + "[^1]: note")


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "text"), ENORMOUS, ids=[name for name, _ in ENORMOUS])
def test_no_enormous_text_takes_long(name: str, text: str) -> None:
    """The time limit tells quadratic from linear, not machines apart."""
    markup = rendered(text)
    assert not Seen(markup[:200_000]).errors or len(markup) > 200_000


def test_importing_the_renderer_imports_no_parser() -> None:
    program = (
        "import sys, claude_magic.render.markup.renderer, claude_magic.render.markup.markdown\n"
        "print(sorted({'markdown_it', 'nh3', 'pygments.lexers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "[]"
