"""What the kernel tells the notebook's page over its comm, in real kernels: the figures of `%claude_cost`, as soon as
they change."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from claude_magic.cost import pricing
from support.kernel import Kernel, Page, Run
from support.scripts import run_script

TARGET = "claude-magic"


def states(run: Run) -> list[dict[str, Any]]:
    """What a run told the pages: the messages on our comm, and no others."""
    data = [message["content"].get("data") for message in run.messages if message["msg_type"] == "comm_msg"]
    return [each for each in data if each and each.get("version") == 1 and "pages" in each]


def opened(run: Run) -> list[str]:
    """The comms that a run opened for the page."""
    messages = [message["content"] for message in run.messages if message["msg_type"] == "comm_open"]
    return [each["comm_id"] for each in messages if each["target_name"] == TARGET]


def total(page: Page) -> str:
    """The total of `%claude_cost`."""
    table = page.run("cost", "%claude_cost --no-chart").shown("text/plain")[0]
    (line,) = [line for line in table.splitlines() if line.split()[:1] == ["total"]]
    return next(word for word in line.split() if "$" in word or word == "n/a")


def shown(text: str) -> str:
    """An exact cost as it is shown."""
    return str(pricing.Cost(None if text == "n/a" else Decimal(text.lstrip("≥")), text.startswith("≥")))


def records(page: Page, folder: Path) -> str:
    """What the page says that its records cost."""
    cells = [{"id": name, "outputs": outputs} for name, (_, outputs) in page.cells.items()]
    return str(run_script(folder, "cost.dollars(record.sum(record.turns(models(given))))", cells))


def ask(asked: Page, comm: str, **data: Any) -> list[dict[str, Any]]:
    """What the kernel answers to a message on the comm."""
    client = asked.kernel.client
    message = client.session.msg("comm_msg", {"comm_id": comm, "data": data})
    client.shell_channel.send(message)
    return states(asked.kernel._collect(message["header"]["msg_id"], None))


def test_the_comm_opens_with_the_first_cell_of_a_page_and_once(page: Page) -> None:
    load = page.run("load", "%load_ext claude_magic")
    assert len(opened(load)) == 1 and load.error is None
    (told,) = states(load)
    nothing = {"notebook": "0", "kernel": "0", "budget": None, "turns": {}, "asking": False, "offline": False}
    assert told == {"version": 1, "pages": [page.name], **nothing}
    later = page.run("x", "x = 1")
    assert opened(later) == [] and states(later) == [], "nothing changed"


def test_where_nobody_sends_cell_ids_nothing_is_sent(kernel: Kernel) -> None:
    kernel.run("%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'")
    run = kernel.run("%%claude\nhello")
    assert run.error is None and not [each for each in run.messages if each["msg_type"].startswith("comm_")]
    code = kernel.run("%%claude\nhello", "vscode-notebook-cell:/a.ipynb#W0")
    assert code.error is None and opened(code) == [] and states(code) == []


def test_a_question_is_told_as_it_begins_and_with_its_cost_as_it_ends(page: Page) -> None:
    page.load()
    told = states(page.run("one", "%%claude\nhello"))
    assert [each["asking"] for each in told[:1]] == [True] and told[0]["notebook"] == "0"
    last = told[-1]
    assert not last["asking"] and last["offline"] and last["notebook"] == last["kernel"] != "0"
    (turn,) = last["turns"].values()
    assert turn == {"stands": True, "stale": False, "cost": last["notebook"], "marks": ["offline stand-in, not Claude"]}
    assert shown(last["notebook"]) == total(page)
    assert list(last["turns"]) == [page.cells["one"][1][0]["metadata"]["claude_magic"]["turn"]["id"]]


def test_a_deleted_turn_no_longer_stands_and_one_asked_before_a_change_is_stale(page: Page) -> None:
    page.load()
    for name in ("one", "two", "three"):
        page.run(name, f"%%claude\n{name}")
    told = states(page.run("one", "%%claude\nother"))[-1]
    assert [each["stale"] for each in told["turns"].values()] == [False, True, True]
    gone = states(page.run("x", "x = 1", deleted=["two"]))[-1]
    assert len(gone["turns"]) == 2 and gone["notebook"] == told["notebook"] == gone["kernel"], "it is paid for"
    assert shown(gone["notebook"]) == total(page)
    assert len(states(page.run("r", "%claude_reset"))[-1]["turns"]) == 0


def test_the_budget_is_told_when_it_is_set_and_when_it_is_used_up(page: Page) -> None:
    page.load()
    (told,) = states(page.run("set", "%config ClaudeMagic.budget = 1.0"))
    assert told["budget"] == {"left": "$1.00", "total": "$1.00", "used_up": False} and "turns" not in told
    cost = Decimal(states(page.run("one", "%%claude\nhello"))[-1]["kernel"])
    left = states(page.run("set", f"%config ClaudeMagic.budget = {cost + Decimal('0.05')}"))[-1]["budget"]
    assert left["left"] == "$0.0500" and not left["used_up"]
    used = states(page.run("set", f"%config ClaudeMagic.budget = {cost}"))[-1]["budget"]
    assert used == {"left": "$0.00", "total": pricing.dollars(cost), "used_up": True}
    assert states(page.run("set", "%config ClaudeMagic.budget = None"))[-1]["budget"] is None


def test_what_is_not_known_is_not_told_as_a_sum(page: Page) -> None:
    page.load()
    page.run("set", "%config ClaudeMagic.budget = 1.0")
    spend = """
from claude_magic.conversation.turns import Call, Turn
from claude_magic.magics import kernel_of
session = kernel_of(get_ipython()).session
def spend(name, model, stop_reason):
    said = ({"role": "user", "content": [{"type": "text", "text": "x"}]}, {"role": "assistant", "content": []})
    usage = {"input_tokens": 1000, "output_tokens": 1}
    session.spend(Turn(name, said, (Call(model, usage, request_id=name, stop_reason=stop_reason),), once=True))
"""
    page.run("code", spend)
    cut = states(page.run("a", "spend('a', 'claude-opus-5-5', None)"))[-1]
    assert cut["notebook"].startswith("≥0.0") and cut["budget"]["left"].startswith("≤$0.9")
    unknown = states(page.run("b", "spend('b', 'claude-unheard-of', 'end_turn')"))[-1]
    assert unknown["notebook"] == unknown["kernel"] == "n/a" and unknown["budget"]["left"] == cut["budget"]["left"]
    assert total(page) == "n/a"


def test_the_pages_sum_is_that_of_claude_cost_before_and_after_a_restart(page: Page, tmp_path: Path) -> None:
    page.load()
    page.run("one", "%%claude\nhello")
    page.run("two", "%%claude --model opus,haiku\nhello to both")
    page.run("once", "%%claude --once\nby the way")
    assert page.run("cut", "%%claude --max-tokens 80\n[[long 300]]").error is None
    assert page.run("rest", "%claude_continue").error is None
    assert page.run("map", "%%claude_map [1, 2, 2] --out result\nsay {{item}}").error is None
    last = states(page.run("x", "%config ClaudeMagic.budget = 1.0"))[-1]
    assert records(page, tmp_path) == total(page) == shown(last["notebook"]) and last["notebook"] == last["kernel"]

    page.save()
    page.restart(kill=True)
    told = states(page.run("load-lesson-one", "%load_ext claude_magic"))[-1]
    assert (told["notebook"], told["kernel"]) == (last["notebook"], "0") and told["offline"]
    assert len(told["turns"]) == 3 and total(page) == records(page, tmp_path) == shown(told["notebook"])

    page.run("only", "%config ClaudeMagic.replay = 'only'")
    replayed = [page.run(name, page.cells[name][0]) for name in ("one", "two", "once")]
    assert not any(each.error for each in replayed)
    told = states(replayed[-1])[-1]
    assert total(page) == records(page, tmp_path) == shown(told["notebook"]) and told["kernel"] == "0"
    assert Decimal(told["notebook"]) < Decimal(last["notebook"]), "what is replayed costs nothing"


def test_what_was_paid_for_counts_when_it_is_replayed_in_the_same_kernel(page: Page) -> None:
    page.load()
    paid = states(page.run("one", "%%claude\nhello"))[-1]["notebook"]
    page.run("only", "%config ClaudeMagic.replay = 'only'")
    told = states(page.run("one", "%%claude\nhello"))[-1]
    assert told["notebook"] == told["kernel"] == paid and shown(paid) == total(page)
    assert [each["cost"] for each in told["turns"].values()] == ["0"]


def test_while_a_map_runs_its_spending_goes_up(page: Page) -> None:
    page.load()
    page.run("slow", "from claude_magic.magics import kernel_of; kernel_of(get_ipython()).client.offline.pace = 300")
    run = page.run("map", "%%claude_map range(24) --out result --concurrency 2\nsay {{item}}")
    assert run.error is None
    told = [Decimal(each["kernel"]) for each in states(run)]
    assert len(set(told)) > 3 and told == sorted(told)
    assert all(each["notebook"] == each["kernel"] for each in states(run))
    assert page.cells["map"][1][-1]["metadata"]["claude_magic"]["map"]["dollars"] == format(told[-1], "f")


def test_a_map_in_the_background_is_told_between_the_cells(page: Page) -> None:
    page.load()
    page.run("slow", "from claude_magic.magics import kernel_of; kernel_of(get_ipython()).client.offline.pace = 300")
    assert (
        page.run("map", "%%claude_map range(24) --out result --concurrency 2 --background\nsay {{item}}").error is None
    )
    told: list[Decimal] = []
    while len(set(told)) < 4:
        message = page.kernel.client.get_iopub_msg(timeout=60)
        told += [Decimal(each["kernel"]) for each in states(Run(messages=[message]))]
    assert told == sorted(told) and told[-1] > 0
    last = states(page.run("wait", "%claude_map --wait"))[-1]
    assert Decimal(last["kernel"]) >= told[-1] and shown(last["notebook"]) == total(page)


def test_a_page_that_was_reloaded_asks_for_the_state(page: Page) -> None:
    (comm,) = opened(page.run("load", "%load_ext claude_magic"))
    page.run("set", "%config ClaudeMagic.provider = 'offline'")
    last = states(page.run("one", "%%claude\nhello"))[-1]
    (told,) = ask(page, comm, ask="state", page="reloaded", cells=["other", "one"])
    assert told.pop("pages") == [page.name, "reloaded"] and last.pop("pages") == [page.name]
    assert told == last
    assert ask(page, comm, ask="state", page="stranger", cells=["unknown"]) == [], "its cells are of no notebook here"
    later = states(page.run("x", "%config ClaudeMagic.budget = 1.0"))[-1]
    assert later["pages"] == [page.name, "reloaded"]


@pytest.mark.parametrize("data", [{}, {"ask": 7}, {"ask": "state"}, {"ask": "state", "page": [], "cells": {"a": 1}}])
def test_an_odd_message_is_no_fault(page: Page, data: dict[str, Any]) -> None:
    (comm,) = opened(page.run("load", "%load_ext claude_magic"))
    assert ask(page, comm, **data) == []
    assert ask(page, comm, ask="state", page=page.name, cells=[None, 7]) != []
    assert page.run("x", "print('fine')").text == "fine\n"


def test_the_estimate_is_what_the_questions_cost_last_time(page: Page) -> None:
    (comm,) = opened(page.run("load", "%load_ext claude_magic"))
    page.run("set", "%config ClaudeMagic.provider = 'offline'")
    page.run("one", "%%claude\nhello")
    last = states(page.run("two", "%%claude\nhello again"))[-1]
    one, two = (Decimal(each["cost"]) for each in last["turns"].values())
    (told,) = ask(page, comm, ask="estimate", page=page.name, id=7, cells=["two", "unknown"])
    assert told == {
        "version": 1,
        "pages": [page.name],
        "estimate": {"id": 7, "cells": ["two"], "cost": format(two, "f")},
    }
    (told,) = ask(page, comm, ask="estimate", page=page.name, id=8, cells=["one", "two"])
    assert Decimal(told["estimate"]["cost"]) == one + two
    (told,) = ask(page, comm, ask="estimate", page="stranger", id=9, cells=[])
    assert told["estimate"] == {"id": 9, "cells": [], "cost": "0"}


def test_two_notebooks_on_one_kernel_have_figures_of_their_own(page: Page) -> None:
    page.load()
    first = states(page.run("one", "%%claude\nhello"))[-1]
    page.save()
    page.kernel.run("%load_ext claude_magic", "b-load", page="other")
    run = page.kernel.run("%%claude\nhello from the other", "b-one", page="other")
    by_page = {each["pages"][0]: each for each in states(run)}
    assert by_page[page.name]["notebook"] == first["notebook"]
    own, kernel = (Decimal(by_page["other"][name]) for name in ("notebook", "kernel"))
    assert kernel == own + Decimal(first["notebook"]) == Decimal(by_page[page.name]["kernel"])
    assert set(by_page) == {page.name, "other"} and all(len(each["pages"]) == 1 for each in states(run))


def test_unloading_closes_the_comm_and_loading_again_opens_another(page: Page) -> None:
    (comm,) = opened(page.run("load", "%load_ext claude_magic"))
    gone = page.run("unload", "%unload_ext claude_magic")
    assert [m["content"]["comm_id"] for m in gone.messages if m["msg_type"] == "comm_close"] == [comm]
    assert states(page.run("x", "x = 1")) == []
    again = page.run("load", "%reload_ext claude_magic")
    assert len(opened(again)) == 1 and opened(again) != [comm] and len(states(again)) == 1


def test_a_page_without_the_front_end_closes_the_comm_and_is_left_in_peace(page: Page) -> None:
    (comm,) = opened(page.run("load", "%load_ext claude_magic"))
    client = page.kernel.client
    message = client.session.msg("comm_close", {"comm_id": comm, "data": {}})
    client.shell_channel.send(message)
    page.kernel._collect(message["header"]["msg_id"], None)
    run = page.run("x", "x = 1")
    assert opened(run) == [] and states(run) == []
    page.name = "another page"
    assert len(opened(page.run("x", "x = 1"))) == 1


def test_a_fault_of_the_comm_disturbs_no_cell(page: Page) -> None:
    page.load()
    page.run("break", "import claude_magic.session.page as p\ndef broken(*_, **__): raise OSError('no')")
    page.run("break", "from claude_magic.magics import kernel_of; kernel_of(get_ipython()).page._comm.send = broken")
    run = page.run("one", "%%claude\nhello")
    assert run.error is None and run.text == "" and states(run) == []
    assert not [each for each in run.messages if each["msg_type"] == "stream"]
