"""Prompt template with `{{row.…}}` → the exact request of each row, built one at a time, with its key.

Expressions that do not use the row are evaluated once. What stands before the first row's value is the same in all
requests; if it is long enough for the prompt cache, it gets a breakpoint.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any

from .. import models
from ..content import token_estimate
from ..content.parts import Limits, Part, Piece, Room, Text, room_for
from ..content.secrets import Secrets
from ..content.text import short_line
from ..conversation.turns import Message
from ..errors import ClaudeError, PromptError
from ..options import Options
from ..prompt import attachments, expressions, prompt, wire_messages
from ..prompt.attachments import Word
from ..prompt.expressions import Expression
from ..request import build
from ..request.breakpoints import MAX_BREAKPOINTS
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


@dataclass(frozen=True)
class Filled:
    """What one row makes of a template: its part of the system prompt, its earlier turns, and its parts of the prompt
    after those that all rows share."""

    system: Sequence[Part]
    turns: Sequence[Message]
    parts: Sequence[Part]


_Piece = Expression | Word | Sequence[Part]


class Template:
    """A prompt for many rows, with what is attached to it and a system prompt that names the row, if there are.

    `asks_nulls` says whether a row is asked that has no value for an expression. Messages in wire form that open the
    prompt are the row's earlier turns. Raises `PromptError` if all is the same for all rows, or if an expression is not
    valid Python, or if one that does not use the row fails; `UsageError` if what all rows share cannot be attached.
    """

    def __init__(
        self,
        body: str,
        namespace: Mapping[str, Any],
        secrets: Secrets,
        limits: Limits,
        *,
        system: str = "",
        attached: Options | None = None,
        asks_nulls: bool = False,
    ) -> None:
        self._secrets, self._limits, self._asks_nulls = secrets, limits, asks_nulls
        self._namespace = dict(namespace)
        typed = self._pieces_of(expressions.split(body))
        of_system = [_said_in(each, "--system") for each in expressions.split(system)] if system else []
        self._system = self._pieces_of(of_system)
        words = attachments.words(attached) if attached is not None else []
        of_rows = [word for word in words if _is_of_row(word)]
        shared = [prompt.masked_parts(piece, secrets) for word in words for piece in self._shared(word)]
        if not of_rows and not any(isinstance(each, Expression) for each in (*typed, *self._system)):
            raise PromptError(
                "The prompt is the same for every row.",
                advice="Write {{row.NAME}} where a column's value belongs, or {{item}} for an item of a list.",
            )
        self._pieces: list[_Piece] = [*shared, *of_rows, *typed]
        first = next((each for each in typed if isinstance(each, Expression) or prompt.joined(list(each))), None)
        self._opening = first if isinstance(first, Expression) else None

    def _pieces_of(self, found: Sequence[Text | Expression]) -> list[Expression | Sequence[Part]]:
        return [
            each if isinstance(each, Expression) and _uses_row(each.code) else self._evaluate(each) for each in found
        ]

    def _evaluate(self, piece: Text | Expression) -> Sequence[Part]:
        if isinstance(piece, Text):
            return [piece]
        value = expressions.evaluated(piece, self._namespace)
        return prompt.parts_of(value, piece.source, self._secrets, self._limits)

    def _shared(self, word: Word) -> Sequence[Piece]:
        return () if _is_of_row(word) else word.pieces(self._namespace)

    @property
    def names_row_in_system(self) -> bool:
        """Whether the rows' system prompts differ."""
        return bool(self._system)

    @property
    def constant_blocks(self) -> list[list[dict[str, Any]]]:
        """The content blocks that are the same for all rows, one list for each piece of the template."""
        every = (*self._system, *self._pieces)
        return [prompt.joined(list(piece)) for piece in every if not isinstance(piece, Expression | Word)]

    @property
    def leading_system(self) -> list[Part]:
        """The parts of the system prompt before the first value of a row, if it names the row."""
        return _leading(self._system)

    def leading_parts(self) -> list[Part]:
        """The parts before the first value of a row."""
        return _leading(self._pieces)

    def filled(self, scope: Mapping[str, Any]) -> Filled:
        """The parts from the first row value on, for one row, with its system prompt and its earlier turns.

        Raises `UsageError` if an expression fails, `NotAsked` if it has no value, `UnknownColumn` if no row has one.
        """
        self._namespace.update(scope)
        system = self._filled_parts(_from_first_value(self._system), scope)
        rest = _from_first_value(self._pieces)
        opening = next((at for at, piece in enumerate(rest) if piece is self._opening), None)
        if opening is not None and self._opening is not None:
            value = self._row_value(self._opening, scope)
            before, after = rest[:opening], rest[opening + 1 :]
            if _are_turns(value, self._opening):
                parts = [*self._filled_parts(before, scope), *_unindented(self._filled_parts(after, scope))]
                return Filled(system, self._turns(value, self._opening, is_whole=not prompt.joined(parts)), parts)
            shown = prompt.parts_of(in_words(value), self._opening.source, self._secrets, self._limits)
            rest = [*before, shown, *after]
        return Filled(system, (), self._filled_parts(rest, scope))

    def _turns(self, value: Any, piece: Expression, *, is_whole: bool) -> Sequence[Message]:
        size = room_for(self._limits.cell_tokens)
        value = () if is_missing(value) else value
        return wire_messages.messages(value, piece.source, self._secrets, Room(size, size), is_whole=is_whole)

    def _filled_parts(self, pieces: Sequence[_Piece], scope: Mapping[str, Any]) -> list[Part]:
        parts: list[Part] = []
        for piece in pieces:
            if isinstance(piece, Expression):
                value = in_words(self._row_value(piece, scope))
                is_left_out = piece in self._system and is_missing(value)
                parts += [] if is_left_out else prompt.parts_of(value, piece.source, self._secrets, self._limits)
            elif isinstance(piece, Word):
                for each in piece.pieces_of(self._row_value(_expression(piece), scope)):
                    parts += prompt.masked_parts(each, self._secrets)
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


def _said_in(piece: Text | Expression, where: str) -> Text | Expression:
    return replace(piece, where=where) if isinstance(piece, Expression) else piece


def _leading(pieces: Sequence[_Piece]) -> list[Part]:
    parts: list[Part] = []
    for piece in pieces:
        if isinstance(piece, Expression | Word):
            break
        parts += piece
    return parts


def _from_first_value(pieces: Sequence[_Piece]) -> Sequence[_Piece]:
    first = next((at for at, piece in enumerate(pieces) if isinstance(piece, Expression | Word)), len(pieces))
    return pieces[first:]


def _text_of(parts: Sequence[Part]) -> str:
    """The text of a system prompt. Raises `PromptError` for what is no text."""
    return prompt.system_text(prompt.joined(parts))


def _unindented(parts: Sequence[Part]) -> list[Part]:
    """The parts after a row's earlier turns: the white space between the two belongs to neither."""
    if parts and isinstance(parts[0], Text):
        return [replace(parts[0], text=parts[0].text.lstrip()), *parts[1:]]
    return list(parts)


def _are_turns_by_name(piece: Expression) -> bool:
    return re.search(r"\bmessages\W*\Z", piece.source) is not None


def _are_turns(value: Any, piece: Expression) -> bool:
    """Whether the value that opens a prompt is the row's earlier turns; an empty one is by the name `messages`."""
    listed = wire_messages.as_list(value)
    is_empty = is_missing(value) or (listed is not None and not len(listed))
    return wire_messages.are_messages(value) or (is_empty and _are_turns_by_name(piece))


def names_row(text: str) -> bool:
    """Whether an expression of a text uses the row. Raises `PromptError` for one that is not valid Python."""
    return any(isinstance(each, Expression) and _uses_row(each.code) for each in expressions.split(text))


def _expression(word: Word) -> Expression:
    return expressions.compiled(word.source, word.flag)


def _is_of_row(word: Word) -> bool:
    return bool(word.source) and _uses_row(_expression(word).code)


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
        self._lead_system = template.leading_system
        always: dict[str, Any] = {name: self.base[name] for name in ("system", "tools") if name in self.base}
        self._base_tokens = token_estimate.of_text(wire(always).decode()) if always else 0
        self._mark = self._marked(_breakpoint(options), _least_cached(options.model))

    def _marked(self, mark: dict[str, Any] | None, least: int) -> dict[str, Any] | None:
        """Set a breakpoint at the end of what all requests begin with, if that is long enough. Returns it, or `None`.

        A system prompt that names the row comes before the prompt: then nothing after its first value is shared.
        """
        by_row = self._template.names_row_in_system
        own = token_estimate.of_text(_text_of(self._lead_system)) if by_row else token_estimate.of_blocks(self._lead)
        if not mark or self._base_tokens + own < least:
            return None
        self._shared_tokens = self._base_tokens + own
        if by_row:
            return mark if _text_of(self._lead_system) else None
        if self._lead:
            self._lead = [*self._lead[:-1], {**self._lead[-1], "cache_control": mark}]
        elif self.base.get("system"):
            system = [{"type": "text", "text": self.base["system"], "cache_control": mark}]
            self.base = {**self.base, "system": system}
        else:
            return None
        return mark

    @property
    def shares_prefix(self) -> bool:
        """Whether the requests have a cache breakpoint on what they begin with."""
        return self._mark is not None

    @property
    def about(self) -> str:
        """A digest of all that the requests share: maps with different digests have no request in common."""
        shared = wire({"base": self.base, "prompt": self._template.constant_blocks})
        return hashlib.sha256(self._provider.encode() + b"\n" + shared).hexdigest()[:16]

    @property
    def shared_tokens(self) -> int:
        """The estimated number of tokens that each row but the first reads from the prompt cache."""
        return self._shared_tokens if self.shares_prefix else 0

    def __iter__(self) -> Iterator[RowRequest]:
        return self.at()

    def at(self, positions: Container[int] | None = None) -> Iterator[RowRequest]:
        """The requests of the rows at these positions, or of all rows; other rows are not evaluated."""
        for position, scope in enumerate(self._rows.scopes()):
            if positions is None or position in positions:
                yield self._build(position, scope)

    def _build(self, position: int, scope: Mapping[str, Any]) -> RowRequest:
        try:
            filled = self._template.filled(scope)
            system, messages = self._system(filled.system), self._messages(filled)
        except UnknownColumn:
            raise
        except ClaudeError as error:
            kind = MISSING if isinstance(error, NotAsked) else "failed"
            return RowRequest(position, f"{kind} {position}", {}, failure=error.message)
        if not messages:
            return RowRequest(position, f"empty {position}", {}, failure="The prompt is empty for this row.")
        params = {**self.base, **system, "messages": messages}
        if (marks := _marks_in(params)) > MAX_BREAKPOINTS:
            failure = f"{marks} cache breakpoints are more than a request takes ({MAX_BREAKPOINTS})."
            return RowRequest(position, f"failed {position}", {}, failure=failure)
        text = wire(params)
        tokens = self._base_tokens + sum(token_estimate.of_blocks(each["content"]) for each in messages)
        tokens += token_estimate.of_text(wire(system).decode()) if system else 0
        return RowRequest(position, _key(self._provider, text), params, len(text), tokens)

    def _messages(self, filled: Filled) -> list[Message]:
        """The messages of a row: its earlier turns, the first with what all rows share before it, and its prompt."""
        is_marked = self.shares_prefix and not self._template.names_row_in_system and bool(self._lead)
        if filled.turns or is_marked:
            own = prompt.joined(filled.parts)
        else:
            own = prompt.joined([*self._template.leading_parts(), *filled.parts])
        messages: list[Message] = [*filled.turns, *([{"role": "user", "content": own}] if own else [])]
        if not messages or not (filled.turns or is_marked):
            return messages
        return [{**messages[0], "content": [*self._lead, *messages[0]["content"]]}, *messages[1:]]

    def _system(self, of_row: Sequence[Part]) -> dict[str, Any]:
        """The system prompt of a row, where it names the row: what is before the row's part has the breakpoint.

        Raises `PromptError` if it is no text.
        """
        if not self._template.names_row_in_system:
            return {}
        if self._mark is None:
            text = _text_of([*self._lead_system, *of_row])
            return {"system": text} if text else {}
        shared = {"type": "text", "text": _text_of(self._lead_system), "cache_control": self._mark}
        own = _text_of(of_row)
        return {"system": [shared, *([{"type": "text", "text": own}] if own else [])]}


def _marks_in(params: Mapping[str, Any]) -> int:
    """The number of cache breakpoints of a request."""
    system = params.get("system", ())
    blocks = [*params.get("tools", ()), *(() if isinstance(system, str) else system)]
    blocks += [block for message in params["messages"] for block in message["content"]]
    return sum(bool(each.get("cache_control")) for each in (params, *blocks))


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
