"""Signed compaction blocks: summaries of a conversation."""

from __future__ import annotations

from typing import Any

from ...models import STAND_IN_OPENING
from ..request.history import Body
from ..request.prompt import SUMMARIZED, Prompt, read, shorten
from ..request.signatures import Summary, prefix_of, sign, text_digest

_MAX_PROMPTS = 50


def summarize(body: Body, instructions: str | None, *, on_demand: bool) -> dict[str, Any]:
    """The `compaction` block that summarizes all messages of a request."""
    text = _summary(read(body), instructions)
    prefix = prefix_of(body)
    seal = sign(Summary(text_digest(text), prefix.opening, prefix.digest()))
    return {"type": "compaction", "content": text, "signature" if on_demand else "encrypted_content": seal}


def _summary(prompt: Prompt, instructions: str | None) -> str:
    asked = [*prompt.earlier, prompt.question or prompt.text][-_MAX_PROMPTS:]
    told = f" It was asked to: “{shorten(instructions)}”." if instructions and instructions.strip() else ""
    lines = [f"{SUMMARIZED}{shorten(each) or '(data only)'}" for each in asked]
    return f"{STAND_IN_OPENING}A summary of the conversation so far.{told} The user said:\n\n" + "\n".join(lines)
