"""Notebooks' files: turns go through real files and come back; what is not whole is a line, never an accident."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from claude_magic.conversation import record
from claude_magic.conversation.turns import Turn
from claude_magic.errors import UsageError
from claude_magic.notebook import reader
from claude_magic.notebook.cell import Cell, current_cell
from claude_magic.notebook.lookup import path_holding, reported_path
from claude_magic.notebook.reader import Saved, read
from claude_magic.render.answer import answer_outputs
from claude_magic.render.turn import header_output, sent_outputs
from support.shell import ipython_shell
from support.turns import ASKED_AT, digested, from_the_corpus, image, plain, rich_turn, text, turn_of

Node = dict[str, Any]


def display(data: Node, metadata: Node | None = None) -> Node:
    return new_output("display_data", data=data, metadata=metadata or {})


def cell_of(*turns: Turn, id: str | None = None) -> Node:
    """A cell as it stands when these turns were made in it: header, images, answer."""
    outputs = []
    for turn in turns:
        outputs.append(display(*header_output(turn)))
        outputs += [display(bundle) for bundle, _ in sent_outputs(turn.prompt)]
        outputs += [display(bundle) for bundle in answer_outputs(turn)]
    return new_code_cell("%%claude\nhello", id=id or turns[0].cell_id or turns[0].id, outputs=outputs)


def cell_with(metadata: Node, id: str = "holder") -> Node:
    """A cell whose output carries this."""
    return new_code_cell("%claude_recover", id=id, outputs=[display({"text/plain": "x"}, metadata)])


def cell_without(id: str) -> Node:
    """A cell that shows no turn."""
    return new_code_cell("1 + 1", id=id)


def written(folder: Path, *cells: Node) -> Path:
    path = folder / "talk.ipynb"
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


def edited(path: Path, **changes: Any) -> Path:
    """The file with other values at its top, by hand."""
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")
    return path


def cells_in(path: Path) -> list[Node]:
    found: list[Node] = json.loads(path.read_text("utf-8"))["cells"]
    return found


def ids(saved: Saved) -> list[str]:
    return [turn.id for turn in saved.turns]


def places(saved: Saved) -> list[tuple[str, str | None]]:
    return [(turn.id, turn.cell_id) for turn in saved.turns]


A, B, C = (turn_of(f"{name}{number}", name) for number, name in enumerate("abc", 1))


# Coming back


def test_turns_come_back_equal_and_in_cell_order(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(B), new_markdown_cell("words", id="words"), cell_of(rich_turn()), cell_of(A))
    saved = read(path)
    assert plain(saved.turns) == plain([B, rich_turn(), A])
    assert plain([each.turn for each in saved.shown]) == plain(saved.turns)
    assert [each.cell for each in saved.shown] == [1, 3, 4]
    assert saved.cells == ("b", "words", "cell-a", "a")
    assert (saved.guests, saved.skipped) == ((), ())


@pytest.mark.skipif(not from_the_corpus(), reason="the recordings are not there")
@pytest.mark.slow
def test_every_recorded_reply_comes_back_byte_for_byte(tmp_path: Path) -> None:
    turns = from_the_corpus()
    saved = read(written(tmp_path, *(cell_of(turn) for turn in turns)))
    assert saved.skipped == ()
    # nbformat writes the members of objects in the order of their names
    back, meant = (json.dumps(plain(each), sort_keys=True) for each in ([each.turn for each in saved.shown], turns))
    assert back == meant


def test_several_turns_of_one_cell_come_back_in_their_order(tmp_path: Path) -> None:
    second = turn_of("a2", "a")
    assert plain(read(written(tmp_path, cell_of(A, second), cell_of(C))).turns) == plain([A, second, C])


def test_a_turn_takes_the_id_of_the_cell_in_the_file(tmp_path: Path) -> None:
    headless = turn_of("h5")  # nbclient sends no cell ids
    path = written(tmp_path, cell_of(A, id="given-anew"), cell_of(headless, id="from-file"))
    assert places(read(path)) == [("a1", "given-anew"), ("h5", "from-file")]


def without_cell_ids(path: Path) -> Path:
    """The file as nbformat 4.4 has it."""
    cells = [{name: value for name, value in cell.items() if name != "id"} for cell in cells_in(path)]
    return edited(path, cells=cells, nbformat_minor=4)


def test_a_file_without_cell_ids_gives_the_recorded_ones(tmp_path: Path) -> None:
    path = without_cell_ids(written(tmp_path, cell_of(B), cell_without("x"), cell_of(A), cell_of(turn_of("h5"))))
    saved = read(path)
    assert places(saved) == [("b2", "b"), ("a1", "a"), ("h5", None)]
    assert saved.cells == ("b", "a")


def test_a_file_without_cell_ids_still_lets_guests_find_their_cell(tmp_path: Path) -> None:
    newer = turn_of("a9", "a")
    guest = cell_with(record.guests_metadata([A]))
    assert ids(read(without_cell_ids(written(tmp_path, cell_of(newer), cell_of(B), guest)))) == ["a9", "b2"]


@pytest.mark.parametrize("order", ([0, 1], [1, 0]), ids=["original first", "copy first"])
def test_a_pasted_copy_of_a_cell_has_no_turn_of_its_own(tmp_path: Path, order: list[int]) -> None:
    cells = [cell_of(A), cell_of(A, id="pasted")]
    assert places(read(written(tmp_path, *(cells[each] for each in order), cell_of(C)))) == [("a1", "a"), ("c3", "c")]


def test_where_the_copied_cell_is_gone_its_copy_has_the_turn_once(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(A, id="pasted"), cell_of(A, id="again"))
    assert places(read(path)) == [("a1", "pasted")]


def test_two_cells_of_one_id_show_a_turn_once(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(B), cell_of(A), cell_of(C))
    cells = cells_in(path)
    for cell in cells:
        cell["id"] = "same"
    saved = read(edited(path, cells=[*cells, cells[1]]))
    assert places(saved) == [("b2", "same"), ("a1", "same"), ("c3", "same")]


def test_an_image_comes_back_however_its_base64_is_wrapped(tmp_path: Path) -> None:
    turn = turn_of("a1", "a", [text("see"), image(1), image(2)])
    path = written(tmp_path, cell_of(turn))
    cells = cells_in(path)
    shown = [output["data"] for output in cells[0]["outputs"] if "image/png" in output["data"]]
    whole = ["".join(each["image/png"]) for each in shown]
    shown[0]["image/png"] = "\n".join(whole[0][at : at + 76] for at in range(0, len(whole[0]), 76)) + "\n"
    shown[1]["image/png"] = [whole[1][at : at + 50] + "\n" for at in range(0, len(whole[1]), 50)]
    assert plain(read(edited(path, cells=cells)).turns) == plain([turn])


def test_an_image_may_stand_in_another_cell(tmp_path: Path) -> None:
    turn = turn_of("a1", "a", [image(1)])
    header, shown, *answer = cell_of(turn)["outputs"]
    cells = [new_code_cell("", id="a", outputs=[header, *answer]), new_code_cell("", id="b", outputs=[shown])]
    assert plain(read(written(tmp_path, *cells)).turns) == plain([turn])


def test_an_image_that_was_taken_out_leaves_words_and_the_turn(tmp_path: Path) -> None:
    cell = cell_of(turn_of("a1", "a", [text("see"), image(1)]))
    cell["outputs"] = [output for output in cell["outputs"] if "image/png" not in output["data"]]
    saved = read(written(tmp_path, cell))
    assert plain(saved.turns[0].prompt) == [text("see"), text(record.GONE)]
    assert saved.skipped == ()


def test_what_was_asked_once_is_shown_and_in_no_conversation(tmp_path: Path) -> None:
    once = dataclasses.replace(B, once=True)
    saved = read(written(tmp_path, cell_of(A), cell_of(once)))
    assert ids(saved) == ["a1"]
    assert [(each.cell, each.turn.id) for each in saved.shown] == [(1, "a1"), (2, "b2")]


def test_a_reply_of_which_nothing_came_is_shown_and_in_no_conversation(tmp_path: Path) -> None:
    messages = (A.messages[0], {"role": "assistant", "content": []})
    saved = read(
        written(tmp_path, cell_of(dataclasses.replace(A, status="interrupted", messages=messages)), cell_of(B))
    )
    assert ids(saved) == ["b2"]
    assert [each.turn.id for each in saved.shown] == ["a1", "b2"]


def test_turns_from_before_a_reset_do_not_come_back(tmp_path: Path) -> None:
    side = turn_of("s1", "s", chat="side")
    late, early = (cell_with(record.reset_metadata("main", ASKED_AT + at), id) for at, id in ((1.5, "r"), (0.5, "q")))
    path = written(tmp_path, cell_of(side), cell_of(A), late, early, cell_of(B))
    assert ids(read(path)) == ["s1", "b2"]


# Guests


def test_a_guest_stands_in_its_own_cell_where_that_shows_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, cell_without("a"), cell_of(B), cell_with(record.guests_metadata([A])))
    saved = read(path)
    assert places(saved) == [("a1", "a"), ("b2", "b")]
    assert plain(saved.guests) == plain([A])
    assert [each.turn.id for each in saved.shown] == ["b2"]


def test_a_guest_takes_the_place_of_an_older_turn_and_gives_way_to_a_newer_one(tmp_path: Path) -> None:
    older, newer = turn_of("a1", "a"), turn_of("a5", "a")
    assert ids(read(written(tmp_path, cell_of(older), cell_of(B), cell_with(record.guests_metadata([newer]))))) == [
        "a5",
        "b2",
    ]
    assert ids(read(written(tmp_path, cell_of(newer), cell_of(B), cell_with(record.guests_metadata([older]))))) == [
        "a5",
        "b2",
    ]


def test_an_undone_rerun_stays_undone(tmp_path: Path) -> None:
    before, rerun = turn_of("a1", "a"), turn_of("a5", "a")
    undo = cell_with(record.guests_metadata([before], instead_of=["a5"]))
    assert ids(read(written(tmp_path, cell_of(rerun), cell_of(B), undo))) == ["a1", "b2"]
    again = turn_of("a7", "a")
    assert ids(read(written(tmp_path, cell_of(again), cell_of(B), undo))) == ["a7", "b2"]


def test_a_guest_whose_cell_is_gone_stands_with_the_cell_that_brought_it(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(B), cell_with(record.guests_metadata([A, turn_of("a2", "a")])), cell_of(C))
    assert places(read(path)) == [("b2", "b"), ("a1", "holder"), ("a2", "holder"), ("c3", "c")]


def test_a_guest_that_its_own_cell_shows_or_that_was_brought_twice_is_there_once(tmp_path: Path) -> None:
    holders = [cell_with(record.guests_metadata([A, C]), f"holder{each}") for each in (1, 2)]
    assert places(read(written(tmp_path, cell_of(A), *holders))) == [("a1", "a"), ("c3", "holder1")]


def test_a_guest_brings_its_image_along(tmp_path: Path) -> None:
    path = written(tmp_path, cell_with(record.guests_metadata([rich_turn()])))
    [back] = read(path).turns
    assert plain(back.messages) == plain(rich_turn().messages)


# Damage


def test_a_damaged_record_is_a_line_that_names_its_cell_and_the_others_come_back(tmp_path: Path) -> None:
    damaged = cell_of(B)
    damaged["outputs"][0]["metadata"]["claude_magic"]["turn"]["calls"] = "<script>"
    saved = read(written(tmp_path, cell_of(A), damaged, cell_of(C)))
    assert ids(saved) == ["a1", "c3"]
    [line] = saved.skipped
    assert line.startswith("cell 2: turn.calls") and "script" not in line


def test_another_version_is_a_line_that_says_so(tmp_path: Path) -> None:
    newer = cell_of(A)
    newer["outputs"][0]["metadata"]["claude_magic"]["version"] = 2
    saved = read(written(tmp_path, newer))
    assert (saved.turns, saved.skipped) == (
        (),
        ("cell 1: its version is 2, and this claude_magic reads version 1",),
    )


ODD_CELLS: dict[str, Any] = {
    "a null": None,
    "a text": "x",
    "nothing": {},
    "outputs that are a text": {"cell_type": "code", "source": "", "outputs": "x"},
    "outputs that are an object": {"cell_type": "code", "source": "", "outputs": {"a": 1}},
    "an output that is a list": {"cell_type": "code", "source": "", "outputs": [[]]},
    "metadata that is a list": {
        "cell_type": "code",
        "source": "",
        "outputs": [{"output_type": "display_data", "data": {}, "metadata": ["claude_magic"]}],
    },
    "data that is a text": {
        "cell_type": "code",
        "source": "",
        "outputs": [{"output_type": "display_data", "data": "x", "metadata": {}}],
    },
    "an id that is a list": {"cell_type": "code", "id": [1], "source": "", "outputs": []},
    "an unknown type of cell": {"cell_type": "quantum", "outputs": None},
    "images that are none": {
        "cell_type": "code",
        "source": "",
        "outputs": [{"output_type": "display_data", "data": {"image/png": 5, "image/gif": {"a": 1}}, "metadata": {}}],
    },
}


@pytest.mark.parametrize("odd", ODD_CELLS.values(), ids=ODD_CELLS)
def test_an_odd_cell_is_passed_over_or_the_file_refused_in_one_line(tmp_path: Path, odd: Any) -> None:
    path = written(tmp_path, cell_of(rich_turn()), cell_of(B))
    path = edited(path, cells=[odd, *cells_in(path)])
    try:
        assert plain(read(path).turns) == plain([rich_turn(), B])
    except UsageError as error:
        assert_one_line(error, path)


def assert_one_line(error: UsageError, path: Path) -> None:
    assert str(error).startswith(f"{path} cannot be read")
    assert str(error).isprintable() and len(str(error)) < 200 + len(str(path))


def _in_file(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


MARK = '"claude_magic": '
BROKEN: dict[str, str | bytes] = {
    "not JSON": f"{{{MARK}",
    "a number": f"{{{MARK}1}}".replace("{", "").replace("}", ""),
    "an array": f"[{{{MARK}1}}]",
    "no cells": f'{{{MARK}1, "nbformat": 4, "nbformat_minor": 5}}',
    "cells that are an object": f'{{{MARK}1, "nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": {{}}}}',
    "cells that are null": f'{{{MARK}1, "nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": null}}',
    "a format of the future": f'{{{MARK}1, "nbformat": 99, "nbformat_minor": 5, "cells": []}}',
    "a format that is a text": f'{{{MARK}1, "nbformat": "four", "cells": []}}',
    "a merge conflict": f"<<<<<<< HEAD\n{{{MARK}1}}\n=======\n{{}}\n>>>>>>> other\n",
    "a number of 10,000 digits": f"{{{MARK}{'9' * 10_000}}}",
    "Latin-1": f'{{{MARK}"é"}}'.encode("latin-1"),
    "zeros": b'\x00\x01\xff "claude_magic": \x00',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_no_notebook_is_refused_in_one_line(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "broken.ipynb"
    _in_file(path, content)
    with pytest.raises(UsageError) as caught:
        read(path)
    assert_one_line(caught.value, path)


def test_a_file_that_is_nested_too_deeply_says_so(tmp_path: Path) -> None:
    depth = 100_000
    path = tmp_path / "deep.ipynb"
    _in_file(path, f'{{"nbformat": 4, "nbformat_minor": 5, "cells": [], {MARK}{"[" * depth}{"]" * depth}}}')
    with pytest.raises(UsageError, match="nested too deeply"):
        read(path)


def test_a_record_that_is_nested_too_deeply_is_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(A), cell_of(B))
    depth = 800
    deep = path.read_text().replace('"messages": [', f'"deep": {"[" * depth}{"]" * depth}, "messages": [', 1)
    path.write_text(deep)
    saved = read(path)
    assert ids(saved) == ["b2"] and saved.skipped == ("cell 1: it is nested more than 150 levels deep",)


def test_texts_are_joined_as_nbformat_joins_them(tmp_path: Path) -> None:
    lines = ["a\n", "b"]
    data = {
        **dict.fromkeys(("text/plain", "text/html", "image/svg+xml", "image/png", "application/x", "odd"), lines),
        **dict.fromkeys(("application/json", "application/vnd.x+json"), lines),
        **{"text/x-empty": [], "text/x-mixed": ["a", 1], "text/x-whole": "a\nb"},
    }
    outputs = [
        {"output_type": "display_data", "metadata": {"claude_magic": lines}, "data": data},
        {"output_type": "stream", "name": "stdout", "text": lines},
        {"output_type": "error", "ename": "E", "evalue": "e", "traceback": lines},
    ]
    path = tmp_path / "lines.ipynb"
    cells = [{**new_code_cell("x", id="x"), "source": lines, "outputs": outputs}]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    (cell,) = reader.cells(path)
    assert cell == plain(nbformat.reader.reads(path.read_text()).cells[0]) and cell["source"] == "a\nb"


def test_a_file_of_millions_of_lists_is_refused_before_nbformat_takes_minutes(tmp_path: Path) -> None:
    path = tmp_path / "many.ipynb"
    many = "[]," * reader.MAX_OBJECTS
    _in_file(path, f'{{"nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": [], {MARK}[{many}0]}}')
    with pytest.raises(UsageError, match="objects and lists"):
        read(path)


def test_a_merge_conflict_inside_a_notebook_is_refused_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(A))
    lines = path.read_text("utf-8").split("\n")
    path.write_text("\n".join([*lines[:9], "<<<<<<< HEAD", *lines[9:12], "=======", ">>>>>>> other", *lines[12:]]))
    with pytest.raises(UsageError) as caught:
        read(path)
    assert_one_line(caught.value, path)


@pytest.mark.parametrize("content", (b"", b"\x00\xff" * 99, '{"claude_magic": 1}'.encode("utf-16")))
def test_a_file_that_has_no_turns_to_be_seen_has_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.ipynb"
    _in_file(path, content)
    assert read(path) == Saved()


def test_a_folder_and_a_file_that_is_not_there_are_refused_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.ipynb", tmp_path / "\x00.ipynb"):
        with pytest.raises(UsageError, match="cannot be read"):
            read(path)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(A))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert ids(read(path)) == ["a1"]


def test_a_notebook_of_format_3_is_read(tmp_path: Path) -> None:
    output = {"output_type": "display_data", "metadata": plain(record.metadata(A)), "text": ["x"]}
    cell = {"cell_type": "code", "language": "python", "input": ["x"], "outputs": [output], "metadata": {}}
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [cell]}]}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old))
    assert ids(read(path)) == ["a1"]


def test_a_stranger_s_image_output_is_not_taken_for_one_that_claude_takes(tmp_path: Path) -> None:
    turn = turn_of("a1", "a", [image(1)])
    cell = cell_of(turn)
    forged = "aGVsbG8="  # hello
    digest = record.digest_of(forged)
    cell["outputs"][0]["metadata"]["claude_magic"]["turn"]["messages"][0]["content"][0]["source"]["sha256"] = digest
    cell["outputs"][1]["data"]["image/png"] = forged
    saved = read(written(tmp_path, cell))
    assert saved.turns == () and saved.skipped[0].startswith("cell 1: ")


def test_what_comes_back_can_be_shown_and_sent(tmp_path: Path) -> None:
    for turn in read(written(tmp_path, cell_of(rich_turn()), cell_of(A))).turns:
        assert digested(turn)


# Which file, and what it costs to look


LOOK = """
import sys
from pathlib import Path
from claude_magic.notebook.reader import read
assert not read(Path(sys.argv[1])).turns
print(*sorted({"nbformat", "fastjsonschema", "PIL", "anthropic"} & sys.modules.keys()))
"""


@pytest.mark.slow
def test_a_notebook_of_this_format_is_read_without_nbformat_whose_import_takes_a_second(tmp_path: Path) -> None:
    for number, (cell, needed) in enumerate(
        (
            (new_code_cell("print('claude_magic')", id="x"), []),
            (cell_with({"claude_magic": {"version": 0}}), []),
            (cell_of(A), ["fastjsonschema"]),
        )
    ):
        (folder := tmp_path / str(number)).mkdir()
        look = LOOK if number < 2 else LOOK.replace("not read", "read")
        command = [sys.executable, "-c", look, written(folder, cell)]
        looked = subprocess.run(command, capture_output=True, text=True, check=True)
        assert looked.stdout.split() == needed


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """A shell in an environment that names no notebook. What is asked of it is its namespace alone."""
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    found: Any = SimpleNamespace(user_ns={})
    return found  # type: ignore[no-any-return]


def test_jupyter_s_name_is_believed_for_a_cell_of_a_frontend(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/talk.ipynb")
    assert reported_path(shell, Cell("a")) == Path("/somewhere/talk.ipynb")
    assert reported_path(shell, Cell(None)) is None


def test_vs_code_s_variable_is_believed_for_a_cell_of_a_frontend(shell: InteractiveShell) -> None:
    shell.user_ns["__vsc_ipynb_file__"] = "/somewhere/talk.ipynb"
    assert reported_path(shell, Cell("a")) == Path("/somewhere/talk.ipynb")
    assert reported_path(shell, Cell(None)) is None


@pytest.mark.parametrize("told", (5, "", "console-1", None))
def test_what_is_no_notebook_s_name_is_none(shell: InteractiveShell, told: Any) -> None:
    shell.user_ns["__vsc_ipynb_file__"] = told
    assert reported_path(shell, Cell("a")) is None


def test_a_real_shell_without_a_frontend_has_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/somewhere/talk.ipynb")
    real = ipython_shell()
    assert reported_path(real, current_cell(real)) is None


def test_a_renamed_notebook_is_found_by_its_cells(tmp_path: Path) -> None:
    path = written(tmp_path, cell_of(A))
    assert path_holding(path, {"a", "not-saved-yet"}) == path
    renamed = path.rename(tmp_path / "renamed.ipynb")
    other = tmp_path / "other.ipynb"
    nbformat.write(new_notebook(cells=[cell_of(B)]), other)
    os.utime(renamed, (1, 1))
    assert path_holding(path, {"a"}) == renamed
    assert path_holding(path, {"nowhere"}) is None
    assert path_holding(tmp_path / "gone" / "talk.ipynb", {"a"}) is None
    other.rename(path)  # another notebook has the old name now
    assert path_holding(path, {"a"}) == renamed
