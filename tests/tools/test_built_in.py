"""Tools in a real kernel: those that are built in, who may run, and what they show."""

from __future__ import annotations

from typing import Any

import pytest

from claude_magic.tools import approval
from support.kernel import Kernel
from support.sessions import RUNS
from support.turns import call
from support.turns import text as said

IN_A_NOTEBOOK = """
%load_ext claude_magic
%config ClaudeMagic.provider = "offline"
%matplotlib inline
import asyncio, os
import matplotlib.pyplot as plt
import pandas as pd
df = pd.DataFrame({"a": [1, 2, 3]})
def plot(points: int):
    "Plot so many points."
    plt.plot(range(points))
async def slow(x: int) -> int:
    "Wait."
    await asyncio.sleep(0)
    return x
asked = __import__('claude_magic').magics.kernel_of(get_ipython()).session.client.offline
def script(body):
    content = [block for message in body["messages"] for block in message["content"]]
    done = sum(block["type"] == "tool_result" for block in content)
    return [steps[done]] if done < len(steps) else [{"type": "text", "text": "Done."}]
asked.script, steps = script, []
"""


def steps(kernel: Kernel, *calls: tuple[str, dict[str, Any]]) -> None:
    """What Claude calls, one after the other."""
    blocks = [call(number, name, **given) for number, (name, given) in enumerate(calls)]
    kernel.run(f"steps[:] = {blocks!r}\nasked.requests.clear()\n%claude_reset")


@pytest.fixture(scope="module")
def loaded(kernel: Kernel) -> Kernel:
    assert kernel.run(IN_A_NOTEBOOK).error is None
    (kernel.folder / "data.csv").write_text("a,b\n1,2\n")
    (kernel.folder / ".env").write_text("KEY=1")
    (kernel.folder / "out").symlink_to("/etc")
    return kernel


@pytest.fixture
def notebook(loaded: Kernel) -> Kernel:
    """A kernel in which the reader is asked, as it is unless set otherwise."""
    loaded.run("%config ClaudeMagic.approve = 'ask'")
    return loaded


def told(kernel: Kernel, cell: str, **watch: Any) -> tuple[Any, list[Any]]:
    """Run a cell; its outputs, and what Claude was told of each call."""
    run = kernel.run(cell, f"cell {next(RUNS)}", **watch)
    assert run.error is None, run.error
    results = [block for message in run.turn()["messages"][2::2] for block in message["content"]]
    return run, [(each.get("is_error", False), each["content"]) for each in results]


def test_without_a_person_a_tool_that_asks_is_refused_before_anything_is_sent(notebook: Kernel) -> None:
    steps(notebook, ("slow", {"x": 3}))
    run = notebook.run("%%claude --tools slow\nGo.", "lonely")
    assert run.error and "nobody can be asked" in run.error["evalue"] and notebook.evaluate("len(asked.requests)") == 0


def test_what_is_built_in_only_reads_unasked_and_stays_in_the_folder(notebook: Kernel) -> None:
    paths = ("data.csv", ".", "../x", "/etc/passwd", "out/passwd", ".env", "nope.txt")
    steps(notebook, ("variables", {}), *(("read_file", {"path": path}) for path in paths))
    _, ((_, names), data, listed, *refused) = told(notebook, "%%claude --tools variables,read_file\nGo.")
    assert "df: pandas.DataFrame of shape 3 × 1, columns a" in names[0]["text"] and "asked:" in names[0]["text"]
    assert (
        data == (False, [said("a,b\n1,2")])
        and "data.csv" in listed[1][0]["text"]
        and ".env" not in listed[1][0]["text"]
    )
    assert all(failed for failed, _ in refused) and "not in the notebook's folder" in refused[0][1][0]["text"]


def test_figures_frames_and_coroutines_come_back_from_python_and_functions(notebook: Kernel) -> None:
    notebook.run("%config ClaudeMagic.approve = 'always'\nos.environ['ANTHROPIC_API_KEY'] = 'sk-ant-api03-abcabcabc'")
    sources = (
        "total = df.a.sum()\nprint(os.environ.get('ANTHROPIC_API_KEY'))\ntotal",
        "1/0",
        "df",
        "%time 1",
        "await slow(4)",
    )
    steps(notebook, ("plot", {"points": 3}), ("slow", {"x": 5}), *(("python", {"code": code}) for code in sources))
    run, results = told(notebook, "%%claude --tools plot,slow,python\nGo.")
    plotted, waited, summed, failed, frame, magic, awaited = results
    assert plotted[1][0]["source"]["type"] == "sha256" and len(run.shown("image/png")) == 1
    assert waited == (False, [said("5")]) and summed == (False, [said("None\n6")]) and awaited == (False, [said("4")])
    assert failed[0] and failed[1][0]["text"].startswith("ZeroDivisionError") and "1/0" in failed[1][0]["text"]
    assert "DataFrame" in frame[1][0]["text"] and magic[0] and "SyntaxError" in magic[1][0]["text"]
    assert notebook.evaluate("[int(total), os.environ['ANTHROPIC_API_KEY'][:6]]") == [6, "sk-ant"]
    assert run.text == "" and run.shown("text/markdown")[-1].endswith("\n\nDone.")


def test_the_settings_of_who_may_run_are_checked(notebook: Kernel) -> None:
    assert "approve is one of" in notebook.run("%config ClaudeMagic.approve = 'maybe'").text
    steps(notebook, ("slow", {"x": 3}))
    notebook.run("%config ClaudeMagic.approve = {'slow': 'never'}")
    _, ((failed, content),) = told(notebook, "%%claude --tools slow\nGo.")
    assert failed and content == approval.SET_TO_NEVER


@pytest.mark.parametrize("panel", [True, False])
def test_a_frontend_whose_clicks_do_not_arrive_is_asked_by_a_line(notebook: Kernel, panel: bool) -> None:
    notebook.run(
        "from claude_magic.render.live import clicks\npatience, clicks.PAGE_SECONDS = clicks.PAGE_SECONDS, 0.2"
    )
    notebook.run(f"%config ClaudeMagic.panel = {panel}")
    steps(notebook, ("slow", {"x": 3}), ("slow", {"x": 4}))
    run, results = told(notebook, "%%claude --tools slow\nGo.", typed="a")
    notebook.run("clicks.PAGE_SECONDS = patience\n%config ClaudeMagic.panel = True")
    assert results == [(False, [said("3")]), (False, [said("4")])]
    assert run.text.count("Claude calls slow with") == 1
    assert any("waiting for you: may slow run?" in str(message["content"]) for message in run.messages)
