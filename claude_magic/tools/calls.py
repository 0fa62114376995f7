"""Run Claude's calls of the notebook's tools: each at most once, in the kernel's main thread, with one result.

Whatever a tool does, its result is content that the API takes: bounded, its secrets masked, with no key of ours in it.
"""

from __future__ import annotations

import base64
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ..client.redaction import environment_secrets, redact
from ..content.images import image_block
from ..content.safely import one_line
from ..content.secrets import Secrets
from ..content.text import truncated, whole_text
from ..content.token_estimate import CHARACTERS_PER_TOKEN
from ..conversation.turns import Block, not_run
from ..prompt import prompt
from . import awaiting
from .functions import ArgumentsRefused, Tool

MAX_RESULT_TOKENS = 8_000
MAX_RESULT_IMAGES = 5
# Of an exception, the innermost calls that are not ours.
MAX_FRAMES = 4
INTERRUPTED = "The reader interrupted this tool while it ran. It may have done a part of what it does."
NOTHING = "(it returned nothing)"

_MACHINERY = ("pydantic", "asyncio", "anthropic", "concurrent", "ast.py")

# Why a call must not run, as Claude is told; nothing, where it may.
Approve = Callable[[Tool, Mapping[str, Any]], str]


class ToolCalls:
    """The tools that a cell offers, and the calls that Claude makes of them: at most `limit`.

    `check` raises `UsageError` where calls could not be approved.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        approve: Approve = lambda tool, given: "",
        limit: int = 0,
        check: Callable[[], None] = lambda: None,
        secrets: Secrets | None = None,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._approve = approve
        self._limit = limit
        self._secrets = secrets or Secrets()
        self._begun: set[str] = set()
        self._results: dict[str, Block] = {}
        self.check = check

    @property
    def definitions(self) -> list[Mapping[str, Any]]:
        """What the API is told."""
        return [tool.definition for tool in self._tools.values()]

    @property
    def exhausted(self) -> bool:
        """Whether Claude made as many calls as it may."""
        return bool(self._tools) and len(self._results) >= self._limit

    def answer(self, call: Block) -> Block:
        """Run a call; its result, as a block. Raises `KeyboardInterrupt`, and then `leave` has what there is to say."""
        if call["id"] not in self._begun:
            self._results[call["id"]] = self._answer(call)
        return self.leave(call)

    def leave(self, call: Block) -> Block:
        """The result of a call that is not waited for any longer."""
        known = self._results.get(call["id"])
        return known or not_run(call, *([INTERRUPTED] if call["id"] in self._begun else []))

    def _answer(self, call: Block) -> Block:
        tool = self._tools.get(str(call.get("name")))
        if tool is None:
            return not_run(
                call, f"There is no tool {call.get('name')!r} in this cell. It has: {', '.join(self._tools)}."
            )
        if self.exhausted:
            return not_run(
                call, f"This tool was not run: a cell makes at most {self._limit} calls. Answer with what you have."
            )
        given = call.get("input")
        given = given if isinstance(given, Mapping) else {}
        if refused := self._approve(tool, given):
            return not_run(call, refused)
        self._begun.add(call["id"])
        content, failed = run(tool, given, self._secrets)
        return {"type": "tool_result", "tool_use_id": call["id"], "content": content, **failed}


def run(tool: Tool, given: Mapping[str, Any], masking: Secrets | None = None) -> tuple[list[Block], dict[str, bool]]:
    """What a tool gives, shows and prints, as content; and `is_error`, where it failed. Raises `KeyboardInterrupt`."""
    from IPython.utils.capture import capture_output

    secrets = environment_secrets()
    failed: dict[str, bool] = {"is_error": True}
    content: Sequence[Block] = []
    with capture_output() as captured:
        try:
            value = tool.call(given)
            value = awaiting.result(value) if inspect.isawaitable(value) else value
            content, failed = content_of(value, tool.name), {}
            _flush_figures()
        except ArgumentsRefused as error:
            content = [_text(f"These arguments do not fit, and {tool.name} was not run.\n{error}")]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a SystemExit, too: nothing that a tool does ends the kernel
            content = _failure(error)
    shown = [_text(captured.stdout), *_displayed(captured.outputs), _text(captured.stderr)]
    return _bounded([*shown, *content], secrets, masking or Secrets()) or [_text(NOTHING)], failed


def _flush_figures() -> None:
    """Display the figures that are to be shown at the end of a cell, where matplotlib draws into the notebook."""
    inline = sys.modules.get("matplotlib_inline.backend_inline")
    if inline is not None:
        inline.flush_figures()


def content_of(value: Any, name: str) -> Sequence[Block]:
    """A value as content: text and pictures as they are, all else as a prompt shows it."""
    if value is None:
        return []
    if isinstance(value, str):
        return [_text(value)]
    if isinstance(value, list | tuple) and value and all(map(_is_block, value)):
        return [block for each in value for block in content_of(each, name)]
    if _is_block(value):
        return [_text(value["text"])] if value["type"] == "text" else [_picture(value["source"]["data"])]
    return prompt.shown(value, name)


def _is_block(value: Any) -> bool:
    """Whether this is text or a picture in the API's own form, as the SDK's tools give it."""
    if not isinstance(value, Mapping):
        return False
    if value.get("type") == "text":
        return isinstance(value.get("text"), str)
    source = value.get("source")
    return value.get("type") == "image" and isinstance(source, Mapping) and isinstance(source.get("data"), str)


def _failure(error: BaseException) -> Sequence[Block]:
    """What an exception says, and where: the SDK's `ToolError` says it in content of its own."""
    said = getattr(error, "content", None)
    if type(error).__name__ == "ToolError" and isinstance(said, str | list):
        return content_of(said, "")
    own = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if not _is_machinery(frame)]
    found = traceback.StackSummary.extract(own)
    where = [f"  {frame.name}, line {frame.lineno}: {frame.line}" for frame in found[-MAX_FRAMES:]]
    return [_text("\n".join([one_line(error), *where]))]


def _is_machinery(frame: FrameType) -> bool:
    """Whether a frame is of this package, or of the libraries between it and the reader's code."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    path = Path(frame.f_code.co_filename)
    return package == __name__.partition(".")[0] or any(part in _MACHINERY for part in path.parts)


def _displayed(outputs: Iterable[Any]) -> list[Block]:
    """What was displayed: as a picture where there is one, else as Markdown or plain text."""
    found = []
    for output in outputs:
        data = output.data or {}
        picture = next((data[kind] for kind in ("image/png", "image/jpeg") if data.get(kind)), None)
        text = data.get("text/markdown") or data.get("text/plain") or ""
        found.append(_picture(picture) if picture else _text(str(text)))
    return found


def _picture(data: str | bytes) -> Block:
    try:
        return image_block(base64.b64decode(data) if isinstance(data, str) else data)
    except Exception as error:
        return _text(f"[{one_line(error)}]")


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _bounded(content: Iterable[Block], secrets: tuple[str, ...], masking: Secrets) -> list[Block]:
    """Content of a bounded length, of what the API takes: no blank text, only so many pictures, text in one piece."""
    texts, images = list[str](), list[Block]()
    kept = list[Block]()
    for block in content:
        if block["type"] == "image":
            images.append(block)
            if len(images) <= MAX_RESULT_IMAGES:
                kept += [*_shortened(texts), block]
                texts = []
        elif block["text"].strip():
            texts.append(masking.masked(redact(block["text"].strip("\n"), secrets))[0])
    if len(images) > MAX_RESULT_IMAGES:
        texts.append(f"… [{len(images) - MAX_RESULT_IMAGES} more images left out]")
    return [*kept, *_shortened(texts)]


def _shortened(texts: Sequence[str]) -> list[Block]:
    whole = truncated(whole_text("\n".join(texts)), int(MAX_RESULT_TOKENS * CHARACTERS_PER_TOKEN))
    return [_text(whole)] if whole else []
