"""A turn at rest: the static outputs of its cell, and its text for a terminal.

A new kind of block is a function here and a row in `_FOLDS`.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime
from decimal import Decimal
from typing import Any

from . import along, citing, invocations, markdown, pricing, request, stored, structured, tabled, workings
from .accumulator import thinking_of, whole_text
from .conversation import Along, Block, Conversation, Turn, text_of
from .counting import Counted

Bundle = dict[str, Any]

FIGURES = ("model", "tokens in", "out", "cost")
PROMPT_EXCERPT_CHARACTERS = 60
MAX_FOLD_CHARACTERS = 4_000
MAX_HISTORY_OUTPUTS = 40  # JupyterLab shows 50 outputs of a cell (RENDERING.md §1)
OFFLINE = "offline stand-in, not Claude"
REPLAYED = "replayed from the notebook"
THINKING = "Thinking"
# `tex2jax_ignore`: JupyterLab takes two dollar signs in HTML for a formula (RENDERING.md §3).
BOX = '<div class="claude-magic tex2jax_ignore mathjax_ignore" style="font-size: 0.9em; line-height: 1.5">'
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


def who_answers(provider: str) -> str:
    """The label of who answers, where it is not Claude."""
    return OFFLINE if provider == "offline" else ""


def header_output(turn: Turn, instead_of: Sequence[str] = ()) -> tuple[Bundle, Bundle]:
    """The header's data and metadata: figures, marks, folded thinking and tools, and the turn itself.

    `instead_of` are the ids of turns of another cell that it stands instead of.
    """
    line = " · ".join(map(_figure, figures_of(turn)))
    marked = "".join(f" · <strong>{html.escape(mark)}</strong>" for mark in marks(turn))
    folded = "".join(fold(title, body) for title, body in folds_of(turn))
    data = {"text/html": f"{BOX}{line}{marked}{folded}</div>", "text/plain": _plain_header(turn)}
    return data, stored.guests_metadata([turn], instead_of) if instead_of else stored.metadata(turn)


def _plain_header(turn: Turn) -> str:
    """Figures and marks on one line, and below it what does not fit there."""
    return "\n".join([footer(turn), *(f"  {line}" for line in printable(along.attached_list(turn.along)).splitlines())])


def _figure(text: str) -> str:
    """One figure, not to be broken; that nothing was paid for a replay must not be overlooked."""
    tag = "strong" if text.startswith("replayed, ") else "span"
    return f'<{tag} style="white-space: nowrap">{html.escape(text)}</{tag}>'


def footer(turn: Turn) -> str:
    """Figures and marks on one line."""
    return " · ".join([*figures_of(turn), *marks(turn)])


def figures_of(turn: Turn) -> list[str]:
    """Model, tokens, cost and time, as short texts."""
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
        *_went_along(turn),
    ]


def _cost(turn: Turn) -> str:
    now = str(pricing.turn_cost(turn))
    return f"replayed, {now} now, {pricing.recorded_cost(turn)} when recorded" if turn.replayed else now


def _went_along(turn: Turn) -> list[str]:
    images = sum(block.get("type") == "image" for block in turn.prompt)
    counted = [f"{images} {'image' if images == 1 else 'images'}"] if images and not turn.along else []
    named = printable(along.attached_line(turn.along))
    return [*counted, *([named] if named else [])]


def marks(turn: Turn) -> list[str]:
    """What the reader must not overlook."""
    found = [OFFLINE] if turn.offline else []
    call = turn.calls[-1]
    if turn.status == "interrupted":
        found.append("■ interrupted")
    elif call.stop_reason == "stop_sequence":
        found.append(f"stopped at {printable(str(call.stop_sequence))!r}")
    elif call.stop_reason in _STOPS:
        found.append(_STOPS[call.stop_reason])
    if call.stop_reason == "refusal":
        details = call.stop_details or {}
        found += [printable(str(details[name])) for name in ("category", "explanation") if details.get(name)]
    if masked := along.masked_secrets(turn.along):
        found.append(printable(masked))
    return found


def answer_outputs(turn: Turn, inert: markdown.Inert | None = None) -> list[Bundle]:
    """The reply's text as inert Markdown and as plain text: one output, or several for a long one.

    `inert` is what has drawn the reply so far: what it has settled is not done again.
    """
    cited = whole_text(citing.text_with_references(turn.reply))
    if not cited.strip():
        return []
    if tabled.asked_for(turn.params) and (data := whole_text(structured.said(turn))).strip():
        return [_data(cited.removesuffix(data).strip(), data)]
    bundles = [
        {"text/markdown": part.markdown, "text/plain": printable(markdown.unmarked(part.source).strip("\n"))}
        for part in (inert or markdown.Inert()).parts(cited)
    ]
    if listed := citing.list_of_sources(turn.reply):
        bundles[-1]["text/markdown"] += f"\n\n---\n\n{listed}"
        bundles[-1]["text/plain"] += f"\n\n{printable(citing.sources_in_words(turn.reply))}"
    return bundles


def _data(before: str, data: str) -> Bundle:
    """A reply in JSON, behind what was said before a tool was called."""
    lead = [markdown.inert(before)] if before else []
    words = [markdown.unmarked(before)] if before else []
    return {
        "text/markdown": "\n\n".join([*lead, tabled.shown(data)]),
        "text/plain": printable("\n\n".join([*words, tabled.plain(data)])),
    }


def made_outputs(turn: Turn) -> list[Bundle]:
    """The images that Claude's code made, as outputs."""
    return image_outputs(turn.made, "made by Claude's code")


def image_outputs(content: Iterable[Block], origin: str = "sent to Claude") -> list[Bundle]:
    """The images that go along, as outputs, each with a text alternative."""
    return [
        {block["source"]["media_type"]: block["source"]["data"], "text/plain": _image_text(block, origin)}
        for block in content
        if is_shown(block)
    ]


def is_shown(block: Block) -> bool:
    """Whether this is an image whose bytes are here to be shown: of one by its address they are not."""
    return block.get("type") == "image" and block["source"].get("type") == "base64"


def _image_text(block: Block, origin: str) -> str:
    from PIL import Image

    data = base64.b64decode(block["source"]["data"])
    with Image.open(io.BytesIO(data)) as image:
        named = f"{printable(str(block['title']))}, " if block.get("title") else ""
    return f"[image {origin}: {named}{image.width} × {image.height} pixels, {len(data):,} bytes]"


def reply_text(turn: Turn) -> str:
    """The reply's text, whole or as far as it came."""
    return whole_text(text_of(turn.reply))


class ReplyText(str):
    """A reply as a `str`, with what else there is to know of it.

    `thinking` and `code` are text (`code`: the Python blocks, one after the other); `usage` is the
    API's, in tokens; `cost` is in USD, `None` if no price is known; `blocks` are the content blocks.
    `citations` are the API's, by the numbers of the references: `citations[0]` is [1].
    """

    thinking: str
    code: str
    usage: Mapping[str, Any]
    cost: Decimal | None
    blocks: tuple[Block, ...]
    citations: tuple[Mapping[str, Any], ...]


def reply_value(turn: Turn) -> ReplyText:
    """What `--out` binds."""
    value = ReplyText(reply_text(turn))
    value.thinking = thinking_of(turn.reply)
    value.code = "\n\n".join(markdown.code_blocks(value))
    value.usage = turn.calls[-1].usage
    value.cost = pricing.turn_cost(turn).dollars
    value.blocks = turn.reply
    value.citations = tuple(citing.sources(turn.reply).values())
    return value


def folds_of(turn: Turn) -> list[tuple[str, str]]:
    """Title and text of all that is folded away: what went along, thinking, then each other block that is not text."""
    thinking, listed = thinking_of(turn.reply), along.attached_list(turn.along)
    found = [(f"{along.ATTACHED_TITLE}: {len(turn.along)} things", listed)] if listed else []
    found += [(THINKING, thinking)] if thinking else []
    results = {block.get("tool_use_id"): block for block in turn.reply if workings.is_result(block)}
    for block in turn.reply:
        if block["type"] in workings.CALLS:
            found.append(workings.server_tool_call(block, results.pop(block.get("id"), None)))
        elif workings.is_result(block):
            if results.pop(block.get("tool_use_id"), None) is block:  # its call stands in an earlier turn
                found.append(workings.server_tool_call(None, block))
        elif block["type"] == "tool_use":
            found.append(invocations.notebook_tool_call(block, turn.results.get(block.get("id", ""))))
        elif block["type"] not in ("text", "thinking"):
            found.append(_FOLDS.get(block["type"], _any_block)(block))
    return [*found, *([("Files that the code made", files)] if (files := _files(turn)) else [])]


def _files(turn: Turn) -> str:
    """The files that code made, a line each: the API has them, by their ids."""
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
    """What is folded away, as inert HTML; what code printed is open to be seen."""
    shown = printable(body)
    thinking = title == THINKING
    if not thinking and len(shown) > MAX_FOLD_CHARACTERS:
        shown = f"{shown[:MAX_FOLD_CHARACTERS]}\n… [shortened: {MAX_FOLD_CHARACTERS:,} of {len(body):,} characters]"
    style = _PROSE_STYLE if thinking else _CODE_STYLE
    summary = html.escape(printable(title))
    body = _linked(html.escape(shown)) if title.startswith(workings.OF_THE_WEB) else html.escape(shown)
    opened = " open" if title == workings.CODE else ""
    return f'<details{opened}><summary>{summary}</summary><div style="{style}">{body}</div></details>'


# Of an address in escaped text, only what can be nothing else.
_ADDRESS = re.compile(
    r"(?<![\w/])https?://[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?(?:/(?:[\w\-.~/?#%=+:@!,*]|&amp;)*)?", re.ASCII
)


def _linked(escaped: str) -> str:
    """Escaped text in which the addresses of web pages lead there."""
    return _ADDRESS.sub(lambda match: _link(match[0].rstrip(".,:!?"), match[0]), escaped)


def _link(address: str, found: str) -> str:
    return f'<a href="{address}" rel="noopener noreferrer" target="_blank">{address}</a>{found[len(address) :]}'


# Control characters, and those that change the direction of the text around them.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# The same, but for the line breaks of indented JSON; and halves of characters, which cannot be printed at all.
_UNSAFE_IN_JSON = re.compile(f"{_UNPRINTABLE.pattern}|[\ud800-\udfff]")


def printable(text: str) -> str:
    """Text without characters that drive a terminal or turn the direction of what stands around it."""
    return _UNPRINTABLE.sub("", whole_text(text).replace("\r\n", "\n"))


def history_table(name: str, chat: Conversation) -> Bundle:
    """A conversation, a row a turn; `when` is local time. What is sent as a summary stands back."""
    stale, summarised = chat.stale(), chat.summarised()
    rows = [
        [
            *(cell_number(turn), excerpt(turn), *_figures(turn), _when(turn)),
            ", ".join(_history_marks(turn, stale, summarised)),
        ]
        for turn in chat
    ]
    faint = {at for at, turn in enumerate(chat) if turn.id in summarised}
    return table_output(f"Conversation {name}", ["cell", "prompt", *FIGURES, "when", "marks"], rows, faint=faint)


def history_in_full(name: str, chat: Conversation) -> list[Bundle]:
    """A conversation to read: each prompt as a quote, each reply as its cell shows it; images are named. Without a
    name it has no title.

    At most `MAX_HISTORY_OUTPUTS` and one outputs, however long it is.
    """
    stale, summarised = chat.stale(), chat.summarised()
    title = {"text/markdown": f"### Conversation {markdown.escape(name)}", "text/plain": f"Conversation {name}"}
    bundles = [title] if name else []
    for turn in chat:
        bundles += [_prompt_in_full(turn, stale, summarised), *answer_outputs(turn)]
    length = sum(len(bundle["text/markdown"]) for bundle in bundles)
    return _joined(bundles, max(markdown.PART_CHARACTERS, length // MAX_HISTORY_OUTPUTS))


def history_json(chat: Conversation) -> str:
    """A conversation's messages as they go on the wire, as indented JSON that drives no terminal."""
    messages = [message for turn in chat for message in request.messages_to_send(turn)]
    plain = json.dumps(messages, indent=2, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", plain)


def _prompt_in_full(turn: Turn, stale: Set[str], summarised: Set[str]) -> Bundle:
    """What was asked, when, and what the reply came to."""
    head = " · ".join(
        part for part in (cell_number(turn), _when(turn), *_history_marks(turn, stale, summarised)) if part
    )
    pieces = [block["text"] if block["type"] == "text" else _named(block) for block in turn.prompt]
    quoted = "\n".join(f"> {line}".rstrip() for line in printable("\n\n".join(pieces)).splitlines())
    spent = " · ".join(figures_of(turn))
    shown = ["---", f"**{markdown.escape(head)}**", markdown.inert(quoted), markdown.escape(spent)]
    return {"text/markdown": "\n\n".join(shown), "text/plain": "\n\n".join([head, quoted, f"[{spent}]"])}


def _named(block: Block) -> str:
    """A block that is not text, in a few words."""
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "base64":
        size = len(str(source.get("data"))) * 3 // 4  # base64 makes four characters of three bytes
        return f"[{block['type']}: {source.get('media_type')}, {size:,} bytes]"
    return f"[{block['type']}: {block['title']}]" if block.get("title") else f"[{block['type']}]"


def _joined(bundles: Iterable[Bundle], characters: int) -> list[Bundle]:
    """Bundles in a row as fewer ones, each of at least so many characters but the last."""
    groups: list[list[Bundle]] = [[]]
    for bundle in bundles:
        if sum(len(each["text/markdown"]) for each in groups[-1]) >= characters:
            groups.append([])
        groups[-1].append(bundle)
    kinds = ("text/markdown", "text/plain")
    return [{kind: "\n\n".join(bundle[kind] for bundle in group) for kind in kinds} for group in groups]


def cell_number(turn: Turn) -> str:
    """What stands in the cell's `In [ ]`; nothing, where that is not known."""
    return "" if turn.execution_count is None else f"[{turn.execution_count}]"


def _when(turn: Turn) -> str:
    return f"{datetime.fromtimestamp(turn.created):%Y-%m-%d %H:%M}" if turn.created else ""


def _figures(turn: Turn) -> list[str]:
    tokens = pricing.tokens(turn.calls)
    cost = str(pricing.turn_cost(turn))
    return [turn.calls[-1].model, f"{tokens.all_input:,}", f"{tokens.output:,}", cost]


def excerpt(turn: Turn) -> str:
    """How a prompt begins, on one line."""
    words = " ".join(block["text"] if block["type"] == "text" else f"[{block['type']}]" for block in turn.prompt)
    words = " ".join(words.split())
    return words if len(words) <= PROMPT_EXCERPT_CHARACTERS else words[: PROMPT_EXCERPT_CHARACTERS - 1] + "…"


def _history_marks(turn: Turn, stale: Set[str], summarised: Set[str]) -> list[str]:
    replayed = ["replayed"] if turn.replayed else []
    late = ["asked before the change above"] if turn.id in stale else []
    within = ["in the summary"] if turn.id in summarised else []
    summary = [f"summary of the above: {pricing.summary_cost(turn)}"] if turn.summarises else []
    return [*replayed, *marks(turn), *late, *summary, *within]


def count_table(counted: Counted, went_along: Sequence[Along] = ()) -> Bundle:
    """Tokens by part, and what they would cost as input that is not cached; what would go along, roughly, by name."""
    rows = [[part, f"{tokens:,}", ""] for part, tokens in counted.parts.items() if tokens]
    rows += [[f"  with {each.name}", f"≈{each.tokens:,}", ""] for each in went_along]
    rows.append(["total", f"{counted.total:,}", f"≈{counted.cost}"])
    return table_output("Tokens that would be sent; nothing was asked", ["part", "tokens", "cost, uncached"], rows)


def table_output(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    groups: Sequence[tuple[str, int]] = (),
    faint: Set[int] = frozenset(),
) -> Bundle:
    """A table as HTML and as aligned text; a column of figures stands to the right.

    `groups` are titles above the heads, each with the number of columns that it spans; the text has none. `faint` are
    the rows, from 0, that stand back.
    """
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    caption = printable(caption)
    return {
        "text/html": _html_table(caption, heads, cells, groups, faint),
        "text/plain": _plain_table(caption, heads, cells),
    }


MAX_LINE_CHARACTERS = 100
_FIGURE = re.compile(r"[≥≈]?\$?[\d,.]+[kM]?(–[\d,.]+)?|n/a|")
_HYPHENATED = re.compile(r"(?=[a-z].{1,40}$)[\w.]+([-–][\w.]+)+")


def _sides(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """Where each column stands: figures to the right."""
    return ["right" if all(_FIGURE.fullmatch(row[each]) for row in rows) else "left" for each in range(columns)]


def _html_table(
    caption: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    groups: Sequence[tuple[str, int]],
    faint: Set[int],
) -> str:
    sides = _sides(rows, len(heads))

    def line(cells: Sequence[str], tag: str, style: str = "") -> str:
        shown = zip(cells, sides, strict=True)
        parts = [f'<{tag} style="{_cell_style(cell, side)}">{html.escape(cell)}</{tag[:2]}>' for cell, side in shown]
        return f"<tr{style}>{''.join(parts)}</tr>"

    body = "".join(line(row, "td", ' style="opacity: 0.6"' if at in faint else "") for at, row in enumerate(rows))
    wrapped = "" if len(caption) > MAX_LINE_CHARACTERS else "; white-space: nowrap"  # though the table is narrower
    title = f'<caption style="text-align: left{wrapped}">{html.escape(caption)}</caption>'
    head = _html_groups(groups) + line(heads, 'th scope="col"')
    return f"{BOX}<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table></div>"


def _cell_style(cell: str, side: str) -> str:
    """A model's name stays on one line: browsers break it at its hyphens."""
    return f"text-align: {side}" + ("; white-space: nowrap" if _HYPHENATED.fullmatch(cell) else "")


def _html_groups(groups: Sequence[tuple[str, int]]) -> str:
    titles = [
        f'<th scope="colgroup" colspan="{span}" style="text-align: center">{html.escape(title)}</th>'
        for title, span in groups
    ]
    return f"<tr>{''.join(titles)}</tr>" if groups else ""


def _plain_table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    sides = _sides(rows, len(heads))

    def line(cells: Sequence[str]) -> str:
        shown = zip(cells, widths, sides, strict=True)
        return "  ".join(cell.rjust(width) if side == "right" else cell.ljust(width) for cell, width, side in shown)

    lines = [line(heads), "-" * sum(widths, 2 * len(widths) - 2), *map(line, rows)]
    return "\n".join([caption, *(each.rstrip() for each in lines)])
