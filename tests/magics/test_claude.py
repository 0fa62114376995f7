"""What a person at a notebook types and sees, in a real kernel against the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from claude_magic import offline
from claude_magic.offline import Fault
from support.kernel import Kernel, Run, plain

KEY = "sk-ant-api03-SECRET-secret-0123456789"


@pytest.fixture(scope="module")
def server() -> Iterator[offline.Server]:
    running = offline.start()
    yield running
    running.stop()


@pytest.fixture
def notebook(kernel: Kernel, server: offline.Server) -> Kernel:
    """A kernel with the extension loaded, an empty conversation, and the stand-in behind the address of the API."""
    kernel.run("%load_ext claude_magic")
    kernel.run(f"import os; os.environ.update(ANTHROPIC_API_KEY={KEY!r}, ANTHROPIC_BASE_URL={server.url!r})")
    kernel.run("%claude_reset\n%claude_reset other")
    server.faults.clear()
    server.script = None
    return kernel


def last_prompt(server: offline.Server) -> str:
    content = server.requests[-1]["messages"][-1]["content"]
    assert [block["type"] for block in content] == ["text"]
    return content[0]["text"]


def error_of(run: Run) -> str:
    """What a failed cell shows; it must be short, and hold no key."""
    assert run.error is not None
    told = plain(run.error["traceback"])
    assert len(told.splitlines()) <= 3
    assert "SECRET" not in json.dumps(run.outputs)
    return told


BODIES = [
    "Hello",
    "one\n\n  two\t\n",
    "\tleading tab\n    indented",
    ">>> 1 + 1\n2\n>>> doctest?",
    "In [1]: x = 1\nOut[1]: 2",
    "f-string {x} and {{}} and }} and { {",
    '{"a": {"b": [1, 2]}}',
    r"$\frac{a}{b}$ \n %magic !ls @x ?? `code`",
    "what is this?",
    "%%claude\nnested",
    "line\r\nother",
    "é ∑ 🎉 \u2028 separator",
    "$HOME ${x} {x} $x",
]


@pytest.mark.parametrize("body", BODIES)
def test_the_body_arrives_byte_for_byte(notebook: Kernel, server: offline.Server, body: str) -> None:
    run = notebook.run(f"%%claude\n{body}", "cell")
    assert run.error is None
    assert last_prompt(server) == body


def test_a_line_is_sent_as_it_is(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("x = 5")
    notebook.run("%claude --once --effort low What's {x}, $x and {{x}}, \"or\" 'so'?!", "cell")
    assert last_prompt(server) == "What's {x}, $x and 5, \"or\" 'so'?!"
    assert server.requests[-1]["output_config"] == {"effort": "low"}


def test_a_variable_in_single_braces_is_sent_as_it_is_and_the_cell_says_so(
    notebook: Kernel, server: offline.Server
) -> None:
    notebook.run("sales = 5")
    run = notebook.run("%%claude --once\nWhat is in {sales}, and why?", "cell")
    assert last_prompt(server) == "What is in {sales}, and why?"
    assert run.text == "{sales} was sent as it is; {{sales}} sends its value.\n"
    assert notebook.run("%%claude --once --raw\nWhat is in {sales}?", "cell").text == ""


def test_a_cell_shows_header_and_answer_and_carries_its_turn(notebook: Kernel, server: offline.Server) -> None:
    run = notebook.run("%%claude -o reply\nWhat is 17 * 23?", "cell")
    header, answer = run.outputs
    assert set(header["data"]) == {"text/html", "text/plain"}
    assert set(answer["data"]) == {"text/html", "text/markdown", "text/plain"}
    for word in ("claude-opus-5-5", "tokens in", "out", "$0.00", " s"):
        assert word in header["data"]["text/plain"]
    assert "<details><summary>Thinking</summary>" in header["data"]["text/html"]
    turn = run.turn()
    assert turn["cell_id"] == "cell" and turn["messages"][1]["content"] == server.replies[-1]["content"]
    usage = notebook.evaluate("[reply, reply.thinking, reply.usage, str(reply.cost), len(reply.blocks)]")
    text = server.replies[-1]["content"][1]["text"]
    assert usage == [text, server.replies[-1]["content"][0]["thinking"], server.replies[-1]["usage"], usage[3], 2]
    assert float(usage[3]) > 0


def test_a_conversation_remembers_and_once_and_other_chats_do_not(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("%%claude\nMy name is Ada.", "a")
    notebook.run("%%claude\nWhat is my name?", "b")
    assert "Ada" in server.replies[-1]["content"][-1]["text"]
    for options in ("--once", "--chat other"):
        notebook.run(f"%%claude {options}\nHm?", "c")
        assert len(server.requests[-1]["messages"]) == 1
    notebook.run("%%claude\nAgain?", "d")
    assert len(server.requests[-1]["messages"]) == 5


def test_a_cell_that_runs_again_replaces_its_turn_and_sees_only_what_came_before(
    notebook: Kernel, server: offline.Server
) -> None:
    for cell, prompt in (("a", "one"), ("b", "two"), ("c", "three"), ("b", "TWO")):
        notebook.run(f"%%claude\n{prompt}", cell)
    assert [m["content"][-1]["text"] for m in server.requests[-1]["messages"][::2]] == ["one", "TWO"]
    notebook.run("%%claude\nfour", "d")
    assert [m["content"][-1]["text"] for m in server.requests[-1]["messages"][::2]] == ["one", "TWO", "three", "four"]
    (history,) = notebook.run("%claude_history").shown("text/plain")
    assert history.count("asked before the change above") == 1


def test_the_history_has_the_question_as_it_was_typed_and_not_what_went_along(
    notebook: Kernel, server: offline.Server
) -> None:
    notebook.run("[].pop()")
    notebook.run("%%claude --error\nWhat went\nwrong?", "first")
    notebook.run("""%%claude\nAdd {{sum([1, 2])}} to {{"sk-ant-api03-SECRET-secret"[:0] + "3"}}.""", "second")
    assert "[].pop()" in json.dumps(server.requests[-2]["messages"][-1]) and "Add 3 to 3." in last_prompt(server)
    run = notebook.run("%claude_history")
    (history,) = run.shown("text/plain")
    assert "What went wrong?" in history and "The last error" not in history
    assert "Add {{sum([1, 2])}} to" in history and "SECRET" not in json.dumps(run.outputs)


def test_a_cell_may_ask_several_times_and_all_are_replaced_together(notebook: Kernel, server: offline.Server) -> None:
    loop = "for word in {}:\n    get_ipython().run_line_magic('claude', word)"
    notebook.run(loop.format(["one", "two"]), "a")
    assert len(server.requests[-1]["messages"]) == 3
    notebook.run("%%claude\nthree", "b")
    notebook.run(loop.format(["uno", "dos", "tres"]), "a")
    notebook.run("%%claude\nfour", "c")
    asked = [message["content"][-1]["text"] for message in server.requests[-1]["messages"][::2]]
    assert asked == ["uno", "dos", "tres", "three", "four"]


def test_a_deleted_cell_is_forgotten_and_comes_back_when_it_runs(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("%%claude\none", "a")
    notebook.run("%%claude\ntwo", "b")
    notebook.run("1 + 1", "other", deleted=["a"])
    notebook.run("%%claude\nthree", "c")
    assert len(server.requests[-1]["messages"]) == 3
    notebook.run("%%claude\nONE", "a")
    notebook.run("%%claude\nfour", "d")
    asked = [message["content"][-1]["text"] for message in server.requests[-1]["messages"][::2]]
    assert asked == ["ONE", "two", "three", "four"]


def test_show_request_prints_exactly_what_is_sent_and_sends_nothing(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("%%claude\none", "a")
    count = len(server.requests)
    shown = notebook.run("%%claude --show-request --system 'Be brief.'\ntwo", "b")
    assert len(server.requests) == count
    notebook.run("%%claude --system 'Be brief.'\ntwo", "b")
    assert json.loads(shown.text) == server.requests[-1]


def test_settings_are_ipythons_own(notebook: Kernel, server: offline.Server) -> None:
    listed = notebook.run("%config ClaudeMagic").text
    for name in ("model", "system", "max_tokens", "effort", "thinking", "provider", "max_retries", "timeout"):
        assert f"ClaudeMagic.{name}" in listed
    notebook.run("%config ClaudeMagic.model = 'haiku'\n%config ClaudeMagic.system = 'S'")
    notebook.run("%%claude\nHi", "a")
    assert (server.requests[-1]["model"], server.requests[-1]["system"]) == ("claude-haiku-5-5", "S")
    notebook.run("%config ClaudeMagic.model = 'opus'\n%config ClaudeMagic.system = None")
    assert "effort wants one of low" in notebook.run("%config ClaudeMagic.effort = 'huge'").text


def test_a_system_prompt_may_be_a_variable(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("persona = 'A pirate {with braces}'")
    notebook.run("%%claude --system {{persona}}\nHi", "a")
    assert server.requests[-1]["system"] == "A pirate {with braces}"


def test_an_image_is_shown_as_sent_and_its_bytes_are_not_repeated(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("from PIL import Image; picture = Image.new('RGB', (31, 17), 'teal')")
    run = notebook.run("%%claude\nWhat is {{picture}}?", "a")
    (image,) = run.shown("image/png")
    assert server.requests[-1]["messages"][-1]["content"][1]["source"]["data"] == image
    assert "31 × 17" in run.outputs[1]["data"]["text/plain"]
    assert image not in json.dumps(run.turn())


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("%%claude\n", "prompt is empty"),
        ("%%claude\n  \n", "prompt is empty"),
        ("%claude", "prompt is empty"),
        ("%%claude\nHi {{nobody}}", "nobody"),
        ("%%claude\nHi {{1/0}}", "ZeroDivisionError"),
        ("%%claude --modle x\nHi", "--modle"),
        ("%%claude explain this\nHi", "explain this"),
        ("%%claude --thinking 5000\nHi", "--effort"),
        ("%claude_history nothing", "nothing"),
        ("%claude_cost all", "does not take all"),
        (f"%claude_key {KEY}", "takes nothing on its line"),
        ("%claude_key", "ANTHROPIC_API_KEY"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_sent(
    notebook: Kernel, server: offline.Server, cell: str, says: str
) -> None:
    count = len(server.requests)
    assert says in error_of(notebook.run(cell, "a"))
    assert len(server.requests) == count


def test_an_interrupt_ends_the_reply_keeps_what_came_and_says_so(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("%%claude\none", "a")
    server.script = lambda body: [{"type": "text", "text": "word " * 2000}]
    server.pace = 200

    def press(message: dict[str, Any]) -> None:
        if len(message["content"].get("data", {}).get("text/html", "")) > 200 and not pressed:
            pressed.append(True)
            notebook.interrupt()

    pressed: list[bool] = []
    run = notebook.run("%%claude -o part\ntwo", "b", on_message=press)
    server.pace = None
    server.script = None
    assert "interrupted" in error_of(run) and "kept" in error_of(run)
    assert run.seconds < 5
    assert run.shown("text/markdown")[0].startswith("word ")
    assert "■ interrupted" in run.shown("text/plain")[0] and "≥" in run.shown("text/plain")[0]
    notebook.run("%%claude\nthree", "c")
    kept = server.requests[-1]["messages"][3]["content"][-1]["text"]
    assert kept.startswith("word word") and kept == notebook.evaluate("part")


def test_an_interrupt_while_nothing_comes_ends_the_waiting(notebook: Kernel, server: offline.Server) -> None:
    server.faults.append(Fault("stall", after=4))

    def press(message: dict[str, Any]) -> None:
        if "thinking" in str(message["content"].get("data")):
            notebook.interrupt()

    run = notebook.run("%%claude\none", "a", on_message=press)
    assert "nterrupted" in error_of(run) and run.seconds < 3
    notebook.run("%%claude\ntwo", "b")
    assert len(server.requests[-1]["messages"]) == 1


def test_the_panel_names_interrupt_where_no_click_can_arrive_and_leaves_nothing_behind(
    notebook: Kernel, server: offline.Server
) -> None:
    """This frontend opens no subshell, so a click would be heard only when the cell is done."""
    server.pace = 50  # or the reply may be done before the panel has drawn it once
    run = notebook.run("%%claude\none", "a")
    server.pace = None
    comms = [message for message in run.messages if message["msg_type"].startswith("comm_")]
    told = json.dumps([message["content"] for message in comms])
    assert "Interrupt</b> stops it" in told and "tokens in" in told
    opened = {message["content"]["comm_id"] for message in comms if message["msg_type"] == "comm_open"}
    closed = {message["content"]["comm_id"] for message in comms if message["msg_type"] == "comm_close"}
    assert opened and opened == closed
    assert notebook.evaluate("len(__import__('ipywidgets').widget._instances)") == 0
    notebook.run("%config ClaudeMagic.panel = False")
    run = notebook.run("%%claude\none", "a")
    notebook.run("%config ClaudeMagic.panel = True")
    assert not any(message["msg_type"] == "comm_open" for message in run.messages)


def test_a_failure_leaves_the_conversation_as_it_was(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("%%claude\none", "a")
    server.faults.append(Fault("status", status=401))
    assert "ANTHROPIC_API_KEY" in error_of(notebook.run("%%claude\nONE", "a"))
    notebook.run("%%claude\ntwo", "b")
    assert [m["content"][-1]["text"] for m in server.requests[-1]["messages"][::2]] == ["one", "two"]


def test_a_cut_reply_is_shown_kept_and_marked(notebook: Kernel, server: offline.Server) -> None:
    server.faults.append(Fault("cut", after=25))
    run = notebook.run("%%claude --out got\none", "a")
    assert "cut" in error_of(run)
    assert "■ interrupted" in run.shown("text/plain")[0]
    assert notebook.evaluate("len(got) > 5")


def test_waits_between_attempts_are_shown(notebook: Kernel, server: offline.Server) -> None:
    server.faults.append(Fault("status", status=529, headers={"retry-after": "1.1"}))
    run = notebook.run("%%claude\none", "a")
    assert any("overloaded: attempt 2 of 5 in 1 s" in str(message["content"].get("data")) for message in run.messages)
    assert "retried 1×" in run.shown("text/plain")[0]


def test_the_stand_in_is_labelled_everywhere(notebook: Kernel) -> None:
    notebook.run("%config ClaudeMagic.provider = 'offline'")
    run = notebook.run("%%claude\none", "a")
    cost = notebook.run("%claude_cost")
    notebook.run("%config ClaudeMagic.provider = 'anthropic'")
    (header, answer), (page, reply) = run.shown("text/plain"), run.shown("text/html")
    for shown in (header, page, *cost.shown("text/html")):
        assert "offline stand-in, not claude" in shown.lower()
    assert f"{header}{answer}".lower().count("stand-in") == f"{page}{reply}".lower().count("stand-in, not") == 1
    assert run.turn()["calls"][0]["provider"] == "offline"


def test_reloading_keeps_the_conversation_and_leaves_nothing_twice(notebook: Kernel, server: offline.Server) -> None:
    notebook.run("%%claude\none", "a")
    notebook.run("%reload_ext claude_magic\n%load_ext claude_magic\n%reload_ext claude_magic")
    notebook.run("%%claude\ntwo", "b")
    assert len(server.requests[-1]["messages"]) == 3
    counts = """[
        sum("claude_magic" in repr(each) for each in get_ipython().events.callbacks["pre_run_cell"]),
        sum("claude_magic" in getattr(each, "__module__", "") for each in get_ipython().input_transformers_cleanup),
        sum(each.__class__.__name__ == "ClaudeMagic" for each in get_ipython().configurables),
    ]"""
    assert notebook.evaluate(counts) == [2, 1, 1]
    notebook.run("%unload_ext claude_magic")
    assert notebook.evaluate(counts) == [0, 0, 0]
    assert notebook.run("%%claude\nx", "c").error or "not found" in notebook.run("%%claude\nx", "c").text


def test_the_sdks_own_warnings_stay_out_of_the_cell(notebook: Kernel) -> None:
    run = notebook.run("%%claude --once -m claude-opus-4-6 --thinking 2000\nHi", "a")
    assert run.error is None and run.text == ""


def test_help_is_complete(notebook: Kernel) -> None:
    message = notebook.client.session.msg(
        "execute_request", {"code": "%%claude?", "silent": False, "store_history": False}
    )
    notebook.client.shell_channel.send(message)
    while (reply := notebook.client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != message["header"][
        "msg_id"
    ]:
        pass
    text = plain([reply["content"]["payload"][0]["data"]["text/plain"]])
    for flag in ("--model", "--system", "--max-tokens", "--effort", "--thinking", "--stop", "--chat", "--out", "{{"):
        assert flag in text


def test_nothing_is_written_to_the_working_directory(notebook: Kernel) -> None:
    notebook.run("%%claude\none", "a")
    assert list(notebook.folder.iterdir()) == []
