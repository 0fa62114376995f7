"""Notebooks whose cells have no ids in the file, before nbformat 4.5 and of Colab: what came back goes along, once."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nbformat.v4 import new_output

from claude_magic.conversation.turns import Turn
from claude_magic.notebook import reader
from claude_magic.notebook.cell import Cell
from claude_magic.options import Options
from claude_magic.render.answer import answer_outputs
from claude_magic.render.turn import header_output
from claude_magic.session.question import NO_REPLAY, Question
from claude_magic.session.session import Session
from support.kernel import Page
from support.sessions import OFFLINE, Reader, dialogue

RUNS = itertools.count()
MOMENTS = itertools.count(1)


# What a cell has in the file, by its position and the id that the page has for it.
Keys = Callable[[int, Any], dict[str, Any]]


class Talk:
    """A page and its file: cells as (source, turn, id in the file), and the session that reads them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.session = Session()
        self.page = "page 1"
        self.cells: list[tuple[str, Turn | None, dict[str, Any]]] = []

    def start_again(self) -> None:
        """Start a new kernel, and load the extension, on a new page."""
        self.session = Session()
        self.page = f"page {next(RUNS)}"
        self.session.use(path=self.path, journal=None, budget=None, extra_body={})
        self.session.chats.restore(reader.read(self.path))

    def ask(self, prompt: str, cell_id: str | None) -> list[str]:
        """Run a cell. Returns the questions of its request."""
        source = f"%%claude\n{prompt}"
        cell = Cell(cell_id, f"run {next(RUNS)}", source, page=self.page)
        self.session.path = self.path
        question = Question(Options(), [{"type": "text", "text": prompt}], cell, replay=NO_REPLAY)
        outcome = self.session.ask(question, OFFLINE, Reader())
        assert outcome.failure is None
        if cell_id is not None:
            self.cells = [each for each in self.cells if each[2]["frontend"] != cell_id]
        self.cells.append((source, outcome.turn, {"frontend": cell_id}))
        sent = self.session.client.offline.requests[-1]["messages"]
        return [words for role, words in dialogue(sent) if role == "user"]

    def save(self, keys: Keys = lambda at, cell_id: {}, minor: int = 4) -> None:
        """Write the page's file. `keys` gives what a cell has there beside its source and outputs."""
        cells = [
            {"cell_type": "code", "execution_count": at, "metadata": {}, "source": source, "outputs": _outputs(turn)}
            | keys(at, about["frontend"])
            for at, (source, turn, about) in enumerate(self.cells)
        ]
        self.path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": minor}))
        os.utime(self.path, (0, next(MOMENTS)))


def _outputs(turn: Turn | None) -> list[Any]:
    if turn is None:
        return []
    header, metadata = header_output(turn)
    bundles = [(header, metadata), *((bundle, {}) for bundle in answer_outputs(turn))]
    return [new_output("display_data", data=data, metadata=metadata) for data, metadata in bundles]


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    made = Talk(tmp_path / "old.ipynb")
    for name in ("one", "two", "three"):
        made.ask(name, name)
    return made


FORMS: dict[str, tuple[Keys, int]] = {
    "none": (lambda at, cell_id: {}, 4),
    "of Colab": (lambda at, cell_id: {"metadata": {"id": f"colab{at}"}}, 0),
    "some": (lambda at, cell_id: {"id": cell_id} if at % 2 else {}, 5),
    "some new": (lambda at, cell_id: {"id": f"new{at}"} if at == 1 else {}, 5),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.slow
def test_what_came_back_goes_along_and_a_cell_that_runs_again_is_not_doubled(talk: Talk, form: str) -> None:
    talk.save(*FORMS[form])
    talk.start_again()
    assert talk.ask("four", "x4") == ["one", "two", "three", "four"]
    talk.save(*FORMS[form])
    assert talk.ask("two", "two" if form == "some" else "new1") == ["one", "two"]
    assert talk.ask("four", "x4") == ["one", "two", "three", "four"]
    assert talk.ask("five", "x5") == ["one", "two", "three", "four", "five"]


def test_a_cell_of_colab_is_known_by_its_id_when_it_was_edited(talk: Talk) -> None:
    talk.save(*FORMS["of Colab"])
    talk.start_again()
    assert talk.ask("two, edited", "colab1") == ["one", "two, edited"]
    assert talk.ask("four", "colab3") == ["one", "two, edited", "three", "four"]


def test_the_same_page_and_a_new_one_on_a_living_kernel(talk: Talk) -> None:
    assert talk.ask("one", "again") == ["one", "two", "three", "one"]  # a new cell with the same words
    talk.save()
    talk.page = "page 2"
    assert talk.ask("two", "r2") == ["one", "two"]
    assert talk.ask("two", "r2") == ["one", "two"]
    assert talk.ask("one", "r1") == ["one", "two", "three", "one"]  # behind the cell that ran last
    assert talk.ask("one", "r0") == ["one"]
    assert talk.ask("two", "copy") == ["one", "two", "three", "one", "two"]


def test_equal_cells_are_told_by_their_place(tmp_path: Path) -> None:
    talk = Talk(tmp_path / "old.ipynb")
    for cell_id, prompt in [("a", "go on"), ("b", "other"), ("c", "go on"), ("d", "go on")]:
        talk.ask(prompt, cell_id)
    talk.save()
    talk.start_again()
    for count, (cell_id, prompt) in enumerate([("w", "go on"), ("x", "other"), ("y", "go on"), ("z", "go on")], 1):
        assert talk.ask(prompt, cell_id) == ["go on", "other", "go on", "go on"][:count]


def test_a_cell_that_leaves_the_file_leaves_the_conversation(talk: Talk) -> None:
    talk.save()
    talk.start_again()
    talk.cells = [each for each in talk.cells if "two" not in each[0]]
    talk.save()
    assert talk.ask("four", "x4") == ["one", "three", "four"]
    talk.cells = talk.cells[1:]
    talk.save()
    assert talk.ask("five", "x5") == ["three", "four", "five"]


def test_a_cell_that_comes_back_to_the_file_comes_back(talk: Talk) -> None:
    talk.save()
    talk.start_again()
    cells = list(talk.cells)
    talk.cells = cells[1:]
    talk.save()
    assert talk.ask("four", "x4") == ["two", "three", "four"]
    talk.cells = [*cells, talk.cells[-1]]
    talk.save()
    assert talk.ask("five", "x5") == ["one", "two", "three", "four", "five"]


def test_a_cell_whose_outputs_are_cleared_stays(talk: Talk) -> None:
    talk.save()
    talk.start_again()
    talk.cells = [(source, None if "two" in source else turn, about) for source, turn, about in talk.cells]
    talk.save()
    assert talk.ask("four", "x4") == ["one", "two", "three", "four"]


def test_a_file_that_is_older_than_a_run_takes_nothing_away(talk: Talk) -> None:
    talk.save()
    assert talk.ask("two", "two") == ["one", "two"]
    os.utime(talk.path, (0, next(MOMENTS)))  # saved, still with the earlier answer
    assert talk.ask("four", "x4") == ["one", "two", "three", "four"]


def test_an_edited_cell_is_one_again_when_it_is_saved(talk: Talk) -> None:
    talk.save()
    talk.start_again()
    talk.ask("two, edited", "x2")
    talk.cells = [each for each in talk.cells if each[0] != "%%claude\ntwo"]
    talk.save()
    assert talk.ask("four", "x4") == ["one", "three", "two, edited", "four"]


@pytest.mark.slow
def test_turns_without_a_cell_id_come_back_in_their_place(tmp_path: Path) -> None:
    talk = Talk(tmp_path / "old.ipynb")
    for cell_id, prompt in [(None, "one"), ("b", "two"), (None, "three")]:
        talk.ask(prompt, cell_id)  # nbclient sends none
    talk.save()
    talk.start_again()
    assert talk.ask("four", "x4") == ["one", "two", "three", "four"]
    assert talk.ask("one", "x1") == ["one"]
    talk.cells = [each for each in talk.cells if "three" not in each[0]]
    talk.save()
    assert talk.ask("five", "x5") == ["one", "two", "four", "five"]


def test_pasted_copies_keep_the_place_of_the_original(talk: Talk) -> None:
    talk.cells.append(talk.cells[0])
    talk.save()
    talk.start_again()
    assert talk.ask("four", "x4") == ["one", "two", "three", "four"]


# --- in a kernel --------------------------------------------------------------------------------------


def without_ids(page: Page) -> None:
    document = json.loads(page.path.read_text("utf-8"))
    cells = [{key: value for key, value in cell.items() if key != "id"} for cell in document["cells"]]
    page.path.write_text(json.dumps({**document, "cells": cells, "nbformat_minor": 4}), "utf-8")


@pytest.mark.kernel
def test_a_notebook_of_nbformat_4_4_goes_on_after_a_restart_and_on_a_reloaded_page(page: Page) -> None:
    page.load()
    page.run("one", "%%claude\nfirst")
    page.save()
    without_ids(page)
    page.restart()
    page.name = "a new page"
    assert page.run("load-2", "%load_ext claude_magic").text.startswith("1 turn (")
    page.run("provider-2", "%config ClaudeMagic.provider = 'offline'")

    def questions() -> list[str]:
        messages = page.requests()[-1]["messages"]
        return [message["content"][0]["text"] for message in messages if message["role"] == "user"]

    page.run("two", "%%claude\nsecond")
    assert questions() == ["first", "second"]
    page.run("one-2", "%%claude\nfirst")
    assert questions() == ["first"]
    del page.cells["one"]
    page.save()
    without_ids(page)
    page.name = "reloaded"
    assert "turn" not in page.run("load-3", "%load_ext claude_magic").text
    assert "not in this notebook" not in page.run("history", "%claude_history").text
    page.run("three", "%%claude\nthird")
    assert questions() == ["first", "second", "third"]
