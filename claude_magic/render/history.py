"""A conversation as a table, as full text, or as wire JSON; and the table of a token count."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import datetime

from ..conversation.turns import Attached, Block, Conversation, Turn
from ..cost import pricing
from ..cost.count import Counted
from ..request import build
from .answer import answer_outputs, box
from .markup import markdown
from .markup.renderer import PART_CHARACTERS, rendered
from .table import table_output
from .text import _UNPRINTABLE, Bundle, cell_number, excerpt, printable
from .turn import figures_of, marks

FIGURES = ("model", "tokens in", "out", "cost")
MAX_HISTORY_OUTPUTS = 40  # JupyterLab shows 50 outputs of a cell (RENDERING.md §1)
# Unprintable characters, and lone surrogates, which cannot be encoded: escaped in JSON.
_UNSAFE_IN_JSON = re.compile(f"{_UNPRINTABLE.pattern}|[\ud800-\udfff]")


def history_table(name: str, chat: Conversation) -> Bundle:
    """The table of a conversation, one row for each turn; `when` is local time. Turns in a summary are faint."""
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
    """A conversation in full: each prompt as a quote, each reply as its cell shows it; images by name only.

    With an empty `name` there is no title. At most `MAX_HISTORY_OUTPUTS` + 1 outputs, however long it is.
    """
    stale, summarised = chat.stale(), chat.summarised()
    title = _shown([f"### Conversation {markdown.escape(printable(name))}"], f"Conversation {name}")
    bundles = [title] if name else []
    for turn in chat:
        bundles += [_prompt_in_full(turn, stale, summarised), *answer_outputs(turn)]
    length = sum(len(bundle["text/html"]) for bundle in bundles)
    return _joined(bundles, max(PART_CHARACTERS, length // MAX_HISTORY_OUTPUTS))


def history_json(chat: Conversation) -> str:
    """A conversation's messages in wire form, as indented JSON with control characters escaped."""
    messages = [message for turn in chat for message in build.messages_to_send(turn)]
    plain = json.dumps(messages, indent=2, ensure_ascii=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", plain)


def _prompt_in_full(turn: Turn, stale: Set[str], summarised: Set[str]) -> Bundle:
    """A turn's heading, its prompt as a quote, and its figures."""
    head = " · ".join(
        part for part in (cell_number(turn), _when(turn), *_history_marks(turn, stale, summarised)) if part
    )
    pieces = [block["text"] if block["type"] == "text" else _block_label(block) for block in turn.prompt]
    quoted = "\n".join(f"> {line}".rstrip() for line in printable("\n\n".join(pieces)).splitlines())
    spent = " · ".join(figures_of(turn))
    shown = ["---", f"**{markdown.escape(head)}**", markdown.without_html(quoted), markdown.escape(spent)]
    return _shown(shown, "\n\n".join([head, quoted, f"[{spent}]"]))


def _shown(paragraphs: Sequence[str], plain: str) -> Bundle:
    text = "\n\n".join(paragraphs)
    return {"text/html": box(rendered(text)), "text/markdown": text, "text/plain": plain}


def _block_label(block: Block) -> str:
    """A short label for a block that is not text."""
    source = block.get("source")
    if isinstance(source, Mapping) and source.get("type") == "base64":
        size = len(str(source.get("data"))) * 3 // 4  # base64 makes four characters of three bytes
        return f"[{block['type']}: {source.get('media_type')}, {size:,} bytes]"
    return f"[{block['type']}: {block['title']}]" if block.get("title") else f"[{block['type']}]"


def _joined(bundles: Iterable[Bundle], characters: int) -> list[Bundle]:
    """Neighbouring bundles joined into ones of at least `characters` characters; the last may be shorter."""
    groups: list[list[Bundle]] = [[]]
    for bundle in bundles:
        if sum(len(each["text/html"]) for each in groups[-1]) >= characters:
            groups.append([])
        groups[-1].append(bundle)
    kinds = {"text/html": "", "text/markdown": "\n\n", "text/plain": "\n\n"}
    return [
        {kind: between.join(bundle[kind] for bundle in group) for kind, between in kinds.items()} for group in groups
    ]


def _when(turn: Turn) -> str:
    return f"{datetime.fromtimestamp(turn.created):%Y-%m-%d %H:%M}" if turn.created else ""


def _figures(turn: Turn) -> list[str]:
    tokens = pricing.tokens(turn.calls)
    cost = str(pricing.turn_cost(turn))
    return [turn.calls[-1].model, tokens.shown(tokens.all_input), tokens.shown(tokens.output), cost]


def _history_marks(turn: Turn, stale: Set[str], summarised: Set[str]) -> list[str]:
    replayed = ["replayed"] if turn.replayed else []
    late = ["asked before the change above"] if turn.id in stale else []
    within = ["in the summary"] if turn.id in summarised else []
    summary = [f"summary of the above: {pricing.summary_cost(turn)}"] if turn.summarises else []
    return [*replayed, *marks(turn), *late, *summary, *within]


def counts_table(counted: Mapping[str, Counted]) -> Bundle:
    """The table of token counts by model, with the cost of each prompt as uncached input."""
    rows = [[name, f"{'' if each.exact else '≈'}{each.total:,}", f"≈{each.cost}"] for name, each in counted.items()]
    return table_output("Tokens that would be sent; nothing was asked", ["model", "tokens", "cost, uncached"], rows)


def count_table(counted: Counted, attached: Sequence[Attached] = ()) -> Bundle:
    """The table of a token count: tokens by part with their cost as uncached input, and estimates for attachments."""
    rows = [[part, f"{tokens:,}", ""] for part, tokens in counted.parts.items() if tokens]
    rows += [[f"  with {each.name}", f"≈{each.tokens:,}", ""] for each in attached]
    rows.append(["total", f"{counted.total:,}", f"≈{counted.cost}"])
    return table_output("Tokens that would be sent; nothing was asked", ["part", "tokens", "cost, uncached"], rows)
