"""What a tool gives is said once: each figure one picture, an exception with all that it says, large results cut."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pytest
from PIL import Image

from claude_magic.content.secrets import MASK, Secrets
from claude_magic.content.token_estimate import of_text
from claude_magic.conversation.turns import Block
from claude_magic.tools import functions, results
from claude_magic.tools.calls import run
from support.kernel import Kernel

KNOWN = "Xk9!paperclip-zebra_77 with space"


def result_of(then: Callable[[], Any], secrets: Secrets | None = None) -> list[Block]:
    return run(functions.of(then, "f"), {}, secrets)[0]


def text_of(then: Callable[[], Any], secrets: Secrets | None = None) -> str:
    return "\n".join(block["text"] for block in result_of(then, secrets))


# --- plain data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"city": "Zürich", "open": True, "since": None}, {"city": "Zürich", "open": True, "since": None}),
        ([1, 2.5, "it's"], [1, 2.5, "it's"]),
        ({}, {}),
        ([], []),
        (
            {"when": dt.datetime(2026, 11, 28, 9, 30), "day": dt.date(2026, 1, 2)},
            {"when": "2026-11-28T09:30:00", "day": "2026-01-02"},
        ),
        (
            {"price": Decimal("0.10"), "pair": (1, 2), "tags": {"b", "a"}},
            {"price": "0.10", "pair": [1, 2], "tags": ["a", "b"]},
        ),
        ([numpy.int64(3), numpy.float32(0.5), numpy.bool_(True)], [3, 0.5, True]),
        ([pandas.Timestamp("2026-11-28")], ["2026-11-28T00:00:00"]),
        (defaultdict(list, {"a": [1]}), {"a": [1]}),
        ({1: "one"}, {"1": "one"}),
    ],
)
def test_a_dict_or_list_of_plain_data_goes_as_json(value: Any, told: Any) -> None:
    assert json.loads(text_of(lambda: value)) == told


@pytest.mark.parametrize("value", [{(1, 2): 3}, [object], {"f": len}, [pandas.Series([1])], {"a": {1, "b"}}])
def test_what_json_cannot_hold_goes_as_a_prompt_shows_it(value: Any) -> None:
    text = text_of(lambda: value)
    assert text and not text.startswith(('{"', "[1"))


@pytest.mark.slow
def test_a_list_that_holds_itself_and_a_deep_one_are_told() -> None:
    itself: list[Any] = []
    itself.append(itself)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert text_of(lambda: itself) and text_of(lambda: deep)


def test_secrets_in_plain_data_are_masked_as_json_writes_them() -> None:
    known = 'quoted "secret" \\ of 2 lines\nand an ü'
    told = text_of(lambda: {"a": f"before {known} after", "password": "hunter2-and-more"}, Secrets((known,)))
    assert json.loads(told) == {"a": f"before {MASK} after", "password": MASK}


# --- figures ------------------------------------------------------------------------------------------

_SETUP = """%matplotlib inline
import io, json
import matplotlib.pyplot as plt
from IPython.display import display, Image
from claude_magic.tools import calls, functions
def plot(number=2):
    figure, axes = plt.subplots(); axes.plot([1, number]); return figure, axes
class ShowsItself:
    def __repr__(self): return "<ShowsItself>"
    def _ipython_display_(self): display({"text/plain": "itself"}, raw=True)
def said(function):
    content, failed = calls.run(functions.of(function, "f"), {})
    print(json.dumps([block.get("text", block["type"]) for block in content]))
"""


@pytest.fixture(scope="module")
def plotting(kernel: Kernel) -> Kernel:
    """A kernel whose figures are shown by the inline backend, as in a notebook."""
    assert kernel.run(_SETUP).error is None
    return kernel


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("return plot()[0]", ["image"]),
        ("return plot()[1]", ["image"]),
        ("f, a = plot(); plt.show(); return f", ["image"]),
        ("f, a = plot(); display(f); return f", ["image"]),
        ("f, a = plot(); plt.close(f); return f", ["image"]),
        ("return plot()", ["f[0]:", "image", "f[1]: Axes, in the picture of f[0]"]),
        ("return plt.subplots(2, 2)", ["f[0]:", "image", "f[1]: ndarray, in the picture of f[0]"]),
        ("return {'plot': plot()[0], 'n': 3}", ["f['plot']:", "image", "f['n']: 3"]),
        ("return plot()[0], plot(3)[0]", ["f[0]:", "image", "f[1]:", "image"]),
        ("f, a = plot(); plot(3); return f", ["image", "image"]),
        ("plot(); return 3", ["image", "3"]),
        ("f, a = plot(); display(f)", ["image"]),
        ("plot(); plt.show()", ["image"]),
        ("s = ShowsItself(); display(s); return s", ["<ShowsItself>"]),
        ("h = display('1', display_id='h'); h.update('2'); display('3')", ["'2'\n'3'"]),
        (
            "b = io.BytesIO(); f, a = plot(); plt.close(); f.savefig(b); display(Image(b.getvalue())); return b",
            ["image"],
        ),
        ("plot(); plot(3)", ["image", "image"]),
        ("import altair; c = altair.Chart({'values': [{'a': 1}]}).mark_bar(); display(c); return c", ["image"]),
    ],
)
def test_a_figure_is_one_picture_however_it_comes(plotting: Kernel, body: str, shown: list[str]) -> None:
    assert json.loads(plotting.run(f"def f():\n    {body}\nsaid(f)").text) == shown


@pytest.mark.kernel
def test_a_plotly_figure_that_was_shown_and_returned_is_said_once(plotting: Kernel) -> None:
    made = "import plotly.graph_objects as go; p = go.Figure(go.Scatter(y=[1, 2]))"
    for then in ("p.show(); return p", "p.show()", "p.show(); display(p); return [p]", "display(p)", "return p"):
        body = f"{made}; {then}"
        (words,) = json.loads(plotting.run(f"def f():\n    {body}\nsaid(f)").text)
        assert words == "image" or words.count("scatter") == 1, then


@pytest.mark.kernel
def test_a_failing_tool_still_shows_its_figure(plotting: Kernel) -> None:
    picture, words = json.loads(plotting.run("def f():\n    plot(); raise ValueError('no')\nsaid(f)").text)
    assert picture == "image" and words.startswith("ValueError: no")


@pytest.mark.kernel
def test_html_that_is_displayed_is_sent_as_its_text(plotting: Kernel) -> None:
    body = "from IPython.display import HTML; display(HTML('<h1>Sales</h1><script>1</script>rose'))"
    assert json.loads(plotting.run(f"def f():\n    {body}\nsaid(f)").text) == ["Sales\nrose"]


# --- pictures as bytes --------------------------------------------------------------------------------


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
@pytest.mark.parametrize("held", [bytes, bytearray, memoryview, io.BytesIO])
def test_the_bytes_of_a_picture_are_a_picture(kind: str, held: Callable[[bytes], Any]) -> None:
    data = picture(kind)
    (block,) = result_of(lambda: held(data))
    assert block["source"]["media_type"] == f"image/{kind.lower()}"
    assert [each["type"] for each in result_of(lambda: [held(data), 3])] == ["text", "image", "text"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_of_ipython_is_a_picture(kind: str) -> None:
    from IPython.display import Image as Shown

    (block,) = result_of(lambda: Shown(picture(kind), format=kind.lower()))
    assert block["type"] == "image"


@pytest.mark.parametrize("held", [bytes, bytearray, memoryview, io.BytesIO])
def test_other_bytes_are_said_by_type_and_size(held: Callable[[bytes], Any]) -> None:
    (block,) = result_of(lambda: held(b"\x00\x01" * 2_000_000))
    assert block["text"] == f"<{held.__name__}: 4,000,000 bytes, not UTF-8 text>"
    assert "not UTF-8" in text_of(lambda: held(b"\x89PNG\r\n\x1a\nand no more\xff"))


# --- exceptions ---------------------------------------------------------------------------------------


def _chained() -> None:
    try:
        {}["inner_key"]
    except KeyError as error:
        raise RuntimeError("outer failed") from error


def _in_context() -> None:
    try:
        {}["inner_key"]
    except KeyError:
        raise RuntimeError("outer failed")  # noqa: B904


def _noted() -> None:
    error = ValueError("base")
    error.add_note("use kelvin")
    raise error


def _grouped() -> None:
    inner = ExceptionGroup("inner", [ConnectionError("db.internal refused"), KeyError("key")])
    raise ExceptionGroup("outer", [inner, OSError("disk")])


async def _task_group() -> None:
    async def fail() -> None:
        raise ConnectionError("db.internal refused")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        (_chained, ["RuntimeError: outer failed", "KeyError: 'inner_key'", "direct cause", "in _chained"]),
        (_in_context, ["RuntimeError: outer failed", "KeyError: 'inner_key'", "During handling"]),
        (_noted, ["ValueError: base", "use kelvin"]),
        (_grouped, ["ExceptionGroup: outer", "db.internal refused", "KeyError: 'key'", "OSError: disk"]),
        (_task_group, ["db.internal refused", "in fail"]),
    ],
)
def test_an_exception_is_told_with_its_causes_notes_and_members(tool: Callable[[], Any], told: list[str]) -> None:
    text = text_of(tool)
    assert all(each in text for each in told), text
    assert "claude_magic/" not in text and "asyncio/" not in text


def _in_a_library() -> None:
    pandas.DataFrame({"a": [1]})["nope"]


def test_the_readers_line_is_told_where_a_library_fails() -> None:
    text = text_of(_in_a_library)
    assert text.startswith("KeyError: 'nope'") and 'pandas.DataFrame({"a": [1]})["nope"]' in text
    assert text.count("site-packages") <= 2


def test_a_syntax_error_is_told_with_its_line() -> None:
    assert "    x = = 1\n" in text_of(lambda: compile("x = = 1", "<code>", "exec"))


def test_what_an_exception_says_is_bounded_and_masked() -> None:
    def long() -> None:
        try:
            raise ValueError("password=hunter2 " * 100_000)
        except ValueError as error:
            error.add_note("x" * 5_000_000)
            raise RuntimeError(f"with {KNOWN}") from error

    text = text_of(long, Secrets((KNOWN,)))
    assert of_text(text) < results.MAX_RESULT_TOKENS and "hunter2" not in text and "zebra" not in text
    assert f"RuntimeError: with {MASK}" in text and "shortened" in text


# --- large results ------------------------------------------------------------------------------------

LINES = [f"2026-11-28 01:{at % 60:02d} INFO request id={at:08d} path=/api/v1/items" for at in range(80_000)]
LOG = "\n".join(LINES)


class Shown:
    def __repr__(self) -> str:
        return LOG


@pytest.mark.parametrize(
    "value",
    [LOG, LINES, [LOG], {"log": LOG}, LOG.encode(), pandas.DataFrame({"line": LINES}), pandas.Series(LINES), Shown()],
    ids=["text", "lines", "list", "dict", "bytes", "frame", "series", "repr"],
)
def test_a_large_result_is_cut_before_it_is_searched_for_secrets(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[int] = []
    masked = Secrets.masked
    monkeypatch.setattr(Secrets, "masked", lambda self, text: (searched.append(len(text)), masked(self, text))[1])
    assert of_text(text_of(lambda: value)) <= results.MAX_RESULT_TOKENS
    assert of_text(text_of(lambda: print(value))) <= results.MAX_RESULT_TOKENS
    assert 0 < sum(searched) < 100_000


def test_many_large_outputs_are_searched_no_more_than_one() -> None:
    def many() -> int:
        from IPython.display import Markdown, display

        for _ in range(200):
            display(Markdown(LOG[:100_000]))
            print(LOG[:100_000])
        return 42

    started = time.process_time()
    text = text_of(many)
    assert text.endswith("\n42") and of_text(text) <= results.MAX_RESULT_TOKENS + 50
    assert "characters left out]" in text or "shortened" in text
    assert time.process_time() - started < 5


def test_what_is_returned_is_not_pushed_out_by_what_is_printed() -> None:
    def both() -> str:
        print(LOG)
        return "the answer is here. " + LOG

    text = text_of(both)
    assert LOG[:1_000] in text and "the answer is here. " in text
    assert of_text(text) <= results.MAX_RESULT_TOKENS + 10


FILLER, BEHIND = "filler word\n" * 4_000, "behind it\n" * 20_000
SECRET = (
    "sk-ant-api03-" + "aB3" * 12,
    "password=hunter2supersecret",
    'password = "hunter2 super secret"',
    KNOWN,
    "eyJhbGciOiJIUzI1NiJ9." + "abCD1" * 300 + ".sig" + "Z9" * 20,
    "-----BEGIN PRIVATE KEY-----\n" + ("MIIabc123+/" * 6 + "\n") * 30 + "-----END PRIVATE KEY-----",
)


@pytest.mark.parametrize("way", ["returned", "printed", "bytes", "list", "raised"])
@pytest.mark.parametrize("secret", SECRET, ids=lambda secret: secret[:8])
def test_a_secret_across_the_cut_is_masked(way: str, secret: str) -> None:
    room = 27_930 if way in ("returned", "printed") else 3_400 if way == "raised" else 8_680
    for before in range(room - len(secret) - 50, room + 20, max(11, len(secret) // 8)):
        whole = FILLER[:before] + f" {secret} " + BEHIND

        def tool(whole: str = whole) -> Any:
            if way == "raised":
                raise ValueError(whole)
            if way == "printed":
                print(whole)
            return {"returned": whole, "bytes": whole.encode(), "list": [whole]}.get(way)

        text = text_of(tool, Secrets((KNOWN,)))
        for part in ("aB3aB3", "hunter2", "zebra", "abCD1abCD1", "MIIabc"):
            assert part not in text, (way, before, text[-300:])


# --- other text ---------------------------------------------------------------------------------------


def test_escapes_and_control_characters_of_a_terminal_are_left_out() -> None:
    def colours() -> str:
        print("\x1b[31mred\x1b[0m\x00 and\x07 \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\")
        return "\x1b[1;4mbold\x1b[0m\tand\r\nplain\x08\x9b"

    assert text_of(colours) == "red and link\nbold\tand\nplain"


def test_a_secret_in_colours_is_masked() -> None:
    assert "hunter2" not in text_of(lambda: "password=\x1b[31mhunter2\x1b[0m")
