"""Signs the thinking that the stand-in makes, and says whether thinking that comes back is bound to its place.

A signature binds a thinking block to its model, to its text as shown, and to everything before it:
system prompt, tools, and every block, earlier thinking included. It outlives the server: a notebook
that was saved can be taken up again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass

from ..models import Model, lookup
from .faults import Rejected
from .history import Block, Body, Placed, canonical, flatten, settled, system_blocks, tools

# Not a secret: it only makes a damaged signature differ from a whole one.
_KEY = b"claude_magic offline stand-in"
_MARK = b"offline\x00"
_SEAL_BYTES = 32


class Prefix:
    """A running digest of all that stands before a place in a conversation."""

    def __init__(self, body: Body) -> None:
        opening = [[settled(block) for block in system_blocks(body)], [settled(tool) for tool in tools(body)]]
        self._hash = hashlib.sha256(canonical(opening))

    def add(self, role: str, block: Block) -> None:
        self._hash.update(b"\x00" + canonical([role, settled(block)]))

    def digest(self) -> str:
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Seal:
    """What a signature says. `tokens` are those of the thinking, which its shown text may not have."""

    model: str
    text: str
    prefix: str
    tokens: int


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sign(seal: Seal) -> str:
    """A seal as an opaque signature."""
    payload = json.dumps([seal.model, seal.text, seal.prefix, seal.tokens]).encode()
    return base64.b64encode(_MARK + hmac.digest(_KEY, payload, "sha256") + payload).decode()


def unseal(signature: str) -> Seal | None:
    """What a signature says; `None` where it is damaged, or none of ours."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None
    seal, payload = raw[len(_MARK) :][:_SEAL_BYTES], raw[len(_MARK) + _SEAL_BYTES :]
    # Base64 has spellings that decode alike: only the one that was sent is whole.
    whole = raw.startswith(_MARK) and base64.b64encode(raw).decode() == signature
    if not whole or not hmac.compare_digest(seal, hmac.digest(_KEY, payload, "sha256")):
        return None
    return Seal(*json.loads(payload))


def verify(body: Body, model: Model) -> None:
    """Refuse thinking that is damaged or, where the model binds it, not where it was made.

    Raises `Rejected` with the API's wording. Another model's thinking is left alone: see `readable`.
    """
    prefix = Prefix(body)
    for placed in flatten(body["messages"]):
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
    return [
        each
        for each in placed
        if each.kind != "thinking"
        or model is None
        or ((seal := unseal(each.block["signature"])) is not None and seal.model == model.id)
    ]
