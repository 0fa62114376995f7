"""A map in the background: other cells run meanwhile, and what it brings is bound, counted and shown once."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from claude_magic.errors import ClaudeError, ReplyInterrupted, UsageError
from claude_magic.mapping.run import Background, kernel_loop
from claude_magic.offline import Fault
from support.kernel import Kernel
from support.shell import ipython_shell
from support.steered_server import KEY, SteeredServer

ROWS = 30
SOME_EVENTS = 60  # those of a few rows
MAP = "%%claude_map range({rows}) --out {out} --concurrency 3 --background\nSay {{{{item}}}} to {out}."


@pytest.fixture(scope="module")
def server() -> Iterator[SteeredServer]:
    with SteeredServer() as running:
        yield running


@pytest.fixture(scope="module")
def kernel(server: SteeredServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("background"), ANTHROPIC_BASE_URL=server.url, ANTHROPIC_API_KEY=KEY)
    kernel.run("%load_ext claude_magic")
    yield kernel
    server.release()
    kernel.stop()


def begin(kernel: Kernel, server: SteeredServer, out: str) -> Any:
    """Begin a map that stands still after a few rows, where none was paid for before."""
    kernel.run("__import__('claude_magic').magics.kernel_of(get_ipython()).session.spent.clear()")
    server.requests.clear()
    server.hold(SOME_EVENTS)
    run = kernel.run(MAP.format(rows=ROWS, out=out), f"map-{out}")
    assert f"{out} is bound when all is done" in run.text
    until = time.monotonic() + 30
    while not server.requests and time.monotonic() < until:  # it has begun, and its rows are its own
        time.sleep(0.01)
    return run


def shown(run: Any) -> str:
    """What stands in the place of the progress."""
    (output,) = [each for each in run.outputs if each["output_type"] == "display_data"]
    return str(output["data"]["text/plain"])


def test_other_cells_run_meanwhile_and_the_result_is_bound_at_the_end(kernel: Kernel, server: SteeredServer) -> None:
    run = begin(kernel, server, "told")
    assert kernel.evaluate("6 * 7") == 42
    assert "told" not in kernel.evaluate("list(globals())")
    assert "told: " in kernel.run("%claude_map --status").text
    again = kernel.run(MAP.format(rows=ROWS, out="told"))
    assert "A map for told is under way in the background." in again.error["evalue"]
    server.release()
    assert kernel.run("%claude_map --wait").text == f"told is bound: {ROWS} of {ROWS} rows answered.\n"
    assert kernel.evaluate("[int(told.reply.notna().sum()), told.index.tolist()]") == [ROWS, list(range(ROWS))]
    assert len(server.requests) == ROWS
    assert f"{ROWS}" in shown(run) and "Mapped over range(30)" in shown(run)
    (record,) = [each["metadata"]["claude_magic"] for each in run.outputs if each.get("metadata")]
    assert record["map"]["answered"] == ROWS
    assert shown(kernel.run("%claude_cost --no-chart")).count("(mapped over data: range(30))") == 1
    assert "No map goes on in the background." in kernel.run("%claude_map --wait").text


def test_it_is_concluded_though_nobody_waits(kernel: Kernel, server: SteeredServer) -> None:
    begin(kernel, server, "alone")
    server.release()
    kernel.run("import asyncio")
    kernel.run("while 'alone' not in globals(): await asyncio.sleep(0.01)")
    assert kernel.evaluate("int(alone.reply.notna().sum())") == ROWS


def test_cancelled_it_keeps_what_is_done_and_run_again_asks_the_rest(kernel: Kernel, server: SteeredServer) -> None:
    run = begin(kernel, server, "some")
    assert "some is stopping" in kernel.run("%claude_map --cancel").text
    server.release()
    kernel.run("%claude_map --wait")
    answered, missing = kernel.evaluate("[int(some.reply.notna().sum()), int(some.error.notna().sum())]")
    assert 0 < answered == len(server.requests) < ROWS and answered + missing == ROWS
    assert "Stop was pressed" in shown(run) and "run the cell again for the rest" in shown(run)
    kernel.run(MAP.format(rows=ROWS, out="some"), "map-some")
    kernel.run("%claude_map --wait")
    assert len(server.requests) == ROWS and kernel.evaluate("int(some.reply.notna().sum())") == ROWS


def test_rows_sorted_changed_cut_and_added_meanwhile_change_no_answer(kernel: Kernel, server: SteeredServer) -> None:
    """The rows are those of the moment when the map begins: the result has their values and their index."""
    kernel.run("import pandas; frame = pandas.DataFrame({'n': range(30), 'more': [[at] for at in range(30)]})")
    server.hold(SOME_EVENTS)
    kernel.run("%%claude_map frame --out sorted_out --background\nThe {{row.n}} of {{row.more}} as it was")
    kernel.run(
        "frame.sort_values('n', ascending=False, inplace=True, ignore_index=True); frame.loc[3, 'n'] = 99\n"
        "frame.drop(index=[5, 6], inplace=True); frame.loc[100] = [100, []]; frame.iloc[0, 1].append('changed')"
    )
    server.release()
    assert "30 of 30 rows answered" in kernel.run("%claude_map --wait").text
    asked = {body["messages"][-1]["content"][0]["text"] for body in server.requests}
    assert {f"The {at} of [{at}] as it was" for at in range(30)} <= asked
    assert kernel.evaluate("[sorted_out.n.tolist(), sorted_out.index.tolist(), sorted_out.more[29]]") == [
        *[list(range(30))] * 2,
        [29],
    ]


def test_two_maps_over_the_same_rows_at_once_ask_each_row_once(kernel: Kernel, server: SteeredServer) -> None:
    begin(kernel, server, "first")
    second = MAP.format(rows=ROWS + 5, out="second").replace("to second", "to first")
    said = re.search(r"^5 requests, .* (\d+) more are asked by another map", kernel.run(second).text)
    assert said and 0 < int(said[1]) <= ROWS  # the first has some of its answers by now, or none
    server.release()
    kernel.run("%claude_map --wait")
    assert kernel.evaluate("[int(each.error.isna().sum()) for each in (first, second)]") == [ROWS, ROWS + 5]
    assert len(server.requests) == ROWS + 5


def test_the_cell_where_the_reader_is_says_how_a_map_has_ended_badly(kernel: Kernel, server: SteeredServer) -> None:
    begin(kernel, server, "broken")
    until = time.monotonic() + 30
    while len(server.requests) <= 3 and time.monotonic() < until:  # some are answered
        time.sleep(0.01)
    server.faults.extend([Fault("status", status=401)] * ROWS)
    server.release()
    kernel.run("import asyncio")
    kernel.run("for _ in range(3_000): 'broken' in globals() or await asyncio.sleep(0.01)")
    server.faults.clear()
    text = kernel.run("6 * 7").text
    assert "broken is bound: " in text and "not asked" in text and "invalid x-api-key" in text
    assert "broken" not in kernel.run("6 * 7").text
    assert kernel.run("%claude_map --wait").text == "No map goes on in the background.\n"


def test_an_interrupt_ends_the_waiting_and_not_the_map(kernel: Kernel, server: SteeredServer) -> None:
    begin(kernel, server, "patient")

    def interrupt(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":  # the cell runs: before that, an Interrupt is the kernel's own
            kernel.interrupt()

    waiting = kernel.run("print('now', flush=True)\n%claude_map --wait", on_message=interrupt)
    assert waiting.error and "KeyboardInterrupt" in waiting.error["ename"]
    server.release()
    kernel.run("%claude_map --wait")
    assert kernel.evaluate("int(patient.reply.notna().sum())") == ROWS


def test_a_budget_of_the_kernel_and_a_batch_are_refused(kernel: Kernel, server: SteeredServer) -> None:
    server.requests.clear()
    cell = MAP.format(rows=ROWS, out="refused")
    both = kernel.run(cell.replace("--background", "--background --batch"))
    assert "a batch goes on by itself" in both.error["evalue"]
    kernel.run("%config ClaudeMagic.budget = 1.0")
    assert "cannot keep the kernel's budget" in kernel.run(cell).error["evalue"]
    kernel.run("%config ClaudeMagic.budget = None")
    assert server.requests == []


def test_where_nothing_runs_between_cells_it_is_refused(standin: Any) -> None:
    shell = ipython_shell()
    shell.run_line_magic("load_ext", "claude_magic")
    with pytest.raises(UsageError, match="needs a notebook"):
        shell.run_cell_magic("claude_map", "[1] --out result --background", "Say {{item}}")


def concluded(work: Any, *, wait: bool) -> list[Any]:
    """What `conclude` was told, and in which thread."""
    told: list[Any] = []

    async def cell() -> None:
        done = asyncio.Event()

        def conclude(failure: ClaudeError | None) -> None:
            told.append((failure, threading.current_thread() is threading.main_thread()))
            done.set()

        background = Background(kernel_loop(), work, conclude)
        if wait:
            background.wait()
        await done.wait()
        await asyncio.sleep(0)  # what else the loop was asked to do

    asyncio.run(cell())
    return told


@pytest.mark.parametrize("wait", [False, True])
def test_the_end_is_told_once_on_the_loop_with_why_it_came_early(wait: bool) -> None:
    failure = ReplyInterrupted("The map was stopped.")

    def fails() -> ClaudeError | None:
        raise failure

    assert concluded(lambda: None, wait=wait) == [(None, True)]
    assert concluded(lambda: failure, wait=wait) == [(failure, True)]
    assert concluded(fails, wait=wait) == [(failure, True)]
