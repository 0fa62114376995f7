"""A notebook that is closed and opened again, in real kernels: what the page shows is what Claude sees."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from support.kernel import Page, plain
from support.recordings import finished_streams


def texts(request: dict[str, Any]) -> list[str]:
    """The first text of each message of a request."""
    return [
        next(block["text"] for block in message["content"] if block["type"] == "text")
        for message in request["messages"]
    ]


def test_turns_come_back_after_a_restart_with_their_thinking(cold: Page) -> None:
    assert cold.load() == ""
    for name in ("one", "two", "three"):
        cold.run(name, f"%%claude\nquestion {name}")
    cold.save()
    cold.restart(kill=True)
    said = cold.load()
    assert said.startswith("3 turns (20") and "lesson one.ipynb" in said and "$0.0" in said and said.count("\n") == 1
    assert "%%claude? for help" in said  # the line of `%load_ext` is no line more
    cold.run("four", "%%claude\nquestion four")
    (request,) = cold.requests()
    assert texts(request)[::2] == [f"question {name}" for name in ("one", "two", "three", "four")]
    assert sum(block["type"] == "thinking" for message in request["messages"] for block in message["content"]) == 3


def test_run_all_sends_the_same_on_a_live_kernel_after_a_restart_and_in_nbclient(page: Page) -> None:
    cells = {"one": "%%claude\nfirst", "two": "%%claude --effort low\nsecond", "three": "%claude third"}

    def run_all() -> list[Any]:
        page.load()
        before = len(page.requests())
        for cell_id, source in cells.items():
            assert page.run(cell_id, source).error is None
        return [request["messages"] for request in page.requests()[before:]]

    first = run_all()
    again = run_all()
    page.save()
    page.restart()
    restarted = run_all()
    page.restart()
    page.kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    for source in cells.values():
        page.kernel.run(source)
    headless = [request["messages"] for request in page.requests()]
    assert [texts({"messages": each}) for each in first] == [texts({"messages": each}) for each in headless]
    assert first == again == restarted == headless


def test_a_notebook_without_turns_imports_nothing_to_find_out(cold: Page) -> None:
    cold.save()
    cold.run("load", "%load_ext claude_magic")
    heavy = "[m for m in ('nbformat', 'anthropic', 'genai_prices', 'claude_magic.session.session') if m in sys.modules]"
    assert (
        cold.kernel.evaluate(
            f"(__import__('sys'), [{heavy[1:-1]}])[1]".replace("sys.modules", "__import__('sys').modules")
        )
        == []
    )


def test_deleted_cells_told_with_the_load_stay_away(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.run("two", "%%claude\nsecond")
    page.save()
    page.restart()
    page.run("load", "%load_ext claude_magic", deleted=["one"])
    page.run("provider", "%config ClaudeMagic.provider = 'offline'")
    page.run("three", "%%claude\nthird")
    assert texts(page.requests()[-1])[::2] == ["second", "third"]


def test_renaming_the_notebook_while_it_runs_is_survived(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.save()
    moved = page.path.with_name("renamed.ipynb")
    page.path.rename(moved)
    page.path = moved
    page.run("two", "%%claude\nsecond")
    page.save()
    assert "no turns beyond those here" in page.run("resume", "%claude_resume").text
    assert texts(page.requests()[-1])[::2] == ["first", "second"]
    assert "session.path" and page.kernel.evaluate(
        "str(__import__('claude_magic').magics.kernel_of(get_ipython()).session.path)"
    ) == str(moved)


def test_undo_shows_and_remembers_the_earlier_answer(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    answer = page.cells["one"][1][0]["metadata"]["claude_magic"]["turn"]["id"]
    page.run("one", "%%claude\nfirst, said otherwise")
    undone = page.run("undo", "%claude_undo")
    assert undone.error is None and "Brought back 1 turn" in undone.shown("text/plain")[0]
    assert page.cells["one"][1][0]["metadata"]["claude_magic"]["turn"]["id"] == answer
    page.run("two", "%%claude\nsecond")
    assert texts(page.requests()[-1])[::2] == ["first", "second"]
    page.save()
    page.restart()
    page.load()
    page.run("three", "%%claude\nthird")
    assert texts(page.requests()[-1])[::2] == ["first", "second", "third"]
    assert "Nothing to bring back" in page.run("undo", "%claude_undo").text


def test_undo_is_remembered_where_the_page_no_longer_listened(page: Page) -> None:
    """After a reload of the page its cell keeps the new answer: the file has both, and says which counts."""
    page.load()
    page.run("one", "%%claude\nfirst")
    page.run("one", "%%claude\nanother")
    page.kernel.displays.clear()
    page.run("undo", "%claude_undo")
    page.save()
    page.restart()
    page.load()
    page.run("two", "%%claude\nsecond")
    assert texts(page.requests()[-1])[::2] == ["first", "second"]


def test_a_reset_holds_after_a_restart(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.run("over", "%claude_reset")
    page.run("two", "%%claude\nsecond")
    page.save()
    page.restart()
    page.load()
    page.run("three", "%%claude\nthird")
    assert texts(page.requests()[-1])[::2] == ["second", "third"]


def test_two_notebooks_on_one_kernel_do_not_mix(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.save()
    mine, other = page.name, "another page"
    page.name = other
    page.run("b-load", "%load_ext claude_magic")
    page.run("b-one", "%%claude\nsomething else")
    assert texts(page.requests()[-1]) == ["something else"]
    page.name = mine
    page.run("two", "%%claude\nsecond")
    assert texts(page.requests()[-1])[::2] == ["first", "second"]
    page.name = "the first page, reloaded"
    page.run("one", "%%claude\nfirst again")
    page.run("new", "%%claude\nthird")
    assert texts(page.requests()[-1])[::2] == ["first again", "second", "third"]


def test_a_conversation_is_taken_up_in_another_notebook_and_comes_back_there(page: Page, tmp_path: Path) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.run("talk", "%%claude --chat other\nelsewhere")
    assert page.run("export", "%claude_export talk.json").error is None
    page.save()
    for source in (page.path.name, "talk.json"):
        other = Page(tmp_path / f"other {source[:4]}.ipynb")
        other.load()
        taken = other.run("take", f"%claude_resume '{source}'")
        assert taken.error is None and "2 turns" in taken.shown("text/plain")[0]
        other.run("go", "%%claude\nsecond")
        assert texts(other.requests()[-1])[::2] == ["first", "second"]
        other.save()
        other.restart()
        assert other.load().startswith("3 turns")
        other.run("on", "%%claude\nthird")
        assert texts(other.requests()[-1])[::2] == ["first", "second", "third"]
        other.kernel.stop()


def test_a_reply_that_the_kernel_died_in_is_recovered_to_the_last_event(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.save()
    page.run("slow", STAND_IN + ".pace = 20")

    def kill(message: dict[str, Any]) -> None:
        if len(str(message["content"].get("data", {}).get("text/html", ""))) > 100:
            raise Killed

    with pytest.raises(Killed):
        page.run("two", "%%claude\n[[long 400]] word", on_message=kill)
    page.restart(kill=True)
    said = page.load()
    assert "1 reply is not in this notebook: %claude_recover shows it" in said
    recovered = page.run("recover", "%claude_recover")
    assert recovered.error is None and "1 turn" in recovered.shown("text/plain")[0]
    assert "[[long 400]]" in "".join(recovered.shown("text/plain"))
    page.run("three", "%%claude\nthird")
    assert texts(page.requests()[-1])[::2] == ["first", "[[long 400]] word", "third"]
    page.save()
    page.restart()
    assert page.load().startswith("3 turns")
    assert "Nothing to recover" in page.run("recover again", "%claude_recover").text
    page.run("four", "%%claude\nfourth")
    assert texts(page.requests()[-1])[::2] == ["first", "[[long 400]] word", "third", "fourth"]


def test_a_reply_whose_page_was_closed_is_recovered(page: Page) -> None:
    page.load()
    page.save()
    page.run("one", "%%claude\nfirst")
    page.cells.pop("one")
    page.name = "the page, opened again"
    recovered = page.run("recover", "%claude_recover")
    assert "1 turn" in recovered.shown("text/plain")[0]
    page.save()
    assert "Nothing to recover" in page.run("again", "%claude_recover").text
    page.run("two", "%%claude\nsecond")
    assert texts(page.requests()[-1])[::2] == ["first", "second"]


def test_no_journal_where_it_is_turned_off(page: Page) -> None:
    page.load()
    page.run("off", "%config ClaudeMagic.journal = False")
    page.run("one", "%%claude\nfirst")
    assert not list((page.path.parent / "data").rglob("*.jsonl"))
    page.run("on", "%config ClaudeMagic.journal = True")
    page.run("two", "%%claude\nsecond")
    (kept,) = (page.path.parent / "data").rglob("*.jsonl")
    assert kept.stat().st_mode & 0o777 == 0o600


def test_replay_answers_from_the_record_with_no_key_and_no_network(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.run("two", "%%claude\nsecond")
    page.save()
    page.restart()
    page.load(provider="anthropic")
    page.run("only", "%config ClaudeMagic.replay = 'only'\n%config ClaudeMagic.replay_speed = 0")
    for cell_id, source in (("one", "%%claude\nfirst"), ("two", "%%claude\nsecond")):
        before = page.cells[cell_id][1]
        run = page.run(cell_id, source)
        assert run.error is None
        assert run.turn()["messages"] == before[0]["metadata"]["claude_magic"]["turn"]["messages"]
        assert "replayed, $0.00 now, $0.0" in run.shown("text/plain")[0]
    refused = page.run("two", "%%claude\nsecond thoughts")
    assert refused.error and "thoughts" in plain(refused.error["traceback"])
    assert "KeyError" not in str(refused.outputs)


STAND_IN = "__import__('claude_magic').magics.kernel_of(get_ipython()).session.client.offline"


class Killed(Exception):
    """The moment has come."""


def test_export_and_show_code_write_what_was_said(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    for form in ("md", "html", "py", "json"):
        run = page.run("export", f"%claude_export 'the talk.{form}'")
        assert run.error is None and "1 turn" in run.text
        assert "first" in (page.path.parent / f"the talk.{form}").read_text()
    code = page.run("code", "%%claude --show-code\nsecond").text
    assert "import anthropic" in code and "second" in code and "first" in code
    assert len(page.requests()) == 1
    assert os.listdir(page.path.parent)


def test_every_recording_survives_the_file_and_the_replay_byte_for_byte(page: Page, corpus: str) -> None:
    cases = [case["id"] for case in finished_streams()]
    page.load(provider="anthropic")
    page.run("key", "import os; os.environ['ANTHROPIC_API_KEY'] = 'sk-ant-test'")
    first = {}
    for case in cases:
        page.run("where", f"os.environ['ANTHROPIC_BASE_URL'] = '{corpus}/case/{case}'")
        run = page.run(case, f"%%claude --chat {case}\nquestion {case}")
        assert run.error is None, run.error
        first[case] = run.turn()
    page.save()
    page.restart()
    assert page.load(provider="anthropic").startswith(f"{len(cases)} turns")
    page.run("only", "%config ClaudeMagic.replay = 'only'\n%config ClaudeMagic.replay_speed = 0")
    for case in cases:
        run = page.run(case, f"%%claude --chat {case}\nquestion {case}")
        assert run.error is None, (case, run.error)
        assert json.dumps(run.turn()["messages"], sort_keys=True) == json.dumps(first[case]["messages"], sort_keys=True)
        assert run.turn()["calls"] == [{**call, "replayed": True} for call in first[case]["calls"]]


def test_a_pinned_file_stands_before_the_conversation_and_comes_back(page: Page) -> None:
    page.load()
    (page.path.parent / "notes.txt").write_text("the notes " * 30)
    page.run("pin", "%claude_pin notes.txt --ttl 1h")
    page.run("one", "%%claude\nfirst")
    page.save()
    page.restart()
    page.load()
    page.run("two", "%%claude\nsecond")
    content = page.requests()[-1]["messages"][0]["content"]
    assert [block["type"] for block in content] == ["document", "text"]
    assert content[0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert content[0]["source"]["data"].startswith("the notes")
    assert "thinking" in str(page.requests()[-1]["messages"][1]["content"][0]["type"])
    page.run("gone", "%claude_unpin notes.txt")
    page.save()
    page.restart()
    page.load()
    page.run("three", "%%claude\nthird")
    assert [block["type"] for block in page.requests()[-1]["messages"][0]["content"]] == ["text"]
    refused = page.run("binary", "%claude_pin no_such_thing")
    assert refused.error and "no_such_thing" in str(refused.error)
