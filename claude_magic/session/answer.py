"""A reply under way: streamed, journaled, resumed after pauses and tool calls, stopped at the budget; and its turn."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from decimal import Decimal
from typing import Any

from ..client import Client, Settings, Stream
from ..content.text import plural
from ..content.token_estimate import CHARACTERS_PER_TOKEN
from ..conversation.accumulator import GOES_ON, TOOL_RESULT, Accumulator, Reply, call_of, concluded
from ..conversation.turns import Block, Call, Turn, open_calls
from ..cost import pricing
from ..cost.budget import Budget
from ..cost.count import estimate
from ..errors import APIError, ClaudeError, ReplyInterrupted, StreamError, ThinkingRefusedError
from ..interrupts import uninterrupted
from ..notebook.journal import Writer
from ..render import tool_calls
from ..render.live.live import View
from ..request import build, server_tools
from ..request.build import Request
from ..request.parameters import CLEAR_THINKING, CLEAR_TOOL_USES
from ..tools.calls import ToolCalls
from . import container_files

# How often a reply that pauses (`pause_turn`: its server tools take long) is asked to go on.
MAX_PAUSES = 10
# The usage does not say how long code ran, nor how much of it is free (CLAUDE_API.md §8).
UNPRICED = "the container's time is not in the cost"
REPEATED = "The API sent a reply again that it had sent: its tools were not run twice."
THINKING_LEFT_OUT = "earlier thinking left out: the API refused it"


class Answer:
    """A reply with the calls that it takes, as it comes.

    `draft` is the turn that it will make, with only the prompt. `budget` is what it may cost at most; `None` where
    there is none. `made` is the turn that came of it.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        view: View,
        draft: Turn,
        writer: Writer | None,
        budget: Budget | None,
        tools: ToolCalls | None = None,
    ) -> None:
        self.accumulator = Accumulator()
        self.draft = draft
        self.made: Turn | None = None
        self.unbound = False  # whether the API refused earlier thinking
        self.calls: list[Call] = []
        self.files: tuple[Block, ...] = ()  # that Claude's code made
        self.notes: list[str] = []
        self._began = time.time()
        self._client = client
        self._settings = settings
        self._view = view
        self._writer = writer
        self._budget = budget
        self._tools = tools or ToolCalls()
        self._done: tuple[Block, ...] = ()  # the exchange up to the last result of a tool: it is never begun anew
        self._without_thinking = False
        self._earlier: Accumulator | None = None  # what there was before this request went on with it
        self._limit: int | None = None  # characters that the budget allows

    @property
    def reply(self) -> Reply:
        """What has arrived."""
        return self.accumulator.reply()

    def ask(self, asked: Request, unbound: Callable[[], Request]) -> ClaudeError | None:
        """`stream`, and once more without earlier thinking where the API refuses that: it is of another account, or
        there is a rule that we do not know; a conversation can always go on. `unbound` makes that request. The same
        in a new container, where the last one is gone."""
        failure = self.stream(asked)
        if self._done:
            return failure
        if "container" in asked.params and isinstance(failure, APIError) and "container" in failure.message.lower():
            params = {name: value for name, value in asked.params.items() if name != "container"}
            return self.again(dataclasses.replace(asked, params=params), server_tools.EXPIRED)
        if not isinstance(failure, ThinkingRefusedError):
            return failure
        self.unbound = True
        return self.again(unbound(), THINKING_LEFT_OUT)

    def again(self, asked: Request, note: str) -> ClaudeError | None:
        """`stream` the same question, put in another way; the note says in which."""
        notes = (*self.draft.notes, note)
        self.draft = dataclasses.replace(self.draft, prefix=asked.prefix, params=asked.settings, notes=notes)
        if self._writer is not None:
            self._writer.redraft(self.draft)
        return self.stream(asked)

    def conclude(self, continues: Turn | None = None) -> Turn:
        """The turn that came of it, with what had arrived where the connection is still silent.

        `continues` is a turn that was cut off, whose blocks are at the front of this reply.
        """
        reply, before = self.reply, continues.calls if continues else ()
        if continues is not None:
            reply = dataclasses.replace(reply, content=reply.content[len(continues.reply) :])
        calls = self.calls or [self._call(reply, str(self.draft.params["model"]), self._began, None)]
        notes = (*self.draft.notes, *self.notes)
        if self._budget is not None and (left := self._budget.note(pricing.total(map(pricing.call_cost, calls)))):
            notes = (*notes, left)
        if self._writer is not None and self._writer.failed:
            notes = (*notes, self._writer.failed)
        self.made = concluded(dataclasses.replace(self.draft, notes=notes, made=self.files), reply, *before, *calls)
        if self._writer is not None:
            self._writer.end(self.made)
        return self.made

    def close(self) -> None:
        """Nothing more comes."""
        if self._writer is not None:
            self._writer.close()

    def stream(self, asked: Request, before: Sequence[Block] = ()) -> ClaudeError | None:
        """Ask, and have a reply go on that pauses or calls tools. Returns what went wrong.

        `before` are the blocks of a reply that was cut off, and that this one continues.
        """
        self.accumulator, self._earlier = Accumulator([*before, *self._done]), None
        try:
            return self._rounds(asked, before)
        except KeyboardInterrupt:
            with uninterrupted(swallow=True):
                if self._earlier is not None:
                    self._brought_nothing(self._earlier)
        return ReplyInterrupted("The reply was interrupted.")

    def _rounds(self, asked: Request, before: Sequence[Block]) -> ClaudeError | None:
        """Request after request, until nothing is left to go on with."""
        settings = dataclasses.replace(self._settings, betas=(*self._settings.betas, *asked.betas))
        params = {**asked.params, "messages": build.messages_so_far(asked, self._done)}
        pauses = 0
        while True:
            failure = self._once(params, settings)
            if isinstance(failure, ThinkingRefusedError) and self._done and not self._without_thinking:
                params = self._forget_thinking(params)
                continue
            if self._earlier is not None and self._brought_nothing(self._earlier):
                return failure or (StreamError(REPEATED) if self._done else None)
            reason = self.reply.stop_reason if failure is None else None
            pauses += reason == "pause_turn"
            calls = open_calls(self.reply.content) if reason == "tool_use" and self._tools.definitions else []
            if not calls and (reason != "pause_turn" or pauses > MAX_PAUSES):
                if failure is None:
                    self._look_at_files(self.reply, settings)
                return failure
            if calls and (failure := self._use_tools(calls, len(before))):
                return failure
            params = self._going_on(asked, params, self.reply.content[len(before) :])
            if calls and (failure := self._over_budget(asked, params, settings)):
                return failure
            self._earlier, self.accumulator = self.accumulator, Accumulator(self.reply.content)
            self._fold(GOES_ON)

    def _brought_nothing(self, earlier: Accumulator) -> bool:
        """Whether the rest of a reply did not come: it broke off at once, or is the same message again, of a server
        that only replays. Then the reply is what it was."""
        reply = self.reply
        calls = [block["id"] for block in reply.content if block["type"] == "tool_use"]
        again = reply.message.get("id") == earlier.reply().message.get("id") or len(calls) > len({*calls})
        if reply.message and not again:
            return False
        self.accumulator = earlier
        return True

    def _use_tools(self, calls: Sequence[Block], before: int) -> ClaudeError | None:
        """Have the notebook's tools answer; `before` blocks are not of this exchange. An Interrupt leaves no call
        without a result."""
        try:
            for call in calls:
                self._fold({"type": TOOL_RESULT, "content": self._tools.answer(call)})
            return None
        except KeyboardInterrupt:
            with uninterrupted(swallow=True):
                for call in open_calls(self.reply.content):
                    self._take({"type": TOOL_RESULT, "content": self._tools.leave(call)})
        finally:
            self._done = self.reply.content[before:]
        return ReplyInterrupted("Interrupted at a tool.", advice="Claude is told so with the next prompt.")

    def _going_on(self, asked: Request, params: Mapping[str, Any], content: Sequence[Block]) -> dict[str, Any]:
        """The parameters that ask for the rest of a reply."""
        messages = build.messages_so_far(asked, content)
        further = {**params, "messages": build.without_thinking(messages) if self._without_thinking else messages}
        if self.calls and self.calls[-1].container:  # what is pending there goes on there
            further["container"] = self.calls[-1].container["id"]
        if self.calls and "diagnostics" in further:  # the cache holds what this exchange has just sent
            further["diagnostics"] = {"previous_message_id": self.calls[-1].message_id}
        if self._tools.exhausted:
            further["tool_choice"] = build.NO_TOOL
        return further

    def _forget_thinking(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters without earlier thinking, which the API refused in the middle of an exchange."""
        self._without_thinking = self.unbound = True
        self.draft = dataclasses.replace(self.draft, prefix="", notes=(*self.draft.notes, THINKING_LEFT_OUT))
        return {**params, "messages": build.without_thinking(params["messages"])}

    def _over_budget(self, asked: Request, params: Mapping[str, Any], settings: Settings) -> ClaudeError | None:
        """That what comes next would pass the budget, by what it costs as input alone."""
        if self._budget is None:
            return None
        further = estimate(self._client, dataclasses.replace(asked, params=dict(params)), settings).cost
        left = self._budget.after(pricing.total([*map(pricing.call_cost, self.calls), further]))
        if left is None or left.left >= 0:
            return None
        self.notes.append("stopped: the budget is used up")
        return ReplyInterrupted("Stopped after a tool: to go on would pass the budget.")

    def _look_at_files(self, reply: Reply, settings: Settings) -> None:
        """Fetch what Claude's code made. An Interrupt ends the fetching, and loses nothing of the reply."""
        with suppress(KeyboardInterrupt):
            self.files = container_files.fetch(self._client, settings, reply.content)
        if tool_calls.ran_code(reply.content) and UNPRICED not in self.notes:
            self.notes.append(UNPRICED)

    def _once(self, params: Mapping[str, Any], settings: Settings) -> ClaudeError | None:
        stream = self._client.stream(params, settings, self._view.wait)
        started, first = time.time(), None
        failure: ClaudeError | None = None
        try:
            with closing(iter(stream)) as arriving:
                for event in arriving:
                    self._fold(event)
                    if first is None and self.accumulator.visible:
                        first = time.monotonic() - stream.sent
                    if event["type"] == "message_start":
                        self._limit = self._characters_left()
                    if self._limit is not None and self.accumulator.characters > self._limit:
                        self.notes.append("stopped: the budget is used up")
                        raise ReplyInterrupted("The reply was stopped: the budget is used up.")
        except KeyboardInterrupt:
            failure = ReplyInterrupted("The reply was interrupted.")
        except ClaudeError as error:
            failure = error
        except Exception as error:  # what nobody foresaw must not lose what was paid for
            broken = type(error).__name__
            failure = StreamError(f"The reply is unreadable ({broken}).", request_id=stream.request_id)
        self._note(stream, str(params["model"]), started, first)
        return failure

    def _fold(self, event: Any) -> None:
        if self._writer is not None:
            self._writer.add(event)
        self.accumulator.add(event)
        self._view.grow(event, self.accumulator)

    def _take(self, event: Any) -> None:
        """Fold an event in that nobody needs to see come."""
        if self._writer is not None:
            self._writer.add(event)
        self.accumulator.add(event)

    def _note(self, stream: Stream, model: str, started: float, first: float | None) -> None:
        """Write down the call, if a reply began."""
        reply = self.reply
        if stream.retries:
            self.notes.append(f"retried {stream.retries}×")
        if reply.message:
            seconds = time.monotonic() - stream.sent
            call = self._call(reply, model, started, first, seconds=seconds, request_id=stream.request_id)
            self.calls.append(call)
            if missed := _cache_miss(reply.message):
                self.notes.append(missed)
            self.notes += _left_out(reply.message)

    def _call(self, reply: Reply, model: str, started: float, first: float | None, **facts: Any) -> Call:
        facts = {"seconds": time.time() - started, "provider": self._client.provider(self._settings), **facts}
        return call_of(reply, model=model, started=started, first_token=first, **facts)

    def _characters_left(self) -> int | None:
        """How long the reply may get, by a rough length of its tokens; `None` where nothing limits it."""
        if self._budget is None:
            return None
        spent = pricing.total(pricing.call_cost(call) for call in self.calls)
        provider, model = self._client.provider(self._settings), self.accumulator.model
        usage = {**self.accumulator.usage, "output_tokens": 0}
        asked = pricing.call_cost(Call(model, usage, stop_reason="end_turn", provider=provider))
        each = pricing.call_cost(Call(model, {"output_tokens": 1_000_000}, stop_reason="end_turn", provider=provider))
        left, per_million = (spent + asked).dollars, each.dollars
        if left is None or not per_million:
            return None
        tokens = max(Decimal(0), self._budget.left - left) / per_million * 1_000_000
        return self.accumulator.characters + int(tokens * Decimal(str(CHARACTERS_PER_TOKEN)))


_MISSES = {
    "model_changed": "the model changed",
    "system_changed": "the system prompt changed",
    "tools_changed": "the tools changed",
    "messages_changed": "an earlier message changed",
}


def _cache_miss(message: Mapping[str, Any]) -> str | None:
    """Why the cache was missed, where it was asked and the API knows (CLAUDE_API.md §4)."""
    found = message.get("diagnostics")
    reason = found.get("cache_miss_reason") if isinstance(found, Mapping) else None
    why = _MISSES.get(str(reason.get("type"))) if isinstance(reason, Mapping) else None
    return why and f"cache missed: {why}"


_CLEARED = {
    CLEAR_TOOL_USES: ("cleared_tool_uses", "result of a tool", "results of tools"),
    CLEAR_THINKING: ("cleared_thinking_turns", "turn's thinking", "turns' thinking"),
}


def _left_out(message: Mapping[str, Any]) -> list[str]:
    """What the API left out of what Claude read (CLAUDE_API.md §6)."""
    said = message.get("context_management")
    applied = said.get("applied_edits") if isinstance(said, Mapping) else None
    found = []
    for edit in (each for each in applied or () if isinstance(each, Mapping)):
        name, one, many = _CLEARED.get(str(edit.get("type")), ("", "", ""))
        count, tokens = edit.get(name), edit.get("cleared_input_tokens")
        if isinstance(count, int) and isinstance(tokens, int) and count > 0:
            found.append(f"{plural(count, one, many)} left out ({tokens:,} tokens)")
    return found
