"""Signatures of thinking blocks and summaries, and the check that they come back unchanged and in place.

A signature binds a thinking block to its model, to its text as shown, and to everything before it:
system prompt, tools, and every block, earlier thinking included. A summary's signature binds its text,
and holds the digest of what it replaces, so that thinking after it stays valid. Signatures do not depend
on the running server: a saved notebook can be continued with another one.
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
from .history import Block, Body, Placed, canonical, current, flatten, normalized, summarizes, system_blocks, tools

# Not a secret: it only serves to detect damaged signatures.
_KEY = b"claude_magic offline stand-in"
_MARK = b"offline\x00"
_SEAL_BYTES = 32
# Blocks that report what happened on the server; no model reads them.
_UNREAD = ("fallback",)


@dataclass(frozen=True)
class Seal:
    """The content of a thinking block's signature. `tokens` are those of the original, not of the text as shown."""

    model: str
    text: str
    prefix: str
    tokens: int


@dataclass(frozen=True)
class Summary:
    """The content of a summary's signature: digests of its text, of system prompt and tools, of what it replaces."""

    text: str
    opening: str
    prefix: str


class Prefix:
    """A running digest of everything before a place in a conversation; `opening` is that of system prompt and tools."""

    def __init__(self, body: Body) -> None:
        opening = [[normalized(block) for block in system_blocks(body)], [normalized(tool) for tool in tools(body)]]
        self.opening = self._digest = hashlib.sha256(canonical(opening)).hexdigest()

    def add(self, role: str, block: Block) -> None:
        summary = summary_of(block) if block.get("type") == "compaction" else None
        if summary and summary.opening == self.opening:
            self._digest = summary.prefix
        else:
            self._digest = hashlib.sha256(self._digest.encode() + canonical([role, normalized(block)])).hexdigest()

    def digest(self) -> str:
        return self._digest


def prefix_of(body: Body) -> Prefix:
    """The digest of a whole request, to which its reply is bound."""
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
    """The content of a thinking block's signature; `None` where it is damaged or not the stand-in's."""
    fields = _fields(signature)
    return Seal(*fields) if fields and len(fields) == 4 else None


def summary_of(block: Block) -> Summary | None:
    """The content of a compaction block's signature; `None` where it is missing, damaged or not the stand-in's.

    In the API, a summary on demand has a `signature`, one made at a threshold has `encrypted_content`.
    """
    fields = _fields(block.get("signature") or block.get("encrypted_content") or "")
    return Summary(*fields) if fields and len(fields) == 3 else None


def _fields(signature: str) -> list[Any] | None:
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return None
    seal, payload = raw[len(_MARK) :][:_SEAL_BYTES], raw[len(_MARK) + _SEAL_BYTES :]
    # Several spellings of base64 decode to the same bytes: only the one that was sent is accepted.
    intact = raw.startswith(_MARK) and base64.b64encode(raw).decode() == signature
    if not intact or not hmac.compare_digest(seal, hmac.digest(_KEY, payload, "sha256")):
        return None
    return list(json.loads(payload))


def verify(body: Body, model: Model) -> None:
    """Refuse thinking that is damaged or, where the model binds it, whose preceding messages have changed.

    Raises `Rejected` with the API's wording. Another model's thinking is not checked: see `readable`.
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
    """The blocks that the model reads: all but failed summaries and another model's thinking, which is not billed."""
    model = lookup(model_id)
    return [
        each
        for each in placed
        if each.kind not in _UNREAD and not _is_failed_summary(each) and _is_readable(each, model)
    ]


def _is_failed_summary(placed: Placed) -> bool:
    return placed.kind == "compaction" and not summarizes(placed.block)


def _is_readable(placed: Placed, model: Model | None) -> bool:
    if placed.kind != "thinking" or model is None:
        return True
    seal = unseal(placed.block["signature"])
    return seal is not None and seal.model == model.id
