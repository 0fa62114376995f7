"""Content of the stand-in's replies: chosen by the prompt, the same each time, and labelled as the stand-in's.

To a question of the teaching notebooks it is a written example, of `lessons.toml`. Else it is the label and the
sections that fit the prompt. A new kind of section is a function in `SECTIONS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ...models import STAND_IN_OPENING, lookup
from ..request.history import Body
from ..request.pauses import paused_call, paused_calls, paused_result
from ..request.prompt import Prompt, read
from ..request.signatures import Prefix
from . import citations, server_tools
from .lessons import Lesson, find
from .message import Draft
from .schema_example import example, misfit
from .sentences import SECTIONS, closing, instructions, long_text, thoughts

_REFUSE = re.compile(r"\[\[refuse(?:\s+([\w-]+))?\]\]")
_PAUSE = re.compile(r"\[\[pause(?:\s+(\d+))?\]\]")
_MISFIT = re.compile(r"\[\[misfit\]\]")
_LONG = re.compile(r"\[\[long\s+(\d+)\]\]")
_REFUSAL = {
    "type": "refusal",
    "category": "general_harms",
    "explanation": "The offline stand-in was asked to refuse, with [[refuse]].",
}


def draft(body: Body, thinking: bool, hop: int = 0, files: Sequence[str] = ()) -> Draft:
    """The reply to a request; it begins with a thinking block if `thinking`.

    `hop` is the number of models that have refused this request. `files` are the names of the files in its container.
    """
    prompt = read(body)
    if _refuses(prompt, body, hop):
        return Draft([], "refusal", _REFUSAL)
    output = body.get("output_config") or {}
    lesson = find(prompt, body)
    thought = lesson.thinking.strip() if lesson else thoughts(prompt, output.get("effort"))
    # A written example thinks once: before it calls its tool.
    opening = [{"type": "thinking", "thinking": thought}] if thinking and not (lesson and prompt.results) else []
    worked = None if output.get("format") else server_tools.work(prompt, body, files)
    label, lead = (lesson.opening, lesson.lead) if lesson else (STAND_IN_OPENING, "")
    said = _text_block(f"{label}{lead or 'Let me see.'}")
    done = [said, *worked.blocks] if worked else []
    content = _lesson(lesson, prompt, body, done) if lesson else _content(prompt, body, done)
    return Draft([*opening, *done, *content], files=worked.files if worked else ())


def _refuses(prompt: Prompt, body: Body, hop: int) -> bool:
    """Whether a model refuses: the first with `[[refuse]]`, the first two with `[[refuse 2]]`, or one by its name."""
    mark = _REFUSE.search(prompt.text)
    if not mark:
        return False
    who = mark[1] or "1"
    return hop < int(who) if who.isdecimal() else who in body["model"]


def _content(prompt: Prompt, body: Body, worked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    form = (body.get("output_config") or {}).get("format")
    if form:
        value = example(form["schema"], _MISFIT.sub("", prompt.question))
        return [_text_block(json.dumps(misfit(value) if _MISFIT.search(prompt.text) else value))]
    if worked:
        apart = "\n\n" if worked[-1]["type"] == "text" else ""
        return [_text_block(f"{apart}That is what I can tell. {closing(prompt)}")]
    if pause := _PAUSE.search(prompt.text):
        return _paused(prompt, body, int(pause[1] or 1))
    if (tool := _named_tool(prompt, body)) is not None:
        call = {"type": "tool_use", "id": _call_id(body), "name": tool["name"]}
        lead = _text_block(f"{STAND_IN_OPENING}I call `{tool['name']}` with what you gave me.")
        return [lead, {**call, "input": example(tool["input_schema"], prompt.question)}]
    if wanted := _LONG.search(prompt.text):
        return [_text_block(long_text(int(wanted[1])))]
    found = [section for make in SECTIONS if (section := make(prompt))] or [closing(prompt)]
    instructed = instructions(prompt)
    block = _text_block(STAND_IN_OPENING + "\n\n".join([instructed, *found] if instructed else found))
    cited = citations.cite_documents(body)
    return [{**block, "text": f"{block['text']}\n\n"}, *cited] if cited else [block]


def _lesson(lesson: Lesson, prompt: Prompt, body: Body, worked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content of a written example: its tool call, or its answer."""
    if lesson.call and not prompt.results:
        call = {"type": "tool_use", "id": _call_id(body), **lesson.call}
        return [_text_block(lesson.opening + lesson.lead), call]
    if cited := citations.cite_documents(body) if lesson.cites else []:
        return [_text_block(lesson.opening), {**cited[0], "text": lesson.answer}]
    apart = "\n\n" if worked and worked[-1]["type"] == "text" else ""
    return [_text_block(apart + lesson.told(prompt, begun=bool(worked or prompt.results)))]


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _paused(prompt: Prompt, body: Body, times: int) -> list[dict[str, Any]]:
    """The next part of a turn that pauses `times` times: the last search's result, then a new search or the end."""
    made = paused_calls(body)
    found = [paused_result(made[-1])] if made else []
    if len(made) >= times:
        return [
            *found,
            _text_block(f"{STAND_IN_OPENING}I paused {times} time{'s'[: times != 1]}, and go on.\n\n{closing(prompt)}"),
        ]
    said = [*found, _text_block(f"{'' if made else STAND_IN_OPENING}Let me search ({len(made) + 1} of {times}).")]
    return [*said, paused_call(body, said, prompt.question)]


def _named_tool(prompt: Prompt, body: Body) -> dict[str, Any] | None:
    """The tool to call: one that `tool_choice` forces or the prompt names; none right after a result."""
    choice = body.get("tool_choice") or {}
    own = [tool for tool in body.get("tools") or [] if tool.get("type") in (None, "custom")]
    if prompt.results or choice.get("type") == "none":
        return None
    if choice.get("type") == "tool":
        return next((tool for tool in own if tool["name"] == choice["name"]), None)
    words = _words(prompt.question)
    named = (tool for tool in own if f" {_words(tool['name'])} " in f" {words} ")
    return next(named, own[0] if choice.get("type") == "any" and own else None)


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _call_id(body: Body) -> str:
    """A tool call id that is unique in the conversation: a digest of everything before it."""
    prefix = Prefix(body)
    for i, message in enumerate(body["messages"]):
        prefix.add(f"{i} {message['role']}", {"content": message["content"]})
    model = lookup(body["model"])
    return f"toolu_offline_{prefix.digest()[:16]}_{model.line if model else ''}"
