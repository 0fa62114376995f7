"""The record: turns as JSON data in an output's metadata or a file, and the reader that checks them.

A record has a version and a schema, and is read completely or not at all. A file may come from somebody else, so its
data is checked before it becomes a turn, and never executed.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import document_files, record_schema
from .received import is_shallow
from .turns import Attached, Block, Call, Message, Pin, SystemPrompt, Turn, blocks

if TYPE_CHECKING:
    from .map_run import Mapped

VERSION = 1
# The API takes no larger request (CLAUDE_API.md §5), so no turn can be larger.
MAX_RECORD_CHARACTERS = 40_000_000
# Far above the nesting of any reply, far below Python's recursion limit of 1,000 frames (a level takes up to three).
MAX_DEPTH = 150
# The API's limits for requests with many images (CLAUDE_API.md §3), which `content/images.py` keeps to.
MAX_IMAGE_SIDE_PIXELS = 8_000
MAX_IMAGE_BASE64_BYTES = 10_000_000
GONE = "[an image that is no longer in the notebook]"
DOCUMENT_GONE = "[a document that is no longer there, or has changed since]"
# A longer document is kept in the record by digest and path only, if its file is known.
MAX_INLINE_CHARACTERS = 10_000


class DamagedRecord(ValueError):
    """A record that is damaged, or not one of ours; the message says why."""


@dataclasses.dataclass(frozen=True)
class Record:
    """The content of one output's record.

    `turns` has the cell's own turn; `others` the other models' turns where the cell compared models. With `guests`,
    `turns` are those that the cell brought back (`%claude_undo`, `%claude_recover`, `%claude_resume`), and `instead_of`
    the ids of the turns that they replace. `reset` is the name of a chat that the cell started over, at `created`
    (seconds since the epoch). `pin` is what the cell pinned, without content where it took a pin away; `system` is the
    system prompt that it set for a chat; `mapped` are the totals of its `%%claude_map`.
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


def metadata(turn: Turn, others: Iterable[Turn] = (), costs: Iterable[str] = ()) -> dict[str, Any]:
    """The output metadata of a turn, with the turns of the `others` that it was compared with.

    `costs` are the exact costs of all their calls, in order: for the page, which adds them up. Nothing here reads them.

    Images are referred to by digest, since they stand beside the record as outputs; large PDFs whose file is known, by
    digest and path.

    Empty where a reply is nested so deeply that nbformat could not write the notebook.
    """
    record: dict[str, Any] = {"version": VERSION, "cost": [*costs], "turn": _without_images(as_data(turn))}
    if compared := [_without_images(as_data(each)) for each in others]:
        record["others"] = compared
    return {"claude_magic": record} if _is_shallow(record) else {}


def guests_metadata(turns: Iterable[Turn], instead_of: Iterable[str] = (), costs: Iterable[str] = ()) -> dict[str, Any]:
    """The output metadata of a cell that brings turns back, images included; `instead_of` are ids of replaced turns,
    `costs` as in `metadata`."""
    kept = {"turns": [as_data(turn) for turn in turns], "instead_of": list(instead_of)}
    return {"claude_magic": {"version": VERSION, "cost": [*costs], **kept}}


def reset_metadata(chat: str, created: float) -> dict[str, Any]:
    """The output metadata that starts a chat over at `created` (seconds since the epoch)."""
    return {"claude_magic": {"version": VERSION, "reset": {"chat": chat, "created": created}}}


def pin_metadata(pin: Pin) -> dict[str, Any]:
    """The output metadata of a pin, images included; a pin without content takes an earlier one away."""
    held = {"name": pin.name, "content": list(pin.content), "ttl": pin.ttl, "created": pin.created}
    return {"claude_magic": {"version": VERSION, "pin": held}}


def system_metadata(system: SystemPrompt) -> dict[str, Any]:
    """The output metadata of a chat's system prompt; an empty text takes an earlier one away."""
    held = {"chat": system.chat, "text": system.text, "created": system.created}
    held |= {"ttl": system.ttl} if system.ttl else {}
    return {"claude_magic": {"version": VERSION, "system": held}}


def as_data(turn: Turn) -> dict[str, Any]:
    """A turn as plain JSON data, images included."""
    attached = {"along": [vars(each) for each in turn.attached]} if turn.attached else {}
    plain = {name: value for name, value in vars(turn).items() if name != "attached"}
    if turn.seconds is None:
        del plain["seconds"]
    if not turn.asked:
        del plain["asked"]
    return {**plain, "calls": [vars(call) for call in turn.calls], **attached}


def document(turns: Iterable[Turn]) -> dict[str, Any]:
    """Turns as the JSON file that `%claude_export` writes and `%claude_resume` reads."""
    return {"claude_magic": {"version": VERSION, "turns": [as_data(turn) for turn in turns]}}


Images = Callable[[str], str | None]
Documents = Callable[[str, str], str | None]


@dataclasses.dataclass(frozen=True)
class Lookup:
    """Functions that find what a record refers to, as base64: images by SHA-256, documents by SHA-256 and path."""

    images: Images
    documents: Documents


def record_of(
    data: Any, images: Images = lambda digest: None, documents: Documents = lambda digest, path: None
) -> Record:
    """Read an output's `metadata["claude_magic"]`. Raises `DamagedRecord`.

    `images` finds an image, as base64, by its SHA-256; `documents` a document, by its SHA-256 and the path of its file.
    """
    lookup = Lookup(images, documents)
    plain = _plain(data)
    if not isinstance(plain, dict):
        raise DamagedRecord("it is not an object")
    version = plain.get("version")
    if version != VERSION or isinstance(version, bool):
        shown = json.dumps(version)[:20]
        raise DamagedRecord(f"its version is {shown}, and this claude_magic reads version {VERSION}")
    kinds = plain.keys() & {"turn", "turns", "reset", "pin", "system", "map"}
    if len(kinds) != 1:
        raise DamagedRecord("it holds more than one thing" if kinds else "it holds no turn")
    wrong = record_schema.check(plain)
    if wrong:
        raise DamagedRecord(wrong)
    if "reset" in plain:
        return Record(reset=plain["reset"]["chat"], created=plain["reset"]["created"])
    if "pin" in plain:
        return Record(
            pin=Pin(**{**plain["pin"], "content": tuple(_restored(block, lookup) for block in plain["pin"]["content"])})
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


def fault(turn: Turn) -> str:
    """Why the record of a turn could not be read back; empty if it can be.

    This is the gate in front of every conversation (`session/chats.py`). The bytes of images and documents are not
    looked at: they were checked when they were attached.
    """
    try:
        record_of({"version": VERSION, "turn": _without_bytes(as_data(turn))})
    except DamagedRecord as damaged:
        return str(damaged)
    return ""


def _without_bytes(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn's data with a digest of nothing in place of the base64 in its prompts and in `made`."""
    messages = [
        {**message, "content": [_emptied(block) for block in blocks(message)]} if message["role"] == "user" else message
        for message in turn["messages"]
    ]
    return {**turn, "messages": messages, "made": [_emptied(block) for block in turn["made"]]}


def _emptied(block: Mapping[str, Any]) -> Mapping[str, Any]:
    if block.get("type") == "tool_result" and isinstance(block.get("content"), list | tuple):
        return {**block, "content": [_emptied(each) for each in block["content"]]}
    source = block.get("source")
    if not isinstance(source, Mapping) or source.get("type") != "base64":
        return block
    by_digest = {"type": "sha256", "media_type": source.get("media_type"), "sha256": "0" * 64}
    path = {"path": "-"} if block.get("type") == "document" else {}
    return {**block, "source": {**by_digest, **path}}


def digest_of(data: str) -> str:
    """The SHA-256, in hexadecimal, of bytes given as base64."""
    return document_files.digest_of(base64.b64decode(data))


def _plain(data: Any) -> Any:
    """The data as plain JSON. Raises `DamagedRecord` where its size or depth is beyond that of any record."""
    if not _is_shallow(data):
        raise DamagedRecord(f"it is nested more than {MAX_DEPTH} levels deep")
    try:
        text = json.dumps(data, allow_nan=False, ensure_ascii=False)
        text.encode()  # fails for a lone surrogate, which could not be sent
    except (ValueError, TypeError, RecursionError):
        raise DamagedRecord("it is not plain JSON") from None
    if len(text) > MAX_RECORD_CHARACTERS:
        raise DamagedRecord(f"it has {len(text):,} characters, and no turn has more than {MAX_RECORD_CHARACTERS:,}")
    return json.loads(text)


def _is_shallow(data: Any) -> bool:
    return is_shallow([data], MAX_DEPTH)


def _turn(data: Mapping[str, Any], lookup: Lookup) -> Turn:
    given = {name: value for name, value in data.items() if name in _TURN_FIELDS}
    messages = tuple({**message, "content": _restored_content(message, lookup)} for message in given["messages"])
    roles = [message["role"] for message in messages]
    ends_with_results = len(roles) > 2 and all(block["type"] == "tool_result" for block in messages[-1]["content"])
    paired = roles[:-1] if ends_with_results and roles[-1] == "user" else roles
    if paired != ["user", "assistant"] * (len(paired) // 2):
        raise DamagedRecord("its messages do not take turns")
    _check_tools(messages)
    made = tuple(_restored(block, lookup) for block in given.get("made", ()))
    for block in (*_inline(messages), *(block for block in made if block["type"] == "image")):
        _check_inline(block)
    calls = tuple(Call(**{k: v for k, v in call.items() if k in _CALL_FIELDS}) for call in given["calls"])
    partial, notes = tuple(given.get("partial", ())), tuple(given.get("notes", ()))
    attached = tuple(Attached(**each) for each in data.get("along", ()))
    read = {"messages": messages, "calls": calls, "partial": partial, "made": made, "notes": notes}
    read["attached"] = attached
    return Turn(**{**given, **read})


def _check_tools(messages: Sequence[Message]) -> None:
    """Check that tool calls have unique ids, and that the tool results in the turn are exactly those of its calls.

    Calls at the end of the turn get their results in the next request (`request/build.py`).
    """
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
    """The image and document blocks of prompts that hold base64, also those in tool results and documents."""
    for block in (block for message in messages if message["role"] == "user" for block in message["content"]):
        holder = {"tool_result": block, "document": block.get("source")}.get(block["type"]) or {}
        inside = holder.get("content")
        for each in (block, *inside) if isinstance(inside, list) else (block,):
            if each["type"] in ("image", "document") and each["source"]["type"] == "base64":
                yield each


def _check_inline(block: Block) -> None:
    """Check an image or PDF: with a damaged one in the history, the API would refuse every later request."""
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
    """Whether Pillow reads an image of this type, of a size that the API takes; only the image's header is decoded."""
    from PIL import Image

    kind = media_type.removeprefix("image/").upper()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[kind]) as picture:
                return max(picture.size) <= MAX_IMAGE_SIDE_PIXELS
    except Exception:  # damaged or hostile bytes: each of Pillow's decoders fails in its own way
        return False


_TURN_FIELDS = frozenset(field.name for field in dataclasses.fields(Turn))
_CALL_FIELDS = frozenset(field.name for field in dataclasses.fields(Call))


def _without_images(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn's data with the images of its prompt and of `made` as digests: the cell's outputs hold the images."""
    messages = [
        {**message, "content": [_digested(block) for block in message["content"]]}
        if message["role"] == "user" and not isinstance(message["content"], str)
        else message
        for message in turn["messages"]
    ]
    return {**turn, "messages": messages, "made": [_digested(block) for block in turn["made"]]}


def _digested(block: dict[str, Any]) -> dict[str, Any]:
    if block.get("type") == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_digested(each) for each in block["content"]]}
    source = block.get("source")
    if not isinstance(source, Mapping) or source.get("type") != "base64":
        return block
    if block.get("type") == "document":
        return _digested_document(block, source)
    if block.get("type") != "image":
        return block
    if canonical_base64(source["data"]) != source["data"]:  # the notebook would not give the same back
        return block
    return {
        **block,
        "source": {"type": "sha256", "media_type": source["media_type"], "sha256": digest_of(source["data"])},
    }


def _digested_document(block: dict[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """A large document as digest and path; unchanged where it is small or its file is not known."""
    data = source["data"]
    if len(data) <= MAX_INLINE_CHARACTERS or canonical_base64(data) != data:
        return block
    digest = digest_of(data)
    path = document_files.path_of(digest)
    if path is None:
        return block
    by_digest = {"type": "sha256", "media_type": source["media_type"], "sha256": digest, "path": path}
    return {**block, "source": by_digest}


def _restored_content(message: Mapping[str, Any], lookup: Lookup) -> list[Any]:
    return [_restored(block, lookup) for block in message["content"]]


def _restored(block: Mapping[str, Any], lookup: Lookup) -> Mapping[str, Any]:
    if block["type"] == "tool_result" and isinstance(block.get("content"), list):
        return {**block, "content": [_restored(each, lookup) for each in block["content"]]}
    source = block.get("source")
    if not isinstance(source, dict) or source.get("type") != "sha256":
        return block
    is_image = block["type"] == "image"
    data = lookup.images(source["sha256"]) if is_image else lookup.documents(source["sha256"], source["path"])
    if data is None:
        return {"type": "text", "text": GONE if is_image else DOCUMENT_GONE}
    return {**block, "source": {"type": "base64", "media_type": source["media_type"], "data": data}}


def canonical_base64(data: Any) -> str | None:
    """Base64 as we write it, without the line breaks of a notebook's file; `None` if it is not base64."""
    try:
        text = "".join(data) if isinstance(data, list) else data
        return base64.b64encode(base64.b64decode("".join(text.split()), validate=True)).decode()
    except (binascii.Error, ValueError, TypeError, AttributeError):
        return None
