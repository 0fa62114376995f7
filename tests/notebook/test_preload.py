"""What the first question needs is imported while the kernel is idle, and never in the reader's way."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kernel import Kernel

pytestmark = pytest.mark.kernel

# A shell of its own, and what a test does with it.
_SHELL = """
import os, sys, threading, time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def run(code):
    result = shell.run_cell(code)
    result.raise_error()
    return result.result
def thread():
    return next((each for each in threading.enumerate() if each.name == "claude_magic preload"), None)
def wait_until(holds):
    over = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < over, "too long"
        time.sleep(0.001)
def begun():
    return "claude_magic.session.session" in sys.modules
LOAD = "%load_ext claude_magic"
import claude_magic.notebook.preload as preload
preload.WORK_SECONDS, preload.BREATH_SECONDS = 0.0005, SLOW
shell.user_ns |= {"os": os, "sys": sys, "time": time}
"""


def run(program: str, *, slowed: bool = False) -> str:
    """What a program printed that ends well; one that hangs fails the test. `slowed`, the imports take many seconds."""
    shell = _SHELL.replace("SLOW", "0.005" if slowed else "0")
    command = [sys.executable, "-c", shell + textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """One that has imported nothing yet."""
    running = Kernel(tmp_path, cold=True)
    yield running
    running.stop()


def test_an_idle_kernel_imports_all_that_the_first_question_needs(kernel: Kernel) -> None:
    kernel.run("%load_ext claude_magic")
    kernel.run("import sys")
    for _ in range(600):
        if kernel.evaluate("'claude_magic.client.stream' in sys.modules"):
            return
        time.sleep(0.1)
    pytest.fail("it took more than a minute")


def test_what_is_left_for_the_first_question_is_little() -> None:
    said = run("""
        run(LOAD + "\\n%config ClaudeMagic.provider = 'offline'")
        thread().join()
        held = set(sys.modules)
        run("%claude --once hello")
        print("left:", *[name for name in sys.modules if name not in held])
    """)
    left = said.rpartition("left:")[2].split()
    light = {"claude_magic.magics.claude", "claude_magic.magics.base"}
    assert len(left) < 20 and not [
        name for name in left if name.startswith(("anthropic", "claude_magic", "pydantic")) and name not in light
    ]


def test_no_class_of_magics_is_made_in_the_thread() -> None:
    """IPython collects the magics of a class in one place for all threads: two classes at once would get each other's,
    and IPython makes its own in the middle of a cell, such as the one that has `%config`."""
    run("""
        from IPython.core import magic
        makers = set()
        def recorded(*of_magic, record=magic.record_magic):
            makers.add(threading.current_thread().name)
            return record(*of_magic)
        magic.record_magic = recorded
        run(LOAD)
        thread().join()
        assert "claude_magic.client.stream" in sys.modules
        assert not makers - {"MainThread"}, makers
        run("%claude --help")
        assert makers == {"MainThread"}, "our own are made at first use"
    """)


def test_nothing_is_imported_while_a_cell_of_the_readers_runs() -> None:
    said = run(
        """
        run(LOAD)
        wait_until(begun)
        run("time.sleep(0.3); held = len(sys.modules); time.sleep(1); grown = len(sys.modules) - held")
        print(shell.user_ns["grown"], "anthropic.types" in sys.modules)
        wait_until(lambda: len(sys.modules) > shell.user_ns["held"])
        """,
        slowed=True,
    )
    assert said.splitlines()[-1] == "0 False"


@pytest.mark.parametrize("wanted", ["anthropic", "pydantic", "claude_magic.session.session", "httpx2"])
def test_a_cell_that_imports_the_same_waits_for_no_more_than_that(wanted: str) -> None:
    run(f"""
        run(LOAD)
        wait_until(lambda: "claude_magic" in sys.modules and thread())
        run("import {wanted}")
        assert {wanted!r} in sys.modules
        wait_until(lambda: "anthropic" in sys.modules)
        run("import {wanted}, anthropic; anthropic.Anthropic")
    """)


@pytest.mark.parametrize("when", ["thread()", "begun()", "'pydantic' in sys.modules", "'anthropic' in sys.modules"])
def test_a_kernel_that_ends_meanwhile_ends(when: str) -> None:
    run(f"""
        run(LOAD)
        wait_until(lambda: {when})
    """)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_of_the_kernel_can_import_what_was_being_imported() -> None:
    said = run("""
        run(LOAD)
        wait_until(lambda: "anthropic" in sys.modules)  # it is in the middle of that
        child = run('''
        child = os.fork()
        if not child:
            import anthropic, pydantic
            os._exit(7 if anthropic.Anthropic else 1)
        child''')
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    assert said.split()[-1] == "7"


@pytest.mark.parametrize("off", ["ClaudeMagic.preload = False", "ClaudeMagic.replay = 'only'"])
def test_a_setting_turns_it_off(off: str) -> None:
    run(f"""
        run(LOAD + "\\n%config {off}")
        run("1")
        assert thread() is None and "anthropic" not in sys.modules
    """)


def test_it_is_done_once_and_not_after_unloading() -> None:
    run("""
        run(LOAD + "\\n%unload_ext claude_magic")
        run("1")
        assert thread() is None
        run(LOAD)
        first = thread()
        run("%reload_ext claude_magic")
        assert len([each for each in threading.enumerate() if "preload" in each.name]) <= 1
        first.join()
        run("1")
        assert thread() is None
    """)


def test_an_import_under_way_when_it_ends_goes_through_all_finders() -> None:
    """It goes through the list of finders by position: one that is taken out meanwhile would have it leave out one."""
    run("""
        run(LOAD)
        wait_until(lambda: type(sys.meta_path[0]).__name__ == "_Gate")
        under_way, finders = sys.meta_path, list(sys.meta_path)
        thread().join()
        assert under_way == finders and sys.meta_path == finders[1:]
    """)


def test_garbage_is_looked_for_as_ever_while_a_cell_runs_and_afterwards() -> None:
    said = run(
        """
        import gc
        before = gc.get_threshold()
        run(LOAD)
        wait_until(lambda: gc.get_threshold() != before)
        run("import gc; time.sleep(0.3); inside = gc.get_threshold()")
        wait_until(lambda: gc.get_threshold() != before)
        run("%claude_cost")
        print(shell.user_ns["inside"] == before == gc.get_threshold(), thread(), gc.get_freeze_count())
        """,
        slowed=True,
    )
    assert said.splitlines()[-1] == "True None 0"


def test_what_the_reader_says_of_garbage_meanwhile_holds() -> None:
    run("""
        import gc
        run(LOAD)
        wait_until(lambda: "pydantic" in sys.modules)
        run("import gc; gc.disable(); gc.set_threshold(123, 4, 5); gc.freeze()")
        assert thread()
        thread().join()
        assert gc.get_threshold()[:2] == (123, 4) and not gc.isenabled() and gc.get_freeze_count()
    """)


@pytest.mark.parametrize("first", ["%claude_cost", "from claude_magic import ask"])
def test_what_is_first_used_of_ours_finds_the_imports_done(first: str) -> None:
    """Two threads that import modules of one package at once may each see half of it."""
    run(
        f"""
        run(LOAD)
        wait_until(begun)
        assert "anthropic.types" not in sys.modules
        run({first!r})
        assert thread() is None and "claude_magic.client.stream" in sys.modules
        """,
        slowed=True,
    )
