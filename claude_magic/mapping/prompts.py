"""A prompt with `{{row.…}}` → the exact request of each row, one at a time, with a key that identifies it.

Expressions without a row are evaluated once; if they are long enough to be cached, they go first, with a breakpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from .. import models
from ..content import token_estimate
from ..content.parts import Limits, Part, Text
from ..content.secrets import Secrets
from ..errors import PromptError
from ..options import Options
from ..prompt import expressions, prompt
from ..prompt.expressions import Expression
from ..request import build
from ..request.build import Request
from .rows import NAMES, Rows


@dataclass(frozen=True)
class Ask:
    """One row's question: its place, the key of its exact request, and the request; or why there is none.

    `size` is the length of the request as JSON, in bytes; `tokens` what it weighs, roughly.
    """

    position: int
    key: str
    params: Mapping[str, Any]
    size: int = 0
    tokens: int = 0
    failure: str = ""


class Template:
    """A prompt for many rows. `base` are the parameters that all requests share.

    Raises `PromptError` where the prompt is the same for all rows, or an expression in it is not Python or fails
    without a row.
    """

    def __init__(self, body: str, namespace: Mapping[str, Any], secrets: Secrets, limits: Limits) -> None:
        self._secrets, self._limits = secrets, limits
        self._namespace = dict(namespace)
        found = expressions.split(body)
        if not any(isinstance(each, Expression) and _uses_row(each.code) for each in found):
            raise PromptError(
                "The prompt is the same for every row.",
                advice="Write {{row.NAME}} where a column's value belongs, or {{item}} for an item of a list.",
            )
        self._pieces: list[Expression | Sequence[Part]] = [
            each if isinstance(each, Expression) and _uses_row(each.code) else self._settled(each, namespace)
            for each in found
        ]

    def _settled(self, piece: Text | Expression, namespace: Mapping[str, Any]) -> Sequence[Part]:
        if isinstance(piece, Text):
            return [piece]
        return prompt.parts_of(expressions.evaluated(piece, namespace), piece.source, self._secrets, self._limits)

    @property
    def settled(self) -> list[list[dict[str, Any]]]:
        """What no row changes, as blocks, piece by piece."""
        return [prompt.joined(list(piece)) for piece in self._pieces if not isinstance(piece, Expression)]

    def leading(self) -> list[Part]:
        """What stands before the first value of a row."""
        parts: list[Part] = []
        for piece in self._pieces:
            if isinstance(piece, Expression):
                break
            parts += piece
        return parts

    def following(self, scope: Mapping[str, Any]) -> list[Part]:
        """All that comes after, with a row's values. Raises `PromptError` where one fails."""
        self._namespace.update(scope)
        first = next(at for at, piece in enumerate(self._pieces) if isinstance(piece, Expression))
        parts: list[Part] = []
        for piece in self._pieces[first:]:
            if isinstance(piece, Expression):
                parts += prompt.parts_of(
                    expressions.evaluated(piece, self._namespace), piece.source, self._secrets, self._limits
                )
            else:
                parts += piece
        return parts


def names_in(code: CodeType) -> set[str]:
    """The names that an expression speaks of; those inside a lambda or a comprehension are among them."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names}.union(*map(names_in, inner))


def _uses_row(code: CodeType) -> bool:
    return not names_in(code).isdisjoint(NAMES)


class RowRequests:
    """The requests of a map, built one at a time, as often as they are wanted. `provider` is part of each key."""

    def __init__(self, template: Template, rows: Rows, built: Request, options: Options, provider: str) -> None:
        """`built` is a request with no prompt in it, as it is sent to the provider."""
        self._template = template
        self._rows = rows
        self._provider = provider
        self.betas = built.betas
        self.base = {name: each for name, each in built.params.items() if name not in build.PASSING}
        if self.base.get("thinking", {}).get("display"):  # nobody reads it
            self.base["thinking"] = {name: each for name, each in self.base["thinking"].items() if name != "display"}
        self._lead = prompt.joined(template.leading())
        always: dict[str, Any] = {name: self.base[name] for name in ("system", "tools") if name in self.base}
        self._weight = token_estimate.of_text(wire(always).decode()) if always else 0
        mark = _breakpoint(options)
        self.shares = bool(mark) and self._weight + token_estimate.of_blocks(self._lead) >= _least_cached(options.model)
        if mark and self.shares:
            if self._lead:
                self._lead = [*self._lead[:-1], {**self._lead[-1], "cache_control": mark}]
            elif self.base.get("system"):
                system = [{"type": "text", "text": self.base["system"], "cache_control": mark}]
                self.base = {**self.base, "system": system}
            else:
                self.shares = False

    @property
    def about(self) -> str:
        """A digest of what all requests share: maps that differ in it have no request in common."""
        shared = wire({"base": self.base, "prompt": self._template.settled})
        return hashlib.sha256(self._provider.encode() + b"\n" + shared).hexdigest()[:16]

    @property
    def shared_tokens(self) -> int:
        """How many tokens are read from the cache for each row but the first, by their length."""
        return self._weight + token_estimate.of_blocks(self._lead) if self.shares else 0

    def __iter__(self) -> Iterator[Ask]:
        return self.at()

    def at(self, positions: Container[int] | None = None) -> Iterator[Ask]:
        """The requests of these rows, or of all: of the others nothing is evaluated."""
        for position, scope in enumerate(self._rows.scopes()):
            if positions is None or position in positions:
                yield self._ask(position, scope)

    def _ask(self, position: int, scope: Mapping[str, Any]) -> Ask:
        try:
            following = self._template.following(scope)
            lead = self._lead if self.shares else self._template.leading()
            content = [*lead, *prompt.joined(following)] if self.shares else prompt.joined([*lead, *following])
        except PromptError as error:
            return Ask(position, f"failed {position}", {}, failure=error.message)
        if len(content) <= (len(self._lead) if self.shares else 0):
            return Ask(position, f"empty {position}", {}, failure="The prompt is empty for this row.")
        params = {**self.base, "messages": [{"role": "user", "content": content}]}
        text = wire(params)
        tokens = self._weight + token_estimate.of_blocks(content)
        return Ask(position, _key(self._provider, text), params, len(text), tokens)


def wire(params: Mapping[str, Any]) -> bytes:
    """A request as JSON, as it goes into a batch."""
    return json.dumps(params, ensure_ascii=False, separators=(",", ":")).encode()


def _key(provider: str, text: bytes) -> str:
    return hashlib.sha256(provider.encode() + b"\n" + text).hexdigest()[:32]


def _breakpoint(options: Options) -> dict[str, Any] | None:
    if options.cache == "off":
        return None
    return {"type": "ephemeral", "ttl": "1h"} if options.cache == "1h" else {"type": "ephemeral"}


def _least_cached(model: str) -> int:
    known = models.lookup(model)
    return known.min_cache_tokens if known else 1_024
