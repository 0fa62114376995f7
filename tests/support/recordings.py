"""The recorded exchanges of `../shared/corpus`, read from their file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def recordings() -> list[dict[str, Any]]:
    """All recorded exchanges; none where the corpus is absent."""
    if not CORPUS.is_dir():
        return []
    return [json.loads(line) for line in (CORPUS / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]


def finished_streams() -> list[dict[str, Any]]:
    """The recorded exchanges that are a streamed Messages reply that came to its end."""
    return [
        each
        for each in recordings()
        if each["request"]["path"].startswith("/v1/messages")
        and each["response"]["kind"] == "sse"
        and '"message_stop"' in each["response"]["body"]
    ]
