"""A turn's record: the static outputs of its cell, and its text for a terminal.

A new kind of block is a function here and a row in `_FOLDS`.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ..content.text import join_line, plural, shortened_note, whole_text
from ..conversation import record
from ..conversation.accumulator import thinking_of
from ..conversation.turns import Attached, Block, Turn, text_of
from ..cost import pricing
from ..tools import structured_output
from . import json_reply, markdown, tool_calls
from .citations import list_of_sources, sources, sources_in_words, text_with_references
from .text import BOX, Bundle, printable

MAX_FOLD_CHARACTERS = 4_000
OFFLINE = "offline stand-in, not Claude"
REPLAYED = "replayed from the notebook"
THINKING = "Thinking"
_PROSE_STYLE = "white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.3em 0 0.6em 1em"
_CODE_STYLE = f"{_PROSE_STYLE}; word-break: normal; font-family: monospace"
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
    """The header's data (figures, marks, folded thinking and tools) and its metadata, which has the turn itself.

    `instead_of` are the ids of turns of another cell that this turn replaces.
    """
    line = " · ".join(map(_figure, figures_of(turn)))
    marked = "".join(f" · <strong>{html.escape(mark)}</strong>" for mark in marks(turn))
    folded = "".join(fold(title, body) for title, body in folds_of(turn))
    data = {"text/html": f"{BOX}{line}{marked}{folded}</div>", "text/plain": _plain_header(turn)}
    return data, record.guests_metadata([turn], instead_of) if instead_of else record.metadata(turn)


def _plain_header(turn: Turn) -> str:
    """The header as text: figures and marks on one line, and long lists of attachments below it."""
    return "\n".join([footer(turn), *(f"  {line}" for line in printable(attached_list(turn.attached)).splitlines())])


def _figure(text: str) -> str:
    """One figure as HTML without line breaks; the cost of a replay is bold, so that it is not overlooked."""
    tag = "strong" if text.startswith("replayed, ") else "span"
    return f'<{tag} style="white-space: nowrap">{html.escape(text)}</{tag}>'


def footer(turn: Turn) -> str:
    """Figures and marks on one line."""
    return " · ".join([*figures_of(turn), *marks(turn)])


def figures_of(turn: Turn) -> list[str]:
    """Model, tokens, cost, time, notes and attachments of a turn, as short texts."""
    tokens = pricing.tokens(turn.calls)
    cache = [f"{count:,} {word}" for count, word in ((tokens.cached, "cached"), (tokens.written, "written")) if count]
    of_input = f" ({', '.join(cache)})" if cache else ""
    of_output = f" ({tokens.thinking:,} thinking)" if tokens.thinking else ""
    at_least = "≥" if any(call.stop_reason is None for call in turn.calls) else ""
    call = turn.calls[-1]
    first = f" (first token {call.first_token:.1f} s)" if call.first_token is not None else ""
    return [
        printable(call.model),
        f"{tokens.all_input:,} tokens in{of_input}",
        f"{at_least}{tokens.output:,} out{of_output}",
        _cost(turn),
        f"{sum(call.seconds for call in turn.calls):.1f} s{first}",
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


def answer_outputs(turn: Turn, inert: markdown.Inert | None = None) -> list[Bundle]:
    """The reply's text as inert Markdown and as plain text: one output, or several for a long one.

    `inert` is the renderer of the reply so far: finished blocks are not rendered again.
    """
    cited = whole_text(text_with_references(turn.reply))
    if not cited.strip():
        return []
    if json_reply.is_requested(turn.params) and (data := whole_text(structured_output.json_text(turn))).strip():
        return [_data(cited.removesuffix(data).strip(), data)]
    bundles = [
        {"text/markdown": part.markdown, "text/plain": printable(markdown.unmarked(part.source).strip("\n"))}
        for part in (inert or markdown.Inert()).parts(cited)
    ]
    if listed := list_of_sources(turn.reply):
        bundles[-1]["text/markdown"] += f"\n\n---\n\n{listed}"
        bundles[-1]["text/plain"] += f"\n\n{printable(sources_in_words(turn.reply))}"
    return bundles


def _data(before: str, data: str) -> Bundle:
    """A JSON reply, behind the text that came before a tool call."""
    lead = [markdown.inert(before)] if before else []
    words = [markdown.unmarked(before)] if before else []
    return {
        "text/markdown": "\n\n".join([*lead, json_reply.shown(data)]),
        "text/plain": printable("\n\n".join([*words, json_reply.plain(data)])),
    }


def made_outputs(turn: Turn) -> list[Bundle]:
    """The images that Claude's code made, as outputs."""
    return image_outputs(turn.made, "made by Claude's code")


def image_outputs(content: Iterable[Block], origin: str = "sent to Claude") -> list[Bundle]:
    """The images in content as outputs, each with a text alternative; `origin` is a phrase for that text."""
    return [
        {block["source"]["media_type"]: block["source"]["data"], "text/plain": _image_text(block, origin)}
        for block in content
        if is_shown(block)
    ]


def is_shown(block: Block) -> bool:
    """Whether a block is an image with its bytes: an image by URL has none to show."""
    return block.get("type") == "image" and block["source"].get("type") == "base64"


def _image_text(block: Block, origin: str) -> str:
    from PIL import Image

    data = base64.b64decode(block["source"]["data"])
    with Image.open(io.BytesIO(data)) as image:
        named = f"{printable(str(block['title']))}, " if block.get("title") else ""
    return f"[image {origin}: {named}{image.width} × {image.height} pixels, {len(data):,} bytes]"


def reply_text(turn: Turn) -> str:
    """The reply's text, as far as it arrived."""
    return whole_text(text_of(turn.reply))


class ReplyText(str):
    """A reply's text as a `str`, with the rest of the reply as attributes.

    `thinking` and `code` are text (`code`: the Python blocks, joined); `usage` is the last call's, in tokens, as the
    API gave it; `cost` is in USD, None if no price is known; `blocks` are the content blocks. `citations` are the API's
    in the order of the references: `citations[0]` is [1].
    """

    thinking: str
    code: str
    usage: Mapping[str, Any]
    cost: Decimal | None
    blocks: tuple[Block, ...]
    citations: tuple[Mapping[str, Any], ...]


def reply_value(turn: Turn) -> ReplyText:
    """The value that `--out` binds."""
    value = ReplyText(reply_text(turn))
    value.thinking = thinking_of(turn.reply)
    value.code = "\n\n".join(markdown.code_blocks(value))
    value.usage = turn.calls[-1].usage
    value.cost = pricing.turn_cost(turn).dollars
    value.blocks = turn.reply
    value.citations = tuple(sources(turn.reply).values())
    return value


def folds_of(turn: Turn) -> list[tuple[str, str]]:
    """The title and text of each fold: attachments, thinking, then each other block that is not text."""
    thinking, listed = thinking_of(turn.reply), attached_list(turn.attached)
    found = [(f"{ATTACHED_TITLE}: {len(turn.attached)} things", listed)] if listed else []
    found += [(THINKING, thinking)] if thinking else []
    results = {block.get("tool_use_id"): block for block in turn.reply if tool_calls.is_result(block)}
    for block in turn.reply:
        if block["type"] in tool_calls.CALLS:
            found.append(tool_calls.server_tool_call(block, results.pop(block.get("id"), None)))
        elif tool_calls.is_result(block):
            if results.pop(block.get("tool_use_id"), None) is block:  # its call is in an earlier turn
                found.append(tool_calls.server_tool_call(None, block))
        elif block["type"] == "tool_use":
            found.append(tool_calls.notebook_tool_call(block, turn.results.get(block.get("id", ""))))
        elif block["type"] not in ("text", "thinking"):
            found.append(_FOLDS.get(block["type"], _any_block)(block))
    return [*found, *([("Files that the code made", files)] if (files := _files(turn)) else [])]


def _files(turn: Turn) -> str:
    """A line for each file that code in a container made, with its id at the API."""
    lines = []
    for block in turn.made:
        size = f", {block['size']:,} bytes" if block.get("size") is not None else ""
        lines.append(f"{block.get('title') or block['type']} ({block.get('file_id') or 'no longer there'}{size})")
    return "\n".join(lines)


def _any_block(block: Block) -> tuple[str, str]:
    kind = str(block["type"]).replace("_", " ").capitalize()
    rest = {name: value for name, value in block.items() if name not in ("type", "id", "tool_use_id")}
    return kind, _json(rest)


def _redacted(_block: Block) -> tuple[str, str]:
    return "Redacted thinking", "Encrypted by the API for safety; it goes back to Claude as it is."


def _compaction(block: Block) -> tuple[str, str]:
    return "Summary of the conversation above", str(block.get("content") or "The API made none.")


_FOLDS: dict[str, Callable[[Block], tuple[str, str]]] = {
    "redacted_thinking": _redacted,
    "compaction": _compaction,
}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def fold(title: str, body: str) -> str:
    """A fold (`<details>`) as inert HTML; that of code execution is open."""
    shown = printable(body)
    thinking = title == THINKING
    if not thinking and len(shown) > MAX_FOLD_CHARACTERS:
        shown = f"{shown[:MAX_FOLD_CHARACTERS]}\n{shortened_note(MAX_FOLD_CHARACTERS, len(body))}"
    style = _PROSE_STYLE if thinking else _CODE_STYLE
    summary = html.escape(printable(title))
    body = _linked(html.escape(shown)) if title.startswith(tool_calls.WEB_TITLES) else html.escape(shown)
    opened = " open" if title == tool_calls.CODE else ""
    return f'<details{opened}><summary>{summary}</summary><div style="{style}">{body}</div></details>'


# Matches a URL in escaped text, as far as its characters cannot be anything else.
_ADDRESS = re.compile(
    r"(?<![\w/])https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?(?:/(?:[\w\-.~/?#%=+:@!,*]|&amp;)*)?", re.ASCII
)


def _linked(escaped: str) -> str:
    """Escaped text with its URLs as links."""
    return _ADDRESS.sub(lambda match: _link(match[0].rstrip(".,:!?"), match[0]), escaped)


def _link(address: str, found: str) -> str:
    return f'<a href="{address}" rel="noopener noreferrer" target="_blank">{address}</a>{found[len(address) :]}'


MAX_ATTACHED_ON_LINE = 3
ATTACHED_TITLE = "Went along"


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
    """How many secrets were masked, and in which attachments; empty if there were none."""
    count = sum(each.masked for each in attached)
    if not count:
        return ""
    names = [_name(each) for each in attached if each.masked]
    where = ", ".join(names[:MAX_ATTACHED_ON_LINE]) + (
        f" and {len(names) - MAX_ATTACHED_ON_LINE} more" * (len(names) > MAX_ATTACHED_ON_LINE)
    )
    return f"{plural(count, 'secret')} masked in {where}"


def _name(each: Attached) -> str:
    """A name on one line: that of an untrusted file may have several."""
    return join_line(each.name)


def _masked(each: Attached) -> str:
    return f", {masked_secrets([each]).partition(' in ')[0]}" if each.masked else ""
