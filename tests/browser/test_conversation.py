"""A conversation stays with the notebook's cells, whatever happens to cells, files and kernels."""

from __future__ import annotations

import re
from contextlib import closing

import pytest

from support.jupyterlab import LOAD, NAME, Page, begin
from support.offline_requests import prompts, sent_back
from support.page_replies import CONTENT, THINKING, clean_file, nothing_strange
from support.steered_server import SteeredServer

pytestmark = pytest.mark.browser

ASKED = ["My name is Ada.", "Remember the owl.", "Say it again."]
ASKING = [f"%%claude\n{question}" for question in ASKED]
NO_KEY = """import os
for name in [each for each in os.environ if each.startswith("ANTHROPIC_")]:
    del os.environ[name]
%config ClaudeMagic.replay = "only"
%config ClaudeMagic.replay_speed = 0.01"""


def test_the_conversation_follows_the_cells(lab: Page, server: SteeredServer) -> None:
    """A deleted cell is forgotten, and so is one that was cut, until it was pasted and saved; one that is moved, added
    or copied is not."""
    begin(lab, ["%%claude\nMy name is Ada.", "%%claude\nRemember the owl.", "%claude Say it again."])
    lab.run_all()
    lab.wait_done(3)
    lab.delete_cell(2)
    lab.move_cell(1, 2)
    lab.add_cell("%claude And now.", below=2)
    lab.finish(3)
    assert prompts(server) == ["My name is Ada.", "Say it again.", "And now."]
    lab.cut_cell(2)
    lab.finish(2)
    assert prompts(server) == ["Say it again.", "And now."]
    lab.paste_cell(below=2)
    lab.save()
    lab.copy_cell(1)
    lab.paste_cell(below=3)
    lab.finish(4)
    assert prompts(server) == ["My name is Ada.", "Say it again.", "And now.", "Say it again."]


def test_a_killed_kernel_takes_nothing_that_was_saved_with_it(either: Page, server: SteeredServer) -> None:
    page = either
    begin(page, [*ASKING, "%%claude\nWhat is my name?"])
    for cell in (1, 2, 3):
        page.finish(cell)
    page.save()
    page.kill_kernel()
    page.reload()
    page.finish(0)
    page.wait_text(0, f"came back from {NAME}.")
    assert re.match(r"3 turns \(20\S+, \$0\.\d+\) came back from", page.text(0))
    page.finish(4)
    assert prompts(server) == [*ASKED, "What is my name?"]
    assert len(sent_back(server, "thinking")) == 3
    nothing_strange(page)


def test_an_undone_run_shows_the_earlier_answer_in_its_cell_for_good(lab: Page, server: SteeredServer) -> None:
    server.script = lambda body: [THINKING, {"type": "text", "text": f"Answer {len(server.requests)}."}]
    begin(lab, ["%%claude\nWhich one is it?", "%claude_undo", "%%claude\nAnd?"])
    lab.finish(1)
    lab.wait_text(1, "Answer ")
    earlier = lab.text(1)
    lab.finish(1)
    lab.wait_until("!bed.text(1).includes(given)", earlier)
    lab.finish(2)
    lab.wait_text(2, "Brought back 1 turn")
    lab.wait_until("bed.text(1) === given", earlier)
    lab.finish(3)
    assert sent_back(server, "text") == [earlier.splitlines()[-1]]
    lab.save()
    lab.reload()
    lab.wait_until("bed.text(1) === given", earlier)
    nothing_strange(lab)
    clean_file(lab)


def test_a_renamed_notebook_and_another_on_its_kernel_keep_their_own_turns(lab: Page, server: SteeredServer) -> None:
    with (
        closing(lab.lab.open("draft.ipynb", [LOAD, *ASKING, "%%claude\nAfter all."])) as page,
        closing(lab.lab.open("other.ipynb", [LOAD, "%%claude\nElsewhere.", "%%claude\nStill there."])) as other,
    ):
        page.finish(0)
        page.finish(1)
        page.save()
        page.rename("final.ipynb")
        page.finish(2)
        other.share_kernel(page)
        other.finish(0)
        other.finish(1)
        assert prompts(server) == ["Elsewhere."]
        page.finish(3)
        assert prompts(server) == ASKED
        page.save()
        other.save()
        page.restart()
        page.finish(0)
        page.wait_text(0, "came back from final.ipynb")
        page.finish(4)
        assert prompts(server) == [*ASKED, "After all."]
        other.finish(0)
        other.wait_text(0, "came back from other.ipynb")
        other.finish(2)
        assert prompts(server) == ["Elsewhere.", "Still there."]


def test_a_class_replays_the_notebook_with_no_key_and_no_request(lab: Page, server: SteeredServer) -> None:
    """Under the panel, which says so, until it is stopped; and Run All at once, where that is wanted."""
    server.script = lambda body: CONTENT
    begin(lab, ASKING)
    lab.run_all()
    lab.wait_done(3)
    lab.save()
    lab.restart()
    try:
        lab.finish(0)
        lab.execute(NO_KEY)
        replays(lab, server)
    finally:
        lab.restart()  # with the key


def replays(page: Page, server: SteeredServer) -> None:
    """Stop a slow replay, whose reply is whole all the same; then replay all, as fast as can be."""
    asked = len(server.requests)
    page.run(1)
    page.panel(1).get_by_text("replayed from the notebook").wait_for()
    page.panel(1).get_by_role("button", name="Stop").click()
    page.wait_done(1)
    page.wait_text(1, "Omega: the reply ends.")
    page.execute("%config ClaudeMagic.replay_speed = 0")
    page.run_all()
    page.wait_done(3)
    for cell in (1, 2, 3):
        page.wait_text(cell, "Omega: the reply ends.")
        assert re.search(r"replayed, \$0\.00 now, \$0\.\d+ when recorded", page.text(cell).splitlines()[0])
        assert not [each for each in page.outputs(cell) if each["output_type"] == "error"]
    assert len(server.requests) == asked
    nothing_strange(page)
