"""Signs what the stand-in makes, and says whether what comes back is whole, and bound to its place.

A signature binds a thinking block to its model, to its text as shown, and to everything before it:
system prompt, tools, and every block, earlier thinking included. A summary's signature binds its text,
and knows what it stands for: thinking after it is as valid as behind the messages themselves. All of
it outlives the server: a notebook that was saved can be taken up again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from ...models import Model, lookup
from ..faults import Rejected
from .history import Block, Body, Placed, canonical, current, flatten, settled, summarizes, system_blocks, tools

# Not a secret: it only makes a damaged signature differ from a whole one.
_KEY = b"claude_magic offline stand-in"
_MARK = b"offline\x00"
_SEAL_BYTES = 32
# Blocks that say what happened on the server: no model reads them.
_UNREAD = ("fallback",)


@dataclass(frozen=True)
class Seal:
    """What a thought's signature says. `tokens` are those of the thinking, which its shown text may not have."""

    model: str
    text: str
    prefix: str
    tokens: int


@dataclass(frozen=True)
class Summary:
    """What a summary's signature says: digests of its text, of system prompt and tools, of what it stands for."""

    text: str
    opening: str
    prefix: str


class Prefix:
    """A running digest of all that stands before a place in a conversation."""

    def __init__(self, body: Body) -> None:
        opening = [[settled(block) for block in system_blocks(body)], [settled(tool) for tool in tools(body)]]
        self.opening = self._digest = hashlib.sha256(canonical(opening)).hexdigest()

    def add(self, role: str, block: Block) -> None:
        summary = summary_of(block) if block.get("type") == "compaction" else None
        if summary and summary.opening == self.opening:
            self._digest = summary.prefix
        else:
            self._digest = hashlib.sha256(self._digest.encode() + canonical([role, settled(block)])).hexdigest()

    def digest(self) -> str:
        return self._digest


def prefix_of(body: Body) -> Prefix:
    """The digest of a whole request: what its reply is bound to."""
    prefix = Prefix(body)
    for placed in flatten(body["messages"]):
        prefix.add(placed.role, placed.block)
    return prefix


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sign(seal: Seal | Summary) -> str:
    """A seal as an opaque signature."""
    payload = json.dumps(astuple(seal)).encode()
    return base64.b64encode(_MARK + hmac.digest(_KEY, payload, "sha256") + payload).decode()


def unseal(signature: str) -> Seal | None:
    """What a thought's signature says; `None` where it is damaged, or none of ours."""
    said = _opened(signature)
    return Seal(*said) if said and len(said) == 4 else None


def summary_of(block: Block) -> Summary | None:
    """What a compaction block's signature says; `None` where it has none, or one that is damaged or not ours.

    The API signs what was asked for on demand; what it makes at a threshold carries `encrypted_content`.
    """
    said = _opened(block.get("signature") or block.get("encrypted_content") or "")
    return Summary(*said) if said and len(said) == 3 else None


def _opened(signature: str) -> list[Any] | None:
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None
    seal, payload = raw[len(_MARK) :][:_SEAL_BYTES], raw[len(_MARK) + _SEAL_BYTES :]
    # Base64 has spellings that decode alike: only the one that was sent is whole.
    whole = raw.startswith(_MARK) and base64.b64encode(raw).decode() == signature
    if not whole or not hmac.compare_digest(seal, hmac.digest(_KEY, payload, "sha256")):
        return None
    return list(json.loads(payload))


def verify(body: Body, model: Model) -> None:
    """Refuse thinking that is damaged or, where the model binds it, not where it was made.

    Raises `Rejected` with the API's wording. Another model's thinking is left alone: see `readable`.
    """
    prefix = Prefix(body)
    for placed in current(body):
        if placed.kind == "thinking":
            _check(placed, prefix.digest(), model)
        prefix.add(placed.role, placed.block)


def _check(placed: Placed, prefix: str, model: Model) -> None:
    invalid = f"{placed.path}: Invalid `signature` in `thinking` block"
    seal = unseal(placed.block["signature"])
    if seal is None or seal.text != text_digest(placed.block["thinking"]):
        raise Rejected(invalid)
    if seal.model == model.id and model.binds_thinking and seal.prefix != prefix:
        raise Rejected(f"{invalid}: The block is bound to a different conversation")


def readable(placed: Sequence[Placed], model_id: str) -> list[Placed]:
    """The blocks that the model reads: all but another model's thinking, which is dropped unbilled."""
    model = lookup(model_id)
    return [each for each in placed if each.kind not in _UNREAD and not _failed(each) and _own(each, model)]


def _failed(placed: Placed) -> bool:
    return placed.kind == "compaction" and not summarizes(placed.block)


def _own(placed: Placed, model: Model | None) -> bool:
    if placed.kind != "thinking" or model is None:
        return True
    seal = unseal(placed.block["signature"])
    return seal is not None and seal.model == model.id
