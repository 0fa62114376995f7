"""A reply under way: streamed, journaled, continued after pauses and tool calls, stopped at the budget."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from decimal import Decimal
from typing import Any

from ..client import BLOCKING, Client, Settings, Stream, Transport
from ..content.text import plural
from ..content.token_estimate import CHARACTERS_PER_TOKEN
from ..conversation import record
from ..conversation.accumulator import GOES_ON, TOOL_RESULT, Accumulator, Reply, call_of, concluded
from ..conversation.turns import Block, Call, Turn, open_calls, set_aside
from ..cost import pricing
from ..cost.budget import Budget, tighter
from ..cost.count import estimate
from ..errors import (
    APIError,
    ClaudeError,
    InvalidRequestError,
    ReplyCancelled,
    ReplyInterrupted,
    StreamError,
    ThinkingRefusedError,
)
from ..interrupts import raised, uninterrupted
from ..notebook.journal import Writer
from ..render import tool_calls
from ..render.live.live import View
from ..request import build, known_blocks, server_tools
from ..request.build import Request
from ..request.parameters import CLEAR_THINKING, CLEAR_TOOL_USES
from ..tools.calls import ToolCalls
from . import container_files

# How often a reply that pauses (stop reason `pause_turn`, when server tools take long) is continued.
MAX_PAUSES = 10
# How often one request is sent again without what the API refuses of earlier replies.
MAX_REFUSALS = 10
# The usage has neither the time that code ran nor the free part of it (CLAUDE_API.md §8).
UNPRICED = "the container's time is not in the cost"
REPEATED = "The API sent the same reply a second time: its tools were not run again."
NOT_KEPT = "not in the conversation: its record could not be read back"
UNKNOWN = "parts of earlier replies left out: the API does not know them"
THINKING_LEFT_OUT = "earlier thinking left out: the API refused it"


class Answer:
    """A reply under way, over all API calls that it takes.

    `draft` is its turn so far, with only the prompt; `turn` is its finished turn, `None` before `conclude`. `budget` is
    the limit of its cost; `None` for no limit.
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
        self.turn: Turn | None = None
        self.fault = ""  # why the finished turn cannot be kept in a conversation; empty if it can be
        self.thinking_refused = False  # whether the API refused thinking of earlier turns
        self.calls: list[Call] = []
        self.transport: Transport = BLOCKING
        self.cell_began: float | None = None  # in seconds of `time.monotonic()`
        self.files: tuple[Block, ...] = ()  # made by Claude's code
        self.notes: list[str] = []
        self._began = time.time()
        self._ended: float | None = None  # when the last call ended, in seconds of `time.monotonic()`
        self._client = client
        self._settings = settings
        self._view = view
        self._writer = writer
        self._budget = budget
        self._tools = tools or ToolCalls()
        self._done: tuple[Block, ...] = ()  # the exchange up to the last tool result: never asked for again
        self._without_thinking = False
        self._refusals = 0  # of the current request
        self._earlier: Accumulator | None = None  # the reply before the current request, which continues it
        self._budget_now: Callable[[], Budget | None] = lambda: budget
        self._paid = Decimal(0)  # USD: the calls so far, and the input of the current request
        self._written = 0  # characters that are in `_paid`
        self._per_character = Decimal(0)  # USD

    @property
    def reply(self) -> Reply:
        """The reply as received so far."""
        return self.accumulator.reply()

    def share(self, shared: Callable[[], Budget | None], cost: Decimal) -> None:
        """Keep a budget that other replies spend at the same time; `cost` is that of the input, in USD."""
        budget, self._paid = self._budget, cost
        self._budget_now = lambda: tighter(budget, shared())

    @property
    def spending(self) -> Decimal:
        """The cost so far in USD, of a reply under way by its rough length; 0 without a budget or a known price."""
        return self._paid + self._per_character * (self.accumulator.characters - self._written)

    async def ask(self, request: Request, without_thinking: Callable[[], Request]) -> ClaudeError | None:
        """Stream the reply to a request. Returns the failure, if any.

        The request is sent once more if the API refuses the thinking of earlier turns (it is of another account, or by
        a rule that we do not know): without that thinking, as `without_thinking` builds it, so that a conversation can
        always go on. Likewise if its container is gone: in a new one.
        """
        failure = await self.stream(request)
        if self._done:
            return failure
        if "container" in request.params and isinstance(failure, APIError) and "container" in failure.message.lower():
            params = {name: value for name, value in request.params.items() if name != "container"}
            return await self.ask_again(dataclasses.replace(request, params=params), server_tools.EXPIRED)
        if not isinstance(failure, ThinkingRefusedError):
            return failure
        self.thinking_refused = True
        return await self.ask_again(without_thinking(), THINKING_LEFT_OUT)

    async def ask_again(self, request: Request, note: str) -> ClaudeError | None:
        """Stream the reply to another form of the same question, which `note` describes to the reader."""
        self._redraft(note, prefix=request.prefix, params=request.settings)
        return await self.stream(request)

    def _redraft(self, note: str, **changes: Any) -> None:
        """Change the turn so far, with a note for the reader."""
        notes = tuple(dict.fromkeys((*self.draft.notes, note)))
        self.draft = dataclasses.replace(self.draft, notes=notes, **changes)
        if self._writer is not None:
            self._writer.redraft(self.draft)

    def conclude(self, continues: Turn | None = None) -> Turn:
        """The finished turn, with the reply as received so far.

        `continues` is a turn that was cut off, whose blocks are the first of this reply.
        """
        reply, before = self.reply, continues.calls if continues else ()
        if continues is not None:
            reply = dataclasses.replace(reply, content=reply.content[len(continues.reply) :])
        calls = self.calls or [self._call(reply, str(self.draft.params["model"]), self._began, None)]
        notes = (*self.draft.notes, *self.notes)
        budget = self._budget_now()
        if budget is not None and (left := budget.note(pricing.total(map(pricing.call_cost, calls)))):
            notes = (*notes, left)
        if self._writer is not None and self._writer.failed:
            notes = (*notes, self._writer.failed)
        draft = dataclasses.replace(self.draft, notes=notes, made=self.files, seconds=self._waited(continues))
        turn = concluded(draft, reply, *before, *calls)
        self.fault = record.fault(turn)
        if self.fault:
            turn = set_aside(turn, NOT_KEPT)
        self.turn = turn
        if self._writer is not None:
            self._writer.end(self.turn)
        return self.turn

    def _waited(self, continues: Turn | None) -> float | None:
        """How long the reader waited, from the start of the cell; for a reply in two cells, in both."""
        if self.cell_began is None:
            return None
        ended = time.monotonic() if self._ended is None else self._ended
        return max(0.0, ended - self.cell_began) + (continues.waited if continues else 0.0)

    def close(self) -> None:
        """Close the journal's file."""
        if self._writer is not None:
            self._writer.close()

    async def stream(self, request: Request, before: Sequence[Block] = ()) -> ClaudeError | None:
        """Stream a reply, continued after pauses and tool calls. Returns the failure, if any.

        `before` are the blocks of a reply that was cut off, which this one continues.
        """
        self.accumulator, self._earlier = Accumulator([*before, *self._done]), None
        try:
            return await self._rounds(request, before)
        except (KeyboardInterrupt, asyncio.CancelledError) as stopped:
            with uninterrupted(swallow=True):
                if self._earlier is not None:
                    self._added_nothing(self._earlier)
                return _interrupted(stopped)

    async def _rounds(self, request: Request, before: Sequence[Block]) -> ClaudeError | None:
        """Send requests until the reply is complete. Returns the failure, if any."""
        settings = dataclasses.replace(self._settings, betas=(*self._settings.betas, *request.betas))
        params = {**request.params, "messages": build.messages_so_far(request, self._done)}
        pauses = 0
        while True:
            offers = bool(self._tools.definitions) and not self._tools.exhausted
            failure = await self._send(params, settings)
            if (accepted := self._without_refused(params, failure)) is not None:
                params = accepted
                continue
            if self._earlier is not None and self._added_nothing(self._earlier):
                return failure or (StreamError(REPEATED) if self._done else None)
            reason = self.reply.stop_reason if failure is None else None
            pauses += reason == "pause_turn"
            calls = self._to_run() if reason == "tool_use" and offers else []
            if not calls and (reason != "pause_turn" or pauses > MAX_PAUSES):
                if failure is None:
                    await self._fetch_files(self.reply, settings)
                return failure
            if calls and (failure := self._run_tools(calls, len(before))):
                return failure
            params = self._continuation(request, params, self.reply.content[len(before) :])
            if calls and (failure := await self._over_budget(request, params, settings)):
                return failure
            self._earlier = self.accumulator
            self.accumulator = Accumulator(self.reply.content, self.reply.partial)
            self._fold(GOES_ON)

    def _to_run(self) -> Sequence[tuple[Block, str]]:
        """The tool calls that are to run now; none of them if one is left to the reader."""
        calls = self.accumulator.calls
        if left := self._tools.left_to_the_reader(call for call, _ in calls):
            self.notes.append(f"called, and left to you: {', '.join(left)}")
        return [] if left else calls

    def _added_nothing(self, earlier: Accumulator) -> bool:
        """Whether a continuation brought nothing, so that the reply is reset to `earlier`: it broke off at once, or it
        is the same message again, from a server that replays recordings."""
        if self.reply.message and not self.accumulator.repeats(earlier):
            return False
        self.accumulator = earlier
        return True

    def _run_tools(self, calls: Sequence[tuple[Block, str]], before: int) -> ClaudeError | None:
        """Run the notebook's tools; the first `before` blocks are not of this exchange.

        A call whose input is wrong is not run: its result says what is wrong with it.

        After an Interrupt each remaining call gets a result that says so.
        """
        try:
            with raised():
                for call, wrong in calls:
                    result = self._tools.refuse(call, wrong) if wrong else self._tools.answer(call)
                    self._fold({"type": TOOL_RESULT, "content": result})
            return None
        except KeyboardInterrupt:
            with uninterrupted(swallow=True):
                for call in open_calls(self.reply.content):
                    self._fold_unseen({"type": TOOL_RESULT, "content": self._tools.leave(call)})
        finally:
            self._done = self.reply.content[before:]
        return ReplyInterrupted("Interrupted at a tool.", advice="Claude is told so with the next prompt.")

    def _continuation(self, request: Request, params: Mapping[str, Any], content: Sequence[Block]) -> dict[str, Any]:
        """The parameters of the request for the rest of a reply."""
        self._refusals = 0
        messages = build.messages_so_far(request, content)
        further = {
            **build.without_forced_tool(params),
            "messages": build.without_thinking(messages) if self._without_thinking else messages,
        }
        if self.calls and self.calls[-1].container:  # pending code continues in its container
            further["container"] = self.calls[-1].container["id"]
        if self.calls and "diagnostics" in further:  # the cache holds what this exchange has just sent
            further["diagnostics"] = {"previous_message_id": self.calls[-1].message_id}
        if self._tools.exhausted:
            further["tool_choice"] = build.NO_TOOL
        return further

    def _without_refused(self, params: Mapping[str, Any], failure: ClaudeError | None) -> dict[str, Any] | None:
        """The parameters without what the API refused of earlier replies: their thinking, in the middle of an exchange,
        or a block that a gateway has made up. `None` if it refused nothing of them."""
        if isinstance(failure, ThinkingRefusedError):
            if not self._done or self._without_thinking:
                return None
            self._without_thinking = self.thinking_refused = True
            self._redraft(THINKING_LEFT_OUT, prefix="")
            return {**params, "messages": build.without_thinking(params["messages"])}
        if not isinstance(failure, InvalidRequestError) or self._refusals == MAX_REFUSALS:
            return None
        messages = known_blocks.reduced(params["messages"], failure.message)
        if messages is None:
            return None
        self._refusals += 1
        self._redraft(UNKNOWN)
        return {**params, "messages": messages}

    async def _over_budget(self, request: Request, params: Mapping[str, Any], settings: Settings) -> ClaudeError | None:
        """A failure if the input of the next request alone would exceed the budget; else `None`."""
        if self._budget is None:
            return None
        whole = dataclasses.replace(request, params=dict(params))
        further = (await self.transport.call(estimate, self._client, whole, settings)).cost
        budget = self._budget_now()
        left = None if budget is None else budget.after(pricing.total([*map(pricing.call_cost, self.calls), further]))
        if left is None or left.left >= 0:
            return None
        self.notes.append("stopped: the budget is used up")
        return ReplyInterrupted("Stopped after a tool: to go on would pass the budget.")

    async def _fetch_files(self, reply: Reply, settings: Settings) -> None:
        """Fetch the files that Claude's code made. An Interrupt ends the fetching, without harm to the reply."""
        with suppress(KeyboardInterrupt):
            self.files = await self.transport.call(container_files.fetch, self._client, settings, reply.content)
        if tool_calls.ran_code(reply.content) and UNPRICED not in self.notes:
            self.notes.append(UNPRICED)

    async def _send(self, params: Mapping[str, Any], settings: Settings) -> ClaudeError | None:
        """Send one request, and fold its events into the reply. Returns the failure, if any."""
        stream = self._client.stream(params, settings, self._view.wait, self.transport)
        started, first = time.time(), None
        failure: ClaudeError | None = None
        try:
            async with aclosing(aiter(stream)) as stream_events:
                async for event in stream_events:
                    if _is_ours(event):
                        continue
                    self._fold(event)
                    if first is None and self.accumulator.visible:
                        first = time.monotonic() - stream.sent
                    if self._budget is not None and event["type"] == "message_start":
                        self._price()
                    if self._per_character and self._is_over():
                        self.notes.append("stopped: the budget is used up")
                        raise ReplyInterrupted("The reply was stopped: the budget is used up.")
        except (KeyboardInterrupt, asyncio.CancelledError) as stopped:
            failure = _interrupted(stopped)
        except ClaudeError as error:
            failure = error
        except Exception as error:  # an unexpected failure must not lose a reply that is paid for
            broken = type(error).__name__
            failure = StreamError(f"The reply is unreadable ({broken}).", request_id=stream.request_id)
        self._record_call(stream, str(params["model"]), started, first)
        return failure

    def _fold(self, event: Any) -> None:
        if self._writer is not None:
            self._writer.add(event)
        self.accumulator.add(event)
        self._view.grow(event, self.accumulator)

    def _fold_unseen(self, event: Any) -> None:
        """Fold an event into the reply without updating the view."""
        if self._writer is not None:
            self._writer.add(event)
        self.accumulator.add(event)

    def _record_call(self, stream: Stream, model: str, started: float, first: float | None) -> None:
        """Record the call and its notes, if a reply began."""
        reply = self.reply
        if stream.retries:
            self.notes.append(f"retried {stream.retries}×")
        if mended := self.accumulator.mended:
            self.notes.append(f"the reply did not fit the API's schema, and was mended: {', '.join(mended)}")
        if reply.message:
            self._ended = time.monotonic()
            seconds = self._ended - stream.sent
            call = self._call(reply, model, started, first, seconds=seconds, request_id=stream.request_id)
            self.calls.append(call)
            if missed := _cache_miss(reply.message):
                self.notes.append(missed)
            self.notes += _cleared_context(reply.message)

    def _call(self, reply: Reply, model: str, started: float, first: float | None, **facts: Any) -> Call:
        facts = {"seconds": time.time() - started, "provider": self._client.provider(self._settings), **facts}
        return call_of(reply, model=model, started=started, first_token=first, **facts)

    def _price(self) -> None:
        """Note what the calls and the input of the current one cost, and what a character of the reply costs; nothing
        where the price is not known."""
        spent = pricing.total(pricing.call_cost(call) for call in self.calls)
        provider, model = self._client.provider(self._settings), self.accumulator.model
        usage = {**self.accumulator.usage, "output_tokens": 0}
        input_cost = pricing.call_cost(Call(model, usage, stop_reason="end_turn", provider=provider))
        output_cost = pricing.call_cost(
            Call(model, {"input_tokens": 0, "output_tokens": 1_000_000}, stop_reason="end_turn", provider=provider)
        )
        paid, per_million = (spent + input_cost).dollars, output_cost.dollars
        self._per_character = Decimal(0)
        if paid is not None and per_million:
            self._paid, self._written = paid, self.accumulator.characters
            self._per_character = per_million / (1_000_000 * Decimal(str(CHARACTERS_PER_TOKEN)))

    def _is_over(self) -> bool:
        budget = self._budget_now()
        return budget is not None and self.spending > max(budget.left, self._paid)


def _interrupted(stopped: BaseException) -> ReplyInterrupted:
    kind = ReplyCancelled if isinstance(stopped, asyncio.CancelledError) else ReplyInterrupted
    return kind("The reply was interrupted.")


def _is_ours(event: Any) -> bool:
    """Whether an event is of a type that only this package makes: no server's is taken for one."""
    return isinstance(event, Mapping) and event.get("type") in (GOES_ON["type"], TOOL_RESULT)


_MISSES = {
    "model_changed": "the model changed",
    "system_changed": "the system prompt changed",
    "tools_changed": "the tools changed",
    "messages_changed": "an earlier message changed",
}


def _cache_miss(message: Mapping[str, Any]) -> str | None:
    """A note with the reason of a cache miss, from the reply's `diagnostics` (CLAUDE_API.md §4)."""
    found = message.get("diagnostics")
    reason = found.get("cache_miss_reason") if isinstance(found, Mapping) else None
    why = _MISSES.get(str(reason.get("type"))) if isinstance(reason, Mapping) else None
    return why and f"cache missed: {why}"


_CLEARED = {
    CLEAR_TOOL_USES: ("cleared_tool_uses", "result of a tool", "results of tools"),
    CLEAR_THINKING: ("cleared_thinking_turns", "turn's thinking", "turns' thinking"),
}


def _cleared_context(message: Mapping[str, Any]) -> list[str]:
    """Notes on what the API's context editing cleared from the input (CLAUDE_API.md §6)."""
    management = message.get("context_management")
    applied = management.get("applied_edits") if isinstance(management, Mapping) else None
    found = []
    for edit in (each for each in applied if isinstance(each, Mapping)) if isinstance(applied, list) else ():
        name, one, many = _CLEARED.get(str(edit.get("type")), ("", "", ""))
        count, tokens = edit.get(name), edit.get("cleared_input_tokens")
        if isinstance(count, int) and isinstance(tokens, int) and count > 0:
            found.append(f"{plural(count, one, many)} left out ({tokens:,} tokens)")
    return found
