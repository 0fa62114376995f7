r"""The text of a cell and the values in it → content blocks.

`{{expr}}` is Python and the only syntax; everything else is text, byte for byte. `\{{` is a literal `{{`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..content import token_estimate
from ..content.images import Block
from ..content.parts import Limits, Part, Piece, Room, Text, room_for, size_of
from ..content.safely import try_or_none
from ..content.secrets import MASK, Secrets, is_secret_name, known_secrets
from ..content.text import short_line, whole_text
from ..conversation.turns import Attached
from ..errors import PromptError
from .expressions import MAX_QUOTED_CHARACTERS, Expression, _evaluate, _split
from .values import hidden_columns, kinds

# In code only literals can be secrets.
CODE_SUFFIXES = (".py", ".ipynb", ".r", ".jl", ".js", ".ts", ".java", ".c", ".h", ".cpp", ".go", ".rs", ".sh", ".sql")
DEFAULTS = Limits()

_NAMES = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True)
class Prompt:
    """What a cell asks: content blocks in wire form, and what of it the reader did not type."""

    content: tuple[Block, ...]
    attached: tuple[Attached, ...] = ()


def prompt_content(body: str, namespace: Mapping[str, Any], *, limits: Limits = DEFAULTS) -> list[Block]:
    """The content blocks of a prompt without anything before its text. Raises `PromptError`."""
    return list(build_prompt(body, namespace, limits=limits).content)


def build_prompt(
    body: str,
    namespace: Mapping[str, Any],
    pieces: Sequence[Piece] = (),
    *,
    raw: bool = False,
    secrets: Secrets | None = None,
    limits: Limits = DEFAULTS,
) -> Prompt:
    r"""What a cell asks: the `pieces` that go along, then the text, with values and images at their place.

    Each `{{expr}}` is evaluated in `namespace`, all of them before the first is rendered; `raw` leaves
    the text as it is. Text that UTF-8 cannot carry (lone surrogates) becomes U+FFFD. All but what the reader typed
    goes without its `secrets`: by default those that the namespace and the environment hold, and what looks like one.
    `limits` are what the values may take.

    Raises:
        PromptError: the prompt is empty, or an expression is not Python or fails. It has no cause or
            context, which could hold a secret.
    """
    secrets = secrets or Secrets(known_secrets(namespace))
    typed = [Text(body)] if raw else list(_split(body))
    found = [(each.source, _evaluate(each, namespace)) for each in typed if isinstance(each, Expression)]
    before = [_masked(piece, secrets) for piece in pieces]
    inside = [_masked(piece, secrets) for piece in _values(found, secrets, limits)]
    rendered = iter(inside)
    parts = [part for piece in before for part in piece.parts]
    for each in typed:
        parts.extend(next(rendered).parts if isinstance(each, Expression) else [each])
    blocks = tuple(_join(parts))
    if not blocks:
        raise PromptError("The prompt is empty.", advice="Write it below the %%claude line. Nothing was sent.")
    return Prompt(blocks, _attached([*before, *inside]))


def _attached(pieces: Iterable[Piece]) -> tuple[Attached, ...]:
    """What goes along, each name once."""
    found: dict[tuple[str, str], Attached] = {}
    for piece in pieces:
        name = short_line(piece.name, MAX_QUOTED_CHARACTERS)
        known = found.get((name, piece.kind), Attached(name, piece.kind, 0))
        tokens = known.tokens + token_estimate.of_blocks(_join(piece.parts))
        found[name, piece.kind] = replace(known, tokens=tokens, masked=max(known.masked, piece.masked))
    return tuple(found.values())


def _masked(piece: Piece, secrets: Secrets) -> Piece:
    """A piece without its secrets; those that are masked in it already are one."""
    parts: list[Part] = []
    count = piece.masked
    for part in piece.parts:
        if isinstance(part, Text):
            count += MASK in part.text
            text, found = secrets.masked(part.text, is_code=part.is_code)
            count += found
            part = replace(part, text=text)
        elif part["type"] == "document" and part["source"]["type"] == "text":
            is_code = str(part.get("title")).lower().endswith(CODE_SUFFIXES)
            text, found = secrets.masked(part["source"]["data"], is_code=is_code)
            count += found
            part = {**part, "source": {**part["source"], "data": text}}
        parts.append(part)
    return replace(piece, parts=parts, masked=count)


def _values(found: Iterable[tuple[str, Any]], secrets: Secrets, limits: Limits) -> Iterator[Piece]:
    """The values by their expressions; the later ones get what the earlier ones leave of the cell's room."""
    left = room_for(limits.cell_tokens)
    for source, value in found:
        parts = _value(value, source, secrets, limits.value.at_most(left))
        left = max(0, left - size_of(parts))
        yield Piece(source, "value", parts)


def _value(value: Any, source: str, secrets: Secrets, room: Room) -> Sequence[Part]:
    """What the value of an expression becomes; a text whose name says that it is a secret, none of it."""
    if secrets.allowed:
        return kinds.render(value, source, room)
    names = _NAMES.findall(source)
    is_text = try_or_none(lambda: _is_text(value))
    if is_text and names and is_secret_name(names[-1]):
        return [Text(MASK)]
    return kinds.render(hidden_columns.hidden(value), source, room)


def _is_text(value: Any) -> bool:
    """Whether a value is a text, or some texts."""
    if isinstance(value, list | tuple | set | frozenset):
        return any(isinstance(each, str | bytes) for each in value)
    return isinstance(value, str | bytes) and len(value) > 0


def shown(value: Any, name: str) -> list[Block]:
    """A value by itself, as content blocks: what stands for it in a prompt. `name` is what it is called there."""
    return list(_join(kinds.render(value, name, DEFAULTS.value)))


def _join(parts: Iterable[Part]) -> Iterator[Block]:
    """As few text blocks as possible, and none that is only whitespace: the API refuses those."""
    run: list[Text] = []
    for part in parts:
        if isinstance(part, Text):
            run.append(part)
            continue
        yield from _text_block(run)
        yield part
        run = []
    yield from _text_block(run)


def _text_block(run: Sequence[Text]) -> Iterator[Block]:
    pieces: list[str] = []
    breaks = False  # whether a line break is due before the next piece
    for part in run:
        if not part.text:
            continue
        starts_line = not pieces or pieces[-1].endswith("\n")
        if (part.own_lines and not starts_line) or (breaks and not part.text.startswith("\n")):
            pieces.append("\n")
        pieces.append(part.text)
        breaks = part.own_lines and not part.text.endswith("\n")
    # Two surrogates that are one character become it, any other U+FFFD: UTF-8 has none of them.
    text = whole_text("".join(pieces))
    if text.strip():
        yield {"type": "text", "text": text}


def parts_of(value: Any, source: str, secrets: Secrets, limits: Limits) -> Sequence[Part]:
    """What the value of an expression becomes in a prompt, without its secrets."""
    return _masked(Piece(source, "value", _value(value, source, secrets, limits.value)), secrets).parts


def joined(parts: Iterable[Part]) -> list[Block]:
    """Parts as content blocks: as few as possible, none of which is only white space."""
    return list(_join(parts))
