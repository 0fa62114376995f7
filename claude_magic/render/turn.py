"""A turn's record beside its answer: the header with its line and folds, the images, and the text for a terminal."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from ..content.text import join_line, plural, whole_text
from ..conversation import record
from ..conversation.accumulator import thinking_of
from ..conversation.turns import Attached, Block, Turn, text_of
from ..cost import pricing
from ..models import STAND_IN
from .folds import THINKING, fold, other_fold
from .markup import gate
from .text import Bundle, printable

if TYPE_CHECKING:
    from PIL import Image

MAX_IMAGE_WIDTH_PIXELS = 240
OFFLINE = STAND_IN
REPLAYED = "replayed from the notebook"
_STOPS = {
    "max_tokens": "cut off at max_tokens",
    "model_context_window_exceeded": "cut off: the context window is full",
    "tool_use": "asks for a tool",
    "pause_turn": "paused",
    "refusal": "refused",
    "compaction": "compacted",
}
_CUTS = ("max_tokens", "model_context_window_exceeded", "stop_sequence")


def who_answers(provider: str | None) -> str:
    """The label of who answers instead of Claude: the stand-in, or a record (no provider); else empty."""
    if provider is None:
        return REPLAYED
    return OFFLINE if provider == "offline" else ""


def header_output(turn: Turn, instead_of: Sequence[str] = ()) -> tuple[Bundle, Bundle]:
    """The header's data (one line, with the rest in folds) and its metadata, which has the turn itself.

    `instead_of` are the ids of turns of another cell that this turn replaces.
    """
    folded = "".join(fold(title, body) for title, body in folds_of(turn))
    shown = f'<div class="{gate.OURS}" style="{gate.HEADER}">{line_as_html(turn)}{folded}</div>'
    data = {"text/html": gate.clean(shown), "text/plain": _plain_header(turn)}
    costs = pricing.exact_costs([turn])
    if instead_of:
        return data, record.guests_metadata([turn], instead_of, costs)
    return data, record.metadata(turn, costs=costs)


def line_as_html(turn: Turn, skip: Collection[str] = ()) -> str:
    """The line of figures and marks, which opens to show the details; without the figures and marks in `skip`."""
    figures = [_figure(text) for text in line_of(turn) if text not in skip]
    marked = [f"<strong>{html.escape(mark)}</strong>" for mark in marks(turn) if mark not in skip]
    line = " · ".join([*figures, *marked])
    more = [" · ".join(_figure(text) for text in details) if (details := details_of(turn)) else ""]
    more.append(html.escape(printable(attached_list(turn.attached))).replace("\n", "<br>"))
    opened = "<br>".join(filter(None, more))
    if not opened:
        return f"<div>{line}</div>"
    return f'<details><summary>{line}</summary><div style="{gate.QUIET}">{opened}</div></details>'


def _plain_header(turn: Turn) -> str:
    """The header as text: figures and marks on one line, and long lists of attachments below it."""
    return "\n".join([footer(turn), *(f"  {line}" for line in printable(attached_list(turn.attached)).splitlines())])


def _figure(text: str) -> str:
    """One figure as HTML without line breaks; the cost of a replay is bold, so that it is not overlooked."""
    tag = "strong" if text.startswith("replayed, ") else "span"
    return f'<{tag} style="{gate.ONE_LINE}">{html.escape(text)}</{tag}>'


def footer(turn: Turn) -> str:
    """Figures and marks on one line."""
    return " · ".join([*figures_of(turn), *marks(turn)])


def figures_of(turn: Turn) -> list[str]:
    """All figures of a turn, as short texts: those of its line, then the details."""
    return [*line_of(turn), *details_of(turn)]


def line_of(turn: Turn) -> list[str]:
    """Model, tokens, cost and time of a turn, as short texts."""
    tokens = pricing.tokens(turn.calls)
    at_least = "≥" if tokens.known and any(call.stop_reason is None for call in turn.calls) else ""
    return [
        printable(turn.calls[-1].model),
        f"{tokens.shown(tokens.all_input)} tokens in → {at_least}{tokens.shown(tokens.output)} out",
        _cost(turn),
        f"{turn.waited:.1f} s",
    ]


def details_of(turn: Turn) -> list[str]:
    """Tokens by kind, the time to the first token, notes and attachments of a turn, as short texts."""
    tokens = pricing.tokens(turn.calls)
    kinds = ((tokens.cached, "cached"), (tokens.written, "written to the cache"), (tokens.thinking, "thinking"))
    first = turn.calls[-1].first_token
    return [
        *[f"{count:,} {word}" for count, word in kinds if count],
        *([f"first token {first:.1f} s"] if first is not None else []),
        *[printable(note) for note in turn.notes if note != "0 earlier turns"],
        *_attached_figures(turn),
    ]


def _cost(turn: Turn) -> str:
    now = str(pricing.turn_cost(turn))
    return f"replayed, {now} now, {pricing.recorded_cost(turn)} when recorded" if turn.replayed else now


def _attached_figures(turn: Turn) -> list[str]:
    images = sum(block.get("type") == "image" for block in turn.prompt)
    counted = [plural(images, "image")] if images and not turn.attached else []
    named = printable(attached_line(turn.attached))
    return [*counted, *([named] if named else [])]


def marks(turn: Turn) -> list[str]:
    """What the reader must not overlook: stand-in, interrupted, cut off, refused, secrets masked."""
    found = [OFFLINE] if turn.offline else []
    call = turn.calls[-1]
    if turn.is_empty and call.stop_reason not in _CUTS:
        found.append("empty reply")
    elif turn.status == "interrupted":
        found.append("■ interrupted")
    elif call.stop_reason == "stop_sequence":
        at = call.stop_sequence
        found.append("stopped at a stop sequence" if at is None else f"stopped at {printable(at)!r}")
    elif call.stop_reason in _STOPS:
        found.append(_STOPS[call.stop_reason])
    if call.stop_reason == "refusal":
        details = call.stop_details or {}
        found += [printable(str(details[name])) for name in ("category", "explanation") if details.get(name)]
    if masked := masked_secrets(turn.attached):
        found.append(printable(masked))
    return found


def made_outputs(turn: Turn) -> list[Bundle]:
    """The images that Claude's code made, as outputs."""
    return [_image_output(block, "made by Claude's code") for block in turn.made if is_shown(block)]


def sent_outputs(content: Iterable[Block]) -> list[tuple[Bundle, Bundle]]:
    """The images in content as outputs with their metadata: a wide one is shown small."""
    return [(_image_output(block, "sent to Claude"), _small(block)) for block in content if is_shown(block)]


def _image_output(block: Block, origin: str) -> Bundle:
    """An image with a text alternative, in which `origin` is a phrase."""
    return {block["source"]["media_type"]: block["source"]["data"], "text/plain": _image_text(block, origin)}


def _small(block: Block) -> Bundle:
    with _opened(block) as image:
        wide = image.width > MAX_IMAGE_WIDTH_PIXELS
    return {block["source"]["media_type"]: {"width": MAX_IMAGE_WIDTH_PIXELS}} if wide else {}


def _opened(block: Block) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(base64.b64decode(block["source"]["data"])))


def is_shown(block: Block) -> bool:
    """Whether a block is an image with its bytes: an image by URL has none to show."""
    return block.get("type") == "image" and block["source"].get("type") == "base64"


def _image_text(block: Block, origin: str) -> str:
    size = len(base64.b64decode(block["source"]["data"]))
    with _opened(block) as image:
        named = f"{printable(str(block['title']))}, " if block.get("title") else ""
        return f"[image {origin}: {named}{image.width} × {image.height} pixels, {size:,} bytes]"


def reply_text(turn: Turn) -> str:
    """The reply's text, as far as it arrived."""
    return whole_text(text_of(turn.reply))


def folds_of(turn: Turn) -> list[tuple[str, str]]:
    """The title and text of each fold of the header: thinking, blocks that are not text, files that code made.

    Tool calls are not among them: they stand in the answer (`answer.py`).
    """
    thinking, files = thinking_of(turn.reply), _files(turn)
    others = [found for block in turn.reply if (found := other_fold(block))]
    return [
        *([(THINKING, thinking)] if thinking else []),
        *others,
        *([("Files that the code made", files)] if files else []),
    ]


def _files(turn: Turn) -> str:
    """A line for each file that code in a container made, with its id at the API."""
    lines = []
    for block in turn.made:
        size = f", {block['size']:,} bytes" if block.get("size") is not None else ""
        lines.append(f"{block.get('title') or block['type']} ({block.get('file_id') or 'no longer there'}{size})")
    return "\n".join(lines)


MAX_ATTACHED_ON_LINE = 3


def attached_line(attached: Sequence[Attached]) -> str:
    """A summary of attachments for the header's line: their names, or their number; empty if there are none."""
    if not attached:
        return ""
    if len(attached) <= MAX_ATTACHED_ON_LINE:
        return "with " + ", ".join(f"{_name(each)} (≈{plural(each.tokens, 'token')})" for each in attached)
    return f"with {len(attached)} things (≈{plural(sum(each.tokens for each in attached), 'token')})"


def attached_list(attached: Sequence[Attached]) -> str:
    """A line for each attachment, if there are too many for the header's line; else empty."""
    if len(attached) <= MAX_ATTACHED_ON_LINE:
        return ""
    return "\n".join(f"{_name(each)}: {each.kind}, ≈{plural(each.tokens, 'token')}{_masked(each)}" for each in attached)


def masked_secrets(attached: Sequence[Attached]) -> str:
    """How many secrets were masked, and in which attachments, and what to do about it; empty if there were none."""
    count = sum(each.masked for each in attached)
    if not count:
        return ""
    names = [_name(each) for each in attached if each.masked]
    where = ", ".join(names[:MAX_ATTACHED_ON_LINE]) + (
        f" and {len(names) - MAX_ATTACHED_ON_LINE} more" * (len(names) > MAX_ATTACHED_ON_LINE)
    )
    has_columns = any(each.masked and each.kind in ("value", "file") for each in attached)
    advice = " (--allow-columns NAME sends a column as it is)" if has_columns else ""
    return f"{plural(count, 'secret')} masked in {where}{advice}"


def _name(each: Attached) -> str:
    """A name on one line: that of an untrusted file may have several."""
    return join_line(each.name)


def _masked(each: Attached) -> str:
    return f", {plural(each.masked, 'secret')} masked" if each.masked else ""
