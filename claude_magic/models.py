"""What each Claude model accepts, as a table: one row a model.

Source: the Messages API documentation of October-November 2026 (models overview, thinking, effort,
prompt caching, structured outputs) and, for the dates of retirement, the SDK (2.14, `DEPRECATED_MODELS`).
Prices are not here: they come from genai-prices. A model that is not in the table is asked as it is, with
no setting of ours and no check, so that a new model works on the day it appears.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

EFFORTS = ("low", "medium", "high", "xhigh", "max")
# What a model can be given or asked for, by the names that the API's own list has for it.
CAPABILITIES = ("image_input", "pdf_input", "structured_outputs", "server_tools")


@dataclass(frozen=True)
class Model:
    """One model's limits.

    `thinking` are the accepted `thinking.type` values; `thinks` says whether it thinks when
    `thinking` is left out; `shows_thinking` whether thinking text comes without asking for
    `display: summarized`. `effort` are the accepted `output_config.effort` values; with a thinking
    type that is in `capped` they end at `high`. `binds_thinking`: a replayed thinking block is
    bound to all that stands before it. `capabilities` are those of `CAPABILITIES` that it has. `retires`
    is the day on which the Claude API stops serving a deprecated model. Sizes are in tokens.
    """

    id: str
    thinking: tuple[str, ...]
    thinks: bool = True
    shows_thinking: bool = False
    effort: tuple[str, ...] = EFFORTS
    context: int = 1_000_000
    max_output: int = 128_000
    min_cache_tokens: int = 512
    capped: tuple[str, ...] = ()
    binds_thinking: bool = False
    capabilities: tuple[str, ...] = CAPABILITIES
    retires: date | None = None

    @property
    def line(self) -> str:
        """The second word of its id: `opus`, `sonnet`, `haiku`."""
        return self.id.split("-")[1]

    @property
    def lifecycle(self) -> str:
        """`active`, or `deprecated`: headed for retirement. Retired models have no row."""
        return "deprecated" if self.retires else "active"

    @property
    def version(self) -> tuple[int, ...]:
        """The numbers of its id: `(5, 5)`, `(5,)`."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.id)[:2])

    @property
    def fast(self) -> bool:
        """Whether it takes `speed: fast`: the Claude API has a rate for it (genai-prices 0.2.3)."""
        return self.id in _FAST

    def efforts_with(self, thinking_type: str) -> tuple[str, ...]:
        """The efforts that go with a `thinking.type`."""
        return tuple(e for e in self.effort if thinking_type not in self.capped or e in _LOW_TO_HIGH)


_FAST = ("claude-fable-5-2", "claude-mythos-5-2", "claude-opus-5-5", "claude-opus-5", "claude-opus-4-8")
_NO_XHIGH = ("low", "medium", "high", "max")
_LOW_TO_HIGH = ("low", "medium", "high")

# Newest first within a line: `resolve` relies on it.
MODELS: tuple[Model, ...] = (
    Model("claude-fable-5-2", ("adaptive",), binds_thinking=True),
    Model("claude-fable-5-1", ("adaptive",), binds_thinking=True),
    Model("claude-fable-5", ("adaptive",)),
    Model("claude-mythos-5-2", ("adaptive",), binds_thinking=True),
    Model("claude-mythos-5-1", ("adaptive",), binds_thinking=True),
    Model("claude-mythos-5", ("adaptive",)),
    Model("claude-opus-5-5", ("adaptive",), binds_thinking=True),
    Model("claude-opus-5", ("adaptive", "disabled"), capped=("disabled",)),
    Model("claude-opus-4-8", ("adaptive", "disabled"), thinks=False, min_cache_tokens=1024),
    Model("claude-opus-4-7", ("adaptive", "disabled"), thinks=False, min_cache_tokens=2048),
    Model(
        "claude-opus-4-6",
        ("adaptive", "disabled", "enabled"),
        thinks=False,
        shows_thinking=True,
        effort=_NO_XHIGH,
        min_cache_tokens=4096,
    ),
    Model(
        "claude-opus-4-5",
        ("enabled", "disabled"),
        thinks=False,
        shows_thinking=True,
        effort=_LOW_TO_HIGH,
        context=200_000,
        max_output=64_000,
        min_cache_tokens=4096,
        retires=date(2027, 1, 22),
    ),
    Model("claude-sonnet-5-5", ("adaptive", "between_tools"), capped=("between_tools",), binds_thinking=True),
    Model("claude-sonnet-5", ("adaptive", "disabled"), min_cache_tokens=1024),
    Model(
        "claude-sonnet-4-6",
        ("adaptive", "disabled", "enabled"),
        thinks=False,
        shows_thinking=True,
        effort=_NO_XHIGH,
        min_cache_tokens=1024,
    ),
    Model(
        "claude-sonnet-4-5",
        ("enabled", "disabled"),
        thinks=False,
        shows_thinking=True,
        effort=(),
        context=200_000,
        max_output=64_000,
        min_cache_tokens=1024,
        retires=date(2026, 11, 30),
    ),
    Model("claude-haiku-5-5", ("adaptive", "disabled"), capped=("disabled",), binds_thinking=True),
    Model(
        "claude-haiku-4-5",
        ("enabled", "disabled"),
        thinks=False,
        shows_thinking=True,
        effort=(),
        context=200_000,
        max_output=64_000,
        min_cache_tokens=4096,
    ),
)
_BY_ID = {model.id: model for model in MODELS}
# The models that were to be gone when this table was written, and since when (anthropic 2.12.0,
# resources/messages/messages.py, DEPRECATED_MODELS: from 2.13 on it no longer lists models that are retired).
RETIRED = {
    "claude-mythos-preview": date(2026, 6, 30),
    "claude-opus-4": date(2026, 6, 15),
    "claude-sonnet-4": date(2026, 6, 15),
    "claude-3-7-sonnet": date(2026, 2, 19),
    "claude-3-5-haiku": date(2026, 2, 19),
    "claude-3-opus": date(2026, 1, 5),
    "claude-3-sonnet": date(2025, 7, 21),
    "claude-2.1": date(2025, 7, 21),
    "claude-2.0": date(2025, 7, 21),
    "claude-1.3": date(2024, 11, 6),
    "claude-1.3-100k": date(2024, 11, 6),
    "claude-instant-1.2": date(2024, 11, 6),
    "claude-instant-1.1": date(2024, 11, 6),
    "claude-instant-1.1-100k": date(2024, 11, 6),
}
LINES = ("opus", "sonnet", "haiku", "fable")
DEFAULT_MODEL = "claude-opus-5-5"


def resolve(name: str) -> str:
    """`opus`, `sonnet`, `haiku` or `fable` → the id of the newest of that line; any other name as it is."""
    return next((model.id for model in MODELS if model.line == name and name in LINES), name)


def lookup(model_id: str) -> Model | None:
    """The row of a model, its dated and provider-prefixed spellings included; `None` if unknown."""
    return _BY_ID.get(_bare(model_id))


def _bare(model_id: str) -> str:
    bare = re.sub(r"^.*?(claude-)", r"\1", model_id)
    return re.sub(r"[-@]\d{8}.*$|-latest$|-v\d.*$|@default$", "", bare)


def retirement_note(model_id: str, today: date) -> str:
    """When a model that is deprecated retires, as a note; empty for any other.

    The dates are those of the platforms that Anthropic runs; Amazon Bedrock and Google set their own
    (platform.claude.com, model deprecations), so their spellings of an id have no note.
    """
    if not model_id.startswith("claude-") or "@" in model_id:
        return ""
    bare = _bare(model_id)
    row = _BY_ID.get(bare)
    retires = row.retires if row else RETIRED.get(bare.removesuffix("-0"))
    if retires is None:
        return ""
    return f"{model_id} {'retires' if today < retires else 'was to retire'} on {retires}"


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The three model ids nearest to a name that the API does not know, best first."""
    import difflib

    ids = list(dict.fromkeys([*known, *_BY_ID]))
    wanted = sorted(re.findall(r"[a-z]+|\d+", name.lower()))

    def likeness(model_id: str) -> float:
        parts = sorted(re.findall(r"[a-z]+|\d+", model_id))
        words = difflib.SequenceMatcher(None, wanted, parts).ratio()
        return words + difflib.SequenceMatcher(None, name.lower(), model_id).ratio()

    return sorted(ids, key=likeness, reverse=True)[:3]
