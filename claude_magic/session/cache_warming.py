"""Fill the prompt cache ahead of a question, with a request that asks for no reply (CLAUDE_API.md §4).

What is cached is the beginning of the next question: tools, system prompt, pins, conversation. The cache mark stands
at its end. The API wants a user message last, so a placeholder follows the mark and is not cached.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from .. import models
from ..client import Client, Settings
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
# What only shapes a reply, or goes in the way of a mark of our own.
_LEFT_OUT = {*PASSING, "cache_control", "stop_sequences", "context_management"}


@dataclass(frozen=True)
class Warmed:
    """The turn that says what it cost, which is in the ledger and in no conversation; and how long what is marked is
    kept, the longest first."""

    turn: Turn
    lifetimes: tuple[str, ...]


def request(session: Session, options: Options, cell: Cell, provider: str = "anthropic") -> Request:
    """The request that fills the cache for the next question of a chat.

    Raises `UsageError` where there is nothing that the API could keep.
    """
    if options.cache == "off":
        raise UsageError("--cache off keeps nothing, so there is nothing to fill.", advice="Use --cache 5m or 1h.")
    if options.thinking is not None and options.thinking[0].isdigit():
        raise UsageError(
            "The API fills no cache for a thinking budget: it has to be shorter than the reply, and there is none.",
            advice="Use --thinking disabled, for questions that are asked so.",
        )
    asked = session.request(Question(options, PLACEHOLDER, cell), provider)
    params = {name: value for name, value in asked.params.items() if name not in _LEFT_OUT}
    edits = [e for e in (asked.params.get("context_management") or {}).get("edits", ()) if e["type"] != COMPACT]
    if edits:  # what they leave out is not in the cache either
        params["context_management"] = {"edits": edits}
    params = {**params, **_marked(asked.params), "max_tokens": 0}
    return Request(params, asked.prefix, betas(params))


def _marked(params: dict[str, Any]) -> dict[str, Any]:
    """The parameter whose last block is the last that is kept, with a mark on it."""
    mark = {"cache_control": params["cache_control"]}
    *earlier, last = params["messages"]
    if earlier:
        return {"messages": [*earlier[:-1], _with_mark(earlier[-1], mark), last]}
    if len(last["content"]) > len(PLACEHOLDER):  # what is pinned is marked already
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

    Raises `UsageError` before anything is sent, where the model keeps nothing so short or the budget ends before it;
    and what the API's answer raises.
    """
    asked = request(session, options, cell, settings.provider)
    budget = session.budget_for(asked, options, settings)
    _check(session.client, asked, settings, budget)
    draft = draft_turn(Question(options, TOLD, cell), asked, session.history(options, cell))
    answer = Answer(session.client, settings, Unseen(), replace(draft, once=True, notes=()), None, budget)
    failure = answer.ask(asked, lambda: _unbound(session, options, cell, settings))
    if answer.reply.message:
        session.spent.append(answer.conclude())
    if failure is not None or answer.made is None:
        raise failure or UsageError("The API answered with nothing.")
    return Warmed(answer.made, tuple(_lifetimes(asked.params)))


def _unbound(session: Session, options: Options, cell: Cell, settings: Settings) -> Request:
    """The request once more, with no earlier thinking: nor have the questions that come."""
    session.chats.unbind(options.chat)
    return request(session, options, cell, settings.provider)


def _check(client: Client, asked: Request, settings: Settings, budget: Budget | None) -> None:
    """Refuse what the API would not keep, and what the budget does not allow."""
    name = str(asked.params["model"])
    model = models.lookup(name)
    bare = Request({"model": name, "messages": [{"role": "user", "content": PLACEHOLDER}]}, "")
    whole, rest = (count.estimate(client, each, settings) for each in (asked, bare))
    tokens = whole.total - rest.total
    if whole.exact and rest.exact and model is not None and tokens < model.min_cache_tokens:
        raise UsageError(
            f"There is too little to keep in the cache: {tokens:,} tokens, and {name} keeps "
            f"{model.min_cache_tokens:,} or more. Nothing was sent.",
            advice="%claude_pin puts a document at the front.",
        )
    usage = {"cache_creation_input_tokens": tokens, "output_tokens": 0, "speed": asked.params.get("speed")}
    if "1h" in _lifetimes(asked.params):
        usage["cache_creation"] = {"ephemeral_1h_input_tokens": tokens}
    cost = pricing.call_cost(Call(name, usage, stop_reason="max_tokens", provider=client.provider(settings)))
    if budget is not None and cost.dollars is not None and cost.dollars > budget.left:
        raise UsageError(
            f"Filling the cache costs about {cost}, and {budget.left_in_words} of the budget is left. "
            "Nothing was sent.",
            advice="%config ClaudeMagic.budget raises it.",
        )


def _lifetimes(params: dict[str, Any]) -> list[str]:
    """How long what is marked is kept, the longest first."""
    system, tools = params.get("system"), params.get("tools", ())
    marked = [*tools, *(system if isinstance(system, list) else ())]
    marked += [block for message in params["messages"] for block in blocks(message)]
    found = {block["cache_control"].get("ttl", "5m") for block in marked if block.get("cache_control")}
    return sorted(found)


def line(warmed: Warmed) -> str:
    """What filling the cache came to, in one line; times are local."""
    turn = warmed.turn
    call, tokens = turn.calls[-1], pricing.tokens(turn.calls)
    cost = pricing.turn_cost(turn)
    counts = f"{tokens.written:,} tokens written, {tokens.cached:,} read"
    offline = [OFFLINE] if turn.offline else []
    if not tokens.written and not tokens.cached:
        kept = f"Nothing is in the cache of {call.model}: it kept none of {tokens.input:,} tokens"
        return text.printable(" · ".join([kept, str(cost), *turn.notes, *offline]))
    kept = f"In the cache of {call.model}: {counts}"
    return text.printable(" · ".join([kept, str(cost), _until(warmed), *turn.notes, *offline]))


def _until(warmed: Warmed) -> str:
    """Until when what was written stays, if nobody reads it; each reading begins its time anew."""
    call, ends = warmed.turn.calls[-1], []
    for ttl in warmed.lifetimes:
        end = call.started + call.seconds + TTL_SECONDS[ttl]
        ends.append(f"{time.strftime('%H:%M', time.localtime(end))} ({ttl})")
    return f"until {' and '.join(ends)}, longer where it is read"
