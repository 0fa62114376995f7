"""The written examples: played for the notebooks' own questions and data, and for nothing else."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import anthropic
import pytest

from claude_magic import offline
from claude_magic.magics.fix import REQUEST
from claude_magic.offline.replies.lessons import PACE, WRITTEN, pace_of, written
from support.offline_requests import ask, assistant, connect, image, said, text, user

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
README = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
README_CELLS = re.findall(r"^```(?:python)?\n(.*?)^```$", README, re.M | re.S)
STAND_IN = "*Offline stand-in, not Claude.*\n\n"
PRICE: Any = {
    "name": "price",
    "input_schema": {"type": "object", "properties": {"drink": {"type": "string"}}, "required": ["drink"]},
}
ASKED = user('What is the price of a "flat white"?')
KIND = "Is this review of a coffee shop kind or unkind? One word.\nReview: Too loud to work there."
REPORT = "\n".join(f"Day {n}: {80 + n % 9} cups sold, {n % 7} mm of rain, no complaints." for n in range(1, 200))


@pytest.fixture
def client(standin: offline.Server) -> anthropic.Anthropic:
    return connect(standin)


def test_a_question_of_a_notebook_has_its_written_answer(client: anthropic.Anthropic) -> None:
    reply = said(ask(client, "Write  three exercises about\nthe standard deviation."))
    assert reply.startswith(f"{WRITTEN}**1. Compute.**") and "not Claude.*" not in reply


@pytest.mark.parametrize(
    "asked",
    [
        "Write two exercises about the standard deviation.",
        "Forget that. Write three exercises about the standard deviation.",
        "What would you look at first in\nDataFrame shops: 2 rows × 1 columns (pandas)\n?",
        "Does rain matter?",
        "What went wrong?",
        f"{REPORT}\n\nIn French: On which days did it rain most?",
        f"{REPORT}\n\nAnswer in French.\nOn which days did it rain most?",
        [text("What animal is "), image(64, 64), text("?")],
        [text("What animal is "), image(320, 200), text("?")],
        [text("What animal is "), image(320, 200), image(320, 200), text("?")],
    ],
)
def test_a_question_or_data_of_the_readers_own_goes_to_the_stand_in(client: anthropic.Anthropic, asked: Any) -> None:
    reply = said(ask(client, asked))
    assert reply.count(STAND_IN) == 1 and WRITTEN not in reply


def test_an_answer_about_a_picture_is_about_that_picture(client: anthropic.Anthropic) -> None:
    """The owl is drawn by the notebook's own cell; other colours and shapes of the same size are the reader's own."""
    cells = json.loads((NOTEBOOKS / "see.ipynb").read_text(encoding="utf-8"))["cells"]
    drawing = next(source for cell in cells if "draw.ellipse" in (source := "".join(cell["source"])))
    cases = (("", "", None, True), ("#8a6f4e", "#4e6f8a", None, False), ("white", "black", None, False))
    for old, new, kept_bytes, fits in (*cases, ("", "", 400, False)):
        names: dict[str, Any] = {}
        exec(drawing.replace('picture.save("owl.png")', "").replace(old, new), names)
        buffer = io.BytesIO()
        names["picture"].save(buffer, "PNG")
        sent = image(1, 1)
        sent["source"]["data"] = base64.b64encode(buffer.getvalue()[:kept_bytes]).decode()
        reply = said(ask(client, [text("What animal is "), sent, text("?")]))
        assert ("An **owl**" in reply, "320 × 200" in reply) == (fits, not fits), (old, kept_bytes)


def test_own_instructions_are_not_answered_from_a_script(client: anthropic.Anthropic) -> None:
    reply = said(ask(client, "What is the capital of Iceland?", system="Talk like a pirate."))
    assert reply.startswith(STAND_IN) and "pirate" in reply


def test_a_tool_is_called_and_its_result_is_in_the_answer(client: anthropic.Anthropic) -> None:
    called = ask(client, ASKED, tools=[PRICE])
    call = called["content"][-1]
    assert (call["name"], call["input"]) == ("price", {"drink": "flat white"})
    for result, wanted in (
        ({"content": "3.6"}, "**3.60 euros**"),
        ({"content": "9.9"}, "9.9"),
        ({"content": "3.65"}, "3.65"),
    ):
        outcome = {"type": "tool_result", "tool_use_id": call["id"], **result}
        reply = said(ask(client, ASKED, assistant(called["content"]), user([outcome]), tools=[PRICE]))
        assert wanted in reply and ("3.60" in reply) == (result["content"] == "3.6")


def test_a_failed_call_is_not_answered_as_if_it_had_succeeded(client: anthropic.Anthropic) -> None:
    called = ask(client, ASKED, tools=[PRICE])
    outcome = {
        "type": "tool_result",
        "tool_use_id": called["content"][-1]["id"],
        "content": "refused 3.6",
        "is_error": True,
    }
    reply = said(ask(client, ASKED, assistant(called["content"]), user([outcome]), tools=[PRICE]))
    assert "failed" in reply and "euros" not in reply
    outcome["content"] = "The reader refused this call, and it was not run."
    reply = said(ask(client, ASKED, assistant(called["content"]), user([outcome]), tools=[PRICE]))
    assert reply.startswith("You refused the call, so I do not know")


def test_an_example_thinks_once_and_comes_at_its_pace_to_the_end(client: anthropic.Anthropic) -> None:
    shown = {"type": "adaptive", "display": "summarized"}
    called = ask(client, ASKED, tools=[PRICE], thinking=shown)
    outcome = {"type": "tool_result", "tool_use_id": called["content"][-1]["id"], "content": "3.6"}
    told = ask(client, ASKED, assistant(called["content"]), user([outcome]), tools=[PRICE], thinking=shown)
    assert [block["type"] for block in called["content"]] == ["thinking", "text", "tool_use"]
    assert [block["type"] for block in told["content"]] == ["text"]
    assert pace_of(called) == pace_of(told) == pace_of(ask(client, KIND)) == PACE
    own = ask(client, "Is this review of a coffee shop kind?")
    assert pace_of(own) is None


@pytest.mark.parametrize("searches", [True, False])
def test_a_search_is_led_up_to_and_says_that_nothing_was_looked_up(
    client: anthropic.Anthropic, *, searches: bool
) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}] if searches else []
    reply = ask(client, "Search for the heaviest owl.", tools=tools)
    assert said(reply).startswith(WRITTEN) and said(reply).count(WRITTEN) == 1 and "**Blakiston's fish" in said(reply)
    queries = [block["input"]["query"] for block in reply["content"] if block["type"] == "server_tool_use"]
    assert queries == ["the heaviest owl"] * searches and ("Nothing was looked up" in said(reply)) == searches


@pytest.mark.parametrize(("changed", "fits"), [({}, True), ({"kind": {"type": "integer"}}, False)])
def test_json_fits_the_schema_or_is_the_stand_ins(
    client: anthropic.Anthropic, changed: dict[str, Any], fits: bool
) -> None:
    fields = {"kind": {"type": "boolean"}, "about": {"type": "string"}, **changed}
    schema = {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}
    question = 'What is this review about, and is it kind?\nReview: "Too loud to work there."'
    reply = ask(client, question, output_config={"format": {"type": "json_schema", "schema": schema}})
    assert (json.loads(said(reply)) == {"kind": False, "about": "the noise"}) is fits


def test_the_thinking_is_the_lessons(client: anthropic.Anthropic) -> None:
    reply = ask(client, "What is 17 * 23?", thinking={"type": "adaptive", "display": "summarized"})
    assert reply["content"][0]["thinking"].endswith("340 + 51 = 391.")


def test_the_days_of_the_report_are_right(client: anthropic.Anthropic) -> None:
    rain = [n for n in range(1, 200) if n % 7 == 6]
    cups = [n for n in range(1, 200) if n % 9 == 8]
    for question, days in (("On which days did it rain most?", rain), ("And on which days was the most", cups)):
        asked = question if question.endswith("?") else f"{question} coffee sold?"
        reply = said(ask(client, f"{REPORT}\n\n{asked}"))
        named = re.findall(r": (\d+), (\d+), (\d+), (\d+), … up to (\d+)", reply)[0]
        assert [int(each) for each in named] == [*days[:4], days[-1]] and f" {len(days)} days" in reply


def test_each_lesson_belongs_to_a_question_of_the_readme_or_a_notebook() -> None:
    """A question that nothing asks any more has no lesson; `{{…}}` stands for data, and for each row's text."""
    sources = [
        "".join(cell["source"])
        for path in NOTEBOOKS.glob("*.ipynb")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    sources += README_CELLS
    cells = [source.partition("\n")[2] or source for source in sources if source.startswith(("%%claude", "%claude "))]
    cells += [REQUEST]
    cells += [
        asked.replace("{each}", each)
        for source in README_CELLS
        for asked in re.findall(r'\ba?ask\(f?"(.*?)"', source)
        for each in ("north", "south")
    ]
    texts = [" ".join(re.sub(r"\{\{(?!row).*?\}\}", "", cell, flags=re.S).split()) for cell in cells]
    rows = [each.partition("{{row")[0].strip().removesuffix('"').strip() for each in texts if "{{row" in each]
    assert len(rows) >= 4
    for lesson in written():
        assert any(each.endswith(lesson.question) for each in texts) or any(
            lesson.question.startswith(each) for each in rows
        ), lesson.question
