"""Logs: known by their names or lines, and shortened so that both ends stay, for the end is what happened last."""

from __future__ import annotations

import re
from pathlib import Path

from ....content.text import CUT_NOTE, plural

_NAME = re.compile(r"\.(?:log|out|err)(?:\.\d+)?\Z|\Alog\b", re.IGNORECASE)
# The start of a line of a log: a time, or a level, perhaps in brackets.
_LINE = re.compile(
    r"\s*[\[(<]?(?:\d{4}[-/.]\d\d[-/.]\d\d|\d\d:\d\d:\d\d|\d\d/[A-Z][a-z]{2}/\d{4}|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d"
    r"|(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL)\b|\d{1,3}(?:\.\d{1,3}){3} )"
)
_TABLES = (".csv", ".tsv", ".tab", ".psv", ".json", ".jsonl", ".ndjson")
SAMPLE_LINES = 100
MIN_SHARE = 0.5


def is_log(name: str, text: str) -> bool:
    """Whether a text of several lines is a log, by the name of its file or by how its lines begin."""
    lines = text[:100_000].splitlines()[:SAMPLE_LINES]
    if len(lines) < 2 or Path(name).suffix.lower() in _TABLES:
        return False
    if _NAME.search(name):
        return True
    filled = [line for line in lines if line.strip()]
    begun = sum(_LINE.match(line) is not None for line in filled)
    return len(filled) > 1 and begun >= MIN_SHARE * len(filled)


def both_ends(start: str, end: str, room: int, size: str) -> str:
    """The first lines of a log, and three times as many of its last, in `room` characters.

    `start` and `end` may be the same text, or the two ends of one of which no more was read.
    """
    first, last = start[: room // 4], end[max(0, len(end) - (room - room // 4)) :]
    first = first[: first.rfind("\n") + 1] or first
    last = last[last.find("\n") + 1 :] if "\n" in last[:-1] else last
    kept = f"the first {plural(first.count(chr(10)), 'line')} and the last {plural(len(last.splitlines()), 'line')}"
    return f"{first}{CUT_NOTE}{kept} of {size}]\n{last}"
