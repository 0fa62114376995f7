"""A map against a server that is up to no good: each row is answered once or has its error, and all else holds.

`CLAUDE_MAGIC_FAULT_ROWS=10000` asks for so many rows, one in twenty of which meets a fault.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from claude_magic import offline
from claude_magic.client import concurrent as client_many
from claude_magic.client.retry import Pace
from claude_magic.cost import pricing
from claude_magic.errors import RateLimitError, ReplyInterrupted
from claude_magic.mapping import concurrent
from support.faulty_server import BROKEN, MODEL, ODD, STATUSES, STOPPED, WHOLE, Unruly, said
from support.shell import Shell

ROWS = int(os.environ.get("CLAUDE_MAGIC_FAULT_ROWS", "1000"))
SHARE = max(0.05, 200 / ROWS)
LIMIT = 8
# Billed as whole: 12 tokens in, 7 out.
PAID_WHOLE = (WHOLE, *(kind for kind in ODD if kind != "nonsense of usage"), "max_tokens", "tool_use", "nothing said")


class Notebook(Shell):
    """A shell with the extension."""

    def ask(self, count: int) -> Any:
        """Ask for so many rows."""
        return self.map(f"range({count}) --model {MODEL} --concurrency {LIMIT}", "Say {{item}}.")


@pytest.fixture(scope="module")
def loaded() -> Notebook:
    return Notebook()


@pytest.fixture
def notebook(loaded: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-of-nobody")
    loaded.forget()
    loaded.configuration.max_retries = 1
    loaded.configuration.timeout = 3.0
    loaded.configuration.max_retry_wait = 1.0
    yield loaded


def left_behind() -> list[str]:
    """What a map must not leave: its threads, and its connections."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("claude_magic map")]


def check(notebook: Notebook, server: Unruly, result: Any) -> None:
    """The three promises, row by row: one answer or an error, the cost of what was served, and the limit."""
    answers = (WHOLE, *ODD, *STOPPED)
    for row, (reply, error) in enumerate(zip(result["reply"], result["error"], strict=True)):
        served = server.served[row]
        assert sum(kind in answers for kind in served) <= 1, f"{row} was answered twice: {served}"
        last = served[-1]
        if last in (WHOLE, *ODD):
            assert (reply, pd.isna(error)) == (said(row, last), True), (row, served, error)
        else:
            assert error, (row, served)
            assert pd.isna(reply) or last in STOPPED, (row, served)
    assert server.most <= LIMIT
    calls = notebook.kernel.session.spent[-1].calls
    whole = [call for call in calls if call.stop_reason is not None]
    kinds = [kind for served in server.served.values() for kind in served]
    assert len(whole) == sum(kind in answers for kind in kinds)
    paid = sum(kind in PAID_WHOLE for kind in kinds)
    assert sum(call.usage.get("output_tokens") == 7 and call.stop_reason != "refusal" for call in whole) == paid
    costs = [pricing.call_cost(call).dollars for call in calls]
    assert costs.count(None) == kinds.count("nonsense of usage")
    known = sum(each for each in costs if each is not None)
    assert float(result["cost"].sum()) == pytest.approx(float(known))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [58])
def test_rows_among_faults_of_every_kind_hold_all_promises(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(client_many, "PINGED_TIMEOUTS", 1)
    with Unruly(seed, SHARE) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        result = notebook.ask(ROWS)
        check(notebook, server, result)
        met = {kind for served in server.served.values() for kind in served}
        assert {*BROKEN, *ODD, *STOPPED, *STATUSES} <= met, "each kind is among the faults"
        assert left_behind() == []


@pytest.mark.parametrize("phase", ["asking", "waiting for a retry", "stalled"])
@pytest.mark.slow
def test_an_interrupt_in_any_phase_keeps_what_is_done_and_leaves_nothing_behind(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    kind = {"asking": WHOLE, "waiting for a retry": "500", "stalled": "stall in the stream"}[phase]
    notebook.configuration.timeout = 60.0
    notebook.configuration.max_retries = 9
    with Unruly(1, 0.0) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)

        def kind_of(row: int, _attempt: int) -> str:
            if row == 37:
                os.kill(os.getpid(), signal.SIGINT)
            return kind if row >= 30 else WHOLE

        server.kind_of = kind_of  # type: ignore[method-assign]
        with pytest.raises(ReplyInterrupted):
            notebook.ask(500)
        result = notebook.shell.user_ns["result"]
        assert list(result["reply"][:20]) == [said(row, WHOLE) for row in range(20)]
        assert result["reply"].isna().any()
        assert left_behind() == []
        assert server.closed()


@pytest.mark.slow
def test_a_row_that_fails_as_nobody_foresaw_costs_no_other(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    made = concurrent.answer_of

    def broken(key: str, reply: Any, *calls: Any) -> Any:
        if "re: 7" in str(reply.content):
            raise ArithmeticError
        return made(key, reply, *calls)

    monkeypatch.setattr(concurrent, "answer_of", broken)
    with Unruly(1, 0.0) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        result = notebook.ask(10)
    assert list(result["error"].dropna()) == ["The reply is unreadable (ArithmeticError)."]
    assert result["cost"][7] > 0, "it was paid for all the same"


# The pace


@pytest.mark.slow
def test_as_many_rows_as_the_limit_allows_are_asked_from_the_start(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, numbers = threading.Barrier(LIMIT, timeout=20), itertools.count()
    with offline.start() as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)

        def script(_: dict[str, Any]) -> None:
            if next(numbers) < LIMIT:
                together.wait()  # none is answered before so many are asked

        server.script = script
        assert notebook.ask(2 * LIMIT)["error"].isna().all()


def test_where_a_prefix_is_shared_all_wait_for_the_first_reply_to_begin() -> None:
    pace = Pace(LIMIT, 60.0, shares_prefix=True)
    assert pace.allowed == 1
    pace.begun()
    assert pace.allowed == LIMIT
    pace.failed(RateLimitError("full"), time.monotonic())
    pace.begun()
    assert pace.allowed == LIMIT / 2, "only the first reply opens it"


def test_nobody_waits_for_what_is_further_off_than_the_longest_wait() -> None:
    """One row that is told to come back tomorrow fails; the others find out for themselves."""
    for asked in (86_400.0, math.inf, -5.0):
        assert pause_after(lambda pace, asked=asked: pace.failed(RateLimitError("full", retry_after=asked), 0.0)) <= 0
    assert 0 < pause_after(lambda pace: pace.failed(RateLimitError("full", retry_after=7.0), 0.0)) <= 7


@pytest.mark.parametrize("remaining", ["0", "-1"])
def test_headers_that_say_that_nothing_is_left_pause_all_but_not_for_ever(remaining: str) -> None:
    assert 0 < pause_after(lambda pace: pace.note_headers(limits(remaining, in_seconds(20)))) <= 20
    for reset in (in_seconds(86_400), in_seconds(-60), "tomorrow", "", "1e9", "0001-01-01T00:00:00"):
        assert pause_after(lambda pace, reset=reset: pace.note_headers(limits(remaining, reset))) <= 0
    for nonsense in ("many", "", "1.5", "nan"):
        assert pause_after(lambda pace, nonsense=nonsense: pace.note_headers(limits(nonsense, in_seconds(20)))) <= 0


def limits(remaining: str, reset: str) -> dict[str, str]:
    name = "anthropic-ratelimit-requests"
    return {f"{name}-remaining": remaining, f"{name}-reset": reset}


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def pause_after(happens: Any) -> float:
    """The seconds that all wait, of 60 at most, after something happened."""
    pace = Pace(LIMIT, 60.0)
    happens(pace)
    return pace._not_before - time.monotonic() if pace._not_before else 0.0
