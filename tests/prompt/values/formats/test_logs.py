"""Of a log that is too long, both ends stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from claude_magic.content.parts import Limits
from claude_magic.prompt.prompt import prompt_content
from claude_magic.prompt.values import files
from claude_magic.prompt.values.formats.logs import is_log

LINES = [f"2026-01-02 03:04:05 INFO step {number}" for number in range(1_000)]


def shown(path: Path) -> str:
    return str(files.of_path(path).content[0]["source"]["data"])


@pytest.mark.parametrize("name", ["train.log", "output.txt", "log"])
@pytest.mark.parametrize("bytes_read", [10**6, 3_000])
def test_both_ends_of_a_log_stay(name: str, bytes_read: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_TEXT_CHARACTERS", 2_000)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", bytes_read)
    (tmp_path / name).write_text("\n".join(LINES))
    text = shown(tmp_path / name)
    assert text.startswith(f"{LINES[0]}\n{LINES[1]}\n") and text.endswith(f"{LINES[-2]}\n{LINES[-1]}")
    note = next(line for line in text.splitlines() if "shortened" in line)
    assert note.startswith("… [shortened: the first 15 lines and the last ") and note.endswith(" of 33.9 kB]")
    assert len(text) < 2_200 and all(line in LINES or line == note for line in text.splitlines())


def test_a_log_as_a_value_keeps_both_ends_in_its_room(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("\n".join(LINES))
    (block,) = prompt_content("{{path}}", {"path": path}, limits=Limits(value_tokens=200))
    assert block["source"]["data"].startswith(LINES[0]) and block["source"]["data"].endswith(LINES[-1])


def test_what_is_no_log_is_known() -> None:
    assert not is_log("notes.txt", "One line.\nAnother line.\n2026-01-02 is a date.")
    assert not is_log("a.csv", "2026-01-02,1\n2026-01-03,2")
    assert is_log("notes.txt", "[ERROR] one\n[INFO] two")
    assert is_log("access", '127.0.0.1 - - "GET /"\n127.0.0.1 - - "GET /x"')
