"""Cache warming: fill the prompt cache ahead of a question, by a request with `max_tokens` 0 (CLAUDE_API.md §4).

The prefix of the next question is cached: tools, system prompt, pins, conversation, with a breakpoint at its end. The
API wants a user message last, so an uncached placeholder follows the breakpoint.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from .. import models
from ..client import Client, Settings, now
from ..conversation.turns import Block, Call, Message, Turn, blocks
from ..cost import count, pricing
from ..cost.budget import Budget
from ..errors import UsageError
from ..notebook.cell import Cell
from ..options import Options
from ..render import text
from ..render.live.live import Unseen
from ..render.turn import OFFLINE
from ..request.build import PASSING, TTL_SECONDS, Request
from ..request.parameters import COMPACT, betas
from .answer import Answer
from .question import Question
from .session import Session, draft_turn

PLACEHOLDER: list[Block] = [{"type": "text", "text": "."}]
TOLD: list[Block] = [{"type": "text", "text": "(the cache, filled ahead)"}]
# Parameters that only shape a reply, or that conflict with a breakpoint of our own.
_LEFT_OUT = {*PASSING, "cache_control", "stop_sequences", "context_management"}


@dataclass(frozen=True)
class Warmed:
    """A cache that was filled: the turn with its cost, which is in the ledger but in no conversation, and the TTLs of
    the breakpoints, longest first."""

    turn: Turn
    lifetimes: tuple[str, ...]


def request(session: Session, options: Options, cell: Cell, provider: str = "anthropic") -> Request:
    """Build the request that fills the cache for the next question of a chat.

    Raises `UsageError` if there is nothing that the API could cache.
    """
    if options.cache == "off":
        raise UsageError("--cache off keeps nothing, so there is nothing to fill.", advice="Use --cache 5m or 1h.")
    if options.thinking is not None and options.thinking[0].isdigit():
        raise UsageError(
            "The API fills no cache for a thinking budget: it has to be shorter than the reply, and there is none.",
            advice="Use --thinking disabled, for questions that are asked so.",
        )
    built = session.request(Question(options, PLACEHOLDER, cell), provider)
    params = {name: value for name, value in built.params.items() if name not in _LEFT_OUT}
    edits = [e for e in (built.params.get("context_management") or {}).get("edits", ()) if e["type"] != COMPACT]
    if edits:  # the question's edits, so that the cached prefix is the same
        params["context_management"] = {"edits": edits}
    params = {**params, **_marked(built.params), "max_tokens": 0}
    return Request(params, built.prefix, betas(params))


def _marked(params: dict[str, Any]) -> dict[str, Any]:
    """The messages, and the system prompt or tools if need be, with a breakpoint on the last block to cache."""
    mark = {"cache_control": params["cache_control"]}
    *earlier, last = params["messages"]
    if earlier:
        return {"messages": [*earlier[:-1], _with_mark(earlier[-1], mark), last]}
    if before := last["content"][: -len(PLACEHOLDER)]:  # pins, which have a breakpoint already, or unanswered questions
        marked = any("cache_control" in block for block in before)
        content = [*before[:-1], before[-1] if marked else {**before[-1], **mark}, *last["content"][len(before) :]]
        return {"messages": [{**last, "content": content}]}
    if isinstance(params.get("system"), list):  # which has a breakpoint already
        return {"messages": [last]}
    if params.get("system"):
        return {"messages": [last], "system": [{"type": "text", "text": params["system"], **mark}]}
    if params.get("tools"):
        return {"messages": [last], "tools": [*params["tools"][:-1], {**params["tools"][-1], **mark}]}
    raise UsageError(
        "There is nothing to keep in the cache: no system prompt, no pin, no conversation.",
        advice="%claude_pin puts a document at the front.",
    )


def _with_mark(message: Message, mark: dict[str, Any]) -> Message:
    *before, last = blocks(message)
    return {**message, "content": [*before, {**last, **mark}]}


def warm(session: Session, options: Options, cell: Cell, settings: Settings) -> Warmed:
    """Fill the cache.

    Raises `UsageError` before anything is sent, if the prefix is too short for the model's cache or the cost exceeds
    the budget; raises `ClaudeError` if the request fails.
    """
    built = request(session, options, cell, settings.provider)
    budget = session.budget_for(built, options, settings)
    _check(session.client, built, settings, budget)
    draft = draft_turn(Question(options, TOLD, cell), built, session.history(options, cell))
    answer = Answer(session.client, settings, Unseen(), replace(draft, once=True, notes=()), None, budget)
    failure = now(answer.ask(built, lambda: _without_thinking(session, options, cell, settings)))
    if answer.reply.message:
        session.spend(answer.conclude())
    if failure is not None or answer.turn is None:
        raise failure or UsageError("The API answered with nothing.")
    return Warmed(answer.turn, tuple(_lifetimes(built.params)))


def _without_thinking(session: Session, options: Options, cell: Cell, settings: Settings) -> Request:
    """Build the request again without thinking of earlier turns, which later questions are sent without as well."""
    session.chats.unbind(options.chat)
    return request(session, options, cell, settings.provider)


def _check(client: Client, built: Request, settings: Settings, budget: Budget | None) -> None:
    """Raise `UsageError` if the prefix is too short for the cache, or if its cost exceeds the budget."""
    name = str(built.params["model"])
    model = models.lookup(name)
    bare = Request({"model": name, "messages": [{"role": "user", "content": PLACEHOLDER}]}, "")
    whole, rest = (count.estimate(client, each, settings) for each in (built, bare))
    tokens = whole.total - rest.total
    if whole.exact and rest.exact and model is not None and tokens < model.min_cache_tokens:
        raise UsageError(
            f"There is too little to keep in the cache: {tokens:,} tokens, and {name} keeps "
            f"{model.min_cache_tokens:,} or more. Nothing was sent.",
            advice="%claude_pin puts a document at the front.",
        )
    counts = {"input_tokens": 0, "cache_creation_input_tokens": tokens, "output_tokens": 0}
    usage = {**counts, "speed": built.params.get("speed")}
    if "1h" in _lifetimes(built.params):
        usage["cache_creation"] = {"ephemeral_1h_input_tokens": tokens}
    cost = pricing.call_cost(Call(name, usage, stop_reason="max_tokens", provider=client.provider(settings)))
    if budget is not None and cost.dollars is not None and cost.dollars > budget.left:
        raise UsageError(
            f"Filling the cache costs about {cost}, and {budget.left_in_words} of the budget is left. "
            "Nothing was sent.",
            advice="%config ClaudeMagic.budget raises it.",
        )


def _lifetimes(params: dict[str, Any]) -> list[str]:
    """The TTLs of a request's breakpoints, longest first."""
    system, tools = params.get("system"), params.get("tools", ())
    marked = [*tools, *(system if isinstance(system, list) else ())]
    marked += [block for message in params["messages"] for block in blocks(message)]
    found = {block["cache_control"].get("ttl", "5m") for block in marked if block.get("cache_control")}
    return sorted(found)


def line(warmed: Warmed) -> str:
    """The result of cache warming as one line; times are local."""
    turn = warmed.turn
    call, tokens = turn.calls[-1], pricing.tokens(turn.calls)
    cost = pricing.turn_cost(turn)
    counts = f"{tokens.written:,} tokens written, {tokens.cached:,} read"
    offline = [OFFLINE] if turn.offline else []
    if not tokens.written and not tokens.cached:
        result = f"Nothing is in the cache of {call.model}: it kept none of {tokens.input:,} tokens"
        return text.printable(" · ".join([result, str(cost), *turn.notes, *offline]))
    result = f"In the cache of {call.model}: {counts}"
    return text.printable(" · ".join([result, str(cost), _until(warmed), *turn.notes, *offline]))


def _until(warmed: Warmed) -> str:
    """The time at which the cache expires; each read restarts its TTL."""
    call, ends = warmed.turn.calls[-1], []
    for ttl in warmed.lifetimes:
        end = call.started + call.seconds + TTL_SECONDS[ttl]
        ends.append(f"{time.strftime('%H:%M', time.localtime(end))} ({ttl})")
    return f"until {' and '.join(ends)}, longer where it is read"
