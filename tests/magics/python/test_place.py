"""`ask` in scripts without IPython, and in the cells of a real kernel, with the magics loaded or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kernel import Kernel, Page, Run, plain
from support.steered_server import KEY, SteeredServer

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def server() -> Iterator[SteeredServer]:
    with SteeredServer() as running:
        yield running


def script(server: SteeredServer, folder: Path, *lines: str, **environment: str) -> subprocess.Popen[str]:
    """A program that asks, in a process of its own."""
    (folder / "program.py").write_text("\n".join(lines))
    settings = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": KEY, "JUPYTER_DATA_DIR": str(folder / "data")}
    return subprocess.Popen(
        [sys.executable, "-W", "default", "program.py"],
        cwd=folder,
        env={**os.environ, **settings, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_script_has_a_conversation_of_its_own_and_needs_no_ipython(server: SteeredServer, tmp_path: Path) -> None:
    running = script(
        server,
        tmp_path,
        "import asyncio, json, sys",
        "from claude_magic import aask, ask, config",
        "ask('My name is Ada.')",
        "name = ask('What is my name?')",
        "async def both(): return await asyncio.gather(aask('one'), aask('two'))",
        "replies = asyncio.run(both())",
        "asyncio.run(both())",
        "config.budget = 0.000001",
        "try: ask('three')",
        "except Exception as error: refused = str(error)",
        "heavy = [each for each in ('IPython', 'ipywidgets', 'nbformat') if each in sys.modules]",
        "print(json.dumps([name, name.usage, [*map(str, replies)], refused, heavy]))",
    )
    shown, errors = running.communicate(timeout=60)
    name, usage, replies, refused, heavy = json.loads(shown)
    assert "Ada" in name and usage["output_tokens"] and "one" in replies[0] and "two" in replies[1]
    assert "budget" in refused and heavy == [] and errors == ""
    assert not (tmp_path / "data").exists()


def test_a_script_may_show_the_reply_and_a_value_and_run_a_tool(server: SteeredServer, tmp_path: Path) -> None:
    running = script(
        server,
        tmp_path,
        "from claude_magic import ask, config",
        "config.approve = 'always'",
        "def weather(city: str) -> str:",
        "    'The weather.'",
        "    return 'sun in ' + city",
        "ask('get weather for Oslo', {'a': 1}, tools='weather', show=True)",
    )
    shown, errors = running.communicate(timeout=60)
    assert "sun in" in shown and "tokens in" in shown and errors == ""


def test_the_first_questions_of_a_script_may_come_from_several_threads(server: SteeredServer, tmp_path: Path) -> None:
    running = script(
        server,
        tmp_path,
        "from concurrent.futures import ThreadPoolExecutor",
        "from claude_magic import ask",
        "with ThreadPoolExecutor(8) as pool: replies = list(pool.map(ask, map(str, range(8))))",
        "from claude_magic.magics.python import place",
        "print(len(place.kernel().session.chats.turns))",
    )
    shown, errors = running.communicate(timeout=60)
    assert (shown, errors) == ("8\n", "")


def test_without_a_key_one_line_says_what_to_do(server: SteeredServer, tmp_path: Path) -> None:
    lines = ("from claude_magic import ask", "ask('Hello')")
    _, errors = script(server, tmp_path, *lines, ANTHROPIC_API_KEY="").communicate(timeout=60)
    assert "claude_magic.errors.CredentialsError: " in errors.splitlines()[-1]


def test_an_interrupt_keeps_what_had_arrived(server: SteeredServer, tmp_path: Path) -> None:
    calls = ["ask('A story')", "asyncio.run(aask('A story'))", "asyncio.run(both())"]
    running = script(
        server,
        tmp_path,
        "import asyncio, signal, sys",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",
        "from claude_magic import aask, ask, errors",
        "from claude_magic.magics.python import place",
        "async def both(): await asyncio.gather(aask('A story'), aask('B'))",
        "for call in sys.stdin:",
        "    before = len(place.kernel().session.spent)",
        "    try: exec(call)",
        "    except (errors.ReplyInterrupted, KeyboardInterrupt) as error: print(type(error).__name__)",
        "    session = place.kernel().session",
        "    print([turn.status for turn in session.spent][before:], session._under_way, flush=True)",
    )
    with running:
        for call in calls:
            kind, statuses = interrupted(running, call, server)
            assert kind == ("ReplyInterrupted" if call.startswith("ask") else "KeyboardInterrupt"), call
            assert "'interrupted'" in statuses and statuses.endswith("[]"), call
        assert running.communicate(timeout=20) == ("", "")


def interrupted(running: subprocess.Popen[str], call: str, server: SteeredServer) -> tuple[str, str]:
    """The two lines that a program prints of a call that is interrupted when a part of each reply has arrived."""
    assert running.stdin and running.stdout
    server.hold(10 * (1 + ("both" in call)))
    try:
        print(call, file=running.stdin, flush=True)
        server.wait_until_held()
        time.sleep(0.2)  # for the last of them to be read
        running.send_signal(signal.SIGINT)
        return running.stdout.readline().strip(), running.stdout.readline().strip()
    finally:
        server.release()


@pytest.fixture(scope="module")
def kernel(server: SteeredServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel without the magics."""
    running = Kernel(tmp_path_factory.mktemp("ask"), ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY=KEY)
    running.run("import asyncio, claude_magic\nfrom claude_magic import aask, ask", "imports")
    yield running
    running.stop()


@pytest.fixture
def fresh(kernel: Kernel, server: SteeredServer) -> Kernel:
    server.requests.clear()
    kernel.run("claude_magic.magics.python.place.kernel().session.chats.reset('main')", "reset")
    return kernel


def prompts(server: SteeredServer) -> list[str]:
    """The prompts in the last request."""
    users = (message for message in server.requests[-1]["messages"] if message["role"] == "user")
    return ["".join(block.get("text", "") for block in message["content"]) for message in users]


def records(run: Run) -> list[dict[str, Any]]:
    return [
        each["metadata"]["claude_magic"]["turn"] for each in run.outputs if "claude_magic" in each.get("metadata", {})
    ]


def test_a_cell_that_runs_again_replaces_what_it_asked(fresh: Kernel, server: SteeredServer) -> None:
    for numbers in ("'one', 'two'", "'uno', 'dos', 'tres'"):
        fresh.run(f"for word in ({numbers}): ask(word)", "a")
    fresh.run("await asyncio.gather(*map(aask, ('four', 'five')));", "b")
    fresh.run("await asyncio.gather(*map(aask, ('vier', 'fünf')));", "b")
    fresh.run("ask('six');", "c")
    assert prompts(server) == ["uno", "dos", "tres", "vier", "fünf", "six"]
    fresh.run("1", "d", deleted=["a"])
    fresh.run("ask('six');", "c")
    assert prompts(server) == ["vier", "fünf", "six"]


def test_a_reply_shows_itself_once_and_leaves_its_record(fresh: Kernel) -> None:
    silent = fresh.run("reply = ask('Hello')", "a")
    assert [each["data"] for each in silent.outputs] == [{"text/plain": ""}]
    (turn,) = records(silent)
    assert turn["cell_id"] == "a" and turn["messages"][0]["content"][0]["text"] == "Hello"
    assert "<p>" in fresh.run("reply", "b").shown("text/html")[0]
    shown = fresh.run("ask('Hello', show=True)", "c")
    assert [each["output_type"] for each in shown.outputs] == ["display_data", "display_data"]
    assert len(fresh.run("_", "d").shown("text/html")) == 1
    several = fresh.run("await asyncio.gather(*(aask(each, show=True) for each in ('one', 'two')))\nNone", "e")
    assert [turn["messages"][0]["content"][0]["text"] for turn in records(several)] == ["one", "two"]


def test_an_error_is_one_clear_line(fresh: Kernel) -> None:
    for call in ("ask('Hm', effort='much')", "await aask('Hm', effort='much')"):
        run = fresh.run(call, "a")
        assert run.error is not None
        assert plain(run.error["traceback"]).startswith("UsageError: effort wants one of low")
        assert len(run.error["traceback"]) == 1


@pytest.mark.parametrize(
    "call",
    [
        "reply = ask('A story')",
        "reply = await aask('A story', show=True)",
        "await asyncio.gather(aask('A story'), aask('B'))",
        "reply = ask('A story'); await asyncio.sleep(0)",
    ],
)
def test_an_interrupt_ends_it_in_a_line(fresh: Kernel, server: SteeredServer, call: str) -> None:
    def interrupt() -> None:
        server.wait_until_held()
        time.sleep(0.2)  # for the last of them to be read
        fresh.interrupt()

    server.hold(10 * (1 + ("gather" in call)))
    try:
        threading.Thread(target=interrupt).start()
        run = fresh.run(call, "a")
    finally:
        server.release()
    assert run.error is not None and run.seconds < 20
    assert "The reply was interrupted." in plain(run.error["traceback"])
    assert len(plain(run.error["traceback"]).splitlines()) <= 2
    assert all(turn["status"] == "interrupted" for turn in records(run)) and records(run)


def test_a_task_that_outlives_its_cell_keeps_its_place(fresh: Kernel, server: SteeredServer) -> None:
    server.hold(3)
    try:
        fresh.run("task = asyncio.create_task(aask('early'))\nawait asyncio.sleep(0.5)", "a")
    finally:
        server.release()
    fresh.run("ask('late');", "b")
    fresh.run("await task;", "c")
    fresh.run("ask('last');", "d")
    assert sorted(prompts(server)[:2]) == ["early", "late"] and prompts(server)[2:] == ["last"]


def test_the_conversation_comes_back_with_the_notebook(tmp_path: Path) -> None:
    page = Page(tmp_path / "calls.ipynb")
    try:
        page.load()
        page.run("a", "from claude_magic import aask, ask\nreply = ask('My name is Ada.')")
        page.run("b", "line = %claude Is it warm?")
        page.save()
        page.restart()
        assert "2 turns" in page.load()
        assert "Ada" in page.run("c", "from claude_magic import ask\nprint(ask('What is my name?'))").text
        page.run("d", "%config ClaudeMagic.replay = 'only'")
        assert "warm" in page.run("b", "line = %claude Is it warm?").shown("text/plain")[-1]
    finally:
        page.kernel.stop()


@pytest.mark.parametrize("question", ["What is the capital of Iceland?", "why??"])
def test_a_question_mark_belongs_to_the_question(fresh: Kernel, server: SteeredServer, question: str) -> None:
    fresh.run("%load_ext claude_magic", "load")
    run = fresh.run(f"%claude {question}", "a")
    assert prompts(server) == [question] and len(records(run)) == 1
    assert [each["output_type"] for each in run.outputs] == ["display_data", "display_data"]
    assert fresh.evaluate("In[-2]").count(question) == 1
