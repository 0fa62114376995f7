"""A PDF that went along, in a notebook that is closed and opened again: it goes again, exactly so, or it is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from claude_magic.conversation import document_files
from support.kernel import Page
from support.pdf_files import pdf_of

GONE = "no longer there, or has changed"


def blocks(page: Page) -> list[dict[str, Any]]:
    """The content blocks of the first prompt in the newest request."""
    return list(page.requests()[-1]["messages"][0]["content"])


def thinking(page: Page) -> int:
    return sum(
        block["type"] == "thinking" for message in page.requests()[-1]["messages"] for block in message["content"]
    )


def test_a_pdf_goes_again_as_it_was_and_a_changed_one_is_said_and_left_out(page: Page) -> None:
    file = page.path.parent / "report.pdf"
    file.write_bytes(pdf_of(2) + b"%" + b"x" * 20_000)
    page.load()
    assert page.run("one", "%%claude -f report.pdf\nwhat is in it?").error is None
    sent = blocks(page)
    page.save()
    saved = page.path.read_text()
    assert sent[0]["source"]["data"] not in saved and '"path": "report.pdf"' in saved
    page.restart()
    assert "No longer there" not in page.load()
    assert page.run("two", "%%claude\nand now?").error is None
    assert [{**block, "cache_control": None} for block in blocks(page)] == [
        {**block, "cache_control": None} for block in sent
    ]
    assert thinking(page) == 1
    page.save()
    page.restart()
    file.write_bytes(pdf_of(1))
    assert "No longer there, or changed since: report.pdf." in page.load()
    ran = page.run("three", "%%claude\nand then?")
    assert ran.error is None
    assert GONE in blocks(page)[0]["text"] and thinking(page) == 0


def test_a_record_reads_plain_files_only_and_only_with_its_digest(tmp_path: Path) -> None:
    data = b"%PDF-1.4 a document"
    digest = document_files.digest_of(data)
    (tmp_path / "a.pdf").write_bytes(data)
    assert document_files.read(digest, "a.pdf", tmp_path)
    assert document_files.read(digest, str(tmp_path / "a.pdf"), Path("/nowhere"))
    assert document_files.read("0" * 64, "a.pdf", tmp_path) is None
    os.mkfifo(tmp_path / "pipe")
    for path in ("pipe", ".", "/dev/zero", "none.pdf", "\0", "//server/share/a.pdf", "x" * 5_000):
        assert document_files.read(digest, path, tmp_path) is None


def test_a_pdf_whose_file_is_not_known_stays_in_the_record(page: Page) -> None:
    (page.path.parent / "report.pdf").write_bytes(pdf_of(1))
    page.load()
    page.run("value", "data = open('report.pdf', 'rb').read() + b'%' + b'x' * 20_000")
    page.run("four", "%%claude --chat other -f data\nwhat is in it?")
    page.save()
    page.restart()
    page.load()
    assert page.run("five", "%%claude --chat other\nand now?").error is None
    assert blocks(page)[0]["source"]["type"] == "base64"
    assert "data" in json.dumps(blocks(page)[0])
