"""Run Claude's tool calls in the notebook: each at most once, in the kernel's main thread, with one result.

The result, even of a failing tool, is content that the API takes: bounded, secrets masked, without the API's keys.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..content.secrets import Secrets
from ..conversation.turns import Block, not_run
from . import awaiting, displays, results
from .functions import ArgumentsRefused, Tool

MAX_QUOTED_CHARACTERS = 2_000
INTERRUPTED = "The reader interrupted this tool while it ran. It may have done a part of what it does."
NOTHING = "(it returned nothing)"

# Checks a call: returns why it must not run, a text for Claude; empty if it may run.
Approve = Callable[[Tool, Mapping[str, Any]], str]


class ToolCalls:
    """The tools that a cell offers, and the results of Claude's calls, at most `limit`.

    `approve` returns why a call must not run; `check` raises `UsageError` if nobody could approve the calls. `notes`
    are remarks on the tools for the reader.
    """

    def __init__(
        self,
        tools: Sequence[Tool] = (),
        approve: Approve = lambda tool, given: "",
        limit: int = 0,
        check: Callable[[], None] = lambda: None,
        secrets: Secrets | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.notes = tuple(notes)
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

    def left_to_the_reader(self, calls: Iterable[Block]) -> list[str]:
        """The names of called tools that have a definition and no function."""
        tools = (self._tools.get(str(call.get("name"))) for call in calls)
        return [tool.name for tool in tools if tool is not None and tool.call is None]

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
        # A copy that only this call holds: what is approved is the object that runs, whatever becomes of the block.
        given = copy.deepcopy(given) if isinstance(given, Mapping) else {}
        if refused := self._approve(tool, given):
            return not_run(call, refused)
        self._begun.add(call["id"])
        content, failed = run(tool, given, self._secrets)
        return {"type": "tool_result", "tool_use_id": call["id"], "content": content, **failed}


def run(tool: Tool, given: Mapping[str, Any], masking: Secrets | None = None) -> tuple[list[Block], dict[str, bool]]:
    """Run a tool: what it returns, displays and prints, as content blocks, and `{"is_error": True}` if it failed.

    Raises only `KeyboardInterrupt`.
    """
    masking = masking or Secrets()
    failed: dict[str, bool] = {"is_error": True}
    content: Sequence[Block] = []
    returned: Sequence[Any] = ()
    with displays.captured() as seen:
        try:
            value = tool.call(given) if tool.call is not None else None
            value = awaiting.result(value) if inspect.isawaitable(value) else value
            content, returned, failed = results.of_value(value, tool.name, masking), results.objects_in(value), {}
        except ArgumentsRefused as error:
            content = [results.text(f"These arguments do not fit, and {tool.name} was not run.\n{error}")]
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a tool must not end the kernel
            content = results.of_failure(error)
        displays.flush_figures()
    shown = results.of_displays(seen, returned)
    return results.bounded(shown, content, masking) or [results.text(NOTHING)], failed
