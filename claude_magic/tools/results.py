"""What a tool returned, displayed, printed or raised → the content of its result.

Text is bounded first and then searched for secrets, so that a large result costs what is kept of it.
"""

from __future__ import annotations

import base64
import json
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from ..client.redaction import environment_secrets, redact
from ..content import tracebacks
from ..content.images import image_block
from ..content.parts import Text, room_for, shortened
from ..content.safely import TookTooLong, at_most, is_from_library, one_line, try_or_none
from ..content.secrets import Hidden, Secrets
from ..content.text import byte_length, plural, whole_text, without_controls
from ..conversation.turns import Block
from ..prompt import prompt
from ..prompt.values import figures, kinds
from ..prompt.values.bundles import PICTURES, parts_of_bundle
from ..request import pictures
from .displays import Captured, Output

MAX_RESULT_TOKENS = 8_000
MAX_RESULT_IMAGES = 5
MAX_TRACEBACK_BYTES = 14_000
# Text beyond the cut that is searched for secrets as well, in characters: a secret may lie across the cut.
MARGIN_CHARACTERS = 4_000

_PACKAGE = Path(__file__).parents[1]
_MACHINERY = ("pydantic", "asyncio", "anthropic", "concurrent", "ast.py")


def text(words: str) -> Block:
    """A text block."""
    return {"type": "text", "text": words}


# --- what it returned ---------------------------------------------------------------------------------


def of_value(value: Any, name: str, masking: Secrets) -> Sequence[Block]:
    """A tool's value as content blocks: text and images as they are, a dict or list of plain data as JSON, others as a
    prompt shows them."""
    if value is None:
        return []
    if isinstance(value, str):
        return [text(value)]
    if isinstance(value, list | tuple) and value and all(map(_is_block, value)):
        return [block for each in value for block in of_value(each, name, masking)]
    if _is_block(value):
        return [_content_block(value)]
    if isinstance(value, dict | list) and (as_json := _json(value, masking)):
        return [text(as_json)]
    return [_allowed(block) for block in prompt.shown(value, name, masking)]


def _json(value: dict[Any, Any] | list[Any], masking: Secrets) -> str | None:
    """The JSON of plain data, or its start where that is long; `None` if the value holds anything else, a figure say.

    Dates and times go in ISO form, exact numbers as text, sets as sorted lists.
    """
    pieces, length = list[str](), 0
    room = room_for(MAX_RESULT_TOKENS)
    wanted = room + _margin(masking)
    try:
        with at_most(kinds.MAX_SECONDS):
            for piece in json.JSONEncoder(ensure_ascii=False, default=_plain).iterencode(value):
                if length < wanted:
                    pieces.append(piece[: wanted - length])
                length += len(piece)
    except (TookTooLong, TypeError, ValueError, RecursionError):
        return None
    # A known secret stands in JSON as JSON writes it.
    written = (json.dumps(each, ensure_ascii=False)[1:-1] for each in masking.known)
    masked = Secrets(tuple(map(Hidden, written)), masking.allowed, masking.shown).masked("".join(pieces))[0]
    return shortened(masked, room, length=length if length > wanted else 0)


def _plain(value: Any) -> Any:
    """A value that JSON lacks as one that it has. Raises `TypeError` for all but plain data."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if is_from_library(value, "numpy") and getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError


def objects_in(value: Any) -> Sequence[Any]:
    """The objects that the content of a tool's value shows: when one of them was displayed too, it is shown once."""
    try:
        with at_most(kinds.MAX_SECONDS):
            return try_or_none(lambda: list(kinds.shown_by_themselves(value))) or [value]
    except TookTooLong:  # in the value's class
        return [value]


def _is_block(value: Any) -> bool:
    """Whether a value is a text, base64 image or document block in wire form, as the SDK's tools return."""
    if not isinstance(value, Mapping):
        return False
    if value.get("type") == "text":
        return isinstance(value.get("text"), str)
    source = value.get("source")
    has_data = isinstance(source, Mapping) and isinstance(source.get("data"), str)
    return value.get("type") in ("image", "document") and has_data


def _content_block(block: Mapping[str, Any]) -> Block:
    """A block of the SDK's tools as a result may hold it."""
    if block["type"] == "text":
        return text(block["text"])
    return _picture(block["source"]["data"]) if block["type"] == "image" else _allowed({**block})


def _picture(data: str) -> Block:
    try:
        return image_block(base64.b64decode(data))
    except Exception as error:
        return text(f"[{one_line(error)}]")


def _allowed(block: Block) -> Block:
    """A block of a prompt as a result may hold it: of a document its text."""
    if block["type"] in ("text", "image"):
        return block
    title, source = block.get("title") or "a document", block.get("source") or {}
    if source.get("type") == "text":
        return text(f"{title}:\n{source['data']}")
    return text(f"[{title}: a tool's result holds text and images, not a {block['type']}]")


# --- what it raised -----------------------------------------------------------------------------------


def of_failure(error: BaseException) -> Sequence[Block]:
    """An exception with its causes, notes and members, in the reader's frames; of a `ToolError` its content."""
    content = getattr(error, "content", None)
    if type(error).__name__ == "ToolError" and isinstance(content, str | list):
        return of_value(content, "", Secrets())
    if tracebacks.says_more(error):
        return [text(f"{one_line(error)}\n{tracebacks.traceback_text(error, MAX_TRACEBACK_BYTES, keeps=_is_readers)}")]
    frames = tracebacks.frames_of(traceback.extract_tb(error.__traceback__), _is_readers)
    where = [f"  {frame.name}, line {frame.lineno}: {frame.line}" for frame in frames]
    return [text("\n".join([one_line(error), *where]))]


def _is_readers(frame: traceback.FrameSummary) -> bool:
    """Whether a frame is neither of this package nor of the libraries that it calls tools through."""
    path = Path(frame.filename)
    return not path.is_relative_to(_PACKAGE) and not any(part in _MACHINERY for part in path.parts)


# --- what it printed and displayed --------------------------------------------------------------------


def of_displays(seen: Captured, returned: Sequence[Any]) -> Sequence[Block]:
    """What a tool printed and displayed, without the objects that it `returned`; each picture once."""
    blocks = [text(seen.stdout)]
    for output in seen.outputs:
        blocks += [block for block in _of_output(output, returned) if block["type"] == "text" or block not in blocks]
    return [*blocks, text(seen.stderr)]


def _of_output(output: Output, returned: Sequence[Any]) -> Iterable[Block]:
    value = output.value
    if value is None:
        value = try_or_none(lambda: figures.plotly_figure(output.bundle))
        if value is not None and any(figures.is_chart(each) and each == value for each in returned):
            return []
    if value is not None and any(value is each for each in returned):
        return []
    is_drawn = value is not None and bool(try_or_none(lambda: figures.drawn_for(value)))
    if is_drawn and not any(kind in output.bundle for kind in PICTURES):
        return map(_allowed, prompt.shown(value, "figure", Secrets()))
    return [text(part.text) if isinstance(part, Text) else part for part in parts_of_bundle(output.bundle)]


# --- within limits ------------------------------------------------------------------------------------


def bounded(shown: Sequence[Block], content: Sequence[Block], masking: Secrets) -> list[Block]:
    """Content within the API's limits: what was shown, then what was returned.

    Secrets are masked, neighbouring texts merged; no text is blank, images are few, and one that was shown and returned
    is there once. What was returned has up to three quarters of the room before what was shown.
    """
    shown = [block for block in shown if block["type"] == "text" or block not in content]
    room = room_for(MAX_RESULT_TOKENS)
    first = min(_size(shown), max(room - _size(content), room // 4))
    # In the middle of a loop of calls no earlier picture can be made smaller: each one is, from the start.
    return pictures.beside_many(_merged([*_kept(shown, first, masking), *_kept(content, room - first, masking)]))


def _texts(content: Iterable[Block]) -> Iterator[str]:
    return (block["text"] for block in content if block["type"] == "text")


def _size(content: Iterable[Block]) -> int:
    return sum(map(byte_length, _texts(content)))


def _kept(content: Sequence[Block], room: int, masking: Secrets) -> Iterator[Block]:
    """The blocks whose text fits into so many bytes, and the start of the next one."""
    secrets, left_out = environment_secrets(), 0
    for block in content:
        if block["type"] != "text":
            yield block
        elif room > 0 and not block["text"].isspace():
            kept = _start(block["text"].strip("\n"), room, secrets, masking)
            room -= byte_length(kept)
            yield text(kept)
        else:
            left_out += len(block["text"].strip())
    if left_out:
        yield text(f"… [{plural(left_out, 'more character')} left out]")


def _start(whole: str, room: int, secrets: tuple[str, ...], masking: Secrets) -> str:
    """A text with its secrets masked, in at most so many bytes. Only what is kept is searched, and a margin behind."""
    margin = max(_margin(masking), *map(len, secrets), 0)
    seen = without_controls(whole_text(whole[: room + margin]))
    masked = masking.masked(redact(seen, secrets))[0]
    return shortened(masked, room, length=len(whole) if len(whole) > room + margin else len(masked))


def _margin(masking: Secrets) -> int:
    return max([MARGIN_CHARACTERS, *map(len, masking.known)])


def _merged(content: Iterable[Block]) -> list[Block]:
    """Content with neighbouring texts merged, and the first images."""
    kept, images, texts = list[Block](), 0, list[str]()
    for block in content:
        if block["type"] == "text":
            texts.append(block["text"])
            continue
        images += 1
        if images <= MAX_RESULT_IMAGES:
            kept += [*_joined(texts), block]
            texts = []
    if images > MAX_RESULT_IMAGES:
        texts.append(f"… [{images - MAX_RESULT_IMAGES} more images left out]")
    return [*kept, *_joined(texts)]


def _joined(texts: Iterable[str]) -> list[Block]:
    whole = "\n".join(each for each in texts if each.strip())
    return [text(whole)] if whole else []
