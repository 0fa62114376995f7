"""Table of the Claude models: what each accepts, one row per model.

Source: the Messages API documentation of October-November 2026 (models overview, thinking, effort,
prompt caching, structured outputs) and, for retirement dates, the SDK (2.14, `DEPRECATED_MODELS`).
Prices are not here: they come from genai-prices. Requests to a model that is not in the table go out with
no defaults and no checks of ours, so that a new model works on the day it appears; one of a line that the table has
goes out as the newest of its line does, with what the API said of it (`learn`) in place of what the table says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

# How all that the offline stand-in says, and every record of it, is marked.
STAND_IN = "offline stand-in, not Claude"
# What its replies open with. Where the header of a cell has the mark, it is not shown a second time.
STAND_IN_OPENING = "*Offline stand-in, not Claude.*\n\n"
EFFORTS = ("low", "medium", "high", "xhigh", "max")
THINKING = ("adaptive", "between_tools", "disabled", "enabled")
# Capabilities of models, by their names in the API's list of models.
CAPABILITIES = ("image_input", "pdf_input", "structured_outputs", "server_tools")


@dataclass(frozen=True)
class Model:
    """One model: its id, its limits (in tokens) and what it accepts.

    `thinking` lists the accepted `thinking.type` values; `thinks` says whether the model thinks when
    `thinking` is left out, `shows_thinking` whether it returns the thinking's text without
    `display: summarized`. `effort` lists the accepted `output_config.effort` values; with a thinking
    type in `capped`, none above `high`. `binds_thinking` says whether the API refuses a thinking block
    when anything before it has changed. `capabilities` are the model's entries of `CAPABILITIES`. `retires`
    is the day on which the Claude API stops serving a deprecated model.
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
        """`active` or `deprecated` (a retirement date is set). Retired models have no row."""
        return "deprecated" if self.retires else "active"

    @property
    def version(self) -> tuple[int, ...]:
        """The version in the model's id: `(5, 5)`, `(5,)`."""
        return tuple(int(digits) for digits in re.findall(r"\d+", self.id)[:2])

    @property
    def fast(self) -> bool:
        """Whether the model takes `speed: fast`: genai-prices 0.2.3 has a fast price for it."""
        return self.id in _FAST

    @property
    def takes_forced_tools(self) -> bool:
        """Whether a request can make the model call a tool.

        Models that bind their thinking refuse, but for haiku's, and none calls a forced tool while it thinks (the
        extended thinking page, "tool choice limitations").
        """
        refuses = self.binds_thinking and self.line != "haiku"
        return not refuses and (not self.thinks or "disabled" in self.thinking)

    def efforts_with(self, thinking_type: str) -> tuple[str, ...]:
        """The `output_config.effort` values that the model accepts with a `thinking.type`."""
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
_learned: dict[str, Model] = {}  # what `learn` was given
# Retired models, with their retirement dates (anthropic 2.12.0, resources/messages/messages.py, DEPRECATED_MODELS:
# from 2.13 on the SDK no longer lists retired models).
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
    """The model id for a name: the newest of its line for `opus`, `sonnet`, `haiku`, `fable`; else the name itself."""
    return next((model.id for model in MODELS if model.line == name and name in LINES), name)


def lookup(model_id: str) -> Model | None:
    """The row of a model id, dated or provider-prefixed spellings included.

    For a model that the table does not know, that of the newest of its line, with what the API said of it. `None` if
    the line is unknown as well.
    """
    return known(model_id) or _learned.get(_bare_id(model_id)) or of_unknown(model_id)


def known(model_id: str) -> Model | None:
    """The row of the table for a model id; `None` if it has none."""
    return _BY_ID.get(_bare_id(model_id))


def of_unknown(model_id: str) -> Model | None:
    """A row for a model of a line that the table has, which does not know the model itself; `None` for any other model.

    It has the defaults of the newest of the line, and takes every kind of thinking and effort: a guess refuses nothing.
    """
    bare = _bare_id(model_id)
    found = re.fullmatch(r"claude-([a-z]+)-\d{1,2}(?:-\d{1,2})?", bare)
    line = [model for model in MODELS if found and model.line == found[1]]
    if not line or bare in _BY_ID or bare in RETIRED:
        return None
    row = replace(line[0], id=bare, retires=None, thinking=THINKING, effort=EFFORTS, capped=())
    return row if row.version > line[-1].version else None


def learn(rows: Iterable[Model]) -> None:
    """Use these rows, and no others learned before, for models that the table does not know."""
    global _learned  # facts of the account that is asked, exchanged as a whole
    _learned = {row.id: row for row in rows}


def _bare_id(model_id: str) -> str:
    bare = re.sub(r"^.*?(claude-)", r"\1", model_id)
    return re.sub(r"[-@]\d{8}.*$|-latest$|-v\d.*$|@default$", "", bare)


def retirement_note(model_id: str, today: date) -> str:
    """A note with the retirement date of a deprecated or retired model; empty for any other.

    The dates hold on Anthropic's own platforms; Amazon Bedrock and Google set their own
    (platform.claude.com, model deprecations), so their spellings of an id get no note.
    """
    if not model_id.startswith("claude-") or "@" in model_id:
        return ""
    bare = _bare_id(model_id)
    row = _BY_ID.get(bare)
    retires = row.retires if row else RETIRED.get(bare.removesuffix("-0"))
    if retires is None:
        return ""
    return f"{model_id} {'retires' if today < retires else 'was to retire'} on {retires}"


def misspelt_line(name: str) -> str | None:
    """The line of models that a name such as `sonet` means; None for a line's own name, and for what may be an id."""
    import difflib

    if name in LINES or not name.isalpha():
        return None
    return next(iter(difflib.get_close_matches(name.lower(), LINES, n=1, cutoff=0.7)), None)


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The three model ids most similar to an unknown name, best first; `known` are ids from the API's list."""
    import difflib

    ids = list(dict.fromkeys([*known, *_BY_ID]))
    wanted = sorted(re.findall(r"[a-z]+|\d+", name.lower()))

    def similarity(model_id: str) -> float:
        parts = sorted(re.findall(r"[a-z]+|\d+", model_id))
        words = difflib.SequenceMatcher(None, wanted, parts).ratio()
        return words + difflib.SequenceMatcher(None, name.lower(), model_id).ratio()

    return sorted(ids, key=similarity, reverse=True)[:3]
