"""Prompt template with `{{row.…}}` → the exact request of each row, built one at a time, with its key.

Expressions that do not use the row are evaluated once. What stands before the first row's value is the same in all
requests; if it is long enough for the prompt cache, it gets a breakpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from .. import models
from ..content import token_estimate
from ..content.parts import Limits, Part, Text
from ..content.secrets import Secrets
from ..content.text import short_line
from ..errors import PromptError
from ..options import Options
from ..prompt import expressions, prompt
from ..prompt.expressions import Expression
from ..request import build
from ..request.build import Request
from .rows import NAMES, Rows, in_words, is_missing, seen_in


@dataclass(frozen=True)
class RowRequest:
    """One row's request: its position, the key that identifies it, and its parameters; or the `failure` to build it.

    `size` is the length of the request's JSON in bytes; `tokens` is an estimate.
    """

    position: int
    key: str
    params: Mapping[str, Any]
    size: int = 0
    tokens: int = 0
    failure: str = ""


# The key of a row that is not asked, since a value is missing, begins with it.
MISSING = "missing"
# How a missing value looks in a text.
_MISSING_WORD = re.compile(r"\b(?:None|nan|NaN|NaT)\b|<NA>")


class NotAsked(PromptError):
    """A row has no value for an expression."""


class UnknownColumn(PromptError):
    """An expression names a column that no row has."""


class Template:
    """A prompt for many rows. `asks_nulls` says whether a row is asked that has no value for an expression.

    Raises `PromptError` if it is the same for all rows, or if an expression is not valid Python, or if one that does
    not use the row fails.
    """

    def __init__(
        self,
        body: str,
        namespace: Mapping[str, Any],
        secrets: Secrets,
        limits: Limits,
        *,
        asks_nulls: bool = False,
    ) -> None:
        self._secrets, self._limits, self._asks_nulls = secrets, limits, asks_nulls
        self._namespace = dict(namespace)
        found = expressions.split(body)
        if not any(isinstance(each, Expression) and _uses_row(each.code) for each in found):
            raise PromptError(
                "The prompt is the same for every row.",
                advice="Write {{row.NAME}} where a column's value belongs, or {{item}} for an item of a list.",
            )
        self._pieces: list[Expression | Sequence[Part]] = [
            each if isinstance(each, Expression) and _uses_row(each.code) else self._evaluate(each, namespace)
            for each in found
        ]

    def _evaluate(self, piece: Text | Expression, namespace: Mapping[str, Any]) -> Sequence[Part]:
        if isinstance(piece, Text):
            return [piece]
        return prompt.parts_of(expressions.evaluated(piece, namespace), piece.source, self._secrets, self._limits)

    @property
    def constant_blocks(self) -> list[list[dict[str, Any]]]:
        """The content blocks that are the same for all rows, one list for each piece of the template."""
        return [prompt.joined(list(piece)) for piece in self._pieces if not isinstance(piece, Expression)]

    def leading_parts(self) -> list[Part]:
        """The parts before the first value of a row."""
        parts: list[Part] = []
        for piece in self._pieces:
            if isinstance(piece, Expression):
                break
            parts += piece
        return parts

    def row_parts(self, scope: Mapping[str, Any]) -> list[Part]:
        """The parts from the first row value on, for one row.

        Raises `PromptError` if an expression fails, `NotAsked` if it has no value, `UnknownColumn` if no row has one.
        """
        self._namespace.update(scope)
        first = next(at for at, piece in enumerate(self._pieces) if isinstance(piece, Expression))
        parts: list[Part] = []
        for piece in self._pieces[first:]:
            if isinstance(piece, Expression):
                value = in_words(self._row_value(piece, scope))
                parts += prompt.parts_of(value, piece.source, self._secrets, self._limits)
            else:
                parts += piece
        return parts

    def _row_value(self, piece: Expression, scope: Mapping[str, Any]) -> Any:
        """The value of an expression for one row."""
        row = scope.get("row")
        failure: PromptError | None = None
        value: Any = None
        seen_in(row)
        try:
            value = expressions.evaluated(piece, self._namespace)
        except PromptError as error:
            failure = error
        seen = seen_in(row)
        if failure is not None and seen.unknown:
            raise UnknownColumn(failure.message, advice="Nothing was sent.")
        lacks = bool(seen.missing) or any(
            is_missing(scope.get(name)) for name in names_in(piece.code) & {"row", "item"}
        )
        if failure is not None and (self._asks_nulls or not lacks):
            raise failure
        in_text = lacks and isinstance(value, str) and bool(_MISSING_WORD.search(value))
        if self._asks_nulls or not (failure or in_text or is_missing(value)):
            return value
        raise NotAsked(f"{{{{{short_line(piece.source, 60)}}}}} is missing here: --nulls ask asks it all the same")


def names_in(code: CodeType) -> set[str]:
    """The names that an expression uses, including those inside lambdas and comprehensions."""
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return {*code.co_names}.union(*map(names_in, inner))


def _uses_row(code: CodeType) -> bool:
    return not names_in(code).isdisjoint(NAMES)


class RowRequests:
    """The requests of a map, built one at a time at each iteration. `provider` is part of each key."""

    def __init__(self, template: Template, rows: Rows, built: Request, options: Options, provider: str) -> None:
        """`built` is a request without a prompt, as it is sent to the provider."""
        self._template = template
        self._rows = rows
        self._provider = provider
        self.betas = built.betas
        self.base = {name: each for name, each in built.params.items() if name not in build.PASSING}
        if self.base.get("thinking", {}).get("display"):  # a map shows no thinking
            self.base["thinking"] = {name: each for name, each in self.base["thinking"].items() if name != "display"}
        self._lead = prompt.joined(template.leading_parts())
        always: dict[str, Any] = {name: self.base[name] for name in ("system", "tools") if name in self.base}
        self._base_tokens = token_estimate.of_text(wire(always).decode()) if always else 0
        mark = _breakpoint(options)
        prefix_tokens = self._base_tokens + token_estimate.of_blocks(self._lead)
        self.shares_prefix = bool(mark) and prefix_tokens >= _least_cached(options.model)
        if mark and self.shares_prefix:
            if self._lead:
                self._lead = [*self._lead[:-1], {**self._lead[-1], "cache_control": mark}]
            elif self.base.get("system"):
                system = [{"type": "text", "text": self.base["system"], "cache_control": mark}]
                self.base = {**self.base, "system": system}
            else:
                self.shares_prefix = False

    @property
    def about(self) -> str:
        """A digest of all that the requests share: maps with different digests have no request in common."""
        shared = wire({"base": self.base, "prompt": self._template.constant_blocks})
        return hashlib.sha256(self._provider.encode() + b"\n" + shared).hexdigest()[:16]

    @property
    def shared_tokens(self) -> int:
        """The estimated number of tokens that each row but the first reads from the prompt cache."""
        return self._base_tokens + token_estimate.of_blocks(self._lead) if self.shares_prefix else 0

    def __iter__(self) -> Iterator[RowRequest]:
        return self.at()

    def at(self, positions: Container[int] | None = None) -> Iterator[RowRequest]:
        """The requests of the rows at these positions, or of all rows; other rows are not evaluated."""
        for position, scope in enumerate(self._rows.scopes()):
            if positions is None or position in positions:
                yield self._build(position, scope)

    def _build(self, position: int, scope: Mapping[str, Any]) -> RowRequest:
        try:
            row_parts = self._template.row_parts(scope)
            lead = self._lead if self.shares_prefix else self._template.leading_parts()
            content = [*lead, *prompt.joined(row_parts)] if self.shares_prefix else prompt.joined([*lead, *row_parts])
        except UnknownColumn:
            raise
        except PromptError as error:
            kind = MISSING if isinstance(error, NotAsked) else "failed"
            return RowRequest(position, f"{kind} {position}", {}, failure=error.message)
        if len(content) <= (len(self._lead) if self.shares_prefix else 0):
            return RowRequest(position, f"empty {position}", {}, failure="The prompt is empty for this row.")
        params = {**self.base, "messages": [{"role": "user", "content": content}]}
        text = wire(params)
        tokens = self._base_tokens + token_estimate.of_blocks(content)
        return RowRequest(position, _key(self._provider, text), params, len(text), tokens)


def wire(params: Mapping[str, Any]) -> bytes:
    """The JSON of a request, as it is sent in a batch."""
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
