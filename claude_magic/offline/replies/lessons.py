"""The written examples of the teaching notebooks, `lessons.toml`: which of them fits a request, and what it says."""

from __future__ import annotations

import base64
import io
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...models import lookup
from ..request.history import Body
from ..request.prompt import Prompt, result_text
from .schema_example import fits

# How an answer begins that was written by hand.
WRITTEN = "*A written example, not Claude's words.*\n\n"
# How many paragraphs a question has at most: a value in it may be one of its own.
_PARAGRAPHS = 4
# Where the tool's result stands in an answer.
_RESULT = "{result}"
# Events of a stream each second while a lesson is played: about as fast as Claude writes.
PACE = 60.0
# How far an image may be from the lesson's, since fonts differ from machine to machine: its sides, as a fraction, and
# the bytes of its small copy. Another font changes those by 5 at most, another curve in the same axes by more than 20.
_SIDE = 0.05
_SHADES = 12
_SMALL_PIXELS = (8, 8)


@dataclass(frozen=True)
class Lesson:
    """A question with its thinking and answer; the rest says where it fits: see `lessons.toml`."""

    question: str
    thinking: str
    answer: str
    given: Sequence[str] = ()
    earlier: Sequence[str] = ()
    result: str = ""
    failed: bool = False
    picture: Sequence[int] = ()
    looks: str = ""
    effort: str | None = None
    model: str | None = None
    call: Mapping[str, Any] = field(default_factory=dict)
    lead: str = ""
    cites: bool = False
    bare: bool = False

    @property
    def opening(self) -> str:
        """The label; empty where a word or JSON was asked for."""
        return "" if self.bare else WRITTEN

    def told(self, prompt: Prompt, *, begun: bool) -> str:
        """The answer, with the tool's result in its place, and with its label unless the reply has `begun` with it."""
        said = "\n".join(result_text(block) for block in prompt.results)
        opening = "" if begun else self.opening
        return opening + self.answer.strip().replace(_RESULT, said)

    def is_told_by(self, text: str) -> bool:
        """Whether a text of a reply is this answer, with a label or without."""
        before, result, _ = self.answer.strip().partition(_RESULT)
        said = text.strip().removeprefix(WRITTEN)
        return said.startswith(before) if result else said == before


@cache
def written() -> tuple[Lesson, ...]:
    """All lessons, in the order of the file."""
    source = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    return tuple(Lesson(**each) for each in tomllib.loads(source)["lesson"])


def find(prompt: Prompt, body: Body) -> Lesson | None:
    """The lesson that fits a request; `None` for any question of the reader's own, and for changed data."""
    if prompt.instructions:
        return None
    asked = _endings(prompt.question)
    near = (each for each in written() if each.question in asked)
    return next((each for each in near if _fits(each, asked[0], prompt, body)), None)


def pace_of(message: Mapping[str, Any]) -> float | None:
    """The events each second at which a message is streamed; `None` for one that is no written example."""
    texts = [block["text"] for block in message["content"] if block["type"] == "text"]
    told = any(each.lstrip().startswith(WRITTEN.strip()) for each in texts)
    return PACE if told or any(lesson.is_told_by(each) for each in texts for lesson in written()) else None


def _endings(question: str) -> list[str]:
    """The question, and its last paragraphs: what goes along with it stands in paragraphs or code blocks before it."""
    paragraphs = re.split(r"\n\s*\n|\n```\n", question)
    starts = range(max(0, len(paragraphs) - _PARAGRAPHS), len(paragraphs))
    return [" ".join("\n".join(paragraphs[start:]).split()) for start in (0, *starts)]


def _fits(lesson: Lesson, asked: str, prompt: Prompt, body: Body) -> bool:
    if asked != lesson.question and not (lesson.given or lesson.earlier):
        return False
    if not all(each in prompt.text for each in lesson.given):
        return False
    if lesson.earlier and not _holds(body, lesson.earlier):
        return False
    output = body.get("output_config") or {}
    model = lookup(body["model"])
    return (
        lesson.effort in (None, output.get("effort"))
        and lesson.model in (None, model.line if model else None)
        and len(prompt.documents) == int(lesson.cites)
        and _fits_pictures(lesson, prompt)
        and _fits_tools(lesson, prompt, body)
        and _fits_format(lesson, output.get("format"))
    )


def _holds(body: Body, wanted: Sequence[str]) -> bool:
    held = json.dumps(body["messages"], ensure_ascii=False)
    return all(json.dumps(each, ensure_ascii=False)[1:-1] in held for each in wanted)


def _fits_pictures(lesson: Lesson, prompt: Prompt) -> bool:
    if len(prompt.pictures) != (1 if lesson.picture else 0):
        return False
    sides = [(size.width, size.height) if size else (0, 0) for size in prompt.pictures]
    if not all(abs(a - b) <= _SIDE * b for pair in sides for a, b in zip(pair, lesson.picture, strict=True)):
        return False
    looks = base64.b64decode(lesson.looks)
    return all(_near(_small(block["source"]["data"]), looks) for block in prompt.images)


def _near(small: bytes, looks: bytes) -> bool:
    return len(small) == len(looks) and all(abs(a - b) <= _SHADES for a, b in zip(small, looks, strict=True))


def _small(data: str) -> bytes:
    """An image in base64 at 8 × 8 pixels: each is the mean of its part, in red, green and blue. Empty if unreadable."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            return image.convert("RGB").resize(_SMALL_PIXELS, Image.Resampling.BOX).tobytes()
    except (OSError, SyntaxError, ValueError):
        return b""


def _fits_tools(lesson: Lesson, prompt: Prompt, body: Body) -> bool:
    """Whether the lesson's tool is offered, or has given the lesson's result."""
    if prompt.results:
        failed = any(block.get("is_error") for block in prompt.results)
        said = "\n".join(result_text(block) for block in prompt.results)
        result = rf"(?<![\w.]){re.escape(lesson.result)}(?!\w|\.\d)"  # 3.6, and not 13.6 or 3.65
        return bool(lesson.call) and failed == lesson.failed and bool(re.search(result, said))
    choice = (body.get("tool_choice") or {}).get("type", "auto")
    offered = [tool.get("name") for tool in body.get("tools") or []]
    return choice in ("auto", "none") and (not lesson.call or (choice == "auto" and lesson.call["name"] in offered))


def _fits_format(lesson: Lesson, form: Mapping[str, Any] | None) -> bool:
    """Whether the answer is JSON of the schema that was asked for, or prose where none was."""
    in_json = lesson.answer.lstrip().startswith("{")
    if not form or not in_json:
        return not form and not in_json
    return fits(json.loads(lesson.answer), form["schema"])
