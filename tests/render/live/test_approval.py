"""What a reader is shown before a tool runs: all of it, with nothing that is not seen."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from claude_magic.render import tool_calls
from claude_magic.render.live import approval, panel
from claude_magic.render.text import visible
from claude_magic.tools.approval import Answer
from support.shell import ipython_shell

UNSEEN = (
    "\0\x07\x08\x0b\x0c\r\x1b\x7f\x85\x9b\xa0\xad\u034f\u061c\u115f\u17b4\u180e"
    "\u200b\u200d\u200e\u202e\u2028\u2062\u2066\u2800\u3000"
    "\u3164\ue000\ufe0f\ufeff\uffa0\ufff9\U000e0041\U000e0101"
)
SURROGATES = "\ud800\udfff"


@pytest.mark.parametrize("character", [*UNSEEN, *SURROGATES])
def test_a_character_that_is_not_seen_is_shown_by_its_number(character: str) -> None:
    shown = visible(f"a{character}b")
    assert shown == f"a⟨U+{ord(character):04X}⟩b" and visible(shown) != shown


def test_what_is_seen_stays_as_it_is() -> None:
    text = "x = 'naïve' + \"日本\" * 2  # שלום, مرحبا, हिन्दी, e\u0301, 😀\n\tcosts $5 ⟨a⟩\n"
    assert visible(text) == text


@pytest.mark.parametrize(
    "given",
    [
        {"code": "total = 1 + 1\n# add the numbers, nothing else\rlog.append('HIDDEN')\ntotal"},
        {"to\u202e": "x", "list": [{"deep\u200b": "a\u2066b\ud800"}]},
        {"note": "\x1b[2J\x1b[H"},
        {"a\nb": "c\nd"},
    ],
)
def test_the_arguments_are_shown_whole_and_no_two_alike(given: dict[str, Any]) -> None:
    shown = tool_calls.arguments_text(given)
    assert all(each.isprintable() or each == "\n" for each in shown)
    assert shown.isascii() or "⟨U+" in shown
    without = json.loads(json.dumps(given).replace("\\r", "").replace("\\u202e", "").replace("\\u200b", ""))
    assert without == given or tool_calls.arguments_text(without) != shown


def test_code_among_other_arguments_is_shown_in_lines_of_which_none_looks_like_an_argument() -> None:
    given = {"code": "a = 1\nlimit: 3\r\n", "limit": 5, "rows": [1, "x\ny"]}
    assert tool_calls.arguments_text(given) == (
        '(3 arguments)\ncode:\n    a = 1\n    limit: 3⟨U+000D⟩\n    \nlimit: 5\nrows: [\n  1,\n  "x\\ny"\n]'
    )
    alike = {"code": "    a\n    b\nlimit: 5"}
    assert tool_calls.arguments_text({"code": "a\nb", "limit": 5}) != tool_calls.arguments_text(alike)


def test_a_carriage_return_hides_no_statement() -> None:
    shown = approval.question_html("python", {"code": "# nothing else\rlog.append('HIDDEN')\ntotal"})
    assert "# nothing else<mark>⟨U+000D⟩</mark>log.append(&#x27;HIDDEN&#x27;)\ntotal" in shown


def test_a_long_argument_is_shown_whole_in_a_box_that_scrolls() -> None:
    code = "".join(f"line_{number} = {number}\n" for number in range(5000))
    shown = approval.question_html("python", {"code": code})
    assert "line_0 = 0\n" in shown and "line_4999 = 4999" in shown and "overflow: auto" in shown
    assert "5,002 lines" in shown


def test_words_from_the_right_change_the_order_of_nothing_around_them() -> None:
    shown = approval.question_html("send", {"code": "f('שלום עולם', 'אב')\n"})
    assert "&#x27;<bdi>שלום עולם</bdi>&#x27;, &#x27;<bdi>אב</bdi>&#x27;" in shown and '<pre dir="ltr"' in shown


def test_hostile_arguments_are_text() -> None:
    shown = approval.question_html("<b>", {"<img src=x>": "</pre><script>PWN++</script>"})
    assert "<img" not in shown and "<script" not in shown and "<b>" not in shown


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("y\n", Answer.RUN),
        ("YES\n", Answer.RUN),
        ("a\n", Answer.RUN_ALL),
        ("\n", Answer.REFUSE),
        ("no\n", Answer.REFUSE),
        ("", None),
    ],
)
def test_where_there_are_no_buttons_the_reader_is_asked_in_words(
    typed: str, answer: Answer | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert approval.by_input("addAll", {"amount": 1, "note": "\x1b[2J\u202e"}) is answer
    shown = capsys.readouterr().out
    assert '"amount": 1' in shown and "May addAll run? [y/N/a]" in shown
    assert "\x1b" not in shown and "\\u001b[2J⟨U+202E⟩" in shown
    assert approval.can_input(None) is False  # it is no terminal


def test_clicks_in_the_first_moment_of_a_question_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = panel.Panel([], lambda: None, ipython_shell())
    held: list[float] = []

    def hold(seconds: float) -> None:
        held.append(seconds)
        run, refuse, _ = shown._buttons.children
        run.click()
        refuse.observe(lambda change: refuse.click(), "disabled")

    monkeypatch.setattr(panel.time, "sleep", hold)
    assert approval.by_buttons(shown, "add", {"amount": 1}) is Answer.REFUSE
    assert held == [0.7] and not shown._buttons.children and shown._question.value == ""
    shown.close()


def test_a_call_at_rest_shows_what_ran_too() -> None:
    call = {"type": "tool_use", "id": "1", "name": "py\u200bthon", "input": {"code": "a\n# b\rc"}}
    assert tool_calls.notebook_tool_call(call, None) == ("Tool call: py⟨U+200B⟩thon", "code:\na\n# b⟨U+000D⟩c")
    cut = {"type": "tool_use", "id": "1", "name": "python", "partial_json": '{"code": "\u202e'}
    assert tool_calls.notebook_tool_call(cut, None)[1] == '{"code": "⟨U+202E⟩'
