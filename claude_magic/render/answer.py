"""A reply's answer as outputs: its text as sanitized HTML, with the tool calls where Claude made them.

One renderer for the growing answer and the record, for a comparison's columns, the history and exported pages. Beside
the HTML stand the text's Markdown and the plain text, for those who do not show HTML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..content.text import whole_text
from ..conversation.turns import Block, Turn
from ..models import STAND_IN_OPENING
from ..tools import structured_output
from . import citations, folds, json_reply
from .markup import gate
from .markup.markdown import unmarked, without_html
from .markup.renderer import PART_CHARACTERS, Growing, Part, rendered
from .text import Bundle, printable

# A run of text, or the title and text of a tool call.
Piece = str | tuple[str, str]


def pieces(content: Sequence[Block], results: Mapping[str, Block], *, offline: bool = False) -> list[Piece]:
    """A reply's texts, with marks behind what cites a source, and its tool calls, in order.

    Neighbouring text blocks are one text. `results` are those of the notebook's tools, by the id of the call. With
    `offline`, the stand-in's own label is left out: the cell's header has it.
    """
    called = folds.calls(content, results)
    found: list[Piece] = []
    previous = ""
    for at, block in enumerate(citations.with_references(content)):
        if block["type"] == "text":
            text = whole_text(block["text"])
            if previous == "text" and isinstance(found[-1], str):
                found[-1] += text
            else:
                found.append(text)
        elif at in called:
            found.append(called[at])
        previous = block["type"]
    opening = STAND_IN_OPENING if offline else ""
    texts = (piece.removeprefix(opening) if isinstance(piece, str) else piece for piece in found)
    return [piece for piece in texts if piece]


class GrowingAnswer:
    """The parts of a growing answer; what is finished is not rendered again."""

    def __init__(self) -> None:
        self._texts: list[Growing] = []
        self._folds: dict[tuple[str, str], Part] = {}
        self._bundles: list[tuple[Part, Bundle]] = []

    def parts(self, found: Sequence[Piece], content: Sequence[Block]) -> list[Part]:
        """The parts of `pieces(content, …)`. While the reply grows, only the last one changes, as a rule."""
        cited = [*citations.sources(content)]
        parts: list[Part] = []
        texts = 0
        for piece in found:
            if isinstance(piece, str):
                if texts == len(self._texts):
                    self._texts.append(Growing())
                parts += self._texts[texts].parts(piece, cited)
                texts += 1
            else:
                if piece not in self._folds:
                    self._folds[piece] = Part(folds.as_markdown(*piece), folds.fold(*piece))
                parts.append(self._folds[piece])
        return _joined(parts)

    def growing(self, content: Sequence[Block], *, offline: bool) -> list[Part]:
        """The parts of a reply under way, with the results of the notebook's tools among its blocks."""
        whole = [block for block in content if block["type"] == "tool_result" and "tool_use_id" in block]
        results = {block["tool_use_id"]: block for block in whole}
        return self.parts(pieces(content, results, offline=offline), content)

    def bundles(self, parts: Sequence[Part]) -> list[Bundle]:
        """The parts as outputs; those that are as they were are not made again."""
        known = self._bundles
        self._bundles = [
            known[at] if at < len(known) and known[at][0] == part else (part, _bundle(part))
            for at, part in enumerate(parts)
        ]
        return [dict(made) for _, made in self._bundles]


def _joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring parts joined into ones of about `PART_CHARACTERS`."""
    groups: list[list[Part]] = []
    length = PART_CHARACTERS
    for part in parts:
        if length >= PART_CHARACTERS:
            groups.append([])
            length = 0
        groups[-1].append(part)
        length += len(part.html)
    return [group[0] if len(group) == 1 else _one(group) for group in groups]


def _one(group: Sequence[Part]) -> Part:
    source = "\n\n".join(part.source.strip("\n") for part in group if part.source.strip())
    return Part(source, "".join(part.html for part in group))


def answer_outputs(turn: Turn, growing: GrowingAnswer | None = None) -> list[Bundle]:
    """The answer as HTML, Markdown and plain text: one output, or several for a long one.

    `growing` is the renderer of the reply so far: finished blocks are not rendered again.
    """
    found = pieces(turn.reply, turn.results, offline=turn.offline)
    texts = [piece for piece in found if isinstance(piece, str)]
    data = whole_text(structured_output.json_text(turn)) if json_reply.is_requested(turn.params) else ""
    if data.strip() and texts and texts[-1].endswith(data):
        return _data(turn, found, data)
    growing = growing or GrowingAnswer()
    parts = growing.parts(found, turn.reply)
    if not any(part.html for part in parts):
        return []
    bundles = growing.bundles(parts)
    if listed := citations.list_of_sources(turn.reply):
        bundles[-1]["text/html"] += box(rendered(f"---\n\n{listed}"))
        bundles[-1]["text/markdown"] += f"\n\n---\n\n{listed}"
        bundles[-1]["text/plain"] += f"\n\n{printable(citations.sources_in_words(turn.reply))}"
    return bundles


def text_output(text: str) -> Bundle:
    """A text of Claude's as an output."""
    return _bundle(Part(text, rendered(text)))


def _bundle(part: Part) -> Bundle:
    plain = printable(unmarked(part.source).strip("\n"))
    return {"text/html": box(part.html), "text/markdown": without_html(part.source), "text/plain": plain}


def box(markup: str) -> str:
    """Sanitized HTML in a box in which the page typesets only what is marked as a formula."""
    return f'<div class="{gate.OURS}">{markup}</div>' if markup else ""


def _data(turn: Turn, found: Sequence[Piece], data: str) -> list[Bundle]:
    """A JSON reply as a table, below the text and the tool calls that came before it."""
    last = max(at for at, piece in enumerate(found) if isinstance(piece, str))
    lead = str(found[last]).removesuffix(data).strip()
    before = [*found[:last], *([lead] if lead else []), *found[last + 1 :]]
    first, *others = GrowingAnswer().parts(before, turn.reply) or [Part("", "")]
    shown = json_reply.shown(data)
    outputs = [_bundle(part) for part in (first, *others)]
    last_output = outputs[-1]
    outputs[-1] = {
        "text/html": last_output["text/html"] + box(rendered(shown)),
        "text/markdown": f"{last_output['text/markdown']}\n\n{shown}".strip(),
        "text/plain": f"{last_output['text/plain']}\n\n{printable(json_reply.plain(data))}".strip(),
    }
    return outputs
