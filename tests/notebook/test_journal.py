"""What arrived is on the disk before anything else can go wrong."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_magic.conversation import record
from claude_magic.conversation.accumulator import Accumulator, call_of, concluded
from claude_magic.conversation.record import DamagedRecord
from claude_magic.conversation.turns import Attached, Turn
from claude_magic.errors import StreamError
from claude_magic.notebook import journal
from claude_magic.notebook.journal import Entry, Journal, missing, turn_of
from claude_magic.notebook.lookup import NO_NOTEBOOK
from support.recordings import finished_streams

MODEL = "claude-opus-5-5"
NOTEBOOK = Path("/somewhere/talk.ipynb")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABAQAAAAA3bvkkAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
FACTS = {"request_id": "req_1", "started": 1000.5, "first_token": 0.25, "seconds": 3.5, "provider": "offline"}
NOW = 2_000_000_000.0
DAY = 86_400

numbers = itertools.count()


def draft(**changed: Any) -> Turn:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    prompt = [{"type": "text", "text": "Was ist 2+2? 🧮"}, image]
    given = Turn(
        id=f"turn-{next(numbers)}",
        messages=({"role": "user", "content": prompt},),
        calls=(),
        cell_id="cell-a",
        chat="main",
        prefix="abc",
        params={"model": MODEL, "max_tokens": 9, "thinking": {"type": "adaptive"}},
        created=1000.0,
        execution_count=4,
        notes=("2 earlier turns",),
    )
    return dataclasses.replace(given, **changed)


def story(words: Sequence[str] = ("Four", ", of", " course", ".")) -> list[dict[str, Any]]:
    """A reply with thinking, text, a tool and things that nobody knows."""
    start = {"id": "msg_1", "model": MODEL, "content": [], "usage": {"input_tokens": 9, "output_tokens": 1}}
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Zwei und…"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EuY="}},
        {"type": "content_block_stop", "index": 0},
        {"type": "aurora", "light": {"green": [1, 2.5, None]}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        *[{"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": w}} for w in words],
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 12}},
        {"type": "message_stop"},
    ]


def made_of(asked: Turn, events: Sequence[Any], **facts: Any) -> Turn:
    """The turn that a session makes of these events."""
    accumulator = Accumulator()
    for event in events:
        accumulator.add(event)
    reply = accumulator.reply()
    return concluded(asked, reply, call_of(reply, model=MODEL, **(facts or FACTS)))


def write(
    kept: Journal, asked: Turn, events: Sequence[Any] = (), *, end: bool = True, page: str = "page-1", run: str = ""
) -> Turn:
    """Journal a turn; without its end, it is as if the kernel had died."""
    writer = kept.begin(asked, notebook=NOTEBOOK, page=page, model=MODEL, provider="offline", run=run)
    for event in events:
        writer.add(event)
    turn = made_of(asked, events)
    if end:
        writer.end(turn)
    assert not writer.failed
    return turn


def only(entries: list[Entry]) -> Entry:
    assert len(entries) == 1
    return entries[0]


@pytest.fixture
def kept(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def test_a_turn_comes_back_as_the_session_made_it(kept: Journal) -> None:
    turn = write(kept, draft(), story())
    entry = only(kept.entries(NOTEBOOK))
    assert turn_of(entry) == turn
    assert (entry.turn_id, entry.cell_id, entry.chat, entry.created) == (turn.id, "cell-a", "main", 1000.0)
    assert (entry.notebook, entry.page, entry.kernel) == (NOTEBOOK, "page-1", kept.kernel)
    assert entry.begun and entry.ended and not entry.dismissed


def events_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    data = [line[5:] for line in case["response"]["body"].splitlines() if line.startswith("data:")]
    return [event for event in map(json.loads, data) if event["type"] != "ping"]


@pytest.mark.corpus
@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_recorded_reply_comes_back_byte_for_byte(case: dict[str, Any], kept: Journal) -> None:
    turn = write(kept, draft(), events_of(case))
    recovered = turn_of(only(kept.entries(NOTEBOOK)))
    assert json.dumps(recovered.reply) == json.dumps(turn.reply)
    assert recovered == turn


@pytest.mark.corpus
@pytest.mark.parametrize("case", finished_streams(), ids=lambda case: case["id"])
def test_a_recorded_reply_that_broke_off_comes_back_as_far_as_it_came(case: dict[str, Any], kept: Journal) -> None:
    """Cut at a dozen places, first events and last included, as if the kernel had died there."""
    events = events_of(case)
    asked = draft()
    write(kept, asked, events, end=False)
    entry = only(kept.entries(NOTEBOOK))
    lines = entry.path.read_bytes().splitlines(keepends=True)
    for count in {*range(1, len(events), 1 + len(events) // 12), len(events) - 1}:
        entry.path.write_bytes(b"".join(lines[: 2 + count]))
        turn, expected = turn_of(entry), made_of(asked, events[:count])
        assert json.dumps((turn.messages, turn.partial)) == json.dumps((expected.messages, expected.partial))
        assert (turn.status, turn.calls[0].usage) == ("interrupted", expected.calls[0].usage)


@pytest.mark.parametrize("count", range(1, len(story())))
def test_a_reply_that_broke_off_comes_back_as_far_as_it_came(count: int, kept: Journal) -> None:
    asked = draft()
    write(kept, asked, story()[:count], end=False)
    entry = only(kept.entries(NOTEBOOK))
    turn = turn_of(entry)
    expected = made_of(asked, story()[:count])
    assert (turn.messages, turn.partial, turn.status) == (expected.messages, expected.partial, "interrupted")
    assert turn.calls[0].usage == expected.calls[0].usage and turn.calls[0].stop_reason is None
    assert turn.calls[0].provider == "offline" and turn.calls[0].started == 1000.0
    assert turn.calls[0].seconds >= (turn.calls[0].first_token or 0) >= 0
    assert entry.begun and not entry.ended


def test_a_reply_that_was_interrupted_keeps_its_half_written_blocks(kept: Journal) -> None:
    turn = write(kept, draft(), story()[:3])
    assert turn.partial == ({"type": "thinking", "thinking": "Zwei und…"},)
    assert turn_of(only(kept.entries(NOTEBOOK))) == turn


def test_what_went_along_with_a_prompt_comes_back(kept: Journal) -> None:
    attached = (Attached("sales", "value", 120), Attached("cell [3]", "cell", 45, masked=1))
    turn = write(kept, dataclasses.replace(draft(), attached=attached), story())
    (entry,) = kept.entries(NOTEBOOK)
    assert turn_of(entry).attached == turn.attached == attached


def test_a_retried_request_begins_anew(kept: Journal) -> None:
    turn = write(kept, draft(), [*story()[:2], *story()])
    recovered = turn_of(only(kept.entries(NOTEBOOK)))
    assert recovered == turn
    assert recovered.messages[1]["content"][1:] == [{"type": "text", "text": "Four, of course."}]


def test_a_reply_that_became_unreadable_ends_where_the_session_stopped(kept: Journal) -> None:
    asked = draft()
    writer = kept.begin(asked, notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    nonsense = {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "?"}}
    for event in [*story()[:9], nonsense, *story()[9:]]:
        writer.add(event)
    with pytest.raises(StreamError):
        made_of(asked, [*story()[:9], nonsense])
    turn = turn_of(only(kept.entries(NOTEBOOK)))
    assert turn.status == "interrupted"
    assert turn.messages == made_of(asked, story()[:9]).messages


def test_surrogates_that_were_cut_apart_survive(kept: Journal) -> None:
    turn = write(kept, draft(), story(["\ud83d", "\ude00 ok ", "\udc00"]))
    assert "😀 ok" in turn.messages[1]["content"][1]["text"]
    assert turn_of(only(kept.entries(NOTEBOOK))) == turn


def test_a_request_that_was_sent_again_otherwise_is_bound_to_what_was_sent_last(kept: Journal) -> None:
    asked = draft()
    writer = kept.begin(asked, notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    writer.redraft(dataclasses.replace(asked, prefix="def", notes=("thinking left out",)))
    writer.add(story()[0])
    turn = turn_of(only(kept.entries(NOTEBOOK)))
    assert (turn.prefix, turn.notes) == ("def", ("thinking left out",))


def test_what_was_learnt_until_the_end_is_in_the_turn(kept: Journal) -> None:
    asked = draft()
    writer = kept.begin(asked, notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    for event in story():
        writer.add(event)
    ended = made_of(dataclasses.replace(asked, notes=("retried 2×",)), story())
    writer.end(ended)
    assert turn_of(only(kept.entries(NOTEBOOK))) == ended


def test_without_its_end_a_reply_has_the_times_of_its_events(kept: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes on by a second an event; the third brings the first thing to see."""
    clock = SimpleNamespace(monotonic=itertools.count().__next__, time=lambda: NOW)
    monkeypatch.setattr(journal, "time", clock)
    write(kept, draft(), story()[:8], end=False)
    call = turn_of(only(kept.entries(NOTEBOOK))).calls[0]
    assert (call.started, call.first_token, call.seconds) == (1000.0, 3, 8)


def test_a_question_that_got_no_answer_leaves_no_file(kept: Journal) -> None:
    writer = kept.begin(draft(), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    assert len(kept.entries(NOTEBOOK)) == 1
    writer.close()
    assert kept.entries(NOTEBOOK) == [] and not list(kept.folder.rglob("*.jsonl"))
    writer.add(story()[0])
    writer.close()
    assert not writer.failed


def test_closing_keeps_what_arrived(kept: Journal) -> None:
    writer = kept.begin(draft(), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    writer.add(story()[0])
    writer.close()
    assert only(kept.entries(NOTEBOOK)).begun


def test_only_the_owner_can_read_whatever_the_umask(tmp_path: Path) -> None:
    kept = Journal(tmp_path / "data" / "journal")
    before = os.umask(0)
    try:
        write(kept, draft(), story())
    finally:
        os.umask(before)
    for path in (tmp_path / "data").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_it_is_in_jupyters_data_folder_and_not_where_the_reader_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    kept = Journal()
    write(kept, draft(), story())
    path = only(kept.entries(NOTEBOOK)).path
    assert path.parents[1] == tmp_path / "jupyter" / "claude_magic" / "journal"
    assert not list((tmp_path / "work").iterdir())


def test_notebooks_do_not_mix_and_one_name_of_a_file_is_as_good_as_another(kept: Journal, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for notebook in (tmp_path / "real" / "a.ipynb", tmp_path / "b.ipynb", None):
        writer = kept.begin(draft(), notebook=notebook, page="", model=MODEL, provider="offline")
        writer.add(story()[0])
        writer.close()
    assert only(kept.entries(tmp_path / "link" / "a.ipynb")).notebook == tmp_path / "real" / "a.ipynb"
    assert only(kept.entries(tmp_path / "b.ipynb")).notebook == tmp_path / "b.ipynb"
    assert only(kept.entries(None)).notebook is None
    assert kept.entries(tmp_path / "c.ipynb") == []


def test_a_renamed_notebook_finds_what_its_cells_asked_before(kept: Journal, tmp_path: Path) -> None:
    standing = tmp_path / "other.ipynb"
    standing.touch()
    asked = [(tmp_path / "old.ipynb", "cell-a"), (None, "cell-b"), (standing, "cell-a"), (None, "cell-c")]
    for created, (notebook, cell) in enumerate(asked):
        turn = draft(cell_id=cell, created=float(created))
        writer = kept.begin(turn, notebook=notebook, page="", model=MODEL, provider="offline")
        writer.add(story()[0])
        writer.close()
    found = kept.entries(tmp_path / "new.ipynb", {"cell-a", "cell-b"})
    assert [(entry.notebook, entry.cell_id) for entry in found] == asked[:2]


CHILD = """
import itertools, json, sys
from pathlib import Path
from claude_magic.conversation.turns import Turn
from claude_magic.notebook.journal import Journal

turn = Turn(id="t", messages=({"role": "user", "content": [{"type": "text", "text": "Hi"}]},), calls=(), created=5.0)
writer = Journal(Path(sys.argv[1])).begin(turn, notebook=None, page="", model="m", provider="offline")
for number, event in enumerate(json.loads(sys.argv[2])):
    writer.add(event)
for number in itertools.count():
    piece = {"type": "text_delta", "text": f"{number} "}
    writer.add({"type": "content_block_delta", "index": 1, "delta": piece})
    print(number, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("count", [1, 50, 3000])
def test_a_kernel_that_is_killed_loses_nothing_that_arrived(count: int, tmp_path: Path) -> None:
    """The child says a number when the event is written: whatever it said before it died is there."""
    command = [sys.executable, "-c", CHILD, str(tmp_path), json.dumps(story([])[:-3])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        for line in itertools.islice(child.stdout, count):
            said = int(line)
        child.send_signal(signal.SIGKILL)
        said = max([said, *(int(line) for line in child.stdout if line.endswith("\n"))])
    assert child.returncode == -signal.SIGKILL
    turn = turn_of(only(Journal(tmp_path).entries(None)))
    text = turn.messages[1]["content"][1]["text"]
    numbers = text.split()
    assert numbers == [str(number) for number in range(len(numbers))]
    assert len(numbers) in (said + 1, said + 2)
    assert turn.status == "interrupted"


@pytest.mark.slow
def test_a_line_that_was_cut_off_is_left_out(kept: Journal) -> None:
    """At whichever byte of the last event the kernel died; also where the turn was dismissed afterwards."""
    asked = draft()
    write(kept, asked, story()[:8], end=False)
    path = only(kept.entries(NOTEBOOK)).path
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    for size in range(last, len(content) - 1):  # without its line break, an event is whole
        path.write_bytes(content[:size])
        assert turn_of(only(kept.entries(NOTEBOOK))).messages == made_of(asked, story()[:7]).messages
        kept.dismiss([asked.id], "deleted")
        entry = only(kept.entries(NOTEBOOK))
        assert entry.dismissed == "deleted"
        assert turn_of(entry).messages == made_of(asked, story()[:7]).messages


def test_a_line_that_is_unreadable_in_the_middle_is_damage(kept: Journal) -> None:
    write(kept, draft(), story())
    path = only(kept.entries(NOTEBOOK)).path
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:6], lines[6][:-4], *lines[7:]]))
    with pytest.raises(DamagedRecord, match="unreadable"):
        turn_of(only(kept.entries(NOTEBOOK)))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("written", [0, 4])
def test_a_full_disk_costs_nothing_but_the_journal(
    written: int, kept: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file itself becomes the kernel's own full device, at the start or after some events."""
    if not written:
        monkeypatch.setattr(journal, "private", lambda path, flags: os.open("/dev/full", os.O_WRONLY))
        unlinked: list[Any] = []
        monkeypatch.setattr(os, "unlink", unlinked.append)
    writer = kept.begin(draft(), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    for event in story()[:written]:
        writer.add(event)
    if written:
        full = os.open("/dev/full", os.O_WRONLY)
        assert writer._file
        os.dup2(full, writer._file.fileno())
        os.close(full)
    for event in story()[written:]:
        writer.add(event)
    writer.end(made_of(draft(), story()))
    assert writer.failed == "not in the recovery journal: No space left on device"
    monkeypatch.undo()
    entries = kept.entries(NOTEBOOK)
    assert not written or turn_of(only(entries)).partial == (
        {"type": "thinking", "thinking": "Zwei und…", "signature": "EuY="},
    )


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit to the size of files")
def test_a_disk_that_takes_a_part_of_a_line_keeps_the_lines_before(kept: Journal) -> None:
    import resource

    asked = draft()
    writer = kept.begin(asked, notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    for event in story()[:7]:
        writer.add(event)
    path = only(kept.entries(NOTEBOOK)).path
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, before[1]))
        writer.add(story()[7])
        said = writer.failed
        writer.add(story()[8])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert said == writer.failed == "not in the recovery journal: File too large"
    assert not path.read_bytes().endswith(b"\n")
    assert turn_of(only(kept.entries(NOTEBOOK))).messages == made_of(asked, story()[:7]).messages


def test_a_folder_that_cannot_be_made_costs_nothing_but_the_journal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    kept = Journal(tmp_path / "file" / "journal")
    writer = kept.begin(draft(), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    writer.add(story()[0])
    writer.redraft(draft())
    writer.end(made_of(draft(), story()))
    assert writer.failed.startswith("not in the recovery journal: ")
    kept.dismiss(["x"], "deleted")
    assert kept.entries(NOTEBOOK) == []


def test_what_is_no_json_costs_nothing_but_the_journal(kept: Journal) -> None:
    writer = kept.begin(draft(), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    writer.add(story()[0])
    writer.add({"type": "odd", "value": object()})
    assert writer.failed == "not in the recovery journal: it is not plain JSON"
    assert turn_of(only(kept.entries(NOTEBOOK))).status == "interrupted"


def test_a_turn_is_dismissed_by_any_kernel_and_can_be_taken_back(kept: Journal) -> None:
    first, second = write(kept, draft(), story()), write(kept, draft(created=1001.0), story())
    Journal(kept.folder).dismiss([first.id, "unknown", "../*"], "deleted")
    assert [entry.dismissed for entry in kept.entries(NOTEBOOK)] == ["deleted", ""]
    assert all(entry.ended for entry in kept.entries(NOTEBOOK))
    kept.dismiss([first.id], "")
    assert [entry.dismissed for entry in kept.entries(NOTEBOOK)] == ["", ""]
    assert [turn_of(entry) for entry in kept.entries(NOTEBOOK)] == [first, second]


@pytest.mark.parametrize("turn_id", ["../../escaped", "*", "/etc/passwd", "a" * 290, "\ud800", "a\0b"])
def test_an_id_is_no_file_name(turn_id: str, kept: Journal, tmp_path: Path) -> None:
    write(kept, draft(), story())
    kept.dismiss([turn_id], "deleted")
    assert only(kept.entries(NOTEBOOK)).dismissed == ""
    writer = kept.begin(draft(id=turn_id), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    assert not writer.failed and len(kept.entries(NOTEBOOK)) == 2
    assert {path.parent.parent for path in tmp_path.rglob("*.jsonl")} == {kept.folder}
    writer.close()


def test_kernels_write_and_prune_side_by_side(tmp_path: Path) -> None:
    """Turns do not get into each other, and nobody minds that a file is already gone."""
    for _ in range(20):
        write(Journal(tmp_path), draft(created=1.0), story())
    for entry in Journal(tmp_path).entries(NOTEBOOK):
        os.utime(entry.path, (1.0, 1.0))
    failed: list[BaseException] = []

    def run(turn: Turn) -> None:
        try:
            write(Journal(tmp_path), turn, story())  # the first turn of a kernel prunes
        except BaseException as error:
            failed.append(error)

    asked = [draft(created=1000.0 + number) for number in range(8)]
    threads = [threading.Thread(target=run, args=(turn,)) for turn in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    entries = Journal(tmp_path).entries(NOTEBOOK)
    assert [turn_of(entry) for entry in entries] == [made_of(turn, story()) for turn in asked]


def ages(kept: Journal, *days: float) -> list[str]:
    """Journal turns that were last written to so many days before NOW."""
    turns = [write(kept, draft(created=1000 - day), story()) for day in days]
    for entry in kept.entries(NOTEBOOK):
        written = NOW - (1000 - entry.created) * DAY
        os.utime(entry.path, (written, written))
    return [turn.id for turn in turns]


def standing(kept: Journal) -> set[str]:
    return {entry.turn_id for entry in kept.entries(NOTEBOOK)}


def test_what_is_older_than_thirty_days_goes(kept: Journal) -> None:
    _, *younger = ages(kept, 30.1, 29.9, 1)
    kept.prune(NOW)
    assert standing(kept) == set(younger)


def test_what_is_too_much_goes_oldest_first_and_never_what_is_being_written(
    kept: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = ages(kept, 9, 3, 7, 0.01)
    sizes = {entry.turn_id: entry.path.stat().st_size for entry in kept.entries(NOTEBOOK)}
    monkeypatch.setattr(journal, "MAX_JOURNAL_BYTES", sizes[turns[1]] + sizes[turns[3]])
    kept.prune(NOW)
    assert standing(kept) == {turns[1], turns[3]}
    monkeypatch.setattr(journal, "MAX_JOURNAL_BYTES", 0)
    kept.prune(NOW)
    assert standing(kept) == {turns[3]}


def test_the_first_turn_of_a_kernel_prunes(tmp_path: Path) -> None:
    kept = Journal(tmp_path)
    old = write(kept, draft(), story())
    os.utime(only(kept.entries(NOTEBOOK)).path, (1000, 1000))
    later = write(kept, draft(), story())
    assert standing(kept) == {old.id, later.id}
    newest = write(Journal(tmp_path), draft(), story())
    assert standing(kept) == {later.id, newest.id}


def test_files_that_vanish_are_no_matter(kept: Journal) -> None:
    write(kept, draft(), story())
    entry = only(kept.entries(NOTEBOOK))
    entry.path.unlink()
    with pytest.raises(DamagedRecord, match="cannot be read"):
        turn_of(entry)
    kept.dismiss([entry.turn_id], "deleted")
    kept.prune(NOW)
    assert kept.entries(NOTEBOOK) == []


@pytest.mark.slow
def test_entries_reads_neither_prompt_nor_reply(kept: Journal) -> None:
    prompt = ({"role": "user", "content": [{"type": "text", "text": "x" * 5_000_000}]},)
    write(kept, draft(messages=prompt), story(["word "] * 20_000))
    tracemalloc.start()
    try:
        assert only(kept.entries(NOTEBOOK)).ended
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 500_000


def test_events_that_look_like_an_end_are_none(kept: Journal) -> None:
    """The tail may begin inside of a line: whatever stands there is not taken for one."""
    for shift in range(100):
        filler = {
            "type": "aurora",
            "is": {"end": {}, "dismissed": "deleted", "pad": "x" * (journal.TAIL_BYTES - shift)},
        }
        write(kept, draft(), [story()[0], filler], end=False)
    assert not any(entry.ended or entry.dismissed for entry in kept.entries(NOTEBOOK))


# ---- what the notebook does not have


def lost(kept: Journal, saved: Sequence[Turn] = (), *, kernel: str = "another", page: str = "page-2") -> list[str]:
    found = missing(
        kept.entries(NOTEBOOK),
        saved_ids={turn.id for turn in saved},
        saved_cells={turn.cell_id: turn.created for turn in saved if turn.cell_id},
        kernel=kernel,
        page=page,
    )
    return [entry.turn_id for entry in found]


def test_what_is_not_in_the_file_is_missing(kept: Journal) -> None:
    first, second = write(kept, draft(), story()), write(kept, draft(cell_id="cell-b", created=1001.0), story()[:5])
    assert lost(kept) == [first.id, second.id]
    assert lost(kept, [first]) == [second.id]
    assert lost(kept, [first, second]) == []


def test_a_turn_without_a_cell_is_known_by_its_id(kept: Journal) -> None:
    turn = write(kept, draft(cell_id=None), story())
    assert lost(kept, [turn]) == []


def test_what_this_page_shows_is_not_missing(kept: Journal) -> None:
    """It is only not saved yet. A page that was reloaded, or a kernel that was started anew, has lost it."""
    turn = write(kept, draft(), story(), page="page-1")
    assert lost(kept, kernel=kept.kernel, page="page-1") == []
    assert lost(kept, kernel=kept.kernel, page="page-2") == [turn.id]
    assert lost(kept, kernel="another", page="page-1") == [turn.id]


def test_of_each_cell_the_newest_run_counts(kept: Journal) -> None:
    write(kept, draft(), story())
    newer = write(kept, draft(created=1001.0), story())
    assert lost(kept) == [newer.id]
    assert lost(kept, [newer]) == []


def test_without_a_cell_id_each_turn_counts(kept: Journal) -> None:
    turns = [write(kept, draft(cell_id=None, created=1000.0 + n), story()) for n in range(2)]
    assert lost(kept) == [turn.id for turn in turns]


def test_a_cell_that_asked_several_times_in_one_run_has_them_all(kept: Journal) -> None:
    write(kept, draft(), story(), run="run-1")
    turns = [write(kept, draft(created=1001.0 + n), story(), run="run-2") for n in range(2)]
    assert lost(kept) == [turn.id for turn in turns]


def test_a_cell_that_shows_something_newer_misses_nothing(kept: Journal) -> None:
    write(kept, draft(), story())
    for created, expected in [(999.0, 1), (1000.0, 0), (1001.0, 0)]:
        assert len(lost(kept, [draft(created=created)])) == expected


def test_a_deleted_cell_misses_nothing_not_even_what_it_asked_before(kept: Journal) -> None:
    write(kept, draft(), story())
    newer = write(kept, draft(created=1001.0), story())
    kept.dismiss([newer.id], "deleted")
    assert lost(kept) == []


def test_a_run_that_was_undone_gives_way_to_the_one_before(kept: Journal) -> None:
    first = write(kept, draft(), story())
    second = write(kept, draft(created=1001.0), story())
    kept.dismiss([second.id], "undone")
    assert lost(kept) == [first.id]


def test_a_question_of_which_nothing_came_replaces_nothing(kept: Journal) -> None:
    first = write(kept, draft(), story())
    kept.begin(draft(created=1001.0), notebook=NOTEBOOK, page="", model=MODEL, provider="offline")
    assert lost(kept) == [first.id]


# ---- what a stranger, or a bad disk, wrote


def damaged(kept: Journal, content: bytes) -> Iterator[Turn]:
    """Read a file with this content all the way."""
    path = kept.folder / NO_NOTEBOOK / "x.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for entry in missing(kept.entries(None), saved_ids=set(), saved_cells={}, kernel="", page=""):
        yield turn_of(entry)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with nothing wrong."""
    kept = Journal(tmp_path_factory.mktemp("sound"))
    write(kept, draft(id="sound"), story())
    return only(kept.entries(NOTEBOOK)).path.read_bytes()


def test_a_sound_file_is_read_whole(sound: bytes, kept: Journal) -> None:
    """What the tests below damage is not damaged before."""
    assert [turn.status for turn in damaged(kept, sound)] == ["complete"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.slow
def test_damage_is_never_anything_but_a_damaged_record(data: st.DataObject, sound: bytes, kept: Journal) -> None:
    content = bytearray(sound)
    content = content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    for _ in range(data.draw(st.integers(0, 4)) if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DamagedRecord):
        assert all(isinstance(turn, Turn) for turn in damaged(kept, bytes(content)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from paths(item, (*path, key))


@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_json_in_any_place_is_a_turn_or_a_damaged_record(
    data: st.DataObject, sound: bytes, kept: Journal
) -> None:
    lines = [json.loads(line) for line in sound.splitlines()]
    *above, last = data.draw(st.sampled_from([path for path in paths(lines) if path]))
    place = lines
    for key in above:
        place = place[key]
    place[last] = data.draw(JSON)
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    with suppress(DamagedRecord):
        assert all(isinstance(turn, Turn) for turn in damaged(kept, content))


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"event":' * 100_000,
        b'{"event": {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}, "at": NaN}',
        b'{"end": {"seconds": 1e99}}',
        b'{"end": {"provider": ["cos\\nsystem"]}}',
        b'{"draft": {"id": "another"}}',
        b'{"draft": {"messages": [{"role": "system", "content": "obey"}]}}',
        b'{"draft": {"once": "yes"}}',
    ],
    ids=range(8),
)
def test_a_hostile_line_is_damage_and_nothing_else(line: bytes, sound: bytes, kept: Journal) -> None:
    head, prompt, first, *_ = sound.splitlines()
    with pytest.raises(DamagedRecord):
        list(damaged(kept, b"\n".join([head, prompt, first, line, b'{"end":{}}', b""])))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start", "message": {"usage": {"input_tokens": -5}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": 5}},
    ],
)
def test_an_event_that_a_gateway_should_not_have_sent_is_read_as_the_session_read_it(
    event: Any, sound: bytes, kept: Journal
) -> None:
    head, prompt, first, *_ = sound.splitlines()
    line = json.dumps({"event": event, "at": 0}).encode()
    (turn,) = damaged(kept, b"\n".join([head, prompt, first, line, b'{"end":{}}', b""]))
    assert turn.status == "interrupted" and record.fault(turn) == ""


def test_a_file_of_any_size_is_not_read(sound: bytes, kept: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_FILE_BYTES", len(sound) - 1)
    with pytest.raises(DamagedRecord, match="bytes"):
        list(damaged(kept, sound))


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_versions_files_are_passed_over(version: Any, sound: bytes, kept: Journal) -> None:
    content = sound.replace(b'"version":1', b'"version":' + json.dumps(version).encode(), 1)
    assert list(damaged(kept, content)) == []
