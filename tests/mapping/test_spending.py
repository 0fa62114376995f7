"""What a map may spend: its budget stops it before, and says so where rows under way passed it."""

from __future__ import annotations

import itertools
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from claude_magic.cost import pricing
from claude_magic.errors import ReplyInterrupted, UsageError
from claude_magic.offline import Fault
from support.shell import OfflineShell as Notebook


@pytest.mark.slow
def test_a_budget_that_the_prompts_pass_is_refused_before_anything_is_sent(notebook: Notebook) -> None:
    with pytest.raises(UsageError, match="The prompts alone cost about"):
        notebook.map("list(range(1000)) --budget 0.001", "Say {{item}}")
    assert notebook.server.requests == []


@pytest.mark.slow
def test_the_sum_stops_at_the_budget_and_what_is_done_is_kept(notebook: Notebook) -> None:
    notebook.server.script = lambda body: [{"type": "text", "text": "word " * 500}]
    with pytest.raises(ReplyInterrupted, match="the budget is used up"):
        notebook.map("list(range(100)) --budget 0.02 --concurrency 2", "Say {{item}}")
    result = notebook.shell.user_ns["result"]
    done = result["error"].isna().sum()
    assert 0 < done < 30
    assert set(result["error"].dropna()) == {"not asked yet: run the cell again"}
    spent = pricing.total(map(pricing.turn_cost, notebook.kernel.session.spent)).dollars
    assert spent is not None and Decimal("0.01") < spent < Decimal("0.035"), "a reply costs 1.4 cents"


@pytest.mark.slow
def test_a_row_of_unknown_cost_is_asked_alone(notebook: Notebook) -> None:
    """What is dear is paid once, and not as often as rows may be under way."""
    notebook.server.script = lambda body: [{"type": "text", "text": "word " * 500}]
    with pytest.raises(ReplyInterrupted, match="the budget is used up"):
        notebook.map("list(range(100)) --budget 0.02 --concurrency 16", "Say {{item}}")
    assert len(notebook.server.requests) == 1


@pytest.mark.slow
def test_once_it_is_known_what_a_row_costs_the_others_are_asked_together(notebook: Notebook) -> None:
    together, numbers = threading.Barrier(4, timeout=20), itertools.count()

    def script(body: dict[str, Any]) -> None:
        if next(numbers):
            together.wait()  # none is answered before so many are asked

    notebook.server.script = script
    assert notebook.map("list(range(9)) --budget 1 --concurrency 4", "Say {{item}}")["error"].isna().all()


@pytest.mark.slow
def test_what_rows_under_way_cost_beyond_the_budget_is_said(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = itertools.count()
    notebook.server.script = lambda body: [{"type": "text", "text": "word " * (500 if next(numbers) else 1)}]
    result = notebook.map("list(range(4)) --budget 0.02 --concurrency 4", "Say {{item}}")
    over = f"This is ${Decimal(result['cost'].sum()) - Decimal('0.02'):.4f} more than the budget had left"
    assert result["error"].isna().all() and over in capsys.readouterr().out
    notebook.configuration.budget = 0.001
    notebook.map("list(range(4))", "Say {{item}}")
    said = capsys.readouterr().out
    assert "answered in an earlier run" in said and "more than the budget" not in said, "it has spent nothing"


@pytest.mark.slow
def test_what_retries_cost_counts(notebook: Notebook) -> None:
    """Each reply breaks off, and is asked for again."""
    notebook.configuration.max_retries = 1
    notebook.server.script = lambda body: [{"type": "text", "text": "word " * 2_000}]
    notebook.server.faults.extend(Fault("cut", after=8) for _ in range(200))
    with pytest.raises(ReplyInterrupted, match="the budget is used up"):
        notebook.map("list(range(19)) --budget 0.23 --concurrency 16", "{{item}}" + " word" * 2_000)
    spent = pricing.total(map(pricing.turn_cost, notebook.kernel.session.spent)).dollars
    assert spent is not None and Decimal("0.02") < spent <= Decimal("0.23")


def test_a_budget_counts_pictures(notebook: Notebook, tmp_path: Path) -> None:
    Image.new("RGB", (1400, 1400)).save(tmp_path / "large.png")
    notebook.shell.user_ns["large"] = [tmp_path / "large.png"]
    with pytest.raises(UsageError, match="budget"):
        notebook.map("large --budget 0.0001", "Describe {{item}}")
    assert notebook.server.requests == []
