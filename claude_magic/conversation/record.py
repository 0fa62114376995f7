"""Turns as data in a file, and back: with a version, by a schema, and whole or not at all.

What comes from a file is a stranger's: it is checked before it becomes a turn, and never run.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import itertools
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import document_files, record_schema
from .turns import Attached, Block, Call, Message, Pin, SystemPrompt, Turn

if TYPE_CHECKING:
    from .map_run import Mapped

VERSION = 1
# The API takes no larger request (CLAUDE_API.md §5), so no turn can have been.
MAX_RECORD_CHARACTERS = 40_000_000
# Far from what a reply nests, and from Python's own limit of 1,000 frames, of which a level takes up to three.
MAX_DEPTH = 150
# As `pictures.py` makes them: the API's limits for requests with many images (CLAUDE_API.md §3).
MAX_IMAGE_SIDE_PIXELS = 2_000
MAX_IMAGE_BASE64_BYTES = 10_000_000
GONE = "[an image that is no longer in the notebook]"
DOCUMENT_GONE = "[a document that is no longer there, or has changed since]"
# A longer document is not repeated in the record, where its file has it.
MAX_INLINE_CHARACTERS = 10_000


class DamagedRecord(ValueError):
    """A record that is not one of ours, whole; the message says why."""


@dataclasses.dataclass(frozen=True)
class Record:
    """What one output carries.

    A cell's own turn is one of `turns`; one that compared models has the other models' turns in `others`. A cell that
    brought turns back (`%claude_undo`, `%claude_recover`,
    `%claude_resume`) carries those, `guests`, and says which turns they stand `instead_of`. A cell that
    started a chat over has the chat's name in `reset`, and `created`, in seconds since the epoch. A cell that pinned
    something has it in `pin`, without content where it took the pin away; one that set a chat's system prompt has that
    in `system`, and one that mapped a prompt over data what that came to in `mapped`.
    """

    turns: tuple[Turn, ...] = ()
    others: tuple[Turn, ...] = ()
    guests: bool = False
    instead_of: tuple[str, ...] = ()
    reset: str | None = None
    created: float = 0.0
    pin: Pin | None = None
    system: SystemPrompt | None = None
    mapped: Mapped | None = None


def metadata(turn: Turn, others: Iterable[Turn] = ()) -> dict[str, Any]:
    """A turn as its cell's output carries it, with those of the `others` that it was compared with.

    Images are not repeated: they stand beside it as outputs, and are referred to by digest; nor are large PDFs whose
    file is known: they are referred to by digest and path.

    Nothing, where a reply nests so deep that nbformat could not write the notebook.
    """
    record: dict[str, Any] = {"version": VERSION, "turn": _without_images(as_data(turn))}
    if compared := [_without_images(as_data(each)) for each in others]:
        record["others"] = compared
    return {"claude_magic": record} if _is_shallow(record) else {}


def guests_metadata(turns: Iterable[Turn], instead_of: Iterable[str] = ()) -> dict[str, Any]:
    """Turns that another cell brings back, images included."""
    kept = {"turns": [as_data(turn) for turn in turns], "instead_of": list(instead_of)}
    return {"claude_magic": {"version": VERSION, **kept}}


def reset_metadata(chat: str, created: float) -> dict[str, Any]:
    """A mark that a chat starts over at this moment."""
    return {"claude_magic": {"version": VERSION, "reset": {"chat": chat, "created": created}}}


def pin_metadata(pin: Pin) -> dict[str, Any]:
    """Something pinned, images included; a pin without content is one that was taken away."""
    held = {"name": pin.name, "content": list(pin.content), "ttl": pin.ttl, "created": pin.created}
    return {"claude_magic": {"version": VERSION, "pin": held}}


def system_metadata(system: SystemPrompt) -> dict[str, Any]:
    """A chat's system prompt; an empty one is one that was taken away."""
    held = {"chat": system.chat, "text": system.text, "created": system.created}
    return {"claude_magic": {"version": VERSION, "system": held}}


def as_data(turn: Turn) -> dict[str, Any]:
    """A turn as plain JSON data, images included."""
    attached = {"along": [vars(each) for each in turn.attached]} if turn.attached else {}
    plain = {name: value for name, value in vars(turn).items() if name != "attached"}
    return {**plain, "calls": [vars(call) for call in turn.calls], **attached}


def document(turns: Iterable[Turn]) -> dict[str, Any]:
    """Turns as a file of their own: what `%claude_export` writes as JSON, and `%claude_resume` reads."""
    return {"claude_magic": {"version": VERSION, "turns": [as_data(turn) for turn in turns]}}


Images = Callable[[str], str | None]
Documents = Callable[[str, str], str | None]


@dataclasses.dataclass(frozen=True)
class Held:
    """Where what a record refers to is found, as base64: images by their SHA-256, documents by it and their path."""

    images: Images
    documents: Documents


def record_of(
    data: Any, images: Images = lambda digest: None, documents: Documents = lambda digest, path: None
) -> Record:
    """What an output's `metadata["claude_magic"]` says.

    `images` finds an image's bytes, as base64, by their SHA-256; `documents` a document's, by it and by the path of
    its file. Raises `DamagedRecord`.
    """
    lookup = Held(images, documents)
    plain = _plain(data)
    if not isinstance(plain, dict):
        raise DamagedRecord("it is not an object")
    version = plain.get("version")
    if version != VERSION or isinstance(version, bool):
        shown = json.dumps(version)[:20]
        raise DamagedRecord(f"its version is {shown}, and this claude_magic reads version {VERSION}")
    held = plain.keys() & {"turn", "turns", "reset", "pin", "system", "map"}
    if len(held) != 1:
        raise DamagedRecord("it holds more than one thing" if held else "it holds no turn")
    wrong = record_schema.check(plain)
    if wrong:
        raise DamagedRecord(wrong)
    if "reset" in plain:
        return Record(reset=plain["reset"]["chat"], created=plain["reset"]["created"])
    if "pin" in plain:
        return Record(
            pin=Pin(**{**plain["pin"], "content": tuple(_by_data(block, lookup) for block in plain["pin"]["content"])})
        )
    if "system" in plain:
        return Record(system=SystemPrompt(**plain["system"]))
    if "map" in plain:
        from . import map_run

        return Record(mapped=map_run.from_data(plain["map"]))
    if "turn" in plain:
        others = tuple(_turn(each, lookup) for each in plain.get("others", ()))
        return Record((_turn(plain["turn"], lookup),), others)
    turns = tuple(_turn(each, lookup) for each in plain["turns"])
    return Record(turns, guests=True, instead_of=tuple(plain.get("instead_of", ())))


def digest_of(data: str) -> str:
    """The SHA-256 of bytes that are given as base64, in hexadecimal."""
    return document_files.digest_of(base64.b64decode(data))


def _plain(data: Any) -> Any:
    """The data as plain JSON, of a size and depth that can be one of ours."""
    if not _is_shallow(data):
        raise DamagedRecord(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False)
        text.encode()  # no part of a surrogate pair: it could not be sent
    except (ValueError, TypeError, RecursionError):
        raise DamagedRecord("it is not plain JSON") from None
    if len(text) > MAX_RECORD_CHARACTERS:
        raise DamagedRecord(f"it has {len(text):,} characters, and no turn has more than {MAX_RECORD_CHARACTERS:,}")
    return json.loads(text)


def _is_shallow(data: Any) -> bool:
    level: list[Any] = [[data]]
    for _ in range(MAX_DEPTH):
        inside = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in itertools.chain.from_iterable(inside) if isinstance(each, dict | list | tuple)]
        if not level:
            return True
    return False


def _turn(data: Mapping[str, Any], held: Held) -> Turn:
    given = {name: value for name, value in data.items() if name in _TURN_FIELDS}
    messages = tuple({**message, "content": _with_data(message, held)} for message in given["messages"])
    roles = [message["role"] for message in messages]
    ends_with_results = len(roles) > 2 and all(block["type"] == "tool_result" for block in messages[-1]["content"])
    taken = roles[:-1] if ends_with_results and roles[-1] == "user" else roles
    if taken != ["user", "assistant"] * (len(taken) // 2):
        raise DamagedRecord("its messages do not take turns")
    _check_tools(messages)
    made = tuple(_by_data(block, held) for block in given.get("made", ()))
    for block in (*_inline(messages), *(block for block in made if block["type"] == "image")):
        _check_inline(block)
    calls = tuple(Call(**{k: v for k, v in call.items() if k in _CALL_FIELDS}) for call in given["calls"])
    partial, notes = tuple(given.get("partial", ())), tuple(given.get("notes", ()))
    attached = tuple(Attached(**each) for each in data.get("along", ()))
    read = {"messages": messages, "calls": calls, "partial": partial, "made": made, "notes": notes}
    read["attached"] = attached
    return Turn(**{**given, **read})


def _check_tools(messages: Sequence[Message]) -> None:
    """Each tool call has an id of its own. Within the turn each is answered, and nothing else is; those at its end are
    answered by the next request (`request.py`)."""
    open_calls: list[str] = []
    every: set[str] = set()
    for message in messages:
        kinds = [block["type"] for block in message["content"]]
        results = [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]
        if message["role"] == "user":
            first = kinds[: len(results)].count("tool_result") == len(results)
            if sorted(results) != sorted(open_calls) or not first:
                raise DamagedRecord("the tool results in it are not those of its tool calls")
            continue
        open_calls = [block["id"] for block in message["content"] if block["type"] == "tool_use"]
        if len({*open_calls} - every) < len(open_calls):
            raise DamagedRecord("two tool calls in it have the same id")
        every |= {*open_calls}


def _inline(messages: Iterable[Message]) -> Iterator[Block]:
    """The blocks that hold base64, those in tool results included."""
    for block in (block for message in messages if message["role"] == "user" for block in message["content"]):
        inside = block.get("content") if block["type"] == "tool_result" else None
        for each in (block, *inside) if isinstance(inside, list) else (block,):
            if each["type"] in ("image", "document") and each["source"]["type"] == "base64":
                yield each


def _check_inline(block: Block) -> None:
    """The API would refuse what is not the picture or the PDF that it says: for ever, as it stands in the history."""
    source = block["source"]
    try:
        data = base64.b64decode(source["data"], validate=True)
    except ValueError:
        raise DamagedRecord(f"the base64 of its {block['type']} is damaged") from None
    if block["type"] == "document":
        if b"%PDF-" not in data[:1024]:
            raise DamagedRecord("its document is no PDF")
    elif len(source["data"]) > MAX_IMAGE_BASE64_BYTES or not _is_picture(data, source["media_type"]):
        raise DamagedRecord("its image is not one that Claude takes")


def _is_picture(data: bytes, media_type: str) -> bool:
    """Whether Pillow finds the picture that it is said to be, of a size that the API takes, by its head alone."""
    from PIL import Image

    kind = media_type.removeprefix("image/").upper()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[kind]) as picture:
                return max(picture.size) <= MAX_IMAGE_SIDE_PIXELS
    except Exception:  # a stranger's bytes: each of Pillow's decoders fails in its own way
        return False


_TURN_FIELDS = frozenset(field.name for field in dataclasses.fields(Turn))
_CALL_FIELDS = frozenset(field.name for field in dataclasses.fields(Call))


def _without_images(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn's data with its images by their digests: the prompt's, and those that code made, stand beside it."""
    messages = [
        {**message, "content": [_by_digest(block) for block in message["content"]]}
        if message["role"] == "user" and not isinstance(message["content"], str)
        else message
        for message in turn["messages"]
    ]
    return {**turn, "messages": messages, "made": [_by_digest(block) for block in turn["made"]]}


def _by_digest(block: dict[str, Any]) -> dict[str, Any]:
    if block.get("type") == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_by_digest(each) for each in block["content"]]}
    source = block.get("source")
    if not isinstance(source, Mapping) or source.get("type") != "base64":
        return block
    if block.get("type") == "document":
        return _document_by_digest(block, source)
    if block.get("type") != "image":
        return block
    if canonical_base64(source["data"]) != source["data"]:  # the notebook would not give the same back
        return block
    return {
        **block,
        "source": {"type": "sha256", "media_type": source["media_type"], "sha256": digest_of(source["data"])},
    }


def _document_by_digest(block: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """A large document by the file that has it; where none is known, as it is."""
    data = source["data"]
    if len(data) <= MAX_INLINE_CHARACTERS or canonical_base64(data) != data:
        return block
    digest = digest_of(data)
    path = document_files.path_of(digest)
    if path is None:
        return block
    by_digest = {"type": "sha256", "media_type": source["media_type"], "sha256": digest, "path": path}
    return {**block, "source": by_digest}


def _with_data(message: Mapping[str, Any], held: Held) -> list[Any]:
    return [_by_data(block, held) for block in message["content"]]


def _by_data(block: Mapping[str, Any], held: Held) -> Mapping[str, Any]:
    if block["type"] == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_by_data(each, held) for each in block["content"]]}
    source = block.get("source")
    if not isinstance(source, dict) or source.get("type") != "sha256":
        return block
    is_image = block["type"] == "image"
    data = held.images(source["sha256"]) if is_image else held.documents(source["sha256"], source["path"])
    if data is None:
        return {"type": "text", "text": GONE if is_image else DOCUMENT_GONE}
    return {**block, "source": {"type": "base64", "media_type": source["media_type"], "data": data}}


def canonical_base64(data: Any) -> str | None:
    """Base64 as we write it, without a notebook's line breaks; `None` if it is none."""
    try:
        text = "".join(data) if isinstance(data, list) else data
        return base64.b64encode(base64.b64decode("".join(text.split()), validate=True)).decode()
    except (binascii.Error, ValueError, TypeError, AttributeError):
        return None
