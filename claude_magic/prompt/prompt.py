r"""The prompt of a cell: its text, with the value of each `{{expr}}` in place → content blocks.

`{{expr}}` is Python and the only syntax; everything else is text, byte for byte. `\{{` is a literal `{{`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..content import token_estimate
from ..content.images import Block
from ..content.parts import Limits, Part, Piece, Room, Text, on_own_lines, room_for, size_of
from ..content.safely import try_or_none
from ..content.secret_names import is_secret_column
from ..content.secrets import MASK, Secrets, known_secrets
from ..content.text import short_line, whole_text
from ..conversation.turns import Attached
from ..errors import PromptError
from .expressions import MAX_QUOTED_CHARACTERS, Expression, _evaluate, _split
from .values import dataframes, hidden_columns, kinds, plain

# Files that are masked as code, where only literals can be secrets.
CODE_SUFFIXES = (
    ".py",
    ".pyi",
    ".ipynb",
    ".r",
    ".jl",
    ".js",
    ".ts",
    ".java",
    ".c",
    ".h",
    ".cpp",
    ".go",
    ".rs",
    ".sh",
    ".sql",
)
DEFAULTS = Limits()

_NAMES = re.compile(r"[A-Za-z_]\w*")
# What `kinds.render` gives for an object whose own forms fail.
_NOT_SHOWN = re.compile(r"<.{1,60} object: (?:its repr failed|showing it took)")


@dataclass(frozen=True)
class Prompt:
    """A cell's prompt: content blocks in wire form, and a summary of what is attached besides the typed text."""

    content: tuple[Block, ...]
    attached: tuple[Attached, ...] = ()


def prompt_content(body: str, namespace: Mapping[str, Any], *, limits: Limits = DEFAULTS) -> list[Block]:
    """The content blocks of a prompt with nothing attached before its text. Raises `PromptError`."""
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
    r"""The prompt of a cell: the attached `pieces`, then the text, with values and images in their places.

    Each `{{expr}}` is evaluated in `namespace`, all of them before the first is rendered; with `raw` there is no
    `{{expr}}` syntax. Lone surrogates, which UTF-8 cannot encode, become U+FFFD. `secrets` are masked in everything but
    the typed text; the default masks the values of secret names in the namespace and the environment, and text that
    looks like a secret. `limits` bound the values, in tokens.

    Raises:
        PromptError: the prompt is empty, or an expression is not valid Python or fails. It has no cause or
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
        advice = "It stands below a %%claude line, or behind %claude. Nothing was sent."
        raise PromptError("The prompt is empty.", advice=advice)
    return Prompt(blocks, _attached([*before, *inside]))


def values_prompt(
    text: str, values: Iterable[tuple[str, Any]], pieces: Sequence[Piece], *, secrets: Secrets, limits: Limits
) -> Prompt:
    """The prompt of a call from Python: the attached `pieces`, then a text without any syntax in it, then each of the
    (name, value) pairs on lines of its own, as a prompt shows it.

    `secrets` are masked in all of it, for nobody knows what was typed. Raises `PromptError` for an empty prompt.
    """
    before = [_masked(piece, secrets) for piece in pieces]
    said = _masked(Piece("the prompt", "text", [Text(text)]), secrets)
    inside = [_masked(piece, secrets) for piece in _values(values, secrets, limits)]
    parts = [*(part for piece in before for part in piece.parts), *said.parts]
    blocks = tuple(_join([*parts, *on_own_lines(part for piece in inside for part in piece.parts)]))
    if not blocks:
        raise PromptError("The prompt is empty. Nothing was sent.")
    return Prompt(blocks, _attached([*before, *([said] if said.masked else []), *inside]))


def _attached(pieces: Iterable[Piece]) -> tuple[Attached, ...]:
    """Summaries of the pieces; pieces of the same name and kind are one, with their tokens added up."""
    found: dict[tuple[str, str], Attached] = {}
    for piece in pieces:
        name = short_line(piece.name, MAX_QUOTED_CHARACTERS)
        known = found.get((name, piece.kind), Attached(name, piece.kind, 0))
        tokens = known.tokens + token_estimate.of_blocks(_join(piece.parts))
        found[name, piece.kind] = replace(known, tokens=tokens, masked=max(known.masked, piece.masked))
    return tuple(found.values())


def _masked(piece: Piece, secrets: Secrets) -> Piece:
    """The piece with its secrets masked and counted; a text that came masked adds one to the count."""
    parts: list[Part] = []
    count = piece.masked
    for part in piece.parts:
        if isinstance(part, Text):
            count += MASK in part.text
            text, found = secrets.masked(part.text, is_code=part.is_code)
            part = replace(part, text=text)
        else:
            part, found = _masked_block(part, secrets)
        count += found
        parts.append(part)
    return replace(piece, parts=parts, masked=count)


def _masked_block(block: Block, secrets: Secrets) -> tuple[Block, int]:
    """A block with the secrets in its texts masked, and their number."""
    match block:
        case {"type": "document", "source": {"type": "text", "data": data}}:
            is_code = str(block.get("title")).lower().endswith(CODE_SUFFIXES)
            text, found = secrets.masked(data, is_code=is_code)
            return {**block, "source": {**block["source"], "data": text}}, found
        case {"type": "document", "source": {"type": "content", "content": list(inner)}}:
            content, found = _masked_texts(inner, secrets)
            return {**block, "source": {**block["source"], "content": content}}, found
        case {"type": "search_result", "content": list(inner)}:
            content, found = _masked_texts(inner, secrets)
            return {**block, "content": content}, found
        case {"type": "text", "text": str(text)}:
            text, found = secrets.masked(text)
            return {**block, "text": text}, found
    return block, 0


def _masked_texts(content: Iterable[Block], secrets: Secrets) -> tuple[list[Block], int]:
    masked = [_masked_block(each, secrets) for each in content]
    return [block for block, _ in masked], sum(found for _, found in masked)


def _values(found: Iterable[tuple[str, Any]], secrets: Secrets, limits: Limits) -> Iterator[Piece]:
    """A piece for each (expression, value); they share the cell's room, first come first served."""
    left = room_for(limits.cell_tokens)
    for source, value in found:
        parts = _value(value, source, secrets, limits.value.at_most(left))
        left = max(0, left - size_of(parts))
        name = f"{source}, only its class" if str not in type(value).__mro__ and _is_no_more(parts) else source
        yield Piece(name, "value", parts)


def _is_no_more(parts: Sequence[Part]) -> bool:
    """Whether the parts of a value say no more than its class, which the cell then says to the reader."""
    text = parts[0].text if len(parts) == 1 and isinstance(parts[0], Text) else ""
    return plain.only_classes(text) or _NOT_SHOWN.match(text) is not None


def _value(value: Any, source: str, secrets: Secrets, room: Room) -> Sequence[Part]:
    """The parts for the value of an expression; only a mask for text whose name says that it is a secret."""
    value = dataframes.unstyled(value)
    if secrets.allowed:
        return kinds.render(value, source, room)
    names = _NAMES.findall(source)
    if names and not secrets.shows(names[-1]) and try_or_none(lambda: _is_secret(names[-1], value)):
        return [Text(MASK)]
    return kinds.render(hidden_columns.hidden(value, secrets), source, room)


def _is_secret(name: str, value: Any) -> bool:
    """Whether a value of this name is a secret: text or bytes, or a collection with text or bytes in it."""
    if isinstance(value, str | bytes):
        return is_secret_column(name, [value])
    return isinstance(value, list | tuple | set | frozenset) and is_secret_column(name, value)


def shown(value: Any, name: str, secrets: Secrets) -> list[Block]:
    """The content blocks of a value by itself, as a prompt shows it; `name` is the expression in its title.

    Of the `secrets`, only columns of frames are masked.
    """
    value = hidden_columns.hidden(dataframes.unstyled(value), secrets)
    return list(_join(kinds.render(value, name, DEFAULTS.value)))


def _join(parts: Iterable[Part]) -> Iterator[Block]:
    """Content blocks with neighbouring texts merged, and no block of only white space, which the API refuses."""
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
    # UTF-8 has no surrogates: a pair becomes its character, a lone one U+FFFD.
    text = whole_text("".join(pieces))
    if text.strip():
        yield {"type": "text", "text": text}


def parts_of(value: Any, source: str, secrets: Secrets, limits: Limits) -> Sequence[Part]:
    """The parts of a prompt for the value of an expression, secrets masked."""
    return masked_parts(Piece(source, "value", _value(value, source, secrets, limits.value)), secrets)


def masked_parts(piece: Piece, secrets: Secrets) -> Sequence[Part]:
    """The parts of a piece, secrets masked."""
    return _masked(piece, secrets).parts


def joined(parts: Iterable[Part]) -> list[Block]:
    """Parts as content blocks: neighbouring texts merged, no block of only white space."""
    return list(_join(parts))


def system_text(blocks: Sequence[Block]) -> str:
    """The text of a system prompt. Raises `PromptError` for a block that is no text."""
    if any(block["type"] != "text" for block in blocks):
        raise PromptError("A system prompt is text: --system cannot take an image.")
    return "".join(block["text"] for block in blocks)
