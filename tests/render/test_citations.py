"""Citations: what is sent so that they come, and the references that they become."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from claude_magic import offline
from claude_magic.client import Client
from claude_magic.conversation.accumulator import Accumulator
from claude_magic.conversation.turns import Conversation, Pin, Turn
from claude_magic.errors import UsageError
from claude_magic.notebook.cell import Cell
from claude_magic.offline.replies.message import events
from claude_magic.options import Options
from claude_magic.render import citations, export
from claude_magic.render.answer import GrowingAnswer, answer_outputs, pieces
from claude_magic.render.reply import reply_value
from claude_magic.render.turn import reply_text
from claude_magic.request import build
from claude_magic.request.citations import as_sent
from claude_magic.session.question import Question
from claude_magic.session.session import Session
from support.hostile_markdown import HOSTILE
from support.html_judge import Seen
from support.offline_requests import refusal, user
from support.recordings import recordings
from support.sessions import OFFLINE, Reader
from support.turns import from_the_corpus, text, turn_of

CITING = Options(citations=True)


def document(words: str = "Owls hoot. They sleep by day.", title: str = "Owls", **more: Any) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": words}
    return {"type": "document", "source": source, "title": title, **more}


def cited(words: str, **citation: Any) -> dict[str, Any]:
    return {**text(words), "citations": [{"type": "char_location", "cited_text": "q", "document_index": 0, **citation}]}


def answer(*reply: Any) -> str:
    bundles = answer_outputs(turn_of("t1", "a", [text("?")], reply))
    return "\n\n".join(bundle["text/markdown"] for bundle in bundles)


def page(*reply: Any) -> str:
    """The HTML of an answer."""
    return "".join(bundle["text/html"] for bundle in answer_outputs(turn_of("t1", "a", [text("?")], reply)))


def enabled(asked: build.Request) -> list[Any]:
    blocks = [block for message in asked.params["messages"] for block in message["content"]]
    return [block.get("citations") for block in blocks if block["type"] == "document"]


# --- what is sent --------------------------------------------------------------------------------------

ON = {"enabled": True}


def test_the_documents_that_go_along_are_to_be_cited() -> None:
    assert enabled(build.build(Conversation(), [document(), text("?")], CITING)) == [ON]
    assert enabled(build.build(Conversation(), [document(), text("?")], Options())) == [None]


def test_without_a_document_there_is_nothing_to_cite_and_nothing_is_sent() -> None:
    with pytest.raises(UsageError, match="no document to cite"):
        build.build(Conversation(), [text("?")], CITING)
    assert build.build(Conversation(), [text("?")], Options(citations=True, web_fetch=True)).params["tools"][0][
        "citations"
    ]


def test_a_document_above_or_pinned_is_one_to_cite() -> None:
    above = Conversation((turn_of("t1", "a", [document(), text("?")]),))
    assert enabled(build.build(above, [text("?")], CITING)) == [ON]
    cited_once = Conversation((*above, turn_of("t2", "b", [text("?")], [cited("A.")])))
    assert enabled(build.build(cited_once, [text("?")], Options())) == [ON]  # as it was when it was cited
    pins = iter([Pin("owls", (document(),))])
    assert enabled(build.build(Conversation(), [text("?")], CITING, pins)) == [ON]


def test_all_documents_of_a_conversation_that_cites_are_cited() -> None:
    session, reader = Session(Client()), Reader()
    asked = [(Options(), "a"), (CITING, "b"), (Options(), "c")]
    for options, cell in asked:
        outcome = session.ask(
            Question(options, [document(title=cell), text("?")], Cell(cell, run=cell)), OFFLINE, reader
        )
        assert outcome.failure is None, outcome.failure  # the API takes all or none, and so does the stand-in
    sent = session.client.offline.requests
    documents = [
        [b.get("citations") for m in body["messages"] for b in m["content"] if b["type"] == "document"] for body in sent
    ]
    assert documents == [[None], [ON, ON], [ON, ON, ON]]
    thoughts = [sum(b["type"] == "thinking" for m in body["messages"] for b in m["content"]) for body in sent]
    assert thoughts == [0, 0, 1]  # the first was thought about a document that was not to be cited


def test_a_rerun_without_the_option_no_longer_cites() -> None:
    session = Session(Client())
    for options in (CITING, Options()):
        outcome = session.ask(
            Question(options, [document(), text("?")], Cell("a", run=str(options.citations))), OFFLINE, Reader()
        )
        assert outcome.failure is None
    assert outcome.turn is not None and not citations.sources(outcome.turn.reply)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"messages": [user([document(citations=ON), document(), text("?")])]}, "all or none"),
        ({"messages": [user([document(citations={"on": True}), text("?")])]}, "citations"),
        ({"messages": [user([{**text("?"), "citations": [{"type": "char_location"}]}])]}, "not permitted in user"),
    ],
)
def test_the_stand_in_refuses_what_the_api_refuses(standin: offline.Server, asked: dict[str, Any], says: str) -> None:
    assert says in refusal(standin, **asked)


def test_what_is_cited_goes_back_as_it_came_but_for_the_id_of_its_file() -> None:
    session = Session(Client())
    first = session.ask(Question(CITING, [document(), text("?")], Cell("a", run="1")), OFFLINE, Reader()).turn
    assert first is not None and citations.sources(first.reply)
    session.ask(Question(Options(), [text("And?")], Cell("b", run="2")), OFFLINE, Reader())
    sent = session.client.offline.requests[-1]["messages"][1]["content"]
    assert '"file_id": null' in json.dumps(first.reply) and "file_id" not in json.dumps(sent)
    went = [as_sent(block) for block in first.reply if block.get("citations")]
    assert [block for block in sent if block.get("citations")] == went and went


# --- what is shown --------------------------------------------------------------------------------------


def test_a_reference_stands_behind_what_is_cited_and_has_the_quote_on_it() -> None:
    reply = (
        cited(
            "Owls hoot.", cited_text="They hoot & howl.", document_title="Owls", start_char_index=0, end_char_index=17
        ),
        text(" So."),
    )
    assert 'Owls hoot.<sup title="Owls: They hoot &amp; howl.">[1]</sup> So.' in page(*reply)
    assert Seen(page(*reply)).text == "Owls hoot.[1] So. Owls, characters 1–17: “They hoot & howl.”"
    assert answer(*reply) == "Owls hoot. [1] So.\n\n---\n\n1. Owls, characters 1–17: “They hoot & howl.”"


def test_one_place_has_one_number_wherever_it_is_cited() -> None:
    shown = answer(cited("A.", cited_text="a"), cited(" B.", cited_text="b"), cited(" C.", cited_text="a"))
    assert [part[0] for part in shown.split("[")[1:]] == ["1", "2", "1"]
    assert shown.count("\n1. ") == 1 and shown.count("\n2. ") == 1 and "\n3. " not in shown


@pytest.mark.parametrize(
    ("citation", "line"),
    [
        ({"type": "page_location", "start_page_number": 5, "end_page_number": 6}, "document 1, page 5: “q”"),
        ({"type": "page_location", "start_page_number": 5, "end_page_number": 8}, "document 1, pages 5–7: “q”"),
        ({"type": "content_block_location", "start_block_index": 0, "end_block_index": 1}, "document 1, part 1: “q”"),
        ({"type": "char_location", "start_char_index": 9, "end_char_index": 10}, "document 1, character 10: “q”"),
        ({"type": "web_search_result_location", "url": "https://a.org/b", "title": "A"}, "[A](https://a.org/b): “q”"),
        ({"type": "web_search_result_location", "url": "javascript:alert(1)", "title": "A"}, "A: “q”"),
        (
            {
                "type": "search_result_location",
                "source": "https://a.org",
                "title": "A",
                "start_block_index": 1,
                "end_block_index": 3,
            },
            "[A](https://a.org), parts 2–3: “q”",
        ),
        ({"type": "hologram_location", "document_title": "H", "cited_text": None}, "H"),
        (
            {"type": "char_location", "document_index": "x", "cited_text": 5, "start_char_index": None},
            "document 1: “5”",
        ),
    ],
)
def test_each_kind_of_place_is_told_in_the_list(citation: dict[str, Any], line: str) -> None:
    assert answer(cited("A.", **citation)).endswith(f"\n\n1. {line}")


def test_a_web_page_is_led_to_by_the_reference_too() -> None:
    assert Seen(page(cited("A.", url="https://a.org/b"))).links == ["https://a.org/b", "https://a.org/b"]


def test_the_value_is_plain_text_and_has_the_citations_by_their_numbers() -> None:
    turn = turn_of(
        "t1",
        "a",
        [text("?")],
        [cited("A.", cited_text="a"), cited(" B.", cited_text="b"), cited(" C.", cited_text="a")],
    )
    value = reply_value(turn)
    assert value == "A. B. C."
    assert [each["cited_text"] for each in value.citations] == ["a", "b"]
    (bundle,) = answer_outputs(turn)
    assert bundle["text/plain"].startswith("A. [1] B. [2] C. [1]\n\n[1] document 1: “a”")


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("```\ncode\n```", "</code></pre>\n<p><sup"),
        ("| a | b |\n| --- | --- |\n| 1 | 2 |", ">2 <sup"),
        ("**Bold.**\n\n", "<strong>Bold.</strong><sup"),
        ("- one\n- two.", "<li>two.<sup"),
        ("See https://a.org/x", "https://a.org/x</a><sup"),
    ],
)
def test_a_reference_leaves_the_markdown_around_it_as_it_is(words: str, kept: str) -> None:
    assert kept in page(cited(words), text("\n\nNext."))


@pytest.mark.parametrize(("name", "payload"), HOSTILE, ids=[name for name, _ in HOSTILE])
def test_nothing_in_a_citation_becomes_more_than_words(name: str, payload: str) -> None:
    everywhere = dict.fromkeys(("cited_text", "document_title", "url", "source", "type"), payload)
    seen = Seen(page(cited("A.", **everywhere)))
    assert not seen.wrong and seen.shape.count("sup") == 1
    assert {*seen.shape} <= {"div", "p", "sup", "a", "hr", "ol", "li"}
    assert all(address.lower().startswith(("http://", "https://", "mailto:")) for address in seen.links)


def test_many_references_do_not_turn_a_paragraph_into_code() -> None:
    said = [cited(f"Sentence {number}.", cited_text=f"«Wörter» & {number}: 'so' " * 8) for number in range(80)]
    assert "<code>" not in page(*said)


def test_references_appear_as_they_come() -> None:
    session = Session(Client())
    turn = session.ask(Question(CITING, [document(), text("?")], Cell("a", run="1")), OFFLINE, Reader()).turn
    assert turn is not None
    growing = Accumulator()
    for event in events(session.client.offline.replies[-1]):
        growing.add(event)
    shown = citations.with_references(growing.shown)
    assert [block["text"] for block in shown if block["type"] == "text"] == [
        block["text"] for block in citations.with_references(turn.reply) if block["type"] == "text"
    ]
    assert "<sup" in GrowingAnswer().parts(pieces(growing.shown, {}), growing.shown)[0].html


@pytest.mark.parametrize("form", export.FORMS)
def test_exports_have_the_references(form: str) -> None:
    turn = turn_of(
        "t1", "a", [document(), text("?")], [cited("Owls hoot.", cited_text="They hoot.", document_title="Owls")]
    )
    written = export.export({"main": Conversation((turn,))}, form, title="t", stem="t").text
    if form == "html":
        assert '<sup title="Owls: They hoot.">[1]</sup>' in written
    elif form == "md":
        assert "Owls hoot. [1]" in written and "1. Owls" in written
    else:
        assert "Owls hoot." in written or "Owls" in written


# --- the recordings -------------------------------------------------------------------------------------


@pytest.mark.corpus
@pytest.mark.skipif(not recordings(), reason="the recordings are not there")
def test_every_recorded_citation_has_its_reference_and_its_line() -> None:
    turns: list[Turn] = [turn for turn in from_the_corpus() if citations.sources(turn.reply)]
    assert len(turns) >= 4
    for turn in turns:
        shown = "\n\n".join(bundle["text/markdown"] for bundle in answer_outputs(turn))
        found = citations.sources(turn.reply)
        assert all(f" [{number}]" in shown for number in range(1, len(found) + 1))
        assert f"\n{len(found)}. " in shown and f"\n{len(found) + 1}. " not in shown.split("\n---\n")[-1]
        assert "[1]" not in reply_text(turn) and "<sup" not in reply_text(turn)
        json.dumps(dataclasses.asdict(turn))
