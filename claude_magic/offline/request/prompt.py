"""Reader of a request's newest prompt: its question, its attachments, and the prompts before it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..faults import Rejected
from .history import Block, Body, Placed, current, runs, summarizes, system_blocks, text_blocks
from .tokens import Picture, picture

# A DataFrame's summary, as `prompt/values/dataframes.py` writes it: a title, a line for each column, its first rows.
_TITLE = re.compile(
    r"^\w*DataFrame\b ?(?P<name>[^:\n]*): (?P<rows>[\d,]+) rows × (?P<columns>[\d,]+) columns \((?P<library>\w+)\)$"
)
# The start of each line of a summary that quotes a prompt.
SUMMARIZED = "- "
_STATISTICS = 3  # mean, min, max
_HEAD = re.compile(r"^first (?:(\d+) rows|row):$")
_STATISTIC = re.compile(r"\b(mean|min|max) ([-+]?\d[\d.]*(?:e[-+]?\d+)?)(?=,|$)")


@dataclass(frozen=True)
class Frame:
    """A DataFrame, read from its summary: its numeric columns with mean, min and max, and its other columns."""

    name: str
    library: str
    rows: int
    columns: int
    statistics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """The newest prompt of a request, and what else a reply may refer to.

    `question` is the prompt's text without DataFrame summaries, `earlier` are the prompts before it, with names in the
    place of summaries, `instructions` the system prompts; `pictures` has `None` for an image whose bytes are not in the
    request, and `images` are their blocks; `documents` are titles, `results` tool results.
    """

    text: str
    question: str
    earlier: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()
    pictures: tuple[Picture | None, ...] = ()
    images: tuple[Block, ...] = ()
    documents: tuple[str, ...] = ()
    results: tuple[Block, ...] = ()


def read(body: Body) -> Prompt:
    """Read the newest prompt of a request."""
    placed = current(body)
    instructions = [block["text"] for block in system_blocks(body)]
    instructions += [each.block["text"] for each in placed if each.role == "system"]
    user_runs = [run for run in runs([each for each in placed if each.role != "system"]) if run[0].role == "user"]
    newest = user_runs[-1] if user_runs else []
    texts = [*_summarized_prompts(placed), *(text for run in user_runs if (text := _text(run)))]
    text = texts[-1] if texts else ""
    images = tuple(each.block for each in newest if each.kind == "image")
    return Prompt(
        text=text,
        question=_question(text),
        earlier=tuple(_named(each) for each in texts[:-1]),
        instructions=tuple(instructions),
        frames=tuple(_frames(text)),
        pictures=tuple(map(_picture, images)),
        images=images,
        documents=tuple(str(each.block.get("title") or "untitled") for each in newest if each.kind == "document"),
        results=tuple(each.block for each in newest if each.kind == "tool_result"),
    )


def _summarized_prompts(placed: Sequence[Placed]) -> list[str]:
    """The prompts that a summary quotes; empty where the conversation starts with none."""
    if not placed or not summarizes(placed[0].block):
        return []
    lines = placed[0].block["content"].splitlines()
    return [line.removeprefix(SUMMARIZED) for line in lines if line.startswith(SUMMARIZED)]


def result_text(block: Block) -> str:
    """The text of a tool result."""
    content = text_blocks(block.get("content"))
    return "\n".join(str(inner.get("text", f"[{inner['type']}]")) for inner in content)


def shorten(text: str, length: int = 160) -> str:
    """The text on one line, cut with an ellipsis at `length` characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def _text(run: Sequence[Placed]) -> str:
    return "\n\n".join(each.block["text"] for each in run if each.kind == "text").strip()


def _picture(block: Block) -> Picture | None:
    source = block["source"]
    try:
        return picture(source["data"], "image") if source["type"] == "base64" else None
    except Rejected:
        return None


def _named(text: str) -> str:
    """A prompt's text with the name of each DataFrame in the place of its summary."""
    words, _ = _split(text, lambda name: f"`{name or 'a DataFrame'}`")
    return re.sub(r"(?<=`)\n(?=[?.,;:!])", "", "\n".join(words)).strip()


def _split(text: str, placed: Callable[[str], str] | None = None) -> tuple[list[str], list[list[str]]]:
    """Split a prompt into its typed lines, and the lines of each DataFrame summary.

    `placed` makes, of a DataFrame's name, the line that takes the place of its summary; without it none does.
    """
    words: list[str] = []
    summaries: list[list[str]] = []
    lines = deque(text.splitlines())
    while lines:
        line = lines.popleft()
        title = _TITLE.match(line)
        if not title:
            words.append(line)
            continue
        if placed:
            words.append(placed(title["name"].strip()))
        summary = [line]
        while lines and (" | " in lines[0] or lines[0].startswith(("index: ", "… and "))):
            summary.append(lines.popleft())
        if lines and (head := _HEAD.match(lines[0])):
            for _ in range(min(len(lines), 2 + int(head[1] or 1))):  # this line, the column names, the rows
                lines.popleft()
        summaries.append(summary)
    return words, summaries


def _question(text: str) -> str:
    return "\n".join(_split(text)[0]).strip()


def _frames(text: str) -> Iterator[Frame]:
    for title, *lines in _split(text)[1]:
        found = _TITLE.match(title)
        if not found:
            continue
        columns = {
            line.split(" | ")[0]: {key: float(value) for key, value in _STATISTIC.findall(line)}
            for line in lines
            if line.count(" | ") >= 3 and not line.startswith("column | ")
        }
        yield Frame(
            name=found["name"].strip() or "df",
            library=found["library"],
            rows=int(found["rows"].replace(",", "")),
            columns=int(found["columns"].replace(",", "")),
            statistics={name: numbers for name, numbers in columns.items() if len(numbers) == _STATISTICS},
            others=tuple(name for name, numbers in columns.items() if not numbers),
        )
