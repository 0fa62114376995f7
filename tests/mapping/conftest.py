"""What several tests of maps share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_magic.mapping import batch_pickup
from support.offline_requests import prompt_of
from support.shell import OfflineShell as Notebook


@pytest.fixture(scope="module")
def loaded() -> Notebook:
    return Notebook()


@pytest.fixture
def quick_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are looked for often."""
    monkeypatch.setattr(batch_pickup, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(batch_pickup, "SETTLE_SECONDS", 0.2)


@pytest.fixture
def notebook(loaded: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    loaded.forget()
    loaded.server.script = lambda body: [{"type": "text", "text": f"re: {prompt_of(body)}"}]
    loaded.configuration.max_retries = 4
    loaded.configuration.budget = None
    yield loaded
