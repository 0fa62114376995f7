"""Run Claude's tool calls in the notebook: each at most once, in the kernel's main thread, with one result.

The result, even of a failing tool, is content that the API takes: bounded, secrets masked, without the API's keys.
"""

from __future__ import annotations

import base64
import inspect
import json
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
MAX_QUOTED_CHARACTERS = 2_000
# The innermost frames of an exception that are the reader's own.
MAX_FRAMES = 4
INTERRUPTED = "The reader interrupted this tool while it ran. It may have done a part of what it does."
NOTHING = "(it returned nothing)"

_MACHINERY = ("pydantic", "asyncio", "anthropic", "concurrent", "ast.py")

# Checks a call: returns why it must not run, a text for Claude; empty if it may run.
Approve = Callable[[Tool, Mapping[str, Any]], str]


class ToolCalls:
    """The tools that a cell offers, and the results of Claude's calls, at most `limit`.

    `approve` returns why a call must not run; `check` raises `UsageError` if nobody could approve the calls.
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
        """The definitions of the tools, in wire form."""
        return [tool.definition for tool in self._tools.values()]

    @property
    def exhausted(self) -> bool:
        """Whether Claude has made `limit` calls."""
        return bool(self._tools) and len(self._results) >= self._limit

    def answer(self, call: Block) -> Block:
        """Run a call, if it did not run before, and return its `tool_result` block.

        Raises `KeyboardInterrupt`; `leave` gives the result then.
        """
        if call["id"] not in self._begun:
            self._results[call["id"]] = self._answer(call)
        return self.leave(call)

    def refuse(self, call: Block, wrong: str) -> Block:
        """The `tool_result` of a call whose input could not be read; `wrong` says why. It counts as a call.

        It quotes the input as Anthropic advises: wrapped in an object, under `INVALID_JSON`.
        """
        quoted = json.dumps({"INVALID_JSON": str(call.get("partial_json", ""))[:MAX_QUOTED_CHARACTERS]})
        why = f"This tool was not run: its input is not a JSON object ({wrong}). It was: {quoted}. Call it again."
        self._results[call["id"]] = not_run(call, why)
        return self.leave(call)

    def leave(self, call: Block) -> Block:
        """The `tool_result` block of a call as it is now: its result, or that it did not run or was interrupted."""
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
    """Run a tool: what it returns, displays and prints, as content blocks, and `{"is_error": True}` if it failed.

    Raises only `KeyboardInterrupt`.
    """
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
        except BaseException as error:  # SystemExit too: a tool must not end the kernel
            content = _failure(error)
    shown = [_text(captured.stdout), *_displayed(captured.outputs), _text(captured.stderr)]
    return _bounded([*shown, *content], secrets, masking or Secrets()) or [_text(NOTHING)], failed


def _flush_figures() -> None:
    """Display now the matplotlib figures that the inline backend would show at the end of the cell."""
    inline = sys.modules.get("matplotlib_inline.backend_inline")
    if inline is not None:
        inline.flush_figures()


def content_of(value: Any, name: str) -> Sequence[Block]:
    """A tool's value as content blocks: text and images as they are, others as a prompt shows them."""
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
    """Whether a value is a text or base64 image block in wire form, as the SDK's tools return."""
    if not isinstance(value, Mapping):
        return False
    if value.get("type") == "text":
        return isinstance(value.get("text"), str)
    source = value.get("source")
    return value.get("type") == "image" and isinstance(source, Mapping) and isinstance(source.get("data"), str)


def _failure(error: BaseException) -> Sequence[Block]:
    """The message and innermost frames of an exception; of the SDK's `ToolError`, its own content."""
    content = getattr(error, "content", None)
    if type(error).__name__ == "ToolError" and isinstance(content, str | list):
        return content_of(content, "")
    own = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if not _is_machinery(frame)]
    found = traceback.StackSummary.extract(own)
    where = [f"  {frame.name}, line {frame.lineno}: {frame.line}" for frame in found[-MAX_FRAMES:]]
    return [_text("\n".join([one_line(error), *where]))]


def _is_machinery(frame: FrameType) -> bool:
    """Whether a frame belongs to this package, or to the libraries that it calls tools through."""
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    path = Path(frame.f_code.co_filename)
    return package == __name__.partition(".")[0] or any(part in _MACHINERY for part in path.parts)


def _displayed(outputs: Iterable[Any]) -> list[Block]:
    """Displayed outputs as content blocks: an image if there is one, else Markdown or plain text."""
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
    """Content within the API's limits: secrets masked, neighbouring texts merged, no blank text, few images."""
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
