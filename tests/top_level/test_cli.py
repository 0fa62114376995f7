"""`claude-magic`: the tour in a real kernel, and how its file reads; cost, strip, replay and export of notebooks."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter

from claude_magic.cli import main
from claude_magic.conversation import record
from claude_magic.conversation.turns import Call, Turn
from claude_magic.cost import pricing
from claude_magic.errors import UsageError
from claude_magic.notebook import reader as notebook_module
from claude_magic.notebook import run, strip
from claude_magic.render.turn import footer
from support import forked_kernels

KEY = "sk-ant-api03-SECRET-secret-0123456789"
OFFLINE = "offline stand-in, not Claude"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The notebook that the demo leaves, and what it printed. A key in the environment must not matter."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "claude_magic.cli", "demo", "--to", str(folder), "--no-open"]
    environment = {**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    environment["IPYTHONDIR"] = str(ipython := tmp_path_factory.mktemp("ipython"))
    (startup := ipython / "profile_default" / "startup").mkdir(parents=True)
    # The written answers come at a pace that nobody could read at.
    (startup / "pace.py").write_text("from claude_magic.offline.replies import lessons\nlessons.PACE = 10_000.0\n")
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=200)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return folder / "tour.ipynb", done.stdout


@pytest.fixture(scope="module")
def notebook(demo: tuple[Path, str]) -> Any:
    notebook = nbformat.read(demo[0], as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_it_says_where_the_result_lies_and_what_it_would_have_cost(demo: tuple[Path, str]) -> None:
    path, printed = demo
    assert str(path) in printed
    assert re.search(rf"6 replies, [\d,]+ tokens in, [\d,]+ out, \$0\.\d+ \({OFFLINE}", printed)


def test_it_ends_with_the_command_that_opens_the_result(demo: tuple[Path, str]) -> None:
    path, printed = demo
    said, _, command = printed.splitlines()[-1].partition(": ")
    python, *arguments = shlex.split(command)
    assert said == "To open it" and python == sys.executable
    assert arguments[:2] == ["-m", "jupyterlab"] and arguments[-1] == str(path)


def test_each_reply_has_header_answer_and_turn_and_says_that_it_is_not_claude(notebook: Any) -> None:
    asked = [cell for cell in notebook.cells if re.match(r"%%?claude(?!_)(?!.*--show-request)", cell.source)]
    assert len(asked) == 6
    for cell in asked:
        header, *_, answer = cell.outputs
        assert header.metadata["claude_magic"]["version"] == 1
        assert OFFLINE in header.data["text/plain"] and OFFLINE in header.data["text/html"]
        assert set(answer.data) == {"text/html", "text/markdown", "text/plain"}


def test_all_notebooks_lie_beside_the_tour(demo: tuple[Path, str]) -> None:
    ours = {path.name for path in (Path(__file__).parents[2] / "notebooks").glob("*.ipynb")}
    assert {path.name for path in demo[0].parent.iterdir()} == ours


def test_a_second_demo_leaves_the_notebooks_as_their_reader_left_them(
    demo: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in demo[0].parent.iterdir():
        document = nbformat.read(path, as_version=4)
        document.cells.append(nbformat.v4.new_markdown_cell("A note of mine."))
        nbformat.write(document, tmp_path / path.name)
    left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["demo", "--to", str(tmp_path), "--no-open"]) == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == left
    assert "as you left it" in capsys.readouterr().out


def test_the_file_has_no_widget_and_no_key_in_it(demo: tuple[Path, str], notebook: Any) -> None:
    text = demo[0].read_text(encoding="utf-8")
    assert "widget-view" not in text and "SECRET" not in text
    assert "widgets" not in notebook.metadata


@pytest.mark.parametrize("exporter", [HTMLExporter, MarkdownExporter])
def test_it_reads_well_without_a_kernel(notebook: Any, exporter: Any) -> None:
    text, _ = exporter().from_notebook_node(notebook)
    written = ("A written example", "One shop a day", "zigzag", "391")
    for part in (*written, "offline stand-in, not Claude", "tokens in", "$0.0", "<details><summary>Thinking"):
        assert part in text
    assert "Traceback" not in text


def turn_of(name: str, **call: Any) -> Turn:
    """A turn of one call, to Opus 5.5 unless told."""
    used = {"input_tokens": 1_000, "cache_read_input_tokens": 500, "output_tokens": 321}
    given = {"model": "claude-opus-5-5", "usage": used, "stop_reason": "end_turn", "started": 1_795_000_000.0, **call}
    asked = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    replied = {"role": "assistant", "content": [{"type": "text", "text": f"Reply {name}"}]}
    return Turn(id=name, messages=(asked, replied), calls=(Call(**given),), cell_id=name, created=1_795_000_000.0)


def cell_of(*turns: Turn, **metadata: Any) -> dict[str, Any]:
    outputs = [
        {
            "output_type": "display_data",
            "data": {"text/plain": "Footer"},
            "metadata": {**record.metadata(turn), **metadata},
        }
        for turn in turns
    ]
    name = turns[0].id if turns else "empty"
    cell = {"cell_type": "code", "id": name, "source": "%%claude\nHi", "metadata": {}, "execution_count": 1}
    return {**cell, "outputs": outputs}


def written(path: Path, *cells: Any, **layout: Any) -> Path:
    """A notebook's file, as Jupyter writes it unless told."""
    document = {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, **{"indent": 1, "ensure_ascii": False, **layout}) + "\n", encoding="utf-8")
    return path


MIXED = (
    turn_of("a"),
    turn_of("b", model="claude-haiku-5-5", usage={"input_tokens": 7, "output_tokens": 1}),
    turn_of("c", stop_reason=None),
    turn_of("d", replayed=True),
    turn_of("e", provider="offline"),
)


def costs(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["cost", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_each_model_of_a_comparison_counts_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, other = turn_of("a"), turn_of("b", model="claude-haiku-5-5", started=1_795_000_001.0)
    cell = cell_of(own)
    cell["outputs"][0]["metadata"] = record.metadata(own, [other])
    path = written(tmp_path / "n.ipynb", cell, {**cell, "id": "copy"}, cell_of(turn_of("c", started=1_795_000_002.0)))
    rows = list(csv.DictReader(io.StringIO(costs(capsys, path, "--csv"))))
    assert [(row["cell"], row["calls"], len(row["models"].split())) for row in rows] == [("1", "2", 2), ("3", "1", 1)]
    exact = pricing.total(map(pricing.turn_cost, (own, other, own))).dollars
    assert sum(Decimal(row["dollars"]) for row in rows) == exact


def test_csv_has_a_line_a_cell_and_its_dollars_add_up_to_the_footers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(
        tmp_path / "n.ipynb", {"cell_type": "markdown", "id": "m", "source": "", "metadata": {}}, *map(cell_of, MIXED)
    )
    rows = list(csv.DictReader(io.StringIO(costs(capsys, path, "--csv"))))
    assert [int(row["cell"]) for row in rows] == [2, 3, 4, 5, 6]
    assert sum(Decimal(row["dollars"]) for row in rows) == pricing.total(map(pricing.turn_cost, MIXED)).dollars
    assert sum(int(row["tokens_in"]) for row in rows) == pricing.tokens(t.calls[0] for t in MIXED).all_input == 6_007
    for row, turn in zip(rows, MIXED, strict=True):
        assert pricing.dollars(Decimal(row["dollars"]), row["lower_bound"] == "true") in footer(turn)
        assert f"{int(row['tokens_out']):,} out" in footer(turn)
    assert [row["offline"] for row in rows] == ["false"] * 4 + ["true"]
    assert [row["replayed"] for row in rows] == ["false"] * 3 + ["true", "false"]


def test_json_has_notebooks_cells_models_and_totals_that_add_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "a.ipynb", cell_of(*MIXED[:2]))
    second = written(tmp_path / "b.ipynb", *map(cell_of, MIXED[2:]))
    document = json.loads(costs(capsys, first, second, "--json"))
    assert [each["notebook"] for each in document["notebooks"]] == [str(first), str(second)]
    (cell,) = document["notebooks"][0]["cells"]
    assert cell["cell"] == 1 and cell["calls"] == 2 and cell["models"] == ["claude-opus-5-5", "claude-haiku-5-5"]
    exact = pricing.total(map(pricing.turn_cost, MIXED)).dollars
    for parts in (document["notebooks"], [{"total": each} for each in document["models"]], [document]):
        assert sum(Decimal(each["total"]["dollars"]) for each in parts) == exact
    assert document["total"]["lower_bound"] and document["total"]["offline"]


def test_what_caching_saved_is_in_the_table_in_csv_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = {"input_tokens": 5, "cache_read_input_tokens": 100_000, "output_tokens": 1}
    written_once = {"input_tokens": 5, "cache_creation_input_tokens": 20_000, "output_tokens": 1}
    saved = [Decimal("0.38"), Decimal("-0.02"), Decimal(0)]  # at 4 a million: 0.2 to read, 5 to write
    turns = [turn_of("a", usage=read), turn_of("b", usage=written_once), turn_of("c", usage=read, replayed=True)]
    path = written(tmp_path / "n.ipynb", *map(cell_of, turns))
    assert re.search(r"^caching saved .*\$0\.3600", costs(capsys, path), re.MULTILINE)
    rows = csv.DictReader(io.StringIO(costs(capsys, path, "--csv")))
    assert [Decimal(row["saved_by_caching"]) for row in rows] == saved
    assert Decimal(json.loads(costs(capsys, path, "--json"))["total"]["saved_by_caching"]) == sum(saved)
    other = written(tmp_path / "m.ipynb", cell_of(turns[1]))
    assert re.search(r"^caching cost .*\$0\.0200", costs(capsys, other), re.MULTILINE)
    unpriced = written(tmp_path / "u.ipynb", cell_of(turn_of("d", model="who-knows", usage=read)))
    assert re.search(r"^caching saved .*n/a", costs(capsys, unpriced), re.MULTILINE)
    assert ",n/a,n/a," in costs(capsys, unpriced, "--csv")
    plain = written(tmp_path / "p.ipynb", cell_of(turn_of("e", usage={"input_tokens": 5, "output_tokens": 1})))
    assert "caching saved" not in costs(capsys, plain)


def test_a_table_of_one_notebook_has_its_cells_and_of_several_its_notebooks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "a.ipynb", *map(cell_of, MIXED))
    one = costs(capsys, path)
    assert "cell 5" in one and "all of claude-haiku-5-5" in one and OFFLINE in one
    assert re.search(r"^total .*≥\$0\.0\d+", one, re.MULTILINE)
    other = written(tmp_path / "b.ipynb", cell_of(turn_of("x")))
    both = costs(capsys, path, other)
    assert str(path) in both and str(other) in both and "cell" not in both.replace(str(tmp_path), "")
    assert f"{other}: cell 1" in costs(capsys, path, other, "--cells")


def test_a_model_without_a_price_is_not_available_and_neither_is_the_total(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "n.ipynb", cell_of(turn_of("a")), cell_of(turn_of("b", model="who-knows")))
    assert re.search(r"^total .* n/a$", costs(capsys, path), re.MULTILINE)
    assert json.loads(costs(capsys, path, "--json"))["total"]["dollars"] is None
    assert "n/a" in costs(capsys, path, "--csv")


def test_a_folder_stands_for_all_notebooks_below_it_each_once_without_hidden_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["a.ipynb", "deep/er/b.ipynb", ".ipynb_checkpoints/a-checkpoint.ipynb", "deep/.git/c.ipynb"]
    for name in names:
        written(tmp_path / name, cell_of(turn_of(name)))
    document = json.loads(costs(capsys, tmp_path, tmp_path / "a.ipynb", "--json"))
    assert [each["notebook"] for each in document["notebooks"]] == [str(tmp_path / name) for name in names[:2]]


def test_what_cannot_be_read_is_one_line_and_the_rest_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = cell_of(turn_of("b"))
    damaged["outputs"][0]["metadata"]["claude_magic"]["turn"]["calls"] = "none"
    good = written(tmp_path / "good.ipynb", cell_of(turn_of("a")), damaged)
    bad = tmp_path / "bad.ipynb"
    bad.write_text('{"cells": [{"claude_magic": ', encoding="utf-8")
    assert main(["cost", str(tmp_path / "none.ipynb"), str(bad), str(good)]) == 1
    printed = capsys.readouterr()
    assert "cell 1" in printed.out
    none, broken, skipped = printed.err.splitlines()
    assert "none.ipynb cannot be read" in none and "bad.ipynb cannot be read" in broken
    assert skipped.startswith(f"{good}: cell 2: ")


DEEP = '{"cells":' * 100_000 + '"claude_magic":' + "}" * 100_000
HOSTILE = {
    "deep nesting": DEEP,
    "NaN": '{"nbformat": 4, "cells": [{"outputs": [{"metadata": {"claude_magic": NaN}}]}]}',
    "cells of a wrong type": '{"nbformat": 4, "cells": {"claude_magic": 1}}',
    "outputs of a wrong type": '{"nbformat": 4, "cells": [1, {"outputs": {"metadata": {"claude_magic": 1}}}]}',
    "metadata of a wrong type": '{"nbformat": 4, "cells": [{"outputs": [{"metadata": ["claude_magic", 1]}, 3]}]}',
    "a list": '[{"claude_magic": 1}]',
    "a long integer": '{"nbformat": 4, "cells": [{"outputs": [{"metadata": {"claude_magic": %s}}]}]}' % ("9" * 5_000),
    "no UTF-8": '{"claude_magic": "\udcff"}',
    "two values": '{"claude_magic": 1} {"claude_magic": 1}',
    "a large record": '{"nbformat": 4, "cells": [{"outputs": [{"metadata": {"claude_magic": "%s"}}]}]}'
    % ("x" * 45_000_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("command", ["cost", "strip"])
@pytest.mark.slow
def test_a_hostile_notebook_is_a_line_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, content: str
) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(content.encode(errors="surrogateescape"))
    assert main([command, str(path)]) in (0, 1)
    printed = capsys.readouterr()
    assert all(line.startswith(str(path)) and len(line) < 400 for line in printed.err.splitlines())
    assert len(printed.out) < 600
    assert [each.name for each in tmp_path.iterdir()] == ["n.ipynb"]


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"], ["--cells"]], ids=str)
def test_no_name_drives_the_terminal_or_a_spreadsheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    evil = written(tmp_path / "\x1b]0;pwned\x07\n.ipynb", cell_of(turn_of("a", model="=1+\x1b[31m\u202e1")))
    odd = written(tmp_path / os.fsdecode(b"\xff.ipynb"), cell_of(turn_of("b")))
    printed = costs(capsys, evil, odd, *form)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", printed)
    if form == ["--csv"]:
        assert "'=1+" in printed and ",=1" not in printed
    assert main(["cost", str(tmp_path / "\x1b[31m.ipynb")]) == 1
    assert "\x1b" not in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["cost", "--\x1b[31m"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("extra", [{}, {"zz": 1}, {"aa": {"b": [1, "ü"]}, "zz": 2}], ids=["alone", "first", "middle"])
@pytest.mark.parametrize(
    "layout",
    [{}, {"indent": 2}, {"indent": "\t"}, {"indent": None}, {"indent": 4, "ensure_ascii": True}],
    ids=["1", "2", "tab", "none", "ascii"],
)
def test_strip_takes_out_records_and_no_other_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: dict[str, Any], extra: dict[str, Any]
) -> None:
    front = {key: value for key, value in extra.items() if key == "aa"}
    back = {key: value for key, value in extra.items() if key == "zz"}
    marked = cell_of(turn_of("a"), turn_of("b"), **back)
    plain = cell_of(turn_of("a"), turn_of("b"))
    for marked_output, plain_output in zip(marked["outputs"], plain["outputs"], strict=True):
        marked_output["metadata"] = {**front, **marked_output["metadata"]}
        plain_output["metadata"] = extra
    tricky = {"cell_type": "raw", "id": "raw", "source": 'Grüße "claude_magic": {} \\', "metadata": {"claude_magic": 1}}
    path = written(tmp_path / "n.ipynb", tricky, marked, **layout)
    expected = written(tmp_path / "expected.ipynb", tricky, plain, **layout).read_bytes()
    path.chmod(0o640)
    assert main(["strip", str(path)]) == 0
    assert path.read_bytes() == expected
    assert path.stat().st_mode & 0o777 == 0o640
    assert capsys.readouterr().out == f"{path}: 2 records removed\n"
    assert notebook_module.read(path).shown == ()


def test_strip_leaves_odd_spelling_as_it_is() -> None:
    """Numbers, escapes, line ends, a byte order mark, keys that come twice, no newline at the end."""
    before = (
        '\ufeff{ "a":1.50e+01,"\\u0061" : NaN,\r\n"cells":[{"outputs":[{"metadata":\r\n{"claude_magic" : {"x":"}]"} ,'
        '"k":"\\/","claude_magic":[[1]],"claude\\u005fmagic":0, "l" :-0}},{"metadata":{ "claude_magic":1 }}]}]}'
    )
    after = (
        '\ufeff{ "a":1.50e+01,"\\u0061" : NaN,\r\n"cells":[{"outputs":[{"metadata":\r\n{'
        '"k":"\\/", "l" :-0}},{"metadata":{}}]}]}'
    )
    assert strip.stripped(before.encode()) == (after.encode(), 4)


def test_strip_does_not_touch_a_file_without_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path / "n.ipynb", cell_of())
    known = path.stat()
    assert main(["strip", str(path)]) == 0
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (known.st_mtime_ns, known.st_ino)
    assert "no records" in capsys.readouterr().out


def test_strip_writes_through_a_link_and_tells_of_what_it_cannot_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "n.ipynb", cell_of(turn_of("a")))
    link = tmp_path / "link.ipynb"
    link.symlink_to(path)
    assert main(["strip", str(tmp_path / "none.ipynb"), str(tmp_path), str(link)]) == 1
    assert link.is_symlink() and notebook_module.read(path).shown == ()
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A notebook that the stand-in answered, and its replay by the real command, with no network to go to."""
    path = tmp_path_factory.mktemp("a class") / "lesson.ipynb"
    cells = ["%load_ext claude_magic\n%config ClaudeMagic.provider = 'offline'", "%%claude\nMy name is Ada.", "1 + 1"]
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with pytest.MonkeyPatch.context() as patch:
        forked_kernels.use(patch)
        run.run(document, path.parent)
    document.cells[0].source = "%load_ext claude_magic\n%config ClaudeMagic.provider = 'anthropic'"
    path.write_bytes(run.dump(document))
    before = path.read_bytes()
    command = [sys.executable, "-m", "claude_magic.cli", "replay", str(path)]
    environment = {**os.environ, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert path.read_bytes() == before
    return path, done


def test_replay_answers_each_cell_from_its_record_and_says_what_it_cost(
    replayed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    path, done = replayed
    assert done.returncode == 0, done.stderr
    result = path.with_name("lesson-replayed.ipynb")
    said, line = done.stdout.splitlines()
    assert said == str(result)
    assert re.match(r"1 cell replayed: 1 reply, [\d,]+ tokens in, \d+ out, \$0\.00 now, \$0\.\d+ when recorded", line)
    (recorded,), (again,) = notebook_module.read(path).shown, notebook_module.read(result).shown
    assert again.turn.replayed and again.turn.reply == recorded.turn.reply


@pytest.mark.kernel
@pytest.mark.parametrize("cell", ["%load_ext claude_magic", "1 / 0", "raise ValueError('\\x1b[31mone\\ntwo')"])
def test_a_cell_that_fails_ends_a_replay_with_its_number_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    cells = [nbformat.v4.new_markdown_cell("Hi"), nbformat.v4.new_code_cell(cell)]
    cells.append(nbformat.v4.new_code_cell("%%claude\nNobody has asked this"))
    path = tmp_path / "n.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert main(["replay", str(path), "--to", str(path)]) == 1
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cell ")]
    expected = {"%": "cell 3: UsageError: ", "1": "cell 2: ZeroDivisionError: division by zero"}
    assert said.startswith(expected.get(cell[0], "cell 2: ValueError: [31mone two")), said
    assert [each.name for each in tmp_path.iterdir()] == ["n.ipynb"]
    assert not any(cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells)


def test_replay_of_what_is_no_notebook_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.ipynb").write_text(DEEP, encoding="utf-8")
    for name in ("none.ipynb", "n.ipynb", "."):
        assert main(["replay", str(tmp_path / name)]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(("module", "options"), [("matplotlib", ["--no-open"]), ("jupyterlab", [])])
def test_without_a_package_of_the_tour_nothing_is_begun(
    module: str,
    options: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo", "--to", str(tmp_path / "demo"), *options]) == 1
    printed = capsys.readouterr()
    assert f"({module}): pip install 'claude_magic[demo]'" in printed.err and not printed.out
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("command", ["demo", "replay"])
def test_without_nbclient_a_line_says_what_to_install(tmp_path: Path, command: str) -> None:
    path = [str(written(tmp_path / "n.ipynb", cell_of(turn_of("a"))))] if command == "replay" else ["--no-open"]
    program = (
        "import sys; sys.modules['nbclient'] = None; from claude_magic.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, command, *path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [done.stderr.strip()] and "claude_magic[demo]" in done.stderr


def test_export_writes_a_file_beside_the_notebook_or_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "n.ipynb", cell_of(turn_of("a")), cell_of(turn_of("b")))
    assert main(["export", str(path)]) == 0
    assert "Reply a" in (tmp_path / "n.md").read_text(encoding="utf-8")
    target = tmp_path / "new" / "chat.json"
    assert main(["export", str(path), str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    kept = record.record_of(json.loads(target.read_text(encoding="utf-8"))["claude_magic"]).turns
    assert kept == notebook_module.read(path).turns
    assert main(["export", str(path), str(tmp_path / "n.doc")]) == 1
    before = path.read_bytes()
    assert main(["export", str(path), str(path), "--form", "json"]) == 1
    assert path.read_bytes() == before
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    path = written(tmp_path / "n.ipynb", *(cell_of(turn_of(str(number))) for number in range(900)))
    command = [sys.executable, "-m", "claude_magic.cli", "cost", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize("command", ["", "demo", "cost", "export", "replay", "strip"])
def test_each_command_explains_itself(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as left:
        main([*command.split(), "--help"])
    assert left.value.code == 0
    assert f"claude-magic {command}".strip() in capsys.readouterr().out


def test_strip_refuses_what_is_not_one_json_value() -> None:
    record_and_more = '{"cells": [{"outputs": [{"metadata": {"claude_magic": 1}}]}]} {}'
    with pytest.raises(UsageError, match="not JSON"):
        strip.stripped(record_and_more.encode())
