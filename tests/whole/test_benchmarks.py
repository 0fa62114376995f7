"""The benchmarks measure what they say: the parts whose figures do not depend on how fast a machine is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import nbformat
import pytest

from benchmarks import idle, loading, page, peers, pure, reading, sample, traffic, wire
from benchmarks.table import Row
from claude_magic.notebook import reader

DELTAS = 300


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with wire.server() as address:
        yield address


@pytest.mark.kernel
def test_two_thousand_deltas_cost_little_and_thirty_two_thousand_cost_no_more_than_linear(server: str) -> None:
    with traffic.started(f"{server}/2000/0") as kernel:
        few = traffic.traffic(traffic.cell(kernel))
        traffic.point_at(kernel, f"{server}/32000/0")
        many = traffic.traffic(traffic.cell(kernel))
    assert few.bytes <= 1e6 * traffic.MAX_MEGABYTES
    assert many.bytes < 40 * few.bytes
    assert many.text > 15 * few.text, "the whole answer is shown"


@pytest.mark.kernel
def test_cells_are_timed_while_the_imports_of_an_idle_kernel_are_under_way(server: str, tmp_path: Path) -> None:
    held, usual = idle.waits(str(tmp_path), f"{server}/{idle.DELTAS}/0")
    assert usual > 0 <= held


@pytest.mark.slow
def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    assert loading.load(str(tmp_path))["heavy"] == []


@pytest.mark.parametrize("name", reading.READERS)
def test_every_reader_reads_the_whole_reply(server: str, name: str) -> None:
    assert reading.READERS[name](f"{server}/{DELTAS}/0") == "".join(sample.pieces(DELTAS))


def test_a_paced_reply_begins_with_the_time_of_its_writing(server: str) -> None:
    clock, _, rest = reading.with_create(f"{server}/{DELTAS}/100000").partition("\n\n")
    assert clock.isdecimal()
    assert rest == "".join(sample.pieces(DELTAS)[1:])


@pytest.mark.slow
def test_the_large_notebook_has_the_turns_that_its_page_is_measured_with(tmp_path: Path) -> None:
    path = tmp_path / page.NAME
    nbformat.write(page.large_notebook(), path)
    assert len(nbformat.read(path, as_version=4).cells) == page.CELLS
    assert len(reader.read(path).turns) == page.TURNS


def test_a_growing_text_is_refreshed_until_it_is_whole() -> None:
    ends = pure.growth(40_000)
    assert ends == sorted(set(ends))
    assert ends[-1] == 40_000


@pytest.mark.parametrize(
    ("row", "beyond"),
    [
        (Row("within both limits", 4.0, "ms", 2.0, "the other", max_ours=4.0, max_ratio=2.0), False),
        (Row("too much", 4.1, "ms", max_ours=4.0), True),
        (Row("too much beside the other", 4.1, "ms", 2.0, "the other", max_ratio=2.0), True),
        (Row("no limit", 1e9, "ms", 2.0, "the other"), False),
    ],
)
def test_a_row_beyond_its_limit_is_marked(row: Row, beyond: bool) -> None:
    assert row.beyond is beyond
    assert row.line().startswith("! " if beyond else "  ")


def test_a_question_that_asks_for_no_stream_gets_the_same_reply(server: str) -> None:
    sdk = anthropic.Anthropic(api_key=wire.KEY, base_url=f"{server}/{DELTAS}/0")
    asked: Any = [{"role": "user", "content": wire.QUESTION}]
    (block,) = sdk.messages.create(model=wire.MODEL, max_tokens=1_000, messages=asked).to_dict()["content"]
    assert block == {"type": "text", "text": "".join(sample.pieces(DELTAS))}


@pytest.mark.kernel
def test_a_peer_is_asked_the_same_in_a_kernel_of_its_own(server: str) -> None:
    us = peers.Installed(peers.US, Path(sys.executable), "here", True)
    measured = peers.measured(us, server)
    assert measured.first > 0 and measured.seconds > 0 and measured.megabytes < traffic.MAX_MEGABYTES
    silent = peers.Tool("silent", (), "import os", "print('{question}')")
    with pytest.raises(RuntimeError, match="not shown as a whole"):
        peers.measured(peers.Installed(silent, Path(sys.executable), "0", False), server)
